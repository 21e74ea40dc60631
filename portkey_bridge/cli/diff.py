"""The commands `diff` and `accept`: how two versions of a document differ as tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from portkey_bridge.bridge.pin import accept_api, accepted_api, changes_since
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import require_api
from portkey_bridge.cli.terminal import print_json, print_table
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.readers import document_source
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import build_tools, select_tools
from portkey_bridge.tools.difference import Change, Version, breaks, difference


def print_difference(invocation: Invocation) -> int:
    """Print what has changed. Return 1 if `--fail-on` objects. Raises SetupError."""
    options = invocation.options
    settings = invocation.settings
    named = (document_source(options["old"], "OLD"), document_source(options["spec"], "NEW"))
    old, new = (_version(replace(settings, spec=spec)) for spec in named)
    changes = difference(old, new)
    if options.get("json"):
        print_json([asdict(change) for change in changes])
    else:
        _print(changes)
    breaking = sum(change.breaking for change in changes)
    print(f"{len(changes)} changes, {breaking} of them breaking", file=sys.stderr)
    return 1 if breaks(changes, options.get("fail_on")) else 0


def accept_document(invocation: Invocation) -> int:
    """Print what has changed since the document was accepted, and accept it as it is now. Raises SetupError."""
    settings = replace(invocation.chosen, pin=False)
    api = require_api(settings)
    accepted = accepted_api(settings)
    if accepted is not None:
        _print(changes_since(accepted, api, settings))
    if invocation.options.get("dry_run"):
        return 0
    accept_api(settings, api)
    print(f"accepted {printable(api.title)} {printable(api.version)}", file=sys.stderr)
    return 0


def _print(changes: Sequence[Change]) -> None:
    rows = [(each.tool, "breaking" if each.breaking else "", each.kind, each.pointer, each.detail) for each in changes]
    print_table(("tool", "", "change", "argument", "detail"), [("", rows)], spare=("",))


def _version(settings: Settings) -> Version:
    api = require_api(settings)
    shapes = Shapes(api.root)
    return Version(select_tools(build_tools(api, shapes, settings), settings), shapes)

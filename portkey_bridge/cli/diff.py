"""The command `diff`: how two versions of a document differ as tools."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_api
from portkey_bridge.cli.terminal import print_json, print_table
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings import Settings
from portkey_bridge.tools.catalog import build_tools, select_tools
from portkey_bridge.tools.difference import Version, breaks, difference


def print_difference(invocation: Invocation) -> int:
    """Print what has changed. Return 1 if `--fail-on` objects. Raises SetupError."""
    options = invocation.options
    old, new = (_version(replace(invocation.settings, spec=options[name])) for name in ("old", "new"))
    changes = difference(old, new)
    if options.get("json"):
        print_json([asdict(change) for change in changes])
    else:
        rows = [
            (each.tool, "breaking" if each.breaking else "", each.kind, each.pointer, each.detail) for each in changes
        ]
        print_table(("tool", "", "change", "argument", "detail"), [("", rows)], spare=("",))
    breaking = sum(change.breaking for change in changes)
    print(f"{len(changes)} changes, {breaking} of them breaking", file=sys.stderr)
    return 1 if breaks(changes, options.get("fail_on")) else 0


def _version(settings: Settings) -> Version:
    api = load_api(settings)
    shapes = Shapes(api.root)
    return Version(select_tools(build_tools(api, shapes, settings), settings), shapes)

"""Loads the document for a command, with a progress message if that takes long, and prints what was repaired."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from portkey_bridge.bridge import load
from portkey_bridge.bridge.load import warn
from portkey_bridge.cli.terminal import if_it_lasts, waiting
from portkey_bridge.openapi.model import Api, Skipped
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_url, shown_url
from portkey_bridge.tools.catalog import Tool, find_tool

if TYPE_CHECKING:
    from portkey_bridge.bridge.service import Service

#: Reasons that are printed one by one, and operations that a sentence names.
MAX_REASONS, MAX_NAMED_OPERATIONS = 20, 3


def require_api(settings: Settings) -> Api:
    """Load the document that the settings name, and print what was repaired in it. Raises DocumentError."""
    with _announced(settings.spec):
        api = load.load_api(settings)
    warn((*api.repairs, *_summed_up(api.skipped)))
    return api


def _summed_up(skipped: Sequence[Skipped]) -> Iterator[str]:
    """Yield a sentence for each of the first reasons why operations are not served, and one for all others."""
    operations: dict[str, list[str]] = {}
    for each in skipped:
        operations.setdefault(each.reason, []).append(each.name)
    for reason, names in [*operations.items()][:MAX_REASONS]:
        more = f" and {len(names) - MAX_NAMED_OPERATIONS} more" if len(names) > MAX_NAMED_OPERATIONS else ""
        named = ", ".join(names[:MAX_NAMED_OPERATIONS])
        yield f"{named}{more} {'are' if len(names) > 1 else 'is'} not served: {reason}"
    if rest := sum(map(len, [*operations.values()][MAX_REASONS:])):
        yield f"{rest} further operations are not served; portkey-bridge check lists them"


def load_tools(settings: Settings) -> tuple[Api, list[Tool]]:
    """Load the document and the tools that the settings select. Raises DocumentError and SettingsError."""
    from portkey_bridge.bridge.service import service_of  # slow to import, and not needed for a document alone

    service = service_of(require_api(settings), settings)
    return service.api, [*service.tools]


def require_services(apis: Sequence[Settings], *, from_copies: bool = False) -> list[Service]:
    """Load each API, and print what was repaired in its document. Raises SetupError."""
    from portkey_bridge.bridge.several_apis import load_services  # slow to import, and not needed for a document alone

    with _announced(apis[0].spec):
        services = load_services(apis, from_copies=from_copies)
    for each in services:
        warn((*each.api.repairs, *_summed_up(each.api.skipped)))
    return services


def find_in(services: Sequence[Service], name: str) -> tuple[Service, Tool]:
    """Return the tool of this name with its API. Raises SettingsError if there is none."""
    tool = find_tool([tool for service in services for tool in service.tools], name)
    return next(service for service in services if tool in service.tools), tool


def _announced(spec: str | None) -> AbstractContextManager[None]:
    """Announce on stderr a load that takes longer than a second; on a pipe, only one from the network."""
    if not spec or not is_url(spec):
        return waiting(f"reading {spec or 'the Portkey API'}")
    return if_it_lasts(lambda: print(f"portkey-bridge: fetching {shown_url(spec)} …", file=sys.stderr, flush=True))

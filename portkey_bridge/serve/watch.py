"""Watches the documents that are served, and replaces the catalogue as a whole when one of them changes.

Files are looked at often, URLs are asked now and then with their validators (RFC 9110 section 13). A document that
cannot be loaded any more leaves the tools as they are; one that never could be is tried again and again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import anyio

from portkey_bridge.document.sources import is_file, path_of
from portkey_bridge.errors import SetupError
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.load import load_api, warn
from portkey_bridge.serve.server import catalogue_of
from portkey_bridge.serve.service import Service, compose
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.difference import Version, difference, summary

#: Seconds between two looks at the files, and between two requests for a URL.
FILES, URLS = 2.0, 300.0

#: Seconds until an API that could not be loaded is tried again: first, and at most.
FIRST_RETRY, LAST_RETRY = 5.0, 300.0

Swap = Callable[[Catalogue], Awaitable[None]]
Make = Callable[[Sequence[Service]], Catalogue]


@dataclass
class _Watched:
    """One API: what is served of it now, the state of its files, and when it is due whatever they are."""

    settings: Settings
    service: Service | None
    files: dict[Path, tuple[int, int] | None]
    due: float
    pause: float = FIRST_RETRY


async def watch(
    apis: Sequence[Settings], services: Sequence[Service], swap: Swap, catalogue: Make = catalogue_of
) -> None:
    """Watch for as long as the server runs, and `swap` the catalogue when a document has changed.

    `catalogue` makes one out of the services, or raises SetupError if these must not be served.

    A service whose document came from a copy is asked for at once.
    """
    by_name = {service.settings.name: service for service in services}
    watched = [_watched(settings, by_name.get(settings.name)) for settings in apis]
    while True:
        await anyio.sleep(min(FILES, max(0.0, min(each.due for each in watched) - monotonic())))
        changed = [each for each in watched if await _has_changed(each)]
        if changed:
            served = [each.service for each in watched if each.service is not None]
            try:
                services = compose([(service.api, service.settings) for service in served])
                await swap(catalogue(services))
            except SetupError as error:
                warn([f"the tools stay as they are: {error}"])


def _watched(settings: Settings, service: Service | None) -> _Watched:
    wait = FIRST_RETRY if service is None else 0.0 if service.api.from_copy else _interval(service)
    return _Watched(settings, service, _files(service), monotonic() + wait)


def _interval(service: Service) -> float:
    return URLS if not all(map(is_file, service.api.resources)) else float("inf")


def _files(service: Service | None) -> dict[Path, tuple[int, int] | None]:
    """Return the state of each file that an API was read from."""
    resources = service.api.resources if service else ()
    return {path: _state(path) for path in map(path_of, filter(is_file, resources))}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


async def _has_changed(watched: _Watched) -> bool:
    """Load an API again if it is due, and return whether there is something new to serve."""
    files = {path: _state(path) for path in watched.files}
    if files == watched.files and monotonic() < watched.due:
        return False
    old = watched.service
    try:
        api = await anyio.to_thread.run_sync(load_api, watched.settings)
    except SetupError as error:
        watched.pause = min(watched.pause * 2, LAST_RETRY)
        watched.due = monotonic() + watched.pause
        if files != watched.files:
            warn([f"{watched.settings.name or 'the document'}: the tools stay as they are: {error}"])
        watched.files = files
        return False
    (service,) = compose([(api, watched.settings)])
    watched.service, watched.files = service, _files(service)
    watched.due, watched.pause = monotonic() + _interval(service), FIRST_RETRY
    if old is None:
        warn([f"{watched.settings.name}: can be served now, {len(service.tools)} tools"])
        return True
    if api.root == old.api.root:
        return False
    changes = difference(Version(old.tools, old.shapes), Version(service.tools, service.shapes))
    warn([f"{watched.settings.name or 'the document'} has changed: {summary(changes)}"])
    return True

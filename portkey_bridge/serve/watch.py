"""Watches the documents that are served, and replaces the catalogue as a whole when one of them changes.

Files are looked at often, URLs are asked now and then with their validators (RFC 9110 section 13). A document that
cannot be loaded any more leaves the tools as they are; one that never could be is tried again and again.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from time import monotonic

import anyio

from portkey_bridge.bridge.load import load_api, named_files, warn
from portkey_bridge.bridge.service import Service
from portkey_bridge.bridge.several_apis import compose
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.document.sources import is_file, path_of
from portkey_bridge.errors import SetupError
from portkey_bridge.openapi.model import Api
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.server import catalogue_of
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.difference import Version, difference, summary

#: Seconds between two looks at the files, and between two requests for a URL.
FILES_INTERVAL, URLS_INTERVAL = 2.0, 300.0

#: Seconds until an API that could not be loaded is tried again: first, and at most.
FIRST_RETRY, LAST_RETRY = 5.0, 300.0

Swap = Callable[[Catalogue], Awaitable[None]]
FileState = tuple[int, int, int, int]
"""The device, the number, the time and the size of a file: another file may have the same time and size."""

Make = Callable[[Sequence[Service]], Catalogue]


@dataclass
class _Watched:
    """One API: the state of the files that it was read from, and when it is due whatever they are."""

    settings: Settings
    files: dict[Path, FileState | None]
    due: float
    pause: float


async def watch(
    apis: Sequence[Settings], services: Sequence[Service], swap: Swap, catalogue: Make = catalogue_of
) -> None:
    """Watch for as long as the server runs, and `swap` the catalogue when a document has changed.

    `catalogue` makes one out of the services, or raises SetupError if these must not be served.

    A service whose document came from a copy is asked for at once.
    """
    loaded = {service.settings.name: service.loaded for service in services}
    watched = [_watched(settings, loaded.get(settings.name)) for settings in apis]
    server = _Server(apis, swap, catalogue, services)
    while True:
        await anyio.sleep(min(FILES_INTERVAL, max(0.0, min(each.due for each in watched) - monotonic())))
        changed = {each.settings.name: await _changed(each, server.services) for each in watched}
        if fresh := {name: api for name, api in changed.items() if api is not None}:
            await server.serve(fresh)


@dataclass
class _Server:
    """What is served now, and how it is replaced."""

    apis: Sequence[Settings]
    swap: Swap
    catalogue: Make
    services: Sequence[Service]

    async def serve(self, changed: Mapping[str, Api]) -> None:
        """Serve the documents that have changed, each by the name of its API. Those that cannot be are reported."""
        try:
            await self._replace(changed)
        except Exception as error:
            if len(changed) == 1:
                _report(error, next(iter(changed)), self.apis, self.services)
                return
            for name, api in changed.items():
                await self.serve({name: api})

    async def _replace(self, changed: Mapping[str, Api]) -> None:
        """Replace what is served, and log what has changed. Raises SetupError.

        Everything is composed of the documents as they were read and the settings as they were given, so that a
        variable that several APIs would take is withheld from all of them again.
        """
        before = {service.settings.name: service for service in self.services}
        current = {**{name: service.loaded for name, service in before.items()}, **changed}
        pairs = [(current[settings.name], settings) for settings in self.apis if settings.name in current]
        composed = await anyio.to_thread.run_sync(compose, pairs)
        services = [service.succeeding(before.get(service.settings.name)) for service in composed]
        await self.swap(self.catalogue(services))
        self.services = services
        new = [service for service in services if service.settings.name in changed]
        warn(await anyio.to_thread.run_sync(lambda: [_news(before.get(each.settings.name), each) for each in new]))


def _news(old: Service | None, new: Service) -> str:
    """Return what has changed in an API, for the log."""
    if old is None:
        return f"{new.settings.name}: can be served now, {len(new.tools)} tools"
    changes = difference(Version(old.tools, old.shapes), Version(new.tools, new.shapes))
    return f"{new.settings.name or 'the document'} has changed: {summary(changes)}"


def _watched(settings: Settings, api: Api | None) -> _Watched:
    wait = FIRST_RETRY if api is None else 0.0 if api.from_copy else _interval(api)
    return _Watched(settings, _files(settings, api), monotonic() + wait, FIRST_RETRY)


def _interval(api: Api) -> float:
    return URLS_INTERVAL if not all(map(is_file, api.resources)) else float("inf")


def _files(settings: Settings, api: Api | None) -> dict[Path, FileState | None]:
    """Return the state of each file that an API was read from, and of those that a person named, maybe by links."""
    read = map(path_of, filter(is_file, api.resources if api else ()))
    return {path: _state(path) for path in (*named_files(settings), *read)}


def _state(path: Path) -> FileState | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


async def _changed(watched: _Watched, services: Sequence[Service]) -> Api | None:
    """Read a document again if it is due, and return it if it is not the one that is served."""
    files = {path: _state(path) for path in watched.files}
    if files == watched.files and monotonic() < watched.due:
        return None
    touched, watched.files = files != watched.files, files
    try:
        api = await anyio.to_thread.run_sync(load_api, watched.settings)
    except Exception as error:
        watched.due, watched.pause = monotonic() + watched.pause, min(watched.pause * 2, LAST_RETRY)
        if touched or not isinstance(error, SetupError):
            _report(error, watched.settings.name, [watched.settings], services)
        return None
    found = _files(watched.settings, api)
    watched.files = {path: files.get(path, state) for path, state in found.items()}  # as they were before
    watched.due, watched.pause = monotonic() + _interval(api), FIRST_RETRY
    served = next((each.loaded for each in services if each.settings.name == watched.settings.name), None)
    warn(repair for repair in api.repairs if served is not None and repair not in served.repairs)
    return None if served is not None and api.root == served.root else api


def _report(error: Exception, name: str, apis: Iterable[Settings], services: Iterable[Service]) -> None:
    """Log in one line why an API stays as it is; of an unexpected exception, --verbose logs the traceback, too."""
    name = name or "the document"
    if isinstance(error, SetupError):
        warn([f"{name}: the tools stay as they are: {str(error).removeprefix(f'{name}: ')}"])
        return
    warn([f"{name} meets a bug in portkey-bridge ({type(error).__name__}): please report it, with what --verbose logs"])
    if any(settings.verbose for settings in apis):
        redactors = [*map(_redactor, apis), *(service.bridge.redact for service in services)]
        whole = "".join(traceback.format_exception(error))
        warn(reduce(lambda text, redact: redact(text), redactors, whole).splitlines())


def _redactor(settings: Settings) -> Redactor:
    """Return what hides the secrets that an API's document is requested with."""
    names = settings.named.union(settings.assigned)
    secrets = {name: value for name, value in settings.environ.items() if name in names}
    return Redactor(secrets, {"OPEN_MCP_SPEC": settings.spec, "OPEN_MCP_BASE_URL": settings.base_url}, secrets)

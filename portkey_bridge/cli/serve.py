"""The command `serve`: over stdin and stdout, or over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_bridge import __version__
from portkey_bridge.bridge.load import named_files
from portkey_bridge.bridge.service import Service
from portkey_bridge.bridge.tracing import set_up_tracing
from portkey_bridge.builtin.running_programs import RunningPrograms
from portkey_bridge.callers.observed import Metrics, Observe, audit_logins_to, audit_to, shared_metrics
from portkey_bridge.callers.shared_documents import SharedDocuments
from portkey_bridge.callers.store import STORE_KEY, Store, open_store
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import require_services
from portkey_bridge.document.fetch import copy_path, share_copies
from portkey_bridge.document.sources import STDIN, is_file, path_of
from portkey_bridge.errors import SettingsError, SetupError
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.server import build_server, catalogue_of, live_catalogue_of
from portkey_bridge.serve.stdio_session import serve_stdio
from portkey_bridge.serve.watch import watch
from portkey_bridge.settings.file import config_path, refers
from portkey_bridge.settings.switches import DOTENV
from portkey_bridge.stdio.pipes import dropping_log
from portkey_bridge.text import is_url, printable

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from portkey_bridge.web.http_server import Address

#: The exit status by which uvicorn knows that a worker cannot start.
STARTUP_FAILURE = 3


def _files_of(invocation: Invocation, services: Sequence[Service]) -> list[Path] | None:
    """Return all files that affect what is served; None if something else does that no cache entry covers."""
    env_file = Path(invocation.options.get("env_file") or DOTENV)
    interpolates = env_file.is_file() and b"$" in env_file.read_bytes()
    interpolates = interpolates or refers(invocation.apis[0])
    configures = os.environ["FASTMCP_ENV_FILE"] != os.devnull
    lured = any(settings.apart for settings in invocation.apis)
    failed = len(services) < len(invocation.apis)
    if lured or failed or interpolates or configures:
        return None
    resources = [uri for service in services for uri in service.api.resources]
    named = [path for settings in invocation.apis for path in named_files(settings)]
    copies = [copy_path(settings.spec) for settings in invocation.apis if settings.spec and is_url(settings.spec)]
    folders = [folder for settings in invocation.apis for folder in settings.files]
    return [config_path(invocation.apis[0]), *named, *copies, *map(_file_of, resources), env_file, *folders]


def _file_of(uri: str) -> Path:
    """Return the file that a resource is read from at the start: of a URL, the last good copy."""
    return path_of(uri) if is_file(uri) else copy_path(uri)


def serve(invocation: Invocation) -> int:
    """Serve over stdio, or over HTTP if that is asked for. Raises SetupError before the first message."""
    listen = invocation.options.get("http")
    return _serve_stdio(invocation) if listen is None else _serve_http(invocation, listen)


def _serve_http(invocation: Invocation, listen: str) -> int:
    from portkey_bridge.web import http_server

    invocation = replace(invocation, apis=[replace(each, over_http=True) for each in invocation.apis])
    settings = invocation.apis[0]
    address = http_server.address_of(listen)
    store = open_store(settings.store, settings.environ.get(STORE_KEY))
    if settings.workers > 1 and not store.is_shared:
        raise SettingsError(
            f"--workers {settings.workers}: processes share large results, rates and logins by a store only. Name a "
            "Redis or Valkey with --store, or use one worker."
        )
    shown = http_server.address_of(settings.metrics, "--metrics") if settings.metrics else None
    with shared_metrics() if settings.workers > 1 else nullcontext():
        metrics = Metrics()
        app, name = _application(invocation, address, store, metrics)
        with http_server.listening(address) as listener, metrics.shown_at(*shown) if shown else nullcontext():
            address = address._replace(port=listener.getsockname()[1])
            many = f" with {settings.workers} workers" if settings.workers > 1 else ""
            print(f"portkey-bridge {__version__} serves {name}{many} at {address.url}", file=sys.stderr)
            print(f"portkey-bridge: {address.page} shows the tools to people", file=sys.stderr, flush=True)
            http_server.allow_connections()
            if settings.workers > 1:
                plain = replace(invocation, warm_start=None)
                http_server.run_workers(partial(_worker, plain, address), settings.workers, [listener])
            else:
                http_server.run_http_server(app, [listener])
    return 0


def _application(invocation: Invocation, address: Address, store: Store, metrics: Metrics) -> tuple[ASGIApp, str]:
    """Return what is served at an address, and the name of it. Raises SetupError."""
    from portkey_bridge.web import http_server

    settings = invocation.apis[0]
    set_up_tracing(os.environ)
    store = replace(store, observe=metrics.store_used)
    if store.is_shared:
        share_copies(SharedDocuments(store))
    programs = RunningPrograms(is_one_of_several=store.is_shared)
    observers: list[Observe] = [metrics, *([audit_to(sys.stdout)] if settings.audit else [])]

    def catalogue(services: Sequence[Service]) -> Catalogue:
        http_server.refuse_unsafe(address, settings, services)  # a document that changes may ask for credentials
        return catalogue_of(services, settings.pass_header, observers, store, settings.roles, programs)

    with permanent():
        services = require_services(invocation.apis, from_copies=True)
        server = build_server(services, catalogue, http_server.LIST_SECONDS, store.key("questions"))
    live = server.live
    live.background = partial(watch, invocation.apis, services, live.swap, catalogue)
    live.on_close = store.aclose
    has_metrics = settings.metrics is None and (address.is_loopback or settings.requires_token)
    logins = [metrics.login, *([audit_logins_to(sys.stdout)] if settings.audit else [])]
    app = http_server.http_app(server, settings, store, metrics if has_metrics else None, logins)
    return app, printable(server.name)


def _worker(invocation: Invocation, address: Address) -> ASGIApp:
    """Return what one of several processes serves. What the first process has said is not said again."""
    settings = invocation.apis[0]
    said = StringIO()
    try:
        with redirect_stderr(said):
            store = open_store(settings.store, settings.environ.get(STORE_KEY))
            return _application(invocation, address, store, Metrics())[0]
    except SetupError as error:
        print(f"{said.getvalue()}portkey-bridge: {error}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def _serve_stdio(invocation: Invocation) -> int:
    """Serve over stdin and stdout until stdin ends."""
    if any(settings.spec == STDIN for settings in invocation.apis):
        raise SettingsError("standard input carries the client's messages. Use a file or a URL with --spec.")
    if sys.stdin is None:
        raise SettingsError("standard input is closed. Let the client's messages arrive there.")
    with dropping_log():
        return _serve(invocation)


def _serve(invocation: Invocation) -> int:
    with permanent():
        services = require_services(invocation.apis, from_copies=True)
        settings = invocation.apis[0]
        set_up_tracing(os.environ)
        audit = [audit_to(sys.stderr)] if settings.audit else []
        store = open_store(settings.store, settings.environ.get(STORE_KEY))
        catalogue = partial(catalogue_of, observers=audit, store=store, programs=RunningPrograms())
        live = live_catalogue_of(services, catalogue)
    live.background = partial(watch, invocation.apis, services, live.swap, catalogue)
    live.on_close = store.aclose
    if invocation.warm_start and (files := _files_of(invocation, services)):
        invocation.warm_start.recorder.record(files)
    print(f"portkey-bridge {__version__} serves {printable(live.name)} over stdio", file=sys.stderr)
    asyncio.run(serve_stdio(live, invocation.warm_start))
    return 0

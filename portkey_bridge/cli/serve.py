"""The command that serves tools over stdin and stdout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from portkey_bridge import __version__
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_api
from portkey_bridge.document.sources import STDIN, is_file, path_of, portkey_document
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.model import Api
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.pipes import dropping_log
from portkey_bridge.serve.server import build_server
from portkey_bridge.switches import DOTENV
from portkey_bridge.text import printable


def _files_of(invocation: Invocation, api: Api) -> list[Path] | None:
    """Return all files that affect what is served; None if something else does that no cache entry covers."""
    settings, env_file = invocation.settings, Path(invocation.options.get("env_file") or DOTENV)
    interpolates = env_file.is_file() and b"$" in env_file.read_bytes()
    configures = os.environ["FASTMCP_ENV_FILE"] != os.devnull
    if settings.origin_from_dotenv or interpolates or configures or not all(map(is_file, api.resources)):
        return None
    return [Path(settings.spec or portkey_document()), *map(path_of, api.resources), env_file, *settings.files]


def serve_stdio(invocation: Invocation) -> int:
    """Serve over stdin and stdout until stdin ends. Raises SetupError before the first message."""
    if invocation.settings.spec == STDIN:
        raise SettingsError("standard input carries the client's messages. Use a file or a URL with --spec.")
    if sys.stdin is None:
        raise SettingsError("standard input is closed. Let the client's messages arrive there.")
    with dropping_log():
        return _serve(invocation)


def _serve(invocation: Invocation) -> int:
    with permanent():
        api = load_api(invocation.settings)
        server = build_server(api, invocation.settings)
    server.warm_start = invocation.warm_start
    if invocation.warm_start and (files := _files_of(invocation, api)):
        invocation.warm_start.recorder.record(files)
    print(f"portkey-bridge {__version__} serves {printable(api.title)} over stdio", file=sys.stderr)
    server.run("stdio", show_banner=False, log_level="WARNING")
    return 0

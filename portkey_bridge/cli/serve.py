"""The command that serves tools over stdin and stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from portkey_bridge import __version__
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_services
from portkey_bridge.config import config_path, refers
from portkey_bridge.document.sources import STDIN, is_file, path_of, portkey_document
from portkey_bridge.errors import SettingsError
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.server import build_server
from portkey_bridge.serve.service import Service
from portkey_bridge.switches import DOTENV
from portkey_bridge.text import printable


def _files_of(invocation: Invocation, services: Sequence[Service]) -> list[Path] | None:
    """Return all files that affect what is served; None if something else does that no cache entry covers."""
    env_file = Path(invocation.options.get("env_file") or DOTENV)
    interpolates = env_file.is_file() and b"$" in env_file.read_bytes()
    interpolates = interpolates or refers(invocation.apis[0])
    configures = os.environ["FASTMCP_ENV_FILE"] != os.devnull
    lured = any(settings.origin_from_dotenv for settings in invocation.apis)
    failed = len(services) < len(invocation.apis)
    resources = [uri for service in services for uri in service.api.resources]
    if lured or failed or interpolates or configures or not all(map(is_file, resources)):
        return None
    documents = [Path(settings.spec or portkey_document()) for settings in invocation.apis]
    folders = [folder for settings in invocation.apis for folder in settings.files]
    return [config_path(invocation.apis[0]), *documents, *map(path_of, resources), env_file, *folders]


def serve_stdio(invocation: Invocation) -> int:
    """Serve over stdin and stdout until stdin ends. Raises SetupError before the first message."""
    if any(settings.spec == STDIN for settings in invocation.apis):
        raise SettingsError("standard input carries the client's messages. Use a file or a URL with --spec.")
    with permanent():
        services = load_services(invocation.apis)
        server = build_server(services)
    server.warm_start = invocation.warm_start
    if invocation.warm_start and (files := _files_of(invocation, services)):
        invocation.warm_start.recorder.record(files)
    print(f"portkey-bridge {__version__} serves {printable(server.name)} over stdio", file=sys.stderr)
    server.run("stdio", show_banner=False, log_level="WARNING")
    return 0

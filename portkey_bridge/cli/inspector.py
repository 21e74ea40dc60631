"""The command `inspect`: starts the official MCP inspector with this server, its options and environment.

The inspector passes a server only the variables that its configuration lists. They are written to a session file that
only this user can read and that is deleted when the inspector ends: every user of the machine can read a command line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from portkey_bridge.bridge.service import Service
from portkey_bridge.cli.children import import_path
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import require_services
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.file import referenced_variables
from portkey_bridge.settings.options import OPTIONS

PACKAGE = "@modelcontextprotocol/inspector"

#: The oldest Node that the inspector supports.
OLDEST_NODE = (22, 19)

#: Further variables of the environment that a server needs: paths, locale and network.
PASSED_ON = re.compile(r"PATH|HOME|LANG|TMPDIR|SYSTEMROOT|(https?|all|no)_proxy|SSL_CERT_.*|OPEN_MCP_.*", re.I)


def run_inspector(invocation: Invocation) -> int:
    """Run the inspector until it ends, and return its exit code. Raises SettingsError if it cannot run."""
    npx = _npx()
    services = require_services(invocation.apis)
    session = {"mcpServers": {"portkey-bridge": _server(invocation, services, os.environ)}}
    with tempfile.TemporaryDirectory(prefix="portkey-bridge-") as folder:  # of mode 0700
        file = Path(folder) / "session.json"
        file.write_text(json.dumps(session), encoding="utf-8")
        print(f"portkey-bridge: starting {PACKAGE}; Ctrl-C ends it", file=sys.stderr)
        command = [npx, "--yes", PACKAGE, "--config", str(file)]
        # npx would take packages and settings from the working directory
        return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603  # the user asked for it


def _server(invocation: Invocation, services: Sequence[Service], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry of this server in a client's configuration."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-m", "portkey_bridge", *_flags(invocation.options)],
        "env": {**dict(_environment(services, environ)), **import_path(environ)},
        "cwd": str(Path.cwd()),
    }


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the given options as command-line arguments."""
    for option in OPTIONS:
        if option.field in options:
            yield option.flag if option.metavar is None else f"{option.flag}={options[option.field]}"
    if options.get("env_file"):
        yield f"--env-file={options['env_file']}"


def _environment(services: Sequence[Service], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that this server uses. It reads those of a `.env` itself."""
    asked_for = referenced_variables(services[0].settings)
    for service in services:
        asked_for |= {name for tool in service.tools for name in tool.variables} | service.settings.named
    for name, value in environ.items():
        if name in asked_for or PASSED_ON.fullmatch(name):
            yield name, value


def _npx() -> str:
    """Return the path of npx. Raises SettingsError if Node is missing or too old."""
    needed = f"the inspector needs Node {'.'.join(map(str, OLDEST_NODE))} or newer"
    node, npx = shutil.which("node"), shutil.which("npx")
    if node is None or npx is None:
        raise SettingsError(
            f"{needed} and there is no {'node' if node is None else 'npx'} on the PATH. Install Node.js."
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_NODE:
        raise SettingsError(f"{needed}, and {node} is {version or 'of an unknown version'}. Install a newer Node.js.")
    return npx

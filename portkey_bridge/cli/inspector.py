"""Starts the official MCP inspector on this server, with the options and the environment of this command.

The inspector passes only the variables that it is given to a server, so they are in a session file, which only this
user can read and which is gone when the inspector ends. On a command line every user of the machine could read them.
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

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings import OPTIONS, Settings
from portkey_bridge.tools.catalog import Tool

PACKAGE = "@modelcontextprotocol/inspector"

#: The oldest Node that the inspector runs on.
NODE = (22, 19)

#: Variables of the environment that a server needs besides its own: where things are, and how to reach the network.
PASSED_ON = re.compile(
    r"PATH|HOME|LANG|TMPDIR|SYSTEMROOT|PYTHONPATH|(https?|all|no)_proxy|SSL_CERT_.*|OPEN_MCP_.*", re.I
)


def run_inspector(invocation: Invocation) -> int:
    """Run the inspector until it ends, and give its exit code. Raises SettingsError where it cannot run."""
    npx = _npx()
    _, tools = load_tools(invocation.settings)
    session = {"mcpServers": {"portkey-bridge": _server(invocation, tools, os.environ)}}
    with tempfile.TemporaryDirectory(prefix="portkey-bridge-") as folder:  # of mode 0700
        file = Path(folder) / "session.json"
        file.write_text(json.dumps(session), encoding="utf-8")
        print(f"portkey-bridge: starting {PACKAGE}; Ctrl-C ends it", file=sys.stderr)
        command = [npx, "--yes", PACKAGE, "--config", str(file)]
        return subprocess.run(command, check=False).returncode  # noqa: S603  # the person asked for it


def _server(invocation: Invocation, tools: Sequence[Tool], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return this server as a client's configuration names it."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-m", "portkey_bridge", *_flags(invocation.options)],
        "env": dict(_environment(invocation.settings, tools, environ)),
        "cwd": str(Path.cwd()),
    }


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that were typed, as they are written on a command line."""
    for option in OPTIONS:
        if option.field in options:
            yield option.flag if option.metavar is None else f"{option.flag}={options[option.field]}"
    if options.get("env_file"):
        yield f"--env-file={options['env_file']}"


def _environment(settings: Settings, tools: Sequence[Tool], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that this server uses. It reads those of a `.env` itself."""
    asked_for = {name for tool in tools for name in tool.variables} | settings.credentials
    for name, value in environ.items():
        if name in asked_for or PASSED_ON.fullmatch(name):
            yield name, value


def _npx() -> str:
    """Return the path of npx. Raises SettingsError where Node is missing or too old."""
    needed = f"the inspector needs Node {'.'.join(map(str, NODE))} or newer"
    node, npx = shutil.which("node"), shutil.which("npx")
    if node is None or npx is None:
        raise SettingsError(
            f"{needed} and there is no {'node' if node is None else 'npx'} on the PATH. Install Node.js."
        )
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    version = tuple(int(number) for number in re.findall(r"\d+", told)[:2])
    if version < NODE:
        raise SettingsError(f"{needed}, and {node} is {told or 'of an unknown version'}. Install a newer Node.js.")
    return npx

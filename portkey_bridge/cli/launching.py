"""The command line with which a client starts this program, and its first start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from portkey_bridge.clients.places import System
from portkey_bridge.clients.registry import PROGRAM, KnownClient
from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.options import OPTIONS

#: Seconds that a first start may take: the launcher downloads what it does not have yet.
FIRST_START = 120

#: The first version without a handshake.
MODERN = "2026-07-28"

#: Versions of the protocol that clients ask for. What the server answers to each is cached.
VERSIONS = ("2025-11-25", "2025-06-18", MODERN)

#: The extra that an option needs, by its field.
EXTRAS = {"code": "code", "aws_sigv4": "aws", "store": "redis"}


def launcher(client: KnownClient, system: System, extras: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the command that starts this program with these extras, and a warning about it.

    The command is uvx, by its full path if the client has no PATH; else the script. Raises SettingsError if there is
    neither.
    """
    path = system.environ.get("PATH", "")
    uvx = shutil.which("uvx", path=path)
    if uvx:
        source = ["--from", f"{PROGRAM}[{','.join(extras)}]"] if extras else []
        return [str(Path(uvx).absolute()) if client.desktop else "uvx", *source, PROGRAM], None
    found = shutil.which(PROGRAM, path=f"{Path(sys.executable).parent}{os.pathsep}{path}")
    if not found:
        raise SettingsError(
            "uvx is not on the PATH. Install uv (https://docs.astral.sh/uv/), which includes it, and run this again."
        )
    return [found], f"uvx is not on the PATH, so the entry starts {found}; do not move it."


def arguments_of(options: Mapping[str, Any], system: System) -> list[str]:
    """Return the options as typed, with absolute paths: a client starts the server in another folder."""

    def absolute(path: Path) -> Path:
        return (system.project / path).resolve()

    arguments = []
    for option in OPTIONS:
        if option.field in options and option.metavar is None:
            arguments.append(option.flag)
        elif option.field in options:
            arguments += [option.flag, option.with_paths(options[option.field], absolute)]
    if options.get("env_file"):
        arguments += ["--env-file", str(absolute(Path(options["env_file"]).expanduser()))]
    return arguments


def start_once(command: Sequence[str], variables: Mapping[str, str]) -> str | None:
    """Start the server as a client does, so that the next start is quick. Return why that failed, or None.

    The launcher installs the program, and the program caches the document and its first answers.
    """
    environ = {**os.environ, **variables}
    # In a folder of its own, because clients start it anywhere, and a `.env` there would count.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        for version in VERSIONS:
            try:
                with subprocess.Popen(  # noqa: S603  # the command that the entry has
                    command, env=environ, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
                ) as process:
                    answered = _answers(process, version)
            except OSError as error:
                return str(error)
            if not answered:
                return _last_line(errors)
    return None


def _answers(process: subprocess.Popen[bytes], version: str) -> bool:
    """Send a client's first requests, and check whether all are answered in time. The server stops afterwards."""
    lines = [json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in _opening(version)]
    stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    timer = Timer(FIRST_START, process.kill)
    timer.start()
    try:
        stdin.write("".join(lines).encode())
        stdin.flush()
        answered = any(json.loads(line).get("id") == "tools" for line in stdout)
        stdin.close()
        stdout.read()
    except (OSError, ValueError, AttributeError):  # it has ended, or something else than a server was started
        process.kill()
        with suppress(OSError):
            stdin.close()
        return False
    finally:
        timer.cancel()
    return answered


def _opening(version: str) -> list[dict[str, Any]]:
    """Return the messages with which clients start a session (Model Context Protocol, lifecycle)."""
    info = {"name": PROGRAM, "version": "1"}
    if version == MODERN:
        of_client = {"protocolVersion": version, "clientInfo": info, "clientCapabilities": {}}
        meta = {"_meta": {f"io.modelcontextprotocol/{key}": value for key, value in of_client.items()}}
        return [
            {"id": "start", "method": "server/discover", "params": meta},
            {"id": "tools", "method": "tools/list", "params": meta},
        ]
    about = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
    return [
        {"id": "start", "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        {"id": "tools", "method": "tools/list"},
    ]


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it did not answer")

"""The commands `add`, `remove` and `list`: this server in the configuration of MCP clients.

Results go to stdout, messages to stderr. No command prints the value of a variable.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import print_table
from portkey_bridge.clients.files import (
    ClientFile,
    difference,
    is_readable_by_others,
    read_client_file,
    rewrite,
    with_entry,
    without_entry,
)
from portkey_bridge.clients.registry import (
    CLIENTS,
    PROGRAM,
    Client,
    System,
    client_for,
    entry_for,
    literals_in,
    locate,
    starts_this_program,
    this_system,
)
from portkey_bridge.document.sources import is_url
from portkey_bridge.errors import ClientFileError, SettingsError, SetupError
from portkey_bridge.request.servers import server_url
from portkey_bridge.settings import OPTIONS, Settings
from portkey_bridge.text import origin_of, with_shown_urls

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class FoundEntry:
    """A client's file, and its entries that start this program, by name; or the reason why it cannot be read."""

    client: Client
    path: Path
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problem: str | None = None


def add(invocation: Invocation) -> int:
    """Write the entry of this server into a client's file; return 1 if the user declines. Raises SetupError."""
    options, system = invocation.options, this_system()
    client, path = client_for(options["client"], system)
    name = options.get("name", PROGRAM)
    variables = _variables(options.get("env", ()))
    if "credentials" in options:
        options = {**options, "credentials": _bound(invocation.settings)}
    command, *arguments = [*_launch(client, system), *_arguments(options, system)]
    entry = entry_for(client, name, command, arguments, variables)
    file = read_client_file(client, path)
    present = file.entries.get(name)
    if present == entry:
        _say(f"{name} is already set up like this in {path}; nothing to do.")
        return 0
    new = with_entry(file, name, entry)
    if options.get("dry_run"):
        print(with_shown_urls(difference(file, new, name)))
        return 0
    if present is not None and not options.get("yes"):
        print(with_shown_urls(difference(file, new, name)), flush=True)
        if not _agreed(f"{path} already has a different {name}"):
            return 1
    backup = rewrite(file, new)
    _say(f"{'Added' if present is None else 'Replaced'} {name} in {path}." + _kept(backup))
    _warn_of_secrets(file, entry)
    _say(f"Restart {client.title.partition(',')[0]} to use it.")
    return 0


def remove(invocation: Invocation) -> int:
    """Remove the entry from a client's file, if it is there. Raises SetupError."""
    options = invocation.options
    client, path = client_for(options["client"], this_system())
    name = options.get("name", PROGRAM)
    file = read_client_file(client, path)
    if name not in file.entries:
        _say(f"{name} is not in {path}; nothing to do.")
        return 0
    new = without_entry(file, name)
    if options.get("dry_run"):
        print(with_shown_urls(difference(file, new, name)))
        return 0
    _say(f"Removed {name} from {path}." + _kept(rewrite(file, new)))
    return 0


def show(invocation: Invocation) -> int:
    """Print the clients that this server is set up in; return 1 if a client's file cannot be read."""
    del invocation  # the table has no options
    found = list(set_up_in(this_system()))
    rows = [(each.client.name, ", ".join(each.entries) or "-", each.path) for each in found]
    print_table(("client", "set up as", "file"), [("", rows)])
    for each in found:
        if each.problem:
            _say(each.problem)
    return int(any(each.problem for each in found))


def set_up_in(system: System) -> Iterator[FoundEntry]:
    """Read the file of every client."""
    for client in CLIENTS:
        path = locate(client, system)
        try:
            entries = read_client_file(client, path).entries
        except ClientFileError as error:
            yield FoundEntry(client, path, problem=str(error))
            continue
        yield FoundEntry(
            client, path, {name: each for name, each in entries.items() if starts_this_program(client, each)}
        )


def _variables(given: Sequence[str]) -> dict[str, str | None]:
    """Parse `KEY=VALUE`, or `KEY` for a reference to the environment. No message repeats a value."""
    variables: dict[str, str | None] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not _VARIABLE.fullmatch(key):
            raise SettingsError(
                "--env takes KEY=VALUE, or KEY to refer to the environment; KEY is the name of a variable."
            )
        variables[key] = value if equals else None
    return variables


def _launch(client: Client, system: System) -> list[str]:
    """Return the command that starts this program: uvx, by its full path if the client has no PATH; else the script.

    Raises SettingsError if there is neither.
    """
    path = system.environ.get("PATH", "")
    uvx = shutil.which("uvx", path=path)
    if uvx:
        return [str(Path(uvx).absolute()) if client.desktop else "uvx", PROGRAM]
    found = shutil.which(PROGRAM, path=f"{Path(sys.executable).parent}{os.pathsep}{path}")
    if not found:
        raise SettingsError(
            "uvx is not on the PATH. Install uv (https://docs.astral.sh/uv/), which includes it, and run this again."
        )
    _say(f"uvx is not on the PATH, so the entry starts {found}; do not move it.")
    return [found]


def _arguments(options: Mapping[str, Any], system: System) -> list[str]:
    """Return the options as typed, with absolute paths: a client starts the server in another folder."""
    arguments = []
    for option in OPTIONS:
        if option.field in options and option.metavar is None:
            arguments.append(option.flag)
        elif option.field in options:
            value, absolute = options[option.field], ABSOLUTE.get(option.field)
            arguments += [option.flag, absolute(value, system.project) if absolute else value]
    if options.get("env_file"):
        arguments += ["--env-file", _absolute(options["env_file"], system.project)]
    return arguments


def _bound(settings: Settings) -> str:
    """Return OPEN_MCP_CREDENTIALS with each name bound to the origins that the document sends it to now."""
    unbound = settings.named - settings.bound.keys()
    origins: dict[str, set[str]] = {}
    try:
        api, tools = load_tools(settings)
    except SetupError as error:
        _say(f"The credentials are not bound to an origin, because the document cannot be read: {error}")
        return ",".join(sorted(settings.credentials))
    for tool in tools:
        origin = origin_of(settings.base_url or server_url(tool.operation.servers, api.uri))
        for name in unbound.intersection(tool.variables) if origin else ():
            origins.setdefault(name, set()).add(str(origin))
    bound = [f"{name}@{origin}" for name, found in origins.items() for origin in found]
    return ",".join(sorted({*(name for name in settings.credentials if name not in origins), *bound}))


def _absolute(value: str, folder: Path) -> str:
    return str((folder / Path(value).expanduser()).resolve())


#: How to make the paths in an option absolute, by its field.
ABSOLUTE: Mapping[str, Callable[[str, Path], str]] = {
    **dict.fromkeys(("client_cert", "client_key", "ca_bundle", "login"), _absolute),
    "spec": lambda value, folder: value if is_url(value) else _absolute(value, folder),
    "files": lambda value, folder: os.pathsep.join(_absolute(each, folder) for each in value.split(os.pathsep) if each),
}


def _agreed(problem: str) -> bool:
    """Ask on the terminal whether to replace the entry. Raises SettingsError if nobody can answer."""
    if not sys.stdin.isatty():
        raise SettingsError(f"{problem}. Nothing was changed. To replace it as shown, add --yes.")
    print(f"{problem}. Replace it as shown? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        _say("Nothing was changed.")
    return agreed


def _warn_of_secrets(file: ClientFile, entry: Mapping[str, Any]) -> None:
    """Warn if others can read a value that is now in the file."""
    literal = literals_in(file.client, entry)
    if not literal:
        return
    names = " and ".join(literal)
    if is_readable_by_others(file.path):
        _say(f"warning: others on this machine can read {names} in it. Run: chmod 600 {file.path}")
    if file.client.shared and file.client.reference:
        _say(f"warning: {names} must not be committed. --env {literal[0]} refers to the environment instead.")


def _kept(backup: Path | None) -> str:
    return f" The previous file is saved as {backup}." if backup else ""


def _say(words: str) -> None:
    print(words, file=sys.stderr)

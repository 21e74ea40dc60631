"""The commands `add`, `remove` and `list`: this server in the configuration of MCP clients.

Results go to stdout, words to stderr. No command prints the value of a variable.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portkey_bridge.cli import Invocation
from portkey_bridge.client_files import (
    ClientFile,
    difference,
    is_readable_by_others,
    read_client_file,
    rewrite,
    with_entry,
    without_entry,
)
from portkey_bridge.clients import (
    CLIENTS,
    PROGRAM,
    Client,
    System,
    client_for,
    entry_for,
    is_reference,
    locate,
    starts_this_program,
    this_system,
)
from portkey_bridge.errors import ClientFileError, SettingsError
from portkey_bridge.settings import OPTIONS
from portkey_bridge.sources import is_url

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Found:
    """A client's file, and the names under which this program is set up there; or why that cannot be said."""

    client: Client
    path: Path
    names: tuple[str, ...] = ()
    problem: str | None = None


def add(invocation: Invocation) -> int:
    """Write the entry that starts this server into a client's file; 1 if the person says no. Raises SetupError."""
    options, system = invocation.options, this_system()
    client, path = client_for(options["client"], system)
    name = options.get("name", PROGRAM)
    variables = _variables(options.get("env", ()))
    entry = entry_for(client, name, _command(client, system), _arguments(options, system), variables)
    file = read_client_file(client, path)
    present = file.entries.get(name)
    if present == entry:
        _say(f"{name} is set up in {path} in just this way; nothing to do.")
        return 0
    new = with_entry(file, name, entry)
    if options.get("dry_run"):
        print(difference(file, new, name))
        return 0
    if present is not None and not options.get("yes"):
        print(difference(file, new, name), flush=True)
        if not _agreed(f"{path} has another {name} already"):
            return 1
    backup = rewrite(file, new)
    _say(f"{name} is {'added to' if present is None else 'replaced in'} {path}." + _kept(backup))
    _warn_of_secrets(file, entry, client.key("env"))
    _say(f"Restart {client.title.partition(',')[0]} to use it.")
    return 0


def remove(invocation: Invocation) -> int:
    """Take the entry out of a client's file; one that is not there is as good as removed. Raises SetupError."""
    options = invocation.options
    client, path = client_for(options["client"], this_system())
    name = options.get("name", PROGRAM)
    file = read_client_file(client, path)
    if name not in file.entries:
        _say(f"{name} is not in {path}; nothing to do.")
        return 0
    new = without_entry(file, name)
    if options.get("dry_run"):
        print(difference(file, new, name))
        return 0
    _say(f"{name} is removed from {path}." + _kept(rewrite(file, new)))
    return 0


def show(invocation: Invocation) -> int:
    """Print in which clients this server is set up; 1 if a client's file cannot be read."""
    del invocation  # the table has no options
    found = list(set_up_in(this_system()))
    width = max(len(each.client.name) for each in found)
    names = {each.client.name: ", ".join(each.names) or "-" for each in found}
    second = max(map(len, names.values()))
    for each in found:
        print(f"{each.client.name:{width}}  {names[each.client.name]:{second}}  {each.path}")
    for each in found:
        if each.problem:
            _say(each.problem)
    return int(any(each.problem for each in found))


def set_up_in(system: System) -> Iterator[Found]:
    """Look into the file of every client."""
    for client in CLIENTS:
        path = locate(client, system)
        try:
            entries = read_client_file(client, path).entries
        except ClientFileError as error:
            yield Found(client, path, problem=str(error))
            continue
        yield Found(client, path, tuple(name for name, entry in entries.items() if starts_this_program(client, entry)))


def _variables(given: Sequence[str]) -> dict[str, str | None]:
    """Read `KEY=VALUE`, and `KEY` for a reference to the environment. No message repeats a value."""
    variables: dict[str, str | None] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not _VARIABLE.fullmatch(key):
            raise SettingsError(
                "--env takes KEY=VALUE, or KEY to refer to the environment, with a variable's name as KEY."
            )
        variables[key] = value if equals else None
    return variables


def _command(client: Client, system: System) -> str:
    """Give the command that runs a Python program without an installation; by its full path where PATH is not known."""
    found = shutil.which("uvx", path=system.environ.get("PATH"))
    install = "Install uv (https://docs.astral.sh/uv/), which brings it"
    if found and client.desktop:
        return str(Path(found).absolute())
    if client.desktop:
        raise SettingsError(
            f"uvx is not on the PATH, and {client.title} needs its place. {install}, and run this again."
        )
    if not found:
        _say(f"warning: uvx is not on the PATH. {install}.")
    return "uvx"


def _arguments(options: Mapping[str, Any], system: System) -> list[str]:
    """Give the arguments that start the server with the options that were typed."""
    arguments = [PROGRAM]
    for option in OPTIONS:
        if option.field not in options:
            continue
        value = options[option.field]
        if option.field == "spec" and not is_url(value):
            value = str((system.project / Path(value).expanduser()).resolve())
        arguments += [option.flag] if option.metavar is None else [option.flag, value]
    return arguments


def _agreed(problem: str) -> bool:
    """Ask on the terminal whether to replace what is there. Raises SettingsError where nobody can answer."""
    if not sys.stdin.isatty():
        raise SettingsError(f"{problem}. Nothing was changed. To replace it as shown, add --yes.")
    print(f"{problem}. Replace it as shown? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        _say("Nothing was changed.")
    return agreed


def _warn_of_secrets(file: ClientFile, entry: Mapping[str, Any], key: str) -> None:
    """Say who else can read a value that now stands in the file."""
    literal = [name for name, value in entry.get(key, {}).items() if not is_reference(file.client, value)]
    if not literal:
        return
    names = " and ".join(literal)
    if is_readable_by_others(file.path):
        _say(f"warning: others on this machine can read {names} in it. Run: chmod 600 {file.path}")
    if file.client.shared and file.client.reference:
        _say(f"warning: {names} must not be committed with it. --env {literal[0]} refers to the environment instead.")


def _kept(backup: Path | None) -> str:
    return f" The file as it was is kept in {backup}." if backup else ""


def _say(words: str) -> None:
    print(words, file=sys.stderr)

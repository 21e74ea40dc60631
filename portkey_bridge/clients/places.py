"""Where the configuration files of MCP clients are on this machine, and which client a file belongs to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from portkey_bridge.clients.registry import CLIENTS, FOLDERS, FORMATS, JSON_FILE, LINUX, KnownClient
from portkey_bridge.clients.spans import Unreadable
from portkey_bridge.errors import SettingsError

#: A JSON file of the form that most clients use, but not the file of a known client.
OTHER = KnownClient("file", "the client of this file", {})

#: Containers that only the clients of CLIENTS use, so that they identify the form of a file.
IDENTIFYING = {"mcpServers", "servers", "context_servers", "amp.mcpServers", "mcp_servers", "extensions"}


@dataclass(frozen=True)
class System:
    """The facts about the machine that decide where files are."""

    platform: str
    environ: Mapping[str, str]
    home: Path
    project: Path


def this_system() -> System:
    """Return the facts about this machine, user and working directory."""
    return System(sys.platform, os.environ, Path.home(), Path.cwd())


def locate(client: KnownClient, system: System) -> Path:
    """Return the path of a client's file, which may not exist."""
    files = client.files.get(system.platform, client.files[LINUX])
    usual = next((folder, path) for folder, path in files if "*" not in path)
    found = [path for file in files for path in _candidates(system, *file) if path.parent.is_dir()]
    if not found:
        return _folder(system, usual[0]) / usual[1]
    return next((path for path in found if path.parent == found[0].parent and path.exists()), found[0])


def client_for(word: str, system: System) -> tuple[KnownClient, Path]:
    """Return the client and its file for the name of a client or the path of a file.

    Raises SettingsError.
    """
    known = next((client for client in CLIENTS if client.name == word), None)
    if known is not None:
        return known, locate(known, system)
    path = system.project / Path(word).expanduser()
    if path.suffix in FORMATS:
        return _client_of_file(path), path
    names = [client.name for client in CLIENTS]
    near = get_close_matches(word, names, n=1)
    raise SettingsError(
        f"{word} is not a supported client"
        + (f", did you mean {near[0]}? " if near else ". ")
        + f"Use one of {', '.join(names)}, or a file that ends in {', '.join(FORMATS)}."
    )


def _client_of_file(path: Path) -> KnownClient:
    """Return the client that a file belongs to, judged by its path, else by its content.

    Raises SettingsError if neither is certain: clients ignore an entry in another client's form.
    """
    for client in sorted(CLIENTS, key=lambda client: not client.shared):
        if any(_is_file_of(path, *file) for files in client.files.values() for file in files):
            return client
    of_format = [client for client in CLIENTS if client.format is FORMATS[path.suffix]]
    try:
        value = of_format[0].format.read(path.read_text("utf-8-sig") if path.exists() else "")
    except (OSError, UnicodeDecodeError, Unreadable):
        return of_format[0]  # whoever reads the file reports what is wrong with it
    fitting = {client.container: client for client in reversed(of_format) if _is_in_form(client, value)}
    if len(fitting) != 1:
        raise SettingsError(_choices(path, of_format))
    (client,) = fitting.values()
    if client.format is JSON_FILE and client.container == OTHER.container:
        return replace(OTHER, title=f"the client of {path.name}")
    return replace(client, desktop=False)


def _is_in_form(client: KnownClient, value: Any) -> bool:
    """Check whether the content of a file has the container of a client, and no other client's could be meant."""
    container = value.get(client.container) if isinstance(value, Mapping) else None
    return client.container in IDENTIFYING and isinstance(container, list if client.listed else Mapping)


def _choices(path: Path, of_format: Sequence[KnownClient]) -> str:
    """Return the message that asks which client a file belongs to."""
    by_container: dict[str, list[str]] = {}
    for client in of_format:
        if client.container in IDENTIFYING:
            by_container.setdefault(client.container, []).append(client.name)
    kinds = "; ".join(f"{container} for {', '.join(names)}" for container, names in by_container.items())
    return (
        f"{path}: its format is not known: it is not the usual file of a client, and it has no servers yet. Use the "
        f"name of the client instead of the path, or create the file with the key of its client: {kinds}."
    )


def _is_file_of(path: Path, folder: str, relative: str) -> bool:
    parts = (*Path(FOLDERS[folder][1]).parts, *Path(relative).parts)
    return "*" not in relative and path.parts[-len(parts) :] == parts


def _candidates(system: System, folder: str, path: str) -> Iterator[Path]:
    base = _folder(system, folder)
    if "*" not in path:
        return iter([base / path])
    name = Path(path).name
    return iter(sorted(parent / name for parent in base.glob(str(Path(path).parent))))


def _folder(system: System, name: str) -> Path:
    variable, default = FOLDERS[name]
    named = system.environ.get(variable, "").strip() if variable else ""
    # The XDG Base Directory Specification ignores relative paths, which make no sense for the others either.
    if named and Path(named).is_absolute():
        return Path(named)
    return (system.project if name == "project" else system.home) / default

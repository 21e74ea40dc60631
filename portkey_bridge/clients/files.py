"""Changes one entry of a client's configuration file, or nothing.

A change is written only if the new text parses to the old value with this one entry changed. Writing is atomic: if
interrupted, the file is the old or the new one.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portkey_bridge.clients.entries import entries_in, is_variable_reference, starts_this_program
from portkey_bridge.clients.registry import KnownClient
from portkey_bridge.clients.spans import Edit, String, Unreadable, edited
from portkey_bridge.document.files import replace_file
from portkey_bridge.errors import ClientFileError

_BOM = "\ufeff"
_MASK = '"***"'
_OTHER_MASK = '"*** (another value)"'


@dataclass(frozen=True)
class ClientFile:
    """A file as it was read. `content` is None if the file does not exist; `text` has no byte order mark."""

    client: KnownClient
    path: Path
    content: bytes | None
    text: str

    @property
    def entries(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the entries by name."""
        return dict(entries_in(self.client, self.client.format.read(self.text)))


def read_client_file(client: KnownClient, path: Path) -> ClientFile:
    """Read and parse a client's file. Raises ClientFileError with line and column."""
    try:
        content = path.read_bytes() if path.exists() else None
        text = (content or b"").decode().removeprefix(_BOM)
        client.format.read(text)
    except Unreadable as error:
        raise _refused(path, error) from None
    except UnicodeDecodeError as error:
        raise ClientFileError(f"{path}: byte {error.start + 1} is not UTF-8. Save the file as UTF-8.") from None
    except OSError as error:
        raise ClientFileError(f"{path}: cannot be read ({error.strerror}). Check its mode and owner.") from None
    return ClientFile(client, path, content, text)


def with_entry(file: ClientFile, name: str, entry: Mapping[str, Any]) -> str:
    """Return the file's text with an entry added or replaced. Raises ClientFileError."""
    client = file.client
    text = file.text if file.text.strip() else client.fresh or file.text
    try:
        new = client.format.put(text, client.container, name, entry, client.listed)
        _see_only_entry_changed(client, text, new, name, entry)
    except Unreadable as error:
        raise _refused(file.path, error) from None
    return new


def without_entry(file: ClientFile, name: str) -> str:
    """Return the file's text with an entry removed. Raises ClientFileError."""
    client = file.client
    try:
        new = client.format.drop(file.text, client.container, name)
        _see_only_entry_changed(client, file.text, new, name, None)
    except Unreadable as error:
        raise _refused(file.path, error) from None
    return new


def text_difference(file: ClientFile, new: str, name: str) -> str:
    """Return a unified diff of the changed lines, without secrets.

    Only values of this entry are shown, except those of its variables. The diff has no context lines, because their
    comments may contain secrets.
    """
    present = file.entries.get(name)
    known = None if present is None else _texts(file.client, file.text)
    lines = difflib.unified_diff(
        _masked(file.client, file.text, name, None).splitlines(),
        _masked(file.client, new, name, known).splitlines(),
        str(file.path) if file.content is not None else os.devnull,
        str(file.path),
        n=0,
        lineterm="",
    )
    return "\n".join(lines)


def rewrite(file: ClientFile, new: str) -> Path | None:
    """Replace the text of the file, and return the path of the backup if one was made.

    Follows links, and keeps mode and owner. Only its owner can read a new file. Raises ClientFileError.
    """
    target = Path(os.path.realpath(file.path))
    mark = _BOM if (file.content or b"").startswith(_BOM.encode()) else ""
    try:
        if (target.read_bytes() if target.exists() else None) != file.content:
            raise ClientFileError(f"{file.path}: another program has just changed it. Run this again.")
        backup = target.with_name(target.name + ".bak")
        needed = file.content is not None and not backup.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        if needed:
            replace_file(backup, file.content or b"", like=target)
        replace_file(target, (mark + new).encode(), like=target)
    except OSError as error:
        problem = f"cannot be written ({error.strerror}). It was not changed"
        remedy = "Make room there and let this user write it, and run this again."
        raise ClientFileError(f"{file.path}: {problem}. {remedy}") from None
    return backup if needed else None


def is_readable_by_others(path: Path) -> bool:
    """Check whether group or others may read a file. False on Windows, where the mode does not tell."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _refused(path: Path, error: Unreadable) -> ClientFileError:
    return ClientFileError(
        f"{path}:{error.line}:{error.column}: {error.problem}. It was not changed. Correct it and run this again."
    )


def _see_only_entry_changed(
    client: KnownClient, old: str, new: str, name: str, entry: Mapping[str, Any] | None
) -> None:
    """Raise Unreadable if an edit changed anything but the entry."""
    rest, _ = _apart(client, client.format.read(old), name)
    with contextlib.suppress(Unreadable):
        if _apart(client, client.format.read(new), name) == (rest, [] if entry is None else [entry]):
            return
    raise Unreadable(f"{client.container} is written in a way that this program cannot edit; edit it manually", 1, 1)


def _apart(client: KnownClient, value: Mapping[str, Any], name: str) -> tuple[Any, list[Any]]:
    """Return a configuration without the entry, and the entry. An empty container equals a missing one."""
    others = value.get(client.container)
    if isinstance(others, list):
        others = [item for item in others if not isinstance(item, Mapping) or item.get("name") != name]
    if isinstance(others, Mapping):
        others = {key: entry for key, entry in others.items() if key != name}
    rest = {key: child for key, child in value.items() if key != client.container}
    return (rest, others or None), [entry for key, entry in entries_in(client, value) if key == name]


def _masked(client: KnownClient, text: str, name: str, known: frozenset[tuple[Any, str]] | None) -> str:
    """Return the text with secret strings masked, by a different mask if they are not `known`."""
    entry = dict(entries_in(client, client.format.read(text))).get(name, {})
    ours = starts_this_program(client, entry)
    edits: dict[tuple[int, int], Edit] = {}
    for string in client.format.strings(text):
        raw = text[string.start : string.end]
        own = string.path[:2] == (client.container, name)
        if not own or not _is_shown(client, string, raw, ours):
            changed = own and known is not None and (string.path, raw) not in known
            edits[string.start, string.end] = Edit(string.start, string.end, _OTHER_MASK if changed else _MASK)
    return edited(text, *edits.values())


def _is_shown(client: KnownClient, string: String, raw: str, ours: bool) -> bool:
    """Check whether a string of the entry may be shown."""
    key = string.path[2] if len(string.path) > 2 else None
    if key == client.key("command") and string.path[3:] in ((), (0,)):
        return True
    if key == client.key("env"):
        return is_variable_reference(client, raw.strip("\"'"))
    return (
        ours
        and key in (client.key("command"), client.key("args"), client.forwards, *client.extra)
        and not re.search(r"://[^/]*@", raw)
    )


def _texts(client: KnownClient, text: str) -> frozenset[tuple[Any, str]]:
    return frozenset((string.path, text[string.start : string.end]) for string in client.format.strings(text))

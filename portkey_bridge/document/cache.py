"""Caches expensive results in the user's cache folder, from one start to the next.

A cache may be missing, damaged, full, foreign or forbidden; then it is as if nothing had been kept. Whoever reads an
entry names all that it was made of, so that nothing old is taken for new. The folder is used only if it is this user's
and nobody else may write to it, and nothing in it is deleted that is not an entry.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from portkey_bridge.document.files import replace_file

#: Entries that are kept; the longest unused go first.
ENTRIES = 64

#: What each entry begins with, before the digest of its name and content.
MAGIC = b"portkey-bridge cache 1\n"

_enabled = True

#: The bytes of a digest.
_DIGEST = hashlib.sha256().digest_size

#: Opens neither a link nor, with waiting for the other end, a pipe.
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def set_enabled(enabled: bool) -> None:
    """Turn the cache on or off for this process. While it is off, nothing is read from its folder or written to it."""
    global _enabled
    _enabled = enabled


def cache_folder() -> Path:
    """Return the folder of this program's entries, which need not exist."""
    return user_cache_path("portkey-bridge")


def name_of(kind: str, parts: Iterable[bytes]) -> str:
    """Return the name of the `kind` of entry that is made of `parts` and of nothing else."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"{kind}-{digest.hexdigest()}"


@functools.cache
def program() -> tuple[bytes, ...]:
    """Return what says which program this is: the interpreter, its own modules, and the packages that are installed.

    The modules count with their sizes and times, which change with their content, the packages with their versions,
    which are part of the names of their metadata (Binary distribution format).
    """
    own = [(path, path.stat()) for path in sorted(Path(__file__).parents[1].rglob("*.py"))]
    modules = (os.fsencode(path) + f" {found.st_size} {found.st_mtime_ns}".encode() for path, found in own)
    packages = (os.fsencode(path) for folder in sys.path for path in sorted(Path(folder).glob("*.dist-info")))
    return (sys.version.encode(), *modules, *packages)


def read_entry(name: str) -> bytes | None:
    """Return what was kept under `name`, or None where it is missing, damaged or somebody else's."""
    if not _enabled or not _is_own_folder():
        return None
    try:
        with os.fdopen(os.open(cache_folder() / name, _READING), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not is_own(found):
                return None
            kept = file.read()
            with suppress(OSError):
                os.utime(cache_folder() / name)  # used now; where nothing can be written, nothing is forgotten either
    except OSError:
        return None
    content = kept[len(MAGIC) + _DIGEST :]
    return content if kept.startswith(_head(name, content)) else None


def write(name: str, content: bytes) -> None:
    """Keep `content` under `name` in one step; a reader sees the old entry or the new one, never a part."""
    if not _enabled:
        return
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_own_folder():
            return
        replace_file(cache_folder() / name, _head(name, content) + content, sync=False)  # a part would be recognized
        _forget_oldest()


def forget(name: str) -> None:
    """Keep nothing under `name` any more."""
    if not _enabled or not _is_own_folder():
        return
    with suppress(OSError):
        (cache_folder() / name).unlink(missing_ok=True)


def _head(name: str, content: bytes) -> bytes:
    """Return what an entry begins with: that it is one, and a digest of its name and content."""
    return MAGIC + hashlib.sha256(name.encode() + b"\n" + content).digest()


def _is_own_folder() -> bool:
    """Check whether the folder exists and is this user's, and nobody else may write to it."""
    try:
        found = cache_folder().stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and is_own(found)


def is_own(found: os.stat_result) -> bool:
    """Check whether a file or folder is this user's, and nobody else may write to it. Windows cannot tell."""
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & _OTHERS_WRITE)


def _forget_oldest() -> None:
    """Delete the oldest entries. Whatever else is in the folder was put there by somebody, and stays."""
    entries = sorted(filter(_is_entry, cache_folder().iterdir()), key=lambda path: path.lstat().st_mtime, reverse=True)
    for path in entries[ENTRIES:]:
        path.unlink(missing_ok=True)


def _is_entry(path: Path) -> bool:
    try:
        with os.fdopen(os.open(path, _READING), "rb") as file:
            return stat.S_ISREG(os.fstat(file.fileno()).st_mode) and file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False

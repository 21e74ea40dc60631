"""Caches expensive results in the user's cache folder, from one start to the next.

A cache may be missing, damaged, full, foreign or forbidden; then it is as if nothing had been kept. Whoever reads an
entry names all that it was made of, so that nothing old is taken for new.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

#: Entries that are kept; the longest unused go first.
ENTRIES = 64

_enabled = True

#: The bytes of the digest at the start of each entry.
_DIGEST = hashlib.sha256().digest_size


def set_enabled(enabled: bool) -> None:
    """Turn the cache on or off for this process. While it is off, nothing is read from its folder or written to it."""
    global _enabled
    _enabled = enabled


def folder() -> Path:
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


def read(name: str) -> bytes | None:
    """Return what was kept under `name`, or None where it is missing, damaged or somebody else's."""
    if not _enabled:
        return None
    path = folder() / name
    try:
        with path.open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            kept = file.read()
    except OSError:
        return None
    with suppress(OSError):
        os.utime(path)  # used now; where nothing can be written, nothing is forgotten either
    digest, content = kept[:_DIGEST], kept[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def write(name: str, content: bytes) -> None:
    """Keep `content` under `name` in one step; a reader sees the old entry or the new one, never a part."""
    if not _enabled:
        return
    import tempfile

    with suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder(), prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
            Path(temporary).replace(folder() / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _forget_oldest()


def forget(name: str) -> None:
    """Keep nothing under `name` any more."""
    if not _enabled:
        return
    with suppress(OSError):
        (folder() / name).unlink(missing_ok=True)


def _forget_oldest() -> None:
    entries = sorted(folder().iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in entries[ENTRIES:]:
        path.unlink(missing_ok=True)

"""Replaces a file in one step: whoever reads it sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, like: Path | None = None, sync: bool = True) -> None:
    """Write a file in one step. A failure, such as a full disk, leaves the file as it was, and no other behind.

    Only its owner can read the file, unless there is one that it is `like`, whose mode and owner it gets. Its folder is
    made if it is missing. With `sync`, the content is on the disk before the old one is given up. Raises OSError.
    """
    import tempfile  # slow to import, and most starts write nothing

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(handle)
        if like is not None and like.exists():
            _take_after(Path(temporary), like.stat())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _take_after(path: Path, status: os.stat_result) -> None:
    """Set the owner and the mode of a file to those of another one."""
    own = path.stat()
    if os.name == "posix" and (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))

"""The program on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import program


def on_a_terminal(
    *words: str, env: Mapping[str, str], cwd: Path, command: Sequence[str] | None = None, reads: bool = False
) -> str:
    """Return what the program with these words, or another command, writes to a terminal, which it `reads` from or not.

    Nothing is typed there.
    """
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        child = subprocess.Popen(
            command or program(*words, env=env),
            env={"TERM": "xterm-256color", "COLUMNS": "120", **env},
            cwd=cwd,
            stdin=theirs if reads else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(screen.fileno()), b""))
        child.wait(60)
    return shown.decode().replace("\r\n", "\n")


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux says so when the last writer is gone
        return b""

"""The program on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def on_a_terminal(
    *words: str, env: Mapping[str, str], cwd: Path, program: Sequence[str] = ("-m", "portkey_bridge")
) -> str:
    """Give what the command line, or another `program` of Python's, writes to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        child = subprocess.Popen(
            [sys.executable, *program, *words],
            env={"TERM": "xterm-256color", "COLUMNS": "120", **env},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
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

"""Answers that the server gave in an earlier session, and everything that they depend on outside of the session.

The command line, variables, working directory, program and packages are in the name of the cache entry; the state of
each file is in the entry itself. An entry is not used after any of its files has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from portkey_bridge.document import cache

#: Prefixes of the variables that affect what is served.
PREFIXES = ("OPEN_MCP_", "FASTMCP_", "MCP_")


class SavedAnswers(NamedTuple):
    """One entry: the state of each file that the answers depend on, and the answers by their keys."""

    files: dict[str, str]
    answers: dict[str, str]


def entry_name(typed: Sequence[str]) -> str:
    """Return the name of the entry for a command line. Raises OSError if there is no working directory."""
    return cache.name_of("answers", _circumstances(typed))


def load(name: str) -> SavedAnswers | None:
    """Return the entry of this name, unless a file has changed since it was saved."""
    content = cache.read(name)
    saved = SavedAnswers(**json.loads(content)) if content else None
    return saved if saved and all(state_of(path) == state for path, state in saved.files.items()) else None


def save(name: str, saved: SavedAnswers) -> None:
    """Write the entry of this name."""
    cache.write(name, json.dumps(saved._asdict()).encode())


def state_of(path: str) -> str:
    """Return the digest and real path of a file; for anything else, its kind or the error of looking at it."""
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        if not stat.S_ISREG(kind):
            return f"{kind:o}"  # reading a pipe may block, and consumes its content
        with Path(path).open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {os.path.realpath(path)}"
    except OSError as error:
        return type(error).__name__


def _circumstances(typed: Sequence[str]) -> Iterable[bytes]:
    """Yield everything outside of files that affects what is served."""
    yield json.dumps([[*typed], sys.path]).encode()
    yield os.fsencode(Path.cwd())
    yield json.dumps(_variables(os.environ), sort_keys=True).encode("utf-8", "surrogatepass")
    yield from cache.program()


def _variables(environ: Mapping[str, str]) -> list[Any]:
    """Return the variables that affect what is served, and the names of those that are unusable as credentials."""
    relevant = {name: value for name, value in environ.items() if name.upper().startswith(PREFIXES) or name == "HOME"}
    return [relevant, sorted(name for name, value in environ.items() if not value.strip().isprintable())]

"""The words that turn an option on or off, and whether the cache is off.

The cache is used before the other modules of this package can be imported, so this one imports nothing slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

ON, OFF = frozenset(("1", "true", "yes", "on")), frozenset(("0", "false", "no", "off"))

#: The switch of the cache, as `options` declares it.
NO_CACHE, CACHE_VARIABLE = "--no-cache", "OPEN_MCP_CACHE"

DOTENV = ".env"

ENV_FILE = "--env-file"


def may_use_cache(typed: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Check whether the cache is certainly on: by an option, else the environment, else the `.env` or `--env-file`.

    False also where only `reading` can decide, for example for a value that takes another variable's.
    """
    if NO_CACHE in typed:
        return False
    if CACHE_VARIABLE in environ:
        return _is_on(environ[CACHE_VARIABLE])
    return all(map(_leaves_cache_on, _env_files(typed)))


def _is_on(text: str) -> bool:
    return not text or text.lower() in ON


def _env_files(typed: Sequence[str]) -> list[Path]:
    named = [word.partition("=")[2] for word in typed if word.startswith(f"{ENV_FILE}=")]
    named += [value for flag, value in pairwise(typed) if flag == ENV_FILE]
    return [Path(name or DOTENV) for name in named or [DOTENV]]


def _leaves_cache_on(file: Path) -> bool:
    """Check that each line of a file that names the variable is a comment or plainly sets it to on.

    A pipe is not read, because only the first reader gets its content.
    """
    if not file.exists() or file.is_dir():
        return True
    if not file.is_file():
        return False
    try:
        lines = [line.strip() for line in file.read_text("utf-8", "replace").splitlines() if CACHE_VARIABLE in line]
    except OSError:
        return False
    return all(line.startswith("#") or _is_on(line.removeprefix(f"{CACHE_VARIABLE}=").strip()) for line in lines)

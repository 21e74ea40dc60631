"""Answers that the server gave in an earlier session, and everything that they depend on outside of the session.

The command line, variables, program and packages are in the name of the cache entry, apart from options that no answer
depends on; so is the working directory, if a path is relative to it. The state of each file is in the entry itself,
which is not used after any of its files has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from portkey_bridge.document import cache
from portkey_bridge.settings.switches import DOTENV, OFF, ON

#: Prefix of the variables of options.
OPTION_PREFIX = "OPEN_MCP_"

#: Prefixes of the variables that affect what is served.
PREFIXES = (OPTION_PREFIX, "FASTMCP_", "MCP_")

#: Options that affect calls alone, and not what a client is told before, with the values that the server is sure to
#: accept; another one must reach it, to be refused.
_ONE, _THREE = re.compile(r"[1-9]\d{0,4}"), re.compile(r"[1-9]\d{0,4}(?:,[1-9]\d{0,4}){2}")
NUMBERS = {"--retries": _ONE, "--concurrency": _ONE, "--timeouts": _THREE, "--kept-results": _THREE}
SWITCHES = dict.fromkeys(("--verbose", "--validate-responses"), re.compile("|".join(ON | OFF)))
WITHOUT_EFFECT = {**NUMBERS, **SWITCHES}

#: Options whose values are paths.
PATHS = (
    *("--spec", "--files", "--env-file", "--config", "--overlays", "--login"),
    *("--client-cert", "--client-key", "--ca-bundle"),
)


class SavedAnswers(NamedTuple):
    """One entry: the state of each file that the answers depend on, and the answers by their keys."""

    files: dict[str, str]
    answers: dict[str, str]


def entry_name(typed: Sequence[str]) -> str:
    """Return the name of the entry for a command line. Raises OSError if there is no working directory."""
    return cache.name_of("answers", _circumstances(typed))


def load(name: str) -> SavedAnswers | None:
    """Return the entry of this name, unless a file has changed since it was saved."""
    content = cache.read_entry(name)
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
    words = [*_deciding(typed)]
    variables = _variables(os.environ)
    yield json.dumps([words, sys.path]).encode()
    yield json.dumps(variables, sort_keys=True).encode("utf-8", "surrogatepass")
    yield state_of(DOTENV).encode("utf-8", "surrogatepass")
    paths = [value for flag, value in words if flag in PATHS]
    paths += [value for flag in PATHS if (value := os.environ.get(_variable(flag)))]
    folder = Path.cwd()
    if not all(map(_is_absolute, paths)):
        yield os.fsencode(folder)
    yield from cache.program()


def _variables(environ: Mapping[str, str]) -> list[Any]:
    """Return the variables that affect what is served, and the names of those that are unusable as credentials."""
    without_effect = {_variable(flag): pattern for flag, pattern in WITHOUT_EFFECT.items()}
    relevant = {
        name: value
        for name, value in environ.items()
        if (name.upper().startswith(PREFIXES) or name == "HOME")
        and not (name in without_effect and without_effect[name].fullmatch(value))
    }
    return [relevant, sorted(name for name, value in environ.items() if not value.strip().isprintable())]


def _variable(flag: str) -> str:
    return OPTION_PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def _deciding(typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word of a command line and the value of the option that it is, without those that decide nothing.

    A word that is not an option with a value yields an empty one.
    """
    words = iter(typed)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in (*NUMBERS, *PATHS) and not equals:
            value = next(words, "")
        if word not in SWITCHES and not (flag in NUMBERS and NUMBERS[flag].fullmatch(value)):
            yield flag, value


def _is_absolute(value: str) -> bool:
    """Check whether the value of an option with a path does not depend on the working directory."""
    return all("://" in path[:8] or path == "-" or Path(path).expanduser().is_absolute() for path in _paths(value))


def _paths(value: str) -> list[str]:
    return [value] if "://" in value[:8] else [path for path in re.split(f"[,{os.pathsep}]", value) if path]

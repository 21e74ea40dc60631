"""The words that turn an option on or off, whether the cache is off, and the variables of `.env` files.

`settings` reads every option. The cache is used before `settings` can be imported, so this module imports nothing slow.

A file that `--env-file` names is trusted, a `.env` of the working directory is not: anybody may have written it, since
it comes with whatever was unpacked or cloned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from portkey_bridge.errors import SettingsError

ON, OFF = frozenset(("1", "true", "yes", "on")), frozenset(("0", "false", "no", "off"))

#: The switch of the cache, as `settings` declares it.
NO_CACHE, CACHE_VARIABLE = "--no-cache", "OPEN_MCP_CACHE"

DOTENV = ".env"

ENV_FILE = "--env-file"

#: Prefix of this program's own variables.
OWN = "OPEN_MCP_"


def may_use_cache(typed: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Check whether the cache is certainly on: by an option, else the environment, else the `.env` or `--env-file`.

    False also where only `settings` can decide, for example for a value that takes another variable's.
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


def env_file_values(path: str | None) -> dict[str, str]:
    """Return the variables of the named file, else of `.env`. Raises SettingsError.

    Only a file that is named may refer to variables of the environment: those in a `.env` could be sent away.
    """
    from dotenv import dotenv_values  # slow to import

    try:
        values = dotenv_values(path or DOTENV, interpolate=path is not None)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path or DOTENV}: cannot be read ({error}). Correct the file or its mode.") from error
    if path and (not Path(path).exists() or Path(path).is_dir()):
        raise SettingsError(f"{path}: no such file. Correct --env-file.")
    found = {name: value for name, value in values.items() if value is not None}
    return found if path else _resolved_within(found)


def distrusted(variables: Sequence[str], danger: str) -> SettingsError:
    """Return the error about variables in `.env` that would do what `danger` says."""
    names = " and ".join(variables)
    return SettingsError(
        f"{names} in {Path(DOTENV).absolute()} {danger}. If you want that, start with --env-file {DOTENV}; if not, "
        f"remove {names} from that file."
    )


def _resolved_within(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with references to each other resolved, without those that refer to others.

    Raises SettingsError if a variable of this program is among those.
    """
    from dotenv.variables import Variable, parse_variables

    resolved: dict[str, str] = {}
    for name, value in values.items():
        atoms = list(parse_variables(value))
        references = [each for each in atoms if isinstance(each, Variable)]
        outside = [each.name for each in references if each.name not in resolved and each.default is None]
        if not outside:
            resolved[name] = "".join(each.resolve(resolved) for each in atoms)
        elif name.startswith(OWN):
            raise distrusted([name], f"refers to {' and '.join(outside)}, which is not set above it in that file")
    return resolved

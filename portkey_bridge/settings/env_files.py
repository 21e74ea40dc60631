"""The variables of `.env` files, and what a file that nobody named may not decide.

A file that `--env-file` names is trusted, a `.env` of the working directory is not: anybody may have written it, since
it comes with whatever was unpacked or cloned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.switches import DOTENV
from portkey_bridge.text import is_url

#: Options that decide what is fetched before it is known which credentials are sent.
FETCHING = frozenset(("OPEN_MCP_SPEC", "OPEN_MCP_BASE_URL", "OPEN_MCP_ALLOW_REFS"))

#: Prefix of this program's own variables.
OWN = "OPEN_MCP_"


def env_file_values(path: str | None) -> dict[str, str]:
    """Return the variables of the named file, else of `.env`. Raises SettingsError.

    Only a file that is named may refer to variables of the environment: those in a `.env` could be sent away.
    """
    from dotenv import dotenv_values  # slow to import

    if path is None and Path(DOTENV).is_fifo():
        raise SettingsError(f"{DOTENV}: is a pipe, which may block for ever. Name it with --env-file, or remove it.")
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


def refuse_untrusted(settings: Settings) -> None:
    """Refuse options that the `.env` of the working directory must not set, before anything is read or sent.

    Raises SettingsError.
    """
    if settings.refused:
        raise distrusted(settings.refused, "could open this machine to whoever wrote the file")


def refuse_lured_credentials(settings: Settings, variables: Iterable[str]) -> None:
    """Refuse to let a `.env` of the working directory decide where the real environment's credentials go.

    `variables` are the credentials that would be sent. Raises SettingsError.
    """
    real = sorted(name for name in variables if name not in settings.from_dotenv)
    if settings.apart and real:
        raise distrusted(settings.apart, f"would redirect credentials of the environment: {', '.join(real)}")


def refuse_lured_document(settings: Settings) -> None:
    """Refuse to fetch what a `.env` of the working directory names, if it could get any credentials.

    A document from a URL gets only those that are named, so this is certain before anything is sent. Raises
    SettingsError.
    """
    if is_url(settings.spec or "") and not FETCHING.isdisjoint(settings.apart):
        set_ones = (name for name in settings.named if settings.environ.get(name, "").strip())
        refuse_lured_credentials(settings, [*set_ones, *beside_variables(settings)])


def beside_variables(settings: Settings) -> list[str]:
    """Return what is sent of a person besides variables: a `.env` of the working directory must not redirect it."""
    every = {"the login of --login": settings.login, "the client certificate": settings.client_cert}
    return [name for name, value in every.items() if value is not None]

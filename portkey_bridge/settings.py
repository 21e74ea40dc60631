"""Options, environment and `.env` become one frozen value.

An option wins over its variable, the real environment over a file. The table OPTIONS is the only place where an
option is declared: the command line, its help and `.env.example` follow from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from portkey_bridge.errors import SettingsError

#: The characters of a result from which on it is shown as a view.
RESULT_LIMIT = 40_000

#: How often a request is sent again, and how many calls run at the same time.
RETRIES, CONCURRENCY = 2, 16

DOTENV = ".env"

#: What the variables begin with that give the variables of a document's servers their values.
SERVER = "OPEN_MCP_SERVER_"


@dataclass(frozen=True)
class Timeouts:
    """Seconds for connecting, for each read, and for the whole call. A language model may think for minutes."""

    connect: float = 10
    read: float = 300
    whole: float = 900


@dataclass(frozen=True)
class Bounds:
    """How many results are kept, of how many bytes together, for how many seconds since they were last read."""

    count: int = 32
    bytes: int = 128_000_000
    seconds: float = 3600


@dataclass(frozen=True)
class Option:
    """One setting: its field in Settings, its flag, its variable and what `--help` says.

    `metavar` is None for a switch. `decides_origin` marks what decides where credentials go.
    """

    field: str
    flag: str
    variable: str
    metavar: str | None
    help: str
    decides_origin: bool = False


OPTIONS = (
    Option(
        "spec",
        "--spec",
        "OPEN_MCP_SPEC",
        "FILE|URL",
        "OpenAPI document to serve, by its path or URL; without it, the Portkey API",
        decides_origin=True,
    ),
    Option(
        "allow_refs",
        "--allow-refs",
        "OPEN_MCP_ALLOW_REFS",
        "HOST,…",
        "hosts besides the document's own where it may refer to others",
        decides_origin=True,
    ),
    Option(
        "base_url",
        "--base-url",
        "OPEN_MCP_BASE_URL",
        "URL",
        "send every request there instead of to the document's servers, for example a self-hosted gateway",
        decides_origin=True,
    ),
    Option("tools", "--tools", "OPEN_MCP_TOOLS", "NAME,…", "serve only these tools; * stands for any characters"),
    Option(
        "exclude", "--exclude", "OPEN_MCP_EXCLUDE", "NAME,…", "do not serve these tools; * stands for any characters"
    ),
    Option(
        "tag",
        "--tag",
        "OPEN_MCP_TAG",
        "TAG,…",
        "serve only tools with one of these tags, upper and lower case alike; * stands for any characters",
    ),
    Option(
        "read_only",
        "--read-only",
        "OPEN_MCP_READ_ONLY",
        None,
        "serve only tools that change nothing, such as every GET",
    ),
    Option(
        "discover",
        "--discover",
        "OPEN_MCP_DISCOVER",
        None,
        "list three tools instead of all: one that searches, one that shows schemas, and one that calls",
    ),
    Option(
        "path_item_tools",
        "--path-item-tools",
        "OPEN_MCP_PATH_ITEM_TOOLS",
        None,
        "add the informational servers_… and parameters_… tools",
    ),
    Option(
        "schema_budget",
        "--schema-budget",
        "OPEN_MCP_SCHEMA_BUDGET",
        "N|full",
        "characters of schema that a tool lists before the rest becomes stubs (default: the fewer tools, the more)",
    ),
    Option(
        "files",
        "--files",
        "OPEN_MCP_FILES",
        "DIR",
        f"let calls send files from below DIR, and large answers be written there; {os.pathsep!r} separates several",
        decides_origin=True,
    ),
    Option(
        "credentials",
        "--credentials",
        "OPEN_MCP_CREDENTIALS",
        "NAME,…",
        "variables that the document may use as credentials although their names look like somebody else's; of a "
        "document from a URL, all that it may use",
    ),
    Option(
        "result_limit",
        "--result-limit",
        "OPEN_MCP_RESULT_LIMIT",
        "N",
        f"characters of a result before it is shown as a view that can be read on (default {RESULT_LIMIT})",
    ),
    Option(
        "kept_results",
        "--kept-results",
        "OPEN_MCP_KEPT_RESULTS",
        "N,MB,MIN",
        "how many large results are kept to be read on, how many megabytes of them, which is also the most of one "
        "answer, and how many minutes (default 32,128,60)",
    ),
    Option(
        "timeouts",
        "--timeouts",
        "OPEN_MCP_TIMEOUTS",
        "S,S,S",
        "seconds for connecting, for each read and for the whole call (default 10,300,900)",
    ),
    Option(
        "retries", "--retries", "OPEN_MCP_RETRIES", "N", "how often a call is sent again where that is safe (default 2)"
    ),
    Option(
        "concurrency", "--concurrency", "OPEN_MCP_CONCURRENCY", "N", "calls at the same time (default 16); others wait"
    ),
    Option(
        "validate_responses",
        "--validate-responses",
        "OPEN_MCP_VALIDATE_RESPONSES",
        None,
        "say in a result where the answer is not what the document declares",
    ),
    Option("verbose", "--verbose", "OPEN_MCP_VERBOSE", None, "write one line a call to stderr"),
)


@dataclass(frozen=True)
class Settings:
    """What the person asked for. `environ` holds the variables that credentials are taken from.

    `server_variables` are those of the document's servers, under the names that the environment has for them.

    `from_dotenv` names the variables whose value comes from the `.env` of the working directory.
    """

    spec: str | None = None
    allow_refs: tuple[str, ...] = ()
    base_url: str | None = None
    tools: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    read_only: bool = False
    discover: bool = False
    path_item_tools: bool = False
    schema_budget: float | None = None
    files: tuple[Path, ...] = ()
    credentials: frozenset[str] = frozenset()
    result_limit: int = RESULT_LIMIT
    kept_results: Bounds = field(default_factory=Bounds)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: int = RETRIES
    concurrency: int = CONCURRENCY
    validate_responses: bool = False
    verbose: bool = False
    server_variables: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_dotenv: frozenset[str] = frozenset()
    origin_from_dotenv: tuple[str, ...] = ()


def read_settings(flags: Mapping[str, Any], environ: Mapping[str, str], env_file: str | None = None) -> Settings:
    """Combine the command line's `flags` (by field), the environment, and `.env` or the file that was named.

    Raises SettingsError for a value that cannot be used.
    """
    filed = _env_file(env_file)
    merged = {**filed, **environ}
    found = {option.field: flags.get(option.field, merged.get(option.variable) or None) for option in OPTIONS}
    from_dotenv = frozenset() if env_file else frozenset(filed.keys() - environ.keys())
    return Settings(
        spec=found["spec"],
        allow_refs=_names(found["allow_refs"]),
        base_url=_base_url(found["base_url"]),
        tools=_names(found["tools"]),
        exclude=_names(found["exclude"]),
        tag=_names(found["tag"]),
        discover=_switch(found["discover"], "OPEN_MCP_DISCOVER"),
        read_only=_switch(found["read_only"], "OPEN_MCP_READ_ONLY"),
        path_item_tools=_switch(found["path_item_tools"], "OPEN_MCP_PATH_ITEM_TOOLS"),
        schema_budget=_budget(found["schema_budget"]),
        files=_folders(found["files"]),
        credentials=frozenset(_names(found["credentials"])),
        result_limit=_number(found["result_limit"], "OPEN_MCP_RESULT_LIMIT", RESULT_LIMIT, least=1000),
        kept_results=_bounds(found["kept_results"]),
        timeouts=Timeouts(*_numbers(found["timeouts"], "OPEN_MCP_TIMEOUTS", "10,300,900")),
        retries=_number(found["retries"], "OPEN_MCP_RETRIES", RETRIES, least=0),
        concurrency=_number(found["concurrency"], "OPEN_MCP_CONCURRENCY", CONCURRENCY, least=1),
        validate_responses=_switch(found["validate_responses"], "OPEN_MCP_VALIDATE_RESPONSES"),
        verbose=_switch(found["verbose"], "OPEN_MCP_VERBOSE"),
        server_variables={name: value for name, value in merged.items() if name.startswith(SERVER) and value},
        environ=merged,
        from_dotenv=from_dotenv,
        origin_from_dotenv=(
            *(
                option.variable
                for option in OPTIONS
                if option.decides_origin and option.field not in flags and option.variable in from_dotenv
            ),
            *sorted(name for name in from_dotenv if name.startswith(SERVER)),
        ),
    )


def as_variable(name: str) -> str:
    """Return a name of a document in upper snake case, as variables are written: `apiVersion` is API_VERSION."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()


def refuse_lured_credentials(settings: Settings, variables: Iterable[str]) -> None:
    """Refuse to send the credentials of the real environment where a `.env` that lies around says.

    `variables` are the credentials that would be sent. Raises SettingsError.
    """
    real = sorted(name for name in variables if name not in settings.from_dotenv)
    if settings.origin_from_dotenv and real:
        decides = " and ".join(settings.origin_from_dotenv)
        raise SettingsError(
            f"{decides} in {Path(DOTENV).resolve()} would decide where {' and '.join(real)} is sent, "
            "which comes from the environment. "
            f"If you mean that, start with --env-file {DOTENV}; if not, remove {decides} from that file."
        )


def _env_file(path: str | None) -> dict[str, str]:
    try:
        values = dotenv_values(path or DOTENV)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path or DOTENV}: cannot be read ({error}). Correct the file or its mode.") from error
    if path and (not Path(path).exists() or Path(path).is_dir()):
        raise SettingsError(f"{path}: there is no such file. Correct --env-file.")
    return {name: value for name, value in values.items() if value is not None}


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _folders(text: str | None) -> tuple[Path, ...]:
    folders = tuple(Path(name).expanduser() for name in (text or "").split(os.pathsep) if name)
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"{folder}: there is no such folder. Correct --files or OPEN_MCP_FILES.")
    return folders


def _switch(value: Any, variable: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, bool) or value is None:
        return bool(value)
    if str(value).lower() not in known:
        raise SettingsError(f"{variable}={value!r} is neither yes nor no. Set it to 1 or 0.")
    return known[str(value).lower()]


def _budget(value: str | None) -> float | None:
    if value is None:
        return None
    if value == "full":
        return float("inf")
    if not value.isdecimal():
        raise SettingsError(f"OPEN_MCP_SCHEMA_BUDGET={value!r} is no number of characters. Set it to one, or to full.")
    return int(value)


def _number(value: str | None, variable: str, default: int, least: int) -> int:
    if value is None:
        return default
    if not value.isascii() or not value.isdecimal() or int(value) < least:
        raise SettingsError(f"{variable}={value!r} is no number of at least {least}. Set it to one.")
    return int(value)


def _numbers(value: str | None, variable: str, default: str) -> tuple[float, float, float]:
    parts = (default if value is None else value).split(",")
    try:
        first, second, third = map(float, parts)
    except ValueError:
        first = second = third = 0.0
    if not all(0 < number < float("inf") for number in (first, second, third)):
        raise SettingsError(f"{variable}={value!r} is not three numbers above 0. Set it to some like {default}.")
    return first, second, third


def _bounds(value: str | None) -> Bounds:
    count, megabytes, minutes = _numbers(value, "OPEN_MCP_KEPT_RESULTS", "32,128,60")
    return Bounds(int(max(count, 1)), int(megabytes * 1_000_000), minutes * 60)


def is_sendable(url: str) -> bool:
    """Check whether httpx can send to a URL. It refuses hosts that urllib takes, such as `256.1.1.1` and `xn--a`."""
    import httpx  # slow to import, and loaded anyway where requests are sent

    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _base_url(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and value.isprintable() and " " not in value and is_sendable(value)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            f"base URL {value!r} is no http or https URL. Set OPEN_MCP_BASE_URL or --base-url to one like "
            "https://gateway.example.com/v1."
        )
    return value

"""Readers of the texts of options: each takes the text and the name of the variable, and raises SettingsError."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.switches import OFF, ON
from portkey_bridge.settings.values import (
    HTTP_SCHEMES,
    VARIABLE,
    Assigned,
    AwsTarget,
    Bounds,
    HttpLimits,
    Jwt,
    ProgramLimits,
    Timeouts,
)
from portkey_bridge.text import is_sendable, is_url, origin_of, shown_url, with_shown_urls


def as_typed(text: str, _: str) -> str:
    """Return the text."""
    return text


def names(text: str, _: str) -> tuple[str, ...]:
    """Return the names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def credential_names(text: str, variable: str) -> frozenset[str]:
    """Parse `NAME,NAME@ORIGIN,…`."""
    return frozenset(_credential(each, variable) for each in names(text, variable))


def _credential(text: str, variable: str) -> str:
    name, at, url = text.partition("@")
    origin = origin_of(url)
    if not VARIABLE.fullmatch(name) or (at and origin is None):
        raise SettingsError(
            f"{variable}: expected NAME or NAME@ORIGIN such as API_KEY@https://api.example.com, not {shown_url(text)!r}"
        )
    return f"{name}@{origin}" if at else name


#: The name or IPv4 address of a host, and any characters in it as a pattern; an IPv6 address; a host as in a URL.
NAME, IPV6 = r"[^\s\x00-\x1f/?#@:\[\]]+", r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
HOST = rf"(?:{NAME}|\[{IPV6}\])(?::(?:\d{{1,5}}|\*))?"

#: Hosts of any port, hosts with or without a port, and origins (RFC 6454 section 6.2).
HOST_NAMES, HOSTS = re.compile(f"{NAME}|{IPV6}"), re.compile(HOST)
ORIGINS = re.compile(rf"\*|null|[A-Za-z][A-Za-z0-9+.*-]*://{HOST}/?")


def places(text: str, variable: str, among: re.Pattern[str], example: str) -> tuple[str, ...]:
    """Return the hosts or origins between commas."""
    found = names(text, variable)
    if wrong := next((each for each in found if not among.fullmatch(each)), None):
        raise SettingsError(f"{variable}: expected values such as {example}, got {_shown(wrong)!r}.")
    return found


def _shown(text: str) -> str:
    """Return what was probably meant as a URL or host, without its login and query."""
    return shown_url(text if "://" in text else text.rpartition("@")[2])


def variable_name(text: str, variable: str) -> str:
    """Return the name of a variable. No message repeats the text, which could be a secret."""
    if not VARIABLE.fullmatch(text):
        raise SettingsError(f"{variable}: expected the name of an environment variable. The value belongs in it.")
    return text


def assigned_places(text: str, variable: str, name: re.Pattern[str]) -> tuple[Assigned, ...]:
    """Parse `NAME=VARIABLE,…`: where a credential goes, and the variable of its value. No message repeats a text."""
    parts = (each.rpartition("=") for each in names(text, variable))
    pairs = tuple(Assigned(place.strip(), value.strip()) for place, _, value in parts)
    for place, value in pairs:
        if not name.fullmatch(place) or not VARIABLE.fullmatch(value):
            raise SettingsError(
                f"{variable}: expected NAME=VARIABLE, with the name that the API expects and the environment variable "
                "that contains the value, such as X-API-Key=MY_KEY. The value itself belongs in the variable."
            )
    return pairs


def scheme(text: str, variable: str) -> Assigned | None:
    """Parse `basic=VARIABLE` or another scheme of HTTP authentication."""
    kind, _, name = text.partition("=")
    if kind.lower() not in HTTP_SCHEMES or not VARIABLE.fullmatch(name):
        ways = " or ".join(f"{each}=VARIABLE" for each in HTTP_SCHEMES)
        raise SettingsError(f"{variable}: expected {ways}, with the environment variable that contains the credential.")
    return Assigned(kind.lower(), name)


def aws(text: str, variable: str) -> AwsTarget | None:
    """Parse `REGION/SERVICE`."""
    region, _, service = text.partition("/")
    if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", text):
        raise SettingsError(f"{variable}: expected REGION/SERVICE such as us-east-1/execute-api, got {text!r}.")
    return AwsTarget(region, service)


def one_of(text: str, variable: str, among: tuple[str, ...]) -> str:
    """Return a word that is one of several, in lower case."""
    if text.lower() not in among:
        raise SettingsError(f"{variable}: expected one of {', '.join(among)}, got {text!r}.")
    return text.lower()


def folders(text: str, _: str) -> tuple[Path, ...]:
    """Return existing folders, separated as in PATH."""
    found = tuple(Path(name).expanduser() for name in text.split(os.pathsep) if name)
    for folder in found:
        if not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder. Correct --files or OPEN_MCP_FILES.")
    return found


def files(text: str, _: str) -> tuple[Path, ...]:
    """Return the files between commas, which need not exist."""
    return tuple(Path(name).expanduser() for name in text.split(",") if name)


def file(text: str, variable: str) -> Path:
    """Return an existing file."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise SettingsError(f"{path}: no such file. Correct {variable}.")
    return path


def boolean(text: str, variable: str) -> bool:
    """Parse `1`, `0` or one of their other words."""
    if text.lower() not in ON | OFF:
        raise SettingsError(f"{variable}: expected 1 or 0, got {text!r}.")
    return text.lower() in ON


def budget(value: str, variable: str) -> float:
    """Parse a number of characters, or `full` for infinity."""
    if value == "full":
        return float("inf")
    if not value.isdecimal():
        raise SettingsError(f"{variable}: expected a number of characters or full, got {value!r}.")
    return int(value)


def number(value: str, variable: str, least: int, most: float) -> int:
    """Parse an integer from `least` to `most`."""
    if not value.isascii() or not value.isdecimal() or int(value) < least:
        raise SettingsError(f"{variable}: expected an integer of at least {least}, got {value!r}.")
    if int(value) > most:
        raise SettingsError(f"{variable}: expected at most {most}, got {value!r}.")
    return int(value)


def code(text: str, variable: str) -> str:
    """Return `only`, `also`, or an empty text for no programs."""
    mode = dict.fromkeys(ON, "only") | dict.fromkeys(OFF, "") | {"only": "only", "also": "also"}
    if text.lower() not in mode:
        raise SettingsError(f"{variable}: expected only or also, got {text!r}.")
    return mode[text.lower()]


def numbers(value: str, variable: str, example: object) -> tuple[float, ...]:
    """Parse as many numbers as the example has."""
    count = str(example).count(",") + 1
    try:
        parts = tuple(map(float, value.split(",")))
    except ValueError:
        parts = ()
    if len(parts) != count or not all(0 < part < float("inf") for part in parts):
        words = {3: "three", 5: "five"}[count]
        raise SettingsError(f"{variable}: expected {words} numbers above 0 such as {example}, got {value!r}.")
    return parts


def timeouts(value: str, variable: str) -> Timeouts:
    """Parse seconds."""
    return Timeouts(*numbers(value, variable, Timeouts()))


def result_bounds(value: str, variable: str) -> Bounds:
    """Parse a number, megabytes and minutes."""
    count, megabytes, minutes = numbers(value, variable, Bounds())
    return Bounds(int(max(count, 1)), int(megabytes * 1_000_000), minutes * 60)


def http_limits(value: str, variable: str) -> HttpLimits:
    """Parse two numbers and megabytes."""
    calls, waiting, megabytes = numbers(value, variable, HttpLimits())
    return HttpLimits(int(max(calls, 1)), int(waiting), int(megabytes * 1_000_000))


def rates(value: str, variable: str) -> str:
    """Check `N/UNIT,…`, the syntax of rates of the library `limits`."""
    from limits import parse_many

    try:
        parse_many(value)
    except ValueError as error:
        example = "60/minute,1000/hour"
        raise SettingsError(f"{variable}: expected rates such as {example}, got {value!r}.") from error
    return value


def program_limits(value: str, variable: str) -> ProgramLimits:
    """Parse seconds, megabytes, two numbers, and thousands of characters."""
    seconds, megabytes, calls, concurrency, thousands = numbers(value, variable, ProgramLimits())
    counts = int(max(calls, 1)), int(max(concurrency, 1)), int(max(thousands * 1000, 1))
    return ProgramLimits(seconds, int(megabytes * 1_000_000), *counts)


def tokens(value: str, variable: str) -> tuple[tuple[str, str], ...]:
    """Parse `NAME=DIGEST,…`."""
    pairs = [item.partition("=") for item in names(value, variable)]
    if not all(name and re.fullmatch(r"[0-9a-f]{64}", digest) for name, _, digest in pairs):
        raise SettingsError(
            f"{variable}: expected NAME=DIGEST with the SHA-256 digest of each token in 64 hexadecimal digits, as "
            "sha256sum prints it. The tokens themselves do not belong there."
        )
    return tuple((name.strip(), digest) for name, _, digest in pairs)


def jwt(value: str, variable: str) -> Jwt:
    """Parse `KEYS,ISSUER,AUDIENCE`."""
    parts = names(value, variable)
    if len(parts) != 3 or not _is_http_url(parts[0]):
        raise SettingsError(
            f"{variable}: expected the URL of the keys, the issuer and the audience, got {with_shown_urls(value)!r}."
        )
    return Jwt(*parts)


def header_name(value: str, variable: str) -> str:
    """Return the name of a header in lower case."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise SettingsError(f"{variable}: expected the name of a header such as x-portkey-api-key, got {value!r}.")
    return value.lower()


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return usable and value.isprintable() and " " not in value and is_sendable(value)
    except ValueError:
        return False


def document_source(value: str, variable: str) -> str:
    """Return the path or URL of a document. Raises SettingsError for a URL that nothing can be fetched from."""
    if is_url(value) and origin_of(value) is None:
        raise SettingsError(f"{variable}: {shown_url(value)!r} is not a URL like https://api.example.com/openapi.json.")
    return value


def api_url(value: str, _: str) -> str:
    """Return the URL that requests go to."""
    if not _is_http_url(value):
        raise SettingsError(
            f"base URL {_shown(value)!r} is not an http or https URL. Set OPEN_MCP_BASE_URL or --base-url to a URL "
            "like https://gateway.example.com/v1."
        )
    return value


def endpoint(value: str, variable: str) -> str:
    """Return the URL of an endpoint."""
    if not _is_http_url(value):
        raise SettingsError(f"{variable}: {shown_url(value)!r} is not a URL like https://login.example.com/token.")
    return value


def scopes(text: str, _: str) -> tuple[str, ...]:
    """Return scopes, separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())

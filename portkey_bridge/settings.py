"""Options, environment and `.env` become one frozen value.

An option overrides its variable, and the real environment overrides a file. A row of Settings is the only place where
an option is declared, with its default, its reader and its help: the command line, its help and `.env.example` follow
from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from portkey_bridge.errors import SettingsError
from portkey_bridge.switches import OFF, ON, distrusted, env_file_values
from portkey_bridge.text import origin_of, shown_url

T = TypeVar("T")

#: Longest result in characters; longer ones are shown as a view.
RESULT_LIMIT = 40_000

#: Prefix of the variables that set the server variables of a document.
SERVER = "OPEN_MCP_SERVER_"

#: Which operations carry credentials: those that the document says, all of them, or none.
AUTHENTICATE = ("declared", "all", "none")

#: HTTP authentication schemes that `--scheme` adds (RFC 7617, RFC 6750, RFC 7616).
SCHEMES = ("basic", "bearer", "digest")

#: The variable of the secret that requests to AWS are signed with.
AWS_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  # its name

#: Names of environment variables, of header fields and cookies (RFC 9110 section 5.6.2), and of query parameters.
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
QUERY_NAME = re.compile(r"[^\x00-\x1f=]+")
#: Names of headers that may carry a credential: all but those of the connection and the body.
HEADER_NAME = re.compile(
    rf"(?!(?:host|content-.*|transfer-encoding|connection|upgrade|te|trailer)$){TOKEN.pattern}", re.I
)


@dataclass(frozen=True)
class Timeouts:
    """Seconds for connecting, for each read, and for the whole call. A language model may think for minutes."""

    connect: float = 10
    read: float = 300
    whole: float = 900

    def __str__(self) -> str:
        return f"{self.connect:g},{self.read:g},{self.whole:g}"


@dataclass(frozen=True)
class Bounds:
    """Limits of the kept results: their number, their total bytes, and the seconds since they were last read."""

    count: int = 32
    bytes: int = 128_000_000
    seconds: float = 3600

    def __str__(self) -> str:
        return f"{self.count},{self.bytes / 1_000_000:g},{self.seconds / 60:g}"


class HttpLimits(NamedTuple):
    """Requests of one caller at the same time, requests that wait, and bytes of the body of one."""

    calls: int = 64
    waiting: int = 256
    bytes: int = 10_000_000

    def __str__(self) -> str:
        return f"{self.calls},{self.waiting},{self.bytes / 1_000_000:g}"


class ProgramLimits(NamedTuple):
    """Limits of one program: seconds, bytes of memory, calls, calls at the same time, and printed characters."""

    seconds: float = 30
    bytes: int = 128_000_000
    calls: int = 500
    concurrency: int = 8
    characters: int = 1_000_000

    def __str__(self) -> str:
        thousands = f"{self.calls},{self.concurrency},{self.characters / 1000:g}"
        return f"{self.seconds:g},{self.bytes / 1_000_000:g},{thousands}"


class Jwt(NamedTuple):
    """The JSON Web Tokens that are accepted: where their keys are, who issues them, and for which audience."""

    keys: str
    issuer: str
    audience: str


Dotenv = Literal["refused", "apart", "harmless"]
"""What the `.env` of the working directory may do with an option, since anybody may have written that file.

`harmless` options send, name and open nothing. Those that decide where credentials go, or which ones, are kept `apart`
from the real environment: they may only be combined with credentials of the same file. All others are `refused`.
"""


@dataclass(frozen=True)
class Option:
    """One option of the command line and its variable. Both are named after its field in Settings.

    `read` takes the text and the name of the variable, and raises SettingsError. `metavar` is None for a switch.
    `dotenv` is what the `.env` of the working directory may do with it. One that is `repeatable` is named in the
    singular on the command line; the variable separates its values with commas. `table` is the table of the settings
    file that it stands in: `api` for an option of one API, `serve` for one of the whole server, and empty for neither.
    `bare` is the value of an option that the command line may name without one; its metavar lists the others.
    """

    field: str
    default: Any
    read: Callable[[str, str], Any]
    metavar: str | None
    text: str
    dotenv: Dotenv = "refused"
    repeatable: bool = False
    table: str = "api"
    bare: str | None = None

    @property
    def flag(self) -> str:
        """The command-line option; it turns off a switch that is on by default."""
        name = self.field.removesuffix("s") if self.repeatable else self.field
        return f"--{'no-' if self.default is True else ''}{name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"OPEN_MCP_{self.field.upper()}"

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.default, tuple | frozenset)

    @property
    def separator(self) -> str:
        """What separates the items of a list in its text."""
        return os.pathsep if self.metavar == "DIR" else ","

    @property
    def help(self) -> str:
        """The text of `--help`, with the default filled in."""
        return self.text.replace("{default}", str(self.default))


def _option(
    default: T,
    read: Callable[[str, str], T],
    metavar: str | None,
    text: str,
    *,
    dotenv: Dotenv = "refused",
    repeatable: bool = False,
    table: str = "api",
    bare: str | None = None,
) -> T:
    """Declare the option of a field of Settings. What `.env` must not set is the default, so that no row forgets it."""
    return field(default=default, metadata={"option": (default, read, metavar, text, dotenv, repeatable, table, bare)})


def _text(text: str, _: str) -> str:
    return text


def _names(text: str, _: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _credentials(text: str, variable: str) -> frozenset[str]:
    """Parse `NAME,NAME@ORIGIN,…`."""
    return frozenset(_credential(each, variable) for each in _names(text, variable))


def _credential(text: str, variable: str) -> str:
    name, at, url = text.partition("@")
    origin = origin_of(url)
    if at and (origin is None or not name):
        raise SettingsError(
            f"{variable}: expected NAME or NAME@ORIGIN such as API_KEY@https://api.example.com, not {shown_url(text)!r}"
        )
    return f"{name}@{origin}" if at else name


class Assigned(NamedTuple):
    """What a credential is for, such as the name of a header, and the variable that contains its value."""

    name: str
    variable: str

    def __str__(self) -> str:
        return f"{self.name}={self.variable}"


def _places(text: str, variable: str, name: re.Pattern[str]) -> tuple[Assigned, ...]:
    """Parse `NAME=VARIABLE,…`: where a credential goes, and the variable of its value. No message repeats a text."""
    parts = (each.rpartition("=") for each in _names(text, variable))
    pairs = tuple(Assigned(place.strip(), value.strip()) for place, _, value in parts)
    for place, value in pairs:
        if not name.fullmatch(place) or not VARIABLE.fullmatch(value):
            raise SettingsError(
                f"{variable}: expected NAME=VARIABLE, with the name that the API expects and the environment variable "
                "that contains the value, such as X-API-Key=MY_KEY. The value itself belongs in the variable."
            )
    return pairs


def _scheme(text: str, variable: str) -> Assigned | None:
    kind, _, name = text.partition("=")
    if kind.lower() not in SCHEMES or not VARIABLE.fullmatch(name):
        ways = " or ".join(f"{each}=VARIABLE" for each in SCHEMES)
        raise SettingsError(f"{variable}: expected {ways}, with the environment variable that contains the credential.")
    return Assigned(kind.lower(), name)


class AwsTarget(NamedTuple):
    """The region and the service that requests are signed for."""

    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.region}/{self.service}"


def _aws(text: str, variable: str) -> AwsTarget | None:
    region, _, service = text.partition("/")
    if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", text):
        raise SettingsError(f"{variable}: expected REGION/SERVICE such as us-east-1/execute-api, got {text!r}.")
    return AwsTarget(region, service)


def _authenticate(text: str, variable: str) -> str:
    if text.lower() not in AUTHENTICATE:
        raise SettingsError(f"{variable}: expected one of {', '.join(AUTHENTICATE)}, got {text!r}.")
    return text.lower()


def _folders(text: str, _: str) -> tuple[Path, ...]:
    folders = tuple(Path(name).expanduser() for name in text.split(os.pathsep) if name)
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder. Correct --files or OPEN_MCP_FILES.")
    return folders


def _files(text: str, _: str) -> tuple[Path, ...]:
    return tuple(Path(name).expanduser() for name in text.split(",") if name)


def _file(text: str, variable: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise SettingsError(f"{path}: no such file. Correct {variable} or its option.")
    return path


def _switch(text: str, variable: str) -> bool:
    if text.lower() not in ON | OFF:
        raise SettingsError(f"{variable}: expected 1 or 0, got {text!r}.")
    return text.lower() in ON


def _budget(value: str, variable: str) -> float:
    if value == "full":
        return float("inf")
    if not value.isdecimal():
        raise SettingsError(f"{variable}: expected a number of characters or full, got {value!r}.")
    return int(value)


def _number(value: str, variable: str, least: int) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) < least:
        raise SettingsError(f"{variable}: expected an integer of at least {least}, got {value!r}.")
    return int(value)


def _code(text: str, variable: str) -> str:
    mode = dict.fromkeys(ON, "only") | dict.fromkeys(OFF, "") | {"only": "only", "also": "also"}
    if text.lower() not in mode:
        raise SettingsError(f"{variable}: expected only or also, got {text!r}.")
    return mode[text.lower()]


def _numbers(value: str, variable: str, example: object) -> tuple[float, ...]:
    """Parse as many numbers as the example has."""
    count = str(example).count(",") + 1
    try:
        numbers = tuple(map(float, value.split(",")))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(0 < number < float("inf") for number in numbers):
        words = {3: "three", 5: "five"}[count]
        raise SettingsError(f"{variable}: expected {words} numbers above 0 such as {example}, got {value!r}.")
    return numbers


def _timeouts(value: str, variable: str) -> Timeouts:
    return Timeouts(*_numbers(value, variable, Timeouts()))


def _bounds(value: str, variable: str) -> Bounds:
    count, megabytes, minutes = _numbers(value, variable, Bounds())
    return Bounds(int(max(count, 1)), int(megabytes * 1_000_000), minutes * 60)


def _http_limits(value: str, variable: str) -> HttpLimits:
    calls, waiting, megabytes = _numbers(value, variable, HttpLimits())
    return HttpLimits(int(max(calls, 1)), int(waiting), int(megabytes * 1_000_000))


def _rates(value: str, variable: str) -> str:
    """Check `N/UNIT,…`, the syntax of rates of the library `limits`."""
    from limits import parse_many

    try:
        parse_many(value)
    except ValueError as error:
        example = "60/minute,1000/hour"
        raise SettingsError(f"{variable}: expected rates such as {example}, got {value!r}.") from error
    return value


def _program_limits(value: str, variable: str) -> ProgramLimits:
    seconds, megabytes, calls, concurrency, thousands = _numbers(value, variable, ProgramLimits())
    counts = int(max(calls, 1)), int(max(concurrency, 1)), int(max(thousands * 1000, 1))
    return ProgramLimits(seconds, int(megabytes * 1_000_000), *counts)


def _tokens(value: str, variable: str) -> tuple[tuple[str, str], ...]:
    pairs = [item.partition("=") for item in _names(value, variable)]
    if not all(name and re.fullmatch(r"[0-9a-f]{64}", digest) for name, _, digest in pairs):
        raise SettingsError(
            f"{variable}: expected NAME=DIGEST with the SHA-256 digest of each token in 64 hexadecimal digits, as "
            "sha256sum prints it. The tokens themselves do not belong there."
        )
    return tuple((name.strip(), digest) for name, _, digest in pairs)


def _jwt(value: str, variable: str) -> Jwt:
    parts = _names(value, variable)
    if len(parts) != 3 or not parts[0].startswith(("https://", "http://")):
        raise SettingsError(f"{variable}: expected the URL of the keys, the issuer and the audience, got {value!r}.")
    return Jwt(*parts)


def _header_name(value: str, variable: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise SettingsError(f"{variable}: expected the name of a header such as x-portkey-api-key, got {value!r}.")
    return value.lower()


def is_sendable(url: str) -> bool:
    """Check whether httpx can send to a URL. It refuses hosts that urllib takes, such as `256.1.1.1` and `xn--a`."""
    import httpx  # slow to import, and loaded anyway where requests are sent

    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return usable and value.isprintable() and " " not in value and is_sendable(value)
    except ValueError:
        return False


def _base_url(value: str, _: str) -> str:
    if not _is_http_url(value):
        shown = shown_url(value if "://" in value else f"//{value.rpartition('@')[2]}").removeprefix("//")
        raise SettingsError(
            f"base URL {shown!r} is not an http or https URL. Set OPEN_MCP_BASE_URL or --base-url to a URL like "
            "https://gateway.example.com/v1."
        )
    return value


def _endpoint(value: str, variable: str) -> str:
    if not _is_http_url(value):
        raise SettingsError(f"{variable}: {shown_url(value)!r} is not a URL like https://login.example.com/token.")
    return value


def _scopes(text: str, _: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


@dataclass(frozen=True)
class Settings:
    """What the user asked for: one row for each option, then values from the settings file, the environment and `.env`.

    `name` and `prefix` are those of an API in the settings file, `assigned` the variables that the file assigns to it,
    `operations` what it says about single tools, each with its place in the file.
    `server_variables` are those of the document's servers, by the names of their environment variables.
    `environ` holds the variables that credentials are taken from. `from_dotenv` names the variables whose value comes
    from the `.env` of the working directory, `apart` and `refused` those of options that it may not set freely.
    `texts` are the options that are set, as they were typed, by field.
    """

    spec: str | None = _option(
        None,
        _text,
        "FILE|URL",
        "path or URL of the OpenAPI document to serve (default: the Portkey API)",
        dotenv="apart",
    )
    overlays: tuple[Path, ...] = _option(
        (),
        _files,
        "FILE,…",
        "OpenAPI Overlay documents to apply to the document, in this order",
        dotenv="apart",
    )
    allow_refs: tuple[str, ...] = _option(
        (),
        _names,
        "HOST,…",
        "also allow references to documents on these hosts",
        dotenv="apart",
    )
    base_url: str | None = _option(
        None,
        _base_url,
        "URL",
        "send all requests to this URL instead of the document's servers, for example a self-hosted gateway",
        dotenv="apart",
    )
    tools: tuple[str, ...] = _option(
        (), _names, "NAME,…", "serve only these tools; * matches any characters", dotenv="harmless"
    )
    exclude: tuple[str, ...] = _option(
        (), _names, "NAME,…", "do not serve these tools; * matches any characters", dotenv="harmless"
    )
    tag: tuple[str, ...] = _option(
        (),
        _names,
        "TAG,…",
        "serve only tools with one of these tags, ignoring case; * matches any characters",
        dotenv="harmless",
    )
    confirm: tuple[str, ...] = _option(
        (),
        _names,
        "NAME,…",
        "ask the person before each call of these tools; * matches any characters",
        dotenv="harmless",
    )
    read_only: bool = _option(
        False, _switch, None, "serve only tools that change nothing, such as every GET", dotenv="harmless"
    )
    pin: bool = _option(
        False,
        _switch,
        None,
        "serve a changed document only after a person has accepted what models would read",
        dotenv="harmless",
    )
    deprecated: bool = _option(True, _switch, None, "leave out deprecated operations and arguments", dotenv="harmless")
    discover: bool = _option(
        False,
        _switch,
        None,
        "list three tools that search, show schemas and call, instead of all tools",
        table="serve",
        dotenv="harmless",
    )
    code: str = _option(
        "",
        _code,
        "only|also",
        "list three tools that search, show signatures and run programs that call the tools; also: list runProgram "
        "besides the other tools",
        table="serve",
        dotenv="harmless",
        bare="only",
    )
    program_limits: ProgramLimits = _option(  # noqa: RUF009  # declares a field
        ProgramLimits(),
        _program_limits,
        "S,MB,N,N,K",
        "limits of a program: seconds, megabytes of memory, calls, concurrent calls, thousands of printed characters "
        "(default {default})",
        table="serve",
    )
    path_item_tools: bool = _option(
        False, _switch, None, "add the informational servers_… and parameters_… tools", dotenv="harmless"
    )
    schema_budget: float | None = _option(
        None,
        _budget,
        "N|full",
        "characters of schema listed for each tool before the rest becomes stubs (default: shared among the tools, so "
        "fewer tools get more each)",
        dotenv="harmless",
    )
    files: tuple[Path, ...] = _option(
        (),
        _folders,
        "DIR",
        f"let calls send files from DIR, and write large answers to it; {os.pathsep!r} separates several",
    )
    credentials: frozenset[str] = _option(
        frozenset(),
        _credentials,
        "NAME,…",
        "variables that the document may use as credentials although they look like another product's; for a "
        "document from a URL, the only ones; NAME@ORIGIN is sent to this origin only",
        dotenv="apart",
    )
    login: str | None = _option(
        None,
        _text,
        "FILE",
        "recipe in TOML that says how to log in to the API for a session",
    )
    oauth_issuer: str | None = _option(
        None,
        _endpoint,
        "URL",
        "OpenID provider or authorization server whose metadata names the endpoints below; trusted with client secrets "
        "and passwords",
        dotenv="apart",
    )
    oauth_token_url: str | None = _option(
        None,
        _endpoint,
        "URL",
        "obtain OAuth 2 tokens here instead of at the document's token URL; trusted with client secrets and passwords",
        dotenv="apart",
    )
    oauth_authorization_url: str | None = _option(
        None,
        _endpoint,
        "URL",
        "where login sends the browser, instead of the document's authorization URL",
        dotenv="apart",
    )
    oauth_device_url: str | None = _option(
        None,
        _endpoint,
        "URL",
        "where login --device obtains its code, instead of the document's device authorization URL",
        dotenv="apart",
    )
    oauth_scopes: tuple[str, ...] = _option(
        (),
        _scopes,
        "SCOPE,…",
        "scopes to request (default: those that the served tools need)",
        dotenv="apart",
    )
    oauth_audience: str | None = _option(
        None,
        _text,
        "TEXT",
        "audience to request tokens for, where the authorization server asks for one",
        dotenv="apart",
    )
    headers: tuple[Assigned, ...] = _option(
        (),
        partial(_places, name=HEADER_NAME),
        "NAME=VARIABLE",
        "send this header with every request to the API, with the value of the variable; repeatable",
        dotenv="apart",
        repeatable=True,
    )
    query: tuple[Assigned, ...] = _option(
        (),
        partial(_places, name=QUERY_NAME),
        "NAME=VARIABLE",
        "the same for a query parameter; repeatable",
        dotenv="apart",
        repeatable=True,
    )
    cookies: tuple[Assigned, ...] = _option(
        (),
        partial(_places, name=TOKEN),
        "NAME=VARIABLE",
        "the same for a cookie; repeatable",
        dotenv="apart",
        repeatable=True,
    )
    scheme: Assigned | None = _option(  # noqa: RUF009  # declares a field
        None,
        _scheme,
        "SCHEME=VARIABLE",
        "authenticate every request with basic=VARIABLE, digest=VARIABLE (user:password) or bearer=VARIABLE (a token)",
        dotenv="apart",
    )
    aws_sigv4: AwsTarget | None = _option(  # noqa: RUF009  # declares a field
        None,
        _aws,
        "REGION/SERVICE",
        "sign every request with AWS Signature Version 4, by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        dotenv="apart",
    )
    authenticate: str = _option(
        "declared",
        _authenticate,
        "|".join(AUTHENTICATE),
        "which operations carry credentials: those that the document says, all, or none because the API needs none",
        dotenv="apart",
    )
    client_cert: Path | None = _option(  # noqa: RUF009  # declares a field
        None, _file, "FILE", "present this certificate (PEM) to the API, which may contain its key, too"
    )
    client_key: Path | None = _option(  # noqa: RUF009  # declares a field
        None, _file, "FILE", "private key (PEM) of --client-cert"
    )
    ca_bundle: Path | None = _option(  # noqa: RUF009  # declares a field
        None, _file, "FILE", "also trust the certificate authorities in this file (PEM)", dotenv="apart"
    )
    insecure: tuple[str, ...] = _option(
        (),
        _names,
        "HOST,…",
        "do not verify the TLS certificates of these hosts: anybody on the way can read and change what is sent",
        dotenv="apart",
    )
    lenient: bool = _option(
        False,
        _switch,
        None,
        "send arguments that the document does not allow, and report them in the result",
        dotenv="apart",
    )
    result_limit: int = _option(
        RESULT_LIMIT,
        partial(_number, least=1000),
        "N",
        "longest result in characters; larger ones are shown as a view with more on request (default {default})",
        dotenv="harmless",
    )
    kept_results: Bounds = _option(  # noqa: RUF009  # declares a field
        Bounds(),
        _bounds,
        "N,MB,MIN",
        "large results to keep: number, total megabytes (also the limit for one response), minutes (default {default})",
        dotenv="harmless",
    )
    timeouts: Timeouts = _option(  # noqa: RUF009  # declares a field
        Timeouts(),
        _timeouts,
        "S,S,S",
        "seconds for connecting, for each read and for the whole call (default {default})",
        dotenv="harmless",
    )
    retries: int = _option(
        2,
        partial(_number, least=0),
        "N",
        "how often a call is retried if that is safe (default {default})",
        dotenv="harmless",
    )
    concurrency: int = _option(
        16,
        partial(_number, least=1),
        "N",
        "concurrent calls (default {default}); further ones wait",
        dotenv="harmless",
    )
    validate_responses: bool = _option(
        False,
        _switch,
        None,
        "report in the result where a response differs from the document",
        dotenv="harmless",
    )
    select: bool = _option(
        False,
        _switch,
        None,
        "add an argument select to every tool: a JMESPath expression for the part of the answer to return",
        dotenv="harmless",
    )
    verbose: bool = _option(False, _switch, None, "log each call to stderr", table="serve", dotenv="harmless")
    cache: bool = _option(
        True,
        _switch,
        None,
        "do not read or write the cache folder; each start takes longer",
        table="serve",
        dotenv="harmless",
    )
    allowed_hosts: tuple[str, ...] = _option(
        (),
        _names,
        "HOST,…",
        "over HTTP: names that clients reach this server by; needed unless it listens on loopback",
        table="serve",
    )
    allowed_origins: tuple[str, ...] = _option(
        (),
        _names,
        "URL,…",
        "over HTTP: origins of web pages that may send requests, besides the server's own",
        table="serve",
    )
    tokens: tuple[tuple[str, str], ...] = _option(
        (),
        _tokens,
        "NAME=SHA256,…",
        "over HTTP: callers, each with the SHA-256 digest (hexadecimal) of the bearer token that is required of them",
        table="serve",
    )
    jwt: Jwt | None = _option(  # noqa: RUF009  # declares a field
        None,
        _jwt,
        "JWKS,ISSUER,AUDIENCE",
        "over HTTP: require JSON Web Tokens of this issuer for this audience; JWKS is the URL of its keys",
        table="serve",
    )
    pass_header: str | None = _option(
        None,
        _header_name,
        "NAME",
        "over HTTP: send this header of a caller's request to the API as the credential, and no other",
        table="serve",
    )
    http_limits: HttpLimits = _option(  # noqa: RUF009  # declares a field
        HttpLimits(),
        _http_limits,
        "N,N,MB",
        "over HTTP: concurrent requests of a caller, waiting requests, megabytes of one (default {default})",
        table="serve",
    )
    caller_rate: str | None = _option(
        None,
        _rates,
        "N/UNIT,…",
        "over HTTP: requests of one caller in a second, minute, hour or day, such as 60/minute,1000/hour",
        table="serve",
    )
    api_rate: str | None = _option(
        None,
        _rates,
        "N/UNIT,…",
        "requests to the API in a second, minute, hour or day, of all callers together, such as 10/second",
    )
    workers: int = _option(
        1,
        partial(_number, least=1),
        "N",
        "over HTTP: processes that answer requests; more than one need --store (default {default})",
        table="serve",
    )
    store: str | None = _option(
        None,
        _text,
        "URL",
        "keep large results and other state in this Redis or Valkey, so that several servers share it",
        table="serve",
    )
    audit: bool = _option(
        False,
        _switch,
        None,
        "write one JSON line per call, to stdout over HTTP and to stderr over stdio",
        table="serve",
    )
    config: str | None = _option(
        None,
        _text,
        "FILE",
        "settings file with one or several APIs (default: portkey-bridge.toml in the user's configuration folder)",
        table="",
    )
    name: str = ""
    prefix: str = ""
    assigned: frozenset[str] = frozenset()
    operations: Mapping[str, tuple[Any, str]] = field(default_factory=dict, repr=False)
    server_variables: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_dotenv: frozenset[str] = frozenset()
    apart: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def searches(self) -> bool:
        """Whether tools are found by a search instead of being listed."""
        return self.discover or self.code == "only"

    @property
    def named(self) -> frozenset[str]:
        """The variables that a person named as credentials, whatever the document is."""
        pairs = (*self.headers, *self.query, *self.cookies, *((self.scheme,) if self.scheme else ()))
        names = (each.partition("@")[0] for each in self.credentials)
        signing = (AWS_SECRET,) if self.aws_sigv4 else ()
        return frozenset((*names, *signing, *(variable for _, variable in pairs)))

    @property
    def bound(self) -> dict[str, frozenset[str]]:
        """The origins that credentials are bound to, by their variables."""
        pairs = [(name, origin) for name, at, origin in (each.partition("@") for each in self.credentials) if at]
        return {name: frozenset(origin for each, origin in pairs if each == name) for name, _ in pairs}


OPTIONS = tuple(Option(each.name, *each.metadata["option"]) for each in fields(Settings) if each.metadata)


@dataclass(frozen=True)
class Section:
    """What a settings file says of one API: the text and the place of each option by its field, and its variables."""

    name: str = ""
    prefix: str = ""
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    server_variables: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


def read_settings(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: str | None = None, section: Section | None = None
) -> Settings:
    """Combine the command line's `flags` (by field), the environment, `.env` or the named file, and the settings file.

    Raises SettingsError for a value that cannot be used.
    """
    section = section or Section()
    filed = env_file_values(env_file)
    merged = {**filed, **environ}
    from_dotenv = frozenset() if env_file else frozenset(filed.keys() - environ.keys())
    dotenv = {name: filed[name] for name in from_dotenv}
    overridden = flags.keys() | section.texts.keys()
    set_there = [each for each in OPTIONS if dotenv.get(each.variable) and each.field not in overridden]
    return Settings(
        **{option.field: _value(option, flags, environ if dotenv else merged, section, dotenv) for option in OPTIONS},
        name=section.name,
        prefix=section.prefix,
        assigned=frozenset(section.environ),
        operations=section.operations,
        server_variables={
            **{name: value for name, value in merged.items() if name.startswith(SERVER) and value},
            **section.server_variables,
        },
        environ={**merged, **section.environ},
        texts={option.field: text for option in OPTIONS if (text := _text_of(option, flags, merged)) is not None},
        from_dotenv=from_dotenv - section.environ.keys(),
        apart=(
            *(option.variable for option in set_there if option.dotenv == "apart"),
            *sorted(name for name in from_dotenv if name.startswith(SERVER)),
        ),
        refused=tuple(option.variable for option in set_there if option.dotenv == "refused"),
    )


def _value(
    option: Option, flags: Mapping[str, str], environ: Mapping[str, str], section: Section, dotenv: Mapping[str, str]
) -> Any:
    """Return the value of an option: of the command line, else the environment, the settings file, or else `.env`."""
    text = _text_of(option, flags, environ)
    if text is not None:
        return option.read(text, option.variable)
    if option.field in section.texts:
        return option.read(*section.texts[option.field])
    text = dotenv.get(option.variable) or None
    return option.default if text is None else option.read(text, option.variable)


def _text_of(option: Option, flags: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    return flags.get(option.field, environ.get(option.variable) or None)


@lru_cache(maxsize=256)  # each call asks for those of its operation
def as_variable(name: str) -> str:
    """Return a name from the document in upper snake case: `apiVersion` becomes API_VERSION."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()


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

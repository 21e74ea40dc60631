"""The values of options that are more than one text or number, and the names that they may contain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

#: Prefix of the variables that set the server variables of a document.
SERVER_VARIABLE_PREFIX = "OPEN_MCP_SERVER_"

#: Which operations carry credentials: those that the document says, all of them, or none.
AUTHENTICATE = ("declared", "all", "none")

#: Pages that one result may have.
MOST_PAGES = 100

#: What is done with answers that the API lets be kept.
ANSWER_CACHE = ("validate", "fresh", "off")

#: HTTP authentication schemes that `--scheme` adds (RFC 7617, RFC 6750, RFC 7616).
HTTP_SCHEMES = ("basic", "bearer", "digest")

#: The variable of the secret that requests to AWS are signed with.
AWS_SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  # its name

#: Names of environment variables, of header fields and cookies (RFC 9110 section 5.6.2), and of query parameters.
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
QUERY_NAME = re.compile(r"[^\x00-\x1f=]+")
#: Names of headers that may carry a credential: all but those of the connection and the body.
HEADER_NAME = re.compile(
    rf"(?!(?:host|content-.*|transfer-encoding|connection|upgrade|te|trailer)$){HTTP_TOKEN.pattern}", re.I
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


class Assigned(NamedTuple):
    """What a credential is for, such as the name of a header, and the variable that contains its value."""

    name: str
    variable: str

    def __str__(self) -> str:
        return f"{self.name}={self.variable}"


class AwsTarget(NamedTuple):
    """The region and the service that requests are signed for."""

    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.region}/{self.service}"


@lru_cache(maxsize=256)  # each call asks for those of its operation
def as_variable(name: str) -> str:
    """Return a name from the document in upper snake case: `apiVersion` becomes API_VERSION."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper()

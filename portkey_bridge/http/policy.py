"""When a request may be repeated, and where a redirect may lead (RFC 9110)."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from portkey_bridge.http.failures import causes

#: Methods that change nothing, and those that may be repeated (RFC 9110 section 9.2.1 and 9.2.2).
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "QUERY"))


IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}


#: Failures before the request left, and failures after it may have been acted upon.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


SENT = (*BROKEN_OFF, httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError)


#: Statuses of requests that may succeed later (RFC 6585 section 4, RFC 9110 section 15.6.4).
REFUSED_FOR_NOW = (429, 503)


#: Seconds: a server that asks for a longer pause gets no second request; its answer says when to come again.
LONGEST_PAUSE = 60.0


REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))


HIGHEST_PORT = 65_535

#: Bytes of one label of a host name (RFC 1035 section 2.3.4).
LONGEST_LABEL = 63

#: The headers that another origin gets: none that could be, or contain, a credential.
HEADERS_FOR_STRANGERS = ("accept", "accept-encoding", "user-agent")


def may_repeat(request: httpx.Request, outcome: httpx.Response | BaseException) -> bool:
    """Check whether sending the request again can help, and does nothing twice.

    A request that was not sent, or that was refused undone (429; 503 with Retry-After), may be repeated whatever its
    method; one that broke off, only if its method is idempotent (RFC 9110 section 9.2.2).
    """
    if isinstance(outcome, httpx.Response) and outcome.status_code not in REFUSED_FOR_NOW:
        return False
    idempotent = request.method in IDEMPOTENT_METHODS
    if isinstance(outcome, UNSENT):
        return not any(isinstance(cause, ssl.SSLError) for cause in causes(outcome))
    if not isinstance(request.stream, httpx.ByteStream):
        return False  # a body that was streamed from somewhere is gone
    if isinstance(outcome, BaseException):
        return idempotent and isinstance(outcome, BROKEN_OFF)
    pause = retry_after(outcome)
    undone = outcome.status_code == 429 or idempotent or pause is not None
    return undone and (pause or 0) <= LONGEST_PAUSE


def may_have_happened(request: httpx.Request, error: BaseException) -> bool:
    """Check whether the API may have acted upon a request that should not be sent twice, and that failed."""
    return request.method not in IDEMPOTENT_METHODS and isinstance(error, SENT)


def retry_after(outcome: httpx.Response | BaseException) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110 section 10.2.3), or None where it says none."""
    value = outcome.headers.get("retry-after", "").strip() if isinstance(outcome, httpx.Response) else ""
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def redirected(
    request: httpx.Request, response: httpx.Response, redact: Callable[[str], str] = str
) -> httpx.Request | None:
    """Return the request that follows a redirect, or None where there is none to follow (RFC 9110 section 15.4).

    Only safe methods without a body are followed. Another origin gets no header that could be a credential, and a
    target that holds a secret is followed within the origin only.
    """
    location = response.headers.get("location") if response.status_code in REDIRECT_STATUSES else None
    if location is None or not _may_follow(request):
        return None
    target = _target(request.url, location)
    if target is None:
        return None
    if origin(target) == origin(request.url):
        return httpx.Request(request.method, target, headers=_without_host(request))
    if target.userinfo or redact(str(target)) != str(target):
        return None
    kept = {name: request.headers[name] for name in HEADERS_FOR_STRANGERS if name in request.headers}
    return httpx.Request(request.method, target, headers=kept)


def _target(base: httpx.URL, location: str) -> httpx.URL | None:
    """Return the URL of a redirect, or None if no request can be sent there."""
    try:
        target = base.join(location)
        labels = target.raw_host.removesuffix(b".").split(b".")
        _ = target.host  # raises for a name that is not valid in IDNA
    except (httpx.InvalidURL, ValueError):
        return None
    if target.scheme not in ("http", "https") or not 0 < (target.port or 80) <= HIGHEST_PORT:
        return None
    return target if all(0 < len(label) <= LONGEST_LABEL for label in labels) else None


def _may_follow(request: httpx.Request) -> bool:
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    return request.method in SAFE_METHODS and not has_body


def _without_host(request: httpx.Request) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]


def origin(url: httpx.URL | str) -> tuple[str, str, int | None]:
    """Return the origin of a URL: scheme, host and port (RFC 6454 section 4). Raises httpx.InvalidURL."""
    url = httpx.URL(url)
    port = url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port

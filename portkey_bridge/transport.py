"""Sends requests: one client, bounded in time, size and number, that repeats only what is safe to repeat.

Three questions are answered by pure functions: may this be sent again (`may_repeat`), what follows a redirect
(`redirected`), and what is said of an exchange that failed (`explain`). A credential never leaves its origin.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import cache, partial
from urllib.request import getproxies, proxy_bypass

import httpx
from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt, stop_before_delay, wait_random_exponential

from portkey_bridge.connections import Connections
from portkey_bridge.settings import Timeouts

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

MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))

#: What another origin gets of a request: nothing that could be, or hold, a credential.
HEADERS_FOR_STRANGERS = ("accept", "accept-encoding", "user-agent")

Sentences = tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]
"""What is said of a failure, by its kind; a sentence without its end."""

#: Bytes that one step of decompression gives at most.
PIECE = 65_536


class UnaskedCoding(httpx.DecodingError):
    """An answer is compressed in a way that was not asked for."""


class TooLarge(Exception):
    """An answer is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"larger than {limit:,} bytes")


class Transport:
    """The HTTP client of all calls. `limit` bounds the bytes of an answer, decompressed.

    `redact` takes the secrets out of a text, `sleep` waits before a request is sent again.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        retries: int,
        concurrency: int,
        limit: int,
        redact: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.timeouts = timeouts
        self.limit = limit
        self._retries = retries
        self._redact = redact
        self._sleep = sleep
        self._slots = asyncio.Semaphore(concurrency)  # wakes those who wait in the order of their arrival
        self._concurrency = concurrency
        #: What is trusted: CA bundles come from the environment. Read once, and not before it is needed.
        self._tls = cache(_trusted)
        self._proxies = getproxies()
        #: What carries requests directly, and by each proxy.
        self._ways: dict[str | None, httpx.AsyncBaseTransport] = {None: Connections(timeouts, concurrency, self._tls)}
        self._timeout = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.whole).as_dict()

    async def aclose(self) -> None:
        """Close all connections."""
        for way in self._ways.values():
            await way.aclose()

    @asynccontextmanager
    async def exchange(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Send the request and give the answer, its body still to be read: decompressed, and bounded in time and size.

        Leaving closes the connection if the body was not read to its end. Raises httpx.HTTPError, TimeoutError; reading
        also TooLarge.
        """
        deadline = _now() + self.timeouts.whole
        request.headers.setdefault("accept-encoding", "gzip, deflate")
        async with asyncio.timeout_at(deadline):
            await self._slots.acquire()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._send(request, deadline)
            response.stream = _Bounded(response, self.limit, deadline)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._slots.release()

    async def _send(self, request: httpx.Request, deadline: float) -> httpx.Response:
        """Send the request, and again where that helps and harms nothing; follow redirects."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._send_persistently(request, deadline)
            following = redirected(request, response, self._redact)
            if following is None:
                return response
            await response.aclose()
            request = following
        raise httpx.TooManyRedirects("too many redirects", request=request)

    async def _send_persistently(self, request: httpx.Request, deadline: float) -> httpx.Response:
        first = await self._attempt(request)
        if not may_repeat(request, first):
            return _given(first)
        known = [first]

        async def send() -> httpx.Response:
            return _given(known.pop() if known else await self._attempt(request))

        retrying = AsyncRetrying(
            retry=lambda state: may_repeat(request, _outcome(state)),
            wait=lambda state: max(retry_after(_outcome(state)) or 0, _JITTER(state)),
            stop=stop_after_attempt(self._retries + 1) | stop_before_delay(deadline - _now()),
            before_sleep=_discard,
            retry_error_callback=lambda state: _given(_outcome(state)),
            sleep=self._sleep,
        )
        response: httpx.Response = await retrying(send)
        return response

    async def _attempt(self, request: httpx.Request) -> httpx.Response | httpx.RequestError:
        if request.url.userinfo:
            next(httpx.BasicAuth(request.url.username, request.url.password).auth_flow(request))
        request.extensions["timeout"] = self._timeout
        try:
            response = await self._way(request.url).handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            return error
        response.request = request
        return response

    def _way(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        """Give what carries requests to a URL: directly, or by the proxy that the environment names."""
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"no way to send to {url.scheme}")
        proxy = proxy_for(url, self._proxies)
        if proxy is not None and proxy not in self._ways:
            self._ways[proxy] = self._proxied(proxy)
        return self._ways[proxy]

    def _proxied(self, proxy: str) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
        try:
            return httpx.AsyncHTTPTransport(verify=self._tls(), limits=limits, proxy=proxy)
        except (ValueError, ImportError) as error:
            raise httpx.ProxyError("no proxy of a kind that is known here") from error


def _trusted() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def proxy_for(url: httpx.URL, proxies: Mapping[str, str]) -> str | None:
    """Give the URL of the proxy for a URL, or None; `proxies` are what `urllib.request.getproxies` gives."""
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _now() -> float:
    return asyncio.get_running_loop().time()


_JITTER = wait_random_exponential(multiplier=0.5, max=8)


def _given(outcome: httpx.Response | BaseException) -> httpx.Response:
    """Give the answer, or raise the error."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _outcome(state: RetryCallState) -> httpx.Response | BaseException:
    assert state.outcome is not None  # noqa: S101  # tenacity asks only after an attempt
    return state.outcome.exception() or state.outcome.result()


async def _discard(state: RetryCallState) -> None:
    outcome = _outcome(state)
    if isinstance(outcome, httpx.Response):
        await outcome.aclose()


def may_repeat(request: httpx.Request, outcome: httpx.Response | BaseException) -> bool:
    """Tell whether sending the request again can help, and does nothing twice.

    A request that was not sent, or that was refused undone (429; 503 with Retry-After), may be repeated whatever its
    method; one that broke off, only if its method is idempotent (RFC 9110 section 9.2.2).
    """
    idempotent = request.method in IDEMPOTENT_METHODS
    if isinstance(outcome, UNSENT):
        return not any(isinstance(cause, ssl.SSLError) for cause in _causes(outcome))
    if not isinstance(request.stream, httpx.ByteStream):
        return False  # a body that was streamed from somewhere is gone
    if isinstance(outcome, BaseException):
        return idempotent and isinstance(outcome, BROKEN_OFF)
    if outcome.status_code not in REFUSED_FOR_NOW:
        return False
    pause = retry_after(outcome)
    undone = outcome.status_code == 429 or idempotent or pause is not None
    return undone and (pause or 0) <= LONGEST_PAUSE


def may_have_happened(request: httpx.Request, error: BaseException) -> bool:
    """Tell whether the API may have acted upon a request that should not be sent twice, and that failed."""
    return request.method not in IDEMPOTENT_METHODS and isinstance(error, SENT)


def retry_after(outcome: httpx.Response | BaseException) -> float | None:
    """Give the seconds that `Retry-After` asks for (RFC 9110 section 10.2.3), or None where it says none."""
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
    """Give the request that follows a redirect, or None where there is none to follow (RFC 9110 section 15.4).

    Only safe methods without a body are followed. Another origin gets no header that could be a credential, and a
    target that holds a secret is followed within the origin only.
    """
    location = response.headers.get("location")
    if response.status_code not in REDIRECTS or location is None or not _may_follow(request):
        return None
    try:
        target = request.url.join(location)
    except (httpx.InvalidURL, ValueError):
        return None
    if target.scheme not in ("http", "https") or not target.host:
        return None
    if _origin(target) == _origin(request.url):
        return httpx.Request(request.method, target, headers=_without_host(request))
    if target.userinfo or redact(str(target)) != str(target):
        return None
    kept = {name: request.headers[name] for name in HEADERS_FOR_STRANGERS if name in request.headers}
    return httpx.Request(request.method, target, headers=kept)


def _may_follow(request: httpx.Request) -> bool:
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    return request.method in SAFE_METHODS and not has_body


def _without_host(request: httpx.Request) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Bounded(httpx.AsyncByteStream):
    """The body of an answer, decompressed as it arrives. `deadline` is a time of the running loop.

    Raises TooLarge as soon as the body is known to be larger than `limit` bytes, TimeoutError, httpx.HTTPError.
    """

    def __init__(self, response: httpx.Response, limit: int, deadline: float) -> None:
        self._body, self._request = response.stream, response.request
        self._limit, self._deadline = limit, deadline
        self._coding = response.headers.pop("content-encoding", "identity").strip(", ").lower()
        self._announced = response.headers.get("content-length", "")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._coding in UNASKED_CODINGS or "," in self._coding:
            raise UnaskedCoding(f"content-encoding {self._coding[:40]!r}")
        if self._request.method != "HEAD" and self._announced.isdecimal() and int(self._announced) > self._limit:
            raise TooLarge(self._limit)
        decode, total = _CODINGS.get(self._coding, _Identity)(), 0
        async for chunk in _until(self._deadline, aiter(self._body)):  # type: ignore[arg-type]  # it is asynchronous
            for piece in decode(chunk):
                total += len(piece)
                if total > self._limit:
                    raise TooLarge(self._limit)
                yield piece
        if not decode.complete:
            raise httpx.DecodingError("the compressed body ends too early")

    async def aclose(self) -> None:
        await self._body.aclose()  # type: ignore[union-attr]  # it is asynchronous


async def _until(deadline: float, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(chunks) as iterator:  # type: ignore[type-var]  # aiter_raw is a generator
        while True:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(iterator, None)
            if chunk is None:
                return
            yield chunk


class _Identity:
    """A body that is not compressed."""

    complete = True

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Inflate:
    """gzip and deflate (RFC 9110 section 8.4.1), in pieces of bounded size: a small body cannot fill the memory.

    `bare` allows a deflate body without the zlib wrapper, which many servers send all the same.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare
        self._inflater: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._inflater is None or self._inflater.eof

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        piece = b""
        while chunk or len(piece) == PIECE:
            if self._inflater is None:
                self._inflater = self._fresh(chunk[0])
            elif self._inflater.eof and chunk and chunk[0] == GZIP:
                self._inflater = self._fresh(chunk[0])  # gzip may have several members (RFC 1952 section 2.2)
            elif self._inflater.eof:
                return  # what stands behind the end is no part of the body
            try:
                piece = self._inflater.decompress(chunk, PIECE)
            except zlib.error as error:
                raise httpx.DecodingError("the compressed body is damaged") from error
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data
            if piece:
                yield piece

    def _fresh(self, first: int) -> zlib._Decompress:
        """Give a decompressor for what begins with this byte, which tells zlib (RFC 1950 section 2.2) from bare."""
        wrapped = not self._bare or first == GZIP or first & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS | 32 if wrapped else -zlib.MAX_WBITS)


#: What a member of a gzip file begins with.
GZIP = 0x1F

#: What is asked for. Codings that are nested could hold any size; what is no coding at all means nothing.
_CODINGS: dict[str, Callable[[], _Identity | _Inflate]] = {
    **dict.fromkeys(("gzip", "x-gzip"), _Inflate),
    "deflate": partial(_Inflate, bare=True),
}

#: The other codings of the registry (RFC 9110 section 16.6).
UNASKED_CODINGS = frozenset(("br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"))


def explain(error: BaseException, host: str, timeouts: Timeouts, own: Sentences = ()) -> str:
    """Say what went wrong, and what can be done, in a sentence without its end. `own` sentences go before SENTENCES.

    httpx's own texts are not used: they may hold the URL, and a URL may hold a secret.
    """
    causes = list(_causes(error))
    for kind, sentence in (*own, *SENTENCES):
        if any(isinstance(cause, kind) for cause in causes):
            return sentence.format(
                host=host,
                limit=getattr(error, "limit", 0) // 1_000_000,
                connect=timeouts.connect,
                read=timeouts.read,
                whole=timeouts.whole,
            )
    return f"the exchange with {host} broke off"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what it came from, and the members of groups among them."""
    while error is not None:
        yield error
        for member in getattr(error, "exceptions", ()):
            yield from _causes(member)
        error = error.__cause__ or error.__context__


#: What is said of a failure: the first entry that is found among the error and its causes.
SENTENCES: Sentences = (
    (
        TooLarge,
        "the answer is larger than {limit} MB and was not read to its end; ask for less of it, by filters or pages, "
        "or raise OPEN_MCP_KEPT_RESULTS",
    ),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate of {host} is not trusted; if it is signed by an authority of your own, name its "
        "certificates in SSL_CERT_FILE",
    ),
    (ssl.SSLError, "no TLS connection to {host} could be made; check that the URL's scheme and port are right"),
    (socket.gaierror, "the name {host} could not be resolved; check the base URL, and the network"),
    (ConnectionRefusedError, "{host} refused the connection; check the port, and that the service runs"),
    (httpx.ProxyError, "the proxy that the environment names did not let the request through"),
    (httpx.ConnectTimeout, "{host} did not accept the connection within {connect:g} seconds"),
    (httpx.ConnectError, "there was no connection to {host}; check the base URL, and that the service runs"),
    (httpx.PoolTimeout, "no connection became free; there are too many calls at once"),
    (httpx.WriteTimeout, "{host} took too long to accept the request"),
    (httpx.ReadTimeout, "{host} sent nothing for {read:g} seconds; OPEN_MCP_TIMEOUTS allows more"),
    (httpx.WriteError, "{host} closed the connection while the request was sent"),
    (httpx.ReadError, "{host} reset the connection"),
    (UnaskedCoding, "the answer is compressed in a way that was not asked for"),
    (httpx.DecodingError, "the answer is not compressed as it says"),
    (httpx.TooManyRedirects, "the API redirected more than {most} times".replace("{most}", str(MOST_REDIRECTS))),
    (httpx.RemoteProtocolError, "{host} broke off, or did not speak HTTP as it should"),
    (
        (httpx.UnsupportedProtocol, httpx.InvalidURL),
        "the server's URL is no http or https URL; set OPEN_MCP_BASE_URL",
    ),
    (TimeoutError, "it was not complete within {whole:g} seconds; OPEN_MCP_TIMEOUTS allows more"),
)

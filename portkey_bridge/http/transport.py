"""Sends requests: one client, bounded in time, size and number, that repeats only what is safe to repeat.

Three questions are answered by pure functions: may this be sent again (`may_repeat`), what follows a redirect
(`redirected`), and what is said of an exchange that failed (`explain_failure`). A credential never leaves its origin.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx

from portkey_bridge.errors import SettingsError
from portkey_bridge.http.connections import Connections, by_deadline
from portkey_bridge.http.decoding import Decoder, decoder_of
from portkey_bridge.http.failures import MOST_REDIRECTS, TooLarge
from portkey_bridge.http.policy import may_repeat, redirected, retry_after
from portkey_bridge.http.trust import HostTrust, Trust
from portkey_bridge.settings.values import Timeouts

#: Seconds: a pause is at most the first, doubled at each attempt, and never longer than the second.
BACKOFF, LONGEST_BACKOFF = 0.5, 8.0


class Transport:
    """The HTTP client of all calls. `limit` bounds the bytes of an answer, decompressed.

    `api` is the name of the API in a settings file, if there is one.

    `redact` takes the secrets out of a text, `trust` is what a person says about TLS, `sleep` waits before a request is
    sent again.
    """

    def __init__(
        self,
        *,
        api: str = "",
        timeouts: Timeouts,
        retries: int,
        concurrency: int,
        limit: int,
        redact: Callable[[str], str] = str,
        trust: Trust | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.api = api
        self.timeouts = timeouts
        self.limit = limit
        self._retries = retries
        self.redact = redact
        self._sleep = sleep
        self._slots = asyncio.Semaphore(concurrency)  # wakes those who wait in the order of their arrival
        self._concurrency = concurrency
        self._trust = trust or Trust()
        self._proxies = getproxies()
        #: What carries requests, directly or by a proxy, to hosts that are trusted alike.
        self._ways: dict[tuple[str | None, HostTrust], httpx.AsyncBaseTransport] = {}
        self._running = self._repeated = 0
        self._is_closed = False
        self._last: tuple[tuple[str, bytes], httpx.AsyncBaseTransport] | None = None  # where to and how, most recently
        self._timeout = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.whole).as_dict()

    async def prepare(self, url: str) -> None:
        """Load in a thread what certificates are trusted by where a URL leads: that takes longer than a call.

        What cannot be loaded is left to the call that needs it.
        """
        with suppress(httpx.HTTPError, httpx.InvalidURL, SettingsError):
            way = self._way(httpx.URL(url))
            if isinstance(way, Connections) and url.startswith("https:"):
                await anyio.to_thread.run_sync(way.tls)

    def take_repeated(self) -> int:
        """Return how many requests were sent again since this was last asked."""
        repeated, self._repeated = self._repeated, 0
        return repeated

    async def aclose(self) -> None:
        """Close all connections as soon as no exchange is running, now and after any later one."""
        self._is_closed = True
        await self._close_unused()

    async def _close_unused(self) -> None:
        if self._is_closed and not self._running:
            with anyio.CancelScope(shield=True):
                for way in self._ways.values():
                    await way.aclose()

    @asynccontextmanager
    async def exchange(self, request: httpx.Request, until: float = math.inf) -> AsyncIterator[httpx.Response]:
        """Send the request and give the answer, its body still to be read: decompressed, and bounded in time and size.

        The answer has to begin before `until`, by the clock of the loop. Leaving closes the connection if the body was
        not read to its end. Raises httpx.HTTPError, TimeoutError; reading also TooLarge.
        """
        deadline = _now() + self.timeouts.whole
        if "accept-encoding" not in request.headers:
            request.headers["accept-encoding"] = "gzip, deflate"
        if self._slots.locked():
            async with by_deadline(min(deadline, until)):
                await self._slots.acquire()
        else:
            await self._slots.acquire()  # does not wait
        self._running += 1
        try:
            response = await self._send(request, min(deadline, until))
            response.stream = _bounded(response, self.limit, deadline)
            try:
                yield response
            finally:
                if not isinstance(response.stream, httpx.ByteStream):  # which holds nothing
                    await response.aclose()
        finally:
            self._slots.release()
            self._running -= 1
            await self._close_unused()

    async def _send(self, request: httpx.Request, deadline: float) -> httpx.Response:
        """Send the request, and again where that helps and harms nothing; follow redirects."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._send_persistently(request, deadline)
            following = redirected(request, response, self.redact)
            if following is None:
                return response
            await response.aclose()
            request = following
        raise httpx.TooManyRedirects("too many redirects", request=request)

    async def _send_persistently(self, request: httpx.Request, deadline: float) -> httpx.Response:
        """Send the request, and again as long as that may help: `retries` times, and not beyond the deadline."""
        for attempt in range(self._retries + 1):
            outcome = await self._attempt(request, deadline)
            if attempt == self._retries or not may_repeat(request, outcome):
                break
            pause = max(retry_after(outcome) or 0, random.uniform(0, min(LONGEST_BACKOFF, BACKOFF * 2**attempt)))  # noqa: S311  # spreads load, hides nothing
            if _now() + pause > deadline:
                break
            if isinstance(outcome, httpx.Response):
                await outcome.aclose()
            self._repeated += 1
            await self._sleep(pause)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _attempt(self, request: httpx.Request, deadline: float) -> httpx.Response | httpx.RequestError:
        if request.url.userinfo:
            next(httpx.BasicAuth(request.url.username, request.url.password).auth_flow(request))
        request.extensions |= {"timeout": self._timeout, "deadline": deadline}
        way = self._way(request.url)
        try:
            if isinstance(way, Connections):  # which keeps the deadline without a timer for each request
                response = await way.handle_async_request(request)
            else:
                async with by_deadline(deadline):
                    response = await way.handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            return error
        response.request = request
        return response

    def _way(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        """Return what carries requests to a URL: directly, or by the proxy that the environment names."""
        host = url.scheme, url.raw_host
        if self._last is None or self._last[0] != host:
            self._last = host, self._found_way(url)
        return self._last[1]

    def _found_way(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"no way to send to {url.scheme}")
        way = proxy, trust = proxy_for(url, self._proxies), self._trust.of(url.host)
        if way not in self._ways and proxy is None:
            self._ways[way] = Connections(self.timeouts, self._concurrency, cache(trust.context))
        elif proxy is not None and way not in self._ways:
            self._ways[way] = self._proxied(proxy, trust)
        return self._ways[way]

    def _proxied(self, proxy: str, trust: HostTrust) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
        try:
            return httpx.AsyncHTTPTransport(verify=trust.context(), limits=limits, proxy=proxy)
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise httpx.ProxyError("unsupported kind of proxy") from error


def proxy_for(url: httpx.URL, proxies: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a URL, or None; `proxies` are what `urllib.request.getproxies` gives."""
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _bounded(response: httpx.Response, limit: int, deadline: float) -> httpx.AsyncByteStream:
    """Return the body of an answer, decompressed and bounded; as it is if all of it is there, and small enough."""
    body = response.stream
    is_plain = isinstance(body, httpx.ByteStream) and "content-encoding" not in response.headers
    return body if is_plain and len(b"".join(body)) <= limit else _Bounded(response, limit, deadline)  # type: ignore[arg-type, return-value]


class _Bounded(httpx.AsyncByteStream):
    """The body of an answer, decompressed as it arrives. `deadline` is a time of the running loop.

    Raises TooLarge as soon as the body is known to be larger than `limit` bytes, TimeoutError, httpx.HTTPError.
    """

    def __init__(self, response: httpx.Response, limit: int, deadline: float) -> None:
        self._body, self._request = response.stream, response.request
        self._limit, self._deadline = limit, deadline
        coding = response.headers.get("content-encoding")
        if coding is not None:
            del response.headers["content-encoding"]
        self._coding = (coding or "identity").strip(", ").lower()
        self._announced = response.headers.get("content-length", "")
        self._media_type = response.headers.get("content-type", "").lower()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._request.method != "HEAD" and self._announced.isdecimal() and int(self._announced) > self._limit:
            raise TooLarge(self._limit)
        decode: Decoder | None = None
        total = 0
        async for chunk in self._chunks():
            decode = decode or decoder_of(self._coding, self._media_type, chunk)
            for piece in decode(chunk):
                total += len(piece)
                if total > self._limit:
                    raise TooLarge(self._limit)
                yield piece
        if decode and not decode.complete:
            raise httpx.DecodingError("the compressed body ends early")

    def _chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. What is all there needs no clock."""
        chunks = aiter(self._body)  # type: ignore[arg-type]  # it is asynchronous
        return chunks if isinstance(self._body, httpx.ByteStream) else _until(self._deadline, chunks)

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

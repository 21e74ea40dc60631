"""Direct connections: the event loop itself carries the bytes of HTTP/1.1.

httpx's own connections support any event loop, threads and HTTP/2, and check for all of that at each request: an
exchange takes two to five times the CPU (docs/performance.md). They still carry what goes through a proxy. aiohttp
costs as little as this module, but changes requests: the target `/x?` becomes `/x`, and a header that is repeated in
another case is lost. It also takes what a server sends unasked on an idle connection for the answer to the next
request, refuses an answer with more bytes than announced, and has no time limit for sending.
"""

from __future__ import annotations

import asyncio
import math
import select
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx

from portkey_bridge.http.http1 import AnswerHead, AnswerReader, RequestWriter
from portkey_bridge.http.policy import HIGHEST_PORT
from portkey_bridge.settings.values import Timeouts

#: Bytes that may arrive before the other side has to wait.
HIGH_WATER = 262_144

#: Seconds after which a connection that nobody used is not trusted to be open at the other side.
IDLE_TRUST = 5.0

#: Seconds after which another address of a host is tried, too (RFC 8305 section 5).
ANOTHER_ADDRESS = 0.25

#: Turns of the loop from the moment when the system has connected until a connection can be used, and their seconds.
CONNECT_TURNS, CONNECT_TURN = 8, 0.01

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class Connections(httpx.AsyncBaseTransport):
    """Sends each request over a connection that no other uses meanwhile, and keeps up to `kept` of them open.

    `tls` gives what certificates are trusted by. What fails is one of httpx's errors.
    """

    def __init__(self, timeouts: Timeouts, kept: int, tls: Callable[[], ssl.SSLContext]) -> None:
        self._timeouts = timeouts
        self._kept = kept
        self.tls = tls
        self._idle: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and give the answer, its body still to be read. Closing it frees the connection.

        The extension `deadline` is the time of the loop by which it has to begin. Raises TimeoutError, httpx.HTTPError.
        """
        origin, deadline = _origin(request.url), request.extensions.get("deadline", math.inf)
        connection = self._last_used(origin) or await self._connect(origin, deadline)
        try:
            head = await connection.exchange(request, deadline)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            head.status, headers=head.fields, stream=self._body(connection), extensions={"reason_phrase": head.reason}
        )

    def _body(self, connection: _Connection) -> httpx.AsyncByteStream:
        """Return the body as it arrives; one that has arrived with its head as a whole, which frees the connection."""
        body = _Body(connection, self._free)
        if not body.has_arrived():
            return body
        self._free(connection)
        return httpx.ByteStream(b"".join(body.begun))

    def _last_used(self, origin: Origin) -> _Connection | None:
        """Return the connection to an origin that is the most likely to be open."""
        for connection in reversed(self._idle):
            if connection.origin == origin:
                self._idle.remove(connection)
                if connection.is_open:
                    return connection
                connection.close()
        return None

    async def _connect(self, origin: Origin, deadline: float) -> _Connection:
        async with by_deadline(deadline):
            return await self._connected(origin)

    async def _connected(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        if port > HIGHEST_PORT:
            raise httpx.ConnectError("no such port")
        connecting = loop.create_task(
            loop.create_connection(lambda: _Connection(origin, self._timeouts.read), host, port, **_eyeballs(loop))
        )
        try:
            await asyncio.wait((connecting,), timeout=self._timeouts.connect)
            for _ in range(CONNECT_TURNS):  # if the loop was busy, the system may have connected meanwhile
                if not connecting.done():
                    await asyncio.wait((connecting,), timeout=CONNECT_TURN)
            if not connecting.done():
                raise httpx.ConnectTimeout("no connection in time")
            _, connection = connecting.result()
        except TimeoutError as error:  # the system's own limit
            raise httpx.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpx.ConnectError("no connection") from error
        except UnicodeError as error:  # IDNA refuses the name: labels are empty or too long
            raise httpx.ConnectError("no such host") from error
        finally:
            connecting.cancel()
        if scheme == "https":
            await self._secure(connection, host)
        return connection

    async def _secure(self, connection: _Connection, host: str) -> None:
        """Go on by TLS. What fails has an ssl.SSLError among its causes."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await connection.start_tls(self.tls(), host)
        except TimeoutError as error:
            connection.close()
            raise httpx.ConnectTimeout("no TLS in time") from ssl.SSLError(str(error))
        except OSError as error:  # as is every ssl.SSLError
            raise httpx.ConnectError("no TLS") from error

    def _free(self, connection: _Connection) -> None:
        if not connection.begin_again():
            connection.close()
            return
        self._idle.append(connection)
        for oldest in self._idle[: -self._kept]:
            oldest.close()
        del self._idle[: -self._kept]

    async def aclose(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)  # until the loop has let go of the sockets


def _eyeballs(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Return the option that tries another address meanwhile. Other loops, such as uvloop's, do not have it."""
    return {"happy_eyeballs_delay": ANOTHER_ADDRESS} if isinstance(loop, asyncio.BaseEventLoop) else {}


def _arrival_check(descriptor: int) -> Callable[[], bool]:
    """Return a function that checks whether something has arrived: by `poll`, as `select` takes few descriptors."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _origin(url: httpx.URL) -> Origin:
    port = url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]
    return url.scheme, url.raw_host.decode("ascii"), port


class _Connection(asyncio.Protocol):
    """A connection that one exchange uses at a time. The other side may be silent for `patience` seconds."""

    def __init__(self, origin: Origin, patience: float) -> None:
        self.origin = origin
        self._patience = patience
        self._request: RequestWriter
        self._answer: AnswerReader
        self._transport: asyncio.Transport
        self._has_arrived: Callable[[], bool]
        self._arrived = bytearray()
        self._lost = False
        self._error: Exception | None = None
        self._full = False
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # looks whether a wait takes too long
        self._deadline = math.inf
        self._waits_until, self._too_long = 0.0, httpx.TimeoutException
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._has_arrived = _arrival_check(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        """Take in what arrived."""
        self._arrived += data
        if len(self._arrived) > HIGH_WATER:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """End. What arrived can still be read."""
        self._lost, self._error = True, error
        self._wake()

    def pause_writing(self) -> None:
        """Hold the writer up: the other side does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Let the writer go on: it reads again."""
        self._full = False
        self._wake()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on by TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(self._transport, self, context, server_hostname=host)
        if secured is None:
            raise ssl.SSLError("the connection is lost")
        self._transport = secured

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent: nothing has come unasked, the end included, and it is not long ago."""
        if self._arrived or self._lost or _now() - self._idle_since > IDLE_TRUST:
            return False
        return not self._has_arrived()  # the loop may not have seen it yet

    async def exchange(self, request: httpx.Request, deadline: float) -> AnswerHead:
        """Send the request, and give the head of its answer. Raises httpx.TransportError, TimeoutError."""
        self._answer, self._deadline = AnswerReader(request.method), deadline
        try:
            await self._send(request)
        except (httpx.WriteError, httpx.WriteTimeout):  # the answer may have come before the request was complete
            if not self._arrived and not self._lost:
                raise
        while (head := self._answer.head(self._arrived)) is None:
            await self._wait_for_more()
        self._deadline = math.inf  # whoever reads the body has a limit of its own
        return head

    async def _send(self, request: httpx.Request) -> None:
        writer = self._request = RequestWriter(request)
        written = writer.head
        if isinstance(request.stream, httpx.ByteStream):  # all of it is there
            written += b"".join([writer.body(part) for part in request.stream])
        else:
            async with by_deadline(self._deadline):  # parts may be slow to come
                async for part in cast(httpx.AsyncByteStream, request.stream):
                    await self._write(written + writer.body(part))
                    written = b""
        await self._write(written + writer.end())

    async def next_piece(self) -> bytes:
        """Return the next piece of the body, nothing at its end. Raises httpx.TransportError."""
        while not (piece := self.arrived_piece()) and not self._answer.is_complete:
            await self._wait_for_more()
        return piece

    def arrived_piece(self) -> bytes:
        """Return a piece of the body that has arrived, nothing if there is none. Raises httpx.RemoteProtocolError."""
        piece = self._answer.piece(self._arrived)
        if len(self._arrived) <= HIGH_WATER:
            self._transport.resume_reading()
        return piece

    @property
    def is_answered(self) -> bool:
        """Whether all of the answer has been read."""
        return self._answer.is_complete

    async def _wait_for_more(self) -> None:
        """Wait until more arrives, or nothing more can. Raises httpx.TransportError."""
        if not self._lost:
            await self._wait(httpx.ReadTimeout)
        elif self._error:
            raise httpx.ReadError("the connection is lost") from self._error
        else:
            self._answer.end()

    def begin_again(self) -> bool:
        """Make ready for another request; False where none can follow, or more has come than was announced."""
        self._idle_since = _now()
        is_over = self._answer.is_complete and self._request.is_complete and not self._arrived
        return is_over and not self._answer.is_last and not self._request.is_last

    def close(self) -> None:
        """Close at once: nobody waits for what is left."""
        if self._timer:
            self._timer.cancel()
        self._transport.abort()

    async def _write(self, content: bytes) -> None:
        """Write, and wait where the other side does not read."""
        if content and not self._lost:
            self._transport.write(content)
        if self._full and not self._lost:
            await self._wait(httpx.WriteTimeout)
        if self._lost:
            raise httpx.WriteError("the connection is lost") from self._error

    async def _wait(self, too_long: type[httpx.TimeoutException]) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        self._waits_until, self._too_long = min(loop.time() + self._patience, self._deadline), too_long
        if self._timer is None or self._waits_until < self._timer.when():  # one for many waits is enough, and faster
            if self._timer:
                self._timer.cancel()
            self._timer = loop.call_at(self._waits_until, self._look)
        try:
            await waiting
        finally:
            self._waiting = None

    def _look(self) -> None:
        """End a wait that takes too long, and look again when one that has begun since would do so."""
        self._timer, loop = None, asyncio.get_running_loop()
        if self._waiting is None or self._waiting.done():
            return
        if loop.time() < self._waits_until:
            self._timer = loop.call_at(self._waits_until, self._look)
        elif self._waits_until == self._deadline:
            self._waiting.set_exception(TimeoutError())
        else:
            self._waiting.set_exception(self._too_long("nothing happens in time"))

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it arrives; `free` takes the connection back. `begun` has come with the head."""

    def __init__(self, connection: _Connection, free: Callable[[_Connection], None]) -> None:
        self._connection: _Connection | None = connection
        self._free = free
        self.begun: list[bytes] = []
        self._failure: httpx.TransportError | None = None

    def has_arrived(self) -> bool:
        """Take what has arrived, and check whether it is all of the body."""
        connection = cast(_Connection, self._connection)
        try:
            while piece := connection.arrived_piece():
                self.begun.append(piece)
        except httpx.TransportError as failure:  # raised where it is read
            self._failure = failure
        return connection.is_answered

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.begun:
            yield chunk
        if self._failure:
            raise self._failure
        while self._connection and (piece := await self._connection.next_piece()):
            yield piece

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._free(connection)


def by_deadline(deadline: float) -> asyncio.Timeout:
    """Return a context that ends with TimeoutError at a time of the running loop."""
    return asyncio.timeout_at(None if deadline == math.inf else deadline)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""What a connection carries, and when it carries another request, against a server that writes bytes."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

import httpx
import pytest

from portkey_bridge.http.connections import Connections
from portkey_bridge.http.failures import explain_failure
from portkey_bridge.settings.values import Timeouts

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Return the event loop: everything here holds on uvloop, too."""
    if request.param:
        pytest.importorskip("uvloop", reason="uvloop is not available for this system")
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[str]:
    """Return the URL of a server that treats each connection in its own way, in this order, and expects all of them."""
    turns = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await turns.pop(0)(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    assert not turns


def again_and_again(answer: bytes) -> Answer:
    """Answer every request of a connection with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)

    return serve


def once(answer: bytes) -> Answer:
    """Answer the first request of a connection, and close it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    return serve


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    """Return patient connections."""
    async with connecting(Timeouts(60, 60, 60)) as made:
        yield made


@asynccontextmanager
async def connecting(timeouts: Timeouts) -> AsyncIterator[Connections]:
    """Return connections until the end of the block."""
    made = Connections(timeouts, 4, httpx.create_ssl_context)
    yield made
    await made.aclose()


async def sent(connections: Connections, request: httpx.Request) -> tuple[int, bytes]:
    """Send a request, and give status and body of its answer."""
    response = await connections.handle_async_request(request)
    try:
        return response.status_code, await response.aread()
    finally:
        await response.aclose()


#: What comes with the first answer, and whether the connection takes another request.
AFTERWARDS = [
    (OK, True),
    (OK + b"unannounced", False),
    (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ninvented", False),
    (OK.replace(b"200 OK", b"200 OK\r\nconnection: close"), False),
    (OK.replace(b"1.1", b"1.0"), False),
]


@pytest.mark.parametrize(("first", "kept"), AFTERWARDS)
async def test_an_answer_is_never_that_of_another_request(connections: Connections, first: bytes, kept: bool) -> None:
    """A connection on which more came than was announced, or that is to end, carries no other request."""
    async with serving(again_and_again(first), *([] if kept else [again_and_again(OK)])) as url:
        for _ in range(3):
            assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")


async def test_a_connection_that_was_closed_meanwhile_is_not_used(connections: Connections) -> None:
    """What must not be sent twice does not fail because a server let go of an idle connection."""
    closed = asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await once(OK)(reader, writer)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with serving(*[close] * 3) as url:
        for _ in range(3):
            assert await sent(connections, httpx.Request("POST", url, content=b"x")) == (200, b"ok")
            await asyncio.wait_for(closed.wait(), 60)
            closed.clear()


async def test_an_answer_may_come_before_the_request_is_whole(connections: Connections) -> None:
    """A refusal is read although the server closes without reading the rest."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async with serving(once(OK.replace(b"200 OK", b"413 Too Large"))) as url:
        assert (await sent(connections, httpx.Request("POST", url, content=endless())))[0] == 413


async def test_an_answer_is_read_although_the_rest_of_the_request_is_not_taken() -> None:
    """A refusal counts, too, where the server neither reads on nor closes."""
    over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # the reader takes half a megabyte by itself
        writer.write(OK.replace(b"200 OK", b"413 Too Large"))
        await over.wait()

    async with serving(refuse) as url, connecting(Timeouts(60, 1, 60)) as connections:
        assert await sent(connections, httpx.Request("POST", url, content=bytes(10_000_000))) == (413, b"ok")
        over.set()


async def test_what_is_sent_unasked_is_not_the_next_answer(connections: Connections) -> None:
    """A second answer that arrives while the connection is idle belongs to no request; the connection is not used."""
    invented = asyncio.Event()

    async def invent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await invented.wait()
        writer.write(OK.replace(b"ok", b"no"))
        invented.clear()
        await reader.read()

    async with serving(invent, again_and_again(OK)) as url:
        assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")
        invented.set()
        while invented.is_set():
            await asyncio.sleep(0)
        assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")


#: Method, target and headers that other clients rewrite
REQUESTS: list[tuple[str, str, list[tuple[bytes, bytes]]]] = [
    ("GET", "m/%2e%2e/x", []),
    ("GET", "x?", []),
    ("GET", "/x//y", []),
    ("GET", "a%2Fb;c=d/@e?f=[g]&h='%zz&i=%7E", []),
    ("gEt", "", []),
    ("QUERY", "", [(b"x-A", b"1"), (b"X-b", "é".encode()), (b"x-a", b"2"), (b"X-A", b"\xe9"), (b"Cookie", b"a=b")]),
]


@pytest.mark.parametrize(("method", "target", "headers"), REQUESTS)
@pytest.mark.parametrize("content", [None, b"{}"])
async def test_a_request_arrives_as_httpx_has_it(
    connections: Connections, method: str, target: str, headers: list[tuple[bytes, bytes]], content: bytes | None
) -> None:
    """Method, target, and the headers with their names, values and order are sent byte by byte, and nothing else is."""
    heads: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with serving(note) as url:
        request = httpx.Request(method, url + target, headers=headers, content=content)
        assert (await sent(connections, request))[0] == 200
    first, *rest = heads[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert first == f"{request.method} /{target} HTTP/1.1".encode()
    assert rest == [name + b": " + value for name, value in request.headers.raw]


#: Heads of answers that not every client reads
HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(300)) + b"\r\nok",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 50_000 + b"\r\n\r\nok",
    b"HTTP/1.1 200\r\nx: \xe9\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK,
]


@pytest.mark.parametrize("answer", HEADS)
async def test_unusual_answers_are_read(connections: Connections, answer: bytes) -> None:
    """Lengths given twice or beside chunks, long heads, a missing reason, and interim answers are understood."""
    async with serving(once(answer)) as url:
        assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")


async def test_what_arrived_before_a_fault_is_read(connections: Connections) -> None:
    """A body that breaks off in what came with its head is read up to there, and then is an error."""
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nno size\r\n"
    async with serving(once(answer)) as url:
        response = await connections.handle_async_request(httpx.Request("GET", url))
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"ok"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)
        await response.aclose()


@pytest.mark.parametrize(("size", "kept"), [(90_000, True), (200_000, False)])
async def test_heads_are_bounded(connections: Connections, size: int, kept: bool) -> None:
    """A head of about a hundred kilobytes is read, and one that does not end is an error."""
    answer = OK.replace(b"200 OK", b"200 OK\r\nx: " + b"y" * size)
    async with serving(once(answer)) as url:
        if kept:
            assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")
            return
        with pytest.raises(httpx.RemoteProtocolError):
            await sent(connections, httpx.Request("GET", url))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8, and drops what no queue holds")
async def test_another_address_is_tried_while_the_first_one_is_silent(
    connections: Connections, anyio_backend: tuple[str, dict[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two addresses of a host, one that does not answer is not waited for (RFC 8305)."""
    if anyio_backend[1]["use_uvloop"]:
        pytest.skip("uvloop tries one address after the other")
    async with serving(once(OK)) as url:
        port = httpx.URL(url).port
        with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
            silent.bind(("127.0.0.2", port))
            silent.listen(0)
            for queued in (first, second):
                queued.setblocking(False)
                queued.connect_ex(("127.0.0.2", port))
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert await sent(connections, httpx.Request("GET", f"http://two.test:{port}/")) == (200, b"ok")


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    """Sending is as patient as reading, and no more than a little is kept for who does not read."""

    over = asyncio.Event()

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # the reader takes half a megabyte by itself
        await over.wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async with serving(idle) as url, connecting(Timeouts(60, 1, 60)) as connections:
        with pytest.raises(httpx.WriteTimeout):
            await sent(connections, httpx.Request("POST", url, content=endless()))
        over.set()


async def test_an_answer_has_to_begin_before_the_deadline(connections: Connections) -> None:
    """A deadline ends a wait that may be longer, also on a connection that has waited before."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await once(OK)(reader, writer)
        await reader.read()

    async with serving(answer_one) as url:
        assert await sent(connections, httpx.Request("GET", url)) == (200, b"ok")
        request = httpx.Request("GET", url, extensions={"deadline": asyncio.get_running_loop().time() + 0.05})
        with pytest.raises(TimeoutError):
            await connections.handle_async_request(request)


async def test_what_arrives_faster_than_it_is_read_waits_at_the_other_side(connections: Connections) -> None:
    """A long answer that nobody reads on takes no more memory than a little, and what two sockets hold."""
    stuck: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for written in count(1):
            writer.write(bytes(100_000))
            try:
                await asyncio.wait_for(writer.drain(), 0.2)
            except TimeoutError:
                stuck.set_result(written * 100_000)
                return

    async with serving(flood) as url:
        response = await connections.handle_async_request(httpx.Request("GET", url))
        assert await asyncio.wait_for(stuck, 60) < 20_000_000
        await response.aclose()


@pytest.mark.parametrize(("seconds", "opened"), [(4.9, 1), (5.1, 2)])
async def test_an_idle_connection_is_trusted_for_five_seconds(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, seconds: float, opened: int
) -> None:
    """Servers close idle connections after five seconds and more, without a word to who is about to use them."""
    clock = asyncio.get_running_loop().time()
    monkeypatch.setattr("portkey_bridge.http.connections._now", lambda: clock)
    async with serving(*[again_and_again(OK)] * opened) as url:
        assert await sent(connections, httpx.Request("POST", url)) == (200, b"ok")
        clock += seconds
        assert await sent(connections, httpx.Request("POST", url)) == (200, b"ok")


#: Hosts, and what is said of them
HOSTS = [
    *((host, "could not be resolved") for host in ("a..test", f"{'a' * 64}.test", f"{'a.' * 200}test", "no.invalid")),
    ("127.0.0.1:99999", "could not connect"),
]


@pytest.mark.parametrize(("host", "expected"), HOSTS)
async def test_a_host_that_does_not_exist_is_an_error_of_the_connection(
    connections: Connections, host: str, expected: str
) -> None:
    """Whatever is wrong with a host's name or port, the error is one of httpx's, and says what to check."""
    with pytest.raises(httpx.ConnectError) as caught:
        await sent(connections, httpx.Request("GET", f"http://{host}/"))
    assert expected in explain_failure(caught.value, host, Timeouts(1, 1, 5))


@pytest.mark.usefixtures("descriptors_beyond_1024")
async def test_descriptors_beyond_1024_work(connections: Connections) -> None:
    """A connection whose socket has a high number is used again."""
    async with serving(again_and_again(OK)) as url:
        for _ in range(2):
            assert await sent(connections, httpx.Request("POST", url)) == (200, b"ok")

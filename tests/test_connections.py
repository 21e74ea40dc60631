"""What a connection carries, and when it carries another request, against a server that writes bytes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from types import ModuleType

import httpx
import pytest

from portkey_bridge.http.connections import Connections
from portkey_bridge.http.failures import explain
from portkey_bridge.settings import Timeouts

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[str]:
    """Give the URL of a server that treats each connection in its own way, in this order, and expects all of them."""
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
    """Give connections that are patient for a second."""
    made = Connections(Timeouts(1, 1, 5), 4, httpx.create_ssl_context)
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
            await asyncio.wait_for(closed.wait(), 5)
            closed.clear()


async def test_an_answer_may_come_before_the_request_is_whole(connections: Connections) -> None:
    """A refusal is read although the server closes without reading the rest."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async with serving(once(OK.replace(b"200 OK", b"413 Too Large"))) as url:
        assert (await sent(connections, httpx.Request("POST", url, content=endless())))[0] == 413


async def test_a_server_that_takes_nothing_is_given_up(connections: Connections) -> None:
    """Sending is as patient as reading, and no more than a little is kept for who does not read."""

    over = asyncio.Event()

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # the reader takes half a megabyte by itself
        await over.wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async with serving(idle) as url:
        with pytest.raises(httpx.WriteTimeout):
            await sent(connections, httpx.Request("POST", url, content=endless()))
        over.set()


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
        assert await asyncio.wait_for(stuck, 5) < 20_000_000
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


HOSTS = ["a..test", f"{'a' * 64}.test", f"{'a.' * 200}test", "nowhere.invalid", "127.0.0.1:99999"]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_that_cannot_be_looked_up_is_an_error_of_the_connection(
    connections: Connections, host: str
) -> None:
    """Whatever is wrong with a host's name or port, the error is one of httpx's, and says that it has no address."""
    with pytest.raises(httpx.ConnectError) as caught:
        await sent(connections, httpx.Request("GET", f"http://{host}/"))
    assert "could not be resolved" in explain(caught.value, host, Timeouts(1, 1, 5))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts its sockets otherwise")
async def test_descriptors_beyond_1024_work(connections: Connections) -> None:
    """A connection whose socket has a high number is used again."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        async with serving(again_and_again(OK)) as url:
            for _ in range(2):
                assert await sent(connections, httpx.Request("POST", url)) == (200, b"ok")
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_other_event_loops_carry_connections() -> None:
    """Under uvloop, too, a connection is made and used again."""
    uvloop: ModuleType = pytest.importorskip("uvloop", reason="uvloop is not available for this system")

    async def twice() -> None:
        connections = Connections(Timeouts(1, 1, 5), 4, httpx.create_ssl_context)
        async with serving(again_and_again(OK)) as url:
            for _ in range(2):
                assert await sent(connections, httpx.Request("POST", url, content=b"x")) == (200, b"ok")
        await connections.aclose()

    uvloop.run(twice())

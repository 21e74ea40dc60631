"""Clients that send no request, or an ambiguous one: the server closes their connections and answers the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from portkey_bridge.web.http_server import UVICORN
from tests.conftest import Recorder
from tests.support import document, serving

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "thing", "arguments": {}}}

#: What never becomes a request: the first bytes, and those that are repeated.
ENDLESS = {
    "header": (b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-long: ", b"a" * 1000),
    "headers": (b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n", b"x-many: " + b"a" * 1000 + b"\r\n"),
    "target": (b"GET /", b"a" * 1000),
    "trailers": (
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"x-many: " + b"a" * 1000 + b"\r\n",
    ),
    "chunk extension": (
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2",
        b";name=" + b"a" * 1000,
    ),
}


async def sent(url: str, first: bytes, pieces: Iterator[bytes]) -> int:
    """Send bytes until the server closes the connection, and return how many it took."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    count = 0
    with suppress(ConnectionError):
        writer.write(first)
        while not reader.at_eof():
            writer.write(next(pieces))
            await writer.drain()
            count += 1000
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await reader.read(1 << 16)
    writer.close()
    return count


def root_of(url: str) -> Any:
    return document({"/thing": {"get": {"operationId": "thing", "responses": {}}}}, servers=[{"url": url}])


async def test_a_head_without_an_end_is_not_kept(recorder: Recorder, tmp_path: Path) -> None:
    """Endless headers, targets and trailers are refused after some kilobytes, and others are answered meanwhile."""
    with serving(tmp_path, root_of(recorder.url)) as (url, _):
        async with asyncio.timeout(60), httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            sending = [asyncio.create_task(sent(url, first, repeat(each))) for first, each in ENDLESS.values()]
            assert (await http.post(url, json=CALL)).status_code == 200
            counts = await asyncio.gather(*sending)
    assert max(counts) < 20_000_000  # what the buffers of the system take before anybody reads them


#: How a message in chunks ends that is no whole request, although all of the message has arrived.
UNFINISHED = {"malformed": b"xx0\r\n\r\n", "closed": b"\r\n"}


@pytest.mark.parametrize("end", UNFINISHED)
async def test_half_a_request_calls_nothing(recorder: Recorder, tmp_path: Path, end: str) -> None:
    """A call whose request goes on malformed, or not at all before its connection is closed, is not carried out."""
    body = json.dumps(CALL).encode()
    head = f"POST /mcp HTTP/1.1\r\nhost: {{}}\r\naccept: {HEADERS['accept']}\r\ncontent-type: application/json\r\n"
    with serving(tmp_path, root_of(recorder.url)) as (url, _):
        address = httpx.URL(url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(head.format(address.netloc.decode()).encode() + b"transfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%s" % (len(body), body) + UNFINISHED[end])
        writer.write_eof()
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        async with httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            assert (await http.post(url, json=CALL)).status_code == 200
    assert b"HTTP/1.1 200" not in answer
    assert len(recorder.requests) == 1


#: Requests that two programs could read as two different ones (RFC 9112 sections 3.2, 5.1, 6.3 and 7.1).
AMBIGUOUS = {
    "two hosts": (b"host: localhost\r\nhost: evil.example\r\n", b""),
    "length and chunks": (b"host: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    "two lengths": (b"host: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n", b"{}"),
    "a negative length": (b"host: localhost\r\ncontent-length: -1\r\n", b""),
    "a folded header": (b"host: localhost\r\nmcp-name: a\r\n b\r\n", b""),
    "a header with NUL": (b"host: localhost\r\nmcp-name: a\0b\r\n", b""),
    "a space before the colon": (b"host : localhost\r\n", b""),
    "a chunk without a size": (b"host: localhost\r\ntransfer-encoding: chunked\r\n", b"zz\r\n"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_an_ambiguous_request_is_refused(patient: int, name: str) -> None:
    """What a proxy may have understood otherwise gets 400, and the end of its connection."""
    headers, body = AMBIGUOUS[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", patient)
    writer.write(b"POST / HTTP/1.1\r\n" + headers + b"\r\n" + body)
    async with asyncio.timeout(60):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"ok" not in answer
    writer.close()


@pytest.fixture
def short_head_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server wait for a head for half a second."""
    monkeypatch.setattr("portkey_bridge.web.request_heads.HEAD_TIME", 0.5)


@pytest.fixture
async def impatient(short_head_time: None, patient: int) -> int:
    """Run a server that waits for a head for half a second, and return its port."""
    return patient


@pytest.fixture
async def patient() -> AsyncIterator[int]:
    """Run a server, and return its port."""
    config = uvicorn.Config(PlainTextResponse("ok"), port=0, **{**UVICORN, "lifespan": "off"})
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nho"])
async def test_a_head_has_to_arrive_in_time(impatient: int, begun: bytes) -> None:
    """A connection without a request, or with a part of one, is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(begun)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_stays_open_between_requests(impatient: int) -> None:
    """What is bounded is the time from the first byte of a head to its last."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    async with asyncio.timeout(60):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.7)
        writer.write(b"GET / HT")
        assert await reader.read() == b""
    writer.close()

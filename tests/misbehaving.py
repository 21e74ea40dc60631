"""A real server on the loopback interface that misbehaves on purpose, and the document of its API.

Each path is one misbehaviour. Most are bytes that are written before the connection ends; the tables say which.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

MARKER = "marker-of-a-secret-credential"

#: Where a credential can stand, each under a variable of its own.
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-secret-header"},
    "query": {"type": "apiKey", "in": "query", "name": "x-secret-query"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "x-secret-cookie"},
}
VARIABLES = ("API_KEY", "X_SECRET_HEADER", "X_SECRET_QUERY", "X_SECRET_COOKIE")


def head(status: int = 200, media_type: str = "application/json", **headers: Any) -> bytes:
    """Write a response's head; names of headers are written with `_`."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-type: {media_type}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, status: int = 200, media_type: str = "application/json", **headers: Any) -> bytes:
    """Write a response that is as it should be."""
    return head(status, media_type, content_length=len(body), **headers) + body


def chunked(media_type: str, *parts: bytes) -> bytes:
    """Write the head of a chunked response, and the first of its chunks."""
    return head(200, media_type, transfer_encoding="chunked") + b"".join(map(chunk, parts))


def chunk(data: bytes) -> bytes:
    """Write a chunk of a chunked body (RFC 9112 section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def piece(finish: str | None = None, **delta: Any) -> bytes:
    """Write an event of a chat completion's stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(value)}\n\n".encode()


COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}
LIST: dict[str, Any] = {"data": [{"id": number, "name": f"name {number}"} for number in range(5000)], "more": False}

PLAIN, EVENTS = "text/plain", "text/event-stream"
LAST_CHUNK = chunk(b"")
SOME_EVENT = piece(role="assistant", content="what came")
ERROR_EVENT = b'data: {"error": {"message": "overloaded"}}\n\n'
BOMB = gzip.compress(bytes(50_000_000))

#: What is written before the connection ends.
ANSWERS = {
    "ok": whole(b'{"ok": null, "n": 123456789012345678901234567890}', x_request_id="r-1"),
    "picture": whole(b"\x89PNG", media_type="image/png"),
    "sound": whole(b"ID3\4\0", media_type="audio/mpeg"),
    "large_list": whole(json.dumps(LIST).encode()),
    "lines": chunked("application/x-ndjson", b'{"a": 1}\n{"a":', b" 2}\n") + LAST_CHUNK,
    "completion": whole(json.dumps(COMPLETION).encode()),
    "early_end_in_body": head(200, PLAIN, content_length=100) + b"what came",
    "early_end_in_chunk": chunked(PLAIN, b"what came") + b"100\r\nmore",
    "longer_than_announced": head(200, PLAIN, content_length=4) + b"what was not announced",
    "invalid_length": head(content_length="many") + b"{}",
    "invalid_chunks": chunked(PLAIN) + b"many\r\nbytes\r\n",
    "no_http": b"220 mail.example.com ESMTP\r\n",
    "invalid_gzip": whole(b"\x1f\x8b is no gzip", content_encoding="gzip"),
    "gzip_bomb": whole(BOMB, content_encoding="gzip"),
    "nested_gzip_bomb": whole(gzip.compress(BOMB), content_encoding="gzip, gzip"),
    "invalid_headers": whole(b"words", 200, PLAIN, link="<\xe9>", x_request_id="\xff"),
    "invalid_utf8": whole(b"caf\xe9", 200, "text/plain; charset=utf-8"),
    "no_json": whole(b"<html>maintenance</html>"),
    "to_dead_end": whole(b"", 307, location="http://127.0.0.1:1/nobody"),
    "to_no_name": whole(b"", 307, location="http://name.invalid/nobody"),
    "to_no_port": whole(b"", 307, location="http://127.0.0.1:99999/"),
    "in_circles": whole(b"", 307, location="/in_circles"),
    "refused_for_long": whole(b'{"error": "slow down"}', 429, retry_after="86400"),
    "unauthorized": whole(f'{{"error": "wrong key: {MARKER}"}}'.encode(), 401),
    "echo_in_events": chunked(EVENTS, f"data: {MARKER}\n\n".encode()) + LAST_CHUNK,
    "echo_in_utf_16": whole(MARKER.encode("utf-16"), 200, "text/plain; charset=utf-16"),
    "echo_in_picture": whole(b"\x89PNG" + MARKER.encode(), media_type="image/png"),
    "echo_in_ebcdic": whole(MARKER.encode("cp037"), 200, "text/plain; charset=cp037"),
    "echo_in_json_escapes": whole(
        json.dumps({"key": "".join(f"#{ord(each):04X}" for each in MARKER)}).encode().replace(b"#", b"\\u")
    ),
    "echo_in_html": whole("".join(f"&#x{ord(each):x};" for each in MARKER).encode(), 200, "text/html"),
    "echo_in_reason": whole(b"{}").replace(b"200 Whatever", f"299 {MARKER}".encode()),
    "no_events": chunked(EVENTS, b'{"error": "no such model"}') + LAST_CHUNK,
    "undeclared_events": whole(SOME_EVENT + piece("stop")),
    "cut_event": chunked(EVENTS, SOME_EVENT + b'data: {"id": "c'),
    "failing_stream": chunked(EVENTS, SOME_EVENT + ERROR_EVENT) + LAST_CHUNK,
}

#: What is written before the connection is reset.
RESETS = {
    "reset_at_once": b"",
    "reset_in_status_line": b"HTTP/1.",
    "reset_in_headers": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "reset_in_body": head(200, PLAIN, content_length=100) + b"what came",
}

#: What is written once, and what again and again, until the other side closes.
ENDLESS = {
    "endless_headers": (b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n" * 1000),
    "endless_stream": (chunked(EVENTS), chunk(b'data: {"more": true}\n\n' * 1000)),
    "gigabyte": (head(content_length=1_000_000_000) + b"[", b"1," * 32_768),
    "unannounced_gigabyte": (chunked("application/json", b"["), chunk(b"1," * 32_768)),
}

#: What is answered to every other request, and to those between: refusals that end, failures that do not.
IN_TURNS = {
    "refused_for_seconds": (whole(b"", 429, retry_after="0"), whole(b'{"ok": null}')),
    "refused_until_a_date": (whole(b"", 429, retry_after=formatdate(0, usegmt=True)), whole(b'{"ok": null}')),
    "failing_in_turns": (whole(b"failing", 503, PLAIN), whole(b"failing", 500, PLAIN)),
}


@dataclass
class Server:
    """The server at `url`, which redirects to `other_url`; `heads` are the requests that arrived at either.

    `begun` and `closed` tell that a request waits, and that its connection was closed; `go_on` lets a stream go on.
    """

    url: str = ""
    other_url: str = ""
    heads: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def asked(self, name: str) -> list[str]:
        """Return the requests for a path."""
        return [head for head in self.heads if _name(head) == name]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(request)
            await self.answer(_name(request), reader, writer)
            await writer.drain()
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()

    async def answer(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the path is named for."""
        if name in BEHAVIOURS:
            await BEHAVIOURS[name](self, reader, writer)
        elif name in RESETS:
            writer.write(RESETS[name])
            await writer.drain()
            writer.transport.abort()
        elif name in ENDLESS:
            await _write_endlessly(writer, *ENDLESS[name])
        elif name in IN_TURNS:
            writer.write(IN_TURNS[name][(len(self.asked(name)) - 1) % 2])
        else:
            writer.write(ANSWERS[name])


def _name(request: str) -> str:
    return request.split(" ")[1].strip("/").partition("?")[0]


async def _write_endlessly(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(again)
        await writer.drain()


async def slow_headers(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Report nothing until the other side closes."""
    await reader.read()


async def slow_body(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Report something, and then nothing more."""
    writer.write(head(200, PLAIN, content_length=100) + b"what came")
    await reader.read()


async def dripping_body(_: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a little, often enough to keep each read from timing out."""
    writer.write(chunked(PLAIN))
    while not reader.at_eof():
        writer.write(chunk(b"drop "))
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)


async def to_elsewhere(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Redirect to another origin."""
    writer.write(whole(b"", 302, location=f"{server.other_url}/ok"))


async def to_elsewhere_with_the_key(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Redirect to another origin with a credential in the target."""
    writer.write(whole(b"", 302, location=f"{server.other_url}/ok?key={MARKER}"))


async def echo(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back the request, credentials and all."""
    sent = server.heads[-1]
    assert sent.count(MARKER) == len(VARIABLES)
    writer.write(whole(sent.encode(), 200, PLAIN, x_request_id=MARKER, link=f"</?key={MARKER}>"))


async def streamed_completion(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the second part only when somebody has seen the first."""
    writer.write(chunked(EVENTS, piece(role="assistant", content="Hel")))
    await server.go_on.wait()
    writer.write(chunk(piece(content="lo")) + chunk(piece("stop") + b"data: [DONE]\n\n") + LAST_CHUNK)


async def waiting(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer never, and tell when the other side goes away."""
    server.begun.set()
    await reader.read()
    server.closed.set()


async def waiting_in_stream(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin a stream, and never end it."""
    writer.write(chunked(EVENTS, piece(content="Hel")))
    await waiting(server, reader, writer)


#: What takes more than writing.
BEHAVIOURS: dict[str, Callable[[Server, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        *(slow_headers, slow_body, dripping_body, to_elsewhere, to_elsewhere_with_the_key, echo),
        *(streamed_completion, waiting, waiting_in_stream),
    )
}


def document(server: Server) -> dict[str, Any]:
    """Return the document of the server: an operation for each path, and two that cannot be reached."""
    names = (*ANSWERS, *RESETS, *ENDLESS, *IN_TURNS, *BEHAVIOURS)
    responses = {"401": {"description": "The key is wrong."}, "default": {"description": ""}}
    unreachable = {"refused": "http://127.0.0.1:1", "no_tls": server.url.replace("http://", "https://")}
    paths = {f"/{name}": {"get": {"operationId": name, "responses": responses}} for name in (*names, *unreachable)}
    for name, url in unreachable.items():
        paths[f"/{name}"]["servers"] = [{"url": url}]  # type: ignore[assignment]  # a path item has both
    return {
        "openapi": "3.1.0",
        "info": {"title": "Misbehaving", "version": "1"},
        "servers": [{"url": server.url}],
        "security": [{name: [] for name in SCHEMES}],
        "components": {"securitySchemes": SCHEMES},
        "paths": paths,
    }


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    """Return the server, and another one that it redirects to."""
    server = Server()
    first = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    other = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url, server.other_url = (
        f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}" for listening in (first, other)
    )
    try:
        yield server
    finally:
        first.close()
        other.close()

"""What large answers take of the memory: `python -m bench.memory`. Needs Linux's /proc."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import section, table
from bench.processes import megabytes
from bench.stdio import module, session

#: Bytes of an answer that is viewed, and of one that is refused.
LARGE, TOO_LARGE = 100_000_000, 1_000_000_000

OBJECT = json.dumps({"id": 123456, "name": "a name", "tags": ["a", "b"], "price": 12.5, "more": {"x": 1}}).encode()

CHUNK = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": " a few words"}}]}

JSON, EVENTS, LINES = "application/json", "text/event-stream", "application/x-ndjson"

#: What is answered: the media type, bytes in front, what is repeated, bytes behind, how many there are.
ANSWERS = {
    "a list of objects": (JSON, b"[" + OBJECT, b"," + OBJECT, b"]", LARGE),
    "a list of small integers": (JSON, b"[7", b",7", b"]", LARGE),
    "a list of short texts": (JSON, b'["a"', b',"b"', b"]", LARGE),
    "one text": (JSON, b'"', b"a few words ", b'"', LARGE),
    "a stream of objects": (EVENTS, b"", b"data: " + OBJECT + b"\n\n", b"", LARGE),
    "a streamed chat completion": (EVENTS, b"", f"data: {json.dumps(CHUNK)}\n\n".encode(), b"data: [DONE]\n\n", LARGE),
    "lines of objects": (LINES, b"", OBJECT + b"\n", b"", LARGE),
    "more than is kept": (JSON, b"[7", b",7", b"]", TOO_LARGE),
    "a stream of more than is kept": (EVENTS, b"", b"data: " + OBJECT + b"\n\n", b"", TOO_LARGE),
}


def _body(first: bytes, again: bytes, last: bytes, size: int) -> Iterator[bytes]:
    block = again * (1_000_000 // len(again))
    yield first
    for _ in range(size // len(block)):
        yield block
    yield last


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.CancelledError):
        asked = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        media_type, first, again, last, size = list(ANSWERS.values())[int(asked[1:])]
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n".encode())
        for part in _body(first, again, last, size):
            writer.write(part)
            await writer.drain()
    writer.close()


async def measure() -> dict[str, int]:
    """Call for each answer in a process of its own, and return the megabytes that it took at the peak."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    paths = {f"/{at}": {"get": {"operationId": f"get_{at}", "responses": {}}} for at in range(len(ANSWERS))}
    document = {"openapi": "3.1.0", "info": {"title": "", "version": ""}, "paths": paths}
    measured = {}
    with TemporaryDirectory() as folder:
        file = Path(folder, "document.json")
        file.write_text(json.dumps({**document, "servers": [{"url": f"http://{host}:{port}"}]}))
        for at, name in enumerate(ANSWERS):
            async with session(module("portkey_bridge", "--spec", str(file))) as ours:
                await ours.call("expandResult", {"resultId": "", "jsonPointers": [""]})
                before = megabytes(ours.process.pid)
                await ours.call(f"get_{at}", {})
                measured[name] = round(megabytes(ours.process.pid) - before)
    server.close()
    return measured


def report(measured: dict[str, int]) -> str:
    """Write the figures, and their ratio to the bytes of the answer."""
    rows = [
        (f"{name}, {ANSWERS[name][-1] // 1_000_000:,} MB", f"{took:,}", f"{took * 1_000_000 / ANSWERS[name][-1]:.1f}")
        for name, took in measured.items()
    ]
    return section(
        "Memory",
        "The most memory that a call takes whose answer is large, above what the server takes without: the first "
        "ones are kept and shown as views, the last two are refused as soon as they are larger than what is kept.",
        table(("", "MB", "times its size"), rows),
    )


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

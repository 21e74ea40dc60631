"""What an upload costs in memory: a file of 200 MB over stdio, as one part of a form and as a whole body.

python -m bench.uploads
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.figures import section, table
from bench.processes import megabytes
from bench.stdio import module, session

MEGABYTES = 200

#: The media types of the bodies, and their schemas.
BINARY = {"type": "string", "format": "binary"}
BODIES: dict[str, Any] = {
    "multipart/form-data": {"type": "object", "properties": {"file": BINARY}},
    "application/octet-stream": BINARY,
}


class Upload(NamedTuple):
    """Megabytes that the server process had held at most before an upload and after it, and bytes that arrived."""

    before: float
    after: float
    arrived: int


@asynccontextmanager
async def _counting() -> AsyncIterator[tuple[str, list[int]]]:
    """Run an API that counts the bytes of bodies, and yield its URL and the counts."""
    counts: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        left = length
        while left and (chunk := await reader.read(1 << 20)):
            left -= len(chunk)
        counts.append(length - left)
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", counts


async def measure() -> dict[str, Upload]:
    """Upload a file that is as large on the disk as it says, each way in a process of its own."""
    measured = {}
    async with _counting() as (url, counts):
        with TemporaryDirectory() as folder:
            file, document = Path(folder) / "file.bin", Path(folder) / "document.json"
            file.write_bytes(bytes(MEGABYTES * 1_000_000))
            for media_type, schema in BODIES.items():
                document.write_text(json.dumps(_document(url, media_type, schema)), encoding="utf-8")
                env = {"XDG_CACHE_HOME": folder}
                command = module("portkey_bridge", "--spec", str(document), "--files", folder)
                async with session(command, env) as server:
                    argument = "file" if media_type.startswith("multipart") else "body"
                    await server.call("upload", {argument: "data:,small"})
                    before = megabytes(server.process.pid)
                    await server.call("upload", {argument: "file.bin"})
                    measured[media_type] = Upload(before, megabytes(server.process.pid), counts[-1])
    return measured


def _document(url: str, media_type: str, schema: Any) -> dict[str, Any]:
    body = {"required": True, "content": {media_type: {"schema": schema}}}
    upload = {"operationId": "upload", "requestBody": body, "responses": {"204": {"description": "It is there."}}}
    info = {"title": "Uploads", "version": "1"}
    return {"openapi": "3.0.4", "info": info, "servers": [{"url": url}], "paths": {"/upload": {"post": upload}}}


def report(measured: dict[str, Upload]) -> str:
    """Write the figures."""
    heads = ("body", "arrived, MB", "most memory before, MB", "and after, MB", "more, MB")
    rows = [
        (
            media_type,
            f"{upload.arrived / 1_000_000:.1f}",
            f"{upload.before:.1f}",
            f"{upload.after:.1f}",
            f"{upload.after - upload.before:.1f}",
        )
        for media_type, upload in measured.items()
    ]
    return section(
        "Uploads",
        f"A file of {MEGABYTES} MB, sent by a call over stdio. The memory is that of the server's process at most, "
        "after a small upload and after the large one.",
        table(heads, rows),
    )


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

"""What a call costs over HTTP, in both eras of the protocol: `python -m bench.http`.

The client writes the same bytes again and again, so that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

from bench.documents import TOOL, things
from bench.figures import spread, table
from bench.loopback import loopback
from bench.peers import cpu_seconds
from bench.stdio import BARE, module

#: How often the eras take turns; calls of a turn one after the other, and on AT_ONCE connections at once.
TURNS, CALLS, AT_ONCE = 5, 300, 32

#: What each era's client adds: headers, and metadata of the request.
ERAS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "handshake (2025-11-25)": ({"MCP-Protocol-Version": "2025-11-25"}, {}),
    "2026-07-28": (
        {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": TOOL},
        {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        },
    ),
}


class Turn(NamedTuple):
    """Milliseconds of a call, its milliseconds of CPU, and with AT_ONCE connections calls a second and that CPU."""

    alone: float
    cpu: float
    rate: float
    cpu_at_once: float


class _Connection:
    """A connection that sends one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def call(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        return await self._reader.readexactly(int(length))


def request(port: int, era: str) -> bytes:
    """Return the bytes of a call."""
    headers, meta = ERAS[era]
    params = {"name": TOOL, "arguments": {"id": "a1"}, **meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n{body}".encode()


@asynccontextmanager
async def serving(document: Path) -> AsyncIterator[tuple[int, int]]:
    """Serve the document over HTTP, and yield the process and the port."""
    command = module("portkey_bridge", "serve", "--http", "127.0.0.1:0", "--spec", str(document))
    process = await asyncio.create_subprocess_exec(*command, env=BARE, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None  # noqa: S101  # it is a pipe
        while (line := await process.stderr.readline()) and b"http://" not in line:
            pass
        yield process.pid, int(line.rpartition(b":")[2].split(b"/")[0])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def measure() -> dict[str, list[Turn]]:
    """Return the turns of each era."""
    with loopback() as url, TemporaryDirectory() as folder:
        document = Path(folder) / "things.json"
        document.write_text(json.dumps(things(url)), encoding="utf-8")
        async with serving(document) as (process, port):
            opened = [_Connection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(AT_ONCE)]
            for era in ERAS:
                answer = await opened[0].call(request(port, era))
                if b'"isError":false' not in answer:
                    raise RuntimeError(f"{era} is not answered: {answer[:500]!r}")
            measured: dict[str, list[Turn]] = {era: [] for era in ERAS}
            await _turn(process, opened, request(port, next(iter(ERAS))))  # connections are made, and code is warm
            for _ in range(TURNS):
                for era, turns in measured.items():
                    turns.append(await _turn(process, opened, request(port, era)))
        return measured


async def _turn(process: int, opened: list[_Connection], content: bytes) -> Turn:
    took, before = [], cpu_seconds(process)
    for _ in range(CALLS):
        began = perf_counter()
        await opened[0].call(content)
        took.append(perf_counter() - began)
    alone, began = cpu_seconds(process), perf_counter()

    async def run(connection: _Connection) -> None:
        for _ in range(CALLS // 10):
            await connection.call(content)

    await asyncio.gather(*map(run, opened))
    seconds, number = perf_counter() - began, CALLS // 10 * len(opened)
    at_once = (cpu_seconds(process) - alone) / number
    return Turn(median(took) * 1000, (alone - before) / CALLS * 1000, number / seconds, at_once * 1000)


def report(measured: dict[str, list[Turn]]) -> str:
    """Write the figures."""
    heads = ("era", "ms a call", "ms of CPU", f"calls a second, {AT_ONCE} at once", "ms of CPU")
    rows = [(era, *_cells(turns)) for era, turns in measured.items()]
    return "\n\n".join(
        (
            "## Calls over HTTP",
            f"The same GET over HTTP, in {TURNS} turns of {CALLS} calls one after the other and {CALLS // 10} on each "
            f"of {AT_ONCE} connections: medians with the lowest and highest. CPU is that of the server, which "
            "reads HTTP with httptools and uvloop where they are installed.",
            table(heads, rows),
        )
    )


def _cells(turns: list[Turn]) -> tuple[str, ...]:
    alone, cpu, rate, at_once = zip(*turns, strict=True)
    return spread(alone), spread(cpu), spread(rate, 0), spread(at_once)


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

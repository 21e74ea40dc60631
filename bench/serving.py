"""What serving over HTTP costs, beside others that serve the same document: `python -m bench.serving [SECONDS]`.

Every subject answers 1, 32 and 256 clients in turn. CPU and memory are those of the server with its children; the API
and the clients are processes of their own. Those that are not installed are left out: see `rivals` in the Makefile.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench import contextforge
from bench.documents import TOOL, things
from bench.figures import section, table
from bench.installed import CONTEXTFORGE, IVOTOBY, program_of
from bench.loopback import loopback
from bench.processes import cpu_seconds
from bench.stdio import BARE
from tests.replicas import free_port

#: Clients at the same time, and seconds for which they call.
CLIENTS, SECONDS = (1, 32, 256), 5.0

#: Seconds that a server may take to start.
PATIENCE = 60

ROOT = Path(__file__).parents[1]

#: The version of the era of handshakes, and that of the era in which each request says itself what its client is.
VERSION, MODERN = "2025-06-18", "2026-07-28"
ACCEPT = "application/json, text/event-stream"

#: What a request of the modern era says of its client.
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Subject:
    """A server: how it is started, where its endpoint is, and the name of its tool."""

    name: str
    command: Sequence[str]
    url: str
    tool: str = TOOL
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], str] = str  # once it has started; returns a header of each request
    version: str = VERSION


@dataclass(frozen=True)
class Figures:
    """What some clients got: calls in a second, milliseconds of CPU in a call, of waiting, and megabytes."""

    clients: int
    rate: float
    cpu: float
    p50: float
    p99: float
    megabytes: float


def subjects(api: str, folder: Path, redis: str | None) -> Iterator[Subject]:
    """Yield what is measured, as far as it is installed."""
    document = folder / "things.json"
    document.write_text(json.dumps(things(api)))
    ours = (sys.executable, "-m", "portkey_bridge", "serve", "--spec", str(document), "--concurrency", "256", "--http")
    for version in (VERSION, MODERN):
        port = free_port()
        url, name = f"http://127.0.0.1:{port}", f"portkey-bridge, {version}"
        yield Subject(name, (*ours, f"127.0.0.1:{port}"), f"{url}/mcp", version=version)
    if redis is not None:
        key = {"OPEN_MCP_STORE_KEY": "k" * 44}
        for workers in (1, 2):
            port, shared = free_port(), ("--store", redis, "--workers", str(workers))
            name = f"portkey-bridge with a store, {workers} worker{'s' * (workers > 1)}"
            yield Subject(name, (*ours, f"127.0.0.1:{port}", *shared), f"http://127.0.0.1:{port}/mcp", env=key)
    port = free_port()
    theirs = (sys.executable, "-m", "bench.rivals", "from_openapi", "http", str(port), api)
    yield Subject("FastMCP `from_openapi`", theirs, f"http://127.0.0.1:{port}/mcp", "getThing0")
    if ivotoby := program_of(IVOTOBY):
        port = free_port()
        options = ("--transport", "http", "--port", str(port), "--api-base-url", api, "--openapi-spec", str(document))
        url = f"http://127.0.0.1:{port}/mcp"
        yield Subject(IVOTOBY.package, (str(ivotoby), *options), url, "get-thing-0")
    if program_of(CONTEXTFORGE):
        port, env = free_port(), contextforge.settings(folder)
        url, target = f"http://127.0.0.1:{port}", f"{api}/things0/{{id}}"
        prepare = partial(contextforge.register, url, env, "getthing0", target)
        name, command = CONTEXTFORGE.package, contextforge.command(port)
        yield Subject(name, command, f"{url}/mcp/", env=env, prepare=prepare)


class Client:
    """One client on one connection: the bytes of a request are ready, and of an answer little is read."""

    def __init__(self, subject: Subject, number: int, header: str) -> None:
        self._parts, self.number, self._version = urlsplit(subject.url), number, subject.version
        self._header, self._session = f"{header}\r\n" if header else "", ""

    async def open(self) -> None:
        """Connect, and shake hands in the era of handshakes."""
        self._reader, self._writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        if self._version == MODERN:
            return
        client = {"name": "bench", "version": "1"}
        params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
        head, _ = await self.send(self.request({"id": self.number, "method": "initialize", "params": params}))
        found = [line for line in head.split(b"\r\n") if line.lower().startswith(b"mcp-session-id:")]
        self._session = f"{found[0].decode()}\r\n" if found else ""
        await self.send(self.request({"method": "notifications/initialized"}))
        if found:
            await self._listen()

    async def _listen(self) -> None:
        """Open the stream of events on which some servers answer calls of a session."""
        self._events, self._listening = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        head = f"GET {self._parts.path} HTTP/1.1\r\nhost: {self._parts.netloc}\r\naccept: text/event-stream\r\n"
        self._listening.write(f"{head}{self._session}\r\n".encode())
        await self.send(self.request({"id": self.number, "method": "tools/list", "params": {}}))  # it is open by then

    async def call(self, request: bytes) -> bytes:
        """Send a call, and return its answer, which may come as an event."""
        head, body = await self.send(request)
        while b" 202 " in head[:16] and b'"result"' not in body:
            body = await self._events.readuntil(b"\n\n")
        return body

    def request(self, message: dict[str, Any]) -> bytes:
        """Return the bytes of a request."""
        own = f"mcp-protocol-version: {self._version}\r\n"
        if self._version == MODERN:
            own += f"mcp-method: {message['method']}\r\nmcp-name: {message['params']['name']}\r\n"
            message = {**message, "params": {**message["params"], "_meta": ENVELOPE}}
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        head = (
            f"POST {self._parts.path} HTTP/1.1\r\nhost: {self._parts.netloc}\r\naccept: {ACCEPT}\r\n"
            f"content-type: application/json\r\n{own}{self._header}{self._session}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def send(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request, and return head and body of its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head, await self._reader.readuntil(b"0\r\n\r\n")
        length = int((lower.partition(b"content-length:")[2].split(b"\r\n")[0] or b"0").strip() or 0)
        return head, await self._reader.readexactly(length)

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        if self._session:
            self._listening.close()


async def load(subject: Subject, header: str, count: int, seconds: float) -> tuple[list[float], float]:
    """Have clients call for some seconds; return how long each call took, and how long all of it."""
    clients = [
        Client(subject, number, header) for number in range(1, count + 1)
    ]  # some tell answers apart by ids alone
    await asyncio.gather(*(client.open() for client in clients))
    params = {"name": subject.tool, "arguments": {"id": "a1"}}
    took: list[float] = []
    began = time.perf_counter()

    async def run(client: Client) -> None:
        request = client.request({"id": client.number, "method": "tools/call", "params": params})
        while (start := time.perf_counter()) < began + seconds:
            body = await client.call(request)
            if b"A thing" not in body:
                raise RuntimeError(f"{subject.name}: {body.decode()[:300]}")
            took.append(time.perf_counter() - start)

    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*map(run, clients))
    lasted = time.perf_counter() - began
    for client in clients:
        client.close()
    return took, lasted


def measured(subject: Subject, seconds: float) -> Iterator[Figures]:
    """Start a server, and yield its figures with each number of clients, as far as it answers all of them."""
    with subprocess.Popen(  # noqa: S603  # what is measured
        subject.command, cwd=ROOT, env={**BARE, **subject.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait(subject, server)
            header = subject.prepare()
            asyncio.run(load(subject, header, 4, min(seconds, 1)))  # what is imported late is imported
            for count in CLIENTS:
                yield _figures(subject, header, server.pid, count, seconds)
        except (RuntimeError, OSError, EOFError, TimeoutError) as error:
            print(f"{subject.name}: {error!r:.300}", file=sys.stderr)
        finally:
            server.terminate()


def _figures(subject: Subject, header: str, pid: int, count: int, seconds: float) -> Figures:
    before = sum(map(cpu_seconds, _family(pid)))
    took, lasted = asyncio.run(load(subject, header, count, seconds))
    family = _family(pid)
    cpu = (sum(map(cpu_seconds, family)) - before) / len(took)
    p99 = quantiles([*took, took[-1]], n=100)[98]
    return Figures(count, len(took) / lasted, cpu * 1000, median(took) * 1000, p99 * 1000, sum(map(_memory, family)))


def _wait(subject: Subject, server: subprocess.Popen[bytes]) -> None:
    parts, deadline = urlsplit(subject.url), time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((parts.hostname, parts.port or 80), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{subject.name} does not start: {' '.join(subject.command)}")


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _memory(pid: int) -> float:
    """Return the megabytes that a process holds, its part of what several hold."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:"))


@contextmanager
def store() -> Iterator[str | None]:
    """Run a Redis, if it is installed, and yield its URL."""
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        yield None
        return
    port = free_port()
    options = ("--port", str(port), "--save", "", "--bind", "127.0.0.1")
    with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as server:  # noqa: S603
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


def report(rows: Sequence[tuple[str, Figures]]) -> str:
    """Write the figures."""
    heads = ("", "clients", "calls a second", "ms of CPU a call", "p50, ms", "p99, ms", "MB")
    lines = [
        (name, str(f.clients), f"{f.rate:,.0f}", f"{f.cpu:.2f}", f"{f.p50:.1f}", f"{f.p99:.1f}", f"{f.megabytes:,.0f}")
        for name, f in rows
    ]
    return section(
        "Serving over HTTP",
        "A GET whose answer is a small JSON object, called over HTTP by clients that wait for each answer. CPU and "
        "memory are those of the server with its workers. Clients and API run on the same cores. "
        "Where a row is missing, not all clients were answered in time.",
        table(heads, lines),
    )


def main(seconds: float) -> None:
    """Measure everything that is installed."""
    with ExitStack() as stack:
        api, redis = stack.enter_context(loopback()), stack.enter_context(store())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        rows = [(each.name, f) for each in subjects(api, folder, redis) for f in measured(each, seconds)]
    print(report(rows))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)

"""Several servers as a team runs them: processes that share a Redis of the test, and nginx in front of them."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.transports import StreamableHttpTransport

from portkey_bridge.serve.store import STORE_KEY
from tests.support import document, serving

#: The key of the values in the store.
KEY = "a-key-of-at-least-thirty-two-characters"

#: Callers; the token of each is their name.
TOKENS = ",".join(f"{name}={sha256(name.encode()).hexdigest()}" for name in ("alice", "bob"))


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """A Redis on a port of its own, which can be stopped and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = shutil.which("redis-server") or shutil.which("valkey-server")
        if command is None:
            pytest.skip("neither redis-server nor valkey-server is installed")
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder))
        kept = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        self.process = subprocess.Popen([command, *options, *kept], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert any("Ready to accept connections" in line for line in self.process.stdout)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it is gone."""
        self.process.send_signal(how)
        self.process.communicate()


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis until the end of the block."""
    server = RedisServer(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


class HeldApi:
    """An API that answers when it is told to: to `/PATH` with the text PATH. It counts the requests that arrived."""

    def __init__(self) -> None:
        self.arrived, self.may_answer = asyncio.Semaphore(0), asyncio.Event()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        target = (await reader.readline()).split()[1]
        while await reader.readline() not in (b"\r\n", b""):
            pass
        self.arrived.release()
        await self.may_answer.wait()
        body = json.dumps({"path": target.decode()}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def held_api() -> AsyncIterator[HeldApi]:
    """Run an API that answers when it is told to."""
    api = HeldApi()
    async with await asyncio.start_server(api.answer, "127.0.0.1", 0) as server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield api
        api.may_answer.set()


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until something is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


def root_of(url: str, *names: str) -> dict[str, Any]:
    """Return a document of an API at this URL with a GET operation of each name."""
    paths = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in names or ("large", "small")}
    return document(paths, servers=[{"url": url}])


@contextmanager
def replicas(folder: Path, url: str, store: str, count: int = 2, *arguments: str) -> Iterator[list[str]]:
    """Run servers that share a store, and return the URLs of their endpoints."""
    with ExitStack() as stack:
        urls = []
        for number in range(count):
            own = folder / f"replica-{number}"
            own.mkdir()
            options = ("--store", store, "--tokens", TOKENS, *arguments)
            urls.append(stack.enter_context(serving(own, root_of(url), *options, env={STORE_KEY: KEY}))[0])
        yield urls


def client(url: str, token: str) -> Client[Any]:
    """Return a client of a server, with the token of a caller."""
    return Client(StreamableHttpTransport(url, auth=BearerAuth(token)))

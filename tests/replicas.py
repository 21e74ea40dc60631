"""Several servers as a team runs them: processes that share a Redis of the test, and nginx in front of them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.transports import StreamableHttpTransport

from portkey_bridge.callers.store import STORE_KEY
from tests.conftest import BARE, OF_ITS_OWN, ROOT, program
from tests.support import document, serving

#: The key of the values in the store.
KEY = "a-key-of-at-least-thirty-two-characters"

#: Callers; the token of each is their name.
TOKENS = ",".join(f"{name}={sha256(name.encode()).hexdigest()}" for name in ("alice", "bob"))


#: No system chooses one of these for a socket by itself (RFC 6335 section 6; Linux begins at 32768): what was free when
#: a test asked for it is free when its server listens.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of loopback that nobody uses, and that stays free until it is used."""
    while True:
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
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


@dataclass
class LargeApi:
    """An API that answers with 300 texts of the target and the credential of a request, and what it has `seen`."""

    url: str = ""
    seen: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def large_api() -> Iterator[LargeApi]:
    """Run an API whose answers are large."""
    api = LargeApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            key = self.headers.get("x-key")
            api.seen.append((self.path, key))
            content = json.dumps({"items": [f"{self.path} {number} {key}" for number in range(300)]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        yield api
        server.shutdown()
        thread.join()


class Replica:
    """A server on a port of its own, which can be stopped and started again. It writes to the files `out` and `log`."""

    def __init__(self, folder: Path, port: int, *options: str, env: Mapping[str, str] = {}) -> None:
        self.port, self._folder = port, folder
        self._env = {**BARE, **OF_ITS_OWN, STORE_KEY: KEY, **env}
        self._command = program("serve", "--http", f"127.0.0.1:{port}", *options, env=OF_ITS_OWN)
        self.out, self.log = folder / f"{port}.out", folder / f"{port}.log"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.out.open("ab") as out, self.log.open("wb") as log:
            self.process = subprocess.Popen(self._command, cwd=self._folder, env=self._env, stdout=out, stderr=log)
        deadline = time.monotonic() + 180
        while b" at http" not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and wait until it is gone."""
        self.process.send_signal(how)
        self.process.wait(180)


@dataclass
class Cluster:
    """Replicas behind nginx, and their store."""

    url: str
    replicas: list[Replica]
    redis: RedisServer


@contextmanager
def running_cluster(folder: Path, redis: RedisServer, count: int = 3) -> Iterator[Cluster]:
    """Run nginx as `deploy/nginx.conf` configures it, and replicas behind it, until the end of the block."""
    with large_api() as api, ExitStack() as stack:
        (folder / "api.json").write_text(json.dumps(root_of(api.url)))
        options = ("--spec", "api.json", "--store", redis.url, "--tokens", TOKENS, "--result-limit", "2000")
        servers = [Replica(folder, free_port(), *options) for _ in range(count)]
        for server in servers:
            server.start()
            stack.callback(server.stop, signal.SIGKILL)
        port = free_port()
        stack.enter_context(running_nginx(folder, _configured(port, [server.port for server in servers])))
        yield Cluster(f"http://127.0.0.1:{port}/mcp", servers, redis)


@contextmanager
def running_nginx(folder: Path, configuration: str) -> Iterator[None]:
    """Run nginx, with this as its configuration and its files in a folder, until the end of the block."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    text = configuration.replace("http {\n", f"http {{\n  access_log off;\n{paths}")
    (folder / "nginx.conf").write_text(f"pid {folder}/nginx.pid;\n{text}")
    command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "nginx.log", "-g", "daemon off;"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            for port in re.findall(r"listen 127\.0\.0\.1:(\d+)", configuration):
                _await_listener(int(port), process)
            yield
        finally:
            process.terminate()


def _await_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens on a port of loopback."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    pytest.fail(f"{process.args!r} does not listen on {port}")


def _configured(port: int, ports: list[int]) -> str:
    """Return the shipped configuration for processes on this machine."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    servers = "\n".join(f"    server 127.0.0.1:{each} max_fails=0;" for each in ports)
    text = re.sub(r"\n  resolver .*", "", text).replace("    server bridge:8000 resolve;", servers)
    return text.replace("listen 8080;", f"listen 127.0.0.1:{port};")


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Wait until something is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


def root_of(url: str, *names: str) -> dict[str, Any]:
    """Return a document of an API at this URL with a GET operation of each name."""
    number = {"name": "n", "in": "query", "schema": {"type": "string"}}
    each = {"parameters": [number], "responses": {}}
    paths = {f"/{name}": {"get": {"operationId": name, **each}} for name in names or ("large", "small")}
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

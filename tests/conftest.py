"""What most tests stand on: the program as a child process, an MCP client of it, and a real server that records."""

from __future__ import annotations

import atexit
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis  # before a server starts: its hook for trio asks the garbage collector, which a server stops
import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.transports import StdioTransport
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from mcp_types import TextContent

from portkey_bridge.cli import terminal

if TYPE_CHECKING:
    from tests.replicas import RedisServer

ROOT = Path(__file__).parents[1]

# Whoever runs the tests in the background has it ignored, and so would each child that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on the speed of a machine, where a person would be told what is waited for. Without the slow tests, a
# third of the examples has to do.
terminal.EXPLAIN_AFTER = 600.0
hypothesis.settings.register_profile("all", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=30)
for _phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _phase, 60.0)  # of clients that are given none; the program gives each its own

_CACHE = TemporaryDirectory(prefix="portkey-bridge-cache-")
atexit.register(_CACHE.cleanup)
#: Where a program that a test starts keeps something; never in a developer's own folders, or keyring.
KEPT = dict.fromkeys(("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"), _CACHE.name) | {
    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"
}
os.environ |= KEPT

#: The least that a Python child needs; a developer's own keys and settings never reach a test.
BARE = {
    name: value
    for name, value in os.environ.items()
    if name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "LANG") or name.startswith(("COVERAGE_", "COV_"))
} | {"PYTHONPATH": str(ROOT), **KEPT}

Connect = Callable[..., AbstractAsyncContextManager[Client[StdioTransport]]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


#: Variables that are read while Python starts or the program is imported, so that no forked child could have others.
EARLY = ("PYTHON", "FASTMCP_", "MCP_", "LANG", "LC_", "COVERAGE_", "COV_")

#: An environment variable with which the program is a process of its own, not forked.
OF_ITS_OWN = {"PYTHONNOUSERSITE": "1"}


def program(*arguments: str, env: Mapping[str, str]) -> list[str]:
    """Return the command of a child process that is the program, in an environment that may be that of a forked one."""
    early, usual = ({name: env[name] for name in env if name.startswith(EARLY)} for env in (env, BARE))
    if sys.platform != "linux" or early != usual or any(name.startswith("COV") for name in usual):
        return [sys.executable, "-m", "portkey_bridge", *arguments]
    return [sys.executable, "-S", "-E", str(ROOT / "tests" / "forked.py"), _socket(), *arguments]


@cache
def _socket() -> str:
    """Return the socket of the process that forks, which is started now and ends with the tests."""
    path = f"{_CACHE.name}/socket"
    command = [sys.executable, "-P", str(ROOT / "tests" / "forkserver.py"), path]
    process = subprocess.Popen(command, env=BARE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    atexit.register(process.wait)
    atexit.register(process.kill)  # goes first
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return path


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples Hypothesis tries where a test does not say it."""
    hypothesis.settings.load_profile("quick" if config.option.markexpr == "not slow" else "all")


@pytest.fixture(autouse=True)
def no_copies() -> Iterator[None]:
    """Forget the documents of a test's servers, because a later test may get one of their ports."""
    yield
    for copy in Path(_CACHE.name).glob("*/document-*"):
        copy.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as FastMCP does."""
    return "asyncio"


def run_in(cwd: Path, *arguments: str, env: Mapping[str, str] = {}, stdin: str = "") -> Any:
    """Run the command line to its end in a folder."""
    environ = {**BARE, **env}
    return subprocess.run(
        program(*arguments, env=environ),
        env=environ,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.fixture
def descriptors_beyond_1024() -> Iterator[None]:
    """Make every descriptor that is opened in the test one that `select.select` refuses."""
    resource = pytest.importorskip("resource", reason="Windows counts its sockets otherwise")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for number in opened:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs the command line to its end in an empty folder."""

    def run(*arguments: str, cwd: Path = tmp_path, **more: Any) -> Any:
        return run_in(cwd, *arguments, **more)

    return run


@asynccontextmanager
async def connected(
    *arguments: str, env: Mapping[str, str] = {}, cwd: Path | None = None, log_file: Path | None = None
) -> AsyncIterator[Client[StdioTransport]]:
    """Return a real MCP client of the program, which runs as a child process over stdio; stderr goes to `log_file`."""
    environ = {**BARE, **env}
    command, *rest = program(*arguments, env=environ)
    transport = StdioTransport(
        command,
        rest,
        env=environ,
        cwd=str(cwd or ROOT / "tests"),
        log_file=log_file,
        keep_alive=False,  # the process ends with the session, before the event loop does
    )
    async with Client(transport) as client:
        yield client


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    """Return `connected`, with an empty working directory."""

    def connect(
        *arguments: str, env: Mapping[str, str] = {}, cwd: Path = tmp_path, log_file: Path | None = None
    ) -> Any:
        return connected(*arguments, env=env, cwd=cwd, log_file=log_file)

    return connect


def text_of(result: CallToolResult) -> str:
    """Return the text of a result, the notes behind it included. Fails where it holds anything else."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    assert len(texts) == len(result.content), f"not only text: {result.content}"
    return "\n".join(texts)


@dataclass
class Recorded:
    """A request as it arrived: the target as raw bytes of the request line, headers in their order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. Fails where it came twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


@dataclass
class Recorder:
    """A loopback server that records requests and answers each as `answers` has it by target, or else `answer`.

    `connections` are counted.
    """

    url: str = ""
    connections: int = 0
    requests: list[Recorded] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] = (200, {"content-type": "application/json"}, b'{"ok": true}')
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    @property
    def last(self) -> Recorded:
        return self.requests[-1]


@contextmanager
def recording(tls: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """Return a real HTTP server on the loopback interface that records what arrives, by TLS if there is a context."""
    record = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            record.connections += 1
            super().setup()

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            record.requests.append(Recorded(self.command, self.path, list(self.headers.items()), body))
            status, headers, content = record.answers.get(self.path, record.answer)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.handle_any
            raise AttributeError(name)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    record.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    yield record
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a server that records, for one test."""
    with recording() as record:
        yield record


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a Redis of this test."""
    from tests.replicas import running_redis

    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield server

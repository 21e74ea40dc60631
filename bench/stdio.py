"""The lightest MCP client there is: lines of JSON to a child process, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

#: Bytes that a line may have.
LONGEST_LINE = 64_000_000

#: What a child gets of the environment: no setting of the person who measures.
BARE = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}

Message = dict[str, Any]


class Session:
    """A session with a server over its stdin and stdout. Answers may come in any order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0
        self._reading = asyncio.create_task(self._read())

    async def initialize(self) -> None:
        """Shake hands."""
        client = {"name": "bench", "version": "1"}
        await self.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def request(self, method: str, **params: Any) -> bytes:
        """Send a request, and return the line that answers it."""
        self._number += 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = answer
        self._write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        return await answer

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> bytes:
        """Call a tool, and return the line that answers it."""
        return await self.request("tools/call", name=tool, arguments=arguments)

    async def aclose(self) -> None:
        """End the session by the end of stdin."""
        assert self.process.stdin is not None  # noqa: S101  # it is a pipe
        self.process.stdin.close()
        await self._reading
        await self.process.wait()

    def _write(self, message: Message) -> None:
        assert self.process.stdin is not None  # noqa: S101  # it is a pipe
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  # it is a pipe
        async for line in self.process.stdout:
            self._waiting.pop(_identity(line)).set_result(line)


def _identity(line: bytes) -> int:
    """Return the id of an answer; that of a large one is found without parsing all of it."""
    head, tail = line[:60], line[-60:]
    for part in (head, tail):
        found = part.partition(b'"id":')[2]
        if found:
            return int(found.split(b",")[0].split(b"}")[0])
    return int(json.loads(line)["id"])


@asynccontextmanager
async def session(command: Sequence[str], env: Mapping[str, str] = {}) -> AsyncIterator[Session]:
    """Start a server, and yield an initialized session with it. Its stderr is thrown away."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**BARE, **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST_LINE,
    )
    talking = Session(process)
    try:
        await talking.initialize()
        yield talking
    finally:
        await talking.aclose()


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this environment."""
    return [sys.executable, "-m", name, *arguments]

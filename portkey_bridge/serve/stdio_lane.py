"""The direct lane over stdio: it stands between the pipes and the SDK, and takes plain calls out of the lines.

A session is established when the SDK has answered its handshake, or has received its first request if that carries an
envelope of its own (protocol version 2026-07-28). Before, every line is the SDK's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pydantic_core
from mcp.shared.dispatcher import coerce_request_id
from mcp_types import PROTOCOL_VERSION_META_KEY

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.response.streams import no_report
from portkey_bridge.serve.direct_lane import DirectLane, PlainCall, is_token, progress
from portkey_bridge.stdio.messages import LOOK, Lines, LineWriter


class StdioLane:
    """The lines for the SDK, and the writer that it shares with the lane. Calls run in `tasks`."""

    def __init__(
        self,
        lane: DirectLane,
        lines: Lines,
        writer: LineWriter,
        tasks: asyncio.TaskGroup,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._lane, self._lines, self._writer, self._tasks = lane, lines, writer, tasks
        self._is_gone = is_gone
        self._opened = False  # the SDK has received a request
        self._modern: bool | None = None  # the era of the session, once it is established
        self._handshake: Any = None  # the id of a handshake that the SDK has yet to answer
        self._initialized = False  # the client has finished the handshake
        self._running: dict[int | str, asyncio.Task[None]] = {}  # by id: calls that can be cancelled
        self._unanswered: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._answers: list[str] = []  # that wait to be written

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the lines that are not taken. At the end, calls that still run are waited for and answered."""
        async for line in self._lines:
            self._initialized = self._initialized or '"notifications/initialized"' in line
            if self._modern is None:
                self._open(line)
                yield line
                continue
            if self.takes(line):
                continue
            if '"notifications/cancelled"' in line:
                self._cancel(line)
            yield line
        while self._unanswered and not self._is_gone():
            await asyncio.wait(self._unanswered, timeout=LOOK)
        for task in self._unanswered:
            task.cancel()

    def takes(self, line: str) -> bool:
        """Start the call that a line is, in a session that is established; False for any other line."""
        if self._modern is None or '"tools/call"' not in line:
            return False
        call = self._lane.read(line)
        if call is None or (call.version is not None) != self._modern:
            return False
        self._start(call)
        return True

    async def write(self, text: str) -> None:
        """Write a message of the SDK."""
        if self._handshake is not None:
            message = pydantic_core.from_json(text)
            if message.get("id") == self._handshake and "result" in message:
                self._modern, self._handshake = False, None
        await self._write(text)

    async def tools_changed(self) -> None:
        """Notify a client of a session with a handshake that the list of tools has changed."""
        if self._modern is False and self._initialized:
            await self._write('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n')

    async def flush(self) -> None:
        """Do nothing: `write` has written everything."""

    async def _write(self, text: str) -> None:
        async with self._writing:  # a line is written in pieces
            await self._writer.write(text)
            await self._writer.flush()

    def _open(self, line: str) -> None:
        """Note what decides the era of the session."""
        message = _object(line)
        if "id" not in message or not isinstance(message.get("method"), str):
            return
        if message["method"] == "server/discover":  # which a handshake may follow
            return
        if message["method"] == "initialize":
            self._handshake = message["id"]
        elif not self._opened:
            params = message.get("params")
            meta = params.get("_meta") if isinstance(params, dict) else None
            self._modern = True if isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta else None
        self._opened = True

    def _start(self, call: PlainCall) -> None:
        task = self._tasks.create_task(self._run(call))
        self._running[coerce_request_id(call.id)] = task
        self._unanswered.add(task)
        task.add_done_callback(self._unanswered.discard)

    async def _run(self, call: PlainCall) -> None:
        """Run and answer a call. One that the client cancels while it runs is not answered."""
        report = no_report if call.progress_token is None else partial(self._report, call)
        key, task = coerce_request_id(call.id), asyncio.current_task()
        try:
            answer = await self._lane.answer(call, CallContext(report=report))
        finally:
            if self._running.get(key) is task:
                del self._running[key]
        await self._write_answer(f"{answer.decode()}\n")

    async def _write_answer(self, line: str) -> None:
        """Write an answer with those of the calls that end in the same turn of the loop: each writing wakes the client.

        The first of these calls writes for all.
        """
        self._answers.append(line)
        if len(self._answers) > 1:
            return
        if self._running:
            await asyncio.sleep(0)
        async with self._writing:
            answers, self._answers = self._answers, []
            await self._writer.write("".join(answers))
            await self._writer.flush()

    async def _report(self, call: PlainCall, number: int, added: str | None) -> None:
        await self._write(f"{progress(call, number, added).decode()}\n")

    def _cancel(self, line: str) -> None:
        message = _object(line)
        params = message.get("params")
        request_id = params.get("requestId") if isinstance(params, dict) else None
        if message.get("method") != "notifications/cancelled" or "id" in message:
            return
        if request_id is None or not is_token(request_id):
            return
        task = self._running.get(coerce_request_id(request_id))
        if task is not None:
            task.cancel()


def _object(line: str) -> dict[str, Any]:
    try:
        message = pydantic_core.from_json(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}

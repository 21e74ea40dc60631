"""The direct lane over stdio: it stands between the pipes and the SDK, and takes plain calls out of the lines.

A session is established when its handshake was answered, by the SDK or for it, or when its first request has come if
that carries an envelope of its own (protocol version 2026-07-28). Before, every line is the SDK's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import pydantic_core

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.response.streams import no_report
from portkey_bridge.serve.direct_lane import DirectLane, PlainCall, is_token, progress
from portkey_bridge.serve.opening import Opening
from portkey_bridge.stdio.pipes import LOOK, Lines, LineWriter
from portkey_bridge.stdio.session_requests import HANDSHAKE, PROBE, RESPONSE_BEGINNING, RESPONSE_RESULT, VERSION_META


class StdioLane:
    """The lines for the SDK, and the writer that it shares with the lane. Calls run in `tasks`.

    `answered` are the answers to requests, by their ids, that the client has already got: what the SDK answers to them
    is withheld, and `differs` is called if it is something else. `called` is called when a call was answered, and
    `wanted` before a line that only the SDK can answer.
    """

    wanted: Callable[[], None] = staticmethod(lambda: None)
    differs: Callable[[], None] = staticmethod(lambda: None)
    called: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        lane: DirectLane,
        opening: Opening,
        lines: Lines,
        writer: LineWriter,
        tasks: asyncio.TaskGroup,
        is_gone: Callable[[], bool],
        answered: Mapping[str, str],
    ) -> None:
        self._lane, self._opening, self._lines, self._writer, self._tasks = lane, opening, lines, writer, tasks
        self._is_gone = is_gone
        self._answered = dict(answered)
        self._settling = ""  # the line whose answer is withheld
        self._settled = asyncio.Event()
        self._opened = False  # the SDK has received a request
        self._is_probed = False  # and none but those that ask for versions
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
            self._note_probe(line)
            self._initialized = self._initialized or '"notifications/initialized"' in line
            if self.takes(line) or await self._answers_opening(line):
                continue
            is_answered = self._modern is None and self._open(line)
            if '"notifications/cancelled"' in line:
                self._cancel(line)
            if is_answered:
                self._settling = line
            elif not _is_notification(line):
                self.wanted()
            yield line
        while self._unanswered and not self._is_gone():
            await asyncio.wait(self._unanswered, timeout=LOOK)
        for task in self._unanswered:
            task.cancel()
        await asyncio.gather(*self._unanswered, return_exceptions=True)

    def _note_probe(self, line: str) -> None:
        """Note whether the client has only asked for versions. A handshake may follow if the answer came too late."""
        if self._is_probed and HANDSHAKE in line:
            self._opened, self._modern, self._settled = False, None, asyncio.Event()
        if '"id"' in line:
            self._is_probed = PROBE in line and (self._is_probed or not self._opened)

    async def _answers_opening(self, line: str) -> bool:
        """Answer a request of the opening; True if the SDK need not see it. It needs the first one of a session."""
        is_first = not self._opened
        if self._modern is None and (self._opened or self._answered):
            return False
        answer = self._opening.answer(line, self._modern)
        if answer is None:
            return False
        if is_first:
            self._answered[answer.id] = answer.rest
        await self._write(answer.line)
        return not is_first

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
        if self._answered and self._is_answered(text):
            return
        if self._handshake is not None:
            message = pydantic_core.from_json(text)
            if message.get("id") == self._handshake and "result" in message:
                self._modern, self._handshake = False, None
        await self._write(text)

    def _is_answered(self, text: str) -> bool:
        """Check whether a message answers a request to which the client has got the answer before."""
        request_id, _, rest = text.removeprefix(RESPONSE_BEGINNING).partition(",")
        answer = self._answered.pop(request_id, None)
        if answer is None:
            return False
        if answer != rest.removeprefix(RESPONSE_RESULT):
            self.differs()
        self._settled.set()
        return True

    async def settled(self, line: str) -> None:
        """Wait until the SDK knows what a line that was answered before it has decided, such as the version."""
        if line is self._settling:
            await self._settled.wait()

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

    def _open(self, line: str) -> bool:
        """Note what decides the era of the session. Return whether the line is a request that was answered before."""
        message = _object(line)
        if "id" not in message or not isinstance(message.get("method"), str):
            return False
        is_answered = not self._opened and json.dumps(message["id"]) in self._answered
        if message["method"] == "initialize":
            self._handshake, self._modern = (None, False) if is_answered else (message["id"], None)
        elif not self._opened:
            params = message.get("params")
            meta = params.get("_meta") if isinstance(params, dict) else None
            self._modern = True if isinstance(meta, dict) and VERSION_META in meta else None
        self._opened = True
        return is_answered

    def _start(self, call: PlainCall) -> None:
        task = asyncio.get_running_loop().create_task(self._run(call))  # a group would wake up for each that ends
        self._running[_correlated(call.id)] = task
        self._unanswered.add(task)

    async def _run(self, call: PlainCall) -> None:
        """Run and answer a call. One that the client cancels while it runs is not answered."""
        report = no_report if call.progress_token is None else partial(self._report, call)
        key, task = _correlated(call.id), asyncio.current_task()
        try:
            try:
                answer = await self._lane.answer(call, CallContext(report=report))
            finally:
                if self._running.get(key) is task:
                    del self._running[key]
            await self._write_answer(f"{answer.decode()}\n")
            self.called()
        except Exception as error:
            self._tasks.create_task(_failed(error))  # which ends the session
        finally:
            self._unanswered.discard(task)

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
        task = self._running.get(_correlated(request_id))
        if task is not None:
            task.cancel()
            self._unanswered.discard(task)  # it may not even have begun


async def _failed(error: Exception) -> None:
    raise error


def _correlated(request_id: int | str) -> int | str:
    """Return the id by which the SDK finds a request: a text of digits is the same as its number."""
    try:
        return int(request_id)
    except ValueError:
        return request_id


def _is_notification(line: str) -> bool:
    """Check for a line that nobody expects an answer to (JSON-RPC 2.0 section 4.1)."""
    message = _object(line)
    is_named = message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
    return not line.strip() or (is_named and "id" not in message)


def _object(line: str) -> dict[str, Any]:
    try:
        message = pydantic_core.from_json(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}

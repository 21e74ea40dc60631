"""Lines become messages for the SDK and its messages become lines; every request gets one answer.

The SDK would drop what it cannot read, knows no batches, and would cancel the running calls when the input ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from portkey_bridge.stdio.jsonrpc import Refusal, read_batch, read_message
from portkey_bridge.stdio.pipes import LOOK, Lines, LineWriter
from portkey_bridge.stdio.session_requests import HANDSHAKE, PROBE

#: What answers a subscription as long as it lasts, and the name of the id of its request in the metadata.
ACKNOWLEDGED, SUBSCRIPTION_ID = "notifications/subscriptions/acknowledged", "io.modelcontextprotocol/subscriptionId"


@dataclass
class Batch:
    """A batch that is being answered: how many answers are missing, and those that are there."""

    missing: int
    answers: list[str]

    @property
    def line(self) -> str:
        """All answers in one line."""
        return f"[{','.join(self.answers)}]"

    def settle(self, answer: str) -> str:
        """Add an answer, or none for a request that was cancelled. Return the line if it was the last."""
        self.missing -= 1
        self.answers += [answer] if answer else []
        return self.line if self.answers and not self.missing else ""


class Messages:
    """The messages of one client. `is_gone` checks whether nobody reads the answers any more.

    The SDK decides by the first request which era a session is of. A handshake after nothing but probes, whose answers
    came too late for the client, begins another session: `goes_on` is whether there is one.
    """

    goes_on = True

    def __init__(self, lines: Lines, writer: LineWriter, is_gone: Callable[[], bool] = lambda: False) -> None:
        self._lines = aiter(lines)
        self._handshake = ""  # the line that begins the next session
        self._writer = writer
        self._is_gone = is_gone
        self._unanswered: dict[str, list[Batch | None]] = {}  # by id: the batch that each request came in
        self._initialize = ""
        self._version = ""
        self._all_answered = asyncio.Event()

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """Return the streams that the SDK reads messages from and writes messages to. Raises OSError from writing."""
        incoming, reading = anyio.create_memory_object_stream[SessionMessage](0)
        writing, outgoing = anyio.create_memory_object_stream[SessionMessage | str](0)
        failures: list[OSError] = []

        async def write() -> None:
            try:
                await self._write(outgoing)
            except OSError as error:  # nobody reads the answers any more
                failures.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(self._read, incoming, writing.clone())
            group.start_soon(write)
            yield reading, writing
        for failure in failures:
            raise failure

    async def _read(
        self, incoming: MemoryObjectSendStream[SessionMessage], refusals: MemoryObjectSendStream[SessionMessage | str]
    ) -> None:
        async with incoming, refusals:
            async for line in self._lines_of_session():
                for message in self._messages(line):
                    if isinstance(message, str):
                        await refusals.send(message)
                    else:
                        await incoming.send(SessionMessage(message))
            await self._wait_for_answers()

    async def _lines_of_session(self) -> AsyncIterator[str]:
        """Yield the lines up to a handshake that comes after nothing but probes."""
        line, self._handshake, self.goes_on = self._handshake, "", False
        is_probed, is_first = False, True
        while line := line or await anext(self._lines, ""):
            if is_probed and HANDSHAKE in line:
                self._handshake, self.goes_on = line, True
                return
            if '"id"' in line:
                is_probed, is_first = PROBE in line and (is_probed or is_first), False
            yield line
            line = ""

    async def _wait_for_answers(self) -> None:
        """Wait until every request is answered, or nobody is there to read the answers."""
        while self._unanswered and not self._is_gone():
            self._all_answered.clear()
            with anyio.move_on_after(LOOK):
                await self._all_answered.wait()

    def _messages(self, line: str) -> list[JSONRPCMessage | str]:
        """Return the messages in a line, and the answers to what cannot be processed."""
        text = line.strip().removeprefix("\ufeff")
        if not text:
            return []
        if text.startswith("["):
            return self._batch(text)
        message = read_message(text)
        if isinstance(message, Refusal):
            return [message.answer] if message.answer else []
        return self._noted(message)

    def _batch(self, text: str) -> list[JSONRPCMessage | str]:
        members = read_batch(text, self._version)
        if isinstance(members, Refusal):
            return [members.answer] if members.answer else []
        messages = [read_message(member) for member in members]
        answers = [message.answer for message in messages if isinstance(message, Refusal) and message.answer]
        accepted = [message for message in messages if not isinstance(message, Refusal)]
        batch = Batch(sum(isinstance(message, JSONRPCRequest) for message in accepted), answers)
        noted = [self._noted(message, batch) for message in accepted]
        return [*chain(*noted), *([batch.line] if answers and not batch.missing else [])]

    def _noted(self, message: JSONRPCMessage, batch: Batch | None = None) -> list[JSONRPCMessage | str]:
        """Note a request, or that the client does not wait for the answer to one any more."""
        if isinstance(message, JSONRPCRequest):
            self._unanswered.setdefault(str(message.id), []).append(batch)
            if message.method == "initialize":
                self._initialize = str(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            rest = self._settle(str((message.params or {}).get("requestId")), "")
            return [message, rest] if rest else [message]
        return [message]

    async def _write(self, outgoing: MemoryObjectReceiveStream[SessionMessage | str]) -> None:
        async with outgoing:
            async for each in outgoing:
                line = each if isinstance(each, str) else self._line(each.message)
                if line:
                    await self._writer.write(line + "\n")
                    await self._writer.flush()

    def _line(self, message: JSONRPCMessage) -> str:
        """Return the line that sends a message; it is empty for an answer that waits for others of its batch."""
        text = message.model_dump_json(by_alias=True, exclude_unset=True)
        if isinstance(message, JSONRPCNotification) and message.method == ACKNOWLEDGED:
            meta = (message.params or {}).get("_meta", {})
            return self._settle(str(meta.get(SUBSCRIPTION_ID)), text)
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            return text
        message_id = str(message.id)
        if message_id == self._initialize and isinstance(message, JSONRPCResponse):
            self._version = message.result.get("protocolVersion", "")
        return self._settle(message_id, text)

    def _settle(self, message_id: str, answer: str) -> str:
        """Note that a request has its answer, or needs none, and return the line to send for it, if any."""
        waiting = self._unanswered.get(message_id)
        if not waiting:
            return answer
        batch = waiting.pop(0)
        if not waiting:
            del self._unanswered[message_id]
        if not self._unanswered:
            self._all_answered.set()
        return batch.settle(answer) if batch else answer

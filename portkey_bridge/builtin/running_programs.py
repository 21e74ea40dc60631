"""The programs of all callers that run or wait in this process, whatever is served to each, now and after a change."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portkey_bridge.builtin.program import Program
    from portkey_bridge.response.tool_result import ToolResult

#: Programs that run at the same time, and those of one caller.
WORKERS, OF_CALLER = 16, 4

#: Programs that wait for a client to repeat its call, and those of one caller.
WAITING, WAITING_OF_CALLER = 8, 2


@dataclass
class AttendedProgram:
    """A program that runs in a task of its own, and the question that it has for the client that waits for it."""

    program: Program
    task: asyncio.Task[ToolResult]
    question: asyncio.Future[ToolResult]
    repeated: asyncio.Future[None] | None = None

    @property
    def owner(self) -> str | None:
        """The caller whose program it is."""
        return self.program.context.caller.subject

    async def awaited(self) -> ToolResult:
        """Return the result of the program, or its next question. If the request is cancelled, the program ends."""
        try:
            await asyncio.wait({self.task, self.question}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            raise
        return self.task.result() if self.task.done() else self.question.result()


class RunningPrograms:
    """Which programs run, and which wait for a client, by the state of their question: few at once of each caller.

    `workers` is what a program waits for before it runs.
    """

    def __init__(self) -> None:
        self.workers, self._running = asyncio.Semaphore(WORKERS), Counter[str | None]()
        self._waiting: dict[str, AttendedProgram] = {}

    def admit(self, owner: str | None) -> bool:
        """Count one more program of a caller, until it is released; False if a caller may not run more."""
        if self._running[owner] >= OF_CALLER:
            return False
        self._running[owner] += 1
        return True

    def release(self, owner: str | None) -> None:
        """Count one program of a caller less."""
        self._running[owner] -= 1
        self._running += Counter()  # forgets who has none

    def suspend(self, state: str, attended: AttendedProgram) -> bool:
        """Let a program wait for the client that repeats its call with this state; False if too many do."""
        theirs = sum(each.owner == attended.owner for each in self._waiting.values())
        if len(self._waiting) >= WAITING or theirs >= WAITING_OF_CALLER:
            return False
        self._waiting[state] = attended
        return True

    def resume(self, state: str, owner: str | None) -> AttendedProgram | None:
        """Return the program of a caller that waits with this state, which does not wait any more."""
        attended = self._waiting.get(state)
        return self._waiting.pop(state) if attended and attended.owner == owner else None

    def forget(self, state: str) -> None:
        """Let no program wait with this state any more."""
        self._waiting.pop(state, None)

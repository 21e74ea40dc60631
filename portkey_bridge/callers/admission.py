"""How many requests run at the same time: a number for each caller, and a number of all that may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Overloaded(Exception):
    """Too many requests wait already."""


class _Slots:
    """The requests of one caller: those that may run, and how many there are."""

    def __init__(self, calls: int) -> None:
        self.free = asyncio.Semaphore(calls)
        self.users = 0


class Admission:
    """Lets `calls` requests of each caller run at the same time, and `waiting` of all callers wait."""

    def __init__(self, calls: int, waiting: int) -> None:
        self._calls, self._most_waiting = calls, waiting
        self._callers: dict[str | None, _Slots] = {}
        self._waiting = 0

    @asynccontextmanager
    async def admitted(self, caller: str | None) -> AsyncIterator[None]:
        """Wait for a slot of the caller, and hold it. Raises Overloaded."""
        slots = self._callers.setdefault(caller, _Slots(self._calls))
        slots.users += 1
        try:
            await self._acquire(slots)
            try:
                yield
            finally:
                slots.free.release()
        finally:
            slots.users -= 1
            if not slots.users:
                self._callers.pop(caller, None)

    async def _acquire(self, slots: _Slots) -> None:
        if not slots.free.locked():
            await slots.free.acquire()
            return
        if self._waiting >= self._most_waiting:
            raise Overloaded
        self._waiting += 1
        try:
            await slots.free.acquire()
        finally:
            self._waiting -= 1

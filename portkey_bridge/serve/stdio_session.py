"""The session of one client over stdio: plain calls by the direct lane, everything else by FastMCP's server.

FastMCP takes longer to import than all the rest, and most sessions consist of an opening and of plain calls. So it is
imported when something else arrives, and in the first pause behind a call, after which something else may.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module

from portkey_bridge.serve.direct_lane import DirectLane
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.live_catalogue import LISTING_TIME, LiveCatalogue
from portkey_bridge.serve.opening import Opening
from portkey_bridge.serve.stdio_lane import StdioLane
from portkey_bridge.stdio.pipes import LineReader, Lines, LineWriter, Writer, claimed, text_files
from portkey_bridge.stdio.replay import SWITCH_INTERVAL
from portkey_bridge.stdio.warm_start import WarmStart, are_pipes

#: Lines that wait for FastMCP's server at most, such as notifications. With more of them it is imported.
MOST_WAITING = 1000

#: Seconds without a call, behind an answered one, after which FastMCP is imported: the import would slow calls down.
PAUSE = 1.0


async def serve_stdio(live: LiveCatalogue, warm_start: WarmStart | None = None) -> None:
    """Serve until stdin ends and all requests are answered. Raises OSError if nobody reads the answers.

    `warm_start` may have answered the first lines already, and records the answers to others like them.
    """
    session = StdioSession(live)
    if not are_pipes():
        with claimed() as (stdin, stdout):
            await session.serve(*text_files(stdin, stdout))
        return
    begun, answered = warm_start.hand_over() if warm_start else (b"", {})  # before stdin and stdout are moved
    with claimed() as (stdin, stdout):
        recorder = warm_start.recorder if warm_start else None
        lines = LineReader(stdin, begun, *([recorder.received] if recorder else []))
        writer = Writer(stdout, *([recorder.sent] if recorder else []))
        if recorder:
            session.differs = recorder.forget
            live.followers.append(recorder.stop)
        await session.serve(lines, writer, writer.is_broken, answered)


class StdioSession:
    """A session over lines. `differs` is called if FastMCP's server does not answer as the client was answered."""

    differs: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, live: LiveCatalogue) -> None:
        self._live = live
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING)
        self._wanted = asyncio.Event()
        self._idle_from: float | None = None  # when the last call was answered

    async def serve(
        self,
        lines: Lines,
        writer: LineWriter,
        is_gone: Callable[[], bool] = lambda: False,
        answered: Mapping[str, str] = {},
    ) -> None:
        """Serve the messages in lines until they end, and write those of the server. Raises OSError from writing.

        `is_gone` checks whether nobody reads them any more. `answered` are the answers, by the ids of their requests,
        that the client has already got.
        """
        live = self._live
        try:
            async with live.running(), asyncio.TaskGroup() as tasks:
                direct = DirectLane(live.current, live.info)
                lane = StdioLane(direct, Opening(live), lines, writer, tasks, is_gone, answered)
                lane.differs, lane.called, lane.wanted = self.differs, self._called, self._wanted.set
                live.followers.append(lane.tools_changed)
                if isinstance(lines, LineReader):
                    lines.takes = lane.takes
                reading = tasks.create_task(self._read(lane))
                wanting = tasks.create_task(self._wanted.wait())
                if live.catalogue.needs_server:
                    asyncio.get_running_loop().call_later(LISTING_TIME, self._wanted.set)
                await asyncio.wait((reading, wanting), return_when=asyncio.FIRST_COMPLETED)
                if self._wanted.is_set():
                    await self._serve_waiting(lane, is_gone)
                wanting.cancel()
        except BaseExceptionGroup as errors:
            failed: BaseException | None = errors.subgroup(OSError)
            if failed is None:
                raise
            while isinstance(failed, BaseExceptionGroup):
                failed = failed.exceptions[0]
            raise failed from None

    def _called(self) -> None:
        """Want FastMCP in the next pause: where calls are made, what follows should not wait for the import."""
        loop = asyncio.get_running_loop()
        if self._idle_from is None:
            loop.call_later(PAUSE, self._want_if_idle)
        self._idle_from = loop.time()

    def _want_if_idle(self) -> None:
        loop = asyncio.get_running_loop()
        left = (self._idle_from or 0) + PAUSE - loop.time()
        if left > 0:
            loop.call_later(left, self._want_if_idle)
        else:
            self._wanted.set()

    async def _read(self, lane: StdioLane) -> None:
        """Read the lines to their end. Those that the lane does not take wait for FastMCP's server."""
        async for line in lane:
            await self._put(line)
        await self._put(None)

    async def _put(self, line: str | None) -> None:
        if self._waiting.full():
            self._wanted.set()
        await self._waiting.put(line)

    async def _serve_waiting(self, lane: StdioLane, is_gone: Callable[[], bool]) -> None:
        await asyncio.to_thread(_import_fastmcp)
        from portkey_bridge.serve.fastmcp_seam import McpServer

        await McpServer(self._live).serve_lines(self._lines(lane), lane, is_gone)

    async def _lines(self, lane: StdioLane) -> AsyncIterator[str]:
        while (line := await self._waiting.get()) is not None:
            yield line
            await lane.settled(line)


def _import_fastmcp() -> None:
    """Import FastMCP beside calls that run, each of which gets its turn after SWITCH_INTERVAL."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        with permanent():
            import_module("portkey_bridge.serve.fastmcp_seam")
    finally:
        sys.setswitchinterval(interval)

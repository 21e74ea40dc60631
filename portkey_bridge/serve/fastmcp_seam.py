"""Where this server replaces parts of FastMCP and the MCP SDK. Nothing else here uses their private names.

It replaces the lookup of a tool at each call (`DirectCalls`, a public middleware), the list of tools (`LazyTools`, by
the methods that a provider is documented to override), and stdio (`StdioServer.run_stdio_async`, which follows
FastMCP's method with other streams). `tests/test_fastmcp_seam.py` fails if a new version of FastMCP changes what is
replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from fastmcp.server.dependencies import get_context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers import Provider
from fastmcp.tools.base import Tool as McpTool
from fastmcp.tools.base import ToolResult
from fastmcp.utilities.logging import temporary_log_level
from fastmcp.utilities.versions import VersionSpec
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams

from portkey_bridge.response.render import error_result
from portkey_bridge.serve.bridge import CallContext
from portkey_bridge.serve.builtin_tools import Run
from portkey_bridge.serve.callers import CALLER
from portkey_bridge.serve.direct_lane import DirectLane, is_traced
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.pipes import LineReader, Writer, claimed
from portkey_bridge.serve.stdio_lane import Lines, LineWriter, StdioLane
from portkey_bridge.serve.warm_start import WarmStart, are_pipes
from portkey_bridge.tools.catalog import closest


class LazyTools(Provider):
    """The tools as they are listed, made when a client first asks: if the list came from the cache, none does."""

    def __init__(self, make: Callable[[], Iterable[McpTool]]) -> None:
        super().__init__()
        self._make = make

    @cached_property
    def _tools(self) -> dict[str, McpTool]:
        with permanent():
            return {tool.name: tool for tool in self._make()}

    async def _list_tools(self) -> Sequence[McpTool]:
        return list(self._tools.values())

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> McpTool | None:
        return self._tools.get(name)


class DirectCalls(Middleware):
    """Runs the tools of this server at once.

    For each call FastMCP would ask all providers, transforms and the rules of the session for the tool. This server has
    one provider, and no transforms or rules.
    """

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Run the tool. A name that no tool has is an error that names the closest ones."""
        name = context.message.name
        run = self._runs.get(name)
        if run is None:
            return error_result(f"Unknown tool: {name!r}; {closest(name, self._runs)}")
        report = get_context().report_progress
        return await run(
            context.message.arguments or {},
            CallContext(CALLER.get(), lambda number, added: report(number, message=added)),
        )


class StdioServer(FastMCP[Any]):
    """FastMCP's server; if stdin and stdout are pipes, it serves them without worker threads.

    `warm_start` may have answered the first lines already, and records the answers to others like them.
    """

    warm_start: WarmStart | None = None
    lane: DirectLane | None = None

    def open_lane(self, runs: Mapping[str, Run]) -> None:
        """Let plain calls of these tools take the direct lane, unless each request is traced."""
        if not is_traced():
            self.lane = DirectLane(runs, self._mcp_server.server_info_stamp)

    async def run_stdio_async(
        self, show_banner: bool = True, log_level: str | None = None, stateless: bool = False
    ) -> None:
        """Serve until stdin ends."""
        if not are_pipes():
            return await super().run_stdio_async(show_banner, log_level, stateless)
        warm_start = self.warm_start
        begun = warm_start.hand_over() if warm_start else b""  # before stdin and stdout are moved
        with temporary_log_level(log_level), claimed() as (stdin, stdout):
            lines, writer = LineReader(stdin, begun), Writer(stdout)
            if warm_start:
                recorder = warm_start.recorder
                lines, writer = LineReader(stdin, begun, recorder.received), Writer(stdout, recorder.should_send)
            await self.serve_lines(lines, writer)
        return None

    async def serve_lines(self, lines: Lines, writer: LineWriter) -> None:
        """Serve the messages in lines until they end, and write those of the server."""
        token = set_transport("stdio")
        try:
            async with self._lifespan_manager(), asyncio.TaskGroup() as tasks:
                shared = StdioLane(self.lane, lines, writer, tasks) if self.lane else None
                streams: Any = (shared or lines, shared or writer)
                async with stdio_server(*streams) as (reading, writing):
                    await self._mcp_server.run(reading, writing, self._mcp_server.create_initialization_options())
        finally:
            reset_transport(token)

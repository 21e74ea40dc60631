"""Where this server replaces parts of FastMCP and the MCP SDK. Nothing else here uses their private names.

It replaces the lookup of a tool at each call (`DirectCalls`, a public middleware), the list of tools (`LazyTools`, by
the methods that a provider is documented to override), stdio (`StdioServer.run_stdio_async`, which follows FastMCP's
method with other streams), and what is announced (`StdioServer.announce`). `tests/test_fastmcp_seam.py` fails if a new
version of FastMCP changes what is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers import Provider
from fastmcp.tools.base import Tool as McpTool
from fastmcp.tools.base import ToolResult
from fastmcp.utilities.logging import temporary_log_level
from fastmcp.utilities.versions import VersionSpec
from mcp_types import CallToolRequestParams, ServerCapabilities

from portkey_bridge.response.render import error_result
from portkey_bridge.serve.builtin_tools import Run
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.messages import Messages
from portkey_bridge.serve.pipes import LineReader, Writer, claimed, text_files
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
        return await run(context.message.arguments or {})


class StdioServer(FastMCP[Any]):
    """FastMCP's server, which answers every request on stdin; if stdin and stdout are pipes, without worker threads.

    `warm_start` may have answered the first lines already, and records the answers to others like them.
    """

    warm_start: WarmStart | None = None

    def announce(self, *, resources: bool) -> None:
        """Announce no prompts, and resources only where results link to some: clients ask for what is announced."""
        missing = ("prompts",) if resources else ("prompts", "resources")
        capabilities = self._mcp_server.get_capabilities

        def announced(*args: Any, **options: Any) -> ServerCapabilities:
            return capabilities(*args, **options).model_copy(update=dict.fromkeys(missing))

        self._mcp_server.get_capabilities = announced  # type: ignore[method-assign]

    async def run_stdio_async(
        self, show_banner: bool = True, log_level: str | None = None, stateless: bool = False
    ) -> None:
        """Serve until stdin ends and all requests are answered. Raises OSError if nobody reads the answers."""
        token = set_transport("stdio")
        try:
            with temporary_log_level(log_level), self._messages() as messages:
                async with self._lifespan_manager(), messages.streams() as (reading, writing):
                    await self._mcp_server.run(reading, writing, self._mcp_server.create_initialization_options())
        finally:
            reset_transport(token)

    @contextmanager
    def _messages(self) -> Iterator[Messages]:
        """Take stdin and stdout over, from the replayer if it is there, and return the messages on them."""
        if not are_pipes():
            with claimed() as (stdin, stdout):
                yield Messages(*text_files(stdin, stdout))
            return
        warm_start = self.warm_start
        begun = warm_start.hand_over() if warm_start else b""  # before stdin and stdout are moved
        with claimed() as (stdin, stdout):
            recorder = warm_start.recorder if warm_start else None
            lines = LineReader(stdin, begun, *([recorder.received] if recorder else []))
            writer = Writer(stdout, *([recorder.should_send] if recorder else []))
            yield Messages(lines, writer, writer.is_broken)

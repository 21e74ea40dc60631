"""Where this server replaces parts of FastMCP and the MCP SDK. Nothing else here uses their private names.

It replaces the lookup of a tool at each call (`DirectCalls`, a public middleware), the list of tools (`LazyTools`, by
the methods that a provider is documented to override), stdio (`StdioServer.run_stdio_async`, which follows FastMCP's
method with other streams), and what is announced (`StdioServer._announce`). `tests/test_fastmcp_seam.py` fails if a new
version of FastMCP changes what is replaced.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from fastmcp import FastMCP
from fastmcp.resources import ResourceContent, ResourceResult
from fastmcp.server.context import reset_transport, set_transport
from fastmcp.server.dependencies import get_context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers import Provider
from fastmcp.tools.base import InputRequiredToolResult
from fastmcp.tools.base import Tool as McpTool
from fastmcp.tools.base import ToolResult as McpToolResult
from fastmcp.utilities.logging import temporary_log_level
from fastmcp.utilities.versions import VersionSpec
from mcp import MCPError
from mcp.server.request_state import RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    ContentBlock,
    ReadResourceRequestParams,
    ServerCapabilities,
    SubscriptionsListenRequestParams,
)
from pydantic import TypeAdapter

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.bridge.tracing import send_remaining
from portkey_bridge.builtin.confirmation import InputRequired, given_in, unconfirmed
from portkey_bridge.callers.bridges import CALLER, CALLER_GONE
from portkey_bridge.response.answer_files import id_in
from portkey_bridge.response.tool_result import EmbeddedResource, TextContent, ToolResult, error_result
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.direct_lane import DirectLane
from portkey_bridge.serve.login_request import logged_in
from portkey_bridge.serve.stdio_lane import StdioLane
from portkey_bridge.stdio.messages import Lines, LineWriter, Messages
from portkey_bridge.stdio.pipes import LineReader, Writer, claimed, text_files
from portkey_bridge.stdio.warm_start import WarmStart, are_pipes
from portkey_bridge.tools.names import closest

CONTENT = TypeAdapter(list[ContentBlock])

#: Seconds in which clients ask for the listing. What only calls need is loaded afterwards.
LISTING_TIME = 0.5


class CurrentTools(Provider):
    """The tools of the catalogue that is served now."""

    def __init__(self, current: Callable[[], Catalogue]) -> None:
        super().__init__()
        self._current = current

    async def _list_tools(self) -> Sequence[McpTool]:
        return list(self._current().listing.values())

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> McpTool | None:
        return self._current().listing.get(name)


class DirectCalls(Middleware):
    """Runs the tools of this server at once.

    For each call FastMCP would ask all providers, transforms and the rules of the session for the tool. This server has
    one provider, and no transforms or rules.
    """

    def __init__(self, current: Callable[[], Catalogue]) -> None:
        self._current = current

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, McpToolResult],
    ) -> McpToolResult:
        """Run the tool. A name that no tool has is an error that names the closest ones."""
        name, runs = context.message.name, self._current().runs
        run = runs.get(name)
        if run is None:
            return _converted(error_result(f"Unknown tool: {name!r}; {closest(name, runs)}"))
        fastmcp = get_context()
        given = given_in(fastmcp)
        calling = CallContext(
            CALLER.get(),
            report=lambda number, added: fastmcp.report_progress(number, message=added),
            ask=partial(unconfirmed, fastmcp, given),
            state=given.state,
        )
        arguments = context.message.arguments or {}
        running = logged_in(fastmcp, given, lambda: run(arguments, calling))
        return _converted(await _until_gone(asyncio.ensure_future(running)))

    async def on_read_resource(
        self,
        context: MiddlewareContext[ReadResourceRequestParams],
        call_next: CallNext[ReadResourceRequestParams, ResourceResult],
    ) -> ResourceResult:
        """Return a file from an answer, which belongs to the caller."""
        read_file, uri = self._current().read_file, str(context.message.uri)
        result_id = id_in(uri)
        if read_file is None or result_id is None:
            raise MCPError(INVALID_PARAMS, f"There is no resource {uri!r:.200}.", {"uri": uri})
        result = await read_file({"resultId": result_id}, CallContext(CALLER.get()))
        block = result.content[0]
        if not isinstance(block, EmbeddedResource):
            said = block.text if isinstance(block, TextContent) else ""
            raise MCPError(INVALID_PARAMS, said, {"uri": uri})
        return ResourceResult([ResourceContent(base64.b64decode(block.resource.blob), block.resource.mime_type)])


def _converted(result: ToolResult) -> McpToolResult:
    """Return a result as FastMCP has it. All of it is JSON already: it needs no check, and no copy."""
    if isinstance(result, InputRequired):
        return InputRequiredToolResult(result.asked)
    return McpToolResult.model_construct(
        content=CONTENT.validate_python(msgspec.to_builtins(result.content)),
        structured_content=result.structured_content,
        meta=result.meta,
        is_error=result.is_error,
    )


async def _until_gone(running: asyncio.Future[ToolResult]) -> ToolResult:
    """Await a call, which ends when its client goes away. Raises CancelledError then."""
    gone = CALLER_GONE.get()
    watching = asyncio.ensure_future(gone.wait()) if gone else None
    try:
        awaited: list[asyncio.Future[Any]] = [running, *([watching] if watching else [])]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if watching:
            watching.cancel()
        if not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return await running


class StdioServer(FastMCP[Any]):
    """FastMCP's server of a catalogue, which answers every request on stdin.

    If stdin and stdout are pipes, it serves them without worker threads.

    `warm_start` may have answered the first lines already, and records the answers to others like them.
    """

    warm_start: WarmStart | None = None
    lane: DirectLane | None = None
    background: Callable[[], Awaitable[None]] | None = None
    on_close: Callable[[], Awaitable[None]] | None = None
    _stdio: StdioLane | None = None

    def __init__(
        self,
        name: str,
        version: str,
        catalogue: Catalogue,
        list_seconds: int | None = None,
        state_key: bytes | None = None,
    ) -> None:
        """Serve the catalogue. `list_seconds` is for how long a client may use a list that it has got.

        `state_key` is that of the state of questions, for all servers that may get the answers.
        """
        self.catalogue = catalogue

        @asynccontextmanager
        async def lifespan(_: FastMCP[Any]) -> AsyncIterator[None]:
            running = [asyncio.ensure_future(each()) for each in (self.background, self._prepare) if each]
            try:
                yield
            finally:
                for each in running:
                    each.cancel()
                await self.catalogue.aclose()
                if self.on_close:
                    await self.on_close()
                await asyncio.to_thread(send_remaining)

        super().__init__(
            name=name,
            version=version,
            instructions=catalogue.instructions,
            providers=[CurrentTools(self._callers_catalogue)],
            middleware=[DirectCalls(self._callers_catalogue)],
            dereference_schemas=False,
            lifespan=lifespan,
            request_state_security=RequestStateSecurity(keys=[state_key]) if state_key else None,
            cache_ttl=list_seconds,
            cache_scope="private" if list_seconds else None,  # what is listed may depend on the caller
        )
        linking = any(service.settings.files or service.settings.resources for service in catalogue.services)
        self._announce(resources=linking)
        self._events = InMemorySubscriptionBus()
        self._mcp_server.add_request_handler(
            "subscriptions/listen", SubscriptionsListenRequestParams, ListenHandler(self._events)
        )
        self.lane = DirectLane(self._callers_catalogue, self._mcp_server.server_info_stamp)

    def _callers_catalogue(self) -> Catalogue:
        """Return what is served now to the caller of the request that is being answered."""
        return self.catalogue.of(CALLER.get())

    async def _prepare(self) -> None:
        """Load what only calls need, once the client has its listing: it thinks for longer than this takes."""
        await asyncio.sleep(LISTING_TIME)
        for service in self.catalogue.services:
            await service.prepare()

    async def swap(self, catalogue: Catalogue) -> None:
        """Serve another catalogue from now on, and tell the clients. Running calls finish with the old one."""
        before, self.catalogue = self.catalogue, catalogue
        self.instructions = catalogue.instructions  # for clients that connect from now on
        if self.warm_start:
            self.warm_start.recorder.stop()
        await self._events.publish(ToolsListChanged())
        if self._stdio:
            await self._stdio.tools_changed()
        await before.aclose(catalogue)

    def _announce(self, *, resources: bool) -> None:
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
        with temporary_log_level(log_level):
            if not are_pipes():
                with claimed() as (stdin, stdout):
                    await self.serve_lines(*text_files(stdin, stdout))
                return
            warm_start = self.warm_start
            begun = warm_start.hand_over() if warm_start else b""  # before stdin and stdout are moved
            with claimed() as (stdin, stdout):
                recorder = warm_start.recorder if warm_start else None
                lines = LineReader(stdin, begun, *([recorder.received] if recorder else []))
                writer = Writer(stdout, *([recorder.should_send] if recorder else []))
                await self.serve_lines(lines, writer, writer.is_broken)

    async def serve_lines(self, lines: Lines, writer: LineWriter, is_gone: Callable[[], bool] = lambda: False) -> None:
        """Serve the messages in lines until they end, and write those of the server.

        `is_gone` checks whether nobody reads them any more. Raises OSError from writing.
        """
        token = set_transport("stdio")
        try:
            async with self._lifespan_manager(), asyncio.TaskGroup() as tasks:
                lane = self._stdio = StdioLane(self.lane, lines, writer, tasks, is_gone) if self.lane else None
                if lane and isinstance(lines, LineReader):
                    lines.takes = lane.takes
                messages = Messages(lane or lines, lane or writer, is_gone)
                while messages.goes_on:
                    async with messages.streams() as (reading, writing):
                        await self._mcp_server.run(reading, writing, self._mcp_server.create_initialization_options())
        except BaseExceptionGroup as errors:
            failed: BaseException | None = errors.subgroup(OSError)
            if failed is None:
                raise
            while isinstance(failed, BaseExceptionGroup):
                failed = failed.exceptions[0]
            raise failed from None
        finally:
            reset_transport(token)

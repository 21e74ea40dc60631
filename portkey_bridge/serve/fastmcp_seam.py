"""Where this server replaces parts of FastMCP and the MCP SDK. Nothing else here uses their private names.

It replaces the lookup of a tool at each call (`DirectCalls`, a public middleware), the list of tools (`LazyTools`, by
the methods that a provider is documented to override), stdio (`McpServer.serve_lines`, which follows FastMCP's
`run_stdio_async` with other streams), and what is announced (`McpServer._announce`). `tests/test_fastmcp_seam.py` fails
if a new version of FastMCP changes what is replaced.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

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
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool
from pydantic import TypeAdapter

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.builtin.builtin_tools import Listed
from portkey_bridge.builtin.input_required import InputRequired
from portkey_bridge.callers.bridges import CALLER, CALLER_GONE
from portkey_bridge.response.answer_files import id_in
from portkey_bridge.response.tool_result import EmbeddedResource, TextContent, ToolResult, error_result
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.confirmation import given_in, unconfirmed
from portkey_bridge.serve.garbage import permanent
from portkey_bridge.serve.live_catalogue import LiveCatalogue
from portkey_bridge.serve.login_request import logged_in
from portkey_bridge.stdio.messages import Messages
from portkey_bridge.stdio.pipes import Lines, LineWriter
from portkey_bridge.tools.names import closest

CONTENT = TypeAdapter(list[ContentBlock])


class _Entry(McpTool):
    """A tool as FastMCP lists it."""

    def to_mcp_tool(self, **overrides: Any) -> ListedTool:
        """Return the entry of the listing, without FastMCP's own metadata, which costs tokens."""
        return super().to_mcp_tool(**{"_meta": None, **overrides})


def _entry(listed: Listed) -> _Entry:
    hints = listed.annotations and ToolAnnotations.model_validate(listed.annotations)
    return _Entry(**{**msgspec.structs.asdict(listed), "annotations": hints})


class CurrentTools(Provider):
    """The tools of the catalogue that is served now."""

    def __init__(self, current: Callable[[], Catalogue]) -> None:
        super().__init__()
        self._current = current
        self._entries: WeakKeyDictionary[Catalogue, dict[str, McpTool]] = WeakKeyDictionary()

    @property
    def _tools(self) -> dict[str, McpTool]:
        """The tools by their names, made once for each catalogue."""
        catalogue = self._current()
        if catalogue not in self._entries:
            with permanent():
                self._entries[catalogue] = {name: _entry(each) for name, each in catalogue.listing.items()}
        return self._entries[catalogue]

    async def _list_tools(self) -> Sequence[McpTool]:
        return list(self._tools.values())

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> McpTool | None:
        return self._tools.get(name)


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


class McpServer(FastMCP[Any]):
    """FastMCP's server of a catalogue."""

    def __init__(self, live: LiveCatalogue, list_seconds: int | None = None, state_key: bytes | None = None) -> None:
        """Serve what is served. `list_seconds` is for how long a client may use a list that it has got.

        `state_key` is that of the state of questions, for all servers that may get the answers.
        """
        self.live = live

        @asynccontextmanager
        async def lifespan(_: FastMCP[Any]) -> AsyncIterator[None]:
            async with live.running():
                yield

        catalogue = live.catalogue
        super().__init__(
            name=live.name,
            version=live.version,
            instructions=catalogue.instructions,
            providers=[CurrentTools(live.current)],
            middleware=[DirectCalls(live.current)],
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
        live.followers.append(self._follow)

    async def _follow(self) -> None:
        """Notify the clients that the list of tools has changed."""
        self.instructions = self.live.catalogue.instructions  # for clients that connect from now on
        await self._events.publish(ToolsListChanged())

    def _announce(self, *, resources: bool) -> None:
        """Announce no prompts, and resources only where results link to some: clients ask for what is announced."""
        missing = ("prompts",) if resources else ("prompts", "resources")
        capabilities = self._mcp_server.get_capabilities

        def announced(*args: Any, **options: Any) -> ServerCapabilities:
            return capabilities(*args, **options).model_copy(update=dict.fromkeys(missing))

        self._mcp_server.get_capabilities = announced  # type: ignore[method-assign]

    async def serve_lines(self, lines: Lines, writer: LineWriter, is_gone: Callable[[], bool] = lambda: False) -> None:
        """Serve the messages in lines until they end, and write those of the server. Raises OSError from writing.

        `is_gone` checks whether nobody reads them any more.
        """
        token = set_transport("stdio")
        try:
            with temporary_log_level("WARNING"):
                async with self._lifespan_manager():
                    messages = Messages(lines, writer, is_gone)
                    while messages.goes_on:
                        async with messages.streams() as (reading, writing):
                            await self._mcp_server.run(
                                reading, writing, self._mcp_server.create_initialization_options()
                            )
        finally:
            reset_transport(token)

"""Hands the tools to FastMCP, and serves them."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property, partial
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers import Provider
from fastmcp.tools.base import Tool as McpTool
from fastmcp.tools.base import ToolResult
from fastmcp.utilities.logging import temporary_log_level
from fastmcp.utilities.versions import VersionSpec
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams

from portkey_bridge import __version__
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.variables import collect_secrets
from portkey_bridge.credentials.withheld import is_withheld
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import Api, Schema
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.servers import server_url
from portkey_bridge.request.uploads import Files
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import Results
from portkey_bridge.schema.prose import plain, sentence, shorten
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.serve.bridge import Bridge
from portkey_bridge.serve.builtin_tools import (
    DISCOVERY,
    EXPANDING,
    LISTING,
    CallTool,
    ExpandResult,
    ExpandSchema,
    Information,
    Listed,
    OwnTool,
    Run,
    SearchTools,
    hints,
)
from portkey_bridge.serve.load import warn
from portkey_bridge.serve.pipes import Lines, Writer, claimed
from portkey_bridge.serve.warm_start import Opening, are_pipes
from portkey_bridge.settings import Settings, refuse_lured_credentials
from portkey_bridge.tools.catalog import (
    MANY,
    Tool,
    build_tools,
    expansion_budget,
    found_budget,
    schema_budget,
    select_tools,
)

#: Objects that are made before garbage is looked for among them. With fewer, as Python has it, writing a long listing
#: takes 1.7 times as long.
YOUNG = 10_000


#: Characters of an API's description that each conversation pays for.
ABOUT = 600


def _operation(tool: Tool, views: Views, budget: float) -> McpTool:
    """Return the entry of an operation in the listing."""
    read_only, destructive, idempotent = tool.effect
    return Listed(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        parameters=tool.listed_schema(views, budget),
        annotations=hints(read_only, destructive, idempotent, open_world=True),
    )


def _expand(settings: Settings, listed: Views, full: Views, tool: Tool, pointer: str) -> Schema:
    """Return what expandSchema shows. Where no tool is listed, the whole is what a listing would show, and more of it."""
    if settings.discover and not pointer:
        return listed.expand(tool.schema, pointer, found_budget(settings.schema_budget))
    return full.expand(tool.schema, pointer, expansion_budget(settings.schema_budget))


@contextmanager
def lasting() -> Iterator[None]:
    """Make what stays as long as the server does: no collection of garbage looks at it, now or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG)
        gc.enable()


class Listing(Provider):
    """The tools as they are listed. They are made when a client asks: where the cache answered, none does."""

    def __init__(self, make: Callable[[], Iterable[McpTool]]) -> None:
        super().__init__()
        self._make = make

    @cached_property
    def _tools(self) -> dict[str, McpTool]:
        with lasting():
            return {tool.name: tool for tool in self._make()}

    async def _list_tools(self) -> Sequence[McpTool]:
        return list(self._tools.values())

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> McpTool | None:
        return self._tools.get(name)


class DirectCalls(Middleware):
    """Runs the tools of this server at once.

    For each call FastMCP would ask all providers, transforms and the rules of the session for the tool. This server has
    one provider, and no transforms or rules. A name that is not among `runs` goes FastMCP's way.
    """

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Run the tool."""
        run = self._runs.get(context.message.name)
        return await (call_next(context) if run is None else run(context.message.arguments or {}))


async def _run_operation(bridge: Bridge, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
    """Call an operation, and pass on the progress of an answer that is a stream."""
    context = get_context()

    async def report(number: int, added: str | None) -> None:
        await context.report_progress(number, message=added)

    return await bridge.call(tool, arguments, report)


class Server(FastMCP[Any]):
    """FastMCP's server, over stdin and stdout without worker threads where they are pipes.

    `opening` has answered the first lines perhaps, and keeps what is answered to others like them.
    """

    opening = Opening()

    async def run_stdio_async(
        self, show_banner: bool = True, log_level: str | None = None, stateless: bool = False
    ) -> None:
        """Serve until stdin ends."""
        if not are_pipes():
            return await super().run_stdio_async(show_banner, log_level, stateless)
        opening = self.opening
        begun = opening.hand_over()
        with temporary_log_level(log_level), claimed() as (stdin, stdout):
            streams: Any = Lines(stdin, begun, opening.heard), Writer(stdout, opening.said)
            async with self._lifespan_manager(), stdio_server(*streams) as (reading, writing):
                await self._mcp_server.run(reading, writing, self._mcp_server.create_initialization_options())
        return None


def build_server(api: Api, settings: Settings) -> Server:
    """Return the MCP server of an API. Says on stderr what cannot be served. Raises SettingsError."""
    shapes = Shapes(api.root)
    tools = build_tools(api, shapes)
    selected = select_tools(tools, settings)
    warn(_number(selected, tools, settings))
    bridge = build_bridge(api, settings, selected, shapes)
    budget = schema_budget(settings.schema_budget, len(selected))
    small, full = Views(shapes, portable=True), Views(shapes, portable=False)
    legend = DISCOVERY if settings.discover else LISTING
    expand_schema = ExpandSchema(selected, partial(_expand, settings, small, full), EXPANDING[legend])
    reading: list[OwnTool] = [ExpandResult(bridge.renderer), *_information(api, settings, tools)]
    runs: dict[str, Run] = {tool.name: partial(_run_operation, bridge, tool) for tool in selected}
    runs |= {tool.entry.name: tool.run for tool in reading}
    showing: list[OwnTool] = [expand_schema]
    if settings.discover:
        showing += [SearchTools(selected, api.title), CallTool(runs)]

    def listed() -> Iterable[McpTool]:
        if settings.discover:
            return [tool.entry for tool in showing]
        views = Views(shapes, portable=True)  # what these know is of no use after the listing
        operations = (_operation(tool, views, budget) for tool in selected)
        return [*(tool.entry for tool in (*showing, *reading)), *operations]

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await bridge.transport.aclose()

    return Server(
        name=api.title,
        version=__version__,
        instructions=_instructions(api, legend),
        providers=[Listing(listed)],
        middleware=[DirectCalls({**runs, **{tool.entry.name: tool.run for tool in showing}})],
        dereference_schemas=False,
        lifespan=lifespan,
    )


def _instructions(api: Api, legend: str) -> str:
    """Report what the API is, as far as there is room, and how its tools are used."""
    about = sentence(shorten(plain(api.description), ABOUT))
    return " ".join(filter(None, (sentence(api.title), about, legend)))


def _information(api: Api, settings: Settings, tools: Iterable[Tool]) -> list[Information]:
    """Return the informational tools, where they are wanted."""
    if not settings.path_item_tools:
        return []
    from portkey_bridge.tools.path_tools import build_path_item_tools

    taken = {tool.name for tool in tools}
    budget = expansion_budget(settings.schema_budget)
    return [Information(tool) for tool in build_path_item_tools(api, settings.base_url, budget, taken)]


def build_bridge(api: Api, settings: Settings, tools: Iterable[Tool], shapes: Shapes | None = None) -> Bridge:
    """Return the bridge that calls `tools` with the settings' credentials. Raises SettingsError."""
    names = {name for tool in tools for name in tool.variables}
    secrets = collect_secrets(names, settings, api.uri)
    refuse_lured_credentials(settings, secrets)
    warn(_unusable(api, settings, names))
    redact = Redactor(secrets)
    return Bridge(
        transport=Transport(
            timeouts=settings.timeouts,
            retries=settings.retries,
            concurrency=settings.concurrency,
            limit=settings.kept_results.bytes,
            redact=redact,
        ),
        renderer=Renderer(settings.result_limit, Results(settings.kept_results), settings.files),
        secrets=secrets,
        redact=redact,
        base_url=settings.base_url,
        document_uri=api.uri,
        sources=Sources(shapes or Shapes(api.root), Files(settings.files)),
        log=_log if settings.verbose else None,
        validate_responses=settings.validate_responses,
    )


def _log(line: str) -> None:
    print(f"portkey-bridge: {line}", file=sys.stderr, flush=True)


def _number(selected: Sequence[Tool], tools: Sequence[Tool], settings: Settings) -> Iterable[str]:
    """Report where the number of tools is not what a person can mean."""
    if tools and not selected:
        yield f"none of {len(tools)} tools is chosen; change --tools, --exclude, --tag or --read-only"
    if len(selected) > MANY and not settings.discover:
        yield f"each conversation pays for {len(selected)} tools; --discover lists three, --tag and --tools choose"


def _unusable(api: Api, settings: Settings, names: Iterable[str]) -> Iterable[str]:
    for name in sorted(names):
        if is_withheld(name, settings, api.uri):
            yield f"the document asks for {name} and does not get it; to give it, set OPEN_MCP_CREDENTIALS={name}"
    nowhere = [op for op in api.operations if settings.base_url is None and server_url(op.servers, api.uri) is None]
    if nowhere:
        yield f"{len(nowhere)} of {len(api.operations)} operations have no server to send to; set OPEN_MCP_BASE_URL"

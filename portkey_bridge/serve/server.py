"""Puts the parts of the server together: the bridge, the tools, and FastMCP."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_context
from fastmcp.tools.base import Tool as McpTool
from fastmcp.tools.base import ToolResult

from portkey_bridge import __version__
from portkey_bridge.credentials.oauth import OAuthCredentials
from portkey_bridge.credentials.oauth_grants import wanted_scopes
from portkey_bridge.credentials.provider import EnvironmentCredentials
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.variables import OAUTH_SECRETS, collect_oauth, collect_secrets
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
    BuiltinTool,
    CallTool,
    ExpandResult,
    ExpandSchema,
    Information,
    Listed,
    Run,
    SearchTools,
    hints,
)
from portkey_bridge.serve.fastmcp_seam import DirectCalls, LazyTools, StdioServer
from portkey_bridge.serve.load import warn
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

#: Longest part of the API's description in the server's instructions, in characters: each conversation pays for it.
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
    """Return the view of a tool's input schema at a pointer; in discovery, the whole is shown as a listing shows it."""
    if settings.discover and not pointer:
        return listed.expand(tool.schema, pointer, found_budget(settings.schema_budget))
    return full.expand(tool.schema, pointer, expansion_budget(settings.schema_budget))


async def _run_operation(bridge: Bridge, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
    """Call an operation, and report the progress of a streamed response to the client."""
    context = get_context()

    async def report(number: int, added: str | None) -> None:
        await context.report_progress(number, message=added)

    return await bridge.call(tool, arguments, report)


async def _run_builtin(bridge: Bridge, tool: BuiltinTool, arguments: dict[str, Any]) -> ToolResult:
    return await bridge.guarded(tool.entry.name, tool.run(arguments))


def build_server(api: Api, settings: Settings) -> StdioServer:
    """Return the MCP server of an API, and print warnings about what cannot be served. Raises SettingsError."""
    shapes = Shapes(api.root)
    tools = build_tools(api, shapes)
    selected = select_tools(tools, settings)
    warn(_questionable_selection(selected, tools, settings))
    bridge = build_bridge(api, settings, selected, shapes)
    budget = schema_budget(settings.schema_budget, len(selected))
    small, full = Views(shapes, portable=True), Views(shapes, portable=False)
    legend = DISCOVERY if settings.discover else LISTING
    expand_schema = ExpandSchema(selected, partial(_expand, settings, small, full), EXPANDING[legend])
    reading: list[BuiltinTool] = [ExpandResult(bridge.renderer), *_information(api, settings, tools)]
    runs: dict[str, Run] = {tool.name: partial(_run_operation, bridge, tool) for tool in selected}
    runs |= {tool.entry.name: partial(_run_builtin, bridge, tool) for tool in reading}
    showing: list[BuiltinTool] = [expand_schema]
    if settings.discover:
        showing += [SearchTools(selected, api.title), CallTool(runs)]

    def listed() -> Iterable[McpTool]:
        if settings.discover:
            return [tool.entry for tool in showing]
        views = Views(shapes, portable=True)  # what they cache is not needed after the listing
        operations = (_operation(tool, views, budget) for tool in selected)
        return [*(tool.entry for tool in (*showing, *reading)), *operations]

    @asynccontextmanager
    async def lifespan(_: FastMCP[Any]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await bridge.transport.aclose()

    shown = {tool.entry.name: partial(_run_builtin, bridge, tool) for tool in showing}
    return StdioServer(
        name=api.title,
        version=__version__,
        instructions=_instructions(api, legend),
        providers=[LazyTools(listed)],
        middleware=[DirectCalls({**runs, **shown})],
        dereference_schemas=False,
        lifespan=lifespan,
    )


def _instructions(api: Api, legend: str) -> str:
    """Return the API's title, the start of its description, and how to use the tools."""
    about = sentence(shorten(plain(api.description), ABOUT))
    return " ".join(filter(None, (sentence(api.title), about, legend)))


def _information(api: Api, settings: Settings, tools: Iterable[Tool]) -> list[Information]:
    """Return the informational tools, if they are switched on."""
    if not settings.path_item_tools:
        return []
    from portkey_bridge.tools.path_tools import build_path_item_tools

    taken = {tool.name for tool in tools}
    budget = expansion_budget(settings.schema_budget)
    return [Information(tool) for tool in build_path_item_tools(api, settings.base_url, budget, taken)]


def build_bridge(api: Api, settings: Settings, tools: Sequence[Tool], shapes: Shapes | None = None) -> Bridge:
    """Return the bridge that calls `tools` with the settings' credentials. Raises SettingsError."""
    names = {name for tool in tools for name in tool.variables}
    secrets = collect_secrets(names, settings, api.uri)
    oauth = collect_oauth(settings, api.uri)
    hidden = {**secrets, **{name: oauth[name] for name in OAUTH_SECRETS if name in oauth}}
    refuse_lured_credentials(settings, hidden)
    warn(_unusable(api, settings, names))
    redact = Redactor(hidden, {"OPEN_MCP_BASE_URL": settings.base_url, "OPEN_MCP_SPEC": settings.spec})
    transport = Transport(
        timeouts=settings.timeouts,
        retries=settings.retries,
        concurrency=settings.concurrency,
        limit=settings.kept_results.bytes,
        redact=redact,
    )
    return Bridge(
        transport=transport,
        renderer=Renderer(settings.result_limit, Results(settings.kept_results), settings.files),
        provider=OAuthCredentials(
            EnvironmentCredentials(secrets),
            settings,
            oauth,
            wanted_scopes(tool.operation for tool in tools),
            lambda operation: settings.base_url or server_url(operation.servers, api.uri),
            transport,
            redact,
        ),
        redact=redact,
        base_url=settings.base_url,
        document_uri=api.uri,
        sources=Sources(shapes or Shapes(api.root), Files(settings.files)),
        log=_log if settings.verbose else None,
        validate_responses=settings.validate_responses,
    )


def _log(line: str) -> None:
    print(f"portkey-bridge: {line}", file=sys.stderr, flush=True)


def _questionable_selection(selected: Sequence[Tool], tools: Sequence[Tool], settings: Settings) -> Iterable[str]:
    """Warn about a selection that is empty, or so long that it fills a model's context."""
    if tools and not selected:
        yield f"none of {len(tools)} tools is selected; change --tools, --exclude, --tag or --read-only"
    if len(selected) > MANY and not settings.discover:
        yield (
            f"listing {len(selected)} tools costs tokens in every conversation; --discover lists three, "
            "--tag and --tools select some"
        )


def _unusable(api: Api, settings: Settings, names: Iterable[str]) -> Iterable[str]:
    for name in sorted(names):
        if is_withheld(name, settings, api.uri):
            yield f"the document asks for {name}, which is withheld; to allow it, set OPEN_MCP_CREDENTIALS={name}"
    nowhere = [op for op in api.operations if settings.base_url is None and server_url(op.servers, api.uri) is None]
    if nowhere:
        yield f"{len(nowhere)} of {len(api.operations)} operations have no server to send to; set OPEN_MCP_BASE_URL"

"""Puts the parts of the server together: the bridge, the tools, and FastMCP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from typing import Any

from fastmcp.tools.base import Tool as McpTool

from portkey_bridge import __version__
from portkey_bridge.document.sources import is_shipped
from portkey_bridge.errors import CallError
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.response.structured import structured_for_clients
from portkey_bridge.response.tool_result import ToolResult, error_result
from portkey_bridge.schema.prose import plain, sentence, shorten
from portkey_bridge.schema.views import Views
from portkey_bridge.serve.bridge import Bridge, CallContext
from portkey_bridge.serve.builtin_tools import (
    DISCOVERY,
    EXPANDING,
    LISTING,
    PROGRAMS,
    SELECT,
    BuiltinTool,
    CallTool,
    ExpandResult,
    ExpandSchema,
    ExpandSignature,
    Information,
    Listed,
    Run,
    hints,
    selection,
)
from portkey_bridge.serve.call_record import CallRecord
from portkey_bridge.serve.callers import BridgeOf, bridges_of, passed_through
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.fastmcp_seam import StdioServer
from portkey_bridge.serve.load import warn
from portkey_bridge.serve.observed import Observe
from portkey_bridge.serve.roles import check_roles, limited
from portkey_bridge.serve.search_tools import SearchTools
from portkey_bridge.serve.service import Service
from portkey_bridge.serve.shared_results import SharedResults, run_sharing
from portkey_bridge.serve.store import Store
from portkey_bridge.serve.stored_logins import logins_of
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.serving import Role
from portkey_bridge.tools.catalog import (
    MANY,
    Tool,
    expansion_budget,
    schema_budget,
)
from portkey_bridge.tools.examples import listed_description
from portkey_bridge.tools.streaming import free_name

#: Longest part of the API's description in the server's instructions, in characters: each conversation pays for it.
ABOUT = 600

#: Sets of roles whose catalogues are kept.
CATALOGUES = 64


def select_argument(tool: Tool) -> str:
    """Return the name of the argument that selects: `select`, with as many `_` as no other argument has."""
    return free_name("select", tool.arguments.schema["properties"])


def _operation(tool: Tool, views: Views, budget: float, *, selects: bool) -> McpTool:
    """Return the entry of an operation in the listing."""
    read_only, destructive, idempotent = tool.effect
    parameters = tool.listed_schema(views, budget)
    if selects:
        parameters = {**parameters, "properties": {**parameters["properties"], select_argument(tool): SELECT}}
    return Listed(
        name=tool.name,
        title=tool.title,
        description=listed_description(tool, parameters, budget),
        parameters=parameters,
        annotations=hints(read_only, destructive, idempotent, open_world=True),
    )


async def _run_operation(
    bridge_of: BridgeOf, tool: Tool, arguments: dict[str, Any], context: CallContext
) -> ToolResult:
    if tool.is_confirmed and (answer := await context.ask(tool, arguments)):
        return answer
    caller, take = context.caller, context.take
    return await bridge_of(caller).call(tool, arguments, context.report, caller, context.select, take)


async def _run_selecting(run: Run, tool: Tool, arguments: dict[str, Any], context: CallContext) -> ToolResult:
    """Run a tool with the arguments of the operation, and select of its answer what the further one asks for."""
    rest = dict(arguments)
    try:
        select = selection(rest.pop(select_argument(tool), None))
    except CallError as error:
        return error_result(str(error))
    return await run(rest, context if select is None else context._replace(select=select))


async def _run_builtin(
    bridge: Bridge, tool: BuiltinTool, arguments: dict[str, Any], context: CallContext
) -> ToolResult:
    return await bridge.guarded(tool.entry.name, tool.run(arguments, context))


async def _run_for_clients(run: Run, arguments: dict[str, Any], context: CallContext) -> ToolResult:
    return structured_for_clients(await run(arguments, context))


async def _run_guarded(bridge: Bridge, run: Run, arguments: dict[str, Any], context: CallContext) -> ToolResult:
    return await bridge.guarded("resources/read", run(arguments, context))


def catalogue_of(
    services: Sequence[Service],
    pass_header: str | None = None,
    observers: Sequence[Observe] = (),
    store: Store | None = None,
    roles: Sequence[Role] = (),
) -> Catalogue:
    """Return what is served of one or several APIs, and print warnings about it. Raises SettingsError.

    With `pass_header`, the APIs get that header of each caller's request as the credential, and none of the server's.
    Each observer takes the record of each call. Large results are kept in the `store` if it is shared. With `roles`,
    each caller is served what its roles may use.
    """
    for service in services:
        warn(_questionable_selection(service))
    warn(_questionable_number(services))
    bridges = {service.settings.name: _sharing(_observed(service, observers), service, store) for service in services}
    compose = partial(_composed, bridges=bridges, pass_header=pass_header, store=store or Store())
    everything = compose(services)
    if not roles:
        return everything
    check_roles(services, roles)

    @lru_cache(maxsize=CATALOGUES)
    def of_roles(names: frozenset[str]) -> Catalogue:
        return compose(limited(services, [role for role in roles if role.name in names]))

    return replace(everything, of_roles=of_roles)


def _composed(
    services: Sequence[Service], bridges: Mapping[str, Bridge], pass_header: str | None, store: Store
) -> Catalogue:
    """Return the catalogue of the services' tools and of those that show, search and call them.

    `bridges` are by the names of APIs: limits and kept results are the same for all sets of roles.
    """
    settings = services[0].settings
    tools = [tool for service in services for tool in service.tools]
    owners = {tool.name: service for service in services for tool in service.tools}
    legend = PROGRAMS if settings.code == "only" else DISCOVERY if settings.discover else LISTING
    expand_schema = _expand_schema(tools, owners, legend)
    own = {id(service): bridges[service.settings.name] for service in services}
    logins = {id(service): partial(logins_of, store, service) for service in services}
    renderers = [bridge.renderer for bridge in own.values()]
    shared = [each.results for each in renderers if isinstance(each.results, SharedResults)]
    passed = {id(each): passed_through(each, pass_header) if pass_header else None for each in services}
    bridge_of = {key: bridges_of(bridge, passed[key], logins[key]) for key, bridge in own.items()}
    expand_result = ExpandResult(renderers, [*bridge_of.values()])
    reading: list[BuiltinTool] = [expand_result, *chain.from_iterable(map(_information, services))]
    runs: dict[str, Run] = {
        tool.name: partial(_run_operation, bridge_of[id(owners[tool.name])], tool) for tool in tools
    }
    selecting = [tool for tool in tools if owners[tool.name].settings.select]
    runs |= {tool.name: partial(_run_selecting, runs[tool.name], tool) for tool in selecting}
    guarded = partial(_run_builtin, services[0].bridge)
    runs |= {tool.entry.name: partial(guarded, tool) for tool in reading}
    runs = {name: partial(run_sharing, shared, run) for name, run in runs.items()} if shared else runs
    showing: list[BuiltinTool] = [expand_schema]
    if settings.searches:
        of_apis = {service.settings.name: {tool.name for tool in service.tools} for service in services}
        showing.append(SearchTools(tools, title_of(services), of_apis if len(services) > 1 else {}))
    usable: dict[str, Run] = {**runs, **{tool.entry.name: partial(guarded, tool) for tool in showing}}
    callers = _callers(settings, runs, usable, tools, [*bridge_of.values()])
    showing += callers

    def listed() -> Iterable[McpTool]:
        if settings.searches:
            return [tool.entry for tool in showing]
        return [*(tool.entry for tool in (*showing, *reading)), *_operations(services, len(tools))]

    shown: dict[str, Run] = {tool.entry.name: partial(guarded, tool) for tool in showing}
    shown = {name: partial(run_sharing, shared, run) for name, run in shown.items()} if shared else shown
    read_file: Run = partial(_run_guarded, services[0].bridge, expand_result.read_file)
    read_file = partial(run_sharing, shared, read_file) if shared else read_file
    asking = {tool.name for tool in tools if tool.is_confirmed}
    return Catalogue(
        runs={name: partial(_run_for_clients, run) for name, run in {**runs, **shown}.items()},
        make_listing=listed,
        asking=frozenset({*asking, *(tool.entry.name for tool in callers)} if asking else ()),
        instructions=_instructions(services, legend),
        services=services,
        read_file=read_file if any(service.settings.resources for service in services) else None,
    )


def _expand_schema(tools: Sequence[Tool], owners: Mapping[str, Service], legend: str) -> ExpandSchema:
    """Return expandSchema, which shows signatures where programs are written."""

    def expand(tool: Tool, pointer: str) -> Shape:
        return owners[tool.name].expand(tool, pointer)

    def sign(tool: Tool, pointer: str) -> str:
        return owners[tool.name].signature(tool, pointer)

    if legend == PROGRAMS:
        return ExpandSignature(tools, expand, sign, EXPANDING[legend])
    return ExpandSchema(tools, expand, EXPANDING[legend])


def _callers(
    settings: Settings,
    runs: Mapping[str, Run],
    usable: Mapping[str, Run],
    tools: Sequence[Tool],
    bridges: Sequence[BridgeOf],
) -> list[BuiltinTool]:
    """Return the tools that call others: `runs` by callTool, and what is `usable` in a program by runProgram."""
    callers: list[BuiltinTool] = [CallTool(runs)] if settings.discover else []
    if settings.code:
        from portkey_bridge.serve.programs import RunProgram

        callers.append(RunProgram(usable, tools, bridges, settings.program_limits))
    return callers


def _sharing(bridge: Bridge, service: Service, store: Store | None) -> Bridge:
    """Return the bridge of a service, which counts requests and keeps large results in the store if it is shared."""
    store = store or Store()
    if service.settings.api_rate:
        from portkey_bridge.serve.rates import limit_of

        bridge = replace(bridge, limit=limit_of(service.settings.api_rate, store, _name(service)))
    if not store.is_shared:
        return bridge
    results = SharedResults(service.settings.kept_results, store, _name(service), service.tools)
    return replace(bridge, renderer=replace(bridge.renderer, results=results))


def _name(service: Service) -> str:
    return service.settings.name or service.api.title


def _observed(service: Service, observers: Sequence[Observe]) -> Bridge:
    """Return the bridge of a service, which has all observers take the record of each call."""
    name = _name(service)

    def observe(record: CallRecord) -> None:
        for each in observers:
            each(name, record)

    return replace(service.bridge, observe=observe) if observers else service.bridge


def build_server(
    services: Sequence[Service],
    catalogue: Callable[[Sequence[Service]], Catalogue] = catalogue_of,
    list_seconds: int | None = None,
    state_key: bytes | None = None,
) -> StdioServer:
    """Return the MCP server of one or several APIs, and print warnings about what is served. Raises SettingsError.

    `catalogue` makes what is served out of the services. `list_seconds` is for how long clients may keep a list, and
    `state_key` protects the state of questions, for all servers that may get the answers.
    """
    return StdioServer(title_of(services), __version__, catalogue(services), list_seconds, state_key)


def _operations(services: Sequence[Service], count: int) -> Iterator[McpTool]:
    """Yield the entry of each operation in the listing; `count` tools share the room for schemas."""
    for service in services:
        views = Views(service.shapes, portable=True)  # what they cache is not needed after the listing
        budget = schema_budget(service.settings.schema_budget, count)
        for tool in service.tools:
            yield _operation(tool, views, budget, selects=service.settings.select)


def title_of(services: Sequence[Service]) -> str:
    """Return the titles of the APIs."""
    return ", ".join(service.api.title for service in services)


def _instructions(services: Sequence[Service], legend: str) -> str:
    """Return each API's title and the start of its description, and how to use the tools."""
    room = ABOUT // len(services)
    return " ".join(filter(None, (*chain.from_iterable(_about(service, room) for service in services), legend)))


def _about(service: Service, room: int) -> Iterator[str]:
    prefix = service.settings.prefix
    yield sentence(f"{prefix}…: {service.api.title}" if prefix else service.api.title)
    yield sentence(shorten(plain(service.api.description), room))


def _information(service: Service) -> list[Information]:
    """Return the informational tools, if they are switched on."""
    settings = service.settings
    if not settings.path_item_tools:
        return []
    from portkey_bridge.tools.path_tools import build_path_item_tools

    taken = {tool.name for tool in service.every}
    budget = expansion_budget(settings.schema_budget)
    found = build_path_item_tools(service.api, settings.base_url, budget, taken, settings.prefix)
    return [Information(tool) for tool in found]


def _questionable_selection(service: Service) -> Iterable[str]:
    """Warn about a selection that is empty, and about a document that has nothing to select."""
    if not service.every:
        yield "there are no operations under `paths` to serve; check --spec"
    if service.every and not service.tools:
        yield f"none of {len(service.every)} tools is selected; change --tools, --exclude, --tag or --read-only"


def _questionable_number(services: Sequence[Service]) -> Iterable[str]:
    """Warn about a listing that some clients do not take, and that fills a model's context."""
    count = sum(len(service.tools) for service in services)
    is_expected = services[0].settings.searches or all(is_shipped(service.api.uri) for service in services)
    if count > MANY and not is_expected:
        yield (
            f"listing {count} tools costs tokens in every conversation, and some clients take at most {MANY}; "
            "--discover lists three, --tag and --tools select some"
        )

"""Puts the parts of the server together: the bridge, the tools, and FastMCP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from portkey_bridge import __version__
from portkey_bridge.bridge.call_record import CallRecord
from portkey_bridge.bridge.calls import Bridge, CallContext, Run
from portkey_bridge.bridge.load import warn
from portkey_bridge.bridge.service import Service
from portkey_bridge.builtin.builtin_tools import (
    DISCOVERY,
    EXPANDING,
    LISTING,
    PROGRAMS,
    SELECT,
    BuiltinTool,
    CallTool,
    ExpandResult,
    ExpandSchema,
    Information,
    Listed,
    hints,
    selection,
)
from portkey_bridge.builtin.expand_signature import ExpandSignature
from portkey_bridge.builtin.running_programs import RunningPrograms
from portkey_bridge.builtin.search_tools import BY_NAME, BY_PLACE, SearchTools
from portkey_bridge.callers.bridges import BridgeOf, bridges_of, passed_through
from portkey_bridge.callers.observed import Observe
from portkey_bridge.callers.roles import check_roles, limited
from portkey_bridge.callers.shared_results import SharedResults, run_sharing
from portkey_bridge.callers.store import Store
from portkey_bridge.callers.stored_logins import logins_of
from portkey_bridge.document.sources import is_shipped
from portkey_bridge.errors import CallError
from portkey_bridge.response.structured import structured_for_clients
from portkey_bridge.response.tool_result import ToolResult, error_result
from portkey_bridge.schema.prose import plain, sentence, shorten
from portkey_bridge.schema.views import Views
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.live_catalogue import LiveCatalogue
from portkey_bridge.settings.options import key_in_file
from portkey_bridge.settings.serving import Role
from portkey_bridge.tools.catalog import MANY_LISTED, Tool, expansion_budget, schema_budget
from portkey_bridge.tools.examples import listed_description
from portkey_bridge.tools.streaming import free_name

if TYPE_CHECKING:
    from portkey_bridge.serve.fastmcp_seam import McpServer

#: Longest part of the API's description in the server's instructions, in characters: each conversation pays for it.
ABOUT = 600

#: Sets of roles whose catalogues are kept.
CATALOGUES = 64


def select_argument(tool: Tool) -> str:
    """Return the name of the argument that selects: `select`, with as many `_` as no other argument has."""
    return free_name("select", tool.arguments.schema["properties"])


def _operation(tool: Tool, views: Views, budget: float, *, selects: bool) -> Listed:
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
    programs: RunningPrograms | None = None,
) -> Catalogue:
    """Return what is served of one or several APIs, and print warnings about it. Raises SettingsError.

    With `pass_header`, the APIs get that header of each caller's request as the credential, and none of the server's.
    Each observer takes the record of each call. Large results are kept in the `store` if it is shared. With `roles`,
    each caller is served what its roles may use. `programs` are those that run in this process, whatever is served.
    """
    for service in services:
        warn(_questionable_selection(service))
    warn(_questionable_number(services))
    bridges = {service.settings.name: _sharing(_observed(service, observers), service, store) for service in services}
    compose = partial(
        _composed,
        bridges=bridges,
        bridge_of=partial(_bridge_of, pass_header, store or Store()),
        programs=programs or RunningPrograms(),
    )
    everything = compose(services)
    if not roles:
        return everything
    check_roles(services, roles)

    @lru_cache(maxsize=CATALOGUES)
    def of_roles(names: frozenset[str]) -> Catalogue:
        return compose(limited(services, [role for role in roles if role.name in names]))

    return replace(everything, of_roles=of_roles)


def _composed(
    services: Sequence[Service],
    bridges: Mapping[str, Bridge],
    bridge_of: Callable[[Service, Bridge], BridgeOf],
    programs: RunningPrograms,
) -> Catalogue:
    """Return the catalogue of the services' tools and of those that show, search and call them.

    `bridges` are by the names of APIs: limits, kept results and `programs` are the same for all sets of roles.
    """
    settings = services[0].settings
    legend = PROGRAMS if settings.code == "only" else DISCOVERY if settings.discover else LISTING
    own = [bridges[service.settings.name] for service in services]
    callers_bridges = [*map(bridge_of, services, own)]
    share = _sharer(own)
    guarded = partial(_builtin_runs, services[0].bridge, share)
    expand_result = ExpandResult([bridge.renderer for bridge in own], callers_bridges)
    reading: list[BuiltinTool] = [expand_result, *chain.from_iterable(map(_information, services))]
    runs = {**_operation_runs(services, callers_bridges, share), **guarded(reading)}
    showing: list[BuiltinTool] = [_expand_schema(services, legend)]
    if settings.searches:
        showing.append(_search_tools(services))
    callers = _callers(services, runs, {**runs, **guarded(showing)}, callers_bridges, programs)
    showing += callers
    asking = {tool.name for tool in _tools(services) if tool.is_confirmed}
    read_file = share(partial(_run_guarded, services[0].bridge, expand_result.read_file))
    return Catalogue(
        runs={name: partial(_run_for_clients, run) for name, run in {**runs, **guarded(showing)}.items()},
        make_listing=partial(_listing, services, showing, reading),
        asking=frozenset({*asking, *(tool.entry.name for tool in callers)} if asking else ()),
        instructions=_instructions(services, legend),
        services=services,
        read_file=read_file if any(service.settings.resources for service in services) else None,
    )


def _bridge_of(pass_header: str | None, store: Store, service: Service, bridge: Bridge) -> BridgeOf:
    passed = passed_through(service, pass_header) if pass_header else None
    return bridges_of(bridge, passed, partial(logins_of, store, service))


Share = Callable[[Run], Run]
"""Has a run load and save the large results that are kept in a store, if there is one."""


def _sharer(bridges: Iterable[Bridge]) -> Share:
    kept = [bridge.renderer.results for bridge in bridges]
    shared = [results for results in kept if isinstance(results, SharedResults)]
    return lambda run: partial(run_sharing, shared, run) if shared else run


def _operation_runs(services: Sequence[Service], bridges: Sequence[BridgeOf], share: Share) -> dict[str, Run]:
    """Return what runs each operation, by its tool's name; `bridges` are those of the services."""
    runs: dict[str, Run] = {}
    for service, bridge_of in zip(services, bridges, strict=True):
        for tool in service.tools:
            run: Run = partial(_run_operation, bridge_of, tool)
            runs[tool.name] = share(partial(_run_selecting, run, tool) if service.settings.select else run)
    return runs


def _builtin_runs(bridge: Bridge, share: Share, tools: Iterable[BuiltinTool]) -> dict[str, Run]:
    return {tool.entry.name: share(partial(_run_builtin, bridge, tool)) for tool in tools}


def _listing(
    services: Sequence[Service], showing: Sequence[BuiltinTool], reading: Sequence[BuiltinTool]
) -> list[Listed]:
    """Return the entries of the listing: all tools, or where the model searches them, what shows and calls them."""
    if services[0].settings.searches:
        return [tool.entry for tool in showing]
    return [*(tool.entry for tool in (*showing, *reading)), *_operations(services)]


def _search_tools(services: Sequence[Service]) -> SearchTools:
    of_apis = {service.settings.name: {tool.name for tool in service.tools} for service in services}
    form = BY_NAME if services[0].settings.code == "only" else BY_PLACE
    return SearchTools(_tools(services), title_of(services), of_apis if len(services) > 1 else {}, form)


def _tools(services: Sequence[Service]) -> list[Tool]:
    return [tool for service in services for tool in service.tools]


def _expand_schema(services: Sequence[Service], legend: str) -> BuiltinTool:
    """Return expandSchema, which shows signatures where programs are written."""
    tools = _tools(services)
    owners = {tool.name: service for service in services for tool in service.tools}
    if legend == PROGRAMS:
        return ExpandSignature(
            tools,
            lambda tool: owners[tool.name].signature(tool),
            lambda tool, pointer: owners[tool.name].python_part(tool, pointer),
        )
    return ExpandSchema(tools, lambda tool, pointer: owners[tool.name].expand(tool, pointer), EXPANDING[legend])


def _callers(
    services: Sequence[Service],
    runs: Mapping[str, Run],
    usable: Mapping[str, Run],
    bridges: Sequence[BridgeOf],
    programs: RunningPrograms,
) -> list[BuiltinTool]:
    """Return the tools that call others: `runs` by callTool, and what is `usable` in a program by runProgram."""
    settings = services[0].settings
    callers: list[BuiltinTool] = [CallTool(runs)] if settings.discover else []
    if settings.code:
        from portkey_bridge.builtin.programs import RunProgram

        callers.append(RunProgram(usable, _tools(services), bridges, settings.program_limits, programs))
    return callers


def _sharing(bridge: Bridge, service: Service, store: Store | None) -> Bridge:
    """Return the bridge of a service, which counts requests and keeps large results in the store if it is shared."""
    store = store or Store()
    if service.settings.api_rate:
        from portkey_bridge.callers.rates import limit_of

        option = key_in_file(service.settings.name, "api_rate") or "OPEN_MCP_API_RATE"
        bridge = replace(bridge, limit=limit_of(service.settings.api_rate, store, _name(service), option))
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


def live_catalogue_of(
    services: Sequence[Service], catalogue: Callable[[Sequence[Service]], Catalogue] = catalogue_of
) -> LiveCatalogue:
    """Return what is served of one or several APIs, and print warnings about it. Raises SettingsError.

    `catalogue` makes it out of the services.
    """
    return LiveCatalogue(title_of(services), __version__, catalogue(services))


def build_server(
    services: Sequence[Service],
    catalogue: Callable[[Sequence[Service]], Catalogue] = catalogue_of,
    list_seconds: int | None = None,
    state_key: bytes | None = None,
) -> McpServer:
    """Return FastMCP's server of what `live_catalogue_of` returns. Raises SettingsError.

    `list_seconds` is for how long clients may keep a list, and `state_key` protects the state of questions, for all
    servers that may get the answers.
    """
    from portkey_bridge.serve.fastmcp_seam import McpServer  # slow to import, and not needed for plain calls alone

    return McpServer(live_catalogue_of(services, catalogue), list_seconds, state_key)


def _operations(services: Sequence[Service]) -> Iterator[Listed]:
    """Yield the entry of each operation in the listing; all tools share the room for schemas."""
    count = sum(len(service.tools) for service in services)
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
    if count > MANY_LISTED and not is_expected:
        yield (
            f"listing {count} tools costs tokens in every conversation, and some clients take at most {MANY_LISTED}; "
            "--discover lists three, --tag and --tools select some"
        )

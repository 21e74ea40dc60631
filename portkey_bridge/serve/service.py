"""One API as it is served: its tools, the bridge that calls them, and the views of their schemas.

With several APIs nothing is shared between them, and a variable that two of them would take goes to neither.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING

import anyio
import httpx

from portkey_bridge.credentials.access import passphrase_of, trust_with
from portkey_bridge.credentials.configuration import configure, own_schemes
from portkey_bridge.credentials.environment import Environment, example_configuration, read_environment
from portkey_bridge.credentials.oauth import OAuthCredentials, TokenSources
from portkey_bridge.credentials.oauth_grants import takes_token, wanted_scopes
from portkey_bridge.credentials.origins import Memory, Origins
from portkey_bridge.credentials.provider import EnvironmentCredentials
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.signing import AWS_TOKEN, AwsAccount, aws_account, signs_for_aws
from portkey_bridge.credentials.variables import (
    OAUTH_SECRETS,
    OAUTH_VARIABLES,
    PRIVATE_KEY,
    TOKEN_TYPES,
    collect_oauth,
    secret_server_variables,
    variable,
)
from portkey_bridge.errors import SettingsError, SetupError
from portkey_bridge.http.transport import Transport
from portkey_bridge.http.trust import Trust
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.lenience import with_undeclared_body
from portkey_bridge.request.servers import server_url
from portkey_bridge.request.uploads import Files
from portkey_bridge.response.answer_cache import AnswerCache
from portkey_bridge.response.dropping import Drop
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import Results
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.signatures import comment, python_type
from portkey_bridge.schema.views import Views
from portkey_bridge.serve.argument_check import Lenience
from portkey_bridge.serve.bridge import Bridge
from portkey_bridge.serve.load import load_api, warn
from portkey_bridge.settings.env_files import beside_variables, refuse_lured_credentials
from portkey_bridge.settings.options import Settings, key_in_file
from portkey_bridge.text import escaped, is_url, origin_of
from portkey_bridge.tools.catalog import Tool, build_tools, expansion_budget, found_budget, select_tools
from portkey_bridge.tools.examples import with_example
from portkey_bridge.tools.subjects import SubjectReader

#: The root of pointers into the schema of an answer: no keyword of JSON Schema, so no pointer into arguments.
RESPONSE = "/response"

#: Characters of the schema of an answer that a signature shows.
MAX_ANSWER_SIGNATURE = 1200

if TYPE_CHECKING:
    from portkey_bridge.credentials.recipe import Recipe

#: What is said of a host whose certificate is not verified.
UNVERIFIED = "the TLS certificate of {} is not verified: anybody on the way can read and change what is sent"


@dataclass(frozen=True, eq=False)
class Service:
    """An API with its settings: `every` tool of it, and those of them that the settings select.

    `loaded` is the document as it was read, from which `api` was configured. `results`
    are the large ones that are kept.
    """

    settings: Settings
    loaded: Api
    api: Api
    shapes: Shapes
    every: Sequence[Tool]
    tools: Sequence[Tool]
    results: Results = field(repr=False)

    @cached_property
    def bridge(self) -> Bridge:
        """The bridge that calls the tools with this API's credentials, made when first wanted. Raises SettingsError."""
        return build_bridge(self.api, self.settings, self.tools, self.shapes, self.results)

    async def prepare(self) -> None:
        """Load in a thread what the first call would wait for: the check of arguments, and the trusted certificates."""
        await anyio.to_thread.run_sync(import_module, "jsonschema_rs")
        urls = (destination(self.api, self.settings, tool.operation) for tool in self.tools)
        if url := next(filter(None, urls), None):
            await self.bridge.transport.prepare(url)

    def succeeding(self, before: Service | None) -> Service:
        """Return this service as the one that comes after another of the same API: what was kept there is kept.

        If nothing has changed, connections, tokens and sessions stay, too.
        """
        if before is None:
            return self
        service = replace(self, results=before.results)
        if (before.loaded, before.settings) == (self.loaded, self.settings):
            vars(service)["bridge"] = before.bridge  # where a cached property keeps its value
        return service

    @cached_property
    def _views(self) -> tuple[Views, Views]:
        return Views(self.shapes, portable=True), Views(self.shapes, portable=False)

    def expand(self, tool: Tool, pointer: str) -> Shape:
        """Return the view of a tool's input schema at a pointer, or of its answer. Raises PointerToNowhere.

        In discovery, the whole is shown as a listing shows it. Pointers below `/response` lead into the schema of a
        successful response.
        """
        listed, full = self._views
        inside = pointer.removeprefix("#")
        if inside == RESPONSE or inside.startswith(f"{RESPONSE}/"):
            return self._expand_response(tool, inside.removeprefix(RESPONSE))
        if self.settings.searches and not pointer:
            view = tool.with_choices(listed.expand(tool.schema, pointer, found_budget(self.settings.schema_budget)))
            return with_example(tool, view)
        view = full.expand(tool.schema, pointer, expansion_budget(self.settings.schema_budget))
        return view if inside else with_example(tool, view)

    def signature(self, tool: Tool, pointer: str) -> str:
        """Return a tool as a Python signature, or the type at a pointer. Raises PointerToNowhere."""
        inside = pointer.removeprefix("#")
        view = self.expand(tool, pointer)
        if inside:
            said = comment(view)
            shown = python_type(view, is_answer=inside.startswith(RESPONSE))
            return f"# {inside}{f': {said}' if said else ''}\n{shown}"
        operation = tool.operation
        heading = f"# {operation.method} {operation.path}: {view.get('description') or tool.description}"
        arguments = f", {python_type(view)}" if view.get("properties") else ""
        return f'{heading}\nawait call("{tool.name}"{arguments})\n{self._returned(tool)}'

    def _returned(self, tool: Tool) -> str:
        try:
            answer = self._expand_response(tool, "", MAX_ANSWER_SIGNATURE)
        except PointerToNowhere:
            return "# returns what the document does not declare"
        said = comment(answer)
        return f"# returns{f': {said}' if said else ''}\n{python_type(answer, is_answer=True)}"

    def _expand_response(self, tool: Tool, pointer: str, budget: float | None = None) -> Shape:
        schema = next(
            (each for each in SubjectReader(self.api.root).answers(tool.operation) if isinstance(each, dict)), None
        )
        if schema is None:
            raise PointerToNowhere(RESPONSE, "", ["no schema: the document declares none for the answer"])
        try:
            budget = budget or found_budget(self.settings.schema_budget)
            return self._views[1].expand(schema, pointer, budget, RESPONSE)
        except PointerToNowhere as error:
            raise PointerToNowhere(RESPONSE + error.pointer, RESPONSE + error.prefix, error.available) from error


def service_of(api: Api, settings: Settings, among: int = 0) -> Service:
    """Return the service of an API. Raises SettingsError for a selection of tools that do not exist.

    `among` is the number of operations of all APIs, if there are several.
    """
    ready = configured(api, settings)
    shapes = Shapes(ready.root)
    tools = build_tools(ready, shapes, settings, among)
    selected = select_tools(tools, settings)
    return Service(settings, api, ready, shapes, tools, selected, Results(settings.kept_results, api=settings.name))


def configured(api: Api, settings: Settings) -> Api:
    """Return the API with the security that the settings ask for, and where they are lenient, undeclared bodies."""
    if settings.lenient:
        api = replace(api, operations=tuple(map(with_undeclared_body, api.operations)))
    return configure(api, settings, lambda servers: settings.base_url or server_url(servers, api.uri))


def load_services(apis: Sequence[Settings], *, from_copies: bool = False) -> list[Service]:
    """Load the document of each API at the same time, and return their services. Raises SetupError.

    One of several that cannot be loaded is left out with a warning. With `from_copies`, a document from a URL is the
    last good copy if there is one.
    """
    if len(apis) == 1:
        return compose([(load_api(apis[0], from_copy=from_copies), apis[0])])
    with ThreadPoolExecutor(len(apis)) as pool:
        loaded = [*pool.map(partial(_loaded, from_copy=from_copies), apis)]
    warn(f"{settings.name}: {api}" for settings, api in zip(apis, loaded, strict=True) if not isinstance(api, Api))
    usable = [(api, settings) for settings, api in zip(apis, loaded, strict=True) if isinstance(api, Api)]
    if not usable:
        raise SettingsError("none of the APIs in the settings file can be served. Correct what is reported above.")
    return compose(usable)


def compose(apis: Sequence[tuple[Api, Settings]]) -> list[Service]:
    """Return the services of APIs that are served together. Raises SettingsError if two tools have the same name."""
    among = sum(len(api.operations) for api, _ in apis) if len(apis) > 1 else 0
    make = _named_service if len(apis) > 1 else service_of
    services = [make(api, settings, among) for api, settings in apis]
    _refuse_clashes(services)
    return uncontested(services)


def _named_service(api: Api, settings: Settings, among: int) -> Service:
    """Return the service of an API; an error says which one it is about. Raises SettingsError."""
    try:
        return service_of(api, settings, among)
    except SettingsError as error:
        raise SettingsError(f"{settings.name}: {error}") from error


def _loaded(settings: Settings, *, from_copy: bool) -> Api | SetupError:
    try:
        return load_api(settings, from_copy=from_copy)
    except SetupError as error:
        return error


def _refuse_clashes(services: Sequence[Service]) -> None:
    owners: dict[str, str] = {}
    for service in services:
        for tool in service.tools:
            other = owners.setdefault(tool.name, service.settings.name)
            if other != service.settings.name:
                raise SettingsError(
                    f"two APIs have a tool {tool.name}: {other} and {service.settings.name}. Set another prefix in "
                    f"[api.{service.settings.name}]."
                )


def uncontested(services: Sequence[Service]) -> list[Service]:
    """Withhold each variable that several APIs would take, unless the settings file assigns it to one; warn of it."""
    takers: defaultdict[str, list[str]] = defaultdict(list)
    for service in services:
        for name in _unassigned(service):
            takers[name].append(service.settings.name)
    contested = {name for name, apis in takers.items() if len(apis) > 1}
    warn(
        f"{name} is set, and {' and '.join(takers[name])} would take it, so none gets it; assign it in the settings "
        f'file, as in [api.{takers[name][0]}.env] {name} = "${name}"'
        for name in sorted(contested)
    )
    return [_without(service, contested & _unassigned(service)) for service in services]


def _unassigned(service: Service) -> set[str]:
    """Return the variables that are set, and that an API would take without being told so."""
    settings = service.settings
    named = settings.named.union(settings.assigned)
    wanted = {name for tool in service.tools for name in tool.variables}
    if any(takes_token(tool.operation.security) for tool in service.tools):
        wanted |= set(OAUTH_VARIABLES)
    return {name for name in wanted - named if settings.environ.get(name, "").strip()}


def _without(service: Service, names: set[str]) -> Service:
    environ = {name: value for name, value in service.settings.environ.items() if name not in names}
    return replace(service, settings=replace(service.settings, environ=environ)) if names else service


def build_bridge(
    api: Api,
    settings: Settings,
    tools: Sequence[Tool],
    shapes: Shapes | None = None,
    results: Results | None = None,
) -> Bridge:
    """Return the bridge that calls `tools` with the settings' credentials, and keeps large results.

    Raises SettingsError.
    """
    environment = read_environment(api, settings)
    if settings.oauth_exchange:
        environment = _without_tokens(environment, tools)
    names = {name for tool in tools for name in tool.variables}
    warn(_unusable(api, settings, environment, names))
    warn(f"{UNVERIFIED.format(host)} (--insecure)" for host in settings.insecure)
    recipe, secrets = _login_recipe(settings)
    sources = token_sources(api, settings, tools, environment, secrets)
    transport, redact = sources.transport, sources.redact
    account = _account(settings, tools, environment)
    if account is not None:
        redact.learn(AWS_TOKEN, account.token)
    bridge = Bridge(
        transport=transport,
        renderer=_renderer(settings, results or Results(settings.kept_results)),
        provider=OAuthCredentials(environment_credentials(api, settings, environment), sources),
        redact=redact,
        base_url=settings.base_url,
        document_uri=api.uri,
        sources=Sources(shapes or Shapes(api.root), Files(settings.files)),
        aws=account,
        lenience=Lenience(settings.lenient),
        log=_log if settings.verbose else None,
        validate_responses=settings.validate_responses,
        pages=settings.pages,
        cache=None if settings.answer_cache == "off" else AnswerCache(settings.answer_cache == "fresh"),
    )
    if recipe is None:
        return bridge
    from portkey_bridge.serve.session_login import with_session

    return with_session(bridge, api, settings, recipe, secrets)


def _renderer(settings: Settings, results: Results) -> Renderer:
    drop = Drop(settings.drop, settings.drop_empty)
    return Renderer(settings.result_limit, results, settings.files, drop, settings.resources)


def _without_tokens(environment: Environment, tools: Sequence[Tool]) -> Environment:
    """Return the environment without the tokens of the server, where each caller has one of its own."""
    schemes = [scheme for tool in tools for scheme in chain(*tool.operation.security) if scheme.type in TOKEN_TYPES]
    names = {variable(scheme) for scheme in schemes}
    return replace(environment, secrets={name: each for name, each in environment.secrets.items() if name not in names})


def _account(settings: Settings, tools: Sequence[Tool], environment: Environment) -> AwsAccount | None:
    """Return what requests to AWS are signed with, if an option or a document asks for that. Raises SettingsError."""
    schemes = chain.from_iterable(chain(*tool.operation.security) for tool in tools)
    is_signing = settings.aws_sigv4 is not None or signs_for_aws(schemes, environment.secrets)
    return aws_account(settings) if is_signing else None


def environment_credentials(api: Api, settings: Settings, environment: Environment) -> EnvironmentCredentials:
    """Return the credentials of the environment for calls of an API."""
    return EnvironmentCredentials(
        environment,
        settings.authenticate,
        partial(destination, api, settings),
        origins_of(api, settings),
        lambda wanted: example_configuration(wanted, settings, api.uri),
    )


def _login_recipe(settings: Settings) -> tuple[Recipe | None, dict[str, str]]:
    """Return the login recipe, if one is set, and the values of its secrets by variable. Raises SettingsError."""
    if settings.login is None:
        return None, {}
    from portkey_bridge.credentials.recipe import read_recipe

    return read_recipe(settings)


def token_sources(
    api: Api, settings: Settings, tools: Sequence[Tool], environment: Environment, further: Mapping[str, str] = {}
) -> TokenSources:
    """Return where the tools' tokens are obtained from, with the HTTP client, and what hides all secrets.

    `further` secrets are those of a login recipe. Raises SettingsError.
    """
    values = collect_oauth(settings, api.uri)
    secrets = {**further, **{name: values[name] for name in OAUTH_SECRETS if name in values}}
    opening = {settings.client_key_passphrase: passphrase_of(settings)} if settings.client_key_passphrase else {}
    names = {name for tool in tools for name in tool.variables}
    signing = [name for name in (PRIVATE_KEY,) if name in values]
    beside = (*signing, *beside_variables(settings))
    refuse_lured_credentials(settings, [*names.intersection(environment.secrets), *secrets, *beside])
    fixed = {name: value for tool in tools for name, value in tool.fixed_secrets.items()}
    in_servers = secret_server_variables(settings)
    redact = Redactor(
        {**fixed, **environment.secrets, **secrets, **opening, **in_servers},
        {"OPEN_MCP_BASE_URL": settings.base_url, "OPEN_MCP_SPEC": settings.spec},
        environment.certain.union(secrets, opening, in_servers),
        environment.logins,
    )
    transport = Transport(
        timeouts=settings.timeouts,
        retries=settings.retries,
        concurrency=settings.concurrency,
        limit=settings.kept_results.bytes,
        redact=redact,
        trust=trust_of(settings, map(partial(destination, api, settings), api.operations)),
    )
    return TokenSources(
        settings,
        values,
        wanted_scopes(tool.operation for tool in tools),
        api.uri,
        partial(destination, api, settings),
        origins_of(api, settings),
        transport,
        redact,
    )


def origins_of(api: Api, settings: Settings) -> Origins:
    """Return where credentials may go. What a person sends everything to needs no memory."""
    if settings.base_url is not None or not (settings.spec and is_url(settings.spec)):
        return Origins(settings.bound, api=settings.name)
    urls = (server_url(operation.servers, api.uri) for operation in api.operations)
    home = frozenset(filter(None, map(origin_of, dict.fromkeys(urls))))
    return Origins(settings.bound, Memory(settings.spec), home, settings.name)


def destination(api: Api, settings: Settings, operation: Operation) -> str | None:
    """Return the URL that an operation's path is appended to, or None."""
    return settings.base_url or server_url(operation.servers, api.uri)


def trust_of(settings: Settings, urls: Iterable[str | None]) -> Trust:
    """Return what the settings say about TLS; these URLs are the API's own. Raises SettingsError."""
    hosts = frozenset(httpx.URL(url).host for url in dict.fromkeys(urls) if url)
    trust = trust_with(settings, hosts)
    if settings.client_cert or settings.ca_bundle:
        for host in sorted(hosts):
            trust.of(host).context()  # says at once what cannot be used
    return trust


def _log(line: str) -> None:
    print(f"portkey-bridge: {escaped(line)}", file=sys.stderr, flush=True)


def _unusable(api: Api, settings: Settings, environment: Environment, names: Collection[str]) -> Iterable[str]:
    """Warn about credentials that are not used, and operations that nothing can be sent to."""
    yield from environment.reasons(names)
    for scheme in own_schemes(settings):
        if scheme.variable not in environment.secrets:
            yield f"{scheme.variable} is not set, which {scheme.key} is sent from"
    nowhere = [op for op in api.operations if settings.base_url is None and server_url(op.servers, api.uri) is None]
    if nowhere:
        how = key_in_file(settings.name, "base_url") or "OPEN_MCP_BASE_URL"
        yield f"{len(nowhere)} of {len(api.operations)} operations have no server to send to; set {how}"

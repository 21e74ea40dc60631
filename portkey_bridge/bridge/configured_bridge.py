"""The bridge of an API as the settings ask for it: its credentials and tokens, the HTTP client, and what is trusted."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import httpx

from portkey_bridge.bridge.argument_check import Lenience
from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.load import warn
from portkey_bridge.credentials.access import passphrase_of, trust_with
from portkey_bridge.credentials.configuration import own_schemes
from portkey_bridge.credentials.environment import Environment, example_configuration, read_environment
from portkey_bridge.credentials.oauth import OAuthCredentials, TokenSources
from portkey_bridge.credentials.oauth_grants import wanted_scopes
from portkey_bridge.credentials.origins import Memory, Origins
from portkey_bridge.credentials.provider import EnvironmentCredentials
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.signing import AWS_TOKEN, AwsAccount, aws_account, signs_for_aws
from portkey_bridge.credentials.variables import (
    OAUTH_SECRETS,
    PRIVATE_KEY,
    TOKEN_TYPES,
    collect_oauth,
    secret_server_variables,
    variable,
)
from portkey_bridge.http.transport import Transport
from portkey_bridge.http.trust import Trust
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.servers import server_url
from portkey_bridge.request.uploads import Files
from portkey_bridge.response.answer_cache import AnswerCache
from portkey_bridge.response.dropping import Drop
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import Results
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.env_files import beside_variables, refuse_lured_credentials
from portkey_bridge.settings.options import Settings, key_in_file
from portkey_bridge.text import escaped, is_url, origin_of
from portkey_bridge.tools.catalog import Tool

if TYPE_CHECKING:
    from portkey_bridge.credentials.recipe import Recipe

#: What is said of a host whose certificate is not verified.
UNVERIFIED = "the TLS certificate of {} is not verified: anybody on the way can read and change what is sent"


def build_bridge(
    api: Api, settings: Settings, tools: Sequence[Tool], shapes: Shapes | None = None, results: Results | None = None
) -> Bridge:
    """Return the bridge that calls `tools` with the settings' credentials, and keeps large results.

    Raises SettingsError.
    """
    environment = read_environment(api, settings)
    if settings.of_callers:
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
        sources=Sources(shapes or Shapes(api.root), Files(settings.files, settings.name)),
        aws=account,
        lenience=Lenience(settings.lenient, settings.name),
        log=_log if settings.verbose else None,
        validate_responses=settings.validate_responses,
        pages=settings.pages,
        cache=None if settings.answer_cache == "off" else AnswerCache(settings.answer_cache == "fresh"),
    )
    if recipe is None:
        return bridge
    from portkey_bridge.bridge.session_login import with_session

    return with_session(bridge, api, settings, recipe, secrets)


def _renderer(settings: Settings, results: Results) -> Renderer:
    drop = Drop(settings.drop, settings.drop_empty)
    return Renderer(settings.result_limit, results, settings.files, drop, settings.resources, settings.name)


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
        None if settings.over_http else lambda wanted: example_configuration(wanted, settings, api.uri),
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
        api=settings.name,
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
    if nowhere := [each for each in api.operations if destination(api, settings, each) is None]:
        how = key_in_file(settings.name, "base_url") or "OPEN_MCP_BASE_URL"
        yield f"{len(nowhere)} of {len(api.operations)} operations have no server to send to; set {how}"

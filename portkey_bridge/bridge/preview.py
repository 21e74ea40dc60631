"""The exact request of a call as text, with variables instead of secrets. Nothing is sent."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import quote

import anyio
import httpx

from portkey_bridge.bridge.argument_check import validate_patiently
from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.configured_bridge import environment_credentials
from portkey_bridge.bridge.service import Service
from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.environment import read_environment
from portkey_bridge.credentials.login_session import OF_SESSION
from portkey_bridge.credentials.oauth import OAuthCredentials
from portkey_bridge.credentials.pass_through import AUTHORIZATION, PassedThrough, takes_header
from portkey_bridge.credentials.schemes import Credential, credentials, needs_credential
from portkey_bridge.credentials.session import SessionCredentials
from portkey_bridge.credentials.variables import variable
from portkey_bridge.errors import ArgumentsError
from portkey_bridge.openapi.model import Place
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.shown import STAND_IN, as_curl, as_http
from portkey_bridge.request.writer import write_request
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.streaming import without_limit

#: Stand for a value in the query of the base URL, and of a server of the document.
IN_BASE_URL, IN_SERVERS = "[OPEN_MCP_BASE_URL]", "[servers]"


class Preview(NamedTuple):
    """A request as HTTP text and as a curl command, and what is added when it is sent."""

    http: str
    curl: str
    signed: str


def preview(owner: Service, bridge: Bridge, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Preview, Sequence[str]]:
    """Return the request of a call with this API's credentials, and why some of them are not sent.

    If no variable is set, it has those of the first alternative. Raises CallError if the call would be refused.
    """
    bound = bound_with_stand_ins(bridge, tool, arguments)
    provider = bridge.provider
    session = provider.of_session(tool.operation, STAND_IN.format) if isinstance(provider, SessionCredentials) else ()
    taken = frozenset(each.place for each in session)
    others = provider.others if isinstance(provider, SessionCredentials) else provider
    tokens = others.obtainable(tool.operation) if isinstance(others, OAuthCredentials) else frozenset()
    names, refusals = _sent_from(owner, tool, bound.places | taken, tokens)
    named = credentials(tool.operation.security, {name: STAND_IN.format(name) for name in names})
    sent = [*session, *(each for each in named if each.place not in taken)]
    shown_request = shown(bridge, tool, bound, sent, [*names, *(each.variable for each in session)])
    obtained = [f"(${each.variable} is obtained by OAuth 2)" for each in sent if each.variable in tokens]
    return shown_request._replace(signed="\n".join(filter(None, (shown_request.signed, *obtained)))), refusals


async def preview_passed(service: Service, tool: Tool, arguments: Mapping[str, Any], passed: PassedThrough) -> Preview:
    """Return the request of a call with its caller's own credential. Raises CallError."""
    bridge, security = service.bridge, tool.operation.security
    bound = await anyio.to_thread.run_sync(bound_with_stand_ins, bridge, tool, arguments)
    value = STAND_IN.format(passed.name)
    if passed.header == AUTHORIZATION:
        taking = (scheme for scheme in chain(*security) if takes_header(scheme, passed.header))
        value = f"{next((each.scheme for each in taking if each.scheme), 'bearer').capitalize()} {value}"
    sent = await passed.credentials(tool.operation, bound.places, Caller(headers={passed.header: value}))
    return shown(bridge, tool, bound, sent, [passed.name])


def bound_with_stand_ins(bridge: Bridge, tool: Tool, arguments: Mapping[str, Any]) -> Bound:
    """Return the arguments in their places, with stand-ins for the fixed values of variables.

    Raises ArgumentsError for arguments that would not be sent.
    """
    names = {value: name for name, value in tool.fixed_secrets.items()}
    if names:
        fixed = {
            argument: {**said, "value": STAND_IN.format(names[said["value"]])}
            for argument, said in tool.curation.arguments.items()
            if said.get("value") in tool.fixed_secrets.values()
        }
        tool = replace(tool, curation=replace(tool.curation, arguments={**tool.curation.arguments, **fixed}))
    arguments, _ = without_limit(tool.name, tool.stream_argument, arguments)
    try:
        return tool.bind(validate_patiently(tool, arguments))
    except ArgumentsError as error:
        if not bridge.lenience.is_on:
            raise
        return bridge.lenience.bound(tool, arguments, error, bridge.sources)


def shown(bridge: Bridge, tool: Tool, bound: Bound, sent: Sequence[Credential], names: Collection[str]) -> Preview:
    """Return a request whose credentials are stand-ins for the variables of these names. Raises CallError."""
    stand_ins = {name: STAND_IN.format(name) for name in (*names, *tool.fixed_secrets)}
    url = _with_stand_ins(base_url(tool.name, tool.operation.servers, bridge.base_url, bridge.document_uri), bridge)
    written = write_request(tool.name, tool.operation, bound, sent, url, bridge.sources)
    http, curl = as_http(written), as_curl(written)
    for name, stand_in in stand_ins.items():
        http, curl = http.replace(stand_in, f"${name}"), curl.replace(stand_in, f"'\"${name}\"'")
        encoded = base64.b64encode(stand_in.encode()).decode()
        http = http.replace(encoded, f"base64(${name})")
        curl = curl.replace(encoded, f"""'"$(printf %s "${name}" | base64 | tr -d '\\n')"'""")
    login = httpx.URL(url).userinfo.decode()
    curl = curl.replace(f"//{login}@", "//…@")
    for readable in (IN_BASE_URL, IN_SERVERS):
        http, curl = http.replace(quote(readable), readable), curl.replace(quote(readable), readable)
    http, curl = bridge.redact(http), bridge.redact(curl)
    return Preview(http, curl, "\n".join(dict.fromkeys(filter(None, map(_added, sent)))))


def _with_stand_ins(url: str, bridge: Bridge) -> str:
    """Return the URL without the values in its query, each of which may be a secret."""
    stand_in = IN_SERVERS if bridge.base_url is None else IN_BASE_URL
    names = httpx.URL(url).params
    return str(httpx.URL(url).copy_merge_params(dict.fromkeys(names, stand_in))) if names else url


def _added(credential: Credential) -> str:
    """Return what happens about a credential when the request is sent."""
    if credential.signing:
        return f"(signed with ${credential.variable} by {credential.signing}, when it is sent)"
    return f"(${credential.variable} is obtained by the login recipe)" if credential.variable in OF_SESSION else ""


def _sent_from(
    owner: Service, tool: Tool, filled: Collection[Place], tokens: Collection[str]
) -> tuple[Collection[str], Sequence[str]]:
    """Return the variables that a call sends beside those of `tokens`, and why others may not go where it is sent.

    If none is set, return those of the first alternative, unless none is needed beside what is `filled`. Raises
    CredentialsError where others are needed.
    """
    security = tool.operation.security
    environment = read_environment(owner.api, owner.settings)
    if environment.secrets.keys().isdisjoint(tool.variables) and not tokens:
        return _first_alternative(tool) if needs_credential(security, {}, filled) else (), ()
    provider = environment_credentials(owner.api, owner.settings, environment)
    allowed, refusals = provider.allowed(tool.operation)
    names = [*allowed, *tokens]
    if needs_credential(security, names, filled):
        raise provider.missing(tool.operation)
    return names, refusals


def _first_alternative(tool: Tool) -> list[str]:
    return [name for scheme in next(iter(tool.operation.security), ()) if (name := variable(scheme))]

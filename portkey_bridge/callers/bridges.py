"""What belongs to one caller of a server that many share: the credential, what is hidden, and the kept results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain

from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.configured_bridge import destination, origins_of
from portkey_bridge.bridge.service import Service
from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.caller_login import CallerLogins
from portkey_bridge.credentials.configuration import home_of
from portkey_bridge.credentials.oauth import OAuthCredentials
from portkey_bridge.credentials.pass_through import PassedThrough, takes_header
from portkey_bridge.credentials.provider import Provider
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.request.servers import url_of_servers

#: Who sends the request that is being answered. Over stdio it is the local user.
CALLER: ContextVar[Caller] = ContextVar("caller", default=LOCAL)

#: Set once the client has closed the connection of the request; None where its end is known otherwise.
CALLER_GONE: ContextVar[asyncio.Event | None] = ContextVar("gone", default=None)

#: The origin that the request was sent to, as a browser reaches it, too, and the path that a proxy puts before others.
SITE: ContextVar[str] = ContextVar("site", default="")

#: Callers whose redactors are remembered.
REMEMBERED = 4096


class _Both(Redactor):
    """Hides the secrets of the server, and those of one caller besides."""

    def __init__(self, servers: Redactor, callers: Redactor) -> None:
        self._servers, self._callers = servers, callers

    def body(self, body: bytes) -> bytes:
        """Return the body without secrets; the same object if it contains none."""
        return self._callers.body(self._servers.body(body))

    def settled(self, text: str) -> int:
        """Return the length of the beginning of a text in which no secret continues behind its end."""
        length, before = len(text), -1
        while length != before:
            before, length = length, min(each.settled(text[:length]) for each in (self._servers, self._callers))
        return length


BridgeOf = Callable[[Caller], Bridge]
"""Returns the bridge that calls for a caller."""


def passed_through(service: Service, header: str) -> PassedThrough:
    """Return the provider of the credentials in a header of callers, for the API of a service."""
    api, settings = service.api, service.settings
    taking = chain(api.schemes, *(chain(*operation.security) for operation in api.operations))
    is_declared = any(takes_header(scheme, header) for scheme in taking)
    home = home_of(api, url_of_servers(api, settings))
    url_of = partial(destination, api, settings)
    return PassedThrough(header, url_of, origins_of(api, settings), None if is_declared else home)


def bridges_of(bridge: Bridge, passed: PassedThrough | None, logins_of: Callable[[str], CallerLogins]) -> BridgeOf:
    """Return a function that returns the bridge for a caller. Everybody's requests share its connections.

    What callers pass through is the only credential. Where tokens are exchanged, or callers log in, each has those of
    its own. `logins_of` returns the logins of a caller.
    """
    bridge = replace(bridge, provider=passed) if passed else bridge
    own_tokens = _of_callers(bridge.provider)

    @lru_cache(maxsize=REMEMBERED)
    def of(subject: str | None, secret: str | None) -> Bridge:
        redact = bridge.redact
        if secret is not None and passed is not None:
            own = Redactor({f"{passed.name}_AUTH": secret})  # a name that marks it as a credential, however it looks
            return _for(bridge, subject, _Both(redact, own))
        if own_tokens is not None and subject is not None:
            settings, own = own_tokens.sources.settings, Redactor({"TOKEN_AUTH": secret} if secret else {})
            logins = logins_of(subject) if settings.oauth_caller_login else None
            provider = replace(own_tokens, sources=own_tokens.sources.of_caller(own, secret, logins))
            return replace(_for(bridge, subject, _Both(redact, own)), provider=provider)
        return _for(bridge, subject, redact)

    def bridge_of(caller: Caller) -> Bridge:
        if caller is LOCAL:
            return bridge
        is_exchanged = own_tokens is not None and own_tokens.sources.settings.oauth_exchange
        secret = passed.secret(caller) if passed else caller.token if is_exchanged else None
        return of(caller.subject, secret)

    return bridge_of


def _of_callers(provider: Provider) -> OAuthCredentials | None:
    """Return a provider whose tokens are those of each caller, None for any other."""
    if isinstance(provider, OAuthCredentials) and provider.sources.settings.of_callers:
        return provider
    return None


def _for(bridge: Bridge, subject: str | None, redact: Redactor) -> Bridge:
    renderer = replace(bridge.renderer, results=bridge.renderer.results.of(subject))
    return replace(bridge, renderer=renderer, redact=redact)

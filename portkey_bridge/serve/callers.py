"""What belongs to one caller of a server that many share: the credential, what is hidden, and the kept results."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache

from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.pass_through import PassedThrough
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.serve.bridge import Bridge

#: Who sends the request that is being answered. Over stdio it is the local user.
CALLER: ContextVar[Caller] = ContextVar("caller", default=LOCAL)

#: Callers whose redactors are remembered.
REMEMBERED = 4096


class _Both(Redactor):
    """Hides the secrets of the server, and those of one caller besides."""

    def __init__(self, servers: Redactor, callers: Redactor) -> None:
        self._servers, self._callers = servers, callers

    def body(self, body: bytes) -> bytes:
        """Return the body without secrets; the same object if it contains none."""
        return self._callers.body(self._servers.body(body))


def bridges_of(bridge: Bridge) -> Callable[[Caller], Bridge]:
    """Return a function that returns the bridge for a caller. Everybody's requests share its connections."""

    @lru_cache(maxsize=REMEMBERED)
    def of(subject: str | None, secret: str | None) -> Bridge:
        redact = bridge.redact
        if secret is not None and isinstance(bridge.provider, PassedThrough):
            # `_AUTH` marks it as a credential, however it looks
            own = Redactor({f"{bridge.provider.header.upper().replace('-', '_')}_AUTH": secret})
            return _for(bridge, subject, _Both(redact, own))
        return _for(bridge, subject, redact)

    def bridge_of(caller: Caller) -> Bridge:
        if caller is LOCAL:
            return bridge
        secret = bridge.provider.secret(caller) if isinstance(bridge.provider, PassedThrough) else None
        return of(caller.subject, secret)

    return bridge_of


def _for(bridge: Bridge, subject: str | None, redact: Redactor) -> Bridge:
    renderer = replace(bridge.renderer, results=bridge.renderer.results.of(subject))
    return replace(bridge, renderer=renderer, redact=redact)

"""Credentials of a session that a login recipe obtains: on first use, once for all calls, and again after a 401."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from itertools import chain

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.provider import CREDENTIAL_STATUSES, Provider
from portkey_bridge.credentials.recipe import LoginSession
from portkey_bridge.credentials.renewal import Renewed
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.errors import CredentialsError, TokenError
from portkey_bridge.openapi.model import Operation, Place


@dataclass(frozen=True)
class SessionCredentials:
    """The credentials of another provider, and those of a session with the origin of the API.

    `belongs` checks whether an operation is sent to that origin, and `is_login` whether it is one that logs in, which
    carries what `handshake` has at the moment. `log_in` obtains a session.
    """

    others: Provider
    belongs: Callable[[Operation], bool]
    is_login: Callable[[Operation], bool]
    log_in: Callable[[LoginSession | None], Awaitable[LoginSession]]
    handshake: list[Credential] = field(default_factory=list, repr=False)
    kept: Renewed[LoginSession] = field(init=False, repr=False)

    @property
    def holds_secrets(self) -> bool:
        """Return True: the session is the server's own."""
        return True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", Renewed(self.log_in))

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials of a call, those of the session first. Raises CredentialsError, CallError."""
        if not self.belongs(operation):
            return await self.others.credentials(operation, filled, caller)
        if self.is_login(operation):
            return await self._of_login(operation, filled, caller)
        session = await self.kept.get()
        own = session.credentials if session else ()
        places = frozenset(chain.from_iterable(each.places for each in own))
        others = await self.others.credentials(operation, [*filled, *places], caller)
        return (*own, *(each for each in others if each.place not in places))

    async def _of_login(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        try:
            others = await self.others.credentials(operation, filled, caller)
        except CredentialsError:  # a document may ask for the session even where it is obtained
            others = ()
        places = {each.place for each in self.handshake}
        return (*self.handshake, *(each for each in others if each.place not in places))

    async def rejected(self, operation: Operation, sent: Collection[Credential], caller: Caller) -> bool:
        """Log in again, unless another call has done so since; return whether there is another session now."""
        if self.is_login(operation) or not self.belongs(operation):
            return await self.others.rejected(operation, sent, caller)
        try:
            return await self.kept.replace(lambda session: {*session.credentials} <= {*sent})
        except TokenError:
            return False  # the API's own answer is shown

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return what an answer of this status lets a person check about the credentials."""
        if status not in CREDENTIAL_STATUSES or not self.belongs(operation) or self.kept.current is None:
            return self.others.hints(operation, status, caller)
        return ["The request carried the session of the login recipe: check what the account permits."]

"""Credentials of a session that a login recipe obtains: on first use, once for all, and again once it has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from itertools import chain

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.credentials.login_session import LoginSession, has_ended, placeholders, values_to_hide, with_cookies
from portkey_bridge.credentials.provider import CREDENTIAL_STATUSES, Provider
from portkey_bridge.credentials.recipe import Recipe
from portkey_bridge.credentials.renewal import Renewed
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.errors import CredentialsError, TokenError
from portkey_bridge.openapi.model import Operation, Place
from portkey_bridge.response.answer import Answer


@dataclass(frozen=True)
class SessionCredentials(Provider):
    """The credentials of another provider, and those of a session with the origin of the API.

    `belongs` checks whether an operation is sent to that origin, and `is_login` whether it is one that logs in, for
    which a session is not needed. `log_in` obtains a session, and `learn` is told each secret that an answer brings.
    """

    others: Provider
    recipe: Recipe
    belongs: Callable[[Operation], bool]
    is_login: Callable[[Operation], bool]
    log_in: Callable[[LoginSession | None], Awaitable[LoginSession]]
    learn: Callable[[str, str], None]
    kept: Renewed[LoginSession] = field(init=False, repr=False)

    @property
    def holds_secrets(self) -> bool:
        """Return True: the session is the server's own."""
        return True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", Renewed(self.log_in))

    def of_session(self, operation: Operation, stand_in: Callable[[str], str]) -> tuple[Credential, ...]:
        """Return what a call carries of a session that is not obtained, as far as the recipe says."""
        return placeholders(self.recipe, stand_in) if self.belongs(operation) else ()

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials of a call, those of the session first. Raises CredentialsError, CallError."""
        if not self.belongs(operation):
            return await self.others.credentials(operation, filled, caller)
        try:
            session = await self.kept.get()
        except TokenError:
            if not self.is_login(operation):
                raise
            session = None
        own = session.credentials if session else ()
        return await with_others(self.others, own, operation, filled, caller, is_needed=not self.is_login(operation))

    async def rejected(
        self, operation: Operation, answer: Answer, sent: Collection[Credential], caller: Caller
    ) -> bool:
        """Log in again if the session has ended, unless another call has done so; return whether there is another."""
        if not self.belongs(operation):
            return await self.others.rejected(operation, answer, sent, caller)
        if not has_ended(self.recipe, answer, self.is_login(operation)):
            self._keep_cookies(answer)
            return False
        try:
            return await self.kept.replace(lambda session: {*session.credentials} <= {*sent})
        except TokenError:
            return False  # the API's own answer is shown

    def _keep_cookies(self, answer: Answer) -> None:
        """Keep the cookies that an answer of the API sets, as a browser does, if the recipe asks for cookies."""
        session = self.kept.current
        if self.recipe.cookies and session is not None and not answer.redirected_to and "set-cookie" in answer.headers:
            self.kept.current = with_cookies(self.recipe, session, answer)
            for name, value in values_to_hide(self.kept.current.credentials):
                self.learn(name, value)

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        """Return what an answer of this status lets a person check about the credentials."""
        if status not in CREDENTIAL_STATUSES or not self.belongs(operation) or self.kept.current is None:
            return self.others.hints(operation, status, caller)
        return ["The request carried the session of the login recipe: check what the account permits."]


@dataclass
class LoginCredentials(Provider):
    """The credentials of the steps of a login: those of another provider, and what the steps before it `carried`.

    A failure is the end of a login, and is shown as it is.
    """

    others: Provider
    carried: tuple[Credential, ...] = field(default=(), repr=False)
    holds_secrets: bool = True

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        """Return the credentials of a step; a document may ask for the session even where it is obtained."""
        return await with_others(self.others, self.carried, operation, filled, caller, is_needed=False)


async def with_others(
    others: Provider,
    own: Collection[Credential],
    operation: Operation,
    filled: Collection[Place],
    caller: Caller,
    *,
    is_needed: bool,
) -> tuple[Credential, ...]:
    """Return credentials with those that another provider has for other places; none of them where none is needed.

    Raises CredentialsError, CallError.
    """
    places = frozenset(chain.from_iterable(each.places for each in own))
    try:
        further = await others.credentials(operation, [*filled, *places], caller)
    except CredentialsError:
        if is_needed:
            raise
        further = ()
    return (*own, *(each for each in further if each.place not in places))

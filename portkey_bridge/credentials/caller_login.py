"""The login of one caller to an API, where each logs in with an account of their own; many servers may share it."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from portkey_bridge.credentials.logins import Login
from portkey_bridge.credentials.oauth_client import Refused
from portkey_bridge.errors import LoginRequired, TokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_bridge.credentials.oauth_tokens import TokenSource
    from portkey_bridge.credentials.renewal import Expiring

#: The error of a token endpoint after which a refresh token is of no use any more (RFC 6749 section 5.2).
REVOKED_GRANT = "invalid_grant"


class CallerLogins(Protocol):
    """The logins of one caller to one API, by their names. Each method raises CallError if they cannot be reached."""

    async def load(self, name: str) -> Login | None:
        """Return the login of this name, if there is one."""

    async def save(self, name: str, login: Login) -> None:
        """Keep a login under this name."""

    async def forget(self, name: str) -> bool:
        """Forget the login of this name; return whether there was one."""

    def renewing(self, name: str) -> AbstractAsyncContextManager[None]:
        """Return a context that one call at a time is in, of all servers that have the login."""

    async def required(self, name: str) -> LoginRequired:
        """Return the error that asks the caller to log in."""


def caller_login_name(source: TokenSource) -> str:
    """Return the name of a caller's login: its scheme, the origin of the API, and where its tokens come from.

    Raises TokenError if no endpoint is known.
    """
    return f"{source.scheme.key} {source.login_name}"


class CallerLogin:
    """The token of one caller. Nothing of it is kept in between: another server may have renewed or forgotten it."""

    def __init__(self, source: TokenSource, logins: CallerLogins) -> None:
        self._source, self._logins = source, logins
        self.current: Expiring | None = None

    async def get(self) -> Expiring:
        """Return the token, renewed if it is due. Raises LoginRequired if the caller has to log in, and CallError."""
        login = await self._loaded()
        if login.token.is_due:
            login = await self._renewed(login, is_usable=not _has_expired(login.token))
        return self._used(login)

    async def replace(self, is_rejected: Callable[[Expiring], bool]) -> bool:
        """Renew the token if it was rejected; return whether it is another one now. Raises as `get` does."""
        login = await self._loaded()
        if is_rejected(login.token):
            login = await self._renewed(login, is_usable=False)
        return not is_rejected(self._used(login))

    async def _renewed(self, previous: Login, *, is_usable: bool) -> Login:
        """Return the next login, which one call obtains for all; the previous one if it `is_usable` and none comes."""
        name = caller_login_name(self._source)
        async with self._logins.renewing(name):
            login = await self._loaded()
            if login.token.value != previous.token.value:
                return login
            try:
                renewed = Login(await self._source.renewed(login), login.client_id, login.who)
            except TokenError as error:
                is_revoked = isinstance(error, Refused) and error.code == REVOKED_GRANT
                if is_usable and not is_revoked:
                    return login
                if login.token.refresh and not is_revoked:
                    raise
                await self._logins.forget(name)
                raise await self._logins.required(name) from error
            await self._logins.save(name, renewed)
            return renewed

    async def _loaded(self) -> Login:
        name = caller_login_name(self._source)
        login = await self._logins.load(name)
        if login is None or login.client_id != self._source.client.id:
            raise await self._logins.required(name)
        self._source.learn(login.token.value)
        self._source.learn(login.token.refresh)
        return login

    def _used(self, login: Login) -> Expiring:
        self.current = login.token
        return login.token


def _has_expired(token: Expiring) -> bool:
    return token.expires is not None and time.time() >= token.expires

"""The logins of callers in the store, and what leads to one: tickets of callers, and authorizations of browsers.

Everything is bound to the caller in its name, which only those who have the key of the store can compute. A ticket and
an authorization are used once: of several who take one, the store lets one delete it.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from portkey_bridge.bridge.service import Service
from portkey_bridge.callers.bridges import SITE
from portkey_bridge.callers.store import DEFAULT_TTL, Store
from portkey_bridge.credentials.authorization import AuthorizationRequest
from portkey_bridge.credentials.logins import Login
from portkey_bridge.errors import LoginRequired

#: The page on which callers log in and out, what its script asks for as a caller, and where a login returns to.
CONNECT_PATH, ACCOUNTS_PATH, BEGIN_PATH, FORGET_PATH = (
    "/connect",
    "/connect/accounts",
    "/connect/begin",
    "/connect/forget",
)
CALLBACK_PATH = "/connect/callback"

#: The collections of the store.
LOGIN_COLLECTION, TICKET_COLLECTION, AUTHORIZATION_COLLECTION = "logins", "login-tickets", "login-authorizations"

#: Seconds for which a ticket can be used, and for which a person may take to log in.
TICKET_LIFE = 600.0


@dataclass(frozen=True)
class Ticket:
    """A caller's permission to log in to an API: the name of the caller, of the API, and of the login."""

    owner: str
    api: str
    login: str


@dataclass(frozen=True)
class Authorization:
    """A login that a browser has begun: the scopes that it asks for, and the digest of the browser's cookie."""

    ticket: Ticket
    scopes: tuple[str, ...]
    redirect_uri: str
    browser: str
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)

    def request(self, state: str) -> AuthorizationRequest:
        """Return the request that this login began with, which had that state."""
        return AuthorizationRequest("", self.redirect_uri, state, self.verifier, self.nonce)


@dataclass(frozen=True)
class StoredLogins:
    """The logins of one caller to one API; `title` is the name of the API for people."""

    store: Store
    api: str
    title: str
    owner: str

    async def load(self, name: str) -> Login | None:
        """Return the login of this name, if there is one. Raises StoreError."""
        with self.store.used():
            value = await self.store.values.get(self._key(name), collection=LOGIN_COLLECTION)
        return msgspec.convert(value, Login) if value is not None else None

    async def save(self, name: str, login: Login) -> None:
        """Keep a login for as long as it can be used. Raises StoreError."""
        token = login.token
        seconds = DEFAULT_TTL if token.refresh or token.expires is None else max(token.expires - time.time(), 1)
        with self.store.used():
            await self.store.values.put(
                self._key(name), msgspec.to_builtins(login), collection=LOGIN_COLLECTION, ttl=seconds
            )

    async def forget(self, name: str) -> bool:
        """Forget the login of this name; return whether there was one. Raises StoreError."""
        with self.store.used():
            return await self.store.values.delete(self._key(name), collection=LOGIN_COLLECTION)

    def renewing(self, name: str) -> AbstractAsyncContextManager[None]:
        """Return a context that one call at a time is in, of all servers that share the store."""
        return self.store.alone(self._key(name))

    async def required(self, name: str) -> LoginRequired:
        """Return the error that asks the caller to log in, with the address of a ticket. Raises StoreError.

        The same ticket is named again for half of its life, so that calls do not fill the store.
        """
        key, values = self._key(name), self.store.values
        with self.store.used():
            found = await values.get(key, collection=TICKET_COLLECTION)
            if found is None or found["made"] < time.time() - TICKET_LIFE / 2:
                ticket = {"owner": self.owner, "api": self.api, "login": name}
                found = {"secret": secrets.token_urlsafe(32), "made": time.time(), "ticket": ticket}
                await values.put(key, found, collection=TICKET_COLLECTION, ttl=TICKET_LIFE)

        async def is_done() -> bool:
            return await self.load(name) is not None

        return LoginRequired(self.title, f"{SITE.get()}{CONNECT_PATH}#{key}.{found['secret']}", is_done)

    def _key(self, name: str) -> str:
        what = "\0".join((self.owner, self.api, name)).encode("utf-8", "surrogatepass")
        return hmac.digest(self.store.key("logins of callers"), what, "sha256").hex()[:32]


def logins_of(store: Store, service: Service, owner: str) -> StoredLogins:
    """Return the logins of a caller to the API of a service."""
    return StoredLogins(store, service.settings.name, service.api.title, owner)


async def ticket_of(store: Store, text: str) -> Ticket | None:
    """Return the ticket of this text, if it is one that can be used. Raises StoreError."""
    key, _, secret = text.partition(".")
    with store.used():
        found = await store.values.get(key, collection=TICKET_COLLECTION) if key.isalnum() else None
    if found is None or not hmac.compare_digest(found["secret"].encode(), secret.encode("utf-8", "surrogatepass")):
        return None
    return Ticket(**found["ticket"])


async def take_ticket(store: Store, text: str) -> bool:
    """Use up a ticket; return whether it could be used until now. Raises StoreError."""
    with store.used():
        return await store.values.delete(text.partition(".")[0], collection=TICKET_COLLECTION)


async def begin_authorization(store: Store, state: str, begun: Authorization) -> None:
    """Keep a login that a browser has begun until its answer comes. Raises StoreError."""
    value: Mapping[str, Any] = msgspec.to_builtins(begun)
    with store.used():
        await store.values.put(digest_of(state), value, collection=AUTHORIZATION_COLLECTION, ttl=TICKET_LIFE)


async def take_authorization(store: Store, state: str, browser: str) -> Authorization | None:
    """Return the login that this state and this cookie belong to, and use it up. Raises StoreError."""
    key = digest_of(state)
    with store.used():
        value = await store.values.get(key, collection=AUTHORIZATION_COLLECTION)
        begun = msgspec.convert(value, Authorization) if value is not None else None
        if begun is None or not hmac.compare_digest(begun.browser, digest_of(browser)):
            return None
        return begun if await store.values.delete(key, collection=AUTHORIZATION_COLLECTION) else None


def digest_of(secret: str) -> str:
    """Return what stands in the store for a random secret of a browser."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

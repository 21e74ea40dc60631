"""Obtains the tokens of one scheme for one origin: from a login, by refreshing, or with a grant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from portkey_bridge.credentials import logins
from portkey_bridge.credentials.logins import Login, login_name
from portkey_bridge.credentials.oauth_client import (
    AuthorizationServer,
    Client,
    Refused,
    as_expiring,
    discover,
    secrets_of,
)
from portkey_bridge.credentials.oauth_endpoints import Endpoint, Endpoints, known_endpoints
from portkey_bridge.credentials.oauth_grants import grant_of, is_for_people
from portkey_bridge.credentials.origins import Origins
from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.credentials.variables import OAUTH_SECRETS, PRIVATE_KEY
from portkey_bridge.errors import SettingsError, TokenError
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import SecurityScheme
from portkey_bridge.settings.env_files import distrusted
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import origin_of

#: The grant of a token exchange, and the type of the token that it takes (RFC 8693 sections 2.1 and 3).
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # its type


@dataclass(frozen=True)
class TokenSource:
    """Obtains tokens of a scheme. `values` are those of OAUTH_VARIABLES, `learn` is told each secret that is obtained.

    `scopes` are requested, and `base_url` is the URL of the API. `is_local` is whether they are for the local user.
    `subject` is the caller's own token, which is exchanged if the settings say so.
    """

    scheme: SecurityScheme
    base_url: str
    scopes: tuple[str, ...]
    settings: Settings
    values: Mapping[str, str] = field(repr=False)
    origins: Origins
    transport: Transport
    learn: Callable[[str], None]
    is_local: bool = True
    subject: str | None = field(default=None, repr=False)

    @property
    def client(self) -> Client:
        """The client that the variables describe."""
        names = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_PRIVATE_KEY")
        return Client(*(self.values.get(name, "") for name in names))

    def endpoints(self, flow: str) -> Endpoints:
        """Return the endpoints that are known without asking; where flows differ, those of `flow`."""
        return known_endpoints(self.scheme, flow, self.base_url, self.settings)

    @property
    def login_name(self) -> str:
        """The name that a login is kept under. Raises TokenError if no endpoint is known."""
        return login_name(self.base_url, self.endpoints("authorizationCode"))

    def login(self) -> Login | None:
        """Return the login of the local user for the origin of the API, if there is one."""
        is_known = not self.endpoints("authorizationCode").of_kind.keys().isdisjoint(("token", "metadata"))
        if not (is_known and self.is_local and is_for_people(self.scheme, self.settings)):
            return None
        login = logins.load_login(self.login_name)
        return login if login is not None and self.client.id in ("", login.client_id) else None

    @property
    def is_configured(self) -> bool:
        """Whether a token can be obtained: variables are set, or the local user is logged in."""
        return grant_of(self.scheme, self.values, self.settings) is not None or self.login() is not None

    async def server(self, flow: str, client_id: str = "") -> AuthorizationServer:
        """Return the authorization server, with what its metadata says. Raises TokenError."""
        endpoints = self.endpoints(flow)
        if "token" not in endpoints.of_kind or self.settings.oauth_issuer:
            endpoints = await discover(self.transport, endpoints, self.base_url)
        client = replace(self.client, id=client_id or self.client.id)
        return AuthorizationServer(self.transport, endpoints, client, self.base_url)

    async def obtain(self, previous: Expiring | None) -> Expiring | None:
        """Return a token that replaces the previous one; None if nothing is configured. Raises TokenError."""
        if self.settings.oauth_exchange:
            return await self._exchanged()
        token = await self._of_login(previous)
        if token is not None:
            return token
        if self.settings.oauth_caller_login:  # so that no account of a server stands in
            raise TokenError(
                "Nothing was sent: this API is called with the account of whoever calls. Log in with "
                "`portkey-bridge login`."
            )
        grant = grant_of(self.scheme, self.values, self.settings)
        if grant is None:
            return None
        server = await self.server(grant.flow)
        self._require_origins(server.endpoints["token"])
        if previous is not None and previous.refresh:
            try:
                return await self._refreshed(server, previous)
            except Refused:
                pass  # it has expired, too: start anew
        scopes = {} if grant.type == "refresh_token" else self.requested()
        answer = await server.token({"grant_type": grant.type, **grant.parameters, **scopes})
        return self.accept(answer, frozenset(self.scopes))

    async def _exchanged(self) -> Expiring:
        """Return a token that the caller's own is exchanged for (RFC 8693 section 2). Raises TokenError."""
        if self.subject is None:
            raise TokenError(
                "Nothing was sent: this API is called with a token for which each caller's own is exchanged, and you "
                "did not come with one of an authorization server. Log in to this server over HTTP."
            )
        server = await self.server("clientCredentials")
        self._require_origins(server.endpoints["token"])
        parameters = {"subject_token": self.subject, "subject_token_type": ACCESS_TOKEN}
        try:
            answer = await server.token({"grant_type": EXCHANGE, **parameters, **self.requested()})
        except Refused as error:
            raise TokenError(
                f"Nothing was sent: the authorization server did not exchange your token "
                f"({error.code or 'it returned none'}). Log in to this server again. Whoever runs it can check "
                "OAUTH_CLIENT_ID, its registration, --oauth-audience and --oauth-scopes."
            ) from error
        return self.accept(answer, frozenset(self.scopes))

    def _require_origins(self, endpoint: Endpoint) -> None:
        """Check that the secrets may go to the origin of an endpoint that nobody named. Raises TokenError."""
        secrets = [name for name in self.values if name in (*OAUTH_SECRETS, PRIVATE_KEY)]
        for name in secrets:
            refusal = None if endpoint.is_named else self.origins.refusal(name, origin_of(endpoint.url) or "")
            if refusal is not None:
                raise TokenError(f"Nothing was sent: {refusal}.")
        self.origins.used(secrets)

    def requested(self, *more: str) -> dict[str, str | None]:
        """Return the parameters of a request that say which token is wanted."""
        scope = " ".join(dict.fromkeys((*more, *self.scopes)))
        return {"scope": scope, "audience": self.settings.oauth_audience}

    def accept(self, answer: Mapping[str, Any], requested: frozenset[str] | None, refresh: str = "") -> Expiring:
        """Return the token of an answer, and learn its secrets."""
        for secret in secrets_of(answer):
            self.learn(secret)
        return as_expiring(answer, requested, refresh)

    async def _refreshed(self, server: AuthorizationServer, token: Expiring) -> Expiring:
        answer = await server.token({"grant_type": "refresh_token", "refresh_token": token.refresh})
        return self.accept(answer, token.scopes, token.refresh)

    async def renewed(self, login: Login) -> Expiring:
        """Return the next token of a login. Raises TokenError."""
        if not login.token.refresh:
            raise TokenError("it cannot be renewed")
        return await self._refreshed(await self.server("authorizationCode", login.client_id), login.token)

    async def _of_login(self, previous: Expiring | None) -> Expiring | None:
        """Return the token of the person who is logged in, refreshed if necessary; None if nobody is."""
        login = await self._loaded()
        if login is None:
            return None
        if self.settings.apart:  # says perhaps where its tokens are renewed
            raise TokenError(f"Nothing was sent: {distrusted(self.settings.apart, 'would redirect a kept login')}")
        if self._is_new(login.token, previous):
            return login.token
        try:
            token = await self.renewed(login)
        except TokenError as error:
            other = await self._loaded()  # another process may have renewed it meanwhile
            if other is not None and self._is_new(other.token, login.token):
                return other.token
            problem = "the login has expired and cannot be renewed. Run `portkey-bridge login` again"
            raise TokenError(f"Nothing was sent: {problem}. ({error})") from error
        with suppress(SettingsError):  # the token is good; where it cannot be kept, a later start needs another login
            await asyncio.to_thread(logins.save_login, self.login_name, replace(login, token=token))
        return token

    async def _loaded(self) -> Login | None:
        login = await asyncio.to_thread(self.login)
        if login is not None:
            self.learn(login.token.value)
            self.learn(login.token.refresh)
        return login

    @staticmethod
    def _is_new(token: Expiring, previous: Expiring | None) -> bool:
        return not token.is_due and (previous is None or token.value != previous.value)

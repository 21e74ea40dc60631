"""Logins of people: the authorization code grant with PKCE, and the device grant. Nothing is shown or opened here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from portkey_bridge.credentials import logins
from portkey_bridge.credentials.logins import Login
from portkey_bridge.credentials.oauth_client import AuthorizationServer, Refused
from portkey_bridge.credentials.oauth_tokens import TokenSource
from portkey_bridge.credentials.renewal import jwt_claims
from portkey_bridge.errors import TokenError

CODE, DEVICE = "authorizationCode", "deviceAuthorization"

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

#: Seconds between two requests for a device's token, and those added where the server asks (RFC 8628 section 3.5).
INTERVAL, SLOWER = 5.0, 5.0

#: Claims of an ID token that name a person (OpenID Connect Core section 5.1), the most telling first.
NAMES = ("email", "preferred_username", "name", "sub")


@dataclass(frozen=True)
class AuthorizationRequest:
    """A request that a browser is sent to (RFC 6749 section 4.1.1), and what its answer is checked against."""

    url: str
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(default="", repr=False)


async def login_server(source: TokenSource, flow: str) -> AuthorizationServer:
    """Return the authorization server of a login. Raises TokenError if there is no client, or no endpoint."""
    if not source.client.id:
        raise TokenError(
            "OAUTH_CLIENT_ID is not set. Register a client at the authorization server, with the redirect URI "
            "http://127.0.0.1, and set OAUTH_CLIENT_ID to its identifier."
        )
    server = await source.server(flow)
    for kind in ("token", "authorization" if flow == CODE else "device"):
        server.endpoints[kind].require_trust(source.base_url)
    return server


def authorization_request(source: TokenSource, server: AuthorizationServer, redirect_uri: str) -> AuthorizationRequest:
    """Return a new authorization request with a code challenge (RFC 7636 section 4.3)."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    parameters = wanted(source, server)
    nonce = secrets.token_urlsafe(32) if "openid" in (parameters["scope"] or "").split() else ""
    url = prepare_grant_uri(
        server.endpoints["authorization"].url,
        client_id=server.client.id,
        response_type="code",
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        prompt="consent" if "offline_access" in server.endpoints.scopes else None,  # OpenID Connect Core section 11
        nonce=nonce or None,
        **parameters,
    )
    return AuthorizationRequest(url, redirect_uri, state, verifier, nonce)


def wanted(source: TokenSource, server: AuthorizationServer) -> dict[str, str | None]:
    """Return the scopes of a login: with a name, and for as long as it can be renewed, where the provider offers it."""
    return source.requested(*(scope for scope in ("openid", "offline_access") if scope in server.endpoints.scopes))


async def redeem(
    source: TokenSource, server: AuthorizationServer, request: AuthorizationRequest, answer: Mapping[str, str]
) -> Login:
    """Return the login that an authorization response leads to (RFC 6749 section 4.1.3). Raises TokenError.

    `answer` are the parameters of the response, whose state has been checked.
    """
    if not server.endpoints.may_have_sent(answer.get("iss")):
        raise TokenError("The answer came from another authorization server. Nothing was sent to it.")
    if "code" not in answer:
        raise Refused(server.endpoints["authorization"].url, 302, answer, server.transport)
    source.learn(answer["code"])
    source.learn(request.verifier)
    grant = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": request.redirect_uri,
        "code_verifier": request.verifier,
    }
    return _login(source, server, await server.token(grant), request.nonce)


def parameters_of(target: str) -> dict[str, str]:
    """Return the parameters in the query of a request target, each once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


async def await_device(source: TokenSource, server: AuthorizationServer, device: Mapping[str, Any]) -> Login:
    """Return the login once the person has entered the code (RFC 8628 section 3.4). Raises TokenError."""
    pause = float(device.get("interval") or INTERVAL)
    grant = {"grant_type": DEVICE_GRANT, "device_code": str(device["device_code"])}
    while True:
        await asyncio.sleep(pause)
        try:
            return _login(source, server, await server.token(grant))
        except Refused as error:
            if error.code not in ("authorization_pending", "slow_down"):
                raise
            pause += SLOWER if error.code == "slow_down" else 0


def _login(source: TokenSource, server: AuthorizationServer, answer: Mapping[str, Any], nonce: str = "") -> Login:
    token = source.accept(answer, frozenset(source.scopes))
    claims = jwt_claims(str(answer.get("id_token")))  # the token endpoint itself vouches for them (Core 3.1.3.7)
    if nonce and claims and claims.get("nonce") != nonce:  # OpenID Connect Core section 3.1.3.7
        raise TokenError("The answer belongs to another login: its ID token has another nonce. Log in again.")
    return Login(token, server.client.id, next((str(claims[name]) for name in NAMES if claims.get(name)), ""))


async def log_out(source: TokenSource) -> bool:
    """Forget a login, and revoke its tokens where the server can; return whether there was one. Raises OSError."""
    login = logins.load_login(source.login_name)
    if login is None:
        return False
    logins.forget_login(source.login_name)
    server = await source.server(CODE, login.client_id)
    await server.revoke(login.token.refresh or login.token.value)
    return True

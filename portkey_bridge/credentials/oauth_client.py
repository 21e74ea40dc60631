"""Requests to authorization servers: token requests (RFC 6749) and the metadata of a provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import httpx

from portkey_bridge.credentials.oauth_endpoints import Endpoints, metadata_urls, with_metadata
from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.errors import TokenError
from portkey_bridge.http.failures import EXCHANGE_FAILURES, TooLarge, explain_failure
from portkey_bridge.http.transport import Transport
from portkey_bridge.settings.options import how_to_set
from portkey_bridge.text import printable, shown_url

#: Longest answer of an authorization server that is read, in bytes, and longest part of its own words that is shown.
MAX_TOKEN_ANSWER, MAX_PROVIDER_WORDS = 1_000_000, 300

#: What can be done about an error of the token endpoint (RFC 6749 section 5.2, RFC 8628 section 3.5), by its code.
REMEDIES_BY_ERROR = {
    "invalid_client": "Check OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET, or OAUTH_PRIVATE_KEY.",
    "invalid_grant": "Check OAUTH_USERNAME and OAUTH_PASSWORD, or OAUTH_REFRESH_TOKEN; or log in again with "
    "`portkey-bridge login`.",
    "invalid_scope": "Choose the scopes with {oauth_scopes}.",
    "unauthorized_client": "The client is not registered for this grant: change its registration, or log in with "
    "`portkey-bridge login`.",
    "unsupported_grant_type": "The server does not offer this grant: log in with `portkey-bridge login`.",
    "access_denied": "The login was refused.",
    "expired_token": "The code has expired: start again.",
}

#: The codes of errors about a form that was read, and the statuses of servers that could not read it.
ERROR_CODES = frozenset((*REMEDIES_BY_ERROR, "invalid_request", "authorization_pending", "slow_down"))
UNREADABLE = (400, 415, 422)

#: The fields of an error, those of servers that do not follow RFC 6749 last.
ERROR_FIELDS = ("error", "error_description", "message", "detail")

#: The algorithm that signs with a key of each type or curve (RFC 7518 section 3.1).
ALGORITHMS = {"RSA": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


@dataclass(frozen=True)
class Client:
    """An OAuth client: its identifier, and a secret or a private key, "" where it has none."""

    id: str = ""
    secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)

    def methods(self, supported: tuple[str, ...]) -> tuple[str, ...]:
        """Return the ways to authenticate (OpenID Connect Core section 9), the first to try first."""
        if self.private_key:
            return ("private_key_jwt",)
        if not self.secret:
            return ("none",)
        usual = ("client_secret_basic", "client_secret_post")
        return tuple(method for method in usual if method in supported) or usual

    @cached_property
    def key(self) -> Any:
        """The private key: PEM, or a JWK as JSON, or the path of a file with one. Raises TokenError."""
        text = self.private_key.replace("\\n", "\n")
        if "-----BEGIN" not in text and not text.lstrip().startswith("{"):
            with suppress(OSError, ValueError):
                text = Path(text).expanduser().read_text(encoding="utf-8")
        key = next(_keys(text), None)
        if key is None or not key.is_private or (key.get("crv") or key.key_type) not in ALGORITHMS:
            raise TokenError(
                "Nothing was sent: OAUTH_PRIVATE_KEY is not a private key of RSA or an elliptic curve. Set it to a key "
                "in PEM, to a JWK, or to the path of a file with one."
            )
        return key


def _keys(text: str) -> Iterator[Any]:
    """Yield the key in a text, for each type that it can be read as."""
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    with suppress(ValueError, TypeError, JoseError):
        if text.lstrip().startswith("{"):
            yield import_key(json.loads(text))
    for key_type in ("RSA", "EC"):
        with suppress(ValueError, TypeError, JoseError):
            yield import_key(text, key_type)


@dataclass(frozen=True)
class AuthorizationServer:
    """Sends requests to the endpoints of an authorization server as one client."""

    transport: Transport
    endpoints: Endpoints
    client: Client
    base_url: str

    async def token(self, grant: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the answer to a token request with these parameters. Raises TokenError."""
        return await self._ask("token", grant, "access_token")

    async def device_code(self, wanted: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the answer to a device authorization request (RFC 8628 section 3.2). Raises TokenError."""
        return await self._ask("device", wanted, "device_code")

    async def revoke(self, token: str) -> None:
        """Revoke a token (RFC 7009), where the server can. Raises TokenError."""
        if "revocation" in self.endpoints.of_kind:
            await self._ask("revocation", {"token": token}, None)

    async def _ask(self, kind: str, parameters: Mapping[str, str | None], wanted: str | None) -> dict[str, Any]:
        """Post the parameters, with each way to authenticate the client until one is accepted."""
        endpoint = self.endpoints[kind]
        endpoint.require_trust(self.base_url)
        url = endpoint.url
        *others, last = self.client.methods(self.endpoints.client_auth)
        for method in others:
            status, answer = await self._post(url, parameters, method)
            if status != 401 and answer.get("error") != "invalid_client":
                break
        else:
            status, answer = await self._post(url, parameters, last)
        if status >= 400 or (wanted and not isinstance(answer.get(wanted), str)):
            raise Refused(url, status, answer, self.transport)
        return answer

    async def _post(self, url: str, parameters: Mapping[str, str | None], method: str) -> tuple[int, dict[str, Any]]:
        """Post a form; as JSON if the server does not answer like one that has read a form."""
        body = urlencode({name: value for name, value in parameters.items() if value})
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        url, headers, body = self._authenticated(method, url, headers, body)
        status, answer = await fetch_json(self.transport, httpx.Request("POST", url, headers=headers, content=body))
        if status not in UNREADABLE or answer.get("error") in ERROR_CODES:
            return status, answer
        headers = {**headers, "content-type": "application/json"}
        body = json.dumps(dict(parse_qsl(body)))
        return await fetch_json(self.transport, httpx.Request("POST", url, headers=headers, content=body))

    def _authenticated(self, method: str, url: str, headers: dict[str, str], body: str) -> Any:
        """Add what authenticates the client to a request (RFC 6749 section 2.3, RFC 7523 section 2.2)."""
        from authlib.oauth2.auth import ClientAuth

        client = self.client
        if not client.id:
            return url, headers, body
        login: tuple[Any, ...] = client.id, client.secret, method
        if method == "private_key_jwt":
            from authlib.oauth2.rfc7523 import PrivateKeyJWT

            key = client.key
            algorithm = key.get("alg") or ALGORITHMS[key.get("crv") or key.key_type]
            login = client.id, key, PrivateKeyJWT(url, headers={"kid": key.kid} if key.kid else {}, alg=algorithm)
        elif method == "client_secret_basic":  # both are encoded as in a form
            login = quote_plus(client.id), quote_plus(client.secret), method
        return ClientAuth(*login).prepare("POST", url, headers, body)


class Refused(TokenError):
    """An authorization server answered with an error; `code` is what it calls the error, "" if nothing."""

    def __init__(self, url: str, status: int, answer: Mapping[str, Any], transport: Transport) -> None:
        self.code = str(answer.get("error") or "")
        words = " ".join(str(answer[key]) for key in ERROR_FIELDS if answer.get(key))
        words = printable(transport.redact(words))[:MAX_PROVIDER_WORDS] or "without a token" * (status < 400)
        problem = f"answered {status}{f' {words}' * bool(words)}"
        remedy = REMEDIES_BY_ERROR.get(self.code, "Check {oauth_token_url} and the OAUTH_ variables.")
        options = {field: how_to_set(transport.api, field) for field in ("oauth_scopes", "oauth_token_url")}
        super().__init__(
            f"Nothing was sent: no token was obtained, because {shown_url(url)} {problem}. {remedy.format(**options)}"
        )


async def discover(transport: Transport, endpoints: Endpoints, base_url: str) -> Endpoints:
    """Add the metadata of the provider, if one is known. Raises TokenError if it cannot be read."""
    if "metadata" not in endpoints.of_kind:
        return endpoints
    metadata = endpoints["metadata"]
    metadata.require_trust(base_url)
    for url in metadata_urls(metadata.url):
        request = httpx.Request("GET", url, headers={"accept": "application/json"})
        status, answer = await fetch_json(transport, request)
        if status == 200 and answer:
            return with_metadata(endpoints, answer)
    raise TokenError(
        f"Nothing was sent: {shown_url(metadata.url)} has no metadata of an OpenID provider or authorization server. "
        f"Correct {how_to_set(transport.api, 'oauth_issuer')}, or set {how_to_set(transport.api, 'oauth_token_url')}."
    )


async def fetch_json(transport: Transport, request: httpx.Request) -> tuple[int, dict[str, Any]]:
    """Return the status of an answer and its JSON object, {} if it is something else. Raises TokenError."""
    body = b""
    try:
        async with transport.exchange(request) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_TOKEN_ANSWER:
                    raise TooLarge(MAX_TOKEN_ANSWER)
    except EXCHANGE_FAILURES as error:
        problem = explain_failure(error, request.url.host, transport.timeouts, api=transport.api)
        raise TokenError(f"Nothing was sent: no token was obtained, because {problem}.") from error
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    return response.status_code, answer if isinstance(answer, dict) else {}


def as_expiring(answer: Mapping[str, Any], requested: frozenset[str] | None, refresh: str = "") -> Expiring:
    """Return the token of an answer (RFC 6749 section 5.1); `refresh` is the refresh token that stays valid."""
    seconds = answer.get("expires_in")
    try:
        lifetime = float(seconds) if seconds is not None else None
    except (TypeError, ValueError):
        lifetime = None
    scope = answer.get("scope")
    granted = frozenset(re.split(r"[\s,]+", scope)) - {""} if isinstance(scope, str) else requested  # some have commas
    kept = answer.get("refresh_token")
    return Expiring.of(str(answer["access_token"]), lifetime, granted, kept if isinstance(kept, str) else refresh)


def secrets_of(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets in the answer of a token or device endpoint."""
    for name in ("access_token", "refresh_token", "id_token", "device_code"):
        if isinstance(answer.get(name), str):
            yield answer[name]

"""Who may call over HTTP: bearer tokens, verified by FastMCP's authentication, and the caller that each stands for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fastmcp.server.auth import AccessToken, AuthProvider, MultiAuth, TokenVerifier
from fastmcp.server.auth.providers.jwt import JWTVerifier
from key_value.aio.protocols.key_value import AsyncKeyValue

from portkey_bridge.callers.roles import roles_of
from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.serving import Role
from portkey_bridge.web.access_tokens import accept_access_tokens
from portkey_bridge.web.providers import provider_of

#: The issuer that callers with a static token have; no URL, so no other issuer can have it.
STATIC = "token"

#: FastMCP's claim with the issuer of the identity assertion that a token was issued for.
VOUCHED_BY = "assertion_iss"


class StaticToken(AccessToken):
    """A token of `--tokens`: its caller has the name that stands there, which no other issuer can assert."""


class StaticTokens(TokenVerifier):
    """Accepts the tokens with these SHA-256 digests; `digests` are by the names of callers.

    Whoever has one needs nothing else, so they have all `scopes` that are required of other tokens.
    """

    def __init__(self, digests: Mapping[str, str], scopes: Iterable[str]) -> None:
        super().__init__()
        self._digests, self._scopes = digests, [*scopes]

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return whom a token stands for, or None. All digests are compared, in constant time."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        if not found:
            return None
        claims = {"iss": STATIC, "sub": found[0]}
        return StaticToken(token=token, client_id=found[0], scopes=self._scopes, claims=claims)


def authentication(settings: Settings, storage: AsyncKeyValue) -> AuthProvider | None:
    """Return what verifies inbound tokens, or None if none are required. Raises SettingsError.

    A provider of `[serve.auth]` keeps its clients and their logins in the storage.
    """
    verifiers: dict[str, TokenVerifier] = {}
    server = provider_of(settings.auth, storage) if settings.auth else None
    if settings.tokens:
        verifiers["static"] = StaticTokens(dict(settings.tokens), server.required_scopes if server else ())
    if settings.jwt:
        keys, issuer, audience = settings.jwt
        verifiers["jwt"] = verifier = JWTVerifier(jwks_uri=keys, issuer=issuer, audience=audience)
        accept_access_tokens(verifier)
    if server is None and len(verifiers) < 2:
        return next(iter(verifiers.values()), None)
    return MultiAuth(server=server, verifiers=verifiers) if verifiers else server


@dataclass(frozen=True)
class Callers:
    """Determines callers. `key` is that of the digests that stand for credentials: one for all servers of a store."""

    key: bytes = field(repr=False)
    roles: Sequence[Role] = ()

    def of(self, token: AccessToken | None, passed: tuple[str, str] | None) -> Caller:
        """Return the caller of a request: of its verified token, else of the credential that it passes through.

        `passed` are the name and value of the header that is passed through, if the request has it.
        """
        headers = dict([passed]) if passed else {}
        if token is not None:
            is_static = isinstance(token, StaticToken)
            scopes = frozenset[str]() if is_static else frozenset(token.scopes)
            roles = roles_of(self.roles, token.client_id if is_static else None, scopes, token.claims)
            return Caller(_subject(token), scopes, headers, roles, None if is_static else token.token)
        everyones = roles_of(self.roles, None, (), {})
        if passed:
            digest = hmac.digest(self.key, passed[1].encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
            return Caller(f"credential {digest}", headers=headers, roles=everyones)
        return replace(LOCAL, roles=everyones) if everyones else LOCAL


def _subject(token: AccessToken) -> str:
    """Return whom a token stands for: a subject of its issuer, or a client of it that acts for itself.

    The two are told apart, since a client may be called like somebody else's subject (RFC 9068 section 5). So are
    equal subjects whom different organizations vouch for, in tokens that this server has issued to both.
    """
    issuer, subject = token.claims.get("iss", ""), token.claims.get("sub")
    if VOUCHED_BY in token.claims:
        issuer = f"{issuer} {token.claims[VOUCHED_BY]}"
    return f"{issuer} {subject}" if subject else f"client {issuer} {token.client_id}"

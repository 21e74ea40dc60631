"""Who may call over HTTP: bearer tokens, verified by FastMCP's authentication, and the caller that each stands for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from fastmcp.server.auth import AccessToken, AuthProvider, MultiAuth, TokenVerifier
from fastmcp.server.auth.providers.jwt import JWTVerifier

from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.settings.options import Settings

#: The issuer that callers with a static token have; no URL, so no other issuer can have it.
STATIC = "token"


class StaticTokens(TokenVerifier):
    """Accepts the tokens with these SHA-256 digests; `digests` are by the names of callers."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        super().__init__()
        self._digests = digests

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return whom a token stands for, or None. All digests are compared, in constant time."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        if not found:
            return None
        claims = {"iss": STATIC, "sub": found[0]}
        return AccessToken(token=token, client_id=found[0], scopes=[], claims=claims)


def authentication(settings: Settings) -> AuthProvider | None:
    """Return what verifies inbound tokens, or None if none are required."""
    verifiers: list[TokenVerifier] = [StaticTokens(dict(settings.tokens))] if settings.tokens else []
    if settings.jwt:
        keys, issuer, audience = settings.jwt
        verifiers.append(JWTVerifier(jwks_uri=keys, issuer=issuer, audience=audience))
    if len(verifiers) < 2:
        return verifiers[0] if verifiers else None
    return MultiAuth(verifiers={"static": verifiers[0], "jwt": verifiers[1]})


def caller_of(token: AccessToken | None, passed: tuple[str, str] | None, key: bytes) -> Caller:
    """Return the caller of a request: of its verified token, else of the credential that it passes through.

    `passed` are the name and value of the header that is passed through, if the request has it. `key` is that of the
    digests that stand for credentials; all servers that share a store have the same.
    """
    headers = dict([passed]) if passed else {}
    if token is not None:
        subject = f"{token.claims.get('iss', '')} {token.claims.get('sub') or token.client_id}"
        return Caller(subject, frozenset(token.scopes), headers)
    if passed:
        digest = hmac.digest(key, passed[1].encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
        return Caller(f"credential {digest}", headers=headers)
    return LOCAL

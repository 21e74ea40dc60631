"""JSON Web Tokens as access tokens: an ID token says who somebody is, and does not open this server (RFC 8725 3.12)."""

from __future__ import annotations

from typing import Any

from fastmcp.server.auth import AccessToken
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.utilities.auth import decode_jwt_header

#: The types in the header of a token that say that it is an access token (RFC 9068 section 2.1).
ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})

#: Claims of ID tokens alone (OpenID Connect Core sections 2, 3.1.3.6 and 3.3.2.11).
ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash"})

#: The values by which Keycloak tells its tokens apart in the claim `typ`: before version 25, both had a nonce.
IS_ID_TOKEN = {"ID": True, "Bearer": False}


class AccessTokens(JWTVerifier):
    """Verifies JSON Web Tokens, and refuses ID tokens, which may have the same issuer and audience."""

    async def load_access_token(self, token: str) -> AccessToken | None:
        """Return whom a token stands for, or None."""
        try:
            found = await super().load_access_token(token)
        except RecursionError:  # of a header that is nested too deep, which anybody can send
            return None
        return None if found is None or _is_id_token(decode_jwt_header(token), found.claims) else found


def _is_id_token(header: dict[str, Any], claims: dict[str, Any]) -> bool:
    if str(header.get("typ", "")).lower() in ACCESS_TOKEN_TYPES:
        return False
    return IS_ID_TOKEN.get(str(claims.get("typ")), not ID_TOKEN_CLAIMS.isdisjoint(claims))

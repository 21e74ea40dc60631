"""JSON Web Tokens as access tokens: an ID token says who somebody is, and does not open this server (RFC 8725 3.12).

Neither does a token without an end (RFC 9068 section 2.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
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


Verify = Callable[[str], Awaitable[AccessToken | None]]


def accept_access_tokens(verifier: JWTVerifier) -> None:
    """Have a verifier accept access tokens alone: ID tokens may have the same issuer and audience."""
    verifier.verify_token = partial(_verified, verifier.verify_token)  # type: ignore[method-assign]


async def _verified(verify: Verify, token: str) -> AccessToken | None:
    try:
        found = await verify(token)
    except RecursionError:  # of a header that is nested too deep, which anybody can send
        return None
    if found is None or found.expires_at is None or _is_id_token(decode_jwt_header(token), found.claims):
        return None
    return found


def _is_id_token(header: dict[str, Any], claims: dict[str, Any]) -> bool:
    if str(header.get("typ", "")).lower() in ACCESS_TOKEN_TYPES:
        return False
    return IS_ID_TOKEN.get(str(claims.get("typ")), not ID_TOKEN_CLAIMS.isdisjoint(claims))

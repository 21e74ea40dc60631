"""Which credentials an operation takes, and where they go in a request."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain, product

from portkey_bridge.credentials.variables import Security, variable, variables
from portkey_bridge.errors import CallError
from portkey_bridge.openapi.model import Place, SecurityScheme, place

#: Characters that end a cookie or that servers interpret differently (RFC 6265 section 4.1.1). Quotes are sent as is.
NOT_IN_COOKIE = re.compile(r"[\s;]|[^\x00-\x7f]")

#: Schemes whose credential is not sent itself (`credentials/signing`).
DIGEST, AWS = "digest", "aws4-hmac-sha256"
SIGNING = (DIGEST, AWS)


@dataclass(frozen=True)
class Credential:
    """A secret, and where it goes: `location` is `header`, `query` or `cookie`.

    One with a scheme in `signing` is not written there itself: what goes there is computed from the request.
    """

    variable: str
    location: str
    name: str
    value: str = field(repr=False)
    signing: str = ""

    @property
    def place(self) -> Place:
        """The place that this takes."""
        return place(self.location, self.name)

    @property
    def places(self) -> frozenset[Place]:
        """The places that no argument may take while this is sent: all cookies', where this is a header of cookies."""
        pairs = self.value.split(";") if self.place == COOKIES else ()
        return frozenset([self.place, *(place("cookie", pair.partition("=")[0].strip()) for pair in pairs)])


#: The place of all cookies, which a document may declare as a header, and that of most credentials.
COOKIES = place("header", "Cookie")
HEADER_OF_SCHEMES = place("header", "Authorization")


def stands_in(parameter: Place, credential: Place) -> bool:
    """Check whether a parameter would take the place of a credential.

    Gateways pass headers on as variables (RFC 3875 section 4.1.18), in which `_` is the same as `-`.
    """
    if parameter == COOKIES and credential[0] == "cookie":
        return True
    if parameter[0] != "header":
        return parameter == credential
    return (parameter[0], parameter[1].replace("_", "-")) == (credential[0], credential[1].replace("_", "-"))


def looks_like(name: str, other: str) -> bool:
    """Check whether a server may read a name that a caller chose as another one in a query or cookie.

    Some ignore case, and read `a.b`, `a b` and `a[]` as `a_b` or `a`.
    """
    return _as_some_read(name) == _as_some_read(other)


def _as_some_read(name: str) -> str:
    return re.sub(r"[ .]", "_", name.strip().partition("[")[0]).lower()


def places_of_secrets(security: Security) -> frozenset[Place]:
    """Return the places of everything that the alternatives name."""
    return frozenset(scheme.place for scheme in chain(*security))


def needs_credential(security: Security, secrets: Collection[str], filled: Collection[Place]) -> bool:
    """Check whether a credential is needed (OpenAPI 3.2 section 4.30) and there is none.

    There is one if a variable is set or an argument replaces it: `secrets` are the variables that are set, and `filled`
    the places of arguments. What a person added is needed in any case.
    """
    names = variables(security)
    if not names or not all(security):
        return False
    if any(scheme.added and variable(scheme) not in secrets for scheme in chain(*security)):
        return True
    if any(name in secrets for name in names):
        return False
    return not any(
        stands_in(parameter, credential) for parameter, credential in product(filled, places_of_secrets(security))
    )


def credentials(security: Security, secrets: Mapping[str, str]) -> tuple[Credential, ...]:
    """Return every configured credential that the alternatives name.

    Where two claim the same place, the first satisfied alternative decides. Raises CallError for a value that would
    become several cookies, or none.
    """
    satisfied = [option for option in security if all(variable(scheme) in secrets for scheme in option)]
    found: dict[Place, Credential] = {}
    for scheme in chain(*satisfied, *security):
        name = variable(scheme)
        if name is not None and name in secrets:
            signing = scheme.scheme if scheme.scheme in SIGNING else ""
            written = secrets[name] if signing else _written(scheme, secrets[name])
            credential = Credential(name, scheme.location, scheme.name, written, signing)
            found.setdefault(credential.place, credential)
    return tuple(found.values())


def incomplete(security: Security, secrets: Mapping[str, str]) -> list[str]:
    """Return what the values of variables seem to lack, one sentence each."""
    schemes = {name: scheme for scheme in chain(*security) if (name := variable(scheme)) in secrets and name}
    bare = [name for name, it in schemes.items() if it.type == "apiKey" and it.place == HEADER_OF_SCHEMES]
    logins = [name for name, it in schemes.items() if it.scheme == "basic"]
    return [
        *(
            f"{name} is sent as the whole header Authorization, and has no scheme: if the API wants one, set {name} to "
            "a value such as `Bearer …`."
            for name in bare
            if " " not in secrets[name]
        ),
        *(
            f"{name} has no colon: set it to user:password, or to `key:` for a key without a password."
            for name in logins
            if ":" not in secrets[name]
        ),
    ]


def _written(scheme: SecurityScheme, secret: str) -> str:
    """Write the secret as the scheme wants it (RFC 6750 section 2.1, RFC 7617 section 2).

    The document's own spelling counts where it has capitals: some servers compare the name of a scheme exactly.
    """
    if scheme.location == "cookie" and NOT_IN_COOKIE.search(secret):
        raise CallError(
            f"Nothing was sent: {variable(scheme)} is sent as a cookie, but contains a blank, a semicolon or a "
            "character beyond ASCII. Set it to the bare value of the cookie, as browsers show it, and start "
            "portkey-bridge again."
        )
    if scheme.type == "apiKey":
        return secret
    if scheme.scheme == "basic":
        secret = base64_text(secret)
    is_spelt = scheme.spelling != scheme.spelling.lower()
    return f"{scheme.spelling if is_spelt else scheme.scheme.capitalize()} {secret}"


def base64_text(secret: str) -> str:
    """Return a secret in UTF-8 and base64."""
    return base64.b64encode(secret.encode()).decode()

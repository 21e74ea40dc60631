"""Which OAuth 2 grant the configured variables permit, and which scopes are needed and granted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from portkey_bridge.credentials.variables import TOKEN_TYPES, Security
from portkey_bridge.openapi.model import Operation, SecurityScheme
from portkey_bridge.settings.options import Settings

#: Grants (RFC 6749 sections 4 and 6), the first that can be used first: the type, the flow of the document that has its
#: endpoint, the variables that must be set, and the parameters that they become.
GRANTS = (
    ("refresh_token", "authorizationCode", ("OAUTH_REFRESH_TOKEN",), ("refresh_token",)),
    ("password", "password", ("OAUTH_USERNAME", "OAUTH_PASSWORD"), ("username", "password")),
    ("client_credentials", "clientCredentials", ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"), ()),
    ("client_credentials", "clientCredentials", ("OAUTH_CLIENT_ID", "OAUTH_PRIVATE_KEY"), ()),
)

#: Scopes of OpenID Connect (Core section 5.4 and 11), which imply no others.
OPENID_SCOPES = frozenset(("openid", "profile", "email", "address", "phone", "offline_access"))


@dataclass(frozen=True)
class Grant:
    """How a token is obtained: the type and the parameters of the request, and the flow that has its endpoint."""

    type: str
    flow: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


def takes_token(security: Security) -> bool:
    """Check whether any of the alternatives has a scheme whose token can be obtained."""
    return any(scheme.type in TOKEN_TYPES for scheme in chain(*security))


def grant_of(scheme: SecurityScheme, values: Mapping[str, str], settings: Settings) -> Grant | None:
    """Return the first grant whose variables are set, and that the scheme offers."""
    for kind, flow, names, parameters in GRANTS:
        if all(name in values for name in names) and _is_offered(kind, flow, scheme, settings):
            return Grant(kind, flow, dict(zip(parameters, (values[name] for name in names), strict=False)))
    return None


def variables_of_grants(scheme: SecurityScheme, settings: Settings) -> Iterator[tuple[str, ...]]:
    """Yield the variables that a token of the scheme can be obtained with, one tuple for each way."""
    for kind, flow, names, _ in GRANTS:
        if _is_offered(kind, flow, scheme, settings):
            yield names


def _is_offered(kind: str, flow: str, scheme: SecurityScheme, settings: Settings) -> bool:
    """Check whether a scheme offers a grant. A document whose only flows are for people wants a person's token."""
    if scheme.openid_connect_url or settings.oauth_token_url or settings.oauth_issuer:
        return True
    flows = {each.name for each in scheme.flows}
    return flow in flows or (kind == "refresh_token" and bool(flows))


def is_for_people(scheme: SecurityScheme, settings: Settings) -> bool:
    """Check whether a person can log in: with a browser, or with a code for another device."""
    named = (settings.oauth_authorization_url, settings.oauth_device_url, settings.oauth_issuer)
    urls = (url for flow in scheme.flows for url in (flow.authorization_url, flow.device_authorization_url))
    return any(named) or bool(scheme.openid_connect_url) or any(urls)


def wanted_scopes(operations: Iterable[Operation]) -> dict[str, tuple[str, ...]]:
    """Return the scopes that the operations need of each scheme, by its key."""
    wanted: dict[str, dict[str, None]] = {}
    for operation in operations:
        for scheme in chain(*operation.security):
            wanted.setdefault(scheme.key, {}).update(dict.fromkeys(scheme.scopes))
    return {key: tuple(scopes) for key, scopes in wanted.items()}


def missing_scopes(scheme: SecurityScheme, granted: frozenset[str] | None) -> tuple[str, ...]:
    """Return the scopes that an operation needs and that a token certainly does not have.

    A granted scope that the document does not know may imply any other, so then nothing is certain.
    """
    if granted is None:
        return ()
    known = OPENID_SCOPES.union(scheme.scopes, *(flow.scopes for flow in scheme.flows))
    if not granted <= known:
        return ()
    return tuple(scope for scope in scheme.scopes if scope not in granted)

"""Where OAuth 2 tokens are obtained: endpoints that the document, a provider's metadata or the person names.

Client secrets, passwords and codes are sent only to the API's own origin, or to what the person named: each endpoint
knows whether they did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from portkey_bridge.errors import TokenError
from portkey_bridge.http.policy import origin
from portkey_bridge.openapi.model import SecurityScheme
from portkey_bridge.settings.options import Settings, how_to_set
from portkey_bridge.text import is_sendable, origin_of, shown_url

#: Kinds of endpoints: the field of a provider's metadata (RFC 8414 section 2, RFC 8628 section 4), and the option.
ENDPOINT_KINDS = {
    "token": ("token_endpoint", "oauth_token_url"),
    "authorization": ("authorization_endpoint", "oauth_authorization_url"),
    "device": ("device_authorization_endpoint", "oauth_device_url"),
    "revocation": ("revocation_endpoint", "oauth_issuer"),
    "metadata": ("", "oauth_issuer"),
}


@dataclass(frozen=True)
class Endpoint:
    """The URL of an endpoint. `is_named` is whether the person named it, or the provider whose metadata has it."""

    kind: str
    url: str
    is_named: bool = False

    def require_trust(self, base_url: str) -> None:
        """Check that secrets may be sent here: the API's origin, or one that was named. Raises TokenError."""
        if self.is_named or origin(self.url) == origin(base_url):
            return
        option = ENDPOINT_KINDS[self.kind][1]
        shown = shown_url(self.url)
        raise TokenError(
            f"Nothing was sent: the {self.kind} endpoint {shown} is not on the origin of the API, "
            f"{shown_url(base_url)}, and you did not name it. If it is the right one, start portkey-bridge with "
            f"--{option.replace('_', '-')} {shown} (OPEN_MCP_{option.upper()})."
        )


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of an authorization server by their kinds, and what its metadata says about clients.

    `names_issuer` is whether each of its authorization responses says from whom it is, `api` the name of the API in a
    settings file, if there is one.
    """

    of_kind: Mapping[str, Endpoint]
    client_auth: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    issuer: str = ""
    names_issuer: bool = False
    api: str = ""

    def may_have_sent(self, issuer: str | None) -> bool:
        """Check whether an authorization response with this issuer is one of this server (RFC 9207 section 2.4).

        Where nobody vouches for the metadata, it is not taken at its word: the issuer is on the origin of the login.
        """
        if issuer is None:
            return not self.names_issuer
        login = self["authorization"]
        is_known = bool(self.issuer) and login.is_named
        return issuer == (self.issuer or issuer) and (is_known or origin_of(issuer) == origin_of(login.url))

    def __getitem__(self, kind: str) -> Endpoint:
        """Return the endpoint of a kind. Raises TokenError, which names the option that sets it."""
        if kind in self.of_kind:
            return self.of_kind[kind]
        options = (ENDPOINT_KINDS[kind][1], "oauth_issuer")
        names = [how_to_set(self.api, each) for each in options]
        raise TokenError(f"Nothing was sent: no {kind} endpoint is known. Set {', or '.join(names)}.")


def known_endpoints(scheme: SecurityScheme, flow: str, base_url: str, settings: Settings) -> Endpoints:
    """Return the endpoints that options and the document name; where several flows differ, those of `flow`."""
    found: dict[str, Endpoint] = {}
    for kind, url in _declared(scheme, flow):
        absolute = resolved(url, base_url)
        if absolute:
            found.setdefault(kind, Endpoint(kind, absolute))
    return Endpoints({**found, **_named(settings)}, api=settings.name)


def _named(settings: Settings) -> dict[str, Endpoint]:
    urls = {kind: getattr(settings, option) for kind, (_, option) in ENDPOINT_KINDS.items() if kind != "revocation"}
    return {kind: Endpoint(kind, url, is_named=True) for kind, url in urls.items() if url}


def _declared(scheme: SecurityScheme, flow: str) -> list[tuple[str, str]]:
    """Return the kinds and URLs in a scheme, those of the wanted flow first."""
    pairs = []
    for each in sorted(scheme.flows, key=lambda each: each.name != flow):
        pairs += [("token", each.token_url), ("authorization", each.authorization_url)]
        pairs += [("device", each.device_authorization_url)]
    return [*((kind, url) for kind, url in pairs if url), ("metadata", scheme.openid_connect_url)]


def resolved(url: str, base_url: str) -> str:
    """Return an API URL of the document as an absolute one (OpenAPI 3.2 section 4.2.3), or "" if it cannot be used.

    It is relative to the API as the paths of operations are.
    """
    try:
        absolute = urljoin(f"{base_url.rstrip('/')}/", url) if url else ""
        is_http = urlsplit(absolute).scheme in ("http", "https")
    except ValueError:
        return ""
    return absolute if is_http and is_sendable(absolute) else ""


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of a provider may be (OpenID Connect Discovery section 4, RFC 8414 section 3)."""
    if "/.well-known/" in issuer:
        return (issuer,)
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    openid = parts._replace(path=f"{path}/.well-known/openid-configuration")
    oauth = parts._replace(path=f"/.well-known/oauth-authorization-server{path}")
    return (openid.geturl(), oauth.geturl())


def with_metadata(endpoints: Endpoints, metadata: Mapping[str, Any]) -> Endpoints:
    """Add what the metadata of a provider says. An endpoint that the person named stays.

    Those of a provider that the person named count as named.
    """
    is_named = endpoints["metadata"].is_named
    found = {
        kind: Endpoint(kind, url, is_named)
        for kind, (name, _) in ENDPOINT_KINDS.items()
        if isinstance(url := metadata.get(name), str) and resolved(url, url)
    }
    named = {kind: endpoint for kind, endpoint in endpoints.of_kind.items() if endpoint.is_named}
    return replace(
        endpoints,
        of_kind={**endpoints.of_kind, **found, **named},
        client_auth=_texts(metadata.get("token_endpoint_auth_methods_supported")),
        scopes=_texts(metadata.get("scopes_supported")),
        issuer=str(metadata.get("issuer") or ""),
        names_issuer=metadata.get("authorization_response_iss_parameter_supported") is True,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

"""Security schemes and requirements of a document, in the form that credentials are sent by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from portkey_bridge.document.repairs import Repairs, summarize
from portkey_bridge.openapi.coercion import as_list, as_text, mapping
from portkey_bridge.openapi.model import Flow, SecurityScheme
from portkey_bridge.openapi.pointers import encode_token, object_at

#: Types of security schemes, in lower case, and the schemes of HTTP that they mean. In OpenAPI 3 `basic` and `bearer`
#: are schemes of the type `http`; many documents write them as types, as Swagger 2.0 has the first.
SECURITY_TYPES = {
    "apikey": ("apiKey", ""),
    "http": ("http", ""),
    "oauth2": ("oauth2", "bearer"),
    "openidconnect": ("openIdConnect", "bearer"),
    "mutualtls": ("mutualTLS", ""),
    "basic": ("http", "basic"),
    "bearer": ("http", "bearer"),
}

#: Schemes of HTTP whose names everybody reads in any case (RFC 7235 section 2.1).
REGISTERED = ("basic", "bearer", "digest")

#: Schemes of HTTP that documents call after what they are for, such as `bearerAuth`.
NAMED_AFTER_USE = re.compile(r"(basic|bearer|digest)[ _-]?(auth(entication|orization)?|token|jwt)", re.I)

#: How documents of Amazon's API Gateway declare signed requests, as an API key: a field, its value in lower case, and
#: the scheme of HTTP.
SIGNED = ("x-amazon-apigateway-authtype", "awssigv4", "aws4-hmac-sha256")

#: Where an API key may go (OpenAPI 3.2 section 4.27.1).
CREDENTIAL_LOCATIONS = frozenset({"query", "header", "cookie"})


class SecurityReader:
    """Reads the security of one document; what does not say how a credential is sent is reported to `repairs`."""

    def __init__(self, root: dict[str, Any], repairs: Repairs) -> None:
        self.root = root
        self.schemes = mapping(mapping(root.get("components")).get("securitySchemes"))
        self.repairs = repairs

    def security(self, requirements: Any, where: str) -> tuple[tuple[SecurityScheme, ...], ...]:
        """Return the alternatives of a list of Security Requirement Objects, each all schemes that it needs."""
        return tuple(
            tuple(
                replace(scheme, scopes=scopes)
                for key, scopes in _requirement(alternative)
                if (scheme := self._scheme(key, where))
            )
            for alternative in as_list(requirements)
        )

    def _scheme(self, key: str, where: str) -> SecurityScheme | None:
        """Return the scheme of a name, or of a URI (OpenAPI 3.2 section 4.30), which is a local pointer by now."""
        is_uri = key.startswith("#") and key not in self.schemes
        if scheme := object_at(self.root, {"$ref": key} if is_uri else self.schemes.get(key)):
            return self._read(key, scheme)
        self.repairs.add(f"no declaration for the security scheme {summarize(key)}; calls are sent without it", where)
        return None

    def _read(self, key: str, scheme: Mapping[str, Any]) -> SecurityScheme | None:
        """Return a Security Scheme Object as what says how its credential is sent; None if it does not say so."""
        kind, written = SECURITY_TYPES.get(as_text(scheme.get("type")).lower(), ("", ""))
        if as_text(scheme.get(SIGNED[0])).lower() == SIGNED[1]:
            kind, written = "http", SIGNED[2]
        spelling = as_text(scheme.get("scheme")).strip() if kind == "http" and not written else ""
        if named := NAMED_AFTER_USE.fullmatch(spelling):
            self.repairs.add(f"scheme {summarize(spelling)} read as {named[1].lower()}", _place_of(key))
            spelling = named[1]
        written = written or spelling.lower()
        of_key = as_text(scheme.get("in")).lower(), as_text(scheme.get("name"))
        location, name = of_key if kind == "apiKey" else ("header", "Authorization")
        if not kind or not name or location not in CREDENTIAL_LOCATIONS or (kind == "http" and not written):
            problem = f"the security scheme {summarize(key)} does not say how its credential is sent"
            self.repairs.add(f"{problem}; calls are sent without it", _place_of(key))
            return None
        return SecurityScheme(
            key,
            kind,
            location,
            name,
            written,
            spelling=spelling if written not in REGISTERED else "",
            flows=_flows(scheme),
            openid_connect_url=as_text(scheme.get("openIdConnectUrl")),
        )

    def declared(self) -> tuple[SecurityScheme, ...]:
        """Return all schemes that the document declares."""
        return tuple(scheme for key in self.schemes if (scheme := self._scheme(key, "")))


def _place_of(key: str) -> str:
    return key if key.startswith("#") else f"#/components/securitySchemes/{encode_token(key)}"


def _requirement(alternative: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the schemes of a Security Requirement Object, each with the scopes that are needed."""
    if isinstance(alternative, str):
        yield alternative, ()
    for key, scopes in mapping(alternative).items():
        yield key, tuple(scope for scope in as_list(scopes) if isinstance(scope, str))


def _flows(scheme: Mapping[str, Any]) -> tuple[Flow, ...]:
    """Return the flows of an OAuth 2 scheme in the document's order."""
    return tuple(
        Flow(
            name,
            as_text(flow.get("authorizationUrl")),
            as_text(flow.get("deviceAuthorizationUrl")),
            as_text(flow.get("tokenUrl")),
            as_text(flow.get("refreshUrl")),
            tuple(mapping(flow.get("scopes"))),
        )
        for name, value in mapping(scheme.get("flows")).items()
        if (flow := mapping(value))
    )

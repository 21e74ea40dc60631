"""The tables of the settings file about callers: who verifies them, `[serve.auth]`, and `[serve.roles]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from portkey_bridge.errors import SettingsError, likely

#: What begins the variables of `[serve.auth]`; `__` leads into a table inside of it.
AUTH, INSIDE = "OPEN_MCP_AUTH_", "__"

#: The key that names the provider.
PROVIDER = "provider"

#: The providers of inbound authentication: their names here, and FastMCP's classes below `fastmcp.server.auth`.
PROVIDERS: Mapping[str, str] = {
    "jwt": "providers.jwt:JWTVerifier",
    "introspection": "providers.introspection:IntrospectionTokenVerifier",
    "remote": "auth:RemoteAuthProvider",
    "oauth-proxy": "oauth_proxy:OAuthProxy",
    "oidc-proxy": "oidc_proxy:OIDCProxy",
    "auth0": "providers.auth0:Auth0Provider",
    "auth0-mcp": "providers.auth0:Auth0MCPProvider",
    "authkit": "providers.workos:AuthKitProvider",
    "aws-cognito": "providers.aws:AWSCognitoProvider",
    "azure": "providers.azure:AzureProvider",
    "clerk": "providers.clerk:ClerkProvider",
    "descope": "providers.descope:DescopeProvider",
    "discord": "providers.discord:DiscordProvider",
    "github": "providers.github:GitHubProvider",
    "google": "providers.google:GoogleProvider",
    "huggingface": "providers.huggingface:HuggingFaceProvider",
    "keycloak": "providers.keycloak:KeycloakAuthProvider",
    "oci": "providers.oci:OCIProvider",
    "propelauth": "providers.propelauth:PropelAuthProvider",
    "scalekit": "providers.scalekit:ScalekitProvider",
    "supabase": "providers.supabase:SupabaseProvider",
    "workos": "providers.workos:WorkOSProvider",
}

_TEXTS = {"type": "array", "items": {"type": "string"}}

#: The JSON Schema of `[serve.auth]`. What else a provider takes is known only to its class.
AUTH_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "who verifies callers over HTTP; the other keys are those of the provider",
    "properties": {PROVIDER: {"enum": [*PROVIDERS]}},
    "required": [PROVIDER],
}

#: The JSON Schemas of the keys of a role.
ROLE_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "scopes": {**_TEXTS, "description": "callers whose token has one of these scopes have the role"},
    "callers": {**_TEXTS, "description": "names of --tokens that have the role"},
    "claims": {
        "type": "object",
        "additionalProperties": {"type": ["string", "array"], "items": {"type": "string"}},
        "description": 'callers whose token has one of these values in a claim, such as groups = ["admins"]',
    },
    "tools": {**_TEXTS, "description": "tools that the role may use; * matches any characters (default: all)"},
    "exclude": {**_TEXTS, "description": "tools that it may not use"},
    "tag": {**_TEXTS, "description": "it may use only tools with one of these tags"},
    "read_only": {"type": "boolean", "description": "it may use only tools that change nothing"},
}

ROLES_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "which callers may use which tools over HTTP; without any role, all may use all",
    "additionalProperties": {"type": "object", "properties": ROLE_SCHEMAS, "additionalProperties": False},
}


@dataclass(frozen=True)
class Role:
    """Which callers have it, by scope, name or claim (all of them if none is set), and which tools they may use."""

    name: str
    scopes: frozenset[str] = frozenset()
    callers: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def is_everyones(self) -> bool:
        """Whether every caller has it."""
        return not (self.scopes or self.callers or self.claims)


def auth_of_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what variables say of `[serve.auth]`, as the table would have it."""
    table: dict[str, Any] = {}
    for name, value in environ.items():
        *above, key = name.removeprefix(AUTH).lower().split(INSIDE)
        if name.startswith(AUTH) and value:
            inside = table
            for each in above:
                inside = inside.setdefault(each, {})
            inside[key] = value
    return table


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one; where both have a value, it is that of `above`."""
    both = {key: merged(below[key], value) for key, value in above.items() if _are_tables(below.get(key), value)}
    return {**below, **above, **both}


def _are_tables(*values: object) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def role_of(name: str, table: Mapping[str, Any], place: str) -> Role:
    """Return the role that a table describes. Raises SettingsError, with the place of the table in the file."""
    values = {key: _value(key, value, place) for key, value in table.items()}
    return Role(name, **values)


def _value(key: str, value: Any, place: str) -> Any:
    kinds = {each.name: str(each.type) for each in fields(Role)}
    if key not in ROLE_SCHEMAS:
        raise SettingsError(f"{place}: unknown key {key!r}; {likely(key, ROLE_SCHEMAS)}")
    if key == "read_only":
        if not isinstance(value, bool):
            raise SettingsError(f"{place}: read_only must be true or false.")
        return value
    if key == "claims":
        if not isinstance(value, dict):
            raise SettingsError(f"{place}: claims must be a table of claims with their values.")
        return {claim: frozenset(_texts(claim, each, place)) for claim, each in value.items()}
    found = tuple(_texts(key, value, place))
    return frozenset(found) if kinds[key].startswith("frozenset") else found


def _texts(key: str, value: Any, place: str) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) and each for each in values):
        raise SettingsError(f"{place}: {key} must be a list of texts, and not empty.")
    yield from values

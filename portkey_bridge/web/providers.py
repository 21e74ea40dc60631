"""FastMCP's providers of inbound authentication, made from the table `[serve.auth]`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, get_args, get_type_hints

from fastmcp.server.auth import AuthProvider, IdentityAssertion
from fastmcp.server.auth.providers.jwt import JWTVerifier
from key_value.aio.protocols.key_value import AsyncKeyValue
from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from portkey_bridge.errors import SettingsError, likely
from portkey_bridge.settings.serving import AUTH, INSIDE, PROVIDER, PROVIDERS
from portkey_bridge.web.access_tokens import accept_access_tokens

#: What a provider needs although its class can do without: else it accepts tokens that were issued for others.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "jwt": ("issuer", "audience"),
    "keycloak": ("audience",),
}

#: Parameters that no text can describe, and the one that this server fills in.
OBJECTS = frozenset({"http_client", "client_registration_options", "revocation_options"})
STORAGE = "client_storage"

#: The parameter that is a provider of its own, and types that say more than the declared ones.
VERIFIER = "token_verifier"
OF_KEY: Mapping[str, Any] = {"identity_assertion": IdentityAssertion}

TABLE = "serve.auth"


def provider_of(table: Mapping[str, Any], storage: AsyncKeyValue, name: str = TABLE) -> AuthProvider:
    """Return the provider that a table of that name describes, which keeps its clients and logins in the storage.

    Raises SettingsError, which names what is missing or unknown and contains no secret.
    """
    provider = str(table.get(PROVIDER, ""))
    if provider not in PROVIDERS:
        raise SettingsError(f"[{name}]: {_unknown(provider)}")
    cls = _class(provider)
    kinds = _kinds(cls)
    for key in table:
        if key not in (PROVIDER, *kinds) or key == STORAGE:
            hint = likely(key, sorted({*kinds} - {STORAGE}))
            raise SettingsError(f"[{name}]: {provider} does not take {key!r}; {hint}")
    missing = [key for key in (*_required(cls), *NEEDED.get(provider, ())) if key not in table]
    if missing:
        prefix = _variable_prefix(name)
        variables = ", ".join(f"{prefix}{key.upper()}" for key in missing)
        raise SettingsError(
            f"[{name}]: {provider} needs {', '.join(missing)}. Set {'it' if len(missing) == 1 else 'them'} there, or "
            f"as {variables}."
        )
    given = {key: _value(key, value, kinds[key], storage, name) for key, value in table.items() if key != PROVIDER}
    kept = {STORAGE: storage} if STORAGE in kinds else {}
    try:
        made: AuthProvider = cls(**given, **kept)
    except Exception as error:  # what a class raises is not declared, and OIDC providers fetch their configuration
        words = _problems(error) if isinstance(error, ValidationError) else str(error) or type(error).__name__
        reason = _without_secrets(words, table)
        raise SettingsError(f"[{name}]: {provider} cannot be used: {reason}") from error
    for verifier in (made, getattr(made, VERIFIER, None)):
        if isinstance(verifier, JWTVerifier):
            accept_access_tokens(verifier)
    return made


def _unknown(provider: str) -> str:
    if not provider:
        return f"name the provider, or set {AUTH}{PROVIDER.upper()}. There are {', '.join(PROVIDERS)}."
    return f"unknown provider {provider!r}; {likely(provider, PROVIDERS)}"


def _class(provider: str) -> Any:
    module, _, name = PROVIDERS[provider].partition(":")
    return getattr(import_module(f"fastmcp.server.auth.{module}"), name)


@cache
def _kinds(cls: Any) -> dict[str, Any]:
    """Return the types of what a class takes, without what only a program could give to it."""
    hints = get_type_hints(cls.__init__, localns={"AnyHttpUrl": AnyHttpUrl, "AsyncKeyValue": AsyncKeyValue})
    parameters = inspect.signature(cls.__init__).parameters
    return {name: hints.get(name, Any) for name in parameters if name != "self" and name not in OBJECTS}


def _required(cls: Any) -> list[str]:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [each.name for each in parameters if each.default is each.empty and each.name != "self"]


def _value(key: str, value: Any, kind: Any, storage: AsyncKeyValue, name: str) -> Any:
    """Return a value of a table as its class wants it. Raises SettingsError without the value."""
    inside = f"{name}.{key}"
    if key == VERIFIER:
        if not isinstance(value, Mapping):
            raise SettingsError(f"[{name}]: {key} must be a table with a provider of its own, [{inside}].")
        return provider_of(value, storage, inside)
    if isinstance(value, str) and "list[" in str(kind) and "str |" not in str(kind).partition("list[")[0]:
        value = [each.strip() for each in value.split(",") if each.strip()]  # from a variable
    is_url = AnyHttpUrl in get_args(kind) and isinstance(value, str)  # the other type is any text
    adapter: TypeAdapter[Any] = TypeAdapter(AnyHttpUrl if is_url else OF_KEY.get(key, kind))
    try:
        found = adapter.validate_python(value)
    except ValidationError as error:
        raise SettingsError(f"[{name}]: {_problems(error, key)}.") from None
    return value if is_url else found


def _problems(error: ValidationError, *keys: str) -> str:
    """Return what does not fit, without the values."""
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, (*keys, *each['loc'])))}: {each['msg']}" for each in found)


def _variable_prefix(name: str) -> str:
    inside = name.removeprefix(TABLE).strip(".")
    return AUTH + "".join(f"{each.upper()}{INSIDE}" for each in inside.split(".") if each)


def _without_secrets(text: str, table: Mapping[str, Any]) -> str:
    """Return an error without the values of secrets that it may repeat."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            text = _without_secrets(text, value)
        elif isinstance(value, str) and value and ("secret" in key or "key" in key):
            text = text.replace(value, f"[{key}]")
    return text

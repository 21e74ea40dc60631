"""The environment variable of each security scheme, and the values that are set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from portkey_bridge.credentials.withheld import why_withheld
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.model import SecurityScheme
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import AWS_SECRET, SERVER_VARIABLE_PREFIX, as_variable

Security = tuple[tuple[SecurityScheme, ...], ...]
"""Alternatives; the schemes of one are used together, and an empty one means that none is needed."""


#: The variable of a scheme that has no name of its own.
VARIABLES_BY_SCHEME = {
    ("http", "bearer"): "API_KEY",
    ("http", "basic"): "BASIC_AUTH",
    ("http", "aws4-hmac-sha256"): AWS_SECRET,
    ("oauth2", "bearer"): "OAUTH_TOKEN",
    ("openIdConnect", "bearer"): "OPENID_TOKEN",
}

#: Names of arguments and variables that are those of a secret, whatever else they say.
SECRET_NAMES = re.compile(r"(?i).*(pass|pwd|secret|token|key|credential|otp).*")

#: A reference to a variable, in the syntax of a client that should have replaced it with the variable's value.
UNEXPANDED_REFERENCE = re.compile(r"\$\{\{?\s*(?:env:|secrets\.|input:)?[A-Za-z_]\w*\s*\}|\{env:[A-Za-z_]\w*\}")

#: Types of security schemes whose credential is a token that can be obtained.
TOKEN_TYPES = ("oauth2", "openIdConnect")

#: Variables that tokens of OAuth 2 are obtained with.
PRIVATE_KEY = "OAUTH_PRIVATE_KEY"
OAUTH_VARIABLES = (
    *("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", PRIVATE_KEY, "OAUTH_USERNAME", "OAUTH_PASSWORD"),
    "OAUTH_REFRESH_TOKEN",
)

#: Those of them that are secret and that are sent.
OAUTH_SECRETS = ("OAUTH_CLIENT_SECRET", "OAUTH_PASSWORD", "OAUTH_REFRESH_TOKEN")


def variable(scheme: SecurityScheme) -> str | None:
    """Return the environment variable of a security scheme, or None for one that takes no variable (mutual TLS)."""
    return scheme.variable or usual_variable(scheme)


def usual_variable(scheme: SecurityScheme) -> str | None:
    """Return the variable of a security scheme that shares it with no other."""
    if scheme.type == "apiKey":
        return as_variable(scheme.name) or None
    if scheme.type == "http" and ("http", scheme.scheme) not in VARIABLES_BY_SCHEME:
        return f"{re.sub(r'[^a-z0-9]+', '_', scheme.scheme).upper()}_AUTH"
    return VARIABLES_BY_SCHEME.get((scheme.type, scheme.scheme))


def secret_server_variables(settings: Settings) -> dict[str, str]:
    """Return the variables of the document's server URLs that are secrets by their names, with their values."""
    return {
        name: value
        for name, value in settings.server_variables.items()
        if SECRET_NAMES.fullmatch(name.removeprefix(SERVER_VARIABLE_PREFIX))
    }


def variables(security: Security) -> tuple[str, ...]:
    """Return the environment variables that any of the alternatives takes, sorted."""
    return tuple(sorted({name for scheme in chain(*security) if (name := variable(scheme))}))


def collect_secrets(names: Iterable[str], settings: Settings, document_uri: str) -> dict[str, str]:
    """Return the values of those variables that are set and that the document may have.

    A value with a reference that nothing replaced is not a credential. Raises SettingsError for a value that a header
    cannot contain.
    """
    secrets = {}
    for name in names:
        value = settings.environ.get(name, "").strip()
        if not value or is_unexpanded(name, settings) or why_withheld(name, settings, document_uri):
            continue
        if not value.isprintable():
            raise SettingsError(f"{name} contains a line break or control character. Set it to the bare credential.")
        secrets[name] = value
    return secrets


def collect_oauth(settings: Settings, document_uri: str) -> dict[str, str]:
    """Return the values of those variables that tokens are obtained with, are set, and the document may have.

    Raises SettingsError for a value that cannot be sent.
    """
    values = collect_secrets((name for name in OAUTH_VARIABLES if name != PRIVATE_KEY), settings, document_uri)
    key = settings.environ.get(PRIVATE_KEY, "").strip()  # has lines
    return {**values, PRIVATE_KEY: key} if key and not why_withheld(PRIVATE_KEY, settings, document_uri) else values


def is_unexpanded(name: str, settings: Settings) -> bool:
    """Check whether the value of a variable contains a reference that a client passed on as it is."""
    return UNEXPANDED_REFERENCE.search(settings.environ.get(name, "")) is not None

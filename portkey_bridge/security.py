"""Which credentials an operation takes, under which environment variables, and where they go in a request."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain, product
from urllib.parse import quote, quote_plus

from portkey_bridge.errors import CallError, SettingsError
from portkey_bridge.operations import Place, SecurityScheme, place
from portkey_bridge.settings import Settings, as_variable
from portkey_bridge.sources import is_url

Security = tuple[tuple[SecurityScheme, ...], ...]
"""Alternatives; the schemes of one are used together, and an empty one means that none is needed."""

#: The variable of a scheme that has no name of its own.
VARIABLES = {
    ("http", "bearer"): "API_KEY",
    ("http", "basic"): "BASIC_AUTH",
    ("oauth2", "bearer"): "OAUTH_TOKEN",
    ("openIdConnect", "bearer"): "OPENID_TOKEN",
}

#: Variables that configure a machine, or are known as other products' secrets. A document gets them only when they are
#: named in OPEN_MCP_CREDENTIALS: it could have been written to ask for them.
NOT_FOR_DOCUMENTS = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "LANG", "LC_*", "TERM", "TMPDIR", "TEMP", "TMP", "EDITOR"),
    *("HOSTNAME", "DISPLAY", "MAIL", "XDG_*", "LD_*", "DYLD_*", "PYTHON*", "VIRTUAL_ENV", "NODE_*", "JAVA_*"),
    *("*_PROXY", "SSL_CERT_*", "SSH_*", "GPG_*", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMROOT", "WINDIR"),
    *("USERPROFILE", "OPEN_MCP_*", "FASTMCP_*", "PIP_*", "UV_*", "NPM_*", "TWINE_*", "CARGO_*", "PYPI_*"),
    *("AWS_*", "AZURE_*", "ARM_*", "GOOGLE_*", "GCP_*", "GCLOUD_*", "CLOUDSDK_*", "DIGITALOCEAN_*", "HEROKU_*"),
    *("CLOUDFLARE_*", "CF_API_*", "VAULT_*", "KUBECONFIG", "DOCKER_*", "TF_*", "CI_*", "VERCEL_*", "NETLIFY_*"),
    *("GITHUB_*", "GH_*", "GITLAB_*", "BITBUCKET_*", "JIRA_*", "SLACK_*", "DISCORD_*", "TELEGRAM_*", "TWILIO_*"),
    *("OPENAI_*", "ANTHROPIC_*", "GEMINI_*", "MISTRAL_*", "COHERE_*", "GROQ_*", "HF_*", "HUGGING*", "XAI_*"),
    *("STRIPE_*", "SENDGRID_*", "DATABASE_*", "POSTGRES*", "PG*", "MYSQL_*", "REDIS_*", "MONGO*", "SENTRY_*"),
    *("DATADOG_*", "DD_*", "NEW_RELIC_*", "SNYK_*", "SONAR_*"),
)


#: Characters from which on a value is taken out of everything that is shown: what is a credential for certain, and
#: what may be a word that answers contain for other reasons, such as a provider's name in the place of an API key.
SECRET_LENGTH, WORD_LENGTH = 8, 16

#: What ends a cookie, or what servers read in ways of their own (RFC 6265 section 4.1.1). Quotes are sent as they are.
NO_COOKIE = re.compile(r"[\s;]|[^\x00-\x7f]")

#: Encodings of two and four bytes a character, in which an answer may repeat a secret.
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


@dataclass(frozen=True)
class Credential:
    """A secret, and where it goes: `location` is `header`, `query` or `cookie`."""

    variable: str
    location: str
    name: str
    value: str = field(repr=False)

    @property
    def place(self) -> Place:
        """The place that this takes."""
        return place(self.location, self.name)

    @property
    def places(self) -> frozenset[Place]:
        """The places that no argument may take while this is sent: all cookies', where this is a header of cookies."""
        pairs = self.value.split(";") if self.place == COOKIES else ()
        return frozenset([self.place, *(place("cookie", pair.partition("=")[0].strip()) for pair in pairs)])


#: The place of all cookies, which a document may declare as a header.
COOKIES = place("header", "Cookie")


def stands_in(parameter: Place, credential: Place) -> bool:
    """Tell whether a parameter would take the place of a credential."""
    return parameter == credential or (parameter == COOKIES and credential[0] == "cookie")


def places(security: Security) -> frozenset[Place]:
    """Give the places of everything that the alternatives name."""
    return frozenset(scheme.place for scheme in chain(*security))


def variable(scheme: SecurityScheme) -> str | None:
    """Give the environment variable of a security scheme, or None for one that takes no variable (mutual TLS)."""
    if scheme.type == "apiKey":
        return as_variable(scheme.name) or None
    if scheme.type == "http" and ("http", scheme.scheme) not in VARIABLES:
        return f"{re.sub(r'[^a-z0-9]+', '_', scheme.scheme).upper()}_AUTH"
    return VARIABLES.get((scheme.type, scheme.scheme))


def variables(security: Security) -> tuple[str, ...]:
    """Give the environment variables that any of the alternatives takes, sorted."""
    return tuple(sorted({name for scheme in chain(*security) if (name := variable(scheme))}))


def collect_secrets(names: Iterable[str], settings: Settings, document_uri: str) -> dict[str, str]:
    """Give the values of those variables that are set and that the document may have.

    Raises SettingsError for a value that cannot stand in a header.
    """
    secrets = {}
    for name in names:
        value = settings.environ.get(name, "").strip()
        if not value or is_withheld(name, settings, document_uri):
            continue
        if not value.isprintable():
            raise SettingsError(f"{name} has a line break or control character in it. Set it to the bare credential.")
        secrets[name] = value
    return secrets


def is_withheld(name: str, settings: Settings, document_uri: str) -> bool:
    """Tell whether a variable is set and the document must not have it, unless OPEN_MCP_CREDENTIALS names it.

    A document on disk may have what is not somebody else's. What a URL answers may change any day, and could ask for
    whatever is set.
    """
    if name in settings.credentials or not settings.environ.get(name, "").strip():
        return False
    return is_url(document_uri) or any(fnmatchcase(name, pattern) for pattern in NOT_FOR_DOCUMENTS)


def needs_credential(security: Security, secrets: Mapping[str, str], filled: Collection[Place]) -> bool:
    """Tell whether a credential is needed (OpenAPI 3.2 section 4.30) and there is none.

    There is one where a variable is set, or where an argument stands in for it: `filled` are the places of arguments.
    """
    names = variables(security)
    if not names or not all(security) or any(name in secrets for name in names):
        return False
    return not any(stands_in(parameter, credential) for parameter, credential in product(filled, places(security)))


def credentials(security: Security, secrets: Mapping[str, str]) -> tuple[Credential, ...]:
    """Give every configured credential that the alternatives name.

    Where two claim the same place, the first satisfied alternative decides. Raises CallError for a value that would
    become several cookies, or none.
    """
    satisfied = [option for option in security if all(variable(scheme) in secrets for scheme in option)]
    found: dict[Place, Credential] = {}
    for scheme in chain(*satisfied, *security):
        name = variable(scheme)
        if name is not None and name in secrets:
            written = _written(scheme, secrets[name])
            credential = Credential(name, scheme.location, scheme.name, written)
            found.setdefault(credential.place, credential)
    return tuple(found.values())


def _written(scheme: SecurityScheme, secret: str) -> str:
    """Write the secret as the scheme wants it (RFC 6750 section 2.1, RFC 7617 section 2)."""
    if scheme.location == "cookie" and NO_COOKIE.search(secret):
        raise CallError(
            f"Nothing was sent: {variable(scheme)} is sent as a cookie, and has a blank, a semicolon or a character "
            "beyond ASCII in it. Set it to the bare value of the cookie, as a browser has it, and start portkey-bridge "
            "again."
        )
    if scheme.type == "apiKey":
        return secret
    if scheme.scheme == "basic":
        secret = _base64(secret)
    return f"{scheme.scheme.capitalize()} {secret}"


class Redactor:
    """Puts the variable's name in the place of each secret, in whatever form it was written."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        masks = {
            form: f"[{name}]"
            for name, value in sorted(secrets.items(), reverse=True)  # of equal secrets the first name counts
            for secret in _secrets_in(name, value)
            for form in _forms(secret)
        }
        # The longest first: one secret may be a part of another.
        self._masks = {form: masks[form] for form in sorted(masks, key=len, reverse=True)}

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        for form, mask in self._masks.items():
            text = text.replace(form, mask)
        return text

    def body(self, body: bytes) -> bytes:
        """Give the body without secrets; the same object if there are none in it."""
        for encoding in ("utf-8", *(WIDE if b"\0" in body else ())):
            for form, mask in self._masks.items():
                if (written := form.encode(encoding)) in body:
                    body = body.replace(written, mask.encode(encoding))
        return body


def _secrets_in(name: str, value: str) -> Iterator[str]:
    """Yield what is secret in the value of a variable: all of it, and the password of `user:password` alone."""
    is_certain = name in VARIABLES.values() or name.endswith("_AUTH") or any(map(str.isdigit, value))
    if len(value) >= (SECRET_LENGTH if is_certain else WORD_LENGTH):
        yield value
    password = value.partition(":")[2] if name == VARIABLES["http", "basic"] else ""
    if len(password) >= SECRET_LENGTH:
        yield password


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: plain, in a URL, a form, JSON, HTML, and as basic authentication."""
    encoded = quote(secret, safe="")
    in_json = json.dumps(secret)[1:-1]
    yield from (secret, encoded, re.sub("%..", lambda match: match[0].lower(), encoded), quote_plus(secret))
    yield from (in_json, in_json.replace("/", "\\/"), html.escape(secret), _base64(secret))


def _base64(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


def example_configuration(names: Iterable[str]) -> str:
    """Give the lines of a client's configuration that set these variables."""
    lines = ", ".join(f'"{name}": "…"' for name in names)
    return f'"portkey-bridge": {{"command": "uvx", "args": ["portkey-bridge"], "env": {{{lines}}}}}'

"""The servers of a document, and the values of their variables (OpenAPI 3.2 sections 4.5 and 4.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portkey_bridge.document.repairs import Repairs, summarize
from portkey_bridge.errors import SettingsError
from portkey_bridge.openapi.coercion import as_list, as_text, mapping
from portkey_bridge.openapi.model import TEMPLATE_VARIABLE, Server
from portkey_bridge.settings.values import SERVER_VARIABLE_PREFIX, as_variable
from portkey_bridge.text import is_url

#: A bare host, which is formally a relative URL; a document from disk, which has no host of its own, may write
#: `localhost` alone. And hosts that are reached without TLS: loopback and private ones, and names without a domain.
BARE_HOST = re.compile(
    r"(([\w-]+\.)+[A-Za-z]{2,}|(\d{1,3}\.){3}\d{1,3}|\[[\da-fA-F:.]+\]|[A-Za-z][\w-]*(?=:\d))(:\d+)?(/|$)"
)
BARE_HOST_FROM_DISK = re.compile(rf"{BARE_HOST.pattern}|localhost(/|$)")
LOCAL_HOST = re.compile(
    r"[\w-]+([:/]|$)|(127|10)\.\d|192\.168\.\d|172\.(1[6-9]|2\d|3[01])\.\d|\[(::1\]|f[cd]|fe[89ab])", re.IGNORECASE
)

#: What a full URL begins with (RFC 3986 section 3).
URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

#: Slips in what a full URL begins with, if what follows is a host: `https:/`, `https//`, `https:`, or twice.
MISWRITTEN_SCHEME = re.compile(r"(?:https?:/*)?(https?)(?::/*|//)(?=[\w\[])", re.IGNORECASE)

#: The servers if none is declared (OpenAPI 3.2 section 4.1.1).
DEFAULT_SERVERS = (Server("/", {}),)


def server_variable(name: str) -> str:
    """Return the environment variable of a server variable."""
    return SERVER_VARIABLE_PREFIX + as_variable(name)


class ServerReader:
    """Reads the servers of the document at `uri`. `variables` override defaults, by the names of `server_variable`."""

    def __init__(self, uri: str, repairs: Repairs, variables: Mapping[str, str]) -> None:
        self._bare_host = BARE_HOST if uri.lower().startswith(("http:", "https:")) else BARE_HOST_FROM_DISK
        self.repairs = repairs
        self.variables = variables

    def servers(self, owner: dict[str, Any], where: str) -> tuple[Server, ...]:
        """Return the servers of a root, a path or an operation. Raises SettingsError for a refused value."""
        return tuple(server for value in as_list(owner.get("servers")) if (server := self._server(value, where)))

    def _server(self, value: Any, where: str) -> Server | None:
        if isinstance(value, str):
            self.repairs.add("a server is a string; interpreted as its URL", where)
            value = {"url": value}
        given = mapping(value).get("url")
        url = as_text(given).strip()
        if isinstance(given, str) and not url:
            self.repairs.add("the URL of a server is empty; interpreted as the root of the document's host", where)
            url = "/"
        if not url:
            self.repairs.add("a server has no URL", where)
            return None
        declared = mapping(mapping(value).get("variables"))
        named = dict.fromkeys([*declared, *TEMPLATE_VARIABLE.findall(url)])
        found = {name: self._value(name, mapping(declared.get(name))) for name in named}
        values = {name: each for name, each in found.items() if each is not None}
        return Server(self._with_scheme(url, values, where), values)

    def _with_scheme(self, url: str, values: Mapping[str, str], where: str) -> str:
        """Return the URL, whose variables have these values, with a scheme if it begins with a host."""
        slip = MISWRITTEN_SCHEME.match(url)
        if slip and slip[0] != f"{slip[1]}://":
            self.repairs.add(f"the URL of a server begins with {slip[0]}; {slip[1]}:// is assumed", where)
            return f"{slip[1]}://{url[slip.end() :]}"
        written = TEMPLATE_VARIABLE.sub(lambda match: values.get(match[1], match[0]), url)
        if (named := URL_SCHEME.match(written)) and not is_url(written):
            self.repairs.add(f"the URL of a server begins with {named[0]}; requests go to http and https only", where)
        if not self._bare_host.match(written):
            return url
        scheme = "http" if LOCAL_HOST.match(written) else "https"
        self.repairs.add(f"the URL of a server has no scheme; {scheme} is assumed", where)
        return f"{scheme}://{url}"

    def _value(self, name: str, variable: dict[str, Any]) -> str | None:
        """Return the value of a server variable: the environment's, else its default (OpenAPI 3.2 section 4.6).

        Without a default, against the rules, the first value that is allowed; None if nothing is declared.
        """
        named = server_variable(name)
        value, allowed = self.variables.get(named), [as_text(value) for value in as_list(variable.get("enum"))]
        if value is None:
            return as_text(variable["default"]) if "default" in variable else next(iter(allowed), None)
        if allowed and value not in allowed:
            known = ", ".join(summarize(value) for value in allowed)
            raise SettingsError(f"{named}={value!r} is not a value that the document allows. Set it to one of {known}.")
        return value

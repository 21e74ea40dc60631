"""The URL that the path of an operation is appended to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from portkey_bridge.credentials.configuration import UrlOf
from portkey_bridge.errors import NoServerError
from portkey_bridge.openapi.model import TEMPLATE_VARIABLE, Api, Server
from portkey_bridge.openapi.servers import server_variable
from portkey_bridge.settings.options import Settings
from portkey_bridge.text import is_sendable


def base_url(name: str, servers: Sequence[Server], configured: str | None, document_uri: str) -> str:
    """Return the URL that an operation's path is appended to.

    Raises NoServerError, which names the tool `name`, where there is none.
    """
    url = configured or server_url(servers, document_uri)
    if url is None:
        unset = {variable for server in servers for variable in server.unset}
        named = f"Set {' and '.join(map(server_variable, sorted(unset)))}, or set" if unset else "Set"
        raise NoServerError(
            f"Nothing was sent: the document names no server that {name} can be sent to. "
            f"{named} OPEN_MCP_BASE_URL, or base_url of the API in the settings file, to the URL of the API, and start "
            "portkey-bridge again."
        )
    return url


def server_url(servers: Sequence[Server], document_uri: str) -> str | None:
    """Return the URL of the first server that has a full one, resolved against the document's own URL.

    None where no server is declared, or only relative ones of a document that came from no URL.
    """
    return next((url for server in servers if (url := _url(server, document_uri))), None)


def url_of_servers(api: Api, settings: Settings) -> UrlOf:
    """Return the function to the URL that requests to servers go to: that of the settings, else of the document."""
    return lambda servers: settings.base_url or server_url(servers, api.uri)


def _url(server: Server, document_uri: str) -> str | None:
    return _absolute(
        TEMPLATE_VARIABLE.sub(lambda match: server.variables.get(match[1], match[0]), server.url), document_uri
    )


@lru_cache(maxsize=256)  # most operations have the same servers
def _absolute(reference: str, document_uri: str) -> str | None:
    try:
        url = urljoin(document_uri if document_uri.startswith(("http://", "https://")) else "https:", reference)
        is_http = urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return None
    return url if is_http and is_sendable(url) and not TEMPLATE_VARIABLE.search(reference) else None

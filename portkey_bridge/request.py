"""Bound arguments become an `httpx.Request`. Nothing is sent here.

No value reaches another segment, parameter or header than its own: path values are one segment each, a value that
would split a header is refused, and a credential is never overwritten by an argument.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from jsonpointer import JsonPointer

from portkey_bridge import __version__
from portkey_bridge.arguments import Binding, Bound
from portkey_bridge.bodies import encode_body
from portkey_bridge.errors import ArgumentsError, NoServerError, Violation
from portkey_bridge.operations import Operation, Parameter, Server
from portkey_bridge.security import Credential, place
from portkey_bridge.styles import PAIR_STYLES, PATH_STYLES, Pair, escape, escape_in_query, simple
from portkey_bridge.tools import Tool

#: Headers that follow from the connection and the body (RFC 9110 section 7.6.1 and 8), never from an argument.
OWN_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect")
)


def build_request(tool: Tool, bound: Bound, credentials: Sequence[Credential], base_url: str) -> httpx.Request:
    """Build the request that the operation describes.

    Raises ArgumentsError for a value that cannot stand where it goes, NoServerError where there is no base URL.
    """
    operation = tool.operation
    placed = _Placed(tool, bound, credentials)
    query = "&".join(f"{name}={value}" for name, value in placed.query())
    headers = [
        (b"accept", accept(operation).encode()),
        (b"user-agent", f"portkey-bridge/{__version__}".encode()),
        *((name.encode(), value) for name, value in placed.headers()),
    ]
    content = None
    if bound.has_body and tool.arguments.media_type is not None:
        content, content_type = encode_body(bound.body, tool.arguments.media_type)
        headers.append((b"content-type", content_type.encode()))
    url = f"{base_url.rstrip('/')}{placed.path()}" + (f"?{query}" if query else "")
    return httpx.Request(operation.method, url, headers=headers, content=content)


def server_url(servers: Sequence[Server], document_uri: str) -> str | None:
    """Give the URL of the first server, its variables filled in, resolved against the document's own URL.

    None where no server is declared, or a relative one of a document that came from no URL.
    """
    if not servers:
        return None
    variables = servers[0].variables
    filled = re.sub(r"\{([^{}]*)\}", lambda match: variables.get(match[1], match[0]), servers[0].url)
    try:
        url = urljoin(document_uri, filled) if document_uri.startswith(("http://", "https://")) else filled
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None


def base_url(tool: Tool, configured: str | None, document_uri: str) -> str:
    """Give the URL that the operation's path is appended to. Raises NoServerError where there is none."""
    url = configured or server_url(tool.operation.servers, document_uri)
    if url is None:
        raise NoServerError(
            f"Nothing was sent: the document names no server that {tool.name} can be sent to. "
            "Set OPEN_MCP_BASE_URL to the URL of the API and start portkey-bridge again."
        )
    return url


def accept(operation: Operation) -> str:
    """Give the media types that the operation declares for its answers, successes first, and last of all any."""
    successes = sorted(operation.responses, key=lambda status: not status.startswith("2"))
    declared = (
        media_type
        for status in successes
        if isinstance(response := operation.responses[status], dict)
        for media_type in response.get("content", {})
    )
    names = [name for name in dict.fromkeys(declared) if name.isascii() and name.isprintable()]
    return ", ".join([*names[:8], "*/*;q=0.1"] if names else ["*/*"])


class _Placed:
    """The parameters and credentials of one call, written for their places."""

    def __init__(self, tool: Tool, bound: Bound, credentials: Sequence[Credential]) -> None:
        self.tool = tool
        self.values = {binding.argument: (binding, value) for binding, value in bound.parameters}
        self.credentials = credentials
        self.refuse_clashes()

    def of(self, location: str) -> Iterator[tuple[Binding, Parameter, Any]]:
        for binding, value in self.values.values():
            if binding.location == location and binding.parameter is not None:
                yield binding, binding.parameter, value

    def path(self) -> str:
        template = self.tool.operation.path
        written = {
            parameter.name: self.segment(binding, parameter, value) for binding, parameter, value in self.of("path")
        }
        path = re.sub(r"\{([^{}]*)\}", lambda match: written.get(match[1], match[0]), template)
        for segment, original in zip(path.split("/"), template.split("/"), strict=True):
            # Servers and clients remove dot segments (RFC 3986 section 5.2.4), and an empty one is another endpoint.
            if segment != original and segment in ("", ".", ".."):
                names = re.findall(r"\{([^{}]*)\}", original)
                self.refuse(names[0] if names else "", f"{segment!r} as a whole path segment leads to another endpoint")
        return path

    def segment(self, binding: Binding, parameter: Parameter, value: Any) -> str:
        if value is None:
            self.refuse(binding.argument, "null cannot stand in a path")
        if parameter.media_type is not None:
            return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        return PATH_STYLES.get(parameter.style, simple)(parameter.name, value, parameter.explode, escape)

    def query(self) -> Iterator[Pair]:
        for _, parameter, value in self.of("query"):
            yield from _pairs(parameter, value)
        for credential in self.credentials:
            if credential.location == "query":
                yield escape(credential.name), escape(credential.value)

    def headers(self) -> Iterator[tuple[str, bytes]]:
        for binding, parameter, value in self.of("header"):
            if parameter.name.lower() in OWN_HEADERS:
                self.refuse(
                    binding.argument, f"the header {parameter.name} follows from the request itself; leave it out"
                )
            if value is not None:
                yield parameter.name, self.header_value(binding, _header_text(parameter, value))
        cookies = [
            f"{name}={value}" for _, parameter, value in self.of("cookie") for name, value in _pairs(parameter, value)
        ]
        for credential in self.credentials:
            if credential.location == "header":
                yield credential.name, credential.value.encode()
            elif credential.location == "cookie":
                cookies.append(f"{credential.name}={credential.value}")
        if cookies:
            yield "cookie", "; ".join(cookies).encode()

    def header_value(self, binding: Binding, text: str) -> bytes:
        # RFC 9110 section 5.5: no control characters; other text goes as UTF-8.
        if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in text):
            self.refuse(binding.argument, "a line break or control character cannot stand in a header")
        return text.strip(" \t").encode()

    def refuse_clashes(self) -> None:
        """A credential keeps its place: an argument for the same header, query or cookie name is refused."""
        places = {place(credential.location, credential.name): credential for credential in self.credentials}
        for binding, _ in self.values.values():
            credential = places.get(place(binding.location, binding.name or ""))
            if credential is not None:
                self.refuse(binding.argument, f"is sent from the variable {credential.variable}; leave it out")

    def refuse(self, argument: str, problem: str) -> None:
        raise ArgumentsError(self.tool.name, [Violation(JsonPointer.from_parts([argument]).path, problem)])


def _pairs(parameter: Parameter, value: Any) -> Iterator[Pair]:
    if parameter.media_type is not None:
        yield escape(parameter.name), escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        return
    style = PAIR_STYLES.get(parameter.style, PAIR_STYLES["form"])
    yield from style(parameter.name, value, parameter.explode, escape_in_query if parameter.allow_reserved else escape)


def _header_text(parameter: Parameter, value: Any) -> str:
    if parameter.media_type is not None:
        return json.dumps(value, separators=(",", ":"))  # ASCII: a header has no charset
    return simple(parameter.name, value, parameter.explode, str)

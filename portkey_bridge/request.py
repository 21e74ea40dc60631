"""Bound arguments become an HTTP request. Nothing is sent here.

No value reaches another segment, parameter or header than its own: path values are one segment each, a value that
would split a header is refused, and a credential is never overwritten by an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote, urljoin, urlsplit

import httpx
from jsonpointer import JsonPointer

from portkey_bridge import __version__
from portkey_bridge.arguments import Bound
from portkey_bridge.bodies import Body, Part, Sources, encode_body, encode_form, json_text
from portkey_bridge.errors import ArgumentsError, NoServerError, Unwritable, Violation
from portkey_bridge.files import Upload, UploadPart, UploadStream
from portkey_bridge.operations import MediaType, Operation, Parameter, Server
from portkey_bridge.security import Credential, place
from portkey_bridge.styles import (
    PAIR_STYLES,
    PATH_STYLES,
    Escape,
    Pair,
    cookie,
    escape,
    escape_reserved,
    header,
    literal,
    simple,
)
from portkey_bridge.tools import Tool

#: Headers that follow from the connection and the body (RFC 9110 sections 7 and 8.6), never from an argument.
OWN_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect")
)

#: A header's name (RFC 9110 section 5.6.2).
TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)

#: What a path template may hold unescaped: `pchar` of RFC 3986 section 3.3, escapes, and its own variables.
TEMPLATE_SAFE = "-._~!$&'()*+,;=:@%{}"

VARIABLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Written:
    """A request, written but not sent. Header values are bytes: HTTP knows no charset for them."""

    method: str
    url: str
    headers: tuple[tuple[str, bytes], ...] = field(repr=False)
    body: Body | None

    def to_httpx(self) -> httpx.Request:
        """Give the request as the client sends it; files are opened when their bytes are wanted."""
        headers = [(name.encode(), value) for name, value in self.headers]
        if self.body is None:
            return httpx.Request(self.method, self.url, headers=headers)
        content = self.body.content
        if isinstance(content, tuple):
            request = httpx.Request(self.method, self.url, headers=headers, files=[*map(_httpx_part, content)])
            boundary = request.headers["content-type"].partition(";")[2]
            request.headers["content-type"] = f"{self.body.content_type.partition(';')[0].strip()};{boundary}"
            return request
        headers.append((b"content-type", self.body.content_type.encode()))
        if isinstance(content, Upload):
            headers.append((b"content-length", str(content.size).encode()))
            return httpx.Request(self.method, self.url, headers=headers, content=UploadStream(content))
        return httpx.Request(self.method, self.url, headers=headers, content=content)


def _httpx_part(part: Part) -> tuple[str, Any]:
    content = UploadPart(part.content) if isinstance(part.content, Upload) else part.content
    return part.name, (part.file_name, content, part.media_type, dict(part.headers))


def write_request(
    tool: Tool, bound: Bound, credentials: Sequence[Credential], base_url: str, sources: Sources
) -> Written:
    """Write the request that the operation describes.

    Raises ArgumentsError for a value that cannot stand where it goes.
    """
    try:
        return _Writer(tool, bound, credentials, sources).written(base_url)
    except UnicodeEncodeError as error:
        problem = "half a surrogate pair is no character, and cannot be written"
        raise ArgumentsError(tool.name, [Violation("", problem)]) from error


class _Writer:
    """Writes the parts of one request."""

    def __init__(self, tool: Tool, bound: Bound, credentials: Sequence[Credential], sources: Sources) -> None:
        self.tool = tool
        self.bound = bound
        self.credentials = credentials
        self.sources = sources
        self.refuse_clashes()

    def written(self, base_url: str) -> Written:
        query = "&".join(self.query())
        headers = (
            ("accept", accept(self.tool.operation).encode()),
            ("user-agent", f"portkey-bridge/{__version__}".encode()),
            *self.headers(),
        )
        url = f"{base_url.rstrip('/')}{self.path()}" + (f"?{query}" if query else "")
        return Written(self.tool.operation.method, url, headers, self.body())

    def refuse(self, argument: str, problem: str) -> NoReturn:
        raise ArgumentsError(self.tool.name, [Violation(JsonPointer.from_parts([argument]).path, problem)])

    @contextmanager
    def writing(self, argument: str) -> Iterator[None]:
        """Name the argument whose value cannot be written."""
        try:
            yield
        except Unwritable as error:
            self.refuse(argument, error.problem)

    def values(self, location: str) -> Iterator[tuple[str, Parameter, Any]]:
        for binding, value in self.bound.parameters:
            if binding.location == location and binding.parameter is not None:
                yield binding.argument, binding.parameter, value

    def refuse_clashes(self) -> None:
        """A credential keeps its place: an argument for the same header, query or cookie name is refused."""
        places = {place(credential.location, credential.name): credential for credential in self.credentials}
        for binding, _ in self.bound.parameters:
            credential = places.get(place(binding.location, binding.name or ""))
            if credential is not None:
                self.refuse(binding.argument, f"is sent from the variable {credential.variable}; leave it out")

    def path(self) -> str:
        written: dict[str, str] = {}
        arguments: dict[str, str] = {}
        for argument, parameter, value in self.values("path"):
            with self.writing(argument):
                written[parameter.name] = _in_path(parameter, value)
            arguments[parameter.name] = argument
        return "/".join(self.segment(part, written, arguments) for part in self.tool.operation.path.split("/"))

    def segment(self, template: str, written: dict[str, str], arguments: dict[str, str]) -> str:
        """Fill one segment in, but never with a dot segment, which is removed on the way (RFC 3986 section 5.2.4)."""
        segment = VARIABLE.sub(lambda match: written.get(match[1], match[0]), quote(template, safe=TEMPLATE_SAFE))
        names = [name for name in VARIABLE.findall(template) if name in arguments]
        if names and segment in ("", ".", ".."):
            self.refuse(arguments[names[0]], f"{segment!r} in the path would lead to another endpoint")
        return segment

    def query(self) -> Iterator[str]:
        """Yield the parts between the `&` of the query."""
        for argument, parameter, value in self.values("querystring"):
            with self.writing(argument):
                yield _whole_query(parameter, value, self.sources)
        for argument, parameter, value in self.values("query"):
            with self.writing(argument):
                yield from (f"{name}={text}" for name, text in _pairs(parameter, value))
        for credential in self.credentials:
            if credential.location == "query":
                yield f"{escape(credential.name)}={escape(credential.value)}"

    def headers(self) -> Iterator[tuple[str, bytes]]:
        for argument, parameter, value in self.values("header"):
            with self.writing(argument):
                yield from _header(parameter, value)
        cookies = "; ".join(self.cookies())
        for credential in self.credentials:
            if credential.location == "header":
                yield credential.name, credential.value.encode()
        if cookies:
            yield "cookie", cookies.encode()

    def cookies(self) -> Iterator[str]:
        for argument, parameter, value in self.values("cookie"):
            with self.writing(argument):
                yield from _cookies(parameter, value)
        for credential in self.credentials:
            if credential.location == "cookie":
                yield f"{credential.name}={credential.value}"

    def body(self) -> Body | None:
        media_type = self.bound.of.media_type
        if not self.bound.has_body or media_type is None:
            return None
        try:
            return encode_body(self.bound.body, media_type, self.sources)
        except Unwritable as error:
            pointer = self.bound.of.place_in_body(error.path)
            raise ArgumentsError(self.tool.name, [Violation(pointer, error.problem)]) from error


def _in_path(parameter: Parameter, value: Any) -> str:
    if value is None:
        raise Unwritable((), "null cannot stand in a path")
    if parameter.media_type is not None:
        return escape(_content_text(parameter, value))
    style = PATH_STYLES.get(parameter.style, simple)
    return style(parameter.name, value, parameter.explode, escape)


def _escape_of(parameter: Parameter) -> Escape:
    return escape_reserved if parameter.allow_reserved else escape


def _pairs(parameter: Parameter, value: Any) -> Iterator[Pair]:
    """Yield the names and values of a query parameter, escaped."""
    if parameter.media_type is not None:
        yield escape(parameter.name), escape(_content_text(parameter, value))
    elif value is None and parameter.allow_empty_value:
        yield escape(parameter.name), ""
    else:
        style = PAIR_STYLES.get(parameter.style, PAIR_STYLES["form"])
        yield from style(parameter.name, value, parameter.explode, _escape_of(parameter))


def _content_text(parameter: Parameter, value: Any) -> str:
    """Write a parameter that has `content`: text as it is, everything else as JSON."""
    is_text = (parameter.media_type or "").lower().startswith("text/")
    return literal(value) if is_text else json_text(value)


def _whole_query(parameter: Parameter, value: Any, sources: Sources) -> str:
    """Write the whole query from one value (OpenAPI 3.2 section 4.12.2, `in: querystring`)."""
    name = parameter.media_type or "application/x-www-form-urlencoded"
    if name.lower().startswith("application/x-www-form-urlencoded"):
        body = encode_form(value, MediaType(name, parameter.schema, {}), sources)
        return body.content.decode() if isinstance(body.content, bytes) else ""
    return escape(_content_text(parameter, value))


def _header(parameter: Parameter, value: Any) -> Iterator[tuple[str, bytes]]:
    if parameter.name.lower() in OWN_HEADERS:
        raise Unwritable((), f"the header {parameter.name} follows from the request itself; leave it out")
    if not TOKEN.fullmatch(parameter.name):
        raise Unwritable((), f"{parameter.name!r} is no name that a header can have; leave it out")
    if value is not None:
        yield parameter.name, _header_value(_header_text(parameter, value))


def _header_text(parameter: Parameter, value: Any) -> str:
    if parameter.media_type is not None and not parameter.media_type.lower().startswith("text/"):
        return json_text(value, ascii_only=True)  # a header has no charset
    return header(value, parameter.explode)


def _header_value(text: str) -> bytes:
    """Check a header's value (RFC 9110 section 5.5)."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise Unwritable((), "a line break or control character cannot stand in a header")
    if text != text.strip(" \t"):
        raise Unwritable((), "a header cannot start or end with a blank")
    return text.encode()


def _cookies(parameter: Parameter, value: Any) -> Iterator[str]:
    """Yield the cookies of a parameter; style `form` makes one, as the specification's table has it."""
    if parameter.style == "cookie" and parameter.media_type is None:
        yield from (f"{name}={text}" for name, text in cookie(parameter.name, value, parameter.explode))
    elif written := "&".join(f"{name}={text}" for name, text in _pairs(parameter, value)):
        yield written


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


def base_url(tool: Tool, configured: str | None, document_uri: str) -> str:
    """Give the URL that the operation's path is appended to. Raises NoServerError where there is none."""
    url = configured or server_url(tool.operation.servers, document_uri)
    if url is None:
        raise NoServerError(
            f"Nothing was sent: the document names no server that {tool.name} can be sent to. "
            "Set OPEN_MCP_BASE_URL to the URL of the API and start portkey-bridge again."
        )
    return url


def server_url(servers: Sequence[Server], document_uri: str) -> str | None:
    """Give the URL of the first server that has a full one, resolved against the document's own URL.

    None where no server is declared, or only relative ones of a document that came from no URL.
    """
    return next((url for server in servers if (url := _url(server, document_uri))), None)


def _url(server: Server, document_uri: str) -> str | None:
    filled = VARIABLE.sub(lambda match: server.variables.get(match[1], match[0]), server.url)
    try:
        url = urljoin(document_uri, filled) if document_uri.startswith(("http://", "https://")) else filled
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname and not VARIABLE.search(filled) else None

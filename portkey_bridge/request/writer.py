"""Bound arguments become an HTTP request. Nothing is sent here.

No value reaches another segment, parameter or header than its own: path values are one segment each, a value that
would split a header is refused, and a credential is never overwritten by an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, product
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, unquote

import httpx

from portkey_bridge import __version__, media_types
from portkey_bridge.credentials.schemes import COOKIES, Credential, looks_like, stands_in
from portkey_bridge.errors import ArgumentsError, CallError, Unwritable, Violation
from portkey_bridge.openapi.model import TEMPLATE_VARIABLE, Operation, Parameter, Place, place
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.bodies import Body, content_text, encode_body
from portkey_bridge.request.styles import (
    PAIR_STYLES,
    PATH_STYLES,
    Pair,
    cookie,
    escape,
    escape_of,
    form,
    header,
    json_text,
    lists_as_text,
    simple,
)
from portkey_bridge.request.uploads import PieceStream, bytes_in, in_memory

#: Unescaped characters of a path template: `pchar` of RFC 3986 section 3.3, escapes, and its own variables.
TEMPLATE_SAFE = "-._~!$&'()*+,;=:@%{}"

#: What every request says of this program (RFC 9110 section 10.1.5).
USER_AGENT = ("user-agent", f"portkey-bridge/{__version__}".encode())

#: Methods whose requests say that they have no body (RFC 9110 section 8.6), and the headers that say where one ends.
HAS_BODY, LENGTHS = ("POST", "PUT", "PATCH"), (b"content-length", b"transfer-encoding")

Given = tuple[str, Parameter, Any]
"""A parameter that is sent: its argument, itself, and its value."""


@dataclass(frozen=True)
class Written:
    """A request, written but not sent. Header values are bytes: HTTP knows no charset for them."""

    method: str
    url: str
    headers: tuple[tuple[str, bytes], ...] = field(repr=False)
    body: Body | None

    def to_httpx(self) -> httpx.Request:
        """Return the request as the client sends it; files are opened when they are read. Raises CallError."""
        try:
            request = self._to_httpx()
        except httpx.InvalidURL as error:
            problem = f"the URL has {len(self.url):,} characters, more than a server takes. Give shorter arguments."
            raise CallError(f"Nothing was sent: {problem}") from error
        request.method = self.method  # which httpx writes in capitals (OpenAPI 3.2 section 4.9.1)
        return request

    def _to_httpx(self) -> httpx.Request:
        url = _parsed(self.url)
        pieces = [in_memory(piece) for piece in self.body.pieces] if self.body else []
        of_body = (self.body.content_type, sum(map(bytes_in, pieces))) if self.body else None
        headers = _all_headers(self.method, url.netloc, self.headers, of_body)
        there = [piece for piece in pieces if isinstance(piece, bytes)]
        if len(there) < len(pieces):
            return httpx.Request(self.method, url, headers=headers, content=PieceStream(pieces))
        request = httpx.Request(self.method, url, headers=headers, stream=httpx.ByteStream(b"".join(there)))
        request.read()  # as httpx does with what is there
        return request


@lru_cache(maxsize=256)  # the calls of an operation have the same ones, or differ in the length alone
def _all_headers(
    method: str, host: bytes, headers: tuple[tuple[str, bytes], ...], of_body: tuple[str, int] | None
) -> httpx.Headers:
    """Return the headers of a request with its host, and with the type and length of its body."""
    fields = [(name.encode(), value) for name, value in headers]
    if of_body:
        content_type, length = of_body
        fields += [(b"content-type", content_type.encode()), (b"content-length", str(length).encode())]
    named = {name.lower() for name, _ in fields}
    empty = [(b"Content-Length", b"0")] if method in HAS_BODY and named.isdisjoint(LENGTHS) else []
    return httpx.Headers([*([(b"Host", host)] if b"host" not in named else []), *empty, *fields])


@lru_cache(maxsize=256)  # parsing is slow, and many operations have only one URL
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def write_request(
    name: str, operation: Operation, bound: Bound, credentials: Sequence[Credential], base_url: str, sources: Sources
) -> Written:
    """Write the request that the operation describes. Errors name it `name`, as its tool is called.

    Raises ArgumentsError for a value that cannot be written in its place.
    """
    try:
        return _Writer(name, operation, bound, credentials, sources, base_url).written()
    except UnicodeEncodeError as error:
        problem = "half of a surrogate pair cannot be encoded"
        raise ArgumentsError(name, [Violation("", problem)]) from error


class _Writing:
    """Refuses what is written inside by the name of its argument; a generator would take longer than the writing."""

    def __init__(self, writer: _Writer, argument: str) -> None:
        self._writer, self._argument = writer, argument

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Unwritable):
            self._writer.refuse(self._argument, error.problem)


class _Writer:
    """Writes the parts of one request."""

    def __init__(
        self,
        name: str,
        operation: Operation,
        bound: Bound,
        credentials: Sequence[Credential],
        sources: Sources,
        base_url: str,
    ) -> None:
        self.name = name
        self.operation = operation
        self.bound = bound
        self.credentials = credentials
        self.sources = sources
        self.base, _, self.base_query = base_url.partition("#")[0].partition("?")
        self.parameters: dict[str, list[Given]] = {}
        for given in self.given():
            self.parameters.setdefault(given[1].location, []).append(given)
        self.refuse_clashes()

    def written(self) -> Written:
        path, path_query = self.path()
        query = "&".join(filter(None, (self.base_query, path_query, *self.query())))
        own = (("accept", accept(self.operation).encode()), USER_AGENT)
        headers = tuple(self.headers())
        given = {name.lower() for name, _ in headers}
        return Written(
            self.operation.method,
            f"{self.base.rstrip('/')}/{path}" + (f"?{query}" if query else ""),
            (*(header for header in own if header[0] not in given), *headers),
            self.body(),
        )

    def refuse(self, argument: str, problem: str) -> NoReturn:
        raise ArgumentsError(self.name, [Violation(pointer_to([argument]), problem)])

    def writing(self, argument: str) -> _Writing:
        """Name the argument whose value cannot be written."""
        return _Writing(self, argument)

    def given(self) -> Iterator[Given]:
        for binding, value in self.bound.parameters:
            if binding.parameter is not None:
                with self.writing(binding.argument):
                    value = lists_as_text(value, binding.parameter.schema)
                yield binding.argument, binding.parameter, value

    def values(self, location: str) -> Sequence[Given]:
        return self.parameters.get(location, ())

    def refuse_clashes(self) -> None:
        """A credential keeps its place: an argument for the same header, query or cookie name is refused."""
        for credential, (argument, parameter, _) in product(self.credentials, chain(*self.parameters.values())):
            if any(stands_in(parameter.place, each) for each in credential.places):
                self.refuse(argument, f"is sent from the variable {credential.variable}; leave it out")

    def path(self) -> Pair:
        """Return the path without its first slash, and the query that a template may have besides.

        A fragment only tells paths apart that are the same for HTTP; it is never sent (RFC 9110 section 7.1).
        """
        written: dict[str, str] = {}
        arguments: dict[str, str] = {}
        for argument, parameter, value in self.values("path"):
            with self.writing(argument):
                written[parameter.name] = self.in_path(parameter, value)
            arguments[parameter.name] = argument
        path, _, query = self.operation.path.partition("#")[0].partition("?")
        segments = path.removeprefix("/").split("/")
        path = "/".join(self.segment(each, written, arguments) for each in segments)
        pairs = (pair for pair in query.split("&") if pair and not self.is_parameter(pair))
        return path, "&".join(self.pair(each, written, arguments) for each in pairs)

    def pair(self, template: str, written: dict[str, str], arguments: dict[str, str]) -> str:
        """Fill one pair of a query in a path template in; its name is never that of a credential."""
        pair, named = _filled(template, written), TEMPLATE_VARIABLE.findall(template.partition("=")[0])
        name = unquote(pair.partition("=")[0])
        for each in named:
            if any(
                credential.location == "query" and looks_like(name, credential.name) for credential in self.credentials
            ):
                self.refuse(arguments.get(each, each), f"{name!r} in the query would be taken for a credential")
        return pair

    def is_parameter(self, pair: str) -> bool:
        """Check whether a pair of the query in a path template is written as a query parameter, or left out with it."""
        declared = {parameter.name for parameter in self.operation.parameters if parameter.location == "query"}
        given = {parameter.name for _, parameter, _ in self.values("query")}
        return not declared.isdisjoint(TEMPLATE_VARIABLE.findall(pair)) or unquote(pair.partition("=")[0]) in given

    def segment(self, template: str, written: dict[str, str], arguments: dict[str, str]) -> str:
        """Fill one segment in, but never with a dot segment, which is removed on the way (RFC 3986 section 5.2.4)."""
        if "{" not in template:
            return _escaped(template)
        segment = _filled(template, written)
        names = [name for name in TEMPLATE_VARIABLE.findall(template) if name in arguments]
        if names and unquote(segment) in ("", ".", ".."):
            self.refuse(arguments[names[0]], f"{segment!r} in the path would lead to another endpoint")
        return segment

    def in_path(self, parameter: Parameter, value: Any) -> str:
        if value is None:
            raise Unwritable((), "a path cannot contain null")
        escape_value = escape_of("path", parameter.allow_reserved)
        if parameter.content is not None:
            return escape_value(content_text(value, parameter.content, self.sources))
        style = PATH_STYLES.get(parameter.style, simple)
        return style(parameter.name, value, parameter.explode, escape_value)

    def query(self) -> Iterator[str]:
        """Yield the parts between the `&` of the query."""
        for argument, parameter, value in self.values("querystring"):
            with self.writing(argument):
                yield self.whole_query(parameter, value)
        yield from self.pairs("query")
        for credential in self.credentials:
            if credential.location == "query":
                yield f"{escape(credential.name)}={escape(credential.value)}"

    def whole_query(self, parameter: Parameter, value: Any) -> str:
        """Write the whole query from one value (OpenAPI 3.2 section 4.12.1, `querystring`)."""
        if parameter.content is None:
            query = "&".join(f"{escape(name)}={text}" for name, text in form(parameter.name, value, True, escape))
        else:
            text = content_text(value, parameter.content, self.sources)
            query = text if media_types.FORM.match(parameter.content.name) else escape(text)
        for name, _ in parse_qsl(query, keep_blank_values=True):
            self.keep_out("query", parameter, name)
        return query

    def pairs(self, location: str) -> Iterator[str]:
        """Yield the parameters of a location as `name=value`."""
        owners: dict[Place, Parameter] = {}
        for argument, parameter, value in self.values(location):
            with self.writing(argument):
                for name, text in self.of_parameter(parameter, value):
                    self.keep_out(location, parameter, name)
                    if owners.setdefault(place(location, name), parameter) is not parameter:
                        raise Unwritable((), f"{name!r} in it would be taken for that in another {location} parameter")
                    yield f"{name if parameter.style == 'cookie' else escape(name)}={text}"

    @cached_property
    def in_base_query(self) -> tuple[str, ...]:
        """The names in the query of the API's own URL, whose values may be credentials."""
        return tuple(name for name, _ in parse_qsl(self.base_query, keep_blank_values=True))

    @cached_property
    def taken(self) -> frozenset[Place]:
        """The places of all credentials, and of the parameters that are sent under their own names."""
        declared = (parameter.place for parameter in self.operation.parameters if not self.has_other_keys(parameter))
        return frozenset(declared).union(*(credential.places for credential in self.credentials))

    def has_other_keys(self, parameter: Parameter) -> bool:
        """Check whether the keys of a parameter are never its name: those of an object, one by one."""
        if parameter.content is not None:
            return False
        is_exploded = parameter.style == "form" and parameter.explode
        is_object = self.sources.shapes(parameter.schema).get("type") == "object"
        return parameter.style == "deepObject" or (is_exploded and is_object)

    @cached_property
    def deep(self) -> tuple[tuple[Place, str], ...]:
        """The parameters of style `deepObject`, with what each of their keys begins with."""
        deep = (parameter for parameter in self.operation.parameters if parameter.style == "deepObject")
        return tuple((parameter.place, f"{parameter.name}[") for parameter in deep)

    def keep_out(self, location: str, parameter: Parameter, name: str) -> None:
        """Keep a member of an object, which has a name of its own, out of the place of anything else."""
        there = place(location, name)
        is_deep = any(name.startswith(start) for other, start in self.deep if other != parameter.place)
        if (there in self.taken or (location == "query" and is_deep)) and there != parameter.place:
            raise Unwritable((), f"{name!r} in it would be taken for the {location} parameter of that name")
        is_chosen = name != parameter.name
        if is_chosen and any(each.location == location and looks_like(name, each.name) for each in self.credentials):
            raise Unwritable((), f"{name!r} in it would be taken for a credential")
        if location == "query" and any(looks_like(name, each) for each in self.in_base_query):
            raise Unwritable((), f"{name!r} is in the URL of the API")

    def of_parameter(self, parameter: Parameter, value: Any) -> Iterator[Pair]:
        escape_value = escape_of(parameter.location, parameter.allow_reserved)
        if parameter.content is not None:
            yield parameter.name, escape_value(content_text(value, parameter.content, self.sources))
        elif value is None and parameter.allow_empty_value:
            yield parameter.name, ""
        elif parameter.style == "cookie":
            yield from cookie(parameter.name, value, parameter.explode)
        else:
            style = PAIR_STYLES.get(parameter.style, form)
            yield from style(parameter.name, value, parameter.explode, escape_value)

    def headers(self) -> Iterator[tuple[str, bytes]]:
        for argument, parameter, value in self.values("header"):
            with self.writing(argument):
                text = self.header_text(parameter, value)
                if text is not None and parameter.place != COOKIES:
                    yield parameter.name, _header_value(text)
        for credential in self.credentials:
            if credential.location == "header" and credential.place != COOKIES and not credential.signing:
                yield credential.name, credential.value.encode()
        if cookies := "; ".join(self.cookies()):
            yield "cookie", cookies.encode()

    def header_text(self, parameter: Parameter, value: Any) -> str | None:
        if value is None or parameter.content is None:
            return header(value, parameter.style, parameter.explode)
        if media_types.JSON.match(parameter.content.name):
            return json_text(value, ascii_only=True)  # a header has no charset
        return content_text(value, parameter.content, self.sources)

    def cookies(self) -> Iterator[str]:
        """Yield the pairs of the one header (RFC 6265 section 5.4): each pair is a cookie (OpenAPI 3.2 appendix D),
        and what is declared as a header of this name may be several.
        """
        for argument, parameter, value in self.values("header"):
            if parameter.place == COOKIES and value is not None:
                with self.writing(argument):
                    yield _header_value(self.header_text(parameter, value) or "").decode()
        yield from self.pairs("cookie")
        for credential in self.credentials:
            if credential.location == "cookie":
                yield f"{credential.name}={credential.value}"
            elif credential.place == COOKIES:
                yield credential.value

    def body(self) -> Body | None:
        media_type = self.bound.arguments.media_type
        if not self.bound.has_body or media_type is None:
            return None
        try:
            return encode_body(self.bound.body, media_type, self.sources)
        except Unwritable as error:
            pointer = self.bound.arguments.place_in_body(error.path)
            raise ArgumentsError(self.name, [Violation(pointer, error.problem)]) from error


def _filled(template: str, written: Mapping[str, str]) -> str:
    """Fill the variables of a part of a path template. Names are matched before anything is encoded."""
    literals_and_names = enumerate(TEMPLATE_VARIABLE.split(template))
    return "".join(
        written.get(text, _escaped(f"{{{text}}}")) if at % 2 else _escaped(text) for at, text in literals_and_names
    )


@lru_cache(maxsize=1024)  # every call of an operation needs the same ones
def _escaped(literal: str) -> str:
    return quote(literal, safe=TEMPLATE_SAFE)


def _header_value(text: str) -> bytes:
    """Check a header's value (RFC 9110 section 5.5)."""
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise Unwritable((), "a header cannot contain line breaks or control characters")
    if text != text.strip(" \t"):
        raise Unwritable((), "a header cannot start or end with a blank")
    return text.encode()


def accept(operation: Operation) -> str:
    """Return the media types that the operation declares for its answers, successes first, and last of all any."""
    names = operation.answer_types
    return ", ".join([*names[:8], "*/*;q=0.1"] if names else ["*/*"])

"""The document as frozen values, in the words of the OpenAPI specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from portkey_bridge.errors import DocumentError
from portkey_bridge.normalize import METHODS
from portkey_bridge.references import follow

Schema = Any
"""A JSON Schema 2020-12: an object or a boolean, with references into the document."""

#: The default style of a parameter by its location (OpenAPI 3.2 section 4.12.2.2).
DEFAULT_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form", "querystring": "form"}

#: Header parameters that OpenAPI says to ignore (3.2 section 4.12.1), as the document says them elsewhere.
IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A Parameter Object. `media_type` is set where the value is written by `content` and not by a style."""

    name: str
    location: str
    required: bool
    schema: Schema
    description: str
    style: str
    explode: bool
    allow_reserved: bool
    allow_empty_value: bool
    media_type: str | None
    deprecated: bool


@dataclass(frozen=True, slots=True)
class MediaType:
    """One entry of a `content` map: its name, its schema and the `encoding` of its properties."""

    name: str
    schema: Schema
    encoding: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A Request Body Object, its media types in the document's order."""

    required: bool
    description: str
    content: tuple[MediaType, ...]


@dataclass(frozen=True, slots=True)
class SecurityScheme:
    """A Security Scheme Object: `location` and `name` are where the credential goes, `scheme` how it is written."""

    key: str
    type: str
    location: str
    name: str
    scheme: str


@dataclass(frozen=True, slots=True)
class Server:
    """A Server Object: a URL, still with its variables and perhaps relative, and the variables' defaults."""

    url: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PathItem:
    """What a path declares for all of its operations; `servers` are empty where it declares none."""

    path: str
    servers: tuple[Server, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `security` holds alternatives: the schemes of one are used together, an empty one means none.

    `servers` are those that count for the operation: its own, else the path's, else the document's.
    """

    method: str
    path: str
    operation_id: str | None
    summary: str
    description: str
    tags: tuple[str, ...]
    deprecated: bool
    parameters: tuple[Parameter, ...]
    request_body: RequestBody | None
    responses: Mapping[str, Any] = field(repr=False)
    security: tuple[tuple[SecurityScheme, ...], ...]
    servers: tuple[Server, ...]
    path_item: PathItem = field(repr=False)


class Skipped(NamedTuple):
    """An operation that cannot be served, and why."""

    method: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} is not served: {self.reason}"


@dataclass(frozen=True)
class Api:
    """The whole document: what it is called, its operations in its order, and what had to be left out."""

    title: str
    version: str
    description: str
    uri: str
    root: dict[str, Any] = field(repr=False)
    operations: tuple[Operation, ...] = field(repr=False)
    servers: tuple[Server, ...]
    security: tuple[tuple[SecurityScheme, ...], ...]
    skipped: tuple[Skipped, ...]


def read_api(root: dict[str, Any], uri: str) -> Api:
    """Read a normalized document. An operation that is broken costs that operation and is listed as skipped."""
    info = _mapping(root.get("info"))
    reader = _Reader(root)
    operations = tuple(reader.operations())
    return Api(
        title=_text(info.get("title")) or "API",
        version=_text(info.get("version")),
        description=_text(info.get("description")) or _text(info.get("summary")),
        uri=uri,
        root=root,
        operations=operations,
        servers=reader.servers(root),
        security=reader.security(root.get("security")),
        skipped=tuple(reader.skipped),
    )


class _Reader:
    """Reads the values of one document; collects in `skipped` what is broken."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.skipped: list[Skipped] = []

    def follow(self, value: Any, kind: str) -> dict[str, Any]:
        value = follow(self.root, value)
        if not isinstance(value, dict):
            raise DocumentError(kind, f"is no object but {value!r:.60}", "Correct the document there.")
        return value

    def operations(self) -> Iterator[Operation]:
        for path, item in _mapping(self.root.get("paths")).items():
            if not path.startswith("/"):
                continue  # `x-…` extensions
            try:
                yield from self.path_item(path, self.follow(item, "the path item"))
            except DocumentError as error:
                self.skipped.append(Skipped("every method of", path, str(error)))

    def path_item(self, path: str, item: dict[str, Any]) -> Iterator[Operation]:
        shared = PathItem(path, self.servers(item), self.parameters(item))
        methods = {method: item[method] for method in item if method in METHODS}
        methods |= _mapping(item.get("additionalOperations"))
        for method, operation in methods.items():
            try:
                yield self.operation(method.upper(), shared, self.follow(operation, "the operation"))
            except DocumentError as error:
                self.skipped.append(Skipped(method.upper(), path, str(error)))

    def operation(self, method: str, item: PathItem, operation: dict[str, Any]) -> Operation:
        own = {(parameter.location, parameter.name): parameter for parameter in self.parameters(operation)}
        inherited = {(parameter.location, parameter.name): parameter for parameter in item.parameters}
        return Operation(
            method=method,
            path=item.path,
            operation_id=_text(operation.get("operationId")) or None,
            summary=_text(operation.get("summary")).strip(),
            description=_text(operation.get("description")).strip(),
            tags=tuple(_text(tag) for tag in _list(operation.get("tags"))),
            deprecated=operation.get("deprecated") is True,
            parameters=tuple((inherited | own).values()),
            request_body=self.request_body(operation.get("requestBody")),
            responses=_mapping(operation.get("responses")),
            security=self.security(operation.get("security", self.root.get("security"))),
            servers=self.servers(operation) or item.servers or self.servers(self.root),
            path_item=item,
        )

    def parameters(self, owner: dict[str, Any]) -> tuple[Parameter, ...]:
        read = (self.parameter(self.follow(value, "a parameter")) for value in _list(owner.get("parameters")))
        return tuple(
            parameter
            for parameter in read
            if not (parameter.location == "header" and parameter.name.lower() in IGNORED_HEADERS)
        )

    def parameter(self, value: dict[str, Any]) -> Parameter:
        name, location = value.get("name"), value.get("in")
        if not isinstance(name, str) or location not in DEFAULT_STYLES:
            raise DocumentError("a parameter", f"has the name {name!r} in {location!r}", "Correct its name and in.")
        media_type, content = next(iter(_mapping(value.get("content")).items()), (None, {}))
        style = _text(value.get("style")) or DEFAULT_STYLES[location]
        return Parameter(
            name=name,
            location=location,
            required=value.get("required") is True or location == "path",
            schema=_mapping(content).get("schema", {}) if media_type else value.get("schema", {}),
            description=_text(value.get("description")).strip(),
            style=style,
            explode=value.get("explode", style in ("form", "cookie")) is True,
            allow_reserved=value.get("allowReserved") is True,
            allow_empty_value=value.get("allowEmptyValue") is True,
            media_type=media_type,
            deprecated=value.get("deprecated") is True,
        )

    def request_body(self, value: Any) -> RequestBody | None:
        if value is None:
            return None
        body = self.follow(value, "the request body")
        content = tuple(
            MediaType(name, media_type.get("schema", {}), _mapping(media_type.get("encoding")))
            for name, value in _mapping(body.get("content")).items()
            if (media_type := self.follow(value, "the media type"))
        )
        if not content:
            return None
        return RequestBody(body.get("required") is True, _text(body.get("description")).strip(), content)

    def security(self, requirements: Any) -> tuple[tuple[SecurityScheme, ...], ...]:
        return tuple(
            tuple(self.security_scheme(key) for key in _mapping(alternative)) for alternative in _list(requirements)
        )

    def security_scheme(self, key: str) -> SecurityScheme:
        schemes = _mapping(_mapping(self.root.get("components")).get("securitySchemes"))
        scheme = self.follow(schemes.get(key), f"the security scheme {key!r}")
        kind = _text(scheme.get("type"))
        if kind == "apiKey":
            return SecurityScheme(key, kind, _text(scheme.get("in")), _text(scheme.get("name")), "")
        written = _text(scheme.get("scheme")).lower() if kind == "http" else "bearer"
        return SecurityScheme(key, kind, "header", "Authorization", written)

    def servers(self, owner: dict[str, Any]) -> tuple[Server, ...]:
        return tuple(self.server(_mapping(value)) for value in _list(owner.get("servers")))

    def server(self, value: dict[str, Any]) -> Server:
        variables = _mapping(value.get("variables"))
        return Server(
            _text(value.get("url")),
            {name: _text(_mapping(variable).get("default")) for name, variable in variables.items()},
        )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)

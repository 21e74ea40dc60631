"""Reads the document into frozen values. What is broken costs the operation that it belongs to, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from mimetypes import MimeTypes
from typing import Any

from portkey_bridge.document.repairs import Repairs, summarize
from portkey_bridge.errors import DocumentError
from portkey_bridge.openapi.coercion import as_list, as_text, is_true, mapping
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.openapi.model import (
    TEMPLATE_VARIABLE,
    Api,
    MediaType,
    Operation,
    Parameter,
    PathItem,
    Place,
    RequestBody,
    SecurityScheme,
    Skipped,
)
from portkey_bridge.openapi.overlay import CURATION, tightened
from portkey_bridge.openapi.path_templates import PathTemplate, read_template
from portkey_bridge.openapi.pointers import follow, object_at
from portkey_bridge.openapi.security_schemes import SecurityReader
from portkey_bridge.openapi.servers import DEFAULT_SERVERS, ServerReader
from portkey_bridge.openapi.spec_tables import METHODS
from portkey_bridge.settings.values import HTTP_TOKEN

#: The default style of a parameter by its location (OpenAPI 3.2 section 4.12.2.2).
DEFAULT_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form", "querystring": "form"}

#: Header parameters that OpenAPI says to ignore (3.2 section 4.12.2.1), as the document says them elsewhere, and those
#: that follow from the connection and the body (RFC 9110 sections 7 and 8.6), never from an argument.
IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"}) | {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect")
}

#: Names that are not media types, and those that they can only mean.
MEDIA_TYPES = {
    **dict.fromkeys(("", "json", "application.json", "application-json", "application json"), "application/json"),
    **dict.fromkeys(("form", "urlencoded", "x-www-form-urlencoded"), "application/x-www-form-urlencoded"),
    **dict.fromkeys(("form-data", "multipart", "multipart-form-data", "formdata"), "multipart/form-data"),
    **dict.fromkeys(("text", "plain", "txt"), "text/plain"),
    **dict.fromkeys(("binary", "octet-stream", "file"), "application/octet-stream"),
    **{"xml": "application/xml", "yaml": "application/yaml", "html": "text/html", "csv": "text/csv"},
}

#: Operations of a document, and parameters of an operation. References let a small document have very many.
MAX_OPERATIONS = 25_000
MAX_PARAMETERS = 1_000


def read_api(
    root: dict[str, Any],
    uri: str,
    repairs: Repairs | None = None,
    server_variables: Mapping[str, str] = {},
    *,
    is_curated: bool = False,
) -> Api:
    """Read a normalized document. An operation that is broken costs that operation and is listed as skipped.

    `repairs` collects the repairs with their places. `server_variables` override the defaults, by
    the names that `server_variable` gives. The `x-mcp` of a document that is not `is_curated` is nobody's but its own,
    and can only make tools stricter. Raises DocumentError for a document with too many operations, and
    SettingsError for a server variable that the document does not allow.
    """
    info = mapping(root.get("info"))
    reader = _Reader(root, uri, Repairs() if repairs is None else repairs, server_variables, is_curated)
    operations = tuple(reader.operations())
    return Api(
        title=as_text(info.get("title")) or "API",
        version=as_text(info.get("version")),
        description=as_text(info.get("description")) or as_text(info.get("summary")),
        uri=uri,
        root=root,
        operations=operations,
        servers=reader.root_servers,
        security=reader.root_security,
        schemes=SecurityReader(root, Repairs()).declared(),
        skipped=tuple(reader.skipped),
        repairs=reader.repairs.sentences(),
        webhooks=len(mapping(root.get("webhooks"))),
        callbacks=reader.callbacks,
    )


class _Reader:
    """Reads the values of one document; collects broken parts in `skipped` and repairs in `repairs`."""

    def __init__(
        self, root: dict[str, Any], uri: str, repairs: Repairs, server_variables: Mapping[str, str], is_curated: bool
    ) -> None:
        self.root = root
        self.is_curated = is_curated
        self.skipped: list[Skipped] = []
        self.repairs = repairs
        self.callbacks = 0
        self.servers = ServerReader(uri, repairs, server_variables).servers
        self.root_servers = self.servers(root, "#/servers")
        self.security = SecurityReader(root, repairs).security
        self.root_security = self.security(root.get("security"), "#/security")

    def follow(self, value: Any, kind: str) -> dict[str, Any]:
        """Return the object that a value is or refers to, with the description next to a `$ref` (3.1)."""
        target = follow(self.root, value)
        if not isinstance(target, dict):
            raise DocumentError(kind, f"is not an object but {summarize(target)}", "Correct the document there.")
        if target is not value and isinstance(value.get("description"), str):
            return {**target, "description": value["description"]}
        return target

    def found(self, value: Any, kind: str, otherwise: str, where: str) -> dict[str, Any] | None:
        """Return the object that a value is or refers to; where there is none, note what is done `otherwise`."""
        try:
            return self.follow(value, kind)
        except DocumentError as error:
            self.repairs.add(
                f"{kind} does not exist ({summarize(error.source, 200)} {error.problem}); {otherwise}", where
            )
            return None

    def operations(self) -> Iterator[Operation]:
        count = 0
        for path, item in mapping(self.root.get("paths")).items():
            if path.startswith("x-"):
                continue  # an extension
            try:
                for operation in self.path_item(path, self.item(path, item)):
                    count += 1
                    yield operation
            except DocumentError as error:
                self.skipped.append(Skipped("every method of", path, str(error)))
            if count > MAX_OPERATIONS:
                raise DocumentError("/paths", f"more than {MAX_OPERATIONS:,} operations", "Split the document.")

    def item(self, path: str, value: Any) -> dict[str, Any]:
        """Return a path item; fields beside its `$ref` override those that it refers to (OpenAPI 3.2 section 4.9.1)."""
        if not path.isprintable() or not path.startswith("/"):
            raise DocumentError("the path", "does not start with a slash, or has control characters", "Correct it.")
        target = self.follow(value, "the path item")
        return target if target is value else {**target, **{key: value[key] for key in value if key != "$ref"}}

    def path_item(self, path: str, item: dict[str, Any]) -> Iterator[Operation]:
        said = (*self.curation(self.root), *self.curation(item))
        shared = PathItem(path, self.servers(item, path), self.parameters(item, f"all of {path}"), said)
        methods = {method.upper(): item[method] for method in item if method in METHODS and item[method] is not None}
        for method, operation in {**methods, **mapping(item.get("additionalOperations"))}.items():
            try:
                yield self.operation(method, shared, self.follow(operation, "the operation"))
            except DocumentError as error:
                self.skipped.append(Skipped(summarize(method), path, str(error)))

    def operation(self, method: str, item: PathItem, operation: dict[str, Any]) -> Operation:
        if not HTTP_TOKEN.fullmatch(method):
            raise DocumentError("the method", "is not a token of HTTP", "Correct its name.")
        where = f"{method} {item.path}"
        self.callbacks += len(mapping(operation.get("callbacks")))
        path, parameters = self.all_parameters(item, operation, where)
        return Operation(
            method=method,
            path=path,
            operation_id=as_text(operation.get("operationId")).strip() or None,
            summary=as_text(operation.get("summary")).strip(),
            description=as_text(operation.get("description")).strip(),
            tags=tuple(as_text(tag) for tag in as_list(operation.get("tags"))),
            deprecated=is_true(operation.get("deprecated")),
            parameters=parameters,
            request_body=self.request_body(operation.get("requestBody"), where),
            responses=self.responses(operation.get("responses")),
            security=self.operation_security(operation.get("security"), where),
            servers=self.servers(operation, where) or item.servers or self.root_servers or DEFAULT_SERVERS,
            path_item=item,
            curations=(*item.curations, *self.curation(operation)),
        )

    def curation(self, value: dict[str, Any]) -> tuple[Any, ...]:
        """Return what the `x-mcp` of a root, a path or an operation says, if it has one."""
        if CURATION not in value:
            return ()
        return (value[CURATION] if self.is_curated else tightened(value[CURATION]),)

    def all_parameters(
        self, item: PathItem, operation: dict[str, Any], where: str
    ) -> tuple[str, tuple[Parameter, ...]]:
        """Return the path in OpenAPI's syntax and all parameters; the operation's override those of the path item."""
        inherited = {parameter.place: parameter for parameter in item.parameters}
        own = {parameter.place: parameter for parameter in self.parameters(operation, where)}
        declared = tuple((inherited | own).values())
        if len(declared) > MAX_PARAMETERS:
            raise DocumentError("the operation", f"has more than {MAX_PARAMETERS:,} parameters", "Reduce them.")
        in_path = [parameter.name for parameter in declared if parameter.location == "path"]
        template = read_template(item.path, in_path)
        return template.path, tuple(self.as_in_template(declared, template, item.path, where))

    def as_in_template(
        self, declared: Sequence[Parameter], template: PathTemplate, path: str, where: str
    ) -> Iterator[Parameter]:
        """Drop path parameters that are not in the path, and declare variables that no parameter is declared for.

        A path may contain a query, against the rules. A variable in it can be declared as a query parameter.
        """
        before_query, _, query = template.path.partition("#")[0].partition("?")
        in_query = {parameter.name for parameter in declared if parameter.location == "query"}
        missing = dict.fromkeys(TEMPLATE_VARIABLE.findall(before_query))
        missing |= {name: None for name in TEMPLATE_VARIABLE.findall(query) if name not in in_query}
        listed = dict.fromkeys(name for name in template.query if name not in in_query)
        for parameter in declared:
            variable = template.names.get(parameter.name)
            if parameter.location != "path":
                yield parameter
            elif variable is not None and variable in missing:
                del missing[variable]
                yield self.as_written(parameter, variable, template, path, where)
            elif parameter.name in listed:
                del listed[parameter.name]
                self.repairs.add(f"the path lists the parameter {summarize(parameter.name)} as a query", where)
                yield replace(parameter, location="query", style="form", required=False)
            else:
                self.repairs.add(f"the path has no place for the parameter {summarize(parameter.name)}", where)
        for name in listed:
            yield self.parameter({"name": name, "in": "query", "schema": {"type": "string"}}, where)
        for name in missing:
            self.repairs.add(
                f"no declaration for the parameter {{{summarize(name)}}}; assumed to be a required string", where
            )
            yield self.parameter({"name": name, "in": "path", "schema": {"type": "string"}}, where)

    def as_written(
        self, parameter: Parameter, variable: str, template: PathTemplate, path: str, where: str
    ) -> Parameter:
        """Return a path parameter under the name of its variable, in the style that the path asks for."""
        style = template.styles.get(variable, parameter.style)
        before, in_braces, _ = path.partition(f"{{{parameter.name}}}")
        if not in_braces or before[-1:] != template.path.partition(f"{{{variable}}}")[0][-1:]:
            self.repairs.add(f"the path writes the parameter {summarize(parameter.name)} in another syntax", where)
        return replace(parameter, name=variable, style=style)

    def parameters(self, owner: dict[str, Any], where: str) -> tuple[Parameter, ...]:
        read: dict[Place, Parameter] = {}
        for value in as_list(owner.get("parameters")):
            parameter = self.parameter_or_none(self.found(value, "a parameter", "it is left out", where), where)
            if parameter is None or (parameter.location == "header" and parameter.name.lower() in IGNORED_HEADERS):
                continue
            if parameter.place in read:
                name = f"{summarize(parameter.name)} in {parameter.location}"
                self.repairs.add(f"the parameter {name} is declared twice; the last one is used", where)
            read[parameter.place] = parameter
        return tuple(read.values())

    def parameter_or_none(self, value: dict[str, Any] | None, where: str) -> Parameter | None:
        """Read a parameter; an optional one that can't be sent is left out."""
        if value is None:
            return None
        try:
            return self.parameter(value, where)
        except DocumentError as error:
            if is_true(value.get("required")):
                raise
            self.repairs.add(f"{error.source} {error.problem}, and is left out", where)
            return None

    def parameter(self, value: dict[str, Any], where: str) -> Parameter:
        name, location = value.get("name"), value.get("in")
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or not isinstance(location, str) or location not in DEFAULT_STYLES:
            given = f"the name {summarize(name)} in {summarize(location)}"
            problem = f"has {given}" if value.keys() & {"name", "in"} else "has neither name nor in"
            raise DocumentError("a parameter", problem, "Correct its name and in.")
        if location == "header" and not HTTP_TOKEN.fullmatch(name):
            raise DocumentError("a parameter", f"has the name {summarize(name)}, which no header has", "Correct it.")
        content = next(self.media_types(value, where), None)
        if content is None and "schema" not in value:
            self.repairs.add(f"the parameter {summarize(name)} has no schema; any value is accepted", where)
        style = as_text(value.get("style")) or DEFAULT_STYLES[location]
        return Parameter(
            name=name,
            location=location,
            required=is_true(value.get("required")) or location == "path",
            schema=content.schema if content else _schema(value),
            description=as_text(value.get("description")).strip(),
            style=style,
            explode=is_true(value.get("explode", style in ("form", "cookie"))),
            allow_reserved=is_true(value.get("allowReserved")),
            allow_empty_value=is_true(value.get("allowEmptyValue")),
            content=content,
            deprecated=is_true(value.get("deprecated")),
        )

    def request_body(self, value: Any, where: str) -> RequestBody | None:
        if value is None:
            return None
        body = self.found(value, "the request body", "any JSON is accepted", where)
        if body is None:
            return RequestBody((MediaType("application/json", {}),))
        content = tuple(self.media_types(body, where))
        if not content:
            self.repairs.add("the request body has no content, and is left out", where)
            return None
        return RequestBody(content, is_true(body.get("required")), as_text(body.get("description")).strip())

    def media_types(self, owner: dict[str, Any], where: str) -> Iterator[MediaType]:
        for name, value in mapping(owner.get("content")).items():
            media_type = self.follow({} if value is None else value, "the media type")
            examples = tuple(self.examples(media_type))
            for each in self.media_type_names(name.strip(), where):
                yield replace(media_type_of(each, _schema(media_type), media_type), examples=examples)

    def examples(self, owner: dict[str, Any]) -> Iterator[Any]:
        """Yield the values of `example` and of the Example Objects of a media type (OpenAPI 3.2)."""
        if "example" in owner:
            yield owner["example"]
        for each in mapping(owner.get("examples")).values():
            example = object_at(self.root, each)
            yield from (example[name] for name in ("dataValue", "value") if name in example)

    def media_type_names(self, name: str, where: str) -> list[str]:
        """Return the media types that a name means: itself, what it can only mean, or each of a list."""
        listed = name.split(",") if "," in name and ";" not in name else [name]
        intended = [*dict.fromkeys(_intended_media_type(each) for each in listed if each.strip() or each is name)]
        if intended != [name]:
            assumed = " and ".join(intended)
            self.repairs.add(f"{summarize(name) or 'an empty text'} is not a media type; {assumed} is assumed", where)
        return intended

    def responses(self, value: Any) -> dict[str, Any]:
        """Return the responses without references. One that is broken costs nothing: calls do without it."""
        read = {}
        for status, response in mapping(value).items():
            target = object_at(self.root, response)
            content = {
                name: object_at(self.root, media_type) for name, media_type in mapping(target.get("content")).items()
            }
            read[status] = {**target, "content": content} if "content" in target else target
        return read

    def operation_security(self, requirements: Any, where: str) -> tuple[tuple[SecurityScheme, ...], ...]:
        return self.root_security if requirements is None else self.security(requirements, where)


def _intended_media_type(name: str) -> str:
    bare, semicolon, parameters = name.partition(";")
    bare = re.sub(r"[\\/]+", "/", bare.strip(" :/.,'\"`"))  # stray punctuation
    if (known := MEDIA_TYPES.get(bare.lower())) is None and not {"/", "*"} & {*bare}:
        known = MimeTypes().guess_type(f"_.{bare}")[0] or MEDIA_TYPES[""]
    return (known or bare) + semicolon + parameters


def media_type_of(name: str, schema: Schema, owner: Mapping[str, Any]) -> MediaType:
    """Return a media type with what its Media Type Object, or an Encoding Object, says of the encoding inside it."""
    return MediaType(
        name,
        schema,
        mapping(owner.get("encoding")),
        tuple(map(mapping, as_list(owner.get("prefixEncoding")))),
        mapping(owner.get("itemEncoding")),
    )


def _schema(owner: dict[str, Any]) -> Schema:
    schema = owner.get("schema", {})
    return schema if isinstance(schema, dict | bool) else {}

"""Swagger 2.0 becomes OpenAPI 3: other places and other words for the same things.

The specification of 2.0 decides what is meant, "Upgrading from OpenAPI 2.0 to 3.0" of the OpenAPI Initiative where it
goes. Schemas stay the objects that they are. They may be referred to wherever they stand in the old document, so what
is not found under `components` afterwards is kept under OLD_PARTS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.document.repairs import Repairs, Say, summarize
from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.coercion import as_list, mapping
from portkey_bridge.openapi.pointers import follow
from portkey_bridge.openapi.spec_tables import METHODS, children

#: Where the old `paths`, `parameters` and `responses` are kept.
OLD_PARTS = "x-swagger"

#: How an array is written (2.0, Parameter Object, `collectionFormat`): the style and `explode` of 3.x.
COLLECTION_FORMATS: dict[Any, tuple[str, bool]] = {
    "csv": ("form", False),
    "ssv": ("spaceDelimited", False),
    "tsv": ("tabDelimited", False),
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}

#: Fields of a Parameter Object that say nothing about its value.
NOT_OF_SCHEMA = frozenset(
    ("name", "in", "description", "required", "allowEmptyValue", "collectionFormat", "schema", "content", "style")
) | {"explode", "allowReserved", "deprecated", "example", "examples", "$ref"}

FORM_MEDIA_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

#: The flows of OAuth 2 (2.0, Security Scheme Object, `flow`) and their names in 3.x.
FLOWS = {"application": "clientCredentials", "accessCode": "authorizationCode"}

#: Fields of an Operation Object that are written elsewhere.
MOVED_FIELDS = frozenset({"consumes", "produces", "schemes", "parameters", "responses"})

Object = dict[str, Any]


def from_swagger(root: Object, scheme: str, repairs: Repairs) -> Object:
    """Return a Swagger 2.0 document as an OpenAPI 3.0 document. References are local ones.

    `scheme` is that of the document's own URL, which counts where the document names none (2.0, Swagger Object).
    `repairs` are told what can't be kept.
    """
    kept = {key: value for key, value in root.items() if key in ("info", "tags", "security", "externalDocs")}
    extensions = {key: value for key, value in root.items() if key.startswith("x-") and key != OLD_PARTS}
    _upgrade_schemas(root)
    upgrade = _Upgrade(root, scheme, repairs)
    return {
        "openapi": "3.0.4",
        **kept,
        **extensions,
        "servers": list(upgrade.servers(_texts(root.get("schemes")))),
        "paths": {path: upgrade.path_item(path, item) for path, item in mapping(root.get("paths")).items()},
        "components": {
            "schemas": mapping(root.get("definitions")),
            "parameters": dict(upgrade.parameters()),
            "responses": {name: upgrade.response(value, ()) for name, value in mapping(root.get("responses")).items()},
            "securitySchemes": {
                name: security_scheme(value) for name, value in mapping(root.get("securityDefinitions")).items()
            },
        },
        OLD_PARTS: {key: root[key] for key in ("paths", "parameters", "responses") if key in root},
    }


def _upgrade_schemas(root: Object) -> None:
    """Point each schema's reference to the new place of its target, and write its `discriminator` as in 3.x."""
    for schema in _schemas(root):
        if isinstance(schema.get("discriminator"), str):
            schema["discriminator"] = {"propertyName": schema["discriminator"]}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            schema["$ref"] = _moved(reference)


def _moved(reference: str) -> str:
    if reference.startswith("#/definitions/"):
        return reference.replace("#/definitions/", "#/components/schemas/", 1)
    if reference.startswith(("#/paths/", "#/parameters/", "#/responses/")):
        return f"#/{OLD_PARTS}{reference[1:]}"
    return reference


def _schemas(root: Object) -> Iterator[Object]:
    seen: set[tuple[str, int]] = set()
    waiting: list[tuple[str, Any]] = [("openapi", root)]
    while waiting:
        kind, value = waiting.pop()
        if not isinstance(value, dict) or (kind, id(value)) in seen:
            continue
        seen.add((kind, id(value)))
        waiting.extend((kind_below, child) for kind_below, _, child in children(kind, value))
        if isinstance(value.get("$ref"), str):
            waiting.append((kind, _target(root, {"$ref": value["$ref"]})))
        if kind == "schema":
            yield value


def _target(root: Object, value: Any) -> Any:
    """Follow references to the end; None where they lead nowhere."""
    try:
        return follow(root, value)
    except DanglingReference:
        return None


class _Upgrade:
    """Upgrades the parts of one document. What several places share is upgraded once."""

    def __init__(self, root: Object, scheme: str, repairs: Repairs) -> None:
        self.root = root
        self.scheme = scheme
        self.repairs = repairs
        self.known: dict[tuple[int, tuple[str, ...]], Object] = {}

    def servers(self, schemes: list[str]) -> Iterator[Object]:
        """Return the servers that `host`, `basePath` and `schemes` mean, the safe one first; this machine is safe."""
        host = str(self.root.get("host") or "").rpartition("://")[2].strip("/")
        base = "/" + str(self.root.get("basePath") or "").strip("/")
        if not host:
            yield {"url": base}
            return
        local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        usable = [scheme for scheme in schemes if scheme in ("http", "https")] or ["http" if local else self.scheme]
        for scheme in sorted(usable, reverse=not local):
            yield {"url": f"{scheme}://{host}{base.rstrip('/')}"}

    def parameters(self) -> Iterator[tuple[str, Any]]:
        for name, value in mapping(self.root.get("parameters")).items():
            if isinstance(value, dict) and value.get("in") not in ("body", "formData"):
                yield name, self.parameter(value)

    def path_item(self, path: str, item: Any) -> Any:
        """Upgrade a Path Item Object. Its body and form parameters go to each operation's request body."""
        reference = item.get("$ref") if isinstance(item, dict) else None
        if isinstance(reference, str):
            target = _target(self.root, {"$ref": reference})
            if not isinstance(target, dict):
                return item
            item = {**target, **{key: value for key, value in item.items() if key != "$ref"}}
        if not isinstance(item, dict):
            return item
        upgraded = {key: value for key, value in item.items() if key not in METHODS}
        others, bodies = split_bodies(self.followed(item.get("parameters")))
        upgraded["parameters"] = [self.parameter(value) for value in others]
        for method in item.keys() & frozenset(METHODS):
            upgraded[method] = self.operation(item[method], bodies, f"{method.upper()} {path}")
        return {key: upgraded[key] for key in (*item, "parameters") if key in upgraded}

    def operation(self, operation: Any, inherited: list[Object], where: str) -> Any:
        if not isinstance(operation, dict):
            return operation
        others, own = split_bodies(self.followed(operation.get("parameters")))
        upgraded = {key: value for key, value in operation.items() if key not in MOVED_FIELDS}
        upgraded["parameters"] = [self.parameter(value) for value in others]
        bodies = overridden(inherited, own)
        consumes = self.media_types(operation, "consumes")
        if bodies:
            upgraded["requestBody"] = request_body(bodies, consumes, lambda problem: self.repairs.add(problem, where))
        produces = tuple(self.media_types(operation, "produces"))
        upgraded["responses"] = {
            status: self.response(value, produces) for status, value in mapping(operation.get("responses")).items()
        }
        if _texts(operation.get("schemes")):
            upgraded["servers"] = list(self.servers(_texts(operation["schemes"])))
        return upgraded

    def media_types(self, operation: Object, field: str) -> list[str]:
        """Return what an operation consumes or produces: its own, an empty list too (2.0, Operation Object)."""
        return _texts(operation[field] if field in operation else self.root.get(field))

    def followed(self, parameters: Any) -> list[Any]:
        """Return parameters without references; one that leads nowhere stays, and costs the operation."""
        return [value if (target := _target(self.root, value)) is None else target for value in as_list(parameters)]

    def parameter(self, value: Any) -> Any:
        """Upgrade a parameter that is not a body; the same object for the same one."""
        if not isinstance(value, dict) or "$ref" in value:
            return value
        return self.known.setdefault((id(value), ()), _parameter(value))

    def response(self, value: Any, produces: tuple[str, ...]) -> Any:
        response = _target(self.root, value)
        if not isinstance(response, dict):
            return value
        key = (id(response), produces or ("application/json",))
        if key not in self.known:
            self.known[key] = _response(response, key[1])
        return self.known[key]


def is_body(parameter: Any) -> bool:
    """Check whether a Parameter Object is the body, or a part of it."""
    return isinstance(parameter, dict) and parameter.get("in") in ("body", "formData")


def split_bodies(parameters: Iterable[Any]) -> tuple[list[Any], list[Object]]:
    """Return the parameters that are not the body or a part of it, and those that are."""
    others: list[Any] = []
    bodies: list[Object] = []
    for parameter in parameters:
        (bodies if is_body(parameter) else others).append(parameter)
    return others, bodies


def overridden(inherited: list[Object], own: list[Object]) -> list[Object]:
    """Return the body parameters that count: an operation has one body, and its own parameters go before the path's."""
    if any(value["in"] == "body" for value in own):
        return own
    names = {str(value.get("name")) for value in own}
    kept = [value for value in inherited if str(value.get("name")) not in names and not (own and value["in"] == "body")]
    return kept + own


def request_body(parameters: list[Object], consumes: list[str], say: Say) -> Object:
    """Return the Request Body Object of the body parameter, or of the form parameters where there is none."""
    body = next((value for value in parameters if value["in"] == "body"), None)
    if body is None:
        return _form_body(list(_with_names(parameters, say)), consumes)
    if len(parameters) > 1:
        others = [summarize(value.get("name")) for value in parameters if value is not body]
        say(f"an operation has one body, and {', '.join(others)} beside {summarize(body.get('name'))} is left out")
    media_type = {"schema": body["schema"] if "schema" in body else parameter_schema(body)}
    described: Object = {key: body[key] for key in ("description", "required") if key in body}
    return {**described, "content": dict.fromkeys(consumes or ["application/json"], media_type)}


def _with_names(parameters: list[Object], say: Say) -> Iterator[Object]:
    for value in parameters:
        if isinstance(value.get("name"), str | int | float):
            yield value
        else:
            say(f"a form parameter has the name {summarize(value.get('name'))}, and is left out")


def _form_body(parameters: list[Object], consumes: list[str]) -> Object:
    """Return the body of form parameters. A file needs `multipart/form-data` (2.0, Parameter Object, `type`)."""
    declared = [name for name in consumes if media_types.bare(name) in FORM_MEDIA_TYPES]
    if any(_is_file(_own_schema(value)) for value in parameters):
        declared = [name for name in declared if not name.lower().startswith(FORM_MEDIA_TYPES[0])] or [
            FORM_MEDIA_TYPES[1]
        ]
    named = {str(value.get("name")): value for value in parameters}
    required = [name for name, value in named.items() if value.get("required") is True]
    schema = {
        "type": "object",
        "properties": {name: _property(value) for name, value in named.items()},
        **({"required": required} if required else {}),
    }
    encoding = {name: _style(value, "form") for name, value in named.items() if value.get("type") == "array"}
    media_type = {"schema": schema, **({"encoding": encoding} if encoding else {})}
    return {"required": bool(required), "content": dict.fromkeys(declared or FORM_MEDIA_TYPES[:1], media_type)}


def _property(parameter: Object) -> Any:
    described = {"description": parameter["description"]} if "description" in parameter else {}
    schema = _own_schema(parameter)
    file = {"type": "string", "format": "binary"} if schema.get("type") == "file" else {}
    return {**schema, **file, **described}


def _own_schema(parameter: Object) -> Object:
    """Return the schema of a form parameter: beside its name, or, against the rules of 2.0, in `schema`."""
    return mapping(parameter.get("schema")) or parameter_schema(parameter)


def _is_file(schema: Object) -> bool:
    """Check whether a form parameter is a file, or a list of files."""
    of_items = mapping(schema.get("items"))
    return any(each.get("type") == "file" or each.get("format") == "binary" for each in (schema, of_items))


def _parameter(value: Object) -> Object:
    kept: Object = {
        key: value[key] for key in ("name", "in", "description", "required", "allowEmptyValue") if key in value
    }
    schema = value["schema"] if "schema" in value else _of_lists(parameter_schema(value))
    array = isinstance(schema, dict) and (schema.get("type") == "array" or "collectionFormat" in value)
    return {**kept, "schema": schema, **(_style(value, str(value.get("in"))) if array else {})}


def _of_lists(schema: Object) -> Object:
    """Let arrays in an array say their `collectionFormat`, also where it is the default (2.0, Items Object)."""
    items = schema.get("items")
    if not isinstance(items, dict) or items.get("type") != "array":
        return schema
    return {**schema, "items": {"collectionFormat": "csv", **_of_lists(items)}}


def _style(value: Object, location: str) -> Object:
    """Return style and `explode`. In paths and headers nothing can be repeated, and commas are `simple`."""
    style, explode = COLLECTION_FORMATS.get(str(value.get("collectionFormat")), COLLECTION_FORMATS["csv"])
    if location in ("path", "header"):
        return {"style": "simple" if style == "form" else style, "explode": False}
    return {"style": style, "explode": explode}


def parameter_schema(parameter: Object) -> Object:
    """Return the schema that a parameter contains itself: `type`, `format`, `items`, `enum` and so on."""
    return {
        key: value
        for key, value in parameter.items()
        if key not in NOT_OF_SCHEMA and (not key.startswith("x-") or key == "x-nullable")
    }


def _response(value: Object, produces: tuple[str, ...]) -> Object:
    upgraded = {key: member for key, member in value.items() if key not in ("schema", "examples", "headers")}
    if "headers" in value:
        upgraded["headers"] = {name: _header(header) for name, header in mapping(value["headers"]).items()}
    if "schema" in value:
        examples = mapping(value.get("examples"))
        upgraded["content"] = {
            name: {"schema": value["schema"], **({"example": examples[name]} if name in examples else {})}
            for name in produces
        }
    return upgraded


def _header(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    described = {"description": value["description"]} if "description" in value else {}
    return {**described, "schema": parameter_schema(value)}


def security_scheme(value: Any) -> Any:
    """Upgrade a Security Scheme Object: `basic` is a scheme of `http`, and OAuth's flow an object of its own."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == "basic":
        return {**value, "type": "http", "scheme": "basic"}
    if value.get("type") != "oauth2":
        return value
    flow = str(value.get("flow"))
    kept = {key: member for key, member in value.items() if key in ("type", "description") or key.startswith("x-")}
    parts = {key: value[key] for key in ("authorizationUrl", "tokenUrl", "scopes") if key in value}
    return {**kept, "flows": {FLOWS.get(flow, flow): parts}}


def _texts(value: Any) -> list[str]:
    return [item for item in as_list(value) if isinstance(item, str) and item]

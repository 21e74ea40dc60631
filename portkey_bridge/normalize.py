"""One form for everyone downstream: whatever the document's version, its schemas become JSON Schema 2020-12.

The walk starts at the document and visits what is reachable, each value once, knowing what kind of object it is. A
`$ref` hands its own kind on to its target, so that a schema is found wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from portkey_bridge.document import Document
from portkey_bridge.errors import DanglingReference, DocumentError
from portkey_bridge.references import lookup
from portkey_bridge.soundness import drop_unsound

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")

ONE, LIST, MAP = "one", "list", "map"

#: The keywords of JSON Schema 2020-12 that hold schemas, and in which shape (core section 10 and 11, validation 8).
APPLICATORS = {
    "properties": MAP,
    "patternProperties": MAP,
    "additionalProperties": ONE,
    "propertyNames": ONE,
    "unevaluatedProperties": ONE,
    "dependentSchemas": MAP,
    "items": ONE,
    "prefixItems": LIST,
    "contains": ONE,
    "unevaluatedItems": ONE,
    "allOf": LIST,
    "anyOf": LIST,
    "oneOf": LIST,
    "not": ONE,
    "if": ONE,
    "then": ONE,
    "else": ONE,
    "contentSchema": ONE,
    "$defs": MAP,
}

#: Which fields of which OpenAPI object hold what (OpenAPI 3.2 section 4): kind -> field -> (shape, kind).
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "openapi": {"paths": (MAP, "path-item"), "components": (ONE, "components")},
    "components": {
        "schemas": (MAP, "schema"),
        "parameters": (MAP, "parameter"),
        "headers": (MAP, "parameter"),
        "requestBodies": (MAP, "request-body"),
        "responses": (MAP, "response"),
        "pathItems": (MAP, "path-item"),
        "mediaTypes": (MAP, "media-type"),
    },
    "path-item": {
        "parameters": (LIST, "parameter"),
        "additionalOperations": (MAP, "operation"),
        **dict.fromkeys(METHODS, (ONE, "operation")),
    },
    "operation": {
        "parameters": (LIST, "parameter"),
        "requestBody": (ONE, "request-body"),
        "responses": (MAP, "response"),
    },
    "parameter": {"schema": (ONE, "schema"), "content": (MAP, "media-type")},
    "request-body": {"content": (MAP, "media-type")},
    "response": {"content": (MAP, "media-type"), "headers": (MAP, "parameter")},
    "media-type": {
        "schema": (ONE, "schema"),
        "itemSchema": (ONE, "schema"),
        "encoding": (MAP, "encoding"),
    },
    "encoding": {"headers": (MAP, "parameter")},
    "schema": {keyword: (shape, "schema") for keyword, shape in APPLICATORS.items()},
}


class Normalized(NamedTuple):
    """A document in the one form, and a sentence for everything in it that had to be mended."""

    root: dict[str, Any]
    repairs: tuple[str, ...]


def normalize(document: Document) -> Normalized:
    """Bring a document into the one form that everything downstream reads.

    Takes the document over: its values are changed in place. Raises DocumentError for what is no OpenAPI 3 document.
    """
    root = document.root
    version = _version(document)
    repairs: list[str] = []
    for kind, value in _reachable(root):
        if kind == "schema":
            if version < (3, 1):
                _upgrade_schema(value)
            repairs.extend(drop_unsound(value))
            repairs.extend(_free_of_dangling_reference(root, value))
    return Normalized(root, tuple(repairs))


def _version(document: Document) -> tuple[int, ...]:
    root, source = document.root, document.source
    if "openapi" not in root:
        found = "Swagger 2.0" if "swagger" in root else "no 'openapi' field"
        raise DocumentError(
            source, f"not an OpenAPI 3 document: {found}", "It starts with a line like 'openapi: 3.1.0'."
        )
    numbers = str(root["openapi"]).split(".")
    if not all(number.isdecimal() for number in numbers[:2]) or numbers[0] != "3":
        raise DocumentError(
            source, f"unknown OpenAPI version {root['openapi']!r}", "Versions 3.0, 3.1 and 3.2 can be served."
        )
    if not isinstance(root.get("paths", {}), dict):
        raise DocumentError(source, "/paths is no object", "It maps paths to their operations.")
    return tuple(int(number) for number in numbers[:2])


def _reachable(root: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every OpenAPI object and schema that is reachable from the root, once, with its kind."""
    seen: set[tuple[str, int]] = set()
    waiting: list[tuple[str, Any]] = [("openapi", root)]
    while waiting:
        kind, value = waiting.pop()
        if not isinstance(value, dict) or (kind, id(value)) in seen:
            continue
        seen.add((kind, id(value)))
        if isinstance(reference := value.get("$ref"), str):
            # A schema without a target is mended by `normalize`; anything else costs the operations that use it.
            with suppress(DanglingReference):
                waiting.append((kind, lookup(root, reference)))
        for field, (shape, child_kind) in FIELDS.get(kind, {}).items():
            waiting.extend((child_kind, child) for child in _children(value.get(field), shape))
        yield kind, value


def _children(value: Any, shape: str) -> list[Any]:
    if shape == ONE:
        return [value]
    if shape == LIST:
        return value if isinstance(value, list) else []
    return list(value.values()) if isinstance(value, dict) else []


def _free_of_dangling_reference(root: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Let a schema whose `$ref` leads nowhere accept everything, and say so."""
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return
    try:
        lookup(root, reference)
    except DanglingReference as error:
        del schema["$ref"]
        yield f"{error} Any value is accepted in its place."


def _upgrade_schema(schema: dict[str, Any]) -> None:
    """Turn one schema of OpenAPI 3.0 (section 4.7.24) into JSON Schema 2020-12, in place."""
    if isinstance(schema.get("$ref"), str):
        _keep_annotations(schema)
    for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(keyword), bool) and schema.pop(keyword) and bound in schema:
            schema[keyword] = schema.pop(bound)
    if "example" in schema:
        schema.setdefault("examples", [schema.pop("example")])
    if schema.pop("nullable", False) is True:
        _allow_null(schema)


def _keep_annotations(reference: dict[str, Any]) -> None:
    """Drop what stands beside a `$ref`: 3.0 ignores it. Annotations do no harm, and `nullable` there is meant."""
    for keyword in reference.keys() - {
        "$ref",
        "nullable",
        "description",
        "title",
        "deprecated",
        "readOnly",
        "writeOnly",
    }:
        del reference[keyword]


def _allow_null(schema: dict[str, Any]) -> None:
    """Let the schema accept null, also where its `enum` or its composition alone would not.

    By the letter (OpenAPI 3.0.3, Proposal 2019-10-31) `nullable` means nothing without `type` in the same schema; what
    the documents that write it so mean is plain.
    """
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            schema[keyword] = [*schema[keyword], {"type": "null"}]
            return
    for keyword in ("allOf", "$ref"):
        if keyword in schema:
            schema["anyOf"] = [{keyword: schema.pop(keyword)}, {"type": "null"}]

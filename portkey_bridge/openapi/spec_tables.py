"""Which fields of OpenAPI and JSON Schema contain which objects: the tables that a walk follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portkey_bridge.openapi.keywords import with_value

#: The fields of a Path Item Object that are operations (OpenAPI 3.2 section 4.9.1).
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")

ONE, LIST, MAP = "one", "list", "map"

#: The keywords of JSON Schema 2020-12 that hold schemas, and in which shape (core section 10 and 11, validation 8).
APPLICATORS = {
    **dict.fromkeys(with_value("schema"), ONE),
    **dict.fromkeys(with_value("schemas"), LIST),
    **dict.fromkeys(with_value("named schemas"), MAP),
}

#: The fields of a Media Type Object, and of an Encoding Object, that hold encodings (OpenAPI 3.2).
ENCODINGS = {"encoding": (MAP, "encoding"), "prefixEncoding": (LIST, "encoding"), "itemEncoding": (ONE, "encoding")}

#: Which fields of which object hold what: kind -> field -> (shape, kind). OpenAPI 3.2 section 4, and where 2.0 has
#: other fields, these too: a file of either may be referred to.
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "openapi": {
        "paths": (MAP, "path-item"),
        "components": (ONE, "components"),
        "definitions": (MAP, "schema"),
        "parameters": (MAP, "parameter"),
        "responses": (MAP, "response"),
    },
    "components": {
        "schemas": (MAP, "schema"),
        "parameters": (MAP, "parameter"),
        "headers": (MAP, "parameter"),
        "requestBodies": (MAP, "request-body"),
        "responses": (MAP, "response"),
        "securitySchemes": (MAP, "security-scheme"),
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
    "parameter": {"schema": (ONE, "schema"), "items": (ONE, "schema"), "content": (MAP, "media-type")},
    "request-body": {"content": (MAP, "media-type")},
    "response": {"content": (MAP, "media-type"), "headers": (MAP, "parameter"), "schema": (ONE, "schema")},
    "media-type": {"schema": (ONE, "schema"), "itemSchema": (ONE, "schema"), **ENCODINGS},
    "encoding": {"headers": (MAP, "parameter"), **ENCODINGS},
    "schema": {
        **{keyword: (shape, "schema") for keyword, shape in APPLICATORS.items()},
        "definitions": (MAP, "schema"),  # drafts before 2019-09; references lead there
        "additionalItems": (ONE, "schema"),  # likewise
    },
}


def children(kind: str, value: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Yield the children of an object: kind, tokens, value. A wrong shape is interpreted if possible."""
    fields = FIELDS.get(kind, {})
    for field, found in value.items():
        if field not in fields:
            continue
        shape, kind_below = fields[field]
        if isinstance(found, list):
            yield from ((kind_below, (field, str(index)), child) for index, child in enumerate(found))
        elif isinstance(found, dict) and shape == MAP:
            yield from ((kind_below, (field, name), child) for name, child in found.items())
        elif isinstance(found, dict):
            yield kind_below, (field,), found

"""OpenAPI documents of any size, as an API with many kinds of things would have them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

#: Operations that each kind of thing has.
EACH = 5

#: The tool that is called in every document.
TOOL = "getthing0"

PROPERTIES = 30


def things(url: str, operations: int = EACH) -> Json:
    """Return the document of an API at `url` with so many operations, to the next multiple of EACH."""
    kinds = range(-(-operations // EACH))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1", "description": "Keeps things of many kinds."},
        "servers": [{"url": url}],
        "paths": {path: item for kind in kinds for path, item in _paths(kind).items()},
        "components": {"schemas": {name: schema for kind in kinds for name, schema in _schemas(kind).items()}},
    }


def _paths(kind: int) -> Json:
    identity = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[a-z0-9]+$"},
        "description": "Which thing, as the list names it.",
    }
    return {
        f"/things{kind}": {
            "get": _operation(kind, "list", parameters=[_query("limit", "integer"), _query("after", "string")]),
            "post": _operation(kind, "create", requestBody=_content(f"Thing{kind}")),
        },
        f"/things{kind}/{{id}}": {
            "parameters": [identity],
            "get": _operation(kind, "get", parameters=[_query("fields", "string")]),
            "put": _operation(kind, "replace", requestBody=_content(f"Thing{kind}")),
            "delete": _operation(kind, "delete"),
        },
    }


def _operation(kind: int, verb: str, **fields: Any) -> Json:
    return {
        "operationId": f"{verb}Thing{kind}",
        "summary": f"{verb.capitalize()} things of kind {kind}",
        "description": f"What is given to {verb} a thing of kind {kind} counts from the next day on. " * 3,
        "tags": [f"Kind {kind // 10}"],
        "responses": {"200": {"description": "It is done.", **_content(f"Thing{kind}")}},
        **fields,
    }


def _query(name: str, kind: str) -> Json:
    return {"name": name, "in": "query", "schema": {"type": kind}, "description": f"The {name} of the answer."}


def _content(name: str) -> Json:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def _schemas(kind: int) -> Json:
    """Return a thing with its parts, a union among them, and a way back to itself."""
    reference = f"#/components/schemas/Thing{kind}"
    text = {"type": "string", "maxLength": 200, "description": "A text that a person reads, in any language."}
    return {
        f"Base{kind}": {
            "type": "object",
            "properties": {"id": {"type": "string", "readOnly": True}, "name": text},
            "required": ["id", "name"],
        },
        f"Thing{kind}": {
            "allOf": [
                {"$ref": f"#/components/schemas/Base{kind}"},
                {
                    "type": "object",
                    "properties": {
                        **{f"property{number}": text for number in range(PROPERTIES)},
                        "size": {"type": "integer", "minimum": 0},
                        "parts": {"type": "array", "items": {"$ref": reference}},
                        "owner": {"oneOf": [{"type": "string"}, {"$ref": f"#/components/schemas/Base{kind}"}]},
                    },
                },
            ]
        },
    }

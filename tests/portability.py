"""The schemas that every known client accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

ARGUMENT_NAME = re.compile(r"(?!_)[a-zA-Z0-9_.-]{1,64}")
NOT_PORTABLE = {
    *("$ref", "$defs", "definitions", "oneOf", "const", "not", "if", "prefixItems", "patternProperties"),
    *("allOf", "uniqueItems", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
}
#: The formats that AutoGen knows and so does ajv; `email` needs a further library in CrewAI and AutoGen.
FORMATS = {
    *("date-time", "date", "time", "duration", "hostname", "ipv4", "ipv6", "uri", "uuid", "byte", "binary", "password"),
    *("int32", "int64", "float", "double"),
}


def subschemas(schema: Json, pointer: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the schema and all that it holds, with their places."""
    yield pointer, schema
    for name, child in schema.get("properties", {}).items():
        yield from subschemas(child, f"{pointer}/properties/{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from subschemas(schema[keyword], f"{pointer}/{keyword}")
    for keyword in ("anyOf", "allOf"):
        for index, child in enumerate(schema.get(keyword, [])):
            yield from subschemas(child, f"{pointer}/{keyword}/{index}")


def portability_problems(schema: Json) -> Iterator[str]:
    """Yield what a known client refuses in one schema, its parts aside."""
    yield from schema.keys() & NOT_PORTABLE
    if isinstance(schema.get("type"), list):
        yield "a list of types"
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield "an array without items"
    if not all(isinstance(value, str) for value in schema.get("enum", [])):
        yield "an enum that is not of strings"
    if not schema.keys() & {"type", "anyOf"}:
        yield "no type"
    if isinstance(schema.get("additionalProperties"), bool):
        yield "a boolean for additionalProperties"
    if schema.get("format", "date") not in FORMATS:
        yield f"format {schema['format']}"
    yield from (f"required {name}" for name in set(schema.get("required", ())) - schema.get("properties", {}).keys())
    yield from ("a choice inside a choice" for branch in schema.get("anyOf", ()) if branch.keys() == {"anyOf"})
    yield from (f"property {name}" for name in schema.get("properties", {}) if not ARGUMENT_NAME.fullmatch(name))

"""The keywords of JSON Schema 2020-12, and those that OpenAPI adds: one row for each, which all readers share.

How a keyword is repaired, merged, checked, explained or shown depends on what is said here: the types that it is about,
what its value is, and whether a larger or a smaller value accepts less.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

SchemaObject = dict[str, Any]
"""A schema that is an object, as all are but true and false."""

Schema = SchemaObject | bool
"""A JSON Schema 2020-12 (core section 4.3), with references into the document. True accepts every value, false none."""

Shape = dict[str, Any]
"""One level of a schema as a reader should meet it; `schema/shapes` makes it."""

Value = Literal[
    "schema", "schemas", "named schemas", "number", "count", "truth", "text", "string", "object", "names", "other"
]
"""What the value of a keyword is. A `text` is for people; a `string` is read by programs."""

Bound = Literal["lower", "upper"]


class Keyword(NamedTuple):
    """One keyword: what its value is, the type that it is about (None for all), and which bound it is, if it is one.

    An annotation refuses no value. Keywords with one name in `beside` mean something only beside each other.
    """

    value: Value
    type: str | None = None
    bound: Bound | None = None
    beside: str = ""
    is_annotation: bool = False


_STRING = {
    "minLength": Keyword("count", "string", "lower"),
    "maxLength": Keyword("count", "string", "upper"),
    "pattern": Keyword("string", "string"),
    "format": Keyword("string", is_annotation=True),
    "contentEncoding": Keyword("string", "string", is_annotation=True),
    "contentMediaType": Keyword("string", "string", is_annotation=True),
    "contentSchema": Keyword("schema", "string", is_annotation=True),
}

_NUMBER = {
    "minimum": Keyword("number", "number", "lower"),
    "maximum": Keyword("number", "number", "upper"),
    "exclusiveMinimum": Keyword("number", "number", "lower"),
    "exclusiveMaximum": Keyword("number", "number", "upper"),
    "multipleOf": Keyword("other", "number"),
}

_OBJECT = {
    "properties": Keyword("named schemas", "object"),
    "required": Keyword("names", "object"),
    "additionalProperties": Keyword("schema", "object"),
    "patternProperties": Keyword("named schemas", "object"),
    "propertyNames": Keyword("schema", "object"),
    "unevaluatedProperties": Keyword("schema", "object"),
    "minProperties": Keyword("count", "object", "lower"),
    "maxProperties": Keyword("count", "object", "upper"),
    "dependentRequired": Keyword("other", "object"),
    "dependentSchemas": Keyword("named schemas", "object"),
}

_ARRAY = {
    "items": Keyword("schema", "array", beside="prefixItems"),
    "prefixItems": Keyword("schemas", "array", beside="prefixItems"),
    "contains": Keyword("schema", "array", beside="contains"),
    "minContains": Keyword("count", "array", "lower", beside="contains"),
    "maxContains": Keyword("count", "array", "upper", beside="contains"),
    "unevaluatedItems": Keyword("schema", "array"),
    "minItems": Keyword("count", "array", "lower"),
    "maxItems": Keyword("count", "array", "upper"),
    "uniqueItems": Keyword("truth", "array"),
}

_ANY = {
    "type": Keyword("other"),
    "enum": Keyword("other"),
    "const": Keyword("other"),
    "allOf": Keyword("schemas"),
    "anyOf": Keyword("schemas"),
    "oneOf": Keyword("schemas"),
    "not": Keyword("schema"),
    "if": Keyword("schema", beside="if"),
    "then": Keyword("schema", beside="if"),
    "else": Keyword("schema", beside="if"),
    "$defs": Keyword("named schemas", is_annotation=True),
    "$ref": Keyword("string"),
    "$dynamicRef": Keyword("string"),
    "$comment": Keyword("other", is_annotation=True),
    "title": Keyword("text", is_annotation=True),
    "description": Keyword("text", is_annotation=True),
    "default": Keyword("other", is_annotation=True),
    "example": Keyword("other", is_annotation=True),
    "examples": Keyword("other", is_annotation=True),
    "readOnly": Keyword("truth", is_annotation=True),
    "writeOnly": Keyword("truth", is_annotation=True),
    "deprecated": Keyword("truth", is_annotation=True),
    "discriminator": Keyword("other", is_annotation=True),
    "externalDocs": Keyword("other", is_annotation=True),
    "xml": Keyword("object", is_annotation=True),
}

#: All keywords: validation 6 to 9 and core 8 to 11 of JSON Schema 2020-12, and OpenAPI 3.2 section 4.24.
KEYWORDS: dict[str, Keyword] = _STRING | _NUMBER | _OBJECT | _ARRAY | _ANY

#: The keywords that say something about values of one type only, by type. `format` is about texts and numbers.
KEYWORDS_OF_TYPE = {
    "string": tuple(_STRING),
    "number": (*_NUMBER, "format"),
    "integer": (*_NUMBER, "format"),
    "object": tuple(_OBJECT),
    "array": tuple(_ARRAY),
}

#: The keywords that refuse no value.
ANNOTATIONS = frozenset(name for name, keyword in KEYWORDS.items() if keyword.is_annotation)

#: The keywords one of whose branches applies; a discriminator (OpenAPI 3.2 section 4.25) says which.
UNIONS = frozenset({"oneOf", "anyOf"})


def with_value(*values: Value) -> tuple[str, ...]:
    """Return the keywords whose value is one of these."""
    return tuple(name for name, keyword in KEYWORDS.items() if keyword.value in values)


def bounds(bound: Bound) -> tuple[str, ...]:
    """Return the keywords that accept less, the larger (`lower`) or the smaller (`upper`) their number is."""
    return tuple(name for name, keyword in KEYWORDS.items() if keyword.bound == bound)

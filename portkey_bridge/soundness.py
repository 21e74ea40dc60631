"""Every keyword of a schema has a value of the form that JSON Schema gives it; one that has not says nothing.

So everything downstream may take a keyword at its word. Many documents hold a slip somewhere: a `required: true`
beside a property, a type named `any`, a bound that is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _some(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: bool(value) and fits(value)


def _map_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


#: The form of each keyword's value (JSON Schema 2020-12, core sections 10 and 11, validation sections 6 to 9).
FORMS: dict[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": _some(_list_of(lambda value: True)),
    "required": _list_of(_is_text),
    "dependentRequired": _map_of(_list_of(_is_text)),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minContains", "maxContains"), _is_count),
    **dict.fromkeys(("uniqueItems", "readOnly", "writeOnly", "deprecated"), _is_flag),
    **dict.fromkeys(("pattern", "format", "title", "description", "$ref", "$id", "contentEncoding"), _is_text),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _some(_list_of(_is_schema))),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas", "$defs"), _map_of(_is_schema)),
    **dict.fromkeys(("items", "contains", "unevaluatedItems", "not", "if", "then", "else"), _is_schema),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "propertyNames", "contentSchema"), _is_schema),
}


def drop_unsound(schema: dict[str, Any]) -> Iterator[str]:
    """Take the keywords out of `schema` whose values have not their form, and yield a sentence for each."""
    for keyword in FORMS.keys() & schema.keys():
        if not FORMS[keyword](schema[keyword]):
            given = json.dumps(schema.pop(keyword), ensure_ascii=False, default=str)
            yield f"{keyword}: {given[:60]} in a schema is not what JSON Schema has there; it is ignored."

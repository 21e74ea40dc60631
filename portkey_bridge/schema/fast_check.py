"""A fast answer to "surely valid": a schema compiled by jsonschema-rs, where its answer cannot differ from ours.

`validation` decides what is valid and explains what is not. It reads some keywords more generously than JSON Schema
does; here each is translated to its generous meaning, so "valid" is right. Anything else than "valid" means nothing.
A schema with a keyword that is not in these tables, or a pattern that engines may read in different ways, has no fast
check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.keywords import ANNOTATIONS, Schema
from portkey_bridge.schema.shapes import Shapes

#: Keywords whose value is kept, and those that hold a schema, schemas by their names, and a list of schemas. None of
#: them makes a value invalid because a schema below accepts it, as `not`, `if` and `contains` may.
KEYWORDS_OF_VALUE = frozenset(
    """
    type enum const minimum maximum exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems
    uniqueItems minProperties maxProperties dependentRequired
    """.split()
)
KEYWORDS_OF_SCHEMA = frozenset({"items", "additionalProperties", "propertyNames"})
NAMED_SCHEMAS = frozenset({"properties", "dependentSchemas"})
LISTED_SCHEMAS = frozenset({"allOf", "anyOf", "prefixItems"})

#: Patterns that all engines read alike.
PLAIN_PATTERN = re.compile(
    r"\^?(?:(?:\[[A-Za-z0-9_](?:-?[A-Za-z0-9_])*-?\]|[A-Za-z0-9_@:/-])(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?)*\$?"
)

#: Most schemas that may apply to one value, each reference counted with all that is below it, and each value of
#: an enum; and most applications of a schema to a part of a value: the compiled check cannot be interrupted, and blocks
#: all other calls for this fraction of a second.
MAX_APPLIED_SCHEMAS, MAX_WORK = 20_000, 2_000_000

#: Schemas that count as much as comparing an item with the others, and characters that count as one part of a value.
UNIQUE_ITEMS_WORK, CHARACTERS_PER_PART = 10, 100

#: Integers that are compared as machine words. The others are read from their digits, again each time.
WORDS = range(-(2**63), 2**64)

IsValid = Callable[[Any], bool]


def fast_check(schema: Schema, shapes: Shapes) -> IsValid | None:
    """Return a function that is true only for values that `validation` accepts, or None if there can be none."""
    translation = _Translation(shapes)
    try:
        whole = translation.whole(schema)
    except (_Untranslatable, DanglingReference, RecursionError):
        return None
    from jsonschema_rs import Draft202012Validator

    try:
        check = Draft202012Validator(whole, validate_formats=False, offline=True).is_valid
    except ValueError:  # a schema that the library does not accept
        return None
    limit = MAX_WORK // translation.size

    def is_valid(value: Any) -> bool:
        try:
            return _is_light(value, limit) and check(value)
        except ValueError:  # half of a surrogate pair
            return False

    return is_valid


def _is_light(value: Any, limit: int) -> bool:
    """Check whether a value has at most `limit` parts, of which long texts count as several, and no long integer."""
    waiting = [value]
    while waiting and limit > 0:
        each = waiting.pop()
        limit -= 1
        if isinstance(each, str):
            limit -= len(each) // CHARACTERS_PER_PART
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, int) and each not in WORDS:
            return False
    return not waiting and limit >= 0


class _Untranslatable(Exception):
    """A schema that cannot be compiled so that "valid" is certain."""


class _Translation:
    """Translates a schema and everything that it refers to."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self.size = 0  # schemas so far, as many times as they may apply
        self._definitions: dict[str, Any] = {}
        self._translated: dict[int, tuple[str, int]] = {}  # by identity: the name and size of what is referred to
        self._open: set[int] = set()

    def whole(self, schema: Schema) -> dict[str, Any]:
        """Return one schema that holds all that it refers to."""
        return {"allOf": [self._schema(schema)], "$defs": self._definitions}

    def _schema(self, schema: Schema) -> Any:
        self.size += 1
        if self.size > MAX_APPLIED_SCHEMAS:
            raise _Untranslatable
        if not isinstance(schema, dict):
            return schema
        return dict(
            self._keyword(keyword, value, schema)
            for keyword, value in schema.items()
            if keyword not in ANNOTATIONS and not keyword.startswith("x-")
        )

    def _keyword(self, keyword: str, value: Any, schema: dict[str, Any]) -> tuple[str, Any]:
        """Return a keyword with its generous meaning, and its value."""
        if keyword in KEYWORDS_OF_VALUE:
            self.size += len(value) if keyword == "enum" else UNIQUE_ITEMS_WORK * (keyword == "uniqueItems")
            return keyword, value
        if keyword in KEYWORDS_OF_SCHEMA:
            return keyword, self._schema(value)
        if keyword in NAMED_SCHEMAS:
            return keyword, {name: self._schema(each) for name, each in value.items()}
        if keyword in LISTED_SCHEMAS:
            return keyword, [self._schema(each) for each in value]
        if keyword == "oneOf" and "anyOf" not in schema:  # several branches may match
            return "anyOf", [self._schema(each) for each in value]
        if keyword == "required":
            return keyword, [name for name in value if not self._shapes.cannot_have(schema, name)]
        if keyword == "$ref":
            return keyword, f"#/$defs/{self._name(self._shapes.target(value))}"
        if (keyword == "pattern" and PLAIN_PATTERN.fullmatch(value)) or (
            keyword == "multipleOf" and isinstance(value, int)
        ):
            return keyword, value
        raise _Untranslatable

    def _name(self, target: Schema) -> str:
        """Translate what a reference leads to, once. A circle has no bound in size."""
        identity = id(target)
        if identity in self._open:
            raise _Untranslatable
        if identity not in self._translated:
            self._open.add(identity)
            before, self.size = self.size, 0
            name = str(len(self._translated) + len(self._open))
            self._definitions[name] = self._schema(target)
            self._translated[identity] = name, self.size
            self.size = before
            self._open.remove(identity)
        name, size = self._translated[identity]
        self.size += size
        if self.size > MAX_APPLIED_SCHEMAS:
            raise _Untranslatable
        return name

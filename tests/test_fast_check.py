"""The fast check: it says "valid" only where the thorough one does, and never takes long."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.schema.fast_check import PLAIN_PATTERN, fast_check
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.validation import Validation
from tests.schemas import SCHEMAS, VALUES, document, obj, ref

TEXT = {"type": "string"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_surely_valid_is_valid(name: str) -> None:
    """Whatever the fast check accepts, the thorough one accepts."""
    shapes = Shapes(document())
    is_valid, validation = fast_check(SCHEMAS[name], shapes), Validation(SCHEMAS[name], shapes)
    if is_valid is not None:
        for value in (value for value in VALUES if is_valid(value)):
            assert list(validation.violations(value, pointer_to)) == [], value


def test_most_schemas_have_a_fast_check() -> None:
    """The tests of this module compare something."""
    checks = [fast_check(schema, Shapes(document())) for schema in SCHEMAS.values()]
    assert sum(check is not None for check in checks) > len(checks) / 2


ACCEPTED: list[tuple[Any, Any]] = [
    (TEXT, "x"),
    ({"oneOf": [TEXT, {"type": "string", "minLength": 1}]}, "both branches"),
    (obj("id", "name", id={**TEXT, "readOnly": True}, name=TEXT), {"name": "x"}),
    ({"type": "string", "pattern": "^[a-z0-9-]+$", "format": "email"}, "no-mail"),
    ({"$ref": "#/components/schemas/Thing"}, {"name": "x"}),
    ({"type": "integer", "multipleOf": 5}, 15),
]


@pytest.mark.parametrize(("schema", "value"), ACCEPTED)
def test_usual_values_are_accepted_at_once(schema: Any, value: Any) -> None:
    """Overlapping branches, read-only properties and formats cost nothing."""
    is_valid = fast_check(schema, Shapes(document(Thing=obj("name", name=TEXT))))
    assert is_valid
    assert is_valid(value)


LEFT: dict[str, Any] = {
    "negation": {"not": {"oneOf": [TEXT, {"minLength": 1}]}},
    "condition": {"if": TEXT, "then": {"minLength": 1}},
    "contains": {"contains": TEXT},
    "dialect": {"pattern": r"^\d+$"},
    "fraction": {"multipleOf": 0.01},
    "names": {"patternProperties": {"^x": TEXT}},
    "dangling": ref("Nowhere"),
    "circle": ref("Circle"),
    "another dialect": {"$schema": "http://json-schema.org/draft-04/schema#"},
    "no schema": {"type": "text"},
    "elsewhere": {"$ref": "https://example.com/schema"},
    "huge": ref("Level0"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_certain_is_left_to_the_thorough_check(name: str) -> None:
    """Keywords whose meaning differs, patterns that engines read differently, and endless work have no fast check."""
    levels = {f"Level{n}": {"anyOf": [ref(f"Level{n + 1}"), obj("x", x=ref(f"Level{n + 1}"))]} for n in range(20)}
    circle = {"anyOf": [obj("x", x=ref("Circle")), obj("y", y=ref("Circle"))]}
    assert fast_check(LEFT[name], Shapes(document(Circle=circle, **levels, Level20=TEXT))) is None


def test_a_value_that_would_take_long_is_left_to_the_thorough_check() -> None:
    """The compiled check cannot be interrupted, so large values of large schemas are not given to it."""
    many = {"anyOf": [{"type": "array", "items": {"enum": [str(n)]}} for n in range(5000)]}
    is_valid = fast_check(many, Shapes(document()))
    assert is_valid
    assert is_valid(["7"] * 10)
    assert not is_valid(["7"] * 10_000)


#: A schema, a small value that is valid, and one for which the compiled check would need seconds.
HEAVY: dict[str, tuple[Any, Any, Any]] = {
    "long integers": ({"uniqueItems": True}, [1, 2], [10**400 + n for n in range(1000)]),
    "unique items": ({"uniqueItems": True}, [1, 2], list(range(500_000))),
    "enum": ({"items": {"enum": list(range(5000))}}, [1, 2], [4999] * 5000),
    "long texts": ({"anyOf": [{"pattern": f"^a*{n}$"} for n in range(1000)]}, "a7", "a" * 1_000_000 + "7"),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_the_compiled_check_is_slow_at_is_left_to_the_thorough_check(name: str) -> None:
    """Integers that are read from their digits, comparisons, enumerations and long texts count as much as they cost."""
    schema, light, heavy = HEAVY[name]
    is_valid = fast_check(schema, Shapes(document()))
    assert is_valid
    assert is_valid(light)
    assert not is_valid(heavy)


PATTERNS = ["^[a-z0-9]+$", "^wf_[A-Za-z0-9-]{1,40}$", "abc", "", "[a-z]*"]
DIALECTS = [r"\w", "a|b", "(a)", ".", "[^a]", "^[a-", "a{2", r"\u0041", "[z-a-b-c]]", "$x", "[a-]"]


def test_plain_patterns_are_told_from_others() -> None:
    """Only classes, literals and counts are plain."""
    assert [pattern for pattern in PATTERNS if not PLAIN_PATTERN.fullmatch(pattern)] == []
    assert [pattern for pattern in DIALECTS if PLAIN_PATTERN.fullmatch(pattern)] == ["[a-]"]

"""Values that are made up for schemas, judged by jsonschema."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from portkey_bridge.schema.samples import SAMPLES_OF_FORMATS, Samples
from portkey_bridge.schema.shapes import Shapes

NODE = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "next": {"$ref": "#/$defs/n"}}}

SCHEMAS = [
    pytest.param({"type": "string", "minLength": 20}, id="a long text"),
    pytest.param({"type": "string", "maxLength": 3}, id="a short text"),
    pytest.param({"type": "string", "pattern": "^[A-Z]+[0-9]$"}, id="a pattern"),
    pytest.param({"type": "integer", "minimum": 7, "maximum": 9}, id="an integer between bounds"),
    pytest.param({"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}, id="a multiple above a bound"),
    pytest.param({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, id="a fraction"),
    pytest.param({"type": "number", "maximum": -3}, id="a negative number"),
    pytest.param({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True}, id="unique items"),
    pytest.param({"type": "array", "items": {"type": "string"}, "maxItems": 0}, id="no items at all"),
    pytest.param({"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}], "items": False}, id="a tuple"),
    pytest.param({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2}, id="a map"),
    pytest.param({"type": "object", "required": ["a"]}, id="a required property without a schema"),
    pytest.param({"const": {"a": [1]}}, id="a constant"),
    pytest.param({"type": ["null", "string"]}, id="a list of types"),
    pytest.param({"properties": {"a": {"type": "boolean"}}, "required": ["a"]}, id="an object by its keywords"),
    pytest.param({"anyOf": [False, {"type": "integer"}]}, id="a branch that nothing fits"),
    pytest.param({"oneOf": [{"type": "number"}, {"type": "integer"}, {"type": "string"}]}, id="exactly one branch"),
    pytest.param(
        {"properties": {"a": {"const": 1}, "b": {"const": 2}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        id="branches that only require",
    ),
    pytest.param(
        {
            "allOf": [
                {"anyOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}]},
                {"anyOf": [{"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
            ]
        },
        id="two unions at once",
    ),
    pytest.param({"type": "string", "enum": ["x", "y"], "default": "z"}, id="a default that does not fit"),
    pytest.param({"$defs": {"n": NODE}, "$ref": "#/$defs/n"}, id="a list that refers to itself"),
    *(pytest.param({"type": "string", "format": name}, id=name) for name in SAMPLES_OF_FORMATS),
]

GIVEN = [
    pytest.param({"type": "string", "examples": ["first", "second"]}, "first", id="examples"),
    pytest.param({"type": "string", "example": "one", "default": "two"}, "one", id="an example before the default"),
    pytest.param({"type": "string", "default": "two", "enum": ["one", "two"]}, "two", id="a default before the enum"),
    pytest.param({"type": "integer", "examples": ["wrong", 5]}, 5, id="an example that fits"),
    pytest.param({"type": ["string", "null"], "default": None}, "some-value", id="anything rather than null"),
    pytest.param({"type": "null"}, None, id="null where it must be"),
]

#: Patterns that Python does not read, and one that it never comes to an end with.
FOREIGN = [
    pytest.param({"type": "string", "pattern": r"^[\p{L}]+$"}, id="a class of characters"),
    pytest.param({"required": ["a"], "patternProperties": {r"^\p{Lu}": {}}, "additionalProperties": {}}, id="of names"),
    pytest.param({"type": "string", "pattern": r"^(a+)+$", "examples": ["a" * 40 + "!"]}, id="without an end"),
]


def sample(schema: Any, **settings: Any) -> Any:
    """Return the sample of a schema whose `$defs` stand in a document."""
    root = {"$defs": schema.get("$defs", {})}
    return Samples(Shapes(root), **settings)({key: value for key, value in schema.items() if key != "$defs"})


@pytest.mark.parametrize("schema", SCHEMAS)
def test_fits_its_schema(schema: Any) -> None:
    """The value that is made for a schema is valid under it, and always the same."""
    value = sample(schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)
    assert value == sample(schema)


@pytest.mark.parametrize("schema", FOREIGN)
def test_a_pattern_that_python_cannot_use_costs_nothing(schema: Any) -> None:
    """A pattern of ECMAScript, or one that backtracks for ever, still gives a value."""
    assert sample(schema)


@pytest.mark.parametrize(("schema", "value"), GIVEN)
def test_prefers_what_the_document_gives(schema: Any, value: Any) -> None:
    """What the document itself gives comes first, as long as it fits."""
    assert sample(schema) == value


def test_ends_where_no_value_does() -> None:
    """A schema whose values would never end gives null instead of running on."""
    endless = {"properties": {"again": {"$ref": "#/$defs/endless"}}, "required": ["again"]}
    assert sample({"$defs": {"endless": endless}, "$ref": "#/$defs/endless"}) is None


def test_stays_small_where_everything_refers_to_everything() -> None:
    """A document in which every schema mentions all others still gives a value of bounded size."""
    names = [f"s{number}" for number in range(12)]
    definitions = {name: {"properties": {other: {"$ref": f"#/$defs/{other}"} for other in names}} for name in names}
    value = sample({"$defs": definitions, "$ref": "#/$defs/s0"})
    assert 100 < str(value).count(":") <= 500


def test_leaves_out_what_is_optional_where_asked() -> None:
    """With a depth of 0 an object has its required properties only."""
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["b"]}
    assert sample(schema, depth=0) == {"b": 1}
    assert sample(schema) == {"a": 1, "b": 1}


def test_texts_repeat_their_names() -> None:
    """A text says what it stands for."""
    assert sample({"properties": {"team[name]": {"type": "string"}}}) == {"team[name]": "some-team-name"}

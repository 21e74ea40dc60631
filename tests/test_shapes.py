"""One level of a schema, as a reader should meet it."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_bridge.schema.shapes import Shapes
from tests.schemas import COMPONENTS, SCHEMAS, document, obj, ref

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}

SHAPES = [
    pytest.param(ref("Whole"), WHOLE, id="a reference is what it refers to"),
    pytest.param({"const": "x"}, {"type": "string", "enum": ["x"]}, id="const is an enum of one"),
    pytest.param({"enum": [1, 2.0]}, {"type": "integer", "enum": [1, 2.0]}, id="an enum has a type"),
    pytest.param(
        {"type": ["string", "null"], "maxLength": 2},
        {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]},
        id="a list of types is a union",
    ),
    pytest.param(
        {"type": ["string", "null"], "enum": ["x", None]},
        {"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "null"}]},
        id="an enum goes with its types",
    ),
    pytest.param({"type": ["string", "null"], "enum": [1]}, {"not": {}}, id="an enum without its type is nothing"),
    pytest.param({"oneOf": [TEXT, WHOLE]}, {"anyOf": [TEXT, WHOLE]}, id="oneOf reads anyOf"),
    pytest.param(
        {"oneOf": [TEXT], "anyOf": [WHOLE]}, {"anyOf": [TEXT], "allOf": [{"anyOf": [WHOLE]}]}, id="two unions"
    ),
    pytest.param(
        {"allOf": [{"minimum": 1, "maximum": 9}, {"minimum": 2, "maximum": 10, "type": "integer"}]},
        {"type": "integer", "minimum": 2, "maximum": 9},
        id="the narrower bounds hold",
    ),
    pytest.param(
        {"description": "mine", "allOf": [{"description": "theirs", "type": "string"}]},
        {"type": "string", "description": "mine"},
        id="the outermost words count",
    ),
    pytest.param(
        {"allOf": [{"type": "string", "pattern": "x"}, {"pattern": "y"}]},
        {"type": "string", "pattern": "x", "allOf": [{"pattern": "y"}]},
        id="what cannot be merged stays",
    ),
    pytest.param(
        {"allOf": [{"if": TEXT, "else": WHOLE}, {"if": WHOLE, "then": {"minimum": 2}}]},
        {"if": TEXT, "else": WHOLE, "allOf": [{"if": WHOLE, "then": {"minimum": 2}}]},
        id="a then keeps its if",
    ),
    pytest.param(
        {"allOf": [{"prefixItems": [TEXT]}, {"prefixItems": [TEXT, WHOLE], "items": False}]},
        {"prefixItems": [TEXT], "allOf": [{"prefixItems": [TEXT, WHOLE], "items": False}]},
        id="items keep their prefix",
    ),
    pytest.param({"$id": "x", "$defs": {"x": TEXT}, "$comment": "c", **WHOLE}, WHOLE, id="names are not shown"),
    pytest.param({"allOf": [ref("Itself"), TEXT]}, TEXT, id="a circle adds nothing"),
    pytest.param(False, {"not": {}}, id="false"),
    pytest.param(True, {}, id="true"),
]


@pytest.mark.parametrize(("schema", "shape"), SHAPES)
def test_a_shape_is_the_schema_without_detours(schema: Any, shape: Any) -> None:
    """References are followed, compositions merged as far as merging is harmless, unions all read the same."""
    assert Shapes(document())(schema) == shape


READ_ONLY: list[Any] = [
    obj("id", "a", id={"type": "string", "readOnly": True}, a=TEXT),
    obj("id", "a", id=ref("Id"), a=TEXT),
    {"allOf": [{"required": ["id", "a"]}, obj(id=ref("Id"), a=TEXT)]},
    {"allOf": [ref("WithId"), {"required": ["a", "id"]}]},
    {**ref("WithId"), "required": ["id", "a"]},
    obj("id", "a", id={"allOf": [TEXT, {"readOnly": True}]}, a=TEXT),
]

IDS = {"Id": {"type": "string", "readOnly": True}, "WithId": obj(id=ref("Id"), a=TEXT)}


#: A union with a discriminator, beside these schemas, and what its branches say.
DISCRIMINATED = [
    pytest.param({}, {"Cat": obj(kind=TEXT)}, ['kind is "Cat".'], id="by name"),
    pytest.param({"cat": "Cat", "lion": "Cat"}, {"Cat": obj(kind=TEXT)}, ['kind is "cat" or "lion".'], id="mapping"),
    pytest.param({"cat": "Cat"}, {"Cat": obj(kind={"const": "x"})}, ['kind is "cat".'], id="mapping goes first"),
    pytest.param({}, {"Cat": obj(kind={"const": "cat"})}, ['kind is "cat".'], id="const"),
    pytest.param({}, {"Cat": obj(kind={"enum": ["cat"]})}, ['kind is "cat".'], id="enum of one"),
    pytest.param({}, {"Cat": obj(kind={"enum": ["Cat", "Dog"]})}, ['kind is "Cat".'], id="name in an enum"),
    pytest.param({}, {"Cat": obj(kind={"enum": ["x", "y"]})}, [None], id="name outside of an enum"),
    pytest.param({}, {"Cat": {**obj(), "description": "Purrs."}}, ['kind is "Cat". Purrs.'], id="described"),
    pytest.param(
        {"dog": "Dog"},
        {
            "Pet": obj("kind", kind=TEXT),
            "Cat": {"allOf": [{"$ref": "#/components/schemas/Pet"}, obj(kind={"const": "cat"})]},
            "Dog": {"allOf": [{"$ref": "#/components/schemas/Pet"}]},
        },
        ['kind is "cat".', 'kind is "dog".'],
        id="inherited",
    ),
]


@pytest.mark.parametrize(("mapping", "schemas", "said"), DISCRIMINATED)
def test_each_branch_says_its_discriminator_value(
    mapping: dict[str, str], schemas: dict[str, Any], said: list[str | None]
) -> None:
    """A reader sees in each branch which value means it; what is accepted stays as it was."""
    branches = [{"$ref": f"#/components/schemas/{name}"} for name in schemas if name != "Pet"]
    pointers = {value: f"#/components/schemas/{name}" for value, name in mapping.items()}
    union = {"oneOf": branches, "discriminator": {"propertyName": "kind", "mapping": pointers}}
    shapes = Shapes({"components": {"schemas": schemas}})
    shape = shapes(union)
    assert [shapes(branch).get("description") for branch in shape["anyOf"]] == said
    assert [shapes(branch).get("properties") for branch in shape["anyOf"]] == [
        shapes(branch).get("properties") for branch in branches
    ]


@pytest.mark.parametrize("schema", READ_ONLY, ids=str)
def test_a_request_has_no_read_only_properties(schema: Any) -> None:
    """A readOnly property is neither shown nor required (OpenAPI 3.0.4 section 4.7.24.2), wherever it says so."""
    shape = Shapes(document(**IDS))(schema)
    assert (list(shape["properties"]), shape["required"]) == (["a"], ["a"])


def test_an_answer_has_no_write_only_properties() -> None:
    """The shapes of answers leave out what is writeOnly, and keep what is readOnly."""
    schema = obj("id", "secret", id=ref("Id"), secret={"type": "string", "writeOnly": True})
    shape = Shapes(document(**IDS), hidden="writeOnly")(schema)
    assert (list(shape["properties"]), shape["required"]) == (["id"], ["id"])


def test_what_a_schema_requires_and_refuses_is_not_required() -> None:
    """A document that requires a property which it does not allow means something else."""
    shape = Shapes(document())({**obj("a", "slip", a=TEXT), "additionalProperties": False})
    assert shape["required"] == ["a"]


def test_the_children_of_a_shape_are_the_schemas_of_the_document() -> None:
    """Nothing is copied, and the document is left as it was."""
    before = repr(COMPONENTS)
    shapes = Shapes(document())
    for schema in SCHEMAS.values():
        shapes(schema)
    assert shapes(ref("Pair"))["properties"]["a"] is COMPONENTS["Pair"]["properties"]["a"]
    assert repr(COMPONENTS) == before


@pytest.mark.parametrize("name", ["Tree", "Refined", "List", "Cat"])
def test_recursion_leads_back_to_the_same_shape(name: str) -> None:
    """However a recursion is composed, there is an end of new shapes."""
    shapes = Shapes(document())
    seen: dict[int, Any] = {}
    waiting = [shapes(ref(name))]
    while waiting:
        shape = waiting.pop()
        if id(shape) not in seen:
            seen[id(shape)] = shape
            below = [*shape.get("properties", {}).values(), *shape.get("anyOf", ()), shape.get("items", True)]
            waiting.extend(map(shapes, below))
        assert len(seen) < 20

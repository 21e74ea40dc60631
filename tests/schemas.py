"""Schemas that have made trouble for readers of schemas, and a small world of values to try on each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any
from urllib.parse import unquote

from jsonpointer import resolve_pointer
from jsonschema import Draft202012Validator
from referencing import Registry


def ref(name: str) -> dict[str, Any]:
    """Return a reference to one of COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(*required: str, **properties: Any) -> dict[str, Any]:
    """Return an object schema."""
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


TEXT, WHOLE, NUMBER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "null"}
LONG = "A description that goes on for longer than any stub has room for. " * 4

COMPONENTS: dict[str, Any] = {
    "Text": {"type": "string", "description": LONG},
    "Whole": WHOLE,
    "Pair": obj("a", "b", a=ref("Text"), b=ref("Whole")),
    "Closed": {**obj("a", a=TEXT, b=WHOLE), "additionalProperties": False},
    "Tree": {**obj("a", a=TEXT, b={"type": "array", "items": ref("Tree")}), "description": LONG},
    "List": {"anyOf": [NULL, obj("a", a=WHOLE, b=ref("List"))]},
    "Ping": obj(a=ref("Pong"), b=TEXT),
    "Pong": obj("a", a=ref("Ping")),
    "Animal": {"oneOf": [ref("Cat"), ref("Dog")], "discriminator": {"propertyName": "a"}},
    "Cat": {"allOf": [ref("Animal"), obj("a", a={"const": "cat"})]},
    "Dog": {"allOf": [ref("Animal"), obj("a", a={"const": "dog"}, b=WHOLE)]},
    "Itself": ref("Itself"),
    "Both": {"allOf": [ref("Both"), obj("a", a=WHOLE)]},
    "Refined": {"allOf": [obj(a={**ref("Refined"), "description": "one way"}), obj(a=ref("Refined"), b=WHOLE)]},
    "Anything": {},
    "a/b~c": obj("a", a=WHOLE),
}

#: Every value that fits one of these fits its views; those that are not in LOOSENED refuse what the schema refuses.
SCHEMAS: dict[str, Any] = {
    "true": True,
    "false": False,
    "empty": {},
    "described only": {"description": LONG},
    "text": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[xy]"},
    "nullable": {"type": ["string", "null"], "maxLength": 2},
    "types": {"type": ["string", "integer", "array", "object"], "maxLength": 1, "minItems": 1, "required": ["a"]},
    "integer and number": {"type": ["integer", "number"], "minimum": 1},
    "types and union": {"type": ["object", "null"], "anyOf": [{"required": ["a"]}, NULL]},
    "enum with null": {"enum": ["x", "y", None]},
    "nullable enum": {"type": ["string", "null"], "enum": ["x", None]},
    "enum of integers": {"type": "integer", "enum": [1, 2]},
    "enum of floats": {"type": ["integer", "null"], "enum": [1.0, None]},
    "mixed enum": {"enum": ["x", 1, True, None, [1], {"a": 1}, 1.5]},
    "enum beside its types": {"type": ["string", "null"], "enum": [1]},
    "booleans": {"type": "boolean", "enum": [True]},
    "const": {"const": "x"},
    "const null": {"const": None},
    "const object": {"const": {"a": 1}},
    "const and enum": {"const": "x", "enum": ["x", "y"]},
    "large enum": {"type": "string", "enum": ["x", *(f"value-{index}" for index in range(200))]},
    "object": obj("a", a=TEXT, b=WHOLE),
    "required unknown": {"type": "object", "required": ["z"], "properties": {"a": TEXT}},
    "closed": ref("Closed"),
    "open to integers": {**obj(a=TEXT), "additionalProperties": WHOLE},
    "open": {**obj(a=TEXT), "additionalProperties": True},
    "boolean properties": {"properties": {"a": True, "b": False}},
    "map": {"type": "object", "additionalProperties": ref("Pair")},
    "property names": {"type": "object", "propertyNames": {"enum": ["a", "x-1"]}},
    "patterns": {**obj(a=TEXT), "patternProperties": {"^x-": WHOLE}, "additionalProperties": False},
    "counted": {"type": "object", "minProperties": 1, "maxProperties": 2},
    "array": {"type": "array", "items": ref("Whole"), "minItems": 1, "uniqueItems": True},
    "array of anything": {"type": "array"},
    "array of nothing": {"type": "array", "items": False},
    "array of true": {"type": "array", "items": True},
    "tuple": {"type": "array", "prefixItems": [TEXT, WHOLE], "items": False},
    "tuple and rest": {"type": "array", "prefixItems": [WHOLE], "items": TEXT},
    "tuples that meet": {"allOf": [{"prefixItems": [TEXT]}, {"prefixItems": [TEXT, WHOLE], "items": False}]},
    "items and tuple": {"allOf": [{"items": {"type": ["string", "integer"]}}, {"prefixItems": [TEXT], "items": WHOLE}]},
    "contains": {"type": "array", "contains": WHOLE, "maxContains": 1},
    "contains that meet": {"allOf": [{"contains": TEXT}, {"contains": WHOLE, "minContains": 0}]},
    "contains a union": {"type": "array", "contains": {"oneOf": [WHOLE, NUMBER]}, "maxContains": 1},
    "contains by reference": {"type": "array", "contains": ref("Whole"), "minContains": 0, "maxContains": 1},
    "any of": {"anyOf": [TEXT, ref("Pair"), NULL]},
    "one of": {"oneOf": [WHOLE, NUMBER]},
    "one of objects": {"oneOf": [obj("a", a={"const": "x"}), obj("a", "b", a={"const": "y"}, b=WHOLE)]},
    "any and one": {"anyOf": [TEXT, WHOLE], "oneOf": [{"minLength": 2}, {"type": "integer"}]},
    "all of": {"allOf": [ref("Pair"), obj("c", c=NULL)]},
    "all of unions": {"allOf": [{"anyOf": [TEXT, WHOLE]}, {"anyOf": [WHOLE, NULL]}, {"oneOf": [NUMBER, TEXT]}]},
    "all and any": {"allOf": [obj(a=TEXT)], "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "minProperties": 1},
    "union of all": {"anyOf": [{"allOf": [obj("a", a=WHOLE), obj(b=TEXT)]}, {"allOf": [TEXT, {"minLength": 2}]}]},
    "conflicting bounds": {"allOf": [{"minimum": 1, "maximum": 9}, {"minimum": 2, "multipleOf": 2}, {"multipleOf": 3}]},
    "conflicting types": {"allOf": [TEXT, WHOLE]},
    "narrowing types": {"allOf": [NUMBER, {"type": ["integer", "string"]}]},
    "conflicting enums": {"allOf": [{"enum": ["x", "y", 1]}, {"enum": ["y", True]}]},
    "excluding enums": {"allOf": [{"enum": ["x"]}, {"enum": ["y"]}]},
    "conflicting properties": {"allOf": [obj(a=TEXT), obj(a={"maxLength": 1}), obj(a={"minLength": 1})]},
    "conflicting patterns": {"allOf": [{"type": "string", "pattern": "x"}, {"pattern": "y"}]},
    "closed in all": {"allOf": [ref("Closed"), obj(b={"minimum": 2})]},
    "closed twice": {"allOf": [ref("Closed"), {**obj(a=TEXT), "additionalProperties": WHOLE}]},
    "closed later": {"properties": {"a": TEXT}, "allOf": [obj(b=WHOLE)], "additionalProperties": NULL},
    "unevaluated": {"allOf": [obj(a=TEXT), obj(b=WHOLE)], "unevaluatedProperties": False},
    "unevaluated union": {"anyOf": [obj("a", a=ref("Tree")), obj("b", b=WHOLE)], "unevaluatedProperties": False},
    "unevaluated twice": {
        "allOf": [{**obj(a=TEXT), "unevaluatedProperties": False}, {**obj(a=TEXT), "unevaluatedProperties": TEXT}]
    },
    "unevaluated items": {"prefixItems": [TEXT], "contains": WHOLE, "unevaluatedItems": False},
    "not": {"type": "object", "not": {"required": ["a", "b"]}},
    "not one of": {"not": {"oneOf": [WHOLE, NUMBER]}},
    "not a reference": {"not": ref("Pair")},
    "not a closed object": {"type": "object", "not": {"allOf": [obj(a=TEXT), obj("b", b=WHOLE)]}},
    "if": {"if": obj("a", a={"const": "x"}), "then": {"required": ["b"]}, "else": {"maxProperties": 1}},
    "if by reference": {"if": ref("Pair"), "then": {"required": ["c"]}},
    "ifs": {"allOf": [{"if": TEXT, "then": {"minLength": 2}}, {"if": WHOLE, "then": {"minimum": 2}}]},
    "else then": {"allOf": [{"if": TEXT, "else": WHOLE}, {"if": WHOLE, "then": {"minimum": 2}}]},
    "dependent": {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"properties": {"a": TEXT}}}},
    "tree": ref("Tree"),
    "list": ref("List"),
    "discriminated": {"anyOf": [ref("Pair"), ref("Tree"), NULL], "discriminator": {"propertyName": "a"}},
    "ping": ref("Ping"),
    "cat": ref("Cat"),
    "animal": ref("Animal"),
    "both": ref("Both"),
    "refined": ref("Refined"),
    "escaped": {"$ref": "#/components/schemas/a~1b~0c"},
    "referring with more": {**ref("Tree"), "required": ["b"], "description": "A tree that branches."},
    "definitions": {"$defs": {"x": TEXT}, "type": "object", "required": ["a"]},
    "names": obj(**{"": WHOLE, "a/b": obj(a=ref("Tree")), "m~n": ref("Tree"), "c d": ref("Tree"), "ü": WHOLE}),
    "deep": obj("a", a=obj("a", a=obj("a", a=obj("a", a=ref("Tree"), b=ref("Tree")), b=ref("Tree")), b=ref("Tree"))),
    "wide": obj(*(f"p{index}" for index in range(40)), **{f"p{index}": ref("Pair") for index in range(40)}),
}

#: Schemas of which a view tells less than the truth: `oneOf` reads `anyOf`, and what only references would tell.
LOOSENED = {
    *("one of", "one of objects", "any and one", "all of unions", "contains by reference", "not a reference"),
    *(
        "if by reference",
        "unevaluated union",
        "unevaluated twice",
        "unevaluated items",
        "closed later",
        "closed in all",
    ),
    *("closed twice", "excluding enums", "conflicting types", "array of nothing", "types and union", "animal", "cat"),
    *("items and tuple", "conflicting enums"),
}

_SCALARS: list[Any] = [None, True, False, 0, 1, 2, 6, 1.0, 1.5, "", "x", "y", "xy", "yy", "cat", "value-7"]
_MEMBERS: list[Any] = [1, "x", None, {"a": "x"}, {"a": 1, "b": None}]
_ABSENT: Any = object()

#: A small world: what these schemas tell apart is in it.
VALUES: list[Any] = [
    *_SCALARS,
    *([one] for one in _SCALARS),
    *([one, other] for one, other in product([1, "x", None, 1.5, {"a": 1}], repeat=2)),
    *([one, 1, "x"] for one in ("x", 1)),
    *(
        {name: value for name, value in zip(("a", "b", "c"), values, strict=True) if value is not _ABSENT}
        for values in product([_ABSENT, *_MEMBERS], [_ABSENT, 1, "x", [], [{"a": "x"}]], [_ABSENT, None])
    ),
    *({"a": text, **more} for text in ("cat", "dog", "x") for more in ({"x-1": 1}, {"x-1": "x"}, {"z": 1}, {"b": 2})),
    *({name: 1} for name in ("x-1", "z", "", "a/b", "m~n")),
    {"a": {"a": {"a": {"a": {"a": "x"}, "b": {"a": "x"}}, "b": {"a": "x"}}, "b": {"a": "x"}}},
    {f"p{index}": {"a": "x", "b": 1} for index in range(40)},
]


def document(**schemas: Any) -> dict[str, Any]:
    """Return a document with COMPONENTS and further component schemas."""
    return {"openapi": "3.1.0", "components": {"schemas": COMPONENTS | schemas}}


def judge(schema: Any, root: dict[str, Any] | None = None) -> Any:
    """Return the library's own validator of a schema, by the letter."""
    return Draft202012Validator({**(root or document()), "allOf": [schema]}, registry=Registry())


def sample(schema: Any, root: dict[str, Any], random: Random, depth: int = 5) -> Any:
    """Make a value that probably fits the schema; below `depth` levels only what is required."""
    if not isinstance(schema, dict):
        return "x"
    if "$ref" in schema:
        return sample(resolve_pointer(root, unquote(schema["$ref"][1:])), root, random, depth)
    if "const" in schema or "enum" in schema:
        return random.choice(schema.get("enum", [schema.get("const")]))
    branches = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    parts = [sample(part, root, random, depth) for part in schema.get("allOf", ())]
    if branches and "properties" not in schema:
        parts.append(sample(random.choice(branches) if depth > 0 else branches[0], root, random, depth - 1))
    if parts and not all(isinstance(part, dict) for part in parts):
        return parts[0]
    kinds = schema.get("type", "object" if "properties" in schema or parts else "string")
    make = _SAMPLES[random.choice(kinds) if isinstance(kinds, list) else kinds]
    own = make(schema, root, random, depth - 1)
    return {name: value for part in [*parts, own] for name, value in part.items()} if isinstance(own, dict) else own


def _sample_object(schema: Any, root: dict[str, Any], random: Random, depth: int) -> dict[str, Any]:
    return {
        name: sample(below, root, random, depth)
        for name, below in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or (depth > 0 and random.random() < 0.5)
    }


def _sample_array(schema: Any, root: dict[str, Any], random: Random, depth: int) -> list[Any]:
    count = max(schema.get("minItems", 0), 0 if depth <= 0 else min(random.randint(0, 2), schema.get("maxItems", 2)))
    return [sample(schema.get("items", {}), root, random, depth) for _ in range(count)]


_SAMPLES: dict[str, Callable[[Any, dict[str, Any], Random, int], Any]] = {
    "object": _sample_object,
    "array": _sample_array,
    "string": lambda schema, *_: "x" * max(1, schema.get("minLength", 1)),
    "integer": lambda schema, *_: schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1),
    "number": lambda schema, *_: schema.get("minimum", schema.get("exclusiveMinimum", 0) + 0.5),
    "boolean": lambda _schema, _root, random, _depth: random.random() < 0.5,
    "null": lambda *_: None,
}

"""Arguments against the full schema."""

from __future__ import annotations

from time import thread_time
from typing import Any

import pytest

from portkey_bridge.document.parse import Document
from portkey_bridge.errors import ArgumentsError, Violation
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.validation import Validation
from tests.schemas import COMPONENTS, LOOSENED, SCHEMAS, VALUES, document, judge, obj, ref

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def violations(schema: Any, value: Any, **schemas: Any) -> list[str]:
    """Return what is wrong with a value, a line each."""
    return [str(each) for each in Validation(schema, Shapes(document(**schemas))).violations(value, pointer_to)]


ENDLESS = {"both", "cat", "animal"}

#: The schemas that mean something else in a request: `oneOf` is satisfied by several, and what one part of an `allOf`
#: names no other part refuses.
LENIENT = {name for name in SCHEMAS if name in LOOSENED and "one" in name} | {
    *("all of unions", "not a closed object", "contains a union", "not one of", "closed later"),
}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name not in ENDLESS | LENIENT])
def test_the_verdict_is_that_of_json_schema(name: str) -> None:
    """But for what requests are spared, a value is refused exactly where the library refuses it."""
    validation, check = Validation(SCHEMAS[name], Shapes(document())), judge(SCHEMAS[name])
    for value in VALUES:
        assert bool(list(validation.violations(value, pointer_to))) is not check.is_valid(value), value


@pytest.mark.parametrize("name", sorted(LENIENT))
def test_a_request_is_never_refused_for_what_json_schema_allows(name: str) -> None:
    """Where the verdict differs, it is the more lenient one."""
    validation, check = Validation(SCHEMAS[name], Shapes(document())), judge(SCHEMAS[name])
    if name not in ("not one of", "contains a union"):
        assert [v for v in VALUES if check.is_valid(v) and list(validation.violations(v, pointer_to))] == []


MESSAGE = {
    "oneOf": [
        obj("role", "content", role={"const": "user"}, content={"anyOf": [TEXT, {"type": "array", "items": TEXT}]}),
        obj("role", "id", role={"enum": ["tool"]}, id=TEXT, size={"enum": ["small", "large"]}),
        {"allOf": [obj("role", role={"const": "system"}), {"properties": {"content": TEXT}}]},
    ]
}

CASES = [
    pytest.param(WHOLE, "x", ['(arguments): expected integer, not "x"'], id="type"),
    pytest.param({"type": ["string", "null"]}, 5, ["(arguments): expected string or null, not 5"], id="types"),
    pytest.param(
        {"type": "array"},
        "[1]",
        ['(arguments): expected array, not "[1]"'],
        id="JSON text",
    ),
    pytest.param({"enum": ["x", None]}, "z", ['(arguments): expected one of "x", null, not "z"'], id="enum"),
    pytest.param({"const": 1}, True, ["(arguments): expected one of 1, not true"], id="const"),
    pytest.param(
        obj("a", "b", a=TEXT), {}, ["/a: is required but missing", "/b: is required but missing"], id="required"
    ),
    pytest.param(
        obj(a=obj("b", b=WHOLE), c={"type": "array", "items": WHOLE}),
        {"a": {}, "c": [1, "x", None]},
        ["/a/b: is required but missing", '/c/1: expected integer, not "x"', "/c/2: expected integer, not null"],
        id="every violation",
    ),
    pytest.param(obj(**{"a/b": WHOLE}), {"a/b": ""}, ['/a~1b: expected integer, not ""'], id="escaped pointer"),
    pytest.param({"minimum": 1}, 0, ["(arguments): expected at least 1, not 0"], id="minimum"),
    pytest.param({"maximum": 1}, 2, ["(arguments): expected at most 1, not 2"], id="maximum"),
    pytest.param({"exclusiveMinimum": 1}, 1, ["(arguments): expected more than 1, not 1"], id="exclusiveMinimum"),
    pytest.param({"exclusiveMaximum": 1}, 1, ["(arguments): expected less than 1, not 1"], id="exclusiveMaximum"),
    pytest.param({"multipleOf": 2}, 3, ["(arguments): expected a multiple of 2, not 3"], id="multipleOf"),
    pytest.param({"multipleOf": 0.01}, 0.07, [], id="multipleOf of digits"),
    pytest.param({"multipleOf": 0.1}, 10**400, [], id="multipleOf of more digits than a float has"),
    pytest.param({"minLength": 2}, "x", ['(arguments): expected at least 2 characters, not "x"'], id="minLength"),
    pytest.param({"maxLength": 1}, "xy", ['(arguments): expected at most 1 characters, not "xy"'], id="maxLength"),
    pytest.param({"pattern": "^y"}, "x", ['(arguments): expected text that matches ^y, not "x"'], id="pattern"),
    pytest.param({"minItems": 1}, [], ["(arguments): expected at least 1 items, not []"], id="minItems"),
    pytest.param({"maxItems": 1}, [1, 2], ["(arguments): expected at most 1 items, not [1, 2]"], id="maxItems"),
    pytest.param(
        {"prefixItems": [WHOLE], "items": False},
        [1, 2],
        ["(arguments): expected at most 1 items, not [1, 2]"],
        id="items",
    ),
    pytest.param({"uniqueItems": True}, [1, 1], ["(arguments): expected unique items, not [1, 1]"], id="uniqueItems"),
    pytest.param(
        {"contains": WHOLE},
        ["x"],
        ['(arguments): expected an item that matches {"type": "integer"}, not ["x"]'],
        id="contains",
    ),
    pytest.param(
        {"contains": WHOLE, "maxContains": 1},
        [1, 2],
        ['(arguments): expected at most 1 items that match {"type": "integer"}, not [1, 2]'],
        id="maxContains",
    ),
    pytest.param({"minProperties": 1}, {}, ["(arguments): expected at least 1 properties, not {}"], id="minProperties"),
    pytest.param(
        {"dependentRequired": {"a": ["b"]}}, {"a": 1}, ["(arguments): a needs b beside it"], id="dependentRequired"
    ),
    pytest.param(
        {"not": {"required": ["a"]}},
        {"a": 1},
        ['(arguments): expected anything that does not match {"required": ["a"]}, not {"a": 1}'],
        id="not",
    ),
    pytest.param(obj(a=False), {"a": 1}, ["/a: no value is accepted, not 1"], id="false"),
    pytest.param(
        {**obj(name=TEXT), "additionalProperties": False},
        {"nmae": "x", "z": 1},
        ["/nmae: there is no such property; did you mean name?", "/z: there is no such property; known are name"],
        id="additionalProperties",
    ),
    pytest.param(
        {"properties": {"a": WHOLE}, "patternProperties": {"^x-": WHOLE}, "additionalProperties": TEXT},
        {"a": 1, "x-1": "x", "b": 1},
        ['/x-1: expected integer, not "x"', "/b: expected string, not 1"],
        id="patternProperties",
    ),
    pytest.param(
        MESSAGE,
        {"role": "user", "content": 5},
        ["/content: expected string; or expected array, not 5"],
        id="the branch whose tag fits",
    ),
    pytest.param(
        MESSAGE,
        {"role": "tool", "id": "x", "size": "tiny"},
        ['/size: expected one of "small", "large", not "tiny"'],
        id="another enum is no tag",
    ),
    pytest.param(
        MESSAGE,
        {"role": "usr", "content": "x"},
        ['/role: expected one of "user", "tool", "system", not "usr"'],
        id="no tag fits",
    ),
    pytest.param(
        {"anyOf": [TEXT, obj("a", "b", a=WHOLE)]},
        {"a": "x"},
        ['/a: expected integer, not "x"', "/b: is required but missing"],
        id="the branch whose type fits",
    ),
    pytest.param(
        {"anyOf": [obj("a"), obj("b")]}, {}, ["(arguments): needs a; or needs b, not {}"], id="all alternatives"
    ),
    pytest.param(
        {"anyOf": [obj(a=obj(c=TEXT, d=TEXT)), obj(a=obj(c=WHOLE, d=WHOLE, e=WHOLE))]},
        {"a": {"c": 1, "d": "x", "e": "y"}},
        ["/a/c: expected string, not 1"],
        id="the nearest branch",
    ),
    pytest.param(
        {"anyOf": [{"anyOf": [WHOLE, obj("a", a={"anyOf": [WHOLE, {"type": "null"}]})]}, TEXT]},
        {"a": "x"},
        ['/a: expected integer; or expected null, not "x"'],
        id="unions in unions",
    ),
]


@pytest.mark.parametrize(("schema", "value", "said"), CASES)
def test_a_violation_says_where_and_what_would_be_right(schema: Any, value: Any, said: list[str]) -> None:
    """Each violation has a JSON pointer, what was expected, and what was given."""
    assert violations(schema, value) == said


def test_a_long_value_is_not_repeated_whole() -> None:
    """What was given is shown as far as it helps."""
    assert len(violations(WHOLE, "x" * 5000)[0]) < 150


IDS = {"Id": {"type": "string", "readOnly": True}, "WithId": obj("id", id=ref("Id"), a=TEXT)}


@pytest.mark.parametrize(
    "schema",
    [
        obj("id", "a", id={"type": "string", "readOnly": True}, a=TEXT),
        obj("id", "a", id=ref("Id"), a=TEXT),
        {"allOf": [ref("WithId"), {"required": ["a", "id"]}]},
        {**ref("WithId"), "required": ["a", "id"]},
        {"allOf": [{"required": ["id"]}, obj("a", id=ref("Id"), a=TEXT)]},
        {"anyOf": [{"allOf": [{"required": ["id"]}, {"allOf": [obj("a", id=ref("Id"), a=TEXT)]}]}]},
        {"required": ["id"], "oneOf": [obj("a", id=ref("Id"), a=TEXT)]},
        {"allOf": [{"required": ["id"]}], "anyOf": [obj("a", id=ref("Id"), a=TEXT)]},
        {**obj("a", id=ref("Id"), a=TEXT), "if": {"required": ["a"]}, "then": {"required": ["id"]}},
        {**obj("a", id=ref("Id"), a=TEXT), "dependentSchemas": {"a": {"required": ["id"]}}},
        {**obj("a", id=ref("Id"), a=TEXT), "dependentRequired": {"a": ["id"]}},
    ],
    ids=str,
)
def test_a_read_only_property_is_not_required(schema: Any) -> None:
    """A request need not have what is readOnly (OpenAPI 3.0.4 section 4.7.24.2); what else is required, is."""
    assert violations(schema, {"a": "x"}, **IDS) == []
    assert violations(schema, {}, **IDS) == ["/a: is required but missing"]


def test_what_is_required_and_refused_at_once_is_not_required() -> None:
    """A document's slip does not make every call impossible."""
    schema = {**obj("a", "slip", a=TEXT), "additionalProperties": False}
    assert violations(schema, {"a": "x"}) == []
    assert violations(schema, {}) == ["/a: is required but missing"]


CLOSED = {"additionalProperties": False}
CAT, DOG = {**obj("a", a=TEXT), **CLOSED}, {**obj("b", b=TEXT), **CLOSED}


@pytest.mark.parametrize("union", ["oneOf", "anyOf"])
@pytest.mark.parametrize(
    "composed",
    [
        lambda union: {"type": "object", **CLOSED, union: [ref("Cat2"), ref("Dog2")], "properties": {"id": TEXT}},
        lambda union: {"allOf": [{**obj(id=TEXT), **CLOSED}, {union: [CAT, DOG]}]},
        lambda union: {**obj(id=TEXT), **CLOSED, union: [{"allOf": [CAT, {"properties": {}}]}, ref("Dog2")]},
        lambda union: {**obj(id=TEXT), union: [{union: [ref("Cat2"), {"type": "integer"}]}, DOG]},
        lambda union: {**obj(id=TEXT), **CLOSED, "allOf": [{union: [ref("Cat2"), ref("Dog2")]}]},
    ],
    ids=["closed around", "closed beside", "closed parts", "union in union", "union in part"],
)
def test_closed_schemas_can_be_composed(composed: Any, union: str) -> None:
    """`additionalProperties: false` closes what the schemas around a value and one branch make up together.

    By the letter it knows only the properties beside it, and no value would be valid. A branch stays closed to what
    only another branch names.
    """
    pets = {"Cat2": CAT, "Dog2": DOG}
    schema = composed(union)
    for good in ({"a": "x", "id": "1"}, {"b": "x", "id": "1"}, {"a": "x"}):
        assert violations(schema, good, **pets) == [], good
    for bad in ({"id": "1"}, {"a": "x", "slip": "x"}, {"a": "x", "b": "x"}, {"a": 1, "id": "1"}):
        assert violations(schema, bad, **pets) != [], bad
    assert not any(each.startswith("/id") for each in violations(schema, {"id": "1", "slip": "x"}, **pets))


@pytest.mark.parametrize("name", ["Itself", "Both", "Cat", "Animal", "Tree", "Ping"])
def test_circles_come_to_an_end(name: str) -> None:
    """References that lead back to themselves add nothing to the check."""
    assert violations(ref(name), {"a": "cat" if name in ("Cat", "Animal") else 1 if name == "Both" else "x"}) == (
        ['/a: expected object, not "x"'] if name == "Ping" else []
    )


def test_a_circle_still_checks_what_it_says() -> None:
    """What stands beside the circle holds."""
    assert violations(ref("Both"), {"a": "x"}) == ['/a: expected integer, not "x"']
    assert violations(ref("Cat"), {"a": "dog"}) == ['/a: expected one of "cat", not "dog"']


def test_the_same_value_at_two_places_is_refused_at_both() -> None:
    """No violation is lost because an equal one was told before."""
    schema = {"type": "array", "items": ref("Whole")}
    assert violations(schema, ["x", "x"]) == ['/0: expected integer, not "x"', '/1: expected integer, not "x"']


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_graph_of_references_is_walked_once(keyword: str) -> None:
    """Thirty levels of two references each do not make a billion checks, whether the value fits or not."""
    levels = {f"L{at}": {keyword: [ref(f"L{at + 1}"), {**ref(f"L{at + 1}"), "title": "again"}]} for at in range(30)}
    levels["L30"] = obj("a", a=WHOLE)
    assert violations(ref("L0"), {"a": 1}, **levels) == []
    assert violations(ref("L0"), {"a": "x"}, **levels)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^(x+x+)+y$"},
        {"type": "object", "patternProperties": {"^(x+x+)+y$": False}, "additionalProperties": False},
    ],
    ids=["pattern", "patternProperties"],
)
def test_a_pattern_that_backtracks_without_end_does_not_hold_a_call(schema: Any) -> None:
    """A match ends in time, with a verdict or without one; the API will judge then."""
    value: Any = "x" * 60
    assert len(violations(schema, value if schema["type"] == "string" else {value: 1})) <= 1


@pytest.mark.parametrize("pattern", [r"^\p{Lu}", r"^(?<first>x)", r"[\w-\.]", r"^\/"])
def test_patterns_of_ecmascript_are_read(pattern: str) -> None:
    """Patterns that Python's own engine refuses are used."""
    assert violations({"pattern": pattern}, {r"^\p{Lu}": "Ä", r"^\/": "/"}.get(pattern, "x")) == []
    assert violations({"pattern": pattern}, "?")


@pytest.mark.parametrize("pattern", ["(", "[", "(?<=x+)y(?P<", r"\u{1F600}(", "*"])
def test_a_pattern_that_no_engine_reads_is_ignored(pattern: str) -> None:
    """A slip in the document refuses no value, not even beside keywords that depend on it."""
    assert violations({"pattern": pattern}, "x") == []
    schema = {"patternProperties": {pattern: False}}
    closed = {**schema, "additionalProperties": False, "unevaluatedProperties": False}
    assert violations(schema, {"x": 1}) == violations(closed, {"x": 1}) == []


UNSOUND: list[dict[str, Any]] = [
    {"type": "any"},
    {"required": True},
    {"required": "a"},
    {"properties": ["a"]},
    {"enum": "abc"},
    {"enum": []},
    {"multipleOf": 0},
    {"maxLength": -1},
    {"pattern": 5},
    {"anyOf": []},
    {"allOf": [None]},
    {"description": ["words"]},
    {"patternProperties": {"x": None}},
    {"format": "of-nobody"},
    {"format": 5},
]


@pytest.mark.slow
@pytest.mark.parametrize("schema", UNSOUND, ids=str)
def test_a_keyword_of_the_wrong_form_says_nothing(schema: dict[str, Any]) -> None:
    """Whatever stands where a keyword's value should, it neither breaks a call nor refuses a value."""
    root = {"openapi": "3.1.0", "paths": {}, "components": {"schemas": {"A": dict(schema), "B": {"not": {}}}}}
    repairs = normalize(Document("test", "file:///test", root)).repairs
    assert len(repairs) == ("of-nobody" not in str(schema))
    shapes = Shapes(root)
    for value in VALUES:
        assert list(Validation(ref("A"), shapes).violations(value, pointer_to)) == []
    shapes(ref("A"))


def test_the_document_is_not_changed_by_a_check() -> None:
    """Checks read only."""
    before = repr(COMPONENTS)
    violations(ref("Tree"), {"a": 1, "b": [{}]})
    assert repr(COMPONENTS) == before


def test_arguments_nested_too_deeply_are_refused() -> None:
    """A value that the check cannot follow to its end is not sent."""
    value: Any = {"a": "x"}
    for _ in range(2000):
        value = {"a": "x", "b": [value]}
    assert violations(ref("Tree"), value) == ["(arguments): is nested too deeply to be checked"]


#: Values and whether they count as equal items.
EQUAL = [
    ([1, 1.0], True),
    ([1, True], False),
    ([0, False], False),
    ([None, None], True),
    ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], True),
    ([{"a": 1}, {"a": True}], False),
    ([[], {}], False),
    (["1", 1], False),
]


@pytest.mark.parametrize(("items", "equal"), EQUAL, ids=str)
def test_equal_items_are_equal_as_in_json(items: list[Any], equal: bool) -> None:
    """Numbers are equal by their value, and nothing is equal to a value of another type."""
    assert bool(violations({"uniqueItems": True}, items)) is equal
    assert judge({"uniqueItems": True}).is_valid(items) is not equal


SLOW = [f"^(a+)+(b|a)*(a|a)*{number}$" for number in range(100)]

#: Schemas and values whose check would take many seconds or for ever.
SLOW_CHECKS = [
    pytest.param({"patternProperties": dict.fromkeys(SLOW, True)}, {"a" * 40: 1}, id="names"),
    pytest.param({"allOf": [{"pattern": each} for each in SLOW]}, "a" * 40, id="patterns"),
    pytest.param({"items": {"allOf": [{"pattern": each} for each in SLOW]}}, ["a" * 40] * 9, id="patterns of items"),
    pytest.param(
        {"patternProperties": dict.fromkeys(SLOW, True), "unevaluatedProperties": False}, {"a" * 40: 1}, id="others"
    ),
    pytest.param({"items": {"items": {"items": {"type": "integer"}}}}, [[[1] * 200] * 200] * 200, id="many items"),
    pytest.param({"items": {"type": "integer"}}, ["x"] * 100_000, id="many errors"),
    pytest.param(
        {"anyOf": [{"properties": {"a": {}}, "additionalProperties": False}]},
        {f"a{n}": n for n in range(50_000)},
        id="many unknown properties",
    ),
    pytest.param({"items": {"enum": [f"e{n}" for n in range(50_000)]}}, ["x"] * 500, id="a large enum"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("schema", "value"), SLOW_CHECKS)
def test_all_checks_of_a_call_are_bounded_together(schema: dict[str, Any], value: Any) -> None:
    """A check that would take many seconds or for ever ends when its time is over, whatever it is made of."""
    began = thread_time()
    with pytest.raises(OutOfTime), within(0.3):
        violations(schema, value)
    assert thread_time() - began < 3


def test_an_explanation_does_not_write_a_whole_value() -> None:
    """What was given and what is possible are shown by their beginnings, and long values may tell branches apart."""
    assert violations({"maxLength": 5}, "é" * 1_000_000)[0].endswith("é…")
    assert len(violations({"enum": list(range(100_000))}, -1)[0]) < 300
    kinds = {"anyOf": [obj("kind", kind={"const": letter * 100}) for letter in "ab"]}
    (told,) = violations(kinds, {"kind": "c"})
    assert told.startswith('/kind: expected one of "aaa')


def test_many_violations_are_counted() -> None:
    """An error names a hundred violations, which is enough to correct the arguments, and the number of the others."""
    message = str(ArgumentsError("x", [Violation(f"/{number}", "is wrong") for number in range(3100)]))
    assert message.endswith("- /99: is wrong\n- and 3,000 more")


@pytest.mark.slow
def test_many_objects_are_compared_by_their_values() -> None:
    """Comparing 20,000 objects with each other would take much longer than this check does."""
    began = thread_time()
    objects = [{"name": "x" * 20, "number": number, "more": {"list": [number]}} for number in range(20_000)]
    with within(600):
        assert violations({"uniqueItems": True}, objects) == []
        assert violations({"uniqueItems": True}, [*objects, objects[7]])
    assert thread_time() - began < 10

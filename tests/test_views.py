"""The lazy view of a schema."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from portkey_bridge.bridge.load import load_api
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools
from tests.node import missing
from tests.portability import portability_problems, subschemas
from tests.schemas import LOOSENED, SCHEMAS, VALUES, document, judge, obj, ref, sample
from tests.support import mostly_slow, nests_arrays

BUDGETS = (0, 80, 250, 1000, math.inf)

STUB = re.compile(r"\[expandSchema (\S+)\]$")

#: Where a circle has no end, the library's validator has none either.
ENDLESS = {"both", "cat", "animal"}


def views(portable: bool) -> Views:
    """Return fresh views of the document with COMPONENTS."""
    return Views(Shapes(document()), portable=portable)


def size(view: Any) -> int:
    """Count the characters of compact JSON."""
    return len(json.dumps(view, ensure_ascii=False, separators=(",", ":")))


def fitting(name: str) -> list[Any]:
    """Return the values of the small world that fit the schema, by the library's judgement."""
    check = judge(SCHEMAS[name])
    return [value for value in VALUES if check.is_valid(value)]


def distinct_views(name: str, portable: bool) -> list[Any]:
    """Return the different views of a schema at all BUDGETS."""
    made = [views(portable).view(SCHEMAS[name], budget) for budget in BUDGETS]
    return [json.loads(text) for text in dict.fromkeys(map(json.dumps, made))]


def nodes(view: Any) -> Iterator[Any]:
    """Yield every schema inside a listed view."""
    yield view
    if isinstance(view, dict):
        for below in [*view.get("properties", {}).values(), *view.get("anyOf", ()), *view.get("allOf", ())]:
            yield from nodes(below)
        for keyword in ("items", "additionalProperties"):
            if isinstance(view.get(keyword), dict):
                yield from nodes(view[keyword])


def stubs(value: Any) -> Iterator[str]:
    """Yield the pointers of all stubs in a view."""
    if isinstance(value, dict):
        if isinstance(text := value.get("description"), str) and (match := STUB.search(text)):
            yield match[1]
        for below in value.values():
            yield from stubs(below)
    elif isinstance(value, list):
        for below in value:
            yield from stubs(below)


def completed(view: Any, schema: Any, shown: Views, depth: int) -> Any:
    """Return the view with its stubs replaced by their expansions, `depth` times one inside the other."""
    if isinstance(view, list):
        return [completed(below, schema, shown, depth) for below in view]
    if not isinstance(view, dict):
        return view
    text = view.get("description")
    if isinstance(text, str) and (match := STUB.search(text)):
        return completed(shown.expand(schema, match[1], 80), schema, shown, depth - 1) if depth else view
    return {key: completed(below, schema, shown, depth) for key, below in view.items()}


@pytest.mark.parametrize("portable", [True, False], ids=["listed", "expanded"])
@pytest.mark.parametrize("name", mostly_slow((name for name in SCHEMAS if name not in ENDLESS), 4))
def test_a_view_is_never_wrong(name: str, portable: bool) -> None:
    """What is valid under the schema is valid under its view, at every budget."""
    values = fitting(name)
    for view in distinct_views(name, portable):
        Draft202012Validator.check_schema(view)
        check = judge(view)
        assert [value for value in values if not check.is_valid(value)] == [], view


@pytest.mark.parametrize("name", mostly_slow((name for name in SCHEMAS if name not in ENDLESS | LOOSENED), 4))
def test_a_whole_view_tells_the_whole_truth(name: str) -> None:
    """With the budget `full`, an expansion accepts just what the schema accepts."""
    view = views(portable=False).view(SCHEMAS[name], math.inf)
    accepted = [value for value in VALUES if judge(view).is_valid(value)]
    if not list(stubs(view)):
        assert accepted == fitting(name), view


@pytest.mark.parametrize("name", mostly_slow((name for name in SCHEMAS if name not in ENDLESS), 4))
def test_stubs_expanded_one_in_the_other_are_never_wrong(name: str) -> None:
    """Whoever expands every stub, and the stubs in those, meets a schema that accepts what the whole one accepts."""
    shown = views(portable=False)
    whole = completed(shown.view(SCHEMAS[name], 80), SCHEMAS[name], shown, 4)
    assert [value for value in fitting(name) if not judge(whole).is_valid(value)] == [], whole


@pytest.fixture(scope="module")
def portkey() -> list[Tool]:
    """Return the tools of the Portkey API."""
    return build_tools(load_api(Settings()))


@pytest.mark.slow
def test_no_view_of_the_portkey_api_is_wrong(portkey: list[Tool]) -> None:
    """Arguments that fit a tool's full schema fit what is listed of it, and every expansion of it."""
    shapes = Shapes(portkey[0].arguments.shapes.root)
    listed, expanded = Views(shapes, portable=True), Views(shapes, portable=False)
    tried = 0
    for tool in portkey:
        schema = tool.arguments.schema
        full = judge(schema, shapes.root)
        checks = [judge(tool.listed_schema(listed, budget)) for budget in (0, 500, math.inf)]
        checks += [judge(expanded.view(schema, budget)) for budget in (500, math.inf)]
        for seed in range(8):
            arguments = sample(schema, shapes.root, Random(seed))  # noqa: S311  # repeatable is what is wanted
            if full.is_valid(arguments):
                tried += 1
                assert [view.schema["allOf"][0] for view in checks if not view.is_valid(arguments)] == [], arguments
    assert tried > 6 * len(portkey)


def test_every_stub_of_the_portkey_api_expands(portkey: list[Tool]) -> None:
    """Each pointer of each listed tool leads somewhere, and so on from there."""
    shapes = Shapes(portkey[0].arguments.shapes.root)
    listed, expanded = Views(shapes, portable=True), Views(shapes, portable=False)
    found = 0
    for tool in portkey:
        waiting = set(stubs(tool.listed_schema(listed, 500)))
        while waiting:
            found += 1
            waiting |= set(stubs(expanded.expand(tool.schema, waiting.pop(), 4000)))
    assert found > 50


@pytest.mark.parametrize("name", mostly_slow(SCHEMAS, 4))
def test_listed_views_are_portable(name: str) -> None:
    """A listing has nothing that a known client refuses."""
    for view in distinct_views(name, portable=True):
        problems = [problem for _, node in subschemas(view) for problem in portability_problems(node)]
        assert [problem for problem in problems if not problem.startswith("property ")] == []  # arguments are renamed
        assert all(node.get("anyOf", True) for node in nodes(view))


#: Patterns, and whether all engines that read a listing take them and agree.
PATTERNS = [
    ("^[a-z0-9_-]{1,64}$", True),
    (r"^\d{4}-\d{2}-\d{2}$", True),
    (r"^(?:a|b)+?\.[^/\s]*$", True),
    (r"^\/v1\/(x|y)$", True),
    (r"^[\w.+-]+@[\w-]+\.\w{2,}$", True),
    ("^(?!latest$)[a-z]+$", False),
    ("(?<=x)y", False),
    ("^(?<first>x)", False),
    (r"(a)\1", False),
    ("(?i)abc", False),
    (r"\Aabc\Z", False),
    (r"^[\w-.]+$", False),
    (r"^\p{L}+$", False),
    ("a*+", False),
    ("x{", False),
    ("[[:alpha:]]", False),
    ("[a&&b]", False),
    (r"\_", False),
    ("(", False),
    ("^[a-z]{1,100000}$", False),
]


@pytest.mark.parametrize(("pattern", "listed"), PATTERNS)
def test_a_pattern_is_listed_if_every_engine_reads_it(pattern: str, listed: bool) -> None:
    """One pattern that its engine refuses makes a client drop the whole server; the full check keeps it."""
    view = views(portable=True).view({"type": "string", "pattern": pattern}, 1000)
    assert ("pattern" in view) == listed


def test_a_listed_pattern_is_one_of_ecmascript() -> None:
    """ECMAScript's own engine, with the flag `u`, compiles every pattern that is listed."""
    node = shutil.which("node") or missing("Node is not installed")
    script = "for (const pattern of JSON.parse(process.argv[1])) new RegExp(pattern, 'u')"
    listed = json.dumps([pattern for pattern, listed in PATTERNS if listed])
    subprocess.run([node, "-e", script, listed], check=True)


def test_a_pattern_of_ecmascript_is_shown_where_somebody_asked() -> None:
    """A listing has patterns that all clients compile; an expansion has what the document says."""
    schema = {"type": "string", "pattern": "^(?<first>x)"}
    assert views(portable=True).view(schema, 1000) == {"type": "string"}
    assert views(portable=False).view(schema, 1000) == schema


def test_a_property_that_begins_with_an_underscore_is_named_only() -> None:
    """CrewAI and AutoGen refuse all tools of a server because of one; whoever asks sees it."""
    properties = {name: {"type": "string"} for name in ("_id", "_rev", "a")}
    schema = {"type": "object", "properties": properties, "required": ["_id", "a"], "description": "Mine."}
    assert views(portable=True).view(schema, 1000) == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "description": "Mine. Also _id (required), _rev: see expandSchema.",
    }
    assert views(portable=False).view(schema, 1000) == schema


@pytest.mark.parametrize("name", ["uuid", "int64", "byte"])
def test_a_format_that_clients_know_is_listed(name: str) -> None:
    """It is what it was, also beside a pattern."""
    schema = {"type": "string", "format": name, "pattern": "^[0-9a-f-]+$"}
    assert views(portable=True).view(schema, 1000) == schema


@pytest.mark.parametrize(("name", "beside"), [("snowflake", False), ("email", True), ("uint64", True)])
def test_a_format_that_some_client_refuses_is_a_part_of_the_description(name: str, beside: bool) -> None:
    """AutoGen refuses all tools of a server with one, ajv in strict mode it; CrewAI has no email without a library.

    Beside a pattern, a name that is in no registry costs tokens and says less.
    """
    schema = {"type": "string", "format": name, "description": "Mine."}
    with_pattern = {**schema, "pattern": "^[0-9a-f-]+$"}
    listed = {"type": "string", "description": f"Mine. Format: {name}."}
    assert views(portable=True).view(schema, 1000) == listed
    said = listed["description"] if beside else "Mine."
    assert views(portable=True).view(with_pattern, 1000) == {
        "type": "string",
        "description": said,
        "pattern": with_pattern["pattern"],
    }
    assert views(portable=False).view(with_pattern, 1000) == with_pattern


@pytest.mark.parametrize("portable", [True, False], ids=["listed", "expanded"])
@pytest.mark.parametrize("name", mostly_slow(SCHEMAS, 4))
def test_every_stub_expands(name: str, portable: bool) -> None:
    """Every pointer that a view shows can be expanded, and so can those of the expansion, which continue it."""
    schema, expanded = SCHEMAS[name], views(portable=False)
    waiting = {pointer for view in distinct_views(name, portable) for pointer in stubs(view)}
    seen: set[str] = set()
    while waiting:
        pointer = waiting.pop()
        seen.add(pointer)
        below = set(stubs(expanded.expand(schema, pointer, 80)))
        assert all(each.startswith(f"{pointer}/") for each in below)
        waiting |= {each for each in below - seen if each.count("/") < 12}


def test_recursion_can_be_expanded_again_and_again() -> None:
    """A pointer may follow a recursion to any depth, and the view there is the one at the top."""
    shown = views(portable=False)
    top = shown.view(ref("Tree"), math.inf)
    deep = shown.expand(ref("Tree"), "/properties/b/items" * 50, math.inf)
    assert top["type"] == deep["type"] == "object"
    assert list(stubs(deep)) == ["/properties/b/items" * 50 + pointer for pointer in stubs(top)]


def test_full_has_stubs_only_where_recursion_repeats() -> None:
    """The budget `full` opens everything once: a stub stands only for what stands around it."""
    assert list(stubs(views(portable=False).view(SCHEMAS["wide"], math.inf))) == []
    assert list(stubs(views(portable=True).view(ref("Tree"), math.inf))) == ["/properties/b/items"]
    assert list(stubs(views(portable=False).view(ref("Ping"), math.inf))) == ["/properties/a/properties/a"]


@pytest.mark.parametrize(
    ("pointer", "same"),
    [
        ("", ""),
        ("#", ""),
        ("/", ""),
        ("#/properties/a", "/properties/a"),
        ("/properties/a/", "/properties/a"),
        ("properties/a", "/properties/a"),
        ("/properties/a//", "/properties/a"),
    ],
)
def test_habits_are_understood(pointer: str, same: str) -> None:
    """Pointers as references and paths are written lead to where they are meant to."""
    shown = views(portable=False)
    assert shown.expand(ref("Tree"), pointer, 1000) == shown.expand(ref("Tree"), same, 1000)


def test_a_property_without_a_name_has_a_pointer() -> None:
    """A pointer may end in a slash because the name behind it is empty (RFC 6901 section 5)."""
    assert views(portable=False).expand(SCHEMAS["names"], "/properties/", 1000) == {"type": "integer"}


@pytest.mark.parametrize(
    ("pointer", "prefix", "below"),
    [
        ("/properties/a/properties/c", "/properties/a", []),
        ("/properties/b/item", "/properties/b", ["/items"]),
        ("/properties/c", "", ["/properties/a", "/properties/b"]),
        ("/a~2", "", ["/properties/a", "/properties/b"]),
        ("/properties/b/items/properties/x", "/properties/b/items", ["/properties/a", "/properties/b"]),
    ],
)
def test_a_wrong_pointer_says_how_far_it_is_right(pointer: str, prefix: str, below: list[str]) -> None:
    """The longest prefix that exists is named, with what can be appended to it."""
    with pytest.raises(PointerToNowhere) as caught:
        views(portable=False).expand(ref("Tree"), pointer, 1000)
    assert (caught.value.pointer, caught.value.prefix, caught.value.available) == (pointer, prefix, below)
    assert all(each in str(caught.value) for each in [pointer, prefix, *below])


def test_required_parts_come_first_then_the_small_ones() -> None:
    """The budget goes to what a call cannot do without, and then to as many parts as fit whole."""
    large = obj(**{f"p{index}": {"type": "string", "description": "words"} for index in range(20)})
    schema = obj("needed", large=large, small={"type": "string", "maxLength": 5}, needed=large)
    view = views(portable=True).view(schema, size(large) + 250)
    assert next(iter(view["properties"])) == "needed"
    assert view["properties"]["needed"] == large
    assert view["properties"]["small"] == {"type": "string", "maxLength": 5}
    assert list(stubs(view["properties"]["large"])) == ["/properties/large"]


def test_an_optional_argument_keeps_its_type_when_the_budget_is_used_up() -> None:
    """The bare type is the least that a listing shows."""
    view = views(portable=True).view(obj(a=ref("Tree"), b={"type": "array", "items": ref("Pair")}), 0)
    assert view["properties"] == {"a": {"type": "object"}, "b": {"type": "array", "items": {"type": "object"}}}


@pytest.mark.parametrize("portable", [True, False], ids=["listed", "expanded"])
def test_the_same_schema_gives_the_same_bytes(portable: bool) -> None:
    """A view does not depend on what was viewed before."""
    busy = views(portable)
    for name, budget in reversed(list(product(SCHEMAS, BUDGETS))):
        again = views(portable).view(SCHEMAS[name], budget)
        assert json.dumps(busy.view(SCHEMAS[name], budget)) == json.dumps(again), name


@pytest.mark.parametrize("portable", [True, False], ids=["listed", "expanded"])
@pytest.mark.parametrize("name", mostly_slow(SCHEMAS, 4))
def test_a_view_keeps_near_its_budget(name: str, portable: bool) -> None:
    """A view takes what its first level takes, and beyond that no more than its budget, give or take the brackets."""
    first = size(views(portable).view(SCHEMAS[name], 0))
    for budget in (250, 1000, 4000):
        assert size(views(portable).view(SCHEMAS[name], budget)) <= first + budget * 1.1


def chained(count: int, link: Any) -> dict[str, Any]:
    """Return `count` component schemas, each made by `link` of the next one's reference; the last is a string."""
    return {f"L{at}": link(ref(f"L{at + 1}"), at) for at in range(count)} | {f"L{count}": {"type": "string"}}


HOSTILE: dict[str, dict[str, Any]] = {
    "two ways down": chained(30, lambda next, _: obj(a=next, b={**next, "title": "b"})),
    "all of two": chained(30, lambda next, _: {"allOf": [next, {**next, "title": "again"}]}),
    "any of two": chained(30, lambda next, _: {"anyOf": [next, {**next, "title": "again"}]}),
    "all of two's properties": chained(30, lambda next, _: {"allOf": [obj(a=next), obj(a={**next, "title": "again"})]}),
    "deeper than the stack": chained(3000, lambda next, _: obj("a", a=next)),
    "references to references": chained(3000, lambda next, _: next),
    "everything in everything": {f"L{at}": obj(**{f"p{to}": ref(f"L{to}") for to in range(20)}) for at in range(20)},
    "everything needs everything": {
        f"L{at}": obj(*(f"p{to}" for to in range(20)), **{f"p{to}": ref(f"L{to}") for to in range(20)})
        for at in range(20)
    },
    "ever new mixtures": {
        f"L{at}": {
            "allOf": [
                obj(x=ref(f"L{(at + 1) % 20}"), y=ref(f"L{at * 2 % 20}")),
                obj(x=ref(f"L{(at * 3 + 1) % 20}"), y={**ref(f"L{(at + 5) % 20}"), "title": "y"}),
            ]
        }
        for at in range(20)
    },
    "a wide union": {
        "L0": {"anyOf": [obj(**{f"k{at}": {"type": "array", "items": {"anyOf": [ref("L0")]}}}) for at in range(300)]}
    },
}


@pytest.mark.parametrize("portable", [True, False], ids=["listed", "expanded"])
@pytest.mark.parametrize("budget", [500, *(pytest.param(large, marks=pytest.mark.slow) for large in (4000, 40_000))])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_costs_what_it_is_long(name: str, budget: float, portable: bool) -> None:
    """A few schemas that unfold to billions are viewed as quickly as others, in their first level and the budget."""
    root = document(**HOSTILE[name])
    first = size(Views(Shapes(root), portable=portable).view(ref("L0"), 0))
    view = Views(Shapes(root), portable=portable).view(ref("L0"), budget)
    assert size(view) <= first + budget * 1.2


def test_even_full_has_an_end() -> None:
    """What would unfold to billions of characters is cut where no client would take it."""
    view = Views(Shapes(document(**HOSTILE["two ways down"])), portable=False).view(ref("L0"), math.inf)
    assert 500_000 < size(view) < 1_200_000
    assert "[expandSchema /" in json.dumps(view)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["x", "y", ""]),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "x-1"]), below, max_size=3),
    max_leaves=4,
)

leaf_schemas = st.sampled_from([name for name in SCHEMAS if name not in ENDLESS | {"wide", "deep", "large enum"}]).map(
    SCHEMAS.__getitem__
)


def holding(keyword: str, schema: Any) -> dict[str, Any]:
    """Return a schema with one keyword."""
    return {keyword: schema}


schemas = st.recursive(
    leaf_schemas,
    lambda below: st.one_of(
        *(st.lists(below, min_size=1, max_size=3).map(partial(holding, key)) for key in ("allOf", "anyOf", "oneOf")),
        *(below.map(partial(holding, key)) for key in ("not", "items", "additionalProperties", "contains")),
        below.map(lambda part: {"properties": {"a": part}}),
        st.tuples(below, below).map(lambda pair: {"if": pair[0], "then": pair[1]}),
    ),
    max_leaves=4,
)


@pytest.mark.slow
@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(schemas, st.lists(json_values, min_size=10, max_size=30), st.sampled_from([0, 150, 100_000]), st.booleans())
def test_composed_schemas_are_never_wrong(schema: Any, values: list[Any], budget: float, portable: bool) -> None:
    """However schemas are composed, a value that fits one fits its view, and the view is a schema."""
    view = views(portable).view(schema, budget)
    Draft202012Validator.check_schema(view)
    full, check = judge(schema), judge(view)
    for value in [*values, *VALUES[::5]]:
        assert check.is_valid(value) or not full.is_valid(value) or nests_arrays(value), (value, view)

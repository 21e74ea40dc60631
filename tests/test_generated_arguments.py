"""Arguments that hypothesis-jsonschema makes of a tool's full schema, and of nothing else, are accepted everywhere.

It knows no recursion and makes values slowly of large schemas, so it gets one without references that ends where the
schema would come back to itself. What is made of that is judged by the full schema before anything is asked of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis_jsonschema import from_schema
from jsonpointer import resolve_pointer

from portkey_bridge.bridge.load import load_api
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.spec_tables import APPLICATORS, LIST, MAP, ONE
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools, schema_budget
from tests.conftest import ROOT
from tests.public_documents import DOCUMENTS, PACKAGED, load
from tests.schemas import judge
from tests.support import nests_arrays

#: Schemas inside one that arguments are made of, at most; and how often they are made for a tool.
LARGEST, EXAMPLES = 120, 3

#: Of how many tools of a public document arguments are made. Of our own ones it is all of them.
TRIED = 12

#: The part of the tools that may be left out, by a reason.
LEFT_OUT = 0.4

OWN = [*sorted((ROOT / "tests/documents").glob("*.yaml")), ROOT / "specs/portkey.yaml"]

#: Keywords that say something about values, besides those that hold schemas.
OF_VALUES = frozenset(
    (
        *("type", "enum", "const", "required", "dependentRequired", "minProperties", "maxProperties"),
        *("minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minLength", "maxLength", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    )
)


class LeftOut(Exception):
    """No arguments can be made of a schema; the text is the reason."""


def finite(schema: Any, root: dict[str, Any]) -> Any:
    """Return a schema without references that accepts some of the values that `schema` accepts. Raises LeftOut."""
    count = 0

    def below(part: Any, trail: tuple[str, ...]) -> Any:
        nonlocal count
        count += 1
        if count > LARGEST:
            raise LeftOut("too large")
        if not isinstance(part, dict):
            return part
        made = {
            keyword: FORMS.get(keyword, _as_it_is)(value, lambda inner: below(inner, trail))
            for keyword, value in part.items()
            if keyword in OF_VALUES | APPLICATORS.keys()
        }
        if "anyOf" not in made and "oneOf" in made:
            made["anyOf"] = made.pop("oneOf")  # the library drops too many values of branches that overlap
        if "$ref" not in part:
            return made
        if part["$ref"] in trail:
            return False
        target = resolve_pointer(root, unquote(part["$ref"].removeprefix("#")))
        return {**made, "allOf": [*made.get("allOf", ()), below(target, (*trail, part["$ref"]))]}

    return below(schema, ())


def _as_it_is(value: Any, _: Callable[[Any], Any]) -> Any:
    return value


def _pattern(pattern: str, _: Callable[[Any], Any]) -> str:
    """Read a pattern as ECMAScript has it, where `\\s` and `\\w` are no more than ASCII and a few blanks."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise LeftOut("a pattern that Python cannot read") from error
    return f"(?a){pattern}"


#: How the schemas inside the value of a keyword are made finite.
FORMS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "pattern": _pattern,
    **{
        keyword: {
            ONE: lambda value, below: below(value),
            LIST: lambda value, below: [below(part) for part in value],
            MAP: lambda value, below: {name: below(part) for name, part in value.items()},
        }[shape]
        for keyword, shape in APPLICATORS.items()
    },
}


def generated(schema: Any) -> list[Any]:
    """Return values that hypothesis-jsonschema makes of a schema, the same ones each time. Raises LeftOut."""
    made: list[Any] = []

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(from_schema(schema))
    def keep(value: Any) -> None:
        made.append(value)

    try:
        keep()
    except Unsatisfiable as error:
        raise LeftOut("no value fits, as far as the library sees") from error
    return made


def check(api: Api, tools: list[Tool]) -> None:
    """Make arguments for each tool; fails where one that fits is refused, or where too few could be made."""
    views = Views(Shapes(api.root), portable=True)
    left_out: Counter[str] = Counter()
    with_arguments = [tool for tool in tools if tool.arguments.bindings]
    for tool in with_arguments:
        full = judge(tool.arguments.schema, api.root)
        listed = judge(tool.listed_schema(views, schema_budget(None, len(api.operations))))
        try:
            made = generated(finite(tool.arguments.schema, api.root))
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        fitting = [arguments for arguments in made if full.is_valid(arguments)]
        left_out["none that was made fits"] += not fitting
        for arguments in (each for each in fitting if not nests_arrays(each)):
            assert [error.message for error in listed.iter_errors(arguments)] == [], (tool.name, arguments)
            assert [str(problem) for problem in tool.arguments.violations(arguments)] == [], (tool.name, arguments)
    assert left_out.total() <= max(1, LEFT_OUT * len(with_arguments)), left_out


@pytest.mark.slow
@pytest.mark.parametrize("file", OWN, ids=lambda file: file.stem)
def test_arguments_of_our_own_documents_are_accepted(file: Path) -> None:
    """For each tool of our own documents: what the full schema accepts, the listed view and the check accept, too."""
    api = load_api(Settings(spec=str(file)))
    check(api, build_tools(api))


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS | PACKAGED)
def test_arguments_of_public_documents_are_accepted(name: str) -> None:
    """For tools of public documents, too."""
    api = load(name)
    tools = build_tools(api)
    check(api, tools[:: 1 + len(tools) // TRIED])

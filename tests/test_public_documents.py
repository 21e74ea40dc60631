"""Public documents as their owners publish them: each operation is a tool, or skipped with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.tools.catalog import Tool, build_tools
from tests.portability import portability_problems, subschemas
from tests.public_documents import DOCUMENTS, PACKAGED, load
from tests.schemas import judge, sample

#: Characters of a listed schema, as the server has it, and of an expanded one.
LISTED, EXPANDED = 700, 5600

#: Python's engine is no judge of patterns, which are ECMAScript's.
WITHOUT_FORMATS = FormatChecker(())

#: Stubs that are expanded in one tool.
STUBS = 150

#: How often arguments are made up for a tool, and of how many tools of a document.
SEEDS, TRIED = 2, 150

#: Operations of a document from which on its tests are slow.
MANY = 20

each_document = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if count > MANY else [])
        for name, count in (DOCUMENTS | PACKAGED).items()
    ],
)


@cache
def tools_of(name: str) -> list[Tool]:
    """Return the tools of a document."""
    return build_tools(load(name))


@each_document
def test_every_operation_is_a_tool(name: str) -> None:
    """Every operation of a public document is a tool; none of these documents has one that is skipped."""
    assert [str(operation) for operation in load(name).skipped] == []
    assert len(tools_of(name)) == (DOCUMENTS | PACKAGED)[name]


@each_document
def test_every_listed_schema_is_valid(name: str) -> None:
    """The listed schema and the full one are JSON Schemas by the specification's own meta-schema."""
    views = Views(Shapes(load(name).root), portable=True)

    for tool in tools_of(name):
        listed = tool.listed_schema(views, LISTED)
        problems = {problem for _, part in subschemas(listed) for problem in portability_problems(part)}
        inside = {problem for problem in problems if problem.startswith("property ")}  # only arguments' names matter
        assert problems <= {"no type", *inside}, (tool.name, listed)
        Draft202012Validator.check_schema(listed, format_checker=WITHOUT_FORMATS)
        Draft202012Validator.check_schema(tool.schema, format_checker=WITHOUT_FORMATS)


@each_document
def test_every_schema_is_valid(name: str) -> None:
    """After normalization each schema of the components is one, with everything inside it."""
    for schema in load(name).root.get("components", {}).get("schemas", {}).values():
        Draft202012Validator.check_schema(schema, format_checker=WITHOUT_FORMATS)


@each_document
def test_every_reference_of_a_schema_leads_somewhere(name: str) -> None:
    """jsonschema, which knows nothing of other files, resolves each `$ref` that a tool's schema reaches."""
    root = DRAFT202012.create_resource(load(name).root)
    registry: Registry[Any] = Registry()
    resolver = registry.resolver_with_root(root)
    waiting: list[Any] = [schema for tool in tools_of(name) for schema in tool.schema["properties"].values()]
    seen: set[int] = set()
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, dict) and id(schema) not in seen:
            seen.add(id(schema))
            waiting.extend(inner.contents for inner in DRAFT202012.create_resource(schema).subresources())
            if "$ref" in schema:
                waiting.append(resolver.lookup(schema["$ref"]).contents)


@each_document
def test_every_stub_expands(name: str) -> None:
    """Each stub of each listed schema can be expanded, and the stubs of what it expands to, too."""
    shapes = Shapes(load(name).root)
    listed, expanded = Views(shapes, portable=True), Views(shapes, portable=False)

    for tool in tools_of(name):
        waiting = list(_stubs(tool.listed_schema(listed, LISTED)))
        seen = set(waiting)
        for pointer in waiting[:STUBS]:
            view = expanded.expand(tool.schema, pointer, EXPANDED)
            fresh = [stub for stub in _stubs(view) if stub not in seen and len(seen) < STUBS]
            seen.update(fresh)
            waiting.extend(fresh)


def _stubs(view: Any) -> Iterator[str]:
    if isinstance(view, dict):
        description = view.get("description")
        if isinstance(description, str) and description.endswith("]") and "[expandSchema /" in description:
            yield description.rpartition("[expandSchema ")[2].removesuffix("]")
        for member in view.values():
            yield from _stubs(member)
    elif isinstance(view, list):
        for item in view:
            yield from _stubs(item)


@each_document
def test_arguments_that_fit_are_accepted(name: str) -> None:
    """Arguments that fit the full schema, as the library judges it, fit the listed view and our own check."""
    root = load(name).root
    views = Views(Shapes(root), portable=True)
    tools = tools_of(name)
    for tool in tools[:: 1 + len(tools) // TRIED]:
        full, listed = judge(tool.arguments.schema, root), judge(tool.listed_schema(views, LISTED))
        for seed in range(SEEDS):
            arguments = sample(tool.arguments.schema, root, Random(seed))  # noqa: S311  # repeatable is what is wanted
            if full.is_valid(arguments):
                assert listed.is_valid(arguments), (tool.name, arguments)
                assert list(tool.arguments.violations(arguments)) == [], (tool.name, arguments)


@each_document
def test_any_arguments_are_judged_without_a_crash(name: str) -> None:
    """Validation comes to an end for every tool, whatever is given: no schema leads back to itself on the spot."""
    for tool in tools_of(name):
        given = {argument: json.loads('{"a": [1, {"b": null}]}') for argument in tool.arguments.bindings}
        assert list(tool.arguments.violations(given)) is not None

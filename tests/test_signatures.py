"""Signatures: with --code, expandSchema shows tools as Python types, as lazily as JSON Schema."""

from __future__ import annotations

import re

import pytest

from bench.tokens import compact, count
from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.service import Service, service_of
from portkey_bridge.schema.signatures import python_type
from portkey_bridge.settings.options import Settings
from tests.conftest import text_of
from tests.support import document, served

TYPES = [
    ({"type": "string"}, "str"),
    ({"type": "integer"}, "int"),
    ({"type": "number"}, "float"),
    ({"type": "object"}, "dict"),
    ({"type": "array"}, "list"),
    ({}, "Any"),
    ({"enum": ["a", 1, None]}, 'Literal["a", 1, null]'),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "str | None"),
    ({"type": "array", "items": {"type": "boolean"}}, "list[bool]"),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
    ({"required": ["a-b"], "properties": {"a-b": {"type": "string"}}}, '{"a-b": str}'),
]


@pytest.mark.parametrize(("view", "expected"), TYPES, ids=lambda value: value if isinstance(value, str) else "")
def test_types_of_python(view: dict[str, object], expected: str) -> None:
    """Each kind of schema has its type."""
    assert python_type(view) == expected


async def test_a_tool_is_shown_as_a_signature() -> None:
    """Arguments with what is required first, then the answer; a part by its pointer."""
    pet = {
        "type": "object",
        "required": ["name"],
        "properties": {"tag": {"enum": ["cat", "dog"], "default": "cat"}, "name": {"type": "string", "maxLength": 9}},
    }
    root = document(
        {
            "/pets": {
                "post": {
                    "operationId": "createPet",
                    "summary": "Create a pet",
                    "requestBody": {"content": {"application/json": {"schema": pet}}, "required": True},
                    "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": pet}}}},
                }
            }
        }
    )
    async with served(root, Settings(code="only")) as client:
        asked = {"toolName": "createpet", "jsonPointers": ["", "/properties/tag", "/nowhere"]}
        shown = text_of(await client.call_tool("expandSchema", asked))
    members = '    "name": str,  # maxLength 9\n    # optional:\n    "tag": Literal["cat", "dog"],  # default "cat"\n}'
    whole, part, error = shown.split("\n\n")
    assert whole == f'# POST /pets: Create a pet\nawait call("createpet", {{\n{members})\n# returns\n{{\n{members}'
    assert part == '# /properties/tag: default "cat"\nLiteral["cat", "dog"]'
    assert error.startswith("# /nowhere: ")


@pytest.fixture(scope="module")
def portkey() -> Service:
    """The Portkey API as it is served to programs."""
    settings = Settings(code="only")
    return service_of(load_api(settings), settings)


def test_a_signature_loses_no_stub(portkey: Service) -> None:
    """Each pointer of the view is in the signature, and leads to a type."""
    for tool in portkey.tools:
        pointers = set(re.findall(r"\[expandSchema (\S+?)\]", compact(portkey.expand(tool, ""))))
        assert pointers <= set(re.findall(r"\[expandSchema (\S+?)\]", portkey.signature(tool, "")))
        for pointer in pointers:
            assert portkey.signature(tool, pointer).startswith(f"# {pointer}")


def test_a_signature_costs_less_than_the_schema(portkey: Service) -> None:
    """The same views of all arguments have at least a tenth fewer tokens as Python types than as JSON."""
    views = [{**portkey.expand(tool, ""), "description": ""} for tool in portkey.tools]
    assert sum(map(count, map(python_type, views))) < 0.9 * sum(map(count, map(compact, views)))

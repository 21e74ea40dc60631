"""One example of a complicated tool: the document's own, where the listing has room for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from portkey_bridge.settings.options import Settings
from tests.conftest import text_of
from tests.support import document, served

FILTER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "maxLength": 9},
        "where": {"type": "object", "properties": {"field": {"type": "string"}, "above": {"type": "number"}}},
    },
    "required": ["where"],
}
GOOD = {"id": "of body", "where": {"field": "price", "above": 3}}
WRONG = {"id": "of body", "where": "price"}


def search(schema: Any = FILTER, **media_type: Any) -> dict[str, Any]:
    """Return a document of one operation with a body of this schema."""
    content = {"application/json": {"schema": schema, **media_type}}
    id_ = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    body = {"required": True, "content": content}
    post = {"operationId": "op", "summary": "Searches.", "parameters": [id_], "requestBody": body, "responses": {}}
    example = {"value": GOOD}
    return document({"/shops/{id}": {"post": post}}, components={"examples": {"good": example}})


async def listed(root: dict[str, Any], **options: Any) -> tuple[str, dict[str, Any]]:
    """Return the description and the input schema of the operation as a client lists them."""
    async with served(root, Settings(**options)) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "op"]
    return str(tool.description), tool.input_schema


SHOWN: dict[str, dict[str, Any]] = {
    "of the media type": {"example": GOOD},
    "a named one": {"examples": {"one": {"value": GOOD}}},
    "a referenced one": {"examples": {"one": {"$ref": "#/components/examples/good"}}},
    "data of 3.2": {"examples": {"one": {"dataValue": GOOD}}},
    "the first valid one": {"examples": {"wrong": {"value": WRONG}, "right": {"value": GOOD}}},
    "of the schema": {"schema": {**FILTER, "examples": [GOOD]}},
}


@pytest.mark.parametrize("media_type", SHOWN.values(), ids=SHOWN)
async def test_an_example_is_one_of_all_arguments(media_type: dict[str, Any]) -> None:
    """By their names as arguments, with what is required besides the body; the listed schema accepts it."""
    description, schema = await listed(search(**media_type))
    words, _, example = description.partition("\nExample: ")
    assert words == "Searches."
    assert json.loads(example) == {"id": "<id>", "body_id": "of body", "where": GOOD["where"]}
    Draft202012Validator(schema).validate(json.loads(example))


LEFT_OUT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one that the schema refuses": (search(example=WRONG), {}),
    "one that is too long": (search(example={"where": {"field": "long " * 100}}), {}),
    "one that the budget has no room for": (search(example=GOOD), {"schema_budget": 200}),
    "of a tool that is simple": (search({"type": "object", "properties": {"a": {"type": "string"}}}, example={}), {}),
    "of arguments that a person changed": (
        search(example=GOOD),
        {"operations": {"op": ({"arguments": {"where": {"description": "Mine."}}}, "s.toml, line 1")}},
    ),
}


@pytest.mark.parametrize(("root", "options"), LEFT_OUT.values(), ids=LEFT_OUT)
async def test_no_example_is_better_than(root: dict[str, Any], options: dict[str, Any]) -> None:
    """Such an example is not shown."""
    assert (await listed(root, **options))[0] == "Searches."


@pytest.mark.parametrize("options", [{"discover": True}, {"schema_budget": 200}])
async def test_expand_schema_shows_the_example_that_a_listing_has_no_room_for(options: dict[str, Any]) -> None:
    """With the whole schema of the tool, and not with a part of it."""
    async with served(search(example=GOOD), Settings(**options)) as client:
        pointers = ["", "/properties/where"]
        result = await client.call_tool("expandSchema", {"toolName": "op", "jsonPointers": pointers})
    whole, part = (each["schema"] for each in json.loads(text_of(result)))
    assert whole["examples"] == [{"id": "<id>", "body_id": "of body", "where": GOOD["where"]}]
    assert "examples" not in part

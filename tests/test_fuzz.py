"""The fuzz itself: the inputs that once failed are tried again, and a few others of each campaign."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from bench.fuzz import CAMPAIGNS, JUNK, attempt, kept, mutated
from portkey_bridge.document.parse import Document
from portkey_bridge.errors import ArgumentsError
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.tools.catalog import build_tools
from tests.support import operation

if sys.platform == "win32":
    pytest.skip("a timer of POSIX ends what takes too long", allow_module_level=True)


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_inputs_that_failed_are_explained_or_served(campaign: str) -> None:
    """No input of a kept seed ends in an exception that explains nothing, nor takes longer than ten seconds."""
    assert all(attempt(campaign, seed) for seed in kept()[campaign])


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_some_inputs_are_explained_or_served(campaign: str) -> None:
    """The same goes for the first seeds of each campaign."""
    outcomes = {attempt(campaign, seed) for seed in range(20)}
    assert outcomes <= {"answered", "edited", "refused", "served", "written"}


def test_inputs_do_not_depend_on_earlier_ones() -> None:
    """Mutations of mutations leave the values that inputs are made of as they are, so that a seed is an input."""
    before = json.dumps(JUNK)
    for seed in range(500):
        mutated({"a": {}}, Random(seed), 9)  # noqa: S311  # repeatable is what is wanted
        assert json.dumps(JUNK) == before


def body_of(schema: dict[str, Any]) -> dict[str, Any]:
    return operation(requestBody={"content": {"application/json": {"schema": schema}}})


def swagger(*parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a Swagger 2.0 document whose path has the first parameter, and whose operation has the others."""
    inherited, *own = parameters
    paths = {"/x": {"parameters": [inherited], "post": {"operationId": "op", "parameters": own, "responses": {}}}}
    return {"swagger": "2.0", "info": {"title": "T", "version": "1"}, "paths": paths}


LISTED = {"in": "query", "name": "a", "type": "array", "items": {"type": "string"}, "collectionFormat": {}}

#: What the campaign of documents has found, written small.
FOUND = {
    "properties that lead back to themselves": body_of({"properties": {"$ref": "#/paths/~1x"}}),
    "properties in a circle": body_of(
        {"properties": {"a": {"properties": {"$ref": "#/paths/~1x/post/requestBody/content/application~1json/schema"}}}}
    ),
    "a reference to a text": body_of({"properties": {"a": {"$ref": "#/info/title"}}}),
    "a form parameter without a text as name": swagger({"in": "formData", "name": {}}, {"in": "formData", "name": []}),
    "a collection format that is no text": swagger(LISTED),
}


@pytest.mark.parametrize("name", FOUND)
def test_documents_that_were_found_are_served(name: str) -> None:
    """The operation is served, its views are finite, and arguments can be checked."""
    api = read_api(normalize(Document("test", "file:///test", FOUND[name])).root, "file:///test")
    shapes = Shapes(api.root)
    (tool,) = build_tools(api, shapes)
    assert json.dumps(tool.listed_schema(Views(shapes, portable=True), 1000))
    assert Views(shapes, portable=False).expand(tool.schema, "", 1000)
    with suppress(ArgumentsError):
        tool.validate({"a": "x"})

"""Documents that are narrower than their APIs: what `--lenient` sends, and what nothing sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import FastMCPTransport

from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

Session = Client[FastMCPTransport]

BODY = {"content": {"application/json": {"schema": {"type": "object", "properties": {"kind": {"enum": ["a"]}}}}}}
PARAMETERS = [
    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
    {"name": "page", "in": "query", "schema": {"type": "integer", "maximum": 9}},
]
SECURITY: dict[str, Any] = {
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "key"}}}
}


def narrow() -> dict[str, Any]:
    """Return a document with an operation for each method, of which PUT alone declares a body."""
    methods = ("get", "post", "put", "patch", "delete")
    item: dict[str, Any] = {
        method: {"operationId": method, "parameters": PARAMETERS, "responses": {}, "security": [{"key": []}, {}]}
        for method in methods
    }
    item["put"]["requestBody"] = BODY
    return document({"/things/{id}": item}, **SECURITY)


@asynccontextmanager
async def session(recorder: Recorder, *, lenient: bool = True, **more: Any) -> AsyncIterator[Session]:
    """Return a client of a server of the narrow document."""
    async with served(narrow(), Settings(base_url=recorder.url, lenient=lenient, **more)) as client:
        yield client


#: tool, arguments, the target and the body that arrive, what the result reports
SENT: list[tuple[str, dict[str, Any], str, Any, str]] = [
    ("put", {"id": 1, "kind": "b"}, "/things/1", {"kind": "b"}, "- /kind: expected one of"),
    ("put", {"id": 1, "extra": [1]}, "/things/1", {"extra": [1]}, "- /extra: there is no such argument"),
    ("put", {"id": 1, "query_all": "yes", "kind": "a"}, "/things/1?all=yes", {"kind": "a"}, "- /query_all: "),
    ("get", {"id": "one", "page": 10}, "/things/one?page=10", None, "- /page: expected at most 9"),
    ("get", {"id": 1, "filter": "x y"}, "/things/1?filter=x%20y", None, "- /filter: "),
    ("delete", {"id": 1, "force": True}, "/things/1?force=true", None, "- /force: "),
]


@pytest.mark.parametrize(("tool", "arguments", "target", "body", "reported"), SENT)
async def test_what_the_document_does_not_allow_is_sent_and_reported(
    recorder: Recorder, tool: str, arguments: dict[str, Any], target: str, body: Any, reported: str
) -> None:
    """Values, properties and query parameters beyond the document arrive, and the result lists each of them."""
    async with session(recorder) as client:
        said = text_of(await client.call_tool(tool, arguments))
    assert recorder.last.target == target
    assert (json.loads(recorder.last.body) if recorder.last.body else None) == body
    assert "Sent although the document does not allow it:" in said
    assert reported in said


@pytest.mark.parametrize("method", ["post", "patch", "delete"])
async def test_an_undeclared_body_is_accepted(recorder: Recorder, method: str) -> None:
    """A method that usually has a body takes any JSON as `body`; nothing is reported, as it is offered."""
    async with session(recorder) as client:
        said = text_of(await client.call_tool(method, {"id": 1, "body": {"any": [1]}}))
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "get"]
    assert json.loads(recorder.last.body) == {"any": [1]}
    assert "does not allow" not in said
    assert "body" not in tool.input_schema["properties"]


#: Arguments of which no request can be made, or that would reach something else.
UNSENT: list[tuple[str, dict[str, Any]]] = [
    ("get", {"page": 10}),
    ("get", {"id": "..", "page": 1}),
    ("get", {"id": None}),
    ("get", {"id": 1, "filter": "\ud800"}),
    ("get", {"id": 1, "key": "mine"}),
    ("get", {"id": 1, "query_page": 10}),
    ("put", {"id": 1, "query_key": "mine", "kind": "a"}),
]


@pytest.mark.parametrize(("tool", "arguments"), UNSENT)
async def test_what_cannot_be_sent_is_refused(recorder: Recorder, tool: str, arguments: dict[str, Any]) -> None:
    """Leniently, too, a path needs its values, each value keeps its place, and nothing replaces a credential."""
    async with session(recorder, environ={"KEY": "S3CRET"}) as client:
        result = await client.call_tool(tool, arguments, raise_on_error=False)
    assert result.is_error
    assert "Nothing was sent" in text_of(result)
    assert recorder.requests == []


async def test_the_option_is_mentioned_once(recorder: Recorder) -> None:
    """The first refusal of a session that it would have changed names the option, and no other one does."""
    async with session(recorder, lenient=False) as client:
        said = [
            text_of(await client.call_tool("get", arguments, raise_on_error=False))
            for arguments in ({"page": 1}, {"id": 1, "page": 10}, {"id": 1, "page": 11})
        ]
    assert recorder.requests == []
    assert ["--lenient" in each for each in said] == [False, True, False]

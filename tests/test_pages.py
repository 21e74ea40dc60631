"""The next page of an answer: found in each usual way, fetched with the same credentials, and never from elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

JSON = {"content-type": "application/json"}
KEY = {"k": {"type": "apiKey", "in": "query", "name": "key"}, "h": {"type": "apiKey", "in": "header", "name": "X-Key"}}
SECRET = "s3cret-key-of-the-test"  # noqa: S105


def api(*queries: str) -> dict[str, Any]:
    """Return a document of one list operation with these query parameters, and two credentials."""
    parameters = [{"name": name, "in": "query", "schema": {"type": ["string", "integer"]}} for name in queries]
    get = {"operationId": "list", "parameters": parameters, "responses": {}, "security": [{"k": [], "h": []}]}
    return document({"/list": {"get": get}}, components={"securitySchemes": KEY})


async def pages(recorder: Recorder, root: dict[str, Any], times: int) -> tuple[list[str], Any]:
    """Call the operation and fetch the next page `times`; return what was said, and what is kept at the end."""
    environ = {"KEY": SECRET, "X_KEY": SECRET}
    async with served(root, Settings(base_url=recorder.url, environ=environ)) as client:
        said = [text_of(await client.call_tool("list", {}))]
        result_id = said[0].partition("with resultId ")[2].partition(" ")[0]
        for _ in range(times):
            arguments: dict[str, Any] = {"resultId": result_id, "next": True}
            said.append(text_of(await client.call_tool("expandResult", arguments, raise_on_error=False)))
        if not result_id:
            return said, None
        whole = await client.call_tool("expandResult", {"resultId": result_id, "jsonPointers": [""]})
    return said, json.loads(text_of(whole))[0]["value"]


#: The query parameters of the list, the body and headers of its first page, and the query of the second
STYLES: list[tuple[tuple[str, ...], dict[str, Any], dict[str, str], str]] = [
    ((), {}, {"link": '</list?p=2>; rel="next", </list>; rel="first"'}, "p=2"),
    (("cursor",), {"next_cursor": "abc="}, {}, "cursor=abc%3D"),
    (("pageToken",), {"nextPageToken": "t2"}, {}, "pageToken=t2"),
    (("after",), {"has_more": True, "last_id": "x9"}, {}, "after=x9"),
    (("cursor",), {"response_metadata": {"next_cursor": "m"}}, {}, "cursor=m"),
    ((), {"links": {"next": "/list?n=1"}}, {}, "n=1"),
    ((), {"_links": {"next": {"href": "/list?n=2"}}}, {}, "n=2"),
    (("page",), {"page": 1, "total_pages": 2}, {}, "page=2"),
    (("offset",), {"total": 4, "offset": 0}, {}, "offset=2"),
]


@pytest.mark.parametrize(("queries", "said", "headers", "second"), STYLES)
async def test_the_next_page_is_appended(
    recorder: Recorder, queries: tuple[str, ...], said: dict[str, Any], headers: dict[str, str], second: str
) -> None:
    """One line says that there is a next page; it arrives with the same credentials, and joins the kept result."""
    first = {"data": [1, 12345678901234567890123], **said}
    recorder.answers[f"/list?key={SECRET}"] = 200, JSON | headers, json.dumps(first).encode()
    recorder.answer = 200, JSON, b'{"data": [3, 4], "total": 4}'
    answers, kept = await pages(recorder, api(*queries), 2)
    assert "There is a next page: expandResult" in answers[0]
    assert kept["data"] == [*first["data"], 3, 4]
    assert "It is complete" in answers[1]
    assert "has no next page" in answers[2]
    request = recorder.last
    assert len(recorder.requests) == 2
    assert second in request.target
    assert f"key={SECRET}" in request.target
    assert request.header("x-key") == SECRET
    assert SECRET not in "".join(answers)


@pytest.mark.parametrize("target", ["http://127.0.0.2:9/list?p=2", "//elsewhere.test/x", "https://127.0.0.1/x"])
async def test_a_next_page_on_another_origin_is_not_offered(recorder: Recorder, target: str) -> None:
    """No request leaves the origin of the call, and nothing invites one."""
    recorder.answer = 200, JSON | {"link": f'<{target}>; rel="next"'}, b'{"data": [1]}'
    (answer,), _ = await pages(recorder, api(), 0)
    assert "There is a next page" not in answer


async def test_pages_that_repeat_end(recorder: Recorder) -> None:
    """A page that names itself, or an earlier one, as the next is the last."""
    recorder.answer = 200, JSON | {"link": '</list?p=2>; rel="next"'}, b'{"data": [1]}'
    answers, kept = await pages(recorder, api(), 4)
    assert len(recorder.requests) <= 3
    assert len(kept["data"]) <= 3
    assert "has no next page" in answers[-1]

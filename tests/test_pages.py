"""The next page of an answer: found in each usual way, fetched with the same credentials, and never from elsewhere."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp import Client

from portkey_bridge.bridge.call_record import CallRecord
from portkey_bridge.bridge.service import service_of
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.pages import join_pages, next_page
from portkey_bridge.serve.server import build_server, catalogue_of
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.readers import result_bounds
from tests.conftest import Recorder, Run, text_of
from tests.support import api_of, document, served

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
    ((), {}, {"next-page": "/list?_token=t"}, "_token=t"),
    (("page",), {}, {"x-next-page": "2"}, "page=2"),
    (("continue",), {"metadata": {"continue": "k8s", "remainingItemCount": 2}}, {}, "continue=k8s"),
    (("start_cursor",), {"next_cursor": "n", "has_more": True}, {}, "start_cursor=n"),
    (("pagination_token",), {"meta": {"next_token": "t"}}, {}, "pagination_token=t"),
    (("page[after]",), {"meta": {"has_more": True, "after_cursor": "z"}}, {}, "page%5Bafter%5D=z"),
    (("marker",), {"next_marker": "m"}, {}, "marker=m"),
    (("after",), {"paging": {"next": {"after": "h"}}}, {}, "after=h"),
    ((), {"paging": {"next": {"link": "?after=h"}}}, {}, "after=h"),
    (("offset",), {"next_page": {"offset": "e", "uri": "/list?offset=e"}}, {}, "offset=e"),
    ((), {"link": [{"relation": "self", "url": "/list"}, {"relation": "next", "url": "/list?n=3"}]}, {}, "n=3"),
    ((), {"links": [{"rel": "next", "href": "/list?n=4"}]}, {}, "n=4"),
    ((), {"nextRecordsUrl": "/list?n=5", "done": False}, {}, "n=5"),
    (("page",), {"meta": {"current_page": 1, "next_page": 2}}, {}, "page=2"),
    (("_page",), {"next": 2, "pages": 3}, {}, "_page=2"),
    (("page",), {"totalPages": 3, "number": 0, "last": False}, {}, "page=1"),
    (("page",), {"page": {"totalPages": 3, "number": 0}}, {}, "page=1"),
    (("pagination[page]",), {"meta": {"pagination": {"page": 1, "pageCount": 2}}}, {}, "pagination%5Bpage%5D=2"),
    (("page",), {"has_more": True}, {}, "page=2"),
    (("startAt",), {"startAt": 0, "total": 4}, {}, "startAt=2"),
    (("startIndex",), {"totalResults": 3, "startIndex": 1}, {}, "startIndex=3"),
    (("offset",), {"more": True, "total": None}, {}, "offset=2"),
    (("page",), {}, {"x-wp-totalpages": "2"}, "page=2"),
    (("offset",), {}, {"x-total-count": "4"}, "offset=2"),
    (("continuationToken",), {}, {"x-ms-continuationtoken": "c"}, "continuationToken=c"),
]

#: The query parameters of a list, and what an answer says that is no next page
ENDS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("page",), {"totalPages": 1, "number": 0, "last": True}),
    (("page",), {"totalPages": 9, "last": True}),
    (("page",), {"current_page": 2, "total_pages": 2}),
    (("page",), {"meta": {"next_page": None, "has_more": False}}),
    (("page",), {"after": 5}),
    (("startIndex",), {"totalResults": 2, "startIndex": 1}),
    (("cursor",), {"next": True}),
    (("cursor",), {"next": ""}),
    (("offset",), {"total": 2}),
    ((), {"links": [{"rel": "prev", "href": "/list?n=4"}]}),
]


@pytest.mark.parametrize(("queries", "said"), ENDS)
async def test_the_last_page_leads_nowhere(recorder: Recorder, queries: tuple[str, ...], said: dict[str, Any]) -> None:
    """Nothing invites a request that would bring nothing."""
    recorder.answer = 200, JSON, json.dumps({"data": [1, 2], **said}).encode()
    (answer,), _ = await pages(recorder, api(*queries), 0)
    assert "There is a next page" not in answer


#: Two pages as they are sent, and what both are together
JOINED = [
    ('{"_embedded":{"users":[1]},"page":{"number":0}}', '{"_embedded":{"users":[2]},"page":{"number":1}}',
     '{"_embedded":{"users":[1,2]},"page":{"number":1}}', "/_embedded/users"),
    ('{"data":[{"id":1}],"included":[{"a":"long enough"}]}', '{"data":[{"id":2}],"included":[{"b":"long enough"}]}',
     '{"data":[{"id":1},{"id":2}],"included":[{"a":"long enough"},{"b":"long enough"}]}', "/included"),
    ('{"columns":["a","b"],"rows":[[1,1],[2,2]]}', '{"columns":["a","b"],"rows":[[3,3],[4,4]]}',
     '{"columns":["a","b"],"rows":[[1,1],[2,2],[3,3],[4,4]]}', "/rows"),
    ('{"result":{"items":[1.10],"only":1}}', '{"result":{"items":[]},"n":2}',
     '{"result":{"items":[1.10],"only":1},"n":2}', "/result/items"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "further", "whole", "pointer"), JOINED)
def test_nothing_of_a_page_is_lost(first: str, further: str, whole: str, pointer: str) -> None:
    """Items inside of objects are found; other arrays are joined, too, unless they are the same on both pages."""
    joined = join_pages(first.encode(), further.encode())
    assert joined
    assert (json.loads(joined[0]), joined[1]) == (json.loads(whole), pointer)
    assert b"1.10" in joined[0] or "1.10" not in first


@pytest.mark.parametrize(
    ("here", "link", "leads"),
    [
        ("https://api.test/list", "http://api.test/list?p=2", "https://api.test/list?p=2"),
        ("https://api.test/list", "http://elsewhere.test/list?p=2", "http://elsewhere.test/list?p=2"),
        ("http://api.test/list", "https://api.test/list?p=2", "https://api.test/list?p=2"),
        ("https://api.test/list?size=5", "?p=2", "https://api.test/list?size=5&p=2"),
    ],
)
def test_a_link_of_an_api_behind_a_proxy(here: str, link: str, leads: str) -> None:
    """One that names its own host by http is asked by https where the call was; never the other way round."""
    headers = httpx.Headers({"link": f'<{link}>; rel="next"'})
    assert next_page(Answer(200, "", headers, b"[1]", url=httpx.URL(here)), ()) == httpx.URL(leads)


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


def test_a_very_large_body_is_not_searched() -> None:
    """A body of more than five megabytes would take ten times as much memory as values; its headers still count."""
    here = httpx.URL("https://api.example.com/list")
    body = json.dumps({"next_cursor": "abc", "items": ["x" * 5_000_000]}).encode()
    assert next_page(Answer(200, "OK", httpx.Headers(), body, url=here), ["cursor"]) is None
    headers = httpx.Headers({"x-next-cursor": "abc"})
    found = next_page(Answer(200, "OK", headers, body, url=here), ["cursor"])
    assert found == "https://api.example.com/list?cursor=abc"


async def test_pages_that_repeat_end(recorder: Recorder) -> None:
    """A page that names itself, or an earlier one, as the next is the last."""
    recorder.answer = 200, JSON | {"link": '</list?p=2>; rel="next"'}, b'{"data": [1]}'
    answers, kept = await pages(recorder, api(), 4)
    assert len(recorder.requests) <= 3
    assert len(kept["data"]) <= 3
    assert "has no next page" in answers[-1]


def links(parameters: dict[str, str], **target: str) -> dict[str, Any]:
    """Return the document of the list with a link of this target and these parameters, named by a reference."""
    root = api("from", "limit")
    root["paths"]["/list"]["get"]["responses"] = {"200": {"description": "OK", "links": {"nextPage": {"$ref": LINK}}}}
    root["components"]["links"] = {"next": {**target, "parameters": parameters}}
    return root


LINK = "#/components/links/next"
SELF = {"operationId": "list"}

#: The target and the parameters of a link, and the query of the next page if it leads to one
LINKED: list[tuple[dict[str, str], dict[str, str], str | None]] = [
    (SELF, {"from": "$response.body#/position/after"}, "from=a+b"),
    (SELF, {"query.from": "$response.header.X-Position", "limit": "$request.query.limit"}, "from=h"),
    ({"operationRef": "#/paths/~1list/get"}, {"from": "$response.body#/position/after"}, "from=a+b"),
    (SELF, {"from": "$response.body#/nothing"}, None),
    ({"operationId": "other"}, {"from": "$response.body#/position/after"}, None),
    (SELF, {"elsewhere": "$response.body#/position/after"}, None),
]


@pytest.mark.parametrize(("target", "parameters", "second"), LINKED)
async def test_a_link_of_the_document_leads_to_the_next_page(
    recorder: Recorder, target: dict[str, str], parameters: dict[str, str], second: str | None
) -> None:
    """A link from an operation to itself whose name says next is followed, with the values of the response."""
    first = {"rows": [1], "position": {"after": "a b"}}
    recorder.answers[f"/list?key={SECRET}"] = 200, JSON | {"x-position": "h"}, json.dumps(first).encode()
    recorder.answer = 200, JSON, b'{"rows": [2]}'
    answers, kept = await pages(recorder, links(parameters, **target), 1 if second else 0)
    assert ("There is a next page" in answers[0]) == bool(second)
    if second:
        assert second in recorder.last.target
        assert kept["rows"] == [1, 2]


def numbered(recorder: Recorder, count: int, **more: Any) -> None:
    """Answer with this many pages of two items each, that lead on by a cursor."""
    for number in range(count):
        query = f"cursor={number}&" if number else ""
        body = {"data": [2 * number, 2 * number + 1], "next_cursor": str(number + 1) if number < count - 1 else None}
        order = f"/list?{query}key={SECRET}", f"/list?key={SECRET}&{query}".rstrip("&")
        for target in order:
            recorder.answers[target] = 200, JSON, json.dumps(body | more).encode()
    recorder.answer = 404, JSON, b'{"error": "no such page"}'


async def collected(recorder: Recorder, root: dict[str, Any], **options: Any) -> tuple[str, list[Any], Any]:
    """Call the operation once with these options; return what was said, the progress, and the items."""
    seen: list[Any] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    environ = {"KEY": SECRET, "X_KEY": SECRET}
    async with served(root, Settings(base_url=recorder.url, environ=environ, **options)) as client:
        result = await client.call_tool("list", {}, progress_handler=report)
    first, *rest = [block.text for block in result.content if block.type == "text"]
    return "\n".join(rest), seen, json.loads(first)


async def test_several_pages_are_collected_at_once(recorder: Recorder) -> None:
    """With --pages 3, one result has the items of three pages, says so, reports each, and leads to the fourth."""
    numbered(recorder, 5)
    said, seen, answer = await collected(recorder, api("cursor"), pages=3)
    assert answer["data"] == [*range(6)]
    assert seen == [(1, "page 2"), (2, "page 3")]
    assert "These are 3 pages as one answer." in said
    assert "There is a next page: expandResult with resultId" in said
    assert len(recorder.requests) == 3
    assert {request.header("x-key") for request in recorder.requests} == {SECRET}


async def test_collecting_ends_with_the_last_page(recorder: Recorder) -> None:
    """Fewer pages than allowed are all there are, and an empty last page is nothing to speak of."""
    numbered(recorder, 2)
    said, _, answer = await collected(recorder, api("cursor"), pages=50)
    assert answer["data"] == [*range(4)]
    assert "next page" not in said
    recorder.requests.clear()
    numbered(recorder, 3)
    for target in [target for target in recorder.answers if "cursor=2" in target]:
        recorder.answers[target] = 200, JSON, b'{"data": []}'
    said, _, answer = await collected(recorder, api("cursor"), pages=50)
    assert answer["data"] == [*range(4)]
    assert "next page" not in said
    assert len(recorder.requests) == 3


async def test_an_empty_page_may_lead_on(recorder: Recorder) -> None:
    """APIs that filter answer with pages without items; what is behind them is read as well."""
    numbered(recorder, 3)
    for target in [target for target in recorder.answers if "cursor=1" in target]:
        recorder.answers[target] = 200, JSON, b'{"data": [], "next_cursor": "2"}'
    *_, answer = await collected(recorder, api("cursor"), pages=50)
    assert answer["data"] == [0, 1, 4, 5]
    answers, kept = await pages(recorder, api("cursor"), 2)
    assert "Appended 0 items" in answers[1]
    assert "There is a next page" in answers[1]
    assert kept["data"] == [0, 1, 4, 5]


async def test_a_page_that_fails_leaves_the_others(recorder: Recorder) -> None:
    """What was read before is the result; it says what happened, and the page can be asked for again."""
    numbered(recorder, 4)
    for target in [target for target in recorder.answers if "cursor=2" in target]:
        del recorder.answers[target]
    said, _, answer = await collected(recorder, api("cursor"), pages=9)
    assert answer["data"] == [*range(4)]
    assert "Page 3 was not appended: the API answered 404 Not Found." in said
    assert "There is a next page" in said


ONE_MEGABYTE = result_bounds("5,1,5", "OPEN_MCP_KEPT_RESULTS")


@pytest.mark.parametrize(("name", "option"), [("", "--kept-results"), ("things", "kept_results in [api.things]")])
async def test_a_limit_that_ends_the_collecting_is_named(recorder: Recorder, name: str, option: str) -> None:
    """What would exceed a limit is left out, and the option is named as the person set it: by its key in a file."""
    numbered(recorder, 2)
    for target in [target for target in recorder.answers if "cursor=1" in target]:
        recorder.answers[target] = 200, JSON, json.dumps({"data": ["x" * 999_970]}).encode()
    said, _, answer = await collected(recorder, api("cursor"), pages=9, name=name, kept_results=ONE_MEGABYTE)
    assert answer["data"] == [0, 1]
    assert f"({option}" in said


@pytest.mark.slow
async def test_endless_pages_are_bounded(recorder: Recorder) -> None:
    """An API whose pages never end is asked for as many as allowed, and no key is in what is said."""
    body = json.dumps({"data": ["x" * 50]}).encode()
    recorder.answer = 200, JSON, body
    numbers = iter(range(10_000))

    class Endless(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return 200, JSON | {"link": f'</list?p={next(numbers)}>; rel="next"'}, body

    recorder.answers = Endless()
    said, _, answer = await collected(recorder, api(), pages=20)
    assert len(recorder.requests) == len(answer["data"]) == 20
    assert "There is a next page" in said
    assert SECRET not in said
    recorder.requests.clear()
    answers, _ = await pages(recorder, api(), 101)
    assert "100 pages were read, the most for one result" in answers[-1]
    assert len(recorder.requests) == 100


@pytest.mark.parametrize("target", ["http://127.0.0.2:9/list?p=2", "/list"])
async def test_collecting_follows_no_page_to_elsewhere_or_back(recorder: Recorder, target: str) -> None:
    """A next page on another origin, and one that was read before, are not fetched."""
    recorder.answer = 200, JSON | {"link": f'<{target}>; rel="next"'}, b'{"data": [1]}'
    await collected(recorder, api(), pages=9)
    assert len(recorder.requests) <= 2


async def test_a_page_is_observed_like_a_call(recorder: Recorder) -> None:
    """An audit and metrics count each request for another page, with its status and size."""
    seen: list[tuple[str, str, int | None, int]] = []

    def observe(name: str, record: CallRecord) -> None:
        seen.append((name, record.tool, record.status, record.size))

    first = b'{"data": [1], "next_cursor": "a"}'
    recorder.answers[f"/list?key={SECRET}"] = 200, JSON, first
    recorder.answer = 200, JSON, b'{"data": [3]}'
    settings = Settings(base_url=recorder.url, environ={"KEY": SECRET, "X_KEY": SECRET})
    services = [service_of(api_of(api("cursor")), settings)]
    async with Client(build_server(services, partial(catalogue_of, observers=[observe]))) as client:
        said = text_of(await client.call_tool("list", {}))
        result_id = said.partition("with resultId ")[2].partition(" ")[0]
        await client.call_tool("expandResult", {"resultId": result_id, "next": True})
    assert seen == [("Test", "list", 200, len(first)), ("Test", "list", 200, 13)]


def test_the_shell_is_told_how_to_see_more_pages(recorder: Recorder, run: Run, tmp_path: Path) -> None:
    """A person who calls a tool once has no tool to read on with, but the option that collects pages."""
    (tmp_path / "api.json").write_text(json.dumps(api("cursor")), encoding="utf-8")
    recorder.answer = 200, JSON, b'{"data": [1], "next_cursor": "a"}'
    words = ("--spec", "api.json", "--base-url", recorder.url, "call", "list")
    done = run(*words, cwd=tmp_path, env={"KEY": SECRET, "X_KEY": SECRET})
    assert "--pages N" in done.stdout
    assert "expandResult" not in done.stdout

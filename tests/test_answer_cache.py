"""Answers that are kept: asked about each time, for one caller and credential, within bounds, and forgotten in time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from portkey_bridge.response import answer_cache as module
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.answer_cache import AnswerCache
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

KEY = {"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}
PATHS = {
    "/things": {
        "get": {
            "operationId": "things",
            "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
            "responses": {},
            "security": [{"k": []}, {}],
        },
        "post": {"operationId": "add", "responses": {}},
    }
}
ROOT = document(PATHS, components={"securitySchemes": KEY})
JSON = {"content-type": "application/json"}


class Versioned(dict[str, Any]):
    """Answers of an API that knows conditional requests: each target has a body, whose version is its ETag."""

    def __init__(self, recorder: Recorder, **headers: str) -> None:
        super().__init__()
        self.recorder, self.headers, self.version, self.body = recorder, headers, "1", "a"

    def get(self, target: str, default: Any = None) -> Any:
        """Answer 304 if the client has this version."""
        headers = JSON | {"etag": f'"{self.version}"', "x-request-id": str(len(self.recorder.requests)), **self.headers}
        if self.recorder.last.header("if-none-match") == f'"{self.version}"':
            return 304, headers, b""
        return 200, headers, json.dumps({"body": self.body, "target": target}).encode()


def conditions(recorder: Recorder) -> list[str | None]:
    """Return what each request asked for."""
    return [request.header("if-none-match") or None for request in recorder.requests]


async def test_a_repeated_get_costs_a_304(recorder: Recorder) -> None:
    """The second call asks whether the answer has changed, and its result is the same; a changed one is the new one."""
    recorder.answers = versions = Versioned(recorder)
    async with served(ROOT, Settings(base_url=recorder.url)) as client:
        first = await client.call_tool("things", {})
        second = await client.call_tool("things", {})
        assert text_of(first) == text_of(second)
        assert second.structured_content == {"body": "a", "target": "/things"}
        assert not second.is_error
        assert first.meta is not None
        assert second.meta is not None
        assert first.meta["requestId"] != second.meta["requestId"]
        assert conditions(recorder) == [None, '"1"']
        await client.call_tool("things", {"q": "other"})
        assert conditions(recorder)[-1] is None
        versions.version, versions.body = "2", "b"
        assert (await client.call_tool("things", {})).structured_content == {"body": "b", "target": "/things"}
        await client.call_tool("things", {})
        assert conditions(recorder)[-2:] == ['"1"', '"2"']


async def test_a_change_of_the_same_path_makes_the_answer_forgotten(recorder: Recorder) -> None:
    """After a POST the whole answer is asked for."""
    recorder.answers = Versioned(recorder)
    async with served(ROOT, Settings(base_url=recorder.url)) as client:
        for name in ("things", "add", "things", "things"):
            await client.call_tool(name, {})
    assert conditions(recorder) == [None, None, None, '"1"']


@pytest.mark.parametrize(
    ("settings", "headers", "asked"),
    [
        ({}, {"cache-control": "max-age=60"}, [None, '"1"']),
        ({"answer_cache": "fresh"}, {"cache-control": "private, max-age=60"}, [None]),
        ({"answer_cache": "fresh"}, {"cache-control": "max-age=60, no-cache"}, [None, '"1"']),
        ({"answer_cache": "fresh"}, {"cache-control": "max-age=60", "age": "70"}, [None, '"1"']),
        ({"answer_cache": "off"}, {}, [None, None]),
        ({}, {"cache-control": "no-store"}, [None, None]),
        ({}, {"vary": "*"}, [None, None]),
    ],
)
async def test_what_the_api_and_the_settings_say_counts(
    recorder: Recorder, settings: dict[str, Any], headers: dict[str, str], asked: list[str | None]
) -> None:
    """Nothing is used without asking unless a person allows it, and what must not be kept is not kept."""
    recorder.answers = Versioned(recorder, **headers)
    async with served(ROOT, Settings(base_url=recorder.url, **settings)) as client:
        await client.call_tool("things", {})
        said = text_of(await client.call_tool("things", {}))
    assert conditions(recorder) == asked
    assert ("This answer is 0 seconds old" in said) == (len(asked) == 1)


async def test_a_last_modified_must_be_older(recorder: Recorder) -> None:
    """One of the same minute may stay the same although the answer changes."""
    for modified, asked in (("Sat, 01 Jan 2022 00:00:00 GMT", True), (format_datetime(datetime.now(UTC), True), False)):
        recorder.requests.clear()
        recorder.answer = 200, JSON | {"last-modified": modified}, b"{}"
        async with served(ROOT, Settings(base_url=recorder.url)) as client:
            await client.call_tool("things", {})
            await client.call_tool("things", {})
        assert bool(recorder.last.header("if-modified-since")) == asked


def fetching(log: list[httpx.Request], status: int = 200, body: bytes = b"{}", **headers: str) -> Any:
    """Return a function that answers each request alike, and 304 to one that has the ETag."""

    async def fetch(request: httpx.Request) -> Answer:
        log.append(request)
        known = request.headers.get("if-none-match") == '"1"'
        fields = httpx.Headers({"etag": '"1"', **headers})
        return Answer(304 if known else status, "", fields, b"" if known else body, url=request.url)

    return fetch


def get(url: str = "http://api.test/x", **headers: str) -> httpx.Request:
    """Return a request."""
    return httpx.Request("GET", url, headers=headers)


async def test_an_answer_belongs_to_a_caller_and_a_credential() -> None:
    """Another caller, and the same one with another credential, are never asked for by the first one's answer."""
    cache, log = AnswerCache(), list[httpx.Request]()
    for owner, key in (("alice", "a"), ("bob", "a"), ("alice", "b"), (None, "a")):
        await cache.answer(get(authorization=key), owner, fetching(log))
    assert not any("if-none-match" in request.headers for request in log)
    answer = await cache.answer(get(authorization="a"), "alice", fetching(log))
    assert log[-1].headers["if-none-match"] == '"1"'
    assert (answer.status, answer.body) == (200, b"{}")
    assert "authorization" not in repr(vars(cache)).lower()


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers are forgotten, and one that is too large is not kept."""
    monkeypatch.setattr(module, "MAX_ALL_BYTES", 1000)
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 400)
    cache, log = AnswerCache(), list[httpx.Request]()
    for number in range(10):
        await cache.answer(get(f"http://api.test/{number}"), None, fetching(log, body=b"x" * 300))
    await cache.answer(get("http://api.test/large"), None, fetching(log, body=b"x" * 500))
    log.clear()
    for name in ("0", "6", "9", "large"):
        await cache.answer(get(f"http://api.test/{name}"), None, fetching(log))
    assert ["if-none-match" in request.headers for request in log] == [False, False, True, False]


async def test_a_request_that_is_conditional_itself_is_sent_as_it_is() -> None:
    """What a caller asks for with such a header is what the caller gets."""
    cache, log = AnswerCache(), list[httpx.Request]()
    await cache.answer(get(), None, fetching(log))
    answer = await cache.answer(get(**{"if-none-match": '"1"'}), None, fetching(log))
    assert answer.status == 304
    await cache.answer(get(range="bytes=0-1"), None, fetching(log))
    assert "if-none-match" not in log[-1].headers


async def test_a_304_of_another_resource_is_not_believed() -> None:
    """If the request was redirected to where the same ETag means something else, the answer is fetched."""
    cache, log = AnswerCache(), list[httpx.Request]()
    await cache.answer(get(), None, fetching(log))

    async def elsewhere(request: httpx.Request) -> Answer:
        log.append(request)
        known = "if-none-match" in request.headers
        return Answer(
            304 if known else 200, "", httpx.Headers(), b"" if known else b"new", url=httpx.URL("http://api.test/y")
        )

    answer = await cache.answer(get(), None, elsewhere)
    assert (answer.status, answer.body) == (200, b"new")
    assert len(log) == 3

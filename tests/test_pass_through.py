"""A header of each caller is the only credential of an API: what it reaches, and what cannot be done with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Recorder, recording
from tests.support import document, serving

MARKER = "S3CRET"
MINE, YOURS = f"key-of-mine-{MARKER}-1", f"key-of-yours-{MARKER}-2"
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-06-18",
}


@pytest.fixture
def other() -> Iterator[Recorder]:
    """Return another server than the API's."""
    with recording() as record:
        yield record


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Return an HTTP client that knows nothing of the protocol."""
    async with httpx.AsyncClient(headers=HEADERS, timeout=30) as client:
        yield client


def api(url: str, elsewhere: str = "", **fields: Any) -> dict[str, Any]:
    """Return a document with an operation at the API, and one at another server."""
    parameters = [{"name": name, "in": "header", "schema": {"type": "string"}} for name in ("X-Key", "x_key", "X-Note")]
    paths: dict[str, Any] = {
        "/thing": {"get": {"operationId": "thing", "responses": {}, "parameters": parameters}},
        "/there": {"get": {"operationId": "there", "responses": {}, "servers": [{"url": elsewhere or url}]}},
    }
    return document(paths, servers=[{"url": url}], **fields)


async def called(
    http: httpx.AsyncClient, url: str, name: str, headers: Any, arguments: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Call a tool with headers of the caller, and return its result."""
    params = {"name": name, "arguments": arguments or {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = (await http.post(url, json=message, headers=headers)).json()
    found: dict[str, Any] = answer["result"]
    return found


def words(result: dict[str, Any]) -> str:
    """Return the text of a result."""
    return "\n".join(each["text"] for each in result["content"])


async def test_a_silent_document(recorder: Recorder, other: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Where the document declares no credential in the header, each operation of the API's own origin gets it."""
    with serving(tmp_path, api(recorder.url, other.url), "--pass-header", "X-Token") as (url, _):
        assert not (await called(http, url, "thing", {"x-token": MINE}))["isError"]
        assert recorder.last.header("x-token") == MINE
        await called(http, url, "there", {"x-token": MINE})
        assert other.last.header("x-token") is None
        recorder.answer = (401, {}, b"")
        said = words(await called(http, url, "thing", {}))
    assert "send your own credential for this API in the header x-token" in said


@pytest.mark.parametrize(
    ("scheme", "value", "is_sent"),
    [
        ({"type": "apiKey", "in": "header", "name": "Authorization"}, f"Bearer {MINE}", True),
        ({"type": "apiKey", "in": "header", "name": "Authorization"}, MINE, True),
        ({"type": "http", "scheme": "basic"}, f"Basic {MINE}", True),
        ({"type": "http", "scheme": "bearer"}, f"bearer {MINE}", True),
        ({"type": "http", "scheme": "bearer"}, f"Basic {MINE}", False),
        ({"type": "http", "scheme": "Token"}, f"Token {MINE}", True),
        ({"type": "oauth2", "flows": {}}, f"Bearer {MINE}", True),
    ],
)
async def test_the_whole_header_is_passed_on(
    recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient, scheme: Any, value: str, is_sent: bool
) -> None:
    """The value goes as it came to a scheme that takes it; another kind of credential is refused."""
    root = api(recorder.url, components={"securitySchemes": {"s": scheme}}, security=[{"s": []}])
    with serving(tmp_path, root, "--pass-header", "authorization") as (url, _):
        result = await called(http, url, "thing", {"authorization": value})
    assert [each.header("authorization") for each in recorder.requests] == [value] * is_sent
    assert is_sent or "begins with Bearer" in words(result)


async def test_what_callers_try(recorder: Recorder, other: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """No header twice, no foreign character, no argument in its place, no redirect and no other caller gets the key."""
    key = {"s": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    root = api(recorder.url, components={"securitySchemes": key}, security=[{"s": []}])
    env = {"X_KEY": f"server-{MARKER}-key", "MY_HEADER": f"server-{MARKER}-header"}
    with serving(tmp_path, root, "--pass-header", "X-Key", "--verbose", "--audit", env=env) as (url, process):
        twice = httpx.Headers([*HEADERS.items(), ("x-key", MINE), ("x-key", YOURS)])
        for headers in (twice, {"x-key": "k\u00e9y-1234".encode("latin-1")}, {"x-key": ""}, {}):
            assert (await called(http, url, "thing", headers))["isError"]
        for argument in ("X-Key", "x_key"):
            assert (await called(http, url, "thing", {"x-key": MINE}, {argument: YOURS}))["isError"]
        assert "X-Note" in words(await called(http, url, "thing", {"x-key": MINE}, {"X-Note": "a\r\nX-Key: b"}))
        assert recorder.requests == []
        recorder.answers["/thing"] = (302, {"location": f"{other.url}/lure"}, b"")
        shown = [json.dumps(await called(http, url, "thing", {"x-key": MINE}))]
        assert other.last.header("x-key") is None
        recorder.answers["/thing"] = (403, {"x-echo": MINE}, f"{MINE} {YOURS}".encode())
        mine, yours = await asyncio.gather(*(called(http, url, "thing", {"x-key": key}) for key in (MINE, YOURS)))
        metrics = (await http.get(url.replace("/mcp", "/metrics"))).text
        process.terminate()
        said = "".join(process.communicate())
    assert MINE not in words(mine)
    assert YOURS not in words(yours)
    assert MARKER not in "".join((*shown, metrics, said))
    assert {each.header("x-key") for each in recorder.requests} == {MINE, YOURS}


async def test_a_document_that_moves(
    recorder: Recorder, other: Recorder, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """A document from a URL that later names another server gets no caller's key there: the first is remembered."""
    key = {"s": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    where = [recorder.url, other.url]
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    for server in where:
        root = api(server, components={"securitySchemes": key}, security=[{"s": []}])
        recorder.answers["/api.json"] = (200, {"content-type": "application/json"}, json.dumps(root).encode())
        options = ("--spec", f"{recorder.url}/api.json", "--no-cache")
        with serving(tmp_path, {}, *options, "--pass-header", "X-Key", env=state) as (url, _):
            said = words(await called(http, url, "thing", {"x-key": MINE}))
    assert recorder.requests[1].header("x-key") == MINE
    assert other.requests == []
    assert f"X_KEY was first used for {recorder.url}" in said

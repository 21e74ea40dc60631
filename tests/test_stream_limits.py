"""A caller decides where a stream is cut, and what came before is an ordinary result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

SSE = {"200": {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}
LINES = {"2XX": {"description": "OK", "content": {"application/x-ndjson": {}}}}
PLAIN = {"200": {"description": "OK", "content": {"application/json": {}}}}


def root(responses: dict[str, Any] = SSE, **fields: Any) -> dict[str, Any]:
    """Return a document of one operation with these responses."""
    return document({"/events": {"get": {"operationId": "events", "responses": responses, **fields}}})


@dataclass
class Endless:
    """A server of a stream that never ends: each event after the pause, until the connection closes."""

    url: str = ""
    head: bytes = b"content-type: text/event-stream\r\n"
    event: bytes = b'data: {"n": %d}\n\n'
    pause: float = 0.0
    silent: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        await reader.readuntil(b"\r\n\r\n")
        number = 0
        try:
            if not self.silent:
                writer.write(b"HTTP/1.1 200 OK\r\n" + self.head + b"\r\n")
            while not (self.silent and reader.at_eof()):
                number += 1
                if not self.silent:
                    writer.write(self.event % number)
                await writer.drain()
                await asyncio.sleep(self.pause)
        except ConnectionError:
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def streaming(**fields: Any) -> AsyncIterator[Endless]:
    """Yield a server that is running."""
    endless = Endless(**fields)
    server = await asyncio.start_server(endless.answer, "127.0.0.1", 0)
    endless.url = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
    try:
        yield endless
    finally:
        server.close()


async def called(url: str, arguments: dict[str, Any], document: dict[str, Any] | None = None) -> Any:
    """Call the operation."""
    async with served(document or root(), Settings(base_url=url)) as client:
        return await client.call_tool("events", arguments, raise_on_error=False)


@pytest.mark.parametrize(
    ("head", "event", "responses"),
    [
        (b"content-type: text/event-stream\r\n", b'data: {"n": %d}\n\n', SSE),
        (b"content-type: application/x-ndjson\r\n", b'{"n": %d}\n', LINES),
    ],
)
async def test_a_stream_is_cut_after_so_many_events(head: bytes, event: bytes, responses: Any) -> None:
    """The first events are the result, which says that it was cut, and the connection is closed."""
    async with streaming(head=head, event=event) as server:
        result = await called(server.url, {"streamLimit": {"events": 3}}, root(responses))
        async with asyncio.timeout(60):
            await server.closed.wait()
    assert not result.is_error
    assert json.loads(result.content[0].text) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert "The stream was cut after 3 events, as streamLimit asks for" in text_of(result)


async def test_a_stream_is_cut_after_so_many_seconds() -> None:
    """What came in time is the result; a stream without an event is an empty list."""
    async with streaming(pause=0.05) as server:
        result = await called(server.url, {"streamLimit": {"seconds": 2, "events": 1000}})
    assert not result.is_error
    assert 1 <= len(json.loads(result.content[0].text)) < 80
    async with streaming(event=b": %d\n", pause=0.05) as server:
        result = await called(server.url, {"streamLimit": '{"seconds": 2}'})
    assert json.loads(result.content[0].text) == []
    assert "cut after 0 events" in text_of(result)


async def test_an_api_that_sends_nothing_in_time_is_an_error() -> None:
    """The seconds count from the start of the call."""
    async with streaming(silent=True, pause=0.02) as server:
        result = await called(server.url, {"streamLimit": {"seconds": 0.3}})
    assert result.is_error
    assert "sent nothing within the seconds of streamLimit" in text_of(result)


async def test_a_completion_that_is_cut_is_merged(recorder: Recorder) -> None:
    """The parts that came are one completion, and its missing end is no error."""
    chunk = 'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
    body = "".join(chunk % text for text in ("a", "b", "c")) + "data: [DONE]\n\n"
    recorder.answer = 200, {"content-type": "text/event-stream"}, body.encode()
    result = await called(recorder.url, {"streamLimit": {"events": 2}})
    assert not result.is_error
    assert json.loads(result.content[0].text)["choices"][0]["message"]["content"] == "ab"
    whole = await called(recorder.url, {"streamLimit": {"events": 20}})
    assert json.loads(whole.content[0].text)["choices"][0]["message"]["content"] == "abc"
    assert "cut" not in text_of(whole)


async def test_an_answer_that_is_no_stream_is_whole(recorder: Recorder) -> None:
    """The limit is of streams only."""
    recorder.answer = 200, {"content-type": "application/json"}, b'{"a": [1, 2, 3]}'
    result = await called(recorder.url, {"streamLimit": {"events": 1}})
    assert text_of(result) == '{"a": [1, 2, 3]}'


async def test_only_streams_have_the_argument(recorder: Recorder) -> None:
    """It is listed and shown for operations with streams, gives way to the API's own, and never reaches the API."""
    recorder.answer = 200, {"content-type": "text/event-stream"}, b"data: 1\n\ndata: 2\n\n"
    own = {"name": "streamLimit", "in": "query", "schema": {"type": "integer"}}
    for document_, name in ((root(), "streamLimit"), (root(parameters=[own]), "streamLimit_"), (root(PLAIN), None)):
        async with served(document_, Settings(base_url=recorder.url)) as client:
            (listed,) = [tool for tool in await client.list_tools() if tool.name == "events"]
            shown = await client.call_tool("expandSchema", {"toolName": "events", "jsonPointers": [""]})
            for properties in (
                listed.input_schema["properties"],
                json.loads(text_of(shown))[0]["schema"].get("properties", {}),
            ):
                assert name is None or "events" in properties[name]["properties"]
                assert {each for each in properties if each.startswith("streamLimit")} <= {name, "streamLimit"}
    given = {"streamLimit": 7, "streamLimit_": {"events": 1}}
    await called(recorder.url, given, root(parameters=[own]))
    assert recorder.last.target == "/events?streamLimit=7"
    refused = await called(recorder.url, {"streamLimit": {"events": 1}}, root(PLAIN))
    assert refused.is_error


#: Limits that mean nothing, and what is said
REFUSED: list[tuple[Any, str]] = [
    (5, "/streamLimit: expected an object such as"),
    ({}, "/streamLimit: expected an object such as"),
    ({"count": 5}, "/streamLimit: expected an object such as"),
    ({"events": 0}, "/streamLimit/events: expected an integer of at least 1"),
    ({"events": True}, "/streamLimit/events"),
    ({"seconds": -1}, "/streamLimit/seconds: expected a number above 0"),
]


@pytest.mark.parametrize(("limit", "said"), REFUSED)
async def test_a_limit_that_means_nothing_is_refused(recorder: Recorder, limit: Any, said: str) -> None:
    """Nothing is sent, and the message names the place."""
    result = await called(recorder.url, {"streamLimit": limit})
    assert result.is_error
    assert said in text_of(result)
    assert recorder.requests == []

"""Streams become what the same call would have answered without streaming."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.response.events import (
    Event,
    event,
    is_event_stream,
    json_lines,
    json_sequence,
    reader_of,
    server_sent_events,
)
from portkey_bridge.response.streams import Stream, added_text
from portkey_bridge.tools.catalog import build_tools
from tests.support import api_of, operation, request_of

Reader = Callable[[AsyncIterator[bytes]], AsyncIterator[Event]]


async def chunks(parts: Sequence[bytes], error: Exception | None = None) -> AsyncIterator[bytes]:
    """Return the parts as the network would, and the error behind them."""
    for part in parts:
        yield part
    if error is not None:
        raise error


async def read(reader: Reader, *parts: bytes, error: Exception | None = None) -> tuple[Stream, list[str | None]]:
    """Read a stream, and collect what is reported of it."""
    stream, reported = Stream(), []

    async def report(number: int, added: str | None) -> None:
        assert number == stream.count
        reported.append(added)

    try:
        await stream.read(reader(chunks(parts, error)), report, Redactor({}))
    except httpx.HTTPError:
        assert error is not None
    return stream, reported


def sse(*values: Any, end: bool = True) -> bytes:
    """Write a stream of server-sent events as OpenAI does."""
    lines = [json.dumps(value) for value in values] + (["[DONE]"] if end else [])
    return "".join(f"data: {line}\n\n" for line in lines).encode()


#: What arrives, and the data of its events (HTML Living Standard section 9.2.6)
EVENT_STREAMS = [
    (b"data: 1\n\ndata: 2\n\n", ["1", "2"]),
    (b"data: 1\r\n\r\ndata: 2\r\n\r\n", ["1", "2"]),
    (b"data: 1\r\rdata: 2\r\r", ["1", "2"]),
    (b"\xef\xbb\xbfdata: 1\n\n", ["1"]),
    (b": a comment\n\ndata:1\n\n", ["1"]),
    (b"data: a\ndata: b\n\n", ["a\nb"]),
    (b"event: ping\n\ndata: 1\n\n", ["1"]),
    (b"id: 7\ndata: 1\n\nretry: 10\n\n", ["1"]),
    (b"data: 1\n\ndata: 2", ["1", "2"]),
    ("data: é\u2028\x85ß\n\n".encode(), ["é\u2028\x85ß"]),
    (b"data: \xff\n\n", ["\ufffd"]),
    (b"", []),
    (b"nonsense", []),
]


@pytest.mark.parametrize(("arrives", "expected"), EVENT_STREAMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_server_sent_events_are_read_as_specified(arrives: bytes, expected: list[str], size: int) -> None:
    """Whatever ends the lines and wherever the network cuts, the events are the same."""
    parts = [arrives[at : at + size] for at in range(0, len(arrives), size)]
    assert [event.data async for event in server_sent_events(chunks(parts))] == expected


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20)), max_size=8), st.data())
def test_json_lines_are_read_wherever_they_are_cut(values: list[Any], data: st.DataObject) -> None:
    """Each line is one value; no character but the line feed ends a line."""
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()
    cut = data.draw(st.integers(0, len(text)))

    async def lines() -> list[Any]:
        return [event.value async for event in json_lines(chunks([text[:cut], text[cut:]]))]

    import anyio

    assert anyio.run(lines) == values


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion, as OpenAI documents it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-x",
        "system_fingerprint": "fp_1",
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def completion(*choices: dict[str, Any], usage: Any = None) -> dict[str, Any]:
    """Return the chat completion that OpenAI documents for the same call without streaming."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-x",
        "system_fingerprint": "fp_1",
        "choices": list(choices),
        "usage": usage,
    }


def choice(index: int, finish: str, **message: Any) -> dict[str, Any]:
    """Return a finished choice."""
    message = {"role": "assistant", **message}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def call(index: int, arguments: str, **known: Any) -> dict[str, Any]:
    """Return a piece of a tool call."""
    function = {"arguments": arguments, **({"name": known.pop("name")} if "name" in known else {})}
    return {"index": index, **known, "function": function}


def tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return a whole tool call."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


#: The events of a stream, and the object of the same call without streaming.
MERGED = [
    pytest.param(
        [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk(finish="stop")],
        completion(choice(0, "stop", content="Hello")),
        id="text",
    ),
    pytest.param(
        [
            chunk(role="assistant", content="Hi"),
            chunk(finish="stop"),
            {**chunk(), "choices": [], "usage": USAGE},
        ],
        completion(choice(0, "stop", content="Hi"), usage=USAGE),
        id="usage in a last chunk without choices",
    ),
    pytest.param(
        [
            chunk(1, role="assistant", content="B"),
            chunk(0, role="assistant", content="A"),
            chunk(1, content="b"),
            chunk(0, content="a"),
            chunk(0, "stop"),
            chunk(1, "length"),
        ],
        completion(choice(0, "stop", content="Aa"), choice(1, "length", content="Bb")),
        id="several choices, mixed",
    ),
    pytest.param(
        [
            chunk(role="assistant", content=None, tool_calls=[call(0, "", id="c0", type="function", name="get")]),
            chunk(tool_calls=[call(0, '{"a"')]),
            chunk(tool_calls=[call(1, '{"', id="c1", type="function", name="put")]),
            chunk(tool_calls=[call(0, ": 1}"), call(1, 'b": 2}')]),
            chunk(finish="tool_calls"),
        ],
        completion(
            choice(
                0,
                "tool_calls",
                content=None,
                tool_calls=[tool_call("c0", "get", '{"a": 1}'), tool_call("c1", "put", '{"b": 2}')],
            )
        ),
        id="tool calls by index",
    ),
    pytest.param(
        [
            chunk(tool_calls=[call(0, "{", id="c0", type="function", name="get")], role="assistant"),
            chunk(tool_calls=[call(0, "}", id="c0", type="function", name="get")], role="assistant"),
            chunk(finish="tool_calls"),
        ],
        completion(choice(0, "tool_calls", content=None, tool_calls=[tool_call("c0", "get", "{}")])),
        id="names, ids and roles that are repeated",
    ),
    pytest.param(
        [
            {"choices": [], "object": "", "model": "", "id": "", "created": 0, "prompt_filter_results": []},
            chunk(role="assistant", content="x", refusal=None),
            chunk(finish="stop"),
        ],
        {**completion(choice(0, "stop", content="x", refusal=None)), "prompt_filter_results": []},
        id="a first chunk without a kind",
    ),
    pytest.param(
        [
            {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "A"}}]},
            {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]},
        ],
        {
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Aa"}, "finish_reason": "stop"}],
        },
        id="choices without an index",
    ),
    pytest.param(
        [
            chunk(role="assistant", audio={"id": "a", "transcript": "He"}),
            chunk(audio={"data": "UklG", "transcript": "y"}),
            chunk(audio={"data": "RgAA", "expires_at": 7}),
            chunk(finish="stop"),
        ],
        completion(
            choice(
                0,
                "stop",
                content=None,
                audio={"id": "a", "transcript": "Hey", "data": "UklGRgAA", "expires_at": 7},
            )
        ),
        id="sound",
    ),
    pytest.param(
        [
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "choices": [{"index": 0, "text": "Once", "finish_reason": None}],
            },
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "choices": [{"index": 0, "text": " more", "finish_reason": "stop"}],
            },
        ],
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "choices": [{"index": 0, "text": "Once more", "finish_reason": "stop"}],
        },
        id="completion",
    ),
    pytest.param(
        [
            {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.output_item.done", "item": {"type": "message"}},
            {
                "type": "response.completed",
                "response": {"id": "r", "status": "completed", "output": [{"type": "message"}]},
            },
        ],
        {"id": "r", "status": "completed", "output": [{"type": "message"}]},
        id="response",
    ),
    pytest.param([{"a": 1}, {"a": 2}, "text", None, 3], [{"a": 1}, {"a": 2}, "text", None, 3], id="anything else"),
    pytest.param(
        [{"id": "a", "kind": "none"}, chunk(content="Hi"), {"type": "other"}, chunk(finish="stop")],
        [{"id": "a", "kind": "none"}, chunk(content="Hi"), {"type": "other"}, chunk(finish="stop")],
        id="chunks among other events",
    ),
    pytest.param(
        [{"type": "response.output_text.delta", "delta": "Hi"}, {"type": "response.completed"}],
        [{"type": "response.output_text.delta", "delta": "Hi"}, {"type": "response.completed"}],
        id="a response that never comes",
    ),
    pytest.param([], [], id="nothing"),
    pytest.param(
        [{"object": "chat.completion.chunk", "choices": "none"}],
        [{"object": "chat.completion.chunk", "choices": "none"}],
        id="what only looks like a chat",
    ),
]


@pytest.mark.parametrize(("events", "expected"), MERGED)
async def test_a_stream_becomes_what_the_call_gives_without_streaming(events: list[Any], expected: Any) -> None:
    """The merged object is the one of the call that does not stream."""
    stream, _ = await read(server_sent_events, sse(*events))
    assert json.loads(stream.merged()) == expected
    assert stream.complaint == ""


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=5)), min_size=1, max_size=40))
def test_text_is_merged_in_order_for_each_choice(pieces: list[tuple[int, str]]) -> None:
    """However the pieces of several choices are mixed, each choice has its own, in order."""
    stream = Stream()
    for index, text in pieces:
        stream.add(event(json.dumps(chunk(index, content=text))))
    merged = json.loads(stream.merged())
    for choice in merged["choices"]:
        own = "".join(text for index, text in pieces if index == choice["index"])
        assert choice["message"]["content"] == own


async def test_numbers_of_a_stream_stay_as_they_were() -> None:
    """No digit is lost: neither of large integers nor of long fractions, and no number is written anew."""
    value = b'{"n":123456789012345678901234567890,"f":0.1234567890123456789012,"e":1.50E+5}'
    stream, _ = await read(json_lines, value + b"\n")
    assert stream.merged() == b"[" + value + b"]"


#: A JSON text sequence (RFC 7464), and its values
SEQUENCES = [
    (b'\x1e{"a":1}\n\x1e2\n', [{"a": 1}, 2]),
    (b'\x1e{"a":\n1}\n\x1enull\n', [{"a": 1}, None]),
    (b'{"a":1}\n{"a":2}', [{"a": 1}, {"a": 2}]),
    (b'\x1e{"a":\n\x1e{"a":2}\n', ['{"a":', {"a": 2}]),
    (b"\x1e\n", []),
]


@pytest.mark.parametrize(("arrives", "expected"), SEQUENCES)
async def test_json_sequences_are_read_as_specified(arrives: bytes, expected: list[Any]) -> None:
    """A record separator begins a value, which may take several lines."""
    stream, _ = await read(json_sequence, *(arrives[at : at + 1] for at in range(len(arrives))))
    assert json.loads(stream.merged()) == expected


#: A body, and whether it is a stream of events
BODIES = [
    (b"data: 1\n\n", True),
    (b"\xef\xbb\xbf: hello\r\r\ndata\nevent:x\nretry: 1", True),
    (b"", True),
    (b'{"data": 1}', False),
    (b"data: 1\n\n<html>", False),
    (b"words", False),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_a_stream_is_known_by_its_lines(body: bytes, expected: bool) -> None:
    """Each line of an event stream is a comment or a field (HTML Living Standard section 9.2.5)."""
    assert is_event_stream(body) is expected


async def test_names_and_ids_of_events_are_kept() -> None:
    """An event that has a name or an id is an object with its data."""
    stream, _ = await read(server_sent_events, b'event: delta\ndata: {"a":1}\n\n', b"id: 9\ndata: words\n\n")
    assert json.loads(stream.merged()) == [{"event": "delta", "data": {"a": 1}}, {"id": "9", "data": "words"}]


async def test_progress_is_the_text_that_was_added() -> None:
    """Each event is reported with what it adds to the answer."""
    _, reported = await read(server_sent_events, sse(chunk(content="Hel"), chunk(content="lo"), chunk()))
    assert reported == ["Hel", "lo", None]
    assert added_text(event('{"type": "response.output_text.delta", "delta": "x"}')) == "x"
    assert added_text(event('{"object": "text_completion", "choices": [{"text": "x"}]}')) == "x"
    assert added_text(event('{"anything": 1}')) == '{"anything": 1}'


async def test_progress_is_short() -> None:
    """A notification repeats 500 characters of what an event adds; the result has all of it."""
    stream, reported = await read(server_sent_events, sse(chunk(content="x" * 900)))
    assert reported == ["x" * 500]
    assert b"x" * 900 in stream.merged()


async def test_many_events_are_reported_together() -> None:
    """Reports cost more than events: of very many, those between two reports are told at once, and none is left out."""
    stream, reported = Stream(), []

    async def report(number: int, added: str | None) -> None:
        reported.append((number, added))

    words = [f"{number} " for number in range(1020)]
    await stream.read(server_sent_events(chunks([sse(*(chunk(content=word) for word in words))])), report, Redactor({}))
    assert reported[:2] == [(1, "0 "), (2, "1 ")]
    assert len(reported) < len(words)
    assert reported[-1][0] == len(words)
    assert "".join(added or "" for _, added in reported) == "".join(words)


#: What arrives, whether the connection breaks behind it, what is said, the text that is kept
BROKEN = [
    pytest.param(sse(chunk(content="Hel"), end=False), True, "ended before", "Hel", id="reset"),
    pytest.param(sse(chunk(content="Hel"), end=False) + b'data: {"obj', True, "ended before", "Hel", id="in an event"),
    pytest.param(sse(chunk(content="Hel"), end=False), False, "ended before", "Hel", id="early end"),
    pytest.param(
        sse(chunk(content="Hel"), {"error": {"message": "overloaded"}}), False, "overloaded", "Hel", id="error event"
    ),
    pytest.param(
        sse(chunk(content="Hel"), end=False) + b"event: error\ndata: overloaded\n\n",
        False,
        "overloaded",
        "Hel",
        id="named error event",
    ),
]


@pytest.mark.parametrize(("arrives", "breaks", "said", "kept"), BROKEN)
async def test_what_came_before_a_failure_is_kept(arrives: bytes, breaks: bool, said: str, kept: str) -> None:
    """A stream that fails in its middle says so, and keeps what came."""
    stream, _ = await read(server_sent_events, arrives, error=httpx.ReadError("reset") if breaks else None)
    assert said in stream.complaint
    assert json.loads(stream.merged())["choices"][0]["message"]["content"] == kept


async def test_records_with_errors_of_their_own_are_no_failure() -> None:
    """A record that has a member `error` beside others is data."""
    stream, _ = await read(json_lines, b'{"id": 1, "error": "not found"}\n{"id": 2, "error": null}\n')
    assert stream.complaint == ""


async def test_an_interrupted_response_keeps_what_came() -> None:
    """The response that was announced carries what was finished, and what was begun as far as it came."""
    stream, _ = await read(
        server_sent_events,
        sse(
            {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
            {"type": "response.output_item.done", "output_index": 0, "item": {"id": "m"}},
            {"type": "response.output_item.added", "output_index": 1, "item": {"id": "n", "type": "message"}},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "what "},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "came"},
            {"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "name": "f"}},
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a'},
            end=False,
        ),
    )
    output = [
        {"id": "m"},
        {"id": "n", "type": "message", "content": [{"type": "output_text", "text": "what came"}]},
        {"type": "function_call", "name": "f", "arguments": '{"a'},
    ]
    assert json.loads(stream.merged()) == {"id": "r", "status": "in_progress", "output": output}
    assert stream.complaint


@pytest.mark.parametrize("media_type", ["application/jsonlines", "application/json-lines", "application/stream+json"])
def test_json_lines_have_many_names(media_type: str) -> None:
    """Whatever its lines are called, a stream is read by lines, and a body is written in lines."""
    assert reader_of(media_type) is json_lines
    root = operation(requestBody={"required": True, "content": {media_type: {"schema": {"type": "array"}}}})
    (tool,) = build_tools(api_of(root))
    assert request_of(tool, {"body": [1, "a"]}).to_httpx().content == b'1\n"a"\n'
    root["paths"]["/x"]["post"]["requestBody"]["content"][media_type]["schema"] = {"type": "string"}
    (tool,) = build_tools(api_of(root))
    assert request_of(tool, {"body": '{"a":1}\n{"a":2}\n'}).to_httpx().content == b'{"a":1}\n{"a":2}\n'

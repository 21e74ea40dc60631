"""The direct lane: it answers what FastMCP's server would, and hands over whatever is not plainly a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from portkey_bridge.bridge.service import service_of
from portkey_bridge.response.tool_result import ToolResult, text_block
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.direct_lane import DirectLane
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.serve.live_catalogue import LiveCatalogue
from portkey_bridge.serve.server import live_catalogue_of
from portkey_bridge.serve.stdio_session import MOST_WAITING, StdioSession
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder
from tests.support import api_of, document, mostly_slow

Json = dict[str, Any]

MODERN = "2026-07-28"
NONE: Json = {}
ENVELOPE: Json = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}

#: What the API answers, by the path that the document calls it.
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/object": (200, {"content-type": "application/json", "x-request-id": "r1"}, b'{"a":[1,null,1e22],"b":{"c":null}}'),
    "/array": (200, {"content-type": "application/json"}, '["é😀", 1.50, -0.0, 12345678901234567890]'.encode()),
    "/text": (200, {"content-type": "text/plain"}, b"words \x7f\n"),
    "/nothing": (204, {}, b""),
    "/image": (200, {"content-type": "image/png"}, b"\x89PNG\r\n\x1a\n\0"),
    "/bytes": (200, {"content-type": "application/octet-stream"}, b"\0\xff"),
    "/wrong": (404, {"content-type": "application/json", "retry-after": "3"}, b'{"error":"no"}'),
    "/stream": (200, {"content-type": "text/event-stream"}, b'data: {"n":1}\n\ndata: {"n":2}\n\n'),
}


class Wire:
    """The two ends of a session in memory: lines for the server, and the messages that it wrote."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._arrived = asyncio.Event()
        self.lines: list[str] = []
        self.messages: list[Json] = []

    async def __aiter__(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            yield line

    async def write(self, text: str) -> None:
        lines = [f"{line}\n" for line in text.split("\n")[:-1]]
        self.lines += lines
        self.messages += map(json.loads, lines)
        self._arrived.set()

    async def flush(self) -> None:
        pass

    def send(self, message: Json | str) -> None:
        self._lines.put_nowait((message if isinstance(message, str) else json.dumps(message)) + "\n")

    async def ask(self, message: Json | str, answered: Any) -> None:
        """Send a message, and wait for the answer to this id."""
        before = len(self.messages)
        self.send(message)
        await self.until(lambda each: each.get("id") == answered and "method" not in each, before)

    async def until(self, is_it: Callable[[Json], bool], begin: int = 0) -> Json:
        """Wait for a message of the server, and return it."""
        async with asyncio.timeout(60):
            while not (found := [*filter(is_it, self.messages[begin:])]):
                self._arrived.clear()
                await self._arrived.wait()
        return found[0]

    def close(self) -> None:
        self._lines.put_nowait(None)


def live_for(recorder: Recorder, **settings: Any) -> LiveCatalogue:
    paths = {
        path: {"get": {"operationId": path[1:], "servers": [{"url": recorder.url}], "responses": {}}}
        for path in ANSWERS
    }
    number = {"name": "n", "in": "query", "required": True, "schema": {"type": "integer"}}
    typed = {"operationId": "typed", "servers": [{"url": recorder.url}], "responses": {}, "parameters": [number]}
    return live_catalogue_of([service_of(api_of(document({**paths, "/typed": {"get": typed}})), Settings(**settings))])


async def play(recorder: Recorder, opening: list[Json], messages: list[Json | str], *, direct: bool) -> list[str]:
    """Play a session, one message after the other, and return everything that the server wrote."""
    live, wire = live_for(recorder), Wire()
    serve = StdioSession(live).serve if direct else McpServer(live).serve_lines
    serving = asyncio.create_task(serve(wire, wire))
    for number, message in enumerate((*opening, *messages)):
        answered = _id_of(message)
        if answered is None:  # the next answer shows that the message has been read
            wire.send(message)
            message = request(f"end of {number}", "ping")
            answered = message["id"]
        await wire.ask(message, answered)
    wire.close()
    await serving
    return wire.lines


def _id_of(message: Json | str) -> Any:
    """Return the id of a message that the SDK reads as a request, and so answers; half a surrogate pair is repaired."""
    line = (message if isinstance(message, str) else json.dumps(message)).replace("\\ud800", "\\ufffd")
    try:
        read = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return None
    return read.id if isinstance(read, JSONRPCRequest) else None


def request(number: Any, method: str, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call(number: Any, name: Any, arguments: Any = NONE, **more: Any) -> Json:
    return request(number, "tools/call", name=name, arguments=arguments, **more)


def handshake(version: str) -> list[Json]:
    client = {"name": "t", "version": "1"}
    return [
        request(0, "initialize", protocolVersion=version, capabilities={}, clientInfo=client),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]


#: Calls of every kind of answer, and errors.
CALLS: list[Json] = [
    *(call(number, path[1:]) for number, path in enumerate(ANSWERS, 1)),
    call("a text", "object"),
    call("7", "object", _meta={"vendor/key": 1, "traceparent": "00-1-2-03"}),
    call(20, "stream", _meta={"progressToken": "t"}),
    call(21, "stream", _meta={"progressToken": 5}),
    call(22, "typed", {"n": "no number"}),
    call(23, "typed"),
    call(24, "typed", {"n": 1, "unknown": 2}),
    call(25, "expandSchema", {"toolName": "typed", "jsonPointers": ["", "/nowhere"]}),
    call(26, "expandResult", {"resultId": "unknown"}),
    call(27, "expandSchema", {"jsonPointers": 1}),
    request(28, "tools/call", name="object"),
    call(29, "typed", {"n": 10**30}),
]

#: Messages that the lane has to leave alone.
ODD: list[Json | str] = [
    call(40, "no_such_tool"),
    call(41, "object", None),
    call(42, "object", []),
    call(43, "object", _meta=None),
    call(44, "object", _meta=[]),
    call(45, "object", _meta={"progressToken": None}),
    call(46, "object", _meta={"progressToken": True}),
    call(47, "object", _meta={"progressToken": 1.5}),
    call(48, "object", _meta={"fastmcp": {"version": "9"}}),
    call(49, "object", task={}),
    call(50, "object", unknown=1),
    call(51, "object", inputResponses={}),
    call(52, 5),
    call(53, ["object"]),
    {**call(54, "object"), "unknown": 1},
    {**call(55, "object"), "result": {}},
    {**call(56, "object"), "jsonrpc": "1.0"},
    {**call(57, "object"), "method": "tools/list"},
    {"jsonrpc": "2.0", "id": 58, "method": "tools/call"},
    {"jsonrpc": "2.0", "id": 59, "method": "tools/call", "params": []},
    {"jsonrpc": "2.0", "id": 60, "method": "tools/call", "params": None},
    {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "object"}},
    call(None, "object"),
    call(True, "object"),
    call(1.5, "object"),
    call(61, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "1999-01-01"}),
    call(62, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/protocolVersion": 1}),
    call(63, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/clientInfo": 1}),
    call(64, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": []}),
    call(65, "object", _meta={"io.modelcontextprotocol/protocolVersion": MODERN}),
    call(66, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/logLevel": "loud"}),
    call(67, "object", _meta={**ENVELOPE, "io.modelcontextprotocol/logLevel": "error"}),
    request(68, "ping"),
    request(69, "tools/call/more"),
    request(70, "resources/read", uri="tools/call"),
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "nobody"}},
    {"jsonrpc": "2.0", "method": "notifications/cancelled"},
    {"jsonrpc": "2.0", "id": 71, "method": "notifications/cancelled", "params": {"requestId": 1}},
    json.dumps(call(72, "object")).replace("tools/call", "tools\\/call"),
    json.dumps(call(73, "object")).replace('"name"', '"name": "array", "name"'),
    json.dumps(call(74, "object")).replace('"id"', '"id": 1, "id"'),
    json.dumps(call(75, "typed", {"n": 1})).replace('"n": 1', '"n": NaN'),
    json.dumps(call(76, "typed", {"n": 1})).replace('"n": 1', '"n": 1e400'),
    json.dumps(call(77, "typed", {"n": 1})).replace('"n": 1', '"n": 1, "n": 2'),
    json.dumps(call(78, "typed", {"n": "x"})).replace('"x"', "[" * 150 + "]" * 150),
    '{"jsonrpc":"2.0","id":79,"method":"tools/call","params":{"name":"object","arguments":{"a":"\\ud800"}}}',
    '{"method":"tools/call"',
    '"tools/call"',
    "\ufffd",
    "",
]


def with_envelope(message: Json | str) -> Json | str:
    """Return a message with the envelope of a modern request, unless it has metadata of another shape."""
    if isinstance(message, str):
        return message.replace('"params": {', f'"params": {{"_meta": {json.dumps(ENVELOPE)}, ')
    params = message.get("params")
    if not isinstance(params, dict) or not isinstance(params.get("_meta", {}), dict):
        return message
    return {**message, "params": {**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}}}


@pytest.mark.parametrize("version", mostly_slow(HANDSHAKE_PROTOCOL_VERSIONS, 3))
async def test_the_lane_answers_as_the_server_after_a_handshake(recorder: Recorder, version: str) -> None:
    """In every version with a handshake, both ways write the same messages."""
    recorder.answers = ANSWERS
    both = [
        await play(recorder, handshake(version), [*CALLS, *ODD, *map(with_envelope, CALLS[:2])], direct=direct)
        for direct in (True, False)
    ]
    assert sorted(both[0]) == sorted(both[1])


@pytest.mark.slow
@pytest.mark.parametrize("version", MODERN_PROTOCOL_VERSIONS)
async def test_the_lane_answers_as_the_server_with_envelopes(recorder: Recorder, version: str) -> None:
    """Without a handshake, both ways write the same messages."""
    recorder.answers = ANSWERS
    assert version == MODERN
    opening = [with_envelope(request(0, "server/discover"))]
    messages = [*map(with_envelope, CALLS), *map(with_envelope, ODD), *CALLS[:2], *handshake("2025-11-25")[:1]]
    both = [await play(recorder, opening, messages, direct=direct) for direct in (True, False)]  # type: ignore[arg-type]
    assert sorted(both[0]) == sorted(both[1])


@pytest.mark.parametrize("opening", [[], [request(0, "ping")], [call(0, "object")]], ids=["none", "ping", "call"])
async def test_a_call_before_the_handshake_is_left_to_the_server(recorder: Recorder, opening: list[Json]) -> None:
    """What is asked before a session is established is answered, or refused, as the server does."""
    messages = [call(1, "object"), *handshake("2025-06-18"), call(2, "object")]
    both = [await play(recorder, opening, messages, direct=direct) for direct in (True, False)]  # type: ignore[arg-type]
    assert sorted(both[0]) == sorted(both[1])


async def test_many_notifications_hold_nothing_up(recorder: Recorder) -> None:
    """However many notifications wait for FastMCP's server, calls behind them are answered."""
    recorder.answers = ANSWERS
    wire = Wire()
    serving = asyncio.create_task(StdioSession(live_for(recorder)).serve(wire, wire))
    for message in [*handshake("2025-06-18"), *[handshake("2025-06-18")[1]] * (MOST_WAITING + 5)]:
        wire.send(message)
    await wire.ask(call(1, "object"), 1)
    wire.close()
    await serving


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_a_tool_that_asks_is_left_to_the_server(recorder: Recorder, action: str) -> None:
    """A person is asked about a call also in a session that began without FastMCP's server."""
    recorder.answers = ANSWERS
    live, wire = live_for(recorder, confirm=("object",)), Wire()
    serving = asyncio.create_task(StdioSession(live).serve(wire, wire))
    begin, finished = handshake("2025-06-18")
    begin["params"]["capabilities"] = {"elicitation": {}}
    for message in (begin, finished, call(1, "object"), call(2, "array")):
        wire.send(message)
    question = await wire.until(lambda message: message.get("method") == "elicitation/create")
    answer = {"action": action, **({"content": {"confirmed": True}} if action == "accept" else {})}
    await wire.ask({"jsonrpc": "2.0", "id": question["id"], "result": answer}, 1)
    wire.close()
    await serving
    results = {message["id"]: message["result"] for message in wire.messages if "result" in message}
    assert results[1]["isError"] is (action == "decline")
    assert [each.target for each in recorder.requests] == ["/array", *(["/object"] if action == "accept" else [])]


@pytest.mark.parametrize("same", [True, False])
async def test_what_the_client_was_answered_is_not_sent_again(recorder: Recorder, same: bool) -> None:
    """A handshake that the cache has answered establishes the session. The server sees it, and is compared."""
    opening = handshake("2025-06-18")
    (answer, *_) = await play(recorder, opening[:1], [], direct=False)
    begin = '{"jsonrpc":"2.0","id":0,"result":'
    assert answer.startswith(begin)
    wire, session, differs = Wire(), StdioSession(live_for(recorder)), asyncio.Event()
    session.differs = differs.set
    answered = {"0": answer.removeprefix(begin) if same else "{}}\n"}
    serving = asyncio.create_task(session.serve(wire, wire, answered=answered))
    for message in opening:
        wire.send(message)
    await wire.ask(call(1, "expandResult", {"resultId": "unknown"}), 1)
    await wire.ask(call(2, "no_such_tool"), 2)
    wire.close()
    await serving
    assert [message["id"] for message in wire.messages] == [1, 2]
    assert differs.is_set() is not same


def test_the_lane_takes_plain_calls_only(recorder: Recorder) -> None:
    """Every call of a known tool is taken, in both eras, and nothing that is odd."""
    live = live_for(recorder)
    lane = DirectLane(live.current, live.info)
    assert [lane.read(json.dumps(message)) is not None for message in CALLS] == [True] * len(CALLS)
    assert all(lane.read(json.dumps(with_envelope(message))) for message in CALLS)
    taken = [message for message in ODD if lane.read(message if isinstance(message, str) else json.dumps(message))]
    assert [_id_of(message) for message in taken] == [67, 72, 73, 74, 76, 77, 78]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(JSON)
@examples(max_examples=50)
def test_arguments_are_read_as_they_are_written(value: Any) -> None:
    """Whatever value an argument has, the lane reads that value."""
    lane = DirectLane(lambda: Catalogue({"tool": Slow().run}), {})
    plain = lane.read(json.dumps(call(1, "tool", {"value": value})))
    assert plain
    assert repr(plain.arguments) == repr({"value": value})


class Slow:
    """A tool that runs until it is cancelled."""

    def __init__(self) -> None:
        self.started, self.cancelled = asyncio.Event(), asyncio.Event()

    async def run(self, *_: Any) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.mark.parametrize("identity", [5, "5", "five"])
@pytest.mark.parametrize("era", ["2025-06-18", MODERN])
async def test_a_cancelled_call_stops_and_is_not_answered(recorder: Recorder, identity: Any, era: str) -> None:
    """`notifications/cancelled` ends the call; nothing more is written for it, and others go on."""
    live, wire, slow = live_for(recorder), Wire(), Slow()
    live.catalogue = Catalogue({"slow": slow.run})
    serving = asyncio.create_task(StdioSession(live).serve(wire, wire))
    wrap = with_envelope if era == MODERN else lambda message: message
    for message in handshake(era) if era != MODERN else [wrap(request(0, "server/discover"))]:
        wire.send(message)
    await wire.ask(wrap(request("first", "tools/list")), "first")
    wire.send(wrap(call(identity, "slow")))
    await slow.started.wait()
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": identity}})
    await slow.cancelled.wait()
    await wire.ask(wrap(request("last", "tools/list")), "last")
    wire.close()
    await serving
    assert [message["id"] for message in wire.messages] == [0, "first", "last"]


async def test_calls_that_end_together_are_all_answered(recorder: Recorder) -> None:
    """Each of many calls gets one line with its own answer, also if the client has cancelled the first one."""
    live, wire = live_for(recorder), Wire()
    started, released = asyncio.Semaphore(0), asyncio.Event()

    async def slow(arguments: Json, _: Any) -> ToolResult:
        started.release()
        await released.wait()
        return ToolResult([text_block(f"done {arguments['n']}")])

    live.catalogue = Catalogue({"slow": slow})
    serving = asyncio.create_task(StdioSession(live).serve(wire, wire))
    await wire.ask(handshake("2025-06-18")[0], 0)
    for number in range(1, 21):
        wire.send(call(number, "slow", {"n": number}))
        await started.acquire()
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    await wire.ask(request("cancelled", "ping"), "cancelled")
    released.set()
    wire.close()
    await serving
    answers = {message["id"]: message["result"]["content"][0]["text"] for message in wire.messages[2:]}
    assert answers == {number: f"done {number}" for number in range(2, 21)}


async def test_a_call_that_runs_at_the_end_is_answered(recorder: Recorder) -> None:
    """When the input ends, a call that still runs is waited for, and its result is sent."""
    live, wire = live_for(recorder), Wire()
    started, released = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> ToolResult:
        started.set()
        await released.wait()
        return ToolResult([text_block("done")])

    live.catalogue = Catalogue({"slow": slow})
    serving = asyncio.create_task(StdioSession(live).serve(wire, wire))
    await wire.ask(handshake("2025-06-18")[0], 0)
    wire.send(call(1, "slow"))
    await started.wait()
    wire.close()
    released.set()
    await serving
    assert wire.messages[-1]["id"] == 1
    assert wire.messages[-1]["result"]["content"] == [{"type": "text", "text": "done"}]

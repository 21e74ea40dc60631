"""Streams are read as they arrive, and become what the same call would have answered without streaming.

OpenAI-style streams are merged into their final object; every other stream becomes the list of its events. What came
before a stream broke off is kept. Events are kept as their text, as values they would take many times the memory.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial, reduce
from io import BytesIO
from typing import Any, NamedTuple

import httpx
import msgspec
from httpx_sse import EventSource

#: What OpenAI-style streams send behind their last event.
END = "[DONE]"

#: Characters of an event that a progress notification repeats.
REPORTED = 500

#: Events that are each reported, and the seconds between two reports from then on: a report costs more than an event.
REPORTED_EACH, PAUSE = 1000, 0.1

#: The members of an event that is nothing but an error.
OF_AN_ERROR = frozenset(("error", "type", "code", "status", "message", "provider", "request_id"))

#: Kinds of OpenAI-style chunks that grow into one object, and what the object is called then.
CHUNKS = {"chat.completion.chunk": "chat.completion", "text_completion": "text_completion"}

Report = Callable[[int, str | None], Awaitable[None]]
"""Takes the number of events so far and what the last one brought."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `name` is empty where the stream gave none. `value` is None where `data` is no JSON."""

    data: str
    name: str = ""
    id: str = ""
    value: Any = field(default=None, compare=False)

    @property
    def fields(self) -> dict[str, Any]:
        """The members of an event that is a JSON object; of any other there are none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def kind(self) -> str:
        """What the event says that it is: OpenAI's `object` or `type`, else its name."""
        said = self.fields.get("object") or self.fields.get("type")
        return said if isinstance(said, str) else self.name

    @property
    def is_error(self) -> bool:
        """Whether the API reports with it that the stream failed, and not just something that has an error."""
        says_only_that = self.kind in CHUNKS or self.fields.keys() <= OF_AN_ERROR
        return "error" in (self.name, self.fields.get("type")) or (bool(self.fields.get("error")) and says_only_that)


class Objects:
    """JSON objects in their order, each of which is a value only while it is looked at. May be read again."""

    def __init__(self) -> None:
        self._lines = BytesIO()

    def append(self, text: str) -> None:
        """Put an object behind the others."""
        self._lines.write(text.replace("\n", " ").encode() + b"\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the objects."""
        self._lines.seek(0)
        return map(_decoder.decode, self._lines)


class Stream:
    """The events of one answer so far: how many there are, and whether the end mark came.

    What is kept is the text of their list, and besides the objects that may yet be merged, without errors.
    """

    def __init__(self) -> None:
        self.count = 0
        self.ended = False
        self._error = ""
        self._list = BytesIO()
        self._objects = Objects()
        self._possible: tuple[Merger, ...] = MERGERS
        self._has_kind = False

    async def read(self, events: AsyncIterator[Event], report: Report, redact: Callable[[str], str]) -> None:
        """Read to the end, and report each event as it comes. Raises what the reading of the body raises.

        Of many events those are reported together that come between two reports.
        """
        added, reported = "", 0.0
        async for event in events:
            if event.data.strip() == END:
                self.ended = True
                continue
            self.add(event)
            added += added_text(event)
            if self.count <= REPORTED_EACH or time.monotonic() - reported >= PAUSE:
                await report(self.count, redact(added)[:REPORTED] or None)
                added, reported = "", time.monotonic()
        if added:
            await report(self.count, redact(added)[:REPORTED])

    def add(self, event: Event) -> None:
        """Put an event behind the others."""
        self._list.write((b"," if self.count else b"[") + _as_item(event))
        self.count += 1
        if event.is_error:
            self._error = self._error or event.data
        elif event.fields and self._possible:
            self._add_object(event)

    def _add_object(self, event: Event) -> None:
        self._objects.append(event.data)
        if kind := event.kind:
            self._has_kind = True
            self._possible = tuple(merger for merger in self._possible if merger.belongs(kind))
        if not self._possible:
            self._objects = Objects()

    @property
    def size(self) -> int:
        """The bytes of the text of all events so far."""
        return self._list.tell()

    @property
    def _merger(self) -> Merger | None:
        """How the stream is merged, by the kind that all of its objects are of."""
        return self._possible[0] if self._possible and self._has_kind else None

    @property
    def complaint(self) -> str:
        """What the stream itself says went wrong, or its missing end; empty if nothing did."""
        if self._error:
            return f"The stream reported an error: {self._error[:2000]}"
        if not self.ended and self._merger is not None and self._merger.lacks_end(self._objects):
            return "The stream ended before the answer was complete."
        return ""

    def merged(self) -> bytes:
        """Give the JSON text of the whole answer."""
        try:
            if self._merger is not None:
                return _encoder.encode(self._merger.merge(self._objects))
        except (LookupError, TypeError, AttributeError, RecursionError):
            pass  # it only looked like one of the known kinds
        return self._list.getvalue() + b"]" if self.count else b"[]"


def event(data: str, name: str = "", event_id: str = "") -> Event:
    """Read one event."""
    try:
        return Event(data, name, event_id, _decoder.decode(data))
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return Event(data, name, event_id)


async def server_sent_events(body: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Yield the events of a `text/event-stream` (HTML Living Standard section 9.2)."""
    # The stream is always UTF-8, and may begin with a byte order mark, whatever its charset says.
    headers = {"content-type": "text/event-stream; charset=utf-8-sig"}
    async for found in EventSource(httpx.Response(200, headers=headers, content=_closed(body))).aiter_sse():
        if found.data:
            yield event(
                found.data, "" if found.event == "message" else found.event, found.id
            )  # "message" is the default


async def _closed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give a body whose last event is complete, although many servers leave out the empty line behind it."""
    async for chunk in body:
        yield chunk
    yield b"\n\n"


def is_event_stream(body: bytes) -> bool:
    """Tell whether a body, whatever it is declared as, is a stream of server-sent events and nothing else."""
    return _EVENT_STREAM.fullmatch(body) is not None


_EVENT_STREAM = re.compile(
    rb"(\xef\xbb\xbf)?([\r\n]|(data|event|id|retry)?:[^\r\n]*+([\r\n]|$)|(data|event|id)[\r\n])*+"
)


async def json_lines(body: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    r"""Yield the values of newline-delimited JSON. Only `\n` ends a line."""
    async for line in _lines(body):
        if text := line.strip(_BLANK):
            yield event(text)


async def json_sequence(body: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Yield the values of a JSON text sequence, each of which may take several lines (RFC 7464)."""
    record: list[str] = []
    async for line in _lines(body):
        if line.startswith(_RECORD_SEPARATOR) and record:
            yield event("\n".join(record))
            record = []
        found = event(line.strip(_BLANK))
        if not record and (found.value is not None or found.data == "null"):
            yield found
        elif record or found.data:
            record.append(found.data)
    if record:
        yield event("\n".join(record))


_RECORD_SEPARATOR = "\x1e"
_BLANK = f"\ufeff{_RECORD_SEPARATOR} \t\r"


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = bytearray()
    async for chunk in body:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            rest += line
            yield rest.decode("utf-8", "replace")
            rest.clear()
        rest += last
    yield rest.decode("utf-8", "replace")


#: How a stream is read, by its media type.
READERS: dict[str, Callable[[AsyncIterator[bytes]], AsyncIterator[Event]]] = {
    "text/event-stream": server_sent_events,
    **dict.fromkeys(
        (
            *("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
            *("application/x-jsonl", "application/json-lines", "application/stream+json"),
        ),
        json_lines,
    ),
    "application/json-seq": json_sequence,
}


def added_text(event: Event) -> str:
    """Give the text that an event adds to the answer; the event itself where it is none of a known kind."""
    if event.kind in CHUNKS:
        return "".join(_text_of_choice(choice) for choice in _list(event.fields.get("choices")))
    if _is_of_response(event.kind):
        delta = event.fields.get("delta") if event.kind.endswith("_text.delta") else ""
        return delta if isinstance(delta, str) else ""
    return event.data


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text_of_choice(choice: Any) -> str:
    fields = choice if isinstance(choice, dict) else {}
    delta = fields.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else fields.get("text")
    return text if isinstance(text, str) else ""


def _as_item(event: Event) -> bytes:
    """Give the JSON text of an event as an item of a list: its data, and its name and id where it has them."""
    is_json = event.value is not None or event.data.strip() == "null"
    data = event.data.encode() if is_json else _encoder.encode(event.data)
    named = {key: text for key, text in (("event", event.name), ("id", event.id)) if text}
    return _encoder.encode({**named, "data": msgspec.Raw(data)}) if named else data


# --- OpenAI-style streams ---------------------------------------------------------------------------------------------

#: What grows by pieces: the texts in these members, and in those members only.
_GROWING = frozenset(("delta", "text"))

#: Texts inside growing members that are sent as a whole, often again and again.
_WHOLE_TEXTS = frozenset(("id", "type", "role", "name", "format"))


def _grow(whole: Any, part: Any, growing: bool = False) -> Any:
    """Give what two successive pieces are together. Grouping does not matter, only the order does."""
    if part is None or whole is None:
        return whole if part is None else part
    if isinstance(whole, str) and isinstance(part, str):
        return whole + part if growing else part
    if isinstance(whole, dict) and isinstance(part, dict):
        return whole | {
            name: _grow(whole.get(name), value, (growing or name in _GROWING) and name not in _WHOLE_TEXTS)
            for name, value in part.items()
        }
    if isinstance(whole, list) and isinstance(part, list):
        return _grow_list(whole, part, growing)
    return part


def _grow_list(whole: list[Any], part: list[Any], growing: bool) -> list[Any]:
    """Put items of the same `index` together; items without one follow each other."""
    if not all(isinstance(item, dict) and isinstance(item.get("index"), int) for item in (*whole, *part)):
        return whole + part
    grown: dict[int, Any] = {}
    for item in (*whole, *part):
        grown[item["index"]] = _grow(grown.get(item["index"]), item, growing)
    return [grown[index] for index in sorted(grown)]


def _grown(parts: Iterable[Any]) -> Any:
    """Put all pieces together, neighbours first, so that a long text is not copied once for each piece.

    What waits are pieces of ever fewer parts, as the digits of their number have it.
    """
    waiting: list[tuple[int, Any]] = []
    for piece in parts:
        size, whole = 1, piece
        while waiting and waiting[-1][0] == size:
            size, whole = size * 2, _grow(waiting.pop()[1], whole)
        waiting.append((size, whole))
    return reduce(lambda later, earlier: _grow(earlier, later), (whole for _, whole in reversed(waiting)))


def _merge_chunks(kind: str, chunks: Objects) -> Any:
    """Give the object of a chat completion or completion from its chunks."""
    whole = _grown(map(_with_indexes, chunks))
    return whole | {"object": kind, "choices": [_finished(choice) for choice in whole["choices"]]}


def _with_indexes(chunk: Any) -> Any:
    """Give a chunk whose choices have an index, which some APIs leave out where there is one choice."""
    if not chunk.get("choices"):
        return chunk
    return chunk | {"choices": [{"index": index} | choice for index, choice in enumerate(chunk["choices"])]}


def _finished(choice: Any) -> Any:
    """Give a choice with its message in place of its delta."""
    if "delta" not in choice.keys():  # noqa: SIM118  # a choice that is no object fails here
        return choice
    message = {"role": "assistant", "content": None} | (choice["delta"] or {})
    if "tool_calls" in message:
        message["tool_calls"] = [_without(call, "index") for call in message["tool_calls"]]
    return {"index": choice.get("index", 0), "message": message} | _without(choice, "index", "delta")


def _without(value: Any, *names: str) -> Any:
    return {name: member for name, member in value.items() if name not in names}


def _merge_response(events: Objects) -> Any:
    """Give the response that the last event of a responses stream carries, with the items that it lacks by then."""
    response: Any = None
    for event in events:
        response = event.get("response", response)
    if response.get("output"):
        return response
    items: dict[int, Any] = {}
    grown: dict[int, str] = {}
    for event in events:
        index = event.get("output_index", len(items))
        if event["type"] in ("response.output_item.added", "response.output_item.done"):
            items[index] = event["item"]
        if event["type"] == "response.output_item.done":
            grown.pop(index, None)
        if event["type"] in _GROWING_ITEMS:
            grown[index] = grown.get(index, "") + event["delta"]
    unfinished = {index: items.get(index, {}) | _part_of_item(items.get(index, {}), grown[index]) for index in grown}
    items |= unfinished
    return response | {"output": [items[index] for index in sorted(items)]} if items else response


#: Events that bring a further piece of the text of a message, or of the arguments of a function call.
_GROWING_ITEMS = ("response.output_text.delta", "response.function_call_arguments.delta")


def _part_of_item(item: Any, text: str) -> Any:
    if item.get("type") == "function_call":
        return {"arguments": text}
    return {"content": [{"type": "output_text", "text": text}]}


def _is_of_response(kind: str) -> bool:
    return kind.startswith("response.")


_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed")


def _lacks_finish(chunks: Objects) -> bool:
    """Tell whether a choice has no reason why it ended."""
    begun, finished = set(), set()
    for choice in (choice for chunk in chunks for choice in _list(chunk.get("choices")) if isinstance(choice, dict)):
        begun.add(str(choice.get("index")))
        if choice.get("finish_reason"):
            finished.add(str(choice.get("index")))
    return begun != finished


def _lacks_last(events: Objects) -> bool:
    """Tell whether the last event of a responses stream does not end it."""
    return deque(events, maxlen=1)[0].get("type") not in _RESPONSE_ENDS


class Merger(NamedTuple):
    """How streams are merged whose objects are all of one kind, and by what they themselves say that they are over."""

    belongs: Callable[[str], bool]
    merge: Callable[[Objects], Any]
    lacks_end: Callable[[Objects], bool]


MERGERS: tuple[Merger, ...] = (
    *(Merger(kind.__eq__, partial(_merge_chunks, whole), _lacks_finish) for kind, whole in CHUNKS.items()),
    Merger(_is_of_response, _merge_response, _lacks_last),
)

"""Streams are read as they arrive, and become what the same call would have answered without streaming.

OpenAI-style streams are merged into their final object; every other stream becomes the list of its events. What came
before a stream broke off is kept. Numbers stay as they were sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

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


@dataclass
class Stream:
    """The events of one answer so far. `ended` tells that the end mark came."""

    events: list[Event] = field(default_factory=list)
    ended: bool = False

    async def read(self, events: AsyncIterator[Event], report: Report, redact: Callable[[str], str]) -> None:
        """Read to the end, and report each event as it comes. Raises what the reading of the body raises.

        Of many events those are reported together that come between two reports.
        """
        added, reported = "", 0.0
        async for event in events:
            if event.data.strip() == END:
                self.ended = True
                continue
            self.events.append(event)
            added += added_text(event)
            if len(self.events) <= REPORTED_EACH or time.monotonic() - reported >= PAUSE:
                await report(len(self.events), redact(added)[:REPORTED] or None)
                added, reported = "", time.monotonic()
        if added:
            await report(len(self.events), redact(added)[:REPORTED])

    @property
    def complaint(self) -> str:
        """What the stream itself says went wrong, or its missing end; empty if nothing did."""
        error = next((event for event in self.events if event.is_error), None)
        if error is not None:
            return f"The stream reported an error: {error.data[:2000]}"
        if not self.ended and _lacks_its_end(self.events):
            return "The stream ended before the answer was complete."
        return ""

    def merged(self) -> bytes:
        """Give the JSON text of the whole answer."""
        sound = [event for event in self.events if event.fields and not event.is_error]
        kinds = {event.kind for event in sound} - {""}
        merge = next((merge for belongs, merge in MERGERS if kinds and all(map(belongs, kinds))), None)
        try:
            if merge is not None:
                return _encoder.encode(merge([event.fields for event in sound]))
        except (LookupError, TypeError, AttributeError, RecursionError):
            pass  # it only looked like one of the known kinds
        return _encoder.encode([_as_item(event) for event in self.events])


def event(data: str, name: str = "", event_id: str = "") -> Event:
    """Read one event."""
    try:
        return Event(data, name, event_id, _decoder.decode(data))
    except (msgspec.MsgspecError, ValueError, RecursionError):
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


def _as_item(event: Event) -> Any:
    """Give an event as an item of a list: its data, and its name and id where it has them."""
    data = event.data if event.value is None and event.data.strip() != "null" else event.value
    named = {key: text for key, text in (("event", event.name), ("id", event.id)) if text}
    return {**named, "data": data} if named else data


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


def _grown(parts: Sequence[Any]) -> Any:
    """Put all pieces together, neighbours first, so that a long text is not copied once for each piece."""
    while len(parts) > 1:
        pairs = [_grow(first, second) for first, second in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs if len(parts) % 2 == 0 else [*pairs, parts[-1]]
    return parts[0]


def _merge_chunks(chunks: Sequence[Any]) -> Any:
    """Give the object of a chat completion or completion from its chunks."""
    kind = next(chunk["object"] for chunk in chunks if chunk.get("object") in CHUNKS)
    whole = _grown([_with_indexes(chunk) for chunk in chunks])
    return whole | {"object": CHUNKS[kind], "choices": [_finished(choice) for choice in whole["choices"]]}


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


def _merge_response(events: Sequence[Any]) -> Any:
    """Give the response that the last event of a responses stream carries, with the items that it lacks by then."""
    response = next(event["response"] for event in reversed(events) if "response" in event)
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


#: How a stream is merged, by the kind that all of its events are of.
MERGERS: tuple[tuple[Callable[[str], bool], Callable[[Sequence[Any]], Any]], ...] = (
    *((kind.__eq__, _merge_chunks) for kind in CHUNKS),
    (_is_of_response, _merge_response),
)

_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed")


def _lacks_its_end(events: Sequence[Event]) -> bool:
    """Tell whether an OpenAI-style stream, by what it says itself, is not finished."""
    kinds = {event.kind for event in events} - {""}
    if kinds and kinds <= CHUNKS.keys():
        choices = [
            choice for event in events for choice in _list(event.fields.get("choices")) if isinstance(choice, dict)
        ]
        return _indexes(choices) != _indexes(choice for choice in choices if choice.get("finish_reason"))
    return bool(kinds) and all(map(_is_of_response, kinds)) and events[-1].kind not in _RESPONSE_ENDS


def _indexes(choices: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(choice.get("index")) for choice in choices}

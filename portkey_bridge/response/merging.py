"""Merges the events of OpenAI-style streams into the object that the same call returns without streaming."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial, reduce
from io import BytesIO
from typing import Any, NamedTuple

import msgspec

from portkey_bridge.openapi.coercion import sequence

#: Kinds of OpenAI-style chunks that grow into one object, and what the object is called then.
CHUNKS = {"chat.completion.chunk": "chat.completion", "text_completion": "text_completion"}

#: Reads JSON without rounding a number.
json_decoder = msgspec.json.Decoder(float_hook=Decimal)


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
        return map(json_decoder.decode, self._lines)


#: What grows by pieces: the texts in these members, and in those members only.
_GROWING = frozenset(("delta", "text"))

#: Texts inside growing members that are sent as a whole, often again and again.
_WHOLE_TEXTS = frozenset(("id", "type", "role", "name", "format"))


def _grow(whole: Any, part: Any, growing: bool = False) -> Any:
    """Return what two successive pieces are together. Grouping does not matter, only the order does."""
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
    """Return the object of a chat completion or completion from its chunks."""
    whole = _grown(map(_with_indexes, chunks))
    return whole | {"object": kind, "choices": [_finished(choice) for choice in whole["choices"]]}


def _with_indexes(chunk: Any) -> Any:
    """Return a chunk whose choices have an index, which some APIs leave out where there is one choice."""
    if not chunk.get("choices"):
        return chunk
    return chunk | {"choices": [{"index": index} | choice for index, choice in enumerate(chunk["choices"])]}


def _finished(choice: Any) -> Any:
    """Return a choice with its message in place of its delta."""
    if "delta" not in choice.keys():  # noqa: SIM118  # a choice that is not an object fails here
        return choice
    message = {"role": "assistant", "content": None} | (choice["delta"] or {})
    if "tool_calls" in message:
        message["tool_calls"] = [_without(call, "index") for call in message["tool_calls"]]
    return {"index": choice.get("index", 0), "message": message} | _without(choice, "index", "delta")


def _without(value: Any, *names: str) -> Any:
    return {name: member for name, member in value.items() if name not in names}


def _merge_response(events: Objects) -> Any:
    """Return the response that the last event of a responses stream carries, with the items that it lacks by then."""
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


def is_of_response(kind: str) -> bool:
    """Check whether an event is one of OpenAI's responses API."""
    return kind.startswith("response.")


_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed")


def _lacks_finish(chunks: Objects) -> bool:
    """Check whether a choice has no reason why it ended."""
    begun, finished = set(), set()
    for choice in (choice for chunk in chunks for choice in sequence(chunk.get("choices")) if isinstance(choice, dict)):
        begun.add(str(choice.get("index")))
        if choice.get("finish_reason"):
            finished.add(str(choice.get("index")))
    return begun != finished


def _lacks_last(events: Objects) -> bool:
    """Check whether the last event of a responses stream does not end it."""
    return deque(events, maxlen=1)[0].get("type") not in _RESPONSE_ENDS


class Merger(NamedTuple):
    """How streams are merged whose objects are all of one kind, and by what they themselves say that they are over."""

    belongs: Callable[[str], bool]
    merge: Callable[[Objects], Any]
    lacks_end: Callable[[Objects], bool]


STREAM_MERGERS: tuple[Merger, ...] = (
    *(Merger(kind.__eq__, partial(_merge_chunks, whole), _lacks_finish) for kind, whole in CHUNKS.items()),
    Merger(is_of_response, _merge_response, _lacks_last),
)

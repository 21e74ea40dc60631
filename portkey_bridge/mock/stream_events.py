"""An answer as the events that a stream brings it in: the inverse of `streams`, for the mock.

OpenAI's kinds of objects are known: what `streams` merges again is equal to the object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from portkey_bridge.response.merging import CHUNKS
from portkey_bridge.response.streams import END_MARK


def as_events(value: Any) -> list[bytes] | None:
    """Return the server-sent events that `value` can come in, None for what comes as a whole."""
    split = _SPLITTERS.get(value.get("object", "")) if isinstance(value, dict) else None
    if split is None:
        return None
    events = [json.dumps(event, ensure_ascii=False) for event in split(value)]
    return [f"data: {event}\n\n".encode() for event in (*events, END_MARK)]


def _completion(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a chat completion or completion: pieces of text, what ends a choice, and the usage."""
    kind = next(chunk for chunk, whole in CHUNKS.items() if whole == value["object"])
    around = {name: member for name, member in value.items() if name not in ("choices", "usage")} | {"object": kind}
    for choice in value.get("choices", ()):
        for piece in _pieces(choice):
            yield {**around, "choices": [{"index": choice.get("index", 0), **piece}]}
    if "usage" in value:
        yield {**around, "choices": [], "usage": value["usage"]}


def _pieces(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    rest = {name: member for name, member in choice.items() if name not in ("index", "message", "text")}
    if "message" not in choice:
        yield from ({"text": text, "finish_reason": None} for text in _words(choice.get("text")))
        yield rest
        return
    message = choice["message"]
    whole = {name: member for name, member in message.items() if name != "content"}
    if "tool_calls" in whole:
        whole["tool_calls"] = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    yield {"delta": {**whole, "content": None}, "finish_reason": None}
    yield from ({"delta": {"content": text}, "finish_reason": None} for text in _words(message.get("content")))
    yield {**rest, "delta": {}}


def _words(text: Any) -> list[str]:
    return re.findall(r"\w+\W*|\W+", text) if isinstance(text, str) else []


def _response(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a response: it begins, its texts grow, it is complete."""
    yield {"type": "response.created", "response": {**value, "status": "in_progress", "output": []}}
    for index, item in enumerate(value.get("output", ())):
        for part in item.get("content", ()):
            for text in _words(part.get("text")):
                yield {"type": "response.output_text.delta", "output_index": index, "delta": text}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": value}


_SPLITTERS: Mapping[str, Callable[[dict[str, Any]], Iterator[dict[str, Any]]]] = {
    **dict.fromkeys(CHUNKS.values(), _completion),
    "response": _response,
}

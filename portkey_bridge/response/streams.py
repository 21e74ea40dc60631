"""Streams are read as they arrive, and become what the same call would have answered without streaming.

OpenAI-style streams are merged into their final object; every other stream becomes the list of its events. What came
before a stream broke off is kept. Events are kept as their text, as values they would take many times the memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from typing import Any, Protocol

import msgspec

from portkey_bridge.openapi.coercion import sequence
from portkey_bridge.response.events import Event
from portkey_bridge.response.json_views import is_json
from portkey_bridge.response.merging import CHUNKS, STREAM_MERGERS, Merger, Objects, is_of_response

#: What OpenAI-style streams send behind their last event.
END_MARK = "[DONE]"

#: Characters of an event that a progress notification repeats.
MAX_REPORTED = 500

#: Events that are each reported, and the seconds between two reports from then on: a report costs more than an event.
EVENTS_REPORTED_EACH, REPORT_INTERVAL = 1000, 0.1

#: Seconds after which other calls get their turn, however many events have arrived at once.
MAX_TURN = 0.01

Report = Callable[[int, str | None], Awaitable[None]]
"""Takes the number of events so far and what the last one brought."""


class Hide(Protocol):
    """Takes the secrets out of a text that may arrive in parts."""

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""

    def settled(self, text: str) -> int:
        """Return the length of the beginning of a text in which no secret continues behind its end."""


async def no_report(number: int, added: str | None) -> None:
    """Do nothing."""


_encoder = msgspec.json.Encoder(decimal_format="number")


class Stream:
    """The events of one answer so far: how many there are, and whether the end mark came.

    Reading ends after `most` events, and the stream `is_cut` then, without a complaint about its missing end.
    What is kept is the text of their list, and besides the objects that may yet be merged, without errors.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.is_cut = False
        self.count = 0
        self.ended = False
        self._error = ""
        self._list = BytesIO()
        self._objects = Objects()
        self._possible: tuple[Merger, ...] = STREAM_MERGERS
        self._has_kind = False

    async def read(self, events: AsyncIterator[Event], report: Report, redact: Hide) -> None:
        """Read to the end, and report each event as it comes. Raises what the reading of the body raises.

        Of many events those are reported together that come between two reports, and so is a secret in parts.
        """
        added, reported, turn = "", 0.0, time.monotonic()
        async for event in events:
            if time.monotonic() - turn > MAX_TURN:
                await asyncio.sleep(0)
                turn = time.monotonic()
            if event.data.strip() == END_MARK:
                self.ended = True
                continue
            self.add(event)
            self.is_cut = self.count == self.most
            added += added_text(event)
            if self.count <= EVENTS_REPORTED_EACH or time.monotonic() - reported >= REPORT_INTERVAL:
                settled = redact.settled(added)
                await report(self.count, redact(added[:settled])[:MAX_REPORTED] or None)
                added, reported = added[settled:], time.monotonic()
            if self.is_cut:
                break
        if added:
            await report(self.count, redact(added)[:MAX_REPORTED])

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
        if self.lacks_end:
            return "The stream ended before the answer was complete."
        return ""

    @property
    def lacks_end(self) -> bool:
        """Whether the end is missing that streams of this kind have. Of others, such as a watch, any part is whole."""
        return not (self.ended or self.is_cut) and self._merger is not None and self._merger.lacks_end(self._objects)

    def merged(self) -> bytes:
        """Return the JSON text of the whole answer."""
        try:
            if self._merger is not None:
                return _encoder.encode(self._merger.merge(self._objects))
        except (LookupError, TypeError, AttributeError, RecursionError):
            pass  # it only looked like one of the known kinds
        return self._list.getvalue() + b"]" if self.count else b"[]"


async def watched(chunks: AsyncIterator[bytes], report: Report, redact: Callable[[str], str]) -> AsyncIterator[bytes]:
    """Yield the chunks of a body that is not declared as a stream, and report those that are lines of a watch.

    Such a chunk is one line of JSON. The first is not reported, since it may be the whole answer.
    """
    count = 0
    async for chunk in chunks:
        yield chunk
        if chunk.endswith(b"\n") and is_json(chunk):
            count += 1
            if 1 < count <= EVENTS_REPORTED_EACH:
                await report(count, redact(chunk.decode())[:MAX_REPORTED])


def is_cut_watch(body: bytes) -> bool:
    """Check for lines of JSON, of which the last may have been cut."""
    *lines, _ = body.split(b"\n")
    return bool(lines) and all(is_json(line) for line in lines if line.strip())


def added_text(event: Event) -> str:
    """Return the text that an event adds to the answer; the event itself where it is none of a known kind."""
    if event.kind in CHUNKS:
        return "".join(_text_of_choice(choice) for choice in sequence(event.fields.get("choices")))
    if is_of_response(event.kind):
        delta = event.fields.get("delta") if event.kind.endswith("_text.delta") else ""
        return delta if isinstance(delta, str) else ""
    return event.data


def _text_of_choice(choice: Any) -> str:
    fields = choice if isinstance(choice, dict) else {}
    delta = fields.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else fields.get("text")
    return text if isinstance(text, str) else ""


def _as_item(event: Event) -> bytes:
    """Return the JSON text of an event as an item of a list: its data, and its name and id where it has them."""
    is_json = event.value is not None or event.data.strip() == "null"
    data = event.data.encode() if is_json else _encoder.encode(event.data)
    named = {key: text for key, text in (("event", event.name), ("id", event.id)) if text}
    return _encoder.encode({**named, "data": msgspec.Raw(data)}) if named else data

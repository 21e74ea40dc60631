"""Splits the body of a stream into its events: server-sent events, JSON lines, JSON text sequences."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx
import msgspec
from httpx_sse import EventSource

from portkey_bridge import media_types
from portkey_bridge.response.merging import CHUNKS, json_decoder

#: The members of an event that is nothing but an error.
OF_AN_ERROR = frozenset(("error", "type", "code", "status", "message", "provider", "request_id"))


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `name` is empty where the stream had none. `value` is None where `data` is not JSON."""

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


def event(data: str, name: str = "", event_id: str = "") -> Event:
    """Read one event."""
    try:
        return Event(data, name, event_id, json_decoder.decode(data))
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
    """Return a body whose last event is complete, although many servers leave out the empty line behind it."""
    async for chunk in body:
        yield chunk
    yield b"\n\n"


def is_event_stream(body: bytes) -> bool:
    """Check whether a body, whatever it is declared as, is a stream of server-sent events and nothing else."""
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


EventReader = Callable[[AsyncIterator[bytes]], AsyncIterator[Event]]
"""Splits a body into events."""

#: How a stream is read, by the family of its media type.
EVENT_READERS: tuple[tuple[re.Pattern[str], EventReader], ...] = (
    (media_types.EVENT_STREAM, server_sent_events),
    (media_types.JSON_LINES, json_lines),
    (media_types.JSON_SEQUENCE, json_sequence),
)


@lru_cache(maxsize=64)
def reader_of(media_type: str) -> EventReader | None:
    """Return the function that reads a stream of this media type, or None for anything but a stream."""
    return next((reader for family, reader in EVENT_READERS if family.match(media_type)), None)

"""Large results are kept, and shown as views that can be read on.

A view shows the shape and the first items in full; the rest are stubs, texts that begin with `[expandResult POINTER`
and say how much is there. A pointer is a JSON pointer (RFC 6901), and may end in a slice: `/data#20:40`. What is shown
is the API's own text, so no number changes. The same result and room always give the same view.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

import msgspec
from jsonpointer import JsonPointer, JsonPointerException

from portkey_bridge.openapi.pointers import PointerToNowhere, pointer_to

#: Below this many characters it is not worth showing a part of a value beside its stub.
MIN_VALUE_PART = 200

#: Levels that one view shows below its pointer.
MAX_VALUE_LEVELS = 30

#: Bytes of an array or object whose members are values at the same time, how often a place to cut is looked for, and
#: the bytes of a member from which on its value takes less memory than its text.
BATCH, TRIES, LARGE = 1 << 20, 32, 64

#: Names among which the one is looked for that a pointer to nowhere meant.
MOST_NAMES = 1000

_SLICE = re.compile(r"#(-?\d{0,18}):(-?\d{0,18})$")

Json = msgspec.Raw
"""A JSON value as the text that the API sent."""


def is_json(text: bytes) -> bool:
    """Check whether a text in UTF-8 is JSON that can be read."""
    try:
        msgspec.json.decode(text, type=Json)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def expand(body: bytes, pointer: str, room: int) -> str:
    """Return the JSON text of a view of the value at `pointer`, in about `room` characters. Raises PointerToNowhere."""
    value, pointer, bounds = _locate(msgspec.json.decode(body, type=Json), pointer)
    return _view(value, pointer, room, 0, bounds)


def expand_value(value: Json, pointer: str, room: int) -> str:
    """Return the JSON text of a view of a value that is at `pointer` of its result, in about `room` characters."""
    return _view(value, pointer, room, 0)


def first_items(value: Json, most: int) -> tuple[list[Json], int] | None:
    """Return the first items of an array and how many it has, None for another value."""
    opened = _open(value)
    return ([*opened.between(0, most)], len(opened)) if isinstance(opened, _Array) else None


def few_members(value: Json, most: int) -> dict[str, Json] | None:
    """Return the members of an object, None for another value, and for an object with more members."""
    opened = _open(value)
    if not isinstance(opened, _Object) or len(opened) > most:
        return None
    return dict(opened.between(0, most))


def excerpt(text: str, room: int, pointer: str = "", start: int = 0, stop: int | None = None) -> str:
    """Return `text[start:stop]` in about `room` characters: head and tail, and between them a stub."""
    stop = len(text) if stop is None else stop
    if stop - start <= room:
        return text[start:stop]
    head = max(room - 80, 2) * 2 // 3
    tail = head // 2
    left_out = f"{pointer}#{start + head}:{stop - tail} · {stop - start - head - tail:,} of {len(text):,} characters"
    return f"{text[start : start + head]} … [expandResult {left_out}] … {text[stop - tail : stop]}"


def _locate(value: Json, pointer: str) -> tuple[Json, str, tuple[int | None, int | None]]:
    """Return what is at a pointer, the pointer without its slice, and the slice."""
    sliced = _SLICE.search(pointer)
    bounds = (_number(sliced[1]), _number(sliced[2])) if sliced else (None, None)
    parts = _parts(pointer[: sliced.start()] if sliced else pointer)
    for at, part in enumerate(parts):
        container = _open(value)
        last = parts[at] + sliced[0] if sliced and at == len(parts) - 1 else part
        if last != part and isinstance(container, _Object) and (found := container.get(last)) is not None:
            value, bounds, parts[at] = found, (None, None), last
        else:
            value = _child(container, parts, at)
    return value, pointer_to(parts), bounds


def _child(container: Any, parts: list[str], at: int) -> Json:
    child = container.get(parts[at]) if isinstance(container, _Array | _Object) else None
    if child is None:
        prefix = pointer_to(parts[:at])
        raise PointerToNowhere(pointer_to(parts), prefix, _available(container))
    return child


def _available(container: Any) -> list[str]:
    if isinstance(container, _Object):
        return [pointer_to([name]) for name, _ in container.between(0, MOST_NAMES)]
    return [f"an index from 0 to {len(container) - 1}"] if isinstance(container, _Array) and container else []


def _parts(pointer: str) -> list[str]:
    try:
        return list(JsonPointer(pointer.removeprefix("#")).parts)
    except JsonPointerException as error:
        raise PointerToNowhere(pointer, "", ['"" is the whole result', "/NAME", "/NAME/0#20:40"]) from error


def _number(digits: str) -> int | None:
    return int(digits) if digits not in ("", "-") else None


class _Members:
    """The members of an array or object, read in batches: never are all of many small ones values at the same time."""

    frame: ClassVar[bytes]
    kind: ClassVar[Any]

    def __init__(self, value: Json) -> None:
        self._value = value
        self._inside = memoryview(value)[1:-1]
        self._last: tuple[tuple[int, int], Any] = (-1, -1), None

    def __len__(self) -> int:
        return sum(count for _, _, count in self._batches)

    @cached_property
    def _batches(self) -> Sequence[tuple[int, int, int]]:
        """Where each batch begins and ends, and how many members it has."""
        batches, end = [], -1
        while end < len(self._inside):
            begin, end = end + 1, self._end(end + 1)
            batches.append((begin, end, self._count(begin, end)))
            if begin == 0 and batches[0][2] * LARGE < end:
                return [(0, len(self._inside), len(self._read(0, len(self._inside))))]
        return batches

    def _end(self, begin: int) -> int:
        """Return the place of a comma between two members, seen by reading up to it; else the end of all.

        Members that are full of commas are large, and may be read at once.
        """
        chunk = bytes(self._inside[begin : begin + BATCH])
        cut = len(chunk)
        for _ in range(TRIES if begin + BATCH < len(self._inside) else 0):
            cut = chunk.rfind(b",", 0, cut)
            if cut <= 0:
                break
            if is_json(self.frame % chunk[:cut]):
                return begin + cut
        return len(self._inside)

    def _count(self, begin: int, end: int) -> int:
        return len(self._read(begin, end))

    def _read(self, begin: int, end: int) -> Any:
        """Return the members of a batch; those of the last one are still there."""
        if self._last[0] != (begin, end):
            is_whole = end - begin == len(self._inside)
            text = self._value if is_whole else self.frame % self._inside[begin:end]
            self._last = (begin, end), msgspec.json.decode(text, type=self.kind)
        return self._last[1]

    def _between(self, start: int, stop: int) -> Iterator[Any]:
        """Yield the batches that hold members of these places, and what to take of each."""
        at = 0
        for begin, end, count in self._batches:
            if at < stop and start < at + count:
                yield self._read(begin, end), slice(max(start - at, 0), stop - at)
            at += count


class _Array(_Members):
    frame, kind = b"[%b]", list[Json]

    def between(self, start: int, stop: int) -> Iterator[Json]:
        for items, part in self._between(start, stop):
            yield from items[part]

    def get(self, name: str) -> Json | None:
        index = int(name) if re.fullmatch(r"\d{1,18}", name) else -1
        return next(self.between(index, index + 1), None) if index >= 0 else None

    def _count(self, begin: int, end: int) -> int:
        text = bytes(self._inside[begin:end])
        if not text.strip() or any(mark in text for mark in (b'"', b"[", b"{")):
            return super()._count(begin, end)
        return text.count(b",") + 1  # numbers and such, of which there may be millions


class _Object(_Members):
    frame, kind = b"{%b}", dict[str, Json]

    def between(self, start: int, stop: int) -> Iterator[tuple[str, Json]]:
        for members, part in self._between(start, stop):
            yield from islice(members.items(), part.start, part.stop)

    def get(self, name: str) -> Json | None:
        found = None
        for members, _ in self._between(0, len(self)):
            found = members.get(name, found)  # the last of several counts, as in Python
        return found


_KINDS: Mapping[bytes, Callable[[Json], Any]] = {
    b"{": _Object,
    b"[": _Array,
    b'"': lambda value: msgspec.json.decode(value, type=str),
}


def _open(value: Json) -> Any:
    """Open one level of a value: an object, an array or a string. Other values are None."""
    kind = _KINDS.get(bytes(memoryview(value)[:1]))
    return kind(value) if kind is not None else None


def size_of(value: Json) -> int:
    """Return the bytes of the text of a value."""
    return len(memoryview(value))


def _text(value: Json) -> str:
    return bytes(value).decode("utf-8", "replace")


def json_string(text: str) -> str:
    """Return a text as a JSON string."""
    return msgspec.json.encode(text).decode()


def _view(
    value: Json, pointer: str, room: int, depth: int, bounds: tuple[int | None, int | None] = (None, None)
) -> str:
    """Return the whole value where it fits, else as much of it as does."""
    if bounds == (None, None) and size_of(value) <= room:
        return _text(value)
    opened = _open(value)
    if opened is None or depth > MAX_VALUE_LEVELS:
        return _text(value) if opened is None and depth == 0 else _stub(value, pointer)
    start, stop, _ = slice(*bounds).indices(len(opened))
    return _VIEWS[type(opened)](opened, pointer, room, depth, start, max(start, stop))


def _view_string(text: str, pointer: str, room: int, _: int, start: int, stop: int) -> str:
    return json_string(excerpt(text, room, pointer, start, stop))


def _view_array(items: _Array, pointer: str, room: int, depth: int, start: int, stop: int) -> str:
    """Show the first items in full; the very first one in part if it does not fit."""
    rest = _rest(pointer, start, stop, len(items), "items")
    room -= len(rest)
    shown: list[str] = []
    for item in items.between(start, stop):
        if size_of(item) + 1 > room:
            break
        shown.append(_text(item))
        room -= len(shown[-1]) + 1
    if not shown and start < stop:
        shown.append(_part(next(items.between(start, stop)), f"{pointer}/{start}", room, depth))
    at = start + len(shown)
    return f"[{','.join([*shown, *([_rest(pointer, at, stop, len(items), 'items')] if at < stop else [])])}]"


def _view_object(members: _Object, pointer: str, room: int, depth: int, start: int, stop: int) -> str:
    """Show as many names as fit; behind them the small values in full, and the large ones in part."""
    room -= len(rest := _rest(pointer, start, stop, len(members), "members")) + 5
    values: dict[str, Json] = {}
    pointers: dict[str, str] = {}
    shown: dict[str, str] = {}
    for name, value in members.between(start, stop):
        pointers[name] = pointer + pointer_to([name])
        least = _least(value, pointers[name])
        if shown and len(name) + len(least) + 4 > room:
            break
        values[name], shown[name] = value, least
        room -= len(name) + len(least) + 4
    for name, better in _better(values, pointers, shown, room, depth):
        shown[name] = better
    written = [f"{json_string(name)}:{text}" for name, text in shown.items()]
    if start + len(shown) < stop:
        rest = _rest(pointer, start + len(shown), stop, len(members), "members")
        written.append(f'"…":{rest}')
    return f"{{{','.join(written)}}}"


def _better(
    members: Mapping[str, Json], pointers: Mapping[str, str], shown: Mapping[str, str], room: int, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield more of the values, the small ones first: each may have an equal share of the room that is left."""
    waiting = sorted((name for name in shown if size_of(members[name]) > len(shown[name])), key=_by_size(members))
    for left, name in zip(range(len(waiting), 0, -1), waiting, strict=True):
        part = _part(members[name], pointers[name], room // left + len(shown[name]), depth)
        room -= len(part) - len(shown[name])
        yield name, part


def _by_size(members: Mapping[str, Json]) -> Callable[[str], int]:
    return lambda name: size_of(members[name])


def _part(value: Json, pointer: str, room: int, depth: int) -> str:
    if size_of(value) <= room:
        return _text(value)
    return _view(value, pointer, room, depth + 1) if room > MIN_VALUE_PART else _least(value, pointer)


def _least(value: Json, pointer: str) -> str:
    stub = _stub(value, pointer)
    return _text(value) if size_of(value) <= len(stub) else stub


def _stub(value: Json, pointer: str) -> str:
    name = {b"{": "object", b"[": "array", b'"': "string"}.get(bytes(memoryview(value)[:1]), "number")
    return json_string(f"[expandResult {pointer} · {name} of {size_of(value):,} bytes]")


def _rest(pointer: str, at: int, stop: int, count: int, what: str) -> str:
    return json_string(f"[expandResult {pointer}#{at}:{stop} · {stop - at:,} more of {count:,} {what}]")


_VIEWS: Mapping[type, Callable[[Any, str, int, int, int, int], str]] = {
    str: _view_string,
    _Array: _view_array,
    _Object: _view_object,
}

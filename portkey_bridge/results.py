"""Large results are kept, and shown as views that can be read on.

A view shows the shape and the first items in full; the rest are stubs, texts that begin with `[expandResult POINTER`
and say how much is there. A pointer is a JSON pointer (RFC 6901), and may end in a slice: `/data#20:40`. What is shown
is the API's own text, so no number changes. The same result and room always give the same view.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from jsonpointer import JsonPointer, JsonPointerException

from portkey_bridge.errors import CallError
from portkey_bridge.settings import Bounds
from portkey_bridge.views import PointerToNowhere

#: Below this many characters it is not worth showing a part of a value beside its stub.
WORTHWHILE = 200

#: Levels that one view shows below its pointer.
DEEPEST = 30

_SLICE = re.compile(r"#(-?\d{0,18}):(-?\d{0,18})$")

Json = msgspec.Raw
"""A JSON value as the text that the API sent."""


class ForgottenResult(CallError):
    """A result is not kept, or not any more."""

    def __init__(self, result_id: str) -> None:
        self.result_id = result_id
        super().__init__(
            f"The result {result_id!r:.80} is not kept, or not any more. Call the tool that gave it again, and use the "
            "resultId of the new answer."
        )


class Results:
    """The results that were too large to be shown whole. `clock` gives seconds."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def keep(self, body: bytes) -> str:
        """Keep a JSON text, and forget what exceeds the bounds. Gives its id, which follows from the text."""
        result_id = hashlib.sha256(body).hexdigest()[:16]
        self._touch(result_id, body)
        self._forget()
        return result_id

    def __getitem__(self, result_id: str) -> bytes:
        """Give a result that was kept. Raises ForgottenResult."""
        self._forget()
        if result_id not in self._kept:
            raise ForgottenResult(result_id)
        self._touch(result_id, self._kept[result_id][1])
        return self._kept[result_id][1]

    def _touch(self, result_id: str, body: bytes) -> None:
        self._kept[result_id] = self._clock(), body
        self._kept.move_to_end(result_id)

    def _forget(self) -> None:
        while self._kept and self._exceeds():
            self._kept.popitem(last=False)

    def _exceeds(self) -> bool:
        oldest, _ = next(iter(self._kept.values()))
        size = sum(len(body) for _, body in self._kept.values())
        old = self._clock() - oldest > self._bounds.seconds
        return old or len(self._kept) > self._bounds.count or size > self._bounds.bytes


def expand(body: bytes, pointer: str, room: int) -> str:
    """Give the JSON text of a view of what stands at `pointer`, in about `room` characters. Raises PointerToNowhere."""
    value, pointer, bounds = _locate(Json(body), pointer)
    return _view(value, pointer, room, 0, bounds)


def excerpt(text: str, room: int, pointer: str = "", start: int = 0, stop: int | None = None) -> str:
    """Give `text[start:stop]` in about `room` characters: head and tail, and between them a stub."""
    stop = len(text) if stop is None else stop
    if stop - start <= room:
        return text[start:stop]
    head = max(room - 80, 2) * 2 // 3
    tail = head // 2
    left_out = f"{pointer}#{start + head}:{stop - tail} · {stop - start - head - tail:,} of {len(text):,} characters"
    return f"{text[start : start + head]} … [expandResult {left_out}] … {text[stop - tail : stop]}"


def _locate(value: Json, pointer: str) -> tuple[Json, str, tuple[int | None, int | None]]:
    """Give what stands at a pointer, the pointer without its slice, and the slice."""
    sliced = _SLICE.search(pointer)
    bounds = (_number(sliced[1]), _number(sliced[2])) if sliced else (None, None)
    parts = _parts(pointer[: sliced.start()] if sliced else pointer)
    for at, part in enumerate(parts):
        container = _open(value)
        last = parts[at] + sliced[0] if sliced and at == len(parts) - 1 else part
        if isinstance(container, dict) and last in container:
            value, bounds = container[last], bounds if last == part else (None, None)
            parts[at] = last
        else:
            value = _child(container, parts, at)
    return value, JsonPointer.from_parts(parts).path, bounds


def _child(container: Any, parts: list[str], at: int) -> Json:
    if isinstance(container, dict) and parts[at] in container:
        child: Json = container[parts[at]]
        return child
    if isinstance(container, list) and re.fullmatch(r"\d{1,18}", parts[at]) and int(parts[at]) < len(container):
        item: Json = container[int(parts[at])]
        return item
    prefix = JsonPointer.from_parts(parts[:at]).path
    raise PointerToNowhere(JsonPointer.from_parts(parts).path, prefix, _available(container))


def _available(container: Any) -> list[str]:
    if isinstance(container, dict):
        return [str(JsonPointer.from_parts([key]).path) for key in container]
    return [f"an index from 0 to {len(container) - 1}"] if isinstance(container, list) and container else []


def _parts(pointer: str) -> list[str]:
    try:
        return list(JsonPointer(pointer.removeprefix("#")).parts)
    except JsonPointerException as error:
        raise PointerToNowhere(pointer, "", ['"" is the whole result', "/NAME", "/NAME/0#20:40"]) from error


def _number(digits: str) -> int | None:
    return int(digits) if digits not in ("", "-") else None


def _open(value: Json) -> Any:
    """Read one level of a value: an object or array of texts, or a string. Other values are None."""
    kind = _KINDS.get(bytes(memoryview(value)[:1]))
    return msgspec.json.decode(value, type=kind) if kind is not None else None


_KINDS: Mapping[bytes, Any] = {b"{": dict[str, Json], b"[": list[Json], b'"': str}


def _size(value: Json) -> int:
    return len(memoryview(value))


def _text(value: Json) -> str:
    return bytes(value).decode("utf-8", "replace")


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _view(
    value: Json, pointer: str, room: int, depth: int, bounds: tuple[int | None, int | None] = (None, None)
) -> str:
    """Give the whole value where it fits, else as much of it as does."""
    if bounds == (None, None) and _size(value) <= room:
        return _text(value)
    opened = _open(value)
    if opened is None or depth > DEEPEST:
        return _text(value) if opened is None and depth == 0 else _stub(value, pointer)
    start, stop, _ = slice(*bounds).indices(len(opened))
    return _VIEWS[type(opened)](opened, pointer, room, depth, start, max(start, stop))


def _view_string(text: str, pointer: str, room: int, _: int, start: int, stop: int) -> str:
    return _json(excerpt(text, room, pointer, start, stop))


def _view_array(items: Sequence[Json], pointer: str, room: int, depth: int, start: int, stop: int) -> str:
    """Show the first items in full; the very first one in part if it does not fit."""
    rest = _rest(pointer, start, stop, len(items), "items")
    room -= len(rest)
    shown: list[str] = []
    for index in range(start, stop):
        if _size(items[index]) + 1 > room:
            break
        shown.append(_text(items[index]))
        room -= len(shown[-1]) + 1
    if not shown and start < stop:
        shown.append(_part(items[start], f"{pointer}/{start}", room, depth))
    at = start + len(shown)
    return f"[{','.join([*shown, *([_rest(pointer, at, stop, len(items), 'items')] if at < stop else [])])}]"


def _view_object(members: Mapping[str, Json], pointer: str, room: int, depth: int, start: int, stop: int) -> str:
    """Show as many names as fit; behind them the small values in full, and the large ones in part."""
    names = list(members)[start:stop]
    pointers = {name: pointer + str(JsonPointer.from_parts([name]).path) for name in names}
    shown: dict[str, str] = {}
    room -= len(rest := _rest(pointer, start, stop, len(members), "members")) + 5
    for name in names:
        least = _least(members[name], pointers[name])
        if shown and len(name) + len(least) + 4 > room:
            break
        shown[name] = least
        room -= len(name) + len(least) + 4
    for name, better in _better(members, pointers, shown, room, depth):
        shown[name] = better
    written = [f"{_json(name)}:{text}" for name, text in shown.items()]
    if len(shown) < len(names):
        rest = _rest(pointer, start + len(shown), stop, len(members), "members")
        written.append(f'"…":{rest}')
    return f"{{{','.join(written)}}}"


def _better(
    members: Mapping[str, Json], pointers: Mapping[str, str], shown: Mapping[str, str], room: int, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield more of the values, the small ones first: each may have an equal share of the room that is left."""
    waiting = sorted((name for name in shown if _size(members[name]) > len(shown[name])), key=_by_size(members))
    for left, name in zip(range(len(waiting), 0, -1), waiting, strict=True):
        part = _part(members[name], pointers[name], room // left + len(shown[name]), depth)
        room -= len(part) - len(shown[name])
        yield name, part


def _by_size(members: Mapping[str, Json]) -> Callable[[str], int]:
    return lambda name: _size(members[name])


def _part(value: Json, pointer: str, room: int, depth: int) -> str:
    if _size(value) <= room:
        return _text(value)
    return _view(value, pointer, room, depth + 1) if room > WORTHWHILE else _least(value, pointer)


def _least(value: Json, pointer: str) -> str:
    stub = _stub(value, pointer)
    return _text(value) if _size(value) <= len(stub) else stub


def _stub(value: Json, pointer: str) -> str:
    name = {b"{": "object", b"[": "array", b'"': "string"}.get(bytes(memoryview(value)[:1]), "number")
    return _json(f"[expandResult {pointer} · {name} of {_size(value):,} bytes]")


def _rest(pointer: str, at: int, stop: int, count: int, what: str) -> str:
    return _json(f"[expandResult {pointer}#{at}:{stop} · {stop - at:,} more of {count:,} {what}]")


_VIEWS: Mapping[type, Callable[[Any, str, int, int, int, int], str]] = {
    str: _view_string,
    list: _view_array,
    dict: _view_object,
}

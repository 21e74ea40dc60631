"""The first view of an answer with large arrays of objects: their columns with counts, and one row of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.response.json_views import Json, expand_value, is_object, members_of, size_of

#: An array is large from so many items on, and if it has this part of the room at least.
ITEMS, SHARE = 5, 20

#: Characters of a row that are shown at most, columns that are named, and the levels at which arrays are looked for.
ROW, COLUMNS, LEVELS = 2000, 60, 4


def tabulated(body: bytes, room: int) -> str | None:
    """Return a JSON text with the first item of each large array of objects, and a stub that names their columns.

    Everything else is as in `body`. None if no array is large, or if that is longer than `room` characters.
    """
    written = _written(msgspec.json.decode(body, type=Json), "", room, LEVELS)
    return None if written is None or len(written) > room else written


def _written(value: Json, pointer: str, room: int, levels: int) -> str | None:
    """Return a value with tables, or None if it has none."""
    if not levels or size_of(value) * SHARE < room:
        return None
    if is_object(value):
        return _of_object(dict(members_of(value)), pointer, room, levels)
    return _table(value, pointer) if bytes(memoryview(value)[:1]) == b"[" else None


def _of_object(members: Mapping[str, Json], pointer: str, room: int, levels: int) -> str | None:
    tables = {
        name: table
        for name, value in members.items()
        if (table := _written(value, pointer + pointer_to([name]), room, levels - 1)) is not None
    }
    rest = sum(size_of(value) for name, value in members.items() if name not in tables)
    if not tables or rest > room:
        return None
    texts = (tables.get(name) or bytes(value).decode() for name, value in members.items())
    return f"{{{','.join(f'{_json(name)}:{text}' for name, text in zip(members, texts, strict=True))}}}"


def _table(value: Json, pointer: str) -> str | None:
    """Return the first row and a stub for the others; None if not all items are objects."""
    counts: Counter[str] = Counter()
    number = 0
    for _, item in members_of(value):
        if not is_object(item):
            return None
        number += 1
        for name, cell in _cells(item):
            counts[name] += bytes(cell) != b"null"
    if number < ITEMS:
        return None
    row = expand_value(next(item for _, item in members_of(value)), f"{pointer}/0", ROW)
    stub = f"[expandResult {pointer}#1:{number} · {number - 1:,} more of {number:,} items · {_columns(counts, number)}]"
    return f"[{row},{_json(stub)}]"


def _columns(counts: Counter[str], number: int) -> str:
    """Return the columns: those that all items have, then others with the number of items that have a value."""
    full = [name for name, count in counts.items() if count == number]
    names = [*full, *(f"{name} ({count:,})" for name, count in counts.items() if count < number)]
    more = [f"{len(names) - COLUMNS:,} more"] if len(names) > COLUMNS else []
    return f"columns, with the number of items if not all have a value: {', '.join([*names[:COLUMNS], *more])}"


def _cells(item: Json) -> Iterator[tuple[str, Json]]:
    return iter(msgspec.json.decode(item, type=dict[str, Json]).items())


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()

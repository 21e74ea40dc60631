"""The first view of an answer with large arrays of objects: their columns with counts, and one row of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.response.json_views import Json, expand_value, few_members, first_items, json_string, size_of

#: An array is large from so many items on, and if it has this part of the room at least.
MIN_ITEMS, MIN_SHARE = 5, 20

#: Characters of a row that are shown at most, columns that are named, and the levels at which arrays are looked for.
MAX_ROW, MAX_COLUMNS, ARRAY_LEVELS = 2000, 60, 4

#: Items whose values are counted, and members of an object in which arrays are looked for.
MAX_COUNTED, MAX_SEARCHED_MEMBERS = 10_000, 1000

#: How an array of objects begins, and the bytes in which that is looked for.
ARRAY_OF_OBJECTS, PEEK = re.compile(rb"\[\s*\{"), 1000


def tabulated(body: bytes, room: int) -> str | None:
    """Return a JSON text with the first item of each large array of objects, and a stub that names their columns.

    Everything else is as in `body`. None if no array is large, or if that is longer than `room` characters.
    """
    written = _written(msgspec.json.decode(body, type=Json), "", room, ARRAY_LEVELS)
    return None if written is None or len(written) > room else written


def _written(value: Json, pointer: str, room: int, levels: int) -> str | None:
    """Return a value with tables, or None if it has none."""
    if not levels or size_of(value) * MIN_SHARE < room:
        return None
    members = few_members(value, MAX_SEARCHED_MEMBERS)
    return _table(value, pointer) if members is None else _of_object(members, pointer, room, levels)


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
    return f"{{{','.join(f'{json_string(name)}:{text}' for name, text in zip(members, texts, strict=True))}}}"


def _table(value: Json, pointer: str) -> str | None:
    """Return the first row and a stub for the others; None if not all items are objects."""
    if not ARRAY_OF_OBJECTS.match(memoryview(value)[:PEEK]):
        return None  # seen without reading all of it
    found = first_items(value, MAX_COUNTED)
    if found is None or found[1] < MIN_ITEMS:
        return None
    items, number = found
    counts = _counts(items)
    if counts is None:
        return None
    row = expand_value(items[0], f"{pointer}/0", MAX_ROW)
    among = f" of the first {MAX_COUNTED:,} items" if number > MAX_COUNTED else " of items"
    columns = f"columns, with the number{among} if not all have a value: {_columns(counts, len(items))}"
    stub = f"[expandResult {pointer}#1:{number} · {number - 1:,} more of {number:,} items · {columns}]"
    return f"[{row},{json_string(stub)}]"


def _counts(items: Sequence[Json]) -> Counter[str] | None:
    """Return for each column how many items have a value, None if an item is not an object."""
    counts: Counter[str] = Counter()
    for item in items:
        try:
            cells = msgspec.json.decode(item, type=dict[str, Json])
        except msgspec.ValidationError:
            return None
        for name, cell in cells.items():
            counts[name] += bytes(cell) != b"null"
    return counts


def _columns(counts: Counter[str], number: int) -> str:
    """Return the columns: those of which all items have a value, then others with the number of those that have."""
    full = [name for name, count in counts.items() if count == number]
    names = [*full, *(f"{name} ({count:,})" for name, count in counts.items() if count < number)]
    return ", ".join(
        [*names[:MAX_COLUMNS], *([f"{len(names) - MAX_COLUMNS:,} more"] if len(names) > MAX_COLUMNS else [])]
    )

"""Objects that contain themselves: a `$ref` that is followed where none is allowed may lead back to its own place.

Nothing downstream expects that, and it cannot be written as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portkey_bridge.document.repairs import Repairs
from portkey_bridge.errors import DocumentError

#: Values of a document, each as often as it is contained: a small document can contain very many.
MAX_UNFOLDED_VALUES = 20_000_000


def break_object_cycles(root: Any, repairs: Repairs) -> None:
    """Empty every object or list that would contain itself, in place. Raises DocumentError for too large a document."""
    sizes: dict[int, int] = {}
    path: list[tuple[Any, Iterator[tuple[Any, Any]], list[int]]] = []
    on_path: set[int] = set()

    def enter(value: Any) -> None:
        on_path.add(id(value))
        path.append((value, iter(list(_members(value))), [1]))

    enter(root)
    while path:
        value, members, size = path[-1]
        key, child = next(members, (None, None))
        if child is None:
            path.pop()
            on_path.discard(id(value))
            sizes[id(value)] = size[0]
            if path:
                path[-1][2][0] += size[0]
        elif id(child) in on_path:
            value[key] = type(child)()
            repairs.add("a $ref in place of a map or list leads back to itself; nothing is there", "#")
        elif id(child) in sizes:
            size[0] += sizes[id(child)]
        else:
            enter(child)
        if size[0] > MAX_UNFOLDED_VALUES:
            raise DocumentError("the document", "its references contain too many values", "Correct them.")


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    return ((key, child) for key, child in members if isinstance(child, dict | list))

"""A schema with everything that it refers to, at the places where its references look for it.

References stay as they are (RFC 6901 pointers in URI fragments), so a recursive schema ends, and a validator needs
nothing but the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from jsonpointer import JsonPointer

from portkey_bridge.openapi.pointers import lookup


def self_contained(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """Return a copy of the schema that holds what it refers to in the document `root`. Raises DanglingReference."""
    targets: dict[tuple[str, ...], Any] = {}
    pending: list[Any] = [schema]
    while pending:
        for reference in references(pending.pop()):
            place = tuple(JsonPointer(unquote(reference.removeprefix("#"))).parts)
            if place not in targets:
                targets[place] = lookup(root, reference)
                pending.append(targets[place])
    whole = dict(schema)
    for place in sorted(targets, key=len):
        if not any(place[:length] in targets for length in range(1, len(place))):  # else it came with what holds it
            _put(whole, place, targets[place])
    return whole


def references(value: Any) -> Iterator[str]:
    """Yield every local `$ref` in the value."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str) and reference.startswith("#/"):
            yield reference
        for item in value.values():
            yield from references(item)


def _put(whole: dict[str, Any], place: Sequence[str], target: Any) -> None:
    *path, last = place
    for part in path:
        whole = whole.setdefault(part, {})
    whole[last] = target

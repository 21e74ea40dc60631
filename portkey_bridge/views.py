"""The lazy view of a schema: as much of it as fits a budget, and stubs for the rest.

A stub keeps the true type and a short description, which ends in `[expandSchema POINTER]`. The pointer (RFC 6901)
addresses the fully expanded view, so it can be expanded again, to any depth. The budget goes to required parts first,
then to the small ones. The same schema and budget always give the same view.

A view is never wrong: what is valid under the schema is valid under the view.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonpointer import JsonPointer, JsonPointerException

from portkey_bridge.normalize import APPLICATORS
from portkey_bridge.operations import Schema
from portkey_bridge.shapes import Shape, Shapes, children

#: An expansion may be larger than a listing by this factor: somebody asked for it.
EXPANSION = 8

#: Characters of a description that a stub keeps.
STUB_DESCRIPTION = 60

#: Below this many characters it is not worth showing a part of a schema beside its stub.
WORTHWHILE = 120

#: What a tool listing shows besides structure. Clients refuse or ignore the rest of JSON Schema there.
LISTED = frozenset(
    (
        *("type", "description", "enum", "format", "default", "required", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
        *("properties", "items", "anyOf", "allOf", "additionalProperties"),
    )
)

#: Accepts every value, and still is a schema with a keyword, as portable clients want it.
UNTYPED_ITEMS = {"minLength": 0}

ANYTHING = {
    "anyOf": [
        *({"type": kind} for kind in ("string", "number", "boolean", "object", "null")),
        {"type": "array", "items": UNTYPED_ITEMS},
    ]
}


class PointerToNowhere(LookupError):
    """A pointer names nothing: `prefix` is the longest part that exists, `available` what can be appended to it."""

    def __init__(self, pointer: str, prefix: str, available: list[str]) -> None:
        self.pointer = pointer
        self.prefix = prefix
        self.available = available
        near = difflib.get_close_matches(pointer[len(prefix) :], available, n=1, cutoff=0.4)
        hint = f" Did you mean {prefix}{near[0]}?" if near else ""
        there = ", ".join(available[:40]) or "nothing that can be expanded"
        super().__init__(f"Nothing is at {pointer}.{hint} {prefix or 'The top level'} exists; below it: {there}")


@dataclass(frozen=True)
class _Child:
    path: tuple[str, ...]
    schema: Schema
    pointer: str
    required: bool

    @property
    def overhead(self) -> int:
        return len(self.path[-1]) + 4


class Views:
    """Views of one document's schemas, for the tool listing (`portable`) or for `expandSchema`."""

    def __init__(self, shapes: Shapes, *, portable: bool) -> None:
        self._shapes = shapes
        self._portable = portable

    def view(self, schema: Schema, budget: float, pointer: str = "") -> Shape:
        """Give the view of `schema` in about `budget` characters of compact JSON, and at least its first level.

        `pointer` is where the schema stands in the expanded view of its tool; the stubs continue it.
        """
        return self._render(schema, pointer, budget, frozenset())

    def expand(self, schema: Schema, pointer: str, budget: float) -> Shape:
        """Give the view of what stands at `pointer` in the expanded view of `schema`. Raises PointerToNowhere."""
        return self.view(self.locate(schema, pointer), budget, JsonPointer.from_parts(_parts(pointer)).path)

    def locate(self, schema: Schema, pointer: str) -> Schema:
        """Give the document's own schema at `pointer` in the expanded view of `schema`. Raises PointerToNowhere."""
        parts, at = _parts(pointer), 0
        while at < len(parts):
            paths = dict(children(self._shapes(schema)))
            path = next((path for path in paths if tuple(parts[at : at + len(path)]) == path), None)
            if path is None:
                raise PointerToNowhere(
                    JsonPointer.from_parts(parts).path,
                    JsonPointer.from_parts(parts[:at]).path,
                    [JsonPointer.from_parts(path).path for path in paths],
                )
            schema = paths[path]
            at += len(path)
        return schema

    def _render(self, schema: Schema, pointer: str, room: float, trail: frozenset[int]) -> Shape:
        """Give the whole schema where it fits, else its first level with as many whole or partial children as fit."""
        whole = self._whole(schema, room, trail)
        if whole is not None:
            return whole
        shape = self._shapes(schema)
        trail = trail | {id(shape)}
        parts = list(self._children(shape, pointer))
        shown = [self._smallest(child, trail) for child in parts]
        node = self._leaf(shape)
        room -= _size(node) + sum(_size(part) + child.overhead for part, child in zip(shown, parts, strict=True))
        for better in (self._wholes, self._stubs, self._partials):
            for index, rendered in better(parts, shown, room, trail):
                growth = _size(rendered) - _size(shown[index])
                if 0 < growth <= room:
                    room -= growth
                    shown[index] = rendered
        return self._complete(node, [(child.path, part) for child, part in zip(parts, shown, strict=True)])

    def _wholes(
        self, parts: list[_Child], shown: list[Shape], room: float, trail: frozenset[int]
    ) -> Iterator[tuple[int, Shape]]:
        """Yield the children that fit as a whole: the required ones first, then the small ones."""
        wholes = [
            (not child.required, _size(whole), index, whole)
            for index, child in enumerate(parts)
            if (whole := self._whole(child.schema, room + _size(shown[index]), trail)) is not None
        ]
        for _, _, index, whole in sorted(wholes, key=lambda candidate: candidate[:3]):
            yield index, whole

    def _stubs(
        self, parts: list[_Child], shown: list[Shape], room: float, trail: frozenset[int]
    ) -> Iterator[tuple[int, Shape]]:
        """Yield the stubs of the children of which only the type is shown so far."""
        for index, child in enumerate(parts):
            if "description" not in shown[index] and self._whole(child.schema, _size(shown[index]), trail) is None:
                yield index, self._stub(child)

    def _partials(
        self, parts: list[_Child], shown: list[Shape], room: float, trail: frozenset[int]
    ) -> Iterator[tuple[int, Shape]]:
        """Yield the required children that are too large to be whole, as far as they fit."""
        for index, child in enumerate(parts):
            spare = room + _size(shown[index])
            if child.required and _is_stub(shown[index]) and spare > WORTHWHILE and self._is_new(child, trail):
                rendered = self._render(child.schema, child.pointer, spare, trail)
                room -= _size(rendered) - _size(shown[index])
                yield index, rendered

    def _is_new(self, child: _Child, trail: frozenset[int]) -> bool:
        return id(self._shapes(child.schema)) not in trail

    def _whole(self, schema: Schema, room: float, trail: frozenset[int]) -> Shape | None:
        """Give the fully expanded schema, or None where it is recursive or larger than `room` characters."""
        shape = self._shapes(schema)
        if id(shape) in trail:
            return None
        trail = trail | {id(shape)}
        node = self._leaf(shape)
        room -= _size(node)
        rendered = []
        for child in self._children(shape, ""):
            whole = self._whole(child.schema, room - child.overhead, trail) if room > 0 else None
            if whole is None:
                return None
            room -= _size(whole) + child.overhead
            rendered.append((child.path, whole))
        return self._complete(node, rendered) if room >= 0 else None

    def _smallest(self, child: _Child, trail: frozenset[int]) -> Shape:
        """Give the least that is shown of a child: all of it where that is no longer than its stub.

        A listing shows the bare type of an optional argument where the budget is used up.
        """
        stub = self._stub(child)
        whole = self._whole(child.schema, _size(stub), trail)
        if self._portable and not child.required:
            return self._skeleton(child.schema, 3)
        return stub if whole is None else whole

    def _stub(self, child: _Child) -> Shape:
        text = shorten(self._shapes(child.schema).get("description", ""), STUB_DESCRIPTION)
        marked = f"{text} [expandSchema {child.pointer}]".strip()
        return {**self._skeleton(child.schema, 3), "description": marked}

    def _skeleton(self, schema: Schema, depth: int) -> Shape:
        """Give the types alone: of the schema, of its items, of its alternatives."""
        shape = self._shapes(schema)
        if shape.get("type") == "array":
            items = self._skeleton(shape["items"], depth - 1) if "items" in shape and depth else UNTYPED_ITEMS
            return {"type": "array", "items": items}
        if "type" in shape:
            return {"type": shape["type"]}
        if "anyOf" not in shape or not depth:
            return ANYTHING
        branches: list[Shape] = []
        for branch in shape["anyOf"]:
            skeleton = self._skeleton(branch, depth - 1)
            branches += [kind for kind in skeleton.get("anyOf", [skeleton]) if kind not in branches]
        return branches[0] if len(branches) == 1 else {"anyOf": branches}

    def _children(self, shape: Shape, pointer: str) -> Iterator[_Child]:
        required = shape.get("required", ())
        for path, schema in children(shape):
            if not self._portable or path[0] in LISTED:
                below = pointer + JsonPointer.from_parts(path).path
                yield _Child(path, schema, below, path[0] != "properties" or path[-1] in required)

    def _leaf(self, shape: Shape) -> Shape:
        """Give the keywords of a shape that hold no schemas, as far as this kind of view shows them."""
        leaf = {
            keyword: value
            for keyword, value in shape.items()
            if keyword not in APPLICATORS or (isinstance(value, bool) and keyword == "additionalProperties")
        }
        return _portable(leaf) if self._portable else leaf

    def _complete(self, leaf: Shape, rendered: list[tuple[tuple[str, ...], Shape]]) -> Shape:
        """Put the children into their places, required properties before the others."""
        node = dict(leaf)
        required = leaf.get("required", ())
        for path, part in sorted(
            rendered, key=lambda entry: entry[0][0] == "properties" and entry[0][1] not in required
        ):
            match APPLICATORS[path[0]]:
                case "one":
                    node[path[0]] = part
                case "list":
                    node.setdefault(path[0], []).append(part)
                case _:
                    node.setdefault(path[0], {})[path[1]] = part
        if self._portable:
            if node.get("type") == "array":
                node.setdefault("items", ANYTHING)
            if not node.keys() - {"description", "default"}:
                node |= ANYTHING
        return node


def _portable(leaf: Shape) -> Shape:
    """Give the keywords that a listing may have: enumerations of strings only, patterns that compile."""
    kept = {keyword: value for keyword, value in leaf.items() if keyword in LISTED}
    values = kept.get("enum", [])
    if not all(isinstance(value, str) for value in values):
        del kept["enum"]
        choice = "One of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "."
        kept["description"] = f"{kept.get('description', '')} {choice}".strip()
    if "pattern" in kept and not _compiles(kept["pattern"]):
        del kept["pattern"]
    return kept


def _compiles(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def _parts(pointer: str) -> list[str]:
    """Split a pointer into its parts. A leading `#` is a habit from references; `/` alone means the top level."""
    try:
        return list(JsonPointer(pointer.removeprefix("#").rstrip("/")).parts)
    except JsonPointerException as error:
        raise PointerToNowhere(pointer, "", ["/properties"]) from error


def _is_stub(view: Shape) -> bool:
    return str(view.get("description", "")).endswith("]") and "[expandSchema /" in view["description"]


def shorten(text: str, limit: int) -> str:
    """Give the first sentence of `text`, or as many whole words as fit `limit` characters and an ellipsis."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    sentence = text.partition(". ")[0]
    if len(sentence) < limit:
        return f"{sentence}."
    return f"{text[:limit].rpartition(' ')[0] or text[:limit]}…"


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

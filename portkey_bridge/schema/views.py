"""The lazy view of a schema: as much of it as fits a budget, and stubs for the rest.

A stub keeps the true type and a short description, which ends in `[expandSchema POINTER]`. The pointer (RFC 6901)
addresses the fully expanded view, so it can be expanded again, to any depth. The budget goes to required parts first,
then to the small ones. The same schema and budget always give the same view.

A view is never wrong: what is valid under the schema is valid under the view.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jsonpointer import unescape

from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.openapi.pointers import PointerToNowhere, pointer_to
from portkey_bridge.openapi.spec_tables import APPLICATORS
from portkey_bridge.schema.byte_strings import byte_format
from portkey_bridge.schema.listed import LISTED_ANYTHING, complete, is_stub
from portkey_bridge.schema.prose import plain, shorten
from portkey_bridge.schema.shapes import Shapes, subschemas
from portkey_bridge.schema.view_parts import (
    VERBATIM,
    Shown,
    ViewChild,
    ViewNode,
    Whole,
    of_bytes,
    of_type,
    sized,
    view_size,
)

#: Characters of an expansion, and by what factor it may be larger than a listing whose budget was set: somebody asked.
EXPANSION_BUDGET, EXPANSION_FACTOR = 4000, 8

#: Characters of a description that a stub keeps.
STUB_DESCRIPTION = 60

#: Below this many characters it is not worth showing a part of a schema beside its stub.
MIN_SCHEMA_PART = 120

#: With more characters than these to spare, optional parts are opened, too.
PLENTY = 10_000

#: The part of a budget that is kept for opening what is required, however much the first level takes: nothing can be
#: called without it.
KEPT_FOR_REQUIRED = 0.8

#: Characters of the largest view, whatever the budget: what schemas unfold to can double with every level.
MAX_VIEW = 1_000_000

#: Levels that are shown at once.
MAX_SCHEMA_LEVELS = 40


class _Level(NamedTuple):
    """The subschemas of a node, what is shown of each so far, the node's pointer, and the shapes around them."""

    parts: list[ViewChild]
    shown: list[Shown]
    pointer: str
    trail: frozenset[int]


class _TooDeep(Exception):
    """A schema has more levels than are shown at once, perhaps without end."""


class Views:
    """Views of one document's schemas, for the tool listing (`portable`) or for `expandSchema`.

    Those that are not `described` have types alone, and no stubs: what is left out is an object without properties.
    In those of answers, what is optional is opened as what is required: documents rarely say what is always there.
    """

    def __init__(self, shapes: Shapes, *, portable: bool, described: bool = True, of_answers: bool = False) -> None:
        self._portable, self._described = portable, described
        self._enough_for_optional = MIN_SCHEMA_PART if of_answers else PLENTY
        self._shapes = shapes
        self._nodes: dict[int, ViewNode] = {}
        self._skeletons: dict[tuple[int, int], Shown] = {}

    def view(self, schema: Schema, budget: float, pointer: str = "") -> Shape:
        """Return the view of `schema` in about `budget` characters of compact JSON, and at least its first level.

        `pointer` is the place of the schema in the expanded view of its tool; the stubs continue it. The view is
        shared: do not change it.
        """
        return self._render(self._node(schema), pointer, min(budget, MAX_VIEW), frozenset())

    def expand(self, schema: Schema, pointer: str, budget: float, root: str = "") -> Shape:
        """Return the view of the schema at `pointer` in the expanded view of `schema`. Raises PointerToNowhere.

        The pointers of its stubs begin with `root`.
        Of an input schema, which is made for one tool and not the document's own, nothing is kept.
        """
        _, shape, pointer = self._find(schema, pointer)
        node = self._nodes.get(id(shape)) or self._new_node(shape)
        return self._render(node, root + pointer, min(budget, MAX_VIEW), frozenset())

    def locate(self, schema: Schema, pointer: str) -> Schema:
        """Return the document's own schema at `pointer` in the expanded view of `schema`. Raises PointerToNowhere."""
        return self._find(schema, pointer)[0]

    def _find(self, schema: Schema, pointer: str) -> tuple[Schema, Shape, str]:
        """Return the schema, its shape and its exact pointer.

        The habits of references and paths are understood: a `#` before, a `/` too few before, one too many behind.
        """
        pointer = "/" + pointer.removeprefix("#").removeprefix("/") if pointer not in ("", "#") else ""
        try:
            return (*self._at(schema, pointer), pointer)
        except PointerToNowhere:
            if not pointer.endswith("/"):
                raise
            return self._find(schema, pointer.rstrip("/"))

    def _at(self, schema: Schema, pointer: str) -> tuple[Schema, Shape]:
        parts = [unescape(part) for part in pointer.split("/")[1:]]
        shape, at = self._shapes.once(schema), 0
        while at < len(parts):
            paths = dict(subschemas(shape))
            path = next((path for end in (1, 2) if (path := tuple(parts[at : at + end])) in paths), None)
            if path is None:
                below = [pointer_to(path) for path in paths]
                raise PointerToNowhere(pointer, pointer_to(parts[:at]), below)
            schema = paths[path]
            shape = self._shapes(schema)
            at += len(path)
        return schema, shape

    def _node(self, schema: Schema) -> ViewNode:
        """Return the node of a schema. There is one for each shape."""
        shape = self._shapes(schema)
        node = self._nodes.get(id(shape))
        if node is None:
            node = self._nodes[id(shape)] = self._new_node(shape)
        return node

    def _new_node(self, shape: Shape) -> ViewNode:
        return ViewNode(shape, portable=self._portable, described=self._described)

    def _render(self, node: ViewNode, pointer: str, room: float, trail: frozenset[int]) -> Shape:
        """Return the whole schema if it fits, else its first level with as many subschemas as fit, whole or in part."""
        whole = self._whole(node, room)
        if whole is not None:
            return whole.view
        parts = list(self._children(node))
        shown = [self._smallest(child, pointer) for child in parts]
        level = _Level(parts, shown, pointer, trail | {id(node.shape)})
        kept = -math.inf if trail else room * KEPT_FOR_REQUIRED
        room -= node.leaf.size + sum(part.size + child.overhead for part, child in zip(shown, parts, strict=True))
        for better in (self._wholes, self._stubs, self._partials):
            if better == self._partials:
                room = max(room, kept)
            for index, rendered in better(level, room):
                growth = rendered.size - shown[index].size
                if growth <= room:
                    room -= growth
                    shown[index] = rendered
        return self._complete(node, parts, [part.view for part in shown])

    def _wholes(self, level: _Level, room: float) -> Iterator[tuple[int, Shown]]:
        """Yield the subschemas that fit as a whole: the required ones first, then the small ones."""
        wholes = [
            (not child.required, whole.size, index, whole.view)
            for index, child in enumerate(level.parts)
            if (whole := self._whole(child.node, room + level.shown[index].size)) is not None
        ]
        for _, size, index, view in sorted(wholes, key=lambda candidate: candidate[:3]):
            yield index, Shown(view, size)

    def _stubs(self, level: _Level, room: float) -> Iterator[tuple[int, Shown]]:
        """Yield the stubs of the subschemas of which only the type is shown so far. They are longer than that."""
        if room <= 0 or not self._described:
            return
        for index, (child, shown) in enumerate(zip(level.parts, level.shown, strict=True)):
            if "description" not in shown.view and self._whole(child.node, shown.size) is None:
                yield index, sized(self._stub(child, level.pointer))

    def _partials(self, level: _Level, room: float) -> Iterator[tuple[int, Shown]]:
        """Yield subschemas that are too large to be whole, as far as they fit: the required ones, then the others.

        The ancestors of a child are not opened inside it again, so recursion ends in a stub.
        """
        for index, child in sorted(enumerate(level.parts), key=lambda entry: not entry[1].required):
            shown = level.shown[index]
            spare = room + shown.size
            enough = MIN_SCHEMA_PART if child.required else self._enough_for_optional
            is_new = id(child.node.shape) not in level.trail and len(level.trail) < MAX_SCHEMA_LEVELS
            if spare > enough and is_new and (is_stub(shown.view) or self._is_bare(child, shown)):
                rendered = sized(self._render(child.node, child.below(level.pointer), spare, level.trail))
                growth = rendered.size - shown.size
                room -= growth if growth <= room else 0
                yield index, rendered

    def _is_bare(self, child: ViewChild, shown: Shown) -> bool:
        """Check whether a view of types shows less of a child than there is."""
        return not self._described and self._whole(child.node, shown.size) is None

    def _whole(self, node: ViewNode, room: float) -> Whole | None:
        """Return the fully expanded schema, or None where it is recursive, or too deep, or larger than `room`."""
        try:
            return self._unfold(node, room, 0)
        except _TooDeep:
            node.too_small = math.inf
            return None

    def _unfold(self, node: ViewNode, room: float, depth: int) -> Whole | None:
        """Expand a schema once and for all, or remember how much room was not enough.

        So the work is bounded by the room and by the number of schemas, and not by the ways that lead to them. A
        recursive schema is one that is too deep.
        """
        if room <= node.too_small:
            return None
        if depth + (node.whole.height if node.whole else 0) >= MAX_SCHEMA_LEVELS:
            raise _TooDeep
        node.whole = node.whole or self._unfold_children(node, room, depth + 1)
        if node.whole is None or node.whole.size > room:
            node.too_small = room
            return None
        return node.whole

    def _unfold_children(self, node: ViewNode, room: float, depth: int) -> Whole | None:
        room -= node.leaf.size
        height = 0
        parts, views = [], []
        for child in self._children(node):
            room -= child.overhead
            whole = self._unfold(child.node, room, depth)
            if whole is None:
                return None
            room -= whole.size
            height = max(height, whole.height)
            parts.append(child)
            views.append(whole.view)
        view = self._complete(node, parts, views)
        return Whole(view, view_size(view), height + 1)

    def _smallest(self, child: ViewChild, pointer: str) -> Shown:
        """Return the shortest form of a child: all of it if that is not longer than its stub.

        A listing shows the bare type of an optional argument where the budget is used up, and so does a view of types.
        """
        if not self._described or (self._portable and not child.required):
            return self._skeleton(child.node, 3)
        stub = sized(self._stub(child, pointer))
        whole = self._whole(child.node, stub.size)
        return stub if whole is None else Shown(whole.view, whole.size)

    def _stub(self, child: ViewChild, pointer: str) -> Shape:
        text = shorten(plain(child.node.shape.get("description", "")), STUB_DESCRIPTION)
        marked = f"{text} [expandSchema {child.below(pointer)}]".strip()
        kinds = self._outline(child.node, 3) if child.required else self._skeleton(child.node, 3).view
        return {**kinds, "description": marked}

    def _outline(self, node: ViewNode, depth: int) -> Shape:
        """Return the types alone, and for a choice between objects what all have in common: enough to make a call."""
        if node.listed.get("type") == "array" and "items" in node.listed and depth:
            return {"type": "array", "items": self._outline(self._node(node.listed["items"]), depth - 1)}
        branches = [self._shapes(branch) for branch in node.listed.get("anyOf", ())]
        if len(branches) < 2 or any(branch.get("type") != "object" for branch in branches):
            return self._skeleton(node, depth).view
        common = [name for name in branches[0].get("properties", {}) if all(_has(name, each) for each in branches)]
        needed = [name for name in common if all(name in branch.get("required", ()) for branch in branches)]
        properties = {name: self._united([branch["properties"][name] for branch in branches], 2) for name in common}
        return {
            "type": "object",
            **({"properties": properties} if properties else {}),
            **({"required": needed} if needed else {}),
        }

    def _skeleton(self, node: ViewNode, depth: int) -> Shown:
        """Return the types alone: of the schema, of its items, of its alternatives. Of bytes it says that they are."""
        if (form := byte_format(node.shape)) is not None and node.shape.get("type", "string") == "string":
            return of_bytes(form)
        kind = node.shape.get("type", "array")
        if kind != "array":
            return of_type(kind)
        key = (id(node), depth)
        if key not in self._skeletons:
            self._skeletons[key] = sized(self._make_skeleton(node.listed, depth))
        return self._skeletons[key]

    def _make_skeleton(self, shape: Shape, depth: int) -> Shape:
        if shape.get("type") == "array":
            below = self._skeleton(self._node(shape["items"]), depth - 1).view if "items" in shape and depth else None
            return {"type": "array", "items": below or LISTED_ANYTHING}
        if "anyOf" not in shape or not depth:
            return LISTED_ANYTHING
        return self._united(shape["anyOf"], depth - 1)

    def _united(self, schemas: Iterable[Schema], depth: int) -> Shape:
        """Return the types of several schemas of which one applies."""
        branches: list[Shape] = []
        for schema in schemas:
            skeleton = self._skeleton(self._node(schema), depth).view
            branches += [kind for kind in skeleton.get("anyOf", [skeleton]) if kind not in branches]
        return branches[0] if len(branches) == 1 else {"anyOf": branches}

    def _children(self, node: ViewNode) -> Iterator[ViewChild]:
        required = frozenset(node.shown.get("required", ()))
        for path, schema in subschemas(node.shown):
            if path[0] not in VERBATIM:
                yield ViewChild(path, self._node(schema), path[0] != "properties" or path[-1] in required)

    def _complete(self, node: ViewNode, parts: Iterable[ViewChild], views: Iterable[Shape]) -> Shape:
        """Put the views of its subschemas into a node's own, required properties before the others."""
        view = dict(node.leaf.view)
        for (path, *_), part in sorted(zip(parts, views, strict=True), key=lambda entry: not entry[0].required):
            match APPLICATORS[path[0]]:
                case "one":
                    view[path[0]] = part
                case "list":
                    view.setdefault(path[0], []).append(part)
                case _:
                    view.setdefault(path[0], {})[path[1]] = part
        if self._portable:
            complete(view)
        return view


def _has(name: str, shape: Shape) -> bool:
    return name in shape.get("properties", {})

"""How two versions of a document differ as tools, for people and for continuous integration.

A change is breaking if a call that was right before may be refused or mean something else: for JSON Schema, if the new
schema refuses values that the old one took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from portkey_bridge.openapi.keywords import Shape, bounds
from portkey_bridge.openapi.pointers import encode
from portkey_bridge.schema.prose import plain, shorten
from portkey_bridge.schema.shapes import Shapes, subschemas
from portkey_bridge.tools.catalog import Tool

#: Keywords that narrow a schema by being there. How two values of one compare is not known.
RESTRICTIONS = ("pattern", "multipleOf", "uniqueItems", "not", "if", "dependentRequired", "propertyNames", "contains")

#: Longest value that a change shows, in characters.
SHOWN = 80


@dataclass(frozen=True)
class Change:
    """One change: its kind, the tool, the JSON pointer into its arguments if it is about them, and the details."""

    kind: str
    tool: str
    pointer: str
    detail: str
    breaking: bool


@dataclass(frozen=True)
class Version:
    """One version of a document: its tools, and the shapes of its schemas."""

    tools: Sequence[Tool]
    shapes: Shapes


def difference(old: Version, new: Version) -> list[Change]:
    """Return the changes from one version to another, by the operations' methods and paths, in the new order."""
    before, after = _by_operation(old.tools), _by_operation(new.tools)
    changes = [
        Change("removed", tool.name, "", f"{tool.operation.method} {tool.operation.path}", True)
        for key, tool in before.items()
        if key not in after
    ]
    for key, tool in after.items():
        if key in before:
            changes += _Comparison(tool.name, old.shapes, new.shapes).tools(before[key], tool)
        else:
            changes.append(Change("added", tool.name, "", f"{tool.operation.method} {tool.operation.path}", False))
    return changes


def _by_operation(tools: Iterable[Tool]) -> dict[tuple[str, str], Tool]:
    return {(tool.operation.method, tool.operation.path): tool for tool in tools}


class _Comparison:
    """Compares the two versions of one tool."""

    def __init__(self, tool: str, old: Shapes, new: Shapes) -> None:
        self._tool = tool
        self._shapes = old, new
        self._seen: set[tuple[int, int]] = set()

    def tools(self, old: Tool, new: Tool) -> Iterator[Change]:
        """Yield what has changed between two versions of a tool."""
        if old.name != new.name:
            yield self._change("renamed", "", f"from {old.name}", breaking=True)
        yield from self._differing("description", plain(_words(old)), plain(_words(new)))
        yield from self._differing("servers", _servers(old), _servers(new))
        yield from self._security(old, new)
        yield from self.arguments(old, new)

    def _security(self, old: Tool, new: Tool) -> Iterator[Change]:
        before, after = _security(old), _security(new)
        if before != after:
            breaking = bool(after) and not set(before) & set(after)
            yield self._change("security", "", f"{_shown(before)} → {_shown(after)}", breaking=breaking)

    def _differing(self, kind: str, old: str, new: str, pointer: str = "") -> Iterator[Change]:
        if old != new:
            detail = f"{shorten(old, SHOWN) or 'none'} → {shorten(new, SHOWN) or 'none'}"
            yield self._change(kind, pointer, detail, breaking=False)

    def arguments(self, old: Tool, new: Tool) -> Iterator[Change]:
        """Yield what has changed in the arguments."""
        yield from self._objects(old.arguments.each, new.arguments.each, "", "argument")

    def schemas(self, old: Any, new: Any, pointer: str) -> Iterator[Change]:
        """Yield where the new schema takes fewer or more values than the old one."""
        if (id(old), id(new)) in self._seen:
            return
        self._seen.add((id(old), id(new)))
        before, after = self._shapes[0](old), self._shapes[1](new)
        words = [
            " ".join(plain(str(shape.get(name) or "")) for name in ("title", "description"))
            for shape in (before, after)
        ]
        yield from self._differing("description", words[0].strip(), words[1].strip(), pointer)
        if "anyOf" in before or "anyOf" in after:
            yield from self._unions(before, after, pointer)
            return
        yield from self._sets("type", _types([before]), _types([after]), pointer)
        if _types([before]) == _types([after]):
            yield from self._sets("enum", _values(before), _values(after), pointer)
            yield from self._bounds(before, after, pointer)
            yield from self._objects(before, after, pointer, "property")
            yield from self._below(before, after, pointer)

    def _unions(self, old: Shape, new: Shape, pointer: str) -> Iterator[Change]:
        """Compare alternatives: those of one type with each other, whatever their order, then the rest in order."""
        before, after = (list(shape.get("anyOf") or [shape]) for shape in (old, new))
        pairs = list(self._pairs(before, after))
        rest = [
            [branch for branch in branches if not any(branch is pair[side] for pair in pairs)]
            for side, branches in enumerate((before, after))
        ]
        pairs += zip(*rest, strict=False)
        for first, second in pairs:
            at = next(at for at, branch in enumerate(after) if branch is second)
            yield from self.schemas(first, second, f"{pointer}/anyOf/{at}" if "anyOf" in new else pointer)
        if len(before) != len(after):
            fewer = len(after) < len(before)
            detail = f"{len(before)} alternatives → {len(after)}"
            yield self._change("narrowed" if fewer else "widened", pointer, detail, breaking=fewer)

    def _pairs(self, old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield the alternatives whose type no other alternative has, on both sides."""
        before, after = (
            {types: branch for types, branch in typed if sum(types == other for other, _ in typed) == 1}
            for typed in (
                [(_types([shapes(branch)]), branch) for branch in branches]
                for shapes, branches in zip(self._shapes, (old, new), strict=True)
            )
        )
        yield from ((before[types], after[types]) for types in before.keys() & after.keys())

    def _sets(self, keyword: str, old: frozenset[str], new: frozenset[str], pointer: str) -> Iterator[Change]:
        """Compare the values that a keyword allows; an empty set allows all."""
        if old == new:
            return
        narrowed = not _covers(new, old)
        detail = f"{keyword}: {', '.join(sorted(old)) or 'any'} → {', '.join(sorted(new)) or 'any'}"
        yield self._change(
            "narrowed" if narrowed else "widened", pointer, shorten(detail, 2 * SHOWN), breaking=narrowed
        )

    def _bounds(self, old: Shape, new: Shape, pointer: str) -> Iterator[Change]:
        for keyword in (*bounds("lower"), *bounds("upper"), *RESTRICTIONS, "format"):
            before, after = old.get(keyword), new.get(keyword)
            if before == after:
                continue
            narrowed = after is not None and (before is None or not _is_looser(keyword, before, after))
            detail = f"{keyword}: {_shown(before)} → {_shown(after)}"
            yield self._change("narrowed" if narrowed else "widened", pointer, detail, breaking=narrowed)

    def _objects(self, old: Shape, new: Shape, pointer: str, kind: str) -> Iterator[Change]:
        """Compare the properties of two objects, which may be the arguments of a tool."""
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in before.keys() - after.keys():
            yield self._change(f"{kind} removed", f"{pointer}/{encode(name)}", "", breaking=True)
        for name, schema in after.items():
            below = f"{pointer}/{encode(name)}"
            if name not in before:
                yield self._change(f"{kind} added", below, "required" * (name in needs), breaking=name in needs)
                continue
            if (name in needs) != (name in needed):
                now = "newly required" if name in needs else "no longer required"
                yield self._change(now, below, "", breaking=name in needs)
            yield from self.schemas(before[name], schema, below)

    def _below(self, old: Shape, new: Shape, pointer: str) -> Iterator[Change]:
        """Compare the other subschemas, such as the items of an array."""
        before, after = dict(subschemas(old)), dict(subschemas(new))
        for tokens in before.keys() & after.keys():
            if tokens[0] not in ("properties", *RESTRICTIONS):
                yield from self.schemas(before[tokens], after[tokens], "/".join((pointer, *map(encode, tokens))))
        closed = [shape.get("additionalProperties") is False for shape in (old, new)]
        if closed[0] != closed[1]:
            kind = "narrowed" if closed[1] else "widened"
            yield self._change(kind, pointer, "further properties", breaking=closed[1])

    def _change(self, kind: str, pointer: str, detail: str, *, breaking: bool) -> Change:
        return Change(kind, self._tool, pointer, detail, breaking)


def _words(tool: Tool) -> str:
    return tool.curation.description or f"{tool.operation.summary} {tool.operation.description}".strip()


def _servers(tool: Tool) -> str:
    return ", ".join(server.url for server in tool.operation.servers)


def _security(tool: Tool) -> list[str]:
    """Return each alternative of the credentials, `none` for the one that needs no credential."""
    return sorted(
        " and ".join(sorted(f"{scheme.key} ({scheme.type})" for scheme in option)) or "none"
        for option in tool.operation.security
    )


def _types(shapes: Iterable[Shape]) -> frozenset[str]:
    """Return the types of values that any of the shapes takes; empty if any takes all."""
    types = [shape.get("type") for shape in shapes]
    return frozenset() if None in types else frozenset(map(str, types))


def _values(shape: Shape) -> frozenset[str]:
    return frozenset(map(_shown, shape.get("enum", ())))


def _covers(new: frozenset[str], old: frozenset[str]) -> bool:
    """Check whether everything that the old set allows is allowed by the new one; an integer is a number."""
    if not new:
        return True
    return bool(old) and all(value in new or (value == "integer" and "number" in new) for value in old)


def _is_looser(keyword: str, old: Any, new: Any) -> bool:
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return False
    return (keyword in bounds("lower") and new <= old) or (keyword in bounds("upper") and new >= old)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(map(str, value)) or "none"
    return "none" if value is None else shorten(str(value), SHOWN)


def breaks(changes: Iterable[Change], policy: str | None) -> bool:
    """Check whether a policy, `breaking` or `any`, objects to the changes. Without one, nothing does."""
    return policy is not None and any(change.breaking or policy == "any" for change in changes)


def summary(changes: Sequence[Change]) -> str:
    """Return the changes in a few words."""
    counts = Counter(change.kind for change in changes)
    breaking = sum(change.breaking for change in changes)
    words = ", ".join(f"{count} × {kind}" for kind, count in counts.most_common())
    return f"{words or 'nothing that concerns the tools'}" + (f" ({breaking} breaking)" if breaking else "")

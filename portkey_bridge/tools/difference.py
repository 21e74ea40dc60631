"""How two versions of a document differ as tools, for people and for continuous integration.

A change is breaking if a call that was right before may be refused or mean something else: for JSON Schema, if the new
schema refuses values that the old one took.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

from portkey_bridge.openapi.keywords import Shape, bounds
from portkey_bridge.openapi.model import SecurityScheme
from portkey_bridge.openapi.pointers import encode_token, pointer_to
from portkey_bridge.schema.prose import plain, shorten
from portkey_bridge.schema.shapes import Shapes, subschemas
from portkey_bridge.tools.catalog import Tool

#: Keywords that narrow a schema by being there. How two values of one compare is not known.
RESTRICTIONS = ("pattern", "multipleOf", "uniqueItems", "not", "if", "dependentRequired", "propertyNames", "contains")

#: Longest value that a change shows, in characters.
MAX_SHOWN_CHANGE = 80


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
    """Return the changes from one version to another, by the operations' methods and paths, in the new order.

    Those of security schemes, which concern many tools, come first and name no tool.
    """
    before, after = _by_operation(old.tools), _by_operation(new.tools)
    changes = list(_schemes(before.values(), after.values()))
    changes += [
        Change("removed", tool.name, "", str(tool.operation), True) for key, tool in before.items() if key not in after
    ]
    for key, tool in after.items():
        if key in before:
            changes += _Comparison(tool.name, old.shapes, new.shapes).tools(before[key], tool)
        else:
            changes.append(Change("added", tool.name, "", str(tool.operation), False))
    return changes


def _by_operation(tools: Iterable[Tool]) -> dict[tuple[str, str], Tool]:
    return {(tool.operation.method, tool.operation.path): tool for tool in tools}


def _schemes(old: Iterable[Tool], new: Iterable[Tool]) -> Iterator[Change]:
    """Yield where the credentials of the schemes that both versions use go now, and where they come from."""
    before, after = (
        {scheme.key: scheme for tool in tools for alternative in tool.operation.security for scheme in alternative}
        for tools in (old, new)
    )
    for key, scheme in after.items():
        if key in before:
            places, sources = ([said(each) for each in (before[key], scheme)] for said in (_place, _sources))
            for (first, second), breaking in ((places, True), (sources, False)):
                if first != second:
                    yield Change("security scheme", "", pointer_to([key]), _changed(first, second), breaking)


def _place(scheme: SecurityScheme) -> str:
    """Return where a credential goes."""
    return f"{scheme.scheme} in {scheme.location} {scheme.name}".strip()


def _sources(scheme: SecurityScheme) -> str:
    """Return the URLs that tokens are obtained from."""
    flows = [
        (each.authorization_url, each.device_authorization_url, each.token_url, each.refresh_url)
        for each in scheme.flows
    ]
    return " ".join(filter(None, (scheme.openid_connect_url, *chain.from_iterable(flows))))


class _Comparison:
    """Compares the two versions of one tool."""

    def __init__(self, tool: str, old: Shapes, new: Shapes) -> None:
        self._tool = tool
        self._shapes = old, new
        self._seen: set[tuple[int, int]] = set()

    def tools(self, old: Tool, new: Tool) -> Iterator[Change]:
        """Yield the changes between two versions of a tool."""
        if old.name != new.name:
            yield self._change("renamed", "", f"from {old.name}", breaking=True)
        yield from self._differing("description", plain(_words(old)), plain(_words(new)))
        yield from self._deprecation(old.operation.deprecated, new.operation.deprecated)
        yield from self._differing("servers", _servers(old), _servers(new))
        yield from self._differing("annotations", _annotations(old), _annotations(new))
        yield from self._security(old, new)
        yield from self.arguments(old, new)

    def _security(self, old: Tool, new: Tool) -> Iterator[Change]:
        before, after = _security(old), _security(new)
        if before != after:
            lost = any(not any(_suffices(each, needed) for needed in after or [{}]) for each in before or [{}])
            yield self._change("security", "", f"{_alternatives(before)} → {_alternatives(after)}", breaking=lost)

    def _deprecation(self, old: bool, new: bool, pointer: str = "") -> Iterator[Change]:
        if old != new:
            yield self._change("deprecated" if new else "no longer deprecated", pointer, "", breaking=False)

    def _differing(self, kind: str, old: str, new: str, pointer: str = "") -> Iterator[Change]:
        if old != new:
            yield self._change(kind, pointer, _changed(old, new), breaking=False)

    def arguments(self, old: Tool, new: Tool) -> Iterator[Change]:
        """Yield the changes of the arguments."""
        yield from self._objects(old.arguments.schema_of_each, new.arguments.schema_of_each, "", "argument")

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
        yield from self._deprecation(before.get("deprecated") is True, after.get("deprecated") is True, pointer)
        yield from self._default(before, after, pointer)
        if "anyOf" in before or "anyOf" in after:
            yield from self._unions(before, after, pointer)
            return
        yield from self._sets("type", _types([before]), _types([after]), pointer)
        if _types([before]) == _types([after]):
            yield from self._sets("enum", _values(before), _values(after), pointer)
            yield from self._bounds(before, after, pointer)
            yield from self._objects(before, after, pointer, "property")
            yield from self._below(before, after, pointer)

    def _default(self, old: Shape, new: Shape, pointer: str) -> Iterator[Change]:
        """Compare what the API assumes if the value is missing: with another default, a call means something else."""
        before, after = ("default" in shape and [shape["default"]] for shape in (old, new))
        if before != after:
            shown = [_value(each[0]) if each else "none" for each in (before, after)]
            yield self._change("default", pointer, " → ".join(shown), breaking=bool(before and after))

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
        if len(detail) > 2 * MAX_SHOWN_CHANGE and old and new:
            parts = [f"{sign} {', '.join(sorted(each))}" for sign, each in (("-", old - new), ("+", new - old)) if each]
            detail = f"{keyword}: {' '.join(parts)}"
        kind = "narrowed" if narrowed else "widened"
        yield self._change(kind, pointer, shorten(detail, 4 * MAX_SHOWN_CHANGE), breaking=narrowed)

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
            yield self._change(f"{kind} removed", f"{pointer}/{encode_token(name)}", "", breaking=True)
        for name, schema in after.items():
            below = f"{pointer}/{encode_token(name)}"
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
                yield from self.schemas(before[tokens], after[tokens], "/".join((pointer, *map(encode_token, tokens))))
        closed = [shape.get("additionalProperties") is False for shape in (old, new)]
        if closed[0] != closed[1]:
            kind = "narrowed" if closed[1] else "widened"
            yield self._change(kind, pointer, "further properties", breaking=closed[1])

    def _change(self, kind: str, pointer: str, detail: str, *, breaking: bool) -> Change:
        return Change(kind, self._tool, pointer, detail, breaking)


def _words(tool: Tool) -> str:
    return tool.curation.description or f"{tool.operation.summary} {tool.operation.description}".strip()


def _annotations(tool: Tool) -> str:
    """Return what a call does, and whether a person confirms it."""
    said = zip(("read-only", "destructive", "idempotent"), tool.effect, strict=True)
    return ", ".join([word for word, is_so in said if is_so] + ["confirmed"] * tool.is_confirmed)


def _servers(tool: Tool) -> str:
    return ", ".join(server.url for server in tool.operation.servers)


Alternative = Mapping[tuple[str, str], frozenset[str]]
"""The scopes of each scheme that is needed together with the others, by its name and type."""


def _security(tool: Tool) -> list[Alternative]:
    """Return each alternative of the credentials; one without any needs none."""
    return [{(each.key, each.type): frozenset(each.scopes) for each in option} for option in tool.operation.security]


def _suffices(had: Alternative, needed: Alternative) -> bool:
    """Check whether who had the credentials of one alternative has those of another."""
    return all(scheme in had and scopes <= had[scheme] for scheme, scopes in needed.items())


def _alternatives(alternatives: Iterable[Alternative]) -> str:
    def shown(key: str, kind: str, scopes: Iterable[str]) -> str:
        return f"{key} ({': '.join(filter(None, (kind, ', '.join(sorted(scopes)))))})"

    each = (sorted(shown(*scheme, scopes) for scheme, scopes in each.items()) for each in alternatives)
    return " or ".join(sorted(" and ".join(words) or "none" for words in each)) or "none"


def _changed(old: str, new: str) -> str:
    """Return both texts from shortly before the first difference on."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    start = old.rfind(" ", 0, same - MAX_SHOWN_CHANGE // 4) + 1 if same > MAX_SHOWN_CHANGE // 4 else 0
    ends = (
        text[start : start + MAX_SHOWN_CHANGE] + "…" * (len(text) > start + MAX_SHOWN_CHANGE) for text in (old, new)
    )
    shown = (f"{'… ' * bool(start)}{end}" if end else "none" for end in ends)
    return " → ".join(shown)


def _types(shapes: Iterable[Shape]) -> frozenset[str]:
    """Return the types of values that any of the shapes takes; empty if any takes all."""
    types = [shape.get("type") for shape in shapes]
    return frozenset() if None in types else frozenset(map(str, types))


def _values(shape: Shape) -> frozenset[str]:
    return frozenset(map(_value, shape.get("enum", ())))


def _covers(new: frozenset[str], old: frozenset[str]) -> bool:
    """Check whether everything that the old set allows is allowed by the new one; an integer is a number."""
    if not new:
        return True
    return bool(old) and all(value in new or (value == "integer" and "number" in new) for value in old)


def _is_looser(keyword: str, old: Any, new: Any) -> bool:
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return False
    return (keyword in bounds("lower") and new <= old) or (keyword in bounds("upper") and new >= old)


def _value(value: Any) -> str:
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), MAX_SHOWN_CHANGE)


def _shown(value: Any) -> str:
    return "none" if value is None else _value(value)


def breaks(changes: Iterable[Change], policy: str | None) -> bool:
    """Check whether a policy, `breaking` or `any`, objects to the changes. Without one, nothing does."""
    return policy is not None and any(change.breaking or policy == "any" for change in changes)


def summary(changes: Sequence[Change]) -> str:
    """Return the changes in a few words."""
    counts = Counter(change.kind for change in changes)
    breaking = sum(change.breaking for change in changes)
    words = ", ".join(f"{count} × {kind}" for kind, count in counts.most_common())
    return f"{words or 'nothing that concerns the tools'}" + (f" ({breaking} breaking)" if breaking else "")

"""Several schemas that all hold, as one: `allOf` is merged as far as merging loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from portkey_bridge.openapi.coercion import as_list
from portkey_bridge.openapi.keywords import KEYWORDS, KEYWORDS_OF_TYPE, Schema, Shape, bounds, with_value

#: No value fits.
NO_VALUE: Shape = {"not": {}}

#: The types that a value has, the narrowest first, by its type in Python.
TYPES: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
}

#: How many values a type has, where they can be counted.
COUNTS = {"null": 1, "boolean": 2}

#: Keywords that mean something only beside each other, by each of them: they are merged together or not at all.
GROUPS = {
    name: frozenset(other for other, about in KEYWORDS.items() if about.beside == keyword.beside)
    for name, keyword in KEYWORDS.items()
    if keyword.beside
}


def merge(conjuncts: Iterable[Shape]) -> Shape:
    """Merge schemas that all hold into one; what cannot be merged stays behind in `allOf`."""
    shape: Shape = {}
    residue: list[Schema] = []
    for conjunct in conjuncts:
        for keyword, value in _renamed(conjunct):
            if keyword not in shape:
                shape[keyword] = value
            elif keyword in KEYWORD_MERGERS:
                shape[keyword] = KEYWORD_MERGERS[keyword](shape[keyword], value)
            elif shape[keyword] != value:
                residue.append({keyword: value})
        residue.extend(filter(None, [_merge_group(shape, part) for part in _grouped(conjunct)]))
    if residue:
        shape["allOf"] = residue
    return shape


def _merge_group(shape: Shape, part: Shape) -> Shape | None:
    """Merge keywords that mean something only beside each other into a shape, or return what cannot be merged."""
    present = shape.keys() & GROUPS[next(iter(part))]
    if not present:
        shape.update(part)
    elif present | part.keys() <= KEYWORD_MERGERS.keys():
        shape.update({keyword: KEYWORD_MERGERS[keyword](shape[keyword], value) for keyword, value in part.items()})
    elif any(shape.get(keyword) != value for keyword, value in part.items()):
        return part
    return None


def _grouped(conjunct: Shape) -> Iterable[Shape]:
    """Return the keywords of a schema that mean something only beside each other, each with those."""
    grouped: dict[frozenset[str], Shape] = {}
    for keyword, value in conjunct.items():
        if keyword in GROUPS:
            grouped.setdefault(GROUPS[keyword], {})[keyword] = value
    return grouped.values()


def _renamed(conjunct: Shape) -> Iterator[tuple[str, Any]]:
    """Yield single keywords and values, `const` as `enum` and `oneOf` as `anyOf`, without those that compose or name.

    That exactly one branch fits is for the API to judge: the branches of many documents overlap.
    """
    for keyword, value in conjunct.items():
        if keyword == "const":
            yield "enum", [value]
        elif keyword == "oneOf":
            yield "anyOf", value
        elif keyword not in GROUPS and keyword != "allOf" and not keyword.startswith("$"):
            yield keyword, value


def _both(first: Schema, second: Schema) -> Schema:
    return first if first == second else {"allOf": [first, second]}


def _all_of_each(first: dict[str, Schema], second: dict[str, Schema]) -> dict[str, Schema]:
    shared = {name: _both(first[name], second[name]) for name in first.keys() & second.keys()}
    return {name: shared.get(name, schema) for name, schema in {**first, **second}.items()}


def _common_types(first: Any, second: Any) -> Any:
    one, other = as_list(first), as_list(second)
    common = [kind for kind in one if kind in other or (kind == "integer" and "number" in other)]
    common += [kind for kind in other if kind == "integer" and "number" in one and kind not in common]
    return common or first  # types that exclude each other: no value fits, and the validator says so


def _common_values(first: list[Any], second: list[Any]) -> list[Any]:
    return [value for value in first if value in second] or first


def _union(first: list[str], second: list[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def _first(first: Any, _: Any) -> Any:
    return first


def _either(first: Any, second: Any) -> bool:
    return first is True or second is True


#: How two values of a keyword become one that holds where both hold. The outermost annotation wins.
KEYWORD_MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _common_types,
    "enum": _common_values,
    "required": _union,
    "properties": _all_of_each,
    "patternProperties": _all_of_each,
    "items": _both,
    "additionalProperties": _both,
    "propertyNames": _both,
    **dict.fromkeys(with_value("truth"), _either),
    **dict.fromkeys(bounds("lower"), max),
    **dict.fromkeys(bounds("upper"), min),
    **dict.fromkeys(("title", "description", "default", "examples", "format", "discriminator", "xml"), _first),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), _first),
}


def split_types(shape: Shape) -> Shape:
    """Turn a list of types, given or implied by `enum`, into one type or into `anyOf` with a branch a type.

    The type comes first.
    """
    if next(iter(shape), None) == "type" and isinstance(shape["type"], str):
        return shape
    types = as_list(shape["type"]) if "type" in shape else _types_of_values(shape.get("enum", []))
    if not types:
        return shape
    rest = {keyword: value for keyword, value in shape.items() if keyword != "type"}
    if len(types) == 1:
        return {"type": types[0], **rest}
    if "anyOf" in shape:
        return rest
    branches = [branch for kind in types if (branch := _branch(shape, kind))] or [NO_VALUE]
    taken = {"enum", *(keyword for kind in types for keyword in KEYWORDS_OF_TYPE.get(kind, ()))}
    outside = {keyword: value for keyword, value in rest.items() if keyword not in taken}
    return {**outside, **(branches[0] if len(branches) == 1 else {"anyOf": branches})}


def _branch(shape: Shape, kind: str) -> Shape | None:
    """Return what `shape` says about values of one type, or None where its `enum` has no such value."""
    keywords = KEYWORDS_OF_TYPE.get(kind, ())
    branch = {"type": kind, **{keyword: shape[keyword] for keyword in keywords if keyword in shape}}
    if "enum" not in shape:
        return branch
    values = [value for value in shape["enum"] if kind in _types_of_value(value)]
    if len(values) == COUNTS.get(kind):
        return branch
    return {**branch, "enum": values} if values else None


def _types_of_values(values: list[Any]) -> list[str]:
    return _union([], [_types_of_value(value)[0] for value in values])


def _types_of_value(value: Any) -> tuple[str, ...]:
    """Return the JSON Schema types that a value has, the narrowest first."""
    return TYPES[int if isinstance(value, float) and value.is_integer() else type(value)]

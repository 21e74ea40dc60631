"""The tools as data for a reference: in groups, with each distinct schema once.

A schema is a node that refers to its subschemas by number, so recursive schemas cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.openapi.model import Api
from portkey_bridge.schema.byte_strings import byte_format
from portkey_bridge.schema.prose import plain
from portkey_bridge.schema.shapes import ANYTHING, Shapes, subschemas
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.streaming import STREAM_LIMIT_SCHEMA

#: The group of tools without a tag.
UNTAGGED = "(no tag)"

#: Facts about a schema besides its type and description, and their wording.
FACTS = {
    "enum": "one of {}",
    "default": "default {}",
    "format": "format {}",
    "pattern": "matches {}",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minItems": "{} or more items",
    "maxItems": "{} or fewer items",
    "minProperties": "{} or more properties",
    "maxProperties": "{} or fewer properties",
}

#: Levels of arrays and alternatives in the name of a type.
MAX_TYPE_LEVELS = 3


def by_tag(api: Api, tools: Sequence[Tool]) -> dict[str, list[Tool]]:
    """Return the tools under their first tag, tags in the document's order, and the untagged last."""
    declared = [tag.get("name") for tag in api.root.get("tags", []) if isinstance(tag, dict)]
    used = [tool.operation.tags[0] for tool in tools if tool.operation.tags]
    order = [*dict.fromkeys([*(tag for tag in declared if tag in used), *used]), UNTAGGED]
    groups = {tag: [tool for tool in tools if (tool.operation.tags or (UNTAGGED,))[0] == tag] for tag in order}
    return {tag: group for tag, group in groups.items() if group}


def type_words(schema: Schema, shapes: Shapes, depth: int = MAX_TYPE_LEVELS) -> str:
    """Return the type of a schema as text, such as `string or array of integer`."""
    shape = shapes(schema)
    if shape.get("type") == "array":
        items = type_words(shape["items"], shapes, depth - 1) if "items" in shape and depth else ""
        return f"array of ({items})" if " or " in items else f"array of {items}" if items else "array"
    if "type" in shape:
        return str(shape["type"])
    if "anyOf" not in shape or not depth:
        return "any"
    return " or ".join(dict.fromkeys(type_words(branch, shapes, depth - 1) for branch in shape["anyOf"]))


def facts(shape: Shape) -> Iterator[str]:
    """Yield further facts about a value as text."""
    for keyword, template in FACTS.items():
        if keyword in shape:
            value = shape[keyword]
            values = value if keyword == "enum" and isinstance(value, list) else [value]
            yield template.format(", ".join(json.dumps(each, ensure_ascii=False) for each in values))
    if shape.get("deprecated") is True:
        yield "deprecated"


def whole_description(tool: Tool) -> str:
    """Return the whole description of a tool, without markup. A listing may cut it, but the schema has all of it."""
    return plain(str(tool.schema.get("description", tool.description)))


class Argument(NamedTuple):
    """An argument of a tool."""

    name: str
    schema: Schema
    required: bool


def rows_of_arguments(tool: Tool) -> list[Argument]:
    """Return the arguments of a tool, the required ones first, and the one that cuts a stream last."""
    bindings = sorted(tool.arguments.bindings.values(), key=lambda binding: not binding.required)
    limit = [Argument(tool.stream_argument, STREAM_LIMIT_SCHEMA, False)] if tool.stream_argument else []
    return [*(Argument(each.argument, each.schema, each.required) for each in bindings), *limit]


def catalogue(apis: Sequence[tuple[Api, Sequence[Tool]]]) -> dict[str, Any]:
    """Return what a page lists of some APIs: their titles, the groups with their sizes, and an entry for each tool."""
    grouped = [
        (f"{api.title} · {tag}" if len(apis) > 1 else tag, group)
        for api, tools in apis
        for tag, group in by_tag(api, tools).items()
    ]
    return {
        "title": ", ".join(api.title for api, _ in apis),
        "version": apis[0][0].version if len(apis) == 1 else "",
        "tags": [[tag, len(group)] for tag, group in grouped],
        "tools": [_entry(tool, tag) for tag, group in grouped for tool in group],
    }


def _entry(tool: Tool, tag: str) -> dict[str, Any]:
    read_only, destructive, _ = tool.effect
    return {
        "name": tool.name,
        "title": tool.title,
        "method": tool.operation.method,
        "path": tool.operation.path,
        "tag": tag,
        "text": whole_description(tool),
        "env": list(tool.variables),
        "names": [each.name for each in rows_of_arguments(tool)],
        "effect": "reads" if read_only else "destroys" if destructive else "changes",
    }


def whole_reference(api: Api, tools: Sequence[Tool]) -> dict[str, Any]:
    """Return the catalogue of an API with the arguments of all its tools, which share their nodes."""
    nodes = Nodes(Shapes(api.root))
    listed = catalogue([(api, tools)])
    named = {tool.name: tool for tool in tools}
    entries = [{**entry, "arguments": nodes.arguments(named[entry["name"]])} for entry in listed["tools"]]
    return {**listed, "tools": entries, "nodes": nodes.drawn()}


def form_of(tool: Tool, shapes: Shapes) -> dict[str, Any]:
    """Return the arguments of one tool, and nodes that also say how a value of each schema is entered."""
    nodes = Nodes(shapes, form_field)
    return {"arguments": nodes.arguments(tool), "nodes": nodes.drawn()}


Number = Callable[[Schema], int]
"""Returns the number of the node of a schema."""


def form_field(shape: Shape, number: Number) -> dict[str, Any]:
    """Return how a value of a shape is entered in a form. What has no form is entered as JSON."""
    if "enum" in shape:
        return {"input": "choice", "choices": [json.dumps(each, ensure_ascii=False) for each in shape["enum"]]}
    if "anyOf" in shape:
        branches = [branch for branch in shape["anyOf"] if branch != NULL]
        return {"input": "either", "branches": [number(branch) for branch in branches]}
    return FORM_FIELDS.get(str(shape.get("type")), _as_json)(shape, number)


def _text(shape: Shape, number: Number) -> dict[str, Any]:
    return {"input": "file" if byte_format(shape) else "secret" if shape.get("format") == "password" else "text"}


def _list(shape: Shape, number: Number) -> dict[str, Any]:
    return {"input": "list", "items": number(shape.get("items", ANYTHING))}


def _object(shape: Shape, number: Number) -> dict[str, Any]:
    if not shape.get("properties"):
        return _as_json(shape, number)
    required = shape.get("required", ())
    fields = [[name, number(below), name in required] for name, below in shape["properties"].items()]
    return {"input": "object", "fields": sorted(fields, key=lambda each: not each[2])}


def _as_json(shape: Shape, number: Number) -> dict[str, Any]:
    return {"input": "json"}


#: How values are entered, by their type.
FORM_FIELDS: Mapping[str, Callable[[Shape, Number], dict[str, Any]]] = {
    "string": _text,
    "number": lambda shape, number: {"input": "number"},
    "integer": lambda shape, number: {"input": "number"},
    "boolean": lambda shape, number: {"input": "choice", "choices": ["true", "false"]},
    "array": _list,
    "object": _object,
}

#: The schema of null, which a form leaves out.
NULL: Shape = {"type": "null"}


class Nodes:
    """The distinct schemas of a page. A schema gets its number at its first use, and its node when all are rendered.

    With `form`, each node also has how a value is entered.
    """

    def __init__(self, shapes: Shapes, form: Callable[[Shape, Number], dict[str, Any]] | None = None) -> None:
        self._shapes, self._form = shapes, form
        self._numbers: dict[str, int] = {}
        self._schemas: list[Schema] = []

    def number(self, schema: Schema) -> int:
        """Return the number of a schema. Equal schemas share it."""
        text = json.dumps(schema, sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self._schemas)
            self._schemas.append(schema)
        return self._numbers[text]

    def arguments(self, tool: Tool) -> list[list[Any]]:
        """Return the arguments of a tool: the name of each, the number of its schema, and whether it is required."""
        return [[each.name, self.number(each.schema), each.required] for each in rows_of_arguments(tool)]

    def drawn(self) -> list[dict[str, Any]]:
        """Return all nodes by number, including those of subschemas."""
        nodes = [self._node(schema) for schema in self._schemas]  # the list grows during iteration
        for node in nodes:
            _drop_told(node, nodes)
        return nodes

    def _node(self, schema: Schema) -> dict[str, Any]:
        shape = self._shapes(schema)
        told: dict[str, Any] = {
            "type": type_words(schema, self._shapes),
            "text": str(shape.get("description", "")),
            "facts": list(facts(shape)),
            "children": [_child(path, self.number(below), shape) for path, below in subschemas(shape)],
        }
        if self._form:
            told |= {"form": self._form(shape, self.number), "title": shape.get("title")}
        return {name: value for name, value in told.items() if value}


def _drop_told(node: dict[str, Any], nodes: list[dict[str, Any]]) -> None:
    """Remove items and alternatives that have only a type, which the node's own type includes."""
    for keyword in ("items", "anyOf"):
        below = [child for child in node.get("children", ()) if child[0] == keyword]
        if below and all(nodes[number].keys() == {"type"} for _, _, number, _ in below):
            node["children"] = [child for child in node["children"] if child not in below]
    if not node.get("children", True):
        del node["children"]


def _child(path: tuple[str, ...], number: int, shape: Shape) -> list[Any]:
    """Return a child as the page reads it: its keyword, its name below that, its number, and whether it is required."""
    keyword, name = path[0], path[-1] if len(path) > 1 else ""
    return [keyword, name, number, keyword == "properties" and name in shape.get("required", ())]

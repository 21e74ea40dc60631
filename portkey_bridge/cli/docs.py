"""The command `docs`: writes a reference of all tools as Markdown or as one searchable HTML page.

Both have the same content and need no network. The page contains each distinct schema once, as a node that refers to
its subschemas by number, and renders a schema when it is opened, so recursive schemas cost nothing.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import UNTAGGED, variables_of
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import waiting
from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.openapi.model import Api
from portkey_bridge.schema.prose import plain
from portkey_bridge.schema.shapes import Shapes, subschemas
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.streaming import SCHEMA

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
DEPTH = 3


def print_docs(invocation: Invocation) -> int:
    """Print the reference, as Markdown or as an HTML page, in UTF-8 everywhere. Raises SetupError."""
    api, tools = load_tools(invocation.settings)
    write = page if invocation.options.get("html") else markdown
    with waiting("writing the reference"):
        text = write(api, tools)
    sys.stdout.buffer.write(text.encode())
    return 0


def by_tag(api: Api, tools: Sequence[Tool]) -> dict[str, list[Tool]]:
    """Return the tools under their first tag, tags in the document's order, and the untagged last."""
    declared = [tag.get("name") for tag in api.root.get("tags", []) if isinstance(tag, dict)]
    used = [tool.operation.tags[0] for tool in tools if tool.operation.tags]
    order = [*dict.fromkeys([*(tag for tag in declared if tag in used), *used]), UNTAGGED]
    groups = {tag: [tool for tool in tools if (tool.operation.tags or (UNTAGGED,))[0] == tag] for tag in order}
    return {tag: group for tag, group in groups.items() if group}


def type_words(schema: Schema, shapes: Shapes, depth: int = DEPTH) -> str:
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


def markdown(api: Api, tools: Sequence[Tool]) -> str:
    """Return the reference as Markdown (CommonMark with tables)."""
    shapes = Shapes(api.root)
    groups = by_tag(api, tools)
    return "\n".join(
        [
            f"# {_inline(api.title)} tools",
            "",
            f"{len(tools)} tools of version {_inline(api.version) or 'unknown'}.",
            "",
            *_variables(tools),
            "## Contents",
            "",
            *(f"- [{_inline(tag)}](#{_anchor(tag)}) ({len(group)})" for tag, group in groups.items()),
            "",
            *(line for tag, group in groups.items() for line in _chapter(tag, group, shapes)),
        ]
    )


def _variables(tools: Sequence[Tool]) -> Iterator[str]:
    opens = variables_of(tools)
    if opens:
        yield from ("## Environment variables", "", "| variable | tools that take it |", "|---|---|")
        yield from (f"| `{name}` | {len(names)} |" for name, names in opens.items())
        yield ""


def _chapter(tag: str, tools: Sequence[Tool], shapes: Shapes) -> Iterator[str]:
    yield from (f"## {_inline(tag)}", "")
    for tool in tools:
        yield from _section(tool, shapes)


def _section(tool: Tool, shapes: Shapes) -> Iterator[str]:
    operation = tool.operation
    yield from (f"### `{tool.name}`", "", f"`{operation.method} {operation.path}`", "")
    yield from (_inline(_words(tool)), "")
    if tool.variables:
        yield from (f"Environment: {', '.join(f'`{name}`' for name in tool.variables)}", "")
    if arguments := _arguments(tool):
        yield from ("| argument | type | |", "|---|---|---|")
        yield from (_argument(argument, shapes) for argument in arguments)
        yield ""


class _Argument(NamedTuple):
    name: str
    schema: Schema
    required: bool


def _arguments(tool: Tool) -> list[_Argument]:
    """Return the arguments of a tool, the required ones first, and the one that cuts a stream last."""
    bindings = sorted(tool.arguments.bindings.values(), key=lambda binding: not binding.required)
    limit = [_Argument(tool.stream_argument, SCHEMA, False)] if tool.stream_argument else []
    return [*(_Argument(each.argument, each.schema, each.required) for each in bindings), *limit]


def _argument(argument: _Argument, shapes: Shapes) -> str:
    shape = shapes(argument.schema)
    required = "**required** " if argument.required else ""
    told = [_inline(str(shape.get("description", ""))).rstrip("."), *map(_inline, facts(shape))]
    text = ". ".join(f"{sentence[:1].upper()}{sentence[1:]}" for sentence in told if sentence)
    return f"| `{argument.name}` | {type_words(argument.schema, shapes)} | {required}{text}{'.' if text else ''} |"


def _inline(text: str) -> str:
    """Return the text in one line that cannot end a table cell, start a heading or be parsed as HTML."""
    line = re.sub(r"([|<])", r"\\\1", printable(" ".join(text.split())))
    return re.sub(r"^([#>+*=~-])", r"\\\1", line)


def _anchor(heading: str) -> str:
    """Return the fragment that Markdown renderers generate for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _words(tool: Tool) -> str:
    """Return the whole description of a tool, without markup. A listing may cut it, but the schema has all of it."""
    return plain(str(tool.schema.get("description", tool.description)))


def page(api: Api, tools: Sequence[Tool]) -> str:
    """Return the reference as one HTML page, which carries its data as JSON."""
    template = (files("portkey_bridge.cli") / "reference.html").read_text(encoding="utf-8")
    data = json.dumps(_data(api, tools), ensure_ascii=False, separators=(",", ":"))
    # Inside a script element only `<` could end it (HTML section 4.12.1.3).
    return template.replace("__TITLE__", html.escape(api.title)).replace("__DATA__", data.replace("<", "\\u003c"))


def _data(api: Api, tools: Sequence[Tool]) -> dict[str, Any]:
    nodes = _Nodes(Shapes(api.root))
    groups = by_tag(api, tools)
    return {
        "title": api.title,
        "version": api.version,
        "tags": [[tag, len(group)] for tag, group in groups.items()],
        "tools": [_entry(tool, tag, nodes) for tag, group in groups.items() for tool in group],
        "nodes": nodes.drawn(),
    }


def _entry(tool: Tool, tag: str, nodes: _Nodes) -> dict[str, Any]:
    operation = tool.operation
    return {
        "name": tool.name,
        "title": tool.title,
        "method": operation.method,
        "path": operation.path,
        "tag": tag,
        "text": _words(tool),
        "env": list(tool.variables),
        "arguments": [
            [argument.name, nodes.number(argument.schema), argument.required] for argument in _arguments(tool)
        ],
    }


class _Nodes:
    """The distinct schemas of a page. A schema gets its number at its first use, and its node when all are rendered."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._numbers: dict[str, int] = {}
        self._schemas: list[Schema] = []

    def number(self, schema: Schema) -> int:
        """Return the number of a schema. Equal schemas share it."""
        text = json.dumps(schema, sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self._schemas)
            self._schemas.append(schema)
        return self._numbers[text]

    def drawn(self) -> list[dict[str, Any]]:
        """Return all nodes by number, including those of subschemas."""
        nodes = [self._node(schema) for schema in self._schemas]  # the list grows during iteration
        for node in nodes:
            _drop_told(node, nodes)
        return nodes

    def _node(self, schema: Schema) -> dict[str, Any]:
        shape = self._shapes(schema)
        told = {
            "type": type_words(schema, self._shapes),
            "text": str(shape.get("description", "")),
            "facts": list(facts(shape)),
            "children": [_child(path, self.number(below), shape) for path, below in subschemas(shape)],
        }
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

"""The command `docs`: writes a reference of all tools as Markdown or as one searchable HTML page.

Both have the same content and need no network. The page contains each distinct schema once, as a node that refers to
its subschemas by number, and renders a schema when it is opened, so recursive schemas cost nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import variables_of
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import is_terminal, waiting
from portkey_bridge.openapi.model import Api
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.text import escaped, printable
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.reference import (
    Argument,
    by_tag,
    facts,
    rows_of_arguments,
    type_words,
    whole_description,
    whole_reference,
)
from portkey_bridge.web.reference_page import page_document


def print_docs(invocation: Invocation) -> int:
    """Print the reference, as Markdown or as an HTML page, in UTF-8 everywhere. Raises SetupError.

    A terminal gets escapes, which have the same meaning in the scripts of the page.
    """
    api, tools = load_tools(invocation.chosen)
    write = _page if invocation.options.get("html") else markdown
    with waiting("writing the reference"):
        text = write(api, tools)
    sys.stdout.buffer.write((escaped(text) if is_terminal() else text).encode())
    return 0


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
    yield from (_inline(whole_description(tool)), "")
    if tool.variables:
        yield from (f"Environment: {', '.join(f'`{name}`' for name in tool.variables)}", "")
    if arguments := rows_of_arguments(tool):
        yield from ("| argument | type | |", "|---|---|---|")
        yield from (_argument(argument, shapes) for argument in arguments)
        yield ""


def _argument(argument: Argument, shapes: Shapes) -> str:
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


def _page(api: Api, tools: Sequence[Tool]) -> str:
    return page_document(f"{api.title} tools", whole_reference(api, tools)).text

"""What the demo runs: a mock of an API, the real server as a child process, and an MCP client that prints its calls."""

from __future__ import annotations

import base64
import json
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS
from mcp_types import AudioContent, ContentBlock, ImageContent, TextContent
from mcp_types import Tool as ListedTool

import portkey_bridge
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import print_styled
from portkey_bridge.mock.app import mock_running
from portkey_bridge.schema.samples import Samples
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import OPTIONS
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import Tool

#: Columns of the output, and the most lines of one block.
DEMO_WIDTH, LINES = 78, 12

#: The value of every credential. HTTP basic authentication needs the colon.
MADE_UP = "demo:made-up"

#: Tools to show first if the document has them, each with valid and then invalid arguments.
DEMO_QUESTION = {"role": "user", "content": "Why is the sky blue?"}
EXAMPLES: Mapping[str, Sequence[dict[str, Any]]] = {
    "createchatcompletion": (
        {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "Answer in one sentence."}, DEMO_QUESTION]},
        {"model": "gpt-4o-mini", "messages": [DEMO_QUESTION, {"role": "robot", "content": "Beep."}], "temprature": 3},
    ),
    "listmodels": ({}, {"limit": 5}),
}


class UnexpectedResult(Exception):
    """A call went differently than the commentary says."""


@dataclass
class DemoSession:
    """A running server and what to call it with; `tools` begin with those of EXAMPLES."""

    title: str
    client: Client[StdioTransport]
    listed: Mapping[str, ListedTool]
    tools: Sequence[Tool]
    samples: Sequence[Samples]
    numbers: Iterator[int]

    def part(self, heading: str, text: str) -> None:
        """Print the numbered heading of a part and what it shows."""
        print_block(f"{next(self.numbers)}. {heading}", style="bold cyan")
        print_block(text)

    def show(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Print a call."""
        print_block(_laid_out(arguments, DEMO_WIDTH - 4, f"> {name} "), margin=2, style="green")

    async def call(self, name: str, arguments: dict[str, Any], *, refused: bool = False) -> str:
        """Print a call and its result. Return the text of the result.

        Raises UnexpectedResult for an error that is not `refused` as announced, and for a success that is.
        """
        self.show(name, arguments)
        result = await self.client.call_tool_mcp(name, arguments)
        text = "\n".join(map(_text, result.content))
        if bool(result.is_error) != refused:
            problem = f"failed: {text}" if result.is_error else "was accepted"
            raise UnexpectedResult(f"{name} {' '.join(problem.split())}")
        print_block(text, margin=4)
        return text

    def with_arguments(self, tools: Iterable[Tool]) -> Iterator[tuple[Tool, dict[str, Any]]]:
        """Yield those tools that valid arguments were found for, and the arguments, as few as possible."""
        for tool in tools:
            bindings = tool.arguments.bindings
            names = [name for name, binding in bindings.items() if binding.required]
            names = names or [name for name, binding in bindings.items() if binding.location == "body"][:1]
            made = ({name: sample(bindings[name].schema, name) for name in names} for sample in self.samples)
            candidates = chain(EXAMPLES.get(tool.name, ())[:1], made)
            valid = ((tool, each) for each in candidates if not any(tool.arguments.violations(each)))
            yield from islice(valid, 1)


@asynccontextmanager
async def demo_session(invocation: Invocation, log: Path, numbers: Iterator[int]) -> AsyncIterator[DemoSession]:
    """Run the server on a mock of its API, and yield a session with it. The server's stderr goes to `log`."""
    api, tools = load_tools(invocation.settings)
    tools.sort(key=lambda tool: [*EXAMPLES, tool.name].index(tool.name))
    shapes = Shapes(api.root)
    with mock_running(api) as url:
        async with Client(server_process(invocation, url, tools, log)) as client:
            listed = {tool.name: tool for tool in await client.list_tools()}
            yield DemoSession(api.title, client, listed, tools, (Samples(shapes, depth=0), Samples(shapes)), numbers)


def server_process(invocation: Invocation, url: str, tools: Iterable[Tool], log: Path) -> StdioTransport:
    """Return the server as a child process with the same options, but made-up credentials and none of the real ones.

    The MCP SDK adds the variables that a child needs, and no others of this process.
    """
    typed, environ = invocation.options, invocation.settings.environ
    options = {each.variable: str(typed.get(each.field, environ.get(each.variable, ""))) for each in OPTIONS}
    credentials = {name for tool in tools for name in tool.variables}.difference(DEFAULT_INHERITED_ENV_VARS)
    options |= {
        "OPEN_MCP_BASE_URL": url,
        "OPEN_MCP_CREDENTIALS": ",".join(sorted(credentials)),
        "OPEN_MCP_DISCOVER": "0",  # every tool has to be listed
        "PYTHONPATH": str(Path(portkey_bridge.__file__).parents[1]),  # the same code, even if it is not installed
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", ""),
    }
    arguments = ["-P", "-m", "portkey_bridge", "--env-file", os.devnull]
    env = {**dict.fromkeys(credentials, MADE_UP), **options}
    return StdioTransport(sys.executable, arguments, env=env, log_file=log, keep_alive=False)


def _text(block: ContentBlock) -> str:
    if isinstance(block, ImageContent | AudioContent):
        return f"({block.type}: {len(base64.b64decode(block.data))} bytes of {block.mime_type})"
    return block.text if isinstance(block, TextContent) else f"({block.type})"


def _laid_out(value: Any, width: int, label: str = "") -> str:
    """Return JSON behind a label, each object and array on one line if that is short enough."""
    line = json.dumps(value, ensure_ascii=False)
    if len(label) + len(line) <= width or not value or not isinstance(value, dict | list):
        return label + line
    if isinstance(value, dict):
        parts = [(f"{json.dumps(name, ensure_ascii=False)}: ", part) for name, part in value.items()]
    else:
        parts = [("", part) for part in value]
    lines = ",\n".join(_laid_out(part, width - 2, name) for name, part in parts)
    return f"{label}{line[0]}\n{textwrap.indent(lines, '  ')}\n{line[-1]}"


def print_block(text: str, *, margin: int = 0, style: str = "") -> None:
    """Print a text, laid out if it is JSON, in lines that are wrapped and cut; then an empty line."""
    with suppress(ValueError):
        text = _laid_out(json.loads(text), DEMO_WIDTH - 4)
    lines: list[str] = []
    for line in text.splitlines():
        hanging = " " * (len(line) - len(line.lstrip(" -")))
        lines += textwrap.wrap(line, DEMO_WIDTH - margin, subsequent_indent=hanging, break_on_hyphens=False)
    more = len(lines) - LINES
    for line in lines if more < 2 else [*lines[:LINES], f"… {more} more lines"]:
        print_styled((" " * margin + printable(line), style))
    print(flush=True)

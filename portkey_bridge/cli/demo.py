"""The `demo` command: a mock of the API, the real server as a child process, an MCP client, and a commentary.

Nothing leaves the machine and no key is needed. A part that the document has no example of is left out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS
from mcp_types import AudioContent, ContentBlock, ImageContent, TextContent
from mcp_types import Tool as ListedTool
from rich.pretty import Node

import portkey_bridge
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.listing import about_tokens
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.terminal import print_styled
from portkey_bridge.errors import ArgumentsError, SetupError
from portkey_bridge.mock.app import mock_running
from portkey_bridge.schema.samples import Samples
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import OPTIONS, Settings
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import EXPAND_RESULT, EXPAND_SCHEMA

#: Columns of the output, and the most lines of one block.
DEMO_WIDTH, LINES = 78, 12

#: The value of every credential. HTTP basic authentication needs the colon.
MADE_UP = "demo:made-up"

#: The end of a listed schema that is cut, with the pointer that expands it.
STUB = re.compile(rf'\[{EXPAND_SCHEMA} (/.*?)\]"')

#: Tools to show first if the document has them, each with valid and then invalid arguments.
DEMO_QUESTION = {"role": "user", "content": "Why is the sky blue?"}
EXAMPLES: Mapping[str, Sequence[dict[str, Any]]] = {
    "createchatcompletion": (
        {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "Answer in one sentence."}, DEMO_QUESTION]},
        {"model": "gpt-4o-mini", "messages": [DEMO_QUESTION, {"role": "robot", "content": "Beep."}], "temprature": 3},
    ),
    "listmodels": ({}, {"limit": 5}),
}

#: A second API, for responses that most documents lack: an image, a sound, and a list too large for one result.
STARS = [{"id": at, "name": f"HD {at * 37 % 9001}", "magnitude": at * 7919 % 1500 / 100} for at in range(5000)]
CONTENTS = {
    "image": {"image/png": {}},
    "sound": {"audio/wav": {}},
    "stars": {"application/json": {"example": {"stars": STARS}}},
}
GALLERY = {
    "openapi": "3.1.0",
    "info": {"title": "Gallery", "version": "1"},
    "paths": {
        f"/{name}": {"get": {"responses": {"200": {"description": "OK", "content": content}}}}
        for name, content in CONTENTS.items()
    },
}


class _Unexpected(Exception):
    """A call went differently than the commentary says."""


def run_demo(invocation: Invocation) -> int:
    """Show the server at work on stdout. Return 0, or 1 after a line on stderr if something unexpected happens.

    Raises SetupError for a document or a setting that cannot be used.
    """
    with TemporaryDirectory() as folder:
        log, gallery, numbers = Path(folder, "stderr"), Path(folder, "gallery.json"), count(1)
        try:
            asyncio.run(_show([_listing, _stub, _calls, _stream, _refusal], invocation, log, numbers))
            if invocation.settings.spec is None:
                gallery.write_text(json.dumps(GALLERY), encoding="utf-8")
                second = Invocation([Settings(spec=str(gallery))], {"spec": str(gallery)}, ())
                asyncio.run(_show([_gallery], second, log, numbers))
        except (SetupError, BrokenPipeError):
            raise
        except Exception as error:  # whatever it is, the user gets one line and no traceback
            print(f"portkey-bridge: the demo stopped: {printable(_reason(error, log))}", file=sys.stderr)
            return 1
    _print("Everything worked as shown", style="bold")
    _print("Next: portkey-bridge add CLIENT sets it up in an MCP client, and portkey-bridge --help lists the rest.")
    return 0


def _reason(error: Exception, log: Path) -> str:
    """Return one line: the error, with the last line that the server logged if that may be the cause."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    logged = [line.strip() for line in lines if " serves " not in line]
    return first if isinstance(error, _Unexpected) or not logged else f"{first} ({logged[-1]})"


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


async def _show(
    parts: Iterable[Callable[[_Demo], Awaitable[None]]], invocation: Invocation, log: Path, numbers: Iterator[int]
) -> None:
    api, tools = load_tools(invocation.settings)
    tools.sort(key=lambda tool: [*EXAMPLES, tool.name].index(tool.name))
    shapes = Shapes(api.root)
    with mock_running(api) as url:
        async with Client(server_process(invocation, url, tools, log)) as client:
            listed = {tool.name: tool for tool in await client.list_tools()}
            demo = _Demo(api.title, client, listed, tools, (Samples(shapes, depth=0), Samples(shapes)), numbers)
            for part in parts:
                await part(demo)


@dataclass
class _Demo:
    """A running server and what to call it with; `tools` begin with those of EXAMPLES."""

    title: str
    client: Client[StdioTransport]
    listed: Mapping[str, ListedTool]
    tools: Sequence[Tool]
    samples: Sequence[Samples]
    numbers: Iterator[int]

    def part(self, heading: str, text: str) -> None:
        """Print the numbered heading of a part and what it shows."""
        _print(f"{next(self.numbers)}. {heading}", style="bold cyan")
        _print(text)

    async def call(self, name: str, arguments: dict[str, Any], *, refused: bool = False) -> str:
        """Print a call and its result. Return the text of the result.

        Raises _Unexpected for an error that is not `refused` as announced, and for a success that is.
        """
        _print_call(name, arguments)
        result = await self.client.call_tool_mcp(name, arguments)
        text = "\n".join(map(_text, result.content))
        if bool(result.is_error) != refused:
            problem = f"failed: {text}" if result.is_error else "was accepted"
            raise _Unexpected(f"{name} {' '.join(problem.split())}")
        _print(text, margin=4)
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


async def _listing(demo: _Demo) -> None:
    _print(f"portkey-bridge demo: {demo.title}", style="bold")
    _print(
        "No key and no network: a mock of the API on this machine answers with made-up data. The server is the real "
        "one. It runs as a child process, and an MCP client talks to it."
    )
    tokens = sum(about_tokens(tool.model_dump(by_alias=True, exclude_none=True)) for tool in demo.listed.values())
    demo.part(
        "The tools",
        f"The client lists {len(demo.listed)} tools. Two are the server's own, for the rest of a schema or of a large "
        f"result. The whole list, which a model reads first, takes about {tokens:,} tokens. Some of the tools:",
    )
    names = [*(tool.name for tool in demo.tools[:5]), EXPAND_SCHEMA]
    _print("\n".join(f"{name:<24} {demo.listed[name].title}"[: DEMO_WIDTH - 4] for name in names), margin=4)


async def _stub(demo: _Demo) -> None:
    for tool in demo.tools:
        parts = [{name: part} for name, part in demo.listed[tool.name].input_schema["properties"].items()]
        for part in sorted(parts, key=lambda part: len(str(part))):
            if pointer := STUB.search(json.dumps(part)):
                demo.part("A stub", f"The schema of {tool.name} is too large to list. Stubs mark what was left out:")
                _print(json.dumps(part), margin=4)
                demo.part("The stub, expanded", "A stub names the pointer that shows the rest:")
                pointers = [json.loads(f'"{pointer[1]}"')]
                await demo.call(EXPAND_SCHEMA, {"toolName": tool.name, "jsonPointers": pointers})
                return


async def _calls(demo: _Demo) -> None:
    reading = [tool for tool in demo.tools if tool.effect.read_only]
    reading.sort(key=lambda tool: sum(binding.required for binding in tool.arguments.bindings.values()))
    for heading, tools in ("A read-only call", reading), ("A call with a body", filter(_has_json_body, demo.tools)):
        for tool, arguments in islice(demo.with_arguments(tools), 1):
            demo.part(heading, f"{tool.title}: the server sends {tool.operation.method} {tool.operation.path}.")
            await demo.call(tool.name, arguments)


async def _stream(demo: _Demo) -> None:
    added: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        added.extend([message] if message else [])

    streaming = (tool for tool in demo.tools if "stream" in tool.arguments.bindings)
    for tool, arguments in islice(demo.with_arguments(streaming), 1):
        whole = await demo.client.call_tool_mcp(tool.name, arguments)
        arguments = {**arguments, "stream": True}
        streamed = await demo.client.call_tool_mcp(tool.name, arguments, progress_handler=report)
        if not added:
            return
        if streamed.structured_content != whole.structured_content:
            raise _Unexpected(f"{tool.name} returned something else when it was streamed")
        demo.part("A streamed response", "The API sends events. A progress notification reports what each one adds:")
        _print_call(tool.name, arguments)
        _print("\n".join(f"progress {number}: {text}" for number, text in enumerate(added, 1)), margin=4)
        _print("The result is the complete object, equal to the result of the same call without stream.")


async def _refusal(demo: _Demo) -> None:
    for tool, arguments in demo.with_arguments(sorted(demo.tools, key=_has_json_body, reverse=True)):
        wrong = EXAMPLES.get(tool.name, (arguments, {**{name: {} for name in arguments}, "surprise": True}))[1]
        if _is_refused(tool, wrong):
            demo.part(
                "A refused call", "Arguments are checked before anything is sent. The error explains the problem:"
            )
            await demo.call(tool.name, wrong, refused=True)
            return


def _is_refused(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    try:
        tool.validate(arguments)
    except ArgumentsError:
        return True
    return False


async def _gallery(demo: _Demo) -> None:
    text = "The rest uses a second, small API. Images and sounds become content blocks, which clients show and play:"
    demo.part("An image and a sound", text)
    await demo.call("get_image", {})
    await demo.call("get_sound", {})
    text = "A response that is too large is stored, and the result is a view of it: one row, and the columns."
    demo.part("A large list", text)
    result_id = (await demo.call("get_stars", {})).partition("resultId: ")[2].partition(".")[0]
    demo.part("The large list, continued", "Pointers choose what to read from the stored response:")
    await demo.call(EXPAND_RESULT, {"resultId": result_id, "jsonPointers": ["/stars/4999", "/stars#3000:3003"]})


def _has_json_body(tool: Tool) -> bool:
    return tool.arguments.media_type is not None and "json" in tool.arguments.media_type.name


def _text(block: ContentBlock) -> str:
    if isinstance(block, ImageContent | AudioContent):
        return f"({block.type}: {len(base64.b64decode(block.data))} bytes of {block.mime_type})"
    return block.text if isinstance(block, TextContent) else f"({block.type})"


def _print_call(name: str, arguments: Mapping[str, Any]) -> None:
    _print(_node(arguments, f"> {name} ").render(DEMO_WIDTH - 4, 2), margin=2, style="green")


def _node(value: Any, label: str = "") -> Node:
    """Return JSON as rich lays it out: each object and array on one line if it fits."""
    if not value or not isinstance(value, dict | list):
        return Node(label, json.dumps(value, ensure_ascii=False), key_separator="")
    if isinstance(value, dict):
        children = [_node(part, f"{json.dumps(name, ensure_ascii=False)}: ") for name, part in value.items()]
    else:
        children = [_node(part) for part in value]
    children[-1].last = True
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return Node(label, "", opening, closing, children=children, key_separator="")


def _print(text: str, *, margin: int = 0, style: str = "") -> None:
    """Print a text, laid out if it is JSON, in lines that are wrapped and cut; then an empty line."""
    with suppress(ValueError):
        text = _node(json.loads(text)).render(DEMO_WIDTH - 4, 2)
    lines: list[str] = []
    for line in text.splitlines():
        hanging = " " * (len(line) - len(line.lstrip(" -")))
        lines += textwrap.wrap(line, DEMO_WIDTH - margin, subsequent_indent=hanging, break_on_hyphens=False)
    more = len(lines) - LINES
    for line in lines if more < 2 else [*lines[:LINES], f"… {more} more lines"]:
        print_styled((" " * margin + printable(line), style))
    print(flush=True)

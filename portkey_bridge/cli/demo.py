"""The demonstration: a mock of the API, the real server as a child process, an MCP client, and words to a person.

Nothing leaves the machine, no key is needed, and nothing is shown that did not happen. What a document has none of is
left out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp_types import AudioContent, CallToolResult, ContentBlock, ImageContent, TextContent
from mcp_types import Tool as ListedTool

from portkey_bridge.cli.demo_api import GALLERY
from portkey_bridge.cli.loading import load_api
from portkey_bridge.errors import ArgumentsError
from portkey_bridge.mock.app import mock_running
from portkey_bridge.openapi.model import Api
from portkey_bridge.schema.samples import Samples
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings import Settings
from portkey_bridge.tools.catalog import EXPAND_RESULT, EXPAND_SCHEMA, Tool, build_tools, select_tools

if TYPE_CHECKING:
    from portkey_bridge.cli.invocation import Invocation

#: Columns of a line, and lines of one JSON value, that are shown.
WIDTH, LINES = 78, 12

#: The variables of this process that the server gets too; none of them holds a secret.
INHERITED = ("PATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "HOME", "TMPDIR", "TEMP", "TMP", "LANG")

#: What every credential is set to; `basic` wants the colon.
MADE_UP = "demo:made-up"

#: The tools to show where a document has them, and what to call them with, right and wrong.
SHOWN_FIRST = ("createchatcompletion", "listmodels")
QUESTION = {"role": "user", "content": "Why is the sky blue?"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "createchatcompletion": {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "Answer in one sentence."}, QUESTION],
    }
}
WRONG_ARGUMENTS: dict[str, dict[str, Any]] = {
    "createchatcompletion": {
        "model": "gpt-4o-mini",
        "messages": [QUESTION, {"role": "robot", "content": "Beep."}],
        "temprature": 3,
    }
}
WRONG_VALUES: tuple[Any, ...] = (17, "seventeen", [], {})


class _Unexpected(Exception):
    """Something did not go as the demonstration says it does."""


def run_demo(invocation: Invocation) -> int:
    """Show the server at work on stdout. Gives 0 if all went as shown, 1 if not, after a line on stderr.

    Raises SetupError for a document or a setting that cannot be used.
    """
    settings = invocation.settings
    api = load_api(settings)
    tools = _tools_of(api, settings)
    page = Page(sys.stdout)
    with TemporaryDirectory() as folder:
        log = Path(folder, "stderr")
        try:
            _show(page, api, tools, settings, log)
            if settings.spec is None:
                _show_gallery(page, settings, log)
        except Exception as error:  # whatever it is: a person gets one line and no traceback
            print(f"portkey-bridge: the demo stopped: {_reason(error, log)}", file=sys.stderr)
            return 1
    page.title("Everything went as shown")
    page.say("Next: run portkey-bridge in an MCP client. The README says how, and portkey-bridge --help what else.")
    return 0


def _tools_of(api: Api, settings: Settings) -> dict[str, Tool]:
    return {tool.name: tool for tool in select_tools(build_tools(api), settings)}


def _reason(error: Exception, log: Path) -> str:
    """Return one line: what did not go as shown, else what the server said last, else what the client says."""
    if isinstance(error, _Unexpected) or not log.exists():
        said = []
    else:
        said = [line for line in log.read_text().splitlines() if " serves " not in line]
    first = [*str(error).strip().splitlines(), type(error).__name__][0]
    return f"{first} ({said[-1].strip()})" if said else first


def server_process(settings: Settings, url: str, tools: Mapping[str, Tool], log: Path) -> StdioTransport:
    """Return the server as a child process in an empty folder, with made-up credentials and none of the real ones."""
    variables = {name for tool in tools.values() for name in tool.variables} - {*INHERITED, "PYTHONPATH"}
    options = {
        "PYTHONPATH": str(Path(__file__).parents[2]),  # the same code, also where it is not installed
        "OPEN_MCP_BASE_URL": url,
        "OPEN_MCP_TOOLS": ",".join(settings.tools),
        "OPEN_MCP_EXCLUDE": ",".join(settings.exclude),
        "OPEN_MCP_READ_ONLY": str(int(settings.read_only)),
        "OPEN_MCP_CREDENTIALS": ",".join(sorted(variables)),
        "OPEN_MCP_PATH_ITEM_TOOLS": str(int(settings.path_item_tools)),
        "OPEN_MCP_SCHEMA_BUDGET": _budget(settings.schema_budget),
        "OPEN_MCP_SPEC": "" if settings.spec is None else _absolute(settings.spec),
    }
    inherited = {name: settings.environ[name] for name in INHERITED if name in settings.environ}
    return StdioTransport(
        sys.executable,
        ["-m", "portkey_bridge"],
        env={**dict.fromkeys(variables, MADE_UP), **inherited, **options},
        cwd=str(log.parent),
        log_file=log,
        keep_alive=False,
    )


def _budget(asked: float | None) -> str:
    return "" if asked is None else "full" if math.isinf(asked) else str(asked)


def _absolute(spec: str) -> str:
    return spec if "://" in spec else str(Path(spec).resolve())


def _show(page: Page, api: Api, tools: Mapping[str, Tool], settings: Settings, log: Path) -> None:
    """Show the document's own operations at work."""
    page.title(f"portkey-bridge shows {api.title}")
    page.say(
        "No key, no network: a mock of the API on this machine answers, with made-up data. The server is the real "
        "one. It runs as a child process, and an MCP client talks to it."
    )
    parts = (_Demo.listing, _Demo.stub, _Demo.reading, _Demo.writing, _Demo.streaming, _Demo.refusal)
    with mock_running(api) as url:
        asyncio.run(_run(parts, page, api, tools, server_process(settings, url, tools, log)))


def _show_gallery(page: Page, settings: Settings, log: Path) -> None:
    """Show answers of further kinds, from an API that has them."""
    spec = log.with_name("gallery.json")
    spec.write_text(json.dumps(GALLERY), encoding="utf-8")
    settings = Settings(spec=str(spec), environ=settings.environ)
    api = load_api(settings)
    tools = _tools_of(api, settings)
    with mock_running(api) as url:
        parts = (_Demo.media, _Demo.large_list)
        asyncio.run(_run(parts, page, api, tools, server_process(settings, url, tools, log)))


async def _run(
    parts: Iterable[Callable[[_Demo], Awaitable[None]]],
    page: Page,
    api: Api,
    tools: Mapping[str, Tool],
    server: StdioTransport,
) -> None:
    async with Client(server) as client:
        listing = await client.list_tools()
        demo = _Demo(page, client, {tool.name: tool for tool in listing}, tools, _Caller(api))
        for part in parts:
            await part(demo)


class _Caller:
    """Makes arguments for tools: the ones that are worth showing, else the fewest that are valid."""

    def __init__(self, api: Api) -> None:
        shapes = Shapes(api.root)
        self.sparse, self.full = Samples(shapes, depth=0), Samples(shapes)

    def arguments(self, tool: Tool) -> dict[str, Any] | None:
        """Return valid arguments, None where none were found."""
        return next((arguments for arguments in self._candidates(tool) if not _violations(tool, arguments)), None)

    def wrong_arguments(self, tool: Tool) -> dict[str, Any] | None:
        """Return arguments that the tool refuses, None where none were found."""
        right = self.arguments(tool) or {}
        spoilt = ({**right, name: value} for name in tool.arguments.bindings for value in WRONG_VALUES)
        candidates = (WRONG_ARGUMENTS.get(tool.name, {}), *spoilt, {**right, "surprise": True})
        return next((arguments for arguments in candidates if arguments and _violations(tool, arguments)), None)

    def _candidates(self, tool: Tool) -> Iterator[dict[str, Any]]:
        bindings = tool.arguments.bindings
        yield from [ARGUMENTS[tool.name]] if tool.name in ARGUMENTS else []
        required = {name: binding.schema for name, binding in bindings.items() if binding.required}
        in_body = {name: binding.schema for name, binding in bindings.items() if binding.location == "body"}
        wanted = required or dict(list(in_body.items())[:1])
        for samples in (self.sparse, self.full):
            yield {name: samples(schema, name) for name, schema in wanted.items()}
        yield {name: self.full(binding.schema, name) for name, binding in bindings.items()}


def _violations(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    try:
        tool.validate(arguments)
    except ArgumentsError:
        return True
    return False


@dataclass
class _Demo:
    """The parts of the demonstration, each of which says nothing where the document has nothing for it."""

    page: Page
    client: Client[StdioTransport]
    listed: Mapping[str, ListedTool]
    tools: Mapping[str, Tool]
    caller: _Caller

    async def listing(self) -> None:
        """Show how many tools there are and how large the listing is."""
        size = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in self.listed.values())
        names = self._ordered()
        self.page.heading("The tools")
        self.page.say(
            f"The client asks for the tools. There are {len(self.listed)}, two of them to see more of schemas and of "
            f"large results. The whole listing, which a model reads before anything else, takes {_kilobytes(size)}. "
            "Some of it:"
        )
        self.page.table((name, self.listed[name].title or "") for name in [*names[:5], EXPAND_SCHEMA])

    async def stub(self) -> None:
        """Show a listed stub, and what expandSchema makes of it."""
        name, pointer, stub = next(
            ((name, *found) for name in self._ordered() for found in _stubs(self.listed[name].input_schema)),
            (None, "", {}),
        )
        if name is None:
            return
        self.page.heading("A stub")
        self.page.say(
            f"The arguments of {name} take more room than a listing should. What is left out is listed as a stub, "
            "which says its type and how to see more:"
        )
        self.page.json(stub)
        self.page.heading("The stub, expanded")
        result = await self.call(EXPAND_SCHEMA, {"toolName": name, "jsonPointers": [pointer]})
        self.page.json(_first_schema(result))

    async def reading(self) -> None:
        """Show a call that only reads."""
        reading = [tool for tool in self._tools() if tool.effect[0]]
        await self._show_call(sorted(reading, key=_effort), "A call that reads")

    async def writing(self) -> None:
        """Show a call with a JSON body."""
        await self._show_call([tool for tool in self._tools() if _has_json_body(tool)], "A call with a body")

    async def streaming(self) -> None:
        """Show a call whose answer comes in events, and that it is the answer of the same call without them."""
        tool = next((tool for tool in self._tools() if "stream" in tool.arguments.bindings), None)
        arguments = self.caller.arguments(tool) if tool is not None else None
        if tool is None or arguments is None:
            return
        came: list[str] = []

        async def report(progress: float, total: float | None, message: str | None) -> None:
            came.extend([message] if message else [])

        plain = await self.client.call_tool_mcp(tool.name, arguments)
        streamed = await self.client.call_tool_mcp(tool.name, {**arguments, "stream": True}, progress_handler=report)
        if not came:
            return
        if streamed.structured_content != plain.structured_content:
            raise _Unexpected(f"{tool.name} gave something else when it was streamed")
        self.page.heading("A streamed answer")
        self.page.say("The API sends events. While they come, the client is told what each one adds:")
        self.page.call(tool.name, {**arguments, "stream": True})
        self.page.quote("\n".join(f"progress {number}: {text}" for number, text in enumerate(came, 1)))
        self.page.say("The result is the whole object, equal to that of the same call without stream.")

    async def media(self) -> None:
        """Show a picture and a sound."""
        self.page.heading("A picture and a sound")
        self.page.say(
            "The rest is from another, small API, whose answers are of more kinds. What is no text comes as a block of "
            "its own, which clients show and play:"
        )
        for name in ("getpicture", "getsound"):
            self.page.result(await self.call(name, {}))

    async def large_list(self) -> None:
        """Show a view of a list that is too large for a result, and a part of it that the view leaves out."""
        self.page.heading("A large list")
        self.page.say("An answer that is too large is shown in part, and kept. It begins and ends so:")
        view = _text(await self.call("liststars", {}))
        said, _, value = view.partition("\n")
        self.page.quote(f"{said}\n{value[:150]} … {value[-110:]}")
        self.page.heading("The large list, read on")
        result_id = view.partition("resultId: ")[2].partition(".")[0]
        pointers = ["/stars/4999", "/stars#3000:3003"]
        result = await self.call(EXPAND_RESULT, {"resultId": result_id, "jsonPointers": pointers})
        self.page.json(json.loads(_text(result)))

    async def refusal(self) -> None:
        """Show a call that is refused, and its explanation."""
        for tool in sorted(self._tools(), key=lambda tool: not _has_json_body(tool)):
            if wrong := self.caller.wrong_arguments(tool):
                self.page.heading("A call that is refused")
                self.page.say("Arguments are checked before anything is sent. The answer says what would be right:")
                result = await self.call(tool.name, wrong, refused=True)
                self.page.quote(_text(result))
                return

    async def call(self, name: str, arguments: dict[str, Any], *, refused: bool = False) -> CallToolResult:
        """Call a tool and show the call. Raises _Unexpected for a result that is an error, or is none against plan."""
        self.page.call(name, arguments)
        result = await self.client.call_tool_mcp(name, arguments)
        if bool(result.is_error) != refused:
            what = "was not refused" if refused else f"failed: {_text(result)}"
            raise _Unexpected(f"{name} {' '.join(what.split())}")
        return result

    async def _show_call(self, tools: Iterable[Tool], heading: str) -> None:
        """Show a call of the first tool that arguments can be made for."""
        for tool in tools:
            arguments = self.caller.arguments(tool)
            if arguments is not None:
                self.page.heading(heading)
                self.page.say(f"{tool.title}: the server sends {tool.operation.method} {tool.operation.path}.")
                self.page.result(await self.call(tool.name, arguments))
                return

    def _ordered(self) -> list[str]:
        """Return the names of the operations' tools, those first that people look for."""
        listed = [name for name in self.listed if name in self.tools]
        return sorted(listed, key=lambda name: SHOWN_FIRST.index(name) if name in SHOWN_FIRST else len(SHOWN_FIRST))

    def _tools(self) -> list[Tool]:
        return [self.tools[name] for name in self._ordered()]


def _effort(tool: Tool) -> tuple[bool, int]:
    required = sum(binding.required for binding in tool.arguments.bindings.values())
    return tool.name not in SHOWN_FIRST, required


def _stubs(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield, for the arguments of a listed schema that hold a stub, its pointer and the argument; small ones first."""
    for name, part in sorted(schema.get("properties", {}).items(), key=lambda entry: len(json.dumps(entry))):
        match = re.search(r"\[expandSchema (/.*?)\]\"", json.dumps(part))
        if match:
            yield json.loads(f'"{match[1]}"'), {name: part}


def _has_json_body(tool: Tool) -> bool:
    media_type = tool.arguments.media_type
    return media_type is not None and "json" in media_type.name


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _described(block: ContentBlock) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ImageContent | AudioContent):
        return f"({block.type}: {len(base64.b64decode(block.data))} bytes of {block.mime_type})"
    return f"({block.type})"


def _first_schema(result: CallToolResult) -> Any:
    expanded = json.loads(_text(result))[0]
    if "schema" not in expanded:
        raise _Unexpected(f"{EXPAND_SCHEMA} found nothing: {expanded.get('error')}")
    return expanded["schema"]


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.0f} kB" if size >= 10_000 else f"{size / 1000:.1f} kB"


@dataclass
class Page:
    """Well set plain text on a stream; colour only on a terminal, and not where NO_COLOR is set."""

    stream: TextIO
    number: int = 0
    colour: bool = field(init=False)

    def __post_init__(self) -> None:
        self.colour = self.stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def title(self, text: str) -> None:
        """Set a line for the whole."""
        self._block([self._styled("1", text)])

    def heading(self, text: str) -> None:
        """Begin the next part."""
        self.number += 1
        self._block([self._styled("1;36", f"{self.number}. {text}")])

    def say(self, text: str) -> None:
        """Set a paragraph."""
        self._block(_wrapped(text, WIDTH))

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Set names with what is to be said of them."""
        self._block(f"    {name:<24} {text}"[:WIDTH] for name, text in rows)

    def call(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Set a call of a tool."""
        lines = lay_out(arguments, WIDTH - 4, f"{name} ")
        self._block(self._styled("32", f"  {'  ' if at else '> '}{line}") for at, line in enumerate(lines))

    def result(self, result: CallToolResult) -> None:
        """Set the answer of a tool."""
        if result.structured_content is not None:
            self.json(result.structured_content)
        else:
            self.quote("\n".join(map(_described, result.content)))

    def json(self, value: Any) -> None:
        """Set a JSON value, cut where it is long."""
        self._block(f"    {line}" for line in _cut(lay_out(value, WIDTH - 4)))

    def quote(self, text: str) -> None:
        """Set a text as it is, cut where it is long."""
        lines = [part for line in text.splitlines() for part in _wrapped(line, WIDTH - 4)]
        self._block(f"    {line}" for line in _cut(lines))

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def _block(self, lines: Iterable[str]) -> None:
        print("\n".join(lines), end="\n\n", file=self.stream, flush=True)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  " if text.startswith("- ") else "", break_on_hyphens=False)


def _cut(lines: Sequence[str]) -> Sequence[str]:
    return lines if len(lines) <= LINES + 1 else [*lines[:LINES], f"… {len(lines) - LINES} more lines"]


def lay_out(value: Any, width: int, label: str = "") -> list[str]:
    """Write a JSON value behind `label` in lines of at most `width` characters; what fits a line stands on one."""
    line = label + json.dumps(value, ensure_ascii=False)
    if len(line) <= width:
        return [line]
    if not value or not isinstance(value, dict | list):
        return textwrap.wrap(line, width, subsequent_indent="  ", max_lines=3, placeholder=" …")
    if isinstance(value, dict):
        opening, closing = "{}"
        parts = [lay_out(part, width - 3, f"{json.dumps(name, ensure_ascii=False)}: ") for name, part in value.items()]
    else:
        opening, closing = "[]"
        parts = [lay_out(part, width - 3) for part in value]
    for part in parts[:-1]:
        part[-1] += ","
    return [label + opening, *(f"  {line}" for part in parts for line in part), closing]

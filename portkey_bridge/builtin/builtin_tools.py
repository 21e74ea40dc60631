"""The built-in tools: they expand schemas and results, and call a tool by its name."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from portkey_bridge.bridge.calls import CallContext, Run
from portkey_bridge.callers.bridges import BridgeOf
from portkey_bridge.errors import CallError
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.response.answer_files import file_of, uri_of
from portkey_bridge.response.json_views import expand
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import ForgottenResult, beside
from portkey_bridge.response.tool_result import (
    BlobResourceContents,
    EmbeddedResource,
    ToolResult,
    error_result,
    text_block,
)
from portkey_bridge.schema.readings import as_json_text, is_unset
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import CALL_TOOL, EXPAND_RESULT, EXPAND_SCHEMA, closest

if TYPE_CHECKING:
    from portkey_bridge.response.selection import Selection
    from portkey_bridge.tools.path_tools import PathItemTool

_STUBS = (
    "A description that ends in [expandSchema POINTER] marks a stub: its type is exact, the rest is left out. An "
    "optional argument that shows only a type may have more: its pointer is /properties/NAME."
)

#: How a model uses the tools: when all are listed, and in discovery.
LISTING = (
    f"Input schemas are listed as small views. {_STUBS} A tool's description that ends in … is complete at the "
    'pointer "". Call expandSchema with the tool\'s name and pointers to see more.'
)
PROGRAMS = "Find tools with searchTools, see their signatures with expandSchema, call them in runProgram."
DISCOVERY = "Find a tool with searchTools, see its arguments with expandSchema, call it with callTool."

#: The description of expandSchema in each case.
EXPANDING = {
    LISTING: f"Shows parts of a tool's input schema that its listing leaves out. {LISTING}",
    DISCOVERY: f"Shows a tool's input schema as a small view, and its parts by their pointers. {_STUBS}",
}

#: The schema of an argument that is a list of texts, and the argument that reduces an answer.
TEXTS = {"type": "array", "items": {"type": "string"}}
SELECT = {"type": "string", "description": "JMESPath of what to return: data[].{id: id, name: name}"}

Expand = Callable[[Tool, str], Shape]
"""Returns the view of a tool's input schema at a pointer. Raises PointerToNowhere."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of a tool in the listing (Model Context Protocol, section "Tool"), as plain values."""

    name: str
    title: str
    description: str
    parameters: dict[str, Any]
    annotations: dict[str, bool] | None = None


class BuiltinTool(Protocol):
    """A built-in tool: its entry in the listing, and the method that runs it."""

    entry: Listed

    async def run(self, arguments: dict[str, Any], context: CallContext, /) -> ToolResult:
        """Run the tool with its arguments."""
        ...


def hints(read_only: bool, destructive: bool, idempotent: bool, open_world: bool) -> dict[str, bool] | None:
    """Return the hints that differ from the protocol's defaults; others would cost tokens in every tool.

    The defaults are: not read-only, destructive, not idempotent, open world. The second and third mean nothing for a
    read-only tool (Model Context Protocol, ToolAnnotations).
    """
    different = {
        "destructiveHint": None if read_only or destructive else False,
        "idempotentHint": True if idempotent and not read_only else None,
        "openWorldHint": None if open_world else False,
        "readOnlyHint": True if read_only else None,
    }
    return {name: hint for name, hint in different.items() if hint is not None} or None


def read_only_entry(
    name: str, title: str, description: str, arguments: dict[str, Any], required: Sequence[str]
) -> Listed:
    """Return the entry of a tool that sends no request."""
    return Listed(
        name=name,
        title=title,
        description=description,
        parameters={"type": "object", "properties": arguments, **({"required": [*required]} if required else {})},
        annotations=hints(read_only=True, destructive=False, idempotent=True, open_world=False),
    )


def _read(value: Any, unset: Any = None) -> Any:
    """Return an object or array as models send it: itself, its JSON text, or what says that there is none."""
    if is_unset(value):
        return unset
    try:
        return as_json_text(value) if isinstance(value, str) else value
    except ValueError:
        return value


def text_list(
    value: Any, argument: str = "jsonPointers", kind: str = "JSON pointers", unset: list[str] | None = None
) -> list[str]:
    """Return texts as models send them: an array, its JSON text, or the text of one. Raises CallError."""
    read = _read(value, unset)
    texts = [read] if isinstance(read, str) else read
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CallError(f"/{argument}: expected an array of {kind}, not {json.dumps(texts)[:80]}")
    return texts


def named_tool(tools: Mapping[str, Tool], name: Any, argument: str = "toolName") -> Tool:
    """Return the tool of this name. Raises CallError."""
    if tool := tools.get(str(name)):
        return tool
    raise CallError(f"/{argument}: there is no tool {name!r}; {closest(str(name), tools)}")


def selection(value: Any) -> Selection | None:
    """Return the selection that an argument holds, None where there is none. Raises SelectError."""
    if value is None:
        return None
    from portkey_bridge.response.selection import selection_of

    return selection_of(value)


class ExpandSchema:
    """Expands the stubs in the schemas of `tools`."""

    def __init__(self, tools: Sequence[Tool], expand: Expand, description: str) -> None:
        self._tools, self._expand = {tool.name: tool for tool in tools}, expand
        words = 'Such as ["/properties/messages/items"]; [""] is the whole, ["/response"] its answer.'
        arguments = {"toolName": {"type": "string"}, "jsonPointers": {**TEXTS, "description": words}}
        self.entry = read_only_entry(EXPAND_SCHEMA, "Expand schema", description, arguments, [*arguments])

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return a view for each pointer, or the error of the pointer."""
        pointers = text_list(arguments.get("jsonPointers"))
        tool = named_tool(self._tools, arguments.get("toolName"))
        expanded = [self._expanded(tool, pointer) for pointer in pointers]
        return ToolResult(content=[text_block(json.dumps(expanded, ensure_ascii=False, separators=(",", ":")))])

    def _expanded(self, tool: Tool, pointer: str) -> dict[str, Any]:
        try:
            return {"jsonPointer": pointer, "schema": self._expand(tool, pointer)}
        except PointerToNowhere as error:
            return {"jsonPointer": pointer, "error": str(error)}


class ExpandResult:
    """Returns further parts of the large results that the renderers have kept, each those of its API."""

    def __init__(self, renderers: Sequence[Renderer], bridges: Sequence[BridgeOf]) -> None:
        self._renderers, self._bridges = renderers, bridges
        arguments = {
            "resultId": {"type": "string", "description": "From the large result."},
            "jsonPointers": {**TEXTS, "description": 'For example ["/data/3", "/data#20:40"].'},
            "select": SELECT,
            "next": {"type": "boolean", "description": "Fetch the next page from the API, and append it."},
        }
        description = (
            "Returns more of a large result. A text [expandResult POINTER · …] in it is a stub for what is left out. "
            "A pointer may end in a slice of an array, an object or a text: /data#20:40. "
            "Takes one of jsonPointers, select and next."
        )
        self.entry = read_only_entry(EXPAND_RESULT, "Expand result", description, arguments, ["resultId"])

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return a view for each pointer, or the error of the pointer; or what is selected. Raises CallError."""
        result_id, owner = str(arguments.get("resultId")), context.caller.subject
        pointers = _read(arguments.get("jsonPointers"))
        following = arguments.get("next") in (True, "true", "True")
        select = context.select
        if not is_unset(arguments.get("select")):  # some models name every argument, the others without a value
            select = selection(arguments["select"])
        pointers = None if pointers == [] and (following or select) else pointers
        given = following + (select is not None) + (pointers is not None)
        if given != 1:
            said = "nothing" if not given else "more than one"
            return error_result(f"/jsonPointers, /select, /next: expected exactly one of them, not {said}")
        if following:
            bridge_of = self._bridges[self._renderers.index(self._keeper(result_id, owner))]
            return await bridge_of(context.caller).next_page(result_id, context)
        if select is not None:
            return await self._selected(result_id, context, select)
        pointers = text_list(pointers)
        renderer = self._keeper(result_id, owner)
        body = renderer.results.of(owner)[result_id]
        room = renderer.limit // max(len(pointers), 1) if context.take is None else len(body)
        expanded = await beside(len(body), lambda: [_expanded(body, pointer, room) for pointer in pointers])
        return ToolResult(content=[text_block(f"[{','.join(expanded)}]")])

    async def _selected(self, result_id: str, context: CallContext, select: Selection) -> ToolResult:
        from portkey_bridge.response.selection import selected

        owner = context.caller.subject
        renderer = self._keeper(result_id, owner)
        limit = renderer.limit if context.take is None else sys.maxsize
        theirs = replace(renderer, results=renderer.results.of(owner), limit=limit)
        body = theirs.results[result_id]
        return await beside(len(body), lambda: theirs.part(*selected(body, select, result_id)))

    async def read_file(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return the file with this `resultId`, which is that of the caller, as an embedded resource.

        Raises ForgottenResult for anything else.
        """
        result_id, owner = str(arguments.get("resultId")), context.caller.subject
        body = self._keeper(result_id, owner).results.of(owner)[result_id]
        file = await beside(len(body), lambda: file_of(body))
        if file is None:
            raise ForgottenResult(result_id)
        data = base64.b64encode(file.blob).decode()
        blob = BlobResourceContents(uri=uri_of(result_id, file.name), mime_type=file.mimeType, blob=data)
        return ToolResult(content=[EmbeddedResource(blob)])

    def _keeper(self, result_id: str, owner: str | None) -> Renderer:
        return next((each for each in self._renderers if result_id in each.results.of(owner)), self._renderers[0])


def _expanded(body: bytes, pointer: str, room: int) -> str:
    """Return the JSON text of the entry of one pointer. Its value is the API's own text."""
    try:
        return f'{{"jsonPointer":{json.dumps(pointer)},"value":{expand(body, pointer, room)}}}'
    except PointerToNowhere as error:
        return json.dumps({"jsonPointer": pointer, "error": str(error)}, ensure_ascii=False)


class Information:
    """Returns what the document says about the servers or parameters of a path."""

    def __init__(self, tool: PathItemTool) -> None:
        self._answer = tool.answer
        self.entry = read_only_entry(tool.name, tool.title, tool.description, {}, ())

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return the text, which was prepared at the start."""
        return ToolResult(content=[text_block(self._answer)])


class CallTool:
    """Calls a tool that is not listed: each of `runs` by its name."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs
        self.entry = Listed(
            name=CALL_TOOL,
            title="Call tool",
            description=f"Calls a tool, also {EXPAND_RESULT}. select: JMESPath.",
            parameters={
                "type": "object",
                "properties": {
                    "toolName": {"type": "string"},
                    "arguments": {"type": "object", "description": "As expandSchema shows them."},
                    "select": {"type": "string"},
                },
                "required": ["toolName"],
            },
        )

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Call the tool with the arguments, as a direct call would."""
        name, given = arguments.get("toolName"), _read(arguments.get("arguments"), {})
        run = self._runs.get(str(name))
        if run is None:
            return error_result(f"/toolName: there is no tool {name!r}; {closest(str(name), self._runs)}")
        if not isinstance(given, dict):
            return error_result(f"/arguments: expected an object, not {json.dumps(given)[:80]}")
        select = selection(arguments.get("select"))
        return await run(given, context if select is None else context._replace(select=select))

"""`expandSchema` for those who write programs: tools as Python signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.builtin.builtin_tools import TEXTS, named_tool, read_only_entry, text_list
from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.response.tool_result import ToolResult, text_block
from portkey_bridge.schema.signatures import Signature, joined
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import EXPAND_SCHEMA

DESCRIPTION = (
    "Shows tools as Python signatures. A comment with [expandSchema POINTER] marks a stub: the pointer shows the rest. "
    "An optional argument with a type alone, or a comment that ends in …, may have more at /properties/NAME. Answers "
    "have types alone."
)

Sign = Callable[[Tool], Signature]
"""Returns the signature of a tool."""

PythonPart = Callable[[Tool, str], str]
"""Returns the Python type at a pointer into a signature. Raises PointerToNowhere."""


class ExpandSignature:
    """Shows `tools` as Python signatures, several at once, or parts of one as types."""

    def __init__(self, tools: Sequence[Tool], sign: Sign, part: PythonPart) -> None:
        self._tools, self._sign, self._part = {tool.name: tool for tool in tools}, sign, part
        arguments = {
            "toolName": {"type": "string"},
            "toolNames": {**TEXTS, "description": "Further ones."},
            "jsonPointers": {
                **TEXTS,
                "description": 'Parts of the first: ["/properties/NAME/items"], or ["/response"], its answer.',
            },
        }
        self.entry = read_only_entry(EXPAND_SCHEMA, "Expand schema", DESCRIPTION, arguments, ["toolName"])

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return the signatures of the tools, or for each pointer the type there or its error. Raises CallError."""
        first = named_tool(self._tools, arguments.get("toolName"))
        names = text_list(arguments.get("toolNames"), "toolNames", "names", unset=[])
        pointers = text_list(arguments.get("jsonPointers"), unset=[]) or [""]
        further = [named_tool(self._tools, name, "toolNames") for name in names]
        parts = [self._part_at(first, pointer) for pointer in pointers if pointer.removeprefix("#")]
        whole = [*([first] if len(parts) < len(pointers) else []), *further]
        signatures = joined(map(self._sign, dict.fromkeys(whole)))
        return ToolResult(content=[text_block("\n\n".join(filter(None, (signatures, *parts))))])

    def _part_at(self, tool: Tool, pointer: str) -> str:
        try:
            return self._part(tool, pointer)
        except PointerToNowhere as error:
            return f"# {pointer}: {error}"

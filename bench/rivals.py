"""What this program is measured beside, as MCP servers over stdio: `python -m bench.rivals NAME [URL]`.

`constant` is a bare FastMCP server whose one tool returns a text that it has; `from_openapi` is FastMCP's own way to
serve the document.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import httpx2
from fastmcp import FastMCP
from fastmcp.tools.base import Tool, ToolResult
from mcp_types import TextContent

from bench.documents import TOOL, things
from bench.loopback import THING


class _Constant(Tool):
    """A tool that does nothing."""

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(content=[TextContent(type="text", text=THING.decode())])


def constant(_: str) -> FastMCP[Any]:
    """Give a server with a tool that returns what the API would answer."""
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    tool = _Constant(name=TOOL, description="Give a thing.", parameters=schema)
    return FastMCP("constant", tools=[tool], dereference_schemas=False)


def from_openapi(url: str) -> FastMCP[Any]:
    """Give FastMCP's own server of the document."""
    return FastMCP.from_openapi(things(url), client=httpx2.AsyncClient(base_url=url))


RIVALS: dict[str, Callable[[str], FastMCP[Any]]] = {"constant": constant, "from_openapi": from_openapi}

if __name__ == "__main__":
    RIVALS[sys.argv[1]](sys.argv[-1]).run("stdio", show_banner=False, log_level="ERROR")

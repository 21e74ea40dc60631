"""What this program is measured beside, as MCP servers: `python -m bench.rivals NAME [http PORT] [URL]`.

`constant` is a bare FastMCP server whose one tool returns what it has, and `direct` the same as this program serves its
tools; `from_openapi` is FastMCP's own way to serve the document, and `portkey` that of the Portkey API. Each imports no
more than it needs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from fastmcp import FastMCP
from fastmcp.tools.base import Tool
from fastmcp.tools.base import ToolResult as McpToolResult
from mcp_types import TextContent

from bench.documents import TOOL, things
from bench.loopback import THING

SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


class _Constant(Tool):
    """A tool that does nothing."""

    async def run(self, arguments: dict[str, Any], context: object = None) -> McpToolResult:
        return McpToolResult(
            content=[TextContent(type="text", text=THING.decode())],
            structured_content=json.loads(THING),
            meta={"status": 200},
        )


def constant(_: str) -> FastMCP[Any]:
    """Return a server with a tool that returns what the API would answer."""
    tool = _Constant(name=TOOL, description="Give a thing.", parameters=SCHEMA)
    return FastMCP("constant", tools=[tool], dereference_schemas=False)


def serve_direct() -> None:
    """Serve the same tool over stdio as this program serves its own."""
    from portkey_bridge.builtin.builtin_tools import Listed
    from portkey_bridge.response.tool_result import ToolResult, text_block
    from portkey_bridge.serve.catalogue import Catalogue
    from portkey_bridge.serve.live_catalogue import LiveCatalogue
    from portkey_bridge.serve.stdio_session import serve_stdio

    async def run(*_: object) -> ToolResult:
        return ToolResult([text_block(THING.decode())], json.loads(THING), {"status": 200})

    tool = Listed(name=TOOL, title=TOOL, description="Give a thing.", parameters=SCHEMA)
    asyncio.run(serve_stdio(LiveCatalogue("direct", "1", Catalogue({TOOL: run}, lambda: [tool]))))


def from_openapi(url: str) -> FastMCP[Any]:
    """Return FastMCP's own server of the document."""
    import httpx2

    return FastMCP.from_openapi(things(url), client=httpx2.AsyncClient(base_url=url))


def portkey(url: str) -> FastMCP[Any]:
    """Return FastMCP's own server of the Portkey API, sent to `url`."""
    import httpx2
    import yaml

    from portkey_bridge.document.sources import portkey_document

    root = yaml.load(portkey_document().read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return FastMCP.from_openapi(root, client=httpx2.AsyncClient(base_url=url))


RIVALS: dict[str, Callable[[str], FastMCP[Any]]] = {
    "constant": constant,
    "from_openapi": from_openapi,
    "portkey": portkey,
}

if __name__ == "__main__":
    if sys.argv[1] == "direct":
        serve_direct()
        sys.exit()
    rival = RIVALS[sys.argv[1]](sys.argv[-1])
    if "http" in sys.argv[2:3]:
        at = {"port": int(sys.argv[3]), "uvicorn_config": {"access_log": False}}
        rival.run("http", show_banner=False, log_level="ERROR", stateless_http=True, json_response=True, **at)
    else:
        rival.run("stdio", show_banner=False, log_level="ERROR")

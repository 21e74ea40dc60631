"""Canary for new versions of FastMCP and the SDK: what this server replaces there works as the original does."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers import Provider
from fastmcp.tools.base import Tool
from fastmcp.tools.base import ToolResult as McpToolResult

from portkey_bridge.response.tool_result import TextContent, ToolResult, error_result, text_block
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.serve.fastmcp_seam import CurrentTools, DirectCalls
from tests.conftest import BARE

#: What FastMCP's own method calls. If this changes, `McpServer.serve_lines` must follow.
CALLS = {
    *("log_server_banner", "set_transport", "temporary_log_level", "self._lifespan_manager", "stdio_server"),
    *("self._mcp_server.run", "self._mcp_server.create_initialization_options", "logger.info", "reset_transport"),
}

#: Serves one API, by FastMCP's own method or by ours.
SERVER = """
import asyncio, sys
from portkey_bridge.serve.server import build_server, live_catalogue_of
from portkey_bridge.serve.stdio_session import serve_stdio
from portkey_bridge.bridge.service import service_of
from portkey_bridge.settings.options import Settings
from tests.support import api_of, document
paths = {"/x": {"get": {"summary": "X", "servers": [{"url": "http://127.0.0.1:9"}], "responses": {}}}}
services = [service_of(api_of(document(paths)), Settings())]
if sys.argv[1] == "own":
    build_server(services).run("stdio", show_banner=False, log_level="WARNING")
else:
    asyncio.run(serve_stdio(live_catalogue_of(services)))
"""


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


SESSION = [
    request(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": "1"}),
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    request(2, "ping"),
    request(3, "tools/list"),
    request(4, "tools/call", name="expandSchema", arguments={"toolName": "get_x", "jsonPointers": [""]}),
    request(5, "tools/call", name="get_y", arguments={}),
    request(6, "resources/read", uri="x://nowhere"),
    request(7, "no/such/method"),
]


def answers(way: str, folder: Path) -> list[Any]:
    """Play the session with a server and return its answers."""
    command = [sys.executable, "-c", SERVER, way]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=BARE, cwd=folder) as process:
        assert process.stdin
        assert process.stdout
        found = []
        for message in SESSION:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            if "id" in message:
                found.append(json.loads(process.stdout.readline()))
        process.stdin.close()
    return found


@pytest.mark.slow
def test_both_ways_of_stdio_give_the_same_answers(tmp_path: Path) -> None:
    """A session over FastMCP's own stdio and one over ours have the same messages."""
    ours = answers("ours", tmp_path)
    assert [message["id"] for message in ours] == [1, 2, 3, 4, 5, 6, 7]
    assert answers("own", tmp_path) == ours


def test_the_replaced_method_does_what_it_did() -> None:
    """FastMCP's `run_stdio_async` makes the calls that ours follows."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(FastMCP.run_stdio_async)))
    assert {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} == CALLS


@pytest.mark.parametrize("method", ["_list_tools", "_get_tool"])
def test_providers_are_asked_by_the_same_methods(method: str) -> None:
    """The methods that a provider overrides exist in FastMCP, with the parameters that ours take."""
    ours, theirs = (inspect.signature(getattr(each, method)) for each in (CurrentTools, Provider))
    assert ours.parameters.keys() == theirs.parameters.keys()


class Answering(Tool):
    """A tool that FastMCP finds and runs by itself."""

    async def run(self, arguments: dict[str, Any], context: Any = None) -> McpToolResult:
        """Return a result of each kind, as FastMCP has it."""
        result = RESULTS[arguments["kind"]]
        (block,) = result.content
        assert isinstance(block, TextContent)
        return McpToolResult(block.text, result.structured_content, is_error=result.is_error)


RESULTS = {
    "text": ToolResult([text_block("text")]),
    "structured": ToolResult([text_block("{}")], structured_content={"a": [1, None]}),
    "error": error_result("wrong"),
}


async def run(arguments: dict[str, Any], _: Any) -> ToolResult:
    """Return a result of each kind, as the tools of this server do."""
    return RESULTS[arguments["kind"]]


@pytest.mark.parametrize("kind", RESULTS)
async def test_a_direct_call_has_the_result_of_a_looked_up_one(kind: str) -> None:
    """Running a tool at once changes nothing in its result."""
    tool = Answering(name="tool", parameters={"type": "object"})
    found = []
    direct: list[Middleware] = [DirectCalls(lambda: Catalogue({"tool": run}))]
    for middleware in ([], direct):
        server: FastMCP[Any] = FastMCP("test", tools=[tool], middleware=middleware)
        async with Client(server) as client:
            found.append(await client.call_tool_mcp("tool", {"kind": kind}))
    assert found[0] == found[1]

"""The clients of the official SDKs, of FastMCP and of the inspector use the server over HTTP, each with a token.

SDKs that know both eras of the protocol are asked to use each.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fastmcp
import mcp
import pytest
from fastmcp.client.auth import BearerAuth
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests import misbehaving
from tests.conftest import ROOT
from tests.node import MODULES, node_command
from tests.openid import running_openid_provider, serving_logins
from tests.replicas import free_port
from tests.support import serving

ALICE = "token-of-alice-1234"
LEGACY, STATELESS = "legacy", "2026-07-28"
NODE = (22, 19)


@dataclass
class Seen:
    """What a client saw: names of tools, of two calls whether they failed and their texts, a stream's progress."""

    tools: list[str]
    ok: tuple[bool, str]
    refused: tuple[bool, str]
    progress: list[float] = field(default_factory=list)


#: Connects a client, and returns what it saw and how to cancel the call of `waiting` that it then makes.
Session = Callable[[AsyncExitStack, str, str], Awaitable[tuple[Seen, Callable[[], None]]]]


async def python_sdk(stack: AsyncExitStack, url: str, era: str) -> tuple[Seen, Callable[[], None]]:
    """Use the official SDK for Python."""
    http = await stack.enter_async_context(create_mcp_http_client(headers={"authorization": f"Bearer {ALICE}"}))
    client = await stack.enter_async_context(mcp.Client(streamable_http_client(url, http_client=http), mode=era))
    ok, refused = [await client.call_tool(name, {}) for name in ("ok", "unauthorized")]
    seen = Seen([tool.name for tool in (await client.list_tools()).tools], _outcome(ok), _outcome(refused))
    await client.call_tool("lines", {}, progress_callback=_noting(seen))
    return seen, _calling(stack, client.call_tool("waiting", {}))


async def fastmcp_client(stack: AsyncExitStack, url: str, era: Any) -> tuple[Seen, Callable[[], None]]:
    """Use FastMCP's client."""
    client = await stack.enter_async_context(fastmcp.Client(url, mode=era, auth=BearerAuth(ALICE)))
    ok, refused = [await client.call_tool(name, {}, raise_on_error=False) for name in ("ok", "unauthorized")]
    seen = Seen([tool.name for tool in await client.list_tools()], _outcome(ok), _outcome(refused))
    await client.call_tool("lines", {}, progress_handler=_noting(seen))
    return seen, _calling(stack, client.call_tool("waiting", {}))


def _outcome(result: Any) -> tuple[bool, str]:
    return result.is_error, result.content[0].text


def _noting(seen: Seen) -> Any:
    async def note(number: float, *_: Any) -> None:
        seen.progress.append(number)

    return note


def _calling(stack: AsyncExitStack, call: Any) -> Callable[[], None]:
    task = asyncio.ensure_future(call)

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
    return lambda: task.cancel() and None


def typescript_sdk(*modules: str) -> Session:
    """Use the official SDK for TypeScript: the modules of one version."""

    async def use(stack: AsyncExitStack, url: str, era: str) -> tuple[Seen, Callable[[], None]]:
        node, _ = node_command(modules[0], NODE)
        found = ",".join(str(MODULES / module) for module in modules)
        process = await stack.enter_async_context(
            _running(node, str(ROOT / "tests" / "http_client.mjs"), found, era, url, ALICE)
        )
        assert process.stdin
        assert process.stdout
        printed = await process.stdout.readline()
        assert printed, "the client ended"
        seen = json.loads(printed)
        outcomes = {name: tuple(seen[name]) for name in ("ok", "refused")}
        return Seen(**seen | outcomes), lambda: process.stdin.write(b"cancel\n") if process.stdin else None

    return use


@asynccontextmanager
async def _running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


ESM = "@modelcontextprotocol/sdk/dist/esm/client"
TYPESCRIPT_1 = typescript_sdk(f"{ESM}/index.js", f"{ESM}/streamableHttp.js")
TYPESCRIPT_2 = typescript_sdk("@modelcontextprotocol/client/dist/index.mjs")

CLIENTS = [
    pytest.param(python_sdk, LEGACY, id="python, legacy"),
    pytest.param(python_sdk, STATELESS, id="python, stateless"),
    pytest.param(fastmcp_client, LEGACY, id="fastmcp, legacy"),
    pytest.param(fastmcp_client, STATELESS, id="fastmcp, stateless"),
    pytest.param(TYPESCRIPT_1, LEGACY, id="typescript 1, legacy"),
    pytest.param(TYPESCRIPT_2, LEGACY, id="typescript 2, legacy"),
    pytest.param(TYPESCRIPT_2, STATELESS, id="typescript 2, stateless"),
]


@contextlib.contextmanager
def _serving(folder: Path, api: misbehaving.Server) -> Iterator[str]:
    tokens = f"alice={hashlib.sha256(ALICE.encode()).hexdigest()}"
    tools = ("ok", "unauthorized", "lines", "waiting")
    root = misbehaving.document(api)
    root["paths"] = {f"/{name}": root["paths"][f"/{name}"] for name in tools}
    credentials = dict.fromkeys(misbehaving.VARIABLES, misbehaving.MARKER)
    with serving(folder, root, "--tokens", tokens, env=credentials) as (url, _):
        yield url


@pytest.mark.slow
@pytest.mark.parametrize(("use", "era"), CLIENTS)
async def test_an_sdk_uses_the_server(use: Session, era: str, tmp_path: Path) -> None:
    """It lists the tools, sees a result, an error and the progress of a stream, and a call that it cancels ends.

    In the handshake era a client cancels by a message of its own, which belongs to a session, and the server keeps
    none: there the call ends with its client's connection.
    """
    async with misbehaving.served() as api:
        with _serving(tmp_path, api) as url:
            async with AsyncExitStack() as stack:
                seen, cancel = await use(stack, url, era)
                assert {"ok", "unauthorized", "lines", "waiting"} <= set(seen.tools)
                assert (seen.ok[0], "123456789012345678901234567890" in seen.ok[1]) == (False, True), asdict(seen)
                assert (seen.refused[0], "401" in seen.refused[1]) == (True, True), asdict(seen)
                assert seen.progress == [1, 2], asdict(seen)
                async with asyncio.timeout(60):
                    await api.begun.wait()
                    cancel()
                    if era != LEGACY:
                        await api.closed.wait()
            async with asyncio.timeout(60):
                await api.closed.wait()


INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.mark.slow
async def test_the_inspector_uses_the_server(tmp_path: Path) -> None:
    """The inspector's command line lists the tools by URL, and calls them; without the token it is refused."""
    inspector = [*node_command(INSPECTOR, NODE), "--cli"]
    header = ["--header", f"Authorization: Bearer {ALICE}"]
    async with misbehaving.served() as api:
        with _serving(tmp_path, api) as url:

            async def ask(*words: str) -> tuple[int | None, str, str]:
                pipe = asyncio.subprocess.PIPE
                process = await asyncio.create_subprocess_exec(
                    *inspector, url, *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
                )
                out, err = await asyncio.wait_for(process.communicate(), 180)
                return process.returncode, out.decode(), err.decode()

            code, printed, said = await ask("--method", "tools/list", *header)
            assert code == 0, said
            assert "waiting" in [tool["name"] for tool in json.loads(printed)["tools"]]
            called = await ask("--method", "tools/call", "--tool-name", "ok", *header)
            assert "123456789012345678901234567890" in called[1], called
            failed = await ask("--method", "tools/call", "--tool-name", "unauthorized", *header)
            assert json.loads(failed[1])["isError"], failed
            refused = await ask("--method", "tools/list")
            assert "auth_required" in refused[2], refused


@pytest.mark.slow
def test_the_inspector_logs_in(tmp_path: Path) -> None:
    """The inspector's command line registers by the URL alone, opens the login in a browser, and calls a tool.

    Nobody can be asked there, so the answer names the page on which the caller logs in to the API.
    """
    browser = tmp_path / "xdg-open"
    browser.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/browser.py "$1" > {tmp_path}/browser.log 2>&1\n')
    browser.chmod(0o755)
    node, script = node_command(INSPECTOR, NODE)
    opened = {"BROWSER": str(browser), "MCP_AUTO_OPEN_ENABLED": "true"}
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", **opened}
    with running_openid_provider() as provider, serving_logins(tmp_path, provider) as url:
        words = ("--cli", url, "--protocol-era", "modern", "--method", "tools/call", "--tool-name", "items")
        command = [node, script, *words, "--callback-url", f"http://127.0.0.1:{free_port()}/oauth/callback"]
        called = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert "/connect#" in called.stdout, called

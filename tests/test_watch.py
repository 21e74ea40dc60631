"""A document that changes while it is served, over stdio and HTTP, and one that comes from a copy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import StdioTransport
from mcp_types import ToolListChangedNotification

from portkey_bridge.serve import watch
from portkey_bridge.serve.load import load_api
from portkey_bridge.serve.server import build_server
from portkey_bridge.serve.service import load_services
from portkey_bridge.settings.options import Settings
from tests.conftest import BARE, Recorder, program
from tests.support import document

PATIENCE = 30


def write(file: Path, *names: str) -> None:
    """Write a document with one operation for each name, in one step."""
    paths = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in names}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(document(paths)), encoding="utf-8")
    new.replace(file)


class Changes(MessageHandler):
    """Notes that the list of tools has changed."""

    def __init__(self) -> None:
        self.seen = anyio.Event()

    async def on_tool_list_changed(self, message: ToolListChangedNotification) -> None:
        self.seen.set()


async def names_of(client: Client[Any]) -> set[str]:
    """Return the names of the listed operations."""
    return {tool.name for tool in await client.list_tools()} - {"expandSchema", "expandResult"}


async def test_a_client_over_stdio_sees_a_changed_file_without_connecting_again(
    tmp_path: Path,
) -> None:
    """It is notified, the new tools replace the old ones at once, and the log says what changed."""
    file, changes = tmp_path / "api.json", Changes()
    write(file, "one", "two")
    log = tmp_path / "log"
    command, *rest = program("--spec", str(file), env=BARE)
    transport = StdioTransport(command, rest, env=BARE, cwd=str(tmp_path), log_file=log, keep_alive=False)
    async with Client(transport, message_handler=changes, mode="legacy") as client:
        assert await names_of(client) == {"one", "two"}
        write(file, "two", "three")
        with anyio.fail_after(PATIENCE):
            await changes.seen.wait()
        assert await names_of(client) == {"two", "three"}
        unknown = await client.call_tool("one", raise_on_error=False)
    assert unknown.is_error
    assert "the document has changed: 1 × removed, 1 × added (1 breaking)" in log.read_text(encoding="utf-8")


@asynccontextmanager
async def watched(settings: Settings, **services: Any) -> AsyncIterator[Client[Any]]:
    """Return a client in memory of a server that watches its document."""
    loaded = load_services([settings], **services)
    server = build_server(loaded)
    server.background = lambda: watch.watch([settings], loaded, server.swap)
    async with Client(server) as client:
        yield client


async def until(condition: Any) -> None:
    """Wait until a condition holds, as a client that asks again would."""
    with anyio.fail_after(PATIENCE):
        while not await condition():
            await anyio.sleep(0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files, URLs and failures often."""
    monkeypatch.setattr(watch, "FILES", 0.02)
    monkeypatch.setattr(watch, "URLS", 0.05)


async def test_a_broken_change_leaves_the_tools_as_they_are(
    tmp_path: Path, impatient: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until the document can be read again."""
    file = tmp_path / "api.json"
    write(file, "one")
    async with watched(Settings(spec=str(file))) as client:
        file.write_text("{", encoding="utf-8")
        told: list[str] = []

        async def is_told() -> bool:
            told.append(capsys.readouterr().err)
            return "the tools stay as they are" in "".join(told)

        await until(is_told)
        assert await names_of(client) == {"one"}
        write(file, "two")

        async def is_new() -> bool:
            return await names_of(client) == {"two"}

        await until(is_new)


def answer(*names: str, etag: str) -> tuple[int, dict[str, str], bytes]:
    """Return the response with a document."""
    paths = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in names}
    body = json.dumps(document(paths)).encode()
    return 200, {"content-type": "application/json", "etag": etag}, body


async def test_a_document_from_a_url_is_served_from_its_copy_and_asked_for_meanwhile(
    recorder: Recorder, impatient: None
) -> None:
    """A start does not wait for the network; what is new replaces the copy as soon as it is there."""
    settings = Settings(spec=f"{recorder.url}/api.json")
    recorder.answer = answer("one", etag='"1"')
    load_api(settings)
    recorder.answer = answer("two", etag='"2"')
    asked = len(recorder.requests)
    services = load_services([settings], from_copies=True)
    assert [tool.name for tool in services[0].tools] == ["one"]
    assert len(recorder.requests) == asked
    async with watched(settings, from_copies=True) as client:

        async def is_new() -> bool:
            return await names_of(client) == {"two"}

        await until(is_new)
    assert recorder.requests[asked].header("if-none-match") == '"1"'


async def test_an_api_that_could_not_be_loaded_is_tried_again(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is served beside the others once its document is there."""
    monkeypatch.setattr(watch, "FIRST_RETRY", 0.02)
    write(tmp_path / "a.json", "one")
    apis = [Settings(spec=str(tmp_path / f"{name}.json"), name=name, prefix=f"{name}_") for name in ("a", "b")]
    loaded = load_services(apis)
    server = build_server(loaded)
    server.background = lambda: watch.watch(apis, loaded, server.swap)
    async with Client(server) as client:
        assert await names_of(client) == {"a_one"}
        write(tmp_path / "b.json", "two")

        async def are_both() -> bool:
            return await names_of(client) == {"a_one", "b_two"}

        await until(are_both)

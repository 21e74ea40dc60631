"""A document that changes while it is served, over stdio and HTTP, and one that comes from a copy."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import StdioTransport
from mcp.client import Client as McpClient
from mcp.client.subscriptions import ToolsListChanged
from mcp_types import ToolListChangedNotification

from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.pin import accept_api
from portkey_bridge.bridge.several_apis import load_services
from portkey_bridge.serve import watch
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import Assigned
from tests.conftest import BARE, Recorder, program, text_of
from tests.support import document
from tests.support import serving as serving_http

PATIENCE = 30


MARKER = "a-secret-that-nobody-else-may-see"


def paths_of(*names: str) -> dict[str, Any]:
    """Return the paths of a document with one operation for each name."""
    return {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in names}


def write(file: Path, *names: str, key: bool = False) -> None:
    """Write a document with one operation for each name, in one step. With `key`, they ask for the key of the API."""
    paths = paths_of(*names)
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "api_key"}}
    secured: dict[str, Any] = {"security": [{"key": []}], "components": {"securitySchemes": schemes}} if key else {}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(document(paths, **secured)), encoding="utf-8")
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


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_client_over_http_sees_a_changed_file_without_connecting_again(tmp_path: Path, mode: Any) -> None:
    """An old one at its next `tools/list`; one of 2026-07-28 is told by its subscription."""
    with serving_http(tmp_path, document(paths_of("one", "two"))) as (url, _):
        async with McpClient(url, mode=mode) as client, asyncio.timeout(PATIENCE):
            assert await served_by(client) == {"one", "two"}
            if mode == "legacy":
                write(tmp_path / "api.json", "two", "three")
                await until(lambda: is_served(client, "two", "three"))
            else:
                async with client.listen(tools_list_changed=True) as subscription:
                    write(tmp_path / "api.json", "two", "three")
                    assert isinstance(await anext(subscription), ToolsListChanged)
            assert await served_by(client) == {"two", "three"}
            assert (await client.call_tool("one", {})).is_error


async def test_a_client_that_connects_after_a_change_gets_the_new_instructions(tmp_path: Path) -> None:
    """They tell the title and the description of the document as it is now, in both eras of the protocol."""
    with serving_http(tmp_path, document(paths_of("one"))) as (url, _):
        async with McpClient(url, mode="legacy") as client:
            assert "new words" not in (client.instructions or "")
            changed = document(paths_of("two"), info={"title": "T", "version": "2", "description": "new words"})
            (tmp_path / "api.json").write_text(json.dumps(changed), encoding="utf-8")
            await until(lambda: is_served(client, "two"))
        for mode in ("legacy", "auto"):
            async with McpClient(url, mode=mode) as client:
                assert "new words" in (client.instructions or "")


async def served_by(client: McpClient) -> set[str]:
    """Return the names of the operations that a client of the SDK lists."""
    return {tool.name for tool in (await client.list_tools()).tools} - {"expandSchema", "expandResult"}


async def is_served(client: McpClient, *names: str) -> bool:
    """Check whether exactly these operations are listed."""
    return await served_by(client) == set(names)


@asynccontextmanager
async def watched(settings: Settings, **services: Any) -> AsyncIterator[Client[Any]]:
    """Return a client in memory of a server that watches its document."""
    loaded = load_services([settings], **services)
    server = build_server(loaded)
    server.live.background = lambda: watch.watch([settings], loaded, server.live.swap)
    async with Client(server) as client:
        yield client


async def until(condition: Any) -> None:
    """Wait until a condition holds, as a client that asks again would."""
    with anyio.fail_after(PATIENCE):
        while not await condition():
            await anyio.sleep(0.02)


def says(capsys: pytest.CaptureFixture[str], text: str) -> Any:
    """Return the condition that stderr has a text."""
    said: list[str] = []

    async def condition() -> bool:
        said.append(capsys.readouterr().err)
        return text in "".join(said)

    return condition


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files, URLs and failures often."""
    monkeypatch.setattr(watch, "FILES_INTERVAL", 0.02)
    monkeypatch.setattr(watch, "URLS_INTERVAL", 0.05)


def _replaced_by_rename(folder: Path) -> None:
    """Save as editors do: another file takes the place, here with the same size and time."""
    found = (folder / "api.json").stat()
    write(folder / "api.json~", "two")
    os.utime(folder / "api.json~", ns=(found.st_atime_ns, found.st_mtime_ns))
    (folder / "api.json~").rename(folder / "api.json")


def _linked_elsewhere(folder: Path) -> None:
    """Point a link of a folder elsewhere, as deployments and Kubernetes do; the old file stays."""
    (folder / "v2").mkdir()
    write(folder / "v2" / "api.json", "two")
    (folder / "new").symlink_to("v2")
    (folder / "new").rename(folder / "current")


@pytest.mark.parametrize("change", [_replaced_by_rename, _linked_elsewhere])
async def test_a_file_is_replaced_in_each_usual_way(tmp_path: Path, impatient: None, change: Any) -> None:
    """By a rename onto its name, and by another target of a link on the way to it."""
    (tmp_path / "v1").mkdir()
    write(tmp_path / "v1" / "api.json", "one")
    (tmp_path / "current").symlink_to("v1")
    write(tmp_path / "api.json", "one")
    named = {_replaced_by_rename: "api.json", _linked_elsewhere: "current/api.json"}[change]
    async with watched(Settings(spec=str(tmp_path / named))) as client:
        assert await names_of(client) == {"one"}
        change(tmp_path)

        async def is_new() -> bool:
            return await names_of(client) == {"two"}

        await until(is_new)


async def test_a_broken_change_leaves_the_tools_as_they_are(
    tmp_path: Path, impatient: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until the document can be read again."""
    file = tmp_path / "api.json"
    write(file, "one")
    async with watched(Settings(spec=str(file))) as client:
        file.write_text("{", encoding="utf-8")
        await until(says(capsys, "the tools stay as they are"))
        assert await names_of(client) == {"one"}
        write(file, "two")

        async def is_new() -> bool:
            return await names_of(client) == {"two"}

        await until(is_new)


def answer(*names: str, etag: str) -> tuple[int, dict[str, str], bytes]:
    """Return the response with a document."""
    body = json.dumps(document(paths_of(*names))).encode()
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
    server.live.background = lambda: watch.watch(apis, loaded, server.live.swap)
    async with Client(server) as client:
        assert await names_of(client) == {"a_one"}
        write(tmp_path / "b.json", "two")

        async def are_both() -> bool:
            return await names_of(client) == {"a_one", "b_two"}

        await until(are_both)


def apis_of(folder: Path, *names: str, **options: Any) -> list[Settings]:
    """Return the settings of APIs with one operation each, `call`, whose documents are in a folder."""
    for name in names:
        write(folder / f"{name}.json", "call", key=True)
    return [Settings(spec=str(folder / f"{name}.json"), name=name, prefix=f"{name}_", **options) for name in names]


@asynccontextmanager
async def serving(apis: list[Settings]) -> AsyncIterator[tuple[Client[Any], McpServer]]:
    """Return a client in memory of a server that watches several documents, and the server."""
    loaded = load_services(apis)
    server = build_server(loaded)
    server.live.background = lambda: watch.watch(apis, loaded, server.live.swap)
    async with Client(server) as client:
        yield client, server


def lists(client: Client[Any], *names: str) -> Callable[[], Any]:
    """Return a condition: exactly these operations are listed."""

    async def is_so() -> bool:
        return await names_of(client) == set(names)

    return is_so


async def test_a_variable_that_two_apis_would_take_goes_to_neither_after_a_change(
    tmp_path: Path, impatient: None, recorder: Recorder
) -> None:
    """Whichever document changes, and however often."""
    apis = apis_of(tmp_path, "a", "b", base_url=recorder.url, environ={"API_KEY": MARKER})
    async with serving(apis) as (client, _):
        for changed in ("a", "b", "a"):
            write(tmp_path / f"{changed}.json", "call", "further", key=True)
            others = {"a": "b", "b": "a"}[changed]
            await until(lists(client, f"{changed}_call", f"{changed}_further", f"{others}_call"))
            for name in ("a", "b"):
                await client.call_tool(f"{name}_call", {}, raise_on_error=False)
            write(tmp_path / f"{changed}.json", "call", key=True)
            await until(lists(client, "a_call", "b_call"))
    assert not [each for each in recorder.requests if MARKER in str(each)]


async def test_an_api_that_stays_is_configured_as_at_the_start(tmp_path: Path, impatient: None) -> None:
    """What the settings add to its operations is there once."""
    keys = Assigned("X-Key", "KEY"), Assigned("X-Other", "KEY")
    apis = apis_of(tmp_path, "a", "b", headers=keys, authenticate="all", environ={"KEY": MARKER})
    async with serving(apis) as (client, server):
        before = [service.api for service in server.live.catalogue.services]
        write(tmp_path / "a.json", "new", key=True)
        await until(lists(client, "a_new", "b_call"))
        after = [service.api for service in server.live.catalogue.services]
    assert after[1].operations == before[1].operations
    assert after[0].operations[0].security == before[0].operations[0].security


async def test_a_document_that_cannot_be_served_leaves_the_others_free_to_change(
    tmp_path: Path, impatient: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two documents change at the same time, and one of them lacks what the settings ask for."""
    apis = apis_of(tmp_path, "a", "b")
    apis[1] = replace(apis[1], tools=("call",))
    async with serving(apis) as (client, _):
        write(tmp_path / "b.json", "other")
        write(tmp_path / "a.json", "new")
        await until(lists(client, "a_new", "b_call"))
        await until(says(capsys, "b: the tools stay as they are: --tools: there is no tool 'call'"))


@pytest.mark.parametrize("verbose", [False, True])
async def test_a_bug_is_reported_in_one_line_and_ends_nothing(
    verbose: bool, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --verbose its traceback follows, without secrets. The next change is served."""
    apis = apis_of(tmp_path, "a", "b", verbose=verbose, environ={"KEY": MARKER}, headers=(Assigned("X-Key", "KEY"),))
    failing = [True]

    def load(settings: Settings) -> Any:
        if failing and settings.name == "a" and failing.pop():
            raise RuntimeError(f"with {MARKER}")
        return load_api(settings)

    monkeypatch.setattr(watch, "load_api", load)
    monkeypatch.setattr(watch, "FIRST_RETRY", 0.01)
    async with serving(apis) as (client, _):
        write(tmp_path / "a.json", "new")
        await until(lists(client, "a_new", "b_call"))
    said = capsys.readouterr().err
    assert "a meets a bug in portkey-bridge (RuntimeError)" in said
    assert ("Traceback" in said) == verbose
    assert ("with [KEY]" in said) == verbose
    assert MARKER not in said


async def test_kept_results_outlive_a_change(tmp_path: Path, impatient: None, recorder: Recorder) -> None:
    """A result that was too large to be shown can be read after the document has changed."""
    answer = json.dumps({"items": [{"number": number, "text": "x" * 50} for number in range(1000)]}).encode()
    recorder.answer = 200, {"content-type": "application/json"}, answer
    (settings,) = apis_of(tmp_path, "a", base_url=recorder.url, result_limit=1000, environ={"API_KEY": MARKER})
    async with serving([settings]) as (client, _):
        shown = text_of(await client.call_tool("a_call", {}, raise_on_error=False))
        (result_id,) = re.findall(r"[0-9a-f]{16}", shown)
        write(tmp_path / "a.json", "call", "further", key=True)
        await until(lists(client, "a_call", "a_further"))
        kept = await client.call_tool("expandResult", {"resultId": result_id, "jsonPointers": ["/items/999"]})
    assert '"number": 999' in text_of(kept) or '"number":999' in text_of(kept)


class SlowApi:
    """An API on the loopback interface whose first answer waits; `open` counts the connections to it."""

    def __init__(self) -> None:
        self.open, self.is_slow, self.url = 0, True, ""
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until its other side closes it."""
        self.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.set()
                if self.is_slow:
                    await self.may_answer.wait()
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n"
                writer.write(head + b'{"ok": true}')
        self.open -= 1
        writer.close()

    def has_connections(self, count: int) -> Callable[[], Any]:
        """Return a condition: so many connections are open."""

        async def is_so() -> bool:
            return self.open == count

        return is_so


@asynccontextmanager
async def slow_api() -> AsyncIterator[SlowApi]:
    """Run the API."""
    api = SlowApi()
    async with await asyncio.start_server(api.serve, "127.0.0.1", 0) as server:
        api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield api


async def test_a_running_call_ends_on_the_connection_that_it_began_with_which_is_closed_then(
    tmp_path: Path, impatient: None
) -> None:
    """Many changes leave no connection open: those that were replaced are closed, one in use after its exchange."""
    async with slow_api() as api:
        (settings,) = apis_of(tmp_path, "a", base_url=api.url, environ={"API_KEY": MARKER})
        async with asyncio.timeout(PATIENCE), serving([settings]) as (client, _):
            running = asyncio.ensure_future(client.call_tool("a_call", {}))
            await api.asked.wait()
            for number in range(10):
                write(tmp_path / "a.json", "call", f"further{number}", key=True)
                await until(lists(client, "a_call", f"a_further{number}"))
                api.is_slow = False
                await client.call_tool("a_call", {})
            await until(api.has_connections(2))
            api.may_answer.set()
            assert text_of(await running) == '{"ok": true}'
            await until(api.has_connections(1))


async def test_a_change_is_served_as_soon_as_it_is_accepted(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --pin the log says that a person has to look at the change; nothing has to be started again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (settings,) = apis_of(tmp_path, "a", pin=True)
    async with serving([settings]) as (client, _):
        write(tmp_path / "a.json", "call", "further", key=True)
        await until(says(capsys, "portkey-bridge accept a shows the changes"))
        assert await names_of(client) == {"a_call"}
        accept_api(settings, load_api(replace(settings, pin=False)))
        await until(lists(client, "a_call", "a_further"))

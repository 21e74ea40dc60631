"""The state that replicas share: opened in memory or in Redis, encrypted, bounded, and clear about what is missing."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.transports import StreamableHttpTransport
from redis.asyncio import Redis

from portkey_bridge.errors import SettingsError
from portkey_bridge.serve.store import MOST_BYTES, STORE_KEY, StoreError, explained, open_store
from tests.conftest import Recorder, text_of
from tests.support import document, serving

KEY = "a-key-of-at-least-thirty-two-characters"
MARKER = "secret-of-a-caller-1234"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a Redis server of this test."""
    command = shutil.which("redis-server") or shutil.which("valkey-server")
    if command is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
    with subprocess.Popen([command, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("Ready to accept connections" in line for line in server.stdout)
        yield f"redis://127.0.0.1:{port}/0"
        server.send_signal(signal.SIGKILL)


async def test_values_are_kept_in_memory() -> None:
    """Without a URL, values belong to this process, and so do the keys derived from it."""
    store = open_store(None, None)
    await store.values.put("name", {"a": [1, None]}, collection="things", ttl=60)
    assert await store.values.get("name", collection="things") == {"a": [1, None]}
    assert await store.values.get("name", collection="others") is None
    assert store.key("one") != store.key("two") != open_store(None, None).key("two")


async def test_values_of_a_remote_store_are_shared_and_encrypted(redis: str) -> None:
    """Whoever has the key reads what another wrote; whoever reads the store itself finds nothing of it."""
    writer, reader, stranger = open_store(redis, KEY), open_store(redis, KEY), open_store(redis, KEY[::-1])
    await writer.values.put("name", {"token": MARKER}, collection="things", ttl=60)
    assert await reader.values.get("name", collection="things") == {"token": MARKER}
    assert writer.key("one") == reader.key("one") != stranger.key("one")
    with pytest.raises(StoreError, match=STORE_KEY), explained():
        await stranger.values.get("name", collection="things")
    raw = Redis.from_url(redis)
    entries: dict[Any, Any] = {key: (await raw.get(key), await raw.ttl(key)) for key in await raw.keys()}
    assert len(entries) == 1
    for key, (value, seconds) in entries.items():
        assert 0 < seconds <= 60
        assert MARKER.encode() not in key + value
        assert b"token" not in value
    for each in (writer, reader, stranger, raw):
        await each.aclose()


async def test_a_value_that_is_too_large_is_refused() -> None:
    """One value cannot fill the store."""
    with pytest.raises(StoreError, match=f"{MOST_BYTES:,} bytes"), explained():
        await open_store(None, None).values.put("name", {"a": "x" * MOST_BYTES}, collection="things")


async def test_a_store_that_nobody_runs_is_explained() -> None:
    """The error has neither the address nor the login of the store."""
    store = open_store("redis://user:password-1@127.0.0.1:1/0", KEY)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        await store.ready()
    assert "password-1" not in f"{caught.value} {store}"
    await store.aclose()


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        ("redis://127.0.0.1:6379", None, STORE_KEY),
        ("redis://127.0.0.1:6379", "short", "at least 32 characters"),
        ("http://127.0.0.1", KEY, "redis://HOST:6379"),
        ("redis://", KEY, "redis://HOST:6379"),
    ],
)
def test_what_is_missing_is_said(url: str, key: str | None, said: str) -> None:
    """A remote store without a key, and what is not the URL of one, are refused with what to set."""
    with pytest.raises(SettingsError, match=said):
        open_store(url, key)


LARGE = json.dumps({"data": [{"name": f"item-{number}-{MARKER}"} for number in range(4000)]}).encode()
PAGE = json.dumps({"data": [{"name": "next"}]}).encode()
JSON = {"content-type": "application/json"}


@contextmanager
def replicas(folder: Path, url: str, redis: str, count: int = 2) -> Iterator[list[str]]:
    """Run servers that share a store, and return the URLs of their endpoints."""
    paths: dict[str, Any] = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in ("large", "small")}
    root = document(paths, servers=[{"url": url}])
    tokens = ("--tokens", ",".join(f"{name}={sha256(name.encode()).hexdigest()}" for name in ("alice", "bob")))
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            (folder / str(number)).mkdir()
            arguments = (folder / str(number), root, "--store", redis, *tokens)
            servers.append(stack.enter_context(serving(*arguments, env={STORE_KEY: KEY}))[0])
        yield servers


def client(url: str, token: str) -> Client[Any]:
    return Client(StreamableHttpTransport(url, auth=BearerAuth(token)))


def result_id(result: Any) -> str:
    return text_of(result).partition("resultId: ")[2].partition(".")[0]


async def test_replicas_share_kept_results(recorder: Recorder, tmp_path: Path, redis: str) -> None:
    """Any replica reads on what another has kept, for the caller who produced it and for nobody else."""
    recorder.answers["/large"] = (200, {**JSON, "link": f"<{recorder.url}/large?page=2>; rel=next"}, LARGE)
    with replicas(tmp_path, recorder.url, redis) as (one, two):
        async with client(one, "alice") as first, client(two, "alice") as second, client(two, "bob") as bob:
            kept = result_id(await first.call_tool("large", {}))
            assert len(kept) == 32
            asked = {"resultId": kept, "jsonPointers": ["/data/3999"]}
            assert f"item-3999-{MARKER}" in text_of(await second.call_tool("expandResult", asked))
            assert "is not available" in text_of(await bob.call_tool("expandResult", asked, raise_on_error=False))
            recorder.answers["/large?page=2"] = (200, JSON, PAGE)
            appended = await second.call_tool("expandResult", {"resultId": kept, "next": True})
            assert "Appended 1 items" in text_of(appended)
            assert recorder.last.target == "/large?page=2"
            asked = {"resultId": kept, "select": "data[-1].name"}
            assert "next" in text_of(await first.call_tool("expandResult", asked))
    raw = Redis.from_url(redis)
    values: list[Any] = [await raw.get(key) for key in await raw.keys()]
    await raw.aclose()
    assert len(values) >= 1
    assert not any(secret in value for value in values for secret in (MARKER.encode(), b"alice", b"item-"))


async def test_what_cannot_be_kept_is_still_answered(recorder: Recorder, tmp_path: Path, redis: str) -> None:
    """A full store costs what it would keep, and the answer says so; small answers need no store."""
    recorder.answers["/large"] = (200, JSON, LARGE)
    recorder.answers["/small"] = (200, JSON, b"{}")
    raw = Redis.from_url(redis)
    await raw.config_set("maxmemory", "1")
    with replicas(tmp_path, recorder.url, redis, 1) as (url,):
        async with client(url, "alice") as alice:
            result = await alice.call_tool("large", {})
            assert result.is_error is False
            said = "".join(block.text for block in result.content)
            assert f"item-0-{MARKER}" in said
            assert "is full" in said
            assert "was not kept" in said
            assert (await alice.call_tool("small", {})).structured_content == {}
            await raw.config_set("maxmemory", "0")
            kept = result_id(await alice.call_tool("large", {}))
            assert (await alice.call_tool("expandResult", {"resultId": kept, "jsonPointers": [""]})).is_error is False
    await raw.aclose()

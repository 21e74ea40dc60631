"""The state that replicas share: opened in memory or in Redis, encrypted, bounded, and clear about what is missing."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from portkey_bridge.errors import SettingsError
from portkey_bridge.serve.store import MOST_BYTES, STORE_KEY, StoreError, explained, open_store

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

"""The state that replicas share: opened in memory or in Redis, encrypted, bounded, and clear about what is missing."""

from __future__ import annotations

import json
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp import Client
from redis.asyncio import Redis

from portkey_bridge.bridge.service import service_of
from portkey_bridge.callers.rates import Rates
from portkey_bridge.callers.store import MOST_BYTES, STORE_KEY, StoreError, explained, open_store
from portkey_bridge.errors import SettingsError
from portkey_bridge.serve.server import build_server, catalogue_of
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, run_in, text_of
from tests.replicas import KEY, RedisServer, client, replicas, root_of, until
from tests.support import api_of, document, serving, serving_with

MARKER = "secret-of-a-caller-1234"


async def test_values_are_kept_in_memory() -> None:
    """Without a URL, values belong to this process, and so do the keys derived from it."""
    store = open_store(None, None)
    await store.values.put("name", {"a": [1, None]}, collection="things", ttl=60)
    assert await store.values.get("name", collection="things") == {"a": [1, None]}
    assert await store.values.get("name", collection="others") is None
    assert store.key("one") != store.key("two") != open_store(None, None).key("two")


async def test_values_of_a_remote_store_are_shared_and_encrypted(redis: RedisServer) -> None:
    """Whoever has the key reads what another wrote; whoever reads the store itself finds nothing of it."""
    writer, reader, stranger = open_store(redis.url, KEY), open_store(redis.url, KEY), open_store(redis.url, KEY[::-1])
    await writer.values.put("name", {"token": MARKER}, collection="things", ttl=60)
    assert await reader.values.get("name", collection="things") == {"token": MARKER}
    assert writer.key("one") == reader.key("one") != stranger.key("one")
    with pytest.raises(StoreError, match=STORE_KEY), explained():
        await stranger.values.get("name", collection="things")
    raw = Redis.from_url(redis.url)
    entries: dict[Any, Any] = {key: (await raw.get(key), await raw.ttl(key)) for key in await raw.keys()}
    assert len(entries) == 1
    for key, (value, seconds) in entries.items():
        assert 0 < seconds <= 60
        assert MARKER.encode() not in key + value
        assert b"token" not in value
    for each in (writer, reader, stranger, raw):
        await each.aclose()


async def test_a_server_starts_with_the_document_of_another(
    redis: RedisServer, recorder: Recorder, tmp_path: Path
) -> None:
    """A server without a cache starts with the copy that another one has kept, where nobody else can read it."""
    root = document({"/items": {"get": {"operationId": "listItems", "summary": MARKER}}})
    recorder.answers["/api.json"] = (200, {"content-type": "application/json"}, json.dumps(root).encode())
    env = {"OPEN_MCP_CACHE": "0", STORE_KEY: KEY}
    options = ("--spec", f"{recorder.url}/api.json", "--store", redis.url, "--base-url", recorder.url)
    with serving_with(tmp_path, *options, env=env):
        pass
    recorder.answers["/api.json"] = (503, {}, b"")
    with serving_with(tmp_path, *options, env=env) as (url, _):
        async with Client(url) as client:
            assert "listitems" in {tool.name for tool in await client.list_tools()}
    raw: Any = Redis.from_url(redis.url)
    assert [MARKER.encode() in await raw.get(key) for key in await raw.keys()] == [False]
    await raw.aclose()
    assert run_in(tmp_path, "serve", "--http", "127.0.0.1:0", *options[:2], env=env).returncode == 2


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


def result_id(result: Any) -> str:
    return text_of(result).partition("resultId: ")[2].partition(".")[0]


@pytest.mark.slow
async def test_replicas_share_kept_results(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """Any replica reads on what another has kept, for the caller who produced it and for nobody else."""
    recorder.answers["/large"] = (200, {**JSON, "link": f"<{recorder.url}/large?page=2>; rel=next"}, LARGE)
    with replicas(tmp_path, recorder.url, redis.url) as (one, two):
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
    raw = Redis.from_url(redis.url)
    values: list[Any] = [await raw.get(key) for key in await raw.keys()]
    await raw.aclose()
    assert len(values) >= 1
    assert not any(secret in value for value in values for secret in (MARKER.encode(), b"alice", b"item-"))


@pytest.mark.slow
async def test_what_cannot_be_kept_is_still_answered(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """A full store costs what it would keep, and the answer says so; small answers need no store."""
    recorder.answers["/large"] = (200, JSON, LARGE)
    recorder.answers["/small"] = (200, JSON, b"{}")
    raw = Redis.from_url(redis.url)
    await raw.config_set("maxmemory", "1")
    with replicas(tmp_path, recorder.url, redis.url, 1) as (url,):
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


async def test_values_cannot_be_forged_or_exchanged(redis: RedisServer) -> None:
    """Who can write to the store, but has no key, cannot make a value, nor another's value one's own."""
    store, raw = open_store(redis.url, KEY), Redis.from_url(redis.url)
    for name in ("mine", "yours"):
        await store.values.put(name, {"of": name}, collection="things")
    forged = json.dumps({"version": 1, "key": "mine", "collection": "things", "value": {"of": "nobody"}})
    yours: Any = await raw.get("things::yours")
    for content in (forged, yours):
        await raw.set("things::mine", content)
        assert await store.values.get("mine", collection="things") is None
    assert await store.values.get("yours", collection="things") == {"of": "yours"}
    for each in (store, raw):
        await each.aclose()


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "small", "arguments": {}}}
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}


async def test_rates_bound_callers_and_apis(recorder: Recorder, tmp_path: Path) -> None:
    """A caller beyond their rate gets 429, others are served; an API beyond its own gets no request."""
    arguments = ("--caller-rate", "5/hour", "--api-rate", "3/hour", "--pass-header", "x-key")
    with serving(tmp_path, root_of(recorder.url), *arguments) as (url, _):
        async with httpx.AsyncClient(headers=HEADERS) as http:
            answers = [await http.post(url, json=CALL, headers={"x-key": "alice-12345"}) for _ in range(6)]
            other = await http.post(url, json=CALL, headers={"x-key": "bob-1234567"})
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600
    assert "OPEN_MCP_CALLER_RATE" in answers[-1].text
    results = [answer.json()["result"] for answer in (*answers[:5], other)]
    assert [result["isError"] for result in results] == [False] * 3 + [True] * 3
    assert "Nothing was sent. Try again in 3" in results[-1]["content"][0]["text"]
    assert "OPEN_MCP_API_RATE" in results[-1]["content"][0]["text"]
    assert len(recorder.requests) == 3


@pytest.mark.slow
async def test_replicas_count_rates_together(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """The rate holds for all servers of a store; without the store each counts for itself, and calls go on."""
    headers = {**HEADERS, "authorization": "Bearer alice"}
    with replicas(tmp_path, recorder.url, redis.url, 2, "--caller-rate", "4/hour") as urls:
        async with httpx.AsyncClient(headers=headers) as http:
            statuses = [(await http.post(url, json=CALL)).status_code for url in urls * 3]
            raw = Redis.from_url(redis.url)
            assert not any(b"alice" in key for key in await raw.keys())
            await raw.aclose()
            redis.stop()
            assert statuses == [200] * 4 + [429] * 2
            assert (await http.post(urls[0], json=CALL)).status_code == 200
            redis.start()


@pytest.mark.slow
async def test_programs_share_what_they_keep(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """What a program keeps, and what it reads on, is in the store as what a call keeps is."""
    recorder.answers["/large"] = (200, JSON, LARGE)
    with replicas(tmp_path, recorder.url, redis.url, 2, "--code=also") as (one, two):
        async with client(one, "alice") as first, client(two, "alice") as second:
            kept = result_id(await first.call_tool("large", {}))
            code = f"await call('expandResult', {{'resultId': '{kept}', 'jsonPointers': ['/data/3999']}})"
            assert f"item-3999-{MARKER}" in text_of(await second.call_tool("runProgram", {"code": code}))
            whole = await second.call_tool("runProgram", {"code": "await call('large', {})"})
            asked = {"resultId": result_id(whole), "jsonPointers": ["/data/3998"]}
            assert f"item-3998-{MARKER}" in text_of(await first.call_tool("expandResult", asked))


async def test_a_count_outlives_a_change_of_the_document(recorder: Recorder) -> None:
    """A limit of an API goes on where it was when what is served is replaced."""
    recorder.answer = 200, {"content-type": "application/json"}, b"{}"
    root = document({"/thing": {"get": {"operationId": "thing", "responses": {}}}})
    services = [service_of(api_of(root), Settings(base_url=recorder.url, api_rate="1/hour"))]
    make = partial(catalogue_of, store=open_store(None, None))
    server = build_server(services, make)
    async with Client(server) as client:
        await client.call_tool("thing", {})
        await server.live.swap(make(services))
        refused = await client.call_tool("thing", {}, raise_on_error=False)
    assert "1 times per hour" in text_of(refused)
    assert len(recorder.requests) == 1


async def connections_to(store: Any) -> int:
    """Return how many connections there are to a store, with the one that asks."""
    return len(await store.client.client_list())


async def until_alone(store: Any) -> None:
    """Wait until the one that asks is the only connection to a store, which notices later that others are closed."""

    async def is_alone() -> bool:
        return await connections_to(store) == 1

    await until(is_alone)


async def test_a_server_that_stops_closes_its_connections_to_the_store(redis: RedisServer) -> None:
    """The store is left with no connection of a server that has stopped."""
    used, other = open_store(redis.url, KEY), open_store(redis.url, KEY)
    root = document({"/thing": {"get": {"operationId": "thing", "responses": {}}}})
    server = build_server([service_of(api_of(root), Settings())], partial(catalogue_of, store=used))
    server.live.on_close = used.aclose
    await other.ready()
    async with Client(server):
        await used.ready()
        assert await connections_to(other) == 2
    await until_alone(other)
    await other.aclose()


async def test_a_change_of_the_document_leaves_no_connection(recorder: Recorder, redis: RedisServer) -> None:
    """Limits that are counted in a store need no further connection to it, however often documents change."""
    recorder.answer = 200, {"content-type": "application/json"}, b"{}"
    used, other = open_store(redis.url, KEY), open_store(redis.url, KEY)
    root = document({"/thing": {"get": {"operationId": "thing", "responses": {}}}})
    services = [service_of(api_of(root), Settings(base_url=recorder.url, api_rate="100/hour"))]
    make = partial(catalogue_of, store=used)
    server = build_server(services, make)
    server.live.on_close = used.aclose
    await other.ready()
    async with Client(server) as client:
        for _ in range(5):
            await client.call_tool("thing", {})
            await server.live.swap(make(services))
        assert await connections_to(other) == 2
    await until_alone(other)
    await other.aclose()


async def test_another_server_takes_the_answer_to_a_question(
    recorder: Recorder, redis: RedisServer, tmp_path: Path
) -> None:
    """A call that one server asks the person about is carried out by the server that gets the decision."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "authorization": "Bearer alice",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "small",
    }

    async def call(url: str, **answers: Any) -> Any:
        params = {"name": "small", "arguments": {}, "_meta": meta, **answers}
        async with httpx.AsyncClient(headers=headers, timeout=30) as http:
            sent = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            return (await http.post(url, json=sent)).json()["result"]

    with replicas(tmp_path, recorder.url, redis.url, 2, "--confirm", "small") as (one, other):
        asked = await call(one)
        assert recorder.requests == []
        decision = {"confirm": {"action": "accept", "content": {"confirmed": True}}}
        answer = await call(other, inputResponses=decision, requestState=asked["requestState"])
    assert answer["isError"] is False
    assert len(recorder.requests) == 1


async def test_nobody_waits_longer_than_a_window(monkeypatch: pytest.MonkeyPatch, redis: RedisServer) -> None:
    """A server whose clock is hours behind that of another one tells nobody to wait for hours."""
    store = open_store(redis.url, KEY)
    rates = Rates("1/minute", store, "callers")
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 7200)
    assert await rates.count("alice") is None
    monkeypatch.setattr(time, "time", right)
    assert await rates.count("alice") == ("1 times per minute", 60)
    await store.aclose()


@pytest.mark.slow
async def test_few_calls_wait_for_a_store_that_hangs(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """Large answers are complete and prompt. Now and then one call finds out whether results can be kept again."""
    recorder.answers["/large"] = (200, JSON, LARGE)
    with replicas(tmp_path, recorder.url, redis.url, 1) as (url,):
        async with client(url, "alice") as alice:
            await alice.call_tool("large", {})
            redis.process.send_signal(signal.SIGSTOP)
            seconds, shown = [], []
            for _ in range(20):
                began = time.monotonic()
                shown.append(text_of(await alice.call_tool("large", {})))
                seconds.append(time.monotonic() - began)
            redis.process.send_signal(signal.SIGCONT)

            async def is_kept() -> bool:
                return "was not kept" not in text_of(await alice.call_tool("large", {}))

            await until(is_kept)
    assert all("did not answer within 5 seconds. So this answer was not kept" in each for each in shown)
    assert all("item-0-" in each for each in shown)
    waited = [each for each in seconds if each > 4]
    assert 1 <= len(waited) < len(seconds)

"""Many callers with as many credentials: each request carries its caller's, and nothing that is kept has any."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.conftest import Recorder
from tests.replicas import RedisServer, Replica, free_port, large_api, root_of

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}

#: How each credential begins.
MARK = "caller-key-"


def key_of(number: int) -> str:
    return f"{MARK}{number:05}"


def message(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


async def reads_back(http: httpx.AsyncClient, one: str, two: str, number: int) -> None:
    """Call with a credential at one server, and read the result at the other, with this credential and another."""
    answer = (await http.post(one, json=message("large", n=str(number)), headers={"x-key": key_of(number)})).text
    assert f"/large?n={number} 0" in answer
    found = re.search(r"resultId: (\w{32})\.", answer)
    assert found is not None
    asked = message("expandResult", resultId=found[1], jsonPointers=["/items/299"])
    own = await http.post(two, json=asked, headers={"x-key": key_of(number)})
    other = await http.post(two, json=asked, headers={"x-key": key_of(number + 1)})
    assert f"/large?n={number} 299" in own.text
    assert "is not available" in other.text
    assert not any(MARK in text for text in (answer, own.text, other.text))


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
async def test_no_credential_is_kept_or_mixed_up(
    recorder: Recorder, tmp_path: Path, redis: RedisServer, count: int
) -> None:
    """Each request to the API has the credential of its caller. Store, metrics, logs, audit and traces have none."""
    with large_api() as api:
        root = root_of(api.url)
        root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}}
        root["security"] = [{"key": []}]
        (tmp_path / "api.json").write_text(json.dumps(root))
        options = ("--spec", "api.json", "--store", redis.url, "--pass-header", "x-key", "--result-limit", "2000")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url}
        noted = ("--audit", "--verbose", "--caller-rate", "1000/hour", "--concurrency", "32")
        servers = [Replica(tmp_path, free_port(), *options, *noted, env=env) for _ in range(2)]
        try:
            for server in servers:
                server.start()
            urls = [f"http://127.0.0.1:{server.port}/mcp" for server in servers]
            slots = asyncio.Semaphore(16)
            async with httpx.AsyncClient(headers=HEADERS, timeout=120) as http:

                async def one(number: int) -> None:
                    async with slots:
                        await reads_back(http, urls[number % 2], urls[1 - number % 2], number)

                await asyncio.gather(*map(one, range(count)))
                shown = [(await http.get(url.replace("/mcp", "/metrics"))).text for url in urls]
            for server in servers:
                server.stop()
        finally:
            for server in servers:
                server.process.send_signal(signal.SIGKILL)
    assert sorted(api.seen) == sorted((f"/large?n={number}", key_of(number)) for number in range(count))
    raw = Redis.from_url(redis.url)
    entries: list[Any] = list(await raw.keys())
    dumped = [await raw.dump(key) for key in entries]
    kept = [await raw.get(key) for key in entries if await raw.type(key) == b"string"]
    await raw.aclose()
    assert len(entries) >= count
    audit = [json.loads(line) for server in servers for line in server.out.read_text().splitlines()]
    assert len(audit) == count
    assert len({line["caller"] for line in audit}) == count
    traces = [request.body for request in recorder.requests]
    assert traces
    assert all("portkey_bridge_calls_total" in text for text in shown)
    texts = [*(each.out.read_bytes() for each in servers), *(each.log.read_bytes() for each in servers), *traces]
    texts += [text.encode() for text in shown] + entries + dumped + kept
    assert not any(MARK.encode() in text for text in texts)
    assert not any(b"/large" in text for text in (*entries, *dumped, *kept))

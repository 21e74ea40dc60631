"""Three servers behind nginx with one store, under load, while parts of it fail: what was acknowledged is not lost."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.replicas import Cluster, running_cluster, running_redis, until

pytestmark = pytest.mark.slow

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
CALLERS = ("alice", "bob")

#: Calls that run at the same time, and those that are waited for before and after something fails.
CLIENTS, ENOUGH = 8, 40

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return three servers behind nginx, with a Redis that loses nothing when it is restarted."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_redis(folder) as redis, running_cluster(folder, redis) as running:
        yield running


@dataclass
class Load:
    """What clients have seen so far: results that are kept, by caller and number; answers that are not; refusals."""

    kept: list[tuple[str, int, str]] = field(default_factory=list)
    not_kept: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    async def more(self, count: int = ENOUGH) -> None:
        """Wait until so many further results are kept."""
        wanted = len(self.kept) + count

        async def is_so() -> bool:
            return len(self.kept) >= wanted

        await until(is_so, 120)


def message(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the cluster."""
    async with httpx.AsyncClient(base_url=cluster.url.removesuffix("/mcp"), headers=HEADERS, timeout=60) as client:
        yield client


async def ask(http: httpx.AsyncClient, caller: str, tool: str, **arguments: Any) -> httpx.Response:
    """Send one call of a caller."""
    return await http.post("/mcp", json=message(tool, arguments), headers={"authorization": f"Bearer {caller}"})


async def work(http: httpx.AsyncClient, caller: str, load: Load) -> None:
    """Call without end, and note what comes back."""
    while True:
        number = next(_NUMBERS)
        response = await ask(http, caller, "large", n=str(number))
        if response.status_code != 200:
            load.refused.append((response.status_code, response.text))
            continue
        said = "\n".join(block["text"] for block in response.json()["result"]["content"])
        assert f"/large?n={number} 0" in said
        found = re.search(r"resultId: (\w{32})\.", said)
        assert found is not None
        if "was not kept" in said:
            load.not_kept.append(said)
        else:
            load.kept.append((caller, number, found[1]))


@asynccontextmanager
async def loaded(http: httpx.AsyncClient) -> AsyncIterator[Load]:
    """Have clients call until the end of the block, and check then that everything is kept that was said to be."""
    load = Load()
    running = [asyncio.create_task(work(http, caller, load)) for caller in CALLERS * (CLIENTS // 2)]
    try:
        yield load
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    slots = asyncio.Semaphore(CLIENTS)

    async def check(caller: str, number: int, result_id: str) -> None:
        asked = {"resultId": result_id, "jsonPointers": ["/items/299"]}
        async with slots:
            other = CALLERS[1 - CALLERS.index(caller)]
            own = (await ask(http, caller, "expandResult", **asked)).json()["result"]
            others = (await ask(http, other, "expandResult", **asked)).json()["result"]
        assert f"/large?n={number} 299" in own["content"][0]["text"]
        assert others["isError"] is True
        assert "is not available" in others["content"][0]["text"]

    await asyncio.gather(*(check(*each) for each in load.kept[-200:]))


async def test_a_killed_replica_loses_nothing(cluster: Cluster, http: httpx.AsyncClient) -> None:
    """After kill -9 the others answer everything, and what the dead one has acknowledged is still there."""
    async with loaded(http) as load:
        await load.more()
        cluster.replicas[0].stop(signal.SIGKILL)
        await load.more()
        await asyncio.to_thread(cluster.replicas[0].start)
        await load.more()
    assert load.not_kept == []
    assert len(load.refused) <= CLIENTS  # the calls that it was running
    assert all(status == 503 and "Try again" in text for status, text in load.refused)


async def test_a_rolling_restart_is_not_noticed(cluster: Cluster, http: httpx.AsyncClient) -> None:
    """Replicas that are replaced one after the other end their calls first."""
    async with loaded(http) as load:
        for replica in cluster.replicas:
            await load.more(20)
            await asyncio.to_thread(replica.stop)
            await load.more(20)
            await asyncio.to_thread(replica.start)
    assert load.not_kept == []
    assert len(load.refused) <= len(cluster.replicas)  # a request may meet a connection that is being closed
    assert all(status == 503 and "Try again" in text for status, text in load.refused)


async def test_a_restarted_store_loses_nothing(cluster: Cluster, http: httpx.AsyncClient) -> None:
    """While the store is away calls are answered, and say what was not kept; afterwards everything is as before."""
    async with loaded(http) as load:
        await load.more()
        cluster.redis.stop(signal.SIGKILL)

        async def is_noticed() -> bool:
            return len(load.not_kept) >= CLIENTS

        await until(is_noticed, 60)
        await asyncio.to_thread(cluster.redis.start)
        await load.more()
    assert load.refused == []
    assert all("cannot be reached" in said and "call the tool again later" in said for said in load.not_kept)


async def test_a_slow_store_is_not_waited_for(cluster: Cluster, http: httpx.AsyncClient) -> None:
    """A store that hangs costs seconds and what it would keep; a call that needs none is answered at once."""
    cluster.redis.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        said = (await ask(http, "alice", "large", n="0")).text
        assert "did not answer within" in said
        assert "was not kept" in said
        refused = (await ask(http, "alice", "expandResult", resultId="x" * 32, jsonPointers=[""])).json()
        assert refused["result"]["isError"] is True
        assert "Try again later" in refused["result"]["content"][0]["text"]
        assert time.monotonic() - began < 30
    finally:
        cluster.redis.process.send_signal(signal.SIGCONT)
    async with loaded(http) as load:
        await load.more()

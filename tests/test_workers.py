"""Several processes behind one port: refused without a store, drained, replaced when one dies, measured together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from portkey_bridge.callers.store import STORE_KEY
from tests.conftest import OF_ITS_OWN, Recorder, Run
from tests.replicas import KEY, RedisServer, held_api, root_of, until
from tests.support import serving

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "small", "arguments": {}}}
ENV = {STORE_KEY: KEY, **OF_ITS_OWN}


def workers_of(process: Any) -> list[int]:
    """Return the ids of the processes that answer requests."""
    found = []
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def test_workers_need_a_store(run: Run, tmp_path: Path) -> None:
    """Processes that share nothing would forget each other's results; the refusal says what to set."""
    done = run("serve", "--http", "127.0.0.1:0", "--workers", "2")
    assert done.returncode == 2
    assert "--store" in done.stderr
    done = run("serve", "--http", "127.0.0.1:0", "--workers", "2", "--store", "redis://127.0.0.1:6379")
    assert done.returncode == 2
    assert STORE_KEY in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the workers are found in /proc")
async def test_workers_answer_drain_and_are_replaced(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
    """All calls are answered and counted, whichever process answers; one that is killed is replaced."""
    options = ("--workers", "2", "--store", redis.url)
    with serving(tmp_path, root_of(recorder.url), *options, env=ENV) as (url, process):
        metrics = url.replace("/mcp", "/metrics")

        async def call() -> int:
            async with httpx.AsyncClient(headers=HEADERS, timeout=60) as http:  # a connection of its own
                return (await http.post(url, json=CALL)).status_code

        assert await asyncio.gather(*(call() for _ in range(40))) == [200] * 40
        async with httpx.AsyncClient() as http:
            found = re.findall(r"portkey_bridge_calls_total\{.*\} (\S+)", (await http.get(metrics)).text)
        assert sum(map(float, found)) == 40
        first = workers_of(process)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)

        async def is_replaced() -> bool:
            now = workers_of(process)
            return len(now) == 2 and first[0] not in now

        await until(is_replaced, 180)  # one that dies while it is asked for a sign of life is missed after a minute
        assert await call() == 200


@pytest.mark.slow
async def test_workers_are_drained(tmp_path: Path, redis: RedisServer) -> None:
    """After SIGTERM every running call of every worker is answered, and then all processes end."""
    options = ("--workers", "2", "--store", redis.url)
    async with held_api() as api:
        with serving(tmp_path, root_of(api.url), *options, env=ENV) as (url, process):

            async def call() -> Any:
                async with httpx.AsyncClient(headers=HEADERS, timeout=60) as http:
                    return (await http.post(url, json=CALL)).json()

            running = [asyncio.create_task(call()) for _ in range(12)]
            for _ in running:
                await api.arrived.acquire()
            process.send_signal(signal.SIGTERM)

            async def is_closed() -> bool:
                try:
                    async with httpx.AsyncClient(timeout=60) as http:
                        await http.get(url.replace("/mcp", "/healthz"))
                except httpx.TransportError as error:  # others end connections that were accepted before
                    return isinstance(error, httpx.ConnectError)
                return False

            await until(is_closed)
            api.may_answer.set()
            answers = await asyncio.gather(*running)
            assert [answer["result"]["isError"] for answer in answers] == [False] * 12
            assert process.wait(60) == 0

"""Many callers with as many credentials: each request carries its caller's, and nothing that is kept has any."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from redis.asyncio import Redis

from portkey_bridge.callers.store import STORE_KEY
from tests import oauth_app
from tests.conftest import OF_ITS_OWN, Recorder
from tests.replicas import KEY, RedisServer, Replica, free_port, large_api, root_of
from tests.support import serving, serving_with

HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}

#: How each credential begins, and how many there are.
MARK, CALLERS = "caller-key-", 1000


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


@pytest.mark.slow
async def test_no_credential_is_kept_or_mixed_up(recorder: Recorder, tmp_path: Path, redis: RedisServer) -> None:
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

                await asyncio.gather(*map(one, range(CALLERS)))
                shown = [(await http.get(url.replace("/mcp", "/metrics"))).text for url in urls]
            for server in servers:
                server.stop()
        finally:
            for server in servers:
                server.process.send_signal(signal.SIGKILL)
    assert sorted(api.seen) == sorted((f"/large?n={number}", key_of(number)) for number in range(CALLERS))
    raw = Redis.from_url(redis.url)
    entries: list[Any] = list(await raw.keys())
    dumped = [await raw.dump(key) for key in entries]
    kept = [await raw.get(key) for key in entries if await raw.type(key) == b"string"]
    await raw.aclose()
    assert len(entries) >= CALLERS
    audit = [json.loads(line) for server in servers for line in server.out.read_text().splitlines()]
    assert len(audit) == CALLERS
    assert len({line["caller"] for line in audit}) == CALLERS
    traces = [request.body for request in recorder.requests]
    assert traces
    assert all("portkey_bridge_calls_total" in text for text in shown)
    texts = [*(each.out.read_bytes() for each in servers), *(each.log.read_bytes() for each in servers), *traces]
    texts += [text.encode() for text in shown] + entries + dumped + kept
    assert not any(MARK.encode() in text for text in texts)
    assert not any(b"/large" in text for text in (*entries, *dumped, *kept))


class TwoApis:
    """An API at two paths, each of which refuses the first request with each credential for the moment.

    At `/one` is a large answer, at `/two` a stream of events, both with the number in the query; `seen` are the paths
    and credentials that came.
    """

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        target = (await reader.readline()).split()[1].decode()
        lines = [line async for line in _head(reader)]
        key = next(line.split(b":")[1].strip().decode() for line in lines if line.lower().startswith(b"x-key:"))
        self.seen[target, key] += 1
        status, media_type, body = "200 OK", "application/json", json.dumps([f"{target} {n}" for n in range(300)])
        if self.seen[target, key] == 1:
            status, body = "503 Busy\r\nretry-after: 0", "{}"
        elif target.startswith("/two"):
            media_type, body = "text/event-stream", "".join(f"data: {target} {n}\n\n" for n in range(3))
        head = f"HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\nconnection: close"
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while (line := await reader.readline()) not in (b"\r\n", b""):
        yield line


@pytest.mark.slow
async def test_workers_mix_up_no_callers(tmp_path: Path, redis: RedisServer) -> None:
    """Two processes behind one port call two APIs for many callers, with streams, repeated requests and kept results.

    Each request carries its caller's credential, also the repeated one; each answer and each event is of the request of
    its caller, and what is kept is read by its caller at either process, and by no other.
    """
    api = TwoApis()
    async with await asyncio.start_server(api.answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        root = root_of(url, "one", "two")
        root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}}
        root["security"] = [{"key": []}]
        for name in ("one", "two"):
            only = {**root, "paths": {f"/{name}": root["paths"][f"/{name}"]}}
            (tmp_path / f"{name}.json").write_text(json.dumps(only))
        table = '[api.{0}]\nprefix = ""\nspec = "{0}.json"\nresult_limit = 2000\nconcurrency = 64\n'
        tables = "".join(map(table.format, ("one", "two")))
        (tmp_path / "apis.toml").write_text(tables)
        options = ("--config", "apis.toml", "--workers", "2", "--store", redis.url, "--pass-header", "x-key")
        slots = asyncio.Semaphore(16)
        with serving_with(tmp_path, *options, env={STORE_KEY: KEY, **OF_ITS_OWN}) as (at, _):

            async def ask(number: int, asked: dict[str, Any]) -> str:
                return (await http.post(at, json=asked, headers={"x-key": key_of(number)})).text

            async def one(number: int) -> None:
                async with slots:
                    streamed = message("two", n=str(number))
                    streamed["params"]["_meta"] = {"progressToken": number}
                    asked = (message("one", n=str(number)), streamed)
                    large, events = await asyncio.gather(*(ask(number, each) for each in asked))
                    assert f"/one?n={number} 0" in large
                    assert events.count(f"/two?n={number} ") >= 3
                    assert {*re.findall(r"\?n=(\d+) ", large + events)} == {str(number)}
                    found = re.search(r"resultId: (\w{32})\.", large)
                    assert found
                    read = message("expandResult", resultId=found[1], jsonPointers=["/299"])
                    own, other = await asyncio.gather(ask(number, read), ask(number + 1, read))
                    assert f"/one?n={number} 299" in own
                    assert "is not available" in other
                    assert not any(MARK in text for text in (large, events, own, other))

            alone = {**HEADERS, "connection": "close"}  # each request has a connection of its own, to either process
            async with httpx.AsyncClient(headers=alone, timeout=120) as http:
                await asyncio.gather(*map(one, range(CALLERS)))
    wanted = {(f"/{name}?n={number}", key_of(number)): 2 for name in ("one", "two") for number in range(CALLERS)}
    assert dict(api.seen) == wanted


#: How callers get their tokens of an API: the flow of its document, and options.
OWN_TOKENS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "exchanged": ({"clientCredentials": {"tokenUrl": "/token"}}, ("--oauth-exchange", "--oauth-token-url", "{}/token")),
    "logged in": (
        {"authorizationCode": {"authorizationUrl": "/authorize", "tokenUrl": "/token"}},
        ("--oauth-caller-login",),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", OWN_TOKENS)
async def test_rejected_tokens_are_replaced_once_for_each_caller(recorder: Recorder, tmp_path: Path, how: str) -> None:
    """After an API has rejected all tokens at once, each caller gets one new token by one request, and calls with it.

    Each caller has two calls at that time. Each call carries the token of its caller, and no other.
    """
    count = 100
    key, claims = RSAKey.generate_key(2048, {"kid": "1"}), {"iss": "https://issuer.example", "aud": "me"}
    public = {"keys": [key.as_dict(private=False)]}
    recorder.answers["/keys"] = (200, {"content-type": "application/json"}, json.dumps(public).encode())
    flow, options = OWN_TOKENS[how]
    inbound = ("--jwt", f"{recorder.url}/keys,https://issuer.example,me", "--concurrency", "64")
    env = {"OAUTH_CLIENT_ID": oauth_app.CLIENT[0], "OAUTH_CLIENT_SECRET": oauth_app.CLIENT[1]}
    with oauth_app.running(**flow) as application:
        arguments = (*inbound, *(each.format(application.url) for each in options))
        with serving(tmp_path, application.document, *arguments, env=env) as (url, _):
            people = [{**claims, "sub": f"caller-{each}", "exp": int(time.time()) + 3600} for each in range(count)]
            tokens = [jwt.encode({"alg": "RS256", "kid": "1"}, each, key) for each in people]
            whose = tokens if how == "exchanged" else [f"account-{each}" for each in range(count)]
            slots = asyncio.Semaphore(100)
            async with httpx.AsyncClient(timeout=120) as http:

                async def called(number: int) -> str:
                    headers = {**HEADERS, "authorization": f"Bearer {tokens[number]}"}
                    async with slots:
                        return (await http.post(url, json=message("list_items", number=number), headers=headers)).text

                if how == "logged in":
                    for number, person in enumerate(whose):
                        application.person = person
                        address = re.findall(r"connect#([\w.-]+)", await called(number))[0]
                        await logged_in(http, url, tokens[number], address)
                await asyncio.gather(*map(called, range(count)))
                application.accepted.clear()
                before = len(application.forms)
                application.numbered.clear()
                answers = await asyncio.gather(*map(called, [*range(count)] * 2))
    assert [each for each in answers if '"isError":false' not in each] == []
    assert len(application.forms) - before == count
    assert sorted(application.numbered) == sorted([*enumerate(whose)] * 2)


async def logged_in(http: httpx.AsyncClient, url: str, token: str, ticket: str) -> None:
    """Log in to the API as a caller, by the ticket of an address."""
    headers = {"authorization": f"Bearer {token}"}
    begun = await http.post(url.replace("/mcp", "/connect/begin"), json={"ticket": ticket}, headers=headers)
    returned = await http.get(begun.json()["url"])
    cookie = begun.headers["set-cookie"].partition(";")[0]
    assert (await http.get(returned.headers["location"], headers={"cookie": cookie})).status_code == 200
    http.cookies.clear()

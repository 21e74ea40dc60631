"""The server over HTTP: who may call, with whose credentials, within which limits, and what is answered."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from joserfc.jwk import RSAKey

from portkey_bridge.callers.admission import Admission, Overloaded
from portkey_bridge.errors import SettingsError
from portkey_bridge.web.http_server import Address, address_of, listening
from tests.conftest import Recorder, Run, text_of
from tests.replicas import free_port
from tests.support import document, serving

Json = dict[str, Any]

ALICE, BOB = "token-of-alice-1234", "token-of-bob-123456"
TOKENS = ",".join(
    f"{name}={hashlib.sha256(token.encode()).hexdigest()}" for name, token in (("alice", ALICE), ("bob", BOB))
)
MARKER = "marker-of-the-server-1"
KEY = {"type": "apiKey", "in": "header", "name": "x-key"}
JSON = {"content-type": "application/json"}
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-06-18",
}


def api(url: str, **fields: Any) -> Json:
    names = ("thing", "large", "stream", "slow")
    paths: Json = {f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in names}
    return document(paths, servers=[{"url": url}], components={"securitySchemes": {"key": KEY}}, **fields)


def call(name: str, arguments: Json | None = None, number: int = 1, **params: Any) -> Json:
    params = {"name": name, "arguments": arguments or {}, **params}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Return an HTTP client that knows nothing of the protocol."""
    async with httpx.AsyncClient(headers=HEADERS, timeout=30) as client:
        yield client


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_real_client_of_each_era_is_served(recorder: Recorder, tmp_path: Path, mode: Any) -> None:
    """FastMCP's client lists and calls tools over HTTP, after a handshake and without one."""
    with serving(tmp_path, api(recorder.url)) as (url, _):
        async with Client(url, mode=mode) as client:
            assert "thing" in [tool.name for tool in await client.list_tools()]
            result = await client.call_tool("thing", {})
            assert result.structured_content == {"ok": True}
            refused = await client.call_tool("thing", {"unknown": 1}, raise_on_error=False)
            assert "there is no such argument" in text_of(refused)


async def test_both_ways_answer_alike(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """A call that the lane takes and one that it leaves to FastMCP have the same answer."""
    with serving(tmp_path, api(recorder.url)) as (url, _):
        await http.post(url, json=call("thing", {"unknown": 1}))  # only the first refusal mentions an option
        for name, arguments in (("thing", {}), ("thing", {"unknown": 1}), ("expandResult", {"resultId": "x"})):
            plain = call(name, arguments)
            direct, other = [await http.post(url, json=message) for message in (plain, {**plain, "unknown": 1})]
            assert (direct.status_code, direct.json()) == (other.status_code, other.json())
            assert direct.headers["content-type"] == other.headers["content-type"] == "application/json"


async def test_progress_is_streamed(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """A client that asks for progress gets a stream of events, which ends with the answer."""
    recorder.answers["/stream"] = (200, {"content-type": "text/event-stream"}, b'data: {"n":1}\n\ndata: {"n":2}\n\n')
    with serving(tmp_path, api(recorder.url)) as (url, _):
        answer = await http.post(url, json=call("stream", _meta={"progressToken": "p"}))
        assert answer.headers["content-type"] == "text/event-stream"
        found = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if "data: " in line]
        assert [message.get("method") for message in found] == ["notifications/progress"] * 2 + [None]
        assert found[-1]["id"] == 1
        reports: list[float] = []

        async def note(number: float, *_: Any) -> None:
            reports.append(number)

        async with Client(url) as client:
            await client.call_tool("stream", {}, progress_handler=note)
        assert reports == [1, 2]


#: Requests that come from where they should not: headers, the status of the answer, and the option that it names.
FOREIGN = [
    ({"host": "evil.example"}, 421, "--allowed-hosts"),
    ({"origin": "https://evil.example"}, 403, "--allowed-origins"),
    ({"x-forwarded-for": "203.0.113.9"}, 403, "--tokens"),
    ({"forwarded": "for=203.0.113.9"}, 403, "--tokens"),
]


async def test_foreign_requests_are_refused(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Web pages, other host names and proxies reach no server without tokens, and learn what would change that."""
    with serving(tmp_path, api(recorder.url)) as (url, _):
        for headers, status, option in FOREIGN:
            refused = await http.post(url, json=call("thing"), headers=headers)
            assert (refused.status_code, option in refused.text) == (status, True), refused.text
            assert (await http.get(url.replace("/mcp", "/healthz"), headers=headers)).text == "ok\n"
    assert recorder.requests == []


async def test_names_are_judged_anew(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Each request is judged by its own Host and Origin, whichever ones came before it, and however many."""
    own, page = {"origin": "http://localhost"}, {"origin": "https://evil.example"}
    named = [({}, 200), (own, 200), (page, 403), ({"host": "evil.example"}, 421)]
    with serving(tmp_path, api(recorder.url)) as (url, _):
        for _ in range(2):
            for headers, status in (*named, *reversed(named)):
                answer = await http.post(url, json=call("thing"), headers=headers)
                assert answer.status_code == status, (headers, answer.text)
            for number in range(300):
                answer = await http.get(url, headers={"host": f"evil{number}.example"})
                assert answer.status_code == 421


#: Servers that must not start: arguments, variables, and what is said.
UNSAFE = [
    (["0.0.0.0:0", "--allowed-hosts", "x"], {"X_KEY": MARKER}, "could use this server's credentials"),
    (["0.0.0.0:0", "--allowed-hosts", "x", "--base-url", "http://u:password@127.0.0.1:9"], {}, "credentials"),
    (["0.0.0.0:0"], {}, "--allowed-hosts is needed"),
    (["0.0.0.0:0", "--tokens", TOKENS], {"X_KEY": MARKER}, "--allowed-hosts is needed"),
    (["127.0.0.1:0", "--files", "."], {}, "no caller reads or writes"),
    (["127.0.0.1:0", "--tokens", TOKENS, "--pass-header", "Authorization"], {}, "--pass-header authorization"),
    (["127.0.0.1:99999"], {}, "expected HOST:PORT"),
    (["192.0.2.1:80", "--allowed-hosts", "x"], {}, "cannot listen"),
    (["127.0.0.1:0", "--tokens", "alice=plain-token"], {}, "SHA-256"),
    (["127.0.0.1:0", "--jwt", "https://keys.example"], {}, "issuer"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "env", "said"), UNSAFE)
def test_an_unsafe_server_does_not_start(
    run: Run, tmp_path: Path, arguments: list[str], env: Mapping[str, str], said: str
) -> None:
    """What strangers could misuse is refused with status 2 and the choices, and no secret is shown."""
    security: list[Json] = [{"key": []}]
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9", security=security)))
    done = run("serve", "--http", *arguments, "--spec", "api.json", env=env)
    assert done.returncode == 2
    assert said in done.stderr
    assert MARKER not in done.stderr
    assert "password" not in done.stderr


async def test_tokens_tell_callers_apart(recorder: Recorder, tmp_path: Path) -> None:
    """Without a token nobody is served; a kept result belongs to the caller who produced it."""
    recorder.answers["/large"] = (
        200,
        {"content-type": "application/json"},
        json.dumps({"a": ["x" * 50] * 5000}).encode(),
    )
    with serving(tmp_path, api(recorder.url), "--tokens", TOKENS) as (url, _):
        for token in (None, "wrong"):
            headers = {**HEADERS, **({"authorization": f"Bearer {token}"} if token else {})}
            async with httpx.AsyncClient(headers=headers) as stranger:
                refused = await stranger.post(url, json=call("thing"))
            assert refused.status_code == 401
            assert "Bearer" in refused.headers["www-authenticate"]
        assert recorder.requests == []
        transports = [StreamableHttpTransport(url, auth=BearerAuth(token)) for token in (ALICE, BOB)]
        async with Client(transports[0]) as alice, Client(transports[1]) as bob:
            texts = [text_of(await client.call_tool("large", {})) for client in (alice, bob)]
            ids = [text.partition("resultId: ")[2].partition(".")[0] for text in texts]
            assert ids[0] != ids[1]
            asked = {"resultId": ids[0], "jsonPointers": ["/a/3"]}
            assert "x" * 50 in text_of(await alice.call_tool("expandResult", asked))
            assert "is not available" in text_of(await bob.call_tool("expandResult", asked, raise_on_error=False))


async def test_callers_learn_nothing_of_the_servers_options(recorder: Recorder, tmp_path: Path) -> None:
    """A call without a credential names its variables to whoever runs the server, and nothing else of its start."""
    root = api(recorder.url, security=[{"key": []}])
    env = {"OPEN_MCP_STORE": "redis://user:password@127.0.0.1:9/0", "OPEN_MCP_STORE_KEY": "k" * 32}
    with serving(tmp_path, root, "--tokens", TOKENS, env=env) as (url, _):
        async with httpx.AsyncClient(headers={**HEADERS, "authorization": f"Bearer {ALICE}"}, timeout=30) as http:
            said = (await http.post(url, json=call("thing"))).text
    assert "Whoever runs this server can set the environment variables" in said
    assert "X_KEY" in said
    for secret in ("password", "bob", "api.json", hashlib.sha256(BOB.encode()).hexdigest()):
        assert secret not in said


@pytest.mark.slow
async def test_json_web_tokens_are_verified(recorder: Recorder, tmp_path: Path) -> None:
    """A token of the issuer for this audience is accepted, and no other; `--tokens` may be used besides."""
    keys, foreign = RSAKeyPair.generate(), RSAKeyPair.generate()
    public = RSAKey.import_key(keys.public_key).as_dict()
    recorder.answers["/keys"] = (200, JSON, json.dumps({"keys": [{**public, "kid": "1"}]}).encode())
    issuer = "https://issuer.example"
    right: Json = {"issuer": issuer, "audience": "me", "subject": "carol", "kid": "1"}
    tokens = {
        keys.create_token(**right): 200,
        ALICE: 200,
        keys.create_token(**{**right, "issuer": "https://other.example"}): 401,
        keys.create_token(**{**right, "audience": "you"}): 401,
        keys.create_token(**right, expires_in_seconds=-3600): 401,
        foreign.create_token(**right): 401,
    }
    arguments = ("--jwt", f"{recorder.url}/keys,{issuer},me", "--tokens", TOKENS)
    with serving(tmp_path, api(recorder.url), *arguments) as (url, _):
        async with httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            for token, status in tokens.items():
                answer = await http.post(url, json=call("thing"), headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == status


async def test_a_forwarded_request_with_a_token_is_served(
    recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """Behind a proxy a token decides, not the address."""
    with serving(tmp_path, api(recorder.url), "--tokens", TOKENS) as (url, _):
        headers = {"authorization": f"Bearer {ALICE}", "x-forwarded-for": "203.0.113.9"}
        assert (await http.post(url, json=call("thing"), headers=headers)).status_code == 200


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
async def test_each_caller_sends_their_own_credential(recorder: Recorder, tmp_path: Path, count: int) -> None:
    """The header that is passed through reaches the API as the credential of that very call, and nobody else's.

    It is in no result; the server's own variable is never used; without the header nothing is sent.
    """
    root = api(recorder.url, security=[{"key": []}])
    recorder.answer = (200, JSON, json.dumps([f"caller-key-{number:05}" for number in range(count)]).encode())
    with serving(tmp_path, root, "--pass-header", "X-Key", env={"X_KEY": MARKER}) as (url, _):
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=120) as http:

            async def one(number: int) -> None:
                key = f"caller-key-{number:05}"
                message = {**call("thing", number=number), **({} if number % 2 else {"unknown": 1})}
                answer = (await http.post(url, json=message, headers={"x-key": key})).json()
                assert answer["id"] == number
                assert answer["result"]["isError"] is False
                assert key not in json.dumps(answer)

            await asyncio.gather(*map(one, range(count)))
            missing = (await http.post(url, json=call("thing"))).json()["result"]
            assert missing["isError"] is True
            assert "in the header x-key" in missing["content"][0]["text"]
    sent = [request.header("x-key") for request in recorder.requests]
    assert sorted(filter(None, sent)) == [f"caller-key-{number:05}" for number in range(count)]
    assert len(sent) == count


@pytest.mark.slow
async def test_a_bearer_token_can_be_passed_through(
    recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """`Authorization` reaches schemes of bearer tokens, and an API key of another header gets nothing."""
    bearer = {"type": "http", "scheme": "bearer"}
    root = api(recorder.url, security=[{"bearer": []}])
    root["components"]["securitySchemes"]["bearer"] = bearer
    root["paths"]["/large"]["get"]["security"] = [{"key": []}]
    with serving(tmp_path, root, "--pass-header", "authorization") as (url, _):
        headers = {"authorization": "Bearer callers-token-1"}
        assert (await http.post(url, json=call("thing"), headers=headers)).json()["result"]["isError"] is False
        assert recorder.last.header("authorization") == "Bearer callers-token-1"
        refused = (await http.post(url, json=call("large"), headers=headers)).json()["result"]
        assert "takes no credential in the header authorization" in refused["content"][0]["text"]
    assert len(recorder.requests) == 1


async def test_large_bodies_are_refused(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """A body above the limit gets 413, whether its length is announced or not."""
    with serving(tmp_path, api(recorder.url), "--http-limits", "1,1,0.001") as (url, _):

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        for content in (b" " * 2000, chunks()):
            assert (await http.post(url, content=content)).status_code == 413
        assert (await http.post(url, json=call("thing"))).status_code == 200


class Upstream:
    """An API that answers when it is told to, and knows which connections were closed before."""

    def __init__(self) -> None:
        self.arrived, self.left = asyncio.Semaphore(0), asyncio.Event()
        self.answer = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        self.arrived.release()
        told, left = asyncio.create_task(self.answer.wait()), asyncio.create_task(reader.read(1))
        await asyncio.wait([told, left], return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            self.left.set()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        )
        writer.close()
        told.cancel()
        left.cancel()


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, str]]:
    """Return a slow API and its URL."""
    slow = Upstream()
    async with await asyncio.start_server(slow.serve, "127.0.0.1", 0) as server:
        yield slow, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        slow.answer.set()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_connections_are_as_many_as_the_system_allows(recorder: Recorder, tmp_path: Path) -> None:
    """A shell's usual limit of open files, which is far below what the system allows, does not bound the clients."""
    import resource

    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (few, most))
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))
        url, _ = stack.enter_context(serving(tmp_path, api(recorder.url)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
        port = httpx.URL(url).port
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(200)]
        for client in clients:
            client.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert all(client.recv(1000).startswith(b"HTTP/1.1 200") for client in clients)


@pytest.mark.slow
async def test_too_many_requests_are_told_to_come_again(
    upstream: tuple[Upstream, str], tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """One caller's requests beyond the limits wait, and beyond that get 429 with Retry-After."""
    slow, url = upstream
    with serving(tmp_path, api(url), "--http-limits", "2,1,1") as (endpoint, _):
        running = [asyncio.create_task(http.post(endpoint, json=call("slow", number=n))) for n in range(2)]
        for _ in running:
            await slow.arrived.acquire()
        further = [asyncio.create_task(http.post(endpoint, json=call("slow", number=n))) for n in (2, 3)]
        done, waiting = await asyncio.wait(further, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().result()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "OPEN_MCP_HTTP_LIMITS" in refused.text
        slow.answer.set()
        assert [(await each).status_code for each in (*running, *waiting)] == [200, 200, 200]


async def test_a_call_ends_with_its_client(
    upstream: tuple[Upstream, str], tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """If the client goes away, the request to the API is given up."""
    slow, url = upstream
    with serving(tmp_path, api(url)) as (endpoint, _):
        asking = asyncio.create_task(http.post(endpoint, json=call("slow")))
        await slow.arrived.acquire()
        await asyncio.sleep(0)
        asking.cancel()
        async with asyncio.timeout(60):
            await slow.left.wait()


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_running_calls_are_answered_before_the_server_ends(
    upstream: tuple[Upstream, str], tmp_path: Path, http: httpx.AsyncClient, ending: str
) -> None:
    """After a signal no new connection is accepted, and a call that runs is answered."""
    if signal.getsignal(signal.Signals[ending]) is signal.SIG_IGN:
        pytest.skip("the tests ignore this signal, and so do the programs that they start")
    slow, url = upstream
    with serving(tmp_path, api(url)) as (endpoint, process):
        asking = asyncio.create_task(http.post(endpoint, json=call("slow")))
        await slow.arrived.acquire()
        process.send_signal(signal.Signals[ending])
        await until_closed(endpoint)
        slow.answer.set()
        assert (await asking).json()["result"]["isError"] is False
        process.wait(60)


async def until_closed(endpoint: str) -> None:
    """Wait until a server accepts no connection any more."""
    parts = httpx.URL(endpoint)
    with suppress(OSError):
        async with asyncio.timeout(60):
            while True:
                _, writer = await asyncio.open_connection(parts.host, parts.port)
                writer.close()
                await asyncio.sleep(0.01)


async def test_calls_that_are_cut_off_are_answered(
    upstream: tuple[Upstream, str], tmp_path: Path, http: httpx.AsyncClient
) -> None:
    """A server that cannot wait any longer tells each of its clients what may have happened, without a traceback."""
    slow, url = upstream
    with serving(tmp_path, api(url)) as (endpoint, process):
        plain, other = call("slow"), call("slow")
        other["params"]["unknown"] = True  # which is FastMCP's
        running = [asyncio.create_task(http.post(endpoint, json=message)) for message in (plain, other)]
        for _ in running:
            await slow.arrived.acquire()
        process.send_signal(signal.SIGINT)
        await until_closed(endpoint)  # signals that come together are one
        process.send_signal(signal.SIGINT)  # the second one does not wait for calls
        answers = await asyncio.gather(*running)
        logged = process.communicate(timeout=60)[1]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[0].json()["result"]["isError"] is True
    assert all("it may have happened" in answer.text for answer in answers)
    assert "Traceback" not in logged


async def test_admission_is_fair_to_other_callers() -> None:
    """A caller who fills their own slots does not keep another one waiting; a slot is free again after each request."""
    admission, order = Admission(calls=1, waiting=1), []
    release = asyncio.Event()

    async def run(caller: str, name: str) -> None:
        async with admission.admitted(caller):
            order.append(name)
            await release.wait()

    first = asyncio.create_task(run("a", "first"))
    await asyncio.sleep(0)
    second = asyncio.create_task(run("a", "second"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        async with admission.admitted("a"):
            pass
    other = asyncio.create_task(run("b", "other"))
    await asyncio.sleep(0)
    assert order == ["first", "other"]
    release.set()
    await asyncio.gather(first, second, other)
    assert order == ["first", "other", "second"]
    assert admission._callers == {}


ADDRESSES = [
    ("", ("127.0.0.1", 8000)),
    ("9000", ("127.0.0.1", 9000)),
    ("0.0.0.0", ("0.0.0.0", 8000)),  # noqa: S104  # nothing listens
    ("localhost:1", ("localhost", 1)),
    ("[::1]:8080", ("::1", 8080)),
    ("[::1]", ("::1", 8000)),
    (":8080", ("127.0.0.1", 8080)),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    """Host and port may each be left out."""
    assert tuple(address_of(text)) == address


def test_a_port_that_is_taken_is_named(run: Run, tmp_path: Path) -> None:
    """The server does not start where another program listens, and says so in one sentence."""
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9")))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--http", place, "--spec", "api.json")
    said = f"portkey-bridge: --http: cannot listen on {place}: Address already in use. Use another address or port.\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the system has no IPv6, or not both at once")
def test_any_address_is_one_of_both_protocols() -> None:
    """A server that listens on all addresses is reached by IPv4 and IPv6."""
    with listening(Address("::", 0)) as listener:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, listener.getsockname()[1])) as reached:
                accepted, peer = listener.accept()
                accepted.close()
                assert peer[1] == reached.getsockname()[1]


@pytest.mark.parametrize("text", ["::1", "a:b", "a:70000", "http://x", "[::1"])
def test_other_addresses_are_refused(text: str) -> None:
    """Anything else is an error that shows the form."""
    with pytest.raises(SettingsError, match="HOST:PORT"):
        address_of(text)


async def test_metrics_and_audit_tell_what_happened(recorder: Recorder, tmp_path: Path) -> None:
    """Each call is counted, and written as one line of JSON, with the caller's name, without arguments and secrets."""
    root = api(recorder.url, security=[{"key": []}])
    root["paths"]["/thing"]["get"]["parameters"] = [{"name": "q", "in": "query", "schema": {"type": "string"}}]
    arguments = ("--tokens", TOKENS, "--audit")
    with serving(tmp_path, root, *arguments, env={"X_KEY": MARKER}) as (url, process):
        async with httpx.AsyncClient(headers={**HEADERS, "authorization": f"Bearer {ALICE}"}) as http:
            await http.post(url, json=call("thing", {"q": "an-argument"}))
            await http.post(url, json=call("thing", {"unknown": "an-argument"}))
            shown = (await http.get(url.replace("/mcp", "/metrics"))).text
        async with httpx.AsyncClient(headers=HEADERS) as stranger:
            assert (await stranger.get(url.replace("/mcp", "/metrics"))).status_code == 401
        process.terminate()
        written = process.stdout.read()
    common = 'api="Test",caller="token"'
    assert f'portkey_bridge_calls_total{{{common},status="200",tool="thing"}} 1.0' in shown
    assert f'portkey_bridge_calls_total{{{common},status="none",tool="thing"}} 1.0' in shown
    lines = [json.loads(line) for line in written.splitlines()]
    known = {"caller": "token alice", "api": "Test", "tool": "thing", "method": "GET", "path": "/thing"}
    assert [{name: line[name] for name in known} for line in lines] == [known, known]
    assert [(line["status"], line["bytes"]) for line in lines] == [(200, 12), (None, 0)]
    for text in (shown, written):
        assert not any(secret in text for secret in (ALICE, MARKER, "an-argument"))


async def test_metrics_have_an_address_of_their_own(recorder: Recorder, tmp_path: Path) -> None:
    """With `--metrics` they are shown there without a token, and to nobody at the address of the endpoint."""
    address = f"127.0.0.1:{free_port()}"
    arguments = ("--tokens", TOKENS, "--metrics", address)
    with serving(tmp_path, api(recorder.url), *arguments) as (url, _):
        async with httpx.AsyncClient(headers={**HEADERS, "authorization": f"Bearer {ALICE}"}) as http:
            await http.post(url, json=call("thing"))
            assert (await http.get(url.replace("/mcp", "/metrics"))).status_code == 404
            shown = (await http.get(f"http://{address}/metrics")).text
    assert 'portkey_bridge_calls_total{api="Test",caller="token",status="200",tool="thing"} 1.0' in shown


class _Versioned(dict[str, Any]):
    """Answers that have not changed since they were first asked for."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def get(self, target: str, default: Any = None) -> Any:
        """Answer 304 if the client has the answer, and 503 to every second of the other requests."""
        if self.recorder.last.header("if-none-match"):
            return 304, {"etag": '"1"'}, b""
        if len(self.recorder.requests) == 1:
            return 503, {"retry-after": "0"}, b""
        return 200, {"content-type": "application/json", "etag": '"1"'}, b'{"a": 1}'


@pytest.mark.slow
async def test_metrics_tell_of_caches_retries_and_refusals(recorder: Recorder, tmp_path: Path) -> None:
    """Each GET is counted by what it found in the cache, and a 304 is the status that the audit and the log have."""
    recorder.answers = _Versioned(recorder)
    arguments = ("--audit", "--verbose", "--caller-rate", "3/hour")
    with serving(tmp_path, api(recorder.url), *arguments) as (url, process):
        async with httpx.AsyncClient(headers=HEADERS) as http:
            statuses = [(await http.post(url, json=call("thing", {}))).status_code for _ in range(4)]
            shown = (await http.get(url.replace("/mcp", "/metrics"))).text
        process.terminate()
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert statuses == [200, 200, 200, 429]
    assert [(line["status"], line["bytes"]) for line in lines] == [(200, 8), (304, 0), (304, 0)]
    values = dict(line.rsplit(" ", 1) for line in shown.splitlines() if not line.startswith("#"))
    expected = {
        'answer_cache_total{api="Test",outcome="validated"}': 2,
        'answer_cache_total{api="Test",outcome="missed"}': 1,
        'retries_total{api="Test"}': 1,
        'refused_total{reason="rate"}': 1,
        'calls_total{api="Test",caller="local",status="304",tool="thing"}': 2,
        "requests_in_flight": 0,
        "store_failures_total": 0,
        'upstream_seconds_count{api="Test"}': 3,
        'own_seconds_count{api="Test"}': 3,
    }
    assert {name: float(values[f"portkey_bridge_{name}"]) for name in expected} == expected
    whole, parts = (
        sum(float(values[f'portkey_bridge_{name}_seconds_sum{{api="Test"}}']) for name in names)
        for names in (["call"], ["upstream", "own"])
    )
    assert whole == pytest.approx(parts)


async def test_lists_may_be_kept_for_a_while(recorder: Recorder, tmp_path: Path, http: httpx.AsyncClient) -> None:
    """Clients of 2026-07-28 learn how long a list is good for, and that it is this caller's."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "me", "version": "0"},
    }
    modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with serving(tmp_path, api(recorder.url)) as (url, _):
        new = (await http.post(url, json={**asked, "params": {"_meta": meta}}, headers=modern)).json()["result"]
        old = (await http.post(url, json=asked)).json()["result"]
    assert (new["ttlMs"], new["cacheScope"]) == (60_000, "private")
    assert not old.keys() & {"ttlMs", "cacheScope"}
    assert [tool["name"] for tool in new["tools"]] == [tool["name"] for tool in old["tools"]]

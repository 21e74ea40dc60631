"""Callers log in to an API with accounts of their own: in a browser, at a certified provider, through a real server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth, OAuth
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from joserfc.jwk import RSAKey
from key_value.aio.stores.memory import MemoryStore
from mcp import MCPError, UrlElicitationRequiredError
from redis import Redis

from portkey_bridge.callers.store import STORE_KEY
from tests import oauth_app
from tests.browser import new_browser, visit
from tests.conftest import ROOT, Recorder, Run, recording, text_of
from tests.node import node_command
from tests.openid import items_document, running_openid_provider, serving_logins
from tests.replicas import KEY, RedisServer, free_port, running_nginx
from tests.support import document, serving, serving_with

Json = dict[str, Any]

ALICE, BOB = "token-of-alice-1234", "token-of-bob-123456"
TOKENS = ",".join(
    f"{name}={hashlib.sha256(token.encode()).hexdigest()}" for name, token in (("alice", ALICE), ("bob", BOB))
)
CLIENT = {"OAUTH_CLIENT_ID": "team", "OAUTH_CLIENT_SECRET": "team-S3CRET-1"}
OPTIONS = ("--oauth-caller-login", "--tokens", TOKENS)


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """Return the URL of the provider."""
    with running_openid_provider() as url:
        yield url


@contextmanager
def served(folder: Path, provider_url: str, *arguments: str, env: Mapping[str, str] = CLIENT) -> Iterator[str]:
    """Run the server of the provider's API, and return the URL of its endpoint."""
    with serving(folder, items_document(provider_url), *OPTIONS, *arguments, env=env) as (url, _):
        yield url


@dataclass
class Person:
    """Who sits in front of a client and a browser: the token of the client, and the account at the provider."""

    token: str
    account: str = ""
    asked: list[Any] = field(default_factory=list)
    browser: httpx.Client = field(default_factory=new_browser)

    @asynccontextmanager
    async def client(self, url: str, mode: Any = "auto", action: Any = "accept") -> AsyncIterator[Client[Any]]:
        """Return a client of the server that opens in the person's browser what it is asked to."""

        async def open_page(message: str, kind: Any, params: Any, context: Any) -> Any:
            self.asked.append(params)
            if action == "accept":
                await asyncio.to_thread(self.log_in, params.url)
            return ElicitResult(action=action)

        transport = StreamableHttpTransport(url, auth=BearerAuth(self.token))
        async with Client(transport, elicitation_handler=open_page, mode=mode) as client:
            yield client

    def post(self, address: str, path: str, **value: Any) -> httpx.Response:
        """Send what the page at an address sends."""
        site, _, ticket = address.partition("/connect")
        headers = {"authorization": f"Bearer {self.token}"}
        return self.browser.post(f"{site}/connect/{path}", json={"ticket": ticket[1:], **value}, headers=headers)

    def begin(self, address: str) -> str:
        """Go on from the page at an address, and return where that leads."""
        begun = self.post(address, "begin")
        assert begun.status_code == 200, begun.text
        return str(begun.json()["url"])

    def log_in(self, address: str) -> str:
        """Log in from the page at an address, and return what the last page says."""
        assert "Your accounts" in self.browser.get(address).text
        return said(visit(self.begin(address), self.account, self.browser))


@pytest.fixture
def alice() -> Iterator[Person]:
    """Return a caller whose account is ada's."""
    person = Person(ALICE, "ada")
    with person.browser:
        yield person


@pytest.fixture
def bob() -> Iterator[Person]:
    """Return a caller whose account is ben's."""
    person = Person(BOB, "ben")
    with person.browser:
        yield person


def said(page: str) -> str:
    """Return what a page of the server says."""
    return html.unescape(page.partition('role="status">')[2].partition("<")[0])


async def subject_of(client: Client[Any]) -> Any:
    """Return whose token the API has got."""
    return json.loads(text_of(await client.call_tool("items", {})))["subject"]


def elicitation_of(error: MCPError) -> Any:
    """Return what the error of the protocol asks for."""
    (elicitation,) = UrlElicitationRequiredError.from_error(error.error).elicitations
    return elicitation


async def address_of(url: str, token: str, tool: str = "items") -> str:
    """Return the address that a call without a login is answered with, in the error of the protocol."""
    async with Client(StreamableHttpTransport(url, auth=BearerAuth(token)), mode="legacy") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(tool, {})
    elicitation = elicitation_of(raised.value)
    assert elicitation.elicitation_id
    assert elicitation.url in raised.value.error.message
    return str(elicitation.url)


async def test_callers_log_in_when_a_call_needs_it(
    provider_url: str, tmp_path: Path, alice: Person, bob: Person
) -> None:
    """A client of the newer protocol is asked once, with the address of a page, and the call goes on after the login.

    Each caller's calls carry that caller's account, also when they come at the same time.
    """
    with served(tmp_path, provider_url) as url:
        async with alice.client(url) as first, bob.client(url) as second:
            assert [*await asyncio.gather(subject_of(first), subject_of(second))] == ["ada", "ben"]
            calls = [subject_of(client) for client in (first, second) * 8]
            assert await asyncio.gather(*calls) == ["ada", "ben"] * 8
    assert [len(person.asked) for person in (alice, bob)] == [1, 1]
    assert "Items" in alice.asked[0].message
    assert not any(secret in alice.asked[0].url for secret in (ALICE, "alice"))


async def test_a_handshake_client_gets_the_error_of_the_protocol(
    provider_url: str, tmp_path: Path, alice: Person
) -> None:
    """A server without sessions cannot ask, so the error names the address; after the login the call succeeds.

    Calls before the login name the same address, whichever tool they are of.
    """
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        assert address == await address_of(url, ALICE)
        assert alice.log_in(address).startswith("alice is logged in to Items as ada.")
        async with alice.client(url, mode="legacy") as client:
            assert await subject_of(client) == "ada"
    assert alice.asked == []


#: Requests of clients that cannot be asked: before there was a page to open, and newer ones that do not say they can.
UNABLE: dict[str, tuple[Json, Json]] = {
    "2025-06-18": ({}, {}),
    "2026-07-28": (
        {"mcp-method": "tools/call", "mcp-name": "items"},
        {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        },
    ),
}


@pytest.mark.parametrize("version", UNABLE)
def test_a_client_that_cannot_be_asked_gets_the_address_in_words(
    provider_url: str, tmp_path: Path, alice: Person, version: str
) -> None:
    """The result is an error with the address for the person."""
    headers, meta = UNABLE[version]
    headers = {
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {ALICE}",
        "mcp-protocol-version": version,
        **headers,
    }
    params: Json = {"name": "items", "arguments": {}, **({"_meta": meta} if meta else {})}
    with served(tmp_path, provider_url) as url:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        result = httpx.post(url, json=asked, headers=headers, timeout=30).json()["result"]
        (block,) = result["content"]
        address = re.search(r"http\S+/connect#\S+", block["text"])
        assert result["isError"]
        assert address
        assert "logged in to Items" in alice.log_in(address[0])


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_typescript_sdk_logs_in_twice(provider_url: str, tmp_path: Path, era: str) -> None:
    """It registers, its person logs in to the server, then to the API when a call asks for that, and it is called."""
    module = "@modelcontextprotocol/client/dist/index.mjs"
    node, script = node_command(module, (22, 19))
    with serving_logins(tmp_path, provider_url) as url, new_browser() as browser:
        words = (str(ROOT / "tests" / "http_login.mjs"), script, era, url, "items")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(node, *words, stdin=pipe, stdout=pipe)
        assert process.stdin
        assert process.stdout
        try:
            async with asyncio.timeout(60):
                while asked := json.loads(await process.stdout.readline()).get("open"):
                    ada = Person(asked.get("token"), "ada", browser=browser)
                    log_in = ada.log_in if ada.token else lambda address: visit(address, "ada", browser)
                    await asyncio.to_thread(log_in, asked["address"])
                    process.stdin.write(b"done\n")
                seen = json.loads(await process.stdout.readline())
        finally:
            process.kill()
            await process.wait()
    assert seen == {"isError": False, "subject": "ada"}


@pytest.mark.slow
async def test_a_person_may_decline(provider_url: str, tmp_path: Path, alice: Person) -> None:
    """Whoever does not open the page gets an error, and nothing is sent.

    It names the address: some clients that run without a terminal decline by themselves.
    """
    with served(tmp_path, provider_url) as url:
        async with alice.client(url, action="decline") as client:
            result = await client.call_tool("items", {}, raise_on_error=False)
        assert "did not open the page" in text_of(result)
        address = re.search(r"http\S+/connect#\S+", text_of(result))
        assert address
        assert "logged in to Items" in alice.log_in(address[0])


async def test_nobody_logs_in_for_another(provider_url: str, tmp_path: Path, alice: Person, bob: Person) -> None:
    """An address that was made for one caller is refused to others and to strangers, and works for its caller then."""
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        for path in ("accounts", "begin"):
            refused = bob.post(address, path)
            assert (refused.status_code, "made for another caller" in refused.text) == (403, True)
        stranger = Person("no-token")
        with stranger.browser:
            assert stranger.post(address, "begin").status_code == 401
        assert alice.post(address, "accounts").json() == {
            "caller": "alice",
            "asked": {"api": "Items", "host": urlsplit(provider_url).netloc},
            "logins": [],
        }
        assert "logged in to Items as ada" in alice.log_in(address)
        async with bob.client(url, mode="legacy") as client:
            with pytest.raises(MCPError):
                await client.call_tool("items", {})


@pytest.mark.slow
async def test_an_address_is_used_once(provider_url: str, tmp_path: Path, alice: Person) -> None:
    """Of those who go on from one page at the same time one does, and nobody does later."""
    with served(tmp_path, provider_url) as url:
        address = await address_of(url, ALICE)
        begun = await asyncio.gather(*(asyncio.to_thread(alice.post, address, "begin") for _ in range(5)))
        assert sorted(each.status_code for each in begun) == [200, 410, 410, 410, 410]
        assert "Call the tool again" in alice.post(address, "begin").text
        assert await address_of(url, ALICE) != address


#: The flow of an application that logs its people in.
FLOW: Json = {"authorizationCode": {"authorizationUrl": "/authorize", "tokenUrl": "/token"}}
SERVERS = {"OAUTH_TOKEN": "server-S3CRET-1"}
OF_APP = {"OAUTH_CLIENT_ID": oauth_app.CLIENT[0], "OAUTH_CLIENT_SECRET": oauth_app.CLIENT[1]}


@pytest.fixture
def application() -> Iterator[oauth_app.Application]:
    """Return an application that logs its people in."""
    with oauth_app.running(**FLOW) as application:
        yield application


@contextmanager
def serving_app(
    folder: Path, application: oauth_app.Application, *arguments: str, **env: str
) -> Iterator[tuple[str, Any]]:
    """Run the server of an application, and return the URL of its endpoint and its process."""
    with serving(folder, application.document, *OPTIONS, *arguments, env={**OF_APP, **env}) as served:
        yield served


async def called(person: Person, url: str, tool: str = "list_items") -> str:
    """Return the text of the answer to a call."""
    async with person.client(url) as client:
        return text_of(await client.call_tool(tool, {}, raise_on_error=False))


#: nginx at `{public}` in front of a server at `{own}`, under a path that it removes.
UNDER_A_PATH = """
events {{}}
http {{
  server {{
    listen 127.0.0.1:{public};
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Prefix /team;
    location /team/ {{ proxy_pass http://127.0.0.1:{own}/; }}
    location /.well-known/ {{ proxy_pass http://127.0.0.1:{own}; }}
  }}
}}
"""

#: A server that issues tokens itself to those who log in to the application at `{url}`.
OAUTH_PROXY = """
[api.main]
spec = "api.json"
oauth_caller_login = true
[serve.auth]
provider = "oauth-proxy"
base_url = "{site}"
upstream_authorization_endpoint = "{url}/authorize"
upstream_token_endpoint = "{url}/token"
upstream_client_id = "$OAUTH_CLIENT_ID"
upstream_client_secret = "$OAUTH_CLIENT_SECRET"
[serve.auth.token_verifier]
provider = "introspection"
introspection_url = "{introspection}/introspect"
client_id = "me"
client_secret = "$OAUTH_CLIENT_SECRET"
"""


class Visiting(OAuth):
    """A client whose person logs in with a browser."""

    async def redirect_handler(self, authorization_url: str) -> None:
        """Open the page of the login; the client listens for the end of it afterwards."""
        self.visiting = asyncio.create_task(asyncio.to_thread(visit, authorization_url))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using in-memory token storage")
async def test_both_logins_work_under_a_path(
    application: oauth_app.Application, recorder: Recorder, tmp_path: Path
) -> None:
    """A proxy serves it at a path. A client that knows that URL alone finds where to log in (RFC 8414 section 3.1).

    The caller's own login, its cookie and its way back are below that path, too.
    """
    public, own = free_port(), free_port()
    site = f"http://127.0.0.1:{public}/team"
    media_type = {"content-type": "application/json"}
    recorder.answers["/introspect"] = (200, media_type, b'{"active": true, "sub": "carol"}')
    (tmp_path / "api.json").write_text(json.dumps(application.document))
    table = OAUTH_PROXY.format(site=site, url=application.url, introspection=recorder.url)
    (tmp_path / "team.toml").write_text(table)
    options = ("--config", "team.toml", "--http", f"127.0.0.1:{own}")
    configuration = UNDER_A_PATH.format(public=public, own=own)
    with serving_with(tmp_path, *options, env=OF_APP), running_nginx(tmp_path, configuration):
        auth = Visiting(token_storage=MemoryStore(), callback_port=free_port())
        async with Client(StreamableHttpTransport(f"{site}/mcp", auth=auth), mode="legacy") as client:
            with pytest.raises(MCPError) as raised:
                await client.call_tool("main_list_items", {})
            address = elicitation_of(raised.value).url
            tokens = await auth.token_storage_adapter.get_tokens()
            carol = Person(tokens.access_token if tokens else "")
            assert address.startswith(f"{site}/connect#")
            with carol.browser:
                assert "logged in to Items" in await asyncio.to_thread(carol.log_in, address)
                assert "connect" not in str([*carol.browser.cookies.jar])
            assert text_of(await client.call_tool("main_list_items", {})) == '["one"]'


@pytest.mark.slow
async def test_an_answer_counts_in_its_browser_and_once(
    application: oauth_app.Application, tmp_path: Path, alice: Person, bob: Person
) -> None:
    """A code that comes without the cookie, with a foreign state or a second time keeps nothing and gets nothing."""
    with serving_app(tmp_path, application) as (url, _):
        begun = alice.begin(await address_of(url, ALICE, "list_items"))
        bob.begin(await address_of(url, BOB, "list_items"))
        answer = httpx.get(begun).headers["location"]
        foreign = answer.replace("state=", "state=x")
        for browser, address in ((bob.browser, answer), (alice.browser, foreign)):
            refused = browser.get(address)
            assert (refused.status_code, "this browser has begun" in said(refused.text)) == (400, True)
        assert application.forms == []
        assert "alice is logged in to Items" in said(alice.browser.get(answer).text)
        again = alice.browser.get(answer)
        assert (again.status_code, "Nothing was kept" in said(again.text)) == (400, True)
        assert len(application.forms) == 1
        with pytest.raises(MCPError):
            async with bob.client(url, mode="legacy") as client:
                await client.call_tool("list_items", {})


@pytest.mark.slow
async def test_what_the_provider_refuses_is_said(
    application: oauth_app.Application, tmp_path: Path, alice: Person
) -> None:
    """Whoever does not agree at the provider, or whose code it does not take, is not logged in, and may try again."""
    with serving_app(tmp_path, application) as (url, _):
        application.person = None
        assert "access_denied" in alice.log_in(await address_of(url, ALICE, "list_items"))
        application.person = "ada"
        answer = httpx.get(alice.begin(await address_of(url, ALICE, "list_items"))).headers["location"]
        application.codes.clear()
        refused = said(alice.browser.get(answer).text)
        assert "invalid_grant" in refused
        assert oauth_app.MARKER not in refused
        assert await called(alice, url) == '["one"]'
    assert len(alice.asked) == 1


@pytest.mark.slow
async def test_a_login_asks_for_what_the_caller_s_tools_need(
    application: oauth_app.Application, tmp_path: Path, alice: Person, bob: Person
) -> None:
    """The scopes are those of the tools that the caller's roles permit; PKCE is there, and no secret is in the address.

    What a login has not got is not tried.
    """
    roles = '[serve.roles.reader]\nread_only = true\n[serve.roles.writer]\ncallers = ["alice"]\n'
    (tmp_path / "team.toml").write_text(f'[api.main]\nprefix = ""\nspec = "api.json"\n{roles}')
    with serving_app(tmp_path, application, "--config", "team.toml") as (url, _):
        await called(alice, url)
        await called(bob, url)
        assert [asked["scope"] for asked in application.asked] == ["read write", "read"]
        (first, _) = application.asked
        assert {"code_challenge", "state"} <= first.keys()
        assert oauth_app.MARKER not in str(first)
        assert first["redirect_uri"] == url.replace("/mcp", "/connect/callback")
        application.grants = "read"
        (login,) = alice.post(f"{url[:-4]}/connect", "accounts").json()["logins"]
        alice.post(f"{url[:-4]}/connect", "forget", name=login["name"])
        assert "needs the scope write" in await called(alice, url, "add_item")


@pytest.mark.slow
async def test_nothing_stands_in_for_a_login(application: oauth_app.Application, tmp_path: Path, alice: Person) -> None:
    """Neither a token of the server nor one that its client could get is sent for a caller who is not logged in."""
    flows = {**FLOW, "clientCredentials": {"tokenUrl": "/token"}}
    with oauth_app.running(**flows) as both, serving_app(tmp_path, both, **SERVERS) as (url, _):
        async with alice.client(url, action="cancel") as client:
            await client.call_tool("list_items", {}, raise_on_error=False)
        assert (both.calls, both.forms) == ([], [])
        await called(alice, url)
        assert [both.subjects[each or ""] for each in both.calls] == ["ada"]


@pytest.mark.slow
async def test_a_login_is_renewed_and_forgotten_when_it_cannot(
    application: oauth_app.Application, tmp_path: Path, alice: Person
) -> None:
    """A token is renewed before it expires and after a 401; if the provider does not renew it, the person is asked."""
    application.lifetime = 1
    with serving_app(tmp_path, application) as (url, _):
        for expected in (1, 2):
            assert await called(alice, url) == '["one"]'
            assert len(application.forms) >= expected  # more where a call takes longer than a token is good for
            await asyncio.sleep(1)
        application.lifetime = 3600
        await called(alice, url)
        renewed = len(application.forms)
        application.accepted.clear()
        assert await called(alice, url) == '["one"]'
        assert len(application.forms) == renewed + 1
        first, *others = [form["grant_type"] for form in application.forms]
        assert (first, {*others}) == ("authorization_code", {"refresh_token"})
        assert len(alice.asked) == 1
        application.accepted.clear()
        application.refreshable.clear()
        assert await called(alice, url) == '["one"]'
        assert len(alice.asked) == 2
        assert application.subjects[application.calls[-1] or ""] == "ada"


@pytest.mark.slow
async def test_calls_share_one_renewal(application: oauth_app.Application, tmp_path: Path, alice: Person) -> None:
    """Many calls whose token is rejected at the same time renew it once."""
    with serving_app(tmp_path, application) as (url, _):
        async with alice.client(url) as client:
            await client.call_tool("list_items", {})
            application.accepted.clear()
            await asyncio.gather(*(client.call_tool("list_items", {}) for _ in range(10)))
    assert [form["grant_type"] for form in application.forms] == ["authorization_code", "refresh_token"]


@pytest.mark.slow
async def test_servers_share_logins_and_the_store_has_no_token(
    application: oauth_app.Application, redis: RedisServer, tmp_path: Path, alice: Person, bob: Person
) -> None:
    """A login that one server began ends at another, and counts at both, which renew it once.

    The store has no token, code, name, or ticket, and a ticket that it has forgotten leads nowhere.
    """
    env = {STORE_KEY: KEY}
    (tmp_path / "other").mkdir()
    with ExitStack() as stack:
        start = [
            serving_app(folder, application, "--store", redis.url, **env) for folder in (tmp_path, tmp_path / "other")
        ]
        (first, _), (second, _) = map(stack.enter_context, start)
        address = await address_of(first, ALICE, "list_items")
        begun = alice.begin(address.replace(first[:-4], second[:-4]))
        answer = httpx.get(begun).headers["location"]
        assert "logged in to Items" in said(alice.browser.get(answer.replace(second[:-4], first[:-4])).text)
        async with alice.client(first) as one, alice.client(second) as two:
            for client in (one, two):
                assert text_of(await client.call_tool("list_items", {})) == '["one"]'
            application.accepted.clear()
            await asyncio.gather(*(client.call_tool("list_items", {}) for client in (one, two) * 5))
        assert [form["grant_type"] for form in application.forms] == ["authorization_code", "refresh_token"]
        forgotten = await address_of(first, BOB, "list_items")
        bob.begin(forgotten)
        forgotten = await address_of(first, BOB, "list_items")
        raw: Any = Redis.from_url(redis.url)
        every = {key: raw.get(key) or b"" for key in raw.scan_iter() if raw.type(key) == b"string"}
        stored = b"".join(part for pair in every.items() for part in pair)
        assert len(every) >= 3
        for secret in (oauth_app.MARKER, "alice", "token", "list_items", forgotten.partition(".")[2]):
            assert secret.encode() not in stored
        raw.delete(*raw.keys("*login-tickets*"))
        raw.close()
        refused = bob.post(forgotten, "begin")
        assert (refused.status_code, "too old" in refused.text) == (410, True)
    assert alice.asked == []


#: Options with which callers cannot log in, variables, and what is said.
UNUSABLE: list[tuple[list[str], Mapping[str, str], str]] = [
    ([], CLIENT, "nobody knows who calls"),
    (["--pass-header", "x-key"], CLIENT, "nobody knows who calls"),
    (["--tokens", TOKENS, "--pass-header", "x-key"], CLIENT, "leave out --pass-header"),
    (["--tokens", TOKENS], {}, "https://mcp.example.com/connect/callback"),
    (["--tokens", TOKENS, "--spec", "plain.json"], CLIENT, "declares no login for people"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "env", "said"), UNUSABLE)
def test_logins_need_callers_and_a_client(
    run: Run, tmp_path: Path, options: list[str], env: Mapping[str, str], said: str
) -> None:
    """A server that could not tell callers apart, or not log them in, does not start, and says what is missing."""
    (tmp_path / "api.json").write_text(json.dumps(items_document("http://127.0.0.1:9")))
    plain = {"/x": {"get": {"operationId": "x", "responses": {}}}}
    (tmp_path / "plain.json").write_text(json.dumps(document(plain, servers=[{"url": "http://127.0.0.1:9"}])))
    done = run("serve", "--http", "127.0.0.1:0", "--spec", "api.json", "--oauth-caller-login", *options, env=env)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.slow
async def test_a_person_logs_out(provider_url: str, tmp_path: Path, alice: Person, bob: Person) -> None:
    """The page shows a caller's own logins alone, and what it forgets is revoked; the next call asks again."""
    with served(tmp_path, provider_url) as url:
        page = f"{url[:-4]}/connect"
        async with alice.client(url) as client:
            assert await subject_of(client) == "ada"
            (login,) = alice.post(page, "accounts").json()["logins"]
            assert (login["api"], login["who"]) == ("Items", "ada")
            assert bob.post(page, "accounts").json()["logins"] == []
            assert bob.post(page, "forget", name=login["name"]).status_code == 404
            assert await subject_of(client) == "ada"
            assert alice.post(page, "forget", name=login["name"]).json() == {"remark": ""}
            assert alice.post(page, "accounts").json()["logins"] == []
            alice.account = "eve"
            alice.browser.cookies.clear()
            assert await subject_of(client) == "eve"
    assert len(alice.asked) == 2


@pytest.mark.slow
async def test_a_repeated_call_waits_for_the_login(
    application: oauth_app.Application, tmp_path: Path, alice: Person
) -> None:
    """A client may repeat the call at once, while the person is still about to log in."""
    logins = []

    async def agree(message: str, kind: Any, params: Any, context: Any) -> Any:
        logins.append(asyncio.get_running_loop().run_in_executor(None, alice.log_in, params.url))
        return ElicitResult(action="accept")

    with serving_app(tmp_path, application) as (url, _):
        transport = StreamableHttpTransport(url, auth=BearerAuth(ALICE))
        async with Client(transport, elicitation_handler=agree) as client:
            assert text_of(await client.call_tool("list_items", {})) == '["one"]'
    (login,) = logins
    assert "alice is logged in" in await login


@pytest.mark.slow
async def test_tools_behind_others_ask_too(application: oauth_app.Application, tmp_path: Path, alice: Person) -> None:
    """`callTool` asks as the tool itself would; a program, which cannot, ends with the address."""
    with serving_app(tmp_path, application, "--discover", "--code=also") as (url, _):
        async with alice.client(url) as client:
            code = "await call('list_items')"
            ended = text_of(await client.call_tool("runProgram", {"code": code}, raise_on_error=False))
            assert f"{url[:-4]}/connect#" in ended
            assert alice.asked == []
            assert text_of(await client.call_tool("callTool", {"toolName": "list_items"})) == '["one"]'
            assert len(alice.asked) == 1
            assert text_of(await client.call_tool("runProgram", {"code": code})) == '["one"]'


@pytest.mark.slow
async def test_each_api_has_logins_of_its_own(tmp_path: Path) -> None:
    """Callers with JSON Web Tokens log in to each of several APIs, and none gets the token of another."""
    keys = RSAKeyPair.generate()
    public = RSAKey.import_key(keys.public_key).as_dict()
    token = keys.create_token(issuer="https://issuer.example", audience="me", kid="1", subject="ann")
    with ExitStack() as stack:
        first, second = (stack.enter_context(oauth_app.running(**FLOW)) for _ in range(2))
        recorder = stack.enter_context(recording())
        body = json.dumps({"keys": [{**public, "kid": "1"}]}).encode()
        recorder.answers["/keys"] = (200, {"content-type": "application/json"}, body)
        client_id, secret = oauth_app.CLIENT
        tables = []
        for name, application in (("one", first), ("two", second)):
            application.person = f"ann-{name}"
            (tmp_path / f"{name}.json").write_text(json.dumps(application.document))
            env = f'[api.{name}.env]\nOAUTH_CLIENT_ID = "{client_id}"\nOAUTH_CLIENT_SECRET = "{secret}"\n'
            tables.append(f'[api.{name}]\nspec = "{name}.json"\noauth_caller_login = true\n{env}')
        (tmp_path / "team.toml").write_text("\n".join(tables))
        options = ("--config", "team.toml", "--jwt", f"{recorder.url}/keys,https://issuer.example,me", "--audit")
        url, process = stack.enter_context(serving_with(tmp_path, *options))
        ann = Person(token)
        stack.enter_context(ann.browser)
        async with ann.client(url) as client:
            for _ in range(2):
                for name in ("one", "two"):
                    assert text_of(await client.call_tool(f"{name}_list_items", {})) == '["one"]'
        metrics = httpx.get(url.replace("/mcp", "/metrics"), headers={"authorization": f"Bearer {token}"}).text
        audit = [process.stdout.readline() for _ in range(8)]  # two calls without a login, and two logins
        assert len(ann.asked) == 2
        for name, application in (("one", first), ("two", second)):
            assert {application.subjects[each or ""] for each in application.calls} == {f"ann-{name}"}
        for written in (metrics, *audit):
            assert oauth_app.MARKER not in written
            assert token not in written
        assert {json.loads(line)["caller"] for line in audit} == {"https://issuer.example ann"}
        assert [json.loads(line).get("login") for line in audit].count("completed") == 2
        assert 'portkey_bridge_logins_total{api="one",outcome="completed"} 1.0' in metrics


@pytest.mark.slow
async def test_an_id_token_of_another_login_is_refused(recorder: Recorder, tmp_path: Path, alice: Person) -> None:
    """An OpenID provider repeats the nonce of the request; an answer with another one logs nobody in."""
    metadata = {
        "issuer": recorder.url,
        "authorization_endpoint": f"{recorder.url}/authorize",
        "token_endpoint": f"{recorder.url}/token",
        "scopes_supported": ["openid", "read"],
    }
    media_type = {"content-type": "application/json"}
    recorder.answers["/.well-known/openid-configuration"] = (200, media_type, json.dumps(metadata).encode())
    with served(tmp_path, recorder.url) as url:
        for known in (False, True):
            begun = alice.begin(await address_of(url, ALICE))
            asked = {name: value for name, (value,) in parse_qs(urlsplit(begun).query).items()}
            claims = {"sub": "ada", "nonce": asked["nonce"] if known else "another"}
            id_token = f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"
            tokens = {"access_token": "access-S3CRET-1", "token_type": "Bearer", "id_token": id_token}
            recorder.answers["/token"] = (200, media_type, json.dumps(tokens).encode())
            answer = f"{asked['redirect_uri']}?code=c0de&state={asked['state']}"
            wrong = said(alice.browser.get(f"{answer}&iss=https://attacker.example").text) if not known else ""
            assert ("another authorization server" in wrong) is not known
            if not known:
                begun = alice.begin(await address_of(url, ALICE))
                (state,) = parse_qs(urlsplit(begun).query)["state"]
                refused = said(alice.browser.get(f"{asked['redirect_uri']}?code=c0de&state={state}").text)
                assert "another nonce" in refused
            else:
                assert "logged in to Items as ada" in said(alice.browser.get(answer).text)


#: Whether an answer counts, the issuer that it names, and what the metadata says besides.
ISSUERS = [
    (True, "{url}", {}),
    (False, "https://attacker.example", {}),
    (True, None, {}),
    (False, None, {"authorization_response_iss_parameter_supported": True}),
    (True, "{url}", {"authorization_response_iss_parameter_supported": True}),
    (True, "{url}/tenant", {"issuer": None}),
    (False, "https://honest.example", {"issuer": None}),
    (False, "https://honest.example", {"issuer": "https://honest.example"}),
]


@pytest.mark.parametrize(
    ("counts", "issuer", "further"),
    [*ISSUERS[:2], *(pytest.param(*row, marks=pytest.mark.slow) for row in ISSUERS[2:])],
)
async def test_an_answer_of_another_issuer_is_refused(
    recorder: Recorder, tmp_path: Path, alice: Person, counts: bool, issuer: str | None, further: Json
) -> None:
    """A code goes to the server that issued it (RFC 9207), also where a server says that it is another one."""
    metadata = {
        "issuer": recorder.url,
        "authorization_endpoint": f"{recorder.url}/authorize",
        "token_endpoint": f"{recorder.url}/token",
        **further,
    }
    media_type = {"content-type": "application/json"}
    recorder.answers["/.well-known/openid-configuration"] = (200, media_type, json.dumps(metadata).encode())
    recorder.answers["/token"] = (200, media_type, b'{"access_token": "access-S3CRET-1", "token_type": "Bearer"}')
    with served(tmp_path, recorder.url) as url:
        begun = parse_qs(urlsplit(alice.begin(await address_of(url, ALICE))).query)
        named = {"iss": issuer.replace("{url}", recorder.url)} if issuer else {}
        answer = {"code": "c0de", "state": begun["state"][0], **named}
        shown = said(alice.browser.get(begun["redirect_uri"][0], params=answer).text)
    assert ("is logged in to Items" in shown) is counts
    assert ("another authorization server" in shown) is not counts
    assert any(b"c0de" in request.body for request in recorder.requests) is counts

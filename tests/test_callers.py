"""Who may call over HTTP by FastMCP's providers, and which tools the roles of callers let them use."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import inspect
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth, OAuth
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from joserfc import jwt
from joserfc.jwk import RSAKey
from key_value.aio.stores.memory import MemoryStore

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.serving import PROVIDERS
from portkey_bridge.web.providers import provider_of
from tests import oauth_app
from tests.browser import visit
from tests.conftest import Recorder, Run, text_of
from tests.openid import BRIDGE_SECRET, OIDC_PROXY, running_openid_provider
from tests.replicas import free_port
from tests.support import document, serving

Json = dict[str, Any]

SECRET = "marker-of-the-secret-1"  # noqa: S105  # for tests
ALICE, BOB = "token-of-alice-1234", "token-of-bob-123456"
TOKENS = ",".join(
    f"{name}={hashlib.sha256(token.encode()).hexdigest()}" for name, token in (("alice", ALICE), ("bob", BOB))
)
JSON = {"content-type": "application/json"}
HEADERS = {**JSON, "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}

#: A reader, and an administrator by name or by a claim.
ROLES = """
[serve.roles.reader]
read_only = true
exclude = ["secret_thing"]

[serve.roles.admin]
callers = ["alice"]
claims = { groups = ["admins"] }
"""

#: A server of tokens that is asked about each.
INTROSPECTION = """
[serve.auth]
provider = "introspection"
introspection_url = "{}/introspect"
client_id = "me"
client_secret = "$SECRET"
"""


def api(url: str) -> Json:
    paths: Json = {
        "/things": {
            "get": {"operationId": "read_thing", "tags": ["things"], "responses": {}},
            "delete": {"operationId": "remove_thing", "tags": ["things"], "responses": {}},
        },
        "/secret": {"get": {"operationId": "secret_thing", "responses": {}}},
    }
    return document(paths, servers=[{"url": url}])


def call(name: str, arguments: Json | None = None, **further: Any) -> Json:
    params = {"name": name, "arguments": arguments or {}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, **further}


def settings_file(folder: Path, text: str) -> str:
    path = folder / "team.toml"
    path.write_text(f'[api.main]\nprefix = ""\nspec = "api.json"\n{text}', encoding="utf-8")
    return str(path)


def served(folder: Path, recorder: Recorder, toml: str, *arguments: str, env: Mapping[str, str] = {}) -> Any:
    named = ("--config", settings_file(folder, toml))
    return serving(folder, api(recorder.url), *named, *arguments, env=env)


def as_caller(url: str, token: str, **options: Any) -> Client[Any]:
    return Client(StreamableHttpTransport(url, auth=BearerAuth(token)), **options)


async def status_of(url: str, token: str) -> int:
    async with httpx.AsyncClient(headers={**HEADERS, "authorization": f"Bearer {token}"}, timeout=30) as http:
        return (await http.post(url, json=call("read_thing"))).status_code


@pytest.mark.slow
async def test_tokens_are_introspected(recorder: Recorder, tmp_path: Path) -> None:
    """A server of tokens is asked about each, with a secret that a variable holds."""
    recorder.answers["/introspect"] = (200, JSON, b'{"active": true, "sub": "carol", "scope": "read"}')
    table = INTROSPECTION.format(recorder.url)
    with served(tmp_path, recorder, table, env={"SECRET": SECRET}) as (url, _):
        assert await status_of(url, "some-token") == 200
        asked = next(each for each in recorder.requests if each.target == "/introspect")
        assert b"token=some-token" in asked.body
        assert (asked.header("authorization") or "").startswith("Basic ")
        recorder.answers["/introspect"] = (200, JSON, b'{"active": false}')
        assert await status_of(url, "other-token") == 401


async def test_clients_find_the_authorization_server(recorder: Recorder, tmp_path: Path) -> None:
    """The refusal names the metadata of this resource, which names the server that issues tokens (RFC 9728)."""
    env = {
        "OPEN_MCP_AUTH_PROVIDER": "remote",
        "OPEN_MCP_AUTH_BASE_URL": "https://mcp.example.com",
        "OPEN_MCP_AUTH_AUTHORIZATION_SERVERS": "https://login.example.com",
        "OPEN_MCP_AUTH_TOKEN_VERIFIER__PROVIDER": "jwt",
        "OPEN_MCP_AUTH_TOKEN_VERIFIER__JWKS_URI": f"{recorder.url}/keys",
        "OPEN_MCP_AUTH_TOKEN_VERIFIER__ISSUER": "https://login.example.com",
        "OPEN_MCP_AUTH_TOKEN_VERIFIER__AUDIENCE": "https://mcp.example.com/mcp",
    }
    with served(tmp_path, recorder, "", env=env) as (url, _):
        async with httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            refused = await http.post(url, json=call("read_thing"))
            place = "/.well-known/oauth-protected-resource/mcp"
            assert refused.status_code == 401
            assert f'resource_metadata="https://mcp.example.com{place}"' in refused.headers["www-authenticate"]
            metadata = (await http.get(url.replace("/mcp", place))).json()
    assert metadata["resource"] == "https://mcp.example.com/mcp"
    assert metadata["authorization_servers"] == ["https://login.example.com/"]


class Issuer:
    """An issuer of JSON Web Tokens, whose keys a recorder has under `/keys`."""

    def __init__(self, recorder: Recorder) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.option = f"{recorder.url}/keys,https://issuer.example,me"
        recorder.answers["/keys"] = (200, JSON, json.dumps({"keys": [self.key.as_dict(private=False)]}).encode())
        self.claims: Json = {
            "iss": "https://issuer.example",
            "aud": "me",
            "sub": "carol",
            "exp": int(time.time()) + 600,
        }

    def token(self, header: Mapping[str, Any] = {}, key: Any = None, **claims: Any) -> str:
        """Return a token of these claims besides the usual ones, without those that are None."""
        every = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        headers = {"alg": "RS256", "kid": "1", **header}
        return jwt.encode(headers, every, key or self.key, algorithms=["RS256"])

    def tampered(self) -> str:
        """Return a token whose claims were changed after it was signed."""
        header, _, signature = self.token().split(".")
        return f"{header}.{encoded(json.dumps({**self.claims, 'sub': 'admin'}).encode())}.{signature}"

    def confused(self, algorithm: str) -> str:
        """Return a token that is not signed, or with the public key as if that were a secret (RFC 8725 section 2.1)."""
        header = {"alg": algorithm, "kid": "1"}
        signed = ".".join(encoded(json.dumps(each).encode()) for each in (header, self.claims))
        digest = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{encoded(digest) if algorithm == 'HS256' else ''}"


def encoded(value: bytes) -> str:
    """Return bytes as a part of a token."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def forged(issuer: Issuer) -> dict[str, str]:
    """Return tokens that stand for nobody here, by what is wrong with them."""
    foreign = RSAKey.generate_key(2048)
    return {
        "no signature": issuer.confused("none"),
        "signed with the public key as a secret": issuer.confused("HS256"),
        "another key": issuer.token(key=foreign),
        "a key of its own": issuer.token({"jwk": foreign.as_dict(private=False)}, foreign),
        "keys of its own": issuer.token({"jku": "http://127.0.0.1:9/keys"}, foreign),
        "a path as the name of the key": issuer.token({"kid": "../../../../dev/null"}, foreign),
        "changed claims": issuer.tampered(),
        "expired": issuer.token(exp=int(time.time()) - 60),
        "no number as the end": issuer.token(exp="never"),
        "not valid yet": issuer.token(nbf=int(time.time()) + 600),
        "another audience": issuer.token(aud="https://other.example/mcp"),
        "other audiences": issuer.token(aud=["you", "them"]),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss="https://issuer.example.attacker.example"),
        "an object as the subject": issuer.token(sub={"iss": "token"}),
        "an ID token with a nonce": issuer.token(nonce="n"),
        "an ID token with a hash": issuer.token(at_hash="h"),
        "an ID token of Keycloak": issuer.token(typ="ID"),
        "a refresh token of Keycloak": issuer.token(typ="Refresh", aud="https://issuer.example"),
        "not a token": "a.b.c",
        "far too many parts": "." * 5000,
        "deep JSON": f"{encoded(b'[' * 9000)}.e30.x",
    }


async def test_forged_tokens_are_refused(recorder: Recorder, tmp_path: Path) -> None:
    """Only access tokens that the issuer has signed for this server, and that are valid now, stand for a caller."""
    issuer = Issuer(recorder)
    right = {
        "plain": issuer.token(),
        "one of several audiences": issuer.token(aud=["you", "me"]),
        "an access token with a nonce": issuer.token({"typ": "at+JWT"}, nonce="n"),
        "an old access token of Keycloak": issuer.token(typ="Bearer", nonce="n"),
    }
    with served(tmp_path, recorder, "", "--jwt", issuer.option) as (url, _):
        statuses = {name: await status_of(url, token) for name, token in {**right, **forged(issuer)}.items()}
    assert {name for name, status in statuses.items() if status == 200} == {*right}
    assert {status for name, status in statuses.items() if name not in right} == {401}


async def test_required_scopes_are_required_everywhere(recorder: Recorder, tmp_path: Path) -> None:
    """A token without a required scope calls and reads nothing; whoever has a token of `--tokens` needs no scope."""
    issuer = Issuer(recorder)
    recorder.answers["/introspect"] = (200, JSON, b'{"active": false}')
    table = f"""{INTROSPECTION.format(recorder.url)}required_scopes = ["work"]
[serve.roles.worker]
scopes = ["work"]
tools = ["read_thing"]
[serve.roles.everybody]
tools = ["secret_thing"]
"""
    tokens = {issuer.token(): 403, issuer.token(scope="work"): 200, ALICE: 200}
    options = ("--jwt", issuer.option, "--tokens", TOKENS)
    with served(tmp_path, recorder, table, *options, env={"SECRET": SECRET}) as (url, _):
        async with httpx.AsyncClient(headers=HEADERS, timeout=30) as http:
            for token, status in tokens.items():
                auth = {"authorization": f"Bearer {token}"}
                called = await http.post(url, json=call("secret_thing"), headers=auth)
                listed = await http.post(url, json=call("", method="tools/list"), headers=auth)
                page = await http.get(url.replace("mcp", "page/catalogue"), headers=auth)
                assert [called.status_code, listed.status_code, page.status_code] == [status] * 3
                metrics = await http.get(url.replace("mcp", "metrics"), headers=auth)
                assert metrics.status_code == (200 if status == 200 else 401)
                assert ("read_thing" in listed.text) is ("work" in token_scopes(token))


def token_scopes(token: str) -> str:
    """Return the scopes that a token says it has."""
    claims = token.split(".")[1] if token.count(".") == 2 else "e30"
    return str(json.loads(base64.urlsafe_b64decode(claims + "==")).get("scope", ""))


#: A proxy of an authorization server, which registers clients and issues tokens of its own.
PROXY = """
[serve.auth]
provider = "oauth-proxy"
upstream_authorization_endpoint = "{url}/authorize"
upstream_token_endpoint = "{url}/token"
upstream_client_id = "me"
upstream_client_secret = "$SECRET"
base_url = "https://mcp.example.com"
[serve.auth.token_verifier]
provider = "introspection"
introspection_url = "{url}/introspect"
client_id = "me"
client_secret = "$SECRET"
"""


async def answered_early(url: str, path: str) -> bytes:
    """Send a large body without an end, and return the answer, after which the connection is closed.

    All of it is sent before the answer is read: who writes when the other side has closed may lose what it said.
    """
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    form = "content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked"
    writer.write(f"POST {path} HTTP/1.1\r\nhost: {address.netloc.decode()}\r\n{form}\r\n\r\n".encode())
    writer.write((b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 20)
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
    writer.close()
    return head


@pytest.mark.slow
async def test_every_body_is_limited(recorder: Recorder, tmp_path: Path) -> None:
    """A stranger cannot send more to the routes of a login, or to any other, than the limit of bodies allows."""
    limited, protected = ("/register", "/token", "/consent", "/", "/nowhere"), ("/page/request", "/mcp", "/healthz")
    options = ("--http-limits", "1,1,0.01")
    with served(tmp_path, recorder, PROXY.format(url=recorder.url), *options, env={"SECRET": SECRET}) as (url, _):
        heads = await asyncio.gather(*(answered_early(url, path) for path in (*limited, *protected)))
    statuses = [int(head.split()[1]) for head in heads]
    assert statuses == [413] * len(limited) + [401, 401, 200]
    assert all(b"connection: close" in head.lower() for head in heads)


#: How each proxy is told of an OpenID provider at `{url}`: by its metadata, or endpoint by endpoint.
PROXIES = {
    "oidc-proxy": OIDC_PROXY,
    "oauth-proxy": """
[serve.auth]
provider = "oauth-proxy"
base_url = "{site}"
upstream_authorization_endpoint = "{url}/auth"
upstream_token_endpoint = "{url}/token"
upstream_client_id = "bridge"
upstream_client_secret = "$BRIDGE_SECRET"
valid_scopes = ["openid"]
forward_resource = false
[serve.auth.token_verifier]
provider = "introspection"
introspection_url = "{url}/token/introspection"
client_id = "bridge"
client_secret = "$BRIDGE_SECRET"
required_scopes = ["openid"]
""",
}


class Person(OAuth):
    """A client whose person logs in with a browser."""

    async def redirect_handler(self, authorization_url: str) -> None:
        """Open the page of the login; the client listens for the end of it afterwards."""
        self.visiting = asyncio.create_task(asyncio.to_thread(visit, authorization_url))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using in-memory token storage")
@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_person_logs_in_by_a_proxy(proxy: str, recorder: Recorder, tmp_path: Path) -> None:
    """A client that knows the URL alone registers, its person logs in at the OpenID provider, and it calls a tool.

    The person is the subject that the provider names, has the roles of that subject, and no token is in any answer.
    """
    key = json.dumps(RSAKey.generate_key(2048, {"use": "sig"}).as_dict(private=False))
    address = f"127.0.0.1:{free_port()}"
    role = '\n[serve.roles.person]\nclaims = { sub = ["ada"] }\ntools = ["read_thing"]\n'
    with running_openid_provider(key) as provider:
        table = PROXIES[proxy].format(site=f"http://{address}", url=provider) + role
        options = ("--http", address, "--audit")
        with served(tmp_path, recorder, table, *options, env=BRIDGE_SECRET) as (url, process):
            person = Person(token_storage=MemoryStore(), callback_port=free_port())
            transport = StreamableHttpTransport(url, auth=person)
            async with Client(transport) as client:
                shown = {tool.name for tool in await client.list_tools()}
                result = await client.call_tool("read_thing", {})
            assert await status_of(url, "no-token-of-the-proxy") == 401
            process.terminate()
            audited = [json.loads(line) for line in process.stdout]
    assert {name for name in shown if "thing" in name} == {"read_thing"}
    assert "ok" in text_of(result)
    assert [each["caller"].split()[-1] for each in audited] == ["ada"]
    assert recorder.last.header("authorization") is None


#: Tables that cannot be used, and what is said.
UNUSABLE = [
    ('provider = "githup"', "did you mean github?"),
    ('client_id = "x"', "OPEN_MCP_AUTH_PROVIDER"),
    ('provider = "github"\nclient_id = "x"', "OPEN_MCP_AUTH_CLIENT_SECRET"),
    ('provider = "jwt"\njwks_uri = "https://x.example/keys"', "needs issuer, audience"),
    ('provider = "github"\nclient_secre = "x"', "did you mean client_secret?"),
    ('provider = "github"\nclient_id = "x"\nclient_secret = "$UNSET"\nbase_url = "https://x.example"', "$UNSET"),
    (
        f'provider = "github"\nclient_id = "x"\nclient_secret = "{SECRET}"\nbase_url = "nowhere"',
        "base_url",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "said"), UNUSABLE)
def test_a_provider_that_cannot_be_used_is_explained(run: Run, tmp_path: Path, table: str, said: str) -> None:
    """The server does not start, names what is missing or mistyped, and shows no secret."""
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9")))
    done = run("serve", "--http", "127.0.0.1:0", "--config", settings_file(tmp_path, f"[serve.auth]\n{table}"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_says_what_it_needs(provider: str) -> None:
    """Each name stands for a class of FastMCP; without its parameters the refusal names the variable of each."""
    module, _, name = PROVIDERS[provider].partition(":")
    cls = getattr(import_module(f"fastmcp.server.auth.{module}"), name)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    with pytest.raises(SettingsError) as refused:
        provider_of({"provider": provider}, MemoryStore())
    for each in parameters:
        if each.default is each.empty:
            assert f"OPEN_MCP_AUTH_{each.name.upper()}" in str(refused.value)


def test_the_working_directory_does_not_choose_who_may_call(run: Run, tmp_path: Path) -> None:
    """A `.env` that nobody named cannot open the server to tokens of its author."""
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9")))
    (tmp_path / ".env").write_text("OPEN_MCP_AUTH_PROVIDER=introspection\n")
    done = run("serve", "--http", "127.0.0.1:0", "--spec", "api.json")
    assert done.returncode == 2
    assert "OPEN_MCP_AUTH_PROVIDER" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_caller_sees_the_tools_of_its_roles(recorder: Recorder, tmp_path: Path, mode: Any) -> None:
    """What a role may not use is neither listed nor called by its name, in either era; the other caller has it."""
    with served(tmp_path, recorder, ROLES, "--tokens", TOKENS) as (url, _):
        async with as_caller(url, ALICE, mode=mode) as alice, as_caller(url, BOB, mode=mode) as bob:
            everything = {tool.name for tool in await alice.list_tools()}
            few = {tool.name for tool in await bob.list_tools()}
            assert everything - few == {"remove_thing", "secret_thing"}
            for name in ("remove_thing", "secret_thing"):
                refused = await bob.call_tool(name, {}, raise_on_error=False)
                assert "Unknown tool" in text_of(refused)
                shown = await bob.call_tool("expandSchema", {"toolName": name}, raise_on_error=False)
                assert shown.is_error
            assert recorder.requests == []
            await alice.call_tool("remove_thing", {})
            await bob.call_tool("read_thing", {})
    assert [each.method for each in recorder.requests] == ["DELETE", "GET"]


async def test_the_direct_lane_knows_roles(recorder: Recorder, tmp_path: Path) -> None:
    """A plain message that names a hidden tool gets the same answer as one that names no tool."""
    with served(tmp_path, recorder, ROLES, "--tokens", TOKENS) as (url, _):
        async with httpx.AsyncClient(headers={**HEADERS, "authorization": f"Bearer {BOB}"}, timeout=30) as http:
            answers = [(await http.post(url, json=call(name))).text for name in ("remove_thing", "no_such_thing")]
            again = (await http.post(url, json=call("read_thing"))).json()
    assert answers[0].replace("remove_thing", "X") == answers[1].replace("no_such_thing", "X")
    assert not again["result"]["isError"]
    assert [each.method for each in recorder.requests] == ["GET"]


async def test_discovery_knows_roles(recorder: Recorder, tmp_path: Path) -> None:
    """The search does not find what a role may not use, and callTool does not call it."""
    with served(tmp_path, recorder, ROLES, "--tokens", TOKENS, "--discover") as (url, _):
        async with as_caller(url, BOB) as bob, as_caller(url, ALICE) as alice:
            found = [text_of(await each.call_tool("searchTools", {"query": "remove thing"})) for each in (alice, bob)]
            assert ["remove_thing" in text for text in found] == [True, False]
            asked = {"toolName": "remove_thing", "arguments": {}}
            refused = await bob.call_tool("callTool", asked, raise_on_error=False)
            assert refused.is_error
            assert recorder.requests == []
            await alice.call_tool("callTool", asked)
    assert recorder.last.method == "DELETE"


async def test_programs_know_roles(recorder: Recorder, tmp_path: Path) -> None:
    """A program calls what its caller may call, and nothing else."""
    pytest.importorskip("pydantic_monty")
    with served(tmp_path, recorder, ROLES, "--tokens", TOKENS, "--code") as (url, _):
        async with as_caller(url, BOB) as bob, as_caller(url, ALICE) as alice:
            code = {"code": 'await call("remove_thing")'}
            refused = await bob.call_tool("runProgram", code, raise_on_error=False)
            assert "There is no tool" in text_of(refused)
            assert recorder.requests == []
            await alice.call_tool("runProgram", code)
    assert recorder.last.method == "DELETE"


@pytest.mark.slow
async def test_scopes_and_claims_bring_roles(recorder: Recorder, tmp_path: Path) -> None:
    """Roles come from a verified token; a subject with the name of a static caller is somebody else."""
    keys = RSAKeyPair.generate()
    public = RSAKey.import_key(keys.public_key).as_dict()
    recorder.answers["/keys"] = (200, JSON, json.dumps({"keys": [{**public, "kid": "1"}]}).encode())
    issuer: Json = {"issuer": "https://issuer.example", "audience": "me", "kid": "1"}
    tokens = {
        keys.create_token(**issuer, subject="alice"): 0,
        keys.create_token(**issuer, subject="x", scopes=["things:read"]): 1,
        keys.create_token(**issuer, subject="x", additional_claims={"groups": ["admins"]}): 3,
        keys.create_token(**issuer, subject="x", additional_claims={"groups": "others"}): 0,
    }
    roles = ROLES.replace("read_only", 'scopes = ["things:read"]\nread_only')
    arguments = ("--jwt", f"{recorder.url}/keys,https://issuer.example,me", "--tokens", TOKENS)
    with served(tmp_path, recorder, roles, *arguments) as (url, _):
        for token, count in tokens.items():
            async with as_caller(url, token) as client:
                assert sum("_thing" in tool.name for tool in await client.list_tools()) == count


#: Roles that cannot be used, and what is said.
WRONG_ROLES = [
    ('tool = ["x"]', "did you mean tools?"),
    ('exclude = ["remove_thinx"]', "the closest are remove_thing"),
    ('scopes = ["x"]', "none is required"),
    ('read_only = "yes"', "true or false"),
    ("tools = []", "not empty"),
    ("claims = 1", "must be a table"),
]


@pytest.mark.parametrize(("role", "said"), WRONG_ROLES)
def test_a_role_that_cannot_be_used_is_explained(run: Run, tmp_path: Path, role: str, said: str) -> None:
    """A typing error does not open a tool: the server does not start, and says why."""
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9")))
    done = run("serve", "--http", "127.0.0.1:0", "--config", settings_file(tmp_path, f"[serve.roles.some]\n{role}\n"))
    assert done.returncode == 2
    assert said.lower() in done.stderr.lower()


#: The flow of the application whose tokens are exchanged, and the variables of its client and of a token of the server.
FLOW: Json = {"clientCredentials": {"tokenUrl": "/token"}}
VARIABLES = {
    "OAUTH_CLIENT_ID": oauth_app.CLIENT[0],
    "OAUTH_CLIENT_SECRET": oauth_app.CLIENT[1],
    "OAUTH_TOKEN": SECRET,
}


@pytest.fixture
def issuer(recorder: Recorder) -> Any:
    """Return what makes the token of a subject, and the option by which a server accepts it."""
    keys = RSAKeyPair.generate()
    public = RSAKey.import_key(keys.public_key).as_dict()
    recorder.answers["/keys"] = (200, JSON, json.dumps({"keys": [{**public, "kid": "1"}]}).encode())

    def token(subject: str) -> str:
        return keys.create_token(issuer="https://issuer.example", audience="me", kid="1", subject=subject)

    return token, ("--jwt", f"{recorder.url}/keys,https://issuer.example,me")


@pytest.mark.slow
async def test_each_caller_calls_with_its_own_token(issuer: Any, tmp_path: Path) -> None:
    """Concurrent calls share one exchange for each caller, and each request carries what its caller's token became.

    A token that is rejected is obtained once more. No token of the server is used, although one is set.
    """
    token, jwt = issuer
    with oauth_app.running(**FLOW) as application:
        options = (*jwt, "--oauth-exchange", "--oauth-token-url", f"{application.url}/token")
        with serving(tmp_path, application.document, *options, env=VARIABLES) as (url, _):
            tokens = [token(subject) for subject in ("ann", "ben", "cyd")]

            async def five(mine: str) -> list[str]:
                async with as_caller(url, mine) as client:
                    calls = [client.call_tool("add_item", {}) for _ in range(5)]
                    return [text_of(result) for result in await asyncio.gather(*calls)]

            shown = await asyncio.gather(*map(five, tokens))
            assert sorted(form["subject_token"] for form in application.forms) == sorted(tokens)
            assert sorted(application.subjects[each or ""] for each in application.calls) == sorted(tokens * 5)
            assert oauth_app.MARKER not in str(shown)
            application.accepted.clear()
            await five(tokens[0])
            assert [form["subject_token"] for form in application.forms[3:]] == [tokens[0]]


@pytest.mark.slow
async def test_a_token_is_exchanged_for_an_api_that_takes_any_bearer_token(issuer: Any, tmp_path: Path) -> None:
    """Where the document says `http` `bearer`, alone or first, a caller's token is exchanged, and no other is sent."""
    token, jwt = issuer
    with oauth_app.running(**FLOW) as application:
        root: Json = json.loads(json.dumps(application.document))
        root["components"]["securitySchemes"]["any"] = {"type": "http", "scheme": "bearer"}
        root["paths"]["/items"]["get"]["security"] = [{"any": []}]
        root["paths"]["/items"]["post"]["security"].insert(0, {"any": []})
        options = (*jwt, "--oauth-exchange", "--oauth-token-url", f"{application.url}/token")
        with serving(tmp_path, root, *options, env={**VARIABLES, "API_KEY": SECRET}) as (url, _):
            mine = token("ann")
            async with as_caller(url, mine) as client:
                await client.call_tool("list_items", {})
                await client.call_tool("add_item", {})
        assert [application.subjects.get(each or "") for each in application.calls] == [mine, mine]


async def test_nothing_stands_in_for_a_token_that_is_not_exchanged(issuer: Any, tmp_path: Path) -> None:
    """A caller whose token is refused, or who has none to exchange, gets an error, and the API gets no request."""
    token, jwt = issuer
    with oauth_app.running(**FLOW) as application:
        env = {**VARIABLES, "OAUTH_CLIENT_SECRET": "wrong-secret-1"}
        options = (*jwt, "--tokens", TOKENS, "--oauth-exchange", "--oauth-token-url", f"{application.url}/token")
        with serving(tmp_path, application.document, *options, env=env) as (url, _):
            for mine, said in ((token("ann"), "did not exchange your token"), (ALICE, "Log in to this server")):
                async with as_caller(url, mine) as client:
                    refused = text_of(await client.call_tool("add_item", {}, raise_on_error=False))
                assert "Nothing was sent" in refused
                assert said in refused
                assert mine not in refused
        assert application.calls == []


#: Options with which tokens cannot be exchanged, and what is said.
UNEXCHANGEABLE = [
    (["--oauth-token-url", "http://127.0.0.1:9/token"], "callers with tokens"),
    (["--tokens", TOKENS, "--oauth-token-url", "http://127.0.0.1:9/token"], "callers with tokens"),
    (["--jwt", "https://k.example,https://i.example,me"], "name it with --oauth-token-url"),
]


@pytest.mark.parametrize(("options", "said"), UNEXCHANGEABLE)
def test_an_exchange_needs_tokens_and_a_server(run: Run, tmp_path: Path, options: list[str], said: str) -> None:
    """A server whose callers have no such tokens, or whose authorization server nobody named, does not start."""
    (tmp_path / "api.json").write_text(json.dumps(api("http://127.0.0.1:9")))
    done = run("serve", "--http", "127.0.0.1:0", "--spec", "api.json", "--oauth-exchange", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_schema_of_the_settings_file_knows_both(run: Run) -> None:
    """Editors accept the tables of callers, and mark an unknown provider and an unknown key of a role."""
    schema = json.loads(run("config", "schema").stdout)
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert check({"serve": {"auth": {"provider": "github", "client_id": "x"}, "roles": {"a": {"tools": ["x"]}}}})
    assert not check({"serve": {"auth": {"provider": "githup"}}})
    assert not check({"serve": {"roles": {"a": {"tool": ["x"]}}}})

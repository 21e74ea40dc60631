"""OAuth 2 tokens from end to end: obtained when needed, shared, renewed, sent nowhere else and shown nowhere."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from portkey_bridge.bridge.configured_bridge import build_bridge
from portkey_bridge.credentials import logins
from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.logins import Login
from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.errors import CredentialsError, TokenError
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.reading import read_settings
from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Connect, Recorder, Run, recording, text_of
from tests.oauth_app import CLIENT, MARKER, PERSON, Application, running
from tests.support import api_of, operation, served

ENVIRON = {"OAUTH_CLIENT_ID": CLIENT[0], "OAUTH_CLIENT_SECRET": CLIENT[1]}
#: A key of each type, and the algorithm that it signs with.
KEYS = [(RSAKey.generate_key(2048), "RS256"), (ECKey.generate_key("P-256"), "ES256")]

PERSONAL = {"OAUTH_USERNAME": PERSON[0], "OAUTH_PASSWORD": PERSON[1]}


@pytest.fixture
def machine() -> Iterator[Application]:
    """Return an application whose document declares the client credentials flow at a relative URL."""
    with running(clientCredentials={"tokenUrl": "token"}) as state:
        yield state


@pytest.fixture
def personal() -> Iterator[Application]:
    """Return an application whose document declares the password flow, as FastAPI's do."""
    with running(password={"tokenUrl": "token"}) as state:
        yield state


async def called(app: Application, settings: Settings, *tools: str) -> list[str]:
    """Call tools one after the other in one session, and return the texts of their results."""
    async with served(app.document, settings) as client:
        return [text_of(await client.call_tool(tool, {}, raise_on_error=False)) for tool in tools]


# Obtaining


async def test_client_credentials(machine: Application) -> None:
    """A token is requested with the client's identifier and secret, and with the scopes that the tools need."""
    assert await called(machine, Settings(environ=ENVIRON), "list_items") == ['["one"]']
    assert machine.forms == [{"grant_type": "client_credentials", "scope": "read write"}]


async def test_the_secret_is_sent_in_the_body_where_the_header_is_refused(machine: Application) -> None:
    """A server that knows only client_secret_post is asked again, with the secret in the form."""
    machine.methods = ("client_secret_post",)
    assert await called(machine, Settings(environ=ENVIRON), "list_items") == ['["one"]']
    assert [form.get("client_secret") for form in machine.forms] == [None, CLIENT[1]]


async def test_a_token_endpoint_that_reads_json_only(recorder: Recorder) -> None:
    """Where a form cannot be read, the same parameters are sent as JSON; scopes may be separated with commas."""

    class Endpoint(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if key != "/token":
                return default
            is_json = recorder.last.header("content-type") == "application/json"
            granted = {"access_token": "t-1", "scope": "read,write"}
            answer = (200, granted) if is_json else (422, {"detail": [{"msg": "Input should be a valid dictionary"}]})
            return answer[0], {"content-type": "application/json"}, json.dumps(answer[1]).encode()

    recorder.answers = Endpoint()
    flows = {"clientCredentials": {"tokenUrl": "/token", "scopes": {"read": "", "write": "", "admin": ""}}}
    root = operation("get", security=[{"o": ["write"]}])
    root |= {"servers": [{"url": recorder.url}]}
    root |= {"components": {"securitySchemes": {"o": {"type": "oauth2", "flows": flows}}}}
    async with served(root, Settings(environ=ENVIRON)) as client:
        assert not (await client.call_tool("op", {})).is_error
    assert recorder.last.header("authorization") == "Bearer t-1"
    sent = json.loads(recorder.requests[1].body)
    assert (sent["grant_type"], sent["scope"], len(recorder.requests)) == ("client_credentials", "write", 3)


async def test_password(personal: Application) -> None:
    """A FastAPI application with the password flow takes user and password, whatever characters they contain."""
    assert await called(personal, Settings(environ=PERSONAL), "list_items") == ['["one"]']
    (form,) = personal.forms
    assert (form["grant_type"], form["username"], form["password"]) == ("password", *PERSON)


async def test_a_refresh_token_from_the_environment(personal: Application) -> None:
    """OAUTH_REFRESH_TOKEN alone is exchanged for an access token."""
    personal.refreshable.add("mine-12345678")
    settings = Settings(environ={"OAUTH_REFRESH_TOKEN": "mine-12345678"})
    assert await called(personal, settings, "list_items") == ['["one"]']
    assert personal.forms == [{"grant_type": "refresh_token", "refresh_token": "mine-12345678"}]


@pytest.mark.parametrize(("key", "algorithm"), KEYS)
@pytest.mark.parametrize("form", ["pem", "escaped", "jwk", "file"])
async def test_private_key_jwt(recorder: Recorder, tmp_path: Path, key: Any, algorithm: str, form: str) -> None:
    """A client with a private key signs an assertion (RFC 7523), which its public key verifies."""
    pem = key.as_pem(private=True).decode()
    (tmp_path / "key.pem").write_text(pem)
    forms = {"pem": pem, "escaped": pem.replace("\n", "\\n"), "file": str(tmp_path / "key.pem")}
    forms["jwk"] = json.dumps({**key.as_dict(private=True), "kid": "the-key"})
    recorder.answers["/token"] = (200, {"content-type": "application/json"}, b'{"access_token":"tok-12345678"}')
    flows = {"clientCredentials": {"tokenUrl": "/token", "scopes": {}}}
    environ = {"OAUTH_CLIENT_ID": "me", "OAUTH_PRIVATE_KEY": forms[form]}
    async with served(secured(recorder.url, flows=flows), Settings(environ=environ)) as client:
        await client.call_tool("op", {})
    sent, called_with = recorder.requests
    assert called_with.header("authorization") == "Bearer tok-12345678"
    values = {name: value for name, (value,) in parse_qs(sent.body.decode()).items()}
    assert values["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    token = jwt.decode(values["client_assertion"], key, algorithms=[algorithm])
    assert (token.claims["iss"], token.claims["sub"], token.claims["aud"]) == ("me", "me", f"{recorder.url}/token")
    assert token.header.get("kid") == ("the-key" if form == "jwk" else token.header.get("kid"))


def secured(url: str, **scheme: Any) -> dict[str, Any]:
    """Return a document of one operation `op` that needs a token of the scheme."""
    fine = {"200": {"description": "Fine"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Small", "version": "1"},
        "servers": [{"url": url}],
        "paths": {"/x": {"get": {"operationId": "op", "responses": fine, "security": [{"it": []}]}}},
        "components": {"securitySchemes": {"it": {"type": "oauth2", **scheme}}},
    }


@pytest.mark.parametrize("declared", [{}, {"it": {"type": "http", "scheme": "bearer"}}])
async def test_a_document_that_is_silent(recorder: Recorder, declared: dict[str, Any]) -> None:
    """Where the document has no OAuth scheme, --oauth-token-url makes every request carry a token."""
    root = secured(recorder.url)
    root["components"]["securitySchemes"] = declared
    root["paths"]["/x"]["get"]["security"] = [{name: []} for name in declared]
    recorder.answers["/token"] = (200, {"content-type": "application/json"}, b'{"access_token": "tok-12345678"}')
    settings = Settings(environ=ENVIRON, oauth_token_url=f"{recorder.url}/token")
    async with served(root, settings) as client:
        await client.call_tool("op", {})
    assert [request.header("authorization") for request in recorder.requests][1:] == ["Bearer tok-12345678"]


# Sharing and renewing


async def test_one_request_for_32_calls(machine: Application) -> None:
    """Thirty-two calls that start together share one token request."""
    async with served(machine.document, Settings(environ=ENVIRON, concurrency=32)) as client:
        results = await asyncio.gather(*(client.call_tool("list_items", {}) for _ in range(32)))
    assert {text_of(result) for result in results} == {'["one"]'}
    assert len(machine.forms) == 1


async def test_one_request_for_32_calls_that_fail(machine: Application) -> None:
    """Thirty-two calls share a token request that fails, too: each way to authenticate is tried once."""
    environ = {**ENVIRON, "OAUTH_CLIENT_SECRET": f"wrong-{MARKER}"}
    async with served(machine.document, Settings(environ=environ, concurrency=32)) as client:
        results = await asyncio.gather(*(client.call_tool("list_items", {}, raise_on_error=False) for _ in range(32)))
    assert all(result.is_error for result in results)
    assert len(machine.forms) == 2
    assert machine.calls == []


async def test_a_rejected_token_is_replaced_once(machine: Application) -> None:
    """After a 401 the token is refreshed and the call repeated; calls that run at the same time share that."""
    async with served(machine.document, Settings(environ=ENVIRON, concurrency=32)) as client:
        await client.call_tool("list_items", {})
        machine.accepted.clear()
        results = await asyncio.gather(*(client.call_tool("list_items", {}) for _ in range(32)))
    assert {text_of(result) for result in results} == {'["one"]'}
    assert [form["grant_type"] for form in machine.forms] == ["client_credentials", "refresh_token"]


async def test_a_call_is_repeated_only_once(machine: Application) -> None:
    """If the new token is rejected as well, the API's answer is the result."""
    async with served(machine.document, Settings(environ=ENVIRON)) as client:
        await client.call_tool("list_items", {})
        machine.issue = lambda scope: {"access_token": "never-accepted"}  # type: ignore[method-assign]
        machine.accepted.clear()
        (text,) = [text_of(await client.call_tool("list_items", {}, raise_on_error=False))]
    assert "not a valid token" in text
    assert len(machine.calls) == 3


async def test_a_refresh_token_that_is_refused_is_not_the_end(machine: Application) -> None:
    """Where the refresh token has expired as well, the first grant is used again."""
    async with served(machine.document, Settings(environ=ENVIRON)) as client:
        await client.call_tool("list_items", {})
        machine.accepted.clear()
        machine.refreshable.clear()
        await client.call_tool("list_items", {})
    grants = [form["grant_type"] for form in machine.forms]
    assert grants == ["client_credentials", "refresh_token", "client_credentials"]


async def test_a_token_is_renewed_before_it_expires(machine: Application) -> None:
    """A token that is about to expire is not sent any more; one that is valid for long is."""
    machine.lifetime = 0
    assert await called(machine, Settings(environ=ENVIRON), "list_items", "list_items") == ['["one"]'] * 2
    assert [form["grant_type"] for form in machine.forms] == ["client_credentials", "refresh_token"]
    assert len({*machine.calls}) == 2


async def test_a_token_in_the_environment_is_used_as_it_is(machine: Application) -> None:
    """OAUTH_TOKEN is sent, and nothing is requested, whatever else is set."""
    machine.accepted.add("mine-12345678")
    environ = {**ENVIRON, "OAUTH_TOKEN": "mine-12345678"}
    assert await called(machine, Settings(environ=environ), "list_items") == ['["one"]']
    assert machine.forms == []


def test_env_shows_how_a_token_is_obtained(run: Run, machine: Application, tmp_path: Path) -> None:
    """`env` names the variables of the document's flows, and whether one of them is in use; `doctor` counts it."""
    document = tmp_path / "items.json"
    document.write_text(json.dumps(machine.document))
    ways = "OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET, or OAUTH_CLIENT_ID and OAUTH_PRIVATE_KEY"
    assert f"OAUTH_TOKEN can be obtained: OAUTH_REFRESH_TOKEN, or {ways}" in run("env", "--spec", str(document)).stderr
    assert "OAUTH_TOKEN is obtained by itself" in run("env", "--spec", str(document), env=ENVIRON).stderr
    assert "2 of 2 tools can be called" in run("doctor", "--spec", str(document), env=ENVIRON).stdout


# Where secrets go


def test_a_dry_run_shows_where_a_token_goes(run: Run, machine: Application, tmp_path: Path) -> None:
    """A token that would be obtained has its variable in the request, beside what a person adds; none is requested."""
    (tmp_path / "api.json").write_text(json.dumps(machine.document))
    options = ("call", "list_items", "--spec", "api.json", "--header", "X-Tenant=TENANT", "--dry-run")
    shown = run(*options, env={**ENVIRON, "TENANT": "mine"}).stdout
    assert "Authorization: Bearer $OAUTH_TOKEN" in shown
    assert "X-Tenant: $TENANT" in shown
    assert "($OAUTH_TOKEN is obtained by OAuth 2)" in shown
    assert machine.forms == []


@pytest.mark.parametrize("option", ["oauth_token_url", "oauth_issuer"])
async def test_another_origin_gets_no_secret_unless_it_was_named(recorder: Recorder, option: str) -> None:
    """A document cannot send the client's secret to a token endpoint elsewhere; the person can, by an option."""
    with recording() as other:
        metadata = json.dumps({"issuer": other.url, "token_endpoint": f"{other.url}/token"}).encode()
        json_type = {"content-type": "application/json"}
        other.answers["/token"] = (200, json_type, b'{"access_token": "tok-12345678"}')
        other.answers["/.well-known/openid-configuration"] = (200, json_type, metadata)
        flows = {"clientCredentials": {"tokenUrl": f"{other.url}/token", "scopes": {}}}
        root = secured(recorder.url, flows=flows)
        async with served(root, Settings(environ=ENVIRON)) as client:
            text = text_of(await client.call_tool("op", {}, raise_on_error=False))
        assert "Nothing was sent" in text
        assert f"--oauth-token-url {other.url}/token" in text
        assert other.requests == recorder.requests == []
        named = {"oauth_token_url": f"{other.url}/token", "oauth_issuer": other.url}[option]
        settings = read_settings({option: named}, ENVIRON)
        async with served(root, settings) as client:
            await client.call_tool("op", {})
        assert other.last.target == "/token"
        assert recorder.last.header("authorization") == "Bearer tok-12345678"


async def test_metadata_of_the_api_does_not_vouch_for_another_origin(recorder: Recorder) -> None:
    """The provider's metadata on the API's own origin may name its own token endpoint, and no other."""
    with recording() as other:
        json_type = {"content-type": "application/json"}
        metadata = {"issuer": recorder.url, "token_endpoint": f"{other.url}/token"}
        path = "/.well-known/openid-configuration"
        recorder.answers[path] = (200, json_type, json.dumps(metadata).encode())
        root = secured(recorder.url, type="openIdConnect", openIdConnectUrl=path)
        async with served(root, Settings(environ=ENVIRON)) as client:
            text = text_of(await client.call_tool("op", {}, raise_on_error=False))
        assert other.requests == []
        assert f"--oauth-token-url {other.url}/token" in text


async def test_a_redirect_of_the_token_endpoint_is_not_followed(recorder: Recorder) -> None:
    """Secrets are not sent again to where a token endpoint redirects."""
    with recording() as other:
        recorder.answers["/token"] = (307, {"location": f"{other.url}/token"}, b"")
        root = secured(recorder.url, flows={"clientCredentials": {"tokenUrl": "/token", "scopes": {}}})
        async with served(root, Settings(environ=ENVIRON)) as client:
            text = text_of(await client.call_tool("op", {}, raise_on_error=False))
        assert "answered 307 without a token" in text
        assert other.requests == []


@pytest.mark.slow
async def test_a_document_from_a_url_gets_no_secret_unasked(connect: Connect, machine: Application) -> None:
    """A document from a URL gets the client's secret only where --credentials names it."""
    async with connect("--spec", f"{machine.url}/openapi.json", env=ENVIRON) as client:
        text = text_of(await client.call_tool("list_items", {}, raise_on_error=False))
    assert "OAUTH_CLIENT_SECRET is set, but withheld" in text
    assert machine.forms == []
    named = ["--credentials", ",".join(ENVIRON)]
    async with connect("--spec", f"{machine.url}/openapi.json", *named, env=ENVIRON) as client:
        assert text_of(await client.call_tool("list_items", {})) == '["one"]'


@pytest.mark.slow
async def test_a_document_that_moves_gets_no_secret(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """A document from a URL that later names another server does not get the secret there: the first is remembered."""
    env = {**ENVIRON, "XDG_STATE_HOME": str(tmp_path)}
    options = ("--no-cache", "--spec", f"{recorder.url}/openapi.json", "--credentials", ",".join(ENVIRON))
    json_type = {"content-type": "application/json"}
    with recording() as other:
        for server in (recorder, other):
            root = secured(server.url, flows={"clientCredentials": {"tokenUrl": "/token", "scopes": {}}})
            server.answers["/token"] = (200, json_type, b'{"access_token": "tok-12345678"}')
            recorder.answers["/openapi.json"] = (200, json_type, json.dumps(root).encode())
            async with connect(*options, env=env) as client:
                text = text_of(await client.call_tool("op", {}, raise_on_error=False))
        assert other.requests == []
    assert [request.target for request in recorder.requests if request.method == "POST"] == ["/token"]
    assert "OAUTH_CLIENT_SECRET was first used for" in text


async def test_no_secret_is_shown(connect: Connect, machine: Application, tmp_path: Path) -> None:
    """No token and no secret is in any result or log, even if an API or a token endpoint repeats it."""
    document = tmp_path / "items.json"
    document.write_text(json.dumps(machine.document))
    log = tmp_path / "log"
    texts = []
    async with connect("--spec", str(document), "--verbose", env=ENVIRON, log_file=log) as client:
        texts += [text_of(await client.call_tool("add_item", {}, raise_on_error=False))]
        machine.accepted.clear()
        texts += [text_of(await client.call_tool("add_item", {}, raise_on_error=False))]
        assert texts == ['{"echo":"[OAUTH_TOKEN]"}'] * 2
        texts += [str(await client.list_tools())]
    wrong = {**PERSONAL, "OAUTH_PASSWORD": f"wrong-{MARKER}"}
    with running(password={"tokenUrl": "token"}) as personal:
        document.write_text(json.dumps(personal.document))
        async with connect("--spec", str(document), "--verbose", env=wrong, log_file=log) as client:
            texts += [text_of(await client.call_tool("add_item", {}, raise_on_error=False))]
    assert "no, [OAUTH_PASSWORD]" in texts[-1]
    assert MARKER not in "".join([*texts, log.read_text()])


# Scopes


async def test_a_scope_that_was_not_granted_is_said_before_sending(machine: Application) -> None:
    """A tool whose scope the server did not grant is refused; one whose scope it did grant is called."""
    machine.grants = "read"
    items, refusal = await called(machine, Settings(environ=ENVIRON), "list_items", "add_item")
    assert items == '["one"]'
    assert "Nothing was sent: POST /items needs the scope write, and the token has read." in refusal
    assert len(machine.calls) == 1


async def test_scopes_can_be_chosen(machine: Application) -> None:
    """--oauth-scopes replaces the scopes of the tools; a tool that needs another one names the option."""
    (refusal,) = await called(machine, Settings(environ=ENVIRON, oauth_scopes=("read",)), "add_item")
    assert machine.forms[0]["scope"] == "read"
    assert "Add write to --oauth-scopes" in refusal


async def test_an_unknown_scope_may_imply_what_is_needed(machine: Application) -> None:
    """Where a token has a scope that the document does not know, the API decides."""
    (text,) = await called(machine, Settings(environ=ENVIRON, oauth_scopes=(".default",)), "list_items")
    assert text == '["one"]'


async def test_the_audience_is_requested(machine: Application) -> None:
    """--oauth-audience is sent to the token endpoint."""
    await called(machine, Settings(environ=ENVIRON, oauth_audience="https://items.example"), "list_items")
    assert machine.forms[0]["audience"] == "https://items.example"


async def test_a_login_is_not_used_for_other_callers(machine: Application) -> None:
    """Another caller than the local user shares the program's token, and never the person's own."""
    flow = {"tokenUrl": "token", "authorizationUrl": "authorize", "scopes": {}}
    root = secured(machine.url, flows={"authorizationCode": flow})
    api = api_of(root)
    (tool,) = build_tools(api)
    bridge = build_bridge(api, Settings(), [tool])
    (source,) = bridge.provider.sources.every([tool.operation])  # type: ignore[attr-defined]
    logins.save_login(source.login_name, Login(Expiring(f"mine-{MARKER}-1234")))
    (mine,) = await bridge.provider.credentials(tool.operation, (), LOCAL)
    assert mine.value == f"Bearer mine-{MARKER}-1234"
    with pytest.raises(CredentialsError):
        await bridge.provider.credentials(tool.operation, (), Caller("somebody"))
    await bridge.transport.aclose()


async def test_a_dotenv_does_not_lead_a_kept_login_elsewhere(recorder: Recorder, machine: Application) -> None:
    """A refresh token that a person's login has is not sent to a token endpoint that a `.env` of the folder names."""
    metadata = {"type": "openIdConnect", "openIdConnectUrl": "/openid"}
    root = {**machine.document, "components": {"securitySchemes": {"o": metadata}}}
    root["paths"] = {"/items": {"get": {"operationId": "items", "security": [{"o": []}], "responses": {}}}}
    api = api_of(root)
    (tool,) = build_tools(api)
    lured = Settings(oauth_token_url=recorder.url, apart=("OPEN_MCP_OAUTH_TOKEN_URL",))
    bridge = build_bridge(api, lured, [tool])
    (source,) = bridge.provider.sources.every([tool.operation])  # type: ignore[attr-defined]
    expired = Expiring(f"mine-{MARKER}-1234", 1, 1, None, f"refresh-{MARKER}-1234")
    logins.save_login(source.login_name, Login(expired))
    with pytest.raises(TokenError, match="OPEN_MCP_OAUTH_TOKEN_URL"):
        await bridge.provider.credentials(tool.operation, (), LOCAL)
    await bridge.transport.aclose()
    assert recorder.requests == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_file_that_others_may_write_is_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could put a token of their own into the file would see what this user sends with it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    logins.save_login("name", Login(Expiring("mine")))
    (file,) = logins.logins_folder().iterdir()
    assert logins.load_login("name") is not None
    file.chmod(0o620)
    assert logins.load_login("name") is None
    file.chmod(0o600)
    file.parent.chmod(0o777)
    assert logins.load_login("name") is None
    file.parent.chmod(0o700)
    logins.forget_login("name")


@pytest.mark.parametrize("at", range(280, 312, 4))
async def test_the_words_of_a_refusal_are_cut_without_leaving_a_part_of_a_secret(recorder: Recorder, at: int) -> None:
    """A secret that is repeated where a long text is cut off is hidden before the cut."""
    secret = "Q7w-" * 5
    words = "x" * (at - len("invalid_client ")) + secret
    body = json.dumps({"error": "invalid_client", "error_description": words}).encode()
    recorder.answer = (400, {"content-type": "application/json"}, body)
    root = secured(recorder.url, flows={"clientCredentials": {"tokenUrl": "token", "scopes": {}}})
    async with served(root, Settings(environ={**ENVIRON, "OAUTH_CLIENT_SECRET": secret})) as client:
        said = text_of(await client.call_tool("op", {}, raise_on_error=False))
    assert "invalid_client" in said
    assert "Q7w" not in said


# What is missing


async def test_a_refusal_names_how_a_token_is_obtained(machine: Application, personal: Application) -> None:
    """Without any variable, the refusal names those that a token can be obtained with, by the document's flows."""
    (text,) = await called(machine, Settings(), "list_items")
    assert "- OAUTH_TOKEN\n- OAUTH_REFRESH_TOKEN\n- OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET" in text
    (text,) = await called(personal, Settings(), "list_items")
    assert "- OAUTH_USERNAME and OAUTH_PASSWORD" in text
    assert "CLIENT_SECRET" not in text

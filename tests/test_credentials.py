"""Credentials from end to end: which variables are sent where, and the ways in which a key cannot be lured away."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.transports import StdioTransport

from portkey_bridge.openapi.reader import read_api
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Connect, Recorder, Run, connected, recording, text_of
from tests.support import operation, served

Session = Client[StdioTransport]

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}

#: Part of every secret here, so that one search finds any of them.
MARKER = "S3CRET"

#: variable of the Portkey API -> its value, the header that carries it, and how it is written there.
PORTKEY = {
    "X_PORTKEY_API_KEY": (f"pk-{MARKER}", "x-portkey-api-key", f"pk-{MARKER}"),
    "X_PORTKEY_VIRTUAL_KEY": (f"vk-{MARKER}", "x-portkey-virtual-key", f"vk-{MARKER}"),
    "API_KEY": (f"sk-{MARKER}", "authorization", f"Bearer sk-{MARKER}"),
    "X_PORTKEY_PROVIDER": (f"openai-{MARKER}", "x-portkey-provider", f"openai-{MARKER}"),
    "X_PORTKEY_CONFIG": (f"pc-{MARKER}", "x-portkey-config", f"pc-{MARKER}"),
    "X_PORTKEY_CUSTOM_HOST": (f"http://{MARKER}.example", "x-portkey-custom-host", f"http://{MARKER}.example"),
}


@pytest.fixture(scope="module")
def shared_api() -> Iterator[Recorder]:
    """Return the API that the shared sessions talk to."""
    with recording() as record:
        yield record


@pytest.fixture
def api(shared_api: Recorder) -> Recorder:
    """Return the API without the requests and the answer of the test before."""
    shared_api.requests.clear()
    shared_api.answer = (200, {"content-type": "application/json"}, b'{"ok": true}')
    return shared_api


@dataclass
class Logged:
    """A session, and where its server's stderr goes."""

    client: Session
    log: Path


@pytest.fixture(scope="module")
async def full(shared_api: Recorder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Logged]:
    """Return a session with the Portkey API where every credential is set."""
    log = tmp_path_factory.mktemp("log") / "stderr"
    env = {"OPEN_MCP_BASE_URL": shared_api.url} | {name: value for name, (value, _, _) in PORTKEY.items()}
    async with connected("--path-item-tools", env=env, log_file=log) as client:
        yield Logged(client, log)


@pytest.fixture(scope="module")
async def bare(shared_api: Recorder) -> AsyncIterator[Session]:
    """Return a session with the Portkey API where no credential is set."""
    async with connected(env={"OPEN_MCP_BASE_URL": shared_api.url}) as client:
        yield client


async def call(client: Session, tool: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
    """Call a tool, and give its result even where it is an error."""
    return await client.call_tool(tool, arguments or {}, raise_on_error=False)


def write_document(path: Path, url: str, schemes: dict[str, Any], operations: dict[str, Any]) -> None:
    """Write a document with one GET for each name in `operations`, which maps it to its security."""
    fine = {"200": {"description": "Fine"}}
    content = {
        "openapi": "3.1.0",
        "info": {"title": "Small", "version": "1"},
        "servers": [{"url": url}],
        "paths": {
            f"/{name}": {"get": {"operationId": name, "security": security, "responses": fine}}
            for name, security in operations.items()
        },
        "components": {"securitySchemes": schemes},
    }
    path.write_text(json.dumps(content), encoding="utf-8")


# What is sent


async def test_every_credential_that_the_operation_names_is_sent(full: Logged, api: Recorder) -> None:
    """A chat completion carries all six Portkey credentials, each in its header and written as its scheme wants."""
    result = await call(full.client, "createchatcompletion", CHAT)
    assert not result.is_error, text_of(result)
    assert {header: api.last.header(header) for _, header, _ in PORTKEY.values()} == {
        header: written for _, header, written in PORTKEY.values()
    }


async def test_no_credential_is_sent_that_the_operation_does_not_name(full: Logged, api: Recorder) -> None:
    """An operation that takes the Portkey key alone gets no provider's key."""
    await call(full.client, "deletelabel", {"labelId": "l1"})
    assert {header for _, header, _ in PORTKEY.values() if api.last.header(header)} == {"x-portkey-api-key"}


async def test_a_part_of_an_alternative_is_sent(connect: Connect, api: Recorder) -> None:
    """A self-hosted gateway takes a provider's key without a Portkey key: what is set is sent."""
    env = {"OPEN_MCP_BASE_URL": api.url, "API_KEY": f"sk-{MARKER}", "X_PORTKEY_PROVIDER": "openai"}
    async with connect("--tools", "createchatcompletion", env=env) as client:
        result = await call(client, "createchatcompletion", CHAT)
    assert not result.is_error, text_of(result)
    assert api.last.header("authorization") == f"Bearer sk-{MARKER}"
    assert api.last.header("x-portkey-provider") == "openai"
    assert api.last.header("x-portkey-api-key") is None


def basic(credential: str) -> str:
    """Write user and password as RFC 7617 wants them."""
    return f"Basic {base64.b64encode(credential.encode()).decode()}"


SCHEMES = {
    "query": {"type": "apiKey", "in": "query", "name": "appKey"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Token"},
    "unset": {"type": "apiKey", "in": "header", "name": "X-Unset"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "other": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "oauth2": {"type": "oauth2", "flows": {}},
    "openid": {"type": "openIdConnect", "openIdConnectUrl": "https://example.com"},
}

SMALL_ENV = {
    "APP_KEY": f"{MARKER} b&c",
    "SID": MARKER,
    "X_TOKEN": f"tok-{MARKER}",
    "API_KEY_BEARER": f"bear-{MARKER}",
    "API_KEY_OTHER": f"other-{MARKER}",
    "BASIC_AUTH": f"jo:pä:{MARKER}",
    "OAUTH_TOKEN": f"oauth-{MARKER}",
    "OPENID_TOKEN": f"openid-{MARKER}",
}

#: security of an operation, the variables that it takes, and what arrives where; `target` is the request target.
SECURED: dict[str, tuple[list[Any], list[str], dict[str, str | None]]] = {
    "query": ([{"query": []}], ["APP_KEY"], {"target": f"/query?appKey={MARKER}%20b%26c"}),
    "cookie": ([{"cookie": []}], ["SID"], {"cookie": f"sid={MARKER}"}),
    "header": ([{"header": []}], ["X_TOKEN"], {"x-token": f"tok-{MARKER}"}),
    "bearer": ([{"bearer": []}], ["API_KEY_BEARER"], {"authorization": f"Bearer bear-{MARKER}"}),
    "other": ([{"other": []}], ["API_KEY_OTHER"], {"authorization": f"Bearer other-{MARKER}"}),
    "basic": ([{"basic": []}], ["BASIC_AUTH"], {"authorization": basic(f"jo:pä:{MARKER}")}),
    "oauth2": ([{"oauth2": []}], ["OAUTH_TOKEN"], {"authorization": f"Bearer oauth-{MARKER}"}),
    "openid": ([{"openid": []}], ["OPENID_TOKEN"], {"authorization": f"Bearer openid-{MARKER}"}),
    "together": (
        [{"bearer": [], "header": []}],
        ["API_KEY_BEARER", "X_TOKEN"],
        {"authorization": f"Bearer bear-{MARKER}", "x-token": f"tok-{MARKER}"},
    ),
    "first": (
        [{"basic": []}, {"bearer": []}],
        ["API_KEY_BEARER", "BASIC_AUTH"],
        {"authorization": basic(f"jo:pä:{MARKER}")},
    ),
    "first_satisfied": (
        [{"basic": [], "unset": []}, {"bearer": []}],
        ["API_KEY_BEARER", "BASIC_AUTH", "X_UNSET"],
        {"authorization": f"Bearer bear-{MARKER}", "x-unset": None},
    ),
    "optional": ([{"unset": []}, {}], ["X_UNSET"], {"x-unset": None, "authorization": None, "cookie": None}),
    "public": ([], [], {"authorization": None, "cookie": None, "target": "/public"}),
}


@pytest.fixture(scope="module")
async def small(shared_api: Recorder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    """Return a session with a small document that has an operation for each entry of SECURED."""
    path = tmp_path_factory.mktemp("small") / "small.json"
    write_document(path, shared_api.url, SCHEMES, {name: security for name, (security, _, _) in SECURED.items()})
    async with connected("--spec", str(path), env=SMALL_ENV) as client:
        yield client


def test_a_tool_names_the_variables_of_its_schemes(run: Run, tmp_path: Path) -> None:
    """Whoever sets a server up can read which variables each tool takes."""
    path = tmp_path / "small.json"
    write_document(path, "http://127.0.0.1", SCHEMES, {name: security for name, (security, _, _) in SECURED.items()})
    rows = json.loads(run("tools", "--spec", str(path), "--json").stdout)
    assert {row["name"]: row["variables"] for row in rows} == {name: found for name, (_, found, _) in SECURED.items()}


@pytest.mark.parametrize("name", SECURED)
async def test_a_scheme_has_its_variable_and_its_place(small: Session, api: Recorder, name: str) -> None:
    """What is set goes where each scheme says, written as its RFC says.

    Of two that claim one header, that of the first alternative of which everything is set is sent.
    """
    _, _, arriving = SECURED[name]
    result = await call(small, name)
    assert not result.is_error, text_of(result)
    arrived = {place: api.last.target if place == "target" else api.last.header(place) for place in arriving}
    assert arrived == arriving


# What is not sent


async def test_without_a_credential_nothing_is_sent(bare: Session, api: Recorder) -> None:
    """The refusal names the variables of every alternative, and a client's configuration that sets them."""
    result = await call(bare, "createchatcompletion", CHAT)
    assert result.is_error
    said = text_of(result)
    assert [name for name in PORTKEY if name not in said] == []
    configuration = json.loads("{" + said.splitlines()[-1] + "}")["portkey-bridge"]
    assert configuration["command"]
    assert "X_PORTKEY_API_KEY" in configuration["env"]
    assert api.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("value", ["${KEY}", "${env:KEY}", "${{ secrets.KEY }}", "{env:KEY}", "me:${KEY}"])
def test_a_reference_that_nothing_replaced_is_no_credential(value: str, run: Run, api: Recorder) -> None:
    """A client that cannot resolve a reference passes it on: it is not sent, and every place that is asked says so."""
    env = {"X_PORTKEY_API_KEY": value, "OPEN_MCP_BASE_URL": api.url}
    refused = run("call", "listmodels", env=env)
    assert refused.returncode == 1
    assert "X_PORTKEY_API_KEY has a reference like ${NAME} that nothing replaced" in refused.stdout + refused.stderr
    assert api.requests == []
    told = run("env", env=env).stdout
    assert "X_PORTKEY_API_KEY\tnot set: it has a reference like ${NAME} that nothing replaced\t" in told
    assert "X_PORTKEY_API_KEY is not set: it has a reference" in run("doctor", env=env).stdout


async def test_wrong_arguments_are_told_before_a_missing_credential(bare: Session, api: Recorder) -> None:
    """Whoever has no key yet still learns what is wrong with the arguments."""
    result = await call(bare, "createchatcompletion", {"model": "m"})
    assert "/messages: is required" in text_of(result)
    assert api.requests == []


async def test_an_argument_does_not_overwrite_a_credential(full: Logged, api: Recorder) -> None:
    """A header argument of a credential's name is refused while the credential is set."""
    result = await call(full.client, "get_admin_users", {"x-portkey-api-key": "other"})
    assert result.is_error
    assert "/x-portkey-api-key: " in text_of(result)
    assert "X_PORTKEY_API_KEY" in text_of(result)
    assert api.requests == []


#: Parameters, arguments and the path that could send a second `api_key` or `X-Api-Key`, as some server reads it.
SMUGGLED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "underscores": ({"name": "X_Api_Key", "in": "header", "schema": {"type": "string"}}, "mine", "/x"),
    "case": ({"name": "q", "in": "query", "explode": True, "schema": {"type": "object"}}, {"API_KEY": "mine"}, "/x"),
    "array": ({"name": "q", "in": "query", "explode": True, "schema": {"type": "object"}}, {"api_key[]": "mine"}, "/x"),
    "dot": ({"name": "q", "in": "query", "explode": True, "schema": {"type": "object"}}, {"api.key": "mine"}, "/x"),
    "path": ({"name": "q", "in": "path", "required": True, "schema": {"type": "string"}}, "api_key", "/x?{q}=mine"),
}


@pytest.mark.parametrize("case", SMUGGLED)
async def test_no_argument_is_read_as_a_credential(recorder: Recorder, case: str) -> None:
    """What some servers would read as the name of a credential is refused; it is an argument like any other without."""
    parameter, value, path = SMUGGLED[case]
    schemes = {
        "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        "query": {"type": "apiKey", "in": "query", "name": "api_key"},
    }
    secured = operation("get", path, parameters=[parameter], security=[{"header": [], "query": []}, {}])
    root = {**secured, "components": {"securitySchemes": schemes}, "servers": [{"url": recorder.url}]}
    for environ, expected in (({"X_API_KEY": MARKER, "API_KEY": MARKER}, True), ({}, False)):
        async with served(root, Settings(environ=environ)) as client:
            result = await client.call_tool("op", {parameter["name"]: value}, raise_on_error=False)
        assert result.is_error is expected, text_of(result)
    assert len(recorder.requests) == 1
    assert MARKER not in repr(recorder.requests)


async def test_an_argument_can_stand_in_for_a_credential(bare: Session, api: Recorder) -> None:
    """The same argument works where the credential is not set, and is what is asked for without it."""
    result = await call(bare, "get_admin_users", {"x-portkey-api-key": "mine"})
    assert not result.is_error, text_of(result)
    assert api.last.header("x-portkey-api-key") == "mine"
    api.requests.clear()
    assert "X_PORTKEY_API_KEY" in text_of(await call(bare, "get_admin_users"))
    assert api.requests == []


def test_a_parameter_elsewhere_stays_required() -> None:
    """Only what stands in a credential's own place may be left out: a query parameter of its name may not."""
    parameters: list[Any] = [
        {"name": "X-Key", "in": where, "required": True, "schema": {}} for where in ("query", "header")
    ]
    operation = {"operationId": "ask", "parameters": parameters, "security": [{"key": []}], "responses": {}}
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}
    root = {"paths": {"/ask": {"get": operation}}, "components": {"securitySchemes": schemes}}
    (tool,) = build_tools(read_api(root, ""))
    assert tool.schema["required"] == ["X-Key"]
    assert tool.arguments.bindings["X-Key"].location == "query"


# Secrets stay secret


async def test_no_secret_reaches_a_result_or_the_log(full: Logged, api: Recorder) -> None:
    """Whatever happens, no part of the listing, of a result or of stderr has a credential in it."""
    said = [repr(await full.client.list_tools()), full.client.instructions or ""]
    assert said[1].startswith("Portkey")
    for status in (200, 302, 401, 500):
        api.answer = (status, {"location": "/elsewhere"}, b"")
        said.append(repr(await call(full.client, "createchatcompletion", CHAT)))
    said += [
        repr(await call(full.client, tool, arguments))
        for tool, arguments in (
            ("createchatcompletion", {"model": 1}),
            ("createchatcompletion", {**CHAT, "x-portkey-trace-id": "a\nb"}),
            ("get_admin_users", {"x-portkey-api-key": "other"}),
            ("servers_chat_completions", {}),
            ("expandSchema", {"toolName": "createchatcompletion", "jsonPointers": [""]}),
        )
    ]
    assert [text for text in said if MARKER in text] == []
    log = full.log.read_text(encoding="utf-8")
    assert "serves Portkey API" in log
    assert MARKER not in log


async def test_a_redirect_that_repeats_the_query_shows_no_secret(small: Session, api: Recorder) -> None:
    """A redirect that fails tells the host, but not the query there, in which servers repeat the credential."""
    api.answer = (301, {"location": f"http://localhost:9/query?appKey={MARKER}"}, b"")
    said = text_of(await call(small, "query"))
    assert "localhost:9 refused the connection" in said
    assert MARKER not in said


def test_a_credential_that_would_split_a_header_is_refused(run: Run) -> None:
    """A line break in a credential is told at start, by the name of its variable and not by its value."""
    ran = run(env={"X_PORTKEY_API_KEY": f"{MARKER}\nx-evil: 1"})
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "X_PORTKEY_API_KEY" in ran.stderr
    assert MARKER not in ran.stderr


@pytest.mark.parametrize("value", ["a; b=c", "a b", "é"])
async def test_a_credential_that_is_no_cookie_is_refused(api: Recorder, value: str) -> None:
    """What would be several cookies, or none, is not sent: the variable is named, and not its value."""
    root = operation("get", security=[{"cookie": []}]) | {"components": {"securitySchemes": SCHEMES}}
    async with served(root, Settings(base_url=api.url, environ={"SID": f"{MARKER}{value}"})) as client:
        said = text_of(await client.call_tool("op", {}, raise_on_error=False))
    assert api.requests == []
    assert "SID is sent as a cookie" in said
    assert MARKER not in said


# A document that asks for somebody else's secret

#: the name of a header in a document -> the variable that it would take.
LURES = {"AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY", "Github-Token": "GITHUB_TOKEN"}


async def test_somebody_else_s_secret_is_given_only_if_named(connect: Connect, api: Recorder, tmp_path: Path) -> None:
    """A document can call its header like another product's secret, and gets it only with `--credentials`."""
    schemes = {variable: {"type": "apiKey", "in": "header", "name": name} for name, variable in LURES.items()}
    security: dict[str, Any] = {variable.lower(): [{variable: []}] for variable in LURES.values()}
    write_document(tmp_path / "lure.json", api.url, schemes, security)
    env = dict.fromkeys(LURES.values(), MARKER)
    log = tmp_path / "stderr"
    async with connect("--spec", "lure.json", env=env, log_file=log) as client:
        for variable in LURES.values():
            assert variable in text_of(await call(client, variable.lower()))
            assert f"OPEN_MCP_CREDENTIALS={variable}" in log.read_text(encoding="utf-8")
    assert api.requests == []
    async with connect("--spec", "lure.json", "--credentials", ",".join(LURES.values()), env=env) as client:
        for name, variable in LURES.items():
            await call(client, variable.lower())
            assert api.last.header(name) == MARKER


# A `.env` in a folder that somebody else wrote


def bearer_document(folder: Path) -> str:
    """Write a document whose one operation takes API_KEY, and give its name."""
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    write_document(folder / "bearer.json", "https://example.com", schemes, {"ask": [{"bearer": []}]})
    return "bearer.json"


async def test_dotenv_in_the_working_directory_is_read(connect: Connect, api: Recorder, tmp_path: Path) -> None:
    """Settings and credentials that both stand in `.env` work together."""
    (tmp_path / ".env").write_text(f"OPEN_MCP_BASE_URL={api.url}\nAPI_KEY='from the file'\n")
    async with connect("--spec", bearer_document(tmp_path)) as client:
        await call(client, "ask")
    assert api.last.header("authorization") == "Bearer from the file"


async def test_the_real_environment_wins_over_dotenv(connect: Connect, api: Recorder, tmp_path: Path) -> None:
    """A variable that is set is not overwritten by the file."""
    (tmp_path / ".env").write_text("API_KEY=from-the-file\nOPEN_MCP_BASE_URL=http://127.0.0.1:1\n")
    env = {"OPEN_MCP_BASE_URL": api.url, "API_KEY": "real"}
    async with connect("--spec", bearer_document(tmp_path), env=env) as client:
        await call(client, "ask")
    assert api.last.header("authorization") == "Bearer real"


@pytest.mark.parametrize("setting", ["OPEN_MCP_BASE_URL=https://example.com", "OPEN_MCP_SPEC=bearer.json"])
def test_a_dotenv_that_lies_around_does_not_decide_where_a_real_key_goes(
    run: Run, tmp_path: Path, setting: str
) -> None:
    """Base URL or document from `.env` beside a credential of the environment: refused, with the way to mean it."""
    bearer_document(tmp_path)
    (tmp_path / ".env").write_text(f"{setting}\n")
    ran = run(env={"API_KEY": MARKER})
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert setting.partition("=")[0] in ran.stderr
    assert "API_KEY" in ran.stderr
    assert "--env-file .env" in ran.stderr
    assert MARKER not in ran.stderr


async def test_a_dotenv_that_is_named_is_trusted(connect: Connect, api: Recorder, tmp_path: Path) -> None:
    """`--env-file .env` says that the file is meant."""
    (tmp_path / ".env").write_text(f"OPEN_MCP_BASE_URL={api.url}\n")
    arguments = ("--env-file", ".env", "--spec", bearer_document(tmp_path))
    async with connect(*arguments, env={"API_KEY": "real"}) as client:
        await call(client, "ask")
    assert api.last.header("authorization") == "Bearer real"


@pytest.mark.slow
async def test_a_credential_of_all_cookies_keeps_each_of_them(api: Recorder) -> None:
    """Where the credential is the whole header of cookies, an argument sends no second cookie of a name in it."""
    cookies = {"scheme": {"type": "apiKey", "in": "header", "name": "Cookie"}}
    parameters = [{"name": name, "in": "cookie", "schema": {"type": "string"}} for name in ("sid", "theme")]
    root = operation("get", security=[{"scheme": []}], parameters=parameters)
    root |= {"components": {"securitySchemes": cookies}}
    settings = Settings(base_url=api.url, environ={"COOKIE": f"a=b; sid={MARKER}"})
    async with served(root, settings) as client:
        refused = await client.call_tool("op", {"sid": "other"}, raise_on_error=False)
        assert "/sid: " in text_of(refused)
        assert api.requests == []
        await client.call_tool("op", {"theme": "dark"})
    assert api.last.header("cookie") == f"theme=dark; a=b; sid={MARKER}"

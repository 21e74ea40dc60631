"""What a person says about credentials where the document is silent or wrong, through the program as it is run."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import Assigned
from tests.conftest import Connect, Recorder, Run, recording, text_of
from tests.support import document, operation, served

#: Part of every secret here, so that one search finds any of them.
MARKER = "S3CRET"

#: Variables, and a header, a query parameter and a cookie that carry them.
KEYS = {"MY_TOKEN": f"Bearer tok-{MARKER}-1", "MY_KEY": f"k&y {MARKER}-2", "MY_SID": f"sid-{MARKER}-3"}
ADDED = ("--header", "Authorization=MY_TOKEN", "--query", "api key=MY_KEY", "--cookie", "sid=MY_SID")


@pytest.fixture
def other() -> Iterator[Recorder]:
    """Return another server than the API's."""
    with recording() as record:
        yield record


def write(folder: Path, url: str, needs: dict[str, Any], schemes: dict[str, Any] | None = None, **fields: Any) -> str:
    """Write a document with one GET for each name in `needs`, which maps it to its security or None."""
    paths = {
        f"/{name}": {
            "get": {"operationId": name, "responses": {}} | ({} if security is None else {"security": security})
        }
        for name, security in needs.items()
    }
    root = document(paths, servers=[{"url": url}], components={"securitySchemes": schemes or {}}) | fields
    (folder / "api.json").write_text(json.dumps(root), encoding="utf-8")
    return "api.json"


BEARERS = {"userAuth": {"type": "http", "scheme": "bearer"}, "adminAuth": {"type": "http", "scheme": "bearer"}}
OAUTH = {"o": {"type": "oauth2", "flows": {"password": {"tokenUrl": "/login", "scopes": {}}}}}


# Headers, query parameters and cookies that a person adds


async def test_what_a_person_adds_goes_with_every_request(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """A header, a query parameter and a cookie carry the values of their variables to an API that declares nothing."""
    spec = write(tmp_path, recorder.url, {"me": None})
    async with connect("--spec", spec, *ADDED, env=KEYS) as client:
        await client.call_tool("me", {})
    assert recorder.last.target == f"/me?api%20key=k%26y%20{MARKER}-2"
    assert recorder.last.header("authorization") == KEYS["MY_TOKEN"]
    assert recorder.last.header("cookie") == f"sid={KEYS['MY_SID']}"


@pytest.mark.slow
async def test_variables_say_the_same_as_the_options(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """Commas separate several in a variable; an option can be repeated."""
    spec = write(tmp_path, recorder.url, {"me": None})
    env = KEYS | {"OPEN_MCP_HEADERS": "Authorization=MY_TOKEN,X-Key=MY_SID", "OPEN_MCP_COOKIES": "sid=MY_SID"}
    async with connect("--spec", spec, env=env) as client:
        await client.call_tool("me", {})
    by_variable = recorder.last.headers
    arguments = ("--header", "Authorization=MY_TOKEN", "--header", "X-Key=MY_SID", "--cookie", "sid=MY_SID")
    async with connect("--spec", spec, *arguments, env=KEYS) as client:
        await client.call_tool("me", {})
    assert recorder.last.headers == by_variable
    assert recorder.last.header("x-key") == KEYS["MY_SID"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "value", "written"),
    [
        ("bearer", f"tok-{MARKER}", f"Bearer tok-{MARKER}"),
        ("basic", f"jo:{MARKER}", f"Basic {base64.b64encode(f'jo:{MARKER}'.encode()).decode()}"),
    ],
)
async def test_a_scheme_can_be_added(
    connect: Connect, recorder: Recorder, tmp_path: Path, scheme: str, value: str, written: str
) -> None:
    """`--scheme` writes a credential as its RFC wants, with every operation of a document that declares none."""
    spec = write(tmp_path, recorder.url, {"me": None})
    async with connect("--spec", spec, "--scheme", f"{scheme}=MINE", env={"MINE": value}) as client:
        await client.call_tool("me", {})
    assert recorder.last.header("authorization") == written


async def test_what_a_person_adds_wins_over_the_document(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """A header that a person names takes the place that a scheme of the document would take."""
    spec = write(tmp_path, recorder.url, {"me": [{"userAuth": []}]}, BEARERS)
    env = KEYS | {"API_KEY": "of-the-document"}
    async with connect("--spec", spec, "--header", "authorization=MY_TOKEN", env=env) as client:
        await client.call_tool("me", {})
    assert recorder.last.header("authorization") == KEYS["MY_TOKEN"]


async def test_no_argument_replaces_what_a_person_adds(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """A parameter in the same place is not even listed, and is refused."""
    named = [("x-token", "header"), ("api key", "query"), ("sid", "cookie"), ("Cookie", "header"), ("kept", "query")]
    parameters = [{"name": name, "in": where, "required": True, "schema": {}} for name, where in named]
    path = {"get": {"operationId": "me", "parameters": parameters, "responses": {}}}
    spec = write(tmp_path, recorder.url, {}, paths={"/me": path})
    arguments = ("--spec", spec, "--header", "X-Token=MY_TOKEN", *ADDED[2:])
    async with connect(*arguments, env=KEYS) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "me"]
        assert list(tool.input_schema["properties"]) == ["kept"]
        for name, _ in named[:-1]:
            result = await client.call_tool("me", {name: "other", "kept": 1}, raise_on_error=False)
            assert result.is_error
        assert recorder.requests == []
        await client.call_tool("me", {"kept": 1})
    assert recorder.last.header("x-token") == KEYS["MY_TOKEN"]


async def test_another_origin_gets_nothing(
    connect: Connect, recorder: Recorder, other: Recorder, tmp_path: Path
) -> None:
    """Neither an operation with a server of its own nor a redirect takes what was added to another origin."""
    servers = {"/here": recorder.url, "/there": other.url}
    paths = {
        path: {"get": {"operationId": path[1:], "responses": {}, "servers": [{"url": url}]}}
        for path, url in servers.items()
    }
    spec = write(tmp_path, recorder.url, {}, paths=paths)
    recorder.answer = (302, {"location": f"{other.url}/moved"}, b"")
    async with connect("--spec", spec, *ADDED, env=KEYS) as client:
        for name in ("there", "here"):
            await client.call_tool(name, {}, raise_on_error=False)
    assert MARKER in repr(recorder.requests)
    assert [request.target for request in other.requests] == ["/there", "/moved"]
    assert MARKER not in repr(other.requests)


async def test_an_added_secret_is_in_no_result_and_no_log(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """Whatever the API repeats, no listing, result or log has any part of a value; base64 hides nothing."""
    spec = write(tmp_path, recorder.url, {"me": None})
    env = KEYS | {
        "LOGIN": f"jo:{MARKER}-password",
        "RAW": f"Basic {base64.b64encode(f'jo:{MARKER}-9'.encode()).decode()}",
    }
    arguments = ("--header", "X-Raw=RAW", "--scheme", "basic=LOGIN", *ADDED[2:], "--header", "X-T=MY_TOKEN")
    told = [
        f"tok-{MARKER}-1",
        env["MY_KEY"],
        "k%26y%20" + MARKER + "-2",
        env["MY_SID"],
        f"{MARKER}-password",
        f"{MARKER}-9",
    ]
    told += [base64.b64encode(env["LOGIN"].encode()).decode(), env["RAW"].partition(" ")[2]]
    async with connect("--spec", spec, *arguments, "--verbose", env=env, log_file=tmp_path / "log") as client:
        said = [repr(await client.list_tools())]
        for status in (200, 401, 403, 500):
            recorder.answer = (status, {"content-type": "text/plain"}, " | ".join(told).encode())
            said.append(repr(await client.call_tool("me", {}, raise_on_error=False)))
    said.append((tmp_path / "log").read_text(encoding="utf-8"))
    assert [text for text in said if MARKER in text or env["RAW"].partition(" ")[2] in text] == []
    assert len(recorder.requests) == 4


@pytest.mark.parametrize("arguments", [{"key": "evil"}, {"more": {"key": "evil"}}, {"more": {"KEY": "evil"}}])
async def test_no_argument_replaces_what_the_base_url_has(recorder: Recorder, arguments: dict[str, Any]) -> None:
    """A parameter that the base URL has is not asked for, and neither it nor a member of an object is sent again."""
    parameters: list[dict[str, Any]] = [
        {"name": "key", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "more", "in": "query", "schema": {"type": "object"}},
    ]
    settings = Settings(base_url=f"{recorder.url}/?key=key-{MARKER}-1")
    async with served(operation("get", parameters=parameters), settings) as client:
        assert (await client.call_tool("op", arguments, raise_on_error=False)).is_error
        assert recorder.requests == []
        await client.call_tool("op", {"more": {"a": "b"}})
    assert recorder.last.target == f"/x?key=key-{MARKER}-1&a=b"


async def test_a_secret_in_parts_is_not_reported(recorder: Recorder) -> None:
    """Progress is shown piece by piece; a secret that an API streams in pieces is hidden, and all else arrives."""
    key, other = f"key-{MARKER}-1234", f"{MARKER}-1234-other"
    whole = f"a k, ke, key-, {key}; {key[:8]} and {key[:5]}{key}{key[5:]} {other} end {key[:6]}"
    deltas = [{"index": 0, "delta": {"content": each}} for each in whole]
    chunks = [{"object": "chat.completion.chunk", "choices": [delta]} for delta in deltas]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    recorder.answer = (200, {"content-type": "text/event-stream"}, events.encode())
    seen: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    assigned = (Assigned("X-Key", "KEY"), Assigned("X-Other", "OTHER"))
    settings = Settings(base_url=recorder.url, headers=assigned, environ={"KEY": key, "OTHER": other})
    async with served(operation("get"), settings) as client:
        result = text_of(await client.call_tool("op", {}, progress_handler=report))
    assert "".join(seen) == whole.replace(key, "[KEY]").replace(other, "[OTHER]")
    assert MARKER not in result + "".join(seen)


def test_a_value_typed_instead_of_a_variable_is_not_repeated(run: Run) -> None:
    """Whoever types the secret itself is told what belongs there, and the message does not repeat it."""
    for flag in ("--header", "--query", "--cookie", "--scheme"):
        ran = run("tools", flag, f"bearer={MARKER}-with-dashes")
        assert ran.returncode == 2
        assert "VARIABLE" in ran.stderr
        assert MARKER not in ran.stderr


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "a b", ""])
def test_a_header_of_the_connection_carries_no_credential(run: Run, name: str) -> None:
    """Such a header would break the request, or send it elsewhere."""
    assert run("tools", "--header", f"{name}=MINE").returncode == 2


async def test_a_named_variable_that_is_not_set_is_asked_for(
    connect: Connect, recorder: Recorder, tmp_path: Path
) -> None:
    """A call without it is refused and names it, although other credentials are set."""
    spec = write(tmp_path, recorder.url, {"me": None})
    async with connect("--spec", spec, *ADDED, env={"MY_TOKEN": "x"}, log_file=tmp_path / "log") as client:
        said = text_of(await client.call_tool("me", {}, raise_on_error=False))
    assert recorder.requests == []
    assert "MY_KEY" in said
    assert "MY_KEY is not set" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_dotenv_does_not_decide_that_a_real_secret_is_sent(run: Run, tmp_path: Path) -> None:
    """A `.env` of the working directory cannot send a variable of the environment to an API in a header."""
    spec = write(tmp_path, "http://127.0.0.1:9", {"me": None})
    (tmp_path / ".env").write_text("OPEN_MCP_HEADERS=X-Lure=AWS_SECRET_ACCESS_KEY\n")
    ran = run("--spec", spec, env={"AWS_SECRET_ACCESS_KEY": MARKER})
    assert ran.returncode == 2
    assert "OPEN_MCP_HEADERS" in ran.stderr


# Which operations carry credentials


async def test_all_operations_can_carry_the_credentials(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """`--authenticate all` sends what is set with operations that declare nothing, or something else."""
    schemes = BEARERS | {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    spec = write(tmp_path, recorder.url, {"open": None, "keyed": [{"key": []}]}, schemes)
    async with connect("--spec", spec, "--authenticate", "all", env={"X_KEY": "k", "API_KEY": "a"}) as client:
        await client.call_tool("open", {})
        await client.call_tool("keyed", {})
    assert [request.header("x-key") for request in recorder.requests] == ["k", "k"]


async def test_an_operation_without_requirement_stays_callable(
    connect: Connect, recorder: Recorder, tmp_path: Path
) -> None:
    """`--authenticate all` refuses nothing that was not refused before."""
    spec = write(tmp_path, recorder.url, {"open": None, "closed": [{"o": []}]}, OAUTH)
    async with connect("--spec", spec, "--authenticate", "all") as client:
        assert not (await client.call_tool("open", {})).is_error
        assert (await client.call_tool("closed", {}, raise_on_error=False)).is_error


@pytest.mark.slow
async def test_no_operation_carries_what_is_switched_off(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """`--authenticate none` calls a server whose declared security is off, with and without a variable set."""
    spec = write(tmp_path, recorder.url, {"me": None}, OAUTH, security=[{"o": []}])
    for env in ({}, {"OAUTH_TOKEN": MARKER}):
        async with connect("--spec", spec, "--authenticate", "none", env=env) as client:
            await client.call_tool("me", {})
        assert recorder.last.header("authorization") is None


#: An operation that obtains a credential, and one that does not: path, operationId, whether it needs one.
LOGINS = [
    ("/auth/login", "a", False),
    ("/v3/auth/authenticate", "a", False),
    ("/login/access-token", "a", False),
    ("/x/abc", "loginUser", False),
    ("/own/tokens/path", "a", False),
    ("/blogin", "a", True),
    ("/items", "logins", True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "name", "needs"), LOGINS)
async def test_a_login_needs_no_credential(
    connect: Connect, recorder: Recorder, tmp_path: Path, path: str, name: str, needs: bool
) -> None:
    """What obtains a credential cannot need one, by its name or because the document says that it issues tokens."""
    schemes = {"o": {"type": "oauth2", "flows": {"password": {"tokenUrl": "own/tokens/path", "scopes": {}}}}}
    paths = {path: {"post": {"operationId": name, "responses": {}}}}
    spec = write(tmp_path, recorder.url, {}, schemes, paths=paths, security=[{"o": []}])
    async with connect("--spec", spec) as client:
        result = await client.call_tool(name.lower(), {}, raise_on_error=False)
    assert result.is_error is needs
    assert len(recorder.requests) == (0 if needs else 1)


# Several schemes of one kind


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
async def test_schemes_of_one_kind_have_a_variable_each(
    connect: Connect, recorder: Recorder, run: Run, tmp_path: Path, order: int
) -> None:
    """Two bearer tokens are two variables, whatever their order; the shared name is unused, and that is said."""
    security: dict[str, Any] = {"user": [{"userAuth": []}], "admin": [{"adminAuth": []}]}
    spec = write(tmp_path, recorder.url, dict([*security.items()][::order]), dict([*BEARERS.items()][::order]))
    env = {"API_KEY_USER_AUTH": "u", "API_KEY_ADMIN_AUTH": "a", "API_KEY": "unused"}
    async with connect("--spec", spec, env=env) as client:
        for name in security:
            await client.call_tool(name, {})
    assert [request.header("authorization") for request in recorder.requests] == ["Bearer u", "Bearer a"]
    shown = run("env", "--spec", spec)
    assert {line.split("\t")[0] for line in shown.stdout.splitlines()} == {"API_KEY_USER_AUTH", "API_KEY_ADMIN_AUTH"}
    assert "API_KEY is not used" in shown.stderr
    assert "API_KEY is set, but not used" in " ".join(
        run("doctor", "--spec", spec, env={"API_KEY": "k"}).stdout.split()
    )


async def test_only_the_shared_name_is_refused_with_the_names_to_set(
    connect: Connect, recorder: Recorder, tmp_path: Path
) -> None:
    """Whoever set the usual name is told which names are taken instead."""
    spec = write(tmp_path, recorder.url, {"x": [{"userAuth": []}], "y": [{"adminAuth": []}]}, BEARERS)
    async with connect("--spec", spec, env={"API_KEY": "k"}) as client:
        said = text_of(await client.call_tool("x", {}, raise_on_error=False))
    assert "API_KEY is set, but not used" in said
    assert "API_KEY_USER_AUTH" in said
    assert recorder.requests == []


def test_schemes_that_are_needed_together_in_one_place_are_one(run: Run, tmp_path: Path) -> None:
    """Two names for the one token that a header can have share its usual variable."""
    schemes = {"Oauth2": OAUTH["o"], "Oauth2c": OAUTH["o"]}
    spec = write(tmp_path, "http://127.0.0.1:9", {"x": [{"Oauth2": [], "Oauth2c": []}, {"Oauth2": []}]}, schemes)
    assert run("env", "--spec", spec).stdout.split("\t")[0] == "OAUTH_TOKEN"


# What is said where a credential is missing or rejected


def configuration(said: str) -> dict[str, Any]:
    """Return the sample of a client's configuration in a refusal."""
    (line,) = [line for line in said.splitlines() if line.startswith('"portkey-bridge"')]
    entry: dict[str, Any] = json.loads(f"{{{line}}}")["portkey-bridge"]
    return entry


@asynccontextmanager
async def from_url(connect: Connect, recorder: Recorder, tmp_path: Path, *more: str, **env: str) -> AsyncIterator[Any]:
    """Return a session whose document comes from a URL."""
    spec = write(tmp_path, recorder.url, {"me": None}, OAUTH, security=[{"o": []}])
    content = (tmp_path / spec).read_bytes()
    recorder.answers["/api.json"] = (200, {"content-type": "application/json"}, content)
    async with connect("--spec", f"{recorder.url}/api.json", *more, env=env) as client:
        yield client


@pytest.mark.slow
async def test_a_withheld_variable_is_said_to_be_set(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """The refusal says that the variable is set and withheld, and the sample's words make the call work."""
    async with from_url(connect, recorder, tmp_path, OAUTH_TOKEN=MARKER) as client:
        said = text_of(await client.call_tool("me", {}, raise_on_error=False))
    assert "OAUTH_TOKEN is set, but withheld" in said
    assert "--credentials OAUTH_TOKEN" in said
    _, *arguments = configuration(said)["args"]
    async with connect(*arguments, env={"OAUTH_TOKEN": MARKER}) as client:
        await client.call_tool("me", {})
    (request,) = [request for request in recorder.requests if request.target == "/me"]  # others ask for the document
    assert request.header("authorization") == f"Bearer {MARKER}"


async def test_the_sample_has_all_that_is_needed(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """The sample repeats the options, with an absolute path, so that it works from any folder."""
    spec = write(tmp_path, "http://127.0.0.1:9", {"me": [{"userAuth": []}]}, BEARERS)
    arguments = ("--spec", spec, "--base-url", recorder.url, "--header", "X-A=MINE", "--read-only")
    async with connect(*arguments, env={"MINE": "m"}) as client:
        recorder.answer = (401, {}, b"")
        assert "API_KEY" in text_of(await client.call_tool("me", {}, raise_on_error=False))
    async with connect(*arguments) as client:
        entry = configuration(text_of(await client.call_tool("me", {}, raise_on_error=False)))
    words = ["portkey-bridge", *arguments[:1], str(tmp_path / spec), *arguments[2:]]
    assert sorted(entry["args"]) == sorted(words)
    assert "MINE" in entry["env"]


@pytest.mark.parametrize(
    ("scheme", "variable", "value", "advice"),
    [
        (
            {"type": "apiKey", "in": "header", "name": "Authorization"},
            "AUTHORIZATION",
            "bare-key",
            "such as `Bearer …`",
        ),
        ({"type": "apiKey", "in": "header", "name": "Authorization"}, "AUTHORIZATION", "Bearer key", ""),
        ({"type": "http", "scheme": "basic"}, "BASIC_AUTH", "bare-key", "set it to user:password, or to `key:`"),
        ({"type": "http", "scheme": "basic"}, "BASIC_AUTH", "key:", ""),
    ],
)
async def test_a_rejection_says_what_a_value_lacks(
    recorder: Recorder, scheme: dict[str, Any], variable: str, value: str, advice: str
) -> None:
    """A header without a scheme, or a login without a colon, is named where the API rejects it, and only then."""
    recorder.answer = (401, {}, b"")
    root = operation("get", security=[{"s": []}]) | {"components": {"securitySchemes": {"s": scheme}}}
    async with served(root, Settings(base_url=recorder.url, environ={variable: value})) as client:
        said = text_of(await client.call_tool("op", {}, raise_on_error=False))
    assert advice in said
    assert bool(advice) == ("`" in said)


#: status, more options, variables that are set -> parts of what is said
REJECTED: list[tuple[list[str], dict[str, str], list[str]]] = [
    ([], {"X_KEY": "k"}, ["X_KEY is set", "--authenticate all"]),
    (["--authenticate", "all"], {"X_KEY": "k"}, ["carried X_KEY"]),
    (["--authenticate", "none"], {"X_KEY": "k"}, ["--authenticate none"]),
    (["--header", "X-Mine=MINE"], {"MINE": "m"}, ["carried MINE"]),
    ([], {}, ["declares no credential", "--scheme bearer=VARIABLE", "--header NAME=VARIABLE"]),
]


@pytest.mark.parametrize(("more", "env", "parts"), REJECTED)
@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejection_says_what_was_sent_and_what_was_not(
    connect: Connect,
    recorder: Recorder,
    tmp_path: Path,
    status: int,
    more: list[str],
    env: dict[str, str],
    parts: list[str],
) -> None:
    """A 401 or 403 of an operation that declares nothing names what was sent, what was not, and the option."""
    key = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    spec = write(tmp_path, recorder.url, {"open": None, "closed": [{"key": []}]}, key)
    recorder.answer = (status, {}, b"")
    async with connect("--spec", spec, *more, env=env) as client:
        said = text_of(await client.call_tool("open", {}, raise_on_error=False))
    assert [part for part in parts if part not in said] == [], said

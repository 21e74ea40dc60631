"""The mock over the loopback: its answers judged by jsonschema, its refusals by the document."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from referencing import Registry

from portkey_bridge.bridge.load import load_api
from portkey_bridge.cli.main import main
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.document.parse import Document
from portkey_bridge.mock.app import mock_running
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.pointers import follow
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.uploads import Files
from portkey_bridge.response.events import server_sent_events
from portkey_bridge.response.streams import Stream, no_report
from portkey_bridge.schema.samples import Samples
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools
from tests.support import request_of

from .conftest import BARE, Run

KEY = {"x-portkey-api-key": "made-up"}

#: Several unions of this document overlap so that no value fits exactly one branch: at least one must fit.
Judge: Any = extend(  # type: ignore[no-untyped-call]  # the stubs have no types for it
    Draft202012Validator, {"oneOf": Draft202012Validator.VALIDATORS["anyOf"]}
)

WRONG_REQUESTS = [
    pytest.param("GET", "/nothing/here", {}, 404, "no such path", id="an unknown path"),
    pytest.param("GET", "/models/", {}, 404, "no such path", id="a trailing slash"),
    pytest.param("DELETE", "/models", {}, 405, "not with DELETE", id="another method"),
    pytest.param("GET", "/models?limit=few", {}, 400, "/query/limit", id="a query parameter of another type"),
    pytest.param("GET", "/models?sort=colour", {}, 400, '"provider"', id="a query parameter outside its enum"),
    pytest.param("POST", "/chat/completions", {}, 400, "Missing required request body", id="no body"),
    pytest.param(
        "POST", "/chat/completions", {"json": {"messages": []}}, 400, "/body/model", id="a required property missing"
    ),
    pytest.param(
        "POST",
        "/chat/completions",
        {"json": {"model": "m", "messages": [{"role": "robot", "content": "Beep."}]}},
        400,
        "/body/messages/0/role",
        id="a value deep inside",
    ),
    pytest.param(
        "POST",
        "/chat/completions",
        {"content": "{", "headers": {"content-type": "application/json"}},
        400,
        "/body",
        id="no JSON",
    ),
    pytest.param(
        "POST",
        "/chat/completions",
        {"content": "hello", "headers": {"content-type": "text/plain"}},
        400,
        "text/plain",
        id="another media type",
    ),
]


@pytest.fixture(scope="module")
def api() -> Api:
    """Return the Portkey API."""
    return load_api(Settings())


@pytest.fixture(scope="module")
def mock(api: Api) -> Iterator[httpx.Client]:
    """Return a client of a mock of the Portkey API, with a credential."""
    with mock_running(api) as url, httpx.Client(base_url=url, headers=KEY) as client:
        yield client


def schema_of_success(api: Api, operation: Operation) -> Any:
    """Return the schema of the JSON that the operation answers with, None where it declares none."""
    response = follow(api.root, operation.responses.get("200", {}))
    return response.get("content", {}).get("application/json", {}).get("schema")


@pytest.mark.slow
def test_answers_every_get_as_the_document_says(api: Api, mock: httpx.Client) -> None:
    """Every GET operation of the Portkey API answers JSON that is valid against its response schema."""
    judged = 0
    for operation in api.operations:
        schema = schema_of_success(api, operation)
        if operation.method != "GET" or schema is None:
            continue
        query = {p.name: value_for(p.schema) for p in operation.parameters if p.location == "query" and p.required}
        path = {p.name: str(value_for(p.schema)) for p in operation.parameters if p.location == "path"}
        answer = mock.get(operation.path.format(**path), params=query)
        assert answer.status_code == 200, (operation.path, answer.text)
        document = {"components": api.root["components"], "allOf": [schema]}
        problems = [error.message for error in Judge(document, registry=Registry()).iter_errors(answer.json())]
        assert not problems, (operation.path, problems)
        judged += 1
    assert judged > 90


def value_for(schema: Any) -> Any:
    """Return a value for a parameter that is a scalar."""
    values = {"integer": 1, "number": 1, "string": "x", "date-time": "2026-01-31T12:00:00Z", "uuid": f"{uuid4()}"}
    return schema["enum"][0] if "enum" in schema else values[schema.get("format", schema["type"]).lower()]


@pytest.mark.slow
def test_accepts_what_the_bridge_sends(api: Api, mock: httpx.Client) -> None:
    """What the bridge writes for valid arguments is a valid request to an independent reader, in every operation."""
    shapes = Shapes(api.root)
    samples, sources = Samples(shapes), Sources(shapes, Files())
    tools = [tool for tool in build_tools(api) if is_plain(tool)]
    for tool in tools:
        arguments = {name: samples(binding.schema, name) for name, binding in tool.arguments.bindings.items()}
        tool.validate(arguments)
        request = request_of(tool, arguments, [], str(mock.base_url), sources).to_httpx()
        request.headers.update(KEY)
        answer = mock.send(request)
        assert answer.is_success, (tool.name, answer.text)
    assert len(tools) > 220


def is_plain(tool: Tool) -> bool:
    """Check whether the tool's body, if it has one, is JSON."""
    return tool.arguments.media_type is None or tool.arguments.media_type.name == "application/json"


@pytest.mark.parametrize(("method", "path", "content", "status", "said"), WRONG_REQUESTS)
def test_refuses_what_the_document_does_not_take(
    mock: httpx.Client, method: str, path: str, content: dict[str, Any], status: int, said: str
) -> None:
    """A request that does not fit is answered with its status and, as JSON, with what is wrong and where."""
    answer = mock.request(method, path, **content)
    assert answer.status_code == status
    assert said in json.dumps(answer.json()["error"], ensure_ascii=False).replace('\\"', '"')


def test_names_the_methods_that_a_path_has(mock: httpx.Client) -> None:
    """405 comes with the methods that would be allowed (RFC 9110 section 15.5.6)."""
    allowed = mock.request("PUT", "/collections").headers["allow"]
    assert {"GET", "POST"} <= set(allowed.split(", "))


def test_asks_for_a_credential(mock: httpx.Client) -> None:
    """A request without any of the operation's credentials is 401; any value of one will do."""
    with httpx.Client(base_url=mock.base_url) as stranger:
        assert stranger.get("/models").status_code == 401
        assert stranger.get("/models", headers={"x-portkey-provider": "openai"}).status_code == 200


def test_the_same_request_has_the_same_answer(mock: httpx.Client) -> None:
    """The mock is deterministic."""
    assert mock.get("/models").content == mock.get("/models").content


@pytest.mark.slow
def test_says_where_it_listens_and_ends_quietly(tmp_path: Path) -> None:
    """`portkey-bridge mock` says its URL in one line once it can be called; Ctrl-C ends it without another word."""
    program = [sys.executable, "-m", "portkey_bridge", "mock"]
    process = subprocess.Popen(program, cwd=tmp_path, env=BARE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    match = re.fullmatch(r"portkey-bridge serves a mock of Portkey API at (http://127\.0\.0\.1:\d+)\n", line)
    assert match, line
    assert httpx.get(f"{match[1]}/models", headers=KEY).status_code == 200
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) == ("", 130)


def test_says_that_a_port_is_in_use(run: Run) -> None:
    """A port that is taken is one clear line and exit status 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("mock", "--port", str(port))
    assert ended.returncode == 2
    assert re.fullmatch(rf"portkey-bridge: --port {port}: .* in use.*\n", ended.stderr)


def test_says_that_a_port_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    """A number that is no port is one clear line and exit status 2."""
    assert main(["mock", "--port", "70000"]) == 2
    assert re.fullmatch(r"portkey-bridge: --port 70000: .* to 65535\..*\n", capsys.readouterr().err)


def answers(**responses: Any) -> dict[str, Any]:
    """Return a path item with one GET operation."""
    return {"get": {"responses": {status.strip("_"): response for status, response in responses.items()}}}


def content(media_type: str, schema: Any = {"type": "string"}, **more: Any) -> dict[str, Any]:  # noqa: B006
    """Return a response with one media type."""
    return {"description": "", "content": {media_type: {"schema": schema, **more}}}


PET = {
    "type": "object",
    "required": ["id", "name", "secret"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "example": "Rex"},
        "secret": {"type": "string", "writeOnly": True},
    },
}

SMALL = {
    "openapi": "3.0.3",
    "info": {"title": "Small", "version": "1"},
    "servers": [{"url": "https://small.example/v9"}],
    "paths": {
        "/pets/{pet-id}.json": {
            "parameters": [{"name": "pet-id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {"responses": {"2XX": content("application/json", PET)}},
        },
        "/pets/mine.json": answers(_200=content("application/json", {"enum": ["mine"]})),
        "/pets": {
            "post": {
                "servers": [{"url": "https://other.example"}],
                "requestBody": {"required": True, "content": {"application/json": {"schema": PET}}},
                "responses": {"204": {"description": ""}, "default": content("application/json")},
            }
        },
        "/filter": {
            "get": {
                "parameters": [
                    {"name": "f", "in": "query", "style": "deepObject", "required": True, "schema": {"type": "object"}}
                ],
                "responses": {"default": content("application/json", {"type": "string", "nullable": True})},
            }
        },
        "/numbers": {
            "get": {
                "parameters": [
                    {
                        "name": "n",
                        "in": "query",
                        "schema": {"type": "array", "items": {"type": "integer", "nullable": True}},
                    },
                    {"name": "maybe", "in": "query", "schema": {"type": "integer", "nullable": True}},
                ],
                "responses": {"201": {"$ref": "#/components/responses/Numbers"}},
            }
        },
        "/example": answers(_200=content("application/json", {"type": "integer"}, example=7)),
        "/examples": answers(
            _200=content("application/json", {"type": "integer"}, examples={"a": {"value": "no"}, "b": {"value": 8}})
        ),
        "/dangling": answers(_200={"$ref": "#/components/responses/Gone"}),
        "/png": answers(_200=content("image/*")),
        "/wav": answers(_200=content("audio/wav")),
        "/bytes": answers(_200=content("application/octet-stream", {"type": "string", "format": "binary"})),
        "/text": answers(_200=content("text/plain")),
        "/events": answers(_200=content("text/event-stream", {"type": "object", "properties": {"a": {"const": 1}}})),
        "/cookies": {
            "get": {
                "parameters": [
                    {"name": "c", "in": "cookie", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "gone", "in": "path", "required": True, "schema": {"type": "string"}},
                ],
                "responses": {},
            }
        },
        "/merge": {
            "patch": {
                "requestBody": {"content": {"application/merge-patch+json": {"schema": PET}}},
                "responses": {"204": {"description": ""}},
            }
        },
        "/failure": answers(_404=content("application/json")),
    },
    "components": {"responses": {"Numbers": content("application/problem+json", {"type": "array"})}},
}

#: Path, status, media type and the body as far as the document decides it.
SMALL_ANSWERS = [
    pytest.param("/pets/7.json", 200, "application/json", b'{"id": 1, "name": "Rex"}', id="no writeOnly property"),
    pytest.param("/pets/a%2Fb%25.json", 200, "application/json", b'{"id": 1, "name": "Rex"}', id="an encoded slash"),
    pytest.param("/pets/mine.json", 200, "application/json", b'"mine"', id="a plain path before a template"),
    pytest.param("/filter?f[a]=1", 200, "application/json", b'"some-value"', id="a style that is not judged"),
    pytest.param("/numbers?n=1&n=2&maybe=3", 201, "application/problem+json", b'["some-value"]', id="a list"),
    pytest.param("/example", 200, "application/json", b"7", id="the media type's example"),
    pytest.param("/examples", 200, "application/json", b"8", id="the first of its examples that fits"),
    pytest.param("/dangling", 200, None, b"", id="a response that does not exist"),
    pytest.param("/bytes", 200, "application/octet-stream", b"some-value\n", id="bytes"),
    pytest.param("/text", 200, "text/plain", b"some-value\n", id="text"),
    pytest.param("/events", 200, "text/event-stream", b'data: {"a": 1}\n\n', id="events"),
    pytest.param("/failure", 200, None, b"", id="no success at all"),
    pytest.param("/cookies", 200, None, b"", id="parameters that openapi-core misreads"),
]


@pytest.fixture(scope="module")
def small() -> Iterator[httpx.Client]:
    """Return a client of a mock of the document above."""
    root = normalize(Document("small", "file:///small.json", json.loads(json.dumps(SMALL)))).root
    with mock_running(read_api(root, "file:///small.json")) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize(("path", "status", "media_type", "body"), SMALL_ANSWERS)
def test_answers_as_declared(small: httpx.Client, path: str, status: int, media_type: str | None, body: bytes) -> None:
    """Status, media type and value are those of the first success that the document declares."""
    answer = small.get(path, headers={"cookie": "c=1"})
    assert (answer.status_code, answer.headers.get("content-type"), answer.content) == (status, media_type, body)


def test_answers_with_real_files(small: httpx.Client) -> None:
    """Pictures and sounds can be opened."""
    picture = small.get("/png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG\r\n\x1a\n")
    with wave.open(io.BytesIO(small.get("/wav").content)) as sound:
        assert sound.getnframes() == 0


#: A path of the Portkey API whose answer can be streamed, and a request for it
STREAMED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "/completions": {"model": "m", "prompt": "Hi"},
    "/responses": {"model": "o1-pro", "input": "Hi"},
}


@pytest.mark.parametrize("path", STREAMED)
async def test_a_streamed_answer_is_the_other_one_in_events(mock: httpx.Client, path: str) -> None:
    """Put together again, what comes for `stream` is what comes without."""
    plain = mock.post(path, json=STREAMED[path])
    streamed = mock.post(path, json={**STREAMED[path], "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.count("data: ") > 3

    async def body() -> AsyncIterator[bytes]:
        yield streamed.content

    stream = Stream()
    await stream.read(server_sent_events(body()), no_report, Redactor({}))
    assert json.loads(stream.merged()) == plain.json()
    assert stream.complaint == ""


def test_a_body_needs_no_read_only_property(small: httpx.Client) -> None:
    """What is readOnly is not required of a request, what is writeOnly is; 204 has no body."""
    assert small.post("/pets", json={"name": "Rex", "secret": "s"}).status_code == 204
    refused = small.post("/pets", json={"name": "Rex"})
    assert refused.status_code == 400
    assert refused.json()["error"]["violations"] == [{"pointer": "/body/secret", "problem": "is required but missing"}]


def test_judges_lists_and_nullable_numbers(small: httpx.Client) -> None:
    """Query parameters are read by their types."""
    assert small.get("/numbers?n=1&n=x").status_code == 400
    assert small.get("/numbers?maybe=x").status_code == 400


def test_reads_every_kind_of_json(small: httpx.Client) -> None:
    """A body is JSON by its suffix, too, and one that does not parse is refused."""
    kind = {"content-type": "application/merge-patch+json"}
    assert small.patch("/merge", content='{"name": "Rex", "secret": "s"}', headers=kind).status_code == 204
    for body, problem in (('{"name": 5, "secret": "s"}', "expected string, not 5"), ("{", "cannot be read as")):
        refused = small.patch("/merge", content=body, headers=kind)
        assert refused.status_code == 400
        assert problem in refused.text

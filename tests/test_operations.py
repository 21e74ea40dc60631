"""The document as values: what one operation's mistakes cost, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from portkey_bridge.document.parse import Document
from portkey_bridge.document.sources import portkey_document
from portkey_bridge.openapi.model import Api, Server
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.request.servers import server_url
from portkey_bridge.tools.catalog import build_tools
from portkey_bridge.tools.path_tools import build_path_item_tools
from tests.support import api_of, operation

PET = "/pets/{id}"


def read(paths: Any, **fields: Any) -> Api:
    """Read a document with these paths and other fields."""
    root = {"openapi": "3.1.0", "paths": paths, **fields}
    return read_api(normalize(Document("api.yaml", "file:///api.yaml", root)).root, "file:///api.yaml")


def parameters(api: Api) -> list[tuple[str, str, bool, Any]]:
    """Return the parameters of the first operation."""
    return [(p.location, p.name, p.required, p.schema) for p in api.operations[0].parameters]


STRING = {"type": "string"}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}

#: Parameters of an operation of /pets/{id}, how they are read, and a word of what is said.
PARAMETERS = [
    pytest.param(None, [("path", "id", True, STRING)], "no declaration for the parameter {id}", id="undeclared"),
    pytest.param([ID], [("path", "id", True, {"type": "integer"})], None, id="declared"),
    pytest.param(
        [{**ID, "required": False}], [("path", "id", True, {"type": "integer"})], None, id="a path needs its parameter"
    ),
    pytest.param(
        [ID, {**ID, "name": "other"}],
        [("path", "id", True, {"type": "integer"})],
        "no place for the parameter other",
        id="no place",
    ),
    pytest.param(
        [{**ID, "schema": STRING}, ID], [("path", "id", True, {"type": "integer"})], "declared twice", id="twice"
    ),
    pytest.param(
        [ID, *({"name": name, "in": "header", "schema": STRING} for name in ("X-A", "x-a"))],
        [("path", "id", True, {"type": "integer"}), ("header", "x-a", False, STRING)],
        "declared twice",
        id="twice, as HTTP reads names of headers",
    ),
    pytest.param([{"name": "id", "in": "path"}], [("path", "id", True, {})], "has no schema", id="without schema"),
    pytest.param(
        [{"name": "id", "in": "path", "type": "integer"}],
        [("path", "id", True, {"type": "integer"})],
        None,
        id="as in 2.0",
    ),
    pytest.param(
        [ID, {"name": "X\nY", "in": "header", "schema": STRING}],
        [("path", "id", True, {"type": "integer"})],
        "which no header has",
        id="header that would split",
    ),
    pytest.param(
        [ID, {"name": "Accept", "in": "header", "schema": STRING}],
        [("path", "id", True, {"type": "integer"})],
        None,
        id="Accept",
    ),
    pytest.param(
        [ID, {"name": "x", "in": "nowhere"}],
        [("path", "id", True, {"type": "integer"})],
        "in nowhere",
        id="optional, unknown place",
    ),
    pytest.param(
        [ID, {"name": 5, "in": "query", "schema": STRING, "required": "true"}],
        [("path", "id", True, {"type": "integer"}), ("query", "5", True, STRING)],
        None,
        id="name is a number",
    ),
    pytest.param(ID, [("path", "id", True, {"type": "integer"})], None, id="no list"),
    pytest.param([ID, "x"], [("path", "id", True, {"type": "integer"})], "is not an object but x", id="a text"),
    pytest.param([ID, {"$ref": "#/no"}], [("path", "id", True, {"type": "integer"})], "#/no", id="dangling"),
]


@pytest.mark.parametrize(("given", "expected", "word"), PARAMETERS)
def test_parameters(given: Any, expected: Any, word: str | None) -> None:
    """Parameters are read as the path template needs them, and what was decided is said with method and path."""
    api = read({PET: {"get": {"parameters": given}}})

    assert parameters(api) == expected
    assert api.skipped == ()
    if word is None:
        assert api.repairs == ()
    else:
        (repair,) = api.repairs
        assert word in repair
        assert "GET /pets/{id}" in repair
        assert repair.isprintable()


def test_own_parameter_goes_before_the_paths() -> None:
    """A parameter of the operation overrides that of its path with the same name and place, and no other."""
    shared = [{**ID, "schema": STRING}, {"name": "id", "in": "query", "schema": STRING}]
    api = read({PET: {"parameters": shared, "get": {"parameters": [ID]}}})

    assert parameters(api) == [("path", "id", True, {"type": "integer"}), ("query", "id", False, STRING)]
    assert api.repairs == ()


#: Operations that can't be served, and why.
BROKEN: list[Any] = [
    pytest.param({"get": []}, "GET", "is not an object but an empty list", id="operation is a list"),
    pytest.param(
        {"get": {"parameters": [{"in": "query", "required": True}]}}, "GET", "has the name null", id="nameless"
    ),
    pytest.param({"additionalOperations": {"A B": {}}}, "A B", "not a token of HTTP", id="no method"),
    pytest.param({"$ref": "#/paths/~1bad"}, "every method of", "back to itself", id="circle"),
    pytest.param("nothing", "every method of", "is not an object but nothing", id="path item is a text"),
    pytest.param(
        {"get": {"parameters": [{"name": f"q{at}", "in": "query", "schema": STRING} for at in range(1001)]}},
        "GET",
        "more than 1,000 parameters",
        id="too many parameters",
    ),
]


@pytest.mark.parametrize(("item", "method", "reason"), BROKEN)
def test_broken_operation_costs_itself(item: Any, method: str, reason: str) -> None:
    """An operation that can't be served is skipped with its reason; the others are served."""
    api = read({"/bad": item, "/good": {"get": {}}})

    assert [operation.path for operation in api.operations] == ["/good"]
    (skipped,) = api.skipped
    assert (skipped.method, skipped.path) == (method, "/bad")
    assert reason in skipped.reason


def test_a_query_in_a_path_needs_no_second_declaration() -> None:
    """What the query in a path names can be declared in the query, and nothing in a fragment has to be declared."""
    query = {"name": "q", "in": "query", "schema": STRING}
    api = read({"/find?q={q}&n={n}#{part}": {"get": {"parameters": [query]}}})

    assert parameters(api) == [("query", "q", False, STRING), ("path", "n", True, STRING)]


def test_path_with_control_characters_is_refused() -> None:
    """A path that would steer a terminal is not served, and is not printed as it is."""
    (skipped,) = read({"/a\x1b[31m": {"get": {}}}).skipped

    assert str(skipped).isprintable()


#: Documents of which something is missing or odd, all served.
ODD = [
    pytest.param({"get": {"responses": None}}, id="responses null"),
    pytest.param({"get": {"responses": {"200": {"$ref": "#/nothing"}, "400": "Bad"}}}, id="broken responses"),
    pytest.param({"get": {"tags": None, "summary": 1, "description": None, "operationId": ""}}, id="words"),
    pytest.param({"get": {"security": None, "servers": None, "parameters": None}}, id="nulls"),
    pytest.param({"GET": {}}, id="method in capitals"),
    pytest.param({"get": {}, "put": None, "x-internal": {}}, id="null and extension"),
    pytest.param({"get": {"requestBody": {"content": {"application/json": None}}}}, id="media type null"),
    pytest.param({"get": {"requestBody": {"content": {"application/json": {"schema": None}}}}}, id="schema null"),
    pytest.param({"get": {"requestBody": {}}}, id="empty body"),
    pytest.param({"get": {"requestBody": {"$ref": "#/nothing"}}}, id="dangling body"),
]


@pytest.mark.parametrize("item", ODD)
def test_odd_operation_is_served(item: Any) -> None:
    """What is missing or null is absent, and costs nothing."""
    api = read({"/a": item})

    assert [operation.method for operation in api.operations] == ["GET"]
    assert all(isinstance(response, dict) for response in api.operations[0].responses.values())


SERVERS = [
    pytest.param(["https://a.example"], ["https://a.example"], "interpreted as its URL", id="a text"),
    pytest.param({"url": "https://a.example"}, ["https://a.example"], None, id="no list"),
    pytest.param([{"url": None}, {"url": "https://a.example"}], ["https://a.example"], "has no URL", id="no URL"),
    pytest.param([{"url": ""}], ["/"], "is empty", id="an empty URL"),
    pytest.param([{"url": "a.example:8/v1"}], ["https://a.example:8/v1"], "https is assumed", id="no scheme"),
    pytest.param([{"url": "localhost:8/v1"}], ["http://localhost:8/v1"], "http is assumed", id="localhost"),
    pytest.param([{"url": "192.168.1.5:3000/a"}], ["http://192.168.1.5:3000/a"], "http is assumed", id="private"),
    pytest.param([{"url": "8.8.8.8/a"}], ["https://8.8.8.8/a"], "https is assumed", id="public address"),
    pytest.param([{"url": "v1.0/a"}], ["v1.0/a"], None, id="relative"),
    pytest.param([], ["/"], None, id="none: the specification's default"),
]


@pytest.mark.parametrize(("servers", "urls", "word"), SERVERS)
def test_servers(servers: Any, urls: list[str], word: str | None) -> None:
    """Servers are read in the forms that documents have."""
    api = read({"/a": {"get": {}}}, servers=servers)

    assert [server.url for server in api.operations[0].servers] == urls
    assert [word in repair for repair in api.repairs if word] == ([True] if word else [])


RESOLVED = [
    ("file:///api.yaml", "//a.example/v1", "https://a.example/v1"),
    ("file:///api.yaml", "/v1", None),
    ("http://b.example/api.yaml", "//a.example/v1", "http://a.example/v1"),
    ("http://b.example/docs/api.yaml", "v1", "http://b.example/docs/v1"),
    ("http://b.example/docs/api.yaml", "{stage}/v1", None),
    ("file:///api.yaml", "https://xn--a/v1", None),
    ("file:///api.yaml", "https://256.1.1.1/v1", None),
]


@pytest.mark.parametrize(("uri", "url", "resolved"), RESOLVED)
def test_a_servers_url_is_relative_to_the_documents(uri: str, url: str, resolved: str | None) -> None:
    """A relative server is resolved against the document's URL; a file lends nothing but the safe scheme."""
    assert server_url([Server(url, {})], uri) == resolved


def test_nearest_servers_count() -> None:
    """The operation's servers go before the path's, and these before the document's."""
    paths = {
        "/a": {"servers": [{"url": "/path"}], "get": {"servers": [{"url": "/own"}]}, "put": {}},
        "/b": {"get": {}},
    }
    api = read(paths, servers=[{"url": "/root"}])

    assert [operation.servers[0].url for operation in api.operations] == ["/own", "/path", "/root"]


def test_unknown_security_scheme() -> None:
    """A security scheme that nobody declares costs nothing but the credential, and is said."""
    api = read(
        {"/a": {"get": {"security": [{"ghost": [], "key": []}]}}},
        components={"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
        security=[{"key": []}],
    )

    assert [[scheme.key for scheme in option] for option in api.operations[0].security] == [["key"]]
    assert "no declaration for the security scheme ghost" in api.repairs[0]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param(
            {"type": "HTTP", "scheme": "Digest"}, ("http", "header", "Authorization", "digest"), id="capitals"
        ),
        pytest.param({"type": "basic"}, ("http", "header", "Authorization", "basic"), id="as in 2.0"),
        pytest.param({"type": "bearer"}, ("http", "header", "Authorization", "bearer"), id="a scheme as a type"),
        pytest.param({"type": "apikey", "in": "Query", "name": "K"}, ("apiKey", "query", "K", ""), id="in any case"),
        pytest.param({"type": "apiKey", "name": "K"}, None, id="a key without a place"),
        pytest.param({"type": "http"}, None, id="no scheme of HTTP"),
    ],
)
def test_security_schemes_as_they_are_written(declared: dict[str, str], expected: tuple[str, ...] | None) -> None:
    """A security scheme is read as it can be meant; one that does not say how it is sent is left out, and said."""
    api = read({"/a": {"get": {}}}, components={"securitySchemes": {"key": declared}}, security=[{"key": []}])
    found = [(scheme.type, scheme.location, scheme.name, scheme.scheme) for scheme in api.operations[0].security[0]]
    assert found == ([expected] if expected else [])
    assert ("does not say how" in "".join(api.repairs)) is (expected is None)


def test_missing_info_has_a_default_title() -> None:
    """A document without `info` is served under a name that says nothing."""
    assert read({}, info=None).title == "API"


@pytest.mark.parametrize(
    ("name", "intended"), [("json", "application/json"), ("", "application/json"), ("xml", "application/xml")]
)
def test_a_name_that_is_not_a_media_type_is_read_as_the_one_it_means(name: str, intended: str) -> None:
    """`json` and an empty name are sent as media types, with a warning."""
    api = api_of(operation(requestBody={"content": {name: {"schema": {"type": "object"}}}}))
    (read,) = api.operations
    assert read.request_body is not None
    assert [media_type.name for media_type in read.request_body.content] == [intended]
    assert f"{intended} is assumed" in api.repairs[0]


def test_an_enum_has_each_value_once() -> None:
    """Clients refuse a tool whose `enum` repeats a value; 1 and true are not the same."""
    values = ["b", "a", "b", 1, True, 1, None, {"x": 1}, {"x": 1}]
    api = api_of(operation(parameters=[{"name": "q", "in": "query", "schema": {"enum": values}}]))
    schema = api.operations[0].parameters[0].schema
    assert isinstance(schema, dict)
    assert json.dumps(schema["enum"]) == '["b", "a", 1, true, null, {"x": 1}]'


NAMES = [
    ("a" * 49, "a" * 49),
    ("a" * 50, f"{'a' * 40}_"),
    ("1" + "a" * 60, f"_1{'a' * 38}_"),
    ("expandSchema", "expandschema_"),
]


@pytest.mark.parametrize(("operation_id", "start"), NAMES)
def test_a_name_leaves_room_for_what_clients_put_before_it(operation_id: str, start: str) -> None:
    """With `mcp__`, eight characters of the server's name and `__`, a tool's name has at most 64 characters."""
    (tool,) = build_tools(read({"/x": {"get": {"operationId": operation_id, "responses": {}}}}))
    assert tool.name.startswith(start)
    assert len(tool.name) in (len(start), len(start) + 8)
    assert len(f"mcp__12345678__{tool.name}") <= 64


def test_informational_tools_leave_room_as_well() -> None:
    """The name of a tool about a path is shortened, too, but not in the shipped document."""
    path = {"servers": [{"url": "http://x"}], "get": {"responses": {}}}
    api = read({f"/{'a' * 60}": path})
    (tool,) = build_path_item_tools(api, None, 1000)
    assert len(tool.name) == 49
    (known,) = build_path_item_tools(replace(api, uri=portkey_document().as_uri()), None, 1000)
    assert len(known.name) == 64

"""Documents that break the rules as real ones do: what they can only mean reaches the API; none ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portkey_bridge.document.parse import Document
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.request.servers import base_url
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Recorder, Run, text_of
from tests.support import api_of, body, document, form_of, operation, refused, sent, served

PROPERTIES_ARE_ALL_PATHS = {"properties": {"$ref": "#/paths"}}


def with_body(schema: Any, **fields: Any) -> dict[str, Any]:
    """Return a document with a body of this schema."""
    return {**body("application/json", schema), **fields}


#: Documents that lead back into themselves, or to values of the wrong type.
HOSTILE: dict[str, Any] = {
    "circular": with_body(PROPERTIES_ARE_ALL_PATHS),
    "circular over two": with_body(
        {"$ref": "#/components/schemas/A"},
        components={
            "schemas": {
                "A": {"properties": {"$ref": "#/components/schemas/B/x-inner"}},
                "B": {"x-inner": {"properties": {"$ref": "#/components/schemas"}}},
            }
        },
    ),
    "circular parameters": document({"/x": {"parameters": {"$ref": "#/paths/~1x/parameters"}, "get": {}}}),
    "swagger name no string": {
        "swagger": "2.0",
        "paths": {"/x": {"post": {"parameters": [{"name": [], "in": "formData"}, {"name": "a", "in": "formData"}]}}},
    },
    "swagger collection format no string": {
        "swagger": "2.0",
        "paths": {
            "/x": {"get": {"parameters": [{"name": "a", "in": "query", "type": "array", "collectionFormat": {}}]}}
        },
    },
    "half a surrogate pair": operation("get", parameters=[{"name": "\ud83d", "in": "query", "schema": {}}]),
    "half a surrogate pair in a reference": with_body({"$ref": "other-\ud83d.json"}),
    "nested pattern": with_body({"properties": {"a": {"type": "string", "pattern": "(" * 3000 + ")" * 3000}}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("root", HOSTILE.values(), ids=HOSTILE)
def test_no_document_ends_in_a_traceback(run: Run, tmp_path: Path, root: dict[str, Any]) -> None:
    """Whatever a document contains, commands end with an answer or a message."""
    file = tmp_path / "api.json"
    file.write_text(json.dumps(root), encoding="utf-8")
    for command in ("tools", "check", "docs"):
        result = run(command, "--spec", str(file))
        assert "Traceback" not in result.stderr, result.stderr
        assert result.returncode in (0, 1, 2)


async def test_ref_to_no_schema(recorder: Recorder) -> None:
    """A reference to something that is no schema costs that schema only, with a warning."""
    properties = {
        "a": {"$ref": "#/info/title"},
        "b": {"allOf": [{"$ref": "#/components/schemas/Bad"}]},
        "c": {"$ref": "#/components/schemas/Chain"},
        "d": {"type": "integer"},
    }
    schemas = {"Bad": "object", "Chain": {"$ref": "#/components/schemas/List"}, "List": []}
    root = with_body({"type": "object", "properties": properties}, components={"schemas": schemas})
    _, repairs = normalize(Document("test", "file:///test", json.loads(json.dumps(root))))
    assert sum("is not a schema; any value is accepted" in repair for repair in repairs) == 4  # c, and what it leads to
    request = await sent(recorder, json.loads(json.dumps(root)), {"a": 1, "b": "x", "c": [], "d": 1})
    assert json.loads(request.body) == {"a": 1, "b": "x", "c": [], "d": 1}
    recorder.requests.clear()
    assert "/d: expected integer" in await refused(recorder, root, {"d": "x"})


FILE = {"type": "string", "format": "binary"}
MULTIPART = {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"file": FILE}}}}}


@pytest.mark.parametrize(
    "stray",
    [
        {"in": "form", "name": "file", "required": True, "schema": {"$ref": "#/components/schemas/Form"}},
        {"in": "formData", "name": "file", "type": "file", "required": True},
        {"in": "body", "name": "file", "required": True, "schema": {}},
        {"$ref": "#/components/parameters/Form"},
    ],
    ids=["form", "formData", "body", "reference"],
)
@pytest.mark.parametrize("of_path", [False, True], ids=["operation", "path"])
async def test_form_parameter_beside_body(recorder: Recorder, stray: dict[str, Any], of_path: bool) -> None:
    """A stray form or body parameter beside a right request body is left out, with a warning."""
    root = operation(requestBody=MULTIPART)
    components = {
        "schemas": {"Form": {"type": "object"}},
        "parameters": {"Form": {"in": "body", "name": "file", "schema": {}}},
    }
    item = root["paths"]["/x"]
    (item if of_path else item["post"])["parameters"] = [stray]
    root = json.loads(json.dumps({**root, "components": components}))
    _, repairs = normalize(Document("test", "file:///test", json.loads(json.dumps(root))))
    assert any("beside requestBody; file is left out" in repair for repair in repairs)
    _, files = form_of(await sent(recorder, root, {"file": "data:text/plain,hi"}))
    assert files["file"][0][2] == b"hi"


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0", "2.0"])
@pytest.mark.parametrize("of_path", [False, True], ids=["operation", "path"])
async def test_formdata_with_schema(recorder: Recorder, version: str, of_path: bool) -> None:
    """Form parameters with a `schema` keep its types, and a file makes the body multipart."""
    parameters = [
        {"in": "formData", "name": "fileName", "required": True, "schema": {"type": "string"}},
        {"in": "formData", "name": "n", "schema": {"type": "integer"}},
        {"in": "formData", "name": "up", "schema": FILE},
    ]
    root = operation()
    item = root["paths"]["/x"]
    (item if of_path else item["post"])["parameters"] = parameters
    del root["openapi"]
    root = {**root, "swagger" if version == "2.0" else "openapi": version}
    copies = [json.loads(json.dumps(root)) for _ in range(2)]
    values, files = form_of(await sent(recorder, copies[0], {"fileName": "a", "n": 3, "up": "data:,hi"}))
    assert (values, files["up"][0][2]) == ({"fileName": ["a"], "n": ["3"]}, b"hi")
    recorder.requests.clear()
    said = await refused(recorder, copies[1], {"n": "x"})
    assert "/n: expected integer" in said
    assert "/fileName: is required" in said


async def test_arguments_whose_names_begin_with_an_underscore(recorder: Recorder) -> None:
    """They are listed without it, because frameworks refuse it, and taken with it, too; others keep their names."""
    parameters = [{"name": name, "in": "query", "schema": {"type": "integer"}} for name in ("_limit", "limit", "_")]
    properties = {name: {"type": "string"} for name in ("_id", "_rev", "id")}
    content = {"application/json": {"schema": {"type": "object", "properties": properties}}}
    root = operation(parameters=parameters, requestBody={"content": content})
    root["paths"]["/x"]["post"]["operationId"] = "x"
    async with served(root, Settings(base_url=recorder.url)) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "x"]
        listed = tool.input_schema["properties"]
        assert listed["rev"]["description"] == "_rev in the API."
        assert not any(name.startswith("_") for name in listed)
        for arguments in ({"rev": "a", "limit": 1, "id": "b"}, {"_rev": "a", "_limit": 1, "_id": "b"}):
            await client.call_tool("x", arguments)
    first, second = recorder.requests
    assert (first.target, json.loads(first.body)) == ("/x?limit=1", {"_rev": "a", "id": "b"})
    assert (second.target, json.loads(second.body)) == ("/x?_limit=1", {"_rev": "a", "_id": "b"})


async def test_names_of_other_scripts(recorder: Recorder) -> None:
    """Where a safe name is not the name in the API, that one is shown; a name without any letter is METHOD PATH."""
    parameter = {"name": "城市", "in": "query", "required": True, "schema": {"type": "string", "description": "City."}}
    properties = {"名前": {"type": "string"}, "größe": {"type": "string"}, "size": {"type": "string"}}
    content = {"application/json": {"schema": {"type": "object", "properties": properties}}}
    root = operation(parameters=[parameter], requestBody={"content": content})
    root["paths"]["/x"]["post"]["operationId"] = "获取用户"
    async with served(root, Settings(base_url=recorder.url)) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "post_x"]
        names = {schema.get("description"): name for name, schema in tool.input_schema["properties"].items()}
        assert names.keys() == {"城市 in the API. City.", "名前 in the API.", "größe in the API.", None}
        result = await client.call_tool("post_x", {"城市": "x"}, raise_on_error=False)
        assert f"/城市: is called {names['城市 in the API. City.']} here" in text_of(result)
        arguments = {names["城市 in the API. City."]: "x", names["名前 in the API."]: "y"}
        await client.call_tool("post_x", arguments)
    (request,) = recorder.requests
    assert request.target == "/x?%E5%9F%8E%E5%B8%82=x"
    assert json.loads(request.body) == {"名前": "y"}


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "if and then": (
        {"if": {"properties": {"status": {"const": 10}}}, "then": {"required": ["phone"]}},
        {"status": 10},
        {"if": {"properties": {"status": {"const": 10}}}, "then": {"required": ["phone"]}},
    ),
    "not": (
        {"not": {"required": ["status", "phone"]}},
        {"status": 10, "phone": "1"},
        {"not": {"required": ["status", "phone"]}},
    ),
    "all of several": (
        {"allOf": [{"if": {"required": ["status"]}, "then": {"required": ["phone"]}}, {"not": {"required": ["id"]}}]},
        {"status": 10},
        {"if": {"required": ["status"]}, "then": {"required": ["phone"]}, "not": {"required": ["body_id"]}},
    ),
    "by a reference": (
        {"allOf": [{"$ref": "#/components/schemas/Rule"}]},
        {"status": 10},
        {"if": {"required": ["status"]}, "then": {"required": ["phone"]}},
    ),
    "dependent schemas": (
        {"dependentSchemas": {"status": {"required": ["phone"]}}},
        {"status": 10},
        {"dependentSchemas": {"status": {"required": ["phone"]}}},
    ),
}


@pytest.mark.parametrize(("rule", "arguments", "shown"), RULES.values(), ids=RULES)
async def test_if_then_of_flat_body(recorder: Recorder, rule: Any, arguments: Any, shown: Any) -> None:
    """What a body says of its properties together is shown beside parameters too, in the names of the arguments."""
    properties = {"status": {"type": "integer"}, "phone": {"type": "string"}, "id": {"type": "string"}}
    content = {"application/json": {"schema": {"type": "object", "properties": properties, **rule}}}
    path_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    rules = {"Rule": {"if": {"required": ["status"]}, "then": {"required": ["phone"]}}}
    whole = operation("put", "/users/{id}", parameters=[path_id], requestBody={"required": True, "content": content})
    root = json.loads(json.dumps({**whole, "components": {"schemas": rules}}))
    async with served(root, Settings(base_url=recorder.url)) as client:
        expanded = await client.call_tool("expandSchema", {"toolName": "op", "jsonPointers": [""]})
        result = await client.call_tool("op", {"id": "1", **arguments}, raise_on_error=False)
    then = json.loads(text_of(expanded))[0]["schema"]["then"]
    said = json.loads(json.dumps(shown).replace('"const": 10', '"type": "integer", "enum": [10]'))
    assert {keyword: then[keyword] for keyword in said} in (said, shown)
    assert result.is_error
    assert recorder.requests == []


SERVERS = [
    ("localhost:8080", "file:///api.json", "http://localhost:8080"),
    ("localhost/api", "file:///api.json", "http://localhost/api"),
    ("localhost", "file:///api.json", "http://localhost"),
    ("localhost/api", "https://example.com/v1/openapi.json", "https://example.com/v1/localhost/api"),
    ("192.168.1.5:3000/api", "file:///api.json", "http://192.168.1.5:3000/api"),
    ("10.0.0.1", "https://example.com/openapi.json", "http://10.0.0.1"),
    ("api.example.com/v1", "file:///api.json", "https://api.example.com/v1"),
    ("[::1]:8080/api", "file:///api.json", "http://[::1]:8080/api"),
    ("[2001:db8::1]/api", "file:///api.json", "https://[2001:db8::1]/api"),
    ("gateway:3000", "file:///api.json", "http://gateway:3000"),
    ("127.example.com/api", "file:///api.json", "https://127.example.com/api"),
    ("{host}:8080/api", "file:///api.json", "http://localhost:8080/api"),
    ("{region}.api.example.com", "file:///api.json", "https://eu.api.example.com"),
    ("{whole}/api", "file:///api.json", "https://whole.example.com/api"),
]

#: The values of variables in the URLs of servers.
VARIABLES = {
    "host": {"default": "localhost"},
    "region": {"default": "eu"},
    "whole": {"default": "https://whole.example.com"},
}


@pytest.mark.parametrize(("url", "uri", "expected"), SERVERS)
def test_server_without_scheme(url: str, uri: str, expected: str) -> None:
    """A host without a scheme is served with a warning: http for loopback and private addresses, else https."""
    named = {name: VARIABLES[name] for name in VARIABLES if f"{{{name}}}" in url}
    root = operation("get") | {"servers": [{"url": url, "variables": named}]}
    api = read_api(normalize(Document("test", uri, root)).root, uri)
    (tool,) = build_tools(api)
    assert base_url(tool.name, tool.operation.servers, None, uri) == expected
    assert any("no scheme" in repair for repair in api.repairs) == all(
        kept not in expected for kept in ("example.com/v1/", "whole.")
    )


@pytest.mark.parametrize("url", ["localhost:8080", "api.example.com/v1"])
def test_server_that_is_a_string_without_scheme(url: str) -> None:
    """A server that is a string is read as its URL, which may lack a scheme like any other."""
    api = api_of(operation("get") | {"servers": [url]})
    (tool,) = build_tools(api)
    assert base_url(tool.name, tool.operation.servers, None, api.uri).endswith(f"://{url}")


def deep(name: str, **fields: Any) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    return {"name": name, "in": "query", "schema": schema, **fields}


DEEP = {"style": "deepObject", "explode": True}
CLASHES = [
    pytest.param([deep("created", **DEEP), deep("sort")], {"sort": {"created": "asc"}}, "/x?created=asc", id="alone"),
    pytest.param(
        [deep("created", **DEEP), deep("sort")],
        {"sort": {"created": "asc"}, "created": {"gte": "1"}},
        "/x?created%5Bgte%5D=1&created=asc",
        id="both",
    ),
    pytest.param([deep("a"), deep("b")], {"a": {"b": "1"}}, "/x?b=1", id="two exploded"),
    pytest.param([deep("a", **DEEP), deep("b")], {"b": {"a[c]": "1"}}, None, id="the key of a deep object"),
    pytest.param([deep("a"), deep("b")], {"a": {"c": "1"}, "b": {"c": "2"}}, None, id="the same key twice"),
    pytest.param([deep("a"), {"name": "c", "in": "query", "schema": {}}], {"a": {"c": "1"}}, None, id="a plain name"),
]


@pytest.mark.parametrize(("parameters", "arguments", "target"), CLASHES)
async def test_object_beside_deepobject(
    recorder: Recorder, parameters: list[Any], arguments: dict[str, Any], target: str | None
) -> None:
    """A member of an object is refused only where its key is that of something else."""
    root = operation("get", parameters=parameters)
    if target is None:
        assert "would be taken for" in await refused(recorder, root, arguments)
    else:
        assert (await sent(recorder, root, arguments)).target == target


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"name": "a", "in": "query", "schema": {"type": "integer", "default": -600}}, "/x/1?a=-600"),
        ({"name": "a", "in": "query", "schema": {"type": "boolean", "default": False}}, "/x/1?a=false"),
        ({"name": "v", "in": "path", "schema": {"type": "string", "default": "v2"}}, "/x/v2"),
    ],
    ids=["integer", "false", "path"],
)
async def test_required_with_default(recorder: Recorder, parameter: dict[str, Any], expected: str) -> None:
    """A required parameter that is missing is sent with its default; one that is given, with its value."""
    variable = {"name": "v", "in": "path", "required": True, "schema": {"type": "string", "default": "1"}}
    parameters = [parameter | {"required": True}] + ([] if parameter["name"] == "v" else [variable])
    root = operation("get", "/x/{v}", parameters=parameters)
    assert (await sent(recorder, json.loads(json.dumps(root)), {})).target == expected
    recorder.requests.clear()
    assert (await sent(recorder, root, {"v": "3"})).target.startswith("/x/3")
    (tool,) = build_tools(api_of(root))
    assert tool.arguments.schema_of_each["required"] == []


@pytest.mark.parametrize(
    ("written", "intended"),
    [
        ("json", "application/json"),
        (" JSON", "application/json"),
        ("", "application/json"),
        ("application\\json", "application/json"),
        ("application/json, application/xml", "application/json"),
        ("form", "application/x-www-form-urlencoded"),
        ("xml", "application/xml"),
        ("json; charset=utf-8", "application/json; charset=utf-8"),
        *((stray, "application/json") for stray in ("application/json:", "application/json/", "application//json")),
    ],
)
async def test_media_type_json(recorder: Recorder, written: str, intended: str) -> None:
    """A name that is not a media type is read as the one that it can only mean, with a warning."""
    root = body(written, {"type": "object", "properties": {"a": {"type": "string"}}})
    assert any("is not a media type" in repair for repair in api_of(json.loads(json.dumps(root))).repairs)
    assert (await sent(recorder, root, {"a": "x"})).header("content-type") == intended


@pytest.mark.parametrize(
    "reference",
    [
        *("#/components/Schemas/Pet", "#/components/schemas/pet", "#/schemas/Pet", "./#/components/schemas/Pet"),
        *(
            "#/components/schemas/Pet ",
            "#/components/schema/Pet",
            "#/components/requestBodies/Pet",
            "#Pet",
            "schemas/Pet",
        ),
    ],
)
async def test_ref_to_a_schema_in_another_place(recorder: Recorder, reference: str) -> None:
    """A local reference that leads nowhere means the only schema that has its last name, with a warning."""
    pet = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    root = {**body("application/json", {"$ref": reference}), "components": {"schemas": {"Pet": pet, "Cat": {}}}}
    normalized = normalize(Document("test", "file:///test", json.loads(json.dumps(root))))
    assert any("interpreted as the only target" in repair for repair in normalized.repairs)
    assert (await sent(recorder, root, {"n": 1})).body == b'{"n":1}'


@pytest.mark.parametrize("kind", ["Pets", "pet"])
def test_ref_to_one_of_several_schemas(kind: str) -> None:
    """A reference that could mean two schemas, or none, is not guessed at."""
    root = {**body("application/json", {"$ref": f"#/components/schemas/{kind}"}), "components": {"schemas": {}}}
    root["components"]["schemas"] = {"Pet": {"type": "object"}, "PET": {"type": "array"}}
    repairs = normalize(Document("test", "file:///test", root)).repairs
    assert any("leads nowhere; any value is accepted" in repair for repair in repairs)


@pytest.mark.parametrize("beside", [{}, {"application/x-www-form-urlencoded": {}}, {"application/json": {}}])
async def test_fields_of_a_media_type_among_the_media_types(recorder: Recorder, beside: Any) -> None:
    """`schema` or `examples` is never sent as a media type: it is left out, and where it stands alone, JSON is sent."""
    schema = {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}, "required": ["a"]}
    content: Any = {name: {"schema": schema} for name in beside} or {"schema": schema}
    request_body = {"required": True, "content": {**content, "examples": {}}}
    root = {**operation(requestBody=request_body), "components": {"schemas": {"A": {"type": "string"}}}}
    normalized = normalize(Document("test", "file:///test", json.loads(json.dumps(root))))
    assert any("in content is not a media type" in repair for repair in normalized.repairs)
    (tool,) = build_tools(read_api(normalized.root, "file:///test"))
    assert tool.arguments.bindings.keys() == {"a"}
    assert (await sent(recorder, root, {"a": "x"})).header("content-type") == next(iter(beside), "application/json")


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [("application/json", b"{}"), ("application/vnd.api+json", b"{}"), ("application/x-www-form-urlencoded", b"")],
)
@pytest.mark.parametrize("schema", [{"type": "object"}, {"type": "object", "properties": {}}, {"properties": {}}])
async def test_empty_required_body(recorder: Recorder, media_type: str, expected: bytes, schema: Any) -> None:
    """A required body without properties is an empty object, however its schema says so."""
    request = await sent(recorder, body(media_type, dict(schema)), {})
    assert (request.header("content-type"), request.body) == (media_type, expected)


def test_enum_twice() -> None:
    """Equal values of an `enum` are one: 1 and 1.0 are equal, 1 and true are not (JSON Schema core section 4.2.2)."""
    values = ["a", "a", 1, 1.0, True, None, None, {"b": 1, "c": 2}, {"c": 2, "b": 1}]
    parameter = {"name": "q", "in": "query", "schema": {"enum": values}}
    (tool,) = build_tools(api_of(operation("get", parameters=[parameter])))
    assert [json.dumps(value) for value in tool.arguments.schema_of_each["properties"]["q"]["enum"]] == [
        *('"a"', "1", "true", "null", '{"b": 1, "c": 2}')
    ]

"""Swagger 2.0 documents are served as if their owners had written OpenAPI 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from portkey_bridge.document.parse import parse_document
from portkey_bridge.document.repairs import Repairs
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.openapi.swagger2 import from_swagger
from portkey_bridge.request.styles import PAIR_STYLES, escape
from tests.conftest import Connect, Recorder
from tests.support import sent

HEAD = "swagger: '2.0'\ninfo: {title: T, version: '1'}\nhost: api.example.com\nbasePath: /v1\n"

PETS = (
    HEAD
    + """
schemes: [http, https]
consumes: [application/json]
produces: [application/json, application/xml]
securityDefinitions:
  key: {type: apiKey, in: header, name: X-Key}
  login: {type: basic}
  app:
    type: oauth2
    flow: accessCode
    authorizationUrl: https://a.example/auth
    tokenUrl: https://a.example/token
    scopes: {read: Reads}
security: [{key: []}]
parameters:
  Limit: {name: limit, in: query, type: integer, maximum: 100, exclusiveMaximum: true}
  Pet: {name: pet, in: body, required: true, description: The pet., schema: {$ref: '#/definitions/Pet'}}
responses:
  Missing: {description: Not there, schema: {$ref: '#/definitions/Error'}}
definitions:
  Pet:
    type: object
    required: [name]
    discriminator: kind
    properties:
      name: {type: string, x-nullable: true}
      kind: {type: string}
      photo: {type: file}
      owner: {$ref: '#/paths/~1pets/get/responses/200/schema'}
  Error: {type: object}
paths:
  /pets:
    parameters: [{$ref: '#/parameters/Limit'}]
    get:
      responses:
        '200':
          description: OK
          schema: {type: array, items: {$ref: '#/definitions/Pet'}}
          headers: {X-Total: {type: integer}}
        '404': {$ref: '#/responses/Missing'}
    post:
      parameters: [{$ref: '#/parameters/Pet'}]
      responses: {'201': {description: Made}}
  /pets/{id}:
    parameters:
      - {name: id, in: path, required: true, type: string}
      - {name: note, in: formData, type: string}
    post:
      consumes: [multipart/form-data]
      schemes: [http]
      parameters:
        - {name: photo, in: formData, type: file, required: true, description: A picture.}
        - {name: tags, in: formData, type: array, items: {type: string}, collectionFormat: pipes}
      responses: {'200': {description: OK}}
    put:
      consumes: [application/x-www-form-urlencoded]
      responses: {'200': {description: OK}}
"""
)


def read(text: str) -> Api:
    """Read a document in which nothing has to be mended."""
    root, repairs = normalize(parse_document("pets.yaml", "file:///pets.yaml", text))
    assert repairs == ()
    return read_api(root, "file:///pets.yaml")


def operation(api: Api, method: str, path: str) -> Operation:
    """Return one operation."""
    return next(found for found in api.operations if (found.method, found.path) == (method, path))


@pytest.fixture(scope="module")
def api() -> Api:
    """Return the API of PETS."""
    return read(PETS)


def test_upgraded_document_is_valid() -> None:
    """The validator of OpenAPI 3.0 finds nothing wrong with an upgraded document."""
    upgraded = from_swagger(yaml.safe_load(PETS.replace(", exclusiveMaximum: true", "")), "https", Repairs())
    for schema in ("name", "kind", "photo", "owner"):  # what only the schemas' own turn upgrades
        upgraded["components"]["schemas"]["Pet"]["properties"][schema] = {"type": "string"}
    del upgraded["components"]["schemas"]["Pet"]["discriminator"]

    assert [error.message for error in OpenAPIV30SpecValidator(upgraded).iter_errors()] == []


def test_servers(api: Api) -> None:
    """Host, base path and schemes are servers, the safe one first; an operation's own schemes go before."""
    assert [server.url for server in api.servers] == ["https://api.example.com/v1", "http://api.example.com/v1"]
    assert [server.url for server in operation(api, "POST", "/pets/{id}").servers] == ["http://api.example.com/v1"]


SERVERS = [
    pytest.param({"host": "a.example"}, "https://a.example", id="no scheme: the document's own"),
    pytest.param({"host": "localhost:8080"}, "http://localhost:8080", id="this machine has no certificate"),
    pytest.param({"host": "localhost", "schemes": ["https"]}, "https://localhost", id="unless it has one"),
    pytest.param({"host": "https://a.example/"}, "https://a.example", id="host written as a URL"),
    pytest.param({"basePath": "v1/"}, "/v1", id="no host: relative to the document"),
    pytest.param({"host": "a.example", "schemes": ["ws", "wss"]}, "https://a.example", id="only schemes of others"),
]


@pytest.mark.parametrize(("fields", "url"), SERVERS)
def test_server_without_all_parts(fields: dict[str, Any], url: str) -> None:
    """What a document leaves out of its server has the default of the specification."""
    assert from_swagger({"swagger": "2.0", "paths": {}, **fields}, "https", Repairs())["servers"] == [{"url": url}]


def test_shared_body_parameter(api: Api) -> None:
    """A reference to a shared body parameter becomes the request body, in the media types that are consumed."""
    body = operation(api, "POST", "/pets").request_body

    assert body is not None
    assert (body.required, body.description) == (True, "The pet.")
    assert [(media_type.name, media_type.schema) for media_type in body.content] == [
        ("application/json", {"$ref": "#/components/schemas/Pet"})
    ]


def test_form_with_file_is_multipart(api: Api) -> None:
    """Form parameters of the operation and of its path are one body; a file makes it `multipart/form-data`."""
    body = operation(api, "POST", "/pets/{id}").request_body

    assert body is not None
    (media_type,) = body.content
    assert media_type.name == "multipart/form-data"
    assert isinstance(media_type.schema, dict)
    assert media_type.schema["properties"]["photo"] == {
        "type": "string",
        "format": "binary",
        "description": "A picture.",
    }
    assert media_type.schema["required"] == ["photo"]
    assert "note" in media_type.schema["properties"]
    assert media_type.encoding == {"tags": {"style": "pipeDelimited", "explode": False}}


def test_inherited_form(api: Api) -> None:
    """An operation without form parameters has those of its path, in the media type that it consumes."""
    body = operation(api, "PUT", "/pets/{id}").request_body

    assert body is not None
    assert [media_type.name for media_type in body.content] == ["application/x-www-form-urlencoded"]
    assert isinstance(body.content[0].schema, dict)
    assert list(body.content[0].schema["properties"]) == ["note"]


@pytest.mark.parametrize("further", [{"name": "b", "in": "body", "schema": {}}, {"name": "b", "in": "formData"}])
def test_a_second_body_is_said(further: dict[str, Any]) -> None:
    """An operation has one body (Parameter Object, `in`); what else claims to be one is left out, and said."""
    repairs = Repairs()
    parameters = [{"name": "a", "in": "body", "schema": {"type": "integer"}}, further]
    upgraded = from_swagger({"swagger": "2.0", "paths": {"/a": {"post": {"parameters": parameters}}}}, "https", repairs)

    content = upgraded["paths"]["/a"]["post"]["requestBody"]["content"]
    assert content == {"application/json": {"schema": {"type": "integer"}}}
    assert repairs.sentences() == ("an operation has one body, and b beside a is left out (POST /a).",)


def test_nothing_consumed_is_not_inherited() -> None:
    """An empty list of media types clears the document's; JSON is what is left."""
    body = {"name": "pet", "in": "body", "schema": {}}
    root = {"swagger": "2.0", "consumes": ["application/xml"]}
    upgraded = from_swagger(
        {**root, "paths": {"/a": {"post": {"consumes": [], "parameters": [body]}}}}, "https", Repairs()
    )

    assert list(upgraded["paths"]["/a"]["post"]["requestBody"]["content"]) == ["application/json"]


def test_parameter_keeps_its_constraints(api: Api) -> None:
    """What a parameter says about its value is its schema, in JSON Schema's words."""
    (limit,) = operation(api, "GET", "/pets").parameters

    assert limit.schema == {"type": "integer", "exclusiveMaximum": 100}


def test_responses_have_what_is_produced(api: Api) -> None:
    """Responses have a content in every media type that is produced, shared responses too."""
    responses = operation(api, "GET", "/pets").responses

    assert list(responses["200"]["content"]) == ["application/json", "application/xml"]
    assert responses["200"]["headers"]["X-Total"]["schema"] == {"type": "integer"}
    assert responses["404"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_schema_is_found_wherever_it_stood(api: Api) -> None:
    """A reference into another operation of the old document still leads to the same schema."""
    pet = api.root["components"]["schemas"]["Pet"]
    place: Any = api.root
    for token in pet["properties"]["owner"]["$ref"].split("/")[1:]:
        place = place[token.replace("~1", "/")]

    assert place == {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
    assert pet["properties"]["name"] == {"type": ["string", "null"]}
    assert pet["properties"]["photo"] == {"type": "string", "format": "binary"}
    assert pet["discriminator"] == {"propertyName": "kind"}


def test_security(api: Api) -> None:
    """Each security definition is a security scheme of OpenAPI 3."""
    schemes = api.root["components"]["securitySchemes"]

    assert [scheme.name for (scheme,) in api.security] == ["X-Key"]
    assert schemes["login"] == {"type": "http", "scheme": "basic"}
    assert schemes["app"]["flows"] == {
        "authorizationCode": {
            "authorizationUrl": "https://a.example/auth",
            "tokenUrl": "https://a.example/token",
            "scopes": {"read": "Reads"},
        }
    }


#: Swagger 2.0, Parameter Object, `collectionFormat`: what stands in the query for ["a", "b"].
COLLECTIONS = [
    ("csv", [("q", "a,b")]),
    ("ssv", [("q", "a%20b")]),
    ("tsv", [("q", "a%09b")]),
    ("pipes", [("q", "a%7Cb")]),
    ("multi", [("q", "a"), ("q", "b")]),
    (None, [("q", "a,b")]),
]


@pytest.mark.parametrize(("form", "pairs"), COLLECTIONS)
def test_collection_format(form: str | None, pairs: list[tuple[str, str]]) -> None:
    """An array in a query is written as the table of `collectionFormat` has it."""
    written = f", collectionFormat: {form}" if form else ""
    parameter = f"{{name: q, in: query, type: array, items: {{type: string}}{written}}}"
    (read_parameter,) = read(f"{HEAD}paths: {{/a: {{get: {{parameters: [{parameter}]}}}}}}").operations[0].parameters

    style = PAIR_STYLES[read_parameter.style]
    assert list(style("q", ["a", "b"], read_parameter.explode, escape)) == pairs


@pytest.mark.parametrize(
    ("outer", "inner", "query"),
    [
        pytest.param("pipes", "csv", "q=1%2C2%7C3", id="csv in pipes"),
        pytest.param("multi", None, "q=1%2C2&q=3", id="the default in multi"),
        pytest.param("csv", "ssv", "q=1%202,3", id="ssv in csv"),
    ],
)
async def test_lists_in_lists(recorder: Recorder, outer: str, inner: str | None, query: str) -> None:
    """An array in an array is written by its own `collectionFormat` (Items Object)."""
    items = {"type": "array", "items": {"type": "integer"}, **({"collectionFormat": inner} if inner else {})}
    parameter = {"name": "q", "in": "query", "type": "array", "collectionFormat": outer, "items": items}
    paths = {"/a": {"get": {"operationId": "op", "parameters": [parameter]}}}
    request = await sent(recorder, {"swagger": "2.0", "paths": paths}, {"q": [[1, 2], [3]]})

    assert request.target == f"/a?{query}"


def test_body_and_form_of_the_path() -> None:
    """An operation's own body goes before the form of its path: a request has one body."""
    text = (
        HEAD + "paths: {/a: {parameters: [{name: x, in: formData, type: string}],"
        " post: {parameters: [{name: b, in: body, schema: {type: string}}]}}}"
    )
    body = read(text).operations[0].request_body

    assert body is not None
    assert body.content[0].schema == {"type": "string"}


async def test_call_reaches_the_api(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """A client calls an operation of a Swagger 2.0 document in two files, and the API receives what 2.0 says."""
    (tmp_path / "parts.json").write_text(
        '{"Tags": {"name": "tags", "in": "query", "type": "array", "items": {"type": "string"},'
        ' "collectionFormat": "pipes"}}'
    )
    (tmp_path / "api.yaml").write_text(
        f"swagger: '2.0'\nhost: {recorder.url.removeprefix('http://')}\nbasePath: /v1/\nschemes: [http]\n"
        "paths: {'/pets/{id}': {put: {operationId: putPet, parameters: [{$ref: 'parts.json#/Tags'},"
        " {name: pet, in: body, required: true, schema: {$ref: '#/definitions/Pet'}}]}}}\n"
        "definitions: {Pet: {type: object, properties: {name: {type: string, x-nullable: true}}}}\n"
    )
    async with connect("--spec", str(tmp_path / "api.yaml")) as client:
        await client.call_tool("putpet", {"id": "a/b", "tags": ["x", "y"], "name": None})

    assert (recorder.last.method, recorder.last.target) == ("PUT", "/v1/pets/a%2Fb?tags=x%7Cy")
    assert recorder.last.body == b'{"name":null}'

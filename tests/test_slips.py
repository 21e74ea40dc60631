"""Slips that real documents make beside those of `test_faulty_documents`: what they can only mean reaches the API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_bridge.errors import NoServerError
from portkey_bridge.request.servers import base_url
from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Recorder
from tests.support import api_of, body, operation, refused, sent

TEXT = {"type": "string"}
BINARY = {"type": "string", "format": "binary"}
PNG, JPEG = "data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64,/9j/4AAQ"


def obj(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *((url, "https://example.com/v1") for url in ("https:/example.com/v1", "https//example.com/v1")),
        *((url, "https://example.com/v1") for url in ("https:example.com/v1", "https:///example.com/v1")),
        ("https://https://example.com/v1", "https://example.com/v1"),
        ("http://https://example.com/v1", "https://example.com/v1"),
    ],
)
def test_a_server_with_a_slip_in_its_scheme(url: str, expected: str) -> None:
    """A URL that can only mean a host behind http or https is read so, with a warning."""
    api = api_of(operation("get") | {"servers": [{"url": url}]})
    (tool,) = build_tools(api)
    assert base_url(tool.name, tool.operation.servers, None, api.uri) == expected
    assert any("is assumed" in repair for repair in api.repairs)


@pytest.mark.parametrize("url", ["http://https.example.com", "https://http/x", "http://example.com//x"])
def test_a_server_without_a_slip_stays(url: str) -> None:
    """A URL that is right is sent to as it is."""
    api = api_of(operation("get") | {"servers": [{"url": url}]})
    assert base_url("op", build_tools(api)[0].operation.servers, None, api.uri) == url
    assert not api.repairs


def test_a_server_variable_without_value_is_named() -> None:
    """Where a server's URL lacks the value of a variable, the refusal names what sets it."""
    api = api_of(operation("get") | {"servers": [{"url": "http://localhost:{port}"}]})
    with pytest.raises(NoServerError, match="Set OPEN_MCP_SERVER_PORT, or set OPEN_MCP_BASE_URL"):
        base_url("op", build_tools(api)[0].operation.servers, None, api.uri)


@pytest.mark.parametrize("written", ["'application/json'", "application\\/json", "application-json", "default"])
async def test_a_quoted_or_escaped_media_type(recorder: Recorder, written: str) -> None:
    """A name with quotes, a backslash or no slash is no media type, and is not sent as one."""
    root = body(written, obj(a=TEXT))
    assert (await sent(recorder, root, {"a": "x"})).header("content-type") == "application/json"


@pytest.mark.parametrize(
    "content",
    [{"image/png": {"schema": BINARY}, "image/jpeg": {"schema": BINARY}}, {"image/png, image/jpeg": {}}],
    ids=["two", "one list"],
)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"body": PNG}, "image/png"),
        ({"body": JPEG}, "image/jpeg"),
        ({"body": "data:;base64,/9j/4AAQ"}, "image/jpeg"),
        ({"body": "data:;base64,AAAA", "contentType": "image/jpeg"}, "image/jpeg"),
    ],
)
async def test_a_file_has_its_own_of_several_media_types(
    recorder: Recorder, content: Any, arguments: dict[str, Any], expected: str
) -> None:
    """Of several types of files, that of the `data:` URI or of the bytes is sent, or the one that is named."""
    root = operation(requestBody={"required": True, "content": content})
    assert (await sent(recorder, root, arguments)).header("content-type") == expected


@pytest.mark.parametrize(("given", "expected"), [(PNG, "image/png"), (JPEG, "application/octet-stream")])
async def test_a_file_of_another_type_is_any_bytes(recorder: Recorder, given: str, expected: str) -> None:
    """A file whose own type is not declared is sent as bytes, where those are."""
    content = {"image/png": {"schema": BINARY}, "application/octet-stream": {"schema": BINARY}}
    root = operation(requestBody={"required": True, "content": content})
    assert (await sent(recorder, root, {"body": given})).header("content-type") == expected


async def test_a_text_of_several_media_types_is_chosen(recorder: Recorder) -> None:
    """Texts of two media types are not the same thing, though their schemas are: `contentType` says which it is."""
    content = {"text/csv": {"schema": TEXT}, "text/plain": {"schema": TEXT}}
    root = operation(requestBody={"required": True, "content": content})
    request = await sent(recorder, root, {"body": "a", "contentType": "text/plain"})
    assert request.header("content-type") == "text/plain; charset=utf-8"
    recorder.requests.clear()
    assert (await sent(recorder, root, {"body": "a"})).header("content-type") == "text/csv; charset=utf-8"


COMPONENTS: dict[str, Any] = {
    "schemas": {"S": obj(a={"type": "integer"})},
    "parameters": {"P": {"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/S"}}},
    "requestBodies": {"B": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}}},
    "responses": {"R": {"description": "", "content": {"application/json": {"schema": obj(a={"type": "integer"})}}}},
}


@pytest.mark.parametrize("name", ["parameters/P", "requestBodies/B", "responses/R"])
async def test_a_schema_that_refers_to_what_has_a_schema(recorder: Recorder, name: str) -> None:
    """A reference of a schema to a parameter, body or response means the schema of that, with a warning."""
    root = {**body("application/json", {"$ref": f"#/components/{name}"}), "components": COMPONENTS}
    assert (await sent(recorder, json.loads(json.dumps(root)), {"a": 1})).body == b'{"a":1}'
    recorder.requests.clear()
    assert "/a: expected integer" in await refused(recorder, root, {"a": "x"})


async def test_a_required_field_of_a_form_with_a_default(recorder: Recorder) -> None:
    """The default of a field that a required form requires is sent where the field is missing, as of a parameter."""
    root = body(
        "application/x-www-form-urlencoded", obj("a", "b", a={**TEXT, "default": "x"}, b=TEXT, c={**TEXT, "default": 1})
    )
    assert (await sent(recorder, json.loads(json.dumps(root)), {"b": "1"})).body == b"a=x&b=1"
    (tool,) = build_tools(api_of(root))
    assert tool.arguments.schema_of_each["required"] == ["b"]


def test_a_property_that_is_writable_in_one_part_is_listed() -> None:
    """What one part of the `allOf` of a whole body declares as writable is an argument like any other."""
    first = obj(id={**TEXT, "readOnly": True}, other={**TEXT, "readOnly": True})
    (tool,) = build_tools(api_of(body("application/json", {"allOf": [first, obj("id", id=TEXT)]})))
    assert tool.arguments.shapes(tool.schema)["properties"].keys() == {"id"}


#: Ways to name a property only where one part of a body applies.
PARTIAL: dict[str, dict[str, Any]] = {
    "a union in a union": {"anyOf": [{"oneOf": [obj(b=TEXT), obj(c=TEXT)]}, obj(d=TEXT)]},
    "a union in a part": {"allOf": [{"anyOf": [{"allOf": [obj(b=TEXT)]}, {}]}]},
    "a condition": {"if": obj("a"), "then": obj(b=TEXT)},
    "a dependent schema": {"dependentSchemas": {"a": obj(b=TEXT)}},
}


@pytest.mark.parametrize("name", PARTIAL)
async def test_a_property_that_only_one_part_names_can_be_sent(recorder: Recorder, name: str) -> None:
    """However deep in a composition a property is named, no call is refused for it, and it arrives."""
    given = {"a": "x", "b": "y"}
    sent_body = (await sent(recorder, body("application/json", obj(a=TEXT) | PARTIAL[name]), given)).body
    assert json.loads(sent_body) == given


@pytest.mark.parametrize("schema", [{"type": "array", "items": BINARY}, {"additionalProperties": BINARY}])
def test_files_without_a_name_say_what_they_take(schema: dict[str, Any]) -> None:
    """The items and further properties of a multipart body say that they take `data:` URIs."""
    (tool,) = build_tools(api_of(body("multipart/form-data", {"type": "object"} | schema)))
    assert "data: URI" in json.dumps(tool.arguments.bindings["body"].schema)

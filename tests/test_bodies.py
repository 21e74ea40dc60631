"""Request bodies of every media type, read back by parsers that are not ours: Werkzeug, ElementTree, json."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.uploads import Files
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools
from tests.conftest import Recorded, Recorder, text_of
from tests.support import api_of, body, form_of, operation, refused, request_of, sent, served

Json = dict[str, Any]

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

TEXT: Json = {"type": "string"}
ARRAY, OBJECT = {"type": "array", "items": TEXT}, {"type": "object"}
BINARY, BYTES = {"type": "string", "format": "binary"}, {"type": "string", "format": "byte"}
URL_SAFE = {"type": "string", "contentEncoding": "base64url"}
XML_PART = {"type": "object", "xml": {"name": "q"}, "properties": {"b": TEXT}}

PNG = "data:image/png;name=d.png;base64,iVBORw0KGgo="
PNG_FILE = ("d.png", "image/png", b"\x89PNG\r\n\x1a\n")


def prop(schema: Json, name: str = "a") -> Json:
    """Return the schema of an object with one property."""
    return {"type": "object", "properties": {name: schema}}


def of_type(media_type: str) -> Json:
    """Return the schema of a string that contains this media type."""
    return {"type": "string", "contentMediaType": media_type}


#: (schema of the property `a`, its encoding, value, what Werkzeug reads)
FORM_CASES = [
    pytest.param(TEXT, {}, "x y&z=ü+%\n", {"a": ["x y&z=ü+%\n"]}, id="text"),
    pytest.param(TEXT, {}, "", {"a": [""]}, id="empty"),
    pytest.param({"type": "number"}, {}, 1.0, {"a": ["1"]}, id="number"),
    pytest.param({"type": ["string", "null"]}, {}, None, {}, id="null-is-undefined"),
    pytest.param(ARRAY, {}, ["x,y", "z"], {"a": ["x,y", "z"]}, id="array"),
    pytest.param({"type": "array", "items": OBJECT}, {}, [{"x": 1}], {"a": ['{"x":1}']}, id="objects"),
    pytest.param(OBJECT, {}, {"b": [1, "x y"]}, {"a": ['{"b":[1,"x y"]}']}, id="object-is-JSON"),
    pytest.param(ARRAY, {"explode": False}, ["x", "y"], {"a": ["x,y"]}, id="comma"),
    pytest.param(ARRAY, {"style": "spaceDelimited"}, ["x", "y"], {"a": ["x y"]}, id="space"),
    pytest.param(ARRAY, {"style": "pipeDelimited"}, ["x", "y"], {"a": ["x|y"]}, id="pipe"),
    pytest.param(OBJECT, {"explode": True}, {"b": 1, "c": "x y"}, {"b": ["1"], "c": ["x y"]}, id="exploded"),
    pytest.param(OBJECT, {"explode": False}, {"b": 1, "c": "x"}, {"a": ["b,1,c,x"]}, id="object-in-one"),
    pytest.param(
        OBJECT, {"style": "deepObject"}, {"b": {"c": ["x"]}, "d": 1}, {"a[b][c][]": ["x"], "a[d]": ["1"]}, id="deep"
    ),
    pytest.param(ARRAY, {"contentType": "application/json"}, ["x"], {"a": ['["x"]']}, id="array-as-JSON"),
    pytest.param(ARRAY, {"style": ["form"], "explode": None}, ["x", "y"], {"a": ["x,y"]}, id="style-that-is-none"),
    pytest.param(TEXT, {"contentType": "application/json"}, "x", {"a": ['"x"']}, id="text-as-JSON"),
    pytest.param(TEXT, {"allowReserved": True}, "/x?y&z+ ü", {"a": ["/x?y&z+ ü"]}, id="reserved"),
    pytest.param(BYTES, {}, "data:,abc", {"a": ["YWJj"]}, id="base64-of-a-file"),
    pytest.param(URL_SAFE, {"contentType": "image/png"}, "data:;base64,+/8=", {"a": ["-_8="]}, id="base64url"),
]


@pytest.mark.parametrize(("schema", "encoding", "value", "expected"), FORM_CASES)
async def test_form_properties(recorder: Recorder, schema: Json, encoding: Json, value: Any, expected: Any) -> None:
    """A property of a form is written by its `encoding`, else by its type (OpenAPI 3.2 section 4.15)."""
    root = body(FORM, prop(schema), encoding={"a": encoding} if encoding else {})
    values, _ = form_of(await sent(recorder, root, {"a": value}))
    assert values == expected


#: (schema of the property `a`, its encoding, value, what Werkzeug reads, what the parts' headers have)
PART_CASES = [
    pytest.param(TEXT, {}, "x\r\nü\0", ["x\r\nü\0"], b"", id="text"),
    pytest.param(TEXT, {}, "data:,x", ["data:,x"], b"", id="text-like-a-file"),
    pytest.param({"type": "number"}, {}, 2.0, ["2"], b"", id="number"),
    pytest.param(ARRAY, {}, ["x", "y,z"], ["x", "y,z"], b"", id="array"),
    pytest.param(OBJECT, {}, {"x": "ü"}, ['{"x":"ü"}'], b"application/json", id="object"),
    pytest.param(
        {"type": "array", "items": OBJECT}, {}, [{"x": 1}, {}], ['{"x":1}', "{}"], b"application/json", id="objects"
    ),
    pytest.param(BYTES, {}, "data:,abc", ["YWJj"], b"application/octet-stream", id="base64-of-a-file"),
    pytest.param(URL_SAFE, {}, "-_8=", ["-_8="], b"application/octet-stream", id="base64url"),
    pytest.param(BINARY, {}, PNG, [PNG_FILE], b"", id="file"),
    pytest.param({"anyOf": [BINARY, {"type": "null"}]}, {}, PNG, [PNG_FILE], b"", id="file-or-null"),
    pytest.param({"type": "array", "items": BINARY}, {}, [PNG, PNG], [PNG_FILE, PNG_FILE], b"", id="files"),
    pytest.param(
        {"type": "array", "items": BINARY}, {"style": "form"}, [PNG], [PNG_FILE], b"", id="files-have-no-style"
    ),
    pytest.param({}, {}, PNG, [PNG_FILE], b"", id="file-of-no-type"),
    pytest.param(TEXT, {"contentType": "image/png, image/gif"}, PNG, [PNG_FILE], b"", id="file-by-media-types"),
    pytest.param(BINARY, {"contentType": "image/*"}, PNG, [PNG_FILE], b"", id="file-of-a-range"),
    pytest.param(BINARY, {"contentType": "a/b"}, PNG, [("d.png", "a/b", PNG_FILE[2])], b"", id="file-of-another-type"),
    pytest.param(TEXT, {"contentType": "text/csv"}, "x,y", ["x,y"], b"text/csv", id="text-of-a-type"),
    pytest.param(of_type("application/json"), {}, '{"b":1}', ['{"b":1}'], b"application/json", id="text-of-JSON"),
    pytest.param(
        of_type("a/b+json"),
        {"contentType": "a/b+json"},
        '{"b":1}',
        ['{"b":1}'],
        b"a/b+json",
        id="text-of-JSON-of-that-type",
    ),
    pytest.param(of_type("text/markdown"), {}, "data:,# x", ["data:,# x"], b"text/markdown", id="text-of-markdown"),
    pytest.param(of_type("application/octet-stream"), {}, PNG, [PNG_FILE], b"", id="file-by-its-content"),
    pytest.param(of_type("text/csv") | BINARY, {}, PNG, [PNG_FILE], b"", id="file-of-text"),
    pytest.param(TEXT, {"headers": None}, "x", ["x"], b"x", id="headers-of-nothing"),
    pytest.param(TEXT, {"contentType": "application/json"}, "x", ['"x"'], b"application/json", id="text-as-JSON"),
    pytest.param(ARRAY, {"explode": False}, ["x", "y z"], ["x,y z"], b"", id="comma"),
    pytest.param(ARRAY, {"style": "spaceDelimited"}, ["x", "y"], ["x y"], b"", id="space"),
    pytest.param(ARRAY, {"style": "pipeDelimited"}, ["x", "y"], ["x|y"], b"", id="pipe"),
    pytest.param(
        XML_PART,
        {"contentType": "application/xml"},
        {"b": "x"},
        ["<?xml version='1.0' encoding='utf-8'?>\n<q><b>x</b></q>"],
        b"application/xml",
        id="XML",
    ),
    pytest.param(
        BINARY, {"headers": {"X-K": {"schema": {"enum": ["v"]}}}}, PNG, [PNG_FILE], b"X-K: v", id="header-of-a-part"
    ),
]


@pytest.mark.parametrize(("schema", "encoding", "value", "expected", "declared"), PART_CASES)
async def test_parts(
    recorder: Recorder, schema: Json, encoding: Json, value: Any, expected: list[Any], declared: bytes
) -> None:
    """A property is one part, an array one an item; its type decides how it is written, or its `encoding`."""
    root = body(MULTIPART, prop(schema), encoding={"a": encoding} if encoding else {})
    request = await sent(recorder, root, {"a": value})
    values, files = form_of(request)
    assert values | files == {"a": expected}
    assert declared in request.body


#: (media type, schema, arguments, Content-Type, bytes)
RAW_CASES = [
    pytest.param("application/json", prop({}), {"a": [1e17, -0.0]}, None, b'{"a":[100000000000000000,0]}', id="whole"),
    pytest.param("application/json", prop({}), {"a": 10**30}, None, b'{"a":%d}' % 10**30, id="large-integer"),
    pytest.param("application/json", prop(BINARY), {"a": "data:,a"}, None, b'{"a":"YQ=="}', id="file-in-JSON"),
    pytest.param("application/*+json", prop({}), {"a": 1}, "application/json", b'{"a":1}', id="a-range-of-JSON"),
    pytest.param("application/jsonl", ARRAY, {"body": ["a\n"]}, None, b'"a\\n"\n', id="lines"),
    pytest.param("application/json-seq", ARRAY, {"body": ["a"]}, None, b'\x1e"a"\n', id="sequence"),
    pytest.param(FORM, prop(TEXT), {}, None, b"", id="empty-form"),
    pytest.param(FORM, TEXT, {"body": "a=1&b"}, None, b"a=1&b", id="form-as-text"),
    pytest.param(
        "application/sparql-query", TEXT, {"body": "*"}, "application/sparql-query; charset=utf-8", b"*", id="q"
    ),
    pytest.param("*/*", TEXT, {"body": "data"}, "text/plain; charset=utf-8", b"data", id="any-text"),
    pytest.param("*/*", TEXT, {"body": PNG}, "image/png", PNG_FILE[2], id="any-file"),
    pytest.param("image/png", BYTES, {"body": "iVBORw=="}, None, b"iVBORw==", id="base64-as-a-body"),
    pytest.param("application/octet-stream", {}, {"body": "data:,"}, None, b"", id="empty-file"),
    pytest.param("application/octet-stream", BYTES, {"body": "data:,plain"}, None, b"plain", id="bytes-of-a-file"),
    pytest.param(
        "image/jpeg",
        {"type": "string", "format": "base64"},
        {"body": "data:image/jpeg;base64,iVBORw=="},
        None,
        b"iVBORw==",
        id="base64-by-the-format-of-its-name",
    ),
    pytest.param("application/octet-stream", BYTES, {"body": "cGxh\naW4"}, None, b"plain", id="bytes-of-base64"),
    pytest.param("application/octet-stream", URL_SAFE, {"body": "data:,+/8"}, None, b"Ky84", id="base64-on-the-wire"),
    pytest.param("text/csv", BINARY, {"body": "ü,b"}, "text/csv; charset=utf-8", "ü,b".encode(), id="text-as-it-is"),
    pytest.param("text/csv", BINARY, {"body": "data:;base64,/wA="}, None, b"\xff\x00", id="text-of-a-file"),
    pytest.param("application/yaml", BINARY, {"body": "data:,a:%201"}, None, b"a: 1", id="YAML-of-a-file"),
    pytest.param("application/xml", BINARY, {"body": "data:,<a/>"}, None, b"<a/>", id="XML-of-a-file"),
    pytest.param(FORM, BINARY, {"body": "data:,a=1"}, None, b"a=1", id="form-of-a-file"),
    pytest.param("text/plain", TEXT, {"body": "data:,a"}, "text/plain; charset=utf-8", b"data:,a", id="no-file"),
    pytest.param(
        "text/plain", BYTES, {"body": "data:,plain"}, "text/plain; charset=utf-8", b"cGxhaW4=", id="base64-as-text"
    ),
    pytest.param("*/*", BINARY, {"body": "data:a/b;charset=x,y"}, "a/b;charset=x", b"y", id="charset-of-a-file"),
]


@pytest.mark.parametrize(("media_type", "schema", "arguments", "content_type", "expected"), RAW_CASES)
async def test_raw_bodies(
    recorder: Recorder, media_type: str, schema: Json, arguments: Json, content_type: str | None, expected: bytes
) -> None:
    """What else has a body arrives to the byte, under the media type that is declared or meant."""
    request = await sent(recorder, body(media_type, schema), arguments)
    assert (request.header("content-type"), request.body) == (content_type or media_type, expected)


async def test_text_that_is_not_base64_is_refused(recorder: Recorder) -> None:
    """Octets that are declared as base64 are decoded, and what does not decode is not sent."""
    said = await refused(recorder, body("application/octet-stream", BYTES), {"body": "plain text"})
    assert "/body: expected base64 or a data: URI" in said


#: Media type and schema of an optional body, and what a listing with room for nothing says of it.
LISTED = [
    pytest.param(MULTIPART, prop(BINARY), "a", BINARY, id="file"),
    pytest.param(MULTIPART, prop({"type": "array", "items": BINARY}), "a", {"type": "array", "items": BINARY}, id="s"),
    pytest.param(MULTIPART, prop(of_type("application/pdf")), "a", BINARY, id="file-by-its-content"),
    pytest.param(MULTIPART, prop({"contentMediaType": "image/png"}), "a", BINARY, id="file-of-no-type"),
    pytest.param("application/json", prop(BYTES), "a", BYTES, id="base64"),
    pytest.param("application/json", prop(URL_SAFE), "a", BYTES, id="base64-by-its-encoding"),
    pytest.param("application/octet-stream", {}, "body", BINARY, id="body-of-no-schema"),
    pytest.param("image/png", BINARY, "body", BINARY, id="body"),
    pytest.param("text/csv", BINARY, "body", BINARY, id="text"),
    pytest.param(MULTIPART, prop(of_type("text/markdown")), "a", TEXT, id="text-by-its-content"),
]


@pytest.mark.parametrize(("media_type", "schema", "argument", "shown"), LISTED)
async def test_a_small_listing_says_what_stands_for_bytes(
    recorder: Recorder, media_type: str, schema: Json, argument: str, shown: Json
) -> None:
    """An optional argument whose description has no room keeps the format that tells bytes from text."""
    root = body(media_type, schema, required=False)
    async with served(root, Settings(base_url=recorder.url, schema_budget=0)) as client:
        tools = {tool.name: tool.input_schema for tool in await client.list_tools()}
    assert tools["op"]["properties"] == {argument: shown}


@pytest.mark.parametrize("discover", [False, True])
async def test_a_small_listing_says_which_media_types_there_are(recorder: Recorder, discover: bool) -> None:
    """The choice between media types is listed with its values, however little room there is."""
    root = body("application/json", prop(TEXT), required=False)
    content = root["paths"]["/x"]["post"]["requestBody"]["content"]
    content[MULTIPART] = {"schema": {"type": "object", "properties": {"f": BINARY}}}
    async with served(root, Settings(base_url=recorder.url, schema_budget=0, discover=discover)) as client:
        tools = {tool.name: tool.input_schema for tool in await client.list_tools()}
        given = {"toolName": "op", "jsonPointers": [""]}
        expanded = json.loads(text_of(await client.call_tool("expandSchema", given)))[0]["schema"]
    shown = expanded if discover else tools["op"]
    assert shown["properties"]["contentType"]["enum"] == ["application/json", MULTIPART]
    assert shown["properties"]["f"]["format"] == "binary"


@pytest.mark.parametrize(
    ("arguments", "media_type"),
    [
        ({"f": PNG, "a": "x"}, "multipart/form-data"),
        ({"fs": [PNG, PNG]}, "multipart/form-data"),
        ({"f": PNG, "n": "7"}, "multipart/form-data"),
        ({"a": "x"}, "application/json"),
        ({"a": "x", "f": None}, "application/json"),
        ({"f": PNG, "contentType": "application/json"}, "application/json"),
        ({"b": "aGk="}, "application/json"),
    ],
)
async def test_a_file_goes_into_a_form_where_the_document_has_one(
    recorder: Recorder, arguments: Json, media_type: str
) -> None:
    """JSON has no bytes, so a call with a file is sent as the form that is declared beside it, any other as JSON."""
    files = {"f": BINARY, "fs": {"type": "array", "items": BINARY}}
    schema = {"type": "object", "properties": {"a": TEXT, "b": BYTES, "n": {"type": "integer"}, **files}}
    root = body("application/json", schema)
    root["paths"]["/x"]["post"]["requestBody"]["content"][MULTIPART] = {"schema": schema}
    request = await sent(recorder, root, arguments)
    assert (request.header("content-type") or "").partition(";")[0] == media_type
    assert (PNG_FILE[2] in request.body) == (media_type == "multipart/form-data")


#: Media type and schema of a body, and how its description begins.
DESCRIBED = [
    pytest.param("text/csv", BINARY, "Text, or a file: a data: URI", id="text"),
    pytest.param("application/xml", BINARY, "Text, or a file: a data: URI", id="XML"),
    pytest.param("text/plain", BYTES, "Base64, or a file: a data: URI", id="base64"),
    pytest.param("application/octet-stream", BYTES, "Base64, or a file: a data: URI", id="octets"),
    pytest.param("application/octet-stream", {}, "A file: a data: URI", id="file"),
    pytest.param("text/plain", TEXT, "", id="text-alone"),
]


@pytest.mark.parametrize(("media_type", "schema", "said"), DESCRIBED)
async def test_a_description_says_what_a_body_takes(
    recorder: Recorder, media_type: str, schema: Json, said: str
) -> None:
    """The argument says whether it is text, base64 or a file."""
    async with served(body(media_type, schema), Settings(base_url=recorder.url)) as client:
        tools = {tool.name: tool.input_schema for tool in await client.list_tools()}
    description = tools["op"]["properties"]["body"].get("description", "")
    assert description[: len(said) or None] == said


@pytest.mark.parametrize("media_type", [MULTIPART, "multipart/*"])
async def test_a_multipart_body_of_nothing(recorder: Recorder, media_type: str) -> None:
    """A required multipart body is sent without parts where no argument fills it; a range of them as a form."""
    request = await sent(recorder, body(media_type, prop(TEXT)), {})
    assert form_of(request) == ({}, {})
    assert (request.header("content-type") or "").startswith("multipart/form-data; boundary=")


async def test_multipart_of_no_object(recorder: Recorder) -> None:
    """A form that is declared as a file is one part; another multipart type has a part an item."""
    assert form_of(await sent(recorder, body(MULTIPART, BINARY), {"body": PNG}))[1] == {"file": [PNG_FILE]}
    recorder.requests.clear()
    root = body("multipart/mixed", {"type": "array", "items": OBJECT})
    request = await sent(recorder, root, {"body": [{"a": 1}, {"b": 2}]})
    assert request.body.count(b"Content-Type: application/json\r\n\r\n") == 2
    assert b"Content-Disposition" not in request.body


NAMESPACED = {"namespace": "urn:n", "prefix": "n"}

#: (schema, value, XPath, what is found there), most of them examples of the specification (3.2 section 4.26).
XML_CASES = [
    pytest.param(prop(ARRAY), {"a": ["x", "y"]}, "a", ["x", "y"], id="array"),
    pytest.param(prop({**ARRAY, "xml": {"wrapped": True}}), {"a": ["x"]}, "a/a", ["x"], id="wrapped"),
    pytest.param(
        prop({**ARRAY, "xml": {"wrapped": True, "name": "w"}}), {"a": ["x"]}, "w/w", ["x"], id="wrapper-named"
    ),
    pytest.param(
        prop({"type": "array", "items": {**TEXT, "xml": {"name": "i"}}, "xml": {"name": "w"}}),
        {"a": ["x"]},
        "i",
        ["x"],
        id="name-of-no-wrapper",
    ),
    pytest.param(prop({**TEXT, "xml": NAMESPACED}), {"a": "x"}, "{urn:n}a", ["x"], id="namespace"),
    pytest.param(
        {**prop({**TEXT, "xml": {"prefix": "n"}}), "xml": NAMESPACED}, {"a": "x"}, "{urn:n}a", ["x"], id="inherited"
    ),
    pytest.param(prop({**TEXT, "xml": {"prefix": "n"}}), {"a": "x"}, "a", ["x"], id="prefix-of-nothing"),
    pytest.param(prop({**TEXT, "xml": {"nodeType": "text"}}), {"a": "<]]>"}, ".", ["<]]>"], id="text-node"),
    pytest.param(prop({}), {"a": "\r\n"}, "a", ["\r\n"], id="line-breaks"),
    pytest.param(prop({}), {"a": {"b": [{"c": 1.0}, {"c": True}]}}, "a/b/c", ["1", "true"], id="nested"),
    pytest.param(prop(BYTES), {"a": "data:,a"}, "a", ["YQ=="], id="base64-of-a-file"),
    pytest.param(prop({}), {"a": None}, "a[@{http://www.w3.org/2001/XMLSchema-instance}nil='true']", [None], id="null"),
    pytest.param(
        prop({**TEXT, "xml": {"attribute": True, **NAMESPACED}}), {"a": "x"}, ".[@{urn:n}a='x']", [None], id="attribute"
    ),
]


@pytest.mark.parametrize(("schema", "value", "path", "expected"), XML_CASES)
async def test_xml(recorder: Recorder, schema: Json, value: Json, path: str, expected: list[str | None]) -> None:
    """XML follows the hints, and a parser finds the values where the specification has them."""
    request = await sent(recorder, body("application/xml", schema), value)
    root = ET.fromstring(request.body)  # noqa: S314  # what this project wrote itself
    assert [element.text for element in root.findall(path)] == expected


@pytest.mark.parametrize(
    ("media_type", "schema", "arguments", "said"),
    [
        pytest.param("application/xml", prop(TEXT), {"a": "\1"}, "/a: XML cannot contain", id="no-character-of-XML"),
        pytest.param(
            "application/xml", OBJECT, {"body": {"a b": 1}}, "/body/a b: 'a b' is not a valid XML name", id="no-name"
        ),
        pytest.param(MULTIPART, prop({"type": "array", "items": BINARY}), {"a": [PNG, "x"]}, "/a/1: ", id="no-file"),
        pytest.param(FORM, prop(ARRAY), {"a": ["x y"]}, "/a: ' ' separates", id="delimiter"),
        pytest.param("text/plain; charset=ascii", TEXT, {"body": "ü"}, "/body: cannot be written", id="charset"),
    ],
)
async def test_what_cannot_be_written_is_refused(
    recorder: Recorder, media_type: str, schema: Json, arguments: Json, said: str
) -> None:
    """A value that its media type cannot contain is refused with its place."""
    encoding = {"a": {"style": "spaceDelimited"}} if media_type == FORM else {}
    assert said in await refused(recorder, body(media_type, schema, encoding=encoding), arguments)


# Any value comes back

CHARACTERS = st.characters(exclude_categories=["Cs"])
WORD = st.text(CHARACTERS, max_size=8)
NAME = st.text(CHARACTERS, min_size=1, max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORD
ANY = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3))
FORM_VALUES = st.dictionaries(NAME, WORD | st.lists(WORD, min_size=1, max_size=3), max_size=4)

ROUND_TRIP = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def tool_of(media_type: str, schema: Any, **fields: Any) -> Tool:
    """Return the tool of an operation with this body."""
    (tool,) = build_tools(api_of(body(media_type, schema, **fields)))
    return tool


def written(tool: Tool, value: Any) -> Recorded:
    """Write the request of a value that is the body as a whole."""
    request = request_of(tool, {"body": value}, [], "http://api.test", SOURCES).to_httpx()
    return Recorded(request.method, "/x", list(request.headers.items()), request.content)


SOURCES = Sources(Shapes(operation()), Files())
TOOLS = {
    name: tool_of(name, True)
    for name in ("application/json", "application/x-ndjson", FORM, MULTIPART, "text/plain", "application/octet-stream")
}


@ROUND_TRIP
@given(value=ANY)
def test_any_json_comes_back(value: Any) -> None:
    """Any value comes back from JSON, and a list of any from lines of JSON."""
    assert json.loads(written(TOOLS["application/json"], value).body) == value
    lines = written(TOOLS["application/x-ndjson"], [value, value]).body.split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == [value, value]


@ROUND_TRIP
@given(values=FORM_VALUES)
def test_any_form_comes_back(values: dict[str, Any]) -> None:
    """Any names and texts come back from a form and from parts, repeated where they are many."""
    expected = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    pairs = parse_qsl(written(TOOLS[FORM], values).body.decode(), keep_blank_values=True)
    assert list(pairs) == [(name, text) for name, texts in expected.items() for text in texts]
    # A line break or a quote in a name is percent-encoded (HTML, "multipart form data"), and stays so for Werkzeug.
    odd = any(re.search(r'[\x00-\x1f"\\%;\x7f-\xa0\u2028\u2029]|^\s|\s$', name) for name in values)
    if not odd:
        assert form_of(written(TOOLS[MULTIPART], values))[0] == expected


@ROUND_TRIP
@given(text=WORD, content=st.binary(max_size=64))
def test_any_text_and_bytes_come_back(text: str, content: bytes) -> None:
    """Any text comes back from a text body, and any bytes from a file, alone and as a part."""
    assert written(TOOLS["text/plain"], text).body.decode() == text
    uri = f"data:;base64,{b64encode(content).decode()}"
    assert written(TOOLS["application/octet-stream"], uri).body == content
    files = form_of(written(TOOLS[MULTIPART], {"f": uri}))[1]
    assert [received for _, _, received in files["f"]] == [content]


XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r"), min_size=1, max_size=8)
XML_NAME = st.from_regex(r"[a-z_][a-z0-9_.-]{0,5}", fullmatch=True)
XML_VALUE = st.recursive(XML_TEXT, lambda inner: st.dictionaries(XML_NAME, inner, min_size=1, max_size=3), max_leaves=6)


@pytest.mark.slow
@ROUND_TRIP
@given(value=st.dictionaries(XML_NAME, XML_VALUE, min_size=1, max_size=3))
def test_any_tree_of_texts_comes_back_from_xml(value: Json) -> None:
    """Objects of objects and texts come back from XML, whatever characters XML has."""
    root = ET.fromstring(written(tool_of("application/xml", True), value).body)  # noqa: S314
    assert _read(root) == value


def _read(element: ET.Element) -> Any:
    return {child.tag: _read(child) for child in element} if len(element) else element.text


@ROUND_TRIP
@given(
    texts=st.lists(st.text(CHARACTERS.filter(lambda letter: letter not in " |"), max_size=6), min_size=1, max_size=4)
)
def test_any_texts_come_back_from_every_encoding(texts: list[str]) -> None:
    """A list comes back from a form in each style that its `encoding` can name."""
    for style, delimiter in (("spaceDelimited", " "), ("pipeDelimited", "|")):
        tool = tool_of(FORM, prop(ARRAY), encoding={"a": {"style": style}})
        request = request_of(tool, {"a": texts}, [], "http://api.test", SOURCES).to_httpx()
        ((_, text),) = parse_qsl(request.content.decode(), keep_blank_values=True)
        assert text.split(delimiter) == texts


def pairs_below(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of an object in brackets."""
    for name, member in value.items():
        if isinstance(member, dict):
            yield from pairs_below(member, f"{path}[{name}]")
        else:
            yield f"{path}[{name}]", member


BRACKETLESS = st.text(CHARACTERS.filter(lambda letter: letter not in "[]"), min_size=1, max_size=6)
DEEP = st.recursive(WORD, lambda inner: st.dictionaries(BRACKETLESS, inner, min_size=1, max_size=3), max_leaves=6)


@ROUND_TRIP
@given(value=st.dictionaries(BRACKETLESS, DEEP, min_size=1, max_size=3))
def test_any_object_comes_back_from_brackets(value: Json) -> None:
    """Objects of objects come back from `deepObject`, in a form as in a query."""
    tool = tool_of(FORM, prop(OBJECT), encoding={"a": {"style": "deepObject"}})
    request = request_of(tool, {"a": value}, [], "http://api.test", SOURCES).to_httpx()
    assert parse_qsl(request.content.decode(), keep_blank_values=True) == list(pairs_below(value, "a"))


IMAGES = ["image/*", "IMAGE/*", "image/* "]
OF_RANGES = [
    pytest.param(BINARY, {"body": PNG}, "image/png", b"\x89PNG\r\n\x1a\n", id="kept"),
    pytest.param(BINARY, {"body": "data:;base64,iVBORw0KGgo="}, "image/png", b"\x89PNG\r\n\x1a\n", id="signature"),
    pytest.param(BINARY, {"body": "data:,hi", "contentType": "image/x-mine"}, "image/x-mine", b"hi", id="named"),
    pytest.param(BYTES, {"body": PNG}, "image/png", b"iVBORw0KGgo=", id="base64-of-a-file"),
    pytest.param(BYTES, {"body": "iVBORw0KGgo="}, "image/png", b"iVBORw0KGgo=", id="base64"),
    pytest.param(BYTES, {"body": "aGk=", "contentType": "image/gif"}, "image/gif", b"aGk=", id="base64-named"),
]


@pytest.mark.parametrize(("schema", "arguments", "content_type", "content"), OF_RANGES)
@pytest.mark.parametrize("media_range", IMAGES)
async def test_media_type_range(
    recorder: Recorder, media_range: str, schema: Json, arguments: Json, content_type: str, content: bytes
) -> None:
    """`Content-Type` is never a range: it is the file's own, or as its bytes begin, or named."""
    request = await sent(recorder, body(media_range, schema), arguments)
    assert (request.header("content-type"), request.body) == (content_type, content)


@pytest.mark.parametrize("schema", [BINARY, BYTES])
@pytest.mark.parametrize("arguments", [{"body": "data:,hi"}, {"body": "data:text/plain;base64,aGk="}])
async def test_media_type_range_kept(recorder: Recorder, schema: Json, arguments: Json) -> None:
    """A type outside of the range is not sent; the refusal names `contentType`, which takes one within it."""
    assert "give it as contentType" in await refused(recorder, body("image/*", schema), arguments)
    outside = {**arguments, "contentType": "text/plain"}
    assert "/contentType: expected one of image/*" in await refused(recorder, body("image/*", schema), outside)


async def test_media_type_range_beside_another(recorder: Recorder) -> None:
    """A range of files beside JSON can be sent when a type within it is named."""
    content = {"application/json": {"schema": prop(TEXT)}, "image/*": {"schema": BINARY}}
    root = json.dumps(operation(requestBody={"content": content}))
    assert (await sent(recorder, json.loads(root), {"a": "x"})).header("content-type") == "application/json"
    recorder.requests.clear()
    request = await sent(recorder, json.loads(root), {"contentType": "image/png", "body": PNG})
    assert request.header("content-type") == "image/png"


async def test_file_in_oneof_multipart(recorder: Recorder) -> None:
    """A file in a branch of a union says which forms it takes, and is sent as a file."""
    branches = [
        {"type": "object", "required": ["kind"], "properties": {"kind": {"const": kind}, "photo": BINARY, own: TEXT}}
        for kind, own in (("drink", "volume"), ("cake", "calories"))
    ]
    root = json.dumps(body(MULTIPART, {"oneOf": branches}))
    (tool,) = build_tools(api_of(json.loads(root)))
    described = [
        branch["properties"]["photo"]["description"]
        for branch in tool.arguments.schema_of_each["properties"]["body"]["anyOf"]
    ]
    assert all(words.startswith("A file: a data: URI") for words in described)
    assert len(described) == 2
    _, files = form_of(await sent(recorder, json.loads(root), {"body": {"kind": "cake", "photo": PNG}}))
    assert files["photo"] == [PNG_FILE]

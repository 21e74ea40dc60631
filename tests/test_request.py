"""What arrives at a real server, for whatever an operation declares and whatever the arguments are."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from email.message import Message
from http.cookies import SimpleCookie
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.errors import ArgumentsError
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.uploads import Files
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import build_tools
from tests.conftest import Recorder, text_of
from tests.support import api_of, body, document, form_of, operation, refused, request_of, sent, served

PNG = b"\x89PNG\r\n\x1a\n\x00\xff--boundary\r\n"
PNG_URI = "data:image/png;name=dot.png;base64,iVBORw0KGgoA/y0tYm91bmRhcnkNCg=="


def parameters(*declared: dict[str, Any], path: str = "/x", method: str = "get") -> dict[str, Any]:
    """Return a document of one operation with these parameters."""
    return operation(method, path, parameters=list(declared))


OBJECT = {"type": "object"}
TEXT = {"type": "string"}


async def test_a_required_body_of_optional_properties_is_an_empty_object(recorder: Recorder) -> None:
    """A body that is required is sent, also when no argument fills it."""
    request = await sent(recorder, body("application/json", {"type": "object", "properties": {"a": TEXT}}), {})
    assert request.body == b"{}"
    assert request.header("content-type") == "application/json"


async def test_an_optional_body_that_is_absent_leaves_no_trace(recorder: Recorder) -> None:
    """Without arguments for it an optional body is not sent, nor is its Content-Type."""
    root = body("application/json", {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, required=False)
    request = await sent(recorder, root, {})
    assert request.body == b""
    assert request.header("content-type") is None


#: (media type, schema, arguments, JSON that arrives)
JSON_CASES = [
    pytest.param(
        "application/json", {"properties": {"n": {"type": "integer"}}}, {"n": 1.0}, {"n": 1}, id="whole-number"
    ),
    pytest.param("application/json", {"properties": {"n": {}}}, {"n": None}, {"n": None}, id="null-is-a-value"),
    pytest.param("application/merge-patch+json", {"properties": {"a": TEXT}}, {"a": "ü"}, {"a": "ü"}, id="plus-json"),
    pytest.param("application/json", {"type": "array"}, {"body": [1, "a", None]}, [1, "a", None], id="array"),
    pytest.param("application/json", TEXT, {"body": "a"}, "a", id="string"),
    pytest.param("application/json", OBJECT, {"body": {"__proto__": 1}}, {"__proto__": 1}, id="free-form"),
    pytest.param("application/json; charset=utf-8", {"properties": {"a": TEXT}}, {"a": "b"}, {"a": "b"}, id="charset"),
    pytest.param("*/*", {"type": "object"}, {"body": {"a": 1}}, {"a": 1}, id="any-type"),
]


@pytest.mark.parametrize(("media_type", "schema", "arguments", "expected"), JSON_CASES)
async def test_json_bodies(
    recorder: Recorder, media_type: str, schema: dict[str, Any], arguments: dict[str, Any], expected: Any
) -> None:
    """JSON arrives as the same value, under the declared media type; integers never have a point."""
    request = await sent(recorder, body(media_type, schema), arguments)
    assert json.loads(request.body) == expected
    assert b".0" not in request.body
    assert request.header("content-type") == media_type.replace("*/*", "application/json")


MULTIPART_SCHEMA = {
    "type": "object",
    "properties": {
        "text": TEXT,
        "number": {"type": "integer"},
        "object": {"type": "object"},
        "tags": {"type": "array", "items": TEXT},
        "file": {"type": "string", "format": "binary"},
        "files": {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "anything": {},
        "picture": {"type": "string"},
    },
}
MULTIPART_ENCODING = {
    "picture": {"contentType": "image/png", "headers": {"X-Kind": {"schema": {"enum": ["icon"]}}}},
}


async def test_multipart_is_read_by_a_framework(recorder: Recorder) -> None:
    """Every kind of part arrives: text, number, JSON, repeated values, files with name and type, part headers."""
    arguments = {
        "text": "a\r\nb é",
        "number": 3,
        "object": {"a": 1},
        "tags": ["x", "y"],
        "file": PNG_URI,
        "files": ["data:text/plain,one", "data:text/plain,two"],
        "anything": "data:,hello",
        "picture": PNG_URI,
    }
    request = await sent(
        recorder, body("multipart/form-data", MULTIPART_SCHEMA, encoding=MULTIPART_ENCODING), arguments
    )
    values, files = form_of(request)
    assert values == {
        "text": ["a\r\nb é"],
        "number": ["3"],
        "object": ['{"a":1}'],
        "tags": ["x", "y"],
    }
    assert files == {
        "file": [("dot.png", "image/png", PNG)],
        "files": [("file.txt", "text/plain", b"one"), ("file.txt", "text/plain", b"two")],
        "anything": [("file.txt", "text/plain", b"hello")],
        "picture": [("dot.png", "image/png", PNG)],
    }
    assert b"X-Kind: icon" in request.body
    assert b'name="object"\r\nContent-Type: application/json' in request.body


async def test_a_part_cannot_start_another(recorder: Recorder) -> None:
    """Names and file names with quotes and line breaks stay inside their part's header."""
    schema = {"type": "object", "properties": {'a"\r\nX: 1': TEXT, "f": {"type": "string", "format": "binary"}}}
    root = body("multipart/form-data", schema)
    uri = "data:text/plain;name=%22%0D%0AX-Evil: 1;base64,YQ=="
    request = await sent(recorder, root, {"a_X_1": "v", "f": uri})
    assert b"\r\nX" not in request.body


@pytest.mark.parametrize(
    ("media_type", "value", "content_type", "expected"),
    [
        pytest.param("text/plain", "ü\n", "text/plain; charset=utf-8", "ü\n".encode(), id="utf-8"),
        pytest.param("text/plain; charset=iso-8859-1", "ü", "text/plain; charset=iso-8859-1", b"\xfc", id="latin-1"),
        pytest.param("text/csv", "a,b", "text/csv; charset=utf-8", b"a,b", id="csv"),
        pytest.param("application/octet-stream", PNG_URI, "application/octet-stream", PNG, id="bytes"),
        pytest.param("image/*", PNG_URI, "image/png", PNG, id="range"),
        pytest.param("application/pdf", "data:;base64,YQ", "application/pdf", b"a", id="no-padding"),
        pytest.param("application/zip", "data:,a%00b", "application/zip", b"a\x00b", id="percent-encoded"),
    ],
)
async def test_text_and_binary_bodies(
    recorder: Recorder, media_type: str, value: str, content_type: str, expected: bytes
) -> None:
    """Text arrives in its charset and bytes as they are, each with the right Content-Type."""
    request = await sent(recorder, body(media_type, TEXT), {"body": value})
    assert (request.header("content-type"), request.body) == (content_type, expected)


async def test_xml_follows_the_hints(recorder: Recorder) -> None:
    """Names, attributes, wrapped arrays and namespaces of the `xml` hints are in the document that arrives."""
    schema = {
        "type": "object",
        "xml": {"name": "pet", "namespace": "urn:pets", "prefix": "p"},
        "properties": {
            "id": {"type": "integer", "xml": {"attribute": True}},
            "name": TEXT,
            "photos": {
                "type": "array",
                "xml": {"wrapped": True},
                "items": {"type": "string", "xml": {"name": "photo"}},
            },
            "tags": {"type": "array", "items": {"type": "string", "xml": {"name": "tag"}}},
        },
    }
    arguments = {"id": 7, "name": "<Rex> & co", "photos": ["a", "b"], "tags": ["x", "y"]}
    request = await sent(recorder, body("application/xml", schema), arguments)
    root = ET.fromstring(request.body)  # noqa: S314  # what this project wrote itself
    assert root.tag == "{urn:pets}pet"
    assert root.attrib == {"id": "7"}
    assert root.findtext("name") == "<Rex> & co"
    assert [photo.text for photo in root.findall("photos/photo")] == ["a", "b"]
    assert [tag.text for tag in root.findall("tag")] == ["x", "y"]


async def test_base64_properties_take_files(recorder: Recorder) -> None:
    """A property of base64 takes base64 as it is, and a file as its base64."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "format": "byte"}, "b": {"contentEncoding": "base64"}},
    }
    request = await sent(recorder, body("application/json", schema), {"a": "YQ==", "b": "data:,abc"})
    assert json.loads(request.body) == {"a": "YQ==", "b": "YWJj"}


async def test_files_come_from_allowed_folders_only(recorder: Recorder, tmp_path: Path) -> None:
    """A path or file URI below an allowed folder is sent with name and type; links out of it and `..` are refused."""
    allowed, secret = tmp_path / "allowed", tmp_path / "secret.txt"
    (allowed / "sub").mkdir(parents=True)
    (allowed / "sub" / "ü x.png").write_bytes(PNG)
    (allowed / "link.txt").symlink_to(secret)
    (allowed / "inside.png").symlink_to(allowed / "sub" / "ü x.png")
    secret.write_text("SECRET")
    root = body("multipart/form-data", {"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}})
    for value in (
        "../secret.txt",
        str(secret),
        secret.as_uri(),
        "link.txt",
        "sub/../../secret.txt",
        "nothing",
        "sub",
        "a\0b",
    ):
        said = await refused(recorder, root, {"f": value}, (allowed,))
        assert "/f" in said
        assert "SECRET" not in said
    for value in ("sub/ü x.png", (allowed / "sub" / "ü x.png").as_uri(), str(allowed / "inside.png")):
        _, files = form_of(await sent(recorder, root, {"f": value}, (allowed,)))
        assert files == {"f": [("ü x.png", "image/png", PNG)]}
        recorder.requests.clear()


async def test_a_very_large_file_is_not_sent(recorder: Recorder, tmp_path: Path) -> None:
    """A file of more than 512 MiB is refused by its size, unread."""
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(512 * 1024 * 1024 + 1)
    said = await refused(recorder, body("application/octet-stream", TEXT), {"body": "large.bin"}, (tmp_path,))
    assert "at most 536870912 are sent" in said


async def test_no_folder_is_allowed_by_default(recorder: Recorder, tmp_path: Path) -> None:
    """Without the setting no file is read, and the refusal names the setting."""
    file = tmp_path / "a.txt"
    file.write_text("SECRET")
    said = await refused(recorder, body("application/octet-stream", TEXT), {"body": str(file)})
    assert "OPEN_MCP_FILES" in said
    assert "--files" in said
    assert "data:,TEXT" in said


async def test_text_of_a_type_that_is_not_known_as_text(recorder: Recorder) -> None:
    """Where a file is expected, text itself is sent as what the description and each refusal name, to the character."""
    root = body("application/vnd.flux", TEXT)
    assert "data:,TEXT" in await refused(recorder, root, {"body": "from(bucket: 1)"})
    request = await sent(recorder, root, {"body": "data:,from(bucket: 1) |> é;a,b#c?d"})
    assert (request.header("content-type"), request.body.decode()) == (
        "application/vnd.flux",
        "from(bucket: 1) |> é;a,b#c?d",
    )


async def test_the_schema_tells_what_a_file_takes(recorder: Recorder) -> None:
    """A binary argument says in its description which forms it takes and how large a file may be."""
    async with served(body("application/octet-stream", TEXT), Settings(base_url=recorder.url)) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
    described = tools["op"].input_schema["properties"]["body"]
    assert described["type"] == "string"
    assert "data: URI" in described["description"]
    assert "512 MB" in described["description"]


#: (parameter, value, what a reader of the standard library finds in the query)
QUERY_CASES = [
    pytest.param({"schema": {}}, "a b&c=d#é+%", [("q", "a b&c=d#é+%")], id="hostile-text"),
    pytest.param({"schema": {}}, "", [("q", "")], id="empty"),
    pytest.param({"schema": {}}, True, [("q", "true")], id="boolean"),
    pytest.param({"schema": {}}, ["a", "b"], [("q", "a"), ("q", "b")], id="explode-by-default"),
    pytest.param({"schema": {}, "explode": False}, ["a", "b"], [("q", "a,b")], id="comma"),
    pytest.param({"schema": {}, "style": "deepObject"}, {"a": {"b": 1}}, [("q[a][b]", "1")], id="deep"),
    pytest.param({"content": {"application/json": {"schema": {}}}}, {"a": [1]}, [("q", '{"a":[1]}')], id="json"),
    pytest.param({"schema": {}, "allowEmptyValue": True}, None, [("q", "")], id="allow-empty"),
    pytest.param({"schema": {}}, None, [], id="null-is-undefined"),
    pytest.param({"schema": {}}, {"x": 1, "y": "z"}, [("x", "1"), ("y", "z")], id="object"),
]


@pytest.mark.parametrize(("declared", "value", "expected"), QUERY_CASES)
async def test_queries(
    recorder: Recorder, declared: dict[str, Any], value: Any, expected: list[tuple[str, str]]
) -> None:
    """A query parameter is read back by the standard library as the style says."""
    request = await sent(recorder, parameters({"name": "q", "in": "query", **declared}), {"q": value})
    assert parse_qsl(urlsplit(request.target).query, keep_blank_values=True, strict_parsing=bool(expected)) == expected


async def test_a_whole_query_from_one_argument(recorder: Recorder) -> None:
    """`in: querystring` writes the whole query from one value."""
    declared = {"in": "querystring", "name": "q", "content": {"application/x-www-form-urlencoded": {"schema": OBJECT}}}
    request = await sent(recorder, parameters(declared), {"q": {"a": "x y", "b": [1, 2]}})
    assert parse_qs(urlsplit(request.target).query) == {"a": ["x y"], "b": ["1", "2"]}


CONTENT_CASES = [
    pytest.param("query", "application/json", "x", "/x?p=%22x%22", id="text-as-JSON"),
    pytest.param("query", "text/plain", "x y", "/x?p=x%20y", id="text"),
    pytest.param("query", "application/x-www-form-urlencoded", {"a": "x y"}, "/x?p=a%3Dx%2By", id="form"),
    pytest.param(
        "querystring", "application/json", {"a": "&"}, "/x?%7B%22a%22%3A%22%26%22%7D", id="whole-query-as-JSON"
    ),
    pytest.param("querystring", "application/jsonpath", "$.a[1:1]", "/x?%24.a%5B1%3A1%5D", id="whole-query-as-text"),
]


@pytest.mark.parametrize(("location", "media_type", "value", "target"), CONTENT_CASES)
async def test_parameters_by_content(
    recorder: Recorder, location: str, media_type: str, value: Any, target: str
) -> None:
    """A parameter with `content` is written by its media type and escaped as a whole."""
    root = parameters({"name": "p", "in": location, "content": {media_type: {"schema": {}}}})
    assert (await sent(recorder, root, {"p": value})).target == target


async def test_a_whole_query_follows_its_encoding(recorder: Recorder) -> None:
    """The `encoding` of a whole query counts as in a form."""
    form = {"schema": OBJECT, "encoding": {"a": {"style": "deepObject"}}}
    root = parameters({"name": "p", "in": "querystring", "content": {"application/x-www-form-urlencoded": form}})
    assert (await sent(recorder, root, {"p": {"a": {"b": 1}}})).target == "/x?a%5Bb%5D=1"


async def test_an_empty_value_is_allowed(recorder: Recorder) -> None:
    """`allowEmptyValue` lets a parameter of any type be empty."""
    root = parameters({"name": "p", "in": "query", "allowEmptyValue": True, "schema": {"type": "integer"}})
    assert (await sent(recorder, root, {"p": ""})).target == "/x?p="
    assert "/p: " in await refused(Recorder(recorder.url), root, {"p": "a"})


#: A path template that is more than a path, the parameters beside the query parameter `p`, and what is sent for `y`.
PATHS = [
    ("/x?fixed=1", [], "/x?fixed=1&p=y"),
    ("/x?p={p}", [], "/x?p=y"),
    ("/x?run&p={p}&fixed=1", [], "/x?run&fixed=1&p=y"),
    ("/x?q={other}", [{"name": "other", "in": "query", "schema": TEXT}], "/x?p=y"),
    ("/x?q={undeclared}", [], "/x?q=u%26v&p=y"),
    ("/x?p=constant&fixed=1", [], "/x?fixed=1&p=y"),
    ("/x#Action=A", [], "/x?p=y"),
    ("/#X-Amz-Target={p}", [], "/?p=y"),
    ("/x?fixed=1#env", [], "/x?fixed=1&p=y"),
]


@pytest.mark.parametrize(("path", "others", "target"), PATHS)
async def test_a_path_may_have_more_than_a_path(
    recorder: Recorder, path: str, others: list[dict[str, Any]], target: str
) -> None:
    """A query in a path template is sent once, and a fragment, which only tells templates apart, is not."""
    root = parameters({"name": "p", "in": "query", "schema": TEXT}, *others, path=path)
    arguments = {"p": "y"} | ({"undeclared": "u&v"} if "undeclared" in path else {})
    assert (await sent(recorder, root, arguments)).target == target


async def test_fragments_tell_operations_apart(recorder: Recorder) -> None:
    """Operations whose paths differ by a fragment alone are tools of different names, sent to the same path."""
    item: dict[str, Any] = {"post": {"responses": {}}}
    root = document({f"/#X-Amz-Target=Logs.{name}": item for name in ("Get", "Put")})
    async with served(root, Settings(base_url=recorder.url)) as client:
        names = [tool.name for tool in await client.list_tools() if "amz" in tool.name]
        for name in names:
            await client.call_tool(name, {})
    assert names == ["post_x_amz_target_logs_get", "post_x_amz_target_logs_put"]
    assert [request.target for request in recorder.requests] == ["/", "/"]


HOSTILE = ["a/b", "a?b", "a#b", "a%2Fb", "a b", "é", "..a", "a;b=c", "{x}", "\\", "a\r\nb", "%"]


@pytest.mark.parametrize("value", HOSTILE)
async def test_a_path_value_is_one_segment(recorder: Recorder, value: str) -> None:
    """Whatever a path value holds, it arrives as the one segment that it is."""
    root = parameters({"name": "id", "in": "path", "required": True, "schema": TEXT}, path="/a/{id}/z")
    request = await sent(recorder, root, {"id": value})
    empty, first, segment, last = request.target.split("/")
    assert (empty, first, unquote(segment), last) == ("", "a", value, "z")


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_path_value_that_leads_elsewhere_is_refused(recorder: Recorder, value: str) -> None:
    """Dot segments and empty segments are other endpoints: they are refused and name the argument."""
    root = parameters({"name": "id", "in": "path", "required": True, "schema": TEXT}, path="/a/{id}/z")
    assert "/id: " in await refused(recorder, root, {"id": value})


async def test_several_variables_in_a_segment(recorder: Recorder) -> None:
    """A segment may have several variables, and only the whole of it must not be a dot segment."""
    declared = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in ("a", "b")]
    request = await sent(recorder, parameters(*declared, path="/x/{a}.{b}:go"), {"a": "1", "b": "."})
    assert request.target == "/x/1..:go"


async def test_headers_and_cookies(recorder: Recorder) -> None:
    """Header and cookie parameters arrive as their styles say, JSON as JSON in ASCII."""
    root = parameters(
        {"name": "X-List", "in": "header", "schema": {"type": "array"}},
        {"name": "X-Json", "in": "header", "content": {"application/json": {"schema": {}}}},
        {"name": "X-Flag", "in": "header", "schema": {"type": "boolean"}},
        {"name": "session", "in": "cookie", "schema": TEXT},
        {"name": "other", "in": "cookie", "schema": TEXT},
    )
    arguments = {"X-List": ["a", 1], "X-Json": {"é": 1}, "X-Flag": False, "session": "a;b é", "other": "x"}
    request = await sent(recorder, root, arguments)
    assert request.header("x-list") == "a,1"
    assert json.loads(request.header("x-json") or "") == {"é": 1}
    assert request.header("x-flag") == "false"
    jar = {name: unquote(morsel.value) for name, morsel in SimpleCookie(request.header("cookie")).items()}
    assert jar == {"session": "a;b é", "other": "x"}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", " a", "a ", "a\x7f"])
async def test_a_header_value_cannot_split_the_header(recorder: Recorder, value: str) -> None:
    """A value that HTTP would read as more than itself, or change, is refused and names the argument."""
    root = parameters({"name": "X-A", "in": "header", "schema": TEXT})
    assert "/X-A: " in await refused(recorder, root, {"X-A": value})


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept"])
async def test_headers_of_the_connection_are_not_arguments(recorder: Recorder, name: str) -> None:
    """Headers that follow from the request itself are no arguments, and no operation asks for them."""
    root = parameters({"name": name, "in": "header", "required": True, "schema": TEXT})
    assert name in await refused(recorder, root, {name: "x"})
    await sent(recorder, root, {})


async def test_a_parameter_never_takes_the_place_of_a_credential(recorder: Recorder) -> None:
    """An argument for the place of a configured credential is refused; where none is configured, it is sent."""
    for location in ("header", "query", "cookie"):
        root = parameters({"name": "Api-Key", "in": location, "required": True, "schema": TEXT})
        root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": location, "name": "Api-Key"}}}
        root["security"] = [{"key": []}, {}]
        async with served(root, Settings(base_url=recorder.url, environ={"API_KEY": "MARKER"})) as client:
            result = await client.call_tool("op", {"Api-Key": "mine"}, raise_on_error=False)
            assert result.is_error
            assert "/Api-Key" in text_of(result)
            assert "MARKER" not in text_of(result)
            assert not (await client.call_tool("op", {}, raise_on_error=False)).is_error
        async with served(root, Settings(base_url=recorder.url)) as client:
            assert not (await client.call_tool("op", {"Api-Key": "mine"}, raise_on_error=False)).is_error
        with_key, with_argument = recorder.requests
        recorder.requests.clear()
        assert "MARKER" in str(with_key)
        assert "mine" in str(with_argument)


@pytest.mark.parametrize(
    ("location", "own"), [("query", "p"), ("cookie", "p"), ("querystring", "p"), ("querystring", "Api-Key")]
)
async def test_a_member_never_takes_the_place_of_another(recorder: Recorder, location: str, own: str) -> None:
    """A member of an exploded object is refused that would be read as a credential or as another parameter."""
    form = {"content": {"application/x-www-form-urlencoded": {"schema": OBJECT}}}
    written = form if location == "querystring" else {"schema": OBJECT, "explode": True}
    place = "query" if location == "querystring" else location
    others = [] if location == "querystring" else [{"name": "limit", "in": place, "schema": TEXT}]
    root = parameters({"name": own, "in": location, **written}, *others)
    root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": place, "name": "Api-Key"}}}
    root["security"] = [{"key": []}]
    async with served(root, Settings(base_url=recorder.url, environ={"API_KEY": "MARKER"})) as client:
        for name in ("Api-Key", *(other["name"] for other in others)):
            result = await client.call_tool("op", {own: {name: "mine"}}, raise_on_error=False)
            assert result.is_error
            assert f"/{own}: '{name}' in it would be taken for the {place} parameter" in text_of(result)
        assert recorder.requests == []
        assert not (await client.call_tool("op", {own: {"other": "mine"}}, raise_on_error=False)).is_error


async def test_cookies_in_a_header_are_no_way_around_a_credential(recorder: Recorder) -> None:
    """A header parameter for all cookies joins the others, and is refused where a credential is one of them."""
    cookies = {"name": "Cookie", "in": "header", "required": True, "schema": TEXT}
    root = parameters(cookies, {"name": "c", "in": "cookie", "schema": TEXT})
    assert (await sent(recorder, root, {"Cookie": "a=b; d=e", "c": "x"})).header("cookie") == "a=b; d=e; c=x"
    root["components"] = {"securitySchemes": {"key": {"type": "apiKey", "in": "cookie", "name": "key"}}}
    root["security"] = [{"key": []}]
    async with served(root, Settings(base_url=recorder.url, environ={"KEY": "MARKER"})) as client:
        assert (await client.call_tool("op", {"Cookie": "key=mine"}, raise_on_error=False)).is_error
        assert not (await client.call_tool("op", {}, raise_on_error=False)).is_error


async def test_a_credential_for_all_cookies_joins_the_others(recorder: Recorder) -> None:
    """A request has one `Cookie` header, also where the document declares the credential as that header."""
    root = parameters({"name": "c", "in": "cookie", "schema": TEXT})
    root["components"] = {"securitySchemes": {"session": {"type": "apiKey", "in": "header", "name": "Cookie"}}}
    root["security"] = [{"session": []}]
    async with served(root, Settings(base_url=recorder.url, environ={"COOKIE": "session=MARKER"})) as client:
        assert not (await client.call_tool("op", {"c": "x"}, raise_on_error=False)).is_error
    assert recorder.requests[0].header("cookie") == "c=x; session=MARKER"


async def test_a_document_may_name_the_user_agent(recorder: Recorder) -> None:
    """An argument for `User-Agent` is sent instead of our own name, not beside it."""
    root = parameters({"name": "User-Agent", "in": "header", "schema": TEXT})
    assert (await sent(recorder, root, {"User-Agent": "me"})).header("user-agent") == "me"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(values=st.fixed_dictionaries(dict.fromkeys(("path", "query", "header", "cookie", "body"), ANY_JSON)))
def test_no_value_reaches_another_place(values: dict[str, Any]) -> None:
    """For any values at all: the request is refused, or has exactly one segment, the declared names and no other."""
    declared = [
        {"name": "path", "in": "path", "required": True, "schema": {}},
        {"name": "query", "in": "query", "schema": {}, "style": "form", "explode": False},
        {"name": "header", "in": "header", "schema": {}},
        {"name": "cookie", "in": "cookie", "schema": {}, "explode": False},
    ]
    root = operation(
        path="/a/{path}/z",
        parameters=declared,
        requestBody={"content": {"application/json": {"schema": {"properties": {"body": {}}}}}},
        servers=[{"url": "http://api.test/v1"}],
    )
    (tool,) = build_tools(api_of(root))
    credential = Credential("KEY", "header", "x-key", "MARKER")
    try:
        tool.validate(values)
        url = base_url(tool.name, tool.operation.servers, None, "")
        written = request_of(tool, values, [credential], url, Sources(Shapes(root), Files()))
        request = written.to_httpx()
    except ArgumentsError:
        return
    assert request.url.host == "api.test"
    assert len(request.url.raw_path.partition(b"?")[0].split(b"/")) == 5
    names = {name for name, _ in parse_qsl(request.url.query.decode(), keep_blank_values=True)}
    assert names <= {"query"}
    own = {"host", "accept", "user-agent", "content-type", "content-length", "header", "cookie", "x-key"}
    assert {name.lower() for name in request.headers} <= own
    assert request.headers["x-key"] == "MARKER"
    assert json.loads(request.content) == {"body": values["body"]}


#: Texts that have led somewhere else, in one program or another.
NASTY = [
    *("\r\nX-Evil: 1", "\n", "\0", "../../admin", "%2e%2e", "%2e%2e/%2e%2e", "..%2fadmin", "//evil.test/x"),
    *("@evil.test", "\\\\evil.test", "a;b=c", "a&evil=1", "a#b?evil=1", "+", "%", "%00", "%0d%0aX-Evil: 1"),
    *("\u2028", "\x85", "\u202e", "{path}", "; evil=1", '"; evil="1', "a, b", "[evil]", "=evil", "--"),
    *('"\r\n\r\n--', "\ud800", "é" * 3000, "Bearer x", "http://evil.test/"),
]


#: Where a parameter can stand, and in which styles.
PLACES = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}


@pytest.mark.slow
@pytest.mark.parametrize("explode", [False, True])
@pytest.mark.parametrize("location", PLACES)
def test_nothing_nasty_reaches_another_place(location: str, explode: bool) -> None:
    """A text, alone, as an item, and as the name and value of a member, is refused or arrives in its own place only."""
    path, arrived = ("/a/{p}/z" if location == "path" else "/a"), 0
    for style, allow_reserved in product(PLACES[location], (False, True)):
        declared = {"name": "p", "in": location, "required": True, "style": style, "explode": explode, "schema": {}}
        root = parameters({**declared, "allowReserved": allow_reserved}, path=path)
        for text in NASTY:
            for value in (text, [text, "x"], {"k": text}, {text: "x"}):
                with suppress(ArgumentsError):
                    request = _written(root, {"p": value})
                    assert_in_place(request, location, [*value] if isinstance(value, dict) else ["p"])
                    arrived += 1
    assert arrived > len(NASTY)


def _written(root: dict[str, Any], arguments: dict[str, Any]) -> httpx.Request:
    (tool,) = build_tools(api_of(root))
    credential = Credential("KEY", "header", "x-key", "MARKER")
    sources = Sources(Shapes(root), Files())
    return request_of(tool, arguments, [credential], "http://api.test/v1", sources).to_httpx()


def assert_in_place(request: httpx.Request, location: str, members: list[str]) -> None:
    """See that a request has nothing but what the one parameter in `location`, or its members, can be."""
    assert (request.url.scheme, request.url.host, request.url.fragment) == ("http", "api.test", "")
    target = request.url.raw_path.decode("ascii")
    path, _, query = target.partition("?")
    segments = path.split("/")
    assert len(segments) == (5 if location == "path" else 3)
    assert not {unquote(segment) for segment in segments} & {".", ".."}
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    assert names <= ({"p", "p[]", *members, *(f"p[{member}]" for member in members)} if location == "query" else set())
    raw = {name.lower(): text for name, text in request.headers.raw}
    assert set(raw) <= {b"host", b"accept", b"user-agent", b"x-key", *([b"p"] if location == "header" else [])} | (
        {b"cookie"} if location == "cookie" else set()
    )
    assert not any(byte in text for text in raw.values() for byte in b"\r\n\0")
    assert raw[b"x-key"] == b"MARKER"
    cookies = [cookie.partition("=")[0] for cookie in raw.get(b"cookie", b"").decode("ascii").split(";")]
    assert {name.strip() for name in cookies if unquote(name.strip()) not in {"p", *members, ""}} <= {*members}


def test_half_a_character_is_refused() -> None:
    """Text that UTF-8 cannot hold is refused in words."""
    root = parameters({"name": "q", "in": "query", "schema": TEXT})
    (tool,) = build_tools(api_of(root))
    with pytest.raises(ArgumentsError, match="surrogate"):
        request_of(tool, {"q": "\ud800"}, [], "http://api.test", Sources(Shapes(root), Files()))


def test_accept_follows_from_the_declared_answers() -> None:
    """The Accept header names the media types of the declared answers, successes first."""
    responses = {
        "400": {"description": "", "content": {"application/problem+json": {}}},
        "200": {"description": "", "content": {"image/png": {}, "application/json": {}}},
    }
    (tool,) = build_tools(api_of(operation("get", responses=responses)))
    written = request_of(tool, {}, [], "http://api.test", Sources(Shapes({}), Files()))
    headers = Message()
    for name, value in written.headers:
        headers[name] = value.decode()
    assert headers["accept"] == "image/png, application/json, application/problem+json, */*;q=0.1"
    assert headers["user-agent"].startswith("portkey-bridge/")


READ_ONLY = {"type": "string", "readOnly": True}
LOCATIONS = [("id", "path"), ("q", "query"), ("X-H", "header")]


@pytest.mark.parametrize("schema", [READ_ONLY, {"allOf": [READ_ONLY]}, {"$ref": "#/components/schemas/Id"}])
async def test_read_only_at_the_top_of_a_parameter_or_body_means_nothing(
    recorder: Recorder, schema: dict[str, Any]
) -> None:
    """`readOnly` says something of properties (OpenAPI 3.0.4, 4.7.24.2): parameters and whole bodies are sent."""
    root = operation(
        path="/x/{id}",
        parameters=[{"name": name, "in": location, "required": True, "schema": schema} for name, location in LOCATIONS],
        requestBody={"required": True, "content": {"text/plain": {"schema": schema}}},
    )
    root["components"] = {"schemas": {"Id": READ_ONLY}}
    request = await sent(recorder, root, {"id": "1", "q": "2", "X-H": "3", "body": "4"})
    assert (request.target, request.header("x-h"), request.body) == ("/x/1?q=2", "3", b"4")


@pytest.mark.parametrize("required", [[], ["kind"]])
async def test_a_property_that_one_part_of_all_of_has_as_writable_is_offered(
    recorder: Recorder, required: list[str]
) -> None:
    """What is `readOnly` in one part of an `allOf`, and declared as writable by another, may be sent or left out."""
    first = {"type": "object", "properties": {"kind": READ_ONLY, "id": READ_ONLY}}
    second = {"properties": {"kind": {"type": "string"}}, "required": required}
    root = body("application/json", {"type": "object", "properties": {"tag": {"allOf": [first, second]}}})
    request = await sent(recorder, root, {"tag": {"kind": "a"}})
    assert json.loads(request.body) == {"tag": {"kind": "a"}}
    recorder.requests.clear()
    assert json.loads((await sent(recorder, root, {"tag": {}})).body) == {"tag": {}}


@pytest.mark.parametrize("method", ["purge", "COPY", "x-Sync"])
async def test_an_additional_method_is_sent_as_it_is_written(recorder: Recorder, method: str) -> None:
    """The name of an additional operation is the method with the same capitals (OpenAPI 3.2 section 4.9.1)."""
    item = {"additionalOperations": {method: {"operationId": "op", "responses": {}}}}
    shown = request_of(build_tools(api_of(document({"/x": item}, "3.2.0")))[0], {}).to_httpx()
    assert shown.method == method


async def test_a_url_of_any_length_is_a_clear_refusal(recorder: Recorder) -> None:
    """A query beyond what a client or server takes is refused with its length, also where it is only shown."""
    root = operation("get", parameters=[{"name": "q", "in": "query", "schema": {"type": "string"}}])
    assert "characters, more than a server takes" in await refused(recorder, root, {"q": "x" * 70_000})


async def test_a_slow_check_blocks_no_other_call(recorder: Recorder) -> None:
    """While the patterns of one call are matched, others are answered; the call itself is sent, not refused."""
    slow = {"allOf": [{"pattern": f"^(a+)+(b|a)*(a|a)*{number}$"} for number in range(100)]}
    content = {"application/json": {"schema": {"type": "object", "properties": {"x": {"type": "string", **slow}}}}}
    slowly = {"operationId": "slowly", "responses": {}, "requestBody": {"content": content}}
    root = document({"/slow": {"post": slowly}, "/fast": {"get": {"operationId": "fast", "responses": {}}}})
    async with served(root, Settings(base_url=recorder.url)) as client:
        waiting = asyncio.create_task(client.call_tool("slowly", {"x": "a" * 40}))
        for _ in range(5):
            await client.call_tool("fast", {})
        assert not waiting.done()
        assert not (await waiting).is_error
    assert [request.target for request in recorder.requests] == [*["/fast"] * 5, "/slow"]


@pytest.mark.parametrize(
    ("schema", "accepted"),
    [({"type": "object"}, True), ({"type": "object", "minProperties": 1}, False), ({"type": "array"}, False)],
)
async def test_a_required_body_that_may_be_empty_is_an_empty_object(
    recorder: Recorder, schema: dict[str, Any], accepted: bool
) -> None:
    """A call without arguments sends `{}` where nothing but an object without properties can be meant."""
    root = body("application/json", schema)
    if accepted:
        assert (await sent(recorder, root, {})).body == b"{}"
    else:
        assert "/body: is required but missing" in await refused(recorder, root, {})

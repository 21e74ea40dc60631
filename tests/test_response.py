"""An answer of any kind becomes the content that helps most, and nothing of it is lost."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.openapi.model import Operation
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.conformance import findings
from portkey_bridge.response.headers import declared_error
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import Results
from portkey_bridge.response.tool_result import (
    AudioContent,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    ToolResult,
)
from portkey_bridge.settings.values import Bounds

ROOT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/things/{id}": {
            "get": {
                "responses": {
                    "200": {
                        "description": "It.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "404": {"$ref": "#/components/responses/Missing"},
                    "5XX": {"description": "It is our\n fault."},
                    "default": {"description": "Something else."},
                }
            }
        }
    },
    "components": {
        "responses": {"Missing": {"description": "No such thing."}},
        "schemas": {"Thing": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}},
    },
}
OPERATION: Operation = read_api(ROOT, "").operations[0]
LIMIT = 2000
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def answer(body: bytes, media_type: str | None = "application/json", status: int = 200, **headers: str) -> Answer:
    """Return an answer; names of headers are written with `_`."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    declared = [("content-type", media_type)] if media_type is not None else []
    return Answer(status, "", httpx.Headers([*declared, *named], encoding="utf-8"), body)


def rendered(given: Answer, *files: Path) -> ToolResult:
    """Render an answer as a call would."""
    return Renderer(LIMIT, Results(Bounds()), files).render(OPERATION, given)


def texts(result: ToolResult) -> list[str]:
    """Return the texts of a result."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


#: Bodies of JSON whose text a reader could change
EXACT = [
    b'{"b": 1, "a": 2}',
    b'{"n": 123456789012345678901234567890}',
    b'{"n": 0.1000000000000000055511151231257827}',
    b'{"n": 1e400, "m": -0, "k": 1.0, "z": 1E5}',
    b'{\n  "spaced" :  [ 1 ,2 ]\n}\n',
    b'"\\u00e9\\/"',
    '{"é": "\\ud83d\\ude00 😀"}'.encode(),
    b"[1, 2]",
    b"null",
]


@pytest.mark.parametrize("body", EXACT)
def test_json_passes_through_as_it_was_sent(body: bytes) -> None:
    """The text is the API's own: order, spaces, digits and escapes."""
    assert texts(rendered(answer(body))) == [body.decode()]


#: body, structured content: objects only, and only where every number is the same there
STRUCTURED = [
    (b'{"a": [1, null, {"b": 0.1}], "n": 123456789012345678901234567890, "x": 1.10}', True),
    (b'{"x": 1e22, "y": 1.0, "z": -0.0}', True),
    (b"[1]", False),
    (b'"text"', False),
    (b'{"n": 0.1000000000000000055511151231257827}', False),
    (b'{"n": 1e400}', False),
    (b'{"n": 1e999999999999999999999}', False),
    (b'{"n": ' + b"9" * 1500 + b".5}", False),
    (b'{"a":' * 300 + b"1" + b"}" * 300, False),
]


@pytest.mark.parametrize(("body", "structured"), STRUCTURED)
def test_objects_are_structured_content_where_nothing_changes(body: bytes, structured: bool) -> None:
    """An object is given as a value too, unless a number or its depth would not survive."""
    result = rendered(answer(body))
    assert result.structured_content == (json.loads(body) if structured else None)
    assert texts(result) == [body.decode()]


@pytest.mark.slow
@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=3), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_no_number_changes_in_structured_content(value: dict[str, Any]) -> None:
    """Whatever Python writes and reads exactly is structured content with the same numbers."""
    assert rendered(answer(json.dumps(value).encode())).structured_content == value


#: media type, body, text, part of the note
TEXTS: list[tuple[str | None, bytes, str, str]] = [
    ("text/plain", b"plain", "plain", ""),
    ("text/plain; charset=iso-8859-1", b"caf\xe9", "café", ""),
    ("text/html; charset=utf-16", "né".encode("utf-16"), "né", ""),
    ("text/plain; charset=nonsense", "né".encode(), "né", "nonsense"),
    ("text/plain; charset=punycode", b"plain", "plain", "punycode"),
    ("text/plain", b"caf\xe9!", "café!", "not valid UTF-8; decoded as windows-1252"),
    ("text/plain", "né".encode() + b"\xe9!", "né\ufffd!", "not valid utf-8; undecodable bytes"),
    ("text/plain; charset=utf-8", b"caf\xe9!", "caf\ufffd!", "not valid utf-8; undecodable bytes"),
    ("text/plain; charset=ascii", "né".encode(), "né", "not in the charset 'ascii', but in utf-8"),
    ("text/plain", "né".encode("utf-16"), "né", ""),
    ("text/plain; charset=iso-8859-1", "\ufeffné".encode(), "né", ""),
    ("text/html", '<meta charset="iso-8859-1">é'.encode("latin-1"), '<meta charset="iso-8859-1">é', ""),
    ("text/html", '<meta charset="iso-8859-1">é'.encode(), '<meta charset="iso-8859-1">é', ""),
    (
        "application/xml",
        '<?xml version="1.0" encoding="cp1251"?>ж'.encode("cp1251"),
        '<?xml version="1.0" encoding="cp1251"?>ж',
        "",
    ),
    ("application/json; charset=iso-8859-1", '{"a": "é"}'.encode("latin-1"), '{"a": "é"}', ""),
    ("application/json", '{"a": "é"}'.encode("latin-1"), '{"a": "é"}', "decoded as windows-1252"),
    ("application/json, application/json", b"[1]", "[1]", ""),
    ("application/octet-stream", b"a,b\n1,2\n", "a,b\n1,2\n", ""),
    ("application/octet-stream", b'{"a": 1}', '{"a": 1}', "declared as application/octet-stream"),
    ("application/vnd.github.raw", b"# words", "# words", ""),
    ("multipart/mixed; boundary=x", b"--x\r\n\r\n1\r\n--x--", "--x\r\n\r\n1\r\n--x--", ""),
    ("application/x-ndjson", b'{"a": 1}\n{"a": 2}', '{"a": 1}\n{"a": 2}', ""),
    ("application/pgp-keys", b"-----BEGIN PGP", "-----BEGIN PGP", ""),
    ("application/x-subrip", "1\n00:00 --> 00:01\né".encode(), "1\n00:00 --> 00:01\né", ""),
    ("model/obj", b"v 0 0 1\n", "v 0 0 1\n", ""),
    ("font/collection", b'{"a": 1}', '{"a": 1}', "declared as font/collection"),
    ("application/dicom; charset=iso-8859-1", b"caf\xe9", "café", ""),
    ("chemical/x-pdb", "né".encode("utf-16"), "né", ""),
    ("image/png", b"no such picture", "no such picture", "declared as image/png"),
    ("image/png", b"<!doctype html>sign in", "<!doctype html>sign in", "declared as image/png"),
    ("audio/mpeg", b'{"error": "busy"}', '{"error": "busy"}', "declared as audio/mpeg"),
    ("application/json", b'{"a": ', '{"a": ', "not JSON"),
    ("application/json", b"NaN", "NaN", "not JSON"),
    ("application/json", b"<html>Bad gateway</html>", "<html>Bad gateway</html>", "not JSON"),
    ("application/json", b"[" * 500, "[" * 500, ""),
    ("application/json", b"\xef\xbb\xbf{}", "{}", ""),
    ("application/json", '{"a": "é"}'.encode("utf-16"), '{"a": "é"}', ""),
    ("text/plain", b'{"a": 1}', '{"a": 1}', "declared as text/plain"),
    (None, b'{"a": 1}', '{"a": 1}', "declared as nothing"),
    (None, b"words", "words", ""),
    ("nonsense", b"words", "words", ""),
    ("application/xml", b"<a/>", "<a/>", ""),
    ("application/atom+xml", b"<a/>", "<a/>", ""),
    ("image/svg+xml", b"<svg/>", "<svg/>", ""),
    ("application/problem+json", b"[1]", "[1]", ""),
    ("APPLICATION/JSON ; Charset=UTF-8", b"[1]", "[1]", ""),
]


@pytest.mark.parametrize(("media_type", "body", "expected", "note"), TEXTS)
def test_text_survives_what_is_said_about_it(media_type: str | None, body: bytes, expected: str, note: str) -> None:
    """Wrong or missing types and charsets cost a note, never the text."""
    text, *notes = texts(rendered(answer(body, media_type)))
    assert text == expected
    assert note in "".join(notes)
    assert bool(note) <= bool(notes)


@pytest.mark.parametrize("declared", ["text/plain", "text/plain; charset=iso-8859-1", "application/json", "text/xml"])
@pytest.mark.parametrize(("body", "kind"), [(PNG, "image/png"), (b"\x08\x96\x01", "application/octet-stream")])
def test_a_file_that_is_declared_as_text_is_a_file(declared: str, body: bytes, kind: str) -> None:
    """Bytes that no text has are not shown as text: a picture is one, anything else a blob, with a remark."""
    first, remark = rendered(answer(body, declared)).content
    shown = first.resource if isinstance(first, EmbeddedResource) else first
    assert isinstance(shown, BlobResourceContents if kind == "application/octet-stream" else ImageContent)
    assert shown.mime_type == kind
    assert isinstance(remark, TextContent)
    assert "is not text" in remark.text


@pytest.mark.parametrize(
    ("body", "declared", "shown"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/png", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/jpg", "image/webp"),
        (b"\x00\x00\x00\x18ftypheic\x00", "image/heic", None),
        (b"II*\x00\x00", "image/tiff", None),
        (b"\x00\x00\x01\x00\x01", "image/x-icon", None),
    ],
)
def test_a_picture_is_one_that_models_take(body: bytes, declared: str, shown: str | None) -> None:
    """Its type is that of its bytes, and where not all models take it, it is a blob: they would refuse everything."""
    [block] = rendered(answer(body, declared)).content
    assert isinstance(block, ImageContent if shown else EmbeddedResource)
    assert shown is None or (isinstance(block, ImageContent) and block.mime_type == shown)


def test_pictures_and_sounds_are_blocks_of_their_kind() -> None:
    """Images and audio arrive byte by byte, with their media types."""
    [image] = rendered(answer(PNG, "image/png")).content
    assert isinstance(image, ImageContent)
    assert (base64.b64decode(image.data), image.mime_type) == (PNG, "image/png")
    [audio] = rendered(answer(b"ID3\x04", "audio/mpeg; rate=1")).content
    assert isinstance(audio, AudioContent)
    assert (base64.b64decode(audio.data), audio.mime_type) == (b"ID3\x04", "audio/mpeg")


#: Content-Disposition, the file's name (RFC 6266; nothing of it may lead out of a folder)
FILE_NAMES = [
    ('attachment; filename="report.pdf"', "report.pdf"),
    ("attachment; filename*=UTF-8''caf%C3%A9.zip", "café.zip"),
    ("attachment; filename*=UTF-8''caf%C3%A9.zip; filename=cafe.zip", "café.zip"),
    ("attachment; filename=\"cafe.zip\"; filename*=iso-8859-1''caf%E9.zip", "café.zip"),
    ('attachment; filename="café.zip"', "café.zip"),
    ('attachment; filename="../../etc/passwd"', "passwd"),
    ('attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
    ('attachment; filename=".."', None),
    ('attachment; filename="/"', None),
    ("attachment", None),
    ("", None),
    ("attachment; filename*0=long; filename*1=er.pdf", "longer.pdf"),
    ("attachment; filename*=UTF-8''a.txt; filename*0=b; filename*1=c", "a.txt"),
    ("attachment; filename*0*=UTF-8''%41; filename*=b; filename=c.txt", "b"),
    ('attachment; filename="a\x00b\nc.txt"', "a_b c.txt"),
]


@pytest.mark.parametrize(("disposition", "expected"), FILE_NAMES)
def test_the_file_name_is_a_bare_name(disposition: str, expected: str | None) -> None:
    """A file's name is what Content-Disposition says, without a way to another folder."""
    assert answer(b"", "a/b", content_disposition=disposition).file_name == expected


def test_other_binary_is_an_embedded_resource() -> None:
    """A body of any other type carries its media type and its file's name."""
    body = bytes(range(256))
    [block] = rendered(answer(body, "application/zip", content_disposition='attachment; filename="a b.zip"')).content
    assert isinstance(block, EmbeddedResource)
    assert isinstance(block.resource, BlobResourceContents)
    assert base64.b64decode(block.resource.blob) == body
    assert block.resource.mime_type == "application/zip"
    assert str(block.resource.uri) == "response:a%20b.zip"


@pytest.mark.parametrize("media_type", [None, "application/json", "text/plain"])
def test_an_empty_body_says_so(media_type: str | None) -> None:
    """An answer without a body is a sentence, with its status."""
    assert texts(rendered(answer(b"", media_type, 204))) == [
        "GET /things/{id} answered 204 No Content: the answer has no body."
    ]


def test_large_binary_needs_a_folder() -> None:
    """Without a files folder, a large body is refused with its size and the setting that opens it."""
    [text] = texts(rendered(answer(bytes(5000), "application/zip")))
    assert "5,000 bytes of application/zip" in text
    assert "OPEN_MCP_FILES" in text
    [text] = texts(rendered(answer(bytes(LIMIT * 25), "image/png")))
    assert "OPEN_MCP_FILES" in text


def test_large_binary_is_written_and_linked(tmp_path: Path) -> None:
    """With a files folder, a large body is written there under its own name, and linked."""
    body = bytes(range(256)) * 20
    given = answer(body, "application/zip", content_disposition='attachment; filename="../x.zip"')
    for _ in range(2):
        result = rendered(given, tmp_path)
        link = result.content[0]
        assert isinstance(link, ResourceLink)
        assert (link.mime_type, link.size) == ("application/zip", len(body))
    [written] = tmp_path.iterdir()
    assert written.read_bytes() == body
    assert isinstance(link, ResourceLink)
    assert link.uri == written.as_uri()
    assert str(written) in texts(result)[0]


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    """A name that is taken is not written over, and a link is not followed."""
    given = answer(bytes(5000), "application/zip")
    rendered(given, tmp_path)
    [taken] = tmp_path.iterdir()
    taken.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(bytes(5000))
    taken.symlink_to(elsewhere)
    assert "could not be written" in texts(rendered(given, tmp_path))[0]


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    """A files folder that cannot be written to is named with its setting."""
    [text] = texts(rendered(answer(bytes(5000), "application/zip"), tmp_path / "missing"))
    assert "OPEN_MCP_FILES" in text


def test_a_large_answer_is_a_view() -> None:
    """Beyond the limit there is a view, an id to read on with, and no structured content."""
    body = json.dumps({"data": list(range(2000))}).encode()
    results = Results(Bounds())
    result = Renderer(LIMIT, results).render(OPERATION, answer(body))
    [text] = texts(result)
    result_id = text.partition("resultId: ")[2].partition(".")[0]
    assert results[result_id] == body
    assert json.loads(text.partition("\n")[2])["data"][0] == 0
    assert result.structured_content is None
    assert len(text) < LIMIT + 400


def test_large_text_is_shown_with_head_and_tail() -> None:
    """Text that is no JSON is kept in the same way."""
    results = Results(Bounds())
    whole = "".join(f"line {number}\n" for number in range(1000))
    [text] = texts(Renderer(LIMIT, results).render(OPERATION, answer(whole.encode(), "text/plain")))
    assert "\nline 0\n" in text
    assert text.endswith("line 999\n")
    assert json.loads(results[text.partition("resultId: ")[2].partition(".")[0]]) == whole


def test_characters_count_and_not_bytes() -> None:
    """An answer of other letters than Latin ones has the same room."""
    body = json.dumps(["é" * (LIMIT - 4)], ensure_ascii=False).encode()
    assert texts(rendered(answer(body))) == [body.decode()]


@pytest.mark.parametrize("status", [400, 404, 422, 499, 500, 599])
def test_errors_are_errors(status: int) -> None:
    """A status of 400 and above is an error with status, method, path template and body."""
    result = rendered(answer(b'{"error": "why"}', status=status))
    assert result.is_error
    assert texts(result)[0].startswith(f"GET /things/{{id}} answered {status}")
    assert texts(result)[0].endswith('{"error": "why"}')
    assert result.structured_content == {"error": "why"}


def test_a_picture_of_an_error_is_shown_behind_its_status() -> None:
    """What is no text stays what it is."""
    title, image = rendered(answer(PNG, "image/png", 500)).content
    assert isinstance(title, TextContent)
    assert isinstance(image, ImageContent)


def test_a_redirect_that_was_not_followed_says_where_to() -> None:
    """The target is what a model needs to go on."""
    result = rendered(answer(b"", None, 303, location="/jobs/7"))
    assert "a redirect that was not followed" in texts(result)[0]
    assert texts(result)[1] == "Location: /jobs/7"
    assert not result.is_error


#: status, what the document says of it
DECLARED = [(404, "404: No such thing."), (503, "5XX: It is our fault."), (418, "default: Something else.")]


@pytest.mark.parametrize(("status", "expected"), DECLARED)
def test_the_document_explains_an_error(status: int, expected: str) -> None:
    """The description of the declared response is a hint: its own, its class's, else the default."""
    assert declared_error(OPERATION, status) == f"The document says of {expected}"


def test_what_a_program_needs_goes_to_meta() -> None:
    """Status, request id and rate limits are in `_meta`; what a model needs is in the text."""
    headers = {
        "x_request_id": "req-1",
        "x_ratelimit_remaining_requests": "9",
        "ratelimit_policy": "10;w=60",
        "retry_after": "3",
        "link": '<https://api.example.com/?page=2>; rel="next"',
        "server": "nobody",
    }
    result = rendered(answer(b"{}", "application/json", 200, **headers))
    assert result.meta == {
        "status": 200,
        "requestId": "req-1",
        "rateLimit": {"x-ratelimit-remaining-requests": "9", "ratelimit-policy": "10;w=60", "retry-after": "3"},
    }
    assert texts(result)[1] == 'Retry-After: 3\nLink: <https://api.example.com/?page=2>; rel="next"'


@pytest.mark.parametrize(
    ("status", "name", "value", "is_shown"),
    [
        (429, "X-RateLimit-Reset", "1700000000", True),
        (429, "RateLimit", '"default";r=0;t=30', True),
        (200, "X-RateLimit-Reset", "1700000000", False),
        (415, "Accept", "application/xml", True),
        (415, "Accept-Patch", "application/merge-patch+json", True),
        (202, "Azure-AsyncOperation", "https://api.example.com/operations/1", True),
        (200, "Accept-Ranges", "bytes", False),
    ],
)
def test_a_refusal_says_what_would_be_taken(status: int, name: str, value: str, is_shown: bool) -> None:
    """When to ask again is shown with 429, which types are taken with 415, and where an answer will be with 202."""
    shown = texts(rendered(answer(b'{"a":1}', "application/json", status, **{name: value})))
    assert (f"{name.title()}: {value}" in "\n".join(shown)) == is_shown


#: method, status, headers, what is said of them
SAID = [
    ("get", 200, {"location": "/7", "etag": '"a"', "x_other": "o"}, "Location: /7"),
    ("get", 201, {"location": "/7"}, "Location: /7"),
    (
        "get",
        202,
        {"operation_location": "/jobs/7"},
        "GET /things/{id} answered 202 Accepted.\nOperation-Location: /jobs/7",
    ),
    (
        "get",
        206,
        {"content_range": "items 0-9/90"},
        "GET /things/{id} answered 206 Partial Content.\nContent-Range: items 0-9/90",
    ),
    ("get", 200, {"x_total_count": "90", "x_next_page": "2"}, "X-Total-Count: 90\nX-Next-Page: 2"),
    ("get", 200, {"next_page": "/r?_token=1"}, "Next-Page: /r?_token=1"),
    ("get", 200, {"next_cursor": "a", "total_count": "9"}, "Next-Cursor: a\nTotal-Count: 9"),
    ("get", 200, {"x_pagination": '{"pages": 2}', "per_page": "5"}, 'X-Pagination: {"pages": 2}\nPer-Page: 5'),
    ("get", 200, {"total_pages": "2", "prev_page": "1"}, "Total-Pages: 2\nPrev-Page: 1"),
    ("get", 200, {"x_wp_total": "9", "x_wp_totalpages": "2"}, "X-Wp-Total: 9\nX-Wp-Totalpages: 2"),
    ("get", 200, {"x_has_more": "true", "x_totalcount": "9"}, "X-Has-More: true\nX-Totalcount: 9"),
    (
        "get",
        200,
        {"x_nextpage": "2", "x_result_count": "9", "x_count": "9"},
        "X-Nextpage: 2\nX-Result-Count: 9\nX-Count: 9",
    ),
    ("get", 200, {"x_nextjs_cache": "HIT", "x_page_speed": "1", "x_request_count": "7", "link": "</a>"}, "Link: </a>"),
    ("get", 200, {"x_declared": "yes", "x_rate_limit": "9"}, "X-Declared: yes"),
    ("get", 401, {"www_authenticate": "Bearer"}, "Www-Authenticate: Bearer"),
    ("get", 412, {"etag": '"b"'}, 'Etag: "b"'),
    ("get", 200, {"content_disposition": "inline; filename=a.txt"}, "File name: a.txt"),
    ("head", 200, {"content_length": "9", "etag": '"a"', "date": "now"}, 'Content-Length: 9\nEtag: "a"'),
]


@pytest.mark.parametrize(("method", "status", "headers", "said"), SAID)
def test_headers_that_a_model_needs_are_said(method: str, status: int, headers: dict[str, str], said: str) -> None:
    """What leads on, what the document declares, and all that the answer to HEAD has, stands in a short text."""
    declared: dict[str, Any] = {"200": {"headers": {"X-Declared": {}, "X-Rate-Limit": {}, "Content-Type": {}}}}
    root = {**ROOT, "paths": {"/things/{id}": {method: {"responses": declared}}}}
    given = answer(b"" if method == "head" else b"words", None if method == "head" else "text/plain", status, **headers)
    result = Renderer(LIMIT, Results(Bounds())).render(read_api(root, "").operations[0], given)
    assert texts(result)[1] == said


def test_parameters_that_cannot_be_read_cost_a_note() -> None:
    """Continuations beside a whole value, which only mail has, do not cost the answer."""
    given = answer(b"words", "text/plain; charset*=utf-8''x; charset*0=y", content_disposition="a; b*0=1; b*=2")
    assert texts(rendered(given)) == [
        "words",
        "Parameters of the header Content-Type cannot be read.\n"
        "Parameters of the header Content-Disposition cannot be read.",
    ]


def test_headers_in_any_letters_survive() -> None:
    """What is no ASCII in a header is shown, whatever its encoding."""
    given = Answer(200, "", httpx.Headers([(b"link", b"<\xe9>")]), b"words")
    assert texts(rendered(given))[1] == "Link: <é>"


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([None, "application/json", "text/plain; charset=utf-16", "a/b", "/"]))
def test_no_body_breaks_the_rendering(body: bytes, media_type: str | None) -> None:
    """Whatever arrives under whatever type becomes a result that can be written."""
    result = rendered(answer(body, media_type))
    assert [json.loads(msgspec.json.encode(block))["type"] for block in result.content]


#: status, media type, body, part of what openapi-core finds
FINDINGS = [
    (200, "application/json", b'{"id": 1}', None),
    (200, "application/json", b'{"id": "x"}', "$.id: 'x' is not of type 'integer'"),
    (200, "application/json", b"{}", "'id' is a required property"),
    (200, "text/html", b"<p>", "text/html"),
    (404, "application/json", b"{}", None),
]


@pytest.mark.parametrize(("status", "media_type", "body", "expected"), FINDINGS)
def test_findings_name_what_is_not_as_declared(status: int, media_type: str, body: bytes, expected: str | None) -> None:
    """openapi-core compares the answer with the document, whatever server it came from."""
    found = findings(OPERATION, answer(body, media_type, status), ROOT)
    assert bool(found) == bool(expected)
    assert (expected or "") in "".join(found)


ARRAYS = {"schema": {"type": "array"}}


@pytest.mark.parametrize("declared", ["Application/JSON; charset=UTF-8", "application/json;odata=verbose"])
def test_the_parameters_of_a_media_type_are_not_compared(declared: str) -> None:
    """A media type is the same in any case and with other parameters (RFC 9110 section 8.3.1)."""
    content = {declared: ARRAYS}
    root = {**ROOT, "paths": {"/x": {"get": {"responses": {"200": {"description": "", "content": content}}}}}}
    operation = read_api(root, "").operations[0]
    assert findings(operation, answer(b"[]", "application/json; charset=utf-8"), root) == []
    assert findings(operation, answer(b"{}", "application/json"), root)


@pytest.mark.parametrize("name", ["application/scim+json", "text/json", "application/vnd.api+json;v=1"])
def test_every_media_type_of_json_is_compared_as_json(name: str) -> None:
    """The suffix `+json` says that a value is JSON (RFC 6839 section 3.1)."""
    root = {**ROOT, "paths": {"/x": {"get": {"responses": {"200": {"description": "", "content": {name: ARRAYS}}}}}}}
    operation = read_api(root, "").operations[0]
    assert findings(operation, answer(b"[]", name), root) == []
    assert "is not of type 'array'" in "".join(findings(operation, answer(b'{"a": 1}', name), root))


def test_the_answer_to_head_needs_no_content() -> None:
    """What a response to HEAD would contain is declared, but never sent (RFC 9110 section 9.3.2)."""
    content = {"application/json": ARRAYS}
    root = {**ROOT, "paths": {"/x": {"head": {"responses": {"200": {"description": "", "content": content}}}}}}
    assert findings(read_api(root, "").operations[0], answer(b"", "application/json"), root) == []


def test_findings_are_few_and_short() -> None:
    """Ten findings are reported at most, each of 300 characters at most behind what it begins with."""
    schema = {"items": {"type": "integer"}}
    content = {"application/json": {"schema": {"type": "array", **schema}}}
    root = {**ROOT, "paths": {"/x": {"get": {"responses": {"200": {"description": "", "content": content}}}}}}
    found = findings(read_api(root, "").operations[0], answer(json.dumps(["x" * 500] * 15).encode()), root)
    assert [len(finding.removeprefix("Not as the document declares: ")) for finding in found] == [300] * 10


def test_a_very_large_answer_is_not_compared() -> None:
    """Above two million bytes a comparison would cost too much, and the result says that it was left out."""
    (found,) = findings(OPERATION, answer(b'"' + b"x" * 2_000_000 + b'"'), ROOT)
    assert "not compared" in found
    (found,) = findings(OPERATION, answer(b'"' + b"x" * 1_999_998 + b'"'), ROOT)
    assert found.startswith("Not as the document declares: $: 'xxx")

"""Request bodies: a value becomes the bytes of its media type.

The table ENCODERS names them all. An encoder is given the value, the declared media type and what a body may draw on,
and gives a Body; a value that cannot be written raises Unwritable with its place.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from portkey_bridge.errors import Unwritable
from portkey_bridge.files import FileRefused, Files, Upload
from portkey_bridge.operations import MediaType, Schema
from portkey_bridge.shapes import Shape, Shapes
from portkey_bridge.styles import PAIR_STYLES, Pair, escape_reserved, literal

Path = tuple[str | int, ...]

JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(;|$)", re.IGNORECASE)

#: Media types of text, whose bodies are the text itself.
TEXT_TYPE = re.compile(r"text/|application/(javascript|yaml|x-yaml|graphql|sql)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part of a multipart body (RFC 7578). `media_type` is None for plain text, which needs none."""

    name: str
    content: bytes | Upload = field(repr=False)
    media_type: str | None = None
    headers: tuple[Pair, ...] = ()

    @property
    def file_name(self) -> str | None:
        """The name of a file, None for a value."""
        return self.content.name if isinstance(self.content, Upload) else None


@dataclass(frozen=True)
class Body:
    """A body to send: bytes, or a file that is streamed, or the parts of a multipart body."""

    content_type: str
    content: bytes | Upload | tuple[Part, ...] = field(repr=False)


@dataclass(frozen=True)
class Sources:
    """What an encoder may draw on: the shapes of the document's schemas, and the allowed files."""

    shapes: Shapes
    files: Files


def encode_body(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode a body by its media type. Raises Unwritable."""
    encode = next(encode for pattern, encode in ENCODERS if pattern.match(media_type.name))
    return encode(value, media_type, sources)


def encode_json(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `application/json` and every `+json` (RFC 8259)."""
    written = _with_files(value, media_type.schema, sources, ())
    return Body(media_type.name, json_text(written).encode())


def encode_json_lines(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode an array as one line of JSON an item, each ended by a line feed."""
    lines = value if isinstance(value, list) else [value]
    text = "".join(json_text(line) + "\n" for line in lines)
    return Body(media_type.name, text.encode())


def encode_form(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `application/x-www-form-urlencoded` (OpenAPI 3.1.1 section 4.8.14.4)."""
    if not isinstance(value, dict):
        raise Unwritable((), "a form is written from an object")
    pairs = [pair for name, member in value.items() for pair in _form_pairs(name, member, media_type)]
    return Body(media_type.name, "&".join(f"{name}={text}" for name, text in pairs).encode())


def _form_pairs(name: str, value: Any, media_type: MediaType) -> Iterator[Pair]:
    """A property with a `style` is written like a query parameter, any other by its content type."""
    encoding = media_type.encoding.get(name, {})
    if encoding.keys() & {"style", "explode", "allowReserved"}:
        style = encoding.get("style", "form")
        explode = encoding.get("explode", style == "form")
        escape = escape_reserved if encoding.get("allowReserved") else quote_plus
        yield from PAIR_STYLES.get(style, PAIR_STYLES["form"])(name, value, explode, escape)
    elif JSON_TYPE.match(encoding.get("contentType", "")):
        yield quote_plus(name), quote_plus(json_text(value))
    else:
        items = value if isinstance(value, list) else [value]
        yield from ((quote_plus(name), quote_plus(literal(item))) for item in items if item is not None)


def encode_multipart(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `multipart/form-data` (RFC 7578, OpenAPI 3.1.1 section 4.8.14.5): a part a property, or an item."""
    if not isinstance(value, dict):
        raise Unwritable((), "a multipart body is written from an object")
    properties = sources.shapes(media_type.schema).get("properties", {})
    parts = tuple(
        part
        for name, member in value.items()
        for part in _parts(name, member, properties.get(name, {}), media_type.encoding.get(name, {}), sources)
    )
    return Body(media_type.name, parts)


def _parts(name: str, value: Any, schema: Schema, encoding: dict[str, Any], sources: Sources) -> Iterator[Part]:
    if encoding.keys() & {"style", "explode", "allowReserved"} and not is_binary(schema, sources.shapes):
        style = encoding.get("style", "form")
        pairs = PAIR_STYLES.get(style, PAIR_STYLES["form"])(name, value, encoding.get("explode", style == "form"), str)
        yield from (Part(key, text.encode()) for key, text in pairs)
        return
    if not isinstance(value, list) or JSON_TYPE.match(encoding.get("contentType", "")):
        yield from _part(name, value, schema, encoding, sources, (name,))
        return
    items = _item_schema(schema, sources.shapes)
    for index, item in enumerate(value):
        yield from _part(name, item, items, encoding, sources, (name, index))


def _part(
    name: str, value: Any, schema: Schema, encoding: dict[str, Any], sources: Sources, path: Path
) -> Iterator[Part]:
    """Yield the part of one value; nothing for null, which no part can say."""
    declared = _one_type(encoding.get("contentType"))
    headers = tuple(_fixed_headers(encoding, sources.shapes))
    if isinstance(value, str) and _is_file(value, schema, declared, sources.shapes):
        upload = _upload(value, sources, path)
        yield Part(name, upload, declared or upload.media_type, headers)
    elif isinstance(value, dict | list) or (declared and JSON_TYPE.match(declared)):
        text = json_text(_with_files(value, schema, sources, path))
        yield Part(name, text.encode(), declared or "application/json", headers)
    elif value is not None:
        yield Part(name, literal(value).encode(), declared, headers)


def _one_type(content_type: Any) -> str | None:
    """Give the media type that an `encoding` fixes; a list or a wildcard leaves it to the value."""
    return content_type if isinstance(content_type, str) and not re.search(r"[,*]", content_type) else None


def _is_file(value: str, schema: Schema, declared: str | None, shapes: Shapes) -> bool:
    if declared and (JSON_TYPE.match(declared) or TEXT_TYPE.match(declared)):
        return is_binary(schema, shapes)
    says_so = value[:5].lower() in ("data:", "file:")
    untyped = not (shapes(schema).keys() & {"type", "anyOf", "enum"})
    return is_binary(schema, shapes) or bool(declared) or (untyped and says_so)


def _fixed_headers(encoding: dict[str, Any], shapes: Shapes) -> Iterator[Pair]:
    """Yield the headers that an `encoding` declares with one possible value; `Content-Type` is ignored there."""
    for name, header in encoding.get("headers", {}).items():
        shape = shapes(header.get("schema", {})) if isinstance(header, dict) else {}
        values = shape.get("enum", [shape["default"]] if "default" in shape else [])
        if len(values) == 1 and name.lower() != "content-type":
            yield name, literal(values[0])


def encode_text(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode text in the charset that the media type names, else in UTF-8."""
    charset = re.search(r"charset=\"?([\w.:-]+)", media_type.name, re.IGNORECASE)
    content_type = media_type.name if charset else f"{_concrete(media_type.name, 'text/plain')}; charset=utf-8"
    try:
        return Body(content_type, literal(value).encode(charset[1] if charset else "utf-8"))
    except (LookupError, UnicodeEncodeError) as error:
        raise Unwritable((), f"cannot be written in the charset of {media_type.name}") from error


def encode_xml(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode XML by the `xml` hints of the schema (OpenAPI 3.1.1 section 4.8.26)."""
    if isinstance(value, str):
        return encode_text(value, media_type, sources)
    from portkey_bridge.xml_body import to_xml

    return Body(_concrete(media_type.name, "application/xml"), to_xml(value, media_type.schema, sources.shapes))


def encode_any(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode any other type: a string says which file to send, and everything else is JSON."""
    if not isinstance(value, str):
        return encode_json(value, MediaType(_concrete(media_type.name, "application/json"), {}, {}), sources)
    upload = _upload(value, sources, ())
    return Body(_concrete(media_type.name, upload.media_type), upload)


def _concrete(name: str, otherwise: str) -> str:
    """Give the media type, or the other one where it is a range (RFC 9110 section 12.5.1)."""
    return otherwise if "*" in name else name


Encoder = Callable[[Any, MediaType, Sources], Body]

#: Which encoder a media type takes: the first that matches.
ENCODERS: tuple[tuple[re.Pattern[str], Encoder], ...] = (
    (JSON_TYPE, encode_json),
    (re.compile(r"application/(x-ndjson|ndjson|jsonl|x-jsonl|json-seq|jsonlines)\b", re.IGNORECASE), encode_json_lines),
    (re.compile(r"application/x-www-form-urlencoded\b", re.IGNORECASE), encode_form),
    (re.compile(r"multipart/", re.IGNORECASE), encode_multipart),
    (re.compile(r"(application|text)/xml\b|[^;]*\+xml\b", re.IGNORECASE), encode_xml),
    (TEXT_TYPE, encode_text),
    (re.compile(""), encode_any),
)


def is_binary(schema: Schema, shapes: Shapes) -> bool:
    """Tell whether a schema describes bytes (OpenAPI 3.0.4 section 4.7.14.2, 3.1.1 section 4.8.14.3)."""
    return any(
        branch.get("format") == "binary" or ("contentMediaType" in branch and "contentEncoding" not in branch)
        for branch in _strings(schema, shapes)
    )


def _is_base64(schema: Schema, shapes: Shapes) -> bool:
    return any(
        branch.get("format") == "byte" or str(branch.get("contentEncoding", "")).startswith("base64")
        for branch in _strings(schema, shapes)
    )


def takes_file(schema: Schema, shapes: Shapes) -> bool:
    """Tell whether an argument of this schema is a file, or an array of files."""
    return any(is_binary(form, shapes) or _is_base64(form, shapes) for form in (schema, _item_schema(schema, shapes)))


def sends_file(media_type: MediaType) -> bool:
    """Tell whether the body as a whole is a file."""
    return next(encode for pattern, encode in ENCODERS if pattern.match(media_type.name)) is encode_any


def _strings(schema: Schema, shapes: Shapes) -> Iterator[Shape]:
    """Yield the alternatives of a schema that are strings."""
    shape = shapes(schema)
    for branch in (shape, *map(shapes, shape.get("anyOf", ()))):
        if branch.get("type", "string") == "string":
            yield branch


def _item_schema(schema: Schema, shapes: Shapes) -> Schema:
    shape = shapes(schema)
    alternatives = (shape, *map(shapes, shape.get("anyOf", ())))
    return next((branch["items"] for branch in alternatives if "items" in branch), {})


def _with_files(value: Any, schema: Schema, sources: Sources, path: Path) -> Any:
    """Put the base64 of a file where a string of base64 is wanted and a file is named; all else stays."""
    if isinstance(value, str):
        names_file = value[:5].lower() in ("data:", "file:")
        if not names_file or not _is_base64(schema, sources.shapes):
            return value
        return base64.b64encode(_upload(value, sources, path).read()).decode()
    if isinstance(value, list):
        items = _item_schema(schema, sources.shapes)
        return [_with_files(item, items, sources, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        properties = sources.shapes(schema).get("properties", {})
        return {
            name: _with_files(member, properties.get(name, {}), sources, (*path, name))
            for name, member in value.items()
        }
    return value


def _upload(text: str, sources: Sources, path: Path) -> Upload:
    try:
        return sources.files.upload(text)
    except FileRefused as error:
        raise Unwritable(path, str(error)) from error


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """Write compact JSON, whole numbers as integers."""
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    if ".0" in text:  # as every whole float below 2**53 is written, so that most values are gone through once only
        return json.dumps(plain(value), ensure_ascii=ascii_only, separators=(",", ":"))
    return text


def plain(value: Any) -> Any:
    """Give the value with whole numbers written as integers, which is what strict readers of JSON want."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value

"""Request bodies: a value becomes the bytes of its media type.

The table ENCODERS names them all. An encoder is given the value, the declared media type and what a body may draw on,
and gives a Body; a value that cannot be written raises Unwritable with its place.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any
from urllib.parse import quote_plus

from portkey_bridge import media_types
from portkey_bridge.errors import Unwritable
from portkey_bridge.openapi.coercion import mapping
from portkey_bridge.openapi.keywords import Schema
from portkey_bridge.openapi.model import MediaType
from portkey_bridge.openapi.pointers import object_at
from portkey_bridge.openapi.reader import media_type_of
from portkey_bridge.request.binary_values import Sources, base64_of, is_binary, names_file, text_type_of, with_files
from portkey_bridge.request.multipart import Part, pieces
from portkey_bridge.request.styles import PAIR_STYLES, Escape, Pair, escape_of, form, json_text, literal
from portkey_bridge.request.uploads import OCTETS, Upload, media_type_of_bytes
from portkey_bridge.schema.readings import ValuePath
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.settings.values import HTTP_TOKEN

#: Media type that is sent if the declared one is a range or missing.
DEFAULT_MEDIA_TYPE = "application/json"

#: The fields of an Encoding Object that make it write a property as a query parameter (OpenAPI 3.2 section 4.15).
STYLED = frozenset({"style", "explode", "allowReserved"})


@dataclass(frozen=True)
class Body:
    """A body to send: bytes, or a file that is streamed, or the parts of a multipart body and what is between them."""

    content_type: str
    content: bytes | Upload | tuple[Part, ...] = field(repr=False)
    boundary: str = ""

    @property
    def pieces(self) -> Sequence[bytes | Upload]:
        """What is sent, one after the other."""
        return [*pieces(self.content, self.boundary)] if isinstance(self.content, tuple) else [self.content]

    def read(self) -> bytes:
        """Read the whole body, to be a part of another."""
        return b"".join(piece.read() if isinstance(piece, Upload) else piece for piece in self.pieces)


def encode_body(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode a body by its media type, which is sent as a concrete one if it is a range. Raises Unwritable."""
    body = _encoder(media_type.name)(value, media_type, sources)
    return _within(body, media_type.name) if "*" in media_type.name else body


def _within(body: Body, media_range: str) -> Body:
    """Return the body with a media type within a range (RFC 9110 section 12.5.1): its own, else as its bytes begin."""
    if "*" not in body.content_type and _is_within(body.content_type, media_range):
        return body
    of_bytes = None if isinstance(body.content, tuple) else media_type_of_bytes(body.content)
    for media_type in (of_bytes, OCTETS):
        if media_type and _is_within(media_type, media_range):
            return replace(body, content_type=media_type)
    problem = f"it is not clear which media type within {media_range} this is; give it as contentType"
    raise Unwritable((), f"{problem}, or in a data: URI")


def _is_within(media_type: str, media_range: str) -> bool:
    """Check whether a media type is within a range. Any JSON is taken for one of JSON."""
    name, within = map(media_types.bare, (media_type, media_range))
    are_json = media_types.JSON.match(media_type) and media_types.JSON.match(media_range)
    return within == "*" or bool(are_json) or fnmatch(name, within)


def content_text(value: Any, media_type: MediaType, sources: Sources) -> str:
    """Write a parameter that has `content`: text as it is, forms and XML as such, everything else as JSON."""
    if isinstance(value, str) and not media_types.JSON.match(media_type.name):
        return value
    if media_types.FORM.match(media_type.name) or media_types.XML.match(media_type.name):
        return encode_body(value, media_type, sources).read().decode()
    return json_text(value)


def encode_json(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `application/json` and every `+json` (RFC 8259)."""
    text = json_text(with_files(value, media_type.schema, sources))
    return Body(_concrete(media_type.name, DEFAULT_MEDIA_TYPE), text.encode())


def encode_json_lines(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode an array as one line of JSON for each item, ended by a line feed. A string is the text of all lines."""
    written = with_files(value, media_type.schema, sources)
    if isinstance(written, str):
        return Body(media_type.name, written.encode())
    begin = "\x1e" if media_types.JSON_SEQUENCE.match(media_type.name) else ""
    lines = [f"{begin}{json_text(line)}\n" for line in (written if isinstance(written, list) else [written])]
    return Body(media_type.name, "".join(lines).encode())


def encode_form(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `application/x-www-form-urlencoded` (OpenAPI 3.2 section 4.15). Text is a form already."""
    if isinstance(value, str):
        return _text_or_file(value, media_type.name, media_type, sources)
    if not isinstance(value, dict):
        raise Unwritable((), "expected an object, which a form is written from")
    written = with_files(value, media_type.schema, sources)
    pairs = [pair for name, member in written.items() for pair in _form_pairs(name, member, media_type, sources)]
    return Body(media_type.name, "&".join(f"{name}={text}" for name, text in pairs).encode())


def _form_pairs(name: str, value: Any, media_type: MediaType, sources: Sources) -> Iterator[Pair]:
    """A property with a `style` is written like a query parameter, any other by its content type."""
    encoding = encoding_of(media_type, name)
    if encoding.keys() & STYLED:
        allow_reserved = encoding.get("allowReserved") is True
        pairs = _styled(name, value, encoding, escape_of("query", True) if allow_reserved else quote_plus)
        yield from ((quote_plus(key), text) for key, text in pairs)
    elif (declared := one_type(encoding)) and (media_types.JSON.match(declared) or media_types.XML.match(declared)):
        schema = sources.shapes.of_property(media_type.schema, name)
        body = encode_body(value, MediaType(declared, schema), sources)
        yield quote_plus(name), quote_plus(body.read())
    else:
        items = value if isinstance(value, list) else [value]
        yield from ((quote_plus(name), quote_plus(literal(item))) for item in items if item is not None)


def _styled(name: str, value: Any, encoding: Mapping[str, Any], escape: Escape) -> list[Pair]:
    style, explode = str(encoding.get("style", "form")), encoding.get("explode")
    explode = explode if isinstance(explode, bool) else style == "form"
    try:
        return [*PAIR_STYLES.get(style, form)(name, value, explode, escape)]
    except Unwritable as error:
        raise Unwritable((name, *error.path), error.problem) from error


def encoding_of(media_type: MediaType, name: str) -> Mapping[str, Any]:
    """Return the Encoding Object of a property; empty if there is none."""
    return mapping(media_type.encoding.get(name))


def encode_multipart(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode `multipart/form-data` (RFC 7578, OpenAPI 3.2 section 4.15): a part a property, or an item.

    Other multipart types are written alike, and from an array part by part (OpenAPI 3.2 section 4.14). Where a form is
    declared as no object, its one part has no name; it is called `file`, as most servers would.
    """
    kind = _concrete(media_type.name.partition(";")[0].strip(), "multipart/form-data")
    boundary = secrets.token_hex(16)
    name = "file" if kind.lower().endswith("form-data") else None
    if isinstance(value, dict):
        parts = [part for name, member in value.items() for part in _parts(name, member, media_type, sources)]
    elif isinstance(value, list):
        parts = [*_parts_by_place(name, value, media_type, sources)]
    else:
        parts = [*_part(name, value, media_type.schema, media_type.item_encoding, sources, ())]
    return Body(f"{kind}; boundary={boundary}", tuple(parts), boundary)


def _parts(name: str, value: Any, media_type: MediaType, sources: Sources) -> Iterator[Part]:
    """Yield the parts of a property. Nothing is percent-encoded in them (OpenAPI 3.2 appendix E)."""
    schema, encoding = sources.shapes.of_property(media_type.schema, name), encoding_of(media_type, name)
    kinds = (schema, sources.shapes.of_items(schema))
    if encoding.keys() & STYLED and not any(is_binary(kind, sources.shapes) for kind in kinds):
        yield from (Part(key, text.encode()) for key, text in _styled(name, value, encoding, str))
    else:
        yield from _each(name, value, schema, encoding, sources, (name,))


def _parts_by_place(name: str | None, items: list[Any], media_type: MediaType, sources: Sources) -> Iterator[Part]:
    """Yield the parts of an array's items, each encoded by its place (OpenAPI 3.2, Encoding By Position)."""
    first = sources.shapes(media_type.schema).get("prefixItems", ())
    rest = sources.shapes.of_items(media_type.schema)
    encodings = media_type.prefix_encoding
    for index, item in enumerate(items):
        schema = first[index] if index < len(first) else rest
        encoding = encodings[index] if index < len(encodings) else media_type.item_encoding
        yield from _part(name, item, schema, encoding, sources, (index,))


def _each(
    name: str | None, value: Any, schema: Schema, encoding: Mapping[str, Any], sources: Sources, path: ValuePath
) -> Iterator[Part]:
    """Yield the part of a value, or the parts of an array's items."""
    if not isinstance(value, list):
        yield from _part(name, value, schema, encoding, sources, path)
        return
    items = sources.shapes.of_items(schema)
    for index, item in enumerate(value):
        yield from _part(name, item, items, encoding, sources, (*path, index))


def _part(
    name: str | None, value: Any, schema: Schema, encoding: Mapping[str, Any], sources: Sources, path: ValuePath
) -> Iterator[Part]:
    """Yield the part of one value; nothing for null, which no part can say."""
    declared, headers = one_type(encoding), tuple(_fixed_headers(encoding, sources.shapes))
    if value is None:
        return
    held = text_type_of(schema, sources.shapes) if isinstance(value, str) else None
    if isinstance(value, str) and _is_file(value, schema, encoding, sources.shapes):
        upload = sources.upload(value, path)
        yield Part(name, upload, _type_of_file(upload, encoding), headers)
    elif isinstance(value, dict | list) or (
        declared and not held and not media_types.TEXT.match(declared) and not _takes_bytes(declared)
    ):
        inside = media_type_of(declared or DEFAULT_MEDIA_TYPE, schema, encoding)
        body = encode_body(with_files(value, schema, sources, path), inside, sources)
        yield Part(name, body.read(), body.content_type if body.boundary else declared or DEFAULT_MEDIA_TYPE, headers)
    else:
        default = OCTETS if base64_of(schema, sources.shapes) else held
        written = with_files(value, schema, sources, path)
        text = encode_text(written, MediaType(declared or held or "text/plain", {}), sources)
        yield Part(name, text.read(), declared or default, headers)


def _types(encoding: Mapping[str, Any]) -> list[str]:
    """Return the media types and ranges that an `encoding` allows; none where it says nothing."""
    content_type = encoding.get("contentType")
    return [name for each in content_type.split(",") if (name := each.strip())] if isinstance(content_type, str) else []


def one_type(encoding: Mapping[str, Any]) -> str | None:
    """Return the media type that an `encoding` fixes; a list or a wildcard leaves it to the value."""
    types = _types(encoding)
    return types[0] if len(types) == 1 and "*" not in types[0] else None


def _takes_bytes(media_type: str) -> bool:
    return _encoder(media_type) is encode_any


def _is_file(value: str, schema: Schema, encoding: Mapping[str, Any], shapes: Shapes) -> bool:
    """Check whether a string is a file: its schema or its media type says bytes, or nothing says what else it is."""
    if is_binary(schema, shapes):
        return True
    if base64_of(schema, shapes):
        return False
    untyped = not (shapes(schema).keys() & {"type", "anyOf", "enum"})
    of_bytes = [_takes_bytes(media_type) for media_type in _types(encoding)]
    return (bool(of_bytes) and all(of_bytes)) or (names_file(value) and (untyped or any(of_bytes)))


def _type_of_file(upload: Upload, encoding: Mapping[str, Any]) -> str:
    """Return the media type of a file: its own where an `encoding` allows it, else the first that it allows."""
    types = _types(encoding)
    if len(types) > 1 and any(fnmatch(upload.media_type.lower(), media_type.lower()) for media_type in types):
        return upload.media_type
    return next((media_type for media_type in types if "*" not in media_type), upload.media_type)


def _fixed_headers(encoding: Mapping[str, Any], shapes: Shapes) -> Iterator[Pair]:
    """Yield the headers that an `encoding` declares with one possible value; `Content-Type` is ignored there."""
    for name, declared in mapping(encoding.get("headers")).items():
        shape = shapes(object_at(shapes.root, declared).get("schema", {}))
        values = [*map(literal, shape.get("enum", [shape["default"]] if "default" in shape else []))]
        if (
            len(values) == 1
            and name.lower() != "content-type"
            and HTTP_TOKEN.fullmatch(name)
            and values[0].isprintable()
        ):
            yield name, values[0]


def encode_text(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode text in the charset that the media type names, else in UTF-8."""
    charset = re.search(r"charset=\"?([\w.:-]+)", media_type.name, re.IGNORECASE)
    content_type = media_type.name if charset else f"{_concrete(media_type.name, 'text/plain')}; charset=utf-8"
    return _text_or_file(literal(value), content_type, media_type, sources, charset[1] if charset else "utf-8")


def _text_or_file(
    text: str, content_type: str, media_type: MediaType, sources: Sources, charset: str = "utf-8"
) -> Body:
    """Write the text of a body, or the bytes of a file where the schema allows one and the text names it."""
    if names_file(text) and is_binary(media_type.schema, sources.shapes):
        return Body(_concrete(media_type.name, "text/plain"), sources.upload(text))
    try:
        return Body(content_type, str(with_files(text, media_type.schema, sources)).encode(charset))
    except (LookupError, UnicodeEncodeError) as error:
        raise Unwritable((), f"cannot be written in the charset of {media_type.name}") from error


def encode_xml(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode XML by the `xml` hints of the schema (OpenAPI 3.2 section 4.26). Text is XML already."""
    if isinstance(value, str):
        return encode_text(value, media_type, sources)
    from portkey_bridge.request.xml_body import to_xml

    written = with_files(value, media_type.schema, sources)
    return Body(_concrete(media_type.name, "application/xml"), to_xml(written, media_type.schema, sources.shapes))


def encode_any(value: Any, media_type: MediaType, sources: Sources) -> Body:
    """Encode any other type: a string says which file to send, and everything else is JSON."""
    binary = is_binary(media_type.schema, sources.shapes)
    if not isinstance(value, str):
        return encode_json(value, MediaType(_concrete(media_type.name, DEFAULT_MEDIA_TYPE), {}), sources)
    if sends_decoded(media_type, sources.shapes):
        return Body(media_type.name, sources.upload(value) if names_file(value) else sources.decoded(value))
    if base64_of(media_type.schema, sources.shapes):
        own = sources.upload(value).media_type if names_file(value) else media_type.name
        text = str(with_files(value, media_type.schema, sources))
        return Body(_concrete(media_type.name, own), text.encode())
    if media_types.ANY.match(media_type.name) and not binary and not names_file(value):
        return encode_text(value, MediaType("text/plain", {}), sources)
    upload = sources.upload(value)
    return Body(_concrete(media_type.name, upload.media_type), upload)


def sends_decoded(media_type: MediaType, shapes: Shapes) -> bool:
    """Check whether the bytes of a string of `format: byte` are sent themselves, not their base64.

    OpenAPI 3.0 has base64 in bodies of all types, but servers that take octets mean the octets.
    """
    return (
        media_types.bare(media_type.name) == OCTETS
        and "contentEncoding" not in shapes(media_type.schema)
        and base64_of(media_type.schema, shapes) is not None
    )


def _concrete(name: str, otherwise: str) -> str:
    """Return the media type, or the other one where it is a range (RFC 9110 section 12.5.1)."""
    return otherwise if "*" in name else name


Encoder = Callable[[Any, MediaType, Sources], Body]

#: Which encoder a media type takes: the first that matches.
ENCODERS: tuple[tuple[re.Pattern[str], Encoder], ...] = (
    (media_types.JSON_LINES, encode_json_lines),
    (media_types.JSON_SEQUENCE, encode_json_lines),
    (media_types.JSON, encode_json),
    (media_types.FORM, encode_form),
    (media_types.MULTIPART, encode_multipart),
    (media_types.XML, encode_xml),
    (media_types.TEXT, encode_text),
    (re.compile(""), encode_any),
)


def _encoder(media_type: str) -> Encoder:
    return next(encode for pattern, encode in ENCODERS if pattern.match(media_type))


def sends_file(media_type: MediaType, shapes: Shapes) -> bool:
    """Check whether the body as a whole is a file."""
    any_type = media_types.ANY.match(media_type.name) and not is_binary(media_type.schema, shapes)
    return _encoder(media_type.name) is encode_any and not any_type and not base64_of(media_type.schema, shapes)

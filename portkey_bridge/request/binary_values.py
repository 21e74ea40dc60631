"""Strings that represent bytes: where a schema has them, and what a caller may pass.

Multipart bodies and binary media types take the bytes themselves. Everywhere else bytes are base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.errors import Unwritable
from portkey_bridge.openapi.keywords import Schema, Shape
from portkey_bridge.request.uploads import FORMS, FileRefused, Files, Upload, from_base64
from portkey_bridge.schema.byte_strings import OF_BYTES, alphabet, is_bytes
from portkey_bridge.schema.readings import ValuePath
from portkey_bridge.schema.shapes import Shapes

#: Description of a string that becomes the base64 of a file.
BASE64_FORMS = "Base64, or a file: a data: URI, or a file:// URI below a folder that the server allows."

#: Description of a text that may also be the bytes of a file.
TEXT_FORMS = "Text, or a file: a data: URI, or a file:// URI below a folder that the server allows."


@dataclass(frozen=True)
class Sources:
    """What a body may draw on: the shapes of the document's schemas, and the allowed files."""

    shapes: Shapes
    files: Files

    def upload(self, text: str, path: ValuePath = ()) -> Upload:
        """Return the file that a string says. Raises Unwritable with the string's place."""
        try:
            return self.files.upload(text)
        except FileRefused as error:
            raise Unwritable(path, str(error)) from error

    def decoded(self, text: str) -> bytes:
        """Return the bytes of base64. Raises Unwritable."""
        try:
            return from_base64(text.encode())
        except FileRefused as error:
            raise Unwritable((), f"expected base64 or a data: URI; {error}") from error


def names_file(value: Any) -> bool:
    """Check whether a value can be nothing but a file: a `data:` or `file:` URI."""
    return isinstance(value, str) and value[:5].lower() in ("data:", "file:")


def is_binary(schema: Schema, shapes: Shapes) -> bool:
    """Check whether a schema describes bytes (OpenAPI 3.0.4 section 4.7.14.2, 3.1.1 section 4.8.14.3)."""
    return any(map(is_bytes, _strings(schema, shapes)))


def text_type_of(schema: Schema, shapes: Shapes) -> str | None:
    """Return the media type of the text that a string contains by its schema, if there is one."""
    named = (string["contentMediaType"] for string in _strings(schema, shapes) if "contentMediaType" in string)
    return next(filter(media_types.is_text, named), None)


def base64_of(schema: Schema, shapes: Shapes) -> str | None:
    """Return the alphabet that a schema of base64 wants, `base64` or `base64url` (RFC 4648); None for any other."""
    return next(filter(None, map(alphabet, _strings(schema, shapes))), None)


def body_forms(schema: Schema, media_type: str, shapes: Shapes) -> str | None:
    """Return the words for the forms that a whole body takes which is written as text, if it may be a file."""
    is_text = media_types.is_text(media_type) and not media_types.JSON.match(media_type)
    return TEXT_FORMS if is_text and is_binary(schema, shapes) else file_forms(schema, media_type, shapes)


def file_forms(schema: Schema, media_type: str, shapes: Shapes) -> str | None:
    """Return the words for the forms that an argument takes whose schema is a file, or an array of files, else None."""
    branches = shapes.alternatives(schema)
    if any("items" in branch for branch in branches):
        branches += shapes.alternatives(shapes.of_items(schema))
    strings = [branch for branch in branches if not OF_BYTES.isdisjoint(branch) and _is_string(branch)]
    if media_types.MULTIPART.match(media_type) and any(map(is_bytes, strings)):
        return FORMS
    return BASE64_FORMS if any(map(alphabet, strings)) or any(map(_is_binary_text, strings)) else None


def with_forms_of_files(schema: Schema, media_type: str, shapes: Shapes) -> Schema:
    """Return the schema of a body that is one argument, with words for properties that are files, also in a union."""
    shape = shapes(schema)
    described: Shape = {}
    for keyword, value in shape.items():
        match keyword:
            case "properties":
                described[keyword] = {name: _of_file(each, media_type, shapes) for name, each in value.items()}
            case "additionalProperties" | "items":
                described[keyword] = _of_file(value, media_type, shapes)
            case "anyOf" | "allOf":
                described[keyword] = [with_forms_of_files(branch, media_type, shapes) for branch in value]
    return {**shape, **described} if any(shape[keyword] != described[keyword] for keyword in described) else schema


def _of_file(schema: Schema, media_type: str, shapes: Shapes) -> Schema:
    return with_forms(schema, file_forms(schema, media_type, shapes), shapes)


def with_forms(schema: Schema, forms: str | None, shapes: Shapes) -> Schema:
    """Return a schema whose description ends with the words for the forms of a file, if it is that of one."""
    if not forms or not isinstance(schema, dict):
        return schema
    return {**schema, "description": f"{shapes(schema).get('description', '')} {forms}".strip()}


def with_files(value: Any, schema: Schema, sources: Sources, path: ValuePath = ()) -> Any:
    """Put the base64 of a file where the schema wants bytes and a file is named; all else stays."""
    return _with_files(value, schema, sources, path) if _names_files(value) else value


def _names_files(value: Any) -> bool:
    """Check whether a text anywhere in a value names a file: most values are spared the way through their schemas."""
    if isinstance(value, dict):
        return any(map(_names_files, value.values()))
    if isinstance(value, list):
        return any(map(_names_files, value))
    return isinstance(value, str) and names_file(value)


def _with_files(value: Any, schema: Schema, sources: Sources, path: ValuePath) -> Any:
    if isinstance(value, str):
        encoding = _text_of_bytes(schema, sources.shapes) if names_file(value) else None
        return value if encoding is None else _base64(sources.upload(value, path), encoding)
    if isinstance(value, list):
        items = sources.shapes.of_items(schema)
        return [_with_files(item, items, sources, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            name: _with_files(member, sources.shapes.of_property(schema, name), sources, (*path, name))
            for name, member in value.items()
        }
    return value


def _text_of_bytes(schema: Schema, shapes: Shapes) -> str | None:
    """Return the alphabet for bytes in a body of text, where `format: binary` can mean nothing but base64."""
    strings = list(_strings(schema, shapes))
    binary = "base64" if any(map(_is_binary_text, strings)) else None
    return next(filter(None, map(alphabet, strings)), binary)


def _is_binary_text(string: Shape) -> bool:
    return string.get("format") == "binary"


def _base64(upload: Upload, encoding: str) -> str:
    encode = base64.urlsafe_b64encode if encoding == "base64url" else base64.b64encode
    return encode(upload.read()).decode()


def _strings(schema: Schema, shapes: Shapes) -> Iterator[Shape]:
    """Yield the alternatives of a schema that are strings."""
    return filter(_is_string, shapes.alternatives(schema))


def _is_string(branch: Shape) -> bool:
    return bool(branch.get("type", "string") == "string")

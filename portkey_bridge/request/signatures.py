"""The media type of bytes that begin as files of one type only do, where nothing else says it."""

from __future__ import annotations

import base64
import binascii

from portkey_bridge.file_types import file_type
from portkey_bridge.request.uploads import Upload

#: Bytes that are looked at.
SIGNATURE_BYTES = 16


def media_type_of_bytes(content: bytes | Upload) -> str | None:
    """Return the media type that the first bytes reveal, also those of base64; None where they reveal none."""
    begin = _begin(content)
    return file_type(begin) or file_type(_decoded(begin))


def _begin(content: bytes | Upload) -> bytes:
    if isinstance(content, bytes):
        return content[: 2 * SIGNATURE_BYTES]
    with content.open() as file:
        return file.read(2 * SIGNATURE_BYTES)


def _decoded(begin: bytes) -> bytes:
    try:
        return base64.b64decode(
            begin[: len(begin) // 4 * 4], altchars=b"-_" if b"-" in begin or b"_" in begin else None
        )
    except binascii.Error:
        return b""

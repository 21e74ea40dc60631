"""The media type of a file: as it is named, or of bytes that begin as files of one type only do."""

from __future__ import annotations

import base64
import binascii
import mimetypes

from portkey_bridge.file_types import file_type
from portkey_bridge.request.uploads import Upload

#: Bytes that are looked at.
SIGNATURE_BYTES = 16


def media_type_of_bytes(content: bytes | Upload) -> str | None:
    """Return the media type that the first bytes reveal, also those of base64; None where they reveal none."""
    begin = _begin(content)
    return file_type(begin) or file_type(_decoded(begin))


def media_type_of_file(named: str) -> str | None:
    """Return the media type of a file that is named: that of its `data:` URI, of its bytes there, or of its ending."""
    if named[:5].lower() != "data:":
        return mimetypes.guess_type(named)[0]
    header, _, data = named[5:].partition(",")
    said = header.partition(";")[0].strip().lower()
    return said or media_type_of_bytes(data[: 2 * SIGNATURE_BYTES].encode(errors="replace"))


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

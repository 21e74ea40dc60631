"""The bytes of a document become text: gzip, byte order marks, UTF-8."""

from __future__ import annotations

import zlib

from portkey_bridge.document.content import MAX_BYTES, Content, _bounded
from portkey_bridge.errors import DocumentError

GZIP = b"\x1f\x8b"


#: Byte order marks of encodings other than UTF-8 (Unicode standard, section 23.8); the longer first.
MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def text_of(content: Content) -> str:
    """Return the text of a document. Raises DocumentError.

    Gzip is told by its first bytes, UTF-16 and UTF-32 by their marks (YAML 1.2 section 5.2); all else is UTF-8.
    """
    data = _unpacked(content) if content.data.startswith(GZIP) else content.data
    encoding = next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text at byte {error.start}"
        raise DocumentError(content.source, problem, "Save the document as UTF-8.") from error


def _unpacked(content: Content) -> bytes:
    """Undo gzip (RFC 1952), which may consist of several members."""
    unpacked, rest = b"", content.data
    try:
        while rest.startswith(GZIP):
            member = zlib.decompressobj(wbits=31)
            unpacked += member.decompress(rest, MAX_BYTES + 1 - len(unpacked))
            _bounded(content.source, unpacked)
            if not member.eof:
                raise zlib.error("it ends early")
            rest = member.unused_data
    except zlib.error as error:
        raise DocumentError(content.source, "is damaged gzip", "Compress the document again.") from error
    return unpacked

"""The bytes of a document, before they are parsed, and their text: gzip, byte order marks, UTF-8."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from portkey_bridge.errors import DocumentError

#: Bytes of a document, compressed or not.
MAX_DOCUMENT_BYTES = 100_000_000

GZIP_MAGIC = b"\x1f\x8b"

#: Compressed bytes that are decompressed at once.
COMPRESSED_CHUNK = 4096

#: Byte order marks of encodings other than UTF-8 (Unicode standard, section 23.8); the longer first.
BYTE_ORDER_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Content:
    """The bytes of a document: `source` as a person knows it, `uri` to resolve against, `notes` to say of it."""

    source: str
    uri: str
    data: bytes
    notes: tuple[str, ...] = ()


def bounded(source: str, data: bytes) -> bytes:
    """Return the bytes of a document. Raises DocumentError if there are more than MAX_DOCUMENT_BYTES."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise too_large(source)
    return data


def too_large(source: str) -> DocumentError:
    """Return the refusal of a document of more than MAX_DOCUMENT_BYTES."""
    return DocumentError(source, f"larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB", "Split the document.")


def text_of(content: Content) -> str:
    """Return the text of a document. Raises DocumentError.

    Gzip is told by its first bytes, UTF-16 and UTF-32 by their marks (YAML 1.2 section 5.2); all else is UTF-8.
    """
    data = _unpacked(content) if content.data.startswith(GZIP_MAGIC) else content.data
    encoding = next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text at byte {error.start}"
        raise DocumentError(content.source, problem, "Save the document as UTF-8.") from error


def _unpacked(content: Content) -> bytes:
    """Decompress gzip, which may have any number of members (RFC 1952 section 2.2). Other bytes after them are ignored.

    Short pieces are decompressed, because each member leaves a copy of the rest of its piece.
    """
    data, at, unpacked = memoryview(content.data), 0, bytearray()
    try:
        while data[at : at + len(GZIP_MAGIC)] == GZIP_MAGIC:
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                if at == len(data):
                    raise zlib.error("it ends early")
                piece = data[at : at + COMPRESSED_CHUNK]
                unpacked += member.decompress(piece, MAX_DOCUMENT_BYTES + 1 - len(unpacked))
                if len(unpacked) > MAX_DOCUMENT_BYTES:
                    raise too_large(content.source)
                at += len(piece) - len(member.unused_data)
    except zlib.error as error:
        raise DocumentError(content.source, "is damaged gzip", "Compress the document again.") from error
    return bytes(unpacked)

"""The media type of bytes that begin as files of one type only do, where nothing else says it."""

from __future__ import annotations

import base64
import binascii

from portkey_bridge.request.uploads import Upload

#: Bytes that are looked at.
SIGNATURE_BYTES = 16

#: How files of a type begin.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"<svg", "image/svg+xml"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"OTTO", "font/otf"),
    (b"\x00\x01\x00\x00\x00", "font/ttf"),
    (b"glTF", "model/gltf-binary"),
)

#: How containers of several types go on at an offset after their own beginning.
CONTAINERS = (
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio/wav"),
    (b"RIFF", 8, b"AVI ", "video/x-msvideo"),
    (b"", 4, b"ftypavif", "image/avif"),
    (b"", 4, b"ftyphei", "image/heic"),
    (b"", 4, b"ftypM4A", "audio/mp4"),
    (b"", 4, b"ftyp", "video/mp4"),
)


def media_type_of_bytes(content: bytes | Upload) -> str | None:
    """Return the media type that the first bytes reveal, also those of base64; None where they reveal none."""
    begin = _begin(content)
    return _of_signature(begin) or _of_signature(_decoded(begin))


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


def _of_signature(begin: bytes) -> str | None:
    for signature, media_type in SIGNATURES:
        if begin.startswith(signature):
            return media_type
    for signature, offset, then, media_type in CONTAINERS:
        if begin.startswith(signature) and begin[offset:].startswith(then):
            return media_type
    return None

"""The media types of files that begin in a way of their own."""

from __future__ import annotations

#: The pictures that all models take; with another one the whole conversation is refused.
PICTURES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))

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


def file_type(begin: bytes) -> str | None:
    """Return the media type that the first bytes of a file reveal; None where they reveal none."""
    for signature, media_type in SIGNATURES:
        if begin.startswith(signature):
            return media_type
    for signature, offset, then, media_type in CONTAINERS:
        if begin.startswith(signature) and begin[offset:].startswith(then):
            return media_type
    return None

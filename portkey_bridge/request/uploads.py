"""Files that go into a request: a string says what they are, and only allowed folders are ever read.

A `data:` URI (RFC 2397) always works. A `file:` URI (RFC 8089) or a path works below a folder that the person who runs
the server allowed; links and `..` are followed first and judged by where they end. The media type of a file is as it is
named, or that of bytes that begin as files of one type only do.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, unquote_to_bytes, urlsplit
from urllib.request import url2pathname

import anyio
import httpx

from portkey_bridge import media_types
from portkey_bridge.file_types import file_type
from portkey_bridge.settings.options import key_in_file

#: Bytes of the largest file that is sent, and the words for it in schemas.
MAX_FILE_BYTES = 512 * 1024 * 1024
FORMS = (
    "A file: a data: URI (data:,TEXT for text), or a path or file:// URI below a folder that the server allows. "
    "At most 512 MB."
)

UPLOAD_CHUNK = 256 * 1024

#: `type/subtype` (RFC 9110 section 8.3.1), so that a media type cannot bring a header of its own.
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)

CHARSET = re.compile(r"charset=[\w.:-]+", re.ASCII | re.IGNORECASE)

OCTETS = "application/octet-stream"

#: Bytes of a file that may reveal its media type.
SIGNATURE_BYTES = 16


class FileRefused(ValueError):
    """A string names no file that may be sent; the message says why and what would work."""


@dataclass(frozen=True)
class Upload:
    """A file to send. `open` starts at its first byte; `path` is None where it came in a `data:` URI."""

    name: str
    media_type: str
    size: int
    path: Path | None = None
    content: bytes = field(default=b"", repr=False)

    def open(self) -> BinaryIO:
        """Open the file. Whoever opens it closes it."""
        if self.path is None:
            return BytesIO(self.content)
        # The path is resolved: what has become a link since then is not the file that was judged.
        return os.fdopen(os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")

    def read(self) -> bytes:
        """Read the whole file."""
        with self.open() as file:
            return file.read()


def bytes_in(piece: bytes | Upload) -> int:
    """Return the bytes that will be sent."""
    return piece.size if isinstance(piece, Upload) else len(piece)


def in_memory(piece: bytes | Upload) -> bytes | Upload:
    """Return the bytes of what came in a `data:` URI and is here already."""
    return piece.content if isinstance(piece, Upload) and piece.path is None else piece


class PieceStream(httpx.AsyncByteStream):
    """The body of a request out of bytes and files, a chunk of a file in memory at a time."""

    def __init__(self, pieces: Sequence[bytes | Upload]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes. Can be repeated, for a request that is sent again."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            with piece.open() as file:
                while chunk := await anyio.to_thread.run_sync(file.read, UPLOAD_CHUNK):
                    yield chunk


@dataclass(frozen=True)
class Files:
    """The folders that files may be read from, for the `api` of a settings file, if there is one."""

    folders: tuple[Path, ...] = ()
    api: str = ""

    def upload(self, text: str) -> Upload:
        """Return the file that `text` says. Raises FileRefused."""
        upload = _from_data_uri(text) if text[:5].lower() == "data:" else self._from_path(text)
        if upload.size > MAX_FILE_BYTES:
            raise FileRefused(f"the file has {upload.size} bytes, and at most {MAX_FILE_BYTES} are sent")
        return upload

    def _from_path(self, text: str) -> Upload:
        if not self.folders:
            how = key_in_file(self.api, "files") or "--files DIR or OPEN_MCP_FILES"
            raise FileRefused(
                "expected a data: URI, such as data:,TEXT for text. Files cannot be read: no folder is allowed. The "
                f"person who runs portkey-bridge can allow one with {how}"
            )
        path = self._resolved(_path(text))
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("is not a regular file")
        return Upload(path.name, mimetypes.guess_type(path.name)[0] or OCTETS, status.st_size, path)

    def _resolved(self, given: Path) -> Path:
        """Follow links and `..`, and return the path if it ends below an allowed folder."""
        folders = [folder.resolve() for folder in self.folders]
        listed = ", ".join(map(str, self.folders))
        for folder in folders:
            try:
                path = (folder / given).resolve(strict=True)
            except (OSError, ValueError, RuntimeError):
                continue
            if any(path.is_relative_to(allowed) for allowed in folders):
                return path
        how = key_in_file(self.api, "files") or "--files or OPEN_MCP_FILES"
        raise FileRefused(
            f"there is no such file below the folders that {how} allows ({listed}). "
            "A data: URI works, too, such as data:,TEXT for text"
        )


def _path(text: str) -> Path:
    if text[:5].lower() != "file:":
        return Path(text)
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise FileRefused("a file: URI must name a file of this machine, like file:///folder/name")
    return Path(url2pathname(parts.path))


def _from_data_uri(text: str) -> Upload:
    header, comma, data = text[5:].partition(",")
    if not comma:
        raise FileRefused("a data: URI has the form data:TYPE;base64,DATA (RFC 2397)")
    media_type, *parameters = (part.strip() for part in header.split(";"))
    names = [
        parameter.partition("=")[2] for parameter in parameters if parameter.lower().startswith(("name=", "filename="))
    ]
    charset = "".join(f";{parameter}" for parameter in parameters if CHARSET.fullmatch(parameter))
    if not MEDIA_TYPE.fullmatch(media_type):
        media_type, charset = ("text/plain", charset) if not media_type else (OCTETS, "")
    content = unquote_to_bytes(data)
    if "base64" in (parameter.lower() for parameter in parameters):
        content = from_base64(content)
    name = unquote(names[0]) if names else f"file{mimetypes.guess_extension(media_type) or ''}"
    return Upload(Path(name).name, media_type + charset, len(content), content=content)


def from_base64(text: bytes) -> bytes:
    """Decode base64 (RFC 4648), also the URL-safe alphabet, without padding and over several lines.

    Raises FileRefused.
    """
    compact = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error as error:
        raise FileRefused(f"the base64 does not decode: {error}") from error


def media_type_of_bytes(content: bytes | Upload) -> str | None:
    """Return the media type that the first bytes reveal, also those of base64; None where they reveal none."""
    begin = _begin(content)
    return file_type(begin) or file_type(_decoded(begin))


def media_type_of_file(named: str) -> str | None:
    """Return the media type of a file that is named: that of its `data:` URI, of its bytes there, or of its ending."""
    if named[:5].lower() != "data:":
        return mimetypes.guess_type(named)[0]
    header, _, data = named[5:].partition(",")
    said = media_types.bare(header)
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

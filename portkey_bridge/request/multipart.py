"""The parts of a multipart body as they are sent (RFC 7578, RFC 2046 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portkey_bridge.request.styles import Pair
from portkey_bridge.request.uploads import Upload

#: Characters that would end a name in the header of a part, and their escapes in HTML ("multipart form data", step 5).
NAME_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True)
class Part:
    """One part of a multipart body. `media_type` is None for plain text, which needs none.

    `name` is None where the body is a list, whose parts have their place alone.
    """

    name: str | None
    content: bytes | Upload = field(repr=False)
    media_type: str | None = None
    headers: tuple[Pair, ...] = ()

    @property
    def file_name(self) -> str | None:
        """The name of a file, None for a value."""
        return self.content.name if isinstance(self.content, Upload) else None


def pieces(parts: Sequence[Part], boundary: str) -> Iterator[bytes | Upload]:
    """Yield the parts in the order they are sent: bytes, and the files between them."""
    for part in parts:
        headers = "".join(f"{name}: {value}\r\n" for name, value in _headers(part))
        yield f"--{boundary}\r\n{headers}\r\n".encode()
        yield part.content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _headers(part: Part) -> Iterator[Pair]:
    names = [("name", part.name), ("filename", part.file_name)]
    disposition = "".join(f'; {key}="{value.translate(NAME_ESCAPES)}"' for key, value in names if value is not None)
    if disposition:
        yield "Content-Disposition", f"{'attachment' if part.name is None else 'form-data'}{disposition}"
    if part.media_type is not None:
        yield "Content-Type", part.media_type
    yield from part.headers

"""Content codings: the bytes of an answer, decompressed in pieces of bounded size."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import httpx

from portkey_bridge.http.failures import UnaskedCoding
from portkey_bridge.media_types import is_text

#: Most bytes that one step of decompression takes, and returns.
DECODE_STEP, DECODE_PIECE = 4096, 65_536


#: Bytes that no text has.
CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")

#: Bytes of a body that tell text from anything compressed.
TELLING_BYTES = 1024


class Identity:
    """A body that is not compressed."""

    complete = True

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk."""
        yield chunk


class _Inflate:
    """gzip and deflate (RFC 9110 section 8.4.1), in pieces of bounded size: a small body cannot fill the memory.

    `bare` allows a deflate body without the zlib wrapper, which many servers send all the same.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare
        self._inflater: zlib._Decompress | None = None
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._inflater is None or self._inflater.eof

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        for at in range(0, len(chunk), DECODE_STEP):  # each member of gzip leaves a copy of the rest
            yield from self._decompress(chunk[at : at + DECODE_STEP])

    def _decompress(self, chunk: bytes) -> Iterator[bytes]:
        piece = b""
        while not self._ended and (chunk or len(piece) == DECODE_PIECE):
            if self._inflater is None:
                self._inflater = self._fresh(chunk[0])
            elif self._inflater.eof and chunk and chunk[0] == GZIP_FIRST_BYTE:
                self._inflater = self._fresh(chunk[0])  # gzip may have several members (RFC 1952 section 2.2)
            elif self._inflater.eof:
                self._ended = bool(chunk)  # other bytes after the end are not part of the body
                return
            try:
                piece = self._inflater.decompress(chunk, DECODE_PIECE)
            except zlib.error as error:
                raise httpx.DecodingError("the compressed body is damaged") from error
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data
            if piece:
                yield piece

    def _fresh(self, first: int) -> zlib._Decompress:
        """Return a decompressor for what begins with this byte, which tells zlib (RFC 1950 section 2.2) from bare."""
        wrapped = not self._bare or first == GZIP_FIRST_BYTE or first & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS | 32 if wrapped else -zlib.MAX_WBITS)


#: What a member of a gzip file begins with.
GZIP_FIRST_BYTE, GZIP_BEGIN = 0x1F, b"\x1f\x8b"


Decoder = Identity | _Inflate


#: What is asked for. Codings that are nested could hold any size; what is no coding at all means nothing.
CODINGS: dict[str, Callable[[], _Inflate]] = {
    **dict.fromkeys(("gzip", "x-gzip"), _Inflate),
    "deflate": partial(_Inflate, bare=True),
}


#: The other codings of the registry (RFC 9110 section 16.6).
UNASKED_CODINGS = frozenset(("br", "zstd", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"))


def decoder_of(coding: str, media_type: str, first: bytes) -> Decoder:
    """Return what decompresses a body that begins with `first`. Raises UnaskedCoding.

    The bytes count more than the headers: what begins as text is not compressed, and a text that begins as gzip is.
    """
    listed = (each.strip() for each in coding.lower().split(","))
    named = [each for each in listed if each in CODINGS or each in UNASKED_CODINGS]
    if not named:
        return CODINGS["gzip"]() if first.startswith(GZIP_BEGIN) and is_text(media_type) else Identity()
    if _begins_as_text(first):
        return Identity()
    if len(named) > 1 or named[0] not in CODINGS:
        raise UnaskedCoding(f"content-encoding {coding[:40]!r}")
    return CODINGS[named[0]]()


def _begins_as_text(first: bytes) -> bool:
    begin = first[:TELLING_BYTES]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return len(begin) > 1 and not CONTROL_BYTES.search(begin)

"""HTTP/1.1 messages as bytes (RFC 9112): a request that is written, and an answer that is read as it arrives.

Each is checked once and as a whole. h11, which makes objects of all parts and checks each on its own, takes a fifth of
a call's CPU (docs/performance.md); the tests compare this module with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import httpx

#: Bytes that the head of an answer, the trailers of a body, or the line before a chunk may have.
LONGEST_HEAD = 102_400

Field = tuple[bytes, bytes]
"""A header: its name and its value."""

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[!-~]+")

#: The values of headers, each in a line: anything without control characters that end it, and without blanks around it.
_VALUES = re.compile(rb"(?:(?:[^\0\s](?:[^\0\r\n\v\f]*[^\0\s])?)?\n)*")

_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9]) ([0-9]{3})(?: ([^\0\r\n\v\f]*))?\r?\n")
_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*([^\0\r\n\v\f]*)\r?\n")
_FIELDS = re.compile(rb"(?:[-!#$%&'*+.^_`|~0-9A-Za-z]++:[^\0\r\n\v\f]*+\r?\n)*+\r?\n")

#: A line that continues the value before it (RFC 9112 section 5.2).
_FOLDED = re.compile(rb"[ \t]+([^\0\r\n\v\f]*)\r?\n")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\n]*)?[ \t]*")

#: The status after which a connection carries something else, and those without a body (RFC 9110 section 15).
SWITCHING_PROTOCOLS, BODILESS = 101, (204, 304)


class Framing(NamedTuple):
    """Where a body ends, by the headers of its message, and whether the connection does so, too."""

    fields: list[Field]
    length: int | None
    is_chunked: bool
    is_last: bool


def framing_of(fields: Iterable[Field]) -> Framing:
    """Return the framing that headers declare, and the headers with the length once. Raises ValueError.

    (RFC 9112 sections 6.1, 6.2 and 9.3)
    """
    kept: list[Field] = []
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    is_last = False
    for field in fields:
        name = field[0].lower()
        if name == b"content-length":
            is_first, lengths = not lengths, lengths.union(_listed(field[1]))
            if not is_first:
                continue
            field = field[0], min(lengths)
        elif name == b"transfer-encoding":
            field = field[0], field[1].lower()
            codings.append(field[1])
        elif name == b"connection":
            is_last = is_last or b"close" in _listed(field[1])
        kept.append(field)
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise ValueError("lengths differ, or are not numbers")
    if codings not in ([], [b"chunked"]):
        raise ValueError("the transfer coding is unknown")
    return Framing(kept, int(lengths.pop()) if lengths else None, bool(codings), is_last)


class RequestWriter:
    """Writes one request. What it writes is what the request says, or it is refused by httpx.LocalProtocolError."""

    def __init__(self, request: httpx.Request) -> None:
        method, target = request.method.encode(), request.url.raw_path
        if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target)):
            raise httpx.LocalProtocolError("the method or the target has characters that HTTP does not allow")
        lines, framing = _request_fields(tuple(request.headers.raw))
        self.head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
        self.is_last, self.is_complete = framing.is_last, False
        self._is_chunked, self._left = framing.is_chunked, framing.length or 0

    def body(self, part: bytes) -> bytes:
        """Return the bytes that send a part of the body."""
        if self._is_chunked:
            return b"%x\r\n%b\r\n" % (len(part), part) if part else b""
        self._left -= len(part)
        if self._left < 0:
            raise httpx.LocalProtocolError("the body is longer than announced")
        return part

    def end(self) -> bytes:
        """Return the bytes that end the request."""
        if not self._is_chunked and self._left:
            raise httpx.LocalProtocolError("the body is shorter than announced")
        self.is_complete = True
        return b"0\r\n\r\n" if self._is_chunked else b""


@lru_cache(maxsize=256)  # the calls of an operation send the same ones, or differ in the length alone
def _request_fields(raw: tuple[Field, ...]) -> tuple[bytes, Framing]:
    """Return the lines of a request's headers, its Host first (RFC 9110 section 7.2), and its framing.

    Raises httpx.LocalProtocolError.
    """
    try:
        framing = framing_of(raw)
    except ValueError as error:
        raise httpx.LocalProtocolError(str(error)) from error
    fields = framing.fields
    names, values = [name for name, _ in fields], [value for _, value in fields]
    hosts = [at for at, name in enumerate(names) if name.lower() == b"host"]
    lines = b"".join([value + b"\n" for value in values])
    is_valid = (
        len(hosts) == 1
        and all(names)
        and _TOKEN.fullmatch(b"".join(names))
        and lines.count(b"\n") == len(values)
        and _VALUES.fullmatch(lines)
    )
    if not is_valid:
        raise httpx.LocalProtocolError("there is not one Host, or a header has characters that HTTP does not allow")
    fields = [fields[hosts[0]], *fields[: hosts[0]], *fields[hosts[0] + 1 :]]
    return b"".join([b"%b: %b\r\n" % field for field in fields]), framing


class AnswerHead(NamedTuple):
    """The head of an answer: its status, the reason phrase as it came, and its headers."""

    status: int
    reason: bytes
    fields: list[Field]


class AnswerReader:
    """Reads the answer to a request of `method` from the bytes that have arrived, and takes away what it has read.

    It raises httpx.RemoteProtocolError for what is not HTTP. No further answer can follow one that `is_last`.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._searched = 0  # bytes that hold no end of a head or of trailers
        self._left: int | None = 0  # bytes missing of the body or its chunk; None: until the connection ends
        self._is_chunked = self._is_after_chunk = self._has_trailers = False
        self.is_complete = self.is_last = False

    def head(self, arrived: bytearray) -> AnswerHead | None:
        """Return the head of the final answer, None as long as it has not arrived; interim answers are left out."""
        while block := self._block(arrived):
            status_line = _STATUS_LINE.match(block)
            if status_line is None:
                raise httpx.RemoteProtocolError("the answer does not begin like one of HTTP/1")
            version, status, reason = status_line.groups(b"")
            framing = _answer_framing(_fields(block, status_line.end()))
            if int(status) >= 200 or int(status) == SWITCHING_PROTOCOLS:
                self._frame(int(status), version, framing)
                return AnswerHead(int(status), reason, framing.fields)
        return None

    def piece(self, arrived: bytearray) -> bytes:
        """Return what has arrived of the body, at most one chunk; nothing at its end, or until more arrives."""
        if self.is_complete or (self._is_chunked and not self._left and not self._begin_chunk(arrived)):
            return b""
        if self._left is None or len(arrived) <= self._left:
            piece = bytes(arrived)
            arrived.clear()
        else:
            piece = bytes(memoryview(arrived)[: self._left])
            del arrived[: self._left]
        if self._left is not None:
            self._left -= len(piece)
            self.is_complete = not self._left and not self._is_chunked
        return piece

    def end(self) -> None:
        """Finish the answer: nothing more arrives."""
        if self._left is not None:
            raise httpx.RemoteProtocolError("the connection ended before the answer")
        self.is_complete = True

    def _block(self, arrived: bytearray) -> bytes:
        """Take the lines until an empty one; nothing as long as that has not arrived."""
        end = _BLANK_LINE.search(arrived, self._searched)
        size = end.end() if end else len(arrived)
        if size > LONGEST_HEAD or (arrived and arrived[0] <= 0x20):
            raise httpx.RemoteProtocolError("this is not the head of an answer")
        if end is None:
            self._searched = max(0, size - 2)
            return b""
        self._searched = 0
        block = bytes(memoryview(arrived)[:size])
        del arrived[:size]
        return block

    def _frame(self, status: int, version: bytes, framing: Framing) -> None:
        """Determine where the body ends (RFC 9112 section 6.3)."""
        has_switched = status == SWITCHING_PROTOCOLS or (self._method == "CONNECT" and status < 300)
        has_none = has_switched or self._method == "HEAD" or status in BODILESS
        self._is_chunked = framing.is_chunked and not has_none
        self._left = 0 if has_none or framing.is_chunked else framing.length
        self.is_complete = self._left == 0 and not self._is_chunked
        self.is_last = framing.is_last or has_switched or self._left is None or version < b"1.1"

    def _begin_chunk(self, arrived: bytearray) -> bool:
        """Read up to the data of the next chunk (RFC 9112 section 7.1). False as long as it has not come that far."""
        if self._has_trailers:
            return self._read_trailers(arrived)
        start = 2 * self._is_after_chunk
        if not b"\r\n".startswith(arrived[:start]):
            raise httpx.RemoteProtocolError("a chunk is longer than announced")
        end = arrived.find(b"\r\n", start)
        if max(end, len(arrived) if end < 0 else 0) > LONGEST_HEAD:
            raise httpx.RemoteProtocolError("the line before a chunk is too long")
        if end < 0:
            return False
        chunk = _CHUNK.fullmatch(arrived, start, end)
        if chunk is None:
            raise httpx.RemoteProtocolError("a chunk has no size")
        self._left, self._is_after_chunk = int(chunk[1], 16), True
        del arrived[: end + 2]
        if self._left:
            return bool(arrived)
        self._has_trailers = True
        return self._read_trailers(arrived)

    def _read_trailers(self, arrived: bytearray) -> bool:
        """Read what comes after the last chunk, which is not used. False: no data follows."""
        for empty in (b"\n", b"\r\n"):
            if arrived.startswith(empty):
                del arrived[: len(empty)]
                self.is_complete = True
                return False
        if arrived and arrived != b"\r" and (block := self._block(arrived)):
            _fields(block, 0)
            self.is_complete = True
        return False


def _fields(block: bytes, at: int) -> list[Field]:
    """Return the headers in lines that an empty one ends."""
    if _FIELDS.fullmatch(block, at):  # as nearly always: none is folded
        return [(name, value.rstrip(b" \t")) for name, value in _FIELD.findall(block, at)]
    fields: list[Field] = []
    while found := _FIELD.match(block, at):
        name, value = found.groups()
        at = found.end()
        while folded := _FOLDED.match(block, at):
            value, at = b"%b %b" % (value, folded[1]), folded.end()
        fields.append((name, value.strip(b" \t")))
    if block[at:] not in (b"\n", b"\r\n"):
        raise httpx.RemoteProtocolError("a line is not a header")
    return fields


def _answer_framing(fields: list[Field]) -> Framing:
    try:
        return framing_of(fields)
    except ValueError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


def _listed(value: bytes) -> list[bytes]:
    """Return the items of a header that is a list, in lower case (RFC 9110 section 5.6.1)."""
    return [item.strip() for item in value.lower().split(b",")]

"""HTTP/1.1 messages as bytes: what is written and read, what is refused, and where a message ends, as h11 has it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from portkey_bridge.http.http1 import LONGEST_HEAD, AnswerReader, RequestWriter

#: Parts of answers, valid and not.
STATUS_LINES = ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 404", "HTTP/1.1 204 ", "HTTP/1.1 304 é", "HTTP/1.1 20"]
INTERIM = ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nlink: <x>\r\n\r\n", "\r\n", " "]
FIELDS = [
    *("content-length: 5", "Content-Length: 5, 5", "content-length: 6", "content-length: x", "content-length: 0"),
    *("transfer-encoding: chunked", "Transfer-Encoding: CHUNKED", "transfer-encoding: gzip", "connection: Close"),
    *(
        "x:",
        "X-a: \t a\tb  ",
        " folded",
        "\tfolded ",
        "x y: z",
        "x : z",
        ": z",
        "x\0: z",
        "x: a\0b",
        "x: a\rb",
        "x: \xe9",
    ),
]
BODIES = [
    *("", "hello", "hello!", "5\r\nhello\r\n0\r\n\r\n", "2;a=b\r\nhe\r\n3 \r\nllo\r\n000\r\nx: y\r\n\r\n", "0\n\n"),
    *("5\r\nhelloX\r\n0\r\n\r\n", "z\r\n", "2\r\nhe\r\n0\r\n\n", "2\r\nhe\r\n0\r\n: bad\r\n\r\n", "f" * 21 + "\r\n"),
]
LINE_ENDS = ["\r\n", "\n", "\r"]

Outcome = tuple[Any, ...]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return an answer, which may be damaged anywhere."""
    end = draw(st.sampled_from(LINE_ENDS[:2]))
    lines = [draw(st.sampled_from(STATUS_LINES)), *draw(st.lists(st.sampled_from(FIELDS), max_size=4)), "", ""]
    text = draw(st.sampled_from(INTERIM)) + end.join(lines) + draw(st.sampled_from(BODIES))
    at = draw(st.integers(0, len(text)))
    damage = draw(st.sampled_from(["", "", "", "\0", "\r", "\n", " ", "HTTP/1.1 200 OK\r\n\r\n"]))
    return (text[:at] + damage + text[at:]).encode("latin-1")


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the content in pieces, cut at these places."""
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    yield from (content[start:end] for start, end in pairwise(places))


def read(method: str, content: list[bytes]) -> Outcome:
    """Return what is read of an answer whose connection ends afterwards: head and body; nothing if it is refused."""
    reader, arrived, waiting = AnswerReader(method), bytearray(), iter(content)
    head, body = None, b""
    try:
        while head is None or not reader.is_complete:
            head = head or reader.head(arrived)
            if head and (piece := reader.piece(arrived)):
                body += piece
            elif head is None or not reader.is_complete:
                part = next(waiting, None)
                arrived += part or b""
                if part is None:
                    reader.end()
    except httpx.RemoteProtocolError:
        return ()
    assert head is not None
    may_follow = not reader.is_last and not arrived and not any(waiting)
    return head.status, head.reason, head.fields, body, may_follow


def read_by_h11(method: str, content: list[bytes]) -> Outcome:
    """Return what h11 reads of the same."""
    connection = h11.Connection(h11.CLIENT, LONGEST_HEAD)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a.test")]))
    connection.send(h11.EndOfMessage())
    waiting, head, body, has_ended = iter([*content, b""]), None, b"", False
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                has_ended = not (part := next(waiting))
                connection.receive_data(part)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
    except h11.RemoteProtocolError:
        return ()
    assert head is not None
    is_reusable = connection.our_state is h11.DONE and connection.their_state is h11.DONE and not has_ended
    may_follow = is_reusable and not connection.trailing_data[0] and not any(waiting)
    return head.status_code, bytes(head.reason), head.headers.raw_items(), body, may_follow


@pytest.mark.slow
@examples(max_examples=800)
@given(st.sampled_from(["GET", "HEAD"]), answers(), st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_is_read_as_h11_reads_it(method: str, answer: bytes, cuts: list[int]) -> None:
    """Head, body, and whether another answer may follow are the same, however the bytes arrive."""
    content = list(pieces(answer, cuts))
    assert read(method, content) == read_by_h11(method, content)


NAMES = [b"x-a", b"X", b"Host", b"host", b"content-length", b"transfer-encoding", b"connection", b"", b"x y", b"x:"]
VALUES = [
    b"1",
    b"2",
    b"chunked",
    b"close",
    b"",
    b" x",
    b"x ",
    b"a\tb c",
    b"a\nb",
    b"a\r\nb: c",
    b"\0",
    b"\xff",
    b"a, b",
]


@pytest.mark.slow
@examples(max_examples=800)
@given(
    st.sampled_from(["GET", "POST", "x-Y", "A B", ""]),
    st.sampled_from(["/", "/x?y", "/é", "/a b", "/\r\n"]),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4),
    st.lists(st.sampled_from([b"", b"a", b"bc"]), max_size=3),
)
def test_a_request_is_written_as_h11_writes_it(
    method: str, target: str, headers: list[tuple[bytes, bytes]], body: list[bytes]
) -> None:
    """The bytes are the same, and so is what is refused: nothing that would be read as another header or request."""
    headers = [(b"host", b"a.test"), *headers]
    assert written(method, target, headers, body) == written_by_h11(method, target, headers, body)


def written(method: str, target: str, headers: list[tuple[bytes, bytes]], body: list[bytes]) -> bytes:
    """Return a request as bytes, nothing if it is refused."""
    request = httpx.Request(method, "http://a.test/", headers=headers, stream=httpx.ByteStream(b""))
    request.method = method
    request.url = _Target(target)
    try:
        writer = RequestWriter(request)
        return writer.head + b"".join(writer.body(part) for part in body) + writer.end()
    except httpx.LocalProtocolError:
        return b""


class _Target(httpx.URL):
    """A URL whose target is not escaped."""

    def __init__(self, target: str) -> None:
        super().__init__("http://a.test/")
        self._target = target.encode("latin-1")

    @property
    def raw_path(self) -> bytes:
        return self._target


def written_by_h11(method: str, target: str, headers: list[tuple[bytes, bytes]], body: list[bytes]) -> bytes:
    """Return what h11 writes of the same."""
    connection = h11.Connection(h11.CLIENT)
    try:
        sent = connection.send(h11.Request(method=method, target=target.encode("latin-1"), headers=headers)) or b""
        sent += b"".join(connection.send(h11.Data(data=part)) or b"" for part in body)
        return sent + (connection.send(h11.EndOfMessage()) or b"")
    except h11.LocalProtocolError:
        return b""


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\nx: %b" % (b"y" * 150_000),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;%b" % (b"y" * 150_000),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: %b" % (b"y" * 150_000),
    ],
)
def test_what_has_no_end_is_refused(endless: bytes) -> None:
    """A head, the line before a chunk and trailers do not fill the memory: they end after a hundred kilobytes."""
    reader, arrived = AnswerReader("GET"), bytearray(endless)
    with pytest.raises(httpx.RemoteProtocolError):
        assert reader.head(arrived) is None or not reader.piece(arrived)

"""What is repeated, what is followed, what is read, and what is said when it fails."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from portkey_bridge.http.connections import Connections
from portkey_bridge.http.decoding import CODINGS
from portkey_bridge.http.failures import TooLarge, UnaskedCoding, explain_failure
from portkey_bridge.http.policy import may_have_happened, may_repeat, redirected, retry_after
from portkey_bridge.http.transport import Transport
from portkey_bridge.settings.values import Timeouts
from tests.conftest import Recorder

URL = "https://api.example.com/v1/things"


def request(method: str = "GET", **more: Any) -> httpx.Request:
    """Return a request."""
    return httpx.Request(method, URL, **more)


async def _file() -> AsyncIterator[bytes]:
    yield b"once"


#: method, outcome, may it be sent again (RFC 9110 sections 9.2.2, 10.2.3 and 15.6.4, RFC 6585 section 4)
REPETITIONS = [
    ("GET", httpx.Response(429), True),
    ("POST", httpx.Response(429), True),
    ("GET", httpx.Response(503), True),
    ("POST", httpx.Response(503), False),
    ("POST", httpx.Response(503, headers={"retry-after": "1"}), True),
    ("GET", httpx.Response(429, headers={"retry-after": "60"}), True),
    ("GET", httpx.Response(429, headers={"retry-after": "61"}), False),
    ("GET", httpx.Response(500), False),
    ("GET", httpx.Response(502), False),
    ("GET", httpx.Response(200), False),
    ("POST", httpx.ConnectError("refused"), True),
    ("POST", httpx.ConnectTimeout("slow"), True),
    ("POST", httpx.ReadError("reset"), False),
    ("POST", httpx.RemoteProtocolError("closed"), False),
    ("PATCH", httpx.ReadError("reset"), False),
    ("GET", httpx.ReadError("reset"), True),
    ("PUT", httpx.RemoteProtocolError("closed"), True),
    ("DELETE", httpx.WriteError("reset"), True),
    ("GET", httpx.ReadTimeout("slow"), False),
    ("GET", httpx.UnsupportedProtocol("ftp"), False),
    ("GET", asyncio.CancelledError(), False),
]


@pytest.mark.parametrize(("method", "outcome", "expected"), REPETITIONS)
def test_only_what_does_nothing_twice_is_repeated(
    method: str, outcome: httpx.Response | BaseException, expected: bool
) -> None:
    """A request is sent again after a failure that did nothing, or if its method is idempotent, and never else."""
    assert may_repeat(request(method), outcome) is expected


#: method, failure, may the API have acted upon it although no answer came
DOUBTS = [
    ("POST", httpx.ReadError("reset"), True),
    ("POST", httpx.ReadTimeout("slow"), True),
    ("PATCH", TimeoutError(), True),
    ("POST", httpx.ConnectError("refused"), False),
    ("POST", httpx.ConnectTimeout("slow"), False),
    ("PUT", httpx.ReadError("reset"), False),
    ("GET", httpx.ReadTimeout("slow"), False),
]


@pytest.mark.parametrize(("method", "error", "expected"), DOUBTS)
def test_what_may_have_been_carried_out_is_known(method: str, error: Exception, expected: bool) -> None:
    """After a failure that came too late to know, only what can be sent twice is beyond doubt."""
    assert may_have_happened(request(method), error) is expected


def test_a_body_that_can_be_read_once_is_sent_once() -> None:
    """A streamed request body is gone after a refusal, and still there where no connection was made."""
    upload = request("POST", content=_file())
    assert not may_repeat(upload, httpx.Response(429))
    assert may_repeat(upload, httpx.ConnectError("refused"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), (" 7 ", 7), ("0", 0), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("9" * 400, None)],
)
def test_retry_after_in_seconds(value: str, expected: float | None) -> None:
    """Seconds are whole numbers (RFC 9110 section 10.2.3); anything else says nothing."""
    assert retry_after(httpx.Response(429, headers={"retry-after": value})) == expected


def test_retry_after_as_a_date() -> None:
    """A date is the time until then, and one that is past is now."""
    later = httpx.Response(429, headers={"retry-after": formatdate(time() + 30, usegmt=True)})
    assert retry_after(later) == pytest.approx(30, abs=2)
    assert retry_after(httpx.Response(429, headers={"retry-after": formatdate(time() - 30, usegmt=True)})) == 0


SECRET = "marker-of-a-secret-credential"  # noqa: S105  # it is none
CREDENTIALS = {"authorization": SECRET, "x-api-key": SECRET, "cookie": f"session={SECRET}", "accept": "text/plain"}


def test_a_redirect_within_the_origin_keeps_all() -> None:
    """The same scheme, host and port is who the credentials are meant for."""
    followed = redirected(request(headers=CREDENTIALS), httpx.Response(302, headers={"location": "/other?a=1"}))
    assert followed is not None
    assert str(followed.url) == "https://api.example.com/other?a=1"
    assert {name: followed.headers[name] for name in CREDENTIALS} == CREDENTIALS


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.example.com/",
        "http://api.example.com/v1/things",
        "https://api.example.com:8443/",
        "https://api.example.com:0/",
        "//elsewhere.example.com/",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_origin_gets_no_credential(location: str, status: int) -> None:
    """Another scheme, host or port is another origin, and gets no header that may be a credential, and no query."""
    basic = {"proxy-authorization": SECRET, "authorization": f"Basic {SECRET}"}
    asked = httpx.Request("GET", f"{URL}?key={SECRET}", headers=CREDENTIALS | basic)
    followed = redirected(asked, httpx.Response(status, headers={"location": location}))
    assert followed is not None
    assert followed.headers["accept"] == "text/plain"
    assert SECRET not in f"{followed.url} {followed.headers.raw}"


#: method, status, location
NOT_FOLLOWED = [
    ("POST", 302, "/other"),
    ("POST", 303, "/other"),
    ("DELETE", 308, "/other"),
    ("GET", 302, "ftp://elsewhere.example.com/"),
    ("GET", 302, "file:///etc/passwd"),
    ("GET", 302, "https://user:word@elsewhere.example.com/"),
    ("GET", 302, f"https://elsewhere.example.com/?key={SECRET}"),
    ("GET", 302, "https://elsewhere.example.com:port/"),
    ("GET", 302, "https://xn--a/"),
    ("GET", 302, "https://256.1.1.1/"),
    *(
        ("GET", 302, f"{scheme}://{host}/")
        for scheme in ("http", "https")
        for host in ("a:99999", "a:-1", "a..b", ".", "xn--a", f"{'a' * 64}.example.com", "[::1")
    ),
    ("GET", 302, "/" + "a" * 70_000),
    ("GET", 304, "/other"),
    ("GET", 200, "/other"),
]


@pytest.mark.parametrize(("method", "status", "location"), NOT_FOLLOWED)
def test_redirects_that_are_not_followed(method: str, status: int, location: str) -> None:
    """Only safe methods are followed, only over HTTP, and never with a secret to somebody else."""
    response = httpx.Response(status, headers={"location": location})
    assert redirected(request(method), response, lambda text: text.replace(SECRET, "…")) is None


def test_a_get_with_a_body_is_not_followed() -> None:
    """The body would have to be sent to somebody whom it was not written for."""
    assert redirected(request(content=b"{}"), httpx.Response(302, headers={"location": "/other"})) is None


@pytest.fixture
def httpx_mock(httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch) -> HTTPXMock:
    """Answer what goes directly, too, and not only what goes by httpx's own transport."""
    monkeypatch.setattr(Connections, "handle_async_request", httpx.AsyncHTTPTransport.handle_async_request)
    return httpx_mock


@pytest.fixture
def slept() -> list[float]:
    """Return the list of the pauses that were made."""
    return []


@pytest.fixture
async def make(slept: list[float]) -> AsyncIterator[Callable[..., Transport]]:
    """Return a function that makes transports; they are closed in the end."""
    made: list[Transport] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def make(**settings: Any) -> Transport:
        defaults = {"timeouts": Timeouts(60, 60, 60), "retries": 2, "concurrency": 2, "limit": 1000, "sleep": sleep}
        made.append(Transport(**{**defaults, **settings}))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()


async def body(transport: Transport, sent: httpx.Request | None = None) -> bytes:
    """Exchange a request for the whole body."""
    async with transport.exchange(sent or request()) as response:
        return await response.aread()


async def test_a_refused_request_is_sent_again(
    make: Callable[..., Transport], slept: list[float], httpx_mock: HTTPXMock
) -> None:
    """429 and 503 are answered by another try, after at least the pause that was asked for."""
    httpx_mock.add_response(status_code=429, headers={"retry-after": "7"})
    httpx_mock.add_response(status_code=503)
    httpx_mock.add_response(text="done")
    assert await body(make()) == b"done"
    assert len(slept) == 2
    assert slept[0] >= 7


async def test_the_last_refusal_is_the_answer(make: Callable[..., Transport], httpx_mock: HTTPXMock) -> None:
    """Retries are bounded; what the API said last is what the caller gets."""
    for number in range(3):
        httpx_mock.add_response(status_code=429, text=f"refused {number}")
    assert await body(make()) == b"refused 2"


async def test_the_last_failure_is_raised(make: Callable[..., Transport], httpx_mock: HTTPXMock) -> None:
    """Where no try got an answer, the last error is the error."""
    for _ in range(3):
        httpx_mock.add_exception(httpx.ConnectError("refused"))
    with pytest.raises(httpx.ConnectError):
        await body(make())


async def test_no_retries_means_one_try(make: Callable[..., Transport], httpx_mock: HTTPXMock) -> None:
    """The setting 0 sends once."""
    httpx_mock.add_response(status_code=503, text="down")
    assert await body(make(retries=0)) == b"down"


async def test_pauses_grow_and_end(
    make: Callable[..., Transport], slept: list[float], httpx_mock: HTTPXMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause is drawn from up to half a second, twice as much each time, and never more than eight seconds."""
    monkeypatch.setattr("random.uniform", lambda least, most: least + most)
    httpx_mock.add_response(status_code=503, is_reusable=True)
    await body(make(retries=6))
    assert slept == [0.5, 1, 2, 4, 8, 8]


async def test_a_pause_that_is_longer_than_the_call_may_take_is_not_made(
    make: Callable[..., Transport], slept: list[float], httpx_mock: HTTPXMock
) -> None:
    """The refusal is the answer then, and not that time ran out."""
    httpx_mock.add_response(status_code=429, headers={"retry-after": "7"}, text="later")
    assert await body(make(timeouts=Timeouts(1, 1, 6))) == b"later"
    assert slept == []


async def test_redirects_end(make: Callable[..., Transport], httpx_mock: HTTPXMock) -> None:
    """A circle of redirects is an error, not a loop."""
    httpx_mock.add_response(status_code=302, headers={"location": URL}, is_reusable=True)
    with pytest.raises(httpx.TooManyRedirects):
        await body(make())
    assert len(httpx_mock.get_requests()) == 6


PROXIED = "http://api.example.test/v1/things?a=b%2Fc"

#: The environment with PROXY for the proxy's URL, and whether a request for PROXIED goes through it
PROXIES = [
    ({"HTTP_PROXY": "PROXY"}, True),
    ({"http_proxy": "PROXY", "no_proxy": "example.com"}, True),
    ({"ALL_PROXY": "PROXY"}, True),
    ({"HTTPS_PROXY": "PROXY"}, False),
    ({"HTTP_PROXY": "PROXY", "NO_PROXY": "example.test"}, False),
    ({"ALL_PROXY": "PROXY", "NO_PROXY": "*"}, False),
]


@pytest.mark.parametrize(("environment", "proxied"), PROXIES)
async def test_proxies_come_from_the_environment(
    make: Callable[..., Transport],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    proxied: bool,
) -> None:
    """The usual variables name the proxy, which gets the whole URL as it was written, and those that need none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("PROXY", recorder.url))
    sent = httpx.Request("GET", PROXIED)
    if proxied:
        assert await body(make(), sent) == b'{"ok": true}'
        assert recorder.last.target == PROXIED
    else:
        with pytest.raises(httpx.ConnectError):
            await body(make(retries=0), sent)
        assert not recorder.requests


async def test_certificates_come_from_the_environment(
    make: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server whose certificate stands in SSL_CERT_FILE is trusted; of any other the refusal names that variable."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    named = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, "req", "-x509", *made, *named], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        sent = httpx.Request("GET", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        with pytest.raises(httpx.ConnectError) as refused:
            await body(make(retries=0), sent)
        assert "SSL_CERT_FILE" in explain_failure(refused.value, "127.0.0.1", Timeouts())
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        assert await body(make(retries=0), sent) == b"ok"


UNUSABLE = ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:1", "http://256.1.1.1", "http://a..b:1"]


@pytest.mark.parametrize("proxy", UNUSABLE)
async def test_a_proxy_that_cannot_be_used_is_an_error_of_the_transport(
    make: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A proxy of an unknown kind, or one that is not there, is said in a sentence and not a crash."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(httpx.TransportError):
        await body(make(retries=0), httpx.Request("GET", PROXIED))


async def test_a_user_in_the_url_is_sent_as_basic_authentication(
    make: Callable[..., Transport], recorder: Recorder
) -> None:
    """The part before the `@` goes into the header (RFC 7617), and not into the target."""
    url = recorder.url.replace("http://", "http://user:word@")
    await body(make(), httpx.Request("GET", f"{url}/x"))
    assert recorder.last.header("authorization") == "Basic dXNlcjp3b3Jk"
    assert recorder.last.target == "/x"


async def test_connections_are_used_again(make: Callable[..., Transport], recorder: Recorder) -> None:
    """Calls one after the other share a connection, and calls at once have no more than they need."""
    transport = make(concurrency=2)
    for _ in range(3):
        await body(transport, httpx.Request("GET", recorder.url))
    assert recorder.connections == 1
    await asyncio.gather(*(body(transport, httpx.Request("GET", recorder.url)) for _ in range(6)))
    assert recorder.connections == 2


BOMB = gzip.compress(bytes(50_000_000), mtime=0)

#: content-encoding, body as sent, what is read or raised
BODIES: list[tuple[str, bytes, bytes | type[Exception]]] = [
    ("identity", b"plain", b"plain"),
    ("gzip", gzip.compress(b"one" * 100, mtime=0), b"one" * 100),
    ("gzip", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0), b"onetwo"),
    ("deflate", zlib.compress(b"one" * 100), b"one" * 100),
    ("identity, gzip", gzip.compress(b"one" * 100, mtime=0), b"one" * 100),
    ("aws-chunked,GZip", gzip.compress(b"one" * 100, mtime=0), b"one" * 100),
    ("gzip", b"", b""),
    ("gzip", BOMB, TooLarge),
    ("gzip", gzip.compress(b"one", mtime=0) + bytes(100), b"one"),
    ("deflate", zlib.compress(b"one" * 100)[2:-4], b"one" * 100),
    ("deflate", gzip.compress(b"one", mtime=0), b"one"),
    ("utf-8", b"plain", b"plain"),
    ("", b"plain", b"plain"),
    ("gzip, gzip", gzip.compress(BOMB, mtime=0), UnaskedCoding),
    ("br", b"\x0b\x02\x80one\x03", UnaskedCoding),
    ("zstd", b"(\xb5/\xfd\x04\x00\x19\x00\x00one", UnaskedCoding),
    *(
        (coding, '{"a": "é"}'.encode(), '{"a": "é"}'.encode())
        for coding in ("br", "zstd", "gzip", "deflate", "gzip, br")
    ),
    ("deflate", b"\xffwhatever", httpx.DecodingError),
    ("gzip", b"\x1f\x8b is no gzip", httpx.DecodingError),
    ("gzip", b"\x00 is no gzip", httpx.DecodingError),
    ("gzip", gzip.compress(b"one" * 100, mtime=0)[:-6], httpx.DecodingError),
    ("identity", b"x" * 1000, b"x" * 1000),
    ("identity", b"x" * 1001, TooLarge),
]


@pytest.mark.parametrize(("coding", "sent", "expected"), BODIES)
async def test_bodies_are_decompressed_and_bounded(
    make: Callable[..., Transport],
    httpx_mock: HTTPXMock,
    coding: str,
    sent: bytes,
    expected: bytes | type[Exception],
) -> None:
    """The limit counts what comes out of a compressed body, and a damaged one is an error. Text is not compressed."""
    httpx_mock.add_response(stream=_Stream(sent), headers={"content-encoding": coding})
    if isinstance(expected, bytes):
        assert await body(make()) == expected
        return
    with pytest.raises(expected):
        await body(make())


@pytest.mark.parametrize(
    ("media_type", "is_decompressed"),
    [("application/json", True), ("text/csv; charset=utf-8", True), ("application/gzip", False), ("", False)],
)
async def test_a_text_that_is_compressed_without_a_word_is_read(
    make: Callable[..., Transport], httpx_mock: HTTPXMock, media_type: str, is_decompressed: bool
) -> None:
    """What is declared as text and begins as gzip is text that was stored compressed; any other file stays a file."""
    content = gzip.compress(b'{"a": 1}', mtime=0)
    httpx_mock.add_response(stream=_Stream(content), headers={"content-type": media_type} if media_type else {})
    assert await body(make()) == (b'{"a": 1}' if is_decompressed else content)


class _Stream(httpx.AsyncByteStream):
    """A body as it comes from the network, which nobody has decompressed."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), 1000):
            yield self.content[at : at + 1000]


def test_other_bytes_after_many_members_of_gzip_end_the_body() -> None:
    """All 100,000 members are read, and nothing that follows other bytes."""
    decode = CODINGS["gzip"]()
    body = gzip.compress(b"x") * 100_000 + b"no gzip" + gzip.compress(b"y") * 10_000
    assert b"".join(decode(body)) == b"x" * 100_000
    assert decode.complete


async def test_calls_wait_for_their_turn(make: Callable[..., Transport], httpx_mock: HTTPXMock) -> None:
    """No more calls than allowed run at the same time; those that wait go on in the order in which they came."""
    httpx_mock.add_response(text="ok", is_reusable=True)
    transport, running, most, order = make(concurrency=2), 0, 0, []
    gates = [asyncio.Event() for _ in range(6)]

    async def call(number: int) -> None:
        nonlocal running, most
        async with transport.exchange(request()):
            order.append(number)
            running, most = running + 1, max(most, running + 1)
            await gates[number].wait()
            running -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(call(number))
        for gate in gates:
            await asyncio.sleep(0)
            gate.set()
    assert most == 2
    assert order == list(range(6))


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def test_every_failure_has_a_sentence_of_its_own() -> None:
    """What is said differs by what happened, names the host, and repeats nothing of the error's own text."""
    failures = [
        TooLarge(5_000_000),
        _caused(httpx.ConnectError(SECRET), ssl.SSLCertVerificationError(SECRET)),
        _caused(httpx.ConnectError(SECRET), ssl.SSLError(SECRET)),
        _caused(httpx.ConnectError(SECRET), socket.gaierror(SECRET)),
        _caused(httpx.ConnectError(SECRET), ConnectionRefusedError(SECRET)),
        *(
            kind(SECRET)
            for kind in (
                httpx.ProxyError,
                httpx.ConnectTimeout,
                httpx.ConnectError,
                httpx.PoolTimeout,
                httpx.WriteTimeout,
                httpx.ReadTimeout,
                httpx.WriteError,
                httpx.ReadError,
                UnaskedCoding,
                httpx.DecodingError,
                httpx.TooManyRedirects,
                httpx.RemoteProtocolError,
                httpx.UnsupportedProtocol,
                httpx.CloseError,
            )
        ),
        TimeoutError(SECRET),
    ]
    sentences = [explain_failure(error, "api.example.com", Timeouts()) for error in failures]
    assert len(set(sentences)) == len(failures)
    assert SECRET not in "".join(sentences)
    assert "{" not in "".join(sentences)

"""One exchange with the API: sends a request, authenticates it, and reads the answer as it arrives."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import NamedTuple, cast

import httpx

from portkey_bridge.errors import TransportError
from portkey_bridge.http.failures import (
    AFTER_REDIRECT,
    EXCHANGE_FAILURES,
    WITHOUT_CERTIFICATE,
    TooLarge,
    explain_failure,
)
from portkey_bridge.http.policy import may_have_happened
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import Operation
from portkey_bridge.response.answer import Answer, declared_media_type
from portkey_bridge.response.answer_cache import AnswerCache
from portkey_bridge.response.events import EventReader, is_event_stream, json_lines, reader_of, server_sent_events
from portkey_bridge.response.results import beside
from portkey_bridge.response.streams import Hide, Report, Stream, is_cut_watch, no_report, watched
from portkey_bridge.settings.options import key_in_file
from portkey_bridge.text import origin_of

#: Media types that some APIs declare for their streams.
UNDECLARED_STREAMS = ("", "application/json")

#: Exceptions that end a stream which could have gone on, such as a watch, and what is said about it.
ENDS_STREAM = (TimeoutError, httpx.ReadTimeout)
STILL_OPEN = "The stream was still open when the time limit ended the call ({}); this is what came so far."

SENT_NOTHING = "it sent nothing within the seconds of streamLimit"
CUT = "The stream was cut after {} events, as streamLimit asks for; there may be more."

#: What is said of a request without an answer that may have changed something.
DOUBT = "It may have been carried out: look before you call it again."

AuthFlow = Generator[httpx.Request, httpx.Response, None]
"""What an authentication of httpx makes of a request and the answers to it."""


class AnswerReading(NamedTuple):
    """How an answer is read: what is told about each event of a stream, and where the caller wants it cut.

    `owner` is the caller whose kept answers may be used, if any may.
    """

    report: Report = no_report
    most_events: int | None = None
    seconds: float | None = None
    owner: str | None = None
    from_cache: bool = True

    def until(self) -> float:
        """Return when reading ends, by the clock of the event loop; never if the caller does not say."""
        return math.inf if self.seconds is None else asyncio.get_running_loop().time() + self.seconds


@dataclass(frozen=True)
class Exchange:
    """Sends requests by `transport`. `redact` hides secrets in what is reported while a stream is read.

    `cache` keeps answers; None if none are kept.
    """

    transport: Transport
    redact: Hide
    cache: AnswerCache | None = None

    async def answer(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, reading: AnswerReading
    ) -> Answer:
        """Send a request and return the answer, or as much of it as arrived. Raises TransportError for no answer.

        What is signed differs each time, so its answer is not kept.
        """
        if self.cache is None or signer is not None or not reading.from_cache:
            return await self._sent(operation, request, signer, reading)
        return await self.cache.answer(
            request, reading.owner, lambda request: self._sent(operation, request, None, reading)
        )

    async def _sent(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, reading: AnswerReading
    ) -> Answer:
        until = reading.until()
        try:
            if signer is None:
                return await self._answered(request, None, reading, until)
            if signer.requires_request_body:
                await request.aread()
            flow = signer.auth_flow(request)
            return await self._answered(next(flow), flow, reading, until)
        except EXCHANGE_FAILURES as error:
            is_over = isinstance(error, TimeoutError) and asyncio.get_running_loop().time() >= until
            problem = SENT_NOTHING if is_over else _explained(error, request, self.transport)
            doubt = f" {DOUBT}" * may_have_happened(request, error)
            raise TransportError(f"{operation.method} {operation.path} got no answer: {problem}.{doubt}") from error

    async def _answered(
        self, request: httpx.Request, flow: AuthFlow | None, reading: AnswerReading, until: float
    ) -> Answer:
        """Send a request, and those that its authentication makes of the answers; read the last answer."""
        async with self.transport.exchange(request, until) as response:
            following = _following(flow, response) if flow else None
            if flow is None or following is None:
                return await self._read(response, reading, until, _redirected_to(request, response))
        return await self._answered(following, flow, reading, until)

    async def _read(self, response: httpx.Response, reading: AnswerReading, until: float, redirected_to: str) -> Answer:
        """Read the body, event by event if it is a stream. If it breaks off, keep what arrived before."""
        if isinstance(response.stream, httpx.ByteStream):  # all of it is there
            answer = _answer(response, b"".join(response.stream), redirected_to)
            if not _is_stream(answer):
                return answer
        reader = reader_of(declared_media_type(response.headers)) if response.is_success else None
        body, stream = BytesIO(), Stream(reading.most_events)
        problem, is_open = "", False
        try:
            if reader is not None:
                await self._read_events(response, reader, body, stream, reading.report, until)
            else:
                async for chunk in watched(_chunks(response), reading.report, self.redact):
                    body.write(chunk)
        except EXCHANGE_FAILURES as error:
            how = explain_failure(error, response.url.host, self.transport.timeouts, api=self.transport.api)
            problem = f"The answer broke off: {how}."
            is_open = isinstance(error, ENDS_STREAM)
            if isinstance(error, TooLarge):
                body = BytesIO()  # nobody can use a part of that size
        answer = _answer(response, body.getvalue(), redirected_to, problem)
        if reader is None:
            await self._read_undeclared(answer, stream, reading.report, is_open)
        if not (stream.count or stream.is_cut or (reader and is_event_stream(answer.body))):
            return answer  # declared as a stream, but something else
        if stream.is_cut:
            answer = replace(answer, problem="", remark=CUT.format(stream.count))
        elif is_open and not stream.lacks_end:
            answer = replace(answer, problem="", remark=STILL_OPEN.format(_time_limit(self.transport)))
        return await beside(
            stream.size,
            lambda: replace(answer, body=stream.merged(), problem=answer.problem or stream.complaint, stream=True),
        )

    async def _read_events(
        self, response: httpx.Response, reader: EventReader, body: BytesIO, stream: Stream, report: Report, until: float
    ) -> None:
        """Read the events into `stream`, and the body into `body` as long as there is no event."""
        time_is_up = asyncio.timeout_at(None if until == math.inf else until)
        try:
            async with time_is_up:
                await stream.read(reader(_kept(_chunks(response), body, stream)), report, self.redact)
        finally:
            stream.is_cut = stream.is_cut or time_is_up.expired()

    async def _read_undeclared(self, answer: Answer, stream: Stream, report: Report, is_open: bool) -> None:
        """Read the events of a body that is a stream although it is not declared as one, or as a watch that is open."""
        if not _is_maybe_stream(answer):
            return
        if is_event_stream(answer.body):
            await stream.read(server_sent_events(_once(answer.body)), report, self.redact)
        elif is_open and is_cut_watch(answer.body):
            await stream.read(json_lines(_once(answer.body)), no_report, self.redact)


def _answer(response: httpx.Response, body: bytes, redirected_to: str, problem: str = "") -> Answer:
    return Answer(
        response.status_code,
        response.reason_phrase,
        response.headers,
        body,
        problem,
        url=response.url,
        redirected_to=redirected_to,
    )


def _is_maybe_stream(answer: Answer) -> bool:
    """Check whether a body may be a stream although it is not declared as one."""
    return 200 <= answer.status < 300 and answer.media_type in UNDECLARED_STREAMS


def _is_stream(answer: Answer) -> bool:
    """Check whether a whole answer is declared as a stream, or is one all the same."""
    if _is_maybe_stream(answer):
        return is_event_stream(answer.body)
    return 200 <= answer.status < 300 and reader_of(answer.media_type) is not None


def _redirected_to(request: httpx.Request, response: httpx.Response) -> str:
    """Return the origin of whoever answered, if it is another than the request was sent to; else an empty text."""
    if response.request is request:
        return ""
    there = origin_of(str(response.url)) or ""
    return "" if there == origin_of(str(request.url)) else there


def _following(flow: AuthFlow, response: httpx.Response) -> httpx.Request | None:
    """Return the request that authentication makes of an answer, or None if the answer is the last one."""
    try:
        return flow.send(response)
    except StopIteration:
        return None


def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    return aiter(cast(httpx.AsyncByteStream, response.stream))


async def _kept(chunks: AsyncIterator[bytes], body: BytesIO, stream: Stream) -> AsyncIterator[bytes]:
    """Yield the chunks, and keep them until the first event: a body without events may not be a stream."""
    async for chunk in chunks:
        if not stream.count:
            body.write(chunk)
        yield chunk


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _time_limit(transport: Transport) -> str:
    limit = str(transport.timeouts)
    return key_in_file(transport.api, "timeouts", limit) or f"OPEN_MCP_TIMEOUTS={limit}"


def _explained(error: BaseException, request: httpx.Request, transport: Transport) -> str:
    """Explain why there is no response; another host than the request's is one that the API redirected to."""
    try:
        failed = error.request.url if isinstance(error, httpx.RequestError) else request.url
    except RuntimeError:  # the error has no request
        failed = request.url
    if (failed.host, failed.port) == (request.url.host, request.url.port):
        own = WITHOUT_CERTIFICATE if failed.scheme == "https" else ()
        return explain_failure(error, failed.host, transport.timeouts, own, transport.api)
    place = failed.netloc.decode("ascii")
    how = explain_failure(error, place, transport.timeouts, AFTER_REDIRECT, transport.api)
    return f"it redirected to another server, and {how}"

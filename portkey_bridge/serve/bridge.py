"""The path of a call: validate the arguments, bind them, write the request, send it, and render the response.

Every failure on it becomes a result that a model can act on and that contains no secret.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import anyio
import httpx
from fastmcp.tools.base import ToolResult

from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.provider import Provider
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.credentials.signing import AwsAccount, signer_of
from portkey_bridge.errors import ArgumentsError, CallError, TransportError, Violation
from portkey_bridge.http.failures import AFTER_REDIRECT, WITHOUT_CERTIFICATE, TooLarge, explain
from portkey_bridge.http.policy import may_have_happened
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import Operation
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.lenience import bind_anyway
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.writer import write_request
from portkey_bridge.response.answer import Answer, media_type_of
from portkey_bridge.response.charset import redacted_text
from portkey_bridge.response.events import is_event_stream, json_lines, reader_of, server_sent_events
from portkey_bridge.response.headers import declared_error
from portkey_bridge.response.json_views import expand, is_json
from portkey_bridge.response.pages import joined
from portkey_bridge.response.render import Renderer, error_result, text
from portkey_bridge.response.results import beside
from portkey_bridge.response.streams import Report, Stream, is_cut_watch, watched
from portkey_bridge.schema.deadline import OutOfTime, within
from portkey_bridge.serve.next_pages import NEXT_PAGE, TOO_MANY, Following, Limits, collected, page_after, paged
from portkey_bridge.serve.tracing import is_traced, note_status, request_span
from portkey_bridge.settings.values import MOST_PAGES, Timeouts
from portkey_bridge.text import origin_of, printable
from portkey_bridge.tools.catalog import Tool

if TYPE_CHECKING:
    from portkey_bridge.response.selection import Selection

#: Seconds that the check of arguments may take before it goes on in a thread, and altogether.
QUICK, PATIENT = 0.02, 2.0

#: Exceptions that an exchange may fail with.
FAILURES = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, TooLarge)

#: Media types that some APIs declare for their streams.
UNDECLARED_STREAMS = ("", "application/json")

#: What is said once about arguments that could be sent.
LENIENT = "(If the API takes this nevertheless, --lenient or OPEN_MCP_LENIENT=1 sends it.)"
#: Exceptions that end a stream which could have gone on, such as a watch, and what is said about it.
TIME_IS_UP = (TimeoutError, httpx.ReadTimeout)
STILL_OPEN = (
    "The stream was still open when the time limit ended the call (OPEN_MCP_TIMEOUTS={}); this is what came so far."
)

#: What is said of a request without an answer that may have changed something.
DOUBT = "It may have been carried out: look before you call it again."

#: The status that a credential is rejected with (RFC 9110 section 15.5.2).
UNAUTHORIZED = 401


Sent = tuple[Credential, ...]


"""The credentials that a request carried."""
AuthFlow = Generator[httpx.Request, httpx.Response, None]


"""What an authentication of httpx makes of a request and the answers to it."""


async def no_report(number: int, added: str | None) -> None:
    """Do nothing."""


class Lenience:
    """Decides about arguments that the document does not allow: whether they are sent, and what is said if not."""

    def __init__(self, is_on: bool) -> None:
        self.is_on = is_on
        self._is_mentioned = False

    def bound(self, tool: Tool, arguments: Mapping[str, Any], error: ArgumentsError, sources: Sources) -> Bound:
        """Return the arguments in their places if they are to be sent. Raises ArgumentsError if not.

        The first error of arguments that could be sent mentions the option.
        """
        if not self.is_on and self._is_mentioned:
            raise error
        bound = bind_anyway(tool.name, tool.operation, tool.arguments, arguments, sources)
        if bound is None:
            raise error
        if not self.is_on:
            self._is_mentioned = True
            raise ArgumentsError(error.tool, error.violations, LENIENT)
        return bound


class Ask(Protocol):
    """Asks the person about a call. Returns None once it is confirmed, else the result of the call.

    `nonce` tells this question from others about the same call.
    """

    async def __call__(self, tool: Tool, arguments: Mapping[str, Any], nonce: str = "", /) -> ToolResult | None:
        """Ask about a call."""


async def cannot_ask(tool: Tool, arguments: Mapping[str, Any], nonce: str = "") -> ToolResult | None:
    """Refuse a call that needs the confirmation of a person, where there is no way to ask for it."""
    return error_result(
        f"{tool.name} needs the confirmation of a person, and this client cannot ask for it. Nothing was sent. "
        f"Whoever runs this server can take {tool.name} out of `confirm` in the settings."
    )


Take = Callable[[Answer, Renderer], None]


"""Takes an answer without its secrets, and what would render it."""


class CallContext(NamedTuple):
    """Who calls a tool, what is told about each event of a streamed response, and how the person is asked.

    `select` is what the caller wants of the answer. A call that repeats an earlier one with the person's decision has
    the `state` of the question. With `take`, an answer that succeeded is only taken, and the result has what is said
    beside it.
    """

    caller: Caller = LOCAL
    report: Report = no_report
    ask: Ask = cannot_ask
    select: Selection | None = None
    take: Take | None = None
    state: str | None = None


@dataclass(slots=True)
class CallRecord:
    """What happened in a call: no status if no response came. `size` is in bytes; the path is a template."""

    caller: Caller
    tool: str
    method: str
    path: str
    status: int | None = None
    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Bridge:
    """Calls operations. `provider` has the credentials, `base_url` is None to use the document's servers, `aws`
    is what requests are signed with.

    `pages` is how many pages of an answer are collected at once.
    `log` takes one line for each call, and the traceback of an unexpected exception; neither contains a secret.
    `observe` takes the record of each call. `limit` counts a request, and raises CallError if it is one too many.
    """

    transport: Transport
    renderer: Renderer
    provider: Provider = field(repr=False)
    redact: Redactor
    base_url: str | None
    document_uri: str
    sources: Sources
    aws: AwsAccount | None = None
    lenience: Lenience = field(default_factory=lambda: Lenience(False))
    log: Callable[[str], None] | None = None
    validate_responses: bool = False
    pages: int = 1
    observe: Callable[[CallRecord], None] | None = None
    limit: Callable[[], Awaitable[None]] | None = None

    async def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        report: Report = no_report,
        caller: Caller = LOCAL,
        select: Selection | None = None,
        take: Take | None = None,
    ) -> ToolResult:
        """Call the operation and return its response. A failure is a result with `isError` that explains what to do.

        `report` is called for each event of a streamed response; `caller` decides which credentials are used;
        `select` reduces the answer; `take` gets it as it is.
        """
        record = CallRecord(caller, tool.name, tool.operation.method, tool.operation.path)
        began = time.perf_counter()
        try:
            return await self.guarded(tool.name, self._call(tool, arguments, report, record, select, take))
        finally:
            record.seconds = time.perf_counter() - began
            if self.observe is not None:
                self.observe(record)

    async def guarded(self, name: str, running: Awaitable[ToolResult]) -> ToolResult:
        """Await the result of a tool. An exception becomes a result with `isError`.

        An unexpected one is logged with its traceback.
        """
        try:
            return await running
        except CallError as error:
            return error_result(self.redact(str(error)))
        except Exception as error:  # the client gets no traceback: it may contain a secret
            if self.log is not None:
                lines = self.redact("".join(traceback.format_exception(error))).splitlines()
                self.log("\n".join((f"{name} failed unexpectedly", *map(printable, lines))))
            return error_result(
                f"{name} failed because of a bug in portkey-bridge ({type(error).__name__}): please report it with the "
                "traceback that --verbose logs."
            )

    async def _call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        report: Report,
        record: CallRecord,
        select: Selection | None,
        take: Take | None,
    ) -> ToolResult:
        caller = record.caller
        bound, violations = await self._bound(tool, arguments)
        first = await self._sent(tool, bound, report, caller)
        further = page_after(tool, bound, first, self.sources.shapes.root)
        answer = first
        if further is not None and self.pages > 1 and is_json(first.body):
            limits = Limits(self.pages, self.transport.limit, self.transport.timeouts.whole)
            answer, further = await collected(
                first, further, self.sources.shapes.root, partial(self._page, caller=caller), limits, report
            )
        record.status, record.size = answer.status, len(answer.body)
        if take is not None:
            return await beside(len(answer.body), lambda: self._taken(tool, answer, caller, violations, select, take))
        return await beside(len(answer.body), lambda: self._rendered(tool, answer, further, caller, violations, select))

    async def _sent(
        self, tool: Tool, bound: Bound, report: Report, caller: Caller, page: httpx.URL | None = None
    ) -> Answer:
        """Return the answer of a call or its next page; after a 401 that of a second try with another credential."""
        answer, sent = await self._answer(tool, bound, report, caller, page)
        if answer.status == UNAUTHORIZED and await self.provider.rejected(tool.operation, sent, caller):
            answer, _ = await self._answer(tool, bound, report, caller, page)
        return answer

    async def _page(self, following: Following, caller: Caller) -> Answer:
        return await self._sent(following.tool, following.bound, no_report, caller, following.url)

    async def ask(self, tool: Tool, arguments: Mapping[str, Any]) -> Answer:
        """Call an operation for this program itself and return its answer, with its secrets. Raises CallError."""
        bound, _ = await self._bound(tool, arguments)
        answer, _ = await self._answer(tool, bound, no_report, LOCAL)
        return answer

    async def _bound(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Bound, Sequence[Violation]]:
        """Return the arguments in their places, and how they violate the document, which only lenience permits."""
        try:
            return tool.bind(await _validated(tool, arguments)), ()
        except ArgumentsError as error:
            return self.lenience.bound(tool, arguments, error, self.sources), error.violations

    async def next_page(self, result_id: str, context: CallContext) -> ToolResult:
        """Fetch the page after a kept result, append it there, and return a view of it. Raises CallError."""
        results = self.renderer.results
        following, body = results.following(result_id), results[result_id]
        if following is None:
            raise CallError(f"/next: the result {result_id} has no next page.")
        if following.number > MOST_PAGES:
            raise CallError(TOO_MANY.format(MOST_PAGES))
        tool, caller = following.tool, context.caller
        sent = await self._page(following, caller)
        answer = self._redacted(sent)
        if answer.failed or not is_json(answer.body):
            return self.renderer.render(tool.operation, answer, self._hints(tool, answer, caller))
        further = page_after(tool, following.bound, sent, self.sources.shapes.root, following)
        return await beside(len(body), lambda: self._appended(result_id, body, answer, further))

    def _appended(self, result_id: str, body: bytes, answer: Answer, further: Following | None) -> ToolResult:
        both = joined(body, answer.body)
        if both is None or not both[3]:
            self.renderer.results.replace(result_id, body, None)
            return self.renderer.part(answer.body, "This page has no items that could be appended; it is the last one.")
        whole, pointer, start, count = both
        if len(whole) > self.transport.limit:
            raise CallError(f"/next: with one more page the result exceeds {self.transport.limit:,} bytes.")
        self.renderer.results.replace(result_id, whole, further)
        items = f"{pointer}#{start}:{start + count}"
        remark = f"Appended {count:,} items to result {result_id}, which has {start + count:,} now, as {items}."
        part = expand(whole, items, self.renderer.limit).encode()
        return self.renderer.part(part, f"{remark} {NEXT_PAGE.format(result_id) if further else 'It is complete.'}")

    async def _answer(
        self, tool: Tool, bound: Bound, report: Report, caller: Caller, page: httpx.URL | None = None
    ) -> tuple[Answer, Sent]:
        """Write the request with the caller's credentials, send it, and return the answer and the credentials.

        With `page`, the request goes to that URL of the same origin, with the same headers and credentials.
        """
        operation = tool.operation
        sent = await self.provider.credentials(operation, bound.places, caller)
        url = base_url(tool.name, operation.servers, self.base_url, self.document_uri)
        request = write_request(tool.name, operation, bound, sent, url, self.sources).to_httpx()
        if self.limit is not None:
            await self.limit()
        if page is not None:
            request = paged(request, page, {each.name for each in sent if each.location == "query"})
        return await self._logged(operation, request, signer_of(sent, self.aws), report), sent

    def _rendered(
        self,
        tool: Tool,
        answer: Answer,
        further: Following | None,
        caller: Caller,
        violations: Sequence[Violation],
        select: Selection | None,
    ) -> ToolResult:
        answer = self._redacted(answer)
        hints = [*self._hints(tool, answer, caller), _sent_anyway(violations)]
        if further is not None and is_json(answer.body):
            hints.append(NEXT_PAGE.format(self.renderer.results.keep(answer.body, further)))
        return self.renderer.render(tool.operation, answer, hints, select)

    def _taken(
        self,
        tool: Tool,
        answer: Answer,
        caller: Caller,
        violations: Sequence[Violation],
        select: Selection | None,
        take: Take,
    ) -> ToolResult:
        """Have an answer taken, or what is selected of it, and return what is said beside it, or the error that it is.

        Raises SelectError.
        """
        answer = self._redacted(answer)
        hints = [*self._hints(tool, answer, caller), _sent_anyway(violations)]
        take(answer, self.renderer)
        if answer.failed:
            return self.renderer.render(tool.operation, answer, hints)
        if select is not None and is_json(answer.body):
            take(replace(answer, body=select.apply(answer.body) or b"null"), self.renderer)
        return ToolResult(content=[text(hint) for hint in (answer.remark, *hints) if hint])

    async def _logged(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, report: Report
    ) -> Answer:
        """Exchange request and response, and log the outcome of every exchange."""
        began, outcome = time.perf_counter(), "failed unexpectedly"
        try:
            exchange = self._traced if is_traced() else self._exchange
            answer = await exchange(operation, request, signer, report)
            outcome = f"{answer.status} {len(answer.body)} bytes{' (broke off)' if answer.problem else ''}"
            return answer
        except TransportError:
            outcome = "no answer"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if self.log is not None:
                milliseconds = (time.perf_counter() - began) * 1000
                self.log(f"{operation.method} {operation.path} {outcome} {milliseconds:.0f} ms")

    async def _traced(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, report: Report
    ) -> Answer:
        with request_span(operation, request) as span:
            answer = await self._exchange(operation, request, signer, report)
            note_status(span, answer.status)
            return answer

    async def _exchange(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, report: Report
    ) -> Answer:
        try:
            if signer is not None and signer.requires_request_body:
                await request.aread()
            flow = (signer or httpx.Auth()).auth_flow(request)
            return await self._answered(next(flow), flow, report)
        except FAILURES as error:
            problem = _explained(error, request, self.transport.timeouts)
            doubt = f" {DOUBT}" * may_have_happened(request, error)
            raise TransportError(f"{operation.method} {operation.path} got no answer: {problem}.{doubt}") from error

    async def _answered(self, request: httpx.Request, flow: AuthFlow, report: Report) -> Answer:
        """Send a request, and those that its authentication makes of the answers; read the last answer."""
        async with self.transport.exchange(request) as response:
            following = _following(flow, response)
            if following is None:
                return await self._read(response, report, _redirected_to(request, response))
        return await self._answered(following, flow, report)

    async def _read(self, response: httpx.Response, report: Report, redirected_to: str) -> Answer:
        """Read the body, event by event if it is a stream. If it breaks off, keep what arrived before."""
        body, stream = BytesIO(), Stream()
        chunks = cast(httpx.AsyncByteStream, response.stream)
        reader = reader_of(media_type_of(response.headers)) if response.is_success else None
        problem, is_open = "", False
        try:
            if reader is not None:
                await stream.read(reader(_kept(aiter(chunks), body, stream)), report, self.redact)
            else:
                async for chunk in watched(aiter(chunks), report, self.redact):
                    body.write(chunk)
        except FAILURES as error:
            problem = f"The answer broke off: {explain(error, response.url.host, self.transport.timeouts)}."
            is_open = isinstance(error, TIME_IS_UP)
            if isinstance(error, TooLarge):
                body = BytesIO()  # nobody can use a part of that size
        answer = Answer(
            response.status_code,
            response.reason_phrase,
            response.headers,
            body.getvalue(),
            problem,
            url=response.url,
            redirected_to=redirected_to,
        )
        if reader is None:
            await self._read_undeclared(answer, stream, report, is_open)
        if not stream.count and not (reader and is_event_stream(answer.body)):
            return answer  # declared as a stream, but something else
        if is_open and not stream.lacks_end:
            remark = STILL_OPEN.format(self.transport.timeouts)
            answer = replace(answer, problem="", remark=remark)
        return await beside(
            stream.size,
            lambda: replace(answer, body=stream.merged(), problem=answer.problem or stream.complaint, stream=True),
        )

    async def _read_undeclared(self, answer: Answer, stream: Stream, report: Report, is_open: bool) -> None:
        """Read the events of a body that is a stream although it is not declared as one, or as a watch that is open."""
        if not 200 <= answer.status < 300 or answer.media_type not in UNDECLARED_STREAMS:
            return
        if is_event_stream(answer.body):
            await stream.read(server_sent_events(_once(answer.body)), report, self.redact)
        elif is_open and is_cut_watch(answer.body):
            await stream.read(json_lines(_once(answer.body)), no_report, self.redact)

    def _redacted(self, answer: Answer) -> Answer:
        """Return the answer without secrets; most have none, so the parts are looked at one by one only if needed."""
        whole = "\n".join((answer.phrase, answer.problem, *chain(*answer.headers.multi_items())))
        if self.redact(whole) != whole:
            headers = [(self.redact(name), self.redact(value)) for name, value in answer.headers.multi_items()]
            answer = replace(
                answer,
                phrase=self.redact(answer.phrase),
                headers=httpx.Headers([(name.encode(), value.encode()) for name, value in headers]),
                problem=self.redact(answer.problem),
            )
        if (body := self.redact.body(answer.body)) is not answer.body:
            answer = replace(answer, body=body)
        return redacted_text(answer, self.redact)

    def _hints(self, tool: Tool, answer: Answer, caller: Caller) -> list[str]:
        """Return hints: what the status means in the document, and what the credentials have to do with it."""
        if answer.status < 400:
            return self._findings(tool, answer)
        declared = declared_error(tool.operation, answer.status)
        hints = self.provider.hints(tool.operation, answer.status, caller)
        if hints and answer.redirected_to:
            hints = [f"{answer.redirected_to} answered, which the API redirected to and which gets no credentials."]
        return [declared, *hints, *self._findings(tool, answer)]

    def _findings(self, tool: Tool, answer: Answer) -> list[str]:
        if not self.validate_responses or answer.stream or answer.problem:
            return []
        from portkey_bridge.response.conformance import findings

        return findings(tool.operation, answer, self.sources.shapes.root)


def _redirected_to(request: httpx.Request, response: httpx.Response) -> str:
    """Return the origin of whoever answered, if it is another than the request was sent to; else an empty text."""
    if response.request is request:
        return ""
    there = origin_of(str(response.url)) or ""
    return "" if there == origin_of(str(request.url)) else there


def _sent_anyway(violations: Sequence[Violation]) -> str:
    lines = ("Sent although the document does not allow it:", *(f"- {each}" for each in violations))
    return "\n".join(lines) if violations else ""


async def _validated(tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return valid arguments: the usual ones are checked at once, others in a thread, to answer calls meanwhile.

    What cannot be checked in time is left to the API. Raises ArgumentsError.
    """
    try:
        with within(QUICK):
            return tool.validate(arguments)
    except OutOfTime:
        return await anyio.to_thread.run_sync(validate_patiently, tool, arguments)


def validate_patiently(tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return valid arguments, which are checked for as long as it may take. Raises ArgumentsError."""
    try:
        with within(PATIENT):
            return tool.validate(arguments)
    except OutOfTime as error:
        if error.__cause__ is not None:  # what was found by then
            raise error.__cause__ from None
        return arguments


def _following(flow: AuthFlow, response: httpx.Response) -> httpx.Request | None:
    """Return the request that authentication makes of an answer, or None if the answer is the last one."""
    try:
        return flow.send(response)
    except StopIteration:
        return None


async def _kept(chunks: AsyncIterator[bytes], body: BytesIO, stream: Stream) -> AsyncIterator[bytes]:
    """Yield the chunks, and keep them until the first event: a body without events may not be a stream."""
    async for chunk in chunks:
        if not stream.count:
            body.write(chunk)
        yield chunk


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _explained(error: BaseException, request: httpx.Request, timeouts: Timeouts) -> str:
    """Explain why there is no response; another host than the request's is one that the API redirected to."""
    try:
        failed = error.request.url if isinstance(error, httpx.RequestError) else request.url
    except RuntimeError:  # the error has no request
        failed = request.url
    if (failed.host, failed.port) == (request.url.host, request.url.port):
        return explain(error, failed.host, timeouts, WITHOUT_CERTIFICATE if failed.scheme == "https" else ())
    place = failed.netloc.decode("ascii")
    return f"it redirected to another server, and {explain(error, place, timeouts, AFTER_REDIRECT)}"

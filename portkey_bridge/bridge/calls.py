"""The path of a call: validate the arguments, bind them, write the request, send it, and render the response.

Every failure on it becomes a result that a model can act on and that contains no secret.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httpx

from portkey_bridge.bridge.argument_check import Lenience, sent_anyway, validated
from portkey_bridge.bridge.call_record import MISSED, CallRecord, outcome_of, record_of
from portkey_bridge.bridge.exchange import AnswerReading, Exchange
from portkey_bridge.bridge.hiding import redacted
from portkey_bridge.bridge.login_asked import LoginAsked
from portkey_bridge.bridge.next_pages import NEXT_PAGE, TOO_MANY, Following, Limits, collected, page_after, paged
from portkey_bridge.bridge.tracing import is_traced, note_status, request_span
from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.provider import Provider
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.credentials.signing import AwsAccount, signer_of
from portkey_bridge.errors import ArgumentsError, CallError, LoginRequired, TransportError, Violation
from portkey_bridge.http.transport import Transport
from portkey_bridge.openapi.model import Operation
from portkey_bridge.request.arguments import Bound
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.writer import write_request
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.answer_cache import AnswerCache
from portkey_bridge.response.headers import declared_error
from portkey_bridge.response.json_views import is_json
from portkey_bridge.response.pages import join_pages
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import beside
from portkey_bridge.response.streams import Report, no_report
from portkey_bridge.response.tool_result import ToolResult, error_result, text_block
from portkey_bridge.settings.values import MOST_PAGES
from portkey_bridge.text import printable
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.streaming import without_limit

if TYPE_CHECKING:
    from portkey_bridge.response.selection import Selection

Sent = tuple[Credential, ...]
"""The credentials that a request carried."""


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


Run = Callable[[dict[str, Any], CallContext], Awaitable[ToolResult]]
"""Runs a tool with its arguments, for the caller that the context names."""


@dataclass(frozen=True)
class Bridge:
    """Calls operations. `provider` has the credentials, `base_url` is None to use the document's servers, `aws`
    is what requests are signed with.

    `pages` is how many pages of an answer are collected at once, `next_page_hint` is what is said of one more with the
    id of the kept result, `cache` keeps answers to validate them.
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
    next_page_hint: str = NEXT_PAGE
    cache: AnswerCache | None = None
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
        record, began = record_of(tool, caller), time.perf_counter()
        try:
            return await self.guarded(tool.name, self._call(tool, arguments, report, record, select, take))
        finally:
            self._ended(record, began)

    def _ended(self, record: CallRecord, began: float) -> None:
        """Complete the record of a call that has ended, however it did, and have it observed."""
        record.seconds = time.perf_counter() - began
        record.retries = self.transport.take_repeated()
        if self.observe is not None:
            self.observe(record)

    async def guarded(self, name: str, running: Awaitable[ToolResult]) -> ToolResult:
        """Await the result of a tool. An exception becomes a result with `isError`.

        An unexpected one is logged with its traceback.
        """
        try:
            return await running
        except LoginRequired as error:
            return LoginAsked.of(error)
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
        arguments, limit = without_limit(tool.name, tool.stream_argument, arguments)
        bound, violations = await self._bound(tool, arguments)
        reading = AnswerReading(report, owner=caller.subject, **limit)
        first = await self._sent(tool, bound, reading, record)
        further = page_after(tool, bound, first)
        answer = first
        if further is not None and self.pages > 1 and is_json(first.body):
            limits = Limits(self.pages, self.transport.limit, self.transport.timeouts.whole, self.transport.api)
            answer, further = await collected(first, further, partial(self._page, record=record), limits, report)
        record.status, record.size = answer.received
        select = select or tool.select
        if take is not None:
            return await beside(len(answer.body), lambda: self._taken(tool, answer, caller, violations, select, take))
        return await beside(len(answer.body), lambda: self._rendered(tool, answer, further, caller, violations, select))

    async def _sent(
        self, tool: Tool, bound: Bound, reading: AnswerReading, record: CallRecord, page: httpx.URL | None = None
    ) -> Answer:
        """Return the answer of a call or its next page; after a rejection that of a second try, differently."""
        answer, sent = await self._answer(tool, bound, reading, record, page)
        if await self.provider.rejected(tool.operation, answer, sent, record.caller):
            answer, _ = await self._answer(tool, bound, reading, record, page)
        return answer

    async def _page(self, following: Following, record: CallRecord) -> Answer:
        reading = AnswerReading(owner=record.caller.subject)
        return await self._sent(following.tool, following.bound, reading, record, following.url)

    async def ask(self, tool: Tool, arguments: Mapping[str, Any]) -> Answer:
        """Call an operation for this program itself and return its answer, with its secrets. Raises CallError."""
        bound, _ = await self._bound(tool, arguments)
        answer, _ = await self._answer(tool, bound, AnswerReading(from_cache=False), record_of(tool, LOCAL))
        return answer

    async def _bound(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Bound, Sequence[Violation]]:
        """Return the arguments in their places, and how they violate the document, which only lenience permits."""
        if (bound := tool.arguments.bound_if_valid(arguments)) is not None:
            return bound, ()
        try:
            return tool.bind(await validated(tool, arguments)), ()
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
        record, began = record_of(tool, caller), time.perf_counter()
        try:
            sent = await self._page(following, record)
            record.status, record.size = sent.received
        finally:
            self._ended(record, began)
        answer = redacted(sent, self.redact)
        if answer.failed or not is_json(answer.body):
            return self.renderer.render(tool.operation, answer, self._hints(tool, answer, caller))
        further = page_after(tool, following.bound, sent, following)
        return await beside(len(body), lambda: self._appended(result_id, body, answer, further))

    def _appended(self, result_id: str, body: bytes, answer: Answer, further: Following | None) -> ToolResult:
        both = join_pages(body, answer.body)
        if both is None or not (both[3] or further):
            self.renderer.results.replace(result_id, body, None)
            return self.renderer.part(answer.body, "This page has no items that could be appended; it is the last one.")
        whole, pointer, start, count = both
        if len(whole) > self.transport.limit:
            raise CallError(f"/next: with one more page the result exceeds {self.transport.limit:,} bytes.")
        self.renderer.results.replace(result_id, whole, further)
        items = f"{pointer}#{start}:{start + count}"
        remark = f"Appended {count:,} items to result {result_id}, which has {start + count:,} now, as {items}."
        remark += f" {NEXT_PAGE.format(result_id)}" if further else " It is complete."
        return self.renderer.items(whole, items, remark, result_id)

    async def _answer(
        self, tool: Tool, bound: Bound, reading: AnswerReading, record: CallRecord, page: httpx.URL | None = None
    ) -> tuple[Answer, Sent]:
        """Write the request with the caller's credentials, send it, and return the answer and the credentials.

        With `page`, the request goes to that URL of the same origin, with the same headers and credentials.
        """
        operation = tool.operation
        sent = await self.provider.credentials(operation, bound.places, record.caller)
        url = base_url(tool.name, operation.servers, self.base_url, self.document_uri)
        request = write_request(tool.name, operation, bound, sent, url, self.sources).to_httpx()
        if self.limit is not None:
            await self.limit()
        if page is not None:
            request = paged(request, page, {each.name for each in sent if each.location == "query"})
        return await self._logged(operation, request, signer_of(sent, self.aws), reading, record), sent

    def _rendered(
        self,
        tool: Tool,
        answer: Answer,
        further: Following | None,
        caller: Caller,
        violations: Sequence[Violation],
        select: Selection | None,
    ) -> ToolResult:
        answer = redacted(answer, self.redact)
        hints = [*self._hints(tool, answer, caller), sent_anyway(violations)]
        if further is not None and is_json(answer.body):
            hints.append(self.next_page_hint.format(self.renderer.results.keep(answer.body, further)))
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
        answer = redacted(answer, self.redact)
        hints = [*self._hints(tool, answer, caller), sent_anyway(violations)]
        take(answer, self.renderer)
        if answer.failed:
            return self.renderer.render(tool.operation, answer, hints)
        if select is not None and is_json(answer.body):
            take(replace(answer, body=select.apply(answer.body) or b"null"), self.renderer)
        return ToolResult(content=[text_block(hint) for hint in (answer.remark, *hints) if hint])

    async def _logged(
        self,
        operation: Operation,
        request: httpx.Request,
        signer: httpx.Auth | None,
        reading: AnswerReading,
        record: CallRecord,
    ) -> Answer:
        """Exchange request and response, and log the outcome of every exchange and note it in the record."""
        began, outcome, answer = time.perf_counter(), "failed unexpectedly", None
        try:
            exchange = self._traced if is_traced() else self._exchange.answer
            answer = await exchange(operation, request, signer, reading)
            if self.cache is not None and operation.method == "GET":
                record.cached.append(answer.cached or MISSED)
            return answer
        except TransportError:
            outcome = "no answer"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            seconds = time.perf_counter() - began
            record.upstream += seconds
            if self.log is not None:
                said = outcome_of(answer) if answer else outcome
                self.log(f"{operation.method} {operation.path} {said} {seconds * 1000:.0f} ms")

    async def _traced(
        self, operation: Operation, request: httpx.Request, signer: httpx.Auth | None, reading: AnswerReading
    ) -> Answer:
        with request_span(operation, request) as span:
            answer = await self._exchange.answer(operation, request, signer, reading)
            note_status(span, answer.status)
            return answer

    @cached_property
    def _exchange(self) -> Exchange:
        return Exchange(self.transport, self.redact, self.cache)

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

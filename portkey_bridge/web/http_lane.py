"""Requests over HTTP between FastMCP's authentication and its application: callers, limits, and the direct lane.

FastMCP has checked Host, Origin and token when a request arrives here. A plain tool call with unambiguous headers is
answered here, as JSON, or as a stream of events if its client wants progress; everything else is FastMCP's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.bridge.login_asked import EARLIER
from portkey_bridge.bridge.tracing import continued, is_traced
from portkey_bridge.callers.admission import Admission, Overloaded
from portkey_bridge.callers.bridges import CALLER, CALLER_GONE, SITE
from portkey_bridge.callers.observed import Metrics
from portkey_bridge.callers.stored_logins import ACCOUNTS_PATH, BEGIN_PATH, FORGET_PATH
from portkey_bridge.credentials.caller import Caller
from portkey_bridge.response.streams import no_report
from portkey_bridge.response.tool_result import error_result
from portkey_bridge.serve.direct_lane import DirectLane, MustAsk, PlainCall, progress
from portkey_bridge.settings.values import HttpLimits
from portkey_bridge.stdio.jsonrpc import Refusal, read_body
from portkey_bridge.web.batches import answer_batch, members_of
from portkey_bridge.web.inbound import Callers
from portkey_bridge.web.outer_answers import CUT_OFF
from portkey_bridge.web.web_page import FOR_CALLERS

if TYPE_CHECKING:
    from portkey_bridge.callers.rates import Rates

#: The endpoint of the protocol, and that of the metrics.
ENDPOINT, METRICS = "/mcp", "/metrics"

#: Seconds in which a body has to arrive, after which a call looks for its client, and after which to come again.
BODY_TIME, WATCHED_FROM, COME_AGAIN = 30.0, 0.05, 1

#: What a client has to accept (Model Context Protocol, Streamable HTTP, "Sending Messages to the Server").
ACCEPT = frozenset({b"application/json", b"text/event-stream"})

#: Headers that a plain call has once, if at all. Others of the protocol are FastMCP's.
PROTOCOL_HEADERS = frozenset({b"mcp-protocol-version", b"mcp-method", b"mcp-name"})

#: A path of plain segments, which can be put behind an origin.
PREFIX = re.compile(r"(/[\w.~-]+)+", re.ASCII)

EVENTS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform")]


class CallerGate:
    """Determines the caller of each request, admits it within limits, and answers plain calls by the direct lane.

    `pass_header` is the header that is passed on as a credential; tokens need the `required_scopes`; `rates` are those
    of one caller; `is_proxied` is whether requests may come from a proxy, and `site` returns the origin of this server
    under the host of a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        lane: DirectLane,
        limits: HttpLimits,
        pass_header: str | None,
        callers: Callers,
        required_scopes: Iterable[str],
        rates: Rates | None,
        is_proxied: bool,
        metrics: Metrics | None,
        site: Callable[[str], str],
    ) -> None:
        self._app, self._lane, self._limits = app, lane, limits
        self._pass_header, self._callers, self._is_proxied = pass_header, callers, is_proxied
        self._metrics, self._rates, self._site = metrics, rates, site
        self._required_scopes = frozenset(required_scopes)
        self._admission = Admission(limits.calls, limits.waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] == METRICS and self._metrics:
            await self._show_metrics(scope, receive, send)
            return
        is_callers = scope["type"] == "http" and _is_callers(scope["path"], scope["method"])
        if scope["type"] != "http" or (is_callers and self._is_strangers(scope)):
            await self._app(scope, receive, send)  # which refuses strangers
            return
        headers = _Headers(scope["headers"])
        if is_callers and headers.is_forwarded and not self._is_proxied:
            await _refusal(403, _PROXIED)(scope, receive, send)
            return
        try:
            body = await _read(receive, self._limits.bytes)
        except ValueError as error:
            await _refusal(413, str(error))(scope, receive, send)
        except TimeoutError:
            await _refusal(408, "The body of the request did not arrive in time.")(scope, receive, send)
        except ClientDisconnect:
            return  # nobody waits for an answer
        else:
            answer = self._limited if is_callers else self._passed_on
            version = headers.one(b"mcp-protocol-version")
            if scope["path"] == ENDPOINT and is_callers and (members := members_of(body, version)):
                await self._batch(members, scope, headers, receive, send)
            else:
                await answer(scope, headers, body, receive, send)

    async def _batch(
        self, members: Sequence[str], scope: Scope, headers: _Headers, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.Event()
        watching = asyncio.create_task(_watch(receive, gone))
        try:
            await answer_batch(members, partial(self._limited, scope, headers), gone, send)
        finally:
            watching.cancel()

    async def _limited(self, scope: Scope, headers: _Headers, body: bytes, receive: Receive, send: Send) -> None:
        """Answer a request of a caller, within the limits of callers."""
        caller = self._caller(scope, headers)
        if self._rates and (exceeded := await self._rates.count(caller.subject)):
            self._refused("rate")
            await _too_many(*exceeded)(scope, receive, send)
            return
        CALLER.set(caller)  # for this request alone: each is a task of its own
        SITE.set(self._site(headers.host) + headers.prefix)
        try:
            with self._metrics.in_flight.track_inprogress() if self._metrics else nullcontext():
                async with self._admission.admitted(caller.subject):
                    await self._admitted(scope, headers, body, receive, send, caller)
        except Overloaded:
            self._refused("waiting")
            busy = f"Too many requests are waiting (OPEN_MCP_HTTP_LIMITS={self._limits}). Try again later."
            await _refusal(429, busy, {"retry-after": str(COME_AGAIN)})(scope, receive, send)

    def _is_strangers(self, scope: Scope) -> bool:
        """Check whether a request lacks a token that is required, or the token a scope that is."""
        user = scope.get("user")
        is_known = isinstance(user, AuthenticatedUser) and self._required_scopes.issubset(user.scopes)
        return "auth" in scope and not is_known

    def _refused(self, reason: str) -> None:
        if self._metrics:
            self._metrics.refused(reason)

    async def _show_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the metrics: to those with a token if tokens are required, else to this machine."""
        if self._is_strangers(scope) or _Headers(scope["headers"]).is_forwarded > ("auth" in scope):
            await _refusal(401, "The metrics are shown to callers with a token, or on this machine.")(
                scope, receive, send
            )
        elif self._metrics:
            content, media_type = self._metrics.text()
            await Response(content, headers={"content-type": media_type})(scope, receive, send)

    def _caller(self, scope: Scope, headers: _Headers) -> Caller:
        user = scope.get("user")
        token: Any = user.access_token if isinstance(user, AuthenticatedUser) else None
        value = headers.one(self._pass_header.encode()) if self._pass_header else None
        passed = (self._pass_header, value.decode("latin-1")) if self._pass_header and value else None
        caller = self._callers.of(token, passed)
        return replace(caller, subject="anonymous") if caller.subject is None and self._pass_header else caller

    async def _admitted(
        self, scope: Scope, headers: _Headers, body: bytes, receive: Receive, send: Send, caller: Caller
    ) -> None:
        if is_traced():
            with continued(headers.texts):
                await self._dispatched(scope, headers, body, receive, send, caller)
        else:
            await self._dispatched(scope, headers, body, receive, send, caller)

    async def _dispatched(
        self, scope: Scope, headers: _Headers, body: bytes, receive: Receive, send: Send, caller: Caller
    ) -> None:
        is_message = scope["path"] == ENDPOINT
        call = self._lane.read(body) if is_message and headers.are_plain else None
        if call and _agree(headers, call):
            try:
                await _Exchange(call, receive, send).answer(self._lane, caller)
                return
            except MustAsk as error:
                EARLIER.set(error.result)
        message = read_body(body) if is_message else body
        if isinstance(message, Refusal):
            await _refused_message(message)(scope, receive, send)
            return
        await self._passed_on(scope, headers, message, receive, send)

    async def _passed_on(self, scope: Scope, _: _Headers, body: bytes, receive: Receive, send: Send) -> None:
        """Have FastMCP's application answer a request whose body has been read."""
        gone = asyncio.Event()
        CALLER_GONE.set(gone)
        watching = asyncio.create_task(_watch(receive, gone))
        try:
            await self._app(scope, _replayed(body, gone), send)
        finally:
            watching.cancel()


_PROXIED = (
    "This server accepts requests from this machine only, and the request came through a proxy. Whoever runs the "
    "server can require tokens with --tokens, --jwt or [serve.auth], or pass each caller's own "
    "credential on with --pass-header."
)


class _Headers:
    """The headers of a request, as far as they decide who answers it."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers

    def one(self, name: bytes) -> bytes | None:
        """Return the only value of a header; None if it is missing or there are several."""
        values = [value for key, value in self._headers if key == name]
        return values[0] if len(values) == 1 else None

    @property
    def host(self) -> str:
        """The host that the request names, which FastMCP has checked."""
        return (self.one(b"host") or b"").decode("latin-1")

    @property
    def prefix(self) -> str:
        """The path that a proxy says it has removed; empty if it is none."""
        prefix = (self.one(b"x-forwarded-prefix") or b"").decode("latin-1").rstrip("/")
        return prefix if PREFIX.fullmatch(prefix) else ""

    @property
    def texts(self) -> dict[str, str]:
        """The headers as texts by their names."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers}

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy has passed the request on (RFC 7239 and its predecessors)."""
        return any(name == b"forwarded" or name.startswith(b"x-forwarded-") for name, _ in self._headers)

    @property
    def are_plain(self) -> bool:
        """Whether nothing in them needs the attention of FastMCP."""
        names = [name for name, _ in self._headers if name.startswith(b"mcp-")]
        accepted = {part.strip() for part in (self.one(b"accept") or b"").split(b",")}
        media_type = (self.one(b"content-type") or b"").partition(b";")[0].strip()
        return PROTOCOL_HEADERS.issuperset(names) and accepted == ACCEPT and media_type == b"application/json"


def _is_callers(path: str, method: str) -> bool:
    """Check whether a request is one of a caller: a message of the protocol, or what a page for people asks for."""
    return (path == ENDPOINT and method == "POST") or path in (*FOR_CALLERS, ACCOUNTS_PATH, BEGIN_PATH, FORGET_PATH)


def _agree(headers: _Headers, call: PlainCall) -> bool:
    """Check whether the headers repeat what a call says of itself, as its protocol version wants it."""
    version = headers.one(b"mcp-protocol-version")
    if call.version is None:
        return version is None or version.decode("latin-1") in HANDSHAKE_PROTOCOL_VERSIONS
    repeated = (call.version.encode(), b"tools/call", call.name.encode())
    return (version, headers.one(b"mcp-method"), headers.one(b"mcp-name")) == repeated


class _Exchange:
    """The answer to one plain call."""

    def __init__(self, call: PlainCall, receive: Receive, send: Send) -> None:
        self._call, self._receive, self._send = call, receive, send
        self._is_streaming = False
        self._is_gone = False

    async def answer(self, lane: DirectLane, caller: Caller) -> None:
        """Run the call and send its result. It ends with the connection of the client."""
        report = no_report if self._call.progress_token is None else self._report
        watching: list[asyncio.Task[None]] = []
        watch, loop = self._watch(asyncio.current_task()), asyncio.get_running_loop()
        handle = loop.call_later(WATCHED_FROM, lambda: watching.append(loop.create_task(watch())))
        try:
            answer = await lane.answer(self._call, CallContext(caller, report))
        except asyncio.CancelledError:
            if self._is_gone:
                return
            answer = lane.answered(self._call, error_result(CUT_OFF))
        finally:
            handle.cancel()
            for task in watching:
                task.cancel()
        if self._is_streaming:
            await self._send_event(answer, is_last=True)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer})

    def _watch(self, running: asyncio.Task[Any] | None) -> Callable[[], Any]:
        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self._is_gone = True
            if running:
                running.cancel()

        return watch

    async def _report(self, number: int, added: str | None) -> None:
        if not self._is_streaming:
            self._is_streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await self._send_event(progress(self._call, number, added))

    async def _send_event(self, message: bytes, *, is_last: bool = False) -> None:
        body = b"event: message\r\ndata: " + message + b"\r\n\r\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def _read(receive: Receive, limit: int) -> bytes:
    """Read the body of a request. Raises ValueError if it has more than `limit` bytes, TimeoutError, ClientDisconnect.

    What arrived before a connection was closed, such as for its malformed rest, is no request.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_TIME):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > limit:
                raise ValueError(f"The body of a request may have {limit:,} bytes (OPEN_MCP_HTTP_LIMITS).")
            if not message.get("more_body"):
                return bytes(body)


def _replayed(body: bytes, gone: asyncio.Event) -> Receive:
    """Return a function that receives the body again, and then that the client has gone."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        if pending:
            return pending.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return replay


async def _watch(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _refused_message(refusal: Refusal) -> Response:
    """Return the response to what is no request (Streamable HTTP, "Sending Messages to the Server")."""
    status = 202 if refusal.answer is None else 400
    return Response(refusal.answer, status, media_type="application/json")


def _too_many(rate: str, seconds: int) -> Response:
    words = f"A caller may send requests at most {rate} (OPEN_MCP_CALLER_RATE). Try again in {seconds} seconds."
    return _refusal(429, words, {"retry-after": str(seconds)})


def _refusal(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(words, status, headers)

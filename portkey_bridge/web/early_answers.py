"""Requests that are answered before their bodies have arrived: the rest is read for a moment, and then never again.

Without, a server reads and forgets whatever a refused client sends, for as long as it sends. To close the connection
at once would take the answer with it, since unread data resets a connection (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Seconds for which the rest of a body is read after the answer.
LINGER = 3.0


class EarlyAnswers:
    """Closes the connection after an answer that did not wait for the whole body of its request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_body = scope["type"] == "http" and any(
            name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
        )
        await (_Request(receive, send).answered_by(self._app, scope) if has_body else self._app(scope, receive, send))


class _Request:
    """A request with a body, and whether that is still arriving."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._is_arriving = receive, send, True

    async def answered_by(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._received, self._sent)

    async def _received(self) -> Message:
        message = await self._receive()
        self._is_arriving = message.get("more_body", False)
        return message

    async def _sent(self, message: Message) -> None:
        is_early = self._is_arriving
        if is_early and message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        elif is_early and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER):
                while self._is_arriving:
                    await self._received()
        except TimeoutError:
            pass

"""What is answered around FastMCP's application: probes, and requests that are cut off."""

from __future__ import annotations

import asyncio
import sys

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What orchestrators ask: whether the process works, and whether it takes requests.
PROBES = ("/healthz", "/readyz")

#: What is said to whoever still waits when the server ends.
CUT_OFF = (
    "The server was stopped before this was answered. Try again, but look first if the call changes something: it may "
    "have happened."
)


class Probed:
    """Answers probes, which come from an orchestrator under any host name, before the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        app = PlainTextResponse("ok\n") if is_probe else self._app
        await app(scope, receive, send)


class CutOff:
    """Answers requests that the end of the server cancels, when they have had their time to end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "lifespan.shutdown.failed" and isinstance(sys.exception(), asyncio.CancelledError):
                message = {**message, "message": ""}  # a second Ctrl-C is no failure that a traceback explains
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            if has_begun:
                return  # which breaks the connection: half an answer must not look like a whole one
            await PlainTextResponse(f"{CUT_OFF}\n", 503, {"retry-after": "1"})(scope, receive, send)

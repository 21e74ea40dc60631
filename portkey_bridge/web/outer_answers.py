"""What is answered around FastMCP's application: probes, refusals in two words, and requests that are cut off."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What orchestrators ask: whether the process works, and whether it takes requests.
PROBES = ("/healthz", "/readyz")

#: How FastMCP refuses a request for its Host or Origin, by the status, and what is said instead.
REFUSALS_OF_NAMES: Mapping[int, tuple[bytes, str]] = {
    421: (
        b"Misdirected Request",
        "This server does not answer under the name in the Host header. Whoever runs it can add the name to "
        "--allowed-hosts.",
    ),
    403: (
        b"Forbidden Origin",
        "This server takes no requests from pages of this origin. Whoever runs it can add it to --allowed-origins.",
    ),
}

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


class Explained:
    """Adds what to do where FastMCP's protection refuses a request in two words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        held: Message | None = None

        async def explain(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] in REFUSALS_OF_NAMES:
                held = message
                return
            if held is not None:
                start, held = held, None
                words, said = REFUSALS_OF_NAMES[start["status"]]
                if message.get("body") == words:
                    await PlainTextResponse(f"{said}\n", start["status"])(scope, receive, send)
                    return
                await send(start)
            await send(message)

        await self._app(scope, receive, explain)


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

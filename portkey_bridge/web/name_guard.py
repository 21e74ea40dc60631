"""FastMCP's check of Host and Origin, with its verdicts remembered: it parses addresses anew for each request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastmcp.server.http import HostOriginGuardMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What is said of a refused request, by FastMCP's status.
REFUSALS: Mapping[int, str] = {
    421: "This server does not answer under the name in the Host header. Whoever runs it can add the name to "
    "--allowed-hosts.",
    403: "This server takes no requests from pages of this origin. Whoever runs it can add it to --allowed-origins.",
}

#: Verdicts that are remembered, and the characters of names that are.
VERDICTS, LONGEST_NAMES = 256, 512

Names = tuple[object, ...]
"""What a verdict depends on: the addresses that a request came to, its scheme, and its Host and Origin."""


class NameGuard:
    """Refuses requests under other names than the server's own, and from pages of other origins."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], origins: Sequence[str]) -> None:
        self._app = app
        self._check = HostOriginGuardMiddleware(_pass, [*hosts], [*origins] or None, mode="strict")
        self._verdicts: dict[Names, int | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status = await self._verdict(scope) if scope["type"] == "http" else None
        app = self._app if status is None else PlainTextResponse(f"{REFUSALS.get(status, 'Refused.')}\n", status)
        await app(scope, receive, send)

    async def _verdict(self, scope: Scope) -> int | None:
        """Return the status that a request is refused with, None if it is accepted."""
        given = [field for field in scope["headers"] if field[0] in (b"host", b"origin")]
        names = (scope.get("server"), scope.get("scheme"), *given)
        if names in self._verdicts:
            return self._verdicts[names]
        status = await self._checked(scope)
        if sum(len(value) for _, value in given) <= LONGEST_NAMES:
            if len(self._verdicts) >= VERDICTS:
                self._verdicts.clear()
            self._verdicts[names] = status
        return status

    async def _checked(self, scope: Scope) -> int | None:
        statuses: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._check(scope, _nothing, note)
        return statuses[0] if statuses else None


async def _pass(scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing: the request is accepted."""


async def _nothing() -> Message:
    return {"type": "http.disconnect"}

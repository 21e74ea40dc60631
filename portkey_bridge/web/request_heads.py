"""uvicorn's connections, with bounds for the head of a request: uvicorn waits for one without an end.

httptools keeps a head of any size, too, and what is sent instead of the end of a body; h11 has a bound of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: Seconds in which the head of a request has to arrive.
HEAD_TIME = 30.0

#: Bytes of a head, or of what surrounds a body (RFC 9112 section 7.1): as many as h11 accepts.
MOST_HEAD = 65_536

UVICORNS: Any = AutoHTTPProtocol
IS_HTTPTOOLS = hasattr(UVICORNS, "on_headers_complete")


class BoundedHeads(UVICORNS):  # type: ignore[misc]
    """Closes a connection whose next head does not arrive in time, or is too large."""

    _late: asyncio.TimerHandle | None = None
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Expect a first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._has_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read further bytes, and expect the rest of a head that has begun."""
        self._bytes += len(data)
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._has_head()
        elif self._late is None:
            self._expect_head()
        if IS_HTTPTOOLS and self._bytes > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of a request may have {MOST_HEAD:,} bytes.")

    def on_headers_complete(self) -> None:
        """Begin with a request, as httptools reports it. One with two hosts is malformed (RFC 9112 section 3.2)."""
        self._bytes = 0
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("several Host headers")  # which uvicorn answers with 400
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, as httptools reports it."""
        self._bytes = 0
        super().on_body(body)

    def _expect_head(self) -> None:
        self._late = asyncio.get_running_loop().call_later(HEAD_TIME, self.transport.close)

    def _has_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

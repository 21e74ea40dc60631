"""A batch over HTTP: each of its messages is answered as if it had come alone, and their answers are one array.

So each counts towards the limits of its caller. Only version 2025-03-26 has batches (Model Context Protocol 2025-03-26,
Streamable HTTP, "Sending Messages to the Server"); a request that names no version is of that one (2025-06-18,
"Protocol Version Header").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mcp_types import INVALID_REQUEST, JSONRPCRequest
from starlette.types import Message, Receive, Send

from portkey_bridge.stdio.jsonrpc import BATCHES, Refusal, read_batch, read_message, refuse

Answer = Callable[[bytes, Receive, Send], Awaitable[None]]
"""Answers a request whose body has been read."""

#: What JSON-RPC 2.0 section 5.1 leaves to servers: a limit was exceeded.
REFUSED_FOR_NOW = -32000


def members_of(body: bytes, version: bytes | None) -> list[str]:
    """Return the messages of a batch of a version that has them; none for any other body."""
    text = body.decode("utf-8", "replace").strip().removeprefix("\ufeff")
    if not text.startswith("["):
        return []
    members = read_batch(text, BATCHES if version is None else version.decode("latin-1"))
    return [] if isinstance(members, Refusal) else members


async def answer_batch(members: Sequence[str], answer: Answer, gone: asyncio.Event, send: Send) -> None:
    """Answer all messages of a batch at the same time, and send the answers; `gone` is set when the client has gone."""

    async def wait_until_gone() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def answered(member: str) -> str | None:
        message = read_message(member)
        if isinstance(message, Refusal):
            return message.answer
        if not isinstance(message, JSONRPCRequest):
            await answer(member.encode(), wait_until_gone, _Capture())
            return None
        if message.method == "initialize":  # which must not be part of a batch (2025-03-26, Lifecycle)
            return refuse(INVALID_REQUEST, "initialize cannot be part of a batch", message.id).answer
        capture = _Capture()
        await answer(member.encode(), wait_until_gone, capture)
        return capture.answer(message.id)

    answers = [each for each in await asyncio.gather(*map(answered, members)) if each]
    content = f"[{','.join(answers)}]".encode() if answers else b""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200 if answers else 202, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class _Capture:
    """Takes the response to one message."""

    def __init__(self) -> None:
        self._media_type = b""
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        headers: list[Any] = message.get("headers", [])
        self._media_type = next((value for name, value in headers if name == b"content-type"), self._media_type)
        self._body += message.get("body", b"")

    def answer(self, message_id: str | int) -> str | None:
        """Return the answer in the response; that of a stream of events is the last of them."""
        text = self._body.decode()
        if self._media_type.startswith(b"application/json"):
            return text
        if self._media_type.startswith(b"text/event-stream"):
            return text.rpartition("data: ")[2].strip()
        return refuse(REFUSED_FOR_NOW, text, message_id).answer

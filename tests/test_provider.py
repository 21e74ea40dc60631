"""The seam between a call and its credentials: any provider can supply them, and renew what is rejected."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from portkey_bridge.bridge.calls import Bridge
from portkey_bridge.bridge.configured_bridge import build_bridge
from portkey_bridge.credentials.caller import LOCAL, Caller
from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.credentials.schemes import Credential
from portkey_bridge.openapi.model import Operation, Place
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.tool_result import TextContent, ToolResult
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools
from tests.conftest import Recorder
from tests.support import api_of, operation

TOKENS = ("first-S3CRET-token", "second-S3CRET-token")


@dataclass
class Renewing:
    """Provides the tokens one after the other, a new one after each rejection."""

    redact: Redactor
    callers: list[Caller] = field(default_factory=list)
    used: int = 0
    holds_secrets: bool = True

    async def credentials(
        self, operation: Operation, filled: Collection[Place], caller: Caller
    ) -> tuple[Credential, ...]:
        self.callers.append(caller)
        self.redact.learn("TOKEN", TOKENS[self.used])
        return (Credential("TOKEN", "header", "Authorization", f"Bearer {TOKENS[self.used]}"),)

    async def rejected(
        self, operation: Operation, answer: Answer, sent: Collection[Credential], caller: Caller
    ) -> bool:
        if answer.status != 401:
            return False
        self.used += 1
        return self.used < len(TOKENS)

    def hints(self, operation: Operation, status: int, caller: Caller) -> list[str]:
        return [f"The provider knows {status}."]


def renewing(recorder: Recorder) -> tuple[Bridge, Tool, Renewing]:
    """Return a bridge whose credentials are the tokens."""
    api = api_of(operation("post", requestBody={"content": {"text/plain": {"schema": {"type": "string"}}}}))
    (tool,) = build_tools(api)
    bridge = build_bridge(api, Settings(base_url=recorder.url), [tool])
    provider = Renewing(bridge.redact)
    return replace(bridge, provider=provider), tool, provider


def shown(result: ToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def test_a_rejected_credential_is_replaced_once(recorder: Recorder) -> None:
    """After a 401 the same request is sent once more with another credential; a second 401 is the answer."""
    recorder.answer = (401, {"content-type": "text/plain"}, TOKENS[1].encode())
    bridge, tool, provider = renewing(recorder)
    result = await bridge.call(tool, {"body": "Hi"}, caller=Caller("jo"))
    await bridge.transport.aclose()
    assert [request.header("authorization") for request in recorder.requests] == [f"Bearer {each}" for each in TOKENS]
    assert [request.body for request in recorder.requests] == [b"Hi", b"Hi"]
    assert provider.callers == [Caller("jo")] * 2
    assert "The provider knows 401." in shown(result)


async def test_a_secret_obtained_at_run_time_is_in_no_result(recorder: Recorder) -> None:
    """A token that the provider learned is hidden like one from a variable."""
    recorder.answer = (200, {"content-type": "text/plain"}, f"You sent {TOKENS[0]}".encode())
    bridge, tool, provider = renewing(recorder)
    result = await bridge.call(tool, {"body": "Hi"})
    await bridge.transport.aclose()
    assert shown(result) == "You sent [TOKEN]"
    assert provider.callers == [LOCAL]


def test_a_caller_s_headers_are_not_printed() -> None:
    """The headers of a caller's request may contain its token."""
    caller = Caller("jo", headers={"authorization": "Bearer S3CRET"})
    assert "S3CRET" not in repr(caller)
    assert hash(caller) == hash(Caller("jo"))
    assert caller != Caller("jo")

"""Structured content of results: what their text says, as an object (Model Context Protocol, section "Structured
Content").
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pydantic_core

from portkey_bridge.response.json_views import is_json
from portkey_bridge.response.tool_result import TextContent, ToolResult

#: What has no more brackets than this is not nested too deep to be written again.
SURELY_SHALLOW = 100

#: What a JSON text that is not an object begins with.
STARTS_OF_OTHER_VALUES = tuple('["-0123456789tfn')

#: Stands for a value that would not be the same: a number of too many digits, or one nested too deep.
_INEXACT = object()


def exact_object(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object as a value, None for other JSON, and where the value would not be the same."""
    value = _exact_value(body)
    return value if isinstance(value, dict) else None


def structured_for_clients(result: ToolResult) -> ToolResult:
    """Return a result with the structured content that all clients can take.

    Claude Code and Codex show it to a model instead of the text, so there is none where the text says more. Gemini CLI
    makes it of any text that is JSON, and refuses the result if that is not an object: it gets one.
    """
    if result.structured_content is not None:
        if len(result.content) > 1 or result.is_error:
            result.structured_content = None
    elif result.content and isinstance(first := result.content[0], TextContent):
        result.structured_content = _wrapped(first.text, result)
    return result


def _wrapped(text: str, result: ToolResult) -> dict[str, Any] | None:
    """Return a JSON value that is not an object as the member `result` of one, beside what else the result says."""
    if not text.lstrip().startswith(STARTS_OF_OTHER_VALUES):
        return None
    value = _exact_value(body := text.encode(errors="replace"))
    if value is _INEXACT and not is_json(body):
        return None
    wrapped = {"result": text if value is _INEXACT else value}
    notes = "\n".join(block.text for block in result.content[1:] if isinstance(block, TextContent))
    return wrapped | ({"notes": notes} if notes else {})


def _exact_value(body: bytes) -> Any:
    try:
        value = _exactly.decode(body)
        if body.count(b"[") + body.count(b"{") > SURELY_SHALLOW:
            pydantic_core.to_json([[[value]]])  # as it will stand in the message: fails for what is nested too deep
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return _INEXACT
    return value


def _exact_float(digits: str) -> float:
    number = float(digits)
    if (len(digits) > 15 or "e" in digits.lower()) and Decimal(digits) != Decimal(repr(number)):
        raise ValueError("not a float of the same value")
    return number


_exactly = msgspec.json.Decoder(float_hook=_exact_float)

"""The result of a call that needs input first, which `serve/confirmation` and `serve/login_request` ask for."""

from __future__ import annotations

from typing import Any

from portkey_bridge.response.tool_result import ToolResult


class InputRequired(ToolResult, kw_only=True):
    """What a call returns that needs input first (protocol version 2026-07-28).

    `asked` is the SDK's InputRequiredResult, which says what from whom; `state` is what its client sends back with it.
    """

    asked: Any
    state: str | None = None

"""The result of a call whose caller has to log in to the API first; `serve/login_request` asks for that."""

from __future__ import annotations

from contextvars import ContextVar

from portkey_bridge.errors import LoginRequired
from portkey_bridge.response.tool_result import ToolResult, text_block


class LoginAsked(ToolResult, kw_only=True):
    """What a call returns whose caller has to log in first: an error with the address, which `required` has, too."""

    required: LoginRequired

    @classmethod
    def of(cls, required: LoginRequired) -> LoginAsked:
        """Return the result that says where to log in."""
        return cls([text_block(str(required))], is_error=True, required=required)


#: The result that a request has got on the direct lane, which cannot ask.
EARLIER: ContextVar[LoginAsked | None] = ContextVar("earlier", default=None)

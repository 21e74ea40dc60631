"""The result of a call whose caller has to log in to the API first; `serve/login_request` asks for that."""

from __future__ import annotations

from contextvars import ContextVar

from fastmcp.tools.base import ToolResult
from pydantic import PrivateAttr

from portkey_bridge.errors import LoginRequired
from portkey_bridge.response.render import text


class LoginAsked(ToolResult):
    """The result of a call whose caller has to log in first."""

    _required: LoginRequired = PrivateAttr()

    def __init__(self, required: LoginRequired) -> None:
        super().__init__(content=[text(str(required))], is_error=True)
        self._required = required

    @property
    def required(self) -> LoginRequired:
        """What says where."""
        return self._required


#: The result that a request has got on the direct lane, which cannot ask.
EARLIER: ContextVar[LoginAsked | None] = ContextVar("earlier", default=None)

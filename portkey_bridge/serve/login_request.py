"""Asks a caller to log in to an API, by the address of a page that a browser opens (elicitation in URL mode).

From protocol version 2026-07-28 on the answer to a call is a request for input, and the client repeats the call once
the person has agreed to open the page. In version 2025-11-25 a server that keeps no session cannot ask, and answers
with the error that the protocol has for this. All other clients get the address in the text of a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

from fastmcp.server.context import Context
from mcp import UrlElicitationRequiredError
from mcp_types import ElicitRequest, ElicitRequestURLParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from portkey_bridge.bridge.login_asked import EARLIER, LoginAsked
from portkey_bridge.builtin.input_required import InputRequired
from portkey_bridge.errors import LoginRequired
from portkey_bridge.response.tool_result import ToolResult, error_result
from portkey_bridge.serve.confirmation import Given

#: The key of the request among the requests for input.
LOGIN_KEY = "login"

#: The version whose clients know the error.
VERSION_WITH_ERROR = "2025-11-25"

#: Seconds for which a repeated call waits for the person to log in, which proxies bear, and between two looks.
LOGIN_PATIENCE, LOGIN_POLL = 45.0, 1.0


async def logged_in(context: Context, given: Given, run: Callable[[], Awaitable[ToolResult]]) -> ToolResult:
    """Run a call, and if its caller has to log in first, ask for that as the client can be asked.

    Raises UrlElicitationRequiredError, which is the error of the protocol.
    """
    result = EARLIER.get() or await run()
    if not isinstance(result, LoginAsked):
        return result
    answer = given.responses.get(LOGIN_KEY)
    if isinstance(answer, ElicitResult):
        if answer.action != "accept":  # or their client has nobody to ask, and a model can pass the address on
            return error_result(f"The person did not open the page. {result.required}")
        if await _happens(result.required):
            result = await run()
    return _asked(context, result.required) if isinstance(result, LoginAsked) else result


async def _happens(required: LoginRequired) -> bool:
    """Wait for a login, which may happen at another server; return whether it does. Raises CallError."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LOGIN_PATIENCE
    while not await required.is_done():
        if loop.time() >= until:
            return False
        await asyncio.sleep(LOGIN_POLL)
    return True


def _asked(context: Context, required: LoginRequired) -> ToolResult:
    request = context.request_context
    version = request.protocol_version if request else ""
    params = ElicitRequestURLParams(message=required.invitation, url=required.url)
    if version == VERSION_WITH_ERROR:
        known_as = sha256(required.url.encode()).hexdigest()[:32]
        raise UrlElicitationRequiredError([params.model_copy(update={"elicitation_id": known_as})], str(required))
    able = context.session.client_capabilities
    if version in MODERN_PROTOCOL_VERSIONS and able and able.elicitation and able.elicitation.url is not None:
        return InputRequired([], asked=InputRequiredResult(input_requests={LOGIN_KEY: ElicitRequest(params=params)}))
    return error_result(str(required))

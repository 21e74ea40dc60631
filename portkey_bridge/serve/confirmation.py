"""Asks the person before a call that the settings or the document want to be confirmed.

Up to protocol version 2025-11-25 the server asks the client during the call (elicitation). From 2026-07-28 on the
answer is a request for input, and the client repeats the call with the person's decision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastmcp.server.context import Context
from mcp_types import (
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from portkey_bridge.bridge.calls import cannot_ask
from portkey_bridge.builtin.input_required import InputRequired
from portkey_bridge.response.tool_result import ToolResult, error_result
from portkey_bridge.tools.catalog import Tool

#: The key of the question among the requests for input, and of the decision in its answer.
QUESTION_KEY, DECISION_KEY = "confirm", "confirmed"

#: What the person is asked for.
DECISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {DECISION_KEY: {"type": "boolean", "title": "Carry it out", "default": False}},
    "required": [DECISION_KEY],
}

#: Longest arguments that a question shows, in characters.
MAX_SHOWN_ARGUMENTS = 600


class Given(NamedTuple):
    """What a request repeats and answers: the state of a question, and the responses by the keys of the requests."""

    state: str | None
    responses: Mapping[str, Any]


def given_in(context: Context) -> Given:
    """Return what a request answers; later, the context of the SDK would be that of another request."""
    return Given(context.request_state, context.input_responses or {})


async def unconfirmed(
    context: Context, given: Given, tool: Tool, arguments: Mapping[str, Any], nonce: str = ""
) -> ToolResult | None:
    """Return None once a person has confirmed the call, else the result that asks for that or refuses the call.

    `nonce` binds the decision to this question, where the same call is asked about more than once.
    """
    request = context.request_context
    is_modern = request is not None and request.protocol_version in MODERN_PROTOCOL_VERSIONS
    if not _can_ask(context):
        return await cannot_ask(tool, arguments)
    params = ElicitRequestFormParams(message=_question(tool, arguments), requested_schema=DECISION_SCHEMA)
    if not is_modern:
        answer = await context.session.elicit(
            message=params.message, requested_schema=DECISION_SCHEMA, related_request_id=context.request_id
        )
        return _decided(tool, answer)
    state = _state(tool, arguments, nonce)
    decision = given.responses.get(QUESTION_KEY)
    if isinstance(decision, ElicitResult) and given.state == state:
        return _decided(tool, decision)
    asked = InputRequiredResult(input_requests={QUESTION_KEY: ElicitRequest(params=params)}, request_state=state)
    return InputRequired([], asked=asked, state=state)


def _can_ask(context: Context) -> bool:
    return context.session.check_client_capability(ClientCapabilities(elicitation=ElicitationCapability()))


def _decided(tool: Tool, answer: ElicitResult) -> ToolResult | None:
    if answer.action == "accept" and (answer.content or {}).get(DECISION_KEY) is True:
        return None
    return error_result(f"The person did not confirm {tool.name}. Nothing was sent.")


def _question(tool: Tool, arguments: Mapping[str, Any]) -> str:
    shown = json.dumps(arguments, ensure_ascii=False)
    cut = f"{shown[:MAX_SHOWN_ARGUMENTS]} … ({len(shown):,} characters)" if len(shown) > MAX_SHOWN_ARGUMENTS else shown
    return f"Call {tool.name} ({tool.operation.method} {tool.operation.path}) with {cut}?"


def _state(tool: Tool, arguments: Mapping[str, Any], nonce: str) -> str:
    """Return what binds a decision to this call: a repetition with other arguments is asked about again."""
    call = json.dumps([tool.name, arguments, nonce], sort_keys=True)
    return hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()

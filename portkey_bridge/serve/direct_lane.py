"""A direct lane for `tools/call`: plain calls of known tools are read, run and answered without the SDK's models.

The models cost more than the call itself (docs/performance.md has the figures). The law of the lane: it answers exactly
what FastMCP's server would, byte for byte, and hands over every message that is not plainly such a call, untouched and
in order. Messages are read and written by the parser and the serializer of pydantic,
which the SDK uses, so that numbers and texts cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import pydantic_core
from typing_extensions import TypeIs

from portkey_bridge.bridge.calls import CallContext, Run
from portkey_bridge.bridge.login_asked import LoginAsked
from portkey_bridge.bridge.tracing import call_span, is_traced, note_error
from portkey_bridge.response.tool_result import ContentBlock, TextContent, ToolResult
from portkey_bridge.serve.catalogue import Catalogue
from portkey_bridge.stdio.session_requests import (
    CAN_META,
    INFO_META,
    META,
    MODERN_VERSIONS,
    VERSION_META,
    are_capabilities,
    is_about_client,
)

#: The members of a request (JSON-RPC 2.0 section 4), and those of the parameters of a plain call.
REQUEST_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
PARAMS = frozenset({"name", "arguments", "_meta"})

#: The name of metadata that FastMCP reads besides the protocol's own.
FASTMCP = "fastmcp"

#: Metadata of modern results: which server it is.
SERVER_INFO_META = META + "serverInfo"

#: The code of an error inside of the server (JSON-RPC 2.0 section 5.1).
INTERNAL_ERROR = -32603


class PlainCall(NamedTuple):
    """A call of a known tool. `version` is that of the request's own envelope, None in the era of handshakes."""

    id: int | str
    name: str
    run: Run
    arguments: dict[str, Any]
    progress_token: int | str | None
    version: str | None
    meta: Mapping[str, Any]


class MustAsk(Exception):
    """A call whose caller has to be asked, which `result` says. Nothing was sent."""

    def __init__(self, result: LoginAsked) -> None:
        self.result = result


class DirectLane:
    """Reads, runs and answers plain calls of the tools of the `current` catalogue.

    Tools that may ask the person are left to the server. `server_info` is what each modern result names.
    """

    def __init__(self, current: Callable[[], Catalogue], server_info: Mapping[str, Any]) -> None:
        self.current = current
        self._server_info = server_info
        self._envelope: Mapping[str, Any] = {}  # the last one that is known to be valid

    def read(self, message: str | bytes) -> PlainCall | None:
        """Return the plain call that a message is, or None for every other message."""
        try:
            request = pydantic_core.from_json(message, allow_inf_nan=False)
        except ValueError:
            return None
        if not isinstance(request, dict) or request.keys() != REQUEST_MEMBERS:
            return None
        if request["jsonrpc"] != "2.0" or request["method"] != "tools/call" or not is_token(request["id"]):
            return None
        params = request["params"]
        if not isinstance(params, dict) or not params.keys() <= PARAMS:
            return None
        name, arguments, meta = params.get("name"), params.get("arguments", {}), params.get("_meta", {})
        if not isinstance(name, str):
            return None
        catalogue = self.current()
        run = catalogue.runs.get(name)
        if run is None or name in catalogue.asking:
            return None
        if not isinstance(arguments, dict) or not isinstance(meta, dict):
            return None
        token = meta.get("progressToken")
        if FASTMCP in meta or (token is None and "progressToken" in meta) or not (token is None or is_token(token)):
            return None
        envelope = {key: value for key, value in meta.items() if key.startswith(META)}
        if envelope and not self._is_valid(envelope, params):
            return None
        return PlainCall(request["id"], name, run, arguments, token, envelope.get(VERSION_META), meta)

    def _is_valid(self, envelope: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
        """Check whether the server accepts an envelope; that of a client is the same in each of its requests."""
        if envelope == self._envelope:
            return True
        version = envelope.get(VERSION_META)
        if not isinstance(version, str) or version not in MODERN_VERSIONS or CAN_META not in envelope:
            return False
        if not is_usual(envelope) and not _is_accepted(version, params):
            return False
        self._envelope = envelope
        return True

    async def answer(self, call: PlainCall, context: CallContext) -> bytes:
        """Run a call, and return the message that answers it. Raises MustAsk if it is the server's after all."""
        result = await (self._traced(call, context) if is_traced() else call.run(call.arguments, context))
        if isinstance(result, LoginAsked):
            raise MustAsk(result)
        return self.answered(call, result)

    def answered(self, call: PlainCall, result: ToolResult) -> bytes:
        """Return the message that answers a call with its result."""
        try:
            return pydantic_core.to_json({"jsonrpc": "2.0", "id": call.id, "result": self._result(call, result)})
        except pydantic_core.PydanticSerializationError:  # half of a surrogate pair, out of the document
            return error(call, INTERNAL_ERROR, "Internal server error")

    async def _traced(self, call: PlainCall, context: CallContext) -> ToolResult:
        with call_span(call.name, call.id, call.meta) as span:
            result = await call.run(call.arguments, context)
            if result.is_error:
                note_error(span, "tool_error")
            return result

    def _result(self, call: PlainCall, result: ToolResult) -> dict[str, Any]:
        """Return a CallToolResult (Model Context Protocol, section "Tool Result") as the protocol version has it."""
        written: dict[str, Any] = {} if result.meta is None else {"_meta": result.meta}
        written["content"] = [_block(block) for block in result.content]
        written["isError"] = result.is_error
        if call.version is not None:
            written["resultType"] = "complete"
        if result.structured_content is not None:
            written["structuredContent"] = result.structured_content
        if call.version is not None:
            written["_meta"] = {**(result.meta or {}), SERVER_INFO_META: self._server_info}
        return written


def error(call: PlainCall, code: int, message: str) -> bytes:
    """Return the message that answers a call with an error of the protocol."""
    return pydantic_core.to_json({"jsonrpc": "2.0", "id": call.id, "error": {"code": code, "message": message}})


def progress(call: PlainCall, number: int, added: str | None) -> bytes:
    """Return a notification about the progress of a call that asked for it."""
    params = {"progressToken": call.progress_token, "progress": float(number), "message": added}
    given = {name: value for name, value in params.items() if value is not None}
    return pydantic_core.to_json({"jsonrpc": "2.0", "method": "notifications/progress", "params": given})


def is_token(value: object) -> TypeIs[int | str]:
    """Check whether a value is an id or a progress token; true and false are no numbers here."""
    return type(value) in (int, str)


def is_usual(envelope: Mapping[str, Any]) -> bool:
    """Check for an envelope of a client without anything that the server could refuse."""
    is_known = {VERSION_META, CAN_META} <= envelope.keys() <= {VERSION_META, INFO_META, CAN_META}
    is_named = INFO_META not in envelope or is_about_client(envelope[INFO_META])
    return is_known and is_named and are_capabilities(envelope[CAN_META])


def _is_accepted(version: str, params: Mapping[str, Any]) -> bool:
    """Check whether the SDK accepts the parameters of a call."""
    from mcp_types.methods import validate_client_request  # slow to import, and hardly ever needed
    from pydantic import ValidationError

    try:
        validate_client_request("tools/call", version, params)
    except ValidationError:
        return False
    return True


def _block(block: ContentBlock) -> dict[str, Any]:
    if isinstance(block, TextContent):
        return {"text": block.text, "type": "text"}
    written: dict[str, Any] = _sorted(msgspec.to_builtins(block))
    return written


def _sorted(value: Any) -> Any:
    """Return an object with its members in the order of the SDK."""
    return {name: _sorted(value[name]) for name in sorted(value)} if isinstance(value, dict) else value

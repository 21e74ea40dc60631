"""Reads JSON-RPC 2.0 messages, and refuses in a way that the sender can relate to its request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, JSONRPCMessage, JSONRPCNotification
from mcp_types import jsonrpc_message_adapter as messages

from portkey_bridge.response.json_views import is_json

#: Every escape of a JSON string; only the escape of half a surrogate pair is in the group.
ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)

#: A string, closed or not, and what opens and closes an object or array.
JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)|[\[\]{}]', re.DOTALL)

#: What follows the name of a member that is an id: a string or an integer.
ID_VALUE = re.compile(r'\s*:\s*("(?:[^"\\]|\\.)*"|-?\d{1,100}(?![\d.eE]))', re.DOTALL)

#: The only version of the Model Context Protocol that has batches.
BATCHES = "2025-03-26"

#: Numbers that JSON does not have (RFC 8259 section 6), but the SDK's parser and Python's.
CONSTANTS = ("NaN", "Infinity")


#: What the message of an error begins with.
TITLES = {PARSE_ERROR: "Parse error", INVALID_PARAMS: "Invalid params", INVALID_REQUEST: "Invalid request"}


class Refusal(NamedTuple):
    """A message that cannot be processed: the answer as one line of JSON, or None if nobody expects one."""

    answer: str | None


def read_message(text: str) -> JSONRPCMessage | Refusal:
    """Read one message. Half a surrogate pair, as JavaScript leaves of a cut emoji, becomes U+FFFD."""
    try:
        message = messages.validate_json(text, by_name=False)
    except ValueError:
        repaired = without_lone_surrogates(text)
        return read_message(repaired) if repaired != text else _refusal(text)
    # The SDK takes a request with an invalid id for a notification, which is never answered, and NaN for JSON.
    is_misread = any(constant in text for constant in CONSTANTS) and not is_json(text.encode())
    return _refusal(text) if is_misread or (isinstance(message, JSONRPCNotification) and _has_id(text)) else message


def read_body(body: bytes) -> bytes | Refusal:
    """Return the message in the body of an HTTP request, in a form that the SDK reads as it would the same line."""
    text = body.decode("utf-8", "replace").strip().removeprefix("\ufeff")
    if text.startswith("[") and isinstance(refusal := read_batch(text), Refusal):  # web/batches answers others
        return refusal
    message = read_message(text)
    return message if isinstance(message, Refusal) else without_lone_surrogates(text).encode()


def read_batch(text: str, version: str = "") -> list[str] | Refusal:
    """Return the messages of a batch (JSON-RPC 2.0 section 6), each as its own text, if the version has batches."""
    try:
        members = msgspec.json.decode(without_lone_surrogates(text), type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return _refusal(text)
    if not members:
        return refuse(INVALID_REQUEST, "an empty batch", None)
    if version != BATCHES:
        return refuse(INVALID_REQUEST, f"only protocol version {BATCHES} has batches", None)
    return [bytes(member).decode() for member in members]


def refuse(code: int, problem: str, message_id: Any) -> Refusal:
    """Return the refusal of a message; the id is null if it is unknown (JSON-RPC 2.0 section 5)."""
    title = TITLES.get(code, "Refused")
    error = {"code": code, "message": f"{title}: {problem}"}
    return Refusal(json.dumps({"jsonrpc": "2.0", "id": message_id, "error": error}, separators=(",", ":")))


def without_lone_surrogates(text: str) -> str:
    """Replace each escape of half a surrogate pair in JSON text with that of U+FFFD."""
    return ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], text)


def _has_id(text: str) -> bool:
    return "id" in msgspec.json.decode(text, type=dict[str, msgspec.Raw])


def _is_id(value: Any) -> bool:
    """Check for an id as the Model Context Protocol wants it: a string or an integer."""
    return isinstance(value, str | int) and not isinstance(value, bool)


#: What is wrong with a message, in the order in which it is checked, and the code of the error.
PROBLEMS: tuple[tuple[Callable[[Mapping[str, Any]], bool], int, str], ...] = (
    (lambda message: message.get("jsonrpc") != "2.0", INVALID_REQUEST, 'jsonrpc must be "2.0"'),
    (
        lambda message: "id" in message and not _is_id(message["id"]),
        INVALID_REQUEST,
        "id must be a string or an integer",
    ),
    (lambda message: not isinstance(message.get("method"), str), INVALID_REQUEST, "method must be a string"),
    (
        lambda message: not isinstance(message.get("params", {}), dict | None),
        INVALID_PARAMS,
        "params must be an object",
    ),
    (lambda _: True, PARSE_ERROR, "nested too deep"),
)


def _refusal(text: str) -> Refusal:
    """Return the answer to a text that the SDK cannot read as a message."""
    try:
        message = json.loads(text, parse_constant=_no_json)
    except RecursionError:
        return refuse(PARSE_ERROR, "nested too deep", _find_id(text))
    except ValueError:
        return refuse(PARSE_ERROR, "not JSON", _find_id(text))
    if not isinstance(message, dict):
        return refuse(INVALID_REQUEST, "a message is an object", None)
    if _expects_no_answer(message):
        return Refusal(None)
    code, problem = next((code, problem) for applies, code, problem in PROBLEMS if applies(message))
    message_id = message.get("id")
    is_readable = isinstance(message_id, str | float) or _is_id(message_id)
    return refuse(code, problem, message_id if is_readable else None)


def _no_json(constant: str) -> None:
    raise ValueError(constant)


def _expects_no_answer(message: Mapping[str, Any]) -> bool:
    """Check for a response, and for a notification whose parameters are wrong (JSON-RPC 2.0 section 4.1)."""
    if "method" not in message:
        return "result" in message or "error" in message
    return message.get("jsonrpc") == "2.0" and isinstance(message["method"], str) and "id" not in message


def _find_id(text: str) -> str | int | None:
    """Return the id of a message that is not JSON or too deep, if the text before the problem shows it."""
    depth = 0
    for token in JSON_TOKEN.finditer(text) if text.startswith("{") else ():
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 1 and token[0] == '"id"' and (value := ID_VALUE.match(text, token.end())):
            with suppress(ValueError):
                found: str | int = json.loads(value[1], strict=False)
                return found
    return None

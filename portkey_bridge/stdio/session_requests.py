"""Which of a client's requests the server always answers in the same way, and a key for each.

A key covers everything in the session that an answer depends on. What covers the rest, such as the command line and the
document, is in `saved_answers`. A line that the server might read differently is Ambiguous, and is left to the server.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Requests whose answers depend only on the state of the server at its start.
CONSTANT = frozenset(
    {
        *("initialize", "server/discover", "ping", "tools/list"),
        *("prompts/list", "resources/list", "resources/templates/list"),
    }
)

#: Members of an Implementation besides name and version (Model Context Protocol, schema).
ABOUT_CLIENT = frozenset({"title", "description", "websiteUrl"})

#: Capabilities of clients, and what each contains.
CAPABILITIES: Mapping[str, type] = {
    "roots": bool,
    **dict.fromkeys(("sampling", "elicitation", "experimental", "extensions"), dict),
}

#: Where a request says who the client is and what it can do: in `initialize`, and in `_meta` since version 2026-07-28.
INFO, CAN = "clientInfo", "capabilities"
META = "io.modelcontextprotocol/"
VERSION_META, INFO_META, CAN_META = META + "protocolVersion", META + INFO, META + "clientCapabilities"

#: The versions whose requests say so by themselves.
MODERN_VERSIONS = ("2026-07-28",)

#: Ids that can be written in one way only, and that end at the next comma.
PLAIN_ID = re.compile(r'(?:(?![",\\])[ -~]){0,100}')

#: The members of a request or notification (JSON-RPC 2.0 section 4).
MESSAGE_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})

#: How the server writes an answer: the id goes between the two, and is all that differs between sessions.
RESPONSE_BEGINNING, RESPONSE_RESULT = '{"jsonrpc":"2.0","id":', '"result":'


class Ambiguous(Exception):
    """A line that the server may read differently from this module."""


class Request(NamedTuple):
    """A request that can be answered from an earlier session: its id as JSON, and the key of its answer.

    `is_first` marks the first request of a session, which the server has to see as well: it sets the protocol version.
    """

    id: str
    key: str
    is_first: bool


class Session:
    """The requests of one client so far, as far as answers depend on them."""

    def __init__(self) -> None:
        self._initialized_with = ""
        self._ids: set[str] = set()

    def read(self, line: bytes) -> Request | None:
        """Return the request in a line, or None if only the server can answer the line. Raises Ambiguous."""
        try:
            return self._request(_message(line))
        except (ValueError, RecursionError):
            raise Ambiguous from None

    def _request(self, message: Mapping[str, Any]) -> Request | None:
        is_first = not self._ids
        if not message.keys() >= {"id", "method"}:
            if is_first:
                raise Ambiguous  # a session starts with a request
            return None
        request_id, method, params = plain_id(message["id"]), message["method"], message.get("params")
        if request_id in self._ids:
            raise Ambiguous  # an answer to this id could belong to either request
        self._ids.add(request_id)
        if method not in CONSTANT:
            return None
        if method != "initialize":
            return Request(request_id, _key(self._initialized_with, method, _without_client(params)), is_first)
        if not is_first:
            raise Ambiguous
        self._initialized_with = _key("", method, _without_client(params))
        return Request(request_id, self._initialized_with, is_first)


def _message(line: bytes) -> dict[str, Any]:
    """Parse a line as the server does. Raises Ambiguous, ValueError and RecursionError."""
    message = json.loads(line.decode(), object_pairs_hook=_unique_members, parse_constant=_refuse)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Ambiguous
    if "method" not in message:
        return message
    if not isinstance(message["method"], str) or not isinstance(message.get("params", {}), dict):
        raise Ambiguous
    if not message.keys() <= MESSAGE_MEMBERS:
        raise Ambiguous
    return message


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Ambiguous
    return members


def _refuse(constant: str) -> Any:
    raise Ambiguous


def plain_id(value: Any) -> str:
    """Return an id as the server writes it. Raises Ambiguous for an id that can be written in several ways."""
    if type(value) is int and abs(value) < 2**53:
        return str(value)
    if isinstance(value, str) and PLAIN_ID.fullmatch(value):
        return f'"{value}"'
    raise Ambiguous


def _without_client(params: Any) -> Any:
    """Leave out which client asks and what it can do: no answer depends on that. Nothing unusual is left out."""
    if not isinstance(params, dict) or not params:
        return None if params == {} else params
    kept = {
        key: value
        for key, value in params.items()
        if not (key == INFO and is_about_client(value)) and not (key == CAN and are_capabilities(value))
    }
    meta = kept.get("_meta")
    if not isinstance(meta, dict):
        return kept
    about = {INFO_META: is_about_client, CAN_META: are_capabilities}
    return {**kept, "_meta": {key: value for key, value in meta.items() if key not in about or not about[key](value)}}


def is_about_client(value: Any) -> bool:
    """Check whether a value is an Implementation without anything that a server could refuse."""
    if not isinstance(value, dict) or not {"name", "version"} <= value.keys() <= {"name", "version"} | ABOUT_CLIENT:
        return False
    return all(isinstance(text, str) and text.isprintable() for text in value.values())


def are_capabilities(value: Any) -> bool:
    """Check whether a value is ClientCapabilities without anything that a server could refuse."""
    return isinstance(value, dict) and all(
        isinstance(capability, dict)
        and name in CAPABILITIES
        and all(isinstance(each, CAPABILITIES[name]) for each in capability.values())
        for name, capability in value.items()
    )


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

"""The answers to the requests that open a session, without FastMCP, which takes longer to import than all the rest.

The law is that of the direct lane: each answer is exactly what FastMCP's server would say, and every request that is
not plainly one of these, by a usual client, is left to it. `tests/test_opening.py` compares both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import pydantic_core

from portkey_bridge.builtin.builtin_tools import Listed
from portkey_bridge.serve.direct_lane import FASTMCP, REQUEST_MEMBERS, SERVER_INFO_META, is_token, is_usual
from portkey_bridge.serve.live_catalogue import LiveCatalogue
from portkey_bridge.stdio.session_requests import (
    MODERN_VERSIONS,
    RESPONSE_BEGINNING,
    RESPONSE_RESULT,
    VERSION_META,
    Ambiguous,
    are_capabilities,
    is_about_client,
    plain_id,
)

#: Versions whose sessions begin with a handshake; another one is answered with the last of them.
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

#: What the server can do, and what it adds to that in versions without a handshake.
CAPABILITIES: Mapping[str, Any] = {"logging": {}, "tools": {"listChanged": True}}
MODERN_CAPABILITIES = {**CAPABILITIES, "extensions": {"io.modelcontextprotocol/ui": {}}}

#: Requests that clients send although nothing of the kind is announced, and what is empty in their answers.
NONE_OF = {"prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"}

#: For how long, and for whom, modern results may be kept.
FRESHNESS: Mapping[str, Any] = {"ttlMs": 0, "cacheScope": "private"}


class Opened(NamedTuple):
    """An answer: the id of its request as JSON, and what follows on it in the line, from the result on."""

    id: str
    rest: str

    @property
    def line(self) -> str:
        """The whole line."""
        return f"{RESPONSE_BEGINNING}{self.id},{RESPONSE_RESULT}{self.rest}"


class Opening:
    """Answers `initialize`, `server/discover`, `tools/list`, `ping`, and requests for what there is nothing of."""

    def __init__(self, live: LiveCatalogue) -> None:
        self._live = live
        links = any(service.settings.files or service.settings.resources for service in live.catalogue.services)
        self._is_usual = not links and not _is_configured(os.environ)
        self._answers: Mapping[tuple[str, bool], Callable[[], dict[str, Any]]] = {
            ("ping", False): dict,
            ("tools/list", False): self._list,
            ("tools/list", True): self._list_modern,
            ("server/discover", True): self._discover,
            **{(method, False): partial(dict, {member: []}) for method, member in NONE_OF.items()},
            **{(method, True): partial(self._modern, {member: []}) for method, member in NONE_OF.items()},
        }

    def answer(self, line: str, is_modern: bool | None) -> Opened | None:
        """Return the answer to a request, or None for any other line.

        `is_modern` is the era of the session; None for its first request.
        """
        request = _request_in(line) if self._is_usual else None
        if request is None:
            return None
        method, params = request["method"], request.get("params", {})
        if method == "initialize":
            result = self._initialize(params) if is_modern is None else None
        else:
            expected = is_modern is not False  # without a handshake, the first request has an envelope, too
            make = self._answers.get((method, expected)) if _era(params) is expected else None
            result = make() if make else None
        return None if result is None else Opened(request["id"], f"{pydantic_core.to_json(result).decode()}}}\n")

    def _initialize(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        if params.keys() != {"protocolVersion", "capabilities", "clientInfo"}:
            return None
        version = params["protocolVersion"]
        is_readable = isinstance(version, str) and are_capabilities(params["capabilities"])
        if not is_readable or not is_about_client(params["clientInfo"]):
            return None
        return {
            "protocolVersion": version if version in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1],
            "capabilities": CAPABILITIES,
            "serverInfo": self._live.info,
            "instructions": self._live.catalogue.instructions,
        }

    def _discover(self) -> dict[str, Any]:
        return {
            "_meta": {SERVER_INFO_META: self._live.info},
            **FRESHNESS,
            "supportedVersions": MODERN_VERSIONS,
            "capabilities": MODERN_CAPABILITIES,
            "instructions": self._live.catalogue.instructions,
            "resultType": "complete",
        }

    def _list(self) -> dict[str, Any]:
        """Return the listing; with a handshake, what describes arguments comes in the order of the SDK."""
        tools = [_entry(each) for each in self._live.current().listing.values()]
        for tool in tools:
            tool["inputSchema"] = dict(sorted(tool["inputSchema"].items()))
        return {"tools": tools}

    def _list_modern(self) -> dict[str, Any]:
        return self._modern({"tools": [_entry(each) for each in self._live.current().listing.values()]})

    def _modern(self, listed: Mapping[str, Any]) -> dict[str, Any]:
        """Return a modern result that lists something, with its members in the order of the SDK."""
        result = {**listed, **FRESHNESS, "resultType": "complete"}
        return {**dict(sorted(result.items())), "_meta": {SERVER_INFO_META: self._live.info}}


def _is_configured(environ: Mapping[str, str]) -> bool:
    """Check for variables by which FastMCP may answer in another way."""
    return any(name.upper().startswith("FASTMCP_") and value != os.devnull for name, value in environ.items())


def _request_in(line: str) -> dict[str, Any] | None:
    """Return the request in a line, with its id as JSON; None if the SDK could read the line in another way."""
    try:
        request = pydantic_core.from_json(line, allow_inf_nan=False)
        is_plain = isinstance(request, dict) and request.keys() <= REQUEST_MEMBERS and request["jsonrpc"] == "2.0"
        if not is_plain or not isinstance(request["method"], str) or not isinstance(request.get("params", {}), dict):
            return None
        return {**request, "id": plain_id(request["id"])}
    except (ValueError, KeyError, Ambiguous):
        return None


def _era(params: Mapping[str, Any]) -> bool | None:
    """Check whether the parameters of a request are an envelope of its own, or empty; None for anything else."""
    meta = params.get("_meta", {})
    if not params.keys() <= {"_meta"} or not isinstance(meta, dict) or FASTMCP in meta:
        return None
    envelope = {key: value for key, value in meta.items() if key != "progressToken"}
    if len(envelope) < len(meta) and not is_token(meta["progressToken"]):
        return None
    if not envelope:
        return False
    is_modern = envelope.get(VERSION_META) in MODERN_VERSIONS
    return True if is_modern and is_usual(envelope) else None


def _entry(listed: Listed) -> dict[str, Any]:
    """Return the entry of a tool in the order of the SDK."""
    hints = {"annotations": listed.annotations} if listed.annotations else {}
    return {
        **hints,
        "description": listed.description,
        "inputSchema": listed.parameters,
        "name": listed.name,
        "title": listed.title,
    }

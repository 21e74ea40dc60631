"""The opening of a session without FastMCP: each answer is the one of FastMCP's server, or that server answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS

from portkey_bridge.bridge.load import load_api
from portkey_bridge.bridge.service import service_of
from portkey_bridge.serve.fastmcp_seam import McpServer
from portkey_bridge.serve.live_catalogue import LiveCatalogue
from portkey_bridge.serve.opening import HANDSHAKE_VERSIONS, Opening
from portkey_bridge.serve.server import live_catalogue_of
from portkey_bridge.settings.options import Settings
from portkey_bridge.stdio.session_requests import MODERN_VERSIONS
from tests.support import api_of, document

Json = dict[str, Any]

DOCUMENTS = Path(__file__).parent / "documents"
MODERN = MODERN_PROTOCOL_VERSIONS[-1]
ENVELOPE: Json = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}, "roots": {"listChanged": True}},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}

#: Arguments and descriptions of every shape that a listing has.
PATHS: Json = {
    "/x/{id}": {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "get": {"summary": "Get é😀", "description": "Ünicode \u2028 \x7f text", "responses": {}},
        "put": {
            "operationId": "put x",
            "responses": {},
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["b"],
                            "additionalProperties": False,
                            "description": "A body.",
                            "properties": {
                                "z": {"type": "number", "minimum": 1e22, "default": None},
                                "b": {"enum": ["x", "y"], "nullable": True},
                                "a": {"type": "array", "items": {"type": "integer"}, "example": [1.50, None]},
                            },
                        }
                    }
                }
            },
        },
        "delete": {"responses": {}},
    },
    "/empty": {"get": {"operationId": "empty", "responses": {}}},
}


class Wire:
    """The lines of a client, all of which are there, and those of the server, by the ids of the requests."""

    def __init__(self, messages: list[Json | str]) -> None:
        self._messages = messages
        self.lines: list[str] = []

    async def __aiter__(self) -> Any:
        for message in self._messages:
            yield (message if isinstance(message, str) else json.dumps(message)) + "\n"

    async def write(self, text: str) -> None:
        """Note a line."""
        self.lines.append(text)

    async def flush(self) -> None:
        """Do nothing."""


def request(number: Any, method: str, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "id": number, "method": method, **({"params": params} if params else {})}


def initialize(version: Any, number: Any = 0, **more: Any) -> Json:
    usual = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return request(number, "initialize", **{**usual, **more})


INITIALIZED: Json = {"jsonrpc": "2.0", "method": "notifications/initialized"}

#: What a client asks behind the first request, in both eras.
REQUESTS: list[Json] = [
    request(1, "tools/list"),
    {"jsonrpc": "2.0", "id": "a-2", "method": "tools/list", "params": {}},
    request(3, "ping"),
    {"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {"_meta": {"progressToken": 7}}},
    request(5, "prompts/list"),
    request(6, "resources/list"),
    request(7, "resources/templates/list"),
]


def live(paths: Json = PATHS, **settings: Any) -> LiveCatalogue:
    return live_catalogue_of([service_of(api_of(document(paths)), Settings(**settings))])


async def by_the_server(made: Callable[[], LiveCatalogue], messages: list[Json | str]) -> list[str]:
    """Return the lines that FastMCP's server answers with."""
    wire = Wire(messages)
    await McpServer(made()).serve_lines(wire, wire)
    return wire.lines


def by_the_opening(made: LiveCatalogue, messages: list[Json]) -> list[str]:
    """Return the lines of the opening, which takes all of these."""
    opening, era, lines = Opening(made), None, []
    for message in messages:
        answer = opening.answer(json.dumps(message), era)
        assert answer, message
        lines.append(answer.line)
        era = message["method"] != "initialize" if era is None else era
    return lines


def test_the_versions_are_those_of_the_sdk() -> None:
    """What is said about versions here is what the SDK knows of them."""
    assert HANDSHAKE_VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS
    assert HANDSHAKE_VERSIONS[-1] == LATEST_HANDSHAKE_VERSION
    assert MODERN_VERSIONS == MODERN_PROTOCOL_VERSIONS


@pytest.mark.parametrize("settings", [{}, {"discover": True}, {"read_only": True}, {"select": True}], ids=str)
@pytest.mark.parametrize("version", [*HANDSHAKE_VERSIONS, "1999-01-01", MODERN])
async def test_a_handshake_and_what_follows_is_answered_as_by_the_server(version: str, settings: Json) -> None:
    """In every version with a handshake, each line is the server's, byte for byte."""
    messages = [initialize(version), *REQUESTS]
    theirs = await by_the_server(lambda: live(**settings), [messages[0], INITIALIZED, *messages[1:]])
    assert sorted(by_the_opening(live(**settings), messages)) == sorted(theirs)


@pytest.mark.parametrize("settings", [{}, {"discover": True}], ids=str)
@pytest.mark.parametrize("first", ["server/discover", "tools/list"])
async def test_requests_with_envelopes_are_answered_as_by_the_server(first: str, settings: Json) -> None:
    """Without a handshake, each line is the server's, byte for byte."""
    meta = {**ENVELOPE, "progressToken": "t"}
    lists = ("prompts/list", "resources/list", "resources/templates/list")
    methods = (first, "tools/list", "server/discover", *lists)
    messages = [request(n, method, _meta=meta) for n, method in enumerate(methods)]
    theirs = await by_the_server(lambda: live(**settings), [*messages])
    assert sorted(by_the_opening(live(**settings), messages)) == sorted(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", *sorted(path.name for path in DOCUMENTS.iterdir() if path.is_file())])
@pytest.mark.parametrize("version", ["2025-06-18", MODERN])
async def test_every_listing_is_that_of_the_server(name: str, version: str) -> None:
    """Whatever a document contains, its listing is the server's, byte for byte."""
    settings = Settings(spec=str(DOCUMENTS / name) if name else None)
    service = service_of(load_api(settings), settings)
    messages = (
        [request(1, "tools/list", _meta=ENVELOPE)]
        if version == MODERN
        else [initialize(version), request(1, "tools/list")]
    )
    theirs = await by_the_server(lambda: live_catalogue_of([service]), [*messages])
    assert sorted(by_the_opening(live_catalogue_of([service]), messages)) == sorted(theirs)


#: What the server may answer otherwise, or refuses, and the era in which it comes.
ODD: list[tuple[Json | str, bool | None]] = [
    (initialize(5), None),
    (initialize("2025-06-18", 1.5), None),
    (initialize("2025-06-18", "a,b"), None),
    (initialize("2025-06-18", unknown=1), None),
    (initialize("2025-06-18", _meta={}), None),
    ({**initialize("2025-06-18"), "unknown": 1}, None),
    ({**initialize("2025-06-18"), "jsonrpc": "1.0"}, None),
    (request(1, "initialize", protocolVersion="2025-06-18", capabilities={}), None),
    (initialize("2025-06-18", capabilities=[]), None),
    (initialize("2025-06-18", clientInfo={"name": 1, "version": ""}), None),
    (request(1, "tools/list"), None),
    (request(1, "ping"), None),
    (request(1, "ping", _meta=ENVELOPE), True),
    (request(1, "tools/list"), True),
    (request(1, "tools/list", _meta=ENVELOPE), False),
    (request(1, "tools/list", _meta={"progressToken": True}), False),
    (request(1, "tools/list", _meta={"fastmcp": {}}), False),
    (request(1, "tools/list", cursor="x"), False),
    (request(1, "prompts/list", cursor="x"), False),
    (request(1, "prompts/get", name="x"), False),
    (request(1, "logging/setLevel", level="info"), False),
    (initialize("2025-06-18"), False),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": None}, False),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []}, False),
    ({"jsonrpc": "2.0", "method": "tools/list"}, False),
    (request(1, "tools/list", _meta={**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "1999-01-01"}), None),
    (request(1, "tools/list", _meta={**ENVELOPE, "io.modelcontextprotocol/logLevel": "loud"}), None),
    (request(1, "tools/list", _meta={"io.modelcontextprotocol/protocolVersion": MODERN}), None),
    ("[]", False),
    ("nonsense", False),
    ("", None),
]


@pytest.mark.parametrize(("message", "era"), ODD, ids=str)
def test_anything_else_is_left_to_the_server(message: Json | str, era: bool | None) -> None:
    """What is not plainly a request of the opening is not answered."""
    assert Opening(live()).answer(message if isinstance(message, str) else json.dumps(message), era) is None


@pytest.mark.parametrize("variable", ["FASTMCP_LOG_LEVEL", "fastmcp_mask_error_details"])
def test_variables_of_fastmcp_count(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody configures FastMCP, its server answers."""
    monkeypatch.setenv(variable, "1")
    assert Opening(live()).answer(json.dumps(initialize("2025-06-18")), None) is None


def test_files_are_announced_by_the_server(tmp_path: Path) -> None:
    """Where results may link to files, resources are announced, which only the server answers for."""
    assert Opening(live(files=(tmp_path,))).answer(json.dumps(initialize("2025-06-18")), None) is None

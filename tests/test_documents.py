"""Small documents, one idea each: what their tools list, and the requests that calls become.

Each document in `documents` says what it expects in fields of its own: `x-calls` (the request, or what a refusal says),
`x-tools` and `x-count` (its tools), `x-said` (what is said at start), `x-listed`, `x-unlisted` and `x-expanded` (what a
model reads), `x-environment` (variables). `http://api.test` stands for a server that records.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
import yaml
from fastmcp import Client
from jsonschema import Draft202012Validator

from portkey_bridge.bridge.service import service_of
from portkey_bridge.cli.loading import require_api
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.reading import read_settings
from tests.conftest import Recorded, Recorder, text_of
from tests.portability import portability_problems, subschemas

FOLDER = Path(__file__).parent / "documents"

each_document = pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.yaml")))


@pytest.fixture
def document(name: str, recorder: Recorder, tmp_path: Path) -> Path:
    """Return the document on disk with its parts beside it, and the recorder as its server."""
    shutil.copytree(FOLDER / "parts", tmp_path / "parts")
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    file = tmp_path / f"{name}.yaml"
    host = recorder.url.removeprefix("http://")
    file.write_text(re.sub(r"\bapi\.test\b", host, text), encoding="utf-8")
    return file


@each_document
async def test_a_document_is_served_as_it_says(
    name: str, document: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tools have names that clients accept and schemas that they take, and each call becomes its request."""
    expected = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    settings = read_settings({"spec": str(document)}, expected.get("x-environment", {}))
    server = build_server([service_of(require_api(settings), settings)])
    said = capsys.readouterr().err
    assert [word for word in expected.get("x-said", ()) if word not in said] == []
    async with Client(server) as client:
        listed = {tool.name: tool for tool in await client.list_tools() if tool.name != "expandSchema"}
        listed.pop("expandResult", None)
        check_tools(listed, expected)
        for tool, words in expected.get("x-expanded", {}).items():
            whole = await client.call_tool(
                "expandSchema", {"toolName": tool, "jsonPointers": ["", "/then", "/properties/body"]}
            )
            assert [word for word in words if word not in text_of(whole)] == []
        for stub_tool, stub in ((tool.name, stub) for tool in listed.values() for stub in stubs(tool.input_schema)):
            shown = await client.call_tool("expandSchema", {"toolName": stub_tool, "jsonPointers": [stub]})
            assert '"error"' not in text_of(shown)
        for call in expected.get("x-calls", ()):
            recorder.requests.clear()
            result = await client.call_tool(call["tool"], call["arguments"], raise_on_error=False)
            if "refused" in call:
                assert (result.is_error, recorder.requests) == (True, []), call
                assert call["refused"] in text_of(result)
            else:
                assert not result.is_error, (call, text_of(result))
                check_request(recorder.last, call)


def check_tools(listed: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare the tools of a listing with what the document says of them."""
    if "x-tools" in expected:
        assert list(listed) == expected["x-tools"]
    assert len(listed) == expected.get("x-count", len(listed))
    for name, tool in listed.items():
        assert re.fullmatch(r"[a-z_][a-z0-9_]{0,63}", name)
        Draft202012Validator.check_schema(tool.input_schema)
        problems = {problem for _, schema in subschemas(tool.input_schema) for problem in portability_problems(schema)}
        assert problems <= {"no type"}, "these documents have schemas that only say more of what others say"
    for name, words in expected.get("x-listed", {}).items():
        text = f"{listed[name].description} {json.dumps(listed[name].input_schema, separators=(',', ':'))}"
        assert [word for word in words if word not in text] == []
    for name, words in expected.get("x-unlisted", {}).items():
        assert [word for word in words if word in listed[name].input_schema["properties"]] == []


def check_request(sent: Recorded, call: dict[str, Any]) -> None:
    """Compare a request with what the call says of it."""
    method, target = call["request"].split(" ")
    assert sent.method == method
    assert unquote(sent.target) == unquote(target)
    text = sent.body.decode()
    if "json" in call:
        assert json.loads(text) == call["json"]
    if "form" in call:
        assert parse_qs(text) == {key: [value] for key, value in call["form"].items()}
    assert call.get("text", text) == text
    assert [word for word in call.get("contains", ()) if word not in text] == []
    if "type" in call:
        assert sent.header("content-type") == call["type"]
    if not call.keys() & {"json", "form", "text", "contains"}:
        assert text == ""


def stubs(view: Any) -> Iterator[str]:
    """Yield the pointers of a view's stubs."""
    if isinstance(view, dict):
        description = view.get("description")
        if isinstance(description, str) and (found := re.search(r"\[expandSchema (/.*)\]$", description)):
            yield found[1]
    for member in view.values() if isinstance(view, dict) else view if isinstance(view, list) else ():
        yield from stubs(member)

"""The demonstration as a person sees it: run as a child process, without a key and without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portkey_bridge.cli.demo_session import server_process
from portkey_bridge.cli.invocation import Invocation
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.cli.main import main
from portkey_bridge.settings.options import Settings
from tests.conftest import BARE, Run
from tests.pseudo_terminal import on_a_terminal


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a small document."""
    return {"openapi": "3.1.0", "info": {"title": "Small API", "version": "1"}, "paths": paths, **more}


def operation(**more: Any) -> dict[str, Any]:
    """Return an operation that answers an object."""
    schema = {"type": "object", "properties": {"done": {"type": "boolean"}}}
    return {"responses": {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}, **more}


def parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a required parameter."""
    return {"name": name, "in": place, "required": True, "schema": schema}


#: Large enough that its parts become stubs.
ORDER = {
    "type": "object",
    "required": ["pet", "lines"],
    "properties": {
        "pet": {"type": "string", "enum": ["dog", "cat"]},
        "lines": {
            "type": "array",
            "minItems": 1,
            "description": "What is ordered.",
            "items": {
                "type": "object",
                "required": ["sku", "note"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z]+$"},
                    "note": {"type": "string", "description": "What to know. " * 20},
                    **{f"field_{number}": {"type": "string"} for number in range(40)},
                },
            },
        },
    },
}

SHOP = document(
    {
        "/orders": {
            "post": operation(
                operationId="placeOrder",
                requestBody={"required": True, "content": {"application/json": {"schema": ORDER}}},
            )
        },
        "/orders/{id}": {
            "get": operation(operationId="getOrder", parameters=[parameter("id", "path", {"type": "integer"})]),
            "delete": operation(operationId="cancelOrder", parameters=[parameter("id", "path", {"type": "integer"})]),
        },
    },
    components={"securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "GITHUB_TOKEN"}}},
    security=[{"Key": []}],
)

READ_ONLY = document({"/time": {"get": operation(operationId="tellTime")}})

#: The bridge refuses a path segment that leads to another endpoint, and the document takes no other value.
IMPOSSIBLE = document(
    {"/up/{where}": {"get": operation(operationId="goUp", parameters=[parameter("where", "path", {"const": ".."})])}}
)


def headings(text: str) -> list[str]:
    """Return the headings of the parts."""
    return re.findall(r"^\d+\. (.*)$", text, re.MULTILINE)


def values(text: str) -> list[Any]:
    """Read the JSON values that are shown in full. Fails for one that is not JSON."""
    blocks = (block for block in text.split("\n\n") if block.startswith(("    {", "    [")))
    return [json.loads(block, strict=False) for block in blocks if not block.endswith(" more lines")]


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Return a function that writes a document into the working directory and gives its name."""

    def write(content: dict[str, Any]) -> str:
        (tmp_path / "spec.json").write_text(json.dumps(content))
        return "spec.json"

    return write


@pytest.mark.slow
def test_shows_the_portkey_api(run: Run, tmp_path: Path) -> None:
    """Without options the Portkey API is shown; a `.env` that lies around and real keys have no part in it."""
    (tmp_path / ".env").write_text("OPEN_MCP_BASE_URL=http://127.0.0.1:9\nX_PORTKEY_API_KEY=key-of-the-file\n")
    ended = run("demo", env={"API_KEY": "key-of-the-environment"})
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = ended.stdout
    assert headings(shown) == [
        "The tools",
        "A stub",
        "The stub, expanded",
        "A read-only call",
        "A call with a body",
        "A streamed response",
        "A refused call",
        "An image and a sound",
        "A large list",
        "The large list, continued",
    ]
    assert "progress 1: some-\n    progress 2: content\n" in shown
    assert re.search(r"\(image: \d+ bytes of image/png\)", shown)
    assert re.search(r"\(audio: \d+ bytes of audio/wav\)", shown)
    assert "4,999 more of 5,000 items" in shown
    assert '{"id": 4999, "name": ' in shown
    assert '{"id": 3002, "name": ' in shown
    assert "lists 233 tools" in shown
    assert re.search(r"about\s\d+,\d+\stokens", shown)
    assert "[expandSchema" in shown
    assert '> expandSchema {\n    "toolName": "createchatcompletion"' in shown
    assert '> listmodels {}\n\n    {\n      "object": "list"' in shown
    assert '{"role": "user", "content": "Why is the sky blue?"}' in shown
    assert "did you mean temperature?" in shown
    assert "/messages/1/role: expected one of" in shown
    assert "key-of-the" not in shown
    stub, models = values(shown)
    assert "[expandSchema /properties/" in "".join(json.dumps(stub).split("\\n"))
    assert models["data"][0]["object"] == "model"


@pytest.mark.slow
def test_chooses_operations_of_any_document(run: Run, written: Any) -> None:
    """Another document is shown with operations of its own, in short lines, and without colour in a pipe."""
    ended = run("demo", "--spec", written(SHOP), env={"GITHUB_TOKEN": "a-real-token"})
    assert (ended.returncode, ended.stderr) == (0, "")
    shown, on_one_line = ended.stdout, " ".join(ended.stdout.split())
    assert "Small API" in shown
    assert "lists 5 tools" in shown
    assert '> expandSchema { "toolName": "placeorder", "jsonPointers": ["/properties/lines/items"] }' in on_one_line
    assert '"pattern": "^[A-Z]+$"' in shown
    assert '> getorder {"id": 1}' in shown
    assert '> placeorder { "pet": "dog", "lines": [{"sku": "SAMPLE", "note": "some-note"}] }' in on_one_line
    assert shown.count('{"done": true}') == 2
    assert "Nothing was sent: placeorder does not take these arguments.\n    - /" in shown
    assert '- /pet: expected one of "dog", "cat", not {}' in on_one_line
    assert "a-real-token" not in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
def test_leaves_out_what_the_document_has_none_of(run: Run, written: Any) -> None:
    """Without stubs and bodies there is no part about them; a call that is refused is found all the same."""
    ended = run("demo", "--spec", written(READ_ONLY))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert headings(ended.stdout) == ["The tools", "A read-only call", "A refused call"]
    assert "/surprise: there is no such argument" in ended.stdout


@pytest.mark.slow
def test_keeps_to_the_tools_that_are_named(
    tmp_path: Path, written: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--tools` counts for the demo as for the server, and a relative document is found by both."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--spec", written(SHOP), "--tools", "getorder"]) == 0
    shown = capsys.readouterr().out
    assert "lists 3 tools" in shown
    assert headings(shown) == ["The tools", "A read-only call", "A refused call"]


@pytest.mark.slow
def test_says_what_did_not_go_as_shown(
    tmp_path: Path, written: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a call fails, the demo ends with one line that says which and why, and exit status 1."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--spec", written(IMPOSSIBLE)]) == 1
    shown, said = capsys.readouterr()
    assert re.fullmatch(r"portkey-bridge: the demo stopped: goup failed: .*another endpoint.*\n", said)
    assert "Everything worked as shown" not in shown


def test_a_setting_that_cannot_be_used_ends_it_at_once(
    tmp_path: Path, written: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that does not exist is one line and exit status 2, as for the server."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--spec", written(SHOP), "--tools", "getordr"]) == 2
    shown, said = capsys.readouterr()
    assert (shown, said.count("\n")) == ("", 1)
    assert "getorder" in said


def test_the_server_gets_no_real_credential(tmp_path: Path, written: Any) -> None:
    """The child's variables are its options, the mock's URL and credentials that are made up."""
    spec = tmp_path / written(SHOP)
    real = {"GITHUB_TOKEN": "a-real-token", "AWS_SECRET_ACCESS_KEY": "another", "API_KEY": "a-key"}
    settings = Settings(spec=str(spec), environ={**real, "OPEN_MCP_RETRIES": "7"})
    _, tools = load_tools(settings)
    invocation = Invocation([settings], {"spec": str(spec)}, ["demo"])
    server = server_process(invocation, "http://127.0.0.1:1", tools, tmp_path / "log")
    assert server.env is not None
    assert server.env["OPEN_MCP_SPEC"] == str(spec)
    assert server.env["OPEN_MCP_RETRIES"] == "7"
    assert server.env["GITHUB_TOKEN"] not in real.values()
    assert server.env["OPEN_MCP_BASE_URL"] == "http://127.0.0.1:1"
    assert not {*real.values()} & {*server.env.values()}


@pytest.mark.slow
def test_colours_headings_on_a_terminal(tmp_path: Path, written: Any) -> None:
    """A terminal gets headings in colour, lines that fit it, and no control characters of the document."""
    words = ["demo", "--spec", written({**READ_ONLY, "info": {"title": "Clear \x1b[2J", "version": "1"}})]
    colourful = on_a_terminal(*words, env={**BARE, "COLUMNS": "80"}, cwd=tmp_path)
    assert "\x1b[1;36m1. The tools" in colourful
    assert "\x1b[2J" not in colourful
    plain = on_a_terminal(*words, env={**BARE, "COLUMNS": "80", "NO_COLOR": "1"}, cwd=tmp_path)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", plain)
    assert bare == re.sub(r"\x1b\[[0-9;]*m", "", colourful)
    assert headings(bare) == ["The tools", "A read-only call", "A refused call"]
    assert max(map(len, bare.splitlines())) <= 80


@pytest.mark.slow
def test_exits_quietly_if_its_output_is_closed(tmp_path: Path, written: Any) -> None:
    """If its output is closed, as by `head`, the demo exits with 141 and no message, as every command does."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "portkey_bridge", "demo", "--spec", written(READ_ONLY)],
        env=BARE,
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")

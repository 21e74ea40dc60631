"""The command line: what a person is told, where, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portkey_bridge import __version__
from tests.conftest import OF_ITS_OWN, Run

MINIMAL = {"openapi": "3.1.0", "info": {"title": "Minimal", "version": "1"}, "paths": {}}

#: bytes of a document that cannot be served, and what the one line says besides the file's name.
BROKEN_DOCUMENTS = [
    pytest.param(b"openapi: 3.1.0\ninfo:\n  title: [\n", [":4:1: ", "does not parse"], id="YAML, end of file"),
    pytest.param(b"openapi: 3.1.0\ninfo: {title: a: b}\n", [":2:", "does not parse"], id="YAML"),
    pytest.param(b"openapi: 3.1.0\n\tinfo: x\n", [":2:1: ", "does not parse"], id="YAML with a tab"),
    pytest.param(b"openapi: *nowhere\n", [":1:10: ", "alias"], id="YAML with an unknown alias"),
    pytest.param(b"openapi: 3.1.0\ninfo: \x01\n", ["does not parse"], id="control character"),
    pytest.param(b'{"openapi": "3.1.0",\n "info" 1}', [":2:9: ", "JSON"], id="JSON"),
    pytest.param(b'{"openapi": "3.1.0"', [":1:", "JSON"], id="JSON, end of file"),
    pytest.param(b"[]", ["not an OpenAPI document"], id="array"),
    pytest.param(b"just text", ["not an OpenAPI document"], id="text"),
    pytest.param(b"", ["is empty"], id="empty"),
    pytest.param(b"title: something else\n", ["openapi"], id="no OpenAPI"),
    pytest.param(b'{"openapi": "4.0.0"}', ["4.0.0", "3.1"], id="version of the future"),
    pytest.param(b'{"openapi": {}}', ["version"], id="version is no text"),
    pytest.param("openapi: 3.1.0 # é".encode("latin-1"), ["UTF-8", "byte 17"], id="not UTF-8"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ["nested"], id="deep JSON"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, ["nested"], id="deep JSON array"),
    pytest.param(b"a: " + b"[" * 100_000 + b"]" * 100_000, ["nested"], id="deep YAML"),
    pytest.param(b"- " * 100_000, ["nested"], id="deep YAML blocks"),
]

#: arguments and variables that cannot be used, and what the one line says.
BROKEN_SETTINGS = [
    pytest.param(["--spce", "x"], {}, ["--spce", "--spec", "--help"], id="unknown option"),
    pytest.param(["--nothing-like-it"], {}, ["--nothing-like-it", "--help"], id="unknown option, nothing close"),
    pytest.param(["srve"], {}, ["srve", "demo", "mock"], id="unknown command"),
    pytest.param(["--spec"], {}, ["--spec", "argument"], id="option without its value"),
    pytest.param(["--tools", "create_chat"], {}, ["'create_chat'", "createchatcompletion"], id="unknown tool"),
    pytest.param(["--base-url", "localhost:8787"], {}, ["'localhost:8787'", "http", "--base-url"], id="base URL"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "ftp://example.com"}, ["OPEN_MCP_BASE_URL"], id="base URL of another kind"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "https://"}, ["OPEN_MCP_BASE_URL"], id="base URL without a host"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "http://a:b"}, ["OPEN_MCP_BASE_URL"], id="base URL with a bad port"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "http://xn--a"}, ["OPEN_MCP_BASE_URL"], id="base URL that IDNA refuses"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "http://256.1.1.1"}, ["OPEN_MCP_BASE_URL"], id="base URL with no address"),
    pytest.param([], {"OPEN_MCP_BASE_URL": "http://[::1"}, ["OPEN_MCP_BASE_URL"], id="base URL with half a bracket"),
    pytest.param(
        [], {"OPEN_MCP_BASE_URL": "http://example.com/a b"}, ["OPEN_MCP_BASE_URL"], id="base URL with a space"
    ),
    pytest.param([], {"OPEN_MCP_SCHEMA_BUDGET": "abc"}, ["OPEN_MCP_SCHEMA_BUDGET", "'abc'", "full"], id="budget"),
    pytest.param([], {"OPEN_MCP_SCHEMA_BUDGET": "²"}, ["OPEN_MCP_SCHEMA_BUDGET"], id="budget in another script"),
    pytest.param(["--schema-budget=-1"], {}, ["'-1'"], id="negative budget"),
    pytest.param([], {"OPEN_MCP_PATH_ITEM_TOOLS": "maybe"}, ["OPEN_MCP_PATH_ITEM_TOOLS", "1 or 0"], id="switch"),
    pytest.param(["--env-file", "none.env"], {}, ["none.env", "--env-file"], id="missing environment file"),
    pytest.param(["--env-file", "."], {}, [".: ", "--env-file"], id="environment file is a folder"),
    pytest.param(["--spec", "none.yaml"], {}, ["none.yaml: ", "No such file", "--spec"], id="missing document"),
    pytest.param(["--spec", "."], {}, [".: ", "OpenAPI document"], id="document is a folder"),
    pytest.param(["--spec", "nul\\0"], {}, ["nul"], id="document with an odd name"),
    pytest.param(
        [], {"OPEN_MCP_SPEC": "none.yaml"}, ["none.yaml: ", "No such file"], id="missing document by variable"
    ),
]


def refused(run: Run, *arguments: str, **env: str) -> str:
    """Run the command line, see that it refuses as it should, and give the one line that it says."""
    ran = run(*arguments, env=env)
    assert ran.returncode == 2, ran
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith("portkey-bridge: ")
    return line


@pytest.mark.parametrize(("content", "said"), BROKEN_DOCUMENTS)
def test_a_broken_document_is_told_in_one_line(run: Run, tmp_path: Path, content: bytes, said: list[str]) -> None:
    """The line names the file, where it is broken and what is wrong."""
    (tmp_path / "broken.yaml").write_bytes(content)
    line = refused(run, "--spec", "broken.yaml")
    assert [part for part in ("broken.yaml", *said) if part not in line] == [], line
    assert len(line) < 400


@pytest.mark.parametrize(("arguments", "env", "said"), BROKEN_SETTINGS)
def test_a_broken_setting_is_told_in_one_line(
    run: Run, arguments: list[str], env: dict[str, str], said: list[str]
) -> None:
    """The line names the option or variable, what is wrong with it and what would be right."""
    line = refused(run, *arguments, **env)
    assert [part for part in said if part not in line] == [], line


def test_a_broken_dotenv_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    """Bytes in `.env` that are no text are told with the file's name, and without the bytes."""
    (tmp_path / ".env").write_bytes(b"API_KEY=\xff\xfe\x00secret\n")
    line = refused(run)
    assert ".env: cannot be read" in line
    assert "secret" not in line


def test_a_folder_called_dotenv_does_no_harm(run: Run, tmp_path: Path) -> None:
    """Some projects keep a folder of that name; nobody asked to read it."""
    (tmp_path / ".env").mkdir()
    (tmp_path / "minimal.json").write_text(json.dumps(MINIMAL))
    assert run("--spec", "minimal.json").returncode == 0


def test_version(run: Run) -> None:
    """`--version` gives the version on stdout."""
    ran = run("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"portkey-bridge {__version__}\n", "")


def test_help(run: Run) -> None:
    """`--help` shows the commands and examples, and reads no document for it."""
    ran = run("--help", "--spec", "none.yaml")
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert [word for word in ("demo", "mock", "--spec", "examples:") if word not in ran.stdout] == []


def test_a_closed_stdin_ends_the_server(run: Run, tmp_path: Path) -> None:
    """A client that goes away at once leaves no error: one line says what is served, and stdout stays empty."""
    (tmp_path / "minimal.json").write_text(json.dumps({**MINIMAL, "paths": {"/x": {"get": {"summary": "Read X"}}}}))
    ran = run("--spec", "minimal.json", "--base-url", "http://127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"portkey-bridge {__version__} serves Minimal over stdio\n"


def test_a_malformed_message_is_survived(run: Run, tmp_path: Path) -> None:
    """A line that is no JSON-RPC ends neither the server nor the protocol on stdout."""
    (tmp_path / "minimal.json").write_text(json.dumps(MINIMAL))
    ran = run("--spec", "minimal.json", stdin="not JSON\n{}\n[]\n\n")
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in ran.stdout.splitlines())


def test_what_cannot_be_served_is_a_warning(run: Run, tmp_path: Path) -> None:
    """What is broken in an operation costs one line with its method and path; the rest is served."""
    paths = {
        "/fine": {"get": {"responses": {}}},
        "/broken": {"post": {"parameters": [{"name": "x", "in": "nowhere"}], "responses": {}}},
    }
    (tmp_path / "partly.json").write_text(json.dumps({**MINIMAL, "paths": paths}))
    ran = run("--spec", "partly.json", "--base-url", "https://example.com")
    assert ran.returncode == 0
    warning, served = ran.stderr.splitlines()
    assert warning.startswith("portkey-bridge: ")
    assert "POST /broken" in warning
    assert "serves Minimal" in served


@pytest.mark.slow
@pytest.mark.parametrize("command", ["tools", "call getprompt promptId=a --dry-run", "schema getprompt", "list"])
def test_a_command_that_serves_nothing_does_without_the_sdk(command: str, tmp_path: Path) -> None:
    """FastMCP and the SDK, which take a second to import, are not imported."""
    program = [sys.executable, "-X", "importtime", "-m", "portkey_bridge", *command.split()]
    done = subprocess.run(program, cwd=tmp_path, env={**os.environ, **OF_ITS_OWN}, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "portkey_bridge" in imported
    assert imported.isdisjoint({"fastmcp", "mcp", "mcp_types"})

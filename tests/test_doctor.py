"""doctor: what is wrong is found, told with its remedy, and counted in the exit code."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Recorder, Run
from tests.replicas import free_port

VALUE = "s3cr3t-value"

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "7"},
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-pets-key"}}},
    "security": [{"key": []}],
    "paths": {
        "/pets": {"get": {"operationId": "listPets"}},
        "/open": {"get": {"operationId": "open", "security": []}},
    },
}

#: Variables under which nothing is wrong. The launcher that clients need is made by the fixture.
GOOD = {"X_PETS_KEY": VALUE}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Return a document on disk, and beside it a folder with a launcher and a client that starts it."""
    launcher = tmp_path / "bin" / "uvx"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    launcher.chmod(0o755)
    configure(tmp_path, "uvx", API_KEY="${env:API_KEY}")
    file = tmp_path / "pets.json"
    file.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    return file


def configure(folder: Path, command: str, mode: int = 0o644, **env: str) -> Path:
    """Write a project's file of VS Code, in which an entry starts this program."""
    file = folder / ".vscode" / "mcp.json"
    file.parent.mkdir(exist_ok=True)
    entry = {"type": "stdio", "command": command, "args": ["portkey-bridge"], "env": env}
    file.write_text(json.dumps({"servers": {"pets": entry}}), encoding="utf-8")
    file.chmod(mode)
    return file


def findings(printed: str) -> dict[str, tuple[str, str]]:
    """Return level and words, with those of the remedy, by subject."""
    parts = re.findall(r"^(ok|warning|problem) +(\w+) +(.*(?:\n .*)*)", printed, re.MULTILINE)
    return {subject: (level, words) for level, subject, words in parts}


@pytest.fixture
def closed_port() -> str:
    """Return the URL of a port that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}"


def test_all_is_well(run: Run, document: Path, recorder: Recorder) -> None:
    """Where nothing is wrong, every line is ok and the exit code is 0."""
    recorder.answer = (404, {}, b"")
    path = f"{document.parent / 'bin'}:/usr/bin:/bin"
    machine = {"PATH": path, "HOME": str(document.parent)}
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, env={**GOOD, **machine})
    found = findings(done.stdout)
    assert set(found) == {"version", "document", "credentials", "server", "launcher", "clients", "cache"}
    assert {level for level, _ in found.values()} == {"ok"}, done.stdout
    assert "answered 404" in found["server"][1]
    assert "2 of 2 tools" in found["credentials"][1]
    assert done.returncode == 0


def test_no_credential_is_sent_or_shown(run: Run, document: Path, recorder: Recorder) -> None:
    """The server is asked as a stranger would ask, and no value is printed, not even one in the URL."""
    url = recorder.url.replace("//", f"//user:{VALUE}@") + f"/v1?key={VALUE}"
    done = run("doctor", "--spec", str(document), "--base-url", url, env=GOOD)
    assert recorder.last.target == "/v1"
    assert VALUE not in str(recorder.last)
    assert recorder.last.header("authorization") is None
    assert VALUE not in done.stdout + done.stderr


MALADIES = [
    pytest.param({}, [], "credentials", "problem", "Set X_PETS_KEY", 1, id="no credential"),
    pytest.param(GOOD, ["--tools", "open"], "credentials", "ok", "1 of 1 tools", 0, id="none needed"),
    pytest.param({**GOOD, "PATH": "/nowhere"}, [], "launcher", "warning", "Install uv", 0, id="no launcher"),
    pytest.param(GOOD, ["--tools", "opn"], "document", "problem", "open", 1, id="a tool that is not there"),
    pytest.param(GOOD, ["--spec", "none.yaml"], "document", "problem", "none.yaml", 1, id="no document"),
]


@pytest.mark.parametrize(("environ", "options", "subject", "level", "remedy", "status"), MALADIES)
def test_what_is_wrong_comes_with_its_remedy(
    run: Run,
    document: Path,
    recorder: Recorder,
    environ: dict[str, str],
    options: list[str],
    subject: str,
    level: str,
    remedy: str,
    status: int,
) -> None:
    """A problem makes the exit code 1, a warning does not, and both say what to do."""
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, *options, env=environ)
    found = findings(done.stdout)[subject]
    assert found[0] == level
    assert remedy in found[1]
    assert done.returncode == status


def test_a_server_that_is_not_there(run: Run, document: Path, closed_port: str) -> None:
    """A server that cannot be reached, or can have no address, is a problem, told with its address."""
    for url in (closed_port, "http://a..test"):
        done = run("doctor", "--spec", str(document), "--base-url", url, env=GOOD)
        level, words = findings(done.stdout)["server"]
        assert (level, done.returncode) == ("problem", 1)
        assert url in words


def test_a_server_that_is_ill(run: Run, document: Path, recorder: Recorder) -> None:
    """A server that answers with a fault of its own is a warning."""
    recorder.answer = (503, {}, b"")
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, env=GOOD)
    assert findings(done.stdout)["server"][0] == "warning"


def test_the_most_used_servers_are_asked(run: Run, document: Path, recorder: Recorder) -> None:
    """Of seven servers of a document, the five that the most tools use get one request each."""
    paths = {
        f"/{at}/{again}": {"servers": [{"url": f"{recorder.url}/s{at}"}], "get": {"security": []}}
        for at in range(7)
        for again in range(at + 1)
    }
    document.write_text(json.dumps({**DOCUMENT, "paths": paths}), encoding="utf-8")
    run("doctor", "--spec", str(document), env=GOOD)
    assert sorted(request.target for request in recorder.requests) == ["/s2", "/s3", "/s4", "/s5", "/s6"]


def test_a_document_without_a_server(run: Run, document: Path) -> None:
    """Where no tool has a server to send to, the remedy is the variable that names one."""
    done = run("doctor", "--spec", str(document), env=GOOD)
    level, words = findings(done.stdout)["server"]
    assert level == "problem"
    assert "OPEN_MCP_BASE_URL" in words


def test_a_document_that_is_left_out_in_part(run: Run, document: Path, recorder: Recorder) -> None:
    """Operations that cannot be served are a warning that counts them, after the lines that name them."""
    broken = {"get": {"parameters": [{"name": "a", "in": "nowhere", "required": True}]}}
    document.write_text(json.dumps({**DOCUMENT, "paths": {**DOCUMENT["paths"], "/broken": broken}}), encoding="utf-8")
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, env=GOOD)
    level, words = findings(done.stdout)["document"]
    assert level == "warning"
    assert "1 operations left out" in words
    assert "GET /broken" in done.stderr


def test_a_document_without_operations(run: Run, document: Path, recorder: Recorder) -> None:
    """A document that offers nothing is a problem."""
    document.write_text(json.dumps({**DOCUMENT, "paths": {}}), encoding="utf-8")
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url)
    assert findings(done.stdout)["document"][0] == "problem"


def test_a_lure_in_a_dotenv_is_found(run: Run, document: Path, recorder: Recorder) -> None:
    """A `.env` that would decide where a real credential goes is a problem, as it is when serving."""
    (document.parent / ".env").write_text(f"OPEN_MCP_BASE_URL={recorder.url}\n", encoding="utf-8")
    done = run("doctor", "--spec", str(document), env=GOOD)
    level, words = findings(done.stdout)["credentials"]
    assert level == "problem"
    assert "--env-file" in words


def test_a_withheld_variable_is_told(run: Run, document: Path, recorder: Recorder) -> None:
    """A variable that looks like somebody else's secret is a warning that names the option to allow it."""
    scheme = {"key": {"type": "apiKey", "in": "header", "name": "github-token"}}
    text = json.dumps({**DOCUMENT, "components": {"securitySchemes": scheme}})
    document.write_text(text, encoding="utf-8")
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, env={"GITHUB_TOKEN": VALUE})
    assert "set OPEN_MCP_CREDENTIALS=GITHUB_TOKEN" in done.stdout
    assert VALUE not in done.stdout


CLIENTS = [
    pytest.param("/nowhere/uvx", 0o600, {}, "there is no command /nowhere/uvx", id="a launcher that is gone"),
    pytest.param("uvx", 0o644, {"X_PETS_KEY": VALUE}, "chmod 600", id="a key that others can read"),
    pytest.param("uvx", 0o600, {"X_PETS_KEY": VALUE}, "as pets with X_PETS_KEY", id="all is well"),
]


@pytest.mark.parametrize(("command", "mode", "env", "words"), CLIENTS)
def test_a_clients_entry_is_looked_at(
    run: Run, document: Path, command: str, mode: int, env: dict[str, str], words: str
) -> None:
    """An entry that cannot start, or that shows a key to others, is a warning; even where there is no document."""
    configure(document.parent, command, mode, **env)
    machine = {"PATH": f"{document.parent / 'bin'}:/usr/bin:/bin", "HOME": str(document.parent)}
    done = run("doctor", "--spec", "none.yaml", env=machine)
    level, told = findings(done.stdout)["clients"]
    assert words in told
    assert level == ("ok" if words.startswith("as") else "warning")
    assert VALUE not in done.stdout + done.stderr


def test_a_machine_without_clients_and_cache(run: Run, document: Path) -> None:
    """Where no client starts this program and nothing can be kept, both are warnings with what to do."""
    (document.parent / ".vscode" / "mcp.json").unlink()
    env = {"HOME": str(document.parent), "XDG_CACHE_HOME": os.devnull}
    found = findings(run("doctor", "--spec", "none.yaml", env=env).stdout)
    assert found["clients"][0] == found["cache"][0] == "warning"
    assert "portkey-bridge add CLIENT" in found["clients"][1]
    assert "XDG_CACHE_HOME" in found["cache"][1]


def test_a_key_in_a_clients_entry_counts(run: Run, document: Path, recorder: Recorder) -> None:
    """A key that stands in a client's entry is no problem in a shell that has none."""
    configure(document.parent, "uvx", 0o600, X_PETS_KEY=VALUE)
    done = run("doctor", "--spec", str(document), "--base-url", recorder.url, env={"HOME": str(document.parent)})
    assert findings(done.stdout)["credentials"][0] == "warning"


def test_a_cache_that_is_off_is_reported(run: Run, document: Path) -> None:
    """`doctor` warns that the cache is off, and names the switch."""
    level, told = findings(run("doctor", "--spec", str(document), env={"OPEN_MCP_CACHE": "0"}).stdout)["cache"]
    assert level == "warning"
    assert "--no-cache" in told

"""A `.env` that nobody named gets nothing from the real environment and the disk."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS
from portkey_bridge.settings.reading import read_settings
from tests.conftest import Recorder, Run
from tests.support import document

TOKEN = "ghp_a1b2c3d4e5f6a7b8c9d0"  # noqa: S105  # nobody's


@pytest.fixture
def spec(tmp_path: Path, recorder: Recorder) -> str:
    """Return a document whose operation takes GITHUB_TOKEN, which is another product's."""
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "github-token"}}
    operation = {"operationId": "x", "security": [{"key": []}], "responses": {"200": {"description": "OK"}}}
    root = document(
        {"/x": {"get": operation}}, components={"securitySchemes": schemes}, servers=[{"url": recorder.url}]
    )
    (tmp_path / "api.json").write_text(json.dumps(root))
    return "api.json"


#: Lines of a `.env`, and what is asked to run with them.
REFERENCES = [
    "OPEN_MCP_SPEC={url}/${{GITHUB_TOKEN}}",
    "OPEN_MCP_BASE_URL={url}/${{GITHUB_TOKEN}}",
    "OPEN_MCP_BASE_URL={url}/${{GITHUB_TOKEN}}x\nGITHUB_TOKEN=x",
    "OPEN_MCP_SERVER_HOST=${{GITHUB_TOKEN}}",
    "OPEN_MCP_FUTURE=${{GITHUB_TOKEN}}",
]


@pytest.mark.parametrize("lines", REFERENCES)
def test_a_reference_to_the_environment_is_refused_unsent(
    run: Run, tmp_path: Path, recorder: Recorder, lines: str
) -> None:
    """A setting that refers to a variable of the real environment ends the program before anything is sent."""
    (tmp_path / ".env").write_text(lines.format(url=recorder.url))
    ran = run("tools", env={"GITHUB_TOKEN": TOKEN})
    assert ran.returncode == 2
    assert recorder.requests == []
    (line,) = ran.stderr.splitlines()
    assert "refers to GITHUB_TOKEN" in line
    assert "--env-file .env" in line
    assert TOKEN not in line


def test_a_credential_cannot_refer_to_the_environment(run: Run, tmp_path: Path, recorder: Recorder) -> None:
    """A credential in `.env` that takes its value from the real environment counts as not set."""
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "key"}}
    operation = {"operationId": "x", "security": [{"key": []}], "responses": {"200": {"description": "OK"}}}
    root = document({"/x": {"get": operation}}, components={"securitySchemes": schemes})
    (tmp_path / "api.json").write_text(json.dumps(root))
    (tmp_path / ".env").write_text(f"OPEN_MCP_BASE_URL={recorder.url}\nKEY=${{GITHUB_TOKEN}}\n")
    ran = run("call", "x", "--spec", "api.json", env={"GITHUB_TOKEN": TOKEN})
    assert ran.returncode == 1
    assert recorder.requests == []


def test_references_within_the_file_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line may refer to lines above it, and have a default; a file that is named may refer to everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOST_NAME", "real.example")
    lines = "NAME=a.example\nOPEN_MCP_BASE_URL=https://${NAME}/${VERSION:-v1}\nOTHER=${HOST_NAME}\n"
    (tmp_path / ".env").write_text(lines)
    settings = read_settings({}, {})
    assert settings.base_url == "https://a.example/v1"
    assert "OTHER" not in settings.environ
    assert read_settings({}, {}, ".env").environ["OTHER"] == "real.example"


def test_it_cannot_unbind_another_product_s_secret(run: Run, tmp_path: Path, recorder: Recorder, spec: str) -> None:
    """OPEN_MCP_CREDENTIALS in `.env` gives no document a secret of the real environment."""
    (tmp_path / ".env").write_text("OPEN_MCP_CREDENTIALS=GITHUB_TOKEN\n")
    ran = run("call", "x", "--spec", spec, env={"GITHUB_TOKEN": TOKEN})
    assert ran.returncode == 2
    assert "OPEN_MCP_CREDENTIALS" in ran.stderr
    assert recorder.requests == []
    assert run("call", "x", "--spec", spec, "--env-file", ".env", env={"GITHUB_TOKEN": TOKEN}).returncode == 0
    assert recorder.last.header("github-token") == TOKEN


@pytest.mark.parametrize("variable", ["OPEN_MCP_FILES", "OPEN_MCP_CONFIG"])
def test_it_opens_nothing_on_the_disk(run: Run, tmp_path: Path, variable: str) -> None:
    """No folder and no settings file is opened because a `.env` names it."""
    (tmp_path / "secret.toml").write_text("nonsense that nobody may see")
    value = tmp_path if "FILES" in variable else tmp_path / "secret.toml"
    (tmp_path / ".env").write_text(f"{variable}={value}\n")
    ran = run("tools")
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert variable in line
    assert "--env-file .env" in line
    assert "nonsense" not in line


@pytest.mark.parametrize("field", ["client_cert", "client_key", "files"])
def test_what_it_must_not_set_is_not_even_looked_for(run: Run, tmp_path: Path, field: str) -> None:
    """A path in a `.env` is refused as such: it tells nobody whether it exists, and connects to no file server."""
    (tmp_path / ".env").write_text(f"OPEN_MCP_{field.upper()}=/nowhere/at/all\n")
    ran = run("tools")
    assert ran.returncode == 2
    assert f"OPEN_MCP_{field.upper()} in " in ran.stderr
    assert "--env-file .env" in ran.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants POSIX")
def test_a_pipe_that_nobody_named_does_not_block(run: Run, tmp_path: Path) -> None:
    """A `.env` that is a pipe is refused instead of being waited for."""
    os.mkfifo(tmp_path / ".env")
    ran = run("tools")
    assert ran.returncode == 2
    assert "is a pipe" in ran.stderr


def test_the_settings_file_wins_over_it(run: Run, tmp_path: Path, spec: str) -> None:
    """What the user's own settings file says is not overridden: a `.env` cannot allow what that forbids."""
    (tmp_path / "mine.toml").write_text(f'[api.main]\nprefix = ""\nspec = "{spec}"\ntools = ["nothing"]\n')
    (tmp_path / ".env").write_text("OPEN_MCP_TOOLS=*\n")
    assert "x" not in run("tools", "--config", "mine.toml").stdout.split()
    assert "x" in run("tools", "--config", "mine.toml", env={"OPEN_MCP_TOOLS": "*"}).stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("named", [["--credentials", "GITHUB_TOKEN"], ["--header", "X=GITHUB_TOKEN"]])
def test_its_document_is_not_even_fetched_for_a_real_credential(
    run: Run, tmp_path: Path, recorder: Recorder, named: list[str]
) -> None:
    """A URL in a `.env` is refused before anything is asked if a credential of the environment is named, else asked."""
    (tmp_path / ".env").write_text(f"OPEN_MCP_SPEC={recorder.url}/api.json\n")
    for words in (["call", "x"], ["tools"], ["doctor"], ["env"], ["login"]):
        ran = run(*words, *named, env={"GITHUB_TOKEN": TOKEN})
        assert ran.returncode == 2, words
        assert "OPEN_MCP_SPEC" in ran.stderr
        assert "credentials of the environment: GITHUB_TOKEN" in ran.stderr
        assert TOKEN not in ran.stdout + ran.stderr
    assert recorder.connections == 0
    run("tools", *named)
    run("tools", env={"GITHUB_TOKEN": TOKEN})
    assert recorder.connections > 0


def test_it_does_not_lead_a_client_certificate_elsewhere(
    run: Run, tmp_path: Path, recorder: Recorder, spec: str
) -> None:
    """The certificate of a person is presented to no host that a `.env` names, of the API or of its document."""
    (tmp_path / "me.pem").write_text("a certificate")
    for lines in (
        f"OPEN_MCP_BASE_URL={recorder.url}\n",
        f"OPEN_MCP_SPEC={recorder.url}/api.json\nOPEN_MCP_BASE_URL={recorder.url}\n",
    ):
        (tmp_path / ".env").write_text(lines)
        ran = run("call", "x", *(["--spec", spec] if "SPEC" not in lines else []), "--client-cert", "me.pem")
        assert ran.returncode == 2
        assert "the client certificate" in ran.stderr
    assert recorder.connections == 0


#: Options that send, name and open nothing. Whoever adds an option here has thought about it.
HARMLESS = {
    *("tools", "exclude", "tag", "confirm", "read_only", "discover", "path_item_tools", "schema_budget", "cache"),
    *("result_limit", "kept_results", "timeouts", "retries", "concurrency", "validate_responses", "verbose"),
    *("pin", "deprecated", "select", "code", "pages", "drop", "drop_empty", "resources", "answer_cache"),
}
APART = {
    *(
        "spec",
        "overlays",
        "allow_refs",
        "base_url",
        "credentials",
        "headers",
        "query",
        "cookies",
        "scheme",
        "aws_sigv4",
    ),
    *("authenticate", "lenient", "ca_bundle", "insecure"),
    *(f"oauth_{what}" for what in ("issuer", "token_url", "authorization_url", "device_url", "audience", "scopes")),
}


def test_an_option_is_distrusted_unless_its_row_says_otherwise() -> None:
    """The default of a row is that a `.env` must not set it; the exceptions are these."""
    assert {each.field for each in OPTIONS if each.dotenv == "harmless"} <= HARMLESS
    assert {each.field for each in OPTIONS if each.dotenv == "apart"} <= APART
    assert next(each.default for each in fields(Option) if each.name == "dotenv") == "refused"

"""Real MCP clients, asked with their own commands, read what `add` wrote, and those that start the server reach it.

With a scripted model they list its tools and call one. `.ci/run` installs them from npm into `.ci/clients`; without
them these tests are skipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.browser import new_browser, visit
from tests.conftest import ROOT, Recorder
from tests.openid import items_document, running_openid_provider, serving_logins
from tests.pseudo_terminal import on_a_terminal
from tests.scripted_model import scripted_model
from tests.support import document, serving

PROGRAMS = ROOT / ".ci" / "clients" / "node_modules" / ".bin"

#: For each client its command, and what that prints about the entry: Connected where it has started the server.
COMMANDS = {
    "claude-code": ("claude mcp list", r"^portkey: \S*portkey-bridge .*Connected"),
    "codex": ("codex mcp list", r"^portkey +\S*portkey-bridge .* enabled"),
    "gemini-cli": ("gemini mcp list", r"portkey: \S*portkey-bridge .*Connected"),
    "qwen-code": ("qwen mcp list", r"portkey: \S*portkey-bridge .*Connected"),
    "opencode": ("opencode mcp list", r"portkey \S*connected"),
    "copilot-cli": ("copilot mcp list", r"^ *portkey \(local\)"),
    "cline": ("cline config mcp --json", r'"name":"portkey","transportType":"stdio","disabled":false'),
    "mcporter": ("mcporter list", r"portkey \(233 tools"),
}


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user with this home folder, in which Node and this program are found, but no uvx."""
    node = shutil.which("node")
    if node is None or not PROGRAMS.exists():
        pytest.skip("the clients are not installed; .ci/run does it")
    folders = [str(Path(node).parent), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
    if shutil.which("uvx", path=os.pathsep.join(folders)):
        pytest.skip("uvx is beside Node, and would start a released version")
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join(folders),
        "TERM": "dumb",
        "CI": "1",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "DISABLE_AUTOUPDATER": "1",
        "MCP_TIMEOUT": "300000",  # of Claude Code for the start of a server
        **{name: value for name, value in os.environ.items() if name.startswith("COV")},
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home folder of a user with all clients."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the clients' programs are found as on POSIX")
@pytest.mark.parametrize("client", COMMANDS)
def test_a_real_client_reads_the_entry(client: str, home: Path) -> None:
    """After `add` and nothing else, the client's own listing has the entry as one that works."""
    words, expected = COMMANDS[client]
    program, *arguments = words.split()
    env = environment(home)
    command = PROGRAMS / program
    if not command.exists():
        pytest.skip(f"{program} is not installed; .ci/run does it")
    added = subprocess.run(
        [sys.executable, "-m", "portkey_bridge", "add", client, "--X_PORTKEY_API_KEY=not-a-real-key"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (added.returncode, "failed" in added.stderr) == (0, False), added.stderr
    project = home / "project"
    project.mkdir(exist_ok=True)
    listed = subprocess.run(
        [command, *arguments],
        env=env,
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = re.sub(r"\x1b\[[0-9;]*m", "", listed.stdout + listed.stderr)
    assert re.search(expected, printed, re.MULTILINE), printed


@dataclass(frozen=True)
class Conversation:
    """How a client is asked for one answer without a login, with a model at `{url}`.

    `settings` are files of the home folder that choose the model; `before` is a command that does, where a file cannot.
    `member` is set in the entry, as people do by hand.
    """

    command: str
    before: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    member: str = ""


#: What each client offers the model is `SERVER separator TOOL`.
CONVERSATIONS = {
    "claude-code": Conversation(
        "claude -p Go --allowedTools mcp__pets__listpets --model scripted",
        env={
            "ANTHROPIC_BASE_URL": "{url}",
            "ANTHROPIC_API_KEY": "k",
            "ENABLE_TOOL_SEARCH": "false",
            "MCP_CONNECTION_NONBLOCKING": "false",
            "MCP_CONNECT_TIMEOUT_MS": "300000",  # then it asks the model without the tools
        },
    ),
    "gemini-cli": Conversation(
        "gemini -p Go --approval-mode yolo -m gemini-2.5-flash",
        env={"GOOGLE_GEMINI_BASE_URL": "{url}", "GEMINI_API_KEY": "k"},
        settings={
            ".gemini/settings.json": {
                "security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": False},
            }
        },
    ),
    "qwen-code": Conversation(
        "qwen -p Go --approval-mode yolo",
        env={"OPENAI_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "k", "OPENAI_MODEL": "scripted"},
        settings={
            ".qwen/settings.json": {
                "security": {"auth": {"selectedType": "openai"}},
                "privacy": {"usageStatisticsEnabled": False},
            }
        },
        member="alwaysLoadTools",  # else a model gets the tools by Qwen Code's own search
    ),
    "cline": Conversation(
        "cline -P openai-compatible -m scripted --auto-approve true 'Go on'",
        before="cline auth openai-compatible --apikey k --modelid scripted --baseurl {url}/v1",
    ),
    "codex": Conversation(
        "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -c model=scripted "
        "-c mcp_servers.pets.required=true -c mcp_servers.pets.startup_timeout_sec=300 -c model_provider=local "
        """-c 'model_providers.local={{name="local",base_url="{url}/v1",wire_api="responses"}}' Go""",
    ),
    "copilot-cli": Conversation(
        "copilot -p Go --allow-all-tools",
        env={
            "COPILOT_PROVIDER_BASE_URL": "{url}/v1",
            "COPILOT_PROVIDER_TYPE": "openai",
            "COPILOT_PROVIDER_API_KEY": "k",
            "COPILOT_MODEL": "scripted",
            "COPILOT_OFFLINE": "true",
        },
    ),
    "opencode": Conversation(
        "opencode run -m local/scripted Go",
        settings={
            ".config/opencode/opencode.json": {
                "permission": "allow",
                "experimental": {"mcp_timeout": 300_000},
                "provider": {
                    "local": {
                        "npm": "@ai-sdk/openai-compatible",
                        "options": {"baseURL": "{url}/v1", "apiKey": "k"},
                        "models": {"scripted": {"name": "scripted", "tool_call": True}},
                    }
                },
            }
        },
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the clients' programs are found as on POSIX")
@pytest.mark.parametrize("client", CONVERSATIONS)
def test_a_real_client_lists_and_calls_the_tools(client: str, tmp_path: Path, recorder: Recorder) -> None:
    """The client starts the server that `add` wrote, offers all of its tools to the model, and calls the one that the
    model asks for; the API's answer, which is an array, reaches the model with what is said about it.
    """
    headers = {"content-type": "application/json", "link": '</pets?page=2>; rel="next"'}
    recorder.answers["/pets"] = (200, headers, b'[{"name": "Rex-1234"}]')
    names = ("listPets", "listToys", "listFood")
    paths = {f"/{name.removeprefix('list').lower()}": {"get": {"operationId": name, "responses": {}}} for name in names}
    (tmp_path / "api.json").write_text(json.dumps(document(paths, servers=[{"url": recorder.url}])))
    conversation = CONVERSATIONS[client]
    env = environment(tmp_path)
    (tmp_path / "project").mkdir()
    with scripted_model("listpets") as model:
        for name, value in conversation.settings.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(json.dumps(value).replace("{url}", model.url))
        env |= {name: value.format(url=model.url) for name, value in conversation.env.items()}
        spec = str(tmp_path / "api.json")
        commands = [
            [sys.executable, "-m", "portkey_bridge", "add", client, "--name", "pets", "--spec", spec],
            *(_command(words, model.url) for words in (conversation.before, conversation.command) if words),
        ]
        for command in commands:
            ran = subprocess.run(
                command,
                env={**env, "PYTHONPATH": str(ROOT)},
                cwd=tmp_path / "project",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if command is commands[0] and conversation.member:
                _set_member(tmp_path / next(iter(conversation.settings)), conversation.member)
    _end_daemons(tmp_path)
    said = f"{ran.stdout}{ran.stderr}"
    offered = {name for name in model.tools if "pets" in name}
    own = {"listpets", "listtoys", "listfood", "expandSchema", "expandResult"}
    assert {name for name in own if any(each.endswith(name) for each in offered)} == own, said
    assert len(offered) == len(own), offered
    assert [request.target for request in recorder.requests] == ["/pets"], said
    assert any("Rex-1234" in result and "There is a next page" in result for result in model.results), said


#: How a client is told of a server by its URL, where that is not a part of the command.
BY_URL = {
    "claude-code": "claude mcp add --transport http pets {url} --header 'Authorization: Bearer {token}'",
    "codex": "codex mcp add pets --url {url} --bearer-token-env-var PETS_TOKEN",
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the clients' programs are found as on POSIX")
@pytest.mark.parametrize("client", BY_URL)
def test_a_real_client_calls_a_tool_by_url(client: str, tmp_path: Path, recorder: Recorder) -> None:
    """A client with the URL and a token calls the tool that the model asks for; the answer reaches the model."""
    recorder.answers["/pets"] = (200, {"content-type": "application/json"}, b'{"name": "Rex-1234"}')
    paths = {"/pets": {"get": {"operationId": "listPets", "responses": {}}}}
    root = document(paths, servers=[{"url": recorder.url}])
    alice = "token-of-alice-1234"
    tokens = f"alice={hashlib.sha256(alice.encode()).hexdigest()}"
    env = environment(tmp_path) | {"PETS_TOKEN": alice}
    conversation = CONVERSATIONS[client]
    with scripted_model("listpets") as model, serving(tmp_path, root, "--tokens", tokens) as (url, _):
        env |= {name: value.format(url=model.url) for name, value in conversation.env.items()}
        added = shlex.split(BY_URL[client].format(url=url, token=alice))
        commands = [[str(PROGRAMS / added[0]), *added[1:]], _command(conversation.command, model.url)]
        for command in commands:
            ran = subprocess.run(
                command,
                env=env,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
    assert [request.target for request in recorder.requests] == ["/pets"], ran.stdout + ran.stderr
    assert any("Rex-1234" in result for result in model.results), ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the clients' programs are found as on POSIX")
@pytest.mark.parametrize("client", BY_URL)
def test_a_real_client_calls_with_the_account_of_its_person(client: str, tmp_path: Path) -> None:
    """The first call is answered with an address; after its person has logged in there, the client calls the API."""
    alice = "token-of-alice-1234"
    options = ("--tokens", f"alice={hashlib.sha256(alice.encode()).hexdigest()}", "--oauth-caller-login")
    env = environment(tmp_path) | {"PETS_TOKEN": alice}
    conversation = CONVERSATIONS[client]
    account = {"OAUTH_CLIENT_ID": "team", "OAUTH_CLIENT_SECRET": "team-S3CRET-1"}
    with (
        running_openid_provider() as provider,
        serving(tmp_path, items_document(provider), *options, env=account) as (url, _),
        new_browser() as browser,
    ):

        def called() -> str:
            with scripted_model("items") as model:
                own = env | {name: value.format(url=model.url) for name, value in conversation.env.items()}
                asked = _command(conversation.command.replace("listpets", "items"), model.url)
                said = on_a_terminal(command=asked, env=own, cwd=tmp_path)
            assert model.results, said
            return model.results[0]

        added = shlex.split(BY_URL[client].format(url=url, token=alice))
        on_a_terminal(command=[str(PROGRAMS / added[0]), *added[1:]], env=env, cwd=tmp_path)
        address = re.search(r"http\S+/connect#(\S+) in a browser", called())
        assert address is not None
        headers = {"authorization": f"Bearer {alice}"}
        begun = browser.post(url.replace("/mcp", "/connect/begin"), json={"ticket": address[1]}, headers=headers)
        assert "alice is logged in to Items" in visit(begun.json()["url"], "ada", browser)
        assert "ada" in called()


#: How a person tells a client of a server by its URL alone, and logs in there, in a browser that the client opens.
BY_LOGIN = {
    "claude-code": ("claude mcp add --transport http pets {url}", "claude mcp login pets"),
    "codex": ("codex mcp add pets --url {url}",),
}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the clients' programs are found as on POSIX")
@pytest.mark.parametrize("client", BY_LOGIN)
def test_a_real_client_logs_in(client: str, tmp_path: Path) -> None:
    """A client that knows the URL registers, and its person logs in to the server. A call that needs an account of the
    API has its address in the answer, also where the client has no terminal to ask on.
    """
    browser = tmp_path / "xdg-open"
    browser.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/browser.py "$1" > {tmp_path}/browser.log 2>&1\n')
    browser.chmod(0o755)
    env = environment(tmp_path)
    env |= {"BROWSER": str(browser), "PATH": f"{tmp_path}{os.pathsep}{env['PATH']}"}
    conversation = CONVERSATIONS[client]
    with (
        running_openid_provider() as provider,
        scripted_model("items") as model,
        serving_logins(tmp_path, provider) as url,
    ):
        env |= {name: value.format(url=model.url) for name, value in conversation.env.items()}
        told = [_command(words, url) for words in BY_LOGIN[client]]
        said = [on_a_terminal(command=each, env=env, cwd=tmp_path, reads=True) for each in told]
        asked = _command(conversation.command.replace("listpets", "items"), model.url)
        said.append(on_a_terminal(command=asked, env=env, cwd=tmp_path))
    result = next(iter(model.results), "")
    assert re.search(r"not logged in to Items. Open http\S+/connect#\S+ in a browser", result), said


def _set_member(file: Path, member: str) -> None:
    settings = json.loads(file.read_text())
    settings["mcpServers"]["pets"][member] = True
    file.write_text(json.dumps(settings))


def _end_daemons(folder: Path) -> None:
    """End what a client, such as Cline, left running in the background of this folder."""
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if bytes(folder) in command_line.read_bytes():
                os.kill(int(command_line.parent.name), signal.SIGTERM)


def _command(words: str, url: str) -> list[str]:
    program, *arguments = shlex.split(words.format(url=url))
    if not (PROGRAMS / program).exists():
        pytest.skip(f"{program} is not installed; .ci/run does it")
    return [str(PROGRAMS / program), *arguments]

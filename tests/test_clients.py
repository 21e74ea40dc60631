"""`add`, `remove` and `list`: one entry changes in a client's file, and not a byte besides."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.cli.main import main
from portkey_bridge.clients import edit_jsonc, edit_toml, edit_yaml
from portkey_bridge.clients.entries import command_line, starts_this_program, variables_in
from portkey_bridge.clients.files import read_client_file, rewrite
from portkey_bridge.clients.places import System, client_for, locate
from portkey_bridge.clients.registry import CLIENTS, FOLDERS, JSON_FILE, TOML_FILE, YAML_FILE, KnownClient
from portkey_bridge.errors import ClientFileError, SettingsError
from tests.conftest import BARE, Run

KEY = "sk-0123456789-not-to-be-seen"
FOREIGN = "ghp_of-another-server"
NAMES = [client.name for client in CLIENTS]
#: One client of each shape that a file has is tested always; the others, whose files differ in names alone, are slow.
SHAPES = {(client.format, client.listed, client.key("env")): client.name for client in reversed(CLIENTS)}
each_client = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHAPES.values() else pytest.mark.slow) for name in NAMES]
)
BY_NAME = {client.name: client for client in CLIENTS}

ENTRY = {"command": "uvx", "args": ["portkey-bridge", "--tools", "a,b"], "env": {"API_KEY": 'é "quoted" \\ \n'}}


#: Stands for uvx: answers the first requests of a session, as a server that is started by it.
UVX = """#!/bin/sh
while read -r line; do
  case $line in *tools/list*) echo '{"jsonrpc": "2.0", "id": "tools", "result": {}}';; esac
done
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder with a project in it, where this program runs, and a uvx on the PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uvx").write_text(UVX)
    (tools / "uvx").chmod(0o755)
    project = tmp_path / "home" / "project"
    project.mkdir(parents=True)
    for variable, _ in FOLDERS.values():
        if variable:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.chdir(project)
    return project.parent


def file_of(client: str, home: Path) -> Path:
    """Return the file of a client in the test's home folder."""
    return locate(BY_NAME[client], System(sys.platform, os.environ, home, home / "project"))


# The files as people have them, one of each kind; {} is the container's key. None is a file that is not there.
JSON_FILES: Mapping[str, str | None] = {
    "missing": None,
    "empty": "",
    "empty object": "{}\n",
    "no servers": '{"%s": {}}\n',
    "usual": '{\n  "theme": "dark",\n  "%s": {\n    "other": {\n      "command": "x",\n'
    f'      "env": {{"TOKEN": "{FOREIGN}"}}\n    }}\n  }},\n  "last": [1, 2.50, 1e3]\n}}\n',
    "commented": '// mine\n{\n\t/* servers */\n\t"%s": {\n\t\t"other": {"command": "x"}, // keep\n\t\t// "old": {},\n'
    '\t}, // end\n\n\t"b": true,\n}\n// bye',
    "minified": f'{{"a":[1,2],"%s":{{"other":{{"command":"x","env":{{"TOKEN":"{FOREIGN}"}}}}}},"z":null}}',
    "CRLF": '{\r\n    "a": 1,\r\n    "%s": {\r\n        "other": {"command": "x"}\r\n    }\r\n}\r\n',
    "byte order mark": '\ufeff{\n  "%s": {\n    "other": {"command": "x"}\n  }\n}',
}
TOML_FILES: Mapping[str, str | None] = {
    "missing": None,
    "empty": "",
    "no servers": 'model = "x"   # mine\n',
    "usual": f'[mcp_servers.other]\ncommand = "x"\n\n[mcp_servers.other.env]\nTOKEN = "{FOREIGN}"\n\n'
    "# of tui\n[tui]\na = 1\n",
    "commented": '# a\nx = """\n[mcp_servers.no]\n"""\n[mcp_servers]  # b\nother = { command = "x" } # c\n\n# d\n',
    "CRLF": "a = 1\r\n\r\n[mcp_servers.\"other\"]\r\ncommand = 'x'\r\n",
    "no final newline": "a = [\n  1, # one\n]",
    "byte order mark": "\ufeffa = 1\n",
}
GOOSE_FILES: Mapping[str, str | None] = {
    "missing": None,
    "empty": "",
    "comment only": "# mine\n",
    "document start": "---\n",
    "comment in brackets": "extensions: { # none\n  }\n",
    "null": "extensions: # none yet\nGOOSE_MODEL: x\n",
    "brackets": "extensions: {} # none yet\nGOOSE_MODEL: x\n",
    "usual": f"a:   1   # c\nextensions:\n    other:\n        cmd: x\n        envs: {{TOKEN: {FOREIGN}}} # e\n\n"
    "# last\nz: 'q'\n",
    "flow": '{"extensions": {"other": {"cmd": "x"}}, "z": [1, 2]}\n',
    "text block": "extensions:\n  other:\n    description: |\n      two\n\n      lines\n\nz: 1\n",
    "CRLF": "a: 1\r\nextensions:\r\n  other:\r\n    cmd: x\r\nz: 1\r\n",
    "no final newline": "extensions:\n  other:\n    cmd: x",
    "byte order mark": "\ufeffa: 1\n",
}
CONTINUE_FILES: Mapping[str, str | None] = {
    "missing": None,
    "empty": "",
    "no servers": "name: My\nversion: 1.0.0\nmodels:\n- name: m # mine\n",
    "brackets": "name: My\nmcpServers: []\n",
    "usual": f"mcpServers:\n  -   name: other\n      command: x\n      env:\n        TOKEN: {FOREIGN}\n# end\nz: 1\n",
    "not indented": "mcpServers:\n- name: other\n  command: x\n\n- name: second\nz: 1\n",
    "flow": "mcpServers: [{name: other, command: x}]\n",
    "CRLF": "mcpServers:\r\n  - name: other\r\n    command: x\r\n",
}
DAMAGED = {
    JSON_FILE: ('{\n  "a": 1\n  "b": 2\n}', 3, 3),
    TOML_FILE: ('a = 1\nb = "x\n', 2, 7),
    YAML_FILE: ("a: 1\nb: [1, 2\nc: 3\n", 3, 2),
}


def files_of(client: KnownClient) -> Mapping[str, str | None]:
    """Return the files of each kind in a client's format."""
    if client.format is JSON_FILE:
        return {kind: text and text.replace("%s", client.container) for kind, text in JSON_FILES.items()}
    if client.format is TOML_FILE:
        return TOML_FILES
    return CONTINUE_FILES if client.listed else GOOSE_FILES


CASES = [
    pytest.param(client.name, text, id=f"{client.name}-{kind}")
    for client in CLIENTS
    for kind, text in files_of(client).items()
]


def parsed(client: KnownClient, text: str) -> Any:
    """Read a file with other people's parsers; what JSON has not is taken out first."""
    text = text.removeprefix("\ufeff")
    if client.format is TOML_FILE:
        return tomllib.loads(text)
    if client.format is YAML_FILE:
        return yaml.safe_load(text) or {}
    plain = re.sub(r"(?<!:)//[^\r\n]*|/\*.*?\*/", "", text)
    return json.loads(re.sub(r",(?=\s*[}\]])", "", plain).strip() or "{}")


def entries(client: KnownClient, value: Any) -> dict[str, Any]:
    """Return the servers of a configuration by name."""
    servers = value.get(client.container) or {}
    return {server["name"]: server for server in servers} if isinstance(servers, list) else servers


def is_within(old: str, new: str) -> bool:
    """Check whether every character of the old text is in the new one, in order: nothing was taken out."""
    rest = iter(new)
    return all(character in rest for character in old)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text"), CASES)
def test_add_change_and_remove_touch_nothing_else(name: str, text: str | None, home: Path) -> None:
    """Whatever the file holds stays byte for byte; removing the entry gives the file back."""
    client, path = BY_NAME[name], file_of(name, home)
    if text is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    old = text or ""

    assert main(["add", name, f"--API_KEY={KEY}"]) == 0
    added = path.read_bytes().decode()
    assert is_within(old, added) or is_within(re.sub(r"{} | {}|\[\]|\s", "", old), added)
    before, after = (entries(client, parsed(client, content)) for content in (old, added))
    assert after.pop("portkey")[client.key("env")] == {"API_KEY": KEY}
    assert after == before
    assert ("\r\n" in added) == ("\r\n" in old)
    assert added.count("\n") == added.count("\r\n") or "\r" not in added

    assert main(["add", name, f"--API_KEY={KEY}"]) == 0
    assert path.read_bytes().decode() == added

    assert main(["add", name, "--env", "API_KEY=2", "--tools", "listmodels", "--yes"]) == 0
    changed = path.read_bytes().decode()
    entry = entries(client, parsed(client, changed))["portkey"]
    assert command_line(client, entry)[1:] == ["portkey-bridge", "--tools", "listmodels"]
    assert entry[client.key("env")] == {"API_KEY": "2"}

    assert main(["add", name, f"--API_KEY={KEY}", "--yes"]) == 0
    assert path.read_bytes().decode() == added

    assert main(["remove", name]) == 0
    removed = path.read_bytes().decode()
    assert "portkey" not in removed
    if client.container in old and "other" in old:
        assert removed == old
    else:
        assert {**parsed(client, removed), client.container: None} == {
            **parsed(client, old or client.fresh),
            client.container: None,
        }
    assert main(["remove", name]) == 0
    assert path.read_bytes().decode() == removed


@each_client
def test_a_damaged_file_is_left_alone(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that does not parse is named with line and column, and not written."""
    text, line, column = DAMAGED[BY_NAME[name].format]
    path = file_of(name, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for command in ("add", "remove"):
        assert main([command, name]) == 2
        assert f"{path}:{line}:{column}: " in capsys.readouterr().err
    assert path.read_text() == text
    assert list(path.parent.glob(f"{path.name}?*")) == []
    assert main(["list"]) == 1


#: Each level has the one below it ten times.
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

UNEDITABLE = [
    pytest.param("codex", 'mcp_servers = { other = { command = "x" } }\n', id="inline table"),
    pytest.param("goose", "a: &a\n  x: {cmd: y}\nextensions: *a\n", id="alias"),
    pytest.param("goose", "a: &a [*a]\nextensions:\n  x: {cmd: y}\n", id="alias in itself"),
    pytest.param("goose", "a: &a {b: &b {c: *a}}\n", id="alias in a circle"),
    pytest.param("goose", "extensions: &a\n  x: *a\n", id="entry that is all entries"),
    pytest.param("goose", "&a\nx: *a\n", id="file in itself"),
    pytest.param("goose", BOMB, id="aliases that stand for billions of values"),
    pytest.param("cursor", '{"mcpServers": null}', id="null"),
    pytest.param("cursor", "[]", id="array"),
    pytest.param("goose", "- a\n", id="list"),
    pytest.param("goose", "extensions: text\n", id="text"),
    pytest.param("cursor", "[" * 100_000, id="deep"),
    pytest.param("cursor", '{"a": "b" c}', id="no comma"),
    pytest.param("cursor", '{"a" "b"}', id="no colon"),
    pytest.param("cursor", "{a: 1}", id="no quotes"),
    pytest.param("cursor", "{} {}", id="two values"),
    pytest.param("cursor", '{"a": "b', id="unfinished"),
    pytest.param("cursor", '{"a": ' + "1" * 5000 + "}", id="long number"),
    pytest.param("codex", "a = [", id="unfinished table"),
    pytest.param("codex", "a = " + "1" * 5000, id="long number in a table"),
    pytest.param("codex", "a = " + "[" * 10_000, id="deep table"),
    pytest.param("codex", "mcp_servers = 1", id="number"),
    pytest.param("goose", "a: \0", id="control character"),
    pytest.param("goose", "[" * 100_000 + "]" * 100_000, id="deep list"),
    pytest.param("goose", "a: 1\n---\nb: 2\n", id="two documents"),
]


@pytest.mark.parametrize(("name", "text"), UNEDITABLE)
def test_what_cannot_be_edited_safely_is_left_to_the_person(
    name: str, text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in which another value would change with the entry is refused, with words."""
    path = file_of(name, home)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert main(["add", name]) == 2
    assert f"portkey-bridge: {path}:" in capsys.readouterr().err
    assert path.read_text() == text


BLANKS = st.sampled_from(["", " ", "\n", "\r\n", "\t", "// c\n", " /* c */ ", "\n  // { \n  "])


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """Write a value as JSON with blanks and comments anywhere, and perhaps trailing commas."""
    if not isinstance(value, dict | list):
        return json.dumps(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    pairs = list(value.items()) if isinstance(value, dict) else [(None, item) for item in value]
    parts = []
    for key, item in pairs:
        named = "" if key is None else json.dumps(key) + draw(BLANKS) + ":" + draw(BLANKS)
        parts.append(draw(BLANKS) + named + draw(written(item)) + draw(BLANKS))
    comma = draw(st.sampled_from(["", ","])) if parts else ""
    return opening + ",".join(parts) + comma + draw(BLANKS) + closing


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
CONFIGURATIONS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3) | st.fixed_dictionaries(
    {"mcpServers": st.dictionaries(st.text(max_size=3), VALUES, max_size=3), "z": VALUES}
)


@pytest.mark.slow
@given(data=st.data(), value=CONFIGURATIONS)
@settings(max_examples=300)
def test_json_with_comments_anywhere(data: st.DataObject, value: dict[str, Any]) -> None:
    """However a file is written: it reads as written, an entry adds characters only, and goes without a trace."""
    text = data.draw(written(value))
    assert edit_jsonc.read(text) == value
    added = edit_jsonc.put(text, "mcpServers", "portkey", ENTRY)
    others = value.get("mcpServers", {})
    assert edit_jsonc.read(added) == {**value, "mcpServers": {**others, "portkey": ENTRY}}
    assert is_within("".join(text.split()), added)
    removed = edit_jsonc.drop(added, "mcpServers", "portkey")
    assert edit_jsonc.read(removed) == {**value, "mcpServers": others}
    assert is_within("".join(removed.split()), text) or "mcpServers" not in value
    assert text.count("// c") == removed.count("// c")


def test_a_comment_behind_the_last_entry_may_be_followed_by_the_end_of_its_object() -> None:
    """The entry goes into the servers' object, although a comment behind its closing brace ends the line."""
    text = '{"mcpServers": {\n  "a": null /* one */ } /* two */\n}'
    added = edit_jsonc.read(edit_jsonc.put(text, "mcpServers", "portkey", ENTRY))
    assert added == {"mcpServers": {"a": None, "portkey": ENTRY}}


@pytest.mark.slow
@given(value=CONFIGURATIONS, indent=st.integers(2, 6), flow=st.sampled_from([None, False, True]))
@settings(max_examples=150)
def test_yaml_in_every_style(value: dict[str, Any], indent: int, flow: bool | None) -> None:
    """Whatever another program writes is edited so that it reads the old value and the entry."""
    text = yaml.safe_dump(value, indent=indent, default_flow_style=flow, allow_unicode=True)
    value = yaml.safe_load(text)  # PyYAML does not read every line break in a string as it wrote it
    others = value.get("mcpServers", {})
    added = edit_yaml.put(text, "mcpServers", "portkey", ENTRY)
    assert yaml.safe_load(added) == {**value, "mcpServers": {**others, "portkey": ENTRY}}
    removed = edit_yaml.drop(added, "mcpServers", "portkey")
    assert yaml.safe_load(removed) == {**value, "mcpServers": others}


TOML_SHAPES = [
    pytest.param(
        '[mcp_servers.p]\nc = 1 # x\n# in\n[mcp_servers.p.env]\nA = "b"\n\n# next\n[t]\n',
        "\n# next\n[t]\n",
        id="tables",
    ),
    pytest.param(
        '[mcp_servers]\np.c = 1\no.c = 2\np.d = """\n[x]\n"""\n', "[mcp_servers]\no.c = 2\n", id="dotted keys"
    ),
    pytest.param("[mcp_servers]\np = { c = 1 }\n\n[t]\n", "[mcp_servers]\n\n[t]\n", id="inline table"),
    pytest.param('a = 1\n\n["mcp_servers"."p"]\nc = [\n  "]", # ]\n]\n', "a = 1\n", id="quoted header"),
    pytest.param("mcp_servers.p.c = 1 # keep\nz = 1", " # keep\nz = 1", id="remark"),
]


@pytest.mark.parametrize(("text", "rest"), TOML_SHAPES)
def test_a_toml_entry_is_found_in_every_shape(text: str, rest: str) -> None:
    """TOML has many ways to write one table; each is removed whole, and comments around it stay."""
    assert edit_toml.drop(text, "mcp_servers", "p") == rest
    replaced = tomllib.loads(edit_toml.put(text, "mcp_servers", "p", ENTRY))
    others = tomllib.loads(rest)
    assert replaced == {**others, "mcp_servers": {**others.get("mcp_servers", {}), "p": ENTRY}}


SYSTEMS = {
    "linux": {},
    "linux moved": {
        "XDG_CONFIG_HOME": "/cfg",
        "CODEX_HOME": "/codex",
        "CLAUDE_CONFIG_DIR": "/claude",
        "COPILOT_HOME": "/copilot",
        "HERMES_HOME": "/hermes",
    },
    "darwin": {},
    "win32": {"APPDATA": "/Roaming", "LOCALAPPDATA": "/Local"},
}
_PROJECT = {
    "claude-code-project": "/p/.mcp.json",
    "cursor-project": "/p/.cursor/mcp.json",
    "vscode-project": "/p/.vscode/mcp.json",
    "opencode-project": "/p/opencode.json",
    "kilo-project": "/p/kilo.json",
    "roo-code-project": "/p/.roo/mcp.json",
    "kiro-project": "/p/.kiro/settings/mcp.json",
    "junie-project": "/p/.junie/mcp/mcp.json",
}
_ROO = "Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"
_ANYTHINGLLM = "anythingllm-desktop/storage/plugins/anythingllm_mcp_servers.json"
_HOME = {
    **_PROJECT,
    "claude-code": "/h/.claude.json",
    "cursor": "/h/.cursor/mcp.json",
    "windsurf": "/h/.codeium/windsurf/mcp_config.json",
    "cline": "/h/.cline/data/settings/cline_mcp_settings.json",
    "gemini-cli": "/h/.gemini/settings.json",
    "codex": "/h/.codex/config.toml",
    "continue": "/h/.continue/config.yaml",
    "qwen-code": "/h/.qwen/settings.json",
    "copilot-cli": "/h/.copilot/mcp-config.json",
    "droid": "/h/.factory/mcp.json",
    "auggie": "/h/.augment/settings.json",
    "openhands": "/h/.openhands/mcp.json",
    "mcporter": "/h/.mcporter/mcporter.json",
    "hermes": "/h/.hermes/config.yaml",
    "opencode": "/h/.config/opencode/opencode.json",
    "kilo": "/h/.config/kilo/kilo.json",
    "amp": "/h/.config/amp/settings.json",
    "kiro": "/h/.kiro/settings/mcp.json",
    "junie": "/h/.junie/mcp/mcp.json",
    "antigravity": "/h/.gemini/config/mcp_config.json",
    "lm-studio": "/h/.lmstudio/mcp.json",
}
_XDG = {
    "claude-desktop": "/h/.config/Claude/claude_desktop_config.json",
    "vscode": "/h/.config/Code/User/mcp.json",
    "zed": "/h/.config/zed/settings.json",
    "goose": "/h/.config/goose/config.yaml",
    "roo-code": f"/h/.config/{_ROO}",
    "anythingllm": f"/h/.config/{_ANYTHINGLLM}",
}
PATHS = {
    "linux": {**_HOME, **_XDG},
    "linux moved": {
        **_HOME,
        **{name: path.replace("/h/.config", "/cfg") for name, path in _XDG.items()},
        "codex": "/codex/config.toml",
        "claude-code": "/claude/.claude.json",
        "copilot-cli": "/copilot/mcp-config.json",
        "hermes": "/hermes/config.yaml",
        "opencode": "/cfg/opencode/opencode.json",
        "kilo": "/cfg/kilo/kilo.json",
        "amp": "/cfg/amp/settings.json",
    },
    "darwin": {
        **_HOME,
        **_XDG,
        "claude-desktop": "/h/Library/Application Support/Claude/claude_desktop_config.json",
        "vscode": "/h/Library/Application Support/Code/User/mcp.json",
        "roo-code": f"/h/Library/Application Support/{_ROO}",
        "anythingllm": f"/h/Library/Application Support/{_ANYTHINGLLM}",
    },
    "win32": {
        **_HOME,
        "claude-desktop": "/Roaming/Claude/claude_desktop_config.json",
        "vscode": "/Roaming/Code/User/mcp.json",
        "roo-code": f"/Roaming/{_ROO}",
        "anythingllm": f"/Roaming/{_ANYTHINGLLM}",
        "zed": "/Roaming/Zed/settings.json",
        "goose": "/Roaming/Block/goose/config/config.yaml",
    },
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_where_files_lie(system: str) -> None:
    """Every client has its file where its own documentation says, on each system."""
    machine = System(system.partition(" ")[0], SYSTEMS[system], Path("/h"), Path("/p"))
    assert {client.name: str(locate(client, machine)) for client in CLIENTS} == PATHS[system]


def test_windows_package_folder_is_preferred(tmp_path: Path) -> None:
    """Claude Desktop from a Windows package reads a folder of its own; where there is one, it is meant."""
    folder = tmp_path / "Local/Packages/Claude_x/LocalCache/Roaming/Claude"
    folder.mkdir(parents=True)
    system = System("win32", {"LOCALAPPDATA": str(tmp_path / "Local")}, tmp_path, tmp_path)
    assert locate(BY_NAME["claude-desktop"], system) == folder / "claude_desktop_config.json"


def test_the_editor_keeps_clines_file_of_older_versions(tmp_path: Path) -> None:
    """Cline's file with the editor's data is used as long as there is no newer one."""
    old = tmp_path / ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings"
    old.mkdir(parents=True)
    system = System("linux", {}, tmp_path, tmp_path)
    assert locate(BY_NAME["cline"], system).parent == old
    new = tmp_path / ".cline/data/settings"
    new.mkdir(parents=True)
    assert locate(BY_NAME["cline"], system).parent == new


@pytest.mark.parametrize("name", ["opencode", "kilo"])
def test_of_two_names_of_a_file_the_one_that_exists_is_used(name: str, tmp_path: Path) -> None:
    """These clients read a file with comments, too: whoever has one gets no second file."""
    system = System("linux", {}, tmp_path, tmp_path)
    usual = locate(BY_NAME[name], system)
    commented = usual.with_suffix(".jsonc")
    usual.parent.mkdir(parents=True)
    assert locate(BY_NAME[name], system) == usual
    commented.touch()
    assert locate(BY_NAME[name], system) == commented
    usual.touch()
    assert locate(BY_NAME[name], system) == usual


GIVEN_PATHS = [
    ("sub/.vscode/mcp.json", "", "servers", "${env:NAME}"),
    ("sub/.cursor/mcp.json", "", "mcpServers", "${env:NAME}"),
    ("sub/.mcp.json", "", "mcpServers", "${NAME}"),
    ("sub/opencode.json", "", "mcp", "{env:NAME}"),
    ("sub/kilo.jsonc", "", "mcp", "{env:NAME}"),
    ("sub/.roo/mcp.json", "", "mcpServers", "${env:NAME}"),
    ("sub/.kiro/settings/mcp.json", "", "mcpServers", "${NAME}"),
    ("sub/.factory/mcp.json", None, "mcpServers", None),
    ("any.json", '{"mcpServers": {}}', "mcpServers", None),
    ("any.json", '{"servers": {}}', "servers", "${env:NAME}"),
    ("any.json", '{"amp.mcpServers": {}}', "amp.mcpServers", "${NAME}"),
    ("any.jsonc", '// x\n{"context_servers": {}}', "context_servers", None),
    ("any.toml", "[mcp_servers.x]", "mcp_servers", None),
    ("any.yaml", "extensions: {}", "extensions", None),
    ("any.yaml", "mcp_servers: {}", "mcp_servers", "${NAME}"),
    ("any.yml", "mcpServers: []", "mcpServers", "${{ secrets.NAME }}"),
]

#: Files of which nobody can tell which client reads them.
UNCERTAIN = [
    ("no/folder.json", None),
    ("mcp.json", ""),
    ("any.json", '{"theme": "dark"}'),
    ("any.json", '{"mcpServers": {}, "servers": {}}'),
    ("any.json", '{"servers": [{"url": "http://x"}]}'),
    ("any.json", '{"mcp": {"other": {"type": "stdio"}}}'),
    ("any.toml", "[[mcp_servers]]\nname = 'x'"),
    ("any.yaml", "mcpServers: {}"),
    ("any.yaml", None),
]


@pytest.mark.parametrize(("path", "text", "container", "reference"), GIVEN_PATHS)
def test_a_path_tells_the_format(
    path: str, text: str | None, container: str, reference: str | None, tmp_path: Path
) -> None:
    """A file is known by its place, else by its content, else by its ending."""
    if text is not None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    client, found = client_for(path, System("linux", {}, tmp_path, tmp_path))
    assert (found, client.container, client.reference) == (tmp_path / path, container, reference)
    assert not client.desktop


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text"), UNCERTAIN)
def test_a_file_in_an_unknown_format_is_not_written(path: str, text: str | None, home: Path, run: Run) -> None:
    """Where the form is not certain, nothing is written, and the message lists what can be said instead."""
    file = home / "project" / path
    if text is not None:
        file.write_text(text)
    result = run("add", str(file), env={"HOME": str(home), "PATH": os.environ["PATH"]})
    assert result.returncode == 2
    assert result.stderr.startswith(f"portkey-bridge: {file}: its format is not known")
    assert ("mcp_servers for" if file.suffix != ".json" else "mcpServers for") in result.stderr
    assert (file.read_text() if file.exists() else None) == text


def test_an_unknown_client_is_named_with_the_closest(tmp_path: Path) -> None:
    """A slip in a client's name is an error that says which are known."""
    with pytest.raises(SettingsError, match=r"cusor is not a supported client.* did you mean cursor\? .*zed"):
        client_for("cusor", System("linux", {}, tmp_path, tmp_path))


REFERENCES = {
    "claude-code": "${API_KEY}",
    "claude-code-project": "${API_KEY}",
    "cursor": "${env:API_KEY}",
    "cursor-project": "${env:API_KEY}",
    "vscode": "${env:API_KEY}",
    "vscode-project": "${env:API_KEY}",
    "windsurf": "${env:API_KEY}",
    "gemini-cli": "${API_KEY}",
    "qwen-code": "${API_KEY}",
    "copilot-cli": "${API_KEY}",
    "amp": "${API_KEY}",
    "mcporter": "${API_KEY}",
    "hermes": "${API_KEY}",
    "opencode": "{env:API_KEY}",
    "opencode-project": "{env:API_KEY}",
    "kilo": "{env:API_KEY}",
    "kilo-project": "{env:API_KEY}",
    "roo-code": "${env:API_KEY}",
    "roo-code-project": "${env:API_KEY}",
    "kiro": "${API_KEY}",
    "kiro-project": "${API_KEY}",
    "continue": "${{ secrets.API_KEY }}",
}
FORWARDED = {"codex": "env_vars", "goose": "env_keys"}


@each_client
def test_a_value_may_refer_to_the_environment(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--env KEY` writes the client's own reference, or says that the client has none."""
    client, path = BY_NAME[name], file_of(name, home)
    status = main(["add", name, "--env", "API_KEY"])
    if name not in REFERENCES and name not in FORWARDED:
        assert status == 2
        assert "--env API_KEY=VALUE" in capsys.readouterr().err
        assert not path.exists()
        return
    entry = entries(client, parsed(client, path.read_text()))["portkey"]
    if name in FORWARDED:
        assert entry[FORWARDED[name]] == ["API_KEY"]
        assert client.key("env") not in entry
    else:
        assert entry[client.key("env")] == {"API_KEY": REFERENCES[name]}
    assert "warning" not in capsys.readouterr().err


@each_client
def test_the_entry_starts_this_program(name: str, home: Path) -> None:
    """An application without a shell gets uvx by its full path; options are taken along, files by their full paths."""
    project, client = home / "project", BY_NAME[name]
    (project / "my.env").touch()
    paths = ["--spec", "api.yaml", "--files", f".{os.pathsep}..", "--env-file", "my.env", "--overlays", "a.yaml,b.yaml"]
    assert main(["add", name, *paths, "--base-url", "http://x/v1", "--path-item-tools"]) == 0
    entry = entries(client, parsed(client, file_of(name, home).read_text()))["api"]
    command, *arguments = command_line(client, entry)
    assert command == (str(home.parent / "tools" / "uvx") if client.desktop else "uvx")
    assert arguments == [
        "portkey-bridge",
        *("--spec", str(project / "api.yaml")),
        *("--overlays", f"{project / 'a.yaml'},{project / 'b.yaml'}"),
        *("--base-url", "http://x/v1"),
        "--path-item-tools",
        *("--files", f"{project}{os.pathsep}{home}"),
        *("--env-file", str(project / "my.env")),
    ]


@each_client
def test_the_entry_brings_the_extras_of_its_options(name: str, home: Path) -> None:
    """uvx installs what the options need, and the entry still counts as this program's."""
    assert main(["add", name, "--spec", "api.yaml", "--code", "--aws-sigv4", "eu-west-1/x"]) == 0
    client = BY_NAME[name]
    entry = entries(client, parsed(client, file_of(name, home).read_text()))["api"]
    assert command_line(client, entry)[1:4] == ["--from", "portkey-bridge[code,aws]", "portkey-bridge"]
    assert "--code" in command_line(client, entry)
    assert starts_this_program(client, entry)


def test_the_entry_brings_what_a_document_needs_for_aws(home: Path) -> None:
    """A document that asks for signed requests needs the extra if the person named the secret for it."""
    key = {"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"}
    operation = {"responses": {"200": {"description": "OK"}}, "security": [{"aws": []}]}
    root = {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {"/x": {"get": operation}}}
    (home / "project" / "api.json").write_text(json.dumps({**root, "components": {"securitySchemes": {"aws": key}}}))
    for options, start in (
        ([], ["portkey-bridge"]),
        (["--credentials", "AWS_SECRET_ACCESS_KEY"], ["--from", "portkey-bridge[aws]"]),
    ):
        assert main(["add", "cursor", "--yes", "--name", "t", "--spec", "api.json", *options]) == 0
        entry = entries(BY_NAME["cursor"], json.loads(file_of("cursor", home).read_text()))["t"]
        assert command_line(BY_NAME["cursor"], entry)[1 : 1 + len(start)] == start


@pytest.mark.parametrize("name", ["cursor", "codex", "claude-desktop"])
def test_the_entry_has_the_variables_that_options_name(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is set here is referred to; of what has no value a warning says how to add it."""
    recipe = 'operation = "login"\ncookies = true\narguments = { password = "$SHOP_PASSWORD" }'
    (home / "project" / "login.toml").write_text(recipe)
    monkeypatch.setenv("MY_PASSPHRASE", "a-value-of-mine")
    monkeypatch.setenv("SHOP_PASSWORD", "another-value")
    options = ["--client-key-passphrase", "MY_PASSPHRASE", "--login", "login.toml", "--header", "X-Key=NOT_SET"]
    assert main(["add", name, "--name", "t", *options, "--env", "API_KEY=x"]) == 0
    entry, said = (
        entries(BY_NAME[name], parsed(BY_NAME[name], file_of(name, home).read_text()))["t"],
        capsys.readouterr(),
    )
    refers = name != "claude-desktop"
    assert ("MY_PASSPHRASE" in variables_in(BY_NAME[name], entry)) == refers
    assert ("SHOP_PASSWORD" in variables_in(BY_NAME[name], entry)) == refers
    unset = (
        "NOT_SET. Add --env NOT_SET" if refers else "MY_PASSPHRASE, NOT_SET, SHOP_PASSWORD. Add --env MY_PASSPHRASE="
    )
    assert f"the entry has no value for {unset}" in said.err
    assert "value" not in file_of(name, home).read_text()


def test_a_document_by_url_stays_a_url(home: Path) -> None:
    """Only a file's path is made absolute."""
    assert main(["add", "claude-code", "--spec", "https://example.com/api.yaml"]) == 0
    assert '"https://example.com/api.yaml"' in file_of("claude-code", home).read_text()


def test_without_uvx(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where uvx is missing, the entry starts the script that is installed; without one, words say what to install."""
    monkeypatch.setenv("PATH", "")
    script = home / "bin" / "portkey-bridge"
    script.parent.mkdir()
    script.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert main(["add", "claude-desktop", "--read-only"]) == 0
    (entry,) = json.loads(file_of("claude-desktop", home).read_text())["mcpServers"].values()
    assert entry == {"command": str(script), "args": ["--read-only"]}
    assert f"starts {script}; do not move it." in capsys.readouterr().err
    script.unlink()
    assert main(["add", "claude-code"]) == 2
    assert "Install uv (https://docs.astral.sh/uv/)" in capsys.readouterr().err


def test_list_shows_where_this_program_is_set_up(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every client is listed with the names of its entries that start this program, and no others."""
    path = file_of("cursor", home)
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "mcpServers": {
                    "one": {"command": "/x/portkey-bridge"},
                    "two": {"command": "uvx", "args": ["portkey-bridge==1.0"]},
                    "other": {"command": "uvx", "args": ["other-bridge"]},
                }
            }
        )
    )
    assert main(["list"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == NAMES
    assert ["cursor", "one, two", str(path)] in rows
    assert ["codex", "-", str(file_of("codex", home))] in rows


def test_names_keep_apart(home: Path) -> None:
    """`--name` makes entries that live beside one another."""
    for name in ("petstore", "portkey-bridge"):
        assert main(["add", "codex", "--name", name]) == 0
    assert main(["remove", "codex", "--name", "petstore"]) == 0
    assert list(tomllib.loads(file_of("codex", home).read_text())["mcp_servers"]) == ["portkey-bridge"]


FORMS: Mapping[str, Mapping[str, Any]] = {
    "cline": {"command": "UVX", "args": ["portkey-bridge"], "env": {"A": "1"}, "timeout": 60},
    "opencode": {"type": "local", "command": ["uvx", "portkey-bridge"], "environment": {"A": "1"}, "enabled": True},
    "copilot-cli": {
        "type": "local",
        "command": "uvx",
        "args": ["portkey-bridge"],
        "env": {"A": "1"},
        "tools": ["*"],
    },
    "amp": {"command": "uvx", "args": ["portkey-bridge"], "env": {"A": "1"}},
}


@pytest.mark.parametrize("name", FORMS)
def test_the_form_that_a_client_reads(name: str, home: Path) -> None:
    """Each of these clients, asked with its real program, read an entry of this form and started it."""
    assert main(["add", name, "--A=1"]) == 0
    (entry,) = entries(BY_NAME[name], parsed(BY_NAME[name], file_of(name, home).read_text())).values()
    uvx = str(home.parent / "tools" / "uvx")
    assert entry == {key: uvx if value == "UVX" else value for key, value in FORMS[name].items()}


def test_a_name_that_the_client_refuses_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codex drops a server whose name has other characters, without a word."""
    assert main(["add", "codex", "--name", "my api"]) == 2
    assert "Codex ignores a server with the name 'my api'" in capsys.readouterr().err
    assert not file_of("codex", home).exists()
    assert main(["add", "cursor", "--name", "my api"]) == 0


EXPANDED = [
    ("gemini-cli", "pa$HOME", True),
    ("gemini-cli", "pa$$word", True),
    ("gemini-cli", "100$", False),
    ("claude-code", "pa${HOME}", True),
    ("claude-code", "pa$HOME", False),
    ("qwen-code", "pa$HOME", True),
    ("continue", "${{ x }}", True),
    ("continue", "${x}", False),
    ("opencode", "{env:x}", True),
    ("opencode", "${x}", False),
    ("codex", "${HOME}$HOME", False),
    ("claude-desktop", "${HOME}", False),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value", "warned"), EXPANDED)
def test_a_value_that_the_client_would_change_is_warned_of(
    name: str, value: str, warned: bool, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A literal value that the client takes for a reference is stored, with a warning that does not repeat it.

    Whoever only looks is warned, too.
    """
    assert main(["add", name, f"--API_KEY={value}", "--dry-run"]) == 0
    assert ("replaces references in API_KEY" in capsys.readouterr().err) == warned
    assert main(["add", name, f"--API_KEY={value}"]) == 0
    told = capsys.readouterr().err
    assert ("replaces references in API_KEY" in told) == warned
    assert value not in told


@pytest.mark.parametrize(("name", "most"), [("vscode", 128), ("windsurf", 100)])
def test_a_client_with_a_limit_gets_a_listing_that_it_takes(
    name: str, most: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With more tools than the client takes, `--discover` is added and announced; a selection is left as it is."""

    def arguments(*words: str) -> Any:
        assert main(["add", name, "--yes", *words]) == 0
        return entries(BY_NAME[name], json.loads(file_of(name, home).read_text()))["portkey"]["args"]

    assert arguments() == ["portkey-bridge", "--discover"]
    assert f"takes at most {most} tools, and 233 are served" in capsys.readouterr().err
    assert arguments("--tag", "prompts") == ["portkey-bridge", "--tag", "prompts"]
    assert arguments("--discover", "--read-only") == ["portkey-bridge", "--read-only", "--discover"]
    assert "at most" not in capsys.readouterr().err


TITLES = [
    ("Swagger Petstore - OpenAPI 3.0", "petstore"),
    ("Redocly Museum API", "redocly"),
    ("The Kubeflow Pipelines API v2", "kubeflow"),
    ("Müller & Söhne", "muller-s"),
    ("Pet Store", "pet-stor"),
    ("1Forge Finance APIs", "forge-fi"),
    ("API", "shop"),
    ("宠物", "shop"),
]


@pytest.mark.parametrize(("title", "name"), TITLES)
def test_an_entry_has_the_short_name_of_its_api(title: str, name: str, home: Path) -> None:
    """The name comes from the title, else from the file, and `mcp__NAME__TOOL` stays within 64 characters."""
    document = {"openapi": "3.1.0", "info": {"title": title, "version": "1"}, "paths": {}}
    (home / "project" / "shop-openapi.json").write_text(json.dumps(document))
    assert main(["add", "codex", "--spec", "shop-openapi.json"]) == 0
    assert list(tomllib.loads(file_of("codex", home).read_text())["mcp_servers"]) == [name]
    assert len(f"mcp__{name}__") <= 64 - 49
    assert main(["remove", "codex"]) == 0
    assert "shop" not in file_of("codex", home).read_text()


def test_entries_of_earlier_versions_are_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry under the name of earlier versions is listed, updated for the same document, and removed."""
    path = file_of("cursor", home)
    path.parent.mkdir()
    earlier = {"command": "uvx", "args": ["portkey-bridge"]}
    path.write_text(json.dumps({"mcpServers": {"portkey-bridge": earlier}}))
    assert main(["list"]) == 0
    assert f"cursor\tportkey-bridge\t{path}" in capsys.readouterr().out
    assert main(["add", "cursor", "--read-only", "--yes"]) == 0
    assert list(json.loads(path.read_text())["mcpServers"]) == ["portkey-bridge"]
    assert main(["add", "cursor", "--spec", "https://example.com/shop.yaml"]) == 0
    assert list(json.loads(path.read_text())["mcpServers"]) == ["portkey-bridge", "shop"]
    assert main(["remove", "cursor"]) == 0
    assert list(json.loads(path.read_text())["mcpServers"]) == ["shop"]


def test_remove_asks_which_of_several(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With several entries under other names, nothing is removed until one is named."""
    for name in ("one", "two"):
        assert main(["add", "codex", "--name", name]) == 0
    assert main(["remove", "codex"]) == 2
    assert "one, two" in capsys.readouterr().err
    assert main(["remove", "codex", "--name", "one"]) == 0
    assert main(["remove", "codex"]) == 0
    assert "portkey-bridge" not in file_of("codex", home).read_text()


def test_a_document_that_cannot_be_read_now_is_announced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry is written although its document is missing, and the message says what is wrong."""
    assert main(["add", "codex", "--spec", "later.yaml"]) == 0
    assert "later.yaml" in capsys.readouterr().err
    assert list(tomllib.loads(file_of("codex", home).read_text())["mcp_servers"]) == ["later"]


def test_a_server_that_does_not_start_is_announced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`add` starts the server once as the client will, and shows the last words of one that fails."""
    (home.parent / "tools" / "uvx").write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    assert main(["add", "codex"]) == 0
    assert "A first start of the server failed: no network" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["usual", "minified"])
@pytest.mark.parametrize("name", ["cursor", "goose", "codex", "continue"])
def test_no_secret_is_printed(name: str, kind: str, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a key of this entry nor another server's is in any output, and still one sees that a key changes."""
    path = file_of(name, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files_of(BY_NAME[name]).get(kind) or files_of(BY_NAME[name])["usual"] or "")
    tries = (
        ["add", name, f"--API_KEY={KEY}", "--dry-run"],
        ["add", name, f"--X_PORTKEY_API_KEY={KEY}"],
        ["add", name, f"--X_PORTKEY_API_KEY={KEY}2"],
        ["remove", name, "--dry-run"],
        ["add", name, "--env", f"={KEY}"],
        ["list"],
    )
    results = [(main(words), *capfd.readouterr()) for words in tries]
    for _, stdout, stderr in results:
        assert KEY not in stdout + stderr
        assert FOREIGN not in stdout + stderr
    assert [code for code, _, _ in results] == [0, 0, 2, 0, 2, 0]
    assert "another value" in results[2][1]
    assert "portkey-bridge" in results[0][1]
    assert KEY in path.read_text()


def test_dry_run_is_a_unified_diff_and_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dry-run` prints the lines that would change and there is no file afterwards."""
    assert main(["add", "vscode", f"--API_KEY={KEY}", "--tools", "a", "--dry-run"]) == 0
    path = file_of("vscode", home)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"--- {os.devnull}", f"+++ {path}"]
    assert '+        "--tools",' in lines
    assert '+        "API_KEY": "***"' in lines
    assert not path.parent.exists()


def test_a_credential_in_a_url_is_masked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base URL with a password in it is not shown either."""
    assert main(["add", "cursor", "--base-url", f"https://me:{KEY}@host/v1", "--dry-run"]) == 0
    assert KEY not in capsys.readouterr().out


@pytest.mark.slow
def test_an_existing_entry_is_replaced_only_if_meant(home: Path, run: Run) -> None:
    """Without a terminal and without --yes nothing is changed, and the message says how to."""
    assert main(["add", "cursor", "--tools", "a"]) == 0
    path = file_of("cursor", home)
    before = path.read_bytes()
    environ = {"HOME": str(home), "PATH": os.environ["PATH"]}
    result = run("add", "cursor", "--tools", "b", env=environ)
    assert result.returncode == 2
    assert "add --yes" in result.stderr
    assert '-        "a"' in result.stdout
    assert '+        "b"' in result.stdout
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_at_a_terminal_the_person_is_asked(answer: str, status: int, home: Path) -> None:
    """Only a yes replaces."""
    assert main(["add", "cursor", "--tools", "a"]) == 0
    path = file_of("cursor", home)
    before = path.read_bytes()
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    environ = {**BARE, "HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "portkey_bridge", "add", "cursor", "--tools", "b"]
    result = subprocess.run(command, stdin=theirs, env=environ, capture_output=True, text=True, timeout=60, check=False)
    os.close(ours)
    os.close(theirs)
    assert "Replace it as shown? [y/N]" in result.stderr
    assert result.returncode == status
    assert (path.read_bytes() == before) == bool(status)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_mode_link_and_backup(home: Path) -> None:
    """A link stays a link, the mode stays, and the file as it was first is kept once."""
    path = file_of("cursor", home)
    path.parent.mkdir()
    real = home / "dotfiles" / "cursor.json"
    real.parent.mkdir()
    real.write_text('{"a": 1}')
    real.chmod(0o640)
    path.symlink_to(real)
    assert main(["add", "cursor"]) == 0
    assert main(["remove", "cursor"]) == 0
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    backup = real.with_name("cursor.json.bak")
    assert backup.read_text() == '{"a": 1}'
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert sorted(each.name for each in real.parent.iterdir()) == ["cursor.json", "cursor.json.bak"]


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root may give a file away")
def test_owner_is_kept(home: Path) -> None:
    """A file that root edits for somebody stays theirs."""
    path = file_of("claude-code", home)
    path.write_text("{}")
    os.chown(path, 12345, 23456)
    assert main(["add", "claude-code"]) == 0
    for each in (path, path.with_name(".claude.json.bak")):
        assert (each.stat().st_uid, each.stat().st_gid) == (12345, 23456)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize(
    ("mode", "variable", "warned"),
    [(0o644, "API_KEY=x", True), (0o640, "API_KEY=x", True), (0o600, "API_KEY=x", False), (0o644, "API_KEY", False)],
)
def test_a_key_that_others_can_read_is_warned_of(
    mode: int, variable: str, warned: bool, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A literal value in a file that group or world reads gives a warning with the remedy."""
    path = file_of("cursor", home)
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(mode)
    assert main(["add", "cursor", "--env", variable]) == 0
    assert (f"chmod 600 {path}" in capsys.readouterr().err) == warned


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_new_file_is_for_its_owner_only(home: Path) -> None:
    """A file that this program makes may hold a key, so nobody else reads it."""
    assert main(["add", "goose", f"--API_KEY={KEY}"]) == 0
    assert stat.S_IMODE(file_of("goose", home).stat().st_mode) == 0o600


def test_a_key_in_a_projects_file_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a project shares must hold no key, and the message says what to write instead."""
    assert main(["add", "vscode-project", f"--API_KEY={KEY}"]) == 0
    assert "API_KEY must not be committed" in capsys.readouterr().err


DRIVER = """
import os, resource, signal, sys
from pathlib import Path
from portkey_bridge.clients import files as client_files
from portkey_bridge.clients.registry import CLIENTS
from portkey_bridge.document import files

CURSOR = next(client for client in CLIENTS if client.name == "cursor")

def rewrite(path, new, stop):
    file, lines = client_files.read_client_file(CURSOR, path), 0

    def trace(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename not in (client_files.__file__, files.__file__):
            return None
        lines += 1
        if lines == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    client_files.rewrite(file, new)

def in_child(path, new, stop):
    child = os.fork()
    if child == 0:
        rewrite(path, new, stop)
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""


def drive(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with what DRIVER defines; not under coverage, which traces, too."""
    environ = {name: value for name, value in BARE.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", DRIVER + script, *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


KILL_BEFORE_EACH_LINE = """
folder, old, new = Path(sys.argv[1]), *sys.argv[2:]
for stop in range(1, 500):
    path = folder / str(stop) / "mcp.json"
    path.parent.mkdir()
    path.write_text(old)
    status = in_child(path, new, stop)
    print(path.read_text())
    backup = path.with_name("mcp.json.bak")
    assert not backup.exists() or backup.read_text() == old
    if status == 0:
        break
    assert status == signal.SIGKILL
    assert in_child(path, new, 0) == 0 and path.read_text() == new
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_any_moment_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """Killed before each line of the rewriting in turn: never half a file nor half a backup, and the next try works."""
    old, new = '{"a": 1}', '{"b": 22222}'
    result = drive(KILL_BEFORE_EACH_LINE, str(tmp_path), old, new)
    assert (result.returncode, result.stderr) == (0, "")
    seen = result.stdout.splitlines()
    assert seen == sorted(seen)  # first the old, from one moment on the new
    assert set(seen) == {old, new}
    assert len(seen) > 20


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_no_trace(tmp_path: Path) -> None:
    """When writing fails, the file is the old one, nothing lies beside it, and the message says so."""
    path = tmp_path / "mcp.json"
    path.write_text('{"a": 1}')
    limited = "resource.setrlimit(resource.RLIMIT_FSIZE, (5, 5)); rewrite(Path(sys.argv[1]), sys.argv[2], 0)"
    failed = drive(limited, str(path), '{"b": 22222}')
    assert "ClientFileError" in failed.stderr.splitlines()[-1]
    assert "cannot be written" in failed.stderr.splitlines()[-1]
    assert [each.name for each in tmp_path.iterdir()] == ["mcp.json"]
    assert path.read_text() == '{"a": 1}'


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """What another program wrote between reading and writing is not lost."""
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    file = read_client_file(BY_NAME["cursor"], path)
    path.write_text('{"a": 1}')
    with pytest.raises(ClientFileError, match="Run this again"):
        rewrite(file, "{}")
    assert path.read_text() == '{"a": 1}'


UNREADABLE: list[tuple[Callable[[Path], Any], str]] = [
    (lambda path: path.write_bytes(b'{"a": "\xff"}'), "byte 8 is not UTF-8"),
    (lambda path: path.mkdir(), "cannot be read"),
]


@pytest.mark.parametrize(("make", "words"), UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(make: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    """No traceback for a file in another encoding, or a folder in its place."""
    path = tmp_path / "mcp.json"
    make(path)
    with pytest.raises(ClientFileError, match=words):
        read_client_file(BY_NAME["cursor"], path)


def test_an_upper_case_option_without_a_value_is_explained(run: Run) -> None:
    """`--API_KEY VALUE` is refused before the value can be taken for something else."""
    result = run("add", "cursor", "--API_KEY", KEY)
    assert result.returncode == 2
    assert "did you mean --API_KEY=VALUE?" in result.stderr
    assert KEY not in result.stderr


def test_every_client_is_told_apart() -> None:
    """No two rows of the table have a name or a file in common."""
    assert len(set(NAMES)) == len(CLIENTS)
    places = [json.dumps(client.files) for client in CLIENTS]
    assert len(set(places)) == len(CLIENTS)

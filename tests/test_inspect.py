"""inspect: the official inspector gets this very server, with its options and the variables that it uses."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BARE, Run
from tests.support import document

#: Stands for npx: keeps what it was called with, and the session file, which is gone afterwards.
NPX = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/arguments
for file do :; done
cp "$file" {folder}/session.json
stat -c %a "$(dirname "$file")" > {folder}/mode
pwd > "{folder}/started in"
exit 7
"""

OTHER = {"AWS_SECRET_ACCESS_KEY": "other", "UNRELATED": "other"}


def programs(folder: Path, *, node: str | None = "v22.19.0", npx: bool = True) -> str:
    """Make a folder of programs, and give the PATH on which there are no others but the shell's."""
    place = folder / "programs"
    place.mkdir()
    for name in ("cp", "dirname", "stat", "sh"):
        (place / name).symlink_to(Path("/bin") / name)
    if node:
        (place / "node").write_text(f"#!/bin/sh\necho {node}\n", encoding="utf-8")
    if npx:
        (place / "npx").write_text(NPX.format(folder=folder), encoding="utf-8")
    for program in place.iterdir():
        if not program.is_symlink():
            program.chmod(0o755)
    return str(place)


@pytest.fixture
def session(run: Run, tmp_path: Path) -> dict[str, Any]:
    """Return the server as the inspector was told of it."""
    env = {"PATH": programs(tmp_path), "API_KEY": "secret", "OPEN_MCP_SCHEMA_BUDGET": "900", **OTHER}
    done = run("inspect", "--tools", "listmodels", "--path-item-tools", env=env)
    assert done.returncode == 7  # the inspector's own
    server: dict[str, Any] = json.loads((tmp_path / "session.json").read_text(encoding="utf-8"))["mcpServers"]
    return server["portkey-bridge"]  # type: ignore[no-any-return]


def test_the_server_gets_the_options_and_its_variables(session: dict[str, Any], tmp_path: Path) -> None:
    """The typed options and the variables that the served tools use are passed on, and nobody else's secrets."""
    assert session["args"] == ["-m", "portkey_bridge", "--tools=listmodels", "--path-item-tools"]
    assert session["cwd"] == str(tmp_path)
    assert session["env"]["API_KEY"] == "secret"
    assert session["env"]["OPEN_MCP_SCHEMA_BUDGET"] == "900"
    assert not session["env"].keys() & OTHER.keys()


def test_the_server_of_several_apis_gets_what_their_file_refers_to(run: Run, tmp_path: Path) -> None:
    """The inspector shows all APIs of a settings file, with the variables that it names."""
    names = ("cats", "dogs")
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps(document({"/x": {"get": {"responses": {}}}})))
    apis = "".join(
        f'[api.{name}]\nspec = "{name}.json"\nenv = {{ K = "${name.upper()}" }}\n' for name in ("cats", "dogs")
    )
    (tmp_path / "t.toml").write_text(apis, encoding="utf-8")
    env = {"PATH": programs(tmp_path), "CATS": "secret of cats", "DOGS": "secret of dogs", **OTHER}
    assert run("inspect", "--config", "t.toml", env=env).returncode == 7
    session = json.loads((tmp_path / "session.json").read_text(encoding="utf-8"))["mcpServers"]["portkey-bridge"]
    assert session["args"] == ["-m", "portkey_bridge", "--config=t.toml"]
    assert (session["env"]["CATS"], session["env"]["DOGS"]) == ("secret of cats", "secret of dogs")
    assert not session["env"].keys() & OTHER.keys()


def test_secrets_stand_on_no_command_line(session: dict[str, Any], tmp_path: Path) -> None:
    """The session file lies in a folder that only this user can enter, and is gone when the inspector ends."""
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()
    assert arguments[:3] == ["--yes", "@modelcontextprotocol/inspector", "--config"]
    assert (tmp_path / "mode").read_text(encoding="utf-8").strip() == f"{stat.S_IRWXU:o}"
    assert not Path(arguments[-1]).exists()


def test_the_server_of_the_session_starts(session: dict[str, Any]) -> None:
    """What the session file names is a command that serves."""
    done = subprocess.run(
        [session["command"], *session["args"]],
        env={**session["env"], "PATH": BARE["PATH"]},
        cwd=session["cwd"],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert b"over stdio" in done.stderr


MISSING = [
    pytest.param({"node": None}, "there is no node on the PATH", id="no Node"),
    pytest.param({"npx": False}, "there is no npx on the PATH", id="no npx"),
    pytest.param({"node": "v20.20.2"}, "v20.20.2", id="too old"),
    pytest.param({"node": "v22.18.9"}, "v22.18.9", id="a little too old"),
    pytest.param({"node": "nonsense"}, "nonsense", id="no version"),
]


@pytest.mark.parametrize(("present", "words"), MISSING)
def test_what_is_missing_is_named(run: Run, tmp_path: Path, present: dict[str, Any], words: str) -> None:
    """Without a Node that is new enough, one line says what to install, and the exit code is 2."""
    done = run("inspect", env={"PATH": programs(tmp_path, **present)})
    assert done.returncode == 2
    assert words in done.stderr
    assert "Node 22.19 or newer" in done.stderr
    assert "Install" in done.stderr


def leave_modules(folder: Path) -> None:
    """Put modules into a folder that leave a file there if they are imported."""
    for name in ("portkey_bridge", "httpx", "fastmcp", "openapi_spec_validator", "marshal", "json"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'w')")


@pytest.mark.slow
def test_the_server_of_the_session_imports_nothing_from_its_folder(run: Run, tmp_path: Path) -> None:
    """The inspector's server imports no module from its working directory, whatever PYTHONPATH says."""
    run("inspect", env={"PATH": programs(tmp_path), "PYTHONPATH": f"{BARE['PYTHONPATH']}:"})
    server = json.loads((tmp_path / "session.json").read_text(encoding="utf-8"))["mcpServers"]["portkey-bridge"]
    leave_modules(tmp_path)
    command = [server["command"], *server["args"]]
    subprocess.run(command, env=server["env"], cwd=server["cwd"], input=b"", check=True, timeout=60)
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
def test_the_validator_imports_nothing_from_its_folder(tmp_path: Path) -> None:
    """The process of `check` that validates a document imports no module from the working directory."""
    leave_modules(tmp_path)
    (tmp_path / "api.json").write_text(json.dumps(document({})))
    command = [sys.executable, "-P", "-m", "portkey_bridge", "check", "api.json"]
    subprocess.run(command, env=BARE, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert not (tmp_path / "imported").exists()


def test_the_inspector_itself_starts_elsewhere(run: Run, tmp_path: Path) -> None:
    """npx, which prefers packages of the folder that it starts in, starts in an empty one."""
    run("inspect", env={"PATH": programs(tmp_path)})
    assert Path((tmp_path / "started in").read_text(encoding="utf-8").strip()) != tmp_path

"""Real MCP clients, asked with their own commands, read what `add` wrote, and those that start the server reach it.

`.ci/run` installs them from npm into `.ci/clients`; without them these tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

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
        timeout=120,
        check=False,
    )
    printed = re.sub(r"\x1b\[[0-9;]*m", "", listed.stdout + listed.stderr)
    assert re.search(expected, printed, re.MULTILINE), printed

"""The MCP inspector's linter knows which schemas the clients refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portkey_bridge import __version__
from tests.conftest import BARE, ROOT
from tests.node import node_command

INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        pytest.param([], 233, id="operations"),
        pytest.param(["--path-item-tools"], 368, id="with path items"),
    ],
)
def test_no_known_client_refuses_a_tool(options: list[str], count: int, tmp_path: Path) -> None:
    """The inspector lists every tool in strict mode, and stderr holds nothing but the server's own line."""
    inspector = [*node_command(INSPECTOR, minimum=(22, 19)), "--cli", "-e", f"PYTHONPATH={ROOT}"]
    listed = subprocess.run(
        [*inspector, sys.executable, "-m", "portkey_bridge", *options, "--method", "tools/list", "--strict"],
        env=BARE | {"HOME": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert listed.stderr == f"portkey-bridge {__version__} serves Portkey API over stdio\n"
    assert listed.returncode == 0
    assert len(json.loads(listed.stdout)["tools"]) == count

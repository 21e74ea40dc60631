"""The programs from npm that judge this one: the Portkey gateway and the MCP inspector.

Where Node or a program is missing, a test is skipped with its reason, unless PORTKEY_BRIDGE_E2E says `required`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import NoReturn

import pytest

from tests.conftest import ROOT

MODULES = ROOT / ".ci" / "node_modules"


def node_command(program: str, minimum: tuple[int, int]) -> list[str]:
    """Return the command of a program in an installed npm package, for a Node of at least `minimum`; else skip."""
    node, script = shutil.which("node"), MODULES / program
    if node is None:
        missing("Node is not installed")
    if _version(node) < minimum:
        missing(f"Node is older than {minimum[0]}.{minimum[1]}")
    if not script.exists():
        missing(f"{program} is not installed; npm install --prefix .ci does it")
    return [node, str(script)]


def _version(node: str) -> tuple[int, int]:
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", printed)[:2]
    return int(major), int(minor)


def missing(reason: str) -> NoReturn:
    if os.environ.get("PORTKEY_BRIDGE_E2E") == "required":
        pytest.fail(reason)
    pytest.skip(reason)

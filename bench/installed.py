"""What this program is measured beside and what does not come with this environment: `python -m bench.installed`.

Everything is installed below `.bench`, from PyPI and npm, each Python package in an environment of its own. What is not
there is left out by those who measure.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / ".bench"


class Python(NamedTuple):
    """A package from PyPI, and its program."""

    package: str
    name: str

    @property
    def program(self) -> Path:
        """Where its program is."""
        return FOLDER / self.package / "bin" / self.name

    def install(self) -> None:
        """Install it. Raises CalledProcessError."""
        folder = FOLDER / self.package
        venv.create(folder, with_pip=True)
        pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, self.package], check=True)  # noqa: S603  # a fixed command


class Node(NamedTuple):
    """A package from npm, and its program."""

    package: str
    name: str

    @property
    def program(self) -> Path:
        """Where its program is."""
        return FOLDER / "node_modules" / ".bin" / self.name

    def install(self) -> None:
        """Install it. Raises CalledProcessError, and OSError without npm."""
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        command = [shutil.which("npm") or "npm", "install", "--prefix", str(FOLDER), *options, self.package]
        subprocess.run(command, check=True)  # noqa: S603  # a fixed command


MCPIFY = Python("mcpify-openapi", "mcpify")
IVOTOBY = Node("@ivotoby/openapi-mcp-server", "openapi-mcp-server")
CONTEXTFORGE = Python("mcp-contextforge-gateway", "mcpgateway")


def program_of(rival: Python | Node) -> Path | None:
    """Return the program of what is installed; else print a line and return None."""
    if rival.program.exists():
        return rival.program
    print(f"not measured: {rival.package}, which `make rivals` installs", file=sys.stderr)
    return None


def main() -> int:
    """Install what is missing. Return 1 if something cannot be."""
    missing = 0
    for rival in (MCPIFY, IVOTOBY, CONTEXTFORGE):
        missing += not _is_installed(rival)
    return min(missing, 1)


def _is_installed(rival: Python | Node) -> bool:
    """Install what is missing; print why if that fails."""
    if rival.program.exists():
        return True
    FOLDER.mkdir(exist_ok=True)
    try:
        rival.install()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{rival.package} cannot be installed: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

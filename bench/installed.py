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


class Rival(NamedTuple):
    """A package from PyPI, or from npm, and the name of its program."""

    package: str
    name: str
    is_of_npm: bool = False

    @property
    def program(self) -> Path:
        """Where its program is."""
        return FOLDER / ("node_modules/.bin" if self.is_of_npm else f"{self.package}/bin") / self.name

    def install(self) -> None:
        """Install it. Raises CalledProcessError, and OSError without npm."""
        if self.is_of_npm:
            options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
            command = [shutil.which("npm") or "npm", "install", "--prefix", str(FOLDER), *options]
        else:
            venv.create(FOLDER / self.package, with_pip=True)
            python = str(self.program.with_name("python"))
            command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, self.package], check=True)  # noqa: S603  # a fixed command


MCPIFY = Rival("mcpify-openapi", "mcpify")
IVOTOBY = Rival("@ivotoby/openapi-mcp-server", "openapi-mcp-server", is_of_npm=True)
CONTEXTFORGE = Rival("mcp-contextforge-gateway", "mcpgateway")


def program_of(rival: Rival) -> Path | None:
    """Return the program of what is installed; else print a line and return None."""
    if rival.program.exists():
        return rival.program
    print(f"not measured: {rival.package}, which `make rivals` installs", file=sys.stderr)
    return None


def main() -> int:
    """Install what is missing. Return 1 if something cannot be."""
    are_installed = [_is_installed(rival) for rival in (MCPIFY, IVOTOBY, CONTEXTFORGE)]
    return int(not all(are_installed))


def _is_installed(rival: Rival) -> bool:
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

"""Runs every benchmark and writes their figures into one file: `python -m bench FILE`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from portkey_bridge import __version__

#: The modules that measure, in the order of the file; each prints a section.
MODULES = """
    tokens listings start calls serving peers stages load memory uploads questions signatures applications
""".split()

#: What the figures depend on.
PACKAGES = ("fastmcp", "mcp", "httpx", "httpx-aiohttp", "jsonschema", "pydantic")


def main(file: Path) -> None:
    """Measure everything, and write the file when all of it is there."""
    parts = ["# Performance", _circumstances(), *_sections()]
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _circumstances() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Measured by `make bench` on {datetime.now(UTC):%Y-%m-%d}: portkey-bridge {__version__}, {packages}; "
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} on {platform.machine()}, "
        f"{cores} cores. Times differ between machines; ratios vary little."
    )


def _sections() -> Iterator[str]:
    for module in MODULES:
        print(f"bench.{module} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"bench.{module}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)  # noqa: S603
        yield done.stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

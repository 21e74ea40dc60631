"""Makes what is published: the wheel, the MCP bundle (`.mcpb`) and the entry for the public MCP registry.

All facts come from where they stand once: the version from the package, the words from `pyproject.toml`, the variables
from the shipped document and the table of options.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portkey_bridge import __version__
from portkey_bridge.cli.listing import variables_of
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.settings.options import OPTIONS, Settings

ROOT = Path(__file__).parents[1]

#: The name in the public registry. The README must hold `mcp-name: ` and this: that proves who owns the package.
REGISTRY_NAME = "io.github.portkey-bridge/portkey-bridge"

SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

#: What a bundle holds: the project as `uv run` needs it.
BUNDLED = ("pyproject.toml", "README.md", "LICENSE", "portkey_bridge/**/*", "specs/*")

#: The settings that a person is asked for when the bundle is installed.
ASKED_FOR = ("OPEN_MCP_BASE_URL", "OPEN_MCP_TOOLS", "OPEN_MCP_SPEC")

#: The earliest time that a zip file can tell, so that the same sources give the same bytes.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def main(folder: Path) -> None:
    """Write everything into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder.resolve())]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  # hatchling, on this project
    write_bundle(folder / f"portkey-bridge-{__version__}.mcpb", manifest(project))
    (folder / "server.json").write_text(json.dumps(server_entry(project), indent=2) + "\n", encoding="utf-8")


def variables() -> Iterator[tuple[str, str, bool]]:
    """Yield each variable that a person may set, what it is for, and whether its value is a secret."""
    _, tools = load_tools(Settings())
    for name, opens in variables_of(tools).items():
        yield name, f"Credential that {len(opens)} of {len(tools)} tools take", True
    for option in OPTIONS:
        text = f"set to 0 to {option.help}" if option.default is True else option.help
        yield option.variable, f"{text[:1].upper()}{text[1:]}", False


def manifest(project: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of the bundle (MCPB manifest 0.4), whose host runs it by uv."""
    asked = {name: told for name, *told in variables() if told[1] or name in ASKED_FOR}
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "Portkey",
        "version": __version__,
        "description": project["description"],
        "author": {"name": "The portkey-bridge authors"},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "portkey_bridge/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--no-dev", "--directory", "${__dirname}", project["name"]],
                "env": {name: f"${{user_config.{name.lower()}}}" for name in asked},
            },
        },
        "tools_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": project["requires-python"]},
        },
        "user_config": {
            # Without a default, a host would hand over the placeholder itself as the value.
            name.lower(): {
                "type": "string",
                "title": name,
                "description": text,
                "required": False,
                "default": "",
                "sensitive": secret,
            }
            for name, (text, secret) in asked.items()
        },
    }


def server_entry(project: dict[str, Any]) -> dict[str, Any]:
    """Return the entry for the public registry, the content of `server.json`."""
    return {
        "$schema": SERVER_SCHEMA,
        "name": REGISTRY_NAME,
        "title": project["name"],
        "description": project["description"],
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": project["name"],
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": [
                    {"name": name, "description": text, "isRequired": False, "isSecret": secret}
                    for name, text, secret in variables()
                ],
            }
        ],
    }


def write_bundle(file: Path, content: dict[str, Any]) -> None:
    """Write the bundle: a zip file with the manifest at its top."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        _add(bundle, "manifest.json", json.dumps(content, indent=2).encode())
        for path in sorted(path for pattern in BUNDLED for path in ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                _add(bundle, path.relative_to(ROOT).as_posix(), path.read_bytes())


def _add(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    bundle.writestr(entry, content)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))

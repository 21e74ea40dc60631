"""What is published: the wheel, the MCP bundle and the registry's entry, as `make dist` makes them."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from jsonschema import Draft202012Validator

from portkey_bridge import __version__
from portkey_bridge.bridge.load import load_api
from portkey_bridge.clients.places import System, locate
from portkey_bridge.clients.registry import CLIENTS
from portkey_bridge.mock.app import mock_running
from portkey_bridge.settings.options import Settings
from tests.conftest import BARE, ROOT, Run
from tests.node import node_command
from tests.published_schemas import MANIFEST, SERVER

#: What a program needs that fetches packages: where it may keep them, and how it reaches the index.
FETCHING = BARE | {
    name: value
    for name, value in os.environ.items()
    if name.lower().endswith("_proxy") or name.startswith(("SSL_CERT_", "UV_"))
}

#: Packages that are not called like the module that they bring.
PACKAGES = {
    "dotenv": "python-dotenv",
    "key_value": "py-key-value-aio",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "yaml": "pyyaml",
}

#: What uvicorn imports where it is installed.
FOR_UVICORN = {"httptools", "uvloop"}

needs_uv = pytest.mark.skipif(
    not shutil.which("uv") or "PORTKEY_BRIDGE_UV" in os.environ, reason="needs uv, and an index to install from"
)

MCPB = "@anthropic-ai/mcpb/dist/cli/cli.js"

BY_NAME = {client.name: client for client in CLIENTS}

#: Clients with a file of each format: how it is read, and what it calls what a client starts.
STARTED: Mapping[str, tuple[Callable[[str], Any], str, tuple[str, str, str]]] = {
    "claude-code-project": (json.loads, "mcpServers", ("command", "args", "env")),
    "codex": (tomllib.loads, "mcp_servers", ("command", "args", "env")),
    "goose": (yaml.safe_load, "extensions", ("cmd", "args", "envs")),
}


#: How a command is run to its end, with what it says kept.
QUIET: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300, "check": False}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with everything that is published."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "scripts.dist", str(folder)], cwd=ROOT, env=BARE, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """Return the wheel."""
    (file,) = dist.glob("*.whl")
    return file


@pytest.fixture
def bundle(dist: Path, tmp_path: Path) -> Path:
    """Return the folder into which a host has unpacked the bundle."""
    (file,) = dist.glob("*.mcpb")
    with zipfile.ZipFile(file) as packed:
        packed.extractall(tmp_path / "bundle")
    return tmp_path / "bundle"


def entry(dist: Path) -> dict[str, Any]:
    """Return the registry's entry."""
    value: dict[str, Any] = json.loads((dist / "server.json").read_text(encoding="utf-8"))
    return value


def manifest(bundle: Path) -> dict[str, Any]:
    """Return the bundle's manifest."""
    value: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return value


@pytest.mark.slow
def test_the_version_stands_in_one_place(dist: Path, bundle: Path, run: Run) -> None:
    """Whatever is published has the version of the package, which no other file repeats."""
    told = entry(dist)
    assert {told["version"], told["packages"][0]["version"], manifest(bundle)["version"]} == {__version__}
    assert {file.name for file in dist.iterdir()} == {
        f"portkey_bridge-{__version__}-py3-none-any.whl",
        f"portkey-bridge-{__version__}.mcpb",
        "server.json",
    }
    assert run("--version").stdout == f"portkey-bridge {__version__}\n"
    places = [*ROOT.glob("*.toml"), *ROOT.glob("portkey_bridge/**/*.py"), *ROOT.glob("scripts/*"), ROOT / "Makefile"]
    literal = re.compile(rf"version\w*\W+{re.escape(__version__)}\b")
    found = [path.name for path in places if path.is_file() and literal.search(path.read_text(encoding="utf-8"))]
    assert found == ["__init__.py"]


@pytest.mark.slow
def test_the_registry_accepts_the_entry(dist: Path) -> None:
    """server.json is valid under the schema that it names."""
    told = entry(dist)
    Draft202012Validator(SERVER, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(told)
    assert told["$schema"].endswith("/2025-12-11/server.schema.json")


@pytest.mark.slow
def test_hosts_accept_the_manifest(bundle: Path) -> None:
    """manifest.json is valid under the schema of the version that it names."""
    Draft202012Validator(MANIFEST).validate(manifest(bundle))


def test_the_official_tool_accepts_the_bundle(dist: Path, bundle: Path) -> None:
    """The tool that makes bundles finds the manifest valid, and reads the file."""
    (file,) = dist.glob("*.mcpb")
    mcpb = node_command(MCPB, minimum=(18, 0))
    for words in (["validate", str(bundle / "manifest.json")], ["info", str(file)]):
        done = subprocess.run([*mcpb, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifest_asks_for_what_it_uses(bundle: Path) -> None:
    """Every variable is filled from a question with a default (a host leaves the placeholder of one without)."""
    told = manifest(bundle)
    asked = told["user_config"]
    placeholders = set(told["server"]["mcp_config"]["env"].values())
    assert placeholders == {f"${{user_config.{name}}}" for name in asked}
    assert {question["default"] for question in asked.values()} == {""}
    assert asked["x_portkey_api_key"]["sensitive"]
    assert not asked["open_mcp_base_url"]["sensitive"]
    assert (bundle / told["server"]["entry_point"]).is_file()


@pytest.mark.slow
def test_the_same_sources_give_the_same_bundle(dist: Path, tmp_path: Path) -> None:
    """Made twice, every file is the same byte for byte."""
    subprocess.run([sys.executable, "-m", "scripts.dist", str(tmp_path)], cwd=ROOT, env=BARE, check=True)
    for file in dist.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.slow
def test_the_wheel_is_all_that_is_needed(wheel: Path, run: Run, tmp_path: Path) -> None:
    """Unpacked beside its dependencies, the wheel serves its document and writes its page."""
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place)
    env = {"PYTHONPATH": str(place)}
    assert len(run("tools", env=env).stdout.splitlines()) == 231
    assert "<html" in run("docs", "--html", env=env).stdout
    assert run("docs", env=env).stdout == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_import_is_a_dependency() -> None:
    """What the package imports from elsewhere is what it, or an extra of it, asks to be installed, and nothing more."""
    sources = (ROOT / "portkey_bridge").rglob("*.py")
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names} - {""}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    asked = {re.split(r"[^\w-]", line)[0] for line in [*project["dependencies"], *itertools.chain(*extras)]}
    assert {*map(package_of, imported)} - {"portkey-bridge"} == asked - FOR_UVICORN


def package_of(module: str) -> str:
    """Return the name of the package that a module comes from."""
    first, second, _ = f"{module}..".split(".", 2)
    return PACKAGES.get(f"{first}.{second}") or PACKAGES.get(first, first.replace("_", "-"))


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a machine with an empty home folder, where uv takes this program from the wheel."""
    home = tmp_path_factory.mktemp("home")
    pinned = home / "pinned.txt"
    pinned.write_text(f"portkey-bridge @ {wheel.as_uri()}\n", encoding="utf-8")
    apart = {name: value for name, value in FETCHING.items() if name not in ("PYTHONPATH", "XDG_CACHE_HOME")}
    return apart | {"HOME": str(home), "UV_CONSTRAINT": str(pinned)}


@needs_uv
def test_uvx_runs_the_wheel_on_an_empty_machine(wheel: Path, machine: dict[str, str]) -> None:
    """With nothing installed, uvx fetches what the wheel asks for, and the command runs."""
    command = ["uvx", "--from", str(wheel), "portkey-bridge", "tools"]
    done = subprocess.run(command, env=machine, cwd=machine["HOME"], **QUIET)
    assert len(done.stdout.splitlines()) == 231, done.stderr


@needs_uv
@pytest.mark.parametrize("client", STARTED)
async def test_a_newcomers_way(client: str, machine: dict[str, str]) -> None:
    """One command sets a client up; what its file says, started as the client would, lists and calls."""
    read, container, keys = STARTED[client]
    home = Path(machine["HOME"])
    with mock_running(load_api(Settings())) as url:
        words = ["--tools", "listmodels", "--base-url", url, "--X_PORTKEY_API_KEY=not-a-real-key", "--yes"]
        setup = ["uvx", "portkey-bridge", "add", client, *words]
        done = subprocess.run(setup, env=machine, cwd=home, **QUIET)
        assert done.returncode == 0, done.stderr
        file = locate(BY_NAME[client], System("linux", {}, home, home))
        command, args, env = map(read(file.read_text("utf-8"))[container]["portkey"].get, keys)
        transport = StdioTransport(command, args, env=machine | env, cwd=str(home), keep_alive=False)
        async with Client(transport, init_timeout=300) as session:
            assert "listmodels" in {tool.name for tool in await session.list_tools()}
            assert not (await session.call_tool("listmodels")).is_error


@needs_uv
async def test_a_host_starts_the_bundle(bundle: Path, machine: dict[str, str]) -> None:
    """Started as the manifest says, with every question left empty, the bundle serves."""
    told = manifest(bundle)["server"]["mcp_config"]
    args = [word.replace("${__dirname}", str(bundle)) for word in told["args"]]
    env = machine | {"UV_CONSTRAINT": ""} | dict.fromkeys(told["env"], "")
    transport = StdioTransport(told["command"], args, env=env, cwd=machine["HOME"], keep_alive=False)
    async with Client(transport, init_timeout=300) as client:
        assert len(await client.list_tools()) == 233

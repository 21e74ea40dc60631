"""The wheel is the program: built, installed and used far from the source."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from portkey_bridge import __version__
from tests.conftest import BARE, ROOT

#: Without the source folder on the path, the installed package is the only one.
ELSEWHERE = {name: value for name, value in BARE.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the console script of the wheel, in an environment that borrows the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    paths = {"base": str(folder), "platbase": str(folder)}
    scripts, library = (Path(sysconfig.get_path(kind, "venv", paths)) for kind in ("scripts", "purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), cwd=folder)
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return scripts / "portkey-bridge"


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ELSEWHERE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_carries_the_document_and_its_types(wheel: Path) -> None:
    """The document in the package is the one at the top of the source, byte for byte; type checkers find the mark."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("portkey_bridge/portkey.yaml") == (ROOT / "specs" / "portkey.yaml").read_bytes()
        assert "portkey_bridge/py.typed" in archive.namelist()


def test_the_wheel_carries_every_module_and_nothing_else(wheel: Path) -> None:
    """No test, and no file of a developer's, is installed with the package."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "portkey_bridge").rglob("*.py")}
    assert inside == modules | {
        "portkey_bridge/portkey.yaml",
        "portkey_bridge/py.typed",
        *(f"portkey_bridge/web/page/{name}" for name in ("reference.html", "reference.css", "connect.html")),
        *(f"portkey_bridge/web/page/{name}.js" for name in ("elements", "reference", "asking", "fields", "login")),
        *(f"portkey_bridge/web/page/{name}.js" for name in ("calls", "connect")),
    }


@pytest.mark.slow
def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Whoever builds from what is published gets what is published, byte for byte."""
    build = (sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path), "--target")
    _run(*build, "sdist", cwd=ROOT)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    _run(*build, "wheel", cwd=tmp_path / source.name.removesuffix(".tar.gz"))
    (built,) = tmp_path.glob("*.whl")
    assert built.read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_the_installed_program_says_its_version(program: Path, tmp_path: Path) -> None:
    """The console script runs from any folder."""
    assert _run(str(program), "--version", cwd=tmp_path) == f"portkey-bridge {__version__}\n"


@pytest.mark.slow
async def test_the_installed_program_serves_the_portkey_api(program: Path, tmp_path: Path) -> None:
    """It needs no file but its own: 231 operations and the two tools that expand, over stdio."""
    transport = StdioTransport(str(program), [], env=ELSEWHERE, cwd=str(tmp_path))
    async with Client(transport) as client:
        assert len(await client.list_tools()) == 233

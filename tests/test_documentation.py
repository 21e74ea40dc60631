"""The README and the pages beside it: every command in them runs, and what they list is what there is."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portkey_bridge.bridge.load import load_api
from portkey_bridge.cli.commands import COMMANDS
from portkey_bridge.clients.places import System, locate
from portkey_bridge.clients.registry import CLIENTS
from portkey_bridge.mock.app import mock_running
from portkey_bridge.settings.options import Settings
from scripts.dist import REGISTRY_NAME
from tests.conftest import BARE, ROOT, Recorder, program

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: What a page means by its examples: the gateway is the mock, and the document's server one of the test's own.
GATEWAY, DOCUMENT = "http://127.0.0.1:8787/v1", "http://127.0.0.1:8000"

PETSTORE = """
openapi: 3.1.0
info: {title: Petstore, version: "1"}
servers: [{url: http://127.0.0.1:9}]
security: [{key: []}]
components: {securitySchemes: {key: {type: apiKey, in: header, name: x-pets-key}}}
paths:
  /pets:
    get:
      operationId: listPets
      parameters: [{name: limit, in: query, schema: {type: integer}}]
      responses: {"200": {description: OK}}
"""

#: The programs that the pages name besides this one, as far as a page needs them.
PROGRAMS = {
    "uvx": '[ "$1" = portkey-bridge ] && exec "$@"',
    "npx": "exit 0",
    "node": "echo v24.0.0",
    "make": f'exec /usr/bin/env -i PATH=/usr/bin:/bin make --directory "{ROOT}" --dry-run "$@"',
}


def blocks(language: str) -> dict[str, str]:
    """Return each fenced block of a language, with the name of a page that holds it."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
    return {found[2]: page.name for page in PAGES for found in fence.finditer(page.read_text(encoding="utf-8"))}


LINES = {line.partition("  #")[0].strip(): page for block, page in blocks("sh").items() for line in block.splitlines()}
SHOWN = {
    command: (output, page)
    for block, page in blocks("console").items()
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """Return the URL of a mock of the Portkey API."""
    with mock_running(load_api(Settings())) as url:
        yield url


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return an empty home folder with the files that the pages name, and their programs in `bin`."""
    (tmp_path / "petstore.yaml").write_text(PETSTORE)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "batch.jsonl").write_text("{}\n")
    (tmp_path / ".config" / "fish" / "completions").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    this_one = f'exec {shlex.join(program(env=BARE))} "$@"'
    for name, script in {"portkey-bridge": this_one, **PROGRAMS}.items():
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return tmp_path


def environment(place: Path, **more: str) -> dict[str, str]:
    """Return the variables of somebody whose home and programs are those of the place."""
    return {**BARE, "HOME": str(place), "PATH": f"{place / 'bin'}:/usr/bin:/bin", **more}


#: Pages whose commands are always tested, and the command that the tests of the demo run as well.
FIRST, DEMO = ("README.md", "commands.md"), "uvx portkey-bridge demo"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, id=f"{page} {line}", marks=() if page in FIRST and line != DEMO else pytest.mark.slow)
        for line, page in LINES.items()
        if line
    ],
)
def test_every_command_of_the_pages_runs(line: str, place: Path, gateway: str, recorder: Recorder) -> None:
    """A line of a page is a command that a shell understands and that does what it should."""
    recorder.answers["/petstore.yaml"] = (200, {"content-type": "application/yaml"}, PETSTORE.encode())
    command = line.replace(GATEWAY, gateway).replace(DOCUMENT, recorder.url).replace("--port 8080", "--port 0")
    keys = dict.fromkeys(("X_PORTKEY_API_KEY", "API_KEY", "X_PETS_KEY"), "k" * 20)
    child = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}" if "bridge mock" in line else command],
        env=environment(place, OPEN_MCP_BASE_URL=gateway, **keys),
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    if "bridge mock" in line:  # which runs until it is told to stop
        assert child.stderr is not None
        *_, url = child.stderr.readline().split()
        assert httpx.get(f"{url}/pets").status_code == 401  # so it answers and there is no key
        child.send_signal(signal.SIGINT)
    _, words = child.communicate(timeout=120)
    assert child.returncode == (130 if "bridge mock" in line else 0), words
    assert "Traceback" not in words


@pytest.mark.parametrize("command", SHOWN)
def test_a_session_is_what_happens(command: str, place: Path) -> None:
    """What a page shows below a command is what it prints; … stands for what is left out."""
    output = re.escape(SHOWN[command][0]).replace("…\n", "…").replace("…", ".*")
    pipe = subprocess.PIPE
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment(place, X_PORTKEY_API_KEY="k" * 20),
        cwd=place,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert re.fullmatch(output, done.stdout, re.DOTALL), done.stdout


def fragments(page: Path) -> set[str]:
    """Return the fragments that hosts of Markdown make of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link or a picture that is no URL is a file of the project, and its fragment a heading in it."""
    text = re.sub(r"^( *)```.*?^\1```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [a or b for a, b in re.findall(r'\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"', text)]
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        place = (page.parent / file) if file else page
        assert place.exists(), target
        assert not fragment or fragment in fragments(place), target


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by what their first cells name, without back quotes."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return {name: rest for first, *rest in cells for name in first.split(", ")}


def test_the_page_of_clients_has_all_of_them() -> None:
    """Each client is named with its file, and whether a value can stay in the environment."""
    machine = System("linux", {}, Path("~"), Path())
    told = {client.name: [str(locate(client, machine)), _refers(client)] for client in CLIENTS}
    assert told.items() <= rows("clients.md").items()
    assert len(rows("clients.md")) == len(told) + 2  # the head and the line below it


def _refers(client: object) -> str:
    return "yes" if client.reference or client.forwards else "no"  # type: ignore[attr-defined]


def test_the_page_of_commands_has_all_of_them() -> None:
    """Each command, and each exit code that the program's help names."""
    told = rows("commands.md")
    assert {command.name for command in COMMANDS} <= set(told)
    assert {"0", "1", "2", "130", "141"} <= set(told)


def test_pictures_are_small() -> None:
    """Whoever reads the README loads less than 200 kB for each."""
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert {file.suffix for file in pictures} == {".svg", ".webp"}
    assert max(file.stat().st_size for file in pictures) < 200_000


def test_the_readme_proves_the_entry_of_the_registry() -> None:
    """The public registry looks for the entry's name in the description of the package."""
    assert f"mcp-name: {REGISTRY_NAME}" in (ROOT / "README.md").read_text(encoding="utf-8")

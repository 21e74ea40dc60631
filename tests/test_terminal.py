"""Terminal manners: help, colours, stdout and stderr, pipes, interrupts, exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portkey_bridge.cli.commands import COMMANDS
from portkey_bridge.cli.main import build_parser
from tests.conftest import BARE, Recorder, Run, run_in
from tests.pseudo_terminal import on_a_terminal
from tests.support import document as document_of

COLOUR = "\x1b["

DOCUMENT = """
openapi: 3.1.0
info: {title: "Pets \\e[2J", version: "1"}
servers: [{url: http://127.0.0.1:9}]
paths:
  /pets: {get: {operationId: listPets, summary: "\\e[2J\\a List pets", tags: ["\\e[2J animals"]}}
"""


@pytest.fixture
def document(tmp_path: Path) -> str:
    """Return the path of a document that tries to clear the screen."""
    file = tmp_path / "pets.yaml"
    file.write_text(DOCUMENT, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("words", ["tools", "schema listpets", "env", "doctor"])
def test_colours_are_for_terminals(document: str, tmp_path: Path, words: str) -> None:
    """A terminal gets colours, and none under NO_COLOR."""
    command = [*words.split(), "--spec", document]
    assert COLOUR in on_a_terminal(*command, env=BARE, cwd=tmp_path)
    plain = on_a_terminal(*command, env={**BARE, "NO_COLOR": "1"}, cwd=tmp_path)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


@pytest.mark.parametrize(("columns", "shown"), [("120", 5), ("70", 3), ("42", 2)])
def test_a_narrow_terminal_keeps_what_people_copy(document: str, tmp_path: Path, columns: str, shown: int) -> None:
    """A name is never broken, no line is wider than the terminal, and what does not fit is left out by columns."""
    env = {**BARE, "COLUMNS": columns, "NO_COLOR": "1"}
    name = "get_a_name_that_is_thirty_long"
    document_file = Path(document)
    document_file.write_text(document_file.read_text().replace("listPets", name).replace("List", "List " + "many " * 9))
    text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal("tools", "--spec", document, env=env, cwd=tmp_path))
    table = [line.rstrip() for line in text.splitlines()]
    assert any(line.startswith(f" {name} ") for line in table)
    assert max(map(len, table)) <= int(columns)
    assert len(table[1].split()) == shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["tools", "schema listpets", "env", "doctor", "check", "tools --json", "docs", "serve"]
)
def test_a_document_cannot_write_to_the_terminal(run: Run, document: str, tmp_path: Path, words: str) -> None:
    """No control character of a document reaches a terminal, where it could rewrite what stands there."""
    command = [*words.split(), "--spec", document]
    shown = on_a_terminal(*command, env=BARE, cwd=tmp_path)
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert COLOUR not in run(*command).stdout


#: What may not reach a terminal: it clears the screen, reorders what is shown, or shows nothing.
RAW = {"escape": "\x1b[2J", "C1 control": "\x9b2J", "bidi": "\u202e", "zero-width": "\u200b", "tag": "\U000e0041"}

HIDING = "".join(RAW.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "tools --json",
        "schema x",
        "schema x --full",
        "check",
        "check --json",
        "call x",
        "call x q=1 --dry-run",
        "docs --html",
    ],
)
def test_no_raw_character_of_a_document_or_answer_reaches_a_terminal(
    tmp_path: Path, recorder: Recorder, words: str
) -> None:
    """Names, values and answers are shown with escapes instead of what a terminal interprets or does not show."""
    parameter = {"name": f"q{HIDING}", "in": "query", "schema": {"enum": ["1", HIDING], "default": HIDING}}
    described = {"operationId": "x", "summary": HIDING, "parameters": [parameter], "responses": {"200": {}}}
    servers = [{"url": recorder.url}]
    root = document_of({"/x": {"get": described}, f"/{HIDING}": {"get": 5}}, servers=servers)
    (tmp_path / "api.json").write_text(json.dumps(root))
    recorder.answer = (200, {"content-type": "application/json"}, '{"a": "\x9b2J\u202e\u200b", "b": 1}'.encode())
    shown = on_a_terminal(*words.split(), "--spec", "api.json", env=BARE, cwd=tmp_path)
    assert [kind for kind, raw in RAW.items() if raw in shown] == []
    if words == "call x":
        assert r'{"a": "\u009b2J\u202e\u200b", "b": 1}' in shown


def test_json_on_a_terminal_is_json(tmp_path: Path) -> None:
    """What is escaped for a terminal has the same value, and a pipe gets every character."""
    parameter = {"name": "q", "in": "query", "schema": {"default": f"é{HIDING}"}}
    described = {"operationId": "x", "parameters": [parameter], "responses": {"200": {}}}
    (tmp_path / "api.json").write_text(json.dumps(document_of({"/x": {"get": described}})))
    words = ("schema", "x", "--full", "--spec", "api.json")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(*words, env=BARE, cwd=tmp_path))
    piped = run_in(tmp_path, *words).stdout
    assert json.loads(shown[shown.index("{") :]) == json.loads(piped)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_examples_that_parse(run: Run, command: object) -> None:
    """`--help` of each command ends in examples, and each of them is a command line that is understood."""
    name = command.name  # type: ignore[attr-defined]
    done = run(name, "--help")
    assert done.returncode == 0
    examples = done.stdout.partition("examples:\n")[2].splitlines()
    assert examples
    for line in examples:
        program, *words = shlex.split(line.partition(" > ")[0])
        assert program == "portkey-bridge"
        assert build_parser().parse_args(words).command == name


def test_the_help_tells_the_exit_codes(run: Run) -> None:
    """The top-level help lists every command, and what the exit codes mean."""
    text = run("--help").stdout
    assert {command.name for command in COMMANDS} <= set(re.findall(r"^    (\w+)", text, re.MULTILINE))
    for code in (0, 1, 2, 130, 141):
        assert re.search(rf"\b{code}  \w", text.partition("exit codes:")[2])


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """Output into a pipe that nobody reads ends quietly, with the code that a shell gives for it."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "portkey_bridge", "docs"]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, env=BARE, cwd=tmp_path, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("command", ["tools", "docs", "schema"])
def test_an_output_without_room_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    """A full disk is something to mend, not a traceback."""
    words = [command, *(["listmodels"] if command == "schema" else [])]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "portkey_bridge", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=BARE,
            cwd=tmp_path,
            check=False,
        )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "No space left" in line] == [done.stderr.splitlines()[-1]]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    """Ctrl-C while serving ends with exit code 130 and no more words."""
    command = [sys.executable, "-m", "portkey_bridge"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=BARE, cwd=tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        child.stdin.flush()
        assert child.stdout.readline()  # so it serves
        child.send_signal(signal.SIGINT)
        _, words = child.communicate(timeout=60)
    assert child.returncode == 130
    assert len(words.splitlines()) == 1


#: Runs the program, and interrupts it when it imports the module that is named.
INTERRUPTED = """
import builtins, os, runpy, signal, sys
real, named = builtins.__import__, sys.argv.pop(1)

def interrupting(name, *rest, **more):
    if name == named:
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **more)

builtins.__import__ = interrupting
runpy.run_module("portkey_bridge", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize(
    "module", ["portkey_bridge.stdio.warm_start", "dotenv", "portkey_bridge.schema.shapes", "httpx"]
)
def test_an_interrupt_while_the_program_is_imported_is_quiet(tmp_path: Path, module: str) -> None:
    """Ctrl-C before anything runs ends the process without a word, with what a shell takes for 130."""
    command = [sys.executable, "-c", INTERRUPTED, module, "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=BARE, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


#: Waits for something until the terminal shows it: then rich keeps a thread that draws.
SLOW = """
import threading, time
from rich.live import _RefreshThread
from portkey_bridge.cli import terminal
terminal.EXPLAIN_AFTER = 0
with terminal.waiting("reading petstore.yaml"):
    while not any(isinstance(thread, _RefreshThread) for thread in threading.enumerate()):
        time.sleep(0.01)
print("done")
"""


def test_what_takes_long_is_told_on_a_terminal(tmp_path: Path) -> None:
    """Who waits for long sees for what, and the words are gone when it is there."""
    shown = on_a_terminal(env=BARE, cwd=tmp_path, command=[sys.executable, "-c", SLOW])
    assert "reading petstore.yaml" in shown
    assert shown.endswith("done\n")
    assert shown.count("\x1b[2K") >= 1


def test_results_go_to_stdout_and_words_to_stderr(run: Run, document: str) -> None:
    """What can be piped is on stdout alone: every line there is a result."""
    done = run("tools", "--spec", document)
    assert len(done.stdout.splitlines()) == 1
    assert "tools" in done.stderr

"""completion: the scripts, judged by the shells that they are for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portkey_bridge.cli.commands import COMMANDS
from portkey_bridge.settings.options import OPTIONS
from tests.conftest import BARE, Run

SHELLS = ("bash", "zsh", "fish")

NAMES = {command.name for command in COMMANDS}

#: What bash and fish are asked, as they would ask themselves when the key is pressed.
ASK = {
    "bash": """source {script}
set -- $(complete -p portkey-bridge); for word; do [ "$before" = -F ] && function=$word; before=$word; done
COMP_WORDS=(portkey-bridge {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="portkey-bridge {words}"
COMP_POINT=${{#COMP_LINE}}; $function portkey-bridge "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "fish": "source {script}; complete -C 'portkey-bridge {words}'",
}

OFFERED = [
    pytest.param("sc", {"schema"}, id="a command"),
    pytest.param("--base", {"--base-url"}, id="an option"),
    pytest.param("tools --gr", {"--grep"}, id="an option of a command"),
    pytest.param("completion z", {"zsh"}, id="a choice"),
    pytest.param("--spec pets.y", {"pets.yaml"}, id="a file"),
    pytest.param("schema listp", {"listpets"}, id="a tool"),
]


def script(run: Run, shell: str, folder: Path) -> Path:
    """Write the script of a shell, as a person would."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    file = folder / f"script.{shell}"
    file.write_text(run("completion", shell).stdout, encoding="utf-8")
    return file


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_understands_its_script(run: Run, tmp_path: Path, shell: str) -> None:
    """The script of each shell parses there."""
    file = script(run, shell, tmp_path)
    done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(run: Run, tmp_path: Path, shell: str) -> None:
    """No command and no option is left out."""
    text = script(run, shell, tmp_path).read_text(encoding="utf-8")
    flags = {option.flag for option in OPTIONS}
    assert {name for name in NAMES if name not in text} == set()
    assert {flag for flag in flags if flag.removeprefix("--") not in text} == set()


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_the_shell_offers(run: Run, tmp_path: Path, shell: str, words: str, offered: set[str]) -> None:
    """The key completes commands, options, choices, files, and the names of tools."""
    file = script(run, shell, tmp_path)
    (tmp_path / "pets.yaml").touch()
    program = tmp_path / "portkey-bridge"
    program.write_text("#!/bin/sh\nprintf 'listpets\\tGET\\ncreatepet\\tPOST\\n'\n", encoding="utf-8")
    program.chmod(0o755)
    question = ASK[shell].format(script=file, words=words)
    env = {**BARE, "PATH": f"{tmp_path}:{BARE['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([shell, "-c", question], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert {line.split("\t")[0].strip() for line in done.stdout.splitlines()} == offered, done.stderr


def test_an_unknown_shell_is_refused(run: Run) -> None:
    """Another shell is a mistake that names those that there are."""
    done = run("completion", "csh")
    assert done.returncode == 2
    assert "fish" in done.stderr


def test_without_its_extra_the_command_names_it() -> None:
    """Where shtab is not installed, one line says what to install, and the exit status is 2."""
    program = (
        "import sys; sys.modules['shtab'] = None\n"
        "from portkey_bridge.cli.main import main; sys.exit(main(['completion', 'bash']))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=BARE, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "portkey-bridge[completion]" in done.stderr
    assert len(done.stderr.splitlines()) == 1

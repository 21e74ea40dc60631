"""`portkey-bridge call`: what it sends, and that what `--dry-run` shows is the same request."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Recorded, Recorder, Run

KEYS = {"X_PORTKEY_API_KEY": "MARKER-of-the-key", "API_KEY": 'it\'s "quoted" $HOME'}

#: Words of a call. Between them they have a path, a query, headers, a JSON body and a multipart body.
CALLS = [
    pytest.param(["get_collections", "workspace_id=a b&c", "page_size=2"], id="query"),
    pytest.param(["getprompt", "promptId=a/b é"], id="path"),
    pytest.param(
        [
            "createchatcompletion",
            "model=gpt-4o",
            'messages=[{"role":"user","content":"it\'s --fine \\"here\\""}]',
            'x-portkey-metadata={"a":"é"}',
        ],
        id="JSON and headers",
    ),
]


def essence(request: Recorded) -> tuple[str, str, dict[str, str], bytes]:
    """Give what a request means, without the headers of the connection."""
    own = {"host", "connection", "accept-encoding", "content-length"}
    headers = {name.lower(): value for name, value in request.headers if name.lower() not in own}
    return request.method, request.target, headers, request.body


@pytest.mark.parametrize("words", CALLS)
def test_the_curl_command_is_the_request(run: Run, recorder: Recorder, words: list[str]) -> None:
    """What a person pastes into a shell arrives as the very request that the call itself sends, keys included."""
    shell = shutil.which("sh")
    if shell is None or shutil.which("curl") is None:
        pytest.skip("curl or a shell is not installed")
    env = {"OPEN_MCP_BASE_URL": recorder.url, **KEYS}
    assert run("call", *words, env=env).stdout == '{"ok": true}\n'
    shown = run("call", *words, "--dry-run", env=env).stdout
    assert not any(key in shown for key in KEYS.values())
    assert len(recorder.requests) == 1, "a dry run sends nothing"
    pasted = shown[shown.index("curl ") :]
    subprocess.run([shell, "-c", pasted], env={"PATH": "/usr/bin:/bin", **KEYS}, check=True, capture_output=True)
    sent, by_curl = recorder.requests
    assert essence(by_curl) == essence(sent)


def test_a_file_is_shown_and_sent(run: Run, recorder: Recorder, tmp_path: Path) -> None:
    """A multipart call sends the file, and its dry run names the parts and the file for curl."""
    (tmp_path / "a.mp3").write_bytes(b"sound")
    words = ["call", "createtranscription", "file=a.mp3", "model=whisper-1", "--files", str(tmp_path)]
    env = {"OPEN_MCP_BASE_URL": recorder.url, **KEYS}
    assert run(*words, env=env).returncode == 0
    assert b'filename="a.mp3"' in recorder.last.body
    assert b"sound" in recorder.last.body
    shown = run(*words, "--dry-run", env=env).stdout
    assert "<part file: <5 bytes of audio/mpeg from a.mp3>>" in shown
    assert f"--form 'file=@{tmp_path}/a.mp3;type=audio/mpeg'" in shown


@pytest.mark.parametrize("way", ["object", "file", "standard input"])
def test_arguments_come_in_several_ways(run: Run, recorder: Recorder, tmp_path: Path, way: str) -> None:
    """Arguments are a JSON object on the command line, in a file, or on standard input."""
    text = json.dumps({"workspace_id": "w", "page_size": 3})
    (tmp_path / "arguments.json").write_text(text)
    word = {"object": text, "file": "@arguments.json", "standard input": "-"}[way]
    env = {"OPEN_MCP_BASE_URL": recorder.url, **KEYS}
    assert run("call", "get_collections", word, env=env, stdin=text).returncode == 0
    assert recorder.last.target == "/collections?workspace_id=w&page_size=3"


WRONG = [
    pytest.param(["getpromt", "promptId=a"], 2, "the closest are getprompt", id="tool"),
    pytest.param(["getprompt", "promptId"], 2, "Give name=value", id="word"),
    pytest.param(["getprompt", "@missing.json"], 2, "missing.json: cannot be read", id="file"),
    pytest.param(["getprompt", "{broken"], 2, "does not parse as JSON", id="JSON"),
    pytest.param(["getprompt", "promptid=a"], 1, "did you mean promptId?", id="argument"),
]


@pytest.mark.parametrize(("words", "status", "said"), WRONG)
def test_what_is_wrong_is_said(run: Run, recorder: Recorder, words: list[str], status: int, said: str) -> None:
    """A slip is told on stderr with what to do; nothing is sent, and nothing is on stdout."""
    ran = run("call", *words, env={"OPEN_MCP_BASE_URL": recorder.url, **KEYS})
    assert (ran.returncode, ran.stdout, recorder.requests) == (status, "", [])
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr

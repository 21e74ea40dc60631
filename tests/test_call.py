"""`portkey-bridge call`: what it sends, and that what `--dry-run` shows is the same request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from portkey_bridge.cli.main import main
from tests.conftest import Recorded, Recorder, Run
from tests.support import document

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
    """Return what a request means, without the headers of the connection."""
    own = {"host", "connection", "accept-encoding", "content-length"}
    headers = {name.lower(): value for name, value in request.headers if name.lower() not in own}
    return request.method, request.target, headers, request.body


@pytest.mark.slow
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


def _body(media_type: str, schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema, **fields}}}}


TEXT, FILE = {"type": "string"}, {"type": "string", "format": "binary"}
PARTS = {"type": "object", "properties": {"f": FILE, "g": FILE, "t": TEXT, "o": {"type": "object"}, "a=b;c": TEXT}}

#: Operations whose requests are hard to say in a shell.
ODD: dict[str, dict[str, Any]] = {
    "places": {
        "parameters": [
            {"name": "q", "in": "query", "style": "deepObject", "explode": True, "schema": {"type": "object"}},
            {"name": "X-Empty", "in": "header", "schema": TEXT},
            {"name": "c", "in": "cookie", "schema": TEXT},
        ],
        "security": [{"basic": [], "cookie": [], "query": []}],
    },
    "text": _body("text/plain; charset=iso-8859-1", TEXT),
    "bytes": _body("application/octet-stream", FILE),
    "form": _body("application/x-www-form-urlencoded", {"type": "object", "properties": {"a": TEXT}}),
    "parts": _body("multipart/form-data", PARTS, encoding={"t": {"headers": {"X-K": {"schema": {"enum": ["v"]}}}}}),
}

SCHEMES = {
    "basic": {"type": "http", "scheme": "basic"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    "query": {"type": "apiKey", "in": "query", "name": "the key"},
}

#: Words of a call of each, in a folder with the file `a file.txt`.
ODD_CALLS = [
    pytest.param("places", {"q": {"a": "{x}"}, "X-Empty": "", "c": "é;"}, id="cookies"),
    pytest.param("places", {}, id="credentials"),
    pytest.param("text", {"body": "ü\n\"'$HOME`"}, id="not UTF-8"),
    pytest.param("bytes", {"body": "data:,%00%FF\r\n"}, id="bytes"),
    pytest.param("bytes", {"body": "data:,"}, id="empty"),
    pytest.param("bytes", {"body": "a file.txt"}, id="file"),
    pytest.param("form", {}, id="empty form"),
    pytest.param("form", {"a": "@x"}, id="form"),
    pytest.param("parts", {}, id="no parts"),
    pytest.param("parts", {"f": "a file.txt", "o": {"é": '"'}}, id="parts"),
    pytest.param("parts", {"f": "data:,%00", "g": "a file.txt", "t": "@x\r\n", "a_b_c": "y"}, id="odd parts"),
]


@pytest.mark.parametrize(("name", "arguments"), ODD_CALLS)
def test_a_curl_command_sends_the_same_bytes(
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    arguments: dict[str, Any],
) -> None:
    """Files, bytes, cookies, credentials and bodies of nothing arrive from a shell as from the call, to the byte."""
    shell = shutil.which("sh")
    if shell is None or shutil.which("curl") is None:
        pytest.skip("curl or a shell is not installed")
    paths = {f"/{key}": {"post": {"operationId": key, "responses": {}, **fields}} for key, fields in ODD.items()}
    root = document(paths, components={"securitySchemes": SCHEMES})
    (tmp_path / "odd.json").write_text(json.dumps(root), encoding="utf-8")
    (tmp_path / "a file.txt").write_bytes(b"text\r\n")
    keys = {"BASIC_AUTH": f"user:{'long' * 20}", "SESSION": "s-1", "THE_KEY": "a+b&c=%41é/'\"$HOME"}
    monkeypatch.chdir(tmp_path)
    for variable, value in {"OPEN_MCP_BASE_URL": recorder.url, **keys}.items():
        monkeypatch.setenv(variable, value)
    words = ["call", name, json.dumps(arguments), "--spec", "odd.json", "--files", str(tmp_path)]
    assert (main([*words, "--dry-run"]), recorder.requests) == (0, [])
    shown = capsys.readouterr().out
    assert main(words) == 0
    assert not any(key in shown for key in keys.values())
    pasted = re.search("^(curl|{) .*", shown, re.MULTILINE | re.DOTALL)
    assert pasted is not None
    subprocess.run([shell, "-c", pasted[0]], env={"PATH": "/usr/bin:/bin", **keys}, check=True, capture_output=True)
    sent, by_curl = map(essence, recorder.requests)
    assert without_boundary(by_curl) == without_boundary(sent)


def without_boundary(sent: tuple[str, str, dict[str, str], bytes]) -> tuple[str, str, dict[str, str], bytes]:
    """Return a request with one boundary for all, and escapes in one case (RFC 3986 section 2.1)."""
    method, target, headers, body = sent
    target = re.sub(r"%[0-9a-f]{2}", lambda escape: escape[0].upper(), target)
    content_type, _, boundary = headers.get("content-type", "").partition("boundary=")
    return method, target, headers | {"content-type": content_type}, body.replace((boundary or "-").encode(), b"-")


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
    pytest.param(["getprompt", "promptId"], 2, "use name=value", id="word"),
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


@pytest.mark.slow
def test_no_command_shows_the_login_or_query_of_a_url(run: Run, tmp_path: Path) -> None:
    """The login and the query of a base URL, a server and a document's URL are in no output, an error included."""
    path = {"servers": [{"url": "http://me:log-in-1234@127.0.0.1:9/"}], "get": {"operationId": "op", "responses": {}}}
    (tmp_path / "api.json").write_text(json.dumps(document({"/x": path})))
    base = ["--base-url", "http://me:log-in-1234@127.0.0.1:9/v1?code=log-in-1234"]
    for words in (
        ["call", "op", "--dry-run", "--spec", "api.json", *base],
        ["call", "op", "--dry-run", "--spec", "api.json"],
        ["call", "op", "--spec", "api.json", *base],
        ["call", "servers_x", "--path-item-tools", "--spec", "api.json", *base],
        ["call", "servers_x", "--path-item-tools", "--spec", "api.json"],
        ["doctor", "--spec", "api.json", *base],
        ["doctor", "--spec", "http://me:log-in-1234@127.0.0.1:9/api.json?code=log-in-1234"],
        ["tools", "--spec", "api.json", "--base-url", "ftp://me:log-in-1234@127.0.0.1"],
        ["tools", "--spec", "api.json", "--base-url", "me:log-in-1234@127.0.0.1"],
        ["add", "cursor", "--dry-run", "--spec", "http://me:log-in-1234@127.0.0.1:9/", *base],
    ):
        done = run(*words)
        assert done.stdout + done.stderr
        assert "log-in-1234" not in done.stdout + done.stderr, words
        assert "bWU6bG9nLWluLTEyMzQ" not in done.stdout + done.stderr, words

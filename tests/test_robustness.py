"""Circumstances that a program cannot choose: pipes that nobody reads, full disks, closed streams, endless answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastmcp.client.client import CallToolResult

from portkey_bridge.credentials import logins
from portkey_bridge.credentials.logins import Login
from portkey_bridge.credentials.renewal import Expiring
from portkey_bridge.errors import SettingsError
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.render import write_file
from tests.conftest import BARE, Connect, Recorder, Run, program, text_of
from tests.support import document

resource = pytest.importorskip("resource", reason="limits and pipes of POSIX")

OK = {"200": {"description": "OK"}}


def save(folder: Path, paths: dict[str, Any], **fields: Any) -> str:
    """Write a document of these paths, and return its path."""
    file = folder / "api.json"
    file.write_text(json.dumps(document(paths, **fields)))
    return str(file)


@pytest.fixture
def unread() -> Iterator[int]:
    """Return the writing end of a pipe that takes little, and that nobody ever reads."""
    fcntl = pytest.importorskip("fcntl")
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.mark.slow
def test_a_log_that_nobody_reads_blocks_nothing(tmp_path: Path, unread: int) -> None:
    """A client that never drains stderr gets every answer, although each call is logged and much is left out."""
    paths: dict[str, Any] = {f"/broken/{number}": {"get": {"parameters": number}} for number in range(300)}
    paths["/x"] = {"get": {"operationId": "x", "responses": OK}}
    spec = save(tmp_path, paths, servers=[{"url": "http://127.0.0.1:9"}])
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}]
    call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "x", "arguments": {}}}
    lines += [{**call, "id": number} for number in range(1, 300)]
    done = subprocess.run(
        program("--spec", spec, "--verbose", "--retries", "0", env=BARE),
        input="\n".join(map(json.dumps, lines)).encode(),
        stdout=subprocess.PIPE,
        stderr=unread,
        env=BARE,
        cwd=tmp_path,
        timeout=120,
        check=True,
    )
    assert sorted(json.loads(line)["id"] for line in done.stdout.splitlines()) == list(range(300))


def test_what_is_left_out_is_summed_up(run: Run, tmp_path: Path) -> None:
    """A thousand operations that cannot be served for one reason are one warning, with three of them and a number."""
    paths = {f"/x/{number}": {"get": 5} for number in range(1000)}
    told = run("tools", "--spec", save(tmp_path, paths)).stderr
    assert "GET /x/0, GET /x/1, GET /x/2 and 997 more are not served" in told
    assert len(told.splitlines()) < 5


#: How the streams of the program are, by what a shell calls it, and the only line that is printed.
STREAMS = {
    "tools >&-": (2, "standard output is closed"),
    ">&-": (2, "standard output is closed"),
    "<&-": (2, "standard input is closed"),
    "check - <&-": (2, "standard input: is closed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", STREAMS)
def test_a_closed_stream_is_explained_in_one_line(tmp_path: Path, words: str) -> None:
    """A program that is started without stdin or stdout says so, if it needs it, in one line."""
    status, told = STREAMS[words]
    done = shell(words, tmp_path)
    (line,) = done.stderr.splitlines()
    assert told in line
    assert (done.returncode, done.stdout) == (status, "")


@pytest.mark.slow
@pytest.mark.parametrize("words", ["tools <&-", "tools 2>&-", "tools <&- 2>&-", "--version 2>&-"])
def test_a_closed_stream_that_is_not_needed_is_no_error(tmp_path: Path, words: str) -> None:
    """A command that prints something does so without stdin and stderr, and nothing else gets into it."""
    done = shell(words, tmp_path)
    assert done.returncode == 0
    assert done.stdout == shell(words.partition(" ")[0], tmp_path).stdout


def shell(words: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the program by a shell."""
    command = f'exec "{sys.executable}" -m portkey_bridge {words}'
    environ = {**BARE, **env}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_character_that_the_output_cannot_have_is_explained(tmp_path: Path) -> None:
    """In a terminal or pipe of ASCII, a name of another script ends the output with one line that says what helps."""
    spec = save(tmp_path, {"/x": {"get": {"summary": "Zürich", "responses": OK}}})
    done = shell(f"tools --spec {spec}", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "'\\xfc' cannot be written in ascii; set PYTHONIOENCODING=utf-8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["config init mine.toml", "add cursor"])
def test_a_command_that_cannot_write_its_file_leaves_none(tmp_path: Path, words: str) -> None:
    """Where no file can grow, as on a full disk, a command says so and leaves no part of its file behind."""
    command = f'ulimit -f 0; trap "" XFSZ; exec "{sys.executable}" -m portkey_bridge {words}'
    env = {**BARE, "HOME": str(tmp_path / "home"), "OPEN_MCP_CACHE": "0"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("words", ["tools", "", "doctor", "list"])
def test_a_deleted_working_directory_is_explained(tmp_path: Path, words: str) -> None:
    """In a folder that was deleted the program says so in one line."""
    folder = tmp_path / "gone"
    folder.mkdir()
    command = f'cd "{folder}" && rmdir "{folder}" && exec "{sys.executable}" -m portkey_bridge {words} </dev/null'
    done = subprocess.run(["/bin/sh", "-c", command], env=BARE, capture_output=True, text=True, timeout=60, check=False)
    (line,) = done.stderr.splitlines()
    assert "the working directory cannot be used" in line
    assert done.returncode == 2


def answer_named(name: str, body: bytes = b"body") -> Answer:
    return Answer(200, "OK", httpx.Headers({"content-disposition": f"attachment; filename*=UTF-8''{name}"}), body)


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    """An answer that does not fit on the disk leaves no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="large"):
            write_file(tmp_path, answer_named("a.txt", b"x" * 100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*tmp_path.iterdir()] == []


#: Starts a command for which files may have so few bytes.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from portkey_bridge.__main__ import entry_point
entry_point()
"""


def test_a_full_disk_costs_a_download_alone(recorder: Recorder, tmp_path: Path) -> None:
    """The answer that cannot be written is said in one line that names the folder and what to do."""
    recorder.answer = 200, {"content-type": "application/octet-stream"}, b"\x89" * 3_000_000
    spec, files = tmp_path / "api.json", tmp_path / "files"
    spec.write_text(json.dumps(document({"/f": {"get": {"operationId": "f", "responses": {"200": {}}}}})))
    files.mkdir()
    words = ["call", "f", "--spec", str(spec), "--files", str(files), "--base-url", recorder.url]
    command = [sys.executable, "-c", LIMITED, *words]
    done = subprocess.run(command, env=BARE, capture_output=True, text=True, timeout=120, check=False)
    assert "could not be written" in done.stdout
    assert "Make room there, or correct OPEN_MCP_FILES." in done.stdout
    assert "Traceback" not in done.stderr
    assert [*files.iterdir()] == []


def test_a_full_disk_does_not_pretend_to_keep_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that cannot be written is said, with its file, and leaves no other file."""
    monkeypatch.setattr(logins, "user_data_path", lambda _: tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        with pytest.raises(SettingsError, match=r"the login cannot be kept \(File too large\)\. Make room there"):
            logins.save_login("things", Login(Expiring("x" * 100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


@pytest.mark.parametrize("name", ["%F0%9F%98%80" * 99 + ".txt", "a." + "%C3%A9" * 99, "a" * 999, "%E2%82%AC" * 99])
def test_a_long_file_name_is_cut_to_what_file_systems_take(tmp_path: Path, name: str) -> None:
    """A file is written whatever its name, in at most 255 bytes, and a short suffix stays."""
    path = write_file(tmp_path, answer_named(name))
    assert path.read_bytes() == b"body"
    assert len(path.name.encode()) <= 255
    assert path.suffix == (".txt" if name.endswith(".txt") else path.suffix)


#: Streams without an end: media type and pieces, and whether their kind has an end.
WATCHES = {
    "events": ("text/event-stream", [b"data: 1\n\n", b"data: 2\n\n"], False),
    "lines": ("application/x-ndjson", [b'{"a":1}\n', b'{"a":2}\n'], False),
    "undeclared lines": ("application/json", [b'{"a":1}\n', b'{"a":2}\n'], False),
    "nothing": ("text/event-stream", [], False),
    "completion": (
        "text/event-stream",
        [b'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'],
        True,
    ),
}


@asynccontextmanager
async def watching(media_type: str, pieces: list[bytes]) -> AsyncIterator[str]:
    """Return the URL of a server that sends the pieces, and keeps the connection open."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n\r\n".encode())
            for piece in pieces:
                await writer.drain()
                await asyncio.sleep(0.05)  # so that each piece arrives on its own
                writer.write(piece)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1")
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", WATCHES)
async def test_an_endless_stream_is_what_came_so_far(connect: Connect, tmp_path: Path, name: str) -> None:
    """A watch that reaches the time limit is a result with its events and progress; a cut completion is an error."""
    media_type, pieces, has_end = WATCHES[name]
    spec = save(tmp_path, {"/x": {"get": {"operationId": "x", "responses": OK}}})
    reported = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with (
        watching(media_type, pieces) as url,
        connect("--spec", spec, "--base-url", url, "--timeouts", "9,9,3") as client,
    ):
        result: CallToolResult = await client.call_tool("x", {}, raise_on_error=False, progress_handler=note)
    assert result.is_error == has_end
    assert ("still open" in text_of(result)) == (not has_end)
    first = text_of(result).splitlines()[0].replace(" ", "")
    if not has_end:
        assert json.loads(first) == ([{"a": 1}, {"a": 2}] if "lines" in name else [1, 2][: len(pieces)])
        assert len(reported) == (1 if "undeclared" in name else len(pieces))

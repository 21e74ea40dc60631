"""A session that starts from the cache: every byte is the one that the server sends, or the server sends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from portkey_bridge.document import cache
from portkey_bridge.stdio.recorder import TICK, Recorder
from portkey_bridge.stdio.session_requests import Ambiguous, Request, Session
from tests.conftest import BARE, program
from tests.conftest import Recorder as Requests
from tests.support import document

#: Answers out of the cache with nothing behind it: no server is there, and what is for one goes to stderr.
WITHOUT_A_SERVER = """
import os, sys, threading
sys.path[0] = os.getcwd()  # as the server's is, which runs as a module
from portkey_bridge.stdio.warm_start import warm_start
started = warm_start(sys.argv[1:])
for thread in threading.enumerate():
    if thread.name == "replay":
        thread.join()
sys.stderr.buffer.write(started.hand_over()[0])
"""

#: The program that imports the server after it has begun to answer. A forked one has the server when it begins.
STARTING = [sys.executable, "-m", "portkey_bridge"]

Lines = list[dict[str, Any]]


def initialize(version: str = "2025-06-18", number: Any = 1, name: str = "test") -> dict[str, Any]:
    """Return the request that begins a session."""
    client = {"name": name, "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}


def request(method: str, number: Any = 2, **params: Any) -> dict[str, Any]:
    """Return a request; without parameters, it has no `params`."""
    return {"jsonrpc": "2.0", "id": number, "method": method, **({"params": params} if params else {})}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
OPENING = [initialize(), INITIALIZED, request("tools/list")]

CALL = request("tools/call", 9, name="expandSchema", arguments={"toolName": "get_x", "jsonPointers": [""]})


class Talk:
    """The program in a folder of its own, with a cache of its own, and a client that sees every byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**BARE, "XDG_CACHE_HOME": str(folder / "cache")}
        self.stderr = ""
        self.spec = folder / "api.json"
        self.named = "api.json"
        self.write("first")

    def write(self, summary: str) -> None:
        """Write the document."""
        paths = {
            "/x": {"get": {"summary": summary, "responses": {}}},
            "/y/{id}": {
                "servers": [{"url": "http://127.0.0.1:9"}],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"$ref": "other.json"}}],
                "get": {"responses": {}},
                "delete": {"responses": {}},
            },
            "/broken": {"get": {"parameters": [{"name": "q", "in": "nowhere"}], "responses": {}}},
        }
        self.spec.write_text(json.dumps(document(paths)))
        (self.folder / "other.json").write_text('{"type": "string", "description": "third"}')

    def start(self, *options: str, command: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a command, or else the program."""
        pipe = subprocess.PIPE
        words = [*(command or program(env=self.env)), "--spec", self.named, *options]
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=self.env, cwd=self.folder, bufsize=0)

    def say(self, messages: Sequence[Any], *options: str, command: Sequence[str] = ()) -> list[bytes]:
        """Send one message after the other, each when the one before was answered, and give the answers."""
        with self.start(*options, command=command) as process:
            assert process.stdin
            assert process.stdout
            answers = []
            for message in messages:
                process.stdin.write(json.dumps(message).encode() + b"\n")
                if "id" in message:
                    answers.append(process.stdout.readline())
            process.stdin.close()
            assert process.stdout.read() == b""
            assert process.stderr
            self.stderr = process.stderr.read().decode()
        return answers

    def pour(self, content: bytes, answers: int, pieces: int = 0, *, command: Sequence[str] = ()) -> list[bytes]:
        """Send everything at once, or in pieces of some bytes, and give the answers in the order of their ids."""
        with self.start(command=command) as process:
            assert process.stdin
            assert process.stdout
            for at in range(0, len(content), pieces or len(content)):
                process.stdin.write(content[at : at + (pieces or len(content))])
            lines = [process.stdout.readline() for _ in range(answers)]
            process.stdin.close()
            assert process.stdout.read() == b""
        return sorted(lines, key=lambda line: json.dumps(json.loads(line).get("id")))

    def entries(self) -> list[Path]:
        """Return what is in the cache."""
        return [*(self.folder / "cache").rglob("answers-*")]


def _compound(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(["jsonrpc", "id", "method", "params", "initialize", "clientInfo"])
    return st.lists(values) | st.dictionaries(keys, values)


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Return a program that was never started before."""
    return Talk(tmp_path)


#: Leaves only descriptors above 1,024 to what follows.
MANY_DESCRIPTORS = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
for _ in range(1100):
    os.open(os.devnull, os.O_RDONLY)
"""


def without_a_server(talk: Talk, messages: Sequence[Any], *options: str, before: str = "") -> list[bytes]:
    """Return what is answered out of the cache alone; a call, which needs a server, ends it."""
    with talk.start(*options, command=[sys.executable, "-c", before + WITHOUT_A_SERVER]) as process:
        content = b"".join(json.dumps(message).encode() + b"\n" for message in [*messages, CALL])
        answers, handed_over = process.communicate(content, timeout=60)
    assert handed_over.splitlines()[-1:] in ([json.dumps(CALL).encode()], [])
    return answers.splitlines(keepends=True)


def enveloped(version: str) -> list[dict[str, Any]]:
    """Return the requests of a session without a handshake: each says by itself who asks."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return [request("server/discover", 1, _meta=meta), request("tools/list", 2, _meta=meta)]


SESSIONS = [
    *(
        pytest.param([initialize(version), INITIALIZED, request("tools/list")], marks=pytest.mark.slow)
        for version in HANDSHAKE_PROTOCOL_VERSIONS[:-1]
    ),
    [initialize(HANDSHAKE_PROTOCOL_VERSIONS[-1]), INITIALIZED, request("tools/list")],
    *(enveloped(version) for version in MODERN_PROTOCOL_VERSIONS),
    [initialize("1999-01-01"), INITIALIZED, request("tools/list")],
    [initialize(), request("prompts/list", "a"), request("resources/list", "b"), request("tools/list", "c")],
    [initialize(), INITIALIZED, request("ping", 7), request("resources/templates/list", 8), request("tools/list", 9)],
]


@pytest.mark.slow
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: f"{json.dumps(session[0])[40:120]}…{len(session)}")
def test_the_cache_says_what_the_server_says(talk: Talk, session: Lines) -> None:
    """Every byte is the same from the server, from the cache with a server behind it, and from the cache alone."""
    first = talk.say(session)
    assert all(json.loads(line)["result"] is not None for line in first)
    assert talk.say(session, command=STARTING) == first
    assert without_a_server(talk, session) == first


OPTIONS = [
    ["--discover"],
    ["--path-item-tools", "--tools", "get_*", "--read-only"],
    ["--schema-budget", "full", "--exclude", "get_x"],
]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize(
    "session",
    [
        pytest.param(OPENING, id="handshake"),
        pytest.param(enveloped(MODERN_PROTOCOL_VERSIONS[-1]), id="envelope"),
    ],
)
def test_the_cache_says_it_for_every_choice(talk: Talk, session: Lines, options: list[str]) -> None:
    """Each command line has its own answers, and a start says the same to the person whoever answers the client."""
    first = talk.say(session, *options)
    said = talk.stderr
    assert without_a_server(talk, session, *options) == first
    assert talk.say(session, *options, command=STARTING) == first
    assert talk.stderr == said
    assert "GET /broken" in said
    assert without_a_server(talk, session) == []


def test_another_client_gets_the_same(talk: Talk) -> None:
    """Ids and the client's name differ from one session to the next, and nothing else in the answers."""
    first = talk.say(OPENING)
    again = without_a_server(talk, [initialize(number="x-1", name="other"), INITIALIZED, request("tools/list", 77)])
    assert [json.loads(line)["id"] for line in again] == ["x-1", 77]
    assert [json.loads(line)["result"] for line in again] == [json.loads(line)["result"] for line in first]


@pytest.mark.slow
def test_a_session_goes_on_behind_its_opening(talk: Talk) -> None:
    """What only the server can answer is answered in the session that the cache opened."""
    plain = talk.say([*OPENING, CALL, request("ping", 10)])
    assert talk.say([*OPENING, CALL, request("ping", 10)], command=STARTING) == plain
    assert json.loads(plain[2])["result"]["isError"] is False


#: What takes longer to import than all the rest.
SLOW = {"fastmcp", "mcp", "mcp_types"}


def imported(stderr: str) -> set[str]:
    """Return the packages of which Python has told that they were imported (PYTHONPROFILEIMPORTTIME)."""
    lines = (line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:"))
    return {line.partition(".")[0] for line in lines}


def test_plain_calls_need_no_fastmcp(talk: Talk, recorder: Requests) -> None:
    """By the answer to a call neither FastMCP nor the SDK was imported, after a cold start and after a cached one."""
    recorder.answer = 200, {"content-type": "application/json"}, b"{}"
    talk.env["PYTHONPROFILEIMPORTTIME"] = "1"
    into_a_file = ["sh", "-c", 'exec "$@" 2>imports', "sh", *STARTING]
    call = request("tools/call", 3, name="get_x", arguments={})
    for _ in range(2):
        answers = talk.say([*OPENING, call, CALL], "--base-url", recorder.url, command=into_a_file)
        assert json.loads(answers[2])["result"]["isError"] is False
        found = imported((talk.folder / "imports").read_text())
        assert {"httpx", "pydantic_core"} <= found
        assert found & SLOW == set()
        assert talk.entries()
    assert [each.target for each in recorder.requests] == ["/x", "/x"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "messages"),
    [([], [*OPENING, CALL]), (["--confirm", "delete*"], OPENING)],
    ids=["behind a call", "where tools may ask"],
)
def test_the_server_is_there_before_it_is_needed(talk: Talk, options: list[str], messages: Lines) -> None:
    """FastMCP is imported behind the first call, and behind the opening where only its server can make some calls."""
    talk.env["PYTHONPROFILEIMPORTTIME"] = "1"
    with talk.start(*options, command=STARTING) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        while not imported(process.stderr.readline().decode()) & SLOW:
            assert process.poll() is None
        process.stdin.close()
        process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_call_does_not_wait_for_what_only_the_server_answers(talk: Talk, is_cached: bool) -> None:
    """A call behind a request for FastMCP's server is answered first. When the input ends meanwhile, both are."""
    if is_cached:
        talk.say(OPENING)
    unknown = request("tools/call", 8, name="no_such", arguments={})
    content = b"".join(json.dumps(message).encode() + b"\n" for message in [*OPENING, unknown, CALL])
    with talk.start(command=STARTING) as process:
        lines = process.communicate(content, timeout=120)[0].splitlines()
    answers = {line["id"]: line["result"] for line in map(json.loads, lines)}
    assert [*answers] == [1, 2, 9, 8]
    assert "Unknown tool: 'no_such'" in answers[8]["content"][0]["text"]
    assert answers[9]["isError"] is False


def test_the_cache_answers_under_any_descriptor(talk: Talk) -> None:
    """A client may hand on many open files; the answers are the same."""
    first = talk.say(OPENING)
    assert without_a_server(talk, OPENING, before=MANY_DESCRIPTORS) == first


@pytest.mark.parametrize("pieces", [0, *(pytest.param(pieces, marks=pytest.mark.slow) for pieces in (1, 7))])
def test_lines_may_come_at_any_time(talk: Talk, pieces: int) -> None:
    """Sent at once, or byte by byte, all is answered once, as by the server alone."""
    messages = [*OPENING, CALL, request("ping", 10), request("tools/list", 11)]
    content = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    assert not talk.entries()
    first = talk.pour(content, 5)
    talk.say(OPENING)
    assert talk.entries()
    assert talk.pour(content, 5, pieces, command=STARTING) == first


#: What leaves doubt, and the number of answers that the server gives to all of it.
DOUBTFUL = {
    "no JSON": [b"nonsense", *OPENING],
    "empty line": [b"", *OPENING],
    "twice the same key": [b'{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}', *OPENING],
    "not a number": [
        initialize(),
        b'{"jsonrpc":"2.0","id":5,"method":"ping","params":{"x":NaN}}',
        request("tools/list"),
    ],
    "second beginning": [*OPENING, initialize(number=3), request("tools/list", 4)],
    "list first": [request("tools/list", 5), *OPENING],
    "escaped id": [initialize(number='"\\'), INITIALIZED, request("tools/list")],
    "broken id": [initialize(), INITIALIZED, request("tools/list", 1.5), request("tools/list")],
    "no object": [b"[1, 2]", *OPENING],
    "other version": [{**initialize(), "jsonrpc": "1.0"}, *OPENING],
    "half a character": [b'\xff{"jsonrpc":"2.0"', *OPENING],
    "lost notification": [INITIALIZED, *OPENING],
    "called before": [CALL, *OPENING],
    "two of one id": [initialize(), INITIALIZED, request("tools/list", 1), request("ping", 1)],
    "long id": [initialize(number="x" * 300), INITIALIZED, request("tools/list", "y" * 300)],
    "id with a comma": [initialize(number="a,b"), INITIALIZED, request("tools/list", ",")],
    "id of digits": [initialize(number="7"), INITIALIZED, request("tools/list", 7)],
    "byte order mark": [b"\xef\xbb\xbf" + json.dumps(initialize()).encode(), *OPENING],
    "method of another kind": [*OPENING[:2], {**request("x", 4), "method": ["x"]}, request("tools/list", 5)],
    "request and answer": [{**initialize(), "result": {}}, initialize(number=3), request("tools/list", 4)],
    "null parameters": [*OPENING[:2], {**request("tools/list", 4), "params": None}, request("tools/list", 5)],
    "deep": [
        *OPENING[:2],
        b'{"jsonrpc":"2.0","id":4,"method":"ping","params":{"x":' + b"[" * 980 + b"]" * 980 + b"}}",
        request("tools/list", 5),
    ],
    "long line": [initialize(name="x" * 2_000_000), INITIALIZED, request("tools/list")],
}

#: What is tested always.
USUAL = ("two of one id",)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(messages, id=name, marks=[] if name in USUAL else pytest.mark.slow)
        for name, messages in DOUBTFUL.items()
    ],
)
def test_nonsense_is_for_the_server(talk: Talk, messages: Sequence[Any]) -> None:
    """What a client should never send is answered as by the server alone, and nothing is answered twice."""
    content = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in messages)
    content += json.dumps(request("ping", "end")).encode() + b"\n"
    plain = _until_the_end(talk, content)
    talk.say(OPENING)
    assert talk.entries()
    assert _until_the_end(talk, content, STARTING) == plain


def _until_the_end(talk: Talk, content: bytes, command: Sequence[str] = ()) -> list[bytes]:
    """Send all, and give the lines up to the answer to the last request, in an order that does not depend on time."""
    with talk.start(command=command) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(content)
        lines: list[bytes] = []
        while not lines or b'"end"' not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1]
        process.stdin.close()
        lines += process.stdout.readlines()
    return sorted(lines)


def _edit(talk: Talk) -> None:
    talk.write("second")


def _other_file(talk: Talk) -> None:
    (talk.folder / "other.json").write_text('{"type": "string", "description": "fourth"}')


def _link(talk: Talk) -> None:
    (talk.folder / "second").mkdir()
    (talk.folder / "second" / "other.json").write_text('{"type": "integer"}')
    talk.spec.rename(talk.folder / "second" / "api.json")
    talk.spec.symlink_to(talk.folder / "second" / "api.json")


def _home(talk: Talk) -> None:
    talk.env["HOME"] = str(talk.folder)


def _unusable_credential(talk: Talk) -> None:
    talk.env["API_KEY"] = "two\nlines"


def _search_path(talk: Talk) -> None:
    talk.env["PYTHONPATH"] += os.pathsep + str(talk.folder)


def _dotenv(talk: Talk) -> None:
    (talk.folder / ".env").write_text("OPEN_MCP_PATH_ITEM_TOOLS=1\n")


def _variable(talk: Talk) -> None:
    talk.env["OPEN_MCP_PATH_ITEM_TOOLS"] = "1"


def _package(talk: Talk) -> None:
    folder = talk.folder / "packages"
    (folder / "mcp-99.dist-info").mkdir(parents=True)
    talk.env["PYTHONPATH"] += os.pathsep + str(folder)


def _damage(talk: Talk) -> None:
    for entry in talk.entries():
        entry.write_bytes(entry.read_bytes()[:-1])


CHANGES = [
    *(_edit, _other_file, _link, _dotenv, _variable, _home, _unusable_credential, _damage),
    *(pytest.param(change, marks=pytest.mark.slow) for change in (_search_path, _package)),
]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_nothing_old_is_taken_for_new(talk: Talk, change: Any) -> None:
    """After a change of a document or of where it lies, of a setting, a package or the entry, the server answers."""
    talk.say(OPENING)
    assert without_a_server(talk, OPENING)
    change(talk)
    assert without_a_server(talk, OPENING) == []
    listed = talk.say(OPENING)
    assert without_a_server(talk, OPENING) == listed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--retries", "5"], {}),
        (["--verbose", "--timeouts=1,2,3", "--concurrency", "1"], {}),
        ([], {"OPEN_MCP_RETRIES": "1", "OPEN_MCP_VALIDATE_RESPONSES": "yes"}),
    ],
)
def test_an_option_that_changes_no_answer_keeps_them(talk: Talk, options: list[str], env: dict[str, str]) -> None:
    """What an option does not affect is still answered from the cache after it has changed."""
    listed = talk.say(OPENING)
    talk.env |= env
    assert without_a_server(talk, OPENING, *options) == listed


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--retries", "many"], ["--concurrency=0"], ["--timeouts", "1"]])
def test_an_option_that_is_refused_is_not_answered(talk: Talk, options: list[str]) -> None:
    """A value that the server refuses reaches it, so that the person learns of it."""
    talk.say(OPENING)
    assert without_a_server(talk, OPENING, *options) == []


@pytest.mark.slow
def test_every_client_gets_the_answers_of_another(talk: Talk) -> None:
    """No answer depends on the name of a client or on what it can do, so the cache answers whoever comes first."""
    opening = initialize(name="other")
    about = {"name": "other", "version": "2", "title": "Other", "websiteUrl": "https://example.com"}
    able = {"roots": {"listChanged": True}, "elicitation": {"form": {}}, "extensions": {"x/y": {"types": ["a"]}}}
    opening["params"] |= {"clientInfo": about, "capabilities": able}
    listed = talk.say(OPENING)
    assert talk.say([opening, INITIALIZED, request("tools/list")], "--no-cache") == listed
    assert without_a_server(talk, [opening, INITIALIZED, request("tools/list")]) == listed


@pytest.mark.slow
def test_the_folder_of_a_start_decides_only_if_something_depends_on_it(talk: Talk, tmp_path: Path) -> None:
    """A client that starts the server in another folder gets the same answers, unless a `.env` is there."""
    command = [shutil.which("portkey-bridge", path=str(Path(sys.executable).parent)) or ""]
    talk.named = str(talk.spec)
    listed = talk.say(OPENING, command=command)
    entries = talk.entries()
    talk.folder = tmp_path / "there"
    talk.folder.mkdir()
    assert talk.say(OPENING, command=command) == listed
    assert [*(tmp_path / "cache").rglob("answers-*")] == entries
    (talk.folder / ".env").write_text("OPEN_MCP_PATH_ITEM_TOOLS=1\n")
    assert talk.say(OPENING, command=command) != listed
    assert len([*(tmp_path / "cache").rglob("answers-*")]) == len(entries) + 1


@pytest.mark.slow
def test_an_overlay_is_that_of_the_folder_of_the_start(talk: Talk, tmp_path: Path) -> None:
    """The same command line in another folder names another file."""
    talk.named = str(talk.spec)
    for number, folder in enumerate((tmp_path / "here", tmp_path / "there")):
        folder.mkdir()
        action = {"target": "$.paths['/x'].get", "update": {"summary": f"overlaid {number}"}}
        overlay = {"overlay": "1.0.0", "info": {"title": "T", "version": "1"}, "actions": [action]}
        (folder / "o.json").write_text(json.dumps(overlay))
    command = [shutil.which("portkey-bridge", path=str(Path(sys.executable).parent)) or ""]
    for number, folder in enumerate((tmp_path / "here", tmp_path / "there")):
        talk.folder = folder
        assert f"overlaid {number}".encode() in talk.say(OPENING, "--overlays", "o.json", command=command)[1]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[serve]\ndiscover = '$WHICH'\n", "[api.a.operations]\nget_x.title = '$WHICH'\n"])
def test_a_settings_file_that_other_variables_decide_is_not_kept(talk: Talk, text: str) -> None:
    """Wherever it refers to them, except to assign them to an API."""
    (talk.folder / "s.toml").write_text(f"[api.a]\nenv = {{ A = '$B' }}\n{text}")
    talk.env["WHICH"] = "1"
    talk.say(OPENING, "--config", "s.toml")
    assert talk.entries() == []
    (talk.folder / "s.toml").write_text("[api.a]\nenv = { A = '$B' }\n")
    talk.say(OPENING, "--config", "s.toml")
    assert talk.entries()


@pytest.mark.slow
def test_an_edited_document_is_listed_as_it_is_now(talk: Talk) -> None:
    """The tools are those of the document at this start."""
    assert b"first" in talk.say(OPENING)[1]
    talk.write("second")
    assert b"second" in talk.say(OPENING, command=STARTING)[1]


@pytest.mark.slow
def test_without_a_place_to_keep_anything_it_serves_all_the_same(talk: Talk) -> None:
    """A cache folder that cannot be written costs time, and nothing else."""
    (talk.folder / "cache").write_text("in the way")
    listed = talk.say(OPENING)
    assert b"first" in listed[1]
    assert talk.say(OPENING) == listed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "env"), [(["--no-cache"], {}), ([], {"OPEN_MCP_CACHE": "0"})], ids=["option", "variable"]
)
def test_without_the_cache_nothing_is_read_or_written(talk: Talk, options: list[str], env: dict[str, str]) -> None:
    """With the switch, the folder stays as it is: no entry is used, and none is written, touched or removed."""
    cached = talk.say(OPENING)
    folder = talk.folder / "cache"
    for entry in talk.entries():
        os.utime(entry, (1, 1))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    talk.env |= env
    assert talk.say(OPENING, *options) == cached
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_settings_that_other_variables_decide_are_not_kept(talk: Talk) -> None:
    """A named file that takes values from the environment proves nothing about the next start."""
    (talk.folder / "team.env").write_text("OPEN_MCP_TOOLS=${WHICH}\n")
    talk.env["WHICH"] = "*"
    talk.say(OPENING, "--env-file", "team.env")
    assert talk.entries() == []


def test_a_time_decides_nothing(talk: Talk) -> None:
    """A document that was only touched, and other people's secrets, change nothing."""
    first = talk.say(OPENING)
    os.utime(talk.spec)
    talk.env |= {"API_KEY": "secret", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    assert without_a_server(talk, OPENING) == first


def test_a_file_that_is_read_once_is_read_by_the_server(talk: Talk) -> None:
    """Settings from a pipe reach the server at each start, and nothing is kept that depends on them."""
    pipe = talk.folder / "settings"
    os.mkfifo(pipe)
    for _ in range(2):
        writing = threading.Thread(target=pipe.write_text, args=("OPEN_MCP_TOOLS=get_x\n",))
        writing.start()
        listed = json.loads(talk.say(OPENING, "--env-file", "settings")[1])["result"]["tools"]
        writing.join()
        assert [tool["name"] for tool in listed] == ["expandSchema", "expandResult", "get_x"]
    assert talk.entries() == []


@pytest.mark.parametrize(("since", "kept"), [(0, False), (TICK * 1000, True)])
def test_what_changes_during_the_start_is_not_kept(talk: Talk, since: int, kept: bool) -> None:
    """The server may have read the document before it was written, so its answers may be old."""
    recorder = Recorder(f"answers-{since}", None, started=time.time_ns() + since)
    talk.write("second")
    recorder.record([talk.spec])
    recorder.received(json.dumps(initialize()))
    recorder.sent('{"jsonrpc":"2.0","id":1,"result":{}}')
    assert (cache.read_entry(f"answers-{since}") is not None) is kept


def test_an_error_is_no_answer_to_keep(talk: Talk) -> None:
    """A client that gives all its requests one id leaves nothing behind that another would take for its answer."""
    call = {**CALL, "id": 1}
    messages = [initialize(), INITIALIZED, request("prompts/list", 1, cursor=7), call, request("tools/list", 1)]
    talk.say(messages)
    assert not any(b'\\"content\\":' in entry.read_bytes() for entry in talk.entries())


@pytest.mark.slow
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), _compound), st.binary())
def test_every_line_is_a_request_or_left_to_the_server(value: Any, rest: bytes) -> None:
    """Whatever a line contains, it is a request, something for the server, or ambiguous."""
    for line in (json.dumps(value).encode(), rest, json.dumps({"jsonrpc": "2.0", "id": 1, "method": value}).encode()):
        with suppress(Ambiguous):
            assert isinstance(Session().read(line), Request | None)


def test_a_warm_start_imports_little() -> None:
    """The modules that answer first import nothing that is slow to import."""
    names = "{name.partition('.')[0] for name, module in sys.modules.items() if module}"
    code = f"import portkey_bridge.stdio.warm_start, sys; print(*{names})"
    told = subprocess.run([sys.executable, "-c", code], env=BARE, capture_output=True, text=True, check=True)
    slow = {"fastmcp", "mcp", "pydantic", "httpx", "asyncio", "yaml", "jsonschema", "openapi_core", "rich", "argparse"}
    assert slow & set(told.stdout.split()) == set()

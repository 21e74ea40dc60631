"""JSON-RPC: every request gets one answer, whatever a line contains and whenever the input ends."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.conftest import BARE, Recorder, program
from tests.support import document, serving

Ask = Callable[..., list[Any]]

DEEP = "[" * 300 + "]" * 300
DEEPER = "[" * 100_000


def start(version: str = "2025-06-18") -> list[str]:
    """Return the lines that start a session."""
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    initialize = {"jsonrpc": "2.0", "id": "start", "method": "initialize", "params": params}
    return [json.dumps(initialize), '{"jsonrpc":"2.0","method":"notifications/initialized"}']


def call(request_id: int, name: str, **arguments: Any) -> str:
    """Return the line that calls a tool."""
    params = {"name": name, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params})


@pytest.fixture
def server(tmp_path: Path) -> list[str]:
    """Return the command that serves a small API."""
    query = {"name": "q", "in": "query", "schema": {"type": "string"}}
    paths = {"/x": {"get": {"operationId": "x", "parameters": [query], "responses": {"200": {"description": "OK"}}}}}
    file = tmp_path / "api.json"
    file.write_text(json.dumps(document(paths, servers=[{"url": "http://127.0.0.1:9"}])))
    return program("--spec", str(file), env=BARE)


@pytest.fixture
def ask(server: list[str], tmp_path: Path) -> Ask:
    """Return a function that sends lines in one piece, ends the input and returns the answers."""

    def ask(*lines: str, version: str = "2025-06-18") -> list[Any]:
        sent = "\n".join([*start(version), *lines]).encode()
        done = subprocess.run(server, input=sent, capture_output=True, env=BARE, cwd=tmp_path, timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()][1:]

    return ask


#: A line, and the code and id of the error that answers it.
REFUSED = {
    "not JSON": ("hello", -32700, None),
    "not an object": ("5", -32600, None),
    "cut off": ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a"', -32700, 7),
    "deep": (f'{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{DEEP}}}}}', -32700, 7),
    "deeper": (f'{{"id":"a\\"b","jsonrpc":"2.0","method":"ping","params":{{"id":8,"a":{DEEPER}', -32700, 'a"b'),
    "without jsonrpc": ('{"id":7,"method":"ping"}', -32600, 7),
    "another jsonrpc": ('{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
    "a float as id": ('{"jsonrpc":"2.0","id":7.5,"method":"ping"}', -32600, 7.5),
    "null as id": ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    "an object as id": ('{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}', -32600, None),
    "true as id": ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
    "a method that is no text": ('{"jsonrpc":"2.0","id":7,"method":7}', -32600, 7),
    "no method": ('{"jsonrpc":"2.0","id":7}', -32600, 7),
    "a list of parameters": ('{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}', -32602, 7),
    "a number that is too long": (
        f'{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{"9" * 9999}}}}}',
        -32700,
        7,
    ),
    "NaN": ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":NaN}}', -32700, 7),
    "infinity in a call": (call(8, "x", q=float("-inf")), -32700, 8),
    "no number as id": ('{"jsonrpc":"2.0","id":-01,"method":"ping"}', -32700, None),
    "no escape in an id": ('{"jsonrpc":"2.0","id":"\\x","method":"ping"}', -32700, None),
    "an empty batch": ("[]", -32600, None),
    "a batch": ('[{"jsonrpc":"2.0","id":7,"method":"ping"}]', -32600, None),
}


def test_what_is_no_request_is_answered_with_an_error(ask: Ask) -> None:
    """Each line that is not a request has an error with its id if that can be read, and the next one is answered."""
    expected = [*REFUSED.values(), CUT_OFF_BATCH]
    lines = [line for line, _, _ in expected]
    *refused, last = sorted_by_kind(ask(*lines, '{"jsonrpc":"2.0","id":99,"method":"ping"}'))
    found = [(answer["error"]["code"], answer["id"]) for answer in refused]
    assert found == [(code, request_id) for _, code, request_id in expected]
    assert last == {"jsonrpc": "2.0", "id": 99, "result": {}}


OF_HTTP = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def test_over_http_what_is_no_request_is_answered_alike(tmp_path: Path) -> None:
    """The body of a request is refused with the same error as a line, and text is repaired alike."""
    root = document({"/x": {"get": {"operationId": "x", "responses": {"200": {"description": "OK"}}}}})
    headers = {**OF_HTTP, "mcp-protocol-version": "2025-06-18"}
    with serving(tmp_path, root) as (url, _), httpx.Client(headers=headers, timeout=60) as client:
        for name, (line, code, request_id) in {**REFUSED, "a cut off batch": CUT_OFF_BATCH}.items():
            answer = client.post(url, content=line)
            found = answer.json()
            assert (answer.status_code, found["error"]["code"], found["id"]) == (400, code, request_id), name
        for line in UNANSWERED[2:]:
            assert client.post(url, content=line).status_code == 202, line
        ping = client.post(url, content='\ufeff{"jsonrpc":"2.0","id":"\\ud83d","method":"ping"}\r\n')
        assert ping.json() == {"jsonrpc": "2.0", "id": "\ufffd", "result": {}}


def sorted_by_kind(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put results behind errors, which come in the order of the lines."""
    return sorted(answers, key=lambda answer: "result" in answer)


#: No array, so not a batch either.
CUT_OFF_BATCH = ('[{"jsonrpc":"2.0","id":7,"method":"ping"}', -32700, None)

#: Lines that nobody expects an answer to.
UNANSWERED = [
    "",
    "  \r",
    '{"jsonrpc":"2.0","method":"no/such/notification","params":[1]}',
    '{"jsonrpc":"2.0","id":7,"result":{}}',
    '{"jsonrpc":"2.0","id":7.5,"result":[1]}',
    '{"jsonrpc":"2.0","id":null,"error":{"code":"a"}}',
]


def test_what_is_no_request_but_allowed_is_not_answered(ask: Ask) -> None:
    """An empty line, a notification and a response are never answered, even if something is wrong with them."""
    assert ask(*UNANSWERED) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud83d", "\ufffd"),
        (r"\uDE00 \ud83d", "\ufffd \ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (r"\ud83d\n", "\ufffd\n"),
    ],
)
def test_half_a_surrogate_pair_is_repaired(
    server: list[str], recorder: Recorder, tmp_path: Path, written: str, read: str
) -> None:
    """An emoji that was cut in the middle becomes U+FFFD, and everything else stays as it is."""
    line = call(1, "x", q="TEXT").replace("TEXT", written)
    command = [*server, "--base-url", recorder.url]
    sent = "\n".join([*start(), line]).encode()
    subprocess.run(command, input=sent, capture_output=True, env=BARE, cwd=tmp_path, timeout=60, check=True)
    assert unquote(recorder.last.target) == f"/x?q={read}"


def test_a_byte_order_mark_is_not_part_of_a_message(ask: Ask) -> None:
    """A line that starts with a byte order mark, as PowerShell writes it, is read without."""
    assert ask('\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}') == [{"jsonrpc": "2.0", "id": 1, "result": {}}]


def test_a_batch_is_answered_where_the_version_has_batches(ask: Ask) -> None:
    """A batch of version 2025-03-26 has one answer, an array with one response for each request in it."""
    batch = [
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
        call(2, "x"),
        '{"jsonrpc":"2.0","method":"notifications/initialized"}',
        '{"jsonrpc":"2.0","id":3,"method":"no/such/method"}',
        '{"jsonrpc":"2.0","id":null,"method":"ping"}',
        '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"x\\ud83d"}}',
        "5",
    ]
    (answers,) = ask(f"[{', '.join(batch)}]", version="2025-03-26")
    assert sorted(str(answer["id"]) for answer in answers) == ["1", "2", "3", "4", "None", "None"]
    codes = sorted(answer["error"]["code"] for answer in answers if "error" in answer)
    assert codes == [-32601, -32600, -32600]


@pytest.mark.parametrize("version", [{}, {"mcp-protocol-version": "2025-03-26"}], ids=["none", "2025-03-26"])
def test_over_http_a_batch_is_answered_where_the_version_has_batches(tmp_path: Path, version: dict[str, str]) -> None:
    """A request that names no version is of 2025-03-26 (Model Context Protocol 2025-06-18, Protocol Version Header)."""
    root = document({"/x": {"get": {"operationId": "x", "responses": {"200": {"description": "OK"}}}}})
    messages: list[Any] = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        json.loads(call(2, "x")),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 3, "method": "no/such/method"},
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {}},
        5,
    ]
    with serving(tmp_path, root) as (url, _), httpx.Client(headers=OF_HTTP | version, timeout=60) as client:
        answers = client.post(url, json=messages).json()
        assert [answer["id"] for answer in answers] == [1, 2, 3, 4, None]
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, -32601, -32600, -32600]
        assert answers[1]["result"]["content"]
        nothing = client.post(url, json=messages[2:3])
        assert (nothing.status_code, nothing.content) == (202, b"")


def test_batches_without_requests(ask: Ask) -> None:
    """A batch of notifications has no answer; one of invalid messages has their errors."""
    notifications = '[{"jsonrpc":"2.0","method":"notifications/initialized"}]'
    assert ask(notifications, version="2025-03-26") == []
    (answers,) = ask("[1, 2]", version="2025-03-26")
    assert [answer["error"]["code"] for answer in answers] == [-32600, -32600]


@pytest.fixture
def slow() -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """Return an API that answers when the second event is set; the first one says that it was called."""
    reached, released = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.set()
            released.wait(60)
            with suppress(OSError):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"done")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", reached, released
    released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("as_batch", [False, True])
def test_a_running_call_is_answered_after_the_input_ends(
    server: list[str], slow: tuple[str, threading.Event, threading.Event], tmp_path: Path, as_batch: bool
) -> None:
    """A call that is running when stdin is closed is answered, and then the process ends."""
    url, reached, released = slow
    line = f"[{call(1, 'x')}]" if as_batch else call(1, "x")
    lines = [*start("2025-03-26"), line]
    with subprocess.Popen(
        [*server, "--base-url", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=BARE, cwd=tmp_path
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join(lines).encode())
        process.stdin.close()
        assert reached.wait(60)
        released.set()
        answer = json.loads(process.stdout.readlines()[-1])
    (answer,) = answer if as_batch else [answer]
    assert answer["result"]["content"][0]["text"] == "done"
    assert process.returncode == 0


def test_a_client_that_is_gone_is_not_waited_for(
    server: list[str], slow: tuple[str, threading.Event, threading.Event], tmp_path: Path
) -> None:
    """If nobody reads the answers any more, the process ends although a call is running."""
    url, reached, _ = slow
    with subprocess.Popen(
        [*server, "--base-url", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=BARE, cwd=tmp_path
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join([*start(), call(1, "x")]).encode())
        process.stdin.close()
        assert reached.wait(60)
        process.stdout.close()
        assert process.wait(30) in (0, 141)


def test_a_cancelled_call_is_not_waited_for(
    server: list[str], slow: tuple[str, threading.Event, threading.Event], tmp_path: Path
) -> None:
    """A call that the client cancelled is never answered, and does not keep the process."""
    cancelled = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    lines = [*start(), call(1, "x"), cancelled]
    done = subprocess.run(
        [*server, "--base-url", slow[0]],
        input="\n".join(lines).encode(),
        capture_output=True,
        env=BARE,
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["start"]


def test_a_handshake_may_follow_a_probe(server: list[str], tmp_path: Path) -> None:
    """A client that asks for versions, and has no answer in time, goes on with a handshake on the same pipes."""
    envelope = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in envelope.items()}
    probe = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": meta}})
    cancelled = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}'
    lines = [probe, cancelled, *start("2025-06-18"), call(2, "x"), '{"jsonrpc":"2.0","id":3,"method":"tools/list"}']
    sent = "\n".join(lines).encode()
    done = subprocess.run(server, input=sent, capture_output=True, env=BARE, cwd=tmp_path, timeout=60, check=True)
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, done.stdout.splitlines())}
    assert answers["start"]["protocolVersion"] == "2025-06-18"
    assert "refused the connection" in answers[2]["content"][0]["text"]
    assert "x" in [tool["name"] for tool in answers[3]["tools"]]


def test_a_subscription_is_not_waited_for(server: list[str], tmp_path: Path) -> None:
    """A client that listens for changes is told so, and the process ends with its input."""
    envelope = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in envelope.items()}
    params = {"_meta": meta, "notifications": {"toolsListChanged": True}}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})
    done = subprocess.run(
        server, input=f"{line}\n".encode(), capture_output=True, env=BARE, cwd=tmp_path, timeout=60, check=True
    )
    first = json.loads(done.stdout.splitlines()[0])
    assert first["method"] == "notifications/subscriptions/acknowledged"


@pytest.mark.parametrize("options", [[], ["--files", "."], ["--resources"]])
def test_only_what_exists_is_announced(server: list[str], tmp_path: Path, options: list[str]) -> None:
    """No prompts are announced, and resources only if results can link to files."""
    done = subprocess.run(
        [*server, *options], input=start()[0].encode(), capture_output=True, env=BARE, cwd=tmp_path, check=True
    )
    announced = json.loads(done.stdout)["result"]["capabilities"]
    assert ("resources" in announced, "prompts" in announced, "tools" in announced) == (bool(options), False, True)

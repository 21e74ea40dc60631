"""Where documents come from: files, URLs, standard input; what they may refer to; and what is kept of them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from portkey_bridge.bridge.load import normalized
from portkey_bridge.cli.loading import require_api
from portkey_bridge.document import cache
from portkey_bridge.document.parse import document_of
from portkey_bridge.document.sources import portkey_document, read_source
from portkey_bridge.errors import DocumentError
from portkey_bridge.settings.options import Settings
from tests.conftest import BARE, Connect, Recorder, Run, text_of
from tests.support import document, operation

API = operation("get", "/pets", summary="Pets, größer")
TEXT = json.dumps(API, ensure_ascii=False)
YAML = "openapi: 3.1.0\ninfo: {title: Test, version: '1'}\npaths: {/pets: {get: {operationId: op}}}\n"

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep nothing from one test to the next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache.cache_folder()


#: The bytes of a document, as people store it.
STORED = {
    "JSON": TEXT.encode(),
    "JSON with a mark": TEXT.encode("utf-8-sig"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, big": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "gzip": gzip.compress(TEXT.encode()),
    "gzip in two members": gzip.compress(TEXT[:50].encode()) + gzip.compress(TEXT[50:].encode()),
    "escaped": json.dumps(API).encode(),
}


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
def test_it_does_not_matter_how_it_is_stored(tmp_path: Path, recorder: Recorder, stored: bytes) -> None:
    """JSON or YAML, packed or not, in any Unicode encoding, under any name, from a file or a URL: it is the same."""
    (tmp_path / "stored.txt").write_bytes(stored)
    recorder.answer = (200, {"content-type": "text/plain"}, stored)
    assert document_of(read_source(str(tmp_path / "stored.txt"))).root == API
    assert document_of(read_source((tmp_path / "stored.txt").as_uri())).root == API
    assert document_of(read_source(f"{recorder.url}/stored")).root == API


def test_a_content_coding_is_undone(recorder: Recorder) -> None:
    """A server may pack its answer on the way (RFC 9110 section 8.4)."""
    recorder.answer = (200, {"content-encoding": "gzip"}, gzip.compress(TEXT.encode()))
    assert document_of(read_source(recorder.url)).root == API


def test_standard_input(run: Run) -> None:
    """`-` is what comes in: for every command but the one whose standard input is the client's."""
    listed = run("tools", "--spec", "-", "--json", stdin=YAML)
    assert [tool["name"] for tool in json.loads(listed.stdout)] == ["op"]
    served = run("--spec", "-", stdin=YAML)
    assert served.returncode == 2
    assert "Use a file or a URL with --spec" in served.stderr


async def test_a_url_is_served(recorder: Recorder, connect: Connect) -> None:
    """The tools of a document behind a URL, whose relative server is the URL's own host."""
    recorder.answers = {"/api/openapi.json": (200, {}, json.dumps({**API, "servers": [{"url": "v2"}]}).encode())}
    async with connect("--spec", f"{recorder.url}/api/openapi.json") as client:
        assert json.loads(text_of(await client.call_tool("op"))) == {"ok": True}
    assert "/api/v2/pets" in [request.target for request in recorder.requests]


#: What a server may answer, and what is said: all of it in one line.
REFUSED: dict[str, tuple[Answer, str]] = {
    "not found": ((404, {}, b""), "the response is 404 Not Found. Correct the URL."),
    "not allowed": (
        (401, {}, b""),
        "the response is 401 Unauthorized. If --header,",
    ),
    "down": ((503, {}, b""), "cannot be fetched: the response is 503 Service Unavailable."),
    "web page": ((200, {}, b"<!doctype html><title>Docs</title>"), "is a web page or XML, not JSON or YAML"),
    "nothing": ((200, {}, b""), "is empty. Create or download"),
    "binary": ((200, {}, b"\x89PNG\r\n\x1a\n"), "not UTF-8 text at byte 0"),
    "broken gzip": ((200, {}, gzip.compress(TEXT.encode())[:-9]), "is damaged gzip"),
    "broken coding": ((200, {"content-encoding": "gzip"}, b"no"), "cannot be fetched"),
    "circle": ((302, {"location": "/a.json"}, b""), "more than 5 redirects"),
    "to nowhere": ((302, {"location": "ftp://127.0.0.1/a.json"}, b""), "cannot be fetched"),
    "other version": ((200, {}, b'{"openapi": "4.0.0"}'), "unknown OpenAPI version 4.0.0"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_document_is_said(recorder: Recorder, answer: Answer, said: str) -> None:
    """The line names the URL without its secrets, what was wrong, and what to do."""
    recorder.answer = answer
    with pytest.raises(DocumentError) as refused:
        require_api(Settings(spec=recorder.url.replace("//", "//me:secret-login@") + "/a.json?token=secret-token"))
    line = str(refused.value)
    assert line.startswith(f"{recorder.url}/a.json?…: ")
    assert said in line
    assert "secret" not in line


def test_a_large_answer_is_given_up(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than a document may be is not read, packed or not."""
    for module in ("content", "fetch", "sources"):
        monkeypatch.setattr(f"portkey_bridge.document.{module}.MAX_DOCUMENT_BYTES", 1000)
    for content in (b" " * 2000, gzip.compress(b" " * 2000)):
        recorder.answer = (200, {}, content)
        (tmp_path / "large.json").write_bytes(content)
        for source in (recorder.url, str(tmp_path / "large.json")):
            with pytest.raises(DocumentError, match="larger than"):
                document_of(read_source(source))


def warnings(stderr: str) -> list[str]:
    """Return the lines on stderr but those about a fetch that takes long, which depend on how busy the machine is."""
    return [line for line in stderr.splitlines() if not line.startswith("portkey-bridge: fetching ")]


def test_nobody_there(run: Run) -> None:
    """A host that does not answer is said in one line, and is no traceback."""
    ended = run("tools", "--spec", "http://127.0.0.1:9/openapi.json")
    assert ended.returncode == 2
    (line,) = warnings(ended.stderr)
    assert "127.0.0.1 refused the connection" in line


@pytest.mark.parametrize("host", ["a..test", "xn--a", f"{'a' * 64}.test"])
def test_a_host_that_cannot_be_named(host: str) -> None:
    """A name that can have no address is an error of the document, and not a crash."""
    with pytest.raises(DocumentError, match="could not be resolved"):
        document_of(read_source(f"http://{host}/openapi.json"))


def test_the_last_good_copy_serves(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy is asked for changes only, and stands in while the server is down or away; then it is said."""
    url = f"{recorder.url}/a.json"
    recorder.answer = (200, {"etag": '"1"', "last-modified": "Tue, 24 Nov 2026 10:00:00 GMT"}, TEXT.encode())
    assert read_source(url).data == TEXT.encode()
    recorder.answer = (304, {}, b"")
    assert read_source(url).data == TEXT.encode()
    assert recorder.last.header("if-none-match") == '"1"'
    assert recorder.last.header("if-modified-since") == "Tue, 24 Nov 2026 10:00:00 GMT"
    for status in (500, 503, 429):
        recorder.answer = (status, {}, b"")
        assert len(require_api(Settings(spec=url)).operations) == 1
        assert f"the response is {status}" in capsys.readouterr().err
    recorder.answer = (200, {}, YAML.encode())
    assert read_source(url).data == YAML.encode()
    recorder.answer = (404, {}, b"")
    with pytest.raises(DocumentError, match="404"):
        read_source(url)


def test_the_copy_serves_without_a_network(tmp_path: Path) -> None:
    """When nothing listens there any more, the copy serves, and its age is said."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Small) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert read_source(url).notes == ()
        thread.join()
    (note,) = read_source(url).notes
    assert "127.0.0.1 refused the connection" in note
    assert " UTC." in note


class _Small(BaseHTTPRequestHandler):
    """Answers with the document, when it may."""

    may = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.may.wait(60)
        self.send_response(200)
        self.send_header("content-length", str(len(YAML)))
        self.end_headers()
        self.wfile.write(YAML.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Report nothing."""


def test_waiting_is_told(tmp_path: Path) -> None:
    """A person who waits for more than a second is told what for."""
    _Small.may.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Small) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/slow"
        command = [sys.executable, "-m", "portkey_bridge", "tools", "--spec", url]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=BARE, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stderr
            assert process.stderr.readline() == f"portkey-bridge: fetching {url} …\n"
            _Small.may.set()
            assert process.wait(60) == 0
        server.shutdown()


SPLIT = {
    "/api/openapi.json": document({"/pets": {"$ref": "paths/pets.yaml#/pets"}}),
    "/api/paths/pets.yaml": {
        "pets": {
            "get": {"operationId": "op", "parameters": [{"$ref": "../common.json#/limit"}]},
            "post": {"operationId": "add", "parameters": [{"$ref": "/api/common.json#/limit"}]},
        }
    },
    "/api/common.json": {"limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}},
}


def test_references_are_relative_to_the_url(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """A document in several parts is read from its host, behind redirects too, each part once."""
    recorder.answer = (404, {}, b"")
    recorder.answers = {path: (200, {}, json.dumps(root).encode()) for path, root in SPLIT.items()}
    recorder.answers["/latest"] = (302, {"location": "/api/openapi.json"}, b"")
    api = require_api(Settings(spec=f"{recorder.url}/latest"))
    assert [[parameter.name for parameter in each.parameters] for each in api.operations] == [["limit"], ["limit"]]
    assert sorted(request.target for request in recorder.requests) == sorted(["/latest", *SPLIT])
    assert warnings(capsys.readouterr().err) == []


def _other_host(recorder: Recorder) -> str:
    return f"http://localhost:{urlsplit(recorder.url).port}"


FOREIGN: dict[str, tuple[Callable[[Recorder], str], str]] = {
    "another host": (
        lambda site: f"{_other_host(site)}/common.json",
        "Start with --allow-refs localhost",
    ),
    "another port": (lambda _: "http://127.0.0.1:9/common.json", "--allow-refs 127.0.0.1"),
    "a redirect to another host": (lambda _: "/away", "--allow-refs localhost"),
    "a file": (lambda _: "file:///etc/hosts", "a document from a URL can only refer to URLs"),
    "a file by its path": (lambda _: "file:common.json", "a document from a URL can only refer to URLs"),
}


@pytest.mark.parametrize(("reference", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_url_reaches_its_own_host_alone(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], reference: Callable[[Recorder], str], said: str
) -> None:
    """A document from a URL reads no file, and asks no other host, until a person allows it."""
    schema = {"$ref": f"{reference(recorder)}#/limit/schema"}
    root = operation("get", parameters=[{"name": "a", "in": "query", "schema": schema}])
    recorder.answers = {
        "/openapi.json": (200, {}, json.dumps(root).encode()),
        "/away": (302, {"location": f"{_other_host(recorder)}/common.json"}, b""),
        "/common.json": (200, {}, json.dumps(SPLIT["/api/common.json"]).encode()),
    }
    require_api(Settings(spec=f"{recorder.url}/openapi.json"))
    assert said in capsys.readouterr().err
    assert [request.target for request in recorder.requests if request.target == "/common.json"] == []
    if "localhost" in said:
        api = require_api(Settings(spec=f"{recorder.url}/openapi.json", allow_refs=("localhost",)))
        assert warnings(capsys.readouterr().err) == []
        assert "integer" in json.dumps(api.root)


def test_a_file_asks_a_host_that_is_allowed(tmp_path: Path, recorder: Recorder, run: Run) -> None:
    """A document on disk refers to URLs only where a person allows their host."""
    recorder.answer = (200, {}, json.dumps(SPLIT["/api/common.json"]).encode())
    parameters = [{"$ref": f"{recorder.url}/common.json#/limit"}]
    (tmp_path / "api.json").write_text(json.dumps(operation("get", parameters=parameters)))
    assert "limit" not in run("schema", "op", "--spec", "api.json").stdout
    assert recorder.requests == []
    assert "limit" in run("schema", "op", "--spec", "api.json", "--allow-refs", "127.0.0.1").stdout


@pytest.mark.slow
async def test_a_url_gets_the_credentials_that_a_person_names(recorder: Recorder, connect: Connect) -> None:
    """Neither the document's host nor the API sees a variable that is set, unless it is named for that."""
    scheme = {"type": "apiKey", "in": "header", "name": "x-pet-key"}
    root = {
        **API,
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": scheme}},
    }
    recorder.answers = {"/openapi.json": (200, {}, json.dumps(root).encode())}
    env = {"X_PET_KEY": "a-key-for-the-pets-alone"}
    async with connect("--spec", f"{recorder.url}/openapi.json", env=env) as client:
        refused = await client.call_tool("op", raise_on_error=False)
    assert refused.is_error
    assert {request.target for request in recorder.requests} == {"/openapi.json"}
    async with connect("--spec", f"{recorder.url}/openapi.json", "--credentials", "X_PET_KEY", env=env) as client:
        await client.call_tool("op")
    assert [each.header("x-pet-key") for each in recorder.requests if each.target != "/openapi.json"] == [
        env["X_PET_KEY"]
    ]
    assert {each.header("x-pet-key") for each in recorder.requests if each.target == "/openapi.json"} == {None}


def _start(spec: Path) -> tuple[Any, str, list[str]]:
    """Load a document in a child process, and give its root, what was said, and which of the slow modules it needed."""
    program = (
        "import json, sys\n"
        "from portkey_bridge.cli.loading import require_api\n"
        "from portkey_bridge.settings.options import Settings\n"
        "api = require_api(Settings(spec=sys.argv[1]))\n"
        "slow = ['yaml', 'portkey_bridge.openapi.normalize', 'jsonschema', 'openapi_core', 'fastmcp']\n"
        "print(json.dumps([api.root, [name for name in slow if name in sys.modules]]))"
    )
    env = {**BARE, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    ended = subprocess.run([sys.executable, "-c", program, spec], env=env, capture_output=True, text=True, check=True)
    root, slow = json.loads(ended.stdout)
    return root, ended.stderr, slow


def test_the_second_start_reads_what_the_first_kept(tmp_path: Path) -> None:
    """The same document, the same warnings, and nothing of what parses and mends."""
    spec = tmp_path / "api.yaml"
    spec.write_text(YAML + "x: 1\nx: 2\ncomponents: {schemas: {A: {type: string, pattern: '('}}}\n")
    root, said, slow = _start(spec)
    assert "yaml" in slow
    assert "twice" in said
    assert _start(spec) == (root, said, [])


@pytest.mark.parametrize("spec", [portkey_document(), *sorted((Path(__file__).parent / "documents").glob("*.*"))])
def test_what_was_kept_is_what_was_made(spec: Path) -> None:
    """The form that comes out of the cache equals the one that went in, to the last value."""
    content = read_source(str(spec))
    made = normalized(content, ())
    kept = normalized(content, ())
    assert kept is not made
    assert json.dumps(kept.root) == json.dumps(made.root)
    assert (kept.repairs, kept.others) == (made.repairs, made.others)


def test_a_change_in_any_file_is_seen(tmp_path: Path) -> None:
    """What a document refers to may change, come and go between two starts."""
    write = {
        "api.json": operation("get", parameters=[{"$ref": "common.json#/limit"}]),
        "common.json": SPLIT["/api/common.json"],
    }
    for name, root in write.items():
        (tmp_path / name).write_text(json.dumps(root))
    settings = Settings(spec=str(tmp_path / "api.json"))
    assert [each.name for each in require_api(settings).operations[0].parameters] == ["limit"]
    (tmp_path / "common.json").write_text(json.dumps({"limit": {"name": "size", "in": "query"}}))
    assert [each.name for each in require_api(settings).operations[0].parameters] == ["size"]
    (tmp_path / "common.json").unlink()
    assert [require_api(settings).operations[0].parameters for _ in range(2)] == [(), ()]
    (tmp_path / "common.json").write_text(json.dumps(SPLIT["/api/common.json"]))
    assert [each.name for each in require_api(settings).operations[0].parameters] == ["limit"]


def test_a_damaged_entry_is_made_again(tmp_path: Path, empty_cache: Path) -> None:
    """Whatever lies in the cache, the document is served as it is."""
    (tmp_path / "api.json").write_text(TEXT)
    settings = Settings(spec=str(tmp_path / "api.json"))
    first = require_api(settings).root
    for entry in empty_cache.iterdir():
        entry.write_bytes(entry.read_bytes()[:-3] + b"xyz")
    assert require_api(settings).root == first


def test_what_cannot_be_kept_is_served(tmp_path: Path, empty_cache: Path) -> None:
    """A number of more than 64 bits is a number all the same."""
    parameter = {"name": "a", "in": "query", "schema": {"type": "integer", "maximum": 10**30}}
    (tmp_path / "api.json").write_text(json.dumps(operation("get", parameters=[parameter])))
    assert str(10**30) in json.dumps(require_api(Settings(spec=str(tmp_path / "api.json"))).root)
    assert not empty_cache.exists()

"""A key goes to the origin that it was given for, whatever a document says later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from portkey_bridge.text import origin_of
from tests.conftest import Recorder, Run, recording
from tests.support import document

VALUE = "S3CRET-of-the-first-origin"

KEY = {"components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}}


@pytest.fixture
def other() -> Iterator[Recorder]:
    """Return another server."""
    with recording() as record:
        yield record


def publish(site: Recorder, api: str) -> str:
    """Publish a document whose requests go to `api`, and return its URL."""
    paths = {"/me": {"get": {"operationId": "me", "security": [{"key": []}], "responses": {}}}}
    root = {**document(paths), "servers": [{"url": api}], **KEY}
    site.answers["/api.json"] = (200, {"content-type": "application/json"}, json.dumps(root).encode())
    return f"{site.url}/api.json"


def call(run: Run, *arguments: str, state: Path) -> str:
    """Call the operation in a process of its own, which asks for the document, and return what is said."""
    ran = run("call", "me", *arguments, env={"X_KEY": VALUE, "XDG_STATE_HOME": str(state)})
    return str(ran.stdout + ran.stderr)


def keys(server: Recorder) -> list[str | None]:
    """Return the keys of the requests for the operation."""
    return [request.header("x-key") for request in server.requests if request.target == "/me"]


def test_a_bound_key_goes_to_its_origin_only(run: Run, recorder: Recorder, other: Recorder, tmp_path: Path) -> None:
    """`NAME@ORIGIN` is sent there and refused elsewhere, with both origins and the option that accepts it."""
    spec = publish(recorder, other.url)
    said = call(run, "--spec", spec, "--credentials", f"X_KEY@{recorder.url}", state=tmp_path)
    assert keys(other) == []
    assert recorder.url in said
    assert f"--credentials X_KEY@{other.url}" in said
    assert VALUE not in said
    call(run, "--spec", spec, "--credentials", f"X_KEY@{other.url}/", state=tmp_path)
    assert keys(other) == [VALUE]


def test_a_binding_holds_for_a_document_on_disk(run: Run, recorder: Recorder, tmp_path: Path) -> None:
    """Whoever binds a key is protected from a change of the file, too; a base URL is an origin like others."""
    publish(recorder, "http://127.0.0.1:9")
    (tmp_path / "api.json").write_bytes(recorder.answers["/api.json"][2])
    bound = ("--spec", "api.json", "--credentials", "X_KEY@https://api.example.com")
    assert "is bound to" in call(run, *bound, "--base-url", recorder.url, state=tmp_path)
    assert recorder.requests == []


@pytest.mark.slow
def test_a_document_that_changes_its_servers_gets_no_key(
    run: Run, recorder: Recorder, other: Recorder, tmp_path: Path
) -> None:
    """The first origin is remembered from one session to the next, until a person accepts another one."""
    spec = publish(recorder, recorder.url)
    named = ("--spec", spec, "--credentials", "X_KEY")
    call(run, *named, state=tmp_path)
    assert keys(recorder) == [VALUE]
    publish(recorder, other.url)
    said = call(run, *named, state=tmp_path)
    assert other.requests == []
    assert f"was first used for {recorder.url}" in said
    accepted = f"X_KEY@{other.url}"
    assert f"--credentials {accepted}" in said
    call(run, "--spec", spec, "--credentials", accepted, state=tmp_path)
    assert keys(other) == [VALUE]
    kept = (tmp_path / "portkey-bridge" / "origins.json").read_text(encoding="utf-8")
    assert VALUE not in kept


def test_a_document_that_is_redirected_gets_no_key(
    run: Run, recorder: Recorder, other: Recorder, tmp_path: Path
) -> None:
    """Relative servers follow the document to another host, and the key does not."""
    spec = publish(recorder, "/")
    named = ("--spec", spec, "--credentials", "X_KEY")
    call(run, *named, state=tmp_path)
    publish(other, "/")
    recorder.answers["/api.json"] = (302, {"location": f"{other.url}/api.json"}, b"")
    said = call(run, *named, state=tmp_path)
    assert keys(other) == []
    assert "was first used for" in said


def test_a_base_url_is_a_person_s_decision(run: Run, recorder: Recorder, other: Recorder, tmp_path: Path) -> None:
    """What a person names as the address needs no memory."""
    spec = publish(recorder, recorder.url)
    for url in (recorder.url, other.url):
        call(run, "--spec", spec, "--credentials", "X_KEY", "--base-url", url, state=tmp_path)
    assert (keys(recorder), keys(other)) == ([VALUE], [VALUE])


def test_a_redirect_of_the_api_is_named(run: Run, recorder: Recorder, other: Recorder, tmp_path: Path) -> None:
    """Whoever the API redirects to gets no key, and its refusal says why."""
    spec = publish(recorder, recorder.url)
    recorder.answers["/me"] = (307, {"location": f"{other.url}/me"}, b"")
    other.answer = (401, {}, b"")
    said = call(run, "--spec", spec, "--credentials", "X_KEY", state=tmp_path)
    assert keys(other) == [None]
    assert f"{other.url} answered, which the API redirected to" in said


@pytest.mark.slow
def test_a_dry_run_shows_what_a_binding_lets_through(run: Run, recorder: Recorder, tmp_path: Path) -> None:
    """A key that is bound to another origin is not in the request that is shown: the dry run is refused as a call is,
    and where the call needs no key, it shows a request without one and says why.
    """
    spec, elsewhere = publish(recorder, recorder.url), ("--credentials", "X_KEY@https://api.example.com")
    asked = len(recorder.requests)
    refused = call(run, "--spec", spec, *elsewhere, "--dry-run", state=tmp_path)
    assert refused == call(run, "--spec", spec, *elsewhere, state=tmp_path)
    assert f"--credentials X_KEY@{recorder.url}" in refused
    assert "GET /me" in refused
    assert "HTTP/1.1" not in refused
    bound = call(run, "--spec", spec, "--credentials", f"X_KEY@{recorder.url}", "--dry-run", state=tmp_path)
    assert "x-key: $X_KEY" in bound.replace("X-Key:", "x-key:")
    root = json.loads(recorder.answers["/api.json"][2])
    root["paths"]["/me"]["get"]["security"] = [{"key": []}, {}]
    recorder.answers["/api.json"] = (200, {"content-type": "application/json"}, json.dumps(root).encode())
    optional = call(run, "--spec", spec, *elsewhere, "--dry-run", state=tmp_path)
    assert "GET /me HTTP/1.1" in optional
    assert "$X_KEY" not in optional
    assert "X_KEY is bound to https://api.example.com" in optional
    assert {each.target for each in recorder.requests[asked:]} == {"/api.json"}


def test_doctor_counts_what_a_binding_lets_through(run: Run, recorder: Recorder, tmp_path: Path) -> None:
    """A key that may not go to the API is a problem, with the option that accepts it, and opens no tool."""
    spec = publish(recorder, recorder.url)
    env = {"X_KEY": VALUE, "XDG_STATE_HOME": str(tmp_path)}
    told = run("doctor", "--spec", spec, "--credentials", "X_KEY@https://api.example.com", env=env)
    said = " ".join(told.stdout.split())
    assert (told.returncode, "0 of 1 tools can be called" in said) == (1, True), said
    assert f"--credentials X_KEY@{recorder.url}" in said
    assert "Set X_KEY" not in said
    fine = run("doctor", "--spec", spec, "--credentials", f"X_KEY@{recorder.url}", env=env).stdout
    assert "1 of 1 tools can be called" in " ".join(fine.split())


@pytest.mark.slow
def test_add_writes_the_bound_form(run: Run, recorder: Recorder, other: Recorder, tmp_path: Path) -> None:
    """An entry in a client's file names the origin that the key is for."""
    spec = publish(recorder, other.url)
    (tmp_path / "mcp.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    ran = run("add", "./mcp.json", "--spec", spec, "--credentials", "X_KEY,UNKNOWN", "--env", "X_KEY=k", "--yes")
    assert ran.returncode == 0, ran.stderr
    (entry,) = json.loads((tmp_path / "mcp.json").read_text())["mcpServers"].values()
    assert f"UNKNOWN,X_KEY@{other.url}" in entry["args"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.example.com:443/v1", "https://api.example.com"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://me:pass@api.example.com:8443", "https://api.example.com:8443"),
        ("http://api.example.com", "http://api.example.com"),
        ("https://api.example.com@evil.example", "https://evil.example"),
        ("https://api.example.com.", "https://api.example.com."),
        ("http://[::1]:80/", "http://[::1]"),
        ("api.example.com", None),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str | None) -> None:
    """Spellings of one host are one origin; another scheme, port or host, the login of a URL aside, is another one."""
    assert origin_of(url) == origin


def test_an_origin_that_is_none_is_refused(run: Run) -> None:
    """A binding that means nothing is not taken for none."""
    ran = run("tools", "--credentials", "X_KEY@example")
    assert ran.returncode == 2
    assert "NAME@ORIGIN" in ran.stderr

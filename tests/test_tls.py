"""Certificates: which are trusted, which one is presented, and documents behind a login."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from fastmcp import Client

from portkey_bridge.bridge.several_apis import load_services
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from tests.conftest import Connect, Recorder, Run, recording, text_of
from tests.support import document

MARKER = "S3CRET"


def api(url: str, **fields: Any) -> dict[str, Any]:
    """Return a document of one operation."""
    return {**document({"/me": {"get": {"operationId": "me", "responses": {}}}}), "servers": [{"url": url}], **fields}


@dataclass
class Party:
    """A TLS server that wants a client certificate, or not, and the files that a client needs."""

    server: Recorder
    bundle: str
    certificate: str
    key: str


def party(folder: Path, verify: ssl.VerifyMode) -> Iterator[Party]:
    """Yield a server, and write a document of it."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = verify
    authority.configure_trust(context)
    mine = authority.issue_cert("me@example.com")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    mine.cert_chain_pems[0].write_to_path(folder / "me.pem")
    mine.private_key_pem.write_to_path(folder / "me.key")
    with recording(context) as server:
        (folder / "api.json").write_text(json.dumps(api(server.url)))
        yield Party(server, *(str(folder / name) for name in ("ca.pem", "me.pem", "me.key")))


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Party]:
    """Return a server with a certificate of an authority of its own."""
    yield from party(tmp_path, ssl.CERT_NONE)


@pytest.fixture
def mutual(tmp_path: Path) -> Iterator[Party]:
    """Return a server that wants a client certificate."""
    yield from party(tmp_path, ssl.CERT_REQUIRED)


async def call(connect: Connect, *arguments: str, **more: Any) -> str:
    """Call the operation and return what is said."""
    async with connect("--spec", "api.json", *arguments, **more) as client:
        return text_of(await client.call_tool("me", {}, raise_on_error=False))


async def test_an_authority_of_one_s_own_can_be_trusted(connect: Connect, private: Party) -> None:
    """Without `--ca-bundle` nothing is sent, and the refusal names it."""
    assert "--ca-bundle" in await call(connect)
    assert private.server.requests == []
    assert "ok" in await call(connect, "--ca-bundle", private.bundle)


async def test_what_is_trusted_is_loaded_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a client thinks, a thread loads the certificates, so that no call waits for that."""
    loaded, threads, create = threading.Event(), list[threading.Thread](), httpx.create_ssl_context

    def noted(verify: bool) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        loaded.set()
        return create(verify=verify)

    monkeypatch.setattr(httpx, "create_ssl_context", noted)
    (tmp_path / "api.json").write_text(json.dumps(api("https://127.0.0.1:9")))
    server = build_server(load_services([Settings(spec=str(tmp_path / "api.json"))]))
    async with Client(server):
        assert await asyncio.to_thread(loaded.wait, 60)
    assert threading.main_thread() not in threads


@pytest.mark.slow
async def test_a_host_can_be_trusted_blindly_and_that_is_said(
    connect: Connect, private: Party, run: Run, tmp_path: Path
) -> None:
    """`--insecure` is about the host that it names, and is reported at each start and by doctor."""
    log = tmp_path / "log"
    assert "--ca-bundle" in await call(connect, "--insecure", "localhost")
    assert "ok" in await call(connect, "--insecure", "127.0.0.1", log_file=log)
    warned = "the TLS certificate of 127.0.0.1 is not verified"
    assert warned in log.read_text(encoding="utf-8")
    assert warned in run("doctor", "--spec", "api.json", "--insecure", "127.0.0.1").stdout


@pytest.mark.slow
@pytest.mark.parametrize("in_one_file", [True, False])
async def test_a_client_certificate_is_presented(
    connect: Connect, mutual: Party, tmp_path: Path, in_one_file: bool
) -> None:
    """A server that wants a client certificate gets it; without one the refusal names the option."""
    trusted = ("--ca-bundle", mutual.bundle)
    assert "--client-cert" in await call(connect, *trusted)
    both = tmp_path / "both.pem"
    both.write_text(Path(mutual.certificate).read_text() + Path(mutual.key).read_text())
    mine = (
        ("--client-cert", str(both))
        if in_one_file
        else ("--client-cert", mutual.certificate, "--client-key", mutual.key)
    )
    assert "ok" in await call(connect, *trusted, *mine)


def test_a_key_with_a_passphrase(run: Run, mutual: Party, tmp_path: Path) -> None:
    """A variable has the passphrase. Without one, or with a wrong one, the start ends with what to do, and no output
    has it.
    """
    pem = load_pem_private_key(Path(mutual.key).read_bytes(), None)
    secret, locked = f"passphrase-{MARKER}", tmp_path / "locked.key"
    locked.write_bytes(pem.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secret.encode())))
    mine = ("--ca-bundle", mutual.bundle, "--client-cert", mutual.certificate, "--client-key", str(locked))
    named = (*mine, "--client-key-passphrase", "MY_PASSPHRASE")
    outcomes = [
        run("call", "me", "--spec", "api.json", *named, env={"MY_PASSPHRASE": secret}),
        run("call", "me", "--spec", "api.json", *mine),
        run("call", "me", "--spec", "api.json", *named),
        run("call", "me", "--spec", "api.json", *named, env={"MY_PASSPHRASE": f"{secret}!"}),
        run("call", "me", "--spec", "api.json", *mine, "--client-key-passphrase", f"{secret} is no name"),
    ]
    assert [each.returncode for each in outcomes] == [0, 2, 2, 2, 2]
    said = [each.stdout + each.stderr for each in outcomes]
    assert "--client-key-passphrase" in said[1]
    assert "MY_PASSPHRASE is not set" in said[2]
    assert "--client-key-passphrase" in said[3]
    assert MARKER not in "".join(said)


async def test_a_client_certificate_is_not_presented_elsewhere(connect: Connect, mutual: Party, tmp_path: Path) -> None:
    """Another host that the API redirects to learns nothing about who calls."""
    with recording() as redirecting:
        redirecting.answer = (302, {"location": f"{mutual.server.url.replace('127.0.0.1', 'localhost')}/me"}, b"")
        (tmp_path / "api.json").write_text(json.dumps(api(redirecting.url)))
        mine = ("--client-cert", mutual.certificate, "--client-key", mutual.key)
        await call(connect, "--ca-bundle", mutual.bundle, *mine, "--insecure", "localhost")
        assert len(redirecting.requests) == 1
    assert mutual.server.requests == []


@pytest.mark.parametrize("option", ["--client-cert", "--ca-bundle"])
def test_an_unusable_file_is_said_at_the_start(run: Run, private: Party, option: str) -> None:
    """A file that is missing, or no certificate, ends the start with one line that names the option."""
    for file, named in (("missing.pem", "missing.pem"), ("api.json", option)):
        ran = run("--spec", "api.json", option, file)
        assert ran.returncode == 2
        assert named in ran.stderr
        assert "Traceback" not in ran.stderr


# Documents behind a login


@pytest.fixture
def closed() -> Iterator[Recorder]:
    """Return a server that has a document for requests with a key only."""
    with recording() as record:
        yield record


ADDED = ("--header", "X-Key=MY_KEY", "--query", "key=MY_QUERY", "--cookie", "sid=MY_SID")
KEYS = {name: f"{name.lower()}-{MARKER}" for name in ("MY_KEY", "MY_QUERY", "MY_SID")}
TARGET = f"/api.json?key=my_query-{MARKER}"


def publish(server: Recorder, target: str = TARGET) -> str:
    """Publish the document at a target, and return its URL without a query."""
    server.answer = (401, {}, b"")
    content = json.dumps(api("/")).encode()
    server.answers[target] = (200, {"content-type": "application/json"}, content)
    return f"{server.url}/api.json"


def named(origin: str) -> tuple[str, str]:
    """Return the option that names all keys for an origin."""
    return "--credentials", ",".join(f"{name}@{origin}" for name in KEYS)


def test_a_document_behind_a_login_is_fetched_with_what_is_named_for_it(run: Run, closed: Recorder) -> None:
    """Credentials that are named for the document's origin fetch it, and are shown nowhere."""
    spec = publish(closed)
    for arguments in (named(closed.url), ("--base-url", closed.url)):
        ran = run("tools", "--spec", spec, *ADDED, *arguments, env=KEYS)
        assert ran.returncode == 0, ran.stderr
        assert closed.last.header("x-key") == KEYS["MY_KEY"]
        assert closed.last.header("cookie") == f"sid={KEYS['MY_SID']}"
        assert MARKER not in ran.stdout + ran.stderr
    assert MARKER not in run("check", "--spec", spec, "--json", *ADDED, *named(closed.url), env=KEYS).stdout


@pytest.mark.slow
@pytest.mark.parametrize("origin", [None, "https://api.example.com"])
def test_a_document_gets_nothing_that_is_not_named_for_it(run: Run, closed: Recorder, origin: str | None) -> None:
    """Whatever an API wants is not sent to whoever publishes its document, and the refusal says how to name it."""
    spec = publish(closed)
    ran = run("tools", "--spec", spec, *ADDED, *(named(origin) if origin else ()), env=KEYS)
    assert ran.returncode == 2
    assert "--credentials VARIABLE@ORIGIN" in ran.stderr
    assert MARKER not in repr(closed.requests)


@pytest.mark.parametrize("target", ["/api.json", TARGET])
def test_a_redirect_of_the_document_takes_no_key_along(
    run: Run, closed: Recorder, recorder: Recorder, target: str
) -> None:
    """Another origin gets no header, cookie or query, not even one that the redirect repeats."""
    spec = publish(closed)
    closed.answers[TARGET] = (302, {"location": f"{recorder.url}{target}"}, b"")
    recorder.answer = (200, {"content-type": "application/json"}, json.dumps(api("/")).encode())
    ran = run("tools", "--spec", spec, *ADDED, *named(closed.url), env=KEYS)
    assert ran.returncode == (0 if target == "/api.json" else 2)
    assert MARKER not in repr(recorder.requests) + ran.stdout + ran.stderr


def test_a_dotenv_does_not_fetch_a_document_with_a_real_key(run: Run, closed: Recorder, tmp_path: Path) -> None:
    """A `.env` of the working directory cannot send a variable of the environment to a document's origin."""
    spec = publish(closed)
    names = ",".join(f"{name}@{closed.url}" for name in KEYS)
    lines = [f"OPEN_MCP_SPEC={spec}", "OPEN_MCP_HEADERS=X-Key=MY_KEY", f"OPEN_MCP_CREDENTIALS={names}"]
    (tmp_path / ".env").write_text("\n".join(lines))
    ran = run("tools", env=KEYS)
    assert ran.returncode == 2
    assert closed.requests == []

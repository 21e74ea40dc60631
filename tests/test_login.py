"""Logins of people and machines at a certified OpenID provider, from the command line to the answer of its API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.browser import visit
from tests.conftest import BARE, ROOT, Connect, Recorder, Run, program, text_of
from tests.openid import items_document, running_openid_provider
from tests.support import document

KEY = RSAKey.generate_key(2048, {"use": "sig"})


@dataclass(frozen=True)
class OpenId:
    """A provider that runs, a document of its API, and the environment of a person without a keyring."""

    url: str
    document: Path
    env: Mapping[str, str]

    def accepts(self, token: str) -> bool:
        """Check whether the provider's API accepts a token."""
        return httpx.get(f"{self.url}/items", headers={"authorization": f"Bearer {token}"}).is_success

    @property
    def logins(self) -> list[Path]:
        return [*Path(self.env["XDG_DATA_HOME"]).rglob("*.json")]


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """Return the URL of the provider."""
    with running_openid_provider(json.dumps(KEY.as_dict(private=False))) as url:
        yield url


@pytest.fixture
def openid(provider_url: str, tmp_path: Path) -> OpenId:
    """Return the provider with a document that names its metadata, and a person with a browser who is new."""
    root = items_document(provider_url)
    document = tmp_path / "items.json"
    document.write_text(json.dumps(root))
    env = {
        "BROWSER": f"{sys.executable} {ROOT / 'tests' / 'browser.py'} %s",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "OPEN_MCP_SPEC": str(document),
    }
    return OpenId(provider_url, document, env)


MACHINES = {
    "client_secret_basic": {"OAUTH_CLIENT_ID": "machine", "OAUTH_CLIENT_SECRET": "machine-S3CRET"},
    "client_secret_post": {"OAUTH_CLIENT_ID": "posting", "OAUTH_CLIENT_SECRET": "posting-S3CRET"},
    "private_key_jwt": {
        "OAUTH_CLIENT_ID": "signing",
        "OAUTH_PRIVATE_KEY": KEY.as_pem(private=True).decode().replace("\n", "\\n"),
    },
}


@pytest.mark.parametrize("method", MACHINES)
def test_a_machine_uses_client_credentials(run: Run, openid: OpenId, method: str) -> None:
    """The provider accepts the client's authentication by each method, and its API the token."""
    done = run("call", "items", env={**openid.env, **MACHINES[method]})
    assert json.loads(done.stdout) == {
        "client": MACHINES[method]["OAUTH_CLIENT_ID"],
        "scope": "read",
        "subject": None,
    }, done.stderr


PERSON = {"OAUTH_CLIENT_ID": "person"}

#: A keyring that is a file.
RING = """
import json, os
from pathlib import Path
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    priority = 1
    name = "a ring"
    path = Path(os.environ["RING"])

    def _read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._read().get(username)

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._read(), username: password}))

    def delete_password(self, service, username):
        self.path.write_text(json.dumps({name: each for name, each in self._read().items() if name != username}))
"""


def test_a_person_logs_in_with_a_browser(run: Run, openid: OpenId) -> None:
    """After a login in the browser, calls carry the person's token, without any variable; `logout` ends that."""
    done = run("login", env={**openid.env, **PERSON})
    assert "Logged in as ada, until" in done.stdout, done.stdout + done.stderr
    called = run("call", "items", env=openid.env)
    assert json.loads(called.stdout)["subject"] == "ada"
    (file,) = openid.logins
    assert file.stat().st_mode & 0o77 == 0
    token = json.loads(file.read_text())["token"]["value"]
    assert openid.accepts(token)
    assert token not in done.stdout + done.stderr + called.stdout + called.stderr
    assert "ada is logged in until" in run("doctor", env=openid.env).stdout
    assert run("logout", env=openid.env).stdout == "Logged out.\n"
    assert openid.logins == []
    assert not openid.accepts(token)
    refused = run("call", "items", env=openid.env)
    assert (refused.returncode, "portkey-bridge login" in refused.stderr) == (1, True)
    assert run("logout", env=openid.env).stdout == "Nobody was logged in.\n"


def test_a_person_logs_in_with_a_code(openid: OpenId, tmp_path: Path) -> None:
    """`login --device` prints a code, and waits until the person has entered it elsewhere."""
    env = {**BARE, **openid.env, **PERSON}
    process = subprocess.Popen(
        program("login", "--device", env=env), env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline().startswith(f"Open {openid.url}/device and enter ")
        visit(process.stdout.readline().split()[-1])
        assert "Logged in as ada, until" in process.stdout.read()
    assert len(openid.logins) == 1


async def test_a_login_is_refreshed(connect: Connect, run: Run, openid: OpenId) -> None:
    """An expired token is refreshed without the person, and what replaces it is kept for other processes."""
    run("login", env={**openid.env, **PERSON})
    (file,) = openid.logins
    login = json.loads(file.read_text())
    before = login["token"]
    login["token"] = {**before, "expires": 1, "renew_at": 1}
    file.write_text(json.dumps(login))
    async with connect(env=openid.env) as client:
        assert json.loads(text_of(await client.call_tool("items", {})))["subject"] == "ada"
    after = json.loads(file.read_text())["token"]
    assert openid.accepts(after["value"])
    assert after["value"] != before["value"]
    assert after["expires"] > before["expires"] - 1


def test_a_login_belongs_to_an_origin(run: Run, openid: OpenId, tmp_path: Path) -> None:
    """A document that sends requests elsewhere does not get the person's token."""
    run("login", env={**openid.env, **PERSON})
    root = json.loads(openid.document.read_text())
    scheme = root["components"]["securitySchemes"]["openid"]
    scheme["openIdConnectUrl"] = f"{openid.url}/.well-known/openid-configuration"
    root["servers"] = [{"url": openid.url.replace("127.0.0.1", "localhost")}]
    openid.document.write_text(json.dumps(root))
    done = run("call", "items", env=openid.env)
    assert (done.returncode, "Nothing was sent" in done.stderr) == (1, True)


def test_a_login_is_kept_in_a_keyring(run: Run, openid: OpenId, tmp_path: Path) -> None:
    """Where there is a keyring, the login is kept there, and in no file."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "ring.py").write_text(RING)
    env = {**openid.env, **PERSON, "PYTHON_KEYRING_BACKEND": "ring.Ring", "RING": str(tmp_path / "ring.json")}
    env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{tmp_path / 'modules'}"
    assert "kept in the keyring (a ring)" in run("login", env=env).stdout
    assert openid.logins == []
    assert json.loads(run("call", "items", env=env).stdout)["subject"] == "ada"
    assert run("logout", env=env).stdout == "Logged out.\n"
    assert json.loads((tmp_path / "ring.json").read_text()) == {}


def test_a_login_needs_a_client(run: Run, openid: OpenId) -> None:
    """Without a client's identifier, `login` names the variable, and exits with 1."""
    done = run("login", env=openid.env)
    assert (done.returncode, done.stderr.partition(".")[0]) == (1, "OAUTH_CLIENT_ID is not set")


def test_a_person_logs_in_to_one_of_several_apis(run: Run, openid: OpenId, tmp_path: Path) -> None:
    """With a settings file of several APIs, `login` takes the name of one."""
    file = tmp_path / "apis.toml"
    portkey = ROOT / "specs" / "portkey.yaml"
    file.write_text(f"[api.first]\nspec = '{openid.document}'\n[api.other]\nspec = '{portkey}'\n")
    env = {**openid.env, **PERSON, "OPEN_MCP_SPEC": "", "OPEN_MCP_CONFIG": str(file)}
    assert "the settings file has several APIs: first, other" in run("login", env=env).stderr
    assert "the closest is first" in run("login", "frist", env=env).stderr
    assert "Logged in as ada, until" in run("login", "first", env=env).stdout


def test_only_the_answer_to_this_login_is_taken(recorder: Recorder, tmp_path: Path) -> None:
    """While `login` listens, it ignores what is too long, has another state, or came by a name that was made to lead
    here, and takes the browser's answer afterwards; the server's words have no secret of it.
    """
    flow = {"authorizationUrl": f"{recorder.url}/authorize", "tokenUrl": f"{recorder.url}/token", "scopes": {}}
    scheme = {"type": "oauth2", "flows": {"authorizationCode": flow}}
    paths = {"/items": {"get": {"operationId": "items", "security": [{"o": []}], "responses": {}}}}
    root = document(paths, components={"securitySchemes": {"o": scheme}}, servers=[{"url": recorder.url}])
    (tmp_path / "api.json").write_text(json.dumps(root))
    body = json.dumps({"error": "invalid_grant", "error_description": "no such code: c0de-S3CRET-1234"}).encode()
    recorder.answers["/token"] = (400, {"content-type": "application/json"}, body)
    env = {**BARE, "OAUTH_CLIENT_ID": "me", "BROWSER": "true", "XDG_DATA_HOME": str(tmp_path / "data")}
    command = program("login", "--spec", "api.json", env=env)
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        asked = parse_qs(urlsplit(process.stdout.readline()).query)
        (redirect,), (state,) = asked["redirect_uri"], asked["state"]
        good = f"/callback?code=c0de-S3CRET-1234&state={state.strip()}"
        host = urlsplit(redirect).netloc

        def answered(target: str, host: str, more: str = "") -> bytes:
            address = ("127.0.0.1", urlsplit(redirect).port or 0)
            with suppress(ConnectionError), socket.create_connection(address) as browser:
                browser.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
                return browser.recv(100)
            return b""

        assert b"200" not in answered(good, host, f"X-Long: {'x' * 200_000}\r\n")
        assert b"404" in answered(good.replace("state=", "state=x"), host)
        assert b"404" in answered(good, "attacker.example")
        assert b"404" in answered(good, f"{host}\r\nHost: attacker.example")
        assert b"404" in answered(good.replace("/callback", "/other"), host)
        assert b"200" in answered(good, host)
        said = process.stderr.read()
    assert process.returncode == 1
    assert "invalid_grant" in said
    assert "Traceback" not in said
    assert "S3CRET" not in said


def test_a_redirect_elsewhere_is_refused(run: Run, openid: OpenId) -> None:
    """The browser is redirected to the loopback interface only."""
    done = run("login", "--redirect", "http://example.com/callback", env={**openid.env, **PERSON})
    assert (done.returncode, "is not a loopback URL" in done.stderr) == (2, True)

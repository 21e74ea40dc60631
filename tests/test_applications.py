"""Real applications, each with the login that it really has: a task through this program, checked by another client."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.applications import found, run_etcd, run_powerdns, running
from tests.conftest import Connect, text_of
from tests.replicas import free_port
from tests.support import document

pytestmark = pytest.mark.slow

SECRET = "S3CRET-of-the-application"  # noqa: S105  # made up


async def call(connect: Connect, tool: str, arguments: dict[str, Any], *options: str, **env: str) -> str:
    """Call a tool in a session of its own, and return what is said, which never has the secret in it."""
    async with connect(*options, env=env) as client:
        said = text_of(await client.call_tool(tool, arguments, raise_on_error=False))
    assert SECRET not in said
    return said


# etcd: user and password for a token, which some servers want and some do not


def etcd_document() -> dict[str, Any]:
    """Return what etcd's own document says about five of its operations."""
    text, flag = {"type": "string"}, {"type": "boolean"}
    bodies: dict[str, dict[str, Any]] = {
        "/v3/kv/put": {"key": text, "value": text},
        "/v3/auth/user/add": {"name": text, "password": text},
        "/v3/auth/user/grant": {"user": text, "role": text},
        "/v3/auth/authenticate": {"name": text, "password": text},
        "/v3/auth/enable": {"unused": flag},
    }
    paths = {
        path: {
            "post": {
                "operationId": path.rpartition("/")[2],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object", "properties": properties}}},
                },
                "responses": {"200": {"description": "OK"}},
            }
        }
        for path, properties in bodies.items()
    }
    schemes = {"ApiKey": {"type": "apiKey", "in": "header", "name": "Authorization"}}
    return document(paths, security=[{"ApiKey": []}], components={"securitySchemes": schemes})


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    """Run etcd without authentication."""
    data = tmp_path / "etcd"
    data.mkdir()
    (tmp_path / "etcd.json").write_text(json.dumps(etcd_document()))
    with run_etcd(data) as url:
        yield url


def etcdctl(url: str, *arguments: str, user: str = "") -> str:
    """Run etcd's own client."""
    credentials = ["--user", user] if user else []
    command = [found("etcdctl"), "--endpoints", url, *credentials, *arguments]
    env = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout


#: A recipe that logs in by itself.
ETCD_LOGIN = """
operation = "authenticate"
arguments = { name = "root", password = "$ETCD_PASSWORD" }
token = "/token"
send = { header = "Authorization", value = "{token}" }
"""


async def test_etcd_without_and_with_authentication(connect: Connect, etcd: str, tmp_path: Path) -> None:
    """A server whose declared security is off takes calls; once it is on, a token from the login does, and a recipe
    that obtains it.
    """
    served = ("--spec", "etcd.json", "--base-url", etcd)
    pair = {"key": "YQ==", "value": "MQ=="}  # a=1
    assert "AUTHORIZATION" in await call(connect, "put", pair, *served)
    assert "revision" in await call(connect, "put", pair, *served, "--authenticate", "none")
    assert etcdctl(etcd, "get", "a") == "a\n1\n"
    for command in ("user add root:" + SECRET, "user grant-role root root", "auth enable"):
        etcdctl(etcd, *command.split())
    refused = await call(connect, "put", pair, *served, "--authenticate", "none")
    assert "user name is empty" in refused
    async with connect(*served) as client:
        login = await client.call_tool("authenticate", {"name": "root", "password": SECRET})
    token = json.loads(text_of(login))["token"]
    said = await call(connect, "put", {"key": "Yg==", "value": "Mg=="}, *served, AUTHORIZATION=token)
    assert token not in said
    assert etcdctl(etcd, "get", "b", user=f"root:{SECRET}") == "b\n2\n"
    (tmp_path / "login.toml").write_text(ETCD_LOGIN)
    said = await call(
        connect, "put", {"key": "Yw==", "value": "Mw=="}, *served, "--login", "login.toml", ETCD_PASSWORD=SECRET
    )
    assert "revision" in said
    assert etcdctl(etcd, "get", "c", user=f"root:{SECRET}") == "c\n3\n"


# PowerDNS: an API key, and the document is behind it


@pytest.fixture
def powerdns(tmp_path: Path) -> Iterator[str]:
    """Run an authoritative server with an empty database."""
    folder = tmp_path / "pdns"
    folder.mkdir()
    with run_powerdns(folder, SECRET) as url:
        yield url


async def test_powerdns_with_a_document_behind_its_key(connect: Connect, powerdns: str, tmp_path: Path) -> None:
    """The key fetches the document and creates a zone, which the server's own tool lists."""
    served = ("--spec", f"{powerdns}/api/docs", "--header", "X-API-Key=PDNS_KEY")
    named = ("--credentials", f"PDNS_KEY@{powerdns}")
    zone = {"server_id": "localhost", "name": "example.org.", "kind": "Native", "nameservers": []}
    said = await call(connect, "createzone", zone, *served, *named, PDNS_KEY=SECRET)
    assert "example.org." in said
    listing = [found("pdnsutil"), f"--config-dir={tmp_path / 'pdns'}", "list-all-zones"]
    assert subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split() == ["example.org"]
    assert "could not be" not in said


# Kinto: user and password, which its document does not ask for


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[str]:
    """Run Kinto in memory."""
    folder = tmp_path / "kinto"
    folder.mkdir()
    port = free_port()
    command = found("kinto", "kinto")
    init = [
        command,
        "init",
        "--ini",
        "kinto.ini",
        "--backend",
        "memory",
        "--cache-backend",
        "memory",
        "--host",
        "127.0.0.1",
    ]
    subprocess.run(init, cwd=folder, check=True, capture_output=True, timeout=180)
    file = folder / "kinto.ini"
    left_out = ("kinto.plugins.admin", "kinto.bucket_create_principals")
    lines = [line for line in file.read_text().splitlines() if not line.strip().startswith(left_out)]
    lines.insert(lines.index("[app:main]") + 1, "kinto.bucket_create_principals = system.Authenticated")
    file.write_text("\n".join(lines))
    started = [command, "start", "--ini", "kinto.ini", "--port", str(port)]
    with running(started, f"http://127.0.0.1:{port}/v1/", folder) as url:
        yield url


async def test_kinto_with_a_login_that_its_document_does_not_ask_for(connect: Connect, kinto: str) -> None:
    """A scheme that a person adds creates a bucket, which belongs to that user."""
    httpx.put(f"{kinto}accounts/jo", json={"data": {"password": SECRET}}).raise_for_status()
    served = ("--spec", f"{kinto}__api__", "--scheme", "basic=MY_LOGIN")
    said = await call(connect, "update_bucket", {"id": "mine", "data": {}}, *served, MY_LOGIN=f"jo:{SECRET}")
    bucket = httpx.get(f"{kinto}buckets/mine", auth=("jo", SECRET))
    assert bucket.status_code == 200, said
    assert bucket.json()["permissions"]["write"] == ["account:jo"]


# jupyter-server: a token, and a document that is narrower than the API


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[str]:
    """Run a Jupyter server with a token."""
    folder = tmp_path / "jupyter"
    (folder / "files").mkdir(parents=True)
    port = free_port()
    options = {"port": port, "ip": "127.0.0.1", "open_browser": False, "root_dir": str(folder / "files")}
    words = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    command = [found("jupyter-server", "jupyter"), "--allow-root", *words, f"--IdentityProvider.token={SECRET}"]
    with running(command, f"http://127.0.0.1:{port}", folder) as url:
        yield url


async def test_jupyter_with_its_token(connect: Connect, jupyter: str, tmp_path: Path) -> None:
    """The token goes in a header with a scheme of its own, and a file is saved that the document cannot describe."""
    found_in = Path(found("jupyter-server", "jupyter")).parents[1]
    (spec,) = found_in.rglob("jupyter_server/services/api/api.yaml")
    served = ("--spec", str(spec), "--base-url", jupyter, "--header", "Authorization=MY_HEADER", "--lenient")
    model = {"path": "a.txt", "type": "file", "format": "text", "content": "Hello"}
    said = await call(connect, "put_api_contents_path_", model, *served, MY_HEADER=f"token {SECRET}")
    assert (tmp_path / "jupyter" / "files" / "a.txt").read_text() == "Hello", said


# Directus: a JWT that soon expires, and a token that renews it


@pytest.fixture
def directus(tmp_path: Path) -> Iterator[str]:
    """Run Directus with an empty SQLite database, whose tokens live for three seconds."""
    folder = tmp_path / "directus"
    folder.mkdir()
    command, port = found("directus", "directus"), free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PATH": f"{Path(command).parent}:{os.environ['PATH']}",
        "DB_CLIENT": "sqlite3",
        "DB_FILENAME": "data.db",
        "SECRET": "any",
        "ADMIN_EMAIL": "jo@example.com",
        "ADMIN_PASSWORD": SECRET,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": url,
        "ADMIN_TOKEN": "another-one",
        "ACCESS_TOKEN_TTL": "3s",
        "PRESSURE_LIMITER_ENABLED": "false",
        "TELEMETRY": "false",
    }
    env = {**settings, "HOME": str(folder)}
    subprocess.run([command, "bootstrap"], cwd=folder, env=env, check=True, capture_output=True, timeout=120)
    with running([command, "start"], f"{url}/server/ping", folder, settings):
        headers = {"Authorization": f"Bearer {settings['ADMIN_TOKEN']}"}
        (tmp_path / "directus.json").write_text(httpx.get(f"{url}/server/specs/oas", headers=headers).text)
        yield url


#: A recipe that logs in once, and renews what expires.
DIRECTUS_LOGIN = """
operation = "login"
arguments = { email = "$DIRECTUS_EMAIL", password = "$DIRECTUS_PASSWORD" }
token = "/data/access_token"
refresh = { operation = "refresh", arguments = { refresh_token = "{/data/refresh_token}" } }
"""


async def test_directus_with_a_token_that_is_renewed(connect: Connect, directus: str, tmp_path: Path) -> None:
    """A role is created, and renamed after the token has expired; the database has both, and one login for them."""
    (tmp_path / "login.toml").write_text(DIRECTUS_LOGIN)
    env = {"DIRECTUS_EMAIL": "jo@example.com", "DIRECTUS_PASSWORD": SECRET}
    served = ("--spec", "directus.json", "--login", "login.toml")
    data = sqlite3.connect(tmp_path / "directus" / "data.db")

    def logins() -> Any:
        return data.execute("select count(*) from directus_activity where action = 'login'").fetchone()[0]

    before = logins()
    async with connect(*served, env=env) as client:
        made = text_of(await client.call_tool("createrole", {"name": "Editors"}, raise_on_error=False))
        role = json.loads(made)["data"]["id"]
        ends = time.monotonic() + 3.5
        while time.monotonic() < ends:
            await client.call_tool("getroles", {})
        said = text_of(await client.call_tool("updaterole", {"id": role, "name": "Authors"}, raise_on_error=False))
    assert data.execute("select name from directus_roles where id = ?", [role]).fetchall() == [("Authors",)], said
    assert logins() == before + 1
    data.close()
    assert SECRET not in made + said


# Chroma: security is declared, but off


@pytest.fixture
def chroma(tmp_path: Path) -> Iterator[str]:
    """Run Chroma without authentication."""
    folder = tmp_path / "chroma"
    folder.mkdir()
    port = free_port()
    command = [found("chroma", "chroma"), "run", "--path", str(folder / "data"), "--host", "127.0.0.1"]
    with running([*command, "--port", str(port)], f"http://127.0.0.1:{port}", folder) as url:
        yield url


async def test_chroma_whose_security_is_off(connect: Connect, chroma: str) -> None:
    """A call that the document forbids without a key is made without one."""
    served = ("--spec", f"{chroma}/openapi.json", "--authenticate", "none")
    place = {"tenant": "default_tenant", "database": "default_database"}
    said = await call(connect, "create_collection", {**place, "name": "notes"}, *served)
    collections = httpx.get(f"{chroma}/api/v2/tenants/default_tenant/databases/default_database/collections").json()
    assert [each["name"] for each in collections] == ["notes"], said


# Pages: in a header of Kinto, and in the bodies of an application on fastapi-pagination


async def read_all(connect: Connect, tool: str, arguments: dict[str, Any], *options: str, **env: str) -> list[Any]:
    """Call a tool and append all further pages; return the items of the kept result."""
    async with connect(*options, env=env) as client:
        said = text_of(await client.call_tool(tool, arguments))
        result_id = said.partition("with resultId ")[2].partition(" ")[0]
        while "There is a next page" in said:
            said = text_of(await client.call_tool("expandResult", {"resultId": result_id, "next": True}))
            assert SECRET not in said
        whole = await client.call_tool("expandResult", {"resultId": result_id, "jsonPointers": [""]})
        body = json.loads(text_of(whole))[0]["value"]
    items: list[Any] = next(value for value in body.values() if isinstance(value, list))
    return items


async def test_kinto_pages(connect: Connect, kinto: str) -> None:
    """All records are read by the header Next-Page, page by page and at once; a new one is there in the next call."""
    user = ("jo", SECRET)
    httpx.put(f"{kinto}accounts/jo", json={"data": {"password": SECRET}}).raise_for_status()
    records = f"{kinto}buckets/b/collections/c/records"
    for url in (f"{kinto}buckets/b", f"{kinto}buckets/b/collections/c"):
        httpx.put(url, auth=user).raise_for_status()
    for number in range(7):
        httpx.post(records, auth=user, json={"data": {"number": number}}).raise_for_status()
    served = ("--spec", f"{kinto}__api__", "--scheme", "basic=MY_LOGIN")
    env = {"MY_LOGIN": f"jo:{SECRET}"}
    arguments = {"bucket_id": "b", "collection_id": "c", "_limit": 3}
    items = await read_all(connect, "get_records", arguments, *served, **env)
    assert sorted(item["number"] for item in items) == [*range(7)]
    async with connect(*served, "--pages", "5", env=env) as client:
        first, second = [text_of(await client.call_tool("get_records", arguments)) for _ in range(2)]
        assert sorted(item["number"] for item in json.loads(first.partition("\n")[0])["data"]) == [*range(7)]
        assert first.partition("\n")[0] == second.partition("\n")[0]
        assert "These are 3 pages as one answer." in second
        httpx.post(records, auth=user, json={"data": {"number": 7}}).raise_for_status()
        third = text_of(await client.call_tool("get_records", arguments))
        assert sorted(item["number"] for item in json.loads(third.partition("\n")[0])["data"]) == [*range(8)]


# The registry of container images: pages by `Link`, and manifests with a validator

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Run a registry with five repositories, each with one image."""
    folder, port = tmp_path / "registry", free_port()
    folder.mkdir()
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "any"},
        "log": {"level": "error"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    with running([found("docker-registry"), "serve", "config.yml"], f"http://127.0.0.1:{port}/v2/", folder) as url:
        for name in "abcde":
            push(url, name, b"{}")
        yield url


def push(url: str, name: str, config: bytes) -> None:
    """Put an image without layers into the registry (OCI Distribution Specification, Push)."""
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    place = httpx.post(f"{url}{name}/blobs/uploads/").headers["location"]
    httpx.put(httpx.URL(place).copy_merge_params({"digest": digest}), content=config).raise_for_status()
    about = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": about, "layers": []}
    sent = json.dumps(manifest).encode()
    httpx.put(f"{url}{name}/manifests/1", content=sent, headers={"content-type": MANIFEST_TYPE}).raise_for_status()


REGISTRY = document(
    {
        "/_catalog": {
            "get": {
                "operationId": "catalog",
                "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}],
                "responses": {"200": {"description": "OK"}},
            }
        },
        "/{name}/manifests/1": {
            "get": {
                "operationId": "manifest",
                "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK", "content": {MANIFEST_TYPE: {}}}},
            }
        },
    }
)


async def test_a_registry_has_pages_and_validators(connect: Connect, registry: str, tmp_path: Path) -> None:
    """All repositories are read by `Link`; the manifest of an image costs a 304 until there is another one."""
    (tmp_path / "registry.json").write_text(json.dumps(REGISTRY))
    served = ("--spec", "registry.json", "--base-url", registry.rstrip("/"))
    assert await read_all(connect, "catalog", {"n": 2}, *served) == [*"abcde"]
    said = await call(connect, "catalog", {"n": 2}, *served, "--pages", "9")
    assert json.loads(said.partition("\n")[0])["repositories"] == [*"abcde"]
    async with connect(*served) as client:
        first, second = [text_of(await client.call_tool("manifest", {"name": "a"})) for _ in range(2)]
        push(registry, "a", b'{"os": "linux"}')
        third = text_of(await client.call_tool("manifest", {"name": "a"}))
    assert first == second
    assert first != third
    log = (tmp_path / "registry" / "log").read_text()
    assert re.findall(r'"GET /v2/a/manifests/1 HTTP/1.1" (\d+)', log) == ["200", "304", "200"]


FASTAPI = """
from fastapi import Depends, FastAPI
from fastapi_pagination import LimitOffsetPage, Page, add_pagination, paginate
from fastapi_pagination.cursor import CursorPage, CursorParams

app = FastAPI()
ROWS = [*range(11)]

@app.get("/numbered", operation_id="numbered")
def numbered() -> Page[int]:
    return paginate(ROWS)

@app.get("/offset", operation_id="offset")
def offset() -> LimitOffsetPage[int]:
    return paginate(ROWS)

@app.get("/cursor", operation_id="cursor")
def cursor(params: CursorParams = Depends()) -> CursorPage[int]:
    at = int(params.to_raw_params().cursor or 0)
    end = at + params.size
    return CursorPage[int].create(ROWS[at:end], params, next_=str(end) if end < len(ROWS) else None, total=len(ROWS))

add_pagination(app)
"""


@pytest.fixture
def fastapi(tmp_path: Path) -> Iterator[str]:
    """Run an application with the three styles of pages of fastapi-pagination."""
    folder = tmp_path / "fastapi"
    folder.mkdir()
    (folder / "numbers_app.py").write_text(FASTAPI)
    port = free_port()
    command = [found("uvicorn", "fastapi"), "numbers_app:app", "--port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/openapi.json", folder) as url:
        yield url


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("numbered", {"size": 4}), ("offset", {"limit": 4}), ("cursor", {"size": 4})],
)
async def test_fastapi_pages(connect: Connect, fastapi: str, tool: str, arguments: dict[str, Any]) -> None:
    """All items are read by page number, offset and cursor, page by page and at once."""
    assert await read_all(connect, tool, arguments, "--spec", fastapi) == [*range(11)]
    said = await call(connect, tool, arguments, "--spec", fastapi, "--pages", "10")
    assert json.loads(said.partition("\n")[0])["items"] == [*range(11)]
    assert "next page" not in said

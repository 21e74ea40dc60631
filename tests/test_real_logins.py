"""APIs that authenticate in ways of their own, and whose documents are silent or wrong about it.

Each is a small server that behaves like a real one, and is used with what `docs/authentication.md` says to type.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tests.conftest import Connect, text_of
from tests.support import document

pytestmark = pytest.mark.slow  # a server each

MARKER = "S3CRET"
KEY, PASSWORD = f"key-{MARKER}-1234", f"pass-{MARKER}-word"
ENVIRON = {"APP_USER": "ada-lovelace", "APP_PASSWORD": PASSWORD}
ACCOUNT = 'username = "$APP_USER", password = "$APP_PASSWORD"'
FORM = "application/x-www-form-urlencoded"


@dataclass
class Asked:
    """A request as an API sees it: `values` are those of a form, of a JSON object or of the query."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    form: dict[str, str]
    json: Any

    def header(self, name: str) -> str:
        """Return the value of a header, "" if there is none."""
        return self.headers.get(name.lower(), "")


Said = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Server:
    """An API with one operation that wants a login. `answer` says how; `sessions` are those that have not ended."""

    answer: Callable[[Server, Asked], Said]
    url: str = ""
    logins: int = 0
    sessions: set[str] = field(default_factory=set)

    def log_in(self, *said: str | None) -> str:
        """Return a new session, "" for a wrong user or password."""
        if said != (ENVIRON["APP_USER"], PASSWORD):
            return ""
        self.logins += 1
        session = f"session-{MARKER}-{self.logins}=="
        self.sessions.add(session)
        return session


@contextmanager
def running(server: Server) -> Iterator[str]:
    """Run an API on the loopback interface and return its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts, headers = urlsplit(self.path), {name.lower(): value for name, value in self.headers.items()}
            cookies = dict(each.split("=", 1) for each in headers.get("cookie", "").split("; ") if each)
            body, media_type = self.rfile.read(int(headers.get("content-length", 0))), headers.get("content-type", "")
            form = dict(parse_qsl(body.decode())) if media_type == FORM else {}
            value = json.loads(body) if media_type == "application/json" else None
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, cookies, form, value)
            status, said, *more = server.answer(server, asked)
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(said, str) else "application/json")
            for name, text in (more[0] if more else {}).items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def written(folder: Path, url: str, schemes: dict[str, Any], security: Any, path: str, method: str) -> list[str]:
    """Write the document of an API, and return the options that name it. `security` is that of the root."""
    operation: dict[str, Any] = {"operationId": "thing", "responses": {"200": {"description": "OK"}}}
    names = [name for name in ("token", "sid") if f"{{{name}}}" in path]
    operation["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    root = document({path: {method: operation}}, servers=[{"url": url}], components={"securitySchemes": schemes})
    (folder / "api.json").write_text(json.dumps(root if security is None else {**root, "security": security}))
    return ["--spec", "api.json"]


# APIs that want a key, each in its way

#: The name of an API, what its document declares, what is typed and set, and what it wants.
API_KEY = {"type": "apiKey", "in": "header", "name": "Authorization"}
KEYS: list[Any] = [
    ("grafana", API_KEY, [], {"AUTHORIZATION": f"Bearer {KEY}"}, {"authorization": f"Bearer {KEY}"}),
    ("gitea", API_KEY, [], {"AUTHORIZATION": f"token {KEY}"}, {"authorization": f"token {KEY}"}),
    ("gitlab", None, ["--header", "PRIVATE-TOKEN=GITLAB_TOKEN"], {"GITLAB_TOKEN": KEY}, {"private-token": KEY}),
    (
        "elasticsearch",
        {"type": "http", "scheme": "ApiKey"},
        [],
        {"APIKEY_AUTH": KEY},
        {"authorization": f"ApiKey {KEY}"},
    ),
    (
        "proxmox",
        {"type": "http", "scheme": "bearer"},
        ["--header", "Authorization=PVE"],
        {"PVE": f"PVEAPIToken=root@pam!mcp={KEY}"},
        {"authorization": f"PVEAPIToken=root@pam!mcp={KEY}"},
    ),
    ("rest-framework", {"type": "http", "scheme": "Token"}, [], {"TOKEN_AUTH": KEY}, {"authorization": f"Token {KEY}"}),
    ("splunk", None, ["--header", "Authorization=S"], {"S": f"Splunk {KEY}"}, {"authorization": f"Splunk {KEY}"}),
    (
        "stripe",
        {"type": "http", "scheme": "basic"},
        [],
        {"BASIC_AUTH": f"{KEY}:"},
        {"authorization": f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}"},
    ),
    (
        "wordpress",
        None,
        ["--scheme", "basic=WP"],
        {"WP": f"ada:abcd efgh {KEY}"},
        {"authorization": f"Basic {base64.b64encode(f'ada:abcd efgh {KEY}'.encode()).decode()}"},
    ),
    (
        "azure",
        {"type": "apiKey", "in": "header", "name": "api-key"},
        ["--query", "api-version=AZ_VERSION"],
        {"API_KEY": KEY, "AZ_VERSION": "2024-10-21"},
        {"api-key": KEY, "?api-version": "2024-10-21"},
    ),
    ("nomad", None, ["--header", "X-Nomad-Token=NOMAD"], {"NOMAD": KEY}, {"x-nomad-token": KEY}),
    ("misspelt", {"type": "http", "scheme": "bearerAuth"}, [], {"API_KEY": KEY}, {"authorization": f"Bearer {KEY}"}),
    ("bearer as a type", {"type": "Bearer"}, [], {"API_KEY": KEY}, {"authorization": f"Bearer {KEY}"}),
    ("undeclared", "missing", ["--scheme", "bearer=T"], {"T": KEY}, {"authorization": f"Bearer {KEY}"}),
    ("switched off", {"type": "http", "scheme": "bearer"}, ["--authenticate", "none"], {}, {}),
]


@pytest.mark.parametrize(("name", "scheme", "options", "env", "wanted"), KEYS, ids=[each[0] for each in KEYS])
async def test_a_key_goes_where_the_api_wants_it(
    connect: Connect, tmp_path: Path, name: str, scheme: Any, options: list[str], env: Any, wanted: Any
) -> None:
    """What the document or the page says to set is enough, and without it the refusal or the answer leads there."""

    def answer(server: Server, asked: Asked) -> Said:
        seen = {each: asked.query.get(each[1:]) if each[0] == "?" else asked.header(each) for each in wanted}
        return (200, "fine") if seen == wanted else (401, {"error": "unauthorized"})

    schemes = {"auth": scheme} if isinstance(scheme, dict) else {}
    with running(Server(answer)) as url:
        spec = written(tmp_path, url, schemes, [{"auth": []}] if scheme else None, "/thing", "get")
        async with connect(*spec, *options, env=env) as client:
            assert text_of(await client.call_tool("thing", {}, raise_on_error=False)) == "fine"
        if not env:
            return
        async with connect(*spec) as client:
            said = text_of(await client.call_tool("thing", {}, raise_on_error=False))
    declared = [variable for variable in env if scheme not in (None, "missing") and variable not in " ".join(options)]
    assert all(each in said for each in declared), said
    if not declared and name != "proxmox":
        assert all(each in said for each in ("--scheme", "--header NAME=VARIABLE", "--login FILE")), said


@pytest.mark.parametrize("in_server", [False, True])
async def test_a_key_in_the_path(connect: Connect, tmp_path: Path, in_server: bool) -> None:
    """As with Telegram: the key is an argument of every operation, or a variable of the server, and no model has it."""
    seen: list[str] = []

    def answer(server: Server, asked: Asked) -> Said:
        seen.append(unquote(asked.path))
        return 200, f"fine {unquote(asked.path)}"

    log = tmp_path / "log"
    with running(Server(answer)) as url:
        server = f"{url}/bot{{token}}" if in_server else url
        spec = written(tmp_path, server, {}, None, "/getMe" if in_server else "/bot{token}/getMe", "get")
        root = json.loads((tmp_path / "api.json").read_text())
        if in_server:
            root["servers"][0]["variables"] = {"token": {"default": "none"}}
        root["paths"]["/health"] = {"get": {"operationId": "health", "responses": {}}}
        (tmp_path / "api.json").write_text(json.dumps(root))
        said = {"target": "$", "update": {"x-mcp": {"arguments": {"token": {"value": "$TELEGRAM"}}}}}
        overlay = {"overlay": "1.0.0", "info": {"title": "t", "version": "1"}, "actions": [said]}
        (tmp_path / "overlay.json").write_text(json.dumps(overlay))
        options = [] if in_server else ["--overlays", "overlay.json"]
        env = {"OPEN_MCP_SERVER_TOKEN" if in_server else "TELEGRAM": f"123:{KEY}"}
        async with connect(*spec, *options, "--verbose", env=env, log_file=log) as client:
            shown = str(await client.list_tools())
            shown += text_of(await client.call_tool("thing", {}))
            shown += text_of(await client.call_tool("health", {}))
    assert seen[0] == f"/bot123:{KEY}/getMe"
    assert MARKER not in shown + log.read_text()


# APIs with a login of their own, which the document does not mention


def bearer(server: Server, asked: Asked) -> Said:
    """Answer as Directus and most others: a login in JSON, whose token is a bearer token."""
    if asked.path == "/auth/login":
        token = server.log_in(asked.json["username"], asked.json["password"])
        return (200, {"data": {"access_token": token}}) if token else (401, {"error": "wrong"})
    return (200, "fine") if asked.header("authorization").removeprefix("Bearer ") in server.sessions else (401, "no")


def jenkins(server: Server, asked: Asked) -> Said:
    """Answer as Jenkins: basic authentication, and a crumb that belongs to a session; without one it is 403."""
    if asked.header("authorization") != f"Basic {base64.b64encode(f'ada-lovelace:{PASSWORD}'.encode()).decode()}":
        return 401, "no"
    if asked.path == "/crumbIssuer/api/json":
        crumb = server.log_in("ada-lovelace", PASSWORD)
        return 200, {"crumb": crumb, "crumbRequestField": "Jenkins-Crumb"}, {"set-cookie": f"JSESSIONID={crumb[::-1]}"}
    crumb = asked.header("jenkins-crumb")
    if crumb in server.sessions and asked.cookies.get("JSESSIONID") == crumb[::-1]:
        return 200, "fine"
    return 403, "No valid crumb was included in the request"


def proxmox(server: Server, asked: Asked) -> Said:
    """Answer as Proxmox: a ticket in a cookie, and a token against forgery that is in the body."""
    if asked.path == "/access/ticket":
        ticket = server.log_in(asked.form.get("username"), asked.form.get("password"))
        if not ticket:
            return 401, {"data": None}
        return 200, {"data": {"ticket": f"PVE:{ticket}", "CSRFPreventionToken": f"csrf:{ticket}"}}
    ticket = asked.cookies.get("PVEAuthCookie", "").removeprefix("PVE:")
    return (
        (200, "fine") if ticket in server.sessions and asked.header("csrfpreventiontoken")[5:] == ticket else (401, "")
    )


def vault(server: Server, asked: Asked) -> Said:
    """Answer as Vault: the user is in the path of the login, and a token that has expired is 403."""
    if asked.path == "/v1/auth/userpass/login/ada-lovelace":
        token = server.log_in("ada-lovelace", asked.json["password"])
        return 200, {"auth": {"client_token": token, "lease_duration": 2764800}}
    return (200, "fine") if asked.header("x-vault-token") in server.sessions else (403, {"errors": ["denied"]})


def django(server: Server, asked: Asked) -> Said:
    """Answer as Django: a form whose token is in a cookie, and sessions without which all is 403."""
    if asked.path == "/login/" and asked.method == "GET":
        return 200, "a form", {"set-cookie": f"csrftoken=before-{MARKER}; Path=/"}
    if asked.path == "/login/":
        assert asked.cookies["csrftoken"] == asked.header("x-csrftoken") == f"before-{MARKER}"
        session = server.log_in(asked.form.get("username"), asked.form.get("password"))
        return (
            302,
            "",
            {"set-cookie": f"sessionid={session}", "Set-Cookie": f"csrftoken=after-{MARKER}", "location": "/"},
        )
    is_safe = asked.header("x-csrftoken") == asked.cookies.get("csrftoken") == f"after-{MARKER}"
    return (200, "fine") if is_safe and asked.cookies.get("sessionid") in server.sessions else (403, "no")


def laravel(server: Server, asked: Asked) -> Said:
    """Answer as Laravel: the token against forgery is escaped in its cookie, and 419 is the end of a session."""
    token = {"set-cookie": f"XSRF-TOKEN=eyJ-{MARKER}%3D%3D"}
    if asked.path == "/sanctum/csrf-cookie":
        return 204, "", token
    if asked.header("x-xsrf-token") != f"eyJ-{MARKER}==":
        return 419, {"message": "CSRF token mismatch."}
    if asked.path == "/login":
        session = server.log_in(asked.json["username"], asked.json["password"])
        if not session:
            return 422, {"message": "These credentials do not match our records."}
        return 200, {}, {**token, "Set-Cookie": f"laravel_session={session}"}
    return (200, "fine") if asked.cookies.get("laravel_session") in server.sessions else (419, "Page Expired")


def superset(server: Server, asked: Asked) -> Said:
    """Answer as Superset: whoever is logged in asks for a token against forgery, which belongs to a cookie."""
    if asked.path == "/security/login":
        assert (asked.json["provider"], asked.json["refresh"]) == ("db", True)
        return 200, {"access_token": server.log_in(asked.json["username"], asked.json["password"])}
    if asked.header("authorization").removeprefix("Bearer ") not in server.sessions:
        return 401, {"msg": "Token has expired"}
    if asked.path == "/security/csrf_token/":
        return 200, {"result": f"csrf-{MARKER}"}, {"set-cookie": f"session=of-{MARKER}"}
    is_safe = (asked.header("x-csrftoken"), asked.cookies.get("session")) == (f"csrf-{MARKER}", f"of-{MARKER}")
    return (200, "fine") if is_safe else (400, {"message": "The CSRF token is missing."})


def metabase(server: Server, asked: Asked) -> Said:
    """Answer as Metabase: the token has a header of its own."""
    if asked.path == "/session":
        return 200, {"id": server.log_in(asked.json["username"], asked.json["password"])}
    return (200, "fine") if asked.header("x-metabase-session") in server.sessions else (401, "Unauthenticated")


def zabbix(server: Server, asked: Asked) -> Said:
    """Answer as Zabbix: login and calls are one operation, and every error is 200."""
    if asked.json and asked.json.get("method") == "user.login":
        account = asked.json["params"]
        return 200, {"jsonrpc": "2.0", "id": 1, "result": server.log_in(account["username"], account["password"])}
    if asked.header("authorization").removeprefix("Bearer ") in server.sessions:
        return 200, "fine"
    return 200, {"error": {"code": -32602, "data": "Session terminated, re-login, please."}}


def splunk(server: Server, asked: Asked) -> Said:
    """Answer as Splunk: a form, and a scheme of its own."""
    if asked.path == "/services/auth/login":
        assert asked.form["output_mode"] == "json"
        return 200, {"sessionKey": server.log_in(asked.form.get("username"), asked.form.get("password"))}
    return (200, "fine") if asked.header("authorization").removeprefix("Splunk ") in server.sessions else (401, "no")


def odoo(server: Server, asked: Asked) -> Said:
    """Answer as Odoo: a session in a cookie, whose end is 200 with an error."""
    if asked.path == "/web/session/authenticate":
        account = asked.json["params"]
        session = server.log_in(account["login"], account["password"])
        return 200, {"result": {"uid": 2}}, {"set-cookie": f"session_id={session}; Path=/; HttpOnly"}
    if asked.cookies.get("session_id") in server.sessions:
        return 200, "fine"
    return 200, {"error": {"code": 100, "message": "Odoo Session Expired"}}


def synology(server: Server, asked: Asked) -> Said:
    """Answer as Synology: everything is in the query, and an error is 200."""
    if asked.query.get("method") == "login":
        sid = server.log_in(asked.query.get("account"), asked.query.get("passwd"))
        return 200, {"data": {"sid": sid}, "success": bool(sid)}
    return 200, "fine" if asked.query.get("_sid") in server.sessions else {"error": {"code": 119}, "success": False}


def qbittorrent(server: Server, asked: Asked) -> Said:
    """Answer as qBittorrent: a cookie, a plain text that says whether the login has worked, and 403 without one."""
    if asked.path == "/auth/login":
        sid = server.log_in(asked.form.get("username"), asked.form.get("password"))
        return (200, "Ok.", {"set-cookie": f"SID={sid}"}) if sid else (200, "Fails.")
    return (200, "fine") if asked.cookies.get("SID") in server.sessions else (403, "Forbidden")


def text_token(server: Server, asked: Asked) -> Said:
    """Answer with a token that is the whole body."""
    if asked.path == "/token":
        return 201, f"{server.log_in(asked.json['username'], asked.json['password'])}\n"
    return (200, "fine") if asked.header("authorization").removeprefix("Bearer ") in server.sessions else (401, "no")


def rotating(server: Server, asked: Asked) -> Said:
    """Answer with another cookie each time; the one before is not taken any more."""
    if asked.path == "/login":
        sid = server.log_in(asked.json["username"], asked.json["password"])
        return (200, {}, {"set-cookie": f"sid={sid}"}) if sid else (401, {"error": "wrong"})
    sid = asked.cookies.get("sid", "")
    if sid not in server.sessions:
        return 401, "no"
    server.sessions.remove(sid)
    server.sessions.add(f"{sid}+")
    return 200, "fine", {"set-cookie": f"sid={sid}+"}


#: What answers, the recipe, further options, the path of the operation
LOGINS: list[tuple[Callable[[Server, Asked], Said], str, list[str], str]] = [
    (
        bearer,
        f'operation = "POST /auth/login"\narguments = {{ {ACCOUNT} }}\ntoken = "/data/access_token"',
        [],
        "/thing",
    ),
    (
        jenkins,
        'operation = "GET /crumbIssuer/api/json"\ncookies = true\n'
        'csrf = { pointer = "/crumb", send = "Jenkins-Crumb" }\nrejected = [403]',
        ["--scheme", "basic=LOGIN"],
        "/thing",
    ),
    (
        proxmox,
        f'operation = "POST /access/ticket"\nmedia_type = "{FORM}"\narguments = {{ {ACCOUNT} }}\n'
        'token = "/data/ticket"\nsend = { cookie = "PVEAuthCookie" }\n'
        'csrf = { pointer = "/data/CSRFPreventionToken", send = "CSRFPreventionToken" }',
        [],
        "/thing",
    ),
    (
        vault,
        f'operation = "POST /v1/auth/userpass/login/{{username}}"\narguments = {{ {ACCOUNT} }}\n'
        'token = "/auth/client_token"\nexpires = "/auth/lease_duration"\nsend = { header = "X-Vault-Token" }\n'
        "rejected = [403]",
        [],
        "/thing",
    ),
    (
        django,
        f'before = "GET URL/login/"\noperation = "POST URL/login/"\nmedia_type = "{FORM}"\n'
        f'arguments = {{ {ACCOUNT} }}\ntoken = {{ cookie = "sessionid" }}\nsend = {{ cookie = "sessionid" }}\n'
        'cookies = true\ncsrf = { cookie = "csrftoken", send = "X-CSRFToken" }\nrejected = [401, 403]',
        ["--base-url", "URL/api"],
        "/thing",
    ),
    (
        laravel,
        f'before = "GET /sanctum/csrf-cookie"\noperation = "POST /login"\narguments = {{ {ACCOUNT} }}\n'
        'cookies = true\ncsrf = { cookie = "XSRF-TOKEN", send = "X-XSRF-TOKEN" }\nrejected = [401, 419]',
        [],
        "/thing",
    ),
    (
        superset,
        f'operation = "POST /security/login"\narguments = {{ {ACCOUNT}, provider = "db", refresh = true }}\n'
        'token = "/access_token"\nafter = "GET /security/csrf_token/"\ncookies = true\n'
        'csrf = { pointer = "/result", send = "X-CSRFToken" }',
        [],
        "/thing",
    ),
    (
        metabase,
        f'operation = "POST /session"\narguments = {{ {ACCOUNT} }}\ntoken = "/id"\n'
        'send = { header = "X-Metabase-Session" }',
        [],
        "/thing",
    ),
    (
        zabbix,
        'operation = "POST /api_jsonrpc.php"\ntoken = "/result"\n'
        'rejected = [{ pointer = "/error/data", value = "Session terminated" }]\n'
        f'[arguments]\njsonrpc = "2.0"\nid = 1\nmethod = "user.login"\nparams = {{ {ACCOUNT} }}',
        [],
        "/api_jsonrpc.php",
    ),
    (
        splunk,
        f'operation = "POST /services/auth/login"\nmedia_type = "{FORM}"\ntoken = "/sessionKey"\n'
        f'arguments = {{ {ACCOUNT}, output_mode = "json" }}\n'
        'send = { header = "Authorization", value = "Splunk {token}" }',
        [],
        "/thing",
    ),
    (
        odoo,
        'operation = "POST /web/session/authenticate"\ncookies = true\n'
        'rejected = [{ pointer = "/error/code", value = 100 }]\n'
        '[arguments]\nparams = { db = "mine", login = "$APP_USER", password = "$APP_PASSWORD" }',
        [],
        "/thing",
    ),
    (
        synology,
        'operation = "GET /auth.cgi"\ntoken = "/data/sid"\nsend = { query = "_sid" }\n'
        'rejected = [{ pointer = "/error/code", value = 119 }]\n'
        'arguments = { method = "login", account = "$APP_USER", passwd = "$APP_PASSWORD" }',
        [],
        "/thing",
    ),
    (
        qbittorrent,
        f'operation = "POST /auth/login"\nmedia_type = "{FORM}"\narguments = {{ {ACCOUNT} }}\ncookies = true\n'
        "rejected = [403]",
        [],
        "/thing",
    ),
    (rotating, f'operation = "POST /login"\narguments = {{ {ACCOUNT} }}\ncookies = true', [], "/thing"),
    (text_token, f'operation = "POST /token"\narguments = {{ {ACCOUNT} }}\ntoken = ""', [], "/thing"),
]


@pytest.mark.parametrize(("answer", "recipe", "options", "path"), LOGINS, ids=[each[0].__name__ for each in LOGINS])
async def test_a_login_that_the_document_does_not_mention(
    connect: Connect, tmp_path: Path, answer: Any, recipe: str, options: list[str], path: str
) -> None:
    """A recipe logs in once, and again after the session has ended, however the API says so. No secret is shown."""
    server = Server(answer)
    env, log = {**ENVIRON, "LOGIN": f"ada-lovelace:{PASSWORD}"}, tmp_path / "log"
    with running(server) as url:
        spec = written(tmp_path, url, {}, None, path, "post")
        (tmp_path / "login.toml").write_text(recipe.replace("URL", url))
        more = [each.replace("URL", url) for each in options]
        async with connect(*spec, "--login", "login.toml", "--verbose", *more, env=env, log_file=log) as client:
            said = [text_of(await client.call_tool("thing", {}, raise_on_error=False)) for _ in range(2)]
            server.sessions.clear()
            said.append(text_of(await client.call_tool("thing", {}, raise_on_error=False)))
            assert said == ["fine"] * 3
        assert server.logins == 2
        async with connect(
            *spec, "--login", "login.toml", *more, env={**env, "APP_PASSWORD": f"no-{MARKER}"}
        ) as client:
            said.append(text_of(await client.call_tool("thing", {}, raise_on_error=False)))
    if answer not in (jenkins, zabbix):  # the first takes no password from the recipe, the other is called anyway
        assert "login failed" in said[-1]
        assert "APP_PASSWORD" in said[-1]
    assert MARKER not in "".join((*said, log.read_text()))

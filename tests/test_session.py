"""Login recipes from end to end: a token or cookies from a login operation, used by all calls and obtained again."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import Cookie, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel

from portkey_bridge.errors import SettingsError
from portkey_bridge.settings.options import Settings
from tests.conftest import Connect, Recorder, Run, text_of
from tests.support import served

MARKER = "S3CRET"
PASSWORD = f"pass-{MARKER}-word"
ENVIRON = {"APP_USER": "ada-lovelace", "APP_PASSWORD": PASSWORD}

BEARER = """
operation = "login"
arguments = { username = "$APP_USER", password = "$APP_PASSWORD" }
token = "/data/access_token"
expires = "/data/expires"
"""
REFRESHED = f"""{BEARER}
[refresh]
operation = "POST /refresh"
arguments = {{ refresh_token = "{{/data/refresh_token}}" }}
"""
BY_HEADER = BEARER.replace('token = "/data/access_token"', 'token = { header = "x-token" }')
BY_COOKIES = """
operation = "POST /form"
before = "GET /form"
cookies = true
csrf = { cookie = "csrftoken", send = "X-CSRFToken" }

[arguments]
username = "$APP_USER"
password = "$APP_PASSWORD"
"""


class Refresh(BaseModel):
    refresh_token: str


class Account(BaseModel):
    username: str
    password: str


@dataclass
class Shop:
    """An application with logins that its document does not declare. `expires` is what it says of a new token."""

    url: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    expires: Any = 3600
    logins: int = 0
    sessions: set[str] = field(default_factory=set)
    refreshes: list[str] = field(default_factory=list)
    refused: int = 0

    def log_in(self, body: Account) -> str:
        """Return a new token. Raises HTTPException for a wrong password."""
        self.logins += 1
        if (body.username, body.password) != (ENVIRON["APP_USER"], PASSWORD):
            raise HTTPException(403, f"wrong: {body.password}")
        token = f"token-{MARKER}-{self.logins}"
        self.sessions.add(token)
        return token

    def require(self, token: str) -> None:
        """Check a token. Raises HTTPException."""
        if token not in self.sessions:
            self.refused += 1
            raise HTTPException(401, f"not logged in: {token}")


def _application(shop: Shop) -> FastAPI:
    app = FastAPI(title="Shop")
    Authorization = Annotated[str, Header(alias="authorization", include_in_schema=False)]

    @app.post("/login", operation_id="login")
    async def login(body: Account, response: Response) -> dict[str, Any]:
        token = response.headers["x-token"] = shop.log_in(body)
        return {"data": {"access_token": token, "expires": shop.expires, "refresh_token": f"first-{MARKER}"}}

    @app.post("/refresh", operation_id="refresh")
    async def refresh(body: Refresh) -> dict[str, Any]:
        shop.refreshes.append(body.refresh_token)
        if len(shop.refreshes) > 2:
            raise HTTPException(401, f"unknown {body.refresh_token}")
        token = f"renewed-{MARKER}-{len(shop.refreshes)}"
        shop.sessions.add(token)
        return {"data": {"access_token": token, "expires": shop.expires, "refresh_token": f"next-{token}"}}

    @app.get("/items", operation_id="items")
    async def items(authorization: Authorization = "") -> str:
        shop.require(authorization.removeprefix("Bearer "))
        return f"echo {authorization}"

    @app.get("/form", operation_id="form")
    async def form(response: Response) -> str:
        response.set_cookie("csrftoken", f"before-{MARKER}")
        return "a form"

    Hidden = Annotated[str, Cookie(include_in_schema=False)]
    Csrf = Annotated[str, Header(alias="x-csrftoken", include_in_schema=False)]

    @app.post("/form", operation_id="post_form")
    async def post_form(body: Account, response: Response, csrftoken: Hidden = "", token: Csrf = "") -> Response:
        if not token or token != csrftoken:
            raise HTTPException(403, "CSRF")
        seen = Response(status_code=303, headers={"location": "/"})
        seen.set_cookie("sessionid", shop.log_in(body))
        seen.set_cookie("csrftoken", f"after-{MARKER}")
        return seen

    @app.post("/orders", operation_id="order")
    async def order(sessionid: Hidden = "", csrftoken: Hidden = "", token: Csrf = "") -> str:
        shop.require(sessionid)
        if token != csrftoken or token != f"after-{MARKER}":
            raise HTTPException(403, "CSRF")
        return f"ordered {sessionid}"

    return app


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Run the application on the loopback interface."""
    state = Shop()
    app = _application(state)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    state.document = {**app.openapi(), "servers": [{"url": state.url}]}
    yield state
    server.should_exit = True
    thread.join()


def settings_of(tmp_path: Path, recipe: str, environ: dict[str, str] = ENVIRON) -> Settings:
    """Return settings with a recipe."""
    path = tmp_path / "login.toml"
    path.write_text(recipe)
    return Settings(login=str(path), environ=environ, concurrency=32)


@pytest.mark.parametrize("recipe", [BEARER, BY_HEADER])
async def test_a_token_is_obtained_once_for_all_calls(shop: Shop, tmp_path: Path, recipe: str) -> None:
    """Thirty-two calls that start together share one login, whose token each carries."""
    async with served(shop.document, settings_of(tmp_path, recipe)) as client:
        results = await asyncio.gather(*(client.call_tool("items", {}) for _ in range(32)))
    assert {text_of(result) for result in results} == {'"echo Bearer [LOGIN]"'}
    assert shop.logins == 1


async def test_cookies_and_a_token_against_forgery(shop: Shop, tmp_path: Path) -> None:
    """A form's login with cookies: the token of the page before it is sent, later that of the login."""
    async with served(shop.document, settings_of(tmp_path, BY_COOKIES)) as client:
        assert text_of(await client.call_tool("order", {})) == '"ordered [LOGIN_COOKIE]"'
        await client.call_tool("order", {})
    assert shop.logins == 1


@pytest.mark.parametrize(("recipe", "tool"), [(BEARER, "items"), (BY_COOKIES, "order")])
async def test_a_session_that_is_rejected_is_replaced(shop: Shop, tmp_path: Path, recipe: str, tool: str) -> None:
    """After a 401 the program logs in again, once for all calls, and repeats them."""
    async with served(shop.document, settings_of(tmp_path, recipe)) as client:
        await client.call_tool(tool, {})
        shop.sessions.clear()
        results = await asyncio.gather(*(client.call_tool(tool, {}) for _ in range(8)))
    assert not any(result.is_error for result in results)
    assert shop.logins == 2


@pytest.mark.parametrize(
    "expires", [0, "0", 1_700_000_000, 1_700_000_000_000, "2024-01-01T00:00:00Z"], ids=lambda value: str(value)
)
async def test_a_session_is_renewed_when_it_expires(shop: Shop, tmp_path: Path, expires: Any) -> None:
    """The time of expiry is a lifetime, or a time in seconds, milliseconds or ISO 8601."""
    shop.expires = expires
    async with served(shop.document, settings_of(tmp_path, BEARER)) as client:
        await client.call_tool("items", {})
        await client.call_tool("items", {})
    assert (shop.logins, shop.refused) == (2, 0)


@pytest.mark.parametrize("expires", [3600, 4_000_000_000, "soon", None])
async def test_a_session_is_kept_until_then(shop: Shop, tmp_path: Path, expires: Any) -> None:
    """A session that is still valid, or of which nobody says how long it is, is used again."""
    shop.expires = expires
    async with served(shop.document, settings_of(tmp_path, BEARER)) as client:
        await client.call_tool("items", {})
        await client.call_tool("items", {})
    assert shop.logins == 1


async def test_a_session_is_refreshed_without_a_login(shop: Shop, tmp_path: Path) -> None:
    """What expires or is rejected is renewed with the last refresh token; once that is refused, there is a new login.

    Neither token is in any result.
    """
    shop.expires = 0
    texts = []
    async with served(shop.document, settings_of(tmp_path, REFRESHED)) as client:
        for _ in range(4):
            texts.append(text_of(await client.call_tool("items", {})))
    assert shop.refreshes == [f"first-{MARKER}", f"next-renewed-{MARKER}-1", f"next-renewed-{MARKER}-2"]
    assert (shop.logins, shop.refused) == (2, 0)
    shop.expires = 3600
    shop.refreshes.clear()
    async with served(shop.document, settings_of(tmp_path, REFRESHED)) as client:
        await client.call_tool("items", {})
        shop.sessions.clear()
        texts.append(text_of(await client.call_tool("items", {})))
        shop.refreshes += ["", ""]
        kept = {"refresh_token": f"next-renewed-{MARKER}-1"}
        texts.append(text_of(await client.call_tool("refresh", kept, raise_on_error=False)))
    assert shop.logins == 3
    assert "unknown [LOGIN_REFRESH]" in texts[-1]
    assert MARKER not in "".join(texts)


@pytest.mark.parametrize(("lifetime", "logins"), [(-1, 2), (3600, 1)])
async def test_a_jwt_says_when_it_expires(
    recorder: Recorder, shop: Shop, tmp_path: Path, lifetime: int, logins: int
) -> None:
    """A recipe without `expires` takes the time from the token itself."""
    payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + lifetime}).encode()).decode().rstrip("=")
    answer = json.dumps({"data": {"access_token": f"e30.{payload}.c2lnbmF0dXJl"}}).encode()
    recorder.answers["/login"] = (200, {"content-type": "application/json"}, answer)
    recipe = BEARER.replace('expires = "/data/expires"', "")
    root = {**shop.document, "servers": [{"url": recorder.url}]}
    async with served(root, settings_of(tmp_path, recipe)) as client:
        await client.call_tool("items", {})
        await client.call_tool("items", {})
    assert [request.target for request in recorder.requests].count("/login") == logins


async def test_how_a_token_is_sent(recorder: Recorder, shop: Shop, tmp_path: Path) -> None:
    """`send` names the header, query parameter or cookie, and what surrounds the token."""
    recorder.answers["/login"] = (200, {"content-type": "application/json"}, b'{"data":{"access_token":"tok-1234"}}')
    root = {**shop.document, "servers": [{"url": recorder.url}]}
    sent = []
    for send in ('{ header = "X-Token", value = "T {token}!" }', '{ query = "t" }', '{ cookie = "c" }'):
        async with served(root, settings_of(tmp_path, f"{BEARER}\nsend = {send}")) as client:
            await client.call_tool("items", {})
        sent.append((recorder.last.header("x-token"), recorder.last.target, recorder.last.header("cookie")))
    assert sent == [("T tok-1234!", "/items", None), (None, "/items?t=tok-1234", None), (None, "/items", "c=tok-1234")]


async def test_no_argument_replaces_a_session(shop: Shop, tmp_path: Path) -> None:
    """An argument for the place of a session is refused."""
    header = {"name": "X-Token", "in": "header", "schema": {"type": "string"}}
    shop.document["paths"]["/items"]["get"]["parameters"] = [header]
    recipe = f'{BEARER}\nsend = {{ header = "x-token" }}'
    async with served(shop.document, settings_of(tmp_path, recipe)) as client:
        text = text_of(await client.call_tool("items", {"X-Token": "mine"}, raise_on_error=False))
    assert "Nothing was sent" in text


async def test_another_origin_gets_nothing(recorder: Recorder, shop: Shop, tmp_path: Path) -> None:
    """An operation with a server of its own gets no session."""
    shop.document["paths"]["/form"]["get"]["servers"] = [{"url": recorder.url}]
    async with served(shop.document, settings_of(tmp_path, BEARER)) as client:
        await client.call_tool("items", {})
        await client.call_tool("form", {})
    assert recorder.last.header("authorization") is None


async def test_a_failed_login_is_explained(shop: Shop, tmp_path: Path) -> None:
    """A wrong password is said with the API's own words and the variables to check, and nothing is sent; it is not
    tried again by the next call at once.
    """
    settings = settings_of(tmp_path, BEARER, {**ENVIRON, "APP_PASSWORD": f"wrong-{MARKER}"})
    async with served(shop.document, settings) as client:
        text = text_of(await client.call_tool("items", {}, raise_on_error=False))
        await client.call_tool("items", {}, raise_on_error=False)
    assert "the login failed, because POST /login answered 403" in text
    assert "Check APP_PASSWORD." in text
    assert "wrong: [APP_PASSWORD]" in text
    assert (shop.logins, shop.refused) == (1, 0)


@pytest.mark.parametrize("at", range(280, 312, 4))
async def test_a_long_refusal_is_cut_without_leaving_a_part_of_a_secret(
    recorder: Recorder, shop: Shop, tmp_path: Path, at: int
) -> None:
    """A secret that is repeated where the text of a failed login is cut off is hidden before the cut."""
    recorder.answers["/login"] = (403, {"content-type": "text/plain"}, b"x" * at + PASSWORD.encode())
    root = {**shop.document, "servers": [{"url": recorder.url}]}
    async with served(root, settings_of(tmp_path, BEARER)) as client:
        said = text_of(await client.call_tool("items", {}, raise_on_error=False))
    assert "answered 403" in said
    assert "pass" not in said.partition("answered 403")[2].replace("APP_PASSWORD", "")


async def test_no_secret_is_shown(connect: Connect, shop: Shop, tmp_path: Path) -> None:
    """Neither password nor token nor cookie is in any result or log."""
    document = tmp_path / "shop.json"
    document.write_text(json.dumps(shop.document))
    log, texts = tmp_path / "log", []
    for recipe in (BEARER, BY_COOKIES):
        settings = settings_of(tmp_path, recipe)
        options = ("--spec", str(document), "--login", str(settings.login), "--verbose")
        async with connect(*options, env=ENVIRON, log_file=log) as client:
            for tool, arguments in (
                ("items", {}),
                ("order", {}),
                ("post_form", {"username": "b", "password": "c"}),
                ("login", {"username": "b", "password": "c"}),
            ):
                texts.append(text_of(await client.call_tool(tool, arguments, raise_on_error=False)))
            shop.sessions.clear()
            texts.append(text_of(await client.call_tool("items", {}, raise_on_error=False)))
            texts.append(str(await client.list_tools()))
    assert MARKER not in "".join([*texts, log.read_text()])


async def test_a_login_that_is_answered_elsewhere_has_failed(recorder: Recorder, shop: Shop, tmp_path: Path) -> None:
    """A session comes from the API itself: what another server answers after a redirect is none."""
    recorder.answers["/login"] = (302, {"location": f"{shop.url}/form"}, b"")
    recipe = 'operation = "GET /login"\ncookies = true'
    root = {**shop.document, "servers": [{"url": recorder.url}]}
    async with served(root, settings_of(tmp_path, recipe)) as client:
        said = text_of(await client.call_tool("items", {}, raise_on_error=False))
    assert "the login failed, because GET /login answered 200" in said
    assert shop.url in said
    assert [request.target for request in recorder.requests] == ["/login"]


@pytest.mark.parametrize("argument", ["user_password", "account_key", "login"])
async def test_a_secret_is_hidden_whatever_its_argument_is_called(
    recorder: Recorder, shop: Shop, tmp_path: Path, argument: str
) -> None:
    """A name such as user_password is that of a secret, and so is what a variable called PASSWORD has."""
    recorder.answers["/sign-in"] = (200, {"content-type": "application/json"}, b'{"t": "token-1234"}')
    recorder.answers["/items"] = (200, {"content-type": "text/plain"}, f"you sent {PASSWORD}".encode())
    recipe = f'operation = "POST /sign-in"\narguments = {{ {argument} = "$APP_PASSWORD" }}\ntoken = "/t"'
    root = {**shop.document, "servers": [{"url": recorder.url}]}
    async with served(root, settings_of(tmp_path, recipe)) as client:
        assert text_of(await client.call_tool("items", {})) == "you sent [APP_PASSWORD]"
    assert json.loads(recorder.requests[0].body) == {argument: PASSWORD}


def test_a_dry_run_shows_where_a_session_goes(run: Run, shop: Shop, tmp_path: Path) -> None:
    """The token, the cookies and the token against forgery have names in the request, and nobody logs in."""
    document = tmp_path / "shop.json"
    document.write_text(json.dumps(shop.document))
    shown = []
    for recipe, tool in ((BEARER, "items"), (BY_COOKIES, "order")):
        options = ("--spec", str(document), "--login", str(settings_of(tmp_path, recipe).login))
        shown.append(run("call", tool, *options, "--dry-run", env=ENVIRON).stdout)
    assert "Authorization: Bearer $LOGIN" in shown[0]
    assert "($LOGIN is obtained by the login recipe)" in shown[0]
    assert "cookie: $LOGIN_COOKIE" in shown[1]
    assert "X-CSRFToken: $LOGIN_CSRF" in shown[1]
    assert (shop.logins, MARKER in "".join(shown)) == (0, False)


def test_doctor_reads_the_recipe(run: Run, shop: Shop, tmp_path: Path) -> None:
    """`doctor` reports the recipe, and a variable of it that is not set is a problem."""
    document = tmp_path / "shop.json"
    document.write_text(json.dumps(shop.document))
    options = ("doctor", "--spec", str(document), "--login", str(settings_of(tmp_path, BEARER).login))
    assert "calls log in with login" in run(*options, env=ENVIRON).stdout
    done = run(*options)
    assert (done.returncode, "APP_USER is not set" in done.stdout) == (1, True)
    settings_of(tmp_path, BEARER.replace('"login"', '"logni"'))
    assert "did you mean login?" in run(*options, env=ENVIRON).stdout
    settings_of(tmp_path, BEARER.replace('"login"', '"POST /sign-in"'))
    assert "POST /sign-in, which the document does not declare" in " ".join(run(*options, env=ENVIRON).stdout.split())


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("", "missing required field `operation`"),
        ("operation = ", "Invalid value"),
        ('operation = "login"', "set token to the place"),
        ('operation = "logni"\ncookies = true', "did you mean login?"),
        (f"{BEARER}\nexpire = 3", "unknown field `expire`"),
        (f'{BEARER}\norigin = "https://shop.example"', "but login is sent to http://127.0.0.1"),
        (BEARER.replace("$APP_USER", "$NOT_SET"), "NOT_SET is not set"),
        (REFRESHED.replace("POST /refresh", "reffresh"), "which is not an operation; did you mean refresh?"),
    ],
)
async def test_a_wrong_recipe_is_refused_at_the_start(shop: Shop, tmp_path: Path, recipe: str, problem: str) -> None:
    """What is wrong with a recipe is said before any call."""
    with pytest.raises(SettingsError) as raised:
        async with served(shop.document, settings_of(tmp_path, recipe)):
            pass
    assert problem in str(raised.value)

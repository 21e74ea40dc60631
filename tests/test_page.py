"""The page at `/` of a server over HTTP, in a real browser: what it shows, sends and refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests import oauth_app
from tests.conftest import Recorder
from tests.node import MODULES, missing
from tests.replicas import free_port
from tests.support import document, serving

pytestmark = pytest.mark.slow  # a browser

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

Json = dict[str, Any]

JSON = {"content-type": "application/json"}

MARKER = "marker-of-the-server-1"
ALICE = "token-of-alice-1234"
TOKENS = f"alice={hashlib.sha256(ALICE.encode()).hexdigest()}"
EVIL = "</script><img src=x onerror=alert(1)><b>bold</b>"
ENTER, TAB, DOWN, RIGHT, SPACE, BACKSPACE = "\ue007", "\ue004", "\ue015", "\ue014", " ", "\ue003"

PET: Json = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": EVIL},
        "kind": {"enum": ["cat", "dog"]},
        "weight": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "mother": {"$ref": "#/components/schemas/Pet"},
    },
}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}


def api(url: str, **fields: Any) -> Json:
    """Return a document whose operations need a key, with hostile words."""
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}
    paths: Json = {
        "/pets": {
            "get": {"operationId": "listPets", "summary": f"Find {EVIL}", "tags": [EVIL], "responses": {}},
            "post": {"operationId": "createPet", "summary": "Add a pet", "requestBody": body, "responses": {}},
        },
        "/pets/{id}": {
            "delete": {"operationId": "deletePet", "parameters": [ID], "x-mcp": {"confirm": True}, "responses": {}}
        },
    }
    key = {"type": "apiKey", "in": "header", "name": "x-pets-key"}
    return document(
        paths,
        info={"title": f"Pets {EVIL}", "version": "1"},
        servers=[{"url": url}],
        security=[{"key": []}],
        components={"securitySchemes": {"key": key}, "schemas": {"Pet": PET}},
        **fields,
    )


KEY = {"X_PETS_KEY": MARKER}


@contextmanager
def site(folder: Path, root: Json, *arguments: str, **env: str) -> Iterator[str]:
    """Run a server of the document, and yield the URL of its page."""
    with serving(folder, root, *arguments, env={**KEY, **env}) as (url, _):
        yield url.removesuffix("mcp")


# What the page and its data are, without a browser.


def test_no_other_site_gets_at_the_page(recorder: Recorder, tmp_path: Path) -> None:
    """The page allows its own script alone and no frame, and names nothing of the API; no answer is kept."""
    with site(tmp_path, api(recorder.url)) as url:
        page = httpx.get(url)
        assert "Pets" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        for path in ("", "page/catalogue", "page/form?name=createpet"):
            headers = httpx.get(url + path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers


#: Requests to the page's data that are refused: headers, the content type, and the status.
FOREIGN = [
    ({"host": "evil.example"}, "application/json", 421),
    ({"origin": "https://evil.example"}, "application/json", 403),
    ({"origin": "null"}, "application/json", 403),
    ({"x-forwarded-for": "203.0.113.9"}, "application/json", 403),
    ({}, "text/plain", 415),
    ({}, "application/x-www-form-urlencoded", 415),
]


@pytest.mark.parametrize(("headers", "media_type", "status"), FOREIGN)
def test_foreign_requests_get_nothing(
    recorder: Recorder, tmp_path: Path, headers: Json, media_type: str, status: int
) -> None:
    """Other sites, names and proxies, and what a form of another site could send, get neither request nor call."""
    asked = json.dumps({"name": "listpets", "arguments": {}})
    with site(tmp_path, api(recorder.url)) as url:
        answer = httpx.post(f"{url}page/request", content=asked, headers={"content-type": media_type, **headers})
        assert answer.status_code == status
        if headers:
            for path in ("page/catalogue", "page/form?name=listpets"):
                assert httpx.get(url + path, headers=headers).status_code == status
    assert recorder.requests == []


def test_a_message_of_the_protocol_is_no_request_of_the_page(recorder: Recorder, tmp_path: Path) -> None:
    """Only the endpoint carries calls out."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "listpets", "arguments": {}}}
    headers = {"accept": "application/json, text/event-stream"}
    with site(tmp_path, api(recorder.url)) as url:
        assert httpx.post(f"{url}page/request", json=message, headers=headers).status_code == 400
    assert recorder.requests == []


def test_the_request_has_variables_instead_of_secrets(recorder: Recorder, tmp_path: Path) -> None:
    """The exact request is shown as HTTP and curl; credentials and fixed values of variables are their names."""
    root = api(f"{recorder.url.replace('://', '://user:password-in-url@')}")
    root["paths"]["/pets"]["get"]["parameters"] = [{"name": "fixed", "in": "query", "schema": {"type": "string"}}]
    (tmp_path / "pets.toml").write_text(
        '[api.pets]\nspec = "api.json"\nbase_url = "http://u:password-in-url@127.0.0.1:9/?q=secret-in-query&k=short"\n'
        '[api.pets.env]\nX_PETS_KEY = "$X_PETS_KEY"\nSHORT = "$SHORT"\n'
        '[api.pets.operations.listpets.arguments]\nfixed = { value = "$SHORT" }\n'
    )
    with site(tmp_path, root, "--config", str(tmp_path / "pets.toml"), SHORT="sesame") as url:
        shown = httpx.post(f"{url}page/request", json={"name": "pets_listpets", "arguments": {}}).json()
        whole = json.dumps(shown)
        assert "x-pets-key: $X_PETS_KEY" in shown["http"]
        assert "fixed=$SHORT" in shown["http"]
        assert "k=[OPEN_MCP_BASE_URL]" in shown["curl"]
        pages = [httpx.get(url + path).text for path in ("", "page/catalogue", "page/form?name=pets_listpets")]
        for secret in (MARKER, "sesame", "password-in-url", "secret-in-query", "short"):
            assert all(secret not in text for text in (whole, *pages)), secret


def test_without_a_token_nothing_is_shown(recorder: Recorder, tmp_path: Path) -> None:
    """Where tokens are required, the page has no data for a visitor without one."""
    with site(tmp_path, api(recorder.url), "--tokens", TOKENS) as url:
        assert httpx.get(url).status_code == 200
        for path in ("page/catalogue", "page/form?name=listpets"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, headers={"authorization": "Bearer other"}).status_code == 401
            assert httpx.get(url + path, headers={"authorization": f"Bearer {ALICE}"}).status_code == 200
        asked = {"name": "listpets", "arguments": {}}
        assert httpx.post(f"{url}page/request", json=asked).status_code == 401


def test_a_visitor_sees_what_its_roles_may_use(recorder: Recorder, tmp_path: Path) -> None:
    """What a caller may not use does not exist on the page: not in the list, as a form or as a request."""
    tokens = f"{TOKENS},bob={hashlib.sha256(b'token-of-bob-123456').hexdigest()}"
    roles = '[serve.roles.reader]\nread_only = true\n[serve.roles.admin]\ncallers = ["alice"]\n'
    (tmp_path / "team.toml").write_text(f'[api.pets]\nprefix = ""\nspec = "api.json"\n{roles}')
    source = ("--config", str(tmp_path / "team.toml"), "--tokens", tokens)
    with serving(tmp_path, api(recorder.url), *source, env=KEY) as (url, _), httpx.Client() as http:
        site = url.removesuffix("mcp")
        seen = {}
        for token in (ALICE, "token-of-bob-123456"):
            http.headers["authorization"] = f"Bearer {token}"
            listed = http.get(f"{site}page/catalogue").json()["tools"]
            form = http.get(f"{site}page/form?name=createpet").status_code
            request = http.post(f"{site}page/request", json={"name": "createpet", "arguments": {"name": "x"}})
            seen[token] = [tool["name"] for tool in listed], form, request.status_code
        assert seen[ALICE] == (["listpets", "createpet", "deletepet"], 200, 200)
        assert seen["token-of-bob-123456"] == (["listpets"], 404, 404)


def test_a_page_behind_tls_is_of_this_server(recorder: Recorder, tmp_path: Path) -> None:
    """Behind a proxy with TLS the page may ask under the allowed names, and other pages may not."""
    with site(tmp_path, api(recorder.url), "--tokens", TOKENS, "--allowed-hosts", "mcp.example.com") as url:
        asked = {"name": "listpets", "arguments": {}}
        headers = {"authorization": f"Bearer {ALICE}", "host": "mcp.example.com"}
        for origin, status in (("https://mcp.example.com", 200), ("https://evil.example.com", 403)):
            answer = httpx.post(f"{url}page/request", json=asked, headers={**headers, "origin": origin})
            assert answer.status_code == status


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_a_browser = pytest.mark.skipif(
    not BROWSER or not DRIVER, reason="needs Chromium and its driver (Debian: chromium, chromium-driver)"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
    "--window-size=1200,900",
)


#: Seconds that something has to appear on a page, on a machine that does much else.
PATIENCE = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Return a headless browser with a profile of its own, which logs what a page complains of."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = Chrome(options=options, service=ChromeService(DRIVER))
        driver.implicitly_wait(PATIENCE)
        yield driver
        driver.quit()


class Visitor:
    """A person who uses the page."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        browser.get("about:blank")
        browser.get_log("browser")  # type: ignore[no-untyped-call]
        browser.get(url)

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.browser.switch_to.active_element.send_keys(*keys)

    def find(self, selector: str) -> WebElement:
        """Wait for an element."""
        return self.browser.find_element("css selector", selector)

    def count(self, selector: str) -> int:
        """Return how many such elements there are now."""
        return int(self.browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector))

    def wait(self, selector: str, text: str) -> str:
        """Wait until an element contains a text, and return all of its text."""
        return str(self.until(lambda: [found for found in [self.find(selector).text] if text in found])[0])

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition is true, and return what it is."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        # Where one page gives way to the next, the browser refuses an element of the old one in more than one way.
        waiting = WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[WebDriverException])
        return waiting.until(lambda _: condition())

    def field(self, name: str, at: int = 0) -> WebElement:
        """Return a field of this name."""
        label = self.browser.find_elements("xpath", f"//label[code='{name}']")[at]
        return self.find(f"#{label.get_attribute('for')}")

    @property
    def complaints(self) -> list[Any]:
        """What the page has complained of since it was opened."""
        return list(self.browser.get_log("browser"))  # type: ignore[no-untyped-call]

    @property
    def focused(self) -> WebElement:
        """What has the focus."""
        return self.browser.switch_to.active_element


@needs_a_browser
def test_a_call_by_keyboard(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A person finds a tool, fills in its form, sees the request, calls, and reads the answer without a mouse."""
    recorder.answers["/pets"] = (200, {"content-type": "application/json"}, b'{"id":12345678901234567890,"x":1.10}')
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, url)
        visitor.wait("#count", "3 of 3 tools")
        visitor.press("/", "createpet", ENTER)
        visitor.find(".tool[open] form.call textarea")
        visitor.press(TAB)
        assert visitor.focused.get_attribute("aria-required") == "true"
        visitor.press('Mimi / "the cat"', TAB, "dog", TAB, "0.5", TAB, SPACE)
        visitor.press("soft")
        shown = visitor.wait(".outcome pre", '"soft"')  # which is entered last
        assert shown.startswith("POST /pets HTTP/1.1")
        assert "x-pets-key: $X_PETS_KEY" in shown
        visitor.press(ENTER)
        visitor.wait("[role=status].done", "Answered")
        answer = visitor.wait(".outcome section:last-child pre", "12345678901234567890")
        assert '"x": 1.10' in answer
        assert recorder.last.header("x-pets-key") == MARKER
        sent = recorder.last.body.decode()
        assert shown.endswith(sent)
        assert json.loads(sent) == {"name": 'Mimi / "the cat"', "kind": "dog", "weight": 0.5, "tags": ["soft"]}
        assert visitor.complaints == []
        assert MARKER not in browser.page_source


@needs_a_browser
def test_a_large_answer_is_read_in_parts(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """The view of a large answer comes with a field for the pointers that it names."""
    items = [{"id": number, "text": f"text of {number} " * 50} for number in range(300)]
    recorder.answers["/pets"] = (200, {"content-type": "application/json"}, json.dumps({"items": items}).encode())
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, f"{url}#tool/listpets")
        visitor.find("form.call button.send").click()
        visitor.wait(".outcome section:last-child pre", "resultId")
        visitor.find("form.part input").send_keys("/items/299/id", ENTER)
        visitor.wait("form.part + div pre", "299")


@needs_a_browser
def test_the_next_page_is_read(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """An answer that has a next page comes with a button that fetches it."""
    headers = {"content-type": "application/json", "link": '</pets?page=2>; rel="next"'}
    recorder.answers["/pets"] = (200, headers, b'[{"id":1}]')
    recorder.answers["/pets?page=2"] = (200, JSON, b'[{"id":2}]')
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, f"{url}#tool/listpets")
        visitor.find("form.call button.send").click()
        visitor.find("form.part button[type=button]").click()
        visitor.wait("form.part + div", "Appended 1 items")
        assert recorder.last.target == "/pets?page=2"


@needs_a_browser
def test_a_file_is_sent(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A field of bytes takes a file, whose bytes reach the API."""
    root = api(recorder.url)
    photo = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
    root["paths"]["/photo"] = {"put": {"operationId": "putPhoto", "requestBody": photo, "responses": {}}}
    (tmp_path / "cat.png").write_bytes(b"\x89PNG \x00\xff")
    with site(tmp_path, root) as url:
        visitor = Visitor(browser, f"{url}#tool/putphoto")
        visitor.find("form.call input[type=file]").send_keys(str(tmp_path / "cat.png"))
        visitor.wait(".outcome pre", "PUT /photo")
        visitor.find("form.call button.send").click()
        visitor.wait("[role=status].done", "Answered")
        assert recorder.last.body == b"\x89PNG \x00\xff"


@needs_a_browser
def test_everything_has_a_name_for_screen_readers(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """Each field, button and group has an accessible name, and a description where the document has one."""
    with site(tmp_path, api(recorder.url), "--tokens", TOKENS, "--pass-header", "x-pets-key") as url:
        visitor = Visitor(browser, f"{url}#tool/createpet")
        token, _ = browser.find_elements("css selector", "#access input")
        token.send_keys(ALICE, ENTER)
        visitor.find("form.call textarea")
        for button in browser.find_elements("css selector", "form.call [type=button].small, form.call .more > summary"):
            if button.is_displayed():
                button.click()
        named = "input, textarea, select, button, summary, fieldset, pre, section.panel"
        elements = [each for each in browser.find_elements("css selector", named) if each.is_displayed()]
        assert len(elements) > 15
        assert [each.get_attribute("outerHTML") for each in elements if not each.accessible_name.strip()] == []
        assert "name" in visitor.find("form.call textarea").accessible_name
        described = str(visitor.find("form.call textarea").get_attribute("aria-describedby")).split()[0]
        assert EVIL in visitor.find(f"#{described}").text


@needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_independent_judge_finds_no_barrier(
    recorder: Recorder, tmp_path: Path, browser: Chrome, scheme: str
) -> None:
    """axe-core finds nothing wrong with the list, forms, what is wrong in one, and an answer."""
    judge = MODULES / "axe-core" / "axe.min.js"
    if not judge.exists():
        missing("axe-core is not installed; npm install --prefix .ci does it")
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def check() -> None:
        browser.execute_script(judge.read_text())
        judged = browser.execute_async_script("axe.run().then(arguments[0])")
        assert len(judged["passes"]) > 20
        assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in judged["violations"]] == []

    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, url)
        visitor.find(".tool")
        check()
        outcomes = ((".tool[open] .status", "Answered"), (".tool[open] form.call > .wrong", "Nothing was sent"))
        for tool, outcome in zip(browser.find_elements("css selector", ".tool > summary"), outcomes, strict=False):
            tool.click()
            visitor.find(".tool[open] form.call button.send").click()
            visitor.wait(*outcome)
            check()
            tool.click()


@needs_a_browser
def test_what_is_wrong_is_said_where_it_is(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A field that is missing is marked, described, focused and announced, and nothing is sent."""
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, f"{url}#tool/createpet")
        visitor.find("form.call button.send").click()
        visitor.wait("form.call [role=alert]", "Nothing was sent")
        field = visitor.focused
        assert field.get_attribute("aria-invalid") == "true"
        ids = str(field.get_attribute("aria-describedby")).split()
        assert "required" in " ".join(visitor.find(f"#{each}").text for each in ids)
    assert recorder.requests == []


@needs_a_browser
def test_what_is_wrong_inside_is_said_inside(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A field of a nested object, of an item, or of one kind of several is marked itself, and its groups are open."""
    day = {"oneOf": [{"type": "integer"}, {"type": "boolean"}]}
    visit = {"type": "object", "properties": {"day": day, "vet": {"type": "string", "minLength": 3}}}
    root = api(recorder.url)
    pet = root["components"]["schemas"]["Pet"]
    pet = {**pet, "properties": {**pet["properties"], "visits": {"type": "array", "items": visit}}}
    root["components"]["schemas"]["Pet"] = pet
    with site(tmp_path, root) as url:
        visitor = Visitor(browser, f"{url}#tool/createpet")
        visitor.find("form.call textarea").send_keys("Mimi")
        opened = next(each for each in browser.find_elements("css selector", "summary") if "mother" in each.text)
        opened.click()
        visitor.field("kind", 1).send_keys("cat")
        opened.click()
        add = browser.find_elements("xpath", "//button[.='Add to visits']")[-1]
        add.click()
        add.click()
        visitor.find("[aria-label='day']").send_keys("x")
        visitor.field("vet", 1).send_keys("x")
        visitor.find("form.call > .actions button.send").click()
        visitor.wait("form.call [role=alert]", "Correct what is marked")
        marked = browser.find_elements("css selector", "[aria-invalid=true]")
        assert [each.accessible_name.split()[0] for each in marked] == ["name", "day", "vet"]
        assert all(each.is_displayed() for each in marked)
        assert visitor.focused == marked[0]
        for field, said in zip(marked, ("required", "integer", "3"), strict=True):
            ids = str(field.get_attribute("aria-describedby")).split()
            assert said in " ".join(visitor.find(f"#{each}").text for each in ids if "wrong" in each)
        marked[0].send_keys("Ada")
        marked[1].send_keys(BACKSPACE, "5")
        marked[2].send_keys("yz")
        visitor.press(ENTER)
        visitor.wait("[role=status].done", "Answered")
        assert browser.find_elements("css selector", "[aria-invalid=true]") == []
    sent = {"name": "Mimi", "mother": {"name": "Ada", "kind": "cat"}, "visits": [{"day": 5}, {"vet": "xyz"}]}
    assert json.loads(recorder.last.body) == sent


@needs_a_browser
def test_a_person_confirms_on_the_page(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A tool that needs confirmation asks in a dialog; what is declined is not sent, what is confirmed is."""
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, f"{url}#tool/deletepet")
        visitor.find("form.call input").click()
        visitor.press("7", ENTER)
        assert '"id": 7' in visitor.wait("dialog", "DELETE /pets/{id}")
        visitor.press(ENTER)  # the focus is on the refusal
        visitor.wait("[role=status].failed", "Failed")
        assert recorder.requests == []
        visitor.find("form.call button.send").click()
        visitor.find("dialog button.send").click()
        visitor.wait("[role=status].done", "Answered")
        assert (recorder.last.method, recorder.last.target) == ("DELETE", "/pets/7")


@needs_a_browser
def test_hostile_words_stay_words(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """Names, descriptions and answers that contain markup are shown as they are written."""
    recorder.answers["/pets"] = (200, {"content-type": "text/html"}, EVIL.encode())
    with site(tmp_path, api(recorder.url)) as url:
        visitor = Visitor(browser, f"{url}#tool/createpet")
        assert EVIL in visitor.wait("form.call", EVIL)
        visitor.find("form.call textarea").click()
        visitor.press("x", ENTER)
        visitor.wait(".outcome section:last-child pre", EVIL)
        assert visitor.count("img, b:not(summary b), main script") == 0
        assert EVIL in browser.title
        assert visitor.complaints == []


@needs_a_browser
def test_a_visitor_enters_with_a_token(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """Without a token there is a field for it and no catalogue; the token is stored nowhere, and can be forgotten."""
    with site(tmp_path, api(recorder.url), "--tokens", TOKENS) as url:
        visitor = Visitor(browser, url)
        field = visitor.find("#access input")
        assert "Pets" not in browser.page_source
        field.send_keys("wrong", ENTER)
        visitor.wait("#access [role=alert]", "not one that it accepts")
        field.clear()
        field.send_keys(ALICE, ENTER)
        visitor.wait("#count", "3 of 3 tools")
        browser.get(f"{url}#tool/listpets")
        visitor.find("form.call button.send").click()
        visitor.wait("[role=status].done", "Answered")
        kept = browser.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]")
        assert kept == [0, 0, ""]
        visitor.find("#leave").click()
        visitor.wait("#access", "answers callers with a token")
        assert "Pets" not in browser.page_source


@contextmanager
def provider() -> Iterator[str]:
    """Run an authorization server at which everybody is logged in as Carol, and yield its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            back = urlencode({"code": "code-of-carol", "state": query["state"][0]})
            self.send_response(302)
            self.send_header("location", f"{query['redirect_uri'][0]}?{back}")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            token = {"access_token": "token-of-carol", "token_type": "bearer", "expires_in": 3600}
            answer = token if self.path == "/token" else {"active": True, "sub": "carol", "client_id": "bridge"}
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_login(folder: Path, provider_url: str, address: str, more: str = "") -> None:
    """Write settings with a server at an address that issues tokens after a login at the provider."""
    (folder / "team.toml").write_text(f'''
[api.pets]
prefix = ""
spec = "api.json"
{more}
[serve.auth]
provider = "oauth-proxy"
upstream_authorization_endpoint = "{provider_url}/authorize"
upstream_token_endpoint = "{provider_url}/token"
upstream_client_id = "bridge"
upstream_client_secret = "$UPSTREAM_SECRET"
base_url = "http://{address}"
[serve.auth.token_verifier]
provider = "introspection"
introspection_url = "{provider_url}/introspect"
client_id = "bridge"
client_secret = "$UPSTREAM_SECRET"
''')


@needs_a_browser
def test_a_visitor_logs_in(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """Where the server issues tokens after a login, the page logs in like any client, and keeps the token in memory."""
    address = f"127.0.0.1:{free_port()}"
    with provider() as other:
        write_login(tmp_path, other, address)
        arguments = ("--config", str(tmp_path / "team.toml"), "--http", address)
        with site(tmp_path, api(recorder.url), *arguments, UPSTREAM_SECRET=MARKER) as url:
            visitor = Visitor(browser, f"{url}#tool/listpets")
            visitor.find("#access .login:not([hidden])").click()
            visitor.find("form button[value=approve]").click()
            visitor.find("form.call button.send").click()
            visitor.wait("[role=status].done", "Answered")
            assert browser.current_url == f"{url}#tool/listpets"
            kept = browser.execute_script("return [localStorage.length, sessionStorage.length]")
            assert kept == [0, 0]
            browser.get("about:blank")
            browser.get(f"{url}?code=code-of-somebody-else&state=guessed")
            visitor.wait("#access [role=alert]", "not the answer to a login of this page")


@needs_a_browser
def test_a_visitor_brings_the_credential_that_is_passed_through(
    recorder: Recorder, tmp_path: Path, browser: Chrome
) -> None:
    """With --pass-header there is a field for the visitor's own credential, which the API gets; the page shows none."""
    with site(tmp_path, api(recorder.url), "--pass-header", "x-pets-key") as url:
        visitor = Visitor(browser, f"{url}#tool/listpets")
        visitor.find("#access input").send_keys("key-of-the-visitor")
        assert "x-pets-key: $X_PETS_KEY" in visitor.wait(".outcome pre", "x-pets-key")
        visitor.find("form.call button.send").click()
        visitor.wait("[role=status].done", "Answered")
        assert recorder.last.header("x-pets-key") == "key-of-the-visitor"


@needs_a_browser
def test_the_page_follows_the_document(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A document that changes is on the page when the visitor comes back to it."""
    root = api(recorder.url)
    with site(tmp_path, root) as url:
        visitor = Visitor(browser, url)
        visitor.wait("#count", "3 of 3 tools")
        del root["paths"]["/pets/{id}"]
        (tmp_path / "api.json").write_text(json.dumps(root))

        def has_changed() -> bool:
            browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
            return visitor.find("#count").text == "2 of 2 tools"

        visitor.until(has_changed)


@needs_a_browser
def test_a_thousand_tools_and_a_small_screen(recorder: Recorder, tmp_path: Path, browser: Chrome) -> None:
    """A form is made when its tool is opened, and nothing is wider than a phone."""
    root = api(recorder.url)
    operation = root["paths"]["/pets"]["post"]
    root["paths"] = {f"/pets{n}": {"post": {**operation, "operationId": f"createPet{n}"}} for n in range(1000)}
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    with site(tmp_path, root) as url:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        visitor = Visitor(browser, url)
        visitor.wait("#count", "1000 of 1000 tools")
        assert visitor.count("form.call") == 0
        visitor.press("/", "createpet777", ENTER)
        visitor.find(".tool[open] form.call textarea")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 360
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


FLOW: Json = {"authorizationCode": {"authorizationUrl": "/authorize", "tokenUrl": "/token"}}


def login_address(url: str) -> str:
    """Return the address at which Alice is asked to log in when she calls a tool."""
    params = {"name": "list_items", "arguments": {}}
    headers = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {ALICE}"}
    called = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"{url}mcp", json=called, headers=headers, timeout=PATIENCE).json()
    words: list[str] = answer["result"]["content"][0]["text"].split()
    return next(word for word in words if "/connect#" in word)


@needs_a_browser
def test_a_caller_logs_in_to_an_api(tmp_path: Path, browser: Chrome) -> None:
    """The page of a login asks who its visitor is, refuses others, names API and caller, logs in, and out again."""
    tokens = f"{TOKENS},bob={hashlib.sha256(b'token-of-bob').hexdigest()}"
    client = dict(zip(("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"), oauth_app.CLIENT, strict=True))
    options = ("--tokens", tokens, "--oauth-caller-login")
    with oauth_app.running(**FLOW) as app, site(tmp_path, app.document, *options, **client) as url:
        visitor = Visitor(browser, login_address(url))
        field = visitor.find("#access input")
        field.send_keys("token-of-bob", ENTER)
        visitor.wait("#said", "made for another caller")
        field.clear()
        field.send_keys(ALICE, ENTER)
        shown = visitor.wait("section", "Log in to Items")
        assert "To this server you are alice." in shown
        assert "Nowhere yet." in shown
        visitor.find("section button.send").click()
        visitor.wait("#said", "alice is logged in to Items. Close this page")
        accounts = visitor.find("main a")  # once the script of the page has run
        assert browser.current_url == f"{url}connect"
        accounts.click()
        visitor.find("#access input").send_keys(ALICE, ENTER)
        visitor.wait("section li", "Items")
        visitor.find("section li button").click()
        visitor.wait("#said", "Logged out of Items.")
        visitor.wait("section", "Nowhere yet.")
        assert [each for each in visitor.complaints if "Failed to load resource" not in str(each)] == []
        assert browser.execute_script("return [localStorage.length, sessionStorage.length]") == [0, 0]


@needs_a_browser
def test_a_visitor_logs_in_where_a_call_needs_it(tmp_path: Path, browser: Chrome) -> None:
    """A call of the page opens the page of the login in a new tab, waits for it, and goes on."""
    client = dict(zip(("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"), oauth_app.CLIENT, strict=True))
    options = ("--tokens", TOKENS, "--oauth-caller-login")
    with oauth_app.running(**FLOW) as app, site(tmp_path, app.document, *options, **client) as url:
        visitor = Visitor(browser, url)
        visitor.find("#access input").send_keys(ALICE, ENTER)
        visitor.find(".tool > summary").click()
        visitor.find("form.call button.send").click()
        first = browser.current_window_handle
        visitor.find("dialog a.send").click()
        (opened,) = visitor.until(lambda: {*browser.window_handles} - {first})
        browser.switch_to.window(opened)
        try:
            visitor.find("#access input").send_keys(ALICE, ENTER)
            visitor.find("section button.send").click()
            visitor.wait("#said", "alice is logged in to Items")
        finally:
            browser.close()
            browser.switch_to.window(first)
        visitor.wait(".status", "Answered")
        assert "one" in visitor.find(".panel pre[aria-label='Text of the answer']").text


@needs_a_browser
def test_a_caller_logs_in_twice(tmp_path: Path, browser: Chrome) -> None:
    """Where the server issues tokens itself, its login says who the visitor is, and leads back to the ticket of a call.

    The ticket of another caller is refused, which shows that it has outlived that login.
    """
    address, client_id = f"127.0.0.1:{free_port()}", oauth_app.CLIENT[0]
    flow = {"authorizationCode": {"authorizationUrl": "/authorize", "tokenUrl": "/token"}}
    options = ("--config", str(tmp_path / "team.toml"), "--http", address, "--tokens", TOKENS)
    with provider() as other, oauth_app.running(**flow) as app:
        more = f'oauth_caller_login = true\n[api.pets.env]\nOAUTH_CLIENT_ID = "{client_id}"'
        write_login(tmp_path, other, address, more)
        with site(tmp_path, app.document, *options, UPSTREAM_SECRET=MARKER) as url:
            visitor = Visitor(browser, login_address(url))
            visitor.find("#access .login:not([hidden])").click()
            visitor.find("form button[value=approve]").click()
            visitor.wait("#said", "made for another caller")
            browser.get("about:blank")
            visitor = Visitor(browser, f"{url}connect")
            visitor.find("#access .login:not([hidden])").click()
            visitor.find("form button[value=approve]").click()
            assert "carol" in visitor.wait("section", "To this server you are")

"""docs: the reference as Markdown and as a page, judged by a Markdown parser and by a real browser."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT, Connect, Run

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

EVIL = "</script><video src=x onerror=alert(1)> | a\n\n# No heading\n\n| b"

#: A document that holds a recursion, a tool that is called like an element of the page, and words that want out.
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": f"Pets {EVIL}", "version": "1"},
    "servers": [{"url": "http://127.0.0.1:9"}],
    "tags": [{"name": "later"}, {"name": "unused"}, {"name": "sooner"}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-pets-key"}},
        "schemas": {
            "Pet": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": EVIL, "maxLength": 40},
                    "kind": {"enum": ["cat", "dog"], "default": "cat"},
                    "parents": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
                    "age": {"type": ["integer", "null"]},
                },
            }
        },
    },
    "paths": {
        "/search": {"get": {"operationId": "search", "summary": "Find pets", "tags": ["sooner"]}},
        "/pets/{id}": {
            "put": {
                "operationId": "putPet",
                "summary": "Store a pet",
                "description": EVIL,
                "tags": ["later"],
                "security": [{"key": []}],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
            }
        },
        "/untagged": {"delete": {}},
    },
}


@pytest.fixture
def document(tmp_path: Path) -> str:
    """Return the path of the document."""
    file = tmp_path / "pets.json"
    file.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    return str(file)


def parsed(markdown: str) -> list[Token]:
    """Parse CommonMark with tables, raw HTML allowed: it must not be there."""
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def headings(tokens: list[Token], level: str) -> list[str]:
    """Return the headings of one level, as they read."""
    inline = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "heading_open" and token.tag == level]
    return ["".join(child.content for child in heading.children or []) for heading in inline]


def tables(tokens: list[Token]) -> list[list[list[str]]]:
    """Return the tables as rows of cells."""
    found: list[list[list[str]]] = []
    for token, content in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append("".join(child.content for child in content.children or []))
    return found


def test_the_reference_of_the_shipped_document_is_current(run: Run) -> None:
    """docs/reference.md is what `portkey-bridge docs` writes; `make reference` brings it up to date."""
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == run("docs").stdout


@pytest.mark.slow
async def test_the_reference_has_every_tool_with_every_argument(run: Run, connect: Connect) -> None:
    """Each tool that a client lists has its heading and a row for each of its arguments, with the required marked."""
    async with connect() as client:
        tools = await client.list_tools()
    listed = {tool.name: tool.input_schema for tool in tools if not tool.name.startswith("expand")}
    tokens = parsed(run("docs").stdout)
    assert sorted(headings(tokens, "h3")) == sorted(listed)
    told = iter(tables(tokens)[1:])
    for name in headings(tokens, "h3"):
        if listed[name]["properties"]:
            rows = next(told)[1:]
            assert [row[0] for row in rows] == list(listed[name]["properties"]), name
            required = [row[0] for row in rows if row[2].startswith("required")]
            assert sorted(required) == sorted(listed[name].get("required", [])), name


def test_the_words_of_a_document_stay_words(run: Run, document: str) -> None:
    """No description becomes a heading, a cell or an element of the Markdown."""
    tokens = parsed(run("docs", "--spec", document).stdout)
    assert headings(tokens, "h2") == ["Environment variables", "Contents", "later", "sooner", "(no tag)"]
    assert headings(tokens, "h3") == ["putpet", "search", "delete_untagged"]
    assert [row[:2] for row in tables(tokens)[1]] == [
        ["argument", "type"],
        ["id", "integer"],
        ["name", "string"],
        ["kind", "string"],
        ["parents", "array of object"],
        ["age", "integer or null"],
    ]
    kinds = {child.type for token in tokens for child in [token, *(token.children or [])]}
    assert not kinds & {"html_block", "html_inline", "image"}


def test_a_type_has_words_for_three_levels(run: Run, tmp_path: Path) -> None:
    """An array of arrays is told down to its third level."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(6):
        schema = {"type": "array", "items": schema}
    deep = {"name": "deep", "in": "query", "schema": schema}
    root = {"openapi": "3.1.0", "info": {}, "paths": {"/x": {"get": {"parameters": [deep], "responses": {}}}}}
    (tmp_path / "deep.json").write_text(json.dumps(root), encoding="utf-8")
    row = tables(parsed(run("docs", "--spec", "deep.json").stdout))[-1][1]
    assert row[:2] == ["deep", "array of array of array of array"]


def test_facts_are_told_in_words(run: Run, document: str) -> None:
    """What a value must be is said beside its description."""
    text = run("docs", "--spec", document).stdout
    assert '| `kind` | string | One of "cat", "dog". Default "cat". |' in text
    assert "40 or fewer characters" in text


class _Sources(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_loads_nothing(run: Run, document: str) -> None:
    """The page is one file: it names no other, and forbids the browser to load any."""
    text = run("docs", "--html", "--spec", document).stdout
    sources = _Sources()
    sources.feed(text)
    assert sources.found == ["data:,"]
    assert "default-src 'none'" in text


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

needs_a_browser = pytest.mark.skipif(
    not BROWSER or not DRIVER, reason="needs Chromium and its driver (Debian: chromium, chromium-driver)"
)

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *(
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--window-size=1200,900",
    ),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Return a headless browser with a profile of its own."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = Chrome(options=options, service=ChromeService(DRIVER))
        yield driver
        driver.quit()


class Page:
    """The page in the browser, as a person uses it."""

    def __init__(self, browser: Chrome, file: Path) -> None:
        self.browser = browser
        self.file = file
        self.open()

    def open(self, fragment: str = "") -> None:
        """Load the page anew."""
        self.browser.get("about:blank")
        self.browser.get(f"{self.file.as_uri()}{fragment}")
        self.settle()

    def settle(self) -> None:
        """Let the browser do what it has queued: an element that opens says so later."""
        self.browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.browser.switch_to.active_element.send_keys(*keys)
        self.settle()

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that can be seen."""
        return [found for found in self.browser.find_elements("css selector", selector) if found.is_displayed()]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that are shown."""
        return [tool.text for tool in self.all(".tool > summary b")]

    @property
    def focused(self) -> str:
        """The text of what has the focus, or its id."""
        element = self.browser.switch_to.active_element
        return element.get_attribute("id") or element.text

    def row(self, *path: str) -> WebElement:
        """Open the tree down the path of labels, and give the row at its end."""
        place: Any = self.browser.find_element("css selector", ".tool[open]")
        *above, last = path
        for label in above:
            row = self._child(place, label)
            row.click()
            self.settle()
            place = row.find_element("xpath", "..")
        return self._child(place, last)

    def _child(self, place: WebElement, label: str) -> WebElement:
        rows = place.find_elements("css selector", ":scope .tree > .leaf, :scope .tree > details > summary")
        (row,) = [row for row in rows if row.find_element("tag name", "code").text == label]
        return row


@pytest.fixture
def page(browser: Chrome, run: Run, document: str, tmp_path: Path) -> Page:
    """Return the page of the document, opened."""
    file = tmp_path / "page.html"
    file.write_text(run("docs", "--html", "--spec", document).stdout, encoding="utf-8")
    return Page(browser, file)


@needs_a_browser
def test_typing_finds(page: Page) -> None:
    """Every word that is typed narrows the list: by name, path, words or argument; Escape shows everything again."""
    assert page.tools == ["putpet", "search", "delete_untagged"]
    page.press("/")
    assert page.focused == "search"
    page.press("FIND pets")
    assert page.tools == ["search"]
    assert [heading.text for heading in page.all("h2")] == ["sooner"]
    assert page.all("#count")[0].text == "1 of 3 tools"
    page.press("\ue003" * 9, "parents")
    assert page.tools == ["putpet"]
    page.press(" dinosaur")
    assert page.tools == []
    assert page.all("#nothing")
    page.press("\ue00c")
    assert page.tools == ["putpet", "search", "delete_untagged"]


@needs_a_browser
def test_the_keyboard_moves_and_opens(page: Page) -> None:
    """Arrows move from the search through the tools into an open tree and back; Enter opens the first that is found."""
    up, down, left, right, enter = "\ue013", "\ue015", "\ue012", "\ue014", "\ue007"
    page.press("/", down)
    assert "putpet" in page.focused
    page.press(right)
    assert page.all(".tool[open] .tree")
    page.press(down)
    assert page.focused.startswith("parents")
    page.press(left)
    assert "putpet" in page.focused
    page.press(left)
    assert not page.all(".tool[open]")
    page.press(down, down, down, down)
    assert "delete_untagged" in page.focused
    page.press(up, up, up)
    assert page.focused == "search"
    page.press("find", enter)
    assert page.browser.current_url.endswith("#tool/search")
    assert "search" in page.all(".tool[open] > summary")[0].text


@needs_a_browser
def test_a_recursive_schema_opens_as_far_as_one_likes(page: Page) -> None:
    """Each level of a tree is made when it is opened, so a schema that contains itself has no end and no cost."""
    page.open("#tool/putpet")
    before = len(page.browser.find_elements("css selector", "*"))
    row = page.row("parents", "each item", "parents", "each item", "parents", "each item", "name")
    assert "required" in row.text
    assert "40 or fewer characters" in row.text
    assert len(page.browser.find_elements("css selector", "*")) > before


@needs_a_browser
def test_a_tree_tells_types_and_facts(page: Page) -> None:
    """A row has the name, the type in words, and what a value must be."""
    page.open("#tool/putpet")
    assert page.row("kind").text.split("\n") == ["kind string", 'one of "cat", "dog" · default "cat"']
    assert page.row("age").text == "age integer or null"
    assert page.row("id").text == "id integer required"
    assert "X_PETS_KEY" in page.all(".tool[open]")[0].text


@needs_a_browser
def test_tags_narrow_the_list(page: Page) -> None:
    """A tag shows its tools alone, tags stand in the document's order, and a second click shows everything."""
    assert [button.text.split("\n")[0] for button in page.all("nav button")] == ["later", "sooner", "(no tag)"]
    sooner = page.all("nav button")[1]
    sooner.click()
    assert page.tools == ["search"]
    assert sooner.get_attribute("aria-pressed") == "true"
    sooner.click()
    assert len(page.tools) == 3


@needs_a_browser
def test_nothing_of_a_document_becomes_markup(page: Page) -> None:
    """Hostile words are shown as they are written."""
    page.open("#tool/putpet")
    assert "<video src=x onerror=alert(1)>" in page.all(".tool[open] .body p")[0].text
    assert page.browser.find_elements("css selector", "video") == []
    assert "</script>" in page.browser.title


@pytest.mark.slow
@needs_a_browser
def test_the_page_makes_no_request(page: Page) -> None:
    """Once opened, the page has loaded nothing and complained of nothing."""
    page.open("#tool/putpet")
    assert page.browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def luminance(colour: str) -> float:
    """Return the relative luminance of a computed colour (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.slow
@needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(page: Page, scheme: str) -> None:
    """The page follows the system's scheme, and every text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.open("#tool/putpet")
    colour = page.browser.find_element("tag name", "body").value_of_css_property("background-color")
    ground = luminance(colour)
    assert (ground < 0.2) is (scheme == "dark")
    for selector in (".GET", ".PUT", ".DELETE", ".type", ".required", ".told", ".path", "b", "#count", "footer"):
        shown = luminance(page.browser.find_element("css selector", selector).value_of_css_property("color"))
        lighter, darker = max(shown, ground), min(shown, ground)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, selector


@pytest.mark.slow
@needs_a_browser
def test_a_thousand_operations_are_found_and_drawn_when_opened(browser: Chrome, run: Run, tmp_path: Path) -> None:
    """A large document costs a line a tool: its schemas are drawn when they are opened, and typing finds one of all."""
    operation = DOCUMENT["paths"]["/pets/{id}"]["put"]
    paths = {f"/pets{n}/{{id}}": {"put": {**operation, "operationId": f"putPet{n}"}} for n in range(1000)}
    (tmp_path / "large.json").write_text(json.dumps({**DOCUMENT, "paths": paths}), encoding="utf-8")
    file = tmp_path / "large.html"
    file.write_text(run("docs", "--html", "--spec", "large.json").stdout, encoding="utf-8")
    page = Page(browser, file)
    assert page.all("#count")[0].text == "1000 of 1000 tools"
    assert browser.find_elements("css selector", ".tree") == []
    page.press("/", "putpet777")
    assert page.tools == ["putpet777"]
    page.press("\ue007")
    assert len(browser.find_elements("css selector", ".tool[open] .tree")) == 1

"""Makes the pictures of the README from the real program: the terminal's as SVG, the page's by a headless Chromium.

python -m scripts.pictures docs/pictures
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.pseudo_terminal import on_a_terminal

#: What the terminal is asked, and how wide it is.
COMMAND, COLUMNS = ("tools", "--tag", "chat,embeddings,models,prompts"), 104

#: The terminal's colours: ground, text, and the 16 of ANSI.
THEME = TerminalTheme(
    (20, 23, 27),
    (228, 231, 235),
    [
        *((20, 23, 27), (255, 138, 128), (95, 207, 150), (240, 180, 91)),
        *((127, 176, 255), (199, 155, 255), (94, 210, 220), (228, 231, 235)),
    ],
)

#: An SVG without rich's own fonts, which it would load from elsewhere: a picture needs no network.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, "SF Mono", Menlo, Consolas, monospace; \
line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

#: The page's window in pixels, what it shows, and what is opened there.
WIDTH, HEIGHT, FRAGMENT, OPENED = 1200, 760, "#tool/createembedding", ".tool[open] .tree summary"

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def main(folder: Path) -> None:
    """Write all pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tools.svg").write_text(terminal_picture(), encoding="utf-8")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        page = Path(scratch) / "page.html"
        page.write_bytes(_run("docs", "--html"))
        for scheme, picture in page_pictures(page, Path(scratch) / "profile").items():
            (folder / f"reference-{scheme}.webp").write_bytes(picture)


def terminal_picture() -> str:
    """Return what the command writes to a terminal, as SVG."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(Text.from_ansi(on_a_terminal(*COMMAND, env={**os.environ, "COLUMNS": str(COLUMNS)}, cwd=Path.cwd())))
    title = f"portkey-bridge {' '.join(COMMAND)}"
    return console.export_svg(title=title, theme=THEME, code_format=SVG, unique_id="tools")


def page_pictures(page: Path, profile: Path) -> dict[str, bytes]:
    """Return the page in light and dark, as WebP."""
    options = ChromeOptions()
    for flag in (*FLAGS, f"--window-size={WIDTH},{HEIGHT}", "--hide-scrollbars", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    with Chrome(options=options, service=ChromeService(shutil.which("chromedriver"))) as browser:
        return {scheme: _page_picture(browser, page, scheme) for scheme in ("light", "dark")}


def _page_picture(browser: Chrome, page: Path, scheme: str) -> bytes:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}{FRAGMENT}")
    browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")
    for line in browser.find_elements("css selector", OPENED)[:1]:
        line.click()
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 85})
    return base64.b64decode(shot["data"])


def _run(*words: str) -> bytes:
    return subprocess.run([sys.executable, "-m", "portkey_bridge", *words], check=True, capture_output=True).stdout  # noqa: S603


if __name__ == "__main__":
    main(Path(sys.argv[1]))

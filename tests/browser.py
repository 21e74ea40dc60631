"""A browser that follows links and fills in forms, as a person who logs in would: `python browser.py URL`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

#: Who the person is, if nothing else is said, and the password.
PERSON, PASSWORD = "ada", "secret"


class _Forms(HTMLParser):
    """Collects the last form of a page: its action, and the values of its fields."""

    def __init__(self, person: str) -> None:
        super().__init__()
        self._entered = {"login": person, "password": PASSWORD}
        self.action: str | None = None
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form":
            self.action, self.values = given.get("action") or "", {}
        name = str(given.get("name") or "")
        if name in ("", "abort"):
            return
        if tag == "input":
            self.values[name] = self._entered.get(name) or given.get("value") or ""
        elif tag == "button":  # the person takes the first of several
            self.values.setdefault(name, given.get("value") or "")


def visit(url: str, person: str = PERSON, client: httpx.Client | None = None) -> str:
    """Open a URL as a person, submit every form that comes, and return the text of the last page.

    `client` has the cookies of the browser; without one it is a new browser.
    """
    with nullcontext(client) if client else new_browser() as browser:
        page = browser.get(url)
        for _ in range(8):
            forms = _Forms(person)
            forms.feed(page.text)
            if forms.action is None:
                break
            page = browser.post(urljoin(str(page.url), forms.action), data=forms.values)
    return page.text


def new_browser() -> httpx.Client:
    """Return a browser without cookies."""
    patient = httpx.HTTPTransport(retries=7)  # of connections: a client may listen only once the browser is open
    return httpx.Client(follow_redirects=True, timeout=60, transport=patient)


if __name__ == "__main__":
    print(visit(sys.argv[1]))

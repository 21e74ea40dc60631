"""A browser that follows links and fills in forms, as a person who logs in would: `python browser.py URL`."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

#: What the person enters, by the name of the field.
ENTERED = {"login": "ada", "password": "secret"}


class _Forms(HTMLParser):
    """Collects the last form of a page: its action, and the values of its fields."""

    def __init__(self) -> None:
        super().__init__()
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
            self.values[name] = ENTERED.get(name) or given.get("value") or ""
        elif tag == "button":  # the person takes the first of several
            self.values.setdefault(name, given.get("value") or "")


def visit(url: str) -> str:
    """Open a URL, submit every form that comes, and return the text of the last page."""
    patient = httpx.HTTPTransport(retries=5)  # of connections: a client may listen only once the browser is open
    with httpx.Client(follow_redirects=True, timeout=20, transport=patient) as client:
        page = client.get(url)
        for _ in range(8):
            forms = _Forms()
            forms.feed(page.text)
            if forms.action is None:
                break
            page = client.post(urljoin(str(page.url), forms.action), data=forms.values)
    return page.text


if __name__ == "__main__":
    print(visit(sys.argv[1]))

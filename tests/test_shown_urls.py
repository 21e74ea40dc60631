"""The logins and queries of URLs, which may be secrets, are in no output of any command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portkey_bridge.text import shown_reference, shown_url
from tests.conftest import Run
from tests.support import document

HIDDEN = "hidden0123"
URL = f"http://me:{HIDDEN}@127.0.0.1:1/v1?key={HIDDEN}"

#: A URL or what was meant as one, and how it is shown.
SHOWN = {
    URL: "http://127.0.0.1:1/v1?…",
    f"{URL}#{HIDDEN}": "http://127.0.0.1:1/v1?…",
    f"ftp://me:{HIDDEN}@a.example/x?y={HIDDEN}": "ftp://a.example/x?…",
    f"me:{HIDDEN}@a.example/api.json?key={HIDDEN}": "a.example/api.json?…",
    f"https:me:{HIDDEN}@a.example/api.json": "https:a.example/api.json",
    f"http:/me:{HIDDEN}@a.example/api.json": "http:/a.example/api.json",
    "folder/me@home.json": "folder/me@home.json",
    "me@home.json": "me@home.json",
    "C:\\Users\\me@home\\api.json": "C:\\Users\\me@home\\api.json",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_url_is_shown_without_what_may_be_a_secret(url: str) -> None:
    """Login, query and fragment are left out, also where the scheme is missing or wrong; a path is shown as it is."""
    assert shown_url(url) == SHOWN[url]


def test_a_reference_is_shown_with_its_pointer() -> None:
    """What a `$ref` names in another document helps to correct it."""
    assert shown_reference(f"{URL}#/a/b") == "http://127.0.0.1:1/v1?…#/a/b"
    assert shown_reference("#/components/schemas/Pet") == "#/components/schemas/Pet"


@pytest.mark.parametrize(
    "words", ["tools --path-item-tools", "check", "check --json", "doctor", "env", "docs", "call x", "schema x"]
)
def test_no_command_shows_the_login_or_query_of_a_url_in_a_document(run: Run, tmp_path: Path, words: str) -> None:
    """Servers and references of a document may contain a secret of its author; no report and no warning repeats it."""
    schema = {"schema": {"$ref": f"{URL}#/a"}}
    paths = {
        "/x": {"get": {"operationId": "x", "parameters": [{"name": "a", "in": "query", **schema}], "responses": {}}},
        "/y": {"$ref": URL},
        "/z": {"servers": [{"url": f"ftp://me:{HIDDEN}@h/?k={HIDDEN}"}], "get": {"operationId": "z", "responses": {}}},
    }
    (tmp_path / "api.json").write_text(json.dumps(document(paths, servers=[{"url": URL}])))
    done = run(*words.split(), "--spec", "api.json")
    assert "127.0.0.1:1/v1?…#/a" in done.stderr + done.stdout
    assert HIDDEN not in done.stderr + done.stdout


def test_what_was_meant_as_a_url_is_shown_like_one(run: Run) -> None:
    """A URL whose scheme is missing, wrong or mistyped is read as a path or refused, and shown without its secrets."""
    wrong = [f"me:{HIDDEN}@a/x?k={HIDDEN}", f"ftp://me:{HIDDEN}@a/x?k={HIDDEN}", f"https:me:{HIDDEN}@a/x?k={HIDDEN}"]
    for option in ("--spec", "--base-url"):
        for url in wrong:
            done = run("tools", option, url)
            assert done.returncode == 2
            assert HIDDEN not in done.stderr


def test_a_dry_run_shows_the_server_of_a_document_without_the_values_of_its_query(tmp_path: Path, run: Run) -> None:
    """A key in a server URL is as secret as one in the base URL; the login of the URL is not in the request either."""
    root = document({"/x": {"get": {"operationId": "op", "responses": {}}}}, servers=[{"url": URL}])
    (tmp_path / "api.json").write_text(json.dumps(root))
    done = run("call", "op", "--dry-run", "--spec", "api.json")
    assert "GET /v1/x?key=[servers] HTTP/1.1" in done.stdout
    assert HIDDEN not in done.stdout + done.stderr

"""Secrets in answers: every form in which an API may repeat one, and how long it takes to look for it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from time import process_time
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_bridge.credentials.redaction import Redactor

SECRET = 'a secret/with "every" character'  # noqa: S105  # it is none
FORMS = [
    SECRET,
    json.dumps(SECRET),
    json.dumps(SECRET).replace("/", "\\/"),
    str(httpx.QueryParams({"key": SECRET})),
    quote(SECRET, safe=""),
    quote(SECRET, safe="").replace("%2F", "%2f"),
    html.escape(SECRET),
    base64.b64encode(SECRET.encode()).decode(),
    *(
        ESCAPED := [
            "".join(f"\\u{ord(character):04X}" for character in SECRET),
            SECRET.replace("/", "\\u002f").replace('"', "&#34;"),
            SECRET.replace("e", "%65").replace("/", "&#x2F;"),
            SECRET.replace("a", "\\u0061").replace('"', '\\"'),
            json.dumps(json.dumps({"key": SECRET}).replace("/", "\\u002F")),
            SECRET.replace("/", "\\x2F").replace("a", "\\u{61}"),
            SECRET.replace("/", "&sol;").replace('"', "&quot;"),
            SECRET.replace("/", "&amp;#47;"),
            quote(quote(SECRET, safe=""), safe=""),
        ]
    ),
]


@pytest.mark.parametrize("written", FORMS)
def test_a_secret_is_taken_out_however_it_is_written(written: str) -> None:
    """Plain, in JSON, in a URL, in HTML or as basic authentication: the variable's name stands in its place."""
    redact = Redactor({"API_KEY": SECRET})
    text = f"before {written} after"
    assert "[API_KEY]" in redact(text)
    assert "every" not in redact(text)
    assert redact(text).endswith(" after")
    for encoding in ("utf-8", *(("utf-16", "utf-32-be") if written not in ESCAPED else ())):
        assert redact.body(text.encode(encoding)).decode(encoding) == redact(text)


#: variable, value, whether it is taken out of a text that repeats it
REDACTED = [
    ("API_KEY", "passwordy", True),
    ("API_KEY", "pass", False),
    ("OAUTH_TOKEN", "passwordy", True),
    ("X_PROVIDER", "openai", False),
    ("X_PROVIDER", "azure-openai", False),
    ("X_API_KEY", "sk-12345", True),
    ("X_API_KEY", "a-long-word-of-letters", True),
    ("BASIC_AUTH", "me:hunter2hunter2", True),
]


@pytest.mark.parametrize(("name", "value", "expected"), REDACTED)
def test_what_may_be_a_plain_word_is_left_in_answers(name: str, value: str, expected: bool) -> None:
    """A short API key of letters only may be a provider's name; all else that is long enough to be a secret is one."""
    shown = Redactor({name: value})(f"It was {value.rpartition(':')[2]}.")
    assert shown == (f"It was [{name}]." if expected else f"It was {value}.")


#: Ways to write one character.
WRITTEN: list[Callable[[str], str]] = [
    str,
    lambda character: json.dumps(character)[1:-1],
    lambda character: "".join(f"\\u{unit.hex()}" for unit in _units(character)),
    lambda character: f"\\u{{{ord(character):06X}}}",
    lambda character: f"\\x{ord(character):02x}" if character < "Ā" else character,
    lambda character: "".join(f"%{byte:02x}" for byte in character.encode()),
    lambda character: f"&#{ord(character)};",
    lambda character: f"&#X0{ord(character):X};",
    lambda character: html.escape(character).replace("/", "&sol;"),
    lambda character: character if character.isalnum() or not character.isascii() else f"\\{character}",
]


def _units(character: str) -> list[bytes]:
    written = character.encode("utf-16-be")
    return [written[at : at + 2] for at in range(0, len(written), 2)]


#: Ways to write a whole text, which may have been written in another one before.
WRAPPED: list[Callable[[str], str]] = [
    str,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    html.escape,
    quote_plus,
    lambda text: quote(text, safe="/"),
    lambda text: text.replace("\\", "\\x5c").replace("%", "\\x25"),
]


@settings(max_examples=200)
@given(st.data(), st.lists(st.sampled_from(WRAPPED), max_size=3))
def test_any_character_may_be_escaped_in_any_way(data: st.DataObject, wrapped: list[Callable[[str], str]]) -> None:
    """A secret is found whichever of its characters are escaped, each in its own way, and the whole text again."""
    secret = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=12, max_size=20))
    text = "".join(data.draw(st.sampled_from(WRITTEN))(character) for character in f"aB3{secret}x9")
    before, after = 'before "this": ', ', and "that"'
    for wrap in wrapped:
        text, before, after = wrap(text), wrap(before), wrap(after)
    shown = Redactor({"API_KEY": f"aB3{secret}x9"})(f"{before}{text}{after}")
    assert shown == f"{before}[API_KEY]{after}"


def test_an_escaped_secret_leaves_the_rest_as_it_is() -> None:
    """What is beside a secret keeps its own escapes, also if it is part of the same text in JSON."""
    redact = Redactor({"API_KEY": "sk-secret/0123", "OTHER_KEY": "n-other/0123"})
    given = r'{"a": "C:\\x\n\u0073k-secret\/0123\n\n-\u006fther%2F0123\"", "b": "%2F\u00e9"}'
    assert redact(given) == r'{"a": "C:\\x\n[API_KEY]\n[OTHER_KEY]\"", "b": "%2F\u00e9"}'


#: Bodies that are nothing but escapes, by what is repeated, and the secret that is looked for.
DENSE = {
    "equal letters": (r"\u0061", "a" * 400),
    "almost a secret": (r"\u0061" * 399 + "b", "a" * 400),
    "backslashes": ("\\", "b" * 400),
    "escaped percent": ("25", "%" * 400),
    "escaped ampersands": ("amp;", "&" * 400),
    "references to ampersands": ("#38;", "&" * 400),
    "secrets": (r"\u0061", "a" * 8),
}


@pytest.mark.parametrize("name", DENSE)
def test_looking_for_a_secret_takes_time_that_is_linear_in_the_text(name: str) -> None:
    """A body of 600 kB full of escapes is searched in a moment, whatever is repeated in it and in the secret."""
    piece, secret = DENSE[name]
    body = (r"\u0062 % &" + piece * (600_000 // len(piece))).encode()
    redact = Redactor({"API_KEY": secret})
    began = process_time()
    redact.body(body)
    assert process_time() - began < 3

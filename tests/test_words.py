"""What a document says, as a listing repeats it."""

from __future__ import annotations

import pytest

from portkey_bridge.schema.prose import plain, sentence
from portkey_bridge.settings.options import Settings
from tests.support import operation, served

PLAIN = [
    ("<p>Retrieves the <code>Card</code>.</p>\n<p>Or not.</p>", "Retrieves the Card. Or not."),
    ('**Note:** see [the docs](https://example.com "title") first.', "Note: see the docs first."),
    ("# Intro\n\n![a picture](x.png) of `code` &amp; more<br/>", "Intro a picture of `code` & more"),
    ("<!-- not for\nreaders -->Takes <id>, a<b and &lt;name&gt;.", "Takes <id>, a<b and <name>."),
    ("2 * 3 ** 2, items[0](), [expandSchema /properties/x]", "2 * 3 ** 2, items[0](), [expandSchema /properties/x]"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), PLAIN)
def test_markup_is_left_out(text: str, expected: str) -> None:
    """Tags and marks that say how a text looks go; what may be meant stays."""
    assert plain(text) == expected


def test_a_sentence_ends_once() -> None:
    """A full stop is added where nothing like it is."""
    assert [sentence(text) for text in ("One", "Two.", "Three…", "")] == ["One.", "Two.", "Three…", ""]


async def test_a_title_is_short() -> None:
    """A title has whole words, and 60 characters at most with the ellipsis."""
    root = operation("get", operationId="word" + "Word" * 30, summary="Word " * 30)
    async with served(root, Settings()) as client:
        title = (await client.list_tools())[-1].title or ""
    assert title == "Word " * 11 + "Word…"


async def test_a_listing_has_no_markup_and_an_expansion_all_of_it() -> None:
    """The listed text of the API, of a tool and of its arguments is plain and short; an expansion has all of it."""
    description = f"<p>Gets <b>it</b>.</p> {'And more. ' * 100}"
    parameter = {"name": "q", "in": "query", "description": "<i>What</i> is sought", "schema": {"type": "string"}}
    root = operation("get", description=description, parameters=[parameter])
    root["info"]["description"] = f"# Title\n\nWhat it is. {'Much more. ' * 500}"
    async with served(root, Settings()) as client:
        (listed,) = [tool for tool in await client.list_tools() if tool.name == "op"]
        shown = await client.call_tool("expandSchema", {"toolName": "op", "jsonPointers": ["", "/properties/q"]})
        instructions = client.instructions or ""
    about = instructions.removeprefix("Test. ").partition(" Input schemas")[0]
    assert about.startswith("Title What it is. Much more. ")
    assert 590 < len(about) <= 600, "whole sentences, as many as there is room for"
    assert (listed.description or "").startswith("Gets it. And more.")
    assert listed.input_schema["properties"]["q"]["description"] == "What is sought"
    assert description.strip() in str(shown.structured_content or shown.content[0].text).replace("\\n", "\n")  # type: ignore[union-attr]

"""What a document says, as a listing repeats it: without markup, and short.

Descriptions are CommonMark, which may hold HTML (OpenAPI 3.2 section 3.5). A model needs neither.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache

from portkey_bridge.text import without_invisible

#: Tags of formatting. Anything else in angle brackets may be intended: `<id>`.
_TAGS = re.compile(
    r"</?(?:a|b|blockquote|br|code|dd|div|dl|dt|em|h[1-6]|hr|i|img|kbd|li|ol|p|pre|small|span|strong|sub|sup|table|tbody"
    r"|td|th|thead|tr|tt|u|ul|var)(?:\s[^<>]*)?/?>|<!--.*?-->",
    re.IGNORECASE | re.DOTALL,
)

#: Marks of CommonMark with what is left of them: images and links, strong emphasis, headings.
_MARKS = (
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]+(?:\s[^()]*)?\)"), r"\1"),
    (re.compile(r"\*\*([^*\n]+)\*\*"), r"\1"),
    (re.compile(r"^ {0,3}#{1,6} +", re.MULTILINE), ""),
)

#: The blank that a removed tag leaves before a punctuation mark.
_BEFORE_POINTS = re.compile(r" (?=[.,;:!?)](?: |$))")


@lru_cache(4096)  # many views show the same text, mostly one after the other
def plain(text: str) -> str:
    """Return a text without tags, links and emphasis, in one line."""
    text = without_invisible(html.unescape(_TAGS.sub(" ", text)))
    for mark, rest in _MARKS:
        text = mark.sub(rest, text)
    return _BEFORE_POINTS.sub("", " ".join(text.split()))


def shorten(text: str, limit: int) -> str:
    """Return as many whole sentences of `text` as fit `limit` characters, else whole words and an ellipsis."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    sentences = text[: limit + 1].rpartition(". ")[0]
    if sentences:
        return f"{sentences}."
    return f"{text[:limit].rpartition(' ')[0] or text[:limit]}…"


def sentence(text: str) -> str:
    """Return a text with a full stop behind it, where nothing like it is there."""
    return text if not text or text.endswith((".", "!", "?", ":", "…")) else f"{text}."

"""The families of media types that the program treats alike, in requests and responses (RFC 9110 section 8.3.1).

Each pattern matches the beginning of a media type, whose parameters may follow.
"""

from __future__ import annotations

import re


def _family(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\s*(?:{pattern})\s*(?:;|$)", re.IGNORECASE)


JSON = _family(r"[^;]*[/+](?:x-)?json")

#: JSON texts one after the other: each on its own line, or each preceded by a separator (RFC 7464).
JSON_LINES = _family(r"application/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines|stream\+json)")
JSON_SEQUENCE = _family(r"[^;]*[/+]json-seq")

EVENT_STREAM = _family(r"text/event-stream")
FORM = _family(r"application/x-www-form-urlencoded")
MULTIPART = _family(r"multipart/[^;]*")
XML = _family(r"[^;]*[/+]xml")

#: Text whose body is the text itself.
TEXT = _family(
    r"text/[^;]*|application/(?:(?:x-)?(?:javascript|ecmascript|typescript|yaml|toml|sql|sh|pem-file|csv)|graphql|jwt|jose"
    r"|rtf|sparql-(?:query|update)|n-(?:triples|quads)|trig|xml-dtd|jsonpath|linkset|edn|[^;]+\+(?:yaml|jwt))"
)

#: Ranges of files (RFC 9110 section 12.5.1): which type it is, the file says.
FILE_RANGES = _family(r"(?:audio|font|image|model|video)/\*")

#: Families whose bodies are text.
OF_TEXT = (TEXT, JSON, JSON_LINES, JSON_SEQUENCE, XML, FORM)

#: Ranges that reveal nothing about a body.
ANY = _family(r"(?:\*|application)?/?\*")


def bare(name: str) -> str:
    """Return a media type in lower case and without parameters."""
    return name.partition(";")[0].strip().lower()


def is_text(name: str) -> bool:
    """Check whether the bodies of a media type are text."""
    return any(family.match(name) for family in OF_TEXT)

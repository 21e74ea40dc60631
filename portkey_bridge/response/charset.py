"""The charset of a text: byte order mark, declaration, the text itself."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from portkey_bridge.http.decoding import CONTROL_BYTES
from portkey_bridge.response.answer import Answer

#: What a text begins with in a charset that it names so (Encoding Standard section 6; UTF-32 begins like UTF-16).
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)

#: Where XML and HTML say their charset themselves.
CHARSET_INSIDE = re.compile(rb"<(?:\?xml[^>]*?encoding|meta[^>]*?charset)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)

#: Codecs that are not charsets of documents, and are slow or surprising on long input.
NO_CHARSETS = frozenset(("idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"))


def in_utf8(answer: Answer) -> tuple[bytes, tuple[str, ...]]:
    """Return a JSON text in UTF-8 without a byte order mark, and notes about its charset.

    Other encodings are older habits (RFC 8259 section 8.1).
    """
    encoding = json.detect_encoding(answer.body[:4])
    if encoding == "utf-8" and (answer.body.isascii() or _is_utf8(answer.body)):
        return answer.body, ()
    if encoding == "utf-8":
        whole, notes = decoded(answer)
        return whole.encode("utf-8", "replace"), notes
    return answer.body.decode(encoding, "replace").encode("utf-8", "replace"), ()


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def reads_as_text(answer: Answer) -> bool:
    """Check whether the bytes of a body are text: in a charset that it is marked or declared with, or in UTF-8.

    The last character may be cut if the response broke off.
    """
    for charset in filter(None, (_marked(answer.body), answer.charset, "utf-8")):
        with suppress(LookupError, ValueError):
            whole = codecs.getincrementaldecoder(_known(charset))().decode(answer.body, not answer.problem)
            if not CONTROL_BYTES.search(whole.encode("utf-8", "replace")):
                return True
    return False


def is_not_text(answer: Answer) -> bool:
    """Check whether a body that is declared as text has bytes that no text has. In UTF-8 they are odd characters."""
    return CONTROL_BYTES.search(answer.body) is not None and not _is_utf8(answer.body) and not reads_as_text(answer)


def decoded(answer: Answer) -> tuple[str, tuple[str, ...]]:
    """Return the body as text, and notes about its charset.

    A byte order mark counts before what is declared (RFC 7303 section 3). What is valid UTF-8 is hardly so by
    accident, and is read as such whatever a text says of itself.
    """
    said = _marked(answer.body) or answer.charset
    inside = CHARSET_INSIDE.search(answer.body[:1024])
    for charset in filter(None, (said, "utf-8", inside and inside[1].decode())):
        with suppress(LookupError, ValueError):
            whole = answer.body.decode(_known(charset)).removeprefix("\ufeff")
            if said is None or charset == said:
                return whole, ()
            return whole, (f"The body is not in the charset {said[:40]!r}, but in {charset}.",)
    readable = answer.body.decode("utf-8", "replace")
    if not said and not answer.problem and readable.replace("\ufffd", "").isascii():
        return answer.body.decode("windows-1252", "replace"), ("The body is not valid UTF-8; decoded as windows-1252.",)
    return readable, (f"The body is not valid {(said or 'utf-8')[:40]}; undecodable bytes are shown as \ufffd.",)


def redacted_text(answer: Answer, redact: Callable[[str], str]) -> Answer:
    """Return the response without the secrets that only its decoded text shows; it is in UTF-8 if it had any."""
    if answer.charset is None and b"\0" not in answer.body and _is_utf8(answer.body):
        return answer
    whole = in_utf8(answer)[0].decode("utf-8", "replace")
    if (redacted := redact(whole)) == whole:
        return answer
    headers = answer.headers.copy()
    headers["content-type"] = f"{answer.media_type}; charset=utf-8"
    return replace(answer, headers=headers, body=redacted.encode("utf-8", "replace"))


def _marked(body: bytes) -> str | None:
    """Return the charset that a byte order mark says."""
    return next((charset for mark, charset in BYTE_ORDER_MARKS if body.startswith(mark)), None)


def _known(charset: str) -> str:
    """Return the name of a charset's codec. Raises LookupError."""
    name = codecs.lookup(charset).name
    if name in NO_CHARSETS:
        raise LookupError(charset)
    return name

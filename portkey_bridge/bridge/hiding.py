"""An answer without the secrets that it repeats: in its headers, its phrase, what is said of it, and its body."""

from __future__ import annotations

from dataclasses import replace

import httpx

from portkey_bridge.credentials.redaction import Redactor
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.charset import redacted_text


def redacted(answer: Answer, redact: Redactor) -> Answer:
    """Return the answer without secrets; most have none, so the parts are looked at one by one only if needed."""
    said = answer.by_name
    head = "\n".join((answer.phrase, answer.problem, *said, *said.values())).encode("utf-8", "surrogatepass")
    if redact.body(head) is not head:
        headers = [(redact(name), redact(value)) for name, value in answer.headers.multi_items()]
        answer = replace(
            answer,
            phrase=redact(answer.phrase),
            headers=httpx.Headers([(name.encode(), value.encode()) for name, value in headers]),
            problem=redact(answer.problem),
        )
    if (body := redact.body(answer.body)) is not answer.body:
        answer = replace(answer, body=body)
    return redacted_text(answer, redact)

"""An answer as a plain value for a program: JSON, text, or nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.charset import decoded, in_utf8, reads_as_text
from portkey_bridge.response.json_views import is_json
from portkey_bridge.response.render import STRUCTURED_TEXT


class NotPlain(ValueError):
    """An answer is neither JSON nor text, but bytes."""


def plain_value(answer: Answer) -> Any:
    """Return the value of a JSON answer, another answer as text, and None without a body. Raises NotPlain for bytes.

    JSON that Python cannot hold, because of too many levels or digits, is text.
    """
    if not answer.body:
        return None
    body, _ = in_utf8(answer)
    if (media_types.JSON.match(answer.media_type) or STRUCTURED_TEXT.match(answer.body)) and is_json(body):
        with suppress(ValueError, RecursionError):
            return json.loads(body)
    if reads_as_text(answer):
        return decoded(answer)[0]
    raise NotPlain(answer.media_type)

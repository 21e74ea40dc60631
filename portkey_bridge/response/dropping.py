"""What a person wants no model to read of an answer: members by patterns of their paths, and members without content.

Only members of objects are dropped, never items of arrays, so the places of the others stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.response.exact_json import decode_exactly, encode_exactly

#: What is said of members without content, and of all that was dropped.
EMPTY = "null or empty"
DROPPED_NOTE = (
    "Dropped {:,} of {:,} bytes: {}. The whole answer is kept: resultId {}, expandResult reads all of it or selects."
)

#: The parts of a pattern with their regular expressions.
PATTERN_PARTS = {"**/": "(?:[^/]*/)*", "**": ".*", "*": "[^/]*"}


@dataclass(frozen=True)
class Drop:
    """Which members to drop: those whose paths match a pattern, and if `empty` says so, those without content.

    A path is the JSON pointer of a member without its first `/`. In a pattern, `*` is any name or index, or a part of
    one, and `**` any number of them.
    """

    patterns: Sequence[str] = ()
    empty: bool = False

    def __bool__(self) -> bool:
        """Check whether anything can be dropped."""
        return self.empty or bool(self.patterns)

    @cached_property
    def _compiled(self) -> Sequence[tuple[str, re.Pattern[str]]]:
        return [(pattern, _compiled(pattern)) for pattern in self.patterns]

    def apply(self, body: bytes) -> tuple[bytes, Counter[str]]:
        """Return a JSON text without what is dropped, and how many members each reason dropped.

        The same text if that is nothing.
        """
        dropped: Counter[str] = Counter()
        try:
            value = self._reduced(decode_exactly(body), "", dropped)
            return (encode_exactly(value), dropped) if dropped else (body, dropped)
        except (ValueError, RecursionError):
            return body, Counter()

    def _reduced(self, value: Any, pointer: str, dropped: Counter[str]) -> Any:
        if isinstance(value, list):
            return [self._reduced(item, f"{pointer}/{number}", dropped) for number, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        kept = {}
        for name, inner in value.items():
            place = pointer + pointer_to([name])
            reason = next((pattern for pattern, compiled in self._compiled if compiled.fullmatch(place, 1)), None)
            if reason is None:
                inner = self._reduced(inner, place, dropped)
                reason = EMPTY if self.empty and inner in (None, "", [], {}) else None
            if reason is None:
                kept[name] = inner
            else:
                dropped[reason] += 1
        return kept


def said(dropped: Counter[str], before: bytes, after: bytes, result_id: str) -> str:
    """Return the line about what was dropped, and how to get it."""
    counted = ", ".join(f"{reason} ({count:,})" for reason, count in dropped.items())
    return DROPPED_NOTE.format(len(before) - len(after), len(before), counted, result_id)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*)", pattern.removeprefix("/"))
    return re.compile("".join(PATTERN_PARTS.get(part, re.escape(part)) for part in parts), re.DOTALL)

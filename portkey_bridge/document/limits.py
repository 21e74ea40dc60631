"""Limits on the values of a document, shared by its parsers."""

from __future__ import annotations

import json
import sys

#: Levels of nesting, and values that the aliases of a YAML file may expand to.
MAX_DEPTH = 200


def finite(text: str) -> float:
    """Read a number; one that is too large for a float is the largest float, because JSON has no infinity."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def said_twice(key: str) -> str:
    """Report that an object has a key more than once."""
    return f"the key {json.dumps(key)[:60]} appears twice in one object; the last one is used."

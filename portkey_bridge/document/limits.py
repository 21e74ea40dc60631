"""Limits on the values of a document, shared by its parsers."""

from __future__ import annotations

import sys

#: Levels of nesting, and values that the aliases of a YAML file may expand to.
MAX_DEPTH = 200


def finite(text: str) -> float:
    """Read a number; one that is too large for a float is the largest float, because JSON has no infinity."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))

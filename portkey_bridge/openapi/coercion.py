"""Values of the types that the specification asks for, whatever a document contains instead."""

from __future__ import annotations

import json
from typing import Any


def is_true(value: Any) -> bool:
    """Check whether a value is true, also as a string."""
    return value is True or value == "true"


def mapping(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_list(value: Any) -> list[Any]:
    """Return a list; a single value is a list of it, null an empty one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def as_text(value: Any) -> str:
    """Return a string, a number as text, or an empty string for anything else."""
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, int | float) else ""

"""Which regular expressions the engines of all clients read, and read alike."""

from __future__ import annotations

import re
import warnings
from functools import cache

# The syntax that ECMAScript (with the flag `u`), Rust and Python have in common, and in which they agree.
_CODE = r"[tnrfv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}"
_IN_CLASS = rf"(?:(?!&&|~~)[^\\\]\[-]|\\(?:[\\^$.*+?()\[\]{{}}|/-]|{_CODE}))"
_CLASS = rf"\[\^?-?(?:{_IN_CLASS}(?:-{_IN_CLASS})?|\\[dDwWsS](?!-[^\]]))+-?\]"
_ATOM = rf"(?:[^\\^$.*+?()\[\]{{}}|]|\.|{_CLASS}|\\(?:[dDwWsS\\^$.*+?()\[\]{{}}|/]|{_CODE}))"
_QUANTIFIER = r"(?:(?:[*+?]|\{\d+(?:,\d*)?\})\??)?"
_PORTABLE = re.compile(rf"(?:{_ATOM}{_QUANTIFIER}|\((?:\?:)?|\){_QUANTIFIER}|[|^$]|\\[bB])*+")


@cache
def is_portable(pattern: str) -> bool:
    """Check whether the engines of all clients accept a pattern, and read it alike.

    Look-around and references back, for example, make Rust's refuse the pattern, and its client the whole server.
    """
    if not _PORTABLE.fullmatch(pattern):
        return False
    import pydantic_core  # slow to import, and loaded anyway where a listing is made

    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(pattern)
        pydantic_core.SchemaValidator({"type": "str", "pattern": pattern})  # compiled by Rust's engine
    except (re.error, OverflowError, RecursionError, pydantic_core.SchemaError):
        return False
    return True

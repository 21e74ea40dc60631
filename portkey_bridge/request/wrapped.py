"""Arguments that a model puts into an object, as other tools and HTTP libraries take them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from portkey_bridge.request.arguments import Arguments
from portkey_bridge.schema.readings import as_json_text

#: What such objects are called, where no argument is.
WRAPPERS = frozenset({"arguments", "args", "kwargs", "params", "parameters", "input", "payload", "path", "query"}) | {
    *("body", "request_body", "requestBody")
}


def unwrapped(given: Mapping[str, Any], arguments: Arguments) -> Mapping[str, Any]:
    """Return arguments out of the objects that contain them, or as they are if that is not the only reading."""
    if arguments.further is not False:  # any name is an argument
        return given
    flat: dict[str, Any] = {}
    for name, value in given.items():
        members = _members(value) if name in WRAPPERS and name not in arguments.bindings else None
        for argument, each in ({name: value} if members is None else members).items():
            if argument in flat:
                return given
            flat[argument] = each
    return flat


def _members(value: Any) -> dict[str, Any] | None:
    with suppress(ValueError):
        value = as_json_text(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else None

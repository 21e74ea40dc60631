"""Arguments that a model puts into an object, as other tools and HTTP libraries take them, or takes out of one."""

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


def enclosed(given: Mapping[str, Any], arguments: Arguments) -> Mapping[str, Any] | None:
    """Return arguments with all that are unknown in the body, if it is one argument, which is required and missing."""
    unknown = {name: value for name, value in given.items() if name not in arguments.bindings}
    body = arguments.whole_body
    if body is None or body in given or not arguments.bindings[body].required or not unknown:
        return None
    return {name: given[name] for name in given if name not in unknown} | {body: unknown}


def _members(value: Any) -> dict[str, Any] | None:
    with suppress(ValueError):
        value = as_json_text(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else None

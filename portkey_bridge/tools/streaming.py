"""Operations that answer with streams take one more argument: where the caller wants the stream cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.errors import ArgumentsError, Violation
from portkey_bridge.openapi.model import Operation
from portkey_bridge.openapi.pointers import object_at
from portkey_bridge.schema.readings import as_json_text, is_unset

#: The argument, and the media types of streams.
STREAM_LIMIT = "streamLimit"
STREAMS = (media_types.EVENT_STREAM, media_types.JSON_LINES, media_types.JSON_SEQUENCE)

#: The schema of the argument.
STREAM_LIMIT_SCHEMA = {
    "type": "object",
    "description": "Cut a stream after so many events or seconds, whichever comes first.",
    "properties": {"events": {"type": "integer", "minimum": 1}, "seconds": {"type": "number"}},
}


def stream_argument(operation: Operation, root: Any, taken: Collection[str]) -> str | None:
    """Return the name of the argument, which none of `taken` is; None if the operation has no stream.

    `root` is the document.
    """
    if not any(family.match(name) for name in _answers(operation, root) for family in STREAMS):
        return None
    return free_name(STREAM_LIMIT, taken)


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name with as many `_` as it takes to be none of those that are taken."""
    while name in taken:
        name += "_"
    return name


def without_limit(
    tool: str, name: str | None, arguments: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the arguments without the one that limits a stream, and the limit.

    Raises ArgumentsError for one that means nothing.
    """
    if name is None or name not in arguments:
        return arguments, {}
    rest = {key: value for key, value in arguments.items() if key != name}
    limit = _read(arguments[name])
    if is_unset(limit):
        return rest, {}
    violations = [*_violations(limit, f"/{name}")]
    if violations:
        raise ArgumentsError(tool, violations)
    return rest, {"most_events": limit.get("events"), "seconds": limit.get("seconds")}


def _read(value: Any) -> Any:
    try:
        return as_json_text(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _violations(limit: Any, pointer: str) -> Iterator[Violation]:
    if not isinstance(limit, dict) or not limit or not limit.keys() <= {"events", "seconds"}:
        yield Violation(pointer, 'expected an object such as {"events": 10} or {"seconds": 5}')
        return
    events, seconds = limit.get("events"), limit.get("seconds")
    if events is not None and (type(events) is not int or events < 1):
        yield Violation(f"{pointer}/events", "expected an integer of at least 1")
    if seconds is not None and (type(seconds) not in (int, float) or not 0 < seconds < float("inf")):
        yield Violation(f"{pointer}/seconds", "expected a number above 0")


def _answers(operation: Operation, root: Any) -> Iterator[str]:
    """Yield the media types of the successful responses."""
    for status, response in operation.responses.items():
        content = object_at(root, response).get("content")
        if status.startswith(("2", "default")) and isinstance(content, dict):
            yield from content

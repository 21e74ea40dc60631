"""What happened in one call, for those who observe calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from portkey_bridge.credentials.caller import Caller
from portkey_bridge.response.answer import FRESH, VALIDATED, Answer
from portkey_bridge.tools.catalog import Tool

#: What the log says of kept answers, and what a record says where none could be used.
KEPT_WORDS = {VALIDATED: " (the kept answer is valid)", FRESH: " (kept, the API was not asked)"}
MISSED = "missed"


@dataclass(slots=True)
class CallRecord:
    """What happened in a call: no status if no response came. The path is a template.

    The status is 304 and the `size` in bytes 0 where the API said so. `upstream` are the seconds of `seconds` that
    exchanges with the API took, and `retries` are the requests that were sent again. `cached` is what each exchange
    found in the cache, if there is one: `validated`, `fresh` or `missed`.
    """

    caller: Caller
    tool: str
    method: str
    path: str
    status: int | None = None
    size: int = 0
    seconds: float = 0.0
    upstream: float = 0.0
    retries: int = 0
    cached: list[str] = field(default_factory=list)


def record_of(tool: Tool, caller: Caller) -> CallRecord:
    """Return the record of a call that begins."""
    return CallRecord(caller, tool.name, tool.operation.method, tool.operation.path)


def outcome_of(answer: Answer) -> str:
    """Return what the log says of an answer."""
    status, size = answer.received
    return f"{status} {size} bytes{' (broke off)' if answer.problem else KEPT_WORDS.get(answer.cached, '')}"

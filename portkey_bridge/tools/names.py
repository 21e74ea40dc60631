"""The names of tools: what each operation is called, and which names are close to one that no tool has."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence

from portkey_bridge.openapi.model import Operation

EXPAND_SCHEMA = "expandSchema"
EXPAND_RESULT = "expandResult"
SEARCH_TOOLS = "searchTools"
CALL_TOOL = "callTool"
RUN_PROGRAM = "runProgram"

#: Names that no operation may take, in the lower case that operations' names have.
RESERVED_NAMES = frozenset(
    name.lower() for name in (EXPAND_SCHEMA, EXPAND_RESULT, SEARCH_TOOLS, CALL_TOOL, RUN_PROGRAM)
)

#: Tool names that every client accepts.
TOOL_NAME = re.compile(r"[a-z_][a-z0-9_]{0,63}")

#: Characters of the longest name of a tool. Clients put up to 15 before it, `mcp__petstore__`, and models take 64.
MAX_TOOL_NAME = 49

#: Characters of a hash that makes a name unique, with the `_` before it.
HASH_LENGTH = 9


def closest(name: str, known: Collection[str]) -> str:
    """Report which of the known names, in lower case, come closest to one that does not exist."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4)
    if not near:
        return f"there are {len(known)}, and no name is similar"
    return f"the closest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"


def tool_names(
    operations: Sequence[Operation], prefix: str = "", chosen: Sequence[str | None] | None = None
) -> list[str]:
    """Return the name of each operation's tool, unique and independent of the order of operations.

    The prefix, then the name that was `chosen`, else the `operationId`, else `METHOD PATH` (also where no letter or
    digit of it can be kept), in lower case, every run of other characters than a-z and 0-9 one `_`. Where clients would
    refuse that, or two would share it, a hash of method and path is added.
    """
    named = chosen or [None] * len(operations)
    return unique_names(
        [prefix + _plain_name(operation, name) for operation, name in zip(operations, named, strict=True)],
        [*map(str, operations)],
    )


def _plain_name(operation: Operation, chosen: str | None) -> str:
    """Return the name as chosen, else of the `operationId`; METHOD PATH where that leaves no character of a name."""
    name = slug(chosen or operation.operation_id or "")
    return name if name.strip("_") else slug(str(operation))


def unique_names(
    plain: Sequence[str], origins: Sequence[str], taken: Collection[str] = (), longest: int = MAX_TOOL_NAME
) -> list[str]:
    """Return each name unchanged if clients accept it and it is unique, else with a hash of its origin.

    None has more than `longest` characters.
    """
    shared = Counter(plain)
    refused = RESERVED_NAMES.union(taken)

    def is_usable(name: str) -> bool:
        return (
            shared[name] == 1 and len(name) <= longest and TOOL_NAME.fullmatch(name) is not None and name not in refused
        )

    return [
        name if is_usable(name) else _hashed(name, origin, longest) for name, origin in zip(plain, origins, strict=True)
    ]


def slug(text: str) -> str:
    """Write `text` in the characters of a tool's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


def _hashed(name: str, origin: str, longest: int) -> str:
    digest = hashlib.sha256(origin.encode(errors="replace")).hexdigest()
    return (name if TOOL_NAME.match(name) else f"_{name}")[: longest - HASH_LENGTH] + f"_{digest}"[:HASH_LENGTH]

"""Kept results in a store that replicas share: loaded before a call reads one, saved before its answer is sent.

A call works on results of its own in memory, as it does without a store, so that rendering stays what it is.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from portkey_bridge.bridge.calls import CallContext, Run
from portkey_bridge.bridge.next_pages import Following
from portkey_bridge.callers.store import STORE_TIMEOUT, Store, StoreError
from portkey_bridge.request.argument_reader import read_arguments
from portkey_bridge.request.arguments import Bound
from portkey_bridge.response.results import Entries, Results, beside
from portkey_bridge.response.tool_result import ToolResult, error_result, text_block
from portkey_bridge.settings.values import Bounds
from portkey_bridge.tools.catalog import Tool

#: The collections of the store: each result with the first part of its compressed text, and the further parts.
RESULTS, FURTHER_PARTS = "results", "parts"

#: Bytes of one part: encrypting it does not keep other calls waiting.
PART = 1 << 20

#: What is said where a result could not be saved, or loaded.
NOT_KEPT = (
    "{} So this answer was not kept, and its resultId cannot be read: ask for less of the answer, or call the tool "
    "again later. Whoever runs the server can check the store."
)
NOT_LOADED = "{} Try again later: the result may still be there. Whoever runs the server can check the store."


@dataclass
class _OfCall:
    """The results that the running call has: of each API, and what of them the store has in the same form."""

    entries: dict[str, Entries] = field(default_factory=dict)
    stored: dict[tuple[str, str | None, str], tuple[bytes, Any]] = field(default_factory=dict)


_OF_CALL: ContextVar[_OfCall] = ContextVar("results of the running call")


class SharedResults(Results):
    """The results of one API that are kept in a store. `tools` are those that a next page may be of."""

    def __init__(self, bounds: Bounds, store: Store, api: str, tools: Sequence[Tool]) -> None:
        super().__init__(bounds)
        self._store, self._api = store, api
        self._key = store.key(f"results of {api}")
        self._tools = {tool.name: tool for tool in tools}

    @property
    def _kept(self) -> Entries:
        return _OF_CALL.get().entries.setdefault(self._api, OrderedDict())

    def _id(self, body: bytes) -> str:
        return self._digest(self._owner, body)

    def _digest(self, owner: str | None, what: bytes) -> str:
        """Return 32 digits for something of a caller; only those who have the key of the store can."""
        whose = b"" if owner is None else b"\1" + owner.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, whose + b"\0" + what, "sha256").hex()[:32]

    async def load(self, owner: str | None, result_id: str) -> None:
        """Load a result of a caller from the store, if it is there. Raises StoreError."""
        theirs = self.of(owner)
        if result_id in theirs:
            return
        name = self._digest(owner, result_id.encode("utf-8", "replace"))
        with self._store.used():
            found = await self._store.values.get(name, collection=RESULTS)
            if found is None:
                return
            parts = [found["text"]]
            for number in range(1, found["parts"]):
                part = await self._store.values.get(f"{found['digest']}.{number}", collection=FURTHER_PARTS)
                if part is None:
                    return
                parts.append(part["text"])
        body = await beside(sum(map(len, parts)), lambda: zlib.decompress(b"".join(map(base64.b64decode, parts))))
        following = self._following(found["next"])
        theirs.replace(result_id, body, following)
        _OF_CALL.get().stored[self._api, owner, result_id] = body, following

    async def save(self) -> None:
        """Save what the running call has kept. Raises StoreError."""
        stored = _OF_CALL.get().stored
        for (owner, result_id), (_, body, following) in list(self._kept.items()):
            if stored.get((self._api, owner, result_id)) != (body, following):
                await self._save(owner, result_id, body, following)
                stored[self._api, owner, result_id] = body, following

    async def _save(self, owner: str | None, result_id: str, body: bytes, following: Following | None) -> None:
        """Save a result after its further parts, whose names follow from the text: readers get all or nothing."""
        parts = await beside(len(body), lambda: [*_parts(body)])
        digest = self._digest(owner, body)
        value = {"text": parts[0], "parts": len(parts), "digest": digest, "next": _written(following)}
        with self._store.used(is_optional=True):
            async with asyncio.timeout(STORE_TIMEOUT):
                for number, part in enumerate(parts[1:], 1):
                    await self._put(f"{digest}.{number}", {"text": part}, FURTHER_PARTS)
                await self._put(self._digest(owner, result_id.encode()), value, RESULTS)

    async def _put(self, name: str, value: Mapping[str, Any], collection: str) -> None:
        await self._store.values.put(name, value, collection=collection, ttl=max(self._bounds.seconds, 1))

    def _following(self, written: Mapping[str, Any] | None) -> Following | None:
        """Return what leads to the next page, None if the tool is no longer there."""
        tool = self._tools.get(written["tool"]) if written else None
        if tool is None or written is None:
            return None
        arguments = read_arguments(tool.operation, tool.shapes)
        given = ((arguments.bindings.get(name), value) for name, value in written["arguments"].items())
        bound = Bound(tuple((binding, value) for binding, value in given if binding), False, None, arguments)
        return Following(tool, bound, httpx.URL(written["url"]), frozenset(written["seen"]), written["number"])


def _parts(body: bytes) -> Iterator[str]:
    packed = zlib.compress(body, 1)
    for at in range(0, len(packed), PART):
        yield base64.b64encode(packed[at : at + PART]).decode()


def _written(following: Following | None) -> dict[str, Any] | None:
    """Return what leads to the next page as a value of JSON. The URL has the query of undeclared arguments."""
    if following is None:
        return None
    bound, known = following.bound, following.bound.arguments.bindings
    arguments = {binding.argument: value for binding, value in bound.parameters if binding.argument in known}
    return {
        "tool": following.tool.name,
        "arguments": arguments,
        "url": str(following.url),
        "seen": sorted(following.seen),
        "number": following.number,
    }


async def run_sharing(
    results: Sequence[SharedResults], run: Run, arguments: dict[str, Any], context: CallContext
) -> ToolResult:
    """Run a tool that may read or keep results: those of `results`, one of each API."""
    if _OF_CALL.get(None) is not None:  # a call within a call
        return await _run(results, run, arguments, context)
    token = _OF_CALL.set(_OfCall())
    try:
        result = await _run(results, run, arguments, context)
        try:
            for each in results:
                await each.save()
        except StoreError as error:
            result.content.append(text_block(NOT_KEPT.format(error)))
        return result
    finally:
        _OF_CALL.reset(token)


async def _run(
    results: Sequence[SharedResults], run: Run, arguments: dict[str, Any], context: CallContext
) -> ToolResult:
    """Run a tool after the result that its arguments name was loaded."""
    result_id = arguments.get("resultId")
    if isinstance(result_id, str):
        try:
            for each in results:
                await each.load(context.caller.subject, result_id)
        except StoreError as error:
            return error_result(NOT_LOADED.format(error))
    return await run(arguments, context)

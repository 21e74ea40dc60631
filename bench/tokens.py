"""Counts what the listing of tools costs in each conversation, with a public tokenizer that brings its vocabulary.

python -m bench.tokens [OPTION …]       the options are the program's
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bench.figures import section
from bench.stdio import module, session


def compact(value: Any) -> str:
    """Write a value as clients hand it to a model."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@cache
def _encoding() -> Any:
    import bpe_openai  # reads its vocabularies for half a second

    return bpe_openai.get_encoding("o200k_base")


def count(text: str) -> int:
    """Return the number of tokens of `text` in o200k_base."""
    return len(_encoding().encode(text, disallowed_special=()))


def listing(options: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the tools that the program lists over stdio when it is started with `options`."""

    async def listed() -> bytes:
        async with session(module("portkey_bridge", *options), os.environ) as server:
            return await server.request("tools/list")

    tools: list[dict[str, Any]] = json.loads(asyncio.run(listed()))["result"]["tools"]
    return tools


def report(tools: Sequence[Mapping[str, Any]]) -> str:
    """Write the size of a listing, what its fields take, and the ten largest tools."""
    whole = compact(tools)
    fields: Counter[str] = Counter()
    for tool in tools:
        fields.update({field: count(compact({field: value})) for field, value in tool.items()})
    largest = sorted(tools, key=lambda tool: -len(compact(tool)))[:10]
    lines = [
        f"{len(tools)} tools, {len(whole.encode()):,} bytes, {count(whole):,} tokens",
        *(f"{tokens:>8,}  {field}" for field, tokens in fields.most_common()),
        "the largest tools",
        *(f"{count(compact(tool)):>8,}  {tool['name']}" for tool in largest),
    ]
    return section("Tokens", "\n".join(("```text", *lines, "```")))


if __name__ == "__main__":
    print(report(listing(sys.argv[1:])))

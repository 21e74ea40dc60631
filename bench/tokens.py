"""Counts what the listing of tools costs in each conversation, with a public tokenizer that brings its vocabulary.

python -m bench.tokens [OPTION …]       the options are the program's
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

#: What a client says before it asks for the tools, and the question.
GREETING = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


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
    command = [sys.executable, "-m", "portkey_bridge", *options]
    with subprocess.Popen(  # noqa: S603  this very program, with the options of whoever measures it
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None, "a pipe"  # noqa: S101
        assert process.stdout is not None, "a pipe"  # noqa: S101
        process.stdin.writelines(f"{compact(message)}\n" for message in GREETING)
        process.stdin.flush()
        answers = (json.loads(line) for line in process.stdout)
        tools: list[dict[str, Any]] = next(answer for answer in answers if answer.get("id") == 2)["result"]["tools"]
        process.stdin.close()
    return tools


def main() -> None:
    """Print the size of the listing, what its fields take, and the ten largest tools."""
    tools = listing(sys.argv[1:])
    whole = compact(tools)
    print(f"{len(tools)} tools, {len(whole.encode()):,} bytes, {count(whole):,} tokens")
    fields: Counter[str] = Counter()
    for tool in tools:
        fields.update({field: count(compact({field: value})) for field, value in tool.items()})
    for field, tokens in fields.most_common():
        print(f"{tokens:>8,}  {field}")
    print("the largest tools")
    for tool in sorted(tools, key=lambda tool: -len(compact(tool)))[:10]:
        print(f"{count(compact(tool)):>8,}  {tool['name']}")


if __name__ == "__main__":
    main()

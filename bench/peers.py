"""This program beside others that serve the same document over stdio: `python -m bench.peers`.

Each serves the Portkey API. What does not come with this environment is installed by `make rivals`.
The servers take turns, so that what else the machine does is the same for all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import yaml

from bench.calls import AT_ONCE, at_once, one_by_one
from bench.figures import section, spread, table
from bench.installed import IVOTOBY, MCPIFY, program_of
from bench.loopback import loopback
from bench.processes import cpu_seconds
from bench.stdio import Session, module, session
from bench.tokens import compact, count
from portkey_bridge.document.sources import portkey_document

#: How often the servers take turns; calls of a turn one after the other, and AT_ONCE at once.
TURNS, CALLS, CALLS_AT_ONCE = 3, 200, 640

CHAT: Mapping[str, Any] = {
    "model": "gpt-5",
    "messages": [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "What is a bridge?"},
    ],
    "temperature": 0.5,
    "max_tokens": 100,
}

#: What every server gets of the environment: a key, as it would have it in real use.
KEY = {"X_PORTKEY_API_KEY": "pk-of-nobody-0123456789"}


class Peer(NamedTuple):
    """A server: its command, and the tools that list the models and create a chat completion, as it takes that."""

    command: Sequence[str]
    get: str = "listmodels"
    chat: str = "createchatcompletion"
    arguments: Mapping[str, Any] = CHAT


class Turn(NamedTuple):
    """Seconds until the whole listing, milliseconds and milliseconds of CPU of a call, and calls a second."""

    listed: float
    get: float
    get_cpu: float
    chat: float
    chat_cpu: float
    rate: float


def peers(url: str, document: Path) -> dict[str, Peer]:
    """Return the servers of the document, sent to `url`; one that is not installed is left out with a line."""
    found = {
        "portkey-bridge": Peer(module("portkey_bridge", "--base-url", url)),
        "FastMCP `from_openapi`": Peer(module("bench.rivals", "portkey", url), "listModels", "createChatCompletion"),
    }
    if mcpify := program_of(MCPIFY):
        options = ("--base-url", url, "--auth-env", *KEY)
        found["mcpify"] = Peer([str(mcpify), "serve", str(document), *options], arguments={"body": CHAT})
    if ivotoby := program_of(IVOTOBY):
        options = ("--transport", "stdio", "--tools", "all", "--api-base-url", url, "--openapi-spec", str(document))
        found[IVOTOBY.package] = Peer([str(ivotoby), *options], "lst-models", "crt-chat-completion")
    return found


def document_in(folder: Path) -> Path:
    """Write the document of the Portkey API into a folder as JSON, which every server reads."""
    document = folder / "portkey.json"
    root = yaml.load(portkey_document().read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    document.write_text(json.dumps(root, default=str), encoding="utf-8")
    return document


async def turn(peer: Peer) -> tuple[Turn, str]:
    """Start a server, list its tools, call it, and return what that took and the listing."""
    began = perf_counter()
    async with session(peer.command, KEY) as server:
        listing = json.loads(await server.request("tools/list"))["result"]["tools"]
        listed = perf_counter() - began
        for tool, arguments in ((peer.get, {}), (peer.chat, peer.arguments)):
            answer = await server.call(tool, arguments)
            message = json.loads(answer)
            if "error" in message or message["result"].get("isError"):
                raise RuntimeError(f"{peer.command} does not answer: {answer[:500]!r}")
        await at_once(lambda: server.call(peer.get, {}), AT_ONCE * 2)  # connections are made, and code is warm
        get, get_cpu = await _calls(server, peer.get, {})
        chat, chat_cpu = await _calls(server, peer.chat, peer.arguments)
        rate = await at_once(lambda: server.call(peer.get, {}), CALLS_AT_ONCE)
        return Turn(listed, get, get_cpu, chat, chat_cpu, rate), compact(listing)


async def _calls(server: Session, tool: str, arguments: Mapping[str, Any]) -> tuple[float, float]:
    """Return the median of the milliseconds of a call, and the mean of its milliseconds of CPU."""
    before = cpu_seconds(server.process.pid)
    took = await one_by_one(lambda: server.call(tool, arguments), CALLS)
    return took, (cpu_seconds(server.process.pid) - before) / CALLS * 1000


async def measure() -> dict[str, tuple[list[Turn], int]]:
    """Return the turns of each server, and the tokens of its listing."""
    with loopback() as url, TemporaryDirectory() as folder:
        subjects = peers(url, document_in(Path(folder)))
        measured: dict[str, tuple[list[Turn], int]] = {}
        for _ in range(TURNS):
            for name, peer in subjects.items():
                took, listing = await turn(peer)
                turns, _ = measured.setdefault(name, ([], count(listing)))
                turns.append(took)
    return measured


def report(measured: Mapping[str, tuple[list[Turn], int]]) -> str:
    """Write the figures."""
    heads = (
        *("", "whole listing, s", "tokens", "GET, ms", "CPU, ms", "chat completion, ms", "CPU, ms"),
        f"GETs a second, {AT_ONCE} at once",
    )
    ours = measured["portkey-bridge"][0]
    ratio = median(turn.chat_cpu for turn in ours) / median(turn.get_cpu for turn in ours)
    return section(
        "Beside others",
        f"Servers of the Portkey API over stdio, in {TURNS} turns of {CALLS} calls of each kind and "
        f"{CALLS_AT_ONCE} GETs, {AT_ONCE} at once: medians with the lowest and highest. CPU is that of the "
        "server's process.",
        table(heads, (_row(name, *each) for name, each in measured.items())),
        f"A chat completion takes {ratio:.2f} times the CPU of a GET here.",
    )


def _row(name: str, turns: Sequence[Turn], tokens: int) -> tuple[str, ...]:
    listed, get, get_cpu, chat, chat_cpu, rate = zip(*turns, strict=True)
    return (name, spread(listed), f"{tokens:,}", *map(spread, (get, get_cpu, chat, chat_cpu)), spread(rate, 0))


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

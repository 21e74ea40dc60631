"""How long a client waits for a server: from the spawn to the whole listing and to the first call that is answered.

python -m bench.start
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

from bench.calls import one_by_one
from bench.documents import TOOL
from bench.figures import ratios, spread, table
from bench.loopback import loopback
from bench.stdio import module, session

#: How often each server is started; they take turns.
TURNS = 7

OURS, COLD, UVX = "portkey-bridge", "portkey-bridge, empty cache", "portkey-bridge by uvx"
CONSTANT, FROM_OPENAPI = "FastMCP, a constant", "FastMCP `from_openapi`"

#: A call of the Portkey API, and of the server with the constant.
LIST_MODELS: tuple[str, dict[str, Any]] = ("listmodels", {})
GET_THING: tuple[str, dict[str, Any]] = (TOOL, {"id": "a1"})


#: Seconds for which a client that thinks does nothing behind its listing.
THINKING = 3.0

ROOT = Path(__file__).parent.parent


class Start(NamedTuple):
    """Seconds from the spawn to the answer to `initialize`, to the whole listing, and to the first answered call."""

    initialized: float
    listed: float
    called: float


async def start(command: Sequence[str], call: tuple[str, dict[str, Any]], env: Mapping[str, str] = {}) -> Start:
    """Start a server, list its tools and call one."""
    began = perf_counter()
    async with session(command, env) as server:
        initialized = perf_counter() - began
        await server.request("tools/list")
        listed = perf_counter() - began
        answer = await server.call(*call)
        called = perf_counter() - began
    if b'"error"' in answer[:60] or b'"isError":true' in answer:
        raise RuntimeError(f"{command} does not answer: {answer[:500]!r}")
    return Start(initialized, listed, called)


async def after_thinking(env: Mapping[str, str]) -> tuple[float, float]:
    """Return the milliseconds of the first call that comes THINKING seconds behind the listing, and of the second."""
    async with session(module("portkey_bridge"), env) as server:
        await server.request("tools/list")
        await asyncio.sleep(THINKING)
        first, second = [await one_by_one(lambda: server.call(*LIST_MODELS), 1) for _ in range(2)]
    return first, second


async def measure() -> tuple[dict[str, list[Start]], list[tuple[float, float]]]:
    """Start every server in each turn; a start with a full cache follows on one with an empty one.

    With uvx, which is measured where it is installed, the packages are there already.
    """
    measured: dict[str, list[Start]] = {name: [] for name in (OURS, COLD, CONSTANT, FROM_OPENAPI)}
    thinking: list[tuple[float, float]] = []
    by_uvx = [uvx, "--quiet", "--from", str(ROOT), "portkey-bridge"] if (uvx := shutil.which("uvx")) else None
    with loopback() as url:
        env = {"OPEN_MCP_BASE_URL": url, "X_PORTKEY_API_KEY": "none", "X_PORTKEY_VIRTUAL_KEY": "none"}
        for _ in range(TURNS):
            with TemporaryDirectory() as folder:
                cached = {**env, "XDG_CACHE_HOME": folder}
                measured[COLD].append(await start(module("portkey_bridge"), LIST_MODELS, cached))
                measured[OURS].append(await start(module("portkey_bridge"), LIST_MODELS, cached))
                thinking.append(await after_thinking(cached))
                if by_uvx:
                    await start(by_uvx, LIST_MODELS, cached)  # installs, and fills the cache of its command line
                    measured.setdefault(UVX, []).append(await start(by_uvx, LIST_MODELS, cached))
            measured[CONSTANT].append(await start(module("bench.rivals", "constant"), GET_THING))
            measured[FROM_OPENAPI].append(await start(module("bench.rivals", "portkey", url), ("listModels", {})))
    return measured, thinking


def report(measured: Mapping[str, list[Start]], thinking: Sequence[tuple[float, float]]) -> str:
    """Write the figures, and how many times a bare FastMCP server takes each is."""
    heads = ("", "initialize, s · ratio", "whole listing, s · ratio", "first call, s · ratio")
    return "\n\n".join(
        (
            "## Start",
            "Seconds from the spawn over stdio, medians with the lowest and highest, and the ratio to a bare FastMCP "
            "server with one constant tool, started in the same turn. All but that one list the Portkey API.",
            table(heads, ((name, *_cells(starts, measured[CONSTANT])) for name, starts in measured.items())),
            f"With an empty cache the document is read and all its schemas are viewed: {_more(measured):.2f} s more "
            "than a server that reads no document.",
            f"The first call is answered as soon as FastMCP is imported. {THINKING:.0f} s behind the listing it takes "
            f"{spread([first for first, _ in thinking], 0)} ms, and the second "
            f"{spread([second for _, second in thinking], 1)}.",
        )
    )


def _more(measured: Mapping[str, list[Start]]) -> float:
    """Return the seconds by which a listing comes later with an empty cache than that of the bare server."""
    pairs = zip(measured[COLD], measured[CONSTANT], strict=True)
    return median(cold.listed - bare.listed for cold, bare in pairs)


def _cells(starts: Sequence[Start], bare: Sequence[Start]) -> Iterator[str]:
    for own, other in zip(zip(*starts, strict=True), zip(*bare, strict=True), strict=True):
        yield f"{spread(own)} · {median(ratios(own, other)):.2f}"


if __name__ == "__main__":
    print(report(*asyncio.run(measure())))

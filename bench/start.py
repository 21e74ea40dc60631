"""How long a client waits for a server: from the spawn to the whole listing and to the first call that is answered.

python -m bench.start
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

from bench.calls import one_by_one
from bench.documents import TOOL
from bench.figures import ratios, section, spread, table
from bench.loopback import loopback
from bench.peers import KEY, document_in, peers
from bench.processes import megabytes
from bench.stdio import module, session

#: How often each server is started; they take turns.
TURNS = 7

OURS, COLD = "portkey-bridge", "portkey-bridge, empty cache"
UVX, COLD_UVX, CONSTANT = "portkey-bridge by uvx", "portkey-bridge by uvx, empty cache", "FastMCP, a constant"

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


class Thinking(NamedTuple):
    """Milliseconds of the first two calls THINKING seconds behind the listing, and MB: before, after, and later."""

    first: float
    second: float
    idle: float
    called: float
    imported: float


async def after_thinking(env: Mapping[str, str]) -> Thinking:
    """Return what a server takes whose client thinks before its first call, and behind its second."""
    async with session(module("portkey_bridge"), env) as server:
        await server.request("tools/list")
        await asyncio.sleep(THINKING)
        idle = megabytes(server.process.pid, "VmRSS")
        first, second = [await one_by_one(lambda: server.call(*LIST_MODELS), 1) for _ in range(2)]
        called = megabytes(server.process.pid, "VmRSS")
        await asyncio.sleep(THINKING)
        return Thinking(first, second, idle, called, megabytes(server.process.pid, "VmRSS"))


def _by_uvx(folder: Path) -> list[str]:
    """Return the command that starts a wheel of this program with uvx, from what uv has; none without uv."""
    uv, uvx = shutil.which("uv"), shutil.which("uvx")
    if not uv or not uvx:
        return []
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)], check=True)  # noqa: S603
    command = [uvx, "--quiet", "--from", str(next(folder.glob("*.whl"))), "portkey-bridge"]
    subprocess.run([*command, "--version"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # installs
    return [*command[:1], "--offline", *command[1:]]


def _others(url: str, folder: Path) -> dict[str, tuple[Sequence[str], tuple[str, dict[str, Any]]]]:
    """Return the commands of the other servers, and a GET of each."""
    others = peers(url, document_in(folder))
    del others[OURS]
    return {
        CONSTANT: (module("bench.rivals", "constant"), GET_THING),
        **{name: (peer.command, (peer.get, {})) for name, peer in others.items()},
    }


async def measure() -> tuple[dict[str, list[Start]], list[Thinking]]:
    """Start every server in each turn; a start with a full cache follows on one with an empty one.

    With uvx, which is measured where it is installed, the packages are there already.
    """
    measured: dict[str, list[Start]] = {name: [] for name in (OURS, COLD)}
    thinking: list[Thinking] = []
    with loopback() as url, TemporaryDirectory() as kept:
        env = {"OPEN_MCP_BASE_URL": url, "X_PORTKEY_VIRTUAL_KEY": "none", **KEY}
        by_uvx, others = _by_uvx(Path(kept)), _others(url, Path(kept))
        for _ in range(TURNS):
            with TemporaryDirectory() as folder:
                cached = {**env, "XDG_CACHE_HOME": folder}
                for name in (COLD, OURS):
                    measured[name].append(await start(module("portkey_bridge"), LIST_MODELS, cached))
                thinking.append(await after_thinking(cached))
            with TemporaryDirectory() as folder:
                cached = {**env, "XDG_CACHE_HOME": folder, "UV_CACHE_DIR": _uv_cache()}
                for name in (COLD_UVX, UVX) if by_uvx else ():
                    measured.setdefault(name, []).append(await start(by_uvx, LIST_MODELS, cached))
            for name, (command, call) in others.items():
                measured.setdefault(name, []).append(await start(command, call, KEY))
    return measured, thinking


def _uv_cache() -> str:
    """Return the folder of uv's own cache, which is elsewhere for each start otherwise."""
    return os.environ.get("UV_CACHE_DIR") or str(
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "uv"
    )


def report(measured: Mapping[str, list[Start]], thinking: Sequence[Thinking]) -> str:
    """Write the figures, and how many times a bare FastMCP server takes each is."""
    heads = ("", "initialize, s · ratio", "whole listing, s · ratio", "first call, s · ratio")
    first, second, *memory = zip(*thinking, strict=True)
    more = _more(measured)
    idle, called, imported = (f"{median(each):.0f}" for each in memory)
    return section(
        "Start",
        "Seconds from the spawn over stdio, medians with the lowest and highest, and the ratio to a bare FastMCP "
        "server with one constant tool, started in the same turn. All but that one list the Portkey API.",
        table(heads, ((name, *_cells(starts, measured[CONSTANT])) for name, starts in measured.items())),
        f"With an empty cache the document is read and all its schemas are viewed; the listing comes "
        f"{abs(more):.2f} s {'later' if more > 0 else 'earlier'} than that of the bare server, which reads no "
        "document.",
        f"No answer of these waits for FastMCP. {THINKING:.0f} s behind the listing the first call takes "
        f"{spread(first, 0)} ms, and the second {spread(second, 1)}. The server has {idle} MB until then, "
        f"{called} MB after these calls, and {imported} MB once FastMCP is imported behind them.",
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

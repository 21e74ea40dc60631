"""What a document costs as it grows: start, memory, listing and calls at 100, 1,000 and 10,000 operations.

python -m bench.load
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.calls import one_by_one
from bench.documents import EACH, TOOL, things
from bench.figures import section, table
from bench.loopback import loopback
from bench.processes import megabytes
from bench.stdio import module, session

#: Operations of a document, and how often it is started. The smallest shows what every start costs.
SIZES = {EACH: 5, 100: 5, 1000: 3, 10_000: 1}

#: Calls of one start.
CALLS = 300


@dataclass(frozen=True)
class Start:
    """Seconds from the spawn to the whole listing, megabytes at most until then, bytes of it; milliseconds a call."""

    seconds: float
    megabytes: float
    listing: int
    call: float


async def start(document: Path, env: Mapping[str, str]) -> Start:
    """Start the program, list its tools and call one."""
    began = perf_counter()
    async with session(module("portkey_bridge", "--spec", str(document)), env) as server:
        listing = await server.request("tools/list")
        seconds, most = perf_counter() - began, megabytes(server.process.pid)
        await one_by_one(lambda: server.call(TOOL, {"id": "a1"}), 50)
        call = await one_by_one(lambda: server.call(TOOL, {"id": "a1"}), CALLS)
    return Start(seconds, most, len(listing), call)


async def measure() -> dict[int, tuple[Start, Start]]:
    """Start each document with an empty cache and with a full one, and return the medians."""
    measured = {}
    with loopback() as url, TemporaryDirectory() as folder:
        document = Path(folder) / "document.json"
        for size, times in SIZES.items():
            document.write_text(json.dumps(things(url, size)))
            first, second = [], []
            for turn in range(times):
                env = {"XDG_CACHE_HOME": f"{folder}/cache-{size}-{turn}"}
                first.append(await start(document, env))
                second.append(await start(document, env))
            measured[size] = _medians(first), _medians(second)
    return measured


def _medians(starts: list[Start]) -> Start:
    return Start(
        median(each.seconds for each in starts),
        median(each.megabytes for each in starts),
        starts[0].listing,
        median(each.call for each in starts),
    )


def report(measured: Mapping[int, tuple[Start, Start]]) -> str:
    """Write the figures; what every start costs is taken off before they are divided by the operations."""
    (least, least_again), sizes = measured[EACH], [size for size in measured if size != EACH]
    rows = [
        (
            f"{size:,}",
            f"{first.seconds:.2f}",
            f"{(first.seconds - least.seconds) / size * 1000:.2f}",
            f"{again.seconds:.2f}",
            f"{(again.seconds - least_again.seconds) / size * 1000:.2f}",
            f"{first.megabytes:,.0f}",
            f"{(first.megabytes - least.megabytes) / size * 1000:,.0f}",
            f"{again.megabytes:,.0f}",
            f"{first.listing / size:,.0f}",
            f"{first.call:.2f}",
        )
        for size, (first, again) in measured.items()
        if size != EACH
    ]
    heads = (
        *("operations", "first start, s", "ms an operation", "second start, s", "ms an operation"),
        *("MB", "kB an operation", "MB, second start", "listing, bytes an operation", "ms a call"),
    )
    before, last = sizes[-2:]
    growth = (measured[last][0].seconds - least.seconds) / (measured[before][0].seconds - least.seconds)
    return section(
        "Growth",
        f"From the spawn to the whole listing over stdio, with an empty cache and again with what the first start "
        f"kept. A document of {EACH} operations takes {least.seconds:.2f} s and {least.megabytes:.0f} MB; that is "
        "taken off before the rest is divided by the operations.",
        table(heads, rows),
        f"From {before:,} to {last:,} operations the work of the first start grows {growth:.1f} times.",
    )


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

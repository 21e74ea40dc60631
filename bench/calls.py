"""What a call costs over stdio, beside its unavoidable parts and beside FastMCP's own way: `python -m bench.calls`.

The subjects take turns, so that what else the machine does is the same for all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from bench.documents import TOOL, things
from bench.figures import ratios, section, spread, table
from bench.loopback import LARGE, loopback
from bench.stdio import module, session
from portkey_bridge.http.transport import Transport
from portkey_bridge.settings.options import Settings

#: What the figures decided.
WHY = """Three parts of a call are made smaller than they come. FastMCP looks a tool up in its providers, transforms
and rules of the session at each call, and the SDK moves each line through worker threads; this server needs neither.
httpx supports any event loop, threads and HTTP/2, and checks at each request which of these it is in, which takes more
than three times the CPU; here the event loop itself carries the messages. An answer that is all there with its head,
as most are, is read without waiting, and frees its connection at once. A line that is a plain call starts it in the
callback that reads it, answers of calls that end in the same turn of the loop are written together, and a connection
has one timer for all that is waited for.

h11, which implements HTTP for httpx, takes 0.07 ms of an exchange, and 0.09 with twenty headers: a fifth of a call.
`http/http1` writes and reads the same bytes in a quarter of that; the tests compare it with h11 on random messages.
httptools, a parser in C, is not used: it does not know that the answer to HEAD has no body, and refuses those with the
same length twice. aiohttp is not used either,
because promises would be broken. It changes requests: `/x?` becomes `/x`, and a header
that is repeated in another case is lost. It takes what a server sends unasked on an idle connection for the answer to
the next request. It refuses answers that httpx reads: longer than announced, with a length beside chunks, or with the
same length twice. It has no time limit for sending, and takes 0.17 s of CPU to import. uvloop saves a tenth
of a call's CPU while many run over stdio, and nothing while one does; it is used over HTTP, where it is installed."""

Call = Callable[[], Awaitable[object]]

#: How often the subjects take turns; calls of a turn one after the other, and 32 at once.
TURNS, CALLS, CALLS_AT_ONCE, AT_ONCE = 5, 200, 640, 32

OURS, CONSTANT, FROM_OPENAPI = "portkey-bridge", "FastMCP, a constant", "FastMCP `from_openapi`"
CLIENT, TRANSPORT, AIOHTTP = "httpx, no MCP", "portkey-bridge's transport, no MCP", "httpx over httpx-aiohttp, no MCP"
DIRECT = "the same as portkey-bridge serves it"

#: Bytes that no answer here has.
LARGE_ENOUGH = 100_000_000

#: Subjects, and how many milliseconds a call took and how many ended a second, by turns.
Measured = dict[str, tuple[list[float], list[float]]]


async def crossing() -> tuple[float, float]:
    """Return how many times its own bytes an answer of 2 MB crosses to the client, and the seconds of the call."""
    with loopback() as url, TemporaryDirectory() as folder:
        document = Path(folder) / "things.json"
        document.write_text(json.dumps(things(url)))
        command = module("portkey_bridge", "--spec", str(document), "--result-limit", str(LARGE_ENOUGH))
        async with session(command) as ours:
            seconds = await one_by_one(lambda: ours.call(TOOL, {"id": "large"}), 5) / 1000
            return len(await ours.call(TOOL, {"id": "large"})) / len(LARGE), seconds


async def one_by_one(call: Call, number: int) -> float:
    """Return the median of the milliseconds that a call takes."""
    took = []
    for _ in range(number):
        began = perf_counter()
        await call()
        took.append(perf_counter() - began)
    return median(took) * 1000


async def at_once(call: Call, number: int) -> float:
    """Return the calls that end in a second while AT_ONCE of them run."""
    turns = iter(range(number))

    async def run() -> None:
        for _ in turns:
            await call()

    began = perf_counter()
    await asyncio.gather(*(run() for _ in range(AT_ONCE)))
    return number / (perf_counter() - began)


async def measure() -> Measured:
    """Measure every subject in each turn."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(loopback())
        subjects = await _subjects(stack, url)
        for call in subjects.values():
            await at_once(call, AT_ONCE * 2)  # connections are made, what is imported late is imported
        measured: Measured = {name: ([], []) for name in subjects}
        for _ in range(TURNS):
            for name, call in subjects.items():
                measured[name][0].append(await one_by_one(call, CALLS))
                measured[name][1].append(await at_once(call, CALLS_AT_ONCE))
    return measured


async def _subjects(stack: AsyncExitStack, url: str) -> dict[str, Call]:
    document = Path(stack.enter_context(TemporaryDirectory())) / "things.json"
    document.write_text(json.dumps(things(url)))
    ours = await stack.enter_async_context(session(module("portkey_bridge", "--spec", str(document))))
    constant = await stack.enter_async_context(session(module("bench.rivals", "constant", url)))
    theirs = await stack.enter_async_context(session(module("bench.rivals", "from_openapi", url)))
    direct = await stack.enter_async_context(session(module("bench.rivals", "direct", url)))
    client = await stack.enter_async_context(httpx.AsyncClient())
    aiohttp = await stack.enter_async_context(HttpxAiohttpClient())
    transport = Transport(
        timeouts=Settings.timeouts, retries=Settings.retries, concurrency=Settings.concurrency, limit=LARGE_ENOUGH
    )
    stack.push_async_callback(transport.aclose)

    async def exchange() -> bytes:
        async with transport.exchange(httpx.Request("GET", f"{url}/things0/a1")) as response:
            return await response.aread()

    return {
        OURS: lambda: ours.call(TOOL, {"id": "a1"}),
        CONSTANT: lambda: constant.call(TOOL, {"id": "a1"}),
        DIRECT: lambda: direct.call(TOOL, {"id": "a1"}),
        FROM_OPENAPI: lambda: theirs.call("getThing0", {"id": "a1"}),
        CLIENT: lambda: client.get(f"{url}/things0/a1"),
        TRANSPORT: exchange,
        AIOHTTP: lambda: aiohttp.get(f"{url}/things0/a1"),
    }


def report(measured: Measured, crossed: tuple[float, float]) -> str:
    """Write the figures, and the ratio that counts: to the sum of the parts that no such server can avoid."""
    names = list(measured)
    rows = [(name, spread(measured[name][0]), spread(measured[name][1], 0)) for name in names]
    (ours, our_rate), (other, other_rate) = measured[OURS], measured[FROM_OPENAPI]
    beside = spread(ratios(ours, _parts(measured, 0))), spread(ratios(_parts(measured, 1), our_rate))
    theirs = spread(ratios(other, ours)), spread(ratios(our_rate, other_rate))
    heads = ("", "ms a call, one after the other", f"calls a second, {AT_ONCE} at once")
    return section(
        "Calls",
        f"A GET over stdio whose answer is a small JSON object, in {TURNS} turns of {CALLS} and {CALLS_AT_ONCE} "
        "calls: the median of the turns, with the lowest and the highest.",
        table(heads, rows),
        f"A call takes {beside[0]} times as long as the bare FastMCP tool and the bare request together, and with "
        f"{AT_ONCE} at once {beside[1]} times. `from_openapi` takes {theirs[0]} times as long as portkey-bridge, "
        f"and with {AT_ONCE} at once {theirs[1]} times.",
        f"Of {median(ours):.2f} ms the protocol takes {median(measured[DIRECT][0]):.2f} and the exchange "
        f"{median(measured[TRANSPORT][0]):.2f}, each with its client; what is left checks, writes and shows. With "
        f"{AT_ONCE} at once these two alone would leave {_both(measured):,.0f} calls a second.",
        f"An answer of {len(LARGE) / 1e6:.1f} MB that is wanted whole crosses in {crossed[0]:.2f} times its bytes, "
        f"in {crossed[1]:.2f} s a call.",
        WHY,
    )


def _both(measured: Measured) -> float:
    """Return the calls a second that the protocol and the exchange leave together."""
    return 1 / sum(1 / median(measured[name][1]) for name in (DIRECT, TRANSPORT))


def _parts(measured: Measured, which: int) -> Sequence[float]:
    """Return the two unavoidable parts together: as milliseconds, or as the calls a second that are left of both."""
    pairs = zip(measured[CONSTANT][which], measured[CLIENT][which], strict=True)
    if which == 0:
        return [constant + client for constant, client in pairs]
    return [1 / (1 / constant + 1 / client) for constant, client in pairs]


if __name__ == "__main__":
    print(report(asyncio.run(measure()), asyncio.run(crossing())))

"""What each stage of a call takes of the CPU, in this process: `python -m bench.stages`.

The fastest of many short rounds counts: everything else that a machine does makes a round slower, and nothing faster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from typing import Any

import msgspec
import pydantic_core

from bench.documents import TOOL, things
from bench.figures import section, table
from bench.loopback import loopback
from bench.peers import CHAT
from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.bridge.several_apis import load_services
from portkey_bridge.request.servers import base_url
from portkey_bridge.request.writer import write_request
from portkey_bridge.serve.direct_lane import DirectLane
from portkey_bridge.serve.server import live_catalogue_of
from portkey_bridge.settings.options import Settings

#: Rounds of each stage, and how often it runs in one.
ROUNDS, RUNS = 150, 20

Stage = Callable[[], object]


async def microseconds(stage: Stage) -> float:
    """Return the microseconds of CPU of a stage, which may be a coroutine function."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = thread_time()
        for _ in range(RUNS):
            running = stage()
            if isinstance(running, Awaitable):
                await running
        best = min(best, thread_time() - began)
    return best / RUNS * 1e6


async def stages(settings: Settings, name: str, arguments: Mapping[str, Any]) -> dict[str, Stage]:
    """Return the stages of a call over stdio in their order, and the whole of them."""
    services = load_services([settings])
    live, bridge, context = live_catalogue_of(services), services[0].bridge, CallContext()
    tool = next(tool for tool in services[0].tools if tool.name == name)
    operation, lane = tool.operation, DirectLane(live.current, live.info)
    params = {"name": name, "arguments": dict(arguments)}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    call = lane.read(line)
    assert call is not None, "it is a plain call"  # noqa: S101
    bound = tool.bind(arguments)
    sent = await bridge.provider.credentials(operation, bound.places, context.caller)
    url = base_url(name, operation.servers, bridge.base_url, bridge.document_uri)
    write = partial(write_request, name, operation, bound, sent, url, bridge.sources)

    async def exchange() -> None:
        async with bridge.transport.exchange(request) as response:
            await response.aread()

    request, result = write().to_httpx(), await call.run(call.arguments, context)
    blocks = msgspec.to_builtins(result.content)
    message = {"content": blocks, "structuredContent": result.structured_content, "isError": False}
    return {
        "read the message": lambda: lane.read(line),
        "check the arguments": lambda: tool.arguments.bound_if_valid(arguments),
        "find the credentials": lambda: bridge.provider.credentials(operation, bound.places, context.caller),
        "write the request": lambda: write().to_httpx(),
        "exchange request and answer": exchange,
        "write the message": lambda: pydantic_core.to_json(message),
        "the whole call": lambda: lane.answer(call, context),
    }


async def measure() -> dict[str, dict[str, float]]:
    """Return the microseconds of each stage of a GET and of a chat completion."""
    with loopback() as url, TemporaryDirectory() as folder:
        document = Path(folder) / "things.json"
        document.write_text(json.dumps(things(url)), encoding="utf-8")
        portkey = Settings(base_url=url, environ={"X_PORTKEY_API_KEY": "pk-of-nobody-0123456789"})
        kinds = {
            "GET": await stages(Settings(spec=str(document)), TOOL, {"id": "a1"}),
            "chat completion": await stages(portkey, "createchatcompletion", CHAT),
        }
        return {
            kind: {name: await microseconds(stage) for name, stage in of_kind.items()}
            for kind, of_kind in kinds.items()
        }


def report(measured: Mapping[str, Mapping[str, float]]) -> str:
    """Write the figures; what no stage accounts for reads, redacts and shows the answer, and joins the stages."""
    kinds = list(measured)
    heads = ("", *(f"{kind}, µs" for kind in kinds))
    return section("Stages of a call", ABOUT, table(heads, _rows([measured[kind] for kind in kinds])))


#: What the table shows.
ABOUT = (
    "Microseconds of CPU inside the server, of a GET whose answer is a small JSON object and of a chat completion. The "
    "exchange includes what the event loop and the system do for it; the pipes to the client come on top."
)


def _rows(measured: list[Mapping[str, float]]) -> Iterator[tuple[str, ...]]:
    *names, whole = measured[0]
    for name in names:
        yield name, *(f"{each[name]:.0f}" for each in measured)
    yield "read, redact and show the answer, and all else", *(f"{_rest(each, whole):.0f}" for each in measured)
    yield whole, *(f"{each[whole]:.0f}" for each in measured)


def _rest(each: Mapping[str, float], whole: str) -> float:
    return each[whole] - sum(taken for name, taken in each.items() if name != whole) + each["read the message"]


if __name__ == "__main__":
    print(report(asyncio.run(measure())))

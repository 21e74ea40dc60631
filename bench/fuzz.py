"""Tries hostile input on the program, for a bounded time: `python -m bench.fuzz [SECONDS [CAMPAIGN …]]`.

Each campaign makes inputs of numbered seeds, so that every input can be made again. What fails is printed with its seed
and kept in SEEDS, which `tests/test_fuzz.py` replays. An input fails if it ends in any exception but those that explain
what is wrong, or takes longer than PATIENCE.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import portkey_bridge.serve.fastmcp_seam  # noqa: F401  # sessions import it in a thread, which takes seconds
from portkey_bridge.bridge.service import service_of
from portkey_bridge.clients.entries import entries_in
from portkey_bridge.clients.files import ClientFile, with_entry, without_entry
from portkey_bridge.clients.registry import CLIENTS, KnownClient
from portkey_bridge.clients.spans import Unreadable
from portkey_bridge.document.content import Content
from portkey_bridge.document.parse import document_of
from portkey_bridge.errors import CallError, ClientFileError, SetupError
from portkey_bridge.openapi.model import Api
from portkey_bridge.openapi.normalize import normalize
from portkey_bridge.openapi.reader import read_api
from portkey_bridge.request.binary_values import Sources
from portkey_bridge.request.uploads import Files
from portkey_bridge.request.writer import write_request
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import Views
from portkey_bridge.serve.server import live_catalogue_of
from portkey_bridge.serve.stdio_session import StdioSession
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.catalog import Tool, build_tools

DOCUMENTS = Path(__file__).parents[1] / "tests" / "documents"

#: The URI of each document, so that it finds the files beside it.
URI = (DOCUMENTS / "fuzz.yaml").as_uri()

#: Seeds that have failed, by campaign. They are tried first.
SEEDS = Path(__file__).parents[1] / "tests" / "data" / "fuzz-seeds.json"

#: Seconds that one input may take.
PATIENCE = 10

#: Values that have made trouble somewhere. Seeds choose by position, so new ones go to the end.
SCALARS = (None, True, False, 0, -1, 1.5, 10**30, 1e308, "", " ", "\x00", "\ud83d", "\u202e\u200b", "é" * 300)
EMPTY: tuple[Any, ...] = ([], {}, [[]], [None], {"": None})
SCHEMAS: tuple[Any, ...] = ({"$ref": "#"}, {"$ref": "#/"}, {"$ref": 5}, {"type": "object"}, {"allOf": [{}]})
TEXTS = ("#/paths", "http://[", "{a}", "a\r\nb: c", "$ref", "2025-01-01", "NaN", "null", "-", "[", "{", '"', "\\")
JUNK: tuple[Any, ...] = (*SCALARS, "../..", "%2e", *EMPTY, *SCHEMAS, *TEXTS, "(" * 99)

#: What a mutated document mentions again and again, chosen by position, too.
KEYS = """
    $ref type properties items allOf anyOf oneOf not enum const default pattern in name schema content required style
    explode parameters requestBody responses get servers security $defs $id discriminator format additionalProperties
    nullable x
""".split()

Campaign = Callable[[Random], str]
"""Makes and tries one input, and returns what became of it."""


def junk(random: Random) -> Any:
    """Return one of JUNK as a value of its own: mutations change it, and later seeds choose from what JUNK was."""
    return deepcopy(random.choice(JUNK))


def mutated(value: Any, random: Random, changes: int) -> Any:
    """Return a JSON value with some parts replaced, removed, added or moved."""
    for _ in range(changes):
        places = list(_places(value))
        parent, key = random.choice(places) if places else (None, None)
        if parent is None:
            return junk(random)
        act = random.randrange(6)
        if act == 0:
            parent[key] = junk(random)
        elif act == 1:
            del parent[key]
        elif act == 2 and isinstance(parent, dict):
            parent[random.choice(KEYS)] = parent[key]
        elif act == 3:
            other, name = random.choice(places)
            parent[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else {}
        elif act == 4:
            parent[key] = {random.choice(KEYS): parent[key]}
        else:
            parent[key] = {"$ref": f"#{random.choice(['', *_pointers(value)])}"}
    return value


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        parent = waiting.pop()
        for key in list(_keys(parent)) if isinstance(parent, dict | list) else ():
            yield parent, key
            waiting.append(parent[key])


def _pointers(value: Any, above: str = "", depth: int = 4) -> Iterator[str]:
    if depth and isinstance(value, dict):
        for key, child in value.items():
            pointer = f"{above}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield pointer
            yield from _pointers(child, pointer, depth - 1)


@cache
def _texts() -> tuple[bytes, ...]:
    return tuple(file.read_bytes() for file in sorted(DOCUMENTS.glob("*.yaml")))


def scrambled(content: bytes, random: Random, changes: int) -> bytes:
    """Return bytes with some of them replaced, removed or repeated."""
    changed = bytearray(content)
    for _ in range(changes):
        at = random.randrange(len(changed) + 1)
        piece = bytes(changed[at : at + random.randrange(1, 40)])
        changed[at : at + random.randrange(3)] = random.choice(
            [b"", piece * random.randrange(1, 4), random.randbytes(2), *(json.dumps(each).encode() for each in JUNK)]
        )
    return bytes(changed)


def documents(random: Random) -> str:
    """Try a mutated document: it is served as far as possible, or refused in one sentence."""
    content = random.choice(_texts())
    if random.random() < 0.3:
        content = scrambled(content, random, random.randrange(1, 6))
    else:
        root = document_of(Content("fuzz", URI, content)).root
        content = json.dumps(mutated(root, random, random.randrange(1, 12))).encode()
    try:
        for tool, shapes in _tools_of(content):
            pointers = _pointers(tool.listed_schema(Views(shapes, portable=True), 300))
            Views(shapes, portable=False).expand(tool.schema, next(pointers, "") and "", 2000)
            _try_arguments(tool, shapes, {"x": junk(random)})
    except SetupError:
        return "refused"
    return "served"


def _tools_of(content: bytes) -> Iterator[tuple[Tool, Shapes]]:
    api = _api_of(content)
    shapes = Shapes(api.root)
    yield from ((tool, shapes) for tool in build_tools(api, shapes))


def _api_of(content: bytes) -> Api:
    document = document_of(Content("fuzz", URI, content))
    return read_api(normalize(document).root, URI)


@cache
def _all_tools() -> tuple[tuple[Tool, Shapes], ...]:
    return tuple(each for content in _texts() for each in _tools_of(content))


def arguments(random: Random) -> str:
    """Try arguments of all kinds on a tool: they are refused, or a request is written."""
    tool, shapes = random.choice(_all_tools())
    names = [*tool.schema.get("properties", {}), "unknown"]
    made = {random.choice(names): _value(random, 4) for _ in range(random.randrange(6))}
    return _try_arguments(tool, shapes, made)


def _value(random: Random, depth: int) -> Any:
    kind = random.randrange(8) if depth else 7
    if kind == 0:
        return [_value(random, depth - 1) for _ in range(random.randrange(4))]
    if kind in (1, 2):
        return {random.choice([*KEYS, "a", "id"]): _value(random, depth - 1) for _ in range(random.randrange(4))}
    if kind == 3:
        return random.uniform(-1e9, 1e9)
    if kind == 4:
        return "".join(random.choices("ab \n/%{}[]:,;=&?#\\\"'é\U0001f600\x00\ud83d", k=random.randrange(20)))
    return junk(random)


def _try_arguments(tool: Tool, shapes: Shapes, made: dict[str, Any]) -> str:
    try:
        bound = tool.bind(tool.validate(made))
        written = write_request(tool.name, tool.operation, bound, (), "http://h", Sources(shapes, Files()))
        written.to_httpx()
    except CallError:
        return "refused"
    return "written"


def clients(random: Random) -> str:
    """Try a broken configuration file: it is refused, or one entry changes and nothing else."""
    client = random.choice(CLIENTS)
    text = ""
    for name in ("one", "two", "portkey"):
        text = with_entry(_file(client, text), name, _entry(client, name, "é\n#"))
    text = scrambled(text.encode(), random, random.randrange(1, 4)).decode("utf-8", "replace")
    try:
        before = dict(entries_in(client, client.format.read(text)))
        argument = random.choice(["", "x", "#", '"', "é", "$", "---", "\U0001f600"])
        added = with_entry(_file(client, text), "new", _entry(client, "new", argument))
        removed = without_entry(_file(client, added), "new")
    except (ClientFileError, Unreadable):
        return "refused"
    _see(client, removed, {name: value for name, value in before.items() if name != "new"})
    return "edited"


def _file(client: KnownClient, text: str) -> ClientFile:
    return ClientFile(client, Path("file"), text.encode(), text)


def _entry(client: KnownClient, name: str, argument: str) -> dict[str, Any]:
    named = {"name": name} if client.listed else {}
    return {**named, client.key("command"): "uvx", client.key("args"): ["a", argument]}


def _see(client: KnownClient, text: str, expected: dict[str, Any]) -> None:
    found = dict(entries_in(client, client.format.read(text)))
    if repr(found) != repr(expected):
        raise AssertionError(f"{client.name}: {found} instead of {expected}")


class _Wire:
    """A session in memory: lines for the server, and what it wrote."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.written: list[str] = []

    async def __aiter__(self) -> AsyncIterator[str]:
        for line in self._lines:
            await asyncio.sleep(0)
            yield line + "\n"

    async def write(self, text: str) -> None:
        """Keep a message."""
        self.written.append(text)

    async def flush(self) -> None:
        """Do nothing."""


def lines(random: Random) -> str:
    """Try a session of odd lines: each request has exactly one answer, and the session ends."""
    start = {"protocolVersion": random.choice(["2025-03-26", "2025-06-18", 5, "1"]), "capabilities": {}}
    initialize = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": start}
    start["clientInfo"] = {"name": "fuzz", "version": "1"}
    sent = [json.dumps(initialize), '{"jsonrpc":"2.0","method":"notifications/initialized"}']
    sent += [_line(random, number) for number in range(1, random.randrange(2, 12))]
    if random.random() < 0.2:
        random.shuffle(sent)
    wire = _Wire(sent)
    asyncio.run(_serve(wire))
    answers = Counter(json.dumps(each.get("id")) for text in wire.written for each in _answers(json.loads(text)))
    expected = Counter(filter(None, map(_expected, sent)))
    if any(answers[request] < count for request, count in expected.items()):  # a refused one may have the same id
        raise AssertionError(f"{expected - answers} unanswered, {answers} answered: {sent}")
    return "answered"


async def _serve(wire: _Wire) -> None:
    api = _api_of(_texts()[0])
    live = live_catalogue_of([service_of(api, Settings(base_url="http://127.0.0.1:9", retries=0))])
    await StdioSession(live).serve(wire, wire)


def _answers(message: Any) -> list[Any]:
    return [each for each in (message if isinstance(message, list) else [message]) if "method" not in each]


def _line(random: Random, number: int) -> str:
    method = random.choice(
        ["ping", "tools/list", "tools/call", "resources/list", "prompts/get", "no/such", "", 5, None]
    )
    named = {"name": random.choice(["expandSchema", "x", None]), "arguments": _value(random, 3)}
    message: Any = {"jsonrpc": "2.0", "id": number, "method": method, "params": random.choice([named, {}, [], None])}
    if random.random() < 0.3:
        message = mutated(message, random, random.randrange(1, 4))
    if random.random() < 0.1:
        message = [message, message]
    text = json.dumps(message)
    return (
        scrambled(text.encode(), random, 1).decode("utf-8", "replace").replace("\n", " ")
        if random.random() < 0.2
        else text
    )


def _expected(line: str) -> str | None:
    """Return the id of a line that is a request and so has an answer."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return None
    request_id = message.get("id")
    return json.dumps(request_id) if type(request_id) in (int, str) and "\\ud" not in line.lower() else None


CAMPAIGNS: dict[str, Campaign] = {"documents": documents, "arguments": arguments, "lines": lines, "clients": clients}


class TooSlow(Exception):
    """An input took longer than PATIENCE."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(campaign: str, seed: int) -> str:
    """Try the input of a seed, and return what became of it. Raises what the program raised, and TooSlow."""
    with _limited():
        return CAMPAIGNS[campaign](Random(f"{campaign} {seed}"))  # noqa: S311  # hides nothing


def kept() -> dict[str, list[int]]:
    """Return the seeds that have failed."""
    found: dict[str, list[int]] = json.loads(SEEDS.read_text(encoding="utf-8"))
    return found


def run(campaign: str, seconds: float, start: int) -> tuple[Counter[str], list[int]]:
    """Try the kept seeds and then others from `start` on, and return the outcomes and the seeds that failed."""
    outcomes: Counter[str] = Counter()
    failed = []
    ends = time.monotonic() + seconds
    seeds = iter([*kept()[campaign], *range(start, start + 10_000_000)])
    while time.monotonic() < ends:
        seed = next(seeds)
        try:
            outcomes[attempt(campaign, seed)] += 1
        except Exception:  # whatever it is, it is what this looks for
            outcomes["failed"] += 1
            failed.append(seed)
            print(f"{campaign} {seed}:\n{traceback.format_exc(limit=-6)}", file=sys.stderr)
    return outcomes, failed


def main(seconds: float, names: list[str]) -> int:
    """Run campaigns for `seconds` each, keep the seeds that failed, and return 1 if there are any."""
    seeds, start = kept(), time.time_ns() % 1_000_000_000
    found = False
    for name in names or CAMPAIGNS:
        outcomes, failed = run(name, seconds, start)
        print(
            f"{name:<10} {outcomes.total():>7} inputs: "
            + ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))
        )
        seeds[name] = sorted({*seeds[name], *failed})
        found = found or bool(failed)
    SEEDS.write_text(json.dumps(seeds, indent=1) + "\n", encoding="utf-8")
    return int(found)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1] if sys.argv[1:] else 30), sys.argv[2:]))

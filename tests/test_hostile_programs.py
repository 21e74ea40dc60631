"""Hostile programs: each ends at a limit or with an error, reaches nothing, and the next program works."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mcp_types
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp import MCPError

from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import ProgramLimits
from tests.conftest import Connect, Recorder, text_of
from tests.support import document, served, serving

#: Seconds, megabytes, calls, concurrency and thousands of characters, all small.
LIMITS = "3,10,20,2,20"

MARKER = "marker-of-a-credential-7b1f"

ENDLESS = {
    "a loop": ("while True: pass", "3 seconds"),
    "a loop that catches all": ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "3 seconds"),
    "a loop that waits": ("while True: await asyncio.sleep(0.01)", "3 seconds"),
    "a long sleep": ("import time\ntime.sleep(3600)", "3 seconds"),
    "a call that hangs": ('await call("slow")', "3 seconds"),
    "recursion in finally": ("def f():\n  try: f()\n  finally: f()\nf()", "3 seconds"),
    "a large sum": ("sum(range(10**12))", "3 seconds"),
    "deep recursion": ("def f(n): return f(n + 1)\nf(0)", "recursion"),
    "deep brackets": ("[" * 100_000, "nested"),
    "a long text": ("'x' * 10**10", "10,000,000 bytes"),
    "many sleeps": ("while True: await asyncio.gather(*[asyncio.sleep(0) for n in range(1000)])", "3 seconds|sleeps"),
    "comprehensions": ("[[[0 for a in range(10**4)] for b in range(10**4)] for c in range(10**4)]", "10,000,000 bytes"),
    "a comparison": ("x, y = (), ()\nfor n in range(60): x, y = (x, x), (y, y)\nx == y", "3 seconds"),
    "the size of a decimal": ("import decimal\nint(decimal.Decimal('1e999999999'))", "10,000,000 bytes"),
    "a long indentation": ("json.dumps([[1]], indent=10**10)", "10,000,000 bytes"),
    "an endless iterator": ("import itertools\nlist(itertools.count())", "10,000,000 bytes"),
    "a late call": ("try:\n  while True: pass\nfinally:\n  await call('write')", "3 seconds"),
    "a growing list": ("x = []\nwhile True: x.append('x' * 1000)", "10,000,000 bytes"),
    "a power": ("10 ** 10 ** 10", "10,000,000 bytes"),
    "a wide format": ("f'{1:>{10**10}}'", "10,000,000 bytes"),
    "a large answer": ('await call("large")', "10,000,000 bytes"),
    "millions of calls": ('for n in range(10**7): await call("read")', "20 calls"),
    "calls whose errors are caught": ('while True:\n  try: await call("none")\n  except Exception: pass', "20 calls"),
    "calls at the same time": ('await asyncio.gather(*[call("read") for n in range(10**3)])', "20 calls"),
    "calls that nobody awaits": ('x = [call("read") for n in range(10**7)]', "10,000,000 bytes"),
    "endless output": ("while True: print('x' * 100)", "20,000 printed"),
    "one long line": ("print('x' * 10**6)", "20,000 printed"),
}

#: A tuple that contains another one twice, and so on: small inside of the sandbox, and endless for whoever reads it.
NESTED = "x = ()\nfor n in range(60): x = (x, x)\n"

#: What would hand it to the server, whose event loop would hash it for years.
BOMBS = [
    "{x: 1}",
    "{x}",
    "x",
    "[x]",
    "return {x: 1}",
    "if 1: return {x: 1}",
    "await call({x: 1})",
    "await call(x)",
    'await call("read", {x: 1})',
    'await call("read", {"a": x})',
    'await call("read", {"a": {x}})',
    'await call("read", {}, {x: 1})',
    'await call("read", **{"a": {x: 1}})',
    "await asyncio.sleep(0, {x: 1})",
    "import time\ntime.sleep({x: 1})",
    "print({x: 1})",
    "raise ValueError({x: 1})",
    "open({x: 1})",
    "import os\nos.getenv('A', {x: 1})",
    "import os\nos.listdir({x})",
    "_end = lambda value: {x: 1}\n1",
    "await _end({x: 1})",
    "_last_expression = {x: 1}",
    "isinstance = lambda value, kind: True\nstr = lambda value: {x: 1}\nawait call('read', {1: {2}})",
    "class A: pass\nA.x = {x: 1}\nA",
    "class A: pass\na = A()\na.x = {x: 1}\na",
    "def f(): return {x: 1}\nf",
    "(lambda: {x: 1})()",
    "async def f(): return {x: 1}\nawait f()",
    "async def f(): return {x: 1}\nawait asyncio.gather(f(), f())",
    "async def f(): return {x: 1}\nasyncio.run(f())",
]

#: Ways to the function that takes values out of the sandbox.
DOORS = [
    "[name for name in locals() if name.startswith('door_')][0]",
    "exec([name for name in locals() if name.startswith('door_')][0] + '({1: 2})')",
    "exec('del ' + [name for name in locals() if name.startswith('door_')][0])",
    "eval([name for name in locals() if name.startswith('door_')][0], {})({1: 2})",
    "def f():\n  return eval([name for name in ('door_',)][0])\nf()",
    "call.__closure__[0]",
    "call.__defaults__[0]",
    "call('read').cr_frame",
    "try: await call('nothing')\nexcept Exception as error: error.__traceback__.tb_frame",
]

OUTSIDE = [
    "open('/etc/passwd').read()",
    "open('stolen', 'w').write('x')",
    "import pathlib\npathlib.Path('/proc/self/environ').read_text()",
    "import os\nos.environ",
    "import os\nos.getenv('X_SECRET')",
    "import os\nos.listdir('/')",
    "import os\nos.kill(os.getppid(), 9)",
    "import subprocess",
    "import socket",
    "import urllib.request",
    "import ctypes",
    "import multiprocessing",
    "import pydantic_monty",
    "import portkey_bridge",
    "import sys\nsys.modules",
    "import sys\nsys._getframe()",
    "import gc",
    "__import__('os')",
    "globals()",
    "().__class__.__bases__[0].__subclasses__()",
    "call.__globals__",
    "call.__self__",
    "call.__code__",
    "'{0.__class__}'.format(call)",
    "'{0.__globals__}'.format(call)",
    "'{0[__builtins__]}'.format({})",
    "getattr(json, '__loader__')",
    "setattr(json, 'dumps', 1)",
    "open(0).read()",
    "import os\nos.system('id')",
    "await asyncio.open_connection('127.0.0.1', 80)",
    "breakpoint()",
    "input()",
    "exit()",
    "compile('1', '', 'eval')",
]


def shop(url: str, silent: str = "") -> dict[str, Any]:
    """Return a document of operations that need a key; one is at a server that never answers."""
    paths: dict[str, Any] = {
        f"/{name}": {method: {"operationId": name, "responses": {"200": {"description": "OK"}}}}
        for name, method in {"read": "get", "slow": "get", "large": "get", "write": "post", "none": "get"}.items()
    }
    paths["/slow"]["get"]["servers"] = [{"url": silent or url}]
    key = {"type": "apiKey", "in": "header", "name": "X-Secret"}
    return document(paths, servers=[{"url": url}], components={"securitySchemes": {"key": key}}, security=[{"key": []}])


@pytest.fixture
def api(recorder: Recorder, tmp_path: Path) -> Iterator[Recorder]:
    """Return the API, whose document is in the folder and whose answers repeat the credential."""
    recorder.answers["/large"] = (200, {"content-type": "application/json"}, json.dumps("x" * 12_000_000).encode())
    recorder.answers["/none"] = (404, {}, b"")
    echo = {"key": MARKER, "halves": [MARKER[:13], MARKER[13:]]}
    recorder.answers["/read"] = (200, {"content-type": "application/json"}, json.dumps(echo).encode())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        root = shop(recorder.url, f"http://127.0.0.1:{silent.getsockname()[1]}")
        (tmp_path / "api.json").write_text(json.dumps(root))
        yield recorder


def hostile(connect: Connect) -> Any:
    env = {"X_SECRET": MARKER, "OPEN_MCP_PROGRAM_LIMITS": LIMITS}
    return connect("--spec", "api.json", "--code", "--retries", "0", env=env)


@pytest.mark.slow
async def test_programs_end_at_their_limits(api: Recorder, connect: Connect) -> None:
    """Every program ends with the limit in its error, and after each of them another one works."""
    async with hostile(connect) as client:
        for name, (code, reason) in ENDLESS.items():
            result = await asyncio.wait_for(client.call_tool("runProgram", {"code": code}, raise_on_error=False), 60)
            assert result.is_error, name
            assert re.search(reason, text_of(result)), (name, text_of(result)[-600:])
            assert len(text_of(result)) < 41_000, name
            assert text_of(await client.call_tool("runProgram", {"code": "6 * 7"})) == "42", name


async def test_programs_reach_nothing(api: Recorder, connect: Connect, tmp_path: Path) -> None:
    """No file, no environment, no network and no other process: each attempt is an error."""
    async with hostile(connect) as client:
        for code in OUTSIDE:
            result = await client.call_tool("runProgram", {"code": code}, raise_on_error=False)
            assert result.is_error, code
            assert MARKER not in text_of(result)
        assert text_of(await client.call_tool("runProgram", {"code": "6 * 7"})) == "42"
    assert api.requests == []
    assert not (tmp_path / "stolen").exists()


@pytest.mark.slow
async def test_values_stay_inside_that_would_be_endless_outside(api: Recorder, connect: Connect) -> None:
    """The server answers others while a program hands out a value without end, and the program ends."""
    env = {"X_SECRET": MARKER, "OPEN_MCP_PROGRAM_LIMITS": "5,10,20,2,20"}
    async with connect("--spec", "api.json", "--code", "--retries", "0", env=env) as client:
        for bomb in BOMBS:
            running = asyncio.create_task(
                client.call_tool("runProgram", {"code": NESTED + bomb}, raise_on_error=False), name=bomb
            )
            while not running.done():
                await asyncio.wait_for(client.call_tool("searchTools", {"query": "read"}), 60)
            assert len(text_of(running.result())) < 41_000, bomb


async def test_programs_do_not_reach_what_hands_values_out(api: Recorder, connect: Connect) -> None:
    """Its name is not one that a program can use."""
    async with hostile(connect) as client:
        for code in DOORS[1:]:
            result = await client.call_tool("runProgram", {"code": code}, raise_on_error=False)
            assert result.is_error, (code, text_of(result))
        named = await client.call_tool("runProgram", {"code": f"str(eval({DOORS[0]}))"})
    assert text_of(named) == "None"


LARGE = {
    "a long number": ("10 ** 5000", "4300 digits"),
    "a list that contains itself": ("x = []\nx.append(x)\nx", "recursion|Circular"),
    "too many levels": ("x = [0]\nfor n in range(5000): x = [x]\nx", "recursion|nested"),
    "shared parts": ("x = [0] * 1000\ny = [x] * 100_000\ny", "10,000,000 bytes"),
    "large arguments": ('await call("write", {"a": "x" * 1_000_000})', "625,000 characters"),
    "a long program": ("1\n" * 60_000, "100,000 characters"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("code", "problem"), LARGE.values(), ids=LARGE)
async def test_large_values_are_refused(code: str, problem: str, api: Recorder, connect: Connect) -> None:
    """What cannot leave a program is said, and is never a bug."""
    async with hostile(connect) as client:
        said = text_of(await client.call_tool("runProgram", {"code": code}, raise_on_error=False))
        assert re.search(problem, said), said[-500:]
        assert "bug" not in said
        assert text_of(await client.call_tool("runProgram", {"code": "6 * 7"})) == "42"


REVEALING = {
    "the answer": 'await call("read")',
    "printed": 'print(await call("read"))',
    "in an error": 'raise ValueError((await call("read"))["key"])',
    "joined": 'halves = (await call("read"))["halves"]\n"".join(halves)',
    "printed in parts": 'for half in (await call("read"))["halves"]: print(half, end="")',
}


async def test_programs_never_see_a_credential(api: Recorder, connect: Connect) -> None:
    """An API that repeats the credential gets it, and the program does not."""
    async with hostile(connect) as client:
        for name, code in REVEALING.items():
            result = await client.call_tool("runProgram", {"code": code}, raise_on_error=False)
            assert MARKER not in text_of(result), name
        inside = await client.call_tool("runProgram", {"code": '"marker" in (await call("read"))["key"]'})
    assert text_of(inside) == "false"
    assert all(request.header("X-Secret") == MARKER for request in api.requests)
    assert len(api.requests) == len(REVEALING) + 1


async def test_what_is_kept_of_a_program_has_no_credential(api: Recorder, connect: Connect) -> None:
    """What a failing program printed, and its error, are short, and what is kept of them hides credentials, too."""
    joining = 'halves = (await call("read"))["halves"]\nprint(halves[0], end="")\nprint(halves[1])\n'
    printing = joining + 'print("x" * 9000)\nraise ValueError("".join(halves) + "y" * 9000)'
    env = {"X_SECRET": MARKER, "OPEN_MCP_RESULT_LIMIT": "2000"}
    async with connect("--spec", "api.json", "--code", env=env) as client:
        said = text_of(await client.call_tool("runProgram", {"code": printing}, raise_on_error=False))
        kept = re.findall(r"resultId\W+([\w-]+)", said)
        asked = [{"resultId": each, "jsonPointers": [""]} for each in kept]
        reading = f'str([await call("expandResult", each) for each in {asked!r}])'
        whole = await client.call_tool("runProgram", {"code": f"print({reading}[:1800])\nlen({reading})"})
    assert len(said) < 6000
    assert len(kept) == 2
    assert int(text_of(whole).partition("\n")[0]) > 18_000
    assert MARKER not in said + text_of(whole)


async def test_the_error_lists_what_was_done(api: Recorder, connect: Connect) -> None:
    """Calls that changed something are named by method and path template, with their number."""
    code = 'print("begun")\nawait call("write")\nawait call("write")\nawait call("read")\nwhile True: pass'
    async with hostile(connect) as client:
        said = text_of(await client.call_tool("runProgram", {"code": code}, raise_on_error=False))
    assert "Printed by then:\nbegun" in said
    assert "Done by then: POST /write (2 times)." in said
    assert "Unknown" not in said


async def sends(api: Recorder, count: int, *running: asyncio.Task[Any]) -> None:
    """Wait until so many requests have arrived at the API. Fails if one of the programs ends before."""
    async with asyncio.timeout(60):
        while len(api.requests) < count:
            assert not any(task.done() for task in running), [task.result() for task in running if task.done()]
            await asyncio.sleep(0.01)


async def test_a_cancelled_program_ends_with_its_calls(api: Recorder) -> None:
    """When the call of a program is cancelled, its process ends, and nothing is sent any more."""
    code = 'await call("write")\nwhile True:\n  await asyncio.sleep(0.05)\n  await call("read")'
    settings = Settings(code="only", environ={"X_SECRET": MARKER})
    async with served(shop(api.url), settings) as client:
        running = asyncio.create_task(client.call_tool("runProgram", {"code": code}))
        await sends(api, 2, running)
        running.cancel()
        await asyncio.wait([running])
        assert text_of(await client.call_tool("runProgram", {"code": "1"})) == "1"
        sent = len(api.requests)
        assert text_of(await client.call_tool("runProgram", {"code": "await asyncio.sleep(0.3)\n2"})) == "2"
    assert sent == len(api.requests)


async def test_callers_share_nothing(recorder: Recorder, tmp_path: Path) -> None:
    """Over HTTP no caller sees the names, the kept results or the modules that another one's program has left."""
    recorder.answer = (200, {"content-type": "application/json"}, json.dumps(["x" * 100] * 900).encode())
    arguments = ("--code", "--pass-header", "x-secret", "--result-limit", "1000")
    with serving(tmp_path, shop(recorder.url), *arguments) as (url, _):
        async with (
            Client(StreamableHttpTransport(url, headers={"x-secret": "key-of-ann-12345"})) as ann,
            Client(StreamableHttpTransport(url, headers={"x-secret": "key-of-bob-12345"})) as bob,
        ):
            leaving = 'json.secret = "of ann"\nsecret = "of ann"\nawait call("read")'
            seen = await ann.call_tool("runProgram", {"code": leaving}, raise_on_error=False)
            view = text_of(await ann.call_tool("runProgram", {"code": 'await call("read")'}))
            kept = re.search(r"resultId\W+([\w-]+)", view)
            assert kept, (view, seen)
            reading = f'await call("expandResult", {{"resultId": "{kept[1]}", "jsonPointers": [""]}})'
            own = await ann.call_tool("runProgram", {"code": f"len(({reading})[0]['value'])"})
            for code in ("secret", "json.secret", reading):
                found = await bob.call_tool("runProgram", {"code": code}, raise_on_error=False)
                assert found.is_error, code
                assert "of ann" not in text_of(found), code
    assert text_of(own) == "900"
    assert {request.header("x-secret") for request in recorder.requests} == {"key-of-ann-12345"}


async def test_programs_that_come_together_are_four_at_most(api: Recorder, connect: Connect) -> None:
    """Of twelve programs in one moment four run, and the others are refused."""
    async with connect("--spec", "api.json", "--code", env={"X_SECRET": MARKER}) as client:
        code = {"code": 'await call("slow")'}
        running = {asyncio.create_task(client.call_tool("runProgram", code, raise_on_error=False)) for _ in range(12)}
        async with asyncio.timeout(25):
            while len(running) > 4:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                assert all("are running" in text_of(task.result()) for task in done)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSTOP])
async def test_the_end_of_a_sandbox_ends_its_program_alone(number: int, api: Recorder) -> None:
    """A sandbox that is killed or stopped is one error, with what was done, leaves no process, and others work."""
    code = 'await call("write")\nawait call("read")\nawait asyncio.sleep(1)\nwhile True: pass'
    limits = ProgramLimits(seconds=3)
    settings = Settings(code="only", environ={"X_SECRET": MARKER}, program_limits=limits)
    async with served(shop(api.url), settings) as client:
        running = asyncio.create_task(client.call_tool("runProgram", {"code": code}, raise_on_error=False))
        await sends(api, 2, running)  # the second one after the answer to the first
        for process in sandboxes():
            os.kill(process, number)
        said = text_of(await asyncio.wait_for(running, 60))
        assert "Done by then: POST /write." in said
        assert text_of(await client.call_tool("runProgram", {"code": "6 * 7"})) == "42"
        assert sandboxes() == []


def sandboxes() -> list[int]:
    """Return the numbers of the processes of sandboxes below this one, zombies among them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, name, rest = re.split(r" \(|\) ", status.read_text(), maxsplit=2)
            if "monty" in name and rest.split()[1] == str(os.getpid()):
                found.append(int(number))
    return found


class Held(dict[str, Any]):
    """Answers, of which that at `/slow` is held back until it may come."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def get(self, target: str, default: Any = None) -> Any:
        """Return what everything is answered with."""
        assert target != "/slow" or self.may_answer.wait(60)
        return 200, {"content-type": "application/json"}, b"{}"


async def test_a_caller_has_four_programs_at_the_same_time(recorder: Recorder) -> None:
    """A fifth one is refused, and accepted when another one has ended."""
    recorder.answers = held = Held()
    async with served(shop(recorder.url), Settings(code="only", environ={"X_SECRET": MARKER})) as client:
        code = {"code": 'await call("slow")'}
        running = [asyncio.create_task(client.call_tool("runProgram", code)) for _ in range(4)]
        await sends(recorder, 4, *running)
        refused = await client.call_tool("runProgram", {"code": "1"}, raise_on_error=False)
        assert "are running" in text_of(refused)
        held.may_answer.set()
        await asyncio.gather(*running)
        assert text_of(await client.call_tool("runProgram", {"code": "1"})) == "1"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--confirm", "write")], ids=["direct", "asking"])
async def test_a_program_ends_with_its_connection(options: tuple[str, ...], recorder: Recorder, tmp_path: Path) -> None:
    """Over HTTP a program of a client that goes away calls nothing any more."""
    recorder.answer = (200, {"content-type": "application/json"}, b"{}")
    code = "while True:\n  await call('read')\n  await asyncio.sleep(0.02)"
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message["params"] = {"name": "runProgram", "arguments": {"code": code}}
    headers = {"accept": "application/json, text/event-stream", "x-secret": "key-of-ann-12345"}
    with serving(tmp_path, shop(recorder.url), "--code", "--pass-header", "x-secret", *options) as (url, _):
        async with httpx.AsyncClient(headers=headers) as client:
            running = asyncio.create_task(client.post(url, json=message))
            await sends(recorder, 3, running)
            running.cancel()
        async with asyncio.timeout(60):
            sent = -1
            while sent != len(recorder.requests):  # nothing was sent for a while
                sent = len(recorder.requests)
                await asyncio.sleep(0.5)


async def test_programs_of_two_callers_run_side_by_side(recorder: Recorder, tmp_path: Path) -> None:
    """One caller's programs leave room for another one's, and each sends the credential of its caller."""
    recorder.answers = held = Held()
    with serving(tmp_path, shop(recorder.url), "--code", "--pass-header", "x-secret") as (url, _):
        async with (
            Client(StreamableHttpTransport(url, headers={"x-secret": "key-of-ann-12345"})) as ann,
            Client(StreamableHttpTransport(url, headers={"x-secret": "key-of-bob-12345"})) as bob,
        ):
            code = 'await call("slow")'
            busy = [asyncio.create_task(ann.call_tool("runProgram", {"code": code})) for _ in range(4)]
            await sends(recorder, 4, *busy)
            refused = await ann.call_tool("runProgram", {"code": "1"}, raise_on_error=False)
            assert "are running" in text_of(refused)
            assert text_of(await bob.call_tool("runProgram", {"code": 'await call("write")\n1'})) == "1"
            held.may_answer.set()
            await asyncio.gather(*busy)
    keys = [request.header("x-secret") for request in recorder.requests]
    assert keys.count("key-of-ann-12345") == 4
    assert keys.count("key-of-bob-12345") == 1


async def test_nobody_goes_on_with_the_program_of_another_caller(recorder: Recorder, tmp_path: Path) -> None:
    """A program that waits for a person belongs to its caller."""
    code = 'await call("write")\n"done"'
    arguments = ("--code", "--pass-header", "x-secret", "--confirm", "write")

    async def decide(message: str, response_type: Any, params: Any, context: Any) -> Any:
        raise AssertionError(message)

    def modern(url: str, key: str) -> Any:
        transport = StreamableHttpTransport(url, headers={"x-secret": key})
        return Client(transport, elicitation_handler=decide, mode="auto")

    answer = {"confirm": mcp_types.ElicitResult(action="accept", content={"confirmed": True})}
    with serving(tmp_path, shop(recorder.url), *arguments) as (url, _):
        async with modern(url, "key-of-ann-12345") as ann, modern(url, "key-of-bob-12345") as bob:
            first: Any = {"code": code}, {"allow_input_required": True}
            asked = await ann.session.call_tool("runProgram", first[0], **first[1])
            more = {**first[1], "request_state": asked.request_state, "input_responses": answer}
            with contextlib.suppress(MCPError):
                theirs = await bob.session.call_tool("runProgram", first[0], **more)
                assert theirs.is_error, theirs.content
            own = await ann.session.call_tool("runProgram", first[0], **more)
    assert own.content[0].text == "done"
    assert [request.header("x-secret") for request in recorder.requests] == ["key-of-ann-12345"]

"""Programs that call tools: a subset of Python, run in a sandbox that has nothing but `call`.

The sandbox is Monty. Each program has a worker process of its own, so that nothing is shared between callers. A call
goes through the same function as the call of a client, with the same context.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from mcp_types import ContentBlock, TextContent

from portkey_bridge.errors import SettingsError
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.render import Renderer, error_result, text
from portkey_bridge.serve.bridge import DOUBT, CallContext
from portkey_bridge.serve.builtin_tools import Listed, Run
from portkey_bridge.serve.callers import BridgeOf
from portkey_bridge.serve.program_errors import explained, over
from portkey_bridge.serve.program_values import UNAWAITED, NotData, Values
from portkey_bridge.settings.values import ProgramLimits
from portkey_bridge.tools.catalog import RUN_PROGRAM, Tool, closest

#: Programs that run at the same time, and those of one caller.
WORKERS, OF_CALLER = 16, 4

#: Turns that the sandbox may ask of this program for each call: to look `call` up, to make it, and to await it.
TURNS = 4

#: Functions that programs use as names of variables, such as `[id for id in ids]`. In a comprehension outside of a
#: function Monty 1.4 takes the function instead, unless the name is a variable already.
SHADOWED = (
    *("all", "any", "bytes", "dict", "filter", "float", "format", "hash", "id", "int", "iter", "len", "list", "map"),
    *("max", "min", "next", "object", "open", "property", "range", "repr", "set", "slice", "str", "sum", "tuple"),
    *("type", "zip"),
)

#: What is there without an import.
PRELUDE = "\n".join(["import asyncio, json", *(f"{name} = {name}" for name in SHADOWED)])

#: Depth of calls of functions.
RECURSION = 500

#: What is said of a confirmation that only a repeated call of the client can bring.
CANNOT_ASK = (
    "which a program cannot wait for with this client. Nothing was sent. Call the tool outside of a program: "
    "--discover lists callTool beside runProgram."
)

#: What is said beside the result at most: remarks on calls, of which each is said once.
REMARKS = 10

DESCRIPTION = (
    'Runs a Python program. In it, await call("tool", {"argument": value}) returns a tool\'s answer as a plain value '
    "(dict, list, text, None; bytes as a handle, to pass on as an argument) and raises if it fails. The last "
    "expression is the result; print adds to it. asyncio.gather makes calls at the same time. Loop, filter and join "
    "here, and return only what is needed. No files, no network; no yield, del or classes with bases."
)


def check_sandbox() -> None:
    """Check that the sandbox is installed. Raises SettingsError."""
    try:
        import pydantic_monty  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "--code needs pydantic-monty, which is not installed. Install portkey-bridge[code], for example by "
            "`uv tool install 'portkey-bridge[code]'`."
        ) from error


class RunProgram:
    """Runs programs that call `runs` by their names; `tools` are those of them that are operations.

    `bridges` are those of the APIs: the first renders the result, and all hide their secrets in it.
    """

    def __init__(
        self, runs: Mapping[str, Run], tools: Sequence[Tool], bridges: Sequence[BridgeOf], limits: ProgramLimits
    ) -> None:
        check_sandbox()
        self._runs, self._tools = runs, {tool.name: tool for tool in tools}
        self._bridges, self._limits = bridges, limits
        self._workers, self._running = asyncio.Semaphore(WORKERS), Counter[str | None]()
        self.entry = Listed(
            name=RUN_PROGRAM,
            title="Run program",
            description=DESCRIPTION,
            parameters={"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
        )

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Run the program, and return its result and what it printed."""
        code = arguments.get("code")
        if not isinstance(code, str) or not code.strip():
            return error_result("/code: expected a program in Python.")
        if self._running[context.caller.subject] >= OF_CALLER:
            return error_result(f"{OF_CALLER} of your programs are running. Wait until one of them has ended.")
        async with self._admitted(context.caller.subject):
            bridges = [bridge_of(context.caller) for bridge_of in self._bridges]

            def redact(words: str) -> str:
                for bridge in bridges:
                    words = bridge.redact(words)
                return words

            return await _Program(self._runs, self._tools, self._limits, context, bridges[0].renderer, redact).run(code)

    @asynccontextmanager
    async def _admitted(self, owner: str | None) -> AsyncIterator[None]:
        self._running[owner] += 1
        try:
            async with self._workers:
                yield
        finally:
            self._running[owner] -= 1
            self._running += Counter()  # forgets who has none


@dataclass
class _Program:
    """One run of a program: what it printed, what it changed, and which limit has ended it."""

    runs: Mapping[str, Run]
    tools: Mapping[str, Tool]
    limits: ProgramLimits
    context: CallContext
    renderer: Renderer
    redact: Callable[[str], str]
    exceeded: str = ""
    called: int = 0
    steps: int = 0
    pauses: int = 0
    values: Values = field(default_factory=Values)
    printed: list[str] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    calls: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(self.limits.concurrency)
        self._room = self.limits.characters

    async def run(self, code: str) -> ToolResult:
        """Run the code to its end or a limit. Raises CancelledError if the call of the program is cancelled."""
        from pydantic_monty import MontyError

        self._feed = asyncio.ensure_future(self._fed(code))
        try:
            async with asyncio.timeout(self.limits.seconds) as self._clock:
                value = await self._feed
            return await anyio.to_thread.run_sync(self._result, value)
        except TimeoutError:
            return self._failed(over("seconds", self.limits))
        except asyncio.CancelledError:
            if not self.exceeded or _is_cancelled():
                raise
            return self._failed(over(self.exceeded, self.limits))
        except MontyError as error:
            return self._failed(explained(error, self.limits))
        except NotData as error:
            return self._failed(str(error))
        finally:
            await self._end_calls()

    async def _fed(self, code: str) -> Any:
        """Feed the code to a worker of its own. Raises MontyError."""
        from pydantic_monty import AsyncMonty, ResourceLimits

        limits = ResourceLimits(
            max_feed_duration_secs=self.limits.seconds,
            max_memory=self.limits.bytes,
            max_recursion_depth=RECURSION,
            max_suspensions=self.limits.calls * TURNS + 100,
        )
        async with AsyncMonty(min_processes=1, max_processes=1) as pool, pool.checkout(limits=limits) as session:
            await session.feed_run(PRELUDE)
            return await session.feed_run(code, external_lookup={"call": self.call}, print_callback=self.print)

    def print(self, stream: str, printed: str) -> None:
        """Keep what is printed, up to the limit. The sandbox calls this from a thread."""
        self.printed.append(printed[: max(self._room, 0)])
        self._room -= len(printed)
        if self._room < 0:
            self._end("characters")

    def call(self, tool: str, arguments: Any = None) -> Awaitable[Any]:
        """Return what awaits the answer of a tool. The sandbox calls this from a thread, before it awaits anything."""
        self.called += 1
        if self.called > self.limits.calls:
            self._end("calls")
        return self._awaited(tool, arguments)

    def _end(self, limit: str) -> None:
        """End the program because of a limit, wherever it is."""
        if not self.exceeded:
            self.exceeded = limit
            self._loop.call_soon_threadsafe(self._feed.cancel)

    async def _end_calls(self) -> None:
        """End the sandbox, and the calls that are still running."""
        for task in (self._feed, *self.calls):
            task.cancel()
        await asyncio.gather(self._feed, *self.calls, return_exceptions=True)

    async def _awaited(self, name: str, arguments: Any) -> Any:
        """Await the call in a task that ends with the program. Raises RuntimeError if it fails."""
        if self.exceeded:
            raise RuntimeError(over(self.exceeded, self.limits))
        task = asyncio.ensure_future(self._answer(name, arguments))
        self.calls.add(task)
        try:
            return await task
        finally:
            self.calls.discard(task)

    async def _answer(self, name: str, arguments: Any) -> Any:
        """Return the value of a tool's answer. Raises RuntimeError with the explanation that a client would get."""
        run = self.runs.get(name) if isinstance(name, str) else None
        if run is None:
            raise RuntimeError(f"There is no tool {name!r}; {closest(str(name), self.runs)}")
        try:
            given = self.values.as_argument({} if arguments is None else arguments)
        except NotData as error:
            raise RuntimeError(f"Nothing was sent: {name}: {error}") from error
        if not isinstance(given, dict):
            raise RuntimeError(f"{name}: expected the arguments as a dict, not {json.dumps(given)[:80]}.")
        async with self._slots:
            value = await self._sent(name, run, given)
        await self._report(0, name)
        return value

    async def _sent(self, name: str, run: Run, arguments: dict[str, Any]) -> Any:
        """Run a tool, and note what it has changed, or may have if the program ends meanwhile."""
        taken: list[tuple[Answer, Renderer]] = []
        context = self.context._replace(
            report=self._report, ask=self._ask, select=None, take=lambda *answer: taken.append(answer)
        )
        change = self._change(name)
        self.doubtful[change] += 1
        result = await run(arguments, context)
        said = _texts(result.content)
        self._note(change, taken[-1][0].status if taken else None, said)
        if isinstance(result, InputRequiredToolResult):
            raise RuntimeError(f"{name} needs the confirmation of a person, {CANNOT_ASK}")
        if result.is_error:
            raise RuntimeError("\n".join(said))
        remarks = said if taken else said[1:]
        self.remarks.update(dict.fromkeys(remarks))
        return self.values.of_answer(*taken[-1]) if taken else _parsed("".join(said[:1]))

    def _change(self, name: str) -> str:
        """Return the method and path template of a tool that may change something, else an empty text."""
        tool = self.tools.get(name)
        return f"{tool.operation.method} {tool.operation.path}" if tool and not tool.effect[0] else ""

    def _note(self, change: str, status: int | None, said: Sequence[str]) -> None:
        """Note what became of a call: done, not done, or nobody knows (RFC 9110 section 15.6)."""
        if DOUBT in " ".join(said) if status is None else status >= 500:
            return
        self.doubtful[change] -= 1
        if status is not None and status < 400:
            self.done[change] += 1

    async def _report(self, number: int, added: str | None) -> None:
        self.steps += 1
        await self.context.report(self.steps, added)

    async def _ask(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult | None:
        """Ask the person, who may think for longer than a program runs."""
        if not self.pauses:
            self._left = (self._clock.when() or 0.0) - self._loop.time()
            self._clock.reschedule(None)
        self.pauses += 1
        try:
            return await self.context.ask(tool, arguments)
        finally:
            self.pauses -= 1
            if not self.pauses and not self._clock.expired():
                self._clock.reschedule(self._loop.time() + self._left)

    def _result(self, value: Any) -> ToolResult:
        blocks = [] if value is None else self._shown(value)
        if printed := "".join(self.printed):
            blocks.append(self.renderer.excerpt(self.redact(printed)))
        if not blocks:
            blocks.append(text("The program has no result. End it with an expression, or print something."))
        if remarks := [*self.remarks][:REMARKS]:
            blocks.append(text("\n".join(remarks)))
        return ToolResult(content=blocks)

    def _shown(self, value: Any) -> list[ContentBlock]:
        """Return a text as it is and anything else as JSON, with the files that it has handles of."""
        if isinstance(value, str) and not UNAWAITED.fullmatch(value):
            return [self.renderer.excerpt(self.redact(value))]
        written, files = self.values.as_result(value)
        return [self.renderer.view(self.redact(written).encode("utf-8", "replace")), *files]

    def _failed(self, problem: str) -> ToolResult:
        """Return an error with what was printed, and what was done by then."""
        done, doubtful = _listed(self.done), _listed(self.doubtful)
        printed = self.renderer.excerpt(self.redact("".join(self.printed))).text
        parts = [
            self.renderer.excerpt(self.redact(problem)).text,
            f"Printed by then:\n{printed.rstrip()}" if printed else "",
            f"Done by then: {done or 'no call has changed anything'}.",
            f"Unknown: {doubtful}. {DOUBT}" if doubtful else "",
        ]
        return error_result("\n".join(filter(None, parts)))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _texts(blocks: Sequence[ContentBlock]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, TextContent)]


def _parsed(said: str) -> Any:
    """Return the value of a built-in tool's answer, which is JSON or text."""
    try:
        return json.loads(said)
    except ValueError:
        return said


def _listed(changes: Counter[str]) -> str:
    times = ((change, count) for change, count in changes.items() if change and count > 0)
    return ", ".join(f"{change} ({count} times)" if count > 1 else change for change, count in times)

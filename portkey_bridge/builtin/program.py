"""One run of a program: its calls, what it printed and changed, and why it ended."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from portkey_bridge.bridge.calls import CallContext, Run
from portkey_bridge.bridge.exchange import DOUBT
from portkey_bridge.builtin.input_required import InputRequired
from portkey_bridge.builtin.program_errors import explain_program_error, is_misreading, over
from portkey_bridge.builtin.program_values import RefusedValue, Values
from portkey_bridge.builtin.sandbox import prepared, run_program
from portkey_bridge.response.answer import Answer
from portkey_bridge.response.render import Renderer
from portkey_bridge.response.results import beside
from portkey_bridge.response.tool_result import (
    ContentBlock,
    TextContent,
    ToolResult,
    error_result,
    text_block,
)
from portkey_bridge.settings.values import ProgramLimits
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import SEARCH_TOOLS, closest

#: Characters that are looked at of a name that no tool has.
MAX_SHOWN_NAME = 200

#: What is said beside the result at most: remarks on calls, of which each is said once.
REMARKS = 10

#: Tools whose answers an error shows the shape of, and characters of each.
SHAPES, SHAPE = 3, 600

#: What a call is that was not awaited, in what a program prints.
UNAWAITED = "<coroutine object call>"

#: What a program is told that ends without a value; what it has done follows, so that it is not done again.
NO_RESULT = "The program has no result. End it with an expression, or print something."

#: Seconds that a program waits for a person.
ANSWER_TIMEOUT = 300

NOBODY = "Nobody confirmed {} within {} seconds. Nothing was sent."

Suspend = Callable[["Program", InputRequired], Awaitable[str | None]]
"""Has the client ask about a call, and returns once it has repeated the call of the program; else why it cannot."""


@dataclass
class Program:
    """One run of a program: what it printed, what it changed, and which limit has ended it.

    `context` is that of the request that waits for it now, which may be a later one than that which began it.
    """

    runs: Mapping[str, Run]
    tools: Mapping[str, Tool]
    limits: ProgramLimits
    context: CallContext
    renderer: Renderer
    redact: Callable[[str], str]
    suspend: Suspend
    exceeded: str = ""
    called: int = 0
    steps: int = 0
    pauses: int = 0
    printed: list[str] = field(default_factory=list)
    answered: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    calls: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = Values(self.limits.bytes)
        self._loop = asyncio.get_running_loop()
        self._asking = asyncio.Lock()
        self._slots = asyncio.Semaphore(self.limits.concurrency)
        self._room = self.limits.characters

    async def run(self, code: str) -> ToolResult:
        """Run the code to its end or a limit. Raises CancelledError if the call of the program is cancelled."""
        from pydantic_monty import MontyError

        program = await anyio.to_thread.run_sync(prepared, code)
        self._feed = asyncio.ensure_future(run_program(program, self.limits, self.call, self.print))
        try:
            async with asyncio.timeout(self.limits.seconds) as self._clock:
                written = await self._feed
            return await anyio.to_thread.run_sync(self._result, written)
        except TimeoutError:
            return self._failed(over("seconds", self.limits))
        except asyncio.CancelledError:
            if not self.exceeded or _is_cancelled():
                raise
            return self._failed(over(self.exceeded, self.limits))
        except MontyError as error:
            shapes = await anyio.to_thread.run_sync(self._shapes) if is_misreading(error) else ()
            return self._failed("\n".join((explain_program_error(error, self.limits, program, code), *shapes)))
        finally:
            await self._end_calls()

    def print(self, stream: str, printed: str) -> None:
        """Keep what is printed, up to the limit. The sandbox calls this from a thread."""
        self.printed.append(printed[: max(self._room, 0)])
        self._room -= len(printed)
        if self._room < 0:
            self._end("characters")

    def call(self, written: str) -> Awaitable[Any]:
        """Return what awaits the answer of a tool; its name and arguments are written as a JSON array.

        The sandbox calls this from a thread, before it awaits anything.
        """
        self.called += 1
        if self.called > self.limits.calls:
            self._end("calls")
        return self._awaited(written)

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

    async def _awaited(self, written: str) -> Any:
        """Await the call in a task that ends with the program. Raises RuntimeError if it fails."""
        if self.exceeded:
            raise RuntimeError(over(self.exceeded, self.limits))
        task = asyncio.ensure_future(self._answer(written))
        self.calls.add(task)
        try:
            return await task
        finally:
            self.calls.discard(task)

    async def _answer(self, written: str) -> Any:
        """Return the value of a tool's answer. Raises RuntimeError with the explanation that a client would get."""
        try:
            name, arguments = await beside(len(written), lambda: self.values.of_text(written))
        except RefusedValue as error:
            raise RuntimeError(f"Nothing was sent: {error}") from error
        if not isinstance(name, str):
            raise RuntimeError('The first argument is the name of a tool: await call("tool", {"argument": value}).')
        run = self.runs.get(name)
        if run is None:
            raise RuntimeError(self._unknown(name[:MAX_SHOWN_NAME]))
        if not isinstance(arguments, dict | None):
            raise RuntimeError(f"{name}: expected the arguments as a dict, not {json.dumps(arguments)[:80]}.")
        async with self._slots:
            value = await self._sent(name, run, arguments or {})
        await self._report(0, name)
        return value

    def _unknown(self, name: str) -> str:
        finding = " searchTools finds tools by what they do." if SEARCH_TOOLS in self.runs else ""
        return f"There is no tool {name!r}; {closest(name, self.runs)}.{finding}"

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
        if result.is_error:
            raise RuntimeError("\n".join(said))
        remarks = said if taken else said[1:]
        self.remarks.update(dict.fromkeys(remarks))
        if not taken:
            return _parsed("".join(said[:1]))
        try:
            value = await beside(len(taken[-1][0].body), lambda: self.values.of_answer(*taken[-1]))
        except RefusedValue as error:
            raise RuntimeError(str(error)) from error
        self.answered = {**dict([*self.answered.items()][1 - SHAPES :]), name: value}
        return value

    def _change(self, name: str) -> str:
        """Return the method and path template of a tool that may change something, else an empty text."""
        tool = self.tools.get(name)
        return f"{tool.operation.method} {tool.operation.path}" if tool and not tool.effect.read_only else ""

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

    async def _ask(self, tool: Tool, arguments: Mapping[str, Any], _: str = "") -> ToolResult | None:
        """Ask the person, who may think for longer than a program runs. Questions come one after the other."""
        if not self.pauses:
            self._left = (self._clock.when() or 0.0) - self._loop.time()
            self._clock.reschedule(None)
        self.pauses += 1
        try:
            async with self._asking:
                return await self._decision(tool, arguments)
        finally:
            self.pauses -= 1
            if not self.pauses and not self._clock.expired():
                self._clock.reschedule(self._loop.time() + self._left)

    async def _decision(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult | None:
        """Return None once the person has confirmed a call, else the result of the call."""
        nonce = secrets.token_hex(16)
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    answer = await self.context.ask(tool, arguments, nonce)
            except TimeoutError:
                return error_result(NOBODY.format(tool.name, ANSWER_TIMEOUT))
            if not isinstance(answer, InputRequired):
                return answer
            if problem := await self.suspend(self, answer):
                return error_result(f"{tool.name} needs the confirmation of a person. {problem}")

    def _shapes(self) -> Sequence[str]:
        """Return what the last tools have answered: names and types, without values."""
        from portkey_bridge.response.selection import shape_of

        shapes = ((name, json.dumps(shape_of(value), ensure_ascii=False)) for name, value in self.answered.items())
        return [f"{name} answered {shape[:SHAPE]}{'…' * (len(shape) > SHAPE)}" for name, shape in shapes]

    def _result(self, written: str | None) -> ToolResult:
        blocks = [] if written in (None, "null") else self._shown(written or "")
        if printed := "".join(self.printed):
            blocks.append(self.renderer.excerpt(self.redact(printed)))
            if UNAWAITED in printed:
                self.remarks["A call was not awaited. Write await before call(…) and your own async functions."] = None
        if not blocks:
            done = _listed(self.done)
            blocks.append(text_block(f"{NO_RESULT}{f' Done: {done}.' if done else ''}"))
        if remarks := [*self.remarks][:REMARKS]:
            blocks.append(text_block("\n".join(remarks)))
        return ToolResult(content=blocks)

    def _shown(self, written: str) -> list[ContentBlock]:
        """Return a text as it is and anything else as JSON, with the files that it has handles of."""
        if written.startswith('"'):
            return [self.renderer.excerpt(self.redact(json.loads(written)))]
        shown = self.renderer.view(self.redact(written).encode("utf-8", "replace"))
        return [shown, *self.values.blocks(written)]

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

"""`runProgram`: programs that call tools, in a sandbox that has nothing but `call`.

Each program has a worker process of its own, so that nothing is shared between callers. A call goes through the same
function as the call of a client, with the same context. A program that reaches a confirmation waits for it: during the
call where the client can be asked, else between the call and its repetition (protocol version 2026-07-28).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from portkey_bridge.bridge.calls import CallContext, Run
from portkey_bridge.builtin.builtin_tools import Listed
from portkey_bridge.builtin.input_required import InputRequired
from portkey_bridge.builtin.program import ANSWER_TIMEOUT, Program
from portkey_bridge.builtin.running_programs import OF_CALLER, AttendedProgram, RunningPrograms
from portkey_bridge.builtin.sandbox import check_sandbox
from portkey_bridge.callers.bridges import BridgeOf
from portkey_bridge.response.streams import no_report
from portkey_bridge.response.tool_result import ToolResult, error_result
from portkey_bridge.settings.values import ProgramLimits
from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.names import RUN_PROGRAM

#: What is said of a repeated call whose program does not wait.
PROGRAM_GONE = (
    f"No program waits for this confirmation: it has ended, at the latest after {ANSWER_TIMEOUT} seconds, and does not "
    "begin again. What it had done by then is unknown: look before you run it again."
)

#: Longest program, in characters.
MAX_PROGRAM = 100_000

RUN_PROGRAM_DESCRIPTION = (
    'Runs a Python program. In it, await call("tool", {"argument": value}) returns a tool\'s answer as a plain value '
    "(dict, list, text, None; bytes as a handle to pass on) and raises if it fails. The last expression is the result; "
    "print adds to it. asyncio.gather makes calls at the same time. Loop, filter and join here; return only what is "
    "needed. No files, network, yield, del or classes with bases."
)


class RunProgram:
    """Runs programs that call `runs` by their names; `tools` are those of them that are operations.

    `bridges` are those of the APIs: the first renders the result, and all hide their secrets in it. `running` are
    the programs of this process.
    """

    def __init__(
        self,
        runs: Mapping[str, Run],
        tools: Sequence[Tool],
        bridges: Sequence[BridgeOf],
        limits: ProgramLimits,
        running: RunningPrograms,
    ) -> None:
        check_sandbox()
        self._runs, self._tools = runs, {tool.name: tool for tool in tools}
        self._bridges, self._limits, self._running = bridges, limits, running
        self._attended: dict[int, AttendedProgram] = {}
        self.entry = Listed(
            name=RUN_PROGRAM,
            title="Run program",
            description=RUN_PROGRAM_DESCRIPTION,
            parameters={"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
        )

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Run the program, and return its result and what it printed, or a question; or go on with one that waits."""
        code = arguments.get("code")
        if not isinstance(code, str) or not code.strip():
            return error_result("/code: expected a program in Python.")
        if len(code) > MAX_PROGRAM:
            return error_result(f"/code: a program may have {MAX_PROGRAM:,} characters.")
        if context.state is not None:
            return await self._resumed(context.state, context)
        owner = context.caller.subject
        if not self._running.admit(owner):
            return error_result(f"{OF_CALLER} of your programs are running. Wait until one of them has ended.")
        program = self._program(context)
        task = asyncio.ensure_future(self._worked(program, code))
        attended = self._attended[id(program)] = AttendedProgram(program, task, _future())
        task.add_done_callback(lambda _: self._forget(program, owner))
        return await attended.awaited()

    def _program(self, context: CallContext) -> Program:
        bridges = [bridge_of(context.caller) for bridge_of in self._bridges]

        def redact(words: str) -> str:
            for bridge in bridges:
                words = bridge.redact(words)
            return words

        return Program(self._runs, self._tools, self._limits, context, bridges[0].renderer, redact, self._suspend)

    async def _worked(self, program: Program, code: str) -> ToolResult:
        async with self._running.workers:
            return await program.run(code)

    def _forget(self, program: Program, owner: str | None) -> None:
        self._attended.pop(id(program))
        self._running.release(owner)

    async def _suspend(self, program: Program, asked: InputRequired) -> str | None:
        """Answer the request with the question, and wait until the client repeats it. Returns why that cannot be."""
        attended, state = self._attended[id(program)], asked.state or ""
        if problem := self._running.suspend(state, attended):
            return problem
        attended.repeated = asyncio.get_running_loop().create_future()
        program.context = program.context._replace(report=no_report)
        attended.question.set_result(asked)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await attended.repeated
        except TimeoutError:
            attended.task.cancel()
            return PROGRAM_GONE
        finally:
            self._running.forget(state)
        return None

    async def _resumed(self, state: str, context: CallContext) -> ToolResult:
        """Go on with the caller's program that waits for a decision, which this context has.

        The SDK has checked that the call is the same as before (its state is sealed together with the arguments).
        """
        attended = self._running.resume(state, context.caller.subject)
        if attended is None:
            return error_result(PROGRAM_GONE)
        attended.program.context, attended.question = context, _future()
        if attended.repeated and not attended.repeated.done():
            attended.repeated.set_result(None)
        return await attended.awaited()


def _future() -> asyncio.Future[ToolResult]:
    return asyncio.get_running_loop().create_future()

"""Runs one program in Monty, a subset of Python in a worker process of its own.

Only text crosses the border outwards. Inside of the sandbox a list that contains another one many times is small; as a
value of this process it could be endless, and the hash of a tuple of tuples would take hours.
"""

from __future__ import annotations

import ast
import asyncio
import re
import secrets
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from portkey_bridge.errors import MissingExtra
from portkey_bridge.settings.values import ProgramLimits

if TYPE_CHECKING:
    from pydantic_monty import AsyncMontySession

#: Turns that the sandbox may ask of this program: for each call, to make it, to await it, and to sleep before it, and
#: for each second, to sleep in a loop.
TURNS_PER_CALL, MAX_SLEEPS = 4, 1000

#: Depth of calls of functions.
RECURSION = 500

#: Functions that programs use as names of variables, such as `[id for id in ids]`. In a comprehension outside of a
#: function Monty 1.4 takes the function instead, unless the name is a variable already.
SHADOWED = (
    *("all", "any", "bytes", "dict", "filter", "float", "format", "hash", "id", "int", "iter", "len", "list", "map"),
    *("max", "min", "next", "object", "open", "property", "range", "repr", "set", "slice", "str", "sum", "tuple"),
    *("type", "zip"),
)

#: Makes `call` and what hands the result out, both as JSON text. What JSON lacks becomes what is closest to it.
#: `DOOR` is the name of the function of this process. No program reaches it, because the name is a variable from then
#: on: it would take other values than text.
DOORS = """
def _doors(send, dumps, encode, date, Decimal):
    def plain(value):
        kind = type(value).__name__
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, dict):
            return {named(key): plain(value[key]) for key in value}
        if isinstance(value, (float, Decimal)):
            return float(value) if value - value == 0 else str(value)
        if isinstance(value, bytes):
            return "data:application/octet-stream;base64," + encode(value).decode()
        if isinstance(value, date):
            return value.isoformat()
        if kind in ("coroutine", "external_future"):
            raise RuntimeError("A call was not awaited. Write await before call(…) and your own async functions.")
        try:
            items = list(value)
        except TypeError:
            items = None
        if items is None or kind == "type":
            raise RuntimeError(f"A value of type {kind} is not data. Pass and return dicts, lists, texts and numbers.")
        return [plain(item) for item in items]

    def named(key):
        if key is None or isinstance(key, (bool, int, str)):
            return key
        return str(plain(key))

    def text(value):
        try:
            return dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError):
            return dumps(plain(value), ensure_ascii=False, separators=(",", ":"))

    async def call(tool, arguments=None):
        return await send(text([tool, arguments]))

    async def end(value):
        await send(text(value) + "\\n")

    return call, end


import base64, datetime, decimal
call, _end = _doors(DOOR, json.dumps, base64.b64encode, datetime.date, decimal.Decimal)
DOOR = _doors = base64 = datetime = decimal = None

def nxt_(items, *default):
    return next(iter(items), *default)
"""

#: A generator expression is a list in the sandbox, which `next` refuses. The function above takes it; its name is as
#: long, so that columns stay what they are.
NEXT, NEXT_OF_LIST = b"next", b"nxt_"

#: A program in a fence of Markdown.
FENCE = re.compile(r"\A\s*```\w*\n(.*)\n```\s*\Z", re.DOTALL)

#: Lines that are looked at, from the end, for the last statement of a program that this Python cannot read.
LAST_LINES = 40

#: What runs before a program: its modules, its names, and its doors.
PRELUDE = "\n".join(["import asyncio, json", *(f"{name} = {name}" for name in SHADOWED), DOORS])

#: The variable of the last expression, and what hands it out.
LAST_EXPRESSION = "_last_expression"
ENDING = f"await _end({LAST_EXPRESSION})"

#: What a program may ask of the system.
SLEEPING = ("time.sleep", "asyncio.sleep")

Send = Callable[[str], Awaitable[Any]]
"""Takes the JSON text of a tool's name and its arguments, and returns what awaits the answer."""


def check_sandbox() -> None:
    """Check that the sandbox is installed. Raises SettingsError."""
    try:
        import pydantic_monty  # noqa: F401
    except ImportError as error:
        raise MissingExtra("--code", "pydantic-monty", "code") from error


class Prepared(NamedTuple):
    """A program that keeps the value of its last expression, and the line before which a line was inserted for that."""

    code: str
    line: int | None


def prepared(code: str) -> Prepared:
    """Return a program whose last statement, if it is an expression, is kept; a program that is none is left alone.

    A program that is indented as a whole loses its indentation, and one in a fence loses that. The whole statement is
    kept, with its parentheses, which an expression does not know of.
    """
    code = FENCE.sub(r"\n\1", code.removeprefix("\ufeff"))
    try:
        code, body = _parsed(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Prepared(code, None)  # the sandbox explains it
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr | ast.Return) or last.value is None:
        return Prepared(_with_next(code, body).decode(), None)
    keyword = len("return") if isinstance(last, ast.Return) else 0
    whole, column = _with_next(code, body), last.col_offset + keyword
    lines = whole.splitlines(keepends=True)
    start = _offset(lines, last.lineno, last.col_offset)
    end = _offset(lines, last.end_lineno or last.lineno, last.end_col_offset or 0)
    kept = whole[:start] + f"{LAST_EXPRESSION} = (\n".encode() + b" " * column + whole[start + keyword : end] + b"\n)"
    return Prepared((kept + whole[end:]).decode(), last.lineno)


def _parsed(code: str) -> tuple[str, list[ast.stmt]]:
    """Return a program without the indentation of all of its lines, and its statements. Raises SyntaxError.

    Of a program in a newer Python than this one, which the sandbox may know, it is the last statement alone.
    """
    try:
        return code, ast.parse(code).body
    except IndentationError:
        code = textwrap.dedent(code)
        return code, ast.parse(code).body
    except SyntaxError:
        lines = code.splitlines(keepends=True)
        for start in range(len(lines) - 1, max(len(lines) - LAST_LINES, 0), -1):
            with suppress(SyntaxError):
                if body := ast.parse("\n" * start + "".join(lines[start:])).body:
                    return code, body
        raise


def _with_next(code: str, body: list[ast.stmt]) -> bytes:
    """Return a program where `next` takes the first item of what would be a generator."""
    lines = code.encode("utf-8", "replace").splitlines(keepends=True)
    for node in (each for statement in body for each in ast.walk(statement)):
        match node:
            case ast.Call(func=ast.Name("next") as name, args=[ast.GeneratorExp(), *_]):
                line, column = lines[name.lineno - 1], name.col_offset
                if line[column:].startswith(NEXT):  # Python 3.11 misplaces what an f-string contains
                    lines[name.lineno - 1] = line[:column] + NEXT_OF_LIST + line[column + len(NEXT) :]
    return b"".join(lines)


def _offset(lines: list[bytes], line: int, column: int) -> int:
    return sum(map(len, lines[: line - 1])) + column


async def run_program(
    program: Prepared, limits: ProgramLimits, send: Send, print_callback: Callable[[str, str], None]
) -> str | None:
    """Run a program to its end, and return its result as JSON text; None without a result. Raises MontyError."""
    from pydantic_monty import AsyncMonty, OSPolicy, ResourceLimits

    name, results = f"door_{secrets.token_hex(16)}", [""]

    async def ended(text: str) -> None:
        results[0] = text.rstrip("\n")

    def door(text: str) -> Awaitable[Any]:
        return ended(text) if text.endswith("\n") else send(text)

    bounds = ResourceLimits(
        max_feed_duration_secs=limits.seconds,
        max_memory=limits.bytes,
        max_recursion_depth=RECURSION,
        max_suspensions=limits.calls * TURNS_PER_CALL + int(limits.seconds * MAX_SLEEPS),
    )
    sleeping = OSPolicy(sleep="call_host")
    feeds = [PRELUDE.replace("DOOR", name), program.code, *([ENDING] if program.line else [])]
    async with (
        AsyncMonty(min_processes=1, max_processes=1) as pool,
        pool.checkout(limits=bounds, os_policy=sleeping) as session,
    ):
        for code in feeds:
            await _fed(session, code, {name: door}, print_callback)
    return results[0] or None


async def _fed(
    session: AsyncMontySession, code: str, names: dict[str, Any], print_callback: Callable[[str, str], None]
) -> None:
    """Run a part of a program to its end. The value that it has there stays inside of the sandbox."""
    from pydantic_monty import AsyncFunctionSnapshot, MontyComplete

    state = await session.feed_start(code, external_lookup=names, print_callback=print_callback, os=_sleep)
    while not isinstance(state, MontyComplete):
        if isinstance(state, AsyncFunctionSnapshot) and state.is_os_function and state.function_name not in SLEEPING:
            state = await state.resume_not_handled()  # without its arguments, which may be endless
        else:
            state = await state.resume_auto()


def _sleep(*, args: tuple[Any, ...], **_: Any) -> Awaitable[None]:
    """Sleep for a program, which ends at its limit of time."""
    return asyncio.sleep(args[0])

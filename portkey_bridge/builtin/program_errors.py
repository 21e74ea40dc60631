"""Explains why a program ended early: where, why, and what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portkey_bridge.builtin.sandbox import Prepared
from portkey_bridge.settings.values import ProgramLimits

if TYPE_CHECKING:
    from pydantic_monty import MontyError

#: What the sandbox lacks, by what its message says, and what does the same.
ALTERNATIVES = (
    (r"\byield\b", "Append to a list, and return it."),
    (r"'del' statement", "Use pop() of the list or dict, or leave the name as it is."),
    (
        r"inheritance|metaclass",
        "Write a class without bases, or functions and dicts; raise RuntimeError.",
    ),
    (r"exceptions can only be called with", 'Pass one text: raise RuntimeError(f"…").'),
    (r"async for|async comprehension", "Use a for loop, with await inside of it."),
    (r"async with|context manager", "Call the functions without a with statement; call limits its concurrency."),
    (r"exception groups", "Use except."),
    (r"JSONEncoder", "Convert such values first, for example with str(value)."),
    (
        r"'list' object is not an iterator",
        "A generator expression is a list here: write next(iter(items), None), or use a for loop.",
    ),
    (r"cannot import name .* from 'typing'", "Leave it out; annotations are not checked."),
    (r"'dict' object has no attribute", 'Answers are dicts: answer["name"], or answer.get("name").'),
    (r"^NameError.* forget to import", "Import it first."),
    (
        r"^NameError|'function' object has no attribute",
        'Tools are called by their names: await call("tool", {"argument": value}).',
    ),
    (r"not supported between instances", 'Compare values of one type: key=lambda each: each["name"] or "".'),
    (r"callable replacement", "Use a text as the replacement, or join the parts in a loop over re.finditer."),
    (r"attribute 'utcnow'", "Use datetime.now(timezone.utc)."),
    (r"module 'sys'", "A program ends with its last expression, or with raise RuntimeError(…)."),
    (r"^RecursionError", "Use a loop. A value that contains itself cannot leave a program."),
    (r"worker crashed", "The sandbox has ended. Look at what was done, and run the rest."),
    (r"type alias", "Leave the alias out; annotations are not checked."),
    (r"[Ww]ildcard import", "Import the names that are used."),
    (r"gather\(\) does not yet support", "Catch exceptions in an async function of your own, and gather its calls."),
    (
        r"module 'asyncio' has no attribute",
        "Of asyncio there are gather, sleep and run; call limits its concurrency.",
    ),
    (
        r"No module named",
        "There are asyncio, json, re, math, datetime, time, collections, itertools, functools, random, decimal, "
        'base64, hashlib and a few more. Tools need no import: await call("tool", {"argument": value}).',
    ),
    (
        r"Permission denied|not supported in this environment|os\.environ|module 'os'",
        "A program has no files and no environment: it can only call tools.",
    ),
    (r"'coroutine' object|coroutine", "Write await before call(…) and your own async functions."),
    (r"call\(\) (got|takes|missing)", 'Pass the arguments as one dict: await call("tool", {"name": value}).'),
    (r"does not (yet )?support|not supported", "Use simpler Python: functions, loops, comprehensions and dicts."),
)

#: Errors of programs that expect another answer than they got.
MISREAD = re.compile(
    r"^(?:(?:Key|Index)Error: |TypeError: (?:string|list) indices|TypeError: '\w+' object is not (?:subscript|iter)able"
    r"|AttributeError: '(?:dict|list|str|NoneType|int|float|bool)' object)"
)

#: How the sandbox names a program in a traceback, which it runs after what makes `call`.
OWN_FILE = "<python-input-1>"


def explain_program_error(error: MontyError, limits: ProgramLimits, program: Prepared, code: str) -> str:
    """Return what an error of the sandbox means: its line and column, its text, and an alternative if there is one."""
    text = _text(error)
    for sign, limit in _LIMITS:
        if re.search(sign, text):
            return _place(error, program, code) + over(limit, limits)
    said = text.removeprefix("Internal error in monty: ")
    said = said.replace("The monty syntax parser does not yet support", "This sandbox does not support")
    advice = next((advice for sign, advice in ALTERNATIVES if re.search(sign, text.partition("\n")[0])), "")
    return "\n".join(filter(None, (f"{_place(error, program, code)}{said}", advice)))


def is_misreading(error: MontyError) -> bool:
    """Check whether a program ended because an answer is not what it expected."""
    return MISREAD.match(_text(error)) is not None


def over(limit: str, limits: ProgramLimits) -> str:
    """Return what is said of a program that exceeds a limit: which, and who can raise it."""
    return (
        f"The program exceeded {WORDS[limit].format(limits=limits)} and was ended. Do less in one program, or ask "
        f"whoever runs this server to raise OPEN_MCP_PROGRAM_LIMITS={limits}."
    )


#: Characters that are shown of a line.
SOURCE = 200

#: The limits in words.
WORDS = {
    "seconds": "its time of {limits.seconds:g} seconds",
    "bytes": "its memory of {limits.bytes:,} bytes",
    "calls": "its {limits.calls:,} calls",
    "turns": "what {limits.calls:,} calls need, with as many sleeps as its time allows,",
    "characters": "its {limits.characters:,} printed characters",
}

#: How the sandbox reports a limit. It has none for calls, which are counted here, but one for all that it asks of this
#: program.
_LIMITS = (
    (r"^TimeoutError: (feed|turn) time limit exceeded", "seconds"),
    (r"^MemoryError: ", "bytes"),
    (r"^RuntimeError: suspension limit", "turns"),
)


def _text(error: MontyError) -> str:
    display = getattr(error, "display", None)
    text = display("type-msg") if display else str(error)
    return re.sub(r"^(RuntimeError|NotImplementedError): (?!suspension limit)", "", text)


def _place(error: MontyError, program: Prepared, code: str) -> str:
    """Return the line and column in the program, and the function around them."""
    frames = error.traceback() if hasattr(error, "traceback") else []
    own = [frame for frame in frames if frame.filename == OWN_FILE]
    if not own:
        return ""
    last, lines = own[-1], code.splitlines()
    number = last.line - (program.line is not None and last.line > program.line)
    function = f" in {last.function_name}()" if last.function_name not in (None, "<module>") else ""
    source = lines[number - 1].strip()[:SOURCE] if 0 < number <= len(lines) else ""
    return f"Line {number}, column {last.column}{function}:" + (f"\n    {source}\n" if source else " ")

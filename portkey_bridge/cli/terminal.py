"""Output for terminals and for pipes.

A terminal gets tables and colours, which `NO_COLOR` turns off; a pipe gets plain lines. Text from a document
never reaches a terminal with control characters in it: they could rewrite what is shown.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Timer
from typing import Any, TextIO

from portkey_bridge.text import escaped, printable

#: Narrowest width in characters of a wrapped cell, and the gap between two columns.
READABLE, GAP = 18, 3

#: Seconds before a message explains what takes so long.
EXPLAIN_AFTER = 1.0


def is_terminal() -> bool:
    """Check whether the output goes to a terminal."""
    return sys.stdout.isatty()


def print_lines(rows: Iterable[Sequence[object]]) -> None:
    """Print each row as one line, with tabs between its cells."""
    for row in rows:
        print("\t".join(printable(str(cell)) for cell in row))


def print_table(
    columns: Sequence[str], groups: Iterable[tuple[str, Iterable[Sequence[object]]]], spare: Sequence[str] = ()
) -> None:
    """Print a table: each group of rows under its heading, if it has one; in a pipe, each row as one line.

    The first column is often copied, so it is never wrapped; numbers are right-aligned. If the terminal is too
    narrow, the `spare` columns are left out, one after another.
    """
    if not is_terminal():
        print_lines(row for _, rows in groups for row in rows)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, table = Console(), Table(box=SIMPLE_HEAD, pad_edge=False)
    texts = [(printable(heading), _printable(rows)) for heading, rows in groups]
    shown = _columns_that_fit(columns, [row for _, rows in texts for row in rows], spare, console.width)
    for at in shown:
        table.add_column(
            columns[at], overflow="fold", no_wrap=at == 0, justify="right" if columns[at] == "tokens" else "left"
        )
    for heading, lines in texts:
        if heading:
            table.add_row(Text(heading, style="bold cyan"))
        for line in lines:
            table.add_row(*(Text(line[at]) for at in shown))
        table.add_section()
    console.print(table)


def _printable(rows: Iterable[Sequence[object]]) -> list[list[str]]:
    return [[printable(str(cell)) for cell in row] for row in rows]


def _columns_that_fit(
    columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], width: int
) -> list[int]:
    """Return the indexes of the columns that fit into the width."""
    widest = [max(map(len, (name, *(row[at] for row in rows)))) for at, name in enumerate(columns)]
    needed = [widest[0], *(min(each, READABLE) for each in widest[1:])]
    shown = list(range(len(columns)))
    for name in spare:
        if sum(needed[at] + GAP for at in shown) > width:
            shown.remove(columns.index(name))
    return shown


def print_text(text: object, stream: TextIO | None = None) -> None:
    """Print a text of several lines as it is, but on a terminal without anything that it would interpret."""
    stream = stream or sys.stdout
    print(escaped(str(text)) if stream.isatty() else text, file=stream)


def print_styled(*parts: str | tuple[str, str]) -> None:
    """Print one line of parts, each plain or with its style for a terminal."""
    texts = [(printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts]
    if not is_terminal():
        print(*(text for text, _ in texts))
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(*(Text(text, style) for text, style in texts), soft_wrap=True)


def print_hanging(mark: tuple[str, str], subject: str, *lines: str) -> None:
    """Print a styled mark, a subject and lines; on a terminal, long lines wrap with a hanging indent."""
    if not is_terminal():
        margins = [f"{mark[0]} {subject}", *itertools.repeat(" " * (len(mark[0]) + len(subject) + 1), len(lines) - 1)]
        print_lines([f"{margin} {line}"] for margin, line in zip(margins, lines, strict=True) if line)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1))
    row.add_row(
        Text(*mark), printable(subject), Text("\n".join(printable(line) for line in lines if line), overflow="fold")
    )
    Console().print(row)


def print_json(value: Any) -> None:
    """Print JSON, in colour on a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if not is_terminal():
        print(text)
        return
    from rich.console import Console
    from rich.highlighter import JSONHighlighter

    coloured = JSONHighlighter()(escaped(text))
    coloured.no_wrap = True
    Console().print(coloured, soft_wrap=True)


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Show a status on the terminal while the block runs, if it takes longer than a second."""
    if not sys.stderr.isatty():
        yield
        return
    with ExitStack() as stack, if_it_lasts(lambda: stack.enter_context(_status(words))):
        yield


@contextmanager
def if_it_lasts(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` if the block runs for longer than a second."""
    timer = Timer(EXPLAIN_AFTER, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _status(words: str) -> AbstractContextManager[object]:
    from rich.console import Console

    return Console(stderr=True).status(printable(words))

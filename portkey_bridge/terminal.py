"""What a terminal gets, and what a program gets that reads the output.

A person gets tables and colours, which `NO_COLOR` turns off; a pipe gets plain lines. Text from a document
never reaches a terminal with control characters in it: they could rewrite what stands there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def is_terminal() -> bool:
    """Tell whether a person reads the output."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Give the text in one line, with nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def print_lines(rows: Iterable[Sequence[object]]) -> None:
    """Print each row as one line, with tabs between its cells."""
    for row in rows:
        print("\t".join(printable(str(cell)) for cell in row))


def print_table(columns: Sequence[str], groups: Iterable[tuple[str, Iterable[Sequence[object]]]]) -> None:
    """Print a table for a person: each group of rows under its heading, if it has one; numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column == "tokens" else "left")
    for heading, rows in groups:
        if heading:
            table.add_row(Text(printable(heading), style="bold cyan"))
        for row in rows:
            table.add_row(*(Text(printable(str(cell))) for cell in row))
        table.add_section()
    Console().print(table)


def print_styled(*parts: str | tuple[str, str]) -> None:
    """Print one line of parts, each plain or with the style that a terminal shows it in."""
    texts = [(printable(part), "") if isinstance(part, str) else part for part in parts]
    if not is_terminal():
        print(*(text for text, _ in texts))
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(*(Text(text, style) for text, style in texts), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print JSON, in colour for a person."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if not is_terminal():
        print(text)
        return
    from rich.console import Console
    from rich.json import JSON

    Console().print(JSON(text))


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Tell a person on stderr, while it lasts, what is waited for."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(words):
        yield

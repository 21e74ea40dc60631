"""Measured values as a reader wants them: the median with its spread, in tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write the median of the values, and the lowest and highest of them."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return how many times the others each value is; two of one place were measured one after the other."""
    return [value / other for value, other in zip(values, others, strict=True)]


def section(title: str, *paragraphs: str) -> str:
    """Write a section of the report."""
    return "\n\n".join((f"## {title}", *paragraphs))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table whose first column is words, and whose others are figures."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))

"""Repairs of a document: each problem is reported once, with the places where it was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]
"""Takes a problem with something known, a sentence without its full stop."""

#: Places that a sentence names before it only counts them.
MAX_NAMED_PLACES = 3

#: Problems that are reported separately.
MAX_REPAIR_KINDS = 100


@dataclass(frozen=True)
class Repair:
    """A problem, a sentence without its full stop, the first places where it was met, and how many there are."""

    problem: str
    places: tuple[str, ...]
    count: int


class Repairs:
    """Collects problems and where they are, and writes a sentence for each problem.

    `kept` is how many places of a problem are kept.
    """

    def __init__(self, kept: int = MAX_NAMED_PLACES) -> None:
        self._kept = kept
        self._places: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, problem: str, place: str) -> None:
        """Note a problem, a sentence without its full stop, at a pointer or at a method and path."""
        places = self._places.setdefault(problem, [])
        self._counts[problem] = self._counts.get(problem, 0) + 1
        if len(places) < self._kept:
            places.append(place)

    def found(self) -> tuple[Repair, ...]:
        """Return the problems with their places, in the order in which they were met."""
        return tuple(Repair(problem, tuple(at), self._counts[problem]) for problem, at in self._places.items())

    def sentences(self) -> tuple[str, ...]:
        """Return a sentence for each problem, in the order of their discovery, and the number of further ones."""
        told = [f"{problem} ({self._where(problem)})." for problem in list(self._places)[:MAX_REPAIR_KINDS]]
        rest = len(self._places) - len(told)
        return (*told, f"{rest} further kinds of problems were repaired or left out.") if rest else tuple(told)

    def _where(self, problem: str) -> str:
        named = self._places[problem][:MAX_NAMED_PLACES]
        more = self._counts[problem] - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


def said_twice(key: str) -> str:
    """Return the sentence about a key that an object has more than once."""
    return f"the key {json.dumps(key)[:60]} appears twice in one object; the last one is used."


def summarize(value: object, length: int = 60) -> str:
    """Write a value from the document into a sentence: short, and without control characters."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = str(value)[: length + 1]
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return shown if len(shown) <= length else f"{shown[:length]}…"

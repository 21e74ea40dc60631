"""Text that is safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text in one line, with nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)

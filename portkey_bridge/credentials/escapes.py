"""Undoes the escapes of a text, and finds where its parts are written: as in JSON, URLs, JavaScript and HTML."""

from __future__ import annotations

import re
from binascii import unhexlify
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from html.entities import html5

#: What the escapes of ASCII characters begin with and contain. `\n` and `\"` of JSON do not count: most bodies have no
#: other ones.
SIGNS = (b"\\", b"%", b"&")
LIKELY = re.compile(rb"""\\(?:u(?:00[0-7]|\{)|[^bfnrtu"])|%[0-7]|&(?:#|[a-zA-Z]+;)""")

#: An escape, which may be escaped again in its own way. It is short, so that searching takes time that is linear in
#: the text. Of several backslashes the last one belongs to it.
ESCAPE = re.compile(
    rb"\\u(?P<utf16>[dD][89abAB][0-9a-fA-F]{2}\\{1,8}u[dD][c-fC-F][0-9a-fA-F]{2}|[0-9a-fA-F]{4})"
    rb"|\\(?:u\{0{0,8}(?P<point>[0-9a-fA-F]{1,6})\}|x(?P<latin>[0-9a-fA-F]{2}))"
    rb"|%(?:25){0,8}(?P<byte>[0-9a-fA-F]{2})"
    rb"|&(?:amp;){0,8}(?:#0{0,8}(?:(?P<decimal>[0-9]{1,7})|[xX]0{0,8}(?P<hexadecimal>[0-9a-fA-F]{1,6}))"
    rb"|(?P<name>[a-zA-Z]\w{1,31}));"
)
BACKSLASH = re.compile(rb"\\")

#: Texts that escape each other in several ways are undone this often.
NESTED = 8

#: A backslash is dropped, because it may stand before any character, and what it makes of a letter is that letter. A
#: plus may stand for a space.
SAME = bytes.maketrans(b"\b\f\n\r\t+", b"bfnrt ")


def unescaped(text: bytes) -> bytes:
    """Return the text without escapes. It is the same for each way to escape any of the characters, also again."""
    return _levels(text)[-1].translate(SAME, b"\\")


def places_of(text: bytes, parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where parts of the unescaped text, from one place to another, are in the text itself."""
    places = [place for part in parts for place in part]
    levels = _levels(text)
    places = _before(BACKSLASH, levels[-1], places)
    for level in reversed(levels[:-1]):
        places = _before(ESCAPE, level, places)
    return list(zip(places[::2], places[1::2], strict=True))


def _levels(text: bytes) -> list[bytes]:
    """Return the text, and what becomes of it each time that its escapes are undone."""
    levels = [text]
    while len(levels) <= NESTED and (following := ESCAPE.sub(_undone, levels[-1])) != levels[-1]:
        levels.append(following)
    return levels


def _before(pattern: re.Pattern[bytes], text: bytes, places: list[int]) -> list[int]:
    """Return the places in a text that became the places in what is undone. A character includes all of its escape."""
    after, before, shift = [0], [0], 0
    for match in pattern.finditer(text):
        start, end = match.span()
        after.append(start - shift)
        shift += end - start - len(_character(match[0]))
        after.append(end - shift)
        before += (start, end)
    found = [bisect_left(after, place) for place in places]
    after.append(len(text) - shift)
    before.append(len(text))
    return [before[at] - (after[at] - place) for at, place in zip(found, places, strict=True)]


def _undone(escape: re.Match[bytes]) -> bytes:
    """Return what a match of an escape stands for."""
    return _character(escape[0])


@lru_cache(maxsize=1024)
def _character(escape: bytes) -> bytes:
    """Return what an escape stands for, in UTF-8: nothing for a backslash, and itself if it is not a character."""
    if not (match := ESCAPE.match(escape)):
        return b""
    kind = match.lastgroup or ""
    return UNDONE[kind](match[kind]) or escape


def _of_point(digits: bytes, base: int = 16) -> bytes:
    """Return a code point in UTF-8, or nothing if there is none."""
    point = int(digits, base)
    return chr(point).encode("utf-8", "surrogatepass") if point <= 0x10FFFF else b""


def _of_utf16(digits: bytes) -> bytes:
    """Return the character of one or two code units in UTF-8."""
    units = unhexlify(digits.translate(None, b"\\u"))
    return units.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass")


UNDONE: Mapping[str, Callable[[bytes], bytes]] = {
    "utf16": _of_utf16,
    "point": _of_point,
    "latin": _of_point,
    "byte": unhexlify,
    "decimal": lambda digits: _of_point(digits, 10),
    "hexadecimal": _of_point,
    "name": lambda name: html5.get(f"{name.decode()};", "").encode(),
}

"""Finds the tool for a question in plain words.

SQLite's full-text index knows the words of each tool by their stems, and their columns. Two shares rank a
tool: how much of the question it has, and how much of what it is about was asked for. In both a word counts the more,
the fewer tools have it. BM25 alone is no help here: in an API of collections nearly every text has the word collection,
and then it counts for nothing, even where it is half of a name.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from portkey_bridge.errors import SettingsError
from portkey_bridge.tools.catalog import Tool

#: Columns of the index, and the weight of a word in each.
COLUMNS = {
    "name": 1.0,
    "title": 1.0,
    "compounds": 0.9,
    "path": 0.8,
    "tags": 0.7,
    "verbs": 0.7,
    "description": 0.4,
    "arguments": 0.3,
}

#: The words for what a method does to what the path names (RFC 9110 section 9.3).
VERBS = {
    "GET": "get list show view read fetch retrieve find see look which what how who browse search check compare",
    "POST": "post create add new make register open store save insert upload invite start run send submit trigger "
    "merge fork generate complete render request cancel",
    "PUT": "put update change edit modify rename set replace",
    "PATCH": "patch update change edit modify rename set",
    "DELETE": "delete remove drop revoke",
}

#: Words that people use for the same thing when they speak of an API. What is found by one of them counts less.
ALIKE = [
    frozenset(words.split())
    for words in (
        "create add new make register open store save insert upload post",
        "delete remove drop",
        "update change edit modify rename set replace",
        "list show all browse which",
        "get show view fetch retrieve read see look",
        "download content",
        "run execute trigger dispatch start",
        "repository repo",
        "organization organisation org",
        "configuration config setting",
        "user member people person somebody account",
        "invite invitation",
        "answer respond response",
        "image picture photo",
        "chart graph",
        "chat conversation dialogue",
        "cost price pricing spend expense",
        "history version",
        "limit quota",
    )
]
AS_GOOD = 0.5

#: Words that say nothing of an operation.
SILENT = frozenset(
    """a all am an and any are as at be been by can could did do does for from give had has have how i if in into is it
    its just let like me my need of on or our out please should so some tell that the their them there these this those
    to up us using want was we were what when where which who will with would you your""".split()  # noqa: SIM905
)

#: Factor of the score of a tool whose subject the question does not mention.
UNASKED = 0.3

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")


class Index:
    """What describes each of the tools, ready to be searched. Raises SettingsError where SQLite cannot."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self._exact = {key: number for number, tool in enumerate(tools) for key in _names(tool)}
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._fill("tools", tuple(COLUMNS), map(_row, tools))
        self._counts: dict[str, dict[int, float]] = defaultdict(dict)  # by stem and tool: as where it counts the most
        about: dict[tuple[int, str], set[str]] = defaultdict(set)
        for stem, number, column in self._database.execute("SELECT term, doc, col FROM tools_words"):
            counts = self._counts[stem]
            counts[number] = max(counts.get(number, 0.0), COLUMNS[column])
            about[number, column].add(stem)
        self._about = [(about[number, "name"], about[number, "title"]) for number in range(len(tools))]

    def _fill(self, name: str, columns: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
        """Make an index of rows, which are numbered from 0, and the table of its stems."""
        listed = ", ".join(columns)
        places = ", ".join("?" * (len(columns) + 1))
        try:
            self._database.execute(f"CREATE VIRTUAL TABLE {name} USING fts5({listed}, tokenize='porter unicode61')")
        except sqlite3.OperationalError as error:
            problem = "the SQLite of this Python lacks full-text search (FTS5), which --discover needs"
            raise SettingsError(f"{problem}. Use another Python, or start without it.") from error
        self._database.execute(f"CREATE VIRTUAL TABLE {name}_words USING fts5vocab({name}, 'instance')")
        numbered = ((number, *row) for number, row in enumerate(rows))
        self._database.executemany(f"INSERT INTO {name} (rowid, {listed}) VALUES ({places})", numbered)  # noqa: S608

    def search(self, question: str) -> list[Tool]:
        """Return the tools that have to do with a question, the best first. A name or `METHOD path` finds its own."""
        ranked = self._ranked(question)
        exact = self._exact.get(_joined(question))
        if exact is not None:
            ranked = [exact, *(number for number in ranked if number != exact)]
        return [self._tools[number] for number in ranked]

    def _ranked(self, question: str) -> list[int]:
        words = _words(question)
        asked = list(dict.fromkeys(word for word in words if word not in SILENT)) or words
        scores: dict[int, float] = defaultdict(float)
        covered: dict[str, float] = {}
        for stems in self._stems([*map(_alike, asked), *({word: 1.0} for word in _compounds(asked))]):
            found = self._found(stems)
            covered |= {stem: max(good, covered.get(stem, 0.0)) for stem, good in stems.items()}
            for number, counts in found.items():
                scores[number] += counts * self._rarity(len(found))

        def rank(number: int) -> tuple[float, int, int]:
            share = max(self._share(about, covered) for about in self._about[number])
            return -scores[number] * (UNASKED + share), self._tools[number].operation.path.count("/"), number

        return sorted(scores, key=rank)

    def _stems(self, asked: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
        """Return the stems of words, each with how good it is; of two words with one stem the better one counts."""
        words = [(place, word, good) for place, alike in enumerate(asked) for word, good in alike.items()]
        self._fill("asked", ("word",), ((word,) for _, word, _ in words))
        stems: list[dict[str, float]] = [{} for _ in asked]
        for stem, number in self._database.execute("SELECT term, doc FROM asked_words"):
            place, _, good = words[number]
            stems[place][stem] = max(good, stems[place].get(stem, 0.0))
        self._database.executescript("DROP TABLE asked_words; DROP TABLE asked")
        return stems

    def _found(self, stems: Mapping[str, float]) -> dict[int, float]:
        """Return the tools that have any of the stems, each with how much the best of them counts there."""
        found: dict[int, float] = {}
        for stem, good in stems.items():
            for number, counts in self._counts.get(stem, {}).items():
                found[number] = max(found.get(number, 0.0), good * counts)
        return found

    def _rarity(self, having: int) -> float:
        """Return how much a word counts that so many tools have."""
        return math.log1p(len(self._tools) / max(having, 1))

    def _share(self, about: Iterable[str], covered: Mapping[str, float]) -> float:
        """Return how much of what a tool is about was asked for."""
        rarity = {stem: self._rarity(len(self._counts[stem])) for stem in about}
        whole = sum(rarity.values())
        return sum(covered.get(stem, 0.0) * rare for stem, rare in rarity.items()) / whole if whole else 0.0


def _row(tool: Tool) -> Iterator[str]:
    """Return the text of each of COLUMNS."""
    operation = tool.operation
    name, path, title = _words(operation.operation_id or tool.name), _words(operation.path), _words(tool.title)
    yield " ".join(word for word in name if word not in SILENT)
    yield " ".join(word for word in title if word not in SILENT)
    yield " ".join((*_compounds(name), *_compounds(path), *_compounds(title), tool.name, _joined(tool.name)))
    yield " ".join((*path, *_words(operation.summary)))
    yield " ".join(_words(" ".join(operation.tags)))
    yield VERBS.get(operation.method, operation.method.lower())
    yield " ".join(_words(operation.description or ""))
    yield " ".join(_words(" ".join(tool.arguments.bindings)))


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case; a name in camel case or with underscores has several."""
    return [word.lower() for word in _WORD.findall(text)]


def _alike(word: str) -> dict[str, float]:
    """Return the words that mean the same, each with how good it is."""
    groups = (group for group in ALIKE if word in group or word.removesuffix("s") in group)
    return {**{alike: AS_GOOD for group in groups for alike in group}, word: 1.0}


def _compounds(words: Sequence[str]) -> Iterator[str]:
    """Return each two neighbours as one word: what one writes apart another writes together."""
    return (first + second for first, second in pairwise(words))


def _names(tool: Tool) -> Iterable[str]:
    operation = tool.operation
    return map(_joined, (tool.name, operation.operation_id or tool.name, f"{operation.method} {operation.path}"))


def _joined(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())

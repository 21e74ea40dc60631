"""Finds the tool for a question in plain words: SQLite's full-text search over what describes each tool.

FTS5 ranks by BM25, knows English words by their stems, and weighs columns. What an API adds to that is here: a name
is made of words, a path of names, and a method is a verb. BM25 by itself prefers whoever repeats a rare word, so its
score counts only as far as a tool is about what was asked, and about nothing else.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from portkey_bridge.errors import SettingsError
from portkey_bridge.tools import Tool

#: What is searched in, and how much a word counts there.
COLUMNS = {
    "name": 6.0,
    "title": 6.0,
    "path": 4.0,
    "tags": 3.0,
    "compounds": 3.0,
    "verbs": 2.0,
    "description": 1.0,
    "arguments": 0.5,
}

#: The columns that say what a tool is about.
ABOUT = "{name title path tags compounds}"

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
AS_GOOD = 0.35

#: Words that say nothing of an operation.
SILENT = frozenset(
    """a all am an and any are as at be been by can could did do does for from give had has have how i if in into is it
    its just let like me my need of on or our out please should so some tell that the their them there these this those
    to up us using want was we were what when where which who will with would you your""".split()  # noqa: SIM905
)

#: What is left of a score where nothing that was asked is found, or nothing that was found is asked for.
UNCOVERED, UNASKED = 0.1, 0.4

#: How many times more a tool counts whose method does what was asked, and that lists where a list was asked for.
RIGHT_METHOD, RIGHT_NUMBER = 1.5, 1.3

#: Words that ask for many things; the path of one thing ends in its name, in braces.
MANY = frozenset({"list", "browse", "all", "which"})

_ALL_VERBS = frozenset(" ".join(VERBS.values()).split())

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")


class Index:
    """What describes each of the tools, ready to be searched. Raises SettingsError where SQLite cannot."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self._exact = {key: number for number, tool in enumerate(tools) for key in _names(tool)}
        self._lengths = {
            "title": [len(_nouns(tool.title)) for tool in tools],
            "name": [len(_nouns(tool.operation.operation_id or tool.name)) for tool in tools],
        }
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        columns = ", ".join(COLUMNS)
        try:
            self._database.execute(f"CREATE VIRTUAL TABLE tools USING fts5({columns}, tokenize='porter unicode61')")
        except sqlite3.OperationalError as error:
            problem = "this Python's SQLite has no full-text search (FTS5), which --discover needs"
            raise SettingsError(f"{problem}. Start without it, or with another Python.") from error
        places = ", ".join("?" * (len(COLUMNS) + 1))
        rows = ((number, *_row(tool)) for number, tool in enumerate(tools))
        self._database.executemany(f"INSERT INTO tools (rowid, {columns}) VALUES ({places})", rows)  # noqa: S608

    def search(self, question: str) -> list[Tool]:
        """Give the tools that have to do with a question, the best first. A name or `METHOD path` finds its own."""
        ranked = self._ranked(question)
        exact = self._exact.get(_joined(question))
        if exact is not None:
            ranked = [exact, *(number for number in ranked if number != exact)]
        return [self._tools[number] for number in ranked]

    def _ranked(self, question: str) -> list[int]:
        words = _words(question)
        asked = list(dict.fromkeys(word for word in words if word not in SILENT)) or words
        if not asked:
            return []
        nouns = _nouns(question) or asked
        scores = self._bm25([*asked, *_compounds(asked), *re.findall(r"\w+", question.lower())])
        for number, score in self._bm25([alike for word in asked for alike in _alike(word)]).items():
            scores[number] = scores.get(number, 0.0) + AS_GOOD * score
        about = Counter(number for word in asked for number in self._matching(ABOUT, _alike(word)))
        named = {
            column: Counter(number for word in nouns for number in self._matching(column, _alike(word)))
            for column in self._lengths
        }
        methods, many = _methods(words), not MANY.isdisjoint(words)

        def rank(number: int) -> tuple[float, int, int]:
            tool = self._tools[number]
            covered = UNCOVERED + about[number] / len(asked)
            shares = (named[column][number] / max(lengths[number], 1) for column, lengths in self._lengths.items())
            precise = UNASKED + min(1.0, max(shares))
            method = RIGHT_METHOD if tool.operation.method in methods else 1.0
            lists = RIGHT_NUMBER if many and not tool.operation.path.endswith("}") else 1.0
            return -scores[number] * covered * precise * method * lists, tool.operation.path.count("/"), number

        return sorted(scores, key=rank)

    def _bm25(self, terms: Iterable[str]) -> dict[int, float]:
        """Give the score of each tool that has any of the terms."""
        weights = ", ".join(map(str, COLUMNS.values()))
        statement = f"SELECT rowid, -bm25(tools, {weights}) FROM tools WHERE tools MATCH ?"  # noqa: S608
        return dict(self._database.execute(statement, (_any_of(terms),)))

    def _matching(self, columns: str, terms: Iterable[str]) -> Iterator[int]:
        """Yield each tool that has any of the terms in the columns."""
        statement = "SELECT rowid FROM tools WHERE tools MATCH ?"
        return (number for (number,) in self._database.execute(statement, (f"{columns}: ({_any_of(terms)})",)))


def hit(tool: Tool) -> str:
    """Write what a model must know of a tool to choose it, in one line: the required arguments are in brackets."""
    required = ", ".join(name for name, binding in tool.arguments.bindings.items() if binding.required)
    return f"{tool.name}({required}) · {tool.operation.method} {tool.operation.path} · {tool.title}"


def _row(tool: Tool) -> Iterator[str]:
    """Give the text of each of COLUMNS."""
    operation = tool.operation
    name, path, title = _words(operation.operation_id or tool.name), _words(operation.path), _words(tool.title)
    yield " ".join((*name, tool.name, _joined(tool.name)))
    yield " ".join((*title, *_words(operation.summary or "")))
    yield " ".join(path)
    yield " ".join(_words(" ".join(operation.tags)))
    yield " ".join((*_compounds(name), *_compounds(path), *_compounds(title)))
    yield VERBS.get(operation.method, operation.method.lower())
    yield " ".join(_words(operation.description or ""))
    yield " ".join(_words(" ".join(tool.arguments.bindings)))


def _any_of(terms: Iterable[str]) -> str:
    """Write an expression of FTS5 that any of the terms fulfils."""
    return " OR ".join(f'"{term}"' for term in dict.fromkeys(terms))


def _words(text: str) -> list[str]:
    """Give the words of a text in lower case; a name in camel case or with underscores has several."""
    return [word.lower() for word in _WORD.findall(text)]


def _nouns(text: str) -> list[str]:
    """Give the words of a text that are not silent, and no verb that a method stands for."""
    return [word for word in dict.fromkeys(_words(text)) if word not in SILENT and word not in _ALL_VERBS]


def _alike(word: str) -> set[str]:
    return {word}.union(*(group for group in ALIKE if word in group or word.removesuffix("s") in group))


def _methods(words: Iterable[str]) -> set[str]:
    """Give the methods that do what the first verb among the words says."""
    meant = ({method for method, verbs in VERBS.items() if word in verbs.split()} for word in words)
    return next((methods for methods in meant if methods), set())


def _compounds(words: Sequence[str]) -> Iterator[str]:
    """Give each two neighbours as one word: what one writes apart another writes together."""
    return (first + second for first, second in pairwise(words))


def _names(tool: Tool) -> Iterable[str]:
    operation = tool.operation
    return map(_joined, (tool.name, operation.operation_id or tool.name, f"{operation.method} {operation.path}"))


def _joined(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())

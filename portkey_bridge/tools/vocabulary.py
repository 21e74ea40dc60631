"""Words of questions and documents: how a text is split into them, which mean the same, and their stems."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from portkey_bridge.errors import SettingsError

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
_ALIKE = [
    frozenset(words.split())
    for words in (
        # what is done
        "create add new make register open store save insert upload post",
        "delete remove drop clear clean purge prune rid",
        "update change edit modify rename set replace",
        "list show all browse which",
        "get show view fetch retrieve read see look inspect",
        "search find lookup query",
        "download content export",
        "run execute trigger dispatch start launch begin",
        "stop cancel abort halt end kill terminate",
        "pause suspend",
        "resume continue unpause",
        "enable activate allow",
        "disable deactivate forbid deny",
        "copy clone duplicate fork",
        "send submit publish post share broadcast",
        "schedule plan postpone",
        "restore rollback revert recover",
        "join connect attach link",
        "leave disconnect detach",
        "buy order purchase checkout cart",
        "pay payment billing invoice bill charge",
        "hide mute block silence ban filter",
        "like favourite favorite star love",
        "answer respond response reply",
        "login authenticate auth authorization session sign",
        "validate verify check test confirm",
        # who does it
        "user member people person somebody account profile",
        "organization organisation org company team group",
        "colleague coworker employee staff member",
        "friend follower following contact",
        "invite invitation",
        "author creator artist writer",
        "actor actress cast performer",
        "director crew producer",
        "admin administrator moderator owner",
        # what it is done to
        "repository repo",
        "configuration config setting settings preferences options",
        "image picture photo poster cover logo icon avatar thumbnail",
        "film movie",
        "show series tv television programme",
        "song track",
        "game videogame",
        "chart graph diagram",
        "chat conversation dialogue thread",
        "message mail email note",
        "post status article entry",
        "comment reply review feedback opinion",
        "poll survey vote ballot",
        "cost price pricing spend expense money",
        "history version revision previous earlier older",
        "newest latest recent current today now",
        "popular trending top best",
        "similar related recommendation recommended suggestion suggested",
        "limit quota",
        "usage consumption stats statistics metrics analytics",
        "number count total amount",
        "error failure fail problem fault",
        "issue bug ticket",
        "job task run execution",
        "log audit trail activity",
        "alert alarm notification",
        "password secret credential token key",
        "permission access role right",
        "rule policy",
        "label tag category topic genre",
        "machine host server node",
        "file document attachment",
        "backup snapshot dump",
        "deploy deployment release rollout",
        "website site page",
        "birthday born birth age",
        "address location place",
        "trip journey travel route",
        "event appointment meeting calendar",
    )
]
_AS_GOOD = 0.5

#: Words that say nothing of an operation.
SILENT_WORDS = frozenset(
    """a all am an and any are as at be been by can could did do does for from give had has have how i if in into is it
    its just let like me my need of on or our out please should so some tell that the their them there these this those
    to up us using want was we were what when where which who will with would you your""".split()  # noqa: SIM905
)

#: Forms that no stem leads to their verb from.
_IRREGULAR = {
    form: verb
    for verb, forms in {
        "begin": "began begun", "break": "broke broken", "build": "built", "buy": "bought", "choose": "chose chosen",
        "do": "did done", "draw": "drew drawn", "find": "found", "give": "gave given", "hold": "held", "keep": "kept",
        "leave": "left", "lose": "lost", "make": "made", "meet": "met", "pay": "paid", "read": "read", "run": "ran",
        "say": "said", "see": "saw seen", "sell": "sold", "send": "sent", "sing": "sang sung", "speak": "spoke spoken",
        "spend": "spent", "take": "took taken", "teach": "taught", "tell": "told", "think": "thought", "win": "won",
        "write": "wrote written", "person": "people", "child": "children",
    }.items()
    for form in forms.split()
}  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")


def split(text: str) -> list[str]:
    """Return the words of a text in lower case; a name in camel case or with underscores has several."""
    return [word.lower() for word in _WORD.findall(text)]


def join_words(text: str) -> str:
    """Return a text in lower case without anything between its letters and digits."""
    return re.sub(r"[\W_]+", "", text.lower())


def alike(word: str) -> dict[str, float]:
    """Return the words that mean the same, each with how good it is."""
    forms = {word, word.removesuffix("s"), _IRREGULAR.get(word, word)}
    groups = (group for group in _ALIKE if forms & group)
    return {**{other: _AS_GOOD for group in groups for other in group}, **dict.fromkeys(forms, 1.0)}


def compounds(words: Sequence[str]) -> Iterator[str]:
    """Return each two neighbours as one word: what one writes apart another writes together."""
    return (first + second for first, second in pairwise(words))


class Stems:
    """The stems of words, which SQLite's full-text search finds. Raises SettingsError where SQLite has none."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._database.execute("CREATE VIRTUAL TABLE words USING fts5(word, tokenize='porter unicode61')")
        except sqlite3.OperationalError as error:
            problem = "the SQLite of this Python lacks full-text search (FTS5), which --discover needs"
            raise SettingsError(f"{problem}. Use another Python, or start without it.") from error
        self._database.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(words, 'instance')")
        self._known: dict[str, str] = {}

    def learn(self, words: Iterable[str]) -> None:
        """Find the stems of words once and for all."""
        self._known |= self._find(set(words) - self._known.keys())

    def of(self, words: Iterable[str]) -> dict[str, str]:
        """Return the stem of each word."""
        words = set(words)
        known = {word: self._known[word] for word in words if word in self._known}
        return known | self._find(words - known.keys())

    def _find(self, words: Iterable[str]) -> dict[str, str]:
        numbered = list(words)
        if not numbered:
            return {}
        self._database.executemany("INSERT INTO words (rowid, word) VALUES (?, ?)", enumerate(numbered))
        found = {numbered[number]: stem for stem, number in self._database.execute("SELECT term, doc FROM stems")}
        self._database.execute("DELETE FROM words")
        return found

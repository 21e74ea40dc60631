"""Words of questions and documents: how a text is split into them, which mean the same, and their stems."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
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
        "create add new make register open store save insert upload post put setup provision generate "
        "define establish enroll onboard write",
        "delete remove drop clear clean purge prune rid erase wipe destroy discard trash throw throwaway "
        "dispose unregister cleanup",
        "revoke withdraw takeaway strip expire invalidate",
        "update change edit modify rename set replace adjust alter correct fix amend patch switch configure",
        "list show all browse which display enumerate overview",
        "get show view fetch retrieve read see look inspect display describe detail information info",
        "search find lookup query locate discover seek",
        "download content export",
        "run execute trigger dispatch start launch begin invoke boot call",
        "stop cancel abort halt end kill terminate shutdown interrupt quit",
        "pause suspend hold freeze",
        "resume continue unpause",
        "enable activate allow turnon switchon unlock permit",
        "disable deactivate forbid deny turnoff switchoff takedown lock suspend",
        "copy clone duplicate fork",
        "send submit publish post share broadcast push deliver forward tell announce",
        "notify notification alert alarm inform warn whenever",
        "webhook hook callback subscribe subscription listen event whenever notify",
        "stream live realtime websocket",
        "schedule plan postpone cron recurring repeat regularly nightly daily weekly monthly hourly",
        "restore rollback revert recover undo bringback goback",
        "join connect attach link assign",
        "leave disconnect detach quit exit",
        "grant give assign allow",
        "kick ban block expel evict",
        "approve accept authorize confirm",
        "reject decline refuse deny",
        "book reserve booking reservation",
        "buy order purchase checkout cart",
        "pay payment billing invoice bill charge transaction",
        "refund return chargeback",
        "earn reward income revenue payout profit",
        "balance wallet fund money",
        "hide mute block silence ban filter ignore",
        "like favourite favorite star love",
        "bookmark save remember",
        "answer respond response reply",
        "login authenticate auth authorization session sign signin",
        "logout signout",
        "validate verify check test confirm",
        "merge combine unite",
        "compare diff difference changed",
        "import load ingest",
        "bulk batch many",
        "rotate renew regenerate refresh reset leak leaked stolen compromised",
        "health healthy status ping alive ready available running uptime reachable",
        "progress status state done finished completed pending waiting queued",
        # who does it
        "user member people person somebody account profile who",
        "me self own current myself whoami",
        "organization organisation org company team group",
        "colleague coworker employee staff member",
        "friend follower following contact",
        "customer client buyer",
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
        "song track music",
        "game videogame",
        "chart graph diagram",
        "chat conversation dialogue thread discussion",
        "message mail email note",
        "post status article entry",
        "comment reply review feedback opinion remark",
        "poll survey vote ballot",
        "emoji smiley reaction",
        "cost price pricing spend expense money dollar euro fee",
        "history version revision previous earlier older",
        "newest latest recent current today now lately recently",
        "popular trending trend top best hot",
        "similar related recommendation recommended suggestion suggested alike same equal",
        "synonym same equal",
        "nearest neighbour neighbor near nearby closest",
        "typo spelling misspelling mistake",
        "limit quota cap budget allowance",
        "usage consumption stats statistics metrics analytics used report",
        "number count total amount",
        "average mean sum aggregate",
        "size big large bytes disk storage",
        "error failure fail problem fault broken wrong crash",
        "issue bug ticket",
        "vulnerability security hole",
        "job task run execution process",
        "pipeline workflow build ci",
        "log audit trail activity",
        "password secret credential token key",
        "permission access role right privilege allowed",
        "rule policy",
        "label tag category topic genre",
        "hashtag tag",
        "machine host server node instance vm computer box",
        "device phone computer hardware",
        "file document attachment pdf",
        "table collection class index dataset",
        "column field property attribute",
        "row record entry item object document",
        "vector embedding",
        "workspace tenant namespace project environment space",
        "backup snapshot dump archive",
        "deploy deployment release rollout",
        "website site page",
        "domain dns hostname",
        "certificate ssl tls https",
        "birthday born birth age",
        "address location place",
        "map coordinates latitude longitude position",
        "trip journey travel route",
        "event appointment meeting calendar",
        "weather forecast temperature",
        "shipment shipping delivery parcel package tracking",
        "stock inventory warehouse availability",
        "product item article goods",
        "discount coupon promotion voucher",
        "subscription plan membership",
        "language locale translation translate",
        "addon plugin extension",
    )
]
_AS_GOOD = 0.5

#: All words that have others of the same meaning.
ALIKE_WORDS = frozenset[str]().union(*_ALIKE)

#: Words that say nothing of an operation.
SILENT_WORDS = frozenset(
    """a all am an and any are as at be been by can could did do does for from give had has have how i if in into is it
    its just let like me my need of on or our out please should so some tell that the their them there these this those
    to up us using want was we were what when where which who will with would you your""".split()
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

#: Second words of English verbs, and how many words may be between them and the first.
_PARTICLES = frozenset(("away", "back", "down", "in", "off", "on", "out", "over", "up"))
BETWEEN = 3

#: The accents that a decomposed text has behind its letters.
_ACCENT = re.compile(r"[\u0300-\u036f]")

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")


def split(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents; a name in camel case has several."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFKD", text)))
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
    """Return two neighbours as one word, unless both are silent: what one writes apart another writes together."""
    return (first + second for first, second in pairwise(words) if not SILENT_WORDS.issuperset((first, second)))


def particle_verbs(words: Sequence[str]) -> Iterator[str]:
    """Return the verbs of two words that have others between them, as one word: `turnoff` for "turn the light off"."""
    for place, word in enumerate(words):
        if word in _PARTICLES:
            yield from (verb + word for verb in words[max(place - BETWEEN - 1, 0) : max(place - 1, 0)])


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

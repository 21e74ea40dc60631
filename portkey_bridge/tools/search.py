"""Finds the tools for a question in plain words.

Three shares rank a tool: how much of the question it has, how many of its words, and how much of what the tool is about
was asked for. In the first and the last a word counts the more, the fewer tools have it. Of equals the one with the
shorter path wins, as it is about more. A tool that needs an identifier lends its rank to those that produce it: a task
needs them as well, and rarely names them. Sums do not depend on the order of sets, so that every process answers alike.
"""

from __future__ import annotations

import heapq
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from operator import itemgetter
from typing import NamedTuple

from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.producers import Producers, finds_by_words
from portkey_bridge.tools.subjects import SubjectReader, Words
from portkey_bridge.tools.vocabulary import (
    ALIKE_WORDS,
    SILENT_WORDS,
    VERBS,
    Stems,
    alike,
    compounds,
    join_words,
    particle_verbs,
    split,
)

#: The end of the first sentence of a description; what follows it is detail.
_SENTENCE_END = re.compile(r"[.!?]\s|\n\n")

#: The weight of a word in each part of what describes a tool, in descending order.
WEIGHT_OF_NAME, WEIGHT_OF_COMPOUND, WEIGHT_OF_PATH, WEIGHT_OF_TAG = 1.0, 0.9, 0.8, 0.7
WEIGHT_OF_DESCRIPTION, WEIGHT_OF_FIELD, WEIGHT_OF_DETAIL = 0.4, 0.3, 0.15

#: Factor of the score of a tool whose subject the question does not mention.
UNASKED = 0.3

#: How much worse each segment of its path makes a tool.
DEEP = 0.1

#: The share of a question that the best tool has at least where it fits.
FITTING = 0.3

#: How good a word is that begins like the one that was asked for, and from how many letters on.
WEIGHT_OF_PREFIX, MIN_PREFIX = 0.5, 5

#: How much of a word with a slip of the pen is that of the right one (`difflib.SequenceMatcher.ratio`).
ALIKE = 0.84

#: Tools that lend their rank to the producers of what they need, how much of it, and to how many for each identifier.
LENDING, LENT, PRODUCERS = 20, 0.9, 2

Part = tuple[float, list[str]]
"""The weight and the words of a part of what describes a tool."""


class Found(NamedTuple):
    """The tools that have to do with a question, the best first, and whether the best of them fits it."""

    tools: list[Tool]
    fits: bool


class Index:
    """What describes each of the tools, ready to be searched."""

    def __init__(self, tools: Sequence[Tool], stems: Stems) -> None:
        self._tools, self._stems = tools, stems
        self._exact = {key: number for number, tool in enumerate(tools) for key in _names(tool)}
        operations = [tool.operation for tool in tools]
        self._apis = [id(tool.shapes.root) for tool in tools]
        self._depths = [operation.path.rstrip("/").count("/") for operation in operations]
        readers = {id(tool.shapes.root): SubjectReader(tool.shapes.root) for tool in tools}
        reads = [readers[api] for api in self._apis]
        replies = [read.schemas(read.answers(operation)) for read, operation in zip(reads, operations, strict=True)]
        texts = [list(_texts(*each)) for each in zip(tools, replies, reads, strict=True)]
        stems.learn(ALIKE_WORDS.union(word for parts in texts for _, words in parts for word in words))
        self._counts = _counted(texts, stems)
        self._sorted = sorted(self._counts)
        self._rarity = {stem: self._rare(sum(counts.values())) for stem, counts in self._counts.items()}
        about = [[set(stems.of(words).values()) for _, words in parts[:2]] for parts in texts]
        # What a tool is about, its name and its title: how much that counts, and by stem where it is.
        subjects = [(number, each) for number, parts in enumerate(about) for each in parts if each]
        self._about = [(number, math.fsum(map(self._rarity.__getitem__, each))) for number, each in subjects]
        self._about_with = defaultdict[str, list[int]](list)
        for place, (_, each) in enumerate(subjects):
            for stem in each:
                self._about_with[stem].append(place)
        self._finders = [number for number, operation in enumerate(operations) if finds_by_words(operation)]
        targets = [list(read.links(operation)) for read, operation in zip(reads, operations, strict=True)]
        self._producers = Producers(operations, [reply.names for reply in replies], targets, stems)

    def search(self, question: str) -> Found:
        """Return the tools that fit a question; all for a blank one. A name or `METHOD path` finds its own."""
        if not question.strip():
            return Found(list(self._tools), fits=True)
        scores, covered = self._scores(question)
        scores = self._lend(scores)
        exact = self._exact.get(join_words(question))
        if exact is not None:
            scores[exact] = math.inf
        fits = exact is not None or covered >= FITTING
        ranked = sorted(scores, key=lambda number: (-scores[number], number))
        return Found([self._tools[number] for number in ranked], fits)

    def _scores(self, question: str) -> tuple[dict[int, float], float]:
        """Return how well each tool fits that has any of the words, and what share of them the best one has."""
        asked, pairs = self._asked(question)
        scores, words, whole = defaultdict[int, float](float), Counter[int](), 0.0
        for stems in asked:
            found, most = self._found(stems)
            _add(scores, found)
            words.update(found.keys())
            whole += most
        best = max(scores.values()) / whole if scores else 0.0
        for stems in pairs:
            _add(scores, self._found(stems)[0])
        if not all(self._counts.keys() & {stem for stem, good in stems.items() if good == 1} for stems in asked):
            # A word that the document lacks is often the name of something that has to be found first.
            for number in self._finders:
                scores[number] += WEIGHT_OF_PATH * self._rare(len(self._finders))
        gained = dict[str, float]()
        for stem, good in (each for stems in (*asked, *pairs) for each in stems.items() if each[0] in self._rarity):
            gained[stem] = max(good * self._rarity[stem], gained.get(stem, 0.0))
        shares = self._shares(gained)
        for number in scores:
            about = UNASKED + shares.get(number, 0.0)
            scores[number] *= about * (words[number] + 0.5) / (1 + DEEP * self._depths[number])
        return scores, best

    def _asked(self, question: str) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """Return the stems for each word of a question, and of each two neighbours, each with how good it is."""
        words = split(question)
        telling = list(dict.fromkeys(word for word in words if word not in SILENT_WORDS)) or words
        meant = [*map(alike, telling)]
        pairs = [*map(alike, dict.fromkeys((*compounds(words), *particle_verbs(words))))]
        stem_of = self._stems.of({word for each in (*meant, *pairs) for word in each})
        asked, together = ([self._widened(each, stem_of) for each in words] for words in (meant, pairs))
        return [stems if self._counts.keys() & stems else self._corrected(stems) for stems in asked], together

    def _widened(self, words: Mapping[str, float], stem_of: Mapping[str, str]) -> dict[str, float]:
        """Return the stems of words that mean the same, and those that begin alike, each with how good it is."""
        stems: dict[str, float] = {}
        for word, good in words.items():
            if word in stem_of:
                stems[stem_of[word]] = max(good, stems.get(stem_of[word], 0.0))
        near = (other for stem, good in stems.items() if good == 1 for other in self._near(stem))
        return {**dict.fromkeys(near, WEIGHT_OF_PREFIX), **stems}

    def _corrected(self, stems: Mapping[str, float]) -> dict[str, float]:
        """Return stems that the document lacks with those that they are probably a slip of the pen for."""
        corrected = dict(stems)
        for stem in (stem for stem, good in stems.items() if good == 1 and len(stem) >= MIN_PREFIX):
            first, last = (bisect_left(self._sorted, letter) for letter in (stem[0], chr(ord(stem[0]) + 1)))
            near = [other for other in self._sorted[first:last] if abs(len(other) - len(stem)) <= 1]
            corrected |= dict.fromkeys(get_close_matches(stem, near, n=1, cutoff=ALIKE), WEIGHT_OF_PREFIX)
        return corrected

    def _near(self, stem: str) -> Iterator[str]:
        """Yield the stems in the document that begin with this one, and those that it begins with."""
        if len(stem) < MIN_PREFIX:
            return
        behind = range(bisect_left(self._sorted, stem), len(self._sorted))
        yield from takewhile(lambda other: other.startswith(stem), map(self._sorted.__getitem__, behind))
        yield from (stem[:length] for length in range(MIN_PREFIX, len(stem)) if stem[:length] in self._counts)

    def _found(self, stems: Mapping[str, float]) -> tuple[dict[int, float], float]:
        """Return what each tool that has any of the stems gains by the best of them, and the most that one can gain."""
        found: dict[int, float] = {}
        for stem, good in stems.items():
            for number, counts in self._counts.get(stem, {}).items():
                if good * counts > found.get(number, 0.0):
                    found[number] = good * counts
        rarity = self._rare(math.fsum(found.values())) if found else 0.0
        return {number: counts * rarity for number, counts in found.items()}, rarity

    def _rare(self, having: float) -> float:
        """Return how much a word counts that so many tools have."""
        return math.log1p(len(self._tools) / max(having, 1.0))

    def _shares(self, gained: Mapping[str, float]) -> dict[int, float]:
        """Return how much of what each tool is about was asked for: of its name or of its title."""
        asked, shares = defaultdict[int, float](float), dict[int, float]()
        for stem in sorted(gained):
            for place in self._about_with.get(stem, ()):
                asked[place] += gained[stem]
        for place, gain in asked.items():
            number, whole = self._about[place]
            shares[number] = max(gain / whole, shares.get(number, 0.0))
        return shares

    def _lend(self, scores: dict[int, float]) -> dict[int, float]:
        """Return the scores with those of producers raised to nearly those of the tools that need them."""
        raised = dict(scores)
        for number in heapq.nsmallest(LENDING, scores, key=lambda number: (-scores[number], number)):
            for likely in self._producers.of(number):
                fit = {
                    other: share * (1 + scores.get(other, 0.0) / scores[number])
                    for other, share in likely.items()
                    if self._apis[other] == self._apis[number]
                }
                for producer in heapq.nsmallest(PRODUCERS, fit, key=lambda other: (-fit[other], other)):
                    lent = LENT * likely[producer] * scores[number]
                    raised[producer] = max(raised.get(producer, 0.0), lent)
        return raised


def _add(scores: dict[int, float], found: Mapping[int, float]) -> None:
    for number, gain in found.items():
        scores[number] += gain


def _counted(texts: Iterable[Iterable[Part]], stems: Stems) -> dict[str, dict[int, float]]:
    """Return where each stem is: by stem and tool the weight of the part where it counts the most."""
    counted: dict[str, dict[int, float]] = defaultdict(dict)
    for number, parts in enumerate(texts):
        for weight, words in sorted(parts, key=itemgetter(0)):
            for stem in stems.of(words).values():
                counted[stem][number] = weight
    return counted


def _texts(tool: Tool, reply: Words, read: SubjectReader) -> Iterator[Part]:
    """Yield the words of each part of what describes a tool, and their weight; its name and its title first."""
    operation = tool.operation
    own = operation.operation_id or tool.name
    name, path, title = (
        split(own if join_words(own) == join_words(tool.name) else tool.name),
        split(operation.path),
        split(tool.title),
    )
    body = read.schemas(
        media_type.schema for media_type in (operation.request_body.content if operation.request_body else ())
    )
    taken = read.schemas(parameter.schema for parameter in operation.parameters)
    yield WEIGHT_OF_NAME, [word for word in name if word not in SILENT_WORDS]
    yield WEIGHT_OF_NAME, [word for word in title if word not in SILENT_WORDS]
    yield WEIGHT_OF_COMPOUND, [*compounds(name), *compounds(path), *compounds(title), tool.name, join_words(tool.name)]
    yield WEIGHT_OF_PATH, [*path, *split(operation.summary)]
    yield WEIGHT_OF_TAG, [*split(" ".join(operation.tags)), *split(VERBS.get(operation.method, operation.method))]
    first, *rest = _SENTENCE_END.split(operation.description, maxsplit=1)
    yield WEIGHT_OF_DESCRIPTION, split(f"{first} {tool.curation.description or ''}")
    yield (
        WEIGHT_OF_FIELD,
        [*split(" ".join(parameter.name for parameter in operation.parameters)), *body.names, *reply.names],
    )
    described = (*(parameter.description for parameter in operation.parameters), *map(read.tags.get, operation.tags))
    details = split(" ".join(filter(None, (*rest, *described))))
    yield WEIGHT_OF_DETAIL, [*details, *body.details, *taken.details, *reply.details]


def _names(tool: Tool) -> Iterable[str]:
    operation = tool.operation
    return map(join_words, (tool.name, operation.operation_id or tool.name, str(operation)))

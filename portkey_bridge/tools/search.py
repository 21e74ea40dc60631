"""Finds the tools for a question in plain words.

Two shares rank a tool: how much of the question it has, and how much of what it is about was asked for. In both a word
counts the more, the fewer tools have it. A tool that needs an identifier lends its rank to those that produce it:
a task needs them as well, and rarely names them.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from operator import itemgetter
from typing import NamedTuple

from portkey_bridge.tools.catalog import Tool
from portkey_bridge.tools.producers import Producers, finds_by_words
from portkey_bridge.tools.subjects import SubjectReader, Words
from portkey_bridge.tools.vocabulary import SILENT_WORDS, VERBS, Stems, alike, compounds, join_words, split

#: The weight of a word in each part of what describes a tool, in descending order.
(
    WEIGHT_OF_NAME,
    WEIGHT_OF_COMPOUND,
    WEIGHT_OF_PATH,
    WEIGHT_OF_TAG,
    WEIGHT_OF_DESCRIPTION,
    WEIGHT_OF_FIELD,
    WEIGHT_OF_DETAIL,
) = 1.0, 0.9, 0.8, 0.7, 0.4, 0.3, 0.15

#: Factor of the score of a tool whose subject the question does not mention.
UNASKED = 0.3

#: The share of a question that the best tool has at least where it fits.
FITTING = 0.3

#: How good a word is that begins like the one that was asked for, and from how many letters on.
WEIGHT_OF_PREFIX, MIN_PREFIX = 0.5, 5

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
        readers = {id(tool.shapes.root): SubjectReader(tool.shapes.root) for tool in tools}
        reads = [readers[api] for api in self._apis]
        replies = [read.schemas(read.answers(operation)) for read, operation in zip(reads, operations, strict=True)]
        texts = [list(_texts(*each)) for each in zip(tools, replies, reads, strict=True)]
        stems.learn({word for parts in texts for _, words in parts for word in words})
        self._counts = _counted(texts, stems)
        self._sorted = sorted(self._counts)
        self._rarity = {stem: self._rare(sum(counts.values())) for stem, counts in self._counts.items()}
        self._about = [[set(stems.of(words).values()) for _, words in parts[:2]] for parts in texts]
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

        def rank(number: int) -> tuple[float, int, int]:
            return -scores[number], self._tools[number].operation.path.count("/"), number

        fits = exact is not None or covered >= FITTING
        return Found([self._tools[number] for number in sorted(scores, key=rank)], fits)

    def _scores(self, question: str) -> tuple[dict[int, float], float]:
        """Return how well each tool fits that has any of the words, and what share of them the best one has."""
        whole = 0.0
        scores: dict[int, float] = defaultdict(float)
        covered: dict[str, float] = {}
        asked, pairs = self._asked(question)
        for stems in (*asked, *pairs):
            found = self._found(stems)
            covered |= {stem: max(good, covered.get(stem, 0.0)) for stem, good in stems.items()}
            rarity = self._rare(sum(found.values()))
            whole += rarity if found else 0
            for number, counts in found.items():
                scores[number] += counts * rarity
        best = max(scores.values(), default=0.0) / whole if whole else 0.0
        if not all(self._counts.keys() & {stem for stem, good in stems.items() if good == 1} for stems in asked):
            # A word that the document lacks is often the name of something that has to be found first.
            for number in self._finders:
                scores[number] += WEIGHT_OF_PATH * self._rare(len(self._finders))
        return {number: score * (UNASKED + self._share(number, covered)) for number, score in scores.items()}, best

    def _asked(self, question: str) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """Return the stems for each word of a question, and of each two neighbours, each with how good it is."""
        words = split(question)
        telling = list(dict.fromkeys(word for word in words if word not in SILENT_WORDS)) or words
        meant, pairs = [*map(alike, telling)], [{word: 1.0} for word in compounds(telling)]
        stem_of = self._stems.of({word for each in (*meant, *pairs) for word in each})
        return [self._widened(each, stem_of) for each in meant], [self._widened(each, stem_of) for each in pairs]

    def _widened(self, words: Mapping[str, float], stem_of: Mapping[str, str]) -> dict[str, float]:
        """Return the stems of words that mean the same, and those that begin alike, each with how good it is."""
        stems: dict[str, float] = {}
        for word, good in words.items():
            if word in stem_of:
                stems[stem_of[word]] = max(good, stems.get(stem_of[word], 0.0))
        return {
            **{near: WEIGHT_OF_PREFIX for stem, good in stems.items() if good == 1 for near in self._near(stem)},
            **stems,
        }

    def _near(self, stem: str) -> Iterator[str]:
        """Yield the stems in the document that begin with this one, and those that it begins with."""
        if len(stem) < MIN_PREFIX:
            return
        yield from takewhile(lambda other: other.startswith(stem), self._sorted[bisect_left(self._sorted, stem) :])
        yield from (stem[:length] for length in range(MIN_PREFIX, len(stem)) if stem[:length] in self._counts)

    def _found(self, stems: Mapping[str, float]) -> dict[int, float]:
        """Return the tools that have any of the stems, each with how much the best of them counts there."""
        found: dict[int, float] = {}
        for stem, good in stems.items():
            for number, counts in self._counts.get(stem, {}).items():
                found[number] = max(found.get(number, 0.0), good * counts)
        return found

    def _rare(self, having: float) -> float:
        """Return how much a word counts that so many tools have."""
        return math.log1p(len(self._tools) / max(having, 1.0))

    def _share(self, number: int, covered: Mapping[str, float]) -> float:
        """Return how much of what a tool is about was asked for: of its name or of its title."""
        best = 0.0
        for about in self._about[number]:
            whole = sum(self._rarity[stem] for stem in about)
            asked = sum(covered[stem] * self._rarity[stem] for stem in about & covered.keys())
            best = max(best, asked / whole if whole else 0.0)
        return best

    def _lend(self, scores: dict[int, float]) -> dict[int, float]:
        """Return the scores with those of producers raised to nearly those of the tools that need them."""
        raised = dict(scores)
        for number in heapq.nlargest(LENDING, scores, key=scores.__getitem__):
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
    yield WEIGHT_OF_DESCRIPTION, split(f"{operation.description} {tool.curation.description or ''}")
    yield (
        WEIGHT_OF_FIELD,
        [*split(" ".join(parameter.name for parameter in operation.parameters)), *body.names, *reply.names],
    )
    described = (*(parameter.description for parameter in operation.parameters), *map(read.tags.get, operation.tags))
    yield WEIGHT_OF_DETAIL, [*split(" ".join(filter(None, described))), *body.details, *taken.details, *reply.details]


def _names(tool: Tool) -> Iterable[str]:
    operation = tool.operation
    return map(join_words, (tool.name, operation.operation_id or tool.name, f"{operation.method} {operation.path}"))

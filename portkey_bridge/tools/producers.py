"""Which operations produce the identifiers that another one needs in its path.

An operation on `/artists/{artist_id}/albums` needs what `GET /artists` or `GET /search/artists` answers. Links of the
document are certain; paths and the fields of answers are strong hints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from portkey_bridge.openapi.model import TEMPLATE_VARIABLE, Operation
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.tools.vocabulary import Stems, join_words, split

#: How likely each kind of operation is to be the one that produces an identifier.
LINKED, COLLECTION, SEARCHED, SUBJECT, FIELD, CREATED = 1.0, 0.95, 0.95, 0.85, 0.7, 0.6

#: Words of a variable's name that do not say what it identifies.
_GENERIC = frozenset("id ids key name slug number num no pk uuid guid hash code ref or of by identifier".split())

#: Names of paths and parameters by which a thing is found.
_SEARCHES = frozenset("search lookup find query q term keyword keywords".split())

#: Methods that answer with what exists.
_READS = ("GET", "QUERY")


class _Need(NamedTuple):
    """A variable of a path: its name, the path before it, and the words of its name that say what it identifies."""

    name: str
    prefix: str
    words: tuple[str, ...]


class Producers:
    """The producers among `operations`, whose answers have words of `fields` and whose links lead to `targets`."""

    def __init__(
        self,
        operations: Sequence[Operation],
        fields: Sequence[Collection[str]],
        targets: Sequence[Collection[str]],
        stems: Stems,
    ) -> None:
        self._operations = operations
        self._stem = stems.of(word for operation in operations for word in split(operation.path))
        self._by_subject: dict[str, set[int]] = defaultdict(set)
        self._by_field: dict[str, set[int]] = defaultdict(set)
        self._by_path: dict[str, set[int]] = defaultdict(set)
        self._by_target: dict[str, set[int]] = defaultdict(set)
        self._finders = {number for number, operation in enumerate(operations) if finds_by_words(operation)}
        self._known: dict[_Need, dict[int, float]] = {}
        self._subjects = [self._subject(operation) for operation in operations]
        for number, subject in enumerate(self._subjects):
            self._by_path[operations[number].path.rstrip("/")].add(number)
            for stem in subject:
                self._by_subject[stem].add(number)
            for field in fields[number]:
                self._by_field[field].add(number)
            for target in targets[number]:
                self._by_target[unquote(target)].add(number)

    def of(self, number: int) -> Iterator[dict[int, float]]:
        """Yield for each variable of an operation's path the operations that may produce it, and how likely each is."""
        operation = self._operations[number]
        keys = (operation.operation_id or "", f"#{pointer_to(('paths', operation.path, operation.method.lower()))}")
        linked = {other: LINKED for key in keys for other in self._by_target.get(key, ())}
        for need in _needs(operation.path):
            if need not in self._known:
                self._known[need] = {other: self._likelihood(other, need) for other in self._possible(need)}
            yield {other: likely for other, likely in (self._known[need] | linked).items() if other != number}

    def _possible(self, need: _Need) -> set[int]:
        """Return the operations that may produce it: they do not need it themselves."""
        thing = self._thing(need)
        named = self._by_field.get(join_words(need.name), set()) if need.words else set()
        about = set.intersection(*(self._by_subject.get(stem, set()) for stem in thing)) if thing else set()
        used = f"{need.prefix}/{{{need.name}}}"
        before = self._by_path.get(need.prefix, set())
        return {number for number in named | about | before if not self._operations[number].path.startswith(used)}

    def _likelihood(self, number: int, need: _Need) -> float:
        operation = self._operations[number]
        is_before = operation.path.rstrip("/") == need.prefix
        is_about = self._subjects[number] >= self._thing(need)
        if operation.method not in _READS and number not in self._finders:
            return CREATED if operation.method == "POST" and (is_about or is_before) else 0.0
        if is_before:
            return COLLECTION
        if not is_about:
            return FIELD
        return SEARCHED if number in self._finders else SUBJECT

    def _thing(self, need: _Need) -> frozenset[str]:
        """Return the stems of what a variable identifies: the words of its name, or the segment before it."""
        words = need.words or split(need.prefix.rpartition("/")[2])
        return frozenset(self._stem[word] for word in words if word in self._stem)

    def _subject(self, operation: Operation) -> frozenset[str]:
        """Return the stems of what an operation answers with: the words behind the last variable of its path."""
        behind = TEMPLATE_VARIABLE.split(operation.path)[-1]
        return frozenset(self._stem[word] for word in split(behind) if word in self._stem)


def _needs(path: str) -> Iterator[_Need]:
    for variable in TEMPLATE_VARIABLE.finditer(path):
        words = tuple(word for word in split(variable[1]) if word not in _GENERIC)
        yield _Need(variable[1], path[: variable.start()].rstrip("/"), words)


def finds_by_words(operation: Operation) -> bool:
    """Check whether an operation finds things by words."""
    names = {parameter.name.lower() for parameter in operation.parameters if parameter.location == "query"}
    return bool(_SEARCHES & {*split(operation.path), *names})

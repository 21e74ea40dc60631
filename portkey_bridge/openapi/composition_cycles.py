"""Breaks schema cycles that do not consume input: validators and readers would never come to an end there.

Recursion through `properties` or `items` is fine, since the value gets smaller. A circle of keywords that all speak of
the same value is not: `Pet: {oneOf: [Cat]}` and `Cat: {allOf: [Pet]}` is how many documents write inheritance. Such a
circle is opened at one `$ref`, which becomes what it names, without the keyword by which the circle goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portkey_bridge.document.repairs import Repairs
from portkey_bridge.errors import DanglingReference, DocumentError
from portkey_bridge.openapi.keywords import UNIONS, SchemaObject
from portkey_bridge.openapi.pointers import lookup
from portkey_bridge.openapi.resources import DocumentNode

#: The keywords whose schemas speak of the same value (JSON Schema 2020-12 core section 10.2), besides `$ref`.
LISTS = ("allOf", "anyOf", "oneOf")
SINGLE = ("not", "if", "then", "else")
APPLIED_IN_PLACE = frozenset({"$ref", "dependentSchemas", *LISTS, *SINGLE})

#: Schemas that may speak of the same value, one inside the other, and all of them, each as often as it is named:
#: a validator visits them all.
MAX_LEVELS = 100
MAX_WEIGHT = 20_000

#: Steps for each schema; a document that needs more was made to take long.
MAX_STEPS = 50


@dataclass
class _Step:
    """A schema on the way, the keyword that leads on from it, and what is still to be visited."""

    schema: SchemaObject
    rest: Iterator[tuple[str, SchemaObject]]
    keyword: str = ""
    height: int = 0
    weight: int = 0

    def add(self, size: tuple[int, int]) -> None:
        self.height = max(self.height, size[0])
        self.weight += size[1]


def break_cycles(root: Any, schemas: Collection[DocumentNode], repairs: Repairs) -> None:
    """Open every circle among schemas, in place. References are local and lead somewhere.

    Raises DocumentError for a document with so many circles that opening them would take long.
    """
    composed = {id(place.value): place for place in schemas if not APPLIED_IN_PLACE.isdisjoint(place.value)}
    search = _Search(root, composed, MAX_STEPS * (len(schemas) + 100), repairs)
    for place in composed.values():
        search.visit(place.value)


class _Search:
    """A depth-first search among `composed` schemas, by their identities.

    `sizes` has the levels and weights of schemas that are done, `path` those on the way.
    """

    def __init__(self, root: Any, composed: Mapping[int, DocumentNode], steps: int, repairs: Repairs) -> None:
        self.root = root
        self.composed = composed
        self.repairs = repairs
        self.sizes: dict[int, tuple[int, int]] = {}
        self.path: list[_Step] = []
        self.targets: dict[str, Any] = {}
        self.places: dict[int, int] = {}
        self.steps = steps

    def visit(self, schema: SchemaObject) -> None:
        if id(schema) not in self.sizes:
            self.enter(schema)
        while self.path:
            self.go_on(self.path[-1])

    def enter(self, schema: SchemaObject) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise DocumentError(
                "the document", "its schemas contain too many cycles", "Break the cycles in its references."
            )
        self.places[id(schema)] = len(self.path)
        self.path.append(_Step(schema, self.edges(schema)))

    def go_on(self, step: _Step) -> None:
        for keyword, child in step.rest:
            step.keyword = keyword
            if id(child) in self.places:
                self.open_cycle(self.places[id(child)])
                return
            if id(child) not in self.sizes:
                self.enter(child)
                return
            step.add(self.sizes[id(child)])
        self.leave(step)

    def leave(self, step: _Step) -> None:
        self.drop(step)
        if (step.height >= MAX_LEVELS or step.weight >= MAX_WEIGHT) and "$ref" in step.schema:
            del step.schema["$ref"]
            step.height = step.weight = 0
            self.say("schemas are composed of too many others; any value is accepted for a $ref", step.schema)
        size = self.sizes[id(step.schema)] = (step.height + 1, step.weight + 1)
        if self.path:
            self.path[-1].add(size)

    def drop(self, step: _Step) -> None:
        self.path.pop()
        del self.places[id(step.schema)]

    def open_cycle(self, start: int) -> None:
        """Open the circle of the steps from `start` on, best where it goes on through a union, and go back there."""
        circle = range(start, len(self.path))
        entered = [at for at in circle if self.path[at - 1 if at > start else -1].keyword == "$ref"]
        if not entered:
            raise DocumentError(
                "the document", "its schemas contain too many nested cycles", "Break the cycles in its references."
            )
        at = next((at for at in entered if self.path[at].keyword in UNIONS), entered[0])
        before = at - 1 if at > start else len(self.path) - 1
        target, holder = self.path[at], self.path[before]
        outcome = {
            keyword: value
            for keyword, value in target.schema.items()
            if keyword != target.keyword and not (target.keyword in UNIONS and keyword == "discriminator")
        }
        if target.keyword not in UNIONS:
            self.say("a schema refers directly to itself; the reference is ignored", holder.schema)
        negated = before > 0 and self.path[before - 1].keyword == "not"
        _put(holder.schema, {"not": {}} if negated else outcome)
        while self.path[-1] is not holder:
            self.drop(self.path[-1])
        holder.rest, holder.height, holder.weight = self.edges(holder.schema), 0, 0

    def edges(self, schema: SchemaObject) -> Iterator[tuple[str, SchemaObject]]:
        """Yield the schemas that speak of the same value, each with its keyword."""
        if schema.keys().isdisjoint(APPLIED_IN_PLACE):
            return iter(())
        found: list[tuple[str, Any]] = []
        if "$ref" in schema:
            try:
                found.append(("$ref", self.target(schema["$ref"])))
            except DanglingReference:
                del schema["$ref"]  # what is left after a circle through a place that the schema itself holds
        for keyword in LISTS:
            found.extend((keyword, child) for child in schema.get(keyword, ()))
        found.extend((keyword, schema.get(keyword)) for keyword in SINGLE)
        found.extend(("dependentSchemas", child) for child in schema.get("dependentSchemas", {}).values())
        return iter([(keyword, child) for keyword, child in found if isinstance(child, dict)])

    def target(self, reference: str) -> Any:
        if reference not in self.targets:
            self.targets[reference] = lookup(self.root, reference)
        return self.targets[reference]

    def say(self, problem: str, schema: SchemaObject) -> None:
        place = self.composed.get(id(schema))
        self.repairs.add(problem, place.reference if place else "#")


def _put(holder: SchemaObject, schema: SchemaObject) -> None:
    """Replace the `$ref` of the holder by a schema."""
    del holder["$ref"]
    if holder.keys().isdisjoint(schema):
        holder.update(schema)
    elif schema:
        holder["allOf"] = [*holder.get("allOf", ()), schema]

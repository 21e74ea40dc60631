"""Every reference becomes a pointer in the one root: `$ref`, `$dynamicRef`, and those in a discriminator's mapping.

The walk visits what is reachable, each value once, knowing what kind of object it is: a `$ref` hands its own kind on to
its target. References are read in the document as it is, and all rewritten at the end.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from portkey_bridge.errors import DanglingReference
from portkey_bridge.objects import children
from portkey_bridge.repairs import Repairs, printable
from portkey_bridge.resources import Place, Resources

Found = list[tuple[str, Place]]
"""Objects with their kinds, in the order in which a walk met them."""

#: References to references that are followed to see what a parameter is.
MAX_LINKS = 20

#: What a security requirement is that names no scheme.
URI = re.compile(r"[#/]")


def localize(resources: Resources, repairs: Repairs) -> Found:
    """Rewrite every reference in place, and give every reachable object of the specification, once, with its kind.

    A schema whose reference leads nowhere accepts everything. Other such references stay, and cost what uses them.
    """
    walk = _Walk(resources, repairs)
    walk.meet("openapi", resources.main)
    for kind, place in walk.found:
        walk.read(kind, place)
    for value, taken, given in walk.changes:
        for keyword in taken:
            value.pop(keyword, None)
        value.update(given)
    return walk.found


class _Walk:
    """`found` grows while it is read. `changes` are objects, what is taken from them, and what they are given.

    `ends` has mere references that others lead to, by their identities, each with the place at which it ends.
    """

    def __init__(self, resources: Resources, repairs: Repairs) -> None:
        self.resources = resources
        self.repairs = repairs
        components = resources.main.value.get("components")
        self.schemes = components.get("securitySchemes") or {} if isinstance(components, dict) else {}
        self.found: Found = []
        self.seen: set[tuple[str, int]] = set()
        self.ends: dict[int, Place] = {}
        self.changes: list[tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = []

    def meet(self, kind: str, place: Place) -> None:
        if isinstance(place.value, dict) and (kind, id(place.value)) not in self.seen:
            self.seen.add((kind, id(place.value)))
            self.found.append((kind, place))

    def read(self, kind: str, place: Place) -> None:
        if isinstance(place.value.get("$ref"), str):
            self.reference(kind, place)
        if kind == "schema":
            self.dynamic_reference(place)
            self.mapping(place)
        if kind in ("openapi", "operation"):
            self.security(place)
        for kind_below, tokens, child in children(kind, place.value):
            if isinstance(child, dict):
                self.meet(kind_below, place.below(tokens, child))

    def reference(self, kind: str, place: Place) -> None:
        value = place.value
        target = self.target(kind, place, value["$ref"])
        if target is None:
            return
        if kind == "parameter" and "in" in value and self.is_no_parameter(target):
            self.repairs.add("a parameter's $ref names a schema, and is read as its schema", f"#{place.pointer}")
            self.changes.append((value, ("$ref",), {"schema": {"$ref": f"#{target.pointer}"}}))
            kind = "schema"
        else:
            self.changes.append((value, (), {"$ref": f"#{self.end(target).pointer}"}))
        self.meet(kind, target)

    def target(self, kind: str, place: Place, reference: str) -> Place | None:
        try:
            return self.resources.resolve(reference, place.base)
        except DanglingReference as error:
            if kind == "schema":
                # Under `not`, to accept everything is to say that nothing fits.
                self.changes.append((place.value, ("$ref",), {"not": {}} if place.path[-1:] == ("not",) else {}))
                problem = f"{printable(reference, 200)}: {error.problem}; any value is accepted in its place"
                self.repairs.add(problem, f"#{place.pointer}")
            return None

    def end(self, place: Place) -> Place:
        """Give where a reference to a place ends: where that is a mere reference, at what it leads to.

        However long a chain of references is, each of them is passed once. A circle of references is one with itself.
        """
        passed: set[int] = set()
        with suppress(DanglingReference):
            while _is_mere_reference(place.value) and id(place.value) not in passed:
                passed.add(id(place.value))
                known = self.ends.get(id(place.value))
                place = known or self.resources.resolve(place.value["$ref"], place.base)
        self.ends.update(dict.fromkeys(passed, place))
        return place

    def is_no_parameter(self, place: Place) -> bool:
        """Tell whether a reference ends at something that has no `in`."""
        for _ in range(MAX_LINKS):
            reference = place.value.get("$ref") if isinstance(place.value, dict) else None
            if not isinstance(reference, str):
                return not (isinstance(place.value, dict) and "in" in place.value)
            try:
                place = self.resources.resolve(reference, place.base)
            except DanglingReference:
                return False
        return False

    def dynamic_reference(self, place: Place) -> None:
        """Read a `$dynamicRef` as a `$ref`. Where several schemas have its anchor, any of them may be meant."""
        reference = place.value.get("$dynamicRef")
        if not isinstance(reference, str):
            return
        targets = [target for target in self.resources.dynamic(reference) if target.value.get("not") != {}]
        first = self.target("schema", place, reference)
        if first is not None and (not targets or "$dynamicAnchor" not in first.value):
            targets = [first]
        for target in targets:
            self.meet("schema", target)
        references = [{"$ref": f"#{target.pointer}"} for target in targets]
        outcome: dict[str, Any] = references[0] if len(references) == 1 else {"anyOf": references}
        if not references:
            outcome = {}
        elif not place.value.keys().isdisjoint(outcome):
            outcome = {"allOf": [*place.value.get("allOf", ()), outcome]}
        self.changes.append((place.value, ("$dynamicRef",), outcome))

    def security(self, place: Place) -> None:
        """Make the URIs among the security requirements pointers; a declared name goes before (OpenAPI 3.2 4.30)."""
        requirements = place.value.get("security")
        for requirement in requirements if isinstance(requirements, list) else ():
            keys = requirement if isinstance(requirement, dict) else ()
            uris = [key for key in keys if URI.search(key) and key not in self.schemes]
            for key in uris:
                with suppress(DanglingReference):
                    target = self.resources.resolve(key, place.base)
                    self.changes.append((requirement, (key,), {f"#{target.pointer}": requirement[key]}))
                    self.meet("security-scheme", target)

    def mapping(self, place: Place) -> None:
        """Make the values of a discriminator's mapping references; a mere name is a schema's (OpenAPI 3.2 4.25.2)."""
        discriminator = place.value.get("discriminator")
        mapping = discriminator.get("mapping") if isinstance(discriminator, dict) else None
        if not isinstance(mapping, dict):
            return
        for value, name in mapping.items():
            target = self.mapped(place, name) if isinstance(name, str) else None
            if target is not None:
                self.meet("schema", target)
                self.changes.append((mapping, (), {value: f"#{self.end(target).pointer}"}))

    def mapped(self, place: Place, name: str) -> Place | None:
        components = [] if "/" in name or "#" in name else [f"#/components/schemas/{name}"]
        for reference in (*components, name):
            try:
                return self.resources.resolve(reference, place.base)
            except DanglingReference:
                continue
        return None


def _is_mere_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"$ref"} and isinstance(value["$ref"], str)

"""One level of a schema at a time, as a reader should meet it: its *shape*.

A shape has no `$ref`, `allOf` is merged as far as merging loses nothing, `oneOf` reads `anyOf`, `const` reads `enum`,
and a list of types is split into `anyOf`. Where a union has a discriminator, each branch says which value means it. The
subschemas are the document's own schemas, never copied: each is a shape of its own when somebody asks. That is why
recursion costs nothing, and why pointers into the view stay valid.

A shape accepts every value that the schema accepts for a request: properties that are `readOnly` are left out. For an
answer it is those that are `writeOnly` (OpenAPI 3.0.4 section 4.7.24.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from portkey_bridge.openapi.inheritance import CHILDREN, FAMILIES, PARENT
from portkey_bridge.openapi.keywords import UNIONS, Schema, Shape, with_value
from portkey_bridge.openapi.pointers import decode_token, lookup
from portkey_bridge.openapi.spec_tables import APPLICATORS
from portkey_bridge.schema.merging import NO_VALUE, merge, split_types

#: Keywords that stay as they are in the shape of a schema that has no others: most schemas are such.
UNCHANGED_KEYWORDS = frozenset(with_value("number", "count", "truth", "text", "string", "object")) - {
    "$ref",
    "$dynamicRef",
} | {*("type", "enum", "default", "examples", "multipleOf")}

#: Keywords that `unevaluatedProperties` and `unevaluatedItems` look into; a view cannot show their effect then.
SEEN_BY_UNEVALUATED = frozenset({"anyOf", "allOf", "if", "dependentSchemas", "contains"})

#: Keywords that say nothing about values themselves.
COMPOSING = frozenset({"$ref", "allOf"})

#: The schema of what nothing is said about: one object, since shapes are known by their schemas' identities.
ANYTHING: Shape = {}


class Shapes:
    """The shapes of one document's schemas. Each is made once, however many ways lead to it.

    `hidden` is the keyword that marks the properties to leave out: `writeOnly` gives the shapes of answers.
    """

    def __init__(self, root: dict[str, Any], *, hidden: str = "readOnly") -> None:
        self.root = root
        self._hidden = hidden
        self._targets: dict[str, Schema] = {}
        # Both hold the schemas, so that their identities stay theirs.
        self._by_schema: dict[int, tuple[Schema, Shape]] = {}
        self._by_conjuncts: dict[tuple[int, ...], tuple[list[Shape], Shape]] = {}
        self._discriminated: dict[int, tuple[Shape, Shape]] = {}
        self._families = {id(family): family for family in root.get(FAMILIES, {}).values()}
        self._unions: dict[int, tuple[Shape, Shape]] = {}
        self._names: dict[int, tuple[Schema, frozenset[str]]] = {}

    def __call__(self, schema: Schema) -> Shape:
        """Return the shape of `schema`. It is shared: do not change it.

        Schemas that say the same by way of the same parts have one shape; that is how recursion is recognised.
        """
        known = self._by_schema.get(id(schema))
        if known is None:
            known = self._by_schema[id(schema)] = (schema, self.once(schema))
        return known[1]

    def once(self, schema: Schema) -> Shape:
        """Return the shape of a schema that nothing refers to, and keep nothing of it. What it refers to is shared."""
        conjuncts = self._conjuncts(schema)
        if len(conjuncts) == 1:
            return self._make(conjuncts) if conjuncts[0] is schema else self(conjuncts[0])
        key = tuple(map(id, conjuncts))
        if key not in self._by_conjuncts:
            self._by_conjuncts[key] = (conjuncts, self._make(conjuncts))
        return self._by_conjuncts[key][1]

    def target(self, reference: str) -> Schema:
        """Return the schema that a local reference names. Raises DanglingReference."""
        if reference not in self._targets:
            self._targets[reference] = lookup(self.root, reference)
        return self._targets[reference]

    def alternatives(self, schema: Schema) -> list[Shape]:
        """Return the shape of a schema, and those of its alternatives."""
        shape = self(schema)
        return [shape, *map(self, shape.get("anyOf", ()))]

    def of_items(self, schema: Schema) -> Schema:
        """Return the schema of an array's items, also where the array is one of several alternatives."""
        return next((branch["items"] for branch in self.alternatives(schema) if "items" in branch), ANYTHING)

    def of_property(self, schema: Schema, name: str) -> Schema:
        """Return the schema of a property: its own, in an alternative, or that of properties without one."""
        for branch in self.alternatives(schema):
            if name in branch.get("properties", ()):
                of_name: Schema = branch["properties"][name]
                return of_name
        further = (branch.get("additionalProperties") for branch in self.alternatives(schema))
        return next(filter(None, further), ANYTHING)

    def names(self, schema: Schema) -> frozenset[str]:
        """Return the names of all properties that a schema declares for a value: itself, and where one part applies."""
        if id(schema) not in self._names:
            self._names[id(schema)] = (schema, self._names_among(self._conjuncts(schema)))
        return self._names[id(schema)][1]

    def writable_names(self, schema: Schema) -> frozenset[str]:
        """Return those of `names` that a request may have."""
        return frozenset(name for name in self.names(schema) if not self.cannot_have(schema, name))

    def _names_among(self, conjuncts: list[Shape]) -> frozenset[str]:
        return frozenset(name for name, _ in self._declared(conjuncts))

    def _declared(self, conjuncts: list[Shape]) -> Iterator[tuple[str, Schema]]:
        """Yield the properties that schemas declare for a value that all hold for, also where one part applies."""
        seen: set[int] = set()
        waiting = list(conjuncts)
        while waiting:
            conjunct = waiting.pop()
            if id(conjunct) in seen:
                continue
            seen.add(id(conjunct))
            yield from conjunct.get("properties", {}).items()
            parts = [part for union in UNIONS for part in conjunct.get(union, ())]
            parts += [conjunct[branch] for branch in ("then", "else") if branch in conjunct]
            parts += conjunct.get("dependentSchemas", {}).values()
            waiting += [each for part in parts for each in self._conjuncts(part)]

    def cannot_have(self, schema: Schema, name: str) -> bool:
        """Check whether no request has a property of this name, though `schema` may require it.

        It is `readOnly`, or the schema that requires it refuses it: a slip that would make every call impossible.
        """
        return self._cannot_have(self._conjuncts(schema), name)

    def _cannot_have(self, conjuncts: list[Shape], name: str) -> bool:
        named = [conjunct["properties"][name] for conjunct in conjuncts if name in conjunct.get("properties", ())]
        if named:
            return any(map(self.is_hidden, named))
        inside = [schema for other, schema in self._declared(conjuncts) if other == name]
        if inside:
            return all(map(self.is_hidden, inside))
        return any(
            conjunct.get("additionalProperties") is False and "patternProperties" not in conjunct
            for conjunct in conjuncts
        )

    def _hides(self, conjuncts: list[Shape], name: str) -> bool:
        """Check whether a property is left out. One that any part of an `allOf` declares as writable is offered."""
        declared = (conjunct["properties"][name] for conjunct in conjuncts if name in conjunct.get("properties", ()))
        return all(map(self.is_hidden, declared))

    def _make(self, conjuncts: list[Shape]) -> Shape:
        if len(conjuncts) == 1 and conjuncts[0].keys() <= UNCHANGED_KEYWORDS:
            return split_types(conjuncts[0])
        shape = split_types(merge(map(self._with_values, conjuncts)))
        if SEEN_BY_UNEVALUATED & shape.keys():
            shape = {keyword: value for keyword, value in shape.items() if not keyword.startswith("unevaluated")}
        is_closed = "anyOf" in shape and shape.get("additionalProperties") is False
        if is_closed and self._names_among(conjuncts) - shape.get("properties", {}).keys():
            del shape["additionalProperties"]  # a view cannot show which properties it is about
        if "required" in shape:
            shape["required"] = [name for name in shape["required"] if not self._cannot_have(conjuncts, name)]
        if "properties" in shape:
            properties = shape["properties"].items()
            shape["properties"] = {name: schema for name, schema in properties if not self._hides(conjuncts, name)}
        return shape

    def _with_values(self, conjunct: Shape) -> Shape:
        """Return the schema with branches that say which value of its discriminator means them, if it has one.

        It is made once, so that a branch that leads back here is recognised.
        """
        if not isinstance(conjunct.get("discriminator"), dict) or UNIONS.isdisjoint(conjunct):
            return conjunct
        if id(conjunct) not in self._discriminated:
            told = {
                union: [self._with_value(branch, conjunct["discriminator"]) for branch in conjunct[union]]
                for union in UNIONS & conjunct.keys()
            }
            without = {keyword: value for keyword, value in conjunct.items() if keyword != "discriminator"}
            self._discriminated[id(conjunct)] = (conjunct, without | told)
        return self._discriminated[id(conjunct)][1]

    def _with_value(self, branch: Schema, discriminator: dict[str, Any]) -> Schema:
        values = [*map(json.dumps, self._values_of(branch, discriminator))]
        if isinstance(branch, dict) and discriminator.get("defaultMapping") == branch.get("$ref", ""):
            values.append("anything else, or missing")  # OpenAPI 3.2 section 4.25.1
        if not values or not isinstance(branch, dict):
            return branch
        said = f"{discriminator['propertyName']} is {' or '.join(values)}."
        own = next((conjunct["description"] for conjunct in self._conjuncts(branch) if "description" in conjunct), "")
        return {**branch, "description": f"{said} {own}".strip()}

    def _values_of(self, branch: Schema, discriminator: dict[str, Any]) -> list[Any]:
        """Return the values that mean a branch (OpenAPI 3.2 section 4.25).

        Those of the mapping, else the one that its own property allows, else the name of its schema.
        """
        reference = branch.get("$ref") if isinstance(branch, dict) else None
        mapped = [value for value, target in discriminator.get("mapping", {}).items() if target == reference]
        if mapped:
            return mapped
        allowed = self._allowed(branch, discriminator["propertyName"])
        if len(allowed) == 1 or not isinstance(reference, str):
            return allowed[:1] if len(allowed) == 1 else []
        name = decode_token(reference.rpartition("/")[2])
        return [name] if not allowed or name in allowed else []

    def _allowed(self, branch: Schema, name: str) -> list[Any]:
        """Return the values that a branch enumerates for one of its properties."""
        properties = (conjunct["properties"] for conjunct in self._conjuncts(branch) if "properties" in conjunct)
        schemas = [schema for each in properties if name in each for schema in self._conjuncts(each[name])]
        values = [[schema["const"]] if "const" in schema else schema.get("enum", []) for schema in schemas]
        return min(filter(None, values), key=len, default=[])

    def discriminator(self, schema: Schema) -> tuple[str, list[Schema]] | None:
        """Return the property that selects a child of a discriminated parent, and the children."""
        family, union = next(self._unions_among(self._conjuncts(schema)), (None, ANYTHING))
        if family is None:
            return None
        return family["discriminator"]["propertyName"], union["anyOf"][: len(family[CHILDREN])]

    def _unions_among(self, conjuncts: list[Shape]) -> Iterator[tuple[Shape, Shape]]:
        """Yield the families that are among the schemas that all hold, each with its union."""
        known = {id(union): family for family, union in self._unions.values()}
        return ((known[id(conjunct)], conjunct) for conjunct in conjuncts if id(conjunct) in known)

    def _union(self, family: Shape) -> Shape:
        """Return the union of a parent's children, and of what may be none of them. It is made once."""
        if id(family) not in self._unions:
            discriminator = family["discriminator"]
            union: Shape = {"anyOf": [ANYTHING]}
            self._unions[id(family)] = (family, union)
            told = [self._narrowed(child, family) for child in family[CHILDREN]]
            allowed = self._allowed(family[PARENT], discriminator["propertyName"])
            is_complete = allowed and discriminator["mapping"].keys() >= {*map(str, allowed)}
            otherwise = {"type": "object", "description": f"{discriminator['propertyName']} is anything else."}
            union["anyOf"] = told if is_complete else [*told, otherwise]
        return self._unions[id(family)][1]

    def _narrowed(self, child: Shape, family: Shape) -> Schema:
        """Return a child that says its values of the discriminator, in words and, if they are texts, as an `enum`."""
        told = self._with_value(child, family["discriminator"])
        name = family["discriminator"]["propertyName"]
        values = [value for value, mapped in family["discriminator"]["mapping"].items() if mapped == child["$ref"]]
        is_text = self(self.of_property(family[PARENT], name)).get("type", "string") == "string"
        if not isinstance(told, dict) or not values or not is_text:
            return told
        return {**told, "properties": {name: {"enum": values}}}

    def is_hidden(self, schema: Schema) -> bool:
        """Check whether a property of this schema is left out."""
        return any(conjunct.get(self._hidden) is True for conjunct in self._conjuncts(schema))

    def _conjuncts(self, schema: Schema) -> list[Shape]:
        """Return the schemas that all hold, the outermost first; what they refer to counts as one of them.

        One that comes again, through a circle or a second way, adds nothing.
        """
        if isinstance(schema, dict) and schema and COMPOSING.isdisjoint(schema) and id(schema) not in self._families:
            return [schema]
        conjuncts: list[Shape] = []
        seen: set[int] = set()
        waiting = [schema]
        while waiting:
            schema = waiting.pop()
            if schema is False:
                conjuncts.append(NO_VALUE)
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            if id(schema) in self._families:
                conjuncts.append(self._union(schema))
                waiting.append(schema[PARENT])
                continue
            if not schema.keys() <= COMPOSING:
                conjuncts.append(schema)
            waiting.extend(reversed(schema.get("allOf", ())))
            if isinstance(reference := schema.get("$ref"), str):
                waiting.append(self.target(reference))
        return conjuncts


def subschemas(shape: Shape) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Yield the schemas that a shape holds, each with its pointer's parts below the shape."""
    for keyword, value in shape.items():
        form = APPLICATORS.get(keyword)
        if form == "one" and isinstance(value, dict):
            yield (keyword,), value
        elif form == "list" and isinstance(value, list):
            yield from (((keyword, str(index)), schema) for index, schema in enumerate(value))
        elif form == "map" and isinstance(value, dict):
            yield from (((keyword, name), schema) for name, schema in value.items())

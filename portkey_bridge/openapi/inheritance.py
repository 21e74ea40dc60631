"""Children of a discriminated parent, which inherit from it by `allOf` (OpenAPI 3.2 section 4.25): a value may be any.

It is the only polymorphism of Swagger 2.0. A parent that has a `discriminator` and no union of its own says of a value
only what all its children have in common; which child is meant, the value says. Such a parent and the schemas below it
become a *family* under the key FAMILIES of the root: `if` the value names a child, `then` the child holds, `else` the
parent alone. Whatever refers to the parent refers to its family instead, except the children themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from portkey_bridge.document.repairs import Repairs
from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.keywords import UNIONS, SchemaObject
from portkey_bridge.openapi.pointers import decode_token, encode_token, follow
from portkey_bridge.openapi.resources import DocumentNode

#: The key of families in the root, and the keywords of a family that name its members.
FAMILIES, PARENT, CHILDREN = "x-families", "x-parent", "x-children"

#: Children of one parent that are told apart; of more, only what their parent says is known.
MAX_CHILDREN = 500

#: Maps whose members are schemas with names.
DEFINITION_MAPS = frozenset({"schemas", "definitions", "$defs"})

#: Extensions with which a child says its own value of the discriminator.
VALUE_EXTENSIONS = ("x-ms-discriminator-value", "x-discriminator-value")

#: Keywords with which a schema adds nothing to the parent that it refers to.
ADDING_NOTHING = frozenset({"title", "description", "type", "examples", "default", "deprecated", "xml", "externalDocs"})


def join_families(root: dict[str, Any], schemas: Sequence[DocumentNode], repairs: Repairs) -> None:
    """Add the families of all discriminated parents to the root, and refer to them, in place."""
    if any("discriminator" in place.value for place in schemas):
        _Inheritance(root, schemas, repairs).join()


class _Inheritance:
    """Who inherits from whom among the schemas of a document that have names, by their pointers."""

    def __init__(self, root: dict[str, Any], schemas: Sequence[DocumentNode], repairs: Repairs) -> None:
        self.root = root
        self.schemas = schemas
        self.repairs = repairs
        self.named = {place.reference: place.value for place in schemas if _is_named(place)}
        self.children: dict[str, list[str]] = {}
        self.inheriting: set[int] = set()
        for pointer, schema in self.named.items():
            for part in _parts(schema) if not _is_reference(schema) else ():
                if (parent := part.get("$ref")) in self.named and parent != pointer:
                    self.children.setdefault(parent, []).append(pointer)

    def join(self) -> None:
        families: dict[str, SchemaObject] = {}
        moved: dict[str, str] = {}
        for parent, discriminator in self.discriminated():
            family = self.family(parent, discriminator)
            if family:
                name = decode_token(parent.rpartition("/")[2])
                key = parent if name in families else name
                families[key] = family
                moved[parent] = f"#/{FAMILIES}/{encode_token(key)}"
        if families:
            self.refer(moved)
            self.root[FAMILIES] = families
        for parent in moved:
            self.named[parent].pop("discriminator", None)

    def discriminated(self) -> Iterator[tuple[str, SchemaObject]]:
        """Yield each schema that has a discriminator or inherits one, and no union, with the discriminator."""
        known: dict[str, SchemaObject] = {}
        for pointer, schema in self.named.items():
            if "discriminator" in schema and UNIONS.isdisjoint(schema):
                known[pointer] = schema["discriminator"]
                for below in self.below(pointer):
                    if "discriminator" not in self.named[below] and self.children.get(below):
                        known.setdefault(below, schema["discriminator"])
        yield from known.items()

    def below(self, pointer: str) -> list[str]:
        """Return all that inherit from a schema, also over several levels, in the document's order."""
        found: set[str] = set()
        waiting = [pointer]
        while waiting:
            new = [child for child in self.children.get(waiting.pop(), ()) if child not in found and child != pointer]
            found.update(new)
            waiting.extend(new)
        return [pointer for pointer in self.named if pointer in found] if found else []

    def family(self, parent: str, discriminator: SchemaObject) -> SchemaObject | None:
        mapping = discriminator.get("mapping", {})
        below = self.below(parent)
        kept = [child for child in below if not self.is_alias(child, mapping)]
        is_root = "discriminator" in self.named[parent]
        others = [target for target in mapping.values() if is_root and target != parent and target not in below]
        children = list(dict.fromkeys([*kept, *filter(self.exists, others)]))
        if len(children) > MAX_CHILDREN:
            self.repairs.add(f"more than {MAX_CHILDREN} schemas inherit from this one; they are not listed", parent)
            return None
        if not children:
            return None
        self.inheriting.update(id(part) for child in kept for part in _parts(self.named[child]))
        name = discriminator["propertyName"]
        values = {child: self.values(child, parent, name, mapping) for child in children}
        chosen = [(_is_one_of(name, values[child]), child) for child in children if values[child]]
        default = discriminator.get("defaultMapping") if discriminator.get("defaultMapping") in children else None
        told = {value: child for child, named in values.items() for value in named}
        return {
            "discriminator": {
                "propertyName": name,
                "mapping": told,
                **({"defaultMapping": default} if default else {}),
            },
            PARENT: {"$ref": parent},
            CHILDREN: [{"$ref": child} for child in children],
            "if": _is_one_of(name, list(told)),
            "then": {
                "allOf": [{"if": test, "then": _of_child(child, parent, child in below)} for test, child in chosen]
            },
            "else": {"$ref": default or parent},
        }

    def exists(self, reference: str) -> bool:
        with suppress(DanglingReference):
            return isinstance(follow(self.root, {"$ref": reference}), dict)
        return False

    def is_alias(self, pointer: str, mapping: dict[str, str]) -> bool:
        """Check whether a schema only repeats the parent under another name, although the children are listed."""
        if not mapping or pointer in mapping.values() or pointer in self.children:
            return False
        parts = list(_parts(self.named[pointer]))
        own = {key for part in parts for key in part if not key.startswith("x-")}
        return own <= ADDING_NOTHING | {"$ref", "allOf"} and sum("$ref" in part for part in parts) == 1

    def values(self, child: str, parent: str, name: str, mapping: dict[str, str]) -> list[str]:
        """Return the values that mean a child: those of the mapping, else its own only one, else its name."""
        if mapped := [value for value, target in mapping.items() if target == child]:
            return mapped
        schema = self.named.get(child, {})
        for keyword in VALUE_EXTENSIONS:
            if isinstance(value := schema.get(keyword), str) and value not in mapping:
                return [value]
        own = self.allowed(schema, name, with_default=True)
        if len(own) == 1:
            return [value for value in own if value not in mapping]
        allowed = self.allowed(self.named.get(parent, {}), name)
        called = decode_token(child.rpartition("/")[2])
        alike = [value for value in allowed if value.lower() == called.lower()]
        meant = alike if allowed and called not in allowed else [called]
        return [value for value in meant if value not in mapping][:1]

    def allowed(self, schema: SchemaObject, name: str, *, with_default: bool = False) -> list[str]:
        """Return the texts that a schema allows for one of its own properties; none if it does not say so."""
        for part in _parts(schema):
            own = part.get("properties", {}).get(name)
            with suppress(DanglingReference):
                own = follow(self.root, own)
            if isinstance(own, dict):
                listed = own.get("enum", [own["const"]] if "const" in own else [])
                texts = [value for value in listed if isinstance(value, str)]
                if not texts and with_default and isinstance(own.get("default"), str):
                    texts = [own["default"]]
                if texts:
                    return texts
        return []

    def refer(self, moved: dict[str, str]) -> None:
        """Let what refers to a parent refer to its family, except where a child inherits."""
        for place in self.schemas:
            schema = place.value
            if id(schema) not in self.inheriting and schema.get("$ref") in moved:
                schema["$ref"] = moved[schema["$ref"]]
            if not UNIONS.isdisjoint(schema) and "discriminator" in schema:
                for told in (schema["discriminator"], schema["discriminator"].get("mapping", {})):
                    told.update({key: moved[target] for key, target in told.items() if _is_key(target, moved)})


def _is_named(place: DocumentNode) -> bool:
    """Check whether a schema has a name: a definition, or a file of its own."""
    return len(place.path) >= 2 and (place.path[-2] in DEFINITION_MAPS or len(place.path) == len(place.base.path) == 2)


def _parts(schema: SchemaObject) -> Iterator[SchemaObject]:
    """Yield a schema and those that it is composed of in its own text."""
    waiting = [schema]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict) and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(reversed(part.get("allOf", ())))


def _is_reference(schema: SchemaObject) -> bool:
    """Check whether a schema is another one under a name of its own."""
    return "$ref" in schema and schema.keys() <= ADDING_NOTHING | {"$ref"}


def _is_key(value: Any, known: dict[str, str]) -> bool:
    return isinstance(value, str) and value in known


def _is_one_of(name: str, values: Sequence[str]) -> SchemaObject:
    listed = [*values, *filter(None.__ne__, map(_literal, values))]
    return {"type": "object", "required": [name], "properties": {name: {"enum": listed}}}


def _literal(value: str) -> Any:
    """Return the number or boolean that a value of a mapping means, whose keys are always texts."""
    with suppress(ValueError):
        read = json.loads(value)
        return read if isinstance(read, bool | int) else None
    return None


def _of_child(child: str, parent: str, inherits: bool) -> SchemaObject:
    return {"$ref": child} if inherits else {"allOf": [{"$ref": parent}, {"$ref": child}]}

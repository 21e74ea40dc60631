"""Every reference becomes a pointer in the one root: `$ref`, `$dynamicRef`, and those in a discriminator's mapping.

The walk visits what is reachable, each value once, knowing what kind of object it is: a `$ref` hands its own kind on to
its target. References are read in the document as it is, and all rewritten at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.document.repairs import Repairs, summarize
from portkey_bridge.errors import DanglingReference
from portkey_bridge.openapi.coercion import mapping, sequence
from portkey_bridge.openapi.object_cycles import break_object_cycles
from portkey_bridge.openapi.pointers import decode_token, encode_token, is_reference
from portkey_bridge.openapi.resources import DocumentNode, Resources
from portkey_bridge.openapi.spec_tables import FIELDS, LIST, ONE, children

FoundObjects = list[tuple[str, DocumentNode]]
"""Objects with their kinds, in the order in which a walk met them."""

#: Fields that tell a schema, and those that tell a Parameter, Request Body or Media Type Object.
OF_SCHEMAS = frozenset("type format properties additionalProperties items enum allOf anyOf oneOf".split())
OF_OTHERS = frozenset(("in", "content", "schema", "itemSchema"))

#: Prefixes of references in one version of the specification, and their equivalents in another.
EQUIVALENT_PREFIXES = (
    ("#/definitions/", "#/components/schemas/"),
    ("#/components/schemas/", "#/definitions/"),
    *((f"#/{kind}/", f"#/components/{kind}/") for kind in ("parameters", "responses")),
    *((f"#/components/{kind}/", f"#/{kind}/") for kind in ("parameters", "responses")),
)

#: Fields with maps and lists, by the kind of object that has them; there may be a `$ref` in their places.
FOLLOWED = {
    kind: frozenset(field for field, (shape, below) in fields.items() if shape != ONE or below == "components")
    for kind, fields in FIELDS.items()
}
FOLLOWED["openapi"] |= {"info", "servers", "security", "tags", "securityDefinitions"}
FOLLOWED["operation"] |= {"servers", "security", "tags"}
FOLLOWED["path-item"] |= {"servers"}
FOLLOWED["schema"] |= {"required", "enum"}
LIST_FIELDS = {"servers", "security", "tags", "required", "enum", "parameters"}
LIST_FIELDS |= {field for fields in FIELDS.values() for field, (shape, _) in fields.items() if shape == LIST}

#: Objects that contain a schema which was written instead of an object of this kind.
ENCLOSED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "parameter": lambda schema: {"schema": schema},
    "media-type": lambda schema: {"schema": schema},
    "request-body": lambda schema: {"content": {"application/json": {"schema": schema}}},
}

#: Fields of a Media Type Object, which are not media types, even where they are among these.
OF_MEDIA_TYPES = FIELDS["media-type"].keys() | {"example", "examples"}

#: The map of components, by the kind of object that it has.
COMPONENTS = {kind: field for field, (_, kind) in reversed(FIELDS["components"].items())}

#: Keywords of definitions, and maps whose names could be taken for keywords.
DEFINITIONS = ("$defs", "definitions")
MAPS_OF_SCHEMAS = [(name,) for name in ("schemas", "properties", "patternProperties", "dependentSchemas", *DEFINITIONS)]

#: Security requirements that are URIs instead of names of schemes.
URI = re.compile(r"[#/]")


def localize(resources: Resources, repairs: Repairs) -> FoundObjects:
    """Rewrite every reference in place, and return every reachable object of the specification, once, with its kind.

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
    if walk.followed:
        break_object_cycles([resources.main.value, resources.others], repairs)
    return walk.found


def _readings(reference: str) -> Iterator[str]:
    """Yield the possible targets of a reference: as another version has it, without a slip in slashes, a name alone."""
    uri, sharp, fragment = reference.partition("#")
    yield from (
        here + reference.removeprefix(there) for there, here in EQUIVALENT_PREFIXES if reference.startswith(there)
    )
    if fragment and not fragment.startswith("/"):
        yield f"{uri}#/{fragment}"
    if fragment.endswith("/"):
        yield f"{uri}#{fragment.rstrip('/')}"
    if not sharp:
        yield f"#/{reference.lstrip('/')}"
        yield from (f"#/{schemas}/{reference}" for schemas in ("components/schemas", "definitions"))


def _is_schema(value: Any) -> bool:
    """Check whether a value says what only schemas say, and nothing that objects say which have one."""
    return isinstance(value, dict) and OF_OTHERS.isdisjoint(value) and not OF_SCHEMAS.isdisjoint(value)


def _is_document(value: Any) -> bool:
    return isinstance(value, dict) and ("openapi" in value or "swagger" in value) and "paths" in value


def _schemas_around(place: DocumentNode) -> Iterator[DocumentNode]:
    """Yield the schemas that contain a schema, the outermost first."""
    base = place.base
    node = DocumentNode(base.root, base.path, base)
    for token in place.path[len(base.path) :]:
        if _is_schema(node.value) and node.path[-1:] not in MAPS_OF_SCHEMAS:
            yield node
        child = node.value[int(token)] if isinstance(node.value, list) else node.value[token]
        node = node.below((token,), child)


class _Walk:
    """`found` grows while it is read. `changes` are objects, what is taken from them, and what they are given.

    `ends` has mere references that others lead to, by their identities, each with the place at which it ends.
    """

    def __init__(self, resources: Resources, repairs: Repairs) -> None:
        self.resources = resources
        self.repairs = repairs
        self.schemes = mapping(mapping(resources.main.value.get("components")).get("securitySchemes"))
        self.found: FoundObjects = []
        self.seen: set[tuple[str, int]] = set()
        self.ends: dict[int, DocumentNode] = {}
        self.changes: list[tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = []
        self.followed = False

    def meet(self, kind: str, place: DocumentNode) -> None:
        if isinstance(place.value, dict) and (kind, id(place.value)) not in self.seen:
            self.seen.add((kind, id(place.value)))
            self.found.append((kind, place))

    def read(self, kind: str, place: DocumentNode) -> None:
        if kind in ("request-body", "media-type"):
            self.enclose(kind, place)
        if isinstance(place.value.get("$ref"), str):
            self.reference(kind, place)
        if kind in ("request-body", "response"):
            self.put_right_content(place)
        if kind == "schema":
            self.dynamic_reference(place)
            self.discriminator(place)
        if kind in ("openapi", "operation"):
            self.security(place)
        self.follow_fields(kind, place)
        for kind_below, tokens, child in children(kind, place.value):
            if isinstance(child, dict):
                self.meet(kind_below, place.below(tokens, child))

    def follow_fields(self, kind: str, place: DocumentNode) -> None:
        """Follow a `$ref` instead of a map or a list, which the specification does not allow but many documents use."""
        for field, value in place.value.items():
            if not is_reference(value) or field not in FOLLOWED.get(kind, ()):
                continue
            target = self.led_to(place, value["$ref"])
            if target is not None and field == "properties":
                target = self.properties(target)
            if target is None or not isinstance(target.value, list if field in LIST_FIELDS else dict):
                continue
            beside = {name: member for name, member in value.items() if name != "$ref"}
            followed = {**target.value, **beside} if beside and isinstance(target.value, dict) else target.value
            self.repairs.add(f"{field} is a $ref, which is not allowed there; it is followed", place.reference)
            self.changes.append((place.value, (), {field: followed}))
            self.followed = True
            for kind_below, tokens, child in children(kind, {field: target.value}):
                if isinstance(child, dict):
                    self.meet(kind_below, target.below(tokens[1:], child))

    def properties(self, place: DocumentNode) -> DocumentNode | None:
        """Return the properties of a schema that is named in their place, and else what is named."""
        own = place.value.get("properties") if isinstance(place.value, dict) else None
        if not isinstance(own, dict):
            return place
        return self.led_to(place, own["$ref"]) if is_reference(own) else place.below(("properties",), own)

    def led_to(self, place: DocumentNode, reference: str) -> DocumentNode | None:
        """Return what a reference leads to in the end; None where that is nowhere."""
        with suppress(DanglingReference):
            found = self.end(self.resources.resolve(reference, place.base))
            return None if is_reference(found.value) else found
        return None

    def enclose(self, kind: str, place: DocumentNode) -> None:
        """Wrap a schema that is written instead of an object of this kind; also a body's own `schema`."""
        value = place.value
        alone = value if _is_schema(value) else value.get("schema") if kind == "request-body" else None
        if isinstance(alone, dict) and "content" not in value:
            self.repairs.add(
                f"a {kind.replace('-', ' ')} is a schema; interpreted as one with that schema", place.reference
            )
            enclosed = ENCLOSED[kind](dict(alone))
            if alone is value:
                value.clear()
            value.update(enclosed)

    def put_right_content(self, place: DocumentNode) -> None:
        """Take fields of a Media Type Object out of the media types; without any, they are those of JSON."""
        content = place.value.get("content")
        misplaced = [name for name in mapping(content) if name in OF_MEDIA_TYPES]
        if misplaced:
            others = {name: value for name, value in content.items() if name not in OF_MEDIA_TYPES}
            place.value["content"] = others or {"application/json": content}
            instead = "left out" if others else "application/json is assumed"
            self.repairs.add(f"{', '.join(misplaced)} in content is not a media type; {instead}", place.reference)

    def reference(self, kind: str, place: DocumentNode) -> None:
        value = place.value
        target = self.target(kind, place, value["$ref"])
        if target is None:
            return
        if kind in ENCLOSED and _is_schema(self.end(target).value) and (kind != "parameter" or "in" in value):
            self.repairs.add(
                f"a {kind.replace('-', ' ')}'s $ref names a schema; interpreted as its schema", place.reference
            )
            self.changes.append((value, ("$ref",), ENCLOSED[kind]({"$ref": target.reference})))
            kind = "schema"
        else:
            self.changes.append((value, (), {"$ref": self.end(target).reference}))
        self.meet(kind, target)

    def target(self, kind: str, place: DocumentNode, reference: str) -> DocumentNode | None:
        try:
            return self.resolved(kind, place, reference)
        except DanglingReference as error:
            intended = self.enclosed(place, reference) if kind == "schema" else None
            if (intended := intended or self.meant(kind, place, reference)) is not None:
                return intended
            if kind == "schema":
                # Under `not`, to accept everything is to say that nothing fits.
                self.changes.append((place.value, ("$ref",), {"not": {}} if place.path[-1:] == ("not",) else {}))
                problem = f"{summarize(error.source, 200)}: {error.problem}; any value is accepted"
                self.repairs.add(problem, place.reference)
            return None

    def resolved(self, kind: str, place: DocumentNode, reference: str) -> DocumentNode:
        """Return the place that a reference names. Raises DanglingReference, also for a schema's that names none."""
        found = self.resources.resolve(reference, place.base)
        if kind == "schema" and _is_document(found.value):
            raise DanglingReference(reference, "it names the whole document")
        if kind == "schema" and (within := self.schema_within(self.end(found))):
            self.repairs.add("a schema's $ref names what has a schema; interpreted as that schema", place.reference)
            return within
        if kind == "schema" and not isinstance(self.end(found).value, dict | bool):
            raise DanglingReference(reference, "it names something that is not a schema")
        return found

    def schema_within(self, place: DocumentNode) -> DocumentNode | None:
        """Return the schema of a parameter, header, media type, body or response; None for any other object."""
        value = place.value
        if not isinstance(value, dict) or not OF_SCHEMAS.isdisjoint(value) or OF_OTHERS.isdisjoint(value):
            return None
        if isinstance(value.get("schema"), dict):
            return self.end(place.below(("schema",), value["schema"]))
        content = mapping(value.get("content"))
        name = next((name for name in content if media_types.JSON.match(name)), next(iter(content), None))
        inside = None if name is None else self.end(place.below(("content", name), content[name]))
        return self.schema_within(inside) if inside and inside.value != value else None

    def enclosed(self, place: DocumentNode, reference: str) -> DocumentNode | None:
        """Return what a reference names in a schema around it, as generators embed whole JSON Schemas.

        Definitions are those of the innermost schema that has them; all else is relative to the outermost. Of several
        `#` the last one begins the pointer.
        """
        before, _, fragment = reference.rpartition("#")
        keyword = fragment.partition("/")[2].partition("/")[0]
        around = [node for node in _schemas_around(place) if keyword not in DEFINITIONS or keyword in node.value]
        starts = around[::-1] if keyword in DEFINITIONS else around[:1]
        if before:
            named = self.led_to(place, before)
            starts = [named] if named else []
        for start in starts:
            with suppress(DanglingReference):
                found = self.resources.descend(start, fragment, reference)
                is_schema = isinstance(found.value, dict | bool) and not _is_document(found.value)
                if found.value is not place.value and is_schema:
                    self.repairs.add("a $ref is relative to the schema around it", place.reference)
                    return found
        return None

    def end(self, place: DocumentNode) -> DocumentNode:
        """Return where a reference to a place ends: where that is a mere reference, at what it leads to.

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

    def meant(self, kind: str, place: DocumentNode, reference: str) -> DocumentNode | None:
        """Return what a reference means that leads nowhere as it is written."""
        for other in (*_readings(reference), *self.named(kind, reference)):
            with suppress(DanglingReference):
                target = self.resolved(kind, place, other)
                self.repairs.add(
                    "a $ref is malformed; interpreted as the only target that it can mean", place.reference
                )
                return target
        return None

    def named(self, kind: str, reference: str) -> Iterator[str]:
        """Yield references to the only component that has the last name of a local reference, in any case."""
        uri, _, fragment = reference.partition("#")
        if (fragment and uri not in ("", ".", "./")) or kind not in COMPONENTS:
            return
        root, field = self.resources.main.value, COMPONENTS[kind]
        name = decode_token((fragment or uri).strip("/ ").rpartition("/")[2]).casefold()
        of_swagger = "definitions" if kind == "schema" else field
        for path, owner in ((f"components/{field}", mapping(root.get("components"))), (of_swagger, root)):
            same = [each for each in mapping(owner.get(path.rpartition("/")[2])) if each.casefold() == name]
            if len(same) == 1:
                yield f"#/{path}/{encode_token(same[0])}"

    def dynamic_reference(self, place: DocumentNode) -> None:
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
        references = [{"$ref": target.reference} for target in targets]
        outcome: dict[str, Any] = references[0] if len(references) == 1 else {"anyOf": references}
        if not references:
            outcome = {}
        elif not place.value.keys().isdisjoint(outcome):
            outcome = {"allOf": [*place.value.get("allOf", ()), outcome]}
        self.changes.append((place.value, ("$dynamicRef",), outcome))

    def security(self, place: DocumentNode) -> None:
        """Rewrite URIs in security requirements as pointers; declared names take precedence (OpenAPI 3.2 4.30)."""
        for requirement in sequence(place.value.get("security")):
            uris = [key for key in mapping(requirement) if URI.search(key) and key not in self.schemes]
            for key in uris:
                with suppress(DanglingReference):
                    target = self.resources.resolve(key, place.base)
                    self.changes.append((requirement, (key,), {target.reference: requirement[key]}))
                    self.meet("security-scheme", target)

    def discriminator(self, place: DocumentNode) -> None:
        """Make what a discriminator maps to references; a mere name is a schema's (OpenAPI 3.2 section 4.25.2)."""
        discriminator = mapping(place.value.get("discriminator"))
        targets = mapping(discriminator.get("mapping"))
        named = [(targets, value, name) for value, name in targets.items()]
        if "defaultMapping" in discriminator:
            named.append((discriminator, "defaultMapping", discriminator["defaultMapping"]))
        for owner, value, name in named:
            target = self.mapped(place, name) if isinstance(name, str) else None
            if target is not None:
                self.meet("schema", target)
                self.changes.append((owner, (), {value: self.end(target).reference}))

    def mapped(self, place: DocumentNode, name: str) -> DocumentNode | None:
        components = [] if "/" in name or "#" in name else [f"#/components/schemas/{name}"]
        for reference in (*components, name):
            try:
                return self.resources.resolve(reference, place.base)
            except DanglingReference:
                continue
        return None


def _is_mere_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"$ref"} and isinstance(value["$ref"], str)

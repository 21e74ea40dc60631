"""One schema of any dialect becomes JSON Schema 2020-12, one level at a time and in place.

OpenAPI 3.0 and Swagger 2.0 have a dialect of their own; many documents have a third one, out of habit or error. What a
keyword can't mean is left out, so that the schema accepts more and never less than was meant.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from portkey_bridge.document.repairs import Say, summarize
from portkey_bridge.openapi.keywords import KEYWORDS, SchemaObject

JSON_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})

#: Other names of types, in lower case: the type, and the format that expresses the rest.
OTHER_TYPES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("int", "int32", "int64", "long", "short", "byte", "bigint", "uint"), ("integer", None)),
    **dict.fromkeys(("float", "double", "decimal", "numeric", "real"), ("number", None)),
    **dict.fromkeys(("str", "text", "char", "enum", "email", "url", "uri", "password", "time"), ("string", None)),
    **dict.fromkeys(("bool",), ("boolean", None)),
    **dict.fromkeys(("map", "dict", "dictionary", "hash", "struct", "json"), ("object", None)),
    **dict.fromkeys(("list", "tuple"), ("array", None)),
    **dict.fromkeys(("none", "nil"), ("null", None)),
    "uuid": ("string", "uuid"),
    "date": ("string", "date"),
    **dict.fromkeys(("datetime", "date-time"), ("string", "date-time")),
    **dict.fromkeys(("file", "binary"), ("string", "binary")),
}

#: A regular expression literal of ECMAScript. As a pattern it matches nothing: no `/` precedes a start, or follows an
#: end. With a flag for letters of any case, it is one that has more than letters.
LITERAL = re.compile(r"/(\^.*|.*\$|(?=.*[\[\\(*+?{|]).+(?=/[a-z]*i))/([a-z]*)", re.DOTALL)

#: The result of a form for a value that cannot be interpreted.
MISSING: Any = object()

#: Names of resources, which are no longer needed once each reference is a pointer, and keywords of older drafts.
OBSOLETE_KEYWORDS = frozenset("$id id $schema $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment".split())

#: Keywords kept next to a `$ref` of OpenAPI 3.0, which ignores them: annotations are harmless, `nullable` is intended.
BESIDE_REFERENCE = frozenset("$ref nullable x-nullable description title deprecated readOnly writeOnly".split())


def modernize(schema: SchemaObject, version: tuple[int, ...], say: Say) -> None:
    """Turn one schema of a document of this version into JSON Schema 2020-12, in place.

    Subschemas are not changed. Reports keywords that are not valid in the document's own dialect.
    """
    if schema.keys() == {"$ref"} and isinstance(schema["$ref"], str):
        return
    if version < (3, 1) and isinstance(schema.get("$ref"), str):
        for keyword in schema.keys() - BESIDE_REFERENCE:
            del schema[keyword]
    for keyword in schema.keys() & OBSOLETE_KEYWORDS:
        del schema[keyword]
    _bounds(schema, version, say)
    _tuple(schema, say)
    _type(schema, version, say)
    for keyword in [keyword for keyword in schema if keyword in KEYWORD_FORMS]:
        _form(schema, keyword, say)
    _pattern(schema, say)
    _values(schema, say)
    if "example" in schema:
        schema.setdefault("examples", [schema.pop("example")])
    _null(schema, version, say)


def _bounds(schema: SchemaObject, version: tuple[int, ...], say: Say) -> None:
    """Read the boolean `exclusiveMinimum` of OpenAPI 3.0 (JSON SchemaObject draft 4, validation section 5.1.2)."""
    for keyword, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        value = schema.get(keyword)
        if not isinstance(value, bool):
            continue
        del schema[keyword]
        if version >= (3, 1):
            say(f"{keyword} is a boolean, as in OpenAPI 3.0; interpreted as such")
        if value and bound in schema:
            schema[keyword] = schema.pop(bound)


def _tuple(schema: SchemaObject, say: Say) -> None:
    """Read the list in `items` of drafts before 2020-12 as `prefixItems`."""
    if isinstance(schema.get("items"), list):
        schema.setdefault("prefixItems", schema.pop("items"))
        schema.pop("items", None)
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
        say("items is a list; interpreted as prefixItems")
    schema.pop("additionalItems", None)


def _type(schema: SchemaObject, version: tuple[int, ...], say: Say) -> None:
    given = schema.get("type", MISSING)
    if given is MISSING or (isinstance(given, str) and given in JSON_SCHEMA_TYPES):
        return
    del schema["type"]
    listed = given if isinstance(given, list) else [given]
    read = [_one_type(kind) for kind in listed]
    types = list(dict.fromkeys(kind for kind, _ in read if kind)) if given and all(kind for kind, _ in read) else []
    # `file` is a type of Swagger 2.0 (section "Parameter Object"), and no mistake there.
    if (not types or listed != types) and not (given == "file" and version < (3,)):
        shown = ", ".join(map(summarize, listed[:8])) or "an empty list"
        say(f"type is {shown}, " + (f"read as {', '.join(types)}" if types else "which is not a type; left out"))
    if types:
        schema["type"] = types if len(types) > 1 else types[0]
        if (form := read[0][1]) is not None:
            schema.setdefault("format", form)


def _one_type(kind: Any) -> tuple[str | None, str | None]:
    name = "null" if kind is None else str(kind).strip().lower()
    return (name, None) if name in JSON_SCHEMA_TYPES else OTHER_TYPES.get(name, (None, None))


def _form(schema: SchemaObject, keyword: str, say: Say) -> None:
    given = schema[keyword]
    read = KEYWORD_FORMS[keyword](given)
    if read is given or (type(read) is type(given) and read == given):
        return
    if read is MISSING:
        del schema[keyword]
        if given is not None:
            say(f"{keyword} cannot be {summarize(given)}, and is left out")
        return
    schema[keyword] = read
    say(f"{keyword} is malformed; interpreted as far as possible")


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower(), MISSING)


def _schema(value: Any) -> Any:
    return value if isinstance(value, dict) else _truth(value)


def _schemas(value: Any) -> Any:
    """Read a list of schemas, which is never empty (JSON Schema 2020-12 core section 10.2.1)."""
    listed = [value] if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return MISSING
    kept = [item for item in listed if isinstance(item, dict | bool)]
    return (listed if len(kept) == len(listed) else kept) if kept else MISSING


def _named_schemas(value: Any) -> Any:
    """Read an object of schemas. A member that is not a schema accepts everything."""
    if not isinstance(value, dict):
        return MISSING
    if all(isinstance(member, dict | bool) for member in value.values()):
        return value
    return {name: member if isinstance(member, dict | bool) else _shorthand(member) for name, member in value.items()}


def _shorthand(member: Any) -> SchemaObject:
    return {"type": member} if isinstance(member, str) and member in JSON_SCHEMA_TYPES else {}


def _names(value: Any) -> Any:
    """Read `required`: a list of different names. A boolean, as in draft 3, speaks of the parent and says nothing."""
    if not isinstance(value, list):
        return MISSING
    names = [str(name) for name in value if isinstance(name, str | int | float) and not isinstance(name, bool)]
    return value if names == value and len(set(names)) == len(names) else list(dict.fromkeys(names))


def _dependent_names(value: Any) -> Any:
    if not isinstance(value, dict):
        return MISSING
    return {key: read for key, names in value.items() if (read := _names(names)) is not MISSING}


def _examples(value: Any) -> Any:
    if isinstance(value, dict):
        return [item.get("value", item) if isinstance(item, dict) else item for item in value.values()]
    return value if isinstance(value, list) else MISSING


def _number(value: Any) -> Any:
    """Read a number that JSON can have, also as a text."""
    try:
        is_digits = isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,300}", value)
        number = value if isinstance(value, int | float) else int(value) if is_digits else float(value)
    except (TypeError, ValueError):
        return MISSING
    return number if not isinstance(value, bool) and abs(number) <= sys.float_info.max else MISSING


def _divisor(value: Any) -> Any:
    number = _number(value)
    return number if number is not MISSING and number > 0 else MISSING


def _count(value: Any) -> Any:
    number = _number(value)
    return number if number is not MISSING and number >= 0 and number == int(number) else MISSING


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, str | int | float) else MISSING


def _only(kind: type) -> Callable[[Any], Any]:
    """Return a form that leaves out every value but those of a type."""
    return lambda value: value if isinstance(value, kind) else MISSING


def _discriminator(value: Any) -> Any:
    """Read a Discriminator Object (OpenAPI 3.2 section 4.25); in Swagger 2.0 it is the property's name alone."""
    named = {"propertyName": value} if isinstance(value, str) else value
    if not isinstance(named, dict) or not isinstance(named.get("propertyName"), str):
        return MISSING
    if "mapping" not in named or _is_mapping(named["mapping"]):
        return named
    return {key: member for key, member in named.items() if key != "mapping"}


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(target, str) for target in value.values())


def _pattern(schema: SchemaObject, say: Say) -> None:
    """Remove the slashes of an ECMAScript literal, and report a pattern that is not a regular expression.

    That one stays: checks pass over it, and a model may still make sense of it.
    """
    pattern = schema.get("pattern")
    if pattern is None:
        return
    if literal := LITERAL.fullmatch(pattern):
        pattern, flags = literal.groups()
        schema["pattern"] = pattern
        say("pattern is enclosed in slashes, which are removed")
        if "i" in flags:  # which no pattern of a schema can say
            del schema["pattern"]
    if not compiles(pattern):
        say(f"pattern {summarize(pattern)} is not a regular expression and is not checked")


@lru_cache(4096)
def compiles(pattern: str) -> bool:
    """Check whether a regular expression of ECMAScript can be used, by one of the engines that are here."""
    for compile_pattern in (re.compile, _compile_regex):
        with suppress(re.error, OverflowError, RecursionError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python finds doubtful is usual elsewhere
            compile_pattern(pattern)
            return True
    return False


def _compile_regex(pattern: str) -> Any:
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise re.error(str(error)) from error


#: How the values of keywords are read, by what they are.
READ_AS: dict[str, Callable[[Any], Any]] = {
    "schema": _schema,
    "schemas": _schemas,
    "named schemas": _named_schemas,
    "number": _number,
    "count": _count,
    "truth": _truth,
    "text": _text,
    "string": _only(str),
    "object": _only(dict),
    "names": _names,
}

#: The form of each keyword's value: a function that returns the value, a repaired value, or MISSING.
KEYWORD_FORMS: dict[str, Callable[[Any], Any]] = {
    **{keyword: READ_AS[about.value] for keyword, about in KEYWORDS.items() if about.value in READ_AS},
    "definitions": _named_schemas,
    "dependencies": lambda _: MISSING,
    "dependentRequired": _dependent_names,
    "enum": lambda value: value if isinstance(value, list) and value else MISSING,
    "examples": _examples,
    "multipleOf": _divisor,
    "discriminator": _discriminator,
}


def _values(schema: SchemaObject, say: Say) -> None:
    """Read the values of `enum` in the schema's type where none of them has it: `enum: [1, 2]` of a string."""
    kind, values = schema.get("type"), schema.get("enum")
    if isinstance(values, list):
        values = schema["enum"] = _unique(values)
    if kind == "array" and isinstance(values, list) and not any(isinstance(value, list) for value in values):
        _values_of_items(schema, say)
        return
    if not isinstance(kind, str) or kind not in VALUE_READERS or not isinstance(values, list):
        return
    python, read = VALUE_READERS[kind]
    if any(isinstance(value, python) and isinstance(value, bool) == (kind == "boolean") for value in values):
        return
    meant = [None if value is None else read(value) for value in values]
    if MISSING in meant:
        return
    schema["enum"] = meant
    if any(value is not None for value in meant):
        say(f"enum has no {kind} in it; its values are interpreted as such")


def _unique(values: list[Any]) -> list[Any]:
    """Return each value once: clients refuse an `enum` that repeats one."""
    known: dict[str, Any] = {}
    for value in values:
        is_whole = isinstance(value, float) and value.is_integer()
        known.setdefault(json.dumps(int(value) if is_whole else value, sort_keys=True), value)
    return list(known.values())


def _values_of_items(schema: SchemaObject, say: Say) -> None:
    """Read the `enum` of an array that contains no array as that of its items; otherwise no value would fit."""
    values, items = schema.pop("enum"), schema.setdefault("items", {})
    if isinstance(items, dict) and items.keys().isdisjoint(("enum", "$ref")):
        items["enum"] = values
    say("enum has no array in it; interpreted as the enum of the items")


def _literal(value: Any) -> Any:
    if isinstance(value, dict | list):
        return MISSING
    return summarize(value, 1000) if isinstance(value, bool) else str(value)


#: How a value of another type is read, by the type that the schema has.
VALUE_READERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "string": (str, _literal),
    "integer": (int, _number),
    "number": (int | float, _number),
    "boolean": (bool, _truth),
}


def _null(schema: SchemaObject, version: tuple[int, ...], say: Say) -> None:
    nullable, extension = schema.pop("nullable", False), schema.pop("x-nullable", False)
    if nullable is True and version >= (3, 1):
        say("nullable is a keyword of OpenAPI 3.0; interpreted as there")
    if nullable is True or extension is True:
        _allow_null(schema)


def _allow_null(schema: SchemaObject) -> None:
    """Let the schema accept null, also where its `enum` or its composition alone would not.

    By the letter (OpenAPI 3.0.3, Proposal 2019-10-31) `nullable` means nothing without `type` in the same schema; what
    the documents that write it so mean is plain.
    """
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = types if "null" in types else [*types, "null"]
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            schema[keyword] = [*schema[keyword], {"type": "null"}]
            return
    for keyword in ("allOf", "$ref"):
        if keyword in schema:
            schema["anyOf"] = [{keyword: schema.pop(keyword)}, {"type": "null"}]

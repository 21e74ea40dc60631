"""What a listing may contain: the part of JSON Schema that all clients and model APIs accept."""

from __future__ import annotations

import json

from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.schema.portable_patterns import is_portable
from portkey_bridge.schema.prose import plain

#: Keywords of a listing besides structure. Clients refuse or ignore the rest of JSON Schema there.
LISTED = frozenset(
    (
        *("type", "description", "enum", "format", "default", "required", "pattern"),
        *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("properties", "items", "anyOf", "additionalProperties"),
    )
)

#: Keywords of a listing that would refuse more without the other, which a listing has not.
COMPANIONS = {"items": "prefixItems", "additionalProperties": "patternProperties"}

#: Keywords that are listed as others, which accept a little more.
LISTED_AS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}

#: The formats of JSON Schema 2020-12 and of OpenAPI's registry for texts, which models know. Any other name is one of
#: the document's own, and says less than a pattern beside it.
KNOWN_FORMATS = frozenset(
    (
        *("date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6"),
        *("uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer", "regex"),
        *("relative-json-pointer", "byte", "binary", "base64url", "password", "int64", "uint64", "decimal", "html"),
    )
)

#: The formats that all clients know. Some refuse all tools of a server because of another one in one tool, and some
#: know `email` only with a further library; others are told of in words.
LISTED_FORMATS = frozenset(
    (
        *("date-time", "date", "time", "duration", "hostname", "ipv4", "ipv6", "uri", "uuid", "byte", "binary"),
        *("password", "int32", "int64", "float", "double"),
    )
)

#: Every value, apart from arrays in arrays: clients want a type in each schema and items in each array, so no schema
#: that all of them take accepts everything.
_NO_ARRAY = [{"type": kind} for kind in ("string", "number", "boolean", "object", "null")]
LISTED_ANYTHING: Shape = {"anyOf": [*_NO_ARRAY, {"type": "array", "items": {"anyOf": _NO_ARRAY}}]}


def complete(view: Shape) -> None:
    """Add to a listed schema what clients miss in it, and leave out what they would stumble over."""
    if view.get("type") == "array":
        view.setdefault("items", LISTED_ANYTHING)
    if not view.keys() & {"type", "anyOf"}:
        view |= {"type": "string"} if "enum" in view else LISTED_ANYTHING
    _require_listed(view)
    _join_choices(view)


def listed(shape: Shape) -> Shape:
    """Return the keywords that a listing may have: enumerations of strings only, patterns that compile, known formats.

    A keyword that would say something else without its companion goes with it.
    """
    kept = {
        keyword: value for keyword, value in shape.items() if keyword in LISTED and COMPANIONS.get(keyword) not in shape
    }
    for keyword, looser in LISTED_AS.items():
        if keyword in shape:
            kept.setdefault(looser, shape[keyword])
    if isinstance(kept.get("additionalProperties"), bool):
        del kept["additionalProperties"]
    if isinstance(kept.get("items"), bool):
        del kept["items"]
    if "description" in kept:
        kept["description"] = plain(kept["description"])
    values = kept.get("enum", [])
    if not all(isinstance(value, str) for value in values):
        del kept["enum"]
        choice = "One of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "."
        kept["description"] = f"{kept.get('description', '')} {choice}".strip()
    if "pattern" in kept and not is_portable(kept["pattern"]):
        del kept["pattern"]
    if kept.get("format", "date") not in LISTED_FORMATS:
        form = kept.pop("format")
        if "pattern" not in kept or form in KNOWN_FORMATS:
            kept["description"] = f"{kept.get('description', '')} Format: {form}.".strip()
    return kept


def _require_listed(view: Shape) -> None:
    """Leave out of `required` what is not among the properties: some clients look each of them up."""
    required = [name for name in view.get("required", ()) if name in view.get("properties", {})]
    if required:
        view["required"] = required
    else:
        view.pop("required", None)


def _join_choices(view: Shape) -> None:
    """Put the alternatives of a choice inside a choice into the outer one: some clients look only one level deep."""
    words, joined = [view.get("description", "")], []
    for branch in view.get("anyOf", ()):
        is_choice = "anyOf" in branch and branch.keys() <= {"anyOf", "description", "default"}
        if is_choice and (not words[0] or is_stub(branch)):
            words.append(branch.get("description", ""))
        joined += [each for each in (branch["anyOf"] if is_choice else [branch]) if each not in joined]
    if joined:
        view["anyOf"] = joined
    if any(words):
        view["description"] = " ".join(filter(None, words))


def is_stub(view: Shape) -> bool:
    """Check whether a view stands for a schema that has to be expanded."""
    return str(view.get("description", "")).endswith("]") and "[expandSchema /" in view["description"]

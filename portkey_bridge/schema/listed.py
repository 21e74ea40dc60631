"""What a listing may contain: the part of JSON Schema that all clients and model APIs accept."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from typing import Any

from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.schema.prose import plain

#: Keywords of a listing besides structure. Clients refuse or ignore the rest of JSON Schema there.
LISTED = frozenset(
    """
    type description enum format default required pattern minimum maximum minLength maxLength minItems maxItems
    minProperties maxProperties properties items anyOf additionalProperties
    """.split()
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
#: know `email` only with a further library; others are described in words.
LISTED_FORMATS = frozenset(
    """
    date-time date time duration hostname ipv4 ipv6 uri uuid byte binary password int32 int64 float double
    """.split()
)

#: Every value, apart from arrays in arrays: clients want a type in each schema and items in each array, so no schema
#: that all of them take accepts everything.
_NO_ARRAY = [{"type": kind} for kind in ("string", "number", "boolean", "object", "null")]
LISTED_ANYTHING: Shape = {"anyOf": [*_NO_ARRAY, {"type": "array", "items": {"anyOf": _NO_ARRAY}}]}

# The syntax that ECMAScript (with the flag `u`), Rust and Python have in common, and in which they agree.
_CODE = r"[tnrfv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}"
_IN_CLASS = rf"(?:(?!&&|~~)[^\\\]\[-]|\\(?:[\\^$.*+?()\[\]{{}}|/-]|{_CODE}))"
_CLASS = rf"\[\^?-?(?:{_IN_CLASS}(?:-{_IN_CLASS})?|\\[dDwWsS](?!-[^\]]))+-?\]"
_ATOM = rf"(?:[^\\^$.*+?()\[\]{{}}|]|\.|{_CLASS}|\\(?:[dDwWsS\\^$.*+?()\[\]{{}}|/]|{_CODE}))"
_QUANTIFIER = r"(?:(?:[*+?]|\{\d+(?:,\d*)?\})\??)?"
_PORTABLE = re.compile(rf"(?:{_ATOM}{_QUANTIFIER}|\((?:\?:)?|\){_QUANTIFIER}|[|^$]|\\[bB])*+")


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
    for keyword in ("additionalProperties", "items"):
        if isinstance(kept.get(keyword), bool):
            del kept[keyword]
    if "description" in kept:
        kept["description"] = plain(kept["description"])
    values = kept.get("enum", [])
    if not all(isinstance(value, str) for value in values):
        del kept["enum"]
        _say(kept, f"One of {', '.join(json.dumps(value, ensure_ascii=False) for value in values)}.")
    if "pattern" in kept and not is_portable(kept["pattern"]):
        del kept["pattern"]
    _name_unlisted(kept)
    if kept.get("format", "date") not in LISTED_FORMATS:
        form = kept.pop("format")
        if "pattern" not in kept or form in KNOWN_FORMATS:
            _say(kept, f"Format: {form}.")
    return kept


def _name_unlisted(kept: dict[str, Any]) -> None:
    """Only name properties that begin with `_`: frameworks that make classes of schemas refuse all tools for one."""
    properties, required = kept.get("properties", {}), kept.get("required", ())
    names = [f"{name} (required)" if name in required else name for name in properties if name.startswith("_")]
    if names:
        kept["properties"] = {name: child for name, child in properties.items() if not name.startswith("_")}
        kept.pop("additionalProperties", None)  # which would say something about them, too
        _say(kept, f"Also {', '.join(names)}: see expandSchema.")


def _say(kept: Shape, sentence: str) -> None:
    """Add a sentence to a description."""
    kept["description"] = f"{kept.get('description', '')} {sentence}".strip()


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


@cache
def is_portable(pattern: str) -> bool:
    """Check whether the engines of all clients accept a pattern, and read it alike.

    Look-around and references back, for example, make Rust's refuse the pattern, and its client the whole server.
    """
    if not _PORTABLE.fullmatch(pattern):
        return False
    import pydantic_core  # slow to import, and loaded anyway where a listing is made

    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(pattern)
        pydantic_core.SchemaValidator({"type": "str", "pattern": pattern})  # compiled by Rust's engine
    except (re.error, OverflowError, RecursionError, pydantic_core.SchemaError):
        return False
    return True

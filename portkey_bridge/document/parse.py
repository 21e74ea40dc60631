"""Parses an OpenAPI document: JSON or YAML, told by content.

The result has JSON's types only, has no cycle, and is neither deeper nor larger than the rest of the program can
walk: a hostile document is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from portkey_bridge.document.content import Content, text_of
from portkey_bridge.document.limits import MAX_DEPTH, finite
from portkey_bridge.document.positions import repeated_keys
from portkey_bridge.document.repairs import said_twice
from portkey_bridge.errors import DocumentError

MAX_PARSED_VALUES = 5_000_000

#: Decisions of the parser that are reported one by one.
MAX_PARSER_NOTES = 20


@dataclass(frozen=True)
class Document:
    """A parsed document: `source` as the person named it, `uri` to resolve against, `root` its content.

    `repairs` has a sentence for what the parser had to decide.
    """

    source: str
    uri: str
    root: Any
    repairs: tuple[str, ...] = ()


Retrieve = Callable[[str], Document]
"""Brings the resource of a URI into memory. Raises DocumentError."""


def document_of(content: Content) -> Document:
    """Parse the bytes of an OpenAPI document. Raises DocumentError."""
    document = resource_of(content)
    if not isinstance(document.root, dict):
        raise DocumentError(
            content.source,
            "not an OpenAPI document: its top level is not an object",
            "It starts with a line like 'openapi: 3.1.0'.",
        )
    return document


def resource_of(content: Content) -> Document:
    """Parse the bytes of a document, or of what one refers to. Raises DocumentError."""
    text = text_of(content)
    if not text.strip():
        raise DocumentError(content.source, "is empty", "Create or download the document again.")
    if re.match(r"\s*<[!?a-zA-Z]", text):
        problem, remedy = "is a web page or XML, not JSON or YAML", "Use the address of the document itself."
        raise DocumentError(content.source, problem, remedy)
    return parse_document(content.source, content.uri, text)


def parse_document(source: str, uri: str, text: str) -> Document:
    """Parse JSON or YAML into JSON's types; `source` appears in the errors. Raises DocumentError."""
    repairs: list[str] = []
    try:
        is_json = text.lstrip().startswith(("{", "["))
        root = _parse_json(source, text, repairs) if is_json else _parse_yaml(source, text, repairs)
    except RecursionError as error:
        raise _too_deep(source) from error
    return Document(source, uri, root, tuple(_first(source, repairs)))


def _first(source: str, repairs: list[str]) -> Iterator[str]:
    yield from repairs[:MAX_PARSER_NOTES]
    if len(repairs) > MAX_PARSER_NOTES:
        yield f"{source}: {len(repairs) - MAX_PARSER_NOTES:,} more keys or tags like these."


def _parse_json(source: str, text: str, repairs: list[str]) -> Any:
    is_repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_repeated
        value = dict(pairs)
        is_repeated = is_repeated or len(value) != len(pairs)
        return value

    try:
        root = json.loads(
            _without_lone_surrogates(text), object_pairs_hook=members, parse_float=finite, parse_constant=str
        )
    except json.JSONDecodeError as error:
        try:
            return _parse_yaml(source, text, repairs)  # YAML in flow style starts like JSON
        except DocumentError:
            raise DocumentError(
                source,
                f"does not parse as JSON: {error.msg}",
                "Correct the document there.",
                line=error.lineno,
                column=error.colno,
            ) from error
    except ValueError as error:
        raise DocumentError(source, f"does not parse as JSON: {_first_line(error)}", "Correct the document.") from error
    _refuse_deep(source, root)
    if is_repeated:
        repairs.extend(f"{source}:{line}: {said_twice(key)}" for line, key in repeated_keys(text))
    return root


def _without_lone_surrogates(text: str) -> str:
    """Replace escapes of half a character, which no UTF-8 text can hold (RFC 8259 section 8.2)."""
    low, high = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}", r"\\u[dD][89abAB][0-9a-fA-F]{2}"
    pair = rf"({high}{low})|{high}|{low}"
    return re.sub(pair, lambda match: match[1] or r"\ufffd", text) if re.search(r"\\u[dD][89a-fA-F]", text) else text


def _parse_yaml(source: str, text: str, repairs: list[str]) -> Any:
    import yaml

    from portkey_bridge.document import yaml_values

    try:
        parsed = yaml_values.parse_yaml(text)
        if parsed.has_more:
            repairs.append(f"{source}: it contains further documents, which are ignored.")
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):  # newer C libraries look ahead, and count for themselves
            raise _too_deep(source) from error
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = f"does not parse: {_problem(error, text)}"
        raise DocumentError(source, problem, "Correct the document there.", line=line, column=column) from error
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(source, f"does not parse: {_first_line(error)}", "Correct the document.") from error
    repairs.extend(f"{source}:{line}: {note}" for line, note in parsed.notes)
    if parsed.has_aliases:
        check_aliases(source, parsed.value)
    return parsed.value


def _problem(error: Any, text: str) -> str:
    """Return the message of a YAML parser, with tabs as indentation explained."""
    from portkey_bridge.document.yaml_values import as_yaml_1_1

    lines = as_yaml_1_1(text).splitlines() if error.problem_mark else []
    is_tab = any(re.match(r" *\t", line) for line in lines[error.problem_mark.line :][:1])
    return "tabs cannot be used for indentation" if is_tab else error.problem or error.context


def _refuse_deep(source: str, root: Any) -> None:
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        level = [child for value in level if isinstance(value, dict | list) for child in _members(value)]
    if level:
        raise _too_deep(source)


def check_aliases(source: str, root: Any) -> None:
    """Check the value of a YAML text with aliases. Raises DocumentError.

    It may be too deep, a circle, or too large once each alias is written out. Visits each part once.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of the parts that are done: values, levels
    path: set[int] = set()
    waiting = [(root, False)]
    while waiting:
        value, done = waiting.pop()
        if done:
            path.discard(id(value))
            sizes[id(value)] = _size(source, value, sizes)
        elif isinstance(value, dict | list) and id(value) not in sizes:
            if id(value) in path:
                raise DocumentError(source, "an alias (*) leads back to itself", "Use a $ref for recursion.")
            path.add(id(value))
            waiting.append((value, True))
            waiting.extend((child, False) for child in _members(value))


def _size(source: str, value: Any, sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    below = [sizes.get(id(child), (1, 1)) for child in _members(value)]
    values, levels = 1 + sum(size for size, _ in below), 1 + max((depth for _, depth in below), default=0)
    if levels > MAX_DEPTH:
        raise _too_deep(source)
    if values > MAX_PARSED_VALUES:
        raise DocumentError(
            source, f"its aliases (*) stand for more than {MAX_PARSED_VALUES:,} values", "Use $ref instead."
        )
    return values, levels


def _members(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _too_deep(source: str) -> DocumentError:
    return DocumentError(source, f"nested more than {MAX_DEPTH} levels deep", "Flatten the document.")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(";")[0]

"""Brings an OpenAPI document into memory: where it lies, and JSON or YAML told by content."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from portkey_bridge.errors import DocumentError


@dataclass(frozen=True)
class Document:
    """A parsed document: `source` as the person named it, `uri` to resolve against, `root` its content."""

    source: str
    uri: str
    root: dict[str, Any]


def portkey_document() -> Path:
    """Give the file of the Portkey API's document: inside the wheel, or in the checkout beside the package."""
    packaged = Path(str(files("portkey_bridge"))) / "portkey.yaml"
    return packaged if packaged.exists() else packaged.parents[1] / "specs" / "portkey.yaml"


def read_document(source: str) -> Document:
    """Read and parse the document in the file `source`.

    Raises DocumentError, with line and column where the parser gives them.
    """
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(source, f"not UTF-8 text at byte {error.start}", "Save the document as UTF-8.") from error
    except OSError as error:
        raise DocumentError(
            source,
            f"cannot be read ({error.strerror or error})",
            "Give --spec the path of a readable OpenAPI document.",
        ) from error
    root = parse(source, text)
    if not isinstance(root, dict):
        raise DocumentError(
            source,
            "not an OpenAPI document: its top level is no object",
            "It starts with a line like 'openapi: 3.1.0'.",
        )
    return Document(source, path.resolve().as_uri(), root)


def parse(source: str, text: str) -> Any:
    """Parse JSON or YAML into JSON's types; `source` stands in the errors. Raises DocumentError."""
    try:
        if text.lstrip().startswith(("{", "[")):
            return _parse_json(source, text)
        return _parse_yaml(source, text)
    except RecursionError as error:
        raise DocumentError(source, "nested too deeply to be read", "Flatten the document.") from error


def _parse_json(source: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return _parse_yaml(source, text)  # YAML in flow style starts like JSON
        except DocumentError:
            raise DocumentError(
                source,
                f"does not parse as JSON: {error.msg}",
                "Correct the document there.",
                line=error.lineno,
                column=error.colno,
            ) from error


def _parse_yaml(source: str, text: str) -> Any:
    import yaml

    from portkey_bridge.yaml_json import JsonLoader

    try:
        return yaml.load(text, Loader=JsonLoader)  # noqa: S506  # a safe loader, restricted further
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = f"does not parse: {error.problem or error.context}"
        raise DocumentError(source, problem, "Correct the document there.", line=line, column=column) from error
    except yaml.YAMLError as error:
        raise DocumentError(source, f"does not parse: {error}", "Correct the document.") from error

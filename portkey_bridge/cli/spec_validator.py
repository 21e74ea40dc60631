"""Runs openapi-spec-validator on a document. Its errors are advice to the owner and never stop anything.

The validator may take very long, so it runs in a child process with limited time and memory. The process reads the
document from standard input, in a form that does not expand YAML aliases, and prints one line of JSON for each error.
"""

from __future__ import annotations

import json
import marshal
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from portkey_bridge.cli.children import import_path
from portkey_bridge.document.parse import Document
from portkey_bridge.document.repairs import summarize
from portkey_bridge.errors import DocumentError
from portkey_bridge.text import with_shown_urls

#: Most errors that are reported, and longest text of one in characters.
MAX_ERRORS, MAX_ERROR_TEXT = 20, 300

#: Seconds that the validator may take, and bytes of memory.
VALIDATOR_TIMEOUT, VALIDATOR_MEMORY = 30, 4_000_000_000


class Advice(NamedTuple):
    """One error: the tokens of the pointer to it, as far as the validator knows, and its message."""

    tokens: tuple[str, ...]
    problem: str


def advise(document: Document, others: Mapping[str, Any]) -> tuple[list[Advice], str]:
    """Return the validator's errors for the document as written, and a sentence if they are incomplete.

    `others` are the contents of the resources that it refers to, by URI: the validator reads nothing itself.
    """
    content, command = marshal.dumps((document.uri, document.root, dict(others))), [sys.executable, "-m", __name__]
    env = {**os.environ, **import_path(os.environ)}
    try:
        done = subprocess.run(  # noqa: S603  # this module
            command, input=content, capture_output=True, timeout=VALIDATOR_TIMEOUT, check=False, env=env
        )
    except subprocess.TimeoutExpired as expired:
        return _read(expired.stdout or b""), f"The validator was stopped after {VALIDATOR_TIMEOUT} seconds."
    found = _read(done.stdout)
    if done.returncode:
        return found, f"The validator failed ({_reason(done.stderr) or f'exit code {done.returncode}'})."
    has_more = len(found) > MAX_ERRORS
    return found[:MAX_ERRORS], f"The validator found more than these {MAX_ERRORS} errors." * has_more


def _read(lines: bytes) -> list[Advice]:
    return [Advice(tuple(tokens), problem) for tokens, problem in map(json.loads, lines.splitlines())]


def _reason(stderr: bytes) -> str:
    """Return the last line of a traceback."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return summarize(with_shown_urls(lines[-1]), 200) if lines else ""


def main() -> None:
    """Run the validator in the child process."""
    _bound_memory()
    uri, root, others = marshal.load(sys.stdin.buffer)  # noqa: S302  # only the parent writes there
    lines = _distinct(json.dumps(_located(error, root)) for error in _errors(uri, root, others))
    for line in islice(lines, MAX_ERRORS + 1):
        print(line, flush=True)


def _distinct(lines: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for line in lines:
        if line not in seen:
            yield line
        seen.add(line)


def _bound_memory() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (VALIDATOR_MEMORY, VALIDATOR_MEMORY))


def _errors(uri: str, root: Any, others: Mapping[str, Any]) -> Iterator[Any]:
    from openapi_spec_validator.shortcuts import get_validator_cls

    def known(uri: str) -> Any:
        if uri not in others:
            raise DocumentError(uri, "is not read", "Correct the reference to it.")
        return others[uri]

    handlers = dict.fromkeys(("<all_urls>", "file", "http", "https"), known)
    validator: Any = type("Validator", (get_validator_cls(root),), {"resolver_handlers": handlers})
    yield from validator(root, base_uri=uri).iter_errors()


def _located(error: Any, root: Any) -> tuple[list[str], str]:
    """Return the tokens of the pointer to an error, and its message; no tokens if they do not lead to a value."""
    while error.context:  # of a union's branches, the error in the best match
        error = max(error.context, key=lambda below: len(below.absolute_path))
    tokens = [str(token) for token in error.absolute_path]
    message = error.message.partition("\n")[0]  # below are schema and instance
    problem = summarize(with_shown_urls(message), MAX_ERROR_TEXT)
    return tokens if _leads_somewhere(error.absolute_path, root) else [], problem


def _leads_somewhere(path: Iterable[Any], value: Any) -> bool:
    try:
        for token in path:
            value = value[token]
    except (LookupError, TypeError):
        return False
    return True


if __name__ == "__main__":
    main()

"""Hostile documents, through the command line: bounded time and memory, and a clear refusal where there is one.

Each runs in a child process that the system ends where it takes more than its share.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BARE
from tests.support import document, operation

#: Bytes of address space, and seconds of processor time.
MEMORY, SECONDS = 1_000_000_000, 10


def limited(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line with bounded memory and time. Fails where it dies of them, or shows a traceback."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    done = subprocess.run(
        [sys.executable, "-m", "portkey_bridge", *arguments],
        env=BARE,
        cwd=cwd,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30 * SECONDS,  # other programs run beside this one
        check=False,
    )
    assert done.returncode in (0, 1, 2), done
    assert "Traceback" not in done.stdout + done.stderr
    return done


def with_schema(schema: Any, **components: Any) -> dict[str, Any]:
    """Return a document whose one operation takes `schema` as its body."""
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {**operation(requestBody=body), "components": {"schemas": components}}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def laughs(kind: str) -> str:
    """Return the YAML of a document whose aliases double, or more, with every line."""
    lines = ["openapi: 3.1.0", "info: {title: T, version: '1'}", "paths: {}", "x-0: &a0 [lol, lol]"]
    for index in range(1, 40):
        many = ", ".join([f"*a{index - 1}"] * 9)
        lines.append(
            f"x-{index}: &a{index} " + (f"[{many}]" if kind == "list" else f"{{a: *a{index - 1}, b: [{many}]}}")
        )
    return "\n".join(lines)


def nested(levels: int) -> Any:
    """Return a schema of objects in objects."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


#: What is refused, and what the one line says. Each is text, so that it is not made before it is needed.
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "aliases in lists": (lambda: laughs("list"), "aliases"),
    "aliases in objects": (lambda: laughs("object"), "aliases"),
    "merge keys": (
        lambda: f"x: &x {{{', '.join(f'k{key}: 1' for key in range(1000))}}}\ny: [{'{<<: *x}, ' * 1100}]\n",
        "merge keys",
    ),
    "an alias of itself": (lambda: "openapi: 3.1.0\npaths: &p\n  /x: *p\n", "alias"),
    "a schema a thousand levels deep": (lambda: json.dumps(with_schema(nested(450))), "nested more than"),
    "lists a million levels deep": (lambda: '{"openapi": "3.1.0", "paths": ' + "[" * 1_000_000, "nested more than"),
    "YAML a million levels deep": (lambda: "openapi: 3.1.0\npaths: " + "{a: " * 1_000_000, "nested more than"),
    "a number without end": (lambda: '{"openapi": "3.1.0", "paths": {}, "x-n": ' + "1" * 100_000 + "}", "digits"),
}

#: Names of properties that mean something to languages, terminals, or readers of schemas.
ODD = ("__proto__", "constructor", "toString", "__class__", "\0", "\x1b[2J", "", " ", "\u202e", "$ref")

#: Documents that are served without trouble.
SURVIVED: dict[str, Callable[[], Any]] = {
    "a chain of references": lambda: with_schema(
        ref("S0"), **{f"S{index}": ref(f"S{index + 1}") for index in range(5000)}
    ),
    "a circle of references": lambda: with_schema(
        ref("S0"), **{f"S{index}": ref(f"S{(index + 1) % 5000}") for index in range(5000)}
    ),
    "schemas that double": lambda: with_schema(
        ref("S0"),
        **{f"S{index}": {"properties": {"a": ref(f"S{index + 1}"), "b": ref(f"S{index + 1}")}} for index in range(60)},
        S60={"type": "string"},
    ),
    "allOf that doubles": lambda: with_schema(
        ref("S0"), **{f"S{index}": {"allOf": [ref(f"S{index + 1}")] * 2} for index in range(60)}, S60={"type": "string"}
    ),
    "anyOf that doubles": lambda: with_schema(
        ref("S0"),
        **{
            f"S{index}": {
                "anyOf": [ref(f"S{index + 1}"), ref(f"S{index + 1}")],
                "discriminator": {"propertyName": "kind"},
            }
            for index in range(60)
        },
        S60={"type": "object", "properties": {"kind": {"const": "x"}}},
    ),
    "a long list of parameters": lambda: operation(
        parameters=[{"name": f"p{index}", "in": "query", "schema": {"type": "string"}} for index in range(900)]
    ),
    "very long texts": lambda: operation(
        summary="long " * 200_000,
        parameters=[{"name": "n" * 100_000, "in": "query", "schema": {"enum": ["x" * 10**6]}}],
    ),
    "odd names": lambda: with_schema(
        {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ODD},
            "required": ["__proto__"],
        }
    ),
    "a pattern that backtracks": lambda: with_schema(
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+(b|a)*(a|a)*$"}}}
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_document_is_refused(tmp_path: Path, name: str) -> None:
    """What cannot be served in bounded time and memory is refused in one line, by whatever reads it."""
    write, said = REFUSED[name]
    (tmp_path / "hostile.txt").write_text(write(), encoding="utf-8")
    done = limited("check", "hostile.txt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("portkey-bridge: hostile.txt")
    assert said in line
    assert len(line) < 500


@pytest.mark.slow
def test_a_file_that_unpacks_to_very_much_is_refused(tmp_path: Path) -> None:
    """A small gzip file of more than 100 MB is given up where the limit is reached."""
    with gzip.open(tmp_path / "bomb.json.gz", "wb", compresslevel=1) as file:
        for _ in range(15):
            file.write(bytes(10_000_000))
    done = limited("tools", "--spec", "bomb.json.gz", cwd=tmp_path)
    assert done.returncode == 2
    assert "larger than 100 MB" in done.stderr


def test_a_very_large_file_is_refused_unread(tmp_path: Path) -> None:
    """A file of more than 100 MB is refused by its size."""
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(100_000_001)
    done = limited("tools", "--spec", "large.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "larger than 100 MB" in done.stderr


#: What is tested always; of the others, some are long, so that their report takes seconds.
SHORT = "odd names"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == SHORT else pytest.mark.slow) for name in SURVIVED]
)
def test_a_hostile_document_costs_what_it_is_long(tmp_path: Path, name: str) -> None:
    """Its one operation is listed, in bounded time and memory, and the report has it too."""
    (tmp_path / "hostile.json").write_text(json.dumps(SURVIVED[name]()), encoding="utf-8")
    tools = limited("tools", "--json", "--spec", "hostile.json", cwd=tmp_path)
    assert [(tool["name"], tool["path"]) for tool in json.loads(tools.stdout)] == [("op", "/x")]
    report = json.loads(limited("check", "--json", "hostile.json", cwd=tmp_path).stdout)
    assert report["tools"] == 1
    assert "skipped" not in {finding["kind"] for finding in report["findings"]}


@pytest.mark.slow
def test_a_pattern_that_backtracks_does_not_hold_a_call(tmp_path: Path) -> None:
    """A call with the worst value for the pattern is sent unchecked; a value that is judged in time is refused."""
    (tmp_path / "hostile.json").write_text(json.dumps(SURVIVED["a pattern that backtracks"]()), encoding="utf-8")
    worst = "a" * 5000 + "!"
    base = ("--spec", "hostile.json", "--base-url", "http://127.0.0.1:9")
    done = limited("call", "op", f"a={worst}", "--dry-run", *base, cwd=tmp_path)
    assert (done.returncode, done.stdout.partition("\n")[0]) == (0, "POST /x HTTP/1.1")
    refused = limited("call", "op", "a=ac", "--dry-run", *base, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "/a: expected text that matches" in refused.stderr


@pytest.mark.slow
def test_names_of_other_languages_are_names(tmp_path: Path) -> None:
    """A property called `__proto__` is one like any other: required under a portable name, and sent under its own."""
    (tmp_path / "hostile.json").write_text(json.dumps(SURVIVED["odd names"]()), encoding="utf-8")
    base = ("--spec", "hostile.json", "--base-url", "http://127.0.0.1:9")
    assert "/proto: is required" in limited("call", "op", "{}", "--dry-run", *base, cwd=tmp_path).stderr
    values = {"__proto__": "a", "constructor": "b", "__class__": "c"}
    done = limited("call", "op", json.dumps(values), "--dry-run", *base, cwd=tmp_path)
    assert json.dumps(values, separators=(",", ":")) in done.stdout


@pytest.mark.slow
def test_many_operations_are_refused_or_served(tmp_path: Path) -> None:
    """Twenty-seven thousand operations that share one path item are too many, and said to be."""
    item: dict[str, Any] = {method: {"responses": {}} for method in ("get", "put", "post")}
    root = document({f"/x{index}": {"$ref": "#/components/pathItems/shared"} for index in range(9000)})
    (tmp_path / "many.json").write_text(json.dumps({**root, "components": {"pathItems": {"shared": item}}}))
    done = limited("tools", "--spec", "many.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "operations" in done.stderr


@pytest.mark.slow
def test_gzip_of_many_members_is_linear(tmp_path: Path) -> None:
    """A document in 200,000 members of gzip, most of them empty, is read within the bounds."""
    text = json.dumps(operation()).encode()
    (tmp_path / "many.json.gz").write_bytes(gzip.compress(text) + gzip.compress(b"") * 200_000)
    assert "op" in limited("tools", "--spec", "many.json.gz", cwd=tmp_path).stdout

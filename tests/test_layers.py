"""The package is layered: each folder imports from the folders above it in this list, never from those below."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import portkey_bridge

PACKAGE = Path(portkey_bridge.__file__).parent
LAYERS = (
    "text",
    "errors",
    "media_types",
    "file_types",
    "settings",
    "http",
    "document",
    "openapi",
    "schema",
    "response",
    "credentials",
    "request",
    "tools",
    "mock",
    "bridge",
    "callers",
    "builtin",
    "stdio",
    "serve",
    "web",
    "clients",
    "cli",
)
NEVER = {
    "http": {"document", "openapi"},
    "response": {"schema", "request"},
    "clients": {*LAYERS} - {"errors", "text", "media_types", "settings", "document", "clients"},
}
LIBRARIES = {
    "fastmcp": ("serve/", "web/", "cli/demo"),
    "mcp": ("stdio/", "serve/", "web/", "cli/demo"),
    "mcp_types": ("stdio/", "serve/", "web/", "cli/demo"),
    "openapi_core": ("mock/", "response/conformance.py"),
}
FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if file.parent != PACKAGE or file.stem in LAYERS]


class Module(NamedTuple):
    """What a module imports, the names that it calls, and its functions and classes."""

    imports: list[str]
    calls: set[str]
    methods: set[str]
    defines: list[str]


@cache
def module(file: Path) -> Module:
    """Read a module, once for all tests."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = Module([], set(), set(), [])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.imports.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.imports.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.calls.add(node.func.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found.methods.add(node.func.attr)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found.defines.extend(node.name for node in tree.body if isinstance(node, functions))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_upwards(file: Path) -> None:
    """A module imports from its own layer and those above it, and libraries only where they belong."""
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = {*LAYERS[: LAYERS.index(own) + 1], "__version__", ""} - NEVER.get(own, set())
    for name in module(file).imports:
        library, _, rest = name.partition(".")
        if library == "portkey_bridge":
            assert rest.partition(".")[0] in allowed, name
        assert str(file.relative_to(PACKAGE)).startswith(LIBRARIES.get(library, "")), name


def test_few_modules_stand_outside_of_the_packages() -> None:
    """At most eight modules are directly in the package."""
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_only_the_bridge_and_the_command_line_print() -> None:
    """The layers below the bridge return warnings instead of printing them."""
    printing = {file.relative_to(PACKAGE).parts[0] for file in FILES if "print" in module(file).calls}
    assert printing <= {"bridge", "cli"}


#: Where files are opened, created or removed, besides the layers from `bridge/` on, and what says so.
DISK = (
    "settings/",
    "document/",
    "request/uploads.py",
    "response/render.py",
    "clients/",
    "http/trust.py",
)
OPENING = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "mkstemp"}


def test_files_are_touched_only_where_that_belongs() -> None:
    """The layers between reading a document and sending a request neither open nor write files."""
    touching = {
        str(file.relative_to(PACKAGE)) for file in FILES if OPENING & (module(file).calls | module(file).methods)
    }
    allowed = (*DISK, "credentials/", *(f"{layer}/" for layer in LAYERS[LAYERS.index("bridge") :]))
    assert {file for file in touching if not file.startswith(allowed)} == set()


def test_no_module_takes_private_names_of_another() -> None:
    """What another module needs has a name without an underscore."""
    taken = {
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in FILES
        for name in module(file).imports
        if name.startswith("portkey_bridge.") and name.rpartition(".")[2].startswith("_") and "__" not in name
    }
    assert taken == set()


#: Names that several modules define on purpose: the editors of three file formats, and the beginnings of two programs.
INTERFACES = {"read", "put", "drop", "strings", "main"}


def test_a_public_name_is_defined_once() -> None:
    """No two modules give the same public name to different functions or classes."""
    homes: dict[str, list[str]] = {}
    for file in FILES:
        for name in module(file).defines:
            if not name.startswith("_"):
                homes.setdefault(name, []).append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in homes.items() if len(files) > 1 and name not in INTERFACES} == {}

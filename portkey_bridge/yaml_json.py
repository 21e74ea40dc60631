"""YAML restricted to JSON's types, as OpenAPI requires (OpenAPI 3.1.1 section 4.2, YAML 1.2 section 10.2).

Dates stay strings, `on` and `yes` stay strings, and every key is the string that stands in the file: `200:` is "200".
Tags of other types are ignored, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

from portkey_bridge.document import finite, said_twice
from portkey_bridge.repairs import printable

try:
    from yaml import CSafeLoader as _Loader
except ImportError:
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"

#: Members that merge keys (`<<`) may bring into a document, all together.
MAX_MERGED = 1_000_000


class JsonLoader(_Loader):
    """A loader to hand to `yaml.load`. `notes` has what it had to decide: lines, sentences."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  # the base class declares it so
    yaml_constructors: ClassVar[dict[str | None, Callable[..., Any]]] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.notes: list[tuple[int, str]] = []
        self._merged = 0

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make an object whose keys are the text that stands in the file."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = _STRING
                if key.value in seen:
                    self.notes.append((key.start_mark.line + 1, said_twice(key.value)))
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put the members that merge keys bring before the object's own, which win (yaml.org/type/merge)."""
        merges = [value for key, value in node.value if key.tag == _MERGE]
        if not merges:
            return
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        node.value = own  # also where an object merges itself
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for source in (source for merge in merges for source in _sources(merge)):
            self.flatten_mapping(source)
            self._count(source)
            for key, value in source.value:
                merged.setdefault(str(key.value), (key, value))
        taken = {str(key.value) for key, _ in own}
        node.value = [pair for name, pair in merged.items() if name not in taken] + own

    def _count(self, source: yaml.MappingNode) -> None:
        self._merged += len(source.value)
        if self._merged > MAX_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f"merge keys (<<) bring more than {MAX_MERGED:,} members", source.start_mark
            )


def _sources(merge: yaml.Node) -> list[yaml.MappingNode]:
    nodes = merge.value if isinstance(merge, yaml.SequenceNode) else [merge]
    objects = [node for node in nodes if isinstance(node, yaml.MappingNode)]
    if len(objects) != len(nodes):
        raise yaml.constructor.ConstructorError(None, None, "a merge key (<<) needs objects", merge.start_mark)
    return objects


# The patterns of YAML 1.2's core schema (section 10.3.2), without octal and hexadecimal numbers, which JSON has not.
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    JsonLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
JsonLoader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    return finite(loader.construct_scalar(node))


def _construct_untagged(loader: Any, node: yaml.Node) -> Any:
    """Make the value that would stand there without its tag."""
    loader.notes.append((node.start_mark.line + 1, f"the tag {printable(node.tag)} is ignored."))
    kind = "map" if isinstance(node, yaml.MappingNode) else "seq" if isinstance(node, yaml.SequenceNode) else "str"
    return JsonLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"](loader, node)


for _tag in ("null", "bool", "str", "seq", "map"):
    JsonLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.yaml_constructors[f"tag:yaml.org,2002:{_tag}"])
# PyYAML reads `010` as octal and `1:30` as sixty-based; JSON's schema has decimal numbers only.
JsonLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
JsonLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
JsonLoader.add_constructor(None, _construct_untagged)

"""YAML restricted to JSON's types, as OpenAPI requires (OpenAPI 3.1.1 section 4.2, YAML 1.2 section 10.2).

Dates stay strings, `on` and `yes` stay strings, and every key is the string that stands in the file: `200:` is "200".
"""

from __future__ import annotations

import re
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_MERGE = "tag:yaml.org,2002:merge"


class JsonLoader(_Loader):
    """A loader to hand to `yaml.load`."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  # the base class declares it so

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make an object whose keys are the text that stands in the file."""
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


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
    return float(loader.construct_scalar(node))


# PyYAML reads `010` as octal and `1:30` as sixty-based; JSON's schema has decimal numbers only.
JsonLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
JsonLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)

"""The areas of an API: the tags of its operations, or the first parts of their paths where these have none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import takewhile

from portkey_bridge.schema.prose import shorten
from portkey_bridge.tools.catalog import Tool

#: Characters of a name in an outline, and of its line.
MAX_AREA_NAME, MAX_AREA_LINE = 60, 360


class Areas:
    """The areas of these tools, in the document's order."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    @cached_property
    def _shared(self) -> int:
        """How many segments all paths begin with, as `/api/v1` does."""
        segments = [tool.operation.path.strip("/").split("/")[:-1] for tool in self._tools]
        return len([*takewhile(lambda column: len({*column}) == 1, zip(*segments, strict=False))])

    @cached_property
    def _known(self) -> Mapping[Tool, tuple[str, ...]]:
        return {tool: self._read(tool) for tool in self._tools}

    def of(self, tool: Tool) -> tuple[str, ...]:
        """Return the areas of a tool."""
        return self._known[tool]

    def _read(self, tool: Tool) -> tuple[str, ...]:
        if tool.operation.tags:
            return tool.operation.tags
        segments = tool.operation.path.strip("/").split("/")[self._shared :]
        return tuple(segment for segment in segments if segment and not segment.startswith("{"))[:1]

    def has(self, tool: Tool, area: str) -> bool:
        """Check whether a tool is in an area or one that begins so, as `Users > Roles` does with `Users`."""
        return any(f"{name} ".lower().startswith(f"{area} ".lower()) for name in self.of(tool))

    @property
    def names(self) -> list[str]:
        """The names of all areas."""
        return list(dict.fromkeys(name for tool in self._tools for name in self.of(tool)))

    def summary(self, room: int) -> str:
        """Return the names of the areas in `room` characters, without those inside others if need be."""
        names = self.names
        outer = [name for name in names if not any(name.startswith(f"{other} ") for other in names)]
        listed = names if len(", ".join(names)) <= room else outer
        return shorten(", ".join(listed), room) or "none"

    def outline(self, near: Sequence[Tool], shown: Collection[Tool], named: Callable[[Tool], str]) -> Iterator[str]:
        """Yield a line for each area with tools that are not shown: the areas and the tools of `near` come first."""
        ordered = dict.fromkeys((*near, *self._tools))
        tools = defaultdict[str, dict[Tool, None]](dict)
        for tool in ordered:
            for name in self.of(tool):
                tools[name][tool] = None
        for name in dict.fromkeys(area for tool in ordered for area in self.of(tool)[:1]):
            inside = tools[name]
            hidden = [tool for tool in inside if tool not in shown]
            if hidden:
                yield in_line(f"{shorten(name, MAX_AREA_NAME)} ({len(inside)})", map(named, hidden), MAX_AREA_LINE)


def fill(lines: Iterable[str], room: int) -> list[str]:
    """Return the first lines, as many as fit into `room` characters, and at least one."""
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0 and kept:
            break
        kept.append(line)
    return kept


def in_line(line: str, names: Iterable[str], room: int) -> str:
    """Return a line of `room` characters that goes on with as many names as fit, and the number of the others."""
    listed = [*names]
    room -= len(f", {len(listed)} more")
    for number, name in enumerate(listed):
        if len(line) + len(name) + 2 > room:
            return f"{line}, {len(listed) - number} more"
        line += f"{', ' if number else ': '}{name}"
    return line

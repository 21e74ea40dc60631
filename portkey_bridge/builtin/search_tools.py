"""The built-in tool that searches for others: an answer names as many operations as fit, the best with their titles."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.builtin.builtin_tools import read_only_entry
from portkey_bridge.response.tool_result import ToolResult, error_result, text_block
from portkey_bridge.schema.prose import shorten
from portkey_bridge.tools.areas import Areas, fill, in_line
from portkey_bridge.tools.catalog import TITLE, Tool
from portkey_bridge.tools.names import SEARCH_TOOLS, closest

if TYPE_CHECKING:
    from portkey_bridge.tools.search import Index

#: Most queries in one search, and the characters of its answer: for one query, and for each further one.
QUERIES, ROOM, FURTHER = 8, 1360, 700

#: The share of these for hits with titles, and the characters that an outline has on top where none fits well.
TITLED, OUTLINE = 0.4, 440

#: Characters of the API's title and the names of its areas: all of a listing has 2,000.
AREAS = 517

#: What comes before the operations that fit less well, and the heading of an outline, after none and after others.
ALSO = "Less likely (query one for its tool)"
NO_HIT = "No tool matches. Try other words, or pass an area as tag:"
NO_GOOD_HIT = "No tool fits this well. Try other words, or pass an area as tag. The closest areas:"


class SearchTools:
    """Searches the `tools` of the API with this title. Raises SettingsError if SQLite has no full-text search.

    `apis` are the names of each API's tools by the APIs' names, if there are several.
    """

    def __init__(self, tools: Sequence[Tool], title: str, apis: Mapping[str, Collection[str]] = {}) -> None:
        from portkey_bridge.tools.vocabulary import Stems

        self._tools, self._stems, self._areas, self._apis = tools, Stems(), Areas(tools), apis
        further = {"type": "array", "items": {"type": "string"}, "description": "Further ones."}
        area = {"type": "string", "description": "Search only this area."}
        title = shorten(title, TITLE)
        description = (
            f"Finds tools of the {title} for a task in plain words, by name, or by method and path. "
            f"Answers best first: tool · METHOD /path · title. Areas: {self._areas.summary(AREAS - len(title))}"
        )
        of_apis = {"api": {"type": "string", "enum": [*apis], "description": "Search only this API."}} if apis else {}
        arguments = {"query": {"type": "string"}, "queries": further, "tag": area, **of_apis}
        self.entry = read_only_entry(SEARCH_TOOLS, "Search tools", description, arguments, ["query"])

    @cached_property
    def _index(self) -> Index:
        """Built at the first search: a start that needs none does not pay for it."""
        from portkey_bridge.tools.search import Index

        return Index(self._tools, self._stems)

    async def run(self, arguments: dict[str, Any], context: CallContext) -> ToolResult:
        """Return a line for each matching tool, the best of each query first."""
        query, further, tag = arguments.get("query", ""), arguments.get("queries", []), arguments.get("tag")
        if not isinstance(query, str) or not isinstance(tag, str | None):
            return error_result("/query and /tag: expected strings")
        if not isinstance(further, list) or not all(isinstance(text, str) for text in further):
            return error_result(f"/queries: expected an array of strings, not {json.dumps(further)[:80]}")
        if tag and not any(self._areas.has(tool, tag) for tool in self._tools):
            near = closest(tag.lower(), {name.lower() for name in self._areas.names})
            return error_result(f"/tag: there is no area {tag!r}; {near}")
        api = arguments.get("api")
        if api is not None and api not in self._apis:
            return error_result(f"/api: there is no API {api!r}; {closest(str(api), self._apis)}")
        asked = [text for text in dict.fromkeys((query, *further)) if text.strip()] or [""]
        if len(asked) > QUERIES:
            return error_result(f"/queries: at most {QUERIES} queries in one call, not {len(asked)}")
        return ToolResult(content=[text_block("\n".join(self._answer(asked, tag, api)))])

    def _answer(self, asked: Sequence[str], tag: str | None, api: str | None) -> list[str]:
        """Return the lines of the answer: the hits, in short what fits less well, and an outline if none fits well."""
        found = [self._index.search(question) for question in asked]
        ranked = (tool for place in zip_longest(*(each.tools for each in found)) for tool in place if tool)
        of_area = (tool for tool in dict.fromkeys(ranked) if not tag or self._areas.has(tool, tag))
        fitting = [tool for tool in of_area if api is None or tool.name in self._apis[api]]
        fits = bool(fitting) and all(each.fits for each in found)
        room = ROOM + FURTHER * (len(found) - 1)
        lines = fill(map(_hit, fitting), int(TITLED * room))
        shown, others = fitting[: len(lines)], fitting[len(lines) :]
        room -= sum(len(line) + 1 for line in lines)
        if not fits:
            heading = NO_GOOD_HIT if shown else NO_HIT
            outline = fill(self._areas.outline(fitting, shown), room + OUTLINE - len(heading))
            return [*lines, heading, *outline]
        if others:
            lines.append(in_line(ALSO, others, room))
        return lines


def _hit(tool: Tool) -> str:
    """Return one line from which a model can choose the tool: the start of the description where it has no title."""
    place = str(tool.operation)
    title = tool.title if tool.title != place else shorten(tool.description, TITLE)
    return f"{tool.name} · {place} · {title}"

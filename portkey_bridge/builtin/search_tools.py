"""The built-in tool that searches for others: an answer names as many operations as fit, the best with their titles."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.builtin.builtin_tools import read_only_entry
from portkey_bridge.response.tool_result import ToolResult, error_result, text_block
from portkey_bridge.schema.prose import shorten
from portkey_bridge.tools.areas import Areas, fill, in_line
from portkey_bridge.tools.catalog import MAX_TITLE, Tool
from portkey_bridge.tools.names import SEARCH_TOOLS, closest, slug

if TYPE_CHECKING:
    from portkey_bridge.tools.search import Index

#: Most queries in one search.
QUERIES = 8

#: Characters that an outline has on top where no tool fits well.
OUTLINE = 440

#: Characters of the API's title and the names of its areas: all of a listing has 2,000.
AREAS = 517

#: The heading of an outline, after no hit and after others.
NO_HIT = "No tool matches. Try other words, or pass an area as tag:"
NO_GOOD_HIT = "No tool fits this well. Try other words, or pass an area as tag. The closest areas:"


def _hit(tool: Tool) -> str:
    """Return one line from which a model can choose the tool: the start of the description where it has no title."""
    place = str(tool.operation)
    title = tool.title if tool.title != place else shorten(tool.description, MAX_TITLE)
    return f"{tool.name} · {place} · {title}"


def _short_hit(tool: Tool) -> str:
    """Return the line of a hit without a title that only repeats the name."""
    is_name = slug(tool.title).replace("_", "") == tool.name.replace("_", "")
    return f"{tool.name} · {tool.operation}" if is_name else _hit(tool)


class AnswerForm(NamedTuple):
    """How hits are shown: the characters for one query and for each further one, and the share for hits with titles.

    Less likely tools are `named` in one line, after what is said of them.
    """

    room: int
    further: int
    titled: float
    hit: Callable[[Tool], str]
    named: Callable[[Tool], str]
    less_likely: str


#: For clients that call tools one by one: the place of an operation says most about it.
BY_PLACE = AnswerForm(1360, 700, 0.4, _hit, lambda tool: str(tool.operation), "Less likely (query one for its tool)")

#: For programs: names are short, so more fit into fewer characters, and each can be expanded without another search.
BY_NAME = AnswerForm(900, 400, 0.3, _short_hit, attrgetter("name"), "Less likely")


class SearchTools:
    """Searches the `tools` of the API with this title. Raises SettingsError if SQLite has no full-text search.

    `apis` are the names of each API's tools by the APIs' names, if there are several.
    """

    def __init__(
        self, tools: Sequence[Tool], title: str, apis: Mapping[str, Collection[str]] = {}, form: AnswerForm = BY_PLACE
    ) -> None:
        from portkey_bridge.tools.vocabulary import Stems

        self._tools, self._stems, self._areas, self._apis = tools, Stems(), Areas(tools), apis
        self._form = form
        further = {"type": "array", "items": {"type": "string"}, "description": "Further ones."}
        area = {"type": "string", "description": "Search only this area."}
        title = shorten(title, MAX_TITLE)
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
        room = self._form.room + self._form.further * (len(found) - 1)
        lines = fill(map(self._form.hit, fitting), int(self._form.titled * room))
        shown, others = fitting[: len(lines)], fitting[len(lines) :]
        room -= sum(len(line) + 1 for line in lines)
        if not fits:
            heading = NO_GOOD_HIT if shown else NO_HIT
            outline = fill(self._areas.outline(fitting, shown, self._form.named), room + OUTLINE - len(heading))
            return [*lines, heading, *outline]
        if others:
            lines.append(in_line(self._form.less_likely, map(self._form.named, others), room))
        return lines

"""An operation as a tool: its name, its words, its arguments, and the hints about its effect."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portkey_bridge.credentials.variables import variables
from portkey_bridge.errors import ArgumentsError, CallError, SettingsError, Violation
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.model import Api, Operation
from portkey_bridge.request.argument_reader import read_arguments
from portkey_bridge.request.arguments import Arguments, Binding, Bound
from portkey_bridge.request.wrapped import enclosed, unwrapped
from portkey_bridge.schema.deadline import OutOfTime
from portkey_bridge.schema.prose import plain, sentence, shorten
from portkey_bridge.schema.shapes import Shapes
from portkey_bridge.schema.views import EXPANSION_BUDGET, EXPANSION_FACTOR, Views
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.curation import CuratedArguments, Curation, Effect, curated, curation_of, with_variables
from portkey_bridge.tools.names import closest, slug, tool_names
from portkey_bridge.tools.streaming import STREAM_LIMIT_SCHEMA, stream_argument

if TYPE_CHECKING:
    from portkey_bridge.response.selection import Selection


#: The settings of someone who changes nothing.
UNCHANGED = Settings()

#: Characters of a title that a listing shows.
MAX_TITLE = 60

#: Characters that the descriptions of all tools share, and the fewest and most that one may have.
DESCRIPTIONS_BUDGET, DESCRIPTION_BOUNDS = 22_000, (95, 300)

#: Characters that the listed schemas of all tools share unless a budget is set, and the fewest and most for one.
SCHEMAS_BUDGET, SCHEMA_BOUNDS = 25_000, (100, 1500)

#: Characters of the view of a schema that is found, not listed: it is paid for by those who need it.
FOUND_BUDGET = 2_500

#: Most tools that are listed without a warning: some clients send no more to a model, and each conversation pays for
#: all of them.
MANY_LISTED = 128

#: Effects of a call by method (RFC 9110 section 9.2). Others may do anything.
EFFECTS = {
    **dict.fromkeys(("GET", "HEAD", "OPTIONS", "TRACE", "QUERY"), Effect(True, False, True)),
    "POST": Effect(False, False, False),
    **dict.fromkeys(("PUT", "DELETE"), Effect(False, True, True)),
}
ANY_EFFECT = Effect(False, True, False)


@dataclass(frozen=True, eq=False)
class Tool:
    """An operation as a tool. `description` is what a listing shows, `variables` hold its credentials."""

    name: str
    title: str
    description: str
    operation: Operation
    variables: tuple[str, ...]
    shapes: Shapes = field(repr=False)
    curation: Curation = field(default_factory=Curation, repr=False)
    fixed_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    offers_deprecated: bool = True

    @cached_property
    def arguments(self) -> Arguments:
        """What a call takes. Read when it is wanted: where the listing is kept, a session wants that of few tools."""
        whole = read_arguments(self.operation, self.shapes)
        left_out = () if self.offers_deprecated else filter(self._is_deprecated, whole.bindings.values())
        hidden = {binding.argument: {"hidden": True} for binding in left_out}
        lacking = self.curation.general - whole.bindings.keys()
        said = {name: each for name, each in self.curation.arguments.items() if name not in lacking}
        return curated(whole, {**hidden, **said}, self.name)

    @property
    def effect(self) -> Effect:
        """What a call does to the state of the API."""
        return self.curation.effect(EFFECTS.get(self.operation.method, ANY_EFFECT))

    @property
    def is_confirmed(self) -> bool:
        """Whether a person is asked before each call."""
        return bool(self.curation.confirm)

    @cached_property
    def select(self) -> Selection | None:
        """What is selected of an answer where a call does not say. Raises SelectError."""
        if self.curation.select is None:
            return None
        from portkey_bridge.response.selection import Selection

        return Selection(self.curation.select)

    @cached_property
    def schema(self) -> Shape:
        """The full input schema; it carries the description where a listing has to cut it."""
        whole = self.curation.description or _words(self.operation)
        described = {"description": whole} if plain(whole) != self.description else {}
        return {**described, **self._with_stream_limit(self.arguments.schema)}

    @cached_property
    def stream_argument(self) -> str | None:
        """The argument that cuts a stream; it never reaches the API. None if the operation has no stream."""
        return stream_argument(self.operation, self.shapes.root, self.arguments.bindings)

    def _with_stream_limit(self, schema: Shape) -> Shape:
        if self.stream_argument is None:
            return schema
        return {**schema, "properties": {**schema.get("properties", {}), self.stream_argument: STREAM_LIMIT_SCHEMA}}

    def listed_schema(self, views: Views, budget: float) -> Shape:
        """Return the view of the input schema that clients list."""
        view = self._with_stream_limit(self.with_choices(views.expand(self.arguments.schema_of_each, "", budget)))
        listed = {"type": "object", "properties": view.get("properties", {})}
        return {**listed, "required": view["required"]} if view.get("required") else listed

    def _is_deprecated(self, binding: Binding) -> bool:
        """Check whether an argument is deprecated (OpenAPI 3.2, Parameter and Schema Object) and can be left out."""
        says_so = binding.parameter is not None and binding.parameter.deprecated
        return not binding.required and (says_so or self.shapes(binding.schema).get("deprecated") is True)

    def with_choices(self, view: Shape) -> Shape:
        """Return the view of the input schema with the values of what decides which arguments there are."""
        shown = view.get("properties", {})
        bare = {
            name: choice for name, choice in self.arguments.choices.items() if "enum" not in shown.get(name, choice)
        }
        return {**view, "properties": {**shown, **bare}} if bare else view

    def has_tag(self, tags: Collection[str]) -> bool:
        """Check whether the operation has one of the tags, which are in lower case."""
        return any(tag.lower() in tags for tag in self.operation.tags)

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return valid arguments: those that the full schema refuses are read in the only possible way.

        Raises ArgumentsError with every violation, and OutOfTime, whose cause is the ArgumentsError of those that were
        found by then.
        """
        violations = self._violations(arguments)
        if not violations:
            return arguments
        try:
            read = self.arguments.read(unwrapped(arguments, self.arguments))
        except OutOfTime as error:
            raise error from ArgumentsError(self.name, violations)
        if violations := self._violations(read):
            in_body = enclosed(arguments, self.arguments)
            if in_body is None or self._violations(read := self.arguments.read(in_body)):
                raise ArgumentsError(self.name, violations)
        return read

    def _violations(self, arguments: Mapping[str, Any]) -> list[Violation]:
        violations: list[Violation] = []
        try:
            for violation in self.arguments.violations(arguments):
                violations.append(violation)
        except OutOfTime as error:
            if violations:
                raise error from ArgumentsError(self.name, violations)
            raise
        return violations

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put valid arguments into their places in the request."""
        return self.arguments.bind(arguments)


def build_tools(api: Api, shapes: Shapes | None = None, settings: Settings = UNCHANGED, among: int = 0) -> list[Tool]:
    """Return every operation as a tool, in the document's order, without those that `x-mcp` excludes.

    `shapes` are those of the document, for those who read them, too: each is made once. `among` is the number of tools
    that share the room for descriptions, if other APIs have some. Raises SettingsError for `x-mcp` that means nothing.
    """
    shapes = shapes or Shapes(api.root)
    room = _share(DESCRIPTIONS_BUDGET, DESCRIPTION_BOUNDS, among or len(api.operations))
    curations = _curations(api, settings)
    names = tool_names(api.operations, settings.prefix, [curation.name for curation in curations])
    return [
        _tool(name, operation, curation, room, shapes, settings)
        for operation, curation, name in zip(api.operations, curations, names, strict=True)
        if curation.include
    ]


def _tool(name: str, operation: Operation, said: Curation, room: int, shapes: Shapes, settings: Settings) -> Tool:
    curation, secrets = with_variables(said, settings.environ)
    tool = Tool(
        name,
        curation.title or _title(operation),
        _listed_words(curation.description or _words(operation), room),
        operation,
        variables(operation.security),
        shapes,
        curation,
        secrets,
        settings.deprecated,
    )
    arguments = tool.arguments if curation.arguments else None  # read now, so that a mistake is reported at the start
    if isinstance(arguments, CuratedArguments) and not settings.lenient and (unfit := arguments.unfit()):
        raise SettingsError(f"{name}: argument {unfit[0]!r} does not take the value that is set for it.")
    try:
        tool.select  # noqa: B018  # the same
    except CallError as error:
        raise SettingsError(f"{name}: {str(error).removeprefix('/')}") from error
    return tool


def _curations(api: Api, settings: Settings) -> list[Curation]:
    """Return what is said about each operation: in the document and its overlays, then in the settings file."""
    usual = tool_names(api.operations)
    filed = dict(_filed(usual, settings))
    said = []
    for name, operation in zip(usual, api.operations, strict=True):
        own, place = filed.get(name, (None, ""))
        own = {"include": True, **own} if isinstance(own, dict) else own
        where, general = place or f"x-mcp of {operation}", len(operation.path_item.curations)
        said.append(curation_of((*operation.curations, own), where, general))
    names = [_known_as(*each, settings.prefix) for each in zip(usual, said, strict=True)]
    confirmed = _matching("--confirm", settings.confirm, set().union(*names), needed=_is_whole)
    return [
        replace(each, confirm=True) if not confirmed.isdisjoint(its) else each
        for each, its in zip(said, names, strict=True)
    ]


def _filed(usual: Collection[str], settings: Settings) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the entries of the settings file about single tools, by the names that the document gives them."""
    for written, (said, place) in settings.operations.items():
        name = written.lower()
        name = name if name in usual else name.removeprefix(settings.prefix)
        if name not in usual:
            raise SettingsError(f"{place}: there is no tool {written!r}; {closest(name, usual)}.")
        yield name, (said, place)


def _known_as(name: str, said: Curation, prefix: str) -> set[str]:
    """Return the names that a person knows a tool by: the document's and the chosen one, with and without prefix."""
    names = {name, slug(said.name or name)}
    return names | {prefix + each for each in names}


def _is_whole(pattern: str) -> bool:
    """Check for the name of one tool, which has to exist; a pattern may also be about tools to come."""
    return not set("*?[").intersection(pattern)


def select_tools(tools: Sequence[Tool], settings: Settings) -> list[Tool]:
    """Return the tools that the settings choose, by names with or without the API's prefix.

    Raises SettingsError for a name or pattern that no tool has.
    """
    known = {name for tool in tools for name in (tool.name, tool.name.removeprefix(settings.prefix))}
    wanted = _matching("--tools", settings.tools, known) if settings.tools else known
    excluded = _matching("--exclude", settings.exclude, known)
    tags = _matching("--tag", settings.tag, {tag.lower() for tool in tools for tag in tool.operation.tags}, "tag")
    return [
        tool
        for tool in tools
        if not wanted.isdisjoint(names := {tool.name, tool.name.removeprefix(settings.prefix)})
        and excluded.isdisjoint(names)
        and (not settings.tag or tool.has_tag(tags))
        and (settings.deprecated or not tool.operation.deprecated)
        and (tool.effect.read_only or not settings.read_only)
    ]


def _matching(
    flag: str,
    patterns: Iterable[str],
    known: Collection[str],
    kind: str = "tool",
    needed: Callable[[str], bool] = lambda _: True,
) -> set[str]:
    found: set[str] = set()
    for pattern in sorted(patterns):
        matches = fnmatch.filter(known, pattern.lower())
        if not matches and needed(pattern):
            raise SettingsError(f"{flag}: there is no {kind} {pattern!r}; {closest(pattern, known)}.")
        found.update(matches)
    return found


def find_tool(tools: Iterable[Tool], name: str) -> Tool:
    """Return the tool of this name, upper and lower case alike. Raises SettingsError where there is none."""
    known = {tool.name: tool for tool in tools}
    if name.lower() not in known:
        raise SettingsError(f"there is no tool {name!r}; {closest(name, known)}. portkey-bridge tools lists them.")
    return known[name.lower()]


def _title(operation: Operation) -> str:
    """Return the summary or the words of the operationId, whichever is shorter: the description tells the rest."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", operation.operation_id or "")
    spaced = re.sub(r"[^\w]+|_+", " ", words).strip().capitalize()
    candidates = [text for text in (plain(operation.summary), spaced) if text]
    fallback = operation.operation_id or str(operation)
    return shorten(min(candidates, key=len, default=fallback), MAX_TITLE)


def _words(operation: Operation) -> str:
    """Return all that the document says about the operation; method and path where it says nothing."""
    summary, description = operation.summary, operation.description
    if summary and description and not description.lower().startswith(summary.lower()):
        description = f"{sentence(summary)} {description}"
    words = description or summary or str(operation)
    return f"Deprecated. {words}" if operation.deprecated else words


def _listed_words(text: str, room: int) -> str:
    words = plain(text)
    return words if len(words) <= room else f"{shorten(words, room).removesuffix('…')} …"


def schema_budget(asked: float | None, count: int) -> float:
    """Return the characters of listed schema for each of `count` tools: as asked for, else an equal share."""
    return _share(SCHEMAS_BUDGET, SCHEMA_BOUNDS, count) if asked is None else asked


def found_budget(asked: float | None) -> float:
    """Return the characters of a schema that `expandSchema` shows of a tool that is not listed."""
    return FOUND_BUDGET if asked is None else asked


def expansion_budget(asked: float | None) -> float:
    """Return the characters of a schema that `expandSchema` shows at once."""
    return EXPANSION_BUDGET if asked is None else asked * EXPANSION_FACTOR


def _share(whole: int, bounds: tuple[int, int], count: int) -> int:
    least, most = bounds
    return max(least, min(most, whole // max(count, 1)))

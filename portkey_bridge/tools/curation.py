"""What people say about a tool beside its operation: `x-mcp` in a document or an overlay, and the settings file.

A document may only make a tool stricter (`openapi/overlay.tightened`); an overlay and the settings file may also
describe it, rename and describe its arguments, and fix their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from portkey_bridge.errors import SettingsError, Violation
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.request.arguments import Arguments, Bound
from portkey_bridge.settings.file import VARIABLE_REFERENCE


class Effect(NamedTuple):
    """What a call does: whether it is read only, may destroy something, and may be repeated without effect."""

    read_only: bool
    destructive: bool
    idempotent: bool


#: The annotations that describe the effect of a call, in the order of its fields.
EFFECT_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint")

#: What each member of `x-mcp` holds.
X_MCP_MEMBERS: Mapping[str, type] = {
    "include": bool,
    "name": str,
    "title": str,
    "description": str,
    "arguments": dict,
    "annotations": dict,
    "confirm": bool,
    "select": str,
}

#: What each member of an argument's object holds; `value` may be anything.
OF_ARGUMENT: Mapping[str, type] = {"name": str, "description": str, "value": object, "hidden": bool}

#: What a value of each of these types is called.
TYPE_NAMES = {str: "a text", bool: "true or false", dict: "an object"}


@dataclass(frozen=True)
class Curation:
    """What is said about one tool. What is None or empty is left as the operation has it.

    `select` is a JMESPath expression for the part of the answer to return if a call asks for none.
    `arguments` are by the names that the operation gives them, `annotations` those of the protocol. Those in `general`
    are said of many operations, which need not have them.
    """

    include: bool = True
    name: str | None = None
    title: str | None = None
    description: str | None = None
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    annotations: Mapping[str, bool] = field(default_factory=dict)
    confirm: bool | None = None
    select: str | None = None
    general: frozenset[str] = frozenset()

    def effect(self, usual: Effect) -> Effect:
        """Return the effect of a call, which is the usual one of its method as far as nothing else is said."""
        return Effect(*map(self.annotations.get, EFFECT_HINTS, usual))


def curation_of(levels: Iterable[Any], where: str, general: int = 0) -> Curation:
    """Return what several levels say, from the document's root to the operation; the innermost counts.

    An object offers the tool only if it says so. So many of the first are `general`, about several operations. Raises
    SettingsError for a value of `x-mcp` that means nothing.
    """
    found = Curation()
    for at, level in enumerate(levels):
        if isinstance(level, bool):
            found = replace(found, include=level)
        elif level is not None:
            _refuse_wrong(level, X_MCP_MEMBERS, where)
            found = _with(found, level, where)
            found = replace(found, general=frozenset(found.arguments)) if at < general else found
    return found


def _with(curation: Curation, members: Mapping[str, Any], where: str) -> Curation:
    given = dict(members)
    for name in ("arguments", "annotations"):
        given[name] = {**getattr(curation, name), **given.get(name, {})}
    _refuse_wrong(given["annotations"], dict.fromkeys(EFFECT_HINTS, bool), f"{where}: annotations")
    for name, argument in given["arguments"].items():
        _refuse_wrong(argument, OF_ARGUMENT, f"{where}: argument {name!r}")
    return replace(curation, **given)


def _refuse_wrong(value: Any, members: Mapping[str, type], where: str) -> None:
    """Raise SettingsError unless a value is an object of these members."""
    if not isinstance(value, dict):
        instead = "true, false or an object" if members is X_MCP_MEMBERS else "an object"
        raise SettingsError(f"{where}: expected {instead} of {', '.join(members)}.")
    for name, member in value.items():
        if name not in members:
            raise SettingsError(f"{where}: {name!r} is not known; known are {', '.join(members)}.")
        if not isinstance(member, members[name]):
            raise SettingsError(f"{where}: {name} must be {TYPE_NAMES[members[name]]}.")


@dataclass(frozen=True, eq=False, kw_only=True)
class CuratedArguments(Arguments):
    """Arguments of which some have other names, and some are not offered.

    `original` are those of the operation, `names` the offered names by the original ones, `fixed` the values that are
    always sent, and `hidden` the original names that are not offered.
    """

    original: Arguments
    names: Mapping[str, str]
    fixed: Mapping[str, Any] = field(repr=False)
    hidden: frozenset[str]

    @property
    def schema_of_each(self) -> Shape:
        """The schema of each argument for itself, without what holds for several together: what a listing can show."""
        return self._offered(self.original.schema_of_each)

    @cached_property
    def schema(self) -> Shape:
        """The full input schema (JSON Schema 2020-12), with references into the document."""
        return self._offered(self.original.schema)

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put the arguments and the fixed values into their places."""
        return self.original.bind(self._original(arguments))

    def violations(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield everything that is wrong with the arguments, with pointers into them."""
        for name in filter(self._is_withdrawn, arguments):
            yield Violation(f"/{name}", "there is no such argument")
        for violation in self.original.violations(self._original(arguments)):
            yield replace(violation, pointer=self._offered_pointer(violation.pointer))

    def bound_if_valid(self, arguments: Mapping[str, Any]) -> Bound | None:
        """Return arguments that are surely valid, and the fixed values, in their places."""
        if any(map(self._is_withdrawn, arguments)):
            return None
        return self.original.bound_if_valid(self._original(arguments))

    def takes(self, argument: str, value: Any) -> bool:
        """Check whether a value is valid for one argument, whatever else is given."""
        return self.original.takes(self._back.get(argument, argument), value)

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with everything that is refused read in the only possible way. Raises OutOfTime."""
        withdrawn = {name: value for name, value in arguments.items() if self._is_withdrawn(name)}
        read = self.original.read(self._original(arguments))
        offered = {self.names.get(name, name): value for name, value in read.items() if name not in self.hidden}
        return offered | withdrawn

    @property
    def choices(self) -> Mapping[str, Shape]:
        """What a listing shows of arguments that decide which others there are, whatever its budget."""
        choices = self.original.choices.items()
        return {self.names.get(name, name): shape for name, shape in choices if name not in self.hidden}

    @cached_property
    def _back(self) -> dict[str, str]:
        """The original names by the offered ones."""
        return {offered: name for name, offered in self.names.items()}

    def unfit(self) -> list[str]:
        """Return the arguments whose fixed values the operation does not take."""
        return [name for name, value in self._fixed.items() if not self.original.takes(name, value)]

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """The fixed values as they are sent: those of variables are texts, whatever the argument is."""
        read = self.original.read(self.fixed)
        return {name: read.get(name, value) for name, value in self.fixed.items()}

    def _original(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        offered = {name: value for name, value in arguments.items() if not self._is_withdrawn(name)}
        fixed = self._fixed if self.fixed else {}
        return {**{self._back.get(name, name): value for name, value in offered.items()}, **fixed}

    def _is_withdrawn(self, name: str) -> bool:
        """Check whether an argument is not offered under the name that the operation gives it."""
        return name not in self.bindings and name in self.original.bindings

    def _offered_pointer(self, pointer: str) -> str:
        _, first, *rest = pointer.split("/", 2) if pointer else ("", "")
        return "/".join(("", self.names.get(first, first), *rest)) if pointer else pointer

    def _offered(self, schema: Shape) -> Shape:
        """Return a schema of arguments, and what it applies to all of them, with the names that are offered."""
        offered = dict(schema)
        if "properties" in schema:
            offered["properties"] = {
                self.names.get(name, name): self._described(name, value)
                for name, value in schema["properties"].items()
                if name not in self.hidden
            }
        if isinstance(schema.get("required"), list):
            offered["required"] = [self.names.get(name, name) for name in schema["required"] if name not in self.hidden]
        for keyword in ("if", "then", "else"):
            if isinstance(schema.get(keyword), dict):
                offered[keyword] = self._offered(schema[keyword])
        return offered

    def _described(self, name: str, schema: Any) -> Any:
        binding = self.bindings.get(self.names.get(name, name))
        return schema if binding is None else binding.schema


def curated(original: Arguments, curations: Mapping[str, Mapping[str, Any]], where: str) -> Arguments:
    """Return the arguments as they are offered. Raises SettingsError for one that does not exist or is needed."""
    if not curations:
        return original
    unknown = [name for name in curations if name not in original.bindings]
    if unknown:
        raise SettingsError(f"{where} has no argument {unknown[0]!r}; it has {', '.join(original.bindings)}.")
    fixed = {name: each["value"] for name, each in curations.items() if "value" in each}
    hidden = frozenset(fixed) | {name for name, each in curations.items() if each.get("hidden")}
    missing = [name for name in hidden - fixed.keys() if original.bindings[name].required]
    if missing:
        raise SettingsError(f"{where}: {missing[0]!r} is required, so it cannot be hidden without a value.")
    names = {name: each["name"] for name, each in curations.items() if "name" in each}
    bindings = {
        names.get(name, name): replace(
            binding, argument=names.get(name, name), schema=_with_words(binding.schema, curations.get(name, {}))
        )
        for name, binding in original.bindings.items()
        if name not in hidden
    }
    if len(bindings) < len(original.bindings) - len(hidden):
        raise SettingsError(f"{where}: two arguments would have the same name.")
    return CuratedArguments(
        bindings=bindings,
        media_type=original.media_type,
        body_required=original.body_required,
        further=original.further,
        shapes=original.shapes,
        original=original,
        names=names,
        fixed=fixed,
        hidden=hidden,
    )


def _with_words(schema: Any, curation: Mapping[str, Any]) -> Any:
    if "description" not in curation:
        return schema
    words = {"description": curation["description"]}
    return {**schema, **words} if isinstance(schema, dict) and "$ref" not in schema else {"allOf": [schema], **words}


def with_variables(curation: Curation, environ: Mapping[str, str]) -> tuple[Curation, dict[str, str]]:
    """Return a curation whose fixed values `$NAME` are those of variables, and these variables with their values.

    Raises SettingsError for a variable that is not set.
    """
    secrets: dict[str, str] = {}
    arguments = {}
    for name, argument in curation.arguments.items():
        value = argument.get("value")
        reference = VARIABLE_REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference and not environ.get(reference[1]):
            raise SettingsError(f"the value of argument {name!r} refers to {value}, which is not set.")
        if reference:
            secrets[reference[1]] = environ[reference[1]]
        arguments[name] = {**argument, "value": environ[reference[1]]} if reference else argument
    return replace(curation, arguments=arguments), secrets

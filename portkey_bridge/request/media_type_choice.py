"""The arguments of an operation whose media types say different things: one of them is chosen for each call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from typing import Any

from portkey_bridge import media_types
from portkey_bridge.errors import Violation
from portkey_bridge.openapi.keywords import Shape
from portkey_bridge.openapi.pointers import pointer_to
from portkey_bridge.request.arguments import Arguments, Bound
from portkey_bridge.request.binary_values import file_forms
from portkey_bridge.request.uploads import FORMS, MEDIA_TYPE, OCTETS, media_type_of_file
from portkey_bridge.schema.readings import is_unset


@dataclass(frozen=True, eq=False, kw_only=True)
class Alternatives(Arguments):
    """The arguments of an operation whose media types say different things.

    `kinds` has the arguments of each media type, the preferred one first; `choice` is the argument that names one. All
    is left to the arguments of the one that is named. This class is for readers: it has everything that any takes.
    """

    choice: str
    kinds: Mapping[str, Arguments]

    @property
    def schema_of_each(self) -> Shape:
        """The schema of each argument for itself, without what holds for several together: what a listing can show."""
        return {
            keyword: value for keyword, value in super().schema_of_each.items() if keyword != "additionalProperties"
        }

    @property
    def choices(self) -> Mapping[str, Shape]:
        """The media types: without them nobody could send what only one of them takes."""
        shape = self.shapes.once(self.bindings[self.choice].schema)
        return {self.choice: {keyword: value for keyword, value in shape.items() if keyword != "description"}}

    @cached_property
    def schema(self) -> Shape:
        """The full input schema: what any kind takes, and what each takes for itself under `if`, `then` and `else`."""
        names = list(self.kinds)
        first, *others = [self._of_kind(kind) for kind in self.kinds.values()]
        whole: Shape = first
        for name, schema in zip(reversed(names[1:]), reversed(others), strict=True):
            if schema != whole:
                whole = {"if": _is_chosen(self.choice, name), "then": schema, "else": whole}
        return {**self.schema_of_each, **whole}

    def _of_kind(self, kind: Arguments) -> Shape:
        own: Shape = kind.schema
        return {**own, "properties": {**own["properties"], self.choice: self.bindings[self.choice].schema}}

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Put the arguments into the places that the chosen media type has for them."""
        chosen, rest = self._chosen(arguments)
        return (chosen or next(iter(self.kinds.values()))).bind(rest)

    def violations(self, arguments: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield everything that is wrong with the arguments for the chosen media type."""
        chosen, rest = self._chosen(arguments)
        if chosen is None:
            yield Violation(pointer_to([self.choice]), f"expected one of {', '.join(self.kinds)}")
            return
        elsewhere = {pointer_to([argument]): argument for argument in self.bindings.keys() - chosen.bindings.keys()}
        for violation in chosen.violations(rest):
            argument = elsewhere.get(violation.pointer)
            yield violation if argument is None else Violation(violation.pointer, self._goes_with(argument))

    def bound_if_valid(self, arguments: Mapping[str, Any]) -> Bound | None:
        """Return arguments that are surely valid for the chosen media type in their places."""
        chosen, rest = self._chosen(arguments)
        return chosen.bound_if_valid(rest) if chosen is not None else None

    def _goes_with(self, argument: str) -> str:
        kinds = [json.dumps(name) for name, kind in self.kinds.items() if argument in kind.bindings]
        return f"can be sent only with {self.choice} {' or '.join(kinds)}"

    def _chosen(self, arguments: Mapping[str, Any]) -> tuple[Arguments | None, dict[str, Any]]:
        """Return the arguments of the media type that is named, if it is one, and what is given for them."""
        chosen = self._kind(arguments.get(self.choice, self._default(arguments)))
        return chosen, {key: value for key, value in arguments.items() if key != self.choice}

    def _default(self, arguments: Mapping[str, Any]) -> str:
        """Return the media type of a call that names none: that of a given file, else the preferred one.

        Bytes are base64 in JSON, which few servers expect that take the parts of a form, too.
        """
        preferred, *others = self.kinds
        if of_file := self._type_of_file(arguments):
            return of_file
        form = next(filter(media_types.MULTIPART.match, others), None)
        if form is None or media_types.MULTIPART.match(preferred):
            return preferred
        bindings = self.kinds[preferred].bindings
        given = (bindings[name] for name, value in arguments.items() if name in bindings and not is_unset(value))
        of_body = (binding.schema for binding in given if binding.location == "body")
        return form if any(file_forms(schema, form, self.shapes) == FORMS for schema in of_body) else preferred

    def _type_of_file(self, arguments: Mapping[str, Any]) -> str | None:
        """Return the media type of the file that is the whole body, or that of any bytes, if they are among several."""
        of_bytes = {name: kind for name, kind in self.kinds.items() if kind.takes_file}
        files = (arguments.get(kind.whole_body) for kind in of_bytes.values() if kind.whole_body)
        given = next((each for each in files if isinstance(each, str)), None)
        if len(of_bytes) < 2 or given is None:
            return None
        wanted = (media_type_of_file(given), OCTETS)
        return next((name for media_type in wanted for name in of_bytes if media_types.bare(name) == media_type), None)

    def _kind(self, name: Any) -> Arguments | None:
        """Return the arguments of a media type, which may be within a range of files; None for anything else."""
        if not isinstance(name, str):
            return None
        if name in self.kinds:
            return self.kinds[name]
        within = (kind for declared, kind in self.kinds.items() if _is_file_within(name, declared))
        kind = next(within, None)
        if kind is None or kind.media_type is None:
            return None
        return replace(kind, media_type=replace(kind.media_type, name=name))

    def takes(self, argument: str, value: Any) -> bool:
        """Check whether a value is valid for one argument with any media type."""
        return any(kind.takes(argument, value) for kind in self.kinds.values())

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the chosen media type reads them; where none is chosen, as the only one that can.

        Raises OutOfTime.
        """
        chosen = arguments.get(self.choice)
        if not is_unset(chosen):
            kind = self._kind(chosen)
            return dict(arguments) if kind is None else {**self._read_as(kind, arguments), self.choice: chosen}
        preferred = self._default(arguments)
        others = [name for name in self.kinds if name != preferred]
        read = {name: self._read_as(kind, arguments) for name, kind in self.kinds.items()}
        if not any(self.kinds[preferred].violations(read[preferred])):
            return read[preferred]
        possible = [name for name in others if not any(self.kinds[name].violations(read[name]))]
        return {**read[possible[0]], self.choice: possible[0]} if len(possible) == 1 else read[preferred]

    def _read_as(self, kind: Arguments, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Read the arguments for one media type, without unset ones of others."""
        others = self.bindings.keys() - kind.bindings.keys()
        left_out = {name for name, value in arguments.items() if name in others and is_unset(value)}
        return kind.read({name: arguments[name] for name in arguments if name not in left_out | {self.choice}})


def _is_file_within(name: str, declared: str) -> bool:
    """Check whether a media type is a concrete one within a range of files."""
    is_concrete = MEDIA_TYPE.fullmatch(name) is not None and "*" not in name
    return (
        is_concrete and media_types.FILE_RANGES.match(declared) is not None and fnmatch(name.lower(), declared.lower())
    )


def _is_chosen(choice: str, name: str) -> Shape:
    own = {"pattern": f"^{name.removesuffix('*')}"} if media_types.FILE_RANGES.match(name) else {"enum": [name]}
    return {"required": [choice], "properties": {choice: own}}

"""The credentials of the environment, as far as a document may have them, and why it may not have the others."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from portkey_bridge.credentials.schemes import DIGEST
from portkey_bridge.credentials.variables import collect_secrets, is_unexpanded, usual_variable, variable
from portkey_bridge.credentials.withheld import needs_naming, why_withheld, with_names
from portkey_bridge.openapi.model import Api, SecurityScheme
from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS, Settings
from portkey_bridge.text import is_url, shown_url

#: What is said of a variable whose value is a reference that the client passed on.
UNEXPANDED = "has a reference like ${NAME} that nothing replaced"


@dataclass(frozen=True)
class Environment:
    """The variables of an API's credentials: `secrets` are the values of those that are set and may be used.

    `withheld` has the reason why another one is not, and what changes that. `replaced` has the variables that are set
    although several schemes would share them, and what these schemes take instead. `certain` are the variables that a
    person named or that one scheme alone takes, whose values are not ordinary words, `logins` those of `user:password`.
    `unexpanded` are those that count as not set, because their values are references that nothing replaced. `assigned`
    has the variables that the settings file assigns others to: a person sets those others.
    """

    secrets: Mapping[str, str] = field(repr=False)
    withheld: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, Sequence[str]] = field(default_factory=dict)
    certain: frozenset[str] = frozenset()
    logins: frozenset[str] = frozenset()
    unexpanded: frozenset[str] = frozenset()
    assigned: Mapping[str, str] = field(default_factory=dict)

    def to_set(self, names: Iterable[str]) -> list[str]:
        """Return the variables that a person sets so that the API has these."""
        return [self.assigned.get(name, name) for name in names]

    def reasons(self, names: Collection[str]) -> list[str]:
        """Return why variables that are set are not used, as far as they have to do with these names."""
        withheld = [f"{name} is {reason}" for name, reason in self.withheld.items() if name in names]
        replaced = [
            f"{name} is set, but not used, because several schemes would share it: set {' or '.join(instead)}"
            for name, instead in self.replaced.items()
            if not {*names}.isdisjoint(instead)
        ]
        return [*withheld, *replaced, *(f"{name} {UNEXPANDED}" for name in sorted(self.unexpanded.intersection(names)))]


def read_environment(api: Api, settings: Settings) -> Environment:
    """Return what the settings' environment has of the API's credentials. Raises SettingsError for unusable values."""
    schemes = {scheme: name for scheme in _schemes(api) if (name := variable(scheme))}
    names = {*schemes.values()}
    return Environment(
        collect_secrets(names, settings, api.uri),
        {name: reason for name in sorted(names) if (reason := why_withheld(name, settings, api.uri))},
        {
            name: instead
            for name, instead in shared_variables(api).items()
            if name not in names and settings.environ.get(name, "").strip()
        },
        frozenset(name for scheme, name in schemes.items() if scheme.variable),
        frozenset(name for scheme, name in schemes.items() if scheme.scheme in ("basic", DIGEST)),
        frozenset(name for name in names if is_unexpanded(name, settings)),
        settings.assigned,
    )


def shared_variables(api: Api) -> dict[str, list[str]]:
    """Return the usual variables that several schemes would share, and the variables that they have instead."""
    shared: dict[str, set[str]] = {}
    for scheme in _schemes(api):
        if scheme.variable and not scheme.added and (name := usual_variable(scheme)):
            shared.setdefault(name, set()).add(scheme.variable)
    return {name: sorted(instead) for name, instead in sorted(shared.items())}


def _schemes(api: Api) -> Iterator[SecurityScheme]:
    """Yield every scheme that the document declares, or that an operation takes, once."""
    taken = chain.from_iterable(chain(*operation.security) for operation in api.operations)
    yield from dict.fromkeys(chain(taken, api.schemes))


def example_configuration(names: Iterable[str], settings: Settings, document_uri: str) -> str:
    """Return the lines of a client's configuration that start this server and set these variables."""
    names = [*names]
    assigned = settings.assigned.values()  # is named by the settings file
    naming = [name for name in names if name not in assigned and needs_naming(name, settings, document_uri)]
    texts = {**settings.texts}
    if naming and not settings.name:  # else the reason why a variable is withheld says what to write in the file
        texts["credentials"] = with_names(settings, naming)
    words = chain.from_iterable(_words(option, texts[option.field]) for option in OPTIONS if option.field in texts)
    entry = {
        "command": "uvx",
        "args": ["portkey-bridge", *words],
        "env": {**settings.server_variables, **dict.fromkeys(names, "…")},
    }
    return f'"portkey-bridge": {json.dumps(entry, ensure_ascii=False)}'


def _words(option: Option, text: str) -> Sequence[str]:
    """Return an option as words of the command line. Paths are absolute, and logins in URLs are left out."""
    if option.metavar is None:
        return () if option.read(text, option.variable) == option.default else (option.flag,)
    if is_url(text) or option.field == "store":
        return option.flag, shown_url(text)
    return option.flag, option.with_paths(text, Path.absolute)

"""The command line, the environment, `.env` and the settings file become one frozen value.

An option overrides its variable, and the real environment overrides a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portkey_bridge.settings.env_files import env_file_values
from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS, Settings
from portkey_bridge.settings.serving import AUTH, Role, auth_of_variables, merged
from portkey_bridge.settings.values import SERVER_VARIABLE_PREFIX


@dataclass(frozen=True)
class Section:
    """What a settings file says of one API: the text and the place of each option by its field, and its variables.

    `environ` are the values of variables that the file assigns, `assigned` the names of all of these, each with the
    variable that its value comes from, also if that is not set.
    """

    name: str = ""
    prefix: str = ""
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    assigned: Mapping[str, str] = field(default_factory=dict)
    server_variables: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=dict, repr=False)
    roles: tuple[Role, ...] = ()


def read_settings(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: str | None = None, section: Section | None = None
) -> Settings:
    """Combine the command line's `flags` (by field), the environment, `.env` or the named file, and the settings file.

    Raises SettingsError for a value that cannot be used.
    """
    section = section or Section()
    filed = env_file_values(env_file)
    both = {**filed, **environ}
    from_dotenv = frozenset() if env_file else frozenset(filed.keys() - environ.keys())
    dotenv = {name: filed[name] for name in from_dotenv}
    overridden = flags.keys() | section.texts.keys()
    set_there = [each for each in OPTIONS if dotenv.get(each.variable) and each.field not in overridden]
    return Settings(
        **{option.field: _value(option, flags, environ if dotenv else both, section, dotenv) for option in OPTIONS},
        name=section.name,
        prefix=section.prefix,
        assigned=section.assigned,
        operations=section.operations,
        auth=merged(section.auth, auth_of_variables(both)),
        roles=section.roles,
        server_variables={
            **{name: value for name, value in both.items() if name.startswith(SERVER_VARIABLE_PREFIX) and value},
            **section.server_variables,
        },
        environ={**{name: both[name] for name in both.keys() - section.assigned.keys()}, **section.environ},
        texts={option.field: text for option in OPTIONS if (text := _text_of(option, flags, both)) is not None},
        from_dotenv=from_dotenv - section.assigned.keys(),
        apart=(
            *(option.variable for option in set_there if option.dotenv == "apart"),
            *sorted(name for name in from_dotenv if name.startswith(SERVER_VARIABLE_PREFIX)),
        ),
        refused=(
            *(option.variable for option in set_there if option.dotenv == "refused"),
            *sorted(name for name in from_dotenv if name.startswith(AUTH)),
        ),
    )


def _value(
    option: Option, flags: Mapping[str, str], environ: Mapping[str, str], section: Section, dotenv: Mapping[str, str]
) -> Any:
    """Return the value of an option: of the command line, else the environment, the settings file, or else `.env`.

    What that file must not set is not even read: readers of paths look at the disk.
    """
    text = _text_of(option, flags, environ)
    if text is not None:
        name = f"{option.flag} or {option.variable}" if option.field in flags else option.variable
        return option.read(text, name)
    if option.field in section.texts:
        return option.read(*section.texts[option.field])
    text = None if option.dotenv == "refused" else dotenv.get(option.variable) or None
    return option.default if text is None else option.read(text, option.variable)


def _text_of(option: Option, flags: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    return flags.get(option.field, environ.get(option.variable) or None)

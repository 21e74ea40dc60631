"""The settings file: several APIs, each with the options of the command line, and the options of the whole server.

It is TOML. `[api.NAME]` holds what the command line says about one API, `[serve]` what it says about the server. Paths
are relative to the file, and a text `$NAME` is the value of that variable.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from portkey_bridge.errors import SettingsError, likely
from portkey_bridge.settings.env_files import env_file_values, refuse_lured_document, refuse_untrusted
from portkey_bridge.settings.option import Option
from portkey_bridge.settings.options import OPTIONS, Settings
from portkey_bridge.settings.reading import Section, read_settings
from portkey_bridge.settings.serving import AUTH_SCHEMA, ROLES_SCHEMA, Role, role_of
from portkey_bridge.settings.values import SERVER_VARIABLE_PREFIX, as_variable

#: The name of a file that is found by itself, in the user's configuration folder.
FILE_NAME = "portkey-bridge.toml"

#: Names of APIs, each of which begins the names of its tools.
API_NAME = re.compile(r"[a-z][a-z0-9_]*")

#: A text that stands for the value of a variable.
VARIABLE_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")

#: A text that is the value of a variable.
REFERENCE_SCHEMA = {"type": "string", "pattern": VARIABLE_REFERENCE.pattern}

#: JSON Schemas of options. A text is also a list of numbers where the command line separates them with commas.
OPTION_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "boolean": {"type": "boolean"},
    "list": {"type": ["array", "string"], "items": {"type": "string"}},
    "integer": {"type": ["integer", "string"], "pattern": VARIABLE_REFERENCE.pattern},
    "text": {"type": ["string", "number", "array"], "items": {"type": "number"}},
}

#: Keys of an API that are not options of the command line, and what they hold.
KEYS = {
    "prefix": "begins the names of the API's tools (default: the API's name and _)",
    "env": "the API's variables, which no other API gets",
    "server_variables": "variables of the document's server URLs by their names",
    "operations": "what x-mcp may hold for single tools, by their names: true, false, or name, description and others",
}

#: An example of each of those that are tables.
KEY_EXAMPLES = {
    "env": '{ API_KEY = "$PETSTORE_KEY" }',
    "server_variables": '{ region = "eu" }',
    "operations": '{ listpets = { description = "Lists all pets." }, deletepet = false }',
}

#: The options that stand in each kind of table, by their keys.
OF_TABLE = {table: {option.field: option for option in OPTIONS if option.table == table} for table in ("api", "serve")}


@dataclass(frozen=True)
class _File:
    """The text of a settings file with its values, and the variables that it may refer to."""

    path: Path
    text: str
    values: Mapping[str, Any]
    environ: Mapping[str, str]

    def place(self, *keys: str) -> str:
        """Return the file with the line of a key, by the names of the tables around it."""
        return f"{self.path}, line {line_of(self.text, keys)}"


def default_path() -> Path:
    """Return the file that is read if no other is named, and that need not exist."""
    return user_config_path("portkey-bridge") / FILE_NAME


def config_path(settings: Settings) -> Path:
    """Return the settings file, the named one or the user's own, which need not exist."""
    return Path(settings.config).expanduser() if settings.config else default_path()


def _found(settings: Settings) -> Path | None:
    """Return the settings file that is read: the named one, else the user's own unless a document is named.

    An API that has a name comes from that file.
    """
    path, is_read = config_path(settings), bool(settings.config or settings.name)
    return path if is_read or (settings.spec is None and path.is_file()) else None


def read_config(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: str | None = None
) -> tuple[Settings, ...]:
    """Return the settings of each API: one without a settings file, else each of the file, in its order.

    `flags` are options of the command line by field. Raises SettingsError.
    """
    alone = read_settings(flags, environ, env_file)
    refuse_untrusted(alone)
    path = _found(alone)
    if path is None:
        refuse_lured_document(alone)
        return (alone,)
    named = env_file_values(env_file) if env_file else {}  # nobody vouches for the `.env` of the working directory
    file = _File(path, *_parsed(path), {**named, **environ})
    sections = list(_sections(file))
    if len(sections) > 1:
        _refuse_options_of_one_api(flags, file)
    apis = tuple(read_settings(flags, environ, env_file, section) for section in sections)
    for each in apis:
        refuse_lured_document(each)
    return apis


def referenced_variables(settings: Settings) -> set[str]:
    """Return the names of all variables that the settings file mentions."""
    path = _found(settings)
    return set(re.findall(VARIABLE_REFERENCE.pattern, _parsed(path)[0])) if path else set()


def refers(settings: Settings) -> bool:
    """Check whether anything in the settings file but the variables of an API takes its value from a variable."""
    path = _found(settings)
    values = _parsed(path)[1] if path else {}
    tables = [{key: each for key, each in table.items() if key != "env"} for table in values.get("api", {}).values()]
    return any(map(VARIABLE_REFERENCE.fullmatch, _texts_in([values.get("serve"), tables])))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        yield from chain.from_iterable(map(_texts_in, value.values() if isinstance(value, dict) else value))


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """Return the number of the line where a key of a TOML text is set, or else the table around it; 1 if neither."""
    table: list[str] = []
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+?)\s*=", line)
        if header:
            table = _names(header[1])
        path = (tuple(table) if header else (*table, *_names(key[1])) if key else ())[: len(keys)]
        if len(path) > depth and path == keys[: len(path)]:
            best, depth = number, len(path)
    return best


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in dotted.split(".")]


def _parsed(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8, which TOML is. Save it as UTF-8.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"{path}: cannot be read ({reason}). Correct --config or OPEN_MCP_CONFIG.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}. portkey-bridge config init writes an example.") from error


def _sections(file: _File) -> Iterator[Section]:
    _refuse_unknown(file, (), file.values, ("api", "serve"))
    serve = _table(file, ("serve",))
    _refuse_unknown(file, ("serve",), serve, (*OF_TABLE["serve"], "auth", "roles"))
    auth = _plain(file, ("serve", "auth"), _table(file, ("serve", "auth")))
    common = Section(
        texts=dict(_texts(file, ("serve",), serve, OF_TABLE["serve"])), auth=auth, roles=tuple(_roles(file))
    )
    names = _table(file, ("api",))
    for name in names:
        yield _section(file, name, common)
    if not names:
        yield common


def _roles(file: _File) -> Iterator[Role]:
    for name in _table(file, ("serve", "roles")):
        keys = ("serve", "roles", name)
        yield role_of(name, _table(file, keys), file.place(*keys))


def _plain(file: _File, keys: tuple[str, ...], value: Any) -> Any:
    """Return a value of any kind, with each text that refers to a variable replaced. Raises SettingsError."""
    if isinstance(value, dict):
        return {key: _plain(file, (*keys, key), each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(file, keys, each) for each in value]
    return _resolved(file, keys, value) if isinstance(value, str) else value


def _section(file: _File, name: str, common: Section) -> Section:
    keys = ("api", name)
    if not API_NAME.fullmatch(name):
        raise SettingsError(f"{file.place(*keys)}: the name {name!r} must match {API_NAME.pattern}.")
    table = _table(file, keys)
    _refuse_unknown(file, keys, table, (*OF_TABLE["api"], *KEYS))
    prefix = _resolved(file, (*keys, "prefix"), table.get("prefix", f"{name}_"))
    if not re.fullmatch(r"([a-z][a-z0-9_]*)?", prefix):
        raise SettingsError(f"{file.place(*keys, 'prefix')}: the prefix {prefix!r} must match {API_NAME.pattern}.")
    server_variables = _variables(file, (*keys, "server_variables"))
    return replace(
        common,
        name=name,
        prefix=prefix,
        texts={**common.texts, **dict(_texts(file, keys, table, OF_TABLE["api"]))},
        environ=_variables(file, (*keys, "env")),
        assigned={
            variable: reference[1] if (reference := VARIABLE_REFERENCE.fullmatch(str(value))) else variable
            for variable, value in _table(file, (*keys, "env")).items()
        },
        operations={
            tool: (said, file.place(*keys, "operations", tool))
            for tool, said in _table(file, (*keys, "operations")).items()
        },
        server_variables={
            f"{SERVER_VARIABLE_PREFIX}{as_variable(key)}": value for key, value in server_variables.items()
        },
    )


def _table(file: _File, keys: tuple[str, ...]) -> Mapping[str, Any]:
    table: Mapping[str, Any] = file.values
    for key in keys:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise SettingsError(f"{file.place(*keys)}: {'.'.join(keys)} must be a table.")
        table = value
    return table


def _refuse_unknown(file: _File, keys: tuple[str, ...], table: Iterable[str], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            raise SettingsError(f"{file.place(*keys, key)}: unknown key {key!r}; {likely(key, known)}")


def _texts(
    file: _File, keys: tuple[str, ...], table: Mapping[str, Any], options: Mapping[str, Option]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each option of a table by its field: its text, as the command line would have it, and its place."""
    for key, value in table.items():
        if key in options:
            place = (*keys, key)
            values = value if isinstance(value, list) else [value]
            text = options[key].separator.join(_resolved(file, place, each) for each in values)
            yield key, (options[key].with_paths(text, lambda path: file.path.parent / path), file.place(*place))


def _variables(file: _File, keys: tuple[str, ...]) -> dict[str, str]:
    """Return the values of a table of texts. One that refers to a variable that is not set is left out."""
    table = _table(file, keys)
    set_here = {key: value for key, value in table.items() if not _is_unset(file, value)}
    return {key: _resolved(file, (*keys, key), value) for key, value in set_here.items()}


def _is_unset(file: _File, value: object) -> bool:
    reference = VARIABLE_REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return reference is not None and not file.environ.get(reference[1])


def _resolved(file: _File, keys: tuple[str, ...], value: Any) -> str:
    """Return the text of a value: of a variable if it refers to one, else its own as an option has it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if not isinstance(value, str | int | float):
        raise SettingsError(f"{file.place(*keys)}: {keys[-1]} must be a text, a number, true or false.")
    if _is_unset(file, value):
        raise SettingsError(f"{file.place(*keys)}: {keys[-1]} refers to {value}, which is not set.")
    reference = VARIABLE_REFERENCE.fullmatch(str(value))
    return file.environ[reference[1]] if reference else str(value)


def _refuse_options_of_one_api(flags: Mapping[str, str], file: _File) -> None:
    outside = [option.flag for option in OF_TABLE["api"].values() if option.field in flags]
    outside += [option.variable for option in OF_TABLE["api"].values() if file.environ.get(option.variable)]
    if outside:
        raise SettingsError(
            f"{file.path} has several APIs, and {' and '.join(outside)} would apply to each of them. Set it in the "
            "table of the API that is meant."
        )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the settings file, for editors."""
    api: dict[str, Any] = {key: _schema_of(option) for key, option in OF_TABLE["api"].items()}
    texts = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    api["prefix"] = {"type": "string", "pattern": "^([a-z][a-z0-9_]*)?$", "description": KEYS["prefix"]}
    api |= {key: {**texts, "description": KEYS[key]} for key in ("env", "server_variables")}
    api["operations"] = {"type": "object", "description": KEYS["operations"]}
    of_api = {"type": "object", "properties": api, "additionalProperties": False}
    serve: dict[str, Any] = {key: _schema_of(option) for key, option in OF_TABLE["serve"].items()}
    serve |= {"auth": AUTH_SCHEMA, "roles": ROLES_SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of portkey-bridge",
        "type": "object",
        "properties": {
            "api": {
                "type": "object",
                "patternProperties": {f"^{API_NAME.pattern}$": of_api},
                "additionalProperties": False,
            },
            "serve": {"type": "object", "properties": serve, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def _schema_of(option: Option) -> dict[str, Any]:
    if words := _words(option):
        values = [*words, *((True, False) if option.bare else ())]
        return {"anyOf": [{"enum": values}, REFERENCE_SCHEMA], "description": option.help}
    types = {"boolean": option.metavar is None, "list": option.is_list, "integer": isinstance(option.default, int)}
    kind = next((kind for kind, applies in types.items() if applies), "text")
    least = getattr(option.read, "keywords", {}).get("least")
    bound = {} if least is None else {"minimum": least}
    return {**OPTION_SCHEMAS[kind], **bound, "description": option.help}


def _words(option: Option) -> list[str]:
    """Return the words of an option that takes nothing else."""
    return (option.metavar or "").split("|") if re.fullmatch(r"[a-z]+(\|[a-z]+)+", option.metavar or "") else []


def template(texts: Mapping[str, str]) -> str:
    """Return a settings file with the options of these texts, by field; others are commented out, with their help."""
    lines = [
        "# Settings of portkey-bridge. Paths are relative to this file; a text $NAME is the value of that variable.",
        "",
        "[serve]",
        *(line for option in OF_TABLE["serve"].values() for line in _written(option, texts)),
        "",
        "# One table for each API. Its name and _ begin the names of its tools, unless prefix says otherwise.",
        "[api.main]",
        'prefix = ""',
        *(line for option in OF_TABLE["api"].values() for line in _written(option, texts)),
        *(f"\n# {KEYS[key]}\n# {key} = {example}" for key, example in KEY_EXAMPLES.items()),
    ]
    return "\n".join(lines) + "\n"


def _written(option: Option, texts: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield f"# {option.help}"
    if option.field in texts:
        yield f"{option.field} = {_toml(option, option.with_paths(texts[option.field], Path.absolute))}"
    else:
        yield f"# {option.field} = {_example(option)}"


def _example(option: Option) -> str:
    if option.metavar is None:
        return json.dumps(not option.default)
    has_default = option.default is not None and option.default != "" and not option.is_list
    example = next(iter(_words(option)), option.metavar.removesuffix(",…"))
    return _toml(option, str(option.default) if has_default else example)


def _toml(option: Option, text: str) -> str:
    """Write the text of an option as TOML."""
    if option.metavar is None:
        return json.dumps(option.read(text, option.variable))
    if isinstance(option.default, int):
        return text
    items = [item for each in text.split(option.separator) if (item := each.strip())] if option.is_list else text
    return json.dumps(items, ensure_ascii=False)

"""The settings file: several APIs in one server, each with its own options, variables and tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from portkey_bridge.settings.file import read_config
from portkey_bridge.settings.options import OPTIONS
from portkey_bridge.settings.reading import read_settings
from tests.conftest import BARE, Connect, Recorder, Run, recording, run_in, text_of
from tests.support import document

BINARY = {"type": "string", "format": "binary"}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}


def api(folder: Path, name: str, url: str, **fields: Any) -> str:
    """Write a document with one operation that takes X-Key, and return the name of its file."""
    paths = {f"/{name}": {"get": {"operationId": "list", "summary": f"List {name}", "security": [{"key": []}]}}}
    root = document(
        paths,
        info={"title": name.title(), "version": "1"},
        servers=[{"url": url}],
        **fields,
        components={"securitySchemes": {"key": KEY}},
    )
    (folder / f"{name}.json").write_text(json.dumps(root), encoding="utf-8")
    return f"{name}.json"


@pytest.fixture
def two(tmp_path: Path, recorder: Recorder) -> Any:
    """Return a settings file with two APIs, each on a server of its own."""
    with recording() as other:
        cats, dogs = api(tmp_path, "cats", recorder.url), api(tmp_path, "dogs", other.url)
        file = tmp_path / "team.toml"
        file.write_text(
            f'[api.cats]\nspec = "{cats}"\nenv = {{X_KEY = "$CAT_KEY"}}\n\n[api.dogs]\nspec = "{dogs}"\n'
            '[api.dogs.env]\nX_KEY = "$DOG_KEY"\n',
            encoding="utf-8",
        )
        yield file, recorder, other


async def test_each_api_gets_its_own_tools_and_only_its_own_credential(two: Any, connect: Connect) -> None:
    """Two APIs that ask for the same variable each get what the file assigns, and nothing of the other's."""
    file, cats, dogs = two
    env = {"CAT_KEY": "marker-of-cats-1234", "DOG_KEY": "marker-of-dogs-5678", "X_KEY": "marker-of-all-9999"}
    async with connect("--config", str(file), env=env) as client:
        names = {tool.name for tool in await client.list_tools()}
        answers = [text_of(await client.call_tool(name)) for name in ("cats_list", "dogs_list")]
    assert names == {"cats_list", "dogs_list", "expandSchema", "expandResult"}
    assert [cats.last.header("x-key"), dogs.last.header("x-key")] == ["marker-of-cats-1234", "marker-of-dogs-5678"]
    assert len(cats.requests) == len(dogs.requests) == 1
    assert "marker" not in "".join(answers)


async def test_an_assigned_variable_is_never_that_of_the_environment(two: Any, connect: Connect) -> None:
    """While the variable that the file assigns is not set, nothing is sent instead, and the refusal names that one."""
    file, cats, _ = two
    async with connect("--config", str(file), env={"X_KEY": "marker-of-all-9999"}) as client:
        refusal = await client.call_tool("cats_list", raise_on_error=False)
    assert refusal.is_error
    assert not cats.requests
    assert "\n- CAT_KEY\n" in text_of(refusal)
    assert '"env": {"CAT_KEY": "…"}' in text_of(refusal)
    assert "X_KEY" not in text_of(refusal)


async def test_a_variable_that_two_apis_would_take_goes_to_neither(two: Any, connect: Connect, tmp_path: Path) -> None:
    """Until the file assigns it, and the warning and the refusal say so."""
    file, cats, dogs = two
    file.write_text('[api.cats]\nspec = "cats.json"\n[api.dogs]\nspec = "dogs.json"\n', encoding="utf-8")
    log = tmp_path / "log"
    async with connect("--config", str(file), env={"X_KEY": "marker-of-all-9999"}, log_file=log) as client:
        result = await client.call_tool("cats_list", raise_on_error=False)
    assert result.is_error
    assert not cats.requests
    assert not dogs.requests
    assert 'assign it in the settings file, as in [api.cats.env] X_KEY = "$X_KEY"' in log.read_text(encoding="utf-8")


async def test_the_warning_about_a_variable_names_apis_that_would_take_it(two: Any, run: Run, tmp_path: Path) -> None:
    """Also where the first API of the file is none of them."""
    (tmp_path / "open.json").write_text(json.dumps(document({"/x": {"get": {"responses": {}}}})), encoding="utf-8")
    names = ("open", "cats", "dogs")
    file = tmp_path / "three.toml"
    file.write_text("".join(f'[api.{name}]\nspec = "{name}.json"\n' for name in names), encoding="utf-8")
    said = run("tools", "--config", str(file), env={"X_KEY": "marker-of-all-9999"}).stderr
    assert "X_KEY is set, and cats and dogs would take it, so none gets it" in said
    assert "[api.cats.env]" in said


async def test_an_assigned_variable_is_named_for_a_document_from_a_url(
    recorder: Recorder, connect: Connect, tmp_path: Path
) -> None:
    """The file names it for this API, as --credentials would; a variable of the environment is still withheld."""
    schemes = {"key": KEY, "other": {**KEY, "name": "X-Other"}}
    paths = {f"/{name}": {"get": {"operationId": name, "security": [{name: []}], "responses": {}}} for name in schemes}
    root = document(paths, components={"securitySchemes": schemes}, servers=[{"url": recorder.url}])
    recorder.answers["/d.json"] = 200, {"content-type": "application/json"}, json.dumps(root).encode()
    file = tmp_path / "one.toml"
    file.write_text(f'[api.cats]\nspec = "{recorder.url}/d.json"\nenv = {{X_KEY = "$CAT_KEY"}}\n', encoding="utf-8")
    env = {"CAT_KEY": "marker-of-cats-1234", "X_OTHER": "marker-of-all-9999"}
    async with connect("--config", str(file), env=env) as client:
        await client.call_tool("cats_key")
        refused = await client.call_tool("cats_other", raise_on_error=False)
    (called,) = [each for each in recorder.requests if each.target == "/key"]
    assert called.header("x-key") == "marker-of-cats-1234"
    assert refused.is_error
    assert "withheld" in text_of(refused)


async def test_advice_names_the_key_in_the_table_of_the_api(
    recorder: Recorder, connect: Connect, tmp_path: Path
) -> None:
    """An option or variable would be refused beside a file of several APIs; the key in the table is what helps."""
    number = {"name": "n", "in": "query", "schema": {"type": "integer"}}
    upload = {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"file": BINARY}}}}}
    paths = {
        "/n": {"get": {"operationId": "count", "parameters": [number], "responses": {}}},
        "/f": {"post": {"operationId": "send", "requestBody": upload, "responses": {}}},
        "/large": {"get": {"operationId": "large", "responses": {}}},
    }
    (tmp_path / "a.json").write_text(json.dumps(document(paths, servers=[{"url": recorder.url}])), encoding="utf-8")
    file = tmp_path / "two.toml"
    file.write_text(
        '[api.a]\nspec = "a.json"\nkept_results = "1,1,1"\n[api.b]\nspec = "a.json"\nbase_url = "http://127.0.0.1:9"\n',
        encoding="utf-8",
    )
    recorder.answers["/large"] = 200, {"content-type": "text/plain"}, b"x" * 1_100_000
    calls = {"a_count": {"n": "many"}, "a_send": {"file": "x.txt"}, "a_large": {}}
    async with connect("--config", str(file)) as client:
        said = [text_of(await client.call_tool(name, each, raise_on_error=False)) for name, each in calls.items()]
    keys = ("lenient = true", "files", "kept_results")
    for text, key in zip(said, keys, strict=True):
        assert f"{key} in [api.a] of the settings file" in text
        assert "OPEN_MCP_" not in text


async def test_the_next_page_is_that_of_the_api_that_was_called(two: Any, connect: Connect) -> None:
    """Also if two APIs answer with the very same first page."""
    file, cats, dogs = two
    for each in (cats, dogs):
        each.answer = 200, {"content-type": "application/json", "link": '<?p=2>; rel="next"'}, b'{"data": [1]}'
    env = {"CAT_KEY": "marker-of-cats-1234", "DOG_KEY": "marker-of-dogs-5678"}
    async with connect("--config", str(file), env=env) as client:
        said = [text_of(await client.call_tool(name)) for name in ("cats_list", "dogs_list")]
        kept = [each.partition("with resultId ")[2].partition(" ")[0] for each in said]
        await client.call_tool("expandResult", {"resultId": kept[1], "next": True})
    assert kept[0] != kept[1]
    assert [each.target for each in dogs.requests] == ["/dogs", "/dogs?p=2"]
    assert [each.target for each in cats.requests] == ["/cats"]


async def test_one_search_covers_all_apis(two: Any, connect: Connect) -> None:
    """With --discover, three tools find, show and call the operations of every API."""
    file, _, dogs = two
    async with connect("--config", str(file), "--discover", env={"DOG_KEY": "marker-of-dogs-5678"}) as client:
        found = text_of(await client.call_tool("searchTools", {"query": "list dogs"}))
        only = text_of(await client.call_tool("searchTools", {"query": "list", "api": "cats"}))
        shown = text_of(await client.call_tool("expandSchema", {"toolName": "dogs_list", "jsonPointers": [""]}))
        await client.call_tool("callTool", {"toolName": "dogs_list", "arguments": {}})
    assert found.startswith("dogs_list · GET /dogs · ")
    assert "cats_list" in only
    assert "dogs_list" not in only
    assert json.loads(shown)[0]["schema"]["type"] == "object"
    assert dogs.last.target == "/dogs"


async def test_a_broken_document_costs_only_its_api(two: Any, connect: Connect, tmp_path: Path) -> None:
    """The others are served, and a warning names the API that is not."""
    file, log = two[0], tmp_path / "log"
    (tmp_path / "cats.json").write_text("{", encoding="utf-8")
    async with connect("--config", str(file), log_file=log) as client:
        names = {tool.name for tool in await client.list_tools()}
    assert names == {"dogs_list", "expandSchema", "expandResult"}
    assert "portkey-bridge: cats: " in log.read_text(encoding="utf-8")


REFUSED = {
    "an unknown key": (
        '[api.a]\nspec = "a.json"\ntag = ["x"]\nexlude = ["y"]',
        "line 4: unknown key 'exlude'; did you mean exclude?",
    ),
    "a key in the wrong table": ("[serve]\ntag = ['x']", "line 2: unknown key 'tag'"),
    "no TOML": ("[api", "not TOML"),
    "a choice that does not fit one of two APIs": (
        "[api.a]\nspec = 'a.json'\n[api.b]\nspec = 'a.json'\ntag = ['x']",
        "b: --tag: there is no tag 'x'",
    ),
    "a name with capitals": ("[api.Team]\n", "line 1: the name 'Team' must match [a-z][a-z0-9_]*"),
    "a wrong value": ("[api.a]\nretries = 'many'", "line 2: expected an integer of at least 0"),
    "a table for a text": ("[api.a.spec]\nx = 1", "spec must be a text"),
    "a variable that is not set": ("[api.a]\nbase_url = '$NOWHERE'", "line 2: base_url refers to $NOWHERE"),
    "two tools of one name": (
        "[api.a]\nspec = 'a.json'\nprefix = ''\n[api.b]\nspec = 'a.json'\nprefix = ''",
        "two APIs have a tool list: a and b. Set another prefix in [api.b]",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, tmp_path: Path, run: Run) -> None:
    """A mistake in the file is one line on stderr with exit status 2."""
    api(tmp_path, "a", "http://127.0.0.1:9")
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    ended = run("tools", "--config", "s.toml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("encoding", "status"), [("utf-8-sig", 0), ("utf-16", 2)])
def test_a_file_of_another_system_is_read_or_refused_by_its_encoding(
    encoding: str, status: int, tmp_path: Path, run: Run
) -> None:
    """A byte order mark of UTF-8 says nothing; anything but UTF-8 is not TOML."""
    api(tmp_path, "a", "http://127.0.0.1:9")
    (tmp_path / "s.toml").write_text("[api.a]\nspec = 'a.json'\n", encoding=encoding)
    ended = run("tools", "--config", "s.toml")
    assert ended.returncode == status
    assert status == 0 or "not UTF-8, which TOML is. Save it as UTF-8." in ended.stderr


def test_options_of_one_api_outside_of_the_file_are_refused_if_there_are_several(two: Any, run: Run) -> None:
    """Nobody can say which API a --tag or a variable such as OPEN_MCP_BASE_URL is meant for."""
    file = two[0]
    by_option = run("tools", "--config", str(file), "--tag", "x")
    by_variable = run("tools", "--config", str(file), env={"OPEN_MCP_BASE_URL": "http://127.0.0.1:9"})
    assert by_option.returncode == by_variable.returncode == 2
    assert "--tag would apply to each" in by_option.stderr
    assert "OPEN_MCP_BASE_URL would apply to each" in by_variable.stderr


def test_advice_can_be_followed_where_a_file_has_several_apis(tmp_path: Path, recorder: Recorder, run: Run) -> None:
    """Messages name the variables that the file assigns and the keys under [api.NAME], not options."""
    recorder.answer = (401, {}, b"")
    cats, dogs = api(tmp_path, "cats", "/relative"), api(tmp_path, "dogs", recorder.url)
    birds = document({"/birds": {"get": {"operationId": "list"}}}, servers=[{"url": recorder.url}])
    (tmp_path / "birds.json").write_text(json.dumps(birds), encoding="utf-8")
    file = tmp_path / "s.toml"
    file.write_text(
        f'[api.cats]\nspec = "{cats}"\n[api.dogs]\nspec = "{dogs}"\nenv = {{X_KEY = "$DOG_KEY"}}\n'
        '[api.birds]\nspec = "birds.json"\n',
        encoding="utf-8",
    )
    nowhere = "base_url in [api.cats] of the settings file"
    assert nowhere in run("doctor", "--config", "s.toml").stdout
    assert f"set {nowhere}" in run("call", "cats_list", "--config", "s.toml", env={"X_KEY": "k"}).stderr
    assert run("env", "--config", "s.toml").stdout.splitlines()[1].split("\t")[:2] == ["DOG_KEY", "not set"]
    refused = run("call", "dogs_list", "--config", "s.toml").stderr
    assert "- DOG_KEY\n" in refused
    assert f'"args": ["portkey-bridge", "--config", "{file}"], "env": {{"DOG_KEY"' in refused
    silent = run("call", "birds_list", "--config", "s.toml").stderr
    assert "[api.birds]" in silent
    assert "--" not in silent


def test_an_option_overrides_the_file_of_one_api(tmp_path: Path, run: Run) -> None:
    """As it overrides a variable."""
    api(tmp_path, "cats", "http://127.0.0.1:9")
    (tmp_path / "s.toml").write_text('[api.cats]\nspec = "cats.json"\nexclude = ["list"]\n', encoding="utf-8")
    assert "cats_list" not in run("tools", "--config", "s.toml").stdout
    assert "cats_list" in run("tools", "--config", "s.toml", "--exclude", "").stdout


def _found_in(home: Path, *arguments: str) -> Any:
    """Run the command line with a configuration folder of its own."""
    env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    return run_in(home, *arguments, env=env)


def test_only_the_users_own_file_is_found_by_itself(tmp_path: Path) -> None:
    """One in the working directory never is, and --spec ignores the user's own."""
    api(tmp_path, "cats", "http://127.0.0.1:9")
    text = f'[api.cats]\nspec = "{tmp_path}/cats.json"\n'
    (tmp_path / "portkey-bridge.toml").write_text(text, encoding="utf-8")
    assert "listmodels" in _found_in(tmp_path, "tools").stdout
    folder = tmp_path / "config" / "portkey-bridge"
    folder.mkdir(parents=True)
    (folder / "portkey-bridge.toml").write_text(text, encoding="utf-8")
    assert _found_in(tmp_path, "tools").stdout.startswith("cats_list\t")
    assert _found_in(tmp_path, "tools", "--spec", "cats.json").stdout.startswith("list\t")


def test_a_changed_file_is_served_at_the_next_start(two: Any, run: Run) -> None:
    """Answers that were kept from an earlier session do not survive a change of the settings file."""
    file = two[0]
    assert "dogs_list" in run("tools", "--config", str(file)).stdout
    file.write_text('[api.cats]\nspec = "cats.json"\nprefix = ""\n', encoding="utf-8")
    assert run("tools", "--config", str(file)).stdout.startswith("list\t")


def _checked(file: Mapping[str, Any], run: Run) -> None:
    jsonschema.validate(file, json.loads(run("config", "schema").stdout))


def test_the_schema_takes_what_the_program_takes(two: Any, run: Run) -> None:
    """`config schema` prints a JSON Schema in which every option is described, and unknown keys are refused."""
    schema = json.loads(run("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    (of_api,) = schema["properties"]["api"]["patternProperties"].values()
    known = of_api["properties"].keys() | schema["properties"]["serve"]["properties"].keys()
    assert known >= {option.field for option in OPTIONS} - {"config"}
    jsonschema.validate(tomllib.loads(two[0].read_text(encoding="utf-8")), schema)
    wrongs: list[dict[str, Any]] = [{"exlude": []}, {"retries": -1}, {"retries": 1.5}, {"pages": 0}]
    wrongs += [{"authenticate": "some"}, {"answer_cache": "always"}, {"answer_cache": True}]
    for right in ({"authenticate": "all"}, {"answer_cache": "off"}, {"answer_cache": "$CACHE"}):
        jsonschema.validate({"api": {"a": right}}, schema)
    for mode in ("only", "also", True, False):
        jsonschema.validate({"serve": {"code": mode}}, schema)
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"api": {"a": wrong}}, schema)


def test_a_written_file_serves_the_same_tools(tmp_path: Path, run: Run) -> None:
    """`config init` writes the options of today, so that the file serves the same tools, and never replaces a file."""
    api(tmp_path, "cats", "http://127.0.0.1:9")
    options = ("--spec", "cats.json", "--timeouts", "1,2,3", "--schema-budget", "full", "--tools", "li*,list")
    (tmp_path / "sub").mkdir()
    assert run("config", "init", "sub/s.toml", *options).returncode == 0
    _checked(tomllib.loads((tmp_path / "sub" / "s.toml").read_text(encoding="utf-8")), run)
    assert run("tools", "--json", "--config", "sub/s.toml").stdout == run("tools", "--json", *options).stdout
    assert run("config", "init", "sub/s.toml").returncode == 2


def test_a_written_file_has_the_same_settings(tmp_path: Path, run: Run) -> None:
    """Each option is written as it was given: in its order, in its units, as text or list as the schema wants it."""
    options = {
        "--overlays": "b.yaml,a.yaml",
        "--program-limits": "10,64,9,2,5",
        "--http-limits": "8,16,2",
        "--tokens": f"jo={'a' * 64}",
        "--jwt": "https://k.example,https://i.example,me",
        "--header": "X-A=MINE",
        "--retries": "0",
        "--code": "also",
    }
    words = [f"{flag}={text}" for flag, text in options.items()]
    assert run("config", "init", "s.toml", *words, "--no-cache").returncode == 0
    text = (tmp_path / "s.toml").read_text(encoding="utf-8")
    _checked(tomllib.loads(text), run)
    (filed,) = read_config({"config": str(tmp_path / "s.toml")}, {})
    given = read_settings({"overlays": f"{tmp_path}/b.yaml,{tmp_path}/a.yaml", "cache": "0"}, {})
    for flag, text in options.items():
        option = next(each for each in OPTIONS if each.flag == flag)
        if flag != "--overlays":
            given = replace(given, **{option.field: option.read(text, flag)})
        assert getattr(filed, option.field) == getattr(given, option.field), flag
    assert not filed.cache


def test_every_example_of_a_written_file_is_toml_that_the_schema_takes(tmp_path: Path, run: Run) -> None:
    """Whoever removes the comment signs has a file without a mistake in its form."""
    run("config", "init", "s.toml")
    lines = (tmp_path / "s.toml").read_text(encoding="utf-8").splitlines()
    examples = [line.removeprefix("# ") for line in lines if re.match(r"# [a-z_0-9]+ = |\[", line)]
    _checked(tomllib.loads("\n".join(examples)), run)


#: Prints how many normalized documents are in the cache after the context.
AHEAD = """
import os
from portkey_bridge.cli.normalizing import documents_ahead
from portkey_bridge.document import cache
from portkey_bridge.settings.file import read_config
with documents_ahead(read_config({"config": "team.toml"}, os.environ)):
    pass
folder = cache.cache_folder()
print(len([*folder.glob("form-*")]) if folder.exists() else 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
@pytest.mark.parametrize(("broken", "count"), [((), 2), (("cats",), 1), (("cats", "dogs"), 0)])
def test_documents_are_normalized_in_a_second_process(
    broken: tuple[str, ...], count: int, two: Any, tmp_path: Path
) -> None:
    """They are in the cache before a server wants them; one that cannot be read is left to it, without a word."""
    for name in broken:
        (tmp_path / f"{name}.json").write_text("{", encoding="utf-8")
    env = {**BARE, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [sys.executable, "-c", AHEAD]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{count}\n", "")


def test_config_check_takes_the_name_of_the_file(two: Any, run: Run) -> None:
    """As `config init` does; without a file it says so instead of checking something else."""
    assert "2 of 2 APIs can be served" in run("config", "check", str(two[0])).stderr
    missing = run("config", "check")
    assert missing.returncode == 2
    assert "there is no settings file" in missing.stderr


def test_config_check_names_an_assigned_variable_that_nobody_takes(two: Any, run: Run, tmp_path: Path) -> None:
    """Several schemes of an API would share it, so each has a variable of its own."""
    root = json.loads((tmp_path / "cats.json").read_text(encoding="utf-8"))
    root["components"]["securitySchemes"]["other"] = {"type": "apiKey", "in": "query", "name": "X-Key"}
    root["paths"]["/cats"]["get"]["security"].append({"other": []})
    (tmp_path / "cats.json").write_text(json.dumps(root), encoding="utf-8")
    two[0].write_text('[api.cats]\nspec = "cats.json"\nenv = { X_KEY = "$CAT_KEY" }\n', encoding="utf-8")
    said = run("config", "check", str(two[0])).stderr
    assert "cats: X_KEY is assigned, but several schemes would share it: assign X_KEY_KEY or X_KEY_OTHER" in said


def test_config_check_says_where_a_withheld_variable_is_named(two: Any, run: Run, tmp_path: Path) -> None:
    """In the table of the API: outside of the file the option would be about every API."""
    file, cats, _ = two
    cats.answer = 200, {"content-type": "application/json"}, (tmp_path / "cats.json").read_bytes()
    file.write_text(f'[api.cats]\nspec = "{cats.url}/cats.json"\n', encoding="utf-8")
    said = run("config", "check", str(file), env={"X_KEY": "marker-of-all-9999"}).stderr
    assert "cats: X_KEY is set, but withheld" in said
    assert 'set credentials = ["X_KEY"] in [api.cats] of the settings file' in said


@pytest.mark.slow
def test_check_reports_each_document_of_the_file(two: Any, run: Run, tmp_path: Path) -> None:
    """In words and, by the names of the APIs, as JSON; the exit status says whether one cannot be read."""
    ended = run("check", "--config", str(two[0]), "--json")
    assert {name: report["title"] for name, report in json.loads(ended.stdout).items()} == {
        "cats": "Cats",
        "dogs": "Dogs",
    }
    (tmp_path / "dogs.json").write_text("{", encoding="utf-8")
    ended = run("check", "--config", str(two[0]))
    assert ended.returncode == 1
    assert "Cats 1" in ended.stdout
    assert "portkey-bridge: dogs: " in ended.stderr


def test_two_documents_are_compared_whatever_the_users_own_file_is_about(tmp_path: Path) -> None:
    """`diff` names its documents, so a file that is found by itself does not count."""
    for name in ("cats", "dogs"):
        api(tmp_path, name, "http://127.0.0.1:9")
    folder = tmp_path / "config" / "portkey-bridge"
    folder.mkdir(parents=True)
    text = "".join(f'[api.{name}]\nspec = "{tmp_path}/{name}.json"\n' for name in ("cats", "dogs"))
    (folder / "portkey-bridge.toml").write_text(text, encoding="utf-8")
    ended = _found_in(tmp_path, "diff", "cats.json", "dogs.json")
    assert (ended.returncode, ended.stderr) == (0, "2 changes, 1 of them breaking\n")


def test_config_check_shows_what_results(two: Any, run: Run, tmp_path: Path) -> None:
    """One line for each API with its document, tools and variables; the exit status says whether all can be served."""
    ended = run("config", "check", "--config", str(two[0]), env={"CAT_KEY": "marker-of-cats-1234"})
    assert ended.returncode == 0
    assert [line.split("\t")[:3] for line in ended.stdout.splitlines()] == [
        ["cats", "Cats", "1 of 1"],
        ["dogs", "Dogs", "1 of 1"],
    ]
    assert "X_KEY (set)" in ended.stdout
    assert "marker" not in ended.stdout + ended.stderr
    (tmp_path / "dogs.json").unlink()
    assert run("config", "check", "--config", str(two[0])).returncode == 1


@pytest.mark.parametrize("command", [("docs",), ("mock", "--port", "0"), ("login",), ("logout",), ("accept",)])
def test_a_command_about_one_api_takes_its_name(command: tuple[str, ...], two: Any, run: Run) -> None:
    """It names the APIs that there are if none is named, and the closest to one that does not exist."""
    file, *_ = two
    assert "has several APIs: cats, dogs. Name one of them." in run(*command, "--config", str(file)).stderr
    wrong = run(command[0], "cat", *command[1:], "--config", str(file))
    assert (wrong.returncode, "there is no API 'cat'; the closest is cats" in wrong.stderr) == (2, True)


def test_docs_are_about_the_api_that_is_named(two: Any, run: Run) -> None:
    """With the names that its tools have beside those of the others."""
    written = run("docs", "dogs", "--config", str(two[0])).stdout
    assert "# Dogs tools" in written
    assert "dogs_list" in written
    assert "cats" not in written


def test_the_check_finds_a_role_that_allows_nothing(two: Any, run: Run) -> None:
    """A pattern of a role that matches no tool is an error of `config check`, as it is at the start."""
    file = two[0]
    file.write_text(
        file.read_text(encoding="utf-8") + '[serve.roles.reader]\ntools = ["cats_lits"]\n', encoding="utf-8"
    )
    ended = run("config", "check", "--config", str(file))
    assert ended.returncode == 2
    assert "[serve.roles.reader]: tools: nothing is called 'cats_lits'; the closest are cats_list" in ended.stderr

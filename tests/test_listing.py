"""tools, schema and env: what people see is what a client lists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.conftest import BARE, Connect, Run
from tests.pseudo_terminal import on_a_terminal

VALUE = "s3cr3t-value"

PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "7"},
    "servers": [{"url": "http://127.0.0.1:9"}],
    "tags": [{"name": "animals"}, {"name": "people"}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "x-pets-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "lure": {"type": "apiKey", "in": "header", "name": "aws-secret-access-key"},
        },
        "schemas": {
            "Pet": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "What it answers to. " * 30},
                    "parents": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
                },
            }
        },
    },
    "security": [{"key": []}],
    "paths": {
        "/pets": {
            "get": {"operationId": "listPets", "summary": "List\tall \u001b[31mpets", "tags": ["animals"]},
            "post": {
                "operationId": "createPet",
                "tags": ["animals"],
                "security": [{"key": []}, {"bearer": []}],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"type": "object", "properties": {"pet": {"$ref": "#/components/schemas/Pet"}}}
                        }
                    }
                },
            },
        },
        "/owners/{id}": {
            "get": {
                "operationId": "getOwner",
                "description": "One owner, by number.",
                "tags": ["people", "animals"],
                "security": [],
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            }
        },
        "/bill": {"get": {"operationId": "getBill", "security": [{"lure": []}]}},
    },
}


@pytest.fixture
def pets(tmp_path: Path) -> str:
    """Return the path of a small document."""
    file = tmp_path / "pets.json"
    file.write_text(json.dumps(PETS), encoding="utf-8")
    return str(file)


@pytest.mark.slow
async def test_tools_agrees_with_what_a_client_lists(run: Run, connect: Connect) -> None:
    """The table has exactly the tools of a real listing, and counts a token for every four characters of each."""
    async with connect() as client:
        listed = {tool.name: tool for tool in await client.list_tools()}
    for name in ("expandSchema", "expandResult"):
        listed.pop(name)
    shown = {row["name"]: row["tokens"] for row in json.loads(run("tools", "--json").stdout)}
    costs = {
        name: len(
            json.dumps(
                {"name": name, "description": tool.description, "inputSchema": tool.input_schema},
                ensure_ascii=False,
                separators=(",", ":"),
            )
        )
        for name, tool in listed.items()
    }
    assert shown == {name: round(cost / 4) for name, cost in costs.items()}


CHOICES = [
    pytest.param(
        ["--tools", "*prompt*", "--read-only", "--exclude", "*version*,*partial*"], {"getprompt", "listprompts"}
    ),
    pytest.param(["--tools", "listmodels,createembedding", "--read-only"], {"listmodels"}),
    pytest.param(["--tools", "list*models", "--exclude", "createembedding"], {"listmodels"}),
]


@pytest.mark.parametrize(("options", "names"), CHOICES)
def test_tools_are_chosen_by_name_pattern_and_effect(run: Run, options: list[str], names: set[str]) -> None:
    """What is asked for, without what is excluded, and where wanted without what changes something, is served."""
    served = {row["name"]: row["method"] for row in json.loads(run("tools", "--json", *options).stdout)}
    assert served.keys() >= names
    assert not any("version" in name for name in served)
    assert "--read-only" not in options or set(served.values()) == {"GET"}


async def test_what_is_not_chosen_cannot_be_called(connect: Connect) -> None:
    """A server that only reads does not delete either when it is asked by name."""
    async with connect("--read-only") as client:
        assert (await client.call_tool("deletemodel", {"model": "m"}, raise_on_error=False)).is_error
        assert "deletemodel" not in {tool.name for tool in await client.list_tools()}


def test_a_pattern_without_a_tool_is_refused(run: Run) -> None:
    """A typing mistake in what is excluded does not leave the tool served."""
    done = run("tools", "--exclude", "deletefiles")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--exclude: there is no tool 'deletefiles'; the closest are deletefile" in done.stderr


def test_a_pipe_gets_one_tool_a_line(run: Run, pets: str) -> None:
    """Without a terminal, each tool is one line of cells with tabs between, and nothing a terminal would obey."""
    done = run("tools", "--spec", pets)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["listpets", "GET", "/pets"],
        ["createpet", "POST", "/pets"],
        ["getowner", "GET", "/owners/{id}"],
        ["getbill", "GET", "/bill"],
    ]
    assert {len(row) for row in rows} == {5}
    assert "\x1b" not in done.stdout
    assert "4 of 4 tools, about " in done.stderr


CHOICES = [
    pytest.param(["--grep", "OWNER"], {"getowner"}, id="whatever the case"),
    pytest.param(["--grep", "by number"], {"getowner"}, id="in the description"),
    pytest.param(["--grep", "^POST"], {"createpet"}, id="as a regular expression, on the method"),
    pytest.param(["--tag", "Animals"], {"listpets", "createpet", "getowner"}, id="by any of its tags"),
    pytest.param(["--tag", "animals", "--grep", "all"], {"listpets"}, id="by both"),
    pytest.param(["--tools", "getbill"], {"getbill"}, id="of those that are served"),
]


@pytest.mark.parametrize(("options", "names"), CHOICES)
def test_tools_can_be_looked_for(run: Run, pets: str, options: list[str], names: set[str]) -> None:
    """`--grep` looks in name, method, path and words, `--tag` among all tags."""
    found = json.loads(run("tools", "--spec", pets, "--json", *options).stdout)
    assert {row["name"] for row in found} == names


def test_nothing_found_is_exit_code_1(run: Run, pets: str) -> None:
    """A search that finds nothing says so like grep: nothing on stdout, and the exit code 1."""
    done = run("tools", "--spec", pets, "--grep", "dinosaur")
    assert (done.returncode, done.stdout) == (1, "")


MISTAKES = [
    pytest.param(["tools", "--tag", "anmals"], "animals", id="unknown tag"),
    pytest.param(["tools", "--grep", "("], "not a regular expression", id="broken pattern"),
    pytest.param(["schema", "createpets"], "createpet", id="unknown tool"),
    pytest.param(["schema", "createpet", "/properties/pett"], "/properties/pet?", id="pointer to nowhere"),
    pytest.param(["schema"], "TOOL", id="no tool"),
]


@pytest.mark.parametrize(("words", "remedy"), MISTAKES)
def test_mistakes_name_the_remedy(run: Run, pets: str, words: list[str], remedy: str) -> None:
    """A mistake is one line on stderr that says what would be right, and the exit code 2."""
    done = run(*words, "--spec", pets)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert remedy in done.stderr


@pytest.mark.slow
async def test_schema_shows_what_a_model_gets(run: Run, connect: Connect) -> None:
    """`schema` prints the listed schema, and with a pointer exactly what `expandSchema` answers."""
    async with connect() as client:
        listed = {tool.name: tool for tool in await client.list_tools()}["createchatcompletion"]
        pointer = "/properties/messages/items"
        arguments = {"toolName": "createchatcompletion", "jsonPointers": [pointer]}
        answer = await client.call_tool("expandSchema", arguments)
    assert json.loads(run("schema", "createchatcompletion").stdout) == listed.input_schema
    (expanded,) = json.loads(answer.content[0].text)  # type: ignore[union-attr]
    assert json.loads(run("schema", "createchatcompletion", pointer).stdout) == expanded["schema"]


ARGUMENTS = [
    pytest.param({"pet": {"parents": [{"parents": [{"name": "Eve"}]}]}}, True, id="three levels down"),
    pytest.param({"pet": {"parents": [{"parents": [{"name": 5}]}]}}, False, id="wrong three levels down"),
    pytest.param({"pat": {}}, False, id="unknown argument"),
]


@pytest.mark.parametrize(("arguments", "valid"), ARGUMENTS)
def test_a_full_schema_needs_nothing_else(run: Run, pets: str, arguments: dict[str, Any], valid: bool) -> None:
    """A validator can judge arguments by what `--full` prints, also where a schema contains itself."""
    schema = json.loads(run("schema", "createpet", "--full", "--spec", pets).stdout)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(arguments) is valid


def test_a_part_of_a_full_schema_needs_nothing_else(run: Run, pets: str) -> None:
    """With a pointer, `--full` prints that part, with all that it refers to."""
    printed = run("schema", "createpet", "/properties/pet/properties/parents", "--full", "--spec", pets).stdout
    validator = Draft202012Validator(json.loads(printed))
    assert validator.is_valid([{"name": "Eve", "parents": []}])
    assert not validator.is_valid([{"name": "Eve", "parents": {}}])


STATES = [
    pytest.param({}, "", {"X_PETS_KEY": "not set", "API_KEY": "not set"}, id="nothing set"),
    pytest.param({"X_PETS_KEY": VALUE}, "", {"X_PETS_KEY": "set", "API_KEY": "not set"}, id="one set"),
    pytest.param({"X_PETS_KEY": " "}, "", {"X_PETS_KEY": "not set"}, id="blank is not set"),
    pytest.param({}, f"API_KEY={VALUE}", {"API_KEY": "set in .env"}, id="in .env"),
    pytest.param(
        {"AWS_SECRET_ACCESS_KEY": VALUE},
        "",
        {"AWS_SECRET_ACCESS_KEY": "set, but withheld until OPEN_MCP_CREDENTIALS=AWS_SECRET_ACCESS_KEY"},
        id="withheld",
    ),
    pytest.param(
        {"AWS_SECRET_ACCESS_KEY": VALUE, "OPEN_MCP_CREDENTIALS": "AWS_SECRET_ACCESS_KEY"},
        "",
        {"AWS_SECRET_ACCESS_KEY": "set"},
        id="named",
    ),
]


@pytest.mark.parametrize(("environ", "dotenv", "states"), STATES)
def test_env_tells_what_is_set_and_never_its_value(
    run: Run, pets: str, tmp_path: Path, environ: dict[str, str], dotenv: str, states: dict[str, str]
) -> None:
    """Every variable that the document asks for is listed with its state; no value is."""
    (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
    done = run("env", "--spec", pets, env=environ)
    shown = dict(line.split("\t")[:2] for line in done.stdout.splitlines())
    assert shown.keys() == {"X_PETS_KEY", "API_KEY", "AWS_SECRET_ACCESS_KEY"}
    assert shown.items() >= states.items()
    assert VALUE not in done.stdout + done.stderr


def test_env_tells_what_each_variable_opens(run: Run, pets: str) -> None:
    """Each variable comes with the tools that take it, and what needs none is counted."""
    done = run("env", "--spec", pets)
    opens = {line.split("\t")[0]: line.split("\t")[2] for line in done.stdout.splitlines()}
    assert opens == {"X_PETS_KEY": "listpets,createpet", "API_KEY": "createpet", "AWS_SECRET_ACCESS_KEY": "getbill"}
    assert "1 of 4 tools" in done.stderr


def test_a_terminal_gets_short_cells(tmp_path: Path) -> None:
    """A summary has 80 characters at most, and of the tools that a variable opens four are named."""
    operations = {f"/x{at}": {"get": {"operationId": f"op{at}", "summary": "word " * 40}} for at in range(6)}
    scheme = {"type": "apiKey", "in": "header", "name": "x-key"}
    root = {**PETS, "paths": operations, "components": {"securitySchemes": {"key": scheme}}}
    (tmp_path / "many.json").write_text(json.dumps(root), encoding="utf-8")
    env = {**BARE, "COLUMNS": "300", "NO_COLOR": "1"}
    tools = on_a_terminal("tools", "--spec", "many.json", env=env, cwd=tmp_path)
    assert {len(cell) for cell in re.findall(r"(?:word )*word…", tools)} == {80}
    assert "6 of 6 tools: op0, op1, op2, op3 and 2 more" in on_a_terminal(
        "env", "--spec", "many.json", env=env, cwd=tmp_path
    )

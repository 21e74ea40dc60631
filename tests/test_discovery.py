"""Discovery: three tools in the place of all, and a search that finds the right one for a question in plain words."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bench.questions import QUESTIONS, Questions, recall
from bench.tokens import compact, count, listing
from portkey_bridge.bridge.service import service_of
from portkey_bridge.builtin.search_tools import BY_NAME, BY_PLACE, AnswerForm
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.errors import SettingsError
from portkey_bridge.serve.server import build_server
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.search import Index
from portkey_bridge.tools.vocabulary import Stems
from tests.conftest import Connect, Recorder, Run, text_of
from tests.node import missing
from tests.support import api_of, document, served

QUESTION = "ask a model to answer a conversation"


#: The share of the needed operations that the first answers name at least.
NAMED = {
    "Docker": 0.95,
    "Mastodon": 0.6,
    "Netlify": 0.85,
    "Superset": 0.75,
    "Blockfrost": 0.85,
    "Star Trek": 0.85,
    "Portkey": 0.7,
}


@pytest.mark.parametrize(("form", "most"), [(BY_PLACE, 1800), (BY_NAME, 1340)], ids=["--discover", "--code"])
@pytest.mark.parametrize("questions", QUESTIONS, ids=lambda questions: questions.api)
async def test_the_first_answer_names_what_a_task_needs(questions: Questions, form: AnswerForm, most: int) -> None:
    """Most operations that a task needs are in the first answer, which is short."""
    if questions.document and not questions.document.is_file():
        missing(f"{questions.document.name} is not there; PUBLIC_DOCUMENTS or npm install --prefix .ci brings it")
    answers = await questions.answers(form)
    assert recall(answers) >= NAMED[questions.api]
    assert max(answer.characters for answer in answers) <= most


def test_there_are_a_hundred_questions() -> None:
    """No question is asked twice, and at least three documents are asked about."""
    assert len(QUESTIONS) >= 3
    assert len({(each.api, question) for each in QUESTIONS for question, _ in each.pairs}) == 100


@pytest.mark.slow
def test_three_tools_are_listed_within_500_tokens() -> None:
    """The listing is three tools in 2,000 characters, and the areas of the document stand in it."""
    tools = listing(["--discover"])
    assert len(compact(tools)) <= 2000
    assert [tool["name"] for tool in tools] == ["expandSchema", "searchTools", "callTool"]
    assert count(compact(tools)) <= 500
    assert re.search(r"Areas: .*\bChat\b.*\bAnalytics\b.*Secret-References", tools[1]["description"])


async def test_a_question_leads_to_a_call(connect: Connect, recorder: Recorder) -> None:
    """From a plain question over the schema, within 1,500 tokens, to the request that reaches the API."""
    env = {"OPEN_MCP_BASE_URL": recorder.url, "X_PORTKEY_API_KEY": "key", "OPEN_MCP_DISCOVER": "1"}
    env["X_PORTKEY_VIRTUAL_KEY"] = "virtual"
    async with connect(env=env) as client:
        found = text_of(await client.call_tool("searchTools", {"query": QUESTION}))
        asked = {"toolName": "createchatcompletion", "jsonPointers": [""]}
        shown = text_of(await client.call_tool("expandSchema", asked))
        arguments = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        result = await client.call_tool("callTool", {"toolName": "createchatcompletion", "arguments": arguments})
    assert "createchatcompletion · POST /chat/completions · " in found
    schema = json.loads(shown)[0]["schema"]
    assert schema["required"] == ["messages", "model"]
    assert count(found) + count(shown) + count(compact(asked)) <= 1500
    assert (recorder.last.method, recorder.last.target) == ("POST", "/chat/completions")
    assert json.loads(recorder.last.body) == arguments
    assert result.structured_content == {"ok": True}


async def test_large_results_are_read_on_in_discovery(connect: Connect, recorder: Recorder) -> None:
    """`expandResult` is not listed, and called like any other tool."""
    things = [{"id": f"model-{number}"} for number in range(9000)]
    recorder.answer = (200, {"content-type": "application/json"}, json.dumps({"data": things}).encode())
    env = {"OPEN_MCP_BASE_URL": recorder.url, "X_PORTKEY_API_KEY": "key", "X_PORTKEY_VIRTUAL_KEY": "virtual"}
    async with connect("--discover", env=env) as client:
        view = text_of(await client.call_tool("callTool", {"toolName": "listmodels"}))
        identity = re.search(r"resultId\W+([\w-]+)", view)
        assert identity, view[-500:]
        arguments = {"resultId": identity[1], "jsonPointers": ["/data/8999/id"]}
        part = text_of(await client.call_tool("callTool", {"toolName": "expandResult", "arguments": arguments}))
    assert json.loads(part)[0]["value"] == "model-8999"


WAYS = [
    pytest.param("createChatCompletion", id="operationId"),
    pytest.param("createchatcompletion", id="name"),
    pytest.param("create_chat_completion", id="in another case"),
    pytest.param("chat completion", id="words"),
    pytest.param("POST /chat/completions", id="method and path"),
    pytest.param("post chat completions", id="the same without marks"),
]


@pytest.fixture(scope="module")
def portkey() -> Index:
    """The index of the Portkey API."""
    return Index(load_tools(Settings())[1], Stems())


@pytest.mark.parametrize("query", WAYS)
def test_a_tool_is_found_by_each_of_its_names(portkey: Index, query: str) -> None:
    """Whoever knows a name, however it is written, finds its tool first."""
    assert portkey.search(query).tools[0].name == "createchatcompletion"


ODD = ['"', "'", "NEAR(", "a AND", "*", "^", "{name}: x", "-", "", " ", "\x00", "ünï", "聊天", "a" * 5000, "OR " * 500]


@pytest.mark.parametrize("query", ODD)
def test_every_text_is_a_question(portkey: Index, query: str) -> None:
    """Marks that a search engine's own language has mean nothing here."""
    assert isinstance(portkey.search(query).tools, list)


PATHS: dict[str, Any] = {
    "/cats": {"get": {"operationId": "listCats", "summary": "List cats", "tags": ["Animals"]}},
    "/cats/{id}": {
        "delete": {
            "operationId": "deleteCat",
            "summary": "Delete a cat",
            "tags": ["Animals > Cats"],
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        },
    },
    "/owners": {"get": {"operationId": "listOwners", "summary": "List those who own cats", "tags": ["People"]}},
}

#: arguments, and the names that are found, in any order
SEARCHES = [
    ({"query": "cats"}, ["deletecat", "listcats", "listowners"]),
    ({"query": "cats", "tag": "people"}, ["listowners"]),
    ({"query": "cats", "tag": "Animals"}, ["deletecat", "listcats"]),
    ({"query": "cats", "tag": "animals > cats"}, ["deletecat"]),
    ({"query": "", "tag": "animals"}, ["deletecat", "listcats"]),
    ({"query": "dinosaurs"}, []),
]


@pytest.mark.parametrize(("arguments", "names"), SEARCHES)
async def test_a_search_is_narrowed_to_an_area(arguments: dict[str, str], names: list[str]) -> None:
    """An area stands for those within it, too; what matches nothing leads to the areas."""
    async with served(document(PATHS), Settings(discover=True)) as client:
        found = text_of(await client.call_tool("searchTools", arguments))
    assert sorted(re.findall(r"^(\w+) · ", found, re.M)) == names
    assert ("deletecat · DELETE /cats/{id} · Delete cat" in found) == ("deletecat" in names)
    assert names or found.splitlines() == [
        "No tool matches. Try other words, or pass an area as tag:",
        "Animals (1): GET /cats",
        "Animals > Cats (1): DELETE /cats/{id}",
        "People (1): GET /owners",
    ]


async def test_what_fits_less_well_is_named_in_one_line(connect: Connect) -> None:
    """Behind the hits with titles come more operations in short, within 1,360 characters; one is found by its name."""
    async with connect("--discover") as client:
        found = text_of(await client.call_tool("searchTools", {"query": "create a chat completion"}))
        *hits, line = found.splitlines()
        heading, *operations, rest = re.split("[:,] ", line)
        again = text_of(await client.call_tool("searchTools", {"query": operations[-1]}))
    assert len(found) <= 1360
    assert all(hit.count(" · ") == 2 for hit in hits)
    assert heading == "Less likely (query one for its tool)"
    assert rest.endswith(" more")
    assert len(operations) > 20
    assert f" · {operations[-1]} · " in again.splitlines()[0]


async def test_programs_find_names() -> None:
    """With --code the line of less likely tools has their names, and no title repeats a name."""
    paths = {f"/cats/{n}": {"get": {"operationId": f"showCat{n}"}} for n in range(30)}
    titled = {"get": {"operationId": "listCats", "summary": "Find cats"}}
    async with served(document({**paths, "/cats": titled}), Settings(code="only")) as client:
        found = text_of(await client.call_tool("searchTools", {"query": "cats"}))
    *hits, line = found.splitlines()
    assert hits[:2] == ["listcats · GET /cats · Find cats", "showcat0 · GET /cats/0"]
    assert re.fullmatch(r"Less likely: (showcat\d+, )+showcat\d+", line)


async def test_several_queries_are_answered_together() -> None:
    """`queries` are further questions in the same call: the best of each comes first, and no tool twice."""
    async with served(document(PATHS), Settings(discover=True)) as client:
        arguments = {"query": "list cats", "queries": ["owners", "delete a cat", "list cats"]}
        found = text_of(await client.call_tool("searchTools", arguments))
    assert re.findall(r"^(\w+) · ", found, re.M) == ["listcats", "listowners", "deletecat"]


def _thing(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"id": {"type": "string"}, name: {"type": "string"}}}


def _answering(schema: dict[str, Any], **response: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"responses": {"200": {"description": "OK", "content": content, **response}}}


#: Which operation produces what `GET /shelves/{shelf_id}/dust` needs, and why that is known.
LINK = {"links": {"dust": {"operationId": "getDust", "parameters": {"shelf_id": "$response.body#/id"}}}}
PRODUCING = [
    pytest.param("/shelves", {}, id="the path before"),
    pytest.param("/find/shelf", {}, id="the path of a search"),
    pytest.param("/rooms", _answering({"type": "array", "items": _thing("shelf_id")}), id="a field of the answer"),
    pytest.param("/rooms", _answering({}, **LINK), id="a link"),
]


@pytest.mark.parametrize(("path", "operation"), PRODUCING)
async def test_a_tool_brings_what_produces_the_identifier_that_it_needs(path: str, operation: dict[str, Any]) -> None:
    """A task names what it wants, and rarely the call before it that finds out which one."""
    parameters = [{"name": "shelf_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths = {
        "/shelves/{shelf_id}/dust": {"get": {"operationId": "getDust", "parameters": parameters}},
        path: {"get": {"operationId": "zzz", **operation}},
        "/weather": {"get": {"operationId": "getWeather"}},
    }
    async with served(document(paths), Settings(discover=True)) as client:
        found = text_of(await client.call_tool("searchTools", {"query": "dust"}))
    assert re.findall(r"^(\w+) · ", found, re.M) == ["getdust", "zzz"]


#: What people say, and the operation that they mean by it.
SAID = [
    ("throw away a toy", "delete_toy"),
    ("get rid of all toys", "delete_toy"),
    ("back everything up", "create_snapshot"),
    ("turn the siren on", "enable_siren"),
    ("is it alive?", "get_health"),
    ("show reslts of the match", "list_results"),
    ("mes préférences", "get_preferences"),
]


@pytest.mark.parametrize(("question", "operation"), SAID)
async def test_people_need_not_know_the_words_of_the_document(question: str, operation: str) -> None:
    """Words that mean the same find a tool, verbs of two words and slips of the pen included."""
    names = {operation for _, operation in SAID}
    paths = {f"/{name}": {"post": {"operationId": name}} for name in sorted({*names, "create_toy", "disable_siren"})}
    async with served(document(paths), Settings(discover=True)) as client:
        found = text_of(await client.call_tool("searchTools", {"query": question}))
    assert found.startswith(f"{operation} · ")


#: A word that the document has only there, and the operation that says so.
PLACES = [
    pytest.param(_answering(_thing("xylophone")), id="a field of the answer"),
    pytest.param(_answering({"type": "string", "enum": ["xylophone"]}), id="a listed value"),
    pytest.param(
        {"parameters": [{"name": "n", "in": "query", "description": "Which xylophone.", "schema": {}}]},
        id="the description of a parameter",
    ),
    pytest.param({"tags": ["Music"]}, id="the description of a tag"),
]


@pytest.mark.parametrize("operation", PLACES)
async def test_a_word_is_found_wherever_the_document_has_it(operation: dict[str, Any]) -> None:
    """Words of answers, values, parameters and tags lead to a tool, too."""
    root = document({"/a": {"get": {"operationId": "one", **operation}}, "/b": {"get": {"operationId": "two"}}})
    root["tags"] = [{"name": "Music", "description": "Everything with a xylophone."}]
    async with served(root, Settings(discover=True)) as client:
        found = text_of(await client.call_tool("searchTools", {"query": "xylophones"}))
    assert re.findall(r"^(\w+) · ", found, re.M) == ["one"]


async def test_a_query_that_fits_badly_leads_to_the_closest_areas() -> None:
    """The hits are followed by areas and what else is in them, the closest first, within 1,800 characters."""
    paths = {
        f"/{area}/{number}": {"get": {"operationId": f"{area}{number}", "tags": [area], "summary": f"Read {area}"}}
        for area in ("gardening", "weather", "music", "sport", "travel", "cooking")
        for number in range(40)
    }
    async with served(document(paths), Settings(discover=True)) as client:
        query = {"query": "weather, music, sport, travel or cooking"}
        found = text_of(await client.call_tool("searchTools", query))
    hits, heading, outline = found.partition("No tool fits this well. ")
    assert heading
    assert hits.startswith("weather0 · GET /weather/0 · ")
    assert re.findall(r"^(\w+) \(40\): GET ", outline, re.M)[0] == "weather"
    assert len(found) <= 1800


MISTAKES = [
    ("searchTools", {"query": "cats", "queries": "dogs"}, "/queries: expected an array of strings"),
    ("searchTools", {"query": "0", "queries": [*"12345678"]}, "/queries: at most 8 queries in one call, not 9"),
    ("searchTools", {"query": "cats", "tag": "peopel"}, "/tag: there is no area 'peopel'; the closest is people"),
    ("callTool", {"toolName": "listcat"}, "/toolName: there is no tool 'listcat'; the closest are listcats"),
    ("callTool", {"toolName": "deletecat", "arguments": {}}, "/id"),
    ("callTool", {"toolName": "listcats", "arguments": {"ids": 1}}, "/ids"),
    ("callTool", {"toolName": "callTool", "arguments": {"toolName": "listcats"}}, "there is no tool 'callTool'"),
    ("expandSchema", {"toolName": "listdogs", "jsonPointers": [""]}, "there is no tool 'listdogs'"),
]


@pytest.mark.parametrize(("tool", "arguments", "remedy"), MISTAKES)
async def test_mistakes_are_answered_with_what_would_be_right(
    tool: str, arguments: dict[str, Any], remedy: str
) -> None:
    """What cannot be done is an error that names the closest, or the argument."""
    settings = Settings(discover=True, base_url="http://127.0.0.1:9")
    async with served(document(PATHS), settings) as client:
        result = await client.call_tool(tool, arguments, raise_on_error=False)
    assert result.is_error
    assert remedy in text_of(result)


async def test_what_is_not_chosen_is_neither_found_nor_called(connect: Connect) -> None:
    """The choice of tools holds in discovery, at the search, for the schemas and at the call."""
    async with connect("--discover", "--read-only", "--tag", "models,Files") as client:
        found = text_of(await client.call_tool("searchTools", {"query": "delete a fine-tuned model"}))
        arguments = {"toolName": "deletemodel", "arguments": {"model": "m"}}
        called = await client.call_tool("callTool", arguments, raise_on_error=False)
        asked = {"toolName": "createchatcompletion", "jsonPointers": [""]}
        shown = await client.call_tool("expandSchema", asked, raise_on_error=False)
    assert "retrievemodel" in found
    assert "deletemodel" not in found
    assert called.is_error
    assert shown.is_error


async def test_every_tool_can_be_called_by_its_own_name(connect: Connect) -> None:
    """A client that knows a name from before may use it, though it is not listed."""
    async with connect("--discover", "--base-url", "http://127.0.0.1:9") as client:
        result = await client.call_tool("createchatcompletion", {}, raise_on_error=False)
    assert "/messages" in text_of(result)


NUMBERS = [
    (128, Settings(), ""),
    (129, Settings(), "--discover lists three"),
    (129, Settings(discover=True), ""),
    (1, Settings(read_only=True, exclude=("get_*",)), "none of 1 tools is selected"),
]


@pytest.mark.parametrize(("number", "settings", "said"), NUMBERS)
def test_a_number_of_tools_that_nobody_means_is_said(
    number: int, settings: Settings, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person is told of more tools than a conversation bears, and of a choice that leaves none."""
    paths = {f"/x{at}": {"servers": [{"url": "http://127.0.0.1:9"}], "get": {"responses": {}}} for at in range(number)}
    build_server([service_of(api_of(document(paths)), settings)])
    told = capsys.readouterr().err
    assert said in told
    assert bool(said) == bool(told)


def test_tags_are_chosen_by_pattern(run: Run) -> None:
    """`--tag` takes several, upper and lower case alike, with wildcards, on the list that is served."""
    rows = json.loads(run("tools", "--tag", "analytics*,EMBEDDINGS", "--json").stdout)
    assert "createembedding" in {row["name"] for row in rows}
    assert {row["path"].split("/")[1] for row in rows} == {"analytics", "embeddings"}


def test_an_sqlite_without_full_text_search_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose SQLite lacks FTS5 is told apart from other failures, with what helps."""

    class Lacking(sqlite3.Connection):
        def execute(self, *_: Any) -> Any:
            raise sqlite3.OperationalError("no such module: fts5")

    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Lacking(":memory:"))
    with pytest.raises(SettingsError, match="FTS5"):
        Stems()


@pytest.mark.slow
def test_the_areas_of_a_document_without_tags_are_those_of_its_paths(run: Run, tmp_path: Path) -> None:
    """What all paths begin with is no area."""
    file = tmp_path / "a.json"
    paths = {"/api/v1/cats/{id}": {"get": {"summary": "Get a cat"}}, "/api/v1/dogs": {"get": {"summary": "List dogs"}}}
    file.write_text(json.dumps(document(paths)))
    (_, search, _) = listing(["--discover", "--spec", str(file)])
    assert search["description"].endswith("Areas: cats, dogs")


OUTDATED: dict[str, Any] = {
    "/old": {"get": {"operationId": "old", "deprecated": True}},
    "/new": {
        "post": {
            "operationId": "new",
            "parameters": [
                {"name": "was", "in": "query", "deprecated": True, "schema": {"type": "string"}},
                {"name": "must", "in": "query", "deprecated": True, "required": True, "schema": {"type": "string"}},
            ],
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {"is": {"type": "string"}, "went": {"type": "string", "deprecated": True}},
                        }
                    }
                }
            },
        }
    },
}


@pytest.mark.parametrize(
    ("deprecated", "offered"),
    [(True, {"old": set(), "new": {"was", "must", "is", "went"}}), (False, {"new": {"must", "is"}})],
)
async def test_what_is_deprecated_can_be_left_out(deprecated: bool, offered: dict[str, set[str]]) -> None:
    """`--no-deprecated` serves neither deprecated operations nor deprecated arguments that are not required."""
    async with served(document(OUTDATED), Settings(deprecated=deprecated)) as client:
        listed = {tool.name: {*tool.input_schema["properties"]} for tool in await client.list_tools()}
        refused = text_of(await client.call_tool("new", {"must": "x", "was": "y"}, raise_on_error=False))
    assert {name: listed[name] for name in listed.keys() & {"old", "new"}} == offered
    assert ("there is no such argument" in refused) is not deprecated

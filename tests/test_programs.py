"""Programs: `--code` lists three tools, and a program calls the others from a sandbox."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types
import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.elicitation import ElicitResult
from mcp import MCPError
from mcp_types import ImageContent, TextContent

from bench.tokens import compact, count, listing
from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.bridge.service import service_of
from portkey_bridge.builtin.running_programs import RunningPrograms
from portkey_bridge.credentials.caller import Caller
from portkey_bridge.response import tool_result
from portkey_bridge.serve.server import build_server, catalogue_of
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.serving import Role
from portkey_bridge.settings.values import ProgramLimits
from tests.conftest import Connect, Recorder, Run, text_of
from tests.replicas import held_api
from tests.support import api_of, document, served

JSON = {"content-type": "application/json"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def answers(*, media_type: str = "application/json", schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"200": {"description": "OK", "content": {media_type: {"schema": schema or {"type": "object"}}}}}


def pets(url: str) -> dict[str, Any]:
    """Return the document of a small shop, whose server is at `url`."""
    pet_id = {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}
    pet = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "price": {"type": "number"}},
    }
    file = {"type": "object", "required": ["photo"], "properties": {"photo": {"type": "string", "format": "binary"}}}
    return document(
        {
            "/pets": {
                "get": {"operationId": "listPets", "summary": "List pets", "responses": answers()},
                "post": {
                    "operationId": "createPet",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": pet}}},
                    "responses": answers(),
                },
            },
            "/pets/{petId}": {
                "parameters": [pet_id],
                "get": {"operationId": "getPet", "responses": answers(schema=pet)},
                "delete": {"operationId": "deletePet", "responses": {"204": {"description": "Gone"}}},
            },
            "/pets/{petId}/photo": {
                "parameters": [pet_id],
                "get": {"operationId": "getPhoto", "responses": answers(media_type="image/png")},
                "put": {
                    "operationId": "putPhoto",
                    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": file}}},
                    "responses": answers(),
                },
            },
        },
        servers=[{"url": url}],
    )


async def run(recorder: Recorder, code: str, **settings: Any) -> CallToolResult:
    """Run a program on the shop, and return its result."""
    async with served(pets(recorder.url), Settings(code="only", retries=0, **settings)) as client:
        return await client.call_tool("runProgram", {"code": code}, raise_on_error=False)


async def result_of(recorder: Recorder, code: str, **settings: Any) -> str:
    """Return the text of a program that succeeds."""
    result = await run(recorder, code, **settings)
    assert not result.is_error, result.content
    return text_of(result)


async def error_of(recorder: Recorder, code: str, **settings: Any) -> str:
    """Return the text of a program that fails."""
    result = await run(recorder, code, **settings)
    assert result.is_error, result.content
    return text_of(result)


@pytest.mark.slow
def test_three_tools_are_listed_within_600_tokens() -> None:
    """`--code` lists three tools in 600 tokens and 2,400 characters."""
    tools = listing(["--code"])
    assert [tool["name"] for tool in tools] == ["expandSchema", "searchTools", "runProgram"]
    assert len(compact(tools)) <= 2400
    assert count(compact(tools)) <= 600


async def test_also_adds_programs_to_the_others(recorder: Recorder) -> None:
    """`--code=also` lists runProgram besides all tools, or besides those of --discover."""
    async with served(pets(recorder.url), Settings(code="also")) as client:
        plain = {tool.name for tool in await client.list_tools()}
    async with served(pets(recorder.url), Settings(code="also", discover=True)) as client:
        found = {tool.name for tool in await client.list_tools()}
    assert plain >= {"listpets", "expandSchema", "expandResult", "runProgram"}
    assert found == {"expandSchema", "searchTools", "callTool", "runProgram"}


@pytest.mark.parametrize("words", [["--code"], ["--code=only"], ["--code", "also"], ["--code=1"]])
def test_the_option_may_have_a_value(words: list[str], run: Run) -> None:
    """The value may be left out, also before a command."""
    assert run(*words, "tools", "--grep", "listmodels").returncode == 0


def test_an_unknown_value_is_refused(run: Run) -> None:
    """A value that means nothing is one line."""
    assert "expected only or also" in run("--code=never", "tools").stderr


async def test_a_program_calls_tools(recorder: Recorder) -> None:
    """Answers are plain values, and the last expression is the result."""
    recorder.answer = (200, JSON, b'{"pets": [{"id": 1, "price": 2.5}, {"id": 2, "price": 7}]}')
    code = 'pets = (await call("listpets"))["pets"]\n[p["id"] for p in pets if p["price"] > 3]'
    assert await result_of(recorder, code) == "[2]"
    assert [(each.method, each.target) for each in recorder.requests] == [("GET", "/pets")]


async def test_calls_run_at_the_same_time(recorder: Recorder) -> None:
    """`asyncio.gather` and `json` need no import, and the order of answers is that of the calls."""
    for number in range(5):
        recorder.answers[f"/pets/{number}"] = (200, JSON, json.dumps({"name": f"pet {number}"}).encode())
    code = 'found = await asyncio.gather(*[call("getpet", {"petId": n}) for n in range(5)])\njson.dumps(found[4])'
    assert await result_of(recorder, code) == '{"name": "pet 4"}'


async def test_what_is_printed_follows_the_result(recorder: Recorder) -> None:
    """Printed text is a block of its own."""
    assert await result_of(recorder, 'print("one", 2)\n{"a": (1, None)}') == '{"a":[1,null]}\none 2\n'


async def test_a_wrong_call_raises_the_explanation_of_a_direct_call(recorder: Recorder) -> None:
    """The exception has the text that a model gets otherwise, and nothing is sent."""
    async with served(pets(recorder.url), Settings(code="also", retries=0)) as client:
        direct = text_of(await client.call_tool("createpet", {"nam": "Rex"}, raise_on_error=False))
    code = 'try:\n    await call("createpet", {"nam": "Rex"})\nexcept Exception as error:\n    print(error)'
    assert (await result_of(recorder, code)).rstrip() == direct.rstrip()
    assert recorder.requests == []


async def test_a_refusal_of_the_api_is_an_exception(recorder: Recorder) -> None:
    """An answer of 404 raises with the status and the body."""
    recorder.answer = (404, JSON, b'{"error": "no such pet"}')
    error = await error_of(recorder, 'x = 1\nawait call("getpet", {"petId": 9})')
    assert error.startswith('Line 2, column 1:\n    await call("getpet", {"petId": 9})\n')
    assert "GET /pets/{petId} answered 404 Not Found" in error
    assert "no such pet" in error


async def test_an_unknown_tool_names_the_closest(recorder: Recorder) -> None:
    """A typo leads to the tool."""
    assert "the closest are listpets" in await error_of(recorder, 'await call("listpet")')


async def test_a_selection_holds_for_programs(recorder: Recorder) -> None:
    """What is not served cannot be called, by whatever name."""
    for code in ('await call("createpet", {"name": "x"})', 'await call("runProgram", {"code": "1"})'):
        assert "There is no tool" in await error_of(recorder, code, read_only=True)
    assert recorder.requests == []


async def test_bytes_are_handles_that_can_be_sent(recorder: Recorder) -> None:
    """An answer of bytes is passed on as a file, and shown where it is the result."""
    recorder.answers["/pets/1/photo"] = (200, {"content-type": "image/png"}, PNG)
    code = 'photo = await call("getphoto", {"petId": 1})\nawait call("putphoto", {"petId": 2, "photo": photo})\nphoto'
    result = await run(recorder, code)
    shown, image = result.content
    assert isinstance(shown, TextContent)
    assert json.loads(shown.text) == {"fileHandle": 1, "mediaType": "image/png", "bytes": len(PNG)}
    assert isinstance(image, ImageContent)
    assert base64.b64decode(image.data) == PNG
    assert PNG in recorder.last.body


async def test_a_large_result_is_kept(recorder: Recorder) -> None:
    """A result above the limit is a view, which a later program reads whole."""
    code = '{"rows": [{"n": n} for n in range(3000)]}'
    async with served(pets(recorder.url), Settings(code="only", result_limit=2000)) as client:
        view = text_of(await client.call_tool("runProgram", {"code": code}))
        identity = re.search(r"resultId\W+([\w-]+)", view)
        assert identity, view
        arguments = {"resultId": identity[1], "jsonPointers": ["/rows"]}
        reading = f'found = await call("expandResult", {arguments!r})\nlen(found[0]["value"])'
        rest = text_of(await client.call_tool("runProgram", {"code": reading}))
    assert len(view) < 3000
    assert rest == "3000"


async def test_an_answer_above_the_limit_is_whole_inside(recorder: Recorder) -> None:
    """Answers of any size stay inside the program."""
    recorder.answer = (200, JSON, json.dumps([{"id": n} for n in range(20_000)]).encode())
    assert await result_of(recorder, 'sum(p["id"] for p in await call("listpets"))') == "199990000"


async def test_a_program_finds_tools(recorder: Recorder) -> None:
    """The tools that search and expand can be called, too."""
    assert "listpets" in await result_of(recorder, 'await call("searchTools", {"query": "list pets"})')


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("is_confirmed", [True, False])
async def test_a_person_confirms_inside_of_a_program(recorder: Recorder, mode: str, is_confirmed: bool) -> None:
    """The program waits for the person, whose time does not count, and goes on where it was."""
    asked: list[str] = []

    async def decide(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        await asyncio.sleep(3.2 * is_confirmed)
        return ElicitResult(action="accept" if is_confirmed else "decline", content={"confirmed": is_confirmed})

    code = 'print("before")\nawait call("deletepet", {"petId": 1})\n"gone"'
    settings = Settings(code="only", confirm=("delete*",), program_limits=ProgramLimits(seconds=3))
    service = service_of(api_of(pets(recorder.url)), settings)
    async with Client(build_server([service]), elicitation_handler=decide, mode=mode) as client:
        result = await client.call_tool("runProgram", {"code": code}, raise_on_error=False)
    assert result.is_error is not is_confirmed
    assert [each.method for each in recorder.requests] == ["DELETE"] * is_confirmed
    assert len(asked) == 1
    assert text_of(result).count("before") == 1
    assert is_confirmed or "did not confirm" in text_of(result)


@pytest.mark.parametrize("code", ["\ufeff6 * 7", "```python\n6 * 7\n```", "  6 * 7", "return 6 * 7", "6 * 7\r\n"])
async def test_programs_as_models_send_them(code: str, recorder: Recorder) -> None:
    """A byte order mark, a fence, an indentation, a return and other ends of lines change nothing."""
    assert await result_of(recorder, code) == "42"


async def test_progress_grows_with_each_call(recorder: Recorder) -> None:
    """A client that asks for progress hears of each call."""
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    code = 'for number in range(3):\n    await call("getpet", {"petId": number})'
    async with served(pets(recorder.url), Settings(code="only")) as client:
        await client.call_tool("runProgram", {"code": code}, progress_handler=hear)
    assert [message for _, message in heard] == ["getpet"] * 3
    assert heard == sorted(set(heard))


async def test_a_broken_connection_may_have_changed_something(recorder: Recorder) -> None:
    """What was sent without an answer is named as unknown, and what was refused is not named at all."""
    recorder.answers["/pets"] = (503, JSON, b"{}")
    recorder.answers["/pets/2"] = (404, JSON, b"{}")
    code = """
for name, arguments in (("deletepet", {"petId": 1}), ("deletepet", {"petId": 2}), ("createpet", {"name": "Rex"})):
    try:
        await call(name, arguments)
    except Exception:
        pass
1 / 0
"""
    error = await error_of(recorder, code)
    assert "Line 7, column 1:\n    1 / 0\nZeroDivisionError: division by zero" in error
    assert "Done by then: DELETE /pets/{petId}.\nUnknown: POST /pets. " in error


@pytest.mark.slow
async def test_a_missing_sandbox_is_one_line(run: Run, tmp_path: Any) -> None:
    """Without the extra, the start fails with a line that names it."""
    (tmp_path / "pydantic_monty.py").write_text("raise ImportError")
    found = run("--code", "serve", "--http", "127.0.0.1:0", env={"PYTHONPATH": str(tmp_path)})
    assert found.returncode == 2
    assert "portkey-bridge[code]" in found.stderr
    assert found.stderr.count("\n") == 1


UNSUPPORTED = [
    ("def f():\n    yield 1", "list"),
    ("x = 1\ndel x", "pop()"),
    ("class A(dict): pass", "without bases"),
    ("async for x in y: pass", "for loop"),
    ("import requests", "json"),
    ("from tools import listpets", "need no import"),
    ('await call("zzz")', "searchTools finds tools"),
    ("from json import *", "names that are used"),
    ('call("listpets")["x"]', "await before call"),
    ('await call("listpets", limit=1)', "as one dict"),
    ("await asyncio.gather(return_exceptions=True)", "Catch exceptions"),
    ("import os\nos.environ", "no environment"),
    ("open('/etc/passwd')", "no files"),
    ("async with asyncio.Semaphore(3): pass", "limits its concurrency"),
    ("try: pass\nexcept* ValueError: pass", "Use except."),
    ("json.dumps({}, default=str)", "str(value)"),
    ("found = (n for n in [1])\nnext(found)", "next(iter(items), None)"),
    ("from typing import TypedDict", "not checked"),
    ('(await call("listpets")).name', 'answer["name"]'),
    ("await listpets()", "await call"),
    ("type Number = int", "not checked"),
    ("call.listpets()", "await call"),
    ("print(sys.path)", "Import it"),
    ("import sys\nsys.exit()", "last expression"),
    ("sorted([None, 1])", "values of one type"),
    ('import re\nre.sub("a", lambda found: "b", "a")', "re.finditer"),
    ("from datetime import datetime\ndatetime.utcnow()", "timezone.utc"),
    ("x = []\nx.append(x)\nawait call('createpet', {'name': x})", "contains itself"),
]


#: Programs that expect another answer than they get.
MISREADINGS = [
    'found["data"]',
    "found.data",
    'for pet in found: print(pet["name"])',
    '[pet.name for pet in found["pets"]]',
    'found["pets"][5]',
    'found["next"]["page"]',
]


@pytest.mark.parametrize("code", MISREADINGS)
async def test_an_error_about_an_answer_shows_its_shape(code: str, recorder: Recorder) -> None:
    """Names and types of what the last tools have answered, without values, so that the next program is right."""
    recorder.answer = (200, JSON, b'{"pets": [{"name": "Rex", "price": 2.5}], "next": null}')
    error = await error_of(recorder, f'await call("getpet", {{"petId": 1}})\nfound = await call("listpets")\n{code}')
    shape = '{"pets": [{"name": "string", "price": "number"}, "1 item"], "next": "null"}'
    assert f"\ngetpet answered {shape}\nlistpets answered {shape}\nDone by then" in error
    assert "Rex" not in error


async def test_other_errors_show_no_shapes(recorder: Recorder) -> None:
    """What has nothing to do with an answer is short."""
    assert "answered" not in await error_of(recorder, 'await call("listpets")\n1 / 0')


async def test_a_printed_call_is_pointed_out(recorder: Recorder) -> None:
    """A program that prints a call instead of its answer succeeds, and hears what is missing."""
    assert "Write await before call" in await result_of(recorder, 'print(call("listpets"))')


@pytest.mark.parametrize(("code", "advice"), UNSUPPORTED, ids=lambda value: value[:24])
async def test_what_the_sandbox_lacks_has_an_alternative(code: str, advice: str, recorder: Recorder) -> None:
    """The error names line and column, and what does the same."""
    error = await error_of(recorder, code)
    assert re.match(r"Line \d+, column \d+", error)
    assert advice in error


NO_DATA = [
    ('await call("getpet", {"petId": call("listpets")})', "A call was not awaited"),
    ('await call("createpet", {"name": len})', "is not data"),
    ('call("listpets")', "A call was not awaited"),
    ("async def main():\n    return 1\nmain()", "your own async functions"),
    ("[len]", "is not data"),
]


@pytest.mark.parametrize(("code", "problem"), NO_DATA, ids=lambda value: value[:40])
async def test_only_data_leaves_a_program(code: str, problem: str, recorder: Recorder) -> None:
    """A function or a call that was not awaited is refused as an argument and as a result."""
    assert problem in await error_of(recorder, code)
    assert [request.method for request in recorder.requests] in ([], ["GET"])


async def test_names_of_functions_are_variables(recorder: Recorder) -> None:
    """A comprehension may use `id` or `type` as its variable, and the functions stay what they are."""
    code = """
[await call("getpet", {"petId": id}) for id in (1, 2)]
[{"type": type, "max": max} for type, max in [("cat", 3)]] + [str(max(1, 2)), isinstance(1, int), len([str])]
"""
    assert await result_of(recorder, code) == '[{"type":"cat","max":3},"2",true,1]'
    assert [request.target for request in recorder.requests] == ["/pets/1", "/pets/2"]


#: Programs, and what each ends with.
ENDINGS = [
    ("(await call('listpets'))", '{"ok":true}'),
    ("((await call('listpets'))['ok'],\n 'ü')", '[true,"ü"]'),
    ("(await call('listpets'))['ok']", "true"),
    ("# A remark\n\n(await call(\n    'listpets',\n    {},\n))  # the last one\n# after it\n", '{"ok":true}'),
    ('"""Asks for pets."""\nawait call("listpets")', '{"ok":true}'),
    ('"""Only a text."""', "Only a text."),
    ("await call('listpets');", '{"ok":true}'),
    ("'é'; found = await call('listpets'); (found)", '{"ok":true}'),
    ("    found = await call('listpets')\n    (found)\n", '{"ok":true}'),
    ("\n  # A remark\n  if True:\n    found = 1\n  found", "1"),
    ("f\"{(await call('listpets'))['ok']} pets\"", "True pets"),
    ("(f'''{1}\n'''\n  'a' \\\n  'b')", "1\nab"),
    ("1, \\\n2", "[1,2]"),
    ("(found := 3)", "3"),
    ("found = [1]\nreturn(found)", "[1]"),
    ("return [\n1]; ", "[1]"),
    ("return 1, 2", "[1,2]"),
    ("found = 1\r\n(found)\r\n", "1"),
    ("(lambda: (1))()", "1"),
    ("```python\n(await call('listpets'))['ok']\n```\n", "true"),
    ("next((n for n in (1, 2) if n > 1), None)", "2"),
    ("'ü', next(n for n in [1])", '["ü",1]'),
    ("next((n for n in []), 3)", "3"),
    ("found = {'a': [\n1]}\nprint(f'{found['a']}'[:0], end='')\n(found\n)", '{"a":[1]}'),
]


@pytest.mark.parametrize(("code", "result"), ENDINGS, ids=lambda value: value[:24])
async def test_any_last_expression_is_the_result(code: str, result: str, recorder: Recorder) -> None:
    """Parentheses, lines, remarks and indentation around the last expression change nothing."""
    recorder.answer = (200, JSON, b'{"ok":true}')
    assert await result_of(recorder, code) == result


@pytest.mark.parametrize("code", ["found = 1", "for n in [1]:\n    n", "None", "return", "(None)", "pass"])
async def test_a_program_without_a_result_says_so(code: str, recorder: Recorder) -> None:
    """A last statement that is no expression, or has no value, is no result, and the answer says what is missing."""
    assert await result_of(recorder, code) == (
        "The program has no result. End it with an expression, or print something."
    )


async def test_a_program_without_a_result_says_what_it_has_done(recorder: Recorder) -> None:
    """Nobody has to run it again to be sure."""
    code = 'for n in range(2): made = await call("createpet", {"name": "Rex"})'
    assert (await result_of(recorder, code)).endswith("print something. Done: POST /pets (2 times).")


async def test_an_error_in_a_parenthesized_last_expression_has_its_place(recorder: Recorder) -> None:
    """The line of the program is that which its author wrote, also after an indentation."""
    error = await error_of(recorder, "  found = 1\n  (\n    found +\n    missing\n  )")
    assert re.match(r"Line [34],", error), error
    assert "missing" in error


async def test_an_error_in_a_fence_has_its_place(recorder: Recorder) -> None:
    """The line is that of the code as it was passed, with the fence."""
    error = await error_of(recorder, "```python\nfound = next(n for n in [1])\nfound / 0\n```")
    assert error.startswith("Line 3, column 1:\n    found / 0\nZeroDivisionError")


async def test_a_syntax_error_has_its_place(recorder: Recorder) -> None:
    """The line and column are those of the program."""
    assert (await error_of(recorder, "x = 1\nif x\n  2")).startswith("Line 2, column ")


def two_round_trips(*decisions: bool) -> dict[str, Any]:
    """Return the options of a modern client whose person decides in this order."""
    left = list(decisions)

    async def decide(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return ElicitResult(action="accept", content={"confirmed": left.pop(0)})

    return {"elicitation_handler": decide, "mode": "auto"}


CONFIRMED = Settings(code="only", retries=0, confirm=("delete*",))


async def test_each_call_is_confirmed_by_its_own_decision(recorder: Recorder) -> None:
    """A decision confirms one call, not another one that is the same; the program runs once."""
    code = """
await call("createpet", {"name": "Rex"})
try:
    await call("deletepet", {"petId": 1})
    await call("deletepet", {"petId": 1})
except Exception as error:
    print(error)
"""
    service = service_of(api_of(pets(recorder.url)), CONFIRMED)
    async with Client(build_server([service]), **two_round_trips(True, False)) as client:
        said = text_of(await client.call_tool("runProgram", {"code": code}))
    assert [each.method for each in recorder.requests] == ["POST", "DELETE"]
    assert "did not confirm" in said


async def test_calls_at_the_same_time_are_confirmed_one_after_the_other(recorder: Recorder) -> None:
    """Three calls at once are three questions."""
    code = 'await asyncio.gather(*[call("deletepet", {"petId": n}) for n in range(3)])\n"gone"'
    service = service_of(api_of(pets(recorder.url)), CONFIRMED)
    async with Client(build_server([service]), **two_round_trips(True, True, True)) as client:
        assert text_of(await client.call_tool("runProgram", {"code": code})) == "gone"
    assert sorted(each.target for each in recorder.requests) == ["/pets/0", "/pets/1", "/pets/2"]


ANSWER = {"confirm": mcp_types.ElicitResult(action="accept", content={"confirmed": True})}


async def leg(client: Client[Any], code: str, state: str | None = None, **answer: Any) -> Any:
    """Call runProgram in the modern protocol, without repeating it by itself."""
    more: Any = {"request_state": state, "input_responses": answer or ANSWER} if state else {}
    return await client.session.call_tool("runProgram", {"code": code}, allow_input_required=True, **more)


async def test_a_suspended_program_goes_on_once(recorder: Recorder) -> None:
    """A repetition with other code is refused, and so is a second one: nothing runs again from the start."""
    code = 'await call("createpet", {"name": "Rex"})\nawait call("deletepet", {"petId": 1})\n"gone"'
    service = service_of(api_of(pets(recorder.url)), CONFIRMED)
    async with Client(build_server([service]), **two_round_trips()) as client:
        asked = await leg(client, code)
        with pytest.raises(MCPError, match="requestState"):
            await leg(client, "1", asked.request_state)
        last = await leg(client, code, asked.request_state)
        again = await leg(client, code, asked.request_state)
    assert last.content[0].text == "gone"
    assert "No program waits" in again.content[0].text
    assert [each.method for each in recorder.requests] == ["POST", "DELETE"]


async def test_few_programs_wait_for_a_confirmation(recorder: Recorder) -> None:
    """The third one of a caller is refused, with nothing sent."""
    code = 'await call("deletepet", {"petId": 1})'
    service = service_of(api_of(pets(recorder.url)), CONFIRMED)
    async with Client(build_server([service]), **two_round_trips()) as client:
        first = await leg(client, code)
        assert (await leg(client, code)).request_state != first.request_state
        assert "Too many programs wait" in (await leg(client, code)).content[0].text
        last = await leg(client, code, first.request_state)
        assert not last.is_error, last.content
        assert (await leg(client, code)).request_state
    assert len(recorder.requests) == 1


async def test_no_program_waits_in_one_of_several_servers(recorder: Recorder) -> None:
    """Another server would get the repeated call, so the confirmation is refused at once, with nothing sent."""
    services = [service_of(api_of(pets(recorder.url)), CONFIRMED)]
    make = partial(catalogue_of, programs=RunningPrograms(is_one_of_several=True))
    async with Client(build_server(services, make), **two_round_trips()) as client:
        refused = await leg(client, 'await call("deletepet", {"petId": 1})')
    assert refused.is_error
    assert "several servers share a store" in refused.content[0].text
    assert recorder.requests == []


async def test_a_waiting_program_outlives_a_change_of_the_document(recorder: Recorder) -> None:
    """A program goes on although what is served was replaced meanwhile, and still counts as one of its caller."""
    code = 'await call("deletepet", {"petId": 1})\n"gone"'
    services = [service_of(api_of(pets(recorder.url)), CONFIRMED)]
    make = partial(catalogue_of, programs=RunningPrograms())
    server = build_server(services, make)
    async with Client(server, **two_round_trips()) as client:
        first = await leg(client, code)
        await leg(client, code)
        await server.live.swap(make(services))
        assert "Too many programs wait" in (await leg(client, code)).content[0].text
        assert (await leg(client, code, first.request_state)).content[0].text == "gone"


async def test_a_caller_has_few_programs_whatever_its_roles() -> None:
    """The programs of a caller are counted together, also where tokens with other scopes bring other roles."""
    roles = [Role("all", frozenset({"all"})), Role("reading", frozenset({"reading"}), read_only=True)]
    async with held_api() as api:
        settings = Settings(code="only", retries=0)
        service = service_of(api_of(pets(api.url)), settings)
        catalogue = catalogue_of([service], roles=roles)

        async def run_as(role: str) -> str:
            caller = Caller("somebody", roles=frozenset({role}))
            run = catalogue.of(caller).runs["runProgram"]
            result = await run({"code": 'await call("listpets")\n"done"'}, CallContext(caller))
            assert isinstance(result.content[0], tool_result.TextContent)
            return result.content[0].text

        running = [asyncio.ensure_future(run_as("all")) for _ in range(4)]
        for _ in running:
            await api.arrived.acquire()
        assert await run_as("reading") == "4 of your programs are running. Wait until one of them has ended."
        api.may_answer.set()
        assert await asyncio.gather(*running) == ["done"] * 4
        await service.bridge.transport.aclose()


def workers() -> list[Path]:
    """Return the processes of sandboxes that this process has started."""
    parent = f" {os.getpid()} "
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = status.read_text().rpartition(")")
            if name.endswith("(monty") and rest[2:].startswith(parent) and rest[1] != "Z":
                found.append(status)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
async def test_a_program_waits_for_a_limited_time(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose client does not come back ends, and its worker with it."""
    monkeypatch.setattr("portkey_bridge.builtin.programs.ANSWER_TIMEOUT", 1)
    code = 'await call("deletepet", {"petId": 1})'
    service = service_of(api_of(pets(recorder.url)), CONFIRMED)
    async with Client(build_server([service]), **two_round_trips()) as client:
        asked = await leg(client, code)
        assert workers()
        async with asyncio.timeout(60):
            while workers():
                await asyncio.sleep(0.05)
        assert "No program waits" in (await leg(client, code, asked.request_state)).content[0].text
    assert recorder.requests == []


async def test_a_client_that_cannot_ask_is_refused(recorder: Recorder) -> None:
    """Without elicitation nothing is sent, and the setting is named."""
    code = 'await call("deletepet", {"petId": 1})'
    assert "`confirm`" in await error_of(recorder, code, confirm=("delete*",))
    assert recorder.requests == []


async def test_each_inner_call_is_audited(recorder: Recorder, connect: Connect, tmp_path: Path) -> None:
    """`--audit` has a line for each call that a program makes."""
    (tmp_path / "api.json").write_text(json.dumps(pets(recorder.url)))
    log = tmp_path / "log"
    async with connect("--spec", "api.json", "--code", "--audit", log_file=log) as client:
        code = 'for n in range(2): await call("getpet", {"petId": n})\nawait call("createpet", {"name": "x"})'
        await client.call_tool("runProgram", {"code": code})
    lines = [json.loads(line) for line in (log.read_text().splitlines()) if line.startswith("{")]
    assert [line["tool"] for line in lines] == ["getpet", "getpet", "createpet"]


async def test_lenience_is_reported(recorder: Recorder) -> None:
    """What is sent although the document does not allow it is said beside the result, once."""
    code = 'for n in range(3): await call("createpet", {"name": 5})\n1'
    said = await result_of(recorder, code, lenient=True)
    assert said.count("Sent although the document does not allow it") == 1
    assert len(recorder.requests) == 3


async def test_select_reduces_inside_of_a_program(recorder: Recorder) -> None:
    """With --select a program may pass the argument, too."""
    recorder.answer = (200, JSON, b'{"pets": [{"id": 1, "price": 2.5}, {"id": 2, "price": 7}]}')
    assert await result_of(recorder, 'await call("listpets", {"select": "pets[].id"})', select=True) == "[1,2]"
    problem = await error_of(recorder, 'await call("listpets", {"select": "pets["})', select=True)
    assert "select" in problem


async def test_pages_are_joined_inside_of_a_program(recorder: Recorder) -> None:
    """With --pages a program gets the items of all pages as one answer."""
    recorder.answers["/pets"] = (200, {**JSON, "link": '</pets/2>; rel="next"'}, b'{"pets": [{"id": 1}]}')
    recorder.answers["/pets/2"] = (200, JSON, b'{"pets": [{"id": 2}]}')
    said = await result_of(recorder, '(await call("listpets"))["pets"]', pages=5)
    assert said.startswith('[{"id":1},{"id":2}]\nThese are 2 pages')


async def test_a_program_joins_several_apis(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    """With a settings file of two APIs a program calls the tools of both, and each gets its own credential."""
    security = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    for name in ("cats", "dogs"):
        path = {f"/{name}": {"get": {"operationId": f"list{name}", "responses": answers()}}}
        root = document(path, servers=[{"url": recorder.url}], components=security, security=[{"key": []}])
        (tmp_path / f"{name}.json").write_text(json.dumps(root))
    tables = (
        f'[api.{name}]\nspec = "{name}.json"\n[api.{name}.env]\nX_KEY = "key-of-{name}"' for name in ("cats", "dogs")
    )
    (tmp_path / "apis.toml").write_text("\n".join(tables))
    code = """
found = await call("searchTools", {"query": "list cats and dogs"})
tools = [line.split(" · ")[0] for line in found.splitlines() if " · GET " in line]
await asyncio.gather(*[call(tool) for tool in tools])
len(tools)
"""
    async with connect("--config", "apis.toml", "--code") as client:
        result = await client.call_tool("runProgram", {"code": code}, raise_on_error=False)
    assert text_of(result) == "2"
    assert {(each.target, each.header("X-Key")) for each in recorder.requests} == {
        ("/cats", "key-of-cats"),
        ("/dogs", "key-of-dogs"),
    }

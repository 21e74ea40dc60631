"""Selecting a part of an answer: exact, bounded, and refused before anything is sent if it is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_bridge.response.selection import SelectError, Selection
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import document, served

ITEMS = [{"id": f"item-{number}", "owner": {"name": "Ada"}, "text": "x" * 200} for number in range(300)]
ANSWER = {"data": ITEMS, "has_more": True}
PATHS = {"/things": {"get": {"operationId": "listThings", "responses": {}}}}
JSON = {"content-type": "application/json"}


async def called(recorder: Recorder, name: str, arguments: dict[str, Any], answer: Any = ANSWER) -> Any:
    """Call a built-in tool of a server in discovery that serves one operation with this answer."""
    recorder.answers["/things"] = 200, JSON, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    async with served(document(PATHS), Settings(base_url=recorder.url, discover=True)) as client:
        return await client.call_tool(name, arguments, raise_on_error=False)


async def test_a_call_returns_only_what_is_selected(recorder: Recorder) -> None:
    """The first block is the selected part, the last one says what is left out and how to get it."""
    select = "data[:2].{id: id, by: owner.name}"
    result = await called(recorder, "callTool", {"toolName": "listthings", "select": select})
    assert json.loads(result.content[0].text) == [{"id": "item-0", "by": "Ada"}, {"id": "item-1", "by": "Ada"}]
    assert f"All {len(json.dumps(ANSWER)):,} bytes are kept: resultId " in result.content[-1].text


async def test_a_kept_result_is_queried_again_without_a_call(recorder: Recorder) -> None:
    """`expandResult` takes a `select`, also through `callTool`, as often as wanted; the API is called once."""
    recorder.answers["/things"] = 200, JSON, json.dumps(ANSWER).encode()
    async with served(document(PATHS), Settings(base_url=recorder.url, discover=True)) as client:
        view = text_of(await client.call_tool("callTool", {"toolName": "listthings"}))
        arguments = {"resultId": view.partition("resultId: ")[2].partition(".")[0]}
        for call in (
            {"arguments": {**arguments, "select": "length(data)"}},
            {"arguments": arguments, "select": "length(data)"},
        ):
            result = await client.call_tool("callTool", {"toolName": "expandResult", **call})
            assert json.loads(result.content[0].text) == len(ITEMS)  # type: ignore[union-attr]
        both = {**arguments, "select": "data", "jsonPointers": [""]}
        refusal = await client.call_tool(
            "callTool", {"toolName": "expandResult", "arguments": both}, raise_on_error=False
        )
        whole = {**arguments, "jsonPointers": "/data/0/id", "select": "", "next": False}
        assert json.loads(text_of(await client.call_tool("callTool", {"toolName": "expandResult", "arguments": whole})))
        part = {**arguments, "jsonPointers": [], "select": "length(data)", "next": "false"}
        result = await client.call_tool("callTool", {"toolName": "expandResult", "arguments": part})
        assert json.loads(result.content[0].text) == len(ITEMS)  # type: ignore[union-attr]
    assert "/jsonPointers, /select, /next: expected exactly one of them, not more than one" in text_of(refusal)
    assert len(recorder.requests) == 1


#: Expressions that are refused, and what is said
INVALID: list[tuple[Any, str]] = [
    ("data[", "/select: not JMESPath from character 6 on, at the end"),
    ("data[?a='b']", "/select: not JMESPath from character 8 on, before \"='b']\""),
    ("a.foo(b)", "/select: no function 'foo' (character 3)"),
    ("length()", "/select: length() (character 1) takes 1 arguments, not 0"),
    ("", "/select: expected a JMESPath expression"),
    (7, "/select: expected a JMESPath expression"),
    ("(" * 1500, "/select: "),
    ("a" * 5000, "/select: at most 2000 characters"),
]


@pytest.mark.parametrize(("select", "said"), INVALID)
async def test_an_invalid_select_is_refused_before_anything_is_sent(recorder: Recorder, select: Any, said: str) -> None:
    """The error names the argument and the position; no request arrives."""
    result = await called(recorder, "callTool", {"toolName": "listthings", "select": select})
    assert result.is_error
    assert said in text_of(result)
    assert recorder.requests == []


@pytest.mark.parametrize("select", ["items[].id", "data[].name", "{a: nothing, b: data[0].none}", "length(items)"])
async def test_a_select_that_matches_nothing_shows_the_shape(recorder: Recorder, select: str) -> None:
    """The names of the answer are shown, so that the next try works; the call itself has succeeded."""
    result = await called(recorder, "callTool", {"toolName": "listthings", "select": select})
    assert not result.is_error
    assert json.loads(result.content[0].text) == {
        "data": [{"id": "string", "owner": {"name": "string"}, "text": "string"}, "300 items"],
        "has_more": "boolean",
    }
    assert "shape of the answer" in result.content[-1].text


async def test_an_error_and_other_text_are_shown_whole(recorder: Recorder) -> None:
    """A select reduces a JSON answer that succeeded, and nothing else."""
    result = await called(recorder, "callTool", {"toolName": "listthings", "select": "data"}, b"no json")
    assert "no json" in text_of(result)
    assert "select was not applied" in text_of(result)


#: An expression, and the text that it selects of NUMBERS
NUMBERS = b'{"big": 12345678901234567890123, "list": [1.10, 1e400, 0.1000000000000000000001], "n": 2.50}'
EXACT = [
    ("big", b"12345678901234567890123"),
    ("list", b"[1.10,1e400,0.1000000000000000000001]"),
    ("{n: n, text: to_string(list[0])}", b'{"n":2.50,"text":"1.10"}'),
    ("max(list)", b"1e400"),
    ("sort(list)[0]", b"0.1000000000000000000001"),
    ("list[?@ > `1`]", b"[1.10,1e400]"),
]


@pytest.mark.parametrize(("select", "text"), EXACT)
def test_numbers_keep_their_digits(select: str, text: bytes) -> None:
    """Large integers and the texts of other numbers are selected as the API sent them."""
    assert Selection(select).apply(NUMBERS) == text


@pytest.mark.slow
@pytest.mark.parametrize(
    "select", ["[@,@]|" * 200 + "@", "[@,@,@,@][]|" * 100 + "@", "to_string(@)|join('',[@,@,@,@])|" * 50 + "@"]
)
def test_no_expression_makes_much_of_little(select: str) -> None:
    """An expression that doubles its input again and again is refused instead of filling the memory."""
    with pytest.raises(SelectError):
        Selection(select).apply(b'{"a": [1, 2, 3]}')


async def test_the_schema_of_an_answer_is_shown_by_its_own_root(recorder: Recorder) -> None:
    """Pointers from `/response` lead into the response schema; stubs and errors have pointers that work there."""
    item = {"type": "object", "properties": {f"field{number}": {"type": "string"} for number in range(200)}}
    schema = {"type": "object", "properties": {"data": {"type": "array", "items": item}, "more": {"type": "boolean"}}}
    responses = {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}
    root = document({"/things": {"get": {"operationId": "listThings", "responses": responses}}})
    async with served(root, Settings(base_url=recorder.url)) as client:
        pointers = ["/response", "/response/properties/data/items/properties/field7", "/response/x"]
        arguments = {"toolName": "listthings", "jsonPointers": pointers}
        whole, field, nowhere = json.loads(text_of(await client.call_tool("expandSchema", arguments)))
    assert whole["schema"]["properties"]["more"] == {"type": "boolean"}
    assert "[expandSchema /response/properties/data" in json.dumps(whole)
    assert field["schema"] == {"type": "string"}
    assert "/response exists" in nowhere["error"]


async def test_select_is_an_argument_of_every_tool_on_request(recorder: Recorder) -> None:
    """With `--select` each tool takes it, and an argument of the API with that name still reaches the API."""
    parameters = [{"name": "select", "in": "query", "schema": {"type": "string"}}]
    root = document({"/things": {"get": {"operationId": "listThings", "parameters": parameters, "responses": {}}}})
    recorder.answer = 200, JSON, json.dumps(ANSWER).encode()
    async with served(root, Settings(base_url=recorder.url, select=True)) as client:
        (tool,) = [tool for tool in await client.list_tools() if tool.name == "listthings"]
        assert list(tool.input_schema["properties"]) == ["select", "select_"]
        result = await client.call_tool("listthings", {"select": "a", "select_": "length(data)"})
        assert json.loads(result.content[0].text) == len(ITEMS)  # type: ignore[union-attr]
        assert recorder.last.target == "/things?select=a"
        refusal = await client.call_tool("listthings", {"select_": "data["}, raise_on_error=False)
    assert "/select: not JMESPath" in text_of(refusal)
    assert len(recorder.requests) == 1

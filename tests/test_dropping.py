"""Fields that are left out of answers: by patterns, without content, and never silently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_bridge.bridge.service import service_of
from portkey_bridge.errors import SettingsError
from portkey_bridge.response.dropping import Drop
from portkey_bridge.settings.options import Settings
from tests.conftest import Recorder, text_of
from tests.support import api_of, document, served

ANSWER = {
    "_links": {"self": "/x"},
    "data": [
        {"id": 1, "_links": {"self": "/1"}, "note": None, "tags": [], "debug": {"trace": "t" * 50}},
        {"id": 2, "_links": {"self": "/2"}, "note": "n", "owner": {"name": "", "mail": None}},
    ],
    "debug": True,
}
ROOT = document({"/things": {"get": {"operationId": "things", "responses": {}}}})
JSON = {"content-type": "application/json"}

#: Patterns, whether empty fields go, and what is left of the answer
CASES: list[tuple[tuple[str, ...], bool, Any]] = [
    (
        ("**/_links",),
        False,
        [
            {"id": 1, "note": None, "tags": [], "debug": ANSWER["data"][0]["debug"]},  # type: ignore[index]
            {"id": 2, "note": "n", "owner": {"name": "", "mail": None}},
        ],
    ),
    (("/data/*/_links", "data/*/debug", "**/owner"), True, [{"id": 1}, {"id": 2, "note": "n"}]),
    (("data/0/*",), False, [{}, ANSWER["data"][1]]),  # type: ignore[index]
    (
        (),
        True,
        [
            {"id": 1, "_links": {"self": "/1"}, "debug": ANSWER["data"][0]["debug"]},  # type: ignore[index]
            {"id": 2, "_links": {"self": "/2"}, "note": "n"},
        ],
    ),
    (("data/**", "d*g"), False, None),
]


@pytest.mark.parametrize(("patterns", "empty", "data"), CASES)
def test_what_matches_is_dropped(patterns: tuple[str, ...], empty: bool, data: Any) -> None:
    """A pattern matches the path of a field; an object that only has empty fields is empty."""
    body, dropped = Drop(patterns, empty).apply(json.dumps(ANSWER).encode())
    left = json.loads(body)
    if data is None:
        assert left == {"_links": {"self": "/x"}, "data": [{}, {}]}
    else:
        assert left["data"] == data
    assert sum(dropped.values()) > 0


def test_numbers_and_untouched_answers_stay() -> None:
    """Numbers keep their digits, and an answer without such fields its very bytes."""
    drop = Drop(("x",))
    assert drop.apply(b'{"x": 1, "a": [1.10, 1e400, 12345678901234567890123]}')[0] == (
        b'{"a":[1.10,1e400,12345678901234567890123]}'
    )
    body = b'{ "a": 1.0 }'
    assert drop.apply(body) == (body, {})


async def test_what_is_dropped_is_said_and_can_be_read(recorder: Recorder) -> None:
    """One line has size, reasons and resultId; expandResult reads the whole, and a select sees it."""
    recorder.answer = 200, JSON, json.dumps(ANSWER).encode()
    settings = Settings(base_url=recorder.url, drop=("**/_links",), drop_empty=True, select=True)
    async with served(ROOT, settings) as client:
        result = await client.call_tool("things", {})
        first, line = (block.text for block in result.content if block.type == "text")
        assert "_links" not in first
        assert result.structured_content is None  # clients that show only this would not show the line
        assert line.startswith(f"Dropped {len(json.dumps(ANSWER)) - len(first):,} of {len(json.dumps(ANSWER)):,} bytes")
        assert "**/_links (3), null or empty (5)" in line
        result_id = line.partition("resultId ")[2].partition(",")[0]
        whole = await client.call_tool("expandResult", {"resultId": result_id, "jsonPointers": [""]})
        assert json.loads(text_of(whole))[0]["value"] == ANSWER
        chosen = await client.call_tool("things", {"select": "data[].debug.trace"})
        assert json.loads(chosen.content[0].text) == ["t" * 50]  # type: ignore[union-attr]


async def test_an_error_is_whole(recorder: Recorder) -> None:
    """Nothing of an error is dropped or selected."""
    recorder.answer = 400, JSON, b'{"_links": [], "error": null}'
    settings = Settings(base_url=recorder.url, drop=("**/_links",), drop_empty=True)
    async with served(ROOT, settings) as client:
        assert '{"_links": [], "error": null}' in text_of(await client.call_tool("things", {}, raise_on_error=False))


async def test_further_pages_are_dropped_alike(recorder: Recorder) -> None:
    """The items of the next page have no dropped fields, and the kept result has all."""
    page = {"data": [{"id": 1, "_links": {}}]}
    recorder.answers["/things"] = 200, JSON | {"link": '</things?p=2>; rel="next"'}, json.dumps(page).encode()
    recorder.answer = 200, JSON, json.dumps(page).encode()
    async with served(ROOT, Settings(base_url=recorder.url, drop=("**/_links",))) as client:
        said = text_of(await client.call_tool("things", {}))
        result_id = said.partition("with resultId ")[2].partition(" ")[0]
        further = await client.call_tool("expandResult", {"resultId": result_id, "next": True})
        assert json.loads(further.content[0].text) == [{"id": 1}]  # type: ignore[union-attr]
        assert "Dropped" in text_of(further)


async def test_a_tool_has_a_select_of_its_own(recorder: Recorder) -> None:
    """The settings file's `select` counts where a call has none, and `@` is the whole."""
    recorder.answer = 200, JSON, json.dumps(ANSWER).encode()
    settings = Settings(
        base_url=recorder.url, select=True, operations={"things": ({"select": "data[].id"}, "settings.toml, line 3")}
    )
    async with served(ROOT, settings) as client:
        result = await client.call_tool("things", {})
        assert json.loads(result.content[0].text) == [1, 2]  # type: ignore[union-attr]
        result = await client.call_tool("things", {"select": "@"})
        assert json.loads(result.content[0].text) == ANSWER  # type: ignore[union-attr]


def test_a_select_that_is_wrong_ends_the_start() -> None:
    """It is one line that names the tool and the position."""
    settings = Settings(operations={"things": ({"select": "data["}, "settings.toml, line 3")})
    with pytest.raises(SettingsError, match="things: select: not JMESPath from character 6 on"):
        service_of(api_of(ROOT), settings)

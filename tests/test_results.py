"""Large results: views that say the truth, and pointers that lead to all of it."""

from __future__ import annotations

import asyncio
import json
import re
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpointer import resolve_pointer

from portkey_bridge.openapi.pointers import PointerToNowhere
from portkey_bridge.response import json_views as module
from portkey_bridge.response.json_views import excerpt, expand
from portkey_bridge.response.results import LONG_TEXT, ForgottenResult, Results
from portkey_bridge.response.tables import tabulated
from portkey_bridge.settings.options import Settings
from portkey_bridge.settings.values import Bounds
from tests.conftest import Recorder, text_of
from tests.support import document, served

ITEMS = [{"id": f"item-{number}", "text": "x" * 40} for number in range(1000)]
ANSWER = {"object": "list", "data": ITEMS, "has_more": True, "notes": {"long": "abc " * 5000, "short": "yes"}}
BODY = json.dumps(ANSWER).encode()

STUB = re.compile(r"\[expandResult (.*?)(?:#(\d+):(\d+))? · ")


def stubs(text: str) -> list[tuple[str, int | None, int | None]]:
    """Return pointer and slice of every stub in a view."""
    return [(pointer, int(a) if a else None, int(b) if b else None) for pointer, a, b in STUB.findall(text)]


async def test_other_calls_are_answered_while_a_long_answer_is_rendered(recorder: Recorder) -> None:
    """The view of a long answer, and each further one of it, is made while another call begins and ends."""
    long = json.dumps({"data": ["x" * 1000] * (LONG_TEXT // 1000)}).encode()
    recorder.answers["/long"] = 200, {"content-type": "application/json"}, long
    root = document({f"/{name}": {"get": {"operationId": name, "responses": {}}} for name in ("long", "short")})
    rendering, others_answered = Event(), Event()

    def expand_late(*arguments: Any) -> str:
        rendering.set()
        assert others_answered.wait(30), "the other call waits for this one"
        return expand(*arguments)

    async with served(root, Settings(base_url=recorder.url)) as client:
        result_id = Results(Bounds()).keep(long)
        for name, arguments in (("long", {}), ("expandResult", {"resultId": result_id, "jsonPointers": ["/data"]})):
            with (
                patch("portkey_bridge.response.render.expand", expand_late),
                patch("portkey_bridge.builtin.builtin_tools.expand", expand_late),
            ):
                waiting = asyncio.create_task(client.call_tool(name, arguments))
                await asyncio.to_thread(rendering.wait, 30)
                await client.call_tool("short", {})
                others_answered.set()
                assert "expandResult /data" in text_of(await waiting)
            rendering.clear()
            others_answered.clear()


def test_a_small_value_is_shown_as_it_was_sent() -> None:
    """Within the room, the text is the API's own: spaces, digits and all."""
    body = b'{"b": 1.10000000000000000001,\n "a": [1e400, 12345678901234567890123]}'
    assert expand(body, "", 1000) == body.decode()


def test_a_view_shows_the_shape_and_the_first_items_in_full() -> None:
    """All names are there, small values and first items are whole, and the rest says how much is left out."""
    view = json.loads(expand(BODY, "", 4000))
    assert list(view) == list(ANSWER)
    assert view["object"] == "list"
    assert view["has_more"] is True
    *shown, rest = view["data"]
    assert len(shown) > 5
    assert shown == ITEMS[: len(shown)]
    assert rest == f"[expandResult /data#{len(shown)}:1000 · {1000 - len(shown):,} more of 1,000 items]"
    assert view["notes"]["short"] == "yes"


async def test_the_first_view_of_many_objects_is_a_table(recorder: Recorder) -> None:
    """It shows one row, names all columns with counts, keeps everything else, and its stub leads to the other rows."""
    rows = [
        {"id": number, "text": "x" * 60, "gone": None, **({"rare": [1.10]} if number % 100 == 0 else {})}
        for number in range(1000)
    ]
    body = json.dumps({"total": 1000, "data": rows, "few": [{"a": 1}] * 3})
    recorder.answer = 200, {"content-type": "application/json"}, body.encode()
    root = document({"/long": {"get": {"operationId": "long", "responses": {}}}})
    async with served(root, Settings(base_url=recorder.url)) as client:
        said = text_of(await client.call_tool("long", {}))
        view = json.loads(said.partition("\n")[2])
        result_id = said.partition("resultId: ")[2].partition(".")[0]
        arguments = {"resultId": result_id, "jsonPointers": ["/data#1:4"]}
        more = await client.call_tool("expandResult", arguments)
    row, stub = view["data"]
    assert row == rows[0]
    assert len(said) < 1000
    assert stub.startswith("[expandResult /data#1:1000 · 999 more of 1,000 items · columns")
    assert stub.endswith(": id, text, gone (0), rare (10)]")
    assert {name: view[name] for name in ("total", "few")} == {"total": 1000, "few": [{"a": 1}] * 3}
    assert json.loads(text_of(more))[0]["value"] == rows[1:4]


#: Answers without a table: other items, too few of them, and what is beside them does not fit
NO_TABLE: list[Any] = [
    list(range(2000)),
    [{"a": "x" * 3000}] * 4,
    [*[{"a": "x" * 50}] * 200, 7],
    {"data": [{"a": "x" * 50}] * 200, "text": "y" * 9000},
    "x" * 9000,
]


@pytest.mark.parametrize("value", NO_TABLE)
def test_what_is_not_a_table_stays_a_view(value: Any) -> None:
    """Nothing but a large array of objects becomes a table, and only one that fits."""
    assert tabulated(json.dumps(value).encode(), 4000) is None


def test_a_long_row_is_shown_in_part() -> None:
    """A row that is too long has stubs, whose pointers lead to its values, also in an array further inside."""
    rows = [{"id": number, "long": "y" * 9000} for number in range(20)]
    body = json.dumps({"a/b": {"rows": rows}}).encode()
    table = tabulated(body, 4000)
    assert table is not None
    assert len(table) < 3000
    row = json.loads(table)["a/b"]["rows"][0]
    assert row["id"] == 0
    (pointer, start, stop), *_ = stubs(row["long"])
    assert json.loads(expand(body, f"{pointer}#{start}:{stop}", 10_000)) == "y" * ((stop or 0) - (start or 0))


def test_long_text_is_shown_with_head_and_tail() -> None:
    """Both ends are shown, and the stub between them leads to the exact characters that are missing."""
    text = "".join(f"{number:05d} " for number in range(5000))
    head, left_out, tail = re.split(r" … ", excerpt(text, 1000))
    [(pointer, start, stop)] = stubs(left_out + " ")
    assert pointer == ""
    assert head + text[start:stop] + tail == text
    assert len(tail) > 200


@pytest.mark.parametrize("room", [200, 1000, 4000, 20_000])
def test_a_view_is_near_its_room_and_always_the_same(room: int) -> None:
    """Nothing is shown twice or differently, and the room is kept to but for what names and stubs need."""
    view = expand(BODY, "", room)
    assert view == expand(BODY, "", room)
    assert len(view) <= room + 400


#: pointer, what it gives in ANSWER
POINTERS: list[tuple[str, Any]] = [
    ("/object", "list"),
    ("/data/999", ITEMS[999]),
    ("/data/999/id", "item-999"),
    ("/data#20:23", ITEMS[20:23]),
    ("/data#998:", ITEMS[998:]),
    ("/data#-2:", ITEMS[-2:]),
    ("/data#:2", ITEMS[:2]),
    ("/data#5000:6000", []),
    ("/notes/long#0:8", "abc abc "),
    ("#0:1", {"object": "list"}),
    ("/notes#1:2", {"short": "yes"}),
    ("#/object", "list"),
]


@pytest.mark.parametrize(("pointer", "expected"), POINTERS)
def test_pointers_and_slices_lead_to_their_values(pointer: str, expected: Any) -> None:
    """A JSON pointer (RFC 6901) gives its value; a slice gives a part of an array, an object or a text."""
    assert json.loads(expand(BODY, pointer, 10_000)) == expected


def test_names_that_look_like_slices_are_names() -> None:
    """A name that ends like a slice is found by its name, and can be sliced itself."""
    body = b'{"a#0:1": [7, 8, 9], "b/c~": [1, 2, 3]}'
    assert json.loads(expand(body, "/a#0:1", 100)) == [7, 8, 9]
    assert json.loads(expand(body, "/a#0:1/2", 100)) == 9
    assert json.loads(expand(body, "/b~1c~0#1:2", 100)) == [2]


#: pointer, the longest prefix that exists
NOWHERE = [("/dat", ""), ("/data/1000", "/data"), ("/data/-", "/data"), ("/object/x", "/object"), ("data", "")]


@pytest.mark.parametrize(("pointer", "prefix"), NOWHERE)
def test_a_pointer_to_nowhere_names_what_exists(pointer: str, prefix: str) -> None:
    """The error names the longest prefix that exists."""
    with pytest.raises(PointerToNowhere) as caught:
        expand(BODY, pointer, 1000)
    assert caught.value.prefix == prefix


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab~/#é", max_size=600),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text("ab~/é", max_size=4), inner, max_size=30),
    max_leaves=60,
)


@pytest.mark.slow
@settings(max_examples=60)
@given(VALUES, st.sampled_from([1000, 2500]), st.sampled_from([module.BATCH, 300, 20]))
def test_every_stub_can_be_followed_until_nothing_is_left_out(value: Any, room: int, batch: int) -> None:
    """Following all the pointers gives back the whole value, however little of it is read at once."""
    body = json.dumps(value, ensure_ascii=False).encode()
    with patch.object(module, "BATCH", batch):
        assert read_all(body, room) == value


def read_all(body: bytes, room: int) -> Any:
    """Read every place that any stub names; judge each by the `jsonpointer` package on the parsed body."""
    whole = json.loads(body)
    waiting: list[tuple[str, int | None, int | None]] = [("", None, None)]
    seen = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        pointer, start, stop = place
        target = resolve_pointer(whole, pointer)
        if start is not None:
            target = dict(list(target.items())[start:stop]) if isinstance(target, dict) else target[start:stop]
        view = expand(body, pointer + (f"#{start}:{stop}" if start is not None else ""), room)
        found = stubs(view)
        if not found:
            assert json.loads(view) == target
        waiting += found
    return whole


def test_a_large_object_and_array_can_be_read_to_their_ends() -> None:
    """A reader that follows all the stubs has the whole answer."""
    many = {"names": {f"name {number}": number for number in range(900)}, "numbers": list(range(3000))}
    body = json.dumps(many).encode()
    assert read_all(body, 1500) == many


#: Members whose commas say nothing of where one ends
BATCHED: list[Any] = [
    list(range(500)),
    [f'"{number}",[{{' for number in range(200)],
    [[number, [number, {"a": ","}]] for number in range(100)],
    {f"{number},": [number, "]},"] for number in range(100)},
    [None, *range(100), {"a": list(range(300))}, *"x,y,z"],
]


@pytest.mark.parametrize("value", BATCHED)
def test_a_value_is_the_same_however_little_of_it_is_read_at_once(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends between two members and nowhere else."""
    body = json.dumps(value, indent=1).encode()
    pointers = ["", "#-3:", "#90:95", "/99", "/99,", "/101/a#200:"]
    asked = [pointer for pointer in pointers if "error" not in _seen(body, pointer)]
    whole = [_seen(body, pointer) for pointer in asked]
    monkeypatch.setattr(module, "BATCH", 50)
    assert [_seen(body, pointer) for pointer in asked] == whole


def _seen(body: bytes, pointer: str) -> str:
    try:
        return expand(body, pointer, 400)
    except PointerToNowhere:
        return "error"


def test_what_is_nested_deep_is_shown_in_steps() -> None:
    """A view ends at a depth, and its stub goes on from there."""
    value: Any = "x" * 3000
    for _ in range(200):
        value = {"a": value}
    view = expand(json.dumps(value).encode(), "", 2000)
    [(pointer, _, _)] = stubs(view)
    assert pointer.count("/a") > 10


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_results_are_bounded_by_number_bytes_and_age() -> None:
    """The result that was read least lately goes first, and its id is an error that says to call again."""
    clock = Clock()
    results = Results(Bounds(count=2, bytes=10, seconds=60), clock)
    first, second = results.keep(b'"1"'), results.keep(b'"2"')
    assert results[first] == b'"1"'
    third = results.keep(b'"3"')
    with pytest.raises(ForgottenResult, match="again"):
        results[second]
    results.keep(b'"789012"')
    with pytest.raises(ForgottenResult):
        results[first]
    with pytest.raises(ForgottenResult):
        results[third]
    fourth = results.keep(b'"4"')
    clock.now = 61
    with pytest.raises(ForgottenResult):
        results[fourth]


def test_a_result_that_is_read_stays() -> None:
    """Age counts from the last reading."""
    clock = Clock()
    results = Results(Bounds(seconds=60), clock)
    kept = results.keep(b"[1]")
    for _ in range(5):
        clock.now += 50
        assert results[kept] == b"[1]"


def test_the_same_result_has_the_same_id() -> None:
    """An id follows from the answer, so that a view is the same each time."""
    assert Results(Bounds()).keep(BODY) == Results(Bounds()).keep(BODY)

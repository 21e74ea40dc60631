"""Calls from end to end: what an MCP client says, what reaches the API, and what comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.transports import StdioTransport
from mcp_types import ImageContent

from tests.conftest import Connect, Recorder, connected, recording, text_of

Session = Client[StdioTransport]

JSON = {"content-type": "application/json"}
FINE = (200, JSON, b'{"ok": true}')

KEY = "pk-not-for-others"

FUNCTION_CALL = {"name": "weather", "arguments": '{"city": "Zürich"}'}
CALL = {"id": "call_1", "type": "function", "function": FUNCTION_CALL}

#: Every form of message that a chat completion takes.
MESSAGES = [
    pytest.param({"role": "system", "content": "Be brief."}, id="system"),
    pytest.param({"role": "system", "content": "Be brief.", "name": "house"}, id="system with a name"),
    pytest.param({"role": "developer", "content": "Be brief."}, id="developer"),
    pytest.param({"role": "user", "content": "Grüezi 👋"}, id="user text"),
    pytest.param(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
            ],
        },
        id="user parts",
    ),
    pytest.param({"role": "assistant", "content": "Hello."}, id="assistant text"),
    pytest.param({"role": "assistant", "content": None, "tool_calls": [CALL]}, id="assistant with tool calls"),
    pytest.param({"role": "assistant", "tool_calls": [CALL]}, id="assistant without content"),
    pytest.param({"role": "tool", "content": "21 °C", "tool_call_id": "call_1"}, id="tool"),
    pytest.param({"role": "function", "content": "21 °C", "name": "weather"}, id="function"),
]


@pytest.fixture(scope="module")
def shared_api() -> Iterator[Recorder]:
    """Return the API that the shared session talks to."""
    with recording() as record:
        yield record


@pytest.fixture(scope="module")
async def client(shared_api: Recorder) -> AsyncIterator[Session]:
    """Return one session with the Portkey API's tools, its requests sent to `shared_api`."""
    env = {"OPEN_MCP_BASE_URL": f"{shared_api.url}/v1", "X_PORTKEY_API_KEY": KEY}
    async with connected(env=env) as client:
        yield client


@pytest.fixture
def api(shared_api: Recorder) -> Recorder:
    """Return the API without the requests and the answer of the test before."""
    shared_api.requests.clear()
    shared_api.answer = FINE
    return shared_api


async def call(client: Session, tool: str, **arguments: Any) -> CallToolResult:
    """Call a tool, and give its result even where it is an error."""
    return await client.call_tool(tool, arguments, raise_on_error=False)


# What reaches the API


@pytest.mark.parametrize("message", MESSAGES)
async def test_every_form_of_message_arrives_as_given(client: Session, api: Recorder, message: dict[str, Any]) -> None:
    """A chat completion takes every form of message, and the API gets exactly the JSON that was given."""
    result = await call(client, "createchatcompletion", model="gpt-4o", messages=[message])
    assert not result.is_error, text_of(result)
    assert api.last.method == "POST"
    assert api.last.target == "/v1/chat/completions"
    assert api.last.header("content-type") == "application/json"
    assert json.loads(api.last.body) == {"model": "gpt-4o", "messages": [message]}


async def test_numbers_null_and_unicode_arrive_exactly(client: Session, api: Recorder) -> None:
    """No value of a JSON body changes on its way: numbers keep their form, null stays, text stays."""
    arguments = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": '\u2028 " \\ 😀 \x7f'}],
        "temperature": 0.1,
        "top_p": 1,
        "n": None,
        "seed": -9007199254740991,
        "logit_bias": {"50256": -100},
        "stream": False,
        "stop": ["\n", "END"],
    }
    await call(client, "createchatcompletion", **arguments)
    assert json.loads(api.last.body) == arguments
    assert b'"top_p":1,' in api.last.body.replace(b" ", b"")


async def test_metadata_arrives_as_json_in_its_header(client: Session, api: Recorder) -> None:
    """`x-portkey-metadata` is an object for the model and JSON in the header, whatever its text."""
    metadata = {"_user": "Zoë", "room": "a,b=c", "nested": {"n": 1}}
    arguments = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "x-portkey-metadata": metadata}
    await call(client, "createchatcompletion", **arguments)
    assert json.loads(api.last.header("x-portkey-metadata") or "") == metadata
    assert "x-portkey-metadata" not in json.loads(api.last.body)


async def test_headers_carry_text_and_booleans(client: Session, api: Recorder) -> None:
    """Header parameters arrive under their own names; a boolean is written as JSON writes it."""
    arguments = {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "x-portkey-trace-id": "trace 1",
        "x-portkey-cache-force-refresh": True,
    }
    await call(client, "createchatcompletion", **arguments)
    assert api.last.header("x-portkey-trace-id") == "trace 1"
    assert api.last.header("x-portkey-cache-force-refresh") == "true"


@pytest.mark.parametrize(
    ("tool", "arguments", "query"),
    [
        ("getusagelimitspolicy", {"include_usage": True, "policyUsageLimitsId": "p"}, [("include_usage", "true")]),
        ("getusagelimitspolicy", {"include_usage": False, "policyUsageLimitsId": "p"}, [("include_usage", "false")]),
        ("get_admin_users", {"pageSize": 50, "currentPage": 0}, [("pageSize", "50"), ("currentPage", "0")]),
        ("get_admin_users", {"email": "a+b&c=d@example.com"}, [("email", "a+b&c=d@example.com")]),
        ("get_admin_users", {}, []),
    ],
)
async def test_queries_arrive(
    client: Session, api: Recorder, tool: str, arguments: dict[str, Any], query: list[tuple[str, str]]
) -> None:
    """Booleans and numbers are written as JSON writes them, text is encoded, what is missing is left out."""
    result = await call(client, tool, **arguments)
    assert not result.is_error, text_of(result)
    assert parse_qsl(urlsplit(api.last.target).query, strict_parsing=bool(query)) == query


@pytest.mark.parametrize(
    "value",
    [
        "plain-1.2_3~4",
        "two words",
        "a/b",
        "../admin",
        "100%",
        "%2F",
        "Zürich 日本",
        "a?b",
        "a#b",
        "a;b=c",
        "a:b@c",
        "+",
        "…",
    ],
)
async def test_a_path_value_is_one_segment(client: Session, api: Recorder, value: str) -> None:
    """A value stays within its segment of the path, and the API decodes exactly what was given."""
    result = await call(client, "deleteconfig", slug=value)
    assert not result.is_error, text_of(result)
    assert api.last.target.isascii()
    *front, segment = api.last.target.split("/")
    assert front == ["", "v1", "configs"]
    assert unquote(segment) == value
    assert not set(segment) & set("/?#")


@pytest.mark.parametrize("value", [".", "..", ""])
async def test_a_path_value_that_leads_elsewhere_is_refused(client: Session, api: Recorder, value: str) -> None:
    """A dot segment or nothing would name another endpoint, so it is refused, and nothing is sent."""
    result = await call(client, "deleteconfig", slug=value)
    assert result.is_error
    assert "/slug: " in text_of(result)
    assert api.requests == []


async def test_several_path_values_go_to_their_places(client: Session, api: Recorder) -> None:
    """Two values of one path do not change places."""
    await call(client, "getpromptbyversion", versionId="v/2", promptId="p 1")
    assert api.last.target == "/v1/prompts/p%201/versions/v%2F2"


@pytest.mark.parametrize(
    ("tool", "arguments", "method", "target", "body"),
    [
        ("updatelabel", {"labelId": "l1", "name": "new"}, "PUT", "/v1/labels/l1", {"name": "new"}),
        ("deletelabel", {"labelId": "l1"}, "DELETE", "/v1/labels/l1", None),
        ("listmodels", {}, "GET", "/v1/models", None),
    ],
)
async def test_methods_arrive(
    client: Session, api: Recorder, tool: str, arguments: dict[str, Any], method: str, target: str, body: Any
) -> None:
    """The request has the operation's method; the body has what is left after path, query and headers, or is none."""
    result = await call(client, tool, **arguments)
    assert not result.is_error, text_of(result)
    assert (api.last.method, api.last.target) == (method, target)
    assert api.last.body == b"" if body is None else json.loads(api.last.body) == body


async def test_the_api_is_told_who_calls_and_what_is_accepted(client: Session, api: Recorder) -> None:
    """A request names this program and the media types that the document declares."""
    await call(client, "listmodels")
    assert (api.last.header("user-agent") or "").startswith("portkey-bridge/")
    assert (api.last.header("accept") or "").startswith("application/json")
    assert api.last.header("x-portkey-api-key") == KEY


# What comes back


async def test_an_object_comes_back_as_it_was_sent(client: Session, api: Recorder) -> None:
    """The text of a JSON answer is the API's own, to the byte, and an object is structured content, too."""
    body = '{"b" : 1.50, "a": [null, true],\n "s": "Zürich \\u00e9"}'
    api.answer = (200, JSON, body.encode())
    result = await call(client, "listmodels")
    assert not result.is_error
    assert text_of(result) == body
    assert result.structured_content == {"b": 1.5, "a": [None, True], "s": "Zürich é"}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", "{broken"),
        ("application/json", r'{"half a surrogate pair": "\ud800"}'),
        ("application/json", '{"a": NaN}'),
        ("application/json", '{"a":' * 5000 + "1" + "}" * 5000),
        ("text/plain; charset=utf-8", "Grüezi"),
    ],
)
async def test_other_text_comes_back_as_text_alone(client: Session, api: Recorder, media_type: str, body: str) -> None:
    """What is no JSON object, or none that can be written again, is text without structured content."""
    api.answer = (200, {"content-type": media_type}, body.encode())
    result = await call(client, "listmodels")
    assert not result.is_error
    assert text_of(result).startswith(body)
    assert result.structured_content is None


@pytest.mark.parametrize(
    ("media_type", "body", "value"),
    [
        ("application/json", '[1, {"a": 2}]', [1, {"a": 2}]),
        ("application/json", "[]", []),
        ("application/json", '"text"', "text"),
        ("application/json", " null", None),
        ("text/plain", "-1.5", -1.5),
        ("application/json", "[1e400]", "[1e400]"),
    ],
)
async def test_other_json_is_structured_as_a_member_of_an_object(
    client: Session, api: Recorder, media_type: str, body: str, value: Any
) -> None:
    """Structured content has to be an object, which some clients demand of any JSON: another value is a member of one.

    The text stays the API's own. A value that would not be the same in there is its text.
    """
    api.answer = (200, {"content-type": media_type}, body.encode())
    result = await call(client, "listmodels")
    assert not result.is_error
    assert text_of(result) == body
    assert result.structured_content == {"result": value}


@pytest.mark.parametrize(("status", "body"), [(200, '{"a": 1}'), (201, '{"a": 1}'), (404, '{"a": 1}'), (200, "[1]")])
async def test_no_line_is_missing_in_structured_content(client: Session, api: Recorder, status: int, body: str) -> None:
    """Some clients show a model the structured content alone: where the text says more than that, there is none, or it
    says that, too.
    """
    api.answer = (status, {**JSON, "location": "/models/7"} if status < 400 else JSON, body.encode())
    result = await call(client, "listmodels")
    assert str(status) in text_of(result) or "Location: /models/7" in text_of(result)
    wrapped = {"result": [1], "notes": "Location: /models/7"}
    assert result.structured_content == (wrapped if body == "[1]" else None)


async def test_expanded_parts_are_structured(client: Session) -> None:
    """The answer of expandSchema, which is an array, is a member of an object."""
    result = await call(client, "expandSchema", toolName="listmodels", jsonPointers=[""])
    assert result.structured_content == {"result": json.loads(text_of(result))}


async def test_an_image_comes_back_as_an_image(client: Session, api: Recorder) -> None:
    """An image is image content with its media type and its bytes."""
    api.answer = (200, {"content-type": "image/png"}, b"\x89PNG\r\n\x1a\n")
    result = await call(client, "listmodels")
    (image,) = result.content
    assert isinstance(image, ImageContent)
    assert image.mime_type == "image/png"
    assert base64.b64decode(image.data) == b"\x89PNG\r\n\x1a\n"


async def test_an_empty_answer_is_said_to_be_empty(client: Session, api: Recorder) -> None:
    """A status without a body is a success that names the status."""
    api.answer = (204, {}, b"")
    result = await call(client, "deletelabel", labelId="l1")
    assert not result.is_error
    assert "204 No Content" in text_of(result)


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        (400, "application/json", '{"error": "no such model"}'),
        (401, "application/json", '{"error": "bad key"}'),
        (404, "text/html", "<h1>Not here</h1>"),
        (429, "text/plain", "slow down"),
        (500, "application/json", "{}"),
        (503, "text/plain", "later"),
    ],
)
async def test_a_status_of_400_and_above_is_an_error(
    client: Session, api: Recorder, status: int, media_type: str, body: str
) -> None:
    """A failure is a result with `isError`: method, path template and status, then the body as it came."""
    api.answer = (status, {"content-type": media_type}, body.encode())
    result = await call(client, "getpromptbyversion", promptId="secret-id", versionId="2")
    assert result.is_error
    first, _, rest = text_of(result).partition("\n")
    assert first.startswith(f"GET /prompts/{{promptId}}/versions/{{versionId}} answered {status} ")
    assert rest.startswith(body)
    assert "secret-id" not in text_of(result)


async def test_an_error_without_a_body_is_an_error(client: Session, api: Recorder) -> None:
    """An empty failure still says what failed."""
    api.answer = (502, {}, b"")
    result = await call(client, "listmodels")
    assert result.is_error
    assert text_of(result) == "GET /models answered 502 Bad Gateway: the answer has no body."


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_credential_follows_a_redirect(
    client: Session, api: Recorder, recorder: Recorder, status: int
) -> None:
    """A safe request follows a redirect to another origin, and leaves every credential behind."""
    api.answer = (status, {"location": f"{recorder.url}/elsewhere"}, b"")
    result = await call(client, "listmodels")
    assert not result.is_error
    assert recorder.last.target == "/elsewhere"
    assert KEY in str(api.last.headers)
    assert KEY not in str(recorder.last.headers)


async def test_a_request_that_changes_something_is_not_redirected(
    client: Session, api: Recorder, recorder: Recorder
) -> None:
    """A request that is not safe is not sent again elsewhere; the result is an error that names the place."""
    api.answer = (307, {"location": f"{recorder.url}/elsewhere"}, b"")
    result = await call(client, "deletelabel", labelId="l1")
    assert f"{recorder.url}/elsewhere" in text_of(result)
    assert recorder.requests == []


async def test_an_api_that_cannot_be_reached_is_explained(connect: Connect) -> None:
    """Where nobody listens, the call is an error that names the host and the cause, without a traceback."""
    with recording() as gone:
        url = gone.url
    async with connect("--tools", "listmodels", env={"OPEN_MCP_BASE_URL": url, "API_KEY": KEY}) as client:
        result = await call(client, "listmodels")
    assert result.is_error
    assert text_of(result).startswith("GET /models got no answer: 127.0.0.1 refused the connection")
    assert "Traceback" not in text_of(result)
    assert KEY not in text_of(result)


# Arguments that are refused

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}

#: tool, arguments, what each line of the explanation has.
REFUSED = [
    pytest.param("createchatcompletion", {**CHAT, "temprature": 1}, ["/temprature: ", "temperature?"], id="unknown"),
    pytest.param("createchatcompletion", {"messages": CHAT["messages"]}, ["/model: ", "required"], id="missing"),
    pytest.param("deletelabel", {}, ["/labelId: ", "required"], id="missing in the path"),
    pytest.param(
        "createchatcompletion", {**CHAT, "temperature": "hot"}, ["/temperature: ", "number", '"hot"'], id="type"
    ),
    pytest.param("createchatcompletion", {**CHAT, "temperature": 3}, ["/temperature: ", "at most 2", "3"], id="bound"),
    pytest.param("get_admin_users", {"role": "boss"}, ["/role: ", '"admin"', '"owner"', '"boss"'], id="enum"),
    pytest.param("get_admin_users", {"pageSize": "050"}, ["/pageSize: ", "integer", '"050"'], id="type in a query"),
    pytest.param("get_admin_users", {"pageSize": True}, ["/pageSize: ", "integer", "true"], id="boolean for integer"),
    pytest.param(
        "createchatcompletion",
        {"model": "m", "messages": [{"role": "boss", "content": "Hi"}]},
        ["/messages/0/role: ", '"user"', '"assistant"', '"boss"'],
        id="union by its tag",
    ),
    pytest.param(
        "createchatcompletion",
        {"model": "m", "messages": [{"content": "Hi"}]},
        ["/messages/0/role: ", "required"],
        id="missing in all branches",
    ),
    pytest.param(
        "createembedding",
        {"model": "m", "input": [[1, "a"]]},
        ["/input: ", "expected string; or ", "/0/1 expected integer", '[[1, "a"]]'],
        id="union where no branch stands out",
    ),
    pytest.param(
        "createchatcompletion",
        {"model": "m", "messages": [{"role": "tool", "content": "21 °C"}]},
        ["/messages/0/tool_call_id: ", "required"],
        id="missing in the meant branch",
    ),
    pytest.param(
        "createchatcompletion",
        {"model": "m", "messages": [*CHAT["messages"], {"role": "user", "content": [{"type": "text", "text": 1}]}]},
        ["/messages/1/content/0/text: ", "string", "1"],
        id="union in a union",
    ),
    pytest.param(
        "createchatcompletion",
        {"model": "m", "messages": json.dumps(CHAT["messages"])[:-1]},
        ["/messages: ", "expected array, not "],
        id="half a JSON text",
    ),
    pytest.param(
        "createchatcompletion",
        {**CHAT, "x-portkey-metadata": "a=b"},
        ["/x-portkey-metadata: ", "object", '"a=b"'],
        id="header",
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "said"), REFUSED)
async def test_wrong_arguments_are_explained(
    client: Session, api: Recorder, tool: str, arguments: dict[str, Any], said: list[str]
) -> None:
    """One line tells where (a JSON pointer), what would be right and what was given; nothing is sent."""
    result = await call(client, tool, **arguments)
    assert result.is_error
    first, *lines = text_of(result).splitlines()
    assert first == f"Nothing was sent: {tool} does not take these arguments."
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"- {said[0]}")
    assert [part for part in said if part not in lines[0]] == []
    assert api.requests == []


async def test_all_violations_are_told_at_once(client: Session, api: Recorder) -> None:
    """A model mends all its mistakes after one answer: each has a line of its own."""
    arguments = {"messages": [{"role": "boss"}, {"content": "Hi"}], "n": 0, "top_p": "x", "strem": True}
    result = await call(client, "createchatcompletion", **arguments)
    assert result.is_error
    places = {line.partition(": ")[0] for line in text_of(result).splitlines()[1:]}
    assert places >= {"- /model", "- /messages/0/role", "- /n", "- /top_p", "- /strem"}
    assert api.requests == []


async def test_an_unknown_tool_is_an_error(client: Session, api: Recorder) -> None:
    """A tool that does not exist is an error that names it, and nothing is sent."""
    result = await call(client, "createchatcompletions", **CHAT)
    assert result.is_error
    assert "createchatcompletions" in text_of(result)
    assert api.requests == []

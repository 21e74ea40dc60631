"""Answers through a real MCP client over stdio, from a real server on the loopback interface that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.transports import StdioTransport
from mcp_types import AudioContent, ImageContent, TextContent

from tests.conftest import OF_ITS_OWN, Connect, Recorder, Run, connected
from tests.misbehaving import COMPLETION, LIST, MARKER, VARIABLES, Server, document, served

#: Small bounds: two megabytes for an answer; and time and room for all calls at once, also on a busy machine.
BOUNDS = {
    "OPEN_MCP_TIMEOUTS": "60,60,60",
    "OPEN_MCP_KEPT_RESULTS": "8,2,60",
    "OPEN_MCP_RETRIES": "1",
    "OPEN_MCP_CONCURRENCY": "64",
}


@dataclass
class Session:
    """A client of the program, and all that came out of it."""

    client: Client[StdioTransport]
    server: Server
    stderr: Path
    seen: list[str] = field(default_factory=list)

    async def call(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        """Call a tool, and keep what came."""

        async def report(progress: float, total: float | None, message: str | None) -> None:
            self.seen.append(str(message))

        result = await self.client.call_tool(name, arguments, raise_on_error=False, progress_handler=report)
        self.seen.append(repr(result.content) + json.dumps(result.structured_content) + json.dumps(result.meta))
        return result

    async def works(self) -> bool:
        """Check whether the program still answers."""
        return text(await self.call("ok")).startswith('{"ok": null')


def text(result: CallToolResult) -> str:
    """Return all the text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """Yield a client of the program that serves the misbehaving API, with every credential set to the marker."""
    async with opened(tmp_path) as session:
        yield session


@asynccontextmanager
async def opened(folder: Path, **variables: str) -> AsyncIterator[Session]:
    """Yield what `session` yields, of a program in this folder with more environment variables."""
    stderr, document_file = folder / "stderr", folder / "document.json"
    env = {**BOUNDS, **dict.fromkeys(VARIABLES, MARKER), **variables}
    async with served() as server:
        document_file.write_text(json.dumps(document(server)))
        words = ("--spec", str(document_file), "--verbose")
        async with connected(*words, env=env, cwd=folder, log_file=stderr) as client:
            yield Session(client, server, stderr)


#: What happens, whether that is an error, and what the result says
MISBEHAVIOURS = [
    ("reset_at_once", True, "got no answer"),
    ("reset_in_status_line", True, "got no answer"),
    ("reset_in_headers", True, "got no answer"),
    ("reset_in_body", True, "what came"),
    ("early_end_in_body", True, "what came"),
    ("early_end_in_body", True, "The answer broke off"),
    ("early_end_in_chunk", True, "what came"),
    ("early_end_in_chunk", True, "The answer broke off"),
    ("longer_than_announced", False, "what"),
    ("invalid_length", True, "violated HTTP"),
    ("invalid_chunks", True, "violated HTTP"),
    ("no_http", True, "violated HTTP"),
    ("endless_headers", True, "violated HTTP"),
    ("invalid_gzip", True, "the compressed answer is damaged"),
    ("gzip_bomb", True, "larger than 2 MB"),
    ("nested_gzip_bomb", True, "uses a compression that was not requested"),
    ("invalid_headers", False, "Link: <é>"),
    ("invalid_utf8", False, "caf\ufffd"),
    ("no_json", False, "<html>maintenance</html>"),
    ("gigabyte", True, "larger than 2 MB"),
    ("unannounced_gigabyte", True, "larger than 2 MB"),
    ("endless_stream", True, "The answer broke off"),
    ("to_elsewhere", False, '{"ok": null'),
    ("to_elsewhere_with_the_key", False, "a redirect that was not followed"),
    ("to_dead_end", True, "it redirected to another server, and 127.0.0.1:1 refused the connection"),
    ("to_no_name", True, "it redirected to another server, and the name name.invalid could not be resolved"),
    ("to_no_port", False, "Location: http://127.0.0.1:99999/"),
    ("in_circles", True, "redirected more than 5 times"),
    ("refused_for_seconds", False, '{"ok": null}'),
    ("refused_until_a_date", False, '{"ok": null}'),
    ("refused_for_long", True, "Retry-After: 86400"),
    ("failing_in_turns", True, "answered 500 Internal Server Error:\nfailing"),
    ("unauthorized", True, "API_KEY and X_SECRET_COOKIE and X_SECRET_HEADER and X_SECRET_QUERY: check"),
    ("unauthorized", True, "The document says of 401: The key is wrong."),
    ("echo", False, "Bearer [API_KEY]"),
    ("echo_in_events", False, "[API_KEY]"),
    ("echo_in_utf_16", False, "[API_KEY]"),
    ("echo_in_ebcdic", False, "[API_KEY]"),
    ("echo_in_json_escapes", False, '{"key": "[API_KEY]"}'),
    ("echo_in_html", False, "[API_KEY]"),
    ("echo_in_reason", False, "299 [API_KEY]"),
    ("echo_in_picture", False, ""),
    ("no_events", False, '{"error": "no such model"}'),
    ("undeclared_events", False, '"content":"what came"'),
    ("cut_event", True, "what came"),
    ("cut_event", True, "The answer broke off"),
    ("failing_stream", True, "what came"),
    ("failing_stream", True, "The stream reported an error"),
    ("refused", True, "refused the connection"),
]


@pytest.mark.slow
async def test_every_misbehaviour_ends_in_a_result_and_leaks_nothing(session: Session) -> None:
    """Whatever the API does, there is a result that says what happened, the next call works, no secret is out."""
    results = dict(zip(NAMES, await asyncio.gather(*map(session.call, NAMES)), strict=True))
    for name, is_error, said in MISBEHAVIOURS:
        assert said in text(results[name]), (name, text(results[name])[:500])
        assert results[name].is_error == is_error, name
    assert await session.works()
    assert len(session.server.asked("refused_for_long")) == 1
    stderr = session.stderr.read_text()
    assert "Traceback" not in stderr
    assert MARKER not in stderr
    assert MARKER not in "".join(session.seen)
    assert session.server.url not in "".join(session.seen).replace(f"location: {session.server.url}", "")
    strangers = [head for head in session.server.asked("ok") if session.server.other_url.split("/")[-1] in head]
    assert strangers
    assert MARKER not in "".join(strangers)


NAMES = list(dict.fromkeys(name for name, _, _ in MISBEHAVIOURS))

#: What takes too long, the limit that ends it, which is the only small one, and what the result says.
TOO_SLOW = [
    ("slow_headers", "60,1,60", ["sent nothing for 1 seconds"]),
    ("slow_body", "60,3,60", ["what came", "broke off: 127.0.0.1 sent nothing for 3 seconds"]),
    ("dripping_body", "60,60,2", ["not complete within 2 seconds"]),
    ("no_tls", "1,60,60", ["no TLS connection"]),
]


@pytest.mark.parametrize(("name", "timeouts", "said"), TOO_SLOW)
async def test_what_takes_too_long_ends_at_its_limit(tmp_path: Path, name: str, timeouts: str, said: list[str]) -> None:
    """The error names the limit that was reached, and what had arrived is kept."""
    async with opened(tmp_path, OPEN_MCP_TIMEOUTS=timeouts) as session:
        result = await session.call(name)
        assert result.is_error
        assert [each for each in said if each in text(result)] == said
        assert MARKER not in "".join(session.seen) + session.stderr.read_text()


async def test_verbose_writes_one_line_a_call(session: Session) -> None:
    """A line has method, path template, status, bytes and milliseconds, and nothing else."""
    await session.call("ok")
    await session.call("refused")
    lines = [line for line in session.stderr.read_text().splitlines() if " GET " in line]
    assert [line.split()[:-2] for line in lines] == [
        ["portkey-bridge:", "GET", "/ok", "200", "49", "bytes"],
        ["portkey-bridge:", "GET", "/refused", "no", "answer"],
    ]


async def test_content_of_every_kind_arrives(session: Session) -> None:
    """JSON is exact text and a value, pictures and sounds are blocks, lines are a list."""
    result = await session.call("ok")
    assert text(result) == '{"ok": null, "n": 123456789012345678901234567890}'
    assert result.structured_content == {"ok": None, "n": 123456789012345678901234567890}
    assert result.meta is not None
    assert (result.meta["status"], result.meta["requestId"]) == (200, "r-1")
    assert isinstance((await session.call("picture")).content[0], ImageContent)
    assert isinstance((await session.call("sound")).content[0], AudioContent)
    assert json.loads(text(await session.call("lines"))) == [{"a": 1}, {"a": 2}]


async def test_progress_arrives_while_the_stream_runs(session: Session) -> None:
    """The API goes on only after the client has seen the first part; the whole equals the unstreamed answer."""
    seen: list[tuple[float, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))
        session.server.go_on.set()

    streamed = await session.client.call_tool("streamed_completion", {}, progress_handler=report)
    assert seen == [(1, "Hel"), (2, "lo"), (3, None)]
    plain = await session.call("completion")
    assert streamed.structured_content == plain.structured_content == COMPLETION
    assert json.loads(text(streamed)) == json.loads(text(plain))


@pytest.mark.parametrize("name", ["waiting", "waiting_in_stream"])
async def test_a_cancelled_call_closes_its_connection(session: Session, name: str) -> None:
    """The API sees the connection close as soon as the client gives up, and the next call works."""
    call = asyncio.create_task(session.call(name))
    async with asyncio.timeout(60):
        await session.server.begun.wait()
        call.cancel()
        await session.server.closed.wait()
    assert await session.works()
    assert MARKER not in session.stderr.read_text()


async def test_a_large_list_is_read_on(session: Session) -> None:
    """A large answer is a view, and expandResult gives any part of it."""
    view = text(await session.call("large_list"))
    assert len(view) < 41_000
    result_id = view.partition("resultId: ")[2].partition(".")[0]
    pointers = ["/data/4999", "/data#20:40", "/nothing", "/more"]
    expanded = json.loads(text(await session.call("expandResult", {"resultId": result_id, "jsonPointers": pointers})))
    assert [entry["jsonPointer"] for entry in expanded] == pointers
    assert expanded[0]["value"] == LIST["data"][4999]
    assert expanded[1]["value"] == LIST["data"][20:40]
    assert "/data, /more" in expanded[2]["error"]
    assert expanded[3]["value"] is False


#: Arguments of expandResult that cannot be served, and what is said
REFUSED_EXPANSIONS = [
    ({"resultId": "gone", "jsonPointers": [""]}, "Call the tool that returned it again"),
    ({"resultId": "gone", "jsonPointers": "/data"}, "Call the tool that returned it again"),
    ({}, "expected exactly one of them"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED_EXPANSIONS)
async def test_a_result_that_is_gone_is_a_clear_error(session: Session, arguments: dict[str, Any], said: str) -> None:
    """An id that is not kept says to call again, and wrong arguments say what is right."""
    result = await session.call("expandResult", arguments)
    assert result.is_error
    assert said in text(result)


def memory(pid: int) -> int:
    """Return the most megabytes that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def child() -> int:
    """Return the process that this one started last."""
    [*_, last] = Path("/proc/thread-self/children").read_text().split()
    return int(last)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="needs Linux's /proc")
async def test_memory_stays_flat(tmp_path: Path) -> None:
    """Neither a gigabyte, announced or not, nor what unpacks to as much fills the memory."""
    async with opened(tmp_path, **OF_ITS_OWN) as session:
        assert await session.works()
        before = memory(child())
        for name in ("gigabyte", "unannounced_gigabyte", "gzip_bomb", "nested_gzip_bomb", "endless_headers"):
            assert (await session.call(name)).is_error
        assert memory(child()) - before < 20


@pytest.mark.slow
async def test_an_answer_is_compared_with_the_document_on_request(connect: Connect, recorder: Recorder) -> None:
    """With --validate-responses, what is not as declared is a note, and the answer is as it was."""
    recorder.answer = (200, {"content-type": "application/json"}, b'{"object": 7}')
    for flags, noted in (((), False), (("--validate-responses",), True)):
        async with connect("--base-url", recorder.url, *flags, env={"X_PORTKEY_API_KEY": MARKER}) as client:
            result = await client.call_tool("listmodels", {})
        assert text(result).startswith('{"object": 7}')
        assert ("Not as the document declares: $.object: 7 is not" in text(result)) == noted


#: An option with a value that cannot be used, and what the line on stderr names
UNUSABLE = [
    ("--timeouts", "fast", "OPEN_MCP_TIMEOUTS: expected three numbers above 0"),
    ("--timeouts", "1,2", "such as 10,300,900"),
    ("--timeouts", "0,1,1", "above 0"),
    ("--kept-results", "1,nan,1", "OPEN_MCP_KEPT_RESULTS"),
    ("--result-limit", "10", "at least 1000"),
    ("--retries", "-1", "OPEN_MCP_RETRIES"),
    ("--concurrency", "0", "at least 1"),
]


@pytest.mark.parametrize(("flag", "value", "said"), UNUSABLE)
def test_a_bound_that_cannot_be_used_is_said(run: Run, flag: str, value: str, said: str) -> None:
    """A wrong value ends the program with one line that names the setting."""
    ended = run(f"{flag}={value}")
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1

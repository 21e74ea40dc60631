"""Lines over pipes: nothing is lost, nothing blocks, and what is no pipe is served all the same."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portkey_bridge.stdio.pipes import CHUNK, LineReader, Writer
from tests.conftest import BARE

REQUESTS = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "ping"},
]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe; the test closes the writing one."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


#: What is written, piece by piece, and the lines that it is
PIECES = [
    ([b"one\ntwo\n"], ["one\n", "two\n"]),
    ([b"o", b"ne", b"\ntw", b"o\n"], ["one\n", "two\n"]),
    ([b"one\nand no end"], ["one\n", "and no end"]),
    ([b"\n\n"], ["\n", "\n"]),
    ([b"one\rstill one\r\n"], ["one\rstill one\r\n"]),
    ([b"caf\xc3", b"\xa9 \xff\n"], ["café \ufffd\n"]),
    ([b"x" * CHUNK, b"y\n"], ["x" * CHUNK + "y\n"]),
    ([], []),
]


@pytest.mark.parametrize(("pieces", "expected"), PIECES)
async def test_lines_are_put_together(pipe: tuple[int, int], pieces: list[bytes], expected: list[str]) -> None:
    """A line is what stands before a line feed, however it comes in pieces; the last one needs none."""
    reading, writing = pipe
    found: list[str] = []

    async def read() -> None:
        found.extend([line async for line in LineReader(reading)])

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for piece in pieces:
            await asyncio.sleep(0)
            await asyncio.to_thread(os.write, writing, piece)
        os.close(writing)
    assert found == expected


async def test_lines_that_are_taken_at_once_keep_their_order(pipe: tuple[int, int]) -> None:
    """Lines before the first one that is not taken do not wake the reader, which gets that one and all after it."""
    reading, writing = pipe
    lines, order = LineReader(reading), list[str]()

    def takes(line: str) -> bool:
        if line.startswith("take"):
            order.append(f"taken {line}")
        return line.startswith("take")

    lines.takes = takes

    async def read() -> None:
        async for line in lines:
            order.append(line)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for piece in (b"take 1\ntake 2\n", b"leave 3\ntake 4\n", b"tak", b"e 5\ntake 6\n", b"take 7\n"):
            await asyncio.sleep(0)
            await asyncio.to_thread(os.write, writing, piece)
        os.close(writing)
    assert [line.split()[-1] for line in order] == ["1", "2", "3", "4", "5", "6", "7"]
    assert order[:3] == ["taken take 1\n", "taken take 2\n", "leave 3\n"]


async def test_a_full_pipe_holds_up_the_writer_alone(pipe: tuple[int, int]) -> None:
    """While nobody reads, everything else goes on; as soon as somebody reads, all of it arrives."""
    reading, writing = pipe
    text = "é" * 1_000_000
    write = asyncio.create_task(Writer(writing).write(text))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not write.done()
    arrived = asyncio.create_task(asyncio.to_thread(_read_all, reading))
    await write
    os.close(writing)
    assert await arrived == text.encode()


def _read_all(reading: int) -> bytes:
    with os.fdopen(os.dup(reading), "rb") as file:
        return file.read()


@pytest.mark.usefixtures("descriptors_beyond_1024")
async def test_pipes_may_have_any_number() -> None:
    """A line crosses a pipe whose descriptors are above 1,024, as in a program that holds many files open."""
    reading, writing = os.pipe()
    await Writer(writing).write("line\n")
    os.close(writing)
    assert [line async for line in LineReader(reading)] == ["line\n"]
    os.close(reading)


async def test_nobody_there_to_read_is_an_error(pipe: tuple[int, int]) -> None:
    """A pipe without a reader breaks, and does not wait for ever."""
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        await Writer(writing).write("x" * 1_000_000)
    os.close(writing)
    os.close(pipe[1])


@pytest.mark.slow
def test_files_are_served_like_pipes(tmp_path: Path) -> None:
    """Where stdin and stdout are files, the answers are the same."""
    asked, answered = tmp_path / "in", tmp_path / "out"
    asked.write_text("".join(f"{json.dumps(request)}\n" for request in REQUESTS))
    command = [sys.executable, "-m", "portkey_bridge", "--tools", "listmodels"]
    with asked.open() as stdin, answered.open("w") as stdout:
        subprocess.run(command, stdin=stdin, stdout=stdout, env=BARE, cwd=tmp_path, timeout=120, check=True)
    piped = subprocess.run(
        command, input=asked.read_bytes(), capture_output=True, env=BARE, cwd=tmp_path, timeout=120, check=True
    )
    # The SDK gives up what it is still at when stdin ends, so only the first answer is certain.
    first, *_ = piped.stdout.splitlines()
    assert answered.read_bytes().splitlines()[0] == first
    assert json.loads(first)["id"] == 1

"""Lines over stdin and stdout on the event loop itself, as streams for the SDK.

The SDK's own streams hand each line to worker threads three times, which costs as much as half a call
(docs/performance.md has the figures). Nothing here blocks or changes the mode of the pipes, which others share.
"""

from __future__ import annotations

import asyncio
import io
import os
import select
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from anyio import AsyncFile, wrap_file

#: Bytes read at once.
CHUNK = 65_536

#: Bytes that a ready pipe accepts without blocking (POSIX).
READY = getattr(select, "PIPE_BUF", 512)

#: Seconds between two looks whether the client, whose input has ended, still waits for answers.
LOOK = 0.5

Lines = AsyncIterable[str]


class LineWriter(Protocol):
    """Writes messages, each with its line feed."""

    async def write(self, text: str, /) -> Any:
        """Write one message, or several."""

    async def flush(self) -> None:
        """Write what was held back."""


@contextmanager
def claimed() -> Iterator[tuple[int, int]]:
    """Return duplicates of stdin and stdout; whatever is printed meanwhile goes to stderr."""
    stdin, stdout, nothing = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        yield stdin, stdout
    finally:
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        for number in (stdin, stdout, nothing):
            os.close(number)


def text_files(stdin: int, stdout: int) -> tuple[AsyncFile[str], AsyncFile[str]]:
    """Return files on two descriptors that an event loop cannot wait for, such as files on disk and terminals."""
    reading = open(stdin, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115  # ends with the process
    writing = open(stdout, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    return wrap_file(reading), wrap_file(writing)


class DroppingLog(io.RawIOBase):
    """A log that drops what the other end has no room for, instead of waiting: nobody may ever read it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Check whether the log is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, content: Any, /) -> int:
        """Write the content or drop it, and return its length. The next content reports how much was dropped."""
        text = bytes(content)
        note = f"portkey-bridge: {self._dropped} bytes of this log were dropped\n".encode() if self._dropped else b""
        if note and not self._write(note):
            self._dropped = 0
        self._dropped += len(self._write(text)) if not self._dropped else len(text)
        return len(text)

    def _write(self, text: bytes) -> bytes:
        """Write as much as there is room for, and return the rest."""
        with suppress(OSError):  # nobody reads, or the disk is full
            while text and self._poll.poll(0):
                text = text[os.write(self._descriptor, text[:READY]) :]
        return text


@contextmanager
def dropping_log() -> Iterator[None]:
    """Let whatever is printed to stderr be dropped instead of waited for, if stderr is a pipe that may be full."""
    stderr = sys.stderr
    if sys.platform == "win32" or not isinstance(stderr, io.TextIOWrapper):
        yield
        return
    stderr.flush()
    log = io.BufferedWriter(DroppingLog(stderr.fileno()))
    sys.stderr = io.TextIOWrapper(log, stderr.encoding, stderr.errors, line_buffering=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = stderr


class LineReader:
    """The lines in `begun` and then those that arrive on a file descriptor; `received` is called with each.

    At most CHUNK bytes are read before they are needed. Of lines that arrive while the reader waits, the first ones go
    to `takes` at once, as long as it takes them: to wake the reader for a line takes longer than to read it.
    """

    takes: Callable[[str], bool] = staticmethod(lambda _: False)

    def __init__(self, descriptor: int, begun: bytes = b"", received: Callable[[str], None] = lambda _: None) -> None:
        self._descriptor = descriptor
        self._arrived = begun
        self._line_begins: list[bytes] = []  # pieces of a line that has not ended
        self._has_ended = False
        self._waiting: asyncio.Future[None] | None = None
        self._is_watched = False  # the loop calls when something arrives; to change that for each line is slow
        self._received = received

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line with its line feed; the last one may have none."""
        async for line in self._split():
            text = line.decode("utf-8", "replace")
            self._received(text)
            yield text

    async def _split(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._read():
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    line, self._line_begins = b"".join((*self._line_begins, end, b"\n")), []
                    yield line
                self._line_begins += [rest] if rest else []
        finally:
            self._watch(False)
        if self._line_begins:
            yield b"".join(self._line_begins)

    async def _read(self) -> bytes:
        """Return what has arrived, or arrives next; nothing at the end."""
        if not self._arrived and not self._has_ended:
            self._waiting = asyncio.get_running_loop().create_future()
            self._watch(True)
            await self._waiting
        arrived, self._arrived = self._arrived, b""
        return arrived

    def _watch(self, is_watched: bool) -> None:
        loop = asyncio.get_running_loop()
        if is_watched and not self._is_watched:
            loop.add_reader(self._descriptor, self._take)
        elif self._is_watched and not is_watched:
            loop.remove_reader(self._descriptor)
        self._is_watched = is_watched

    def _take(self) -> None:
        """Take what can be read, unless what was taken before is not needed yet."""
        if self._arrived or self._waiting is None or self._waiting.done():
            self._watch(False)
            return
        arrived = b""
        with suppress(ConnectionError):  # a socket whose other end was closed with data in it
            arrived = os.read(self._descriptor, CHUNK)
        self._has_ended = not arrived
        self._arrived = arrived if self._line_begins else self._untaken(arrived)
        if self._arrived or self._has_ended:
            self._waiting.set_result(None)

    def _untaken(self, arrived: bytes) -> bytes:
        """Return what has arrived without the first lines that are taken at once."""
        begin = 0
        while end := arrived.find(b"\n", begin) + 1:
            text = arrived[begin:end].decode("utf-8", "replace")
            if not self.takes(text):
                break
            self._received(text)
            begin = end
        return arrived[begin:]


class Writer:
    """Writes to a file descriptor, each time no more than does not block; `sent` is called with each text."""

    def __init__(self, descriptor: int, sent: Callable[[str], None] = lambda _: None) -> None:
        self._descriptor = descriptor
        self._sent = sent
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    async def write(self, text: str) -> None:
        """Write the text, and wait while the pipe is full."""
        self._sent(text)
        loop, rest = asyncio.get_running_loop(), memoryview(text.encode())
        while rest:
            if not self._poll.poll(0):
                await _ready(loop.add_writer, loop.remove_writer, self._descriptor)
            rest = rest[os.write(self._descriptor, rest[:READY]) :]

    async def flush(self) -> None:
        """Do nothing: `write` has written everything."""

    def is_broken(self) -> bool:
        """Check whether nobody can read what is written."""
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in self._poll.poll(0))


async def _ready(add: Callable[..., Any], remove: Callable[[int], Any], descriptor: int) -> None:
    """Wait until the descriptor can be read or written."""
    event = asyncio.Event()
    add(descriptor, event.set)
    try:
        await event.wait()
    finally:
        remove(descriptor)

"""Answers what opens a session out of the cache, while the server is still being imported.

The law: a request is answered here only with the bytes that the server itself once gave to the same request, in the
same state of a session, with the same command line, variables, files, program and packages. Everything else is handed
over to the server untouched and in order; where a line leaves doubt, so is all that follows. Any doubt before that,
and there is no opening: the server answers, and what it answers is kept for the next start.

Little is imported here, and nothing that is slow to import: the first answer is there before a server could be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from portkey_bridge.document import cache

#: What the server answers from its state at the start alone.
CONSTANT = frozenset(
    {
        *("initialize", "server/discover", "ping", "tools/list"),
        *("prompts/list", "resources/list", "resources/templates/list"),
    }
)

#: Variables that decide what is served begin with these.
DECIDING = ("OPEN_MCP_", "FASTMCP_", "MCP_")

#: Answers that are kept for one command line: some clients' few.
ANSWERS = 32

#: Bytes that are read at once, and seconds for which one thread may hold up the others during the opening.
CHUNK, HOLD_UP = 65_536, 0.0005

#: Bytes of a line that is read here; a longer one opens no session.
LONGEST = 1_000_000

#: Ids that can be written in one way only, and that end at the next comma.
PLAIN_ID = re.compile(r'(?:(?![",\\])[ -~]){0,100}')

#: What a request or notification may have (JSON-RPC 2.0 section 4).
MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})

#: Nanoseconds by which the clock of a file system may lag behind (Linux: one tick).
TICK = 10_000_000

#: How the server writes an answer: with the id between the two, which alone differs from one session to the next.
ANSWER, RESULT = '{"jsonrpc":"2.0","id":', '"result":'


class Doubt(Exception):
    """A line of which this module cannot say how the server would take it."""


class Asked(NamedTuple):
    """A request that may be answered here: its id as JSON, and a digest of all that the answer depends on.

    `begins` marks the first request, from which the server must learn how the session goes on.
    """

    id: str
    key: str
    begins: bool


class Session:
    """What a client has said so far, as far as answers depend on it."""

    def __init__(self) -> None:
        self._state = ""
        self._ids: set[str] = set()

    def hear(self, line: bytes) -> Asked | None:
        """Return the request that a line is, or None for what only the server can answer. Raises Doubt."""
        try:
            return self._understood(_message(line))
        except (ValueError, RecursionError):
            raise Doubt from None

    def _understood(self, message: Mapping[str, Any]) -> Asked | None:
        begins = not self._ids
        if not message.keys() >= {"id", "method"}:
            if begins:
                raise Doubt  # nothing is said before the first request
            return None
        asked_id, method, params = _id(message["id"]), message["method"], message.get("params")
        if asked_id in self._ids:
            raise Doubt  # which of two is answered nobody can tell
        self._ids.add(asked_id)
        if method not in CONSTANT:
            return None
        if method != "initialize":
            return Asked(asked_id, _key(self._state, method, params), begins)
        if not begins:
            raise Doubt
        self._state = _key(self._state, method, _without_name(params))
        return Asked(asked_id, self._state, begins)


def _message(line: bytes) -> dict[str, Any]:
    """Read a line as the server would. Raises Doubt, ValueError and RecursionError."""
    message = json.loads(line.decode(), object_pairs_hook=_members, parse_constant=_refuse)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Doubt
    if "method" not in message:
        return message
    if not isinstance(message["method"], str) or not isinstance(message.get("params", {}), dict):
        raise Doubt
    if not message.keys() <= MEMBERS:
        raise Doubt
    return message


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Doubt
    return members


def _refuse(constant: str) -> Any:
    raise Doubt


def _id(value: Any) -> str:
    """Write an id as the server would. Raises Doubt for one that could be written in several ways."""
    if type(value) is int and abs(value) < 2**53:
        return str(value)
    if isinstance(value, str) and PLAIN_ID.fullmatch(value):
        return f'"{value}"'
    raise Doubt


def _without_name(params: Any) -> Any:
    """Leave out who the client is, of which no answer speaks (Model Context Protocol, InitializeResult)."""
    client = params.get("clientInfo") if isinstance(params, dict) else None
    if not isinstance(client, dict) or client.keys() != {"name", "version"}:
        return params
    if not all(isinstance(text, str) and text.isprintable() for text in client.values()):
        return params
    return {key: value for key, value in params.items() if key != "clientInfo"}


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Kept(NamedTuple):
    """What was kept: the state of each file that decides, and the answers by their keys."""

    files: dict[str, str]
    answers: dict[str, str]


class Opening:
    """The opening of one session: answered from the cache where it is kept there, and else kept for the next."""

    def __init__(self, name: str = "", kept: Kept | None = None, began: int = 0) -> None:
        self._name = name
        self._kept = kept or Kept({}, {})
        self._began = began
        self._keeps = False
        self._session: Session | None = Session()
        self._thread: threading.Thread | None = None
        self._wake = (-1, -1)
        self._hold_up = sys.getswitchinterval()
        self._lines: list[bytes] = []
        self._answered: dict[str, str] = {}  # by id: what was answered to a request that the server sees, too
        self._asked: dict[str, str] = {}  # by id: the key of a request that the server is to answer

    @classmethod
    def begin(cls, typed: Sequence[str]) -> Opening | None:
        """Begin to answer a client on the other side of stdin and stdout, if `typed` was served before.

        None where nothing can be answered or kept: stdin and stdout are no pipes, or the folder is gone.
        """
        if not are_pipes():
            return None
        began = time.time_ns() - TICK
        try:
            name = cache.name_of("opening", _circumstances(typed))
        except OSError:
            return None
        kept = _kept(name)
        opening = cls(name, kept, began)
        if kept:
            opening._start()
        return opening

    def hand_over(self) -> bytes:
        """Stop answering, and give what was read of stdin and is for the server."""
        if self._thread:
            os.write(self._wake[1], b".")
            self._thread.join()
            for number in self._wake:
                os.close(number)
            self._thread = None
            sys.setswitchinterval(self._hold_up)
        self._session = Session()
        return b"".join(self._lines)

    def keep(self, files: Iterable[os.PathLike[str]]) -> None:
        """Keep what the server answers from here on. It depends on what is in `files`, or on their not being there.

        Nothing is kept where one of them was written since the start: the server may have read what was there before.
        """
        paths = [*map(os.path.abspath, files)]
        self._keeps = not any(_is_unsettled(path, self._began) for path in paths)
        states = {path: _state_of(path) for path in paths}
        if states != self._kept.files:
            self._kept = Kept(states, {})

    def heard(self, line: str) -> None:
        """Take note of a line that the server is about to read."""
        if self._session is None:
            return
        try:
            asked = self._session.hear(line.encode())
        except Doubt:
            self._session = None
            self._asked.clear()
            return
        if asked:
            self._asked[asked.id] = asked.key
        elif '"tools/call"' in line:
            self._session = None  # the session is open: what follows costs nothing here

    def said(self, line: str) -> bool:
        """Take note of a line of the server; False for one that the client has got already."""
        if not self._asked and not self._answered:
            return True
        asked_id, _, rest = line.removeprefix(ANSWER).partition(",")
        key, given = self._asked.pop(asked_id, None), self._answered.pop(asked_id, None)
        answer = rest.removeprefix(RESULT)
        if given is None and key and answer != rest:
            self._keep(key, answer)
        elif given not in (None, answer):
            self._kept.answers.clear()
            cache.forget(self._name)
        return given is None

    def _keep(self, key: str, answer: str) -> None:
        answers = self._kept.answers
        if self._keeps and answers.get(key) != answer:
            answers[key] = answer
            for oldest in [*answers][:-ANSWERS]:
                del answers[oldest]
            cache.write(self._name, json.dumps(self._kept._asdict()).encode())

    def _start(self) -> None:
        sys.setswitchinterval(HOLD_UP)
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read, name="opening", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        begun, arrivals = b"", select.poll()  # select refuses descriptors from 1,024 on
        for number in (0, self._wake[0]):
            arrivals.register(number, select.POLLIN)
        while len(begun) < LONGEST and self._wake[0] not in dict(arrivals.poll()):
            chunk = os.read(0, CHUNK)
            if not chunk:
                break
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                self._take(line + b"\n")
        self._lines.append(begun)

    def _take(self, line: bytes) -> None:
        """Answer a line, or leave it to the server. The first request is for both."""
        try:
            asked = self._session.hear(line) if self._session else None
        except Doubt:
            asked = self._session = None
        answer = self._kept.answers.get(asked.key) if asked else None
        if asked is None or answer is None:
            self._lines.append(line)
            return
        if asked.begins:
            self._lines.append(line)
            self._answered[asked.id] = answer
        _write(f"{ANSWER}{asked.id},{RESULT}{answer}".encode())


def are_pipes() -> bool:
    """Check whether stdin and stdout are pipes or sockets, which an event loop can wait for, as with every client."""
    try:
        kinds = [os.fstat(number).st_mode for number in (0, 1)]
    except OSError:
        return False
    return sys.platform != "win32" and all(stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) for kind in kinds)


def _write(content: bytes) -> None:
    """Write to stdout, whether it blocks or not. That nobody reads any more is for the server to find."""
    rest, room = memoryview(content), select.poll()
    room.register(1, select.POLLOUT)
    with suppress(OSError):
        while rest:
            room.poll()
            rest = rest[os.write(1, rest) :]


def _kept(name: str) -> Kept | None:
    """Return what was kept under a name, if everything that it depends on is as it was."""
    entry = cache.read(name)
    kept = Kept(**json.loads(entry)) if entry else None
    return kept if kept and all(_state_of(path) == state for path, state in kept.files.items()) else None


def _state_of(path: str) -> str:
    """Return what a file holds, as a digest, and where it lies; what is there instead, where that is no file."""
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        if not stat.S_ISREG(kind):
            return f"{kind:o}"  # what is no file may wait for ever, or give its content once
        with Path(path).open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()} {os.path.realpath(path)}"
    except OSError as error:
        return type(error).__name__


def _is_unsettled(path: str, began: int) -> bool:
    """Check whether a file was written or put in its place after a time, or is one whose content nobody sees twice."""
    try:
        found = Path(path).stat()
    except OSError:
        return False
    if stat.S_ISDIR(found.st_mode):
        return False
    return not stat.S_ISREG(found.st_mode) or found.st_ctime_ns >= began


def _circumstances(typed: Sequence[str]) -> Iterable[bytes]:
    """Return everything outside of files that decides what is served, and who serves it."""
    yield json.dumps([[*typed], sys.path]).encode()
    yield os.fsencode(Path.cwd())
    yield json.dumps(_deciding(os.environ), sort_keys=True).encode("utf-8", "surrogatepass")
    yield from cache.program()


def _deciding(environ: Mapping[str, str]) -> list[Any]:
    """Return the variables that decide, and the names of those with which the server would not start as credentials."""
    deciding = {name: value for name, value in environ.items() if name.upper().startswith(DECIDING) or name == "HOME"}
    return [deciding, sorted(name for name, value in environ.items() if not value.strip().isprintable())]

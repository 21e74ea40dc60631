"""Answers a client's first requests from the cache while the server is still being imported.

A request is answered with the same bytes that the server sent for the same request in an earlier session. All other
lines are kept, in order, for the server, and so is everything after the first line that is Ambiguous.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress

from portkey_bridge.stdio.session_requests import RESPONSE_BEGINNING, RESPONSE_RESULT, Ambiguous, Session

#: Bytes read at once.
CHUNK = 65_536

#: Seconds for which the importing thread may keep the replaying thread waiting (`sys.setswitchinterval`).
SWITCH_INTERVAL = 0.0005

#: Length of the longest line that is parsed here, in bytes. After a longer one everything is left to the server.
LONGEST_LINE = 1_000_000

STDIN, STDOUT = 0, 1


class Replayer:
    """Answers from `answers`, by their keys, in a thread that runs until `stop`."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self._session: Session | None = Session()
        self._pending: list[bytes] = []
        self._first_answers: dict[str, str] = {}
        self._switch_interval = sys.getswitchinterval()
        self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Start to read stdin and to write to stdout."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._thread.start()

    def stop(self) -> tuple[bytes, dict[str, str]]:
        """Stop answering. Return the bytes for the server, and by id the answers to requests among them."""
        os.write(self._stop[1], b".")
        self._thread.join()
        for descriptor in self._stop:
            os.close(descriptor)
        sys.setswitchinterval(self._switch_interval)
        return b"".join(self._pending), self._first_answers

    def _run(self) -> None:
        stop, line = self._stop[0], b""
        poll = select.poll()
        poll.register(STDIN, select.POLLIN)
        poll.register(stop, select.POLLIN)
        while len(line) < LONGEST_LINE and stop not in dict(poll.poll()):
            chunk = os.read(STDIN, CHUNK)
            if not chunk:
                break
            *lines, line = (line + chunk).split(b"\n")
            for each in lines:
                self._answer(each + b"\n")
        self._pending.append(line)

    def _answer(self, line: bytes) -> None:
        """Answer a line or leave it to the server. The server gets the first request in any case."""
        try:
            request = self._session.read(line) if self._session else None
        except Ambiguous:
            request = self._session = None
        answer = self._answers.get(request.key) if request else None
        if request is None or answer is None:
            self._pending.append(line)
            return
        if request.is_first:
            self._pending.append(line)
            self._first_answers[request.id] = answer
        _write(f"{RESPONSE_BEGINNING}{request.id},{RESPONSE_RESULT}{answer}".encode())


def _write(content: bytes) -> None:
    """Write to stdout, whether it blocks or not. A client that is gone is left to the server to notice."""
    poll, rest = select.poll(), memoryview(content)
    poll.register(STDOUT, select.POLLOUT)
    with suppress(OSError):
        while rest:
            poll.poll()
            rest = rest[os.write(STDOUT, rest) :]

"""Records the server's answers to a client's first requests, for `replay` at the next start."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from portkey_bridge.document import cache
from portkey_bridge.settings.switches import DOTENV
from portkey_bridge.stdio.saved_answers import SavedAnswers, save, state_of
from portkey_bridge.stdio.session_requests import RESPONSE_BEGINNING, RESPONSE_RESULT, Ambiguous, Session

#: Answers in one entry, enough for a few clients that ask different things.
MAX_ANSWERS = 32

#: Nanoseconds by which the clock of a file system may lag behind (Linux: one tick).
TICK = 10_000_000


class Recorder:
    """Records under a name in the cache. `started` is the time of the start, in nanoseconds since the epoch."""

    def __init__(self, name: str, saved: SavedAnswers | None, started: int) -> None:
        self._name = name
        self._saved = saved or SavedAnswers({}, {})
        self._started = started
        self._records = False
        self._session: Session | None = Session()
        self._keys: dict[str, str] = {}  # by id: the key of a request that the server has yet to answer
        self._replayed: dict[str, str] = {}  # by id: an answer that the client has already received

    def record(self, files: Iterable[os.PathLike[str]]) -> None:
        """Record from now on. The answers depend on these files, also on the absence of one that does not exist.

        Nothing is recorded if a file was written since the start: the server may have read what it contained before.
        """
        # The `.env` is that of the folder where the next start is, too; the name of the entry has its state.
        paths = [DOTENV if os.fspath(file) == DOTENV else str(Path(file).absolute()) for file in files]
        self._records = not any(_may_have_changed(path, self._started - TICK) for path in paths)
        states = {path: state_of(path) for path in paths}
        if states != self._saved.files:
            self._saved = SavedAnswers(states, {})

    def stop(self) -> None:
        """Record nothing more: what is served is no longer what the files said at the start."""
        self._records = False

    def skip(self, replayed: dict[str, str]) -> None:
        """Withhold the server's answers to these requests, by id: the client has already received them."""
        self._replayed.update(replayed)

    def received(self, line: str) -> None:
        """Note a line that the server is about to read."""
        if self._session is None:
            return
        try:
            request = self._session.read(line.encode())
        except Ambiguous:
            self._session = None
            self._keys.clear()
            return
        if request:
            self._keys[request.id] = request.key
        elif '"tools/call"' in line:
            self._session = None  # the start is over, and parsing every line would slow the calls down

    def should_send(self, line: str) -> bool:
        """Note a line of the server, and check whether the client still needs it."""
        if not self._keys and not self._replayed:
            return True
        request_id, _, rest = line.removeprefix(RESPONSE_BEGINNING).partition(",")
        key, replayed = self._keys.pop(request_id, None), self._replayed.pop(request_id, None)
        answer = rest.removeprefix(RESPONSE_RESULT)
        if replayed is None and key and answer != rest:
            self._save(key, answer)
        elif replayed not in (None, answer):
            self._saved.answers.clear()
            cache.forget(self._name)
        return replayed is None

    def _save(self, key: str, answer: str) -> None:
        answers = self._saved.answers
        if self._records and answers.get(key) != answer:
            answers[key] = answer
            for oldest in [*answers][:-MAX_ANSWERS]:
                del answers[oldest]
            save(self._name, self._saved)


def _may_have_changed(path: str, since: int) -> bool:
    """Check whether a file was written or replaced since a time, or cannot be read twice, as a pipe."""
    try:
        found = Path(path).stat()
    except OSError:
        return False
    if stat.S_ISDIR(found.st_mode):
        return False
    return not stat.S_ISREG(found.st_mode) or found.st_ctime_ns >= since

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
        self._replayed: frozenset[str] = frozenset()  # ids of requests that were answered before

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

    async def stop(self) -> None:
        """Record nothing more: what is served is no longer what the files said at the start."""
        self._records = False

    def skip(self, replayed: Iterable[str]) -> None:
        """Record no answers to the requests with these ids: the client has got what was recorded before."""
        self._replayed = frozenset(replayed)

    def forget(self) -> None:
        """Remove what was recorded: it is not what the server answers."""
        self._saved.answers.clear()
        cache.forget(self._name)

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
        if request and request.id not in self._replayed:
            self._keys[request.id] = request.key
        elif request is None and '"tools/call"' in line:
            self._session = None  # the start is over, and parsing every line would slow the calls down

    def sent(self, line: str) -> None:
        """Note a line that the client gets."""
        if not self._keys:
            return
        request_id, _, rest = line.removeprefix(RESPONSE_BEGINNING).partition(",")
        key, answer = self._keys.pop(request_id, None), rest.removeprefix(RESPONSE_RESULT)
        if key and answer != rest:
            self._save(key, answer)

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

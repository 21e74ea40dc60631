"""A start that answers from the cache first: the replayer, then the server with the recorder beside it.

Little is imported here, and nothing that is slow to import: a client gets its first answer before the server could be
there. If anything is in doubt, the server answers, and its answers are recorded for the next start.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from portkey_bridge.settings.switches import may_use_cache
from portkey_bridge.stdio.recorder import Recorder
from portkey_bridge.stdio.replay import Replayer
from portkey_bridge.stdio.saved_answers import entry_name, load


class WarmStart(NamedTuple):
    """The recorder of a session, and the replayer if its first answers are in the cache."""

    recorder: Recorder
    replayer: Replayer | None

    def hand_over(self) -> tuple[bytes, dict[str, str]]:
        """Stop the replayer. Return the bytes of stdin for the server, and by id the answers to requests among them."""
        if self.replayer is None:
            return b"", {}
        pending, answered = self.replayer.stop()
        self.recorder.skip(answered)
        return pending, answered


def warm_start(typed: Sequence[str]) -> WarmStart | None:
    """Start to answer the client on stdin and stdout, if the server was started with this command line before.

    None if nothing can be answered or recorded: the cache is off, stdin or stdout is not a pipe, or the working
    directory is gone.
    """
    if not are_pipes() or not may_use_cache(typed, os.environ):
        return None
    started = time.time_ns()
    try:
        name = entry_name(typed)
    except OSError:
        return None
    saved = load(name)
    replayer = Replayer(saved.answers) if saved else None
    if replayer:
        replayer.start()
    return WarmStart(Recorder(name, saved, started), replayer)


def are_pipes() -> bool:
    """Check whether stdin and stdout are pipes or sockets, which an event loop can wait for, as with every client."""
    try:
        kinds = [os.fstat(descriptor).st_mode for descriptor in (0, 1)]
    except OSError:
        return False
    return sys.platform != "win32" and all(stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) for kind in kinds)

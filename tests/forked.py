"""Runs the program in a process that `forkserver` forks: `forked.py SOCKET ARGUMENT…` is the program with ARGUMENT….

It hands its standard streams, environment and working directory over, passes signals on, and ends as the program ends.
Whatever is imported here, each of some thousand children pays for.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

#: Signals that a parent sends, and the bytes of a number in what the two processes say to each other.
SIGNALS, NUMBER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), 8


def run(path: str, *arguments: str) -> int:
    """Have the program run, and return its exit code, which is negative for a signal."""
    variables = (f"{name}={value}" for name, value in os.environ.items())
    words = [os.getcwd(), str(len(arguments)), *arguments, *variables]  # noqa: PTH109  # pathlib is slow to import
    content = b"\0".join(map(os.fsencode, words))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until there is somebody to pass them on to
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"%*d" % (NUMBER, len(content))], [0, 1, 2])
        server.sendall(content)
        child = int(server.recv(NUMBER))

        def pass_on(number: int, _: object) -> None:
            try:  # noqa: SIM105  # contextlib is slow to import
                os.kill(child, number)
            except ProcessLookupError:  # it has just ended
                pass

        for each in SIGNALS:
            signal.signal(each, pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return int(server.recv(NUMBER))


if __name__ == "__main__":
    if (code := run(*sys.argv[1:])) < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)

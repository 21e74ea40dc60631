"""Starts the program in a twentieth of the time: children are forked from a process that has imported it already.

`serve SOCKET` imports the program, and forks a child for each connection. `run SOCKET ARGUMENT…` asks for a child with
its own standard streams, environment and working directory, passes signals on to it, and ends as it ends. Linux only.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from types import FrameType
from typing import Any

#: What the program imports late, and most tests need.
IMPORTED = (
    *("cli.call", "cli.check", "cli.clients", "cli.docs", "cli.doctor", "cli.listing", "cli.main", "cli.serve"),
    *("openapi.normalize", "document.parse", "document.yaml_values", "document.fetch", "schema.validation"),
)

#: Signals that a parent sends, and the bytes of a number between the two.
SIGNALS, NUMBER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), 8


def serve(path: str) -> None:
    """Fork a child for each connection, and a keeper of the child, which reports how it ended."""
    from importlib import import_module

    from portkey_bridge.__main__ import entry_point

    for name in IMPORTED:
        import_module(f"portkey_bridge.{name}")
    gc.freeze()  # what is shared with the children stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                if keep(connection):
                    return entry_point()
                os._exit(0)
            connection.close()


def keep(connection: socket.socket) -> bool:
    """Fork the child: True there. In the keeper, wait for its end or for that of who asked for it."""
    head, streams, _, _ = socket.recv_fds(connection, NUMBER, 3)
    with connection.makefile("rb") as file:
        arguments, environ, folder = json.loads(file.read(int(head)))
    child = os.fork()
    if child == 0:
        connection.close()
        become(streams, arguments, environ, folder)
        return True
    for number in (*streams, 0, 1, 2):
        os.close(number)
    connection.sendall(b"%*d" % (NUMBER, child))
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(child, signal.SIGKILL)  # who asked for it is gone
    _, status = os.waitpid(child, 0)
    connection.sendall(b"%*d" % (NUMBER, os.waitstatus_to_exitcode(status)))
    return False


def become(streams: list[int], arguments: list[str], environ: dict[str, str], folder: str) -> None:
    """Take over the streams, arguments, environment and working directory of the process that asked."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.argv[1:] = arguments
    sys.path.insert(0, folder)  # as `python -m` does
    os.environ.clear()
    os.environ.update({"FASTMCP_ENV_FILE": os.devnull} | environ)  # as importing the package sets it
    os.chdir(folder)


def run(path: str, *arguments: str) -> int:
    """Have the program run, and give its exit code, which is negative for a signal."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        content = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()  # noqa: PTH109  # pathlib is slow to import
        socket.send_fds(server, [b"%*d" % (NUMBER, len(content))], [0, 1, 2])
        server.sendall(content)
        child = int(server.recv(NUMBER))

        def pass_on(number: int, frame: FrameType | None) -> Any:
            os.kill(child, number)

        for each in SIGNALS:
            signal.signal(each, pass_on)
        return int(server.recv(NUMBER))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    elif (code := run(*sys.argv[2:])) < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    else:
        os._exit(code)

"""Starts the program in a twentieth of the time: children are forked from a process that has imported it already.

`forkserver.py SOCKET` imports the program, and forks a child for each connection, which `forked` makes. Linux only.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context

from portkey_bridge.__main__ import entry_point
from portkey_bridge.cli import terminal
from tests.forked import NUMBER

#: What the program imports late, and many tests need: its own modules, and what libraries import late.
OWN = (
    *("cli.call", "cli.check", "cli.clients", "cli.config", "cli.docs", "cli.doctor", "cli.listing", "cli.main"),
    *("cli.mock", "cli.serve", "document.fetch", "document.parse", "document.yaml_values", "openapi.normalize"),
    *("schema.validation", "mock.app", "builtin.programs", "callers.sealed", "serve.fastmcp_seam"),
    *("web.http_server", "web.providers"),
)
OTHERS = ("anyio._backends._asyncio", "httpcore", "jsonschema_rs", "pydantic_monty")


def serve(path: str) -> None:
    """Fork a keeper for each connection, which forks the child and reports how it ended."""
    for name in (*(f"portkey_bridge.{name}" for name in OWN), *OTHERS):
        import_module(name)
    terminal.EXPLAIN_AFTER = 600.0  # as in conftest
    gc.freeze()  # what is shared with the children stays shared
    signal.signal(signal.SIGCHLD, lambda *_: reap())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                keep(connection)
                os._exit(0)
            connection.close()


def reap() -> None:
    """Collect the keepers that have ended, so that what the children cost counts as a cost of the tests."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def keep(connection: socket.socket) -> None:
    """Fork the child, and wait for its end or for that of who asked for it."""
    head, streams, _, _ = socket.recv_fds(connection, NUMBER, 3)
    with connection.makefile("rb") as file:
        folder, count, *words = map(os.fsdecode, file.read(int(head)).split(b"\0"))
    arguments, variables = words[: int(count)], words[int(count) :]

    def program() -> None:
        connection.close()
        become(streams, folder, arguments, dict(variable.split("=", 1) for variable in variables))
        entry_point()

    # Such a child ends without taking down all that was imported, which costs more than most commands do.
    child = get_context("fork").Process(target=program)
    child.start()
    for number in (*streams, 0, 1, 2):
        os.close(number)
    connection.sendall(b"%*d" % (NUMBER, child.pid or 0))
    if child.sentinel not in select.select([child.sentinel, connection.fileno()], [], [])[0]:
        child.kill()  # who asked for it is gone
    child.join()
    connection.sendall(b"%*d" % (NUMBER, child.exitcode or 0))


def become(streams: list[int], folder: str, arguments: list[str], environ: dict[str, str]) -> None:
    """Take over the streams, working directory, arguments and environment of the process that asked."""
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


if __name__ == "__main__":
    serve(sys.argv[1])

"""An API on the loopback interface that answers at once, in a process of its own: `python -m bench.loopback`.

It costs a tenth of what any client of it does, so that it is the client that is measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What is answered to a request: an object as many APIs would send it, small and 2 MB large.
THING = json.dumps({"id": "a1", "name": "A thing", "tags": ["one", "two"], "size": 12, "text": "x" * 160}).encode()
LARGE = json.dumps({"data": [{"id": number, "text": "x" * 80} for number in range(20_000)]}).encode()


class _Answers(asyncio.Protocol):
    """Answers each request of a connection; a request here has no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  # what asyncio gives for TCP
        self.transport = transport
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        *requests, self.waiting = (self.waiting + data).split(b"\r\n\r\n")
        for request in requests:
            body = LARGE if b"/large" in request[:40] else THING
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


@contextmanager
def loopback() -> Iterator[str]:
    """Run the server in a child process, and yield its URL."""
    command = [sys.executable, "-m", "bench.loopback"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # this module
        try:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())

"""Real servers on the loopback interface, each started for a test and stopped behind it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.replicas import free_port

#: Where `make applications` puts what comes from PyPI, one environment for each application.
FOLDER = ROOT / ".ci" / "applications"

#: Seconds that a server has to answer.
PATIENCE = 180


def found(name: str, environment: str = "") -> str:
    """Return the path of a program, on the PATH or in the environment of an application. Skips the test without it."""
    path = shutil.which(name, path=f"{FOLDER / environment / 'bin'}{os.pathsep}{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed; make applications does that")
    return path


@contextmanager
def running(command: list[str], url: str, folder: Path, env: Mapping[str, str] = {}) -> Iterator[str]:
    """Run a server until it is no longer needed; yield its URL once it answers anything."""
    home = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**home, **env}, stdout=log, stderr=log)
        try:
            _wait_for(url, process, folder / "log")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=20)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"{process.args!r} does not answer: {log.read_text(errors='replace')[-2000:]}")


def run_powerdns(folder: Path, key: str) -> AbstractContextManager[str]:
    """Run an authoritative server with an empty database and an API behind a key. Skips the test without the server."""
    server, schema = found("pdns_server"), Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
    if not schema.exists():
        pytest.skip("pdns-backend-sqlite3 is not installed; make applications does that")
    with closing(sqlite3.connect(folder / "pdns.db")) as database:
        database.executescript(schema.read_text())
    port = free_port()
    settings = {
        "launch": "gsqlite3",
        "gsqlite3-database": folder / "pdns.db",
        "local-address": "127.0.0.1",
        "local-port": free_port(),
        "webserver": "yes",
        "webserver-address": "127.0.0.1",
        "webserver-port": port,
        "api": "yes",
        "api-key": key,
        "socket-dir": folder,
    }
    (folder / "pdns.conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return running([server, f"--config-dir={folder}"], f"http://127.0.0.1:{port}", folder)


def run_etcd(folder: Path) -> AbstractContextManager[str]:
    """Run etcd without authentication. Skips the test without the server."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [found("etcd"), "--data-dir", str(folder / "data"), "--listen-client-urls", client]
    command += ["--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    return running([*command, "--initial-cluster", f"default={peer}"], client, folder)

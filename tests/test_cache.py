"""What is kept between starts, and that nothing in the cache can do harm."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from portkey_bridge.document import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setattr(cache, "cache_folder", lambda: path)
    return path


def test_what_was_written_is_read() -> None:
    """An entry comes back as it was, and only under its own name."""
    cache.write("entry", b"\x00content")
    assert cache.read_entry("entry") == b"\x00content"
    assert cache.read_entry("other") is None


def test_names_tell_parts_apart() -> None:
    """The same bytes, cut elsewhere, are another entry."""
    assert cache.name_of("api", [b"ab", b"c"]) != cache.name_of("api", [b"a", b"bc"])
    assert cache.name_of("api", [b"ab"]) == cache.name_of("api", [b"ab"])


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 100])
def test_a_damaged_entry_is_none(folder: Path, damage: bytes) -> None:
    """What is not what was written is not given out."""
    cache.write("entry", b"content")
    (folder / "entry").write_bytes(damage)
    assert cache.read_entry("entry") is None


def test_a_folder_that_cannot_be_written_does_no_harm(folder: Path) -> None:
    """Where a file lies in the folder's place, nothing is kept, and nobody hears of it."""
    folder.write_text("in the way")
    cache.write("entry", b"content")
    assert cache.read_entry("entry") is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="wants users by number")
def test_an_entry_of_somebody_else_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that another user has put there is not read."""
    cache.write("entry", b"content")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.read_entry("entry") is None


def test_two_writers_leave_one_whole_entry() -> None:
    """Whoever writes last wins, and a reader never sees a mixture."""
    contents = [bytes([number]) * 100_000 for number in range(4)]
    writers = [threading.Thread(target=cache.write, args=("entry", content)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert cache.read_entry("entry") in (None, *contents)
    assert cache.read_entry("entry") in contents


def test_the_longest_unused_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder does not grow without end."""
    monkeypatch.setattr(cache, "ENTRIES", 2)
    for age, name in enumerate(["old", "used", "newer"]):
        cache.write(name, b"")
        os.utime(folder / name, (age, age))
        if name == "used":
            assert cache.read_entry("old") == b""
    cache.write("newest", b"")
    assert sorted(path.name for path in folder.iterdir()) == ["newest", "old"]


def test_the_folder_has_64_entries_at_most(folder: Path) -> None:
    """Nobody pays for what a cache keeps with more room than that."""
    for number in range(66):
        cache.write(f"entry-{number}", b"")
    assert len(list(folder.iterdir())) == 64


def test_an_entry_is_bound_to_its_name(folder: Path) -> None:
    """An entry that was renamed is not taken for another."""
    cache.write("entry", b"content")
    (folder / "entry").rename(folder / "other")
    assert cache.read_entry("other") is None


POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants POSIX")


@POSIX
def test_a_pipe_or_link_in_the_place_of_an_entry_is_none(folder: Path) -> None:
    """A pipe that nobody writes to does not block, and a link is not followed."""
    cache.write("entry", b"content")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "entry")
    assert cache.read_entry("pipe") is None
    assert cache.read_entry("link") is None


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_to_is_ignored(folder: Path, mode: int) -> None:
    """Nothing is read from a folder where others could have put it, and nothing is written there."""
    cache.write("entry", b"content")
    folder.chmod(mode)
    assert cache.read_entry("entry") is None
    cache.write("another", b"content")
    cache.forget("entry")
    assert [path.name for path in folder.iterdir()] == ["entry"]
    folder.chmod(0o700)
    assert cache.read_entry("entry") == b"content"


@POSIX
def test_only_entries_are_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is in the folder stays, and does not count."""
    monkeypatch.setattr(cache, "ENTRIES", 2)
    folder.mkdir(mode=0o700)
    (folder / "letter").write_text("portkey-bridge")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("nowhere")
    for name in ("letter", "folder", "pipe"):
        os.utime(folder / name, (0, 0))
    for age, name in enumerate(["old", "newer", "newest"]):
        cache.write(name, b"")
        os.utime(folder / name, (age + 1, age + 1))
    cache.write("last", b"")
    assert sorted(path.name for path in folder.iterdir()) == ["folder", "last", "letter", "link", "newest", "pipe"]

"""Files are whole or not there, whoever else writes them, and what a kill leaves is cleared away."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from headstart import files
from headstart.errors import OutputError
from headstart.files import (
    digest_file,
    held,
    is_held,
    sweep,
    whole_file,
    whole_folder,
    write_atomically,
)

DIES_WRITING = """
import os, sys
from pathlib import Path
from headstart.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is the first to write into its folders."""
    monkeypatch.setattr(files, "_swept", set())


def writer(path: Path) -> subprocess.Popen[str]:
    """A process that has written half of a file and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIES_WRITING, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_write_atomically__makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


def test_write_atomically__takes_a_name_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("\N{SNOWMAN}" * 85)
    write_atomically(path, b"cold")
    assert path.read_bytes() == b"cold"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_write_atomically__refused_keeps_the_old_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OutputError, match=r"cannot write .*file \(No space left on device\)"):
        write_atomically(path, b"new")
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_write_atomically__where_the_folder_vanishes_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder" / "file"
    real, calls = os.replace, []

    def vanish(*given: object) -> None:
        calls.append(given)
        if len(calls) == 1:
            for left in path.parent.iterdir():
                left.unlink()
            path.parent.rmdir()
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", vanish)
    write_atomically(path, b"there")
    assert len(calls) == 2
    assert path.read_bytes() == b"there"


def test_write_atomically__on_a_folder_that_cannot_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems; any other refusal counts."""
    real = os.fsync
    code = errno.EINVAL

    def fsync(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").resolve().is_dir():
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "file", b"there")
    assert (tmp_path / "file").read_bytes() == b"there"
    code = errno.EIO
    with pytest.raises(OutputError, match="Input/output error"):
        write_atomically(tmp_path / "file", b"there")


def test_whole_file__that_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_file(tmp_path / "file") as file:  # noqa: PT012
        file.write(b"half")
        raise KeyError
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="no locks")
def test_sweep__clears_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    with writer(tmp_path / "dead") as dead:
        dead.send_signal(signal.SIGKILL)
    with writer(tmp_path / "alive") as alive:  # the end of the block closes its pipes and waits
        others = [".mine.tmp", ".shard-abc.arrow.123.tmp", "0123456789abcdef.tmp"]
        for name in others:
            (tmp_path / name).write_bytes(b"of a person")
        (tmp_path / f".made.{'0' * 16}.tmp").mkdir()
        # The second writer has cleared what the first one left: one temporary file and a folder.
        assert len(names(tmp_path)) == len(others) + 2
        assert not [n for n in names(tmp_path) if "dead" in n]
        write_atomically(tmp_path / "new", b"")
        left = names(tmp_path)
        assert [n for n in left if "alive" in n]
        assert len(left) == len(others) + 2
    assert (tmp_path / "alive").read_bytes() == b"half"
    assert alive.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="no locks")
def test_held__is_true_of_a_folder_too_while_the_block_lasts(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with held(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    assert is_held(tmp_path / "nowhere")


def test_whole_folder__has_all_files_or_is_not_there(tmp_path: Path) -> None:
    target = tmp_path / "engines" / "net"
    with pytest.raises(KeyError), whole_folder(target) as scratch:  # noqa: PT012
        (scratch / "half").write_bytes(b"x")
        raise KeyError
    assert names(target.parent) == []
    with whole_folder(target) as scratch:
        (scratch / "whole").write_bytes(b"x")
    assert names(target) == ["whole"]


@pytest.mark.skipif(os.name != "posix", reason="looks at the handles as POSIX has them")
def test_whole_folder__flushes_by_handles_that_windows_could_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    modes: list[int] = []

    def fsync(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_folder(tmp_path / "net") as scratch:
        (scratch / "whole").write_bytes(b"x")
    assert modes == [os.O_RDWR]


def test_whole_folder__that_another_process_has_made_stays(tmp_path: Path) -> None:
    target = tmp_path / "net"
    with whole_folder(target) as scratch:
        (scratch / "mine").write_bytes(b"x")
        target.mkdir()
        (target / "theirs").write_bytes(b"x")
    assert names(target) == ["theirs"]
    assert names(tmp_path) == ["net"]


def test_sweep__of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")
    assert names(tmp_path) == []


def test_digest_file__is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a").startswith("ba7816bf8f01cfea")

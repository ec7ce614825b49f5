from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart import home
from headstart.errors import InputError
from headstart.home import cache_folder, expand, provide_home


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder and a folder for temporary files of the test's own, and no memory."""
    for name in ("HEADSTART_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "temporary").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    home._temporary.cache_clear()
    home._note.cache_clear()
    monkeypatch.setattr(home, "_provided", set())
    yield
    home._temporary.cache_clear()


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a user number without an entry in the list of users."""
    monkeypatch.delenv("HOME")
    pwd = pytest.importorskip("pwd")

    def unknown(_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_expand__a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    assert expand("~/photos") == tmp_path / "home" / "photos"
    assert expand(Path("~")) == tmp_path / "home"
    assert expand("photos/~") == Path("photos/~")
    assert expand("") == Path()


def test_expand__a_folder_whose_name_begins_with_a_tilde_stays(tmp_path: Path) -> None:
    (tmp_path / "~photos").mkdir()
    assert expand("./~photos") == Path("~photos")
    assert expand("~photos/a") == Path("~photos/a")


def test_expand__a_name_that_is_no_users_stays() -> None:
    assert expand("~no-such-user-1/x") == Path("~no-such-user-1/x")


@pytest.mark.parametrize("path", ["a\0b", "~\0", "~/\0", Path("\0")])
def test_expand__refuses_a_nul_character(path: str | Path) -> None:
    with pytest.raises(InputError, match="NUL") as caught:
        expand(path)
    assert "\0" not in str(caught.value)


@pytest.mark.usefixtures("homeless")
def test_expand__without_a_home_folder_says_so() -> None:
    with pytest.raises(InputError, match="no home folder"):
        expand("~/photos")
    assert expand("~photos") == Path("~photos")


@pytest.mark.parametrize("named", ["~/store", "~//store/"])
def test_cache_folder__expands_a_tilde(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", named)
    assert cache_folder() == tmp_path / "home" / "store"
    assert not (tmp_path / "~").exists()


def test_cache_folder__a_relative_one_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "store")
    found = cache_folder()
    monkeypatch.chdir("/")
    assert found == tmp_path / "store"
    assert found.is_dir()


@pytest.mark.parametrize("empty", ["", " "])
def test_cache_folder__an_empty_name_counts_as_none(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", empty)
    assert cache_folder() == tmp_path / "home" / ".cache" / "headstart"


def test_cache_folder__a_relative_xdg_folder_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == tmp_path / "home" / ".cache" / "headstart"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/other")
    assert cache_folder() == tmp_path / "home" / "other" / "headstart"


@pytest.mark.parametrize("named", ["file", "file/below", "/proc/x", "~no-such-user-1/x"])
def test_cache_folder__one_that_cannot_be_made_is_told(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("HEADSTART_CACHE", named)
    with pytest.raises(InputError, match="HEADSTART_CACHE is ") as caught:
        cache_folder()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("homeless")
def test_cache_folder__without_a_home_is_temporary_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = cache_folder()
        assert cache_folder() == found
    assert found.is_relative_to(tmp_path / "temporary")
    [record] = caplog.records
    assert "HEADSTART_CACHE" in record.getMessage()
    assert str(found.parent) in record.getMessage()


@pytest.mark.usefixtures("homeless")
def test_cache_folder__does_not_take_a_temporary_folder_that_others_can_write(
    tmp_path: Path,
) -> None:
    name = tmp_path / "temporary" / f"headstart-{os.getuid()}"
    name.mkdir()
    name.chmod(0o777)
    assert not cache_folder().is_relative_to(name)


@pytest.mark.usefixtures("homeless")
def test_cache_folder__does_not_follow_a_planted_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "temporary" / f"headstart-{os.getuid()}").symlink_to(tmp_path / "theirs")
    found = cache_folder()
    assert not found.resolve().is_relative_to(tmp_path / "theirs")
    assert stat.S_IMODE(found.parent.stat().st_mode) & 0o077 == 0


@pytest.mark.usefixtures("homeless")
def test_provide_home__gives_one_where_there_is_none(tmp_path: Path) -> None:
    provide_home()
    given = Path(os.environ["HOME"])
    assert given.is_relative_to(tmp_path / "temporary")
    os.environ.pop("HOME")


def test_provide_home__leaves_one_that_is_there(tmp_path: Path) -> None:
    provide_home()
    assert os.environ["HOME"] == str(tmp_path / "home")


@pytest.mark.parametrize("of_home", [{}, {"HOME": "/proc/none"}])
def test_command__under_a_user_without_a_home(of_home: dict[str, str], tmp_path: Path) -> None:
    """The real thing, where this system lets a process have a user number of its own."""
    unshare = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    try:
        able = subprocess.run([*unshare, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if able.returncode:
        pytest.skip("this system makes no user namespaces")
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "HEADSTART_CACHE")}
    said = subprocess.run(
        [*unshare, sys.executable, "-m", "headstart", "store", "list", "--json"],
        env={**environment, **of_home, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert "HEADSTART_CACHE" in said.stderr
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "~").exists()

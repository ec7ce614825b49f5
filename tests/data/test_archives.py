"""Archives: fetched whole or not at all, unpacked inside their folder or not at all."""

from __future__ import annotations

import copy
import hashlib
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data.archives import data_root, download, unpack_zip
from headstart.errors import DataError


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_download__checks_and_renames(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    said: list[tuple[str, int, int]] = []
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    target = tmp_path / "new" / "target"
    download(source.as_uri(), target, md5=md5, progress=lambda *e: said.append(e))
    assert target.read_bytes() == source.read_bytes()
    assert said[-1] == ("download", 3_000_000, 3_000_000)
    with pytest.raises(DataError, match="not the published file"):
        download(source.as_uri(), tmp_path / "other", md5="0" * 32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "source"]


@pytest.mark.parametrize(
    "url", ["file:///no/such/file.zip", "http://127.0.0.1:9/x.zip", "ftp://h/x", "nonsense"]
)
def test_download__says_what_failed(tmp_path: Path, url) -> None:
    with pytest.raises(DataError, match=r"cannot download .*local copy") as caught:
        download(url, tmp_path / "x", timeout_s=2)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_unpack_zip__unpacks(tmp_path: Path) -> None:
    unpack_zip(_zip(tmp_path / "a.zip", {"x/y.txt": b"1"}), tmp_path / "out")
    assert (tmp_path / "out/x/y.txt").read_bytes() == b"1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil", "C:/evil"]
)
def test_unpack_zip__refuses_members_that_leave_the_folder(tmp_path: Path, name) -> None:
    archive = _zip(tmp_path / "a.zip", {"ok.txt": b"1", name: b"2"})
    with pytest.raises(DataError, match="outside its folder"):
        unpack_zip(archive, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_unpack_zip__refuses_links(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc")
    with pytest.raises(DataError, match="a link or a device"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_unpack_zip__refuses_devices(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("zero")
    info.external_attr = (kind | 0o666) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "")
    with pytest.raises(DataError, match="a link or a device"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "names",
    [("a/x.png", "a/x.png"), ("a/x.png", "A/X.PNG"), ("é.png", "e\u0301.png"), ("a/x", "a\\x")],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unpack_zip__refuses_names_that_are_one_somewhere(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    with pytest.raises(DataError, match="one file on some computers"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_unpack_zip__a_folder_may_be_named_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a/", "a/x", "a//"):
            archive.writestr(name, "")
    unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "a" / "x").is_file()


def overlapping(path: Path, n: int) -> Path:
    """A bomb without a high ratio of any member: all of them are the same bytes of the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", b"\0" * (1 << 20))
        only = archive.getinfo("0.png")
        for i in range(1, n):
            info = copy.copy(only)
            info.filename = f"{i}.png"
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
    return path


def test_unpack_zip__members_that_overlap_are_weighed_by_the_file(tmp_path: Path) -> None:
    archive = overlapping(tmp_path / "a.zip", 200)
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
    claimed = sum(i.compress_size for i in infos)
    unpacked = sum(i.file_size for i in infos)
    assert archive.stat().st_size < claimed, "else they would not overlap"
    assert unpacked > 100 * archive.stat().st_size
    with pytest.raises(DataError, match="which no pictures do"):
        unpack_zip(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpack_zip__a_member_that_lies_of_its_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (80 << 20))
        archive.getinfo("a.png").file_size = 100
    with pytest.raises(DataError, match="cannot unpack"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpack_zip__refuses_too_many_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.data.archives._MAX_MEMBERS", 3)
    archive = _zip(tmp_path / "a.zip", {f"{i}.png": b"1" for i in range(4)})
    with pytest.raises(DataError, match="more than 3 files"):
        unpack_zip(archive, tmp_path / "out")


def test_unpack_zip__refuses_a_damaged_archive(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"x": b"1" * 1000})
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot unpack"):
        unpack_zip(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpack_zip__refuses_a_bomb_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", b"\0" * (65 << 20))
    assert (tmp_path / "a.zip").stat().st_size < 100_000
    with pytest.raises(DataError, match=r"unpack to 68,157,440, which no pictures do"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_unpack_zip__a_member_whose_bytes_are_damaged_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"abc" * 9000)
        at = archive.getinfo("a.txt").header_offset + 35
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[at : at + 20] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(
        DataError, match=r"cannot unpack.*; put a whole copy in its place"
    ) as caught:
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no disk here that is always full"
)
def test_unpack_zip__a_full_disk_is_no_fault_of_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"abc")
    monkeypatch.setattr(tempfile, "mkdtemp", made_full(tmp_path))
    with pytest.raises(DataError, match=r"No space left.*; make room, or unpack it by hand"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def made_full(tmp_path: Path) -> Callable[..., str]:
    """Makes folders in which the file a.txt has no room."""

    def make(**_: object) -> str:
        (tmp_path / "partial").mkdir()
        (tmp_path / "partial" / "a.txt").symlink_to("/dev/full")
        return str(tmp_path / "partial")

    return make


@pytest.mark.parametrize(
    ("files", "root"),
    [
        (["cats/0.png", "dogs/0.png"], "."),
        (["photos/cats/0.png", "photos/dogs/0.png", "__MACOSX/x"], "photos"),
        (["a/b/cats/0.png", "a/b/dogs/0.png", "a/.DS_Store"], "a/b"),
        (["cats/0.png", "cats/1.png"], "."),
        (["0.png"], "."),
        (["photos/cats/0.png", "labels.csv"], "."),
    ],
)
def test_data_root__is_the_folder_that_was_meant(tmp_path: Path, files, root) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert data_root(tmp_path) == tmp_path / root

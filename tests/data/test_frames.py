"""Images out of videos, multi-page files and animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.app import run as command
from headstart.data import index
from headstart.data.frames import GROUP_BY, extract_frames
from headstart.data.groups import groups_by_pattern
from headstart.errors import DataError, InputError, OutputError

GREYS = (40, 120, 200)


def pages() -> list[Image.Image]:
    return [Image.new("L", (24, 16), grey) for grey in GREYS]


def write_tiff(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = pages()
    first.save(path, save_all=True, append_images=rest)
    return path


def write_video(path: Path, n_frames: int, rate: int) -> Path:
    cv2 = pytest.importorskip("cv2")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    for i in range(n_frames):
        writer.write(np.full((48, 64, 3), (0, 0, 10 * i), np.uint8))  # blue, green, red
    writer.release()
    return path


def mean_of(path: Path) -> list[int]:
    with Image.open(path) as image:
        return [round(v) for v in np.asarray(image.convert("RGB"), float).mean(axis=(0, 1))]


def test_extract_frames__every_page_in_the_folders_of_the_source(tmp_path: Path) -> None:
    write_tiff(tmp_path / "in" / "cat" / "a.tif")
    first, *rest = pages()
    (tmp_path / "in" / "dog").mkdir()
    first.save(tmp_path / "in" / "dog" / "b.gif", save_all=True, append_images=rest)
    (tmp_path / "in" / "dog" / "broken.tiff").write_bytes(b"II*\0nothing")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    made = extract_frames(tmp_path / "in", tmp_path / "out")
    assert made.counts == {"cat/a.tif": 3, "dog/b.gif": 3}
    assert list(made.failed) == ["dog/broken.tiff"]
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in made.folder.rglob("*.jpg"))
    assert names[:3] == [f"cat/a.tif-{i:06d}.jpg" for i in (1, 2, 3)]
    greys = [mean_of(tmp_path / "out" / name)[0] for name in names[:3]]
    assert greys == pytest.approx(GREYS, abs=1)
    assert len(set(groups_by_pattern(names, GROUP_BY))) == 2


def test_extract_frames__a_video_by_its_own_time(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", n_frames=20, rate=5)  # four seconds
    made = extract_frames(video, tmp_path / "out", every_s=1)
    assert made.counts == {"a.avi": 4}
    reds = [mean_of(p) for p in sorted(made.folder.iterdir())]
    assert [r for r, _, _ in reds] == pytest.approx([0, 50, 100, 150], abs=4)
    assert all(g < 5 and b < 5 for _, g, b in reds)


def test_extract_frames__bad_input_is_one_line(tmp_path: Path) -> None:
    tiff = write_tiff(tmp_path / "a.tif")
    with pytest.raises(InputError, match="more than 0 seconds, got -1"):
        extract_frames(tiff, tmp_path / "out", every_s=-1)
    with pytest.raises(OutputError, match="exists already"):
        extract_frames(tiff, tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        extract_frames(tmp_path / "b.tif", tmp_path / "out")
    (tmp_path / "c.txt").write_text("")
    with pytest.raises(DataError, match="neither a video nor a file of pages"):
        extract_frames(tmp_path / "c.txt", tmp_path / "out")
    pytest.importorskip("cv2")
    (tmp_path / "d.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a video that FFmpeg can read"):
        extract_frames(tmp_path / "d.mp4", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_index__notes_files_of_several_pages(tmp_path: Path) -> None:
    for name in ("cat/a.tif", "dog/b.tif"):
        write_tiff(tmp_path / "set" / name)
    for label in ("cat", "dog"):
        Image.new("L", (24, 16), 90).save(tmp_path / "set" / label / "single.tif")
    for _ in range(2):  # the second time from the store
        [note] = [n for n in index(tmp_path / "set", cache=tmp_path / "c").notes if "pages" in n]
        assert note.startswith("2 files of several pages, of which the first is used: 'cat/a.tif'")


def test_index__of_a_video_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="is a video: make images of it with headstart frames"):
        index(tmp_path / "a.mp4")
    for label in ("cat", "dog"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds no images, but 2 videos: .* headstart frames"):
        index(tmp_path / "set")


def test_frames__names_what_failed_and_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiff(tmp_path / "in" / "a.tif")
    (tmp_path / "in" / "b.tif").write_bytes(b"II*\0nothing")
    assert command(["frames", str(tmp_path / "in"), str(tmp_path / "out"), "--quiet"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("3 images of 1 file in ")
    assert "--group-by" in said.out
    assert said.err.startswith("headstart: b.tif: damaged")


def test_frames__says_what_it_leaves_out_and_takes_animated_png(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = pages()
    (tmp_path / "in").mkdir()
    first.save(tmp_path / "in" / "q.png", save_all=True, append_images=rest)
    first.save(tmp_path / "in" / "still.png")
    first.save(tmp_path / "in" / "p.jpg")
    (tmp_path / "in" / ".hidden").write_text("")
    arguments = ["frames", str(tmp_path / "in"), str(tmp_path / "out"), "--quiet"]
    assert command(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 images of 1 file in ")
    assert "2 other files" in said
    assert command(arguments) == 2
    assert "choose another folder (OUT)" in capsys.readouterr().err

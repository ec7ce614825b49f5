"""Images out of videos, and out of files of several pages or frames.

Each becomes ``NAME-000001.jpg`` and so on beside the others, in the folders that the source has, so that
class folders stay class folders. Frames of one video are much alike: keep them on one side of the split
(``fit --group-by``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from headstart.data.decode import MAX_PIXELS, to_rgb
from headstart.data.sources import printable, shown
from headstart.errors import DataError, InputError, OutputError, argument, one_line
from headstart.files import whole_folder
from headstart.progress import Progress, silent

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    ]
)
PAGED_SUFFIXES = frozenset([".tif", ".tiff", ".gif", ".webp", ".apng"])
GROUP_BY = r"(.*)-\d{6}\.jpg"
"""What `fit --group-by` takes to keep together what comes from one file."""
_QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What was written."""

    folder: Path
    counts: dict[str, int]  # how many images came out of each file
    failed: dict[str, str]  # files that could not be read, with the reason
    n_left_out: int = 0  # other files below the source, such as photographs; they are not copied

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return sum(self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "folder": str(self.folder),
            "counts": self.counts,
            "failed": self.failed,
            "n_left_out": self.n_left_out,
        }


def extract_frames(
    source: Path | str, out: Path | str, *, every_s: float = 1.0, progress: Progress = silent
) -> Frames:
    """Write frames of videos, and pages of TIFF files and animations, as JPEG files.

    Raises InputError where `every_s` is not positive, or OpenCV is missing; DataError where there
    is no such file, or none of them can be read; OutputError where `out` exists, or cannot be
    written.

    Parameters
    ----------
    source : Path or str
        A file, or a folder that is searched at any depth.
    out : Path or str
        A folder that does not exist yet; it is written as a whole or not at all.
    every_s : float > 0
        Seconds from one frame of a video to the next. Pages are all taken.
    progress : Progress
        Told of the stage ``"extract frames"``, in files.
    """
    source, out = Path(source), Path(out)
    if not every_s > 0:
        raise InputError(f"{argument('every_s')} must be more than 0 seconds, got {every_s:g}")
    if out.exists():
        raise OutputError(f"{shown(out)} exists already: choose another folder (OUT)")
    files, n_left_out = _files(source)
    if any(path.suffix.lower() in VIDEO_SUFFIXES for path, _ in files):
        _require_opencv()
    counts: dict[str, int] = {}
    failed: dict[str, str] = {}
    with whole_folder(out) as scratch:
        for done, (path, name) in enumerate(files, start=1):
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            n = 0
            try:
                for n, frame in enumerate(_frames_of(path, every_s), start=1):
                    frame.save(target.with_name(f"{target.name}-{n:06d}.jpg"), quality=_QUALITY)
            except (DataError, Image.DecompressionBombError) as error:
                failed[printable(name)] = one_line(str(error), limit=160)
            if n:
                counts[printable(name)] = n
            progress("extract frames", done, len(files))
        if not counts:
            first = next(iter(failed.items()))
            raise DataError(f"no file can be read; first: {shown(first[0])}: {first[1]}")
    return Frames(folder=out, counts=counts, failed=failed, n_left_out=n_left_out)


def _files(source: Path) -> tuple[list[tuple[Path, str]], int]:
    """Each file with its name below the source, and how many others there are."""
    suffixes = VIDEO_SUFFIXES | PAGED_SUFFIXES
    if source.is_file():
        found = [(source, source.name)]
    elif source.is_dir():
        below = sorted(p for p in source.rglob("*") if p.is_file())
        found = [(p, p.relative_to(source).as_posix()) for p in below]
    else:
        raise DataError(f"no such file or folder: {shown(source)}. Check the path.")
    kept = [
        (path, name)
        for path, name in found
        if path.suffix.lower() in suffixes or _is_animated(path)
    ]
    if not kept:
        raise DataError(
            f"{shown(source)} {'holds' if source.is_dir() else 'is'} neither a video nor a file of pages: "
            f"expected {', '.join(sorted(suffixes))}"
        )
    others = {path for path, _ in found} - {path for path, _ in kept}
    return kept, sum(not path.name.startswith(".") for path in others)


def _is_animated(path: Path) -> bool:
    """Whether a PNG file is an animation; its suffix does not tell."""
    if path.suffix.lower() != ".png":
        return False
    with contextlib.suppress(Exception), Image.open(path, formats=("PNG",)) as image:
        return bool(getattr(image, "is_animated", False))
    return False


def _frames_of(path: Path, every_s: float) -> Iterator[Image.Image]:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _video_frames(path, every_s)
    return _pages(path)


def _pages(path: Path) -> Iterator[Image.Image]:
    """All pages of a TIFF file, or frames of an animation, as RGB."""
    try:
        with Image.open(path, formats=("TIFF", "GIF", "WEBP", "PNG")) as image:
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(f"page {i + 1} has more than {MAX_PIXELS:,} pixels")
                image.load()
                yield to_rgb(image)
    except DataError:
        raise
    except Exception as error:  # decoders raise almost anything for damaged bytes
        raise DataError(f"damaged, or not an image: {one_line(str(error), limit=100)}") from None


def _video_frames(path: Path, every_s: float) -> Iterator[Image.Image]:
    """A frame for every `every_s` seconds of the video's own time, from its first on."""
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        due_ms, n = 0.0, 0
        rate = video.get(cv2.CAP_PROP_FPS) or 25.0
        while video.grab():
            # Streams without times count their frames.
            now_ms = video.get(cv2.CAP_PROP_POS_MSEC) or 1000 * n / rate
            n += 1
            if now_ms + 1e-3 < due_ms:
                continue
            due_ms += 1000 * every_s
            is_there, pixels = video.retrieve()
            if is_there:
                yield Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        if not n:
            raise DataError("not a video that FFmpeg can read")
    finally:
        video.release()


def _require_opencv() -> None:
    import importlib.util

    if importlib.util.find_spec("cv2") is None:
        raise InputError(
            "videos need OpenCV: pip install 'headstart[video]', or make images with "
            "ffmpeg -i VIDEO -vf fps=1 FRAME-%06d.jpg"
        )

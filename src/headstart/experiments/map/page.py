"""The map: a figure and tables, and a page on which the pictures are looked at."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from headstart import plots
from headstart.data import read_rgb
from headstart.errors import DataError
from headstart.experiments.map.result import MapResult, Point
from headstart.progress import Progress, silent
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table, render_with_script
from headstart.wording import counted

METHODS = {"pca": "principal components", "tsne": "t-SNE", "opentsne": "t-SNE (openTSNE)"}
# Side of a thumbnail, thumbnails in a row and rows in a sheet.
THUMBNAIL_PX, PER_ROW = 48, 20
PER_SHEET = PER_ROW * PER_ROW
# Points that a figure shows one by one, and classes that it names.
MOST_DRAWN, MOST_NAMED = 3_000, 40
N_LISTED = 50


def title(r: MapResult) -> str:
    """The question."""
    return f"A map of the images of {Path(r.settings.run).name}"


def sentence(r: MapResult) -> str:
    """How far the map can be believed."""
    if r.on_map is None:
        return f"All {counted(len(r.points), 'image')} are of one group: how far to believe the map is not known."
    return (
        f"The nearest image is of the same class for {r.on_map} on the map, and for {r.in_features} "
        f"by all {r.n_features:,} features."
    )


def detail(r: MapResult) -> str:
    """What is on it and what is not to be read from it."""
    n = len(r.points)
    sample = f", a random sample of {r.n_images:,}" if n < r.n_images else ""
    judged = f" {r.judged_by}" if r.judged_by else ""
    far = " Distances between groups that lie far apart mean little." if r.method != "pca" else ""
    return (
        f"{counted(n, 'image')}{sample}, placed by {METHODS[r.method]}; trustworthiness "
        f"{r.trustworthiness:.2f} (1: every neighbour on the map is one by all features).{far} "
        f"Open explore.html to see the pictures, to colour them and to save names.{judged}"
    )


def sections(r: MapResult) -> list[Section]:
    """The figure, then which images were taken for another class."""
    step = -(-len(r.points) // MOST_DRAWN)
    drawn = r.points[::step]
    caption = "Orange crosses: taken for another class by a classifier that had not seen the image."
    n_unjudged = sum(not p.predicted for p in r.points)
    if n_unjudged:
        caption += f" {counted(n_unjudged, 'image')} could not be judged so."
    if step > 1:
        caption += f" One image in {step} is drawn."
    figure = plots.scatter_plot(
        [(p.x, p.y) for p in drawn],
        [p.is_wrong for p in drawn],
        labels=[p.label for p in drawn] if len(r.classes) <= MOST_NAMED else (),
        tips=[_said(p) for p in drawn],
        name="map",
        title=title(r),
        description=sentence(r),
    )
    wrong = [p for p in r.points if p.is_wrong]
    found = [Section(heading="The map", figure=figure, caption=caption)]
    if wrong:
        found.append(_confused(wrong, r.points, "Classes taken for another"))
    return found


def brief(r: MapResult) -> list[Section]:
    """What the terminal shows."""
    wrong = [p for p in r.points if p.is_wrong]
    return [_confused(wrong, r.points, most=10)] if wrong else []


def _said(p: Point) -> str:
    return f"{p.name}: {p.label}" + (f", taken for {p.predicted}" if p.is_wrong else "")


def _confused(
    wrong: Sequence[Point], all_points: Sequence[Point], heading: str = "", most: int = N_LISTED
) -> Section:
    sizes = Counter(p.label for p in all_points)
    pairs = Counter((p.label, p.predicted) for p in wrong)
    rows = [
        [label, taken_for, words.count(n), words.count(sizes[label])]
        for (label, taken_for), n in pairs.most_common(most)
    ]
    cut = f"The {most} most frequent of {len(pairs):,}." if len(pairs) > most else ""
    table = Table(header=["class", "taken for", "images", "of all"], rows=rows)
    return Section(heading=heading, table=table, caption=cut)


def files(r: MapResult, progress: Progress = silent) -> dict[str, bytes]:
    """The page with the pictures."""
    number = {label: i for i, label in enumerate(r.classes)}
    columns = {
        "classes": r.classes,
        "names": [p.name for p in r.points],
        "label": [number[p.label] for p in r.points],
        "predicted": [p.predicted for p in r.points],
        "isWrong": [int(p.is_wrong) for p in r.points],
        "split": [p.split for p in r.points],
        "x": [round(p.x, 4) for p in r.points],
        "y": [round(p.y, 4) for p in r.points],
        "novelty": [None if p.novelty is None else round(p.novelty, 3) for p in r.points],
        "px": THUMBNAIL_PX,
        "perRow": PER_ROW,
    }
    html = render_with_script(
        "headstart.experiments.map",
        "explore.html.j2",
        "explore.js",
        title=title(r),
        sentence=sentence(r).replace(" %", "\u00a0%"),
        n=len(r.points),
        sheets=_sheets([p.path for p in r.points], progress),
        facts=Markup(_harmless(columns)),
    )
    return {"explore.html": html}


def _harmless(columns: dict[str, object]) -> str:
    """JSON that ends no script element."""
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sheets(paths: Sequence[str], progress: Progress) -> list[str]:
    """Data URIs of JPEG sheets with the thumbnails in order; grey where a file has gone."""
    sheets = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), PER_SHEET):
            part = paths[start : start + PER_SHEET]
            rows = -(-len(part) // PER_ROW)
            sheet = Image.new("RGB", (PER_ROW * THUMBNAIL_PX, rows * THUMBNAIL_PX), (128, 128, 128))
            for i, small in enumerate(pool.map(_thumbnail, part)):
                if small is not None:
                    row, column = divmod(i, PER_ROW)
                    sheet.paste(small, (column * THUMBNAIL_PX, row * THUMBNAIL_PX))
            buffer = io.BytesIO()
            sheet.save(buffer, "JPEG", quality=75)
            sheets.append("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())
            progress("thumbnails", start + len(part), len(paths))
    return sheets


def _thumbnail(path: str) -> Image.Image | None:
    """The whole picture in a square of its mean colour."""
    try:
        image = read_rgb(Path(path), at_least=THUMBNAIL_PX)
    except DataError:
        return None
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    square = Image.new("RGB", (THUMBNAIL_PX, THUMBNAIL_PX), image.resize((1, 1)).getpixel((0, 0)))
    square.paste(image, ((THUMBNAIL_PX - image.width) // 2, (THUMBNAIL_PX - image.height) // 2))
    return square

"""What `clean` found, as a page, and as another to look through by keyboard."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headstart import plots
from headstart.experiments.clean.result import CleanResult, Finding
from headstart.runs.report import words
from headstart.runs.report.page import source
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted

HEADINGS = {
    "copies": "One picture, different labels",
    "label": "Labels that the other images contradict",
    "blank": "Blank pictures",
    "novel": "Pictures unlike all others",
    "damaged": "Files that cannot be read",
}
N_LISTED = 100
THUMBNAIL_PX = 320


def title(r: CleanResult) -> str:
    """The question."""
    return f"Labels and images of {Path(r.settings.run).name} to look at"


def sentence(r: CleanResult) -> str:
    """How many labels look wrong."""
    if not r.findings:
        return f"Nothing stands out among {counted(r.n_images, 'image')}."
    n = round(r.noise.value * r.n_images)
    return f"About {counted(n, 'label')} of {r.n_images:,} look wrong: {r.noise}."


def detail(r: CleanResult) -> str:
    """What else there is, and what to do."""
    counts = [f"{counted(len(found), 'image')}: {HEADINGS[kind][:1].lower()}{HEADINGS[kind][1:]}"
              for kind in HEADINGS if (found := r.of_kind(kind))]  # fmt: skip
    if not counts:
        return ""
    return (
        f"{'; '.join(counts)}. Some are merely hard: open review.html, keep, relabel or drop each, save "
        "fixes.csv, and give it to headstart fit --fixes."
    )


def sections(r: CleanResult) -> list[Section]:
    """A table for each kind."""
    return [_section(kind, found) for kind in HEADINGS if (found := r.of_kind(kind))]


def brief(r: CleanResult) -> list[Section]:
    """What the terminal shows: the most contradicted labels."""
    found = [f for kind in HEADINGS for f in r.of_kind(kind)][:10]
    return [Section(heading="", table=_table(found))] if found else []


def _section(kind: str, found: list[Finding]) -> Section:
    more = f"and {len(found) - N_LISTED:,} more, in clean.json" if len(found) > N_LISTED else ""
    return Section(
        heading=HEADINGS[kind], table=_table(found[:N_LISTED]), text=[more] if more else []
    )


def _table(found: list[Finding]) -> Table:
    rows = [[f.name, f.label or words.NOTHING, f.split or words.NOTHING, f.reason] for f in found]
    return Table(header=["image", "label", "split", "why"], rows=rows)


def files(r: CleanResult) -> dict[str, bytes]:
    """The page to look through."""
    shown = [f for f in r.findings if f.kind != "damaged"][: r.settings.most]
    items = [_item(f) for f in shown]
    templates = Environment(
        loader=PackageLoader("headstart.experiments.clean", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (Path(__file__).parent / "review.js").read_text(encoding="utf-8")
    html = templates.get_template("review.html.j2").render(
        title=title(r),
        items=items,
        classes=r.classes,
        n_all=len([f for f in r.findings if f.kind != "damaged"]),
        style=Markup(source("style.css") + plots.stylesheet()),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return {"review.html": html.encode("utf-8", "surrogateescape")}


def _item(f: Finding) -> dict[str, Any]:
    return {
        "name": f.name,
        "label": f.label,
        "suggested": f.suggested or f.label,
        "reason": f.reason,
        "split": f.split,
        "picture": _picture(Path(f.path)),
    }


def _picture(path: Path) -> str:
    """A data URI of a small JPEG; "" where the file has gone."""
    import io

    from headstart.data import read_rgb
    from headstart.errors import DataError

    try:
        image = read_rgb(path, at_least=THUMBNAIL_PX)
    except DataError:
        return ""
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

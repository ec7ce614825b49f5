"""What `clean` found, as a page, and as another to look through by keyboard."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from headstart.data.sources import some
from headstart.experiments.clean.result import CleanResult, Decision, Finding
from headstart.progress import Progress, silent
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table, render_with_script
from headstart.wording import counted

HEADINGS = {
    "copies": "One picture, different labels",
    "label": "Labels to check",
    "blank": "Blank pictures",
    "novel": "Pictures unlike all others",
    "damaged": "Files that cannot be read",
}
N_LISTED, N_BRIEF = 100, 10
THUMBNAIL_PX = 320


def title(r: CleanResult) -> str:
    """The question."""
    return f"Labels and images of {Path(r.settings.run).name} to look at"


def sentence(r: CleanResult) -> str:
    """How many labels look wrong."""
    if r.noise is None:
        return "No label can be judged: every class has one image, or one group of images, only."
    if not r.findings:
        return f"Nothing stands out among {counted(r.n_images, 'image')}."
    if not (n := round(r.noise.value * r.n_judged)):
        return f"No label of {r.n_judged:,} counts as wrong; {counted(len(r.findings), 'image')} to look at."
    return f"About {counted(n, 'label')} of {r.n_judged:,} look wrong: {r.noise}."


def detail(r: CleanResult) -> str:
    """What else there is, and what to do."""
    found = [_kind_in_words(kind, of_kind) for kind in HEADINGS if (of_kind := r.of_kind(kind))]
    said = (
        f"To look at: {'; '.join(found)}. Open review.html, keep, relabel or drop each, save fixes.csv, and give "
        "it to headstart fit --fixes."
    )
    return " ".join([*([said] if found else []), *_cost(r), *_left_out(r), *_reported(r)])


def _kind_in_words(kind: str, found: list[Finding]) -> str:
    n, n_counted = len(found), sum(f.is_counted for f in found)
    as_wrong = f"{n_counted:,} {'counts' if n_counted == 1 else 'count'} as wrong"
    if kind == "label":
        rest = " (the others may be hard images)" if n_counted < n else ""
        return f"{counted(n, 'label')} {_why_listed(found)}, of which {as_wrong}{rest}"
    said = {
        "copies": f"{counted(n, 'image')} with copies under other labels",
        "blank": f"{counted(n, 'blank picture')}",
        "novel": f"{counted(n, 'picture')} unlike all others",
        "damaged": f"{counted(n, 'file')} that cannot be read",
    }[kind]
    return f"{said}, of which {as_wrong}" if n_counted else said


def _why_listed(labels: list[Finding]) -> str:
    """What is true of each of them: not all are contradicted."""
    if all(f.margin is not None and f.margin < 0 for f in labels):
        return "that the other images contradict"
    return "that the other images contradict or doubt, or that cost accuracy"


def _cost(r: CleanResult) -> list[str]:
    """Labels that cost accuracy; nothing where fresh folds do not confirm it."""
    if r.cost is None:
        return []
    n, c = len(r.cost.names), r.cost
    verb = "costs" if n == 1 else "cost"
    said = (
        f"{counted(n, 'label')} {verb} the other images accuracy: without such labels, fresh folds gain "
        f"{100 * c.gain.value:.1f} points [{100 * c.gain.low:.1f}, {100 * c.gain.high:.1f}] of balanced accuracy, "
        "with a ridge classifier on the run's features (at most 256 principal axes). They come first."
    )
    return [said]


def _left_out(r: CleanResult) -> list[str]:
    """What was not judged, and what was decided before."""
    found = []
    if r.not_judged:
        n = r.n_images - r.n_judged
        found.append(
            f"{counted(n, 'label')} of {r.n_images:,} cannot be judged, as all images of the class are in one "
            f"group or there is one only: {some(r.not_judged)}."
        )
    if r.decisions:
        found.append(
            f"{counted(len(r.decisions), 'image')} decided before: not listed again, but kept in fixes.csv."
        )
    return found


def _reported(r: CleanResult) -> list[str]:
    """The count in the run's report, which is of other images and by another classifier."""
    if r.n_reported is None or not r.n_reported_of:
        return []
    said = (
        f"The run's report counts {r.n_reported:,} of {counted(r.n_reported_of, 'training label')} by the same rule, "
        "with the cross-validated probabilities of the run's own linear classifier; here training and test images are "
        "judged, by a ridge classifier on the same features that is fitted without each image."
    )
    return [said]


def sections(r: CleanResult) -> list[Section]:
    """Labels that cost accuracy, then a table for each kind."""
    found = []
    if r.cost is not None:
        of = {w.name: w for w in r.worth}
        rows = [
            [name, of[name].label, of[name].split or words.NOTHING, f"{-of[name].worth:.2f}"]
            for name in r.cost.names[:N_LISTED]
        ]
        header = ["image", "label", "split", "others recognised without it"]
        found.append(
            Section(
                heading="Labels that cost accuracy",
                table=Table(header=header, rows=rows),
                text=_cost(r),
            )
        )
    return found + [_section(kind, of_kind) for kind in HEADINGS if (of_kind := r.of_kind(kind))]


def brief(r: CleanResult) -> list[Section]:
    """What the terminal shows: the most contradicted labels."""
    found = [f for kind in HEADINGS for f in r.of_kind(kind)]
    if not found:
        return []
    more = len(found) - N_BRIEF
    caption = f"The first {N_BRIEF}; clean.html has {more:,} more." if more > 0 else ""
    return [Section(heading="", table=_table(found[:N_BRIEF]), caption=caption)]


def _section(kind: str, found: list[Finding]) -> Section:
    more = f"and {len(found) - N_LISTED:,} more, in clean.json" if len(found) > N_LISTED else ""
    return Section(
        heading=f"Labels {_why_listed(found)}" if kind == "label" else HEADINGS[kind],
        table=_table(found[:N_LISTED]),
        text=[more] if more else [],
    )


def _table(found: list[Finding]) -> Table:
    rows = [
        [
            f.name,
            f.label or words.NOTHING,
            f.split or words.NOTHING,
            f"{f.reason}; counts as wrong" if f.is_counted else f.reason,
        ]
        for f in found
    ]
    return Table(header=["image", "label", "split", "why"], rows=rows)


def files(r: CleanResult, _progress: Progress = silent) -> dict[str, bytes]:
    """The page to look through: the findings, then what was decided before."""
    costly = frozenset(r.cost.names if r.cost is not None else ())
    shown = [f for f in r.findings if f.kind != "damaged"]
    shown = sorted(shown, key=lambda f: f.name not in costly)[: r.settings.most]
    items = [
        *(_item(f, costs=f.name in costly) for f in shown),
        *map(_decided, r.decisions[: r.settings.most]),
    ]
    decisions = json.dumps([[d.name, {"action": d.action, "label": d.label}] for d in r.decisions])
    place = f"{Path(r.settings.run).resolve()}\0{r.datasets[0].name}"
    html = render_with_script(
        "headstart.experiments.clean",
        "review.html.j2",
        "review.js",
        title=title(r),
        items=items,
        classes=r.classes,
        n_shown=len(shown),
        n_all=len([f for f in r.findings if f.kind != "damaged"]),
        decisions=decisions,
        place=hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16],
    )
    return {"review.html": html}


def _item(f: Finding, *, costs: bool) -> dict[str, Any]:
    return {
        "name": f.name,
        "label": f.label,
        "suggested": f.suggested or f.label,
        "reason": f"{f.reason}; costs the others accuracy" if costs else f.reason,
        "split": f.split,
        "picture": _picture(Path(f.path)),
    }


def _decided(d: Decision) -> dict[str, Any]:
    """An image that was decided before; its label on the disk is not known here."""
    done = {"keep": "kept", "relabel": f"relabelled {d.label}", "drop": "dropped"}[d.action]
    return {
        "name": d.name,
        "label": "",
        "suggested": d.label,
        "reason": f"{done} before",
        "split": "",
        "picture": _picture(Path(d.path)) if d.path else "",
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

"""Accuracy in parts of the data, as sentences and tables."""

from __future__ import annotations

from pathlib import Path

from headstart.experiments.slices.result import SlicesResult
from headstart.reliability.slices import FEWEST, Part
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted

N_NAMED = 10


def title(r: SlicesResult) -> str:
    """The question."""
    return f"Parts of the data in which {Path(r.settings.run).name} is worse"


def sentence(r: SlicesResult) -> str:
    """The worst part."""
    worse = [p for p in r.parts if p.is_worse]
    if not worse:
        return f"No part of the data is significantly worse than the others ({r.accuracy})."
    w = worse[0]
    return f"Worst: {w.by} {w.value}, {w.accuracy} against {words.percent(w.rest)} of the others."


def detail(r: SlicesResult) -> str:
    """How many were looked at."""
    n = len(r.parts)
    said = (
        f"{r.accuracy} of {counted(r.n_train + r.n_test, 'image')} are right, each judged by a classifier that had "
        f"not seen it. {counted(n, 'part')} were compared with all other images; intervals and verdicts allow "
        "for that."
    )
    if r.judged_by:
        said += f" {r.judged_by}"
    asked = r.settings.slice or ("name" if r.settings.slice_by else "")
    if asked and not any(p.by == asked for p in r.parts):
        said += f" By {asked} there are no two parts of {FEWEST} images or more to compare."
    if not r.too_small:
        return said
    named = ", ".join(r.too_small[:N_NAMED])
    more = f" and {len(r.too_small) - N_NAMED} more" if len(r.too_small) > N_NAMED else ""
    return f"{said} Too few images to be judged: {named}{more}."


def sections(r: SlicesResult) -> list[Section]:
    """One table for each division, the one that was asked for first."""
    divisions = list(dict.fromkeys(p.by for p in r.parts))
    first = r.settings.slice or ("name" if r.settings.slice_by else "")
    divisions.sort(key=lambda by: by != first)
    return [
        Section(
            heading=f"By {by}", table=_table(sorted((p for p in r.parts if p.by == by), key=_rank))
        )
        for by in divisions
    ]


def brief(r: SlicesResult) -> list[Section]:
    """What the terminal shows: the worst parts."""
    if not r.parts:
        return []
    more = len(r.parts) - N_NAMED
    caption = (
        f"The {N_NAMED} least accurate parts; slices.html has {more} more." if more > 0 else ""
    )
    return [Section(heading="", table=_table(list(r.parts[:N_NAMED])), caption=caption)]


def _rank(part: Part) -> float:
    return part.accuracy.value


def _table(parts: list[Part]) -> Table:
    rows = [
        [
            f"{p.by}: {p.value}",
            words.count(p.n),
            str(p.accuracy),
            words.percent(p.rest),
            "worse" if p.is_worse else "better" if p.is_better else "not significant",
        ]
        for p in parts
    ]
    return Table(header=["part", "images", "right", "others", "verdict"], rows=rows)

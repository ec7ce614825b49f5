"""The nearest training images of a picture: the sections of their page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from headstart import plots
from headstart.errors import one_line
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.augment.contact import Cell
    from headstart.heads.retrieval import Retrieval
    from headstart.runs.retrieval import SimilarResult

THUMBNAIL_PX = 150
N_COLUMNS = 4


def retrieval_sections(similar: SimilarResult, accuracy: float | None) -> list[Section]:
    """The sections of what was found for a picture or a text.

    `accuracy`: of the run's classifier on the same test images, for comparison with precision at 1.
    """
    noun = similar.noun
    notes = [note[0].upper() + note[1:] + "." for note in similar.notes]
    table = Table(header=(noun, "class", "distance"), rows=neighbour_rows(similar))
    if noun == "text":
        first = Section(
            heading="Nearest training texts", text=[f"“{similar.query}”", *notes], table=table
        )
    else:
        first = Section(
            heading="Nearest training images",
            text=notes,
            image=contact_sheet(similar),
            caption=f"The picture, then the {len(similar.neighbours)} training images nearest to "
            "it, with class and distance.",
            table=table,
        )
    if similar.measured is None:
        return [first]
    measured = similar.measured
    return [first, _measured(measured, accuracy, noun), _classes(measured, noun)]


def neighbour_rows(similar: SimilarResult) -> list[list[str]]:
    """Name (of texts the text), class and distance of every neighbour."""
    return [
        [one_line(n.text or n.name), n.label, words.decimal(n.distance)] for n in similar.neighbours
    ]


def contact_sheet(similar: SimilarResult) -> bytes:
    """The picture and its neighbours as a PNG file."""
    from headstart.augment.contact import Row, draw_rows

    cells = [_cell(Path(similar.query), ["the picture", Path(similar.query).name])]
    for number, neighbour in enumerate(similar.neighbours, start=1):
        distance = words.decimal(neighbour.distance)
        lines = [f"{number}. {neighbour.label}", distance]
        cells.append(_cell(Path(neighbour.path), lines))
    rows = [Row(list(cells[i : i + N_COLUMNS])) for i in range(0, len(cells), N_COLUMNS)]
    payload = io.BytesIO()
    draw_rows(rows).save(payload, "PNG")
    return payload.getvalue()


def _cell(path: Path, lines: list[str]) -> Cell:
    from headstart.augment.contact import Cell

    return Cell(_square(path), lines)


def _square(path: Path) -> Tensor:
    """The largest centre square of a file, small, as float32 (3, S, S) in [0, 1]."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from headstart.data import read_rgb

    image = read_rgb(path, at_least=THUMBNAIL_PX)
    square = ImageOps.fit(image, (THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float().div(255)


def _measured(measured: Retrieval, accuracy: float | None, noun: str) -> Section:
    ks, precision = measured.ks, measured.precision
    mean = measured.mean_average_precision
    text = [
        (
            f"Each of {words.count(measured.n_queries)} test {noun}s is a query; a training {noun} of "
            f"its class is right. Precision at k: the share of right {noun}s among the k nearest. Mean "
            f"average precision: the precision at the place of each right {noun}, averaged over all of "
            f"them and over the queries: {words.percent(mean.value)} {words.bounds(mean)}."
        )
    ]
    if accuracy is not None:
        text.append(
            f"The class of the nearest {noun} is right for {words.percent(precision[0].value)} of "
            f"the test {noun}s; the run's classifier is right for {words.percent(accuracy)}."
        )
    if measured.n_left_out:
        text.append(
            f"Left out: {words.plural(measured.n_left_out, f'test {noun}')} of classes without "
            f"training {noun}s."
        )
    figure = plots.line_plot(
        [
            plots.Line(
                label="precision",
                x=ks,
                y=[100 * p.value for p in precision],
                low=[100 * p.low for p in precision],
                high=[100 * p.high for p in precision],
            )
        ],
        name="figure-precision",
        title=f"Precision over the number of {noun}s retrieved",
        description="; ".join(
            f"at {k}: {words.percent(p.value)}" for k, p in zip(ks, precision, strict=True)
        ),
        x_axis=f"k nearest of {words.count(measured.n_gallery)} training {noun}s",
        y_axis="precision at k, %",
        log_x=True,
        x_ticks=[(k, str(k)) for k in ks],
    )
    rows = [
        [str(k), f"{words.bare_percent(p.value)} {words.bounds(p)}"]
        for k, p in zip(ks, precision, strict=True)
    ]
    return Section(
        heading="How often the nearest are right",
        text=text,
        figure=figure if len(ks) > 1 else "",
        table=Table(header=("k", "precision at k, %"), rows=rows),
    )


def _classes(measured: Retrieval, noun: str) -> Section:
    ordered = sorted(measured.by_class.items(), key=lambda pair: pair[1])
    return Section(
        heading="Class by class",
        text=[f"Mean average precision of the test {noun}s of each class, the hardest first."],
        table=Table(
            header=("class", "mean average precision, %"),
            rows=[[label, words.bare_percent(value)] for label, value in ordered],
        ),
    )

"""``lab overfitting``: how wide a network may be for a given number of images."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headstart import plots
from headstart.augment.searching import one_thread
from headstart.course.labs.networks import perceptron
from headstart.course.labs.result import LabResult
from headstart.course.labs.samples import Samples, draw_task
from headstart.course.labs.spread import (
    differences,
    line,
    method,
    over_seeds,
    percent,
    share_over_seeds,
)
from headstart.course.labs.training import Log, adam, train_small
from headstart.heads import is_significant, significance
from headstart.progress import Progress, silent
from headstart.results import Interval
from headstart.runs.report.pages import Section, Table
from headstart.training.diagnosis import diagnose
from headstart.training.history import Epoch, curves_of
from headstart.wording import points

WIDTHS = (2, 8, 32, 128, 512)
SIZES = (50, 200, 800)
N_EPOCHS, STEPS_AN_EPOCH, RATE = 40, 10, 3e-3


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One width with one number of training images."""

    n: int
    width: int
    train_accuracy: Interval
    val_accuracy: Interval
    gap: Interval
    val_by_seed: list[float]
    gap_by_seed: list[float]
    # findings of `headstart.training.diagnosis`, and with how many seeds each was made
    codes: dict[str, int]
    history: list[Epoch]  # of the first seed, as is `diagnosis`
    diagnosis: list[str]


class OverfittingResult(LabResult, frozen=True, kw_only=True, tag="lab-overfitting"):
    """What `measure` returns; `cells` by rising size, then by rising width."""

    data: str
    seeds: list[int]
    widths: list[int]
    sizes: list[int]
    n_val: int
    n_epochs: int
    cells: list[Cell]

    def cell(self, n: int, width: int) -> Cell:
        """The cell of one number of images and one width."""
        return next(c for c in self.cells if (c.n, c.width) == (n, width))


def measure(
    samples: Samples,
    seeds: Sequence[int],
    *,
    widths: Sequence[int] = WIDTHS,
    sizes: Sequence[int] = SIZES,
    n_epochs: int = N_EPOCHS,
    progress: Progress = silent,
) -> OverfittingResult:
    """Measure training and validation accuracy on a grid of widths and numbers of images.

    A perceptron with one hidden layer, trained with Adam. A batch is a tenth of the images, so every
    training takes the same number of steps. With one seed the validation images are the same, and
    the larger training sets contain the smaller ones.

    `widths`: widths of the hidden layer, rising. `sizes`: numbers of training images, rising; those
    above what the data have are left out.
    """
    sizes = _possible(samples, sizes)
    grid = [(n, width) for n in sizes for width in widths]
    jobs = [(n, width, seed) for n, width in grid for seed in seeds]
    logs: dict[tuple[int, int], list[Log]] = {place: [] for place in grid}
    with one_thread():
        for done, (n, width, seed) in enumerate(jobs, 1):
            logs[n, width].append(_train(samples, n, width, seed, n_epochs))
            progress("train", done, len(jobs))
    n_val = len(draw_task(samples, sizes[-1], seed=seeds[0]).val_labels)
    found = OverfittingResult(
        data=samples.name,
        seeds=list(seeds),
        widths=list(widths),
        sizes=list(sizes),
        n_val=n_val,
        n_epochs=n_epochs,
        cells=[_cell(n, w, logs[n, w], len(samples.classes), n_val) for n, w in grid],
    )
    return msgspec.structs.replace(found, sentence=_sentence(found), detail=_detail(found))


def _possible(samples: Samples, sizes: Sequence[int]) -> list[int]:
    """The sizes that the data allow; fractions of the data if fewer than two do."""
    most = len(draw_task(samples, len(samples), seed=0).labels)
    kept = [n for n in sizes if n <= most]
    return kept if len(kept) > 1 else sorted({max(10, most // 8), max(10, most // 3), most})


def _train(samples: Samples, n: int, width: int, seed: int, n_epochs: int) -> Log:
    task = draw_task(samples, n, seed=seed)
    network = perceptron(task.images[0].numel(), task.n_classes, hidden=(width,), seed=seed)
    batch_size = max(2, len(task.labels) // STEPS_AN_EPOCH)
    return train_small(
        network, task, adam(RATE), n_epochs=n_epochs, batch_size=batch_size, seed=seed
    )


def _cell(n: int, width: int, logs: Sequence[Log], n_classes: int, n_val: int) -> Cell:
    train = [log.last.train_accuracy for log in logs]
    val = [log.last.val_accuracy for log in logs]
    # Epoch 0, the untrained network, is not part of a learning curve.
    histories = [log.history[1:] for log in logs]
    found = [diagnose(h, n_classes=n_classes, n_train=n, n_val=n_val) for h in histories]
    codes = [finding.code for findings in found for finding in findings]
    return Cell(
        n=n,
        width=width,
        train_accuracy=share_over_seeds(train),
        val_accuracy=share_over_seeds(val),
        gap=over_seeds(differences(train, val)),
        val_by_seed=val,
        gap_by_seed=differences(train, val),
        codes={code: codes.count(code) for code in dict.fromkeys(codes)},
        history=list(histories[0]),
        diagnosis=[f"{f.sentence}: {f.suggestion}" for f in found[0]],
    )


def _sentence(found: OverfittingResult) -> str:
    """Whether more images close the gap of the widest network."""
    few, many, wide = found.sizes[0], found.sizes[-1], found.widths[-1]
    poor, rich = found.cell(few, wide), found.cell(many, wide)
    closed = over_seeds(differences(poor.gap_by_seed, rich.gap_by_seed))
    verb = "close" if closed.value > 0 else "widen"
    if not is_significant(closed):
        verb = "do not close"
    before, after = (points(c.gap.value, sign=False) for c in (poor, rich))
    return (
        f"At width {wide} more images {verb} the gap between training and validation accuracy: "
        f"{before} points with {few}, {after} with {many} ({significance(closed)})."
    )


def _detail(found: OverfittingResult) -> str:
    few, many, narrow = found.sizes[0], found.sizes[-1], found.widths[0]
    fitted = found.cell(many, narrow).train_accuracy.value
    return (
        f"At width {narrow} the network fits {100 * fitted:.0f} % of {many} training images. "
        f"{_harm(found, few)}"
    )


def _harm(found: OverfittingResult, n: int) -> str:
    """Whether too much width costs validation accuracy with `n` images."""
    row = [found.cell(n, width) for width in found.widths]
    best, widest = max(row, key=lambda c: c.val_accuracy.value), row[-1]
    lost = over_seeds(differences(best.val_by_seed, widest.val_by_seed))
    if best is widest or points(lost.value) == "0.0":
        return (
            f"With {n} images the widest network has the highest validation accuracy: too much "
            "capacity does no harm here."
        )
    verdict = "harms" if is_significant(lost) else "is not shown to harm here"
    return (
        f"With {n} images width {widest.width} is {points(lost.value, sign=False)} points below "
        f"width {best.width} on validation images ({significance(lost)}): too much capacity {verdict}."
    )


def page(found: OverfittingResult) -> list[Section]:
    """Validation accuracy and the gap against width, then three corners of the grid."""
    few, many = found.sizes[0], found.sizes[-1]
    narrow, wide = found.widths[0], found.widths[-1]
    widest = max(found.cells, key=lambda c: c.gap.value)
    val = [[found.cell(n, w).val_accuracy for w in found.widths] for n in found.sizes]
    gap = [[found.cell(n, w).gap for w in found.widths] for n in found.sizes]
    return [
        Section(
            heading="Capacity against data",
            text=(
                method(
                    found.data,
                    found.seeds,
                    f"A perceptron with one hidden layer, Adam, {found.n_epochs} epochs of ten steps "
                    f"for every size, {found.n_val:,} validation images.",
                ),
            ),
            figure=_lines(found, val, "validation", "Validation accuracy", "accuracy, %"),
            table=_table(found),
            caption="One line per number of training images.",
        ),
        Section(
            heading="The gap between training and validation",
            figure=_lines(found, gap, "gap", "Gap", "training minus validation accuracy, points"),
            caption=(
                f"The widest gap is {100 * widest.gap.value:.1f} points, at width {widest.width} with "
                f"{widest.n:,} images."
            ),
        ),
        *(_corner(found.cell(*corner)) for corner in ((many, narrow), (few, wide), (many, wide))),
    ]


def _lines(
    found: OverfittingResult, values: list[list[Interval]], name: str, title: str, axis: str
) -> str:
    lines = [
        line(f"{n:,} images", found.widths, row, times=100)
        for n, row in zip(found.sizes, values, strict=True)
    ]
    return plots.line_plot(
        lines,
        name=name,
        title=f"{title} against width",
        description="; ".join(
            f"{line.label}: {line.y[0]:.0f} to {line.y[-1]:.0f}" for line in lines
        ),
        x_axis="width of the hidden layer",
        y_axis=axis,
        log_x=True,
        x_ticks=[(w, str(w)) for w in found.widths],
    )


def _table(found: OverfittingResult) -> Table:
    return Table(
        header=("images", "width", "training, %", "validation, %", "gap, points", "diagnosis"),
        rows=[
            [
                f"{c.n:,}",
                str(c.width),
                percent(c.train_accuracy),
                percent(c.val_accuracy),
                percent(c.gap),
                _commonest(c.codes, len(found.seeds)),
            ]
            for c in found.cells
        ],
    )


def _commonest(codes: dict[str, int], n_seeds: int) -> str:
    """The finding of most seeds, with their number unless it is all."""
    code = max(codes, key=lambda name: codes[name])
    return code if codes[code] >= n_seeds else f"{code} ({codes[code]} of {n_seeds})"


def _corner(cell: Cell) -> Section:
    return Section(
        heading=f"Width {cell.width} with {cell.n:,} images",
        text=tuple(f"Diagnosis: {sentence}." for sentence in cell.diagnosis),
        figure=plots.learning_curves(
            **curves_of(cell.history),
            best=min(cell.history, key=lambda e: e.val_loss).epoch,
            name=f"corner-{cell.n}-{cell.width}",
            title=f"Learning curves of width {cell.width} with {cell.n} images",
            description="; ".join(cell.diagnosis),
        ),
        caption="The first seed. The star marks the epoch with the lowest validation loss.",
    )

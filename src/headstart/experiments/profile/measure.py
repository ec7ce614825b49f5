"""The layer profile: how far each layer at each resolution carries, and which to set side by side.

General features lie early in a network, specific ones late (Yosinski et al. 2014); which of them a
task needs is measured here by a linear SVM on each, cross-validated on the training images. Then
blocks are set side by side greedily. The test images are scored once, for three models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, argument
from headstart.experiments.features import Block, BlockReader, View, labels_of
from headstart.experiments.profile.greedy import Step, forward_selection
from headstart.experiments.profile.profiled import Cell, Model, Profile
from headstart.heads import LinearSVM
from headstart.heads.examples import Normalize
from headstart.probe import judge, training_folds
from headstart.probe.judging import TOLERANCE
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.backbones.tapped import Pooling
    from headstart.data import Index, Record

# Divisions into folds by which a concatenation is judged.
N_REPEATS = 3
# A block this far behind the best is not tried in a concatenation: a convention that saves time.
FAR_BEHIND = 0.10
# Above this many images the concatenation is chosen on a part of them, for its Gram matrices' sake.
MOST_ROWS = 4_000
# How many times its own resolution the second default resolution is.
LARGER = 10 / 7


def measure_profile(
    index: Index,
    backbone: Backbone,
    *,
    resolutions: Sequence[int] | None = None,
    taps: Sequence[str] | None = None,
    normalize: Normalize = "l2",
    pooling: Pooling = "average",
    mirror: bool = False,
    whole: bool = False,
    max_blocks: int = 6,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Profile:
    """Judge every tap at every resolution, choose a concatenation, and score three models.

    Parameters
    ----------
    index : Index
    backbone : Backbone
    resolutions : sequence of int, optional
        Pixels; default the network's own and 10/7 of it.
    taps : sequence of str, optional
        Default all.
    normalize : {"l2", "power"}
    pooling : {"average", "max", "pyramid"}
    mirror : bool, default False
        Average the features of each image and its mirror image.
    whole : bool, default False
        Show the network each image whole as well, at the same resolutions: what the crop cuts off
        may tell the class.
    max_blocks : int, default 6
        Of the concatenation; 1 leaves it out.
    seed : int
        Of the folds.
    device, cache, progress
        As everywhere.

    Returns
    -------
    Profile

    Raises
    ------
    InputError
        A tap, resolution, pooling or normalisation is unknown, or there is one class only.
    """
    names = _chosen_taps(backbone, taps)
    own = backbone.preprocessing.size_px
    sizes = sorted(set(resolutions or default_resolutions(own)))
    if sizes[0] < 1:
        raise InputError(f"{argument('resolutions')} must be 1 pixel or more; got {sizes[0]}")
    views = tuple(
        View(size_px=size, is_whole=is_whole)
        for is_whole in ((False, True) if whole else (False,))
        for size in sizes
    )
    train, y, folds = repeated_folds(index, seed, N_REPEATS)
    reader = BlockReader(
        backbone=backbone, views=views, normalize=normalize, pooling=pooling,
        mirror=mirror, device=device, cache=cache, progress=progress,
    )  # fmt: skip
    reader.extract([*train, *index.test])
    blocks = [Block(tap=tap, view=view) for tap in names for view in views]
    cells: list[Cell] = []
    progress("cross-validate", 0, len(blocks))
    for block in blocks:
        cells.append(judge_block(reader, block, train, y, folds[0]))
        progress("cross-validate", len(cells), len(blocks))
    best = max(cells, key=lambda c: c.accuracy.value)
    steps, n_selected_on = _concatenate(reader, cells, best, train, y, folds, max_blocks, progress)
    chosen = {
        "usual layer": (usual_block(names, views, own),),
        "best single block": (best.block,),
        "concatenation": tuple(block for block, step in steps if step.is_taken),
    }
    known = {cell.block: cell for cell in cells}
    models = [
        score(name, taken, reader, train, index.test, folds[0], known)
        for name, taken in chosen.items()
    ]
    return Profile(
        taps=names, views=views, cells=tuple(cells), steps=tuple(steps),
        models=tuple(models), own_px=own, n_train=len(train), n_test=len(index.test),
        n_selected_on=n_selected_on,
    )  # fmt: skip


def default_resolutions(own_px: int) -> tuple[int, int]:
    """The network's own resolution and a larger one: 224 and 320."""
    return own_px, 32 * round(own_px * LARGER / 32)


def usual_block(taps: Sequence[str], views: Sequence[View], own_px: int) -> Block:
    """The usual choice: the last layer before the logits, in the view nearest the network's own."""
    view = min(views, key=lambda v: (v.is_whole, abs(v.size_px - own_px), v.size_px))
    before = [tap for tap in taps if tap != "logits"]
    return Block(tap=(before or list(taps))[-1], view=view)


def repeated_folds(
    index: Index, seed: int, n_repeats: int = 1
) -> tuple[tuple[Record, ...], NDArray[np.str_], NDArray[np.int64]]:
    """Training images, their labels, and their folds (n_repeats, n); duplicates share a fold.

    Raises
    ------
    DataError
        There are fewer than two classes.
    """
    from headstart.data import training_records
    from headstart.errors import DataError

    train = training_records(index)
    y = labels_of(train)
    if len(np.unique(y)) < 2:
        raise DataError(f"the training images are of {len(np.unique(y))} class; two are needed")
    folds = [training_folds(index, train, seed=seed + i) for i in range(n_repeats)]
    return train, y, np.array(folds)


def judge_block(
    reader: BlockReader,
    block: Block,
    train: Sequence[Record],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
) -> Cell:
    """Cross-validate the linear SVM on one block."""
    X = reader.read(block, train)
    found = judge(X, y, folds, normalize="none")
    return Cell(block=block, n_features=X.shape[1], C=found.C, correct=found.correct)


def score(
    name: str,
    blocks: tuple[Block, ...],
    reader: BlockReader,
    train: Sequence[Record],
    test: Sequence[Record],
    folds: NDArray[np.int64],
    known: Mapping[Block, Cell],
) -> Model:
    """Choose C by cross-validation, fit on all training images, score the test images.

    A single block was cross-validated before, and is among the `known`.
    """
    y, X = labels_of(train), reader.join(blocks, train)
    if len(blocks) == 1:
        C, cv_correct = known[blocks[0]].C, known[blocks[0]].correct
    else:
        found = judge(X, y, folds, normalize="none")
        C, cv_correct = found.C, found.correct
    correct = np.empty(0, dtype=bool)
    if test:
        svm = LinearSVM(C, normalize="none", tol=TOLERANCE).fit(X, y)
        correct = np.asarray(svm.predict(reader.join(blocks, test)) == labels_of(test))
    return Model(
        name=name, blocks=blocks, n_features=X.shape[1], C=C,
        cv_correct=cv_correct, test_correct=correct,
    )  # fmt: skip


def _chosen_taps(backbone: Backbone, taps: Sequence[str] | None) -> tuple[str, ...]:
    """In network order, whatever order they were given in."""
    if taps is None:
        return tuple(tap.name for tap in backbone.taps)
    asked = {backbone.tap(name).name for name in taps}
    if not asked:
        raise InputError(f"{argument('taps')} names no layer: leave it out for all of them")
    return tuple(tap.name for tap in backbone.taps if tap.name in asked)


def _concatenate(
    reader: BlockReader,
    cells: Sequence[Cell],
    best: Cell,
    train: Sequence[Record],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    max_blocks: int,
    progress: Progress,
) -> tuple[list[tuple[Block, Step]], int]:
    """The steps of the greedy selection, and the number of images it was done on."""
    near = [c for c in cells if c.accuracy.value >= best.accuracy.value - FAR_BEHIND]
    near.sort(key=lambda c: c is best)  # stable: the best comes last
    rows = _part(y, folds[0])
    some = [train[i] for i in rows]
    grams = []
    for cell in near:
        X = reader.read(cell.block, some)
        grams.append(X @ X.T)
    steps = forward_selection(
        grams, y[rows], folds[:, rows], max_blocks=max_blocks, progress=progress
    )
    return [(near[step.added].block, step) for step in steps], len(rows)


def _part(y: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.intp]:
    """All images, or where they are many an equal share of each class, spread over the folds."""
    n = len(y)
    if n <= MOST_ROWS:
        return np.arange(n)
    order = np.lexsort((np.random.default_rng(0).permutation(n), folds, y))
    return np.sort(order[np.linspace(0, n - 1, MOST_ROWS).round().astype(int)])

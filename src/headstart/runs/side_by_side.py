"""Runs side by side: what each reached, and the paired difference where that is fair.

Two accuracies can be set against each other only on the same images. Where two runs kept their
predictions of the same test images with the same labels, the difference is paired, and its interval
is far narrower than those of the two accuracies.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headstart.data.groups import groups_by_pattern
from headstart.errors import HeadstartError, InputError, one_line
from headstart.heads import (
    PairedDifference,
    is_significant,
    paired_gain,
    significance,
    unseen_difference,
)
from headstart.plots import Figure
from headstart.results import Difference, Interval, Result
from headstart.runs.model import need_classes
from headstart.runs.report.story import place
from headstart.runs.settings import FitSettings
from headstart.wording import counted, headline, listed, points

if TYPE_CHECKING:
    from headstart.runs.settings import FitSettings
from headstart.runs.run import Run

logger = logging.getLogger(__name__)


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run among others."""

    name: str  # of its folder; unique among the runs
    data: str  # what it was fitted on
    backbone: str  # the backbone it was fitted with
    chosen: str  # the candidate that was chosen
    n_train: int
    n_test: int
    n_classes: int
    cv: Interval  # cross-validated accuracy
    test: Interval | None  # test accuracy
    # test accuracy less that of the first run, of new groups where the first run has groups; None
    # for the first itself, and where the test images are not the same
    difference: PairedDifference | None
    is_significant: bool | None
    seconds: float | None
    sentence: str
    noun: str = "image"  # {"image", "text"}; what it was fitted on


class ComparedRuns(Result, frozen=True, kw_only=True, tag="runs"):
    """Runs side by side; the others are measured against the first."""

    runs: tuple[ComparedRun, ...]

    def _figure(self) -> str:
        from headstart.runs.report.side_by_side import comparison_sections

        return Figure(comparison_sections(self.runs)[0].figure)


def _compared(run: Run, name: str, difference: PairedDifference | None) -> ComparedRun:
    metrics, settings = run.metrics, run.settings
    test, tuned = metrics.test, metrics.finetuning
    return ComparedRun(
        name=name,
        data=Path(settings.data).name or settings.data,
        backbone=settings.arch or settings.backbone
        if isinstance(settings, FitSettings)
        else "texts",
        chosen="fine-tuned network" if tuned and tuned.won else place(metrics.chosen),
        n_train=metrics.selection.n_train,
        n_test=0 if test is None else test.n,
        n_classes=len(metrics.classes),
        cv=metrics.cv.accuracy,
        test=None if test is None else test.accuracy,
        difference=difference,
        is_significant=None if difference is None else is_significant(difference),
        seconds=metrics.timings_s.get("total"),
        sentence=metrics.sentence,
        noun=metrics.noun,
    )


def side_by_side(runs: Sequence[Run]) -> ComparedRuns:
    """Compare runs; the others are measured against the first.

    Raises InputError where there are fewer than two, or one twice; RunError where one is on several
    labels or a number.
    """
    for run in runs:
        need_classes(run.model, "a comparison of runs", one_line(run.folder.name))
    folders = [run.folder.resolve() for run in runs]
    if len(runs) < 2 or len(set(folders)) < len(folders):
        raise InputError(f"choose two or more different runs to compare; got {len(set(folders))}")
    judged = [_judged(run) for run in runs]
    first = judged[0]
    are_fair = [i > 0 and bool(own) and own.keys() == first.keys() for i, own in enumerate(judged)]
    groups = _test_groups(runs[0], [name for name, _ in first]) if any(are_fair) else None
    rows: list[ComparedRun] = []
    for run, name, own, is_fair in zip(runs, _names(folders), judged, are_fair, strict=True):
        here, there = ([of[k] for k in first] for of in (own if is_fair else first, first))
        difference = paired_gain(here, there, groups=groups) if is_fair else None
        rows.append(_compared(run, name, difference))
    return ComparedRuns(sentence=sentence(rows), detail=detail(rows), runs=tuple(rows))


def sentence(found: Sequence[ComparedRun]) -> str:
    """The headline of runs side by side."""
    first, fair = found[0], _fair(found)
    if not fair:
        return (
            f"The runs were not tested on the same {noun_of(found)}s: a difference cannot be given."
        )
    on = f"On the same {counted(first.n_test, f'test {first.noun}')}"
    best, most = max(fair, key=lambda pair: pair[1].value)
    said, short = (_against(best, most, name) for name in (first.name, "the first run"))
    if len(fair) == 1:
        return headline(f"{on}, {said}.", f"{on}, {short}.")
    if most.value <= 0:
        equal = [pair for pair in fair if points(pair[1].value) == "0.0"]
        versions = [f"{on}, no run is more accurate than {first.name}."]
        if equal:
            names = listed([run.name for run, _ in equal])
            is_told = all(unseen_difference(d, run.n_test) is None for run, d in equal)
            same = f"{names} is as accurate" if is_told else f"too few to tell {names} from it"
            versions.insert(0, f"{versions[0][:-1]}; {same}.")
        return headline(*versions, f"{on}, no run is more accurate than the first.")
    return headline(
        f"{on}, {said}, the most of {len(fair) + 1} runs.", f"{on}, {said}.", f"{on}, {short}."
    )


def noun_of(found: Sequence[ComparedRun]) -> str:
    """What the runs were fitted on: images, texts, or examples of both kinds."""
    nouns = {run.noun for run in found}
    return nouns.pop() if len(nouns) == 1 else "example"


def detail(found: Sequence[ComparedRun]) -> str:
    """Every difference, and which runs cannot be compared."""
    first, fair = found[0], _fair(found)
    unlike = [run.name for run in found[1:] if run.difference is None]
    said = []
    if len(fair) > 1:
        said = [f"{'; '.join(_against(*pair, first.name) for pair in fair)}."]
    if fair and unlike:
        many = "were" if len(unlike) > 1 else "was"
        said.append(
            f"{', '.join(unlike)} {many} not tested on the same {noun_of(found)}s as {first.name}: compare "
            "the intervals, a difference cannot be given."
        )
    return one_line(" ".join(said), limit=1000)


def _fair(found: Sequence[ComparedRun]) -> list[tuple[ComparedRun, Difference]]:
    """The runs that were tested on the images of the first, with their differences to it."""
    return [(run, run.difference) for run in found if run.difference is not None]


def _against(run: ComparedRun, difference: Difference, other: str) -> str:
    """``B is 2.1 points above A (significant)``."""
    name, value = one_line(run.name), difference.value
    if points(value) == "0.0":
        if unseen_difference(difference, run.n_test) is not None:
            return f"{name} makes as many errors as {one_line(other)}, too few {run.noun}s to tell them apart"
        return f"{name} is as accurate as {one_line(other)}"
    side = "above" if value > 0 else "below"
    by = points(abs(value), sign=False)
    return f"{name} is {by} points {side} {one_line(other)} ({significance(difference)})"


def _judged(run: Run) -> dict[tuple[str, str], bool]:
    """(name, label) of each test image -> whether it was recognised; empty without test images."""
    if run.metrics.test is None:
        return {}
    return {(p.name, p.label): p.predicted == p.label for p in run.test_predictions()}


def _test_groups(run: Run, names: Sequence[str]) -> list[str] | None:
    """The group of each test image; None of a run without groups, or where its table is not to be had."""
    settings = run.settings
    try:
        if isinstance(settings, FitSettings) and settings.group_by:
            return groups_by_pattern(names, settings.group_by)
        if settings.group_column:
            group = _groups_of_table(run)
            return [group[name] for name in names]
    except (HeadstartError, KeyError) as error:
        logger.warning(
            "%s: its groups cannot be read, and runs are compared image by image: %s",
            one_line(str(run.folder)),
            error,
        )
    return None


def _groups_of_table(run: Run) -> dict[str, str]:
    from headstart.features import cache_folder
    from headstart.progress import silent
    from headstart.runs.retrieval import index_of
    from headstart.runs.retrieval_texts import index_of_texts

    if run.is_texts:
        test = index_of_texts(run, None, cache_folder(), silent).test
        return {record.name: record.group for record in test}
    return {record.name: record.group for record in index_of(run).test}


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with their parents' where two are alike."""
    own = [f.name for f in folders]
    return [f"{f.parent.name}/{f.name}" if own.count(f.name) > 1 else f.name for f in folders]

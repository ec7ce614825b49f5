"""Runs beside each other: what each reached, and the paired difference where that is fair.

Two accuracies can be set against each other only on the same images. Where two runs kept their
predictions of the same test images with the same labels, the difference is paired, and its interval
is far narrower than those of the two accuracies.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError, RunError, one_line
from headstart.heads import (
    PairedDifference,
    is_significant,
    paired_difference,
    significance,
)
from headstart.runs.regular import read_regular
from headstart.runs.report.story import place
from headstart.wording import counted, headline, listed, points

if TYPE_CHECKING:
    from headstart.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run among others.

    Attributes
    ----------
    name : str
        Of its folder; unique among the entries.
    run : Run
    against : PairedDifference or None
        Test accuracy less that of the first run; None for the first itself, and where the test
        images are not the same.
    """

    name: str
    run: Run
    against: PairedDifference | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, accuracies as (value, low, high)."""
        metrics, settings = self.run.metrics, self.run.settings["settings"]
        tuned = metrics.get("finetuning") or {}
        test = metrics.get("test") or {}
        chosen = metrics["chosen"]
        difference = self.against
        return {
            "name": self.name,
            "data": Path(settings["data"]).name or settings["data"],
            "backbone": settings.get("arch") or settings.get("backbone") or "texts",
            "chosen": "fine-tuned network" if tuned.get("won") else place(chosen),
            "n_train": metrics["selection"]["n_train"],
            "n_test": test.get("n", 0),
            "n_classes": len(metrics["classes"]),
            "cv": _triple(metrics["cv"]["accuracy"]),
            "test": _triple(test["accuracy"]) if test else None,
            "difference": None
            if difference is None
            else [difference.value, difference.low, difference.high],
            "is_significant": None if difference is None else is_significant(difference),
            "seconds": metrics["timings_s"].get("total"),
            "sentence": metrics["sentence"],
        }


def side_by_side(runs: Sequence[Run]) -> list[Entry]:
    """Set runs beside each other; the others are measured against the first.

    Parameters
    ----------
    runs : sequence of Run, at least 2

    Raises
    ------
    InputError
        There are fewer than two, or one twice.
    """
    folders = [run.folder.resolve() for run in runs]
    if len(runs) < 2 or len(set(folders)) < len(folders):
        raise InputError(f"choose two or more different runs to compare; got {len(set(folders))}")
    first = _judged(runs[0])
    entries = []
    for i, (run, name) in enumerate(zip(runs, _names(folders), strict=True)):
        own = _judged(run)
        fair = i > 0 and bool(own) and own.keys() == first.keys()
        difference = (
            paired_difference([own[k] for k in first], [first[k] for k in first]) if fair else None
        )
        entries.append(Entry(name=name, run=run, against=difference))
    return entries


def sentence(found: Sequence[Mapping[str, Any]]) -> str:
    """The headline for the entries, as `Entry.to_dict` gives them."""
    first = found[0]
    compared = [row for row in found if row["difference"] is not None]
    if not compared:
        return "The runs were not tested on the same images: a difference cannot be given."
    on = f"On the same {counted(first['n_test'], 'test image')}"
    if len(compared) == 1:
        return headline(
            *(
                f"{on}, {_against(compared[0], first['name'] if named else 'the first run')}."
                for named in (True, False)
            )
        )
    best = max(compared, key=lambda row: row["difference"][0])
    if best["difference"][0] <= 0:
        equal = [r["name"] for r in compared if points(r["difference"][0]) == "0.0"]
        versions = [f"{on}, no run is more accurate than {first['name']}."]
        if equal:
            versions.insert(0, f"{versions[0][:-1]}; {listed(equal)} is as accurate.")
        return headline(*versions, f"{on}, no run is more accurate than the first.")
    return headline(
        f"{on}, {_against(best, first['name'])}, the most of {len(compared) + 1} runs.",
        f"{on}, {_against(best, first['name'])}.",
        f"{on}, {_against(best, 'the first run')}.",
    )


def detail(found: Sequence[Mapping[str, Any]]) -> str:
    """Every difference, and which runs cannot be compared."""
    first = found[0]
    compared = [row for row in found if row["difference"] is not None]
    unlike = [row["name"] for row in found[1:] if row["difference"] is None]
    said = []
    if len(compared) > 1:
        said = [f"{'; '.join(_against(row, first['name']) for row in compared)}."]
    if compared and unlike:
        many = "were" if len(unlike) > 1 else "was"
        said.append(
            f"{', '.join(unlike)} {many} not tested on the same images as {first['name']}: compare "
            "the intervals, a difference cannot be given."
        )
    return one_line(" ".join(said), limit=1000)


def _against(row: Mapping[str, Any], other: str) -> str:
    """``B is 2.1 points above A (significant)``."""
    difference = row["difference"]
    if points(difference[0]) == "0.0":
        return f"{one_line(row['name'])} is as accurate as {one_line(other)}"
    side = "above" if difference[0] > 0 else "below"
    by = points(abs(difference[0]), sign=False)
    return f"{one_line(row['name'])} is {by} points {side} {one_line(other)} ({significance(difference)})"


def _judged(run: Run) -> dict[tuple[str, str], bool]:
    """(name, label) of each test image -> whether it was recognised; empty without test images."""
    path = run.folder / "predictions.csv"
    try:
        text = read_regular(run.folder, path.name).decode("utf-8", "surrogateescape")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return {(r["name"], r["label"]): r["label"] == r["predicted"] for r in rows}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, csv.Error) as error:
        raise RunError(f"{one_line(str(path))} is damaged ({error}): make the run again") from error


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with their parents' where two are alike."""
    own = [f.name for f in folders]
    return [f"{f.parent.name}/{f.name}" if own.count(f.name) > 1 else f.name for f in folders]


def _triple(interval: Mapping[str, float]) -> list[float]:
    return [interval["value"], interval["low"], interval["high"]]

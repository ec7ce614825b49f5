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
from headstart.heads import PairedDifference, paired_difference
from headstart.runs.regular import read_regular
from headstart.runs.report.story import place

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
            "is_tie": None if difference is None else difference.is_tie,
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
    """What a person should take from the entries, as `Entry.to_dict` gives them."""
    first = found[0]
    compared = [row for row in found if row["difference"] is not None]
    unlike = [row["name"] for row in found[1:] if row["difference"] is None]
    said = []
    for row in compared:
        points = 100 * row["difference"][0]
        if row["is_tie"] or row["difference"][1] <= 0 <= row["difference"][2]:
            said.append(
                f"{row['name']} and {first['name']} cannot be told apart: the difference is within the noise"
            )
        else:
            side = "above" if points > 0 else "below"
            said.append(f"{row['name']} is {abs(points):.1f} points {side} {first['name']}")
    text = "; ".join(said)
    if compared:
        text = f"On the same {first['n_test']:,} test images {text}."
    if unlike:
        rest = ", ".join(unlike)
        many = "were" if len(unlike) > 1 else "was"
        text += (
            f" {rest} {many} not tested on the same images as {first['name']}: look at the "
            "intervals, a difference cannot be given."
        )
    return one_line(text.strip(), limit=1000)


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

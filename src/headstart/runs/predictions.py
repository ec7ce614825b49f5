"""Predictions, and as rows of a CSV file, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import RunError, one_line
from headstart.files import write_atomically
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.runs.metrics import Results
    from headstart.runs.targets import TargetResults


COSTS_NOTE = (
    "confusions have costs in this run: the class of least expected cost comes first, whatever its "
    "probability"
)
# Up to so many classes each test image has all its probabilities, else so many of them.
MOST_WRITTEN, N_PROBABLE = 50, 5
# The last two are full-width forms, which some spreadsheets take for = and @.
_STARTS = frozenset("=+-@\t\r\n＝＠")
_ESCAPE = re.compile(r"\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one image or text.

    Attributes
    ----------
    name : str
        The file or text as it was named by the caller; ``"image 3"``, counted from 0, where it is
        neither.
    top : tuple of (label, probability)
        Most probable first, or of a model with costs of confusions that of least expected cost; empty
        if it could not be read.
    error : str or None
        Why it could not be read.
    refused : str or None
        Why no answer is given; "" where one is; None where refusing was not asked for.
    labels : tuple of str or None
        The classes of the label set, the most probable first, where one was asked for.
    novelty : float or None
        Share of the training images that are more like the others than this picture is, where it
        was asked for.
    nearest : tuple of str
        Names of the nearest training images, with `novelty`.
    asked : tuple of str
        The fields that were asked for besides the class; `to_dict` has them of every file, those of an
        unreadable one as None.
    """

    name: str
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    refused: str | None = None
    labels: tuple[str, ...] | None = None
    novelty: float | None = None
    nearest: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @property
    def label(self) -> str | None:
        """The predicted class; None where the answer is refused."""
        return self.top[0][0] if self.top and not self.refused else None

    @property
    def probability(self) -> float | None:
        """The probability of the most probable class."""
        return self.top[0][1] if self.top else None

    def more(self) -> dict[str, Any]:
        """The fields that were asked for besides the class, JSON-able."""
        found: dict[str, Any] = dict.fromkeys(self.asked)
        if self.refused is not None:
            found["refused"] = self.refused or None
        if self.labels is not None:
            found["labels"] = list(self.labels)
        if self.novelty is not None:
            found |= {"novelty": self.novelty, "nearest": list(self.nearest)}
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        top = [{"label": label, "probability": p} for label, p in self.top]
        known = {"name": self.name, "label": self.label, "top": top, "error": self.error}
        return known | self.more()


@dataclass(frozen=True, kw_only=True)
class LabelsPrediction:
    """The labels that a model gives one image.

    Attributes
    ----------
    name : str
        As of :class:`Prediction`.
    labels : tuple of (label, probability)
        Those whose probability reaches their threshold, the most probable first; there may be none.
    top : tuple of (label, probability)
        The most probable labels, given or not.
    error : str or None
        Why it could not be read.
    """

    name: str
    labels: tuple[tuple[str, float], ...] = ()
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; the labels are null of what cannot be read."""
        labels, top = (
            [{"label": label, "probability": p} for label, p in some]
            for some in (self.labels, self.top)
        )
        given = labels if self.error is None else None
        return {"name": self.name, "labels": given, "top": top, "error": self.error}


@dataclass(frozen=True, kw_only=True)
class NumberPrediction:
    """The number that a model predicts of one image.

    Attributes
    ----------
    name : str
        As of :class:`Prediction`.
    value : float or None
        None of what could not be read.
    low, high : float or None
        An interval that is meant to hold the true number with a probability of 90 %; None where the
        run has too few images for it.
    error : str or None
        Why it could not be read.
    """

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    error: str | None = None

    def rounded(self) -> tuple[float | None, float | None, float | None]:
        """Value, low and high, as people are shown them; as numbers, since a minus may begin a formula."""
        if self.value is None or self.low is None or self.high is None:
            return self.value if self.value is None else rounded(self.value, None), None, None
        half_width = (self.high - self.low) / 2
        value, low, high = (rounded(v, half_width) for v in (self.value, self.low, self.high))
        return value, low, high

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


AnyPrediction = Prediction | LabelsPrediction | NumberPrediction


@dataclass(frozen=True, kw_only=True)
class TestPrediction:
    """What a model said of one test example.

    Attributes
    ----------
    name, label, predicted : str
        The example, its class, and the predicted class.
    probability : float
        Of `predicted`.
    """

    __test__ = False  # pytest takes the name for a test's

    name: str
    label: str
    predicted: str
    probability: float


class Mistakes(list[TestPrediction]):
    """Test examples that were classified wrongly, the surest first; printed, a line for each.

    Parameters
    ----------
    found : iterable of TestPrediction
    n_tested : int
        Number of test examples, right and wrong.
    noun : str
        What one is called.
    """

    def __init__(self, found: Iterable[TestPrediction], n_tested: int, noun: str) -> None:
        super().__init__(found)
        self.n_tested = n_tested
        self.noun = noun

    def __repr__(self) -> str:
        of = f"of {counted(self.n_tested, f'test {self.noun}')}"
        if not self.n_tested:
            return f"the run has no test {self.noun}s"
        if not self:
            return f"none {of} is classified wrongly"
        lines = [
            f"{one_line(m.name)}: {one_line(m.label)}, predicted {one_line(m.predicted)} "
            f"({100 * m.probability:.1f} %)"
            for m in self
        ]
        return "\n".join([f"{len(self):,} {of} classified wrongly:", *lines])


def read_test_predictions(folder: Path) -> list[TestPrediction]:
    """What `write_test_predictions` wrote in a run folder.

    Raises RunError where ``predictions.csv`` is missing or damaged.
    """
    from headstart.runs.regular import read_regular

    try:
        text = read_regular(folder, "predictions.csv").decode("utf-8", "surrogateescape")
        header, *rows = csv.reader(io.StringIO(text))
        classes = [_as_written(cell)[2:-1] for cell in header[3:]]
        return [
            TestPrediction(
                name=_as_written(name),
                label=_as_written(label),
                predicted=_as_written(predicted),
                probability=float(values[classes.index(_as_written(predicted))]),
            )
            for name, label, predicted, *values in rows
        ]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise RunError(f"{folder / 'predictions.csv'} is damaged ({error}): fit again") from error


def _as_written(cell: str) -> str:
    """A cell before `_harmless`."""
    text = _unescaped(cell)
    return text[1:] if text[:1] == "'" and text.lstrip("'")[:1] in _STARTS else text


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV with every text cell made harmless to spreadsheets and terminals.

    A cell that starts with ``= + - @``, a tab or a line end would be run as a formula; it gets a
    leading apostrophe (OWASP, CSV injection), as does one that starts so after apostrophes. Characters
    that would steer a terminal are escaped, line ends too: a row is a line. `read_test_predictions`
    undoes both. A list is written as JSON.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in (header, *rows):
        writer.writerow([_harmless(cell) for cell in row])
    return buffer.getvalue()


def _harmless(cell: object) -> object:
    if isinstance(cell, list):
        text = json.dumps(cell, ensure_ascii=False)
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    if not isinstance(cell, str):
        return cell
    return _escaped("'" + cell if cell.lstrip("'")[:1] in _STARTS else cell)


def _escaped(text: str) -> str:
    """`text` in printable characters; backslashes are doubled only where they could be taken for escapes."""
    if text.isprintable() and not _ESCAPE.search(text):
        return text
    return "".join(c if c.isprintable() else _code(ord(c)) for c in text.replace("\\", r"\\"))


def _code(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: "\\" if m[0] == r"\\" else chr(int(m[0][2:], 16)), text)


def predictions_csv(predictions: Iterable[AnyPrediction]) -> str:
    """One row per file: name, label, probability, error, and what else was asked for.

    Of labels: name, labels and their probabilities as JSON lists, error; of a number: name, value, the
    ends of its interval, error.
    """
    every = list(predictions)
    if every and isinstance(every[0], LabelsPrediction):
        header = ("name", "labels", "probabilities", "error")
        return csv_text(header, (_labels_row(p) for p in every if isinstance(p, LabelsPrediction)))
    if every and isinstance(every[0], NumberPrediction):
        numbers = [p for p in every if isinstance(p, NumberPrediction)]
        rows_of_numbers = (
            (p.name, *("" if v is None else v for v in p.rounded()), p.error or "") for p in numbers
        )
        return csv_text(("name", "value", "low", "high", "error"), rows_of_numbers)
    made = [p for p in every if isinstance(p, Prediction)]
    more = list(dict.fromkeys(field for p in made for field in p.more()))
    rows = (
        (
            p.name,
            p.label or "",
            "" if p.probability is None else f"{p.probability:.6f}",
            p.error or "",
            *(_cell(p.more().get(field)) for field in more),
        )
        for p in made
    )
    return csv_text(("name", "label", "probability", "error", *more), rows)


def _labels_row(p: LabelsPrediction) -> tuple[object, ...]:
    if p.error is not None:
        return (p.name, "", "", p.error)
    return (p.name, [label for label, _ in p.labels], [round(v, 6) for _, v in p.labels], "")


def rounded(value: float, half_width: float | None) -> float:
    """A predicted number without the digits that say nothing, as its interval is so much wider."""
    if not half_width:
        return float(f"{value:.10g}")
    return round(value, 3 - math.floor(math.log10(half_width)))


def written_number(value: float) -> str:
    """A number with all its digits, for people."""
    return repr(value).removesuffix(".0")


def predictions_fiftyone(predictions: Iterable[Prediction]) -> str:
    """``labels.json`` of a FiftyOneImageClassificationDataset: class and confidence of each file.

    Files are named without their suffixes, as FiftyOne has it, except where that would be the name of
    another file as well. A file that could not be read, and a refused answer, is null.
    """
    of_file = {
        Path(p.name).as_posix(): (
            None if p.label is None else {"label": p.label, "confidence": p.probability}
        )
        for p in predictions
    }
    bare = {name: name.removesuffix(Path(name).suffix) for name in of_file}
    uses = Counter([*bare.values(), *(name for name in bare if bare[name] != name)])
    targets = {
        bare[name] if uses[bare[name]] == 1 else name: target for name, target in of_file.items()
    }
    return json.dumps({"labels": targets}, ensure_ascii=False, indent=1)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else value


def _written(p: NDArray[np.float64], predicted: Iterable[int]) -> list[str | None]:
    if len(p) <= MOST_WRITTEN:
        return [f"{v:.6f}" for v in p]
    cells: list[str | None] = [None] * len(p)
    for k in {*np.argsort(-p, kind="stable")[:N_PROBABLE], *predicted}:
        cells[k] = f"{p[k]:.6f}"
    return cells


def write_test_predictions(path: Path, results: Results) -> None:
    """``predictions.csv``: true and predicted class of every test image, and the probabilities.

    Of more than :data:`MOST_WRITTEN` classes only the most probable ones: the cells of the others stay empty.
    """
    classes, P = results.final.model.classes, results.final.probabilities
    decided = results.final.model.decide(P).tolist() if len(P) else []
    rows = (
        (r.name, r.label, classes[k], *_written(p, [k]))
        for r, p, k in zip(results.test, P, decided, strict=True)
    )
    header = ("name", "label", "predicted", *(f"p({c})" for c in classes))
    write_atomically(path, csv_text(header, rows).encode("utf-8", "surrogateescape"))


def write_target_predictions(path: Path, results: TargetResults) -> None:
    """``predictions.csv`` of labels or numbers: the truth and the prediction of every test image.

    Of many labels, probabilities as of `write_test_predictions`, and those of the labels that are given.
    """
    truth, found = results.test_truth, results.predictions
    if results.is_number:
        width = results.model.half_width
        rows: Iterable[Sequence[object]] = (
            (r.name, y, rounded(p, width), *(rounded(v, width) for v in _ends(p, width)))
            for r, y, p in zip(
                results.test, truth.Y[:, 0].tolist(), found[:, 0].tolist(), strict=True
            )
        )
        header: tuple[str, ...] = ("name", "truth", "predicted", "low", "high")
        header = header if width is not None else header[:3]
    else:
        given = [np.flatnonzero(p >= np.array(results.model.thresholds)).tolist() for p in found]
        rows = (
            (
                r.name,
                list(r.target),
                [results.names[k] for k in own],
                *_written(p, own),
            )
            for r, p, own in zip(results.test, found, given, strict=True)
        )
        header = ("name", "labels", "predicted", *(f"p({c})" for c in results.names))
    write_atomically(path, csv_text(header, rows).encode("utf-8", "surrogateescape"))


def _ends(value: float, half_width: float | None) -> tuple[float, ...]:
    return () if half_width is None else (value - half_width, value + half_width)

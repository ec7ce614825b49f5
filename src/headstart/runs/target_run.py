"""A finished run whose targets are several labels per image, or a number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, InputError, RunError, argument, did_you_mean, one_line
from headstart.runs.caution import Caution
from headstart.runs.model import Model, kind_in_words
from headstart.runs.predictions import LabelsPrediction, NumberPrediction
from headstart.runs.run import Run, require_pandas
from headstart.runs.target_result import TargetResult, read_target_metrics

if TYPE_CHECKING:
    from headstart.results import Interval
    from headstart.runs.heldout import HeldOut


@dataclass(kw_only=True)
class TargetAnswers:
    """Predictions of labels or a number; in the place of :class:`headstart.runs.caution.Careful`.

    Raises InputError.
    """

    model: Model
    where: str  # the run, for errors
    # for classes alone: anything that it asks for is refused
    caution: Caution = field(default_factory=Caution)
    reference: None = None

    def __post_init__(self) -> None:
        if self.caution.asked:
            raise InputError(
                f"{argument(next(iter(self.caution.asked)))} needs a run with one class per image; "
                f"{self.where} is {kind_in_words(self.model.target)}: leave it out"
            )

    def answer(
        self, name: str, p: NDArray[np.float64], compared: Any = None, top: int = 5
    ) -> LabelsPrediction | NumberPrediction:
        """The prediction of one image by its probabilities (K,), or its number (1,)."""
        if self.model.target == "numbers":
            value, width = float(p[0]), self.model.half_width
            if width is None:
                return NumberPrediction(name=name, value=value)
            return NumberPrediction(name=name, value=value, low=value - width, high=value + width)
        ranked = [int(k) for k in np.argsort(-p, kind="stable")]
        classes, thresholds = self.model.classes, self.model.thresholds
        return LabelsPrediction(
            name=name,
            labels=tuple((classes[k], float(p[k])) for k in ranked if p[k] >= thresholds[k]),
            top=tuple((classes[k], float(p[k])) for k in ranked[:top]),
        )

    prediction = answer

    def unreadable(self, name: str, reason: str) -> LabelsPrediction | NumberPrediction:
        """What takes the place of the prediction of a file that cannot be read."""
        if self.model.target == "numbers":
            return NumberPrediction(name=name, error=reason)
        return LabelsPrediction(name=name, error=reason)

    def warning(self) -> str:
        """Nothing is known of a batch as a whole."""
        return ""


class TargetRun(Run):
    """A run folder, opened, whose model gives an image several labels, or a number.

    Attributes
    ----------
    metrics : TargetResult
        ``metrics.json``.
    folder, settings, model
        As of :class:`headstart.runs.run.Run`.
    """

    # What reads the metrics of a run asks for the one kind or the other.
    metrics: TargetResult  # type: ignore[assignment]

    def _read_metrics(self) -> Any:
        return read_target_metrics(self.folder)

    @property
    def held_out(self) -> HeldOut | None:
        """Nothing is kept of images that the model had not seen, the thresholds apart."""
        return None

    def careful(self, caution: Caution | None = None) -> Any:
        """What makes predictions; errors where anything is asked for that classes alone have."""
        where = one_line(str(self.folder))
        return TargetAnswers(model=self.model, where=where, caution=caution or Caution())

    def predict_proba(self, images: Any) -> NDArray[np.float64]:
        """Probabilities of the labels, (n, K), with columns as in `classes_`; of a number, it (n, 1).

        Raises DataError as for :meth:`predict`, and where one of them cannot be read.
        """
        column = {label: k for k, label in enumerate(self.model.classes)}
        found: Sequence[Any] = self.predict(images, top=len(column))
        P = np.zeros((len(found), len(column)))
        for row, prediction in zip(P, found, strict=True):
            if prediction.error is not None:
                raise DataError(f"{prediction.name} cannot be used: {prediction.error}")
            if isinstance(prediction, NumberPrediction):
                row[0] = prediction.value
                continue
            for label, probability in prediction.top:
                row[column[label]] = probability
        return P

    def score(self, images: Any, y: Sequence[Any]) -> float:
        """Mean average precision of labels, or R² of numbers.

        Raises DataError where an image cannot be read, or `y` is not such a sequence; no image has
        a label, or the numbers are all the same.

        `y`: the labels of each image, as a list, tuple or set of names; or its number.
        """
        from headstart.heads.multilabel import average_precision

        if isinstance(y, str) or not hasattr(y, "__len__"):
            raise DataError(f"y must have one target per image; got {type(y).__name__} {y!r:.60}")
        if self.model.target == "numbers":
            numbers = self._numbers(y)
            if np.unique(numbers).size < 2:
                raise DataError("y must hold two different numbers or more: else R² is not defined")
            P = self._predictions_of(images, len(y))
            return float(1 - ((numbers - P[:, 0]) ** 2).mean() / numbers.var())
        has = self._flags(y)
        if not has.any():
            raise DataError(
                "y must hold a label at least: else mean average precision is not defined"
            )
        P, w = self._predictions_of(images, len(y)), np.ones((1, len(y)))
        there = np.flatnonzero(has.any(axis=0))
        return float(np.mean([average_precision(has[:, k], P[:, k], w)[0] for k in there]))

    def _predictions_of(self, images: Any, n: int) -> NDArray[np.float64]:
        P = self.predict_proba(images)
        if len(P) != n:
            raise DataError(f"y must have one target per image; got {n} for {len(P)}")
        return P

    def _numbers(self, y: Sequence[Any]) -> NDArray[np.float64]:
        try:
            found = np.array([float(value) for value in y])
        except (TypeError, ValueError) as error:
            raise DataError(f"y must hold numbers: {error}") from None
        if not np.isfinite(found).all():
            raise DataError("y must hold finite numbers")
        return found

    def _flags(self, y: Sequence[Any]) -> NDArray[np.bool_]:
        at = {name: k for k, name in enumerate(self.model.classes)}
        found = np.zeros((len(y), len(at)), dtype=bool)
        for i, own in enumerate(y):
            if isinstance(own, str) or not isinstance(own, Collection | np.ndarray):
                raise DataError(
                    f"y must hold a list of labels for each image, as ['dog', 'sofa']; got {own!r:.60} for "
                    f"image {i}"
                )
            for name in own:
                if name not in at:
                    raise DataError(
                        f"y holds the label {name!r:.60} for image {i}, which the run does not have."
                        f"{did_you_mean(str(name), list(at))}"
                    )
                found[i, at[name]] = True
        return found

    def _repr_html_(self) -> str:
        """The answer, for a notebook."""
        from markupsafe import escape

        answer = f"<p><b>{escape(self.sentence)}</b></p><p>{escape(self.detail)}</p>"
        return f"{answer}<p>{escape(self.folder)}</p>"

    def to_dataframe(self) -> Any:
        """``predictions.csv`` as a `pandas.DataFrame`.

        Raises InputError where pandas is not installed.
        """
        require_pandas()
        import pandas as pd

        return pd.read_csv(self.folder / "predictions.csv")

    @property
    def accuracy(self) -> Interval:
        """Of classes alone.

        Raises RunError.
        """
        self._refuse("accuracy")

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Of classes alone; errors as of `accuracy`."""
        self._refuse("a confusion matrix")

    def test_predictions(self) -> Any:
        """Of classes alone: see :meth:`to_dataframe`; errors as of `accuracy`."""
        self._refuse("predicted classes")

    def mistakes(self) -> Any:
        """Of classes alone: see ``metrics.worst``; errors as of `accuracy`."""
        self._refuse("mistakes")

    def _refuse(self, what: str) -> NoReturn:
        raise RunError(
            f"{one_line(str(self.folder))} is {kind_in_words(self.model.target)}, for which {what} "
            f"{'are' if what.endswith('s') else 'is'} not defined: see run.metrics"
        )


def open_run(folder: Path | str) -> Run:
    """A run folder, of classes or of other targets; errors as of :class:`Run`."""
    from headstart.home import expand
    from headstart.runs.target_result import is_target_run

    path = expand(folder)
    try:
        has_targets = is_target_run(path)
    except RunError:  # `Run` says what is wrong, of all its files
        has_targets = False
    return TargetRun(path) if has_targets else Run(path)

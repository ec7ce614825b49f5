"""A finished run: its figures, its report, and predictions with its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, InputError
from headstart.home import expand
from headstart.runs.folder import bring_back, read_json
from headstart.runs.model import Model
from headstart.runs.predictions import TestPrediction, read_test_predictions
from headstart.runs.regular import check_run_folder
from headstart.runs.shape import METRICS, RUN
from headstart.runs.sums import check_sums

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Source
    from headstart.heads import Interval


# Rows of the table of mistakes in a notebook.
N_MISTAKES = 10


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one image.

    Attributes
    ----------
    name : str
        The file as it was named by the caller; ``"image 3"``, counted from 0, where it is not a file.
    top : tuple of (label, probability)
        Most probable first; empty if the image could not be read.
    error : str or None
        Why the image could not be read.
    """

    name: str
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    @property
    def label(self) -> str | None:
        """The most probable class."""
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        """The probability of :attr:`label`."""
        return self.top[0][1] if self.top else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        top = [{"label": label, "probability": p} for label, p in self.top]
        return {"name": self.name, "label": self.label, "top": top, "error": self.error}


class Run:
    """A run folder, opened.

    Parameters
    ----------
    folder : Path
        As written by :func:`headstart.fit`.

    Attributes
    ----------
    settings : dict
        ``run.json``.
    metrics : dict
        ``metrics.json``.
    model : Model

    Raises
    ------
    RunError
        The folder is no run, is damaged, or comes from a newer version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = expand(folder)
        if self.folder.is_dir():
            check_run_folder(self.folder)
        self.settings = read_json(self.folder, "run.json", RUN)
        check_sums(self.folder, self.settings)
        self.metrics = read_json(self.folder, "metrics.json", METRICS)
        self.model = self._read_model()

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.sentence})"

    def _read_model(self) -> Model:
        return Model.read(self.folder / "model")

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return str(self.metrics["sentence"])

    @property
    def detail(self) -> str:
        """What it was compared with and how sure that is; "" where there is nothing to add."""
        return str(self.metrics.get("detail") or "")

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone of the model, loaded when first asked for."""
        return self.model.load_backbone()

    def _repr_html_(self) -> str:
        """The answer, the accuracy and the table of mistakes, for a notebook."""
        from markupsafe import escape

        rows = "".join(
            f"<tr><td>{escape(m.name)}</td><td>{escape(m.label)}</td>"
            f"<td>{escape(m.predicted)}</td><td>{m.probability:.2f}</td></tr>"
            for m in self.mistakes()[:N_MISTAKES]
        )
        head = "<tr><th>mistake</th><th>class</th><th>predicted</th><th>probability</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
        return f"<p><b>{escape(self.sentence)}</b></p><p>{escape(self.folder)}</p>{table}"

    @property
    def classes_(self) -> NDArray[np.str_]:
        """The classes, in the order of the columns of :meth:`predict_proba`, (K,)."""
        return np.array(self.model.classes)

    @property
    def accuracy(self) -> Interval:
        """Accuracy on the test split with a 95 % interval; cross-validated where there is none."""
        from headstart.heads import Interval

        found = (self.metrics["test"] or self.metrics["cv"])["accuracy"]
        return Interval(found["value"], found["low"], found["high"])

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Counts of the examples that `accuracy` is of, (K, K): true classes by predicted classes."""
        return np.array(self.metrics["confusion"]["rows"], dtype=np.int64)

    def test_predictions(self) -> list[TestPrediction]:
        """What the model said of every test example, in the order of ``predictions.csv``."""
        return read_test_predictions(self.folder)

    def mistakes(self) -> list[TestPrediction]:
        """The test examples that were classified wrongly, the surest first."""
        wrong = [p for p in self.test_predictions() if p.predicted != p.label]
        return sorted(wrong, key=lambda p: -p.probability)

    def to_dataframe(self) -> Any:
        """The test examples as a `pandas.DataFrame`: name, label, predicted, probability, correct.

        Raises
        ------
        InputError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise InputError("a data frame needs pandas: pip install pandas") from error
        columns = ("name", "label", "predicted", "probability")
        rows = [[getattr(p, c) for c in columns] for p in self.test_predictions()]
        frame = pd.DataFrame(rows, columns=list(columns))
        return frame.assign(correct=frame["label"] == frame["predicted"])

    def require_images(self) -> None:
        """Nothing to do here; a run on texts refuses.

        Raises
        ------
        RunError
            The run is one on texts.
        """

    def report(self) -> Path:
        """The path of the self-contained ``report.html``."""
        return self.folder / "report.html"

    def predict(self, images: Any, *, top: int = 5) -> list[Prediction]:
        """Classify images, in order.

        Parameters
        ----------
        images : path, bytes, PIL image, array, or a sequence of these
            A path is that of a file, or a folder or glob pattern, of which all images are taken, each
            file once. Bytes are those of an image file. Arrays are uint8, (height, width, 3) in RGB or
            (height, width) in grey. All are prepared as files are: a PIL image is turned as its EXIF
            says, and transparency lies over white.
        top : int >= 1
            How many classes a prediction names.

        Returns
        -------
        list of Prediction
            An image that cannot be read has its ``error`` set; the rest are predicted.

        Raises
        ------
        DataError
            A path matches nothing or holds no image, or an item is of another kind, such as an array
            of floats.
        WeightsError
            The backbone's weights are gone or changed.
        """
        return list(self.iter_predict(images, top=top))

    def iter_predict(self, images: Any, *, top: int = 5) -> Iterator[Prediction]:
        """Like :meth:`predict`, handing predictions out as they are made."""
        from headstart.runs.classify import classify

        names = _names_of(images)
        for source, p, reason in classify(self.model, list(names), backbone=lambda: self.backbone):
            if p is None:
                yield Prediction(name=names[source], error=reason)
            else:
                yield Prediction(name=names[source], top=self._top(p, top))

    def predict_proba(self, images: Any) -> NDArray[np.float64]:
        """Calibrated class probabilities, (n, K), with columns as in `classes_`.

        Parameters
        ----------
        images : as for :meth:`predict`

        Raises
        ------
        DataError
            As for :meth:`predict`, and where one of them cannot be read.
        """
        column = {label: k for k, label in enumerate(self.model.classes)}
        found = self.predict(images, top=len(column))
        P = np.zeros((len(found), len(column)))
        for row, prediction in zip(P, found, strict=True):
            if prediction.error is not None:
                raise DataError(f"{prediction.name} cannot be classified: {prediction.error}")
            for label, probability in prediction.top:
                row[column[label]] = probability
        return P

    def score(self, images: Any, y: Sequence[str]) -> float:
        """The share of images that are given their class in `y`.

        Raises
        ------
        DataError
            As for :meth:`predict_proba`, and where the numbers of images and of classes differ.
        """
        predicted = self.classes_[self.predict_proba(images).argmax(axis=1)]
        if len(predicted) != len(y):
            raise DataError(f"y must have one class an image: got {len(y)} for {len(predicted)}")
        return float((predicted == np.asarray(y)).mean())

    def _top(self, p: np.ndarray[Any, Any], n: int) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-p, kind="stable")[:n]
        return tuple((self.model.classes[i], float(p[i])) for i in order)


def _names_of(images: Any) -> dict[Source, str]:
    """The images, in order, with the names that predictions show; folders and patterns expanded."""
    from headstart.data import find_images, list_sources

    sources = list_sources(images)
    if all(isinstance(source, Path) for source in sources):
        return dict(find_images([source for source in sources if isinstance(source, Path)]))
    names: dict[Source, str] = {}
    for source in sources:
        found = find_images([source]) if isinstance(source, Path) else [(source, source.name)]
        for image, name in found:
            names.setdefault(image, name)
    return names


def load(folder: Path | str) -> Run:
    """Open a run folder, of images or of texts: ``headstart.load("runs/photos")``.

    Raises
    ------
    RunError
        The folder is no run, is damaged, or comes from a newer version.
    """
    from headstart.runs.text.model import is_text_model

    path = expand(folder)
    if not path.exists():
        bring_back(path)
    if path.is_dir():
        check_run_folder(path)
    # Where there is no model, or no run, the error of a run is the better one.
    if os.path.lexists(path / "model" / "model.json") and is_text_model(path / "model"):
        from headstart.runs.text.run import TextRun

        return TextRun(path)
    return Run(path)

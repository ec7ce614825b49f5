"""A finished run: its figures, its report, and predictions with its model."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, InputError, RunError, argument, one_line
from headstart.home import expand
from headstart.progress import Progress, resolve
from headstart.runs.caution import Careful, Caution
from headstart.runs.folder import bring_back, damaged
from headstart.runs.heldout import HeldOut
from headstart.runs.model import Model
from headstart.runs.origin import Origin, known_origin, remember
from headstart.runs.predictions import (
    Mistakes,
    Prediction,
    TestPrediction,
    read_test_predictions,
)
from headstart.runs.regular import check_run_folder
from headstart.runs.result import read_metrics
from headstart.runs.run_file import RUN_FILE, read_run_file
from headstart.runs.settings import FitSettings, TextSettings
from headstart.runs.sums import check_sums

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Source
    from headstart.results import Interval
    from headstart.runs.result import FitResult

logger = logging.getLogger(__name__)

# Rows of the table of mistakes in a notebook.
N_MISTAKES = 10
# Texts whose features are made together.
N_AT_ONCE = 256


class Run:
    """A run folder, opened: a classifier of images, or of texts.

    Parameters
    ----------
    folder : Path
        As written by :func:`headstart.fit`.

    Attributes
    ----------
    provenance : RunFile
        ``run.json``: see :class:`headstart.runs.run_file.RunFile`.
    metrics : FitResult
        ``metrics.json``: see :class:`headstart.runs.result.FitResult`.
    model : Model

    Raises
    ------
    RunError
        The folder is not a run, is damaged, or comes from a newer version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = expand(folder)
        if self.folder.is_dir():
            check_run_folder(self.folder)
        self.provenance = read_run_file(self.folder)
        check_sums(self.folder, has_sums=self.provenance.has_sums)
        self.metrics = self._read_metrics()
        self.model = Model.read(self.folder / "model")
        if isinstance(self.settings, TextSettings) != self.is_texts:
            raise damaged(self.folder / RUN_FILE, "its model is of another kind of examples")
        if self.model.target != getattr(self.metrics, "target", "classes"):
            raise damaged(
                self.folder / RUN_FILE, "its model predicts something else than its metrics"
            )

    def _read_metrics(self) -> FitResult:
        return read_metrics(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {self.sentence})"

    @property
    def settings(self) -> FitSettings | TextSettings:
        """What the fit was asked for, defaults included."""
        return self.provenance.settings

    @property
    def is_texts(self) -> bool:
        """Whether it classifies texts."""
        return self.model.texts is not None

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return self.metrics.sentence

    @property
    def detail(self) -> str:
        """What it was compared with and how sure that is; "" where there is nothing to add."""
        return self.metrics.detail or ""

    @cached_property
    def held_out(self) -> HeldOut | None:
        """What is kept of examples that the model had not seen; None in older runs."""
        return HeldOut.read(self.folder / "model")

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone of the model, loaded when first asked for; of several, the first."""
        return self.model.load_backbone()

    @cached_property
    def backbones(self) -> tuple[Backbone, ...]:
        """Every backbone whose features the model takes, in the order of its columns."""
        return (self.backbone, *(encoder.load() for encoder in self.model.encoders[1:]))

    def _repr_html_(self) -> str:
        """The answer, the layer map and the table of mistakes, for a notebook."""
        from markupsafe import escape

        from headstart.plots import Figure
        from headstart.runs.report.figures import figures

        layer_map = figures(self.metrics).get("map")
        rows = "".join(
            f"<tr><td>{escape(m.name)}</td><td>{escape(m.label)}</td>"
            f"<td>{escape(m.predicted)}</td><td>{m.probability:.2f}</td></tr>"
            for m in self.mistakes()[:N_MISTAKES]
        )
        head = "<tr><th>mistake</th><th>class</th><th>predicted</th><th>probability</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
        figure = Figure(layer_map) if layer_map else ""
        answer = f"<p><b>{escape(self.sentence)}</b></p><p>{escape(self.folder)}</p>"
        return f"{answer}{figure}{table}"

    @property
    def classes_(self) -> NDArray[np.str_]:
        """The classes, in the order of the columns of :meth:`predict_proba`, (K,)."""
        return np.array(self.model.classes)

    @property
    def accuracy(self) -> Interval:
        """Accuracy on the test split with a 95 % interval; cross-validated where there is none."""
        return (self.metrics.test or self.metrics.cv).accuracy

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Counts of the examples that `accuracy` is of, (K, K): true classes by predicted classes."""
        return self.metrics.counts

    def test_predictions(self) -> list[TestPrediction]:
        """What the model said of every test example, in the order of ``predictions.csv``."""
        return read_test_predictions(self.folder)

    def mistakes(self) -> Mistakes:
        """The test examples that were classified wrongly, the surest first: a list that prints as lines."""
        told = self.test_predictions()
        wrong = [p for p in told if p.predicted != p.label]
        return Mistakes(sorted(wrong, key=lambda p: -p.probability), len(told), self.metrics.noun)

    def to_dataframe(self) -> Any:
        """The test examples as a `pandas.DataFrame`: name, label, predicted, probability, correct.

        Raises
        ------
        InputError
            pandas is not installed.
        """
        require_pandas()
        import pandas as pd

        columns = ("name", "label", "predicted", "probability")
        rows = [[getattr(p, c) for c in columns] for p in self.test_predictions()]
        frame = pd.DataFrame(rows, columns=list(columns))
        return frame.assign(correct=frame["label"] == frame["predicted"])

    def features(
        self,
        tap: str | None = None,
        *,
        size_px: int | None = None,
        data: str | None = None,
        split: str | None = None,
        device: str | None = None,
        cache: Path | None = None,
        progress: Progress | bool = True,
    ) -> Any:
        """The features of all images of the run at one layer, as a `pandas.DataFrame`.

        They are read from the feature store; what is not there is computed.

        Parameters
        ----------
        tap : str, optional
            The layer, of the first network where the run has several; default: the last before the
            logits.
        size_px : int, optional
            Resolution; default: the network's own.
        data, split : str, optional
            Where the images and the split file are, if they moved or the run was made elsewhere.
        device, cache
            As for :func:`headstart.features.extract`.
        progress : bool or callable, default True
            As for :func:`headstart.fit`.

        Returns
        -------
        pandas.DataFrame
            A row for each image under its name: ``label``, ``split``, ``features0``, ``features1``...

        Raises
        ------
        InputError
            pandas is not installed.
        BackboneError
            The network has no such layer.
        RunError, DataError
            The run is one on texts or keeps only a fine-tuned network, or its images are gone.

        Examples
        --------
        >>> frame = run.features("blocks.4")                     # doctest: +SKIP
        >>> frame.filter(like="features").to_numpy().shape       # doctest: +SKIP
        (400, 112)
        """
        from headstart.runs.layer_features import layer_features

        require_pandas()
        return layer_features(
            self,
            tap,
            size_px=size_px,
            data=data,
            split=split,
            device=device,
            cache=cache,
            progress=resolve(progress),
        )

    def report(self) -> Path:
        """The path of the self-contained ``report.html``."""
        return self.folder / "report.html"

    def predict(
        self,
        images: Any,
        *,
        top: int = 5,
        column: str | None = None,
        refuse_below: float | None = None,
        target_accuracy: float | None = None,
        label_sets: float | None = None,
        novelty: float | None = None,
    ) -> list[Prediction]:
        """Classify images, or texts, in order.

        Parameters
        ----------
        images : path, bytes, PIL image, array, str, or a sequence of these
            Of a run on images: a path is that of a file, or a folder or glob pattern, of which all
            images are taken, each file once. Bytes are those of an image file. Arrays are uint8,
            (height, width, 3) in RGB or (height, width) in grey. All are prepared as files are: a PIL
            image is turned as its EXIF says, and transparency lies over white.

            Of a run on texts: texts, and files of text. A file that exists is read, never classified
            by its name: of a table (``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``, ``.parquet``) the text
            column, of any other file its content as one text. :meth:`predict_texts` takes every string
            for a text.
        top : int >= 1
            How many classes a prediction names.
        column : str, optional
            Of tables of texts, as in :meth:`predict_table`.
        refuse_below, target_accuracy, label_sets, novelty : float in (0, 1), optional
            As of :class:`headstart.runs.caution.Caution`.

        Returns
        -------
        list of Prediction
            What cannot be read, or is an empty text, has its ``error`` set; the rest are predicted.

        Raises
        ------
        InputError
            A value lies outside (0, 1), or the run has too few examples for it.
        DataError
            A path matches nothing or holds no image, a table cannot be used, or an item is of another
            kind, such as an array of floats.
        WeightsError
            The backbone's weights are gone or changed.
        """
        caution = Caution(
            refuse_below=refuse_below,
            target_accuracy=target_accuracy,
            label_sets=label_sets,
            novelty=novelty,
        )
        return list(self.iter_predict(images, top=top, column=column, caution=caution))

    def careful(self, caution: Caution | None = None) -> Careful:
        """What makes predictions of probabilities, as careful as asked; errors as of `predict`."""
        where = one_line(str(self.folder))
        return Careful(
            model=self.model,
            caution=caution or Caution(),
            held_out=self.held_out,
            where=where,
        )

    def iter_predict(
        self,
        images: Any,
        *,
        top: int = 5,
        column: str | None = None,
        caution: Caution | None = None,
    ) -> Iterator[Prediction]:
        """Like :meth:`predict`, handing predictions out as they are made.

        Where the images as a whole differ from the training images, a warning is logged at the end.
        """
        careful = self.careful(caution)
        if self.is_texts:
            yield from self._predict_given(images, top, column, careful)
            return
        from headstart.data.find import name_sources
        from headstart.runs.classify import classify

        names = name_sources(images)
        compared: dict[Source, NDArray[np.float64]] = {}

        def keep(model: Model, sources: Sequence[Source], X: NDArray[np.float32]) -> None:
            if careful.reference is not None and careful.reference.is_of(model):
                compared.update(zip(sources, careful.reference.compare(X), strict=True))

        rows = classify(self.model, list(names), backbone=lambda: self.backbone, on_features=keep)
        for source, p, reason in rows:
            row = compared.pop(source, None)
            if p is None:
                yield careful.unreadable(names[source], reason)
            else:
                yield careful.prediction(names[source], p, row, top=top)
        if warning := careful.warning():
            logger.warning(warning)

    def predict_texts(
        self,
        texts: Sequence[str],
        *,
        names: Sequence[str] | None = None,
        top: int = 5,
        caution: Caution | None = None,
    ) -> Iterator[Prediction]:
        """Classify texts as they are, even where a file has that name.

        Parameters
        ----------
        texts : sequence of str
        names : sequence of str, optional
            What the predictions are called; default the texts.
        top : int
        caution : Caution, optional

        Raises
        ------
        RunError
            The run is one on images.
        """
        yield from self._predict_texts(texts, names, top, self.careful(caution))

    def _predict_texts(
        self, texts: Sequence[str], names: Sequence[str] | None, top: int, careful: Careful
    ) -> Iterator[Prediction]:
        called = list(texts) if names is None else list(names)
        for start in range(0, len(texts), N_AT_ONCE):
            part = [text.strip() for text in texts[start : start + N_AT_ONCE]]
            P = self.model.of_texts(part)
            for i, (name, text, p) in enumerate(
                zip(called[start:], part, P, strict=False), start + 1
            ):
                if text:
                    yield careful.prediction(name, p, None, top=top)
                else:
                    where = name if name.strip() else f"text {i}"
                    yield careful.unreadable(where, "the text is empty")

    def predict_table(
        self,
        path: Path,
        *,
        column: str | None = None,
        top: int = 5,
        caution: Caution | None = None,
    ) -> Iterator[Prediction]:
        """Classify a column of a table; a prediction's name is the row's place.

        Parameters
        ----------
        path : Path
            CSV, TSV, JSON lines or Parquet.
        column : str, optional
            Default: the one that the run was fitted on, else one with a usual name.
        top : int
        caution : Caution, optional

        Raises
        ------
        DataError
            The table cannot be read, or has no such column.
        RunError
            The run is one on images.
        """
        yield from self._predict_table(path, column, top, self.careful(caution))

    def _predict_table(
        self, path: Path, column: str | None, top: int, careful: Careful
    ) -> Iterator[Prediction]:
        from headstart.data.tables import find_column
        from headstart.data.texttables import TEXT_NAMES, read_texts

        if not path.is_file():
            raise DataError(f"no such table of texts: {path}. Check the path.")
        table = read_texts(path)
        own = self.metrics.data.text_column
        asked = column or (own if own in table.header else None)
        at = find_column(table, asked, TEXT_NAMES, "text", argument("text"))
        yield from self._predict_texts(table.column(at), table.places, top, careful)

    def give_encoder(self, name: str) -> None:
        """Say where the sentence encoder of a run that was made elsewhere is; it is remembered.

        Parameters
        ----------
        name : str
            As of `headstart.text.encoders.find_encoder`.

        Raises
        ------
        DataError, RunError
            There is none of that name, or the run was fitted with another one, or with none.
        """
        from headstart.text.encoders import encoder_digest, find_encoder

        where, reader = one_line(str(self.folder)), self.model.texts
        if reader is None or reader.encoder is None:
            raise RunError(f"{where} has no sentence encoder: omit {argument('encoder')}")
        folder = find_encoder(name)
        if encoder_digest(folder) != reader.encoder_digest:
            raise RunError(
                f"the sentence encoder in {one_line(str(folder))} is not the one that {where} was "
                "fitted with: give that one"
            )
        known = known_origin(self.folder) or Origin()
        remember(self.folder, dataclasses.replace(known, encoder=str(folder)))

    def _predict_given(
        self, given: Any, top: int, column: str | None, careful: Careful
    ) -> Iterator[Prediction]:
        """Texts, and files of them."""
        from headstart.data.textfiles import is_table_name, names_a_file, read_text_file

        for are_files, items in groupby(_texts_of(given), names_a_file):
            if not are_files:
                yield from self._predict_texts(list(map(str, items)), None, top, careful)
                continue
            for file in map(Path, items):
                path = expand(file)
                if is_table_name(path):
                    for p in self._predict_table(path, column, top, careful):
                        yield dataclasses.replace(p, name=f"{file}, {p.name}")
                    continue
                try:
                    text = read_text_file(path)
                except DataError as error:
                    yield careful.unreadable(str(file), str(error))
                else:
                    yield from self._predict_texts([text], [str(file)], top, careful)

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
        """The share of images, or texts, that are given their class in `y`.

        Raises
        ------
        DataError
            As for :meth:`predict_proba`, and where the numbers of images and of classes differ.
        """
        predicted = self.classes_[self.model.decide(self.predict_proba(images))]
        if len(predicted) != len(y):
            raise DataError(f"y must have one class per image: got {len(y)} for {len(predicted)}")
        return float((predicted == np.asarray(y)).mean())


def require_pandas() -> None:
    """Raise InputError where pandas is not installed."""
    if find_spec("pandas") is None:
        raise InputError("a data frame needs pandas: pip install pandas")


def _texts_of(given: Any) -> list[str | Path]:
    is_several = isinstance(given, Iterable) and not isinstance(
        given, str | bytes | bytearray | dict
    )
    items = list(given) if is_several else [given]
    for i, item in enumerate(items):
        if not isinstance(item, str | Path):
            raise DataError(
                f"this run classifies texts, and text {i} is a {type(item).__name__}: give strings, or paths "
                "of files of text"
            )
    return items


def load(folder: Path | str) -> Run:
    """Open a run folder, of images or of texts: ``headstart.load("runs/photos")``.

    A run on several labels per image, or on a number, is a :class:`headstart.runs.target_run.TargetRun`.

    Raises
    ------
    RunError
        The folder is not a run, is damaged, or comes from a newer version.
    """
    from headstart.runs.target_run import open_run

    path = expand(folder)
    if not path.exists():
        bring_back(path)
    return open_run(path)

"""The reusable classifier of a run: what makes its features, and the linear head on them.

    model/model.json            backbone (or several), digest, taps, resolutions, classes
    model/head.safetensors      coef (K, d), intercept (K,), scale (3,): temperature, and scale and weight of a mean
    model/network.safetensors   of a fine-tuned network: all its weights
    model/partner/              of a mean of two: the other model, in the same two files
    model/text*                 of texts, what makes features of them: `headstart.runs.reader_files`

Nothing is pickled. The weights of a frozen backbone stay where they are and are identified by their
digest. A fine-tuned network is a backbone of the run's own whose one tap is its logits; the linear
head on it passes them through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.targets import Kind
from headstart.errors import InputError, RunError, WeightsError, one_line
from headstart.files import write_atomically
from headstart.heads import Pool, Temperature, least_cost
from headstart.heads.examples import Normalize, Rows, decide, join_rows
from headstart.heads.multilabel import sigmoid
from headstart.results import write
from headstart.runs.encoder import Encoder
from headstart.runs.folder import SCHEMA, read_json
from headstart.runs.model_file import ModelFile, Part, Precision, cells
from headstart.runs.regular import read_regular
from headstart.sources.blocks import Blocks, side_by_side
from headstart.sources.saved import SavedBackbone

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.sources.text import TextReader


@dataclass(frozen=True, kw_only=True)
class Model:
    """A linear head on features of a backbone: an SVM on a frozen one, or the logits of a trained one."""

    classes: tuple[str, ...]  # length K
    blocks: Blocks  # the taps and resolutions whose features it takes
    precision: (
        Precision  # of the network's arithmetic; features for predictions are made in the same
    )
    backbone: SavedBackbone  # of several, the first
    coef: NDArray[np.float64]  # (K, d); two classes have the rows ``-w`` and ``w``
    intercept: NDArray[np.float64]  # (K,)
    temperature: Temperature  # from scores to probabilities
    # {"l2", "none"}; whether each row of features is brought to unit length before the head
    normalize: Normalize = "l2"
    # another model of the same classes; what both say is averaged: :meth:`mean`
    partner: Model | None = None
    pool: Pool = field(default_factory=Pool)  # weight and temperature of that average
    folder: Path | None = None  # where it was read from
    # Of a model of texts, what makes features of them. A TextCNN is a model whose features are its
    # log-probabilities, which the head passes through.
    texts: TextReader | None = None
    beside: tuple[SavedBackbone, ...] = ()  # the other backbones whose features the head takes
    # cost of each true class (row) taken for each other (column): the class of least expected cost
    # is predicted rather than the most probable one
    costs: tuple[tuple[float, ...], ...] | None = None
    # {"classes", "labels", "numbers"}; what it predicts. Of labels, each has a probability of its
    # own, the sigmoid of its score; of a number, the score is the prediction, and `classes` is the
    # name of its column.
    target: Kind = "classes"
    # length K; of labels: a label is given where its probability is this or more
    thresholds: tuple[float, ...] = ()
    # of a number: half of the width of the interval of a prediction; None: it is infinite
    half_width: float | None = None

    @property
    def is_finetuned(self) -> bool:
        """Whether the backbone is the run's own, trained network."""
        return bool(self.backbone.finetuned)

    def join(self, parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Features (n, d) of the blocks' parts (n, d_i), side by side as the head was fitted on."""
        return join_rows(parts) if self.normalize == "l2" else np.hstack(parts)

    def scores(self, X: NDArray[np.float32] | Rows) -> NDArray[np.float64]:
        """One-vs-rest scores (n, K) of features (n, d), which may be sparse."""
        self.need_width(X.shape[1])
        if hasattr(X, "nnz"):
            from sklearn.preprocessing import normalize

            return np.asarray(normalize(X) @ self.coef.T + self.intercept)
        return decide(X, self.coef, self.intercept, self.normalize)

    def need_width(self, n_features: int) -> None:
        """Raise where the head is of another number of features.

        Raises RunError.
        """
        if n_features != self.coef.shape[1]:
            where = one_line(str(self.folder)) if self.folder else "the run"
            raise RunError(
                f"the model in {where} takes {self.coef.shape[1]:,} features and is given "
                f"{n_features:,}: it is damaged; fit again"
            )

    def probabilities(self, X: NDArray[np.float32] | Rows) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K) of features (n, d); of a number, the number (n, 1)."""
        if self.target == "labels":
            return sigmoid(self.scores(X))
        if self.target == "numbers":
            return self.scores(X)
        return self.temperature.probabilities(self.scores(X))

    def decide(self, P: NDArray[np.float64]) -> NDArray[np.intp]:
        """The predicted class of each row of probabilities (n, K), as positions."""
        return P.argmax(axis=1) if self.costs is None else least_cost(P, self.costs)

    def ranked(self, p: NDArray[np.float64]) -> NDArray[np.intp]:
        """Positions of the classes, the predicted one first: by probability, or by expected cost."""
        if self.costs is None:
            return np.argsort(-p, kind="stable")
        others = np.argsort(p @ np.array(self.costs), kind="stable")
        first = self.decide(p[None])[0]
        return np.concatenate([[first], others[others != first]])

    def of_texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated class probabilities (n, K) of texts.

        Raises RunError where the model is one of images, or its sentence encoder is not there.
        """
        if self.texts is not None and not len(texts):
            return np.empty((0, len(self.classes)))
        return self.probabilities(self.text_rows(texts))

    def text_rows(self, texts: Sequence[str], **how: Any) -> Any:
        """Features (n, d) of texts, an array or sparse; `how` is as of `TextReader.rows`.

        Raises RunError where the model is one of images, or its sentence encoder is not there.
        """
        from headstart.runs.reader_files import locate_encoder

        if self.texts is None:
            raise RunError(f"{self._where} is a run on images, and this works on texts")
        found = locate_encoder(self.texts, self.folder)
        return dataclasses.replace(self.texts, encoder=found).rows(texts, **how)

    def require_images(self) -> None:
        """Raise where the model is one of texts.

        Raises RunError.
        """
        if self.texts is not None:
            raise RunError(
                f"{self._where} is a run on texts, and this works on images: give a run on images. "
                "The report of a run on texts lists suspicious texts, duplicates and mistakes"
            )

    @property
    def _where(self) -> str:
        return one_line(str(self.folder.parent)) if self.folder else "the run"

    def mean(self, own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted geometric mean (n, K) of this model's probabilities and of its partner's."""
        return self.pool.probabilities(log_probabilities(own), log_probabilities(other))

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The networks whose features the head takes, in the order of its columns.

        Raises RunError where the model is one of texts.
        """
        self.require_images()
        return tuple(
            Encoder(backbone=net, blocks=blocks, precision=self.precision, folder=self.folder)
            for net, blocks in zip((self.backbone, *self.beside), self.blocks.members, strict=True)
        )

    def load_backbone(self) -> Backbone:
        """The first of `encoders`, loaded; errors as of :meth:`Encoder.load`."""
        return self.encoders[0].load()

    def save(self, folder: Path) -> None:
        """Write the model's files into ``folder``; a fine-tuned network's is written beside."""
        from safetensors.numpy import save

        folder.mkdir(parents=True, exist_ok=True)
        scales = np.array([self.temperature.scale, self.pool.scale, self.pool.weight])
        tensors = {"coef": self.coef, "intercept": self.intercept, "scale": scales}
        payload = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
        write_atomically(folder / FILES[0], payload)
        own, *others = self.blocks.members
        facts = ModelFile(
            schema=SCHEMA,
            classes=self.classes,
            taps=own.taps,
            resolutions_px=own.resolutions,
            only=cells(own),
            backbone=self.backbone,
            precision=self.precision,
            normalize=self.normalize,
            has_partner=self.partner is not None,
            beside=tuple(
                Part(taps=b.taps, resolutions_px=b.resolutions, only=cells(b), backbone=net)
                for b, net in zip(others, self.beside, strict=True)
            ),
            costs=self.costs,
            target=self.target,
            thresholds=self.thresholds,
            half_width=self.half_width,
        )
        write(folder / FILES[1], facts)
        if self.partner is not None:
            self.partner.save(folder / PARTNER)
        if self.texts is not None:
            from headstart.runs.reader_files import save_reader

            save_reader(folder, self.blocks.taps[0], self.texts)

    @classmethod
    def _read_partner(cls, folder: Path, classes: tuple[str, ...]) -> Model:
        """A partner, which has none itself."""
        if not (folder / PARTNER).is_dir():
            raise ValueError(f"it has no {PARTNER}")
        partner = cls.read(folder / PARTNER)
        if partner.classes != classes:
            raise ValueError("its partner knows other classes")
        return partner

    @classmethod
    def read(cls, folder: Path) -> Model:
        """Read what :meth:`save` wrote.

        Raises RunError or WeightsError where a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        facts = read_json(folder, FILES[1], ModelFile)
        try:
            tensors = load(read_regular(folder, FILES[0]))
            _check_head(tensors, len(facts.classes), least=2 if facts.target == "classes" else 1)
            blocks = facts.blocks()
            if facts.beside:
                parts = (facts, *facts.beside)
                blocks = side_by_side([part.blocks(part.backbone.name) for part in parts])
            reader = None
            if facts.backbone.is_text:
                from headstart.runs.reader_files import read_reader

                blocks, reader = read_reader(folder)
            return cls(
                classes=facts.classes,
                blocks=blocks,
                precision=facts.precision,
                backbone=facts.backbone,
                coef=tensors["coef"],
                intercept=tensors["intercept"],
                temperature=Temperature(float(tensors["scale"][0])),
                normalize=facts.normalize,
                partner=cls._read_partner(folder, facts.classes) if facts.has_partner else None,
                # Earlier versions kept no weight: both counted alike; the first of all, no mean.
                pool=Pool(*map(float, tensors["scale"][1:])),
                folder=folder,
                texts=reader,
                beside=tuple(part.backbone for part in facts.beside),
                costs=facts.costs,
                target=facts.target,
                thresholds=facts.thresholds,
                half_width=facts.half_width,
            )
        except (RunError, WeightsError):
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, InputError) as error:
            reason = one_line(str(error), limit=120)
            raise RunError(
                f"the model in {one_line(str(folder))} is damaged ({reason}): fit again"
            ) from error


def _check_head(tensors: Mapping[str, NDArray[Any]], n_classes: int, *, least: int = 2) -> None:
    """ValueError where the head is not one of so many classes."""
    coef, intercept, scale = (tensors[name] for name in ("coef", "intercept", "scale"))
    fits = coef.ndim == 2 and len(coef) == n_classes and intercept.shape == (n_classes,)
    if n_classes < least or not fits or scale.ndim != 1 or not len(scale):
        raise ValueError(
            f"{n_classes} classes have coefficients {coef.shape}, {intercept.shape}, {scale.shape}"
        )
    for name, values in (("coef", coef), ("intercept", intercept), ("scale", scale)):
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise ValueError(f"{name} holds a value that is not finite")


def need_images(model: Model, verb: str) -> None:
    """Raise RunError where a run's model is not one of images, or does not say how it prepares them."""
    model.require_images()
    if model.backbone.preprocessing is None:
        raise RunError(
            f"this run was made by a version that did not keep what {verb} needs: fit again"
        )


def need_classes(model: Model, verb: str, name: str = "this") -> None:
    """Raise RunError where a run's model does not give each image one class; `name`: of the run."""
    if model.target != "classes":
        raise RunError(
            f"{verb} needs a run with one class per image; {name} is {kind_in_words(model.target)}: fit one on "
            "a column of classes"
        )


def kind_in_words(target: str) -> str:
    """What kind of run it is, for messages."""
    return f"a run on {'a number' if target == 'numbers' else 'several labels per image'}"


def log_probabilities(P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms, finite where a probability has become zero."""
    return np.asarray(np.log(np.maximum(P, np.finfo(np.float64).tiny)), dtype=np.float64)


PARTNER = "partner"
FILES = ("head.safetensors", "model.json")

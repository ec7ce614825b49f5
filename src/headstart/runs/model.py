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
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.backbones import Preprocessing
from headstart.data.targets import Kind
from headstart.errors import InputError, RunError, WeightsError, one_line
from headstart.files import write_atomically
from headstart.heads import Pool, Temperature, least_cost
from headstart.heads.examples import Normalize, Rows, decide, join_rows
from headstart.heads.multilabel import sigmoid
from headstart.runs.encoder import Encoder
from headstart.runs.folder import SCHEMA, read_json, write_json
from headstart.runs.regular import read_regular
from headstart.runs.settings import PRECISIONS, SIZES_PX
from headstart.runs.shape import MODEL
from headstart.sources.blocks import (
    Blocks,
    of_backbone,
    read_cells,
    side_by_side,
    write_cells,
)

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.sources.text import TextReader


@dataclass(frozen=True, kw_only=True)
class Model:
    """A linear head on features of a backbone: an SVM on a frozen one, or the logits of a trained one."""

    classes: tuple[str, ...]  # length K
    blocks: Blocks  # the taps and resolutions whose features it takes
    precision: str  # of the network's arithmetic; features for predictions are made in the same
    # ``name``, ``arch``, ``weights`` (path of a local file, or None), ``digest``, ``preprocessing``
    # and all ``taps`` as pairs of name and module; of a fine-tuned network also ``finetuned``, the
    # name of its file in the model's folder. Of several, the first.
    backbone: dict[str, Any]
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
    # the other backbones whose features the head takes, in the same form
    beside: tuple[dict[str, Any], ...] = ()
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
        return "finetuned" in self.backbone

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
        facts: dict[str, Any] = {
            "schema": SCHEMA,
            "classes": list(self.classes),
            "taps": list(own.taps),
            "resolutions_px": list(own.resolutions),
            "precision": self.precision,
            "normalize": self.normalize,
            "backbone": self.backbone,
            "has_partner": self.partner is not None,
        }
        if own.only:
            facts["only"] = write_cells(own)
        if others:
            facts["beside"] = [
                {
                    "taps": list(b.taps),
                    "resolutions_px": list(b.resolutions),
                    "backbone": net,
                    **({"only": write_cells(b)} if b.only else {}),
                }
                for b, net in zip(others, self.beside, strict=True)
            ]
        if self.costs is not None:
            facts["costs"] = [list(row) for row in self.costs]
        if self.target != "classes":
            facts |= {
                "target": self.target,
                "thresholds": list(self.thresholds),
                "half_width": self.half_width,
            }
        write_json(folder / FILES[1], facts)
        if self.partner is not None:
            self.partner.save(folder / PARTNER)
        if self.texts is not None:
            from headstart.runs.reader_files import save_reader

            save_reader(folder, self.blocks.taps[0], self.texts)

    @classmethod
    def _read_partner(cls, folder: Path) -> Model:
        """A partner, which has none itself."""
        partner = cls.read(folder / PARTNER)
        if partner.classes != tuple(read_json(folder, FILES[1])["classes"]):
            raise ValueError("its partner knows other classes")
        return partner

    @classmethod
    def read(cls, folder: Path) -> Model:
        """Read what :meth:`save` wrote.

        Raises RunError or WeightsError where a file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        facts = read_json(folder, FILES[1], MODEL)
        normalize = facts.get("normalize", "l2")  # earlier versions knew no other
        try:
            if normalize not in get_args(Normalize):
                raise ValueError(f"normalize is {one_line(str(normalize))}")
            if facts["precision"] not in PRECISIONS[1:]:
                raise ValueError(f"precision is {one_line(facts['precision'])}")
            tensors = load(read_regular(folder, FILES[0]))
            of_networks = [facts, *(facts.get("beside") or ())]
            for part in of_networks:
                _check_sizes(part)
            target = _check_target(facts)
            _check_head(tensors, len(facts["classes"]), least=2 if target == "classes" else 1)
            blocks = _blocks(of_networks)
            reader = None
            if facts["backbone"].get("kind") == KIND:
                from headstart.runs.reader_files import read_reader

                blocks, reader = read_reader(folder)
            return cls(
                classes=tuple(facts["classes"]),
                blocks=blocks,
                precision=facts["precision"],
                backbone=facts["backbone"],
                coef=tensors["coef"],
                intercept=tensors["intercept"],
                temperature=Temperature(float(tensors["scale"][0])),
                normalize=normalize,
                partner=cls._read_partner(folder) if facts.get("has_partner") else None,
                # Earlier versions kept no weight: both counted alike; the first of all, no mean.
                pool=Pool(*map(float, tensors["scale"][1:])),
                folder=folder,
                texts=reader,
                beside=tuple(part["backbone"] for part in of_networks[1:]),
                costs=_read_costs(facts.get("costs"), len(facts["classes"])),
                target=target,
                thresholds=tuple(facts.get("thresholds") or ()),
                half_width=facts.get("half_width"),
            )
        except (RunError, WeightsError):
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, InputError) as error:
            reason = one_line(str(error), limit=120)
            raise RunError(
                f"the model in {one_line(str(folder))} is damaged ({reason}): fit again"
            ) from error


def _blocks(of_networks: Sequence[Mapping[str, Any]]) -> Blocks:
    """The taps and resolutions that a model takes of each of its networks."""
    each = [
        Blocks(
            taps=tuple(part["taps"]),
            resolutions=tuple(part["resolutions_px"]),
            only=read_cells(part.get("only") or ()),
        )
        for part in of_networks
    ]
    if len(each) == 1:
        return each[0]
    names = (part["backbone"]["name"] for part in of_networks)
    return side_by_side([of_backbone(b, name) for b, name in zip(each, names, strict=True)])


def _check_sizes(facts: Mapping[str, Any]) -> None:
    """ValueError where resolutions, taps or preprocessing are none that a network can take."""
    low, high = SIZES_PX
    if not all(low <= size <= high for size in facts["resolutions_px"]):
        raise ValueError(f"resolutions are {facts['resolutions_px']}")
    for tap, size in read_cells(facts.get("only") or ()):
        if tap not in facts["taps"] or size not in facts["resolutions_px"]:
            raise ValueError(f"{tap} at {size} px is not one of its layers and resolutions")
    net = facts["backbone"]
    if net.get("preprocessing") is not None:
        Preprocessing.from_dict(net["preprocessing"])
    if net.get("taps") is not None:
        known = {name for name, _ in net["taps"]}
        if not set(facts["taps"]) <= known:
            raise ValueError(f"its layers {facts['taps']} are not among the network's")


def _read_costs(costs: Any, n_classes: int) -> tuple[tuple[float, ...], ...] | None:
    """ValueError where the costs are not of so many classes, or not numbers of 0 or more."""
    if costs is None:
        return None
    table = np.array(costs, dtype=np.float64)
    if table.shape != (n_classes, n_classes) or not (np.isfinite(table) & (table >= 0)).all():
        raise ValueError(f"costs of confusions are {table.shape} for {n_classes} classes")
    return tuple(tuple(float(v) for v in row) for row in table)


def _check_target(facts: Mapping[str, Any]) -> Kind:
    """ValueError where the target, its thresholds or its width cannot be."""
    target: Kind = facts.get("target") or "classes"
    if target not in get_args(Kind):
        raise ValueError(f"target is {one_line(str(target))}")
    n_thresholds = len(facts.get("thresholds") or ())
    if n_thresholds != (len(facts["classes"]) if target == "labels" else 0):
        raise ValueError(f"{n_thresholds} thresholds of {len(facts['classes'])} labels")
    if (facts.get("half_width") or 0) < 0:
        raise ValueError("the width of its intervals is negative")
    if target == "numbers" and len(facts["classes"]) != 1:
        raise ValueError(f"a number has {len(facts['classes'])} names")
    return target


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
    if "preprocessing" not in model.backbone:
        raise RunError(
            f"this run was made by a version that did not keep what {verb} needs: fit again"
        )


def need_classes(model: Model, verb: str) -> None:
    """Raise RunError where a run's model does not give each image one class."""
    if model.target != "classes":
        raise RunError(
            f"{verb} needs a run with one class per image; this is {kind_in_words(model.target)}: fit one on "
            "a column of classes"
        )


def kind_in_words(target: str) -> str:
    """What kind of run it is, for messages."""
    return f"a run on {'a number' if target == 'numbers' else 'several labels per image'}"


def log_probabilities(P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms, finite where a probability has become zero."""
    return np.asarray(np.log(np.maximum(P, np.finfo(np.float64).tiny)), dtype=np.float64)


PARTNER = "partner"
KIND = "text"
FILES = ("head.safetensors", "model.json")

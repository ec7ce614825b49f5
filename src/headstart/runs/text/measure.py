"""Every kind of features of texts, judged by cross-validation; then networks, where time allows."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import argument
from headstart.files import write_atomically
from headstart.heads import LinearSVM
from headstart.probe.folds import judgeable
from headstart.probe.judging import TOLERANCE, Scores, judge, keep, recall, scores_path
from headstart.probe.memo import digest_of
from headstart.progress import Progress
from headstart.runs.choose import Candidate
from headstart.runs.text.features import (
    AVERAGE,
    BOTH,
    CHARACTERS,
    SENTENCES,
    WORDS,
    TextBlocks,
    TextFeatures,
    network_blocks,
)
from headstart.runs.text.model import network_scores
from headstart.text.sentences import encoder_macs
from headstart.text.settings import TextTraining
from headstart.text.words import tokenize
from headstart.wording import rough_time

if TYPE_CHECKING:
    from headstart.data.texts import TextRecord
    from headstart.text import TrainedText

logger = logging.getLogger(__name__)

# What networks may take without a budget, in seconds.
ALLOWANCE_S = 120.0
# In the order in which they are tried, with the cost of an epoch against that of the first.
VARIANT_COSTS = {"non-static": 1.0, "static": 0.6, "multichannel": 1.7, "rand": 1.0}


@dataclass(kw_only=True)
class Networks:
    """What came of the networks.

    Attributes
    ----------
    candidates : list of Candidate
    profile : dict of layer to bool array (n_train,)
        Whether a linear SVM on that layer of the first network put each held-out text right.
    seconds : float
    note : str
        Why there are none, or not all.
    """

    candidates: list[Candidate] = field(default_factory=list)
    profile: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    seconds: float = 0.0
    note: str = ""


@dataclass(kw_only=True)
class Judge:
    """What all candidates share: training texts, folds, and where results are kept."""

    records: Sequence[TextRecord]
    folds: NDArray[np.int64]
    Cs: Sequence[float]
    features: TextFeatures
    cache: Path
    progress: Progress
    device: str | None = None

    @property
    def y(self) -> NDArray[np.str_]:
        """The labels."""
        return np.array([r.label for r in self.records])

    def planned(self) -> list[TextBlocks]:
        """The kinds of features, from cheap to dear."""
        more = [SENTENCES] if self.features.encoder else []
        return [WORDS, CHARACTERS, BOTH, AVERAGE, *more]

    def heads(self) -> list[Candidate]:
        """The linear SVM on each kind of features."""
        planned, found = self.planned(), []
        self.progress("cross-validate", 0, len(planned))
        for blocks in planned:
            found.append(self.head(blocks))
            self.progress("cross-validate", len(found), len(planned))
        return found

    def head(self, blocks: TextBlocks) -> Candidate:
        """The linear SVM on one kind of features; one that was judged before is not judged again."""
        rows = self.features.rows(blocks, [r.text for r in self.records])
        scores = judge(rows, self.y, self.folds, Cs=self.Cs, kept_at=self._place(blocks, []))
        return self._candidate(blocks, self._macs(blocks, rows), scores)

    def _candidate(self, blocks: TextBlocks, macs: int, scores: Scores) -> Candidate:
        judged = judgeable(self.y, self.folds)
        return Candidate(blocks=blocks, macs=macs, scores=scores, judged=judged)

    def networks(self, base: TextTraining, *, allowance_s: float) -> Networks:
        """TextCNNs of the variants that there is time for, with the layers of the first.

        Each fold is judged by a network trained on the others for a fixed number of epochs, and the
        last epoch is kept: to stop by the held-out fold would flatter it.
        """
        started, found = time.perf_counter(), Networks()
        variants, found.note = self._affordable(base, allowance_s)
        n_folds = len(np.unique(self.folds))
        for variant in variants:
            settings = replace(base, variant=variant)
            blocks = network_blocks(variant)
            kept_at = self._network_place(settings)
            layers_at = kept_at.with_suffix(".layers.json")
            scores, is_first = recall(kept_at), not found.candidates
            layers = recall_layers(layers_at, len(self.records)) if is_first else {}
            if scores is None or layers is None:
                scores, layers = self._train_folds(settings, n_folds, is_first)
                keep(kept_at, scores)
                write_atomically(layers_at, json.dumps(as_lists(layers)).encode())
            found.profile = found.profile or layers
            found.candidates.append(self._candidate(blocks, self._network_macs(settings), scores))
        found.seconds = time.perf_counter() - started
        return found

    def train(
        self,
        settings: TextTraining,
        rows: NDArray[np.intp] | None = None,
        *,
        val: Sequence[TextRecord] = (),
        folder: Path | None = None,
    ) -> TrainedText:
        """A network trained on the records at `rows`, or on all; `val` tells its best epoch."""
        from headstart.text import train_textcnn

        chosen = np.arange(len(self.records)) if rows is None else rows
        vectors = None if settings.variant == "rand" else self.features.vectors
        encoded = [self.features.vocabulary.encode(self.features.tokens[i]) for i in chosen]
        return train_textcnn(
            encoded,
            self.y[chosen],
            self.features.vocabulary,
            vectors,
            settings,
            val_rows=[self.features.vocabulary.encode(tokenize(r.text)) for r in val],
            val_y=[r.label for r in val],
            folder=folder,
            device=self.device or "cpu",
        )

    def _affordable(self, base: TextTraining, allowance_s: float) -> tuple[list[str], str]:
        """Variants whose trainings fit, told by one epoch of the first on a fold.

        Those that were judged before are in the cache, and cost nothing.
        """
        known = [v for v in VARIANT_COSTS if self._is_known(replace(base, variant=v))]
        if len(known) == len(VARIANT_COSTS):
            return known, ""
        if allowance_s <= 0:
            return known, "no time is left to train a TextCNN"
        rows = np.flatnonzero(self.folds != self.folds.min())
        one = self.train(replace(base, variant="non-static", epochs=1), rows)
        # Each fold, and once more on all.
        n_trainings = len(np.unique(self.folds)) + 1
        each = one.seconds * base.epochs * n_trainings
        taken, left = [], allowance_s - one.seconds
        for variant, cost in VARIANT_COSTS.items():
            seconds = 0.0 if variant in known else each * cost
            if seconds <= left:
                taken.append(variant)
                left -= seconds
        omitted = [v for v in VARIANT_COSTS if v not in taken]
        if not omitted:
            return taken, ""
        needed = each * sum(VARIANT_COSTS[v] for v in omitted)
        what = "TextCNN" if not taken else f"TextCNN {', '.join(omitted)}"
        return taken, (
            f"{what} not tried: about {rough_time(needed)} more than the "
            f"{rough_time(allowance_s)} allowed; {argument('budget_s')} gives more"
        )

    def _network_place(self, settings: TextTraining) -> Path:
        return self._place(network_blocks(settings.variant), [settings.to_dict()])

    def _is_known(self, settings: TextTraining) -> bool:
        return self._network_place(settings).is_file()

    def _train_folds(
        self, settings: TextTraining, n_folds: int, wants_layers: bool
    ) -> tuple[Scores, dict[str, NDArray[np.bool_]]]:
        classes = np.unique(self.y)
        decisions = np.zeros((len(self.records), len(classes)), dtype=np.float32)
        layers: dict[str, NDArray[np.bool_]] = {}
        stage = f"train {settings.variant}"
        self.progress(stage, 0, n_folds)
        for number, fold in enumerate(np.unique(self.folds), start=1):
            fit, held = np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)
            trained = self.train(settings, fit)
            scores = network_scores(
                trained, self.features.vocabulary, [self.records[int(i)].text for i in held]
            )
            # A class that the other folds lack is never predicted.
            decisions[held] = scores.min() - 1
            columns = np.searchsorted(classes, np.array(trained.classes))
            decisions[held[:, None], columns] = scores
            if wants_layers:
                self._judge_layers(trained, fit, held, layers)
            self.progress(stage, number, n_folds)
        correct = classes[decisions.argmax(axis=1)] == self.y
        n_parameters = trained.n_trained_parameters
        return Scores(
            n_features=n_parameters, C=float("nan"), accuracy_by_C=(), decisions=decisions,
            correct=correct,
        ), layers  # fmt: skip

    def _judge_layers(
        self,
        trained: TrainedText,
        fit: NDArray[np.intp],
        held: NDArray[np.intp],
        into: dict[str, NDArray[np.bool_]],
    ) -> None:
        """A linear SVM with C = 1 on every layer of a network, scored on the held-out fold."""
        from headstart.text import extract_taps

        vocabulary, tokens = self.features.vocabulary, self.features.tokens
        rows = [vocabulary.encode(tokens[i]) for i in [*fit, *held]]
        taps = extract_taps(trained.model, rows, max_words=trained.settings.max_words)
        for name, X in taps.items():
            svm = LinearSVM(C=1.0, tol=TOLERANCE).fit(X[: len(fit)], self.y[fit])
            right = into.setdefault(name, np.zeros(len(self.records), dtype=bool))
            right[held] = svm.predict(X[len(fit) :]) == self.y[held]

    def _place(self, blocks: TextBlocks, more: Sequence[Any]) -> Path:
        digests, labels = [r.digest for r in self.records], [r.label for r in self.records]
        task = digest_of([digests, labels, self.folds.tolist(), list(self.Cs)])
        code = ("heads", "probe", *(("text", "finetune") if more else ()))
        facts = ["text", task, self.features.digest(blocks), *more]
        return scores_path(self.cache, facts, code=code)

    def _macs(self, blocks: TextBlocks, rows: Any) -> int:
        """Of the mean text: each number that is not zero, once a class; and an encoder's own."""
        n_numbers = float(rows.nnz / rows.shape[0] if hasattr(rows, "nnz") else rows.shape[1])
        own = 0
        if "sentences" in blocks.parts and self.features.encoder_folder is not None:
            own = encoder_macs(self.features.encoder_folder, self._n_words)
        return own + round(n_numbers * len(np.unique(self.y)))

    @property
    def _n_words(self) -> float:
        """Of the mean text."""
        return float(np.mean([len(tokens) for tokens in self.features.tokens]))

    def _network_macs(self, settings: TextTraining) -> int:
        """Of the mean text: every window of every map."""
        channels = 2 if settings.variant == "multichannel" else 1
        width = self.features.known.n_features * channels
        return round(self._n_words * sum(settings.widths)) * width * settings.n_maps


def as_lists(layers: dict[str, NDArray[np.bool_]]) -> dict[str, list[int]]:
    """JSON-able."""
    return {name: right.astype(int).tolist() for name, right in layers.items()}


def recall_layers(path: Path, n: int) -> dict[str, NDArray[np.bool_]] | None:
    """What `as_lists` was written from; None where there is nothing for `n` texts."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        layers = {str(name): np.array(right, dtype=bool) for name, right in kept.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("damaged file %s (%s): it is computed anew", path, error)
        return None
    return layers if layers and all(r.shape == (n,) for r in layers.values()) else None

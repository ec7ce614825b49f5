"""TextCNNs as candidates: judged on the folds of the linear heads, where time allows."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.errors import argument
from headstart.files import write_atomically
from headstart.heads import LinearSVM, paired_gain
from headstart.probe.judging import TOLERANCE, Scores, keep, recall
from headstart.probe.screening import MARGIN, STANDARD_ERRORS
from headstart.progress import Progress, silent
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task
from headstart.sources.text import TextSource, network_blocks, network_scores
from headstart.text.settings import TextTraining
from headstart.text.tokens import tokenize
from headstart.wording import points, rough_time

if TYPE_CHECKING:
    from headstart.data.texts import TextRecord
    from headstart.text import TrainedText

logger = logging.getLogger(__name__)

# What networks may take without a budget, in seconds.
ALLOWANCE_S = 120.0
# Sample size for timing an epoch.
N_TIMED = 2_000
# Training texts from which a network that is clearly behind is stopped; of fewer all folds are quick.
RACE_FROM = 2_000
# In the order in which they are tried, with the cost of an epoch against that of the first.
VARIANT_COSTS = {"non-static": 1.0, "static": 0.6, "multichannel": 1.7, "rand": 1.0}


@dataclass(kw_only=True)
class Networks:
    """What came of the networks."""

    candidates: list[Candidate] = field(default_factory=list)
    # layer to array (n_train,); whether a linear SVM on that layer of the first
    # network put each held-out text right
    profile: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    note: str = ""  # why there are none, or not all
    untried: tuple[str, ...] = ()  # those that Ctrl-C left untried


@dataclass(kw_only=True)
class NetworkTrials:
    """TextCNNs of several variants on the texts of a task."""

    task: Task
    source: TextSource
    progress: Progress = silent
    # a network on many texts is stopped where it is clearly behind the best of these
    rivals: Sequence[Candidate] = ()

    def judge(self, base: TextTraining, *, allowance_s: float) -> Networks:
        """TextCNNs of the variants that there is time for, with the layers of the first.

        Each fold is judged by a network trained on the others for a fixed number of epochs, and the
        last epoch is kept: to stop by the held-out fold would flatter it. Ctrl-C leaves those that
        were judged.
        """
        found = Networks(untried=tuple(f"TextCNN {v}" for v in VARIANT_COSTS))
        try:
            variants, found.note = self._affordable(base, allowance_s)
            found.untried = tuple(f"TextCNN {v}" for v in variants)
            self._judge(variants, base, found)
        except KeyboardInterrupt:
            logger.warning("stopped: what is known so far is kept")
        return found

    def _judge(self, variants: Sequence[str], base: TextTraining, found: Networks) -> None:
        for variant in variants:
            settings = replace(base, variant=variant)
            kept_at = self._kept_at(settings)
            layers_at = kept_at.with_suffix(".layers.json")
            scores, is_first = recall(kept_at), not found.candidates
            layers = recall_layers(layers_at, len(self.task.records)) if is_first else {}
            if scores is None or layers is None:
                rivals = [*self.rivals, *found.candidates]
                scores, layers, note = self._train_folds(settings, is_first, rivals)
                if scores is None:
                    found.note = "; ".join(filter(None, [found.note, note]))
                    found.untried = found.untried[1:]
                    continue
                keep(kept_at, scores)
                write_atomically(layers_at, json.dumps(as_lists(layers)).encode())
            found.profile = found.profile or layers
            blocks, macs = network_blocks(variant), self._macs(settings)
            found.candidates.append(self.task.candidate(blocks, macs, scores))
            found.untried = found.untried[1:]

    def train(
        self,
        settings: TextTraining,
        rows: NDArray[np.intp] | None = None,
        *,
        val: Sequence[TextRecord] = (),
        folder: Path | None = None,
    ) -> TrainedText:
        """A network trained on the texts at `rows`, or on all; `val` tells its best epoch."""
        from headstart.text import train_textcnn

        source = self.source
        chosen = np.arange(len(self.task.records)) if rows is None else rows
        vectors = None if settings.variant == "rand" else source.vectors
        weight = self.task.goal.weight
        return train_textcnn(
            [source.vocabulary.encode(source.tokens[i]) for i in chosen],
            self.task.y[chosen],
            source.vocabulary,
            vectors,
            settings,
            val_rows=[source.vocabulary.encode(tokenize(r.text)) for r in val],
            val_y=[r.label for r in val],
            weights=None if weight is None else weight[chosen],
            val_weights=self.task.objective.weights(val),
            folder=folder,
            device=source.device or "cpu",
        )

    def _affordable(self, base: TextTraining, allowance_s: float) -> tuple[list[str], str]:
        """Variants that fit into the time, estimated from one epoch of the first on a fold.

        Those that were judged before are in the cache, and cost nothing.
        """
        known = [v for v in VARIANT_COSTS if self._kept_at(replace(base, variant=v)).is_file()]
        if len(known) == len(VARIANT_COSTS):
            return known, ""
        if allowance_s <= 0:
            return known, "no time is left to train a TextCNN"
        folds = self.task.folds
        rows = np.flatnonzero(folds != folds.min())
        some = rows[:: -(-len(rows) // N_TIMED)]
        one = self.train(replace(base, variant="non-static", epochs=1), some)
        # Each fold, and once more on all.
        n_trainings = len(np.unique(folds)) + 1
        each = one.seconds * len(rows) / len(some) * base.epochs * n_trainings
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

    def _kept_at(self, settings: TextTraining) -> Path:
        code = ("heads", "probe", "training")
        return self.task.kept_at(network_blocks(settings.variant), settings.to_dict(), code=code)

    def _train_folds(
        self, settings: TextTraining, wants_layers: bool, rivals: Sequence[Candidate]
    ) -> tuple[Scores | None, dict[str, NDArray[np.bool_]], str]:
        records, y, folds = self.task.records, self.task.y, self.task.folds
        classes, numbers = np.unique(y), np.unique(folds)
        decisions = np.zeros((len(records), len(classes)), dtype=np.float32)
        layers: dict[str, NDArray[np.bool_]] = {}
        stage = f"train {settings.variant}"
        # A candidate that its ridge classifier ruled out has no scores to compare with.
        rivals = [c for c in rivals if not c.scores.is_screened]
        self.progress(stage, 0, len(numbers))
        for n_done, fold in enumerate(numbers, start=1):
            fit, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            trained = self.train(settings, fit)
            texts = [self.source.texts[i] for i in held]
            scores = network_scores(trained, self.source.vocabulary, texts)
            # A class that the other folds lack is never predicted.
            decisions[held] = scores.min() - 1
            columns = np.searchsorted(classes, np.array(trained.classes))
            decisions[held[:, None], columns] = scores
            if wants_layers:
                self._judge_layers(trained, fit, held, layers)
            self.progress(stage, n_done, len(numbers))
            if rivals and len(records) >= RACE_FROM and n_done < len(numbers):
                done = np.isin(folds, numbers[:n_done]) & self.task.judged
                best = max(rivals, key=lambda c: c.accuracy)
                right = classes[decisions[done].argmax(axis=1)] == y[done]
                groups = groups_of([records[i] for i in np.flatnonzero(done).tolist()])
                rival = classes[best.scores.decisions[done].argmax(axis=1)] == y[done]
                behind = is_behind(right, rival, groups)
                if behind:
                    self.progress(stage, len(numbers), len(numbers))
                    where = f"after {n_done} of {len(numbers)} folds"
                    return None, {}, f"TextCNN {settings.variant} stopped {where}: {behind}"
        judged = Scores(
            n_features=trained.n_trained_parameters,
            C=float("nan"),
            accuracy_by_C=(),
            decisions=decisions,
            correct=classes[decisions.argmax(axis=1)] == y,
            optimised=self.task.merits(decisions),
        )
        return judged, layers, ""

    def _judge_layers(
        self,
        trained: TrainedText,
        fit: NDArray[np.intp],
        held: NDArray[np.intp],
        into: dict[str, NDArray[np.bool_]],
    ) -> None:
        """A linear SVM with C = 1 on every layer of a network, scored on the held-out fold."""
        from headstart.text import extract_taps

        y = self.task.y
        vocabulary, tokens = self.source.vocabulary, self.source.tokens
        rows = [vocabulary.encode(tokens[i]) for i in [*fit, *held]]
        taps = extract_taps(trained.model, rows, max_words=trained.settings.max_words)
        weight = self.task.goal.weight
        own = None if weight is None else weight[fit]
        for name, X in taps.items():
            svm = LinearSVM(C=1.0, tol=TOLERANCE).fit(X[: len(fit)], y[fit], own)
            right = into.setdefault(name, np.zeros(len(y), dtype=bool))
            right[held] = svm.predict(X[len(fit) :]) == y[held]

    def _macs(self, settings: TextTraining) -> int:
        """Of the mean text: every window of every map."""
        channels = 2 if settings.variant == "multichannel" else 1
        width = self.source.known.n_features * channels
        return round(self.source.n_words * sum(settings.widths)) * width * settings.n_maps


def is_behind(
    right: NDArray[np.bool_], rival: NDArray[np.bool_], groups: Sequence[str] | None = None
) -> str:
    """By how much a candidate is clearly behind a rival on the same texts, in words; else empty.

    As in screening: by a point at least, and by two standard errors of the difference.
    """
    if not len(right):
        return ""
    found = paired_gain(right, rival, groups=groups)
    if -found.value <= max(MARGIN, STANDARD_ERRORS * found.standard_error):
        return ""
    return f"{points(-found.value)} points behind the best candidate"


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
        logger.warning("damaged file %s (%s): it is computed again", path, error)
        return None
    return layers if layers and all(r.shape == (n,) for r in layers.values()) else None

"""Variants of TextCNN beside linear SVMs: the same texts, seeds and epochs, paired."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.comparison.arms import Arm
from headstart.comparison.comparing import Comparison, Outcome, Split, compare_with
from headstart.features.engines import pick_device
from headstart.heads.costs import COSTS
from headstart.home import expand
from headstart.probe.memo import code_digest
from headstart.progress import Progress, silent
from headstart.runs.measure import Task
from headstart.runs.networks import NetworkTrials
from headstart.runs.refit import refit
from headstart.sources.text import (
    AVERAGE,
    BOTH,
    TextBlocks,
    TextSource,
    encoder_blocks,
    network_blocks,
    network_scores,
)
from headstart.text.encoders import obtain_encoder, read_encoder
from headstart.text.published import require_embeddings
from headstart.text.settings import VARIANTS, TextTraining, require_variant

if TYPE_CHECKING:
    from headstart.data.texts import TextIndex, TextRecord


@dataclass(frozen=True, kw_only=True)
class TextArm(Arm):
    """One side of a comparison on texts."""

    blocks: TextBlocks
    training: TextTraining | None = None  # None: a linear SVM
    encoder_digest: str | None = None  # contents of the sentence encoder

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        plain = {
            n: getattr(self, n) for n in ("name", "line", "n_layers", "starts_from_svm", "extra_s")
        }
        told = self.training and self.training.to_dict()
        parts = [*self.blocks.parts, *self.blocks.layers]
        plain |= {"parts": parts, "settings": told}
        return plain | ({"encoder": self.encoder_digest} if self.encoder_digest else {})


@dataclass(frozen=True, kw_only=True)
class TextComparison:
    """What every arm reached, and where the word vectors are from."""

    comparison: Comparison
    word_vectors: str


def text_arms(
    base: TextTraining, variants: Sequence[str], *, encoder: str | None = None
) -> tuple[TextArm, ...]:
    """Linear SVMs, and a TextCNN of each variant at the same number of epochs.

    An ``encoder`` adds the linear SVM on it; its contents are part of the arm, so that results of
    other arms are kept when it changes.

    Raises InputError where a name is not a variant.
    """
    for variant in variants:
        require_variant(variant)
    encoded = []
    if encoder is not None:
        found = read_encoder(obtain_encoder(encoder))
        blocks = encoder_blocks(found)[-1]
        arm = TextArm(
            name="sentence encoder",
            line=f"linear SVM on the {blocks.taps[0]}, of {Path(encoder).name}, frozen",
            blocks=blocks,
            encoder_digest=found.digest,
        )
        encoded.append(arm)
    return (
        TextArm(name="TF-IDF", line="linear SVM on TF-IDF of words and characters", blocks=BOTH),
        TextArm(
            name="embedding average", line="linear SVM on the mean word vector", blocks=AVERAGE
        ),
        *encoded,
        *(
            TextArm(
                name=variant,
                line=VARIANTS[variant],
                blocks=network_blocks(variant),
                training=replace(base, variant=variant),
            )
            for variant in variants
        ),
    )


def compare_texts(
    index: TextIndex,
    arms: Sequence[TextArm],
    *,
    seeds: Sequence[int],
    embeddings: str | None = None,
    encoder: str | None = None,
    cache: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
    on_outcome: Callable[[Arm, int, Outcome], None] | None = None,
) -> TextComparison:
    """Fit every arm with every seed; parameters are those of `headstart.comparison.comparing.compare`.

    Words, terms and word vectors are learnt from the texts that are fitted on; a file of word
    vectors may be named by ``embeddings``, a sentence encoder by ``encoder``.

    Raises InputError or DataError as `headstart.comparison.comparing.compare`, and where the word
    vectors cannot be read.
    """
    from headstart.features import cache_folder

    if embeddings is not None:
        require_embeddings(embeddings)
    root = cache or cache_folder()
    fitter = TextFitter(
        test=index.test,
        embeddings=embeddings,
        encoder=encoder,
        cache=root,
        device=device,
        progress=progress,
    )
    found = compare_with(
        fitter,
        index,
        arms,
        seeds=seeds,
        cache=root,
        progress=progress,
        on_outcome=on_outcome,
        noun="text",
    )
    source = "word vectors learnt from the texts fitted on (PPMI and SVD)"
    if embeddings is not None:
        source = f"word vectors of {Path(embeddings).name}"
    return TextComparison(comparison=found, word_vectors=source)


@dataclass(kw_only=True)
class TextFitter:
    """Fits one arm with one seed, and scores the validation and the test texts."""

    test: Sequence[TextRecord]
    embeddings: str | None
    encoder: str | None
    cache: Path
    device: str | None
    progress: Progress
    _trials: dict[int, NetworkTrials] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides an outcome beside the arm and the split."""
        vectors = None
        if self.embeddings is not None:
            path = expand(self.embeddings)
            stat = path.stat() if path.is_file() else None
            vectors = [self.embeddings, stat and [stat.st_size, stat.st_mtime_ns]]
        return {
            "code": code_digest(
                "runs/compare_texts.py",
                "runs/measure.py",
                "runs/networks.py",
                "runs/refit.py",
                "sources/text.py",
            ),
            "embeddings": vectors,
            "device": pick_device(self.device or "cpu"),
            "test": [(r.digest, r.label) for r in self.test],
        }

    def fit(self, arm: Arm, split: Split, folder: Path) -> Outcome:
        """Fit one arm; `folder` holds the checkpoint of a training; the caller removes it."""
        assert isinstance(arm, TextArm)
        trials = self._of_split(split)
        if arm.training is None:
            return self._fit_svm(arm, trials.task, split)
        settings = replace(arm.training, seed=split.seed)
        trained = trials.train(settings, val=split.val, folder=folder)
        seen = (*split.val, *self.test)
        scores = network_scores(trained, trials.source.vocabulary, [r.text for r in seen])
        correct = np.array(trained.classes)[scores.argmax(axis=1)] == _labels(seen)
        return Outcome(
            val_correct=correct[: len(split.val)],
            test_correct=correct[len(split.val) :],
            seconds=trained.seconds,
            n_trained_parameters=trained.n_trained_parameters,
            history=trained.history,
            best_epoch=trained.best_epoch,
        )

    def _fit_svm(self, arm: TextArm, task: Task, split: Split) -> Outcome:
        started = time.perf_counter()
        candidate = task.judge(arm.blocks)
        seen = (*split.val, *self.test)
        done = refit(candidate, source=task.source, train=task.records, test=seen)
        return Outcome(
            val_correct=done.correct[: len(split.val)],
            test_correct=done.correct[len(split.val) :],
            seconds=time.perf_counter() - started,
            n_trained_parameters=done.model.coef.size + done.model.intercept.size,
            note=f"C = {candidate.scores.C:g}",
        )

    def _of_split(self, split: Split) -> NetworkTrials:
        if split.seed not in self._trials:
            source = TextSource(
                train=split.fit,
                embeddings=self.embeddings,
                encoder=self.encoder,
                cache=self.cache,
                device=self.device,
                progress=self.progress,
            )
            task = Task(
                source=source,
                records=split.fit,
                folds=split.folds(),
                Cs=COSTS,
                cache=self.cache,
            )
            self._trials[split.seed] = NetworkTrials(
                task=task, source=source, progress=self.progress
            )
        return self._trials[split.seed]


def _labels(records: Sequence[TextRecord]) -> Any:
    return np.array([r.label for r in records])

"""`fit_texts`: table -> folds -> cross-validated candidates -> choice -> refit -> one test -> folder."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.training import training_records
from headstart.errors import argument
from headstart.heads import (
    LinearSVM,
    fit_rows,
    one_row_a_class,
)
from headstart.home import expand
from headstart.probe import training_folds
from headstart.progress import Progress, silent
from headstart.runs.choose import Candidate, choose
from headstart.runs.folder import check_output, free_name, staged, write_json
from headstart.runs.metrics import Results, metrics
from headstart.runs.origin import Origin, remember
from headstart.runs.predictions import write_test_predictions
from headstart.runs.provenance import provenance
from headstart.runs.refit import Tested, calibrate, tested
from headstart.runs.settings import settings_from
from headstart.runs.text.features import BOTH, TextBlocks, TextFeatures
from headstart.runs.text.findings import text_findings
from headstart.runs.text.measure import ALLOWANCE_S, Judge, Networks
from headstart.runs.text.model import KIND, TextModel
from headstart.runs.text.report import write_text_report
from headstart.runs.text.run import TextRun
from headstart.runs.text.settings import TextSettings
from headstart.text.settings import TextTraining

if TYPE_CHECKING:
    from headstart.data.texts import TextIndex, TextRecord

logger = logging.getLogger(__name__)

# Of a budget, what is left for refitting and the report once networks are trained.
KEPT_BACK = 0.15


def fit_texts(
    data: str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> TextRun:
    """Find the best classifier of labelled texts among TF-IDF, word vectors and TextCNNs.

    Every candidate is cross-validated on the training texts by the same folds; the cheapest
    within one standard error of the best, and at most a point lower, is refitted and scored once on the
    test texts.

    Parameters
    ----------
    data : str or Path
        A table of texts, or the name of a set: see :func:`headstart.data.texts.index_texts`.
    out, force, cache, progress
        As in :func:`headstart.fit`.
    **settings
        The fields of :class:`headstart.runs.text.settings.TextSettings`.

    Returns
    -------
    TextRun

    Raises
    ------
    InputError
        Anything that the caller gave cannot be used; the message says what and what to do.
    """
    from headstart.features import cache_folder

    chosen = settings_from(TextSettings, str(data), settings)
    folder = expand(out) if out is not None else free_name(chosen.data)
    check_output(folder, force=force)
    job = _TextJob(settings=chosen, out=folder, cache=cache or cache_folder(), progress=progress)
    with staged(folder, force=force) as scratch:
        job.run(scratch)
    run = TextRun(folder)
    encoder = run.model.encoder
    remember(folder, Origin(data=chosen.data, encoder=None if encoder is None else str(encoder)))
    return run


@dataclass(frozen=True, kw_only=True)
class TextResults(Results):
    """All that a fit of texts found out.

    Attributes
    ----------
    networks : Networks
    features : TextFeatures
    """

    networks: Networks
    features: TextFeatures
    noun: str = "text"
    usual: str = "the usual baseline"

    @property
    def baseline_name(self) -> str:
        """What the choice is compared with."""
        return str(self.candidates[self.baseline].blocks).replace("Linear SVM", "a linear SVM", 1)

    @property
    def baseline_short(self) -> str | None:
        """The same in fewer words."""
        return self.candidates[self.baseline].blocks.tap_label


@dataclass(kw_only=True)
class _TextJob:
    """One fit under way: its stages in order, and the seconds that each took."""

    settings: TextSettings
    out: Path
    cache: Path
    progress: Progress
    timings_s: dict[str, float] = field(default_factory=dict)

    def run(self, scratch: Path) -> None:
        """All stages; the run's files are left in ``scratch``."""
        started = time.perf_counter()
        index = self._index()
        train = training_records(index)
        folds = self._folds(index, train)
        judge = self._judge(train, folds)
        with self._timed("cross_validation"):
            candidates = judge.heads()
        with self._timed("networks"):
            networks = self._networks(judge, started)
        candidates += networks.candidates
        with self._timed("refit"):
            results = self._refit(index, judge, candidates, networks)
        with self._timed("findings"):
            more = text_findings(results, judge, progress=self.progress)
        self.timings_s["total"] = time.perf_counter() - started
        self._write(scratch, results, more)

    def _index(self) -> TextIndex:
        from headstart.data.texts import index_texts

        s = self.settings
        with self._timed("index"):
            return index_texts(
                s.data,
                text_column=s.text,
                label_column=s.label,
                split_column=s.split_column,
                merge_labels=s.merge_labels,
                test_size=s.test_size,
                seed=s.seed,
                cache=self.cache,
                progress=self.progress,
            )

    def _folds(self, index: TextIndex, train: tuple[TextRecord, ...]) -> NDArray[np.int64]:
        s = self.settings
        return training_folds(index, train, n_folds=s.n_folds, seed=s.seed)

    def _judge(self, train: tuple[TextRecord, ...], folds: NDArray[np.int64]) -> Judge:
        s = self.settings
        features = TextFeatures(
            texts=[r.text for r in train],
            embeddings=s.embeddings,
            encoder=s.encoder,
            cache=self.cache,
            device=s.device,
            progress=self.progress,
        )
        with self._timed("word_vectors"):
            logger.info("word vectors: %s", features.known.source)
            if features.encoder_folder is not None:
                logger.info("sentence encoder: %s", features.encoder_folder)
        return Judge(
            records=train,
            folds=folds,
            Cs=sorted(s.Cs),
            features=features,
            cache=self.cache,
            progress=self.progress,
            device=s.device,
        )

    def _networks(self, judge: Judge, started: float) -> Networks:
        s = self.settings
        if not s.finetune:
            return Networks(note=f"TextCNN not tried: {argument('finetune', False)}")
        allowance = ALLOWANCE_S
        if s.budget_s is not None:
            spent = time.perf_counter() - started
            allowance = (1 - KEPT_BACK) * s.budget_s - spent
        base = TextTraining(epochs=s.epochs, seed=s.seed)
        return judge.networks(base, allowance_s=allowance)

    def _refit(
        self,
        index: TextIndex,
        judge: Judge,
        candidates: list[Candidate],
        networks: Networks,
    ) -> TextResults:
        """Choose, then fit and score the choice and the two that it is shown beside."""
        baseline = next(i for i, c in enumerate(candidates) if c.blocks == BOTH)
        choice = choose(candidates, [r.label for r in judge.records], baseline)
        shown = dict.fromkeys((choice.chosen, choice.best, baseline))
        base = TextTraining(epochs=self.settings.epochs, seed=self.settings.seed)
        return TextResults(
            settings=self.settings,
            index=index,
            train=tuple(judge.records),
            test=index.test,
            n_folds=len(np.unique(judge.folds)),
            candidates=candidates,
            choice=choice,
            baseline=baseline,
            tested={i: refit_text(candidates[i], judge, index.test, base) for i in shown},
            networks=networks,
            features=judge.features,
        )

    def _write(self, scratch: Path, results: TextResults, more: dict[str, Any]) -> None:
        """Leave every file of the run in ``scratch``."""
        figures = metrics(results, self.timings_s) | {"text": more}
        if results.networks.note:
            figures["notes"] = [*figures["notes"], results.networks.note]
        model = results.final.model
        assert isinstance(model, TextModel)
        training = None if model.network is None else model.network[0].settings.to_dict()
        precision = {"chosen": "float32", "reason": "texts have no other"}
        write_json(
            scratch / "run.json",
            provenance(self.settings, results.index, model.backbone, "cpu", precision, training),
        )
        write_json(scratch / "metrics.json", figures)
        model.save(scratch / "model")
        write_test_predictions(scratch / "predictions.csv", results)
        write_text_report(scratch, run_name=str(self.out))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings_s[stage] = time.perf_counter() - start
        logger.info("%s: %.2f s", stage, self.timings_s[stage])


def refit_text(
    candidate: Candidate, judge: Judge, test: tuple[TextRecord, ...], base: TextTraining
) -> Tested:
    """Fit a candidate on all training texts, calibrate, and score the test texts once.

    Parameters
    ----------
    candidate : Candidate
    judge : Judge
        The training texts and what was learnt from them.
    test : tuple of TextRecord
    base : TextTraining
        Of a network, less its variant.
    """
    blocks, scores = candidate.blocks, candidate.scores
    assert isinstance(blocks, TextBlocks)
    classes, member = np.unique(judge.y, return_inverse=True)
    temperature = calibrate(candidate, member)
    features = judge.features
    has_average, has_sentences = "average" in blocks.parts, "sentences" in blocks.parts
    model = TextModel(
        classes=tuple(str(c) for c in classes),
        blocks=blocks,
        precision="float32",
        backbone={
            "kind": KIND,
            "name": str(blocks),
            "digest": features.digest(blocks),
            "word vectors": features.known.source if has_average or blocks.is_network else None,
            "encoder": features.encoder if has_sentences else None,
        },
        coef=np.eye(len(classes)),
        intercept=np.zeros(len(classes)),
        temperature=temperature,
        normalize="none" if blocks.is_network else "l2",
    )
    if blocks.is_network:
        trained = judge.train(dataclasses.replace(base, variant=blocks.parts[0]))
        model = dataclasses.replace(model, network=(trained, features.vocabulary))
    else:
        coef, intercept = _fit_head(features.rows(blocks, features.texts), judge.y, scores.C)
        model = dataclasses.replace(
            model,
            coef=coef,
            intercept=intercept,
            tfidf=tuple(features.tfidf(p) for p in blocks.parts if p in ("words", "characters")),
            embeddings=features.known if has_average else None,
            encoder=features.encoder_folder if has_sentences else None,
            encoder_digest=features.encoder_digest if has_sentences else None,
        )
    P = model.of_texts([r.text for r in test])
    return tested(model, temperature.probabilities(scores.decisions), P, test)


def _fit_head(
    rows: Any, y: NDArray[np.str_], C: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The linear SVM, one row a class."""
    if hasattr(rows, "nnz"):
        return fit_rows(rows, y, C)
    return one_row_a_class(LinearSVM(C).fit(rows, y))

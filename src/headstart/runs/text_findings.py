"""What a run on texts shows besides the choice: telling terms, layers, and more texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.groups import groups_of
from headstart.errors import DataError
from headstart.heads import (
    accuracy_interval,
    fit_rows,
    is_significant,
    paired_gain,
    repeated_accuracy,
)
from headstart.heads.examples import normalize_rows
from headstart.heads.sparse import normalize_sparse
from headstart.probe.learning_curve import choose_counts, independent_tests, learning_curve
from headstart.probe.powerlaw import MIN_POINTS, fit_curve
from headstart.progress import Progress, silent
from headstart.results import Interval
from headstart.runs.result import (
    ClassTerms,
    CurvePoint,
    Law,
    LayerAccuracy,
    LayersOfNetwork,
    Term,
    TextCurve,
    TextResult,
    WordVectors,
)
from headstart.sources.text import AVERAGE, BOTH, WORDS, TextBlocks, TextSource
from headstart.wording import points, signed_points

if TYPE_CHECKING:
    from headstart.data.texts import TextRecord
    from headstart.runs.choose import Candidate
    from headstart.runs.metrics import Results

N_TERMS = 10
# A learning curve is of at most so many texts, and of so many orders of them.
MOST_TEXTS = 3000
CURVE_SEEDS = (0, 1, 2)
CURVE_TOL = 1e-3


def text_findings(
    results: Results, source: TextSource, *, progress: Progress = silent
) -> TextResult:
    """What ``metrics.json`` has of texts alone."""
    # Of a fit that was stopped, word vectors may not have been learnt.
    known = source.known if any(c.blocks == AVERAGE for c in results.candidates) else None
    profile = results.networks.profile
    judged = [r for r, is_judged in zip(results.train, results.judged, strict=True) if is_judged]
    return TextResult(
        verdict=verdict(results.candidates, groups_of(judged)),
        word_vectors=None
        if known is None
        else WordVectors(
            source=known.source,
            n_words=len(known.words),
            n_features=known.n_features,
            coverage=known.coverage,
        ),
        telling_terms=tuple(telling_terms(results, source)),
        telling_windows=telling_windows(results, source),
        layers=LayersOfNetwork(
            of=results.networks.candidates[0].blocks.taps[0],
            rows=tuple(
                LayerAccuracy(name=name, accuracy=accuracy_interval(right))
                for name, right in profile.items()
            ),
        )
        if profile
        else None,
        curves=tuple([] if results.untried else size_curves(results, source, progress=progress)),
    )


def verdict(candidates: Sequence[Candidate], groups: Sequence[str] | None = None) -> str:
    """Whether counting words and characters is enough."""
    if not candidates[0].judged.any():
        return "The training texts are too few to compare the candidates by cross-validation."
    counted = [c for c in candidates if _is_tfidf(c)]
    # The accuracy of a ridge classifier is not that of an SVM.
    others = [c for c in candidates if not (_is_tfidf(c) or c.scores.is_screened)]
    if not others:
        return "Only TF-IDF was tried."
    best = max(counted, key=lambda c: c.accuracy)
    rival = max(others, key=lambda c: c.accuracy)
    gain = paired_gain(rival.correct, best.correct, groups=groups)
    counts, other = best.blocks.tap_label, rival.blocks.tap_label
    against = f"{signed_points(gain.value, gain.low, gain.high)} points"
    if points(gain.value) == "0.0":
        return f"TF-IDF ({counts}) and {other} are equally accurate in cross-validation."
    if not is_significant(gain):
        verb = "does not beat" if gain.value > 0 else "does not differ significantly from"
        sure = " (not significant)" if gain.value > 0 else ""
        return f"{_first(other)} {verb} TF-IDF ({counts}) in cross-validation: {against}{sure}."
    if gain.value < 0:
        return f"TF-IDF ({counts}) beats {other} in cross-validation: {points(-gain.value)} points (significant)."
    return f"{_first(other)} beats TF-IDF ({counts}) in cross-validation: {against} (significant)."


def _first(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _is_tfidf(candidate: Candidate) -> bool:
    blocks = candidate.blocks
    assert isinstance(blocks, TextBlocks)
    return blocks.is_sparse and not blocks.layers


def telling_terms(results: Results, source: TextSource) -> list[ClassTerms]:
    """Words and pairs that put texts in their class, by the linear SVM on TF-IDF of words.

    The score of a term is what it adds to the class's score, over the mean of all classes, in the
    training texts of that class more than in all. Terms without a letter or digit are left out.
    """
    candidate = next(c for c in results.candidates if c.blocks == WORDS)
    X, y = source.rows(WORDS, source.train), np.array([r.label for r in source.train])
    coef, _ = fit_rows(X, y, candidate.scores.C, tol=CURVE_TOL)
    coef = coef - coef.mean(axis=0)
    terms = source.tfidf("words").terms
    is_word = np.array([any(c.isalnum() for c in term) for term in terms])
    everywhere = np.asarray(X.mean(axis=0)).ravel()
    found = []
    for k, label in enumerate(np.unique(y)):
        own = X[np.flatnonzero(y == label)]
        # A term that the class lacks is not a sign of it, though two negatives make a plus.
        surplus = np.maximum(np.asarray(own.mean(axis=0)).ravel() - everywhere, 0)
        score = np.maximum(coef[k], 0) * surplus * is_word
        n_texts = np.asarray((own > 0).sum(axis=0)).ravel()
        best = [int(j) for j in np.argsort(-score, kind="stable")[:N_TERMS] if score[j] > 0]
        rows = tuple(
            Term(term=terms[j], score=float(score[j]), n_texts=int(n_texts[j])) for j in best
        )
        found.append(ClassTerms(name=str(label), terms=rows))
    return found


def telling_windows(results: Results, source: TextSource) -> tuple[ClassTerms, ...] | None:
    """Word sequences that fire the maxima of the network that was refitted, if one was."""
    from headstart.text import telling_ngrams

    for tested in (results.final, *results.tested.values()):
        reader = tested.model.texts
        if reader is not None and reader.network is not None:
            trained, vocabulary = reader.network
            rows = [vocabulary.encode(tokens) for tokens in source.tokens]
            told = telling_ngrams(
                trained.model,
                rows,
                vocabulary,
                trained.classes,
                most=N_TERMS,
                max_words=trained.settings.max_words,
            )
            return tuple(
                ClassTerms(
                    name=label,
                    terms=tuple(
                        Term(term=n.text, score=n.score / len(rows), n_texts=n.n_texts)
                        for n in ngrams
                    ),
                )
                for label, ngrams in told.items()
            )
    return None


def size_curves(
    results: Results, source: TextSource, *, progress: Progress = silent
) -> list[TextCurve]:
    """Test accuracy against texts per class, of TF-IDF, averaged word vectors and a sentence encoder.

    The word vectors and the terms are those of all training texts: they need no label. A candidate that
    was ruled out before SVMs were fitted has no C, and no curve.
    """
    if not results.test:
        return []
    y = np.array([r.label for r in source.train])
    n_classes = len(np.unique(y))
    try:
        all_counts = choose_counts(y)
    except DataError:  # too few texts for a curve
        return []
    counts = [n for n in all_counts if n * n_classes <= MOST_TEXTS]
    if len(counts) < MIN_POINTS:
        return []
    return [
        _size_curve(c, results.test, source, counts, progress)
        for c in results.candidates
        if c.blocks in (BOTH, AVERAGE, source.prior) and not c.scores.is_screened
    ]


def _size_curve(
    candidate: Candidate,
    test: Sequence[TextRecord],
    source: TextSource,
    counts: Sequence[int],
    progress: Progress,
) -> TextCurve:
    blocks, C = candidate.blocks, candidate.scores.C
    assert isinstance(blocks, TextBlocks)
    X, X_test = source.rows(blocks, source.train), source.rows(blocks, test)
    unit = normalize_sparse if hasattr(X, "nnz") else normalize_rows
    means, correct = learning_curve(
        source.train,
        test,
        (unit(X, "l2"), unit(X_test, "l2")),
        C,
        CURVE_TOL,
        counts=counts,
        seeds=CURVE_SEEDS,
        progress=progress,
    )
    errors = 1 - correct.mean(axis=2)
    groups = groups_of(test)
    fit = fit_curve(means, errors, independent_tests(correct, groups))
    gain = fit.gain(means[-1], means[-1])
    return TextCurve(
        name=blocks.tap_label,
        n_repeats=len(CURVE_SEEDS),
        points=tuple(
            CurvePoint(
                n=n, mean_n=m, accuracy=Interval(*repeated_accuracy(correct[:, i], groups=groups))
            )
            for i, (n, m) in enumerate(zip(counts, means, strict=True))
        ),
        law=Law(**asdict(fit.law)),
        twice=(gain.value, gain.low, gain.high),
    )

"""Backbones, or layers, put in order by transferability scores, and by what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, InputError, argument
from headstart.experiments.correlation import RankCorrelation, rank_correlation, too_few
from headstart.experiments.scores.scores import h_score, leep, logme, nce, shrunk_h_score
from headstart.experiments.wording import percent
from headstart.probe import Scores, judge, training_folds
from headstart.probe.folds import require_two_each
from headstart.progress import Progress, silent
from headstart.wording import listed, points

if TYPE_CHECKING:
    from headstart.backbones import Backbone, Tap
    from headstart.data import Index, Record
    from headstart.features import FeatureStore

Per = Literal["backbone", "tap"]
PER: tuple[Per, ...] = ("backbone", "tap")

SCORES: dict[str, str] = {
    "LogME": "maximum evidence of a linear model (You 2021)",
    "H-score": "variance of the features between the classes (Bao 2019)",
    "shrunk H-score": "the same with a shrunk covariance (Ibrahim 2021)",
    "LEEP": "likelihood of the labels by way of the source classes (Nguyen 2020)",
    "NCE": "entropy of the labels given the source labels, negative (Tran 2019)",
}

# Decimals of a score where it is shown; scores that read the same are tied.
N_DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One backbone, or one tap of it.

    Attributes
    ----------
    name : str
        As it is shown.
    backbone, tap : str
    size_px, n_features : int
    scores : mapping of str to float or None
        By the names of `SCORES`; None: not available.
    probe : Scores
        The linear SVM on the same features.
    """

    name: str
    backbone: str
    tap: str
    size_px: int
    n_features: int
    scores: Mapping[str, float | None]
    probe: Scores

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        accuracy = self.probe.accuracy
        return {
            "name": self.name,
            "backbone": self.backbone,
            "tap": self.tap,
            "size_px": self.size_px,
            "n_features": self.n_features,
            "scores": dict(self.scores),
            "accuracy": {"value": accuracy.value, "low": accuracy.low, "high": accuracy.high},
            "C": self.probe.C,
        }


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well one score put the candidates in order.

    Attributes
    ----------
    score : str
    correlation : RankCorrelation
        Between score and accuracy.
    first : str
        The candidate that the score puts first; of several tied ones, the most accurate.
    tied : tuple of str
        Other candidates whose score reads the same as the first's, so that the score does not
        choose between them.
    lost : float
        Accuracy of the best candidate less that of `first`; where others are tied with it, less
        the mean of theirs.
    """

    score: str
    correlation: RankCorrelation
    first: str
    lost: float
    tied: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "score": self.score,
            **self.correlation.to_dict(),
            "first": self.first,
            "tied": list(self.tied),
            "lost": self.lost,
        }


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates, the most accurate first, and what each score made of them."""

    candidates: tuple[Candidate, ...]
    agreements: tuple[Agreement, ...]
    per: Per
    n_images: int
    n_classes: int

    @property
    def sentence(self) -> str:
        """The answer."""
        return _sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "per": self.per,
            "n_images": self.n_images,
            "n_classes": self.n_classes,
            "candidates": [c.to_dict() for c in self.candidates],
            "agreements": [a.to_dict() for a in self.agreements],
            "sentence": self.sentence,
            "detail": _detail(self),
        }


def rank(
    indexed: Index,
    backbones: Sequence[Backbone],
    *,
    per: Per = "backbone",
    size_px: int | None = None,
    seed: int = 0,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Ranking:
    """Score every candidate on the training images, and measure how good its features are.

    Parameters
    ----------
    indexed : Index
        Test images are not looked at.
    backbones : sequence of Backbone
        At least one; of the same weights, the first counts.
    per : {"backbone", "tap"}
        A candidate is the last features of a backbone, or each of its layers. LEEP and NCE judge
        a source classifier as a whole, so they are of backbones only.
    size_px : int, optional
        Side of the crops; default each backbone's own.
    seed : int
        Of the folds of the cross-validation.
    device, cache, progress
        As for :func:`headstart.features.extract`.

    Returns
    -------
    Ranking

    Raises
    ------
    InputError
        There is no backbone, or `per` is unknown.
    DataError
        There are too few images or classes.
    """
    from headstart.data import training_records

    if per not in PER:
        raise InputError(f"{argument('per')} must be {' or '.join(PER)}; got {per!r}")
    nets = list({net.digest: net for net in reversed(backbones)}.values())[::-1]
    if not nets:
        raise InputError(f"no backbone to score: name one or more with {argument('backbones')}")
    records = training_records(indexed)
    found: list[Candidate] = []
    for net in nets:
        store, kept = _features(net, records, size_px, device, cache, progress)
        lines = [records[i] for i in kept]
        require_two_each(np.array([r.label for r in lines]))
        folds = training_folds(indexed, lines, seed=seed)
        made = _candidates(net, store, lines, folds, per=per, alone=len(nets) == 1)
        total = len(net.taps) if per == "tap" else 1
        for i, candidate in enumerate(made, start=1):
            found.append(candidate)
            progress(f"score {net.name}", i, total)
    found.sort(key=lambda c: -c.probe.accuracy.value)
    return Ranking(
        candidates=tuple(found),
        agreements=tuple(_agreements(found)),
        per=per,
        n_images=len(records),
        n_classes=len({r.label for r in records}),
    )


def _features(
    net: Backbone,
    records: Sequence[Record],
    size_px: int | None,
    device: str | None,
    cache: Path | None,
    progress: Progress,
) -> tuple[FeatureStore, NDArray[np.intp]]:
    """The features of one backbone, and which records have them."""
    from headstart.features import extract

    size = size_px or net.preprocessing.size_px
    done = extract(records, net, resolutions=[size], device=device, cache=cache, progress=progress)
    kept = [i for i, r in enumerate(records) if r.digest not in done.unreadable]
    if len({records[i].label for i in kept}) < 2:
        raise DataError("fewer than two classes have images that can be read")
    return done.stores[size], np.array(kept, dtype=np.intp)


def _candidates(
    net: Backbone,
    store: FeatureStore,
    records: Sequence[Record],
    folds: NDArray[np.int64],
    *,
    per: Per,
    alone: bool,
) -> Iterator[Candidate]:
    """The candidates that one backbone gives."""
    from headstart.finetune.network import features_tap

    y = np.array([r.label for r in records])
    digests = [r.digest for r in records]
    last = features_tap(net)
    taps: Sequence[Tap] = net.taps if per == "tap" else [last]
    source = _source_scores(net, store, digests, y) if per == "backbone" else {}
    for tap in taps:
        X = store.read(digests, tap.name)
        scores: dict[str, float | None] = {
            "LogME": _rounded(logme(X, y)),
            "H-score": _rounded(h_score(X, y)),
            "shrunk H-score": _rounded(shrunk_h_score(X, y)),
            **source,
        }
        names = {"backbone": net.name, "tap": tap.name if alone else f"{net.name} {tap.name}"}
        yield Candidate(
            name=names[per],
            backbone=net.name,
            tap=tap.name,
            size_px=int(store.key.preprocessing["size_px"]),
            n_features=X.shape[1],
            scores=scores,
            probe=judge(X, y, folds),
        )


def _source_scores(
    net: Backbone, store: FeatureStore, digests: Sequence[str], y: NDArray[np.str_]
) -> dict[str, float | None]:
    """LEEP and NCE from the source classifier's logits; None where the network has none."""
    from headstart.finetune.network import features_tap

    last = net.taps[-1]
    if last == features_tap(net):
        return {"LEEP": None, "NCE": None}
    logits = store.read(digests, last.name).astype(np.float64)
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return {"LEEP": _rounded(leep(P, y)), "NCE": _rounded(nce(P.argmax(axis=1), y))}


def _rounded(score: float) -> float:
    """Nine digits: an H-score of K - 1 for every candidate must not get an order from rounding."""
    return float(f"{score:.9g}")


def _agreements(candidates: Sequence[Candidate]) -> Iterator[Agreement]:
    """One for each score that gives two candidates or more an order."""
    for score in SCORES:
        scored = [(c, c.scores.get(score)) for c in candidates]
        have = [(c, s) for c, s in scored if s is not None]
        if len({_shown(s) for _, s in have}) < 2:
            continue
        accuracies = [c.probe.accuracy.value for c, _ in have]
        top = _shown(max(s for _, s in have))
        first, *tied = [c for c, s in have if _shown(s) == top]
        reached = [c.probe.accuracy.value for c in (first, *tied)]
        yield Agreement(
            score=score,
            # Rounded, since scores that are equal but for the last digits have no order.
            correlation=rank_correlation([round(s, 6) for _, s in have], accuracies),
            first=first.name,
            tied=tuple(c.name for c in tied),
            lost=max(accuracies) - sum(reached) / len(reached),
        )


def _shown(score: float) -> float:
    """A score as exact as it is shown."""
    return round(score, N_DIGITS)


def _sentence(ranking: Ranking) -> str:
    """The headline: the most accurate candidate, and which scores put it first."""
    what = _what(ranking)
    best, n = ranking.candidates[0], len(ranking.candidates)
    share = percent(best.probe.accuracy)
    if n == 1:
        return f"{best.name} reaches {share} in cross-validation."
    equal = [c.name for c in ranking.candidates if _accuracy(c) == _accuracy(best)]
    measured = f"{best.name} is the most accurate {what}, {share}"
    if len(equal) > 1:
        measured = f"{len(equal)} {what}s, {best.name} among them, are the most accurate, {share}"
    if not ranking.agreements:
        return f"{measured}; the scores are the same for all {n} {what}s."
    alone = [a.score for a in ranking.agreements if a.first in equal and not a.tied]
    if alone:
        it = "it" if len(equal) == 1 else "one of them"
        return f"{measured}; {listed(alone)} put{'s' * (len(alone) == 1)} {it} first."
    shared = [a.score for a in ranking.agreements if a.first in equal]
    if shared:
        return f"{measured}; no score puts it first alone, {listed(shared)} tied with others."
    return f"{measured}; no score puts it first."


def _detail(ranking: Ranking) -> str:
    """Ties at the top of a score, and which scores order the candidates as measured."""
    n, what = len(ranking.candidates), _what(ranking)
    said = [
        f"{a.score} puts {listed([a.first, *a.tied])} first with the same score."
        for a in ranking.agreements
        if a.tied
    ]
    if ranking.agreements and ranking.candidates[0].name not in {
        a.first for a in ranking.agreements
    }:
        least = min(ranking.agreements, key=lambda a: a.lost)
        said.append(
            f"{least.score} loses least: what it puts first is {points(least.lost, sign=False)} "
            "points less accurate."
        )
    if few := too_few(n):
        return " ".join([*said, few])
    if not ranking.agreements:
        return ""
    ordered = sorted(ranking.agreements, key=lambda a: -(a.correlation.kendall or -2))
    telling = [a for a in ordered if a.correlation.is_telling and (a.correlation.kendall or 0) > 0]
    if not telling:
        return " ".join([*said, "No score's order agrees significantly with the measured one."])
    top = telling[0]
    others = [a.score for a in ordered if a not in telling]
    rest = f"; {listed(others)} {'do' if len(others) > 1 else 'does'} not" if others else ""
    said.append(
        f"{listed([a.score for a in telling])} order{'s' * (len(telling) == 1)} the {n} {what}s "
        f"significantly as measured, {top.score} best (Kendall {top.correlation.kendall:.2f}){rest}."
    )
    return " ".join(said)


def _what(ranking: Ranking) -> str:
    return "layer" if ranking.per == "tap" else "backbone"


def _accuracy(candidate: Candidate) -> str:
    return f"{100 * candidate.probe.accuracy.value:.1f}"

"""Candidates, scores and measured accuracy of a tiny network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from headstart.backbones import Backbone, load
from headstart.data import Index, training_records
from headstart.errors import InputError
from headstart.experiments.scores import page
from headstart.experiments.scores.measure import _rounded, _source_scores, agreements
from headstart.experiments.scores.result import Candidate, ScoresResult
from headstart.experiments.scores.scores import leep, logme, nce
from headstart.experiments.scores.settings import Settings
from headstart.features import extract
from headstart.heads import accuracy_interval
from headstart.training.network import features_tap
from headstart.transfer import scores as rank

SIZE = 32


@pytest.fixture(scope="module")
def by_tap(indexed: Index, tiny: Backbone, cache: Path) -> ScoresResult:
    return rank(indexed, backbones=[tiny], per="tap", size_px=SIZE, cache=cache)


def test_rank__scores_are_those_of_the_stored_training_features(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    [candidate] = rank(indexed, backbones=[tiny], size_px=SIZE, cache=cache).candidates
    records = training_records(indexed)
    store = extract(records, tiny, resolutions=[SIZE], cache=cache).stores[SIZE]
    digests, y = [r.digest for r in records], np.array([r.label for r in records])
    assert candidate.tap == features_tap(tiny).name
    assert candidate.scores["LogME"] == pytest.approx(logme(store.read(digests, candidate.tap), y))
    logits = store.read(digests, tiny.taps[-1].name).astype(float)
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert candidate.scores["LEEP"] == pytest.approx(leep(P, y))
    assert candidate.scores["NCE"] == pytest.approx(nce(P.argmax(axis=1), y))


@pytest.mark.parametrize("crop", ["squash", "letterbox"])
def test_rank__crop_decides_the_features(
    crop: str, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    [own], [other] = (
        rank(indexed, backbones=[tiny], size_px=SIZE, cache=cache, crop=c).candidates
        for c in (None, crop)
    )
    assert own.scores["LogME"] != other.scores["LogME"]


def test_rank__crop_is_chosen_by_cross_validation(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    found = rank(indexed, backbones=[tiny], size_px=SIZE, cache=cache, crop="auto")
    [note] = [note for note in found.datasets[0].notes if "crop" in note]
    said = ("center", "squash", "letterbox", "cross-validated", f"at {SIZE} px")
    assert all(words in note for words in said)


def test_rank__one_backbone_is_told_to_be_too_few(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    found = rank(
        indexed, backbones=[tiny, tiny], size_px=SIZE, cache=cache
    )  # the same weights count once
    assert len(found.candidates) == 1
    assert found.agreements == ()
    assert "too few for a rank correlation" in found.detail


def test_rank__taps_are_candidates_with_an_order(by_tap: ScoresResult, tiny: Backbone) -> None:
    assert {c.tap for c in by_tap.candidates} == {t.name for t in tiny.taps}
    accuracies = [c.accuracy.value for c in by_tap.candidates]
    assert accuracies == sorted(accuracies, reverse=True)
    scores = ["LogME", "H-score", "shrunk H-score", "k-NN", "size"]
    assert [a.score for a in by_tap.agreements] == scores
    assert all(c.scores["size"] == c.n_features for c in by_tap.candidates)
    for agreement in by_tap.agreements:
        assert agreement.correlation.n == len(tiny.taps)
        assert agreement.lost >= 0
    assert by_tap.candidates[0].name in by_tap.sentence


def test_rank__test_labels_change_nothing(
    by_tap: ScoresResult, indexed: Index, tiny: Backbone, cache: Path
) -> None:
    swapped = {"red": "blue", "blue": "red"}
    records = tuple(
        dataclasses.replace(r, label=swapped[r.label]) if r.split == "test" else r
        for r in indexed.records
    )
    again = rank(
        dataclasses.replace(indexed, records=records),
        backbones=[tiny],
        per="tap",
        size_px=SIZE,
        cache=cache,
    )
    assert (again.candidates, again.agreements) == (by_tap.candidates, by_tap.agreements)


def test_source_scores__not_available_without_a_classifier(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    store = extract(indexed.train, tiny, resolutions=[SIZE], cache=cache).stores[SIZE]
    headless = dataclasses.replace(tiny, taps=tiny.taps[:-1])
    found = _source_scores(headless, store, [r.digest for r in indexed.train], np.array([]))
    assert found == {"LEEP": None, "NCE": None}


def test_rank__two_backbones_have_names_and_no_correlation(
    indexed: Index, tiny: Backbone, cache: Path
) -> None:
    other = dataclasses.replace(
        load("timm:test_efficientnet", pretrained=False, seed=1), name="other"
    )
    found = rank(indexed, backbones=[tiny, other], size_px=SIZE, cache=cache)
    assert {c.name for c in found.candidates} == {tiny.name, "other"}
    assert all(a.correlation.kendall is None for a in found.agreements)
    assert "2 candidates are too few" in found.detail


def candidate(name: str, score: float, share: float) -> Candidate:
    return Candidate(
        name=name,
        backbone=name,
        tap="t",
        size_px=8,
        n_features=2,
        scores={"LogME": score},
        accuracy=accuracy_interval(np.arange(100) < 100 * share),
        C=1.0,
    )


def ranking(*candidates: Candidate) -> ScoresResult:
    found = ScoresResult(
        settings=Settings(data="x"), datasets=(), data="x", n_images=9, n_classes=3,
        candidates=candidates, agreements=agreements(candidates),
    )  # fmt: skip
    return msgspec.structs.replace(found, sentence=page.sentence(found), detail=page.detail(found))


def test_sentence__a_score_that_is_right_wrong_or_of_no_use() -> None:
    shares = (0.9, 0.8, 0.7, 0.6, 0.5)
    right = ranking(*(candidate(str(s), s, s) for s in shares))
    assert "LogME puts it first" in right.sentence
    assert "LogME orders the 5 backbones significantly as measured" in right.detail
    wrong = ranking(*(candidate(str(s), -s, s) for s in shares))
    assert "no score puts it first" in wrong.sentence
    assert "LogME loses least: what it puts first is 40.0 points less" in wrong.detail
    assert "No score's order agrees" in wrong.detail
    three = ranking(*(candidate(str(s), s, s) for s in shares[:3]))
    assert "once in 3" in three.detail


def test_agreements__scores_that_read_the_same_are_tied_for_first() -> None:
    """A saturated H-score: equal but for the last digits of a float."""
    scores = (14.0, 14.0 + 1e-9, 14.0 - 1e-9, 14.0, 3.0)
    found = ranking(
        *(candidate(str(i), s, 0.9 - i / 10) for i, s in enumerate(scores)),
    )
    [agreement] = found.agreements
    assert (agreement.first, agreement.tied) == ("0", ("1", "2", "3"))
    assert agreement.lost == pytest.approx(0.15, abs=0.01)
    assert "no score puts it first alone" in found.sentence
    assert "LogME puts 0, 1, 2 and 3 first with the same score." in found.detail
    assert agreement.correlation.kendall == pytest.approx(0.632, abs=1e-3)


def test_sentence__candidates_that_are_equally_accurate_share_the_first_place() -> None:
    found = ranking(*(candidate(str(i), s, s) for i, s in enumerate((0.9, 0.9, 0.7))))
    assert found.sentence.startswith("2 backbones, 0 among them, are the most accurate")


def test_agreements__a_score_that_is_the_same_for_all_has_no_order() -> None:
    found = ranking(candidate("a", 9.0, 0.9), candidate("b", 9.0, 0.8))
    assert found.agreements == ()
    assert "the scores are the same for all 2 backbones" in found.sentence
    assert len(page.sections(found)) == 2
    assert _rounded(9.00000000000001) == _rounded(9.0) == 9


def test_rank__bad_arguments_are_told(indexed: Index, tiny: Backbone) -> None:
    with pytest.raises(InputError, match="`per` must be backbone or tap"):
        rank(indexed, backbones=[tiny], per="layer")
    with pytest.raises(InputError, match="`backbones` takes one or more different names"):
        rank(indexed, backbones=[])

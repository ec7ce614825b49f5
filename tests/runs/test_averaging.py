"""The mean of calibrated scores, against softmaxes that are averaged by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.backbones import Backbone
from headstart.data import Index, training_records
from headstart.features import extract
from headstart.heads import LinearSVM, fit_temperature, one_row_a_class
from headstart.probe.judging import Goal, Scores, scores_of_divisions
from headstart.runs.averaging import (
    MORE_VOTES,
    VOTES_OF_PRIOR,
    Head,
    average_best,
    cross_fitted,
)
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task, measure
from headstart.runs.refit import refit
from headstart.sources.blocks import Averaged, Blocks, averaged
from headstart.sources.image import ImageSource

N, K = 300, 3
RNG = np.random.default_rng(0)
CLASS = np.arange(N) % K
Y = np.array(list("abc"))[CLASS]
FOLDS = np.arange(N) // K % 5


def made(name: str, signal: float, *, judged: bool = True, screened: bool = False) -> Candidate:
    """A candidate whose scores carry as much of the truth as `signal` says."""
    truth = np.eye(K)[np.arange(N) % K]
    decisions = (signal * truth + RNG.normal(size=(N, K))).astype(np.float32)
    return Candidate(
        blocks=Blocks(taps=(name,), resolutions=(64,)),
        macs=1,
        scores=Scores(
            n_features=2, C=1.0, accuracy_by_C=(1.0,), decisions=decisions,
            correct=decisions.argmax(axis=1) == np.arange(N) % K, is_screened=screened,
        ),
        judged=np.full(N, judged),
    )  # fmt: skip


def plain(blocks: Sequence[Blocks]) -> Averaged:
    pairs = tuple(pair for b in blocks for pair in b.pairs)
    own = Blocks(taps=tuple(tap for tap, _ in pairs), resolutions=(64,), only=pairs)
    return Averaged(
        taps=own.taps, resolutions=(64,), union=own, n_averaged=len(blocks),
        n_features=(2,) * len(pairs),
    )  # fmt: skip


def scaled(c: Candidate) -> NDArray[np.float64]:
    """Calibrated scores."""
    return np.asarray(fit_temperature(c.scores.decisions, CLASS).scale * c.scores.decisions)


def log_loss(scores: NDArray[np.float64]) -> float:
    P = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return float(-np.log(P[np.arange(N), CLASS]).mean())


def test_average_best__takes_what_makes_it_better_and_no_other() -> None:
    candidates = [
        made("bad", 0.02),
        made("good", 1.5),
        made("prior", 1.5),
        made("out", 1.5, screened=True),
    ]
    mean = average_best(candidates, 2, Y, plain, [FOLDS])
    assert mean is not None
    assert [c.blocks.taps[0] for c in mean.members] == ["prior", "good"]
    assert mean.accuracy > max(c.accuracy for c in candidates[1:3])
    assert sum(mean.votes) == VOTES_OF_PRIOR + MORE_VOTES
    assert mean.votes[0] >= VOTES_OF_PRIOR
    expected = sum(n * scaled(c) for n, c in zip(mean.votes, mean.members, strict=True))
    expected = np.asarray(expected) / sum(mean.votes)
    agreed = mean.scores.decisions.argmax(axis=1) == expected.argmax(axis=1)
    assert agreed.mean() > 0.97  # nearly the same votes in every fold
    assert log_loss(expected) < min(log_loss(scaled(c)) for c in candidates)
    assert mean.scores.n_features == 4


def test_average_best__a_prior_that_is_far_behind_keeps_its_votes_alone() -> None:
    candidates = [made("prior", 0.3), made("good", 2.0)]
    mean = average_best(candidates, 0, Y, plain, [FOLDS])
    assert mean is not None
    assert mean.votes == (VOTES_OF_PRIOR, MORE_VOTES)


def test_average_best__is_none_where_nothing_helps_or_can_be_judged() -> None:
    prior = made("prior", 2.0)
    wrong = dataclasses.replace(
        prior, scores=dataclasses.replace(prior.scores, decisions=-prior.scores.decisions)
    )
    assert average_best([wrong, prior], 1, Y, plain, [FOLDS]) is None
    unjudged = [made("a", 1.0, judged=False), made("b", 1.0, judged=False)]
    assert average_best(unjudged, 1, Y, plain, [FOLDS]) is None


def test_average_best__counts_examples_by_their_weights() -> None:
    """One candidate knows the first half of the examples, one the second."""
    halves = []
    for name, rows in (("first", slice(0, N // 2)), ("second", slice(N // 2, N))):
        c = made(name, 0.0)
        c.scores.decisions[rows] += 4 * np.eye(K, dtype=np.float32)[CLASS[rows]]
        halves.append(c)
    candidates = [made("prior", 0.5), *halves]
    for k, rows in enumerate((slice(0, N // 2), slice(N // 2, N))):
        weight = np.full(N, 0.01)
        weight[rows] = 1
        mean = average_best(candidates, 0, Y, plain, [FOLDS], goal=Goal(weight=weight))
        assert mean is not None
        assert mean.votes[[c.blocks for c in mean.members].index(halves[k].blocks)] > 10


def test_cross_fitted__labels_of_a_fold_have_no_part_in_its_scores() -> None:
    decisions = [made(str(i), signal).scores.decisions for i, signal in enumerate((0.5, 0.8, 1.0))]
    judged = np.ones(N, dtype=bool)
    found = cross_fitted(decisions, CLASS, FOLDS, judged)
    out = FOLDS == 2
    other = np.where(out, (CLASS + 1) % K, CLASS)
    changed = cross_fitted(decisions, other, FOLDS, judged)
    np.testing.assert_array_equal(changed[out], found[out])
    assert not np.allclose(changed[~out], found[~out])


def test_average_best__of_noise_is_judged_to_be_at_chance() -> None:
    """Chance is 33 %; the votes that are kept pick what happens to be right."""
    shipped, judged = [], []
    for _ in range(5):
        candidates = [made(str(i), 0.0) for i in range(30)]
        mean = average_best(candidates, 0, Y, plain, [FOLDS])
        assert mean is not None
        kept = sum(n * scaled(c) for n, c in zip(mean.votes, mean.members, strict=True))
        shipped.append(np.mean(np.asarray(kept).argmax(axis=1) == CLASS))
        judged.append(mean.accuracy)
    assert np.mean(shipped) > 1 / 3 + 0.04
    assert abs(np.mean(judged) - 1 / 3) < 0.03


def test_average_best__judges_each_division_as_its_members_are() -> None:
    """A mean of scores over divisions would look better than the candidates."""
    noise = RNG.normal(size=(2, 3, N, K)) + np.eye(K)[CLASS]
    candidates = [
        dataclasses.replace(
            made(name, 1.0),
            scores=scores_of_divisions(
                Y, 1.0, list(each.astype(np.float32)), np.zeros(N),
                n_features=2, Cs=(), accuracy=(),
            ),
        )
        for name, each in zip("ab", noise, strict=True)
    ]  # fmt: skip
    mean = average_best(candidates, 0, Y, plain, [FOLDS, np.roll(FOLDS, 1), np.roll(FOLDS, 3)])
    assert mean is not None
    assert mean.scores.of_divisions is not None
    shares = (mean.scores.of_divisions.argmax(axis=2) == CLASS).mean(axis=0)
    np.testing.assert_allclose(mean.shares, shares)
    np.testing.assert_allclose(mean.merits, shares, atol=1e-9)
    assert mean.accuracy > max(c.accuracy for c in candidates)
    assert mean.accuracy < mean.correct.mean()


@pytest.fixture(scope="module")
def task(indexed: Index, tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Task:
    cache = tmp_path_factory.mktemp("cache")
    stores = extract(indexed.records, tiny, resolutions=(32, 48), cache=cache).stores
    train = training_records(indexed)
    source = ImageSource(backbone=tiny, stores=stores)
    return Task(
        source=source, records=train, folds=np.arange(len(train)) % 3, Cs=[1.0], cache=cache
    )


def test_refit__of_a_mean_is_the_mean_of_the_members_scores(task: Task, indexed: Index) -> None:
    source = task.source
    assert isinstance(source, ImageSource)
    train = training_records(indexed)
    candidates = measure(task).candidates
    joined, single = candidates[-1], candidates[4]
    other = candidates[-2]
    members = (joined, single, other)
    blocks = source.average([c.blocks for c in members])
    assert len(blocks.keys) == len({key for c in members for key in c.blocks.keys})
    made_up = Candidate(
        blocks=blocks,
        macs=1,
        judged=joined.judged,
        scores=joined.scores,
        members=members,
        votes=(2, 1, 1),
    )
    heads: dict[Blocks, Head] = {}
    found = refit(made_up, source=source, train=task.records, test=indexed.test, heads=heads)
    assert set(heads) == {c.blocks for c in members}
    # A member that is shown itself is not fitted again.
    own = refit(single, source=source, train=task.records, test=(), heads=heads).model
    assert own.coef is heads[single.blocks][0]

    def by_hand(c: Candidate) -> NDArray[np.float64]:
        X, Z = (np.asarray(source.rows(c.blocks, some)) for some in (train, indexed.test))
        coef, intercept = one_row_a_class(LinearSVM(C=c.scores.C).fit(X, task.y))
        unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
        member = np.unique(task.y, return_inverse=True)[1]
        scale = fit_temperature(c.scores.decisions[c.judged], member[c.judged]).scale
        return np.asarray(scale * (unit @ coef.T + intercept))

    expected = (2 * by_hand(members[0]) + by_hand(members[1]) + by_hand(members[2])) / 4
    rows = source.rows(blocks, indexed.test)
    np.testing.assert_allclose(found.model.scores(rows), expected, atol=1e-4)
    found.model.save(Path(task.cache) / "model")
    again = type(found.model).read(Path(task.cache) / "model")
    assert again.blocks.pairs == blocks.pairs
    assert source.macs(blocks, 2) == source.macs(joined.blocks, 2)


def test_averaged__has_each_part_once_in_network_order(tiny: Backbone) -> None:
    taps = [tap.name for tap in tiny.taps]
    some = [
        Blocks(taps=(taps[3],), resolutions=(48,)),
        Blocks(taps=tuple(taps[1:4]), resolutions=(32, 48)),
        Blocks(taps=(taps[0],), resolutions=(32,)),
    ]
    found = averaged(some, {"": tiny})
    assert found.pairs == (
        (taps[0], 32), (taps[1], 32), (taps[2], 32), (taps[3], 32),
        (taps[1], 48), (taps[2], 48), (taps[3], 48),
    )  # fmt: skip
    [own] = found.members
    assert own.taps_at(48) == tuple(taps[1:4])
    assert sum(found.widths.values()) == sum(tiny.tap(tap).n_features for tap, _ in found.pairs)


def test_cross_fitted__calibrates_and_votes_by_enough_examples_however_many_classes() -> None:
    """Divided by folds, divisions and classes, the probabilities would be of a row each."""
    decisions = [made(str(i), signal).scores.decisions for i, signal in enumerate((0.5, 0.8, 1.0))]
    judged = np.ones(N, dtype=bool)
    scarce = cross_fitted(decisions, CLASS, FOLDS, judged, most=1)
    np.testing.assert_array_equal(scarce, cross_fitted(decisions, CLASS, FOLDS, judged))


def test_cross_fitted__calibrates_by_all_voters(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.runs import averaging

    monkeypatch.setattr(averaging, "LEAST_VOTERS", 20)
    decisions = [made("a", 1.0).scores.decisions]
    found = cross_fitted(decisions, CLASS, FOLDS, np.ones(N, dtype=bool), most=1)
    for fold in np.unique(FOLDS):
        out = fold == FOLDS
        scale = fit_temperature(decisions[0][~out], CLASS[~out]).scale
        np.testing.assert_allclose(found[out], scale * decisions[0][out], rtol=1e-5)

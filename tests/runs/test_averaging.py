"""The mean of calibrated scores, against softmaxes that are averaged by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.backbones import Backbone
from headstart.data import Index, training_records
from headstart.features import extract
from headstart.heads import LinearSVM, fit_temperature, one_row_a_class
from headstart.probe.judging import Scores
from headstart.runs.averaging import MOST_AVERAGED, average_ties
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task, measure
from headstart.runs.refit import refit
from headstart.sources.blocks import Averaged, Blocks, averaged
from headstart.sources.image import ImageSource

N, K = 300, 3
RNG = np.random.default_rng(0)
Y = np.array(list("abc"))[np.arange(N) % K]


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


def test_average_ties__takes_what_is_as_good_as_the_prior_and_no_other() -> None:
    candidates = [
        made("bad", 0.3),
        made("near", 1.5),
        made("prior", 1.5),
        made("out", 1.5, screened=True),
    ]
    mean = average_ties(candidates, 2, Y, plain)
    assert mean is not None
    assert [c.blocks.taps[0] for c in mean.members] == ["prior", "near"]
    assert mean.accuracy > max(c.accuracy for c in candidates[1:3])
    z = [
        fit_temperature(c.scores.decisions, np.arange(N) % K).scale * c.scores.decisions
        for c in mean.members
    ]
    np.testing.assert_allclose(mean.scores.decisions, (z[0] + z[1]) / 2, rtol=1e-5)
    assert mean.scores.n_features == 4


def test_average_ties__is_none_where_nothing_ties_or_can_be_judged() -> None:
    assert average_ties([made("bad", 0.1), made("prior", 2.0)], 1, Y, plain) is None
    unjudged = [made("a", 1.0, judged=False), made("b", 1.0, judged=False)]
    assert average_ties(unjudged, 1, Y, plain) is None


def test_average_ties__takes_no_more_than_its_limit() -> None:
    candidates = [made(f"c{i}", 1.0) for i in range(3 * MOST_AVERAGED)]
    mean = average_ties(candidates, 4, Y, plain)
    assert mean is not None
    assert len(mean.members) <= MOST_AVERAGED
    assert mean.members[0] is candidates[4]


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
    assert average_ties(candidates, len(candidates) - 1, task.y, source.average) is not None
    blocks = source.average([c.blocks for c in members])
    assert len(blocks.keys) == len({key for c in members for key in c.blocks.keys})
    made_up = Candidate(
        blocks=blocks, macs=1, judged=joined.judged, scores=joined.scores, members=members
    )
    found = refit(made_up, source=source, train=task.records, test=indexed.test)

    def by_hand(c: Candidate) -> NDArray[np.float64]:
        X, Z = (np.asarray(source.rows(c.blocks, some)) for some in (train, indexed.test))
        coef, intercept = one_row_a_class(LinearSVM(C=c.scores.C).fit(X, task.y))
        unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
        member = np.unique(task.y, return_inverse=True)[1]
        scale = fit_temperature(c.scores.decisions[c.judged], member[c.judged]).scale
        return np.asarray(scale * (unit @ coef.T + intercept))

    expected = sum(by_hand(c) for c in members) / len(members)
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

"""bench/regret.py on made-up scores: what is kept comes back, and every rule chooses among it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench import regret

from headstart.backbones import Backbone
from headstart.probe import Scores
from headstart.runs.choose import Candidate
from headstart.sources.blocks import Blocks, plan_blocks

N, N_TEST, K = 90, 120, 3
SIZES = (32, 48)


@pytest.fixture
def trial(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> regret.Trial:
    """Candidates that are about equally good and err on other images each."""
    monkeypatch.setattr(regret, "backbone", lambda: tiny)
    rng = np.random.default_rng(0)
    planned = plan_blocks([tap.name for tap in tiny.taps], SIZES)
    member, truth = np.arange(N) % K, np.arange(N_TEST) % K

    def scores(labels: np.ndarray) -> np.ndarray:
        noise = rng.normal(size=(len(labels), K))
        return np.asarray(1.5 * np.eye(K)[labels] + noise, dtype=np.float32)

    def made(blocks: Blocks) -> Candidate:
        decisions = scores(member)
        return Candidate(
            blocks=blocks,
            macs=1 + 10 * len(blocks.pairs),
            scores=Scores(
                n_features=8,
                C=1.0,
                accuracy_by_C=(),
                decisions=decisions,
                correct=decisions.argmax(axis=1) == member,
            ),
            judged=np.ones(N, dtype=bool),
        )

    return regret.Trial(
        y=np.array(list("abc"))[member],
        truth=truth,
        folds=np.arange(N) % 5,
        usual=0,
        prior=len(planned) - 1,
        candidates=[made(blocks) for blocks in planned],
        tested=np.stack([scores(truth) for _ in planned]),
    )


def test_picks__averages_what_ties_and_is_better_for_it(trial: regret.Trial) -> None:
    picked = regret.picks(trial, regret.mean_of(trial))
    assert set(picked) == set(regret.HEADERS)
    assert picked["accurate"].n > 1
    assert {p.n for name, p in picked.items() if name != "accurate"} == {1}
    assert picked["accurate"].right.mean() > trial.right.mean(axis=1).max()
    assert (picked["single"].right == trial.right[trial.prior]).all()


def test_facts__of_a_trial_that_was_kept(
    trial: regret.Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    each = regret.SETS[0]
    regret.keep(regret.kept_at(each, 3), trial)
    found = regret.facts(each, 3)
    assert (found["n_train"], found["n_test"], found["n_classes"]) == (N, N_TEST, K)
    assert found["accuracy"] == {
        n: float(p.right.mean()) for n, p in regret.picks(trial, regret.mean_of(trial)).items()
    }
    # The mean is none of the candidates, so it may be better than the best of them.
    assert found["regret"]["accurate"] < 0 < found["regret"]["usual"]
    page = "\n".join(regret.page({each.name: [found, found], "none": []}))
    assert f"| {each.name} | {N} x {K} / {N_TEST} | 2 |" in page
    assert "none" not in [line.split(" | ")[0] for line in page.splitlines()]

"""What the scores say of single images."""

from __future__ import annotations

import numpy as np

from headstart.data.records import Example
from headstart.reliability.labels import check_labels, left_out_scores
from headstart.runs.findings import N_SHOWN, suspicious_labels


def test_suspicious_labels__counts_by_the_rule_of_clean_and_shows_some() -> None:
    rng = np.random.default_rng(0)
    true = np.arange(300) % 3
    X = rng.normal(size=(300, 12)) + 3 * np.eye(12)[true]
    given = true.copy()
    given[:60:2] = (given[:60:2] + 1) % 3
    found = check_labels(left_out_scores(X, given), given)
    records = [
        Example(name=str(i), label="abc"[k], digest="", split="train") for i, k in enumerate(given)
    ]
    shown, n = suspicious_labels(records, found.P, tuple("abc"))
    assert n == found.is_counted.sum() == round(found.noise.value * 300) > N_SHOWN
    assert len(shown) == N_SHOWN
    flipped = [s for s in shown if int(s.name) in range(0, 60, 2)]
    assert len(flipped) >= N_SHOWN - 1
    assert all(s.suggested == "abc"[true[int(s.name)]] != s.label for s in flipped)
    surest = [s.probability for s in shown]
    assert surest[0] > surest[-1]


def test_suspicious_labels__of_none_that_was_judged_are_none() -> None:
    assert suspicious_labels([], np.empty((0, 2)), ("a", "b")) == ([], 0)

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import Backbone, load
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.experiments.shift.adaptation import ADAPTED, BOUND, CONTROL, LINES, PLAIN
from headstart.experiments.shift.alignment import DannSettings
from headstart.experiments.shift.corruption import corrupted_copy
from headstart.experiments.shift.measure import Shift, measure_shift

N = 200
QUICK = DannSettings(n_steps=30, n_hidden=16)


def right(share: float) -> np.ndarray:
    return np.tile(np.arange(N) < round(share * N), (2, 1))


def made(source: float = 0.9, **shares: float) -> Shift:
    """Every method 0.6 on the target, but for those given."""
    named = {"plain": PLAIN, "control": CONTROL, "bound": BOUND}
    given = {named.get(k, k): v for k, v in shares.items()}
    return Shift(
        source_correct=right(source)[0],
        correct={name: right(given.get(name, 0.6)) for name in LINES},
        absent={},
        seeds=(0, 1),
        n_train=(50, 50),
    )


def test_shift__cost_adds_the_distances_as_squares() -> None:
    s = made()
    assert s.cost.value == pytest.approx(0.3)
    a, b = s.source, s.accuracy(PLAIN)
    expected = 0.3 - np.hypot(a.value - a.low, b.high - b.value)
    assert s.cost.low == pytest.approx(expected)


def test_shift__a_gain_is_named_with_its_share_of_what_there_is() -> None:
    s = made(CORAL=0.75, bound=0.9, DANN=0.5, control=0.55)
    text = " ".join(s.findings)
    assert "The shift costs 30.0 [" in text
    assert "CORAL gains +15.0 [" in text
    assert "AdaBN changes accuracy by 0.0 [" in text
    assert "DANN harms: −10.0 [" in text
    assert "its adversary alone brings −5.0 [" in text
    assert "wins back 50 % of that" in text
    assert "; CORAL wins back 15.0 [" in s.sentence


def test_shift__no_gain_and_no_shift_are_said() -> None:
    s = made(source=0.6)
    assert s.sentence == (
        "The shift costs nothing significant; no adaptation without labels gains significantly."
    )
    assert s.findings[-1].endswith("there is little or nothing to adapt to.")
    assert made(source=0.6, DANN=0.3).sentence.endswith("; DANN harms.")


def test_shift__what_labels_cannot_win_back_is_said() -> None:
    assert "not even they win back" in made().findings[-1]


def test_shift__adabn_is_shown_where_nothing_has_shifted() -> None:
    s = dataclasses.replace(made(), source_adabn=right(0.8)[0])
    assert "re-estimated statistics bring −10.0 [" in s.findings[1]


def test_shift__a_method_that_cannot_be_had_is_said() -> None:
    s = made()
    correct = {k: v for k, v in s.correct.items() if k != "AdaBN"}
    s = dataclasses.replace(s, correct=correct, absent={"AdaBN": "Net has no BatchNorm"})
    assert "AdaBN is not available: Net has no BatchNorm." in s.findings
    row = next(r for r in s.to_dict()["methods"] if r["name"] == "AdaBN")
    assert row["accuracy"] is None


@pytest.fixture(scope="module")
def inverted(indexed: Index, cache: Path) -> Index:
    return corrupted_copy(indexed, "invert", cache=cache)


def test_measure_shift__every_method_on_the_targets_test_images(
    indexed: Index, inverted: Index, tiny: Backbone, cache: Path
) -> None:
    s = measure_shift(indexed, inverted, tiny, size_px=32, seeds=(0, 1), dann=QUICK, cache=cache)
    assert list(s.correct) == list(LINES)
    assert {v.shape for v in s.correct.values()} == {(2, len(inverted.test))}
    assert s.source_correct.shape == (len(indexed.test),)
    assert s.source_adabn is not None
    assert s.source_adabn.shape == (len(indexed.test),)
    for name in (PLAIN, "AdaBN", "CORAL", BOUND):
        np.testing.assert_array_equal(s.correct[name][0], s.correct[name][1])
    plain = json.loads(json.dumps(s.to_dict(), allow_nan=False))
    assert [row["name"] for row in plain["methods"]] == list(LINES)


def test_measure_shift__target_labels_matter_to_the_bound_alone(
    indexed: Index, inverted: Index, tiny: Backbone, cache: Path
) -> None:
    other = {"red": "blue", "blue": "red"}
    flipped = dataclasses.replace(
        inverted,
        records=tuple(
            dataclasses.replace(r, label=other[r.label]) if r.split == "train" else r
            for r in inverted.records
        ),
    )
    first, again = (
        measure_shift(indexed, there, tiny, size_px=32, seeds=(0,), dann=QUICK, cache=cache)
        for there in (inverted, flipped)
    )
    for name in (PLAIN, *ADAPTED, CONTROL):
        np.testing.assert_array_equal(first.correct[name], again.correct[name])
    assert not np.array_equal(first.correct[BOUND], again.correct[BOUND])


def test_measure_shift__a_trained_image_is_not_tested_on(
    indexed: Index, inverted: Index, tiny: Backbone, cache: Path
) -> None:
    seen = dataclasses.replace(indexed.train[0], split="test")
    leaking = dataclasses.replace(inverted, records=(*inverted.records, seen))
    s = measure_shift(indexed, leaking, tiny, size_px=32, seeds=(0,), dann=QUICK, cache=cache)
    assert s.correct[PLAIN].shape[1] == len(inverted.test)
    assert "1 test images of the target are training images of the source" in s.notes[0]


def test_measure_shift__without_batchnorm_adabn_is_left_out(
    indexed: Index, inverted: Index, cache: Path
) -> None:
    net = load("timm:test_vit", pretrained=False)
    s = measure_shift(indexed, inverted, net, seeds=(0,), dann=QUICK, cache=cache)
    assert "AdaBN" not in s.correct
    assert "no BatchNorm" in s.absent["AdaBN"]


def test_measure_shift__a_missing_class_is_named(indexed: Index, tiny: Backbone) -> None:
    red = dataclasses.replace(
        indexed, records=tuple(r for r in indexed.records if r.label == "red")
    )
    with pytest.raises(DataError, match="the target has no images of 'blue', which the source has"):
        measure_shift(indexed, red, tiny)
    with pytest.raises(DataError, match="the source has no images of 'blue', which the target has"):
        measure_shift(red, indexed, tiny)
    with pytest.raises(InputError, match="`seeds` must be one or more different seeds"):
        measure_shift(indexed, indexed, tiny, seeds=())

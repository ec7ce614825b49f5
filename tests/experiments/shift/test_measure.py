from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from headstart import results, transfer
from headstart.backbones import Backbone, load
from headstart.data import Index
from headstart.errors import DataError, InputError
from headstart.experiments.shift import adaptation, page
from headstart.experiments.shift.alignment import DannSettings
from headstart.experiments.shift.corruption import corrupted_copy
from headstart.experiments.shift.measure import Measured
from headstart.experiments.shift.result import ADAPTED, BOUND, CONTROL, LINES, PLAIN, ShiftResult
from headstart.experiments.shift.settings import Settings

N = 200


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small adversarial network that is trained for a moment."""
    monkeypatch.setattr(adaptation, "DannSettings", lambda: DannSettings(n_steps=30, n_hidden=16))


def right(share: float) -> np.ndarray:
    return np.tile(np.arange(N) < round(share * N), (2, 1))


def result(measured: Measured) -> ShiftResult:
    found = ShiftResult(
        settings=Settings(data="a", target="b"), datasets=(), source_name="a", target_name="b",
        backbone="n", tap="t", size_px=32, seeds=(0, 1), n_train=(50, 50), **measured.figures(),
    )  # fmt: skip
    return msgspec.structs.replace(found, sentence=page.sentence(found))


def measured(source: float = 0.9, **shares: float) -> Measured:
    """Every method 0.6 on the target, but for those given."""
    named = {"plain": PLAIN, "control": CONTROL, "bound": BOUND}
    given = {named.get(k, k): v for k, v in shares.items()}
    return Measured(
        source_correct=right(source)[0],
        correct={name: right(given.get(name, 0.6)) for name in LINES},
        absent={},
    )


def made(source: float = 0.9, **shares: float) -> ShiftResult:
    return result(measured(source, **shares))


def test_shift__cost_adds_the_distances_as_squares() -> None:
    s = made()
    assert s.cost.value == pytest.approx(0.3)
    a, b = s.source, s.method(PLAIN).accuracy
    assert b is not None
    expected = 0.3 - np.hypot(a.value - a.low, b.high - b.value)
    assert s.cost.low == pytest.approx(expected)


def test_shift__a_gain_is_named_with_its_share_of_what_there_is() -> None:
    s = made(CORAL=0.75, bound=0.9, DANN=0.5, control=0.55)
    text = " ".join(page.findings(s))
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
    assert page.findings(s)[-1].endswith("there is little or nothing to adapt to.")
    assert made(source=0.6, DANN=0.3).sentence.endswith("; DANN harms.")


def test_shift__what_labels_cannot_win_back_is_said() -> None:
    assert "not even they win back" in page.findings(made())[-1]


def test_shift__adabn_is_shown_where_nothing_has_shifted() -> None:
    s = result(dataclasses.replace(measured(), source_adabn=right(0.8)[0]))
    assert "re-estimated statistics bring −10.0 [" in page.findings(s)[1]


def test_shift__a_method_that_cannot_be_had_is_said() -> None:
    m = measured()
    correct = {k: v for k, v in m.correct.items() if k != "AdaBN"}
    s = result(dataclasses.replace(m, correct=correct, absent={"AdaBN": "Net has no BatchNorm"}))
    assert "AdaBN is not available: Net has no BatchNorm." in page.findings(s)
    assert s.method("AdaBN").accuracy is None


@pytest.fixture(scope="module")
def inverted(indexed: Index, cache: Path) -> Index:
    return corrupted_copy(indexed, "invert", cache=cache)


def shift(source: Index, target: Index, net: Backbone, **options: Any) -> ShiftResult:
    found: ShiftResult = transfer.shift(source, target, backbone=net, **options)
    return found


def test_shift__every_method_on_the_targets_test_images(
    indexed: Index, inverted: Index, tiny: Backbone, cache: Path, tmp_path: Path
) -> None:
    s = shift(indexed, inverted, tiny, size_px=32, seeds=2, cache=cache)
    assert [m.name for m in s.methods] == list(LINES)
    assert s.n_test == (len(indexed.test), len(inverted.test))
    assert s.adabn_at_home is not None
    for name in (PLAIN, "AdaBN", "CORAL", BOUND):
        first, second = s.method(name).by_seed
        assert first == second
    results.write(tmp_path / "shift.json", s)
    assert results.read(tmp_path / "shift.json", ShiftResult) == s


def test_shift__target_labels_matter_to_the_bound_alone(
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
        shift(indexed, there, tiny, size_px=32, seeds=1, cache=cache)
        for there in (inverted, flipped)
    )
    for name in (PLAIN, *ADAPTED, CONTROL):
        assert first.method(name) == again.method(name)
    assert first.method(BOUND) != again.method(BOUND)


def test_shift__a_trained_image_is_not_tested_on(
    indexed: Index, inverted: Index, tiny: Backbone, cache: Path
) -> None:
    seen = dataclasses.replace(indexed.train[0], split="test")
    leaking = dataclasses.replace(inverted, records=(*inverted.records, seen))
    s = shift(indexed, leaking, tiny, size_px=32, seeds=1, cache=cache)
    assert s.n_test[1] == len(inverted.test)
    said = "1 test images of the target are training images of the source"
    assert any(said in note for note in s.notes)


def test_shift__without_batchnorm_adabn_is_left_out(
    indexed: Index, inverted: Index, cache: Path
) -> None:
    net = load("timm:test_vit", pretrained=False)
    s = shift(indexed, inverted, net, seeds=1, cache=cache)
    assert s.method("AdaBN").accuracy is None
    assert "no BatchNorm" in s.method("AdaBN").absent


def test_shift__a_missing_class_is_named(indexed: Index, tiny: Backbone) -> None:
    red = dataclasses.replace(
        indexed, records=tuple(r for r in indexed.records if r.label == "red")
    )
    with pytest.raises(DataError, match="the target has no images of 'blue', which the source has"):
        shift(indexed, red, tiny)
    with pytest.raises(DataError, match="the source has no images of 'blue', which the target has"):
        shift(red, indexed, tiny)
    with pytest.raises(InputError, match="`seeds` must be a whole number of at least 1"):
        shift(indexed, indexed, tiny, seeds=0)

from __future__ import annotations

import json

import pytest

from headstart.backbones import Backbone
from headstart.comparison.arms import (
    SVM,
    SVM_JOINED,
    augment_arms,
    bn_arms,
    middle_tap,
    regime_arms,
)
from headstart.errors import BackboneError, InputError
from headstart.training import POLICIES, REGIMES, TrainSettings

BASE = TrainSettings(epochs=2, normalise=True)


def test_regime_arms__are_the_svms_and_every_regime(tiny: Backbone) -> None:
    arms = regime_arms(tiny, BASE)
    assert arms[:2] == (SVM, SVM_JOINED)
    assert [arm.name for arm in arms[2:]] == list(REGIMES)
    assert {arm.settings.epochs for arm in arms[2:] if arm.settings} == {2}


def test_regime_arms__only_lower_and_upper_have_a_tap(tiny: Backbone) -> None:
    taps = {a.name: a.settings.tap for a in regime_arms(tiny, BASE)[2:] if a.settings}
    middle = middle_tap(tiny)
    assert taps == {
        "scratch": None, "all": None, "lower": middle, "upper": middle, "output": None,
    }  # fmt: skip


def test_regime_arms__scratch_keeps_nothing_of_the_pretrained_network(tiny: Backbone) -> None:
    [arm] = regime_arms(tiny, BASE, names=["scratch"])[2:]
    assert arm.settings is not None
    assert not arm.starts_from_svm
    assert not arm.settings.normalise
    assert arm.settings.layer_decay == 1.0
    assert arm.settings.bn_policy == "batch"


def test_regime_arms__bad_names_are_one_line(tiny: Backbone) -> None:
    with pytest.raises(InputError, match=r"got 'uper'. Did you mean 'upper'"):
        regime_arms(tiny, BASE, names=["uper"])
    with pytest.raises(BackboneError, match="no tap 'nowhere'"):
        regime_arms(tiny, BASE, tap="nowhere")


def test_bn_arms__are_every_policy_and_differ_in_it_alone() -> None:
    arms = bn_arms(BASE)[1:]
    assert [arm.settings.bn for arm in arms if arm.settings] == list(POLICIES)
    assert {arm.settings.regime for arm in arms if arm.settings} == {"all"}


def test_augment_arms__count_the_search() -> None:
    basic, learnt = augment_arms(BASE, {"basic": ("basic", 0.0), "learnt": ("mixup", 90.0)})
    assert basic.extra_s == 0
    assert learnt.extra_s == 90
    assert learnt.settings is not None
    assert learnt.settings.augment == "mixup"
    assert "found in 90 s" in learnt.line


def test_arm__to_dict_is_json(tiny: Backbone) -> None:
    for arm in regime_arms(tiny, BASE):
        assert json.loads(json.dumps(arm.to_dict()))["name"] == arm.name

"""Settings are checked when they are made, and survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headstart.errors import InputError
from headstart.training import REGIMES, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"regime": "al"}, r"regime cannot be 'al'\. Did you mean 'all'\?"),
        ({"optimizer": "adamm"}, "Did you mean 'adam'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number of at least 1, got 2.5"),
        ({"epochs": True}, "epochs must be"),
        ({"lr": 0.0}, "lr must be a finite rate above 0"),
        ({"lr": float("nan")}, "lr must be"),
        ({"layer_decay": 1.5}, r"layer_decay must lie in \(0, 1\], got 1.5"),
        ({"weight_decay": float("nan")}, "weight_decay must be"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0 or None"),
        ({"label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\)"),
        ({"ema_decay": 0.0}, r"ema_decay must lie in \(0, 1\)"),
        ({"wise_ft": 2.0}, r"wise_ft must lie in \[0, 1\]"),
        ({"bn": "sourse"}, "'sourse'.*source"),
        ({"regime": "upper"}, "'upper' needs a tap"),
        ({"regime": "all", "tap": "layer3"}, "'all' takes no tap"),
        ({"normalise": "yes"}, "normalise must be True or False"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_settings__refuse_what_is_out_of_range(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        TrainSettings(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(),
        TrainSettings(regime="upper", tap="layer3", patience=2, ema_decay=0.99, wise_ft=0.5),
        TrainSettings(augment={"name": "mixup", "alpha": 0.4}),
    ],
)
def test_settings__survive_json(settings: TrainSettings) -> None:
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_from_dict__names_what_is_no_setting() -> None:
    with pytest.raises(InputError, match=r"'epoch'.*'epochs'"):
        TrainSettings.from_dict({"epoch": 3})


def test_bn_policy__of_scratch_is_the_batch() -> None:
    found = {regime: TrainSettings(regime=regime, tap=_tap(regime)).bn_policy for regime in REGIMES}
    assert found.pop("scratch") == "batch"
    assert set(found.values()) == {"source"}
    assert TrainSettings(regime="scratch", bn="source").bn_policy == "source"


def _tap(regime: str) -> str | None:
    return "x" if regime in ("lower", "upper") else None

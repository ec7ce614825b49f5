from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.comparison.comparing import Outcome
from headstart.data import Index, index
from headstart.errors import DataError, InputError
from headstart.experiments.compact import compact_backbone
from headstart.experiments.layers.generality_words import detail
from headstart.experiments.layers.halves import split_classes
from headstart.experiments.layers.measure import PUBLISHED, Generality, measure_generality
from headstart.experiments.layers.nets import KINDS
from headstart.finetune import Epoch, TrainSettings

N = 400
SETTINGS = TrainSettings(
    epochs=1, lr=3e-3, layer_decay=1.0, bn="batch", augment="none", activations_mib=0
)


def outcome(share: float, *, train: float = 1.0) -> Outcome:
    last = Epoch(
        epoch=1, train_loss=0.0, train_accuracy=train, val_loss=float("nan"),
        val_accuracy=float("nan"), lr=0.1, seconds=1.0,
    )  # fmt: skip
    return Outcome(
        val_correct=np.zeros(0, dtype=bool),
        test_correct=np.arange(N) < round(share * N),
        seconds=1.0,
        n_trained_parameters=1,
        history=(last,),
    )


def made(**shares: tuple[float, float]) -> Generality:
    """Two layers, two equal seeds; accuracies of what is not given are those of the base, 0.9."""
    nets: dict[tuple[str, str], tuple[Outcome, ...]] = {
        (kind, layer): (outcome(shares.get(kind, (0.9, 0.9))[i]),) * 2
        for kind in KINDS
        for i, layer in enumerate(("low", "high"))
    }
    return Generality(
        layers=("low", "high"), seeds=(0, 1), base_a=(outcome(0.8),) * 2,
        base_b=(outcome(0.9),) * 2, nets=nets, n_train=(100, 100), n_test=N,
    )  # fmt: skip


def test_generality__the_drop_is_the_sum_of_its_parts() -> None:
    g = made(BnB=(0.9, 0.8), AnB=(0.85, 0.5))
    assert g.co_adaptation("high").value == pytest.approx(0.1)
    assert g.specificity("high").value == pytest.approx(0.3)
    total = -g.over_base("AnB", "high").value
    assert total == pytest.approx(g.co_adaptation("high").value + g.specificity("high").value)
    assert g.level == pytest.approx(0.975)


def test_generality__findings_name_the_layers_where_effects_show() -> None:
    g = made(BnB=(0.9, 0.8), AnB=(0.9, 0.5), random=(0.7, 0.3))
    text = " ".join(g.findings)
    assert "Co-adaptation appears up to high" in text
    assert "Specificity shows from high on" in text
    assert "Up to low none shows." in text
    assert "Filters learnt on A beat random ones from low on" in text
    assert "(significant)" in g.sentence
    assert (
        detail(g)
        == "Specificity is significant from high on; co-adaptation is significant from high on."
    )


def test_generality__findings_say_that_effects_did_not_appear() -> None:
    g = made()
    text = " ".join(g.findings)
    assert "Co-adaptation did not appear" in text
    assert "Specificity did not appear" in text
    assert "A better start did not show" in text
    assert "not significantly better here than random ones" in text
    assert "(not significant)" in g.sentence
    assert detail(g) == "Neither co-adaptation nor specificity is significant at any layer."


def test_generality__a_gain_and_a_nearly_solved_target_are_said() -> None:
    g = made(**{"AnB+": (0.9, 0.99)})
    said = next(s for s in g.findings if "(AnB+) beat base B from high, most by +9.0" in s)
    assert said.endswith(": A itself helps.")
    both = made(**{"AnB+": (0.9, 0.99), "BnB+": (0.9, 0.99)})
    assert any("a gain of longer training, then" in s for s in both.findings)
    assert any("BnB even beats base B" in s for s in made(BnB=(0.9, 0.99)).findings)
    solved = dataclasses.replace(g, base_b=(outcome(0.99),) * 2)
    assert "little room for a drop" in solved.findings[0]


def test_generality__layers_that_cannot_fit_are_said() -> None:
    g = made()
    nets = g.nets | {("AnB", "high"): (outcome(0.5, train=0.6),) * 2}
    text = " ".join(dataclasses.replace(g, nets=nets).findings)
    assert "Cut after high, AnB does not fit B's training images either (60 % of them" in text


def test_generality__specificity_that_goes_away_again_is_named_by_layer() -> None:
    assert (
        detail(made(AnB=(0.5, 0.9)))
        == "Specificity is significant at low; co-adaptation is not significant."
    )


def test_generality__layers_worse_than_random_ones_are_said() -> None:
    last = made(AnB=(0.9, 0.4), random=(0.9, 0.8)).findings[-1]
    assert last.startswith("Up to high random filters serve B better than A's (−40.0 [")


def test_published__are_seven_values_a_kind() -> None:
    assert {len(values) for values in PUBLISHED.values()} == {7}
    assert PUBLISHED["AnB"][-1] == 54.2


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Four classes of flat colours with noise."""
    from PIL import Image

    root = tmp_path_factory.mktemp("four") / "colours"
    rng = np.random.default_rng(0)
    for i, name in enumerate("abcd"):
        (root / name).mkdir(parents=True)
        for k in range(16):
            level = np.array([60, 200, 60, 200])[[i, (i + 1) % 4, (i + 2) % 4]]
            pixels = (level + rng.normal(0, 30, (20, 20, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{k}.png")
    return index(root, test_size=0.5)


def test_measure_generality__trains_every_net_and_is_json(four: Index, tmp_path: Path) -> None:
    a, b = split_classes(four, first=["a", "b"])
    told: list[tuple[str, str, int]] = []
    g = measure_generality(
        a, b, lambda seed: compact_backbone(16, seed=seed), SETTINGS, seeds=(0, 1), most_layers=2,
        cache=tmp_path, on_net=lambda kind, layer, seed, _: told.append((kind, layer, seed)),
    )  # fmt: skip
    assert g.layers == ("conv2", "conv5")
    assert len(told) == 2 * (2 + 2 * len(KINDS))
    assert set(g.nets) == {(kind, layer) for kind in KINDS for layer in g.layers}
    plain = json.loads(json.dumps(g.to_dict(), allow_nan=False))
    assert [row["layer"] for row in plain["layers"]] == ["conv2", "conv5"]
    assert plain["n_test"] == len(b.test)


def test_measure_generality__bad_input_is_one_line(four: Index, tmp_path: Path) -> None:
    a, b = split_classes(four, first=["a", "b"])
    run: dict[str, Any] = {"make": compact_backbone, "settings": SETTINGS, "cache": tmp_path}
    with pytest.raises(DataError, match="A and B overlap"):
        measure_generality(a, a, **run)
    with pytest.raises(InputError, match="one or more different seeds"):
        measure_generality(a, b, **run, seeds=(1, 1))
    untested = dataclasses.replace(b, records=b.train)
    with pytest.raises(DataError, match=r"B \(colours\) has no test images"):
        measure_generality(a, untested, **run)

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart import results, transfer
from headstart.comparison.comparing import Outcome
from headstart.data import Index, index
from headstart.errors import DataError, InputError
from headstart.experiments.layers import page
from headstart.experiments.layers.halves import split_classes
from headstart.experiments.layers.measure import Trained, maker
from headstart.experiments.layers.result import KINDS, PUBLISHED, LayersResult
from headstart.experiments.layers.settings import Settings
from headstart.training import Epoch

N = 400


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


def trained(**shares: tuple[float, float]) -> Trained:
    """Two layers, two equal seeds; accuracies of what is not given are those of the base, 0.9."""
    nets: dict[tuple[str, str], tuple[Outcome, ...]] = {
        (kind, layer): (outcome(shares.get(kind, (0.9, 0.9))[i]),) * 2
        for kind in KINDS
        for i, layer in enumerate(("low", "high"))
    }
    return Trained(
        layers=("low", "high"), base_a=(outcome(0.8),) * 2, base_b=(outcome(0.9),) * 2, nets=nets
    )


def result(found: Trained) -> LayersResult:
    return LayersResult(
        settings=Settings(), datasets=(), a="a", b="b", backbone="n", size_px=32, training={},
        seeds=(0, 1), n_train=(100, 100), **found.figures(),
    )  # fmt: skip


def made(**shares: tuple[float, float]) -> LayersResult:
    return result(trained(**shares))


def test_maker__crop_is_that_of_every_net() -> None:
    for name in ("compact", "timm:test_efficientnet"):
        assert maker(name, 32, "letterbox")(0).preprocessing.crop_mode == "letterbox"


def test_generality__the_drop_is_the_sum_of_its_parts() -> None:
    g = made(self_transfer=(0.9, 0.8), transfer=(0.85, 0.5))
    high = g.layers[-1]
    assert high.co_adaptation.value == pytest.approx(0.1)
    assert high.specificity.value == pytest.approx(0.3)
    total = -high.over_base["transfer"].value
    assert total == pytest.approx(high.co_adaptation.value + high.specificity.value)
    assert g.difference_level == pytest.approx(0.975)


def test_generality__findings_name_the_layers_where_effects_show() -> None:
    g = made(self_transfer=(0.9, 0.8), transfer=(0.9, 0.5), random=(0.7, 0.3))
    text = " ".join(page.findings(g))
    assert "Co-adaptation appears up to high" in text
    assert "Specificity shows from high on" in text
    assert "Up to low none shows." in text
    assert "Filters learnt on A beat random ones from low on" in text
    assert "(significant)" in page.sentence(g)
    assert (
        page.detail(g)
        == "Specificity is significant from high on; co-adaptation is significant from high on."
    )


def test_generality__findings_say_that_effects_did_not_appear() -> None:
    g = made()
    text = " ".join(page.findings(g))
    assert "Co-adaptation did not appear" in text
    assert "Specificity did not appear" in text
    assert "A better start did not show" in text
    assert "not significantly better here than random ones" in text
    assert "(not significant)" in page.sentence(g)
    assert page.detail(g) == "Neither co-adaptation nor specificity is significant at any layer."


def test_generality__a_gain_and_a_nearly_solved_target_are_said() -> None:
    g = made(transfer_tuned=(0.9, 0.99))
    said = next(s for s in page.findings(g) if "(AnB+) beat base B from high, most by +9.0" in s)
    assert said.endswith(": A itself helps.")
    both = made(transfer_tuned=(0.9, 0.99), self_transfer_tuned=(0.9, 0.99))
    assert any("a gain of longer training, then" in s for s in page.findings(both))
    assert any("BnB even beats base B" in s for s in page.findings(made(self_transfer=(0.9, 0.99))))
    solved = result(dataclasses.replace(trained(), base_b=(outcome(0.99),) * 2))
    assert "little room for a drop" in page.findings(solved)[0]


def test_generality__layers_that_cannot_fit_are_said() -> None:
    found = trained()
    nets = {**found.nets, ("transfer", "high"): (outcome(0.5, train=0.6),) * 2}
    text = " ".join(page.findings(result(dataclasses.replace(found, nets=nets))))
    assert "Cut after high, AnB does not fit B's training images either (60 % of them" in text


def test_generality__specificity_that_goes_away_again_is_named_by_layer() -> None:
    assert (
        page.detail(made(transfer=(0.5, 0.9)))
        == "Specificity is significant at low; co-adaptation is not significant."
    )


def test_generality__layers_worse_than_random_ones_are_said() -> None:
    last = page.findings(made(transfer=(0.9, 0.4), random=(0.9, 0.8)))[-1]
    assert last.startswith("Up to high random filters serve B better than A's (−40.0 [")


def test_published__are_seven_values_a_kind() -> None:
    assert {len(values) for values in PUBLISHED.values()} == {7}
    assert PUBLISHED["transfer"][-1] == 54.2


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


def test_layers__trains_every_net_and_is_read_back(four: Index, tmp_path: Path) -> None:
    a, b = split_classes(four, first=["a", "b"])
    found = transfer.layers(
        base=a, target=b, size_px=16, seeds=2, cuts=2, epochs=1, augment="none", cache=tmp_path
    )
    assert [row.layer for row in found.layers] == ["conv2", "conv5"]
    assert all(set(row.accuracy) == set(KINDS) for row in found.layers)
    assert found.n_test == len(b.test)
    results.write(tmp_path / "layers.json", found)
    again = results.read(tmp_path / "layers.json", LayersResult)
    assert again.sections() == found.sections()


def test_layers__bad_input_is_one_line(four: Index, tmp_path: Path) -> None:
    a, b = split_classes(four, first=["a", "b"])
    with pytest.raises(DataError, match="A and B overlap"):
        transfer.layers(base=a, target=a, cache=tmp_path)
    with pytest.raises(InputError, match="`seeds` must be a whole number of at least 1"):
        transfer.layers(base=a, target=b, seeds=0)
    untested = dataclasses.replace(b, records=b.train)
    with pytest.raises(DataError, match=r"B \(colours\) has no test images"):
        transfer.layers(base=a, target=untested, cache=tmp_path)
    with pytest.raises(InputError, match="`base` and `target` go together"):
        transfer.layers(base=a)

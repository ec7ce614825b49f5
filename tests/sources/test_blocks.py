from __future__ import annotations

import numpy as np

from headstart.heads.examples import join_rows
from headstart.sources.blocks import Blocks, plan_blocks

TAPS = ["stem", "a", "b", "c", "d", "logits"]


def test_plan_blocks__is_a_full_table_with_a_joined_row_and_column() -> None:
    planned = plan_blocks(TAPS, [320, 160, 224])
    assert len(planned) == 7 * 4
    assert planned[0] == Blocks(taps=("stem",), resolutions=(160,))
    assert planned[-1] == Blocks(taps=("a", "b", "c", "d"), resolutions=(224, 320))
    assert {b.resolution_label for b in planned} == {"160", "224", "320", "224+320"}


def test_plan_blocks__one_resolution_and_few_taps() -> None:
    assert {b.resolutions for b in plan_blocks(TAPS, [224])} == {(224,)}
    assert [b.taps for b in plan_blocks(["a", "logits"], [224])] == [("a",), ("logits",)]


def test_plan_blocks__a_last_pooled_layer_is_joined_too() -> None:
    assert plan_blocks(["x", "y", "pooled"], [224])[-1].taps == ("x", "y", "pooled")


def test_plan_blocks__joins_class_token_and_patches_of_a_layer() -> None:
    taps = [f"blocks.{i}.{token}" for i in range(6) for token in ("mean", "cls")] + ["logits"]
    planned = plan_blocks(taps, [224])
    rows = [b.tap_label for b in planned]
    assert rows[:3] == ["blocks.0.cls+mean", "blocks.1.cls+mean", "blocks.2.mean"]
    assert rows[3:5] == ["blocks.2.cls", "blocks.2.cls+mean"]
    assert rows[-2:] == ["logits", "last 4 joined"]
    assert len(planned[-1].taps) == 8
    assert str(planned[0]) == "Layer blocks.0.cls+mean at 224 px"
    assert str(planned[-1]) == "Layers blocks.2 to blocks.5 joined at 224 px"


def test_blocks__read_like_a_sentence() -> None:
    assert str(Blocks(taps=("a",), resolutions=(224,))) == "Layer a at 224 px"
    joined = Blocks(taps=("a", "b", "c"), resolutions=(224, 320))
    assert str(joined) == "Layers a to c joined at 224 + 320 px"
    assert joined.tap_label == "last 3 joined"
    assert joined.pairs[:4] == (("a", 224), ("b", 224), ("c", 224), ("a", 320))


def test_join__every_block_counts_the_same() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=(5, 3)), 1e4 * rng.normal(size=(5, 8))
    X = join_rows([small.astype(np.float32), large.astype(np.float32)])
    assert X.shape == (5, 11)
    np.testing.assert_allclose(np.linalg.norm(X[:, :3], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(X[:, 3:], axis=1), 1, rtol=1e-6)

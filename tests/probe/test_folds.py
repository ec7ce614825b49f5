from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import index, training_records
from headstart.errors import DataError
from headstart.probe import judgeable, training_folds
from headstart.probe.folds import require_two_each

SOURCE = Path(__file__).resolve().parents[2] / "src" / "headstart"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_folds__copies_share_a_fold(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(20):
            picture = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
            picture.save(tmp_path / name / f"{i:02d}.png")
            if i < 8:
                picture.save(tmp_path / name / f"{i:02d}-copy.png")
    indexed = index(tmp_path, test_size=0.1)
    records = training_records(indexed)
    folds = training_folds(indexed, records, seed=seed)
    by_digest: dict[str, set[int]] = {}
    for record, fold in zip(records, folds, strict=True):
        by_digest.setdefault(record.digest, set()).add(int(fold))
    assert len(by_digest) < len(records)
    assert all(len(found) == 1 for found in by_digest.values())
    assert len(set(folds)) == 5


def test_folds__are_made_with_groups_wherever_they_are_made() -> None:
    """Rooms above the heads take folds from the probe, or pass groups themselves."""
    plain = re.compile(r"stratified_folds\(\s*[^,()]*(\([^()]*\))?[^,()]*,\s*(n_folds|seed|\d)")
    found = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if "heads" not in path.relative_to(SOURCE).parts and plain.search(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("y", [["a"] * 6, ["a", "b", "c"]])
def test_require_two_each__too_few_examples_are_refused(y: list[str]) -> None:
    with pytest.raises(DataError, match="cross-validation needs two classes or more"):
        require_two_each(np.array(y))


def test_require_two_each__two_of_each_of_two_classes_will_do() -> None:
    require_two_each(np.array(["a", "a", "b", "b"]))


def test_judgeable__wants_the_class_in_another_fold() -> None:
    y = np.array(["a", "a", "b", "c", "c"])
    folds = np.array([0, 1, 0, 2, 2])
    assert judgeable(y, folds).tolist() == [True, True, False, False, False]


def test_judgeable__is_where_a_split_trains_on_the_class() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, folds = rng.integers(0, 6, 15).astype(str), rng.integers(0, 4, 15)
        plain = [bool(((y == k) & (folds != f)).any()) for k, f in zip(y, folds, strict=True)]
        assert judgeable(y, folds).tolist() == plain

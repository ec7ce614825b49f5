"""What a fit optimises: metrics, weights and costs, from the settings to predictions."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import headstart
from headstart.errors import DataError, InputError
from headstart.heads import (
    LinearSVM,
    choose_thresholds,
    classification_metrics,
    fit_temperature,
    least_cost,
)
from headstart.runs.objective import Objective, objective_of
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings
from headstart.runs.thresholds import threshold_lines, threshold_notes

# Taking bars for dots costs so much that everything is called bars.
COSTS = {"bars": {"bars": 0, "dots": 1e6}, "dots": {"bars": 1, "dots": 0}}


@pytest.fixture(scope="module")
def costs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("costs") / "costs.csv"
    path.write_text("true,dots,bars\nbars,1e6,0\ndots,0,1\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def costly(
    shapes: Path, store: Path, costs_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run with costs of confusions, on hard pictures of two classes."""
    out = tmp_path_factory.mktemp("costly") / "run"
    return headstart.fit(
        shapes, out=out, cache=store, resolutions=(64,), Cs=(0.1,), seed=3, costs=str(costs_file)
    )


@pytest.fixture(scope="module")
def weighted(shapes: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with weights of classes, chosen by macro F1."""
    folder = tmp_path_factory.mktemp("weighted")
    (folder / "weights.csv").write_text("class,weight\nbars,5\n", encoding="utf-8")
    return headstart.fit(
        shapes, out=folder / "run", cache=store, resolutions=(64,), Cs=(0.1, 1.0), seed=3,
        metric="macro_f1", class_weight=str(folder / "weights.csv"), at_precision=0.95, repeats=2,
    )  # fmt: skip


def test_fit__costs_decide_what_is_predicted(costly: Run, shapes: Path) -> None:
    images = sorted(shapes.glob("*/*.png"))[::3]
    P = costly.predict_proba(images)
    table = [[COSTS[true][said] for said in costly.model.classes] for true in costly.model.classes]
    expected = costly.classes_[least_cost(P, table)]
    predicted = [p.label for p in costly.predict(images)]
    assert predicted == expected.tolist()
    assert (costly.classes_[P.argmax(axis=1)] != expected).any()
    again = headstart.load(costly.folder)
    assert again.model.costs == costly.model.costs
    assert [p.label for p in again.predict(images[:3], top=1)] == predicted[:3]


def test_fit__costs_decide_the_figures_too(costly: Run) -> None:
    m = costly.metrics
    assert m.objective.metric == m.leads == "cost"
    rows = list(csv.reader(io.StringIO((costly.folder / "predictions.csv").read_text("utf-8"))))
    prices = [COSTS[true][said] for _, true, said, *_ in rows[1:]]
    assert m.objective.value.value == pytest.approx(np.mean(prices))
    right = np.mean([true == said for _, true, said, *_ in rows[1:]])
    assert m.test.accuracy.value == m.metrics.accuracy.value == right
    assert np.trace(costly.confusion_matrix) == right * m.test.n
    assert {p.name for p in costly.mistakes()} == {
        n for n, true, said, *_ in rows[1:] if true != said
    }
    assert "mean cost" in m.sentence
    # Everything is called bars in cross-validation, too: what is judged is what is predicted.
    shares = [c.n_train / sum(k.n_train for k in m.data.classes) for c in m.data.classes]
    assert m.cv.accuracy.value == m.candidates[0].cv.value == pytest.approx(shares[0])
    page = costly.report().read_text(encoding="utf-8")
    assert "the class of least expected cost is predicted" in page
    assert "figure-differences" not in page  # these are not percentage points


def test_fit__weights_count_in_svm_calibration_and_figures(weighted: Run) -> None:
    m, model = weighted.metrics, weighted.model
    assert m.objective.name == "weighted macro F1"
    assert m.objective.class_weights == {"bars": 5.0, "dots": 1.0}
    assert "weighted macro F1" in m.sentence
    assert "weighted macro F1" in m.selection.rule
    tests = weighted.test_predictions()
    w = [5.0 if t.label == "bars" else 1.0 for t in tests]
    y, said = [t.label for t in tests], [t.predicted for t in tests]
    expected = sk.f1_score(y, said, average="macro", sample_weight=w)
    assert m.metrics.macro_f1.value == pytest.approx(expected)
    plain = np.mean([a == b for a, b in zip(y, said, strict=True)])
    assert m.test.accuracy.value == pytest.approx(plain)
    assert model.costs is None


def test_fit__weights_reach_the_head_and_its_temperature(weighted: Run, run: Run) -> None:
    chosen = weighted.metrics.chosen
    assert weighted.model.coef.shape[1] == chosen.n_features
    assert weighted.model.temperature.scale != run.model.temperature.scale
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), np.arange(40) % 2
    one = LinearSVM(device="cpu").fit(X, y, sample_weight=np.where(y == 0, 5.0, 1.0))
    other = LinearSVM(class_weight={0: 5.0}, device="cpu").fit(X, y)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-4)
    scores = np.stack([-one.decision_function(X), one.decision_function(X)], axis=1)
    w = np.where(y == 0, 5.0, 1.0)
    assert fit_temperature(scores, y, w) != fit_temperature(scores, y)


def test_fit__candidates_are_compared_by_the_metric(weighted: Run) -> None:
    candidates = weighted.metrics.candidates
    best = max(candidates, key=lambda c: c.cv_metric.value)
    [marked] = [c for c in candidates if c.best]
    assert marked.cv_metric.value == pytest.approx(best.cv_metric.value)
    for c in candidates:
        behind = c.cv_metric.value - best.cv_metric.value
        assert c.difference.value == pytest.approx(behind)
        assert c.cv_metric.low <= c.cv_metric.value <= c.cv_metric.high


def test_fit__thresholds_are_chosen_out_of_fold_and_tested(weighted: Run) -> None:
    found = weighted.metrics.thresholds
    assert (found.target, found.value) == ("precision", 0.95)
    P = np.array([t.probability for t in weighted.test_predictions()])
    assert [c.name for c in found.classes] == list(weighted.model.classes)
    for c in found.classes:
        assert c.chosen_on.precision.value >= 0.95
        assert 0 <= c.test.n <= len(P)
        precision = c.test.precision
        assert precision is None or precision.low <= precision.value <= precision.high
    page = weighted.report().read_text(encoding="utf-8")
    assert "The weighted macro F1 was optimised: asked for." in page
    assert "Classes count by weights: bars: 5, dots: 1." in page
    assert "Weighted macro F1, which was optimised" in page
    assert "Thresholds at a precision of 95" in page
    assert any(
        "precision of 95.0 %" in line for line in threshold_lines(weighted.metrics.thresholds)
    )


def test_fit__repeats_give_the_mean_of_other_folds(weighted: Run, run: Run) -> None:
    assert weighted.metrics.selection.n_repeats == 2
    assert run.metrics.selection.n_repeats == 1
    n = weighted.metrics.selection.n_judged
    for c in weighted.metrics.candidates:
        twice = 2 * n * c.cv.value
        assert twice == pytest.approx(round(twice))
    assert "--repeats 2" in weighted.provenance.command


def test_threshold_notes__name_the_classes_without_one() -> None:
    found = choose_thresholds(
        ["a", "b", "b"], [[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], ["a", "b"],
        target="precision", value=0.9,
    )  # fmt: skip
    [note] = threshold_notes(found, is_asked=True)
    assert "precision of 90.0 %" in note
    assert "2 classes: 'a', 'b'" in note
    assert threshold_notes(None, is_asked=False) == []
    assert "could judge no training example" in threshold_notes(None, is_asked=True)[0]


def test_fit__accuracy_is_optimised_by_default(run: Run) -> None:
    assert run.metrics.objective.metric == run.metrics.leads == "accuracy"
    assert run.metrics.objective.reason == "default"
    assert all(c.cv_metric is None for c in run.metrics.candidates)
    assert "McNemar" in run.metrics.selection.rule
    assert "was optimised:" not in run.report().read_text(encoding="utf-8")


def settings(**more: Any) -> FitSettings:
    return FitSettings(data="nowhere", **more)


def test_objective_of__uneven_classes_are_judged_by_balanced_accuracy(indexed: Any) -> None:
    records = indexed.records
    few = [r.name for r in indexed.train if r.label == "blue"][4:]
    uneven = indexed.with_split(dict.fromkeys(few, "test"))
    assert len(records) == len(uneven.records)
    found = objective_of(settings(), uneven)
    assert found.metric == "balanced_accuracy"
    assert "more than 4 times the training images" in found.reason
    assert objective_of(settings(metric="accuracy"), uneven).metric == "accuracy"
    assert objective_of(settings(class_weight="balanced"), uneven).metric == "accuracy"
    assert objective_of(settings(), indexed).metric == "accuracy"


def test_objective_of__balanced_weights_make_accuracy_balanced(indexed: Any) -> None:
    found = objective_of(settings(class_weight="balanced"), indexed)
    y = [r.label for r in indexed.train]
    P = np.random.default_rng(0).dirichlet((1, 1), len(y))
    judged = classification_metrics(
        y, P, indexed.classes, sample_weight=found.weights(indexed.train)
    )
    assert judged.accuracy.value == pytest.approx(judged.balanced_accuracy.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"metric": "f1"}, "`metric` must be accuracy, .*; got 'f1'"),
        ({"metric": "macro-f1"}, "Did you mean 'macro_f1'"),
        ({"metric": "quadratic_kappa"}, "needs the order of the classes"),
        ({"metric": "cost"}, "cost needs the costs of confusions"),
        ({"at_precision": 1.5}, "`at_precision` must be above 0 and at most 1"),
        ({"at_recall": 0.0}, "`at_recall` must be above 0 and at most 1, such as 0.95; got 0.0"),
        ({"at_recall": float("nan")}, "`at_recall` must be above 0"),
        ({"repeats": 0}, "`repeats` must be from 1 to 100; got 0"),
        ({"at_recall": 0.9, "at_precision": 0.9}, "give one of them"),
    ],
)
def test_settings__a_metric_that_cannot_be_had_is_one_line(more: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        settings(**more)
    assert "\n" not in str(error.value)


def test_objective_of__an_order_of_other_classes_is_refused(indexed: Any) -> None:
    with pytest.raises(DataError, match="no class 'green'"):
        objective_of(settings(metric="quadratic_kappa", ordered="green,red"), indexed)
    found = objective_of(settings(metric="quadratic_kappa", ordered="red,blue"), indexed)
    assert found.order == ("red", "blue")
    assert found.criterion.ranks == (1, 0)


def test_objective__weights_of_examples_and_classes_multiply(indexed: Any) -> None:
    examples = [dataclasses.replace(r, weight=2.0) for r in indexed.train[:2]]
    found = Objective(class_weights={examples[0].label: 3.0}).weights(examples)
    assert found is not None
    assert found[0] == 6.0
    assert Objective().weights(indexed.train) is None


def test_model__ranks_classes_by_expected_cost(costly: Run) -> None:
    p = np.array([0.001, 0.999])
    assert costly.model.ranked(p).tolist() == [0, 1]
    assert dataclasses.replace(costly.model, costs=None).ranked(p).tolist() == [1, 0]


def test_predict__says_that_costs_decide_the_order(
    costly: Run, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from headstart.cli.app import run as command

    words = ["predict", str(costly.folder), str(shapes / "dots" / "01.png")]
    assert command(words) == 0
    assert "the class of least expected cost comes first" in capsys.readouterr().err
    assert command([*words, "--json"]) == 0
    said = capsys.readouterr()
    assert "least expected cost" not in said.err
    [found] = json.loads(said.out)
    assert found["label"] == "bars"
    assert found["top"][0]["probability"] < 0.5


def test_model__damaged_costs_are_one_line(costly: Run, tmp_path: Path) -> None:
    from headstart.errors import RunError
    from headstart.runs.model import Model

    costly.model.save(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text("utf-8"))
    for costs in ([[0.0]], [[0.0, -1.0], [1.0, 0.0]]):
        (tmp_path / "model.json").write_text(json.dumps(facts | {"costs": costs}), "utf-8")
        with pytest.raises(RunError, match="costs") as error:
            Model.read(tmp_path)
        assert "\n" not in str(error.value)

"""Parts of the training images: each image once, duplicates together, and no part sees itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import load
from headstart.data import Index, duplicate_groups, index, training_records
from headstart.features import FeatureStore, extract
from headstart.heads import LinearSVM, stratified_folds
from headstart.runs.choose import Candidate
from headstart.runs.measure import Task, measure
from headstart.runs.parts import Parts, divide, first_layer
from headstart.sources.image import ImageSource
from headstart.training.network import features_tap


@pytest.fixture(scope="module")
def indexed(shapes: Path) -> Index:
    return index(shapes, seed=3)


@pytest.fixture(scope="module")
def stores(indexed: Index, store: Path) -> dict[int, FeatureStore]:
    net = load("timm:test_efficientnet", pretrained=False)
    return extract(indexed.records, net, resolutions=[64], precision="float32", cache=store).stores


def cut(indexed: Index, stores: dict[int, FeatureStore], cache: Path, n: int):
    """Parts of the training images, and the SVM that they were made with."""
    train = training_records(indexed)
    groups = duplicate_groups(indexed, train)
    folds = stratified_folds(np.array([r.label for r in train]), groups, 4, 0)
    net = load("timm:test_efficientnet", pretrained=False)
    source = ImageSource(backbone=net, stores=stores)
    task = Task(source=source, records=train, folds=folds, Cs=[0.1, 1.0], cache=cache)
    candidate: Candidate = measure(task).candidates[-1]
    return divide(train, candidate, folds, n, groups=groups, rows=source.rows, seed=0), candidate


def test_divide__without_a_number_gives_the_folds(
    indexed: Index, stores: dict[int, FeatureStore], store: Path
) -> None:
    parts, candidate = cut(indexed, stores, store, 0)
    assert parts.n_parts == 4
    np.testing.assert_array_equal(parts.scores, candidate.scores.decisions)


@pytest.mark.parametrize("n", [2, 3])
def test_divide__holds_every_image_out_once(
    indexed: Index, stores: dict[int, FeatureStore], store: Path, n: int
) -> None:
    parts, _ = cut(indexed, stores, store, n)
    assert parts.n_parts == n
    assert sorted(r.name for r in parts.images(range(n))) == sorted(r.name for r in parts.records)
    assert parts.n_fit == len(parts.records) - len(parts.images([0]))
    pairs = {(r.digest, int(p)) for r, p in zip(parts.records, parts.part, strict=True)}
    assert len(pairs) == len({r.digest for r in parts.records})
    assert not parts.lacking(0)


def test_divide__scores_of_a_part_are_those_of_an_svm_without_it(
    indexed: Index, stores: dict[int, FeatureStore], store: Path
) -> None:
    from headstart.sources.blocks import read_blocks

    parts, candidate = cut(indexed, stores, store, 2)
    X = read_blocks(stores, [r.digest for r in parts.records], candidate.blocks)
    y = np.array([r.label for r in parts.records])
    away, own = parts.rows([1]), parts.rows([0])
    svm = LinearSVM(C=candidate.scores.C).fit(X[away], y[away])
    expected = svm.decision_function(X[own])
    np.testing.assert_allclose(parts.scores[own][:, 1], expected, atol=1e-3)


def test_lacking__names_a_class_that_lies_in_one_part_alone(
    indexed: Index, stores: dict[int, FeatureStore], store: Path
) -> None:
    parts, _ = cut(indexed, stores, store, 2)
    alone = tuple(
        dataclasses.replace(r, label="rare") if i == parts.rows([1])[0] else r
        for i, r in enumerate(parts.records)
    )
    odd = Parts(records=alone, part=parts.part, scores=parts.scores)
    assert "class 'rare' lies in the validation fold alone" in odd.lacking(1)
    assert not odd.lacking(0)


def test_first_layer__depends_on_the_taken_rows_only(
    indexed: Index, stores: dict[int, FeatureStore], store: Path
) -> None:
    tap = features_tap(load("timm:test_efficientnet", pretrained=False)).name
    parts, _ = cut(indexed, stores, store, 2)
    left = parts.part != 0
    wrong = tuple(
        r if is_left else dataclasses.replace(r, label="dots" if r.label == "bars" else "bars")
        for r, is_left in zip(parts.records, left, strict=True)
    )
    even = np.arange(len(left)) % 2
    layers = [
        first_layer(records, left, even, store=stores[64], tap=tap, Cs=[0.1, 1.0])
        for records in (parts.records, wrong)
    ]
    np.testing.assert_array_equal(layers[0][0], layers[1][0])
    np.testing.assert_array_equal(layers[0][1], layers[1][1])

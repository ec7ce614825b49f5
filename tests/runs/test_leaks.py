"""Signs of an optimistic split: series of shots are found, sets without them are left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.data import index
from headstart.data.records import Record
from headstart.probe.judging import scores_of_divisions
from headstart.runs.leaks import (
    grouped_by,
    is_series,
    leak_notes,
    neighbour_share,
    of_one_division,
    pattern_of_series,
    photograph_times,
    recognised,
    some_of_each,
    split_in_names,
)


def _record(name: str, label: str) -> Record:
    return Record(
        path=Path("/") / name, name=name, label=label, digest=name, width=1, height=1, split="train"
    )


def _series(n_classes: int, n_series: int, n_shots: int, spread: float, seed: int = 0):
    """Names of the form of a film's frames, and features whose shots lie around their series."""
    rng = np.random.default_rng(seed)
    names, labels, rows = [], [], []
    for c in range(n_classes):
        for s in range(n_series):
            centre = rng.normal(size=16)
            for i in range(n_shots):
                names.append(f"c{c}/film{s:03}_frame{i:02}.png")
                labels.append(f"c{c}")
                rows.append(centre + spread * rng.normal(size=16))
    records = [_record(n, y) for n, y in zip(names, labels, strict=True)]
    return records, np.array(rows)


@pytest.mark.parametrize("seed", range(3))
def test_leak_notes__finds_series_and_what_names_them(seed: int) -> None:
    records, X = _series(3, 10, 6, spread=0.2, seed=seed)
    notes, pattern = leak_notes(records, X)
    assert pattern is not None
    assert len(notes) == 1
    assert pattern in notes[0].replace("\\\\", "\\")
    assert len({r.group for r in grouped_by(records, pattern)}) == 10
    assert {r.group for r in grouped_by(records, None)} == {""}


@pytest.mark.parametrize("seed", range(3))
def test_leak_notes__is_silent_without_series(seed: int) -> None:
    records, X = _series(3, 10, 6, spread=50.0, seed=seed)
    assert leak_notes(records, X) == ([], None)


def test_pattern_of_series__needs_names_of_one_form() -> None:
    records, X = _series(2, 6, 5, spread=0.1)
    names, y = [r.name for r in records], np.array([r.label for r in records])
    assert pattern_of_series(names, X, y) == r"(film\d+)_frame\d+"
    assert pattern_of_series(["c0/other.png", *names[1:]], X, y) is None
    # One running number says nothing of where a series ends.
    assert pattern_of_series([f"c/{i}.png" for i in range(len(names))], X, y) is None


def test_neighbour_share__is_chance_for_features_at_random() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 8)), np.repeat(["a", "b", "c"], 200)
    share, chance = neighbour_share(X, y, np.arange(600))
    assert chance == pytest.approx(4 / 199)
    assert abs(share - chance) < 0.03
    assert not is_series(share, chance)
    assert neighbour_share(X[:4], y[:4], np.arange(4)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("names", "is_said"),
    [
        (["a/tr_1.png", "a/te_2.png", "b/tr_3.png"], True),
        (["a/1-train.png", "a/2-test.png"], True),
        (["a/train_1.png", "a/train_2.png"], False),
        (["a/test_1.png", "a/tree_2.png", "a/train_3.png"], False),
        (["a/1.png", "b/2.png"], False),
    ],
)
def test_split_in_names__wants_both_words_in_every_name(names: list[str], is_said: bool) -> None:
    assert bool(split_in_names(names)) == is_said


def test_some_of_each__takes_the_first_of_every_class_by_name() -> None:
    records = [_record(f"{c}/{i}.png", c) for c in "ba" for i in (10, 9, 2)]
    assert [r.name for r in some_of_each(records)] == [
        "a/2.png", "a/9.png", "a/10.png", "b/2.png", "b/9.png", "b/10.png"
    ]  # fmt: skip


def test_photograph_times__are_those_of_the_camera(tmp_path: Path) -> None:
    from PIL import Image

    paths = []
    for i in range(4):
        image = Image.new("RGB", (8, 8))
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2026:11:30 10:00:{i:02}"
        paths.append(tmp_path / f"{i}.jpg")
        image.save(paths[-1], exif=exif)
    assert photograph_times(paths) == [f"2026:11:30 10:00:{i:02}" for i in range(4)]
    Image.new("RGB", (8, 8)).save(paths[0])
    assert photograph_times(paths) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("traffic_signs", ("series", "track")),
        ("groceries", ("te", "tr")),
        ("flowers12", ()),
        ("neu_steel", ()),
    ],
)
def test_leak_notes__on_real_sets(shared: Path, name: str, words: tuple[str, ...]) -> None:
    folder = shared / "data" / "domains" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} here")
    from headstart.backbones import load
    from headstart.features import extract
    from headstart.sources.blocks import read_blocks, usual_blocks

    records = some_of_each(index(folder).records)
    net = load("embedded")
    done = extract(records, net, resolutions=[96])
    X = read_blocks(done.stores, [r.digest for r in records], usual_blocks(net, [96]))
    notes, _ = leak_notes(records, X)
    assert bool(notes) == bool(words)
    assert all(word in " ".join(notes) for word in words)


def test_recognised__is_by_one_division_and_without_costs() -> None:
    """What is at random and what is on unseen groups differ by their folds alone."""
    y, rng = np.array(list("abc") * 20), np.random.default_rng(0)
    truth = np.eye(3)[np.arange(60) % 3]
    decisions = [(truth + rng.normal(size=(60, 3))).astype(np.float32) for _ in range(3)]
    scores = scores_of_divisions(
        y, 1.0, decisions, np.zeros(60), n_features=2, Cs=(1.0,), accuracy=(0.5,)
    )
    by_cost = replace(scores, correct=np.zeros(60, dtype=bool))  # of expected costs all are wrong
    own = recognised(of_one_division(by_cost), y)
    assert own.tolist() == (decisions[0].argmax(axis=1) == np.arange(60) % 3).tolist()
    assert own.mean() < scores.correct.mean()
    single = replace(by_cost, decisions=decisions[1], of_divisions=None)
    assert of_one_division(single) is decisions[1]


def test_fit__with_groups_says_what_they_cost_whatever_is_chosen(tmp_path: Path) -> None:
    """A mean of several is judged with images at random too, as its members are."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    for label in ("bars", "dots"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for film in range(6):
            for i in range(3):
                wave = np.sin((x + 5 * film) / 3) * (1 if label == "bars" else np.sin(y / 3))
                pixels = np.clip(128 + 40 * wave + rng.normal(0, 45, (48, 48)), 0, 255)
                name = tmp_path / "set" / label / f"film{film}_{i}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(name)
    for prefer in ("accurate", "single"):
        run = headstart.fit(
            tmp_path / "set", out=tmp_path / prefer, cache=tmp_path / "cache", resolutions=(64,),
            group_by=r"film\d+", prefer=prefer,
        )  # fmt: skip
        [note] = [n for n in run.metrics.data.notes if "groups that were not trained on" in n]
        assert prefer == "single" or note.lower().startswith(str(run.metrics.chosen.tap))

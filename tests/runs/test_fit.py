from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.errors import BackboneError, DataError, InputError, OutputError
from headstart.runs.report import story
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings

SETTINGS: dict[str, Any] = {"resolutions": (64, 96), "seed": 3, "Cs": (0.1, 1.0, 10.0)}


def test_fit__run_folder_is_complete(run: Run) -> None:
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "SHA256SUMS",
        "log.jsonl",
        "metrics.json",
        "model",
        "predictions.csv",
        "report.html",
        "run.json",
    ]
    assert sorted(p.name for p in (run.folder / "model").iterdir()) == [
        "head.safetensors",
        "model.json",
        "reliability.json",
        "reliability.safetensors",
    ]
    for line in (run.folder / "log.jsonl").read_text().splitlines():
        assert {"seconds", "level", "message"} <= json.loads(line).keys()


def test_fit__metrics_agree_with_the_predictions(run: Run) -> None:
    with (run.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    test = run.metrics.test
    right = [row["label"] == row["predicted"] for row in rows]
    assert test.n == len(rows)
    assert test.accuracy.value == pytest.approx(np.mean(right))
    assert test.accuracy.low <= test.accuracy.value <= test.accuracy.high
    confusion = np.array(run.metrics.confusion.rows)
    assert confusion.sum() == len(rows)
    assert np.trace(confusion) == sum(right)


def test_fit__learns_what_is_there_to_learn(run: Run) -> None:
    assert run.metrics.cv.accuracy.value > 0.9
    assert run.sentence.startswith("Mean of")


def test_fit__table_has_every_tap_at_every_resolution_and_one_choice(run: Run) -> None:
    *candidates, mean = run.metrics.candidates
    cells = {(c.tap, c.resolution) for c in candidates}
    assert run.metrics.resolutions[:3] == ("64", "96", "64+96")
    assert run.metrics.taps[-2:] == ("last 4 joined", mean.tap)
    assert len(cells) == len(candidates) == (len(run.metrics.taps) - 1) * 3
    [chosen] = [c for c in run.metrics.candidates if c.chosen]
    assert chosen.test is not None
    assert mean.n_averaged > 1
    # Accuracy first: the mean, unless the best is significantly better.
    beaten = mean.difference.high < 0
    assert chosen == (next(c for c in candidates if c.best) if beaten else mean)


def test_fit__prefer_single_takes_the_last_layers_joined(
    shapes: Path, store: Path, tmp_path: Path
) -> None:
    run = headstart.fit(shapes, out=tmp_path / "run", cache=store, prefer="single", **SETTINGS)
    [chosen] = [c for c in run.metrics.candidates if c.chosen]
    assert not any(c.n_averaged for c in run.metrics.candidates)
    assert chosen.best or (chosen.tap, chosen.resolution) == ("last 4 joined", "64+96")


def test_fit__prefer_cheap_takes_the_cheapest_tie(
    shapes: Path, store: Path, run: Run, tmp_path: Path
) -> None:
    cheap = headstart.fit(shapes, out=tmp_path / "run", cache=store, prefer="cheap", **SETTINGS)
    candidates = cheap.metrics.candidates
    [chosen] = [c for c in candidates if c.chosen]
    assert chosen.tie
    near = [c for c in candidates if c.tie and c.difference.value >= -0.01]
    assert chosen.macs == min(c.macs or 0 for c in near)
    [named] = [c for c in run.metrics.candidates if c.cheap] or [chosen]
    assert (named.tap, named.resolution) == (chosen.tap, chosen.resolution)
    if run.metrics.chosen.tap != chosen.tap:
        assert "`prefer='cheap'`" in run.metrics.detail
        assert story.cheap_line(run.metrics).startswith(story.place(named))
    with pytest.raises(InputError, match="accurate, single or cheap"):
        headstart.fit(shapes, out=tmp_path / "other", prefer="fast")


def test_fit__findings_name_bad_files_and_duplicates(run: Run) -> None:
    data = run.metrics.data
    [bad] = data.quarantine
    assert "<script>" in bad.name
    [pair] = data.exact_duplicates
    assert set(pair.names) == {"dots/03.png", "dots/copy of 03.png"}
    assert not pair.straddles


def test_fit__report_escapes_names(run: Run) -> None:
    page = run.report().read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert str(run.folder) in page


def test_fit__same_settings_same_figures_and_no_forward_pass(
    run: Run, shapes: Path, store: Path, tmp_path: Path
) -> None:
    again = headstart.fit(shapes, out=tmp_path / "again", cache=store, **SETTINGS)
    assert again.metrics.extraction.n_forward == 0
    varying = ("extraction", "timings_s")
    fields = set(run.metrics.__struct_fields__) - set(varying)
    first, second = ({k: getattr(r.metrics, k) for k in fields} for r in (run, again))
    assert first == second


def test_fit__held_out_labels_never_change_the_head(
    shapes: Path, run: Run, store: Path, tmp_path: Path
) -> None:
    """Leakage: test labels swapped, the very same model."""
    with (run.folder / "predictions.csv").open() as file:
        test = {row["name"] for row in csv.DictReader(file)}
    heads = []
    for swap in (False, True):
        table = tmp_path / f"table-{swap}.csv"
        lines = ["path,label,split"]
        for path in sorted(shapes.glob("*/*.png")):
            name = path.relative_to(shapes).as_posix()
            held_out = name in test
            label = path.parent.name
            if held_out and swap:
                label = "dots" if label == "bars" else "bars"
            lines.append(f"{path},{label},{'test' if held_out else 'train'}")
        table.write_text("\n".join(lines) + "\n")
        out = headstart.fit(table, out=tmp_path / f"run-{swap}", cache=store, **SETTINGS)
        heads.append((out.folder / "model" / "head.safetensors").read_bytes())
    assert heads[0] == heads[1]


def test_fit__settings_are_kept_and_repeat_the_fit(run: Run) -> None:
    kept = run.provenance
    assert kept.seed == 3
    assert isinstance(kept.settings, FitSettings)
    assert kept.settings.resolutions == (64, 96)
    assert "--resolutions 64,96" in kept.command
    assert "--seed 3" in kept.command
    assert len(kept.backbone.digest) == 64


def test_fit__without_force_a_run_is_never_overwritten(run: Run, shapes: Path, store: Path) -> None:
    before = (run.folder / "metrics.json").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        headstart.fit(shapes, out=run.folder, cache=store, **SETTINGS)
    assert (run.folder / "metrics.json").read_bytes() == before


def test_fit__force_replaces_a_run_but_nothing_else(
    shapes: Path, store: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a run folder"):
        headstart.fit(shapes, out=precious, force=True, cache=store, **SETTINGS)
    assert (precious / "chapter1.txt").exists()
    out = tmp_path / "run"
    headstart.fit(shapes, out=out, cache=store, **SETTINGS)
    (out / "mine.txt").write_text("old")
    headstart.fit(shapes, out=out, force=True, cache=store, **SETTINGS)
    assert not (out / "mine.txt").exists()


def test_fit__failure_leaves_no_run_and_keeps_the_features(
    shapes: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import headstart.runs.job as module

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        headstart.fit(shapes, out=tmp_path / "run", cache=tmp_path / "store", **SETTINGS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]
    monkeypatch.undo()
    run = headstart.fit(shapes, out=tmp_path / "run", cache=tmp_path / "store", **SETTINGS)
    assert run.metrics.extraction.n_forward == 0


def test_fit__clears_what_a_killed_run_left_but_not_a_running_one(
    shapes: Path, store: Path, tmp_path: Path
) -> None:
    dead = tmp_path / ".run.999999999.partial"
    alive = tmp_path / f".run.{os.getppid()}.partial"
    for left in (dead, alive):
        left.mkdir()
    headstart.fit(shapes, out=tmp_path / "run", cache=store, **SETTINGS)
    assert not dead.exists()
    assert alive.exists()


def test_fit__a_damaged_shard_is_computed_again(shapes: Path, tmp_path: Path, run: Run) -> None:
    cache = tmp_path / "store"
    headstart.fit(shapes, out=tmp_path / "one", cache=cache, **SETTINGS)
    shards = sorted(cache.glob("features/*/shard-*.arrow"))
    shards[0].write_bytes(shards[0].read_bytes()[:-7])
    two = headstart.fit(shapes, out=tmp_path / "two", cache=cache, **SETTINGS)
    assert two.metrics.extraction.n_forward == 32
    assert two.metrics.candidates == run.metrics.candidates


def test_fit__three_classes_and_a_split_of_its_own(
    make_shapes: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    classes = ("bars", "dots", "rings")
    make_shapes(tmp_path / "data" / "train", n=8, classes=classes)
    make_shapes(tmp_path / "data" / "val", n=3, classes=classes)
    make_shapes(tmp_path / "data" / "test", n=4, classes=classes)
    run = headstart.fit(tmp_path / "data", out=tmp_path / "run", cache=store, resolutions=[64])
    assert list(run.metrics.classes) == list(classes)
    assert run.metrics.selection.n_train == 33
    assert run.metrics.test.n == 12
    assert any(g.straddles for g in run.metrics.data.exact_duplicates)
    assert run.metrics.test.accuracy_without_duplicates is None or (
        run.metrics.test.accuracy_without_duplicates.n < 12
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "resnet5"}, r"Did you mean .*resnet50"),
        ({"test_size": 1.5}, "`test_size` must be between 0 and 1; got 1.5"),
        ({"n_folds": 1}, "`n_folds` must be at least 2; got 1"),
        ({"resolutions": (7,)}, "`resolutions` must be pixels from 16 to 2048"),
        ({"precision": "float8"}, "`precision` must be auto, float32 or bfloat16; got 'float8'"),
        ({"Cs": (0.0,)}, "`Cs` must be one or more numbers above 0"),
        ({"seed": -1}, "`seed` must be from 0 to 2147483647; got -1"),
        ({"budget_s": 0}, "`budget_s` must be more than 0 seconds"),
    ],
)
def test_fit__bad_settings_are_one_line(
    shapes: Path, store: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((InputError, BackboneError), match=said) as raised:
        headstart.fit(shapes, out=tmp_path / "run", cache=store, **settings)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_fit__bad_data_are_one_line(tmp_path: Path, store: Path) -> None:
    with pytest.raises(DataError):
        headstart.fit(tmp_path / "nowhere", out=tmp_path / "run", cache=store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        headstart.fit(tmp_path / "empty", out=tmp_path / "run", cache=store)


def test_fit__budget_leaves_out_what_does_not_fit(
    shapes: Path, store: Path, tmp_path: Path
) -> None:
    tight = headstart.fit(
        shapes, out=tmp_path / "tight", cache=store, resolutions=(64, 224), budget_s=1e-3
    )
    assert tight.metrics.resolutions == ("224",)
    ample = headstart.fit(
        shapes,
        out=tmp_path / "ample",
        cache=store,
        resolutions=(64, 224),
        budget_s=3600,
        finetune=False,
    )
    assert ample.metrics.resolutions == ("64", "224", "64+224")

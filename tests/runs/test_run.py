from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

import headstart
from headstart import fit
from headstart.errors import BackboneError, DataError, RunError, WeightsError
from headstart.runs.predictions import Mistakes
from headstart.runs.run import Run


def test_predict__agrees_with_the_test_of_the_fit(run: Run, shapes: Path) -> None:
    import csv

    with (run.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    made = run.predict([shapes / row["name"] for row in rows])
    assert [p.label for p in made] == [row["predicted"] for row in rows]
    for p, row in zip(made, rows, strict=True):
        assert p.probability == pytest.approx(float(row[f"p({p.label})"]), abs=1e-3)


def test_predict__probabilities_sum_to_one_and_fall(run: Run, shapes: Path) -> None:
    for p in run.predict(shapes / "bars"):
        if p.error is None:
            values = [v for _, v in p.top]
            assert sum(values) == pytest.approx(1)
            assert values == sorted(values, reverse=True)


def test_predict__a_bad_file_is_reported_and_the_rest_predicted(run: Run, shapes: Path) -> None:
    made = run.predict([shapes / "bars"])
    [bad] = [p for p in made if p.error is not None]
    assert "<script>" in bad.name
    assert bad.label is None
    assert len(made) == 17


def test_predict__takes_one_path_and_patterns(run: Run, shapes: Path) -> None:
    assert len(run.predict(str(shapes / "dots" / "0*.png"))) == 10
    assert len(run.predict(shapes / "dots" / "01.png", top=1)[0].top) == 1


def test_predict__takes_bytes_pictures_arrays_and_mixed_lists(run: Run, shapes: Path) -> None:
    path = shapes / "dots" / "01.png"
    [of_file] = run.predict(path)
    with Image.open(path) as image:
        kinds = [path.read_bytes(), image, np.asarray(image)]
        for one in kinds:
            [alone] = run.predict(one)
            assert alone.name == "image 0"
            assert dict(alone.top) == pytest.approx(dict(of_file.top))
        mixed = run.predict([shapes / "dots" / "0[12].png", *kinds, path, kinds[1]])
    names = [Path(p.name).name for p in mixed]
    assert names == ["01.png", "02.png", "image 1", "image 2", "image 3", "image 5"]
    for p in mixed:
        if "02" not in p.name:
            assert dict(p.top) == pytest.approx(dict(of_file.top))
        [grey] = run.predict(np.asarray(image.convert("L")))
    assert grey.label in run.model.classes


def test_predict__a_picture_that_cannot_be_read_is_reported(run: Run, shapes: Path) -> None:
    good = (shapes / "dots" / "01.png").read_bytes()
    bad, fine = run.predict([b"Dear diary", good])
    assert bad.name == "image 0"
    assert bad.error == "cannot use 'image 0': not an image: it holds text"
    assert fine.error is None


@pytest.mark.parametrize("wrong", [3, None, [None], np.zeros((9, 9, 3)), np.zeros((9, 9, 4), "u1")])
def test_predict__says_what_it_takes_and_what_it_got(run: Run, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"got (int|NoneType|float64)|of shape \(9, 9, 4\)"):
        run.predict(wrong)


def test_predict__a_thin_image_and_a_bomb_hold_nothing_up(
    run: Run, shapes: Path, tmp_path: Path
) -> None:
    Image.new("L", (300_000, 1), 7).save(tmp_path / "wide.png")
    header = b"P6 60000 60000 255\n"
    (tmp_path / "bomb.ppm").write_bytes(header)
    bomb, wide, fine = run.predict(
        [tmp_path / "bomb.ppm", tmp_path / "wide.png", shapes / "dots" / "01.png"]
    )
    assert bomb.error is not None
    assert "too large" in bomb.error
    assert wide.error is None
    assert fine.error is None


def test_predict__no_such_path_is_one_line(run: Run) -> None:
    with pytest.raises(DataError):
        run.predict("no/such/file.jpg")


def test_load__opens_what_fit_wrote(run: Run, shapes: Path) -> None:
    again = headstart.load(run.folder)
    path = shapes / "dots" / "05.png"
    assert again.predict(path) == run.predict(path)
    assert again.sentence == run.sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", None, "not a run folder"),
        ("run.json", b"{", "damaged"),
        ("metrics.json", b"[]", "damaged"),
        ("run.json", b'{"schema": 99}', "newer Headstart"),
        ("model/head.safetensors", b"junk", "damaged"),
        ("model/head.safetensors", None, "damaged"),
        ("model/model.json", b'{"schema": 1}', "damaged"),
    ],
)
def test_load__damaged_runs_are_one_line(
    run: Run,
    tmp_path: Path,
    older: Callable[[Path], Path],
    name: str,
    content: bytes | None,
    said: str,
) -> None:
    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(RunError, match=said):
        headstart.load(copy)


def test_load__no_such_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        headstart.load(tmp_path / "nothing")


def test_load__a_bit_that_flips_in_any_file_is_one_line(run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.folder, tmp_path / "run")
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    assert {"run.json", "metrics.json", "report.html", "predictions.csv", "log.jsonl", "model.json",
            "head.safetensors", "reliability.json", "reliability.safetensors", "SHA256SUMS"} == {p.name for p in files}  # fmt: skip
    rng = random.Random(0)
    for path in files:
        whole = path.read_bytes()
        for place in (0, len(whole) - 1, *rng.sample(range(len(whole)), 6)):
            bad = bytearray(whole)
            bad[place] ^= 1 << rng.randrange(8)
            path.write_bytes(bad)
            with pytest.raises(RunError) as caught:
                headstart.load(copy)
            assert str(caught.value).isprintable()
            assert str(copy) in str(caught.value)
        path.write_bytes(whole)
    assert headstart.load(copy).sentence == run.sentence


def test_load__a_file_that_is_missing_or_another_one_is_named(run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "notes.txt").write_text("what a person puts beside it is nobody's business")
    assert headstart.load(copy).sentence == run.sentence
    (copy / "predictions.csv").unlink()
    with pytest.raises(
        RunError, match=r"predictions\.csv cannot be read .*copy the run folder again"
    ):
        headstart.load(copy)
    (copy / "predictions.csv").write_text("name\n")
    with pytest.raises(RunError, match=r"predictions\.csv was changed after the run was made"):
        headstart.load(copy)
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(RunError, match="SHA256SUMS is missing"):
        headstart.load(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../x"])
def test_load__sums_of_files_outside_the_run_are_not_looked_at(
    run: Run, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(RunError, match="SHA256SUMS is damaged"):
        headstart.load(copy)


def test_sums__are_what_sha256sum_reads(run: Run) -> None:
    if (command := shutil.which("sha256sum")) is None:
        pytest.skip("no sha256sum here")
    words = [command, "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(words, cwd=run.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "model/head.safetensors: OK" in done.stdout


def test_load__a_run_of_before_there_were_sums_opens(
    run: Run, tmp_path: Path, older: Callable[[Path], Path]
) -> None:
    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    assert headstart.load(copy).sentence == run.sentence


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("metrics.json", {"sentence": None}, r"\$\.sentence"),
        ("metrics.json", {"candidates": [{}]}, r"`tap` - at `\$\.candidates\[0\]"),
        ("metrics.json", {"selection": []}, r"\$\.selection"),
        ("metrics.json", {"taps": [1]}, r"\$\.taps\[0\]"),
        ("model/model.json", {"taps": [["a"]]}, r"\$\.taps\[0\]"),
        (
            "model/model.json",
            {"taps": ["elsewhere"]},
            "are not among the network's|is not one of its layers",
        ),
        ("model/model.json", {"resolutions_px": [10**9]}, r"\$\.resolutions_px\[0\]"),
        ("model/model.json", {"resolutions_px": ["64"]}, r"\$\.resolutions_px\[0\]"),
        ("model/model.json", {"precision": "\x1b[31m"}, r"\$\.precision"),
        ("model/model.json", {"classes": ["one"]}, "classes have coefficients"),
        ("model/model.json", {"has_partner": True}, "it has no partner"),
        ("model/model.json", {"backbone": []}, r"\$\.backbone"),
    ],
)
def test_load__json_of_another_form_is_one_line(
    run: Run,
    tmp_path: Path,
    older: Callable[[Path], Path],
    name: str,
    change: dict[str, Any],
    said: str,
) -> None:
    """What the fuzz tests have found in runs from before there were sums."""
    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    facts = json.loads((copy / name).read_text(encoding="utf-8"))
    (copy / name).write_text(json.dumps(facts | change), encoding="utf-8")
    with pytest.raises(RunError, match=said) as caught:
        headstart.load(copy)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ['{"schema": NaN}', "[" * 100_000, '{"schema": 1, "a": Infinity}'])
def test_load__what_is_no_json_is_one_line(
    run: Run, tmp_path: Path, older: Callable[[Path], Path], text: str
) -> None:
    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    (copy / "metrics.json").write_text(text)
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        headstart.load(copy)


def test_predict__a_head_of_another_width_is_one_line(
    run: Run, tmp_path: Path, shapes: Path, older: Callable[[Path], Path]
) -> None:
    from safetensors.numpy import load_file, save_file

    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    path = copy / "model" / "head.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"coef": np.ascontiguousarray(tensors["coef"][:, 1:])}, path)
    with pytest.raises(RunError, match=r"takes .* features and is given"):
        headstart.load(copy).predict(shapes / "dots" / "05.png")


def test_predict__other_weights_than_those_of_the_fit_are_refused(
    run: Run, tmp_path: Path, shapes: Path, older: Callable[[Path], Path]
) -> None:
    copy = older(shutil.copytree(run.folder, tmp_path / "run"))
    facts = json.loads((copy / "model" / "model.json").read_text())
    facts["backbone"]["digest"] = "0" * 64
    (copy / "model" / "model.json").write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="not those that the run was made with"):
        headstart.load(copy).predict(shapes / "dots" / "05.png")


def test_load_backbone__layers_that_are_read_otherwise_than_by_the_fit_are_refused(
    run: Run,
) -> None:
    used = run.model.blocks.taps[0]
    net = run.model.backbone
    read = tuple(
        (name, f"{recipe}, before the norm" if name == used else recipe)
        for name, recipe in net.taps or ()
    )
    older = dataclasses.replace(run.model, backbone=msgspec.structs.replace(net, taps=read))
    with pytest.raises(WeightsError, match=rf"reads other features .*layer {used}\): .*fit again"):
        older.load_backbone()


def test_predict__a_converted_network_needs_no_timm(
    make_shapes: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    images = make_shapes(tmp_path / "many", n=64)
    cache = tmp_path / "cache"
    made = fit(images, out=tmp_path / "run", cache=cache, resolutions=(64,), Cs=(1.0,), n_folds=2)
    paths = sorted(images.rglob("*.png"))[:3]
    code = (
        "import sys, headstart\n"
        "for p in headstart.load(sys.argv[1]).predict(sys.argv[2:]): print(p.label, p.probability)\n"
        "print(sorted({'timm', 'torchvision', 'scipy'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(made.folder), *map(str, paths)],
        env={**os.environ, "HEADSTART_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[-1] == "[]"
    assert [line.split()[0] for line in said[:-1]] == [p.parent.name for p in paths]


def test_model__scores_are_the_linear_form_of_unit_rows(run: Run) -> None:
    model = run.model
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, model.coef.shape[1])).astype(np.float32)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(model.scores(X), unit @ model.coef.T + model.intercept, rtol=1e-5)
    np.testing.assert_allclose(model.probabilities(X).sum(axis=1), 1)


def test_predict_proba__agrees_with_predict_and_has_columns_as_classes(
    run: Run, shapes: Path
) -> None:
    files = sorted(shapes.rglob("*.png"))[:5]
    P = run.predict_proba(files)
    assert P.shape == (5, len(run.classes_))
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-6)
    assert list(run.classes_[P.argmax(axis=1)]) == [p.label for p in run.predict(files)]


def test_score__is_the_share_that_predict_gets_right(run: Run, shapes: Path) -> None:
    files = sorted(shapes.rglob("*.png"))[:8]
    y = [path.parent.name for path in files]
    right = [p.label == label for p, label in zip(run.predict(files), y, strict=True)]
    assert run.score(files, y) == pytest.approx(np.mean(right))
    with pytest.raises(DataError, match="one class per image: got 7 for 8"):
        run.score(files, y[:-1])


def test_predict_proba__names_an_image_that_cannot_be_read(run: Run, shapes: Path) -> None:
    with pytest.raises(DataError, match="cannot be classified"):
        run.predict_proba([sorted(shapes.rglob("*.png"))[0], b"no image"])


def test_run__its_figures_are_those_of_the_predictions(run: Run) -> None:
    told = run.test_predictions()
    right = [p.predicted == p.label for p in told]
    assert run.accuracy.value == pytest.approx(np.mean(right))
    assert run.accuracy.low <= run.accuracy.value <= run.accuracy.high
    assert run.confusion_matrix.sum() == len(told)
    assert np.trace(run.confusion_matrix) == sum(right)
    mistakes = run.mistakes()
    assert len(mistakes) == len(told) - sum(right)
    assert [m.probability for m in mistakes] == sorted(
        (m.probability for m in mistakes), reverse=True
    )
    if mistakes:
        assert str(mistakes).count("predicted") == len(mistakes)
    assert str(Mistakes([], 12, "text")) == "none of 12 test texts is classified wrongly"
    assert str(Mistakes([], 0, "image")) == "the run has no test images"
    frame = run.to_dataframe()
    assert list(frame.columns) == ["name", "label", "predicted", "probability", "correct"]
    assert frame["correct"].tolist() == right


def test_run__in_a_notebook_it_shows_the_sentence(run: Run) -> None:
    shown = run._repr_html_()
    assert "<script" not in shown
    assert escape(run.sentence) in shown
    assert shown.count("<svg") == 1
    assert ">blocks.4<" in shown


def test_features__are_those_that_the_heads_saw_of_every_image(run: Run, store: Path) -> None:
    [encoder] = run.model.encoders
    tap, size_px = encoder.blocks.pairs[0]
    frame = run.features(tap, size_px=size_px, cache=store)
    X = frame.filter(like="features").to_numpy()
    assert X.shape == (len(frame), run.backbone.tap(tap).n_features)
    assert set(frame["split"]) == {"train", "test"}
    tested = {p.name: p.label for p in run.test_predictions()}
    assert frame.loc[frame["split"] == "test", "label"].to_dict() == tested
    again = headstart.Features(tap=tap, size_px=size_px, precision=encoder.precision, cache=store)
    origin = Path(run.settings.data)
    paths = [origin / name for name in frame.index[:3]]
    np.testing.assert_allclose(again.fit_transform(paths), X[:3], rtol=1e-5, atol=1e-6)


def test_features__of_a_layer_that_is_not_there_name_those_that_are(run: Run, store: Path) -> None:
    with pytest.raises(BackboneError, match=r"blocks\.4"):
        run.features("block.4", cache=store)

"""Every kind of run in every format says what ``headstart predict`` says; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import headstart
from headstart.backbones import Preprocessing
from headstart.data.decode import read_rgb
from headstart.errors import DataError, HeadstartError, InputError, OutputError, WeightsError
from headstart.export import FromPictures, checking, export, open_classifier
from headstart.export import __all__ as public
from headstart.export.bundle import read_bundle
from headstart.export.caution import CautiousClassifier, check_caution
from headstart.export.crop import Crop, cut_out, onnx_text
from headstart.export.network import Classifier, input_names, load_backbones
from headstart.features.pixels import resize_and_crop
from headstart.heads import Pool
from headstart.runs.caution import Caution
from headstart.runs.classify import classify
from headstart.runs.origin import Origin, remember
from headstart.runs.run import Run
from headstart.runs.sums import write_sums
from headstart.sources.blocks import Blocks

VIEW = Preprocessing(
    size_px=64, crop_pct=0.875, interpolation="bicubic", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
)


def test_public__exists() -> None:
    assert public == sorted(public)
    assert all(getattr(headstart.export, name) for name in public)


def pictures(photos: Path) -> list[Path]:
    """One of each shape, of each class."""
    return sorted(photos.glob("*/[0-2].png"))


def told(run: Run, photos: Path, store: Path) -> np.ndarray[Any, Any]:
    """Probabilities by the run itself."""
    return np.array([p for _, p, _ in classify(run.model, pictures(photos), cache=store)])


def test_classifier__says_what_the_run_says(any_run: Run, photos: Path, store: Path) -> None:
    module = FromPictures(Classifier(any_run.model, load_backbones(any_run.model)))
    batches = [torch.from_numpy(np.array(Image.open(p)))[None] for p in pictures(photos)]
    found = np.array([module(batch)[0].numpy() for batch in batches])
    expected = told(any_run, photos, store)
    assert np.ptp(expected, axis=0).max() > 0.01, "the made-up model tells nothing apart"
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_export__onnx_with_an_older_torch_is_refused_at_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    with pytest.raises(InputError, match=r"needs torch 2.9 or newer, got 2.6.0\+cu124"):
        export(run, out=tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("any_run", "takes"),
    [
        ("finetuned", "pictures"),
        pytest.param("mean", "pictures", marks=pytest.mark.slow),
        pytest.param("several", "pictures", marks=pytest.mark.slow),
        pytest.param("mean", "tensors", marks=pytest.mark.slow),
    ],
    indirect=["any_run"],
)
def test_onnx__is_run_by_onnx_runtime_alone(
    any_run: Run, photos: Path, store: Path, tmp_path: Path, takes: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "m.onnx"
    made = export(any_run, out=out, takes=takes, images=photos, n_check=6, cache=store)
    assert made.check.n_same_class == made.check.n_images == 6
    assert made.check.max_difference < (0.02 if takes == "pictures" else 1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.md"]
    session = onnxruntime.InferenceSession(out)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["headstart"])
    assert facts["classes"] == list(any_run.model.classes)
    assert [i.name for i in session.get_inputs()] == [i["name"] for i in facts["inputs"]]
    if takes == "tensors":
        assert all(i.name.startswith("images_") for i in session.get_inputs())
        return
    expected = told(any_run, photos, store)
    read = [np.array(Image.open(p)) for p in pictures(photos)]
    by_one = [session.run(None, {"images": picture[None]})[0][0] for picture in read]
    np.testing.assert_allclose(by_one, expected, atol=0.03)
    first = pictures(photos)[0]
    (tmp_path / "picture.jpg").write_bytes(first.read_bytes())
    monkeypatch.chdir(tmp_path)
    code = made.card.read_text().partition("```python\n")[2].partition("```")[0]  # as it stands
    exec(code, {})
    assert capsys.readouterr().out.strip() == facts["classes"][np.argmax(by_one[0])]
    seen, on_its_side = Image.open(first).convert("RGB"), Image.Exif()
    on_its_side[0x0112] = 6
    names: dict[str, Any] = {}
    for how in ({"exif": on_its_side}, {"transparency": seen.getpixel((3, 3))}):
        seen.save("picture.jpg", "PNG", **how)
        exec(code, names)
        pixels = np.array(names["picture"])
        assert not np.array_equal(pixels, read[0])
        np.testing.assert_array_equal(pixels, read_rgb(Path("picture.jpg")))
        [by_run] = any_run.predict_proba([Path("picture.jpg")])
        np.testing.assert_allclose(names["probabilities"][0], by_run, atol=0.03)
    same_shape = np.stack(read[::3])
    np.testing.assert_allclose(session.run(None, {"images": same_shape})[0], by_one[::3], atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("any_run", "takes"),
    [("power", "pictures"), ("mean", "pictures"), ("mean", "tensors")],
    indirect=["any_run"],
)
def test_torchscript__is_run_by_torch_alone(
    any_run: Run, photos: Path, store: Path, tmp_path: Path, takes: str
) -> None:
    out = tmp_path / "m.pt"
    made = export(
        any_run, to="torchscript", out=out, takes=takes, images=photos, n_check=6, cache=store
    )
    assert made.check.max_difference < 1e-4
    extra = {"headstart.json": ""}
    module = torch.jit.load(out, _extra_files=extra)
    assert json.loads(extra["headstart.json"])["output"]["name"] == "probabilities"
    if takes == "pictures":
        batches = [torch.from_numpy(np.array(Image.open(p)))[None] for p in pictures(photos)]
        found = [module(batch)[0].numpy() for batch in batches]
        np.testing.assert_allclose(found, told(any_run, photos, store), atol=2e-3)


@pytest.mark.parametrize("any_run", ["frozen", "mean", "several"], indirect=True)
def test_safetensors__opens_without_the_run(
    any_run: Run, photos: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    made = export(any_run, to="safetensors", out=out, images=photos, n_check=6, cache=store)
    assert made.check.max_difference < 1e-6  # where tensors lie in memory changes the order of sums
    module = FromPictures(open_classifier(out))
    batch = torch.from_numpy(np.array(Image.open(pictures(photos)[0])))[None]
    np.testing.assert_allclose(module(batch)[0], told(any_run, photos, store)[0], atol=2e-3)


def test_safetensors__another_files_weights_are_refused(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    out = tmp_path / "m.safetensors"
    export(run, to="safetensors", out=out, n_check=1)
    facts, tensors = msgspec.to_builtins(read_bundle(out)), load_file(out)
    name = next(k for k in tensors if k.endswith("weight") and tensors[k].dtype == torch.float32)
    tensors[name] = tensors[name] + 1
    save_file(tensors, out, metadata={"headstart": json.dumps(facts)})
    with pytest.raises(WeightsError, match="are not those it names"):
        open_classifier(out)
    save_file(tensors, out, metadata={"headstart": json.dumps({**facts, "schema": 99})})
    with pytest.raises(WeightsError, match=r"newer Headstart \(schema 99"):
        open_classifier(out)
    save_file(tensors, out, metadata={"headstart": json.dumps({**facts, "parts": [{}]})})
    with pytest.raises(WeightsError, match="damaged"):
        open_classifier(out)
    out.write_text("no tensors")
    with pytest.raises(WeightsError, match="not a classifier that Headstart exported"):
        open_classifier(out)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
@pytest.mark.parametrize("pct", [0.875, 1.0, 1.1])
def test_crop__is_the_extractions_crop(mode: str, crop_mode: str, pct: float) -> None:
    view = Preprocessing(
        size_px=64, crop_pct=pct, interpolation=mode, mean=VIEW.mean, std=VIEW.std,
        crop_mode=crop_mode,
    )  # fmt: skip
    text = onnx_text([view], ["x"], opset=18, ir_version=10)
    session = onnxruntime.InferenceSession(onnx.parser.parse_model(text).SerializeToString())
    rng = np.random.default_rng(0)
    sizes = [(100, 150), (151, 99), (64, 64), (73, 73), (30, 90), (74, 73), (59, 80)]
    if crop_mode == "center":  # squashed as much, ONNX Runtime's bilinear differs by 20 levels
        sizes += [(3, 49), (49, 3), (1700, 65), (65, 2001)]
    for height, width in sizes:
        small = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
        picture = np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
        expected = resize_and_crop(torch.from_numpy(picture).permute(2, 0, 1), view)
        by_torch = cut_out(torch.from_numpy(picture)[None], *Crop(view)._sizes)
        np.testing.assert_array_equal(by_torch[0].permute(1, 2, 0), expected)
        [normal] = session.run(None, {"images": picture[None]})
        pixels = 255 * (normal[0].transpose(1, 2, 0) * np.array(view.std) + np.array(view.mean))
        np.testing.assert_allclose(pixels, expected, atol=2.01)


def test_input_names__tell_views_of_one_size_apart() -> None:
    other = Preprocessing.from_dict(VIEW.to_dict() | {"crop_pct": 1.0})
    assert input_names([VIEW, other, VIEW.at(96)]) == ("images_64", "images_64_2", "images_96")


def test_export__a_file_that_says_something_else_is_not_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = checking.RUNNERS["torchscript"]

    def wrong(*given: Any) -> Any:
        run_file, runtime = honest(*given)
        return lambda inputs: [run_file(inputs)[0][:, ::-1]], runtime

    monkeypatch.setitem(checking.RUNNERS, "torchscript", wrong)
    with pytest.raises(HeadstartError, match="was not kept"):
        export(run, to="torchscript", out=tmp_path / "m.pt", n_check=4)
    assert list(tmp_path.iterdir()) == []


def test_judged__a_near_tie_may_fall_either_way_and_nan_never() -> None:
    sure: Any = np.array([[0.9, 0.1]])
    tie: Any = np.array([[0.50004, 0.49996]])
    options: Any = {"is_resized": False}
    near = checking._judged("x", tie[:, ::-1], tie, tie, **options)
    assert near.n_same_class == 0
    for found in (sure[:, ::-1], sure + 0.01, sure * np.nan):
        with pytest.raises(HeadstartError):
            checking._judged("x", found, sure, sure, **options)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (
            {"to": "onxx"},
            InputError,
            "`to` must be onnx, torchscript or safetensors; got 'onxx'. Did you mean 'onnx'",
        ),
        ({"takes": "images"}, InputError, "`takes` must be pictures or tensors; got .images."),
        ({"n_check": 0}, InputError, "`n_check` must be at least 1"),
        ({"images": "nowhere"}, DataError, "nowhere"),
    ],
)
def test_export__bad_options(
    run: Run, tmp_path: Path, options: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        export(run, **{"out": tmp_path / "m", **options})
    assert list(tmp_path.iterdir()) == []


def test_export__pictures_that_cannot_be_read_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match="no image to check"):
        export(run, to="torchscript", out=tmp_path / "m", images=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["text.png"]


def test_export__a_file_that_is_there_stays(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "m.pt"
    out.write_text("mine")
    with pytest.raises(
        OutputError, match=r"exists already: choose another `out`, or add `force=True`"
    ):
        export(run, to="torchscript", out=out)
    assert out.read_text() == "mine"
    export(run, to="torchscript", out=out, n_check=1, force=True)
    assert out.stat().st_size > 1000
    with pytest.raises(OutputError, match="is a folder"):
        export(run, out=tmp_path)


def test_export__images_that_are_gone_are_told(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    facts["settings"]["data"] = str(tmp_path / "gone")
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    write_sums(tmp_path / "run")
    other = Run(tmp_path / "run")
    with pytest.raises(DataError, match=r"was not made here.*`images='FOLDER'`"):
        export(other, out=tmp_path / "m.onnx")
    remember(other.folder, Origin(data=str(tmp_path / "gone")))
    with pytest.raises(DataError, match=r"gone.*`images='FOLDER'`"):
        export(other, out=tmp_path / "m.onnx")


def test_export__weights_that_are_gone_are_told(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    model = tmp_path / "run" / "model" / "model.json"
    facts = json.loads(model.read_text())
    facts["backbone"]["weights"] = str(tmp_path / "gone.safetensors")
    model.write_text(json.dumps(facts))
    write_sums(tmp_path / "run")  # the sums notice the change first
    with pytest.raises(WeightsError, match="no such weight file"):
        export(headstart.load(tmp_path / "run"), out=tmp_path / "m.onnx")


CAUTION: dict[str, Any] = {"target_accuracy": 0.6, "label_sets": 0.8, "novelty": 0.9}


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")
@pytest.mark.parametrize("to", ["torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
def test_export__the_file_refuses_as_predict_does(
    run: Run, photos: Path, store: Path, tmp_path: Path, to: str
) -> None:
    out, images = tmp_path / "m", pictures(photos)
    made = export(
        run, to=to, out=out, takes="tensors", images=photos, n_check=9, cache=store, **CAUTION
    )
    assert made.check.n_same_caution == 9
    assert [o.name for o in made.facts.more_outputs] == ["answered", "label_set", "novelty"]
    said = run.predict([*images], **CAUTION)
    facts = made.facts.caution
    assert facts.novelty == CAUTION["novelty"]
    assert 0 <= facts.answer_from <= 1
    assert "where it is false, give no answer" in made.card.read_text()
    module = CautiousClassifier(
        Classifier(run.model, load_backbones(run.model)), run.careful(Caution(**CAUTION))
    )
    whole = FromPictures(module)
    for image, p in zip(images, said, strict=True):
        found = whole(torch.from_numpy(np.array(Image.open(image)))[None])
        probabilities, answered, held, share = (tensor[0].numpy() for tensor in found)
        assert share == pytest.approx(p.novelty, abs=0.06)
        assert p.labels is not None
        assert {run.model.classes[k] for k in np.flatnonzero(held)} == set(p.labels)
        assert bool(answered) == (not p.refused)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_check_caution__compares_novelty_with_predict(run: Run, photos: Path) -> None:
    careful = run.careful(Caution(novelty=0.9))
    said = run.predict(pictures(photos), novelty=0.9)
    p = np.array([[dict(each.top)[c] for c in run.model.classes] for each in said], np.float32)
    share = np.array([each.novelty for each in said], np.float32)

    def outputs(novelty: Any) -> dict[str, Any]:
        return {"probabilities": p, "novelty": novelty, "answered": novelty < np.float32(0.9)}

    check_caution(careful, outputs(share), outputs(share), said)
    near, one = share - 0.08, share[:1] + 0.3  # a file that resizes, one image
    check_caution(careful, outputs(near), outputs(near), said)
    single = {"probabilities": p[:1], "novelty": one, "answered": one < np.float32(0.9)}
    check_caution(careful, single, single, said[:1])
    wrong = share + 0.6  # the file and torch agree, and both are wrong
    with pytest.raises(HeadstartError, match="novelty from predict's"):
        check_caution(careful, outputs(wrong), outputs(wrong), said)


def test_cautious_classifier__compares_with_the_part_whose_features_are_kept(
    run: Run, photos: Path, store: Path
) -> None:
    taps = [tap.name for tap in run.model.load_backbone().taps]
    blocks = Blocks(taps=(taps[2],), resolutions=(96,))
    n_features = run.model.load_backbone().tap(taps[2]).n_features
    coef = np.random.default_rng(0).normal(size=(len(run.model.classes), n_features))
    mean = Run(run.folder)
    mean.model = dataclasses.replace(
        run.model, blocks=blocks, coef=coef, partner=run.model, pool=Pool(1.4, 0.3)
    )
    caution = Caution(novelty=0.9, label_sets=0.8)
    module = CautiousClassifier(
        Classifier(mean.model, load_backbones(mean.model)), mean.careful(caution)
    )
    image = pictures(photos)[0]
    [said] = mean.predict([image], novelty=0.9, label_sets=0.8)
    probabilities, answered, _, share = FromPictures(module)(
        torch.from_numpy(np.array(Image.open(image)))[None]
    )
    assert said.novelty is not None
    assert float(share) == pytest.approx(said.novelty, abs=0.06)
    assert bool(answered) == (not said.refused)
    assert float(probabilities.max()) == pytest.approx(said.probability, abs=2e-3)


@pytest.mark.parametrize(
    ("caution", "says"),
    [
        ({"to": "safetensors", "label_sets": 0.9}, "has weights only: take `to='onnx'`"),
        ({"novelty": 1.5}, "`novelty` must be a number between 0 and 1; got 1.5"),
        ({"label_sets": 0.999}, "`label_sets` 0.999 needs at least"),
    ],
)
def test_export__caution_that_cannot_be_had_is_refused(
    run: Run, tmp_path: Path, caution: Any, says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        export(run, out=tmp_path / "m", **caution)
    assert list(tmp_path.iterdir()) == []

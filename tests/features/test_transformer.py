"""`Features` among scikit-learn's own parts, and ``headstart.features`` of any network."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

import headstart
from headstart.backbones import Preprocessing, load, pool, tapped_forward, transform
from headstart.errors import BackboneError, DataError, InputError
from headstart.features import Features, stream_features
from headstart.features import passes as passes_module
from headstart.heads import LinearSVM, LinearSVMPath

ARCH = "timm:test_efficientnet"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    """Stripes and noise, 24 files."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    x = np.arange(64)
    paths, labels = [], []
    for i in range(24):
        wave = np.sin(x / 2 + i)[None, :, None] if i % 2 else rng.normal(size=(48, 64, 1))
        pixels = (128 + 60 * wave + rng.normal(0, 20, (48, 64, 3))).clip(0, 255).astype(np.uint8)
        paths.append(root / f"{i}.png")
        labels.append("stripes" if i % 2 else "noise")
        Image.fromarray(pixels).save(paths[-1])
    return paths, labels


@pytest.fixture(scope="module")
def net() -> Any:
    return load(ARCH, pretrained=False, seed=1)


def test_features__are_those_of_the_extraction(pictures: Any, net: Any, tmp_path: Path) -> None:
    paths, _ = pictures
    tap = net.taps[2].name
    found = Features(net, tap=tap, size_px=64, cache=tmp_path).fit_transform(paths)
    streamed = stream_features(paths, net, [(tap, 64)], cache=tmp_path)
    expected = np.concatenate([parts[0] for _, _, parts, _ in streamed])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found.dtype == np.float32


def test_features__of_paths_pictures_and_arrays_are_equal(
    pictures: Any, net: Any, tmp_path: Path
) -> None:
    paths = pictures[0][:4]
    step = Features(net, size_px=64, cache=tmp_path)
    expected = step.fit_transform(paths)
    arrays = [np.array(Image.open(p)) for p in paths]
    for given in (
        list(map(str, paths)), np.array(list(map(str, paths))), arrays, np.stack(arrays),
        [Image.open(p) for p in paths], np.array(list(map(str, paths)), object).reshape(-1, 1),
    ):  # fmt: skip
        np.testing.assert_allclose(step.transform(given), expected, atol=1e-5)
    assert step.get_feature_names_out().tolist()[:2] == ["features0", "features1"]
    assert len(step.get_feature_names_out()) == expected.shape[1]
    assert step.transform([]).shape == (0, expected.shape[1])


@pytest.mark.slow
def test_features__grid_search_computes_each_picture_once(
    pictures: Any, net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, labels = pictures
    passes = []
    compute = passes_module.compute
    monkeypatch.setattr(
        passes_module, "compute", lambda work, ids: passes.extend(ids) or compute(work, ids)
    )
    pipe = make_pipeline(Features(net, size_px=64, cache=tmp_path), LinearSVM(device="cpu"))
    grid = {
        "features__tap": [net.taps[1].name, net.taps[3].name, (net.taps[1].name, net.taps[2].name)],
        "linearsvm__C": [0.1, 10.0],
    }
    search = GridSearchCV(pipe, grid, cv=3).fit(paths, labels)
    assert sorted(passes) == sorted(set(passes))
    assert len(passes) == 24
    assert search.best_score_ > 0.8
    assert (search.predict(paths) == np.array(labels)).mean() > 0.8
    assert search.best_estimator_[0].digest_ == net.digest


def test_features__the_guides_grid_search_runs_as_it_stands(
    pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    guide = Path(__file__).parents[2] / "docs" / "features.md"
    blocks = re.findall(
        r"^```python\n(.*?)^```", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    [block] = [block for block in blocks if "GridSearchCV" in block]
    names: dict[str, Any] = {"paths": pictures[0], "labels": pictures[1]}
    exec(block, names)
    assert names["search"].best_score_ > 0.8
    assert "features__tap" in capsys.readouterr().out


def test_features__by_name_can_be_cloned_pickled_and_shown(pictures: Any, tmp_path: Path) -> None:
    paths, labels = pictures
    step = Features("embedded", tap="blocks.2", size_px=64, cache=tmp_path)
    again = clone(step)
    assert again.get_params() == step.get_params()
    assert "tap='blocks.2'" in repr(step)
    fitted = pickle.loads(pickle.dumps(step.fit(paths)))  # noqa: S301 - our own
    np.testing.assert_array_equal(fitted.transform(paths[:2]), again.transform(paths[:2]))
    path = make_pipeline(again, LinearSVMPath((1.0, 100.0), cv=3, device="cpu"))
    assert cross_val_score(path, paths, labels, cv=2).mean() > 0.8


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"tap": "blocks.99"}, BackboneError, "has no tap 'blocks.99'"),
        ({"tap": ()}, InputError, "one layer or several different"),
        ({"pooling": "median"}, InputError, "pooling 'median' is unknown"),
        ({"precision": "int4"}, InputError, "int4"),
        ({"backbone": "rasnet50"}, BackboneError, "resnet50"),
        ({"arch": "resnet50"}, InputError, "a loaded backbone has its own"),
    ],
)
def test_features__wrong_settings(
    pictures: Any, net: Any, options: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Features(**{"backbone": net, "size_px": 64} | options).fit_transform(pictures[0][:1])


def test_features__a_bad_image_is_named(pictures: Any, net: Any, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("text")
    step = Features(net, size_px=64, cache=tmp_path)
    with pytest.raises(DataError, match=r"image 1 of X: .*it holds text"):
        step.transform([pictures[0][0], text])
    with pytest.raises(DataError, match=r"image 0 of X: cannot read .*No such file"):
        step.transform([tmp_path / "none.png"])
    with pytest.raises(DataError, match=r"image 0 must be a uint8 array of shape .* got float64"):
        step.transform([np.zeros((8, 8, 3))])
    with pytest.raises(DataError, match=r"image 1 must be a path, the bytes .*; got int"):
        step.transform([pictures[0][0], 3])


def test_features__a_file_its_bytes_and_its_picture_are_one_image(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(values).resize((90, 60))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    picture.save(path, exif=exif)
    X = Features(size_px=32).fit_transform([path, path.read_bytes(), Image.open(path)])
    np.testing.assert_array_equal(X[1], X[0])
    np.testing.assert_array_equal(X[2], X[0])


def test_any_module__of_timm_takes_what_its_classifier_is_given(pictures: Any) -> None:
    paths = pictures[0][:3]
    model = timm.create_model("test_efficientnet", num_classes=7)
    model.train()
    found = headstart.extract_features(model, paths, batch_size=2)
    assert model.training
    assert model.bn1.training
    model.eval()
    net = load(ARCH, pretrained=False)
    batch = torch.stack([transform(Image.open(p).convert("RGB"), net.preprocessing) for p in paths])
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(batch), pre_logits=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        headstart.extract_features(model, batch), found, rtol=1e-4, atol=1e-5
    )


def test_any_module__of_torchvision_with_its_transform(pictures: Any) -> None:
    paths = pictures[0][:2]
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    model = torchvision.models.resnet18(weights=None).eval()
    with pytest.raises(InputError, match=r"ResNet is not known: give transform=weights.transforms"):
        headstart.extract_features(model, paths)
    found = headstart.extract_features(
        model, paths, layer="layer2.1", transform=weights.transforms()
    )
    batch = torch.stack([weights.transforms()(Image.open(p).convert("RGB")) for p in paths])
    body = nn.Sequential(*list(model.children())[:6])
    with torch.no_grad():
        np.testing.assert_allclose(found, body(batch).mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert headstart.extract_features(model, batch).shape == (2, 512)


def test_any_module__of_ones_own() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 3, stride=2))
    images = torch.randn(5, 3, 20, 20)
    with torch.no_grad():
        expected = trunk(images).mean((2, 3))
    np.testing.assert_allclose(headstart.extract_features(trunk, images), expected, atol=1e-5)
    by_max = headstart.extract_features(trunk, images, layer="1", pooling="max")
    with torch.no_grad():
        np.testing.assert_allclose(by_max, trunk[:2](images).amax((2, 3)), atol=1e-5)
    half = headstart.extract_features(trunk.to(torch.bfloat16), images)
    np.testing.assert_allclose(half, expected, atol=0.05)
    square = Preprocessing(
        size_px=20, crop_pct=1, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1)
    )
    picture = np.full((40, 30, 3), 255, np.uint8)
    assert headstart.extract_features(trunk.float(), [picture], transform=square).shape == (1, 5)


@pytest.mark.parametrize(
    ("model", "images", "options", "error", "says"),
    [
        ("resnet50", [], {}, InputError, "take headstart.Features"),
        (nn.Conv2d(3, 4, 1), torch.zeros(3, 8, 8), {}, DataError, r"must be \(n, 3, height, width\)"),
        (nn.Conv2d(3, 4, 1), torch.zeros(0, 3, 8, 8), {}, DataError, "is empty"),
        (nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 8, 8), {"layer": "x"}, BackboneError, "no layer 'x'"),
        (nn.Conv2d(3, 4, 9), torch.zeros(1, 3, 8, 8), {}, BackboneError, "cannot take an input of 8x8"),
        (nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 8, 8), {"pooling": "x"}, InputError, "pooling"),
        (nn.Conv2d(3, 4, 1), ["x.png"], {"transform": 3}, InputError, "callable"),
    ],
)  # fmt: skip
def test_any_module__wrong_input(
    model: Any, images: Any, options: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        headstart.extract_features(model, images, **options)


def test_package__is_callable_and_still_a_package(net: Any) -> None:
    import headstart.features

    assert headstart.features.Features is headstart.Features
    batch = torch.zeros(1, 3, 64, 64)
    tap = net.taps[0]
    found = headstart.extract_features(net.module, batch, layer=tap.name)
    expected = pool(tapped_forward(net, batch, [tap.name])[tap.name], tap)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

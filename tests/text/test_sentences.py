"""The sentence encoder's cache and errors; the package itself is optional and stood in for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.errors import InputError, WeightsError
from headstart.text.sentences import encode_sentences, encoder_digest


class _Encoder:
    """Encodes a text as its length and its number of words."""

    seen: list[str]

    def __init__(self, path: str, **_: object) -> None:
        if not (Path(path) / "modules.json").exists():
            raise OSError("no modules.json\nthere")
        _Encoder.seen = []

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        _Encoder.seen += texts
        return np.array([[len(t), len(t.split())] for t in texts], dtype=np.float32)


@pytest.fixture
def encoder(tmp_path, monkeypatch) -> Path:
    stand_in = SimpleNamespace(SentenceTransformer=_Encoder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", stand_in)
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "modules.json").write_text("{}")
    return tmp_path / "encoder"


def test_encode_sentences__encodes_a_text_once(encoder, tmp_path) -> None:
    first = encode_sentences(encoder, ["a b", "c", "a b"], cache=tmp_path)
    assert first.tolist() == [[3, 2], [1, 1], [3, 2]]
    assert sorted(_Encoder.seen) == ["a b", "c"]
    again = encode_sentences(encoder, ["d e f", "c"], cache=tmp_path)
    assert again.tolist() == [[5, 3], [1, 1]]
    assert _Encoder.seen == ["d e f"]


def test_encode_sentences__another_encoder_has_features_of_its_own(encoder, tmp_path) -> None:
    before = encoder_digest(encoder)
    (encoder / "weights").write_text("other")
    assert encoder_digest(encoder) != before


def test_encode_sentences__damaged_features_are_made_anew(encoder, tmp_path) -> None:
    encode_sentences(encoder, ["a"], cache=tmp_path)
    [kept] = tmp_path.glob("sentences/*/features.npz")
    kept.write_bytes(b"damaged")
    assert encode_sentences(encoder, ["a"], cache=tmp_path).tolist() == [[1, 1]]


def test_encode_sentences__bad_input(encoder, tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match="no such folder of a sentence encoder"):
        encode_sentences(tmp_path / "none", ["a"])
    (encoder / "modules.json").unlink()
    with pytest.raises(WeightsError, match=r"holds no sentence encoder: no modules\.json"):
        encode_sentences(encoder, ["a"])
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match="need the package sentence-transformers: pip install"):
        encode_sentences(encoder, ["a"])

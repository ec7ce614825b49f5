"""The network against plain NumPy, and what each variant trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.errors import DataError, InputError, RunError, WeightsError
from headstart.text import (
    VARIANTS,
    TextCNN,
    TextTraining,
    TrainedText,
    Vocabulary,
    load_textcnn,
    predict_proba,
    save_textcnn,
    telling_ngrams,
    tokenize,
    train_textcnn,
)
from headstart.text.batches import TokenRows, bucketed_order
from headstart.text.ngrams import contributions
from headstart.text.textcnn import limit_norms, linear_of

WORDS = ("good", "fine", "bad", "poor", "the", "film", "is", "and")
VOCABULARY = Vocabulary.build([list(WORDS)])
SMALL = {"widths": (2, 3), "n_maps": 6, "n_features": 8, "dropout": 0.1, "batch_size": 8}


def texts(n: int, seed: int = 0) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Words at random, one of which tells the class."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for i in range(n):
        label = ("no", "yes")[i % 2]
        telling = ("bad", "poor") if label == "no" else ("good", "fine")
        words = [*rng.choice(WORDS[4:], size=rng.integers(0, 7)), rng.choice(telling)]
        rows.append(VOCABULARY.encode(rng.permutation(words)))
        labels.append(label)
    return rows, labels


def vectors(d: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(len(VOCABULARY), d)).astype(np.float32)


def plain_logits(model: TextCNN, row: NDArray[np.int64]) -> NDArray[np.float64]:
    """The formula of Kim 2014, sections 2 and 2.2, word by word."""
    tables = [c.weight.detach().numpy() for c in model.channels.values()]
    d = tables[0].shape[1]
    found = []
    for width in model.widths:
        maps = model.maps[f"width{width}"]
        weight, bias = maps.weight.detach().numpy(), maps.bias.detach().numpy()
        words = [*row, *[0] * max(0, width - len(row))]
        best = np.full(len(weight), -np.inf)
        for start in range(len(words) - width + 1):
            response = bias.astype(np.float64).copy()
            for j in range(width):
                for c, table in enumerate(tables):
                    response += weight[:, c * d : (c + 1) * d, j] @ table[words[start + j]]
            best = np.maximum(best, response)
        found.append(np.maximum(best, 0))
    linear = linear_of(model)
    return linear.weight.detach().numpy() @ np.concatenate(found) + linear.bias.detach().numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_textcnn__equals_the_plain_formula(variant: str) -> None:
    given_vectors = None if variant == "rand" else vectors()
    model = TextCNN(
        len(VOCABULARY), 8, 3, variant=variant, widths=(2, 3), n_maps=5, vectors=given_vectors
    ).eval()
    rows = [*texts(6)[0], np.array([4]), np.array([], dtype=np.int64)]
    batch = TokenRows.of(rows, n_words=len(VOCABULARY)).padded(torch.arange(len(rows)))
    with torch.no_grad():
        logits = model(batch).numpy()
    np.testing.assert_allclose(logits, [plain_logits(model, r) for r in rows], atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_train__changes_what_the_variant_trains_and_nothing_else(variant: str) -> None:
    rows, labels = texts(24)
    start = vectors()
    plan = TextTraining(variant=variant, epochs=2, **SMALL)  # type: ignore[arg-type]
    model = train_textcnn(rows, labels, VOCABULARY, start, plan).model
    assert (
        set(model.channels)
        == {
            "rand": {"tuned"},
            "static": {"static"},
            "non-static": {"tuned"},
            "multichannel": {"static", "tuned"},
        }[variant]
    )
    start[0] = 0
    for name, channel in model.channels.items():
        weight = channel.weight.numpy()
        assert (weight[0] == 0).all(), "padding stays zero"
        assert np.array_equal(weight, start) == (name == "static")
    norms = linear_of(model).weight.norm(dim=1)
    assert float(norms.max()) <= 3 + 1e-5


def test_limit_norms__shortens_long_rows_only() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    limit_norms(weight, 2.5)
    torch.testing.assert_close(weight, torch.tensor([[1.5, 2.0], [0.3, 0.4], [0.0, 0.0]]))


def test_train__learns_from_words_and_predicts_any_batch_alike() -> None:
    rows, labels = texts(64)
    test_rows, test_labels = texts(40, seed=5)
    plan = TextTraining(variant="rand", epochs=12, lr=1e-2, **SMALL)  # type: ignore[arg-type]
    trained = train_textcnn(rows, labels, VOCABULARY, None, plan)
    P = trained.proba(test_rows)
    np.testing.assert_allclose(P.sum(1), 1)
    right = np.array(trained.classes)[P.argmax(1)] == np.array(test_labels)
    assert right.mean() >= 0.95
    one_by_one = np.vstack([predict_proba(trained.model, [row]) for row in test_rows])
    np.testing.assert_allclose(P, one_by_one, atol=1e-6)


class StopError(Exception):
    """Stands in for a kill."""


def test_train__same_seed_same_result_and_a_stopped_run_goes_on_to_it(tmp_path: Path) -> None:
    rows, labels = texts(32)
    plan = TextTraining(variant="non-static", epochs=4, **SMALL)  # type: ignore[arg-type]

    def run(**more: object) -> TrainedText:
        return train_textcnn(rows, labels, VOCABULARY, vectors(), plan, **more)  # type: ignore[arg-type]

    def stop(history: tuple[object, ...]) -> None:
        if len(history) == 2:
            raise StopError

    whole = run()
    with pytest.raises(StopError):
        run(folder=tmp_path, on_epoch=stop)
    for other in (run(), run(folder=tmp_path)):
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, other.model.state_dict()[name]), name


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=120),
    batch_size=st.integers(1, 50),
    epoch=st.integers(1, 5),
)
def test_bucketed_order__every_text_once_and_hardly_any_padding(
    lengths: list[int], batch_size: int, epoch: int
) -> None:
    L = torch.tensor(lengths)
    batches = bucketed_order(L, batch_size, 0, epoch)
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(len(L)))
    assert len(batches) == -(-len(L) // batch_size)
    waste = sum(int((L[b].max() - L[b]).sum()) for b in batches)
    assert waste <= batch_size * (max(lengths) - min(lengths))


def test_contributions__make_up_the_logits() -> None:
    rows, labels = texts(40)
    plan = TextTraining(variant="rand", epochs=20, lr=1e-2, **SMALL)  # type: ignore[arg-type]
    trained = train_textcnn(rows, labels, VOCABULARY, None, plan)
    linear = linear_of(trained.model)
    centred = linear.weight.double() - linear.weight.double().mean(0)
    features = trained.model.penultimate(
        TokenRows.of(rows[:1], n_words=len(VOCABULARY)).words[None]
    )
    expected = (features.double() @ centred.T)[0].numpy()
    total = np.sum([score for _, score in contributions(trained.model, rows[:1])], axis=0)
    np.testing.assert_allclose(total, expected, atol=1e-5)
    told = telling_ngrams(trained.model, rows, VOCABULARY, trained.classes, most=3)
    assert any({"good", "fine"} & set(ngram.words) for ngram in told["yes"])
    assert any({"bad", "poor"} & set(ngram.words) for ngram in told["no"])


def test_saving__a_network_comes_back_and_a_damaged_file_says_so(tmp_path: Path) -> None:
    rows, labels = texts(16)
    plan = TextTraining(variant="multichannel", epochs=1, **SMALL)  # type: ignore[arg-type]
    trained = train_textcnn(rows, labels, VOCABULARY, vectors(), plan)
    path = save_textcnn(tmp_path, trained, VOCABULARY)
    again, words = load_textcnn(tmp_path)
    assert words == VOCABULARY
    np.testing.assert_array_equal(again.proba(rows), trained.proba(rows))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        load_textcnn(tmp_path)
    path.unlink()
    with pytest.raises(RunError, match="missing"):
        load_textcnn(tmp_path)


def test_train__bad_input_is_named() -> None:
    rows, labels = texts(8)
    plan = TextTraining(variant="static", epochs=1, **SMALL)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs word vectors"):
        train_textcnn(rows, labels, VOCABULARY, None, plan)
    with pytest.raises(InputError, match="must have shape"):
        train_textcnn(rows, labels, VOCABULARY, vectors()[:3], plan)
    with pytest.raises(DataError, match="two classes"):
        train_textcnn(rows, ["yes"] * 8, VOCABULARY, vectors(), plan)
    with pytest.raises(InputError, match="word number 99"):
        train_textcnn([*rows[:7], np.array([99])], labels, VOCABULARY, vectors(), plan)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't go: it's 3.5!", ["do", "n't", "go", ":", "it", "'s", "3", ".", "5", "!"]),
        ("", []),
        ("  \n", []),
        ("naïve café", ["naïve", "café"]),
        ("日本", ["日", "本"]),
    ],
)
def test_tokenize__words_and_punctuation(text: str, expected: list[str]) -> None:
    assert tokenize(text) == expected


def test_vocabulary__most_frequent_first_and_unknown_words_have_a_number() -> None:
    made = Vocabulary.build([["b", "a", "b"], ["c", "a"], ["c"]], most=2)
    assert made.words == ("<pad>", "<unk>", "a", "b")
    assert made.encode(["b", "z"]).tolist() == [3, 1]

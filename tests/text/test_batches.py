"""Texts joined, cut, filled up and put into batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import InputError
from headstart.text.batches import TextBatches, TokenRows, bucketed_order, even_chunks
from headstart.training.batches import weighted_targets

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60)


def rows_of(lengths: list[int]) -> TokenRows:
    rng = np.random.default_rng(0)
    return TokenRows.of([rng.integers(1, 9, n) for n in lengths], n_words=9)


@given(LENGTHS)
def test_padded__gives_every_word_back(lengths: list[int]) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 9, n) for n in lengths]
    made = TokenRows.of(rows, n_words=9).padded(torch.arange(len(rows)))
    assert made.shape == (len(rows), max([1, *lengths]))
    for row, filled in zip(rows, made.numpy(), strict=True):
        np.testing.assert_array_equal(filled[: len(row)], row)
        assert not filled[len(row) :].any()


def test_bucketed_order__differs_by_epoch_and_is_the_same_for_the_same_seed() -> None:
    lengths = torch.arange(1, 101) % 7
    orders = [bucketed_order(lengths, 8, seed, epoch) for seed, epoch in ((0, 1), (0, 1), (0, 2))]
    first, again, other = (torch.cat(order) for order in orders)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    sizes = {len(batch) for batch in orders[0]}
    assert max(sizes) - min(sizes) <= 1


def test_bucketed_order__pads_little_where_a_random_order_pads_much() -> None:
    lengths = torch.from_numpy(np.random.default_rng(0).lognormal(2.6, 0.6, 2000).astype(np.int64))

    def waste(batches: list[torch.Tensor]) -> float:
        whole = sum(int(lengths[b].max()) * len(b) for b in batches)
        return whole / int(lengths.sum()) - 1

    assert waste(bucketed_order(lengths, 50, 0, 1)) < 0.1
    shuffled = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    assert waste(list(shuffled.split(50))) > 1


@given(LENGTHS, st.integers(1, 200))
def test_even_chunks__every_row_once_and_bounded(lengths: list[int], n_words: int) -> None:
    rows = rows_of(lengths)
    chunks = list(even_chunks(rows, n_words))
    assert torch.equal(torch.cat(chunks).sort().values, torch.arange(len(lengths)))
    for chunk in chunks:
        assert len(chunk) == 1 or len(chunk) * max(1, int(rows.lengths[chunk].max())) <= n_words


def test_token_rows__leave_out_what_is_beyond_the_limit() -> None:
    rows = TokenRows.of([np.arange(1, 9), np.array([3])], n_words=9, max_words=3)
    assert rows.padded(torch.tensor([0, 1])).tolist() == [[1, 2, 3], [3, 0, 0]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (np.array([1, 0, 2]), r"row 1 has the word number 0.*0 is padding"),
        (np.array([9]), r"row 1 has the word number 9; .* from 1 to 8"),
        (np.array([-1]), r"word number -1"),
        (np.array([1.5]), r"row 1 must be a one-dimensional array of word numbers"),
        (np.ones((2, 2), dtype=np.int64), r"shape \(2, 2\)"),
        (np.array(["a"]), r"must be a one-dimensional array"),
    ],
)
def test_token_rows__refuse_what_is_no_word(row: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TokenRows.of([np.array([1]), row], n_words=9)


def test_text_batches__give_words_with_their_labels() -> None:
    rows = rows_of([1, 2, 3, 4, 5])
    targets = weighted_targets(torch.tensor([0, 1, 0, 1, 1]), 2)
    none = TokenRows.of([], n_words=9)
    batches = TextBatches(
        train=rows, val=rows, targets=targets, val_targets=targets, batch_size=2, seed=0
    )
    seen = [batches.train_batch(indices, 1, 0) for indices in batches.order(1)]
    assert [len(b.inputs) for b in seen] == [len(b.targets) for b in seen]
    val = list(batches.val_batches())
    assert sum(len(b.targets) for b in val) == 5
    assert torch.equal(torch.cat([b.targets for b in val]), targets)
    assert list(even_chunks(none)) == []
    assert bucketed_order(none.lengths, 2, 0, 1) == []

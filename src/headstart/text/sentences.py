"""One pass of texts through a frozen sentence encoder: features of every layer, stored by content."""

from __future__ import annotations

import hashlib
import importlib
import logging
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.sources import shown
from headstart.errors import InputError, WeightsError, argument, explain_full_memory, one_line
from headstart.features import FeatureKey, FeatureStore
from headstart.features.engines import pick_device
from headstart.probe.memo import code_digest
from headstart.progress import Progress, silent
from headstart.text.encoders import Encoder, count, read_encoder, read_json
from headstart.text.transformer import Network, load_network

logger = logging.getLogger(__name__)

STAGE = "encode texts"
# Texts per shard of the store, tokenized together and sorted by length: an interruption costs at
# most one shard.
SHARD_TEXTS = 1024
# Sample size for timing an encoder, and the number of texts below which it is not timed.
N_TIMED, FEW_TEXTS = 128, 512
# Tokens of a batch, padding included. On two cores of a CPU 512 to 2,048 are equally fast.
BATCH_TOKENS = 2048
BATCH_TOKENS_GPU = 65_536


def encoder_key(encoder: Encoder) -> FeatureKey:
    """Everything but the text that decides its features."""
    return FeatureKey(
        weights=encoder.digest,
        arch=encoder.arch,
        taps=tuple((tap, tap) for tap in encoder.taps),
        preprocessing={
            "max_tokens": encoder.max_tokens,
            "lowers_case": encoder.lowers_case,
            "code": code_digest("text/encoders.py", "text/transformer.py", "text/sentences.py"),
        },
        precision="float32",
        pooling=" and ".join(encoder.poolings),
    )


def text_digest(text: str) -> str:
    """SHA-256 of a text: its key in the store."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def open_store(encoder: Encoder, cache: Path) -> FeatureStore:
    """The store of an encoder's features in a cache folder."""
    return FeatureStore(encoder_key(encoder), cache)


def prepare(encoder: Encoder, device: str | None = None) -> None:
    """Load the tokenizer and the network, so that damaged files are refused before any other work.

    Raises
    ------
    InputError, WeightsError
        As `fill_store`.
    """
    load_tokenizer(encoder)
    load_network(encoder, pick_device(device))


def fill_store(
    store: FeatureStore,
    encoder: Encoder,
    texts: Sequence[str],
    *,
    device: str | None = None,
    progress: Progress = silent,
) -> None:
    """Compute the features of the texts that the store lacks.

    Each distinct text passes through the network once and has one row under its `text_digest`. After
    an interruption the next call computes what is missing.

    Parameters
    ----------
    store : FeatureStore
        From `open_store`.
    encoder : Encoder
    texts : sequence of str
    device : str, optional
        A torch device; default: the best available.
    progress : Progress
        Told of :data:`STAGE`.

    Raises
    ------
    InputError
        A package is not installed.
    WeightsError
        The files of the encoder are damaged.
    OutputError
        The disk is full or read-only.
    """
    by_digest = {text_digest(text): text for text in texts}
    missing = store.missing(by_digest)
    if not missing:
        return
    progress(STAGE, 0, len(missing))
    passing = _Pass(encoder, device)
    for start in range(0, len(missing), SHARD_TEXTS):
        part = missing[start : start + SHARD_TEXTS]

        def told(n_done: int, start: int = start) -> None:
            progress(STAGE, start + n_done, len(missing))

        store.add(part, passing([by_digest[digest] for digest in part], told))
    passing.report()


def estimate_seconds(
    store: FeatureStore, encoder: Encoder, texts: Sequence[str], *, device: str | None = None
) -> float:
    """Seconds that `fill_store` would take, from the time of some of the texts, which it stores.

    0 where it does not matter: all are stored, or there are few texts.
    """
    by_digest = {text_digest(text): text for text in texts}
    missing = store.missing(by_digest)
    if len(missing) <= FEW_TEXTS:
        return 0.0
    some = missing[:: max(1, len(missing) // N_TIMED)]
    load_network(encoder, pick_device(device))  # loading is not timed
    started = time.perf_counter()
    fill_store(store, encoder, [by_digest[digest] for digest in some], device=device)
    return (time.perf_counter() - started) * (len(missing) / len(some) - 1)


def encode(
    encoder: Encoder,
    texts: Sequence[str],
    taps: Sequence[str],
    *,
    device: str | None = None,
) -> list[NDArray[np.float32]]:
    """Features of texts without a store, (n, d) for each of `taps`.

    Values are rounded to float16, as stored ones are, so that a prediction does not depend on whether
    features were stored.

    Raises
    ------
    InputError, WeightsError
        As `fill_store`.
    """
    if not len(texts):
        width = count(encoder, "hidden_size", "dim", "d_model", "n_embd")
        return [np.empty((0, width), dtype=np.float32) for _ in taps]
    passing = _Pass(encoder, device)
    parts: list[list[NDArray[np.float32]]] = [[] for _ in taps]
    for start in range(0, len(texts), SHARD_TEXTS):
        found = passing(texts[start : start + SHARD_TEXTS])
        for part, tap in zip(parts, taps, strict=True):
            part.append(found[tap].astype(np.float16).astype(np.float32))
    return [np.concatenate(part) for part in parts]


class _Pass:
    """An encoder ready to run."""

    def __init__(self, encoder: Encoder, device: str | None) -> None:
        self._encoder, self._device = encoder, pick_device(device)
        self._tokenizer = load_tokenizer(encoder)
        self._network: Network = load_network(encoder, self._device)
        self._budget = BATCH_TOKENS if self._device == "cpu" else BATCH_TOKENS_GPU
        self._n_cut = 0

    def __call__(
        self, texts: Sequence[str], told: Any = lambda n_done: None
    ) -> dict[str, NDArray[np.float32]]:
        """Features of some texts, (n, d) for each tap, in the order of the texts."""
        rows = self._tokenize(texts)
        made: dict[str, NDArray[np.float32]] = {}
        n_done = 0
        for chosen in batches([len(row) for row in rows], self._budget):
            for tap, values in self._batch([rows[i] for i in chosen]).items():
                whole = made.setdefault(tap, np.empty((len(rows), values.shape[1]), np.float32))
                whole[chosen] = values
            n_done += len(chosen)
            told(n_done)
        return made

    def report(self) -> None:
        """Log how many texts were cut."""
        if self._n_cut:
            logger.warning(
                "%s of the texts are longer than the %s tokens that the sentence encoder reads: it "
                "does not see their ends",
                f"{self._n_cut:,}",
                self._encoder.max_tokens,
            )

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        lower = self._encoder.lowers_case
        # The tokenizer does not take halves of surrogate pairs.
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        found = self._tokenizer.encode_batch([t.lower() for t in clean] if lower else clean)
        self._n_cut += sum(bool(one.overflowing) for one in found)
        # A text without known tokens still needs one token to attend to.
        return [one.ids or [0] for one in found]

    def _batch(self, rows: Sequence[Sequence[int]]) -> dict[str, NDArray[np.float32]]:
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        with explain_full_memory(self._device), torch.inference_mode():
            ids, mask = ids.to(self._device), mask.to(self._device)
            layers = self._network(ids, mask)
            pooled = [pool(h, mask, how) for how in self._encoder.poolings for h in layers]
            values = [p.float().cpu().numpy() for p in pooled]
        return dict(zip(self._encoder.taps, values, strict=True))


def batches(lengths: Sequence[int], budget: int) -> Iterator[NDArray[np.intp]]:
    """Positions of texts of similar length, in batches of at most `budget` tokens with padding."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        is_last = end == len(order)
        if is_last or (end + 1 - start) * lengths[order[end]] > budget:
            yield order[start:end]
            start = end


def pool(h: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector per text, (B, d), of a layer's output (B, T, d)."""
    if how == "class token":
        return h[:, 0]
    if how == "last token":
        return h[torch.arange(h.shape[0], device=h.device), mask.sum(dim=1) - 1]
    weights = mask.to(h.dtype) / mask.sum(dim=1, keepdim=True)
    return torch.einsum("bt,btd->bd", weights, h)


def load_tokenizer(encoder: Encoder) -> Any:
    """The tokenizer of an encoder; it truncates texts and does not pad them."""
    return _read_tokenizer(encoder.root, encoder.digest)


# One is kept, as one network is.
@lru_cache(maxsize=1)
def _read_tokenizer(root: Path, digest: str) -> Any:
    encoder = read_encoder(root)
    try:
        tokenizers: Any = importlib.import_module("tokenizers")
    except ImportError:
        raise InputError(
            "a sentence encoder needs the package tokenizers: pip install 'headstart[text]', or "
            f"leave {argument('encoder')} out"
        ) from None
    path = encoder.folder / "tokenizer.json"
    try:
        if path.is_file():
            made = tokenizers.Tokenizer.from_file(str(path))
        else:
            path = encoder.folder / "vocab.txt"
            kept = read_json(encoder.folder / "tokenizer_config.json", optional=True)
            lowers = kept.get("do_lower_case", True)
            made = tokenizers.BertWordPieceTokenizer(str(path), lowercase=lowers)
        made.no_padding()
        made.enable_truncation(encoder.max_tokens)
    except Exception as error:  # the package raises plain exceptions
        raise WeightsError(
            f"the tokenizer {shown(path)} cannot be read ({one_line(str(error), limit=120)}): get "
            "the files of the sentence encoder again"
        ) from None
    n_known = count(encoder, "vocab_size")
    if made.get_vocab_size() > n_known:
        raise WeightsError(
            f"the tokenizer {shown(path)} has {made.get_vocab_size():,} tokens and the network "
            f"{n_known:,}: get the files of the sentence encoder again"
        )
    return made

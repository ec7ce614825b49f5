"""Vocabularies and encoded images of a data set, computed once and stored with the descriptors."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.baselines.descriptors import Descriptors
from headstart.baselines.encoding import (
    BETA,
    N_NEAREST,
    Assignment,
    assign_words,
    fisher_vector,
    spatial_pyramid,
)
from headstart.baselines.sift import root_sift
from headstart.baselines.vocabulary import (
    MIXTURE_ROWS,
    Mixture,
    fit_mixture,
    fit_vocabulary,
    sample_descriptors,
)
from headstart.files import write_atomically
from headstart.progress import Progress, silent

Floats = NDArray[np.float32]


class Encoder:
    """Encodes images as rows, with words learnt only from the training images.

    Parameters
    ----------
    store : Descriptors
        Must contain every encoded image.
    training : sequence of str
        Digests of the images from which words are learnt.
    """

    def __init__(
        self, store: Descriptors, training: Sequence[str], progress: Progress = silent
    ) -> None:
        self.store, self.settings = store, store.settings
        self.training, self.progress = training, progress
        self._sample: tuple[Floats, Floats] | None = None

    def words(self, n_words: int) -> Floats:
        """A vocabulary, float32 (n_words, 128).

        Raises InputError where there are too few descriptors.
        """
        key = {"what": "words", "n": n_words, **self._sampled()}
        seed = self.settings.seed
        return self._kept(key, lambda: fit_vocabulary(self.sample()[0], n_words, seed))

    def mixture(self) -> Mixture:
        """The mixture of the Fisher vector.

        Raises InputError where there are too few descriptors.
        """
        s = self.settings
        key = {
            "what": "mixture",
            "rows": MIXTURE_ROWS,
            "n": s.n_gaussians,
            "d": s.n_components,
            **self._sampled(),
        }
        fitted: list[Mixture] = []

        def part(name: str) -> Callable[[], Floats]:
            def compute() -> Floats:
                if not fitted:
                    sample = self.sample()
                    fitted.append(fit_mixture(*sample, s.n_gaussians, s.n_components, s.seed))
                return np.asarray(asdict(fitted[0])[name])

            return compute

        names = Mixture.__dataclass_fields__
        return Mixture(**{name: self._kept({"part": name, **key}, part(name)) for name in names})

    def pyramids(self, digests: Sequence[str], n_words: int, how: Assignment) -> Floats:
        """One row per image: `spatial_pyramid`, whose first ``n_words`` columns are the plain bag."""
        words, n_levels = self.words(n_words), self.settings.n_levels

        def encode(digest: str) -> Floats:
            found, places = self.store.read(digest)
            index, weight = assign_words(root_sift(found), words, how)
            return spatial_pyramid(index, weight, places, n_words, n_levels)

        key = {"what": "pyramids", "n": n_words, "how": how, "levels": n_levels}
        key |= {"beta": BETA, "nearest": N_NEAREST, "words": _digest(words)}
        return self._encoded(f"{n_words} words, {how}", key, digests, encode)

    def fisher_vectors(self, digests: Sequence[str]) -> Floats:
        """One row per image: `fisher_vector`."""
        mixture = self.mixture()

        def encode(digest: str) -> Floats:
            found, places = self.store.read(digest)
            return fisher_vector(root_sift(found), places, mixture)

        key = {
            "what": "fisher",
            "schema": 2,
            "mixture": [_digest(a) for a in asdict(mixture).values()],
        }
        return self._encoded("Fisher vectors", key, digests, encode)

    def sample(self) -> tuple[Floats, Floats]:
        """A sample of the training images' descriptors and their positions, drawn once."""
        if self._sample is None:
            s = self.settings
            self._sample = sample_descriptors(self.store, self.training, s.n_sampled, s.seed)
        return self._sample

    def _sampled(self) -> dict[str, Any]:
        """The key of the sample."""
        s = self.settings
        return {
            "schema": 2,
            "sampled": s.n_sampled,
            "seed": s.seed,
            "training": list(self.training),
        }

    def _encoded(
        self,
        stage: str,
        key: Mapping[str, Any],
        digests: Sequence[str],
        encode: Callable[[str], Floats],
    ) -> Floats:
        """Rows of all images, computed by threads (NumPy's products release the GIL)."""

        def compute() -> Floats:
            rows: list[Floats] = []
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for row in pool.map(encode, digests):
                    rows.append(row)
                    if len(rows) % 50 == 0 or len(rows) == len(digests):
                        said = f"encode images, {stage} ({len(digests):,})"
                        self.progress(said, len(rows), len(digests))
            return np.stack(rows)

        return self._kept({**key, "images": list(digests)}, compute)

    def _kept(self, key: Mapping[str, Any], compute: Callable[[], Floats]) -> Floats:
        """An array from the cache folder, computed and stored if it is missing."""
        text = json.dumps(key, sort_keys=True)
        path = self.store.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.float32)
        except (OSError, ValueError):
            found = compute()
        buffer = io.BytesIO()
        np.save(buffer, found, allow_pickle=False)
        write_atomically(path, buffer.getvalue())
        return found


def _digest(values: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()

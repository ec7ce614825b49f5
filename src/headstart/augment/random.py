"""Random numbers for augmentation, all derived from the caller's torch generator."""

from __future__ import annotations

import numpy as np
import torch


def numbers(generator: torch.Generator) -> np.random.Generator:
    """NumPy's generator for one batch, seeded by one draw from `generator`.

    NumPy has the Beta and Dirichlet distributions, which torch cannot draw from a generator. With one
    draw per batch, the state of a training run is in the one generator that its checkpoint saves.
    """
    seed = torch.randint(2**63 - 1, (), generator=generator, dtype=torch.int64)
    return np.random.default_rng(int(seed))

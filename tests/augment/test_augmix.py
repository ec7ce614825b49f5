from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from headstart.augment import jensen_shannon
from headstart.augment.augmix import AUGMIX, Chains, draw_chains
from headstart.augment.sequences import Steps


def test_jensen_shannon__is_zero_for_equal_predictions() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    assert jensen_shannon(logits, logits + 5, logits).item() == pytest.approx(0, abs=1e-6)


def test_jensen_shannon__is_log_three_for_three_certain_ones() -> None:
    certain = torch.eye(3).unsqueeze(1) * 200
    assert jensen_shannon(*certain).item() == pytest.approx(math.log(3), abs=1e-5)


def test_jensen_shannon__equals_the_plain_formula() -> None:
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(2)
    m = p.mean(0)
    expected = (p * (p.log() - m.log())).sum(2).mean(1).mean()
    assert jensen_shannon(*logits).item() == pytest.approx(expected.item(), rel=1e-5)


def test_jensen_shannon__has_finite_gradients_at_certainty() -> None:
    logits = (torch.eye(3).unsqueeze(1) * 1000).requires_grad_(True)
    jensen_shannon(*logits).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_chains__mix_by_hand() -> None:
    image = torch.full((1, 3, 4, 4), 0.2)
    invert = Steps(np.array([["invert"]]), np.array([[0.0]]))
    nothing = Steps(np.array([[""]]), np.array([[0.0]]))
    chains = Chains((invert, nothing), np.array([[0.25, 0.75]]), np.array([0.5]))
    # half of the image, half of a quarter of its inverse and three quarters of itself
    expected = 0.5 * 0.2 + 0.5 * (0.25 * 0.8 + 0.75 * 0.2)
    assert torch.allclose(chains(image), torch.tensor(expected))


def test_draw_chains__keeps_to_width_depth_and_severity() -> None:
    rng = np.random.default_rng(0)
    chains = draw_chains(200, width=4, depth=3, severity=5, alpha=1, rng=rng)
    assert len(chains.steps) == 4
    assert np.allclose(chains.weights.sum(1), 1)
    for steps in chains.steps:
        lengths = (steps.operations != "").sum(1)
        assert set(lengths) == {1, 2, 3}
        assert set(steps.operations.ravel()) == {"", *AUGMIX}
        assert (np.abs(steps.strengths) <= 0.5).all()
        assert (steps.strengths[steps.operations == "posterize"] > 0).all()
        assert (steps.strengths[steps.operations == "rotate"] < 0).any()

"""What a fine-tuning offers beside the SVM: the network alone, or the mean of both; calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.heads import Temperature, fit_temperature, paired_difference
from headstart.runs.model import log_probabilities, mean_scores
from headstart.runs.outcome import Comparison
from headstart.runs.trained_model import losses

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.finetune import Trained


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What is offered, and what it is judged by.

    Attributes
    ----------
    comparison : Comparison
    network : Temperature
        From the network's logits to probabilities.
    mean : Temperature or None
        From mean log-probabilities to those of the mean; None where the network alone is offered.
    """

    comparison: Comparison
    network: Temperature
    mean: Temperature | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A training without one fold, and its logits of that fold's images."""

    trained: Trained
    logits: NDArray[np.float32]

    @property
    def size_px(self) -> int:
        """At which it predicts."""
        return self.trained.backbone.preprocessing.size_px


def make_offer(
    records: Sequence[Record],
    logits: NDArray[np.floating],
    svm: NDArray[np.float64],
    truth: NDArray[np.intp],
    *,
    may_mean: bool = True,
) -> Offer:
    """Calibrate both sides and their mean, and set the better offer against the SVM.

    All three are calibrated on the same images in the same way: log losses can be compared only so.
    The log loss decides between the network and the mean; it tells more from as many images than
    the accuracy does.

    Parameters
    ----------
    records : sequence of Record, length n
        Images that were held out.
    logits : array (n, K)
        Of networks that had not seen the image.
    svm : float64 array (n, K)
        Probabilities by SVMs that had not.
    truth : int array (n,)
        Columns of their classes.
    may_mean : bool
        Whether the mean may be offered.

    Returns
    -------
    Offer
    """
    of_network = fit_temperature(logits, truth)
    network = of_network.probabilities(logits)
    frozen = _calibrated(log_probabilities(svm), truth)
    scores = mean_scores(network, svm)
    of_mean = fit_temperature(scores, truth)
    mean = of_mean.probabilities(scores)
    is_mean = may_mean and bool(losses(mean, truth).mean() < losses(network, truth).mean())
    offered = mean if is_mean else network
    finetuned, frozen_right = offered.argmax(axis=1) == truth, svm.argmax(axis=1) == truth
    comparison = Comparison(
        records=tuple(records),
        probabilities=offered,
        finetuned=finetuned,
        svm=frozen_right,
        alone=network.argmax(axis=1) == truth,
        difference=paired_difference(finetuned, frozen_right),
        losses=losses(offered, truth),
        svm_losses=losses(frozen, truth),
        is_mean=is_mean,
    )
    return Offer(comparison=comparison, network=of_network, mean=of_mean if is_mean else None)


def _calibrated(scores: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    return fit_temperature(scores, truth).probabilities(scores)

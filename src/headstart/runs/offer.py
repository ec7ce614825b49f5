"""What a fine-tuning offers beside the SVM: the network alone, or the mean of both; calibrated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.heads import (
    Criterion,
    Pool,
    Temperature,
    fit_pool,
    fit_temperature,
    paired_gain,
)
from headstart.runs.model import log_probabilities
from headstart.runs.objective import metric_name
from headstart.runs.outcome import Comparison
from headstart.runs.trained_model import losses

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.training import Trained


N_CROSSED = 5
ACCURACY = Criterion()
Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What is offered, and what it is judged by."""

    comparison: Comparison
    network: Temperature  # from the network's logits to probabilities
    # from both sides' probabilities to those of their mean; None where the network alone is offered
    mean: Pool | None


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
    criterion: Criterion = ACCURACY,
    weight: NDArray[np.float64] | None = None,
) -> Offer:
    """Calibrate both sides and their mean, and set the better offer against the SVM.

    All three are calibrated in the same way, and what they are judged by is cross-fitted: a fifth of
    the images by what the others gave. Log losses can be compared only so. The log loss decides
    between the network and the mean; it tells more from as many images than the accuracy does.

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
    criterion : Criterion, default accuracy
        What the fit optimises.
    weight : float64 array (n,), optional
        How often each image counts, above 0.
    """
    frozen_scores = log_probabilities(svm)
    w = np.ones(len(truth)) if weight is None else weight / weight.mean()

    def by_network(fit: Rows, rows: Rows) -> NDArray[np.float64]:
        return fit_temperature(logits[fit], truth[fit], w[fit]).probabilities(logits[rows])

    def by_svm(fit: Rows, rows: Rows) -> NDArray[np.float64]:
        scores = frozen_scores
        return fit_temperature(scores[fit], truth[fit], w[fit]).probabilities(scores[rows])

    def by_mean(fit: Rows, rows: Rows) -> NDArray[np.float64]:
        own = fit_temperature(logits[fit], truth[fit], w[fit])
        first, second = (log_probabilities(own.probabilities(logits[r])) for r in (fit, rows))
        pool = fit_pool(first, frozen_scores[fit], truth[fit], w[fit])
        return pool.probabilities(second, frozen_scores[rows])

    network, frozen, mean = (_crossed(by, len(truth)) for by in (by_network, by_svm, by_mean))
    of_mean, of_network_alone = (w * losses(P, truth) for P in (mean, network))
    is_mean = may_mean and bool(of_mean.mean() < of_network_alone.mean())
    offered = mean if is_mean else network
    finetuned, frozen_right, alone = (criterion.decide(P) == truth for P in (offered, svm, network))
    gain, groups = None, groups_of(records)
    if not criterion.is_plain or weight is not None:
        gain = paired_gain(
            criterion.of_probabilities(offered, truth, weight),
            criterion.of_probabilities(frozen, truth, weight),
            groups=groups,
        )
    comparison = Comparison(
        records=tuple(records),
        probabilities=offered,
        finetuned=finetuned,
        svm=frozen_right,
        alone=alone,
        difference=paired_gain(finetuned, frozen_right, groups=groups),
        losses=w * losses(offered, truth),
        svm_losses=w * losses(frozen, truth),
        is_mean=is_mean,
        gain=gain,
        metric=metric_name(criterion.metric, is_weighted=weight is not None),
    )
    of_network = fit_temperature(logits, truth, w)
    own = log_probabilities(of_network.probabilities(logits))
    pool = fit_pool(own, frozen_scores, truth, w) if is_mean else None
    return Offer(comparison=comparison, network=of_network, mean=pool)


def _crossed(predict: Callable[[Rows, Rows], NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """What `predict`, fitted on the first rows, says of the second, (n, K): a fifth at a time.

    Too few images to leave some out are judged by what they gave themselves.
    """
    every = np.arange(n)
    if n < 2 * N_CROSSED:
        return predict(every, every)
    group = every % N_CROSSED
    found = [predict(every[group != g], every[group == g]) for g in range(N_CROSSED)]
    order = np.concatenate([every[group == g] for g in range(N_CROSSED)])
    return np.concatenate(found)[np.argsort(order)]

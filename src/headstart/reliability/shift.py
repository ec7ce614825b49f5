"""Whether a batch looks like the training examples, and which accuracy to expect on it without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A batch of fewer examples says too little of what is to come.
FEWEST = 20
# Mean novelty of a batch (0.5 of training examples), and standard errors above 0.5, from which it is shifted.
SHIFTED, CLEAR_ERRORS = 0.65, 4.0
# ... and from which it may show other things: no accuracy is named then.
OTHER = 0.99
# Mean error of the estimate over shifted batches (bench/reliability.py).
MEAN_ERROR = 0.1


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A batch beside the training examples."""

    n: int
    # mean share of training examples that are less novel; 0.5 where nothing has changed
    mean_novelty: float
    accuracy: float  # cross-validated, of training examples
    mean_probability: float  # of the batch's most probable classes
    expected_accuracy: float  # of the batch, estimated
    is_shifted: bool

    @property
    def sentence(self) -> str:
        """The warning."""
        said = (
            f"these {self.n:,} images differ from the training images (on average they are less like them "
            f"than {100 * self.mean_novelty:.0f} % of the training images are; 50 % is usual)"
        )
        if self.mean_novelty >= OTHER:
            return f"{said}: they may show none of the classes, so look at some before any answer is used"
        return (
            f"{said}: expect about {100 * self.expected_accuracy:.0f} % of the answers to be right, give or "
            f"take {100 * MEAN_ERROR:.0f} points, instead of {100 * self.accuracy:.0f} %, though their mean "
            f"probability is {100 * self.mean_probability:.0f} %; label some of them to measure it"
        )


def detect_shift(
    *, top: ArrayLike, correct: ArrayLike, batch_top: ArrayLike, novelty: ArrayLike
) -> Shift:
    """Compare a batch without labels with examples that the model had not seen.

    Parameters
    ----------
    top : array-like of shape (n,)
        Largest probability of each training example, by a model that had not seen it.
    correct : array-like of bool, shape (n,)
    batch_top : array-like of shape (m,)
        The same of the batch.
    novelty : array-like of shape (m,)
        Share of training examples that are less novel than each of the batch.
    """
    known, right = np.asarray(top, dtype=np.float64), np.asarray(correct, dtype=bool)
    new, shares = np.asarray(batch_top, dtype=np.float64), np.asarray(novelty, dtype=np.float64)
    mean = float(shares.mean())
    # Shares of unchanged examples are uniform: variance 1/12.
    errors = (mean - 0.5) * math.sqrt(12 * len(shares))
    return Shift(
        n=len(new),
        mean_novelty=mean,
        accuracy=float(right.mean()),
        mean_probability=float(new.mean()),
        expected_accuracy=threshold_accuracy(known, right, new),
        is_shifted=mean > SHIFTED and errors > CLEAR_ERRORS,
    )


def threshold_accuracy(
    top: NDArray[np.float64], correct: NDArray[np.bool_], batch_top: NDArray[np.float64]
) -> float:
    """Average thresholded confidence (Garg et al. 2022, "Leveraging unlabeled data ..."), ATC.

    The threshold above which as many training examples lie as were right; the estimate is the share
    of the batch above it.
    """
    threshold = np.quantile(top, 1 - correct.mean())
    return float((batch_top >= threshold).mean())


def difference_of_confidences(
    top: NDArray[np.float64], correct: NDArray[np.bool_], batch_top: NDArray[np.float64]
) -> float:
    """Difference of confidences (Guillory et al. 2021), DoC: the accuracy less what confidence lost."""
    return float(np.clip(correct.mean() - (top.mean() - batch_top.mean()), 0, 1))

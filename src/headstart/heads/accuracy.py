"""Accuracies with their uncertainty: intervals, paired differences, McNemar's test.

Whether a difference is significant is decided in one place, :func:`is_significant`, from the
interval that is shown; the intervals of paired differences agree with McNemar's exact test.

Nothing here draws random numbers; the same arrays always give the same interval. SciPy is imported where
it is needed: it is slow to import, and what only reads intervals needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.results import Difference
from headstart.results import Interval as Interval

# What the cheaper of two that tie may be behind, as a fraction: a point, however differences round.
MOST_BEHIND = 0.01 + 1e-9
# Pseudo-count of images with the mean recall added to each class for its variance.
N_PULL = 2
# Ends of intervals that differ from the null value by less than this do so by rounding alone.
ROUNDING = 1e-12
# Groups fewer than these say too little of how much groups differ.
FEW_GROUPS = 10
# Errors that one of two classifiers makes alone before McNemar's exact test rejects: 2 / 2**6 < 0.05.
FEWEST_ALONE = 6
# A test that shows only differences above this, as a fraction, cannot say that two are as accurate.
COARSE = 0.05
# The chance of a normal value beyond one standard error, on either side.
ONE_STANDARD_ERROR = 0.32


class PairedDifference(Difference, frozen=True):
    """Accuracy, or another metric, of ``a`` less that of ``b`` on the same examples.

    Attributes
    ----------
    standard_error : float
        Standard error of ``value``.
    p_value : float
        McNemar's exact test: the probability of a split of the disagreements at least as uneven,
        if both were equally good. The 95 % interval excludes zero exactly when it is below 0.05;
        from 99 % on, the interval is in rare cases the more cautious of the two. Of metrics other
        than accuracy, and of groups, Student's t-test of :func:`paired_gain`.
    """

    standard_error: float
    p_value: float

    @property
    def is_tie(self) -> bool:
        """Is the difference within one standard error of zero, or as likely by chance?

        Where errors are nested (one candidate errs on one example more, and nowhere else), the
        plain standard error is that difference itself and nothing would ever tie; the test tells
        better there. A rule for choosing among candidates, not a test: see :func:`is_significant`
        for whether a difference is called significant.
        """
        return abs(self.value) <= self.standard_error or self.p_value > ONE_STANDARD_ERROR

    @property
    def may_stand_in(self) -> bool:
        """May ``a``, being cheaper, stand in for ``b``: a tie, and at most one point behind?

        The point is what a cheaper network is worth, whatever the noise: on 100 examples one
        standard error is three to five points, of which two are really lost
        (``bench/statistics_trust.py``).
        """
        return self.is_tie and self.value >= -MOST_BEHIND


def is_significant(difference: Interval | Sequence[float | None], *, null: float = 0.0) -> bool:
    """Whether a difference is significant: its interval lies on one side of the null value.

    Every statement about a difference, on whatever page, is decided here. The interval of
    :func:`paired_difference` excludes zero exactly when McNemar's exact test rejects at the same
    level; Student's interval over seeds does so exactly when the t-test rejects.

    Parameters
    ----------
    difference : Interval or sequence of (value, low, high)
        An end that is None is unbounded.
    null : float, default=0.0
        The value of no difference; 1.0 for a ratio.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_significant(Interval(0.04, 0.01, 0.07)), is_significant((0.04, -0.01, 0.09))
    (True, False)
    """
    low: float | None
    high: float | None
    if isinstance(difference, Interval):
        low, high = difference.low, difference.high
    else:
        _, low, high = difference
    is_above = low is not None and low > null + ROUNDING
    is_below = high is not None and high < null - ROUNDING
    return is_above or is_below


def significance(difference: Interval | Sequence[float | None], *, null: float = 0.0) -> str:
    """``"significant"`` or ``"not significant"``, by :func:`is_significant`."""
    return "significant" if is_significant(difference, null=null) else "not significant"


def unseen_difference(difference: Interval, n: int) -> float | None:
    """The difference that `n` examples can just show, where they are too few to call two equal.

    McNemar's exact test needs :data:`FEWEST_ALONE` errors that one of the two makes alone, so that less
    than ``6 / n`` is never significant; half the width of the interval is the second bound, that of
    groups.

    Parameters
    ----------
    difference : Interval
        Paired, as of :func:`paired_gain`.
    n : int
        Examples that both were judged on.

    Returns
    -------
    float or None
        A fraction; None where the difference is significant, or the test is finer than :data:`COARSE`.

    Examples
    --------
    >>> same = paired_difference([True] * 12, [True] * 12)
    >>> unseen_difference(same, 12)
    0.5
    """
    least = max(FEWEST_ALONE / n, (difference.high - difference.low) / 2)
    return None if least <= COARSE or is_significant(difference) else least


def accuracy_interval(
    correct: ArrayLike, level: float = 0.95, groups: ArrayLike | None = None
) -> Interval:
    """The share of true entries, with the interval of Wilson (1927).

    With groups, the number of samples is divided by the design effect (Kish 1965, Survey Sampling,
    section 8.2): the variance of the share between groups over that of independent samples, but at
    least 1. Groups are then what there could be more of: new patients rather than new images of the
    same ones.

    Parameters
    ----------
    correct : array-like of bool, shape (n_samples,)
        Whether each prediction was right.
    level : float in (0, 1), default=0.95
        Coverage.
    groups : array-like, shape (n_samples,), optional
        Samples that are not independent of one another share a value. Fewer than
        :data:`FEW_GROUPS` groups say too little of their spread, and are not heeded.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If ``correct`` is empty, ``level`` lies outside (0, 1), or the lengths differ.

    Examples
    --------
    >>> print(accuracy_interval([True] * 90 + [False] * 10))
    90.0 % [82.6, 94.5]
    """
    hits = _as_bool("correct", correct)
    share = float(hits.mean())
    return share_interval(share, hits.size / design_effect(hits, groups), level)


def design_effect(hits: NDArray[np.bool_ | np.float64], groups: ArrayLike | None) -> float:
    """Variance of the mean between groups over that of independent samples, at least 1."""
    if groups is None:
        return 1.0
    units = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    if units.size != hits.size:
        raise ValueError(f"correct and groups differ in length: {hits.size} and {units.size}")
    sizes = np.bincount(units)
    if len(sizes) < FEW_GROUPS or (hits == hits[0]).all():
        return 1.0
    independent = float(hits.var()) / hits.size
    residuals = np.bincount(units, weights=hits) - hits.mean() * sizes
    n = len(sizes)
    between = n / (n - 1) * float((residuals**2).sum()) / hits.size**2
    return max(1.0, between / independent)


def balanced_accuracy_interval(
    y_true: ArrayLike, y_pred: ArrayLike, level: float = 0.95
) -> Interval:
    """The mean over classes of the share recognised, with an interval.

    Price and Bonett (2004, "An improved confidence interval for a linear function of binomial
    proportions"): the normal approximation after 2/K hits and as many misses more are counted for
    each of K classes. It stays sensible where a class has few images or none is missed, for which a
    plug-in variance would be zero. With one to four images in each of many classes it was still too
    narrow (of 100 classes of one image it held the truth in half of all cases), because the recall
    of so few images is nearly always 0 or 1, which has no variance; so each variance is that of the
    recall after two images more that are recognised as often as the mean. Wilson intervals of the
    recalls put together ("MOVER") cover too seldom here: each leans to the middle, and so their sum
    does (`bench/statistics_trust.py`).

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Labels. Classes are those of ``y_true``.
    level : float in (0, 1), default=0.95
        Coverage.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If the arrays are empty or differ in length, or ``level`` lies outside (0, 1).
    """
    truth, predicted = np.asarray(y_true), np.asarray(y_pred)
    if truth.shape != predicted.shape or truth.ndim != 1 or truth.size == 0:
        raise ValueError(
            f"y_true and y_pred must be of one length and not empty; got {truth.shape} and "
            f"{predicted.shape}"
        )
    return balanced_recall(truth, truth == predicted, level)


def balanced_recall(
    y_true: ArrayLike,
    correct: ArrayLike,
    level: float = 0.95,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Interval:
    """The same from whether each example was classified correctly, or how often by several models.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    correct : array-like of shape (n_samples,), bool or float in [0, 1]
    level : float in (0, 1), default=0.95
        Coverage.
    sample_weight : array-like of shape (n_samples,), optional
        How often each example counts; a class counts as many as have the same variance.
    groups : array-like of shape (n_samples,), optional
        As of :func:`accuracy_interval`: the numbers of examples are divided by the design effect.
    """
    z = _quantile(level)
    classes, member = np.unique(np.asarray(y_true), return_inverse=True)
    w = np.ones(member.size) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    mass, squares = np.bincount(member, weights=w), np.bincount(member, weights=w**2)
    classes, known = classes[mass > 0], mass > 0
    n = mass[known] ** 2 / squares[known] / design_effect(np.asarray(correct), groups)
    right = np.bincount(member, weights=w * np.asarray(correct, dtype=float))[known]
    hits = right * n / mass[known]
    value = float((hits / n).mean())
    more = 2 / classes.size
    counted = n + 2 * more
    adjusted = (hits + more) / counted
    centre = float(adjusted.mean())
    pulled = (adjusted * counted + N_PULL * centre) / (counted + N_PULL)
    variance = pulled * (1 - pulled) / counted
    half = z * float(np.sqrt(variance.sum())) / classes.size
    return Interval(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    level: float = 0.95,
    weights: ArrayLike | None = None,
) -> PairedDifference:
    """How much more accurate ``a`` is than ``b`` on the same examples.

    The examples both get right, or both wrong, cancel, so the interval is much narrower than that
    of two separate accuracies. It is that of Bonett and Price (2012, "Adjusted Wald confidence
    interval for a difference of binomial proportions based on paired data"): the normal
    approximation after one example more is counted for each side. The plain one claims too much
    where few examples are judged differently (none: no width at all). Where McNemar's exact test
    does not reject equality at the level of the interval, the interval is extended to zero, so that
    the two never contradict each other.

    Parameters
    ----------
    correct_a, correct_b : array-like of bool, shape (n_samples,)
        Whether each prediction was right.
    level : float in (0, 1), default=0.95
        Coverage of ``low`` and ``high``.
    weights : array-like of shape (n_samples,), optional
        How often each example counts. McNemar's test is given for whole numbers (rounded).

    Returns
    -------
    PairedDifference

    Raises
    ------
    ValueError
        If the arrays are empty or differ in length, or ``level`` lies outside (0, 1).
    """
    a, b = _as_bool("correct_a", correct_a), _as_bool("correct_b", correct_b)
    if a.shape != b.shape:
        raise ValueError(f"correct_a and correct_b differ in length: {a.size} and {b.size}")
    w = np.ones(a.size) if weights is None else np.asarray(weights, dtype=float)
    difference = a.astype(float) - b.astype(float)
    total = float(w.sum())
    value = float(w @ difference / total)
    error = float(np.sqrt(w @ (difference - value) ** 2) / total)
    low, high = _adjusted(value, float(w @ difference**2) / total, total, 0.0, level)
    wins, losses = round(float(w @ (difference > 0))), round(float(w @ (difference < 0)))
    p_value = mcnemar(wins, losses)
    low, high = _agreeing(low, high, p_value, level)
    return PairedDifference(value, low, high, error, p_value)


def paired_gain(
    merits_a: ArrayLike,
    merits_b: ArrayLike,
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> PairedDifference:
    """How much higher the mean merit of ``a`` is than that of ``b`` on the same examples.

    For zeros and ones without groups this is :func:`paired_difference`. Else the interval is
    Student's, of the paired differences of examples, or of groups, after two more of typical size,
    one for each side, are counted as Bonett and Price (2012) do for proportions.

    Parameters
    ----------
    merits_a, merits_b : array-like of shape (n_samples,), bool or float
        :meth:`headstart.heads.Criterion.merits` of two classifiers.
    level : float in (0, 1), default=0.95
        Coverage of ``low`` and ``high``.
    groups : array-like of shape (n_samples,), optional
        As of :func:`accuracy_interval`: fewer than :data:`FEW_GROUPS` are not heeded.

    Returns
    -------
    PairedDifference

    Raises
    ------
    ValueError
        If the arrays are empty or differ in length, or ``level`` lies outside (0, 1).
    """
    a, b = np.asarray(merits_a), np.asarray(merits_b)
    units = units_of(groups)
    if a.dtype == b.dtype == bool and units is None:
        return paired_difference(a, b, level)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"merits must be of one length and not empty; got {a.shape} and {b.shape}")
    if a.dtype == b.dtype == bool and units is not None and (a == b).all():
        same = np.ones(units.max() + 1, dtype=bool)  # no spread to see: as of so many examples
        return paired_difference(same, same, level)
    return _student(a.astype(np.float64) - b.astype(np.float64), units, level)


def units_of(groups: ArrayLike | None) -> NDArray[np.intp] | None:
    """Groups by number, where they are enough to say how much groups differ."""
    if groups is None:
        return None
    units = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    return None if units.max(initial=-1) + 1 < FEW_GROUPS else units


def _student(
    d: NDArray[np.float64], units: NDArray[np.intp] | None, level: float, of_repeats: float = 0.0
) -> PairedDifference:
    """Of paired differences of examples, or of groups; `of_repeats` is further variance."""
    value = float(d.mean())
    if units is not None:
        if units.shape != d.shape:
            raise ValueError(f"merits and groups differ in length: {d.size} and {units.size}")
        # A group differs by its sum; what groups of other sizes contribute to the mean is its own.
        sums, sizes = np.bincount(units, weights=d), np.bincount(units)
        d = value + (sums - value * sizes) * len(sizes) / d.size
    n = d.size
    is_moved = np.abs(d) > ROUNDING
    typical = float((d[is_moved] ** 2).mean()) if is_moved.any() else 0.0
    centre = value * n / (n + 2)
    variance = ((float((d**2).sum()) + 2 * typical) / (n + 2) - centre**2) / (n + 2) + of_repeats
    spread = float(np.sqrt(max(variance, 0.0)))
    from scipy.stats import t as student

    free = max(n - 1, 1)
    _quantile(level)
    half = float(student.ppf((1 + level) / 2, free)) * spread
    p_value = float(2 * student.sf(abs(centre) / spread, free)) if spread > 0 else 1.0
    error = float(np.sqrt(d.var() / n + of_repeats))
    low, high = min(value, centre - half), max(value, centre + half)
    return PairedDifference(value, low, high, error, p_value)


def paired_test(groups: ArrayLike | None = None) -> str:
    """The test by which :func:`paired_gain` compares what two classifiers recognise, in words.

    Parameters
    ----------
    groups : array-like of shape (n_samples,), optional
        As for `paired_gain`.

    Examples
    --------
    >>> paired_test()
    "McNemar's exact test"
    >>> paired_test(range(24))
    "Student's test over 24 groups"
    """
    n_groups = 0 if groups is None else len(np.unique(np.asarray(groups)))
    is_exact = n_groups < FEW_GROUPS
    return "McNemar's exact test" if is_exact else f"Student's test over {n_groups:,} groups"


def repeated_accuracy(
    correct: ArrayLike, level: float = 0.95, groups: ArrayLike | None = None
) -> Interval:
    """The mean accuracy of repeated trainings on the same examples, with Wilson's interval.

    Repeats share the examples, so ``n_samples`` and not ``n_repeats * n_samples`` decides the width.

    Parameters
    ----------
    correct : array-like of bool, shape (n_repeats, n_samples)
    level : float in (0, 1), default=0.95
    groups : array-like of shape (n_samples,), optional
        As of :func:`accuracy_interval`.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If ``correct`` is empty or not two-dimensional, or ``level`` lies outside (0, 1).
    """
    hits = _as_table("correct", correct)
    n = hits.shape[1] / design_effect(hits.mean(axis=0) >= 0.5, groups)
    return share_interval(float(hits.mean()), n, level)


def repeated_share(shares: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """The same from the share of repeats in which each example was right, of groups where given.

    Parameters
    ----------
    shares : array-like of shape (n_samples,), float in [0, 1]
    groups : array-like of shape (n_samples,), optional
        As of :func:`accuracy_interval`.
    """
    found = np.asarray(shares, dtype=float)
    n = found.size / design_effect(found >= 0.5, groups)
    return share_interval(float(found.mean()), n, 0.95)


def repeated_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> PairedDifference:
    """How much more accurate ``a`` is than ``b`` in repeated trainings on the same examples.

    The squared standard error is that of the examples' mean differences plus that of the repeats'
    (none for a single repeat): another set of examples would differ, and so would another seed. The
    interval counts one example more for each side, as that of :func:`paired_difference` does, and
    is extended to zero where the test does not reject equality. One repeat gives the same as
    :func:`paired_difference`.

    Parameters
    ----------
    correct_a, correct_b : array-like of bool, shape (n_repeats, n_samples)
        The i-th rows are compared with each other.
    level : float in (0, 1), default=0.95
    groups : array-like of shape (n_samples,), optional
        As of :func:`paired_gain`; the interval is then Student's, of the groups, with the variance
        between repeats added.

    Returns
    -------
    PairedDifference
        Its p-value is the larger of two. One is that of the exact sign-flip test of the examples'
        mean differences (Fisher 1935), which for one repeat is McNemar's exact test; the other is
        that of the normal approximation, in which the repeats' variance is included.

    Raises
    ------
    ValueError
        If the arrays are empty or differ in shape, or ``level`` lies outside (0, 1).
    """
    from scipy.stats import norm

    a, b = _as_table("correct_a", correct_a), _as_table("correct_b", correct_b)
    if a.shape != b.shape:
        raise ValueError(f"correct_a and correct_b differ in shape: {a.shape} and {b.shape}")
    difference = a.astype(float) - b.astype(float)
    n_repeats, n_samples = difference.shape
    value = float(difference.mean())
    of_example = difference.mean(axis=0)
    of_repeats = float(difference.mean(axis=1).var(ddof=1)) / n_repeats if n_repeats > 1 else 0.0
    error = float(np.sqrt(of_example.var() / n_samples + of_repeats))
    units = units_of(groups)
    if units is not None and of_example.any():
        return _student(of_example, units, level, of_repeats)
    if n_repeats == 1 and units is None:
        return paired_difference(a[0], b[0], level)
    # Where groups do not differ there is no spread to see: as of so many examples.
    n = n_samples if units is None else int(units.max()) + 1
    mean_square = float((of_example**2).mean())
    low, high = _adjusted(value, mean_square, n, of_repeats, level)
    centre, spread = _adjusted_moments(value, mean_square, n, of_repeats)
    p_value = max(
        _sign_flip(difference.sum(axis=0).astype(int)),
        float(2 * norm.sf(abs(centre) / spread)),
    )
    low, high = _agreeing(low, high, p_value, level)
    return PairedDifference(value, low, high, error, p_value)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided exact p-value of McNemar's test (1947).

    Parameters
    ----------
    wins, losses : int
        Examples that only the first classifier, and only the second, got right.

    Returns
    -------
    float
        1.0 where they never disagree.
    """
    if wins + losses == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses).pvalue)


def _sign_flip(totals: NDArray[np.int_]) -> float:
    """Two-sided exact p-value of a sum whose terms may each have either sign with equal chance."""
    from scipy.fft import irfft

    observed, span = int(abs(totals.sum())), int(np.abs(totals).sum())
    n = 2 * span + 1
    angles = 2 * np.pi * np.arange(span + 1) / n
    spectrum = np.ones(span + 1)
    for size, count in enumerate(np.bincount(np.abs(totals))):
        spectrum *= np.cos(size * angles) ** count
    # The probabilities of the sums 0, 1, ..., span, -span, ..., -1.
    chances = irfft(spectrum, n)
    return float(np.clip(1 - chances[:observed].sum() - chances[n - observed + 1 :].sum(), 0, 1))


def _adjusted(
    value: float, mean_square: float, n: float, further_variance: float, level: float
) -> tuple[float, float]:
    """Bonett and Price's interval of a mean of differences in [-1, 1], two examples more counted.

    With differences of -1, 0 and 1, ``mean_square`` is the share of disagreements; theirs is the
    case without ``further_variance``.
    """
    centre, error = _adjusted_moments(value, mean_square, n, further_variance)
    half = _quantile(level) * error
    return max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))


def _adjusted_moments(
    value: float, mean_square: float, n: float, further_variance: float
) -> tuple[float, float]:
    """Centre and standard error of Bonett and Price's interval."""
    centre = value * n / (n + 2)
    variance = ((mean_square * n + 2) / (n + 2) - centre**2) / (n + 2) + further_variance
    return centre, float(np.sqrt(variance))


def _agreeing(low: float, high: float, p_value: float, level: float) -> tuple[float, float]:
    """The interval, extended to zero where the test does not reject at its level."""
    if p_value < 1 - level:
        return low, high
    return min(low, 0.0), max(high, 0.0)


def share_interval(value: float, n: float, level: float) -> Interval:
    """The share `value` of `n` with its interval."""
    centre, half = _wilson(np.array(value), np.array(float(n)), _quantile(level))
    low, high = float(centre - half), float(centre + half)
    return Interval(value, min(value, low), max(value, high))


def _wilson(
    share: NDArray[np.float64], n: NDArray[np.float64], z: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and half width of Wilson's interval."""
    shrink = 1 + z * z / n
    half = z / shrink * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (share + z * z / (2 * n)) / shrink, half


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level!r}")
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))


def _as_bool(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values, dtype=bool)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty; got shape {array.shape}")
    return array


def _as_table(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values, dtype=bool)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be two-dimensional and not empty; got shape {array.shape}")
    return array

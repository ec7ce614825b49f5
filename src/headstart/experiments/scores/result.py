"""What `transfer scores` found."""

from __future__ import annotations

from msgspec import Struct

from headstart.experiments.correlation import RankCorrelation
from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.scores.settings import Settings
from headstart.results import Interval

SCORES: dict[str, str] = {
    "LogME": "maximum evidence of a linear model (You 2021)",
    "H-score": "variance of the features between the classes (Bao 2019)",
    "shrunk H-score": "the same with a shrunk covariance (Ibrahim 2021)",
    "LEEP": "likelihood of the labels by way of the source classes (Nguyen 2020)",
    "NCE": "entropy of the labels given the source labels, negative (Tran 2019)",
    "k-NN": "accuracy of the five nearest neighbours by cosine, of other folds",
    "size": "parameters of the network in millions; of a layer, the number of its features",
}
# Decimals of a score where it is shown; scores that read the same are tied.
N_DIGITS = 3


class Candidate(Struct, frozen=True, kw_only=True):
    """One backbone, or one tap of it."""

    name: str  # as it is shown
    backbone: str
    tap: str
    size_px: int
    n_features: int
    scores: dict[str, float | None]  # by the names of `SCORES`; None: not available
    accuracy: Interval  # cross-validated, of the linear SVM on the same features
    C: float


class Agreement(Struct, frozen=True, kw_only=True):
    """How well one score put the candidates in order."""

    score: str
    correlation: RankCorrelation  # between score and accuracy
    first: str  # the candidate that the score puts first; of several tied ones, the most accurate
    # accuracy of the best candidate less that of `first`; where others are tied with it, less the
    # mean of theirs
    lost: float
    tied: tuple[str, ...] = ()  # other candidates whose score reads the same as that of the first


class ScoresResult(ExperimentResult, frozen=True, kw_only=True, tag="scores"):
    """Candidates, the most accurate first, and what each score made of them."""

    settings: Settings
    data: str
    n_images: int
    n_classes: int
    candidates: tuple[Candidate, ...]
    agreements: tuple[Agreement, ...]

"""How careful predictions are: refusing, label sets, novelty, and a warning where a batch has shifted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import InputError, RunError, argument
from headstart.reliability.conformal import label_sets, require_share, set_threshold
from headstart.reliability.refusal import refusal_threshold
from headstart.reliability.shift import FEWEST, detect_shift
from headstart.runs.predictions import Prediction

if TYPE_CHECKING:
    from headstart.runs.heldout import HeldOut, TrainingReference
    from headstart.runs.model import Model


@dataclass(frozen=True, kw_only=True)
class Caution:
    """What is asked of predictions besides the most probable class.

    Parameters
    ----------
    refuse_below : float in (0, 1), optional
        Refuse to answer below this probability.
    target_accuracy : float in (0, 1), optional
        Refuse below the probability at which cross-validated answers were right this often.
    label_sets : float in (0, 1), optional
        Give a set of classes that holds the true one this often.
    novelty : float in (0, 1), optional
        Refuse pictures that are less like the training images than this share of the training images
        themselves, and name the nearest ones.

    Raises
    ------
    InputError
        A value lies outside (0, 1), or both `refuse_below` and `target_accuracy` are given.
    """

    refuse_below: float | None = None
    target_accuracy: float | None = None
    label_sets: float | None = None
    novelty: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.asked.items():
            require_share(name, value)
        if self.refuse_below is not None and self.target_accuracy is not None:
            raise InputError(
                f"{argument('refuse_below')} and {argument('target_accuracy')} exclude each other: "
                "give one of them"
            )

    @property
    def asked(self) -> dict[str, float]:
        """The values that were given, by name."""
        names = ("refuse_below", "target_accuracy", "label_sets", "novelty")
        return {n: v for n in names if (v := getattr(self, n)) is not None}

    @property
    def refuses(self) -> bool:
        """Whether an answer may be refused."""
        return bool(self.asked.keys() - {"label_sets"})

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that predictions have for it besides the class."""
        found = ["refused"] if self.refuses else []
        found += ["labels"] if self.label_sets is not None else []
        found += ["novelty", "nearest"] if self.novelty is not None else []
        return tuple(found)


@dataclass(kw_only=True)
class Careful:
    """Predictions of one run with what its caution asks for.

    Raises InputError or RunError where the run does not keep what is asked for, or has too few
    examples for it.
    """

    model: Model
    caution: Caution
    held_out: HeldOut | None  # what the run keeps of examples that its model had not seen
    where: str  # the run, for errors
    answer_from: float = field(init=False, default=0.0)
    set_from: float = field(init=False, default=0.0)
    _tops: list[float] = field(init=False, default_factory=list)
    _scores: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        c = self.caution
        self.answer_from = c.refuse_below or 0.0
        if c.target_accuracy is not None:
            kept = self._need("target_accuracy")
            self.answer_from = refusal_threshold(kept.top, kept.correct, c.target_accuracy)
        if c.label_sets is not None:
            self.set_from = set_threshold(self._need("label_sets").own, c.label_sets)
        if c.novelty is not None and self.reference is None:
            self._need("novelty")
            raise RunError(
                f"{self.where} keeps no features of its training images, so {argument('novelty')} has "
                "nothing to compare with: it needs a run on images with a frozen network and at least "
                "10 training images"
            )

    @property
    def reference(self) -> TrainingReference | None:
        """What the training images look like."""
        return None if self.held_out is None else self.held_out.reference

    def prediction(
        self, name: str, p: NDArray[np.float64], compared: NDArray[np.float64] | None, top: int = 5
    ) -> Prediction:
        """The prediction of one example, which counts for :meth:`warning`; parameters of `answer`."""
        self._tops.append(float(p[self.model.ranked(p)[0]]))
        self._scores.append(float(compared[0]) if compared is not None else math.nan)
        return self.answer(name, p, compared, top)

    def answer(
        self, name: str, p: NDArray[np.float64], compared: NDArray[np.float64] | None, top: int = 5
    ) -> Prediction:
        """The prediction of one example.

        `p` (K,): calibrated probabilities. `compared`: a row of :meth:`TrainingReference.compare`.
        `top`: how many classes to name.
        """
        ranked, classes, c = self.model.ranked(p), self.model.classes, self.caution
        highest = float(p[ranked[0]])
        reasons: list[str] = []
        labels: tuple[str, ...] | None = None
        share: float | None = None
        nearest: tuple[str, ...] = ()
        if highest < self.answer_from:
            reasons.append(
                f"the probability {100 * highest:.1f} % is below {100 * self.answer_from:.1f} %"
            )
        if c.label_sets is not None:
            [held] = label_sets(p[None], self.set_from)
            labels = tuple(classes[i] for i in ranked if held[i])
        if c.novelty is not None and compared is not None and self.reference is not None:
            share = float(self.reference.novelty.share(compared[0]))
            nearest = tuple(self.reference.names[int(i)] for i in compared[1:])
            if share >= c.novelty:
                reasons.append(
                    f"{100 * share:.1f} % of the training images are more like the others than it is"
                )
        return Prediction(
            name=name,
            top=tuple((classes[i], float(p[i])) for i in ranked[:top]),
            refused="; ".join(reasons) if c.refuses else None,
            labels=labels,
            novelty=share,
            nearest=nearest,
            asked=c.fields,
        )

    def unreadable(self, name: str, reason: str) -> Prediction:
        """What takes the place of the prediction of a file that cannot be read."""
        return Prediction(name=name, error=reason, asked=self.caution.fields)

    def warning(self) -> str:
        """What to know of the batch as a whole; "" where it looks like the training images."""
        scores = np.array(self._scores)
        seen = ~np.isnan(scores)
        if self.held_out is None or self.reference is None or seen.sum() < FEWEST:
            return ""
        shift = detect_shift(
            top=self.held_out.top,
            correct=self.held_out.correct,
            batch_top=np.array(self._tops)[seen],
            novelty=self.reference.novelty.share(scores[seen]),
        )
        return shift.sentence if shift.is_shifted else ""

    def _need(self, name: str) -> HeldOut:
        """What the run keeps for an option; RunError where it keeps nothing."""
        if self.held_out is None:
            raise RunError(
                f"{self.where} keeps no cross-validated probabilities, which {argument(name)} needs: "
                "it was made by an older version, or cross-validation could judge no example; fit "
                "again, with more examples of each class"
            )
        return self.held_out

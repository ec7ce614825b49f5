"""What became of a fine-tuning within a fit, as values and in words."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import groups_of
from headstart.heads import (
    PairedDifference,
    accuracy_interval,
    balanced_recall,
    paired_gain,
    paired_test,
    significance,
)
from headstart.runs.result import (
    Diagnosis,
    FinetuningResult,
    LogLossResult,
    ValidationResult,
)
from headstart.runs.sentence import percent
from headstart.training.diagnosis import diagnose
from headstart.wording import counted, signed_points

if TYPE_CHECKING:
    from headstart.data import Record
    from headstart.runs.refit import Tested
    from headstart.runs.training_plan import Plan
    from headstart.training import Epoch, Trained
    from headstart.training.diagnosis import Finding

RULE = (
    "The training images are divided into parts, as many as there is time for, which are held out in "
    "turn: a network is trained on the others, and so is the chosen SVM. No further part is held out "
    "where the network is clearly worse. It is offered alone, or as the mean of what it and the SVM "
    "say, whichever predicts the held-out images with the smaller log loss; all are calibrated in "
    "the same way, each fifth of these images by the others. The offer is taken where it puts more of the held-out images in the right class "
    "than the SVM does, by more than one standard error of the paired difference, and {test} does not put "
    "that down to luck (p of at most 0.32). Where the two are within one "
    "standard error in accuracy, the log loss decides, which tells more from as many images: it must "
    "be smaller by more than two standard errors."
)
ASKED = (
    "The training was asked for and is taken. One fold of the cross-validation was held out; where "
    "the best epoch is kept, it was chosen on these images, which favours the network a little."
)
TRAINED_LAYERS = {
    "scratch": "all layers from scratch",
    "all": "all layers",
    "lower": "layers up to {tap}",
    "upper": "layers above {tap}",
    "output": "the output layer",
}
CLEAR_ERRORS = 2.0
# Nats. Two fits of the same thing differ by their tolerance, which has no noise.
LEAST_GAIN = 1e-4


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The fine-tuned network and the SVM on the same validation images."""

    records: tuple[Record, ...]  # length n_val
    # (n_val, K); of the network, or of the mean, calibrated on these very images
    probabilities: NDArray[np.float64]
    # finetuned, svm, alone: (n_val,); whether what is offered, the SVM and the network by itself
    # were right
    finetuned: NDArray[np.bool_]
    svm: NDArray[np.bool_]
    alone: NDArray[np.bool_]
    difference: PairedDifference  # accuracy of what is offered less that of the SVM
    # losses, svm_losses: (n_val,); -log of the probability that each true class was given, by what
    # is offered and by the SVM; both calibrated, and times the weights of the images, which have a
    # mean of 1
    losses: NDArray[np.float64]
    svm_losses: NDArray[np.float64]
    is_mean: bool  # whether the mean of the network's and the SVM's probabilities is offered
    # how much better what is offered is in the metric that the fit optimises, where that is not
    # accuracy or images have weights; then this decides
    gain: PairedDifference | None = None
    metric: str = "accuracy"  # that metric, in words

    @property
    def deciding(self) -> PairedDifference:
        """The difference that decides, positive where what is offered is better."""
        return self.difference if self.gain is None else self.gain

    @property
    def loss_gain(self) -> tuple[float, float]:
        """How much smaller the log loss is than the SVM's, and the standard error of that."""
        less, groups = self.svm_losses - self.losses, groups_of(self.records)
        error = float(less.std(ddof=1) / math.sqrt(len(less)))
        if groups is not None:
            error = paired_gain(self.svm_losses, self.losses, groups=groups).standard_error
        return float(less.mean()), error

    @property
    def wins_by_loss(self) -> bool:
        """As accurate within one standard error, and clearly the better of the two in log loss."""
        gain, error = self.loss_gain
        return self.deciding.is_tie and gain > max(CLEAR_ERRORS * error, LEAST_GAIN)

    @property
    def is_hopeless(self) -> bool:
        """Less accurate and clearly the worse of the two in log loss: more images won't mend it."""
        gain, error = self.loss_gain
        return self.deciding.value < 0 and gain < -CLEAR_ERRORS * error

    @property
    def wins(self) -> bool:
        """Whether it is to be taken: :data:`RULE`."""
        return is_better(self.deciding) or self.wins_by_loss

    def result(self, classes: tuple[str, ...]) -> ValidationResult:
        """The figures for ``metrics.json``."""
        gain, error = self.loss_gain
        y, groups = [r.label for r in self.records], groups_of(self.records)
        return ValidationResult(
            n=len(self.records),
            finetuned=accuracy_interval(self.finetuned, groups=groups),
            balanced=balanced_recall(y, self.finetuned, groups=groups),
            svm=accuracy_interval(self.svm, groups=groups),
            alone=accuracy_interval(self.alone, groups=groups),
            is_mean=self.is_mean,
            difference=self.difference,
            gain=self.gain,
            log_loss=LogLossResult(
                finetuned=float(self.losses.mean()),
                svm=float(self.svm_losses.mean()),
                gain=gain,
                standard_error=error,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """What became of it."""

    state: str  # {"skipped", "failed", "lost", "won"}
    reason: str = ""  # why it was skipped or failed; what else there is to know
    plan: Plan | None = None
    history: tuple[Epoch, ...] = ()  # of the training that was compared
    comparison: Comparison | None = None
    trained: Trained | None = None  # where it won, the network to keep
    tested: Tested | None = None  # where it won, the model and its one look at the test images
    refitted: bool = False  # whether the network to keep was trained on all training images
    seconds: Mapping[str, float] = field(default_factory=dict)
    n_fit: int = 0  # images that it was trained on before the comparison
    # n_judged, n_parts: how many of how many parts of the training images were held out in turn
    n_judged: int = 1
    n_parts: int = 1
    n_trained_parameters: int = 0
    is_asked: bool = False  # whether a person asked for this training: then it is taken, win or not
    folder: Path | None = None  # where its checkpoints are, until the run is written

    @property
    def won(self) -> bool:
        """Whether the fine-tuned network is the run's model."""
        return self.state == "won"

    @property
    def what(self) -> str:
        """What was trained: ``all layers, 6 epochs at 224 px``."""
        if self.plan is None:
            return ""
        settings = self.plan.settings
        layers = TRAINED_LAYERS[settings.regime].format(tap=settings.tap)
        epochs = f"{settings.epochs} epoch{'s' * (settings.epochs != 1)}"
        return f"{layers}, {epochs} at {settings.size_px} px"

    @property
    def name(self) -> str:
        """What is offered: the network, or its mean with the SVM."""
        is_mean = self.comparison is not None and self.comparison.is_mean
        what = "Mean of the SVM and the fine-tuned network" if is_mean else "Fine-tuned network"
        return f"{what} ({self.what})"

    @property
    def sentence(self) -> str:
        """What came of it, in one sentence."""
        if self.state == "skipped":
            return f"Fine-tuning skipped: {self.reason}."
        if self.comparison is None:
            return f"Fine-tuning failed and the SVM is kept: {self.reason.rstrip('.')}."
        c = self.comparison
        d = c.difference
        said = (
            f"{self.name}: {percent(float(c.finetuned.mean()))} of "
            f"{counted(len(c.records), 'validation image')}, the SVM {percent(float(c.svm.mean()))}: "
            f"{signed_points(d.value, d.low, d.high)} points ({significance(d)})"
        )
        if c.gain is not None:
            value, low, high = (signed(v) for v in (c.gain.value, c.gain.low, c.gain.high))
            said += f"; better in {c.metric} by {value} [{low}, {high}] ({significance(c.gain)})"
        if not (self.won or self.is_asked):
            verdict = "That is not enough to win" if c.deciding.value > 0 else "It does not win"
            return f"{said}. {verdict}, so the SVM is kept."
        if self.is_asked:
            verdict = (
                "" if c.wins else ", which does not beat the SVM: `headstart fit` would keep that"
            )
            return f"{said}. This run predicts with the network that was asked for{verdict}."
        again = ", was trained again on all training images" if self.refitted else ""
        if not c.wins_by_loss:
            return f"{said}. It wins{again} and is taken."
        by = f"{c.losses.mean():.3f} against {c.svm_losses.mean():.3f}"
        return (
            f"{said}. {'The accuracies are' if c.gain is None else f'In {c.metric} the two are'} "
            f"within one standard error, but its log loss is smaller by more than two ({by}): it "
            f"wins{again} and is taken."
        )

    @property
    def _rule(self) -> str:
        c = self.comparison
        rule = RULE.format(test=paired_test(None if c is None else groups_of(c.records)))
        if c is None or c.gain is None:
            return rule
        return f"{rule} Here {c.metric} takes the place of accuracy."

    def result(self, classes: tuple[str, ...]) -> FinetuningResult:
        """The figures for ``metrics.json``."""
        findings: tuple[Finding, ...] = ()
        if self.history:
            n_val = len(self.comparison.records) if self.comparison else None
            findings = diagnose(
                self.history, n_classes=len(classes), n_train=self.n_fit, n_val=n_val
            )
        settings = self.plan.settings if self.plan else None
        return FinetuningResult(
            state=self.state,
            won=self.won,
            sentence=self.sentence,
            reason=self.reason,
            rule=ASKED if self.is_asked else self._rule,
            what=self.what,
            name=self.name,
            n_train=self.n_fit,
            n_judged=self.n_judged,
            n_parts=self.n_parts,
            full_epochs=self.plan.full_epochs if self.plan else None,
            settings=settings.to_dict() if settings else None,
            n_trained_parameters=self.n_trained_parameters,
            refitted=self.refitted,
            predicts_at_px=self.tested.model.blocks.resolutions[0] if self.tested else None,
            validation=self.comparison.result(classes) if self.comparison else None,
            history=self.history,
            diagnosis=tuple(
                Diagnosis(code=f.code, sentence=f.sentence, suggestion=f.suggestion)
                for f in findings
            ),
            needs_s=self.plan.needs_s if self.plan else None,
            seconds=dict(self.seconds),
        )

    def discard(self) -> None:
        """Remove the checkpoints: the run is written, or there will be none."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def signed(value: float) -> str:
    """A difference of a metric with its sign: ``+0.012``."""
    return f"{value:+.3f}".replace("-", "−")


def is_better(difference: PairedDifference) -> bool:
    """More accurate and not a tie: the bar for preferring a candidate."""
    return difference.value > 0 and not difference.is_tie

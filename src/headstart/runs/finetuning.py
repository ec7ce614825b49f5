"""Fine-tuning within a fit: tried where the time allows, kept only where it wins on validation.

One fold of the SVM's own cross-validation is held out. The network is trained on the others and
compared with the chosen SVM's out-of-fold predictions on the very same images. Nothing here sees a
test label before the decision has been made, and nothing that goes wrong here costs the SVM.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import HeadstartError, RunError, one_line
from headstart.files import write_atomically
from headstart.finetune import TrainSettings
from headstart.heads import (
    Temperature,
    fit_output_layer,
    fit_temperature,
    paired_difference,
)
from headstart.progress import Progress
from headstart.runs.model import mean_scores
from headstart.runs.outcome import Comparison, Finetuning
from headstart.runs.refit import Tested
from headstart.runs.sentence import rough_time
from headstart.runs.trained_model import best_view, logits_model, losses, score_test
from headstart.runs.training_plan import Plan, plan_training

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features import FeatureStore
    from headstart.finetune import Trained
    from headstart.runs.choose import Candidate
    from headstart.runs.settings import FitSettings

logger = logging.getLogger(__name__)

HELD_OUT = 0
# Report, thumbnails and the run's files come after.
RESERVE_S = 5.0
# A machine that is slower than it was while it was timed may use up this much of the budget again.
OVERRUN = 0.25

Head = tuple[NDArray[np.float64], NDArray[np.float64]]


class _OverBudgetError(HeadstartError):
    """The training takes much longer than it should have."""


@dataclass(kw_only=True)
class Attempt:
    """One fine-tuning beside a finished SVM.

    Attributes
    ----------
    settings : FitSettings
    backbone : Backbone
    stores : mapping of resolution to FeatureStore
    train, test : tuple of Record
        Labels of `test` are only counted after the decision.
    folds : int array (n_train,)
    svm : Candidate
        The choice.
    svm_tested : Tested
    usual_size : int
        The resolution nearest the network's own.
    cache : Path
    progress : Progress
    ends_at : float
        When the budget is used up, by ``time.perf_counter``.
    """

    settings: FitSettings
    backbone: Backbone
    stores: Mapping[int, FeatureStore]
    train: tuple[Record, ...]
    test: tuple[Record, ...]
    folds: NDArray[np.int64]
    svm: Candidate
    svm_tested: Tested
    usual_size: int
    cache: Path
    progress: Progress
    ends_at: float
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Finetuning:
        """Try it; whatever goes wrong is a finding, except Ctrl-C, which goes on up."""
        folder = self._folder()
        try:
            return self._run(folder)
        except Exception as error:  # the SVM is there, and must be written whatever happens here
            logger.warning("fine-tuning failed: %s", _words(error))
            logger.debug("fine-tuning failed", exc_info=True)
            return Finetuning(
                state="failed", reason=_words(error), seconds=self.seconds, folder=folder
            )

    def _run(self, folder: Path) -> Finetuning:
        held_out = self.folds == HELD_OUT
        fit = [r for r, out in zip(self.train, held_out, strict=True) if not out]
        val = [r for r, out in zip(self.train, held_out, strict=True) if out]
        lacking = sorted(set(self._classes) - {r.label for r in fit})
        if lacking:
            where = f"class {one_line(lacking[0])!r} lies in the validation fold alone"
            return Finetuning(state="skipped", reason=f"{where}: it has too few images")
        with self._timed("plan"):
            plan = self._plan(folder, fit, len(val))
        if isinstance(plan, str):
            return Finetuning(state="skipped", reason=plan, seconds=self.seconds)
        first = self._train(plan.settings, ~held_out, val, folder / "fold", "training")
        with self._timed("validation"):
            first, logits = best_view(first, val, self.backbone, self._truth(val))
        temperature = fit_temperature(logits, self._truth(val))
        comparison, mean = self._compare(val, temperature.probabilities(logits), held_out)
        told = Finetuning(
            state="lost",
            plan=plan,
            history=first.history,
            comparison=comparison,
            seconds=self.seconds,
            n_fit=len(fit),
            n_trained_parameters=first.n_trained_parameters,
            folder=folder,
        )
        if not comparison.wins:
            return told
        return self._keep(told, first, temperature, mean)

    def _keep(
        self, told: Finetuning, first: Trained, temperature: Temperature, mean: Temperature | None
    ) -> Finetuning:
        """Train again on all training images if there is time, calibrate, and score the test."""
        assert told.plan is not None
        assert told.comparison is not None
        assert told.folder is not None
        chosen, reason = first, ""
        needs_s = self.seconds["training"] * len(self.train) / told.n_fit + RESERVE_S
        if needs_s > self._left_s():
            reason = (
                f"no time was left to train again on all images: that needs about "
                f"{rough_time(needs_s)}"
            )
        else:
            try:
                every = np.ones(len(self.train), dtype=bool)
                chosen = self._train(told.plan.settings, every, [], told.folder / "all", "refit")
                # The size at which it predicts was chosen on validation.
                at = first.backbone.preprocessing
                seen = dataclasses.replace(chosen.backbone, preprocessing=at)
                chosen = dataclasses.replace(chosen, backbone=seen)
            except Exception as error:  # the network of the comparison is as good as was measured
                reason = f"training again on all images failed: {_words(error)}"
                logger.warning("%s", reason)
        model = logits_model(chosen, self._classes, temperature)
        if mean is not None:
            svm = self.svm_tested.model
            model = dataclasses.replace(model, partner=svm, mean_scale=mean.scale)
        with self._timed("test"):
            tested = score_test(
                chosen,
                model,
                self.test,
                svm=self.svm_tested,
                device=self.settings.device,
                cache=self.cache,
            )
        return dataclasses.replace(
            told,
            state="won",
            reason=reason,
            trained=chosen,
            tested=tested,
            refitted=chosen is not first,
        )

    @property
    def _classes(self) -> tuple[str, ...]:
        return self.svm_tested.model.classes

    def _truth(self, records: Sequence[Record]) -> NDArray[np.intp]:
        """The column of each record's class."""
        return np.searchsorted(np.array(self._classes), [r.label for r in records])

    def _compare(
        self, val: Sequence[Record], network: NDArray[np.float64], held_out: NDArray[np.bool_]
    ) -> tuple[Comparison, Temperature | None]:
        """What is offered against the SVM; where it is the mean of both, the mean's temperature.

        `network` are the network's calibrated probabilities, (n_val, K). The log loss decides
        between the network and the mean: it tells more from as many images than the accuracy does.
        """
        truth = self._truth(val)
        frozen = self.svm_tested.out_of_fold[held_out]
        scores = mean_scores(network, frozen)
        temperature = fit_temperature(scores, truth)
        mean = temperature.probabilities(scores)
        is_mean = bool(losses(mean, truth).mean() < losses(network, truth).mean())
        offered = mean if is_mean else network
        finetuned = offered.argmax(axis=1) == truth
        svm = self.svm.scores.correct[held_out]
        comparison = Comparison(
            records=tuple(val),
            probabilities=offered,
            finetuned=finetuned,
            svm=svm,
            alone=network.argmax(axis=1) == truth,
            difference=paired_difference(finetuned, svm),
            losses=losses(offered, truth),
            svm_losses=losses(frozen, truth),
            is_mean=is_mean,
        )
        return comparison, temperature if is_mean else None

    def _train(
        self,
        settings: TrainSettings,
        rows: NDArray[np.bool_],
        val: Sequence[Record],
        folder: Path,
        stage: str,
    ) -> Trained:
        """One training on some of the training images, from where an interrupted one stopped."""
        from headstart.finetune import train

        records = [r for r, taken in zip(self.train, rows, strict=True) if taken]
        with self._timed(stage):
            head = self._head(settings.size_px or self.usual_size, rows)

            def begin() -> Trained:
                return train(
                    self.backbone,
                    records,
                    val,
                    self._classes,
                    settings,
                    head=head,
                    folder=folder,
                    cache=self.cache,
                    device=self.settings.device or "auto",
                    progress=self._renamed(stage),
                    on_epoch=lambda _: self._require_time(),
                )

            try:
                trained = begin()
            except RunError as error:  # a checkpoint that is damaged, or of another version
                logger.warning("%s: training begins anew", error)
                shutil.rmtree(folder, ignore_errors=True)
                trained = begin()
        # Epochs that an interrupted command had trained are part of what it cost.
        self.seconds[stage] = max(self.seconds[stage], trained.seconds)
        return trained

    def _head(self, size_px: int, rows: NDArray[np.bool_]) -> Head:
        """The linear SVM on the last features, scaled so that its softmax fits.

        C and the factor come from cross-validation within `rows`, over the folds that are there.
        """
        from headstart.finetune.network import features_tap

        digests = [r.digest for r, taken in zip(self.train, rows, strict=True) if taken]
        y = np.array([r.label for r, taken in zip(self.train, rows, strict=True) if taken])
        X = self.stores[size_px].read(digests, features_tap(self.backbone).name)
        folds = np.unique(self.folds[rows], return_inverse=True)[1]
        if folds.max() < 1:  # two folds, of which one is held out
            folds = np.arange(len(y)) % 2
        layer = fit_output_layer(X, y, sorted(self.settings.Cs), folds)
        return layer.coef, layer.intercept

    def _plan(self, folder: Path, fit: Sequence[Record], n_val: int) -> Plan | str:
        """The plan of an interrupted command like this one, or a new one."""
        kept_at = folder / "plan.json"
        try:
            kept = json.loads(kept_at.read_text())
            kept["settings"] = TrainSettings.from_dict(kept["settings"])
            plan = Plan(**kept)
            logger.info("fine-tuning goes on with the plan in %s", kept_at)
            return plan
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, HeadstartError) as error:
            logger.warning("damaged file %s (%s): planned anew", kept_at, error)
        sizes = [self.usual_size, *sorted(s for s in self.stores if s < self.usual_size)[::-1]]
        found = plan_training(
            self.backbone,
            fit,
            sizes,
            n_val=n_val,
            n_test=len(self.test),
            left_s=self._left_s(),
            seed=self.settings.seed,
            device=self.settings.device or "auto",
        )
        if isinstance(found, Plan):
            text = json.dumps(vars(found) | {"settings": found.settings.to_dict()})
            write_atomically(kept_at, text.encode())
        return found

    def _folder(self) -> Path:
        """Where the checkpoints of this very fit are kept: the name holds what decides them."""
        s = self.settings
        facts = [
            self.backbone.digest,
            self.backbone.arch,
            self.backbone.preprocessing.to_dict(),
            [(r.digest, r.label) for r in self.train],
            self.folds.tolist(),
            sorted(self.stores),
            [s.seed, s.budget_s, s.device, s.precision, sorted(s.Cs)],
        ]
        text = json.dumps(facts).encode("utf-8", "surrogateescape")
        return self.cache / "finetuning" / hashlib.sha256(text).hexdigest()[:32]

    def _left_s(self) -> float:
        return self.ends_at - time.perf_counter() - RESERVE_S

    def _require_time(self) -> None:
        budget_s = self.settings.budget_s or 0.0
        if self._left_s() < -OVERRUN * budget_s:
            raise _OverBudgetError(
                "the machine became slower than it was while training was timed, and the budget is "
                "used up: training was stopped"
            )

    def _renamed(self, stage: str) -> Progress:
        """Bars of its own for each of the two trainings."""
        name = {"training": "fine-tune", "refit": "fine-tune on all"}[stage]
        return lambda said, done, total: self.progress(
            name if said == "train" else said, done, total
        )

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


def _words(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = one_line(str(error).split("\n")[0])
    return text if isinstance(error, HeadstartError) else f"{type(error).__name__}: {text}"

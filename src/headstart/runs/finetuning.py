"""Fine-tuning within a fit: tried where the time allows, kept only where it wins on validation.

The training images are divided into parts, which are held out in turn while a network is trained on
the others. What the networks say of the images that they had not seen is compared with what the
chosen SVM says of the very same images, without which it was fitted too. Nothing here sees a test
label before the decision has been made, and nothing that goes wrong here costs the SVM.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError, HeadstartError, RunError, one_line
from headstart.heads import Criterion
from headstart.probe.memo import keep_json, recall_json
from headstart.progress import Progress
from headstart.runs.offer import Judged, Offer, make_offer
from headstart.runs.outcome import Comparison, Finetuning
from headstart.runs.parts import Head, Parts, divide, first_layer
from headstart.runs.refit import Tested
from headstart.runs.trained_model import best_view, finite_logits, logits_model, score_test
from headstart.runs.training_plan import MARGIN, Asked, Plan, plan_training
from headstart.wording import rough_time

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features import FeatureStore
    from headstart.runs.choose import Candidate
    from headstart.runs.settings import FitSettings
    from headstart.sources.blocks import Blocks
    from headstart.training import Epoch, Trained, TrainSettings

logger = logging.getLogger(__name__)

# Report, thumbnails and the run's files come after.
RESERVE_S = 5.0
# A machine that is slower than it was while it was timed may use up this much of the budget again.
OVERRUN = 0.25

OnEpoch = Callable[[tuple["Epoch", ...]], None]


class _OverBudgetError(HeadstartError):
    """The training takes much longer than it should have."""


@dataclass(kw_only=True)
class Attempt:
    """One fine-tuning beside a finished SVM."""

    settings: FitSettings
    backbone: Backbone
    stores: Mapping[int, FeatureStore]  # resolution to FeatureStore; of the backbone
    # gives the features of images, of which the SVM's may be those of several backbones
    rows: Callable[[Blocks, Sequence[Record]], Any]
    # train, test: labels of `test` are only counted after the decision
    train: tuple[Record, ...]
    test: tuple[Record, ...]
    folds: NDArray[np.int64]  # (n_train,); of the cross-validation
    groups: ArrayLike  # (n_train,); duplicates, which are never held out from each other
    svm: Candidate  # the choice
    svm_tested: Tested
    usual_size: int  # the resolution nearest the network's own
    cache: Path
    progress: Progress
    ends_at: float  # when the budget is used up, by ``time.perf_counter``
    # the training that a person asked for: it is taken whatever comes of it, and what goes wrong is
    # an error
    asked: Asked | None = None
    on_epoch: OnEpoch | None = None  # told of the history so far after each epoch of a training
    criterion: Criterion = field(default_factory=Criterion)  # what the fit optimises
    # (n_train,); how often each training image counts, in training and in every comparison
    weight: NDArray[np.float64] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    parts: Parts = field(init=False)

    def run(self) -> Finetuning:
        """Try it; whatever goes wrong is a finding, except Ctrl-C, which goes on up."""
        folder = self._folder()
        try:
            return self._run(folder)
        except Exception as error:  # the SVM is there, and must be written whatever happens here
            if self.asked is not None:
                raise
            logger.warning("fine-tuning failed: %s", _words(error))
            logger.debug("fine-tuning failed", exc_info=True)
            return Finetuning(
                state="failed", reason=_words(error), seconds=self.seconds, folder=folder
            )

    def _run(self, folder: Path) -> Finetuning:
        self._divide()
        if lacking := self.parts.lacking(0):
            if self.asked is not None:
                raise DataError(f"no image can be held out for validation: {lacking}")
            return Finetuning(state="skipped", reason=lacking)
        with self._timed("plan"):
            plan = self._plan(folder)
        if isinstance(plan, str):
            return Finetuning(state="skipped", reason=plan, seconds=self.seconds)
        self._divide(plan.n_parts)
        if lacking := self.parts.lacking(0):
            return Finetuning(state="skipped", reason=lacking, seconds=self.seconds)
        judged = [self._judge(plan, folder, 0)]
        offer = self._offer(judged)
        while self._may_go_on(offer.comparison, judged):
            try:
                judged.append(self._judge(plan, folder, len(judged), like=judged[0]))
            except Exception as error:  # what is known already is enough to decide by
                logger.warning("part %d: %s", len(judged) + 1, _words(error))
                break
            offer = self._offer(judged)
        first = judged[0].trained
        told = Finetuning(
            state="lost",
            plan=plan,
            history=first.history,
            comparison=offer.comparison,
            seconds=self.seconds,
            n_fit=self.parts.n_fit,
            n_judged=len(judged),
            n_parts=self.parts.n_parts,
            n_trained_parameters=first.n_trained_parameters,
            is_asked=self.asked is not None,
            folder=folder,
        )
        return self._keep(told, first, offer) if told.is_asked or offer.comparison.wins else told

    def _divide(self, n_parts: int = 0) -> None:
        """Divide the training images; 0: by the cross-validation's folds."""
        self.parts = divide(
            self.train,
            self.svm,
            self.folds,
            n_parts,
            groups=self.groups,
            rows=self.rows,
            seed=self.settings.seed,
            weight=self.weight,
        )

    def _weights(self, parts: Iterable[int]) -> NDArray[np.float64] | None:
        """Of the images of some parts."""
        return None if self.weight is None else self.weight[self.parts.rows(parts)]

    def _judge(self, plan: Plan, folder: Path, part: int, like: Judged | None = None) -> Judged:
        """Train on all parts but one, and score that one; at the size that the first one chose."""
        val = self._counted(self.parts.rows([part]))
        rows = self.parts.part != part
        place, stage = folder / f"part-{part}", "training" if not part else f"training {part + 1}"
        # Only the first one's curves are shown: the others need no validation epoch by epoch.
        trained = self._train(plan.settings, rows, val if like is None else [], place, stage)
        with self._timed("validation" if like is None else f"validation {part + 1}"):
            if like is None:
                trained, logits = best_view(
                    trained, val, self.backbone, self._truth(val), self._weights([part])
                )
            else:
                logits = finite_logits(trained, val, like.size_px)
        return Judged(trained=trained, logits=logits)

    def _may_go_on(self, comparison: Comparison, judged: Sequence[Judged]) -> bool:
        """Whether another part is held out: it can change the answer, and there is time for it.

        Time is kept for the training on all images. Clear failure ends it early, which takes no win
        that is none for one; an early win would: who stops at the first good news finds some.
        """
        n_done = len(judged)
        if self.asked is not None or n_done == self.parts.n_parts:
            return False
        if comparison.is_hopeless or self.parts.lacking(n_done):
            return False
        one_s = max(self.seconds[s] for s in self.seconds if s.startswith("training"))
        needs_s = MARGIN * (one_s + self.seconds["validation"] + self._refit_s())
        return needs_s < self._left_s()

    def _offer(self, judged: Sequence[Judged]) -> Offer:
        """What all parts so far say together."""
        parts = range(len(judged))
        records = self.parts.images(parts)
        # By the temperature of the model that would be the mean's other half.
        svm = self.parts.svm(parts, self.svm_tested.model.temperature)
        logits = np.concatenate([j.logits for j in judged])
        truth = self._truth(records)
        return make_offer(
            records,
            logits,
            svm,
            truth,
            may_mean=self.asked is None,
            criterion=self.criterion,
            weight=self._weights(parts),
        )

    def _refit_s(self) -> float:
        """Seconds of a training on all images, by the first one."""
        return self.seconds["training"] * len(self.train) / self.parts.n_fit

    def _keep(self, told: Finetuning, first: Trained, offer: Offer) -> Finetuning:
        """Train again on all training images if there is time, calibrate, and score the test."""
        assert told.plan is not None
        assert told.folder is not None
        chosen, reason = first, ""
        needs_s = self._refit_s() + RESERVE_S
        if self.asked is not None:
            pass  # one training was asked for
        elif needs_s > self._left_s():
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
            except Exception as error:
                reason = f"training again on all images failed: {_words(error)}"
                logger.warning("%s", reason)
        if reason and told.plan.n_parts:  # of much fewer images than the SVM's
            return dataclasses.replace(told, state="failed", comparison=None, reason=reason)
        # The network of the comparison is as good as was measured.
        model = logits_model(chosen, self._classes, offer.network)
        svm = self.svm_tested.model
        model = dataclasses.replace(model, costs=svm.costs)
        if offer.mean is not None:
            model = dataclasses.replace(model, partner=svm, pool=offer.mean)
        with self._timed("test"):
            tested = score_test(
                chosen,
                model,
                self.test,
                svm=self.svm_tested,
                device=self.settings.own_device,
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

    def _train(
        self,
        settings: TrainSettings,
        rows: NDArray[np.bool_],
        val: Sequence[Record],
        folder: Path,
        stage: str,
    ) -> Trained:
        """One training on some of the training images, from where an interrupted one stopped."""
        from headstart.training import train
        from headstart.training.training import PREPARE

        self.progress(PREPARE, 0, 1)
        records = self._counted(np.flatnonzero(rows))
        with self._timed(stage):
            from_svm = self.asked is None or self.asked.starts_from_svm
            head = self._head(settings.size_px or self.usual_size, rows) if from_svm else None

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
                    device=self.settings.own_device or "auto",
                    progress=self._renamed(stage),
                    on_epoch=self._end_epoch,
                )

            try:
                trained = begin()
            except RunError as error:  # a checkpoint that is damaged, or of another version
                logger.warning("%s: training starts again", error)
                shutil.rmtree(folder, ignore_errors=True)
                trained = begin()
        # Epochs that an interrupted command had trained are part of what it cost.
        self.seconds[stage] = max(self.seconds[stage], trained.seconds)
        return trained

    def _counted(self, rows: NDArray[np.intp]) -> list[Record]:
        """Training images with the weights that they have in a training."""
        weight = self.weight
        if weight is None:
            return [self.train[i] for i in rows]
        return [dataclasses.replace(self.train[i], weight=float(weight[i])) for i in rows]

    def _head(self, size_px: int, rows: NDArray[np.bool_]) -> Head:
        """The linear SVM on the last features of some of the training images."""
        from headstart.training.network import features_tap

        tap = features_tap(self.backbone).name
        store, Cs = self.stores[size_px], sorted(self.settings.Cs)
        return first_layer(
            self.train, rows, self.folds, store=store, tap=tap, Cs=Cs, weight=self.weight
        )

    def _plan(self, folder: Path) -> Plan | str:
        """The training that was asked for, the plan of an interrupted command, or a new one."""
        if self.asked is not None:
            size = self.asked.settings.size_px or self.usual_size
            settings = dataclasses.replace(self.asked.by_value, size_px=size)
            return Plan(settings=settings, full_epochs=settings.epochs)
        kept_at = folder / "plan.json"
        if (kept := recall_json(kept_at, Plan)) is not None:
            logger.info("fine-tuning goes on with the plan in %s", kept_at)
            return kept
        sizes = [self.usual_size, *sorted(s for s in self.stores if s < self.usual_size)[::-1]]
        found = plan_training(
            self.backbone,
            [r for r, f in zip(self.train, self.folds, strict=True) if f],
            sizes,
            n_val=int((self.folds == 0).sum()),
            n_test=len(self.test),
            n_folds=int(self.folds.max()) + 1,
            left_s=self._left_s(),
            seed=self.settings.seed,
            device=self.settings.own_device or "auto",
        )
        if isinstance(found, Plan):
            keep_json(kept_at, found)
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
        if self.asked is not None:
            facts.append([self.asked.by_value.to_dict(), self.asked.starts_from_svm])
        if self.weight is not None:
            facts.append(self.weight.tolist())
        text = json.dumps(facts).encode("utf-8", "surrogateescape")
        return self.cache / "finetuning" / hashlib.sha256(text).hexdigest()[:32]

    def _left_s(self) -> float:
        return self.ends_at - time.perf_counter() - RESERVE_S

    def _end_epoch(self, history: tuple[Epoch, ...]) -> None:
        if self.on_epoch is not None:
            self.on_epoch(history)
        self._require_time()

    def _require_time(self) -> None:
        budget_s = self.settings.budget_s or 0.0
        if self._left_s() < -OVERRUN * budget_s:
            raise _OverBudgetError(
                "the machine became slower than it was while training was timed, and the budget is "
                "used up: training was stopped"
            )

    def _renamed(self, stage: str) -> Progress:
        """Bars of its own for each training."""
        words = {"training": "fine-tune", "refit": "fine-tune on all"}
        name = words.get(stage) or f"fine-tune, part {stage.split()[-1]}"
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

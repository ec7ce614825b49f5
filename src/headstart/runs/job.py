"""The stages of a fit on images in order, and the files that they leave.

With a budget, or where a training was asked for, a network is trained before the run is written:
:mod:`headstart.runs.finetuning`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.comparison.comparing import MANY_IMAGES
from headstart.data import duplicate_groups, training_records
from headstart.errors import DataError
from headstart.probe import training_folds
from headstart.progress import Progress
from headstart.runs.choose import Candidate, choose
from headstart.runs.findings import thumbnails
from headstart.runs.folder import write_json
from headstart.runs.measure import Watch, measure, unwatched
from headstart.runs.metrics import Results, metrics
from headstart.runs.predictions import write_test_predictions
from headstart.runs.provenance import describe_backbone, provenance
from headstart.runs.report import write_report
from headstart.runs.settings import FitSettings
from headstart.sources.blocks import usual_blocks
from headstart.sources.reading import Reading

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record
    from headstart.features import Extraction
    from headstart.runs.finetuning import OnEpoch
    from headstart.runs.training_plan import Asked

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageResults(Results):
    """All that a fit found out, with the network and what it gave."""

    backbone: Backbone
    extraction: Extraction


@dataclass(kw_only=True)
class Job:
    """One fit under way: its stages in order, and the seconds that each took."""

    settings: FitSettings
    out: Path
    cache: Path
    progress: Progress
    watch: Watch = unwatched
    on_epoch: OnEpoch | None = None
    asked: Asked | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    precision_reason: str = ""
    reading: Reading = field(default_factory=Reading)

    def run(self, scratch: Path) -> ImageResults:
        """All stages; the run's files are left in ``scratch``."""
        from headstart.backbones.loading import check

        started = time.perf_counter()
        s = self.settings
        check(s.backbone, weights=s.weights, arch=s.arch)  # before hours may go into the images
        index = self._index()
        backbone = self._backbone()
        self._precision(index, backbone)
        extraction = self._extract(index, backbone)
        index = _without(index, extraction.unreadable)
        train, folds, candidates = self._cross_validate(index, backbone, extraction)
        with self._timed("refit"):
            results = self._refit(index, backbone, extraction, train, folds, candidates)
        if self.asked is not None or (s.budget_s is not None and s.finetune):
            with self._timed("fine_tuning"):
                ends_at = started + (s.budget_s or math.inf)
                results = self._finetune(results, folds, ends_at=ends_at)
        self.timings_s["total"] = time.perf_counter() - started
        self._write(scratch, results)
        return results

    def _finetune(
        self, results: ImageResults, folds: NDArray[np.int64], *, ends_at: float
    ) -> ImageResults:
        """Try to beat the choice within the budget."""
        from headstart.runs.finetuning import Attempt

        stores = results.extraction.stores
        [usual_size] = usual_blocks(results.backbone, sorted(stores)).resolutions
        attempt = Attempt(
            settings=self.settings,
            backbone=results.backbone,
            stores=stores,
            train=results.train,
            test=results.test,
            folds=folds,
            groups=duplicate_groups(results.index, results.train),
            svm=results.chosen,
            svm_tested=results.final,
            usual_size=usual_size,
            cache=self.cache,
            progress=self.progress,
            ends_at=ends_at,
            asked=self.asked,
            on_epoch=self.on_epoch,
        )
        return dataclasses.replace(results, finetuning=attempt.run())

    def _refit(
        self,
        index: Index,
        backbone: Backbone,
        extraction: Extraction,
        train: tuple[Record, ...],
        folds: NDArray[np.int64],
        candidates: list[Candidate],
    ) -> ImageResults:
        """Choose, then fit and score the choice and the two that it is shown beside."""
        from headstart.runs.refit import refit

        usual = usual_blocks(backbone, sorted(extraction.stores))
        baseline = next(i for i, c in enumerate(candidates) if c.blocks == usual)
        choice = choose(candidates, [r.label for r in train], baseline)
        shown = dict.fromkeys((choice.chosen, choice.best, baseline))
        tested = {
            i: refit(
                candidates[i],
                backbone=backbone,
                settings=self.settings,
                stores=extraction.stores,
                train=train,
                test=index.test,
                reading=self.reading,
            )
            for i in shown
        }
        return ImageResults(
            settings=self.settings,
            index=index,
            backbone=backbone,
            extraction=extraction,
            train=train,
            test=index.test,
            n_folds=len(np.unique(folds)),
            candidates=candidates,
            choice=choice,
            baseline=baseline,
            tested=tested,
        )

    def _write(self, scratch: Path, results: ImageResults) -> None:
        """Leave every file of the run in ``scratch``."""
        figures = metrics(results, self.timings_s) | {"extraction": self._work(results)}
        engine = results.extraction.engine or "features from the store"
        tuned = results.finetuning
        write_json(
            scratch / "run.json",
            provenance(
                self.settings,
                results.index,
                describe_backbone(results.backbone),
                engine,
                {"chosen": self.settings.precision, "reason": self.precision_reason},
                tuned.plan.settings.to_dict() if tuned and tuned.plan else None,
                asked=self.asked,
            )
            | {"features": self.reading.to_dict()},
        )
        write_json(scratch / "metrics.json", figures)
        results.final.model.save(scratch / "model")
        if tuned is not None and tuned.trained is not None:
            from headstart.finetune.saving import save_network

            save_network(scratch / "model", tuned.trained)
        write_test_predictions(scratch / "predictions.csv", results)
        shown = {item["digest"] for item in figures["mistakes"] + figures["suspicious"]}
        pictures = thumbnails(r for r in results.index.records if r.digest in shown)
        write_report(scratch, thumbnails=pictures, run_name=str(self.out))

    def _work(self, results: ImageResults) -> dict[str, Any]:
        """What making the features took, for ``metrics.json``."""
        done = results.extraction
        return {
            "n_forward": done.n_forward,
            "n_cached": done.n_cached,
            "images_per_s": done.images_per_s,
            "seconds": done.seconds,
            "engine": done.engine,
            "precision": self.settings.precision,
        }

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings_s[stage] = time.perf_counter() - start
        logger.info("%s: %.2f s", stage, self.timings_s[stage])

    def _index(self) -> Index:
        from headstart.data import index

        s = self.settings
        with self._timed("index"):
            return index(
                s.data,
                split=s.split,
                test_size=s.test_size,
                seed=s.seed,
                image_column=s.image_column,
                label_column=s.label_column,
                split_column=s.split_column,
                classes_from=s.classes_from,
                merge_labels=s.merge_labels,
                cache=self.cache,
                progress=self.progress,
            )

    def _backbone(self) -> Backbone:
        from headstart.backbones import load

        s = self.settings
        with self._timed("load"):
            return load(s.backbone, weights=s.weights, arch=s.arch)

    def _precision(self, index: Index, backbone: Backbone) -> None:
        """Replace ``auto`` by the precision that this machine and these images allow."""
        from headstart.runs.precision import choose_precision

        if self.settings.precision != "auto":
            self.precision_reason = "asked for"
            return
        with self._timed("precision"):
            gate = choose_precision(
                backbone,
                training_records(index),
                device=self.settings.device,
                cache=self.cache,
            )
        self.precision_reason = gate.reason
        self.settings = dataclasses.replace(self.settings, precision=gate.precision)

    def _extract(self, index: Index, backbone: Backbone) -> Extraction:
        from headstart.features import extract
        from headstart.runs.budget import plan_resolutions, within_budget

        s = self.settings
        with self._timed("features"):
            sizes = plan_resolutions(backbone, s.resolutions)
            if s.budget_s is not None and len(sizes) > 1:
                sizes = within_budget(
                    backbone,
                    sizes,
                    n_images=len(index),
                    budget_s=s.budget_s,
                    precision=s.precision,
                    device=s.device,
                    cache=self.cache,
                )
            return extract(
                index.records,
                backbone,
                resolutions=sizes,
                precision=s.precision,
                device=s.device,
                cache=self.cache,
                progress=self.progress,
            )

    def _cross_validate(
        self, index: Index, backbone: Backbone, extraction: Extraction
    ) -> tuple[tuple[Record, ...], NDArray[np.int64], list[Candidate]]:
        with self._timed("cross_validation"):
            train = training_records(index)
            s = self.settings
            # More to learn from, where one training is all there is.
            n_folds = 10 if self.asked is not None and len(train) >= MANY_IMAGES else s.n_folds
            folds = training_folds(index, train, n_folds=n_folds, seed=s.seed)
            candidates = measure(
                extraction.stores,
                backbone,
                train,
                folds,
                Cs=sorted(s.Cs),
                exact=s.exact,
                cache=self.cache,
                progress=self.progress,
                reading=self.reading,
                watch=self.watch,
            )
        return train, folds, candidates


def _without(index: Index, unreadable: dict[str, str]) -> Index:
    """The index less the files that failed between indexing and extraction."""
    if not unreadable:
        return index
    from headstart.data import Quarantined
    from headstart.data.sides import check_sides
    from headstart.data.sources import counted, some

    kept = tuple(r for r in index.records if r.digest not in unreadable)
    lost = tuple(
        Quarantined(name=r.name, reason=unreadable[r.digest])
        for r in index.records
        if r.digest in unreadable
    )
    smaller = dataclasses.replace(index, records=kept, quarantine=index.quarantine + lost)
    if len({r.label for r in smaller.train}) < 2:
        raise DataError(f"{index.root}: fewer than two classes are left after unreadable files")
    if gone := sorted(set(index.classes) - set(smaller.classes)):
        note = f"no usable image is left of {counted(len(gone), 'class')}: {some(gone)}"
        smaller = dataclasses.replace(smaller, notes=(*smaller.notes, note))
    return check_sides(smaller)

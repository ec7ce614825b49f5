"""What a fit does with images alone: the pass through the backbone, and fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import duplicate_groups, training_records
from headstart.errors import (
    BackboneError,
    DataError,
    InputError,
    WeightsError,
    argument,
    one_line,
)
from headstart.home import expand
from headstart.runs.findings import thumbnails
from headstart.runs.folder import FIXES
from headstart.runs.kind import Kind
from headstart.runs.origin import Origin
from headstart.runs.provenance import describe_backbone, provenance
from headstart.runs.result import ExtractionResult
from headstart.runs.run_file import FeaturesRead, ImageRunFile, UsedPrecision
from headstart.runs.settings import FitSettings, fields_for
from headstart.sources.image import ImageSource
from headstart.sources.reading import Reading
from headstart.sources.several import SeveralSource

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.data.fixes import Fix
    from headstart.data.prompts import Prompts
    from headstart.features import Cluster, Extraction
    from headstart.features.raycluster import Workers
    from headstart.runs.finetuning import OnEpoch
    from headstart.runs.measure import Task
    from headstart.runs.metrics import Results
    from headstart.runs.outcome import Finetuning


@dataclass(kw_only=True)
class Images(Kind):
    """Images through a backbone."""

    settings: FitSettings
    on_epoch: OnEpoch | None = None
    _precision_reason: str = ""
    _fixes: tuple[Fix, ...] = ()
    _notes: tuple[str, ...] = ()
    _extractions: list[Extraction] = field(init=False)
    _source: ImageSource | SeveralSource = field(init=False)
    _workers: Workers | None = None

    @property
    def _cluster(self) -> Cluster:
        from headstart.features import Cluster

        return Cluster(address=self.settings.address, n_workers=self.settings.n_workers)

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """With the workers of a cluster, where one was asked for."""
        from headstart.features.raycluster import joined

        if self.settings.engine == "local":
            yield
            return
        with joined(self._cluster, device="cpu") as self._workers:
            yield

    def check(self) -> None:
        from headstart.backbones.listed import check_all
        from headstart.backbones.texttowers import require_text_tower
        from headstart.features.engines import check_device

        asked = self.settings.backbones
        if self.asked is not None and len(asked) > 1:
            raise InputError(
                f"a training is of one network, and {argument('backbone')} names {len(asked)}: give one, "
                "or fit with all of them"
            )
        s = self.settings
        if self.asked is not None and (s.multi_label or s.label_columns or s.target_column):
            raise InputError(
                "networks are trained for one class per image, not for several labels or a number: "
                "make a fit instead of a training"
            )
        check_all(asked)
        if s.engine == "local":
            check_device(s.device)
        else:
            self._cluster.check(s.device)
        if self.settings.prompts not in ("auto", "none"):
            require_text_tower([weights or name for name, weights, _ in asked])

    def index(self) -> Index:
        from headstart.data import index
        from headstart.data.fixes import apply_fixes, read_fixes
        from headstart.features.rayindex import inspect_on

        s = self.settings
        # With an address there are more cores than here.
        inspect = inspect_on(self._cluster) if s.address is not None else None
        if s.fixes is not None:
            self._fixes = read_fixes(expand(s.fixes))
        found = index(
            s.data,
            **fields_for(index, s),
            cache=self.cache,
            progress=self.progress,
            inspect=inspect,
        )
        return found if s.fixes is None else apply_fixes(found, self._fixes, one_line(s.fixes))

    def open(self, index: Index) -> tuple[Index, ImageSource | SeveralSource]:
        """Every image passes through each backbone once; its features are kept."""
        from headstart.backbones.listed import load_all

        asked = self.settings.backbones
        prompts = self._prompts(index)
        with self.clock.timed("load"):
            backbones = load_all(asked)
        self._choose_precision(index, backbones.values())
        if self.settings.crop is not None:
            with self.clock.timed("crop"):
                backbones = {k: self._crop(index, net) for k, net in backbones.items()}
        with self.clock.timed("features"):
            self._extractions = [
                self._extract(index, net, len(asked)) for net in backbones.values()
            ]
        sources = {
            name: ImageSource(
                backbone=net,
                stores=done.stores,
                precision=self.settings.precision,
                weights=weights,
                reading=Reading(self._workers),
            )
            for (name, net), done, (_, weights, _) in zip(
                backbones.items(), self._extractions, asked, strict=True
            )
        }
        one = next(iter(sources.values()))
        several = SeveralSource(of=sources, reading=Reading(self._workers))
        self._source = one if len(sources) == 1 else several
        unreadable = {k: v for done in self._extractions for k, v in done.unreadable.items()}
        index = _without(index, unreadable)
        left = {r.label for r in training_records(index)}
        prompts = {name: texts for name, texts in prompts.items() if name in left}
        if prompts:
            for source in sources.values():
                self._add_text_head(source, prompts)
        notes = (*index.notes, *dict.fromkeys(self._notes))
        return dataclasses.replace(index, notes=notes), self._source

    def _prompts(self, index: Index) -> Prompts:
        """What the classes are called, in the order of the head's rows; empty without a zero-shot head."""
        from headstart.data.prompts import TEMPLATES, fill, read_prompts

        classes = sorted({r.label for r in training_records(index)})
        asked = self.settings.prompts
        if asked == "none" or index.kind != "classes":
            return {}
        return fill(TEMPLATES, classes) if asked == "auto" else read_prompts(asked, classes)

    def _add_text_head(self, source: ImageSource, prompts: Prompts) -> None:
        """The zero-shot head of a source whose network has a text tower."""
        from headstart.backbones.architectures import resolve
        from headstart.backbones.texttowers import has_text_tower
        from headstart.data.prompts import same_prompts
        from headstart.data.sources import some
        from headstart.runs.zeroshot import kept_text_head

        if source.weights is not None or not has_text_tower(resolve(source.backbone.arch)):
            return
        with self.clock.timed("zero_shot"):
            try:
                source.text_head = kept_text_head(source.backbone, prompts, self.cache)
            except (BackboneError, WeightsError) as error:
                if self.settings.prompts != "auto":
                    raise
                self._notes += (f"without a zero-shot head: {error}",)
                return
        self._notes += tuple(
            f"classes {some(same)} have the same prompts, so the zero-shot head cannot tell them apart: give "
            f"others with {argument('prompts', 'FILE')}"
            for same in same_prompts(prompts)
        )

    @property
    def tries_finetuning(self) -> bool:
        """Where it was asked for, or a budget allows it."""
        s = self.settings
        return self.asked is not None or (s.budget_s is not None and s.finetune)

    def finetune(self, results: Results, folds: NDArray[np.int64], ends_at: float) -> Finetuning:
        """Ctrl-C keeps the SVM, unless the training is what was asked for."""
        from headstart.runs.finetuning import Attempt
        from headstart.runs.outcome import Finetuning

        source = self._source_of(results)
        [usual_size] = source.usual.resolutions
        attempt = Attempt(
            settings=self.settings,
            backbone=source.backbone,
            stores=source.stores,
            rows=self._source.rows,
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
            criterion=results.objective.criterion,
            weight=results.objective.weights(results.train),
        )
        with self.clock.timed("fine_tuning"):
            try:
                return attempt.run()
            except KeyboardInterrupt:
                if self.asked is not None:
                    raise
                again = f"the same with {argument('force', True)} goes on from there"
                return Finetuning(state="skipped", reason=f"it was stopped; {again}")

    def figures(self, results: Results, task: Task) -> dict[str, Any]:
        """What making the features took."""
        every = self._extractions
        n_forward, seconds = sum(d.n_forward for d in every), sum(d.seconds for d in every)
        return {
            "extraction": ExtractionResult(
                n_forward=n_forward,
                n_cached=sum(d.n_cached for d in every),
                images_per_s=n_forward / seconds if n_forward else None,
                seconds=seconds,
                engine=self._engine,
                precision=self.settings.precision,
            )
        }

    def provenance(self, results: Results) -> ImageRunFile:
        tuned, source = results.finetuning, self._source
        several = source.of.values() if isinstance(source, SeveralSource) else ()
        in_blocks = dict(source.reading.in_blocks)
        return provenance(
            ImageRunFile,
            self.settings,
            results.index,
            describe_backbone(self._source_of(results).backbone),
            engine=self._engine or "features from the store",
            precision=UsedPrecision(chosen=self.settings.precision, reason=self._precision_reason),
            training=tuned.plan.settings.to_dict() if tuned and tuned.plan else None,
            asked=self.asked,
            backbones=tuple(describe_backbone(s.backbone) for s in several),
            features=FeaturesRead(read="in blocks" if in_blocks else "whole", in_blocks=in_blocks),
        )

    def files(self) -> dict[str, bytes]:
        """The fixes, which whoever reads the images again needs."""
        from headstart.data.fixes import write_fixes

        return {FIXES: write_fixes(self._fixes)} if self.settings.fixes is not None else {}

    def pictures(self, results: Results, digests: set[str]) -> dict[str, bytes]:
        return thumbnails(r for r in results.index.records if r.digest in digests)

    def origin(self, results: Results) -> Origin:
        return Origin(data=self.settings.data, split=self.settings.split)

    @property
    def _engine(self) -> str:
        """What ran the networks; empty where all features were kept."""
        return ", ".join(dict.fromkeys(d.engine for d in self._extractions if d.engine))

    def _source_of(self, results: Results) -> ImageSource:
        """The backbone of the choice; of a join, the one whose own candidates are most accurate."""
        if isinstance(self._source, ImageSource):
            return self._source
        needed = [b.backbone for b in results.chosen.blocks.members]
        own = [c for c in results.candidates if c.blocks.backbone in needed]
        best = max(own, key=lambda c: (c.accuracy, -c.macs)) if len(needed) > 1 else results.chosen
        return self._source.of[best.blocks.backbone]

    def _choose_precision(self, index: Index, backbones: Collection[Backbone]) -> None:
        """Replace ``auto`` by the precision that this machine and these images allow.

        Of several backbones, all compute in the same: bfloat16 where each of them may.
        """
        from headstart.runs.precision import choose_precision

        if self.settings.precision != "auto":
            self._precision_reason = "asked for"
            return
        with self.clock.timed("precision"):
            gates = (
                choose_precision(
                    backbone,
                    training_records(index),
                    device=self.settings.own_device,
                    cache=self.cache,
                    progress=self.progress,
                )
                for backbone in backbones
            )
            for gate in gates:
                if gate.precision == "float32":
                    break
        self._precision_reason = gate.reason
        self.settings = dataclasses.replace(self.settings, precision=gate.precision)

    def _crop(self, index: Index, backbone: Backbone) -> Backbone:
        """The backbone with the crop that was asked for, or the best in cross-validation."""
        from headstart.runs.cropping import choose_crop, with_crop

        s = self.settings
        if s.crop != "auto":
            return with_crop(backbone, s.crop)
        found = choose_crop(
            index,
            backbone,
            resolutions=s.resolutions,
            precision=s.precision,
            device=s.own_device,
            seed=s.seed,
            cache=self.cache,
            progress=self.progress,
        )
        self._notes += (found.note,)
        return found.backbone

    def _extract(self, index: Index, backbone: Backbone, n_backbones: int) -> Extraction:
        from headstart.features import extract, extract_on_cluster
        from headstart.runs.budget import plan_resolutions, within_budget

        s = self.settings
        sizes = plan_resolutions(backbone, s.resolutions)
        self._notes += sizes.notes
        if s.budget_s is not None and len(sizes.resolutions) > 1:
            sizes = within_budget(
                backbone,
                sizes.resolutions,
                n_images=len(index),
                budget_s=s.budget_s / n_backbones,
                precision=s.precision,
                device=s.own_device,
                cache=self.cache,
            )
            self._notes += sizes.notes
        how: dict[str, Any] = {
            "resolutions": sizes.resolutions,
            "precision": s.precision,
            "device": s.device,
            "cache": self.cache,
            "progress": self.progress,
        }
        if s.engine == "ray":
            return extract_on_cluster(index.records, backbone, cluster=self._cluster, **how)
        return extract(index.records, backbone, **how)


def _without(index: Index, unreadable: dict[str, str]) -> Index:
    """The index less the files that failed between indexing and extraction."""
    if not unreadable:
        return index
    from headstart.data import Quarantined
    from headstart.data.sides import check_sides
    from headstart.data.sources import counted, some
    from headstart.data.targets import check_targets

    kept = tuple(r for r in index.records if r.digest not in unreadable)
    lost = tuple(
        Quarantined(name=r.name, reason=unreadable[r.digest])
        for r in index.records
        if r.digest in unreadable
    )
    smaller = dataclasses.replace(index, records=kept, quarantine=index.quarantine + lost)
    if smaller.kind != "classes":
        check_targets(smaller.root, smaller.records)
    elif len({r.label for r in smaller.train}) < 2:
        raise DataError(f"{index.root}: fewer than two classes are left after unreadable files")
    if gone := sorted(set(index.classes) - set(smaller.classes)):
        note = f"no usable image is left of {counted(len(gone), 'class')}: {some(gone, is_counted=True)}"
        smaller = dataclasses.replace(smaller, notes=(*smaller.notes, note))
    return check_sides(smaller)

"""The nets of Yosinski et al. (2014): the first layers of a base net, the rest new; one at a time.

Every net is trained by `headstart.training.train`, so that what is frozen is hashed before and after,
BatchNorm statistics included, and is kept by everything that decides it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones.weights import digest_weights
from headstart.comparison.comparing import Outcome
from headstart.comparison.memo import address, keep, recall
from headstart.data import training_records
from headstart.errors import InputError
from headstart.experiments.statistics import with_statistics_of
from headstart.features.engines import pick_device
from headstart.probe.memo import code_digest
from headstart.training.batches import centre, normalised
from headstart.training.batchnorm import has_batchnorm
from headstart.training.images import load_pixels
from headstart.training.network import features_tap, prepare
from headstart.training.regimes import divide, frozen_state
from headstart.training.settings import TrainSettings
from headstart.training.training import train

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index, Record
    from headstart.training.trained import Trained

# The new layers of a net are not those that its base net began with: a copied layer must not find
# its old partners.
_FRESH = 100_003
_CHUNK = 256
# Whose layers a kind of net copies.
_SOURCES = {"self_transfer": "B", "transfer": "A", "random": "random"}


@dataclass(kw_only=True)
class Nets:
    """Trains the nets that it is asked for, or reads what became of them."""

    # base, target: A and B
    base: Index
    target: Index
    # function of a seed; gives the architecture with random weights, at the size of the images
    make: Callable[[int], Backbone]
    settings: TrainSettings  # of every training; regime, tap and seed are set here
    cache: Path
    device: str | None = None
    # whether a training that is stopped goes on; for those that take minutes
    keeps_checkpoints: bool = False
    _weights: dict[Path, dict[str, torch.Tensor]] = field(default_factory=dict)
    _random: dict[int, Backbone] = field(default_factory=dict)

    def base_net(self, side: str, seed: int) -> Outcome:
        """The net trained on ``"A"`` or ``"B"`` from random weights, tested on the same side."""
        path = self._base_path(side, seed)
        outcome = recall(path)
        if outcome is None:
            outcome, _ = self._train_base(side, seed)
        return outcome

    def net(self, kind: str, tap: str, seed: int) -> Outcome:
        """A net of one of the kinds with the layers up to `tap` copied, trained and tested on B."""
        regime = "all" if kind.endswith("_tuned") else "upper"
        settings = dataclasses.replace(
            self.settings,
            regime=regime,
            tap=tap if regime == "upper" else None,
            seed=seed + _FRESH,
        )
        source = _SOURCES[kind.removesuffix("_tuned")]
        facts = self._facts(self.target, settings)
        facts |= {"start": source, "tap": tap, "fresh": self.make(settings.seed).digest}
        if source != "random":
            facts["copied"] = self._base_path(source, seed).stem
        path = address(self._folder, facts)
        outcome = recall(path)
        if outcome is None:
            start = self._start(source, tap, seed)
            trained = self._train(self.target, start, settings, path)
            outcome = self._outcome(trained, self.target)
            keep(path, outcome)
        return outcome

    @property
    def _folder(self) -> Path:
        return self.cache / "generality"

    def _base_path(self, side: str, seed: int) -> Path:
        facts = self._facts(self._side(side), self._base_settings(seed))
        return address(self._folder, facts | {"fresh": self.make(seed).digest})

    def _base_settings(self, seed: int) -> TrainSettings:
        return dataclasses.replace(self.settings, regime="all", tap=None, seed=seed)

    def _side(self, side: str) -> Index:
        return self.base if side == "A" else self.target

    def _facts(self, index: Index, settings: TrainSettings) -> dict[str, Any]:
        return {
            "code": code_digest("experiments/layers/nets.py", "experiments/statistics.py"),
            "device": pick_device(self.device),
            "settings": settings.to_dict(),
            "preprocessing": self.make(0).preprocessing.to_dict(),
            "classes": list(index.classes),
            "train": [(r.digest, r.label) for r in training_records(index)],
            "test": [(r.digest, r.label) for r in index.test],
        }

    def _train_base(self, side: str, seed: int) -> tuple[Outcome, dict[str, torch.Tensor]]:
        from safetensors.torch import save

        from headstart.files import write_atomically

        path, index = self._base_path(side, seed), self._side(side)
        trained = self._train(index, self.make(seed), self._base_settings(seed), path)
        state = {k: v.contiguous().clone() for k, v in trained.network.state_dict().items()}
        write_atomically(path.with_suffix(".safetensors"), save(state))
        outcome = self._outcome(trained, index)
        keep(path, outcome)
        self._weights[path] = state
        return outcome, state

    def _base_weights(self, side: str, seed: int) -> dict[str, torch.Tensor]:
        """The weights of a base net; trained again where the file is lost or damaged."""
        from headstart.backbones.weights import read_weights
        from headstart.errors import WeightsError

        path = self._base_path(side, seed)
        if path not in self._weights:
            file = path.with_suffix(".safetensors")
            try:
                found = read_weights(file) if file.exists() else None
            except WeightsError:
                found = None
            self._weights[path] = self._train_base(side, seed)[1] if found is None else found
        return self._weights[path]

    def _start(self, source: str, tap: str, seed: int) -> Backbone:
        """New layers from `tap` on, and below it those of `source`."""
        fresh = self.make(seed + _FRESH)
        if source == "random":
            return self._with_statistics(fresh, seed)
        return with_layers_of(fresh, self._base_weights(source, seed), tap, self.settings)

    def _with_statistics(self, fresh: Backbone, seed: int) -> Backbone:
        """Random filters whose BatchNorm has seen B: else they would also suffer from its lack."""
        if not has_batchnorm(fresh.module):
            return fresh
        if seed not in self._random:
            self._random[seed] = with_statistics_of(
                fresh, training_records(self.target), what="B", device=self.device
            )
        return self._random[seed]

    def _train(self, index: Index, start: Backbone, settings: TrainSettings, path: Path) -> Trained:
        import shutil

        folder = path.with_suffix("") if self.keeps_checkpoints else None
        trained = train(
            start,
            training_records(index),
            (),
            index.classes,
            settings,
            folder=folder,
            cache=self.cache,
            device=self.device or "auto",
        )
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return trained

    def _outcome(self, trained: Trained, index: Index) -> Outcome:
        correct = self._correct(trained, index.test, index.classes)
        return Outcome(
            val_correct=np.zeros(0, dtype=bool),
            test_correct=correct,
            seconds=trained.seconds,
            n_trained_parameters=trained.n_trained_parameters,
            history=trained.history,
            best_epoch=trained.best_epoch,
        )

    def _correct(
        self, trained: Trained, records: Sequence[Record], classes: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Which images are recognised: run by torch, since a conversion costs more for one use."""
        preprocessing = trained.backbone.preprocessing
        pixels = load_pixels(records, preprocessing, cache=self.cache)
        device = torch.device(pick_device(self.device))
        network = trained.network.to(device)
        said = []
        with torch.no_grad():
            for start in range(0, len(records), _CHUNK):
                some = centre(pixels[start : start + _CHUNK], preprocessing.size_px)
                images = normalised(some.to(device).float().div(255), preprocessing)
                said.append(network(images).argmax(1).cpu())
        numbers = {label: i for i, label in enumerate(classes)}
        truth = np.array([numbers[r.label] for r in records])
        return np.asarray(torch.cat(said).numpy() == truth)


def with_layers_of(
    fresh: Backbone, weights: Mapping[str, torch.Tensor], tap: str, settings: TrainSettings
) -> Backbone:
    """A copy of `fresh` whose layers up to and including `tap` are those of a trained network.

    `weights` (name to Tensor): the state of a `headstart.training.network.Network` of the same
    architecture. `tap`: what lies below it is defined as for the regime ``upper``; buffers are
    copied too.
    """
    # The number of classes does not matter: no output layer is copied.
    prepared = prepare(fresh, 2, dataclasses.replace(settings, regime="upper", tap=tap))
    division = divide(prepared, dataclasses.replace(settings, regime="upper", tap=tap))
    names = [name for name, _ in frozen_state(prepared.network, division)]
    module = copy.deepcopy(fresh.module)
    state = module.state_dict()
    with torch.no_grad():
        for name in names:
            state[name.removeprefix(f"{prepared.prefix}.")].copy_(weights[name])
    return dataclasses.replace(
        fresh, module=module, digest=digest_weights(module), source="first layers of a base net"
    )


def cut_points(backbone: Backbone, settings: TrainSettings, *, most: int = 8) -> tuple[str, ...]:
    """The taps after which a network is cut: each freezes more than the one before it.

    Raises InputError where the network has fewer than two such layers.

    `most` (>= 2): more are thinned evenly, counted from the last.
    """
    names = [tap.name for tap in backbone.taps]
    usable = names[: names.index(features_tap(backbone).name) + 1]
    found: list[str] = []
    n_before = 0
    for name in usable:
        at = dataclasses.replace(settings, regime="upper", tap=name)
        n_frozen = len(divide(prepare(backbone, 2, at), at).frozen)
        if n_frozen > n_before:
            found.append(name)
        n_before = n_frozen
    if len(found) < 2:
        raise InputError(f"{backbone.name} has fewer than two layers to cut after: take another")
    step = -(-len(found) // most)
    return tuple(found[(len(found) - 1) % step :: step])

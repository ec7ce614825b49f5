"""How general is each layer? First layers transferred from A to B, and the drop taken apart.

J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural networks?",
NeurIPS 2014. With the first n layers of a net frozen and the rest retrained, what is lost on the
net's *own* data (base B less self-transfer, BnB) is lost by separating layers that had learnt together:
*co-adaptation*. What is lost on top of it when the layers come from *other* data (self-transfer, BnB less AnB) is
their *specificity*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.comparison.comparing import Outcome
from headstart.data import sample_folder
from headstart.errors import DataError
from headstart.experiments.compact import NAME, compact_backbone
from headstart.experiments.experiment import DataFacts, Inputs
from headstart.experiments.layers.halves import require_disjoint, split_classes
from headstart.experiments.layers.nets import Nets, cut_points
from headstart.experiments.layers.result import KINDS, Layer, LayersResult
from headstart.experiments.layers.settings import Settings
from headstart.heads import repeated_accuracy, repeated_difference
from headstart.results import Difference
from headstart.training.settings import TrainSettings

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

LEVEL = 0.95
COMPACT_SIZE_PX = 32
DIGITS_A = ("0", "1", "2", "3", "4")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What became of every net."""

    layers: tuple[str, ...]  # after which the nets are cut: n = 1, 2, ...
    # base_a, base_b: one a seed, each on its own test images
    base_a: tuple[Outcome, ...]
    base_b: tuple[Outcome, ...]
    # (kind, layer) to tuple of Outcome; one a seed, on B's test images
    nets: Mapping[tuple[str, str], tuple[Outcome, ...]]

    def figures(self) -> dict[str, Any]:
        """The figures of a `LayersResult`; 95 % for all layers together (Bonferroni)."""
        return {
            "layers": tuple(map(self._layer, self.layers)),
            "base_a": repeated_accuracy(_table(self.base_a), LEVEL),
            "base_b": repeated_accuracy(_table(self.base_b), LEVEL),
            "base_b_by_seed": _by_seed(self.base_b),
            "train_accuracy": _train_accuracy(self.base_b),
            "difference_level": self._level,
            "n_test": len(self.base_b[0].test_correct),
        }

    @property
    def _level(self) -> float:
        return 1 - (1 - LEVEL) / len(self.layers)

    def _layer(self, layer: str) -> Layer:
        nets = {kind: self.nets[kind, layer] for kind in KINDS}
        return Layer(
            layer=layer,
            accuracy={k: repeated_accuracy(_table(o), LEVEL) for k, o in nets.items()},
            by_seed={k: _by_seed(o) for k, o in nets.items()},
            over_base={k: self._less(o, self.base_b) for k, o in nets.items()},
            co_adaptation=self._less(self.base_b, nets["self_transfer"]),
            specificity=self._less(nets["self_transfer"], nets["transfer"]),
            over_own=self._less(nets["transfer_tuned"], nets["self_transfer_tuned"]),
            over_random=self._less(nets["transfer"], nets["random"]),
            train_accuracy={k: _train_accuracy(o) for k, o in nets.items()},
            seconds=float(np.mean([o.seconds for done in nets.values() for o in done])),
        )

    def _less(self, a: Sequence[Outcome], b: Sequence[Outcome]) -> Difference:
        return Difference.of(repeated_difference(_table(a), _table(b), self._level))


def measure(s: Settings, inputs: Inputs) -> LayersResult:
    """Train base nets on A and B, and for every layer the five kinds of nets on B.

    What is finished is kept in the cache by content and not done again.

    Raises DataError where A and B overlap, or one of them has no test images; InputError where the
    network has fewer than two layers to cut after.
    """
    from headstart.data import training_records
    from headstart.features import cache_folder

    training = TrainSettings(
        epochs=s.epochs,
        lr=s.lr,
        batch_size=s.batch_size,
        layer_decay=1.0,
        label_smoothing=0.0,
        bn="batch",
        augment=s.augment or ("none" if s.is_digits else "basic"),
        # A frozen part runs again in each epoch, so that all nets see images prepared alike.
        activations_mib=0,
    )
    make = maker(s.backbone, s.size_px, s.crop)
    a, b = _sides(s, inputs)
    require_disjoint(a, b)
    for name, index in (("A", a), ("B", b)):
        if not index.test:
            raise DataError(f"{name} ({index.root.name}) has no test images to count on")
    nets = Nets(
        base=a,
        target=b,
        make=make,
        settings=training,
        cache=inputs.cache or cache_folder(),
        device=s.device,
        keeps_checkpoints=s.backbone != NAME,
    )
    net = make(s.seed)
    seeds = tuple(range(s.seed, s.seed + s.seeds))
    trained = train_all(nets, cut_points(net, training, most=s.cuts), seeds, inputs)
    return LayersResult(
        settings=s,
        datasets=tuple(DataFacts(name=i.root.name, classes=i.classes) for i in (a, b)),
        a=_named(a),
        b=_named(b),
        backbone=net.name,
        size_px=net.preprocessing.size_px,
        training=training.to_dict(),
        seeds=seeds,
        n_train=(len(training_records(a)), len(training_records(b))),
        notes=tuple(dict.fromkeys((*a.notes, *b.notes))),
        **trained.figures(),
    )


def train_all(nets: Nets, layers: tuple[str, ...], seeds: Sequence[int], inputs: Inputs) -> Trained:
    """Every net for every seed, as each is known."""
    wanted = [("base A", ""), ("base B", ""), *((kind, n) for n in layers for kind in KINDS)]
    found: dict[tuple[str, str], list[Outcome]] = {key: [] for key in wanted}
    done, total = 0, len(wanted) * len(seeds)
    inputs.progress("train networks", 0, total)
    for seed in seeds:
        for kind, layer in wanted:
            is_base = kind.startswith("base")
            outcome = nets.base_net(kind[-1], seed) if is_base else nets.net(kind, layer, seed)
            found[kind, layer].append(outcome)
            done += 1
            inputs.progress("train networks", done, total)
            share, where = outcome.test_correct.mean(), f" to {layer}" if layer else ""
            inputs.say(
                f"{kind}{where}, seed {seed}: {100 * share:.1f} % in {outcome.seconds:.0f} s"
            )
    fixed = {key: tuple(outcomes) for key, outcomes in found.items()}
    base_a, base_b = fixed.pop(("base A", "")), fixed.pop(("base B", ""))
    return Trained(layers=layers, base_a=base_a, base_b=base_b, nets=fixed)


def maker(backbone: str, size_px: int | None, crop: str | None = None) -> Callable[[int], Backbone]:
    """The architecture with random weights, by seed."""
    from headstart.backbones import at_size, load
    from headstart.runs.cropping import with_crop

    def make(seed: int) -> Backbone:
        if backbone == NAME:
            net = compact_backbone(size_px or COMPACT_SIZE_PX, seed=seed)
        else:
            net = load(backbone, pretrained=False, seed=seed)
            net = net if size_px is None else at_size(net, size_px)
        return with_crop(net, crop)

    return make


def _sides(s: Settings, inputs: Inputs) -> tuple[Index, Index]:
    """A and B."""
    if s.base is not None:
        return inputs.index("base"), inputs.index("target")
    if s.data is not None:
        return split_classes(inputs.index(), seed=s.seed)
    digits = sample_folder("digits", inputs.cache)
    return split_classes(inputs.read(str(digits)), first=DIGITS_A)


def _named(index: Index) -> str:
    names = ", ".join(index.classes[:8])
    more = f" and {len(index.classes) - 8} more" if len(index.classes) > 8 else ""
    return f"{index.root.name} ({names}{more})"


def _table(outcomes: Sequence[Outcome]) -> NDArray[np.bool_]:
    """(n_seeds, n_test)."""
    return np.array([o.test_correct for o in outcomes])


def _by_seed(outcomes: Sequence[Outcome]) -> tuple[float, ...]:
    return tuple(float(o.test_correct.mean()) for o in outcomes)


def _train_accuracy(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([o.history[-1].train_accuracy for o in outcomes]))

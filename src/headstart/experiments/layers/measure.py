"""How general is each layer? First layers transferred from A to B, and the drop taken apart.

J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural networks?",
NeurIPS 2014. With the first n layers of a net frozen and the rest trained anew, what is lost on the
net's *own* data (base B less BnB) is lost by separating layers that had learnt together:
*co-adaptation*. What is lost on top of it when the layers come from *other* data (BnB less AnB) is
their *specificity*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.comparison.comparing import Outcome
from headstart.errors import DataError, InputError
from headstart.experiments.layers.generality_words import detail, findings, sentence
from headstart.experiments.layers.halves import require_disjoint
from headstart.experiments.layers.nets import KINDS, Nets, cut_points
from headstart.experiments.wording import triple
from headstart.finetune.settings import TrainSettings
from headstart.heads import (
    Interval,
    PairedDifference,
    repeated_accuracy,
    repeated_difference,
)
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index

LEVEL = 0.95

# Top-1 in % by n, means of the last figures in the authors' 132 training logs
# (yosinski/convnet_transfer): halves of ImageNet, an eight-layer AlexNet.
PUBLISHED: dict[str, tuple[float, ...]] = {
    "BnB": (62.6, 62.3, 62.0, 60.4, 59.3, 61.9, 62.3),
    "AnB": (62.8, 62.3, 61.8, 59.9, 57.8, 58.0, 54.2),
    "AnB+": (63.6, 63.5, 64.2, 63.9, 64.4, 64.6, 64.6),
}
PUBLISHED_BASE = 62.6
PUBLISHED_NAME = "Yosinski et al. 2014, halves of ImageNet"


@dataclass(frozen=True, kw_only=True)
class Generality:
    """What every net reached.

    Attributes
    ----------
    layers : tuple of str
        After which the nets are cut: n = 1, 2, ...
    seeds : tuple of int
    base_a, base_b : tuple of Outcome
        One a seed, each on its own test images.
    nets : dict of (kind, layer) to tuple of Outcome
        One a seed, on B's test images.
    n_train : (int, int)
        Training images of A and B.
    n_test : int
        Test images of B.
    """

    layers: tuple[str, ...]
    seeds: tuple[int, ...]
    base_a: tuple[Outcome, ...]
    base_b: tuple[Outcome, ...]
    nets: dict[tuple[str, str], tuple[Outcome, ...]]
    n_train: tuple[int, int]
    n_test: int

    @property
    def level(self) -> float:
        """Of each difference: 95 % for all layers together (Bonferroni)."""
        return 1 - (1 - LEVEL) / len(self.layers)

    def accuracy(self, kind: str, layer: str) -> Interval:
        """Of one kind of net on B, mean of the seeds."""
        return repeated_accuracy(_table(self.nets[kind, layer]), LEVEL)

    def base_accuracy(self, side: str = "B") -> Interval:
        """Of the base nets on their own test images."""
        return repeated_accuracy(_table(self.base_b if side == "B" else self.base_a), LEVEL)

    def co_adaptation(self, layer: str) -> PairedDifference:
        """Accuracy of base B less that of BnB: what separating the layers costs."""
        return self._less(self.base_b, self.nets["BnB", layer])

    def specificity(self, layer: str) -> PairedDifference:
        """Accuracy of BnB less that of AnB: what the other data costs on top."""
        return self._less(self.nets["BnB", layer], self.nets["AnB", layer])

    def over_base(self, kind: str, layer: str) -> PairedDifference:
        """Accuracy of a net less that of base B."""
        return self._less(self.nets[kind, layer], self.base_b)

    def over_own(self, layer: str) -> PairedDifference:
        """Accuracy of AnB+ less that of BnB+: both were trained as long in all."""
        return self._less(self.nets["AnB+", layer], self.nets["BnB+", layer])

    def over_random(self, layer: str) -> PairedDifference:
        """Accuracy of AnB less that of random filters: what was learnt from A."""
        return self._less(self.nets["AnB", layer], self.nets["random", layer])

    def train_accuracy(self, kind: str, layer: str = "") -> float:
        """Share of B's training images right in the last epoch, mean of the seeds."""
        outcomes = self.base_b if kind == "base B" else self.nets[kind, layer]
        return float(np.mean([o.history[-1].train_accuracy for o in outcomes]))

    @property
    def findings(self) -> tuple[str, ...]:
        """A sentence for each question."""
        return findings(self)

    @property
    def sentence(self) -> str:
        """The answer."""
        return sentence(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: all figures."""
        return _to_dict(self)

    def _less(self, a: Sequence[Outcome], b: Sequence[Outcome]) -> PairedDifference:
        return repeated_difference(_table(a), _table(b), self.level)


def measure_generality(
    base: Index,
    target: Index,
    make: Callable[[int], Backbone],
    settings: TrainSettings,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    most_layers: int = 8,
    cache: Path | None = None,
    device: str | None = None,
    keeps_checkpoints: bool = False,
    progress: Progress = silent,
    on_net: Callable[[str, str, int, Outcome], None] | None = None,
) -> Generality:
    """Train base nets on A and B, and for every layer the five kinds of nets on B.

    What is finished is kept in the cache by content and not done again.

    Parameters
    ----------
    base, target : Index
        A and B, which share no image; the training images (and validation images, as no choice is
        made) are trained on, the test images are counted.
    make : function of a seed
        Gives the architecture with random weights at the size of the images, such as
        `headstart.experiments.compact.compact_backbone`.
    settings : TrainSettings
        Of every training alike; regime, tap and seed are set here.
    seeds : sequence of int
    most_layers : int >= 2
    cache : Path, optional
    device : str, optional
    keeps_checkpoints : bool, default False
    progress : Progress
    on_net : function, optional
        Called with kind, layer, seed and outcome as each is known.

    Raises
    ------
    DataError
        A and B overlap, or one of them has no test images.
    InputError
        No seed, one seed twice, or the network has fewer than two layers to cut after.
    """
    from headstart.data import training_records
    from headstart.features import cache_folder

    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"the nets need one or more different seeds, got {list(seeds)}")
    require_disjoint(base, target)
    for name, index in (("A", base), ("B", target)):
        if not index.test:
            raise DataError(f"{name} ({index.root.name}) has no test images to count on")
    nets = Nets(
        base=base,
        target=target,
        make=make,
        settings=settings,
        cache=cache or cache_folder(),
        device=device,
        keeps_checkpoints=keeps_checkpoints,
    )
    layers = cut_points(make(0), settings, most=most_layers)
    wanted = [("base A", ""), ("base B", ""), *((kind, n) for n in layers for kind in KINDS)]
    found: dict[tuple[str, str], list[Outcome]] = {key: [] for key in wanted}
    done, total = 0, len(wanted) * len(seeds)
    progress("train networks", 0, total)
    for seed in seeds:
        for kind, layer in wanted:
            is_base = kind.startswith("base")
            outcome = nets.base_net(kind[-1], seed) if is_base else nets.net(kind, layer, seed)
            found[kind, layer].append(outcome)
            done += 1
            progress("train networks", done, total)
            if on_net is not None:
                on_net(kind, layer, seed, outcome)
    fixed = {key: tuple(outcomes) for key, outcomes in found.items()}
    return Generality(
        layers=layers,
        seeds=tuple(seeds),
        base_a=fixed.pop(("base A", "")),
        base_b=fixed.pop(("base B", "")),
        nets=fixed,
        n_train=(len(training_records(base)), len(training_records(target))),
        n_test=len(target.test),
    )


def _table(outcomes: Sequence[Outcome]) -> NDArray[np.bool_]:
    """(n_seeds, n_test)."""
    return np.array([o.test_correct for o in outcomes])


def _to_dict(g: Generality) -> dict[str, Any]:
    rows = [
        {
            "layer": n,
            "accuracy": {kind: triple(g.accuracy(kind, n)) for kind in KINDS},
            "by_seed": {
                kind: [float(o.test_correct.mean()) for o in g.nets[kind, n]] for kind in KINDS
            },
            "over_base": {kind: triple(g.over_base(kind, n)) for kind in KINDS},
            "co_adaptation": triple(g.co_adaptation(n)),
            "specificity": triple(g.specificity(n)),
            "over_own": triple(g.over_own(n)),
            "over_random": triple(g.over_random(n)),
            "train_accuracy": {kind: g.train_accuracy(kind, n) for kind in KINDS},
            "seconds": float(np.mean([o.seconds for kind in KINDS for o in g.nets[kind, n]])),
        }
        for n in g.layers
    ]
    return {
        "sentence": g.sentence,
        "detail": detail(g),
        "findings": list(g.findings),
        "kinds": dict(KINDS),
        "layers": rows,
        "base_a": triple(g.base_accuracy("A")),
        "base_b": triple(g.base_accuracy("B")),
        "base_b_by_seed": [float(o.test_correct.mean()) for o in g.base_b],
        "train_accuracy": g.train_accuracy("base B"),
        "difference_level": g.level,
        "seeds": list(g.seeds),
        "n_train": list(g.n_train),
        "n_test": g.n_test,
        "published": {kind: list(values) for kind, values in PUBLISHED.items()},
        "published_base": PUBLISHED_BASE,
        "published_name": PUBLISHED_NAME,
    }

"""What `transfer layers` found."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headstart.experiments.experiment import ExperimentResult
from headstart.experiments.layers.settings import Settings
from headstart.results import Difference, Interval

KINDS: dict[str, str] = {
    "self_transfer": "first layers from base B, frozen; the rest new (self-transfer)",
    "self_transfer_tuned": "first layers from base B, trained further; the rest new",
    "transfer": "first layers from base A, frozen; the rest new",
    "transfer_tuned": "first layers from base A, trained further; the rest new",
    "random": "first layers random, frozen; the rest new",
}
"""What is trained on B for every layer."""

LABELS = {
    "self_transfer": "BnB",
    "self_transfer_tuned": "BnB+",
    "transfer": "AnB",
    "transfer_tuned": "AnB+",
    "random": "random",
}
"""Their names in the paper."""

# Top-1 in % by n, means of the last figures in the authors' 132 training logs
# (yosinski/convnet_transfer): halves of ImageNet, an eight-layer AlexNet.
PUBLISHED: dict[str, tuple[float, ...]] = {
    "self_transfer": (62.6, 62.3, 62.0, 60.4, 59.3, 61.9, 62.3),
    "transfer": (62.8, 62.3, 61.8, 59.9, 57.8, 58.0, 54.2),
    "transfer_tuned": (63.6, 63.5, 64.2, 63.9, 64.4, 64.6, 64.6),
}
PUBLISHED_BASE = 62.6
PUBLISHED_NAME = "Yosinski et al. 2014, halves of ImageNet"


class Layer(Struct, frozen=True, kw_only=True):
    """Every kind of net that is cut after one layer, on B."""

    layer: str
    accuracy: dict[str, Interval]  # kind to Interval; mean of the seeds
    by_seed: dict[str, tuple[float, ...]]
    over_base: dict[str, Difference]  # kind to Difference; accuracy less that of base B
    # accuracy of base B less that of self-transfer: what separating the layers costs
    co_adaptation: Difference
    # accuracy of self-transfer less that of transfer: what the other data cost on top
    specificity: Difference
    # accuracy of transfer less that of self-transfer, both trained further, as long in all
    over_own: Difference
    # accuracy of transfer less that of random filters: what was learned from A
    over_random: Difference
    # kind to float; share of B's training images right in the last epoch, mean of the seeds
    train_accuracy: dict[str, float]
    seconds: float  # mean of all trainings


class LayersResult(ExperimentResult, frozen=True, kw_only=True, tag="layers"):
    """Base nets on A and B, and every kind of net for every layer."""

    settings: Settings
    a: str  # the data of base net A, with their classes
    b: str  # the data of base net B, with their classes
    backbone: str
    size_px: int
    training: dict[str, Any]  # settings of every training
    layers: tuple[Layer, ...]
    base_a: Interval  # accuracy of base net A on its own test images
    base_b: Interval  # accuracy of base net B on its own test images
    base_b_by_seed: tuple[float, ...]
    train_accuracy: float  # of base B
    difference_level: float  # of each difference: 95 % for all layers together (Bonferroni)
    seeds: tuple[int, ...]
    n_train: tuple[int, int]  # (int, int); training images of A and B
    n_test: int  # test images of B
    notes: tuple[str, ...] = ()

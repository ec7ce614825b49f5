"""How long a fine-tuning takes on this machine, and how much of it fits the time that is left."""

from __future__ import annotations

import dataclasses
import logging
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.augment import parse_policy
from headstart.training import TrainSettings
from headstart.wording import rough_time

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record

logger = logging.getLogger(__name__)

# All layers at small rates, beginning at the linear SVM, with the source's statistics and an average
# over the steps (docs/finetuning.md). The last epoch is kept and none is picked by the validation
# images, so that these compare fairly, and so that the same can be done without any.
BASE = TrainSettings(
    regime="all",
    normalise=True,
    lr=3e-4,
    layer_decay=0.85,
    ema_decay=0.98,
    augment="basic",
    keep="last",
)
EPOCHS = (6, 20)
# Few images make few steps per epoch; the number of epochs makes up for it, up to the larger of these.
MIN_STEPS = 100
# Below this share of the epochs it is not worth trying.
LEAST_SHARE = 0.5
# Fewer parts are larger: half the images may be too few to learn from where there are few.
PARTS = (3, 2)
N_TIMED = (8, 32)
# Forward without backward, over both.
FORWARD_SHARE = 1 / 3
# Timings differ from one second to the next.
MARGIN = 1.15


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training that fits the time."""

    settings: TrainSettings
    full_epochs: int  # epochs where time does not matter
    # seconds that it should take, from decoding to the scores of the images held out; None where
    # nobody asked
    needs_s: float | None = None
    # into how many parts the training images are divided, to be held out in turn; 0: the folds of
    # the cross-validation, as many as there is time for
    n_parts: int = 0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A training that a person asked for."""

    settings: TrainSettings
    starts_from_svm: bool  # whether the output layer begins as the linear SVM

    @property
    def by_value(self) -> TrainSettings:
        """The settings with a learnt policy in place of its file, whose path is of this machine alone."""
        augment = self.settings.augment
        if not isinstance(augment, str) or not augment.strip().lower().endswith(".json"):
            return self.settings
        return dataclasses.replace(self.settings, augment=parse_policy(augment).to_dict())


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was measured: seconds per image of a training step and of decoding, and of the start."""

    step_s: float
    decode_s: float
    start_s: float

    def seconds(self, n_epochs: float, *, n_fit: int, n_val: int, n_test: int) -> float:
        """Of a whole training and of scoring the images that it did not see."""
        n_forward = n_epochs * n_val + 2 * n_val + n_test
        steps = self.step_s * (n_epochs * n_fit + FORWARD_SHARE * n_forward)
        return MARGIN * (self.start_s + self.decode_s * (n_fit + 2 * n_val + n_test) + steps)

    def seconds_in_parts(self, n_epochs: int, n_parts: int, *, n_train: int, n_test: int) -> float:
        """Of a training without each part, and of one on all images."""
        n_val = math.ceil(n_train / n_parts)
        one_s = self.seconds(n_epochs, n_fit=n_train - n_val, n_val=n_val, n_test=0)
        return n_parts * one_s + self.seconds(n_epochs, n_fit=n_train, n_val=0, n_test=n_test)

    def epochs_in(self, seconds: float, *, n_fit: int, n_val: int, n_test: int) -> int:
        """How many epochs fit; negative where not even the rest does."""
        rest = self.seconds(0, n_fit=n_fit, n_val=n_val, n_test=n_test)
        one = self.seconds(1, n_fit=n_fit, n_val=n_val, n_test=n_test) - rest
        return math.floor((seconds - rest) / one)


def plan_training(
    backbone: Backbone,
    fit: Sequence[Record],
    sizes: Sequence[int],
    *,
    n_val: int,
    n_test: int,
    n_folds: int,
    left_s: float,
    seed: int,
    device: str,
) -> Plan | str:
    """The largest training that fits, or why there is none.

    The sizes are tried in order, each with as many epochs as fit, all of them at most and half of
    them at least. A few batches are trained on a copy of the network to tell the cost. Then every
    training image is held out once if there is time for that: by the folds of the cross-validation,
    or by fewer and larger parts, which cost less (three parts 2, two parts 1 training of all
    images). The reason is a part of a sentence: ``"needs about 12 min, 8 min are left"``.

    Parameters
    ----------
    fit : sequence of Record
        The images to train on.
    sizes : sequence of int
        Sides of the crops in pixels, the best first.
    n_val, n_test : int
        Images to be scored.
    n_folds : int
        Of the cross-validation.
    left_s : float
        Seconds that are left.
    """
    started = time.perf_counter()
    n_steps = math.ceil(len(fit) / BASE.batch_size)
    full = min(max(EPOCHS[0], math.ceil(MIN_STEPS / n_steps)), EPOCHS[1])
    least = math.ceil(LEAST_SHARE * full)
    needs_s = math.inf
    for size in sizes:
        settings = dataclasses.replace(BASE, size_px=size, epochs=full, seed=seed)
        for n_timed in N_TIMED:
            cost = measure_cost(backbone, spread(fit, n_timed), settings, device)
            counts = {"n_fit": len(fit), "n_val": n_val, "n_test": n_test}
            now_s = left_s - (time.perf_counter() - started)
            # The first look, at very few images, only tells what is out of the question.
            allowed_s = 2 * now_s if n_timed == N_TIMED[0] else now_s
            n_epochs = min(full, cost.epochs_in(allowed_s, **counts))
            if n_epochs < least:
                break
        logger.info("fine-tuning at %d px: %.3f s an image and epoch", size, cost.step_s)
        if n_epochs >= least:
            return Plan(
                settings=dataclasses.replace(settings, epochs=n_epochs),
                full_epochs=full,
                needs_s=cost.seconds(n_epochs, **counts),
                n_parts=_parts_in(now_s, cost, n_epochs, n_folds, len(fit) + n_val, n_test),
            )
        needs_s = min(needs_s, cost.seconds(least, **counts))
    now_s = max(0.0, left_s - (time.perf_counter() - started))
    return f"needs about {rough_time(needs_s)}, {rough_time(now_s)} are left"


def _parts_in(
    left_s: float, cost: Cost, n_epochs: int, n_folds: int, n_train: int, n_test: int
) -> int:
    """The largest number of parts that fits, all held out; 0: the folds, as many as fit."""
    for n_parts in (n_folds, *(n for n in PARTS if n < n_folds)):
        needs_s = cost.seconds_in_parts(n_epochs, n_parts, n_train=n_train, n_test=n_test)
        if needs_s <= left_s:
            return 0 if n_parts == n_folds else n_parts
    return 0


def measure_cost(
    backbone: Backbone, sample: Sequence[Record], settings: TrainSettings, device: str
) -> Cost:
    """Train a copy on a few images for three epochs; the faster of the last two is the measure."""
    from headstart.backbones import at_size
    from headstart.training import train
    from headstart.training.images import load_pixels

    classes = sorted({r.label for r in sample})
    short = dataclasses.replace(settings, epochs=3)  # the first pays for what is done once
    assert settings.size_px is not None
    preprocessing = at_size(backbone, settings.size_px).preprocessing
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        started = time.perf_counter()
        load_pixels(sample, preprocessing, cache=Path(folder))
        decode_s = time.perf_counter() - started
        trained = train(backbone, sample, (), classes, short, cache=Path(folder), device=device)
        start_s = time.perf_counter() - started - decode_s - trained.seconds
    return Cost(
        step_s=min(epoch.seconds for epoch in trained.history[1:]) / len(sample),
        decode_s=decode_s / len(sample),
        start_s=start_s,
    )


def spread(records: Sequence[Record], n: int) -> list[Record]:
    """``n`` records, in turn one of each class; two classes at least where there are any."""
    by_class: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.digest):
        by_class.setdefault(record.label, []).append(record)
    turns = [
        (turn, label, record)
        for label, members in by_class.items()
        for turn, record in enumerate(members)
    ]
    turns.sort(key=lambda t: t[:2])
    return [record for _, _, record in turns[:n]]

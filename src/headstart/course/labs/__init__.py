"""The tricks of training, each as an experiment of about a minute.

Each lab is a module or folder of this package, with a function ``measure`` that returns a typed
result with a ``sentence``, and a function ``page`` that turns the result into a page:

>>> from headstart.course.labs import dropout
>>> from headstart.course.labs.samples import read_samples
>>> found = dropout.measure(read_samples(), seeds=range(5))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A lab as the command line offers it."""

    name: str  # name of the command and of the module in this package
    title: str  # title of the page
    help: str  # its first line is the summary
    n_seeds: int = 5  # default number of seeds
    # settings of `measure` that are far too small, for tests; empty: there are none
    quick: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> Any:
        """The module with ``measure`` and ``page``; importing it imports torch."""
        return import_module(f"{__name__}.{self.name}")


LABS = (
    Lab(
        name="normalise",
        title="Input normalisation",
        help="Show what normalising the inputs does to gradient descent.\n\n"
        "First the loss contours of a model with two weights and the path of gradient descent; then "
        "the number of steps needed on real features: 13 measurements of wines, and the pixels of "
        "images.",
    ),
    Lab(
        name="optimizers",
        title="Optimizers from one start",
        help="Compare six optimizers on the same task from the same starting point.\n\n"
        "SGD, momentum, Nesterov, RMSprop, Adam and AdamW, each at the best learning rate of the same grid.",
        quick={"rates": (0.01, 0.1), "n_epochs": 3},
    ),
    Lab(
        name="dropout",
        title="Dropout and the gap",
        help="Plot the gap between training and validation against the dropout rate, with few images.",
        quick={"rates": (0.0, 0.5), "n_epochs": 3},
    ),
    Lab(
        name="batchnorm",
        title="BatchNorm, measured",
        help="Test whether BatchNorm works by reducing internal covariate shift.\n\n"
        "Trains a network with and without it at several learning rates, and measures how smooth the "
        "loss is and how much updates of lower layers change the gradients of higher ones.",
        n_seeds=4,
        quick={"rates": (0.03, 0.1), "n_epochs": 3, "n_layers": 2},
    ),
    Lab(
        name="overfitting",
        title="Capacity against data",
        help="Show how network width and the number of images lead to over-fitting, and diagnose learning curves.",
        quick={"widths": (2, 16), "sizes": (30, 60), "n_epochs": 5},
    ),
    Lab(
        name="augmentation",
        title="Augmentation in pictures",
        help="Show basic augmentation, AugMix chain by chain and Mixup with soft labels.\n\n"
        "Without DATA, on the two photographs that come with scikit-learn.",
        n_seeds=20,
    ),
)

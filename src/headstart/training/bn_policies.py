"""The table of BatchNorm policies; it does not import torch, so that help texts are fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headstart.errors import require_choice


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Which statistics the trainable BatchNorm layers use, and which parameters are trained.

    Attributes
    ----------
    in_training, at_test : str
        Description of the statistics.
    affine : {"trained", "frozen", "alone"}
        Weight and bias are trained like other parameters, not trained, or the only parameters
        trained.
    uses_batches : bool
        Whether training normalises with the statistics of the batch.
    estimated : {"never", "before", "after"}
        When statistics over the training set are estimated, relative to training.
    """

    in_training: str
    at_test: str
    affine: Literal["trained", "frozen", "alone"] = "trained"
    uses_batches: bool = False
    estimated: Literal["never", "before", "after"] = "never"

    @property
    def line(self) -> str:
        """A one-line description."""
        trained = "only weight and bias" if self.affine == "alone" else "weight and bias"
        verb = "frozen" if self.affine == "frozen" else "trained"
        return f"training: {self.in_training}; test: {self.at_test}; {trained} {verb}"


_TABLE: Mapping[str, Policy] = MappingProxyType(
    {
        "source": Policy(in_training="the source's statistics", at_test="the source's statistics"),
        "batch": Policy(
            in_training="each batch's own statistics",
            at_test="their running average",
            uses_batches=True,
        ),
        "reestimate": Policy(
            in_training="each batch's own statistics",
            at_test="estimated over all training images after training",
            uses_batches=True,
            estimated="after",
        ),
        "adabn": Policy(
            in_training="estimated over all training images before training",
            at_test="the same",
            estimated="before",
        ),
        "frozen-affine": Policy(
            in_training="the source's statistics",
            at_test="the source's statistics",
            affine="frozen",
        ),
        "affine-only": Policy(
            in_training="each batch's own statistics",
            at_test="their running average",
            affine="alone",
            uses_batches=True,
        ),
    }
)

# One line per policy, for help texts and tables.
POLICIES: Mapping[str, str] = MappingProxyType({name: p.line for name, p in _TABLE.items()})


def policy_of(name: str) -> Policy:
    """The policy with this name.

    Raises InputError where there is none.
    """
    require_choice("bn", name, _TABLE)
    return _TABLE[name]

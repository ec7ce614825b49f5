"""The table of BatchNorm policies. It needs no torch, so that settings and help texts are quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headstart.errors import InputError, did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Which statistics the trainable BatchNorm layers use, and what of them is trained.

    Attributes
    ----------
    in_training, at_test : str
        Whose statistics, in words.
    affine : {"trained", "frozen", "alone"}
        Weight and bias: trained as the rest, never trained, or the only thing trained.
    uses_batches : bool
        Whether training normalises with the statistics of the batch.
    estimated : {"never", "before", "after"}
        When population statistics are taken over the training set, relative to training.
    """

    in_training: str
    at_test: str
    affine: Literal["trained", "frozen", "alone"] = "trained"
    uses_batches: bool = False
    estimated: Literal["never", "before", "after"] = "never"

    @property
    def line(self) -> str:
        """The policy in a line."""
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
            at_test="taken anew over all training images once training ends",
            uses_batches=True,
            estimated="after",
        ),
        "adabn": Policy(
            in_training="taken over all training images before training begins",
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

# Each policy in a line, as help texts and tables show it.
POLICIES: Mapping[str, str] = MappingProxyType({name: p.line for name, p in _TABLE.items()})


def policy_of(name: str) -> Policy:
    """The policy of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in _TABLE:
        near = did_you_mean(name, _TABLE)
        raise InputError(f"bn must be one of {', '.join(_TABLE)}; got {name!r}.{near}")
    return _TABLE[name]

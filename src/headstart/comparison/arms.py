"""What is compared: linear SVMs on frozen features, and trainings that differ in one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError, require_choice
from headstart.sources.blocks import N_JOINED
from headstart.training.bn_policies import POLICIES
from headstart.training.settings import REGIMES, TrainSettings

if TYPE_CHECKING:
    from headstart.backbones import Backbone

POLICY_NAMES = ("basic", "mixup", "cutmix", "augmix")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison."""

    name: str
    line: str  # what it is, in a line
    settings: TrainSettings | None = None  # of the training; None: a linear SVM on frozen features
    n_layers: int = 1  # of the SVM: how many of the last layers' features it is given, side by side
    # whether the output layer begins as the linear SVM on the frozen features (Kumar et al., ICLR
    # 2022); else random
    starts_from_svm: bool = False
    extra_s: float = 0.0  # seconds spent beforehand for it, as on the search for a policy

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return plain | {"settings": self.settings and self.settings.to_dict()}


SVM = Arm(name="linear SVM", line="on frozen features of the penultimate layer")
SVM_JOINED = Arm(
    name="linear SVM, joined",
    line=f"on frozen features of the last {N_JOINED} layers, side by side",
    n_layers=N_JOINED,
)


def regime_arms(
    backbone: Backbone,
    base: TrainSettings,
    *,
    tap: str | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Arm, ...]:
    """The linear SVMs and every regime, at the same number of epochs.

    Raises InputError where a name is not a regime.

    `base`: what the trainings share. `tap`: where ``lower`` ends and ``upper`` begins; default the
    middle of the network. `names`: regimes; default all.
    """
    tap = backbone.tap(tap).name if tap else middle_tap(backbone)
    chosen = tuple(names or REGIMES)
    for name in chosen:
        require_choice("regime", name, REGIMES)
    return (SVM, SVM_JOINED, *(_regime_arm(base, name, tap) for name in chosen))


def _regime_arm(base: TrainSettings, name: str, tap: str) -> Arm:
    settings = dataclasses.replace(
        base, regime=name, tap=tap if name in ("lower", "upper") else None
    )
    if name == "scratch":
        # Nothing below is worth keeping, so every stage learns at the full rate.
        settings = dataclasses.replace(settings, layer_decay=1.0, normalise=False, bn=None)
    where = f" (tap {tap})" if settings.tap else ""
    return Arm(
        name=name,
        line=f"trains {REGIMES[name]}{where}",
        settings=settings,
        starts_from_svm=name != "scratch" and base.normalise,
    )


def bn_arms(base: TrainSettings, names: Sequence[str] | None = None) -> tuple[Arm, ...]:
    """The linear SVM, and one training for every policy of batch normalisation."""
    arms = [SVM]
    for name in names or POLICIES:
        settings = dataclasses.replace(base, bn=name)
        arms.append(
            Arm(
                name=f"bn {name}",
                line=POLICIES[name],
                settings=settings,
                starts_from_svm=base.normalise,
            )
        )
    return tuple(arms)


def augment_arms(base: TrainSettings, policies: Mapping[str, tuple[Any, float]]) -> tuple[Arm, ...]:
    """One training for every augmentation policy.

    `policies` (name to (policy, seconds)): as `headstart.augment.parse_policy` reads it, and what
    finding it has cost.
    """
    return tuple(
        Arm(
            name=name,
            line=f"augmentation {name}" + (f", found in {spent:.0f} s" if spent else ""),
            settings=dataclasses.replace(base, augment=policy),
            starts_from_svm=base.normalise,
            extra_s=spent,
        )
        for name, (policy, spent) in policies.items()
    )


def middle_tap(backbone: Backbone) -> str:
    """The tap in the middle of those that hold maps or tokens."""
    inner = [tap.name for tap in backbone.taps if tap.has_places]
    if not inner:
        raise InputError(f"{backbone.name} has no layer to divide it at: name a regime without tap")
    return inner[(len(inner) - 1) // 2]

"""Augmentation policies as values: validated on creation, stored as JSON, parsed from text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.augment.subpolicies import SubPolicy, sub_policies_from, sub_policies_to
from headstart.errors import InputError, did_you_mean, one_line

FORMAT = 1
"""Version of the JSON form; a higher one comes from a newer Headstart."""

# A missing value takes the default of the policy; after creation only parameters that the policy
# does not have are None.
_DEFAULT: Any = None


@dataclass(frozen=True, slots=True)
class Legal:
    """The legal values of a parameter."""

    low: float
    high: float
    whole: bool = False
    above_low: bool = False

    def holds(self, value: object) -> bool:
        """Whether `value` is a number in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not math.isfinite(value) or (self.whole and value != int(value)):
            return False
        return self.low <= value <= self.high and not (self.above_low and value == self.low)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.above_low:
            return f"{kind} above {self.low:g} and at most {self.high:g}"
        return f"{kind} from {self.low:g} to {self.high:g}"


LEGAL: dict[str, Legal] = {
    "min_area": Legal(0, 1, above_low=True),
    "max_aspect": Legal(1, 4),
    "flip": Legal(0, 1),
    "degrees": Legal(0, 45),
    "jitter": Legal(0, 0.9),
    "hue": Legal(0, 0.5),
    "alpha": Legal(0, 100, above_low=True),
    "probability": Legal(0, 1),
    "width": Legal(1, 10, whole=True),
    "depth": Legal(1, 10, whole=True),
    "severity": Legal(1, 10),
    "consistency": Legal(0, 1000),
    "n_ops": Legal(0, 10, whole=True),
    "magnitude": Legal(0, 30),
}

_BASIC: dict[str, float] = {
    "min_area": 0.35,
    "max_aspect": 4 / 3,
    "flip": 0.5,
    "degrees": 10.0,
    "jitter": 0.2,
    "hue": 0.02,
}

DEFAULTS: dict[str, dict[str, float]] = {
    "none": {},
    "basic": _BASIC,
    "mixup": {**_BASIC, "alpha": 0.2, "probability": 1.0},
    "cutmix": {**_BASIC, "alpha": 1.0, "probability": 1.0},
    "augmix": {
        **_BASIC,
        "alpha": 1.0,
        "width": 3,
        "depth": 3,
        "severity": 3.0,
        "consistency": 12.0,
    },
    "randaugment": {**_BASIC, "n_ops": 2, "magnitude": 9.0},
    "learnt": _BASIC,
}
"""The parameters of each policy with their defaults."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How training images are augmented.

    Every policy except ``"none"`` starts with a random crop, flip, small rotation and light colour
    jitter. Omitted parameters take the policy's defaults (`DEFAULTS`); those that the policy does
    not have are None.

    Parameters
    ----------
    name : {"none", "basic", "mixup", "cutmix", "augmix", "randaugment", "learnt"}
    min_area : float in (0, 1]
        Minimum fraction of the image's area that a crop covers.
    max_aspect : float in [1, 4]
        The aspect ratio of a crop is between ``1 / max_aspect`` and ``max_aspect``.
    flip : float in [0, 1]
        Probability of a horizontal flip.
    degrees : float in [0, 45]
        Maximum rotation in either direction.
    jitter : float in [0, 0.9]
        Brightness, contrast and saturation are multiplied by factors in 1 ± jitter.
    hue : float in [0, 0.5]
        Maximum rotation of the hue, as a fraction of the colour circle.
    alpha : float in (0, 100]
        Parameter of the Beta distribution of mixing weights (and of AugMix's Dirichlet).
    probability : float in [0, 1]
        Fraction of batches that Mixup or CutMix mixes.
    width, depth : int in [1, 10]
        AugMix: number of chains, and maximum number of operations per chain.
    severity : float in [1, 10]
        AugMix: strengths are drawn between 0.1 and this, on a scale of 10.
    consistency : float in [0, 1000]
        AugMix: weight of the Jensen-Shannon loss in training.
    n_ops : int in [0, 10]
        RandAugment: number of operations per image.
    magnitude : float in [0, 30]
        RandAugment: strength of every operation, on a scale of 30.
    sub_policies : tuple of SubPolicy
        Required by ``"learnt"`` and only legal there: the result of a search.

    Raises
    ------
    InputError
        The name is unknown, the policy does not have a parameter, or a value is out of range.
    """

    name: str
    min_area: float = _DEFAULT
    max_aspect: float = _DEFAULT
    flip: float = _DEFAULT
    degrees: float = _DEFAULT
    jitter: float = _DEFAULT
    hue: float = _DEFAULT
    alpha: float = _DEFAULT
    probability: float = _DEFAULT
    width: int = _DEFAULT
    depth: int = _DEFAULT
    severity: float = _DEFAULT
    consistency: float = _DEFAULT
    n_ops: int = _DEFAULT
    magnitude: float = _DEFAULT
    sub_policies: tuple[SubPolicy, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in DEFAULTS:
            raise InputError(_unknown(self.name))
        defaults = DEFAULTS[self.name]
        for parameter, legal in LEGAL.items():
            value = getattr(self, parameter)
            if value is None:
                object.__setattr__(self, parameter, defaults.get(parameter))
            elif parameter not in defaults:
                raise InputError(_not_taken(self.name, parameter))
            elif not legal.holds(value):
                raise InputError(
                    f"{parameter} of the augmentation policy {self.name!r} must be {legal}; "
                    f"got {one_line(str(value))}"
                )
            elif legal.whole:
                object.__setattr__(self, parameter, int(value))
        if bool(self.sub_policies) != (self.name == "learnt"):
            raise InputError(
                "the augmentation policy 'learnt' is read from the file that `headstart augment "
                "search` wrote: give the file's name"
                if self.name == "learnt"
                else f"the augmentation policy {self.name!r} has no sub_policies"
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `from_dict` reads them back."""
        known = {name: getattr(self, name) for name in DEFAULTS[self.name]}
        learnt = {"sub_policies": sub_policies_to(self.sub_policies)} if self.sub_policies else {}
        return {"format": FORMAT, "name": self.name, **known, **learnt}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """Read what `to_dict` gave.

        Raises
        ------
        InputError
            A value is missing, unknown, out of range or from a newer version.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            raise InputError("an augmentation policy needs a 'name'")
        version = data.get("format", FORMAT)
        if version != FORMAT:
            raise InputError(
                f"the augmentation policy has format {one_line(str(version))}, this Headstart reads "
                f"{FORMAT}: search again, or use the version that wrote it"
            )
        values = {k: v for k, v in data.items() if k not in ("format", "search")}
        learnt = values.pop("sub_policies", None)
        for parameter in values.keys() - {"name"} - LEGAL.keys():
            raise InputError(_not_taken(str(data["name"]), str(parameter)))
        if learnt is not None:
            values["sub_policies"] = sub_policies_from(learnt)
        return cls(**values)


def parse_policy(text: str) -> Policy:
    """Parse a policy: ``"basic"``, ``"mixup:alpha=0.4,flip=0"`` or the file of a learnt policy.

    Parameters
    ----------
    text : str
        A name, optionally with parameters after a colon, or a path that ends in ``.json``.

    Raises
    ------
    InputError
        The name or a parameter is unknown, a value is out of range, or the file is missing, damaged
        or from a newer version.
    """
    word = text.strip()
    if word.lower().endswith(".json"):
        return _read(Path(word))
    name, _, rest = word.partition(":")
    name = name.strip().lower()
    if name not in DEFAULTS:
        raise InputError(_unknown(name or text))
    return Policy(name=name, **dict(_pair(name, part) for part in rest.split(",") if part.strip()))


def _pair(policy: str, part: str) -> tuple[str, Any]:
    """``"alpha=0.2"`` as a name and a number."""
    parameter, equals, value = (word.strip() for word in part.partition("="))
    if parameter not in DEFAULTS[policy]:
        raise InputError(_not_taken(policy, parameter))
    if not equals or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        raise InputError(
            f"{parameter} of the augmentation policy {policy!r} must be {LEGAL[parameter]}; "
            f"got {one_line(value)!r}: write {policy}:{parameter}={DEFAULTS[policy][parameter]:g}"
        )
    return parameter, float(value)


def _read(path: Path) -> Policy:
    where = f"the augmentation policy {one_line(str(path))!r}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{where} cannot be read ({error.strerror or error}): `headstart augment search DATA "
            "--out policy.json` writes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is damaged (it is not JSON): search again") from error
    try:
        return Policy.from_dict(data)
    except InputError as error:
        raise InputError(f"{where} cannot be used: {error}") from error


def _unknown(name: str) -> str:
    return (
        f"no augmentation policy is called {one_line(name)!r}.{did_you_mean(name, DEFAULTS)} "
        f"There are {', '.join(n for n in DEFAULTS if n != 'learnt')}, or a learnt .json file"
    )


def _not_taken(policy: str, parameter: str) -> str:
    known = DEFAULTS.get(policy, {})
    takes = f"it takes {', '.join(known)}" if known else "it takes no parameters"
    return (
        f"the augmentation policy {one_line(policy)!r} has no parameter {one_line(parameter)!r}."
        f"{did_you_mean(parameter, known)} {takes[0].upper()}{takes[1:]}"
    )

"""Training settings: a frozen value, stored as JSON with each result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from headstart.errors import InputError, did_you_mean, one_line
from headstart.parameters import LARGEST_SEED
from headstart.training.bn_policies import policy_of

REGIMES: dict[str, str] = {
    "scratch": "everything, from the architecture's random initialisation",
    "all": "everything, from the pretrained weights",
    "lower": "the layers up to and including the tap, and the new output layer; the rest is frozen",
    "upper": "the layers after the tap and the new output layer; the rest is frozen",
    "output": "only the new output layer, a dense layer on the pooled last features",
}
"""What each regime trains. Every regime trains the output layer, which is new."""

WITH_TAP = ("lower", "upper")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
SCHEDULES = ("cosine", "one-cycle", "constant")
PRECISIONS = ("float32", "bf16-mixed")
WATCHED = ("loss", "accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """Settings of one training run; the defaults suit a pretrained convolutional network.

    Parameters
    ----------
    regime : {"scratch", "all", "lower", "upper", "output"}, default "all"
        See `REGIMES`.
    tap : str, optional
        Required by ``lower``, which ends there, and ``upper``, which begins after it; illegal
        otherwise.
    size_px : int, optional
        Side of the crops; default: the backbone's own.
    epochs : int >= 1
    batch_size : int >= 1
        Maximum number of images per step; sizes of batches in an epoch differ by at most one.
    micro_batch : int >= 0
        Images per forward pass; gradients of the micro-batches of a step are summed. 0: the fastest
        size that does not change results (docs/finetuning.md).
    optimizer : {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"}
        Momentum, if any, is 0.9.
    lr : float > 0
        Maximum learning rate of the output layer.
    layer_decay : float in (0, 1]
        Factor on the rate from one stage (tap) to the one below; 1: the same rate everywhere.
    schedule : {"cosine", "one-cycle", "constant"}
    warmup_epochs : float >= 0
        Linear warm-up from 0; ``one-cycle`` rises during 0.3 of the run instead.
    weight_decay : float >= 0
        Not for norms and biases. Decoupled with ``adamw``, else added to the gradient.
    clip_norm : float > 0, optional
        Maximum Euclidean norm of the gradient over all parameters; None: no limit.
    label_smoothing : float in [0, 1)
    dropout : float in [0, 1)
        Dropout of the features before the output layer.
    normalise : bool, default False
        Scale features to unit length before the output layer, like the linear SVM of
        `headstart.heads`, whose weights need it.
    patience : int >= 1, optional
        Stop after this many epochs without a better validation figure; None: never.
    watch : {"loss", "accuracy"}
        The validation figure that determines the best epoch.
    keep : {"best", "last"}
        The epoch whose weights are kept; ``best`` needs validation images.
    ema_decay : float in (0, 1), optional
        Use an exponential moving average of the weights for validation and as result.
    l2_sp : float >= 0
        Weight of the squared distance from the initial weights (Li et al., ICML 2018).
    wise_ft : float in [0, 1], optional
        Keep the weights ``(1 - a) * start + a * end`` (Wortsman et al., CVPR 2022).
    gradual_unfreezing : int >= 0
        Epochs between unfreezing one stage and the one below, starting with the output layer
        (Howard and Ruder, ACL 2018); 0: everything from the start.
    bn : str, optional
        Policy for statistics of batch normalisation: `headstart.training.POLICIES`; default
        ``"source"``, for ``scratch`` ``"batch"``.
    augment : str or dict, default "basic"
        Augmentation policy, in the form of `headstart.augment.parse_policy`.
    views : int >= 0
        For ``upper`` and ``output``: number of augmented views of each image whose frozen
        activations are stored; 0: a fresh view in each epoch, running the frozen part again.
    activations_mib : int >= 0
        Maximum memory for stored activations; beyond it they are computed in each epoch.
    precision : {"float32", "bf16-mixed"}
    seed : int >= 0
        Random seed for the new layer, the order of images, augmentation and dropout.
    """

    regime: str = "all"
    tap: str | None = None
    size_px: int | None = None
    epochs: int = 8
    batch_size: int = 32
    micro_batch: int = 0
    optimizer: str = "adamw"
    lr: float = 4e-4
    layer_decay: float = 0.85
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.1
    dropout: float = 0.0
    normalise: bool = False
    patience: int | None = None
    watch: str = "loss"
    keep: str = "best"
    ema_decay: float | None = None
    l2_sp: float = 0.0
    wise_ft: float | None = None
    gradual_unfreezing: int = 0
    bn: str | None = None
    augment: str | Mapping[str, Any] = "basic"
    views: int = 4
    activations_mib: int = 2048
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("optimizer", "schedule", "precision", "watch", "regime", "keep"):
            require_known(name, getattr(self, name), _CHOICES[name])
        for name, (low, high, kind) in _RANGES.items():
            _require_range(name, getattr(self, name), low, high, kind)
        for name, (low, is_open) in _BELOW_ONE.items():
            _require_share(name, getattr(self, name), low, is_open)
        if not isinstance(self.normalise, bool):
            raise InputError(f"normalise must be True or False, got {self.normalise!r}")
        if not math.isfinite(self.lr) or self.lr <= 0:
            raise InputError(f"lr must be a finite rate above 0, got {self.lr}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"clip_norm must be above 0 or None, got {self.clip_norm}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay must lie in (0, 1], got {self.layer_decay}")
        if self.wise_ft is not None and not 0 <= self.wise_ft <= 1:
            raise InputError(f"wise_ft must lie in [0, 1] or be None, got {self.wise_ft}")
        policy_of(self.bn_policy)
        if self.regime in WITH_TAP and self.tap is None:
            raise InputError(
                f"the regime {self.regime!r} needs a tap, a layer of the backbone to divide it at"
            )
        if self.regime not in WITH_TAP and self.tap is not None:
            raise InputError(
                f"the regime {self.regime!r} takes no tap (got {one_line(self.tap)!r}): "
                f"only {' and '.join(WITH_TAP)} do"
            )

    @property
    def bn_policy(self) -> str:
        """The BatchNorm policy, with the default filled in."""
        return self.bn or ("batch" if self.regime == "scratch" else "source")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; `from_dict` reads them back."""
        plain = asdict(self)
        if not isinstance(self.augment, str):
            plain["augment"] = dict(self.augment)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainSettings:
        """Read what `to_dict` wrote.

        Raises
        ------
        InputError
            A name is not a setting, or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in data:
            require_known("a setting", name, known)
        return cls(**data)


_CHOICES: dict[str, Iterable[str]] = {
    "regime": REGIMES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "watch": WATCHED,
    "keep": ("best", "last"),
}
_INF = math.inf
# Minimum, maximum and type; None is legal if it is the default.
_RANGES: dict[str, tuple[float, float, type]] = {
    "size_px": (1, _INF, int),
    "epochs": (1, _INF, int),
    "batch_size": (1, _INF, int),
    "micro_batch": (0, _INF, int),
    "warmup_epochs": (0, _INF, float),
    "weight_decay": (0, _INF, float),
    "patience": (1, _INF, int),
    "l2_sp": (0, _INF, float),
    "gradual_unfreezing": (0, _INF, int),
    "views": (0, _INF, int),
    "activations_mib": (0, _INF, int),
    "seed": (0, LARGEST_SEED, int),
}
_BELOW_ONE = {"label_smoothing": (0.0, False), "dropout": (0.0, False), "ema_decay": (0.0, True)}
_NULLABLE = ("size_px", "patience", "ema_decay")


def require_known(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise InputError where a value is not one of those known."""
    names = list(known)
    if value not in names:
        raise InputError(
            f"{name} cannot be {one_line(str(value))!r}.{did_you_mean(str(value), names)} "
            f"It is one of: {', '.join(names)}"
        )


def _require_range(name: str, value: Any, low: float, high: float, kind: type) -> None:
    if value is None and name in _NULLABLE:
        return
    is_kind = isinstance(value, int) or (kind is float and isinstance(value, float))
    if not is_kind or isinstance(value, bool) or not low <= value <= high or value == _INF:
        noun = "a whole number" if kind is int else "a number"
        most = f" and at most {high:g}" if high < _INF else ""
        raise InputError(f"{name} must be {noun} of at least {low:g}{most}, got {value!r}")


def _require_share(name: str, value: Any, low: float, is_open: bool) -> None:
    if value is None and name in _NULLABLE:
        return
    is_number = isinstance(value, int | float)
    if not is_number or not low <= value < 1 or (is_open and value == low):
        opening = "(" if is_open else "["
        raise InputError(f"{name} must lie in {opening}{low:g}, 1), got {value!r}")

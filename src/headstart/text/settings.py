"""Settings of a TextCNN's training, stored as JSON beside each result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from headstart.errors import InputError, argument
from headstart.training.settings import TrainSettings, require_known

VARIANTS: dict[str, str] = {
    "rand": "random vectors, trained: from scratch",
    "static": "given vectors, frozen; the maps and the output layer are trained",
    "non-static": "given vectors, trained with everything else: fine-tuning all",
    "multichannel": "given vectors twice, one copy frozen and one trained: both",
}
"""What each variant does with the word vectors: the regimes of fine-tuning, applied to text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTraining:
    """Settings of one training of a TextCNN; the defaults of the network are Kim's (2014).

    Parameters
    ----------
    variant : {"rand", "static", "non-static", "multichannel"}
        See `VARIANTS`; all but ``rand`` need word vectors.
    widths : tuple of int >= 1
        Words that a map looks at together, each width once.
    n_maps : int >= 1
        Maps of each width.
    n_features : int >= 1
        Length of the word vectors where none are given.
    dropout : float in [0, 1)
        Of the penultimate features.
    max_norm : float > 0, optional
        Longest row of the output layer, kept after each step; None: any.
    max_words : int >= 1
        What a text has beyond these is not read.
    epochs, batch_size : int >= 1
    optimizer, lr, schedule, warmup_epochs, weight_decay, clip_norm, label_smoothing, layer_decay,
    gradual_unfreezing, patience, watch, keep
        As in `headstart.training.TrainSettings`. Stages, from the lowest: word vectors, maps, output
        layer. Kim's optimizer is Adadelta and his weights do not decay.
    seed : int >= 0
        Of the network, the order of texts, and dropout.

    Raises
    ------
    InputError
        A value is out of range.
    """

    variant: str = "rand"
    widths: tuple[int, ...] = (3, 4, 5)
    n_maps: int = 100
    n_features: int = 100
    dropout: float = 0.5
    max_norm: float | None = 3.0
    max_words: int = 1000
    epochs: int = 10
    batch_size: int = 50
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    layer_decay: float = 1.0
    gradual_unfreezing: int = 0
    patience: int | None = None
    watch: str = "loss"
    keep: str = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        require_variant(self.variant)
        object.__setattr__(self, "widths", tuple(self.widths))
        for name in ("n_maps", "n_features", "max_words"):
            _require_count(name, getattr(self, name))
        for width in self.widths:
            _require_count("widths", width)
        if not self.widths or len(set(self.widths)) != len(self.widths):
            raise InputError(f"widths must be different whole numbers, got {self.widths}")
        if self.max_norm is not None and not self.max_norm > 0:
            raise InputError(f"max_norm must be above 0 or None, got {self.max_norm}")
        self.for_loop()

    def for_loop(self) -> TrainSettings:
        """What the training loop of `headstart.training` is given; it checks the rest."""
        names = {field.name for field in fields(TrainSettings)} & {f.name for f in fields(self)}
        shared = {name: getattr(self, name) for name in names}
        # Small micro-batches help the maps of images; here they would only cost.
        return TrainSettings(**shared, regime="all", augment="none", micro_batch=self.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; `from_dict` reads them back."""
        return asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextTraining:
        """Read what `to_dict` wrote.

        Raises
        ------
        InputError
            A name is not a setting, or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in data:
            require_known("a setting of a TextCNN", name, known)
        return cls(**data)


def require_variant(variant: str) -> None:
    """Refuse an unknown variant, with an InputError."""
    require_known(argument("variant"), variant, VARIANTS)


def _require_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")

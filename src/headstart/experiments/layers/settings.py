"""What `transfer layers` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from headstart.errors import InputError, argument
from headstart.experiments.settings import Labelled, Natural, Pixels, Positive, Share, about

_TRAINING = "Training"


@dataclass(frozen=True, kw_only=True)
class Settings(Labelled):
    """Measure which layers are general and which are specific.

    Base nets are trained on A and on B; then, for every layer, nets whose layers up to it come
    from A or B, frozen or trained further, with the rest trained again on B. The drop is split
    into co-adaptation and specificity. Finished parts are kept: the same command resumes where it
    was stopped. Without data, A is the digits 0 to 4 and B the digits 5 to 9.

    Examples:

        headstart transfer layers

        headstart transfer layers photos/ --halves --size 64

        headstart transfer layers --base animals/ --target tools/ --backbone resnet18
    """

    why_images: ClassVar[str] = (
        "the layers are those of networks for images, trained from random weights"
    )

    data: Annotated[
        str | None,
        about(
            "With `halves`: the data whose classes are halved; default: digits.", is_argument=True
        ),
    ] = None
    halves: Annotated[bool, about("Split the classes of the data into A and B.")] = False
    base: Annotated[str | None, about("A: the data that layers come from.")] = None
    target: Annotated[str | None, about("B: the data that they are used on.")] = None
    backbone: Annotated[
        str, about("Architecture, from random weights: see `headstart backbones`.")
    ] = "compact"
    size_px: Annotated[
        Pixels | None, about("Image size in pixels; default: 32, or the backbone's own.")
    ] = None
    crop: Annotated[
        Literal["center", "squash", "letterbox"] | None,
        about(
            "How images become squares: center, squash or letterbox; default: the architecture's own."
        ),
    ] = None
    cuts: Annotated[Annotated[int, Meta(ge=2)], about("Most layers to cut after.")] = 8
    epochs: Annotated[Positive, about("Epochs of each training.", panel=_TRAINING)] = 12
    lr: Annotated[
        Annotated[float, Meta(gt=0)], about("Highest learning rate.", panel=_TRAINING)
    ] = 3e-3
    batch_size: Annotated[Positive, about("Images per step.", panel=_TRAINING)] = 32
    augment: Annotated[
        str | None, about("Augmentation; default: basic, for digits none.", panel=_TRAINING)
    ] = None
    seeds: Annotated[Positive, about("Number of repeats.")] = 3
    seed: Annotated[Natural, about("The first seed, and that of `halves`.")] = 0
    test_size: Annotated[
        Share, about("Share of each class to test on, where the data have no split.")
    ] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        base, target, halves = argument("base"), argument("target"), argument("halves")
        if (self.base is None) != (self.target is None):
            raise InputError(f"{base} and {target} go together: one folder for A and one for B")
        if self.data is not None and self.base is not None:
            raise InputError(f"give the data with {halves}, or {base} and {target}, not both")
        if self.data is not None and not self.halves:
            raise InputError(f"one data set alone: add {halves}, or give {base} and {target}")
        if self.halves and self.base is not None:
            raise InputError(f"{halves} splits one data set: give it, not {base} and {target}")

    @property
    def is_digits(self) -> bool:
        """Whether no data were given."""
        return self.data is None and self.base is None

    @property
    def folder(self) -> tuple[str, str]:
        """Named after B where there are two data sets."""
        return self.data or self.target or "digits", "layers"

"""Questions on a finished run: which run, where its images are now, and their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.experiments.settings import Settings, about

if TYPE_CHECKING:
    from headstart.experiments.experiment import Inputs
    from headstart.runs.retrieval import TrainingImages


RunFolder = Annotated[str, about("A run folder, of images.", is_argument=True)]


@dataclass(frozen=True, kw_only=True)
class OnRun(Settings):
    """Settings of an experiment on a run folder."""

    run: RunFolder
    data: Annotated[
        str | None,
        about("Where the run's images are, if they moved or the run was made elsewhere."),
    ] = None
    split: Annotated[str | None, about("The split file of a run that was made elsewhere.")] = None
    device: Annotated[str | None, about("cpu, cuda, cuda:1, mps; default: the best.")] = None

    @property
    def folder(self) -> tuple[str, str]:
        """Named after the run."""
        what = type(self).__module__.split(".")[-2].replace("_", "-")
        return Path(self.run).resolve().name, what


def training_images(settings: OnRun, inputs: Inputs) -> TrainingImages:
    """The run's images with frozen features.

    Raises
    ------
    RunError, DataError
        The run is no run, its images are gone, or it keeps no frozen features.
    """
    from headstart.runs.retrieval import TrainingImages
    from headstart.runs.run import load

    found = TrainingImages.of(
        load(settings.run),
        data=settings.data,
        split=settings.split,
        device=settings.device,
        cache=inputs.cache,
        progress=inputs.progress,
        is_frozen=True,
    )
    inputs.on_index(found.index)
    return found

"""What `slices` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from headstart.errors import InputError, argument
from headstart.experiments.onrun import OnRun
from headstart.experiments.settings import Natural, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnRun):
    """Find parts of the data on which a run is less accurate.

    Every image is judged by a classifier that was trained without it. Accuracy is reported for each value of a
    column of the table (camera, site, year), for size, shape, format, brightness, contrast and sharpness
    of the images, and for clusters of similar images; the worst part is named if it is
    significant after correction for looking at many.

    Examples:

        headstart slices runs/photos

        headstart slices runs/skin --slice camera

        headstart slices runs/photos --slice-by '(site\\d+)_'
    """

    slice: Annotated[str | None, about("Column of the run's table: camera, site, year.")] = None
    slice_by: Annotated[
        str | None,
        about("The same for names of files: a regular expression such as '(site[0-9]+)_'."),
    ] = None
    clusters: Annotated[Natural, about("Number of clusters of similar images; 0: none.")] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slice is not None and self.slice_by is not None:
            raise InputError(
                f"{argument('slice')} and {argument('slice_by')} exclude each other: give one of them"
            )

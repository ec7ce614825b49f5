"""What `clean` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from headstart.experiments.onrun import OnRun
from headstart.experiments.settings import Positive, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnRun):
    """Find wrong labels, and images that should not be there.

    Every image is judged by a classifier that was trained without it and its copies. A page shows what it
    contradicts, with copies under different labels, pictures unlike all others, and blank ones: keep,
    relabel or drop each with one key, save the fixes to a file, and pass it to `headstart fit --fixes`.
    No image is changed. Labels that lower the accuracy on other images come first, if fresh folds confirm it.
    Earlier decisions are kept: the page shows the fixes that the run was made with and those of an earlier
    review (`--fixes`), and the saved file contains all of them.

    Examples:

        headstart clean runs/photos

        headstart fit photos/ --fixes fixes.csv

        headstart clean runs/photos --fixes fixes.csv
    """

    fixes: Annotated[str | None, about("Fixes from an earlier review, to continue with.")] = None

    most: Annotated[Positive, about("Maximum number of images on the page.")] = 500

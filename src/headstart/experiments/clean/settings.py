"""What `clean` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from headstart.experiments.onrun import OnRun
from headstart.experiments.settings import Positive, about


@dataclass(frozen=True, kw_only=True)
class Settings(OnRun):
    """Find wrong labels, and images that should not be there.

    Every image is judged by a classifier that has not seen it nor its copies. A page shows what it
    contradicts, with copies under different labels, pictures unlike all others, and blank ones: keep,
    relabel or drop each by a key, save the file of fixes, and give it to `headstart fit --fixes`.
    No image is changed. Labels that cost the others accuracy come first, where fresh folds confirm that;
    worth.csv says what each image adds to the others. What was decided before stays: the page shows the fixes that the run was made
    with, and those of an earlier review (`--fixes`), and the file that it saves holds them all.

    Examples:

        headstart clean runs/photos

        headstart fit photos/ --fixes fixes.csv

        headstart clean runs/photos --fixes fixes.csv
    """

    fixes: Annotated[str | None, about("File of fixes of an earlier review, to go on from.")] = None

    most: Annotated[Positive, about("Largest number of images on the page to look through.")] = 500

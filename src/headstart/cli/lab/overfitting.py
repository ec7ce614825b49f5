"""``headstart lab overfitting``."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.lab.showing import Data, Out, Quick, Seeds, Size, run_lab

QUICK = {"widths": (2, 16), "sizes": (30, 60), "n_epochs": 5}


def overfitting(
    data: Data = None,
    seeds: Seeds = 5,
    seed: options.FirstSeed = 0,
    size: Size = 16,
    out: Out = None,
    as_json: options.AsJson = False,
    quick: Quick = False,
) -> None:
    """How wide a network may be for how many images, with a diagnosis of the learning curves.

    Examples:

        headstart lab overfitting

        headstart lab overfitting photos/ --seeds 10
    """
    from headstart.labs import overfitting_trial
    from headstart.runs.report.labs import overfitting_sections

    run_lab(
        "overfitting",
        "Capacity against data",
        overfitting_trial,
        overfitting_sections,
        data=data,
        size=size,
        seeds=seeds,
        seed=seed,
        out=out,
        as_json=as_json,
        settings=QUICK if quick else {},
    )

"""``headstart lab optimizers``."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.lab.showing import Data, Out, Quick, Seeds, Size, run_lab

QUICK = {"rates": (0.01, 0.1), "n_epochs": 3}


def optimizers(
    data: Data = None,
    seeds: Seeds = 5,
    seed: options.FirstSeed = 0,
    size: Size = 16,
    out: Out = None,
    as_json: options.AsJson = False,
    quick: Quick = False,
) -> None:
    """Six optimizers on one task from one start: which is the quickest?

    SGD, momentum, Nesterov, RMSprop, Adam and AdamW, each at its best rate of the same grid.

    Examples:

        headstart lab optimizers

        headstart lab optimizers photos/ --seeds 10
    """
    from headstart.labs import optimizer_trial
    from headstart.runs.report.labs import optimizers_sections

    run_lab(
        "optimizers",
        "Optimizers from one start",
        optimizer_trial,
        optimizers_sections,
        data=data,
        size=size,
        seeds=seeds,
        seed=seed,
        out=out,
        as_json=as_json,
        settings=QUICK if quick else {},
    )

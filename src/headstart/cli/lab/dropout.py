"""``headstart lab dropout``."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.lab.showing import Data, Out, Quick, Seeds, Size, run_lab

QUICK = {"rates": (0.0, 0.5), "n_epochs": 3}


def dropout(
    data: Data = None,
    seeds: Seeds = 5,
    seed: options.FirstSeed = 0,
    size: Size = 16,
    out: Out = None,
    as_json: options.AsJson = False,
    quick: Quick = False,
) -> None:
    """The gap between training and validation against the dropout rate, with few images.

    Examples:

        headstart lab dropout

        headstart lab dropout photos/ --seeds 10
    """
    from headstart.labs import dropout_trial
    from headstart.runs.report.labs import dropout_sections

    run_lab(
        "dropout",
        "Dropout and the gap",
        dropout_trial,
        dropout_sections,
        data=data,
        size=size,
        seeds=seeds,
        seed=seed,
        out=out,
        as_json=as_json,
        settings=QUICK if quick else {},
    )

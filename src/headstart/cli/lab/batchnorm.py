"""``headstart lab batchnorm``."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.lab.showing import Data, Out, Quick, Seeds, Size, run_lab

QUICK = {"rates": (0.03, 0.1), "n_epochs": 3, "n_layers": 2}


def batchnorm(
    data: Data = None,
    seeds: Seeds = 4,
    seed: options.FirstSeed = 0,
    size: Size = 16,
    out: Out = None,
    as_json: options.AsJson = False,
    quick: Quick = False,
) -> None:
    """Does BatchNorm work by reducing internal covariate shift?

    A network with and without it at several rates; how smooth its loss is, and how far the step of
    lower layers moves the gradients of higher ones.

    Examples:

        headstart lab batchnorm

        headstart lab batchnorm photos/ --seeds 8
    """
    from headstart.labs import batchnorm_trial
    from headstart.runs.report.labs import batchnorm_sections

    run_lab(
        "batchnorm",
        "BatchNorm, measured",
        batchnorm_trial,
        batchnorm_sections,
        data=data,
        size=size,
        seeds=seeds,
        seed=seed,
        out=out,
        as_json=as_json,
        settings=QUICK if quick else {},
    )

"""``headstart lab normalise``."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.lab.showing import Data, Out, Seeds, Size, run_lab


def normalise(
    data: Data = None,
    seeds: Seeds = 5,
    seed: options.FirstSeed = 0,
    size: Size = 16,
    out: Out = None,
    as_json: options.AsJson = False,
) -> None:
    """What normalising the inputs does to gradient descent.

    The loss of a model with two weights as contours, with the path of descent over them; then the
    steps that descent needs on real features: 13 measurements of wines, and the pixels of images.

    Examples:

        headstart lab normalise

        headstart lab normalise photos/ --seeds 10
    """
    from headstart.labs import normalise_trial
    from headstart.runs.report.labs import normalise_sections

    run_lab(
        "normalise",
        "Input normalisation",
        normalise_trial,
        normalise_sections,
        data=data,
        size=size,
        seeds=seeds,
        seed=seed,
        out=out,
        as_json=as_json,
        settings={},
    )

"""Tiny pictures with their nearest neighbours against frozen features."""

from __future__ import annotations

from headstart.experiments.experiment import Inputs
from headstart.experiments.pixels.result import PixelsResult
from headstart.experiments.pixels.settings import Settings
from headstart.experiments.sift.measure import Task


def measure(s: Settings, inputs: Inputs) -> PixelsResult:
    """Score both once on the test images.

    Raises DataError where there are no test images.
    """
    net = None if s.backbone == "none" else inputs.backbone()
    task = Task(inputs.index(split=s.split), inputs)
    judged = [task.pixels(), *task.network(net)]
    return PixelsResult(settings=s, **task.figures(judged, net))

"""Each lab in a form of a second: figures repeat, and the result survives its file."""

from __future__ import annotations

import json

import pytest
import torch

from headstart.course import result_types
from headstart.course.labs import LABS, Lab
from headstart.course.labs.samples import Samples
from headstart.results import encode

QUICK = {"overfitting": {"widths": (2, 16), "sizes": (20, 60), "n_epochs": 5}}


def without_seconds(found: object) -> object:
    if isinstance(found, dict):
        return {k: without_seconds(v) for k, v in found.items() if k != "seconds"}
    return [without_seconds(v) for v in found] if isinstance(found, list) else found


@pytest.mark.parametrize("lab", [lab for lab in LABS if lab.quick], ids=lambda lab: lab.name)
def test_measure__same_seeds_same_figures(lab: Lab, blobs: Samples) -> None:
    settings = QUICK.get(lab.name, lab.quick)
    calls: list[tuple[int, int]] = []
    first = lab.module.measure(
        blobs, [0, 1], **settings, progress=lambda _, n, total: calls.append((n, total))
    )
    torch.manual_seed(99)
    second = lab.module.measure(blobs, [0, 1], **settings)
    figures = [without_seconds(json.loads(encode(found))) for found in (first, second)]
    assert figures[0] == figures[1]
    assert first.sentence.endswith(".")
    assert calls[-1][0] == calls[-1][1]
    assert [n for n, _ in calls] == sorted(n for n, _ in calls)
    sections = lab.module.page(first)
    assert sum("<svg" in section.figure for section in sections) >= 2
    shown = first._repr_html_()
    assert first.sentence.split()[0] in shown
    assert shown.count("<svg") == 1


def test_labs__each_has_a_module_and_a_result_type() -> None:
    for lab in LABS:
        assert callable(lab.module.measure)
        assert callable(lab.module.page)


def test_result_types__are_those_of_the_labs_kernels_and_complexity() -> None:
    tags = {str(kind.__struct_config__.tag) for kind in result_types()}
    assert tags == {*(f"lab-{lab.name}" for lab in LABS), "complexity", "kernels"}

from __future__ import annotations

import pytest

from headstart.backbones.shortlist import catalogue
from headstart.course.complexity import (
    Published,
    catalogue_names,
    front,
    published_results,
    source,
)
from headstart.errors import BackboneError


def test_published_results__are_torchvisions_own() -> None:
    vgg, squeezenet = published_results(["vgg16", "squeezenet1_1"])[::-1]
    assert (vgg.accuracy, vgg.giga_macs, vgg.n_parameters) == (71.592, 15.47, 138_357_544)
    assert squeezenet.weights == "IMAGENET1K_V1"
    assert "torchvision" in source()


def test_published_results__agree_with_what_headstart_counts() -> None:
    counted = {entry.name: entry for entry in catalogue()}
    for result in published_results(catalogue_names()):
        entry = counted[result.name]
        if result.name not in ("googlenet", "inception_v3"):  # published with auxiliary heads
            assert result.n_parameters == entry.n_parameters, result.name
        if result.size_px == entry.size_px and not result.name.startswith("swin_v2"):
            assert result.giga_macs == pytest.approx(entry.macs / 1e9, rel=0.02, abs=1e-3)


def test_published_results__say_what_they_do_not_have() -> None:
    with pytest.raises(BackboneError, match=r"no figures of 'vgg61'\. Did you mean 'vgg"):
        published_results(["vgg61"])


def test_front__leaves_out_what_another_beats() -> None:
    def network(name: str, accuracy: float, macs: float) -> Published:
        return Published(
            name=name, weights="", accuracy=accuracy, giga_macs=macs, n_parameters=1, size_px=1,
            recipe="",
        )  # fmt: skip

    networks = [
        network("dear", 70, 5), network("cheap", 60, 1), network("best", 80, 3),
        network("as cheap", 55, 1), network("as good", 80, 4), network("middle", 65, 2),
    ]  # fmt: skip
    assert [n.name for n in front(networks)] == ["cheap", "middle", "best"]

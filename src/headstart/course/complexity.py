"""``headstart complexity``: torchvision's published accuracies over operations and parameters.

The figures come with the installed torchvision (``weights.meta``); nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headstart.errors import BackboneError, argument, did_you_mean, one_line
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.results import Result
from headstart.runs.report.pages import Section, Table


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A network's published figures."""

    name: str  # name of the architecture, such as ``"resnet50"``
    weights: str  # name of the weights, such as ``"IMAGENET1K_V2"``
    accuracy: float  # Top-1 on ImageNet's 50,000 validation images, a single crop, in %
    # thousand million multiply-accumulates per image at `size_px`; torchvision writes them as
    # GFLOPS
    giga_macs: float
    n_parameters: int
    size_px: int  # side of the crop
    recipe: str  # where the training is described

    def __str__(self) -> str:
        return f"{self.name} ({self.accuracy:.1f} % with {self.giga_macs:.3g} G)"

    def cells(self, *, is_on_front: bool) -> list[str]:
        """Name (with a star on the front), accuracy, operations, parameters and side as texts."""
        return [
            self.name + (" *" if is_on_front else ""),
            f"{self.accuracy:.1f}",
            f"{self.giga_macs:.3g}",
            f"{self.n_parameters / 1e6:.3g}",
            str(self.size_px),
        ]


class ComplexityResult(Result, frozen=True, kw_only=True, tag="complexity"):
    """What `measure` returns."""

    source: str
    reference: str
    networks: list[Published]  # fewest operations first
    front: list[Published]  # as `front` returns


def source() -> str:
    """Where the figures come from, with the version."""
    import torchvision

    return f"torchvision {torchvision.__version__}, the metadata of its weights (DEFAULT of each)"


def published_results(names: Sequence[str] | None = None) -> list[Published]:
    """The published figures of torchvision's classification networks, fewest operations first.

    Raises BackboneError where torchvision has no such network.

    `names`: default: all with weights in torchvision.
    """
    from torchvision import models

    known = models.list_models(module=models)
    for name in names or ():
        if name not in known:
            raise BackboneError(
                f"torchvision publishes no figures of {one_line(name, limit=80)!r}."
                f"{did_you_mean(name, known)} {argument('all', True)} shows all that there are"
            )
    found = [_published(name, models.get_model_weights(name).DEFAULT) for name in names or known]
    return sorted(found, key=lambda p: (p.giga_macs, p.name))


def catalogue_names() -> list[str]:
    """Networks of Headstart's catalogue that torchvision publishes figures of."""
    from headstart.backbones.shortlist import catalogue

    return [entry.name for entry in catalogue() if entry.source == "torchvision"]


def front(results: Sequence[Published]) -> list[Published]:
    """The Pareto front: networks for which no other is as accurate with no more operations.

    Fewest operations first, each more accurate than those before it.
    """
    best: list[Published] = []
    for result in sorted(results, key=lambda p: (p.giga_macs, -p.accuracy)):
        if not best or result.accuracy > best[-1].accuracy:
            best.append(result)
    return best


def _published(name: str, weights: Any) -> Published:
    meta = weights.meta
    return Published(
        name=name,
        weights=weights.name,
        accuracy=float(meta["_metrics"]["ImageNet-1K"]["acc@1"]),
        giga_macs=float(meta["_ops"]),
        n_parameters=int(meta["num_params"]),
        size_px=int(weights.transforms().crop_size[0]),
        recipe=str(meta["recipe"]),
    )


def measure(names: Sequence[str] | None = None, *, reference: str = "vgg16") -> ComplexityResult:
    """Collect published figures, and find the cheapest network as accurate as the reference.

    Raises BackboneError where torchvision has no such network.

    `names`: default: all with weights in torchvision.
    """
    published_results([reference])  # an unknown name is an error, also where it is not shown
    networks = published_results(names)
    best = front(networks)
    headline, detail = sentence(networks, best, reference)
    return ComplexityResult(
        sentence=headline,
        detail=detail,
        source=source(),
        reference=reference,
        networks=networks,
        front=best,
    )


def sentence(
    networks: Sequence[Published], best: Sequence[Published], reference: str
) -> tuple[str, str]:
    """The headline, which network does what the reference does at less cost, and its detail."""
    on_front = f"{len(best)} of {len(networks)} networks are on the Pareto front"
    detail = (
        f"For {len(best)} of {len(networks)} networks, no other is as accurate with as few "
        f"operations, from {best[0]} to {best[-1]}."
    )
    named = next((r for r in networks if r.name == reference), None)
    if named is None:
        return f"{on_front} of accuracy and operations.", detail
    cheapest = min((r for r in best if r.accuracy >= named.accuracy), key=lambda r: r.giga_macs)
    if cheapest.name == reference:
        return f"{on_front} of accuracy and operations, {reference} among them.", detail
    detail += f" {cheapest} against {named}."
    times = f"{named.giga_macs / cheapest.giga_macs:.1f}"
    share = f"{named.n_parameters / cheapest.n_parameters:.1f}"
    start = f"{cheapest.name} is at least as accurate as {reference}"
    if float(times) <= 1.0 or float(share) <= 1.0:
        return f"{start} with no more operations.", detail
    return (
        f"{start} with {times} times fewer operations and {share} times fewer parameters.",
        detail,
    )


def page(found: ComplexityResult) -> list[Section]:
    """The figure and the table."""
    best = {r.name for r in found.front}
    svg = bubble_plot(
        [
            Bubble(
                label=r.name,
                x=r.giga_macs,
                y=r.accuracy,
                area=r.n_parameters,
                is_faint=r.name not in best,
            )
            for r in found.networks
        ],
        x_axis="multiply-accumulates per image, thousand million",
        y_axis="top-1 accuracy on ImageNet, %",
        name="complexity",
        title="Top-1 accuracy over operations",
        description="; ".join(map(str, found.networks)),
        area_axis="parameters",
        area_unit=lambda area: f"{area / 1e6:.0f} M",
        front=[r.name for r in found.front],
        width=1000,
        height=680,
    )
    return [
        Section(
            heading="Accuracy over operations",
            text=[
                (
                    "The area of a bubble is the number of parameters. The dashed line joins the Pareto "
                    "front: no other network is as accurate with as few operations; the others are grey. "
                    "The accuracies are for ImageNet, not for your images: headstart compare measures "
                    "those."
                )
            ],
            figure=svg,
            caption=f"Source: {found.source}. One crop of each network's own size.",
        ),
        Section(
            heading="The figures",
            text=[
                (
                    "* on the Pareto front. Networks of the same name with other weights differ: most of "
                    "what separates two ResNet-50s here is how they were trained."
                )
            ],
            table=Table(
                header=("network", "top-1, %", "G MACs", "M parameters", "px", "weights"),
                rows=[[*r.cells(is_on_front=r.name in best), r.weights] for r in found.networks],
            ),
        ),
    ]

"""Accuracy over operations as a page: the published figures of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report.pages import Section, Table


def sentence(found: Mapping[str, Any]) -> str:
    """The headline: which network does what the reference does at less cost."""
    results, best = found["networks"], found["front"]
    front = f"{len(best)} of {len(results)} networks are on the Pareto front"
    reference = next((r for r in results if r["name"] == found["reference"]), None)
    if reference is None:
        return f"{front} of accuracy and operations."
    rivals = [r for r in best if r["accuracy"] >= reference["accuracy"]]
    cheapest = min(rivals, key=lambda r: r["giga_macs"])
    if cheapest["name"] == reference["name"]:
        return f"{front} of accuracy and operations, {reference['name']} among them."
    times = f"{reference['giga_macs'] / cheapest['giga_macs']:.1f}"
    share = f"{reference['n_parameters'] / cheapest['n_parameters']:.1f}"
    said = f"{cheapest['name']} is at least as accurate as {reference['name']}"
    if float(times) <= 1.0 or float(share) <= 1.0:
        return f"{said} with no more operations."
    return f"{said} with {times} times fewer operations and {share} times fewer parameters."


def detail(found: Mapping[str, Any]) -> str:
    """The ends of the front, and the two networks of the headline in figures."""
    results, best = found["networks"], found["front"]
    text = (
        f"Of {len(results)} networks, {len(best)} are beaten by none with as few operations, from "
        f"{_figures(best[0])} to {_figures(best[-1])}."
    )
    reference = next((r for r in results if r["name"] == found["reference"]), None)
    if reference is None:
        return text
    rivals = [r for r in best if r["accuracy"] >= reference["accuracy"]]
    cheapest = min(rivals, key=lambda r: r["giga_macs"])
    if cheapest["name"] == reference["name"]:
        return text
    return f"{text} {_figures(cheapest)} against {_figures(reference)}."


def complexity_sections(found: Mapping[str, Any]) -> tuple[Section, ...]:
    """The figure and the table.

    Parameters
    ----------
    found : mapping
        ``networks`` and ``front`` (lists of `headstart.backbones.published.Published.to_dict`),
        ``reference`` and ``source``.

    Returns
    -------
    tuple of Section
    """
    return _figure(found), _table(found)


def _figure(found: Mapping[str, Any]) -> Section:
    best = {r["name"] for r in found["front"]}
    points = [
        Bubble(
            label=r["name"],
            x=r["giga_macs"],
            y=r["accuracy"],
            area=r["n_parameters"],
            is_faint=r["name"] not in best,
        )
        for r in found["networks"]
    ]
    svg = bubble_plot(
        points,
        x_axis="multiply-accumulates of one image, thousand million",
        y_axis="top-1 accuracy on ImageNet, %",
        name="complexity",
        title="Top-1 accuracy over operations",
        description="; ".join(_figures(r) for r in found["networks"]),
        area_axis="parameters",
        area_unit=lambda area: f"{area / 1e6:.0f} M",
        front=[r["name"] for r in found["front"]],
        width=1000,
        height=680,
    )
    return Section(
        heading="Accuracy over operations",
        text=[
            (
                "The area of a bubble is the number of parameters. The dashed line joins the networks "
                "that none beats with as few operations; the others are grey. The accuracies are of "
                "ImageNet, not of your images: headstart compare measures those."
            ),
        ],
        figure=svg,
        caption=f"Source: {found['source']}. One crop of each network's own size.",
    )


def _table(found: Mapping[str, Any]) -> Section:
    best = {r["name"] for r in found["front"]}
    rows = [
        (
            r["name"] + (" *" if r["name"] in best else ""),
            f"{r['accuracy']:.1f}",
            f"{r['giga_macs']:.3g}",
            f"{r['n_parameters'] / 1e6:.3g}",
            str(r["size_px"]),
            r["weights"],
        )
        for r in found["networks"]
    ]
    return Section(
        heading="The figures",
        text=[
            (
                "* beaten by none with as few operations. Weights of one name and another recipe "
                "differ: most of what separates two ResNet-50s here is how they were trained."
            )
        ],
        table=Table(
            header=("network", "top-1, %", "G MACs", "M parameters", "px", "weights"), rows=rows
        ),
    )


def _figures(result: Mapping[str, Any]) -> str:
    return f"{result['name']} ({result['accuracy']:.1f} % with {result['giga_macs']:.3g} G)"

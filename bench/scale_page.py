"""docs/evidence/scale.md: the costs that were measured, the simulation beside them, the projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.projection import (
    Assumed,
    Costs,
    Points,
    busy_writers,
    costs,
    count,
    duplicates_law,
    index_s,
    limits,
    measured_s,
    memory_per_image,
    open_s_per_byte,
    powers,
    project,
    readable,
    simulated_s,
)

from headstart.plots import Line, line_plot, standalone

NET = "embedded"
Sizes = Mapping[str, Sequence[int]]


def page(
    points: Points,
    machine: Mapping[str, Any],
    sizes: Sizes,
    assumed: Assumed,
    *,
    workers: Sequence[int],
    free_bytes: float,
    n_classes: int,
) -> tuple[str, dict[str, str]]:
    """The page and its figures by file name.

    Parameters
    ----------
    points : mapping of name to what was measured
    machine : mapping
        As `bench.machine.describe` gives it.
    sizes : mapping of network to numbers of images
        Ascending; the last one is left to the simulation to tell.
    assumed : Assumed
    workers : sequence of int
        Fleets to project.
    free_bytes : float
    n_classes : int
        Of the task whose limits are told.
    """
    found = {net: costs(points, net, sizes[net][:-1]) for net in sizes}
    jobs = [project(found[NET], points, n, k, assumed) for n in powers(6, 9) for k in workers]
    memory = float(machine.get("memory_gib") or 0) * 2**30
    ends = limits(
        found[NET], points, memory_bytes=memory, free_bytes=free_bytes, n_classes=n_classes
    )
    first = ends[0]
    lines = [
        "# Past one machine: costs, simulation, projection",
        "",
        "```sh",
        "make evidence",
        "```",
        "",
        (
            f"Measured on {machine.get('cpu')}, {machine.get('cores')} cores, "
            f"{machine.get('memory_gib')} GiB memory; one process a core. What it means, and what to do, "
            "is in [the guide](../scale.md)."
        ),
        "",
        f"On this machine it breaks first at about {count(first.n_images)} images: {first.what}.",
        "",
        "## What was measured",
        "",
        *_costs(points, found),
        "",
        "## The simulation beside the clock",
        "",
        *_checks(points, found, sizes),
        "",
        "![Seconds over number of images](scale-0.svg)",
        "",
        "![Seconds over number of images, embedded network](scale-1.svg)",
        "",
        "## A million to a billion images",
        "",
        *_projection(jobs, found[NET], assumed),
        "",
        "## Where it breaks first",
        "",
        *_limits(ends),
        "",
        (
            f"Not counted in images: from about {busy_writers(found[NET]):,.0f} workers that write to one "
            "disk on, they wait for it (a shard's seconds over those of writing it)."
        ),
    ]
    figures = {
        "scale-0.svg": _figure("tiny", points, found["tiny"], sizes["tiny"], ()),
        "scale-1.svg": _figure(NET, points, found[NET], sizes[NET], _fleets(jobs, workers)),
    }
    return "\n".join(lines) + "\n", figures


def _costs(points: Points, found: Mapping[str, Costs]) -> list[str]:
    store, shards = points["store"], points["most_shards"]
    a, b = duplicates_law(points)
    rows = [
        _row(["network", "ms per image, 1 process", "2 at once, each", "start-up", "ms per shard written",
              "spread of a shard's time", "bytes per image"]),
        _row(["---"] * 7),
    ]  # fmt: skip
    for net, c in found.items():
        rows.append(
            _row(
                [
                    net,
                    f"{1000 * c.image_s[1]:.2f}",
                    f"{1000 * c.image_s[2]:.2f}",
                    f"{c.startup_s[1]:.1f} s",
                    f"{1000 * c.commit_s[1]:.1f}",
                    f"{c.spread:.1%}",
                    f"{c.bytes_per_image:,.0f}",
                ]
            )
        )
    failed = (
        f"opening failed after {shards['n_opened']:,} shards: {shards['failed']}"
        if shards["failed"]
        else f"all {shards['n_opened']:,} were opened"
    )
    aside = (
        f" ({shards['n_set_aside']:,} shards set aside as damaged)" if shards["n_set_aside"] else ""
    )
    return [
        (
            "`tiny` is SqueezeNet 1.1 with random weights at 64 px on 64 x 64 JPEG files, `embedded` "
            "EfficientNet-Lite0 at 224 px on 500 x 375 ones; float32, all layers, a core for each process, "
            "all writing to one store."
        ),
        "",
        *rows,
        "",
        (
            f"- Index: {1000 * index_s(points):.2f} ms a photograph in one process (read, digest, decode, "
            f"thumbnail); near duplicates {a:.2g} s x n^{b:.2f} beside it."
        ),
        (
            f"- Store: a shard of 512 images of the embedded network is written, flushed and renamed in "
            f"{1000 * store['commit_s']:.0f} ms (slowest of {store['n_shards']}: "
            f"{1000 * store['commit_worst_s']:.0f} ms), opened in "
            f"{1000 * store['open_s'] / store['n_shards']:.1f} ms ({1e-9 / open_s_per_byte(points):.2f} "
            f"GB/s: every byte is hashed), and {1e6 * store['read_s'] / store['n_images']:.1f} us bring "
            "one image's 1,280 numbers back."
        ),
        f"- Memory that stays: {memory_per_image(points):,.0f} bytes per image (record and row).",
        (
            f"- A store of {shards['n_made']:,} tiny shards: listed in {shards['listing_s']:.2f} s; "
            f"{failed}{aside}."
        ),
    ]


def _checks(points: Points, found: Mapping[str, Costs], sizes: Sizes) -> list[str]:
    out = [
        (
            "Costs come from the smaller sizes alone; the largest of each network is predicted. Seconds "
            "from the start of the processes to the end of the last one."
        ),
        "",
        _row(["network", "images", "processes", "measured", "simulated", "off by", ""]),
        _row(["---"] * 7),
    ]
    for net, c in found.items():
        for n in sizes[net]:
            for k in (1, 2):
                clock, told = measured_s(points[f"extract:{net}:{n}:{k}"]), simulated_s(c, n, k)
                kind = "predicted" if n == max(sizes[net]) else "costs are from here"
                cells = [net, f"{n:,}", str(k), f"{clock:.1f} s", f"{told:.1f} s"]
                out.append(_row([*cells, f"{told / clock - 1:+.1%}", kind]))
    return out


def _projection(jobs: Sequence[Any], found: Costs, assumed: Assumed) -> list[str]:
    out = [
        (f"The embedded network at 224 px, one resolution, {1000 * found.image_s[2]:.1f} ms per image a "
        f"core. Assumed, not measured: a worker lives {assumed.life_h:g} h on average and is replaced "
        f"after {assumed.replace_s:g} s; {assumed.slow_share:.0%} of the workers take "
        f"{assumed.slow_times:g} times as long; workers take shards as they go and write without "
        f"waiting for each other; {assumed.price:g} a worker-hour and {assumed.disk_price:g} a "
        "gigabyte-month, in any currency (options `--life-h`, `--replace-s`, `--slow-share`, "
        "`--slow-times`, `--price`, `--disk-price`, `--workers`). Twenty simulated runs each."),
        "",
        _row(["images", "workers", "index, one process", "extraction", "slowest of 20", "open the store",
              "deaths", "work lost", "disk", "memory of one process", "worker-hours", "money"]),
        _row(["---"] * 12),
    ]  # fmt: skip
    for job in jobs:
        o = job.outcome
        out.append(
            _row(
                [
                    count(job.n_images),
                    f"{job.n_workers:,}",
                    readable(job.index_s),
                    readable(job.seconds),
                    readable(job.slowest_s),
                    readable(job.open_s),
                    f"{o.n_deaths:,}",
                    f"{o.lost_s / o.paid_s:.3%}",
                    _bytes(job.disk_bytes),
                    _bytes(job.memory_bytes),
                    f"{o.paid_s / 3600:,.1f}",
                    f"{job.money:,.2f}",
                ]
            )
        )
    return out


def _limits(ends: Sequence[Any]) -> list[str]:
    rows = [_row(["at about", "what ends", "because"]), _row(["---"] * 3)]
    return rows + [_row([f"{count(e.n_images)} images", e.what, e.why]) for e in ends]


def _fleets(jobs: Sequence[Any], workers: Sequence[int]) -> list[Line]:
    """The projected seconds of the larger fleets."""
    return [
        Line(
            label=f"projected, {k:,} workers",
            x=[j.n_images for j in jobs if j.n_workers == k],
            y=[j.seconds for j in jobs if j.n_workers == k],
        )
        for k in workers
        if k > 2
    ]


def _figure(
    net: str, points: Points, found: Costs, sizes: Sequence[int], more: Sequence[Line]
) -> str:
    lines = []
    for k in (1, 2):
        noun = "process" if k == 1 else "processes"
        clock = [measured_s(points[f"extract:{net}:{n}:{k}"]) for n in sizes]
        lines.append(Line(label=f"measured, {k} {noun}", x=list(sizes), y=clock))
    grid = sorted(
        {*sizes, *(3 * n for n in powers(4, 8)), *powers(3 if min(sizes) > 500 else 5, 9)}
    )
    for k in (1, 2):
        noun = "process" if k == 1 else "processes"
        told = [simulated_s(found, n, k) for n in grid]
        lines.append(Line(label=f"simulated, {k} {noun}", x=grid, y=told, has_points=False))
    figure = line_plot(
        [*lines, *more],
        name=f"scale-{net}",
        title=f"Seconds to extract the {net} network's features",
        description=(
            f"Seconds over the number of images for the {net} network, both on logarithmic axes. The "
            "points that were measured with one and two processes lie on the simulated curves."
        ),
        x_axis="images",
        y_axis="seconds",
        log_x=True,
        log_y=True,
        x_ticks=[(float(10**k), f"10^{k}") for k in range(3, 10)],
    )
    return standalone(figure)


def _bytes(n: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB")):
        if n >= unit:
            return f"{n / unit:.3g} {name}"
    return f"{n / 1e6:.3g} MB"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

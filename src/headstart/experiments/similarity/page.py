"""The scale of distances to the source: the sections of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart import plots
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table

Found = Mapping[str, Any]

N_CURVES = 6

SCALE_HEADER = ("set", "images", "symmetric KL", "95 % interval", "Fréchet", "95 % interval")
GAIN_HEADER = (
    "set",
    "symmetric KL",
    "features, %",
    "pixels, %",
    "chance, %",
    "errors removed, %",
    "above chance, %",
)


def similarity_sections(found: Found) -> list[Section]:
    """The sections of a likeness.

    Parameters
    ----------
    found : mapping
        `headstart.experiments.similarity.measure.Likeness.to_dict`, with ``backbone``.

    Returns
    -------
    list of Section
    """
    return [_scale(found), _layers(found), *_prediction(found)]


def scale_rows(found: Found) -> list[list[str]]:
    """Every set with both distances, the nearest first."""
    rows = []
    for each in found["sets"]:
        medians = each["distance"]["medians"]
        rows.append([each["name"], words.count(each["distance"]["n_images"])])
        for measure in ("kl", "frechet"):
            value, low, high = medians[measure]
            rows[-1] += [words.decimal(value), f"[{low:.3f}, {high:.3f}]"]
    return rows


def gain_rows(found: Found) -> list[list[str]]:
    """What transfer gave on every labelled set, the nearest first."""
    rows = []
    for each in _labelled(found):
        gain = each["gain"]
        rows.append(
            [
                each["name"],
                words.decimal(each["distance"]["medians"]["kl"][0]),
                *(
                    f"{words.bare_percent(gain[k]['value'])} {words.bounds(gain[k])}"
                    for k in ("features", "pixels")
                ),
                *(
                    words.bare_percent(gain[k]).replace("-", "−")
                    for k in ("chance", "errors_removed", "above_chance")
                ),
            ]
        )
    return rows


def _labelled(found: Found) -> list[Found]:
    return [s for s in found["sets"] if s["gain"] is not None]


def _target_row(found: Found, sets: Sequence[Found]) -> int | None:
    return next((i for i, s in enumerate(sets) if s["name"] == found["target"]), None)


def _scale(found: Found) -> Section:
    rows = [
        plots.IntervalRow.of_shares(
            each["name"],
            each["distance"]["medians"]["kl"],
            mark="chosen" if each["name"] == found["target"] else "",
        )
        for each in found["sets"]
    ]
    return Section(
        heading="Where the data lie",
        text=[
            (
                f"BatchNorm layers of {found['backbone']} keep the mean and variance that each channel "
                "had over the images it was trained on. Here is how far the same channels lie from "
                "them with other images: symmetric Kullback-Leibler divergence between the two "
                "Gaussians, mean over the channels of a layer, median over the layers. Even the "
                "source's own images would not lie at 0: the network was trained on varied crops of "
                "them. So the number is to be read against the sets beside it."
            ),
            "; ".join(f"{s['name']}: {s['note']}" for s in found["sets"] if s["note"]) + ".",
        ],
        figure=plots.interval_plot(
            rows,
            name="figure-scale",
            title="Distance of each set to the source",
            description=found["place"],
            axis="median symmetric KL divergence, 1/100 nat",
            width=560,
        ),
        caption="The star is your data. Lines: 95 % intervals over which images were drawn.",
        table=Table(
            header=SCALE_HEADER,
            rows=scale_rows(found),
            chosen=_target_row(found, found["sets"]),
        ),
    )


def _layers(found: Found) -> Section:
    target = [s for s in found["sets"] if s["name"] == found["target"]]
    shown = target + [s for s in found["sets"] if s["name"] != found["target"]]
    shown = shown[:N_CURVES]
    layers = target[0]["distance"]["layers"]
    lines = [
        plots.Line(
            label=each["name"],
            x=range(1, len(layers) + 1),
            y=each["distance"]["kl"],
            has_points=False,
        )
        for each in shown
    ]
    peak = max(range(len(layers)), key=lambda i: target[0]["distance"]["kl"][i])
    return Section(
        heading="Layer by layer",
        text=[
            (
                f"{found['target']} lies farthest from the source at {layers[peak]} (layer {peak + 1} "
                f"of {len(layers)}), where the divergence is {target[0]['distance']['kl'][peak]:.3f}. "
                "A layer sees the images through all layers below it, which normalise with the "
                "source's statistics."
            )
        ],
        figure=plots.line_plot(
            lines,
            name="figure-layers",
            title="Distance to the source at each BatchNorm layer",
            description="; ".join(
                f"{each['name']}: first layer {each['distance']['kl'][0]:.3f}, last "
                f"{each['distance']['kl'][-1]:.3f}"
                for each in shown
            ),
            x_axis=f"BatchNorm layer, from {layers[0]} to {layers[-1]}",
            y_axis="symmetric KL divergence, nats (logarithmic)",
            log_y=True,
        ),
    )


def _prediction(found: Found) -> list[Section]:
    labelled = _labelled(found)
    if not labelled:
        return []
    errors, chance = found["by_errors"], found["by_chance"]
    text = [
        (
            "What transfer gave is told against what is there without it: the linear SVM on frozen "
            "features beside the linear SVM on the images' own pixels at 32 px, cross-validated on the "
            "same training images. Errors removed: the share of the pixels' errors that the features "
            "remove. Above chance: accuracy less the share of the largest class, over what is left "
            "above it. Data sets differ in how hard they are, too: no normalisation takes that out "
            "altogether."
        ),
    ]
    if errors["kendall"] is not None:
        text.append(
            f"Rank correlation with the distance over {errors['n']} sets: Kendall "
            f"{_signed(errors['kendall'])} and Spearman {_signed(errors['spearman'])} for errors "
            f"removed (p = {errors['p_value']:.2f}); Kendall {_signed(chance['kendall'])} and "
            f"Spearman {_signed(chance['spearman'])} for accuracy above chance. A distance that "
            "predicts transfer has −1."
        )
    text.append(" ".join(part for part in (found["verdict"], found["caution"]) if part))
    return [
        Section(
            heading="Does the distance predict transfer?",
            text=text,
            figure=_scatter(found, labelled) if len(labelled) > 1 else "",
            caption="Each dot is a labelled set." if len(labelled) > 1 else "",
            table=Table(
                header=GAIN_HEADER, rows=gain_rows(found), chosen=_target_row(found, labelled)
            ),
        )
    ]


def _scatter(found: Found, labelled: Sequence[Found]) -> str:
    points = [
        Bubble(
            label=each["name"],
            x=each["distance"]["medians"]["kl"][0],
            y=100 * each["gain"]["errors_removed"],
            area=0.0,
            mark="chosen" if each["name"] == found["target"] else "",
        )
        for each in labelled
    ]
    return bubble_plot(
        points,
        x_axis="distance to the source (median symmetric KL)",
        y_axis="errors of the pixels that the features remove, %",
        name="figure-prediction",
        title="What transfer gave against the distance to the source",
        description="; ".join(f"{p.label}: {p.x:.3f}, {p.y:.0f} %" for p in points),
        log_x=False,
        height=320,
    )


def _signed(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value:.2f}".replace("-", "−")

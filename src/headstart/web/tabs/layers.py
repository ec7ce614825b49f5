"""Layers: how far each layer of a run carries, and what a layer makes of a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from headstart.web import html
from headstart.web.answers import answered, describe, quiet
from headstart.web.fields import picture_field
from headstart.web.workspace import Workspace, backbones_here

N_MAPS = 23
NO_RUN = html.empty(
    "The layer map", "Choose a run to see the accuracy of every layer at every resolution."
)
MAP = "Cross-validated accuracy in %."
INTERVALS = (
    "Dot and bar: cross-validated accuracy with its 95 % interval; hollow diamond below: accuracy on the test "
    "data. Before a name: ★ chosen, ◇ highest, ≈ tied with the highest."
)
NO_PICTURE = html.empty(
    "The feature maps", "Choose a picture to see what a layer of the network computes from it."
)


def layers_tab(work: Workspace, tab: gr.Tab) -> gr.Dropdown:
    """Build the tab; the choice of run is given back, for its list grows."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            run = gr.Dropdown(
                label="Layer map of the run",
                choices=work.run_names(),
                value=None,
                elem_id="map-run",
            )
            net = gr.Dropdown(label="Feature maps of", choices=backbones_here(), value="embedded")
            tap = gr.Dropdown(label="At the layer", choices=[], elem_id="tap")
            picture = picture_field(label="Picture", sources=["upload", "webcam", "clipboard"])
            go = gr.Button("Show the feature maps", variant="primary", elem_id="show-maps")
        with gr.Column(scale=2, min_width=320):
            profile = gr.HTML(NO_RUN, elem_id="profile")
            maps = gr.HTML(NO_PICTURE, elem_id="maps")
    run.change(_profiler(work), run, profile, api_visibility="private")
    taps = _taps(work)
    for event in (net.change, tab.select, run.change):  # the last, where another tab led here
        event(taps, [net, tap], [tap, maps], **quiet())
    for event in (go.click, picture.input, picture.clear, tap.input):
        event(
            _mapper(work), [net, tap, picture], maps,
            api_visibility="private", concurrency_id="network",
        )  # fmt: skip
    return run


def _profiler(work: Workspace) -> Callable[[str | None], str]:
    @answered
    def profile(name: str | None) -> str:
        """The map of a run, and the sentence on its choice."""
        from headstart.runs.report import figures, story, target
        from headstart.runs.target_run import TargetRun

        if not name:
            return NO_RUN
        run = work.run(name)
        if isinstance(run, TargetRun):
            section = target.layers_section(run.metrics)
            svg, caption, said = section.figure, section.caption, run.sentence
        else:
            svg = figures.layer_map(run.metrics)
            caption = MAP if len(run.metrics.resolutions) > 1 else INTERVALS
            said = story.choice(run.metrics)
        return Markup(
            '<h2>{}</h2><div class="hs-scroll" tabindex="0" role="region" '
            'aria-label="Layer map of {}"><figure>{}<figcaption>{}</figcaption></figure></div><p>{}</p>'
        ).format(html.text(name), html.text(name), Markup(svg), html.text(caption), html.text(said))

    return profile


def _taps(work: Workspace) -> Callable[[str, str | None], tuple[Any, Any]]:
    def taps(name: str, chosen: str | None) -> tuple[Any, Any]:
        """The layers of a network that have places; the chosen one stays where it is among them."""
        try:
            names = _mapped(work, name)
        except Exception as error:
            return gr.Dropdown(choices=[], value=None), html.alert(describe(error))
        return gr.Dropdown(choices=names, value=chosen if chosen in names else names[0]), gr.skip()

    return taps


def _mapped(work: Workspace, name: str) -> list[str]:
    return [tap.name for tap in work.network(name).taps if tap.has_places]


def _mapper(work: Workspace) -> Callable[..., str]:
    @answered
    def maps(name: str, tap: str | None, picture: str | None) -> str:
        """The maps that vary most over the picture."""
        from headstart.course.kernels import feature_maps, map_sheet
        from headstart.data import read_rgb

        if picture is None:
            return NO_PICTURE
        named = tap or _mapped(work, name)[0]
        with work.network_lock:
            image = read_rgb(Path(picture), name=Path(picture).name)
            found = feature_maps(work.network(name), image, named, N_MAPS)
        height, width = found.maps.shape[1:]
        words = (
            f"{named} of {name}: the {len(found.maps)} of {found.n_channels} maps that vary most "
            f"over the picture, {width} × {height} places each; black is each map's least, white "
            "its most."
        )
        return html.sheet(map_sheet(found), words)

    return maps

"""Predict: classes, the nearest training images, and where in the picture the evidence lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from headstart.data import read_rgb
from headstart.errors import HeadstartError, InputError
from headstart.runs.predictions import COSTS_NOTE
from headstart.web import html
from headstart.web.answers import answered
from headstart.web.workspace import Workspace

IMAGENET = "ImageNet's 1,000 classes"
RANKS = ("the likeliest class", "the second", "the third", "the fourth", "the fifth")
N_PICTURES = 12
N_NEAREST = 6
NO_PICTURE = html.empty(
    "The prediction",
    "Drop one or more pictures, or take one with the camera. The five most probable "
    "classes of each, where in the picture the evidence lies, and the nearest training images appear here.",
)
# In %: below which probability a run is not sure, and from which novelty a picture is unlike its training images.
SURE_FROM, UNUSUAL_FROM = 50, 99
SHOWN_PX = 480
NEAR_PX = 208


def predict_tab(work: Workspace) -> gr.Dropdown:
    """Build the tab; the choice of model is given back, for its list grows."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            model = gr.Dropdown(
                label="Classes of", choices=[IMAGENET, *work.run_names()], value=IMAGENET,
                elem_id="model",
            )  # fmt: skip
            files = gr.File(label="Pictures", file_count="multiple", elem_id="pictures", height=150)
            with gr.Accordion("Camera", open=False):
                camera = gr.Image(
                    label="Take a picture", sources=["webcam", "clipboard"], type="filepath"
                )
            rank = gr.Dropdown(label="Show the evidence for", choices=RANKS, value=RANKS[0])
            with gr.Accordion("When to answer", open=False):
                sure = gr.Slider(
                    0,
                    99,
                    value=SURE_FROM,
                    step=1,
                    label="Not sure below this probability in %",
                    info="0: always answer.",
                    elem_id="sure",
                )
                usual = gr.Slider(
                    50, 100, value=UNUSUAL_FROM, step=1, label="Unlike the training images from this % on",
                    info="Share of the training images that are less unusual than the picture. 100: never.",
                    elem_id="usual",
                )  # fmt: skip
            go = gr.Button("Predict", variant="primary", elem_id="predict")
        with gr.Column(scale=2, min_width=320):
            answer = gr.HTML(NO_PICTURE, elem_id="predictions")
    predict = _predictor(work)
    inputs = [model, files, camera, rank, sure, usual]
    for event in (
        go.click,
        files.upload,
        files.clear,
        camera.input,
        camera.clear,
        model.select,
        rank.select,
        sure.release,
        usual.release,
    ):
        event(predict, inputs, answer, api_visibility="private", concurrency_id="network")
    return model


def _predictor(work: Workspace) -> Callable[..., str]:
    @answered
    def predict(
        model: str,
        files: Sequence[str] | None,
        camera: str | None,
        rank: str,
        sure: float = SURE_FROM,
        usual: float = UNUSUAL_FROM,
    ) -> str:
        paths = [Path(p) for p in [*(files or ()), *([camera] if camera else ())]]
        if not paths:
            return NO_PICTURE
        place, careful = RANKS.index(rank), (sure / 100, usual / 100)
        cards = Markup("").join(
            _card(
                work,
                model,
                path,
                "the camera's picture" if str(path) == camera else path.name,
                place,
                careful,
            )
            for path in paths[:N_PICTURES]
        )
        rest = len(paths) - N_PICTURES
        more = html.note(f"{rest} more are left out: headstart predict takes any number.")
        return Markup('<div class="hs-cards">{}{}</div>').format(cards, more if rest > 0 else "")

    return predict


def _card(
    work: Workspace, model: str, path: Path, name: str, rank: int, careful: tuple[float, float]
) -> Markup:
    """All that is said of one picture; a broken one spoils none of the others."""
    card = Markup('<article class="hs-card"><h2>{}</h2>{}</article>')
    try:
        body = Markup("").join(_said(work, model, path, name, rank, careful))
    except HeadstartError as error:
        body = html.alert(str(error).replace(str(path), name))
    return card.format(html.text(name), body)


def _said(
    work: Workspace, model: str, path: Path, name: str, rank: int, careful: tuple[float, float]
) -> Iterator[Markup]:
    image = read_rgb(path)
    with work.network_lock:
        if model == IMAGENET:
            top, found = _imagenet(work, image, path, rank)
            refusals = list(_unsure(top[0][1], careful[0]))
        else:
            top, found, refusals = _run(work, model, image, path, rank, careful)
    yield from refusals
    label = top[min(rank, len(top) - 1)][0]
    from headstart.backbones.evidence_map import heat_picture
    from headstart.runs.evidence import mean_note

    small = image.copy()
    small.thumbnail((SHOWN_PX, SHOWN_PX))
    heat = heat_picture(found)
    yield Markup('<div class="hs-views">{}{}<div class="hs-said">{}</div></div>').format(
        html.figure(html.inline(small, f"The picture {name}"), "the picture"),
        html.figure(
            html.inline(heat, f"Where the evidence for {label} lies in {name}"),
            f"evidence for {label}: the brighter, the more (layers {', '.join(found.layers)}, "
            "the crop that the network sees)",
        ),
        html.bars(top),
    )
    if model != IMAGENET:
        if work.run(model).model.costs is not None:
            yield html.note(f"{COSTS_NOTE[:1].upper()}{COSTS_NOTE[1:]}.")
        if mean := mean_note(work.run(model)):
            yield html.note(f"Evidence and nearest images: {mean}.")
        yield _nearest(work, model, path)


def _imagenet(work: Workspace, image: Any, path: Path, rank: int) -> tuple[list[Any], Any]:
    from headstart.backbones import predict_imagenet
    from headstart.backbones.evidence_map import imagenet_evidence

    net = work.network("embedded")
    [ranked] = predict_imagenet([path], backbone=net, top=len(RANKS))
    return [(p.label, p.probability) for p in ranked], imagenet_evidence(
        net, image, ranked[rank].index
    )


def _run(
    work: Workspace, model: str, image: Any, path: Path, rank: int, careful: tuple[float, float]
) -> tuple[list[Any], Any, list[Markup]]:
    from headstart.runs.evidence import run_evidence

    run = work.run(model)
    # Labels and numbers are not refused: their thresholds and intervals say how sure they are.
    sure, usual = careful if run.model.target == "classes" else (0.0, 1.0)
    is_compared = run.held_out is not None and run.held_out.reference is not None
    asked = usual if is_compared and usual < 1 else None
    [said] = run.predict([path], top=len(RANKS), novelty=asked)
    if not said.top:
        raise InputError(f"cannot use {path}: {said.error}")
    label, probability = said.top[min(rank, len(said.top) - 1)][0], said.top[0][1]
    refusals = list(_unsure(probability, sure))
    if asked is not None and said.refused:
        refusals.append(html.verdict("Unlike the training images", f"{said.refused}."))
    if usual < 1 and not is_compared:
        refusals.append(html.note("Whether the picture is unlike the training images is not known: the run "
                                  "keeps no features of these."))  # fmt: skip
    return list(said.top), run_evidence(run, image, label), refusals


def _unsure(probability: float, sure: float) -> Iterator[Markup]:
    if probability < sure:
        said = f"The probability {100 * probability:.1f} % is below {100 * sure:.0f} %."
        yield html.verdict("Not sure", said)


def _nearest(work: Workspace, model: str, path: Path) -> Markup:
    """The nearest training images; where the run's pictures are gone, a note on it."""
    head = Markup("<h3>The nearest training images, with class and distance</h3>")
    try:
        with work.network_lock:
            found, n_same = work.training_images(model).nearest(path, N_NEAREST)
    except HeadstartError as error:
        return head + html.note(error)
    pictures = Markup("").join(
        html.figure(_thumbnail(Path(n.path), n.name), f"{n.label}, {n.distance:.3f}") for n in found
    )
    same = html.note("The picture itself is among the training images, and left out here.")
    return Markup('{}<div class="hs-near">{}</div>{}').format(
        head, pictures, same if n_same else ""
    )


def _thumbnail(path: Path, name: str) -> Markup:
    image = read_rgb(path, at_least=NEAR_PX)
    image.thumbnail((NEAR_PX, NEAR_PX))
    return html.inline(image, f"Training image {name}")

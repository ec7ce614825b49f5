"""Predict: classes, the nearest training images, and where in the picture the evidence lies."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from headstart.data import read_rgb
from headstart.data.targets import NO_LABEL
from headstart.errors import BackboneError, HeadstartError, InputError
from headstart.runs.predictions import COSTS_NOTE, LabelsPrediction, written_number
from headstart.runs.target_run import TargetRun
from headstart.web import html
from headstart.web.answers import answered
from headstart.web.fields import picture_field
from headstart.web.workspace import Workspace

IMAGENET = "ImageNet's 1,000 classes"
RANKS = ("the likeliest class", "the second", "the third", "the fourth", "the fifth")
N_PICTURES = 12
N_NEAREST = 6
# Labels of a picture that are shown with their probabilities, given or not.
N_LABELS = 8
NO_PICTURE = html.empty(
    "The prediction",
    "Drop one or more pictures, or take one with the camera. The five most probable "
    "classes of each, where in the picture the evidence lies, and the nearest training images appear here.",
)
# In %: below which probability a run is not sure, where it keeps no threshold for this accuracy; and from which
# novelty a picture is unlike its training images.
SURE_FROM, SURE_ACCURACY, UNUSUAL_FROM = 50.0, 0.95, 99.0
# A novelty that is asked for in order to learn it.
ALL_BUT_ONE = 1 - 1e-9
SHOWN_PX = 480
NEAR_PX = 208


def predict_tab(work: Workspace) -> gr.Dropdown:
    """Build the tab; the choice of model is given back, for its list grows."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            model = gr.Dropdown(
                label="Classes of", choices=[IMAGENET, *work.run_names()], value=IMAGENET,
                info="ImageNet's classes, or a run (classes, labels or a number).", elem_id="model",
            )  # fmt: skip
            files = gr.File(label="Pictures", file_count="multiple", elem_id="pictures", height=150)
            with gr.Accordion("Camera", open=False):
                camera = picture_field(label="Take a picture", sources=["webcam", "clipboard"])
            rank = gr.Dropdown(label="Show the evidence for", choices=RANKS, value=RANKS[0])
            with gr.Accordion("When to answer", open=False):
                sure = gr.Number(
                    value=SURE_FROM, minimum=0, maximum=100, step=1, elem_id="sure",
                    label="Not sure below this probability in %",
                    info="At first that from which 95 % of the run's cross-validated answers were right, if there "
                    "is one, else 50 %. 0: always answer.",
                )  # fmt: skip
                usual = gr.Number(
                    value=UNUSUAL_FROM, minimum=0, maximum=100, step=1, elem_id="usual",
                    label="Call a picture unlike the training images above this percentile",
                    info="Share of the training images that are less unusual than the picture. 100: never.",
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
        rank.select,
    ):
        event(predict, inputs, answer, api_visibility="private", concurrency_id="network")
    for number in (sure, usual):
        number.input(
            predict, inputs, answer, api_visibility="private", concurrency_id="network",
            trigger_mode="always_last",
        )  # fmt: skip
    model.change(
        lambda name: _sure_from(work, name), model, sure, api_visibility="private", queue=False
    ).then(predict, inputs, answer, api_visibility="private", concurrency_id="network")
    return model


def _sure_from(work: Workspace, model: str | None) -> float:
    """In %, the run's own threshold for answers that are right in 95 of 100 cases, where it keeps one."""
    if model is None or model == IMAGENET:
        return SURE_FROM
    try:
        run = work.run(model)
        kept = None if isinstance(run, TargetRun) else run.metrics.reliability
    except HeadstartError:  # told where it predicts
        return SURE_FROM
    own = [r.threshold for r in (kept.refusals if kept else ()) if r.target == SURE_ACCURACY]
    return math.ceil(1000 * own[0]) / 10 if own else SURE_FROM


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What is said of a picture whatever the thresholds.

    `novelty` is a share; None where the run keeps nothing to compare with. `is_class`: whether it is one class,
    which can be refused.
    """

    is_class: bool = True
    probability: float
    novelty: float | None
    body: Markup


def _predictor(work: Workspace) -> Callable[..., str]:
    # The network runs once, however often a threshold is moved.
    see = functools.lru_cache(maxsize=2 * N_PICTURES)(functools.partial(_see, work))

    @answered
    def predict(
        model: str,
        files: Sequence[str] | None,
        camera: str | None,
        rank: str,
        sure: float | None = SURE_FROM,
        usual: float | None = UNUSUAL_FROM,
    ) -> str:
        paths = [Path(p) for p in [*(files or ()), *([camera] if camera else ())]]
        if not paths:
            return NO_PICTURE
        # An emptied field stands for the usual value.
        sure, usual = (
            standard if given is None else given
            for given, standard in ((sure, SURE_FROM), (usual, UNUSUAL_FROM))
        )
        careful = sure / 100, usual / 100
        cards = Markup("").join(
            _card(
                functools.partial(see, model, work.made_at(model), rank=RANKS.index(rank)),
                path,
                "the camera's picture" if str(path) == camera else path.name,
                careful,
                is_run=model != IMAGENET,
            )
            for path in paths[:N_PICTURES]
        )
        rest = len(paths) - N_PICTURES
        more = html.note(f"{rest} more are left out: headstart predict takes any number.")
        return Markup('<div class="hs-cards">{}{}</div>').format(cards, more if rest > 0 else "")

    return predict


def _card(
    see: Callable[[Path, str], _Seen],
    path: Path,
    name: str,
    careful: tuple[float, float],
    *,
    is_run: bool,
) -> Markup:
    """All that is said of one picture; a broken one spoils none of the others."""
    card = Markup('<article class="hs-card"><h2>{}</h2>{}</article>')
    try:
        seen = see(path, name)
        body = Markup("").join(_refusals(seen, careful, is_run=is_run)) + seen.body
    except HeadstartError as error:
        body = html.alert(str(error).replace(str(path), name))
    return card.format(html.text(name), body)


def _refusals(seen: _Seen, careful: tuple[float, float], *, is_run: bool) -> Iterator[Markup]:
    """Why no answer is to be relied on, by the visitor's thresholds."""
    sure, usual = careful
    if not seen.is_class:
        return
    if seen.probability < sure:
        shown = round(100 * seen.probability, 1)  # as in the list of classes
        if shown >= 100 * sure:
            shown = math.floor(1000 * seen.probability) / 10
        yield html.verdict("Not sure", f"The probability {shown:.1f} % is below {100 * sure:g} %.")
    if seen.novelty is not None and seen.novelty >= usual and usual < 1:
        share = f"{100 * seen.novelty:.1f} % of the training images are more like the others than it is."
        yield html.verdict("Unlike the training images", share)
    if seen.novelty is None and usual < 1 and is_run:
        yield html.note(
            "Whether the picture is unlike the training images is not known: the run keeps no features of these."
        )


def _see(work: Workspace, model: str, _made_at: int, path: Path, name: str, *, rank: int) -> _Seen:
    image, novelty = read_rgb(path), None
    if model != IMAGENET and isinstance(run := work.run(model), TargetRun):
        with work.network_lock:
            [said] = run.predict([path], top=N_LABELS)
        body = _targets_said(run, said, image, name)
        return _Seen(is_class=False, probability=1.0, novelty=None, body=body)
    with work.network_lock:
        if model == IMAGENET:
            top, found = _imagenet(work, image, path, rank)
        else:
            top, found, novelty = _run(work, model, image, path, rank)
    body = Markup("").join(_said(work, model, image, path, name, top, found, rank))
    return _Seen(probability=top[0][1], novelty=novelty, body=body)


def _targets_said(run: TargetRun, said: Any, image: Any, name: str) -> Markup:
    """The picture, and its labels or the number with its interval."""
    image.thumbnail((SHOWN_PX, SHOWN_PX))
    if isinstance(said, LabelsPrediction):
        given = ", ".join(label for label, _ in said.labels) or NO_LABEL
        found = Markup("<p><b>{}</b></p>{}").format(html.text(given), html.bars(said.top))
    else:
        value, low, high = ("" if v is None else written_number(v) for v in said.rounded())
        [column], between = run.model.classes, f" [{low}, {high}]" if low else ""
        found = Markup("<p>{}: <b>{}</b>{}</p>").format(html.text(column), value, between)
    return Markup('<div class="hs-views">{}<div class="hs-said">{}</div></div>').format(
        html.figure(html.inline(image, f"The picture {name}"), "the picture"), found
    )


def _said(
    work: Workspace,
    model: str,
    image: Any,
    path: Path,
    name: str,
    top: list[Any],
    found: Any,
    rank: int,
) -> Iterator[Markup]:
    """The picture, the evidence in it, the classes, and the nearest training images."""
    label = top[min(rank, len(top) - 1)][0]
    from headstart.backbones.evidence_map import heat_picture
    from headstart.runs.evidence import mean_note

    small = image.copy()
    small.thumbnail((SHOWN_PX, SHOWN_PX))
    heat = Markup("")
    if not isinstance(found, BackboneError):
        heat = html.figure(
            html.inline(heat_picture(found), f"Where the evidence for {label} lies in {name}"),
            f"evidence for {label}: the brighter, the more (layer{'s' * (len(found.layers) > 1)} "
            f"{', '.join(found.layers)}, the crop that the network sees)",
        )
    yield Markup('<div class="hs-views">{}{}<div class="hs-said">{}</div></div>').format(
        html.figure(html.inline(small, f"The picture {name}"), "the picture"), heat, html.bars(top)
    )
    if isinstance(found, BackboneError):
        yield html.note(f"Where the evidence lies cannot be shown: {found}.")
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
    work: Workspace, model: str, image: Any, path: Path, rank: int
) -> tuple[list[Any], Any, float | None]:
    from headstart.runs.evidence import run_evidence

    run = work.run(model)
    if run.is_texts:
        raise InputError(f"the run {model} classifies texts: use headstart predict")
    is_compared = run.held_out is not None and run.held_out.reference is not None
    [said] = run.predict([path], top=len(RANKS), novelty=ALL_BUT_ONE if is_compared else None)
    if not said.top:
        raise InputError(f"cannot use {path}: {said.error}")
    label = said.top[min(rank, len(said.top) - 1)][0]
    found: Any
    try:
        found = run_evidence(run, image, label)
    except BackboneError as error:
        found = error
    return list(said.top), found, said.novelty


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

"""Augment: what a policy does to pictures, and Mixup with a weight of one's own."""

from __future__ import annotations

import io
from typing import Any

import gradio as gr
from markupsafe import Markup

from headstart.augment import DEFAULTS, parse_policy
from headstart.errors import InputError
from headstart.web import html
from headstart.web.answers import answered

NAMES = tuple(name for name in DEFAULTS if name != "learnt")
NOT_DRAWN = html.empty(
    "The draws", "Press Draw to see pictures beside what the policy makes of them."
)
SIDE_PX = 150
MIXED_PX = 220


def augment_tab() -> None:
    """Build the tab."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            data = gr.Textbox(
                label="Folder of pictures",
                info="Empty: two photographs that come with scikit-learn.",
            )
            policy = gr.Dropdown(label="Policy", choices=NAMES, value="basic", elem_id="policy")
            options = gr.Textbox(
                label="Its parameters", placeholder="alpha=0.4,flip=0", info="Empty: the defaults."
            )
            n_draws = gr.Slider(1, 8, value=4, step=1, label="Draws of each picture")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed of the draws")
            go = gr.Button("Draw", variant="primary", elem_id="draw")
        with gr.Column(scale=2, min_width=320):
            drawn = gr.HTML(NOT_DRAWN, elem_id="drawn")
            weight = gr.Slider(
                0, 1, value=0.7, step=0.05, label="Mixup: weight of the first picture",
                elem_id="mixup",
            )  # fmt: skip
            mixed = gr.HTML(elem_id="mixed")
    for event in (go.click, policy.input):
        event(_draw, [data, policy, options, n_draws, seed], drawn, api_visibility="private")
    for event in (weight.change, go.click):
        event(
            mix, [data, weight, seed], mixed, api_visibility="private",
            trigger_mode="always_last", show_progress="minimal",
        )  # fmt: skip


def _pictures(data: str, side_px: int, seed: int) -> tuple[Any, tuple[str, ...]]:
    from headstart.course.labs.augmentation import read

    found = read(data.strip() or None, size_px=side_px, seed=seed)
    return found.images, found.classes


@answered
def _draw(data: str, policy: str, options: str, n_draws: int, seed: int) -> str:
    """The originals and draws of each."""
    from headstart.augment import preview_grid

    chosen = parse_policy(f"{policy}:{options}" if options.strip() else policy)
    images, names = _pictures(data, SIDE_PX, 0)
    sheet = preview_grid(
        chosen, images, names, n_draws=int(n_draws), size_px=SIDE_PX, seed=int(seed or 0)
    )
    shown = "the original, then draws"
    if policy == "augmix":
        shown = "the original, a basic draw, the steps of each chain with its weight, then their mixture"
    return html.sheet(_png(sheet), f"The policy {policy} on {', '.join(names)}: {shown}.")


@answered
def mix(data: str, weight: float, seed: int) -> str:
    """The first two pictures, and their blend between them."""
    from headstart.course.labs.augmentation import mixup_row, mixup_target

    images, names = _pictures(data, MIXED_PX, 0)
    if len(images) < 2:
        raise InputError("Mixup takes two pictures of different classes: give another folder")
    sheet = mixup_row(images[:2], names[:2], [1.0, weight, 0.0], size_px=MIXED_PX)
    said = " and ".join(
        f"{t:.2f} {n}" for t, n in zip(mixup_target(weight), names[:2], strict=True)
    )
    words = f"In the middle the blend; it is trained on the label {said}."
    row = html.figure(html.inline(_png(sheet), words), words)
    return Markup('<div class="hs-sheet">{}</div>').format(row)


def _png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()

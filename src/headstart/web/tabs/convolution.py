"""Convolution: a kernel to edit, and at once what it makes of a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from headstart.course.kernels import GALLERY, explain_formula, explain_size, parse_kernel
from headstart.course.kernels.correlation import PADDINGS
from headstart.errors import InputError
from headstart.web import html
from headstart.web.answers import answered, quiet
from headstart.web.fields import picture_field

if TYPE_CHECKING:
    from headstart.course.kernels import Kernel

LONGEST_PX = 420
SIDES = (3, 5, 7, 9)
FIRST = "edges, 8 neighbours"
BUILD = """
function build() {
  const grid = element.querySelector('.hs-kernel');
  if (grid.contains(document.activeElement)) return;  // never under the hands of who types
  let rows;
  try { rows = JSON.parse(props.value); } catch (error) { return; }
  grid.style.gridTemplateColumns = `repeat(${rows.length}, minmax(0, 4.2rem))`;
  grid.replaceChildren(...rows.flatMap((row, i) => row.map((value, j) => {
    const input = document.createElement('input');
    input.type = 'number'; input.step = 'any'; input.required = true; input.value = value;
    input.setAttribute('aria-label', `row ${i + 1}, column ${j + 1}`);
    return input;
  })));
}
element.addEventListener('input', () => {
  const inputs = [...element.querySelectorAll('.hs-kernel input')];
  if (inputs.some((input) => !input.checkValidity())) return;
  const side = Math.round(Math.sqrt(inputs.length));
  const values = inputs.map((input) => Number(input.value));
  const rows = Array.from({length: side}, (_, i) => values.slice(i * side, (i + 1) * side));
  trigger('select', {text: JSON.stringify(rows)});
});
watch('value', build);
build();
"""


def convolution_tab() -> None:
    """Build the tab."""
    first = next(k for k in GALLERY if k.name == FIRST)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            gallery = gr.Dropdown(
                label="Begin with",
                choices=[k.name for k in GALLERY],
                value=FIRST,
                elem_id="gallery",
            )
            side = gr.Dropdown(label="Side of the kernel", choices=SIDES, value=first.side)
            grid = gr.HTML(
                _rows(first),
                html_template='<div class="hs-kernel" role="group" aria-label="Kernel"></div>',
                js_on_load=BUILD,
                elem_id="kernel",
            )
            divisor = gr.Number(first.divisor, label="Divided by", elem_id="divisor")
            typed = gr.Textbox(_rows(first), label="The same as text", elem_id="kernel-text")
            stride = gr.Slider(1, 8, value=1, step=1, label="Stride: pixels from place to place")
            padding = gr.Radio(list(PADDINGS), value=PADDINGS[0], label="Padding: what lies around")
            dilation = gr.Slider(1, 8, value=1, step=1, label="Dilation: pixels between weights")
        with gr.Column(scale=2, min_width=320):
            picture = picture_field(
                label="Picture (empty: a sample)", height=200,
                sources=["upload", "webcam", "clipboard"], elem_id="convolution-picture",
            )  # fmt: skip
            result = gr.HTML(elem_id="convolved")
    gallery.input(_from_gallery, gallery, [grid, typed, divisor, side], **quiet())
    side.input(_resized, [typed, side], [grid, typed], **quiet())
    grid.select(_typed, None, typed, **quiet())
    typed.change(_from_text, typed, [grid, side], **quiet())
    inputs: list[Any] = [picture, typed, divisor, stride, padding, dilation]
    for component in inputs:
        component.change(
            _convolve, inputs, result, api_visibility="private", trigger_mode="always_last",
            show_progress="minimal",
        )  # fmt: skip


def on_arrival() -> Callable[[], str]:
    """What the tab shows before anything is touched."""
    first = next(k for k in GALLERY if k.name == FIRST)
    return lambda: _convolve(None, _rows(first), first.divisor, 1, PADDINGS[0], 1)


def _rows(kernel: Kernel) -> str:
    """The kernel's numbers as JSON: whole ones without a point."""
    rows = [[int(v) if v == int(v) else v for v in row] for row in kernel.values]
    return json.dumps(rows)


def _from_gallery(name: str) -> tuple[str, str, float, int]:
    kernel = next(k for k in GALLERY if k.name == name)
    return _rows(kernel), _rows(kernel), kernel.divisor, kernel.side


def _resized(typed: str, side: int) -> tuple[Any, Any]:
    try:
        rows = _rows(parse_kernel(typed).with_side(int(side)))
    except InputError:
        return gr.skip(), gr.skip()
    return rows, rows


def _typed(event: gr.EventData) -> str:
    """What was typed into the grid."""
    return str(event.text)


def _from_text(typed: str) -> tuple[Any, Any]:
    """The grid and its side follow the text where the text is a kernel."""
    try:
        kernel = parse_kernel(typed)
    except InputError:
        return gr.skip(), gr.skip()
    return _rows(kernel), kernel.side if kernel.side in SIDES else None


@answered
def _convolve(
    picture: str | None, typed: str, divisor: float | None, stride: int, padding: str, dilation: int
) -> str:
    """The picture, the result beside it, and the formula for its size."""
    from headstart.course.kernels.sheets import picture_pixels, result_picture

    kernel = parse_kernel(typed)
    if not divisor:
        raise InputError("a kernel is divided by a number other than 0")
    kernel = dataclasses.replace(kernel, divisor=float(divisor))
    whole = _sample() if picture is None else _read(picture)
    pixels = picture_pixels(whole, LONGEST_PX)
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    shown, factor = result_picture(pixels, kernel, **settings)
    height, width = pixels.shape[:2]
    size = (
        f"{explain_size(width, height, kernel.side, **settings)} "
        f"{explain_formula(width, kernel.side, **settings)}"
    )
    told = "the result, clipped to what can be shown"
    if factor is not None:
        told = f"the absolute value of the result, times {factor:.2g}"
    return Markup('<div class="hs-views hs-wide">{}{}</div><p>{}</p>').format(
        html.figure(html.inline(_reduced(whole), "The picture"), "the picture"),
        html.figure(html.inline(shown, f"The picture under the kernel {kernel.typed()}"), told),
        html.text(size),
    )


def _reduced(whole: Any) -> Any:
    small = whole.copy()
    small.thumbnail((LONGEST_PX, LONGEST_PX))
    return small


def _read(picture: str) -> Any:
    from headstart.data import read_rgb

    return read_rgb(Path(picture), name=Path(picture).name)


def _sample() -> Any:
    """The temple of scikit-learn's two photographs."""
    from headstart.augment.contact import as_image
    from headstart.course.labs.augmentation import sample_photographs

    images, _ = sample_photographs(LONGEST_PX)
    return as_image(images[0].float() / 255)

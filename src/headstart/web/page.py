"""The page: its tabs, its look, and nothing from the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from headstart.web import tabs
from headstart.web.answers import quiet
from headstart.web.fields import Page
from headstart.web.jobs import Jobs
from headstart.web.tabs import augment, convolution
from headstart.web.tabs.predict import IMAGENET
from headstart.web.workspace import Workspace

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")
# Gradio names its drop areas otherwise than what is written in them; the written words are better.
MEND = """() => {
  const mend = () => document.querySelectorAll('.upload-container[aria-label]')
    .forEach((area) => area.removeAttribute('aria-label'));
  new MutationObserver(mend).observe(document.body, {childList: true, subtree: true});
  mend();
  document.addEventListener('click', async ({target}) => {
    const button = target.closest('[data-copy]');
    if (!button) return;
    const link = new URL(button.dataset.copy, location.href).href, old = button.innerHTML;
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = 'Copied';
      setTimeout(() => { button.innerHTML = old; }, 2000);
    } catch {  // without HTTPS a browser lends no clipboard
      const shown = document.createElement('input');
      Object.assign(shown, {readOnly: true, value: link, ariaLabel: 'Link to the report'});
      button.replaceWith(shown);
      shown.select();
    }
  });
}"""
INTRO = """# Headstart
From a few labelled pictures to a classifier, and how accurate it is."""


def build_page(work: Workspace, jobs: Jobs) -> gr.Blocks:
    """All tabs."""
    page: gr.Blocks
    with Page(title="Headstart", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(INTRO)
        with gr.Tabs(overflow_behavior="wrap") as all_tabs:  # on a phone too, all of them are seen
            with gr.Tab("Train"):
                leading = tabs.train_tab(work, jobs, page)
            with gr.Tab("Live"):
                tabs.live_tab()
            with gr.Tab("Predict", id="predict") as predicting:
                model = tabs.predict_tab(work)
            with gr.Tab("Layers", id="layers") as layers:
                run = tabs.layers_tab(work, layers)
            with gr.Tab("Convolution") as kernels:
                tabs.convolution_tab()
            with gr.Tab("Augment") as augmenting:
                tabs.augment_tab()
            with gr.Tab("Compare", id="compare") as comparing:
                runs = tabs.compare_tab(work)

        def models() -> Any:
            return gr.Dropdown(choices=[IMAGENET, *work.run_names()])

        def names() -> Any:
            return gr.Dropdown(choices=work.run_names())

        for tab_id, chosen in (("predict", model), ("layers", run), ("compare", runs)):
            leading[tab_id].click(
                _leader(work, jobs, tab_id),
                _component(page, "jobs"), [all_tabs, chosen], **quiet(),
            )  # fmt: skip
        predicting.select(models, None, model, **quiet())
        layers.select(names, None, run, **quiet())
        comparing.select(names, None, runs, **quiet())
        # Found by their ids in the tabs: shown as soon as the tab is opened.
        kernels.select(convolution.on_arrival(), None, _component(page, "convolved"), **quiet())
        augmenting.select(
            lambda: augment.mix("", 0.7, 0), None, _component(page, "mixed"), **quiet()
        )
    return page


def theme() -> gr.themes.Base:
    """Gradio's plain look in the fonts that the computer has."""
    from gradio.themes.utils import fonts

    plain = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=[fonts.Font(name) for name in FONTS],
        font_mono=[fonts.Font(name) for name in MONO],
    )
    # Gradio's own are too faint to be seen easily (WCAG asks for 4.5 to 1 of text, 3 to 1 of the rest).
    return plain.set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_300",
        input_shadow_focus="0 0 0 2px *primary_600",
        input_shadow_focus_dark="0 0 0 2px *primary_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        link_text_color_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover_dark="#991b1b",
    )


def _leader(
    work: Workspace, jobs: Jobs, tab_id: str
) -> Callable[[str | None], tuple[gr.Tabs, gr.Dropdown]]:
    def lead(job_id: str | None) -> tuple[gr.Tabs, gr.Dropdown]:
        """Turn to a tab, with the run of the job that is shown chosen there."""
        job = jobs.get(job_id or "")
        names = work.run_names()
        choices = [IMAGENET, *names] if tab_id == "predict" else names
        update: dict[str, Any] = {"choices": choices}
        if job is not None and job.run is not None and Path(job.run).name in choices:
            name = Path(job.run).name
            update["value"] = [name] if tab_id == "compare" else name
        return gr.Tabs(selected=tab_id), gr.Dropdown(**update)

    return lead


def _component(page: gr.Blocks, elem_id: str) -> Any:
    return next(b for b in page.blocks.values() if getattr(b, "elem_id", None) == elem_id)

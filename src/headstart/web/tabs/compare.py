"""Compare: runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gradio as gr

from headstart.web import html
from headstart.web.answers import answered, at_once
from headstart.web.workspace import Workspace

NOTHING = html.empty(
    "The comparison",
    "Choose two or more runs, then compare them: accuracies with intervals, paired differences where "
    "the test images are the same, and where the runs differ.",
)


def compare_tab(work: Workspace) -> gr.Dropdown:
    """Build the tab; the choice of runs is given back, for its list grows."""
    chosen = gr.Dropdown(
        label="Runs", choices=work.run_names(), multiselect=True, elem_id="runs",
        info="Two or more; the others are measured against the first.",
    )  # fmt: skip
    go = gr.Button("Compare", variant="primary", elem_id="compare")
    shown = gr.HTML(NOTHING, elem_id="compared")
    chosen.input(lambda: NOTHING, None, shown, **at_once())
    go.click(_comparer(work), chosen, shown, api_visibility="private")
    return chosen


def _comparer(work: Workspace) -> Callable[[Sequence[str] | None], str]:
    @answered
    def compare(names: Sequence[str] | None) -> str:
        from headstart.runs.report.side_by_side import comparison_page
        from headstart.runs.side_by_side import side_by_side

        page = comparison_page(side_by_side([work.run(name) for name in names or ()]))
        return html.frame_of(page, "Runs side by side")

    return compare

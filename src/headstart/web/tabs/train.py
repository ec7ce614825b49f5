"""Train: a folder or a zip, what is in it, a job, and its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from headstart.data.layout import CLASSES_FROM
from headstart.errors import InputError
from headstart.web import html
from headstart.web.answers import answered, at_once, describe, quiet
from headstart.web.jobs import Jobs
from headstart.web.workspace import Workspace, backbones_here, folder_at, folders_in

UP = ".. (one up)"
TICK_S = 1.0
NO_DATA = "there is no data yet: type or choose a folder, or drop a zip and wait for its upload"
UNDER_WAY = "This training is already under way; change a setting or the name to start another."
# The address names the job, so that a reload, or a friend's look, finds it again.
REMEMBER = """(id) => {
  if (id) history.replaceState(null, '', '?job=' + encodeURIComponent(id));
}"""


def train_tab(work: Workspace, jobs: Jobs, page: gr.Blocks) -> None:
    """Build the tab."""
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            folder = gr.Textbox(
                label="Folder of pictures on this computer",
                info="With a sub-folder for each class. A table or a data set's name works too.",
                placeholder="/home/me/photos",
                elem_id="folder",
            )
            inside = gr.Dropdown(label="Open a folder inside it", choices=_folders(""), value=None)
            archive = gr.File(label="Or drop a zip", file_types=[".zip"], height=140)
            look = gr.Button("Look at the data", elem_id="look")
            with gr.Accordion("Settings", open=False):
                backbone = gr.Dropdown(
                    label="Pretrained networks", choices=backbones_here(), value=["embedded"],
                    multiselect=True,
                    info="Those whose weights are on this computer. Of several, features of each are "
                    "tried, and of all side by side.",
                )  # fmt: skip
                sizes = gr.Textbox(
                    label="Resolutions in pixels", placeholder="160,224,320",
                    info="Empty: the network's own, and one smaller and one larger.",
                )  # fmt: skip
                budget = gr.Textbox(
                    label="Time budget", placeholder="20m",
                    info="With it, fine-tuning is tried and kept where it wins.",
                )  # fmt: skip
                share = gr.Slider(
                    0.05, 0.5, value=0.2, step=0.05, label="Share held out for the test"
                )
                seed = gr.Number(0, precision=0, minimum=0, label="Seed")
                classes_from = gr.Dropdown(
                    label="Folders that name the classes",
                    choices=list(CLASSES_FROM), value="auto",
                    info="The outer ones, those inside these, or inferred from the layout.",
                )  # fmt: skip
                merge = gr.Checkbox(False, label="Make labels that look the same one class")
                group_by = gr.Textbox(
                    label="What groups pictures, as a pattern in their names", placeholder=r"patient\d+",
                    info="A regular expression. Pictures with the same match stay on one side of the split.",
                )  # fmt: skip
                group_column = gr.Textbox(
                    label="Column that groups pictures", placeholder="patient",
                    info="Of a table: the same for a column.",
                )  # fmt: skip
                metric = gr.Dropdown(
                    label="Metric to optimise", choices=[("automatic", ""), *_metrics()], value="",
                    info="Automatic: accuracy, or balanced accuracy where classes are very uneven.",
                )  # fmt: skip
                prefer = gr.Radio(
                    label="Prefer", choices=["accurate", "cheap"], value="accurate",
                    info="Cheap: the cheapest candidate that ties with the best.",
                )  # fmt: skip
                name = gr.Textbox(label="Name of the run", placeholder="as the folder")
            start = gr.Button("Start training", variant="primary", elem_id="start")
            wrong = gr.HTML()
        with gr.Column(scale=2, min_width=320):
            found = gr.HTML(html.note("Choose a folder or drop a zip, then look or start."))
            listed = gr.Radio(
                choices=[], label="Jobs of this server", visible=False, elem_id="jobs"
            )
            view = gr.HTML(elem_id="job")
            stop = gr.Button("Cancel this job", variant="stop", visible=False, elem_id="cancel")
    report = gr.HTML(elem_id="report")
    # What this page shows, kept by the browser: a State, kept by the server, would count an answer
    # that the browser dropped (a second click came) as shown.
    seen = gr.JSON({}, visible=False)

    reading = [share, seed, classes_from, merge, group_by, group_column]
    settings = [backbone, sizes, budget, metric, prefer, *reading]
    inside.select(_opened, [folder, inside], [folder, inside, wrong], **at_once())
    # While it is typed, not when it is left: Gradio fails where the choices of an open list change.
    folder.change(
        lambda text: gr.Dropdown(choices=_folders(text), value=None), folder, inside,
        trigger_mode="always_last", **at_once(),
    )  # fmt: skip
    archive.upload(
        _unpacker(work), [archive, *reading], [folder, found], show_progress_on=found,
        api_visibility="private",
    )  # fmt: skip
    look.click(_look, [folder, *reading], found, api_visibility="private")
    start.click(
        _starter(work, jobs), [folder, archive, name, *settings], [listed, wrong], **quiet()
    )
    stop.click(_stopper(jobs), listed, wrong, **at_once())
    tick = _ticker(work, jobs)
    listed.change(None, listed, None, js=REMEMBER)
    listed.change(tick, [listed, seen], [listed, view, stop, report, seen], **at_once())
    gr.Timer(TICK_S).tick(tick, [listed, seen], [listed, view, stop, report, seen], **at_once())
    page.load(_arrival(jobs), None, listed, **at_once())


def _folders(text: str) -> list[str]:
    """What can be opened from the folder that was typed; only its parent where it cannot be read."""
    try:
        return [UP, *folders_in(folder_at(text))]
    except InputError:
        return [UP]


def _data(text: str) -> str:
    """What was typed: a folder, a table, an address or a data set's name; ``~`` is written out."""
    typed = text.strip()
    return str(folder_at(typed)) if typed.startswith("~") else typed


def _opened(text: str, chosen: str | None) -> tuple[Any, Any, str]:
    """Go into a folder, or one up."""
    try:
        here = folder_at(text)
        there = here.parent if chosen == UP else here / (chosen or "")
        folders_in(there)
    except Exception as error:
        return text, gr.Dropdown(value=None), html.alert(describe(error))
    return str(there), gr.Dropdown(value=None), ""


def _unpacker(work: Workspace) -> Callable[..., tuple[Any, str]]:
    # One event unpacks and looks: of two, the second's answer would take the place of an error's line.
    def unpack(
        archive: str | None,
        share: float,
        seed: int,
        classes_from: str,
        merge: bool,
        group_by: str,
        group_column: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, str]:
        if archive is None:
            return gr.skip(), ""
        try:
            folder = str(work.unpack(Path(archive)))
        except Exception as error:
            return "", html.alert(describe(error))
        reading = (share, seed, classes_from, merge, group_by, group_column)
        return folder, _look(folder, *reading, progress)

    return unpack


@answered
def _look(
    folder: str,
    share: float,
    seed: int,
    classes_from: str,
    merge: bool,
    group_by: str,
    group_column: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> str:
    """What is in the data."""
    from headstart.data import index
    from headstart.features import cache_folder

    if not folder.strip():
        raise InputError(NO_DATA)

    def tell(stage: str, done: int, total: int) -> None:
        progress((done, total), desc=stage)

    found = index(
        _data(folder),
        **_reading(share, seed, classes_from, merge, group_by, group_column),
        cache=cache_folder(),
        progress=tell,
    )
    return html.data_view(found)


def _reading(
    share: float, seed: int, classes_from: str, merge: bool, group_by: str, group_column: str
) -> dict[str, Any]:
    """How the data is read, as parameters of the library."""
    return {
        "test_size": share,
        "seed": int(seed),
        "classes_from": classes_from,
        "merge_labels": merge,
        "group_by": group_by.strip() or None,
        "group_column": group_column.strip() or None,
    }


def _metrics() -> list[tuple[str, str]]:
    """Names of metrics in words and in code; those that need an order or costs are left out."""
    from headstart.runs.objective import NAMES

    return [(said, name) for name, said in NAMES.items() if name not in ("quadratic_kappa", "cost")]


def _starter(work: Workspace, jobs: Jobs) -> Callable[..., tuple[Any, str]]:
    def start(
        folder: str,
        archive: str | None,
        name: str,
        backbones: list[str],
        sizes: str,
        budget: str,
        metric: str,
        prefer: str,
        *reading: Any,
    ) -> tuple[Any, str]:
        from headstart.wording import parse_seconds

        try:
            settings: dict[str, Any] = {
                "backbone": ",".join(backbones),
                "resolutions": _numbers(sizes),
                "budget_s": parse_seconds(budget.strip()) if budget.strip() else None,
                "metric": metric or None,
                "prefer": prefer,
                **_reading(*reading),
            }
            data = _data(folder)
            if not data and archive is not None:  # started before the zip was looked at
                data = str(work.unpack(Path(archive)))
            if not data:
                raise InputError(NO_DATA)
            request: dict[str, Any] = {"name": name.strip(), "settings": settings}
            under_way = jobs.find(data, **request)
            job = under_way or jobs.start(data, **request)
        except Exception as error:
            return gr.skip(), html.alert(describe(error))
        said = html.note(UNDER_WAY) if under_way else ""
        return gr.Radio(choices=_lines(jobs), value=job.id, visible=True), said

    return start


def _numbers(text: str) -> tuple[int, ...] | None:
    if not text.strip():
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise InputError(
            f"resolutions are whole numbers with commas between, such as 160,224; got {text!r}"
        ) from None


def _stopper(jobs: Jobs) -> Callable[[str | None], str]:
    @answered
    def stop(job_id: str | None) -> str:
        if job_id:
            jobs.stop(job_id)
        return ""

    return stop


def _lines(jobs: Jobs) -> list[tuple[str, str]]:
    return [(html.job_line(job, jobs.n_before(job)), job.id) for job in jobs.listed()]


def _ticker(work: Workspace, jobs: Jobs) -> Callable[..., list[Any]]:
    def tick(job_id: str | None, seen: dict[str, Any]) -> list[Any]:
        """What changed since this page last looked."""
        lines, job = _lines(jobs), jobs.get(job_id or "")
        now: dict[str, Any] = {
            "lines": [list(line) for line in lines],  # as JSON gives them back
            "job": None if job is None else [job.id, job.version, jobs.n_before(job)],
            "report": job.run if job is not None and job.state == "done" else None,
        }
        seen = seen or {}
        if now == seen:
            return [gr.skip()] * 5
        # A choice without its job: the server was restarted.
        is_gone = job is None and bool(job_id)
        radio: Any = gr.skip()
        if now["lines"] != seen.get("lines"):
            radio = gr.update(choices=lines, visible=bool(lines))
            if is_gone:
                radio["value"] = None
        view: Any = gr.skip()
        if now["job"] != seen.get("job"):
            view = "" if job is None else html.job_view(job, jobs.n_before(job))
        page: Any = gr.skip()
        if now["report"] != seen.get("report"):
            page = _report(Path(now["report"]).name) if now["report"] else ""
        is_live = job is not None and job.state in ("waiting", "running")
        return [radio, view, gr.Button(visible=is_live), page, now]

    return tick


def _report(name: str) -> Markup:
    source = f"/reports/{quote(name, safe='')}"
    return html.note(
        f"The run is called {name}: find it under Predict, Layers and Compare."
    ) + html.frame(source, f"Report of the run {name}")


def _arrival(jobs: Jobs) -> Callable[[gr.Request], Any]:
    def arrive(request: gr.Request) -> Any:
        """The job that the address names; else one that runs, if any."""
        asked = request.query_params.get("job", "")
        live = [job.id for job in jobs.listed() if not job.has_ended]
        chosen = asked if jobs.get(asked) else (live[-1] if live else None)
        lines = _lines(jobs)
        return gr.Radio(choices=lines, value=chosen, visible=bool(lines))

    return arrive

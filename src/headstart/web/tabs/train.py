"""Train: a folder or a zip, what is in it, a job, and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from headstart.data.layout import CLASSES_FROM
from headstart.data.named import is_there, require_there
from headstart.data.offered import offered_columns
from headstart.errors import InputError
from headstart.web import html
from headstart.web.answers import answered, at_once, describe, quiet
from headstart.web.jobs import Job, Jobs
from headstart.web.tabs.columns import (
    N_FIELDS,
    SEPARATOR,
    column_settings,
    columns_form,
    offer,
    turn,
    usual_choice,
)
from headstart.web.workspace import (
    MAX_UPLOAD_GB,
    Workspace,
    backbones_here,
    folder_at,
    folders_in,
    tables_in,
)

UP = ".. (one up)"
TICK_S = 1.0
N_RUNS = 6
SAMPLES = ("photographs", "digits")  # the quicker first
STEPS = ("Data", "Train", "Report", "Use it")
NOT_LOOKED = html.empty(
    "The data", "How many pictures there are, of which classes, and what is wrong with them."
)
NO_JOB = html.empty(
    "The training",
    "Its progress with the time left, the accuracy of every layer as it is measured, then the answer "
    "and its report.",
)
NO_DATA = (
    "there is no data yet: choose sample data, type a folder, or drop a zip and wait for its upload"
)
WITHOUT_ALERTS = """(...shown) =>
  shown.map((html) => (html || '').includes('class="hs-alert"') ? '' : html)"""
# The folder is also filled in beside an answer, which then stays.
WHERE_TYPED = f"""(...shown) => document.activeElement?.closest('#folder')
  ? ['', {json.dumps(NOT_LOOKED)}] : shown"""
# Below open settings the button is far from the progress.
SHOW_JOB = """() => {
  if (!document.querySelector('#wrong .hs-alert')) document.querySelector('#job')?.scrollIntoView({block: 'nearest'});
}"""
# On a phone what was found is below the screen.
SHOW_DATA = "() => document.querySelector('#found')?.scrollIntoView({block: 'nearest'})"
UNDER_WAY = "This training is already under way; change a setting or the name to start another."
# The address names the job, so that a reload, or a friend's look, finds it again.
REMEMBER = """(id) => {
  if (id) history.replaceState(null, '', '?job=' + encodeURIComponent(id));
}"""


def train_tab(work: Workspace, jobs: Jobs, page: gr.Blocks) -> dict[str, gr.Button]:
    """Build the tab; given back are the buttons that lead to other tabs, by the tabs' ids."""
    todo = gr.HTML(_todo("", None), elem_id="next")
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            gr.HTML('<h2 id="samples">Try it with sample data</h2>')
            with gr.Row(elem_classes="hs-pair"):
                samples = {name: gr.Button(name.capitalize(), min_width=120) for name in SAMPLES}
            gr.HTML("<h2>Or with pictures of your own</h2>")
            folder = gr.Textbox(
                label="Folder of pictures on this computer",
                info="With a sub-folder for each class. A table or a data set's name works too.",
                placeholder="/home/me/photos",
                elem_id="folder",
            )
            inside = gr.Dropdown(
                label="Open a folder or a table inside it", choices=_folders(""), value=None
            )
            archive = gr.File(
                label=f"Or drop a zip of at most {MAX_UPLOAD_GB} GB",
                file_types=[".zip"],
                height=170,
            )
            table, columns = columns_form()
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
                    label="Prefer", choices=["accurate", "single", "cheap"], value="accurate",
                    info="Single: one candidate, never a mean of several. Cheap: the cheapest that ties "
                    "with the best.",
                )  # fmt: skip
                name = gr.Textbox(label="Name of the run", placeholder="as the folder")
            start = gr.Button("Start training", variant="primary", elem_id="start")
            wrong = gr.HTML(elem_id="wrong")
        with gr.Column(scale=2, min_width=320):
            found = gr.HTML(NOT_LOOKED, elem_id="found")
            listed = gr.Radio(
                choices=[], label="Jobs of this server", visible=False, elem_id="jobs"
            )
            view = gr.HTML(NO_JOB, elem_id="job")
            stop = gr.Button("Cancel this job", variant="stop", visible=False, elem_id="cancel")
            with gr.Row(visible=False, elem_classes="hs-pair") as onward:
                leading = {
                    "predict": gr.Button("Predict with it", min_width=120),
                    "layers": gr.Button("See its layers", min_width=120),
                    "compare": gr.Button("Compare runs", min_width=120),
                }
            runs = gr.HTML(elem_id="last-runs")
    report = gr.HTML(elem_id="report")
    # What this page shows, kept by the browser: a State, kept by the server, would count an answer
    # that the browser dropped (a second click came) as shown.
    seen = gr.JSON({}, visible=False)

    reading = [share, seed, classes_from, merge, group_by, group_column]
    settings = [backbone, sizes, budget, metric, prefer, *reading]
    looked_at = [folder, *reading, *columns]
    inside.select(_opened, [folder, inside], [folder, inside, wrong, found], **at_once())
    # While it is typed, not when it is left: Gradio fails where the choices of an open list change.
    folder.change(
        lambda text: gr.Dropdown(choices=_folders(text), value=None), folder, inside,
        trigger_mode="always_last", **at_once(),
    )  # fmt: skip
    folder.blur(_missing, folder, found, **at_once())
    folder.change(offer, folder, [table, *columns], trigger_mode="always_last", **at_once())
    columns[0].input(turn, [folder, columns[0]], columns[1:4], **at_once())
    # What was said of other data or settings is gone once these are changed.
    changed: list[tuple[Any, str]] = [(f, WITHOUT_ALERTS) for f in (name, *settings)]
    for field, js in (*changed, (folder, WHERE_TYPED)):
        field.change(None, [wrong, found], [wrong, found], js=js)
    for field in columns:  # which the page fills in, too, beside an answer
        field.input(None, [wrong, found], [wrong, found], js=WITHOUT_ALERTS)
    for sample, button in samples.items():
        button.click(lambda name=sample: (name, ""), None, [folder, wrong], **quiet()).then(
            _look, looked_at, found, api_visibility="private"
        )
    archive.upload(
        _unpacker(work), [archive, *reading], [folder, found], show_progress_on=found,
        api_visibility="private",
    )  # fmt: skip
    look.click(_look, looked_at, found, api_visibility="private").then(
        None, None, None, js=SHOW_DATA
    )
    start.click(
        _starter(work, jobs),
        [folder, archive, name, *settings, *columns],
        [listed, wrong],
        **quiet(),
    ).then(None, None, None, js=SHOW_JOB)
    stop.click(_stopper(jobs), listed, wrong, **at_once())
    tick = _ticker(work, jobs)
    listed.change(None, listed, None, js=REMEMBER)
    shown = [listed, view, stop, onward, report, todo, runs, seen]
    for event in (listed.change, folder.change, gr.Timer(TICK_S).tick, page.load):
        event(tick, [listed, folder, seen], shown, **at_once())
    page.load(_arrival(jobs), None, listed, **at_once())
    return leading


def _folders(text: str) -> list[str]:
    """What can be opened from the folder that was typed; only its parent where it cannot be read."""
    try:
        return [UP, *folders_in(folder_at(text)), *tables_in(folder_at(text))]
    except InputError:
        return [UP]


def _data(text: str) -> str:
    """What was typed: a folder, a table, an address or a data set's name; ``~`` is written out."""
    typed = text.strip()
    return str(folder_at(typed)) if typed.startswith("~") else typed


def _missing(text: str) -> Any:
    """An error where nothing is at what was typed; else what stands there stays."""
    try:
        if text.strip():
            require_there(_data(text))
    except InputError as error:
        return html.alert(describe(error))
    return gr.skip()


def _is_missing(text: str) -> bool:
    """Whether something was typed and nothing is there; asked every second, so without near names."""
    try:
        return bool(text.strip()) and not is_there(_data(text))
    except InputError:
        return True


def _opened(text: str, chosen: str | None) -> tuple[Any, Any, str, Any]:
    """Go into a folder, or one up."""
    try:
        here = folder_at(text)
        there = here.parent if chosen == UP else here / (chosen or "")
        if not there.is_file():
            folders_in(there)
    except Exception as error:
        return text, gr.Dropdown(value=None), html.alert(describe(error)), gr.skip()
    return str(there), gr.Dropdown(value=None), "", NOT_LOOKED


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
        # The columns in the form may be those of other data.
        columns = usual_choice(offered_columns(folder))
        reading = (share, seed, classes_from, merge, group_by, group_column)
        return folder, _look(folder, *reading, *columns, progress)

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
    task: str | None = None,
    column: str | None = None,
    separator: str = SEPARATOR,
    labels: list[str] | None = None,
    image: str | None = None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> str:
    """What is in the data."""
    from headstart.data import index
    from headstart.features import cache_folder

    if not folder.strip():
        raise InputError(NO_DATA)

    def tell(stage: str, done: int, total: int) -> None:
        progress((done, total), desc=stage)

    data = _data(folder)
    found = index(
        data,
        **_reading(share, seed, classes_from, merge, group_by, group_column),
        **column_settings(data, task, column, separator, labels, image),
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
        *reading_and_columns: Any,
    ) -> tuple[Any, str]:
        from headstart.wording import parse_seconds

        reading, columns = reading_and_columns[:-N_FIELDS], reading_and_columns[-N_FIELDS:]
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
                columns = usual_choice(offered_columns(data))
            if not data:
                raise InputError(NO_DATA)
            require_there(data)
            settings |= column_settings(data, *columns)
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
    def tick(job_id: str | None, folder: str, seen: dict[str, Any]) -> list[Any]:
        """What changed since this page last looked."""
        lines, job = _lines(jobs), jobs.get(job_id or "")
        is_live = job is not None and not job.has_ended
        done = job.run if job is not None and job.state == "done" else None
        now: dict[str, Any] = {
            "lines": [list(line) for line in lines],  # as JSON gives them back
            # Of one that runs, the time spent and left change every second.
            "job": None
            if job is None
            else [job.id, job.version, jobs.n_before(job), int(job.seconds()) if is_live else 0],
            "report": done,
            "todo": str(_todo(folder, job)),
            "runs": [j.id for j in jobs.listed() if j.state == "done"],
        }
        seen = seen or {}
        if now == seen:
            return [gr.skip()] * 8
        is_new = {key: value != seen.get(key) for key, value in now.items()}
        # A choice without its job: the server was restarted.
        is_gone = job is None and bool(job_id)
        radio: Any = gr.skip()
        if is_new["lines"]:
            radio = gr.update(choices=lines, visible=bool(lines))
            if is_gone:
                radio["value"] = None
        view: Any = gr.skip()
        if is_new["job"]:
            view = NO_JOB if job is None else html.job_view(job, jobs.n_before(job))
        page: Any = gr.skip()
        if is_new["report"]:
            page = _report(Path(done).name) if done else ""
        runs: Any = gr.skip()
        if is_new["runs"]:
            runs = html.runs_view(work.last_runs(N_RUNS), len(work.run_names()) - N_RUNS)
        can_stop = job is not None and job.state in ("waiting", "running")
        return [
            radio, view, gr.Button(visible=can_stop), gr.Row(visible=bool(done)), page,
            now["todo"] if is_new["todo"] else gr.skip(), runs, now,
        ]  # fmt: skip

    return tick


def _todo(folder: str, job: Job | None) -> Markup:
    """Where the visitor stands, and what to do next."""
    if job is not None and job.state == "done":
        return html.steps(
            STEPS,
            3,
            "read the report below, try the run on a picture under Predict, or start another training.",
        )
    if job is not None and job.state == "stopping":
        return html.steps(STEPS, 1, "wait a moment: the training is being stopped.")
    if job is not None and not job.has_ended:
        return html.steps(
            STEPS, 1, "wait for the answer. This page may be closed: the training goes on."
        )
    if job is not None and job.state == "failed":
        return html.steps(
            STEPS, 0, "correct what the message names, then start the training again."
        )
    if _is_missing(folder):
        return html.steps(STEPS, 0, "type a folder that is there, or choose sample data.")
    if folder.strip():
        return html.steps(STEPS, 1, "press Start training; the settings may stay as they are.")
    return html.steps(
        STEPS, 0, "choose sample data, type a folder or drop a zip; or gather pictures under Live."
    )


def _report(name: str) -> Markup:
    source = f"/reports/{quote(name, safe='')}"
    title = Markup('<h2>Report of the run {}</h2><p class="hs-links">{}</p>')
    return title.format(html.text(name), html.report_links(name)) + html.frame(
        source, f"Report of the run {name}"
    )


def _arrival(jobs: Jobs) -> Callable[[gr.Request], Any]:
    def arrive(request: gr.Request) -> Any:
        """The job that the address names; else one that runs, if any."""
        named = request.query_params.get("job", "")
        live = [job.id for job in jobs.listed() if not job.has_ended]
        chosen = named if jobs.get(named) else (live[-1] if live else None)
        lines = _lines(jobs)
        return gr.Radio(choices=lines, value=chosen, visible=bool(lines))

    return arrive

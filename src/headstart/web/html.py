"""Pieces of the page as HTML. Whatever comes from a person or a file is escaped here."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup, escape

from headstart import plots
from headstart.data.labels import name_classes
from headstart.data.records import UNEVEN
from headstart.plots.svg import printable
from headstart.progress import share_done
from headstart.runs.predictions import written_number
from headstart.runs.report import figures, words
from headstart.wording import rough_time

if TYPE_CHECKING:
    from PIL import Image

    from headstart.data import Index
    from headstart.data.summary import DataSummary, Duplicates
    from headstart.data.targets import Kind
    from headstart.web.jobs import Job

STATES = {
    "waiting": "waiting",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
    "done": "done",
    "failed": "failed",
}
# The stages of a training on images, shown before they begin; before all of them, one that has no end
# to measure.
PLANNED = ("read images", "extract features", "cross-validate", "refit", "report")
STARTING = "load the libraries"


@functools.cache
def stylesheet() -> str:
    """The page's own style, and that of the figures."""
    own = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return plots.stylesheet() + own


@functools.cache
def live_script() -> str:
    """The script of the tab Live."""
    return (Path(__file__).parent / "live" / "live.js").read_text(encoding="utf-8")


def text(value: object) -> Markup:
    """Any text, escaped, with what cannot be printed written out."""
    return escape(printable(str(value)))


def alert(message: object) -> Markup:
    """What went wrong, in one line."""
    return Markup('<p class="hs-alert" role="alert"><b>Not done:</b> {}</p>').format(text(message))


def note(message: object) -> Markup:
    """Something to know."""
    return Markup('<p class="hs-note">{}</p>').format(text(message))


def verdict(heading: str, reason: object) -> Markup:
    """That no answer is to be relied on, and why."""
    return Markup('<p class="hs-note hs-verdict" role="status"><b>{}.</b> {}</p>').format(
        text(heading), text(reason)
    )


def empty(title: str, coming: str) -> Markup:
    """A place that is still empty, and what will be there."""
    return Markup('<div class="hs-empty"><b>{}</b><span>{}</span></div>').format(
        text(title), text(coming)
    )


def steps(names: Sequence[str], current: int, todo: str) -> Markup:
    """The way through the page, where the visitor stands, and what to do next."""
    row = Markup('<li{}><span aria-hidden="true">{}</span> {}</li>')
    marks = [
        Markup(' aria-current="step"') if i == current else Markup(' class="past"' * (i < current))
        for i in range(len(names))
    ]
    rows = Markup("").join(
        row.format(mark, "✓" if i < current else i + 1, text(name))
        for i, (mark, name) in enumerate(zip(marks, names, strict=True))
    )
    return Markup('<div class="hs-next"><ol>{}</ol><p><b>Next:</b> {}</p></div>').format(
        rows, text(todo)
    )


def report_links(name: str) -> Markup:
    """Ways to the report of a run: a tab of its own, an address and a file to send."""
    at = quote(name, safe="")
    return Markup(
        '<a href="/reports/{0}" target="_blank" rel="noopener">Open report<span class="hs-sr"> of {1} '
        'in a new tab</span></a> <button type="button" data-copy="/reports/{0}">Copy link'
        '<span class="hs-sr"> to the report of {1}</span></button> <a href="/reports/{0}?download=1" '
        'download>Download<span class="hs-sr"> the report of {1}</span></a>'
    ).format(at, text(name))


def runs_view(runs: Iterable[tuple[str, str, float]], n_more: int) -> Markup:
    """The last runs: name, what it says and when it was made, each with its report."""
    row = Markup(
        '<li><b>{}</b> <time datetime="{}">{}</time><p>{}</p><p class="hs-links">{}</p></li>'
    )
    rows = []
    for name, said, made in runs:
        when = datetime.fromtimestamp(made).astimezone()
        rows.append(
            row.format(
                text(name),
                when.isoformat(timespec="minutes"),
                f"{when:%d %b %Y, %H:%M}",
                text(said),
                report_links(name),
            )
        )
    if not rows:
        return Markup("<h2>Last runs</h2>") + empty(
            "No runs yet", "Each run will be listed here with its accuracy and its report."
        )
    more = (
        note(f"{words.plural(n_more, 'older run')}: choose them under Predict.")
        if n_more > 0
        else ""
    )
    return Markup('<h2>Last runs</h2><ul class="hs-runs">{}</ul>{}').format(
        Markup("").join(rows), more
    )


def inline(picture: Image.Image | bytes, alt: str, *, class_: str = "") -> Markup:
    """A picture within the page."""
    kind = "png"
    if not isinstance(picture, bytes):
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=88)
        picture, kind = buffer.getvalue(), "jpeg"
    code = base64.b64encode(picture).decode()
    return Markup('<img class="{}" src="data:image/{};base64,{}" alt="{}">').format(
        class_, kind, code, text(alt)
    )


def figure(picture: Markup, caption: str) -> Markup:
    """A picture with words below it."""
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(picture, text(caption))


def sheet(picture: Image.Image | bytes, words: str) -> Markup:
    """Many small pictures in one, with words below; on a phone it keeps its size and scrolls."""
    return Markup(
        '<div class="hs-sheet" tabindex="0" role="region" aria-label="{}">{}</div>'
    ).format(text(words), figure(inline(picture, words), words))


def frame(source: str, title: str) -> Markup:
    """A page of this server inside the page."""
    return Markup('<iframe class="hs-page" title="{}" src="{}"></iframe>').format(
        text(title), source
    )


def frame_of(document: str, title: str) -> Markup:
    """A whole HTML document inside the page."""
    return Markup('<iframe class="hs-page" title="{}" srcdoc="{}"></iframe>').format(
        text(title), document
    )


def bars(top: Sequence[tuple[str, float]]) -> Markup:
    """Classes with their probabilities, the likeliest first."""
    row = Markup(
        '<tr><th scope="row">{0}</th><td class="number">{1:.1f} %</td>'
        '<td class="bar"><span style="width:{1:.1f}%"></span></td></tr>'
    )
    rows = Markup("").join(row.format(text(label), 100 * p) for label, p in top)
    head = Markup(
        '<thead class="hs-sr"><tr><th>class</th><th>probability</th><th>bar</th></tr></thead>'
    )
    return Markup('<table class="hs-bars">{}<tbody>{}</tbody></table>').format(head, rows)


def job_line(job: Job, n_before: int) -> str:
    """A job in a list."""
    state = STATES[job.state]
    if job.state == "waiting" and n_before:
        state = f"waiting for {words.plural(n_before, 'job')}"
    return f"{printable(job.name)} · {state}"


def job_view(job: Job, n_before: int) -> Markup:
    """What a job is doing, with the layer map as far as it is filled."""
    spent = f" · {rough_time(job.seconds())}" if job.started is not None else ""
    head = Markup('<h2>{} <span class="hs-state {}">{}{}</span></h2>').format(
        text(job.name), job.state, STATES[job.state], spent
    )
    said = [head]
    if job.state == "waiting" and n_before:
        said.append(note(f"{words.plural(n_before, 'job')} before it; one runs at a time."))
    if job.state == "failed":
        said.append(alert(job.message))
    if job.state == "stopped":
        said.append(
            note("Stopped. What was computed is kept: the same training goes on from there.")
        )
    if job.state == "done":
        answer = Markup('<p class="hs-answer">{}</p>').format(text(job.message))
        said.append(answer)
    else:
        said.append(_stages(job))
    if job.places and job.state != "done":
        said.append(partial_map(job))
    return Markup("").join(said)


def _stages(job: Job) -> Markup:
    """A bar for each stage: those that ended, the one under way, and those to come."""
    row = Markup('<li><label>{0} <span>{1}</span><progress max="{2}"{3}></progress></label></li>')
    rows = []
    if not job.stages and not job.has_ended:
        said, at = ("to come", ' value="0"') if job.state == "waiting" else ("", "")
        rows.append(row.format(STARTING, said, 1, Markup(at)))
    for stage, (done, total) in job.stages.items():
        left = None if job.has_ended else job.seconds_left(stage)
        said = share_done(stage, done, total)
        said += "" if left is None else f" · {rough_time(left)} left"
        at = Markup(' value="{}"').format(done if total else 1)
        rows.append(row.format(text(stage), said, max(total, 1), at))
    if not job.has_ended and (not job.stages or PLANNED[0] in job.stages):
        # A stage is left out where its result was stored: those before the one under way never come.
        n_begun = max((i for i, stage in enumerate(PLANNED, 1) if stage in job.stages), default=0)
        coming = PLANNED[n_begun:]
        rows += [row.format(stage, "to come", 1, Markup(' value="0"')) for stage in coming]
    return Markup('<ul class="hs-stages">{}</ul>').format(Markup("").join(rows))


def partial_map(job: Job) -> Markup:
    """Accuracies of every layer and resolution so far; what is not measured yet is empty."""
    taps = list(dict.fromkeys(tap for tap, _ in job.places))
    sizes = list(dict.fromkeys(size for _, size in job.places))
    values: dict[tuple[str, int | str], float] = {p: 100 * v for p, v in job.cells.items()}
    done = f"{len(values)} of {len(job.places)}"
    svg = plots.layer_map(
        taps,
        sizes,
        values,
        marks={},
        name=f"partial-{job.id}",
        title=f"Layer map, {done} measured",
        description="; ".join(f"{t} at {s} px {v:.1f} %" for (t, s), v in values.items()),
    )
    caption = f"Cross-validated accuracy in %, {done} measured so far."
    return Markup('<div class="hs-scroll" tabindex="0" role="region" aria-label="Layer map">'
                  "<figure>{}<figcaption>{}</figcaption></figure></div>").format(Markup(svg), caption)  # fmt: skip


def data_view(index: Index) -> Markup:
    """What was found in the data: how many, of which classes, and what to mend."""
    data = index.summary()
    uses = (
        (data.n_train, "to train on"),
        (data.n_val, "to validate on"),
        (data.n_test, "to test on"),
    )
    what, named = _targets(index)
    head = Markup("<h2>{}, {}</h2><p>{}</p><p>{}.</p>").format(
        words.plural(data.n_examples, "image"),
        what,
        ", ".join(f"{n:,} {use}" for n, use in uses if n)
        + (f"; {words.plural(data.n_groups, 'group')}" if data.n_groups else ""),
        text(named),
    )
    kind = index.kind
    nothing = "No damaged files, no duplicates, no uneven classes."
    if kind != "classes":
        nothing = "No damaged files, no duplicates."
    found = _items(_findings(data, kind)) or note(nothing)
    if kind == "numbers":
        return head + found
    each = "label" if kind == "labels" else "class"
    svg = Markup('<div class="hs-scroll" tabindex="0" role="region" aria-label="Images of each'
                 ' {}">{}</div>').format(each, Markup(figures.sizes(data, each)))  # fmt: skip
    return head + found + svg


def _targets(index: Index) -> tuple[str, str]:
    """How many classes or labels there are, and their names; of numbers, their range."""
    n = len(index.classes)
    if index.kind == "classes":
        return words.plural(n, "class", "classes"), f"Classes: {name_classes(index.classes)}"
    if index.kind == "labels":
        without = sum(not r.target for r in index.records)
        more = f"; {words.plural(without, 'image')} without a label" if without else ""
        return words.plural(n, "label"), f"Labels: {name_classes(index.classes)}{more}"
    values = sorted(r.target for r in index.records if isinstance(r.target, float))
    low, middle, high = (written_number(values[i]) for i in (0, len(values) // 2, -1))
    return "a number each", f"Numbers from {low} to {high}, median {middle}"


def _findings(data: DataSummary, kind: Kind) -> Iterable[str]:
    """What to know before training, the gravest first."""
    unlike_in = {"classes": "in two classes"}.get(kind, f"with different {kind}")
    for same, groups in (("exact", data.exact_duplicates), ("near", data.near_duplicates)):
        across = [g for g in groups if g.straddles]
        unlike = [g for g in groups if g.conflicting]
        if across:
            yield f"{same} duplicates across the split: {len(across)}, such as {_names(across[0])}"
        if unlike:
            yield f"{same} duplicates {unlike_in}: {len(unlike)}, such as {_names(unlike[0])}"
        if rest := len(groups) - len(across):
            yield f"{same} duplicates on one side of the split: {rest}"
    broken = data.quarantine
    if broken:
        first = broken[0]
        yield f"files that cannot be used: {len(broken)}, such as {first.name}: {first.reason}"
    if kind == "classes" and data.imbalance > UNEVEN:
        yield f"the largest class has {data.imbalance:.1f} times as many images as the smallest"
    yield from data.notes


def _names(group: Duplicates) -> str:
    return " = ".join(group.names[:3])


def _items(lines: Iterable[str]) -> Markup:
    rows = Markup("").join(Markup("<li>{}</li>").format(text(line)) for line in lines)
    return Markup('<ul class="hs-findings">{}</ul>').format(rows) if rows else Markup("")

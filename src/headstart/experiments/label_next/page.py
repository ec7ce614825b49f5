"""What `label-next` chose and why."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from headstart.experiments.label_next.result import Chosen, LabelNextResult
from headstart.progress import Progress, silent
from headstart.runs.predictions import csv_text
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import counted

N_LISTED = 200
PSEUDO, WEIGHT, GROUP = "pseudo-labels.csv", "weight", "group"


def title(r: LabelNextResult) -> str:
    """The question."""
    return f"What to label next for {Path(r.settings.run).name}"


def sentence(r: LabelNextResult) -> str:
    """What choosing is worth."""
    if not r.played:
        return f"{counted(r.n_labelled, 'training image')}, their groups or their weights are too few to compare strategies: label at random."
    used = next((p for p in r.played if p.name == r.strategy), None)
    better = next((p for p in r.played if p.is_better), None)
    if (used is None or not used.is_better) and better is not None:
        what = "random choice" if used is None else used.name
        return f"{better.name} is better than {what} here: {better.gain} points over random labels."
    if used is None or not used.is_better:
        tried = used or r.played[0]
        return f"No significant gain here ({tried.name}: {tried.gain} points): label at random."
    if used.worth is None:
        return f"{counted(r.n_chosen, 'label')} chosen by {used.name} are worth more than all random ones at hand."
    return f"{counted(r.n_chosen, 'label')} chosen by {used.name} are worth {used.worth:.0f} random ones."


def detail(r: LabelNextResult) -> str:
    """How that was measured, and what was left out."""
    left_out = [
        f"{counted(n, 'image')} left out: {why}"
        for n, why in (
            (r.n_overlap, "the run's own, or left out of it"),
            (r.n_unreadable, "not readable"),
        )
        if n
    ]
    chosen = (
        f"Of {counted(r.n_unlabelled, 'image')} without a label, {len(r.chosen):,} were chosen "
        f"({'at random' if r.strategy == 'random' else 'by ' + r.strategy}); label-next.csv lists them in order, "
        "tasks.json is for Label Studio. Label them, add them to the data and fit again."
    )
    return " ".join([chosen, *(f"{text}." for text in left_out), *_on_pseudo_labels(r)])


def _on_pseudo_labels(r: LabelNextResult) -> list[str]:
    """Whether to train on the unlabelled images as they are."""
    best = next((u for u in r.unlabelled if u.is_better), None)
    if not r.unlabelled:
        return []
    if best is None:
        return [
            "Training on the unlabelled images without labelling them: no significant gain here."
        ]
    said = (
        f"Training on the unlabelled images too, with labels by {best.name}, gained {best.gain} points in the "
        f"replay with {counted(r.n_known, 'label')}; with more labels it gains less."
    )
    if not r.pseudo_labels:
        return [
            said,
            "These unlabelled images are too far from your labels to get any: none are listed.",
        ]
    listed = f"{PSEUDO} lists these labels, each with its weight"
    if r.labelled:
        command = f"headstart fit {PSEUDO} --weight-column {WEIGHT}"
        if _has_groups(r):
            command += f" --group {GROUP}"
        listed += (
            f", beside your own, for {command}: judge that run by its test images only, since "
            "cross-validation counts pseudo-labels as right"
        )
    return [said, f"{listed}."]


def sections(r: LabelNextResult) -> list[Section]:
    """The replay, then the images."""
    rows = [[c.name, c.predicted, f"{c.margin:.2f}"] for c in r.chosen[:N_LISTED]]
    images = Section(
        heading="Images to label, in this order",
        table=Table(header=["image", "predicted class", "margin"], rows=rows),
        caption="Margin: how far the two highest scores are apart; small where the classifier is unsure."
        + (
            f" The first {N_LISTED} of {len(r.chosen):,}; label-next.csv has all."
            if len(r.chosen) > N_LISTED
            else ""
        ),
    )
    return [*_replay(r), *_unlabelled(r), images]


def brief(r: LabelNextResult) -> list[Section]:
    """What the terminal shows."""
    return [*_replay(r), *_unlabelled(r)]


def _unlabelled(r: LabelNextResult) -> list[Section]:
    if not r.unlabelled:
        return []
    rows = [
        [
            u.name,
            words.percent(u.right),
            words.percent(u.accuracy),
            str(u.gain),
            "better" if u.is_better else "not significant",
        ]
        for u in r.unlabelled
    ]
    rows.append(["none", words.NOTHING, words.percent(r.labelled_alone), words.NOTHING, ""])
    caption = (
        f"Replayed {r.settings.repeats} times on {_played_on(r)}: {r.n_known:,} labelled, the labels of "
        f"{r.n_hidden:,} hidden. Propagation spreads labels to similar images; pseudo-labels are the "
        "classifier's own answers, of each class the surest half. Balanced accuracy on other images."
    )
    header = ["labels by", "of them right", "accuracy", "gain, points", "verdict"]
    return [
        Section(
            heading="What training on unlabelled images would have been worth",
            table=Table(header=header, rows=rows),
            caption=caption,
        )
    ]


def _replay(r: LabelNextResult) -> list[Section]:
    if not r.played:
        return []
    rows = [
        [
            p.name,
            words.percent(p.accuracy),
            str(p.gain),
            _worth(p.worth) if p.is_better else words.NOTHING,
            "better" if p.is_better else "not significant",
        ]
        for p in r.played
    ]
    rows.append(["random", words.percent(r.random), words.NOTHING, f"{r.n_chosen}", ""])
    caption = (
        f"Played {r.settings.repeats} times on {_played_on(r)}: {r.n_start} labels at random "
        f"({words.percent(r.start)}), {r.n_chosen} more by each strategy, balanced accuracy on "
        f"{r.n_judged} others. The intervals of the gains together hold with 95 % confidence."
    )
    header = [
        "chosen by",
        "accuracy",
        "gain over random, points",
        "worth how many random labels",
        "verdict",
    ]
    return [
        Section(
            heading="What choosing would have been worth",
            table=Table(header=header, rows=rows),
            caption=caption,
        )
    ]


def _played_on(r: LabelNextResult) -> str:
    if r.n_played >= r.n_labelled:
        return "the run's own training images"
    return f"{r.n_played:,} of the run's {r.n_labelled:,} own training images, drawn at random, each class with its share"


def _worth(worth: float | None) -> str:
    return "more than all" if worth is None else f"{worth:.0f}"


def files(r: LabelNextResult, _progress: Progress = silent) -> dict[str, bytes]:
    """The images in order, as a table."""
    rows = [
        (str(i), c.name, c.path, c.predicted, json.dumps(c.margin))
        for i, c in enumerate(r.chosen, start=1)
    ]
    text = csv_text(("order", "name", "path", "predicted", "margin"), rows)
    tasks = json.dumps([_task(r, c) for c in r.chosen], ensure_ascii=False, indent=1)
    written = {"label-next.csv": text, "tasks.json": tasks}
    if r.pseudo_labels:
        written[PSEUDO] = _pseudo_labels(r)
    return {name: text.encode("utf-8", "surrogateescape") for name, text in written.items()}


def _pseudo_labels(r: LabelNextResult) -> str:
    """The images to train on; one without a label is a group of its own.

    `headstart fit` reads it, so that names and labels are as they are, every cell in quotes.
    """
    own = [(o.path, o.label, o.split, "no", json.dumps(o.weight), o.group) for o in r.labelled]
    new = [(p.path, p.label, "train", "yes", json.dumps(p.weight), p.path) for p in r.pseudo_labels]
    header = ("image", "label", "split", "is_pseudo_label", WEIGHT, GROUP)
    n_columns = len(header) if _has_groups(r) else -1
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerows(row[:n_columns] for row in (header, *own, *new))
    return buffer.getvalue()


def _has_groups(r: LabelNextResult) -> bool:
    return any(o.group for o in r.labelled)


def _task(r: LabelNextResult, chosen: Chosen) -> dict[str, Any]:
    """As Label Studio imports it, for a labelling interface of one image and one choice."""
    choice = {"from_name": "choice", "to_name": "image", "type": "choices"}
    said = {**choice, "value": {"choices": [chosen.predicted]}}
    guess = {"model_version": Path(r.settings.run).name, "score": chosen.margin, "result": [said]}
    return {"data": {"image": chosen.path}, "predictions": [guess]}

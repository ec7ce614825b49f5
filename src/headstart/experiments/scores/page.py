"""Transferability scores beside the measured accuracy."""

from __future__ import annotations

from headstart.experiments.correlation import too_few
from headstart.experiments.scores.result import N_DIGITS, Agreement, Candidate, ScoresResult
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import listed, points

# A tau without the size of its sample says little; these are the columns of the table of agreement.
AGREEMENT_HEADER = ("score", "Kendall", "Spearman", "p", "puts first", "points lost")


def title(r: ScoresResult) -> str:
    """The question."""
    return f"Transferability scores on {r.data}"


def sentence(r: ScoresResult) -> str:
    """The headline: the most accurate candidate, and which scores put it first."""
    what = _what(r)
    best, n = r.candidates[0], len(r.candidates)
    share = str(best.accuracy)
    if n == 1:
        return f"{best.name} reaches {share} in cross-validation."
    equal = [c.name for c in r.candidates if _accuracy(c) == _accuracy(best)]
    measured = f"{best.name} is the most accurate {what}, {share}"
    if len(equal) > 1:
        measured = f"{len(equal)} {what}s, {best.name} among them, are the most accurate, {share}"
    if not r.agreements:
        return f"{measured}; the scores are the same for all {n} {what}s."
    alone = [a.score for a in r.agreements if a.first in equal and not a.tied]
    if alone:
        it = "it" if len(equal) == 1 else "one of them"
        return f"{measured}; {listed(alone)} put{'s' * (len(alone) == 1)} {it} first."
    shared = [a.score for a in r.agreements if a.first in equal]
    if shared:
        return f"{measured}; no score puts it first alone, {listed(shared)} tied with others."
    return f"{measured}; no score puts it first."


def detail(r: ScoresResult) -> str:
    """Ties at the top of a score, and which scores order the candidates as measured."""
    n, what = len(r.candidates), _what(r)
    said = [
        f"{a.score} puts {listed([a.first, *a.tied])} first with the same score."
        for a in r.agreements
        if a.tied
    ]
    if r.agreements and r.candidates[0].name not in {a.first for a in r.agreements}:
        least = min(r.agreements, key=lambda a: a.lost)
        said.append(
            f"{least.score} loses least: what it puts first is {points(least.lost, sign=False)} "
            "points less accurate."
        )
    if few := too_few(n):
        return " ".join([*said, few])
    if not r.agreements:
        return ""
    ordered = sorted(r.agreements, key=lambda a: -(a.correlation.kendall or -2))
    clear = [
        a for a in ordered if a.correlation.is_significant and (a.correlation.kendall or 0) > 0
    ]
    if not clear:
        return " ".join([*said, "No score's order agrees significantly with the measured one."])
    top = clear[0]
    others = [a.score for a in ordered if a not in clear]
    rest = f"; {listed(others)} {'do' if len(others) > 1 else 'does'} not" if others else ""
    said.append(
        f"{listed([a.score for a in clear])} order{'s' * (len(clear) == 1)} the {n} {what}s "
        f"significantly as measured, {top.score} best (Kendall {top.correlation.kendall:.2f}){rest}."
    )
    return " ".join(said)


def _what(r: ScoresResult) -> str:
    return "layer" if r.settings.per == "tap" else "backbone"


def _accuracy(candidate: Candidate) -> str:
    return f"{100 * candidate.accuracy.value:.1f}"


def sections(r: ScoresResult) -> list[Section]:
    """The candidates, how the orders agree, and a figure for each score."""
    return [_candidates(r), _agreement(r), *_figures(r)]


def brief(r: ScoresResult) -> list[Section]:
    """What the terminal shows."""
    shown = [i for i, name in enumerate(score_names(r)) if name != "H-score"]
    rows = []
    for name, accuracy, _, *values in candidate_rows(r):
        cells = ["–" if values[i] == "not available" else values[i] for i in shown]
        rows.append([name, accuracy, *cells])
    header = [_what(r), "accuracy", *(score_names(r)[i] for i in shown)]
    found = [Section(heading="", table=Table(header=header, rows=rows))]
    if r.agreements:
        table = Table(header=AGREEMENT_HEADER, rows=agreement_rows(r))
        caption = (
            "Kendall, Spearman: of score and accuracy\n"
            "points lost: by taking what the score puts first"
        )
        found.append(Section(heading="", table=table, caption=caption))
    return found


def score_names(r: ScoresResult) -> list[str]:
    """The scores that the candidates were given, in order."""
    return list(r.candidates[0].scores)


def candidate_rows(r: ScoresResult) -> list[list[str]]:
    """Name, accuracy, number of features and every score, the most accurate first."""
    rows = []
    for candidate in r.candidates:
        accuracy = candidate.accuracy
        rows.append(
            [
                candidate.name,
                str(accuracy),
                words.count(candidate.n_features),
                *(_score(s) for s in candidate.scores.values()),
            ]
        )
    return rows


def agreement_rows(r: ScoresResult) -> list[list[str]]:
    """How each score's order agrees with the measured one."""
    return [
        [
            a.score,
            words.decimal(a.correlation.kendall, 2),
            words.decimal(a.correlation.spearman, 2),
            _probability(a.correlation.p_value),
            _first(a),
            words.bare_percent(a.lost),
        ]
        for a in r.agreements
    ]


def _first(agreement: Agreement) -> str:
    """The candidate that the score puts first, and how many are tied with it."""
    n = len(agreement.tied)
    return f"{agreement.first}, tied with {words.plural(n, 'other')}" if n else agreement.first


def _score(value: float | None) -> str:
    # + 0.0 after rounding turns a minus zero into zero.
    return "not available" if value is None else words.decimal(round(value, N_DIGITS) + 0.0)


def _probability(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else words.decimal(value)


def _candidates(r: ScoresResult) -> Section:
    n_images, n_classes = words.count(r.n_images), r.n_classes
    missing = [name for name, s in r.candidates[0].scores.items() if s is None]
    text = [
        (
            f"{n_images} training images of {n_classes} classes. Accuracy: cross-validated, of the "
            "linear SVM on the same features, in % with its 95 % interval. A higher score promises "
            "better features; its size means nothing by itself, and scores of different kinds cannot "
            "be compared."
        )
    ]
    if r.settings.per == "tap":
        text.append(
            "The candidates are layers. LEEP and NCE judge the source classifier as a whole, so "
            "they are not available for single layers."
        )
    elif missing:
        text.append(
            "LEEP and NCE need the source classifier's probabilities; they are not available for a "
            "network without its output layer."
        )
    header = ["layer" if r.settings.per == "tap" else "backbone", "accuracy", "features"]
    return Section(
        heading="Scores and measured accuracy",
        text=text,
        table=Table(
            header=[*header, *score_names(r)],
            rows=candidate_rows(r),
            chosen=0 if len(r.candidates) > 1 else None,
        ),
    )


def _agreement(r: ScoresResult) -> Section:
    if len(r.candidates) < 2:
        return Section(
            heading="Do the scores predict the order?",
            text=["One candidate has no order. `per='tap'` takes the layers as candidates."],
        )
    text = [_alike(r)] if _alike(r) else []
    if not r.agreements:
        return Section(heading="Do the scores predict the order?", text=text)
    return Section(
        heading="Do the scores predict the order?",
        text=[
            (
                "Kendall's tau and Spearman's rho between score and accuracy: 1 for the same order, 0 "
                "for none, −1 for the opposite. p: how often chance alone agrees or disagrees as much; below 0.05 it is significant. "
                "Points lost: by how much the candidate that the score puts first is less accurate "
                "than the most accurate one, in percentage points; the mean of those tied for first."
                + (r.settings.per == "tap")
                * (" Layers of one network resemble their neighbours, so p is too hopeful.")
            ),
            *text,
        ],
        table=Table(header=AGREEMENT_HEADER, rows=agreement_rows(r)),
    )


def _alike(r: ScoresResult) -> str:
    """Which scores are the same for all candidates, as a sentence; empty where none is."""
    have = [
        name for name in score_names(r) if not any(c.scores[name] is None for c in r.candidates)
    ]
    ordering = {a.score for a in r.agreements}
    same = [name for name in have if name not in ordering]
    if not same:
        return ""
    why = (
        " With no more images than features the H-score is the number of classes less one, whatever "
        "the labels."
    )
    return f"The same for all candidates, so without an order: {', '.join(same)}." + (
        why if "H-score" in same else ""
    )


def _figures(r: ScoresResult) -> list[Section]:
    return [
        Section(
            heading=f"{a.score[0].upper()}{a.score[1:]} against accuracy",
            figure=_scatter(r, a.score, number),
            caption=f"Each dot is a {'layer' if r.settings.per == 'tap' else 'backbone'}; the line "
            "through it is the 95 % interval of its accuracy.",
        )
        for number, a in enumerate(r.agreements)
    ]


def _scatter(r: ScoresResult, score: str, number: int) -> str:
    points = []
    for candidate in r.candidates:
        accuracy, value = candidate.accuracy, candidate.scores.get(score)
        if value is None:
            continue
        points.append(
            Bubble(
                label=candidate.name,
                x=value,
                y=100 * accuracy.value,
                area=0.0,
                low=100 * accuracy.low,
                high=100 * accuracy.high,
            )
        )
    return bubble_plot(
        points,
        x_axis=score,
        y_axis="cross-validated accuracy, %",
        name=f"figure-score-{number}",
        title=f"{score} against measured accuracy",
        description="; ".join(f"{p.label}: {p.x:.3f}, {p.y:.1f} %" for p in points),
        log_x=False,
        height=340,
    )

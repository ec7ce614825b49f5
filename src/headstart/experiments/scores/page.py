"""Transferability scores beside the measured accuracy: the sections of their page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.experiments.scores.measure import N_DIGITS
from headstart.plots.bubbles import Bubble, bubble_plot
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table

Found = Mapping[str, Any]

# A printed tau without its sample says little; these are the columns of the table of agreement.
AGREEMENT_HEADER = ("score", "Kendall", "Spearman", "p", "puts first", "points lost")


def score_sections(found: Found) -> list[Section]:
    """The sections of a ranking.

    Parameters
    ----------
    found : mapping
        `headstart.experiments.scores.measure.Ranking.to_dict`.

    Returns
    -------
    list of Section
    """
    return [_candidates(found), _agreement(found), *_figures(found)]


def score_names(found: Found) -> list[str]:
    """The scores that the candidates were given, in order."""
    return list(found["candidates"][0]["scores"])


def candidate_rows(found: Found) -> list[list[str]]:
    """Name, accuracy, number of features and every score, the most accurate first."""
    rows = []
    for candidate in found["candidates"]:
        accuracy = candidate["accuracy"]
        rows.append(
            [
                candidate["name"],
                f"{words.bare_percent(accuracy['value'])} {words.bounds(accuracy)}",
                words.count(candidate["n_features"]),
                *(_score(s) for s in candidate["scores"].values()),
            ]
        )
    return rows


def agreement_rows(found: Found) -> list[list[str]]:
    """How each score's order agrees with the measured one."""
    return [
        [
            a["score"],
            words.decimal(a["kendall"], 2),
            words.decimal(a["spearman"], 2),
            _probability(a["p_value"]),
            _first(a),
            words.bare_percent(a["lost"]),
        ]
        for a in found["agreements"]
    ]


def _first(agreement: Mapping[str, Any]) -> str:
    """The candidate that the score puts first, and how many are tied with it."""
    n = len(agreement["tied"])
    return (
        f"{agreement['first']}, tied with {words.plural(n, 'other')}" if n else agreement["first"]
    )


def _score(value: float | None) -> str:
    # + 0.0 after rounding turns a minus zero into zero.
    return "not available" if value is None else words.decimal(round(value, N_DIGITS) + 0.0)


def _probability(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else words.decimal(value)


def _candidates(found: Found) -> Section:
    n_images, n_classes = words.count(found["n_images"]), found["n_classes"]
    missing = [name for name, s in found["candidates"][0]["scores"].items() if s is None]
    text = [
        (
            f"{n_images} training images of {n_classes} classes. Accuracy: cross-validated, of the "
            "linear SVM on the same features, in % with its 95 % interval. A higher score promises "
            "better features; its size means nothing by itself, and scores of different kinds cannot "
            "be set beside each other."
        )
    ]
    if found["per"] == "tap":
        text.append(
            "The candidates are layers. LEEP and NCE judge the source classifier as a whole, so "
            "they are not available for single layers."
        )
    elif missing:
        text.append(
            "LEEP and NCE need the source classifier's probabilities; they are not available for a "
            "network without its output layer."
        )
    header = ["layer" if found["per"] == "tap" else "backbone", "accuracy, %", "features"]
    return Section(
        heading="Scores and measured accuracy",
        text=text,
        table=Table(
            header=[*header, *score_names(found)],
            rows=candidate_rows(found),
            chosen=0 if len(found["candidates"]) > 1 else None,
        ),
    )


def _agreement(found: Found) -> Section:
    if len(found["candidates"]) < 2:
        return Section(
            heading="Do the scores predict the order?",
            text=["One candidate has no order. `per='tap'` takes the layers as candidates."],
        )
    text = [_alike(found)] if _alike(found) else []
    if not found["agreements"]:
        return Section(heading="Do the scores predict the order?", text=text)
    return Section(
        heading="Do the scores predict the order?",
        text=[
            (
                "Kendall's tau and Spearman's rho between score and accuracy: 1 for the same order, 0 "
                "for none, −1 for the opposite. p: how often chance alone agrees or disagrees as much; below 0.05 it is significant. "
                "Points lost: by how much the candidate that the score puts first is less accurate "
                "than the most accurate one, in percentage points; the mean of those tied for first."
                + (found["per"] == "tap")
                * (" Layers of one network resemble their neighbours, so p is too hopeful.")
            ),
            *text,
        ],
        table=Table(header=AGREEMENT_HEADER, rows=agreement_rows(found)),
    )


def _alike(found: Found) -> str:
    """Which scores are the same for all candidates, as a sentence; empty where none is."""
    have = [
        name
        for name in score_names(found)
        if not any(c["scores"][name] is None for c in found["candidates"])
    ]
    ordering = {a["score"] for a in found["agreements"]}
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


def _figures(found: Found) -> list[Section]:
    return [
        Section(
            heading=f"{a['score'][0].upper()}{a['score'][1:]} against accuracy",
            figure=_scatter(found, a["score"], number),
            caption=f"Each dot is a {'layer' if found['per'] == 'tap' else 'backbone'}; the line "
            "through it is the 95 % interval of its accuracy.",
        )
        for number, a in enumerate(found["agreements"])
    ]


def _scatter(found: Found, score: str, number: int) -> str:
    points = []
    for candidate in found["candidates"]:
        accuracy, value = candidate["accuracy"], candidate["scores"].get(score)
        if value is None:
            continue
        points.append(
            Bubble(
                label=candidate["name"],
                x=value,
                y=100 * accuracy["value"],
                area=0.0,
                low=100 * accuracy["low"],
                high=100 * accuracy["high"],
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

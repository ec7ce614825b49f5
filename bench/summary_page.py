"""The page of bench/summary.py: claims, the sets on which they held, and every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from bench.sets import RealSet

from headstart.experiments.correlation import rank_correlation
from headstart.experiments.scores.result import SCORES
from headstart.experiments.similarity.measure import MAX_LABELLED, MIN_OTHERS
from headstart.experiments.similarity.measure import correlations as rank_similarity
from headstart.experiments.similarity.page import tau
from headstart.experiments.similarity.references import N_IMAGES, shipped_points
from headstart.heads import is_significant

NOT_YET = "not measured yet"
COMMAND = ".venv/bin/python bench/summary.py"
N_RESAMPLES = 2000
ARMS = ("last layer", "best earlier layer", "last four joined")

Cells = Mapping[str, Mapping[str, Mapping[str, Any]]]


class Claimed(Protocol):
    """A claim as the page needs it."""

    key: str
    text: str
    sets: tuple[str, ...]


def page(cells: Cells, claims: Sequence[Claimed], sets: Sequence[RealSet]) -> str:
    """The Markdown text."""
    names = [each.name for each in sets]
    parts = [
        "# Which claims hold, on how many sets",
        f"```sh\n{COMMAND}\n```",
        (
            f"{len(sets)} real sets, at most {MAX_LABELLED} images of at most {MAX_LABELLED // 10} "
            "classes of each, EfficientNet-Lite0 (the embedded network) at 224 px unless a claim says "
            "otherwise. Both sides of a claim are judged on the same images and folds; people, films and "
            "patients share a fold, and where there are ten or more of them in a set, intervals "
            "are of new ones (Student's t over groups); else they agree with McNemar's test. A claim *held* on a set where the 95 % interval of the paired "
            "difference lies above zero, and *failed* where it lies below. With few images most "
            "differences are undecided, which is not evidence that there is none. One seed."
        ),
        "## The claims",
        *table(claim_rows(cells, claims, names), CLAIM_HEADER),
        (
            "*Mean*: points, over the sets measured, with a 95 % interval over which sets were drawn "
            "(bootstrap): how much the claim is worth on another set of this kind."
        ),
        "## What was expected and did not appear",
        (
            "Claims that are significant on fewer than half of the sets, or reversed on some, and rules that "
            "do not predict beyond chance."
        ),
        "\n".join(f"- {line}" for line in unexpected(cells, claims, sets)),
        "## Does a cheap number predict what transfer gives?",
        *prediction(),
        "## Which score orders the layers?",
        *layer_scores(cells.get("scores", {})),
        "## The rule of size and similarity",
        *advice(cells, sets),
        "## Set by set",
        (
            "Points by which the first side of a claim is better, with 95 % intervals. A dash: not "
            "planned: trainings are tried on few sets, and 8x8 digits hold no descriptor of SIFT. "
            "Accuracies of both sides are in [summary.json](summary.json)."
        ),
        *matrix(cells, claims, names),
        "## The sets",
        "\n".join(f"- **{each.name}**: {each.note}." for each in sets),
        cost(cells, claims, names),
    ]
    return "\n\n".join(parts) + "\n"


CLAIM_HEADER = ("", "claim", "held", "failed", "undecided", "measured", "mean")


def claim_rows(cells: Cells, claims: Sequence[Claimed], names: Sequence[str]) -> list[list[str]]:
    """Each claim with the numbers of sets, and the mean over them."""
    rows = []
    for claim in claims:
        found = [cells[claim.key][n] for n in names if n in cells.get(claim.key, {})]
        if not found:
            rows.append([claim.key, claim.text, "–", "–", "–", NOT_YET, "–"])
            continue
        held = sum(_is_ahead(f) for f in found)
        failed = sum(_is_behind(f) for f in found)
        rest = len(found) - held - failed
        planned = len(claim.sets) or len(names)
        measured = f"{len(found)} of {planned}"
        values = [f["value"] for f in found]
        counts = [str(held), str(failed), str(rest), measured]
        rows.append([claim.key, claim.text, *counts, mean_of(values)])
    return rows


def unexpected(cells: Cells, claims: Sequence[Claimed], sets: Sequence[RealSet]) -> list[str]:
    """Claims that failed on a set or held on fewer than half, and predictions that are not beyond chance."""
    lines = []
    for claim in claims:
        found = {
            s.name: cells[claim.key][s.name] for s in sets if s.name in cells.get(claim.key, {})
        }
        held = sum(map(_is_ahead, found.values()))
        failed = [name for name, cell in found.items() if _is_behind(cell)]
        if found and (failed or 2 * held < len(found)):
            reverse = f"; the reverse is significant on {', '.join(failed)}" if failed else ""
            mean = mean_of([cell["value"] for cell in found.values()])
            lines.append(
                f"*{claim.text}*: significant on {held} of {len(found)} sets{reverse}; mean {mean} points."
            )
    distance = rank_similarity([p for p in shipped_points().sets if p.gain is not None])[0]
    if not distance.is_significant:
        lines.append(
            "*The more similar the images are to the source, the more transfer gives*: Kendall "
            f"{tau(distance)} over {distance.n} sets, not beyond chance."
        )
    verdicts = [rule.verdict for rule in rules(cells, sets)]
    if verdicts and 2 * verdicts.count("right") < len(verdicts):
        lines.append(
            "*Similarity says whether to take the last layer or an earlier one, with little data*: "
            f"significantly right on {verdicts.count('right')} of {len(verdicts)} sets, wrong on "
            f"{verdicts.count('wrong')}."
        )
    return lines


def matrix(cells: Cells, claims: Sequence[Claimed], names: Sequence[str]) -> list[str]:
    """Sets by claims, with the paired differences."""
    rows = []
    for name in names:
        row = [name]
        for claim in claims:
            found = cells.get(claim.key, {}).get(name)
            is_planned = not claim.sets or name in claim.sets
            row.append(points(found) if found else NOT_YET if is_planned else "–")
        rows.append(row)
    return table(rows, ("set", *(claim.key for claim in claims)))


def prediction() -> list[str]:
    """Rank correlations over the reference points that ship with the package."""
    labelled = [p for p in shipped_points().sets if p.gain is not None]
    by_errors, by_chance, by_neighbours = rank_similarity(labelled)
    distance = "distance (median symmetric KL)"
    quick = f"nearest neighbours, {N_IMAGES} labelled images"
    compared = [
        (distance, "errors removed", by_errors),
        (distance, "accuracy above chance", by_chance),
        (quick, "errors removed on other images of the same set", by_neighbours),
    ]
    rows = [
        [what, of, str(c.n), tau(c), _p(c), "yes" if c.is_significant else "no"]
        for what, of, c in compared
    ]
    return [
        (
            f"Over the {len(labelled)} labelled reference points of [similarity](../similarity.md): "
            "Kendall's tau with its 95 % interval over sets. A distance that predicts has −1, a score 1. "
            "*Beyond chance*: p is below 0.05 and the interval does not contain zero. The nearest "
            f"neighbours are judged on images that they have not seen, so sets of fewer than "
            f"{N_IMAGES + MIN_OTHERS} images are left out there."
        ),
        *table(
            rows, ("what predicts", "what is predicted", "sets", "Kendall", "p", "beyond chance")
        ),
    ]


def layer_scores(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each score's order of the layers against the measured one, and of the sets by the last layer."""
    if len(measured) < 3:
        return [NOT_YET]
    rows = []
    above = [m["above_chance"] for m in measured.values()]
    for score in SCORES:
        found = [m["layers"][score] for m in measured.values() if score in m["layers"]]
        of_sets = [m["last"][score] for m in measured.values()]
        across = "–" if score == "size" else tau(rank_correlation(of_sets, above))
        if not found:
            rows.append([score, "–", "–", "–", across])
            continue
        kendall = [f["kendall"] for f in found]
        low, high = _over_sets(kendall)
        rows.append(
            [
                score,
                f"{np.mean(kendall):.2f} [{low:.2f}, {high:.2f}]",
                f"{sum(f['is_significant'] for f in found)} of {len(found)}",
                mean_of([f["lost"] for f in found]).replace("+", ""),
                across,
            ]
        )
    header = ("score", "Kendall, layers", "significant", "points lost", "Kendall, sets")
    return [
        (
            f"On {len(measured)} sets: Kendall of each score with the accuracy of the linear SVM over the "
            "ten layers of the network, mean over the sets; on how many sets it is significant; and how "
            "many points the layer that the score puts first is behind the best. *Sets*: Kendall of the "
            "last layer's score with the accuracy above chance, over the sets: a score is made to compare "
            "features on one set, and few say which set is easier. LEEP and NCE need a classifier, so "
            "they cannot order layers; size is the number of a layer's features."
        ),
        *table(rows, header),
    ]


def _p(found: Any) -> str:
    if found.p_value is None:
        return "–"
    return "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the rule of size and similarity advises on a set with little data, and what was measured."""

    name: str
    distance: float
    earlier: Mapping[str, Any]
    # Over the last layer alone, in the order of ARMS.
    gains: tuple[float, float, float]

    @property
    def is_far(self) -> bool:
        """Whether the images are unlike the source."""
        return self.distance >= far_from()

    @property
    def verdict(self) -> str:
        """Whether the rule is right."""
        return _verdict(self.earlier, is_far=self.is_far)


def far_from() -> float:
    """The distance from which images count as unlike the source."""
    points_of = {p.name: p for p in shipped_points().sets}
    return float(np.sqrt(points_of["photographs (2)"].kl * points_of["digits"].kl))


def rules(cells: Cells, sets: Sequence[RealSet]) -> list[Rule]:
    """The rule on each set whose distance and layers are measured."""
    found = []
    distances = {p.name: p.kl for p in shipped_points().sets}
    for each in sets:
        earlier, joined = (cells.get(k, {}).get(each.name) for k in ("last", "joined"))
        if earlier is None or joined is None or each.name not in distances:
            continue
        gains = (0.0, -earlier["value"], joined["value"])
        found.append(
            Rule(name=each.name, distance=distances[each.name], earlier=earlier, gains=gains)
        )
    return found


def advice(cells: Cells, sets: Sequence[RealSet]) -> list[str]:
    """What the rule advises with little data, against what was measured, and other rules."""
    found = rules(cells, sets)
    if len(found) < 3:
        return [NOT_YET]
    distances, gains = [rule.distance for rule in found], [rule.gains for rule in found]
    verdicts = [rule.verdict for rule in found]
    rows = [
        [
            rule.name,
            f"{rule.distance:.3f}, {'unlike' if rule.is_far else 'like'}",
            ARMS[int(rule.is_far)],
            points(rule.earlier),
            rule.verdict,
        ]
        for rule in found
    ]
    taken = {
        "the rule": [int(rule.is_far) for rule in found],
        **{f"always the {arm}": [i] * len(rows) for i, arm in enumerate(ARMS)},
        "learnt from the other sets": learnt(distances, gains),
    }
    costs = []
    for rule, arms in taken.items():
        lost = [max(g) - g[arm] for g, arm in zip(gains, arms, strict=True)]
        costs.append([rule, mean_of(lost).replace("+", ""), f"{100 * max(lost):.1f}"])
    return [
        (
            "With little data the rule takes the last layer where images are like the source (distance "
            f"below {far_from():.2f}) and earlier layers where they are unlike. Of {len(rows)} sets it was "
            f"right on {verdicts.count('right')} and wrong on {verdicts.count('wrong')}; on the other "
            f"{verdicts.count('undecided')} the difference is not significant."
        ),
        *table(
            rows,
            ("set", "distance", "advised", "last layer less the best earlier one", "the rule is"),
        ),
        (
            "What each way of choosing loses to the best of the three on the same set, in points. "
            "*Learnt*: the threshold of the distance and the choice on either side of it that lose "
            "least on the other sets."
        ),
        *table(costs, ("choice", "mean loss", "largest")),
    ]


def _verdict(last_less_earlier: Mapping[str, Any], *, is_far: bool) -> str:
    better = {"last": _is_ahead(last_less_earlier), "earlier": _is_behind(last_less_earlier)}
    if not any(better.values()):
        return "undecided"
    return "right" if better["earlier" if is_far else "last"] else "wrong"


def learnt(distances: Sequence[float], gains: Sequence[Sequence[float]]) -> list[int]:
    """For each set the arm that the best rule of one threshold on the other sets takes."""
    x, table_ = np.asarray(distances), np.asarray(gains)
    arms = range(table_.shape[1])
    taken = []
    for i in range(len(x)):
        rest = np.arange(len(x)) != i
        others = np.sort(x[rest])
        between = (others[:-1] + others[1:]) / 2
        rules = [(t, a, b) for t in (np.inf, *between) for a in arms for b in arms]

        def gain(rule: tuple[float, int, int], rest: Any = rest) -> float:
            t, near, far = rule
            chosen = np.where(x[rest] < t, table_[rest, near], table_[rest, far])
            return float(chosen.mean())

        t, near, far = max(rules, key=gain)
        taken.append(near if x[i] < t else far)
    return taken


def cost(cells: Cells, claims: Sequence[Claimed], names: Sequence[str]) -> str:
    """What the cells took, and what all of them would take."""
    spent, total = 0.0, 0.0
    for claim in claims:
        of = cells.get(claim.key, {})
        seconds = [of[n]["cpu_s"] for n in names if n in of]
        spent += sum(seconds)
        total += float(np.mean(seconds)) * (len(claim.sets) or len(names)) if seconds else 0.0
    return (
        f"The cells above took {spent / 60:.0f} minutes of one CPU core, features included; all cells of "
        f"the claims that have one would take about {total / 60:.0f}."
    )


def mean_of(values: Sequence[float]) -> str:
    """A mean over sets in points, with a bootstrap interval from five sets on."""
    if len(values) < 5:
        return _signed(100 * float(np.mean(values)))
    low, high = _over_sets(values)
    return " ".join(
        [
            _signed(100 * float(np.mean(values))),
            f"[{_signed(100 * float(low))}, {_signed(100 * float(high))}]",
        ]
    )


def _over_sets(values: Sequence[float]) -> tuple[float, float]:
    drawn = np.random.default_rng(0).choice(np.asarray(values), (N_RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _is_ahead(found: Mapping[str, Any]) -> bool:
    return found["value"] > 0 and is_significant([found[k] for k in ("value", "low", "high")])


def _is_behind(found: Mapping[str, Any]) -> bool:
    return found["value"] < 0 and is_significant([found[k] for k in ("value", "low", "high")])


def points(found: Mapping[str, Any]) -> str:
    """A paired difference in points."""
    value, low, high = (_signed(100 * found[k]) for k in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """One block of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return ["\n".join("| " + " | ".join(line) + " |" for line in lines)]

"""What bench/statistics_trust.py found, in words and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from bench.trust_worlds import LEVEL, Tally

# Rows that show a known limit, which Headstart's own intervals are not judged by.
SHOWN_ONLY = (
    "paired difference, plain Wald",
    "accuracy, every image twice",
    "the same of the plain Wald interval",
    # No test: a bound of one standard error, which few disagreements reach more often than 32 %.
    "beyond one standard error, so no tie (`choose`)",
)
REGRETS = ("honest", "plain", "most_accurate", "any_tie", "usual")
Found = Mapping[str, Mapping[str, Any]]


def lines(found: Found, nominal: Mapping[str, float]) -> list[str]:
    """The whole part as Markdown lines.

    Parameters
    ----------
    found : mapping of part to mapping of data set to what it found
    nominal : mapping of a rule's name to the error rate that it promises
    """
    return [
        *_summary(found, nominal),
        "",
        *_coverage(found),
        "",
        *_null(found, nominal),
        "",
        *_regret(found["regret"]),
        "",
        *_runs(found),
    ]


def tallies(found: Found) -> Iterator[tuple[str, str, str, Tally]]:
    """Every tally of coverage: data set, size of the test, name, tally."""
    for name, sizes in found["coverage"].items():
        for n, what in sizes.items():
            for row, (hits, total) in what["tallies"].items():
                yield name, n, row, Tally(hits=hits, n=total)
    for name, sizes in found["repeats"].items():
        for n, rows in sizes.items():
            for row, (hits, total) in rows.items():
                yield name, n, row, Tally(hits=hits, n=total)


def rates(found: Found) -> Iterator[tuple[str, str, str, Tally]]:
    """Every tally of the null: data set, size of the test, rule, tally."""
    for name, sizes in found["null"].items():
        for n, rows in sizes.items():
            for row, (hits, total) in rows.items():
                yield name, n, row, Tally(hits=hits, n=total)


def _summary(found: Found, nominal: Mapping[str, float]) -> list[str]:
    own = [t for t in tallies(found) if t[2] not in SHOWN_ONLY]
    short = [t for t in own if t[3].is_below(LEVEL)]
    tests = [t for t in rates(found) if t[2] not in SHOWN_ONLY]
    loud = [t for t in tests if t[3].is_above(nominal[t[2]])]
    choices = [r for rows in found["regret"].values() for r in rows]
    out = [
        (
            f"- Intervals: {len(own)} settings, {sum(t[3].n for t in own):,} worlds; "
            f"{len(own) - len(short)} cover at least 95 % of them, as far as so many worlds can tell "
            f"(99.9 %); lowest share {_percent(min(t[3].share for t in own))}."
        ),
        *(f"  - below: {_setting(t)}" for t in short),
        (
            f"- Tests of two equally good classifiers: {len(tests)} settings, "
            f"{sum(t[3].n for t in tests):,} worlds; {len(tests) - len(loud)} keep their error rate."
        ),
        *(f"  - above {_percent(nominal[t[2]])}: {_setting(t)}" for t in loud),
    ]
    if choices:
        out.append(
            f"- Choice: {len(choices)} choices of 44 candidates; regret against the best in "
            f"hindsight {_points(np.mean([r['honest'] for r in choices]))} points on average "
            f"(worst {_points(max(r['honest'] for r in choices))}), where always taking the usual "
            f"layer costs {_points(np.mean([r['usual'] for r in choices]))}."
        )
    return out


def _setting(found: tuple[str, str, str, Tally]) -> str:
    data, n, row, tally = found
    return f"{row}, {n} test images of {data}: {_share(tally)}"


def _coverage(found: Found) -> list[str]:
    sets = {(name, n): None for name, n, _, _ in tallies(found)}
    rows = list(dict.fromkeys(row for _, _, row, _ in tallies(found)))
    cells = {(name, n, row): t for name, n, row, t in tallies(found)}
    out = [
        "### Do 95 % intervals hold the truth in 95 % of worlds?",
        "",
        (
            "In each world a linear SVM is fitted on a few real images of each class; its truth is its "
            "accuracy on all others, and a test draws from those. The share of worlds whose interval "
            "holds the truth, with the exact binomial 95 % interval of that share:"
        ),
        "",
        *_head(["interval", *(f"{name}, {n}" for name, n in sets)]),
    ]
    for row in rows:
        out.append(_row([row, *(_share(cells.get((*s, row))) for s in sets)]))
    what = {(s, n): w for s, sizes in found["coverage"].items() for n, w in sizes.items()}
    out += [
        _row(["*exact, for accuracy*", *(_percent(what[s]["expected"]) for s in sets)]),
        _row(["*true accuracies*", *(_two(what[s]) for s in sets)]),
        "",
        (
            "- *exact, for accuracy*: what the binomial distribution says of Wilson's interval at these "
            "truths, summed without drawing: the simulation agrees with it."
        ),
        (
            "- *stratified test*: of each class its share, as `fit` splits. The classes' shares no longer "
            "vary, so the interval is a little too wide, on the safe side."
        ),
        (
            "- *plain Wald*: value and 1.96 standard errors to both sides, which is what "
            "`paired_difference` gave before; with few disagreements it is too narrow, so the interval "
            "is now that of Bonett and Price (2012)."
        ),
        (
            "- *every image twice*: no interval for independent images holds where the test images are "
            "copies of each other. Headstart finds copies, names them in the report, and keeps them on "
            "one side of a split, but its intervals count each as an image of its own."
        ),
    ]
    return out


def _null(found: Found, nominal: Mapping[str, float]) -> list[str]:
    cells = {(name, n, row): t for name, n, row, t in rates(found)}
    sets = list(dict.fromkeys((name, n) for name, n, _ in cells))
    out = [
        "### Are two equally good classifiers told apart too often?",
        "",
        (
            "The same classifiers on real images; for each image a coin decides which of the two plays "
            "which part, so that both are equally good. The share of worlds in which they are told apart:"
        ),
        "",
        *_head(["rule", "promised", *(f"{name}, {n}" for name, n in sets)]),
    ]
    for row, most in nominal.items():
        shares = (_share(cells.get((*s, row))) for s in sets)
        out.append(_row([row, f"at most {_percent(most)}", *shares]))
    return out


def _regret(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    out = [
        "### What the choice costs against the best in hindsight",
        "",
        ("Ten splits of each set; on each, `fit`'s 44 candidates (every layer at 160, 224 and 320 px, "
        "some joined) are cross-validated on the training images, one is chosen, and all are judged "
        "on the test images. *Regret*: accuracy of the best less that of the choice, in points, "
        "where the best is picked on one half of the test images and judged on the other (mean of "
        "200 halves), mean over the splits with the standard error of that mean. *Plain*: the best "
        "picked and judged on the same images, which is never negative and partly luck. *The cheapest "
        "tie*: however far behind it is, which was the rule before; the choice is the cheapest "
        "that is at most one point behind. *Computation*: multiply-accumulates as a share of those "
        "of the most accurate in cross-validation."),
        "",
        *_head(
            ["set", "train / test", "accuracy", "regret", "plain", "always the most accurate in CV",
             "always the cheapest tie", "always the usual layer", "computation: choice, cheapest tie"]
        ),
    ]  # fmt: skip
    groups = [
        (name, [r for r in rows if r["n_train"] == n])
        for name, rows in found.items()
        for n in dict.fromkeys(r["n_train"] for r in rows)
    ]
    for name, rows in groups:
        first = rows[0]
        out.append(
            _row(
                [
                    name,
                    f"{first['n_train']:,} / {first['n_test']:,}",
                    _percent(float(np.mean([r["accuracy"] for r in rows]))),
                    *(_mean(rows, key) for key in REGRETS),
                    (
                        f"{np.mean([r['macs'] for r in rows]):.2f}, "
                        f"{np.mean([r['macs_any_tie'] for r in rows]):.2f}"
                    ),
                ]
            )
        )
    told = "chosen / best in hindsight (plain regret in points); *joined*: the last four layers"
    out += ["", f"Split by split: {told}", ""]
    for name, rows in groups:
        told = "; ".join(
            f"{_short(r['chosen'])} / {_short(r['best'])} ({_points(r['plain'])})" for r in rows
        )
        out.append(f"- {name}, {rows[0]['n_train']:,}: {told}")
    return out


def _short(blocks: str) -> str:
    """``Layers a, b and c joined at 224 px`` -> ``joined at 224 px``: the last four are all that is."""
    return re.sub(r"^Layers .* joined", "joined", blocks).removeprefix("Layer ")


def _runs(found: Found) -> list[str]:
    out = ["### Whole runs", ""]
    for what in found["held-out labels"].values():
        same = (
            "no byte"
            if not what["changed"]
            else f"CHANGED: {', '.join(what['changed'])}; else nothing"
        )
        out.append(
            f"- {what['source']}: permuting the test labels changed {same} of the "
            f"{len(what['files'])} files under `model/`, and the test accuracy from "
            f"{_percent(what['accuracy'])} to {_percent(what['permuted'])}."
        )
    for what in found["same seed"].values():
        n = len(what["differ"])
        told = f" ({', '.join(what['differ'][:5])})" if n else ""
        files = f"{len(what['changed'])} files" if what["changed"] else "no byte"
        out.append(
            f"- {what['source']}: two fits with one seed, each in a process and with a cache of its "
            f"own: {n} of {what['n_figures']:,} figures of `metrics.json` differ{told}, "
            f"and {files} of the model."
        )
    return out


def _share(tally: Tally | None) -> str:
    if tally is None:
        return ""
    low, high = tally.ends()
    return f"{100 * tally.share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    values = np.array([r[key] for r in rows])
    return f"{_points(values.mean())} ± {100 * values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def _two(what: Mapping[str, float]) -> str:
    return f"{100 * what['accuracy']:.1f} and {100 * what['other']:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

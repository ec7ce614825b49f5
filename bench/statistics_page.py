"""What bench/statistics_trust.py found, in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.trust_worlds import LEVEL, Tally

# Rows that show a known limit, which Headstart's own intervals are not judged by.
SHOWN_ONLY = (
    "paired difference, plain Wald",
    "accuracy, every image twice",
    "the same of the plain Wald interval",
    # No test: a bound of one standard error, which few disagreements reach more often than 32 %.
    "beyond one standard error, so no tie (`choose`)",
)
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
    return [
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


def _two(what: Mapping[str, float]) -> str:
    return f"{100 * what['accuracy']:.1f} and {100 * what['other']:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

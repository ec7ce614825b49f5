"""The table of ratios, for the terminal and for ``docs/performance.md``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import ROOT, Row
from bench.results import Outcome

if TYPE_CHECKING:
    from rich.table import Table

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

SKELETON = f"""# Performance

How fast Headstart is, as ratios to what people do today, both sides measured in turn on one machine. `make bench`
measures all of it and writes the part between the two markers of this page; the rest is written by hand and stays.

## How to read it

- A ratio is the peer's seconds over ours: above 1, Headstart is faster. Rows that say *over* are the other way round:
  they should stay small, and their target is an upper bound.
- Sides are measured in turn, A B A B. A ratio is that of neighbouring measurements; the table has the median of five
  (fewer where a row says so) and the range.
- Both sides answer the same question, and the column *same answer* says how that was checked. A row whose check fails
  counts for nothing, however fast it is.
- Ratios less than about 10 % apart are ties on a shared machine.

One bench alone: `.venv/bin/python bench/run.py --only extraction`, or a part of it: `--only extraction:vgg16`. Its rows
replace those of an earlier run on the same machine with the same versions. `--resume` leaves out what has been measured
already; `--quick` tries everything on tiny inputs, and writes to `bench/results/quick/` instead of here.

## Results

{BEGIN}

Nothing has been measured yet: run `make bench`.

{END}

## Targets that are missed, and why

Nothing is written here yet.

## On a GPU

Not measured yet.
"""


def replace_generated(text: str, generated: str) -> str:
    """`text` with what stands between the markers replaced; every other character stays.

    Raises
    ------
    ValueError
        The markers are not there exactly once each, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the page needs {BEGIN} and then {END}, once each")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n\n{generated.strip()}\n\n{END}{tail}"


def write_page(
    path: Path, outcomes: Sequence[Outcome], here: Mapping[str, Any], command: str
) -> None:
    """Bring the generated part of the page up to date; make the page where there is none."""
    text = path.read_text(encoding="utf-8") if path.exists() else SKELETON
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(replace_generated(text, markdown(outcomes, here, command)), encoding="utf-8")


def markdown(outcomes: Sequence[Outcome], here: Mapping[str, Any], command: str) -> str:
    """The generated part: machine, command, targets missed, and a table for each bench."""
    minutes = sum(o.seconds for o in outcomes) / 60
    packages = ", ".join(f"{name} {v}" for name, v in here["packages"].items())
    memory = "?" if here["memory_gib"] is None else f"{here['memory_gib']:.0f} GiB"
    lines = [
        f"Written by `{command}`; {minutes:.0f} minutes of measuring.",
        "",
        f"- **Machine**: {here['cpu']}, {here['cores']} cores, {memory} memory, {here['system']}",
        f"- **CPU flags that matter**: {', '.join(here['flags']) or 'none of those looked for'}",
        f"- **Versions**: Python {here['python']}, {packages}",
        f"- **Targets**: {targets_text(outcomes)}",
    ]
    for _, parts in itertools.groupby(outcomes, key=lambda outcome: outcome.bench):
        lines += ["", *_section(list(parts))]
    return "\n".join(lines)


def targets_text(outcomes: Sequence[Outcome]) -> str:
    """How many targets are met, and which are missed."""
    aimed = [row for outcome in outcomes for row in outcome.rows if row.target is not None]
    missed = [row for row in aimed if not row.is_met]
    text = f"{len(aimed) - len(missed)} of {len(aimed)} met"
    if not missed:
        return text
    return f"{text}. Missed: " + "; ".join(
        f"{row.name} ({figure(row, row.ratio)}, target {target_text(row)})" for row in missed
    )


def _section(parts: Sequence[Outcome]) -> list[str]:
    """Heading, peer and table of one bench, all its parts together."""
    lines = [f"### {parts[0].title}", "", parts[0].peer, ""]
    rows = [row for outcome in parts for row in outcome.rows]
    if rows:
        lines += [
            "| what | target | median | range | ours | peer | met | same answer |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += ["| " + " | ".join(_cell(cell) for cell in cells(row)) + " |" for row in rows]
        lines.append("")
    lines += [f"- {_cell(row.name)}: {_cell(row.note)}" for row in rows if row.note]
    return lines + [_circumstances(outcome) for outcome in parts]


def _circumstances(outcome: Outcome) -> str:
    """When a unit was measured, or why not."""
    if outcome.skipped:
        return f"- {outcome.unit}: not measured here: {_cell(outcome.skipped)}"
    if outcome.failed:
        return f"- {outcome.unit} **failed**: {_cell(outcome.failed)}"
    load = "" if outcome.load is None else f", load average before it {outcome.load:.1f}"
    return f"- {outcome.unit}: measured {outcome.date} in {outcome.seconds:.0f} s{load}"


def cells(row: Row) -> tuple[str, ...]:
    """A row in words: what, target, median, range, ours, peer, met, same answer."""
    met = {True: "yes", False: "**no**", None: ""}[row.is_met]
    spread = ""
    if row.low is not None and row.high is not None and row.low != row.high:
        spread = f"{figure(row, row.low)} to {figure(row, row.high)}"
    check = row.check if row.ok else f"**DIFFERS**: {row.check}"
    sides = (_seconds(row.ours_s), _seconds(row.peer_s))
    return (row.name, target_text(row), figure(row, row.ratio), spread, *sides, met, check)


def target_text(row: Row) -> str:
    """``"at least 5x"``, ``"at most 0.5 s"``, or nothing."""
    if row.target is None:
        return ""
    bound = "at least" if row.better == "higher" else "at most"
    return f"{bound} {row.target:g}{_unit(row)}"


def figure(row: Row, value: float) -> str:
    """A value in the row's unit, with three digits that count."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{_unit(row)}"


def _unit(row: Row) -> str:
    return "x" if row.unit == "x" else " s"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} s" if value >= 10 else f"{value:.3g} s"


def _cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(outcomes: Sequence[Outcome]) -> Table:
    """All rows for the terminal."""
    from rich.table import Table

    shown = Table(title="Headstart against its peers: median ratios", show_lines=False)
    for heading in ("bench", "target", "median", "range", "ours", "peer", "met", "same answer"):
        right = heading in ("target", "median", "ours", "peer")
        shown.add_column(heading, justify="right" if right else "left")
    for outcome in outcomes:
        for row in outcome.rows:
            shown.add_row(*(_plain(cell) for cell in cells(row)), style=_style(row))
        reason = outcome.failed or outcome.skipped
        if reason:
            word = "failed" if outcome.failed else "skipped"
            style = "red" if outcome.failed else "dim"
            shown.add_row(outcome.unit, word, "", "", "", "", "", _plain(reason), style=style)
        shown.add_section()
    return shown


def _plain(cell: str) -> str:
    """Without Markdown's stars, and with nothing that Rich would take for markup."""
    return cell.replace("**", "").replace("[", "\\[")


def _style(row: Row) -> str:
    if not row.ok:
        return "red"
    return {True: "green", False: "yellow", None: ""}[row.is_met]

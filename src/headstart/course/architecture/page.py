"""The table of an architecture as text, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.course.architecture.table import ArchitectureTable, Row
from headstart.errors import one_line
from headstart.runs.report.pages import Section, Table, render_page

HEADER = (
    "layer",
    "type",
    "feature maps",
    "size",
    "kernel",
    "stride",
    "activation",
    "parameters",
    "M MACs",
    "sees, px",
    "kB",
)
_TEXT_COLUMNS = (0, 1, 6)  # aligned left; numbers are aligned right


def cells(row: Row) -> list[str]:
    """A row as texts, one for each of `HEADER`."""
    is_layer = row.kind != "other"
    sees = "all" if row.sees_all else f"{row.receptive_px}" if row.receptive_px else "-"
    return [
        row.name + (f" = {row.tap}" if row.tap not in ("", row.name) else ""),
        row.kind,
        f"{row.n_maps:,}" if is_layer else "-",
        " x ".join(map(str, row.size)) or "-",
        _window(row.kernel, "x"),
        _window(row.stride, ","),
        row.activation or "-",
        f"{row.n_parameters:,}",
        f"{row.macs / 1e6:,.1f}" if row.macs else "0",
        sees if is_layer else "-",
        f"{row.memory_bytes / 1000:{',.0f' if row.memory_bytes >= 9500 else '.3g'}}",
    ]


def sentence(table: ArchitectureTable) -> str:
    """The cost of the whole network."""
    n = sum(1 for r in table.rows if r.n_parameters and r.kind != "other")
    return (
        f"{table.name} at {table.size_px} px: {n} layers with parameters, "
        f"{table.n_parameters:,} parameters, {table.macs:,} multiply-accumulates, "
        f"{table.memory_bytes / 1e6:,.1f} MB of layer outputs an image in float32."
    )


def text(table: ArchitectureTable) -> str:
    """Aligned columns for a terminal."""
    rows = [HEADER, *(cells(row) for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:], "", sentence(table), *_notes(table)])


def markdown(table: ArchitectureTable) -> str:
    """A Markdown table with the sentence above it."""
    rules = ["---" if i in _TEXT_COLUMNS else "---:" for i in range(len(HEADER))]
    rows = [HEADER, rules, *(cells(row) for row in table.rows)]
    lines = ["| " + " | ".join(one_line(c).replace("|", "\\|") for c in row) + " |" for row in rows]
    head = [f"# {one_line(table.name)}", "", sentence(table), ""]
    return "\n".join([*head, *lines, "", *_notes(table)])


def html(table: ArchitectureTable) -> str:
    """A self-contained page."""
    section = Section(
        heading="Layer by layer",
        text=_notes(table),
        table=Table(header=HEADER, rows=[cells(row) for row in table.rows]),
    )
    return render_page("", f"The layers of {table.name}", sentence(table), [section])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if i in _TEXT_COLUMNS else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _window(sides: Sequence[int], between: str) -> str:
    """``3x3``; one number for equal strides."""
    if not sides:
        return "-"
    if between == "," and len(set(sides)) == 1:
        return str(sides[0])
    return between.join(map(str, sides))


def _notes(table: ArchitectureTable) -> list[str]:
    notes = [
        (
            "The parameters of a normalisation are counted with the layer before it. M MACs: million "
            "multiply-accumulates per image, of convolutions and matrix products. Sees: side of the square "
            "of input pixels that one output value can depend on (all: the whole image). kB: the layer's "
            "output for one image in float32."
        )
    ]
    if any(row.activation == "softmax" for row in table.rows):
        notes.append(
            "The softmax turns the last layer's scores into probabilities; the network itself returns "
            "the scores."
        )
    if any(row.kind == "other" for row in table.rows):
        notes.append(
            "Other: parameters outside layers, such as a class token and position embeddings."
        )
    return notes

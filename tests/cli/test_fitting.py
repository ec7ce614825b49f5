"""Tables of the command line at 80 and 40 columns: whatever the width, no cell is cut off."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from headstart.cli.console import console

NAME = "timm:a_network_with_a_name_that_is_long.in1k"
INTERVAL = "93.2 [91.0, 95.1]"
# What does not print is escaped after the layout; names are cleaned before they come into a table.
LETTERS = st.characters(exclude_categories=["C", "Z"], exclude_characters="…") | st.just(" ")


def printed(*tables: Table, width: int) -> str:
    out = console()
    out.width, out.file = width, io.StringIO()
    out.print(*tables)
    text = out.file.getvalue()
    assert max(map(cell_len, text.split("\n"))) <= width
    assert "…" not in text
    return text


@pytest.mark.parametrize("width", [120, 80, 24])
def test_print__brackets_of_a_name_are_no_markup(width: int) -> None:
    names = ("img[a].jpg", "a[/b].jpg", "[unk]", "[red]x")
    table = Table(title="[bold]taps")
    table.add_column("[i]file", overflow="fold")
    table.add_column("class [b]")
    for name in names:
        table.add_row(name, name)
    text = printed(table, width=width)
    for name in names:
        assert text.count(name) == 2
    assert all(part in text for part in ("[bold]taps", "class [b]"))


def wide_table(rows: int = 3) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption="what the columns mean", caption_justify="left")
    table.add_column("network", overflow="fold")
    table.add_column("how")
    for name in ("test accuracy, %", "points", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for i in range(rows):
        table.add_row(NAME, "float32 average", INTERVAL, f"+{i}.5", "2026-11-30")
    return table


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_print__a_caption_wider_than_its_table_has_the_width_of_the_terminal() -> None:
    caption = "Accuracy in %, cross-validated on the training images; bold: the best layer."
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("layer")
    table.add_column("accuracy", justify="right")
    table.add_row("blocks.4", "96.7")
    assert caption in printed(table, width=80).split("\n")
    narrow = [line.rstrip() for line in printed(table, width=40).split("\n")]
    assert "Accuracy in %, cross-validated on the" in narrow


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40, 24])
def test_print__a_table_keeps_every_number_whole(width: int) -> None:
    text = printed(wide_table(), width=width)
    for whole in ("2026-11-30", "+0.5", "+2.5"):
        assert whole in text
    assert INTERVAL in text or width < 40
    assert squeezed("what the columns mean") in squeezed(text)
    if width >= 100:  # a table with a row a line
        assert len([line for line in text.split("\n") if "2026-11-30" in line]) == 3
    if width <= 60:  # rows stacked, each cell after its header
        assert NAME in text or width < 60
        assert squeezed(f"test accuracy, %: {INTERVAL}") in squeezed(text)
        assert squeezed("how: float32 average") in squeezed(text)


def test_print__a_table_that_fits_is_as_it_was() -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer")
    table.add_column("accuracy", justify="right")
    table.add_row("conv1", Text("93.2 *", style="bold"))
    lines = [line.rstrip() for line in printed(table, width=40).strip("\n").split("\n")]
    assert lines[1:] == ["  layer   accuracy", " ──────────────────", "  conv1     93.2 *", ""]


def test_print__tables_of_one_answer_are_all_tables_or_all_lists() -> None:
    def narrow() -> Table:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("layer")
        table.add_column("accuracy", justify="right")
        table.add_row("blocks.4", "96.7")
        return table

    said = printed(wide_table(), narrow(), width=40)
    assert "accuracy: 96.7" in said
    assert "─" not in said
    assert "accuracy: 96.7" not in printed(narrow(), width=40)
    assert "─" in printed(wide_table(), narrow(), width=120)


def test_print__names_stay_whole_before_other_text_is_kept_on_one_line() -> None:
    text = printed(wide_table(1), width=100)
    assert NAME in text
    assert "float32 average" not in text
    assert next(b for a, b in pairwise(text.split("\n")) if "float32" in a).strip() == "average"


@given(
    st.lists(
        st.tuples(
            st.text(LETTERS, max_size=30), st.text(LETTERS, max_size=20), st.integers(0, 10**9)
        ),
        max_size=3,
    ),
    st.integers(12, 90),
)
def test_print__takes_any_text_at_any_width(rows: list[tuple[str, str, int]], width: int) -> None:
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("a", overflow="fold")
    table.add_column("b")
    table.add_column("n", justify="right")
    for name, text, n in rows:
        table.add_row(Text(name), Text(text), f"{n:,}")
    said = printed(table, width=width)
    assert all(squeezed(f"{n:,}") in squeezed(said) for *_, n in rows)

"""``headstart store verify``: all that is kept, read and compared with its digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.store.showing import inventory_here, size, under

if TYPE_CHECKING:
    from headstart.features.verification import Damage


def verify(as_json: options.AsJsonObject = False) -> None:
    """Verify the whole cache and list damaged files.

    Compares every shard with its digest. Exit code 1 if anything is damaged.

    Example:

        headstart store verify
    """
    from headstart.features.verification import verify as read_all

    inventory = inventory_here()
    with progress_bars(quiet=as_json) as progress:
        found = read_all(inventory, progress=progress)
    mends = _mends(found.damaged)
    if as_json:
        damaged = [
            {"path": str(d.path), "reason": d.reason, "can_be_pruned": d.can_go}
            for d in found.damaged
        ]
        facts = {"root": str(inventory.root), "n_files": found.n_files, "n_bytes": found.n_bytes}
        echo_json(facts | {"damaged": damaged, "advice": mends})
    else:
        out = console()
        out.print(f"{found.n_files:,} files read, {size(found.n_bytes)}")
        for damage in found.damaged:
            out.print(f"damaged  {under(inventory.root, damage.path)}: {damage.reason}", soft_wrap=True)  # fmt: skip
        for line in mends or ["all as it should be"]:
            out.print(line, soft_wrap=True)
    if found.damaged:
        raise typer.Exit(1)


def _mends(damaged: Sequence[Damage]) -> list[str]:
    """What to do about damaged files."""
    lines = []
    if any(d.can_go for d in damaged):
        lines.append("headstart store prune --damaged removes them; the next run computes what is missing")  # fmt: skip
    if not all(d.can_go for d in damaged):
        lines.append("what cannot be read may be whole: give yourself the right to read it, or check the disk")  # fmt: skip
    return lines

"""``headstart store prune``: what is not needed goes, by one rule and after a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.store.showing import inventory_here, size, under
from headstart.errors import InputError, OutputError, one_line
from headstart.progress import Progress
from headstart.wording import listed

# More of one folder are reported in one line.
N_NAMED = 12

if TYPE_CHECKING:
    from headstart.cli.console import Shown
    from headstart.features.inventory import Inventory
    from headstart.features.pruning import Removal


def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Files not used for this long: 30d, 12h, 1y.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Least recently used files, until the cache has this size: 5GB."
        ),
    ] = None,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Damaged and half-written files.")
    ] = False,
    not_in: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA", help="Features of images that are not in DATA; repeatable."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Features of this network only: a name or a digest.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.AsJsonObject = False,
) -> None:
    """Remove files from the cache by one rule.

    It lists what would be removed and asks first. Downloaded weights stay.

    Examples:

        headstart store prune --older-than 30d

        headstart store prune --to 5GB --dry-run

        headstart store prune --not-in photos/ --backbone vgg16
    """
    from headstart.features.pruning import remove

    _check_rules(older_than, to, damaged, not_in, backbone)
    if as_json and not (yes or dry_run):
        raise InputError("--json cannot ask: add --yes, or --dry-run to see what would go")
    inventory = inventory_here()
    with progress_bars(quiet=as_json) as progress:
        wanted = _digests(not_in, progress) if not_in else None
        going = _plan(inventory, older_than, to, damaged, wanted, backbone, progress)
    if not as_json:
        _show_plan(inventory, going)
    is_done = bool(going) and not dry_run and (yes or _agreed())
    stayed = []
    if is_done:
        with progress_bars(quiet=as_json) as progress:
            stayed = remove(inventory.root, going, wanted=wanted, progress=progress)
    if as_json:
        facts = [
            {"path": str(g.path), "why": g.why, "n_bytes": g.n_bytes, "n_rows": g.n_rows}
            for g in going
        ]
        failed = [{"path": str(d.path), "reason": d.reason} for d in stayed]
        echo_json({"removed" if is_done else "would_remove": facts, "stayed": failed})
    elif is_done:
        console().print(f"removed {size(sum(g.n_bytes for g in going))}")
    if stayed:
        first = stayed[0]
        raise OutputError(
            f"{len(stayed)} of {len(going)} stayed; {one_line(str(first.path))} {first.reason}"
        )


def _check_rules(
    older_than: str | None, to: str | None, damaged: bool, not_in: Sequence[str] | None,
    backbone: str | None,
) -> None:  # fmt: skip
    given = {
        "--older-than": older_than is not None, "--to": to is not None, "--damaged": damaged,
        "--not-in": bool(not_in),
    }  # fmt: skip
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise InputError(f"{listed(named)} exclude each other: give one rule at a time")
    if damaged and backbone is not None:
        raise InputError("--damaged looks at everything: leave --backbone out")
    if not named and backbone is None:
        raise InputError(
            "prune needs a rule: --older-than 30d, --to 5GB, --damaged, --not-in DATA or "
            "--backbone NAME"
        )


def _plan(
    inventory: Inventory, older_than: str | None, to: str | None, damaged: bool,
    wanted: set[str] | None, backbone: str | None, progress: Progress,
) -> list[Removal]:  # fmt: skip
    from headstart.features import pruning
    from headstart.features.inventory import Features
    from headstart.features.verification import verify as read_all

    if damaged:
        return pruning.damaged_files(read_all(inventory, progress=progress).damaged)
    items = pruning.prunable(inventory, backbone)
    if wanted is not None:
        return pruning.rows_not_in([i for i in items if isinstance(i, Features)], wanted)
    if older_than is not None:
        return pruning.unused_since(items, pruning.parse_age(older_than))
    return pruning.down_to(items, pruning.parse_bytes(to) if to is not None else 0)


def _digests(data: Sequence[str], progress: Shown) -> set[str]:
    """Of every image of the data, those that could not be read left out."""
    return {
        record.digest
        for name in data
        for record in options.index_data(name, classes_from="outer", progress=progress).records
    }


def _show_plan(inventory: Inventory, going: Sequence[Removal]) -> None:
    """One line each, but for the many small files of one folder, which share one."""
    out = console()
    by_folder: dict[Path, list[Removal]] = {}
    for item in going:
        by_folder.setdefault(item.path.parent, []).append(item)
    for folder, items in by_folder.items():
        if len(items) > N_NAMED:
            total = size(sum(g.n_bytes for g in items))
            where = f"{under(inventory.root, folder)}/: {len(items):,} items"
            out.print(f"{total:>9}  {where}", soft_wrap=True)
            continue
        for item in items:
            rows = "" if item.n_rows is None else f"{item.n_rows:,} rows of "
            line = f"{size(item.n_bytes):>9}  {rows}{under(inventory.root, item.path)}: {item.why}"
            out.print(line, soft_wrap=True)
    total = size(sum(g.n_bytes for g in going))
    out.print(f"{total:>9}  in all" if going else "nothing to remove")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InputError("there is nobody to ask: add --yes, or --dry-run to see what would go")
    return typer.confirm("Remove it?")

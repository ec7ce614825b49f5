"""``headstart store compact``: many small shards into few."""

from __future__ import annotations

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.cli.store.showing import inventory_here


def compact(as_json: options.AsJsonObject = False) -> None:
    """Merge many small shards into a few; features stay the same.

    Example:

        headstart store compact
    """
    from headstart.features.compaction import compact as merge
    from headstart.features.pruning import is_inside

    inventory = inventory_here()
    keys = [k for k in inventory.features if is_inside(inventory.root, k.path)]
    done = []
    with progress_bars(quiet=as_json) as progress:
        for number, key in enumerate(keys, start=1):
            done.append(merge(key.path))
            progress("merge shards", number, len(keys))
    before, after = sum(d.n_before for d in done), sum(d.n_after for d in done)
    n_damaged = sum(d.n_damaged for d in done)
    if as_json:
        facts = {"n_before": before, "n_after": after, "n_damaged": n_damaged}
        echo_json({"root": str(inventory.root), **facts})
        return
    out = console()
    out.print(f"{before:,} shards are {after:,} now" if after < before else f"nothing to merge: {before:,} {'shard' if before == 1 else 'shards'}")  # fmt: skip
    if n_damaged:
        out.print(f"{n_damaged} damaged left as they are: headstart store verify")

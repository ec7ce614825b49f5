"""``headstart store list``: features by network and resolution, and all else by kind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headstart.cli import options
from headstart.cli.console import console, echo_json
from headstart.cli.store.showing import inventory_here, size, under
from headstart.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from headstart.features.inventory import Features, Inventory


def list_(as_json: options.AsJsonObject = False) -> None:
    """List what the cache holds, its size, and when it was last used.

    Features are listed by network, resolution, precision and pooling; everything else by kind.

    Example:

        headstart store list
    """
    inventory = inventory_here()
    if as_json:
        echo_json(_as_json(inventory))
        return
    out = console()
    out.print(f"{one_line(str(inventory.root))}: {size(inventory.n_bytes)}", soft_wrap=True)
    tables = [_feature_table(inventory.features)] if inventory.features else []
    if kinds := _by_kind(inventory):
        tables.append(_kind_table(kinds))
    if tables:
        out.print(*tables)
    for line in _left_alone(inventory):
        out.print(line, soft_wrap=True)


def _feature_table(keys: Sequence[Features]) -> Table:
    """One row a key: what, rows, size, last use."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("network", overflow="fold")
    table.add_column("px", justify="right")
    table.add_column("how")
    for name in ("rows", "size", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    weights = {(k.arch, k.key.get("weights")) for k in keys}
    for key in keys:
        facts = {name: one_line(str(value), limit=40) for name, value in key.key.items()}
        how = " ".join(facts[n] for n in ("precision", "pooling", "view") if n in facts)
        name = one_line(key.arch, limit=60)
        if not facts or sum(arch == key.arch for arch, _ in weights) > 1:
            name += f" {facts.get('weights', key.path.name)[:8]}"
        bad = f"\n{key.n_damaged} damaged" if key.n_damaged else ""
        table.add_row(
            name, f"{key.size_px or ''}", how, f"{key.n_rows:,}{bad}",
            size(key.n_bytes), _when(key.last_used),
        )  # fmt: skip
    return table


def _kind_table(kinds: Sequence[tuple[str, int, int, float]]) -> Table:
    """One row a kind of what is not features: items, size, last use."""
    from rich import box
    from rich.table import Table

    from headstart.features.inventory import KINDS

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("folder")
    table.add_column("what it holds")
    for name in ("files", "size", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, n_items, n_bytes, last_used in kinds:
        table.add_row(
            f"{kind}/", KINDS[kind].words, f"{n_items:,}", size(n_bytes), _when(last_used)
        )
    return table


def _by_kind(inventory: Inventory) -> list[tuple[str, int, int, float]]:
    """Kind, items, bytes, last use of all but features, the largest first."""
    found: dict[str, list[Any]] = {}
    for item in inventory.items:
        if item.kind != "features":
            found.setdefault(item.kind, []).append(item)
    rows = [
        (kind, len(items), sum(i.n_bytes for i in items), max(i.last_used for i in items))
        for kind, items in found.items()
    ]
    return sorted(rows, key=lambda r: (-r[2], r[0]))


def _left_alone(inventory: Inventory) -> Iterator[str]:
    for paths, why in ((inventory.foreign, "not Headstart's"), (inventory.links, "links")):
        if paths:
            names = ", ".join(under(inventory.root, p) for p in paths[:5])
            more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
            yield f"left alone, {why}: {names}{more}"


def _as_json(inventory: Inventory) -> dict[str, Any]:
    keys = [
        {
            "path": str(k.path), "key": k.key, "arch": k.arch, "size_px": k.size_px,
            "n_rows": k.n_rows, "n_shards": k.n_shards, "n_damaged": k.n_damaged,
            "n_bytes": k.n_bytes, "last_used": k.last_used,
        }
        for k in inventory.features
    ]  # fmt: skip
    kinds = [
        {"kind": kind, "n_items": n, "n_bytes": n_bytes, "last_used": last_used}
        for kind, n, n_bytes, last_used in _by_kind(inventory)
    ]
    return {
        "root": str(inventory.root), "n_bytes": inventory.n_bytes, "features": keys, "other": kinds,
        "foreign": [str(p) for p in inventory.foreign], "links": [str(p) for p in inventory.links],
    }  # fmt: skip


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))

"""What the verbs of `headstart store` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import one_line

if TYPE_CHECKING:
    from headstart.features.inventory import Inventory


def size(n_bytes: float) -> str:
    """``1234567`` as ``1.2 MB``."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:,.1f} {name}"
    return f"{n_bytes:.0f} B"


def inventory_here() -> Inventory:
    from headstart.errors import StoreError
    from headstart.features.inventory import take_inventory
    from headstart.home import cache_place

    root = cache_place()
    try:
        return take_inventory(root)
    except OSError as error:
        raise StoreError(
            f"the cache {one_line(str(root))} cannot be read ({error.strerror or error}): "
            "set HEADSTART_CACHE to a folder that can"
        ) from error


def under(root: Path, path: Path) -> str:
    return one_line(str(path.relative_to(root)) if path.is_relative_to(root) else str(path))

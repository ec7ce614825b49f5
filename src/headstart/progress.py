"""How library code tells a face that work advances, without printing anything itself."""

from __future__ import annotations

import html
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

from headstart.wording import counted

# Seconds between two drawings of a bar in a notebook.
DRAW_EVERY_S = 0.2
# What stages count; one that begins like another stands before it.
COUNTED = {
    **dict.fromkeys(("cross-validate", "screen", "refit"), "candidate"),
    **dict.fromkeys(("train networks", "compare", "learning curve", "add blocks"), "training"),
    **dict.fromkeys(("train", "fine-tune", "range test", "search", "adapt", "export"), "step"),
    **dict.fromkeys(
        ("read images", "decode images", "encode images", "decode", "corrupt images"), "image"
    ),
    **dict.fromkeys(("frozen part", "predict", "sharpness", "thumbnails", "distance"), "image"),
    **dict.fromkeys(("check the file", "measure int8", "read ranges"), "image"),
    **dict.fromkeys(("dense SIFT", "tiny images", "views"), "image"),
    **dict.fromkeys(("copy", "remove", "prune", "verify", "unpack", "extract frames"), "file"),
    "encode texts": "text",
    "extract features": "crop",
    "extract shards": "shard",
    "backbones": "network",
    "score": "score",
    "download": "byte",
}


class Progress(Protocol):
    """Called as work advances; the command line draws a bar with rate and ETA from it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` items of ``stage`` (for example ``"read images"``) are finished."""


def silent(stage: str, done: int, total: int) -> None:
    """Show nothing: the default within the library."""


def share_done(stage: str, done: int, total: int) -> str:
    """``3 of 44 candidates``, ``44 candidates``: what is counted, and how much is done; "" of a single step."""
    if total <= 1:
        return ""
    named = (
        name for name in COUNTED if stage == name or stage.startswith((f"{name} ", f"{name},"))
    )
    unit = COUNTED.get(next(named, ""), "")
    all_of_them = counted(total, unit) if unit else f"{total:,}"
    return all_of_them if done >= total else f"{done:,} of {all_of_them}"


def in_notebooks(stage: str, done: int, total: int) -> None:
    """Show a bar in a notebook and nothing elsewhere: the default of public functions."""
    if not is_notebook():
        return
    bar = _bars.get(stage)
    if bar is None:
        from IPython.display import display

        handle = display({"text/html": bar_html(stage, done, total, 0)}, raw=True, display_id=True)
        _bars[stage] = bar = _Bar(handle=handle, started=time.monotonic())
    now = time.monotonic()
    if done >= total:
        del _bars[stage]
    elif now - bar.drawn < DRAW_EVERY_S:
        return
    bar.drawn = now
    bar.handle.update({"text/html": bar_html(stage, done, total, now - bar.started)}, raw=True)


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def bar_html(stage: str, done: int, total: int, seconds: float) -> str:
    """A bar with count and time left, as HTML."""
    left = f", {seconds * (total - done) / done:.0f} s left" if 0 < done < total else ""
    said = ": ".join(filter(None, (html.escape(stage), share_done(stage, done, total)))) + left
    return f'<label>{said} <progress value="{done}" max="{max(total, 1)}"></progress></label>'


@dataclass
class _Bar:
    handle: Any
    started: float
    drawn: float = 0.0


_bars: dict[str, _Bar] = {}

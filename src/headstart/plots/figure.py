"""A figure outside a page: with a style of its own, as a file or in a notebook."""

from __future__ import annotations

import re

from headstart.plots.colour import stylesheet

_GROUND = (
    "background:var(--paper);font-family:system-ui,-apple-system,'Segoe UI',Roboto,"
    "'Liberation Sans',sans-serif"
)


def standalone(figure: str) -> str:
    """A figure with its own style, letters and ground, for where no page gives them."""
    style = f"<style>{stylesheet()} svg.fig{{{_GROUND}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda found: found[1] + style, figure, count=1)


class Figure(str):
    """An SVG figure; a notebook shows it, and ``Path("figure.svg").write_text(figure)`` keeps it."""

    def __new__(cls, svg: str) -> Figure:
        """The figure of a page with its own style."""
        return super().__new__(cls, standalone(svg))

    def _repr_html_(self) -> str:
        return str(self)

"""``report.html``: what a run found, in one self-contained page."""

from __future__ import annotations

from headstart.runs.report.page import render, write_report

__all__ = ["render", "write_report"]

"""Metadata that depend on where the package is built: the README with absolute addresses, and links.

PyPI shows the README without the files beside it. Where the environment names the repository, as GitHub's
workflows do (``GITHUB_REPOSITORY``, and ``GITHUB_REF_NAME`` of a tag), its pictures and links lead there; elsewhere
the README stays as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # for tests, which need the functions only
    MetadataHookInterface = object  # type: ignore[assignment,misc]

_LINK = re.compile(r"(\]\(|\bsrc=\"|\bsrcset=\")(?!https?:|#|mailto:)([^)\"]+)")


class MetadataHook(MetadataHookInterface):  # type: ignore[misc]
    """Gives `readme` and `urls` to hatchling."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields."""
        repository, ref = where_published()
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, repository, ref),
        }
        metadata["urls"] = urls(repository, ref)


def where_published() -> tuple[str, str]:
    """``owner/name`` of the repository, "" where it is not known, and the tag or main."""
    is_tag = os.environ.get("GITHUB_REF_TYPE") == "tag"
    ref = os.environ.get("GITHUB_REF_NAME", "") if is_tag else ""
    return os.environ.get("GITHUB_REPOSITORY", ""), ref or "main"


def with_absolute_links(text: str, repository: str, ref: str) -> str:
    """The README with pictures as raw files, pages at GitHub, and notebooks in Colab."""
    if not repository:
        return text

    def absolute(match: re.Match[str]) -> str:
        start, place = match.groups()
        if start != "](":
            return f"{start}https://raw.githubusercontent.com/{repository}/{ref}/{place}"
        if place.endswith(".ipynb"):
            return f"{start}{colab(repository, ref, place)}"
        return f"{start}https://github.com/{repository}/blob/{ref}/{place}"

    return _LINK.sub(absolute, text)


def colab(repository: str, ref: str, notebook: str) -> str:
    """Where Google Colab opens a notebook of a public repository."""
    return f"https://colab.research.google.com/github/{repository}/blob/{ref}/{notebook}"


def urls(repository: str, ref: str) -> dict[str, str]:
    """What PyPI lists beside the project."""
    if not repository:
        return {}
    home = f"https://github.com/{repository}"
    return {
        "Repository": home,
        "Documentation": f"{home}/blob/{ref}/docs/index.md",
        "Changelog": f"{home}/blob/{ref}/CHANGELOG.md",
        "Tour (Colab)": colab(repository, ref, "examples/tour.ipynb"),
    }

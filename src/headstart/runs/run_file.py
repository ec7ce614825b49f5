"""What ``run.json`` holds, as types: every setting, version and digest that decided the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headstart.runs.folder import read_json
from headstart.runs.settings import FitSettings, TextSettings
from headstart.sources.saved import SavedBackbone

RUN_FILE = "run.json"


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The examples of a run."""

    path: str  # as given
    digest: str  # over name, label, split and digest of every example


class UsedPrecision(msgspec.Struct, frozen=True, kw_only=True):
    """The arithmetic of the network."""

    chosen: str
    reason: str


class FeaturesRead(msgspec.Struct, frozen=True, kw_only=True):
    """How the features of candidates were read."""

    read: str  # {"whole", "in blocks"}; the latter if any candidate was too large for the memory
    in_blocks: dict[str, str] = {}  # for each such candidate, why


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run comes from."""

    schema: int
    has_sums: bool = False  # whether the run has a ``SHA256SUMS``
    headstart: str = ""  # version of the package
    created: str = ""  # time in UTC
    command: str = ""  # the command line that repeats it
    seed: int = 0  # of the split and the folds
    training: dict[str, Any] | None = None  # settings of the fine-tuning
    backbone: SavedBackbone  # of several, that of the choice
    backbones: tuple[SavedBackbone, ...] = ()  # of a fit with several, all in the order given
    data: Data
    versions: dict[str, str] = {}  # of Python and the packages that decide figures
    device: str = ""  # the engine that ran the network
    precision: UsedPrecision | None = None
    features: FeaturesRead | None = None  # of runs on images
    machine: str = ""  # system and processor


class ImageRunFile(RunFile, frozen=True, kw_only=True):
    """Where a run on images comes from."""

    settings: FitSettings  # as asked for, defaults included; `precision` is the one that was used


class TextRunFile(RunFile, frozen=True, kw_only=True):
    """Where a run on texts comes from."""

    settings: TextSettings  # as asked for, defaults included


class _Kind(msgspec.Struct):
    backbone: SavedBackbone


def read_run_file(folder: Path) -> ImageRunFile | TextRunFile:
    """Read ``run.json``; errors as of :func:`headstart.runs.folder.read_json`."""
    if read_json(folder, RUN_FILE, _Kind).backbone.is_text:
        return read_json(folder, RUN_FILE, TextRunFile, strict=False)
    return read_json(folder, RUN_FILE, ImageRunFile, strict=False)

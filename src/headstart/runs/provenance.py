"""What ``run.json`` tells: every setting, version and digest that decided the figures."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar

import headstart
from headstart.runs.folder import SCHEMA
from headstart.runs.run_file import Data, RunFile, UsedPrecision
from headstart.runs.settings import Settings
from headstart.sources.saved import SavedBackbone

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data.records import Examples
    from headstart.runs.run import Run
    from headstart.runs.training_plan import Asked

R = TypeVar("R", bound=RunFile)
# Of `headstart finetune`: what it trains with where it is not told, and what has an option.
USUAL_TRAINING: dict[str, Any] = {"epochs": 6}
TRAINING_OPTIONS = frozenset(
    {"tap", "epochs", "lr", "layer_decay", "optimizer", "batch_size", "bn", "augment"}
)
# Where the option of `headstart fit` is not the name of the setting.
_FLAGS = {
    "budget_s": "--budget",
    "n_folds": "--folds",
    "Cs": "--C",
    "group_column": "--group",
    "n_workers": "--workers",
}
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "openvino")


def provenance(
    kind: Callable[..., R],
    settings: Settings,
    index: Examples[Any],
    backbone: SavedBackbone,
    *,
    engine: str,
    precision: UsedPrecision,
    training: Mapping[str, Any] | None = None,
    asked: Asked | None = None,
    **more: Any,
) -> R:
    """``run.json``.

    `kind`: the class of it. `training`: settings of the fine-tuning, if any. `more`: further fields.
    """
    return kind(
        schema=SCHEMA,
        has_sums=True,
        headstart=headstart.__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command(settings) if asked is None else training_command(settings, asked),
        seed=settings.seed,
        settings=settings,
        training=None if training is None else dict(training),
        backbone=backbone,
        data=Data(path=settings.data, digest=data_digest(index)),
        versions={"python": platform.python_version(), **package_versions()},
        device=engine,
        precision=precision,
        machine=f"{platform.system()} {platform.machine()}",
        **more,
    )


def describe_backbone(backbone: Backbone) -> SavedBackbone:
    """What ``run.json`` keeps of a network."""
    return SavedBackbone(
        name=backbone.name,
        arch=backbone.arch,
        source=backbone.source,
        licence=backbone.licence,
        digest=backbone.digest,
        n_parameters=backbone.n_parameters,
        preprocessing=backbone.preprocessing,
    )


def networks_of(run: Run) -> list[SavedBackbone]:
    """Every pretrained network that a run's model needs, or began with."""
    made, model = run.provenance, run.model
    known = {net.digest: net for net in (made.backbone, *made.backbones)}
    parts = [model] if model.partner is None else [model, model.partner]
    needed = [net.digest for part in parts for net in (part.backbone, *part.beside)]
    found = {net.digest: net for net in (known.get(d, made.backbone) for d in needed)}
    return list(found.values())


def data_digest(index: Examples[Any]) -> str:
    """SHA-256 over name, label, split and digest of every example: the data that a run saw."""
    lines = (f"{r.name}\0{r.label}\0{r.split}\0{r.digest}\n" for r in index.records)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def command(settings: Settings) -> str:
    """The command line that repeats the fit."""
    return _line("fit", settings.data, _options(settings))


def _line(verb: str, data: str, options: Sequence[str]) -> str:
    named = [*options, "--", data] if data.startswith("-") else [data, *options]
    return shlex.join(["headstart", verb, *named])


def _options(settings: Settings) -> list[str]:
    """What differs from the defaults."""
    words: list[str] = []
    defaults = type(settings)(data="")
    for field, value in settings.to_dict().items():
        if field == "data" or value == getattr(defaults, field):
            continue
        if field == "finetune":
            words.append("--no-finetune")
            continue
        flag = _FLAGS.get(field, "--" + field.replace("_", "-"))
        if value is True:
            words.append(flag)
            continue
        text = str(value)
        if field == "budget_s":
            text = f"{_number(value)}s"
        elif field == "ordered" and not isinstance(value, str):
            text = csv_line(value)
        elif isinstance(value, tuple):
            text = ",".join(map(_number, value))
        words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return words


def _number(value: float) -> str:
    """All its digits: ``0.1``, ``10``."""
    return repr(float(value)).removesuffix(".0")


def csv_line(names: Sequence[str]) -> str:
    """Names as one line of CSV."""
    import csv
    import io

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(names)
    return buffer.getvalue()


def training_command(settings: Settings, asked: Asked) -> str:
    """The command line that repeats a training."""
    from headstart.training import TrainSettings

    given = asked.settings
    words = _options(settings)
    if "--precision" in words:  # which is that of the features
        at = words.index("--precision")
        del words[at : at + 2]
    if "--resolutions" in words:
        words[words.index("--resolutions")] = "--size"
    words += ["--regime", given.regime]
    usual = TrainSettings(regime=given.regime, tap=given.tap).to_dict() | USUAL_TRAINING
    for field, value in given.to_dict().items():
        if field in ("regime", "seed", "size_px", "normalise"):
            continue
        if field != "tap" and value == usual[field]:
            continue
        if value is None and field == "tap":
            continue
        if field in TRAINING_OPTIONS:
            words += [f"--{field.replace('_', '-')}", str(value)]
        else:
            words += ["--set", f"{field}={json.dumps(value)}"]
    if not asked.starts_from_svm and given.regime != "scratch":
        words.append("--random-head")
    return _line("finetune", settings.data, words)


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide figures, those that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

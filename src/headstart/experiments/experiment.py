"""What an experiment is: settings, a measurement and a page, found by the name of its folder."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from headstart.errors import InputError, argument, one_line
from headstart.experiments.settings import OrTexts, Settings, options
from headstart.progress import Progress, resolve, silent
from headstart.results import Result

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.data.records import Examples
    from headstart.data.texts import TextIndex, TextRecord
    from headstart.plots import Figure
    from headstart.runs.report.pages import Section
    from headstart.sources.text import TextSource

TRANSFER = ("profile", "layers", "similarity", "scores", "size", "advice", "shift")
"""The experiments of ``headstart transfer``; each is a folder beside this file."""

AFTER = ("clean", "label_next", "map", "slices")
"""Those on a finished run."""

EXPERIMENTS = (*TRANSFER, *AFTER, "backbones", "sift", "pixels")


class DataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken as the classes of a data set, and the notes on it."""

    name: str
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    noun: str = "image"

    @classmethod
    def of(cls, index: Examples[Any], notes: Sequence[str] = ()) -> DataFacts:
        """Of an index, with further notes on how its examples were taken."""
        return cls(
            name=index.root.name,
            classes=index.classes,
            notes=(*index.notes, *notes),
            noun=index.summary().noun,
        )


class ExperimentResult(Result, frozen=True, kw_only=True):
    """Base of the results of experiments: they know their page."""

    settings: Settings

    datasets: tuple[DataFacts, ...]

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(_of(self).page.title(self))

    @property
    def noun(self) -> str:
        """What an example of the first data set is called."""
        return next((data.noun for data in self.datasets), "image")

    def sections(self) -> list[Section]:
        """The page below the sentence: texts, figures and tables, then the data."""
        from headstart.runs.report.pages import facts_section

        about_data = [facts_section(d.name, d.classes, d.notes) for d in self.datasets]
        return [*_of(self).page.sections(self), *about_data]

    def plot(self, number: int = 0) -> Figure:
        """One of the figures of the page, which a notebook shows.

        Raises IndexError where the page has fewer figures.
        """
        from headstart.plots import Figure

        return [Figure(s.figure) for s in self.sections() if s.figure][number]

    def _figure(self) -> str:
        from headstart.plots import Figure

        return next((Figure(s.figure) for s in self.sections() if s.figure), "")


@dataclass(kw_only=True)
class Inputs:
    """What the settings name, read when a measurement asks for it."""

    settings: Any
    # field to Index or Backbone; what a caller has read already; the setting of that name is then
    # only a name
    given: Mapping[str, Any] = field(default_factory=dict)
    cache: Path | None = None  # default: the cache folder of Headstart
    progress: Progress = silent
    on_index: Callable[[Any], None] = lambda _: None  # called with each index that was read
    say: Callable[[str], None] = lambda _: None  # shows a line on what has been done

    @cached_property
    def is_text(self) -> bool:
        """Whether the data are texts; InputError where an option is for the other kind of data."""
        from headstart.data.texts import TextIndex, is_text_table

        s = self.settings
        if "data" in self.given:
            is_text = isinstance(self.given["data"], TextIndex)
        else:
            is_text = is_text_table(s.data, text_column=s.text)
        s.check_kind(s.data, is_text=is_text)
        return is_text

    def text_index(self) -> TextIndex:
        """The texts that the settings name."""
        from headstart.data.texts import index_texts
        from headstart.runs.settings import fields_for

        if "data" in self.given:
            given: TextIndex = self.given["data"]
            return given
        s = self.settings
        found = index_texts(
            s.data,
            text_column=s.text,
            label_column=s.label,
            **fields_for(index_texts, s),
            cache=self.cache,
            progress=self.progress,
        )
        self.on_index(found)
        return found

    def text_source(self, train: Sequence[TextRecord]) -> TextSource:
        """The features of texts, with what is learnt from the training ones without their labels."""
        from headstart.features import cache_folder
        from headstart.sources.text import TextSource
        from headstart.text.encoders import resolve_encoder

        return TextSource(
            train=train,
            embeddings=None,
            encoder=resolve_encoder(self.settings.encoder),
            cache=self.cache or cache_folder(),
            device=self.settings.device,
            progress=self.progress,
        )

    def index(self, name: str = "data", *, split: str | None = None) -> Index:
        """The images that a setting names, split and labelled as the settings say."""
        if name in self.given:
            found: Index = self.given[name]
            return found
        return self.read(getattr(self.settings, name), split=split)

    def read(self, path: str, *, split: str | None = None) -> Index:
        """The images at a path, split and labelled as the settings say.

        Raises InputError where they are texts.
        """
        from headstart.data import index
        from headstart.features import cache_folder
        from headstart.runs.settings import fields_for

        self._require_images(path)
        asked = fields_for(index, self.settings) | {"split": Path(split) if split else None}
        found = index(path, **asked, cache=self.cache or cache_folder(), progress=self.progress)
        self.on_index(found)
        return found

    def _require_images(self, path: str | None) -> None:
        _refuse_texts(self.settings, path)

    def backbone(self) -> Backbone:
        """The network that the settings name."""
        from headstart.backbones import load
        from headstart.runs.cropping import with_crop

        s = self.settings
        self._require_images(getattr(s, "data", None))  # before the weights are read
        net = self.given.get("backbone") or load(s.backbone, weights=s.weights, arch=s.arch)
        return with_crop(net, self._fixed_crop)

    @property
    def _fixed_crop(self) -> str | None:
        """The crop that the settings name; None for ``"auto"``, see `with_best_crop`."""
        crop: str | None = getattr(self.settings, "crop", None)
        return None if crop == "auto" else crop

    def with_best_crop(self, net: Backbone, index: Index) -> tuple[Backbone, tuple[str, ...]]:
        """With the crop ``"auto"``, the network with the one chosen on these images, and a note on it."""
        from headstart.runs.cropping import choose_crop

        s = self.settings
        if s.crop != "auto":
            return net, ()
        sizes = getattr(s, "resolutions", None) or filter(None, [getattr(s, "size_px", None)])
        chosen = choose_crop(
            index,
            net,
            resolutions=list(sizes),
            device=s.device,
            seed=s.seed,
            cache=self.cache,
            progress=self.progress,
        )
        return chosen.backbone, (f"{net.name}: {chosen.note}",)

    def backbones(self) -> list[Backbone]:
        """The networks that the settings name; by default those whose weights are here.

        Raises InputError where a name comes twice, or there is no network.
        """
        from headstart.backbones import catalogue, load
        from headstart.backbones.listed import check_all, named
        from headstart.runs.cropping import with_crop

        crop = self._fixed_crop
        if "backbones" in self.given:
            return [with_crop(net, crop) for net in self.given["backbones"]]
        self._require_images(self.settings.data)
        names = self.settings.backbones
        if names is None:
            names = [entry.name for entry in catalogue() if entry.weights_here]
            if not names:
                raise InputError(
                    f"no backbone's weights are here: name one or more with {argument('backbones')}"
                )
        if not names or not all(names) or len(set(names)) < len(names):
            raise InputError(
                f"{argument('backbones')} takes one or more different names; got "
                f"{', '.join(names)!r}"
            )
        asked = [named(name) for name in names]
        check_all(asked, "backbones")  # before the first is loaded
        nets = (load(name, weights=weights, arch=arch) for name, weights, arch in asked)
        return [with_crop(net, crop) for net in nets]


@dataclass(frozen=True)
class Experiment:
    """One folder: ``settings.py``, ``measure.py`` and ``page.py``."""

    name: str  # of the folder, the verb and the Python function

    @property
    def settings(self) -> type[Settings]:
        """The class of its settings, whose docstring is the help of the verb."""
        kind: type[Settings] = self._part("settings").Settings
        return kind

    @property
    def page(self) -> ModuleType:
        """``title``, ``sentence``, ``detail``, ``sections`` and ``brief`` of a result."""
        return self._part("page")

    def run(self, settings: Settings, inputs: Inputs) -> ExperimentResult:
        """Measure, and put the answer into words."""
        from headstart.features.engines import check_device

        check_device(getattr(settings, "device", None))
        found = self._part("measure").measure(settings, inputs)
        answered: ExperimentResult = msgspec.structs.replace(
            found, sentence=self.page.sentence(found), detail=self.page.detail(found)
        )
        return answered

    def _part(self, name: str) -> ModuleType:
        return import_module(f"headstart.experiments.{self.name}.{name}")


@functools.cache
def function(name: str) -> Callable[..., ExperimentResult]:
    """The experiment as a function whose keyword parameters are its settings.

    Where the settings name data or a network, an `Index` or a `Backbone` may be given as well.
    """
    experiment = Experiment(name)
    arguments = [o.name for o in options(experiment.settings) if o.is_argument]

    def run(*args: Any, **given: Any) -> ExperimentResult:
        if len(args) > len(arguments):
            raise TypeError(f"{name}() takes {len(arguments)} positional arguments: {arguments}")
        more = {k: given.pop(k) for k in ("cache", "progress") if k in given}
        return call(experiment, dict(zip(arguments, args, strict=False)) | given, **more)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = _documentation(experiment)
    run.__signature__ = _signature(experiment)  # type: ignore[attr-defined]
    return run


def call(
    experiment: Experiment,
    given: Mapping[str, Any],
    *,
    cache: Path | None = None,
    progress: Progress | bool = True,
    on_index: Callable[[Any], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> ExperimentResult:
    """Run an experiment with options, in which objects may stand for their names.

    Raises InputError where a name is not one of its settings, or a value is outside its legal set.
    """
    from headstart.data.named import require_there

    shown = resolve(progress)
    names = {name: known for name, value in given.items() if (known := _named(value))}
    read = {name: given[name] for name in names}
    if not issubclass(experiment.settings, OrTexts):
        # Before the settings, which may ask for what else such a command needs.
        for name in ("data", "base", "target"):
            _refuse_texts(experiment.settings, given.get(name))
    settings = experiment.settings.from_options({**given, **names})
    for name in ("data", "base", "target"):
        if isinstance(path := given.get(name), str | os.PathLike):
            require_there(os.fspath(path))
    inputs = Inputs(
        settings=settings, given=read, cache=cache, progress=shown, on_index=on_index, say=say
    )
    return experiment.run(settings, inputs)


def _refuse_texts(settings: Settings | type[Settings], data: object) -> None:
    """Raise InputError where the data are texts."""
    from headstart.data.texts import TextIndex, is_text_table

    if isinstance(data, TextIndex):
        path = str(data.root)
    elif isinstance(data, str | os.PathLike) and is_text_table(os.fspath(data)):
        path = os.fspath(data)
    else:
        return
    raise InputError(
        f"{one_line(path)} is a table of texts, and {settings.why_images}. For texts, use headstart fit, "
        "transfer profile or transfer size"
    )


def _named(value: Any) -> str | tuple[str, ...]:
    """What an `Index`, a `Backbone` or a list of them is called; empty for anything else."""
    if isinstance(value, list | tuple):
        found = tuple(str(_named(item)) for item in value)
        return found if all(found) else ()
    if hasattr(value, "records"):
        return str(value.root)
    return str(value.name) if hasattr(value, "taps") else ""


def _signature(experiment: Experiment) -> inspect.Signature:
    kinds = {True: inspect.Parameter.POSITIONAL_OR_KEYWORD, False: inspect.Parameter.KEYWORD_ONLY}
    parameters = [
        inspect.Parameter(
            o.name,
            kinds[o.is_argument],
            annotation=o.type,
            default=inspect.Parameter.empty if o.default is MISSING else o.default,
        )
        for o in options(experiment.settings)
    ]
    for name, kind, default in (("cache", Path | None, None), ("progress", Progress | bool, True)):
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )
        )
    return inspect.Signature(parameters, return_annotation=ExperimentResult)


def _documentation(experiment: Experiment) -> str:
    """The help of the verb, with the parameters in NumPy form."""
    text = inspect.cleandoc(experiment.settings.__doc__ or "").partition("\nExamples:")[0].rstrip()
    lines = [text, "", "Parameters", "----------"]
    for option in options(experiment.settings):
        shown = inspect.formatannotation(option.type)
        default = "" if option.default is MISSING else f", default {option.default!r}"
        lines += [f"{option.name} : {shown}{default}", f"    {option.help}"]
    return "\n".join(lines)


def _of(result: Result) -> Experiment:
    return Experiment(str(type(result).__struct_config__.tag))


def result_types() -> tuple[type[Result], ...]:
    """The types of all results, for the JSON schema."""
    modules = [import_module(f"headstart.experiments.{name}.result") for name in EXPERIMENTS]
    found = {kind for module in modules for kind in vars(module).values() if _is_result(kind)}
    return tuple(sorted(found, key=lambda kind: kind.__name__))


def _is_result(kind: object) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, ExperimentResult)):
        return False
    return kind.__struct_config__.tag in EXPERIMENTS

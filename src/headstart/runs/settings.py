"""The settings of a fit: checked when made, kept in run.json, mirrored by the command's options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from headstart.backbones.listed import Named, named, split_names
from headstart.data.groups import compile_pattern
from headstart.data.targets import TargetColumns, joined_names
from headstart.errors import InputError, argument, did_you_mean, require_choice
from headstart.heads.costs import COSTS
from headstart.parameters import LARGEST_SEED, checked_fields

PRECISIONS = ("auto", "float32", "bfloat16")
CROPS = ("center", "squash", "letterbox", "auto")
SIZES_PX = (16, 2048)
ENGINES = ("local", "ray")
# Settings that have no meaning where an image has several labels, or a number.
FOR_CLASSES = (
    "metric",
    "ordered",
    "class_weight",
    "costs",
    "at_precision",
    "at_recall",
    "weight_column",
    "fixes",
    "repeats",
    "Cs",
    "exact",
    "prompts",
)
MOST_REPEATS = 100
LARGEST_COST = 1_000_000_000


F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="Settings")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every fit is asked for, of images or of texts.

    Parameters
    ----------
    data : str
        Folder, table or name of a data set.
    split_column : str, optional
        Column of a table that says train, val or test; ``"none"``: no column does, and a split is made.
    group_column : str, optional
        Column of a table that names what the split and the folds keep together: a patient, a plant.
    weight_column : str, optional
        Column of a table that says how often each example counts, in training and in figures: numbers
        of 0 or more.
    metric : str, optional
        What selection optimises: one of :data:`headstart.heads.criterion.METRICS`. Default accuracy;
        balanced accuracy where the largest class has more than four times the training examples of
        the smallest; with `costs` the mean cost.
    ordered : str or tuple of str, optional
        The classes from the lowest to the highest, separated by commas, or ``"numbers"`` where their
        names are numbers; for the quadratic kappa.
    class_weight : str, optional
        ``"balanced"``: every class counts the same. Or a CSV file of lines ``class,weight``.
    costs : str, optional
        A CSV file with the cost of each true class (row) taken for each other (column): the class of
        least expected cost is predicted.
    at_precision, at_recall : float in (0, 1], optional
        A threshold of the probability of each class is chosen on out-of-fold predictions: the lowest
        at this precision, or the highest at this recall. Give one of them.
    test_size : float in (0, 1), default 0.2
        Share held out, where the data have no split of their own.
    budget_s : float, optional
        Seconds that the whole fit should take.
    finetune : bool, default True
        False: no network is trained, whatever the budget.
    merge_labels : bool, default False
        Whether labels that look the same (``Cat`` and ``cat``) become one class.
    n_folds : int >= 2, default 5
    repeats : int from 1 to 100, default 1
        How often the training examples are divided into folds; figures are the means.
    Cs : tuple of float > 0
    seed : int >= 0
    prefer : {"accurate", "cheap"}, default "accurate"
        What is chosen: what is the most accurate as a rule, whatever it costs, or the cheapest candidate
        that ties with the best and is at most a point behind. Of images the former is a mean of several
        candidates (:mod:`headstart.runs.averaging`), and ``"single"`` takes one of them.
    exact : bool, default False
        Judge every candidate by SVMs, also where there are many examples and classes.
    device : str, optional

    Raises
    ------
    InputError
        A value is outside its legal set.
    """

    examples: ClassVar[str] = "examples"
    preferences: ClassVar[tuple[str, ...]] = ("accurate", "cheap")

    data: str
    split_column: str | None = None
    group_column: str | None = None
    weight_column: str | None = None
    metric: str | None = None
    ordered: str | tuple[str, ...] | None = None
    class_weight: str | None = None
    costs: str | None = None
    at_precision: float | None = None
    at_recall: float | None = None
    test_size: float = 0.2
    budget_s: float | None = None
    finetune: bool = True
    merge_labels: bool = False
    n_folds: int = 5
    repeats: int = 1
    Cs: tuple[float, ...] = COSTS
    seed: int = 0
    prefer: str = "accurate"
    exact: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        require(0 < self.test_size < 1, argument("test_size"), "between 0 and 1", self.test_size)
        require(self.n_folds >= 2, argument("n_folds"), "at least 2", self.n_folds)
        require(
            1 <= self.repeats <= MOST_REPEATS,
            argument("repeats"),
            f"from 1 to {MOST_REPEATS}",
            self.repeats,
        )
        require(
            0 <= self.seed <= LARGEST_SEED,
            argument("seed"),
            f"from 0 to {LARGEST_SEED}",
            self.seed,
        )
        *some, last = self.preferences
        legal = f"{', '.join(some)} or {last}"
        require(self.prefer in self.preferences, argument("prefer"), legal, self.prefer)
        require(
            bool(self.Cs) and all(0 < C <= LARGEST_COST for C in self.Cs),
            argument("Cs"),
            f"one or more numbers above 0, at most {LARGEST_COST:,}",
            self.Cs,
        )
        if self.budget_s is not None:
            require(self.budget_s > 0, argument("budget_s"), "more than 0 seconds", self.budget_s)
        for name in ("at_precision", "at_recall"):
            if (share := getattr(self, name)) is not None:
                require(
                    0 < share <= 1, argument(name), "above 0 and at most 1, such as 0.95", share
                )
        if self.at_precision is not None and self.at_recall is not None:
            raise InputError(
                f"{argument('at_precision')} and {argument('at_recall')} each choose the thresholds: "
                "give one of them"
            )
        require_metric(self.metric, has_order=self.ordered is not None, has_costs=bool(self.costs))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def require_cluster(engine: str, address: str | None, n_workers: int | None) -> None:
    """Refuse an unknown engine, and options of a cluster without one."""
    require_choice("engine", engine, ENGINES)
    for name, value in (("address", address), ("n_workers", n_workers)):
        if engine == "local" and value is not None:
            raise InputError(f"{argument(name)} is for {argument('engine', 'ray')}")
    require(n_workers is None or n_workers >= 1, argument("n_workers"), "1 or more", n_workers)


@dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """What :func:`headstart.fit` was asked for with images.

    With ``budget_s``, resolutions that do not fit are left out, and where time is left, fine-tuning
    is tried; without it nothing is fine-tuned.

    Parameters
    ----------
    backbone : str, default "embedded"
        A name, or several with commas between, each also ``FILE@ARCH``: features of each are tried,
        and of several side by side. A call of :func:`headstart.fit` may give a list.
    weights, arch : str, optional
        A local weight file and its architecture, of one backbone.
    resolutions : tuple of int, optional
        Crop sizes in pixels; default the backbone's own, about 0.7 and 1.4 times it.
    split : str, optional
        A split file.
    image_column, label_column : str, optional
        Columns of a table.
    multi_label : str, optional
        Several labels per image: what separates them in the column of labels of a table, such as
        ``";"``. An image may have no label.
    label_columns : str, optional
        Several labels per image: names, or patterns such as ``is_*``, of columns of a table that hold 0
        or 1, separated by commas; a name that holds a comma stands in double quotes. A call of
        :func:`headstart.fit` may give a list.
    target_column : str, optional
        Column of a table with a number to predict, in place of labels.
    group_by : str, optional
        What the split and the folds keep together, as a regular expression over the names: see
        :func:`headstart.data.groups.groups_by_pattern`.
    classes_from : {"auto", "outer", "inner"}, default "auto"
        Which folders name the classes: see :func:`headstart.data.layout.read_layout`.
    fixes : str, optional
        A file of labels to correct and images to leave out: see
        :func:`headstart.data.fixes.read_fixes`.
    crop : {"center", "squash", "letterbox", "auto"}, optional
        How images become squares: the centre, the whole without its proportions, or the whole with
        borders. ``"auto"`` takes what is best in cross-validation; default the backbone's own.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        Of the network's arithmetic; see :mod:`headstart.runs.precision` for ``"auto"``.
    prompts : str, default "auto"
        A file of what the classes are called, for networks with a text tower:
        :func:`headstart.data.prompts.read_prompts`. ``"auto"``: ``"a photo of a {}."`` and the like,
        where there is one. ``"none"``: no zero-shot head.
    engine : {"local", "ray"}, default "local"
        ``"ray"``: the workers of a Ray cluster share the passes through the network, and those of the
        SVM over features that do not fit in memory. ``device`` is that of the workers; this process
        computes on its best one.
    address : str, optional
        Of a running Ray cluster; default: one is started on this machine.
    n_workers : int >= 1, optional
        On the cluster.

    Raises
    ------
    InputError
        A value is outside its legal set.
    """

    examples: ClassVar[str] = "images"
    preferences: ClassVar[tuple[str, ...]] = ("accurate", "single", "cheap")

    backbone: str = "embedded"
    weights: str | None = None
    arch: str | None = None
    resolutions: tuple[int, ...] | None = None
    split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    multi_label: str | None = None
    label_columns: str | None = None
    target_column: str | None = None
    group_by: str | None = None
    classes_from: str = "auto"
    fixes: str | None = None
    crop: str | None = None
    precision: str = "auto"
    prompts: str = "auto"
    engine: str = "local"
    address: str | None = None
    n_workers: int | None = None

    @property
    def backbones(self) -> tuple[Named, ...]:
        """Name, weight file and architecture of each backbone, in the order given."""
        if self.weights is not None:
            return ((self.backbone, self.weights, self.arch),)
        names = split_names(self.backbone)
        if len(names) == 1 and self.arch is not None:
            return ((names[0], None, self.arch),)
        return tuple(map(named, names))

    @property
    def own_device(self) -> str | None:
        """The device of this process, rather than of the workers of a cluster."""
        return self.device if self.engine == "local" else None

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        require_layout(self.classes_from)
        if self.group_by is not None:
            compile_pattern(self.group_by)
        for name in ("weights", "arch"):
            is_one = getattr(self, name) is None or len(split_names(self.backbone)) == 1
            require(
                is_one,
                argument(name),
                "that of one backbone; of several, write FILE@ARCH",
                getattr(self, name),
            )
        if self.crop is not None:
            require_choice("crop", self.crop, CROPS)
        require_choice("precision", self.precision, PRECISIONS)
        self._check_targets()
        require_cluster(self.engine, self.address, self.n_workers)
        require(bool(self.prompts), argument("prompts"), "a file, auto or none", self.prompts)
        if self.resolutions is not None:
            low, high = SIZES_PX
            good = bool(self.resolutions) and all(low <= r <= high for r in self.resolutions)
            require(good, argument("resolutions"), f"pixels from {low} to {high}", self.resolutions)

    def _check_targets(self) -> None:
        """Refuse what is for classes alone where the targets are labels or numbers."""
        asked = TargetColumns(
            separator=self.multi_label, label_columns=self.label_columns, number=self.target_column
        )
        if not asked.is_asked:
            return
        usual = {f.name: f.default for f in fields(self)}
        for name in FOR_CLASSES:
            if (value := getattr(self, name)) != usual[name]:
                shown = True if value is True else str(value)
                raise InputError(
                    f"{argument(name, shown)} is for one class per image, not with {asked.option}"
                )
        if self.merge_labels and self.target_column is not None:
            raise InputError(f"{argument('merge_labels')} is for labels, not with {asked.option}")
        if self.crop == "auto":
            raise InputError(
                f"{argument('crop', 'auto')} is for one class per image, not with {asked.option}: name a crop"
            )
        if self.label_column is not None and self.multi_label is None:
            raise InputError(
                f"{argument('label_column')} and {asked.option} both name columns of labels or targets: "
                f"give one of them, or {argument('multi_label')} for several labels in one column"
            )


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """What :func:`headstart.fit` was asked for with a table of texts.

    Parameters
    ----------
    text, label : str, optional
        Columns, where their names are not among the usual ones.
    embeddings : str, optional
        A file of word vectors, or a published name; default: learnt from the training texts.
    encoder : str, optional
        Folder of a sentence encoder, an installed package that carries one, or a name on the hub.
        Default ``"auto"``: the one that ``headstart[text]`` installs, where it is installed and quick
        enough. ``"none"`` or None: no encoder.
    epochs : int >= 1, default 10
        Of each TextCNN.

    Raises
    ------
    InputError
        A value is outside its legal set.
    """

    examples: ClassVar[str] = "texts"

    text: str | None = None
    label: str | None = None
    embeddings: str | None = None
    encoder: str | None = "auto"
    epochs: int = 10

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        if self.encoder is None:
            object.__setattr__(self, "encoder", "none")  # as the command line says it
        require(self.epochs >= 1, argument("epochs"), "1 or more", self.epochs)


def require_metric(metric: str | None, *, has_order: bool, has_costs: bool) -> None:
    """Refuse a metric that is unknown, or that lacks the order or the costs that it needs, with an InputError."""
    from headstart.heads.criterion import METRICS

    if metric is None:
        return
    option = argument("metric")
    require_choice("metric", metric, METRICS)
    if metric == "quadratic_kappa" and not has_order:
        raise InputError(
            f"{option} quadratic_kappa needs the order of the classes: give them from the lowest to "
            f"the highest, {argument('ordered', 'low,middle,high')}, or {argument('ordered', 'numbers')}"
        )
    if metric == "cost" and not has_costs:
        raise InputError(f"{option} cost needs the costs of confusions: give {argument('costs')}")


def require_layout(classes_from: str) -> None:
    """Refuse a level of class folders that does not exist, with an InputError."""
    from headstart.data.layout import CLASSES_FROM

    require_choice("classes_from", classes_from, CLASSES_FROM)


def settings_from(kind: type[S], data: str, given: Mapping[str, Any]) -> S:
    """Settings of a kind from the keyword arguments of a call.

    Raises InputError where a name is not one of its fields, or a value is outside its legal set.
    """
    check_names("fit", given, [f.name for f in fields(kind)], examples=kind.examples)
    return kind(data=data, **checked_fields(kind, _joined(given)))


def check_names(
    verb: str, given: Iterable[str], *legal: Iterable[str], examples: str = "images"
) -> None:
    """Refuse a parameter that a function does not have.

    The InputError gives the name that was meant, where one is near, and those that there are.
    """
    names = sorted({name for some in legal for name in some} - {"data"})
    for name in given:
        if name not in names:
            raise InputError(
                f"{verb} has no parameter {name!r} for {examples}.{did_you_mean(name, names)} "
                f"It takes {', '.join(names)}"
            )


def _joined(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a list of backbones or columns as one text, as it is kept."""
    found = dict(given)
    backbone, columns = given.get("backbone"), given.get("label_columns")
    if isinstance(backbone, Iterable) and not isinstance(backbone, str | bytes):
        found["backbone"] = ",".join(split_names(list(backbone)))
    if isinstance(columns, Iterable) and not isinstance(columns, str | bytes):
        columns = list(columns)
        for name in columns:
            if not isinstance(name, str):
                raise InputError(
                    f"{argument('label_columns')} takes names of columns; got {name!r}"
                )
        found["label_columns"] = joined_names(columns)
    return found


def with_fields(*kinds: type[Any]) -> Callable[[F], F]:
    """Show the fields of settings as keyword parameters of a function that takes ``**settings``.

    So that ``help``, notebooks and editors complete them, and each is written once.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        found: dict[str, inspect.Parameter] = {p.name: p for p in own}
        for field in (f for kind in kinds for f in fields(kind)):
            shown = inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            found.setdefault(field.name, shown)
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=list(found.values())
        )
        return function

    return decorate


def fields_for(function: Callable[..., Any], settings: Any) -> dict[str, Any]:
    """The fields of settings that a function has parameters for, as keyword arguments."""
    names = inspect.signature(function).parameters
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name in names}


def require(good: bool, option: str, legal: str, value: object) -> None:
    """Refuse a value outside its legal set, with an InputError."""
    if not good:
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)
        raise InputError(f"{option} must be {legal}; got {shown or 'none'}")

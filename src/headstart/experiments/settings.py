"""Settings of the experiments: declared once with their help, checked on creation, read by every face.

A field is declared as ``more: Annotated[Positive, about("Images per class to add.")] = 100``. The
command line, the page and the Python function take its name, type, default and help from here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from msgspec import Meta

from headstart.errors import InputError, argument, did_you_mean
from headstart.parameters import checked


def about(text: str, *, panel: str = "", is_argument: bool = False) -> Meta:
    """The help of a field, the panel that it is shown in, and whether it is a positional argument."""
    return Meta(description=text, extra={"panel": panel, "is_argument": is_argument})


Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Pixels = Annotated[int, Meta(ge=16)]

Tap = Annotated[str | None, about("Layer; default: the last before the logits.")]
Crops = Annotated[Pixels | None, about("Crop size in pixels; default: the network's own.")]
_CROP_HELP = "How images become squares: center, squash or letterbox"
Crop = Annotated[
    Literal["center", "squash", "letterbox"] | None,
    about(f"{_CROP_HELP}; default: the network's own."),
]
CropOrAuto = Annotated[
    Literal["center", "squash", "letterbox", "auto"] | None,
    about(f"{_CROP_HELP}; auto: by cross-validation. Default: the network's own."),
]
FirstSeed = Annotated[Natural, about("The first seed.")]


@dataclass(frozen=True)
class Option:
    """One field as the faces see it.

    Attributes
    ----------
    name : str
    type : type
        Without its constraints; an optional one is a union with None.
    default : object
        `dataclasses.MISSING` for a field that must be given.
    help, panel : str
    is_argument : bool
        Whether the command line takes it by position.
    """

    name: str
    type: Any
    default: Any
    help: str
    panel: str
    is_argument: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings of an experiment; every field is checked against its declared type.

    Raises
    ------
    InputError
        A value is outside its legal set.
    """

    why_images: ClassVar[str] = "the question is about images"

    def __post_init__(self) -> None:
        for name, declared in _declared(type(self)).items():
            object.__setattr__(self, name, checked(name, declared, getattr(self, name)))

    @classmethod
    def from_options(cls, given: dict[str, Any]) -> Any:
        """Settings from keyword arguments; an unknown name is answered with the legal ones.

        Raises InputError.
        """
        legal = [f.name for f in dataclasses.fields(cls)]
        for name in given:
            if name not in legal:
                raise InputError(
                    f"there is no parameter {name!r}.{did_you_mean(name, legal)} "
                    f"It takes {', '.join(legal)}"
                )
        for option in options(cls):
            if option.default is dataclasses.MISSING and option.name not in given:
                raise InputError(f"{argument(option.name)} is missing: {option.help}")
        return cls(**given)

    @property
    def folder(self) -> tuple[str, str]:
        """What the default folder of the results is named after: the data, and the question."""
        return str(getattr(self, "data", "")), type(self).__module__.split(".")[-2]


@dataclass(frozen=True, kw_only=True)
class Labelled(Settings):
    """How labelled images are read and split, and where the work is done."""

    test_size: Annotated[
        Share, about("Share of each class to test on, where the data have no split.")
    ] = 0.2
    seed: Annotated[Natural, about("Random seed for the split and the folds.")] = 0
    classes_from: Annotated[
        Literal["auto", "outer", "inner"],
        about(
            "Which folders name the classes: outer, inner (those inside these), or auto, which "
            "refuses an ambiguous layout."
        ),
    ] = "auto"
    merge_labels: Annotated[
        bool, about("Merge labels that differ only in case or spacing: Cat and cat.")
    ] = False
    device: Annotated[str | None, about("auto, cpu, cuda, cuda:1, mps; default: the best.")] = None


@dataclass(frozen=True, kw_only=True)
class OnImages(Labelled):
    """Settings of an experiment on one set of labelled images."""

    data: Annotated[
        str,
        about("Folder of class folders, table, split file or data set name.", is_argument=True),
    ]
    split: Annotated[
        str | None, about("CSV or JSON file that assigns images to train and test.")
    ] = None
    split_column: Annotated[
        str | None,
        about("Column of a table: train, val or test; none: use no column, and make a split."),
    ] = None
    group_column: Annotated[
        str | None,
        about(
            "Column of a table whose rows stay together in split and folds: patient, plant, video."
        ),
    ] = None
    group_by: Annotated[
        str | None,
        about(r"The same for names of files: a regular expression such as 'patient\d+'."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class WithBackbone(Settings):
    """Settings of an experiment with one pretrained network."""

    backbone: Annotated[str, about("Pretrained network: see `headstart backbones`.")] = "embedded"
    weights: Annotated[str | None, about("Local weights: .safetensors or .pth, with `arch`.")] = (
        None
    )
    arch: Annotated[
        str | None, about("Architecture of the local weights: NAME or NAME[KEY=VALUE;...].")
    ] = None


@dataclass(frozen=True, kw_only=True)
class OrTexts(Settings):
    """Settings of an experiment that can be asked of a table of texts as well."""

    text: Annotated[str | None, about("Column with the texts.", panel="Texts")] = None
    label: Annotated[str | None, about("Column with the labels.", panel="Texts")] = None
    encoder: Annotated[
        str,
        about(
            "A sentence encoder: folder, installed package or hub name; auto: the one of "
            "headstart[text] where it is installed; none: without one.",
            panel="Texts",
        ),
    ] = "auto"

    def check_kind(self, data: str, *, is_text: bool) -> None:
        """Raise InputError where an option was given that is for the other kind of data."""
        other = FOR_IMAGES if is_text else FOR_TEXTS
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in other and value != field.default:
                kinds = "images", "texts"
                belongs, found = kinds if is_text else kinds[::-1]
                raise InputError(
                    f"{argument(field.name)} is for {belongs}, and {data} holds {found}: leave it out"
                )


FOR_TEXTS = frozenset({"text", "label", "encoder"})
FOR_IMAGES = frozenset(
    {
        *("split", "group_by", "classes_from", "backbone", "weights", "arch", "crop", "size_px"),
        *("resolutions", "pooling", "mirror", "whole", "scratch"),
    }
)
"""Settings that say nothing of the other kind of data."""


def options(kind: type[Settings]) -> list[Option]:
    """The fields of settings in the order of the help: arguments, own fields, then inherited ones."""
    bare = get_type_hints(kind)
    own = [name for c in kind.__mro__ for name in vars(c).get("__annotations__", {})]
    fields = {f.name: f for f in dataclasses.fields(kind)}
    found = []
    for name in sorted(fields, key=own.index):
        declared = _declared(kind)[name]
        metas = [m for m in getattr(declared, "__metadata__", ()) if m.description]
        extra = metas[-1].extra or {} if metas else {}
        found.append(
            Option(
                name=name,
                type=bare[name],
                default=fields[name].default,
                help=metas[-1].description if metas else "",
                panel=extra.get("panel", ""),
                is_argument=extra.get("is_argument", False),
            )
        )
    return sorted(found, key=lambda o: not o.is_argument)


def _declared(kind: type[Settings]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}

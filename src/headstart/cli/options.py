"""Options that verbs share, as types of their parameters, and what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.flags import note_line
from headstart.errors import InputError
from headstart.files import require_file, require_folder
from headstart.home import expand

if TYPE_CHECKING:
    from headstart.cli.console import Shown
    from headstart.data import Index
    from headstart.data.texts import TextIndex

Data = Annotated[
    str, typer.Argument(help="Folder of class folders, table, split file or data set name.")
]
DataOrTexts = Annotated[
    str,
    typer.Argument(
        help="Folder of class folders, table of paths or of texts, split file or data set name."
    ),
]


def complete_run(incomplete: str) -> list[str]:
    """Run folders for the shell's completion, as they are typed: with their path."""
    from headstart.runs.folder import list_runs

    runs = [run.as_posix() for run in list_runs(Path(f"{incomplete}_"))]
    return [run for run in runs if run.startswith(incomplete)]


RunFolder = Annotated[str, typer.Argument(help="A run folder.", autocompletion=complete_run)]

_CAUTION = "When to answer"
RefuseBelow = Annotated[
    float | None,
    typer.Option(help="Give no answer below this probability.", rich_help_panel=_CAUTION),
]
TargetAccuracy = Annotated[
    float | None,
    typer.Option(
        help="Refuse below the probability above which this share of cross-validated answers was "
        "right, such as 0.95.",
        rich_help_panel=_CAUTION,
    ),
]
LabelSets = Annotated[
    float | None,
    typer.Option(
        help="Also give a set of classes that contains the true one this often, such as 0.9.",
        rich_help_panel=_CAUTION,
    ),
]
Novelty = Annotated[
    float | None,
    typer.Option(
        help="Refuse images that are more unusual than this share of the training images, such as 0.99.",
        rich_help_panel=_CAUTION,
    ),
]

Backbone = Annotated[str, typer.Option(help="Pretrained network: see `headstart backbones`.")]
Weights = Annotated[
    Path | None, typer.Option(help="Local weights file (.safetensors or .pth); needs --arch.")
]
Arch = Annotated[str | None, typer.Option(help="Architecture of --weights.")]
ArchArgs = Annotated[
    list[str] | None,
    typer.Option(help="How --arch is built, as KEY=VALUE: num_classes=0. Repeatable."),
]

Size = Annotated[
    int | None, typer.Option("--size", help="Crops in pixels; default the network's own.", min=16)
]
Precision = Annotated[
    str, typer.Option(help="Arithmetic of the network: auto, float32 or bfloat16.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps; default the best.")]

Engine = Annotated[
    str, typer.Option(help="local: this process; ray: workers of a Ray cluster (extra ray).")
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of a running Ray cluster that this machine is part of, or auto; default: "
        "one is started on this machine alone."
    ),
]
ClusterWorkers = Annotated[
    int | None,
    typer.Option(
        help="Workers of the cluster; default: one per GPU, or without GPUs one per machine."
    ),
]

GroupColumn = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Column of a table whose rows stay together in split and folds: patient, plant, video.",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="The same for names of files: a regular expression such as 'patient\\d+'.",
    ),
]
WeightColumn = Annotated[
    str | None,
    typer.Option("--weight-column", help="Column of a table with sample weights."),
]
ClassesFrom = Annotated[
    str,
    typer.Option(
        help="Which folders name the classes: outer, inner (those inside these), or auto, which "
        "refuses a doubtful layout."
    ),
]
MergeLabels = Annotated[
    bool,
    typer.Option(
        "--merge-labels", help="Merge labels that differ only in case or spacing: Cat and cat."
    ),
]
LabelColumn = Annotated[str | None, typer.Option(help="Column of a table: labels.")]
MultiLabel = Annotated[
    str | None,
    typer.Option(
        "--multi-label",
        help="Several labels per image: what separates them in the column of labels, such as ';'.",
    ),
]
LabelColumns = Annotated[
    str | None,
    typer.Option(
        "--label-columns",
        help="Several labels per image: columns of a table that hold 0 or 1, such as red,blue or 'is_*'.",
    ),
]
TargetColumn = Annotated[
    str | None,
    typer.Option("--target-column", help="Column of a table with a number to predict."),
]
SplitColumn = Annotated[
    str | None,
    typer.Option(
        "--split-column",
        help="Column of a table: train, val or test; none: use no column, and make a split.",
    ),
]
Split = Annotated[
    Path | None, typer.Option(help="CSV or JSON file that assigns images to train and test.")
]
TestSize = Annotated[
    float, typer.Option(help="Share of each class to test on, where the data have no split.")
]
FirstSeed = Annotated[int, typer.Option(help="The first seed.", min=0)]

AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]
AsJsonObject = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


def built(arch: str | None, arch_args: Sequence[str] | None) -> str | None:
    """``--arch`` with ``--arch-args``, as the library takes them.

    Raises
    ------
    BackboneError
        An argument is not KEY=VALUE, or there is no ``--arch``.
    """
    if not arch_args:
        return arch
    from headstart.backbones.archargs import with_args

    return with_args(arch, arch_args)


def results(default: str) -> Any:
    """The option of a folder for what a verb finds, ``Annotated[Path | None, results("runs/...")]``."""
    return folder_to_write(f"Folder for the results; default {default}.", default)


def folder_to_write(text: str, default: str = "") -> Any:
    """An option of a folder to write to, which is tried before any work is done.

    Where it is not given, the folder around `default` is tried.
    """

    def check(given: Path | None) -> Path | None:
        if given is None and default.startswith("runs/"):
            require_folder(Path("runs"))
        return given

    return typer.Option(help=text, parser=_writable_folder, callback=check, metavar="PATH")


def file_to_write(text: str) -> Any:
    """An option of a file to write, which is tried before any work is done."""
    return typer.Option(help=text, parser=_writable_file, metavar="PATH")


def place(given: str | Path) -> Path:
    """A path as given on the command line, ``~`` expanded.

    Raises
    ------
    InputError
        It is empty.
    """
    if not str(given).strip():
        raise InputError("the path to write to is empty: give a name, or omit the option")
    return expand(given)


run_to_make = typer.Option(
    help="Run folder to create; default runs/NAME, or runs/NAME-2, ... if that is taken.",
    parser=place,
    metavar="PATH",
)
"""What is there already is looked at by the fit, which knows of ``--force``."""


def _writable_folder(given: str | Path) -> Path:
    folder = place(given)
    require_folder(folder)
    return folder


def _writable_file(given: str | Path) -> Path:
    file = place(given)
    require_file(file)
    return file


def default_folder(data: str, what: str) -> Path:
    """``runs/<data>-<what>``: the same for the same question, which goes on there."""
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(data).stem).strip("-.")
    return Path("runs") / f"{stem or 'data'}-{what}"


def chosen_seeds(first: int, n: int) -> tuple[int, ...]:
    """``n`` seeds from the first on."""
    return tuple(range(first, first + n))


def index_data(
    data: str,
    *,
    split: Path | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    group_by: str | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    classes_from: str = "auto",
    merge_labels: bool = False,
    progress: Shown,
) -> Index:
    """The images of DATA on the sides that the options put them on; classes and notes are shown."""
    from headstart.data import index
    from headstart.features import cache_folder

    found = index(
        data,
        split=split,
        split_column=split_column,
        group_column=group_column,
        group_by=group_by,
        test_size=test_size,
        seed=seed,
        classes_from=classes_from,
        merge_labels=merge_labels,
        cache=cache_folder(),
        progress=progress,
    )
    show_data(found, progress)
    return found


def show_data(index: Index | TextIndex, progress: Shown) -> None:
    """Name the classes beside the progress; what a person should know of the data goes to stderr."""
    from headstart.cli.console import console, print_prose
    from headstart.data.labels import name_classes

    progress.say(f"classes: {name_classes(index.classes)}")
    out = console(stderr=True)
    for note in index.notes:
        print_prose(note_line(note), out)

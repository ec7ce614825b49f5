"""``headstart export`` and ``headstart push``: a run as a file, and as a repository of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.errors import InputError, OutputError, require_choice
from headstart.files import require_file

if TYPE_CHECKING:
    from headstart.export.facts import Port

CLEANLAB = "cleanlab"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command()(export)
    app.command()(push)


def export(
    run: options.RunFolder,
    to: Annotated[
        str,
        typer.Option(
            help="onnx, torchscript or safetensors; cleanlab: out-of-fold probabilities and labels "
            "of the run's images, .npz or .csv."
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        # A folder of a run on texts may be there: what is, is looked at once the run is known.
        typer.Option(
            help="The file, or of a run on texts the folder [default: the run's name with the suffix].",
            parser=options.place,
            metavar="PATH",
        ),
    ] = None,
    takes: Annotated[
        str,
        typer.Option(
            help="pictures (uint8 RGB of any size; resized inside) or tensors (normalised float32)."
        ),
    ] = "pictures",
    precision: Annotated[
        str,
        typer.Option(help="float32, or int8 with onnx: smaller and faster, its loss measured."),
    ] = "float32",
    images: Annotated[
        Path | None,
        typer.Option(help="Pictures to check the file with [default: the run's test images]."),
    ] = None,
    n_check: Annotated[int, typer.Option(help="How many pictures to check it with.")] = 32,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file or export.")
    ] = False,
    refuse_below: options.RefuseBelow = None,
    target_accuracy: options.TargetAccuracy = None,
    label_sets: options.LabelSets = None,
    novelty: options.Novelty = None,
    as_json: options.AsJsonObject = False,
) -> None:
    """Write the classifier as one file that runs elsewhere.

    The file contains network, head and calibration. Its output is compared with PyTorch's on real pictures, and it is not
    kept if they differ. A model card in Markdown is written next to it. A run on texts becomes a folder with a program
    that needs no Headstart. The options under *When to answer* add
    outputs to the file: answered, label_set, novelty.

    Examples:

        headstart export runs/photos --to onnx

        headstart export runs/photos --target-accuracy 0.95 --novelty 0.99

        headstart export runs/photos --precision int8 --out photos-int8.onnx

        headstart export runs/photos --to torchscript --takes tensors --out photos.pt

        headstart export runs/photos --to cleanlab --out photos.csv

        headstart export runs/reviews --out reviews-texts

        headstart export runs/photos --to safetensors --images new-pictures/ --n-check 100
    """
    if to == CLEANLAB:
        for flag, value, usual in (
            ("--takes", takes, "pictures"),
            ("--precision", precision, "float32"),
            ("--images", images, None),
            ("--n-check", n_check, 32),
            ("--refuse-below", refuse_below, None),
            ("--target-accuracy", target_accuracy, None),
            ("--label-sets", label_sets, None),
            ("--novelty", novelty, None),
        ):
            if value != usual:
                raise InputError(
                    f"{flag} {value} has no effect with --to {CLEANLAB}, which writes no model: leave it out"
                )
        _export_probabilities(run, out, force=force, as_json=as_json)
        return
    from headstart.export.facts import SUFFIXES, check_choices, size_of_file

    require_choice("to", to, (*SUFFIXES, CLEANLAB))
    check_choices(to, takes)
    from headstart.export.quantising import check_precision

    check_precision(precision, to)
    import headstart
    from headstart.export import export as write_export

    opened = headstart.load(run)
    with progress_bars(quiet=as_json) as progress:
        made = write_export(
            opened,
            to=to,
            out=out,
            takes=takes,
            refuse_below=refuse_below,
            target_accuracy=target_accuracy,
            label_sets=label_sets,
            novelty=novelty,
            precision=precision,
            images=images,
            n_check=n_check,
            force=force,
            progress=progress,
        )
    if as_json:
        echo_json(made.to_dict())
        return
    show = console()
    rows = [
        ("file", f"{made.path}  {size_of_file(made.n_bytes)}"),
        ("card", str(made.card)),
        ("input", "; ".join(_shape(given) for given in made.facts.inputs)),
        ("output", "; ".join(_shape(found) for found in made.facts.outputs)),
        ("check", made.check.sentence),
    ]
    if made.loss is not None:
        rows.append(("loss", made.loss.sentence))
    for name, value in rows:
        show.print(f"{name:<7} {value}", soft_wrap=True)


def _export_probabilities(run: str, out: Path | None, *, force: bool, as_json: bool) -> None:
    import headstart
    from headstart.runs.outoffold import check_suffix, out_of_fold

    path = out or Path(f"{Path(run).resolve().name}.npz")
    check_suffix(path)
    require_file(path)
    if path.exists() and not force:
        raise OutputError(f"{path} exists already: choose another --out, or add --force")
    opened = headstart.load(run)
    with progress_bars(quiet=as_json) as progress:
        found = out_of_fold(opened, progress=progress)
    found.write(path)
    if as_json:
        n_images, n_classes = found.P.shape
        echo_json(
            {
                "path": str(path),
                "n_images": n_images,
                "n_classes": n_classes,
                "n_left_out": found.n_left_out,
            }
        )
        return
    left_out = ""
    if found.n_left_out:
        left_out = f"; {found.n_left_out:,} left out, as they are the only ones, or the only group, of their class"
    console().print(f"file    {path}  {len(found.names):,} images{left_out}", soft_wrap=True)


def _shape(port: Port) -> str:
    return f"{port.name} {port.dtype} ({', '.join(map(str, port.shape))})"


def push(
    run: options.RunFolder,
    repo: Annotated[str, typer.Option(help="Repository: owner/name.")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public [default: private].")
    ] = False,
    with_report: Annotated[
        bool,
        typer.Option(
            "--with-report",
            help="Include the report with its thumbnails and file names, or its texts.",
        ),
    ] = False,
    only_write: Annotated[
        Path | None,
        options.folder_to_write("Upload nothing; write the files to this folder instead."),
    ] = None,
    as_json: options.AsJsonObject = False,
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Pictures, whole texts, file names and local paths are left out. A model of texts holds words of
    the training texts, names included. The token comes from HF_TOKEN or
    from `hf auth login`.

    Examples:

        headstart push runs/photos --only-write look-at-it/

        headstart push runs/photos --repo me/photos

        headstart push runs/photos --repo me/photos --public --with-report
    """
    if bool(repo) == (only_write is not None):
        raise InputError("give either --repo owner/name or --only-write FOLDER")
    from headstart.export.hub import check_repository

    if repo:
        check_repository(repo)
    import headstart
    from headstart.export import push as upload
    from headstart.export import stage

    opened = headstart.load(run)
    if only_write is not None:
        done = stage(opened, only_write, with_report=with_report)
    else:
        done = upload(opened, repo, public=public, with_report=with_report)
    if as_json:
        echo_json(done.to_dict())
        return
    show = console()
    for name, n_bytes in done.files:
        show.print(f"{n_bytes:>12,}  {name}", soft_wrap=True)
    where = done.url or f"{only_write} (nothing was uploaded)"
    show.print(f"written: {where}", soft_wrap=True)

"""``headstart fit`` and ``headstart report``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options
from headstart.cli.console import (
    answer_with_page,
    console,
    echo_json,
    parse_numbers,
    print_answer,
    print_prose,
    progress_bars,
)
from headstart.cli.texts import Texts

if TYPE_CHECKING:
    from headstart.runs.choose import Candidate
    from headstart.runs.measure import Watch
    from headstart.runs.run import Run
    from headstart.sources.blocks import Blocks


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command()(fit)
    app.command()(report)


def fit(
    data: options.DataOrTexts,
    backbone: Annotated[
        str,
        typer.Option(
            help="Pretrained network, or several with commas between, files as FILE@ARCH: see "
            "`headstart backbones`."
        ),
    ] = "embedded",
    resolutions: Annotated[
        str | None, typer.Option(help="Crop sizes in pixels, such as 160,224,320.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="File of lines `train,Class/file` or `test,Class/file`.")
    ] = None,
    test_size: Annotated[float, typer.Option(help="Share held out for the test.")] = 0.2,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time that the fit should take: 90s, 10m, 1h. With it, fine-tuning is tried where "
            "it fits, and kept where it wins; without it, nothing is fine-tuned. Of texts: it "
            "allows for more networks."
        ),
    ] = None,
    finetune: Annotated[
        bool,
        typer.Option(
            "--finetune/--no-finetune",
            help="With --budget, try fine-tuning; for texts, train networks.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Random seed for the split and the folds.")] = 0,
    out: Annotated[Path | None, options.run_to_make] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the run folder, default runs/NAME.")
    ] = False,
    weights: options.Weights = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    image_column: Annotated[str | None, typer.Option(help="Column of a table: paths.")] = None,
    label_column: options.LabelColumn = None,
    multi_label: options.MultiLabel = None,
    label_columns: options.LabelColumns = None,
    target_column: options.TargetColumn = None,
    split_column: options.SplitColumn = None,
    group: options.GroupColumn = None,
    group_by: options.GroupBy = None,
    weight_column: options.WeightColumn = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What selection optimises: accuracy, balanced_accuracy, macro_f1, log_loss, roc_auc, "
            "average_precision, kappa, quadratic_kappa or cost. Default accuracy; balanced_accuracy "
            "where the largest class has more than four times the examples of the smallest."
        ),
    ] = None,
    ordered: Annotated[
        str | None,
        typer.Option(
            help="Order of the classes for quadratic_kappa: low,middle,high; or numbers, where their "
            "names are numbers."
        ),
    ] = None,
    class_weight: Annotated[
        str | None,
        typer.Option(
            help="balanced: every class counts the same. Or a CSV file of lines class,weight."
        ),
    ] = None,
    costs: Annotated[
        str | None,
        typer.Option(
            help="CSV file with the cost of predicting each class (column) for each true class (row). The class of "
            "least expected cost is predicted."
        ),
    ] = None,
    at_precision: Annotated[
        float | None,
        typer.Option(
            help="For each class, choose the lowest probability threshold that reaches this precision, "
            "such as 0.95."
        ),
    ] = None,
    at_recall: Annotated[
        float | None,
        typer.Option(help="For each class, choose the highest threshold that reaches this recall."),
    ] = None,
    classes_from: options.ClassesFrom = "auto",
    merge_labels: options.MergeLabels = False,
    fixes: Annotated[
        str | None,
        typer.Option(
            help="File of labels to correct and images to leave out, as `headstart clean` makes it."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds.")] = 5,
    repeats: Annotated[
        int,
        typer.Option(
            help="Number of cross-validations, each with other folds; results are averaged."
        ),
    ] = 1,
    c: Annotated[
        str | None, typer.Option("--C", help="Values of the SVM's C to try, such as 0.1,1,10.")
    ] = None,
    prefer: Annotated[
        str,
        typer.Option(
            help="accurate: the mean of several candidates (texts: TF-IDF beside a sentence encoder, if there is one). "
            "single: one candidate. Both unless another is significantly better. cheap: the cheapest that "
            "ties with the best."
        ),
    ] = "accurate",
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Cross-validate an SVM for every candidate, even with many images and classes.",
        ),
    ] = False,
    crop: Annotated[
        str | None,
        typer.Option(
            help="How images become squares: center, squash, letterbox, or auto for the best in "
            "cross-validation; default the network's own."
        ),
    ] = None,
    precision: options.Precision = "auto",
    prompts: Annotated[
        str,
        typer.Option(
            help="What the classes are called, for networks with a text tower: a file of templates "
            "such as `a photo of a {}.`, or of lines class,prompt. none: no zero-shot head."
        ),
    ] = "auto",
    device: options.Device = None,
    engine: options.Engine = "local",
    address: options.ClusterAddress = None,
    workers: options.ClusterWorkers = None,
    text: Texts.text = None,
    label: Texts.label = None,
    embeddings: Texts.embeddings = None,
    encoder: Texts.encoder = None,
    epochs: Texts.epochs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json.")] = False,
) -> None:
    """Find the best layer of a pretrained network for your images.

    Or, for a table of labelled texts, the best of TF-IDF, word vectors and TextCNNs.

    Every image goes through the network once. Every layer at every resolution, and several joined, are
    judged by a cross-validated linear SVM on the training images. The mean of several is taken, and the
    test images are looked at once; --prefer cheap takes the cheapest that ties with the best. Of several
    networks, the layers of each are judged, and so are their last layers joined. With
    --budget, fine-tuning is tried in the time that is left, and kept only where it wins on validation.

    Examples:

        headstart fit photos/

        headstart fit digits

        headstart fit photos/ --resolutions 160,224,320 --budget 10m

        headstart fit photos/ --budget 20m

        headstart fit scans/ --group-by 'patient\\d+'

        headstart fit grades/ --metric quadratic_kappa --ordered numbers

        headstart fit scene15/ --split split.csv --out runs/scenes

        headstart fit photos/ --weights net.safetensors --arch resnet50

        headstart fit photos/ --backbone embedded,resnet50

        headstart fit photos.csv --label-column tags --multi-label=';'

        headstart fit faces.csv --target-column age

        headstart fit reviews.csv --text review --label sentiment
    """
    import headstart
    from headstart.cli.texts import choose_options
    from headstart.wording import parse_seconds

    given: dict[str, Any] = {
        "backbone": backbone,
        "resolutions": parse_numbers(resolutions, "--resolutions", int),
        "split": None if split is None else str(split),
        "test_size": test_size,
        "budget_s": None if budget is None else parse_seconds(budget),
        "finetune": finetune,
        "seed": seed,
        "weights": None if weights is None else str(weights),
        "arch": options.built(arch, arch_args),
        "image_column": image_column,
        "label_column": label_column,
        "multi_label": multi_label,
        "label_columns": label_columns,
        "target_column": target_column,
        "split_column": split_column,
        "group_column": group,
        "group_by": group_by,
        "weight_column": weight_column,
        "metric": metric,
        "ordered": ordered,
        "class_weight": class_weight,
        "costs": costs,
        "at_precision": at_precision,
        "at_recall": at_recall,
        "classes_from": classes_from,
        "merge_labels": merge_labels,
        "fixes": fixes,
        "n_folds": folds,
        "repeats": repeats,
        "prefer": prefer,
        "exact": exact,
        "crop": crop,
        "precision": precision,
        "prompts": prompts,
        "device": device,
        "engine": engine,
        "address": address,
        "n_workers": workers,
    }
    if c is not None:
        given["Cs"] = parse_numbers(c, "--C", float)
    texts = {
        "text": text,
        "label": label,
        "embeddings": embeddings,
        "encoder": encoder,
        "epochs": epochs,
    }
    given = choose_options(data, given, texts)
    with progress_bars(quiet=as_json) as progress:
        run = headstart.fit(
            data,
            out=out,
            force=force,
            progress=progress,
            on_epoch=progress.on_epoch,
            watch=first_answer(progress.say),
            **given,
        )
    if as_json:
        echo_json(run.metrics)
    else:
        show(run)


def first_answer(say: Callable[[str], None]) -> Watch:
    """A watch that says what the first candidate reached, and that it need not be the last."""
    is_said: list[bool] = []

    def watch(planned: Sequence[Blocks], measured: Sequence[Candidate]) -> None:
        from headstart.heads.accuracy import accuracy_interval
        from headstart.runs.sentence import with_interval

        if not measured or is_said or len(planned) < 2:
            return
        is_said.append(True)
        first = measured[-1]
        reached = with_interval(accuracy_interval(first.correct, groups=first.groups))
        n = len(planned) - 1
        say(
            f"first answer: {first.blocks}: {reached} cross-validated; {n} more "
            f"{'candidate' if n == 1 else 'candidates'} to try; Ctrl-C keeps what is known"
        )

    return watch


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="A run folder, or several to compare.",
            autocompletion=options.complete_run,
        ),
    ],
    out: Annotated[
        Path | None,
        options.folder_to_write(
            "Folder for the page of several runs; default: side-by-side, next to the first."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Print the results of a run again, or compare runs side by side.

    The last lines name the report, a page for the browser, and how to predict with the run. Of
    several runs, one page shows them all: the results of each, and its paired difference from the first
    where both were tested on the same images.

    Examples:

        headstart report runs/photos

        headstart report runs/photos runs/larger runs/tuned
    """
    import headstart
    from headstart.errors import InputError

    found = [headstart.load(run) for run in runs]
    if len(found) > 1:
        _side_by_side(found, out or runs[0].resolve().parent / "side-by-side", as_json=as_json)
    elif out is not None:
        raise InputError("--out is the place of a page of several runs: name more than one run")
    elif as_json:
        echo_json(found[0].metrics)
    else:
        show(found[0])


def _side_by_side(runs: Sequence[Run], folder: Path, *, as_json: bool) -> None:
    from headstart.cli.tables import runs_table
    from headstart.runs.report.side_by_side import comparison_sections
    from headstart.runs.side_by_side import side_by_side

    found = side_by_side(runs)
    answer_with_page(
        folder,
        "side-by-side",
        found,
        lambda _, out: out.print(runs_table(found.runs)),
        title="Runs side by side",
        sections=comparison_sections(found.runs),
        as_json=as_json,
    )


def show(run: Run) -> None:
    """The findings, the table tap x resolution, and the sentence that matters."""
    from headstart.cli.targets import show_targets
    from headstart.runs.target_run import TargetRun

    if isinstance(run, TargetRun):
        show_targets(run)
        return
    from headstart.cli.tables import (
        accuracy_line,
        data_lines,
        finetuning_lines,
        layer_caption,
        layer_tables,
    )
    from headstart.runs.thresholds import threshold_lines

    out = console()
    for line in data_lines(run.metrics):
        print_prose(line, out, style="bold red" if "to say anything" in line else None)
    out.print(*layer_tables(run.metrics))
    for line in layer_caption(run.metrics):
        print_prose(line, out, style="dim")
    if run.metrics.text is not None:
        print_prose(run.metrics.text.verdict, out)
    for line in finetuning_lines(run.metrics.finetuning):
        out.print(line, soft_wrap=True)
    for line in threshold_lines(run.metrics.thresholds):
        print_prose(line, out)
    print_prose(accuracy_line(run.metrics), out)
    print_answer(run.sentence, run.detail, out)
    out.print(f"report   {run.report()}", soft_wrap=True)
    given = "IMAGES..." if run.metrics.noun == "image" else '"SOME TEXT"'
    out.print(f"predict  headstart predict {run.folder} {given}", soft_wrap=True)

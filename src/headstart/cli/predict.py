"""``headstart predict``: with a run, the ImageNet classes of a backbone, or names of classes alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, print_prose
from headstart.cli.flags import flag_of, note_line
from headstart.cli.pictures import predict_pictures
from headstart.cli.streams import escape
from headstart.cli.texts import (
    Texts,
    give_encoder,
    given_paths,
    predict_given,
    predict_table,
)
from headstart.errors import one_line

if TYPE_CHECKING:
    from headstart.data import Picture
    from headstart.runs.predictions import AnyPrediction, Prediction

ZERO_SHOT = "zero-shot"
"""In place of a run."""


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(predict)


def predict(
    run: Annotated[
        str,
        typer.Argument(
            help="A run folder; `imagenet` for a backbone's own 1,000 classes; or `zero-shot` for a "
            "backbone with a text tower and the names of classes.",
            autocompletion=options.complete_run,
        ),
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, folders, patterns or URLs; of a run on texts: texts, files of text (their "
            "content) and tables (their text column). - is an image or a text on standard input."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print CSV: name, label, probability, error, and the other fields asked for.",
        ),
    ] = False,
    as_fiftyone: Annotated[
        bool,
        typer.Option("--fiftyone", help="labels.json of FiftyOne's image classification format."),
    ] = False,
    refuse_below: options.RefuseBelow = None,
    target_accuracy: options.TargetAccuracy = None,
    label_sets: options.LabelSets = None,
    novelty: options.Novelty = None,
    backbone: Annotated[
        str, typer.Option(help="With `imagenet` or `zero-shot`: the pretrained network.")
    ] = "embedded",
    classes: Annotated[
        str | None,
        typer.Option(help="With `zero-shot`: names of the classes with commas between."),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            help="With `zero-shot`: a file of templates such as `a photo of a {}.`, or of lines "
            "class,prompt."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="With `imagenet`: local weights, with --arch.")
    ] = None,
    arch: options.Arch = None,
    arch_args: options.ArchArgs = None,
    texts: Annotated[
        Path | None, typer.Option(help="Table of texts to classify.", rich_help_panel="Texts")
    ] = None,
    text: Texts.text = None,
    literal: Annotated[
        bool,
        typer.Option(
            "--literal",
            help="Treat every argument as a text, even if a file of that name exists.",
            rich_help_panel="Texts",
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="The sentence encoder of a run that was made elsewhere.", rich_help_panel="Texts"
        ),
    ] = None,
) -> None:
    """Predict the class of images or texts.

    Unreadable files are reported, the others are predicted, and the exit code is then 2. If the
    images as a whole differ from those of the run, a warning gives the accuracy to expect.

    Examples:

        headstart predict runs/photos new/*.jpg

        headstart predict runs/photos new/ --target-accuracy 0.95 --novelty 0.99

        headstart predict runs/photos new/ --csv > predictions.csv

        headstart predict runs/photos new/ --fiftyone > labels.json

        headstart predict imagenet cat.jpg

        headstart predict zero-shot new/*.jpg --classes cat,dog --backbone transformers:openai/clip-vit-base-patch32

        curl -s https://photos.example/1.jpg | headstart predict runs/photos - --json

        headstart predict runs/reviews "a film to remember"

        headstart predict runs/reviews letter.txt new.csv

        headstart predict runs/reviews --texts new.csv --csv > predictions.csv
    """
    from headstart.errors import InputError
    from headstart.runs.caution import Caution

    forms = {"--json": as_json, "--csv": as_csv, "--fiftyone": as_fiftyone}
    asked = [flag for flag, is_asked in forms.items() if is_asked]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} exclude each other: choose one")
    caution = Caution(
        refuse_below=refuse_below,
        target_accuracy=target_accuracy,
        label_sets=label_sets,
        novelty=novelty,
    )
    if run in ("imagenet", ZERO_SHOT) and caution.asked:
        flag = flag_of(next(iter(caution.asked)))
        raise InputError(f"{flag} works with a run only: {run} has no training images here")
    if run != ZERO_SHOT and (classes or prompts):
        flag = "--classes" if classes else "--prompts"
        raise InputError(
            f"{flag} is for `headstart predict {ZERO_SHOT}`, and a run has classes of its own; got {one_line(run)}"
        )
    if run == ZERO_SHOT:
        from headstart.runs.zeroshot import iter_zero_shot, named_prompts

        if weights is not None or arch is not None:
            raise InputError(
                f"`headstart predict {ZERO_SHOT}` takes a repository or its folder with --backbone, where the text "
                "tower is; --weights and --arch name an image tower alone"
            )
        named = named_prompts(None if classes is None else classes.split(","), prompts)
        predictions = predict_pictures(
            given_paths(paths),
            lambda sources: iter_zero_shot(sources, named, backbone=backbone, top=top),
        )
    elif run == "imagenet":
        built = options.built(arch, arch_args)
        predictions = predict_pictures(
            given_paths(paths), lambda sources: _imagenet(sources, top, backbone, weights, built)
        )
    else:
        import headstart
        from headstart.runs.model import need_classes
        from headstart.runs.predictions import COSTS_NOTE

        opened = headstart.load(run)
        if as_fiftyone:
            need_classes(opened.model, "headstart predict --fiftyone")
        if opened.model.costs is not None and not asked:
            print_prose(note_line(COSTS_NOTE), console(stderr=True))
        if texts is not None and (paths or literal):
            other = "--literal" if literal else repr((paths or [""])[0])
            raise InputError(f"--texts and {other} exclude each other: give one of them")
        if encoder is not None:
            give_encoder(opened, encoder)
        if texts is not None:
            predictions = predict_table(opened, texts, text, top, caution)
        else:
            predictions = predict_given(
                opened,
                given_paths(paths, opened),
                top,
                column=text,
                literal=literal,
                caution=caution,
            )
    failed = _show(predictions, form=asked[0] if asked else "")
    if failed:
        what = "files"
        if run not in ("imagenet", ZERO_SHOT) and opened.is_texts:
            what = "texts or files"
        typer.echo(f"headstart: {what} that could not be read: {failed}", err=True)
        raise typer.Exit(2)


def _show(predictions: Iterator[AnyPrediction], *, form: str) -> int:
    """Print predictions; the number that failed."""
    from headstart.cli.targets import target_lines
    from headstart.runs.predictions import Prediction, predictions_csv, predictions_fiftyone

    if form:
        made = list(predictions)
        if form == "--json":
            echo_json([p.to_dict() for p in made])
        elif form == "--fiftyone":
            typer.echo(predictions_fiftyone([p for p in made if isinstance(p, Prediction)]))
        else:
            typer.echo(escape(predictions_csv(made)), nl=False)
        return sum(p.error is not None for p in made)
    out, failed = console(), 0
    for p in predictions:
        if p.error is not None:
            failed += 1
            reason = re.sub(r"^cannot use '.*?': ", "", p.error)  # the name stands before it
            out.print(f"{one_line(p.name)}: {reason}", soft_wrap=True)
            continue
        out.print(one_line(p.name), style="bold", soft_wrap=True)
        if not isinstance(p, Prediction):
            for line in target_lines(p):
                out.print(f"  {line}", soft_wrap=True)
            continue
        width = max(len(label) for label, _ in p.top)
        for label, probability in p.top:
            bar = "█" * round(20 * probability)
            out.print(f"  {one_line(label):<{width}}  {100 * probability:5.1f} %  {bar}")
        for line in _more(p):
            out.print(f"  {one_line(line)}", soft_wrap=True)
    return failed


def _more(p: Prediction) -> Iterator[str]:
    """What was asked for besides the classes, a line each."""
    if p.refused:
        yield f"refused: {p.refused}"
    if p.labels is not None:
        yield f"label set: {', '.join(p.labels)}"
    if p.novelty is not None:
        yield f"novelty: {100 * p.novelty:.1f} %; nearest: {', '.join(p.nearest)}"


def _imagenet(
    sources: Sequence[str | Picture],
    top: int,
    backbone: str,
    weights: Path | None,
    arch: str | None,
) -> Iterator[Prediction]:
    """ImageNet predictions in the form of a run's."""
    from headstart.backbones import load, predict_imagenet
    from headstart.data.find import name_sources
    from headstart.errors import DataError
    from headstart.runs.predictions import Prediction

    net = load(backbone, weights=weights, arch=arch)
    for path, name in name_sources(sources).items():
        try:
            ranked = predict_imagenet([path], backbone=net, top=top)[0]
        except DataError as error:
            yield Prediction(name=name, error=str(error))
        else:
            yield Prediction(name=name, top=tuple((p.label, p.probability) for p in ranked))

"""What the verbs share that take a table of texts: its options, and what they do with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.comparison import show_comparison, told
from headstart.cli.console import progress_bars
from headstart.cli.flags import flag_of
from headstart.cli.options import default_folder, show_data
from headstart.cli.pictures import STDIN, STDIN_NAME, predict_pictures
from headstart.errors import DataError, InputError, did_you_mean
from headstart.home import expand

if TYPE_CHECKING:
    from headstart.runs.caution import Caution
    from headstart.runs.predictions import Prediction
    from headstart.runs.run import Run

_PANEL = "Texts"


class Texts:
    """Options of tables of texts, as types of a verb's parameters."""

    text = Annotated[
        str | None, typer.Option("--text", help="Column with the texts.", rich_help_panel=_PANEL)
    ]
    label = Annotated[
        str | None, typer.Option("--label", help="Column with the labels.", rich_help_panel=_PANEL)
    ]
    embeddings = Annotated[
        str | None,
        typer.Option(
            "--embeddings",
            help="Word vectors: a file of word2vec, GloVe or fastText, or a published name such as "
            "glove-wiki-gigaword-100; default: learnt from the training texts.",
            rich_help_panel=_PANEL,
        ),
    ]
    encoder = Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="A sentence encoder: folder, installed package or hub name; none: without one. "
            "fit takes the one of headstart[text] where it is installed.",
            rich_help_panel=_PANEL,
        ),
    ]
    epochs = Annotated[
        int | None,
        typer.Option(
            "--epochs", min=1, help="Epochs for each TextCNN; default 10.", rich_help_panel=_PANEL
        ),
    ]


def choose_options(
    data: str, options: Mapping[str, Any], texts: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a fit of images or of texts, by what the data are.

    Raises
    ------
    InputError
        An option is for the other of the two.
    """
    from headstart.data.texts import is_text_table
    from headstart.runs.settings import FitSettings, TextSettings

    given = {name: value for name, value in texts.items() if value is not None}
    if not is_text_table(data, text_column=texts["text"], image_column=options["image_column"]):
        if given:
            check_table_there(data)
            option = "--" + next(iter(given)).replace("_", "-")
            raise InputError(
                f"{option} is for tables of texts, and {data!r} is none: name its text column with --text"
            )
        return dict(options)
    theirs = {field.name for field in fields(TextSettings)}
    for_images = [f for f in fields(FitSettings) if f.name in options and f.name not in theirs]
    for field in for_images:
        if field.name != "label_column" and options[field.name] != field.default:
            hint = ": its split is in a column, --split-column" if field.name == "split" else ""
            option = flag_of(field.name)
            raise InputError(f"{option} is for images, and {data!r} is a table of texts{hint}")
    shared = {name: value for name, value in options.items() if name in theirs}
    if options["label_column"] and not given.get("label"):
        given["label"] = options["label_column"]
    return shared | given


def refuse_split(split: str | None, data: str) -> None:
    """A split file is for images; a table of texts has a column for it.

    Raises
    ------
    InputError
    """
    if split is not None:
        raise InputError(
            f"--split is for images, and {data} is a table of texts: its split is in a column"
        )


def check_table_there(data: str) -> None:
    """A file of a table's name that is not there: what it would hold is not the question then."""
    from headstart.data.texttables import TEXT_SUFFIXES

    path = expand(data)
    if path.suffix.lower() in TEXT_SUFFIXES and not path.exists():
        raise DataError(f"there is no file {data!r}: check the path")


def given_paths(paths: Sequence[str] | None, run: Run | None = None) -> list[str]:
    """What was given, at least one.

    Raises
    ------
    InputError
        There is nothing.
    """
    if not paths:
        is_texts = run is not None and run.is_texts
        kinds = "texts, or a table with --texts" if is_texts else "images"
        raise InputError(f"nothing to predict: give {kinds}")
    return list(paths)


def predict_given(
    run: Run,
    given: Sequence[str],
    top: int,
    *,
    column: str | None,
    literal: bool,
    caution: Caution,
) -> Iterator[Prediction]:
    """Predictions of images; of a run on texts, of texts, files of text and standard input (``-``).

    Raises
    ------
    InputError
        `literal` or `column` with a run on images.
    """
    if not run.is_texts:
        if literal or column is not None:
            option = "--literal" if literal else "--text"
            raise InputError(f"{option} is for runs on texts, and {run.folder} is a run on images")
        return predict_pictures(
            given, lambda sources: run.iter_predict(sources, top=top, caution=caution)
        )
    if literal:
        return run.predict_texts(given, top=top, caution=caution)
    return _with_standard_input(run, given, top, column, caution)


def _with_standard_input(
    run: Run, given: Sequence[str], top: int, column: str | None, caution: Caution
) -> Iterator[Prediction]:
    from headstart.data.textfiles import read_text

    for is_stdin, part in groupby(given, lambda text: text == STDIN):
        if not is_stdin:
            yield from run.iter_predict(list(part), top=top, column=column, caution=caution)
            continue
        try:  # the bytes: the stream would decode them by the console's code page
            text = read_text(sys.stdin.buffer)
        except DataError as error:
            yield run.careful(caution).unreadable(STDIN_NAME, str(error))
        else:
            yield from run.predict_texts([text], names=[STDIN_NAME], top=top, caution=caution)


def give_encoder(run: Run, name: str) -> None:
    """Say where the sentence encoder of a run is.

    Raises
    ------
    InputError
        The run is one on images.
    """
    if not run.is_texts:
        raise InputError(f"--encoder is for runs on texts, and {run.folder} is a run on images")
    run.give_encoder(name)


def predict_table(
    run: Run, path: Path, column: str | None, top: int, caution: Caution
) -> Iterator[Prediction]:
    """Predictions of a table's texts.

    Raises
    ------
    InputError
        The run is one on images.
    """
    if not run.is_texts:
        raise InputError(f"--texts is for runs on texts, and {run.folder} is a run on images")
    return run.predict_table(path, column=column, top=top, caution=caution)


def finetune_texts(
    data: str,
    *,
    compare: str | None,
    variant: str,
    columns: Mapping[str, str | None],
    embeddings: str | None,
    encoder: str | None,
    training: Mapping[str, Any],
    seeds: Sequence[int],
    test_size: float,
    merge_labels: bool,
    device: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train a TextCNN, or all its variants, beside linear SVMs, and show what each reached."""
    from headstart.data.texts import index_texts
    from headstart.features import cache_folder
    from headstart.runs.compare_texts import compare_texts, text_arms
    from headstart.runs.report.comparison import write_comparison
    from headstart.text.encoders import resolve_encoder
    from headstart.text.settings import VARIANTS, TextTraining

    if compare not in (None, "variants"):
        raise InputError(
            f"--compare must be variants for texts; got {compare!r}."
            f"{did_you_mean(str(compare), ['variants'])}"
        )
    set_up = {name: value for name, value in training.items() if value is not None}
    base = TextTraining(**set_up, variant=variant, seed=seeds[0])
    variants = tuple(VARIANTS) if compare else (variant,)
    encoder = resolve_encoder(encoder)
    arms = text_arms(base, variants, encoder=encoder)
    with progress_bars(quiet=as_json) as progress:
        index = index_texts(
            data,
            **columns,
            test_size=test_size,
            merge_labels=merge_labels,
            seed=seeds[0],
            cache=cache_folder(),
            progress=progress,
        )
        show_data(index, progress)
        found = compare_texts(
            index,
            arms,
            seeds=seeds,
            embeddings=embeddings,
            encoder=encoder,
            device=device,
            progress=progress,
            on_outcome=told(quiet=as_json),
        )
    title = "Variants of TextCNN compared" if compare else f"TextCNN {variant} against linear SVMs"
    figures = found.comparison.result(index, title=title, backbone=found.word_vectors, size_px=None)
    folder = out or default_folder(data, compare or f"finetune-{variant}")
    write_comparison(folder, figures)
    show_comparison(figures, folder, as_json=as_json)

"""Export a run's classifier as one checked file, with its model card."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from headstart.errors import InputError, OutputError, argument, one_line
from headstart.export.card import card_text
from headstart.export.checking import Check, check_count, check_file, find_check_images
from headstart.export.facts import SUFFIXES, check_choices, facts_of
from headstart.export.quantising import (
    Loss,
    check_precision,
    measure_loss,
    quantise,
    refuse_caution,
)
from headstart.files import held, require_file, temporary_name, write_atomically
from headstart.progress import Progress, silent
from headstart.runs.caution import Caution
from headstart.runs.model import need_classes, need_images
from headstart.runs.retrieval import index_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headstart.backbones import Backbone
    from headstart.export.caution import CautiousClassifier
    from headstart.export.facts import ExportFacts
    from headstart.export.network import Classifier
    from headstart.export.texts import TextCheck, TextFacts
    from headstart.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The written files.

    Attributes
    ----------
    path, card : Path
        The file, and its card in Markdown.
    n_bytes : int
        Size of the file.
    check : Check
    facts : ExportFacts or TextFacts
        Description in the file: classes, inputs, output, digests.
    loss : Loss, optional
        Of a file in int8: what that costs in accuracy.
    """

    path: Path
    card: Path
    n_bytes: int
    check: Check | TextCheck
    facts: ExportFacts | TextFacts
    loss: Loss | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "path": str(self.path),
            "card": str(self.card),
            "n_bytes": self.n_bytes,
            "check": self.check.to_dict(),
            "facts": msgspec.to_builtins(self.facts),
            **({} if self.loss is None else {"loss": self.loss.to_dict()}),
        }


def export(
    run: Run,
    *,
    to: str = "onnx",
    out: Path | str | None = None,
    takes: str = "pictures",
    precision: str = "float32",
    refuse_below: float | None = None,
    target_accuracy: float | None = None,
    label_sets: float | None = None,
    novelty: float | None = None,
    images: Path | str | None = None,
    n_check: int = 32,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write backbone, head and calibration of a run as one file, and check it on real images.

    A run on texts becomes a folder with a program that needs no Headstart, checked on the run's texts;
    see :func:`headstart.export.texts.export_texts`. Only `out`, `n_check` and `force` are for it.

    Parameters
    ----------
    run : Run
        Of any kind: fine-tuned, a mean of two, with several taps and resolutions.
    to : {"onnx", "torchscript", "safetensors"}
        ``"safetensors"`` holds the weights and their description, for Headstart.
    out : Path or str, optional
        The file, or the folder of a run on texts; default: the run's name with the format's suffix,
        in the current folder.
    takes : {"pictures", "tensors"}
        ``"pictures"``: RGB of any size, uint8 (n, height, width, 3); resizing, cropping and
        normalising are in the file. ``"tensors"``: normalised float32 inputs (n, 3, side, side), one
        per resolution.
    precision : {"float32", "int8"}
        ``"int8"``, for ONNX: a quarter of the size, faster where the processor has 8-bit
        instructions. Ranges are read off training images, and the loss of accuracy is measured on the
        test images.
    refuse_below, target_accuracy, label_sets, novelty : float in (0, 1), optional
        As of :class:`headstart.runs.caution.Caution`. The file then has further outputs: ``answered``
        (n,), whether the answer is not refused; ``label_set`` (n, K), the classes of the set; ``novelty``
        (n,), the share of training images that are less novel. Not of ``"safetensors"``.
    images : Path or str, optional
        A folder of images for the check; default: the run's test images.
    n_check : int >= 1
        Number of images for the check.
    force : bool, default False
        Replace an existing file, or the files of an exported run on texts.
    cache : Path, optional
        Folder of converted networks.
    progress : Progress

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        The format is unknown, or its packages are missing; or a share lies outside (0, 1), or the run
        has too few examples for it.
    OutputError
        The file or folder exists already, or cannot be written.
    RunError
        The run does not keep what a further output needs.
    WeightsError, DataError
        The network's weights or the images are missing.
    HeadstartError
        The results of the file differ from those of PyTorch; it is not kept.
    """
    from headstart.export.caution import CautiousClassifier, check_format, with_caution
    from headstart.export.network import Classifier, load_backbones

    caution = Caution(
        refuse_below=refuse_below,
        target_accuracy=target_accuracy,
        label_sets=label_sets,
        novelty=novelty,
    )
    check_choices(to, takes)
    check_count(n_check)
    if run.model.texts is not None:
        from headstart.export.texts import export_texts

        _refuse_for_texts(
            run,
            {
                "to": (to, "onnx"),
                "takes": (takes, "pictures"),
                "precision": (precision, "float32"),
                "images": (images, None),
                "refuse_below": (refuse_below, None),
                "target_accuracy": (target_accuracy, None),
                "label_sets": (label_sets, None),
                "novelty": (novelty, None),
            },
        )
        return export_texts(
            run, out=out, n_check=n_check, force=force, cache=cache, progress=progress
        )
    need_images(run.model, "headstart export")
    check_format(to, caution)
    check_precision(precision, to)
    if precision == "int8":
        need_classes(run.model, "headstart export --precision int8")
        refuse_caution(caution)
    if to == "onnx":
        from headstart.export.formats import need_onnx

        need_onnx()
    careful = run.careful(caution)
    path = Path(out) if out is not None else Path(run.folder.resolve().name + SUFFIXES[to])
    card = path.with_name(path.name + ".md")
    _check_free(path, card, force=force)
    chosen = find_check_images(run, images, n_check, progress)
    backbones = load_backbones(run.model)
    classifier = Classifier(run.model, backbones)
    facts = with_caution(facts_of(run, classifier, takes), careful)
    whole = CautiousClassifier(classifier, careful) if caution.asked else classifier
    if precision == "int8":
        facts = replace(facts, precision=precision)
    payload = _payload(to, run, whole, backbones, facts, takes, progress)
    float32, index = payload, None
    if precision == "int8":
        index = index_of(run, progress=progress)
        payload = quantise(float32, classifier, index.train, takes=takes, progress=progress)
    # The written file itself is checked, and gets its name only if it passes.
    staged = temporary_name(path)
    write_atomically(staged, payload)
    try:
        with held(staged):
            check = check_file(
                staged,
                to,
                run,
                classifier,
                takes=takes,
                images=chosen,
                careful=careful,
                is_int8=precision == "int8",
                cache=cache,
                progress=progress,
            )
            loss = None
            if index is not None:
                loss = measure_loss(
                    staged,
                    float32,
                    run,
                    classifier,
                    index.test or index.train,
                    takes=takes,
                    are_test_images=bool(index.test),
                    progress=progress,
                )
        text = card_text(
            run, facts, check=check, loss=loss, file_name=path.name, n_bytes=len(payload)
        )
        staged.replace(path)
        write_atomically(card, text.encode())
    finally:
        with contextlib.suppress(OSError):
            staged.unlink()
    return Exported(path=path, card=card, n_bytes=len(payload), check=check, facts=facts, loss=loss)


def _refuse_for_texts(run: Run, given: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise InputError where an option of runs on images was given."""
    for name, (value, usual) in given.items():
        if value != usual:
            raise InputError(
                f"{argument(name)} is for runs on images, and {one_line(str(run.folder))} is a "
                "run on texts, which is exported as a folder with a program: leave it out"
            )


def _payload(
    to: str,
    run: Run,
    classifier: Classifier | CautiousClassifier,
    backbones: Sequence[Backbone],
    facts: ExportFacts,
    takes: str,
    progress: Progress,
) -> bytes:
    from headstart.export import bundle, formats

    if to == "onnx":
        return formats.onnx_bytes(classifier, facts, takes=takes, progress=progress)
    progress("export", 0, 1)
    if to == "torchscript":
        payload = formats.torchscript_bytes(classifier, facts, takes=takes)
    else:
        payload = bundle.bundle_bytes(run.model, backbones, facts)
    progress("export", 1, 1)
    return payload


def _check_free(path: Path, card: Path, *, force: bool) -> None:
    """Fail before the work rather than after it."""
    for file in (path, card):
        shown = one_line(str(file))
        require_file(file)
        if file.exists() and not force:
            raise OutputError(
                f"{shown} exists already: choose another {argument('out')}, or add {argument('force', True)}"
            )

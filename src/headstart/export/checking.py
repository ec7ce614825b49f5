"""Compare an exported file with PyTorch on real images: the same classes, and how close the numbers."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones import normalise
from headstart.data import find_images, read_rgb
from headstart.errors import DataError, HeadstartError, InputError, argument
from headstart.export.caution import CautiousClassifier, check_caution, count_same, output_names
from headstart.export.facts import OUTPUT
from headstart.export.network import Classifier, FromPictures
from headstart.features.pixels import crops
from headstart.progress import Progress, silent
from headstart.runs.classify import classify
from headstart.runs.retrieval import index_of
from headstart.wording import counted

if TYPE_CHECKING:
    from headstart.data import Source
    from headstart.runs.caution import Careful
    from headstart.runs.model import Model
    from headstart.runs.run import Run

Inputs = tuple[NDArray[Any], ...]
# One array for each output.
Outputs = Sequence[NDArray[Any]]
Runner = Callable[[Inputs], Outputs]

# Tolerance in probability between runtimes on the same network input.
TOLERANCE = 1e-3
# If the file also resizes: ONNX Runtime's antialiasing differs from torch's by a grey level or two.
# This bounds the mean over images; a single image near a decision boundary may differ by more.
PICTURES_TOLERANCE = 0.02
WHAT = {"classes": "class", "labels": "labels", "numbers": "number"}


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of the comparison.

    Attributes
    ----------
    runtime : str
        Name of the runtime.
    n_images : int
    max_difference, mean_difference : float
        Largest difference over the classes between the file's probabilities and those of PyTorch on
        the same input: maximum and mean over the images.
    n_same_class : int
        Images for which both predict the same class.
    max_difference_to_predict : float
        As `max_difference`, against ``run.predict``, whose features are rounded to float16, may be
        computed in bfloat16, and come from a reduced decode.
    n_same_as_predict : int
    what : str
        What is predicted: the class, the labels or the number; numbers are compared in units of the
        width of the interval of a prediction, and are the same within 1 %.
    n_same_caution : int, optional
        Images that are answered, and have the label set, as ``run.predict`` says; None where the file
        has no outputs for that.
    """

    runtime: str
    n_images: int
    max_difference: float
    mean_difference: float
    n_same_class: int
    max_difference_to_predict: float
    n_same_as_predict: int
    what: str = "class"
    n_same_caution: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        n = self.n_images
        same = self.n_same_caution
        cautious = (
            "" if same is None else f"; answers, refuses and gives label sets alike for {same}"
        )
        return (
            f"{self.runtime} gives the {self.what} of PyTorch for {self.n_same_class} of {counted(n, 'image')}, "
            f"{'widths' if self.what == 'number' else 'probabilities'} within {self.max_difference:.1e}; that of headstart predict for "
            f"{self.n_same_as_predict}, within {self.max_difference_to_predict:.1e}{cautious}"
        )


def check_file(
    path: Path,
    to: str,
    run: Run,
    classifier: Classifier,
    *,
    takes: str,
    images: Sequence[Path],
    careful: Careful | None = None,
    is_int8: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Check:
    """Run the file and its original network on the same images.

    Raises DataError where no image can be read; HeadstartError where the results of the file differ
    from those of PyTorch.

    Parameters
    ----------
    path : Path
        The file.
    to : {"onnx", "torchscript", "safetensors"}
    classifier : Classifier
        The original of the file.
    takes : {"pictures", "tensors"}
    images : sequence of Path
        Unreadable images are skipped.
    careful : Careful, optional
        Whose caution the file has further outputs for.
    is_int8 : bool, default False
        Differences are expected: they are measured, and no reason to refuse the file.
    cache : Path, optional
        Folder of converted networks.
    """
    run_file, runtime = RUNNERS[to](path, classifier, takes)
    cautious = careful if careful is not None and careful.caution.asked else None
    whole = classifier if cautious is None else CautiousClassifier(classifier, cautious)
    reference = whole if takes == "tensors" else FromPictures(whole)
    compared: dict[Source, NDArray[np.float64]] = {}

    def keep(model: Model, sources: Sequence[Source], X: NDArray[np.float32]) -> None:
        known = cautious.reference if cautious is not None else None
        if known is not None and known.is_of(model):
            compared.update(zip(sources, known.compare(X), strict=True))

    found, expected, predicted, said = [], [], [], []
    done = classify(run.model, images, backbone=lambda: run.backbone, cache=cache, on_features=keep)
    for i, (image, (source, p, _)) in enumerate(zip(images, done, strict=True)):
        if p is not None:
            inputs = file_inputs(image, classifier, takes)
            found.append([output[0] for output in run_file(inputs)])
            expected.append([output[0] for output in _run_module(reference, inputs)])
            predicted.append(p)
            if cautious is not None:
                said.append(cautious.answer(str(image), p, compared.pop(source, None)))
        progress("check the file", i + 1, len(images))
    if not found:
        raise DataError(
            f"no image to check the file with can be read: give others with {argument('images')}"
        )
    given, wanted = (
        [np.array(each) for each in zip(*outputs, strict=True)] for outputs in (found, expected)
    )
    check = _judged(
        runtime,
        given[0],
        wanted[0],
        np.array(predicted),
        is_resized=takes == "pictures",
        model=run.model,
        is_int8=is_int8,
    )
    if cautious is None:
        return check
    names = (OUTPUT, *output_names(cautious.caution))
    outputs = dict(zip(names, given, strict=True))
    check_caution(cautious, outputs, dict(zip(names, wanted, strict=True)), said)
    return replace(check, n_same_caution=count_same(cautious, outputs, said))


def _judged(
    runtime: str,
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    predicted: NDArray[np.float64],
    *,
    is_resized: bool,
    model: Model | None = None,
    is_int8: bool = False,
) -> Check:
    """Compare probabilities (n, K), or numbers (n, 1) in units of the width of their intervals."""
    target = "classes" if model is None else model.target
    unit = 1.0
    if model is not None and target == "numbers":
        unit = 2 * (model.half_width or max(float(np.abs(predicted).max()), 1e-12))
    difference = np.abs(found - expected).max(axis=1) / unit
    decided = [_decide(values, predicted, unit, model) for values in (found, expected, predicted)]
    check = Check(
        runtime=runtime,
        n_images=len(found),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        n_same_class=int((decided[0] == decided[1]).all(axis=1).sum()),
        max_difference_to_predict=float((np.abs(found - predicted) / unit).max()),
        n_same_as_predict=int((decided[0] == decided[2]).all(axis=1).sum()),
        what=WHAT[target],
    )
    if is_int8 and np.isfinite(found).all():
        return check
    far = check.mean_difference if is_resized else check.max_difference
    is_other = target != "numbers" and _differ(found, expected, model)
    # Also true for NaN.
    if not far <= (PICTURES_TOLERANCE if is_resized else TOLERANCE) or is_other:
        raise HeadstartError(
            f"the exported file is wrong and was not kept ({check.sentence}): please report it"
        )
    return check


def _decide(
    values: NDArray[Any], predicted: NDArray[Any], unit: float, model: Model | None
) -> NDArray[Any]:
    """What is predicted, in columns: the class, each label, or how far a number is from `predicted`."""
    if model is None or model.target == "classes":
        return np.asarray(values.argmax(axis=1))[:, None]
    if model.target == "labels":
        return np.asarray(values >= np.array(model.thresholds))
    return np.asarray(np.round((values - predicted) / unit / PICTURES_TOLERANCE))


def _differ(found: NDArray[Any], expected: NDArray[Any], model: Model | None) -> bool:
    """Whether the class, or a label, differs for an image with a clear margin in PyTorch.

    If two classes are closer than the tolerance, either may come first.
    """
    allowed = 2 * np.abs(found - expected).max(axis=1)
    if model is not None and model.target == "labels":
        t = np.array(model.thresholds)
        is_clear = np.abs(expected - t) > np.maximum(allowed, 1e-6)[:, None]
        return bool((is_clear & ((found >= t) != (expected >= t))).any())
    first = expected.max(axis=1)
    theirs = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return bool((first - theirs > np.maximum(allowed, 1e-6)).any())


def find_check_images(
    run: Run, images: str | Path | None, n: int, progress: Progress = silent
) -> list[Path]:
    """`n` images, evenly spaced over a folder or over the run's test images.

    Raises DataError where there are none.
    """
    if images is not None:
        found = [path for path, _ in find_images([images])]
    else:
        try:
            indexed = index_of(run, progress=progress)
        except DataError as error:
            raise DataError(
                f"{error} (or give any pictures to check the file with: {argument('images', 'FOLDER')})"
            ) from error
        found = [record.path for record in indexed.test or indexed.records]
    chosen = np.unique(np.linspace(0, len(found) - 1, num=min(n, len(found))).round().astype(int))
    return [found[i] for i in chosen]


def file_inputs(path: Path, classifier: Classifier, takes: str) -> Inputs:
    """The file's inputs for one image."""
    if takes == "pictures":
        return (np.array(read_rgb(path))[None],)
    cut = crops(path, classifier.views)
    pairs = zip(cut, classifier.views, strict=True)
    return tuple(normalise(torch.from_numpy(crop)[None], view).numpy() for crop, view in pairs)


def _run_onnx(path: Path, classifier: Classifier, takes: str) -> tuple[Runner, str]:
    import onnxruntime

    return run_onnx(path), f"ONNX Runtime {onnxruntime.__version__}"


def run_onnx(path: Path, *, n_threads: int = 0) -> Runner:
    """A function that runs an ONNX file; 0 threads: as many as the runtime likes."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run_file(inputs: Inputs) -> Outputs:
        return [np.asarray(a) for a in session.run(None, dict(zip(names, inputs, strict=True)))]

    return run_file


def _run_torchscript(path: Path, classifier: Classifier, takes: str) -> tuple[Runner, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns in favour of torch.export
        module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return functools.partial(_run_module, module), f"TorchScript {torch.__version__}"


def _run_safetensors(path: Path, classifier: Classifier, takes: str) -> tuple[Runner, str]:
    from headstart.export.bundle import open_classifier

    module: torch.nn.Module = open_classifier(path)
    if takes == "pictures":
        assert isinstance(module, Classifier)
        module = FromPictures(module)
    return functools.partial(_run_module, module), "the file, opened again,"


def _run_module(module: torch.nn.Module, inputs: Inputs) -> Outputs:
    with torch.inference_mode():
        found = module(*[torch.from_numpy(array) for array in inputs])
    return [output.numpy() for output in (found if isinstance(found, tuple) else (found,))]


RUNNERS: dict[str, Callable[[Path, Classifier, str], tuple[Runner, str]]] = {
    "onnx": _run_onnx,
    "torchscript": _run_torchscript,
    "safetensors": _run_safetensors,
}


def check_count(n: int) -> None:
    """Raise InputError unless at least one image is requested."""
    if n < 1:
        raise InputError(f"{argument('n_check')} must be at least 1, got {n}")

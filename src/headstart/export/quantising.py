"""ONNX files with 8-bit arithmetic, and what that costs in accuracy.

Post-training quantisation by ONNX Runtime: weights per channel, activations per tensor with ranges that
are read off training images. B. Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference" (CVPR 2018).
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.groups import groups_of
from headstart.errors import DataError, InputError, argument, require_choice
from headstart.export.facts import size_of_file
from headstart.heads.accuracy import paired_gain
from headstart.progress import Progress, silent
from headstart.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headstart.data import Record
    from headstart.export.checking import Inputs, Runner
    from headstart.export.network import Classifier
    from headstart.results import Interval
    from headstart.runs.caution import Caution
    from headstart.runs.run import Run

PRECISIONS = ("float32", "int8")
# Images that give the ranges of activations.
N_CALIBRATION = 64
# Labelled images, at most, on which the loss is measured.
N_MEASURED = 1000
# What carries almost all of the computation; resizing, head and probabilities stay in float32. Clip and Relu
# cost nothing: they are merged into the convolution before them, whose range becomes that of their output.
_OPERATORS = ["Conv", "MatMul", "Gemm", "Clip", "Relu"]
_HEAD = ".coef"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What the 8-bit file loses on labelled images."""

    n_images: int
    accuracy: float
    accuracy_float32: float
    # accuracy in int8 less that in float32, on the same images, with its 95 % interval; of new
    # groups where the images come in groups
    difference: Interval
    n_same_class: int  # images that both files give the same class
    are_test_images: bool  # or the training images, of a run without test images
    n_bytes_float32: int  # size of the file in float32
    # processor time of the int8 file for these images over that of the float32 file, on this
    # machine
    cpu_time_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self) | {"difference": [*self.difference]}

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        kind = "test image" if self.are_test_images else "training image"
        d = self.difference
        return (
            f"int8 is right on {100 * self.accuracy:.1f} % of {counted(self.n_images, kind)}, float32 on "
            f"{100 * self.accuracy_float32:.1f} %: a difference of {100 * d.value:+.1f} "
            f"[{100 * d.low:+.1f}, {100 * d.high:+.1f}] points; the same class for {self.n_same_class}. "
            f"It takes {self.cpu_time_ratio:.2f} times the processor time of float32 here "
            f"({size_of_file(self.n_bytes_float32)})"
        )


def check_precision(precision: str, to: str) -> None:
    """Raise InputError for an unknown precision, or one that the format does not have."""
    require_choice("precision", precision, PRECISIONS)
    if precision == "int8" and to != "onnx":
        raise InputError(
            f"{argument('precision', 'int8')} is made by ONNX Runtime: take {argument('to', 'onnx')}, got {to!r}"
        )


def refuse_caution(caution: Caution) -> None:
    """Raise InputError where an int8 file is asked for outputs besides the probabilities."""
    if caution.asked:
        raise InputError(
            f"{argument(next(iter(caution.asked)))} was measured in float32 and is not that of "
            f"{argument('precision', 'int8')}: leave one of them out"
        )


def quantise(
    payload: bytes,
    classifier: Classifier,
    records: Sequence[Record],
    *,
    takes: str,
    progress: Progress = silent,
) -> bytes:
    """The ONNX file in int8.

    Raises DataError where none of them can be read.

    Parameters
    ----------
    payload : bytes
        The file in float32.
    classifier : Classifier
        Its original, which knows its inputs.
    records : sequence of Record
        Training images; up to `N_CALIBRATION` of them, evenly spaced, give the ranges.
    takes : {"pictures", "tensors"}
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantise_file
    from onnxruntime.quantization.shape_inference import quant_pre_process as prepare

    onnxruntime.disable_telemetry_events()
    model = onnx.load_from_string(payload)
    names = [given.name for given in model.graph.input]
    heads = [n.name for n in model.graph.node if any(i.endswith(_HEAD) for i in n.input)]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._inputs = _readable_inputs(
                _spread(records, N_CALIBRATION), classifier, takes, progress
            )
            self.n_read = 0

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            inputs = next(self._inputs, None)
            if inputs is None:
                return None
            self.n_read += 1
            return dict(zip(names, inputs, strict=True))

    reader = Reader()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        whole, prepared, made = (
            Path(folder) / f"{n}.onnx" for n in ("float32", "prepared", "int8")
        )
        whole.write_bytes(payload)
        prepare(str(whole), str(prepared), skip_symbolic_shape=True)
        quantise_file(
            _with_own_biases(_with_one_operator_set(onnx.load(prepared))),
            str(made),
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=heads,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        small = _with_shared_constants(onnx.load(made))
    if not reader.n_read:
        raise DataError("no training image can be read, and the ranges of int8 are read off them")
    del small.metadata_props[:]
    small.metadata_props.extend(model.metadata_props)
    small.producer_name, small.producer_version = model.producer_name, model.producer_version
    found: bytes = small.SerializeToString()
    return found


def measure_loss(
    int8: Path,
    float32: bytes,
    run: Run,
    classifier: Classifier,
    records: Sequence[Record],
    *,
    takes: str,
    are_test_images: bool,
    progress: Progress = silent,
) -> Loss:
    """Accuracy of both files on the same labelled images; unreadable ones are skipped.

    Raises DataError where none of them can be read.
    """
    from headstart.export.checking import file_inputs, run_onnx

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.onnx"
        whole.write_bytes(float32)
        # One thread: idle threads of ONNX Runtime spin, which would count as processor time.
        runners = [run_onnx(path, n_threads=1) for path in (int8, whole)]
        kept, found, cpu_s = [], [], np.zeros(2)
        chosen = _spread(records, N_MEASURED)
        for i, record in enumerate(chosen):
            with contextlib.suppress(DataError):
                inputs = file_inputs(record.path, classifier, takes)
                each = [_timed(run_file, inputs) for run_file in runners]
                found.append([probabilities for probabilities, _ in each])
                kept.append(record)
                if len(found) > 1:  # the first image allocates
                    cpu_s += [seconds for _, seconds in each]
            progress("measure int8", i + 1, len(chosen))
    if not found:
        raise DataError("no image of the run can be read, and the loss of int8 is measured on them")
    y, classes = np.asarray([r.label for r in kept]), np.asarray(run.model.classes)
    both = np.asarray(found, dtype=np.float64)
    small, large = (classes[run.model.decide(both[:, side])] for side in (0, 1))
    return Loss(
        n_images=len(y),
        accuracy=float((small == y).mean()),
        accuracy_float32=float((large == y).mean()),
        difference=paired_gain(small == y, large == y, groups=groups_of(kept)),
        n_same_class=int((small == large).sum()),
        are_test_images=are_test_images,
        n_bytes_float32=len(float32),
        cpu_time_ratio=float(cpu_s[0] / cpu_s[1]) if cpu_s[1] > 0 else 1.0,
    )


def _timed(run_file: Runner, inputs: Inputs) -> tuple[NDArray[np.float32], float]:
    """Probabilities of one image, and the processor time that they took."""
    start = time.process_time()
    found = run_file(inputs)[0][0]
    return found, time.process_time() - start


def _with_one_operator_set(model: Any) -> Any:
    """The default domain has two names, and ONNX Runtime's optimiser may leave both in a model."""
    versions = {o.domain: o.version for o in model.opset_import if o.domain != "ai.onnx"}
    named = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    for domain, version in (versions | {"": max(named)}).items():
        model.opset_import.add(domain=domain, version=version)
    return model


def _with_own_biases(model: Any) -> Any:
    """Each node has a bias of its own: its scale is that of the node's input, which differs."""
    import onnx

    known = {constant.name: constant for constant in model.graph.initializer}
    taken: set[str] = set()
    for node in model.graph.node:
        bias = node.input[2] if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 else ""
        if bias in taken:
            copy = onnx.TensorProto()
            copy.CopyFrom(known[bias])
            copy.name = f"{bias}/{node.name or node.output[0]}"
            model.graph.initializer.append(copy)
            node.input[2] = copy.name
        elif bias in known:
            taken.add(bias)
    return model


def _with_shared_constants(model: Any) -> Any:
    """Equal constants once: a network at several resolutions has the same weights at each."""
    first: dict[bytes, str] = {}
    other: dict[str, str] = {}
    for constant in model.graph.initializer:
        name, constant.name = constant.name, ""
        kept = first.setdefault(constant.SerializeToString(), name)
        constant.name = name
        if kept != name:
            other[name] = kept
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]
    kept_constants = [c for c in model.graph.initializer if c.name not in other]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept_constants)
    return model


def _spread(records: Sequence[Record], n: int) -> list[Record]:
    n = min(n, len(records))
    return [records[int(i)] for i in np.linspace(0, len(records) - 1, num=n).round()]


def _readable_inputs(
    records: Sequence[Record], classifier: Classifier, takes: str, progress: Progress
) -> Iterator[tuple[NDArray[Any], ...]]:
    from headstart.export.checking import file_inputs

    for i, record in enumerate(records):
        with contextlib.suppress(DataError):
            yield file_inputs(record.path, classifier, takes)
        progress("read ranges", i + 1, len(records))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without ONNX Runtime's advice on preprocessing, which is done, and its prints."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logging.root.setLevel(level)

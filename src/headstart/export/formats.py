"""The formats: ONNX, TorchScript, and safetensors with a description of the network."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from headstart.errors import InputError, argument
from headstart.export.crop import Crop, cut_out, onnx_text
from headstart.export.facts import ExportFacts
from headstart.export.network import FromPictures
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.export.caution import CautiousClassifier
    from headstart.export.network import Classifier

# The first operator set whose Resize has antialiasing; the oldest one is the most widely supported.
OPSET = 18
# The oldest torch that was tried with success. With torch 2.6 old onnxscripts (0.1, 0.2) write what protobuf 7
# refuses, and new ones (0.5.6, 0.7.2) do not translate batch normalisation.
ONNX_FROM = "2.9"
# Limit of protocol buffers.
ONNX_LIMIT_BYTES = 2**31 - 1
EXTRA_FILE = "headstart.json"


def onnx_bytes(
    classifier: Classifier | CautiousClassifier,
    facts: ExportFacts,
    *,
    takes: str,
    progress: Progress = silent,
) -> bytes:
    """The classifier as an ONNX model that includes the weights.

    Raises InputError where the extra ``onnx`` is not installed, or the model is too large for one
    file.

    `facts`: stored as JSON under the key ``headstart`` of the model's metadata. `takes`
    ({"pictures", "tensors"}).
    """
    need_onnx()
    import onnx

    count = torch.export.Dim("n")
    examples = _examples(classifier)
    shapes = (tuple({0: count} for _ in examples),)
    with quiet(), _not_in_place(classifier):
        progress("export", 0, 3)
        traced = torch.export.export(classifier, examples, dynamic_shapes=shapes, strict=False)
        progress("export", 1, 3)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(classifier.inputs),
            output_names=[port.name for port in facts.outputs],
            external_data=False,
            verbose=False,
            optimize=False,
        )
        progress("export", 2, 3)
        assert program is not None
        program.optimize()
    model = program.model_proto
    if takes == "pictures":
        model = _after_crop(model, classifier)
    model.producer_name = "headstart"
    model.producer_version = facts.headstart
    onnx.helper.set_model_props(model, {"headstart": msgspec.json.encode(facts).decode()})
    if model.ByteSize() > ONNX_LIMIT_BYTES:
        raise InputError(
            f"the network has {model.ByteSize() / 2**30:.1f} GiB of weights and an ONNX file holds "
            f"2 GiB: take {argument('to', 'torchscript')} or {argument('to', 'safetensors')}"
        )
    onnx.checker.check_model(model)
    payload: bytes = model.SerializeToString()
    progress("export", 3, 3)
    return payload


@contextmanager
def _not_in_place(module: torch.nn.Module) -> Iterator[None]:
    """Activations that write to new tensors: the exporter takes half as long to convert them."""
    changed = [m for m in module.modules() if getattr(m, "inplace", False) is True]
    for layer in changed:
        layer.inplace = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in changed:
            layer.inplace = True  # type: ignore[assignment]


def need_onnx() -> None:
    """Raise InputError if the extra is not installed, or torch is too old for it."""
    import importlib.util

    from packaging.version import Version

    wanted = ("onnx", "onnxruntime", "onnxscript")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{argument('to', 'onnx')} needs {' and '.join(missing)}: pip install 'headstart[onnx]', or take "
            f"{argument('to', 'torchscript')}"
        )
    if Version(torch.__version__) < Version(ONNX_FROM):
        raise InputError(
            f"{argument('to', 'onnx')} needs torch {ONNX_FROM} or newer, got {torch.__version__}: pip install -U torch "
            f"torchvision, or take {argument('to', 'torchscript')}"
        )


def _after_crop(model: Any, classifier: Classifier | CautiousClassifier) -> Any:
    """The ONNX model preceded by the preprocessing of whole images."""
    import onnx.compose
    import onnx.parser

    names = [f"view_{name}" for name in classifier.inputs]
    text = onnx_text(classifier.views, names, opset=OPSET, ir_version=model.ir_version)
    front = onnx.parser.parse_model(text)
    pairs = list(zip(names, classifier.inputs, strict=True))
    model = onnx.compose.add_prefix(model, "net/", rename_inputs=False, rename_outputs=False)
    return onnx.compose.merge_models(front, model, io_map=pairs)


def torchscript_bytes(
    classifier: Classifier | CautiousClassifier, facts: ExportFacts, *, takes: str
) -> bytes:
    """The classifier traced and frozen; ``torch.jit.load`` runs it without Headstart.

    The facts are stored as ``headstart.json`` in the archive.
    """
    module: torch.nn.Module = classifier
    examples: tuple[Tensor, ...] = _examples(classifier)
    with quiet(), torch.no_grad():
        if takes == "pictures":
            module = FromPictures(classifier)
            # Compiling keeps its branches; tracing would fix those of the example.
            compiled = torch.jit.script(cut_out)
            module.crops = torch.nn.ModuleList(Crop(view, compiled) for view in classifier.views)
            module.eval()
            examples = (torch.zeros(2, 96, 128, 3, dtype=torch.uint8),)
        traced = torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]
        frozen = torch.jit.freeze(traced)
        buffer = io.BytesIO()
        extra = {EXTRA_FILE: msgspec.json.encode(facts).decode()}
        torch.jit.save(frozen, buffer, _extra_files=extra)
    return buffer.getvalue()


def _examples(classifier: Classifier | CautiousClassifier) -> tuple[Tensor, ...]:
    """Two images per view: exporters treat a batch size of one as a constant."""
    return tuple(torch.zeros(2, 3, view.size_px, view.size_px) for view in classifier.views)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of the exporters about their own code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

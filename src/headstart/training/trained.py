"""The result of training: the network, its history, and fast predictions."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headstart import plots
from headstart.backbones import Backbone, Preprocessing, Tap, at_size, load
from headstart.backbones.weights import (
    DESCRIPTION,
    digest_weights,
    fit_weights,
    read_description,
    read_weights,
)
from headstart.errors import WeightsError, one_line
from headstart.features.cores import one_core_workers
from headstart.features.engines import choose_engine
from headstart.features.pixels import crops
from headstart.files import write_atomically
from headstart.progress import Progress, silent
from headstart.training.history import Epoch, curves_of

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.data import Record
    from headstart.training.network import Network
    from headstart.training.settings import TrainSettings

SCHEMA = 1


class TrainingFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a trained network's file tells of the training; names as of `Trained`."""

    schema: int
    settings: dict[str, Any]
    classes: tuple[str, ...]
    history: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    n_trained_parameters: int
    device: str


class NetworkFile(TrainingFile, frozen=True, kw_only=True):
    """What the file of a trained network on images tells, the weights apart."""

    is_cached: bool
    arch: str
    name: str
    source: str
    licence: str
    preprocessing: Preprocessing


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What came of a training, apart from its network and its settings; names as of `Trained`."""

    classes: tuple[str, ...]
    history: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    n_trained_parameters: int
    device: str

    def facts(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `TrainingFile`."""
        own = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(TrainingRecord)
        }
        return own | {"schema": SCHEMA, "settings": settings}


@dataclass(frozen=True, kw_only=True)
class Trained(TrainingRecord):
    """A trained network.

    Attributes
    ----------
    settings : TrainSettings
    classes : tuple of str
        In the order of the logits.
    history : tuple of Epoch
    best_epoch : int
        The epoch of the weights.
    network : Network
        In evaluation mode, on the CPU: normalised images (B, 3, H, W) to logits (B, K).
    backbone : Backbone
        The network as a backbone with the single tap ``"logits"`` and the digest of the trained
        weights.
    seconds : float
        Time of all epochs and of the pass through the frozen part.
    n_trained_parameters : int
    device : str
    is_cached : bool
        Whether the frozen part's activations were stored.
    """

    settings: TrainSettings
    network: Network
    backbone: Backbone
    is_cached: bool

    def _repr_html_(self) -> str:
        """The learning curves, for a notebook."""
        if not self.history:
            return ""
        n = len(self.history)
        svg = plots.learning_curves(
            **curves_of(self.history),
            best=self.best_epoch,
            name="learning",
            title="Learning curves",
            description=f"Loss and accuracy in {n} {'epoch' if n == 1 else 'epochs'}",
        )
        return plots.Figure(svg)

    def logits(
        self,
        records: Sequence[Record],
        *,
        mirrored: bool = False,
        size_px: int | None = None,
        precision: str = "float32",
        progress: Progress = silent,
    ) -> NDArray[np.float32]:
        """Logits of images, with the fastest engine of the machine.

        Parameters
        ----------
        records : sequence of Record
        mirrored : bool, default False
            Average the logits of each image and its mirror image.
        size_px : int, optional
            Side of the crops; default: that of training. Objects appear larger in random crops for
            training than in centre crops, which a somewhat larger side compensates (H. Touvron
            et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019).
        precision : {"float32", "bfloat16"}
        progress : Progress

        Returns
        -------
        float32 array (n, K)

        Raises
        ------
        DataError
            An image cannot be decoded.
        """
        n = len(records)
        backbone = self.backbone
        if size_px is not None:
            at = backbone.preprocessing.at(size_px)
            backbone = dataclasses.replace(backbone, preprocessing=at)
        parts: list[NDArray[np.float32]] = []
        # The converted network is used once and is as large as the weights, so it is not kept.
        with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
            engine = choose_engine(
                backbone,
                n_images=n * (1 + mirrored),
                precision=precision,
                device=self.device,
                cache=Path(folder),
            )
            batches = [records[i : i + engine.batch_size] for i in range(0, n, engine.batch_size)]

            def run(batch: Sequence[Record]) -> NDArray[np.float32]:
                cut = [crops(r.path, [backbone.preprocessing])[0] for r in batch]
                images = np.stack(cut)
                found = engine(images)[0]
                if mirrored:
                    other = engine(np.ascontiguousarray(images[:, :, ::-1]))[0]
                    found = (found + other) / np.float32(2)
                return found

            with one_core_workers(engine.n_workers, "predict") as pool:
                for part in pool.map(run, batches):
                    parts.append(part)
                    progress("predict", sum(map(len, parts)), n)
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)

    def predict(self, records: Sequence[Record], **options: Any) -> list[str]:
        """The predicted class of each image; options as for `logits`."""
        return [self.classes[i] for i in self.logits(records, **options).argmax(1)]

    def save(self, path: Path) -> None:
        """Write weights, settings, classes and history into one safetensors file, atomically.

        Raises
        ------
        OutputError
            The folder is read-only, or the disk is full.
        """
        from safetensors.torch import save

        backbone = self.backbone
        header = NetworkFile(
            arch=backbone.arch,
            name=backbone.name,
            source=backbone.source,
            licence=backbone.licence,
            preprocessing=backbone.preprocessing,
            is_cached=self.is_cached,
            **self.facts(self.settings.to_dict()),
        )
        state = {k: v.contiguous().clone() for k, v in self.network.state_dict().items()}
        write_atomically(
            path, save(state, metadata={DESCRIPTION: msgspec.json.encode(header).decode()})
        )


def as_backbone(
    backbone: Backbone, network: Network, classes: Sequence[str], digest: str
) -> Backbone:
    """The trained network as a backbone whose only tap is the logits."""
    tap = Tap(name="logits", module="", kind="vector", n_features=len(classes))
    return dataclasses.replace(
        backbone,
        name=_once(backbone.name, " fine-tuned"),
        module=network,
        taps=(tap,),
        digest=digest,
        source=_once(backbone.source, ", fine-tuned"),
        n_parameters=sum(p.numel() for p in network.parameters()),
    )


def _once(text: str, suffix: str) -> str:
    return text if text.endswith(suffix) else text + suffix


def load_trained(path: Path, *, device: str = "cpu") -> Trained:
    """Load a file from `Trained.save`; it contains no code.

    Raises
    ------
    WeightsError
        The file is damaged, of a newer version, or does not fit its architecture.
    """
    return rebuild(read_weights(path), read_header(path), shown=one_line(str(path)), device=device)


def rebuild(
    state: Mapping[str, Tensor], header: NetworkFile, *, shown: str, device: str = "cpu"
) -> Trained:
    """A trained network from its weights and the header of `Trained.save`.

    Raises WeightsError where the weights do not fit the architecture; `shown` names their file in
    the message.
    """
    from headstart.training.network import prepare
    from headstart.training.settings import TrainSettings

    preprocessing = header.preprocessing
    backbone = load(header.arch, pretrained=False)
    if preprocessing.size_px != backbone.preprocessing.size_px:
        backbone = at_size(backbone, preprocessing.size_px)
    backbone = dataclasses.replace(
        backbone,
        preprocessing=preprocessing,
        name=header.name,
        source=header.source,
        licence=header.licence,
    )
    settings = TrainSettings.from_dict(header.settings)
    # The regime is irrelevant here, and `scratch` would initialise again.
    plain = dataclasses.replace(settings, regime="all", tap=None, size_px=preprocessing.size_px)
    network = prepare(backbone, len(header.classes), plain).network
    fit_weights(network, state, shown=shown, arch=header.arch)
    return Trained(
        settings=settings,
        classes=header.classes,
        history=header.history,
        network=network,
        backbone=as_backbone(backbone, network, header.classes, digest_weights(network)),
        device=device,
        best_epoch=header.best_epoch,
        seconds=header.seconds,
        n_trained_parameters=header.n_trained_parameters,
        is_cached=header.is_cached,
    )


def read_header(path: Path) -> NetworkFile:
    """The header of `Trained.save`.

    Raises WeightsError where the file has no header, or that of a newer version; ValueError where a
    field is missing or of another type.
    """
    try:
        text, schema = read_description(path)
    except ValueError as error:
        raise WeightsError(
            f"{one_line(str(path))} holds no network that Headstart trained: give the file that "
            "a fine-tuning saved"
        ) from error
    if schema != SCHEMA:
        raise WeightsError(
            f"{one_line(str(path))} has format {one_line(str(schema), limit=20)} and this Headstart "
            f"reads {SCHEMA}: update Headstart"
        )
    return msgspec.json.decode(text, type=NetworkFile)

"""Train a network from settings, images and a backbone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from headstart.augment import Policy, parse_policy
from headstart.backbones.weights import digest_weights
from headstart.errors import argument, explain_full_memory
from headstart.features.engines import pick_device
from headstart.home import cache_folder
from headstart.progress import Progress, silent
from headstart.training import batchnorm
from headstart.training.activations import FrozenRunner, make_upper, value_bytes
from headstart.training.averaging import interpolate
from headstart.training.batches import (
    ActivationBatches,
    Batches,
    Images,
    PixelBatches,
    keep_activations,
    labels_of,
    mean_one,
)
from headstart.training.checking import (
    check_batches,
    check_data,
    counted_records,
    divide_norms,
)
from headstart.training.checkpoints import find_checkpoint, identify
from headstart.training.fabric import make_fabric
from headstart.training.folding import find_folding
from headstart.training.following import ask
from headstart.training.history import Epoch
from headstart.training.images import load_pixels
from headstart.training.loop import Loop
from headstart.training.network import Network, Prepared, prepare
from headstart.training.optimizers import make_groups
from headstart.training.processes import ALONE, Processes, guarded, join, own_device
from headstart.training.regimes import Division, hash_frozen, require_unchanged, set_modes
from headstart.training.trained import Trained, as_backbone

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.training.settings import TrainSettings

# Of a GPU's free memory, for decoded images or activations; the rest is for training.
SHARE_OF_MEMORY = 0.4
# The stage before the first step: its head, its images, its frozen part.
PREPARE = "prepare the training"


def train(
    backbone: Backbone,
    train: Sequence[Record],
    val: Sequence[Record],
    classes: Sequence[str],
    settings: TrainSettings,
    *,
    head: tuple[ArrayLike, ArrayLike] | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
    on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None,
) -> Trained:
    """Train a network on images.

    If it is called in each of several processes started by torchrun, they train one network together,
    with the same result as one process up to rounding (docs/finetuning.md).

    Parameters
    ----------
    backbone : Backbone
        It is not changed.
    train, val : sequence of Record
        Labelled images; if `val` is empty, the last epoch is kept. Each counts by its `weight` in the
        loss; those of weight 0 are left out.
    classes : sequence of str
        The labels, in the order of the logits.
    settings : TrainSettings
    head : (array (K, d), array (K,)), optional
        Initial weights and intercepts of the output layer, from a linear classifier on the pooled
        last features; default random.
    folder : Path, optional
        Folder of the checkpoint. An interrupted run resumes, with a bit-equal result on a CPU; a
        finished run returns its result.
    cache : Path, optional
        Folder for decoded images; default :func:`headstart.features.cache_folder`.
    device : str, default "auto"
        A torch device, or ``"auto"`` for the best available.
    progress : Progress
    on_epoch : function, optional
        Called after each epoch with the history so far.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        A setting does not fit the network or the data.
    DataError
        A class has no training image, a label is unknown, or an image cannot be decoded.
    RunError
        The folder contains a checkpoint of another run, or a damaged one.
    DivergedError
        The loss is not finite.
    LostError
        Another of several processes has ended.
    """
    train, val = counted_records(train), counted_records(val)
    asked_device, root = device, cache or cache_folder()
    device = own_device(pick_device(device))
    processes = join(device)
    if not processes.is_first:
        progress, on_epoch = silent, None
    progress(PREPARE, 0, 1)
    with guarded(processes):
        ask(processes, (train, val), classes, settings, folder, root, asked_device)
        policy, prepared, division = processes.together(
            lambda: _prepare(backbone, (train, val), classes, settings, head, processes)
        )
        # SVMs or random layers of two machines may differ in the last bit.
        processes.take_from_first(prepared.network.head.parameters())
        identity = identify(
            arch=prepared.backbone.arch,
            weights=prepared.backbone.digest,
            settings=settings.to_dict() | {"augment": policy.to_dict()},
            classes=classes,
            train=train,
            val=val,
            head=list(prepared.network.head.parameters()),
        )
        # First of all, refuse a folder of another run.
        checkpoint = find_checkpoint(folder, identity, processes)
        images = _load_images(
            prepared, (train, val), classes, policy, settings, root, progress, processes
        )
        before = hash_frozen(prepared.network, division)
        started = time.perf_counter()
        part, batches = _choose_part(
            prepared, division, settings, images, device, root, progress, processes
        )
        frozen_s = time.perf_counter() - started
        # On the CPU: a GPU rounds the factors of a product.
        folding = find_folding(prepared.network, _probe(prepared))
        with explain_full_memory(device, f"use a smaller {argument('batch_size')}, "):
            batches, images = _on_device(batches, images, torch.device(device))
            loop = Loop(
                network=_place(prepared, settings, division, images, device, processes),
                trained_part=part,
                division=division,
                groups=_groups(prepared.network, division, settings),
                settings=settings,
                policy=policy,
                batches=batches,
                n_images=len(train),
                has_val=bool(val),
                folding=folding,
                fabric=make_fabric(
                    torch.device(device),
                    settings.precision,
                    processes,
                    leaves_unused=bool(settings.gradual_unfreezing),
                ),
                identity=identity,
                folder=folder,
                progress=progress,
                on_epoch=on_epoch,
                processes=processes,
            )
            if checkpoint is not None:
                loop.resume(checkpoint)
            progress(PREPARE, 1, 1)
            loop.run()
            _finish(loop, images, torch.device(device))
    prepared.network.to("cpu").eval().requires_grad_(False)
    require_unchanged(before, hash_frozen(prepared.network, division))
    return _result(prepared, loop, tuple(classes), frozen_s, device)


def _prepare(
    backbone: Backbone,
    sides: tuple[Sequence[Record], Sequence[Record]],
    classes: Sequence[str],
    settings: TrainSettings,
    head: tuple[ArrayLike, ArrayLike] | None,
    processes: Processes,
) -> tuple[Policy, Prepared, Division]:
    """All checks that do not need to read images."""
    policy = _read_policy(settings)
    check_data(*sides, classes, settings)
    prepared = prepare(backbone, len(classes), settings, head)
    division = divide_norms(prepared, settings)
    check_batches(prepared, division, settings, len(sides[0]), processes)
    return policy, prepared, division


def _result(
    prepared: Prepared, loop: Loop, classes: tuple[str, ...], frozen_s: float, device: str
) -> Trained:
    """The result of `train`, when the network has its final weights."""
    network, history = prepared.network, tuple(loop.position.history)
    keeps_best = loop.settings.keep == "best" and loop.has_val
    trained = [p for n, p in network.named_parameters() if n in loop.division.stages]
    return Trained(
        settings=loop.settings,
        classes=classes,
        history=history,
        best_epoch=loop.position.best_epoch if keeps_best else len(history),
        network=network,
        backbone=as_backbone(prepared.backbone, network, classes, digest_weights(network)),
        seconds=frozen_s + sum(epoch.seconds for epoch in history),
        n_trained_parameters=sum(p.numel() for p in trained),
        device=device,
        is_cached=loop.trained_part is not network,
    )


def _place(
    prepared: Prepared,
    settings: TrainSettings,
    division: Division,
    images: PixelBatches,
    device: str,
    processes: Processes = ALONE,
) -> Network:
    """Move the network to its device, channels last, with the initial statistics of its policy."""
    network = prepared.network.to(torch.device(device))
    network.to(memory_format=torch.channels_last)
    if batchnorm.policy_of(settings.bn_policy).estimated == "before":
        _estimate(network, division, images, torch.device(device), processes)
    return network.eval()


def _read_policy(settings: TrainSettings) -> Policy:
    if isinstance(settings.augment, str):
        return parse_policy(settings.augment)
    return Policy.from_dict(settings.augment)


def _load_images(
    prepared: Prepared,
    sides: tuple[Sequence[Record], Sequence[Record]],
    classes: Sequence[str],
    policy: Policy,
    settings: TrainSettings,
    cache: Path,
    progress: Progress,
    processes: Processes = ALONE,
) -> PixelBatches:
    numbers = {label: i for i, label in enumerate(classes)}
    preprocessing = prepared.backbone.preprocessing

    def load(records: Sequence[Record]) -> Images:
        pixels = processes.in_turn(
            lambda: load_pixels(records, preprocessing, cache=cache, progress=progress)
        )
        return Images(
            pixels=pixels,
            labels=labels_of([numbers[r.label] for r in records]),
            weights=mean_one([r.weight for r in records]),
        )

    return PixelBatches(
        train=load(sides[0]),
        val=load(sides[1]),
        policy=policy,
        n_classes=len(classes),
        preprocessing=preprocessing,
        seed=settings.seed,
    )


def _choose_part(
    prepared: Prepared,
    division: Division,
    settings: TrainSettings,
    images: PixelBatches,
    device: str,
    cache: Path,
    progress: Progress,
    processes: Processes,
) -> tuple[nn.Module, Batches]:
    """The trained part and its batches: stored activations if possible."""
    network, tap = prepared.network, division.cut
    n_views = 1 if images.policy.name == "none" else min(settings.views, settings.epochs)
    # AugMix needs three views of an image in each step.
    if tap is None or not n_views or images.policy.name == "augmix":
        return network, images
    n = n_views * len(images.train) + len(images.val)
    if n * value_bytes(prepared, tap) > settings.activations_mib * 2**20:
        return network, images
    upper = make_upper(prepared, tap)
    if upper is None:
        return network, images
    precision = "float32" if settings.precision == "float32" else "bfloat16"
    runner = processes.in_turn(
        lambda: FrozenRunner(
            prepared,
            tap,
            n_images=-(-n // processes.size),
            device=device,
            precision=precision,
            cache=cache,
        )
    )
    try:
        return upper, keep_activations(images, runner, n_views, progress, processes)
    finally:
        runner.close()


def _on_device(
    batches: Batches, images: PixelBatches, device: torch.device
) -> tuple[Batches, PixelBatches]:
    """Keep what the loop reads on a GPU, if it takes a modest share of its free memory."""
    if device.type != "cuda":
        return batches, images
    torch.cuda.empty_cache()  # of the frozen part's pass
    room = int(SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0])
    if batches is images:
        images = images.on(device, room)
        return images, images
    assert isinstance(batches, ActivationBatches)
    return batches.on(device, room), images


def _groups(network: nn.Module, division: Division, settings: TrainSettings) -> Any:
    groups = make_groups(
        network,
        division.stages,
        layer_decay=settings.layer_decay,
        weight_decay=settings.weight_decay,
    )
    if not settings.l2_sp:
        return groups
    # L2-SP replaces weight decay, except for the new layer, which has no pretrained weights.
    top = division.n_stages - 1
    return tuple(g if g.stage == top else dataclasses.replace(g, weight_decay=0.0) for g in groups)


def _estimate(
    network: nn.Module,
    division: Division,
    images: PixelBatches,
    device: torch.device,
    processes: Processes,
) -> None:
    """Estimate the trained layers' statistics over the training images, not augmented."""
    set_modes(network, division)
    frozen = [network.get_submodule(path) for path in division.frozen_modules]
    own = images.plain_batches(images.train, processes)
    batches = (batch.to(device).inputs for batch in own)
    batchnorm.reestimate(network, batches, frozen=frozen, processes=processes)


def _probe(prepared: Prepared) -> torch.Tensor:
    side = prepared.backbone.preprocessing.size_px
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def _finish(loop: Loop, images: PixelBatches, device: torch.device) -> None:
    """Set the final weights: best or last, averaged, with statistics estimated again."""
    settings = loop.settings
    if settings.keep == "best" and loop.has_val:
        kept = loop.best
    else:
        with loop.averaged():
            kept = {k: v.clone() for k, v in loop.weights().items()}
    is_averaged = settings.ema_decay is not None
    if settings.wise_ft is not None:
        kept = interpolate(loop.start, kept, settings.wise_ft)
        is_averaged = True
    loop.set_weights(kept)
    policy = batchnorm.policy_of(settings.bn_policy)
    if policy.estimated == "after" or (is_averaged and policy.uses_batches):
        _estimate(loop.network, loop.division, images, device, loop.processes)

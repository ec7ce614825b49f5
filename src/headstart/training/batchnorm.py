"""BatchNorm policies: which mean and variance normalise in training and at test time.

A BatchNorm layer (Ioffe and Szegedy 2015) has four vectors: weight and bias, which are trained by
gradients, and a running mean and variance, which are not. Usual code updates all four of a pretrained
network from batches of a few images; a policy restricts what changes.
The table of policies is in `headstart.training.bn_policies`.

A layer is *trainable* if it has a parameter that requires a gradient and is not in a frozen module.
Other layers keep the pretrained statistics under every policy, since freezing includes buffers.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import InputError
from headstart.training.bn_policies import POLICIES, policy_of
from headstart.training.processes import ALONE, Processes

__all__ = [
    "POLICIES",
    "check_batch",
    "has_batchnorm",
    "policy_of",
    "prepare",
    "reestimate",
    "without_batchnorm",
]


def has_batchnorm(module: nn.Module) -> bool:
    """Whether `module` has a BatchNorm layer with running statistics.

    These are `torch.nn.BatchNorm1d`, ``2d``, ``3d``, `SyncBatchNorm` and subclasses such as timm's
    ``BatchNormAct2d``.
    """
    return any(True for _ in _layers(module))


def without_batchnorm(module: nn.Module) -> str | None:
    """A message for networks without BatchNorm; None if there is BatchNorm.

    Such as ``VisionTransformer has no BatchNorm (25 LayerNorm): a BatchNorm policy changes
    nothing``.
    """
    if has_batchnorm(module):
        return None
    kinds = Counter(type(layer).__name__ for layer in module.modules())
    norms = [f"{n} {kind}" for kind, n in kinds.most_common() if "norm" in kind.lower()]
    found = f" ({', '.join(norms)})" if norms else ""
    return f"{type(module).__name__} has no BatchNorm{found}: a BatchNorm policy changes nothing"


def prepare(
    module: nn.Module,
    policy: str,
    *,
    frozen: Iterable[nn.Module] = (),
    head: nn.Module | None = None,
) -> None:
    """Prepare `module` for training under a policy.

    Call it after every ``module.train()``, which undoes it, and before creating the optimizer, because
    ``frozen-affine`` and ``affine-only`` exclude parameters from training. It is idempotent.
    ``module.eval()`` needs no counterpart: the running statistics are those that the policy uses at
    test time.

    Raises InputError if the policy is unknown, or is ``affine-only`` and there is no BatchNorm to
    train.

    Parameters
    ----------
    module : nn.Module
        Parameters that the regime freezes already have ``requires_grad=False``.
    policy : str
        One of `POLICIES`.
    frozen : iterable of nn.Module, optional
        Parts of `module` that must not change; needed for BatchNorm layers without weight and
        bias, which ``requires_grad`` cannot mark.
    head : nn.Module, optional
        The new output layer in `module`, which ``affine-only`` also trains (unlike Frankle et al.
        2021, who train from random features).
    """
    rule = policy_of(policy)
    trainable = _trainable(module, frozen)
    for layer in _layers(module):
        # Not `layer.train()`: fused layers contain dropout and activations, which must not change.
        layer.training = rule.uses_batches and layer in trainable
        if rule.affine == "frozen":
            layer.requires_grad_(False)
    if rule.affine == "alone":
        _leave_only(module, trainable, head)


def check_batch(
    module: nn.Module, policy: str, n_images: int, *, frozen: Iterable[nn.Module] = ()
) -> None:
    """Refuse a batch of one image if the policy uses batch statistics.

    Raises InputError where there are fewer than two images and the policy uses batch statistics.

    `module`, `policy`, `frozen`: as in `prepare`, which must have been called. `n_images`: size of
    the batch; check the last, smaller batch of an epoch too.
    """
    if n_images < 2 and policy_of(policy).uses_batches and _trainable(module, frozen):
        raise InputError(
            f"BatchNorm policy {policy!r} normalises with the statistics of the batch, and a batch of "
            f"{n_images} has none of use: take a batch size of 2 or more, or the policy 'source'"
        )


@torch.no_grad()
def reestimate(
    module: nn.Module,
    batches: Iterable[Tensor],
    *,
    frozen: Iterable[nn.Module] = (),
    processes: Processes = ALONE,
) -> bool:
    """Replace the running statistics of trainable BatchNorm layers with those of given images.

    In this one pass, trainable layers normalise with batch statistics, as in training, so that later
    layers see inputs normalised for these images; everything else is in eval mode. Mean and variance
    are those over all values of all batches, without momentum: for a layer with no trainable BatchNorm
    before it, they do not depend on the division into batches. This is AdaBN (Li et al. 2016) with source weights, and "precise"
    BatchNorm (Wu and Johnson 2021, section 3) with trained ones; the latter averages the
    variances of batches, here they are pooled.

    Raises InputError where there are fewer than two images. Returns False, without running
    anything, if no BatchNorm layer is trainable.

    Parameters
    ----------
    module : nn.Module
        Called as ``module(batch)``. Modes and weights are unchanged afterwards.
    batches : iterable of Tensor of shape (B, ...), float32
        Inputs of `module` on its device, not augmented; a last batch of one is joined to the one
        before it.
    frozen : iterable of nn.Module, optional
        As in `prepare`.
    processes : Processes
        With several, each has its own batches, possibly none, and the statistics are over all.
    """
    layers = _trainable(module, frozen)
    if not layers:
        return False
    moments = {layer: _Moments(layer.num_features) for layer in layers}
    with _as_at_test(module, except_for=layers), contextlib.ExitStack() as hooks:
        for layer in layers:
            handle = layer.register_forward_pre_hook(_note(moments[layer]))
            hooks.callback(handle.remove)
        n_images = 0
        for batch in _without_single(batches):
            module(batch)
            n_images += len(batch)
    # Every process that has images has at least two.
    if not processes.any(n_images >= 2):
        raise InputError(f"BatchNorm statistics need two or more training images, got {n_images}")
    for layer, found in moments.items():
        found.sums = processes.sum(found.sums)
        found.write_to(layer)
    return True


class _Moments:
    """Count, sum and sum of squares per channel, in float64 on the CPU, as not all devices have it."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.sums = torch.zeros(2 + 2 * n_channels, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Add values ``(B, C, ...)``."""
        axes = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values.float(), dim=axes, correction=0)
        variance, mean = variance.double().cpu(), mean.double().cpu()
        n = values.numel() // values.shape[1]
        counts = torch.tensor([1, n], dtype=torch.float64)
        self.sums += torch.cat([counts, n * mean, n * (variance + mean.square())])

    def write_to(self, layer: _BatchNorm) -> None:
        """Set the running statistics, with the unbiased variance, as in torch."""
        n_batches, n = (int(count) for count in self.sums[:2])
        if not n_batches or layer.running_mean is None or layer.running_var is None:
            return  # a layer that the forward pass does not use is unchanged
        mean, squares = (self.sums[2:] / n).view(2, self.n_channels)
        variance = (squares - mean.square()).clamp_(min=0)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance * (n / max(n - 1, 1)))
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.fill_(n_batches)


def _note(moments: _Moments) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    return lambda _, args: moments.add(args[0])


def _layers(module: nn.Module) -> Iterator[_BatchNorm]:
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            yield layer


def _trainable(module: nn.Module, frozen: Iterable[nn.Module]) -> dict[_BatchNorm, None]:
    """The trainable layers in order (a dict as an ordered set)."""
    shut = {inner for part in frozen for inner in part.modules()}
    found: dict[_BatchNorm, None] = {}
    for layer in _layers(module):
        own = list(layer.parameters(recurse=False))
        if layer not in shut and (not own or any(p.requires_grad for p in own)):
            found[layer] = None
    return found


def _leave_only(module: nn.Module, layers: Iterable[_BatchNorm], head: nn.Module | None) -> None:
    """Switch off all gradients except those of `layers` and of `head`."""
    kept = {p for layer in layers for p in layer.parameters(recurse=False)}
    if not kept:
        raise InputError(
            "BatchNorm policy 'affine-only' trains the weight and bias of BatchNorm, and the trainable "
            f"part of {type(module).__name__} has none: choose another policy or regime"
        )
    kept |= set(head.parameters()) if head is not None else set()
    for parameter in module.parameters():
        if parameter not in kept:
            parameter.requires_grad_(False)


@contextlib.contextmanager
def _as_at_test(module: nn.Module, *, except_for: Iterable[_BatchNorm]) -> Iterator[None]:
    """Eval mode within the context, but given layers use batch statistics without recording them."""
    modes = [(part, part.training) for part in module.modules()]
    layers = list(except_for)
    try:
        module.eval()
        for layer in layers:
            layer.training, layer.track_running_stats = True, False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
        for part, training in modes:
            part.training = training


def _without_single(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The batches, joining a batch of a single image to a neighbour."""
    held: Tensor | None = None
    for batch in batches:
        if held is not None and (len(held) < 2 or len(batch) < 2):
            held = torch.cat([held, batch])
            continue
        if held is not None:
            yield held
        held = batch
    if held is not None and len(held) > 1:
        yield held
    elif held is not None:
        raise InputError("BatchNorm statistics need two or more training images, got 1")

"""The training loop: steps, epochs, validation, and checkpoints after any step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.augment import Policy, jensen_shannon
from headstart.errors import HeadstartError, argument
from headstart.progress import Progress
from headstart.training import batchnorm
from headstart.training.averaging import Ema, l2_sp_penalty
from headstart.training.batches import (
    Batch,
    Batches,
    cross_entropy,
    derive_seed,
    epoch_order,
    micro_batches,
)
from headstart.training.checkpoints import Checkpoint, Position, save_checkpoint
from headstart.training.folding import Folding
from headstart.training.history import Epoch
from headstart.training.network import HEAD
from headstart.training.optimizers import Group, make_optimizer, set_rates
from headstart.training.processes import ALONE, Processes
from headstart.training.regimes import Division, changing_names, set_modes
from headstart.training.schedules import lowest_stage, rate_at
from headstart.training.stopping import held_interrupt
from headstart.training.syncnorm import synced, with_batch_statistics

if TYPE_CHECKING:
    from headstart.training.settings import TrainSettings

# Images per forward pass on a CPU if this does not change results, so that maps stay in its cache.
CPU_MICRO_BATCH = 8
# Long epochs have checkpoints in between, so that a kill costs at most minutes.
CHECKPOINT_EVERY_S = 300.0


# Steps between looks at the losses on a GPU, which does not wait for the CPU in between.
CHECK_EVERY = 50


class DivergedError(HeadstartError):
    """The training loss is not finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """A step (from 0) of ``n`` images whose loss and number correct may still be on their way."""

    number: int
    n: int
    sums: Tensor


def _precise(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _sums(loss: Tensor, logits: Tensor, targets: Tensor, weight: int = 1) -> Tensor:
    """``weight`` times the loss, and the number correct, where they were computed."""
    n_right = (logits.argmax(1) == targets.argmax(1)).sum()
    dtype = _precise(loss.device)
    return torch.stack([loss.to(dtype) * weight, n_right.to(dtype)])


@dataclass(kw_only=True)
class Loop:
    """One training run."""

    # trained in place; its output layer is the submodule ``head``, as in `Network`
    network: nn.Module
    trained_part: nn.Module  # the module that takes batches: the network, or its upper part
    division: Division
    groups: tuple[Group, ...]
    settings: TrainSettings
    policy: Policy
    batches: Batches
    n_images: int  # number of training images (or other examples)
    has_val: bool
    folding: Folding
    fabric: Any
    identity: Mapping[str, Any]  # identity in checkpoints
    folder: Path | None  # folder of checkpoints
    progress: Progress
    on_epoch: Callable[[tuple[Epoch, ...]], None] | None = None  # function (history)
    # function (epoch, from 1) -> indices of its batches; the same number of batches in every epoch.
    # Default: `epoch_order`.
    order: Callable[[int], list[Tensor]] | None = None
    # called after each optimizer step, for constraints on the weights
    after_step: Callable[[], None] | None = None
    # use fused optimizers: faster for large tables, with different last bits
    is_fused: bool = False
    # with several, each has the same network and takes its part of every micro-batch
    processes: Processes = ALONE
    position: Position = field(default_factory=Position)
    # steps after which losses are read and checked; 0: 1 on a CPU and where processes exchange
    # them, `CHECK_EVERY` on a GPU, which is waited for each time
    check_every: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        optimizer = make_optimizer(self.network, self.groups, self.settings, is_fused=self.is_fused)
        set_modes(self.network, self.division)  # which gradients processes exchange
        self._model, self._optimizer = self.fabric.setup(self.trained_part, optimizer)
        self._frozen = [self.network.get_submodule(p) for p in self.division.frozen_modules]
        self._changing = changing_names(self.network, self.division)
        self.start = {k: v.clone() for k, v in self.weights().items()}
        self._ema = Ema(self.network, self.settings.ema_decay) if self.settings.ema_decay else None
        self._written = time.monotonic()
        if not self.check_every:
            is_waiting = self.fabric.device.type == "cpu" or self.processes.is_several
            self.check_every = 1 if is_waiting else CHECK_EVERY
        self._unread: list[_Step] = []
        self._norms: list[tuple[int, Tensor]] = []
        self.steps_an_epoch = len(self._batches_of(1))

    def _batches_of(self, epoch: int) -> list[Tensor]:
        """The indices of each batch of an epoch."""
        if self.order is not None:
            return self.order(epoch)
        return epoch_order(self.n_images, self.settings.batch_size, self.settings.seed, epoch)

    def weights(self) -> dict[str, Tensor]:
        """The tensors that training may change, by name (not copies)."""
        state = self.network.state_dict()
        return {name: state[name] for name in self._changing}

    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy `weights` into the network."""
        state = self.network.state_dict()
        with torch.no_grad():
            for name, value in weights.items():
                state[name].copy_(value)

    def run(self) -> None:
        """Train until the last epoch or until patience runs out.

        Raises DivergedError where the loss is not finite; KeyboardInterrupt on Ctrl-C, after
        finishing the current step and writing a checkpoint.
        """
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            held_interrupt(may_echo=self.processes.is_several) as is_interrupted,
        ):
            while not self.position.is_done:
                self._train_epoch(is_interrupted)
                self._end_epoch()
                self._write()
                if self._requests(is_interrupted)[0]:
                    raise KeyboardInterrupt

    def _train_epoch(self, is_interrupted: Callable[[], bool]) -> None:
        """Run the remaining steps of the current epoch."""
        position, settings = self.position, self.settings
        lowest = self._set_modes()
        order = self._batches_of(position.epoch)
        with self.folding.fold(), synced(self.network, self.processes):
            while position.step < len(order):
                started = time.perf_counter()
                done = (position.epoch - 1) * len(order) + position.step
                rate = rate_at(done, settings, len(order))
                set_rates(self._optimizer, self.groups, rate, lowest)
                self._step(order[position.step])
                position.step += 1
                position.seconds += time.perf_counter() - started
                self.progress("train", done + 1, settings.epochs * len(order))
                is_stopped, is_due = self._requests(is_interrupted)
                if is_stopped and position.step < len(order):
                    self._write()
                    raise KeyboardInterrupt
                if is_due:
                    self._write()

    def _requests(self, is_interrupted: Callable[[], bool]) -> tuple[bool, bool]:
        """Whether to stop and whether to write a checkpoint, agreed by all processes."""
        is_due = time.monotonic() - self._written > CHECKPOINT_EVERY_S and self.processes.is_first
        asked = self.processes.sum(torch.tensor([int(is_interrupted()), int(is_due)]))
        return bool(asked[0]), bool(asked[1])

    def _set_modes(self) -> int:
        """Set training mode for the trained part of this epoch; return its lowest stage."""
        settings = self.settings
        lowest = lowest_stage(
            self.position.epoch, self.division.n_stages, settings.gradual_unfreezing
        )
        set_modes(self.network, self.division)
        for name, parameter in self.network.named_parameters():
            if self.division.stages.get(name, lowest) < lowest:
                parameter.requires_grad_(False)
        batchnorm.prepare(
            self.network,
            settings.bn_policy,
            frozen=self._frozen,
            head=self.network.get_submodule(HEAD),
        )
        return lowest

    def _step(self, indices: Tensor) -> None:
        """One optimizer step, with gradients summed over micro-batches and processes."""
        n, position = len(indices), self.position
        parts = [self.processes.part(*ends) for ends in micro_batches(n, self._micro_batch(n))]
        rows = (
            torch.cat([torch.arange(*ends) for ends in parts]) if self.processes.size > 1 else None
        )
        batch = self.batches.train_batch(indices, position.epoch, position.step, rows)
        self._optimizer.zero_grad()
        sums, done = (
            torch.zeros(2, dtype=_precise(self.fabric.device), device=self.fabric.device),
            0,
        )
        for start, end in parts:
            part = batch.part(done, done + end - start).to(self.fabric.device)
            done += end - start
            is_last = (start, end) == parts[-1]
            with self.fabric.no_backward_sync(self._model, enabled=not is_last):
                sums += self._accumulate(part, n, start)
        if self.processes.is_several:
            sums = self.processes.sum(sums.cpu())
        self._unread.append(_Step(number=position.step, n=n, sums=sums))
        if len(self._unread) >= self.check_every:
            self._read()
        if self.settings.l2_sp:
            origin = {k: v for k, v in self.start.items() if not k.startswith(f"{HEAD}.")}
            penalty = l2_sp_penalty(self.network.named_parameters(), origin, self.settings.l2_sp)
            self.fabric.backward(penalty)
        if self.settings.clip_norm is not None:
            trained = [p for p in self.network.parameters() if p.grad is not None]
            norm = nn.utils.clip_grad_norm_(trained, self.settings.clip_norm)
            self._norms.append((position.step, norm.detach()))
            if self.check_every == 1:
                self._read()
        self._optimizer.step()
        if self.after_step is not None:
            self.after_step()
        if self._ema is not None:
            self._ema.update(self.network)

    def _read(self) -> None:
        """Check and add up the losses of the steps since the last call, and check gradients."""
        steps, self._unread = self._unread, []
        values = torch.stack([step.sums for step in steps]).tolist() if steps else []
        for step, (loss, n_right) in zip(steps, values, strict=True):
            self._require_finite(loss, "loss", step.number)
            self.position.loss_sum += loss
            self.position.n_right += int(n_right)
            self.position.n_seen += step.n
        norms, self._norms = self._norms, []
        sizes = torch.stack([norm for _, norm in norms]).tolist() if norms else []
        for (number, _), size in zip(norms, sizes, strict=True):
            self._require_finite(size, "gradient", number)

    def _accumulate(self, part: Batch, n: int, start: int) -> Tensor:
        """Forward and backward pass for a part of a step of `n` images; its loss and number correct."""
        position = self.position
        torch.manual_seed(
            derive_seed(self.settings.seed, "drop", position.epoch, position.step, start)
        )
        logits = self._model(torch.cat([part.inputs, *part.views])).float()
        logits, *others = logits.split(len(part.targets))
        loss = cross_entropy(logits, part.targets, smoothing=self.settings.label_smoothing)
        if others:
            loss = loss + (self.policy.consistency or 0.0) * jensen_shannon(logits, *others)
        # DDP averages gradients over processes, but their sum is needed.
        self.fabric.backward(loss * (self.processes.size * len(part.targets) / n))
        return _sums(loss.detach(), logits, part.targets, len(part.targets))

    def _micro_batch(self, n: int) -> int:
        """Images per forward pass, over all processes."""
        if self.settings.micro_batch:
            return min(self.settings.micro_batch, n)
        on_cpu = self.fabric.device.type == "cpu" and self.trained_part is self.network
        if not on_cpu or with_batch_statistics(self.network):
            return n
        return min(CPU_MICRO_BATCH * self.processes.size, n)

    def _require_finite(self, value: float, what: str, step: int) -> None:
        if math.isfinite(value):
            return
        position, settings = self.position, self.settings
        if position.epoch == 1 and step == 0:
            cause = "the first step already: the weights, the data or the precision are at fault"
            remedy = (
                f"take {argument('precision', 'float32')}"
                if settings.precision != "float32"
                else "check them"
            )
        else:
            cause = f"the learning rate {settings.lr:g} is probably too high"
            remedy = f"try {settings.lr / 10:g}"
        kept = f"the last good checkpoint is in {self.folder}" if self.folder else "nothing is kept"
        raise DivergedError(
            f"the {what} is {value} in epoch {position.epoch}, step {step + 1} of "
            f"{self.steps_an_epoch}: {cause}; {remedy}. Training stopped; {kept}"
        )

    def _end_epoch(self) -> None:
        """Validate, record the epoch, and decide whether it is the best and whether to continue."""
        position, settings = self.position, self.settings
        started = time.perf_counter()
        self._read()
        with self.averaged():
            val_loss, val_accuracy = self._validate()
            position.seconds += time.perf_counter() - started
            self._note(val_loss, val_accuracy)
            value = -val_loss if settings.watch == "loss" else val_accuracy
            if not self.has_val or not position.best_epoch or value > position.best_value:
                position.best_epoch, position.best_value = position.epoch, value
                self.best = {k: v.clone() for k, v in self.weights().items()}
        waited = position.epoch - position.best_epoch
        is_stuck = settings.patience is not None and waited >= settings.patience
        position.is_done = position.epoch >= settings.epochs or is_stuck
        position.epoch += 1
        position.step = position.n_seen = position.n_right = 0
        position.loss_sum = position.seconds = 0.0
        if self.on_epoch is not None:
            self.on_epoch(tuple(position.history))

    def _note(self, val_loss: float, val_accuracy: float) -> None:
        position = self.position
        last_step = position.epoch * self.steps_an_epoch - 1
        position.history.append(
            Epoch(
                epoch=position.epoch,
                train_loss=position.loss_sum / position.n_seen,
                train_accuracy=position.n_right / position.n_seen,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                lr=rate_at(last_step, self.settings, self.steps_an_epoch),
                seconds=position.seconds,
            )
        )

    def _validate(self) -> tuple[float, float]:
        """Cross-entropy and accuracy on the validation images, both weighted; NaN without any."""
        self.network.eval()
        device = self.fabric.device
        # Loss, how many are right, how many there are: each image as often as it counts.
        sums = torch.zeros(3, dtype=_precise(device), device=device)
        with torch.no_grad(), self.folding.fold():
            for whole in self.batches.val_batches(self.processes):
                batch = whole.to(device)
                logits = self._model(batch.inputs).float()
                counts = batch.targets.sum(1).to(sums.dtype)
                is_right = logits.argmax(1) == batch.targets.argmax(1)
                loss = F.cross_entropy(logits, batch.targets, reduction="sum")
                n_right = (is_right * counts).sum()
                sums += torch.stack([loss.to(sums.dtype), n_right, counts.sum()])
        own = sums.cpu().double()
        loss, n_right, n = self.processes.sum(own).tolist()
        return (loss / n, n_right / n) if n else (math.nan, math.nan)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Use averaged weights within the context, if there are any."""
        if self._ema is None:
            yield
            return
        own = {k: v.clone() for k, v in self.weights().items()}
        self._ema.copy_to(self.network)
        try:
            yield
        finally:
            self.set_weights(own)

    def _write(self) -> None:
        self._read()  # so that nothing that is not finite is kept
        if (folder := self.folder) is None:
            return
        self.processes.on_first(lambda: save_checkpoint(folder, self.checkpoint()))
        self._written = time.monotonic()

    def checkpoint(self) -> Checkpoint:
        """The state for resuming."""
        tensors = {f"network.{k}": v for k, v in self.weights().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        numbers: dict[str, Any] = {}
        for index, entry in self._optimizer.state_dict()["state"].items():
            for key, value in entry.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
        if self._ema is not None:
            tensors |= {f"ema.{k}": self._ema.values[k].clone() for k in self._changing}
            numbers["ema_updates"] = self._ema.n_updates
        return Checkpoint(
            identity=self.identity, position=self.position, tensors=tensors, numbers=numbers
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, value in checkpoint.tensors.items():
            kind, _, rest = name.partition(".")
            found.setdefault(kind, {})[rest] = value
        self.set_weights(found["network"])
        self.best = found.get("best", {})
        self.position = checkpoint.position
        self._resume_optimizer(found.get("optimizer", {}))
        if self._ema is not None:
            values = self._ema.values | found["ema"]
            self._ema.restore(checkpoint.numbers["ema_updates"], values)

    def _resume_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            if value.shape == like.shape:
                # Keep the parameter's memory layout: another one rounds differently.
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)
            state.setdefault(int(index), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})

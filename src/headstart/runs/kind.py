"""The steps of a fit that images and texts do not share; :mod:`headstart.runs.job` has the others."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.progress import Progress
from headstart.runs.networks import Networks

if TYPE_CHECKING:
    from headstart.data.records import Examples
    from headstart.runs.choose import Candidate
    from headstart.runs.measure import Task
    from headstart.runs.metrics import Results
    from headstart.runs.origin import Origin
    from headstart.runs.outcome import Finetuning
    from headstart.runs.refit import TrainNetwork
    from headstart.runs.run_file import RunFile
    from headstart.runs.training_plan import Asked
    from headstart.sources import Source

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Clock:
    """When a fit began, and the seconds that its stages took."""

    started: float = field(default_factory=time.perf_counter)
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def spent_s(self) -> float:
        """Seconds since the fit began."""
        return time.perf_counter() - self.started

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Keep and log the seconds of a stage."""
        start = time.perf_counter()
        yield
        self.timings_s[stage] = time.perf_counter() - start
        logger.info("%s: %.2f s", stage, self.timings_s[stage])


@dataclass(kw_only=True)
class Kind(ABC):
    """A kind of examples: how they are read, and what is done with no other kind."""

    cache: Path
    progress: Progress
    clock: Clock = field(default_factory=Clock)
    asked: Asked | None = None

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """Context in which a cluster computes for the fit; does nothing by default."""
        yield

    def check(self) -> None:  # noqa: B027 - most kinds have nothing to check
        """Refuse what cannot be used, before hours go into reading the examples."""

    @abstractmethod
    def index(self) -> Examples[Any]:
        """The labelled examples with their split."""

    @abstractmethod
    def open(self, index: Any) -> tuple[Examples[Any], Source]:
        """The source of features, and the examples that it can give them of."""

    def networks(
        self, task: Task, rivals: Sequence[Candidate], *, is_stopped: bool
    ) -> tuple[Networks, TrainNetwork | None]:
        """Networks as further candidates, and what trains one on all training examples.

        They are compared with `rivals`. None is tried once Ctrl-C has stopped the fit.
        """
        return Networks(), None

    @property
    def tries_finetuning(self) -> bool:
        """Whether `finetune` tries to beat the choice by a network."""
        return False

    def finetune(
        self, results: Results, folds: NDArray[np.int64], ends_at: float
    ) -> Finetuning | None:
        """What came of a network that was fine-tuned."""
        return None

    @abstractmethod
    def figures(self, results: Results, task: Task) -> dict[str, Any]:
        """Fields of :class:`headstart.runs.result.FitResult` of this kind alone."""

    @abstractmethod
    def provenance(self, results: Results) -> RunFile:
        """``run.json``."""

    def files(self) -> dict[str, bytes]:
        """Further files of the run, by name."""
        return {}

    def pictures(self, results: Results, digests: set[str]) -> dict[str, bytes]:
        """Small pictures of examples, by digest, for the report."""
        return {}

    @abstractmethod
    def origin(self, results: Results) -> Origin:
        """Where the data is, to find it again."""

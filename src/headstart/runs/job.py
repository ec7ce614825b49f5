"""The stages of a fit in order, of images and of texts, and the files that they leave.

What only one of the two has is in :mod:`headstart.runs.images` and :mod:`headstart.runs.texts`: the
pass through the backbone and fine-tuning; TextCNNs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.comparison.comparing import MANY_IMAGES
from headstart.data import training_records
from headstart.data.groups import require_enough_groups
from headstart.errors import argument
from headstart.files import write_atomically
from headstart.probe import training_folds
from headstart.probe.folds import N_FOLDS
from headstart.results import write
from headstart.runs.averaging import average_best
from headstart.runs.checks import checks_of, with_checks, with_final_parts
from headstart.runs.choose import Candidate, choose, join_worth_having
from headstart.runs.heldout import held_out_of
from headstart.runs.leaks import with_leaks
from headstart.runs.measure import Task, Watch, measure, unwatched
from headstart.runs.metrics import Results, metrics
from headstart.runs.objective import Objective, objective_of
from headstart.runs.predictions import write_test_predictions
from headstart.runs.refit import TrainNetwork, refit
from headstart.runs.reliability import reliability_of
from headstart.runs.report import write_report
from headstart.runs.result import METRICS
from headstart.runs.run_file import RUN_FILE
from headstart.runs.targets import NO_FINETUNING, TargetResults, fit_on_targets
from headstart.sources.image import ImageSource
from headstart.sources.several import SeveralSource
from headstart.training.stopping import held_interrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from headstart.data.records import Example, Examples
    from headstart.runs.averaging import Head
    from headstart.runs.images import Images
    from headstart.runs.networks import Networks
    from headstart.runs.refit import Tested
    from headstart.runs.reliance import Checks
    from headstart.runs.texts import Texts
    from headstart.sources.blocks import Blocks

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Job:
    """One fit under way: its stages in order."""

    kind: Images | Texts  # with the settings, and the steps of this kind alone
    out: Path  # where the run will be
    taken: Path | None = None  # where it would be, had not another run that name
    watch: Watch = unwatched  # told of every candidate as it is measured

    def run(self, scratch: Path) -> Results | TargetResults:
        """All stages; the run's files are left in ``scratch``."""
        self.kind.check()
        with self.kind.cluster():
            return self._run(scratch)

    def _run(self, scratch: Path) -> Results | TargetResults:
        kind, clock = self.kind, self.kind.clock
        with clock.timed("index"):
            index: Any = kind.index()
        if index.kind == "classes":
            objective_of(kind.settings, index)  # refuses before the examples are read
        elif kind.settings.budget_s is not None and kind.settings.finetune:
            logger.warning(NO_FINETUNING)
        if self.taken is not None:  # now that the settings and the data are known to be good
            logger.warning(
                "%s is taken, so the run will be %s (%s replaces it)",
                self.taken,
                self.out,
                argument("force", True),
            )
        index, source = kind.open(index)
        train: tuple[Example, ...] = training_records(index)
        task = Task(
            source=source,
            records=train,
            folds=self._folds(index, train),
            Cs=sorted(kind.settings.Cs),
            cache=kind.cache,
            objective=objective_of(kind.settings, index)
            if index.kind == "classes"
            else Objective(),
            more_folds=self._more_folds(index, train),
        )
        if index.kind != "classes":
            return fit_on_targets(kind, task, index, scratch, str(self.out))
        with clock.timed("cross_validation"):
            measured = measure(
                task,
                exact=kind.settings.exact,
                progress=kind.progress,
                watch=self.watch,
            )
        networks, train_network = kind.networks(
            task, measured.candidates, is_stopped=bool(measured.untried)
        )
        untried = [*map(str, measured.untried), *networks.untried]
        with _held(not untried) as is_stopped:
            with clock.timed("refit"):
                candidates = measured.candidates + networks.candidates
                results = self._refit(index, task, candidates, networks, train_network)
            with clock.timed("checks"):
                results = with_leaks(results)
                checks = checks_of(results, kind.cache)
                results = with_checks(results, checks)
        if (untried or is_stopped()) and kind.asked is not None:
            raise KeyboardInterrupt  # what was asked for cannot be had
        if kind.tries_finetuning and (untried or is_stopped()):
            untried.append("fine-tuning")
        elif kind.tries_finetuning:
            ends_at = clock.started + (kind.settings.budget_s or math.inf)
            found = kind.finetune(results, task.folds, ends_at)
            results = dataclasses.replace(results, finetuning=found)
            checks = with_final_parts(checks, results, kind.cache)
        results = dataclasses.replace(results, untried=tuple(untried))
        with _held(not untried):
            self._write(scratch, results, task, checks)
        return results

    def _folds(self, index: Examples[Any], train: tuple[Example, ...]) -> NDArray[np.int64]:
        # More to learn from, where one training is all there is.
        s = self.kind.settings
        n_folds = 10 if self.kind.asked is not None and len(train) >= MANY_IMAGES else s.n_folds
        require_enough_groups(train, n_folds)
        folds = training_folds(index, train, n_folds=n_folds, seed=s.seed)
        if n_folds == s.n_folds > (n := int(folds.max()) + 1) and n_folds != N_FOLDS:
            logger.warning(
                "cross-validation in %d folds, as the training %s are too few for %s",
                n,
                s.examples,
                argument("n_folds", n_folds),
            )
        return folds

    def _more_folds(
        self, index: Examples[Any], train: tuple[Example, ...]
    ) -> tuple[NDArray[np.int64], ...]:
        """Further divisions, of other seeds, where the cross-validation is repeated."""
        s = self.kind.settings
        return tuple(
            training_folds(index, train, n_folds=s.n_folds, seed=s.seed + 1_000 * repeat)
            for repeat in range(1, s.repeats)
        )

    def _prior(self, task: Task, candidates: Sequence[Candidate]) -> int | None:
        """The candidate that is the most accurate as a rule, where accuracy is preferred."""
        names = [c.blocks for c in candidates]
        blocks = task.source.prior
        if blocks is None or self.kind.settings.prefer == "cheap":
            return None
        if blocks not in names:
            return None
        return join_worth_having(candidates, names.index(blocks))

    def _mean(self, task: Task, candidates: list[Candidate], prior: int) -> Candidate | None:
        """The mean of the prior and of others, unless one candidate is preferred."""
        source = task.source
        if self.kind.settings.prefer != "accurate" or not isinstance(
            source, ImageSource | SeveralSource
        ):
            return None
        divisions = (task.folds, *task.more_folds)
        mean = average_best(candidates, prior, task.y, source.average, divisions, goal=task.goal)
        if mean is None:
            return None
        mean = dataclasses.replace(mean, macs=task.macs(mean.blocks))
        return task.decided(mean)

    def _refit(
        self,
        index: Examples[Any],
        task: Task,
        candidates: list[Candidate],
        networks: Networks,
        train_network: TrainNetwork | None,
    ) -> Results:
        """Choose, then fit and score the choice and the two that it is shown beside."""
        names = [c.blocks for c in candidates]
        usual = task.source.usual if task.source.usual in names else task.source.first
        baseline = names.index(usual)
        prior = self._prior(task, candidates)
        if prior is not None and (mean := self._mean(task, candidates, prior)) is not None:
            candidates, prior = [*candidates, mean], len(candidates)
        labels = [r.label for r in task.records]
        choice = choose(candidates, labels, baseline, prior, task.judged_groups)
        shown = [choice.chosen, choice.best, baseline]
        shown = list(dict.fromkeys(shown if choice.cheap is None else [*shown, choice.cheap]))
        tested: dict[int, Tested] = {}
        heads: dict[Blocks, Head] = {}
        for n_done, i in enumerate(shown):
            self.kind.progress("refit", n_done, len(shown))
            tested[i] = refit(
                candidates[i],
                source=task.source,
                train=task.records,
                test=index.test,
                train_network=train_network,
                objective=task.objective,
                heads=heads,
                searches=task.searches,
            )
        task.searches.clear()  # they hold a lot of memory
        self.kind.progress("refit", len(shown), len(shown))
        return Results(
            settings=self.kind.settings,
            index=index,
            source=task.source,
            train=tuple(task.records),
            test=index.test,
            n_folds=len(np.unique(task.folds)),
            candidates=candidates,
            choice=choice,
            has_prior=prior is not None,
            baseline=baseline,
            tested=tested,
            networks=networks,
            objective=task.objective,
        )

    def _write(self, scratch: Path, results: Results, task: Task, checks: Checks | None) -> None:
        """Leave every file of the run in ``scratch``."""
        kind, tuned = self.kind, results.finetuning
        kind.progress("report", 0, 1)
        more = kind.figures(results, task)
        kind.clock.timings_s["total"] = kind.clock.spent_s
        held_out = held_out_of(results, task.folds)
        reliability = reliability_of(results, held_out)
        figures = metrics(
            results, kind.clock.timings_s, checks=checks, reliability=reliability, **more
        )
        write(scratch / RUN_FILE, kind.provenance(results))
        write(scratch / METRICS, figures)
        results.final.model.save(scratch / "model")
        for name, content in kind.files().items():
            write_atomically(scratch / name, content)
        if held_out is not None:
            held_out.save(scratch / "model")
        if tuned is not None and tuned.trained is not None:
            from headstart.training.saving import save_network

            save_network(scratch / "model", tuned.trained)
        write_test_predictions(scratch / "predictions.csv", results)
        shown = {item.digest for item in (*figures.mistakes, *figures.suspicious)}
        write_report(scratch, thumbnails=kind.pictures(results, shown), run_name=str(self.out))
        kind.progress("report", 1, 1)


@contextlib.contextmanager
def _held(is_first: bool) -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits until the run is written, but for a second one."""
    if not is_first:
        yield lambda: False
        return
    with held_interrupt() as is_stopped:
        yield is_stopped

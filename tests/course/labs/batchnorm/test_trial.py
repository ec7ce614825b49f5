from __future__ import annotations

from headstart.course.labs.batchnorm import trial
from headstart.course.labs.samples import Samples, draw_task


def test_probe__does_not_change_the_training(blobs: Samples) -> None:
    found = trial.measure(blobs, [0, 1], rates=(0.1,), n_epochs=4, n_layers=2)
    assert found.best_rates == {"without": 0.1, "with": 0.1, "noisy": 0.1}
    task = draw_task(blobs, trial.N_TRAIN, n_val=trial.N_VAL, seed=0)
    for norm in ("without", "with"):
        plain, probed = (trial.small_network(task, norm, 2, 0) for _ in range(2))
        logs = [
            trial.train(plain, task, 0.1, 4, 0),
            trial.train(probed, task, 0.1, 4, 0, trial.Probe(probed, 0.1)),
        ]
        assert logs[0].last.val_loss == logs[1].last.val_loss

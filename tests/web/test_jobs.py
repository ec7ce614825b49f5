"""Jobs in processes of their own: events, the queue, stopping, and what fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import InputError
from headstart.web.jobs import Job, Jobs
from headstart.web.worker import paced, work

SMALL = {"resolutions": (48,), "Cs": (1.0,)}


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path / "runs")
    yield made
    made.close()


def wait_until(so: Callable[[], Any], seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.slow
def test_jobs__a_fit_runs_while_another_waits_and_can_be_stopped(jobs: Jobs, photos: Path) -> None:
    first = jobs.start(str(photos), settings=SMALL)
    second = jobs.start(str(photos), name="second", settings=SMALL)
    third = jobs.start(str(photos), settings=SMALL)
    wait_until(lambda: first.state == "running")
    assert (second.state, jobs.n_before(second), jobs.n_before(third)) == ("waiting", 1, 2)
    assert jobs.stop(second.id).state == "stopped"
    wait_until(lambda: first.has_ended)
    assert first.state == "done", first.message
    assert first.run == str(jobs.runs / "photos")
    assert (jobs.runs / "photos" / "report.html").is_file()
    assert set(first.cells) == set(first.places)
    assert {"read images", "extract features", "cross-validate"} <= set(first.stages)
    wait_until(lambda: third.state == "running")
    time.sleep(1.5)
    jobs.stop(third.id)
    wait_until(lambda: third.has_ended, 15)
    assert third.state == "stopped"
    assert sorted(p.name for p in jobs.runs.iterdir()) == ["photos"]
    assert [j.id for j in jobs.listed()] == [third.id, second.id, first.id]


def test_jobs__bad_input_is_told_at_once_or_as_one_line(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")  # which stands for no module
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="`test_size` must be"):
        jobs.start("x", settings={"test_size": 2.0})
    with pytest.raises(InputError, match="not known"):
        jobs.stop("nothing")
    (tmp_path / "empty").mkdir()
    job = jobs.start(str(tmp_path / "empty"), settings=SMALL)
    wait_until(lambda: job.has_ended)
    assert job.state == "failed"
    assert "empty" in job.message
    assert "\n" not in job.message


def test_jobs__a_worker_that_dies_fails_its_job_alone(jobs: Jobs, photos: Path) -> None:
    job = jobs.start(str(photos), settings=SMALL)
    wait_until(lambda: job.process is not None)
    assert job.process is not None
    job.process.kill()
    wait_until(lambda: job.has_ended)
    assert job.state == "failed"
    assert "code -9" in job.message


def test_work__tells_of_unexpected_errors_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a\nb")

    monkeypatch.setattr("headstart.runs.fit.fit", broken)
    assert work({"data": "x", "out": "y", "settings": {}}, said.append) == 1
    assert said[0]["message"].startswith("unexpected RuntimeError: a\\nb")


def test_paced__tells_of_begin_and_end_and_not_too_often() -> None:
    said: list[dict[str, Any]] = []
    progress = paced(said.append, every_s=60)
    for done in range(101):
        progress("read", done, 100)
    assert [e["done"] for e in said] == [0, 100]


def test_note__passes_over_what_it_does_not_know() -> None:
    job = Job(id="a", data="d", name="n", settings={})
    job.note({"event": "from a newer worker"})
    assert job.version == 1

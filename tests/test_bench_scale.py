"""The simulation of large jobs against closed forms, and the projection against arithmetic."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import projection, scale, scale_page
from bench.images import THUMB_SIZE, make_images
from bench.projection import Assumed, costs, limits, project, simulated_s
from bench.sides import scale as sides
from bench.simulation import Fleet, Outcome, Work, quantiles, simulate

SHARD_S = 5.12  # 512 images at 10 ms


def shards(n: int, **fields: Any) -> Work:
    """So many shards of :data:`SHARD_S` seconds."""
    return Work(n_images=512 * n, image_s=0.01, **fields)


def mean(work: Work, fleet: Fleet, n_runs: int, figure: str = "seconds") -> tuple[float, float]:
    """The mean of a figure over runs, and its standard error."""
    found = [float(getattr(simulate(work, fleet, seed=s), figure)) for s in range(n_runs)]
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(n_runs))


@pytest.mark.parametrize("n_workers", [1, 7, 100, 130])
@pytest.mark.parametrize("dispatch", ["queue", "static"])
def test_simulate__without_chance_lasts_as_long_as_the_fullest_worker(
    n_workers: int, dispatch: Any
) -> None:
    fleet = Fleet(n_workers=n_workers, startup_s=3.0, dispatch=dispatch)
    found = simulate(shards(100, commit_s=0.1), fleet)
    assert found.seconds == pytest.approx(3.0 + math.ceil(100 / n_workers) * (SHARD_S + 0.1))
    assert found.paid_s == pytest.approx(3.0 * n_workers + 100 * (SHARD_S + 0.1))
    assert (found.n_shards, found.n_deaths, found.lost_s) == (100, 0, 0.0)


def test_simulate__the_last_of_many_random_shards_is_their_expected_maximum() -> None:
    """Of 16 exponential times the largest is the 16th harmonic number times their mean."""
    fleet = Fleet(n_workers=16, dispatch="static")
    found, error = mean(shards(16, spread=1.0), fleet, 400)
    expected = SHARD_S * sum(1 / k for k in range(1, 17))
    assert abs(found - expected) < 4 * error
    assert error < 0.03 * expected


def test_simulate__deaths_cost_what_renewal_theory_says() -> None:
    """One worker, deaths with rate l: a shard of s seconds is begun e^(l s) times on average."""
    life_s, pause_s = 20.0, 4.0 + 3.0
    fleet = Fleet(n_workers=1, startup_s=3.0, replace_s=4.0, life_s=life_s)
    extra = 50 * math.expm1(SHARD_S / life_s)
    for figure, expected in (
        ("n_deaths", extra),
        ("seconds", 3.0 + extra * (life_s + pause_s)),
        ("lost_s", extra * life_s - 50 * SHARD_S),
    ):
        found, error = mean(shards(50), fleet, 300, figure)
        assert abs(found - expected) < 4 * error, figure
        assert error < 0.05 * expected


@pytest.mark.parametrize("writers", [None, 1])
def test_simulate__every_shard_is_written_once_whoever_dies(writers: int | None) -> None:
    fleet = Fleet(n_workers=9, startup_s=1.0, replace_s=2.0, life_s=30.0, writers=writers)
    found = simulate(shards(500, commit_s=0.3, spread=0.2), fleet, seed=5)
    assert found.n_shards == 500
    assert found.n_deaths > 20
    assert found.seconds > 500 * SHARD_S / 9


def test_simulate__one_disk_for_all_is_the_bound_where_writing_is_slow() -> None:
    work = shards(400, commit_s=2.0)
    waiting = simulate(work, Fleet(n_workers=40, writers=1))
    assert waiting.seconds >= 400 * 2.0
    assert waiting.seconds == pytest.approx(400 * 2.0, rel=0.05)
    assert simulate(work, Fleet(n_workers=40)).seconds == pytest.approx(10 * (SHARD_S + 2.0))


def test_simulate__a_queue_shares_the_work_of_slow_workers() -> None:
    """With a quarter of the workers three times as slow, speeds add up; parts given out do not."""
    fleet: dict[str, Any] = {"n_workers": 64, "slow_share": 0.25, "slow_times": 3.0}
    queue = simulate(shards(6400), Fleet(**fleet), seed=1).seconds
    static = simulate(shards(6400), Fleet(**fleet, dispatch="static"), seed=1).seconds
    assert static == pytest.approx(300 * SHARD_S)
    assert 100 * SHARD_S < queue < 1.5 * 100 * SHARD_S


def test_simulate__refuses_nobody_and_nothing() -> None:
    with pytest.raises(ValueError, match="needs images and workers; got 0 and 2"):
        simulate(Work(n_images=0, image_s=1.0), Fleet(n_workers=2))
    with pytest.raises(ValueError, match="got 5 and 0"):
        simulate(Work(n_images=5, image_s=1.0), Fleet(n_workers=0))


def test_simulate__same_seed_same_outcome() -> None:
    fleet = Fleet(n_workers=4, life_s=50.0, slow_share=0.5, slow_times=2.0)
    one, two, other = (simulate(shards(90, spread=0.3), fleet, seed=s) for s in (3, 3, 4))
    assert one == two != other


def test_quantiles__of_the_seconds_of_runs() -> None:
    found, middle = quantiles(lambda seed: Outcome(seconds=float(seed)), 5, 0.0, 0.5, 1.0)
    assert found == [0.0, 2.0, 4.0]
    assert middle.seconds == 2.0


def process(n: int, image_s: float) -> dict[str, float]:
    """What one process of a point says."""
    n_shards = -(-n // 512)
    return {
        "seconds": n * image_s + n_shards * 0.05,
        "commit_s": n_shards * 0.05,
        "n_shards": n_shards,
        "n_forward": n,
        "startup_s": 2.0,
        "load_s": 0.5,
    }


def made_up(failed: str = "OSError: no more maps") -> dict[str, Any]:
    """Points as if an image took 10 ms alone and 12 ms beside another process."""
    points: dict[str, Any] = {}
    for net, (*_, sizes) in scale.NETS.items():
        for n in sizes:
            for k, image_s in ((1, 0.010), (2, 0.012)):
                runs = [process(n // k, image_s) for _ in range(k)]
                points[f"extract:{net}:{n}:{k}"] = {
                    "n_images": n, "bytes": 6000 * n, "seconds": 1.0, "processes": runs,
                }  # fmt: skip
    for n in (1000, 4000, 16000):
        points[f"index:thumbs:{n}"] = {
            "n_images": n, "seconds": 1.0, "duplicates_s": 1e-8 * n**2, "kept_mib": n / 1024,
        }  # fmt: skip
    points["index:photos"] = {"n_images": 1000, "seconds": 3.0, "duplicates_s": 1.0}
    points["store"] = {
        "n_images": 1024, "n_shards": 2, "open_s": 1.0, "bytes": 10**9, "kept_mib": 1.0,
        "commit_s": 0.05, "commit_worst_s": 0.1, "read_s": 0.01,
    }  # fmt: skip
    points["most_shards"] = {
        "n_made": 68000, "n_opened": 65000, "failed": failed, "listing_s": 0.2, "n_set_aside": 0,
    }  # fmt: skip
    return points


def test_costs__are_those_of_the_points() -> None:
    found = costs(made_up(), "tiny", (1000, 4000))
    assert found.image_s == pytest.approx({1: 0.010, 2: 0.012})
    assert found.commit_s == pytest.approx({1: 0.05, 2: 0.05})
    assert found.startup_s == {1: 2.5, 2: 2.5}
    assert found.spread == pytest.approx(0.0, abs=1e-9)
    assert found.bytes_per_image == 6000


def test_simulated__predicts_the_size_that_was_left_out() -> None:
    points = made_up()
    found = costs(points, "tiny", (1000, 4000))
    for k in (1, 2):
        clock = projection.measured_s(points[f"extract:tiny:16000:{k}"])
        assert simulated_s(found, 16000, k) == pytest.approx(clock, rel=0.01)


def test_project__a_million_images_by_hand() -> None:
    points = made_up()
    found = costs(points, "embedded", (256, 512))
    calm = Assumed(life_h=math.inf, slow_share=0.0, price=3.6, disk_price=2.0)
    job = project(found, points, 512 * 2000, 100, calm, n_runs=3)
    work_s = 2000 * (512 * 0.012 + 0.05)
    assert job.seconds == pytest.approx(2.5 + work_s / 100)
    assert job.slowest_s == pytest.approx(job.seconds)
    assert job.index_s == pytest.approx(512 * 2000 * 0.002)
    assert job.disk_bytes == 6000 * 512 * 2000
    assert job.open_s == pytest.approx(job.disk_bytes / 1e9)
    assert job.memory_bytes == pytest.approx(512 * 2000 * 2048)
    workers = 3.6 * (work_s + 100 * 2.5) / 3600
    assert job.money == pytest.approx(workers + 2.0 * job.disk_bytes / 1e9)


def test_limits__come_in_order_and_by_hand() -> None:
    points = made_up()
    found = costs(points, "embedded", (256, 512))
    ends = limits(found, points, memory_bytes=2**30, free_bytes=6e9, n_classes=100)
    assert [e.n_images for e in ends] == sorted(e.n_images for e in ends)
    by_name = {e.what.split(",")[0]: e.n_images for e in ends}
    assert by_name["the scores that a head of 100 classes is calibrated on"] == 2**30 / 4000
    assert by_name["index and rows of the store"] == pytest.approx(2**19)
    assert by_name["the features of one resolution fill the disk"] == pytest.approx(1e6)
    assert by_name["the search for near duplicates takes a day"] == pytest.approx(
        math.sqrt(86400 / 1e-8)
    )
    assert by_name["a store cannot be opened: too many shards are mapped at once"] == 65000 * 512
    calm = limits(found, made_up(failed=""), memory_bytes=2**30, free_bytes=6e9, n_classes=100)
    assert len(calm) == len(ends) - 1


@pytest.mark.parametrize(("power", "expected"), [(2.0, 2.0), (1.2, 1.2), (0.7, 1.0)])
def test_duplicates_law__is_never_less_than_linear(power: float, expected: float) -> None:
    points = made_up()
    for n in (1000, 4000, 16000):
        points[f"index:thumbs:{n}"]["duplicates_s"] = 1e-6 * n**power
    a, b = projection.duplicates_law(points)
    assert b == pytest.approx(expected)
    assert a * 16000**b == pytest.approx(1e-6 * 16000**power)


def test_page__says_what_breaks_first_and_draws_what_was_measured() -> None:
    machine = {"cpu": "a CPU", "cores": 2, "memory_gib": 1.0}
    sizes = {name: what[3] for name, what in scale.NETS.items()}
    text, figures = scale_page.page(
        made_up(), machine, sizes, Assumed(), workers=(2, 64), free_bytes=1e12, n_classes=10
    )
    assert "breaks first at about 520 thousand images: index and rows of the store" in text
    assert "| tiny | 16,000 | 2 |" in text
    assert text.count("| 1 billion |") == 2
    assert set(figures) == {"scale-0.svg", "scale-1.svg"}
    assert "measured, 2 processes" in figures["scale-0.svg"]
    assert "projected, 64 workers" in figures["scale-1.svg"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40, "40 s"), (480, "8 min"), (9000, "2.5 h"), (12 * 86400, "12 d"), (1e8, "3.17 years")],
)
def test_readable__takes_the_unit_that_fits(seconds: float, words: str) -> None:
    assert projection.readable(seconds) == words


def test_sides__store_index_and_many_shards_are_really_measured(tmp_path: Path) -> None:
    store = sides.store_cost(2, {"a": 8, "b": 4})["measure"]()
    assert store["bytes"] > 2 * 512 * 12 * 2
    assert min(store["commit_s"], store["open_s"], store["read_s"]) > 0
    make_images(tmp_path, 12, size=THUMB_SIZE)
    index = sides.index_cost(str(tmp_path))["measure"]()
    assert index["n_images"] == 12
    assert 0 < index["duplicates_s"] < index["seconds"]
    many = sides.most_shards(20)["measure"]()
    assert (many["n_opened"], many["n_found"], many["failed"]) == (20, 20, "")

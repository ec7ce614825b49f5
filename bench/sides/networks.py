"""What several sides share: networks, engines, and a timed extraction."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import stopwatch

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Record
    from headstart.features import Extraction

Actions = dict[str, Callable[[], Mapping[str, Any]]]

MANY = 10**6  # images enough for any conversion to pay


def load_net(net: str, *, last_only: bool = False) -> Backbone:
    """The embedded network with its weights, any other with random ones."""
    import dataclasses

    from headstart.backbones import load

    backbone = load(net, pretrained=net == "embedded", seed=0)
    if last_only:
        backbone = dataclasses.replace(backbone, taps=backbone.taps[-1:])
    return backbone


def write_weights(net: str, path: str) -> Actions:
    """Save a network's weights for the peer, and tell what a plain script must know of it."""
    from safetensors.torch import save_file

    backbone = load_net(net)
    state = {k: v.contiguous().clone() for k, v in backbone.module.state_dict().items()}
    save_file(state, path)
    own = backbone.preprocessing
    facts = {
        "model": backbone.arch,
        "layers": [tap.module for tap in backbone.taps],
        "weights": path,
        "size_px": own.size_px,
        "resize_px": own.resize_px,
        "interpolation": own.interpolation,
        "mean": own.mean,
        "std": own.std,
    }
    return {"facts": lambda: facts}


def convert(
    net: str, cache: str, precision: str, sizes: list[int], last_only: bool = False
) -> Actions:
    """Fill `cache` with what is made once a network: seconds beyond those of every later start."""
    from headstart.backbones import at_size

    backbone = load_net(net, last_only=last_only)

    def measure() -> dict[str, float]:
        once = 0.0
        for size in sizes:
            at = at_size(backbone, size)
            with stopwatch() as first:
                make_engine(at, precision, cache)
            with stopwatch() as again:
                make_engine(at, precision, cache)
            once += first() - again()
        return {"seconds": once}

    return {"measure": measure}


def make_engine(backbone: Backbone, precision: str, cache: str) -> Any:
    """What Headstart would run this network with on the CPU, for many images."""
    from headstart.features.engines import choose_engine

    return choose_engine(
        backbone, n_images=MANY, precision=precision, device="cpu", cache=Path(cache)
    )


@contextmanager
def fresh_store(cache: str) -> Iterator[Path]:
    """An empty feature store that knows the converted networks of `cache`."""
    with tempfile.TemporaryDirectory(prefix="headstart-bench-store-") as folder:
        for entry in Path(cache).iterdir():
            (Path(folder) / entry.name).symlink_to(entry)
        yield Path(folder)


@contextmanager
def engines_timed() -> Iterator[list[float]]:
    """The seconds that `extract` spends on loading and compiling its engines."""
    from headstart.features import passes

    original = passes.choose_engine
    seconds: list[float] = []

    def timed(*args: Any, **kwargs: Any) -> Any:
        with stopwatch() as elapsed:
            engine = original(*args, **kwargs)
        seconds.append(elapsed())
        return engine

    passes.choose_engine = timed
    try:
        yield seconds
    finally:
        passes.choose_engine = original


def timed_extract(
    records: list[Record], backbone: Backbone, store: Path, precision: str, sizes: list[int]
) -> tuple[dict[str, Any], Extraction]:
    """Extract, and tell the seconds without those of loading the engines."""
    from headstart.features import extract

    with engines_timed() as loading, stopwatch() as elapsed:
        done = extract(
            records, backbone, resolutions=sizes, precision=precision, device="cpu", cache=store
        )
    measured = {
        "seconds": elapsed() - sum(loading),
        "load_s": sum(loading),
        "engine": done.engine,
        "n_forward": done.n_forward,
    }
    return measured, done


def plain_recipe(recipe: dict[str, Any]) -> Any:
    """The peers' recipe from the facts of `write_weights`."""
    from bench.peers.extract_plain import Recipe

    lists = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items()}
    return Recipe(**lists)

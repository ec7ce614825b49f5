"""Fixtures that every room's tests share."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.data import Index
    from headstart.runs.run import Run

# A shell's background job ignores Ctrl-C, and hands that on to the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that run side by side share the cores; torch reads this when it is first imported.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    threads = max(1, (os.cpu_count() or 1) // int(workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

sys.path.insert(0, str(Path(__file__).parent))  # for tiny_encoder

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Files of few and long tests: begun first, so that no worker is left alone with them at the end.
LONG = ("test_kill.py", "test_page.py", "test_cluster.py", "test_streams.py", "test_fuzz.py")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("headstart", deadline=None)
hypothesis.settings.load_profile("headstart")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, else in the order found."""
    items.sort(key=lambda item: item.path.name not in LONG)


_hidden = pytest.MonkeyPatch()


def _hide_gpus() -> None:
    """From this process and from those that it starts."""
    _hidden.setenv("CUDA_VISIBLE_DEVICES", "")
    if torch := sys.modules.get("torch"):
        _hidden.setattr(torch.cuda, "is_available", lambda: False)
        # Cached, as torch's own function is, which torch.compile looks into.
        _hidden.setattr(torch.backends.mps, "is_available", functools.cache(lambda: False))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only tests that are marked `gpu` compute on one, where there is one."""
    if any(item.get_closest_marker("gpu") for item in session.items):
        import torch

        if torch.cuda.is_available():
            torch.cuda.init()  # which looks at the variable only once
    _hide_gpus()


@pytest.fixture(autouse=True)
def _gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is hidden from other tests."""
    if not request.node.get_closest_marker("gpu"):
        yield
        return
    _hidden.undo()
    yield
    _hide_gpus()


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same for what is made once for many tests."""
    os.environ["HEADSTART_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the person's own feature store."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def shared() -> Path:
    """The folder of real images and weights beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real images and weights is not here")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; skips where it or Playwright is absent."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).exists():
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
        ]  # a camera, but to be asked for
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def serious() -> Callable[[Any], list[str]]:
    """What axe-core finds on an open page that is serious or critical."""
    axe = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")

    def check(page: Any) -> list[str]:
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{v['id']}: {node['html'][:200]}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]

    return check


@pytest.fixture(scope="session")
def layout_faults() -> Callable[[Any], list[str]]:
    """What is cut off or squeezed on an open page or frame: a wide document, text beyond its edge, stacked letters."""
    return lambda page: [str(fault) for fault in page.evaluate(FAULTS)]


# A text is stacked where it has three lines or more and no line holds three characters, and cut where it
# passes the right edge of the window outside what scrolls. Figures that are drawn (svg) and text that is not
# shown are left out.
FAULTS = """() => {
  const found = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth)
    found.push(`the document is ${root.scrollWidth} px wide in a window of ${root.clientWidth}`);
  const scrolls = e => e && e !== document.body
    && (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), parent = walk.currentNode.parentElement;
    if (text.length < 4 || parent.closest('svg, script, style, .hs-sr') || !parent.checkVisibility()) continue;
    range.selectNodeContents(walk.currentNode);
    const box = parent.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1) continue;
    if ([...range.getClientRects()].some(r => r.right > root.clientWidth + 1) && !scrolls(parent))
      found.push(`beyond the right edge: ${text.slice(0, 60)}`);
    const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
    if (lines.size >= 3 && text.length / lines.size < 3)
      found.push(`${lines.size} lines of letters: ${text.slice(0, 60)}`);
  }
  return found;
}"""


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Reddish and bluish noise, 20 and 8 images per class, with one duplicate to train on."""
    import numpy as np
    from PIL import Image

    from headstart.data import index

    root = tmp_path_factory.mktemp("data") / "colours"
    rng = np.random.default_rng(0)
    for side, n in (("train", 20), ("test", 8)):
        for channel, name in ((0, "blue"), (2, "red")):
            (root / side / name).mkdir(parents=True)
            for i in range(n):
                small = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
                small[..., channel] //= 2
                Image.fromarray(small).resize((48, 40)).save(root / side / name / f"{i:02d}.png")
    red = root / "train" / "red"
    (red / "copy.png").write_bytes((red / "00.png").read_bytes())
    return index(root)


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """A small EfficientNet with BatchNorm and random weights."""
    from headstart.backbones import load

    return load("timm:test_efficientnet", pretrained=False)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the room."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Small pictures of stripes, which SIFT tells apart and pixels do not."""
    import numpy as np
    from PIL import Image

    from headstart.data import index

    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for name in ("lying", "standing"):
        (root / name).mkdir(parents=True)
        for i in range(10):
            period, shift = rng.uniform(9, 14), rng.uniform(0, 14)
            wave = 128 + 90 * np.sin(2 * np.pi * (np.arange(72) + shift) / period)
            pixels = np.tile(wave[:, None], (1, 64)) + rng.normal(0, 8, (72, 64))
            if name == "standing":
                pixels = pixels.T
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return index(root, test_size=0.4)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder with small random weights; tests that change it make their own."""
    pytest.importorskip("tokenizers", reason="headstart[text] is not installed")
    from tiny_encoder import write_encoder

    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Run:
    """A run on texts: TF-IDF beside a sentence encoder. Tests must not change it."""
    import csv

    import headstart

    root = tmp_path_factory.mktemp("reviews")
    words = {"good": ["warm", "funny", "bright"], "bad": ["dull", "slow", "cold"]}
    rows = [
        (f"the {noun} is {word} {i}", label)
        for label, own in words.items()
        for i in range(4)
        for word in own
        for noun in ("film", "plot")
    ]
    with (root / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return headstart.fit(
        root / "reviews.csv",
        out=root / "run",
        cache=root / "store",
        n_folds=2,
        Cs=(1.0,),
        finetune=False,
        encoder=str(tiny_encoder),
    )

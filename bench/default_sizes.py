"""Processor time of a fit with its default sizes, against one pass at the network's own size.

    .venv/bin/python bench/default_sizes.py
    .venv/bin/python bench/default_sizes.py --arch timm:vit_small_patch16_224 --n-images 60

The network has random weights, which cost as much as any; the images are noise, so that the figures are of
time alone. The time of all processes is counted, which a busy machine hardly changes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file

import headstart
from headstart.backbones import load
from headstart.data import index
from headstart.features import extract

ARCH = "timm:vit_small_patch14_dinov2"
CLASSES = ("fine", "coarse", "flat")


def write_images(root: Path, n: int, side: int = 640) -> Path:
    """Noise of three grain sizes."""
    rng = np.random.default_rng(0)
    for i in range(n):
        grain = (1, 8, 64)[i % 3]
        small = rng.integers(0, 256, (side // grain, side // grain, 3), dtype=np.uint8)
        path = root / CLASSES[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((side, side)).save(path)
    return root


def processor_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main(arch: str, n_images: int) -> None:
    """Print both times and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        images, weights = write_images(root / "noise", n_images), root / "random.safetensors"
        net = load(arch, pretrained=False)
        save_file(net.module.state_dict(), weights)
        records, own = index(images).records, net.preprocessing.size_px
        start = processor_seconds()
        extract(records, net, resolutions=[own], cache=root / "pass", device="cpu")
        once = processor_seconds() - start
        start = processor_seconds()
        run = headstart.fit(
            images,
            out=root / "run",
            cache=root / "fit",
            weights=str(weights),
            arch=arch,
            device="cpu",
        )
        fit = processor_seconds() - start
        measured = {px for c in run.metrics.candidates for px in c.resolutions_px}
        sizes = ", ".join(f"{px} px" for px in sorted(measured))
        print(
            f"{arch}, {n_images} images, own size {own} px: one pass {once:.0f} s of processors",
            flush=True,
        )
        print(f"fit with its default sizes ({sizes}): {fit:.0f} s, {fit / once:.2f} times")
        for note in (*run.metrics.data.notes, *run.metrics.notes):
            print(f"note: {note}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", default=ARCH)
    parser.add_argument("--n-images", type=int, default=30)
    asked = parser.parse_args()
    main(asked.arch, asked.n_images)

"""The figures of the guide, each made by the command that its page shows.

    make figures                                     all, some minutes on two cores
    .venv/bin/python tools/figures.py --only lab-dropout

The commands run where a photograph of a cat (scikit-image's) lies as cat.jpg, the 400 digits of
`make demo` as digits/ and docstrings of installed packages as docstrings.csv, so that nothing is downloaded and anyone gets the same figures.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from PIL import Image

from headstart.plots import standalone

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
# Widest picture, px, and its colours: enough to be read, small enough for a repository.
WIDEST_PX, COLOURS = 1_000, 256
# The README's, by colour scheme; sharp on dense screens.
FRONT = {"light": "readme-light.png", "dark": "readme-dark.png"}
FRONT_PX = 1_800


@dataclass(frozen=True, kw_only=True)
class Made:
    """A command, and which of its files become figures: {its file: the figure's name}.

    ``page.html#name`` is the figure ``name`` inside a page.
    """

    name: str
    command: str
    files: Mapping[str, str]
    before: str = ""  # a command that makes what this one takes


COMMANDS = (
    Made(
        name="kernels",
        command="kernels cat.jpg",
        files={"kernels-0.png": "kernels.png", "kernels-1.png": "stride.png"},
    ),
    Made(
        name="network",
        command="kernels cat.jpg --filters --tap blocks.2",
        files={"kernels-2.png": "filters.png", "kernels-3.png": "feature-maps.png"},
    ),
    Made(
        name="lab-normalise",
        command="lab normalise",
        files={"normalise-0.svg": "normalise.svg", "normalise-1.svg": "normalise-steps.svg"},
    ),
    Made(
        name="lab-augmentation",
        command="lab augmentation",
        files={
            "augmentation-0.png": "basic.png",
            "augmentation-1.png": "augmix.png",
            "augmentation-2.png": "mixup.png",
        },
    ),
    Made(
        name="lab-optimizers",
        command="lab optimizers",
        files={"optimizers-0.svg": "optimizers.svg", "optimizers-1.svg": "optimizers-rates.svg"},
    ),
    Made(name="lab-dropout", command="lab dropout", files={"dropout-0.svg": "dropout.svg"}),
    Made(
        name="lab-batchnorm",
        command="lab batchnorm",
        files={"batchnorm-0.svg": "batchnorm.svg", "batchnorm-1.svg": "smoothness.svg"},
    ),
    Made(
        name="lab-overfitting",
        command="lab overfitting",
        files={"overfitting-0.svg": "overfitting.svg", "overfitting-1.svg": "gap.svg"},
    ),
    Made(
        name="complexity", command="complexity", files={"complexity-0.svg": "complexity.svg"}
    ),
    Made(
        name="profile",
        command="transfer profile digits/ --resolutions 160,224,320",
        files={"profile-0.svg": "layer-map.svg", "profile-1.svg": "layer-curve.svg"},
    ),
    Made(
        name="finetune",
        command="finetune digits/ --size 64 --epochs 8",
        files={"report.html#figure-learning": "learning-curves.svg"},
    ),
    Made(
        name="regimes",
        command="finetune digits/ --compare regimes --size 64 --epochs 4",
        files={"comparison.html#accuracies": "regimes.svg"},
    ),
    Made(
        name="bn",
        command="finetune digits/ --compare bn --size 64 --epochs 3 --seeds 2",
        files={"comparison.html#accuracies": "batchnorm-policies.svg"},
    ),
    Made(
        name="similar",
        before="fit digits/ --resolutions 160 --out run",
        command="similar run digits/3/00.png",
        files={"similar-0.png": "similar.png", "similar-1.svg": "precision-at-k.svg"},
    ),
    Made(
        name="text",
        command="finetune docstrings.csv --label package --compare variants",
        files={"comparison.html#accuracies": "text-variants.svg"},
    ),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all figures, or those asked for; 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*(made.name for made in COMMANDS), "front"]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME")
    asked = parser.parse_args(arguments)
    failed = []
    with tempfile.TemporaryDirectory(prefix="headstart-figures-") as folder:
        work = Path(folder)
        write_data(work)
        for made in COMMANDS:
            if not asked.only or made.name in asked.only:
                print(f"{made.name}: headstart {made.command}", flush=True)
                failed += [made.name] if make(made, work, FIGURES) else []
        if not asked.only or "front" in asked.only:
            print("front: headstart web", flush=True)
            make_front(work, FIGURES)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def write_data(work: Path) -> None:
    """cat.jpg and digits/, as `make demo` has them; docstrings.csv, as `make evidence` has it."""
    from headstart.data import write_cat, write_digits

    write_cat(work / "cat.jpg")
    write_digits(work / "digits")
    load(ROOT / "bench" / "docstrings.py").write_docstrings(work / "docstrings.csv")


def load(path: Path) -> ModuleType:
    """A script of this repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(made: Made, work: Path, figures: Path) -> int:
    """Run a command in ``work`` and keep its figures; its exit code."""
    out = work / made.name
    code = call(made.before, work) if made.before else 0
    if code == 0:
        code = call(f"{made.command} --out {shlex.quote(str(out))}", work)
    if code == 0:
        figures.mkdir(parents=True, exist_ok=True)
        for source, target in made.files.items():
            page, _, name = source.partition("#")
            content = (out / page).read_bytes()
            content = inner_figure(content.decode(), name).encode() if name else content
            (figures / target).write_bytes(small(content) if target.endswith("png") else content)
    return code


def make_front(work: Path, figures: Path) -> None:
    """The picture at the top of the README, in both colour schemes."""
    front = load(Path(__file__).with_name("front_picture.py"))
    layer_map = (figures / "layer-map.svg").read_text(encoding="utf-8")
    with contextlib.chdir(work):
        found = front.pictures(layer_map, work / "cat.jpg")
    for scheme, name in FRONT.items():
        (figures / name).write_bytes(small(found[scheme], FRONT_PX))


def call(command: str, work: Path) -> int:
    """Run a `headstart` command; its exit code."""
    program = str(Path(sys.executable).with_name("headstart"))
    words = [program, "--quiet", *shlex.split(command)]
    return subprocess.run(words, cwd=work, stdout=subprocess.DEVNULL, check=False).returncode


def inner_figure(page: str, name: str) -> str:
    """The figure of this name out of an HTML page, with the style that the page gave it."""
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    [found] = [f for f in figures if f'aria-labelledby="{name}-title"' in f]
    return standalone(found)


def small(png: bytes, widest_px: int = WIDEST_PX) -> bytes:
    """A picture with fewer pixels and colours."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((widest_px, 10 * widest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())

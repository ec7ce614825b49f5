"""The pages of docs/evidence/: what transfers, and what fine-tuning brings, on real data.

    make evidence                                        everything, some hours on two cores
    .venv/bin/python bench/evidence.py --only regimes-scene15
    .venv/bin/python bench/evidence.py --only summary    each claim on all real sets, resumable

Each table is one `headstart` command, named at its top. What a command has finished lies in the cache
($HEADSTART_CACHE), so that a run that was stopped goes on where it was. Tables whose data are not
there are left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docstrings import write_docstrings

from headstart.data import sample_folder

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
PAGES = ROOT / "docs" / "evidence"

SCENES = "../shared/data/scene15 --split ../shared/data/scene15_split.csv"
TEXTURES = "../shared/data/textures"
WEIGHTS = "../shared/weights"
DIGITS = "digits"  # scikit-learn's, written as a folder
DOCSTRINGS = "bench/results/docstrings.csv"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One command whose comparison becomes a page."""

    name: str
    command: str


TABLES = (
    Table(
        name="regimes-scene15",
        command=f"finetune {SCENES} --compare regimes --size 160 --epochs 4",
    ),
    Table(name="regimes-textures", command=f"finetune {TEXTURES} --compare regimes --size 160"),
    Table(
        name="bn-textures", command=f"finetune {TEXTURES} --compare bn --size 160 --batch-size 8"
    ),
    Table(
        name="bn-scene15",
        command=f"finetune {SCENES} --compare bn --size 128 --epochs 3 --seeds 1",
    ),
    Table(name="augment-textures", command=f"augment trial {TEXTURES} --size 160"),
    Table(
        name="profile-scene15",
        command=f"transfer profile {SCENES} --resolutions 224,320 --whole --mirror",
    ),
    Table(name="profile-textures", command=f"transfer profile {TEXTURES} --mirror"),
    Table(name="profile-digits", command=f"transfer profile {DIGITS} --resolutions 96,160"),
    Table(name="size-scene15", command=f"transfer size {SCENES} --check"),
    Table(name="size-textures", command=f"transfer size {TEXTURES}"),
    Table(name="size-digits", command=f"transfer size {DIGITS}"),
    Table(name="similarity-scene15", command=f"transfer similarity {SCENES}"),
    Table(name="similarity-textures", command=f"transfer similarity {TEXTURES}"),
    Table(name="similarity-digits", command=f"transfer similarity {DIGITS}"),
    Table(name="scores-scene15", command=f"transfer scores {SCENES} --per tap"),
    Table(name="scores-textures", command=f"transfer scores {TEXTURES} --per tap"),
    Table(name="layers-digits", command="transfer layers"),
    Table(
        name="layers-scene15",
        command="transfer layers ../shared/data/scene15 --halves --test-size 0.5 --epochs 12",
    ),
    Table(
        name="shift-scene15-noise",
        command="transfer shift ../shared/data/scene15 --corrupt noise --test-size 0.5 --size 160",
    ),
    Table(
        name="shift-textures-blur",
        command=f"transfer shift {TEXTURES} --corrupt blur --test-size 0.5",
    ),
    Table(name="advice-scene15", command=f"transfer advice {SCENES}"),
    Table(name="advice-textures", command=f"transfer advice {TEXTURES}"),
    Table(name="advice-digits", command=f"transfer advice {DIGITS} --size 96"),
    Table(
        name="compare-textures",
        command=f"compare {TEXTURES} --backbones embedded,{WEIGHTS}/squeezenet1_0.safetensors@"
        f"squeezenet1_0,{WEIGHTS}/mobilenetv1_075.safetensors@mobilenetv1_075",
    ),
    Table(name="sift-scene15", command=f"baseline sift {SCENES}"),
    Table(
        name="text-variants",
        command=f"finetune {DOCSTRINGS} --label package --compare variants",
    ),
    Table(name="sift-textures", command=f"baseline sift {TEXTURES}"),
)
# Scripts that make a page of their own: of claims on all sets, of scale, and of trust in four steps.
PAGE_MAKERS = ("summary", "scale", "fuzz", "statistics_trust", "trust", "trust_page")
FIT = Table(name="fit-budget-scene15", command=f"fit {SCENES} --budget 20m")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*(table.name for table in (*TABLES, FIT)), *PAGE_MAKERS]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME")
    asked = parser.parse_args(arguments)
    failed = 0
    for table in (*TABLES, FIT):
        if asked.only and table.name not in asked.only:
            continue
        absent = [w for w in shlex.split(table.command) if w.startswith("../shared/")]
        absent = [w for w in absent if not (ROOT / w).exists()]
        if absent:
            print(f"{table.name}: left out, there is no {absent[0]}")
            continue
        if DOCSTRINGS in table.command:
            write_docstrings(ROOT / DOCSTRINGS)
        print(f"{table.name}: headstart {table.command}", flush=True)
        failed += make(table)
    for script in PAGE_MAKERS:
        if not asked.only or script in asked.only:
            print(f"bench/{script}.py", flush=True)
            words = [sys.executable, str(ROOT / "bench" / f"{script}.py")]
            failed += subprocess.run(words, cwd=ROOT, check=False).returncode
    return int(failed > 0)


def make(table: Table) -> int:
    """Run a command in a fresh folder and write its page; its exit code."""
    before = sum(os.times()[2:4])
    with tempfile.TemporaryDirectory(prefix="headstart-evidence-") as folder:
        out = Path(folder) / table.name
        headstart = Path(sys.executable).with_name("headstart")
        words = [str(headstart), *map(path_of, shlex.split(table.command)), "--out", str(out)]
        code = subprocess.run(words, cwd=ROOT, check=False).returncode
        if code == 0:
            PAGES.mkdir(parents=True, exist_ok=True)
            text = fit_page(out) if table is FIT else take_page(out, table.name)
            seconds = sum(os.times()[2:4]) - before
            (PAGES / f"{table.name}.md").write_text(with_command(text, table, seconds))
    return code


def path_of(word: str) -> str:
    """A word of a command, the digits as the folder of them."""
    return str(sample_folder(DIGITS)) if word == DIGITS else word


def take_page(out: Path, name: str) -> str:
    """The Markdown page that a command wrote; its pictures are copied beside where it will lie."""
    [page] = out.glob("*.md")
    for picture in sorted([*out.glob(f"{page.stem}-*.svg"), *out.glob(f"{page.stem}-*.png")]):
        shutil.copyfile(picture, PAGES / picture.name.replace(page.stem, name, 1))
    return page.read_text().replace(f"]({page.stem}-", f"]({name}-")


def with_command(text: str, table: Table, seconds: float) -> str:
    """The page with its command under the title."""
    title, _, rest = text.partition("\n")
    command = f"```sh\nheadstart {table.command}\n```"
    if f" {DIGITS}" in table.command:
        command += (
            "\n\n`digits` is scikit-learn's handwritten digits, written as a folder of PNG files."
        )
    return f"{title}\n\n{command}\n{rest.rstrip()}\n\nThis table took {seconds:,.0f} s of CPU, less what was in the cache.\n"


def fit_page(run: Path) -> str:
    """The answer of a fit, with what fine-tuning did in it."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    lines = ["# A fit with a budget", "", metrics["sentence"], ""]
    lines += ["```json", json.dumps(summary(metrics), indent=1), "```"]
    return "\n".join(lines)


def summary(metrics: dict[str, object]) -> dict[str, object]:
    """The figures that matter, without every epoch."""
    tuned = dict(metrics.get("finetuning") or {})  # type: ignore[call-overload]
    tuned.pop("history", None)
    return {"finetuning": tuned, "timings_s": metrics.get("timings_s")}


if __name__ == "__main__":
    sys.exit(main())

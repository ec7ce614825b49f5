"""Quick forms of the fuzz tests: damaged files are taken, or refused by one clear line.

The long form is ``bench/fuzz.py`` (``make evidence``). What it has found is tested where it was mended.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="no fork")


def run(*arguments: str, script: str = "fuzzing.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


def test_fuzz__some_of_each_kind(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = run("--quick", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert len({o["kind"] for o in found}) >= 14
    assert {o["verdict"] for o in found} == {"taken", "refused"}
    refused = [o for o in found if o["verdict"] == "refused" and o["detail"]]
    assert len(refused) > 50


BAD = """
import json, sys
from pathlib import Path
import fuzz_kinds, fuzzing
from headstart.errors import DataError

def bear(world, scratch, name, data):
    what = data.decode()
    if what == "raise":
        return {}["x"]
    if what == "two lines":
        raise DataError("one" + chr(10) + "two")
    if what == "escape":
        raise DataError("red " + chr(27) + "[31m")
    if what == "grow":
        bytearray(80 << 20)
    if what == "die":
        import os
        os.abort()
    if what == "spin":
        while True:
            pass
    if what == "slow":
        sum(i for i in range(10_000_000))

fuzzing.HANGS_S = 3.0
kind = fuzz_kinds.Kind(
    name="made up", mutate=fuzz_kinds.mutation.leave, read=bear, n_quick=0,
    limit_bytes=40 << 20, limit_s=0.1, n_warm=1,
)
world = Path(sys.argv[1])
names = ["good", "raise", "two lines", "escape", "grow", "die", "spin", "slow", "good"]
for i, name in enumerate(names):
    path = world / "seeds" / "made up" / f"{i} {name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
found = fuzzing.Fuzzer(world).cases(kind, range(len(names)))
print(json.dumps([[o.verdict, o.detail] for o in found]))
"""


def test_fuzz__every_defect_is_told(tmp_path: Path) -> None:
    """The check can fail, and goes on after a dead process and after a hang."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(HERE)!r})\n{BAD}", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [verdict for verdict, _ in found] == ["taken", *["defect"] * 7, "taken"]
    told = (
        "KeyError",
        "not one clear line",
        "not one clear line",
        "MiB",
        "-6",
        "hangs",
        "processor time",
    )
    for (_, detail), word in zip(found[1:-1], told, strict=True):
        assert word in detail


def test_mutation__same_seed_same_file_and_most_are_changed() -> None:
    sys.path.insert(0, str(HERE))
    try:
        import mutation
    finally:
        sys.path.remove(str(HERE))
    data = json.dumps({"a": [1, 2, {"b": "text"}], "schema": 1}).encode()
    for mutate in (mutation.mutate_bytes, mutation.mutate_text, mutation.mutate_json):
        made = [mutate(data, random.Random(i), [data]) for i in range(100)]
        assert made == [mutate(data, random.Random(i), [data]) for i in range(100)]
        assert sum(m != data for m in made) > 80
        assert len(set(made)) > 50

"""Build the package, and run the demo from its wheel in an environment that has nothing else.

make package            dist/*.tar.gz, dist/*.whl, and an environment in build/bare
.venv/bin/python tools/package.py --sbom dist/sbom.json     and the list of what was installed there
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
BARE = ROOT / "build" / "bare"
MAX_WHEEL_BYTES = 2_000_000


def main() -> int:
    """Build, check and run; 1 where the wheel is too large, else the exit code of what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sbom", type=Path, help="also write what is installed, as CycloneDX JSON")
    asked = parser.parse_args()
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    [wheel] = DIST.glob("*.whl")
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")
    if wheel.stat().st_size > MAX_WHEEL_BYTES:
        print(f"the wheel may have at most {MAX_WHEEL_BYTES:,} bytes", file=sys.stderr)
        return 1
    python = bare_environment(wheel)
    run(str(python.with_name("headstart")), "demo", "--force", "--out", str(BARE / "demo"))
    if asked.sbom:
        output = ("--output-format", "JSON", "--output-file", str(asked.sbom))
        run(sys.executable, "-m", "cyclonedx_py", "environment", *output, str(python))
    return 0


def bare_environment(wheel: Path) -> Path:
    """The interpreter of a new environment that has the wheel and what it requires."""
    venv.create(BARE, with_pip=True, clear=True)
    python = BARE / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    return python


def run(*command: str) -> None:
    """Run a command outside the checkout, so that nothing is imported from it."""
    done = subprocess.run(command, cwd=ROOT / "docs", check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())

"""docs/evidence/trust.md from what the benches of trust have written to bench/results/trust-*.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "evidence" / "trust.md"


def page(results: Path) -> str:
    """The page: a section for each file, in the order of their names."""
    lines = [
        "# Trust, tested",
        "",
        "```sh",
        "make evidence",
        "```",
        "",
        "What was done to Headstart, and what it held. A quick form of each runs in `make test`.",
    ]
    for path in sorted(results.glob("trust-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {found['title']}", "", "```sh", found["command"], "```", ""]
        lines += found["lines"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What each bench found, kept as JSON, so that one can be measured again and joined to the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.harness import ROOT, Row

RESULTS = ROOT / "bench" / "results"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One bench, or one part of it, measured, skipped or failed.

    Parameters
    ----------
    bench : str
        Its name.
    part : str
        Which part of it; empty where it has none.
    title, peer : str
        Its heading, and what it was measured against.
    rows : tuple of Row
    machine : dict
        As `bench.machine.describe` gives it.
    date : str
        Day of the measurement, ISO.
    seconds : float
        What the bench took in all.
    load : float or None
        Load average of the last minute before it: other work on the machine.
    skipped, failed : str
        Why there are no rows.
    """

    bench: str
    title: str
    peer: str
    machine: Mapping[str, Any]
    date: str
    part: str = ""
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    load: float | None = None
    skipped: str = ""
    failed: str = ""

    @property
    def unit(self) -> str:
        """``"memory"`` or ``"extraction:vgg16"``: what is measured, and kept, in one go."""
        return f"{self.bench}:{self.part}" if self.part else self.bench

    @property
    def is_sound(self) -> bool:
        """Whether it ran, and both sides agreed on every row."""
        return not self.failed and all(row.ok for row in self.rows)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read what `save` wrote."""
        return cls(**{**data, "rows": tuple(Row.from_dict(row) for row in data["rows"])})


def save(outcome: Outcome, folder: Path) -> Path:
    """Write ``folder/<bench>-<part>.json``, in one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.unit.replace(':', '-')}.json"
    staged = path.with_suffix(".tmp")
    staged.write_text(json.dumps({"schema": SCHEMA, **asdict(outcome)}, indent=1), encoding="utf-8")
    staged.replace(path)
    return path


def load(folder: Path, here: Mapping[str, Any]) -> dict[str, Outcome]:
    """Outcomes by unit, those alone that were measured on a machine like `here`."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema", None) != SCHEMA:
            continue
        outcome = Outcome.from_dict(data)
        if machine.is_same(dict(outcome.machine), dict(here)):
            found[outcome.unit] = outcome
    return found


def merged(
    kept: Mapping[str, Outcome], new: Sequence[Outcome], order: Sequence[str]
) -> list[Outcome]:
    """The kept outcomes with the new ones in their places, in the order of the units."""
    both = {**kept, **{outcome.unit: outcome for outcome in new}}
    return [both[name] for name in order if name in both]

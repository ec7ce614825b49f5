"""A classifier for one's own classes, judged on images that had no part in it.

python examples/fit_and_predict.py
"""

from __future__ import annotations

from pathlib import Path

import headstart
from headstart.data import write_digits


def main(folder: Path, per_class: int = 40, resolutions: tuple[int, ...] = (160, 224)) -> None:
    write_digits(folder / "digits", per_class)
    run = headstart.fit(
        folder / "digits", out=folder / "example-run", force=True, resolutions=resolutions
    )
    print(run.sentence)
    print(f"between {run.accuracy.low:.1%} and {run.accuracy.high:.1%}, with 95 % confidence")
    for guess in run.predict([folder / "digits" / "3"])[:3]:
        print(guess.name, guess.label, f"{guess.probability:.0%}")


if __name__ == "__main__":
    main(Path("demo"))

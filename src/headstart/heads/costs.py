"""The grid of costs ``C`` that cross-validation tries, everywhere."""

from __future__ import annotations

# Half-decades from strong to weak regularisation; rows have unit length.
COSTS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

"""The lecture as software: kernels, architecture tables, complexity and the labs.

Only the faces import this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.results import Result


def result_types() -> tuple[type[Result], ...]:
    """The types of all results of this room, for the JSON schema."""
    from headstart.course.complexity import ComplexityResult
    from headstart.course.kernels.page import KernelsResult
    from headstart.course.labs import LABS
    from headstart.course.labs.result import LabResult
    from headstart.results import Result

    found = {kind for lab in LABS for kind in vars(lab.module).values() if isinstance(kind, type)}
    labs = {kind for kind in found if issubclass(kind, Result)} - {Result, LabResult}
    return tuple(sorted({*labs, ComplexityResult, KernelsResult}, key=lambda kind: kind.__name__))

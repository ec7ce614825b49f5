"""What the labs' results share."""

from __future__ import annotations

from headstart.plots import Figure
from headstart.results import Result


class LabResult(Result, frozen=True, kw_only=True):
    """Base of the results whose page needs nothing else; a notebook shows its first figure."""

    def _figure(self) -> str:
        from headstart.course.labs import LABS

        tag = self.__struct_config__.tag
        [lab] = (lab for lab in LABS if f"lab-{lab.name}" == tag)
        sections = lab.module.page(self)
        return next((Figure(s.figure) for s in sections if s.figure), "")

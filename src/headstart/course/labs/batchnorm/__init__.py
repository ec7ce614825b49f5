"""``lab batchnorm``: does BatchNorm work by reducing internal covariate shift?"""

from __future__ import annotations

from headstart.course.labs.batchnorm.result import BatchnormResult
from headstart.course.labs.batchnorm.sections import page
from headstart.course.labs.batchnorm.trial import measure

__all__ = ["BatchnormResult", "measure", "page"]

"""Write the JSON Schema of results and of the files of a run: ``python tools/schema.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.course import result_types as course_types
from headstart.experiments.experiment import result_types
from headstart.results import json_schema
from headstart.runs.heldout import HeldOutFile
from headstart.runs.model_file import ModelFile
from headstart.runs.reader_files import TextFile
from headstart.runs.result import FitResult
from headstart.runs.retrieval import SimilarResult
from headstart.runs.run_file import ImageRunFile, TextRunFile
from headstart.runs.side_by_side import ComparedRuns
from headstart.runs.target_result import TargetResult

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.schema.json"


def schema() -> Any:
    """Of everything that is described."""
    return json_schema(
        FitResult,
        TargetResult,
        ComparedRuns,
        SimilarResult,
        ImageRunFile,
        TextRunFile,
        ModelFile,
        TextFile,
        HeldOutFile,
        *result_types(),
        *course_types(),
    )


if __name__ == "__main__":
    PAGE.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")

"""One fit in a process of its own: settings come in on standard input, events go out as JSON lines.

    python -m headstart.web.worker < '{"data": "photos/", "out": "runs/photos", "settings": {}}'

A process can be stopped at any moment, gives its memory back, and takes nobody with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from headstart.errors import HeadstartError, one_line, worded
from headstart.progress import Progress
from headstart.web.answers import as_field

if TYPE_CHECKING:
    from headstart.runs.choose import Candidate
    from headstart.sources.blocks import Blocks

logger = logging.getLogger(__name__)

EVERY_S = 0.2  # between two lines of the same stage

Tell = Callable[[dict[str, Any]], None]


class _Stopped(BaseException):
    """The page's Stop: it ends the fit, where Ctrl-C would keep what is known so far."""


def _stop(*_: object) -> None:
    raise _Stopped


def main() -> int:
    """Run the fit that standard input describes; 0 done, 1 failed, 130 stopped."""
    logging.basicConfig(format="headstart: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGINT, _stop)  # a background shell may ignore it
    out = _own_stdout()
    lock = threading.Lock()

    def tell(event: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(event) + "\n")
            out.flush()

    try:
        return work(json.loads(sys.stdin.readline()), tell)
    except BrokenPipeError:  # the server is gone
        return 130


def work(task: dict[str, Any], tell: Tell) -> int:
    """Do the task and tell of it."""
    try:
        from headstart.runs.fit import fit

        run = fit(
            task["data"],
            out=task["out"],
            progress=paced(tell),
            watch=map_teller(tell),
            **task["settings"],
        )
    except (KeyboardInterrupt, _Stopped):
        tell({"event": "stopped"})
        return 130
    except HeadstartError as error:
        tell({"event": "failed", "message": worded(str(error), as_field)})
        return 1
    except BrokenPipeError:
        raise
    except Exception as error:  # the last net: the page shows one line, the log has the traceback
        logger.error("unexpected error in a job", exc_info=error)
        text = one_line(f"unexpected {type(error).__name__}: {error}")
        tell({"event": "failed", "message": f"{text} (a bug: please report it)"})
        return 1
    tell({"event": "done", "run": str(run.folder), "sentence": run.sentence})
    return 0


def paced(tell: Tell, every_s: float = EVERY_S) -> Progress:
    """A progress that tells of each stage's begin and end, and between them not too often."""
    last: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(stage, -every_s) >= every_s:
            last[stage] = now
            tell({"event": "progress", "stage": stage, "done": done, "total": total})

    return progress


def map_teller(tell: Tell) -> Callable[[Sequence[Blocks], Sequence[Candidate]], None]:
    """A watch that tells of the plan once, then of each cell as it is measured."""

    def watch(planned: Sequence[Blocks], measured: Sequence[Candidate]) -> None:
        if not measured:
            places = [[b.tap_label, b.resolution_label] for b in planned]
            tell({"event": "plan", "places": places})
            return
        newest = measured[-1]
        place = [newest.blocks.tap_label, newest.blocks.resolution_label]
        tell({"event": "cell", "place": place, "accuracy": newest.accuracy})

    return watch


def _own_stdout() -> TextIO:
    """Standard output for events alone; what libraries print goes to standard error."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return mine


if __name__ == "__main__":
    sys.exit(main())

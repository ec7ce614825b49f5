"""Images that ``headstart predict`` is given by URL or on standard input."""

from __future__ import annotations

import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from headstart.errors import DataError, InputError, one_line

if TYPE_CHECKING:
    from headstart.data import Picture
    from headstart.runs.predictions import Prediction

STDIN = "-"
STDIN_NAME = "standard input"
TIMEOUT_S = 30.0


def predict_pictures(
    given: Iterable[str], predict: Callable[[list[Any]], Iterator[Prediction]]
) -> Iterator[Prediction]:
    """Predictions of paths, URLs and ``-``, in order; what cannot be fetched has its reason.

    What a URL holds is fetched when its turn comes, and kept in a temporary file until it is predicted.

    Parameters
    ----------
    given : iterable of str
    predict : function of a list of paths and `Picture`
        One call, so that the networks are set up once.

    Raises
    ------
    InputError
        ``-`` was given and standard input is a terminal.
    """
    from headstart.data.pictures import FetchedPicture

    with tempfile.TemporaryDirectory(prefix="headstart-predict-") as folder:
        sources: list[str | Picture] = []
        fetched: dict[str, FetchedPicture] = {}
        for i, text in enumerate(dict.fromkeys(given)):
            if text != STDIN and not is_url(text):
                sources.append(text)
                continue
            file = Path(folder) / str(i)
            if text == STDIN:
                _check_stdin()
                picture = FetchedPicture(STDIN_NAME, _read_stdin, file)
            else:
                picture = FetchedPicture(text, partial(_fetch, text), file)
            fetched[picture.name] = picture
            sources.append(picture)
        for prediction in predict(sources):
            if prediction.name in fetched:
                fetched.pop(prediction.name).forget()
            yield prediction


def is_url(text: str) -> bool:
    """Whether a path is a URL."""
    return "://" in text


def _check_stdin() -> None:
    if sys.stdin.isatty():
        raise InputError(
            "- reads an image from standard input, which is a terminal: cat photo.jpg | headstart "
            "predict RUN -"
        )


def _read_stdin() -> bytes:
    return _read(sys.stdin.buffer, STDIN_NAME)


def _fetch(url: str) -> bytes:
    """An image at a URL: http and https as they are, other protocols by `fsspec`."""
    from headstart.data.parts import open_url

    try:
        if url.startswith(("http://", "https://")):
            asked = urllib.request.Request(url, headers={"User-Agent": "headstart"})
            opened = urllib.request.urlopen(asked, timeout=TIMEOUT_S)
        else:
            opened = open_url(url)
        with opened as file:
            return _read(file, url)
    except DataError:
        raise
    except urllib.error.HTTPError as error:
        raise DataError(f"cannot fetch it: status {error.code} ({error.reason})") from None
    except Exception as error:  # the network, a missing package or login: whatever fsspec raises
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot fetch it: {one_line(str(reason), limit=160)}") from None


def _read(file: IO[bytes], name: str) -> bytes:
    from headstart.data.decode import MAX_FILE_BYTES

    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"{one_line(name)} has more than {MAX_FILE_BYTES:,} bytes: save it smaller")
    return data

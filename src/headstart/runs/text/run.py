"""A finished run on texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from headstart.errors import DataError, RunError, argument, one_line
from headstart.home import expand
from headstart.runs.origin import Origin, known_origin, remember
from headstart.runs.run import Prediction, Run
from headstart.runs.text.model import TextModel, read_text_model

N_AT_ONCE = 256


class TextRun(Run):
    """A run folder of texts, opened; see :class:`headstart.runs.run.Run`.

    It predicts texts, and files of text, where that of images predicts images. What needs images says so.

    Parameters
    ----------
    folder : Path
        As written by :func:`headstart.fit`.

    Raises
    ------
    RunError
        The folder is no run, is damaged, or comes from a newer version.
    """

    model: TextModel

    def _read_model(self) -> TextModel:
        return read_text_model(self.folder / "model")

    def require_images(self) -> None:
        """Refuse: there are none."""
        self.model.load_backbone()

    def give_encoder(self, name: str) -> None:
        """Say where the sentence encoder of a run that was made elsewhere is; it is remembered.

        Parameters
        ----------
        name : str
            As of `headstart.text.sentences.find_encoder`.

        Raises
        ------
        DataError, RunError
            There is none of that name, or the run was fitted with another one, or with none.
        """
        from headstart.text.sentences import encoder_digest, find_encoder

        where = one_line(str(self.folder))
        if self.model.encoder is None:
            raise RunError(f"{where} has no sentence encoder: leave {argument('encoder')} away")
        folder = find_encoder(name)
        if encoder_digest(folder) != self.model.encoder_digest:
            raise RunError(
                f"the sentence encoder in {one_line(str(folder))} is not the one that {where} was "
                "fitted with: give that one"
            )
        known = known_origin(self.folder) or Origin()
        remember(self.folder, dataclasses.replace(known, encoder=str(folder)))

    def iter_predict(
        self,
        images: Any,
        *,
        top: int = 5,
        column: str | None = None,
    ) -> Iterator[Prediction]:
        """Classify texts and files of text, in order.

        A file that exists is read, never classified by its name: of a table (``.csv``, ``.tsv``,
        ``.jsonl``, ``.ndjson``, ``.parquet``) the text column, of any other file its content as one
        text. A prediction's name is the text, the file, or the file and the row's place. An empty text
        and a file that is not UTF-8 text have their ``error`` set. :meth:`predict_texts` takes every
        string for a text.

        Parameters
        ----------
        images : str, Path or a sequence of them
            Texts and files, where a run of images takes images.
        top : int
        column : str, optional
            Of tables, as in :meth:`predict_table`.

        Raises
        ------
        DataError
            A `Path`, or a string that looks like a file's name, does not exist; a table cannot be
            used; or an item is neither, but a picture or an array, say.
        """
        from headstart.data.textfiles import is_table_name, names_a_file, read_text_file

        for given, are_files in groupby(_texts_of(images), names_a_file):
            if not given:
                yield from self.predict_texts(list(map(str, are_files)), top=top)
                continue
            for file in map(Path, are_files):
                path = expand(file)
                if is_table_name(path):
                    for p in self.predict_table(path, column=column, top=top):
                        yield replace(p, name=f"{file}, {p.name}")
                    continue
                try:
                    text = read_text_file(path)
                except DataError as error:
                    yield Prediction(name=str(file), error=str(error))
                else:
                    yield from self.predict_texts([text], names=[str(file)], top=top)

    def predict_table(
        self, path: Path, *, column: str | None = None, top: int = 5
    ) -> Iterator[Prediction]:
        """Classify a column of a table; a prediction's name is the row's place.

        Parameters
        ----------
        path : Path
            CSV, TSV, JSON lines or Parquet.
        column : str, optional
            Default: the one that the run was fitted on, else one with a usual name.
        top : int

        Raises
        ------
        DataError
            The table cannot be read, or has no such column.
        """
        from headstart.data.tables import find_column
        from headstart.data.texttables import TEXT_NAMES, read_texts

        if not path.is_file():
            raise DataError(f"no such table of texts: {path}. Check the path.")
        table = read_texts(path)
        own = self.metrics["data"].get("text_column")
        asked = column or (own if own in table.header else None)
        at = find_column(table, asked, TEXT_NAMES, "text", argument("text"))
        yield from self.predict_texts(table.column(at), names=table.places, top=top)

    def predict_texts(
        self, texts: Sequence[str], *, names: Sequence[str] | None = None, top: int = 5
    ) -> Iterator[Prediction]:
        """Classify texts as they are, even where a file has that name.

        Parameters
        ----------
        texts : sequence of str
        names : sequence of str, optional
            What the predictions are called; default the texts.
        top : int
        """
        called = list(texts) if names is None else list(names)
        for start in range(0, len(texts), N_AT_ONCE):
            part = [text.strip() for text in texts[start : start + N_AT_ONCE]]
            P = self.model.of_texts(part)
            for name, text, p in zip(called[start:], part, P, strict=False):
                if not text:
                    yield Prediction(name=name, error="the text is empty")
                else:
                    yield Prediction(name=name, top=self._top(p, top))


def _texts_of(given: Any) -> list[str | Path]:
    is_several = isinstance(given, Iterable) and not isinstance(
        given, str | bytes | bytearray | dict
    )
    items = list(given) if is_several else [given]
    for i, item in enumerate(items):
        if not isinstance(item, str | Path):
            raise DataError(
                f"this run classifies texts, and text {i} is a {type(item).__name__}: give strings, or paths "
                "of files of text"
            )
    return items
